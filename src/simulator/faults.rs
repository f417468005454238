//! Everything that can be made to go wrong, and how it is asked for.
//!
//! `POST /faults` on the control port takes one fault, or an array of them, as JSON objects with the name in `fault`:
//!
//! | `fault` | members | what happens |
//! |---|---|---|
//! | `refuse` | `times`? | connections to the MQTT port are reset as soon as they are accepted |
//! | `reset` | | all MQTT connections are reset (RST) now |
//! | `away` | `on` | both ports are closed, with every connection: nobody reaches the cloud |
//! | `freeze`, `thaw` | | MQTT connections stay open, but nothing is read or written |
//! | `upgrade` | `status`, `times`? | the WebSocket upgrade is answered with this status |
//! | `close-after-connack` | `times`? | the connection is closed right after CONNACK |
//! | `mute-connack` | `on` | CONNECT is never answered |
//! | `refuse-suback` | `times`? | filters are refused with 0x80 |
//! | `deaf` | `on` | clients are told nothing that is published, but everything is acknowledged |
//! | `takeover` | | clients are disconnected as if others had taken their ids |
//! | `lifetime` | `ms` or null | how long new MQTT connections live |
//! | `clock` | `seconds` | AWS's clock is so far ahead of ours, or behind it: signatures look too old or too new |
//! | `rest` | `endpoint`?, `answer`, `times`? | REST calls to this path (all without one) are answered so, see below |
//! | `list` | `change`? | the device list is changed so, see below; without `change` it is whole again |
//! | `expire-tokens`, `expire-aws` | | tokens, or AWS credentials, issued until now are expired |
//! | `heater` | `index`?, `state`, `ms`? | `online`, `offline`, `silent`, `slow` (by `ms`) or `{"error": 799}`; all heaters without `index` |
//! | `display` | `index`?, `celsius` | a press on the heater (all without `index`): it shows Celsius, or Fahrenheit, from now on |
//! | `malformed` | `payload`? | this text, or a set of built-in nonsense, is published on the heaters' topics |
//! | `push` | | every heater publishes a status now |
//! | `clear` | | everything that lasts is ended |
//!
//! Without `times` a fault lasts until `clear`. `answer` is `{"status": 503}`, `{"too-many": 5}` (429 with
//! `Retry-After: 5`), `{"gateway": 401}` (a gateway's answer, without the envelope), `{"envelope": 500}` (HTTP 200 with another number in `code`), `{"slow": 3000}` (ms, then the real
//! answer), `"html"`, `"empty"` or `"drop"` (the connection is closed without an answer). `change` is `{"without": 0}`
//! (the heater of this index is left out), `"nothing"` (an empty list), `"unreadable"` (entries that cannot be read),
//! `"foreign"` or `"only-foreign"` (a device of another type besides, or nothing else).

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::{Value, json};

use super::broker::Times;
use crate::io::clock;

/// A fault to set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Connections to the MQTT port are reset as soon as they are accepted.
    Refuse {
        /// How often; until cleared without.
        times: Option<u32>,
    },
    /// All MQTT connections are reset now.
    Reset,
    /// Both ports are closed, with every connection: nobody reaches the cloud.
    Away {
        /// Whether it is so from now on.
        on: bool,
    },
    /// MQTT connections stay open, but nothing is read or written.
    Freeze,
    /// Ends a freeze.
    Thaw,
    /// The WebSocket upgrade is answered with a status.
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// How often; until cleared without.
        times: Option<u32>,
    },
    /// The connection is closed right after CONNACK.
    CloseAfterConnack {
        /// How often; until cleared without.
        times: Option<u32>,
    },
    /// CONNECT is never answered.
    MuteConnack {
        /// Whether it is so from now on.
        on: bool,
    },
    /// Filters are refused with 0x80.
    RefuseSuback {
        /// How often; until cleared without.
        times: Option<u32>,
    },
    /// Clients are told nothing that is published, but everything is acknowledged.
    Deaf {
        /// Whether it is so from now on.
        on: bool,
    },
    /// Clients are disconnected as if others had taken their ids.
    Takeover,
    /// New MQTT connections live only so long.
    Lifetime {
        /// Milliseconds; without limit if absent.
        ms: Option<u64>,
    },
    /// AWS's clock differs from ours.
    Clock {
        /// How many seconds it is ahead; less than 0 is behind.
        seconds: i32,
    },
    /// REST calls are answered wrongly.
    Rest {
        /// The path, such as `/user/sign-in`; all without.
        endpoint: Option<String>,
        /// The answer.
        answer: RestAnswer,
        /// How often; until cleared without.
        times: Option<u32>,
    },
    /// The device list is changed.
    List {
        /// How; whole again without.
        change: Option<ListChange>,
    },
    /// Access tokens issued until now are expired.
    ExpireTokens,
    /// AWS credentials issued until now are expired.
    ExpireAws,
    /// A heater misbehaves.
    Heater {
        /// Which one; all without.
        index: Option<usize>,
        /// How.
        state: SimulatedCondition,
        /// Milliseconds by which a slow one is late.
        ms: Option<u64>,
    },
    /// Somebody presses on a heater, and it shows other units from now on.
    Display {
        /// Which one; all without.
        index: Option<usize>,
        /// Celsius, or Fahrenheit.
        celsius: bool,
    },
    /// Nonsense is published on the heaters' topics.
    Malformed {
        /// The payload; a built-in set without.
        payload: Option<String>,
    },
    /// Every heater publishes a status now.
    Push,
    /// Everything that lasts is ended.
    Clear,
}

