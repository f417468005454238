//! The heaters at the cloud's broker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::mpsc;

use super::broker::{Broker, Publication};
use super::counters::SharedCounters;
use super::faults::SimulatedCondition;
use super::heater::{HeaterFault, Publish, SimulatedHeater};
use crate::io::clock;

const TICK: Duration = Duration::from_millis(100);
/// Pushes remembered in the counters.
const PUSHES: usize = 100;

/// Payloads that no client may stumble over.
const NONSENSE: &[&[u8]] = &[
    b"",
    b"not json",
    b"{\"response\":",
    b"null",
    b"[]",
    b"42",
    b"{\"response\":null}",
    b"{\"response\":{}}",
    b"{\"response\":{\"status\":[]}}",
    b"{\"response\":{\"status\":\"\"}}",
    b"{\"response\":{\"status\":{\"operationMode\":\"32\",\"dhwTemperature\":null,\"errorCode\":{}}}}",
    b"{\"response\":{\"status\":{\"dhwTemperature\":1e308,\"dhwChargePer\":-99999999999999999999}}}",
    b"{\"response\":{\"status\":{\"operationMode\":9999,\"dhwOperationSetting\":9999}}}",
    b"{\"response\":{\"feature\":{\"dhwTemperatureMin\":\"low\"}}}",
    b"{\"status\":{\"\\u0000\":true}}",
    b"\xff\xfe\x00{\"response\":1}",
];

/// The heaters; clones share them.
#[derive(Clone)]
pub struct Plant {
    heaters: Arc<Mutex<Vec<SimulatedHeater>>>,
    broker: Broker,
    tally: SharedCounters,
}

impl Plant {
    /// Connects `heaters` to the broker.
    pub fn new(heaters: Vec<SimulatedHeater>, broker: Broker, tally: SharedCounters) -> Self {
        Self { heaters: Arc::new(Mutex::new(heaters)), broker, tally }
    }

    /// Locks the heaters.
    pub fn heaters(&self) -> MutexGuard<'_, Vec<SimulatedHeater>> {
        self.heaters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the heaters answer and live, `time_scale` times as fast as real ones.
    pub async fn run(self, mut messages: mpsc::Receiver<Arc<Publication>>, time_scale: f64) {
        let mut last = clock::now();
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.hand_over(&message),
                    None => return,
                },
                () = clock::sleep_until(last + TICK) => {
                    let now = clock::now();
                    let elapsed = (now - last).mul_f64(time_scale);
                    last = now;
                    let said = self.heaters().iter_mut().flat_map(|h| h.advance(elapsed, clock::wall())).collect();
                    self.publish(said);
                }
            }
        }
    }

    /// Makes every heater publish a status now, and counts when.
    pub fn push(&self) {
        let said: Vec<Publish> = self.heaters().iter_mut().map(|heater| heater.push_status(clock::wall())).collect();
        let at = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let mut tally = self.tally.count();
        let excess = (tally.pushes.len() + said.len()).saturating_sub(PUSHES).min(tally.pushes.len());
        tally.pushes.drain(..excess);
        tally.pushes.extend(said.iter().map(|_| u64::try_from(at).unwrap_or(u64::MAX)));
        drop(tally);
        self.publish(said);
    }

    /// Publishes `payload`, or a set of nonsense, on every heater's topics.
    pub fn malformed(&self, payload: Option<&str>) {
        let payloads: Vec<&[u8]> = payload.map_or_else(|| NONSENSE.to_vec(), |text| vec![text.as_bytes()]);
        let topics: Vec<String> = self.heaters().iter().map(|heater| format!("{}res", prefix(heater))).collect();
        for topic in &topics {
            for payload in &payloads {
                self.broker.publish(Publication::new(topic.as_str(), *payload));
            }
        }
    }

    /// Sets how one heater, or every one, misbehaves.
    pub fn set_fault(&self, index: Option<usize>, state: SimulatedCondition, late: Duration) {
        let chosen = |at: usize| index.is_none_or(|index| index == at);
        for (_, heater) in self.heaters().iter_mut().enumerate().filter(|(at, _)| chosen(*at)) {
            heater.set_fault(match state {
                SimulatedCondition::Online => HeaterFault::Online,
                SimulatedCondition::Offline => HeaterFault::Offline,
                SimulatedCondition::Silent => HeaterFault::Silent,
                SimulatedCondition::Slow => HeaterFault::Slow(late),
                SimulatedCondition::Error(code) => HeaterFault::Error { code: code.into(), sub: 0 },
            });
        }
    }

    /// Lets one heater, or every one, show Celsius or Fahrenheit, and publish a status at once.
    pub fn set_display(&self, index: Option<usize>, celsius: bool) {
        let mut heaters = self.heaters();
        let chosen = heaters.iter_mut().enumerate().filter(|(at, _)| index.is_none_or(|index| index == *at));
        let said = chosen.map(|(_, heater)| heater.set_display(celsius, clock::wall())).collect();
        drop(heaters);
        self.publish(said);
    }

    fn hand_over(&self, message: &Publication) {
        let mut heaters = self.heaters();
        let Some(heater) = heaters.iter_mut().find(|heater| message.topic.starts_with(&prefix(heater))) else { return };
        let request: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        if let Some(command) = request["request"]["command"].as_u64() {
            *self.tally.count().requests.entry(command).or_default() += 1;
        }
        let said = heater.handle(&message.topic, &message.payload, clock::wall());
        drop(heaters);
        self.publish(said);
    }

    fn publish(&self, said: Vec<Publish>) {
        for Publish { topic, payload } in said {
            self.broker.publish(Publication::new(topic, payload));
        }
    }
}

/// The heater's topics (protocol reference, section 3).
fn prefix(heater: &SimulatedHeater) -> String {
    format!("cmd/{}/navilink-{}/", heater.device_type(), heater.mac())
}
