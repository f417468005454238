//! Keeps the last raw messages of the cloud and the last answers of its REST API, for the diagnostics: bounded in number
//! and bytes, and without passwords, tokens and keys, which never enter it. They are not yet pseudonymised; of what is not recorded, the private
//! values are kept apart for that.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::private::{Class, Striker, in_topic, strike_text, struck};
use super::pseudonyms::each_private;
use crate::navilink::encoding::Object;
use crate::navilink::topics;

/// A longer message is cut, in bytes.
const MAX_MESSAGE: usize = 16 << 10;
/// All of them together, with what is said of each, in bytes.
const MAX_BYTES: usize = 64 << 10;
/// What is said of a message besides its payload and topic takes less, in bytes.
const OVERHEAD: usize = 256;
/// How many messages of one kind are kept.
const OF_ONE_KIND: usize = 4;
/// A longer topic is cut, in bytes; AWS IoT allows 256.
const MAX_TOPIC: usize = 512;

/// How many private values are kept of what is recorded without its values, or cut.
const MAX_PRIVATE: usize = 256;
/// A longer private value is not kept, in bytes.
const MAX_PRIVATE_VALUE: usize = 128;

/// The recorded messages by their kinds, the newest of a kind first. A kind is the end of a topic and, for answers,
/// that of the request's topic; or the path of a call.
#[derive(Default)]
pub struct Recorder {
    kinds: BTreeMap<String, VecDeque<RecordedMessage>>,
    recorded: u64,
    /// Names, ids and places that were said where they are not recorded, to know them elsewhere; the newest last.
    private: VecDeque<(Class, String)>,
    striker: Striker,
}

/// What is recorded of a payload.
struct RecordedContent {
    value: Value,
    /// The same in JSON.
    text: String,
    /// Whether something of it was cut.
    cut: bool,
}

struct RecordedMessage {
    number: u64,
    at: SystemTime,
    origin: Origin,
    /// Its size before it was cut, in bytes.
    bytes: usize,
    cut: bool,
    /// In JSON: small values take much more room than their text.
    payload: String,
    weight: usize,
}

