//! Exact limits of what is accepted, at the public interfaces.
#![allow(clippy::unwrap_used)]

#[path = "supervisor/world.rs"]
mod world;

use std::time::Duration;

use navien2mqtt::decode::{Found, decode};
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::schedule_write::{Limits, recirculation, reservations, tou};
use navien2mqtt::supervisor::{Effect, Input};
use navien2mqtt::units::{UnitSystem, UnitsChoice};
use serde_json::{Value, json};

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

/// A schedule of so many equal entries.
fn of(list: &str, entry: &Value, count: usize) -> Object {
    object(json!({ "enabled": true, list: vec![entry.clone(); count] }))
}

#[test]
fn a_schedule_has_at_most_as_many_entries_as_the_heater_takes() {
    let limits = Limits { units: UnitSystem::Metric, half_celsius: None };
    let entry = json!({"enabled": true, "days": ["monday"], "time": "06:30", "mode": "heat_pump", "temperature": 50});
    assert_eq!(reservations(&of("entries", &entry, 100), limits).unwrap().entries.len(), 100);
    let error = reservations(&of("entries", &entry, 101), limits).unwrap_err();
    assert_eq!(error, "`entries` has 101 entries; the heater takes at most 100");
    let entry = json!({"enabled": true, "days": ["monday"], "time": "06:30", "pump": true});
    assert_eq!(recirculation(&of("entries", &entry, 20)).unwrap().entries.len(), 20);
    assert!(recirculation(&of("entries", &entry, 21)).is_err());
    assert_eq!(tou(&of("periods", &period(&[1]), 100)).unwrap().entries.len(), 100);
    assert!(tou(&of("periods", &period(&[1]), 101)).is_err());
}

fn period(months: &[u32]) -> Value {
    json!({"months": months, "days": ["monday", "monday"], "start": "16:00", "end": "20:59", "price_min": 0.31, "price_max": 0.42})
}

#[test]
fn a_month_or_a_day_that_is_named_twice_counts_once() {
    let schedule = tou(&of("periods", &period(&[6, 7, 6]), 1)).unwrap();
    assert_eq!((&schedule.entries[0]["season"], &schedule.entries[0]["week"]), (&json!(96), &json!(64)));
}

#[test]
fn a_number_may_be_written_as_text() {
    let decoded = |value: Value| {
        let status = json!({ "dhwTemperature": value, "wifiRssi": value, "operationMode": value });
        match decode(status.to_string().as_bytes(), UnitsChoice::Metric).unwrap() {
            Found::Message(reading) => reading.decoded.object,
            Found::Recorded(lines) => panic!("{lines:?}"),
        }
    };
    for written in ["32", " 32 ", "32.0", "3.2e1", "+32"] {
        let object = decoded(written.into());
        assert_eq!((&object["dhw_temperature"], &object["wifi_rssi"]), (&json!(16.0), &json!(32)), "{written}");
        assert_eq!(object["operation_mode"], "heat_pump", "{written}");
    }
    for written in ["", " ", "0x20", "32 °C", "inf", "NaN", "1e400", "32,0"] {
        let object = decoded(written.into());
        assert_eq!((&object["dhw_temperature"], &object["wifi_rssi"]), (&Value::Null, &Value::Null), "{written}");
    }
    assert_eq!(decoded("32.5".into())["wifi_rssi"], Value::Null, "it is no whole number");
}

#[test]
fn a_second_start_changes_nothing() {
    let world::World { mut supervisor, now, .. } = world::World::new(world::settings(), 1);
    supervisor.handle_input(Input::Start, now);
    let begun: Vec<Effect> = std::iter::from_fn(|| supervisor.poll_effect()).collect();
    assert!(!begun.is_empty());
    let before = (supervisor.generation(), supervisor.view().state, supervisor.poll_timeout(now).at);
    let later = now + Duration::from_millis(1);
    supervisor.handle_input(Input::Start, later);
    assert_eq!((supervisor.generation(), supervisor.view().state, supervisor.poll_timeout(later).at), before);
    assert_eq!(supervisor.poll_effect(), None);
}
