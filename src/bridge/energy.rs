//! The energy of one heater: which months to ask for, and the answers joined into one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::navilink::encoding::Object;
use crate::navilink::request::Query;

/// The heater's calendar is in its own time zone, which is at most so far from UTC.
const ZONES: Duration = Duration::from_secs(14 * 3600);

/// The counters of the heater's life, by their names in the total and in what is shown of them.
const COUNTERS: [(&str, &str); 4] = [
    ("heat_pump_wh", "heat_pump_kwh"),
    ("heat_element_wh", "heat_element_kwh"),
    ("heat_pump_hours", "heat_pump_hours"),
    ("heat_element_hours", "heat_element_hours"),
];
/// The sum of the months may be so much more than the total, each of them being rounded.
const ROUNDING: f64 = 1000.0;
/// A counter that begins anew is believed when it was told so often in a row.
const DOUBTS: u8 = 3;

/// A year and a month, counted from 1.
type Month = (u16, u8);

/// The newest answers by day, and the one by month.
#[derive(Debug, Clone, Default)]
pub struct Energy {
    /// Around New Year they come in two answers.
    days: Option<BTreeMap<Month, Vec<Value>>>,
    monthly: Option<Object>,
    counters: [Counter; 4],
}

/// A counter that is never shown going down by mistake: whoever adds up its differences would count a value that was
/// lost for a moment twice.
#[derive(Debug, Clone, Copy, Default)]
struct Counter {
    shown: Option<f64>,
    doubts: u8,
}

impl Counter {
    /// Takes what was told: a little less than before is jitter, much less a new beginning if it is said again.
    fn take(&mut self, told: f64) {
        let shown = self.shown.unwrap_or(told);
        if told < shown {
            self.doubts = if told < shown * 0.9 { self.doubts + 1 } else { 0 };
            if self.doubts < DOUBTS {
                return;
            }
        }
        *self = Self { shown: Some(told), doubts: 0 };
    }
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
        let sum = |member| {
            let months = monthly.get("months").and_then(Value::as_array).into_iter().flatten();
            months.filter_map(|month| month.get(member)?.as_f64()).sum::<f64>()
        };
        for ((member, _), counter) in COUNTERS.iter().zip(&mut self.counters) {
            let told = monthly.get("total").and_then(|total| total.get(member)).and_then(Value::as_f64);
            // A total of less than its parts is no total of a life.
            if let Some(told) = told.filter(|told| *told >= 0.0 && *told + ROUNDING >= sum(member)) {
                counter.take(told);
            }
        }
        self.monthly = Some(monthly);
    }

    /// Returns `{"total", "months", "days"}`, with `null` for what has not been answered yet. The total is that of the
    /// heater's life (protocol reference, section 4); the counters beside it never go down by mistake.
    pub fn joined(&self) -> Object {
        let by_month = |key| self.monthly.as_ref().and_then(|answer| answer.get(key)).cloned().unwrap_or_default();
        let days = self.days.as_ref().map(|days| days.values().flatten().cloned().collect::<Vec<_>>());
        let mut joined = Object::new();
        joined.insert("total".to_owned(), by_month("total"));
        joined.insert("months".to_owned(), with_sums(by_month("months")));
        joined.insert("days".to_owned(), with_sums(days.into()));
        let [heat_pump, element, ..] = self.counters.map(|counter| counter.shown);
        let both = heat_pump.zip(element).map(|(heat_pump, element)| heat_pump + element);
        joined.insert("total_kwh".to_owned(), both.map(|wh| wh / 1000.0).into());
        for ((_, name), counter) in COUNTERS.iter().zip(&self.counters) {
            let unit = if name.ends_with("kwh") { 1000.0 } else { 1.0 };
            joined.insert((*name).to_owned(), counter.shown.map(|shown| shown / unit).into());
        }
        joined
    }
}

/// Adds to each day or month what heat pump and elements used together.
fn with_sums(mut items: Value) -> Value {
    for item in items.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let read = |member| item.get(member).and_then(Value::as_f64);
        let both = read("heat_pump_wh").zip(read("heat_element_wh")).map(|(heat_pump, element)| heat_pump + element);
        item.insert("total_wh".to_owned(), both.into());
    }
    items
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

    /// The heat pump's counter, shown after answers that told these totals, in kWh.
    fn shown(totals: &[Value]) -> Vec<Value> {
        let mut energy = Energy::default();
        let mut show = |total: &Value| {
            let months = json!([{ "month": "2026-10", "heat_pump_wh": 6000, "heat_element_wh": 0 }]);
            let answer = json!({ "total": { "heat_pump_wh": total, "heat_element_wh": 500 }, "months": months });
            energy.set_monthly(answer.as_object().unwrap().clone());
            energy.joined()["heat_pump_kwh"].clone()
        };
        totals.iter().map(&mut show).collect()
    }

    #[test]
    fn a_counter_never_goes_down_by_jitter_nor_by_a_value_that_is_lost_for_a_moment() {
        let told = [json!(10_000), json!(9_950), json!(null), json!(10_100), json!(0), json!(0), json!(10_200)];
        assert_eq!(shown(&told), [10.0, 10.0, 10.0, 10.1, 10.1, 10.1, 10.2]);
        assert_eq!(shown(&[json!(0), json!(null), json!(7000)]), [Value::Null, Value::Null, json!(7.0)]);
    }

    #[test]
    fn a_counter_that_begins_anew_is_believed_when_it_says_so_again() {
        let told = [json!(90_000), json!(7000), json!(7010), json!(7020), json!(7030)];
        assert_eq!(shown(&told), [90.0, 90.0, 90.0, 7.02, 7.03]);
    }

    #[test]
    fn heat_pump_and_elements_are_added_up_where_both_are_known() {
        let mut energy = Energy::default();
        assert_eq!(energy.joined()["total_kwh"], Value::Null);
        let day = |element| json!({ "date": "2026-11-01", "heat_pump_wh": 700, "heat_element_wh": element });
        let wall = humantime::parse_rfc3339("2026-11-15T12:00:00Z").unwrap();
        energy.set_daily(json!({ "days": [day(json!(50)), day(json!(null))] }).as_object().unwrap().clone(), wall);
        let total = json!({ "heat_pump_wh": 1500, "heat_element_wh": 250, "heat_pump_hours": 3 });
        energy.set_monthly(json!({ "total": total, "months": [] }).as_object().unwrap().clone());
        let joined = energy.joined();
        assert_eq!((&joined["days"][0]["total_wh"], &joined["days"][1]["total_wh"]), (&json!(750.0), &Value::Null));
        assert_eq!((&joined["total_kwh"], &joined["heat_element_kwh"]), (&json!(1.75), &json!(0.25)));
        assert_eq!((&joined["heat_pump_hours"], &joined["heat_element_hours"]), (&json!(3.0), &Value::Null));
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
