//! What the heater has used, day by day: measured since it was switched on, made up from the seed before that.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde_json::{Value, json};

use super::calendar::{date, days_in_month, first_of_month};
use crate::simulator::tank::Consumption;
use crate::supervisor::Random;

/// How far the made-up past reaches, days.
const PAST: i64 = 400;

/// The energy and running times of some period.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Usage(Consumption);

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.0.heat_pump_wh += other.0.heat_pump_wh;
        self.0.element_wh += other.0.element_wh;
        self.0.heat_pump_seconds += other.0.heat_pump_seconds;
        self.0.element_seconds += other.0.element_seconds;
    }
}

impl Usage {
    /// Returns an energy item of the protocol reference, section 4: Wh and hours, whole.
    fn item(&self) -> Value {
        let hours = |seconds: f64| (seconds / 3600.0).round() as i64;
        json!({
            "hpUsage": self.0.heat_pump_wh.round() as i64,
            "heUsage": self.0.element_wh.round() as i64,
            "hpTime": hours(self.0.heat_pump_seconds),
            "heTime": hours(self.0.element_seconds),
        })
    }
}

/// The meter and its memory.
#[derive(Debug, Clone)]
pub(super) struct EnergyCounter {
    seed: u64,
    days: BTreeMap<i64, Usage>,
}

impl EnergyCounter {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, days: BTreeMap::new() }
    }

    /// Makes up the past on the first call, once the date is known.
    pub(super) fn begin(&mut self, today: i64) {
        if self.days.is_empty() {
            let mut random = Random::new(self.seed);
            self.days = (today - PAST..today).map(|day| (day, past_day(&mut random, day))).collect();
        }
    }

    /// Adds what was used to a day, and forgets what is too old.
    pub(super) fn count(&mut self, day: i64, used: Consumption) {
        *self.days.entry(day).or_default() += Usage(used);
        while self.days.first_key_value().is_some_and(|(oldest, _)| *oldest < day - 2 * PAST) {
            self.days.pop_first();
        }
    }

    /// Returns the answer's data for some months of a year, an item a day.
    pub(super) fn daily(&self, year: i64, months: &[i64]) -> Value {
        let mut usage = Vec::new();
        for &month in months {
            let first = first_of_month(year, month);
            let days: Vec<Usage> = (first..first + days_in_month(year, month)).map(|day| self.day(day)).collect();
            let data: Vec<Value> = days.iter().map(Usage::item).collect();
            usage.push(json!({ "year": year, "month": month, "data": data }));
        }
        json!({ "typeOfUsage": 1, "total": self.life(), "usage": usage })
    }

    /// Returns the item of the whole life, the total of every answer whatever was asked.
    pub(super) fn life(&self) -> Value {
        let mut total = Usage::default();
        self.days.values().for_each(|day| total += *day);
        total.item()
    }

    /// Returns the answer's data for some years, an item a month.
    pub(super) fn monthly(&self, years: &[i64]) -> Value {
        let usage: Vec<Value> = years
            .iter()
            .map(|&year| {
                let data: Vec<Value> = (1..=12).map(|month| self.month(year, month).item()).collect();
                json!({ "year": year, "data": data })
            })
            .collect();
        json!({ "typeOfUsage": 1, "total": self.life(), "usage": usage })
    }

    fn day(&self, day: i64) -> Usage {
        self.days.get(&day).copied().unwrap_or_default()
    }

    fn month(&self, year: i64, month: i64) -> Usage {
        let first = first_of_month(year, month);
        let mut sum = Usage::default();
        self.days.range(first..first + days_in_month(year, month)).for_each(|(_, day)| sum += *day);
        sum
    }
}

/// More in winter, when the water comes in colder.
fn past_day(random: &mut Random, day: i64) -> Usage {
    let winter = if matches!(date(day).month, 11 | 12 | 1 | 2 | 3) { 1.35 } else { 1.0 };
    let heat_pump_wh = 2600.0 * winter * random.around_one(0.35);
    let element_wh = if random.unit() < 0.25 { 900.0 * winter * random.unit() } else { 0.0 };
    Usage(Consumption {
        heat_pump_wh,
        element_wh,
        heat_pump_seconds: heat_pump_wh / 480.0 * 3600.0,
        element_seconds: element_wh / 4500.0 * 3600.0,
    })
}
