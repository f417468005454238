//! `setup` against the simulated cloud and a mosquitto, with flags and at a terminal.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use navien2mqtt::simulator::{Options, Simulator};
use support::eventually;
use support::mosquitto::Mosquitto;
use support::observer::Observer;
use tempfile::TempDir;

use self::program::{Outcome, Running, clean, program, run, run_with_input};

const EMAIL: &str = "somebody@example.org";
const PASSWORD: &str = "hush 3b7c";
const SAMPLE: &str = include_str!("../config/navien2mqtt.toml");

/// A folder for somebody who runs the program by hand, against the simulated cloud.
struct Own {
    folder: TempDir,
    cloud: Simulator,
}

impl Own {
    /// The sample is there already, with the addresses of the simulated cloud in it.
    async fn new() -> Self {
        let options = Options { email: EMAIL.into(), password: PASSWORD.into(), ..Options::default() };
        let own = Self { folder: tempfile::tempdir().unwrap(), cloud: Simulator::start(options).await.unwrap() };
        fs::write(own.config(), own.sample()).unwrap();
        fs::set_permissions(own.config(), fs::Permissions::from_mode(0o640)).unwrap();
        own
    }

    fn sample(&self) -> String {
        let set = |text: String, key: &str, value: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("# {key} = "))).unwrap().to_owned();
            text.replacen(&line, &format!("{key} = {value:?}"), 1)
        };
        let text = set(SAMPLE.to_owned(), "api_url", &self.cloud.api_url);
        let text = set(text, "mqtt_url", &self.cloud.mqtt_url);
        let text = set(text, "ca_file", self.cloud.ca_file.to_str().unwrap());
        set(text, "directory", self.path("state").to_str().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("navien2mqtt.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    async fn setup(&self, more: &[&str], input: &str) -> Outcome {
        let mut command = program(&["setup", "--directory", self.folder.path().to_str().unwrap()]);
        command.args(more);
        let input = input.to_owned();
        let done = tokio::task::spawn_blocking(move || run_with_input(&mut command, input.as_bytes())).await.unwrap();
        assert!(!done.out.contains(PASSWORD) && !done.err.contains(PASSWORD), "{done:?}");
        done
    }

    /// The names and modes of all that is there but the state, which sign-ins write.
    fn files(&self) -> Vec<(String, u32)> {
        let mut found: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.file_name() != "state")
            .map(|entry| {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                (entry.file_name().into_string().unwrap(), mode)
            })
            .collect();
        found.sort();
        found
    }

    fn sign_ins(&self) -> u64 {
        self.cloud.counters().rest("/user/sign-in")
    }
}

