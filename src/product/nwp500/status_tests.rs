use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::json;

use super::super::NWP500;
use super::*;
use crate::navilink::encoding::tests::{any_json, any_object_of};
use crate::navilink::encoding::{Decoded, Object};
use crate::navilink::members::Members;
use crate::units::UnitsChoice;

const WIRE: &str = include_str!("../../../fuzz/seeds/status/nwp500.json");

fn decode_status(told: &Object, choice: UnitsChoice) -> Decoded {
    NWP500.decode_status(told, choice)
}

/// The keys that a field decides besides its own.
const DERIVED: &[(&str, &str)] = &[
    ("errorCode", "error_text"),
    ("subErrorCode", "error_text"),
    ("totalEnergyCapacity", "usable_energy"),
    ("availableEnergyCapacity", "usable_energy"),
    ("drOverrideStatus", "dr_override_active"),
    ("airFilterAlarmPeriod", "air_filter_remaining_hours"),
    ("cumulatedOpTimeEvaFan", "air_filter_remaining_hours"),
    ("tempFormulaType", "outside_temperature"),
    ("errorCode", "problem"),
    ("wtrOvrSensorUse", "problem"),
    ("conOvrSensorUse", "problem"),
    ("errorCode", "water_leak"),
    ("wtrOvrSensorUse", "water_leak"),
    ("errorCode", "condensate_overflow"),
    ("conOvrSensorUse", "condensate_overflow"),
    ("errorCode", "overheat_cut_out"),
    ("ecoUse", "overheat_cut_out"),
    ("currentHeatUse", "heat_source"),
    ("compUse", "heat_source"),
    ("heatUpperUse", "heat_source"),
    ("heatLowerUse", "heat_source"),
];

/// What is derived, in its order, and the units.
const LAST: [&str; 10] = [
    "error_text",
    "usable_energy",
    "dr_override_active",
    "air_filter_remaining_hours",
    "problem",
    "water_leak",
    "condensate_overflow",
    "overheat_cut_out",
    "heat_source",
    "units",
];

fn wire() -> Object {
    serde_json::from_str(WIRE).unwrap()
}

fn decoded(value: Value) -> Members {
    decode_status(value.as_object().unwrap(), UnitsChoice::Us).object
}

fn names() -> Vec<&'static str> {
    STATUS.iter().map(|row| row.name).chain(LAST).collect()
}

#[test]
fn the_table_has_the_103_fields_of_the_protocol_reference() {
    assert_eq!(STATUS.len(), 103);
    assert_eq!(STATUS.iter().map(|row| row.key).collect::<BTreeSet<_>>().len(), 103);
    assert_eq!(names().into_iter().collect::<BTreeSet<_>>().len(), 103 + LAST.len());
}

#[test]
fn a_full_status_decodes_to_its_golden_files_in_both_units() {
    for (choice, golden) in [
        (UnitsChoice::Device, include_str!("golden/status.us.json")),
        (UnitsChoice::Us, include_str!("golden/status.us.json")),
        (UnitsChoice::Metric, include_str!("golden/status.metric.json")),
    ] {
        let decoded = decode_status(&wire(), choice);
        assert_eq!((decoded.problems, decoded.unknown), (vec![], vec![]));
        let golden: Object = serde_json::from_str(golden).unwrap();
        assert!(decoded.object.keys().eq(golden.keys()), "the keys stand in the table's order");
        for (name, value) in golden {
            assert_eq!(decoded.object[&name], value, "{name}");
        }
    }
}

#[test]
fn what_is_absent_is_null_and_no_problem() {
    let decoded = decode_status(&Object::new(), UnitsChoice::Device);
    assert_eq!(decoded.problems, []);
    for (name, value) in decoded.object {
        assert_eq!(value, if name == "units" { json!("us") } else { Value::Null }, "{name}");
    }
}

#[test]
fn what_is_malformed_is_null_and_named() {
    let status = json!({"dhwTemperature": "abc", "operationMode": 33, "errorCode": true, "new": 1});
    let decoded = decode_status(status.as_object().unwrap(), UnitsChoice::Metric);
    assert_eq!(decoded.object["dhw_temperature"], Value::Null);
    assert_eq!(decoded.object["operation_mode"], Value::Null);
    let problems: Vec<_> = decoded.problems.iter().map(ToString::to_string).collect();
    let expected = [
        "`errorCode`: expected a whole number, found true",
        "`dhwTemperature`: expected a number, found \"abc\"",
        "`operationMode`: expected one of 0, 32, 64, 96, found 33",
    ];
    assert_eq!(problems, expected);
    assert_eq!(decoded.unknown, ["new"]);
}

