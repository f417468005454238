//! What the local broker is to hold, so that all of it can be given to it again.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The mirror of our retained messages. An empty payload clears a topic and is kept until the broker was told.
#[derive(Debug, Default)]
pub struct Retained {
    messages: BTreeMap<String, Bytes>,
}

impl Retained {
    /// Keeps a message; returns whether it differs from what was held.
    pub fn set(&mut self, topic: &str, payload: &Bytes) -> bool {
        if self.messages.get(topic) == Some(payload) {
            return false;
        }
        self.messages.insert(topic.to_owned(), payload.clone());
        true
    }

    /// Returns what stands on a topic.
    pub fn get(&self, topic: &str) -> Option<&Bytes> {
        self.messages.get(topic)
    }

    /// Returns everything, in the order of the topics.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.messages.iter().map(|(topic, payload)| (topic.as_str(), payload))
    }
}