/// How a heater misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SimulatedCondition {
    /// Not at all.
    Online,
    /// It is not connected to the cloud.
    Offline,
    /// It does not answer.
    Silent,
    /// It answers late.
    Slow,
    /// It reports this error, and the device list its occurrence.
    Error(u16),
}

/// How the device list is wrong, or odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListChange {
    /// The heater of this index is left out.
    Without(usize),
    /// It is empty.
    Nothing,
    /// None of its entries can be read.
    Unreadable,
    /// It has a device of another type besides.
    Foreign,
    /// It has a device of another type and nothing else.
    OnlyForeign,
}

impl ListChange {
    fn apply(self, mut entries: Vec<Value>) -> Vec<Value> {
        let foreign = || {
            json!({
                "deviceInfo": {
                    "homeSeq": 25004, "macAddress": "04786332aa01", "additionalValue": "5089", "deviceType": 1,
                    "deviceName": "NPE", "connected": 2, "installType": "R",
                },
                "location": null,
            })
        };
        match self {
            Self::Without(index) => {
                if index < entries.len() {
                    entries.remove(index);
                }
            }
            Self::Nothing => entries.clear(),
            Self::Unreadable => entries = vec![json!({ "deviceInfo": null }), Value::Null, json!({ "location": {} })],
            Self::Foreign => entries.push(foreign()),
            Self::OnlyForeign => entries = vec![foreign()],
        }
        entries
    }
}

/// A wrong answer to a REST call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestAnswer {
    /// An HTTP status, with the same number in the envelope.
    Status(u16),
    /// HTTP 429 with `Retry-After` in seconds.
    TooMany(u64),
    /// An HTTP status and a gateway's words, without the envelope.
    Gateway(u16),
    /// HTTP 200 with this number in the envelope.
    Envelope(u16),
    /// HTTP 200 with a page in HTML.
    Html,
    /// HTTP 200 without a body.
    Empty,
    /// The right answer after so many milliseconds.
    Slow(u64),
    /// The connection is closed without an answer.
    Drop,
}

/// The REST faults that are armed.
#[derive(Debug, Default)]
pub struct RestFaults {
    answers: Mutex<Vec<(Option<String>, RestAnswer, Times)>>,
    list: Mutex<Option<ListChange>>,
}

impl RestFaults {
    /// Arms one; an earlier one for the same endpoint comes first.
    pub fn arm(&self, endpoint: Option<String>, answer: RestAnswer, times: Option<u32>) {
        let armed = Times::default();
        armed.arm(times);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push((endpoint, answer, armed));
    }

    /// Takes the fault for a call to `path`.
    pub fn take(&self, path: &str) -> Option<RestAnswer> {
        let armed = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting = armed.iter().filter(|(endpoint, ..)| endpoint.as_deref().is_none_or(|e| e == path));
        fitting.find(|(_, _, times)| times.take()).map(|(_, answer, _)| *answer)
    }

