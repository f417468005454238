//! What Home Assistant is told, and when.

use super::*;

const DISCOVERY: &str = "homeassistant/device/navien2mqtt_04786332fc01/config";

impl World {
    pub(super) fn feature(&mut self, last: u8, more: Value) {
        let mut feature = json!({ "temperatureType": 1, "dhwUse": 2, "heatpumpUse": 2, "holidayUse": 2 });
        feature.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = json!({ "response": { "feature": feature } });
        self.arrives(&format!("cmd/52/navilink-04786332fc{last:02x}/client/res"), &answer);
    }

    pub(super) fn discovered(&self) -> Value {
        self.broker.get(DISCOVERY).map(|payload| serde_json::from_slice(payload).unwrap()).unwrap_or_default()
    }
}

#[test]
fn a_heater_is_discovered_when_it_has_said_what_it_has_and_again_when_that_changes() {
    let mut world = World::new(&[heater(1)]);
    assert!(world.broker.contains_key("homeassistant/device/navien2mqtt_bridge/config"));
    world.status(1, json!({}));
    world.feature(1, json!({ "dhwUse": null, "heatpumpUse": null, "holidayUse": null, "temperatureType": null }));
    assert_eq!(world.discovered(), Value::Null, "nothing is known of what it has");
    world.feature(1, json!({ "recirculationUse": 2 }));
    let first = world.discovered();
    assert_eq!(first["dev"]["name"], "Heater 1");
    assert_eq!(
        first["cmps"]["water_heater"]["modes"],
        json!(["eco", "heat_pump", "high_demand", "electric", "Vacation"])
    );
    assert_eq!(first["cmps"]["recirculation_mode"]["cmd_t"], "navien2mqtt/04786332fc01/set/recirculation_mode");
    world.lists(&[Device { name: "Cellar".into(), ..heater(1) }]);
    assert_eq!(world.discovered()["dev"]["name"], "Cellar");
    world.feature(1, json!({ "recirculationUse": 0 }));
    assert_eq!(world.discovered()["cmps"]["recirculation_mode"], json!({ "p": "select" }), "a stub");
    world.feature(1, json!({ "dhwTemperatureMax": 120, "dhwTemperatureMin": 80 }));
    assert_eq!(world.discovered()["cmps"]["water_heater"]["max_temp"], json!(60.0));
}

#[test]
fn a_member_that_gets_lost_removes_no_entity() {
    let mut world = World::new(&[heater(1)]);
    world.feature(1, json!({ "dhwTemperatureMax": 120, "dhwTemperatureMin": 80 }));
    let before = world.discovered();
    world.feature(1, json!({ "heatpumpUse": "?", "holidayUse": null }));
    assert_eq!(world.discovered(), before);
    assert_eq!(world.held_json("04786332fc01/info")["heatpump_use"], Value::Null, "what it says itself is shown");
}

#[test]
fn units_that_change_are_told_at_once_with_the_limits_in_them() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({}));
    world.feature(1, json!({ "dhwTemperatureMin": 81, "dhwTemperatureMax": 131 }));
    world.pass(Duration::from_secs(1));
    world.asked();
    world.status(1, json!({ "temperatureType": 2 }));
    let water_heater = world.discovered()["cmps"]["water_heater"].clone();
    let told = ["temp_unit", "min_temp", "max_temp"].map(|key| water_heater[key].clone());
    assert_eq!(told, [json!("F"), json!(105.0), json!(150.0)]);
    assert_eq!(world.asked(), ["st/did"], "only that says whether the device information is still so");
}

#[test]
fn units_change_after_every_value_of_the_old_ones_is_replaced_and_the_values_come_once_more() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({}));
    world.feature(1, json!({ "dhwTemperatureMin": 81, "dhwTemperatureMax": 131 }));
    assert_eq!((world.held("04786332fc01/units/metric"), world.held("04786332fc01/units/us")), ("online", ""));
    world.pass(Duration::from_secs(20));
    world.published.clear();
    world.status(1, json!({ "temperatureType": 2 }));
    let told = std::mem::take(&mut world.published);
    let place = |topic: &str| told.iter().position(|told| told.ends_with(topic)).unwrap_or_else(|| panic!("{topic}"));
    let replaced = ["fc01/status", "fc01/info", "fc01/units/us"].map(place).into_iter().max();
    assert!(replaced < Some(place(DISCOVERY)), "{told:?}");
    for topic in ["status", "info"] {
        assert_eq!(world.held_json(&format!("04786332fc01/{topic}"))["units"], "us");
    }
    assert_eq!(world.held_json("04786332fc01/info")["dhw_temperature_max"], 149.9);
    assert_eq!((world.held("04786332fc01/units/metric"), world.held("04786332fc01/units/us")), ("", "online"));
    world.pass(Duration::from_secs(5));
    for topic in ["fc01/status", "fc01/info"] {
        assert!(world.published.iter().any(|told| told.ends_with(topic)), "{topic}: it was read in the old way");
    }
}

