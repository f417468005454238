//! A small MQTT 3.1.1 broker: QoS 0 and 1, wildcards, retained messages, last wills; no stored sessions.
//!
//! With [`Rules::aws`] it keeps to what AWS IoT does (protocol reference, section 2) and closes the connection of
//! whoever breaks it; with [`Rules::plain`] it is a local broker for the demo. It serves any byte stream.

mod codec;
mod filter;
mod session;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mqtt_protocol_core::mqtt::packet::Qos;
use tokio::sync::mpsc;

pub use self::session::SessionEnd;
use super::counters::SharedCounters;

/// How many messages wait for one client; further ones are dropped and counted.
const QUEUE: usize = 1024;

/// What the broker lets its clients do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Retained messages are kept; without it, a RETAIN flag closes the connection.
    pub retain: bool,
    /// A filter `a/#` matches `a`.
    pub hash_matches_parent: bool,
    /// The longest payload, bytes.
    pub payload: usize,
    /// The most filters in one SUBSCRIBE.
    pub filters: usize,
    /// The most subscriptions of one connection.
    pub subscriptions: usize,
    /// The longest topic, bytes.
    pub topic: usize,
    /// The most slashes in a topic.
    pub slashes: usize,
    /// Shorter keep-alives are raised to this.
    pub keep_alive_floor: Duration,
}

impl Rules {
    /// Returns the limits of AWS IoT.
    pub fn aws() -> Self {
        Self {
            retain: false,
            hash_matches_parent: false,
            payload: 128 * 1024,
            filters: 8,
            subscriptions: 50,
            topic: 256,
            slashes: 7,
            keep_alive_floor: Duration::from_secs(30),
        }
    }

    /// Returns the limits of an ordinary local broker.
    pub fn plain() -> Self {
        Self {
            retain: true,
            hash_matches_parent: true,
            payload: 1024 * 1024,
            filters: 1000,
            subscriptions: 1000,
            topic: usize::from(u16::MAX),
            slashes: usize::from(u16::MAX),
            keep_alive_floor: Duration::from_secs(1),
        }
    }
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The quality of service, 0 or 1.
    pub qos: Qos,
    /// Kept for later subscribers.
    pub retain: bool,
}

impl Publication {
    /// Makes a message of QoS 1 that is not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), qos: Qos::AtLeastOnce, retain: false }
    }
}

/// How often something still happens.
#[derive(Debug, Default)]
pub struct Times(AtomicU32);

