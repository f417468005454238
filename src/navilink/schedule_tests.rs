use proptest::prelude::*;

use super::super::encoding::Encoding::Integer;
use super::super::encoding::tests::{any_json, any_object_of};
use super::*;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn keys(decoded: &Decoded) -> Vec<&str> {
    decoded.problems.iter().map(|problem| problem.key.as_str()).collect()
}

/// 2 on, Monday to Friday 0x7c, 06:30, heat pump, 99 half degrees.
const WEEKDAYS: &str = "027c061e0163";

#[test]
fn reservations_in_hexadecimal_and_as_an_array_are_the_same() {
    let expected = json!({
        "enabled": true,
        "entries": [
            {"enabled": true, "days": ["monday", "tuesday", "wednesday", "thursday", "friday"], "time": "06:30",
                "mode": "heat_pump", "temperature": 49.5},
            {"enabled": false, "days": ["saturday", "sunday"], "time": "23:59", "mode": "power_off",
                "temperature": 60.0},
        ],
        "units": "metric",
    });
    let hex = json!({"reservationUse": 2, "reservation": format!("{WEEKDAYS}0182173B0578")});
    let array = json!({"reservationUse": 2, "reservation": [
        {"enable": 2, "week": 124, "hour": 6, "min": 30, "mode": 1, "param": 99},
        {"enable": 1, "week": 130, "hour": 23, "min": 59, "mode": 5, "param": 120},
    ]});
    for response in [hex, array] {
        let decoded = decode_reservations(&object(response), UnitSystem::Metric);
        assert_eq!((&Value::from(decoded.object.clone()), keys(&decoded)), (&expected, vec![]));
    }
    let us = decode_reservations(&object(json!({"reservation": WEEKDAYS})), UnitSystem::Us).object;
    assert_eq!((&us["entries"][0]["temperature"], &us["units"]), (&json!(121.1), &json!("us")));
}

#[test]
fn an_empty_entry_is_left_out_and_a_tail_ignored() {
    let response = json!({"reservationUse": 2, "reservation": format!("000000000000{WEEKDAYS}027c06")});
    let decoded = decode_reservations(&object(response), UnitSystem::Metric);
    assert_eq!((decoded.object["entries"].as_array().unwrap().len(), keys(&decoded).len()), (1, 0));
    let decoded = decode_reservations(&object(json!({"reservationUse": 1})), UnitSystem::Metric);
    assert_eq!(Value::from(decoded.object), json!({"enabled": false, "entries": [], "units": "metric"}));
}

#[test]
fn a_bad_member_costs_itself_and_a_bad_entry_only_the_entry() {
    let response = json!({"reservationUse": 7, "reservation": [
        9, {"enable": 2, "week": 300, "hour": 24, "min": 0, "mode": 6, "param": "hot"}, {"enable": 2},
    ]});
    let decoded = decode_reservations(&object(response), UnitSystem::Metric);
    let nothing = json!({"enabled": true, "days": null, "time": null, "mode": null, "temperature": null});
    assert_eq!(decoded.object["entries"], json!([nothing, nothing]));
    let at = |member| format!("reservation[1].{member}");
    let malformed = ["week", "mode", "param", "hour"].map(at);
    let missing = ["week", "mode", "param", "hour", "min"].map(|member| format!("reservation[2].{member}"));
    let expected =
        [vec!["reservation[0]".to_owned()], malformed.into(), missing.into(), vec!["reservationUse".to_owned()]];
    assert_eq!(keys(&decoded), expected.concat());
    let decoded = decode_reservations(
        &object(json!({"reservationUse": 2, "reservation": format!("02zz00000000{WEEKDAYS}")})),
        UnitSystem::Us,
    );
    assert_eq!((decoded.object["entries"].as_array().unwrap().len(), keys(&decoded)), (1, vec!["reservation[0]"]));
}

