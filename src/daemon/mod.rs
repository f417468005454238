//! The one loop: it feeds the supervisor and the bridge what happens, and carries out what they decide.
//!
//! Everything slow runs in a task of its own and comes back as a `TaskResult`; the loop itself never waits for anything
//! but the next event or the next due time. It feeds systemd's watchdog, and so vouches for itself by doing so.

mod administration;
mod alarm;
mod classify;
mod cloud_link;
mod diagnostics;
mod execute;
mod list_notices;
mod local_link;
pub mod one_shot;
pub mod outage;
mod reasons;
mod reminder;
mod report;
mod retention;
pub mod settings;
mod start;
mod state_writer;
mod tasks;
mod trace;
mod web;

use std::time::{Duration, Instant, SystemTime};

use secrecy::SecretString;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tracing::{debug, error, info, trace, warn};

pub use administration::{Ended, MayRestart};
use administration::{RestartRequest, Restarts};
use cloud_link::CloudLinks;
use list_notices::ListNotices;
use local_link::LocalLink;
use outage::{KeptOutage, OutageLog};
pub use start::{StartError, signals};
use state_writer::StateWriter;
use tasks::{TaskResult, Tasks};
use trace::TracedSupervisors;
use web::WebSources;

use crate::bridge::{Bridge, Verdict};
use crate::config::Config;
use crate::exit::Exit;
use crate::io::alert::Alerter;
use crate::io::http::{HttpServer, Question};
use crate::io::mqtt::LinkEvent;
use crate::io::rest::{Account, EnsureError, RestClient, SignInError};
use crate::io::state::StateDirectory;
use crate::io::wire::UNREADABLE;
use crate::io::{clock, descriptors, memory, network, notify, tls};
use crate::model::{Message, Moment};
use crate::navilink::devices::DeviceList;
use crate::navilink::presign::PresignError;
use crate::navilink::session::{ClientId, Identity, SessionId};
use crate::outputs::web::Web;
use crate::product;
use crate::supervisor::{self, Ending, Generation, Input, Reason, Supervisors};

/// How many events of one link may wait for the loop; their bytes have a bound of their own.
const MAX_EVENTS: usize = 16 * 1024;
/// A due time that passed so long ago was missed: the loop is not healthy.
const OVERDUE: Duration = Duration::from_secs(30);
/// An actor shows life every few seconds, but not while it connects or disconnects.
const LINK_SILENCE: Duration = Duration::from_secs(45);
/// After so long what a session asks for at its beginning has been answered.
const TRIM_AFTER: Duration = Duration::from_secs(20);

/// A process that gives up in its first moments waits so long for the local broker, to tell it why.
const FINAL_EVENT_GRACE: Duration = Duration::from_secs(2);

/// Runs until `stops` says who asks it to stop, or it gives up as configured. A second word from `stops` cuts the
/// disconnection short. `may_restart` is asked before it ends to be started afresh, which SIGHUP and the local broker
/// can ask for; `afresh` says that this is such a start, after which the local broker has to wait for the next one.
///
/// # Errors
///
/// When it cannot start at all.
pub async fn run(
    config: Config,
    stops: mpsc::Receiver<&'static str>,
    may_restart: MayRestart,
    afresh: bool,
) -> Result<Ended, StartError> {
    let hangups = signal(SignalKind::hangup())?;
    let mut daemon = Daemon::new(config, may_restart, afresh).await?;
    Ok(daemon.run(stops, hangups).await)
}

struct Daemon {
    config: Config,
    cloud: CloudLinks,
    local: LocalLink,
    tasks: Tasks,
    supervisors: TracedSupervisors,
    bridge: Bridge,
    state: StateWriter,
    outage: OutageLog,
    list_notices: ListNotices,
    /// Told when a link or a route of this machine changes.
    network_changes: mpsc::Receiver<()>,
    alerter: Option<Alerter>,
    http: Option<HttpServer>,
    restarts: Restarts,
    /// When the daemon started.
    started_at: SystemTime,
    ending: Option<Ending>,
    /// So long the local broker may still come up and learn why we end.
    last_event_by: Instant,
    /// The process does not end by itself before this.
    leave_after: Instant,
    watchdog_every: Option<Duration>,
    watchdog_due: Instant,
    /// When to give back what a session has taken to begin.
    trim_due: Option<Instant>,
}

