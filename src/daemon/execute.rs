//! What supervisor and bridge decided, executed.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tracing::{debug, info, info_span, trace, warn};

use super::administration::{self, RestartRequest};
use super::diagnostics::Diagnostics;
use super::outage::Telling;
use super::{Daemon, FINAL_EVENT_GRACE, report, settings};
use crate::bridge;
use crate::bridge::administration::Order;
use crate::heater::polling::PERIODIC_TASKS;
use crate::home::not_yet;
use crate::io::alert::Alert;
use crate::io::sign_ins::UNCOUNTED_WAIT;
use crate::io::{clock, notify};
use crate::supervisor::{Effect, Ending, Event, Generation, Input, Reason, State};

/// Both links disconnect within this time; the process is gone within five seconds.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// A process that gives up by itself waits so long for its last alert; systemd kills it after ten seconds.
const ALERT_LIMIT: Duration = Duration::from_secs(8);

impl Daemon {
    /// Executes what supervisor and bridge decided, until neither has anything left.
    pub(super) fn drain_effects(&mut self) {
        loop {
            if let Some((link, effect)) = self.supervisors.poll_effect(clock::wall()) {
                self.execute(link, effect);
            } else if let Some(effect) = self.bridge.poll_effect() {
                self.execute_for_bridge(effect);
            } else {
                break;
            }
        }
        if let (Some(http), Some(web)) = (&self.http, &self.bridge.web) {
            http.set_version(web.version());
        }
    }

    fn execute(&mut self, link: usize, effect: Effect) {
        match effect {
            Effect::EnsureCredentials(g, renewal) => self.tasks.ensure_credentials((link, g), renewal),
            Effect::SignIn(g) => self.tasks.sign_in((link, g)),
            Effect::ListHeaters(g) if link == 0 => self.tasks.list_heaters(Some(g)),
            // The first link reads the list for all.
            Effect::ListHeaters(g) => {
                let served = self.bridge.serves_over(link).then_some(());
                let outcome = served.ok_or_else(|| "no heater is left for this session".to_owned());
                self.tell(link, Input::HeatersListed(g, outcome));
            }
            Effect::Dial(g) => {
                let cloud = &self.config.cloud;
                self.tasks.sign_url((link, g), cloud.mqtt_url.clone(), cloud.region.clone());
            }
            Effect::BeginSession(_) => {
                let moment = self.moment();
                self.bridge.session_begun(link, moment);
                self.bridge.handle_timeout(moment);
            }
            Effect::StartPeriodicRequests => self.bridge.start_periodic(link),
            Effect::StopPeriodicRequests => {
                info!("Stopping {} periodic tasks", PERIODIC_TASKS);
                self.bridge.stop_periodic(link);
            }
            Effect::ForgetSession => self.bridge.session_ended(link, self.moment()),
            Effect::CloseLink(g) => self.cut(link, g),
            Effect::Probe(probe) => {
                let hosts = settings::cloud_hosts(&self.config);
                self.tasks.probe((link, probe), hosts, self.config.cloud.connect_timeout);
            }
            Effect::Announce(event) => self.announce(link, &event),
            Effect::ViewChanged => self.show_view(link),
            Effect::Exit(ending) => {
                let now = clock::now();
                self.ending = Some(ending);
                self.last_event_by = now + FINAL_EVENT_GRACE;
                if ending == Ending::CredentialsRejected && self.state.is_failing() {
                    // The next run could not know that the password was rejected.
                    warn!("Leaving in a minute: the state directory cannot be written, so nobody would remember this");
                    self.leave_after = now + UNCOUNTED_WAIT;
                }
            }
        }
    }

    fn cut(&mut self, link: usize, g: Generation) {
        self.bridge.session_ended(link, self.moment());
        if let Some(cloud) = self.cloud.get_mut(link) {
            cloud.cut(g);
        }
    }

    /// Starts another link, for the heaters that the others have no subscriptions for.
    fn open_link(&mut self, link: usize) {
        info!("Opening session {} with the cloud: the account has more heaters than one session serves", link + 1);
        match self.cloud.open(link, self.bridge.cloud_client(link)) {
            Ok(()) => self.supervisors.open(link, self.moment()),
            Err(error) => warn!("Session {} with the cloud cannot be opened: {error}", link + 1),
        }
    }

