//! The whole simulated cloud: REST, MQTT and control port on loopback, with heaters behind them.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::account::SimulatedAccount;
use super::broker::{Broker, Rules};
use super::counters::{Counters, SharedCounters};
use super::faults::{Fault, RestFaults, SimulatedCondition, UpgradeFaults};
use super::heater::SimulatedHeater;
use super::iot::Iot;
use super::net::{Door, Server, bind};
use super::plant::Plant;
use super::rest::{BASE, Rest};
use super::{certificate, control};
use crate::io::clock;

/// How the simulated cloud is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many heaters there are.
    pub heaters: usize,
    /// What everything random is made from.
    pub seed: u64,
    /// The account's email address.
    pub email: String,
    /// The account's password.
    pub password: String,
    /// How long access tokens live.
    pub jwt_life: Duration,
    /// How long AWS credentials live.
    pub aws_life: Duration,
    /// The address to listen on.
    pub listen: IpAddr,
    /// The port of the REST API; 0 takes a free one.
    pub api_port: u16,
    /// The port of the MQTT side; 0 takes a free one.
    pub mqtt_port: u16,
    /// The control port, always on loopback; 0 takes a free one.
    pub control_port: u16,
    /// How much faster than real ones the heaters live.
    pub time_scale: f64,
    /// Shorter keep-alives of clients are raised to this.
    pub keep_alive_floor: Duration,
    /// How long an MQTT connection lives.
    pub lifetime: Option<Duration>,
    /// Whether answers carry the ids of the one who asked; real heaters answer with their own.
    pub echo_ids: bool,
    /// Where the certificates are written; without it, a temporary directory that is removed in the end.
    pub directory: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            heaters: 1,
            seed: 1,
            email: "demo@example.com".to_owned(),
            password: "demo-password".to_owned(),
            jwt_life: Duration::from_secs(3600),
            aws_life: Duration::from_secs(3600),
            listen: Ipv4Addr::LOCALHOST.into(),
            api_port: 0,
            mqtt_port: 0,
            control_port: 0,
            time_scale: 1.0,
            keep_alive_floor: Duration::from_secs(30),
            lifetime: Some(Duration::from_secs(24 * 3600)),
            echo_ids: false,
            directory: None,
        }
    }
}

/// A running simulated cloud; dropping it stops everything.
pub struct Simulator {
    /// The base of the REST API.
    pub api_url: String,
    /// The MQTT endpoint.
    pub mqtt_url: String,
    /// The authority to trust, PEM.
    pub ca_file: PathBuf,
    /// The account's email address.
    pub email: String,
    /// The account's password.
    pub password: String,
    /// The base of the control port.
    pub control_url: String,
    controls: Controls,
    servers: Vec<Server>,
    // Removed last, when the servers are gone.
    _temporary: Option<Temporary>,
}

impl Simulator {
    /// Starts the cloud and its heaters; it is ready when this returns.
    ///
    /// # Errors
    ///
    /// Fails when a port is taken or the certificates cannot be written.
    pub async fn start(options: Options) -> io::Result<Self> {
        let temporary = options.directory.is_none().then(Temporary::new).transpose()?;
        let directory = options.directory.clone().or_else(|| temporary.as_ref().map(|t| t.0.clone()));
        let (tls, ca_file) = certificate::prepare(&directory.unwrap_or_default(), options.listen)?;
        let tls = TlsAcceptor::from(tls);
        let api = bind(SocketAddr::new(options.listen, options.api_port)).await?;
        let mqtt = bind(SocketAddr::new(options.listen, options.mqtt_port)).await?;
        let control = bind(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), options.control_port)).await?;
        let host = host(options.listen).await;
        let mut simulator = Self {
            api_url: format!("https://{host}:{}{BASE}", api.local_addr()?.port()),
            mqtt_url: format!("wss://{host}:{}/mqtt", mqtt.local_addr()?.port()),
            ca_file,
            control_url: format!("http://{}", control.local_addr()?),
            controls: Controls::new(&options),
            email: options.email,
            password: options.password,
            servers: Vec::new(),
            _temporary: temporary,
        };
        simulator.serve(tls, [api, mqtt, control], options.time_scale);
        Ok(simulator)
    }

    /// Returns what `simulate` prints: the addresses, the account and the heaters' MACs.
    pub fn describe(&self) -> Value {
        let heaters = self.controls.plant.heaters();
        json!({
            "api_url": self.api_url,
            "mqtt_url": self.mqtt_url,
            "ca_file": self.ca_file,
            "email": self.email,
            "password": self.password,
            "control_url": self.control_url,
            "heaters": heaters.iter().map(SimulatedHeater::mac).collect::<Vec<_>>(),
        })
    }

    /// Returns the handle that sets faults.
    pub fn faults(&self) -> Controls {
        self.controls.clone()
    }

    /// Returns what was counted until now.
    pub fn counters(&self) -> Counters {
        self.controls.counters()
    }

    /// Stops everything and returns when the ports are free.
    pub async fn stop(mut self) {
        for server in self.servers.drain(..) {
            server.stop().await;
        }
    }

    fn serve(&mut self, tls: TlsAcceptor, [api, mqtt, control]: [TcpListener; 3], time_scale: f64) {
        let Controls { account, broker, plant, door, api_door, rest, upgrade, tally } = self.controls.clone();
        let messages = broker.subscribe();
        let heaters = Server::run(plant.clone().run(messages, time_scale));
        let rest = Rest { tls: tls.clone(), account: account.clone(), plant, faults: rest, tally: tally.clone() };
        let iot = Iot { tls, account, broker, faults: upgrade, tally };
        let rest = Server::accept(api, api_door, move |gate| rest.clone().serve(gate));
        let iot = Server::accept(mqtt, door, move |gate| iot.clone().serve(gate));
        let control = Server::run(control::serve(control, self.controls.clone(), self.describe()));
        self.servers = vec![heaters, rest, iot, control];
    }
}

