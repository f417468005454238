//! Requests to the bridge that the daemon carries out, and what the bridge has seen so far.

use serde_json::Value;

use super::Bridge;
use crate::model::Moment;

/// What the daemon is asked for; it answers with [`Bridge::respond`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Log at this level from now on, as it was written.
    SetLogLevel(String),
    /// Tell everything that helps to find a fault.
    Diagnostics,
    /// Start the process afresh.
    Restart,
    /// Connect to the cloud afresh.
    Reconnect,
}

impl Order {
    /// Reads a request; `None` when it is not one for the daemon.
    pub fn read(name: &str, payload: &[u8]) -> Option<Self> {
        match name {
            "log_level" => Some(Self::SetLogLevel(value(payload))),
            "diagnostics" => Some(Self::Diagnostics),
            "restart" => Some(Self::Restart),
            "reconnect" => Some(Self::Reconnect),
            _ => None,
        }
    }

    /// Returns the request's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SetLogLevel(_) => "log_level",
            Self::Diagnostics => "diagnostics",
            Self::Restart => "restart",
            Self::Reconnect => "reconnect",
        }
    }
}

/// Reads a text: plain, as JSON, or as the member `value` or `mac` of an object.
pub(super) fn value(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload).trim().to_owned();
    match serde_json::from_str(&text) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(members)) => {
            members.get("value").or(members.get("mac")).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => text,
    }
}

impl Bridge {
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
}
