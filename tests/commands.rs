//! The commands that go to the cloud, as somebody at a terminal sees them, and `simulate` itself.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use navien2mqtt::simulator::{Fault, Options, RestAnswer, SimulatedCondition, Simulator};
use serde_json::Value;
use tempfile::TempDir;

use self::program::{Outcome, Running, program, run, start};

const FIRST: &str = "04786332fca0";
const PASSWORD: &str = "hush-3b7c";
const EMAIL: &str = "somebody@example.com";

/// A configuration and a state directory for one cloud.
struct Terminal {
    folder: TempDir,
}

impl Terminal {
    fn new(simulator: &Simulator, password: &str) -> Self {
        Self::at([&simulator.api_url, &simulator.mqtt_url], &simulator.ca_file, (EMAIL, password))
    }

    fn at([api_url, mqtt_url]: [&str; 2], ca_file: &Path, (email, password): (&str, &str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca_file, state) = (ca_file.display(), folder.path().join("state"));
        let text = format!(
            "units = \"metric\"\n[account]\nemail = \"{email}\"\npassword = \"{password}\"\n[cloud]\n\
             api_url = \"{api_url}\"\nmqtt_url = \"{mqtt_url}\"\nca_file = \"{ca_file}\"\n\
             [state]\ndirectory = \"{}\"\n",
            state.display()
        );
        fs::write(folder.path().join("test.toml"), text).unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        run(program(arguments).env("NAVIEN2MQTT_CONFIG", self.folder.path().join("test.toml")))
    }
}