impl Times {
    /// Arms it for `times`, or until cleared.
    pub fn arm(&self, times: Option<u32>) {
        self.0.store(times.unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    /// Disarms it.
    pub fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Says whether it happens now, and uses up one of its times.
    pub fn take(&self) -> bool {
        let less = |left: u32| match left {
            0 => None,
            u32::MAX => Some(left),
            _ => Some(left - 1),
        };
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }
}

/// How the broker itself misbehaves.
#[derive(Debug, Default)]
pub struct BrokerFaults {
    /// The connection is closed right after CONNACK.
    pub close_after_connack: Times,
    /// Every filter is refused with 0x80.
    pub refuse_suback: Times,
    /// CONNECT is not answered.
    pub mute_connack: AtomicBool,
    /// What is published reaches no client.
    pub deaf: AtomicBool,
}

/// The broker; clones share one state.
#[derive(Clone)]
pub struct Broker {
    rules: Rules,
    tally: SharedCounters,
    faults: Arc<BrokerFaults>,
    state: Arc<Mutex<BrokerState>>,
}

#[derive(Default)]
struct BrokerState {
    clients: BTreeMap<String, Subscriber>,
    retained: BTreeMap<String, Arc<Publication>>,
    taps: Vec<mpsc::Sender<Arc<Publication>>>,
    connections: u64,
}

struct Subscriber {
    connection: u64,
    filters: BTreeMap<String, Qos>,
    queue: mpsc::Sender<Arc<Publication>>,
}

impl Broker {
    /// Makes a broker without clients.
    pub fn new(rules: Rules, tally: SharedCounters) -> Self {
        Self { rules, tally, faults: Arc::default(), state: Arc::default() }
    }

    /// Returns the switches of its faults.
    pub fn faults(&self) -> &BrokerFaults {
        &self.faults
    }

    /// Returns a channel of every message that a client publishes from now on; a full one loses messages.
    pub fn subscribe(&self) -> mpsc::Receiver<Arc<Publication>> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.lock().taps.push(sender);
        receiver
    }

    /// Publishes a message from inside the process.
    pub fn publish(&self, message: Publication) {
        self.deliver(&Arc::new(message));
    }

    /// Disconnects everyone, as if other clients had taken their ids.
    pub fn take_over_all(&self) {
        let displaced = std::mem::take(&mut self.lock().clients).len();
        self.tally.count().takeovers += displaced as u64;
    }

    fn publish_from_client(&self, message: Publication) {
        let message = Arc::new(message);
        self.tally.count().publishes += 1;
        self.deliver(&message);
        let mut dropped = 0;
        self.lock().taps.retain(|tap| match tap.try_send(message.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                dropped += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        });
        self.tally.count().dropped += dropped;
    }

    fn deliver(&self, message: &Arc<Publication>) {
        let mut state = self.lock();
        if message.retain {
            match message.payload.is_empty() {
                true => state.retained.remove(&message.topic),
                false => state.retained.insert(message.topic.clone(), message.clone()),
            };
        }
        // Retained is what a new subscription gets; who is subscribed already gets it as live.
        let mut live = Publication::clone(message);
        live.retain = false;
        let mut dropped = 0;
        for client in state.clients.values() {
            let granted = client.filters.iter().filter(|(filter, _)| self.matches(filter, &live.topic));
            let Some(qos) = granted.map(|(_, qos)| *qos as u8).max() else { continue };
            let qos = if qos == 0 { Qos::AtMostOnce } else { live.qos };
            dropped += u64::from(client.queue.try_send(Arc::new(Publication { qos, ..live.clone() })).is_err());
        }
        drop(state);
        self.tally.count().dropped += dropped;
    }

    fn enter(&self, id: &str) -> (u64, mpsc::Receiver<Arc<Publication>>) {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let mut state = self.lock();
        state.connections += 1;
        let connection = state.connections;
        let displaced = state.clients.insert(id.to_owned(), Subscriber { connection, filters: BTreeMap::new(), queue });
        drop(state);
        let mut tally = self.tally.count();
        tally.takeovers += u64::from(displaced.is_some());
        tally.connects += 1;
        tally.active += 1;
        (connection, receiver)
    }

    fn leave(&self, id: &str, connection: u64) {
        let mut state = self.lock();
        if state.clients.get(id).is_some_and(|client| client.connection == connection) {
            state.clients.remove(id);
        }
        drop(state);
        self.tally.count().active -= 1;
    }

    /// Adds a subscription and returns the retained messages it brings, or `None` when there are too many.
    fn add_filter(&self, id: &str, filter: &str, qos: Qos) -> Option<Vec<Arc<Publication>>> {
        let mut state = self.lock();
        let retained = state.retained.values().filter(|m| self.matches(filter, &m.topic)).cloned().collect();
        let client = state.clients.get_mut(id)?;
        client.filters.insert(filter.to_owned(), qos);
        (client.filters.len() <= self.rules.subscriptions).then_some(retained)
    }

    fn remove_filter(&self, id: &str, filter: &str) {
        if let Some(client) = self.lock().clients.get_mut(id) {
            client.filters.remove(filter);
        }
    }

    fn matches(&self, filter: &str, topic: &str) -> bool {
        filter::matches(filter, topic, self.rules.hash_matches_parent)
    }

    fn lock(&self) -> MutexGuard<'_, BrokerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
