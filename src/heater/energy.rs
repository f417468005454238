//! The energy of one heater: which months to ask for, and the answers joined into one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::meter::{self, Meters, Rule};
use crate::navilink::encoding::plain;
use crate::navilink::members::Members;
use crate::navilink::request::Query;

/// The heater's calendar is in its own time zone, which is at most so far from UTC.
const ZONES: Duration = Duration::from_secs(14 * 3600);

/// The counters of the heater's life: by their names in the total and in what is shown of them.
const COUNTERS: [(&str, &str, &Rule); 4] = [
    ("heat_pump_wh", "heat_pump_kwh", &meter::ENERGY),
    ("heat_element_wh", "heat_element_kwh", &meter::ENERGY),
    ("heat_pump_hours", "heat_pump_hours", &meter::HOURS),
    ("heat_element_hours", "heat_element_hours", &meter::HOURS),
];
/// The counters of a day or a month.
const PERIODIC: [&str; 2] = ["heat_pump_wh", "heat_element_wh"];
/// What the name of a day's or a month's meter begins with.
const PERIOD: &str = "energy of ";
/// The sum of the months may be so much more than the total, each of them being rounded.
const ROUNDING: f64 = 1000.0;

/// A year and a month, counted from 1.
type Month = (u16, u8);

/// The newest answers by day, and the one by month.
#[derive(Debug, Clone, Default)]
pub struct Energy {
    /// Around New Year they come in two answers.
    days: Option<BTreeMap<Month, Vec<Value>>>,
    monthly: Option<Members>,
}

impl Energy {
    /// Takes the decoded answer by day; of earlier ones the months stay that are still asked for.
    pub fn set_daily(&mut self, mut daily: Members, meters: &mut Meters, wall: SystemTime) {
        let asked = months(wall);
        let days = self.days.get_or_insert_default();
        let mut answered: BTreeMap<Month, Vec<Value>> = BTreeMap::new();
        if let Some(Value::Array(list)) = daily.get_mut("days").map(Value::take) {
            for mut day in list {
                let month = year_and_month(day.get("date").and_then(Value::as_str).unwrap_or_default());
                meter_period(&mut day, "date", meters, wall);
                answered.entry(month).or_default().push(day);
            }
        }
        days.retain(|month, _| asked.contains(month));
        days.extend(answered);
        let wanted = |name: &str| asked.iter().any(|(year, month)| name.starts_with(&format!("{year}-{month:02}")));
        meters.retain(|name| name.strip_prefix(PERIOD).is_none_or(wanted));
    }

    /// Takes the decoded answer by month.
    pub fn set_monthly(&mut self, mut monthly: Members, meters: &mut Meters, wall: SystemTime) {
        let sum = |member| {
            let months = monthly.get("months").and_then(Value::as_array).into_iter().flatten();
            months.filter_map(|month| month.get(member)?.as_f64()).sum::<f64>()
        };
        for (member, name, rule) in COUNTERS {
            let told = monthly.get("total").and_then(|total| total.get(member)).and_then(Value::as_f64);
            // A total of less than its parts is no total of a life.
            if let Some(told) = told.filter(|told| *told + ROUNDING >= sum(member)) {
                meters.take(name, told, rule, wall);
            }
        }
        let current = months(wall);
        for month in monthly.get_mut("months").and_then(Value::as_array_mut).into_iter().flatten() {
            let label = month.get("month").and_then(Value::as_str).unwrap_or_default();
            if current.contains(&year_and_month(label)) {
                meter_period(month, "month", meters, wall);
            }
        }
        self.monthly = Some(monthly);
    }

    /// Returns `{"total", "months", "days"}`, with `null` for what has not been answered yet. The total is that of the
    /// heater's life (protocol reference, section 4) as it was told; the counters beside it are those of `meters`.
    pub fn joined(&self, meters: &Meters) -> Members {
        let by_month = |key| self.monthly.as_ref().and_then(|answer| answer.get(key)).cloned().unwrap_or_default();
        let days = self.days.as_ref().map(|days| days.values().flatten().cloned().collect::<Vec<_>>());
        let mut joined = Members::default();
        joined.insert("total", by_month("total"));
        joined.insert("months", with_sums(by_month("months")));
        joined.insert("days", with_sums(days.into()));
        let [heat_pump, element, ..] = COUNTERS.map(|(_, name, _)| meters.value(name));
        let both = heat_pump.zip(element).map(|(heat_pump, element)| heat_pump + element);
        joined.insert("total_kwh", both.map(|wh| wh / 1000.0).into());
        for (_, name, _) in COUNTERS {
            let unit = if name.ends_with("kwh") { 1000.0 } else { 1.0 };
            joined.insert(name, meters.value(name).map(|value| value / unit).into());
        }
        joined
    }
}

