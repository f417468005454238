//! What the cloud's messages change.

use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::administration::kind;
use super::energy::Energy;
use super::heater::Held;
use super::meter::{self, Meters, Rule};
use super::{Bridge, Verdict};
use crate::model::{Mac, Moment};
use crate::navilink::diagnostics::decode_diagnostics;
use crate::navilink::encoding::{Decoded, Object, Problem, plain, whole};
use crate::navilink::energy::{decode_daily, decode_monthly};
use crate::navilink::feature::decode_feature;
use crate::navilink::firmware::decode_firmware;
use crate::navilink::message::{self, Body};
use crate::navilink::request::Query;
use crate::navilink::schedule::{decode_recirculation, decode_reservations, decode_tou};
use crate::navilink::status::decode_status;
use crate::units::UnitSystem;

/// The counters of a status (protocol reference, section 6), which Home Assistant adds up.
const STATUS_METERS: [(&str, &Rule); 3] = [
    ("cumulatedDhwFlowRate", &meter::LITRES),
    ("cumulatedOpTimeEvaFan", &meter::HOURS_SINCE_RESET),
    ("airFilterAlarmElapsed", &meter::HOURS_SINCE_RESET),
];

impl Bridge {
    /// Takes a message of the cloud's broker.
    ///
    /// A `retained` one was said some time before, by whoever, and is no word of the heater: it is shown where nothing
    /// is known yet, and makes nothing available, live or confirmed.
    pub fn cloud_message(&mut self, topic: &str, payload: &[u8], retained: bool, moment: Moment) -> Verdict {
        let message = match message::read(topic, payload) {
            Ok(message) => message,
            Err(error) => {
                self.messages.count("unreadable");
                self.complain(None, "unreadable", || format!("A message on {topic} cannot be read: {error}"));
                return Verdict::Heard;
            }
        };
        self.messages.count(kind(&message.body));
        if message.repaired {
            self.complain(None, "repaired", || {
                format!("A message on {topic} had values that JSON does not allow; only they are lost")
            });
        }
        if matches!(message.body, Body::Request | Body::Presence) {
            return Verdict::Heard;
        }
        let Some(mac) = self.sender(message.mac.clone()) else {
            self.complain(None, "foreign", || format!("A message on {topic} is of no heater of this account"));
            return Verdict::Heard;
        };
        if retained {
            self.messages.count("retained");
            self.take_retained(&mac, &message.body);
            return Verdict::Heard;
        }
        self.judge(&mac, topic, &message, moment);
        self.take(&mac, message.body, moment);
        self.plan_keeping(moment.now);
        if let Some(held) = self.heaters.get_mut(&mac) {
            held.freshness.renew(moment.now);
        }
        self.set_availability(&mac, true);
        Verdict::Answered
    }

    /// Takes the answer of the REST API about a heater's time-of-use schedule.
    pub fn tou_fetched(&mut self, mac: &Mac, data: &Value) {
        let (true, Some(data)) = (self.heaters.contains_key(mac), data.as_object()) else { return };
        self.show_schedule(mac, "tou", decode_tou(data));
    }

    /// Returns whose message it is; one that does not say so is that of the only heater.
    fn sender(&self, named: Option<Mac>) -> Option<Mac> {
        match named {
            Some(mac) => self.heaters.contains_key(&mac).then_some(mac),
            None if self.heaters.len() == 1 => self.heaters.keys().next().cloned(),
            None => None,
        }
    }

    fn take_retained(&mut self, mac: &Mac, body: &Body) {
        let choice = self.settings.units;
        let (name, mut decoded) = match body {
            Body::Status(status) => ("status", decode_status(status, choice)),
            Body::Feature(feature) => ("info", decode_feature(feature, choice)),
            _ => return,
        };
        if self.retained.get(&self.settings.topics.device(mac, name)).is_none() {
            if name == "status" {
                decoded.object.insert("received_at".to_owned(), Value::Null);
                decoded.object.insert("mode_before_vacation".to_owned(), Value::Null);
            }
            self.show(mac, name, decoded);
        }
    }

