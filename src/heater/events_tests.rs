use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::product::PRODUCTS;
use crate::product::events::EVENT_TYPES;
use crate::units::UnitsChoice;

/// Shows raw statuses to a new watch, as they would be decoded, and returns the events of each.
fn watch(statuses: &[Value]) -> Vec<Vec<Value>> {
    let mut watch = Watch::default();
    let decoded = |raw: &Value| PRODUCTS[0].decode_status(raw.as_object().unwrap(), UnitsChoice::Device).object;
    statuses.iter().map(|raw| watch.compare(&decoded(raw), "2027-01-15T08:00:00Z")).collect()
}

/// The names of the events that the last status makes.
fn names(statuses: &[Value]) -> Vec<String> {
    let events = watch(statuses).pop().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_event_says_what_when_and_both_values() {
    let events = watch(&[json!({ "dhwOperationSetting": 3 }), json!({ "dhwOperationSetting": 1 })]);
    let name = "mode_changed";
    assert_eq!(
        events[1],
        [
            json!({ "event_type": name, "event": name, "at": "2027-01-15T08:00:00Z", "old": "energy_saver", "new": "heat_pump" })
        ]
    );
    assert!(events[0].is_empty(), "nothing was known before");
}

#[test]
fn power_and_vacation_are_modes_with_names_of_their_own() {
    let mode = |number: i64| json!({ "dhwOperationSetting": number });
    assert_eq!(names(&[mode(3), mode(6)]), ["mode_changed", "powered_off"]);
    assert_eq!(names(&[mode(6), mode(3)]), ["mode_changed", "powered_on"]);
    assert_eq!(names(&[mode(3), mode(5)]), ["mode_changed", "vacation_started"]);
    assert_eq!(names(&[mode(5), mode(6)]), ["mode_changed", "powered_off", "vacation_ended"]);
}

#[test]
fn heating_is_what_the_heat_source_says_and_else_compressor_and_elements() {
    let source = |number: i64| json!({ "currentHeatUse": number, "compUse": 2, "currentInstPower": 40 });
    assert_eq!(names(&[source(0), source(1)]), ["heating_started"]);
    assert!(names(&[source(1), source(3)]).is_empty(), "another source is no other heating");
    assert_eq!(names(&[source(3), source(0)]), ["heating_stopped"]);
    let parts = |compressor: i64, upper: i64, lower: i64| json!({ "compUse": compressor, "heatUpperUse": upper, "heatLowerUse": lower });
    assert_eq!(names(&[parts(1, 1, 1), parts(1, 1, 2)]), ["heating_started"]);
    assert_eq!(names(&[source(0), parts(2, 0, 0)]), ["heating_started"]);
    assert_eq!(names(&[source(0), parts(0, 0, 2)]), ["heating_started"]);
    assert!(names(&[source(1), parts(1, 1, 0)]).is_empty(), "the lower element may be heating");
    assert_eq!(names(&[source(1), parts(1, 0, 0), parts(1, 1, 1)]), ["heating_stopped"]);
}

#[test]
fn errors_come_with_their_words_and_a_leak_has_a_name_of_its_own() {
    let error = |code: i64| json!({ "errorCode": code });
    let events = watch(&[error(0), error(799), error(96), error(0)]);
    assert_eq!(events[1][0]["error_text"], "E799 water leak");
    let named = |at: usize| events[at].iter().map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(named(1), ["error_detected", "leak_detected"]);
    assert_eq!(events[1][1]["error_code"], 799);
    assert_eq!(named(2), ["error_detected"], "another error took its place, and may hide the leak");
    assert_eq!(named(3), ["error_cleared", "leak_cleared"]);
    assert_eq!((&events[3][0]["old"], &events[3][0]["error_text"]), (&json!(96), &Value::Null));
}

#[test]
fn a_leak_and_an_overflow_are_told_whether_flag_or_error_says_so_and_once_if_both_do() {
    for (flag, code, begun, ended) in [
        ("wtrOvrSensorUse", 799, "leak_detected", "leak_cleared"),
        ("conOvrSensorUse", 990, "overflow_detected", "overflow_cleared"),
    ] {
        let said = |raw: i64, error: i64| json!({ flag: raw, "errorCode": error });
        assert_eq!(names(&[said(1, 0), said(2, 0)]), [begun]);
        assert_eq!(names(&[said(1, 0), said(1, code)]), ["error_detected", begun]);
        assert_eq!(names(&[said(2, 0), said(2, code)]), ["error_detected"], "it was told");
        assert_eq!(names(&[said(2, code), said(2, 0)]), ["error_cleared"], "the flag is still there");
        assert_eq!(names(&[said(2, 0), said(1, 0)]), [ended]);
        assert_eq!(names(&[said(1, code), said(1, 96)]), ["error_detected", ended], "the flag says that it is over");
    }
}

#[test]
fn the_set_point_in_other_units_is_no_change() {
    let set_point = |units: i64, raw: i64| json!({ "temperatureType": units, "dhwTemperatureSetting": raw });
    assert!(names(&[set_point(1, 98), set_point(2, 98)]).is_empty());
    let events = watch(&[set_point(2, 98), set_point(2, 100)]);
    let event = &events[1][0];
    assert_eq!(event["event"], "temperature_changed");
    assert_eq!((&event["old"], &event["new"], &event["units"]), (&json!(120.2), &json!(122.0), &json!("us")));
}

#[test]
fn what_is_unknown_for_a_while_is_compared_with_what_was_known_before() {
    let disinfecting = |number: i64| json!({ "antiLegionellaOperationBusy": number });
    for gap in [json!({}), disinfecting(0), json!({ "antiLegionellaOperationBusy": "odd" })] {
        assert!(names(&[disinfecting(2), gap.clone()]).is_empty());
        assert!(names(&[disinfecting(2), gap.clone(), disinfecting(2)]).is_empty());
        assert_eq!(names(&[disinfecting(2), gap, disinfecting(1)]), ["anti_legionella_stopped"]);
    }
}

/// Any status of what is watched: present or not, in range or not.
fn any_status() -> impl Strategy<Value = Value> {
    let field = |key: &'static str, most: i64| {
        prop_oneof![4 => (0..=most).prop_map(Some), 1 => Just(None)].prop_map(move |value| (key, value))
    };
    let error = prop_oneof![Just(None), prop::sample::select(vec![0, 96, 799, 990]).prop_map(Some)];
    let fields = vec![
        field("temperatureType", 3).boxed(),
        field("dhwOperationSetting", 7).boxed(),
        field("dhwTemperatureSetting", 3).boxed(),
        field("currentHeatUse", 4).boxed(),
        field("compUse", 3).boxed(),
        field("heatUpperUse", 3).boxed(),
        field("heatLowerUse", 3).boxed(),
        field("antiLegionellaOperationBusy", 3).boxed(),
        field("wtrOvrSensorUse", 3).boxed(),
        field("conOvrSensorUse", 3).boxed(),
        error.prop_map(|value| ("errorCode", value)).boxed(),
    ];
    fields.prop_map(|fields| {
        fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!(value?)))).collect::<Members>().into()
    })
}

