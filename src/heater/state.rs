//! What is known of one heater, and what its answers change.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bounded_counter::BoundedCounter;
use super::commands::Report;
use super::energy::Energy;
use super::events::Watch;
use super::firmware::{self, Pending};
use super::meter::{self, Meters, Rule};
use super::{Change, Context, Effect};
use crate::navilink::devices::Device;
use crate::navilink::diagnostics::decode_diagnostics;
use crate::navilink::encoding::{Decoded, Object, Problem, plain, whole};
use crate::navilink::energy::{decode_daily, decode_monthly};
use crate::navilink::firmware::decode_firmware;
use crate::navilink::members::Members;
use crate::navilink::message::Body;
use crate::navilink::request::Query;
use crate::navilink::schedule::{decode_recirculation, decode_reservations, decode_tou};
use crate::product::capabilities::Capabilities;
use crate::product::{self, Product};
use crate::units::{UnitSystem, UnitsChoice};

/// The counters of a status (protocol reference, section 6), which Home Assistant adds up.
const STATUS_METERS: [(&str, &Rule); 3] = [
    ("cumulatedDhwFlowRate", &meter::LITRES),
    ("cumulatedOpTimeEvaFan", &meter::HOURS_SINCE_RESET),
    ("airFilterAlarmElapsed", &meter::HOURS_SINCE_RESET),
];

/// What is to be asked because of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUp {
    /// Ask the heater.
    Ask(Query),
    /// Fetch its time-of-use schedule.
    FetchTou,
}

/// What is known of one heater.
#[derive(Debug)]
pub struct HeaterState {
    /// The account's entry.
    pub device: Device,
    /// What its device type is made of.
    pub product: &'static Product,
    /// The units of its values, as its status said last.
    pub units: UnitSystem,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The counters, as they are shown.
    pub meters: Meters,
    /// The status as the heater sent it last.
    pub status: Option<Object>,
    /// What has changed, and what a human is told.
    pub effects: VecDeque<Effect>,
    /// What is known of its doings.
    watch: Watch,
    /// Fields that no table knows.
    unknown_fields: BoundedCounter,
    /// Fields that were malformed, or numbers without a name.
    odd_values: BoundedCounter,
    /// The newest answers about energy.
    energy: Energy,
    /// Its device information, as it was told last and decoded.
    info: Option<Members>,
    /// The newest answer about reservations, which is shown again when the units turn out to be others.
    reservations: Option<Object>,
    /// The mode to which it returns after a vacation.
    mode_before_vacation: Option<String>,
    /// The length of a vacation, as its status said last.
    vacation_days: Value,
    /// How commands ended.
    pub ends: Ends,
    /// The newest answer about downloaded firmware, decoded.
    downloads: Option<Members>,
    /// The downloaded firmware that can be committed.
    pub pending_firmware: Option<Pending>,
}

/// How commands ended, as far as it is kept over a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ends {
    /// How the last one did, `null` or an object.
    last: Value,
    /// What switches that no status shows were last confirmed to be.
    confirmed: BTreeMap<String, bool>,
}

impl HeaterState {
    /// Begins with nothing known but the account's entry.
    pub fn new(device: Device, units: UnitSystem) -> Self {
        let product = product::of(device.device_type).unwrap_or(product::PRODUCTS[0]);
        Self {
            device,
            product,
            units,
            capabilities: Capabilities::new(product),
            meters: Meters::default(),
            status: None,
            effects: VecDeque::new(),
            watch: Watch::default(),
            unknown_fields: BoundedCounter::default(),
            odd_values: BoundedCounter::default(),
            energy: Energy::default(),
            info: None,
            reservations: None,
            mode_before_vacation: None,
            vacation_days: Value::Null,
            ends: Ends::default(),
            downloads: None,
            pending_firmware: None,
        }
    }

