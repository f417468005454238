//! Every name of the contract, with good and bad values.

use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

fn able(feature: Value) -> Capabilities {
    let mut capabilities = Capabilities::default();
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
    let known = Known { capabilities, status: Some(&status), units: UnitSystem::Us, allow_firmware_commit: false };
    plan(name, &Payload::read(payload.as_bytes())?, known)
}

#[test]
fn every_name_takes_its_values() {
    let feature = able(everything());
    for (name, payload, control) in [
        ("power", "ON", Control::Power(true)),
        ("power", "off", Control::Power(false)),
        ("power", r#"{"value": true, "id": 7}"#, Control::Power(true)),
        ("mode", "heat_pump", Control::Mode(1)),
        ("mode", "electric", Control::Mode(2)),
        ("mode", "eco", Control::Mode(3)),
        ("mode", "energy_saver", Control::Mode(3)),
        ("mode", r#"{"value": "high_demand"}"#, Control::Mode(4)),
        ("mode", "off", Control::Power(false)),
        ("mode", r#"{"value": "vacation", "days": 9}"#, Control::Vacation(9)),
        ("mode", r#"{"value": "vacation", "days": "9"}"#, Control::Vacation(9)),
        ("temperature", "120", Control::Temperature(98)),
        ("temperature", r#"{"value": "120.5", "id": "x"}"#, Control::Temperature(98)),
        ("vacation_days", "99", Control::VacationDays(99)),
        ("anti_legionella", "ON", Control::AntiLegionella(Some(14))),
        ("anti_legionella", r#"{"value": "ON", "period_days": 30}"#, Control::AntiLegionella(Some(30))),
        ("anti_legionella", "OFF", Control::AntiLegionella(None)),
        ("demand_response", "ON", Control::DemandResponse(true)),
        ("tou", "OFF", Control::Tou(false)),
        ("intelligent_scheduling", "ON", Control::IntelligentScheduling(true)),
        ("recirculation_mode", "hot_button_only", Control::RecirculationMode(3)),
        ("recirculation_hot_button", "PRESS", Control::HotButton),
        ("air_filter_reset", "PRESS", Control::AirFilterReset),
        ("condenser_fault_reset", "PRESS", Control::CondenserFaultReset),
        ("water_program", "PRESS", Control::WaterProgram),
        ("air_filter_life", "0", Control::AirFilterLife(0)),
        ("air_filter_life", "1500", Control::AirFilterLife(1500)),
    ] {
        assert_eq!(of(&feature, name, payload), Ok(Plan::Control(control)), "{name} {payload}");
    }
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
        ("turbo", "ON", "there is no such setting; there are: power, mode"),
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
    fn no_payload_makes_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), name in 0..NAMES.len()) {
        let feature = able(everything());
        let text = String::from_utf8_lossy(&bytes);
        let _ = of(&feature, NAMES[name], &text);
        let _ = of(&feature, NAMES[name], &format!("{{\"value\": {text:?}, \"index\": 1e308, \"days\": -1}}"));
    }
}