/// Puts the counters of a day or a month in the place of what was told.
fn meter_period(item: &mut Value, label: &str, meters: &mut Meters, wall: SystemTime) {
    let name = item.get(label).and_then(Value::as_str).unwrap_or_default().to_owned();
    for member in PERIODIC {
        if let Some(told) = item.get(member).and_then(Value::as_f64) {
            let value = meters.take(&format!("{PERIOD}{name} {member}"), told, &meter::ENERGY, wall);
            item[member] = value.map(plain).into();
        }
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
            json!({ "total": null, "days": days }).as_object().unwrap().clone().into()
        };
        let shown = |energy: &Energy| -> Vec<String> {
            let days = energy.joined(&Meters::default())["days"].as_array().unwrap().clone();
            days.iter().map(|day| day["date"].as_str().unwrap().to_owned()).collect()
        };
        let (mut energy, mut meters) = (Energy::default(), Meters::default());
        assert_eq!(energy.joined(&Meters::default())["days"], Value::Null);
        let new_year = humantime::parse_rfc3339("2026-01-01T03:00:00Z").unwrap();
        for _ in 0..2 {
            energy.set_daily(answer(&["2026-01-01", "2026-01-02"]), &mut meters, new_year);
            energy.set_daily(answer(&["2025-12-30", "2025-12-31"]), &mut meters, new_year);
            assert_eq!(shown(&energy), ["2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02"]);
        }
        energy.set_daily(answer(&["2026-01-01"]), &mut meters, new_year + 2 * ZONES);
        assert_eq!(shown(&energy), ["2026-01-01"]);
    }

    /// The heat pump's counter, shown after hourly answers that told these totals, in kWh.
    fn shown(totals: &[Value]) -> Vec<Value> {
        let (mut energy, mut meters) = (Energy::default(), Meters::default());
        let mut wall = humantime::parse_rfc3339("2026-11-15T12:00:00Z").unwrap();
        let mut show = |total: &Value| {
            let months = json!([{ "month": "2026-10", "heat_pump_wh": 6000, "heat_element_wh": 0 }]);
            let answer = json!({ "total": { "heat_pump_wh": total, "heat_element_wh": 500 }, "months": months });
            wall += Duration::from_secs(3600);
            energy.set_monthly(answer.as_object().unwrap().clone().into(), &mut meters, wall);
            energy.joined(&meters)["heat_pump_kwh"].clone()
        };
        totals.iter().map(&mut show).collect()
    }

    #[test]
    fn a_total_never_goes_down_by_jitter_nor_by_a_value_that_is_lost_for_a_moment() {
        let told = [json!(10_000), json!(9_950), json!(null), json!(10_100), json!(0), json!(0), json!(10_200)];
        assert_eq!(shown(&told), [10.0, 10.0, 10.0, 10.1, 10.1, 10.1, 10.2]);
        assert_eq!(shown(&[json!(0), json!(null), json!(7000)]), [Value::Null, Value::Null, json!(7.0)]);
    }

    #[test]
    fn the_counters_of_today_and_of_this_month_never_go_down_either() {
        let (mut energy, mut meters) = (Energy::default(), Meters::default());
        let wall = humantime::parse_rfc3339("2026-11-15T12:00:00Z").unwrap();
        for (told, today) in [(5000, 5000), (0, 5000), (5100, 5100), (900_000_000, 5100), (5200, 5200)] {
            let item = |label: &str, name: &str| json!({ label: name, "heat_pump_wh": told, "heat_element_wh": 1 });
            let days = json!({ "days": [item("date", "2026-11-15")] });
            energy.set_daily(days.as_object().unwrap().clone().into(), &mut meters, wall);
            let months = json!({ "total": null, "months": [item("month", "2026-11")] });
            energy.set_monthly(months.as_object().unwrap().clone().into(), &mut meters, wall);
            let joined = energy.joined(&meters);
            assert_eq!(
                (&joined["days"][0]["heat_pump_wh"], &joined["days"][0]["total_wh"]),
                (&json!(today), &json!(f64::from(today + 1)))
            );
            assert_eq!(joined["months"][0]["heat_pump_wh"], json!(today));
        }
        energy.set_daily(Members::default(), &mut meters, wall + 40 * ZONES);
        let kept = serde_json::to_string(&meters).unwrap();
        assert!(!kept.contains("2026-11-15"), "a month that is over is not kept: {kept}");
    }

    #[test]
    fn heat_pump_and_elements_are_added_up_where_both_are_known() {
        let (mut energy, mut meters) = (Energy::default(), Meters::default());
        assert_eq!(energy.joined(&meters)["total_kwh"], Value::Null);
        let day = |element| json!({ "date": "2026-11-01", "heat_pump_wh": 700, "heat_element_wh": element });
        let wall = humantime::parse_rfc3339("2026-11-15T12:00:00Z").unwrap();
        energy.set_daily(
            json!({ "days": [day(json!(50)), day(json!(null))] }).as_object().unwrap().clone().into(),
            &mut meters,
            wall,
        );
        let total = json!({ "heat_pump_wh": 1500, "heat_element_wh": 250, "heat_pump_hours": 3 });
        energy.set_monthly(
            json!({ "total": total, "months": [] }).as_object().unwrap().clone().into(),
            &mut meters,
            wall,
        );
        let joined = energy.joined(&meters);
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
