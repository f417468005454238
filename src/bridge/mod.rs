//! Holds what is known of each heater and decides what stands on the local broker.
//!
//! A machine without clock, socket or task. The daemon feeds it the messages of both brokers and the time, and carries
//! out its [`Effect`]s. All that is retained stands in a mirror first, so that [`Bridge::replay`] can give everything
//! to a broker that has forgotten it.

pub mod administration;
mod answers;
pub mod commands;
mod complaints;
mod discovery;
mod energy;
pub mod events;
mod heater;
mod keeping;
mod listing;
pub mod meter;
pub mod polling;
mod requests;
mod retained;
mod set;
mod tally;
pub mod topics;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use crate::model::{Mac, Message, Moment};
use crate::navilink::devices::Heater;
use crate::navilink::request::{Query, presence};
use crate::navilink::session::Identity;
use crate::units::UnitsChoice;

use administration::Order;
use complaints::Complaints;
pub use discovery::HomeAssistant;
use heater::{Fetches, Held};
use keeping::Keeping;
pub use keeping::{Memories, Memory};
use polling::{Intervals, Place, Poll, Schedule};
use retained::Retained;
use tally::Tally;
use topics::Topics;

/// How the bridge is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The local topics.
    pub topics: Topics,
    /// The units of everything that is published.
    pub units: UnitsChoice,
    /// How often each heater is asked for what.
    pub intervals: Intervals,
    /// No word from a heater for so long, and it is unavailable.
    pub stale_after: Duration,
    /// Names that the configuration gives, by heater.
    pub names: BTreeMap<Mac, String>,
    /// Whether and where Home Assistant is told of it.
    pub home_assistant: HomeAssistant,
    /// How commands are treated.
    pub commands: commands::Settings,
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
    heaters: BTreeMap<Mac, Held>,
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
    pub fn new(settings: Settings, identity: Identity, known: &[Heater], about: Value) -> Self {
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
        bridge.take_heaters(served);
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
    pub fn heaters(&self) -> impl Iterator<Item = &Heater> {
        self.heaters.values().map(|held| &held.heater)
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
    pub fn session_begun(&mut self, now: Instant) {
        self.session = Some(now);
        for (index, held) in self.heaters.values_mut().enumerate() {
            held.schedule = Some(Schedule::begin(now, index));
        }
        let messages: Vec<Message> = self.heaters().map(|heater| presence(heater, &self.identity, true)).collect();
        for message in messages {
            self.effects.push_back(Effect::Request { message, answered: false });
        }
        self.renew_session_for_new_heaters();
    }

    /// The session is gone: nothing is asked any more, and freshness runs out by itself.
    pub fn session_ended(&mut self, moment: Moment) {
        self.end_flights(moment);
        self.session = None;
        for held in self.heaters.values_mut() {
            held.schedule = None;
            // The next session asks for everything.
            held.tou.forget();
        }
    }

    /// Makes every heater unavailable at once: nothing will come any more.
    pub fn give_up(&mut self) {
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            self.lose(&mac);
        }
    }

    /// Returns what says goodbye to the cloud, before the session is closed.
    pub fn leave_cloud(&self) -> Vec<Message> {
        let heaters = self.heaters();
        heaters
            .flat_map(|h| [Query::EndOfSession.message(h, &self.identity), presence(h, &self.identity, false)])
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
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            self.end_commands(&mac, "the bridge was stopped", moment);
        }
        self.give_up();
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
        let asking = self.session.is_some() && self.periodic;
        let requests = self.heaters.values().filter(|_| asking).filter_map(|held| Some(held.schedule.as_ref()?.due()));
        let listing = self.listing.due().filter(|_| self.session.is_some());
        let fetches = self.heaters.values().filter_map(|held| held.tou.due()).chain(listing);
        let stale_after = self.settings.stale_after;
        let stale = self.heaters.values().filter_map(|held| held.freshness.runs_out_at(stale_after));
        requests
            .chain(fetches)
            .chain(stale)
            .chain(self.commands_due())
            .chain(self.birth_due)
            .chain(self.keeping.due())
            .min()
    }

    /// Sends the requests that are due, and makes unavailable what was not heard of for too long.
    pub fn handle_timeout(&mut self, moment: Moment) {
        self.handle_birth(moment.now);
        self.keep_on_time(moment.now);
        let stale: Vec<Mac> = self
            .heaters
            .iter()
            .filter(|(_, held)| {
                held.freshness.runs_out_at(self.settings.stale_after).is_some_and(|at| at <= moment.now)
            })
            .map(|(mac, _)| mac.clone())
            .collect();
        for mac in stale {
            self.lose(&mac);
        }
        self.commands_on_time(moment);
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            self.fetch_due_tou(&mac, moment.now);
        }
        self.list_on_time(moment.now);
        let Some(epoch) = self.session.filter(|_| self.periodic) else { return };
        let count = self.heaters.len();
        let intervals = self.settings.intervals;
        let mut due = Vec::new();
        for (index, (mac, held)) in self.heaters.iter_mut().enumerate() {
            let Some(schedule) = &mut held.schedule else { continue };
            for poll in schedule.take_due(moment.now, &intervals, Place { index, count, epoch }) {
                due.push((mac.clone(), poll));
            }
        }
        for (mac, poll) in due {
            self.poll(&mac, poll, moment);
        }
    }

    /// Makes everything due for every heater, and the device list.
    fn hurry(&mut self, now: Instant) {
        self.listing.wish(now);
        for held in self.heaters.values_mut() {
            if let Some(schedule) = &mut held.schedule {
                schedule.hurry(now);
            }
        }
    }

    fn poll(&mut self, mac: &Mac, poll: Poll, moment: Moment) {
        match poll {
            Poll::Status => self.ask(mac, &Query::Status),
            Poll::Information => {
                for query in [Query::Information, Query::Diagnostics, Query::Firmware] {
                    self.ask(mac, &query);
                }
            }
            Poll::Energy => {
                for query in energy::questions(moment.wall) {
                    self.ask(mac, &query);
                }
            }
            Poll::Schedules => {
                self.ask(mac, &Query::Reservations);
                if self.heaters.get(mac).is_some_and(Held::recirculates) {
                    self.ask(mac, &Query::Recirculation);
                }
                self.fetch_tou(mac, moment.now);
            }
        }
    }

    fn ask(&mut self, mac: &Mac, query: &Query) {
        let Some(held) = self.heaters.get(mac) else { return };
        let message = query.message(&held.heater, &self.identity);
        // Only the status is sure to be answered; the others depend on the heater and its firmware.
        self.effects.push_back(Effect::Request { message, answered: *query == Query::Status });
    }

    /// Fetches the time-of-use schedule as soon as the REST API may be asked again.
    fn fetch_tou(&mut self, mac: &Mac, now: Instant) {
        let known = |held: &&mut Held| held.capabilities.controller_serial().is_some();
        let Some(held) = self.heaters.get_mut(mac).filter(known) else { return };
        held.tou.wish(now);
        self.fetch_due_tou(mac, now);
    }

    fn fetch_due_tou(&mut self, mac: &Mac, now: Instant) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let due = held.tou.take_due(now);
        if let Some(controller_serial) = held.capabilities.controller_serial().filter(|_| due) {
            let controller_serial = controller_serial.to_owned();
            self.effects.push_back(Effect::FetchTou { mac: mac.clone(), controller_serial });
        }
    }

    fn lose(&mut self, mac: &Mac) {
        if let Some(held) = self.heaters.get_mut(mac) {
            held.freshness.expire();
        }
        self.set_availability(mac, false);
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
