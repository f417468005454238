//! Schedules as they are written: from the decoded form to what the heater takes (protocol reference, sections 4 and 5).

use serde_json::{Value, json};

use super::control::Schedule;
use super::encoding::{Object, number, within};
use crate::units::UnitSystem;

/// A schedule has no more entries; the recirculation's own limit (protocol reference, section 4).
const MOST_RECIRCULATIONS: usize = 20;
/// More entries are no schedule of a water heater.
const MOST_ENTRIES: usize = 100;
/// The modes of a reservation and `dhwOperationSetting`, as far as they can be set.
pub const OPERATION_MODES: [(&str, i64); 4] =
    [("heat_pump", 1), ("electric", 2), ("energy_saver", 3), ("high_demand", 4)];
/// `ReservationMode` 5, which is not that of the status.
const POWER_OFF: i64 = 5;
const DAYS: [(&str, i64); 7] = [
    ("monday", 64),
    ("tuesday", 32),
    ("wednesday", 16),
    ("thursday", 8),
    ("friday", 4),
    ("saturday", 2),
    ("sunday", 128),
];

/// The target temperatures that a heater takes, and the units in which they are given and named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The units of the number.
    pub units: UnitSystem,
    /// `dhwTemperatureMin` and `dhwTemperatureMax` in half degrees Celsius, when they are known.
    pub half_celsius: Option<(i64, i64)>,
}

impl Limits {
    /// Turns a temperature into half degrees Celsius, rounded to the nearest, ties to even.
    ///
    /// # Errors
    ///
    /// Names the limits.
    pub fn half_celsius(&self, temperature: f64) -> Result<i64, String> {
        let celsius = match self.units {
            UnitSystem::Metric => temperature,
            UnitSystem::Us => (temperature - 32.0) * 5.0 / 9.0,
        };
        let unit = match self.units {
            UnitSystem::Metric => "°C",
            UnitSystem::Us => "°F",
        };
        let half = (celsius * 2.0).round_ties_even();
        if !(-200.0..=400.0).contains(&half) {
            return Err(format!("{temperature} {unit} is no temperature of water"));
        }
        let half = half as i64;
        match self.half_celsius {
            Some((low, high)) if !(low..=high).contains(&half) => {
                let show = |raw: i64| self.units.half_celsius(raw as f64);
                let (low, high) = (show(low), show(high));
                Err(format!("the temperature must be from {low} to {high} {unit}, not {temperature} {unit}"))
            }
            _ => Ok(half),
        }
    }
}

/// Reads `{"enabled": bool, "entries": […]}` with the entries of [`reservation`].
///
/// # Errors
///
/// Says which entry is wrong, and how.
pub fn reservations(value: &Object, limits: Limits) -> Result<Schedule, String> {
    schedule(value, "entries", MOST_ENTRIES, |entry| reservation(entry, limits))
}

/// Reads `{"enabled": bool, "entries": [{"enabled", "days", "time", "pump"}]}`.
///
/// # Errors
///
/// Says which entry is wrong, and how.
pub fn recirculation(value: &Object) -> Result<Schedule, String> {
    schedule(value, "entries", MOST_RECIRCULATIONS, |entry| {
        let pump = flag(entry, "pump")?.ok_or("`pump` is missing: true or false")?;
        let mut raw = weekly(entry)?;
        raw.insert("mode".to_owned(), on(pump).into());
        raw.insert("param".to_owned(), (-1).into());
        known(entry, &["enabled", "days", "time", "pump"])?;
        Ok(raw)
    })
}

/// Reads `{"enabled": bool, "periods": [{"months", "days", "start", "end", "price_min", "price_max",
/// "decimal_point"}]}`.
///
/// # Errors
///
/// Says which period is wrong, and how.
pub fn tou(value: &Object) -> Result<Schedule, String> {
    let schedule = schedule(value, "periods", MOST_ENTRIES, period)?;
    if schedule.entries.is_empty() {
        return Err("`periods` must not be empty: the heater takes no schedule without one".to_owned());
    }
    Ok(schedule)
}

