//! The bridge: the heaters of an account on one side, the outputs on the other.
//!
//! A machine without clock, socket or task. The daemon feeds it the messages of both brokers and the time, and carries
//! out its [`Effect`]s.

pub mod administration;
mod repeats;
mod requests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};

use crate::heater::{self, Change};
use crate::home::{self, Home, Memories, WarnOnce};
use crate::model::{HeaterChoice, Mac, Message, Moment};
use crate::navilink::devices::{Device, DeviceList};
use crate::navilink::session::Identity;
use crate::outputs::home_assistant::{Again, Discovery, HomeAssistant, Output};
use crate::outputs::mqtt::Mqtt;
use crate::outputs::mqtt::topics::Topics;
use crate::outputs::web::Web;

use administration::Order;
pub use home::{HomeCounts, Verdict};
use repeats::Repeats;

/// How the bridge is set up.
#[derive(Debug, Clone)]
pub struct BridgeSettings {
    /// The local topics.
    pub topics: Topics,
    /// How heaters are treated.
    pub heater: heater::HeaterSettings,
    /// Names that the configuration gives, by heater.
    pub names: BTreeMap<Mac, String>,
    /// Which heaters of the account are served.
    pub choice: HeaterChoice,
    /// Whether and where Home Assistant is told of it.
    pub home_assistant: HomeAssistant,
    /// The requests to the bridge that are obeyed.
    pub allow: Vec<&'static str>,
}

/// What the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Publish on the local broker, if it is there; what is retained comes with the next replay otherwise.
    Publish(Message),
    /// Send to the cloud's broker.
    Request {
        /// Over which link, counted from 0.
        link: usize,
        /// What.
        message: Message,
        /// Whether an answer is due.
        answered: bool,
    },
    /// Ask the REST API for a heater's time-of-use schedule and hand it to [`Bridge::tou_fetched`].
    FetchTou {
        /// Whose.
        mac: Mac,
        /// Its `controllerSerialNumber`.
        controller_serial: String,
    },
    /// Replace the session of this link by one that has subscriptions for new heaters.
    RenewSession(usize),
    /// Have sessions on this link, too.
    OpenLink(usize),
    /// Have no more sessions on this link.
    CloseLink(usize),
    /// Tell a human what became of a command.
    Command {
        /// To which heater.
        mac: Mac,
        /// What it sets.
        name: String,
        /// `sent`, `confirmed`, ….
        status: &'static str,
        /// Why.
        reason: Option<String>,
    },
    /// Carry out what was asked for on the local broker, and answer with [`Bridge::respond`].
    Administer {
        /// What.
        order: Order,
        /// What comes back in the response.
        id: Option<Value>,
    },
    /// Ask the REST API for the account's device list and hand it to [`Bridge::set_heaters`].
    ListHeaters,
    /// Keep [`Bridge::heaters`] and [`Bridge::memories`] for the next run.
    Keep,
    /// Tell a human, once.
    Warn {
        /// About which heater.
        heater: Option<Mac>,
        /// What.
        text: String,
    },
}

/// The bridge between the cloud's messages and the local broker's topics.
#[derive(Debug)]
pub struct Bridge {
    home: Home,
    mqtt: Mqtt,
    home_assistant: Output,
    /// The output of the HTTP server, if there is one.
    pub web: Option<Web>,
    effects: VecDeque<Effect>,
    /// What was wrong with what arrived on the local broker.
    warnings: WarnOnce,
    /// What was said of commands.
    repeats: Repeats,
    /// The requests that are obeyed.
    allow: Vec<&'static str>,
}

