//! `decode`, as a pipe sees it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;

use serde_json::{Value, json};

use self::program::{Outcome, program, run_with_input};

/// A whole message of an NWP500, as the cloud sends it.
const MESSAGE: &str = include_str!("../fuzz/seeds/decode/status.json");
/// The feature object of one, alone.
const FEATURE: &str = include_str!("../fuzz/seeds/feature/nwp500.json");
const STATUS_US: &str = include_str!("../src/product/nwp500/golden/status.us.json");
const STATUS_METRIC: &str = include_str!("../src/product/nwp500/golden/status.metric.json");
const FEATURE_US: &str = include_str!("../src/product/nwp500/golden/feature.us.json");
const FEATURE_METRIC: &str = include_str!("../src/product/nwp500/golden/feature.metric.json");

fn decode(arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
    run_with_input(program(&["decode"]).args(arguments), input.as_ref())
}

fn shown(outcome: &Outcome) -> Value {
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    serde_json::from_str(&outcome.out).unwrap()
}

/// The golden object as it is to be printed: the same members, in the same order, and nothing on standard error.
fn assert_golden(outcome: &Outcome, golden: &str) {
    let golden: Value = serde_json::from_str(golden).unwrap();
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
    assert_eq!(outcome.out, format!("{}\n", serde_json::to_string_pretty(&golden).unwrap()));
}

#[test]
fn a_raw_message_comes_out_as_its_golden_object() {
    assert_golden(&decode(&[], MESSAGE), STATUS_US);
    assert_golden(&decode(&["--units", "device"], MESSAGE), STATUS_US);
    assert_golden(&decode(&["--units", "us"], MESSAGE), STATUS_US);
    assert_golden(&decode(&["--units", "metric"], MESSAGE), STATUS_METRIC);
}

#[test]
fn a_bare_status_comes_out_as_in_its_message() {
    let message: Value = serde_json::from_str(MESSAGE).unwrap();
    let bare = message["response"]["status"].to_string();
    assert_golden(&decode(&[], &bare), STATUS_US);
    assert_golden(&decode(&["--units=metric"], &bare), STATUS_METRIC);
}

#[test]
fn a_bare_feature_object_comes_out_as_in_its_message() {
    let feature: Value = serde_json::from_str(FEATURE).unwrap();
    let message = json!({"clientID": "me", "response": {"command": 16_777_217, "feature": feature}}).to_string();
    for input in [FEATURE, &message] {
        assert_golden(&decode(&[], input), FEATURE_US);
        assert_golden(&decode(&["--units", "metric"], input), FEATURE_METRIC);
    }
}

#[test]
fn the_units_are_those_of_the_heater_unless_others_are_asked_for() {
    // 98 half degrees are 49 °C
    for (kind, device) in [(1, ("metric", 49.0)), (2, ("us", 120.2))] {
        let status = json!({"temperatureType": kind, "dhwTemperature": 98}).to_string();
        for (units, (name, temperature)) in [("device", device), ("metric", ("metric", 49.0)), ("us", ("us", 120.2))] {
            let decoded = shown(&decode(&["--units", units], &status));
            assert_eq!((&decoded["units"], &decoded["dhw_temperature"]), (&json!(name), &json!(temperature)));
        }
    }
}

#[test]
fn broken_fields_are_null_and_named_on_standard_error() {
    let status = json!({"dhwTemperature": "warm", "operationMode": 33, "wifiRssi": -58, "errorCode": [1]});
    let outcome = decode(&["--units", "metric"], status.to_string());
    let decoded = shown(&outcome);
    for name in ["dhw_temperature", "operation_mode", "error_code", "error_text"] {
        assert_eq!(decoded.get(name), Some(&Value::Null), "{name}");
    }
    assert_eq!(decoded["wifi_rssi"], json!(-58));
    let named: Vec<&str> = outcome.err.lines().collect();
    assert_eq!(
        named,
        [
            "`errorCode`: expected a whole number, found an array; shown as null",
            "`dhwTemperature`: expected a number, found \"warm\"; shown as null",
            "`operationMode`: expected one of 0, 32, 64, 96, found 33; shown as null",
        ]
    );
}

#[test]
fn absent_fields_are_null_and_no_problem() {
    let outcome = decode(&[], json!({"status": {"dhwUse": 2}}).to_string());
    let decoded = shown(&outcome);
    assert_eq!((&decoded["dhw_use"], decoded.get("dhw_temperature")), (&json!(true), Some(&Value::Null)));
    assert_eq!(outcome.err, "");
    assert!(decoded.get("received_at").is_none(), "there is no time of arrival here");
}

#[test]
fn a_message_of_another_kind_is_named_with_what_of_it_cannot_be_read() {
    let energy = json!({"response": {"command": 16_777_225, "usage": [{"year": 2026, "month": 13, "data": []}]}});
    let outcome = decode(&[], energy.to_string());
    assert_eq!(shown(&outcome)["days"], json!([]));
    let said: Vec<&str> = outcome.err.lines().collect();
    assert!(said.len() == 2 && said[0] == "a message of the kind `energy_daily`", "{said:?}");
    assert!(said[1].starts_with("`usage[0].month`"), "{said:?}");
    let outcome = decode(&[], json!({"status": {"dhwUse": 2, "brandNew": 1}}).to_string());
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), "`brandNew`: not known, and left out\n"));
}

