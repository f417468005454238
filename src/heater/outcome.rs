//! What became of a command, in the words that a `set` is told.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::seen::check_id;
use crate::product::payload::Payload;

/// What became of a command, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It waits.
    Queued(String),
    /// It left.
    Sent,
    /// Acknowledged by the heater, and its fields show it as far as any can.
    Confirmed,
    /// Acknowledged by the heater, but its fields do not show it.
    NotInForce(&'static str),
    /// Not obeyed.
    Rejected(String),
    /// It waited too long.
    Expired(String),
    /// A newer one took its place, whose end is the one that counts.
    Superseded,
    /// Sent, and not known to be obeyed.
    Failed(String),
}

/// What a `set` is told (contract, section 4).
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it sets.
    pub name: String,
    /// What its payload had as `id`.
    pub id: Option<Value>,
    /// `queued`, `sent`, `confirmed`, …; `None` when nothing new is to be told but `reason`, to a human.
    pub status: Option<&'static str>,
    /// Whether the heater's fields show it, as far as any can.
    pub in_force: bool,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: SystemTime,
}

impl Report {
    /// Rejects a `set` before any heater has seen it.
    pub fn rejected(name: &str, payload: &[u8], reason: &str, at: SystemTime) -> Self {
        let id = Payload::read(payload).ok().and_then(|payload| payload.id).filter(|id| check_id(Some(id)).is_ok());
        Self {
            name: name.to_owned(),
            id,
            status: Some("rejected"),
            in_force: true,
            reason: Some(reason.to_owned()),
            at,
        }
    }

    /// Returns the event of a command that came to nothing.
    pub fn event(&self) -> Option<Value> {
        let name = match self.status? {
            "rejected" => "command_rejected",
            "failed" => "command_failed",
            "expired" => "command_expired",
            _ => return None,
        };
        let mut event = json!({ "event_type": name, "event": name });
        if let (Value::Object(event), Value::Object(end)) = (&mut event, self.end()) {
            event.extend(end.into_iter().filter(|(member, _)| !matches!(member.as_str(), "status" | "in_force")));
        }
        Some(event)
    }

    /// Returns how it ended, with the time to the millisecond: no two ends look the same.
    pub fn end(&self) -> Value {
        json!({
            "name": self.name,
            "id": self.id,
            "status": self.status,
            "in_force": self.in_force && self.status == Some("confirmed"),
            "reason": self.reason,
            "at": humantime::format_rfc3339_millis(self.at).to_string(),
        })
    }
}

impl Outcome {
    /// Returns the status and the reason.
    pub fn into_words(self) -> (&'static str, Option<String>) {
        match self {
            Self::Queued(reason) => ("queued", Some(reason)),
            Self::Sent => ("sent", None),
            Self::Confirmed => ("confirmed", None),
            Self::NotInForce(reason) => ("confirmed", Some(reason.to_owned())),
            Self::Rejected(reason) => ("rejected", Some(reason)),
            Self::Expired(reason) => ("expired", Some(reason)),
            Self::Superseded => ("expired", Some("a newer command took its place".to_owned())),
            Self::Failed(reason) => ("failed", Some(reason)),
        }
    }
}