    /// Sets how the device list is changed.
    pub fn set_list(&self, change: Option<ListChange>) {
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = change;
    }

    /// Returns the device list as it is shown.
    pub fn change_list(&self, entries: Vec<Value>) -> Vec<Value> {
        match *self.list.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(change) => change.apply(entries),
            None => entries,
        }
    }

    /// Disarms all.
    pub fn clear(&self) {
        self.set_list(None);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The faults of the upgrade and of the WebSocket connections.
#[derive(Debug, Default)]
pub struct UpgradeFaults {
    status: Mutex<u16>,
    times: Times,
    lifetime: Mutex<Option<Duration>>,
    ahead: AtomicI32,
}

impl UpgradeFaults {
    /// Answers upgrades with `status`.
    pub fn arm(&self, status: u16, times: Option<u32>) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
        self.times.arm(times);
    }

    /// Takes the status for one upgrade.
    pub fn take(&self) -> Option<u16> {
        self.times.take().then(|| *self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lets upgrades pass again.
    pub fn clear(&self) {
        self.times.clear();
    }

    /// Sets how many seconds AWS's clock is ahead.
    pub fn set_clock(&self, seconds: i32) {
        self.ahead.store(seconds, Ordering::SeqCst);
    }

    /// Returns what AWS's clock says.
    pub fn clock(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::SeqCst);
        let by = Duration::from_secs(ahead.unsigned_abs().into());
        if ahead < 0 { clock::wall() - by } else { clock::wall() + by }
    }

    /// Sets how long new connections live.
    pub fn set_lifetime(&self, lifetime: Option<Duration>) {
        *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner) = lifetime;
    }

    /// Returns how long new connections live.
    pub fn lifetime(&self) -> Option<Duration> {
        *self.lifetime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Fault {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn faults_are_read_as_documented() {
        assert_eq!(read(r#"{"fault":"refuse"}"#), Fault::Refuse { times: None });
        assert_eq!(
            read(r#"{"fault":"upgrade","status":403,"times":2}"#),
            Fault::Upgrade { status: 403, times: Some(2) }
        );
        assert_eq!(read(r#"{"fault":"reset"}"#), Fault::Reset);
        assert_eq!(read(r#"{"fault":"clock","seconds":-3600}"#), Fault::Clock { seconds: -3600 });
        assert_eq!(read(r#"{"fault":"lifetime","ms":null}"#), Fault::Lifetime { ms: None });
        let heater = Fault::Heater { index: Some(1), state: SimulatedCondition::Slow, ms: Some(500) };
        assert_eq!(read(r#"{"fault":"heater","index":1,"state":"slow","ms":500}"#), heater);
        assert_eq!(read(r#"{"fault":"display","celsius":true}"#), Fault::Display { index: None, celsius: true });
        for (json, answer) in [
            (r#"{"status":503}"#, RestAnswer::Status(503)),
            (r#"{"too-many":5}"#, RestAnswer::TooMany(5)),
            (r#"{"envelope":500}"#, RestAnswer::Envelope(500)),
            (r#"{"slow":3000}"#, RestAnswer::Slow(3000)),
            (r#""html""#, RestAnswer::Html),
            (r#""empty""#, RestAnswer::Empty),
            (r#""drop""#, RestAnswer::Drop),
        ] {
            let read = read(&format!(r#"{{"fault":"rest","endpoint":"/x","answer":{json}}}"#));
            assert_eq!(read, Fault::Rest { endpoint: Some("/x".to_owned()), answer, times: None });
        }
        assert!(serde_json::from_str::<Fault>(r#"{"fault":"nonsense"}"#).is_err());
    }

    #[test]
    fn rest_faults_are_used_up_in_order() {
        let faults = RestFaults::default();
        faults.arm(Some("/a".to_owned()), RestAnswer::Html, Some(1));
        faults.arm(None, RestAnswer::Drop, None);
        assert_eq!(faults.take("/b"), Some(RestAnswer::Drop));
        assert_eq!(faults.take("/a"), Some(RestAnswer::Html));
        assert_eq!(faults.take("/a"), Some(RestAnswer::Drop));
        faults.clear();
        assert_eq!(faults.take("/a"), None);
    }
}
