//! What the controls change: the settings and the schedules of a heater.

use serde_json::{Value, json};

use super::calendar::week_bit;
use crate::simulator::tank::Program;

/// The lowest set point, half °C.
pub(super) const LOWEST: i64 = 70;
/// The highest set point, half °C.
pub(super) const HIGHEST: i64 = 131;
/// The water kept while everybody is away, half °C.
const VACATION_TARGET: i64 = 40;

/// The way hot water is made, with its `DhwOperationSetting` number (protocol reference, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    HeatPump = 1,
    Electric = 2,
    EnergySaver = 3,
    HighDemand = 4,
    Vacation = 5,
}

impl Mode {
    pub(super) fn from_code(code: i64) -> Option<Self> {
        [Self::HeatPump, Self::Electric, Self::EnergySaver, Self::HighDemand, Self::Vacation]
            .into_iter()
            .find(|mode| *mode as i64 == code)
    }
}

/// The settings that controls change and the status shows.
#[derive(Debug, Clone)]
pub(super) struct StoredSettings {
    pub powered: bool,
    pub mode: Mode,
    /// The mode to return to when the vacation ends.
    pub before_vacation: Mode,
    /// Half °C.
    pub set_point: i64,
    pub vacation_days: i64,
    pub vacation_seconds: f64,
    pub anti_legionella: bool,
    pub anti_legionella_days: i64,
    pub demand_response: bool,
    pub intelligent: bool,
    pub tou: bool,
    /// `RecirculationMode`.
    pub recirculation: i64,
    pub filter_period_hours: i64,
}

impl StoredSettings {
    pub(super) fn new() -> Self {
        Self {
            powered: true,
            mode: Mode::EnergySaver,
            before_vacation: Mode::EnergySaver,
            set_point: 104,
            vacation_days: 7,
            vacation_seconds: 0.0,
            anti_legionella: false,
            anti_legionella_days: 7,
            demand_response: false,
            intelligent: false,
            tou: false,
            recirculation: 4,
            filter_period_hours: 1000,
        }
    }

    /// Starts a mode; a vacation remembers the mode before it.
    pub(super) fn start(&mut self, mode: Mode) {
        if mode == Mode::Vacation && self.mode != Mode::Vacation {
            self.before_vacation = self.mode;
        }
        self.vacation_seconds = 0.0;
        self.powered = true;
        self.mode = mode;
    }

    /// Lets a vacation go on, and ends it when its days are over.
    pub(super) fn pass(&mut self, seconds: f64) {
        if self.mode != Mode::Vacation || !self.powered {
            return;
        }
        self.vacation_seconds += seconds;
        if self.vacation_days_elapsed() >= self.vacation_days {
            self.start(self.before_vacation);
        }
    }

    pub(super) fn vacation_days_elapsed(&self) -> i64 {
        (self.vacation_seconds / 86_400.0).floor() as i64
    }

    /// Returns the `DhwOperationSetting` number.
    pub(super) fn operation(&self) -> i64 {
        if self.powered { self.mode as i64 } else { 6 }
    }

    pub(super) fn program(&self) -> Program {
        if !self.powered {
            return Program::Off;
        }
        match self.mode {
            Mode::HeatPump | Mode::Vacation => Program::HeatPump,
            Mode::Electric => Program::Electric,
            Mode::EnergySaver => Program::EnergySaver,
            Mode::HighDemand => Program::HighDemand,
        }
    }

    /// Returns the temperature that is kept, half °C.
    pub(super) fn target(&self) -> i64 {
        if self.mode == Mode::Vacation { VACATION_TARGET } else { self.set_point }
    }
}

/// One entry of a reservation or recirculation schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    enable: i64,
    week: i64,
    hour: i64,
    minute: i64,
    pub mode: i64,
    pub param: i64,
}

impl Slot {
    /// Reads an entry, or returns `None` when a member is missing or out of its range.
    pub(super) fn read(value: &Value, modes: std::ops::RangeInclusive<i64>) -> Option<Self> {
        let member = |name: &str| value.get(name)?.as_i64();
        let slot = Self {
            enable: member("enable").filter(|n| (1..=2).contains(n))?,
            week: member("week").filter(|n| (0..=255).contains(n))?,
            hour: member("hour").filter(|n| (0..24).contains(n))?,
            minute: member("min").filter(|n| (0..60).contains(n))?,
            mode: member("mode").filter(|n| modes.contains(n))?,
            param: member("param").filter(|n| (-1..=255).contains(n))?,
        };
        Some(slot)
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "enable": self.enable, "week": self.week, "hour": self.hour, "min": self.minute,
            "mode": self.mode, "param": self.param,
        })
    }

    fn due(&self, day_number: i64, minute_of_day: i64) -> bool {
        self.enable == 2 && self.week & week_bit(day_number) != 0 && self.hour * 60 + self.minute == minute_of_day
    }
}

/// A schedule with its switch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StoredSchedule {
    pub enabled: bool,
    pub slots: Vec<Slot>,
}

impl StoredSchedule {
    /// Returns the entry that begins at this minute; of several the last one counts.
    pub(super) fn due(&self, day_number: i64, minute_of_day: i64) -> Option<Slot> {
        let slots = if self.enabled { self.slots.as_slice() } else { &[] };
        slots.iter().rev().find(|slot| slot.due(day_number, minute_of_day)).copied()
    }

    pub(super) fn reservation_use(&self) -> i64 {
        if self.enabled { 2 } else { 1 }
    }

    /// Returns six bytes an entry in hexadecimal (protocol reference, section 5); an empty schedule is one empty entry.
    pub(super) fn hex(&self) -> String {
        if self.slots.is_empty() {
            return "00".repeat(6);
        }
        self.slots
            .iter()
            .flat_map(|s| [s.enable, s.week, s.hour, s.minute, s.mode, s.param])
            .map(|number| format!("{:02x}", number & 0xff))
            .collect()
    }

    pub(super) fn array(&self) -> Vec<Value> {
        self.slots.iter().map(Slot::json).collect()
    }
}
