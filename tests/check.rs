//! The command line and `check`, as somebody at a terminal sees them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::program::{Outcome, program, run, run_to_file};

const ACCOUNT: &str = "[account]\nemail = \"me@example.org\"\n";

/// A folder with one configuration in it.
struct Configured {
    folder: TempDir,
}

impl Configured {
    fn new(text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Self { folder }
    }

    fn path(&self) -> String {
        self.folder.path().join("test.toml").display().to_string()
    }

    fn check(&self) -> Outcome {
        run(&mut program(&["check", "--config", &self.path()]))
    }

    fn check_with_password(&self) -> Outcome {
        run(program(&["check", "--config", &self.path()]).env("NAVIEN_PASSWORD", "secret"))
    }
}

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut found = vec![folder.join("navien2mqtt.toml")];
    for entry in fs::read_dir(folder.join("examples")).unwrap() {
        found.push(entry.unwrap().path());
    }
    found
}

#[test]
fn every_sample_is_good() {
    let samples = samples();
    assert!(samples.len() >= 6, "{samples:?}");
    for sample in samples {
        let mut check = program(&["check", "--config", sample.to_str().unwrap()]);
        let checked = run(check.env("NAVIEN_PASSWORD", "secret").env("BROKER_PASSWORD", "secret"));
        // The address is to be put in by the reader, and the simulator's password is no secret.
        let meant =
            ["email: warning: is that of the sample", "simulator.toml:4:12: account.password: warning: is in a file"];
        let warnings = checked.err.lines().filter(|line| !meant.iter().any(|meant| line.contains(meant)));
        assert_eq!((checked.code, warnings.collect::<Vec<_>>()), (Some(0), Vec::new()), "{}", sample.display());
        assert!(checked.out.starts_with(&format!("{}: good", sample.display())), "{checked:?}");
    }
}

#[test]
fn all_mistakes_are_named_in_one_run_with_their_lines() {
    let configured = Configured::new(
        "units = \"imperial\"\n[account]\nemail = \"nobody\"\n\n[cloud]\nkeep_alive = 30\nstatus_intervall = \"60s\"\n\
         [recovery]\nstrategy = \"prayer\"\nmax_attempts = -2\n[broker]\nurl = \"http://broker\"\n\
         [[device]]\nmac = \"12345\"\n[log]\nlevel = 3\n",
    );
    let checked = configured.check_with_password();
    assert_eq!((checked.code, checked.out.as_str()), (Some(78), ""));
    let path = configured.path();
    let wanted = [
        "1:9: units:",
        "3:9: account.email:",
        "6:14: cloud.keep_alive:",
        "7:1: cloud.status_intervall:",
        "9:12: recovery.strategy:",
        "10:16: recovery.max_attempts:",
        "12:7: broker.url:",
        "14:7: device.mac:",
        "16:9: log.level:",
    ];
    let lines: Vec<&str> = checked.err.lines().collect();
    assert_eq!(lines.len(), wanted.len() + 1, "{}", checked.err);
    for (line, place) in lines.iter().zip(wanted) {
        assert!(line.starts_with(&format!("{path}:{place} ")), "{line} is not about {place}");
    }
    assert_eq!(lines[wanted.len()], format!("{path}: 9 problems"));
}

#[test]
fn a_single_mistake_is_counted_as_one() {
    let configured = Configured::new(format!("{ACCOUNT}[commands]\nmax_queued = 0\n"));
    let checked = configured.check_with_password();
    let path = configured.path();
    assert_eq!(checked.code, Some(78));
    assert_eq!(
        checked.err,
        format!(
            "{path}:4:14: commands.max_queued: expected a whole number from 1 to 10000, not 0\n{path}: 1 problem\n"
        )
    );
}

#[test]
fn a_missing_password_says_where_it_may_stand() {
    let checked = Configured::new(ACCOUNT).check();
    assert_eq!(checked.code, Some(78));
    for place in ["navien-password", "$NAVIEN_PASSWORD", "account.password_file", "account.password"] {
        assert!(checked.err.contains(place), "{place} is not in {}", checked.err);
    }
}

