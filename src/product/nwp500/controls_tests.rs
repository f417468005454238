//! Every name of the contract, with good and bad values, and the table against the protocol reference.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::super::capabilities::Capabilities;
use super::super::NWP500;
use super::super::feature::FEATURE;
use super::super::status::STATUS;
use super::*;
use crate::navilink::control::Shown;
use crate::product::control::Plan;
use crate::units::UnitSystem;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn able(feature: Value) -> Capabilities {
    let mut capabilities = Capabilities::new(&NWP500);
    capabilities.learn(&object(feature));
    capabilities
}

fn everything() -> Value {
    json!({
        "powerUse": 2, "dhwUse": 2, "holidayUse": 2, "heatpumpUse": 2, "electricUse": 2, "energySaverUse": 2,
        "highDemandUse": 2, "antiLegionellaSettingUse": 2, "drSettingUse": 2, "programReservationUse": 2,
        "recirculationUse": 2, "recircReservationUse": 2, "dhwTemperatureSettingUse": 2, "dhwTemperatureMin": 70,
        "dhwTemperatureMax": 131, "controllerSerialNumber": "S1",
    })
}

fn of(capabilities: &Capabilities, name: &str, payload: &str) -> Result<Plan, String> {
    let status = object(json!({ "antiLegionellaPeriod": 14 }));
    let known = Known {
        capabilities,
        status: Some(&status),
        units: UnitSystem::Us,
        allow_firmware_commit: false,
        max_temperature: None,
        pending_firmware: None,
    };
    NWP500.control(name).expect("the name is a control's").plan(&Payload::read(payload.as_bytes())?, known)
}

fn plain(name: &str, payload: &str) -> (ControlCode, Vec<i64>) {
    match of(&able(everything()), name, payload) {
        Ok(Plan::Control(Control::Plain(wire, param))) => (wire, param),
        other => panic!("{name} {payload}: {other:?}"),
    }
}