    /// Takes a message that was said some time before, by whoever: it is shown where nothing is known yet, and makes
    /// nothing available, live or confirmed.
    pub fn take_retained(&mut self, body: &Body, choice: UnitsChoice) {
        match body {
            Body::Status(status) if self.status.is_none() => {
                let mut decoded = self.product.decode_status(status, choice);
                decoded.object.insert("received_at", Value::Null);
                decoded.object.insert("mode_before_vacation", Value::Null);
                self.show("status", decoded);
            }
            Body::Feature(feature) if self.info.is_none() => {
                self.show("info", self.product.decode_feature(feature, choice))
            }
            Body::Status(_)
            | Body::Feature(_)
            | Body::EnergyHourly(_)
            | Body::EnergyDaily(_)
            | Body::EnergyMonthly(_)
            | Body::Reservations(_)
            | Body::Recirculation(_)
            | Body::Tou(_)
            | Body::Diagnostics(_)
            | Body::Firmware(_)
            | Body::FirmwareCommitted
            | Body::ControlRefused { .. }
            | Body::Request
            | Body::Presence
            | Body::Other => {}
        }
    }

    /// Shows the time-of-use schedule.
    pub fn show_tou(&mut self, data: &Object) {
        self.show_schedule("tou", decode_tou(data));
    }

    /// Takes an answer of the heater; returns what is to be asked because of it.
    pub fn take(&mut self, body: Body, context: &Context<'_>) -> Vec<FollowUp> {
        let moment = context.moment;
        let mut follow_ups = Vec::new();
        match body {
            Body::Status(status) => follow_ups.extend(self.take_status(status, context)),
            Body::Feature(feature) => follow_ups = self.take_feature(&feature, context),
            Body::EnergyDaily(answer) => self.take_energy(decode_daily(&answer), Energy::set_daily, moment.wall),
            Body::EnergyMonthly(answer) => self.take_energy(decode_monthly(&answer), Energy::set_monthly, moment.wall),
            Body::Reservations(answer) => {
                self.reservations = Some(answer);
                self.show_reservations();
            }
            Body::Recirculation(answer) => self.show_schedule("recirculation", decode_recirculation(&answer)),
            Body::Tou(answer) => {
                self.show_tou(&answer);
                follow_ups.push(FollowUp::FetchTou);
            }
            Body::Diagnostics(answer) => self.show("diagnostics", decode_diagnostics(&answer)),
            Body::Firmware(answer) => {
                let decoded = decode_firmware(&answer);
                self.note_problems("firmware", decoded.problems, &decoded.unknown);
                self.downloads = Some(decoded.object);
                self.show_firmware();
            }
            // The energy by hour is never asked for.
            Body::EnergyHourly(_)
            | Body::Request
            | Body::Presence
            | Body::ControlRefused { .. }
            | Body::FirmwareCommitted
            | Body::Other => {}
        }
        follow_ups
    }

    fn take_status(&mut self, mut status: Object, context: &Context<'_>) -> Option<FollowUp> {
        let wall = context.moment.wall;
        self.meter_status(&mut status, wall);
        let mut decoded = self.product.decode_status(&status, context.settings.units);
        self.status = Some(status);
        let units = units_of(&decoded.object);
        let received_at = humantime::format_rfc3339_millis(wall).to_string();
        let events = self.watch.compare(&decoded.object, &received_at);
        decoded.object.insert("received_at", received_at.into());
        self.note_mode(&mut decoded.object);
        self.vacation_days = decoded.object.get("vacation_day_setting").cloned().unwrap_or_default();
        self.show("status", decoded);
        self.show_commands();
        for event in events {
            self.changed(Change::Event(event));
        }
        self.change_units(units)
    }

    /// Shows how a command ended, and says so where it came to nothing.
    pub fn note_end(&mut self, report: &Report) {
        self.ends.last = report.end();
        self.show_commands();
        if let Some(event) = report.event() {
            self.changed(Change::Event(event));
        }
    }

    /// Keeps what a switch was confirmed to be that no status shows.
    pub fn note_switch(&mut self, name: &str, on: bool) {
        self.ends.confirmed.insert(name.to_owned(), on);
    }

