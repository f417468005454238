//! `doctor` against the simulated cloud and a mosquitto: each check where all is well, and where it is not.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use navien2mqtt::simulator::{Fault, Options, RestAnswer, Simulator};
use serde_json::Value;
use support::certificates::{self, Certificates};
use support::mosquitto::Mosquitto;
use support::observer::Observer;
use tempfile::TempDir;

use self::program::{Outcome, clean, program, run, run_with_input};

const EMAIL: &str = "demo@example.com";
const PASSWORD: &str = "demo-password";

/// What the doctor looks at; a test changes what is to be wrong.
struct Patient {
    cloud: Simulator,
    folder: TempDir,
    api_url: String,
    ca_file: String,
    password: String,
    broker_lines: String,
}

impl Patient {
    async fn with(broker: &Mosquitto) -> Self {
        let cloud = Simulator::start(Options::default()).await.unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            api_url: cloud.api_url.clone(),
            ca_file: cloud.ca_file.display().to_string(),
            password: PASSWORD.into(),
            broker_lines: format!("url = \"mqtt://127.0.0.1:{}\"", broker.port),
            cloud,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("navien2mqtt.toml")
    }

    fn write(&self) {
        let text = format!(
            "[account]\nemail = \"{EMAIL}\"\npassword = {:?}\n[cloud]\napi_url = {:?}\nmqtt_url = {:?}\nca_file = {:?}\n\
             connect_timeout = \"5s\"\noperation_timeout = \"5s\"\n[broker]\n{}\n[state]\ndirectory = {:?}\n",
            self.password,
            self.api_url,
            self.cloud.mqtt_url,
            self.ca_file,
            self.broker_lines,
            self.folder.path().join("state"),
        );
        fs::write(self.path(), text).unwrap();
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    async fn examined(&self, more: &[&str]) -> Outcome {
        self.write();
        let path = self.path().display().to_string();
        let arguments = [&["doctor", "--config", &path], more].concat().iter().map(|&word| word.to_owned()).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<String> = arguments;
            run(&mut program(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
        })
        .await
        .unwrap()
    }

    /// Returns the exit code and the findings.
    async fn findings(&self, more: &[&str]) -> (i32, Vec<Value>) {
        let outcome = self.examined(&[&["--json"], more].concat()).await;
        let whole: Value = serde_json::from_str(&outcome.out).unwrap_or_else(|_| panic!("{outcome:?}"));
        assert_eq!(whole["exit_code"].as_i64(), outcome.code.map(i64::from), "{outcome:?}");
        assert!(!outcome.out.contains(&self.password), "{}", outcome.out);
        (outcome.code.unwrap(), whole["checks"].as_array().unwrap().clone())
    }
}

/// Returns the grade, the words and the advice of a check.
fn of<'f>(findings: &'f [Value], check: &str) -> (&'f str, &'f str, &'f str) {
    let finding = findings.iter().find(|finding| finding["check"] == check);
    let finding = finding.unwrap_or_else(|| panic!("there is no {check} in {findings:#?}"));
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    (text("grade"), text("found"), text("to_do"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_each_check_is_a_line_and_nothing_is_left_behind() {
    let broker = Mosquitto::start();
    let patient = Patient::with(&broker).await;
    let observer = Observer::start(broker.port, "observer").await;
    observer.publish_retained("navien2mqtt/bridge/state", "online");
    let outcome = patient.examined(&["--sign-in"]).await;
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
    let lines: Vec<&str> = outcome.out.lines().collect();
    let port = broker.port;
    let wanted = [
        format!("ok       configuration  {}", patient.path().display()),
        "ok       credential     the password is where the configuration says".to_owned(),
        "ok       sign-in        accepted; heaters: ".to_owned(),
        format!("ok       broker         127.0.0.1 port {port} lets us in without a login"),
        "ok       broker access  a message to navien2mqtt/doctor/get/check came back in ".to_owned(),
        "ok       broker size    a message of 50 KiB passes".to_owned(),
        "ok       daemon         navien2mqtt/bridge/state is online".to_owned(),
        format!("ok       state          {} can be written", patient.folder.path().join("state").display()),
        "ok       outages        none so far".to_owned(),
    ];
    for line in &wanted {
        assert!(lines.iter().any(|shown| shown.starts_with(line)), "{line} is not in\n{}", outcome.out);
    }
    // The simulated cloud listens on IPv4 only, and on many machines `localhost` has an IPv6 address besides.
    let either = |line: &str| line.starts_with("warning  ipv4, ipv6     localhost") && line.contains("not over IPv6 (");
    for line in &lines {
        assert!(line.starts_with("ok       ") || line.starts_with("skipped  ") || either(line), "{line}");
    }
    assert!(!outcome.out.contains('\x1b'), "no colours where there is no terminal: {}", outcome.out);
    assert!(outcome.out.contains("ipv4, ipv6     localhost"), "{}", outcome.out);
    for check in ["dns", "tls", "clock"] {
        let line = format!("ok       {check}");
        assert!(lines.iter().any(|shown| shown.starts_with(&line)), "{check} is not in\n{}", outcome.out);
    }
    let kept = Observer::start(broker.port, "later").await;
    kept.wait("navien2mqtt/bridge/state", |_| true).await;
    let topics: Vec<String> = kept.latest().into_keys().collect();
    assert_eq!(topics, ["navien2mqtt/bridge/state"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_not_sign_in_unless_it_is_told_to_and_keeps_the_budget() {
    let broker = Mosquitto::start();
    let patient = Patient::with(&broker).await;
    let signed_in = || patient.cloud.counters().rest("/user/sign-in");
    for more in [&[][..], &["--no-sign-in"]] {
        let (_, findings) = patient.findings(more).await;
        assert_eq!(of(&findings, "sign-in"), ("skipped", "not tried; --sign-in tries it", ""));
    }
    assert_eq!(signed_in(), 0);
    let (code, findings) = patient.findings(&["--sign-in"]).await;
    assert_eq!((code, of(&findings, "sign-in").0), (0, "ok"), "{findings:#?}");
    let (code, findings) = patient.findings(&["--sign-in"]).await;
    let (grade, found, to_do) = of(&findings, "sign-in");
    assert_eq!((code, grade, to_do), (0, "warning", "wait so long, then try again"), "{found}");
    assert!(found.contains("the next sign-in is allowed in "), "{found}");
    assert_eq!(signed_in(), 1);
    let both = patient.examined(&["--sign-in", "--no-sign-in"]).await;
    assert_eq!(both.code, Some(64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_77_and_is_not_shown_to_the_cloud_again() {
    let broker = Mosquitto::start();
    let mut patient = Patient::with(&broker).await;
    patient.password = "wrong-7d1f".into();
    for _ in 0..2 {
        let (code, findings) = patient.findings(&["--sign-in"]).await;
        let (grade, found, to_do) = of(&findings, "sign-in");
        assert_eq!((code, grade), (77, "bad"), "{found}");
        assert_eq!(to_do, "correct account.email or the password: sudo navien2mqtt setup");
    }
    assert_eq!(patient.cloud.counters().rest("/user/sign-in"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_in_trouble_is_69() {
    let broker = Mosquitto::start();
    let patient = Patient::with(&broker).await;
    patient.cloud.faults().set(Fault::Rest { endpoint: None, answer: RestAnswer::Status(503), times: None });
    let (code, findings) = patient.findings(&["--sign-in"]).await;
    assert_eq!((code, of(&findings, "sign-in").2), (69, "wait: the cloud may be in trouble"), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_to_the_cloud_that_does_not_work_is_named_by_its_step() {
    let broker = Mosquitto::start();
    let mut patient = Patient::with(&broker).await;
    patient.api_url = "https://no-such-host.invalid/api".into();
    let (code, findings) = patient.findings(&[]).await;
    let (grade, found, to_do) = of(&findings, "dns");
    assert_eq!((code, grade), (69, "bad"), "{findings:#?}");
    assert!(found.starts_with("no-such-host.invalid cannot be looked up: "), "{found}");
    assert_eq!(to_do, "look at the internet connection and at the resolver (/etc/resolv.conf)");

    let port = support::free_port();
    patient.api_url = format!("https://127.0.0.1:{port}/api");
    let (code, findings) = patient.findings(&[]).await;
    let (grade, found, to_do) = of(&findings, "ipv4, ipv6");
    assert_eq!((code, grade), (69, "bad"), "{findings:#?}");
    assert!(found.starts_with(&format!("127.0.0.1 port {port} is not reached: not over IPv4 (")), "{found}");
    assert_eq!(to_do, format!("look at the internet connection, and let the firewall pass port {port} outgoing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_somebody_else_is_named() {
    let broker = Mosquitto::start();
    let mut patient = Patient::with(&broker).await;
    let others = Certificates::make();
    patient.ca_file = others.ca();
    let (code, findings) = patient.findings(&[]).await;
    let (grade, found, to_do) = of(&findings, "tls");
    assert_eq!((code, grade), (69, "bad"), "{findings:#?}");
    assert!(found.starts_with("the certificate of localhost is not accepted: "), "{found}");
    let wanted = "upgrade the package ca-certificates; behind a proxy that opens TLS, name its root in cloud.ca_file";
    assert_eq!((to_do, of(&findings, "clock").0), (wanted, "skipped"));

    // One of the future is a clock that is wrong.
    let folder = tempfile::tempdir().unwrap();
    certificates::write_valid_from(2090, folder.path(), "localhost");
    let options = Options { directory: Some(folder.path().to_owned()), ..Options::default() };
    let cloud = Simulator::start(options).await.unwrap();
    (patient.api_url, patient.ca_file) = (cloud.api_url.clone(), cloud.ca_file.display().to_string());
    let (code, findings) = patient.findings(&[]).await;
    assert_eq!(
        (code, of(&findings, "tls").2),
        (69, "set the clock, and let timesyncd or chrony keep it"),
        "{findings:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_or_wants_a_login_is_75() {
    let broker = Mosquitto::with_password("somebody", "secret-4e1");
    let mut patient = Patient::with(&broker).await;
    let plain = patient.broker_lines.clone();
    let cases = [
        (format!("url = \"mqtt://127.0.0.1:{}\"", support::free_port()), "start the broker, or correct broker.url"),
        ("url = \"mqtt://no-such-host.invalid\"".into(), "correct the host in broker.url"),
        (plain.clone(), "it wants a login: set broker.username and its password (navien2mqtt setup asks for both)"),
        (
            format!("{plain}\nusername = \"somebody\"\npassword = \"wrong\""),
            "correct broker.username and its password (navien2mqtt setup asks for both)",
        ),
        (plain.replace("mqtt://", "mqtts://"), "does that port speak TLS? mqtt:// is without, mqtts:// with it"),
    ];
    for (lines, to_do) in cases {
        patient.broker_lines = lines;
        let (code, findings) = patient.findings(&[]).await;
        let (grade, found, advice) = of(&findings, "broker");
        assert_eq!((code, grade, advice), (75, "bad", to_do), "{}: {found}", patient.broker_lines);
        assert!(!findings.iter().any(|finding| finding["check"] == "broker access"), "{findings:#?}");
    }
    patient.broker_lines = format!("{plain}\nusername = \"somebody\"\npassword = \"secret-4e1\"");
    let (code, findings) = patient.findings(&[]).await;
    assert_eq!((code, of(&findings, "broker").0), (0, "ok"), "{findings:#?}");
    assert!(of(&findings, "broker").1.ends_with("lets us in as somebody"), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_list_that_is_recommended_is_good_and_one_that_denies_is_75() {
    let recommended = include_str!("../packaging/mosquitto/navien2mqtt.acl");
    let watcher = "user navien2mqtt\ntopic read navien2mqtt/#\n";
    for (list, good) in [(recommended, true), (watcher, false)] {
        let broker = Mosquitto::with_access_list(list, "secret-4e1");
        let mut patient = Patient::with(&broker).await;
        patient.broker_lines += "\nusername = \"navien2mqtt\"\npassword = \"secret-4e1\"";
        let (code, findings) = patient.findings(&[]).await;
        let (grade, found, to_do) = of(&findings, "broker access");
        if good {
            assert_eq!((code, grade), (0, "ok"), "{findings:#?}");
            assert_eq!(of(&findings, "broker size").0, "ok");
            continue;
        }
        let wanted = "a message to navien2mqtt/doctor/get/check was acknowledged and did not come back: the access list \
                      drops it";
        assert_eq!((code, grade, found), (75, "bad", wanted));
        let rights = "let navien2mqtt write navien2mqtt/# and read navien2mqtt/+/get/+ (docs/brokers.md)";
        assert_eq!(to_do, rights);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_the_broker_are_found_that_close_the_connection_and_that_drop_in_silence() {
    let to_do = "let the broker take 64 KiB (mosquitto: message_size_limit, max_packet_size)";
    for (limit, wanted) in [
        ("max_packet_size 20000", "the broker closes the connection at a message of 50 KiB"),
        ("message_size_limit 20000", "a message of 50 KiB does not pass: it is dropped"),
    ] {
        let broker = Mosquitto::with(&format!("allow_anonymous true\n{limit}"));
        let patient = Patient::with(&broker).await;
        let (code, findings) = patient.findings(&[]).await;
        assert_eq!((code, of(&findings, "broker size")), (75, ("bad", wanted, to_do)), "{limit}: {findings:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_retains_nothing_and_a_daemon_that_is_away_are_warnings() {
    let broker = Mosquitto::with("allow_anonymous true\nretain_available false");
    let patient = Patient::with(&broker).await;
    let (code, findings) = patient.findings(&[]).await;
    let broker: Vec<_> = findings.iter().filter(|finding| finding["check"] == "broker").collect();
    assert_eq!((code, broker[1]["grade"].as_str()), (0, Some("warning")), "{findings:#?}");
    assert_eq!(broker[1]["to_do"], "let it keep retained messages (mosquitto: retain_available true)");
    let (grade, found, to_do) = of(&findings, "daemon");
    assert_eq!(
        (grade, found),
        ("warning", "nothing is said on navien2mqtt/bridge/state: the daemon has not been there")
    );
    assert_eq!(to_do, "start it, if it does not run: sudo systemctl start navien2mqtt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configuration_the_password_and_the_state_directory_are_looked_at() {
    let broker = Mosquitto::start();
    let mut patient = Patient::with(&broker).await;
    patient.broker_lines += "\nclient_idd = \"a\"";
    let (code, findings) = patient.findings(&[]).await;
    let (grade, found, to_do) = of(&findings, "configuration");
    assert_eq!((code, grade, to_do), (78, "bad", "mend it: man navien2mqtt.toml"), "{findings:#?}");
    assert!(found.contains("broker.client_idd: there is no such key"), "{found}");
    assert_eq!(of(&findings, "cloud, broker").0, "skipped");

    patient.broker_lines = patient.broker_lines.replace("client_idd", "client_id");
    patient.password = String::new();
    let path = patient.path();
    patient.write();
    let text = fs::read_to_string(&path).unwrap().replace("password = \"\"\n", "");
    let missing = patient.folder.path().join("missing.toml");
    fs::write(&missing, text).unwrap();
    let missing = missing.display().to_string();
    let outcome = run(&mut program(&["doctor", "--config", &missing]));
    assert_eq!(outcome.code, Some(78), "{outcome:?}");
    let line = outcome.out.lines().find(|line| line.contains("credential")).unwrap();
    assert!(line.starts_with("bad      credential     ") && line.contains("account.password: is missing"), "{line}");
    let to_do = ". To do: write it with sudo navien2mqtt setup, or see man navien2mqtt.toml";
    assert!(line.ends_with(to_do), "{line}");

    patient.password = PASSWORD.into();
    let state = patient.folder.path().join("state");
    fs::write(&state, "").unwrap();
    let (code, findings) = patient.findings(&[]).await;
    assert_eq!((code, of(&findings, "state").2), (78, "move it away"), "{findings:#?}");
    fs::remove_file(&state).unwrap();
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, findings) = patient.findings(&[]).await;
    let wanted = format!("sudo chmod 700 {}", state.display());
    assert_eq!((code, of(&findings, "state").0, of(&findings, "state").2), (0, "warning", wanted.as_str()));
    fs::set_permissions(patient.path(), fs::Permissions::from_mode(0o644)).unwrap();
    let nothing = run(&mut program(&["doctor", "--config", &format!("{missing}.not")]));
    assert!(nothing.code == Some(78) && nothing.out.contains(". To do: sudo navien2mqtt setup"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_daemon_is_found_and_hears_nothing_of_it() {
    let rig = support::rig::Rig::new(1).await;
    let daemon = rig.run();
    let observer = rig.observer().await;
    observer.wait("navien2mqtt/bridge/state", |seen| seen.text() == "online").await;
    let config = rig.folder.path().join("navien2mqtt.toml").display().to_string();
    let examined = tokio::task::spawn_blocking(move || run(&mut program(&["doctor", "--json", "--config", &config])));
    let outcome = support::within(Duration::from_secs(60), examined).await.unwrap().unwrap();
    let whole: Value = serde_json::from_str(&outcome.out).unwrap();
    let findings = whole["checks"].as_array().unwrap();
    assert_eq!((outcome.code, of(findings, "daemon").0), (Some(0), "ok"), "{findings:#?}");
    assert!(!daemon.log().contains("doctor"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_it_is_coloured_and_asks_before_it_signs_in() {
    let broker = Mosquitto::start();
    let patient = Patient::with(&broker).await;
    patient.write();
    let line = format!("{} doctor --config {}", env!("CARGO_BIN_EXE_navien2mqtt"), patient.path().display());
    let at_terminal = |no_color: &'static str, answer: &'static [u8]| {
        let line = line.clone();
        tokio::task::spawn_blocking(move || {
            let mut command = clean("script");
            command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
            run_with_input(command.env("TERM", "xterm").env("NO_COLOR", no_color), answer)
        })
    };
    const QUESTION: &str =
        "Sign in to the cloud with the password, which counts as one of 12 sign-ins an hour? [y/N]: ";
    let plain = at_terminal("1", b"\n").await.unwrap();
    assert!(plain.out.contains(QUESTION) && !plain.out.contains("\x1b[3"), "{plain:?}");
    assert!(plain.out.contains("Looking for the daemon …\r"), "what takes long is said: {plain:?}");
    assert!(plain.out.contains("skipped  sign-in        not tried"), "{plain:?}");
    assert_eq!((plain.code, patient.cloud.counters().rest("/user/sign-in")), (Some(0), 0));
    let coloured = at_terminal("", b"y\n").await.unwrap();
    assert!(coloured.out.contains("\x1b[32mok     \x1b[0m  sign-in        accepted"), "{coloured:?}");
    assert_eq!((coloured.code, patient.cloud.counters().rest("/user/sign-in")), (Some(0), 1));
}
