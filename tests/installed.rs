//! The commands of the documentation, run as they are written by root on a machine on which the README was followed: in a
//! mount namespace with an `/etc` of its own, against the simulated cloud.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use navien2mqtt::simulator::{Options, Simulator};
use tempfile::TempDir;

use self::program::{Outcome, clean, run};
use self::support::mosquitto::Mosquitto;

const EMAIL: &str = "somebody@example.org";
const PASSWORD: &str = "hush-3b7c";
const DOCUMENTATION: [&str; 9] = [
    include_str!("../README.md"),
    include_str!("../docs/configuration.md"),
    include_str!("../docs/home-assistant.md"),
    include_str!("../docs/operations.md"),
    include_str!("../docs/recovery.md"),
    include_str!("../docs/reporting.md"),
    include_str!("../docs/simulator.md"),
    include_str!("../docs/topics.md"),
    include_str!("../docs/without-home-assistant.md"),
];
/// Shows the folder `$1` in place of the machine's own files and runs the command line `$2`.
const INSTALLED: &str = r#"
    set -e
    mount --bind "$1/etc" /etc
    mount --bind "$1/lib" /var/lib
    mount -t tmpfs tmpfs /run
    mkdir -p /run/systemd/system
    cd "$1/home"
    PATH="$1/bin:$PATH"
    exec sh -c "$2"
"#;

struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Installs the program, or says loudly that this test is skipped, and why.
    fn installed(simulator: &Simulator) -> Option<Self> {
        let possible = unshare().arg("true").output();
        if !possible.as_ref().is_ok_and(|tried| tried.status.success()) {
            eprintln!("SKIPPED: a file system of the test's own needs root or user namespaces: {possible:?}");
            return None;
        }
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["bin", "home", "lib", "etc/navien2mqtt", "etc/credstore", "etc/ssl/certs"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_navien2mqtt"), machine.path("bin/navien2mqtt")).unwrap();
        machine.write("bin/sudo", "#!/bin/sh\nexec env \"$@\"\n", 0o755);
        machine.write("home/diagnostics.json", "{\"dhwUse\": 2}", 0o644);
        machine.write("etc/hosts", "127.0.0.1 localhost\n", 0o644);
        let roots = fs::read_to_string(&simulator.ca_file).unwrap();
        machine.write("etc/navien2mqtt/roots.pem", &roots, 0o644);
        machine.write("etc/ssl/certs/ca-certificates.crt", &roots, 0o644);
        machine.write("etc/credstore/navien-password", &format!("{PASSWORD}\n"), 0o600);
        fs::set_permissions(machine.path("etc/credstore"), fs::Permissions::from_mode(0o700)).unwrap();
        let text = format!(
            "[account]\nemail = \"{EMAIL}\"\n[cloud]\napi_url = \"{}\"\nmqtt_url = \"{}\"\n\
             ca_file = \"/etc/navien2mqtt/roots.pem\"\n",
            simulator.api_url, simulator.mqtt_url
        );
        machine.write("etc/navien2mqtt/navien2mqtt.toml", &text, 0o644);
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run(&self, line: &str) -> Outcome {
        run(unshare().args(["sh", "-c", INSTALLED, "sh"]).arg(self.folder.path()).arg(line))
    }
}

/// Runs as root, with mounts of its own.
fn unshare() -> Command {
    let mut command = clean("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--mount");
    command
}

/// Returns the lines of shell and the inline code of a page that run a command which ends by itself.
fn commands(page: &str) -> impl Iterator<Item = &str> {
    let lines = page.lines().map(|line| line.split("  #").next().unwrap_or_default().trim());
    let inline = page.split('`').skip(1).step_by(2);
    lines.chain(inline).filter(|line| {
        let mut words = line.split(' ').skip_while(|word| *word == "sudo" || word.contains('='));
        let ours = words.next() == Some("navien2mqtt");
        // A synopsis is no command.
        ours && matches!(words.next(), Some("check" | "decode" | "devices" | "status")) && !line.contains('[')
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_documentation_works_as_it_is_written() {
    let options = Options { email: EMAIL.into(), password: PASSWORD.into(), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let Some(machine) = Machine::installed(&simulator) else { return };
    let mut seen: Vec<&str> = DOCUMENTATION.iter().flat_map(|page| commands(page)).collect();
    seen.sort_unstable();
    seen.dedup();
    for line in &seen {
        // Without its input it says what it expects, and is no command that somebody is told to type.
        let line = if line.ends_with("decode") { &format!("{line} <diagnostics.json") } else { *line };
        let outcome = machine.run(line);
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{line}: {outcome:?}");
        assert!(!outcome.out.is_empty(), "{line}");
    }
    for name in ["check", "decode", "devices", "status"] {
        assert!(seen.iter().any(|line| line.contains(name)), "{name} is not in {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_names_what_the_service_cannot_read() {
    let simulator = Simulator::start(Options::default()).await.unwrap();
    let Some(machine) = Machine::installed(&simulator) else { return };
    let checked = machine.run("navien2mqtt check");
    assert_eq!(checked.out, "/etc/navien2mqtt/navien2mqtt.toml: good\n", "{checked:?}");
    let close = |name: &str| fs::set_permissions(machine.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    close("etc/navien2mqtt/roots.pem");
    close("etc/navien2mqtt/navien2mqtt.toml");
    let checked = machine.run("navien2mqtt check");
    let cannot = "warning: the service, which runs as a user of its own, cannot read /etc/navien2mqtt";
    assert_eq!(
        checked.err,
        format!(
            "/etc/navien2mqtt/navien2mqtt.toml: {cannot}/navien2mqtt.toml: others may not read it\n\
             /etc/navien2mqtt/navien2mqtt.toml:6:11: cloud.ca_file: {cannot}/roots.pem: others may not read it\n"
        )
    );
    assert_eq!((checked.code, checked.out.ends_with(": good, with 2 warnings\n")), (Some(0), true), "{checked:?}");
}

/// What systemd says of a unit that was told that the password is wrong.
const REJECTED: &str = r#"#!/bin/sh
echo "$@" >>../systemctl.log
case $1 in
    show) printf 'LoadState=loaded\nActiveState=failed\nSubState=failed\nExecMainStatus=77\nNRestarts=0\n' ;;
esac
"#;
const JOURNAL: &str = r#"#!/bin/sh
echo '{"__REALTIME_TIMESTAMP":"1800000000000000","EXIT_CODE":"exited","EXIT_STATUS":"77"}'
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn setup_writes_what_the_unit_reads_and_starts_it_and_doctor_looks_at_what_it_sees() {
    let options = Options { email: EMAIL.into(), password: PASSWORD.into(), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let Some(machine) = Machine::installed(&simulator) else { return };
    let broker = Mosquitto::start();
    machine.write("bin/systemctl", REJECTED, 0o755);
    machine.write("bin/journalctl", JOURNAL, 0o755);
    machine.write("home/password", &format!("{PASSWORD}\n"), 0o600);
    fs::remove_dir_all(machine.path("etc/credstore")).unwrap();
    let doctor = |arguments: &str| machine.run(&format!("NAVIEN_PASSWORD=shell navien2mqtt doctor {arguments}"));
    let missing = doctor("--no-sign-in");
    assert_eq!(missing.code, Some(78), "{missing:?}");
    assert!(missing.out.contains("\nbad      credential     "), "the unit sees nothing of the shell: {missing:?}");

    fs::copy(machine.path("etc/navien2mqtt/navien2mqtt.toml"), machine.path("etc/navien2mqtt/cabin.toml")).unwrap();
    for (file, unit, suffix) in
        [("navien2mqtt", "navien2mqtt.service", ""), ("cabin", "navien2mqtt@cabin.service", ".cabin")]
    {
        let _ = fs::remove_file(machine.path("systemctl.log"));
        let done = machine.run(&format!(
            "navien2mqtt setup --config /etc/navien2mqtt/{file}.toml --email {EMAIL} --password-file password --broker \
             mqtt://127.0.0.1:{} --yes --force",
            broker.port
        ));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
        assert!(done.out.contains(&format!("\n{unit} is started\n")), "{done:?}");
        assert!(done.out.contains(&format!("\n  systemctl status {unit}\n")), "{done:?}");
        let asked = fs::read_to_string(machine.path("systemctl.log")).unwrap();
        assert_eq!(asked, format!("--quiet cat {unit}\nenable {unit}\nrestart {unit}\n"));
        let mode = |name: &str| fs::metadata(machine.path(name)).unwrap().permissions().mode() & 0o777;
        let secret = format!("etc/credstore/navien-password{suffix}");
        assert_eq!([mode("etc/credstore"), mode(&secret)], [0o700, 0o600]);
        assert_eq!(mode(&format!("etc/navien2mqtt/{file}.toml")), 0o644);
        assert_eq!(fs::read_to_string(machine.path(&secret)).unwrap(), format!("{PASSWORD}\n"));
        let state = if suffix.is_empty() { "lib/navien2mqtt" } else { "lib/navien2mqtt-cabin" };
        assert!(machine.path(state).join("tokens.json").exists(), "the unit goes on with the tokens: {state}");

        let examined = doctor(&format!("--config /etc/navien2mqtt/{file}.toml"));
        for line in [
            format!("ok       credential     the unit is given /etc/credstore/navien-password{suffix}"),
            format!(
                "bad      unit           {unit} ended with 77: the cloud rejected email or password. To do: sudo \
                 journalctl -u {unit}"
            ),
            format!("warning  exits          ended with 77 at 2027-01-15T08:00:00Z. To do: sudo journalctl -u {unit}"),
        ] {
            assert!(examined.out.lines().any(|shown| shown == line), "{line} is not in\n{}", examined.out);
        }
        assert_eq!(examined.code, Some(77), "{examined:?}");
        // By hand the same credential and the same state are used.
        let listed = machine.run(&format!("navien2mqtt devices --config /etc/navien2mqtt/{file}.toml"));
        assert_eq!((listed.code, listed.err.as_str()), (Some(0), ""), "{listed:?}");
    }
    assert_eq!(simulator.counters().rest("/user/sign-in"), 2, "one for each account");
}
