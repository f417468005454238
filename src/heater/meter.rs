//! Counters that are added up by others: a value that is lost or leaps for a moment must never be counted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A value that is less by no more than this share is jitter, not a new beginning.
const JITTER: f64 = 0.1;
/// So many consistent answers in a row are believed against what is known.
const ANSWERS: u32 = 2;
/// The first and the last of a leap are so many seconds apart: one disturbance can spoil two answers that follow at once.
const APART: u64 = 60;
/// The most meters kept of one heater.
const MOST: usize = 500;

/// How fast a counter can grow, and when it may begin anew.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// The most that it can grow in an hour.
    pub per_hour: f64,
    /// Growth that is believed at once, however short the time.
    pub slack: f64,
    /// No counter is higher in its whole life.
    pub highest: f64,
    /// It begins anew only if it has been consistently lower for so long.
    pub lower_for: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEARS: f64 = 50.0 * 366.0 * 24.0;

/// Energy in Wh: both elements and the heat pump of an NWP500 together take less than 15 kW.
pub const ENERGY: Rule = Rule { per_hour: 15_000.0, slack: 24_000.0, highest: 15_000.0 * YEARS, lower_for: DAY };
/// Hours in operation.
pub const HOURS: Rule = Rule { per_hour: 1.0, slack: 24.0, highest: YEARS, lower_for: DAY };
/// Hours since the last maintenance, which a reset ends.
pub const HOURS_SINCE_RESET: Rule = Rule { lower_for: Duration::from_secs(5), ..HOURS };
/// Litres of hot water: a pipe of 3/4 inch gives less than 60 L/min.
pub const LITRES: Rule = Rule { per_hour: 3600.0, slack: 2000.0, highest: 3600.0 * YEARS, lower_for: DAY };

/// One counter, as it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Meter {
    value: f64,
    /// When it was told so, or more, in seconds since 1970.
    at: u64,
    #[serde(skip)]
    doubtful: Option<Doubtful>,
}

/// Answers in a row that contradict what is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Doubtful {
    value: f64,
    since: u64,
    at: u64,
    answers: u32,
}

impl Rule {
    fn believes(&self, growth: f64, from: u64, to: u64) -> bool {
        let hours = to.saturating_sub(from) as f64 / 3600.0;
        (0.0..=self.slack + self.per_hour * hours).contains(&growth)
    }
}

impl Meter {
    fn take(&mut self, told: f64, rule: &Rule, now: u64) {
        if rule.believes(told - self.value, self.at, now) {
            *self = Self { value: told, at: now, doubtful: None };
            return;
        }
        let lower = told < self.value;
        if lower && told >= self.value * (1.0 - JITTER) {
            self.doubtful = None;
            return;
        }
        let consistent = |earlier: &Doubtful| {
            (earlier.value < self.value) == lower && rule.believes(told - earlier.value, earlier.at, now)
        };
        let doubtful = match self.doubtful.filter(consistent) {
            Some(earlier) => Doubtful { value: told, at: now, answers: earlier.answers + 1, ..earlier },
            None => Doubtful { value: told, since: now, at: now, answers: 1 },
        };
        let enough = if lower { rule.lower_for.as_secs() } else { APART };
        let long_enough = now.saturating_sub(doubtful.since) >= enough;
        if doubtful.answers >= ANSWERS && long_enough {
            *self = Self { value: told, at: now, doubtful: None };
        } else {
            self.doubtful = Some(doubtful);
        }
    }
}

/// The counters of one heater by their names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Meters {
    meters: BTreeMap<String, Meter>,
}

impl Meters {
    /// Takes what a counter was told to be; returns what is to be shown.
    pub fn take(&mut self, name: &str, told: f64, rule: &Rule, wall: SystemTime) -> Option<f64> {
        let now = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let sound = (0.0..=rule.highest).contains(&told);
        let full = self.meters.len() >= MOST;
        match self.meters.get_mut(name) {
            Some(meter) if sound => meter.take(told, rule, now),
            None if sound && !full => {
                self.meters.insert(name.to_owned(), Meter { value: told, at: now, doubtful: None });
            }
            _ => {}
        }
        self.value(name)
    }