    fn close_link(&mut self, link: usize) {
        if let Some(g) = self.supervisors.close(link, self.moment()) {
            info!("Closing session {} with the cloud: it has no heater any more", link + 1);
            self.cut(link, g);
            self.show_view(0);
        }
    }

    fn execute_for_bridge(&mut self, effect: bridge::Effect) {
        match effect {
            bridge::Effect::Publish(message) => self.local.publish(message, clock::now()),
            bridge::Effect::Request { link, message, answered } => {
                let g = self.supervisors.generation(link);
                trace!(topic = message.topic, "To the cloud");
                if let Some(cloud) = self.cloud.get_mut(link) {
                    cloud.publish(g, message);
                }
                if answered {
                    self.tell(link, Input::RequestSent(g));
                }
            }
            bridge::Effect::FetchTou { mac, controller_serial } => {
                if let Some(heater) = self.bridge.heaters().find(|heater| heater.mac == mac) {
                    self.tasks.fetch_tou(heater.clone(), controller_serial);
                }
            }
            bridge::Effect::RenewSession(link) => {
                let reason = Reason::new("new-heater", "the account has a heater that the session does not serve");
                self.tell(link, Input::RenewSession(reason));
            }
            bridge::Effect::OpenLink(link) => self.open_link(link),
            bridge::Effect::CloseLink(link) => self.close_link(link),
            bridge::Effect::Command { mac, name, status, reason: Some(reason) } => {
                info!(device = %mac, command = name, "Command {name}: {status}, {reason}");
            }
            bridge::Effect::Command { mac, name, status, reason: None } => {
                info!(device = %mac, command = name, "Command {name}: {status}");
            }
            bridge::Effect::ListHeaters => self.tasks.list_heaters(None),
            bridge::Effect::Keep => self.keep(),
            bridge::Effect::Administer { order, id } => self.administer(order, id),
            bridge::Effect::Warn { heater, text } => match heater {
                Some(mac) => warn!(device = %mac, "{text}"),
                None => warn!("{text}"),
            },
        }
    }

    /// Keeps what is known of the heaters.
    fn keep(&mut self) {
        self.state.keep_heaters(self.bridge.heaters().cloned().collect(), self.bridge.memories());
    }

    /// Keeps the outage when something about it has changed.
    fn keep_outage(&mut self) {
        if let Some(outage) = self.outage.changes(self.supervisors.carried(), self.moment()) {
            self.state.keep_outage(outage);
        }
    }

    fn announce(&mut self, link: usize, event: &Event) {
        let (links, connected) = self.supervisors.count();
        let view = self.supervisors.view_of(link);
        let _span = (links > 1).then(|| info_span!("session", number = link + 1).entered());
        let age = self.supervisors.carried().outage_since.map(|since| clock::now().saturating_duration_since(since));
        let known = self.outage.alarm().knows(event);
        match self.outage.telling(event, age) {
            Telling::Whole => report::log(event, &view, known),
            Telling::GoesOn(age) => report::log_outage(&view, age),
            Telling::Debug => debug!("{event:?}"),
        }
        let mut payload = report::event(event, clock::wall());
        if links > 1 {
            payload["session"] = (link + 1).into();
        }
        self.bridge.publish_event(&payload);
        // All is well again when every session is back.
        let is_early = matches!(event, Event::Connected { .. } | Event::Recovered { .. }) && connected < links;
        let words = if is_early { None } else { self.outage.alarm().hear(event) };
        self.keep_outage();
        if let Some(words) = words
            && let Some(alerter) = &self.alerter
        {
            payload["service"] = env!("CARGO_PKG_NAME").into();
            payload["message"] = words.into();
            alerter.tell(Alert { event: payload["event"].as_str().unwrap_or_default().to_owned(), payload });
        }
    }

    fn show_view(&mut self, link: usize) {
        let moment = self.moment();
        self.show_status();
        if self.supervisors.view_of(link).state == State::Failed {
            self.bridge.give_up(link, moment);
        }
        let connection = report::connection(&self.supervisors.view(), self.supervisors.count(), moment);
        self.bridge.set_connection(&connection, self.supervisors.carried().outage_since, moment);
        self.keep_outage();
    }