#[test]
fn every_member_that_is_missing_is_named_with_its_entry() {
    let missing = |decoded: Decoded| {
        assert!(decoded.problems.iter().all(|problem| problem.detail == "missing"), "{decoded:?}");
        keys(&decoded).join(" ").replace("reservation[0].", "0.")
    };
    let (nothing, empty) = (object(json!({"reservation": [{}]})), object(json!({"reservation": ""})));
    let reservations = missing(decode_reservations(&nothing, UnitSystem::Us));
    assert_eq!(reservations, "0.enable 0.week 0.mode 0.param 0.hour 0.min reservationUse");
    assert_eq!(missing(decode_reservations(&empty, UnitSystem::Us)), "reservationUse");
    assert_eq!(missing(decode_recirculation(&nothing)), "0.enable 0.week 0.mode 0.hour 0.min reservationUse");
    let times = "0.startHour 0.startMinute 0.endHour 0.endMinute";
    let tou = format!("0.season 0.week {times} 0.priceMin 0.priceMax reservationUse");
    assert_eq!(missing(decode_tou(&nothing)), tou);
    let rest = object(json!({"touInfo": {"schedule": [{"season": 1, "interval": [peak()]}]}}));
    assert_eq!(missing(decode_tou(&rest)), "", "the REST API tells neither a name nor the use for certain");
    let nameless = decode_tou(&object(json!({"touInfo": {"name": [], "schedule": []}})));
    assert_eq!((&nameless.object["name"], keys(&nameless)), (&Value::Null, vec!["name"]));
}

#[test]
fn a_recirculation_entry_turns_the_pump_on_or_off() {
    let response = json!({"reservationUse": 2, "reservation": [
        {"enable": 2, "week": 64, "hour": 6, "min": 0, "mode": 2, "param": -1},
        {"enable": 2, "week": 64, "hour": 8, "min": 5, "mode": 1, "param": -1},
    ]});
    let expected = json!({"enabled": true, "entries": [
        {"enabled": true, "days": ["monday"], "time": "06:00", "pump": true},
        {"enabled": true, "days": ["monday"], "time": "08:05", "pump": false},
    ]});
    assert_eq!(Value::from(decode_recirculation(&object(response)).object), expected);
}

fn peak() -> Value {
    json!({"week": 124, "startHour": 16, "startMinute": 0, "endHour": 20, "endMinute": 59,
        "priceMin": 31225, "priceMax": 49042, "decimalPoint": 5})
}

#[test]
fn the_time_of_use_schedule_reads_the_same_from_rest_and_from_the_answer_to_a_write() {
    let mut period = json!({
        "months": [7, 8, 9], "days": ["monday", "tuesday", "wednesday", "thursday", "friday"],
        "start": "16:00", "end": "20:59", "price_min": 0.31225, "price_max": 0.49042, "decimal_point": 5,
    });
    let rest = json!({"registerPath": "x", "touInfo": {"name": "EV", "utility": "Power", "zipCode": 1,
        "schedule": [{"season": 448, "interval": [peak()]}]}});
    let expected = json!({"enabled": null, "name": "EV", "utility": "Power", "periods": [period]});
    let decoded = decode_tou(&object(rest));
    assert_eq!((&Value::from(decoded.object.clone()), keys(&decoded)), (&expected, vec![]));

    let mut written = peak();
    written["season"] = json!(4095);
    period["months"] = json!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    let expected = json!({"enabled": true, "name": null, "utility": null, "periods": [period]});
    let decoded = decode_tou(&object(json!({"reservationUse": 2, "reservation": [written]})));
    assert_eq!((&Value::from(decoded.object.clone()), keys(&decoded)), (&expected, vec![]));
}