    fn take(&mut self, mac: &Mac, body: Body, moment: Moment) {
        let choice = self.settings.units;
        match body {
            Body::Status(mut status) => {
                self.meter_status(mac, &mut status, moment);
                let mut decoded = decode_status(&status, choice);
                if let Some(held) = self.heaters.get_mut(mac) {
                    held.status = Some(status);
                }
                self.learn_units(mac, &decoded.object);
                let received_at = humantime::format_rfc3339_millis(moment.wall).to_string();
                let held = self.heaters.get_mut(mac);
                let events = held.map(|held| held.watch.compare(&decoded.object, &received_at)).unwrap_or_default();
                decoded.object.insert("received_at".to_owned(), received_at.into());
                self.note_mode(mac, &mut decoded.object);
                self.show(mac, "status", decoded);
                for event in events {
                    self.publish_once(self.settings.topics.device(mac, "event"), &event);
                }
            }
            Body::Feature(feature) => {
                let decoded = decode_feature(&feature, choice);
                self.learn_units(mac, &decoded.object);
                self.learn_capabilities(mac, &feature, moment.now);
                if let Some(held) = self.heaters.get_mut(mac) {
                    held.info = Some(decoded.object);
                }
                self.note_problems(mac, "info", decoded.problems, &decoded.unknown);
                self.show_info(mac);
                self.advance(mac, moment);
            }
            Body::EnergyDaily(answer) => {
                self.take_energy(mac, decode_daily(&answer), Energy::set_daily, moment);
            }
            Body::EnergyMonthly(answer) => {
                self.take_energy(mac, decode_monthly(&answer), Energy::set_monthly, moment);
            }
            Body::Reservations(answer) => {
                if let Some(held) = self.heaters.get_mut(mac) {
                    held.reservations = Some(answer);
                }
                self.show_reservations(mac);
            }
            Body::Recirculation(answer) => self.show_schedule(mac, "recirculation", decode_recirculation(&answer)),
            // The answer to somebody's write: what it says of the schedule is told whole by the REST API only.
            Body::Tou(_) => self.fetch_tou(mac, moment.now),
            Body::Diagnostics(answer) => self.show(mac, "diagnostics", decode_diagnostics(&answer)),
            Body::Firmware(answer) => self.show(mac, "firmware", decode_firmware(&answer)),
            Body::ControlRefused { .. } | Body::FirmwareCommitted | Body::Request | Body::Presence | Body::Other => {}
        }
    }

    /// Puts the counters of a status in the place of what was told.
    fn meter_status(&mut self, mac: &Mac, status: &mut Object, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        for (key, rule) in STATUS_METERS {
            if let Some(told) = status.get(key).and_then(|told| whole(told).ok()) {
                let value = held.meters.take(key, told as f64, rule, moment.wall);
                status.insert(key.to_owned(), value.map(plain).into());
            }
        }
    }