    /// Tells systemd how both links are.
    pub(super) fn show_status(&self) {
        let summary = self.supervisors.view().summary(clock::now());
        notify::status(report::status_line(summary, self.local.trouble()));
    }

    fn administer(&mut self, order: Order, id: Option<Value>) {
        let name = order.name();
        let outcome = match order {
            Order::SetLogLevel(level) => administration::set_log_level(&level).map(|level| {
                self.bridge.set_about("log_level", level.into());
                json!({ "log_level": level })
            }),
            Order::Diagnostics => Ok(self.diagnostics()),
            Order::Reconnect => self.reconnect(),
            Order::Restart => match self.restarts.request_wait(clock::now()) {
                Duration::ZERO => {
                    let request = RestartRequest::LocalBroker(id);
                    return self.tasks.ask_before_restart(&self.restarts.may_restart, request);
                }
                wait => Err(not_yet(wait)),
            },
        };
        self.bridge.respond(name, id, outcome);
    }

    fn reconnect(&mut self) -> Result<Value, String> {
        let wait = self.supervisors.request_wait(clock::now());
        if !wait.is_zero() {
            return Err(not_yet(wait));
        }
        info!("Reconnecting, as was asked for on the local broker");
        self.tell_all(&Input::ReconnectRequested(Reason::new("requested", "a reconnect was requested")));
        Ok(Value::Null)
    }

    fn diagnostics(&self) -> Value {
        let sources = Diagnostics {
            moment: self.moment(),
            started_at: self.started_at,
            config: &self.config,
            supervisors: &self.supervisors,
            bridge: &self.bridge,
            cloud: &self.cloud,
            local: &self.local,
            account: self.tasks.account(),
        };
        sources.collect()
    }

    /// Starts afresh, if that would succeed, and answers who asked for it.
    pub(super) fn on_may_restart(&mut self, request: RestartRequest, answer: Result<(), String>) {
        let by = match request {
            RestartRequest::LocalBroker(_) => "on the local broker",
            RestartRequest::Signal => "by SIGHUP",
        };
        match &answer {
            Ok(()) => {
                info!("Starting afresh, as was asked for {by}");
                self.restarts.is_due = true;
            }
            Err(error) => {
                warn!("Not starting afresh, though that was asked for {by}: {error}");
                if matches!(request, RestartRequest::Signal) {
                    // For systemd, a reload that leaves everything as it was is over as well.
                    notify::reloading();
                    notify::ready();
                }
            }
        }
        if let RestartRequest::LocalBroker(id) = request {
            self.bridge.respond(Order::Restart.name(), id, answer.map(|()| Value::Null));
        }
    }

    /// Disconnects from the cloud and from the local broker, each as far as it is there, with the last messages. Tokens
    /// are kept at every change, so nothing is left to be saved but what is known of the heaters.
    pub(super) async fn stop(&mut self) {
        if self.restarts.is_due {
            notify::reloading();
        } else {
            notify::stopping();
        }
        self.tell_all(&Input::Stop);
        self.drain_effects();
        let to_local = self.bridge.closing_messages(self.moment());
        // With how the commands have ended.
        self.keep();
        let moment = self.moment();
        let history = self.bridge.web.as_mut().and_then(|web| web.keep(true, moment));
        history.into_iter().for_each(|history| self.state.keep_history(history));
        let (bridge, supervisors) = (&self.bridge, &self.supervisors);
        let to_cloud = self.cloud.iter_mut().map(|(link, cloud)| {
            cloud.disconnect(supervisors.generation(link), bridge.closing_messages_to_cloud(link))
        });
        let to_cloud = join_all(to_cloud.collect::<Vec<_>>());
        let down = async {
            tokio::join!(to_cloud, self.local.disconnect(to_local));
            self.state.finish().await;
        };
        let alerted = self.alerter.take();
        let limit = if self.ending.is_some() { ALERT_LIMIT } else { STOP_LIMIT };
        let alerted = async {
            if let Some(alerter) = alerted {
                alerter.finish(limit).await;
            }
        };
        let _ = tokio::join!(clock::within(STOP_LIMIT, down), alerted);
    }
}
