//! Requests to the bridge that the daemon carries out, and what the bridge has seen so far.

use serde_json::{Value, json};

use super::Bridge;
use crate::model::Moment;
use crate::navilink::message::Body;

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
        let mut response = json!({ "ok": outcome.is_ok() });
        match outcome {
            Ok(Value::Null) => {}
            Ok(data) => response["data"] = data,
            Err(error) => response["error"] = error.into(),
        }
        if let Some(id) = id {
            response["id"] = id;
        }
        let topic = self.settings.topics.response(name);
        self.publish_once(topic, &response);
    }

    /// Sets a member of `bridge/info`.
    pub fn set_about(&mut self, member: &str, value: Value) {
        self.about[member] = value;
        self.publish_info();
    }

    /// Returns what has been seen so far, for the diagnostics.
    pub fn diagnostics(&self, moment: Moment) -> Value {
        let stale_after = self.settings.heater.stale_after;
        let heaters = self.heaters.values().map(|heater| heater.diagnostics(stale_after, moment.now));
        json!({
            "heaters": heaters.collect::<Value>(),
            "messages": self.messages.show(),
            "complaints": self.complaints.show(),
        })
    }
}

/// Names what a message of the cloud says, for the counters.
pub(super) fn kind(body: &Body) -> &'static str {
    match body {
        Body::Request => "request",
        Body::Presence => "presence",
        Body::Status(_) => "status",
        Body::Feature(_) => "info",
        Body::EnergyDaily(_) => "energy_daily",
        Body::EnergyMonthly(_) => "energy_monthly",
        Body::Reservations(_) => "reservations",
        Body::Recirculation(_) => "recirculation",
        Body::Tou(_) => "tou",
        Body::Diagnostics(_) => "diagnostics",
        Body::Firmware(_) => "firmware",
        Body::ControlRefused { .. } => "control_refused",
        Body::FirmwareCommitted => "firmware_committed",
        Body::Other => "other",
    }
}
