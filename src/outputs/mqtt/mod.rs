//! The local broker: what stands on its topics.
//!
//! All that is retained stands in a mirror first, so that [`Mqtt::replay`] can give everything to a broker that has
//! forgotten it.

pub mod outbox;
mod presence;
mod retained;
pub mod suspects;
pub mod topics;

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::heater::Change;
use crate::heater::commands::Report;
use crate::model::{Mac, Message};

use outbox::Rank;
use presence::Differing;
use retained::Retained;
use topics::Topics;

/// Renders changes to messages.
#[derive(Debug)]
pub struct Mqtt {
    topics: Topics,
    retained: Retained,
    messages: VecDeque<Message>,
    /// The heaters whose status was shown since presence was last repeated.
    shown: BTreeSet<Mac>,
    differing: Differing,
    /// What `bridge/info` says besides the heaters.
    about: Value,
    /// What it says of the heaters.
    devices: Value,
}

impl Mqtt {
    /// Begins with nothing on the topics; `about` is an object with what `bridge/info` says besides the heaters.
    pub fn new(topics: Topics, about: Value) -> Self {
        Self {
            topics,
            retained: Retained::default(),
            messages: VecDeque::new(),
            shown: BTreeSet::new(),
            differing: Differing::default(),
            about,
            devices: Value::Array(Vec::new()),
        }
    }

    /// Returns the topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Returns the next message to publish.
    pub fn poll_message(&mut self) -> Option<Message> {
        self.messages.pop_front()
    }

    /// Renders what has changed of a heater.
    pub fn show(&mut self, mac: &Mac, change: &Change) {
        match change {
            Change::Available(available) => {
                let payload = if *available { "online" } else { "offline" };
                self.retain(self.topics.availability(mac), Bytes::from_static(payload.as_bytes()));
            }
            Change::Answer(name, answer) => {
                if *name == "status" {
                    self.shown.insert(mac.clone());
                }
                self.retain(self.topics.device(mac, name), text(answer));
            }
            Change::Event(event) => self.publish(self.topics.device(mac, "event"), event),
            Change::Command(report) => self.report(mac, report),
            Change::Abilities => {}
        }
    }

    /// Publishes the result of a `set`.
    pub fn report(&mut self, mac: &Mac, report: &Report) {
        let Some(status) = report.status else { return };
        let mut result = json!({ "name": report.name, "status": status });
        if let Some(id) = &report.id {
            result["id"] = id.clone();
        }
        if !report.in_force {
            result["in_force"] = false.into();
        }
        if let Some(reason) = &report.reason {
            result["reason"] = reason.as_str().into();
        }
        result["at"] = humantime::format_rfc3339_seconds(report.at).to_string().into();
        self.publish(self.topics.device(mac, "result"), &result);
    }

    /// Clears everything that stands of a heater; an earlier run may have left what this one never held.
    pub fn clear(&mut self, mac: &Mac) {
        for name in topics::OF_DEVICE {
            self.retain(self.topics.device(mac, name), Bytes::new());
        }
    }

    /// Shows the heaters on `bridge/info`.
    pub fn show_devices(&mut self, devices: Value) {
        self.devices = devices;
        self.show_about();
    }

    /// Sets a member of `bridge/info`.
    pub fn set_about(&mut self, member: &str, value: Value) {
        self.about[member] = value;
        self.show_about();
    }

    /// Returns a member of `bridge/info`.
    pub fn about(&self, member: &str) -> Option<&Value> {
        self.about.get(member)
    }

    fn show_about(&mut self) {
        let mut info = self.about.clone();
        info["devices"] = self.devices.clone();
        self.retain(self.topics.info(), text(&info));
    }

    /// Shows the payload of `bridge/connection`.
    pub fn show_connection(&mut self, payload: &Value) {
        self.retain(self.topics.connection(), text(payload));
    }

    /// Publishes an event of the connection.
    pub fn publish_event(&mut self, payload: &Value) {
        self.publish(self.topics.event(), payload);
    }