    /// Returns what is shown of a counter.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.meters.get(name).map(|meter| meter.value)
    }

    /// Drops the counters whose names are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.meters.retain(|name, _| wanted(name));
    }

    /// Returns whether there are counters that `earlier` does not have.
    pub fn adds_to(&self, earlier: &Self) -> bool {
        self.meters.keys().any(|name| !earlier.meters.contains_key(name))
    }

    /// Returns whether the values differ from those of `earlier`.
    pub fn differs(&self, earlier: &Self) -> bool {
        self.meters.len() != earlier.meters.len()
            || self.meters.iter().any(|(name, meter)| earlier.value(name) != Some(meter.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value shown after each answer, one of them every so many hours.
    fn shown(rule: &Rule, hours: f64, told: &[f64]) -> Vec<f64> {
        let mut meters = Meters::default();
        let at = |n: usize| {
            UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_secs_f64(3600.0 * hours * n as f64)
        };
        told.iter().enumerate().map(|(n, told)| meters.take("x", *told, rule, at(n)).unwrap_or(-1.0)).collect()
    }

    #[test]
    fn a_value_that_is_lost_or_leaps_in_one_answer_is_not_shown() {
        let kwh = |values: &[f64]| values.iter().map(|value| value * 1000.0).collect::<Vec<_>>();
        assert_eq!(shown(&ENERGY, 1.0, &kwh(&[1412.9, 0.0, 1412.9, 1413.0])), kwh(&[1412.9, 1412.9, 1412.9, 1413.0]));
        let leap = kwh(&[1266.0, 1_099_511_627.0, 1273.0, 900_000.0, 1274.0]);
        assert_eq!(shown(&ENERGY, 1.0, &leap), kwh(&[1266.0, 1266.0, 1273.0, 1273.0, 1274.0]));
        assert_eq!(shown(&ENERGY, 0.0, &kwh(&[10.0, 9.9, 10.1])), kwh(&[10.0, 10.0, 10.1]), "jitter");
        assert_eq!(shown(&ENERGY, 0.0, &[f64::MAX, f64::NAN, -1.0, 5.0]), [-1.0, -1.0, -1.0, 5.0]);
    }

    #[test]
    fn a_leap_is_believed_when_it_is_told_again_and_after_a_long_time_at_once() {
        assert_eq!(shown(&ENERGY, 1.0, &[1e6, 2e6, 2e6, 2.1e6]), [1e6, 1e6, 2e6, 2e6]);
        assert_eq!(shown(&ENERGY, 30.0 * 24.0, &[1e6, 2e6]), [1e6, 2e6], "a month without an answer");
        assert_eq!(shown(&ENERGY, 1.0, &[1e6, 2e6, 1.5e6, 2e6, 2e6]), [1e6, 1e6, 1e6, 1e6, 2e6], "two that agree");
    }

    #[test]
    fn a_counter_begins_anew_after_a_day_of_lower_answers_and_a_reset_one_at_the_second() {
        let told: Vec<f64> = [1e6].into_iter().chain((0..30).map(|n| f64::from(n) * 10.0)).collect();
        let shown_then = shown(&ENERGY, 1.0, &told);
        assert_eq!((shown_then[24], shown_then[25]), (1e6, 240.0));
        assert_eq!(shown(&HOURS_SINCE_RESET, 0.02, &[900.0, 0.0, 0.0, 1.0]), [900.0, 900.0, 0.0, 1.0]);
        assert_eq!(shown(&HOURS_SINCE_RESET, 0.02, &[900.0, 0.0, 900.0, 0.0]), [900.0, 900.0, 900.0, 900.0]);
    }

    #[test]
    fn two_wrong_answers_within_one_disturbance_are_no_leap() {
        let told = [1e6, 9e7, 9e7, 9e7, 1e6 + 1.0];
        assert_eq!(shown(&LITRES, 0.4 / 3600.0, &told), [1e6, 1e6, 1e6, 1e6, 1e6 + 1.0]);
    }

    proptest! {
        #[test]
        fn one_wrong_answer_among_good_ones_is_never_shown(
            good in prop::collection::vec(0f64..14_000.0, 2..40), at in any::<prop::sample::Index>(), wrong in 0f64..1e12,
        ) {
            let mut total = 1e6;
            let mut told: Vec<f64> = good.iter().map(|more| { total += more; total }).collect();
            let place = at.index(told.len() - 1);
            let (before, after) = (told[place], told[place + 1]);
            told.insert(place + 1, wrong);
            let shown = shown(&ENERGY, 1.0, &told);
            prop_assert!(shown.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", shown);
            let plausible = wrong >= before && wrong - before <= ENERGY.slack + ENERGY.per_hour;
            prop_assert!(plausible || shown[place + 1] == before);
            prop_assert!(plausible || shown[place + 2] == after);
        }
    }
}