impl Daemon {
    async fn new(config: Config, may_restart: MayRestart, afresh: bool) -> Result<Self, StartError> {
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
        let about = administration::about(&config, &report::rfc3339(wall));
        let alerter = match config.alerts.clone() {
            Some(alerts) => Some(Alerter::start(alerts, &cloud_tls).map_err(std::io::Error::other)?),
            None => None,
        };
        let (network_changed, network_changes) = mpsc::channel(1);
        if config.reachability.enabled {
            network::watch(network_changed);
        }
        let outage = state.outage::<KeptOutage>().restore(Moment { now, wall });
        let mut cloud = CloudLinks::new(cloud_tls);
        cloud.open(0, identity.client.as_str())?;
        let mut bridge = Bridge::new(settings::bridge(&config), identity, &state.heaters(), about);
        bridge.restore(state.memories());
        let discovery = state.discovery();
        if let Some(earlier) = &discovery {
            bridge.take_back(earlier);
        }
        let http =
            config.http.as_ref().map(|http| web::start(http, &mut bridge, &state, Moment { now, wall })).transpose()?;
        let supervisors = Supervisors::new(settings::supervisor(&config), outage.carried(), word(24), now);
        Ok(Self {
            supervisors: TracedSupervisors::new(supervisors),
            bridge,
            cloud,
            local: LocalLink::new(&config, word(32), now)?,
            tasks: Tasks::new(account),
            config,
            state: StateWriter::new(state, discovery),
            outage,
            list_notices: ListNotices::default(),
            network_changes,
            alerter,
            http,
            restarts: Restarts::new(may_restart, afresh.then_some(now)),
            started_at: wall,
            ending: None,
            last_event_by: now,
            leave_after: now,
            watchdog_every: notify::watchdog_interval().map(|interval| interval / 3),
            watchdog_due: now,
            trim_due: None,
        })
    }

