//! What supervisor and bridge decided, carried out.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tracing::{info, trace, warn};

use super::{Daemon, LAST_WORD, PROBE_LIMIT, Step, report, settings};
use crate::bridge;
use crate::heater::polling::PERIODIC_TASKS;
use crate::io::alert::Alert;
use crate::io::rest::EnsureError;
use crate::io::sign_ins::UNCOUNTED_WAIT;
use crate::io::{clock, network, notify, task};
use crate::navilink::devices::Device;
use crate::navilink::presign::presign;
use crate::supervisor::{Effect, Ending, Event, Generation, Input, Reason, State};

impl Daemon {
    /// Carries out what supervisor and bridge decided, until neither has anything left.
    pub(super) fn carry_out(&mut self) {
        loop {
            if let Some(effect) = self.decided() {
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
                let account = Arc::clone(&self.account);
                self.start(async move {
                    let outcome = account.ensure(renewal).await;
                    let life = account.renew_in().await;
                    Step::Credentials(g, outcome.map(|()| life))
                });
            }
            Effect::SignIn(g) => {
                let account = Arc::clone(&self.account);
                self.start(async move {
                    let outcome = account.sign_in().await;
                    let life = account.renew_in().await;
                    Step::SignedIn(g, outcome.map(|()| life))
                });
            }
            Effect::ListHeaters(g) => {
                let account = Arc::clone(&self.account);
                self.start(async move { Step::Listed(g, account.devices().await) });
            }
            Effect::Dial(g) => self.sign_url(g),
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
            Effect::Probe(probe) => self.probe(probe),
            Effect::Announce(event) => self.announce(&event),
            Effect::ViewChanged => self.show_view(),
            Effect::Exit(ending) => {
                let now = clock::now();
                self.ending = Some(ending);
                self.last_word_by = now + LAST_WORD;
                if ending == Ending::CredentialsRejected && self.state.is_failing() {
                    // The next run could not know that the password was rejected.
                    warn!("Leaving in a minute: the state directory cannot be written, so nobody would remember this");
                    self.leave_after = now + UNCOUNTED_WAIT;
                }
            }
        }
    }

    fn obey_bridge(&mut self, effect: bridge::Effect) {
        match effect {
            bridge::Effect::Publish(message) => self.local.publish(message, clock::now()),
            bridge::Effect::Request { message, answered } => {
                let g = self.supervisor.generation();
                trace!(topic = message.topic, "To the cloud");
                self.cloud.publish(g, message);
                if answered {
                    self.tell(Input::RequestSent(g), clock::now());
                }
            }
            bridge::Effect::FetchTou { mac, controller_serial } => {
                let Some(heater) = self.bridge.heaters().find(|heater| heater.mac == mac).cloned() else { return };
                let account = Arc::clone(&self.account);
                self.start(async move { Step::Tou(mac, account.tou(&heater, &controller_serial).await) });
            }
            bridge::Effect::RenewSession => {
                let reason = Reason::new("new-heater", "the account has a heater that the session does not serve");
                self.tell(Input::RenewSession(reason), clock::now());
            }
            bridge::Effect::Command { mac, name, status, reason: Some(reason) } => {
                info!(device = %mac, command = name, "Command {name}: {status}, {reason}");
            }
            bridge::Effect::Command { mac, name, status, reason: None } => {
                info!(device = %mac, command = name, "Command {name}: {status}");
            }
            bridge::Effect::ListHeaters => {
                let account = Arc::clone(&self.account);
                self.start(async move { Step::Relisted(account.devices().await) });
            }
            bridge::Effect::Keep => self.keep(),
            bridge::Effect::Administer { order, id } => self.administer(order, id),
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

    pub(super) fn start(&self, work: impl Future<Output = Step> + Send + 'static) -> JoinHandle<()> {
        let done = self.step_done.clone();
        task::spawn(async move {
            // The loop is gone when this fails, and nobody waits any more.
            let _ = done.send(work.await).await;
        })
    }

    /// Keeps what is known of the heaters.
    pub(super) fn keep(&mut self) {
        let heaters: Vec<Device> = self.bridge.heaters().cloned().collect();
        let (state, memories) = (self.state.clone(), self.bridge.memories());
        self.write(async move {
            state.keep_heaters(&heaters).await;
            state.keep_memories(memories).await;
        });
    }

    /// Writes to the state directory, one thing after the other, so that the newest is what stays.
    pub(super) fn write(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let earlier = self.writing.take();
        self.writing = Some(task::spawn(async move {
            if let Some(earlier) = earlier {
                let _ = earlier.await;
            }
            work.await;
        }));
    }

    fn sign_url(&self, g: Generation) {
        let account = Arc::clone(&self.account);
        let (url, region) = (self.config.cloud.mqtt_url.clone(), self.config.cloud.region.clone());
        self.start(async move {
            let Some(credentials) = account.aws_credentials().await else {
                return Step::Credentials(g, Err(EnsureError::SignInNeeded(None)));
            };
            Step::Signed(g, presign(&url, &region, &credentials, clock::wall()))
        });
    }

    fn announce(&mut self, event: &Event) {
        report::log(event, self.supervisor.view().state, self.alarm.knows(event));
        let mut payload = report::event(event, clock::wall());
        self.bridge.publish_event(&payload);
        let words = self.alarm.hear(event);
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
}
