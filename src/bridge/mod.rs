//! Holds what is known of each heater and decides what stands on the local broker.
//!
//! A machine without clock, socket or task. The daemon feeds it the messages of both brokers and the time, and carries
//! out its [`Effect`]s. All that is retained stands in a mirror first, so that [`Bridge::replay`] can give everything
//! to a broker that has forgotten it.

pub mod administration;
mod complaints;
mod discovery;
mod keeping;
mod listing;
mod outputs;
mod requests;
mod retained;
pub mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;

use crate::heater::polling::Place;
use crate::heater::tally::Tally;
use crate::heater::{self, Context, Fetches, Heater, Input};
use crate::model::{Mac, Message, Moment};
use crate::navilink::devices::Device;
use crate::navilink::message::{self, Body};
use crate::navilink::request::{Query, presence};
use crate::navilink::session::Identity;

use administration::{Order, kind};
use complaints::Complaints;
pub use discovery::HomeAssistant;
use keeping::Keeping;
pub use keeping::Memories;
use retained::Retained;
use topics::Topics;

/// How the bridge is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The local topics.
    pub topics: Topics,
    /// How heaters are treated.
    pub heater: heater::Settings,
    /// Names that the configuration gives, by heater.
    pub names: BTreeMap<Mac, String>,
    /// Whether and where Home Assistant is told of it.
    pub home_assistant: HomeAssistant,
}

/// What the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Publish on the local broker, if it is there; what is retained comes with the next replay otherwise.
    Publish(Message),
    /// Send to the cloud's broker.
    Request {
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
    /// Replace the session with the cloud by one that has subscriptions for new heaters.
    RenewSession,
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

/// What a message from the cloud proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A heater of ours spoke.
    Answered,
    /// The session carries messages.
    Heard,
}

/// The bridge between the cloud's messages and the local broker's topics.
#[derive(Debug)]
pub struct Bridge {
    settings: Settings,
    identity: Identity,
    heaters: BTreeMap<Mac, Heater>,
    retained: Retained,
    effects: VecDeque<Effect>,
    complaints: Complaints,
    /// The cloud's messages by what they say.
    messages: Tally,
    /// When the session began that carries requests now.
    session: Option<Instant>,
    /// The heaters that it has subscriptions for.
    subscribed: BTreeSet<Mac>,
    /// Whether requests repeat.
    periodic: bool,
    /// What `bridge/info` says besides the heaters.
    about: Value,
    /// When everything is published again for a Home Assistant that has come up.
    birth_due: Option<Instant>,
    keeping: Keeping,
    /// When the account's device list was asked for, and when it is due again.
    listing: Fetches,
}

impl Bridge {
    /// Begins with the heaters that an earlier run knew; all of them are unavailable. `about` is an object with what
    /// `bridge/info` says besides the heaters.
    pub fn new(settings: Settings, identity: Identity, known: &[Device], about: Value) -> Self {
        let mut bridge = Self {
            settings,
            identity,
            heaters: BTreeMap::new(),
            retained: Retained::default(),
            effects: VecDeque::new(),
            complaints: Complaints::default(),
            messages: Tally::default(),
            session: None,
            subscribed: BTreeSet::new(),
            periodic: false,
            about,
            birth_due: None,
            keeping: Keeping::default(),
            listing: Fetches::default(),
        };
        let served = bridge.served(known.to_vec());
        served.into_iter().for_each(|device| bridge.add(device));
        bridge.publish_info();
        bridge.discover_all();
        // The account's own list comes later, and only what is wrong with that is said.
        bridge.effects.clear();
        bridge.complaints = Complaints::default();
        bridge
    }

    /// Returns what is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the heaters, in the order of their addresses.
    pub fn heaters(&self) -> impl Iterator<Item = &Device> {
        self.heaters.values().map(Heater::device)
    }