#[test]
fn device_information_in_other_units_changes_nothing_until_the_status_does() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({}));
    world.feature(1, json!({}));
    let before = world.discovered();
    world.feature(1, json!({ "temperatureType": 2 }));
    assert_eq!(world.discovered(), before, "the status is in the old units, and would be read in the new ones");
    world.status(1, json!({ "temperatureType": 2 }));
    assert_eq!(world.discovered()["cmps"]["water_heater"]["temp_unit"], "F");
}

#[test]
fn a_heater_is_available_when_its_status_is_that_of_this_run() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.feature(1, json!({}));
    assert_eq!(world.held("04786332fc01/availability"), "offline", "what the broker has kept may be in other units");
    world.status(1, json!({}));
    assert_eq!(world.held("04786332fc01/availability"), "online");
    world.pass(10 * MINUTE);
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    world.feature(1, json!({}));
    assert_eq!(world.held("04786332fc01/availability"), "online");
}

#[test]
fn at_home_assistants_birth_everything_is_published_again_after_a_short_while() {
    let mut world = World::new(&[heater(1)]);
    assert!(world.bridge.filters().contains(&"homeassistant/status".to_owned()));
    world.status(1, json!({}));
    world.feature(1, json!({}));
    let before = std::mem::take(&mut world.broker);
    for (payload, retained) in [("online", true), ("offline", false)] {
        world.asks("homeassistant/status", payload, retained);
        world.pass(Duration::from_secs(2));
        assert!(world.broker.is_empty(), "{payload} {retained}");
    }
    world.asks("homeassistant/status", "online", false);
    world.pass(Duration::from_millis(199));
    assert!(world.broker.is_empty());
    world.asks("homeassistant/status", "online", false);
    world.pass(Duration::from_millis(801));
    assert_eq!(world.broker, before);
    // Home Assistant has subscribed to the states by then; not every broker gives it what it keeps.
    world.broker.clear();
    world.pass(Duration::from_millis(4100));
    assert!(world.broker.is_empty());
    world.pass(Duration::from_millis(900));
    let states = before.into_iter().filter(|(topic, _)| topic.starts_with("navien2mqtt/"));
    assert_eq!(world.broker, states.collect());
    world.broker.clear();
    world.pass(Duration::from_secs(60));
    assert!(world.broker.is_empty(), "once");
}

#[test]
fn without_home_assistant_what_an_earlier_run_told_is_taken_back() {
    let mut earlier = World::new(&[heater(1), heater(2)]);
    earlier.feature(1, json!({}));
    let off = HomeAssistant { enabled: false, prefix: "homeassistant".into() };
    let mut world = World::with(BridgeSettings { home_assistant: off, ..settings() }, &[heater(1)]);
    world.broker = earlier.broker;
    world.broker.insert(DISCOVERY.replace("fc01", "fc02"), Bytes::from_static(b"{}"));
    world.connect_broker();
    world.feature(1, json!({}));
    world.status(1, json!({ "temperatureType": 2 }));
    world.lists(&[heater(1), heater(2)]);
    world.forgets(2);
    assert!(world.broker.keys().all(|topic| !topic.starts_with("homeassistant")), "{:?}", world.broker.keys());
    assert!(!world.bridge.filters().contains(&"homeassistant/status".to_owned()));
    assert!(world.asks("homeassistant/status", "online", false).is_empty());
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
}

#[test]
fn a_heater_that_is_forgotten_is_taken_back_from_home_assistant() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.feature(1, json!({}));
    world.feature(2, json!({}));
    world.forgets(1);
    assert_eq!(world.discovered(), Value::Null);
    assert!(world.broker.contains_key(&DISCOVERY.replace("fc01", "fc02")));
    world.connect_broker();
    assert_eq!(world.discovered(), Value::Null);
}

#[test]
fn the_mode_before_a_vacation_is_remembered() {
    let mut world = World::new(&[heater(1)]);
    let before = |world: &mut World, setting: u8| {
        world.status(1, json!({ "dhwOperationSetting": setting }));
        world.held_json("04786332fc01/status")["mode_before_vacation"].clone()
    };
    assert_eq!(before(&mut world, 5), Value::Null, "nothing was seen before it");
    assert_eq!(before(&mut world, 4), "high_demand");
    assert_eq!(before(&mut world, 5), "high_demand");
    assert_eq!(before(&mut world, 6), "high_demand");
}
