//! The energy that a heater used, by hour, by day and by month (protocol reference, section 4).

use serde_json::{Value, json};

use super::encoding::{Decoded, Item, MOST_ENTRIES, Object, Problem, found, items, number, plain, within};
use super::members::Members;

/// The members of an energy item; energies in Wh, times in hours.
const ITEM: [(&str, &str); 4] = [
    ("hpUsage", "heat_pump_wh"),
    ("heUsage", "heat_element_wh"),
    ("hpTime", "heat_pump_hours"),
    ("heTime", "heat_element_hours"),
];

/// Decodes the energy by day to `{"total": {…}, "days": [{"date": "2026-11-01", "heat_pump_wh": 1, "heat_element_wh":
/// 2, "heat_pump_hours": 3, "heat_element_hours": 4}, …]}`, with energies in Wh and times in hours.
///
/// A member that an item lacks is 0, a malformed one `null`; `total` is `null` when the answer has none. Items beyond
/// the month's last day are passed over.
pub fn decode_daily(response: &Object) -> Decoded {
    decode(response, "days", |block| {
        let (year, month) = (member(block, "year", (1970, 9999))?, member(block, "month", (1, 12))?);
        Ok(Period {
            names: (1..=days_in(year, month)).map(|d| format!("{year}-{month:02}-{d:02}")).collect(),
            most: 31,
        })
    })
}

/// Decodes the energy by month to `{"total": {…}, "months": [{"month": "2026-11", …}, …]}`, with the members of
/// [`decode_daily`]; `total` is that of the heater's life.
pub fn decode_monthly(response: &Object) -> Decoded {
    decode(response, "months", |block| {
        let year = member(block, "year", (1970, 9999))?;
        Ok(Period { names: (1..=12).map(|month| format!("{year}-{month:02}")).collect(), most: 12 })
    })
}

/// Decodes the energy by hour to `{"total": {…}, "hours": [{"hour": "2026-11-01T00", …}, …]}`, with the members of
/// [`decode_daily`]. No heater has been seen to answer so: the form is that of the other two answers, with `day` in each
/// block of `usage`.
pub fn decode_hourly(response: &Object) -> Decoded {
    decode(response, "hours", |block| {
        let (year, month) = (member(block, "year", (1970, 9999))?, member(block, "month", (1, 12))?);
        let day = member(block, "day", (1, days_in(year, month).into()))?;
        let names = (0..24).map(|hour| format!("{year}-{month:02}-{day:02}T{hour:02}")).collect();
        Ok(Period { names, most: 24 })
    })
}

/// What the items of one block of `usage` stand for.
struct Period {
    names: Vec<String>,
    most: usize,
}

