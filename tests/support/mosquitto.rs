//! A mosquitto of the test's own.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{eventually, free_port};

/// A mosquitto on a free loopback port; it ends with the value.
pub struct Mosquitto {
    pub port: u16,
    folder: TempDir,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts one that lets everybody in and keeps its retained messages in a file; or takes the broker at this port of
    /// this machine, if `NAVIEN2MQTT_TEST_BROKER` names one, which then does not end.
    pub fn start() -> Self {
        match std::env::var("NAVIEN2MQTT_TEST_BROKER") {
            Ok(port) => Self { port: port.parse().unwrap(), folder: tempfile::tempdir().unwrap(), process: None },
            Err(_) => Self::with("allow_anonymous true"),
        }
    }

    /// Starts one that lets in `user` with `password` only.
    pub fn with_password(user: &str, password: &str) -> Self {
        let mut broker = Self::new("");
        let file = broker.folder.path().join("passwords");
        let made = Command::new("mosquitto_passwd").arg("-b").arg("-c").arg(&file).args([user, password]).status();
        assert!(made.unwrap().success());
        broker.configure(&format!("allow_anonymous false\npassword_file {}", file.display()));
        broker.launch();
        broker
    }

    /// Starts one with this access list, whose users have this password.
    pub fn with_access_list(list: &str, password: &str) -> Self {
        let mut broker = Self::new("");
        let [passwords, file] = ["passwords", "access"].map(|name| broker.folder.path().join(name));
        std::fs::write(&file, list).unwrap();
        std::fs::write(&passwords, "").unwrap();
        for user in list.lines().filter_map(|line| line.strip_prefix("user ")) {
            let made = Command::new("mosquitto_passwd").arg("-b").arg(&passwords).args([user, password]).status();
            assert!(made.unwrap().success());
        }
        let files = format!("password_file {}\nacl_file {}", passwords.display(), file.display());
        broker.configure(&format!("allow_anonymous false\n{files}"));
        broker.launch();
        broker
    }

    /// Starts one with these lines in its configuration besides listener and persistence.
    pub fn with(lines: &str) -> Self {
        let mut broker = Self::new(lines);
        broker.launch();
        broker
    }

    /// Starts one that listens at another address of this machine as well.
    pub fn also_at(address: Ipv4Addr) -> Self {
        let mut broker = Self::new("");
        broker.configure(&format!("allow_anonymous true\nlistener {} {address}", broker.port));
        broker.launch();
        broker
    }

    /// Takes a port, but starts nothing yet.
    pub fn later() -> Self {
        Self::new("allow_anonymous true")
    }

    fn new(lines: &str) -> Self {
        let broker = Self { port: free_port(), folder: tempfile::tempdir().unwrap(), process: None };
        broker.configure(lines);
        broker
    }

    fn configure(&self, lines: &str) {
        let folder = self.folder.path().display();
        // As root it would give up its rights and then not reach its own folder.
        let user = if Path::new("/root").read_dir().is_ok() { "user root" } else { "" };
        let text = format!(
            "listener {} 127.0.0.1\npersistence true\npersistence_location {folder}/\n{user}\n{lines}\n",
            self.port
        );
        std::fs::write(self.folder.path().join("mosquitto.conf"), text).unwrap();
    }

    /// Starts the process and waits until it says that it runs, with all its listeners.
    pub fn launch(&mut self) {
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let log = self.folder.path().join("mosquitto.log");
        let process = Command::new(program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("mosquitto is installed (scripts/prepare test)");
        let process = self.process.insert(process);
        // That somebody listens at the port does not say that it is this one.
        eventually("mosquitto runs", Duration::from_secs(10), || {
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(process.try_wait().unwrap().is_none(), "mosquitto has ended: {said}");
            said.contains(" running").then_some(())
        });
    }

    /// Kills the process, with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // A stopped process dies of SIGKILL as well.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends the process as a service manager would, so that it saves what it holds.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            signal(&process, "TERM");
            process.wait().unwrap();
        }
    }

    /// Throws away what it kept.
    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.folder.path().join("mosquitto.db"));
    }

    /// Stops or continues the process without ending it.
    pub fn freeze(&self, frozen: bool) {
        signal(self.process.as_ref().unwrap(), if frozen { "STOP" } else { "CONT" });
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a child.
pub fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status();
    assert!(sent.unwrap().success());
}
