//! What is measured, each between two brokers of its own.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use navien2mqtt::simulator::{Options, Simulator};
use paho_mqtt as paho;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::Usage;
use crate::support::free_port;
use crate::support::mosquitto::Mosquitto;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    Mosquitto,
    Forwarder,
    Navien2mqtt,
}

impl Candidate {
    pub const ALL: [Self; 3] = [Self::Mosquitto, Self::Forwarder, Self::Navien2mqtt];

    pub fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto, bridge mode",
            Self::Forwarder => "paho forwarder",
            Self::Navien2mqtt => "navien2mqtt",
        }
    }

    /// Where what it carries arrives.
    pub fn results(self) -> &'static str {
        if self == Self::Navien2mqtt { "navien2mqtt/+/status" } else { "cmd/#" }
    }
}

/// A candidate that runs, and all around it.
pub struct Stage {
    process: Child,
    local: Mosquitto,
    cloud: Mosquitto,
    _simulator: (Simulator, Runtime),
    folder: TempDir,
}

impl Stage {
    pub fn new(candidate: Candidate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        // The account and its heaters; they stay silent, since the sessions are a mosquitto's.
        let options = Options {
            heaters: super::HEATERS,
            directory: Some(folder.path().to_owned()),
            api_port: free_port(),
            mqtt_port: free_port(),
            ..Options::default()
        };
        let simulator = runtime.block_on(Simulator::start(options.clone())).unwrap();
        let at = folder.path().display();
        let [websocket, tls] = [free_port(), free_port()];
        let certificate = format!("certfile {at}/server.pem\nkeyfile {at}/server.key");
        let unlimited = "max_inflight_messages 100\nmax_queued_messages 0";
        let cloud = Mosquitto::with(&format!(
            "allow_anonymous true\nset_tcp_nodelay true\nwebsockets_headers_size 8192\n{unlimited}\n\
             listener {websocket} 127.0.0.1\nprotocol websockets\n{certificate}\n\
             listener {tls} 127.0.0.1\n{certificate}"
        ));
        let local = Mosquitto::with(&format!("allow_anonymous true\nset_tcp_nodelay true\n{unlimited}"));
        let mut command = match candidate {
            Candidate::Mosquitto => {
                let path = folder.path().join("bridge.conf");
                let text = format!(
                    "listener {} 127.0.0.1\nuser root\nset_tcp_nodelay true\n{unlimited}\n\
                     connection cloud\naddress localhost:{tls}\nbridge_cafile {at}/ca.pem\ntopic cmd/# in 1\n\
                     connection local\naddress 127.0.0.1:{}\ntopic cmd/# out 1\n",
                    free_port(),
                    local.port
                );
                fs::write(&path, text).unwrap();
                let mut command = Command::new("/usr/sbin/mosquitto");
                command.arg("-c").arg(path);
                command
            }
            Candidate::Forwarder => {
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["forward", &cloud.port.to_string(), &local.port.to_string()]);
                command
            }
            Candidate::Navien2mqtt => {
                let path = folder.path().join("navien2mqtt.toml");
                let text = format!(
                    "[account]\nemail = \"demo@example.com\"\npassword = \"demo-password\"\n\
                     [cloud]\napi_url = \"https://localhost:{}/api/v2.1\"\nmqtt_url = \"wss://localhost:{websocket}/mqtt\"\n\
                     ca_file = \"{at}/ca.pem\"\nstatus_interval = \"5m\"\nstale_after = \"30m\"\n\
                     [broker]\nurl = \"mqtt://127.0.0.1:{}\"\n[state]\ndirectory = \"{at}/state\"\n",
                    options.api_port, local.port
                );
                fs::write(&path, text).unwrap();
                let mut command = Command::new(env!("CARGO_BIN_EXE_navien2mqtt"));
                command.arg("run").arg("--config").arg(path);
                command
            }
        };
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { process, local, cloud, _simulator: (simulator, runtime), folder }
    }

    /// Where statuses are published.
    pub fn cloud_port(&self) -> u16 {
        self.cloud.port
    }

    /// Where they arrive.
    pub fn local_port(&self) -> u16 {
        self.local.port
    }

    /// Panics with its log when the candidate has ended.
    pub fn check(&mut self) {
        if self.process.try_wait().unwrap().is_some() {
            panic!("the candidate has ended: {}", fs::read_to_string(self.folder.path().join("log")).unwrap());
        }
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is the paho forwarder: what arrives at one port is published at another.
pub fn forward() {
    let ports: Vec<String> = std::env::args().skip(2).take(2).collect();
    let client = |port: &str, id: &str| {
        let options = paho::CreateOptionsBuilder::new_v3()
            .server_uri(format!("tcp://127.0.0.1:{port}"))
            .client_id(id)
            .persistence(None)
            .max_buffered_messages(100_000)
            .finalize();
        paho::AsyncClient::new(options).unwrap()
    };
    let connect = || paho::ConnectOptionsBuilder::new_v3().max_inflight(1000).clean_session(true).finalize();
    let (cloud, local) = (client(&ports[0], "from"), client(&ports[1], "to"));
    local.connect(connect()).wait().unwrap();
    let out = local.clone();
    cloud.set_message_callback(move |_, message| {
        let Some(message) = message else { return };
        drop(out.publish(paho::Message::new(message.topic(), message.payload(), 1)));
    });
    cloud.connect(connect()).wait().unwrap();
    cloud.subscribe("cmd/#", 1).wait().unwrap();
    // It is killed when everything is measured.
    let (_held, nothing) = mpsc::channel::<()>();
    while nothing.recv_timeout(Duration::from_secs(3600)).is_err() {}
}
