//! The one loop: it feeds the supervisor and the bridge what happens, and carries out what they decide.
//!
//! Everything slow runs in a task of its own and comes back as a `Step`; the loop itself never waits for anything
//! but the next event or the next due time. It feeds systemd's watchdog, and so vouches for itself by doing so.

mod alarm;
mod classify;
pub mod one_shot;
mod report;
mod settings;
mod stop;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, error, info, trace, warn};

use crate::bridge::{self, Bridge, Moment, Verdict};
use crate::config::Config;
use crate::exit::Exit;
use crate::io::alert::{Alert, Alerter};
use crate::io::mqtt::{Link, LinkError, LinkEvent};
use crate::io::rest::{Account, EnsureError, Renewal, RestClient, RestError, SignInError};
use crate::io::state::StateDirectory;
use crate::io::wire::UNREADABLE;
use crate::io::{clock, network, notify, task, tls};
use crate::navilink::account::Heater;
use crate::navilink::presign::{PresignError, presign};
use crate::navilink::session::{ClientId, Identity, SessionId};
use crate::navilink::topics;
use crate::supervisor::{
    self, Effect, Ending, Event, Generation, Input, Reason, Redial, SignInBudget, State, Supervisor,
};
use crate::units::Mac;

/// How many events of one link may wait for the loop.
const MAX_EVENTS: usize = 1024;
/// A due time that passed so long ago was missed: the loop is not healthy.
const OVERDUE: Duration = Duration::from_secs(30);
/// An actor shows life every few seconds, but not while it connects or takes leave.
const LINK_SILENCE: Duration = Duration::from_secs(45);

/// So many short sessions with the local broker in a row are said, one by one.
const SAID: u32 = 3;
/// A probe takes no longer than this.
const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// A process that gives up in its first moments waits so long for the local broker, to tell it why.
const LAST_WORD: Duration = Duration::from_secs(2);

