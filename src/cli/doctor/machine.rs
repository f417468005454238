//! The configuration, the credentials, the state directory and the unit.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{Access, access, statvfs};
use serde_json::Value;
use tokio::process::Command;

use super::{Chart, Finding, Grade};
use crate::cli::service::Service;
use crate::config::{Config, ConfigProblem, NOT_BY_UNIT};
use crate::daemon::outage::KeptOutage;
use crate::exit::Exit;
use crate::io::clock;
use crate::io::state::StateDirectory;
use crate::model::Moment;

const WRONG: Grade = Grade::Bad(Exit::Configuration);
/// The state is nearly nothing, but a disk that is as full is about to take nothing more, in bytes.
const LEAST_SPACE: u64 = 4 << 20;
/// systemd answers at once.
const SYSTEMD_LIMIT: Duration = Duration::from_secs(10);
/// The log's entry of a main process that ended otherwise than with 0 (`SD_MESSAGE_UNIT_PROCESS_EXIT`).
const PROCESS_EXIT: &str = "MESSAGE_ID=98e322203f7a4ed290d09fe03c09fe15";
const READ_THE_LOG: &str = "sudo journalctl -u";

type Loaded = Result<Config, Vec<ConfigProblem>>;

/// Shows what is wrong with the configuration, but for passwords.
pub fn configuration(chart: &mut Chart, path: &Path, loaded: &Loaded) {
    let others = problems(loaded, false);
    for (grade, problem) in &others {
        let to_do = if path.exists() { "mend it: man navien2mqtt.toml" } else { "sudo navien2mqtt setup" };
        chart.add(Finding::new("configuration", *grade, problem, to_do));
    }
    if others.is_empty() {
        chart.add(Finding::good("configuration", path.display().to_string()));
    }
}

/// Says where the passwords come from, or what is wrong with them.
pub fn credential(chart: &mut Chart, loaded: &Loaded, (service, as_unit): (Option<&Service>, Option<&Service>)) {
    let of_passwords = problems(loaded, true);
    if service.is_some() && as_unit.is_none() {
        let (found, to_do) = ("only root sees what the unit is given", "sudo navien2mqtt doctor");
        return chart.add(Finding::new("credential", Grade::Warning, found, to_do));
    }
    for (grade, problem) in &of_passwords {
        let to_do = "write it with sudo navien2mqtt setup, or see man navien2mqtt.toml";
        chart.add(Finding::new("credential", *grade, problem, to_do));
    }
    if !of_passwords.is_empty() {
        return;
    }
    let stored = as_unit.map(|unit| unit.credential("navien-password")).filter(|file| file.exists());
    chart.add(match stored {
        _ if loaded.is_err() => Finding::skipped("credential", "it needs a configuration that can be read"),
        Some(file) => Finding::good("credential", format!("the unit is given {}", file.display())),
        None => Finding::good("credential", "the password is where the configuration says"),
    });
}

/// Returns what is wrong with passwords, or with the rest.
fn problems(loaded: &Loaded, of_passwords: bool) -> Vec<(Grade, String)> {
    let (found, least) = match loaded {
        Ok(config) => (&config.warnings, Grade::Warning),
        Err(problems) => (problems, WRONG),
    };
    let judge = |problem: &ConfigProblem| {
        // The service would not start without the file.
        let grade = if problem.message.contains(NOT_BY_UNIT) { WRONG } else { least };
        (grade, problem.to_string().replace(" warning: ", " "))
    };
    found.iter().filter(|problem| is_of_password(problem) == of_passwords).map(judge).collect()
}

fn is_of_password(problem: &ConfigProblem) -> bool {
    problem.key.ends_with(".password") || problem.key.ends_with(".password_file")
}

/// Looks whether the state directory can be used, and what it tells of outages.
pub fn state(chart: &mut Chart, path: &Path) {
    let finding = directory(path);
    let readable = finding.grade == Grade::Good && path.exists();
    chart.add(finding);
    if readable {
        chart.add(outages(path));
    }
}

fn directory(path: &Path) -> Finding {
    let shown = path.display();
    let bad = |found: String, to_do: &str| Finding::new("state", WRONG, found, to_do);
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::good("state", format!("{shown} is made at the first start"));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Finding::skipped("state", format!("only root may look into {shown}: sudo navien2mqtt doctor"));
        }
        Err(error) => return bad(format!("{shown}: {error}"), "mend it, or name another one in state.directory"),
    };
    if !about.is_dir() {
        return bad(format!("{shown} is no folder"), "move it away");
    }
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let to_do = "give it to the user of the service; until then each restart signs in afresh, after a minute";
        return bad(format!("{shown} cannot be written: {error}"), to_do);
    }
    let space = statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if space < LEAST_SPACE {
        return bad(format!("the disk of {shown} is full: {space} bytes are left"), "make room");
    }
    if about.mode() & 0o077 != 0 {
        let found = format!("{shown}, which holds the tokens, is open to others (mode {:o})", about.mode() & 0o777);
        return Finding::new("state", Grade::Warning, found, format!("sudo chmod 700 {shown}"));
    }
    Finding::good("state", format!("{shown} can be written, with {} MB left", space >> 20))
}