impl Bridge {
    /// Begins with the heaters that an earlier run knew; all of them are unavailable. `about` is an object with what
    /// `bridge/info` says besides the heaters.
    pub fn new(settings: BridgeSettings, identity: Identity, known: &[Device], about: Value) -> Self {
        let home_assistant = Output::new(
            settings.home_assistant,
            settings.heater.commands,
            settings.allow.clone(),
            identity.client.as_str(),
        );
        let BridgeSettings { heater, names, choice, .. } = settings;
        let mut bridge = Self {
            home: Home::new(home::HomeSettings { heater, names, choice }, identity, known),
            mqtt: Mqtt::new(settings.topics, about),
            home_assistant,
            web: None,
            effects: VecDeque::new(),
            warnings: WarnOnce::default(),
            repeats: Repeats::default(),
            allow: settings.allow,
        };
        bridge.drain();
        bridge.effects.clear();
        bridge
    }

    /// Adds the output of the HTTP server.
    pub fn add_web(&mut self, web: Web) {
        self.web = Some(web);
        self.show_heaters();
    }

    /// Returns how often something was odd, and how much waits.
    pub fn counts(&self) -> HomeCounts {
        self.home.counts()
    }

    /// Returns what is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the heaters, in the order of their addresses.
    pub fn heaters(&self) -> impl Iterator<Item = &Device> {
        self.home.heaters()
    }

    /// Takes a message that came over a link to the cloud: [`Home::cloud_message`].
    pub fn cloud_message(&mut self, link: usize, message: &Message, moment: Moment) -> Verdict {
        let verdict = self.home.cloud_message(link, message, moment);
        self.drain();
        self.home_assistant.states_again_if_described_anew(moment.now);
        verdict
    }

    /// Takes the answer of the REST API about a heater's time-of-use schedule.
    pub fn tou_fetched(&mut self, mac: &Mac, data: &Value, moment: Moment) {
        self.home.tou_fetched(mac, data, moment);
        self.drain();
    }

