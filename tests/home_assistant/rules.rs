//! What a real Home Assistant accepts, as measured on one (2026.11): unknown keys, illegal units and the like.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

const TOP: &[&str] = &["device", "origin", "availability", "availability_mode", "components"];
const DEVICE: &[&str] = &[
    "identifiers",
    "connections",
    "name",
    "manufacturer",
    "model",
    "model_id",
    "hw_version",
    "sw_version",
    "serial_number",
    "suggested_area",
    "configuration_url",
    "via_device",
];
const ENTITY: &[&str] = &[
    "platform",
    "unique_id",
    "name",
    "availability",
    "availability_mode",
    "entity_category",
    "enabled_by_default",
    "json_attributes_topic",
    "json_attributes_template",
    "icon",
    "qos",
];
const WATER_HEATER: &[&str] = &[
    "temperature_unit",
    "precision",
    "min_temp",
    "max_temp",
    "modes",
    "current_temperature_topic",
    "current_temperature_template",
    "temperature_state_topic",
    "temperature_state_template",
    "temperature_command_topic",
    "mode_state_topic",
    "mode_state_template",
    "mode_command_topic",
    "mode_command_template",
    "power_command_topic",
];
const SENSOR: &[&str] = &[
    "state_topic",
    "value_template",
    "unit_of_measurement",
    "device_class",
    "state_class",
    "options",
    "suggested_display_precision",
];
const BINARY_SENSOR: &[&str] = &["state_topic", "value_template", "device_class", "payload_on", "payload_off"];
const SWITCH: &[&str] =
    &["state_topic", "value_template", "command_topic", "command_template", "state_on", "state_off", "device_class"];
const NUMBER: &[&str] = &[
    "state_topic",
    "value_template",
    "command_topic",
    "command_template",
    "min",
    "max",
    "step",
    "mode",
    "unit_of_measurement",
    "device_class",
];
const SELECT: &[&str] = &["state_topic", "value_template", "command_topic", "command_template", "options"];
const BUTTON: &[&str] = &["command_topic", "payload_press", "device_class"];
const UPDATE: &[&str] = &["state_topic", "value_template", "command_topic", "payload_install", "device_class"];
const EVENT: &[&str] = &["state_topic", "value_template", "event_types", "device_class"];

/// Device class, its units, its state classes.
const CLASSES: &[(&str, &[&str], &[&str])] = &[
    ("temperature", &["°C", "°F", "K"], &["measurement"]),
    ("temperature_delta", &["°C", "°F", "K"], &["measurement"]),
    ("energy", &["Wh", "kWh"], &["total", "total_increasing"]),
    ("energy_storage", &["Wh", "kWh"], &["measurement"]),
    ("power", &["W", "kW"], &["measurement"]),
    ("volume_flow_rate", &["L/min", "gal/min"], &["measurement"]),
    ("water", &["L", "gal"], &["total", "total_increasing"]),
    ("volume_storage", &["L", "gal"], &["measurement"]),
    ("duration", &["d", "h", "min", "s"], &["measurement", "total", "total_increasing"]),
    ("signal_strength", &["dBm", "dB"], &["measurement"]),
];
const BINARY_CLASSES: &[&str] = &["connectivity", "moisture", "problem", "running"];
const BUTTON_CLASSES: &[&str] = &["restart", "identify", "update"];