    /// Shows what a control needs besides the status. One topic, since the attributes of an entity have one.
    pub fn show_commands(&mut self) {
        let unseen = self.product.controls.iter().filter(|control| control.is_unseen_switch());
        let confirmed: Object = unseen
            .map(|control| (control.name.to_owned(), self.ends.confirmed.get(control.name).copied().into()))
            .collect();
        let members = [
            ("vacation_days", self.vacation_days.clone()),
            ("confirmed", confirmed.into()),
            ("last", self.ends.last.clone()),
        ];
        self.changed(Change::Answer("commands", members.into_iter().collect()));
    }

    /// Shows what firmware is downloaded, and what of it is newer than what the heater runs.
    fn show_firmware(&mut self) {
        let Some(mut shown) = self.downloads.clone() else { return };
        let downloads = shown.get("downloads").and_then(Value::as_array);
        let info = self.info.clone().unwrap_or_default();
        let (pending, versions) = firmware::versions(&info, downloads.map_or(&[], Vec::as_slice));
        self.pending_firmware = pending;
        shown.insert("versions", versions);
        self.changed(Change::Answer("firmware", shown));
    }

    fn take_feature(&mut self, feature: &Object, context: &Context<'_>) -> Vec<FollowUp> {
        let decoded = self.product.decode_feature(feature, context.settings.units);
        // Otherwise the units are those of the status: there are values in them.
        if self.status.is_none() && !self.capabilities.is_known() {
            self.units = units_of(&decoded.object);
        }
        self.info = Some(decoded.object);
        self.note_problems("info", decoded.problems, &decoded.unknown);
        let follow_ups = self.learn_capabilities(feature);
        self.show_info();
        self.show_firmware();
        follow_ups
    }

    /// Puts the counters of a status in the place of what was told.
    fn meter_status(&mut self, status: &mut Object, wall: SystemTime) {
        for (key, rule) in STATUS_METERS {
            if let Some(told) = status.get(key).and_then(|told| whole(told).ok()) {
                let value = self.meters.take(key, told as f64, rule, wall);
                status.insert(key.to_owned(), value.map(plain).into());
            }
        }
    }

    fn take_energy(
        &mut self,
        decoded: Decoded,
        set: fn(&mut Energy, Members, &mut Meters, SystemTime),
        wall: SystemTime,
    ) {
        let Decoded { object, problems, unknown } = decoded;
        set(&mut self.energy, object, &mut self.meters, wall);
        let mut object = self.energy.joined(&self.meters);
        object.insert("received_at", humantime::format_rfc3339_millis(wall).to_string().into());
        self.show("energy", Decoded { object, problems, unknown });
    }

    fn show_reservations(&mut self) {
        if let Some(answer) = &self.reservations {
            self.show_schedule("reservations", decode_reservations(answer, self.units));
        }
    }

    /// Takes up the units of a status that was shown. Everything else is shown in them, too, before the abilities say that
    /// they have changed: whoever hears of that holds no value of other units any more.
    fn change_units(&mut self, units: UnitSystem) -> Option<FollowUp> {
        if std::mem::replace(&mut self.units, units) == units {
            return None;
        }
        self.show_reservations();
        if !self.capabilities.is_known() {
            return None;
        }
        self.info = Some(self.capabilities.decoded(units));
        self.show_info();
        self.changed(Change::Abilities);
        Some(FollowUp::Ask(Query::Information))
    }

    /// Merges what the heater says that it can do; returns what can be asked for the first time then.
    fn learn_capabilities(&mut self, feature: &Object) -> Vec<FollowUp> {
        let serial = |state: &Self| state.capabilities.controller_serial().map(str::to_owned);
        let before = (self.recirculates(), serial(self));
        self.capabilities.learn(feature);
        let after = (self.recirculates(), serial(self));
        self.changed(Change::Abilities);
        let recirculation = (after.0 && !before.0).then_some(FollowUp::Ask(Query::Recirculation));
        let tou = (after.1 != before.1).then_some(FollowUp::FetchTou);
        recirculation.into_iter().chain(tou).collect()
    }