fn outages(path: &Path) -> Finding {
    let moment = Moment { now: clock::now(), wall: clock::wall() };
    let carried = StateDirectory::new(path).outage::<KeptOutage>().restore(moment).carried();
    let in_words = |time: Duration| humantime::format_duration(Duration::from_secs(time.as_secs())).to_string();
    let so_far = match carried.outages {
        0 => "none so far".to_owned(),
        1 => "1 so far".to_owned(),
        count => format!("{count} so far"),
    };
    match (carried.outage_since, carried.last_outage) {
        (Some(since), _) => {
            let found = format!("the cloud has been away for {}; outages: {so_far}", in_words(moment.now - since));
            let to_do = "see docs/operations.md for the reason that systemctl status names";
            Finding::new("outages", Grade::Warning, found, to_do)
        }
        (None, Some(last)) => Finding::good("outages", format!("{so_far}, the last one took {}", in_words(last))),
        (None, None) => Finding::good("outages", so_far),
    }
}

/// Asks systemd for the unit, and the journal for its last exits.
pub async fn unit(chart: &mut Chart, unit: &str) {
    const ASKED: &str =
        "--property=LoadState,ActiveState,SubState,UnitFileState,Result,ExecMainStatus,NRestarts,StatusText";
    match output("systemctl", &["show", unit, ASKED]).await {
        Err(error) => {
            chart.add(Finding::skipped("unit", format!("systemctl cannot be asked: {error}")));
        }
        Ok(answer) => {
            let shown = answer.lines().filter_map(|line| line.split_once('=')).collect();
            chart.add(judge(unit, &shown));
        }
    }
    let journal = ["-u", unit, PROCESS_EXIT, "--since=-7d", "-n", "5", "-o", "json", "-q"];
    match output("journalctl", &journal).await {
        Err(error) => chart.add(Finding::skipped("exits", format!("the journal cannot be read: {error}"))),
        Ok(entries) => chart.add(exits(unit, &entries)),
    }
}

async fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let asked = Command::new(program).args(arguments).kill_on_drop(true).output();
    let answer = clock::within(SYSTEMD_LIMIT, asked).await.map_err(|late| late.to_string())?;
    let answer = answer.map_err(|error| error.to_string())?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned());
    }
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

fn judge(unit: &str, shown: &BTreeMap<&str, &str>) -> Finding {
    let of = |key: &str| shown.get(key).copied().unwrap_or_default();
    let warning = |found: String, to_do: String| Finding::new("unit", Grade::Warning, found, to_do);
    if of("LoadState") != "loaded" {
        return warning(format!("{unit} is not installed"), "see docs/install.md".to_owned());
    }
    let ended = of("ExecMainStatus");
    match (of("ActiveState"), of("SubState")) {
        ("active" | "reloading", _) => {
            let (status, restarts) = (of("StatusText"), of("NRestarts"));
            let found = format!("{unit} runs: {}", if status.is_empty() { "it says nothing" } else { status });
            if !matches!(restarts, "" | "0") {
                let found = format!("{found}; it was started again {restarts} times");
                return warning(found, format!("{READ_THE_LOG} {unit}"));
            }
            if of("UnitFileState") == "disabled" {
                return warning(format!("{found}; not at every boot"), format!("sudo systemctl enable {unit}"));
            }
            Finding::good("unit", found)
        }
        ("failed", _) | ("activating", "auto-restart") => {
            let found = format!("{unit} ended with {ended}: {}", meaning(ended));
            Finding::new("unit", Grade::Bad(exit(ended)), found, format!("{READ_THE_LOG} {unit}"))
        }
        ("activating", _) => warning(format!("{unit} is about to start"), "wait a moment".to_owned()),
        _ => warning(format!("{unit} does not run"), format!("sudo systemctl enable --now {unit}")),
    }
}

fn exit(status: &str) -> Exit {
    [Exit::Usage, Exit::CloudUnavailable, Exit::CredentialsRejected, Exit::Configuration]
        .into_iter()
        .find(|exit| (*exit as u8).to_string() == status)
        .unwrap_or(Exit::Internal)
}

fn meaning(status: &str) -> &'static str {
    match exit(status) {
        Exit::Usage => "its command line is wrong",
        Exit::CloudUnavailable => "the cloud was unavailable for too long",
        Exit::CredentialsRejected => "the cloud rejected email or password",
        Exit::Configuration => "the configuration is wrong, or there is no password",
        _ => "a mistake, a crash, or systemd could not start it",
    }
}