    fn take_energy(
        &mut self,
        mac: &Mac,
        decoded: Decoded,
        set: fn(&mut Energy, Object, &mut Meters, SystemTime),
        moment: Moment,
    ) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let Decoded { object, problems, unknown } = decoded;
        set(&mut held.energy, object, &mut held.meters, moment.wall);
        let mut object = held.energy.joined(&held.meters);
        let received_at = humantime::format_rfc3339_millis(moment.wall).to_string();
        object.insert("received_at".to_owned(), received_at.into());
        self.show(mac, "energy", Decoded { object, problems, unknown });
    }

    fn show_reservations(&mut self, mac: &Mac) {
        let Some(held) = self.heaters.get(mac) else { return };
        if let Some(answer) = &held.reservations {
            self.show_schedule(mac, "reservations", decode_reservations(answer, held.units));
        }
    }

    fn learn_units(&mut self, mac: &Mac, decoded: &Object) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let units = match decoded.get("units").and_then(Value::as_str) {
            Some("metric") => UnitSystem::Metric,
            _ => UnitSystem::Us,
        };
        if std::mem::replace(&mut held.units, units) != units {
            self.show_reservations(mac);
            self.discover_in_new_units(mac);
        }
    }

    /// Merges what the heater says that it can do; what can be asked for the first time then is asked at once.
    fn learn_capabilities(&mut self, mac: &Mac, feature: &Object, now: Instant) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let serial = |held: &Held| held.capabilities.controller_serial().map(str::to_owned);
        let before = (held.recirculates(), serial(held));
        held.capabilities.learn(feature);
        let after = (held.recirculates(), serial(held));
        if after.0 && !before.0 {
            self.ask(mac, &Query::Recirculation);
        }
        if after.1 != before.1 {
            self.fetch_tou(mac, now);
        }
        self.discover(mac);
    }

    /// Publishes a schedule, with what tells it from another one in whatever order its entries come.
    fn show_schedule(&mut self, mac: &Mac, name: &str, mut decoded: Decoded) {
        let hash = hash_of(&decoded.object);
        decoded.object.insert("hash".to_owned(), hash.into());
        self.show(mac, name, decoded);
    }

    /// Publishes a decoded answer and says once what was wrong with it.
    fn show(&mut self, mac: &Mac, name: &str, decoded: Decoded) {
        self.note_problems(mac, name, decoded.problems, &decoded.unknown);
        self.retain_json(self.settings.topics.device(mac, name), &Value::Object(decoded.object));
    }

    fn note_problems(&mut self, mac: &Mac, name: &str, problems: Vec<Problem>, unknown: &[String]) {
        if let Some(held) = self.heaters.get_mut(mac) {
            problems.iter().for_each(|problem| held.odd_values.count(&format!("{name}: {problem}")));
            unknown.iter().for_each(|key| held.unknown_fields.count(&format!("{name}: {key}")));
        }
        for problem in problems {
            let kind = format!("{name} {}", problem.key);
            self.complain(Some(mac), &kind, || format!("In the {name} of heater {mac}, {problem}; shown as null"));
        }
    }

    /// Publishes the device information and, beside it, what the cloud has recorded of the heater; nothing as long as
    /// nothing is known of either.
    pub(super) fn show_info(&mut self, mac: &Mac) {
        let Some(held) = self.heaters.get(mac) else { return };
        let recorded = held.heater.record.decoded();
        if held.info.is_none() && !held.capabilities.is_known() && recorded.iter().all(|(_, value)| value.is_null()) {
            return;
        }
        let mut info = held.info.clone().unwrap_or_else(|| held.capabilities.decoded(held.units));
        info.extend(recorded.map(|(name, value)| (name.to_owned(), value)));
        self.retain_json(self.settings.topics.device(mac, "info"), &Value::Object(info));
    }
}

/// Hashes whether a schedule is enabled and its entries, whatever their order (FNV-1a).
fn hash_of(schedule: &Object) -> String {
    let entries = ["entries", "periods"].iter().find_map(|key| schedule.get(*key)?.as_array());
    let mut words: Vec<String> = entries.into_iter().flatten().map(Value::to_string).collect();
    words.sort();
    words.push(schedule.get("enabled").map(Value::to_string).unwrap_or_default());
    let hash = words
        .iter()
        .flat_map(|word| word.bytes().chain([0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schedule_has_the_same_hash_in_whatever_order_and_another_one_when_it_changes() {
        let of = |enabled: bool, times: &[&str]| {
            let entries: Vec<Value> = times.iter().map(|time| json!({ "time": time })).collect();
            hash_of(json!({ "enabled": enabled, "entries": entries }).as_object().unwrap())
        };
        let hash = of(true, &["06:00", "18:00"]);
        assert_eq!((hash.len(), of(true, &["18:00", "06:00"])), (16, hash.clone()));
        for other in [of(false, &["06:00", "18:00"]), of(true, &["06:00"]), of(true, &["06:00", "18:01"])] {
            assert_ne!(other, hash);
        }
    }
}