enum Origin {
    Topic { topic: String, retained: bool },
    Call { path: &'static str, status: u16 },
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("recorded", &self.recorded).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records a message of the cloud.
    pub fn message(&mut self, topic: &str, payload: &[u8], retained: bool, at: SystemTime) {
        let content = self.content(payload);
        if content.cut {
            self.learn(payload);
        }
        let topic = prefix(topic, MAX_TOPIC).to_owned();
        let kind = kind(&topic, &content.value);
        self.add(kind, Origin::Topic { topic, retained }, (content, payload.len()), at);
    }

    /// Records an answer of the REST API to a call of `path`. What is not about devices is recorded without its values:
    /// tokens are among them.
    pub fn answer(&mut self, path: &'static str, status: u16, body: &[u8], at: SystemTime) {
        let content = match serde_json::from_slice(body) {
            _ if path.starts_with("/device/") => self.content(body),
            Ok(Value::Object(envelope)) => fitting(shape(envelope)),
            _ => fitting(format!("{} bytes that are not JSON", body.len()).into()),
        };
        if content.cut || !path.starts_with("/device/") {
            self.learn(body);
        }
        self.add(path.to_owned(), Origin::Call { path, status }, (content, body.len()), at);
    }

    /// Keeps what is private in a message, except passwords, tokens and keys.
    fn learn(&mut self, said: &[u8]) {
        let message = serde_json::from_slice(said).unwrap_or_else(|_| String::from_utf8_lossy(said).into());
        each_private(&message, &mut |class, value| {
            if class == Class::Secret || value.len() > MAX_PRIVATE_VALUE {
                return;
            }
            self.private.retain(|(_, known)| known != value);
            self.private.push_back((class, value.to_owned()));
            if self.private.len() > MAX_PRIVATE {
                self.private.pop_front();
            }
        });
    }

    /// Returns the private values that stood where they are not recorded.
    pub fn private(&self) -> impl Iterator<Item = (Class, &str)> {
        self.private.iter().map(|(class, value)| (*class, value.as_str()))
    }

    /// Returns what is recorded of a payload: JSON where it is such, text where it is not.
    fn content(&mut self, payload: &[u8]) -> RecordedContent {
        match serde_json::from_slice::<Value>(payload) {
            Ok(mut value) => {
                self.striker.strike(&mut value);
                fitting(value)
            }
            Err(_) => {
                // The rest is not read, and a character can be made of three bytes by the replacement of one.
                let start = &payload[..payload.len().min(MAX_MESSAGE)];
                let fitting = fitting(strike_text(&String::from_utf8_lossy(start)).into());
                RecordedContent { cut: fitting.cut || start.len() < payload.len(), ..fitting }
            }
        }
    }

    fn add(&mut self, kind: String, origin: Origin, (content, bytes): (RecordedContent, usize), at: SystemTime) {
        self.recorded += 1;
        let topic = if let Origin::Topic { topic, .. } = &origin { topic.len() } else { 0 };
        let RecordedContent { text: payload, cut, .. } = content;
        let weight = payload.len() + topic + kind.len() + OVERHEAD;
        let records = self.kinds.entry(kind).or_default();
        records.push_front(RecordedMessage { number: self.recorded, at, origin, bytes, cut, payload, weight });
        records.truncate(OF_ONE_KIND);
        while self.weight() > MAX_BYTES {
            self.drop_one();
        }
    }

    fn weight(&self) -> usize {
        self.kinds.values().flatten().map(|record| record.weight).sum()
    }

    /// Drops the oldest of those messages that are not the newest of their kind, or of all when there are no others.
    fn drop_one(&mut self) {
        let oldest =
            self.kinds.iter().filter_map(|(kind, records)| Some((records.len() == 1, records.back()?.number, kind)));
        let Some((_, _, kind)) = oldest.min() else { return };
        let kind = kind.clone();
        let records = self.kinds.entry(kind.clone()).or_default();
        records.pop_back();
        if records.is_empty() {
            self.kinds.remove(&kind);
        }
    }

    /// Returns the messages as JSON: the newest of each kind first, then the second of each, and so on.
    pub fn show(&self) -> Value {
        let mut shown: Vec<(usize, u64, Value)> = Vec::new();
        for (kind, records) in &self.kinds {
            for (place, record) in records.iter().enumerate() {
                shown.push((place, u64::MAX - record.number, record.show(kind)));
            }
        }
        shown.sort_by_key(|(place, age, _)| (*place, *age));
        shown.into_iter().map(|(_, _, record)| record).collect()
    }
}

impl RecordedMessage {
    fn show(&self, kind: &str) -> Value {
        let mut shown = match &self.origin {
            Origin::Topic { topic, retained: false } => json!({ "kind": kind, "topic": topic }),
            Origin::Topic { topic, retained: true } => json!({ "kind": kind, "topic": topic, "retained": true }),
            Origin::Call { path, status } => json!({ "kind": kind, "call": path, "status": status }),
        };
        shown["at"] = humantime::format_rfc3339_millis(self.at).to_string().into();
        shown["bytes"] = self.bytes.into();
        if self.cut {
            shown["truncated"] = true.into();
        }
        shown["payload"] = serde_json::from_str(&self.payload).unwrap_or_default();
        shown
    }
}

/// Returns the end of a topic, without whose it is, and what the message answers; or which data it holds, where it does
/// not say what it answers.
fn kind(topic: &str, payload: &Value) -> String {
    let end = |topic: &str| match (in_topic(topic).last(), topics::answer_suffix(topic)) {
        (_, Some(suffix)) => format!("res/{suffix}"),
        (Some(id), None) => topic[id.end..].trim_start_matches('/').to_owned(),
        (None, None) => topic.to_owned(),
    };
    let mut kind = end(topic);
    if payload.get("request").is_none() {
        let has = |name: &&str| payload.get(name).or_else(|| payload.get("response")?.get(name)).is_some();
        let data = || ["status", "st", "feature", "did"].into_iter().find(has).map(str::to_owned);
        let asked = payload.get("requestTopic").and_then(Value::as_str).map(end).or_else(data);
        asked.into_iter().for_each(|asked| kind += &format!(" to {asked}"));
    }
    prefix(&kind, 80).to_owned()
}

/// Cuts JSON down to [`MAX_MESSAGE`]: what does not fit is left out, and the rest stays JSON.
fn fitting(value: Value) -> RecordedContent {
    let text = value.to_string();
    if text.len() <= MAX_MESSAGE {
        return RecordedContent { value, text, cut: false };
    }
    let mut left = MAX_MESSAGE;
    let value = cut(value, &mut left).unwrap_or_default();
    RecordedContent { text: value.to_string(), value, cut: true }
}

fn cut(value: Value, left: &mut usize) -> Option<Value> {
    match value {
        Value::Object(members) => {
            *left = left.checked_sub(2)?;
            let mut kept = Object::new();
            for (key, value) in members {
                let Some(room) = left.checked_sub(Value::from(key.as_str()).to_string().len() + 2) else { break };
                *left = room;
                let Some(value) = cut(value, left) else { break };
                kept.insert(key, value);
            }
            Some(kept.into())
        }
        Value::Array(items) => {
            *left = left.checked_sub(2)?;
            let mut kept = Vec::new();
            for item in items {
                let Some(item) = cut(item, left) else { break };
                *left = left.saturating_sub(1);
                kept.push(item);
            }
            Some(kept.into())
        }
        Value::String(text) => {
            *left = left.checked_sub(2)?;
            let mut end = 0;
            for c in text.chars() {
                let Some(room) = left.checked_sub(Value::from(c.to_string()).to_string().len() - 2) else { break };
                *left = room;
                end += c.len_utf8();
            }
            Some(text[..end].into())
        }
        other => {
            *left = left.checked_sub(other.to_string().len())?;
            Some(other)
        }
    }
}

fn prefix(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// Returns the names of all members, with the kind and length of each value in its place. Only what says whether the
/// call succeeded, and how long something lives, is kept.
fn shape(envelope: Object) -> Value {
    let told = |(key, value): (String, Value)| {
        let value = match value {
            Value::String(text) if matches!(key.as_str(), "msg" | "message" | "serverCheckText") => {
                strike_text(prefix(&text, 200)).into()
            }
            Value::Number(number) if matches!(key.as_str(), "code" | "status") => number.into(),
            value => shape_of(&key, value),
        };
        (key, value)
    };
    envelope.into_iter().map(told).collect::<Object>().into()
}

fn shape_of(key: &str, value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().map(|(key, value)| (key.clone(), shape_of(&key, value))).collect::<Object>().into()
        }
        Value::Array(items) => items.into_iter().map(|item| shape_of(key, item)).collect(),
        Value::String(text) => struck(format_args!("{} characters", text.chars().count())).into(),
        Value::Number(number) if key.ends_with("ExpiresIn") => number.into(),
        Value::Number(_) => struck("a number").into(),
        other => other,
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