    /// Answers a request to the bridge: with data, if there is any, or with what is wrong with it.
    pub fn respond(&mut self, name: &str, id: Option<Value>, outcome: Result<Value, String>) {
        let mut response = json!({ "ok": outcome.is_ok() });
        match outcome {
            Ok(Value::Null) => {}
            Ok(data) => response["data"] = data,
            Err(error) => response["error"] = error.into(),
        }
        if let Some(id) = id {
            response["id"] = id;
        }
        self.publish(self.topics.response(name), &response);
    }

    /// Returns the last will of the link.
    pub fn will(&self) -> Message {
        Message { topic: self.topics.state(), payload: Bytes::from_static(b"offline"), retained: true }
    }

    /// Says again what was said of presence, for each heater whose status was shown since the last time.
    pub fn repeat_presence(&mut self) {
        let shown = std::mem::take(&mut self.shown);
        if shown.is_empty() {
            return;
        }
        let topics = shown.iter().map(|mac| self.topics.availability(mac)).chain([self.topics.state()]);
        let messages: Vec<Message> = topics.filter_map(|topic| self.held(topic)).collect();
        self.messages.extend(messages);
    }

    /// Takes what was heard on a topic of ours; returns whether it is one.
    pub fn hear_own(&mut self, topic: &str, payload: &[u8], now: Instant) -> bool {
        let own = self.topics.is_presence(topic);
        if own && let Some(message) = self.held(topic.to_owned()) {
            self.differing.hear(topic, message.payload == payload, now);
        }
        own
    }

    /// The broker is gone; a replay corrects whatever it holds when it is there again.
    pub fn broker_gone(&mut self) {
        self.differing = Differing::default();
    }

    /// Returns when [`Mqtt::correct`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        self.differing.due()
    }

    /// Says again what the broker has otherwise; returns the topics.
    pub fn correct(&mut self, now: Instant) -> BTreeSet<String> {
        let topics = self.differing.take_due(now);
        let messages: Vec<Message> = topics.iter().filter_map(|topic| self.held(topic.clone())).collect();
        self.messages.extend(messages);
        topics
    }

    /// Returns what stands on a topic while we run.
    fn held(&self, topic: String) -> Option<Message> {
        let payload = match topic == self.topics.state() {
            true => Bytes::from_static(b"online"),
            false => self.retained.get(&topic)?.clone(),
        };
        Some(Message { topic, payload, retained: true })
    }

    /// Returns everything that the broker is to hold, for every new connection to it; [`outbox::Outbox`] decides what goes
    /// first.
    pub fn replay(&self) -> Vec<Message> {
        let topics = self.retained.iter().map(|(topic, _)| topic.to_owned()).chain([self.topics.state()]);
        topics.filter_map(|topic| self.held(topic)).collect()
    }

    /// Returns the same without discovery.
    pub fn states(&self) -> Vec<Message> {
        let mut messages = self.replay();
        messages.retain(|message| self.topics.rank(&message.topic) != Rank::Discovery);
        messages
    }

    /// Returns the energy of every heater.
    pub fn energies(&self) -> Vec<Message> {
        let held = self.retained.iter().filter(|(topic, _)| self.topics.is_energy(topic));
        held.map(|(topic, payload)| Message { topic: topic.to_owned(), payload: payload.clone(), retained: true })
            .collect()
    }

    /// Publishes a message that the broker is to keep, unless it holds it already, and returns whether it did not; an
    /// empty one clears the topic.
    pub fn retain(&mut self, topic: String, payload: Bytes) -> bool {
        let other = self.retained.set(&topic, &payload);
        if other {
            self.messages.push_back(Message { topic, payload, retained: true });
        }
        other
    }

    fn publish(&mut self, topic: String, payload: &Value) {
        self.messages.push_back(Message { topic, payload: text(payload), retained: false });
    }
}

/// Writes JSON, in no more memory than it needs: most of it is kept.
pub(super) fn text(value: &impl serde::Serialize) -> Bytes {
    // Only a map whose keys are no strings could fail.
    serde_json::to_vec(value).unwrap_or_default().into_boxed_slice().into()
}