const PAIRS: [[&str; 2]; 6] = [
    ["powered_off", "powered_on"],
    ["vacation_started", "vacation_ended"],
    ["heating_started", "heating_stopped"],
    ["anti_legionella_started", "anti_legionella_stopped"],
    ["leak_detected", "leak_cleared"],
    ["overflow_detected", "overflow_cleared"],
];

proptest! {
    #[test]
    fn events_alternate_link_up_and_are_all_in_the_list(statuses in prop::collection::vec(any_status(), 1..60)) {
        let all = watch(&statuses);
        prop_assert!(all[0].is_empty());
        let events: Vec<&Value> = all.iter().flatten().collect();
        for event in &events {
            prop_assert!(EVENT_TYPES.contains(&event["event"].as_str().unwrap()));
            prop_assert_eq!(&event["event"], &event["event_type"]);
            prop_assert!(!event["old"].is_null() && !event["new"].is_null() && event["old"] != event["new"]);
        }
        for pair in PAIRS {
            let of_pair: Vec<&str> =
                events.iter().filter_map(|e| e["event"].as_str()).filter(|name| pair.contains(name)).collect();
            prop_assert!(of_pair.windows(2).all(|two| two[0] != two[1]), "{:?}", of_pair);
        }
        for chain in [&["mode_changed"][..], &["error_detected", "error_cleared"]] {
            let of_chain: Vec<_> = events.iter().filter(|e| chain.iter().any(|name| e["event"] == *name)).collect();
            prop_assert!(of_chain.windows(2).all(|two| two[0]["new"] == two[1]["old"]), "{:?}", of_chain);
        }
        let cleared = events.iter().filter(|event| event["event"] == "error_cleared");
        prop_assert!(cleared.into_iter().all(|event| event["new"] == 0));
    }

    #[test]
    fn a_status_that_arrives_twice_makes_no_event(statuses in prop::collection::vec(any_status(), 1..30)) {
        let twice: Vec<Value> = statuses.iter().flat_map(|status| [status.clone(), status.clone()]).collect();
        let (once, twice) = (watch(&statuses), watch(&twice));
        prop_assert!(twice.iter().skip(1).step_by(2).all(Vec::is_empty));
        prop_assert_eq!(once, twice.into_iter().step_by(2).collect::<Vec<_>>());
    }
}

#[test]
fn every_event_can_happen() {
    let status = |mode: i64, heat: i64, more: i64, error: i64| {
        json!({
            "dhwOperationSetting": mode, "currentHeatUse": heat, "antiLegionellaOperationBusy": more,
            "dhwTemperatureSetting": 90 + more, "errorCode": error, "conOvrSensorUse": more,
        })
    };
    let statuses = [status(3, 0, 1, 0), status(5, 1, 2, 799), status(6, 0, 1, 0), status(3, 0, 1, 0)];
    let seen: BTreeSet<String> =
        watch(&statuses).iter().flatten().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    let of_status = EVENT_TYPES.iter().filter(|name| !name.starts_with("command_"));
    assert_eq!(seen, of_status.map(|name| (*name).to_owned()).collect());
}
