//! One simulated heater: it has a tank, obeys the controls and says what a real one says on the cloud's broker.
//!
//! It is deterministic: the same index, seed and calls give the same bytes. Its calendar is UTC.

mod answers;
mod calendar;
mod controls;
mod energy;
pub mod feature;
mod settings;
mod status;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use self::energy::EnergyCounter;
use self::settings::{Mode, StoredSchedule, StoredSettings};
use super::tank::{HeatDemand, Tank};
use crate::supervisor::Random;

/// The device type of the NWP500 (protocol reference, section 1).
const DEVICE_TYPE: u32 = 52;
/// The key that REST and MQTT want besides the MAC address.
const ADDITIONAL_VALUE: &str = "5322";
/// The MAC address of the heater with index 0.
const FIRST_MAC: usize = 0x0478_6332_fca0;
/// The size of the tank, L.
const VOLUME: f64 = 246.0;
/// How often a status comes unasked.
const PUSH_INTERVAL: Duration = Duration::from_secs(30);
/// The longest time for which the schedules are not looked at.
const LONGEST_STEP: Duration = Duration::from_secs(10);
/// The water that kills Legionella, °C.
const DISINFECTION: f64 = 60.0;
/// How many late answers are held.
const MOST_PENDING: usize = 256;

/// A message that the heater sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic on the cloud's broker.
    pub topic: String,
    /// The message, JSON.
    pub payload: Vec<u8>,
}

/// How a heater misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaterFault {
    /// It does not.
    Online,
    /// The cloud lists it as not connected; it says nothing.
    Offline,
    /// The cloud lists it as connected, but it says nothing.
    Silent,
    /// Its answers take so much longer.
    Slow(Duration),
    /// It works and reports an error (protocol reference, section 8).
    Error {
        /// `errorCode`.
        code: i64,
        /// `subErrorCode`.
        sub: i64,
    },
}

/// One piece of firmware.
#[derive(Debug, Clone, Copy)]
struct Software {
    /// `swCode` of a download: 1 controller, 2 panel, 4 Wi-Fi.
    kind: i64,
    code: i64,
    version: i64,
    /// What a commit would install; the same as `version` when there is nothing new.
    downloaded: i64,
}

/// One simulated heater.
#[derive(Debug, Clone)]
pub struct SimulatedHeater {
    index: usize,
    /// Whether its answers carry the ids of the one who asked instead of its own.
    echoes: bool,
    /// Whether it shows Celsius.
    celsius: bool,
    mac: String,
    random: Random,
    tank: Tank,
    meter: EnergyCounter,
    settings: StoredSettings,
    reservations: StoredSchedule,
    recirculations: StoredSchedule,
    tou_periods: Vec<Map<String, Value>>,
    software: [Software; 3],
    fault: HeaterFault,
    rssi: i64,
    disinfecting: bool,
    since_disinfection: f64,
    hot_button_left: f64,
    recirculation_due: bool,
    since_push: Duration,
    changed: bool,
    minute: i64,
    last_dhw_control: Option<SystemTime>,
    /// A mode that a time-of-use window holds back until it ends.
    held_mode: Option<Vec<i64>>,
    pending: Vec<(Duration, Publish)>,
}

