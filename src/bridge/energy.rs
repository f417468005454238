//! The energy of one heater: which months to ask for, and the two answers joined into one.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::navilink::encoding::Object;
use crate::navilink::request::Query;

/// The heater's calendar is in its own time zone, which is at most so far from UTC.
const ZONES: Duration = Duration::from_secs(14 * 3600);

/// The newest answer by day and by month.
#[derive(Debug, Clone, Default)]
pub struct Energy {
    daily: Option<Object>,
    monthly: Option<Object>,
}

impl Energy {
    /// Takes the decoded answer by day.
    pub fn set_daily(&mut self, daily: Object) {
        self.daily = Some(daily);
    }

    /// Takes the decoded answer by month.
    pub fn set_monthly(&mut self, monthly: Object) {
        self.monthly = Some(monthly);
    }

    /// Returns `{"total", "months", "days"}`, with `null` for what has not been answered yet. The total is that of the
    /// heater's life (protocol reference, section 4).
    pub fn joined(&self) -> Object {
        let of = |answer: &Option<Object>, key| answer.as_ref().and_then(|answer| answer.get(key)).cloned();
        let mut joined = Object::new();
        joined.insert("total".to_owned(), of(&self.monthly, "total").unwrap_or(Value::Null));
        joined.insert("months".to_owned(), of(&self.monthly, "months").unwrap_or(Value::Null));
        joined.insert("days".to_owned(), of(&self.daily, "days").unwrap_or(Value::Null));
        joined
    }
}

/// Returns the questions for the month that it is now anywhere on earth, and for its year.
pub fn questions(wall: SystemTime) -> Vec<Query> {
    let mut months: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for at in [wall.checked_sub(ZONES).unwrap_or(wall), wall + ZONES] {
        let (year, month) = year_and_month(at);
        let months = months.entry(year).or_default();
        if !months.contains(&month) {
            months.push(month);
        }
    }
    let years = months.keys().copied().collect();
    let by_day = months.into_iter().map(|(year, months)| Query::EnergyByDay { year, months });
    by_day.chain([Query::EnergyByMonth { years }]).collect()
}

fn year_and_month(at: SystemTime) -> (u16, u8) {
    let text = humantime::format_rfc3339_seconds(at.max(SystemTime::UNIX_EPOCH)).to_string();
    let mut parts = text.split('-');
    let mut next = || parts.next().unwrap_or_default();
    (next().parse().unwrap_or(1970), next().parse().unwrap_or(1))
}

#[cfg(test)]
mod tests {
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
