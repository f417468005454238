//! Every control against the table of the protocol reference, field by field.

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

/// Every control that has a mode, with its code, mode and parameters.
pub fn every_mode() -> [(Control, u32, &'static str, Value); 20] {
    [
        (Control::Power(false), 33_554_433, "power-off", json!([])),
        (Control::Power(true), 33_554_434, "power-on", json!([])),
        (Control::Mode(3), 33_554_437, "dhw-mode", json!([3])),
        (Control::Vacation(9), 33_554_437, "dhw-mode", json!([5, 9])),
        (Control::Temperature(121), 33_554_464, "dhw-temperature", json!([121])),
        (Control::VacationDays(99), 33_554_466, "goout-day", json!([99])),
        (Control::AntiLegionella(Some(14)), 33_554_472, "anti-leg-on", json!([14])),
        (Control::AntiLegionella(None), 33_554_471, "anti-leg-off", json!([])),
        (Control::DemandResponse(true), 33_554_470, "dr-on", json!([])),
        (Control::DemandResponse(false), 33_554_469, "dr-off", json!([])),
        (Control::IntelligentScheduling(true), 33_554_468, "intelligent-on", json!([])),
        (Control::IntelligentScheduling(false), 33_554_467, "intelligent-off", json!([])),
        (Control::Tou(true), 33_554_476, "tou-on", json!([])),
        (Control::Tou(false), 33_554_475, "tou-off", json!([])),
        (Control::RecirculationMode(4), 33_554_445, "recirc-mode", json!([4])),
        (Control::HotButton, 33_554_444, "recirc-hotbtn", json!([1])),
        (Control::AirFilterReset, 33_554_473, "air-filter-reset", json!([])),
        (Control::AirFilterLife(10_000), 33_554_474, "air-filter-life", json!([20])),
        (Control::CondenserFaultReset, 33_554_463, "cond-fault-reset", json!([])),
        (Control::WaterProgram, 33_554_441, "reservation-mode", json!([])),
    ]
}

#[test]
fn every_control_is_the_message_of_the_protocol_reference() {
    for (control, code, mode, param) in every_mode() {
        let (topic, payload) = sent(&control);
        assert_eq!(topic, "cmd/52/navilink-04786332FCA0/ctrl");
        let expected = json!({
            "clientID": "me", "sessionID": "07070707070707070707070707070707", "protocolVersion": 2,
            "requestTopic": topic, "responseTopic": "cmd/52/navilink-04786332FCA0/me/res",
            "request": {
                "command": code, "deviceType": 52, "macAddress": "04786332FCA0", "additionalValue": "5322",
                "mode": mode, "param": param, "paramStr": "",
            },
        });
        assert_eq!(payload, expected, "{control:?}");
    }
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
fn a_status_shows_what_was_obeyed() {
    let status = object(json!({
        "dhwOperationSetting": 5, "vacationDaySetting": 9, "dhwTemperatureSetting": 121, "antiLegionellaUse": 2,
        "antiLegionellaPeriod": 14, "touStatus": 1, "recircOperationMode": 4, "airFilterAlarmPeriod": 1000,
        "recircOperationBusy": 2, "cumulatedOpTimeEvaFan": 3, "errorCode": 990, "programReservationUse": 2,
    }));
    for (control, shown) in [
        (Control::Power(true), Some(true)),
        (Control::Power(false), Some(false)),
        (Control::Mode(3), Some(false)),
        (Control::Vacation(9), Some(true)),
        (Control::Vacation(8), Some(false)),
        (Control::Temperature(121), Some(true)),
        (Control::AntiLegionella(Some(14)), Some(true)),
        (Control::AntiLegionella(Some(7)), Some(false)),
        (Control::AntiLegionella(None), Some(false)),
        (Control::Tou(true), Some(true)),
        (Control::RecirculationMode(4), Some(true)),
        (Control::AirFilterLife(1000), Some(true)),
        (Control::HotButton, Some(true)),
        (Control::AirFilterReset, Some(false)),
        (Control::CondenserFaultReset, Some(false)),
        (Control::WaterProgram, Some(true)),
        (Control::DemandResponse(true), None),
    ] {
        assert_eq!(control.is_shown_by(&status), shown, "{control:?}");
    }
    let cleared = object(json!({ "errorCode": 0, "cumulatedOpTimeEvaFan": 0 }));
    assert_eq!(Control::CondenserFaultReset.is_shown_by(&cleared), Some(true));
    assert_eq!(Control::AirFilterReset.is_shown_by(&cleared), Some(true));
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
