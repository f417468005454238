//! The schedules that a heater holds: reservations, recirculation and time of use (protocol reference, sections 4 and 5).

use serde_json::{Value, json};

use super::encoding::Encoding::{Flag, HalfCelsius, Named, Season, Text, Week};
use super::encoding::{
    DecodeContext, Decoded, MOST_ENTRIES, Names, Object, Problem, Row, decode_entry, decode_rows, items, number, row,
    whole, within,
};
use crate::units::UnitSystem;

/// `mode` of a reservation, which is not that of the status: here 5 turns the heater off.
pub const RESERVATION_MODE: Names =
    &[(0, "unused"), (1, "heat_pump"), (2, "electric"), (3, "energy_saver"), (4, "high_demand"), (5, "power_off")];

/// `decimalPoint` of a period that does not say it (protocol reference, section 1).
const USUAL_DECIMAL_POINT: i64 = 5;

/// The bytes of an entry in the hexadecimal form.
const HEX_MEMBERS: [&str; 6] = ["enable", "week", "hour", "min", "mode", "param"];

const RESERVATION: &[Row] = &[
    row("enable", "enabled", Flag),
    row("week", "days", Week),
    row("mode", "mode", Named(RESERVATION_MODE)),
    row("param", "temperature", HalfCelsius),
];

const RECIRCULATION: &[Row] = &[row("enable", "enabled", Flag), row("week", "days", Week), row("mode", "pump", Flag)];

const USE: &[Row] = &[row("reservationUse", "enabled", Flag)];

/// What the answer to a written time-of-use schedule has not.
const TOU_NAMES: &[Row] = &[row("name", "name", Text), row("utility", "utility", Text)];

const PERIOD: &[Row] = &[row("season", "months", Season), row("week", "days", Week)];

/// Decodes the reservations, as an array or in hexadecimal, to `{"enabled": true, "entries": [{"enabled": true,
/// "days": ["monday"], "time": "06:30", "mode": "heat_pump", "temperature": 50.0}], "units": "metric"}`.
///
/// Empty entries (all zero) are left out.
pub fn decode_reservations(response: &Object, units: UnitSystem) -> Decoded {
    let mut decoded = decode_weekly(response, RESERVATION, units);
    decoded.object.insert("units", units.as_str().into());
    decoded
}

/// Decodes the recirculation schedule to `{"enabled": true, "entries": [{"enabled": true, "days": ["monday"], "time":
/// "06:30", "pump": true}]}`; an entry turns the pump on or off.
pub fn decode_recirculation(response: &Object) -> Decoded {
    decode_weekly(response, RECIRCULATION, UnitSystem::Metric)
}

/// Decodes the time-of-use schedule to `{"enabled": true, "name": null, "utility": null, "periods": [{"months": [6, 7],
/// "days": ["monday"], "start": "16:00", "end": "20:59", "price_min": 0.31, "price_max": 0.31, "decimal_point": 5}]}`.
///
/// It takes the `data` of `GET /device/tou`, which does not say whether the schedule is enabled, as well as the answer
/// to a written schedule, which has no names.
pub fn decode_tou(data: &Object) -> Decoded {
    let mut problems = Vec::new();
    let info = data.get("touInfo").and_then(Value::as_object).unwrap_or(data);
    let mut periods = Vec::new();
    for season in items(info, "schedule", "", &mut problems) {
        let months = season.object.get("season").cloned().unwrap_or_default();
        for interval in items(season.object, "interval", &format!("{}.", season.path), &mut problems) {
            let mut raw = interval.object.clone();
            raw.insert("season".to_owned(), months.clone());
            periods.push(period(&raw, &interval.path, &mut problems));
        }
        if periods.len() > MOST_ENTRIES {
            break;
        }
    }
    for written in items(data, "reservation", "", &mut problems) {
        periods.push(period(written.object, &written.path, &mut problems));
    }
    if periods.len() > MOST_ENTRIES {
        problems.push(Problem::surplus("schedule"));
        periods.truncate(MOST_ENTRIES);
    }
    let decode_use = if data.contains_key("reservation") { decode_entry } else { decode_rows };
    let (mut object, found) = decode_use(USE, data, context(UnitSystem::Metric), "");
    let (names, malformed) = decode_rows(TOU_NAMES, info, context(UnitSystem::Metric), "");
    problems.extend(found.into_iter().chain(malformed));
    object.extend(names);
    object.insert("periods", periods.into());
    Decoded { object, problems, unknown: Vec::new() }
}

fn period(raw: &Object, path: &str, problems: &mut Vec<Problem>) -> Value {
    let (mut object, found) = decode_entry(PERIOD, raw, context(UnitSystem::Metric), &format!("{path}."));
    problems.extend(found);
    let places = match raw.get("decimalPoint") {
        None | Some(Value::Null) => Some(USUAL_DECIMAL_POINT),
        Some(_) => member(raw, "decimalPoint", path, problems, |value| within(value, 0, 10)),
    };
    for (name, hour, minute) in [("start", "startHour", "startMinute"), ("end", "endHour", "endMinute")] {
        object.insert(name, time(raw, [hour, minute], path, problems));
    }
    for (name, key) in [("price_min", "priceMin"), ("price_max", "priceMax")] {
        let price = member(raw, key, path, problems, number);
        let price = price.zip(places).map(|(price, places)| price / 10_i64.pow(places as u32) as f64);
        object.insert(name, json!(price));
    }
    object.insert("decimal_point", json!(places));
    object.into()
}