#[test]
fn every_name_takes_its_values_and_is_the_control_of_the_protocol_reference() {
    let feature = able(everything());
    let rows: [(&str, &str, u32, &str, &[i64]); 30] = [
        ("power", "ON", 33_554_434, "power-on", &[]),
        ("power", "off", 33_554_433, "power-off", &[]),
        ("power", r#"{"value": true, "id": 7}"#, 33_554_434, "power-on", &[]),
        ("mode", "heat_pump", 33_554_437, "dhw-mode", &[1]),
        ("mode", "electric", 33_554_437, "dhw-mode", &[2]),
        ("mode", "eco", 33_554_437, "dhw-mode", &[3]),
        ("mode", "energy_saver", 33_554_437, "dhw-mode", &[3]),
        ("mode", r#"{"value": "high_demand"}"#, 33_554_437, "dhw-mode", &[4]),
        ("mode", "off", 33_554_433, "power-off", &[]),
        ("mode", r#"{"value": "vacation", "days": 9}"#, 33_554_437, "dhw-mode", &[5, 9]),
        ("mode", r#"{"value": "vacation", "days": "9"}"#, 33_554_437, "dhw-mode", &[5, 9]),
        ("temperature", "120", 33_554_464, "dhw-temperature", &[98]),
        ("temperature", r#"{"value": "120.5", "id": "x"}"#, 33_554_464, "dhw-temperature", &[98]),
        ("vacation_days", "99", 33_554_466, "goout-day", &[99]),
        ("anti_legionella", "ON", 33_554_472, "anti-leg-on", &[14]),
        ("anti_legionella", r#"{"value": "ON", "period_days": 30}"#, 33_554_472, "anti-leg-on", &[30]),
        ("anti_legionella", "OFF", 33_554_471, "anti-leg-off", &[]),
        ("demand_response", "ON", 33_554_470, "dr-on", &[]),
        ("demand_response", "OFF", 33_554_469, "dr-off", &[]),
        ("tou", "ON", 33_554_476, "tou-on", &[]),
        ("tou", "OFF", 33_554_475, "tou-off", &[]),
        ("intelligent_scheduling", "ON", 33_554_468, "intelligent-on", &[]),
        ("intelligent_scheduling", "OFF", 33_554_467, "intelligent-off", &[]),
        ("recirculation_mode", "hot_button_only", 33_554_445, "recirc-mode", &[3]),
        ("recirculation_hot_button", "PRESS", 33_554_444, "recirc-hotbtn", &[1]),
        ("air_filter_reset", "PRESS", 33_554_473, "air-filter-reset", &[]),
        ("condenser_fault_reset", "PRESS", 33_554_463, "cond-fault-reset", &[]),
        ("water_program", "PRESS", 33_554_441, "reservation-mode", &[]),
        ("air_filter_life", "0", 33_554_474, "air-filter-life", &[0]),
        ("air_filter_life", "10000", 33_554_474, "air-filter-life", &[20]),
    ];
    let mut seen = BTreeSet::new();
    for (name, payload, code, mode, param) in rows {
        let (wire, sent) = plain(name, payload);
        assert_eq!((wire.code, wire.mode, sent.as_slice()), (code, mode, param), "{name} {payload}");
        seen.insert(code);
    }
    let written: BTreeSet<u32> = CONTROLS.iter().flat_map(ControlRow::wires).map(|wire| wire.code).collect();
    assert_eq!(seen, written, "every request of the table is here");
    for name in ["reservations", "tou_schedule", "recirculation_schedule"] {
        let payload = json!({
            "enabled": true,
            "entries": [{"days": ["monday"], "time": "06:00", "pump": true}],
            "periods": [{"months": [1], "days": ["monday"], "start": "00:00", "end": "23:59", "price_min": 0, "price_max": 1}],
        });
        let payload = match name {
            "reservations" => json!({"enabled": false, "entries": []}),
            _ => payload,
        };
        assert!(matches!(of(&feature, name, &payload.to_string()), Ok(Plan::Control(_))), "{name}");
    }
    let entry = r#""days": ["monday"], "time": "06:00", "mode": "electric", "temperature": 120"#;
    assert!(matches!(of(&feature, "reservation_add", &format!("{{{entry}}}")), Ok(Plan::Edit(Edit::Add(_)))));
    let update = of(&feature, "reservation_update", &format!("{{\"index\": 2, {entry}}}"));
    assert!(matches!(update, Ok(Plan::Edit(Edit::Update(2, _)))), "{update:?}");
    for payload in ["2", r#"{"index": 2}"#] {
        assert_eq!(of(&feature, "reservation_delete", payload), Ok(Plan::Edit(Edit::Delete(2))));
    }
}

#[test]
fn what_is_out_of_range_is_refused_with_the_range() {
    let feature = able(everything());
    for (name, payload, words) in [
        ("power", "maybe", "ON or OFF is expected, not \"maybe\""),
        ("mode", "boost", "one of heat_pump, electric, energy_saver, high_demand, eco, off, vacation is expected"),
        ("mode", "vacation", "a vacation needs `days`"),
        ("mode", r#"{"value": "vacation", "days": 100}"#, "`days` must be a whole number from 1 to 99, not 100"),
        ("temperature", "200", "the temperature must be from 95 to 149.9 °F, not 200 °F"),
        ("temperature", "warm", "a number is expected, not \"warm\""),
        ("temperature", "NaN", "a number is expected"),
        ("vacation_days", "0", "a whole number from 1 to 99 is expected, not 0"),
        ("vacation_days", "1.5", "a whole number from 1 to 99 is expected, not 1.5"),
        (
            "anti_legionella",
            r#"{"value": "ON", "period_days": 31}"#,
            "`period_days` must be a whole number from 1 to 30",
        ),
        ("recirculation_mode", "sometimes", "one of always_on, weekly, hot_button_only, off is expected"),
        ("air_filter_reset", "ON", "PRESS is expected"),
        ("air_filter_life", "500", "0, or 1000 to 10000 in steps of 500, is expected, not 500"),
        ("air_filter_life", "1200", "0, or 1000 to 10000 in steps of 500, is expected, not 1200"),
        ("reservation_update", "{}", "`index` is missing"),
        ("reservation_add", "{}", "`time` must be a time"),
        ("reservation_delete", "{}", "`index` is missing"),
        ("reservations", "{", "the payload is not JSON"),
        ("firmware_commit", r#"{"sw_code": 1, "sw_version": 2}"#, "commands.allow_firmware_commit"),
    ] {
        let error = of(&feature, name, payload).unwrap_err();
        assert!(error.contains(words), "{name} {payload}: {error}");
    }
}

#[test]
fn what_the_heater_does_not_have_is_refused_by_the_name_of_its_flag() {
    for (name, payload, flag) in [
        ("power", "ON", "powerUse"),
        ("mode", "off", "powerUse"),
        ("mode", "heat_pump", "dhwUse"),
        ("mode", r#"{"value": "vacation", "days": 3}"#, "holidayUse"),
        ("temperature", "120", "dhwTemperatureSettingUse"),
        ("vacation_days", "3", "holidayUse"),
        ("anti_legionella", "OFF", "antiLegionellaSettingUse"),
        ("demand_response", "ON", "drSettingUse"),
        ("tou", "ON", "programReservationUse"),
        ("recirculation_mode", "weekly", "recirculationUse"),
        ("recirculation_hot_button", "PRESS", "recirculationUse"),
        ("water_program", "PRESS", "programReservationUse"),
        ("recirculation_schedule", r#"{"enabled": true, "entries": []}"#, "recircReservationUse"),
    ] {
        let mut feature = everything();
        assert!(of(&able(feature.clone()), name, payload).is_ok(), "{name}");
        feature[flag] = 1.into();
        let error = of(&able(feature), name, payload).unwrap_err();
        assert!(error.contains(flag), "{name}: {error}");
    }
}

#[test]
fn only_a_clear_word_refuses_and_not_every_flag_is_a_need() {
    let silent = able(json!({ "temperatureType": 1, "powerUse": "?", "dhwTemperatureSettingUse": 0 }));
    for (name, payload) in [("power", "ON"), ("temperature", "120"), ("demand_response", "ON"), ("mode", "eco")] {
        assert!(of(&silent, name, payload).is_ok(), "{name}");
    }
    let unfitted = able(json!({ "heatpumpUse": 1, "electricUse": 0, "energySaverUse": 1, "highDemandUse": 1,
        "programReservationUse": 1 }));
    for mode in ["heat_pump", "electric", "eco", "high_demand"] {
        assert!(of(&unfitted, "mode", mode).is_ok(), "{mode}");
    }
    assert!(of(&unfitted, "reservations", r#"{"enabled": true, "entries": []}"#).is_ok());
    assert!(of(&unfitted, "reservation_delete", "1").is_ok());
}

#[test]
fn a_status_shows_what_was_obeyed() {
    let status = object(json!({
        "dhwOperationSetting": 5, "vacationDaySetting": 9, "dhwTemperatureSetting": 121, "antiLegionellaUse": 2,
        "antiLegionellaPeriod": 14, "touStatus": 1, "recircOperationMode": 4, "airFilterAlarmPeriod": 1000,
        "recircOperationBusy": 2, "cumulatedOpTimeEvaFan": 3, "errorCode": 990, "programReservationUse": 2,
    }));
    let is_shown = |name: &str, payload: &str, status: &Object| {
        let (wire, param) = plain(name, payload);
        Control::Plain(wire, param).is_shown_by(status)
    };
    for (name, payload, shown) in [
        ("power", "ON", Some(true)),
        ("power", "OFF", Some(false)),
        ("mode", "energy_saver", Some(false)),
        ("mode", r#"{"value": "vacation", "days": 9}"#, Some(true)),
        ("mode", r#"{"value": "vacation", "days": 8}"#, Some(false)),
        ("temperature", "141", Some(true)),
        ("temperature", "140", Some(false)),
        ("vacation_days", "9", Some(true)),
        ("anti_legionella", r#"{"value": "ON", "period_days": 14}"#, Some(true)),
        ("anti_legionella", r#"{"value": "ON", "period_days": 7}"#, Some(false)),
        ("anti_legionella", "OFF", Some(false)),
        ("tou", "ON", Some(true)),
        ("tou", "OFF", Some(false)),
        ("recirculation_mode", "off", Some(true)),
        ("air_filter_life", "1000", Some(true)),
        ("air_filter_life", "1500", Some(false)),
        ("recirculation_hot_button", "PRESS", Some(true)),
        ("air_filter_reset", "PRESS", Some(false)),
        ("condenser_fault_reset", "PRESS", Some(false)),
        ("water_program", "PRESS", Some(true)),
        ("demand_response", "ON", None),
        ("intelligent_scheduling", "ON", None),
    ] {
        assert_eq!(is_shown(name, payload, &status), shown, "{name} {payload}");
    }
    let cleared = object(json!({ "errorCode": 0, "cumulatedOpTimeEvaFan": 0, "dhwOperationSetting": 6 }));
    for (name, payload) in [("condenser_fault_reset", "PRESS"), ("air_filter_reset", "PRESS"), ("power", "OFF")] {
        assert_eq!(is_shown(name, payload, &cleared), Some(true), "{name}");
    }
}

#[test]
fn no_two_rows_have_one_name_or_one_request() {
    let names: BTreeSet<&str> = CONTROLS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), CONTROLS.len());
    assert!(NWP500.no_such_control().starts_with("there is no such setting; there are: power, mode, temperature, "));
    let wires: Vec<ControlCode> = CONTROLS.iter().flat_map(ControlRow::wires).collect();
    let codes: BTreeSet<u32> = wires.iter().map(|wire| wire.code).collect();
    let modes: BTreeSet<&str> = wires.iter().map(|wire| wire.mode).collect();
    assert_eq!((codes.len(), modes.len()), (wires.len(), wires.len()));
}

#[test]
fn what_shows_a_control_is_a_field_of_the_status_and_what_it_needs_one_of_the_device_information() {
    for row in CONTROLS {
        for field in row.wires().iter().flat_map(|wire| wire.shown).map(Shown::field) {
            assert!(STATUS.iter().any(|known| known.key == field), "{}: {field}", row.name);
        }
        if let Need::Flag(flag) = row.needs {
            assert!(FEATURE.iter().any(|known| known.key == flag), "{}: {flag}", row.name);
        }
    }
}

#[test]
fn only_mode_temperature_and_power_wait_for_the_end_of_a_pause() {
    let paced: Vec<&str> = CONTROLS.iter().filter(|row| row.paced).map(|row| row.name).collect();
    assert_eq!(paced, ["power", "mode", "temperature"]);
}

#[test]
fn reservations_are_edited_by_number_from_one() {
    let entry = |hour: i64| object(json!({ "hour": hour }));
    let edited = |edit: Edit| {
        let mut entries = vec![entry(1), entry(2)];
        edit.apply(&mut entries).map(|()| entries.iter().map(|e| e["hour"].as_i64().unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(edited(Edit::Add(entry(3))), Ok(vec![1, 2, 3]));
    assert_eq!(edited(Edit::Update(2, entry(3))), Ok(vec![1, 3]));
    assert_eq!(edited(Edit::Delete(1)), Ok(vec![2]));
    for edit in [Edit::Delete(3), Edit::Update(0, entry(3))] {
        assert!(edited(edit).unwrap_err().ends_with("the heater has 2"));
    }
}

proptest::proptest! {
    #[test]
    fn no_payload_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), row in 0..CONTROLS.len()) {
        let feature = able(everything());
        let text = String::from_utf8_lossy(&bytes);
        let _ = of(&feature, CONTROLS[row].name, &text);
        let _ = of(&feature, CONTROLS[row].name, &format!("{{\"value\": {text:?}, \"index\": 1e308, \"days\": -1}}"));
    }
}

#[test]
fn a_period_alone_does_not_turn_the_disinfection_on() {
    let capabilities = able(everything());
    let plan = |told: Value, payload: &str| {
        let status = object(told);
        let known = Known {
            capabilities: &capabilities,
            status: Some(&status),
            units: UnitSystem::Us,
            allow_firmware_commit: false,
            max_temperature: None,
            pending_firmware: None,
        };
        NWP500.control("anti_legionella").unwrap().plan(&Payload::read(payload.as_bytes())?, known)
    };
    let period = r#"{"period_days": 21}"#;
    match plan(json!({ "antiLegionellaUse": 2 }), period) {
        Ok(Plan::Control(Control::Plain(wire, param))) => assert_eq!((wire.mode, param), ("anti-leg-on", vec![21])),
        other => panic!("{other:?}"),
    }
    for (told, words) in [(json!({ "antiLegionellaUse": 1 }), "the disinfection is off"), (json!({}), "not told yet")] {
        let refused = plan(told, period).unwrap_err();
        assert!(refused.contains(words), "{refused}");
    }
    assert!(plan(json!({ "antiLegionellaUse": 2 }), "{}").unwrap_err().contains("ON or OFF"));
}

#[test]
fn firmware_is_installed_by_one_word_when_a_newer_one_is_downloaded() {
    let capabilities = able(everything());
    let plan = |allow_firmware_commit, pending_firmware| {
        let known = Known {
            capabilities: &capabilities,
            status: None,
            units: UnitSystem::Us,
            allow_firmware_commit,
            max_temperature: None,
            pending_firmware,
        };
        NWP500.control("firmware_commit").unwrap().plan(&Payload::read(b"INSTALL")?, known)
    };
    assert_eq!(plan(true, Some((3, 7))), Ok(Plan::Control(Control::CommitFirmware { code: 3, version: 7 })));
    assert!(plan(true, None).unwrap_err().contains("no newer firmware"));
    assert!(plan(false, Some((3, 7))).unwrap_err().contains("allow_firmware_commit"));
}
