//! The one loop: it feeds the supervisor and the bridge what happens, and carries out what they decide.
//!
//! Everything slow runs in a task of its own and comes back as a `Step`; the loop itself never waits for anything
//! but the next event or the next due time. It feeds systemd's watchdog, and so vouches for itself by doing so.

mod administration;
mod alarm;
mod classify;
mod cloud_link;
mod incoming;
mod local_link;
pub mod one_shot;
mod outage;
mod outgoing;
mod report;
mod settings;
mod steps;
mod stop;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use administration::{Administration, RestartRequest};
pub use administration::{Ended, MayRestart};

use cloud_link::CloudLink;
use local_link::LocalLink;

use crate::bridge::Bridge;
use crate::config::Config;
use crate::exit::Exit;
use crate::io::alert::Alerter;
use crate::io::mqtt::LinkError;
use crate::io::rest::{Account, EnsureError, RestClient, RestError, SignInError};
use crate::io::state::StateDirectory;
use crate::io::{clock, descriptors, network, notify, task, tls};
use crate::model::{Mac, Moment};
use crate::navilink::devices::DeviceList;
use crate::navilink::presign::PresignError;
use crate::navilink::session::{ClientId, Identity, SessionId};
use crate::supervisor::{Carried, Ending, Generation, Input, Supervisor};

/// How many events of one link may wait for the loop.
const MAX_EVENTS: usize = 1024;
/// A due time that passed so long ago was missed: the loop is not healthy.
const OVERDUE: Duration = Duration::from_secs(30);
/// An actor shows life every few seconds, but not while it connects or takes leave.
const LINK_SILENCE: Duration = Duration::from_secs(45);

/// A probe takes no longer than this.
const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// A process that gives up in its first moments waits so long for the local broker, to tell it why.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a task brings back.
enum Step {
    Credentials(Generation, Result<Duration, EnsureError>),
    SignedIn(Generation, Result<Duration, SignInError>),
    Listed(Generation, Result<DeviceList, RestError>),
    Relisted(Result<DeviceList, RestError>),
    Signed(Generation, Result<SecretString, PresignError>),
    Tou(Mac, Result<Value, RestError>),
    Probed(u64, bool),
    MayRestart(RestartRequest, Result<(), String>),
}

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS, which the configuration's files decide.
    #[error(transparent)]
    Tls(#[from] tls::TlsSetupError),
    /// The REST client.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The MQTT engine.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            StartError::Tls(_) => Exit::Configuration,
            _ => Exit::Internal,
        }
    }
}

/// Runs until `stops` says who asks it to stop, or it gives up as configured. A second word from `stops` cuts the
/// farewell short. `may_restart` is asked before it ends to be started afresh, which SIGHUP and the local broker can ask
/// for.
///
/// # Errors
///
/// When it cannot start at all.
pub async fn run(
    config: Config,
    stops: mpsc::Receiver<&'static str>,
    may_restart: MayRestart,
) -> Result<Ended, StartError> {
    let hangups = signal(SignalKind::hangup())?;
    let mut daemon = Daemon::new(config, may_restart).await?;
    Ok(daemon.run(stops, hangups).await)
}

/// Returns a receiver of SIGTERM and SIGINT.
///
/// # Errors
///
/// When the system refuses.
pub fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    task::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

struct Daemon {
    config: Config,
    state: StateDirectory,
    account: Arc<Account>,
    cloud: CloudLink,
    local: LocalLink,
    steps: mpsc::Receiver<Step>,
    step_done: mpsc::Sender<Step>,
    supervisor: Supervisor,
    bridge: Bridge,
    /// The newest write to the state directory.
    writing: Option<JoinHandle<()>>,
    /// What is kept of the outage.
    kept_outage: (Carried, alarm::Alarm),
    /// What was said of device lists, so that it is said once.
    said: BTreeSet<String>,
    /// The probe in flight, or the last one.
    probing: Option<JoinHandle<()>>,
    /// Told when a link or a route of this machine changes.
    network_changes: mpsc::Receiver<()>,
    alarm: alarm::Alarm,
    alerter: Option<Alerter>,
    administration: Administration,
    ending: Option<Ending>,
    /// So long the local broker may still come up and learn why we end.
    last_word_by: Instant,
    /// The process does not end by itself before this.
    leave_after: Instant,
    watchdog_every: Option<Duration>,
    watchdog_due: Instant,
}

