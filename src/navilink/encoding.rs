//! The encodings of single fields (protocol reference, section 5).

use std::fmt;

use serde_json::{Map, Value, json};

use super::members::Members;
use crate::units::UnitSystem;

/// A JSON object in the order in which it was written.
pub type Object = Map<String, Value>;

/// What a decoder has to say of one member that it could not use; it costs that member only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The member's name on the wire, or its path such as `reservation[2].hour`.
    pub key: String,
    /// What was expected and what was found.
    pub detail: String,
}

impl Problem {
    /// Makes a problem of a member.
    pub fn new(key: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { key: key.into(), detail: detail.into() }
    }

    pub(super) fn surplus(key: impl Into<String>) -> Self {
        Self::new(key, format!("more than {MOST_ENTRIES} entries, the rest is passed over"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.detail)
    }
}

/// What became of an object from the cloud: every key of the decoded object is always there, `null` when its source
/// is absent or malformed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// The decoded JSON.
    pub object: Members,
    /// What was malformed, or a number without a name. Absent members are no problem, except in the entries of lists.
    pub problems: Vec<Problem>,
    /// The keys on the wire that no table knows (status and feature only).
    pub unknown: Vec<String>,
}

/// A row of a table of fields.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name on the wire.
    pub key: &'static str,
    /// The name in decoded JSON.
    pub name: &'static str,
    /// How the value is written on the wire.
    pub encoding: Encoding,
}

/// Writes a row of a table.
pub const fn row(key: &'static str, name: &'static str, encoding: Encoding) -> Row {
    Row { key, name, encoding }
}

/// The numbers of an enumeration with their names.
pub type Names = &'static [(i64, &'static str)];

/// How a value is written on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// A whole number, as it is.
    Integer,
    /// A number, as it is.
    Number,
    /// Text, as it is.
    Text,
    /// 2 on, 1 and 0 off.
    Flag,
    /// 2 on, 1 off, 0 not reported: `null`.
    TriState,
    /// 0 off, all else on; a boolean is taken as it is.
    ZeroOne,
    /// 1 on, 2 off, 0 not reported: `null`.
    Inverted,
    /// Half degrees Celsius; a float in °C or °F.
    HalfCelsius,
    /// Half degrees Celsius; a float in °C, or in °F a whole one by `tempFormulaType`.
    HalfCelsiusByFormula,
    /// Tenths of a degree Celsius; a float in °C or °F.
    DeciCelsius,
    /// A difference in tenths of a kelvin; a float in K or °F degrees.
    DeciKelvin,
    /// Tenths of a litre a minute; a float in L/min or gal/min.
    DeciLitresPerMinute,
    /// Litres; a float in L or gal.
    Litres,
    /// A quarter of the energy in Wh.
    EnergyCount,
    /// A number with a name.
    Named(Names),
    /// A code for a volume in US gallons, whatever the units.
    Gallons(&'static [(i64, i64)]),
    /// Days of the week in a byte, bit 7 Sunday to bit 1 Saturday.
    Week,
    /// Months in twelve bits, bit 0 January.
    Season,
}

/// What the meaning of a field depends on besides its own value.
#[derive(Debug, Clone, Copy)]
pub struct DecodeContext {
    /// The units of decoded values.
    pub units: UnitSystem,
    /// `tempFormulaType`.
    pub formula: i64,
}

/// Numbers beyond this are no measurement, and no longer exact.
const LARGEST: f64 = 9_007_199_254_740_991.0;

/// No sensor and no set point of a water heater is beyond these, in °C; wider than anything physical, so that only
/// damaged values are refused.
const COLDEST: f64 = -60.0;
const HOTTEST: f64 = 200.0;

/// A list of more entries than this is not believed.
pub(super) const MOST_ENTRIES: usize = 1000;

/// The days with their bits, in the order in which they are shown.
const DAYS: [(u32, &str); 7] =
    [(6, "monday"), (5, "tuesday"), (4, "wednesday"), (3, "thursday"), (2, "friday"), (1, "saturday"), (7, "sunday")];