    /// Adds to a status in which mode the heater was before its vacation.
    fn note_mode(&mut self, status: &mut Members) {
        if let Some(mode) = status.get("dhw_operation_setting").and_then(Value::as_str)
            && !matches!(mode, "vacation" | "power_off" | "standby")
        {
            self.mode_before_vacation = Some(mode.to_owned());
        }
        status.insert("mode_before_vacation", self.mode_before_vacation.clone().into());
    }

    /// Shows a schedule, with what tells it from another one in whatever order its entries come.
    fn show_schedule(&mut self, name: &'static str, mut decoded: Decoded) {
        let hash = hash_of(&decoded.object);
        decoded.object.insert("hash", hash.into());
        self.show(name, decoded);
    }

    /// Shows a decoded answer and says once what was wrong with it.
    fn show(&mut self, name: &'static str, decoded: Decoded) {
        self.note_problems(name, decoded.problems, &decoded.unknown);
        self.changed(Change::Answer(name, decoded.object));
    }

    fn note_problems(&mut self, name: &str, problems: Vec<Problem>, unknown: &[String]) {
        unknown.iter().for_each(|key| self.unknown_fields.count(&format!("{name}: {key}")));
        for problem in problems {
            self.odd_values.count(&format!("{name}: {problem}"));
            let text = format!("In the {name} of heater {}, {problem}; shown as null", self.device.mac);
            self.effects.push_back(Effect::Warn { kind: format!("{name} {}", problem.key), text });
        }
    }

    /// Shows the device information and, beside it, what the cloud has recorded of the heater; nothing as long as
    /// nothing is known of either.
    pub fn show_info(&mut self) {
        let recorded = self.device.record.decoded(|code| self.product.errors.text(code, None));
        if self.info.is_none() && !self.capabilities.is_known() && recorded.iter().all(|(_, value)| value.is_null()) {
            return;
        }
        let mut info = self.info.clone().unwrap_or_else(|| self.capabilities.decoded(self.units));
        info.extend(recorded);
        self.changed(Change::Answer("info", info));
    }

    /// Returns whether it can be asked for its recirculation schedule.
    pub fn recirculates(&self) -> bool {
        ["recirculationUse", "recircReservationUse"].iter().any(|flag| self.capabilities.fitted(flag) == Some(true))
    }

    /// Returns how many fields came that the protocol reference does not know.
    pub fn unknown_fields(&self) -> usize {
        self.unknown_fields.kinds()
    }

    /// Returns what has been seen so far, for the diagnostics.
    pub fn diagnostics(&self) -> Value {
        json!({
            "mac": self.device.mac.as_str(),
            "device_type": self.device.device_type,
            "units": self.units.as_str(),
            "recirculation": self.recirculates(),
            "unknown_fields": self.unknown_fields.show(),
            "odd_values": self.odd_values.show(),
        })
    }

    fn changed(&mut self, change: Change) {
        self.effects.push_back(Effect::Changed(change));
    }
}

/// Returns the units that a decoded object says it is in.
fn units_of(decoded: &Members) -> UnitSystem {
    match decoded.get("units").and_then(Value::as_str) {
        Some("metric") => UnitSystem::Metric,
        _ => UnitSystem::Us,
    }
}

/// Hashes whether a schedule is enabled and its entries, whatever their order (FNV-1a).
fn hash_of(schedule: &Members) -> String {
    let entries = ["entries", "periods"].iter().find_map(|key| schedule.get(key)?.as_array());
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
            hash_of(&[("enabled", enabled.into()), ("entries", entries.into())].into_iter().collect())
        };
        let hash = of(true, &["06:00", "18:00"]);
        assert_eq!((hash.len(), of(true, &["18:00", "06:00"])), (16, hash.clone()));
        for other in [of(false, &["06:00", "18:00"]), of(true, &["06:00"]), of(true, &["06:00", "18:01"])] {
            assert_ne!(other, hash);
        }
    }
}