    async fn run(&mut self, mut stops: mpsc::Receiver<&'static str>, mut hangups: Signal) -> Ended {
        info!(version = env!("CARGO_PKG_VERSION"), "Starting");
        self.tell_all(&Input::Start);
        self.handle_timeouts();
        self.drain_effects();
        notify::ready();
        let ended = loop {
            let now = clock::now();
            let told = self.local.is_up() || now >= self.last_event_by;
            if let Some(ending) = self.ending.filter(|_| told && now >= self.leave_after) {
                break Ended::Leaving(match ending {
                    Ending::CloudUnavailable => Exit::CloudUnavailable,
                    Ending::CredentialsRejected => Exit::CredentialsRejected,
                });
            }
            if self.restarts.is_due {
                break Ended::ToRestart;
            }
            let due = self.due();
            tokio::select! {
                who = stops.recv() => {
                    info!("{}: stopping", who.unwrap_or("nobody is left to stop us"));
                    break Ended::Leaving(Exit::Success);
                }
                Some(()) = hangups.recv() => {
                    self.tasks.ask_before_restart(&self.restarts.may_restart, RestartRequest::Signal);
                }
                Some((link, event)) = self.cloud.recv() => self.on_cloud(link, event),
                Some(event) = self.local.recv() => self.on_local(event),
                Some((link, result)) = self.tasks.recv() => self.on_task(link, result),
                Some(()) = self.network_changes.recv() => self.tell_all(&Input::NetworkChanged),
                Some(question) = HttpServer::recv(&mut self.http) => self.answer(question),
                () = clock::sleep_until(due) => {}
            }
            self.handle_timeouts();
            self.drain_effects();
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
        let supervisor = self.supervisors.poll_timeout(clock::now()).at;
        let watchdog = self.watchdog_every.map(|_| self.watchdog_due);
        let now = clock::now();
        let leaving = [self.last_event_by, self.leave_after].into_iter().filter(|at| *at > now).min();
        let leaving = self.ending.map(|_| leaving.unwrap_or(now));
        let due = [self.bridge.due(), self.local.due(), watchdog, self.trim_due, leaving];
        due.into_iter().flatten().fold(supervisor, Instant::min)
    }

    /// Fires the timers that are due.
    fn handle_timeouts(&mut self) {
        let moment = self.moment();
        self.supervisors.handle_timeout(moment.now);
        self.bridge.handle_timeout(moment);
        let session = || (self.bridge.will(), self.bridge.filters());
        self.local.handle_timeout(&self.config, session, moment.now);
        if let Some(every) = self.watchdog_every.filter(|_| moment.now >= self.watchdog_due) {
            self.watchdog_due = moment.now + every;
            match self.unhealthy(moment.now) {
                None => notify::watchdog(),
                Some(trouble) => error!("Not healthy, the watchdog is not fed: {trouble}"),
            }
        }
        if self.trim_due.take_if(|due| *due <= moment.now).is_some() {
            memory::give_back();
        }
        let kept = self.bridge.web.as_mut().and_then(|web| web.keep(false, moment));
        kept.into_iter().for_each(|kept| self.state.keep_history(kept));
    }

    /// Answers a question of the HTTP server.
    fn answer(&self, question: Question) {
        let moment = self.moment();
        let sources = WebSources {
            moment,
            started_at: self.started_at,
            supervisors: &self.supervisors,
            bridge: &self.bridge,
            cloud: &self.cloud,
            local: &self.local,
            account: self.tasks.account(),
            unhealthy: self.unhealthy(moment.now),
        };
        if let Some(answer) = sources.answer(question.document) {
            // Who asked may have gone.
            let _ = question.answer.send(answer);
        }
    }

    /// Says why the watchdog may not be fed (contract, section 3).
    fn unhealthy(&self, now: Instant) -> Option<String> {
        let limit = LINK_SILENCE + self.config.cloud.connect_timeout;
        let supervisor = self.supervisors.poll_timeout(now).at + OVERDUE >= now;
        let links = self.cloud.silence().max(self.local.silence()) <= limit;
        let descriptors = !descriptors::exhausted();
        let troubles = [
            (!supervisor).then_some("the supervisor is overdue"),
            (!links).then_some("a link does not report in"),
            (!descriptors).then_some("no descriptor is left"),
            (self.ending.is_some() && now >= self.leave_after).then_some("every attempt failed, the process ends"),
        ];
        let troubles: Vec<&str> = troubles.into_iter().flatten().collect();
        (!troubles.is_empty()).then(|| troubles.join(", "))
    }

    /// Tells the supervisor of a link what happened.
    fn tell(&mut self, link: usize, input: Input) {
        self.supervisors.handle_input(link, input, self.moment());
    }

    /// Tells the supervisors of all links.
    fn tell_all(&mut self, input: &Input) {
        self.supervisors.handle_input_of_all(input, self.moment());
    }

    /// Takes note of whether a session of a link is up; returns whether it is the one that counts.
    fn set_up(&mut self, link: usize, session: u64, is_up: bool) -> bool {
        let counts = session == self.supervisors.generation(link).0;
        if let Some(cloud) = self.cloud.get_mut(link).filter(|_| counts || is_up) {
            cloud.set_up((is_up && counts).then(clock::now));
        }
        counts
    }

    fn on_cloud(&mut self, link: usize, event: LinkEvent) {
        let moment = self.moment();
        let input = match event {
            LinkEvent::Up { session, connack_after } => {
                debug!(link = link + 1, session, ?connack_after, "Session with the cloud is up");
                self.set_up(link, session, true);
                self.trim_due.get_or_insert(moment.now + TRIM_AFTER);
                Input::LinkUp(Generation(session))
            }
            LinkEvent::Message { session, topic, payload, retained, .. } => {
                trace!(session, topic, bytes = payload.len(), "From the cloud");
                self.tasks.account().recorder().with(|last| last.message(&topic, &payload, retained, moment.wall));
                match self.bridge.cloud_message(link, &Message { topic, payload, retained }, moment) {
                    Verdict::Answered => Input::Answered(Generation(session)),
                    Verdict::Heard => Input::Heard(Generation(session)),
                }
            }
            // Not told of a link that is not lenient.
            LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. } => return,
            LinkEvent::Down { session, error, .. } => {
                if self.set_up(link, session, false) {
                    self.bridge.session_ended(link, moment);
                }
                Input::LinkDown(Generation(session), classify::link(&error, moment.wall))
            }
        };
        self.tell(link, input);
    }