    /// Takes a message of the cloud's broker.
    ///
    /// A `retained` one was said some time before, by whoever, and is no word of the heater: it is shown where nothing
    /// is known yet, and makes nothing available, live or confirmed.
    pub fn cloud_message(&mut self, topic: &str, payload: &[u8], retained: bool, moment: Moment) -> Verdict {
        let message = match message::read(topic, payload) {
            Ok(message) => message,
            Err(error) => {
                self.messages.count("unreadable");
                self.complain(None, "unreadable", || format!("A message on {topic} cannot be read: {error}"));
                return Verdict::Heard;
            }
        };
        self.messages.count(kind(&message.body));
        if message.repaired {
            self.complain(None, "repaired", || {
                format!("A message on {topic} had values that JSON does not allow; only they are lost")
            });
        }
        if matches!(message.body, Body::Request | Body::Presence) {
            return Verdict::Heard;
        }
        let Some(mac) = self.sender(message.mac.clone()) else {
            self.complain(None, "foreign", || format!("A message on {topic} is of no heater of this account"));
            return Verdict::Heard;
        };
        if retained {
            self.messages.count("retained");
            self.tell(&mac, Input::Retained(&message.body), moment);
            return Verdict::Heard;
        }
        self.tell(&mac, Input::Message { topic, message }, moment);
        self.plan_keeping(moment.now);
        Verdict::Answered
    }

    /// Takes the answer of the REST API about a heater's time-of-use schedule.
    pub fn tou_fetched(&mut self, mac: &Mac, data: &Value, moment: Moment) {
        if let Some(data) = data.as_object() {
            self.tell(mac, Input::TouFetched(data), moment);
        }
    }

    /// Returns whose message it is; one that does not say so is that of the only heater.
    fn sender(&self, named: Option<Mac>) -> Option<Mac> {
        match named {
            Some(mac) => self.heaters.contains_key(&mac).then_some(mac),
            None if self.heaters.len() == 1 => self.heaters.keys().next().cloned(),
            None => None,
        }
    }

    /// Tells a heater what happened, and carries out what it decides.
    fn tell(&mut self, mac: &Mac, input: Input<'_>, moment: Moment) {
        self.with(mac, moment, |heater, context| heater.handle(input, context));
    }

    /// Calls a heater in the context of this moment, and carries out what it decides; `None` when there is no such
    /// heater.
    fn with<T>(&mut self, mac: &Mac, moment: Moment, call: impl FnOnce(&mut Heater, &Context<'_>) -> T) -> Option<T> {
        let queued = self.heaters.values().map(Heater::queued).sum();
        let session = self.session_of(mac);
        let heater = self.heaters.get_mut(mac)?;
        let (settings, identity) = (&self.settings.heater, &self.identity);
        let outcome = call(heater, &Context { settings, identity, moment, session, queued });
        self.drain(mac);
        Some(outcome)
    }

    /// Tells every heater what happened.
    fn tell_all<'i>(&mut self, input: impl Fn() -> Input<'i>, moment: Moment) {
        for mac in self.macs() {
            self.tell(&mac, input(), moment);
        }
    }

    fn macs(&self) -> Vec<Mac> {
        self.heaters.keys().cloned().collect()
    }

    fn session_of(&self, mac: &Mac) -> Option<heater::Session> {
        let epoch = self.session?;
        let place = Place { index: self.heaters.range(..mac).count(), count: self.heaters.len(), epoch };
        Some(heater::Session { place, periodic: self.periodic })
    }

    /// Lets requests repeat from now on.
    pub fn start_periodic(&mut self) {
        self.periodic = true;
    }

    /// Ends the repetition of requests.
    pub fn stop_periodic(&mut self) {
        self.periodic = false;
    }

    /// A session is up: announces our presence and asks every heater for everything.
    pub fn session_begun(&mut self, moment: Moment) {
        self.session = Some(moment.now);
        self.tell_all(|| Input::SessionBegun, moment);
        let messages: Vec<Message> = self.heaters().map(|device| presence(device, &self.identity, true)).collect();
        for message in messages {
            self.effects.push_back(Effect::Request { message, answered: false });
        }
        self.renew_session_for_new_heaters();
    }

    /// The session is gone: nothing is asked any more, and freshness runs out by itself.
    pub fn session_ended(&mut self, moment: Moment) {
        self.session = None;
        self.tell_all(|| Input::SessionOver, moment);
    }

    /// Makes every heater unavailable at once: nothing will come any more.
    pub fn give_up(&mut self, moment: Moment) {
        self.tell_all(|| Input::Lost, moment);
    }