    /// Takes the account's device list: [`Home::set_heaters`].
    pub fn set_heaters(&mut self, list: &DeviceList, moment: Moment) {
        self.home.set_heaters(list, moment);
        self.drain();
        self.home_assistant.states_again_if_described_anew(moment.now);
    }

    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Memories) {
        self.home.restore(kept);
        self.drain();
    }

    /// Takes back what an earlier run published elsewhere for Home Assistant.
    pub fn take_back(&mut self, earlier: &Discovery) {
        self.home_assistant.take_back(earlier, &self.home.macs(), &mut self.mqtt);
        self.flush();
    }

    /// Returns where discovery is published, for [`Bridge::take_back`] of a later run.
    pub fn discovery(&self) -> Discovery {
        self.home_assistant.discovery(&self.mqtt)
    }

    /// Returns what is to be kept of all heaters.
    pub fn memories(&self) -> Memories {
        self.home.memories()
    }

    /// Lets requests repeat on a link from now on.
    pub fn start_periodic(&mut self, link: usize) {
        self.home.start_periodic(link);
    }

    /// Ends the repetition of requests on a link.
    pub fn stop_periodic(&mut self, link: usize) {
        self.home.stop_periodic(link);
    }

    /// A link has a session: announces our presence and asks its heaters for everything.
    pub fn session_begun(&mut self, link: usize, moment: Moment) {
        self.home.session_begun(link, moment);
        self.drain();
    }

    /// The session of a link is gone: nothing is asked any more, and freshness runs out by itself.
    pub fn session_ended(&mut self, link: usize, moment: Moment) {
        self.home.session_ended(link, moment);
        self.drain();
    }

    /// Makes every heater of a link unavailable at once: nothing will come any more.
    pub fn give_up(&mut self, link: usize, moment: Moment) {
        self.home.give_up(link, moment);
        self.drain();
    }

    /// Returns what a session of a link subscribes to; it then serves the heaters that the link has now.
    pub fn cloud_filters(&mut self, link: usize) -> Vec<String> {
        self.home.cloud_filters(link)
    }

    /// Returns what says goodbye to the cloud, before the session of a link is closed.
    pub fn closing_messages_to_cloud(&self, link: usize) -> Vec<Message> {
        self.home.closing_messages_to_cloud(link)
    }

    /// Returns the last will of a link's session with the cloud: [`Home::cloud_will`].
    pub fn cloud_will(&self, link: usize) -> Option<Message> {
        self.home.cloud_will(link)
    }

    /// Returns whether a link to the cloud has heaters.
    pub fn serves_over(&self, link: usize) -> bool {
        self.home.serves_over(link)
    }

    /// Returns the client id of a link to the cloud.
    pub fn cloud_client(&self, link: usize) -> &str {
        self.home.cloud_client(link).as_str()
    }

    /// Takes the payload of `bridge/connection`, and since when the outage lasts, if there is one.
    pub fn set_connection(&mut self, payload: &Value, outage_since: Option<Instant>, moment: Moment) {
        self.mqtt.show_connection(payload);
        self.web.iter_mut().for_each(|web| web.show_connection(payload, outage_since, moment));
        self.flush();
    }

    /// Publishes an event of the connection.
    pub fn publish_event(&mut self, payload: &Value) {
        self.mqtt.publish_event(payload);
        self.web.iter_mut().for_each(|web| web.publish_event(payload));
        self.flush();
    }

    /// Answers a request to the bridge: with data, if there is any, or with what is wrong with it.
    pub fn respond(&mut self, name: &str, id: Option<Value>, outcome: Result<Value, String>) {
        self.mqtt.respond(name, id, outcome);
        self.flush();
    }

    /// Sets a member of `bridge/info`.
    pub fn set_about(&mut self, member: &str, value: Value) {
        self.mqtt.set_about(member, value);
        self.flush();
    }

    /// Returns what has been seen so far, for the diagnostics.
    pub fn diagnostics(&self, moment: Moment) -> Value {
        let mut seen = self.home.diagnostics(moment);
        if let (Some(all), Value::Array(local)) = (seen["complaints"].as_array_mut(), self.warnings.show()) {
            all.extend(local);
        }
        seen
    }

    /// Returns what the bridge subscribes to on the local broker.
    pub fn filters(&self) -> Vec<String> {
        let mut filters = self.mqtt.topics().filters();
        filters.extend(self.home_assistant.birth_topics());
        filters
    }

    /// Returns the last will of the local link.
    pub fn will(&self) -> Message {
        self.mqtt.will()
    }

    /// Returns everything that the local broker is to hold, for every new connection to it: [`Mqtt::replay`].
    pub fn replay(&self) -> Vec<Message> {
        self.mqtt.replay()
    }

    /// The local broker is gone: [`Mqtt::broker_gone`].
    pub fn broker_gone(&mut self) {
        self.mqtt.broker_gone();
    }

    /// Lets the states be published again in a few seconds, for whoever discovers by then what was told while it was away:
    /// Home Assistant reads what it knows already in a new way only when it comes again, and a broker that retains nothing
    /// has nothing for a new subscription.
    pub fn states_again(&mut self, now: Instant) {
        self.home_assistant.states_again(now);
    }

    /// Returns what the local broker is told when the process ends.
    pub fn closing_messages(&mut self, moment: Moment) -> Vec<Message> {
        self.home.stop("the bridge was stopped", moment);
        self.drain();
        let messages = self.effects.drain(..).filter_map(|effect| match effect {
            Effect::Publish(message) => Some(message),
            _ => None,
        });
        messages.chain([self.mqtt.will()]).collect()
    }

    /// Returns when [`Bridge::handle_timeout`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        [self.home.poll_timeout(), self.home_assistant.due(), self.mqtt.due()].into_iter().flatten().min()
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, moment: Moment) {
        let again = match self.home_assistant.take_due(moment) {
            Some(Again::Days) => self.mqtt.energies(),
            Some(Again::Everything) => self.mqtt.replay(),
            Some(Again::States) => self.mqtt.states(),
            None => Vec::new(),
        };
        self.effects.extend(again.into_iter().map(Effect::Publish));
        for topic in self.mqtt.correct(moment.now) {
            self.warn(&format!("own topic {topic}"), || {
                format!("The local broker has something else on {topic} than was said there; said again, as often as it happens")
            });
        }
        self.home.handle_timeout(moment);
        self.drain();
    }

    /// Hands what the heaters decided to the outputs and to the daemon.
    fn drain(&mut self) {
        while let Some(effect) = self.home.poll_effect() {
            match effect {
                home::Effect::Changed(mac, change) => self.show(&mac, &change),
                home::Effect::Listed => self.show_heaters(),
                home::Effect::Removed(mac) => {
                    self.mqtt.clear(&mac);
                    self.home_assistant.clear(&mac, &mut self.mqtt);
                    self.web.iter_mut().for_each(|web| web.remove(&mac));
                }
                home::Effect::Request { link, message, answered } => {
                    self.effects.push_back(Effect::Request { link, message, answered });
                }
                home::Effect::FetchTou { mac, controller_serial } => {
                    self.effects.push_back(Effect::FetchTou { mac, controller_serial });
                }
                home::Effect::RenewSession(link) => self.effects.push_back(Effect::RenewSession(link)),
                home::Effect::OpenLink(link) => self.effects.push_back(Effect::OpenLink(link)),
                home::Effect::CloseLink(link) => self.effects.push_back(Effect::CloseLink(link)),
                home::Effect::ListHeaters => self.effects.push_back(Effect::ListHeaters),
                home::Effect::Keep => self.effects.push_back(Effect::Keep),
                home::Effect::Warn { heater, text } => self.effects.push_back(Effect::Warn { heater, text }),
            }
            self.flush();
        }
        self.mqtt.repeat_presence();
        self.flush();
    }

    fn show(&mut self, mac: &Mac, change: &Change) {
        self.mqtt.show(mac, change);
        self.web.iter_mut().for_each(|web| web.show(mac, change));
        self.flush();
        match change {
            Change::Abilities => self.discover(mac),
            Change::Command(report) => {
                let status = report.status.unwrap_or("waits");
                let Some(left_out) = self.repeats.count(mac, &report.name, status, report.at) else { return };
                let more = (left_out > 0).then(|| format!("{left_out} more of these since the last such line"));
                let reason: Vec<String> = report.reason.clone().into_iter().chain(more).collect();
                let reason = (!reason.is_empty()).then(|| reason.join("; "));
                self.effects.push_back(Effect::Command { mac: mac.clone(), name: report.name.clone(), status, reason });
            }
            Change::Available(_) | Change::Answer(..) | Change::Event(_) => {}
        }
    }

    /// Shows which heaters there are, on `bridge/info` and to Home Assistant.
    fn show_heaters(&mut self) {
        let device = |device: &Device| {
            json!({
                "mac": device.mac.as_str(),
                "name": self.home.shown_name(device),
                "device_type": device.device_type,
            })
        };
        let devices = self.home.heaters().map(device).collect();
        self.mqtt.show_devices(devices);
        self.web.iter_mut().for_each(|web| {
            web.set_heaters(self.home.heaters().map(|of| (of.mac.clone(), self.home.shown_name(of))).collect())
        });
        self.home_assistant.show_bridge(&mut self.mqtt);
        for mac in self.home.macs() {
            self.discover(&mac);
        }
    }

    fn discover(&mut self, mac: &Mac) {
        if let Some(heater) = self.home.heater(mac) {
            self.home_assistant.show(heater, &self.home.shown_name(heater.device()), &mut self.mqtt);
        }
    }

    /// Hands what the outputs publish to the daemon.
    fn flush(&mut self) {
        while let Some(message) = self.mqtt.poll_message() {
            self.effects.push_back(Effect::Publish(message));
        }
    }

    fn warn(&mut self, kind: &str, text: impl FnOnce() -> String) {
        if self.warnings.count(None, kind) {
            self.effects.push_back(Effect::Warn { heater: None, text: text() });
        }
    }
}

#[cfg(test)]
mod tests;
