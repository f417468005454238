//! What has happened to a heater, told by comparing its newest status with what was known before.

use serde_json::{Value, json};

use crate::navilink::members::Members;

/// Something that is watched. One status makes its events in the order of [`WATCHED`].
struct Watched {
    /// Reads it from a decoded status; `null` is unknown.
    read: fn(&Members) -> Value,
    /// Names the change from one known value to another.
    event: fn(&Value, &Value) -> Option<&'static str>,
    /// A member of the status that belongs to the event.
    with: Option<&'static str>,
}

const SET_POINT: usize = 3;

const WATCHED: [Watched; 9] = [
    Watched { read: mode, event: |_, _| Some("mode_changed"), with: None },
    Watched {
        read: mode,
        event: |old, new| crossed([old, new], "power_off", ["powered_off", "powered_on"]),
        with: None,
    },
    Watched {
        read: mode,
        event: |old, new| crossed([old, new], "vacation", ["vacation_started", "vacation_ended"]),
        with: None,
    },
    Watched {
        read: |status| member(status, "dhw_temperature_setting"),
        event: |_, _| Some("temperature_changed"),
        with: Some("units"),
    },
    Watched {
        read: |status| member(status, "heat_source"),
        event: |old, new| crossed([old, new], "none", ["heating_stopped", "heating_started"]),
        with: None,
    },
    Watched {
        read: |status| member(status, "anti_legionella_operation_busy"),
        event: |old, new| crossed([old, new], true, ["anti_legionella_started", "anti_legionella_stopped"]),
        with: None,
    },
    Watched {
        read: error,
        event: |_, new| Some(if *new == 0 { "error_cleared" } else { "error_detected" }),
        with: Some("error_text"),
    },
    Watched {
        read: |status| member(status, "water_leak"),
        event: |old, new| crossed([old, new], true, ["leak_detected", "leak_cleared"]),
        with: Some("error_code"),
    },
    Watched {
        read: |status| member(status, "condensate_overflow"),
        event: |old, new| crossed([old, new], true, ["overflow_detected", "overflow_cleared"]),
        with: Some("error_code"),
    },
];

/// What is known of one heater's doings: the last known value of each thing that is watched. It outlives outages and
/// statuses that leave something out, so that nothing begins or ends twice.
#[derive(Debug, Default)]
pub struct Watch {
    known: [Value; WATCHED.len()],
    units: Value,
}

impl Watch {
    /// Takes a decoded status that came `at` this time (RFC 3339) and returns the payloads of the events it makes. What
    /// was not known before, or is not known now, makes none.
    pub fn compare(&mut self, status: &Members, at: &str) -> Vec<Value> {
        let units = member(status, "units");
        if self.units != units {
            // The same temperature in other units is no change.
            self.known[SET_POINT] = Value::Null;
            self.units = units;
        }
        let mut events = Vec::new();
        for (watched, known) in WATCHED.iter().zip(&mut self.known) {
            let new = (watched.read)(status);
            if new.is_null() || new == *known {
                continue;
            }
            let old = std::mem::replace(known, new.clone());
            let Some(name) = (watched.event)(&old, &new).filter(|_| !old.is_null()) else { continue };
            let mut event = json!({ "event_type": name, "event": name, "at": at, "old": old, "new": new });
            if let Some(with) = watched.with {
                event[with] = member(status, with);
            }
            events.push(event);
        }
        events
    }
}

fn member(status: &Members, name: &str) -> Value {
    status.get(name).cloned().unwrap_or_default()
}

fn mode(status: &Members) -> Value {
    member(status, "dhw_operation_setting")
}

fn error(status: &Members) -> Value {
    member(status, "error_code")
}

/// Names the change if it begins or ends `state`.
fn crossed<S>([old, new]: [&Value; 2], state: S, [begun, ended]: [&'static str; 2]) -> Option<&'static str>
where
    Value: PartialEq<S>,
{
    match (*old == state, *new == state) {
        (false, true) => Some(begun),
        (true, false) => Some(ended),
        _ => None,
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
