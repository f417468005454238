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
fn the_birth_is_heard_where_it_is_configured_and_below_the_prefix() {
    let elsewhere = |birth_topic: &str| {
        let home_assistant = HomeAssistant { enabled: true, prefix: "ha".into(), birth_topic: birth_topic.into() };
        World::with(BridgeSettings { home_assistant, ..settings() }, &[heater(1)])
    };
    for birth in ["homeassistant/status", "ha/status"] {
        let mut world = elsewhere("homeassistant/status");
        assert!(world.bridge.filters().contains(&birth.to_owned()));
        world.broker.clear();
        world.asks(birth, "online", false);
        world.pass(Duration::from_secs(1));
        assert!(world.broker.contains_key("ha/device/navien2mqtt_bridge/config"), "{birth}");
    }
    let same = elsewhere("ha/status").bridge.filters();
    assert_eq!(same.iter().filter(|filter| filter.ends_with("status")).count(), 1, "{same:?}");
}

#[test]
fn a_heater_that_was_deleted_in_home_assistant_is_back_after_the_next_birth() {
    let mut world = World::new(&[heater(1)]);
    world.feature(1, json!({}));
    world.broker.remove(DISCOVERY);
    world.pass(10 * MINUTE);
    world.status(1, json!({}));
    assert_eq!(world.discovered(), Value::Null, "not before");
    world.asks("homeassistant/status", "online", false);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.discovered()["dev"]["name"], "Heater 1");
}

#[test]
fn what_was_told_under_another_prefix_or_base_topic_is_taken_back() {
    let earlier = |prefix: &str, base: &str| {
        let home_assistant =
            HomeAssistant { enabled: true, prefix: prefix.into(), birth_topic: "homeassistant/status".into() };
        World::with(BridgeSettings { home_assistant, topics: Topics::new(base), ..settings() }, &[heater(1), heater(2)])
    };
    for (prefix, base, gone) in
        [("homeassistant", "navien2mqtt", 0), ("old", "navien2mqtt", 3), ("homeassistant", "old", 1), ("old", "old", 3)]
    {
        let mut old = earlier(prefix, base);
        (1..=2).for_each(|last| old.feature(last, json!({})));
        let discovery = serde_json::to_string(&old.bridge.discovery()).unwrap();
        let told = |world: &World| world.broker.keys().filter(|topic| topic.ends_with("/config")).cloned().collect();
        let before: BTreeSet<String> = told(&old);
        let mut world = World::new(&[heater(1), heater(2)]);
        world.broker = old.broker;
        world.bridge.take_back(&serde_json::from_str(&discovery).unwrap());
        world.connect_broker();
        let after: BTreeSet<String> = told(&world);
        assert_eq!(before.difference(&after).count(), gone, "{prefix} {base}: {after:?}");
        (1..=2).for_each(|last| world.feature(last, json!({})));
        assert_eq!(told(&world).len(), 3, "{prefix} {base}: only what is told now");
    }
}

#[test]
fn energy_is_published_again_as_soon_as_a_day_has_begun_in_any_time_zone() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    let answer = json!({ "response": { "macAddress": heater(1).mac.as_cloud(), "typeOfUsage": 1, "usage": [] } });
    world.arrives("cmd/52/client/res/energy-usage-daily-query/rd", &answer);
    let energy = "navien2mqtt/04786332fc01/energy";
    let mut published = Vec::new();
    for second in 0..4000 {
        world.published.clear();
        world.pass(Duration::from_secs(1));
        if world.published.iter().any(|topic| topic == energy) {
            published.push(second + 1);
        }
    }
    // The world begins at a quarter of an hour.
    assert_eq!(published, [10, 910, 1810, 2710, 3610]);
}

#[test]
fn without_home_assistant_what_an_earlier_run_told_is_taken_back() {
    let mut earlier = World::new(&[heater(1), heater(2)]);
    earlier.feature(1, json!({}));
    let off =
        HomeAssistant { enabled: false, prefix: "homeassistant".into(), birth_topic: "homeassistant/status".into() };
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
