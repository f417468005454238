//! Controls and schedules as messages, and what shows that they are in force.

use serde_json::{Value, json};

use super::super::session::{ClientId, SessionId};
use super::super::topics::tests::heater;
use super::*;

fn sent(control: &Control) -> (String, Value) {
    let who = Identity { client: ClientId::new("me"), session: SessionId::from_random([7; 16]) };
    let message = control.message(&heater(), &who);
    (message.topic, serde_json::from_slice(&message.payload).unwrap())
}

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

#[test]
fn a_control_is_the_envelope_of_the_protocol_reference() {
    let (topic, payload) = sent(&Control::Plain(wire(33_554_437, "dhw-mode", &[]), vec![5, 9]));
    assert_eq!(topic, "cmd/52/navilink-04786332FCA0/ctrl");
    let expected = json!({
        "clientID": "me", "sessionID": "07070707070707070707070707070707", "protocolVersion": 2,
        "requestTopic": topic, "responseTopic": "cmd/52/navilink-04786332FCA0/me/res",
        "request": {
            "command": 33_554_437, "deviceType": 52, "macAddress": "04786332FCA0", "additionalValue": "5322",
            "mode": "dhw-mode", "param": [5, 9], "paramStr": "",
        },
    });
    assert_eq!(payload, expected);
}

#[test]
fn schedules_and_firmware_are_written_without_mode_and_param() {
    let entry = object(json!({"enable": 2, "week": 64, "hour": 6, "min": 30, "mode": 1, "param": 100}));
    let schedule = Schedule { enabled: true, entries: vec![entry] };
    let device = "cmd/52/navilink-04786332FCA0";
    let rows = [
        (Control::Reservations(schedule.clone()), 16_777_226, "ctrl/rsv/rd", "cmd/52/me/res/rsv/rd"),
        (Control::Recirculation(schedule.clone()), 33_554_440, "ctrl/recirc-rsv/rd", "cmd/52/me/res/recirc-rsv/rd"),
        (
            Control::TouSchedule { controller_serial: "S1".into(), schedule },
            33_554_439,
            "ctrl/tou/rd",
            "cmd/52/me/res/tou/rd",
        ),
    ];
    for (control, code, suffix, answer) in rows {
        let (topic, payload) = sent(&control);
        assert_eq!((topic, &payload["responseTopic"]), (format!("{device}/{suffix}"), &json!(answer)));
        let mut request = json!({
            "command": code, "deviceType": 52, "macAddress": "04786332FCA0", "additionalValue": "5322",
            "reservationUse": 2,
            "reservation": [{"enable": 2, "week": 64, "hour": 6, "min": 30, "mode": 1, "param": 100}],
        });
        if code == 33_554_439 {
            request["controllerSerialNumber"] = "S1".into();
        }
        assert_eq!(payload["request"], request);
    }
    let (topic, payload) = sent(&Control::CommitFirmware { code: 7, version: 12 });
    assert_eq!(topic, format!("{device}/ctrl/commit-ota"));
    assert_eq!(payload["responseTopic"], "cmd/52/25004/0/me/res/commit-ota");
    assert_eq!(payload["request"]["command"], 33_554_442);
    assert_eq!(payload["request"]["commitOta"], json!({"swCode": 7, "swVersion": 12}));
}

#[test]
fn a_control_is_shown_when_all_its_fields_say_so_and_a_missing_field_says_nothing() {
    const SHOWN: &[Shown] =
        &[Shown::Is("a", 2), Shown::IsNot("b", 0), Shown::Param("c", 0, 500), Shown::Param("d", 1, 1)];
    let shown =
        |param: &[i64], status: Value| Control::Plain(wire(1, "x", SHOWN), param.to_vec()).is_shown_by(&object(status));
    let good = json!({ "a": 2, "b": 1, "c": "1000", "d": 7 });
    assert_eq!(shown(&[2, 7], good.clone()), Some(true));
    assert_eq!(shown(&[2], good.clone()), Some(true), "no second parameter, so d does not matter");
    assert_eq!(shown(&[2, 8], good.clone()), Some(false));
    for (field, wrong) in [("a", json!(1)), ("b", json!(0)), ("c", json!(2)), ("d", json!(null)), ("b", json!("?"))] {
        let mut status = good.clone();
        status[field] = wrong;
        assert_eq!(shown(&[2, 7], status), Some(false), "{field}");
    }
    assert_eq!(Control::Plain(wire(1, "x", &[]), vec![]).is_shown_by(&object(good)), None);
    assert_eq!(Control::CommitFirmware { code: 1, version: 2 }.is_shown_by(&Object::new()), None);
}

#[test]
fn a_schedule_is_held_in_whatever_order_and_form() {
    let entry = |hour: i64| json!({"enable": 2, "week": 64, "hour": hour, "min": 0, "mode": 1, "param": 100});
    let wanted = Schedule { enabled: true, entries: vec![object(entry(6)), object(entry(18))] };
    let answer = |entries: Value| object(json!({"reservationUse": 2, "reservation": entries}));
    assert!(wanted.is_held_by(&answer(json!([entry(18), entry(6)]))));
    assert!(wanted.is_held_by(&answer(json!("024012000164024006000164000000000000"))));
    assert!(!wanted.is_held_by(&answer(json!([entry(18), entry(7)]))));
    assert!(!wanted.is_held_by(&answer(json!([entry(18)]))));
    assert!(!wanted.is_held_by(&answer(json!([entry(18), entry(6), entry(6)]))));
    assert!(!wanted.is_held_by(&object(json!({"reservationUse": 1, "reservation": [entry(18), entry(6)]}))));
}