impl Encoding {
    /// Decodes a value that is not `null`; the error says what was expected and what was found.
    pub fn decode(self, value: &Value, context: DecodeContext) -> Result<Value, String> {
        let units = context.units;
        match self {
            Self::Text => text(value),
            Self::Integer => Ok(whole(value)?.into()),
            Self::Number => Ok(plain(number(value)?)),
            Self::EnergyCount => Ok(plain(number(value)? * 4.0)),
            Self::HalfCelsius => Ok(float(units.half_celsius(celsius(value, 2.0)?))),
            Self::HalfCelsiusByFormula => {
                Ok(float(units.half_celsius_by_formula(celsius(value, 2.0)?, context.formula)))
            }
            Self::DeciCelsius => Ok(float(units.deci_celsius(celsius(value, 10.0)?))),
            Self::DeciKelvin => Ok(float(units.deci_kelvin(kelvin(value)?))),
            Self::DeciLitresPerMinute => Ok(float(units.deci_litres_per_minute(number(value)?))),
            Self::Litres => Ok(float(units.litres(number(value)?))),
            Self::ZeroOne if value.is_boolean() => Ok(value.clone()),
            Self::ZeroOne => Ok((number(value)? != 0.0).into()),
            Self::Flag => look_up(value, &[(0, Some(false)), (1, Some(false)), (2, Some(true))]),
            Self::TriState => look_up(value, &[(0, None), (1, Some(false)), (2, Some(true))]),
            Self::Inverted => look_up(value, &[(0, None), (1, Some(true)), (2, Some(false))]),
            Self::Named(names) => look_up(value, names),
            Self::Gallons(volumes) => look_up(value, volumes),
            Self::Week => within(value, 0, 0xff).map(days),
            Self::Season => within(value, 0, 0xfff).map(months),
        }
    }
}

/// Decodes `map` by a table: one member for each row, in the table's order. `path` goes before the keys of problems.
pub fn decode_rows(rows: &[Row], map: &Object, context: DecodeContext, path: &str) -> (Members, Vec<Problem>) {
    let mut object = Members::with_capacity(rows.len());
    let mut problems = Vec::new();
    for row in rows {
        let decoded = match map.get(row.key) {
            None | Some(Value::Null) => Value::Null,
            Some(value) => row.encoding.decode(value, context).unwrap_or_else(|detail| {
                problems.push(Problem::new(format!("{path}{}", row.key), detail));
                Value::Null
            }),
        };
        object.push(row.name, decoded);
    }
    (object, problems)
}

/// Decodes an entry of a list as [`decode_rows`] does; an entry has all its members, so that a missing one is a problem.
pub fn decode_entry(rows: &[Row], map: &Object, context: DecodeContext, path: &str) -> (Members, Vec<Problem>) {
    let (object, mut problems) = decode_rows(rows, map, context, path);
    let missing = rows.iter().filter(|row| map.get(row.key).is_none_or(Value::is_null));
    problems.extend(missing.map(|row| Problem::new(format!("{path}{}", row.key), "missing")));
    (object, problems)
}

/// An object in a list.
pub(super) struct Item<'a> {
    pub at: usize,
    /// Such as `usage[2]`, for problems.
    pub path: String,
    pub object: &'a Object,
}

/// Returns the objects of the list `key`; all else in it, or a surplus, is a problem. `path` goes before the key.
pub(super) fn items<'a>(map: &'a Object, key: &str, path: &str, problems: &mut Vec<Problem>) -> Vec<Item<'a>> {
    let list = match map.get(key) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(other) => {
            problems.push(Problem::new(format!("{path}{key}"), format!("expected an array, found {}", found(other))));
            return Vec::new();
        }
    };
    if list.len() > MOST_ENTRIES {
        problems.push(Problem::surplus(format!("{path}{key}")));
    }
    let mut items = Vec::new();
    for (at, value) in list.iter().take(MOST_ENTRIES).enumerate() {
        let path = format!("{path}{key}[{at}]");
        match value {
            Value::Object(object) => items.push(Item { at, path, object }),
            other => problems.push(Problem::new(path, format!("expected an object, found {}", found(other)))),
        }
    }
    items
}

/// Reads a number, also from a string; not a boolean, nor what is not finite or too large to be exact.
pub fn number(value: &Value) -> Result<f64, String> {
    let read = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    match read {
        Some(number) if number.abs() <= LARGEST => Ok(number),
        _ => Err(format!("expected a number, found {}", found(value))),
    }
}

/// Reads a temperature in so many parts of a degree Celsius.
fn celsius(value: &Value, parts: f64) -> Result<f64, String> {
    let raw = number(value)?;
    if (COLDEST..=HOTTEST).contains(&(raw / parts)) {
        return Ok(raw);
    }
    Err(format!("expected a temperature from {COLDEST} to {HOTTEST} °C, found {} °C", raw / parts))
}