/// Reads an entry `{"enabled", "days": ["monday"…], "time": "HH:MM", "mode", "temperature"}`.
///
/// # Errors
///
/// Says what is wrong.
pub fn reservation(entry: &Object, limits: Limits) -> Result<Object, String> {
    known(entry, &["enabled", "days", "time", "mode", "temperature"])?;
    let mut raw = weekly(entry)?;
    let mode = text(entry, "mode")?;
    let mode = match mode {
        "off" | "power_off" => POWER_OFF,
        _ => code_of(&OPERATION_MODES, mode)
            .ok_or_else(|| format!("`mode` must be {} or off, not {mode}", names(&OPERATION_MODES)))?,
    };
    let param = match entry.get("temperature").filter(|value| !value.is_null()) {
        Some(value) => limits.half_celsius(number(value).map_err(|_| "`temperature` must be a number")?)?,
        // A heater that is off has no target; the lowest one is at least a valid number.
        None if mode == POWER_OFF => limits.half_celsius.map_or(0, |(low, _)| low),
        None => return Err("`temperature` is missing".to_owned()),
    };
    raw.insert("mode".to_owned(), mode.into());
    raw.insert("param".to_owned(), param.into());
    Ok(raw)
}

fn schedule(
    value: &Object,
    list: &str,
    most: usize,
    read: impl Fn(&Object) -> Result<Object, String>,
) -> Result<Schedule, String> {
    let enabled = flag(value, "enabled")?.ok_or("`enabled` is missing: true or false")?;
    let entries = value.get(list).and_then(Value::as_array).ok_or_else(|| format!("`{list}` must be a list"))?;
    if entries.len() > most {
        return Err(format!("`{list}` has {} entries; the heater takes at most {most}", entries.len()));
    }
    let read = |(number, entry): (usize, &Value)| {
        let object = entry.as_object().ok_or_else(|| "must be an object".to_owned());
        object.and_then(&read).map_err(|error| format!("{list}[{}]: {error}", number + 1))
    };
    Ok(Schedule { enabled, entries: entries.iter().enumerate().map(read).collect::<Result<_, _>>()? })
}

/// `enable`, `week`, `hour` and `min`.
fn weekly(entry: &Object) -> Result<Object, String> {
    let enabled = flag(entry, "enabled")?.unwrap_or(true);
    let (hour, minute) = time(entry, "time")?;
    Ok(object(json!({ "enable": on(enabled), "week": week(entry)?, "hour": hour, "min": minute })))
}

fn period(entry: &Object) -> Result<Object, String> {
    known(entry, &["months", "days", "start", "end", "price_min", "price_max", "decimal_point"])?;
    let (start, end) = (time(entry, "start")?, time(entry, "end")?);
    let places = match entry.get("decimal_point").filter(|value| !value.is_null()) {
        None => 5,
        Some(value) => within(value, 0, 9).map_err(|_| "`decimal_point` must be from 0 to 9")?,
    };
    Ok(object(json!({
        "season": season(entry)?, "week": week(entry)?,
        "startHour": start.0, "startMinute": start.1, "endHour": end.0, "endMinute": end.1,
        "priceMin": price(entry, "price_min", places)?, "priceMax": price(entry, "price_max", places)?,
        "decimalPoint": places,
    })))
}

fn week(entry: &Object) -> Result<i64, String> {
    let expected = || format!("`days` must be a list of {}", names(&DAYS));
    let days = entry.get("days").and_then(Value::as_array).filter(|days| !days.is_empty()).ok_or_else(expected)?;
    days.iter().try_fold(0, |mask, day| {
        let bit = day.as_str().and_then(|day| code_of(&DAYS, &day.to_ascii_lowercase()));
        bit.map(|bit| mask | bit).ok_or_else(|| format!("{}, not {day}", expected()))
    })
}

fn season(entry: &Object) -> Result<i64, String> {
    let expected = "`months` must be a list of numbers from 1 to 12";
    let months = entry.get("months").and_then(Value::as_array).filter(|months| !months.is_empty()).ok_or(expected)?;
    months.iter().try_fold(0, |mask, month| match within(month, 1, 12) {
        Ok(month) => Ok(mask | 1 << (month - 1)),
        Err(_) => Err(format!("{expected}, not {month}")),
    })
}

/// Rounds half up on the decimal value, as it is written.
fn price(entry: &Object, key: &str, places: i64) -> Result<i64, String> {
    let expected = || format!("`{key}` must be a number that is not negative");
    let value = entry.get(key).ok_or_else(expected)?;
    let exact = number(value).map_err(|_| expected())?;
    let written = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
    // The shortest decimal form is what the user wrote; binary fractions would make 0.125 and 0.135 round differently.
    let (whole, fraction) = match written.split_once(['e', 'E']) {
        Some(_) => {
            let plain = format!("{exact:.12}");
            plain.split_once('.').map(|(w, f)| (w.to_owned(), f.to_owned())).unwrap_or((plain, String::new()))
        }
        None => written.split_once('.').map_or((written.clone(), String::new()), |(w, f)| (w.to_owned(), f.to_owned())),
    };
    let places = usize::try_from(places).unwrap_or(0);
    let kept: String = fraction.chars().chain("0".repeat(places).chars()).take(places).collect();
    let up = fraction.chars().nth(places).is_some_and(|digit| digit >= '5');
    let number: i64 = format!("{whole}{kept}").parse().map_err(|_| expected())?;
    match number + i64::from(up) {
        price @ 0..=999_999_999 => Ok(price),
        _ => Err(expected()),
    }
}

