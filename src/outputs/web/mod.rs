//! What the HTTP server says: metrics, health, and a page for people. `io::http` serves it.
//!
//! The output remembers what changed; what else there is at one moment comes as [`Vitals`] with each question.

mod history;
mod metrics;

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::heater::Change;
use crate::model::{Mac, Moment};
use crate::navilink::members::Members;

use history::History;
pub use history::Kept;
pub use metrics::Format;

/// The files of the page: path, media type, content.
pub const PAGE: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/script.js", "text/javascript; charset=utf-8", include_str!("page/script.js")),
];
/// The newest commands and events that are shown of each heater, and the newest events of the connection.
const SHOWN: usize = 30;
/// The history is kept so often, and when the process ends.
const KEEP_EVERY: Duration = Duration::from_secs(15 * 60);

/// MQTT messages that went one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub messages: u64,
    /// Their payloads, in bytes.
    pub bytes: u64,
}

impl Amount {
    /// Counts a message with a payload of so many bytes.
    pub fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// MQTT messages of a link, or of several, since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What arrived.
    pub received: Amount,
    /// What was handed to the session; one that is lost may not have sent it.
    pub sent: Amount,
}

impl Traffic {
    /// Adds what went over another link.
    pub fn with(mut self, other: Self) -> Self {
        for (to, more) in [(&mut self.received, other.received), (&mut self.sent, other.sent)] {
            to.messages += more.messages;
            to.bytes += more.bytes;
        }
        self
    }
}

/// What there is at the moment of a question, besides what has changed.
#[derive(Debug, Clone)]
pub struct Vitals {
    /// When the process started.
    pub started_at: SystemTime,
    /// The sessions with the cloud that are wanted, and those of them on which heaters answer.
    pub sessions: (usize, usize),
    /// Since when the first session with the cloud is up.
    pub session_since: Option<SystemTime>,
    /// Whether the local broker is connected.
    pub is_local_up: bool,
    /// What is wrong with it.
    pub local_trouble: Option<String>,
    /// How many retained messages were replaced by newer ones before they were sent.
    pub superseded: u64,
    /// How many sign-ins are left of this hour's, for the metrics.
    pub sign_ins_left: Option<u64>,
    /// How many commands wait.
    pub queued: usize,
    /// What was wrong with what arrived, each field or message counted.
    pub complaints: u64,
    /// The fields that the protocol reference does not know, once each.
    pub unknown_fields: usize,
    /// The links to the cloud.
    pub cloud: Traffic,
    /// The link to the local broker.
    pub local: Traffic,
}

/// How often something happened since the process started.
#[derive(Debug, Default)]
struct Counts {
    /// Events of the connection, by name and reason.
    events: BTreeMap<(String, String), u64>,
    /// How long the outages were that have ended, in seconds.
    outage_seconds: f64,
    sign_ins: u64,
    /// What became of commands, by heater and outcome.
    commands: BTreeMap<(Mac, &'static str), u64>,
    /// How long the connection was in each state that it has left.
    states: BTreeMap<String, Duration>,
}

/// What is shown of a heater.
#[derive(Debug, Default)]
struct ShownHeater {
    name: String,
    is_available: bool,
    status: Option<Members>,
    energy: Option<Members>,
    /// Whether it has the recirculation pump.
    recirculates: bool,
}

/// The output of the HTTP server.
#[derive(Debug)]
pub struct Web {
    heaters: BTreeMap<Mac, ShownHeater>,
    /// The payload of `bridge/connection`.
    connection: Value,
    /// When the state of the connection last changed.
    state_since: Instant,
    /// When the outage of now began.
    outage_since: Option<Instant>,
    counts: Counts,
    history: History,
    /// Counts what has changed on the page.
    version: u64,
    keep_at: Instant,
}

impl Web {
    /// Begins with what an earlier run kept.
    pub fn new(kept: Kept, moment: Moment) -> Self {
        Self {
            heaters: BTreeMap::new(),
            connection: Value::Null,
            state_since: moment.now,
            outage_since: None,
            counts: Counts::default(),
            history: History::restore(kept, moment.wall),
            version: 0,
            keep_at: moment.now + KEEP_EVERY,
        }
    }

    /// Returns a number that grows when something has changed on the page.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes the heaters that there are, with their names.
    pub fn set_heaters(&mut self, heaters: BTreeMap<Mac, String>) {
        self.heaters.retain(|mac, _| heaters.contains_key(mac));
        for (mac, name) in heaters {
            self.heaters.entry(mac).or_default().name = name;
        }
        self.version += 1;
    }

    /// Forgets a heater.
    pub fn remove(&mut self, mac: &Mac) {
        self.heaters.remove(mac);
        self.history.remove(mac);
        self.counts.commands.retain(|(of, _), _| of != mac);
        self.version += 1;
    }