/// Every place is either of no use, which is then named, or not looked at because an earlier one counts.
#[test]
fn the_first_place_of_a_password_counts() {
    let configured =
        Configured::new(format!("{ACCOUNT}password_file = \"/nowhere/password\"\npassword = \"inline\"\n"));
    let credential = configured.folder.path().join("navien-password");
    let check = |environment: &[(&str, &str)]| {
        run(program(&["check", "--config", &configured.path()]).envs(environment.iter().copied()))
    };
    let folder = configured.folder.path().display().to_string();
    let (variable, credentials) = (("NAVIEN_PASSWORD", "variable"), ("CREDENTIALS_DIRECTORY", folder.as_str()));

    let by_file = check(&[]);
    assert_eq!(by_file.code, Some(78), "password_file comes before password");
    assert!(by_file.err.contains(":3:17: account.password_file: /nowhere/password cannot be read"), "{by_file:?}");
    assert_eq!(check(&[variable]).code, Some(0), "the variable comes before password_file");
    assert_eq!(check(&[variable, credentials]).code, Some(0), "no such credential");
    fs::write(&credential, "\n").unwrap();
    let by_credential = check(&[variable, credentials]);
    assert_eq!(by_credential.code, Some(78), "the credential comes before the variable");
    assert!(by_credential.err.contains(&format!("{} is empty", credential.display())), "{by_credential:?}");
    fs::write(&credential, "credential\n").unwrap();
    assert_eq!(check(&[credentials]).code, Some(0));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing.toml").display().to_string();
    let checked = run(&mut program(&["check", "--config", &path]));
    assert_eq!(checked.code, Some(78));
    assert!(checked.err.starts_with(&format!("{path}: cannot be read: ")), "{}", checked.err);
}

#[test]
fn a_file_that_is_not_utf_8_is_named() {
    let configured = Configured::new(b"units = \"\xff\xfe\"\n");
    let checked = configured.check_with_password();
    assert_eq!(checked.code, Some(78));
    assert!(checked.err.starts_with(&format!("{}: is not UTF-8", configured.path())), "{}", checked.err);
}

#[test]
fn a_file_of_certificates_that_holds_none_is_named_before_anything_runs() {
    let configured = Configured::new(format!(
        "{ACCOUNT}[broker]\nurl = \"mqtts://localhost\"\nca_file = \"/dev/null\"\nclient_certificate = \"/dev/null\"\n\
         client_key = \"/dev/null\"\n"
    ));
    let checked = configured.check_with_password();
    let path = configured.path();
    let wanted = [
        format!("{path}:5:11: broker.ca_file: /dev/null is of no use: it holds no PEM certificate"),
        format!("{path}:6:22: broker.client_certificate: /dev/null is of no use: it holds no PEM certificate"),
        format!("{path}:7:14: broker.client_key: /dev/null is of no use: it holds no PEM private key"),
    ];
    let lines: Vec<&str> = checked.err.lines().collect();
    assert_eq!((checked.code, &lines[..3]), (Some(78), &wanted.each_ref().map(String::as_str)[..]), "{checked:?}");
}

#[test]
fn a_folder_in_place_of_the_file_is_a_mistake_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let checked = run(&mut program(&["check", "--config", folder.path().to_str().unwrap()]));
    assert_eq!(checked.code, Some(78));
    assert!(checked.err.contains("cannot be read"), "{}", checked.err);
}