/// Panics when a message breaks a rule.
pub fn check(name: &str, message: &Value) {
    only(name, message.as_object().unwrap(), &[TOP]);
    let device = message["device"].as_object().unwrap();
    only(name, device, &[DEVICE]);
    assert!(device["identifiers"].as_array().is_some_and(|ids| !ids.is_empty()));
    let device_name = device["name"].as_str().unwrap().to_lowercase();
    let origin = message["origin"].as_object().unwrap();
    only(name, origin, &[&["name", "sw_version", "support_url"]]);
    assert!(origin["name"].is_string());
    availability(&message["availability"]);
    let mode = message.get("availability_mode").and_then(Value::as_str);
    assert!(message["availability"].as_array().unwrap().len() == 1 || mode == Some("all"));
    let (mut unique_ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for (id, component) in message["components"].as_object().unwrap() {
        let what = format!("{name} {id}");
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{what}");
        let component = component.as_object().unwrap();
        let platform = component["platform"].as_str().unwrap();
        if component.len() == 1 {
            continue;
        }
        let unique_id = component["unique_id"].as_str().unwrap();
        assert!(unique_ids.insert(unique_id), "{what}: {unique_id} twice");
        match component["name"].as_str() {
            Some(words) => {
                assert!(!words.to_lowercase().contains(&device_name), "{what}: the device's name in its name");
                assert!(words.len() <= 40 && words.trim() == words && !words.is_empty(), "{what}");
                assert!(names.insert((platform, words)), "{what}: two are called {words}");
            }
            None => assert_eq!(platform, "water_heater", "{what}: only the main entity has the device's name"),
        }
        entity(&what, platform, component);
    }
}

fn entity(what: &str, platform: &str, component: &Map<String, Value>) {
    let (allowed, required): (&[&str], &[&str]) = match platform {
        "water_heater" => (WATER_HEATER, &["temperature_unit", "min_temp", "max_temp", "precision"]),
        "sensor" => (SENSOR, &["state_topic"]),
        "binary_sensor" => (BINARY_SENSOR, &["state_topic", "payload_on", "payload_off"]),
        "switch" => (SWITCH, &["command_topic", "state_on", "state_off"]),
        "number" => (NUMBER, &["command_topic", "min", "max", "step"]),
        "select" => (SELECT, &["command_topic", "options"]),
        "button" => (BUTTON, &["command_topic"]),
        "update" => (UPDATE, &["state_topic", "value_template"]),
        "event" => (EVENT, &["state_topic", "event_types"]),
        other => panic!("{what}: {other} is no platform of ours"),
    };
    only(what, component, &[ENTITY, allowed]);
    for key in required {
        assert!(component.contains_key(*key), "{what} lacks {key}");
    }
    if component.contains_key("availability") {
        availability(&component["availability"]);
    }
    match component.get("entity_category").and_then(Value::as_str) {
        None | Some("diagnostic") => {}
        Some("config") => assert!(!platform.ends_with("sensor"), "{what}: a sensor is no setting"),
        Some(other) => panic!("{what}: {other}"),
    }
    for topic in component.iter().filter(|(key, _)| key.ends_with("_topic")) {
        assert!(topic.1.as_str().is_some_and(|t| !t.contains(['#', '+', ' '])), "{what}: {topic:?}");
    }
    if let Some(options) = component.get("options") {
        let options: Vec<&str> = options.as_array().unwrap().iter().map(|o| o.as_str().unwrap()).collect();
        let words = |o: &&str| o.starts_with(|first: char| first.is_ascii_uppercase()) && !o.contains('_');
        assert!(options.iter().all(words), "{what}: {options:?} are not as people read them");
        assert!(options.iter().all(|o| !["none", "unknown", "unavailable"].contains(&o.to_lowercase().as_str())));
        assert_eq!(options.iter().collect::<BTreeSet<_>>().len(), options.len(), "{what}");
    }
    for (key, template) in component.iter().filter(|(key, _)| key.ends_with("template")) {
        for method in ["clear", "copy", "get", "items", "keys", "pop", "update", "values"] {
            let text = template.as_str().unwrap();
            let name = |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next() == Some(method);
            let read = text.split("value_json.").skip(1).any(name);
            assert!(!read, "{what} {key}: `{method}` is a method of what a template reads");
        }
    }
    let has_icon = component.contains_key("icon");
    let classed = component.get("device_class").is_some_and(|class| class != "enum");
    assert_eq!(has_icon, !classed && platform != "water_heater", "{what}: its class has an icon, or it needs one");
    values(what, platform, component);
}

fn values(what: &str, platform: &str, component: &Map<String, Value>) {
    let text = |key| component.get(key).and_then(Value::as_str);
    let (class, unit, state) = (text("device_class"), text("unit_of_measurement"), text("state_class"));
    match (platform, class) {
        ("sensor", Some("enum")) => {
            assert!(unit.is_none() && state.is_none() && component.contains_key("options"), "{what}");
        }
        ("sensor", Some("timestamp")) => assert!(unit.is_none() && state.is_none(), "{what}"),
        ("sensor" | "number", Some(class)) => {
            let (_, units, states) =
                CLASSES.iter().find(|(name, ..)| *name == class).unwrap_or_else(|| panic!("{what}: {class}"));
            assert!(unit.is_some_and(|unit| units.contains(&unit)), "{what}: {unit:?}");
            assert!(platform == "number" || state.is_some_and(|state| states.contains(&state)), "{what}: {state:?}");
        }
        ("sensor" | "number", None) => {
            assert!(matches!(unit, None | Some("%" | "rpm")), "{what}: {unit:?} without a class");
            assert!(matches!(state, None | Some("measurement" | "total_increasing")), "{what}");
        }
        ("binary_sensor", class) => assert!(class.is_none_or(|c| BINARY_CLASSES.contains(&c)), "{what}: {class:?}"),
        ("button", class) => assert!(class.is_none_or(|c| BUTTON_CLASSES.contains(&c)), "{what}: {class:?}"),
        ("water_heater", _) => {
            assert!(matches!(text("temperature_unit"), Some("C" | "F")), "{what}");
            assert!([0.1, 0.5, 1.0].contains(&component["precision"].as_f64().unwrap()), "{what}");
            assert!(component["min_temp"].as_f64() < component["max_temp"].as_f64(), "{what}");
            if let Some(modes) = component.get("modes") {
                let off = modes.as_array().unwrap().contains(&"off".into());
                let told = component.contains_key("mode_command_topic");
                assert!(
                    !told || off == component.contains_key("power_command_topic"),
                    "{what}: a heater that turns off"
                );
            }
        }
        _ => {}
    }
    if platform == "number" {
        let number = |key: &str| component[key].as_f64().unwrap();
        assert!(number("min") < number("max") && number("step") >= 0.001, "{what}");
    }
    if ["switch", "number", "select"].contains(&platform) {
        let read = component.contains_key("state_topic") && component.contains_key("value_template");
        assert!(read, "{what}: Home Assistant would make up a state");
    }
}

fn availability(list: &Value) {
    let list = list.as_array().unwrap();
    assert!(!list.is_empty());
    for entry in list {
        let keys = ["topic", "value_template", "payload_available", "payload_not_available"];
        only("availability", entry.as_object().unwrap(), &[&keys]);
        assert!(entry["topic"].is_string());
    }
}

fn only(what: &str, object: &Map<String, Value>, allowed: &[&[&str]]) {
    for key in object.keys() {
        assert!(allowed.iter().any(|keys| keys.contains(&key.as_str())), "{what}: {key} is not allowed");
    }
}