fn url(broker: &Mosquitto) -> String {
    format!("mqtt://127.0.0.1:{}", broker.port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_setup_writes_is_the_sample_with_the_answers_and_the_daemon_runs_with_it() {
    let (own, broker) = (Own::new().await, Mosquitto::start());
    let observer = Observer::start(broker.port, "observer").await;
    observer.publish_retained("homeassistant/sensor/other/config", "{}");
    let flags = ["--email", EMAIL, "--password-file", "-", "--broker", &url(&broker), "--force"];
    let done = own.setup(&flags, &format!("{PASSWORD}\n")).await;
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
    let config = own.config().display().to_string();
    for said in [
        "04786332fca0  type ",
        &format!("127.0.0.1 port {} lets us in\n", broker.port),
        "Home Assistant's topics (homeassistant/#) are on it\n",
        &format!("{} is written\n", own.path("navien-password").display()),
        &format!("{config} is written\n"),
        &format!("\nWhat to look at next:\n  navien2mqtt run --config {config}\n"),
        &format!("  navien2mqtt doctor --config {config}\n"),
    ] {
        assert!(done.out.contains(said), "{said} is not in {}", done.out);
    }
    // What is there keeps its mode.
    assert_eq!(own.files(), [("navien-password".into(), 0o600), ("navien2mqtt.toml".into(), 0o640)]);
    assert_eq!(fs::read_to_string(own.path("navien-password")).unwrap(), format!("{PASSWORD}\n"));
    let (sample, text) = (own.sample(), own.text());
    let differing: Vec<&str> = sample.lines().zip(text.lines()).filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    let password_file = format!("password_file = {:?}", own.path("navien-password"));
    let wanted = [format!("email = \"{EMAIL}\""), password_file, format!("url = \"{}\"", url(&broker))];
    assert_eq!(
        (differing, text.lines().count()),
        (wanted.iter().map(String::as_str).collect(), sample.lines().count())
    );

    let mut command = program(&["run", "--config", &config]);
    let daemon = Running(command.stderr(Stdio::null()).spawn().unwrap());
    observer.wait("navien2mqtt/04786332fca0/status", |_| true).await;
    drop(daemon);
    assert_eq!(own.sign_ins(), 1, "the tokens of setup are the daemon's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_there_is_overwritten_without_asking() {
    let (own, broker) = (Own::new().await, Mosquitto::start());
    let url = url(&broker);
    let before = own.text();
    let flags = ["--email", EMAIL, "--password-file", "-", "--broker", &url, "--yes"];
    let done = own.setup(&flags, &format!("{PASSWORD}\n")).await;
    let config = own.config().display().to_string();
    let refused = |path: &str| format!("{path} is there, and is not changed without --force; nothing was changed\n");
    assert_eq!((done.code, done.err), (Some(64), refused(&config)));
    assert_eq!((own.text(), own.files().len()), (before, 1));

    let password = own.path("navien-password");
    fs::write(&password, "another\n").unwrap();
    fs::write(own.config(), own.sample().replace("you@example.com", EMAIL)).unwrap();
    let done = own.setup(&flags, &format!("{PASSWORD}\n")).await;
    assert_eq!((done.code, done.err), (Some(64), refused(&password.display().to_string())));
    assert_eq!(fs::read_to_string(&password).unwrap(), "another\n");
    assert_eq!(own.sign_ins(), 0, "it is seen before anything is tried");

    let forced = own.setup(&[&flags[..], &["--force"]].concat(), &format!("{PASSWORD}\n")).await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_eq!(fs::read_to_string(&password).unwrap(), format!("{PASSWORD}\n"));
    let (text, count) = (own.text(), own.sign_ins());
    // The budget of the state directory would make it wait for a minute.
    fs::remove_dir_all(own.path("state")).unwrap();
    let again = own.setup(&flags[4..], "").await;
    assert_eq!((again.code, own.text(), own.sign_ins()), (Some(0), text, count + 1), "{again:?}");
    assert!(again.out.contains(&format!("{config} is as it was\n")), "what is there will do: {again:?}");
}

#[test]
fn a_url_that_is_wrong_is_seen_before_anything_is_tried_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let flags = ["setup", "--directory", folder.to_str().unwrap(), "--email", EMAIL, "--password-file", "-"];
    let wrong = run_with_input(program(&flags).args(["--broker", "http://127.0.0.1"]), b"p\n");
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(64), ""), "{wrong:?}");
    assert_eq!(wrong.err, "broker.url: expected a URL that begins with mqtt:// or mqtts://\n");
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_without_a_terminal_is_named_by_its_flag() {
    let own = Own::new().await;
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "", "without a terminal to ask at, --email is needed\n"),
        (&["--email", EMAIL], "", "without a terminal to ask at, --password-file is needed\n"),
        (
            &["--email", "nobody", "--password-file", "-"],
            "p\n",
            "account.email: expected an email address such as \"you@example.com\"\n",
        ),
        (&["--email", EMAIL, "--password-file", "-"], "\n", "no password in -: its first line is empty\n"),
        (
            &["--email", EMAIL, "--password-file", "/nowhere/p"],
            "",
            "no password in /nowhere/p: No such file or directory (os error 2)\n",
        ),
    ];
    for (flags, input, said) in cases {
        let done = own.setup(flags, input).await;
        assert_eq!((done.code, done.err.as_str()), (Some(64), *said), "{flags:?}");
    }
    let both = run(&mut program(&["setup", "--directory", "/nowhere", "--config", "/nowhere/a.toml"]));
    assert_eq!(both.code, Some(64));
    fs::write(own.config(), own.sample().replace("[cloud]", "[cloud]\nkeep_alive = 3")).unwrap();
    let broken = own.setup(&["--email", EMAIL, "--force"], "").await;
    assert_eq!(broken.code, Some(78));
    assert!(broken.err.ends_with("; mend it first, or move the file away\n"), "{broken:?}");
    assert_eq!((own.sign_ins(), own.files().len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_77_and_a_broker_that_does_not_let_us_in_75_and_neither_changes_anything() {
    let (own, broker) = (Own::new().await, Mosquitto::with_password("bridge", "broker-4e1"));
    let (before, url) = (own.text(), url(&broker));
    let flags = ["--email", EMAIL, "--password-file", "-", "--broker", &url, "--force"];
    let wrong = own.setup(&flags, "wrong\n").await;
    assert_eq!(wrong.code, Some(77), "{wrong:?}");
    assert!(wrong.err.contains("; nothing was changed"), "{wrong:?}");
    fs::remove_dir_all(own.path("state")).unwrap();

    let denied = own.setup(&flags, &format!("{PASSWORD}\n")).await;
    assert_eq!(denied.code, Some(75), "{denied:?}");
    let to_do = "it wants a login: set broker.username and its password (navien2mqtt setup asks for both)";
    assert!(denied.err.ends_with(&format!("To do: {to_do}; nothing was changed\n")), "{denied:?}");
    assert_eq!((own.text(), own.files().len()), (before, 1));
    fs::remove_dir_all(own.path("state")).unwrap();

    let login = ["--broker-username", "bridge", "--broker-password-file", "-"];
    let done = own.setup(&[&flags[..], &login].concat(), &format!("{PASSWORD}\nbroker-4e1\n")).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(fs::read_to_string(own.path("broker-password")).unwrap(), "broker-4e1\n");
    let checked = run(&mut program(&["check", "--config", own.config().to_str().unwrap()]));
    assert_eq!((checked.code, checked.err.as_str()), (Some(0), ""), "{checked:?}");
    assert!(own.text().contains("\nusername = \"bridge\"\n"), "{}", own.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_yet_is_accepted_with_yes() {
    let own = Own::new().await;
    let url = format!("mqtt://127.0.0.1:{}", support::free_port());
    let flags = ["--email", EMAIL, "--password-file", "-", "--broker", &url, "--force", "--yes"];
    let done = own.setup(&flags, &format!("{PASSWORD}\n")).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.ends_with("To do: start the broker, or correct broker.url\n"), "{done:?}");
    assert!(own.text().contains(&url));
}

/// The program at a pseudo-terminal of its own.
struct AtTerminal {
    script: Running,
    shown: Arc<Mutex<String>>,
    read: usize,
}

impl AtTerminal {
    fn start(folder: &Path) -> Self {
        let line = format!("{} setup --directory {}", env!("CARGO_BIN_EXE_navien2mqtt"), folder.display());
        let mut script = Running(
            clean("script")
                .args(["--quiet", "--return", "--command", &line, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let shown = Arc::new(Mutex::new(String::new()));
        let (seen, mut output) = (Arc::clone(&shown), script.0.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { script, shown, read: 0 }
    }

    /// Waits for a question, and types an answer.
    fn answer(&mut self, question: &str, answer: &str) {
        let place = eventually(question, Duration::from_secs(30), || {
            self.shown.lock().unwrap()[self.read..].find(question).map(|at| self.read + at + question.len())
        });
        self.read = place;
        let input = self.script.0.stdin.as_mut().unwrap();
        input.write_all(answer.as_bytes()).and_then(|()| input.flush()).unwrap();
    }

    fn end(mut self) -> (Option<i32>, String) {
        let code = self.script.end();
        (code, self.shown.lock().unwrap().clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_terminal_everything_is_asked_for_and_no_password_is_shown() {
    let (own, broker) = (Own::new().await, Mosquitto::with_password("bridge", "broker-4e1"));
    let url = url(&broker);
    let folder = own.folder.path().to_owned();
    let talk = move || {
        let mut terminal = AtTerminal::start(&folder);
        terminal.answer("The email address of the NaviLink account: ", "nobody\n");
        terminal.answer("The email address of the NaviLink account: ", &format!("{EMAIL}\n"));
        terminal.answer("Its password (not shown): ", &format!("wrong\x15{PASSWORD}\n"));
        terminal.answer("The local MQTT broker [mqtt://127.0.0.1:1883]: ", &format!("{url}\n"));
        terminal.answer("Go on without the broker? [y/N]: ", "\n");
        terminal.answer("The user name at the broker: ", "bridge\n");
        terminal.answer("Its password (not shown): ", "broker-4e1\n");
        terminal.answer("navien2mqtt.toml, which is there already? [y/N]: ", "y\n");
        terminal.end()
    };
    let (code, shown) = tokio::task::spawn_blocking(talk).await.unwrap();
    assert_eq!(code, Some(0), "{shown}");
    for secret in [PASSWORD, "wrong", "broker-4e1"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    assert!(shown.contains(&format!("  email = \"{EMAIL}\"\r\n")), "what would change is shown: {shown}");
    assert!(own.text().contains("\nusername = \"bridge\"\n"), "{}", own.text());
    assert_eq!(fs::read_to_string(own.path("navien-password")).unwrap(), format!("{PASSWORD}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_at_the_password_leaves_everything_as_it_was() {
    let own = Own::new().await;
    let (before, folder) = (own.text(), own.folder.path().to_owned());
    let talk = move || {
        let mut terminal = AtTerminal::start(&folder);
        terminal.answer("The email address of the NaviLink account: ", &format!("{EMAIL}\n"));
        terminal.answer("Its password (not shown): ", "hus\x03");
        terminal.end()
    };
    let (code, shown) = tokio::task::spawn_blocking(talk).await.unwrap();
    assert_eq!(code, Some(64), "{shown}");
    assert!(shown.ends_with("setup was broken off; nothing was changed\r\n"), "{shown}");
    assert_eq!((own.text(), own.files().len(), own.sign_ins()), (before, 1, 0));
}