/// Reads a difference of temperatures in tenths of a kelvin.
fn kelvin(value: &Value) -> Result<f64, String> {
    let raw = number(value)?;
    if raw.abs() / 10.0 <= HOTTEST {
        return Ok(raw);
    }
    Err(format!("expected a difference of at most {HOTTEST} K, found {} K", raw / 10.0))
}

/// Reads a whole number: an integer, an integral float, or a string of either.
pub fn whole(value: &Value) -> Result<i64, String> {
    match number(value) {
        // `number` keeps to what an i64 holds exactly
        Ok(number) if number.fract() == 0.0 => Ok(number as i64),
        _ => Err(format!("expected a whole number, found {}", found(value))),
    }
}

/// Reads a whole number within limits.
pub(super) fn within(value: &Value, low: i64, high: i64) -> Result<i64, String> {
    match whole(value) {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {low} to {high}, found {}", found(value))),
    }
}

/// Writes a number without a point when it is whole.
pub fn plain(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= LARGEST { json!(number as i64) } else { json!(number) }
}

/// Writes a quantity: always with a point, and never as −0.0.
fn float(number: f64) -> Value {
    json!(number + 0.0)
}

/// Says what stands where something else was expected, in a few characters.
pub fn found(value: &Value) -> String {
    match value {
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("{:?}", text.chars().take(40).collect::<String>()),
        other => other.to_string(),
    }
}

fn text(value: &Value) -> Result<Value, String> {
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Number(number) => Ok(number.to_string().into()),
        _ => Err(format!("expected a text, found {}", found(value))),
    }
}

fn look_up<T: Copy + Into<Value>>(value: &Value, meanings: &[(i64, T)]) -> Result<Value, String> {
    let number = whole(value)?;
    if let Some((_, meaning)) = meanings.iter().find(|(n, _)| *n == number) {
        return Ok((*meaning).into());
    }
    let known: Vec<String> = meanings.iter().map(|(n, _)| n.to_string()).collect();
    Err(format!("expected one of {}, found {number}", known.join(", ")))
}

fn days(mask: i64) -> Value {
    DAYS.iter().filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, day)| *day).collect()
}

