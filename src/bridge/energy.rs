//! The energy of one heater: which months to ask for, and the answers joined into one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::navilink::encoding::Object;
use crate::navilink::request::Query;

/// The heater's calendar is in its own time zone, which is at most so far from UTC.
const ZONES: Duration = Duration::from_secs(14 * 3600);

/// A year and a month, counted from 1.
type Month = (u16, u8);

/// The newest answers by day, and the one by month.
#[derive(Debug, Clone, Default)]
pub struct Energy {
    /// Around New Year they come in two answers.
    days: Option<BTreeMap<Month, Vec<Value>>>,
    monthly: Option<Object>,
}

impl Energy {
    /// Takes the decoded answer by day; of earlier ones the months stay that are still asked for.
    pub fn set_daily(&mut self, mut daily: Object, wall: SystemTime) {
        let asked = months(wall);
        let days = self.days.get_or_insert_default();
        let mut answered: BTreeMap<Month, Vec<Value>> = BTreeMap::new();
        if let Some(Value::Array(list)) = daily.remove("days") {
            for day in list {
                let month = year_and_month(day.get("date").and_then(Value::as_str).unwrap_or_default());
                answered.entry(month).or_default().push(day);
            }
        }
        days.retain(|month, _| asked.contains(month));
        days.extend(answered);
    }

    /// Takes the decoded answer by month.
    pub fn set_monthly(&mut self, monthly: Object) {
        self.monthly = Some(monthly);
    }

    /// Returns `{"total", "months", "days"}`, with `null` for what has not been answered yet. The total is that of the
    /// heater's life (protocol reference, section 4).
    pub fn joined(&self) -> Object {
        let by_month = |key| self.monthly.as_ref().and_then(|answer| answer.get(key)).cloned().unwrap_or_default();
        let days = self.days.as_ref().map(|days| days.values().flatten().cloned().collect::<Vec<_>>());
        let mut joined = Object::new();
        joined.insert("total".to_owned(), by_month("total"));
        joined.insert("months".to_owned(), by_month("months"));
        joined.insert("days".to_owned(), days.into());
        joined
    }
}

/// Returns the questions for the month that it is now anywhere on earth, and for its year.
pub fn questions(wall: SystemTime) -> Vec<Query> {
    let mut by_year: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for (year, month) in months(wall) {
        by_year.entry(year).or_default().push(month);
    }
    let years = by_year.keys().copied().collect();
    let by_day = by_year.into_iter().map(|(year, months)| Query::EnergyByDay { year, months });
    by_day.chain([Query::EnergyByMonth { years }]).collect()
}

/// Returns the months that it is now anywhere on earth: one, or two.
fn months(wall: SystemTime) -> BTreeSet<Month> {
    let month =
        |at: SystemTime| year_and_month(&humantime::format_rfc3339_seconds(at.max(SystemTime::UNIX_EPOCH)).to_string());
    [wall.checked_sub(ZONES).unwrap_or(wall), wall + ZONES].map(month).into()
}

/// Reads the beginning of a date such as `2026-11-01`.
fn year_and_month(date: &str) -> Month {
    let mut parts = date.split('-');
    let mut next = || parts.next().unwrap_or_default();
    (next().parse().unwrap_or(1970), next().parse().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Vec<Query> {
        questions(humantime::parse_rfc3339(text).unwrap())
    }

    #[test]
    fn one_month_is_asked_for_within_it_and_both_around_its_end() {
        assert_eq!(
            at("2026-11-15T12:00:00Z"),
            [Query::EnergyByDay { year: 2026, months: vec![11] }, Query::EnergyByMonth { years: vec![2026] }]
        );
        assert_eq!(
            at("2026-11-30T23:00:00Z"),
            [Query::EnergyByDay { year: 2026, months: vec![11, 12] }, Query::EnergyByMonth { years: vec![2026] }]
        );
    }

    #[test]
    fn the_two_answers_around_new_year_are_joined_and_a_month_that_is_over_goes() {
        let answer = |dates: &[&str]| {
            let days: Vec<Value> = dates.iter().map(|date| json!({ "date": date, "heat_pump_wh": 1 })).collect();
            json!({ "total": null, "days": days }).as_object().unwrap().clone()
        };
        let shown = |energy: &Energy| -> Vec<String> {
            let days = energy.joined()["days"].as_array().unwrap().clone();
            days.iter().map(|day| day["date"].as_str().unwrap().to_owned()).collect()
        };
        let mut energy = Energy::default();
        assert_eq!(energy.joined()["days"], Value::Null);
        let new_year = humantime::parse_rfc3339("2026-01-01T03:00:00Z").unwrap();
        for _ in 0..2 {
            energy.set_daily(answer(&["2026-01-01", "2026-01-02"]), new_year);
            energy.set_daily(answer(&["2025-12-30", "2025-12-31"]), new_year);
            assert_eq!(shown(&energy), ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02"]);
        }
        energy.set_daily(answer(&["2026-01-01"]), new_year + 2 * ZONES);
        assert_eq!(shown(&energy), ["2026-01-01"]);
    }

    #[test]
    fn both_years_are_asked_for_around_new_year() {
        assert_eq!(
            at("2026-01-01T03:00:00Z"),
            [
                Query::EnergyByDay { year: 2025, months: vec![12] },
                Query::EnergyByDay { year: 2026, months: vec![1] },
                Query::EnergyByMonth { years: vec![2025, 2026] },
            ]
        );
    }
}