#[test]
fn derived_values_are_null_where_they_cannot_be_known() {
    assert_eq!(decoded(json!({"errorCode": 0}))["error_text"], Value::Null);
    assert_eq!(decoded(json!({"errorCode": 123}))["error_text"], json!("E123"));
    assert_eq!(decoded(json!({"totalEnergyCapacity": 10}))["usable_energy"], Value::Null);
    let energy = decoded(json!({"totalEnergyCapacity": 10, "availableEnergyCapacity": 11}));
    assert_eq!(energy["usable_energy"], json!(0));
    assert_eq!(decoded(json!({"drOverrideStatus": 1}))["dr_override_active"], json!(false));
    let hours = |period, used| {
        decoded(json!({"airFilterAlarmPeriod": period, "cumulatedOpTimeEvaFan": used}))["air_filter_remaining_hours"]
            .clone()
    };
    assert_eq!((hours(1000, 412), hours(1000, 1200), hours(0, 5)), (json!(588), json!(0), Value::Null));
}

#[test]
fn what_a_flag_and_an_error_can_say_is_true_when_either_says_so() {
    for (flag, error, name) in [
        ("wtrOvrSensorUse", 799, "water_leak"),
        ("conOvrSensorUse", 990, "condensate_overflow"),
        ("ecoUse", 901, "overheat_cut_out"),
    ] {
        let said = |raw: Value, code: Value| decoded(json!({ flag: raw, "errorCode": code }))[name].clone();
        assert_eq!(said(json!(1), json!(error)), json!(true), "{name} by its error");
        assert_eq!(said(json!(2), json!(0)), json!(true), "{name} by its flag");
        assert_eq!(said(json!(2), json!(error)), json!(true), "{name} by both");
        assert_eq!(said(Value::Null, json!(error)), json!(true), "{name} by all that there is");
        assert_eq!(said(json!(1), json!(96)), json!(false), "another error is no {name}");
        assert_eq!(said(json!(1), Value::Null), json!(false), "the flag says no {name}");
        assert_eq!(said(Value::Null, json!(0)), json!(false), "no error, so no {name}");
        assert_eq!(said(Value::Null, json!(96)), Value::Null, "the error may hide a {name}");
        assert_eq!(said(Value::Null, Value::Null), Value::Null);
    }
}

#[test]
fn a_problem_is_any_error_a_leak_or_an_overflow() {
    let problem = |status: Value| decoded(status)["problem"].clone();
    for status in
        [json!({ "errorCode": 96 }), json!({ "errorCode": 0, "wtrOvrSensorUse": 2 }), json!({ "conOvrSensorUse": 2 })]
    {
        assert_eq!(problem(status.clone()), json!(true), "{status}");
    }
    assert_eq!(problem(json!({ "errorCode": 0, "wtrOvrSensorUse": 1 })), json!(false));
    assert_eq!(problem(json!({ "wtrOvrSensorUse": 1, "conOvrSensorUse": 1 })), Value::Null, "the error is not known");
}

#[test]
fn the_formula_of_the_outside_temperature_is_that_of_the_heater() {
    let outside = |formula: Value| {
        decoded(json!({"outsideTemperature": 18, "tempFormulaType": formula}))["outside_temperature"].clone()
    };
    // 9 °C are 48.2 °F
    assert_eq!((outside(json!(0)), outside(json!(1)), outside(json!("?"))), (json!(49.0), json!(48.0), json!(49.0)));
}

#[test]
fn of_two_members_with_one_name_the_last_counts() {
    let status: Object = serde_json::from_str(r#"{"wifiRssi": 1, "wifiRssi": 2}"#).unwrap();
    assert_eq!(decode_status(&status, UnitsChoice::Us).object["wifi_rssi"], json!(2));
}

proptest! {
    #[test]
    fn any_object_gives_every_key_once_in_order(status in any_object_of(STATUS)) {
        for choice in [UnitsChoice::Device, UnitsChoice::Metric, UnitsChoice::Us] {
            let decoded = decode_status(&status, choice);
            prop_assert!(decoded.object.keys().eq(names()));
            prop_assert!(decoded.problems.iter().all(|problem| status.contains_key(&problem.key)));
        }
    }

    #[test]
    fn a_broken_field_changes_its_own_key_and_the_derived_ones_only(at in 0..STATUS.len(), value in any_json()) {
        let (whole, mut broken) = (wire(), wire());
        let row = &STATUS[at];
        broken.insert(row.key.to_owned(), value);
        let (whole, broken) = (decode_status(&whole, UnitsChoice::Us).object, decode_status(&broken, UnitsChoice::Us).object);
        for (name, value) in whole.iter() {
            let touched = row.name == name || DERIVED.contains(&(row.key, name));
            prop_assert!(touched || broken[name] == *value, "{} changed {name}", row.key);
        }
    }
}