/// Reads entries of the journal, one JSON object a line.
fn exits(unit: &str, entries: &str) -> Finding {
    let read = |line: &str| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let at: u64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_micros(at));
        let (code, status) = (entry["EXIT_CODE"].as_str()?, entry["EXIT_STATUS"].as_str()?);
        Some(if code == "exited" { format!("{status} at {at}") } else { format!("{code} by {status} at {at}") })
    };
    let ends: Vec<String> = entries.lines().filter_map(read).collect();
    if ends.is_empty() {
        return Finding::good("exits", "none with an error in the last seven days");
    }
    let found = format!("ended with {}", ends.join(", "));
    Finding::new("exits", Grade::Warning, found, format!("{READ_THE_LOG} {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(finding: &Finding) -> (&str, &str, &str) {
        (finding.grade.word(), &finding.found, &finding.to_do)
    }

    #[test]
    fn every_state_of_the_unit_has_its_word_and_what_to_do() {
        let judged = |shown: &str| {
            judge("n.service", &shown.split(' ').filter_map(|word| word.split_once('=')).collect::<BTreeMap<_, _>>())
        };
        let active = "LoadState=loaded ActiveState=active UnitFileState=enabled NRestarts=0 StatusText=connected";
        assert_eq!(line(&judged(active)), ("ok", "n.service runs: connected", ""));
        let restarted = judged(&active.replace("NRestarts=0", "NRestarts=3"));
        let found = "n.service runs: connected; it was started again 3 times";
        assert_eq!(line(&restarted), ("warning", found, "sudo journalctl -u n.service"));
        let disabled = judged(&active.replace("enabled", "disabled"));
        assert_eq!(disabled.to_do, "sudo systemctl enable n.service");
        let stopped = judged(&active.replace("=active", "=inactive"));
        let to_do = "sudo systemctl enable --now n.service";
        assert_eq!(line(&stopped), ("warning", "n.service does not run", to_do));
        assert_eq!(judged("LoadState=not-found").found, "n.service is not installed");
        for (status, code) in [("77", Exit::CredentialsRejected), ("78", Exit::Configuration), ("217", Exit::Internal)]
        {
            for state in ["ActiveState=failed SubState=failed", "ActiveState=activating SubState=auto-restart"] {
                let ended = judged(&format!("LoadState=loaded {state} ExecMainStatus={status}"));
                assert_eq!(ended.grade, Grade::Bad(code), "{ended:?}");
                assert!(ended.found.starts_with(&format!("n.service ended with {status}: ")), "{ended:?}");
            }
        }
    }

    #[test]
    fn the_last_exits_are_named_with_their_times() {
        assert_eq!(exits("n.service", "").grade, Grade::Good);
        let entries = r#"{"__REALTIME_TIMESTAMP":"1800000000000000","EXIT_CODE":"exited","EXIT_STATUS":"69"}
            {"__REALTIME_TIMESTAMP":"1800000060000000","EXIT_CODE":"killed","EXIT_STATUS":"KILL"}
            nonsense"#;
        let found = "ended with 69 at 2027-01-15T08:00:00Z, killed by KILL at 2027-01-15T08:01:00Z";
        assert_eq!(line(&exits("n.service", entries)), ("warning", found, "sudo journalctl -u n.service"));
    }

    #[test]
    fn a_state_directory_that_cannot_be_used_is_bad_and_one_open_to_others_is_a_warning() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        set(0o700);
        assert_eq!(directory(folder.path()).grade, Grade::Good);
        set(0o755);
        let open = directory(folder.path());
        assert_eq!((open.grade, open.to_do), (Grade::Warning, format!("sudo chmod 700 {}", folder.path().display())));
        assert_eq!(directory(&folder.path().join("nothing")).grade, Grade::Good);
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(line(&directory(&file)).2, "move it away");
        // The kernel's own files can be written by nobody.
        let closed = directory(Path::new("/proc/self/fdinfo"));
        assert_eq!(closed.grade, WRONG, "{closed:?}");
    }

    #[test]
    fn an_outage_that_goes_on_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(line(&outages(folder.path())), ("ok", "none so far", ""));
        let keep = |text: &str| fs::write(folder.path().join("outage.json"), text).unwrap();
        keep(r#"{"outages":3,"last_outage":90.5}"#);
        assert_eq!(line(&outages(folder.path())), ("ok", "3 so far, the last one took 1m 30s", ""));
        let since = clock::wall().duration_since(UNIX_EPOCH).unwrap().as_secs() - 7200;
        keep(&format!(r#"{{"outages":4,"outage_since":{since}}}"#));
        let away = outages(folder.path());
        assert!(away.found.starts_with("the cloud has been away for 2h"), "{away:?}");
        assert_eq!(away.grade, Grade::Warning);
    }
}
