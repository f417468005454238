//! What the links and the tasks bring, and whom it is told.

use secrecy::SecretString;
use tracing::{debug, info, trace, warn};

use super::{Daemon, Step, classify};
use crate::bridge::Verdict;
use crate::io::clock;
use crate::io::mqtt::LinkEvent;
use crate::io::rest::{EnsureError, SignInError};
use crate::io::wire::UNREADABLE;
use crate::navilink::devices::DeviceList;
use crate::navilink::presign::PresignError;
use crate::supervisor::{self, Generation, Input, Reason};

/// So many texts about device lists are remembered.
const MOST_SAID: usize = 1000;

impl Daemon {
    pub(super) fn on_cloud(&mut self, event: LinkEvent) {
        let moment = self.moment();
        let input = match event {
            LinkEvent::Up { session, connack_after } => {
                debug!(session, ?connack_after, "Session with the cloud is up");
                self.cloud.set_up(session == self.supervisor.generation().0);
                Input::LinkUp(Generation(session))
            }
            LinkEvent::Message { session, topic, payload, retained, .. } => {
                trace!(session, topic, bytes = payload.len(), "From the cloud");
                self.account.recorder().with(|last| last.message(&topic, &payload, retained, moment.wall));
                match self.bridge.cloud_message(&topic, &payload, retained, moment) {
                    Verdict::Answered => Input::Answered(Generation(session)),
                    Verdict::Heard => Input::Heard(Generation(session)),
                }
            }
            // Not told of a link that is not lenient.
            LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. } => return,
            LinkEvent::Down { session, error, .. } => {
                if session == self.supervisor.generation().0 {
                    self.cloud.set_up(false);
                    self.bridge.session_ended(moment);
                }
                Input::LinkDown(Generation(session), classify::link(&error, moment.wall))
            }
        };
        self.tell(input, moment.now);
    }

    pub(super) fn on_local(&mut self, event: LinkEvent) {
        let moment = self.moment();
        match event {
            LinkEvent::Up { session, connack_after } => {
                self.local.up(session, connack_after, self.bridge.replay(), moment.now);
                if !self.local.retains() {
                    self.bridge.states_again(moment.now);
                }
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
                self.show_status();
            }
        }
    }

    pub(super) fn on_step(&mut self, step: Step) {
        let now = clock::now();
        let input = match step {
            Step::Credentials(g, Ok(life)) => Input::CredentialsReady(g, life),
            Step::Credentials(g, Err(EnsureError::SignInNeeded(why))) => {
                Input::SignInNeeded(g, why.map(|why| Reason::new("sign-in", why)))
            }
            Step::Credentials(g, Err(EnsureError::Failed(error))) => Input::StepFailed(g, classify::rest(&error)),
            Step::SignedIn(g, Ok(life)) => {
                info!("Signed in to the cloud");
                Input::CredentialsReady(g, life)
            }
            Step::SignedIn(g, Err(SignInError::TooSoon(too_soon))) => Input::SignInPostponed(g, too_soon.wait()),
            Step::SignedIn(g, Err(error)) => Input::StepFailed(g, classify::sign_in(&error)),
            Step::Listed(g, Ok(list)) => {
                info!(heaters = list.heaters.len(), "The account's heaters are listed");
                self.take_list(&list);
                // A heater that this list leaves out may be there all the same.
                let known = self.bridge.heaters().next().map(|_| ());
                Input::HeatersListed(g, known.ok_or_else(|| list.in_place_of_heaters()))
            }
            Step::Listed(g, Err(error)) => Input::StepFailed(g, classify::rest(&error)),
            Step::Relisted(Ok(list)) => return self.take_list(&list),
            Step::Relisted(Err(error)) => {
                warn!("The account's device list cannot be read: {error}");
                return;
            }
            Step::Signed(g, signed) => return self.dial_cloud(g, signed),
            Step::Probed(probe, reached) => Input::Probed(probe, reached),
            Step::MayRestart(request, answer) => return self.on_may_restart(request, answer),
            Step::Tou(mac, Ok(data)) => return self.bridge.tou_fetched(&mac, &data, self.moment()),
            Step::Tou(mac, Err(error)) => {
                warn!(device = %mac, "The time-of-use schedule cannot be read: {error}");
                return;
            }
        };
        self.tell(input, now);
    }

    /// Takes the account's device list, and says what is odd about it, once.
    fn take_list(&mut self, list: &DeviceList) {
        for complaint in &list.complaints {
            if self.is_news(complaint) {
                warn!("In the account's device list, {complaint}");
            }
        }
        for other in &list.others {
            let text = other.to_string();
            if self.is_news(&text) {
                info!("Left out, for it is no NWP500: {text}");
            }
        }
        for device in self.config.devices.clone() {
            let mac = &device.mac;
            if list.heaters.iter().all(|heater| heater.mac != *mac) && self.is_news(&format!("configured {mac}")) {
                warn!(device = %mac, "The configuration names a heater that is not in the account's device list");
            }
        }
        self.bridge.set_heaters(list, self.moment());
    }

    /// Returns whether a text has not been seen before; a great many of them are forgotten again.
    fn is_news(&mut self, text: &str) -> bool {
        if self.said.len() >= MOST_SAID {
            self.said.clear();
        }
        self.said.insert(text.to_owned())
    }

    fn dial_cloud(&mut self, g: Generation, signed: Result<SecretString, PresignError>) {
        if !self.supervisor.is_dialling(g) {
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
                return self.tell(Input::LinkDown(g, failure), clock::now());
            }
        };
        let session = (self.bridge.cloud_filters(), self.bridge.cloud_will());
        self.cloud.dial(g, &self.config, url, session);
    }
}