    /// Takes what has changed of a heater.
    pub fn show(&mut self, mac: &Mac, change: &Change) {
        let heater = self.heaters.entry(mac.clone()).or_default();
        match change {
            Change::Available(available) => {
                if std::mem::replace(&mut heater.is_available, *available) == *available {
                    return;
                }
            }
            Change::Answer("status", status) => {
                self.history.sample(mac, status);
                heater.status = Some(status.clone());
            }
            Change::Answer("energy", energy) => heater.energy = Some(energy.clone()),
            Change::Answer("info", info) => {
                heater.recirculates = info.get("recirculation_use").and_then(Value::as_bool) == Some(true);
            }
            Change::Answer(..) | Change::Abilities => return,
            Change::Event(event) => self.history.event(Some(mac), event),
            Change::Command(report) => {
                let Some(status) = report.status else { return };
                *self.counts.commands.entry((mac.clone(), status)).or_default() += 1;
                self.history.command(mac, &report.end());
            }
        }
        self.version += 1;
    }

    /// Takes the payload of `bridge/connection`, and since when the outage lasts, if there is one.
    pub fn show_connection(&mut self, connection: &Value, outage_since: Option<Instant>, moment: Moment) {
        let left = self.connection_state().to_owned();
        self.connection = connection.clone();
        if self.connection_state() != left {
            let since = std::mem::replace(&mut self.state_since, moment.now);
            *self.counts.states.entry(left).or_default() += moment.now.saturating_duration_since(since);
        }
        let before = std::mem::replace(&mut self.outage_since, outage_since);
        if let (Some(since), None) = (before, outage_since) {
            self.counts.outage_seconds += moment.now.saturating_duration_since(since).as_secs_f64();
        }
        let since = outage_since.or(before).and_then(|since| wall_of(since, moment));
        self.history.outage(outage_since.is_some(), since, connection, moment.wall);
        self.version += 1;
    }

    /// Returns since when the outage lasts, if there is one.
    fn outage_since(&self, moment: Moment) -> Option<SystemTime> {
        self.outage_since.and_then(|since| wall_of(since, moment))
    }

    fn connection_state(&self) -> &str {
        self.connection["state"].as_str().unwrap_or("starting")
    }

    /// Takes an event of the connection: the payload of `bridge/event`.
    pub fn publish_event(&mut self, event: &Value) {
        let word = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
        *self.counts.events.entry((word("event"), word("reason"))).or_default() += 1;
        self.history.event(None, event);
        self.version += 1;
    }

    /// Counts a sign-in that the cloud accepted.
    pub fn count_sign_in(&mut self) {
        self.counts.sign_ins += 1;
    }

    /// Returns what the page shows of now.
    pub fn state(&self, vitals: &Vitals, moment: Moment) -> Value {
        let mut connection = self.connection.clone();
        connection["outage_since"] = self.outage_since(moment).map(rfc3339).into();
        let heaters = self.heaters.iter().map(|(mac, heater)| {
            json!({
                "mac": mac.as_str(),
                "name": heater.name,
                "available": heater.is_available,
                "last_answer_at": heater.status.as_ref().and_then(|status| status.get("received_at")),
                "status": heater.status,
                "commands": self.history.commands(mac),
                "events": self.history.events(Some(mac)),
            })
        });
        json!({
            "now": rfc3339(moment.wall),
            "version": env!("CARGO_PKG_VERSION"),
            "started_at": rfc3339(vitals.started_at),
            "connection": connection,
            "local_broker": { "connected": vitals.is_local_up, "trouble": vitals.local_trouble },
            "heaters": heaters.collect::<Value>(),
            "events": self.history.events(None),
        })
    }

    /// Returns what the page shows of the time before.
    pub fn history(&self, moment: Moment) -> Value {
        let units = |mac: &Mac| {
            let status = self.heaters.get(mac).and_then(|heater| heater.status.as_ref());
            status.and_then(|status| status.get("units")).and_then(Value::as_str) == Some("us")
        };
        self.history.show(units, moment.wall)
    }

    /// Returns the metrics.
    pub fn metrics(&self, vitals: &Vitals, format: Format, moment: Moment) -> String {
        metrics::render(self, vitals, format, moment)
    }

    /// Returns what is to be kept for the next run when that is due, or at once when the process `ends`.
    pub fn keep(&mut self, ends: bool, moment: Moment) -> Option<Kept> {
        if !ends && moment.now < self.keep_at {
            return None;
        }
        self.keep_at = moment.now + KEEP_EVERY;
        Some(self.history.keep(ends, moment.wall))
    }
}

/// Returns the wall-clock time of a moment that has passed.
fn wall_of(at: Instant, moment: Moment) -> Option<SystemTime> {
    moment.wall.checked_sub(moment.now.saturating_duration_since(at))
}

fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at.max(SystemTime::UNIX_EPOCH)).to_string()
}

/// Reads a time as it stands in our own payloads.
fn time(value: &Value) -> Option<SystemTime> {
    humantime::parse_rfc3339(value.as_str()?).ok()
}

#[cfg(test)]
mod tests;