async fn cloud_with(heaters: usize) -> (Simulator, Terminal) {
    let options = Options { heaters, email: EMAIL.into(), password: PASSWORD.into(), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let terminal = Terminal::new(&simulator, PASSWORD);
    (simulator, terminal)
}

fn sign_ins(simulator: &Simulator) -> u64 {
    simulator.counters().rest("/user/sign-in")
}

/// The MACs as the configuration and the topics spell them.
fn macs(simulator: &Simulator) -> Vec<String> {
    let described = simulator.describe();
    described["heaters"].as_array().unwrap().iter().map(|mac| mac.as_str().unwrap().to_lowercase()).collect()
}

fn lines_of_json(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_lists_one_heater_a_line() {
    let (simulator, terminal) = cloud_with(2).await;
    let listed = terminal.run(&["devices"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let lines: Vec<&str> = listed.out.lines().collect();
    assert_eq!(lines.len(), 2, "{}", listed.out);
    for (line, mac) in lines.iter().zip(macs(&simulator)) {
        assert!(line.starts_with(&format!("{mac}  type 52  online ")), "{line}");
    }
    assert_eq!(simulator.counters().accepts, 0, "the MQTT side is not needed for that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_says_when_there_is_none() {
    let (_simulator, terminal) = cloud_with(0).await;
    let listed = terminal.run(&["devices"]);
    assert_eq!((listed.code, listed.out.as_str()), (Some(0), "The account has no heater.\n"));
    assert_eq!(terminal.run(&["devices", "--json"]).out, "[]\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_says_when_there_is_no_heater_and_opens_no_session() {
    let (simulator, terminal) = cloud_with(0).await;
    let asked = terminal.run(&["status"]);
    assert_eq!((asked.code, asked.out.as_str()), (Some(0), "The account has no heater.\n"), "{}", asked.err);
    let asked = terminal.run(&["status", "--json"]);
    assert_eq!((asked.code, asked.out.as_str()), (Some(0), ""), "one object a line, and there is none");
    assert_eq!(simulator.counters().accepts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_lists_json_for_scripts() {
    let (simulator, terminal) = cloud_with(2).await;
    simulator.faults().set(Fault::Heater { index: Some(1), state: SimulatedCondition::Offline, ms: None });
    let listed = terminal.run(&["devices", "--json"]);
    assert_eq!(listed.code, Some(0), "{}", listed.err);
    let list: Vec<Value> = serde_json::from_str(&listed.out).unwrap();
    let shown: Vec<&str> = list.iter().map(|heater| heater["mac"].as_str().unwrap()).collect();
    assert_eq!(shown, macs(&simulator));
    assert!(list.iter().all(|heater| heater["device_type"] == 52 && heater["name"].is_string()), "{list:?}");
    assert_eq!((&list[0]["online"], &list[1]["online"]), (&Value::Bool(true), &Value::Bool(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_every_heater() {
    let (simulator, terminal) = cloud_with(2).await;
    let asked = terminal.run(&["status"]);
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    for mac in macs(&simulator) {
        assert!(asked.out.lines().any(|line| line.starts_with(&format!("{mac} "))), "{mac} is not in {}", asked.out);
    }
    for name in ["dhw_temperature", "operation_mode", "units"] {
        let shown = asked.out.lines().filter(|line| line.split_whitespace().next() == Some(name)).count();
        assert_eq!(shown, 2, "{name} in {}", asked.out);
    }
    assert!(asked.out.lines().all(|line| !line.ends_with(" null")), "{}", asked.out);
    let counters = simulator.counters();
    assert_eq!((counters.requests(16_777_219), counters.connects, counters.violations), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_prints_one_json_object_a_line_for_scripts() {
    let (simulator, terminal) = cloud_with(2).await;
    let asked = terminal.run(&["status", "--json"]);
    assert_eq!(asked.code, Some(0), "{}", asked.err);
    let mut answers = lines_of_json(&asked.out);
    answers.sort_by_key(|answer| answer["mac"].to_string());
    let shown: Vec<&str> = answers.iter().map(|answer| answer["mac"].as_str().unwrap()).collect();
    let mut wanted = macs(&simulator);
    wanted.sort();
    assert_eq!(shown, wanted);
    for answer in &answers {
        assert_eq!(answer["units"], "metric", "as configured");
        let temperature = answer["dhw_temperature"].as_f64().unwrap();
        assert!((5.0..80.0).contains(&temperature), "{temperature} °C");
        assert!(answer.get("error_text").is_some_and(Value::is_null), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_asks_only_the_heater_that_is_named() {
    let (simulator, terminal) = cloud_with(3).await;
    for spelled in [FIRST, "04:78:63:32:FC:A0"] {
        let asked = terminal.run(&["status", "--json", "--device", spelled]);
        assert_eq!(asked.code, Some(0), "{}", asked.err);
        let answers = lines_of_json(&asked.out);
        assert_eq!((answers.len(), &answers[0]["mac"]), (1, &Value::from(FIRST)), "{spelled}");
    }
    assert_eq!(simulator.counters().requests(16_777_219), 2, "one for each run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heater_that_the_account_does_not_have_is_a_mistake_of_usage() {
    let (simulator, terminal) = cloud_with(1).await;
    let asked = terminal.run(&["status", "--device", "0123456789ab"]);
    assert_eq!((asked.code, asked.out.as_str()), (Some(64), ""));
    assert!(asked.err.contains("0123456789ab") && asked.err.contains("navien2mqtt devices"), "{}", asked.err);
    assert_eq!(simulator.counters().accepts, 0, "no session is opened for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heater_that_does_not_answer_is_named_and_costs_only_itself() {
    let (simulator, terminal) = cloud_with(2).await;
    let silent = &macs(&simulator)[1];
    simulator.faults().set(Fault::Heater { index: Some(1), state: SimulatedCondition::Silent, ms: None });
    let config = terminal.folder.path().join("test.toml");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("[state]", "connect_timeout = \"3s\"\noperation_timeout = \"5s\"\n[state]");
    fs::write(&config, text).unwrap();
    let asked = terminal.run(&["status", "--json"]);
    assert_eq!(asked.code, Some(69), "{}", asked.err);
    assert!(asked.err.lines().any(|line| line == format!("{silent}: no answer")), "{}", asked.err);
    let answers = lines_of_json(&asked.out);
    assert_eq!((answers.len(), &answers[0]["mac"]), (1, &Value::from(FIRST)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_command_needs_no_sign_in() {
    let (simulator, terminal) = cloud_with(1).await;
    for arguments in [&["devices"] as &[&str], &["devices", "--json"], &["status"]] {
        let outcome = terminal.run(arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.err);
    }
    assert_eq!(sign_ins(&simulator), 1);
    assert_eq!(simulator.counters().rest("/device/list"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_tried_once_and_not_again_right_after() {
    let (simulator, _) = cloud_with(1).await;
    let terminal = Terminal::new(&simulator, "hush-wrong");
    let refused = terminal.run(&["devices"]);
    assert_eq!((refused.code, refused.out.as_str()), (Some(77), ""));
    assert!(refused.err.contains("signing in failed"), "{}", refused.err);
    assert_eq!(sign_ins(&simulator), 1);
    for arguments in [&["devices"] as &[&str], &["status"]] {
        let held_back = terminal.run(arguments);
        assert_eq!((held_back.code, held_back.out.as_str()), (Some(69), ""), "{arguments:?}");
        assert!(held_back.err.contains("the next sign-in is allowed in "), "{}", held_back.err);
        assert!(held_back.err.contains("too many in a row could lock the account"), "{}", held_back.err);
    }
    assert_eq!(sign_ins(&simulator), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_in_trouble_is_no_rejection() {
    for (answer, said) in [
        (RestAnswer::Status(503), "HTTP 503"),
        (RestAnswer::Envelope(500), "code 500"),
        (RestAnswer::Html, "HTML instead of"),
        (RestAnswer::Drop, "broke off"),
    ] {
        let (simulator, terminal) = cloud_with(1).await;
        simulator.faults().set(Fault::Rest { endpoint: None, answer, times: None });
        let outcome = terminal.run(&["devices"]);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(69), ""), "{answer:?}");
        assert!(outcome.err.contains(said), "{answer:?}: {}", outcome.err);
        assert_eq!(sign_ins(&simulator), 1, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_cannot_be_reached_is_said_to_be_so_every_time() {
    // On this address no other test takes the ports when they are free again.
    let listen = Ipv4Addr::new(127, 0, 0, 31).into();
    let folder = tempfile::tempdir().unwrap();
    let options = Options { listen, directory: Some(folder.path().to_owned()), ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let terminal = Terminal::new(&simulator, PASSWORD);
    simulator.stop().await;
    for arguments in [&["devices"] as &[&str], &["status"]] {
        let outcome = terminal.run(arguments);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(69), ""), "{arguments:?}");
        assert!(outcome.err.contains("the cloud cannot be reached"), "{arguments:?}: {}", outcome.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_refused_is_the_clouds_fault() {
    let (simulator, terminal) = cloud_with(1).await;
    simulator.faults().set(Fault::Upgrade { status: 503, times: None });
    let outcome = terminal.run(&["status"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(69), ""));
    assert!(outcome.err.contains("HTTP 503"), "{}", outcome.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_shows_however_much_is_said() {
    let (simulator, terminal) = cloud_with(1).await;
    let mut said = String::new();
    for arguments in [&["devices", "-vv"] as &[&str], &["status", "-vv"], &["status", "-vv", "--json"]] {
        let outcome = terminal.run(arguments);
        assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.err);
        said += &(outcome.out + &outcome.err);
    }
    simulator.faults().set(Fault::Upgrade { status: 403, times: None });
    simulator.faults().set(Fault::ExpireTokens);
    let refused = terminal.run(&["status", "-vv"]);
    assert_eq!(refused.code, Some(69));
    said += &(refused.out + &refused.err);
    assert!(said.contains("Signing in"), "with -vv the steps are shown: {said}");
    let tokens = fs::read(terminal.folder.path().join("state/tokens.json")).unwrap();
    let tokens: Value = serde_json::from_slice(&tokens).unwrap();
    let mut secrets = vec![PASSWORD, EMAIL, "X-Amz-Signature", "X-Amz-Security-Token"];
    secrets.extend([&tokens["access"], &tokens["refresh"]].map(|token| token.as_str().unwrap()));
    secrets.extend(tokens["aws"].as_array().unwrap().iter().map(|secret| secret.as_str().unwrap()));
    assert_eq!(secrets.len(), 9);
    for secret in secrets {
        assert!(!said.contains(secret), "{secret} shows");
    }
}

/// A `simulate` that is ready, and the line that it printed.
fn simulate(arguments: &[&str]) -> (Running, Value) {
    let mut running = start(program(&["simulate"]).args(arguments));
    let mut line = String::new();
    let mut out = BufReader::new(running.0.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let described = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    // One line and no more: the rest is for `rest_of`.
    running.0.stdout = Some(out.into_inner());
    (running, described)
}

fn rest_of(running: &mut Running) -> String {
    let mut rest = String::new();
    running.0.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    rest
}

#[test]
fn simulate_prints_one_line_when_it_is_ready_and_ends_when_asked_to() {
    for signal in ["TERM", "INT"] {
        let (mut running, described) = simulate(&["--heaters", "3"]);
        let text = |key: &str| described[key].as_str().unwrap().to_owned();
        assert!(text("api_url").starts_with("https://localhost:") && text("mqtt_url").starts_with("wss://localhost:"));
        assert_eq!(described["heaters"].as_array().unwrap().len(), 3);
        assert!(Path::new(&text("ca_file")).exists());
        TcpStream::connect(text("control_url").trim_start_matches("http://")).unwrap();
        running.signal(signal);
        assert_eq!(running.end(), Some(0), "SIG{signal}");
        assert_eq!(rest_of(&mut running), "", "nothing but that line");
        assert!(!Path::new(&text("ca_file")).exists(), "the temporary directory is removed");
    }
}

#[test]
fn a_simulated_cloud_in_another_process_serves_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let (mut running, described) = simulate(&["--heaters", "2", "--directory", folder.path().to_str().unwrap()]);
    let text = |key: &str| described[key].as_str().unwrap();
    assert!(Path::new(text("ca_file")).starts_with(folder.path()));
    let login = (text("email"), text("password"));
    let terminal = Terminal::at([text("api_url"), text("mqtt_url")], Path::new(text("ca_file")), login);
    let asked = terminal.run(&["status", "--json"]);
    assert_eq!((asked.code, lines_of_json(&asked.out).len()), (Some(0), 2), "{}", asked.err);
    running.signal("TERM");
    assert_eq!(running.end(), Some(0));
    assert!(Path::new(text("ca_file")).exists(), "a directory that was named stays");
}

#[test]
fn a_simulator_that_cannot_be_is_a_mistake_of_usage() {
    for arguments in [["--speed", "-1"], ["--speed", "nan"], ["--heaters", "101"], ["--listen", "nowhere"]] {
        let refused = run(program(&["simulate"]).args(arguments.map(String::from)));
        assert_eq!((refused.code, refused.out.as_str()), (Some(64), ""), "{arguments:?}: {}", refused.err);
    }
}

#[test]
fn a_port_that_is_taken_is_named_as_the_reason() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let failed = run(&mut program(&["simulate", "--api-port", &port]));
    assert_eq!((failed.code, failed.out.as_str()), (Some(70), ""));
    assert!(failed.err.contains("the simulator cannot be started"), "{}", failed.err);
}