impl Daemon {
    async fn new(config: Config, may_restart: MayRestart) -> Result<Self, StartError> {
        let (now, wall) = (clock::now(), clock::wall());
        let cloud = &config.cloud;
        let cloud_tls = tls::client_config(cloud.ca_file.as_deref(), None)?;
        let state = StateDirectory::new(&config.state_directory);
        state.remove_drafts().await;
        let mut random = [0u8; 40];
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        let word = |at: usize| random.iter().skip(at).take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        let identity = Identity {
            client: ClientId::new(state.client_id(word(0).to_be_bytes()).await),
            session: SessionId::from_random(((u128::from(word(8)) << 64) | u128::from(word(16))).to_be_bytes()),
        };
        let rest = RestClient::new(&cloud.api_url, &cloud_tls, cloud.connect_timeout, cloud.operation_timeout)?;
        let account = Account::new(rest, &config.account.email, config.account.password.clone(), state.clone());
        let administration = Administration::new(may_restart, report::rfc3339(wall));
        let about = administration::about(&config, &administration.started_at);
        // One step of an attempt is in flight at a time, and few questions beside it.
        let (step_done, steps) = mpsc::channel(64);
        let alerter = match config.alerts.clone() {
            Some(alerts) => Some(Alerter::start(alerts, &cloud_tls).map_err(std::io::Error::other)?),
            None => None,
        };
        let (network_changed, network_changes) = mpsc::channel(1);
        if config.reachability.enabled {
            network::watch(network_changed);
        }
        let (carried, alarm) = state.outage::<outage::Kept>().restore(Moment { now, wall });
        let cloud = CloudLink::new(identity.client.as_str(), cloud_tls)?;
        let mut bridge = Bridge::new(settings::bridge(&config), identity, &state.heaters(), about);
        bridge.restore(state.memories());
        Ok(Self {
            supervisor: Supervisor::new(settings::supervisor(&config), carried, word(24), now),
            bridge,
            cloud,
            local: LocalLink::new(&config, word(32), now)?,
            account: Arc::new(account),
            config,
            state,
            steps,
            step_done,
            writing: None,
            kept_outage: (carried, alarm),
            said: BTreeSet::new(),
            probing: None,
            network_changes,
            alarm,
            alerter,
            administration,
            ending: None,
            last_word_by: now,
            leave_after: now,
            watchdog_every: notify::watchdog_interval().map(|interval| interval / 3),
            watchdog_due: now,
        })
    }

    async fn run(&mut self, mut stops: mpsc::Receiver<&'static str>, mut hangups: Signal) -> Ended {
        info!(version = env!("CARGO_PKG_VERSION"), "Starting");
        self.tell(Input::Start, clock::now());
        self.on_time();
        self.carry_out();
        notify::ready();
        let ended = loop {
            let now = clock::now();
            let told = self.local.is_up() || now >= self.last_word_by;
            if let Some(ending) = self.ending.filter(|_| told && now >= self.leave_after) {
                break Ended::Leaving(match ending {
                    Ending::CloudUnavailable => Exit::CloudUnavailable,
                    Ending::CredentialsRejected => Exit::CredentialsRejected,
                });
            }
            if self.administration.restarting {
                break Ended::ToRestart;
            }
            let due = self.due();
            tokio::select! {
                who = stops.recv() => {
                    info!("{}: stopping", who.unwrap_or("nobody is left to stop us"));
                    break Ended::Leaving(Exit::Success);
                }
                Some(()) = hangups.recv() => self.ask_before_restart(RestartRequest::Signal),
                Some(event) = self.cloud.recv() => self.on_cloud(event),
                Some(event) = self.local.recv() => self.on_local(event),
                Some(step) = self.steps.recv() => self.on_step(step),
                Some(()) = self.network_changes.recv() => {
                    self.tell(Input::NetworkChanged, clock::now());
                }
                () = clock::sleep_until(due) => {}
            }
            self.on_time();
            self.carry_out();
        };
        let asked_again = tokio::select! {
            () = self.stop() => stops.try_recv().ok(),
            Some(who) = stops.recv() => Some(who),
        };
        let Some(who) = asked_again else { return ended };
        warn!("{who}: leaving at once");
        match ended {
            // Who asks to stop does not want a fresh start.
            Ended::ToRestart => Ended::Leaving(Exit::Success),
            Ended::Leaving(_) => ended,
        }
    }

    fn moment(&self) -> Moment {
        Moment { now: clock::now(), wall: clock::wall() }
    }

    fn due(&self) -> Instant {
        let supervisor = self.supervisor.poll_timeout(clock::now()).at;
        let watchdog = self.watchdog_every.map(|_| self.watchdog_due);
        let now = clock::now();
        let leaving = [self.last_word_by, self.leave_after].into_iter().filter(|at| *at > now).min();
        let leaving = self.ending.map(|_| leaving.unwrap_or(now));
        [self.bridge.due(), self.local.due(), watchdog, leaving].into_iter().flatten().fold(supervisor, Instant::min)
    }

    /// Lets everything pass that is due.
    fn on_time(&mut self) {
        let moment = self.moment();
        self.supervisor.handle_timeout(moment.now);
        self.bridge.handle_timeout(moment);
        let session = || (self.bridge.will(), self.bridge.filters());
        self.local.on_time(&self.config, session, moment.now);
        if let Some(every) = self.watchdog_every.filter(|_| moment.now >= self.watchdog_due) {
            self.watchdog_due = moment.now + every;
            if self.is_healthy(moment.now) {
                notify::watchdog();
            }
        }
    }

    /// Says whether the watchdog may be fed (contract, section 3).
    fn is_healthy(&self, now: Instant) -> bool {
        let limit = LINK_SILENCE + self.config.cloud.connect_timeout;
        let supervisor = self.supervisor.poll_timeout(now).at + OVERDUE >= now;
        let links = self.cloud.silence().max(self.local.silence()) <= limit;
        let descriptors = !descriptors::exhausted();
        if !(supervisor && links && descriptors) {
            error!(supervisor, links, descriptors, "Not healthy: the watchdog is not fed");
        }
        supervisor && links && descriptors && (self.ending.is_none() || now < self.leave_after)
    }
}