impl SimulatedHeater {
    /// Builds the heater number `index` of an account; odd ones have no recirculation and show Celsius.
    pub fn new(index: usize, seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(index as u64));
        let tank = Tank::new(VOLUME, random.next_u64());
        let meter = EnergyCounter::new(random.next_u64());
        Self {
            index,
            echoes: false,
            celsius: !index.is_multiple_of(2),
            mac: format!("{:012x}", FIRST_MAC + index),
            random,
            tank,
            meter,
            settings: StoredSettings::new(),
            reservations: StoredSchedule::default(),
            recirculations: StoredSchedule::default(),
            tou_periods: Vec::new(),
            software: [
                Software { kind: 1, code: 184_614_912, version: 302_513_152, downloaded: 302_513_408 },
                Software { kind: 2, code: 184_614_913, version: 302_186_496, downloaded: 302_186_496 },
                Software { kind: 4, code: 184_614_914, version: 50_725_120, downloaded: 50_725_120 },
            ],
            fault: HeaterFault::Online,
            rssi: -55,
            disinfecting: false,
            since_disinfection: 0.0,
            hot_button_left: 0.0,
            recirculation_due: false,
            since_push: Duration::ZERO,
            changed: false,
            minute: 0,
            last_dhw_control: None,
            held_mode: None,
            pending: Vec::new(),
        }
    }

    /// Lets answers carry the ids of the one who asked instead of the heater's own.
    pub fn echo_ids(&mut self) {
        self.echoes = true;
    }

    /// Returns `macAddress`.
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Returns `deviceType`.
    pub fn device_type(&self) -> u32 {
        DEVICE_TYPE
    }

    /// Makes the heater misbehave, or behave again.
    pub fn set_fault(&mut self, fault: HeaterFault) {
        self.fault = fault;
        self.changed = true;
        if self.mute() {
            self.pending.clear();
        }
    }

    /// Takes a message on the heater's topics and returns the answers, none if there is nothing to answer.
    ///
    /// A malformed message is ignored, and so is a control that the heater does not have.
    pub fn handle(&mut self, topic: &str, payload: &[u8], wall: SystemTime) -> Vec<Publish> {
        if self.mute() {
            return Vec::new();
        }
        self.meter.begin(calendar::day_number(wall));
        let Some(request) = answers::HeaterRequest::read(self, topic, payload) else {
            return Vec::new();
        };
        let answers = self.answer(&request, wall);
        let HeaterFault::Slow(delay) = self.fault else {
            return answers;
        };
        let room = MOST_PENDING - self.pending.len();
        self.pending.extend(answers.into_iter().take(room).map(|answer| (delay, answer)));
        Vec::new()
    }

    /// Lets `elapsed` pass up to `wall`, and returns late answers and at most one status that the heater pushes: every
    /// 30 seconds, and when its mode, its heat source or its fault changes.
    pub fn advance(&mut self, elapsed: Duration, wall: SystemTime) -> Vec<Publish> {
        let before = status::activity(self);
        let mut left = elapsed;
        while !left.is_zero() {
            let step = left.min(LONGEST_STEP);
            self.step(step, wall.checked_sub(left).unwrap_or(wall));
            left -= step;
        }
        self.changed |= status::activity(self) != before;
        self.since_push = self.since_push.saturating_add(elapsed);
        if self.mute() {
            return Vec::new();
        }
        let mut said = self.late_answers(elapsed);
        if self.changed || self.since_push >= PUSH_INTERVAL {
            said.push(self.push_status(wall));
        }
        said
    }

    /// Lets it show Celsius or Fahrenheit from now on; returns the status that says so.
    pub fn set_display(&mut self, celsius: bool, wall: SystemTime) -> Publish {
        self.celsius = celsius;
        self.push_status(wall)
    }

    /// Returns a status that the heater sends on its own account.
    pub fn push_status(&mut self, wall: SystemTime) -> Publish {
        self.meter.begin(calendar::day_number(wall));
        self.since_push = Duration::ZERO;
        self.changed = false;
        self.unasked_status()
    }

    fn step(&mut self, step: Duration, begin: SystemTime) {
        let seconds = step.as_secs_f64();
        let day = calendar::day_number(begin);
        self.meter.begin(day);
        self.follow_schedules(begin);
        self.settings.pass(seconds);
        self.disinfect(seconds);
        self.hot_button_left = (self.hot_button_left - seconds).max(0.0);
        let orders =
            HeatDemand { program: self.settings.program(), target: self.target(), recirculating: self.recirculating() };
        let used = self.tank.advance(seconds, calendar::hour(begin), &orders);
        self.meter.count(day, used);
        if self.random.unit() < 0.05 {
            self.rssi = -55 - (self.random.unit() * 10.0) as i64;
        }
    }

    fn follow_schedules(&mut self, at: SystemTime) {
        let minute = calendar::seconds(at) / 60;
        if minute == self.minute {
            return;
        }
        self.minute = minute;
        if !controls::in_tou_window(self, at)
            && let Some(param) = self.held_mode.take()
        {
            controls::set_mode(self, &param);
        }
        let day = calendar::day_number(at);
        let of_day = minute.rem_euclid(24 * 60);
        if let Some(slot) = self.recirculations.due(day, of_day) {
            self.recirculation_due = slot.mode == 2;
        }
        if self.settings.powered && self.settings.mode == Mode::Vacation {
            return;
        }
        let Some(slot) = self.reservations.due(day, of_day) else { return };
        // in a schedule 5 means power off, not vacation (protocol reference, section 5)
        if slot.mode == 5 {
            self.settings.powered = false;
        } else if let Some(mode) = Mode::from_code(slot.mode) {
            self.settings.start(mode);
            self.settings.set_point = slot.param.clamp(settings::LOWEST, settings::HIGHEST);
        }
    }

    fn disinfect(&mut self, seconds: f64) {
        if !self.settings.anti_legionella || !self.settings.powered {
            self.disinfecting = false;
            return;
        }
        self.since_disinfection += seconds;
        if self.since_disinfection >= self.settings.anti_legionella_days as f64 * 86_400.0 {
            self.disinfecting = true;
        }
        if self.disinfecting && self.tank.lower >= DISINFECTION {
            self.disinfecting = false;
            self.since_disinfection = 0.0;
        }
    }

    fn late_answers(&mut self, elapsed: Duration) -> Vec<Publish> {
        self.pending.iter_mut().for_each(|(delay, _)| *delay = delay.saturating_sub(elapsed));
        self.pending.extract_if(.., |(delay, _)| delay.is_zero()).map(|(_, answer)| answer).collect()
    }

    /// Returns the temperature that is kept now, °C.
    fn target(&self) -> f64 {
        let wanted = self.settings.target() as f64 / 2.0;
        if self.disinfecting { wanted.max(DISINFECTION + 0.5) } else { wanted }
    }

    fn recirculating(&self) -> bool {
        let by_mode = match self.settings.recirculation {
            1 => true,
            2 => self.recirculations.enabled && self.recirculation_due,
            _ => false,
        };
        by_mode || self.hot_button_left > 0.0
    }

    fn mute(&self) -> bool {
        matches!(self.fault, HeaterFault::Offline | HeaterFault::Silent)
    }

    fn error(&self) -> (i64, i64) {
        match self.fault {
            HeaterFault::Error { code, sub } => (code, sub),
            _ => (0, 0),
        }
    }

    /// The account's home that this heater stands in.
    fn home_seq(&self) -> usize {
        25_004 + self.index
    }
}

/// Joins objects into one; `json!` cannot take a whole status at once.
fn merge<const N: usize>(groups: [Value; N]) -> Value {
    let mut all = Map::new();
    for group in groups {
        if let Value::Object(group) = group {
            all.extend(group);
        }
    }
    all.into()
}
