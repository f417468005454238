//! Requests to the bridge that the daemon carries out.

use serde_json::Value;

/// What the daemon is asked for; it answers with [`Bridge::respond`](super::Bridge::respond).
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