    /// Returns what says goodbye to the cloud, before the session is closed.
    pub fn leave_cloud(&self) -> Vec<Message> {
        let heaters = self.heaters();
        heaters
            .flat_map(|device| {
                [Query::EndOfSession.message(device, &self.identity), presence(device, &self.identity, false)]
            })
            .collect()
    }

    /// Returns the last will of the session with the cloud: a connection has one, so it is the first heater's.
    pub fn cloud_will(&self) -> Option<Message> {
        Some(presence(self.heaters().next()?, &self.identity, false))
    }

    /// Takes the payload of `bridge/connection`.
    pub fn set_connection(&mut self, payload: &Value) {
        self.retain_json(self.settings.topics.connection(), payload);
    }

    /// Publishes an event of the connection.
    pub fn publish_event(&mut self, payload: &Value) {
        let topic = self.settings.topics.event();
        self.publish_once(topic, payload);
    }

    /// Returns the last will of the local link.
    pub fn will(&self) -> Message {
        Message { topic: self.settings.topics.state(), payload: Bytes::from_static(b"offline"), retained: true }
    }

    /// Returns everything that the local broker is to hold, for every new connection to it. `bridge/state` comes last:
    /// who sees `online` finds everything else in its place.
    pub fn replay(&self) -> Vec<Message> {
        let messages = self.retained.iter().map(|(topic, payload)| Message {
            topic: topic.to_owned(),
            payload: payload.clone(),
            retained: true,
        });
        let online = Message { payload: Bytes::from_static(b"online"), ..self.will() };
        messages.chain([online]).collect()
    }

    /// Returns what the local broker is told when the process ends.
    pub fn farewell(&mut self, moment: Moment) -> Vec<Message> {
        self.tell_all(|| Input::Ended("the bridge was stopped"), moment);
        self.give_up(moment);
        let mut messages: Vec<Message> = self
            .effects
            .drain(..)
            .filter_map(|effect| match effect {
                Effect::Publish(message) => Some(message),
                _ => None,
            })
            .collect();
        messages.push(self.will());
        messages
    }

    /// Returns when [`Bridge::handle_timeout`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        let settings = &self.settings.heater;
        let heaters =
            self.heaters.iter().filter_map(|(mac, heater)| heater.poll_timeout(settings, self.session_of(mac)));
        let listing = self.listing.due().filter(|_| self.session.is_some());
        heaters.chain(listing).chain(self.birth_due).chain(self.keeping.due()).min()
    }

    /// Sends the requests that are due, and makes unavailable what was not heard of for too long.
    pub fn handle_timeout(&mut self, moment: Moment) {
        self.handle_birth(moment.now);
        self.keep_on_time(moment.now);
        for mac in self.macs() {
            self.with(&mac, moment, Heater::handle_timeout);
        }
        self.list_on_time(moment.now);
    }

    /// Makes everything due for every heater, and the device list.
    fn poll_now(&mut self, now: Instant) {
        self.listing.wish(now);
        self.heaters.values_mut().for_each(|heater| heater.poll_now(now));
    }

    fn set_availability(&mut self, mac: &Mac, available: bool) {
        let payload = if available { "online" } else { "offline" };
        self.retain(self.settings.topics.availability(mac), Bytes::from_static(payload.as_bytes()));
    }

    fn retain_json(&mut self, topic: String, payload: &Value) {
        self.retain(topic, Bytes::from(payload.to_string()));
    }

    fn retain(&mut self, topic: String, payload: Bytes) {
        if self.retained.set(&topic, &payload) {
            self.effects.push_back(Effect::Publish(Message { topic, payload, retained: true }));
        }
    }

    fn publish_once(&mut self, topic: String, payload: &Value) {
        let payload = Bytes::from(payload.to_string());
        self.effects.push_back(Effect::Publish(Message { topic, payload, retained: false }));
    }

    fn complain(&mut self, heater: Option<&Mac>, kind: &str, text: impl FnOnce() -> String) {
        if self.complaints.count(heater, kind) {
            self.effects.push_back(Effect::Warn { heater: heater.cloned(), text: text() });
        }
    }
}

#[cfg(test)]
mod tests;