fn time(entry: &Object, key: &str) -> Result<(i64, i64), String> {
    let expected = || format!("`{key}` must be a time such as \"06:30\"");
    let (hour, minute) = text(entry, key).map_err(|_| expected())?.split_once(':').ok_or_else(expected)?;
    let number = |digits: &str, most: i64| {
        let good = (1..=2).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse().ok().filter(|number| good && (0..=most).contains(number)).ok_or_else(expected)
    };
    Ok((number(hour, 23)?, number(minute, 59)?))
}

fn text<'e>(entry: &'e Object, key: &str) -> Result<&'e str, String> {
    entry.get(key).and_then(Value::as_str).ok_or_else(|| format!("`{key}` is missing, or no text"))
}

fn flag(entry: &Object, key: &str) -> Result<Option<bool>, String> {
    match entry.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(format!("`{key}` must be true or false, not {other}")),
    }
}

/// Refuses members that would be ignored: a mistyped one must not be lost.
fn known(entry: &Object, keys: &[&str]) -> Result<(), String> {
    match entry.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("`{key}` is unknown; known are {}", keys.join(", "))),
        None => Ok(()),
    }
}

fn on(on: bool) -> i64 {
    if on { 2 } else { 1 }
}

/// Finds the number of a name.
pub fn code_of(codes: &[(&str, i64)], name: &str) -> Option<i64> {
    codes.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// Lists names for an error.
pub fn names(codes: &[(&str, i64)]) -> String {
    codes.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::schedule::{decode_recirculation, decode_reservations, decode_tou};
    use super::*;

    const US: Limits = Limits { units: UnitSystem::Us, half_celsius: Some((70, 131)) };
    const METRIC: Limits = Limits { units: UnitSystem::Metric, half_celsius: Some((70, 131)) };

    fn read(value: Value) -> Object {
        object(value)
    }

    #[test]
    fn temperatures_are_rounded_to_half_degrees_with_ties_to_even() {
        for (number, half) in [(120.0, 98), (120.2, 98), (140.0, 120), (95.0, 70), (149.9, 131)] {
            assert_eq!(US.half_celsius(number), Ok(half), "{number} °F");
        }
        for (number, half) in [(50.0, 100), (50.25, 100), (50.75, 102), (65.5, 131)] {
            assert_eq!(METRIC.half_celsius(number), Ok(half), "{number} °C");
        }
        assert_eq!(US.half_celsius(151.0).unwrap_err(), "the temperature must be from 95 to 149.9 °F, not 151 °F");
        assert!(METRIC.half_celsius(f64::NAN).is_err() && METRIC.half_celsius(1e300).is_err());
    }

    #[test]
    fn a_reservation_becomes_the_entry_of_the_protocol_reference() {
        let entry = read(json!({"days": ["Monday", "sunday"], "time": "6:05", "mode": "eco", "temperature": 50}));
        assert!(reservation(&entry, METRIC).unwrap_err().contains("`mode` must be heat_pump, electric"));
        let entry =
            read(json!({"days": ["Monday", "sunday"], "time": "6:05", "mode": "energy_saver", "temperature": 50}));
        let raw = reservation(&entry, METRIC).unwrap();
        assert_eq!(Value::Object(raw), json!({"enable": 2, "week": 192, "hour": 6, "min": 5, "mode": 3, "param": 100}));
        let off = read(json!({"enabled": false, "days": ["friday"], "time": "23:59", "mode": "off"}));
        let raw = reservation(&off, METRIC).unwrap();
        assert_eq!(Value::Object(raw), json!({"enable": 1, "week": 4, "hour": 23, "min": 59, "mode": 5, "param": 70}));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let good = json!({"days": ["monday"], "time": "06:00", "mode": "heat_pump", "temperature": 50});
        for (key, value, words) in [
            ("days", json!([]), "`days` must be a list of monday, tuesday"),
            ("days", json!(["mon"]), "not \"mon\""),
            ("time", json!("24:00"), "`time` must be a time such as \"06:30\""),
            ("time", json!("+6:30"), "`time` must be a time"),
            ("temperature", json!("hot"), "`temperature` must be a number"),
            ("temperature", json!(20), "the temperature must be from 35 to 65.5 °C"),
            ("enabled", json!("yes"), "`enabled` must be true or false"),
            ("tempreature", json!(50), "`tempreature` is unknown"),
        ] {
            let mut entry = good.clone();
            entry[key] = value;
            let schedule = read(json!({"enabled": true, "entries": [good.clone(), entry]}));
            let error = reservations(&schedule, METRIC).unwrap_err();
            assert!(error.starts_with("entries[2]: ") && error.contains(words), "{error}");
        }
        assert!(tou(&read(json!({"enabled": true, "periods": []}))).unwrap_err().contains("must not be empty"));
        let many = vec![json!({"days": ["monday"], "time": "06:00", "pump": true}); 21];
        let error = recirculation(&read(json!({"enabled": true, "entries": many}))).unwrap_err();
        assert_eq!(error, "`entries` has 21 entries; the heater takes at most 20");
    }

    #[test]
    fn prices_round_half_up_on_the_decimal_value() {
        let of = |price: Value, places| super::price(&read(json!({ "price_min": price })), "price_min", places);
        assert_eq!(of(json!(0.125), 2), Ok(13));
        assert_eq!(of(json!(0.135), 2), Ok(14));
        assert_eq!(of(json!(1.005), 2), Ok(101));
        assert_eq!(of(json!(0.31), 5), Ok(31_000));
        assert_eq!(of(json!(3), 2), Ok(300));
        assert_eq!(of(json!(1e-3), 4), Ok(10));
        assert!(of(json!(-0.1), 2).is_err() && of(json!("a"), 2).is_err() && of(json!(1e12), 2).is_err());
    }

    #[test]
    fn a_period_becomes_the_one_of_the_protocol_reference() {
        let period = json!({
            "months": [6, 7], "days": ["monday", "friday"], "start": "16:00", "end": "20:59", "price_min": 0.31,
            "price_max": 0.42, "decimal_point": 5,
        });
        let schedule = tou(&read(json!({"enabled": true, "periods": [period]}))).unwrap();
        let raw = json!({
            "season": 96, "week": 68, "startHour": 16, "startMinute": 0, "endHour": 20, "endMinute": 59,
            "priceMin": 31_000, "priceMax": 42_000, "decimalPoint": 5,
        });
        assert_eq!(json!(schedule.entries), json!([raw]));
    }

    fn days() -> impl Strategy<Value = Vec<&'static str>> {
        prop::sample::subsequence(DAYS.map(|(name, _)| name).to_vec(), 1..=7)
    }

    proptest! {
        #[test]
        fn what_is_written_is_decoded_to_the_same(
            days in days(), enabled in any::<bool>(), hour in 0..24, minute in 0..60, mode in 0usize..4, half in 70i64..=131,
            places in 0u32..=6, price in 0u32..1_000_000, months in prop::sample::subsequence((1..=12).collect::<Vec<i32>>(), 1..=12),
        ) {
            let time = format!("{hour:02}:{minute:02}");
            for limits in [US, METRIC] {
                let entry = json!({
                    "enabled": enabled, "days": days, "time": time, "mode": OPERATION_MODES[mode].0,
                    "temperature": limits.units.half_celsius(half as f64),
                });
                let written = reservations(&read(json!({"enabled": enabled, "entries": [entry]})), limits).unwrap();
                let answer = read(json!({"reservationUse": on(enabled), "reservation": written.entries}));
                prop_assert!(written.is_held_by(&answer));
                let decoded = decode_reservations(&answer, limits.units);
                prop_assert_eq!(&decoded.object["entries"], &json!([entry]));
            }
            let entry = json!({"enabled": enabled, "days": days, "time": time, "pump": enabled});
            let written = recirculation(&read(json!({"enabled": enabled, "entries": [entry]}))).unwrap();
            let answer = read(json!({"reservationUse": on(enabled), "reservation": written.entries}));
            prop_assert_eq!(&decode_recirculation(&answer).object["entries"], &json!([entry]));
            let price = f64::from(price) / 10f64.powi(places as i32);
            let period = json!({
                "months": months, "days": days, "start": time, "end": time, "price_min": price, "price_max": price,
                "decimal_point": places,
            });
            let written = tou(&read(json!({"enabled": enabled, "periods": [period]}))).unwrap();
            let answer = read(json!({"reservationUse": on(enabled), "reservation": written.entries}));
            prop_assert_eq!(&decode_tou(&answer).object["periods"], &json!([period]));
        }
    }
}
