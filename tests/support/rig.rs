//! The built binary between a simulated cloud and a mosquitto.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use navien2mqtt::navilink::command;
use navien2mqtt::simulator::{Options, Simulator};
use tempfile::TempDir;

use super::Limit;
use super::certificates;
use super::mosquitto::{Mosquitto, signal};
use super::netns::{self, Netns};
use super::observer::Observer;

/// The first simulated heater.
pub const HEATER: &str = "04786332fca0";
/// The second one.
pub const SECOND_HEATER: &str = "04786332fca1";

/// Everything that a test of the daemon needs; all of it ends with the value.
pub struct Rig {
    pub cloud: Option<Simulator>,
    pub broker: Mosquitto,
    pub folder: TempDir,
    options: Options,
    /// Where the daemon runs, when not beside everything else; it ends after the others.
    pub net: Option<Netns>,
    /// Lines that the test adds to the configuration's section `[cloud]`.
    pub cloud_lines: &'static str,
    /// Lines that the test adds to the configuration, by section.
    pub more: String,
    pub password: String,
    pub stale_after: &'static str,
    /// The configuration's `broker.url`, when it is not the mosquitto's plain listener.
    pub broker_lines: String,
    /// What the daemon finds in its environment besides the test's own.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Rig {
    /// A cloud with `heaters` heaters and a running mosquitto.
    pub async fn new(heaters: usize) -> Self {
        Self::with(heaters, Mosquitto::start()).await
    }

    pub async fn with(heaters: usize, broker: Mosquitto) -> Self {
        Self::assemble(heaters, broker, None).await
    }

    /// The same for a daemon in a network of its own; the test itself reaches everything as usual.
    pub async fn behind(net: Netns, heaters: usize) -> Self {
        let broker = Mosquitto::also_at(net.home());
        Self::assemble(heaters, broker, Some(net)).await
    }

    async fn assemble(heaters: usize, broker: Mosquitto, net: Option<Netns>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if net.is_some() {
            certificates::write(folder.path(), netns::CLOUD);
        }
        let options = Options {
            heaters,
            listen: net.as_ref().map_or(Ipv4Addr::LOCALHOST, Netns::cloud).into(),
            directory: Some(folder.path().to_owned()),
            api_port: super::free_port(),
            mqtt_port: super::free_port(),
            ..Options::default()
        };
        let cloud = Some(Simulator::start(options.clone()).await.unwrap());
        let home = net.as_ref().map_or(Ipv4Addr::LOCALHOST, Netns::home);
        let broker_lines = format!("url = \"mqtt://{home}:{}\"", broker.port);
        Self {
            cloud,
            broker,
            folder,
            options,
            net,
            cloud_lines: "",
            more: String::new(),
            password: "demo-password".into(),
            stale_after: "5m",
            broker_lines,
            environment: Vec::new(),
        }
    }

    /// The internet goes.
    pub async fn stop_cloud(&mut self) {
        self.cloud.take().unwrap().stop().await;
    }

    /// It comes back, with everything where it was.
    pub async fn start_cloud(&mut self) {
        self.cloud = Some(Simulator::start(self.options.clone()).await.unwrap());
    }

    pub fn cloud(&self) -> &Simulator {
        self.cloud.as_ref().unwrap()
    }

    /// It comes back, but with certificates that the daemon does not trust.
    pub async fn start_foreign_cloud(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        certificates::write(folder.path(), "localhost");
        let options = Options { directory: Some(folder.path().to_owned()), ..self.options.clone() };
        self.cloud = Some(Simulator::start(options).await.unwrap());
    }

    pub async fn observer(&self) -> Observer {
        Observer::start(self.broker.port, "observer").await
    }

    /// Writes the configuration and starts the daemon.
    pub fn run(&self) -> Daemon {
        let path = self.folder.path().join("navien2mqtt.toml");
        let host = if self.net.is_some() { netns::CLOUD } else { "localhost" };
        let text = format!(
            "[account]\nemail = \"demo@example.com\"\npassword = {:?}\n\
             [cloud]\napi_url = \"https://{host}:{}/api/v2.1\"\nmqtt_url = \"wss://{host}:{}/mqtt\"\n\
             ca_file = {:?}\nstatus_interval = \"1s\"\nstale_after = {:?}\n{}\n\
             [broker]\n{}\n[state]\ndirectory = {:?}\n{}\n",
            self.password,
            self.options.api_port,
            self.options.mqtt_port,
            self.folder.path().join("ca.pem"),
            self.stale_after,
            self.cloud_lines,
            self.broker_lines,
            self.folder.path().join("state"),
            self.more,
        );
        fs::write(&path, text).unwrap();
        // The password in it is nobody else's business.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Daemon::start(self, &path)
    }
}

/// Waits for requests as one schedule makes them, one a second: six take five seconds then, and at most three with two
/// schedules. Those that a busy machine delayed come closer together, so that another six are waited for.
pub async fn requests_come_once_a_second(cloud: &Simulator) {
    let asked = || cloud.counters().requests(command::STATUS.into());
    for _ in 0..5 {
        let (first, begun) = (asked(), Instant::now());
        let mut limit = Limit::of(Duration::from_secs(20));
        while asked() < first + 6 {
            assert!(limit.pause().await, "{} requests in 20 s", asked() - first);
        }
        if begun.elapsed() >= Duration::from_secs(4) {
            return;
        }
    }
    panic!("the requests come faster than one a second");
}

/// The running daemon.
pub struct Daemon {
    process: Child,
    pub started: Instant,
    log: Arc<Mutex<Vec<String>>>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    fn start(rig: &Rig, config: &std::path::Path) -> Self {
        let socket = rig.folder.path().join("notify");
        let _ = fs::remove_file(&socket);
        let notified = UnixDatagram::bind(&socket).unwrap();
        let started = Instant::now();
        let program = env!("CARGO_BIN_EXE_navien2mqtt");
        let mut command = rig.net.as_ref().map_or_else(|| Command::new(program), |net| net.command(program));
        for name in ["NAVIEN_PASSWORD", "BROKER_PASSWORD", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM"]
        {
            command.env_remove(name);
        }
        let mut process = command
            .args(["run", "-v", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "600000")
            .envs(rig.environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), process.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        // Ends with the test's process; nobody speaks to it after the daemon's end.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = notified.recv(&mut buffer) {
                heard.lock().unwrap().push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            }
        });
        Self { process, started, log, notices }
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits for a line in the log.
    pub async fn logged(&self, words: &str) {
        let mut limit = Limit::of(Duration::from_secs(20));
        while !self.log().contains(words) {
            assert!(limit.pause().await, "`{words}` is not in the log:\n{}", self.log());
        }
    }

    /// Everything that systemd was told until now.
    pub fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }

    /// Waits until systemd was told something that begins with `words`.
    pub async fn notified(&self, words: &str) {
        self.notified_within(Duration::from_secs(20), words).await;
    }

    /// Waits so long until systemd was told something that begins with `words`.
    pub async fn notified_within(&self, limit: Duration, words: &str) {
        let mut limit = Limit::of(limit);
        while !self.notices().iter().any(|notice| notice.starts_with(words)) {
            assert!(limit.pause().await, "`{words}` is not among {:?}", self.notices());
        }
    }

    pub fn signal(&self, name: &str) {
        signal(&self.process, name);
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits for its end; panics when it does not come.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let mut limit = Limit::of(limit);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(limit.pause().await, "it does not end:\n{}", self.log());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}