/// Returns the name in the addresses; a name where it can be one, so that clients check a name. A machine as small as a fresh
/// Debian root has none for itself.
async fn host(listen: IpAddr) -> String {
    let named = tokio::net::lookup_host(("localhost", 0)).await.is_ok();
    match listen {
        IpAddr::V4(Ipv4Addr::LOCALHOST | Ipv4Addr::UNSPECIFIED) if named => "localhost".to_owned(),
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Sets faults and reads counters; clones work on the same cloud.
#[derive(Clone)]
pub struct Controls {
    account: Arc<SimulatedAccount>,
    broker: Broker,
    plant: Plant,
    /// That of the MQTT port.
    door: Door,
    api_door: Door,
    rest: Arc<RestFaults>,
    upgrade: Arc<UpgradeFaults>,
    tally: SharedCounters,
}

impl Controls {
    fn new(options: &Options) -> Self {
        let tally = SharedCounters::default();
        let rules = Rules { keep_alive_floor: options.keep_alive_floor, ..Rules::aws() };
        let broker = Broker::new(rules, tally.clone());
        let mut heaters: Vec<SimulatedHeater> =
            (0..options.heaters).map(|index| SimulatedHeater::new(index, options.seed)).collect();
        if options.echo_ids {
            heaters.iter_mut().for_each(SimulatedHeater::echo_ids);
        }
        let user = (options.email.as_str(), options.password.as_str());
        let upgrade = UpgradeFaults::default();
        upgrade.set_lifetime(options.lifetime);
        Self {
            account: Arc::new(SimulatedAccount::new(options.seed, user, options.jwt_life, options.aws_life)),
            plant: Plant::new(heaters, broker.clone(), tally.clone()),
            broker,
            door: Door::default(),
            api_door: Door::default(),
            rest: Arc::default(),
            upgrade: Arc::new(upgrade),
            tally,
        }
    }

    /// Returns what was counted until now.
    pub fn counters(&self) -> Counters {
        self.tally.snapshot()
    }

    /// Sets a fault.
    pub fn set(&self, fault: Fault) {
        tracing::debug!(?fault, "fault set");
        let faults = self.broker.faults();
        match fault {
            Fault::Refuse { times } => self.door.refuse.arm(times),
            Fault::Reset => self.door.reset(),
            Fault::Away { on } => [&self.door, &self.api_door].iter().for_each(|door| door.set_away(on)),
            Fault::Freeze => self.door.freeze(),
            Fault::Thaw => self.door.thaw(),
            Fault::Upgrade { status, times } => self.upgrade.arm(status, times),
            Fault::CloseAfterConnack { times } => faults.close_after_connack.arm(times),
            Fault::MuteConnack { on } => faults.mute_connack.store(on, Ordering::SeqCst),
            Fault::RefuseSuback { times } => faults.refuse_suback.arm(times),
            Fault::Deaf { on } => faults.deaf.store(on, Ordering::SeqCst),
            Fault::Takeover => self.broker.take_over_all(),
            Fault::Lifetime { ms } => self.upgrade.set_lifetime(ms.map(Duration::from_millis)),
            Fault::Clock { seconds } => self.upgrade.set_clock(seconds),
            Fault::Rest { endpoint, answer, times } => self.rest.arm(endpoint, answer, times),
            Fault::List { change } => self.rest.set_list(change),
            Fault::ExpireTokens => self.account.expire_tokens(clock::wall()),
            Fault::ExpireAws => self.account.expire_aws(clock::wall()),
            Fault::Heater { index, state, ms } => {
                self.plant.set_fault(index, state, Duration::from_millis(ms.unwrap_or_default()));
            }
            Fault::Malformed { payload } => self.plant.malformed(payload.as_deref()),
            Fault::Display { index, celsius } => self.plant.set_display(index, celsius),
            Fault::Push => self.plant.push(),
            Fault::Clear => self.clear(),
        }
    }

    fn clear(&self) {
        self.door.refuse.clear();
        self.door.thaw();
        [&self.door, &self.api_door].iter().for_each(|door| door.set_away(false));
        self.upgrade.clear();
        self.upgrade.set_lifetime(None);
        self.upgrade.set_clock(0);
        self.rest.clear();
        self.broker.faults().close_after_connack.clear();
        self.broker.faults().mute_connack.store(false, Ordering::SeqCst);
        self.broker.faults().deaf.store(false, Ordering::SeqCst);
        self.broker.faults().refuse_suback.clear();
        self.plant.set_fault(None, SimulatedCondition::Online, Duration::ZERO);
    }
}

/// A directory of our own that is removed in the end.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("navien2mqtt-simulator-{}-{number}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