#[test]
fn every_kind_of_message_is_named_and_shown() {
    let energy = json!({"response": {"command": 16_777_224, "usage": [
        {"year": 2026, "month": 11, "day": 1, "data": [{"hpUsage": 7}]}]}});
    let presence = json!({"clientID": "me", "event": {"connection": {"status": 1, "os": "A"}}});
    let request = json!({"clientID": "me", "request": {"command": 33_554_433, "deviceType": 52, "mode": "power-off"}});
    let other = json!({"clientID": "me", "response": {"command": 999, "new": 1}});
    for (message, kind, decoded, more) in [
        (presence, "presence", json!({"present": true, "os": "A"}), ""),
        (request, "request", json!({"command": 33_554_433, "mode": "power-off"}), ""),
        (other, "other", json!({"command": 999}), "`response.new`: not known, and left out\n"),
    ] {
        let outcome = decode(&[], message.to_string());
        assert_eq!(shown(&outcome), decoded, "{kind}");
        assert_eq!(outcome.err, format!("a message of the kind `{kind}`\n{more}"));
    }
    let outcome = decode(&[], energy.to_string());
    let hour = &shown(&outcome)["hours"][0];
    assert_eq!((&hour["hour"], &hour["heat_pump_wh"]), (&json!("2026-11-01T00"), &json!(7)));
    assert_eq!(outcome.err, "a message of the kind `energy_hourly`\n");
}

#[test]
fn what_an_entry_lacks_is_named_on_standard_error() {
    let entry = json!({"enable": 2, "week": 62, "hour": 6, "min": 30, "mode": 3, "param": 120});
    let mut broken = entry.clone();
    broken.as_object_mut().unwrap().remove("hour");
    let answer = json!({"requestTopic": "cmd/52/navilink-04786332fca0/st/rsv/rd", "response": {
        "reservationUse": 2, "reservation": [entry, broken]}});
    let outcome = decode(&[], answer.to_string());
    assert_eq!(shown(&outcome)["entries"][1]["time"], Value::Null);
    let named = "`reservation[1].hour`: missing; shown as null\n";
    assert_eq!(outcome.err, format!("a message of the kind `reservations`\n{named}"));
}

#[test]
fn a_diagnostics_answer_is_read_whole_one_line_a_message() {
    let topic = "cmd/52/navilink-020000000001/me/res";
    let status: Value = serde_json::from_str(MESSAGE).unwrap();
    let answer = json!({"ok": true, "data": {"raw_messages": [
        {"topic": topic, "at": "2026-11-26T12:00:00Z", "payload": status},
        {"topic": topic, "payload": "<html>"},
        {"call": "/device/list", "status": 200, "payload": {"code": 200, "msg": "SUCCESS", "data": []}},
    ]}});
    let outcome = decode(&[], answer.to_string());
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
    let lines: Vec<Value> = outcome.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let golden: Value = serde_json::from_str(STATUS_US).unwrap();
    assert_eq!((&lines[0]["kind"], &lines[0]["decoded"]), (&json!("status"), &golden));
    assert!(lines[1]["problems"][0].as_str().unwrap().starts_with("the message is not JSON"), "{}", lines[1]);
    assert_eq!((&lines[2]["kind"], lines.len()), (&json!("device_list"), 3));
}

#[test]
fn what_cannot_be_decoded_is_bad_data_and_says_why() {
    let neither = "neither a `status` nor a `feature` object is in it";
    for (input, reason) in [
        ("", "the message is not JSON"),
        ("nonsense", "the message is not JSON"),
        ("{\"status\": {", "the message is not JSON"),
        ("[1, 2]", "the message is not a JSON object"),
        ("42", "the message is not a JSON object"),
        ("{}", neither),
        ("{\"hello\": 1}", neither),
        ("{\"response\": {\"status\": []}}", neither),
        ("{\"raw_messages\": []}", "no message is recorded"),
    ] {
        let outcome = decode(&[], input);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(65), ""), "{input}");
        assert!(outcome.err.contains(reason), "{input}: {}", outcome.err);
        assert_eq!(outcome.err.lines().count(), 1, "{input}: {}", outcome.err);
    }
}

#[test]
fn a_byte_order_mark_before_the_input_is_ignored() {
    assert_golden(&decode(&[], format!("\u{feff}{MESSAGE}")), STATUS_US);
}

#[test]
fn bytes_that_are_no_text_are_bad_data() {
    let outcome = decode(&[], b"\xff\xfe{\"status\":{}}");
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(65), ""), "{}", outcome.err);
}

#[test]
fn a_value_that_json_does_not_allow_costs_itself_only() {
    for bad in [&b"1e400"[..], b"NaN", b"-Infinity", b"\"\\ud800\"", b"\"\xff\""] {
        let input = [b"{\"status\":{\"dhwTemperature\":98,\"x\":", bad, b"}}"].concat();
        let decoded = shown(&decode(&["--units", "metric"], input));
        assert_eq!(decoded["dhw_temperature"], json!(49.0), "{}", bad.escape_ascii());
    }
}

#[test]
fn input_of_more_than_4_mib_is_bad_data_and_said_to_be() {
    let padded = |spaces: usize| [b"{\"dhwUse\":2}".to_vec(), vec![b' '; spaces]].concat();
    assert_eq!(shown(&decode(&[], padded((4 << 20) - 12)))["dhw_use"], json!(true));
    let outcome = decode(&[], padded((4 << 20) - 11));
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(65), "standard input is larger than 4 MiB\n"));
}

#[test]
fn decode_needs_no_configuration() {
    let outcome =
        run_with_input(program(&["decode"]).env("NAVIEN2MQTT_CONFIG", "/nonexistent/navien.toml"), MESSAGE.as_bytes());
    assert_golden(&outcome, STATUS_US);
}