#[test]
fn a_price_needs_its_decimal_point() {
    let mut period = peak();
    period["season"] = json!(1);
    period["decimalPoint"] = json!(99);
    let decoded = decode_tou(&object(json!({"reservationUse": 2, "reservation": [period]})));
    assert_eq!(decoded.object["periods"][0]["price_min"], Value::Null);
    assert_eq!(decoded.object["periods"][0]["start"], json!("16:00"));
    assert_eq!(keys(&decoded), ["reservation[0].decimalPoint"]);
    period.as_object_mut().unwrap().remove("decimalPoint");
    let decoded = decode_tou(&object(json!({"reservationUse": 2, "reservation": [period]})));
    assert_eq!((&decoded.object["periods"][0]["price_min"], keys(&decoded)), (&json!(0.31225), vec![]), "5 is usual");
}

#[test]
fn more_than_a_thousand_entries_are_not_believed() {
    let long = WEEKDAYS.repeat(1500);
    let decoded = decode_reservations(&object(json!({"reservationUse": 2, "reservation": long})), UnitSystem::Us);
    assert_eq!((decoded.object["entries"].as_array().unwrap().len(), decoded.problems.len()), (1000, 1));
    let seasons = vec![json!({"season": 1, "interval": vec![peak(); 30]}); 100];
    let decoded = decode_tou(&object(json!({"schedule": seasons})));
    assert_eq!((decoded.object["periods"].as_array().unwrap().len(), decoded.problems.len()), (1000, 1));
}

/// The members that all schedules have.
const TOP: &[Row] = &[row("reservation", "", Integer), row("reservationUse", "", Integer)];

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #[test]
    fn hexadecimal_entries_survive_the_way_there_and_back(
        entries in prop::collection::vec((1..=2_u8, 1..=127_u8, 0..24_u8, 0..60_u8, (0..=5_u8, any::<u8>())), 0..40)
    ) {
        let bytes = |(enable, week, hour, min, (mode, param)): (u8, u8, u8, u8, (u8, u8))| {
            [enable, week << 1, hour, min, mode, param]
        };
        let wire: Vec<[u8; 6]> = entries.into_iter().map(bytes).collect();
        let decoded = decode_reservations(&object(json!({"reservationUse": 2, "reservation": hex_of(wire.as_flattened())})), UnitSystem::Metric);
        prop_assert_eq!(&decoded.problems, &[]);
        let back: Vec<[u8; 6]> = decoded.object["entries"].as_array().unwrap().iter().map(written_again).collect();
        prop_assert_eq!(back, wire);
    }

    #[test]
    fn any_response_gives_every_key(value in any_object_of(TOP),
        raw in any_object_of(RESERVATION), list in any_json())
    {
        for response in [value, object(json!({"reservation": [raw]})), object(json!({"touInfo": {"schedule": list}}))] {
            prop_assert!(decode_reservations(&response, UnitSystem::Us).object.keys().eq(["enabled", "entries", "units"]));
            prop_assert!(decode_recirculation(&response).object.keys().eq(["enabled", "entries"]));
            prop_assert!(decode_tou(&response).object.keys().eq(["enabled", "name", "utility", "periods"]));
        }
    }
}

/// Encodes a decoded entry by the words of the protocol reference.
fn written_again(entry: &Value) -> [u8; 6] {
    let bit = |day: &str| match day {
        "sunday" => 128,
        "monday" => 64,
        "tuesday" => 32,
        "wednesday" => 16,
        "thursday" => 8,
        "friday" => 4,
        _ => 2,
    };
    let week = entry["days"].as_array().unwrap().iter().map(|day| bit(day.as_str().unwrap())).sum();
    let (hour, minute) = entry["time"].as_str().unwrap().split_once(':').unwrap();
    let names = ["unused", "heat_pump", "electric", "energy_saver", "high_demand", "power_off"];
    let mode = names.iter().position(|name| entry["mode"] == *name).unwrap();
    [
        1 + u8::from(entry["enabled"] == true),
        week,
        hour.parse().unwrap(),
        minute.parse().unwrap(),
        mode.try_into().unwrap(),
        (entry["temperature"].as_f64().unwrap() * 2.0) as u8,
    ]
}
