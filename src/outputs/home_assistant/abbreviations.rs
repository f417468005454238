//! What makes a discovery message short: short names of its keys, and what most of its components have in common said once. A
//! broker may have a limit for the size of one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Home Assistant's short names of what a message and each of its components have (its `abbreviations.py`).
const KEYS: &[(&str, &str)] = &[
    ("availability", "avty"),
    ("availability_mode", "avty_mode"),
    ("command_template", "cmd_tpl"),
    ("command_topic", "cmd_t"),
    ("components", "cmps"),
    ("current_temperature_template", "curr_temp_tpl"),
    ("current_temperature_topic", "curr_temp_t"),
    ("device", "dev"),
    ("device_class", "dev_cla"),
    ("enabled_by_default", "en"),
    ("entity_category", "ent_cat"),
    ("event_types", "evt_typ"),
    ("icon", "ic"),
    ("json_attributes_template", "json_attr_tpl"),
    ("json_attributes_topic", "json_attr_t"),
    ("mode_command_template", "mode_cmd_tpl"),
    ("mode_command_topic", "mode_cmd_t"),
    ("mode_state_template", "mode_stat_tpl"),
    ("mode_state_topic", "mode_stat_t"),
    ("options", "ops"),
    ("payload_install", "pl_inst"),
    ("origin", "o"),
    ("payload_off", "pl_off"),
    ("payload_on", "pl_on"),
    ("payload_press", "pl_prs"),
    ("platform", "p"),
    ("power_command_topic", "pow_cmd_t"),
    ("state_class", "stat_cla"),
    ("state_off", "stat_off"),
    ("state_on", "stat_on"),
    ("state_topic", "stat_t"),
    ("suggested_display_precision", "sug_dsp_prc"),
    ("temperature_command_topic", "temp_cmd_t"),
    ("temperature_state_template", "temp_stat_tpl"),
    ("temperature_state_topic", "temp_stat_t"),
    ("temperature_unit", "temp_unit"),
    ("topic", "t"),
    ("unique_id", "uniq_id"),
    ("unit_of_measurement", "unit_of_meas"),
    ("value_template", "val_tpl"),
];

/// Those of what a device and an origin have.
const OF_DEVICE: &[(&str, &str)] = &[
    ("connections", "cns"),
    ("identifiers", "ids"),
    ("manufacturer", "mf"),
    ("model", "mdl"),
    ("serial_number", "sn"),
    ("sw_version", "sw"),
];

/// Returns a discovery message with the short names of its keys. The topic at which most values stand is said once: Home
/// Assistant takes it for every component that has none.
pub fn abbreviated(message: Value) -> Value {
    let Value::Object(mut message) = message else { return message };
    share_state_topic(&mut message);
    let part = |(key, value): (String, Value)| {
        let value = match (key.as_str(), value) {
            ("device" | "origin", Value::Object(of)) => renamed(of, OF_DEVICE),
            ("components", Value::Object(all)) => all.into_iter().map(|(id, one)| (id, described(one))).collect(),
            (_, other) => other,
        };
        (key, value)
    };
    described(message.into_iter().map(part).collect())
}

fn share_state_topic(message: &mut Map<String, Value>) {
    let Some(Value::Object(components)) = message.get_mut("components") else { return };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let topic = |component: &Value| component.get("state_topic").and_then(Value::as_str).map(str::to_owned);
    components.values().filter_map(topic).for_each(|topic| *counts.entry(topic).or_default() += 1);
    let Some((shared, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return };
    for component in components.values_mut().filter_map(Value::as_object_mut) {
        if component.get("state_topic").and_then(Value::as_str) == Some(&shared) {
            component.remove("state_topic");
        }
    }
    message.insert("state_topic".to_owned(), shared.into());
}

/// Shortens the keys of a component, or of the message itself, and of the availability in it.
fn described(value: Value) -> Value {
    let Value::Object(mut object) = value else { return value };
    if let Some(Value::Array(topics)) = object.get_mut("availability") {
        for topic in topics {
            if let Value::Object(of) = topic.take() {
                *topic = renamed(of, KEYS);
            }
        }
    }
    renamed(object, KEYS)
}

fn renamed(object: Map<String, Value>, names: &[(&str, &str)]) -> Value {
    let short = |key: String| names.iter().find(|(long, _)| *long == key).map_or(key, |(_, short)| (*short).to_owned());
    Value::Object(object.into_iter().map(|(key, value)| (short(key), value)).collect())
}