/// What a task brings back.
enum Step {
    Credentials(Generation, Result<Duration, EnsureError>),
    SignedIn(Generation, Result<Duration, SignInError>),
    Listed(Generation, Result<Vec<Heater>, RestError>),
    Signed(Generation, Result<SecretString, PresignError>),
    Tou(Mac, Result<Value, RestError>),
    Probed(u64, bool),
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
/// farewell short.
///
/// # Errors
///
/// When it cannot start at all.
pub async fn run(config: Config, stops: mpsc::Receiver<&'static str>) -> Result<Exit, StartError> {
    let mut daemon = Daemon::new(config).await?;
    Ok(daemon.run(stops).await)
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
    identity: Identity,
    state: StateDirectory,
    account: Arc<Account>,
    cloud_tls: Arc<ClientConfig>,
    local_tls: Option<Arc<ClientConfig>>,
    cloud: Link,
    cloud_events: mpsc::Receiver<LinkEvent>,
    local: Link,
    local_events: mpsc::Receiver<LinkEvent>,
    steps: mpsc::Receiver<Step>,
    step_done: mpsc::Sender<Step>,
    supervisor: Supervisor,
    bridge: Bridge,
    redial: Redial,
    /// The times of the sign-ins being written; the next sign-in waits for it.
    saving: Option<JoinHandle<()>>,
    /// The probe in flight, or the last one.
    probing: Option<JoinHandle<()>>,
    /// Told when a link or a route of this machine changes.
    network_changes: mpsc::Receiver<()>,
    /// Whether the cloud's session is up.
    cloud_is_up: bool,
    alarm: alarm::Alarm,
    alerter: Option<Alerter>,
    /// Messages of the local broker that cannot be shown.
    unreadable: u64,
    ending: Option<Ending>,
    /// So long the local broker may still come up and learn why we end.
    last_word_by: Instant,
    watchdog_every: Option<Duration>,
    watchdog_due: Instant,
}

impl Daemon {
    async fn new(config: Config) -> Result<Self, StartError> {
        let (now, wall) = (clock::now(), clock::wall());
        let cloud = &config.cloud;
        let cloud_tls = tls::client_config(cloud.ca_file.as_deref(), None)?;
        let client = config.broker.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let local_tls = match config.broker.tls {
            true => Some(tls::client_config(config.broker.ca_file.as_deref(), client)?),
            false => None,
        };
        let state = StateDirectory::new(&config.state_directory);
        let mut random = [0u8; 40];
        getrandom::fill(&mut random).map_err(std::io::Error::from)?;
        let word = |at: usize| random.iter().skip(at).take(8).fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        let identity = Identity {
            client: ClientId::new(state.client_id(word(0).to_be_bytes()).await),
            session: SessionId::from_random(((u128::from(word(8)) << 64) | u128::from(word(16))).to_be_bytes()),
        };
        let rest = RestClient::new(&cloud.api_url, &cloud_tls, cloud.connect_timeout, cloud.operation_timeout)?;
        let account = Account::new(rest, &config.account.email, config.account.password.clone(), state.clone());
        let earlier = state.sign_ins(wall).into_iter();
        let earlier = earlier.filter_map(|at| now.checked_sub(wall.duration_since(at).unwrap_or_default()));
        let budget = SignInBudget::restore(earlier.collect());
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": report::rfc3339(wall),
            "configuration": config.dump(),
        });
        let (cloud_sender, cloud_events) = mpsc::channel(MAX_EVENTS);
        let (local_sender, local_events) = mpsc::channel(MAX_EVENTS);
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
        Ok(Self {
            supervisor: Supervisor::new(settings::supervisor(&config), budget, word(24), now),
            bridge: Bridge::new(settings::bridge(&config), identity.clone(), &state.heaters(), about),
            redial: Redial::new(now, 2 * config.cloud.connect_timeout + OVERDUE, word(32)),
            cloud: Link::new(identity.client.as_str(), cloud_sender)?,
            local: Link::new(&config.broker.client_id, local_sender)?,
            account: Arc::new(account),
            config,
            identity,
            state,
            cloud_tls,
            local_tls,
            cloud_events,
            local_events,
            steps,
            step_done,
            saving: None,
            probing: None,
            network_changes,
            cloud_is_up: false,
            alarm: alarm::Alarm::default(),
            alerter,
            unreadable: 0,
            ending: None,
            last_word_by: now,
            watchdog_every: notify::watchdog_interval().map(|interval| interval / 3),
            watchdog_due: now,
        })
    }

    async fn run(&mut self, mut stops: mpsc::Receiver<&'static str>) -> Exit {
        info!(version = env!("CARGO_PKG_VERSION"), "Starting");
        self.supervisor.handle_input(Input::Start, clock::now());
        self.on_time();
        self.carry_out();
        notify::ready();
        let exit = loop {
            let told = self.redial.is_up() || clock::now() >= self.last_word_by;
            if let Some(ending) = self.ending.filter(|_| told) {
                break match ending {
                    Ending::CloudUnavailable => Exit::CloudUnavailable,
                    Ending::CredentialsRejected => Exit::CredentialsRejected,
                };
            }
            let due = self.due();
            tokio::select! {
                who = stops.recv() => {
                    info!("{}: stopping", who.unwrap_or("nobody is left to stop us"));
                    break Exit::Success;
                }
                Some(event) = self.cloud_events.recv() => self.on_cloud(event),
                Some(event) = self.local_events.recv() => self.on_local(event),
                Some(step) = self.steps.recv() => self.on_step(step),
                Some(()) = self.network_changes.recv() => {
                    self.supervisor.handle_input(Input::NetworkChanged, clock::now());
                }
                () = clock::sleep_until(due) => {}
            }
            self.on_time();
            self.carry_out();
        };
        tokio::select! {
            () = self.stop() => {}
            Some(who) = stops.recv() => warn!("{who} again: leaving at once"),
        }
        exit
    }

    fn moment(&self) -> Moment {
        Moment { now: clock::now(), wall: clock::wall() }
    }

    fn due(&self) -> Instant {
        let supervisor = self.supervisor.poll_timeout(clock::now()).at;
        let watchdog = self.watchdog_every.map(|_| self.watchdog_due);
        let last_word = self.ending.map(|_| self.last_word_by);
        [self.bridge.due(), self.redial.due(), watchdog, last_word].into_iter().flatten().fold(supervisor, Instant::min)
    }

    /// Lets everything pass that is due.
    fn on_time(&mut self) {
        let moment = self.moment();
        self.supervisor.handle_timeout(moment.now);
        self.bridge.handle_timeout(moment);
        if let Some(session) = self.redial.handle_timeout(moment.now) {
            let filters = settings::bridge(&self.config).topics.filters();
            let dial = settings::local_dial(&self.config, self.local_tls.as_ref(), self.bridge.will(), filters);
            self.local.dial(session.0, dial);
        }
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
        let links = [&self.cloud, &self.local].iter().all(|link| link.health().silence() <= limit);
        if !(supervisor && links) {
            error!(supervisor, links, "Not healthy: the watchdog is not fed");
        }
        supervisor && links && self.ending.is_none()
    }

    fn on_cloud(&mut self, event: LinkEvent) {
        let moment = self.moment();
        let input = match event {
            LinkEvent::Up { session, connack_after } => {
                debug!(session, ?connack_after, "Session with the cloud is up");
                self.cloud_is_up = session == self.supervisor.generation().0;
                Input::LinkUp(Generation(session))
            }
            LinkEvent::Message { session, topic, payload, .. } => {
                trace!(session, topic, bytes = payload.len(), "From the cloud");
                match self.bridge.cloud_message(&topic, &payload, moment) {
                    Verdict::Answered => Input::Answered(Generation(session)),
                    Verdict::Heard => Input::Heard(Generation(session)),
                }
            }
            LinkEvent::Down { session, error } => {
                if session == self.supervisor.generation().0 {
                    self.cloud_is_up = false;
                    self.bridge.session_ended();
                }
                Input::LinkDown(Generation(session), classify::link(&error, moment.wall))
            }
        };
        self.supervisor.handle_input(input, moment.now);
    }

    fn on_local(&mut self, event: LinkEvent) {
        let moment = self.moment();
        match event {
            LinkEvent::Up { session, connack_after } => {
                debug!(session, ?connack_after, "Session with the local broker is up");
                self.redial.link_up(Generation(session), moment.now);
                let messages = self.bridge.replay();
                if self.redial.short_sessions() < SAID {
                    info!(messages = messages.len(), "Connected to the local broker");
                }
                for message in messages {
                    self.local.publish(session, settings::publication(message));
                }
            }
            LinkEvent::Message { topic, payload, retained, .. } if topic != UNREADABLE => {
                trace!(topic, bytes = payload.len(), "From the local broker");
                self.bridge.local_message(&topic, &payload, retained, moment);
            }
            LinkEvent::Message { .. } => {
                self.unreadable += 1;
                if self.unreadable == 1 || self.unreadable.is_multiple_of(100) {
                    let count = self.unreadable;
                    warn!(count, "A message of the local broker has a topic or a size that is not accepted");
                }
            }
            LinkEvent::Down { session, error } => {
                let was_up = self.redial.is_up();
                let Some(delay) = self.redial.link_down(Generation(session), moment.now) else { return };
                // Said when it is new, and again every so often; counted in between.
                let attempts = self.redial.failures();
                let new = attempts == 1 || (was_up && self.redial.short_sessions() < SAID);
                if new || attempts.is_multiple_of(100) {
                    warn!(attempts, "No connection to the local broker, trying on: {error}");
                } else {
                    debug!(delay_ms = delay.as_millis(), "Local broker: {error}");
                }
            }
        }
    }

    fn on_step(&mut self, step: Step) {
        let now = clock::now();
        let input = match step {
            Step::Credentials(g, Ok(life)) => Input::CredentialsReady(g, life),
            Step::Credentials(g, Err(EnsureError::SignInNeeded(why))) => {
                Input::SignInNeeded(g, Reason::new("sign-in", why))
            }
            Step::Credentials(g, Err(EnsureError::Failed(error))) => Input::StepFailed(g, classify::rest(&error)),
            Step::SignedIn(g, Ok(life)) => {
                info!("Signed in to the cloud");
                Input::CredentialsReady(g, life)
            }
            Step::SignedIn(g, Err(error)) => Input::StepFailed(g, classify::sign_in(&error)),
            Step::Listed(g, Ok(heaters)) => {
                self.take_heaters(&heaters);
                Input::HeatersListed(g, heaters.len())
            }
            Step::Listed(g, Err(error)) => Input::StepFailed(g, classify::rest(&error)),
            Step::Signed(g, signed) => return self.dial_cloud(g, signed),
            Step::Probed(probe, reached) => Input::Probed(probe, reached),
            Step::Tou(mac, Ok(data)) => return self.bridge.tou_fetched(&mac, &data),
            Step::Tou(mac, Err(error)) => {
                warn!(device = %mac, "The time-of-use schedule cannot be read: {error}");
                return;
            }
        };
        self.supervisor.handle_input(input, now);
    }

    fn take_heaters(&mut self, heaters: &[Heater]) {
        info!(heaters = heaters.len(), "The account's heaters are listed");
        for device in &self.config.devices {
            if heaters.iter().all(|heater| heater.mac != device.mac) {
                warn!(device = %device.mac, "The configuration names a heater that is not in the account");
            }
        }
        self.bridge.set_heaters(heaters);
        let (state, heaters) = (self.state.clone(), heaters.to_vec());
        task::spawn(async move { state.keep_heaters(&heaters).await });
    }

    fn dial_cloud(&mut self, g: Generation, signed: Result<SecretString, PresignError>) {
        if g != self.supervisor.generation() {
            return;
        }
        let url = match signed {
            Ok(url) => url,
            Err(error) => {
                let failure = supervisor::Failure {
                    decision: supervisor::Decision::Bug,
                    reason: Reason::new("presign", error.to_string()),
                    reach: supervisor::Reach::Host,
                };
                return self.supervisor.handle_input(Input::LinkDown(g, failure), clock::now());
            }
        };
        let heaters: Vec<Heater> = self.bridge.heaters().cloned().collect();
        let mut dial = settings::cloud_dial(&self.config, &self.cloud_tls, url);
        dial.filters = topics::filters(&heaters, &self.identity.client);
        dial.will = self.bridge.cloud_will().map(|will| crate::io::mqtt::Publication {
            topic: will.topic,
            payload: will.payload,
            retained: false,
        });
        self.cloud.dial(g.0, dial);
    }

    /// Carries out what supervisor and bridge decided, until neither has anything left.
    fn carry_out(&mut self) {
        loop {
            if let Some(effect) = self.supervisor.poll_effect() {
                self.obey_supervisor(effect);
            } else if let Some(effect) = self.bridge.poll_effect() {
                self.obey_bridge(effect);
            } else {
                return;
            }
        }
    }

    fn obey_supervisor(&mut self, effect: Effect) {
        match effect {
            Effect::EnsureCredentials(g, renewal) => {
                let (account, renewal) = (Arc::clone(&self.account), renewal_of(renewal));
                self.start(async move {
                    let outcome = account.ensure(renewal).await;
                    let life = account.renew_in().await;
                    Step::Credentials(g, outcome.map(|()| life))
                });
            }
            Effect::SaveSignIns => self.save_sign_ins(),
            Effect::SignIn(g) => {
                let (account, saving) = (Arc::clone(&self.account), self.saving.take());
                self.start(async move {
                    if let Some(saving) = saving {
                        let _ = saving.await;
                    }
                    let outcome = account.sign_in().await;
                    let life = account.renew_in().await;
                    Step::SignedIn(g, outcome.map(|()| life))
                });
            }
            Effect::ListHeaters(g) => {
                let account = Arc::clone(&self.account);
                self.start(async move { Step::Listed(g, account.heaters().await) });
            }
            Effect::Dial(g) => self.sign_url(g),
            Effect::BeginSession(_) => {
                let moment = self.moment();
                self.bridge.session_begun(moment.now);
                self.bridge.handle_timeout(moment);
            }
            Effect::StartPeriodicRequests => self.bridge.start_periodic(),
            Effect::StopPeriodicRequests => {
                info!("Stopping {} periodic tasks", bridge::polling::PERIODIC_TASKS);
                self.bridge.stop_periodic();
            }
            Effect::ForgetSession => self.bridge.session_ended(),
            Effect::CloseLink(g) => {
                self.cloud_is_up = false;
                self.bridge.session_ended();
                self.cloud.cut(g.0);
            }
            Effect::Probe(probe) => self.probe(probe),
            Effect::Announce(event) => self.announce(&event),
            Effect::ViewChanged => self.show_view(),
            Effect::Exit(ending) => {
                self.ending = Some(ending);
                self.last_word_by = clock::now() + LAST_WORD;
            }
        }
    }

    fn obey_bridge(&mut self, effect: bridge::Effect) {
        match effect {
            bridge::Effect::Publish(message) => {
                if self.redial.is_up() {
                    self.local.publish(self.redial.generation().0, settings::publication(message));
                }
            }
            bridge::Effect::Request { message, answered } => {
                let g = self.supervisor.generation();
                trace!(topic = message.topic, "To the cloud");
                self.cloud.publish(
                    g.0,
                    crate::io::mqtt::Publication { topic: message.topic, payload: message.payload, retained: false },
                );
                if answered {
                    self.supervisor.handle_input(Input::RequestSent(g), clock::now());
                }
            }
            bridge::Effect::FetchTou { mac, controller_serial } => {
                let Some(heater) = self.bridge.heaters().find(|heater| heater.mac == mac).cloned() else { return };
                let account = Arc::clone(&self.account);
                self.start(async move { Step::Tou(mac, account.tou(&heater, &controller_serial).await) });
            }
            bridge::Effect::Reconnect => {
                info!("A reconnect is asked for on the local broker");
                self.account.insist();
                let reason = Reason::new("requested", "a reconnect was requested");
                self.supervisor.handle_input(Input::ReconnectRequested(reason), clock::now());
            }
            bridge::Effect::Warn { heater, text } => match heater {
                Some(mac) => warn!(device = %mac, "{text}"),
                None => warn!("{text}"),
            },
        }
    }

    /// One probe at a time: a newer one makes the older one worthless.
    fn probe(&mut self, probe: u64) {
        let (hosts, limit) = (settings::cloud_hosts(&self.config), PROBE_LIMIT.min(self.config.cloud.connect_timeout));
        if let Some(older) = self.probing.take() {
            older.abort();
        }
        self.probing = Some(self.start(async move { Step::Probed(probe, network::reachable(&hosts, limit).await) }));
    }

    fn start(&self, work: impl Future<Output = Step> + Send + 'static) -> JoinHandle<()> {
        let done = self.step_done.clone();
        task::spawn(async move {
            // The loop is gone when this fails, and nobody waits any more.
            let _ = done.send(work.await).await;
        })
    }

    fn save_sign_ins(&mut self) {
        let Moment { now, wall } = self.moment();
        let used = self.supervisor.sign_ins().iter();
        let times = used.filter_map(|at| wall.checked_sub(now.saturating_duration_since(*at))).collect();
        let state = self.state.clone();
        let earlier = self.saving.take();
        self.saving = Some(task::spawn(async move {
            if let Some(earlier) = earlier {
                let _ = earlier.await;
            }
            state.keep_sign_ins(times).await;
        }));
    }

    fn sign_url(&self, g: Generation) {
        let account = Arc::clone(&self.account);
        let (url, region) = (self.config.cloud.mqtt_url.clone(), self.config.cloud.region.clone());
        self.start(async move {
            let Some(credentials) = account.aws_credentials().await else {
                return Step::Credentials(g, Err(EnsureError::SignInNeeded("the credentials are gone".into())));
            };
            Step::Signed(g, presign(&url, &region, &credentials, clock::wall()))
        });
    }

    fn announce(&mut self, event: &Event) {
        report::log(event, self.supervisor.view().state);
        let mut payload = report::event(event, clock::wall());
        self.bridge.publish_event(&payload);
        if let Some(words) = self.alarm.hear(event)
            && let Some(alerter) = &self.alerter
        {
            payload["service"] = env!("CARGO_PKG_NAME").into();
            payload["message"] = words.into();
            alerter.tell(Alert { event: payload["event"].as_str().unwrap_or_default().to_owned(), payload });
        }
    }

    fn show_view(&mut self) {
        let moment = self.moment();
        let view = self.supervisor.view();
        notify::status(view.summary(moment.now));
        if view.state == State::Failed {
            self.bridge.give_up();
        }
        self.bridge.set_connection(&report::connection(&view, moment));
    }
}

fn renewal_of(renewal: supervisor::Renewal) -> Renewal {
    match renewal {
        supervisor::Renewal::IfExpiring => Renewal::IfExpiring,
        supervisor::Renewal::Refused => Renewal::Refused,
        supervisor::Renewal::All => Renewal::All,
    }
}