fn decode_weekly(response: &Object, rows: &[Row], units: UnitSystem) -> Decoded {
    let mut problems = Vec::new();
    let raw = raw(response, &mut problems);
    let mut entries = Vec::new();
    for (path, raw) in raw.iter().filter(|(_, raw)| !is_empty(raw)) {
        let (members, found) = decode_entry(rows, raw, context(units), &format!("{path}."));
        problems.extend(found);
        let mut object = Object::from(members);
        let time = time(raw, ["hour", "min"], path, &mut problems);
        object.shift_insert(2, "time".to_owned(), time);
        entries.push(Value::Object(object));
    }
    let (mut object, found) = decode_entry(USE, response, context(units), "");
    problems.extend(found);
    object.insert("entries", entries.into());
    Decoded { object, problems, unknown: Vec::new() }
}

/// Returns the entries of an answer as the heater sent them, in an array or in hexadecimal, without the empty ones.
pub fn raw_entries(answer: &Object) -> Vec<Object> {
    let mut problems = Vec::new();
    let raw = raw(answer, &mut problems);
    raw.into_iter().map(|(_, entry)| entry).filter(|entry| !is_empty(entry)).collect()
}

/// Returns the entries of an answer about reservations, as [`raw_entries`] does, if all of them can be written back as
/// they are.
///
/// # Errors
///
/// Names the first entry that cannot be read whole.
pub fn complete_entries(answer: &Object) -> Result<Vec<Object>, String> {
    let mut problems = Vec::new();
    if !answer.contains_key("reservation") {
        return Err("the heater's answer has no `reservation`; nothing is written".to_owned());
    }
    let raw = raw(answer, &mut problems);
    for (path, entry) in &raw {
        for member in HEX_MEMBERS {
            let detail = match entry.get(member) {
                None | Some(Value::Null) => "is missing".to_owned(),
                Some(value) => match whole(value) {
                    Ok(_) => continue,
                    Err(detail) => detail,
                },
            };
            problems.push(Problem::new(format!("{path}.{member}"), detail));
        }
    }
    if let Some(problem) = problems.first() {
        return Err(format!(
            "the heater holds a reservation that cannot be written back ({problem}); nothing is written"
        ));
    }
    Ok(raw.into_iter().map(|(_, entry)| entry).filter(|entry| !is_empty(entry)).collect())
}

fn raw(response: &Object, problems: &mut Vec<Problem>) -> Vec<(String, Object)> {
    match response.get("reservation") {
        Some(Value::String(hex)) => from_hex(hex, problems),
        _ => items(response, "reservation", "", problems)
            .into_iter()
            .map(|item| (item.path, item.object.clone()))
            .collect(),
    }
}

/// Reads entries of six bytes; a tail that is no whole entry is ignored, and an entry with other characters costs itself.
fn from_hex(hex: &str, problems: &mut Vec<Problem>) -> Vec<(String, Object)> {
    let mut entries = Vec::new();
    for (at, chunk) in hex.as_bytes().chunks_exact(2 * HEX_MEMBERS.len()).enumerate() {
        let path = format!("reservation[{at}]");
        if at == MOST_ENTRIES {
            problems.push(Problem::surplus(path));
            break;
        }
        let bytes: Option<Vec<i64>> = chunk.chunks_exact(2).map(hex_byte).collect();
        let Some(bytes) = bytes else {
            let text = String::from_utf8_lossy(chunk);
            problems.push(Problem::new(path, format!("expected twelve hexadecimal digits, found {text:?}")));
            continue;
        };
        let members = HEX_MEMBERS.iter().zip(bytes).map(|(name, byte)| ((*name).to_owned(), byte.into()));
        entries.push((path, members.collect()));
    }
    entries
}

fn hex_byte(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |byte, digit| Some(byte * 16 + i64::from(char::from(*digit).to_digit(16)?)))
}

fn is_empty(entry: &Object) -> bool {
    HEX_MEMBERS.iter().all(|name| entry.get(*name).is_some_and(|value| number(value) == Ok(0.0)))
}

fn time(raw: &Object, [hour, minute]: [&str; 2], path: &str, problems: &mut Vec<Problem>) -> Value {
    let hour = member(raw, hour, path, problems, |value| within(value, 0, 23));
    let minute = member(raw, minute, path, problems, |value| within(value, 0, 59));
    json!(hour.zip(minute).map(|(hour, minute)| format!("{hour:02}:{minute:02}")))
}

fn member<T>(
    raw: &Object,
    key: &str,
    path: &str,
    problems: &mut Vec<Problem>,
    read: impl Fn(&Value) -> Result<T, String>,
) -> Option<T> {
    let value = raw.get(key).filter(|value| !value.is_null());
    let value = value.map_or_else(|| Err("missing".to_owned()), read);
    value.map_err(|detail| problems.push(Problem::new(format!("{path}.{key}"), detail))).ok()
}

fn context(units: UnitSystem) -> DecodeContext {
    DecodeContext { units, formula: 0 }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
