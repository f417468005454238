//! What was: a day of each heater, a month of the connection, the last commands and events. Bounded, and kept over
//! restarts.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{SHOWN, time};
use crate::model::Mac;
use crate::navilink::members::Members;

/// One sample for so many seconds.
const STEP: u64 = 300;
/// The samples of a day.
const MOST_SAMPLES: usize = (24 * 3600 / STEP) as usize;
/// So many heaters have a history: with more, the file would outgrow what the state directory takes.
const MOST_HEATERS: usize = 16;
/// Outages are remembered for so long, in seconds, and so many of them.
const MONTH: u64 = 30 * 24 * 3600;
const MOST_OUTAGES: usize = 500;
/// A process that was killed may have lived so long after it had last kept the history.
const UNCERTAIN: u64 = 20 * 60;
/// A shorter absence is a restart.
const RESTART: u64 = 60;
/// A machine without a clock of its own can begin so far back after the power was away; more is a clock that was wrong.
const SET_BACK: u64 = 24 * 3600;
/// A longer command or event is left out, as JSON, in bytes.
const MAX_EVENT: usize = 600;

/// What the fields of a sample are, in the order of the page: temperatures in °C here, charge in %, power in W.
const SAMPLED: [&str; 5] = [
    "tank_upper_temperature",
    "tank_lower_temperature",
    "dhw_temperature_setting",
    "dhw_charge_per",
    "current_inst_power",
];
/// Which of them is shown as it was told last, since a mean of it was never set.
const SET_POINT: usize = 2;
/// The first so many of them are temperatures.
const TEMPERATURES: usize = 3;

/// The means of [`SAMPLED`] over a [`STEP`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    /// When the step began, in seconds since 1970.
    at: u64,
    means: [Option<f64>; SAMPLED.len()],
    /// How many answers are in each.
    #[serde(skip)]
    answers: [u32; SAMPLED.len()],
}

/// A time without a connection, in seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Downtime {
    from: u64,
    /// `None` while it lasts.
    to: Option<u64>,
    /// The code of the reason; `None`: the bridge did not run.
    reason: Option<String>,
    reason_text: Option<String>,
}

/// What is kept for the next run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Since when the connection is known, in seconds since 1970.
    known_since: u64,
    /// When this was kept.
    at: u64,
    /// Whether the process ended then.
    ended: bool,
    samples: BTreeMap<Mac, VecDeque<Sample>>,
    gaps: VecDeque<Downtime>,
    commands: BTreeMap<Mac, VecDeque<Value>>,
    events: BTreeMap<Mac, VecDeque<Value>>,
    bridge_events: VecDeque<Value>,
}

/// The history.
#[derive(Debug)]
pub struct History {
    kept: Kept,
    /// When an earlier run kept this, until it is known whether the outage that it left open goes on.
    earlier: Option<u64>,
}

impl History {
    /// Takes up what an earlier run kept; between then and now the bridge did not run.
    pub fn restore(mut kept: Kept, wall: SystemTime) -> Self {
        let now = seconds(wall);
        if kept.known_since == 0 || kept.at > now + SET_BACK {
            // Nothing was kept, or the clock was wrong then or is now.
            kept = Kept { known_since: now, at: now, ended: true, ..Kept::default() };
        }
        kept.at = kept.at.min(now);
        let least = if kept.ended { RESTART } else { UNCERTAIN };
        if now - kept.at >= least {
            if let Some(open) = kept.gaps.back_mut().filter(|gap| gap.to.is_none()) {
                open.to = Some(kept.at);
            }
            kept.gaps.push_back(Downtime { from: kept.at, to: Some(now), reason: None, reason_text: None });
        }
        kept.samples.values_mut().for_each(|samples| samples.retain(|sample| sample.at <= now));
        for commands in kept.commands.values_mut() {
            keep_readable(commands, &["name", "status", "at"]);
            commands.iter_mut().for_each(lose_sight);
        }
        kept.events.values_mut().chain([&mut kept.bridge_events]).for_each(|all| keep_readable(all, &["event", "at"]));
        let mut history = Self { earlier: Some(kept.at), kept };
        history.forget(now);
        history
    }

    /// Returns what is to be kept.
    pub fn keep(&mut self, ends: bool, wall: SystemTime) -> Kept {
        let now = seconds(wall);
        self.forget(now);
        (self.kept.at, self.kept.ended) = (now, ends);
        self.kept.clone()
    }

