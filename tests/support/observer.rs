//! A client of the local broker that remembers what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use navien2mqtt::io::mqtt::{Dial, Link, LinkEvent};
use navien2mqtt::io::wire::{Target, Transport};
use navien2mqtt::model::Message;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Limit;

/// One message, and when it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub topic: String,
    pub payload: Bytes,
    pub retained: bool,
}

impl Seen {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }
}

/// Subscribed to everything for as long as it lives.
pub struct Observer {
    link: Arc<Link>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Observer {
    pub async fn start(port: u16, client_id: &str) -> Self {
        Self::start_as(port, client_id, None).await
    }

    /// The same with a user name and a password.
    pub async fn start_as(port: u16, client_id: &str, user: Option<(&str, &str)>) -> Self {
        // A test that looks through all that was seen holds the memory up; nothing may get lost meanwhile.
        let (sender, mut events) = mpsc::channel(64 * 1024);
        let link = Arc::new(Link::new(client_id, sender).unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let dial = Dial {
            target: Target { host: "127.0.0.1".into(), port, transport: Transport::Tcp },
            keep_alive: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            operation_timeout: Duration::from_secs(10),
            username: user.map(|(name, _)| name.to_owned()),
            password: user.map(|(_, password)| password.into()),
            will: None,
            filters: vec!["#".into()],
        };
        link.dial(1, dial);
        loop {
            match events.recv().await.unwrap() {
                LinkEvent::Up { .. } => break,
                LinkEvent::Message { topic, payload, retained, .. } => {
                    seen.lock().unwrap().push(Seen { at: Instant::now(), topic, payload, retained });
                }
                LinkEvent::Down { error, .. } => panic!("the observer cannot connect: {error}"),
                LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. } => {}
            }
        }
        let memory = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let LinkEvent::Message { topic, payload, retained, .. } = event {
                    memory.lock().unwrap().push(Seen { at: Instant::now(), topic, payload, retained });
                }
            }
        });
        Self { link, seen }
    }

    /// How much was seen until now; what comes later can be waited for with [`Observer::after`].
    pub fn mark(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits for a message on `topic`, new or old, that is `good`.
    pub async fn wait(&self, topic: &str, good: impl Fn(&Seen) -> bool) -> Seen {
        self.after(0, topic, good).await
    }

    /// Waits for a message that came after `mark`.
    pub async fn after(&self, mark: usize, topic: &str, good: impl Fn(&Seen) -> bool) -> Seen {
        self.within(Duration::from_secs(20), mark, topic, good).await
    }

    /// Waits so long for a message that came after `mark`.
    pub async fn within(&self, limit: Duration, mark: usize, topic: &str, good: impl Fn(&Seen) -> bool) -> Seen {
        let mut limit = Limit::of(limit);
        loop {
            let found =
                self.seen.lock().unwrap()[mark..].iter().find(|seen| seen.topic == topic && good(seen)).cloned();
            if let Some(found) = found {
                return found;
            }
            if !limit.pause().await {
                let seen = self.seen.lock().unwrap();
                let all: Vec<String> = seen[mark..].iter().map(|s| format!("{} {:.200}", s.topic, s.text())).collect();
                panic!("no such message on {topic}; seen were {all:#?}");
            }
        }
    }

    /// What came on `topic` after `mark`, in its order.
    pub fn all(&self, mark: usize, topic: &str) -> Vec<Seen> {
        self.seen.lock().unwrap()[mark..].iter().filter(|seen| seen.topic == topic).cloned().collect()
    }

    /// The last payload of every topic, without those that were cleared.
    pub fn latest(&self) -> BTreeMap<String, Bytes> {
        let seen = self.seen.lock().unwrap();
        let mut latest: BTreeMap<String, Bytes> =
            seen.iter().map(|seen| (seen.topic.clone(), seen.payload.clone())).collect();
        latest.retain(|_, payload| !payload.is_empty());
        latest
    }

    pub fn publish(&self, topic: &str, payload: &str) {
        self.send(topic, payload, false);
    }

    /// Publishes what the broker is to keep.
    pub fn publish_retained(&self, topic: &str, payload: &str) {
        self.send(topic, payload, true);
    }

    fn send(&self, topic: &str, payload: &str, retained: bool) {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        self.link.publish(1, Message { topic: topic.into(), payload, retained });
    }
}