fn months(mask: i64) -> Value {
    (0..12).filter(|bit| mask >> bit & 1 == 1).map(|bit| bit + 1).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Any JSON, with a liking for what stands in fields.
    pub fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-300_i64..5000).prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[-0-9.eE]{0,8}".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-zA-Z]{0,6}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Any object that has some of a table's keys and some others.
    pub fn any_object_of(rows: &'static [Row]) -> impl Strategy<Value = Object> {
        let key = prop_oneof![9 => (0..rows.len()).prop_map(|at| rows[at].key.to_owned()), 1 => any::<String>()];
        prop::collection::vec((key, any_json()), 0..60).prop_map(|members| members.into_iter().collect())
    }

    const US: DecodeContext = DecodeContext { units: UnitSystem::Us, formula: 0 };
    const METRIC: DecodeContext = DecodeContext { units: UnitSystem::Metric, formula: 0 };

    fn us(encoding: Encoding, value: Value) -> Result<Value, String> {
        encoding.decode(&value, US)
    }

    #[test]
    fn numeric_strings_and_integral_floats_are_good_numbers() {
        for value in [json!(99), json!(99.0), json!("99"), json!(" 99.0 "), json!("9.9e1")] {
            assert_eq!(us(Encoding::Integer, value.clone()), Ok(json!(99)), "{value}");
            assert_eq!(Encoding::HalfCelsius.decode(&value, METRIC), Ok(json!(49.5)), "{value}");
        }
        assert_eq!(us(Encoding::Number, json!("12.5")), Ok(json!(12.5)));
        assert_eq!(us(Encoding::Number, json!(80.0)).unwrap().to_string(), "80");
    }

    #[test]
    fn what_is_no_number_is_malformed_and_named() {
        for value in
            [json!("abc"), json!("NaN"), json!("inf"), json!(1e300), json!(true), json!([1]), json!({}), json!("")]
        {
            assert!(us(Encoding::Number, value.clone()).is_err(), "{value}");
            assert!(us(Encoding::HalfCelsius, value.clone()).is_err(), "{value}");
            assert!(us(Encoding::Flag, value.clone()).is_err(), "{value}");
            assert_eq!(us(Encoding::ZeroOne, value.clone()).ok(), value.is_boolean().then(|| value.clone()), "{value}");
        }
        assert_eq!(us(Encoding::Integer, json!(1.5)), Err("expected a whole number, found 1.5".into()));
        let problem = Problem::new("dhwTemperature", us(Encoding::Number, json!("abc")).unwrap_err());
        assert_eq!(problem.to_string(), "`dhwTemperature`: expected a number, found \"abc\"");
    }

    #[test]
    fn what_is_beyond_anything_physical_is_malformed_and_the_limits_are_not() {
        for (encoding, raw, good) in [
            (Encoding::HalfCelsius, 9990, false),
            (Encoding::HalfCelsius, 400, true),
            (Encoding::HalfCelsius, 401, false),
            (Encoding::HalfCelsiusByFormula, -120, true),
            (Encoding::HalfCelsiusByFormula, -121, false),
            (Encoding::DeciCelsius, 2000, true),
            (Encoding::DeciCelsius, 2001, false),
            (Encoding::DeciKelvin, -2000, true),
            (Encoding::DeciKelvin, 2001, false),
        ] {
            assert_eq!(us(encoding, json!(raw)).is_ok(), good, "{encoding:?} {raw}");
        }
        let error = us(Encoding::HalfCelsius, json!(9990)).unwrap_err();
        assert_eq!(error, "expected a temperature from -60 to 200 °C, found 4995 °C");
    }

    #[test]
    fn flags_say_on_off_or_unknown_and_refuse_what_is_neither() {
        let decoded = |encoding| (0..=3).map(move |n| us(encoding, json!(n)).ok()).collect::<Vec<_>>();
        let (on, off, unknown) = (Some(json!(true)), Some(json!(false)), Some(json!(null)));
        assert_eq!(decoded(Encoding::Flag), [off.clone(), off.clone(), on.clone(), None]);
        assert_eq!(decoded(Encoding::TriState), [unknown.clone(), off.clone(), on.clone(), None]);
        assert_eq!(decoded(Encoding::ZeroOne), [off.clone(), on.clone(), on.clone(), on.clone()]);
        assert_eq!(decoded(Encoding::Inverted), [unknown, on, off, None]);
    }

    #[test]
    fn a_number_without_a_name_is_a_problem_that_notes_it() {
        let names = Encoding::Named(&[(0, "standby"), (32, "heat_pump")]);
        assert_eq!(us(names, json!("32")), Ok(json!("heat_pump")));
        assert_eq!(us(names, json!(33)), Err("expected one of 0, 32, found 33".into()));
        assert_eq!(us(Encoding::Gallons(&[(1, 50)]), json!(1)), Ok(json!(50)));
    }

    #[test]
    fn whole_quantities_keep_their_point_and_counts_have_none() {
        let text = |encoding: Encoding, value| us(encoding, value).unwrap().to_string();
        assert_eq!(text(Encoding::HalfCelsius, json!(100)), "122.0");
        assert_eq!(text(Encoding::EnergyCount, json!(1500)), "6000");
        assert_eq!(Encoding::HalfCelsius.decode(&json!(-0.0), METRIC).unwrap().to_string(), "0.0");
        assert_eq!(text(Encoding::HalfCelsiusByFormula, json!(19)), "49.0");
    }

    #[test]
    fn the_week_begins_on_monday_and_bit_zero_means_nothing() {
        assert_eq!(us(Encoding::Week, json!(128 + 2 + 1)), Ok(json!(["saturday", "sunday"])));
        assert_eq!(us(Encoding::Week, json!(64 + 4)), Ok(json!(["monday", "friday"])));
        assert!(us(Encoding::Week, json!(256)).is_err());
        assert_eq!(us(Encoding::Season, json!(0b1000_0000_0001)), Ok(json!([1, 12])));
    }

    #[test]
    fn every_week_mask_survives_the_way_there_and_back() {
        for mask in (0..=254).step_by(2) {
            let names = us(Encoding::Week, json!(mask)).unwrap();
            let back: i64 = names.as_array().unwrap().iter().map(|name| day_bit(name.as_str().unwrap())).sum();
            assert_eq!(back, mask);
        }
    }

    fn day_bit(day: &str) -> i64 {
        let first = ["saturday", "friday", "thursday", "wednesday", "tuesday", "monday", "sunday"];
        2 << first.iter().position(|d| *d == day).unwrap()
    }
}
