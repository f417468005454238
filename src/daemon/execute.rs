//! What supervisor and bridge decided, executed.

use std::time::Duration;

use serde_json::{Value, json};
use tracing::{debug, info, trace, warn};

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
use crate::supervisor::{Effect, Ending, Event, Input, Reason, State};

/// Both links disconnect within this time; the process is gone within five seconds.
const STOP_LIMIT: Duration = Duration::from_secs(4);
/// A process that gives up by itself waits so long for its last alert; systemd kills it after ten seconds.
const ALERT_LIMIT: Duration = Duration::from_secs(8);

impl Daemon {
    /// Executes what supervisor and bridge decided, until neither has anything left.
    pub(super) fn drain_effects(&mut self) {
        loop {
            if let Some(effect) = self.supervisor.poll_effect(clock::wall()) {
                self.execute(effect);
            } else if let Some(effect) = self.bridge.poll_effect() {
                self.execute_for_bridge(effect);
            } else {
                return;
            }
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::EnsureCredentials(g, renewal) => self.tasks.ensure_credentials(g, renewal),
            Effect::SignIn(g) => self.tasks.sign_in(g),
            Effect::ListHeaters(g) => self.tasks.list_heaters(Some(g)),
            Effect::Dial(g) => {
                let cloud = &self.config.cloud;
                self.tasks.sign_url(g, cloud.mqtt_url.clone(), cloud.region.clone());
            }
            Effect::BeginSession(_) => {
                let moment = self.moment();
                self.bridge.session_begun(moment);
                self.bridge.handle_timeout(moment);
            }
            Effect::StartPeriodicRequests => self.bridge.start_periodic(),
            Effect::StopPeriodicRequests => {
                info!("Stopping {} periodic tasks", PERIODIC_TASKS);
                self.bridge.stop_periodic();
            }
            Effect::ForgetSession => self.bridge.session_ended(self.moment()),
            Effect::CloseLink(g) => {
                self.bridge.session_ended(self.moment());
                self.cloud.cut(g);
            }
            Effect::Probe(probe) => {
                self.tasks.probe(probe, settings::cloud_hosts(&self.config), self.config.cloud.connect_timeout);
            }
            Effect::Announce(event) => self.announce(&event),
            Effect::ViewChanged => self.show_view(),
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

    fn execute_for_bridge(&mut self, effect: bridge::Effect) {
        match effect {
            bridge::Effect::Publish(message) => self.local.publish(message, clock::now()),
            bridge::Effect::Request { message, answered } => {
                let g = self.supervisor.generation();
                trace!(topic = message.topic, "To the cloud");
                self.cloud.publish(g, message);
                if answered {
                    self.tell(Input::RequestSent(g));
                }
            }
            bridge::Effect::FetchTou { mac, controller_serial } => {
                if let Some(heater) = self.bridge.heaters().find(|heater| heater.mac == mac) {
                    self.tasks.fetch_tou(heater.clone(), controller_serial);
                }
            }
            bridge::Effect::RenewSession => {
                let reason = Reason::new("new-heater", "the account has a heater that the session does not serve");
                self.tell(Input::RenewSession(reason));
            }
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
        if let Some(outage) = self.outage.changes(self.supervisor.carried(), self.moment()) {
            self.state.keep_outage(outage);
        }
    }

    fn announce(&mut self, event: &Event) {
        let age = self.supervisor.carried().outage_since.map(|since| clock::now().saturating_duration_since(since));
        let known = self.outage.alarm().knows(event);
        match self.outage.telling(event, age) {
            Telling::Whole => report::log(event, &self.supervisor.view(), known),
            Telling::GoesOn(age) => report::log_outage(&self.supervisor.view(), age),
            Telling::Debug => debug!("{event:?}"),
        }
        let mut payload = report::event(event, clock::wall());
        self.bridge.publish_event(&payload);
        let words = self.outage.alarm().hear(event);
        self.keep_outage();
        if let Some(words) = words
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
        self.show_status();
        if view.state == State::Failed {
            self.bridge.give_up(moment);
        }
        self.bridge.set_connection(&report::connection(&view, moment));
        self.keep_outage();
    }

    /// Tells systemd how both links are.
    pub(super) fn show_status(&self) {
        let summary = self.supervisor.view().summary(clock::now());
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
        let wait = self.supervisor.request_wait(clock::now());
        if !wait.is_zero() {
            return Err(not_yet(wait));
        }
        info!("Reconnecting, as was asked for on the local broker");
        self.tell(Input::ReconnectRequested(Reason::new("requested", "a reconnect was requested")));
        Ok(Value::Null)
    }

    fn diagnostics(&self) -> Value {
        let sources = Diagnostics {
            moment: self.moment(),
            started_at: &self.started_at,
            config: &self.config,
            supervisor: &self.supervisor,
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
        self.tell(Input::Stop);
        self.drain_effects();
        let (to_cloud, to_local) =
            (self.bridge.closing_messages_to_cloud(), self.bridge.closing_messages(self.moment()));
        // With how the commands have ended.
        self.keep();
        let generation = self.supervisor.generation();
        let down = async {
            tokio::join!(self.cloud.disconnect(generation, to_cloud), self.local.disconnect(to_local));
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