fn decode(response: &Object, list: &'static str, period: fn(&Item<'_>) -> Result<Period, Problem>) -> Decoded {
    let mut problems = Vec::new();
    let total = match response.get("total") {
        None | Some(Value::Null) => Value::Null,
        Some(Value::Object(total)) => Value::Object(item(total, "total", &mut problems)),
        Some(other) => {
            problems.push(Problem::new("total", format!("expected an object, found {}", found(other))));
            Value::Null
        }
    };
    let label = match list {
        "days" => "date",
        "months" => "month",
        _ => "hour",
    };
    let mut entries = Vec::new();
    for block in items(response, "usage", "", &mut problems) {
        if entries.len() >= MOST_ENTRIES {
            problems.push(Problem::surplus(block.path));
            break;
        }
        let Period { names, most } = match period(&block) {
            Ok(period) => period,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let data = items(block.object, "data", &format!("{}.", block.path), &mut problems);
        if data.last().is_some_and(|last| last.at >= most) {
            problems.push(Problem::new(format!("{}.data", block.path), format!("more than {most} items")));
        }
        for day in data {
            let Some(name) = names.get(day.at) else { break };
            let mut entry = Object::new();
            entry.insert(label.to_owned(), name.as_str().into());
            entry.extend(item(day.object, &day.path, &mut problems));
            entries.push(Value::Object(entry));
        }
    }
    let object = Members::from_iter([("total", total), (list, entries.into())]);
    Decoded { object, problems, unknown: Vec::new() }
}

fn item(raw: &Object, path: &str, problems: &mut Vec<Problem>) -> Object {
    let mut item = Object::new();
    for (key, name) in ITEM {
        let decoded = match raw.get(key) {
            None | Some(Value::Null) => json!(0),
            Some(value) => number(value).map_or_else(
                |detail| {
                    problems.push(Problem::new(format!("{path}.{key}"), detail));
                    Value::Null
                },
                plain,
            ),
        };
        item.insert(name.to_owned(), decoded);
    }
    item
}

fn member(block: &Item<'_>, key: &str, (low, high): (i64, i64)) -> Result<i64, Problem> {
    within(block.object.get(key).unwrap_or(&Value::Null), low, high)
        .map_err(|detail| Problem::new(format!("{}.{key}", block.path), detail))
}

fn days_in(year: i64, month: i64) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encoding::tests::any_json;
    use super::*;

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    fn item_json(label: &str, name: &str, numbers: [i64; 4]) -> Value {
        json!({label: name, "heat_pump_wh": numbers[0], "heat_element_wh": numbers[1],
            "heat_pump_hours": numbers[2], "heat_element_hours": numbers[3]})
    }

    #[test]
    fn days_have_dates_and_what_is_missing_is_zero() {
        let decoded = decode_daily(&object(json!({
            "typeOfUsage": 1,
            "total": {"hpUsage": 1500, "heUsage": "20", "hpTime": 3, "heTime": 1},
            "usage": [
                {"year": 2026, "month": 11, "data": [{"hpUsage": 700, "hpTime": 2}, {}]},
                {"year": 2026, "month": 12, "data": [{"heUsage": 20, "heTime": 1}]},
            ],
        })));
        assert_eq!(decoded.problems, []);
        let expected = json!({
            "total": {"heat_pump_wh": 1500, "heat_element_wh": 20, "heat_pump_hours": 3, "heat_element_hours": 1},
            "days": [
                item_json("date", "2026-11-01", [700, 0, 2, 0]),
                item_json("date", "2026-11-02", [0, 0, 0, 0]),
                item_json("date", "2026-12-01", [0, 20, 0, 1]),
            ],
        });
        assert_eq!(Value::from(decoded.object), expected);
    }

    #[test]
    fn months_come_with_the_total_of_the_heaters_life() {
        let decoded = decode_monthly(&object(json!({"usage": [{"year": 2026, "data": [{"hpUsage": 9}]}]})));
        let expected = json!({"total": null, "months": [item_json("month", "2026-01", [9, 0, 0, 0])]});
        assert_eq!((Value::from(decoded.object), decoded.problems.len()), (expected, 0));
    }

    #[test]
    fn hours_have_a_day_that_the_month_has() {
        let block = |day: i64, data: Value| json!({"year": 2026, "month": 11, "day": day, "data": data});
        let usage = json!([
            block(1, json!([{"hpUsage": 9}, {}])),
            block(31, json!([{}])),
            block(2, json!(vec![json!({}); 25]))
        ]);
        let decoded = decode_hourly(&object(json!({ "usage": usage })));
        assert_eq!(decoded.object["hours"][0], item_json("hour", "2026-11-01T00", [9, 0, 0, 0]));
        assert_eq!(decoded.object["hours"][25]["hour"], "2026-11-02T23");
        let keys: Vec<_> = decoded.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, ["usage[1].day", "usage[2].data"]);
    }

    #[test]
    fn a_month_has_no_more_days_than_the_calendar_gives_it() {
        for (year, month, days, problems) in [(2026, 2, 28, 0), (2028, 2, 29, 0), (2100, 2, 28, 0), (2026, 11, 30, 0)] {
            let data = vec![json!({}); 31];
            let decoded = decode_daily(&object(json!({"usage": [{"year": year, "month": month, "data": data}]})));
            assert_eq!(decoded.object["days"].as_array().unwrap().len(), days);
            assert_eq!(decoded.problems.len(), problems);
        }
    }

    #[test]
    fn a_surplus_is_passed_over_and_named() {
        let daily = json!({"usage": [{"year": 2026, "month": 12, "data": vec![json!({}); 32]}]});
        let decoded = decode_daily(&object(daily));
        assert_eq!(decoded.object["days"].as_array().unwrap().len(), 31);
        assert_eq!(decoded.problems[0].to_string(), "`usage[0].data`: more than 31 items");
        let many = json!({"usage": vec![json!({"year": 2026, "data": vec![json!({}); 13]}); 5000]});
        let decoded = decode_monthly(&object(many));
        assert!(decoded.object["months"].as_array().unwrap().len() < MOST_ENTRIES + 12);
        assert!(decoded.problems.iter().any(|problem| problem.detail.contains("more than 1000")));
    }

    #[test]
    fn a_bad_member_costs_itself_and_a_bad_block_only_the_block() {
        let decoded = decode_daily(&object(json!({
            "total": 7,
            "usage": [
                {"year": "x", "month": 11, "data": [{}]},
                {"year": 2026, "month": 13, "data": [{}]},
                8,
                {"year": 2026, "month": 11, "data": [9, {"hpUsage": [], "heUsage": 5}]},
            ],
        })));
        let kept = json!({"date": "2026-11-02", "heat_pump_wh": null, "heat_element_wh": 5,
            "heat_pump_hours": 0, "heat_element_hours": 0});
        assert_eq!(Value::from(decoded.object), json!({"total": null, "days": [kept]}));
        let keys: Vec<_> = decoded.problems.iter().map(|problem| problem.key.as_str()).collect();
        let expected =
            ["total", "usage[2]", "usage[0].year", "usage[1].month", "usage[3].data[0]", "usage[3].data[1].hpUsage"];
        assert_eq!(keys, expected);
    }

    proptest! {
        #[test]
        fn any_answer_gives_both_keys(total in any_json(), block in any_json(), data in any_json()) {
            let blocks = json!([block, {"year": 2026, "month": 2, "data": data}, {"year": 2026, "month": 2, "data": [data]}]);
            let response = object(json!({"total": total, "usage": blocks}));
            prop_assert!(decode_daily(&response).object.keys().eq(["total", "days"]));
            prop_assert!(decode_monthly(&response).object.keys().eq(["total", "months"]));
        }
    }
}