    /// Takes a decoded status.
    pub fn sample(&mut self, mac: &Mac, status: &Members) {
        let Some(at) = status.get("received_at").and_then(time).map(seconds) else { return };
        let is_us = status.get("units").and_then(Value::as_str) == Some("us");
        let mut values = SAMPLED.map(|name| status.get(name).and_then(Value::as_f64));
        if is_us {
            values[..TEMPERATURES].iter_mut().flatten().for_each(|value| *value = celsius(*value));
        }
        let Some(samples) = of_heater(&mut self.kept.samples, mac) else { return };
        let step = at - at % STEP;
        // What was sampled while the clock was ahead would keep all others out until then.
        while samples.back().is_some_and(|last| last.at > step + STEP) {
            samples.pop_back();
        }
        match samples.back_mut() {
            // A clock that was set back a little does not draw a line backwards.
            Some(last) if last.at >= step => last.add(values),
            _ => {
                let mut first = Sample { at: step, means: Default::default(), answers: Default::default() };
                first.add(values);
                samples.push_back(first);
            }
        }
        while samples.len() > MOST_SAMPLES {
            samples.pop_front();
        }
    }

    /// Takes what became of a command.
    pub fn command(&mut self, mac: &Mac, end: &Value) {
        let Some(commands) = of_heater(&mut self.kept.commands, mac) else { return };
        // What becomes of the same command stands in one line, as far as that can be told.
        let same = |earlier: &&mut Value| earlier["name"] == end["name"] && earlier["id"] == end["id"];
        let is_open = |earlier: &&mut Value| matches!(earlier["status"].as_str(), Some("queued" | "sent"));
        if let Some(earlier) = commands.iter_mut().rev().filter(is_open).find(same) {
            *earlier = end.clone();
        } else {
            push(commands, end);
        }
    }

    /// Takes an event of a heater, or of the connection.
    pub fn event(&mut self, mac: Option<&Mac>, event: &Value) {
        let events = match mac {
            Some(mac) => of_heater(&mut self.kept.events, mac),
            None => Some(&mut self.kept.bridge_events),
        };
        if let Some(events) = events {
            push(events, event);
        }
    }

    /// Takes whether an outage `goes_on`, when it or the one before it began, and the payload of `bridge/connection`, which
    /// has the reason.
    pub fn outage(&mut self, goes_on: bool, since: Option<SystemTime>, connection: &Value, wall: SystemTime) {
        let now = seconds(wall);
        // Of an outage that ended unseen, the last that is known is that it was there.
        let end = self.earlier.take().filter(|_| !goes_on).unwrap_or(now);
        let gaps = &mut self.kept.gaps;
        if goes_on && gaps.back().is_none_or(|gap| gap.to.is_some()) {
            gaps.push_back(Downtime { from: now, to: None, reason: Some(String::new()), reason_text: None });
        }
        // The bridge did not run, or there was another outage, until then.
        let earliest = gaps.iter().rev().nth(1).and_then(|gap| gap.to).unwrap_or_default();
        if let Some(open) = gaps.back_mut().filter(|gap| gap.to.is_none()) {
            open.from = since.map_or(open.from, seconds).max(earliest).min(now);
            let text = |member: &str| connection[member].as_str().map(str::to_owned);
            if let Some(reason) = text("reason").filter(|_| open.reason.as_deref() == Some("")) {
                (open.reason, open.reason_text) = (Some(reason), text("reason_text"));
            }
            open.to = (!goes_on).then_some(end.max(open.from));
        }
        self.forget(now);
    }

    /// Forgets a heater.
    pub fn remove(&mut self, mac: &Mac) {
        self.kept.samples.remove(mac);
        self.kept.commands.remove(mac);
        self.kept.events.remove(mac);
    }

    /// Returns the newest commands of a heater, the newest first.
    pub fn commands(&self, mac: &Mac) -> Value {
        newest_first(self.kept.commands.get(mac))
    }

    /// Returns the newest events of a heater, or of the connection, the newest first.
    pub fn events(&self, mac: Option<&Mac>) -> Value {
        newest_first(mac.map_or(Some(&self.kept.bridge_events), |mac| self.kept.events.get(mac)))
    }