    fn on_local(&mut self, event: LinkEvent) {
        let moment = self.moment();
        match event {
            LinkEvent::Up { session, connack_after } => {
                self.local.up(session, connack_after, self.bridge.replay(), moment.now);
                self.bridge.states_again(moment.now);
                self.state.keep_discovery(self.bridge.discovery());
                self.show_status();
            }
            LinkEvent::Delivered { session } => {
                if self.local.delivered(session, moment.now) {
                    self.show_status();
                }
            }
            LinkEvent::Subscribed { session, filter, granted } => {
                self.local.subscribed(session, filter, granted, moment.now);
                self.show_status();
            }
            LinkEvent::Message { topic, payload, retained, .. } if topic != UNREADABLE => {
                trace!(topic, bytes = payload.len(), "From the local broker");
                self.bridge.local_message(&topic, &payload, retained, moment);
            }
            LinkEvent::Message { .. } => self.local.count_unreadable(),
            LinkEvent::Down { session, stage, error } => {
                self.local.down(session, stage, &error, moment.now);
                self.bridge.broker_gone();
                self.show_status();
            }
        }
    }

    fn on_task(&mut self, link: usize, result: TaskResult) {
        let input = match result {
            TaskResult::Credentials(g, Ok(life)) => Input::CredentialsReady(g, life),
            TaskResult::Credentials(g, Err(EnsureError::SignInNeeded(why))) => {
                Input::SignInNeeded(g, why.map(|why| Reason::new("sign-in", why)))
            }
            TaskResult::Credentials(g, Err(EnsureError::Failed(error))) => Input::StepFailed(g, classify::rest(&error)),
            TaskResult::SignedIn(g, Ok(life)) => {
                info!("Signed in to the cloud");
                self.bridge.web.iter_mut().for_each(Web::count_sign_in);
                Input::CredentialsReady(g, life)
            }
            TaskResult::SignedIn(g, Err(SignInError::TooSoon(too_soon))) => Input::SignInPostponed(g, too_soon.wait()),
            TaskResult::SignedIn(g, Err(error)) => Input::StepFailed(g, classify::sign_in(&error)),
            TaskResult::Listed(None, Ok(list)) => return self.take_list(&list),
            TaskResult::Listed(None, Err(error)) => {
                warn!("The account's device list cannot be read: {error}");
                return;
            }
            TaskResult::Listed(Some(g), Ok(list)) => {
                info!(heaters = list.heaters.len(), "The account's heaters are listed");
                self.take_list(&list);
                // A heater that this list leaves out may be there all the same.
                let known = self.bridge.serves_over(link).then_some(());
                Input::HeatersListed(g, known.ok_or_else(|| list.in_place_of_heaters(&product::names())))
            }
            TaskResult::Listed(Some(g), Err(error)) => Input::StepFailed(g, classify::rest(&error)),
            TaskResult::Signed(g, signed) => return self.dial_cloud(link, g, signed),
            TaskResult::Probed(probe, reached) => Input::Probed(probe, reached),
            TaskResult::MayRestart(request, answer) => return self.on_may_restart(request, answer),
            TaskResult::Tou(mac, Ok(data)) => return self.bridge.tou_fetched(&mac, &data, self.moment()),
            TaskResult::Tou(mac, Err(error)) => {
                warn!(device = %mac, "The time-of-use schedule cannot be read: {error}");
                return;
            }
        };
        self.tell(link, input);
    }

    /// Takes the account's device list.
    fn take_list(&mut self, list: &DeviceList) {
        self.list_notices.log(list, &self.config.devices, &self.config.account.heaters);
        self.bridge.set_heaters(list, self.moment());
    }

    fn dial_cloud(&mut self, link: usize, g: Generation, signed: Result<SecretString, PresignError>) {
        if !self.supervisors.is_dialling(link, g) {
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
                return self.tell(link, Input::LinkDown(g, failure));
            }
        };
        let session = (self.bridge.cloud_filters(link), self.bridge.cloud_will(link));
        if let Some(cloud) = self.cloud.get_mut(link) {
            cloud.dial(g, &self.config, url, session);
        }
    }
}