#[test]
fn mistakes_on_the_command_line_are_mistakes_of_usage() {
    let wrong: &[&[&str]] = &[
        &[],
        &["paint"],
        &["check", "--paint"],
        &["check", "more"],
        &["check", "--config"],
        &["status", "--device", "nonsense"],
        &["decode", "--units", "imperial"],
    ];
    for arguments in wrong {
        let outcome = run(&mut program(arguments));
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(!outcome.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output() {
    let version = run(&mut program(&["--version"]));
    assert_eq!((version.code, version.err.as_str()), (Some(0), ""));
    assert_eq!(version.out, concat!("navien2mqtt ", env!("NAVIEN2MQTT_VERSION"), "\n"));
    for arguments in [&["--help"] as &[&str], &["help"], &["check", "--help"]] {
        let help = run(&mut program(arguments));
        assert_eq!((help.code, help.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(help.out.contains("--config"), "{arguments:?}: {}", help.out);
    }
    let help = run(&mut program(&["--help"])).out;
    for command in ["run", "check", "devices", "status", "decode"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in {help}");
    }
}

#[test]
fn the_variable_names_the_file_and_the_option_wins() {
    let good = Configured::new(ACCOUNT);
    let bad = Configured::new("nonsense = 1\n");
    let check = |variable: &Configured, arguments: &[&str]| {
        run(program(arguments).env("NAVIEN_PASSWORD", "secret").env("NAVIEN2MQTT_CONFIG", variable.path()))
    };
    assert_eq!(check(&good, &["check"]).out, format!("{}: good\n", good.path()));
    assert_eq!(check(&bad, &["check"]).code, Some(78));
    assert_eq!(check(&bad, &["check", "--config", &good.path()]).code, Some(0));
    assert_eq!(check(&bad, &["--config", &good.path(), "check"]).code, Some(0), "before the command as well");
    let refused = check(&good, &["check", "--config", &bad.path()]);
    assert!(refused.code == Some(78) && refused.err.contains(&bad.path()), "{refused:?}");
}

#[test]
fn an_empty_variable_names_no_file() {
    let outcome = run(program(&["check"]).env("NAVIEN2MQTT_CONFIG", ""));
    assert!(!outcome.err.starts_with(": cannot be read"), "{outcome:?}");
    assert!((outcome.out.clone() + &outcome.err).starts_with("/etc/navien2mqtt/navien2mqtt.toml: "), "{outcome:?}");
}

#[test]
fn a_password_that_is_no_text_is_not_said_to_be_missing() {
    let bytes = std::ffi::OsStr::from_bytes(b"hush\xff");
    let checked = run(program(&["check", "--config", &Configured::new(ACCOUNT).path()]).env("NAVIEN_PASSWORD", bytes));
    assert_eq!(checked.code, Some(78));
    assert!(checked.err.contains("account.password: $NAVIEN_PASSWORD is not UTF-8"), "{checked:?}");
    assert!(!checked.err.contains("missing") && !checked.err.contains("hush"), "{checked:?}");
}

#[test]
fn no_secret_shows_whatever_else_is_wrong() {
    const SECRET: &str = "hush-7d1f";
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (good, two_lines) = (file("good", SECRET), file("two-lines", &format!("{SECRET}\n{SECRET}\n")));
    let texts = [
        format!("{ACCOUNT}password = \"{SECRET}\"\n"),
        format!("{ACCOUNT}password = \"{SECRET}\"\nnonsense = 1\n"),
        format!("{ACCOUNT}passwort = \"{SECRET}\"\n"),
        format!("{ACCOUNT}password = \"{SECRET}\npassword_file = 1\n"),
        format!("{ACCOUNT}password = {SECRET}\n"),
        format!("{ACCOUNT}password = [\"{SECRET}\"]\n"),
        format!("{ACCOUNT}password = \"{SECRET}\\u0007\"\n"),
        format!("{ACCOUNT}password_file = \"{good}\"\n"),
        format!("{ACCOUNT}password_file = \"{good}\"\nnonsense = 1\n"),
        format!("{ACCOUNT}password_file = \"{two_lines}\"\n"),
        format!("{ACCOUNT}password = \"a\"\n[broker]\nurl = \"mqtt://user:{SECRET}@host\"\n"),
        format!("{ACCOUNT}password = \"a\"\n[broker]\npassword = \"{SECRET}\"\n"),
        format!("{ACCOUNT}password = \"a\"\n[broker]\nusername = \"u\"\npassword = \"{SECRET}\"\n"),
    ];
    for text in &texts {
        let configured = Configured::new(text);
        for arguments in [&["check"] as &[&str], &["check", "-vv"]] {
            let checked = run(program(arguments).env("NAVIEN2MQTT_CONFIG", configured.path()));
            assert!(matches!(checked.code, Some(0 | 78)), "{checked:?}");
            assert!(!checked.out.contains(SECRET) && !checked.err.contains(SECRET), "{text}: {checked:?}");
        }
    }
    let checked = run(program(&["check", "--config", &Configured::new("x = 1").path()]).env("NAVIEN_PASSWORD", SECRET));
    assert!(!checked.out.contains(SECRET) && !checked.err.contains(SECRET), "{checked:?}");
}

/// A configuration whose servers are all the listener.
fn aimed_at(listener: &TcpListener, more: &str) -> Configured {
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    Configured::new(format!(
        "{ACCOUNT}password = \"secret\"\n[cloud]\napi_url = \"https://127.0.0.1:{port}/\"\n\
         mqtt_url = \"wss://127.0.0.1:{port}/mqtt\"\n[broker]\nurl = \"mqtt://127.0.0.1:{port}\"\n{more}"
    ))
}

fn nobody_called(listener: &TcpListener) -> bool {
    listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn check_touches_no_network() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let configured = aimed_at(&listener, "");
    assert_eq!(configured.check().code, Some(0));
    assert!(nobody_called(&listener));
}

#[test]
fn commands_with_a_bad_configuration_end_before_they_open_a_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let configured = aimed_at(&listener, "client_id = \"\"\n");
    for command in ["run", "devices", "status"] {
        let outcome = run(&mut program(&[command, "--config", &configured.path()]));
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(78), ""), "{command}");
        assert!(outcome.err.contains(":9:13: broker.client_id: must not be empty"), "{command}: {}", outcome.err);
        assert!(nobody_called(&listener), "{command}");
    }
}

#[test]
fn output_that_a_full_disk_does_not_take_is_no_success() {
    let configured = Configured::new(format!("{ACCOUNT}password = \"secret\"\n"));
    let path = configured.path();
    for arguments in
        [&["check", "--config", &path][..], &["decode"], &["--help"], &["decode", "--help"], &["--version"]]
    {
        let full = || fs::File::options().write(true).open("/dev/full").unwrap();
        let outcome = run_to_file(&mut program(arguments), br#"{"dhwUse": 2}"#, full());
        assert_eq!(outcome.code, Some(70), "{arguments:?}");
        assert!(outcome.err.starts_with("standard output cannot be written: No space left"), "{outcome:?}");
    }
}

#[test]
fn output_that_nobody_reads_is_no_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outcome = run_to_file(&mut program(&["--help"]), b"", writer);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
}