    /// Returns the samples, in °F for the heaters that are shown so, and the outages, the oldest first.
    pub fn show(&self, is_us: impl Fn(&Mac) -> bool, wall: SystemTime) -> Value {
        let day_ago = seconds(wall).saturating_sub(24 * 3600);
        let heaters = self.kept.samples.iter().map(|(mac, samples)| {
            let is_us = is_us(mac);
            let samples = samples.iter().filter(|sample| sample.at >= day_ago).map(|sample| sample.show(is_us));
            let units = if is_us { "us" } else { "metric" };
            (mac.as_str().to_owned(), json!({ "units": units, "samples": samples.collect::<Value>() }))
        });
        let outages = self.kept.gaps.iter().map(|gap| {
            json!({
                "from": gap.from,
                "to": gap.to,
                "kind": if gap.reason.is_some() { "outage" } else { "not_running" },
                "reason": gap.reason.as_deref().filter(|reason| !reason.is_empty()),
                "reason_text": gap.reason_text,
            })
        });
        json!({
            "heaters": heaters.collect::<serde_json::Map<_, _>>(),
            "outages": outages.collect::<Value>(),
            "known_since": self.kept.known_since,
        })
    }

    /// Forgets what is too old, or too much.
    fn forget(&mut self, now: u64) {
        let kept = &mut self.kept;
        let oldest = now.saturating_sub(MONTH);
        while kept.gaps.len() > MOST_OUTAGES {
            // What was before is not known any more.
            let end = kept.gaps.pop_front().and_then(|gap| gap.to);
            kept.known_since = kept.known_since.max(end.unwrap_or_default());
        }
        while kept.gaps.front().is_some_and(|gap| gap.to.is_some_and(|to| to < oldest)) {
            kept.gaps.pop_front();
        }
        // What is of the future is of a clock that was ahead.
        kept.gaps.retain(|gap| gap.from <= now);
        kept.gaps.iter_mut().filter_map(|gap| gap.to.as_mut()).for_each(|to| *to = (*to).min(now));
        kept.known_since = kept.known_since.max(oldest).min(now);
        let day_ago = now.saturating_sub(24 * 3600);
        for samples in kept.samples.values_mut() {
            while samples.front().is_some_and(|sample| sample.at < day_ago) {
                samples.pop_front();
            }
        }
        kept.samples.retain(|_, samples| !samples.is_empty());
    }
}

impl Sample {
    fn add(&mut self, values: [Option<f64>; SAMPLED.len()]) {
        for (place, value) in values.into_iter().enumerate() {
            let (Some(value), mean, answers) = (value, &mut self.means[place], &mut self.answers[place]) else {
                continue;
            };
            *answers = if place == SET_POINT { 1 } else { *answers + 1 };
            let earlier = mean.unwrap_or(value);
            *mean = Some(rounded(earlier + (value - earlier) / f64::from(*answers)));
        }
    }

    fn show(&self, is_us: bool) -> Value {
        let mut means = self.means;
        if is_us {
            means[..TEMPERATURES].iter_mut().flatten().for_each(|value| *value = rounded(*value * 1.8 + 32.0));
        }
        [Value::from(self.at)].into_iter().chain(means.map(Value::from)).collect()
    }
}

/// Converts °F to °C.
pub fn celsius(fahrenheit: f64) -> f64 {
    (fahrenheit - 32.0) / 1.8
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// Leaves out what the page could not show: another version can have kept it.
fn keep_readable(all: &mut VecDeque<Value>, members: &[&str]) {
    all.retain(|one| members.iter().all(|member| one[*member].is_string()));
}

/// Notes that nobody will tell any more what becomes of a command.
fn lose_sight(command: &mut Value) {
    if matches!(command["status"].as_str(), Some("queued" | "sent")) {
        command["status"] = "failed".into();
        command["reason"] = "the bridge ended; what became of it is not known".into();
    }
}

fn push(to: &mut VecDeque<Value>, new: &Value) {
    if new.to_string().len() > MAX_EVENT {
        return;
    }
    to.push_back(new.clone());
    while to.len() > SHOWN {
        to.pop_front();
    }
}

/// Returns what is kept of a heater, if there is room for another one.
fn of_heater<'a, T: Default>(all: &'a mut BTreeMap<Mac, T>, mac: &Mac) -> Option<&'a mut T> {
    if all.len() >= MOST_HEATERS && !all.contains_key(mac) {
        return None;
    }
    Some(all.entry(mac.clone()).or_default())
}

fn newest_first(of: Option<&VecDeque<Value>>) -> Value {
    of.into_iter().flatten().rev().cloned().collect()
}
