//! The discovery messages: held to golden files, to the rules of a real Home Assistant, to what the bridge publishes, and
//! the documentation's list of entities to the table.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "home_assistant/rules.rs"]
mod rules;
#[path = "home_assistant/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use navien2mqtt::heater::commands::CommandSettings;
use navien2mqtt::outputs::home_assistant::abbreviated;
use navien2mqtt::outputs::home_assistant::bridge_entities::{BRIDGE, CONNECTION_EVENTS};
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::product::entity::{Component, Entity, Requirement, Section, Topic};
use navien2mqtt::product::of;
use navien2mqtt::units::UnitSystem;
use serde_json::{Map, Value};
use world::{COMMANDS, bare, bridge_that_obeys, everything, heater, published, the_bridge, told, usual};

/// The `set` names of the contract, section 6.
const SET_NAMES: &[&str] = &[
    "power",
    "mode",
    "temperature",
    "vacation_days",
    "anti_legionella",
    "demand_response",
    "tou",
    "intelligent_scheduling",
    "recirculation_mode",
    "recirculation_hot_button",
    "air_filter_reset",
    "condenser_fault_reset",
    "water_program",
    "air_filter_life",
    "firmware_commit",
];

fn all_messages() -> Vec<(&'static str, Value)> {
    vec![
        ("everything", heater(&everything(), UnitSystem::Us)),
        ("usual", heater(&usual(), UnitSystem::Metric)),
        ("bare", heater(&bare(), UnitSystem::Us)),
        ("bridge", the_bridge()),
    ]
}

fn components(message: &Value) -> &Map<String, Value> {
    message["components"].as_object().unwrap()
}

/// The names after `value_json.` in a template.
fn members(template: &str) -> impl Iterator<Item = &str> {
    template
        .split("value_json.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap())
}

#[test]
fn the_messages_are_those_of_the_golden_files() {
    for (name, message) in all_messages() {
        let file = format!("{}/tests/golden/home_assistant/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let made = serde_json::to_string_pretty(&message).unwrap() + "\n";
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &made).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == made, "{file}: run the test with UPDATE_DOCS=1 and look at the difference");
    }
}

#[test]
fn the_published_messages_have_short_keys_and_are_bounded_in_size() {
    for (name, most) in [("everything", 54_500), ("usual", 49_000), ("bare", 37_000), ("bridge", 6_400)] {
        let (_, message) = all_messages().into_iter().find(|(of, _)| *of == name).unwrap();
        let long = message.to_string().len();
        let short = abbreviated(message.clone());
        let size = short.to_string().len();
        assert!(size <= most, "{name}: {size} bytes of {long}");
        // Nothing but keys has changed, and where most values stand is said once.
        let common = short["stat_t"].to_string();
        let ids = |all: &Value| all.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(ids(&short["cmps"]), ids(&message["components"]));
        for (id, component) in components(&message) {
            let of = |one: &Value| {
                let mut values: Vec<String> = one.as_object().unwrap().values().map(Value::to_string).collect();
                values.retain(|value| !value.contains("\"topic\"") && !value.contains("\"t\"") && *value != common);
                values.sort();
                values
            };
            assert_eq!(of(&short["cmps"][id]), of(component), "{id}");
        }
    }
}

#[test]
fn the_messages_keep_the_rules_of_home_assistant() {
    for (name, message) in all_messages() {
        for other in [None, Some(UnitSystem::Us), Some(UnitSystem::Metric)] {
            let message = match (name, other) {
                ("everything", Some(units)) => heater(&everything(), units),
                _ => message.clone(),
            };
            rules::check(name, &message);
        }
    }
}

#[test]
fn what_a_heater_does_not_have_is_a_stub_and_the_rest_is_there() {
    let of = |message: &Value| -> BTreeSet<String> {
        components(message).iter().filter(|(_, c)| c.as_object().unwrap().len() > 1).map(|(id, _)| id.clone()).collect()
    };
    let all = of(&heater(&everything(), UnitSystem::Us));
    assert_eq!(all.len(), PRODUCTS[0].entities().count(), "a heater with everything has every entity");
    let usual = of(&heater(&usual(), UnitSystem::Us));
    let missing: BTreeSet<&str> = all.difference(&usual).map(String::as_str).collect();
    assert!(missing.contains("recirculation_mode") && missing.contains("mixing_rate"), "{missing:?}");
    assert!(missing.iter().all(|id| id.contains("recirc") || *id == "mixing_rate"), "{missing:?}");
    let bare = heater(&bare(), UnitSystem::Us);
    for gone in ["power", "temperature", "vacation", "tou", "demand_response", "total_kwh", "recirculation_mode"] {
        assert_eq!(components(&bare)[gone].as_object().unwrap().len(), 1, "{gone}");
    }
    let water_heater = &components(&bare)["water_heater"];
    for absent in ["mode_command_topic", "power_command_topic", "temperature_command_topic"] {
        assert_eq!(water_heater.get(absent), None);
    }
    // What cannot be set is shown.
    for shown in ["mode_state_topic", "temperature_state_topic"] {
        assert!(water_heater[shown].is_string(), "{shown}");
    }
    assert_eq!(water_heater["modes"].as_array().unwrap().len(), 6, "whichever it is in");
    assert!(water_heater["temperature_state_template"].as_str().unwrap().contains("dhw_target_temperature_setting"));
}

#[test]
fn the_water_heater_has_the_limits_and_the_modes_of_the_heater() {
    let mut feature = usual();
    feature.insert("dhw_temperature_min", 104.9.into());
    feature.insert("dhw_temperature_max", 149.9.into());
    feature.insert("units", "us".into());
    feature.insert("electric_use", false.into());
    let water_heater = |units| components(&heater(&feature, units))["water_heater"].clone();
    let us = water_heater(UnitSystem::Us);
    assert_eq!(
        (&us["min_temp"], &us["max_temp"], &us["temperature_unit"]),
        (&105.0.into(), &150.0.into(), &"F".into()),
        "104 °F would be refused, 150 °F is 149.9 °F"
    );
    assert_eq!(us["modes"], serde_json::json!(["eco", "heat_pump", "high_demand", "electric", "Vacation", "off"]));
    let metric = water_heater(UnitSystem::Metric);
    assert_eq!((&metric["min_temp"], &metric["max_temp"]), (&40.5.into(), &65.5.into()), "told in the other units");
    feature.insert("dhw_temperature_min", Value::Null);
    feature.insert("dhw_temperature_max", Value::Null);
    let unknown = components(&heater(&feature, UnitSystem::Us))["water_heater"].clone();
    assert_eq!((&unknown["min_temp"], &unknown["max_temp"]), (&95.0.into(), &150.0.into()), "both are always set");
}

#[test]
fn at_most_thirty_entities_of_the_usual_heater_are_enabled_and_no_fact_twice() {
    let message = heater(&usual(), UnitSystem::Us);
    let enabled: BTreeSet<&str> = components(&message)
        .iter()
        .filter(|(_, shown)| shown.as_object().unwrap().len() > 1 && shown.get("enabled_by_default").is_none())
        .map(|(id, _)| id.as_str())
        .collect();
    assert!(enabled.len() <= 30, "{} are enabled: {enabled:?}", enabled.len());
    // Each of these is shown by another one.
    for (twice, by) in [
        ("dhw_operation_setting", "water_heater"),
        ("power", "water_heater"),
        ("temperature", "water_heater"),
        ("vacation", "water_heater"),
        ("comp_use", "current_heat_use"),
        ("operation_mode", "current_heat_use"),
        ("error_code", "error_text"),
        ("received_at", "reachable"),
        ("event", "alert"),
    ] {
        assert!(!enabled.contains(twice) && enabled.contains(by), "{twice} is what {by} shows");
    }
}

#[test]
fn only_controls_that_would_be_obeyed_appear() {
    let settable = |commands: &CommandSettings| -> BTreeSet<String> {
        let message = told(&everything(), UnitSystem::Us, commands);
        let to = |component: &Value| component.to_string().contains("/set/");
        components(&message).iter().filter(|(_, component)| to(component)).map(|(id, _)| id.clone()).collect()
    };
    let all = settable(&COMMANDS);
    assert!(all.contains("firmware") && all.contains("water_heater") && all.len() > 15, "{all:?}");
    let but_firmware = settable(&CommandSettings { allow_firmware_commit: false, ..COMMANDS });
    assert_eq!(all.difference(&but_firmware).collect::<Vec<_>>(), ["firmware"]);
    assert_eq!(settable(&CommandSettings { read_only: true, ..COMMANDS }), BTreeSet::new());
    let read_only = told(&everything(), UnitSystem::Us, &CommandSettings { read_only: true, ..COMMANDS });
    for shown in ["water_heater", "firmware"] {
        assert!(components(&read_only)[shown].as_object().unwrap().len() > 1, "{shown} is still shown");
    }
    let cool = told(&usual(), UnitSystem::Us, &CommandSettings { max_temperature: Some(98), ..COMMANDS });
    assert_eq!(components(&cool)["water_heater"]["max_temp"], 120.0, "49 °C is 120.2 °F");
    assert_eq!(components(&cool)["temperature"]["max"], 120.0);
    let bridge = components(&the_bridge())["restart"].as_object().unwrap().len();
    let less = components(&bridge_that_obeys(&["reconnect"]))["restart"].as_object().unwrap().len();
    assert!(bridge > 1 && less == 1, "a request that is not allowed has no button");
}

#[test]
fn the_end_of_a_command_is_an_attribute_of_the_water_heater_so_that_its_dial_goes_back() {
    for message in [heater(&usual(), UnitSystem::Us), heater(&bare(), UnitSystem::Us)] {
        let [water_heater, last] = ["water_heater", "last_command_result"].map(|id| &components(&message)[id]);
        assert_eq!(water_heater["json_attributes_topic"], "navien2mqtt/04786332fca0/commands");
        assert_eq!(last["state_topic"], water_heater["json_attributes_topic"]);
        let attributes = water_heater["json_attributes_template"].as_str().unwrap();
        assert!(attributes.contains("'last_command': value_json.last"), "{attributes}");
        let types = components(&message)["event"]["event_types"].as_array().unwrap();
        for name in ["command_rejected", "command_failed", "command_expired"] {
            assert!(types.contains(&name.into()), "{name}");
        }
    }
}

#[test]
fn why_the_bridge_or_the_cloud_is_away_can_be_seen_when_it_is() {
    let bridge = the_bridge();
    let state = serde_json::json!({ "topic": "navien2mqtt/bridge/state" });
    for id in ["connection", "reason", "since", "cloud_online"] {
        let shown = &components(&bridge)[id];
        let [runs, last_word] = &shown["availability"].as_array().unwrap()[..] else { panic!("{id}: {shown}") };
        assert_eq!((runs, &shown["availability_mode"]), (&state, &"any".into()), "{id}");
        assert_eq!(last_word["topic"], "navien2mqtt/bridge/connection");
        assert!(last_word["value_template"].as_str().unwrap().contains("'connected'"), "{id} is not live for ever");
    }
    let online = &components(&bridge)["bridge_online"];
    assert_eq!(online["availability"], serde_json::json!([{ "topic": state["topic"], "value_template": "online" }]));
    for id in ["bridge_online", "cloud_online"] {
        assert_eq!((&components(&bridge)[id]["device_class"], shown_at_first(id)), (&"connectivity".into(), true));
    }
    for id in ["reason", "next_attempt_at", "since"] {
        assert!(shown_at_first(id), "{id}");
    }
    for (id, quiet) in [("reason", "All well"), ("next_attempt_at", "None due")] {
        assert!(components(&bridge)[id]["value_template"].as_str().unwrap().contains(quiet), "{id} is not unknown");
    }
}

fn shown_at_first(id: &str) -> bool {
    BRIDGE.iter().any(|entity| entity.id == id && entity.enabled)
}

#[test]
fn every_member_that_a_template_reads_is_published() {
    let published = published();
    let messages = [
        (heater(&everything(), UnitSystem::Us), PRODUCTS[0].entities().collect::<Vec<_>>()),
        (the_bridge(), BRIDGE.iter().collect()),
    ];
    for (message, entity) in
        messages.iter().flat_map(|(message, table)| table.iter().map(move |entity| (message, entity)))
    {
        for (key, template) in components(message)[entity.id].as_object().unwrap() {
            let of_attributes = entity.attributes.filter(|_| key.starts_with("json_attributes"));
            let at = of_attributes.map_or(entity.topic, |(topic, _)| topic);
            for member in members(template.as_str().unwrap_or_default()) {
                let (_, object) = published.iter().find(|(topic, _)| *topic == at).unwrap();
                assert!(object.contains(member), "{}: {at:?} has no `{member}`", entity.id);
            }
        }
    }
}

#[test]
fn every_member_of_a_status_has_an_entity() {
    let everything = heater(&everything(), UnitSystem::Us);
    let text = everything.to_string();
    let read: BTreeSet<&str> = members(&text).collect();
    let published = published();
    let (_, status) = published.iter().find(|(topic, _)| *topic == Topic::Heater("status")).unwrap();
    let unread: Vec<&String> = status.iter().filter(|member| !read.contains(member.as_str())).collect();
    assert!(unread.is_empty(), "{unread:?}");
}

/// Each template that has a value with a unit, and what it reads.
fn templates_with_units(message: &Value) -> impl Iterator<Item = (&String, &str)> {
    components(message).iter().flat_map(|(id, component)| {
        let measured = ["unit_of_measurement", "temperature_unit"].into_iter().find_map(|key| component.get(key));
        let other = measured.and_then(Value::as_str).is_some_and(|unit| {
            ["°C", "°F", "K", "C", "F", "L", "gal", "L/min", "gal/min"].contains(&unit) && id != "volume_code"
        });
        let keys = ["value_template", "current_temperature_template", "temperature_state_template"];
        let templates = keys.into_iter().filter_map(|key| component.get(key)?.as_str());
        templates.filter(move |_| other).map(move |template| (id, template))
    })
}

#[test]
fn a_value_with_a_unit_is_read_only_from_a_message_in_that_unit() {
    for units in [UnitSystem::Metric, UnitSystem::Us] {
        let message = heater(&everything(), units);
        let guard = format!(" value_json.units == '{}' else None }}}}", units.as_str());
        let guarded: Vec<&String> = templates_with_units(&message)
            .map(|(id, template)| {
                assert!(template.ends_with(&guard), "{id}: {template}");
                id
            })
            .collect();
        assert!(guarded.len() >= 40, "{guarded:?}");
        let others: Vec<&String> = components(&message)
            .iter()
            .filter(|(id, component)| !guarded.contains(id) && component.to_string().contains("value_json.units"))
            .map(|(id, _)| id)
            .collect();
        assert!(others.is_empty(), "no unit depends on it: {others:?}");
        let topic = format!("navien2mqtt/04786332fca0/units/{}", units.as_str());
        assert_eq!(message["availability"][2], serde_json::json!({ "topic": topic }));
    }
}

#[test]
fn every_command_is_one_of_the_contract() {
    let mut used = BTreeSet::new();
    for (_, message) in all_messages() {
        let text = message.to_string();
        for rest in text.split("/set/").skip(1) {
            used.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    assert_eq!(used, SET_NAMES.iter().map(|name| (*name).to_owned()).collect());
    let product = of(52).expect("the NWP500 is a product");
    assert!(used.iter().all(|name| product.control(name).is_some()), "{used:?}");
    let requests: BTreeSet<&str> = BRIDGE
        .iter()
        .filter_map(|entity| match entity.component {
            Component::Button(Topic::Bridge(to), ..) | Component::Select(Topic::Bridge(to), _) => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(
        requests,
        BTreeSet::from(["request/log_level", "request/reconnect", "request/refresh", "request/restart"])
    );
}

#[test]
fn every_event_of_the_connection_is_known_to_its_entity() {
    let production = include_str!("../src/daemon/report.rs").split("pub fn log(").next().unwrap();
    for event in CONNECTION_EVENTS {
        assert!(
            production.contains(&format!("(\"{event}\"")) || production.contains(&format!("\"{event}\",")),
            "{event}"
        );
    }
    let documented = include_str!("../docs/topics.md");
    let (_, section) = documented.split_once("### `bridge/event`").unwrap();
    let section = section.split("###").next().unwrap();
    let arms = production.split("Event::").skip(1).filter_map(|arm| arm.split('"').nth(1));
    for name in arms.filter(|name| !name.is_empty() && *name != "event") {
        assert!(CONNECTION_EVENTS.contains(&name), "{name} is no event type");
        assert!(section.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

#[test]
fn the_documentation_lists_the_entities() {
    for (marker, table) in [("heater", list(PRODUCTS[0].entities())), ("bridge", list(BRIDGE.iter()))] {
        hold("docs/home-assistant.md", &format!("<!-- {marker} -->"), &format!("<!-- end of {marker} -->"), &table);
    }
}

#[test]
fn the_dashboard_shows_entities_that_the_usual_heater_and_the_bridge_have_at_first() {
    let dashboard = include_str!("../packaging/home-assistant/dashboard.yaml");
    let heater = heater(&usual(), UnitSystem::Us);
    let bridge = the_bridge();
    let devices = [("NWP500", &heater), (bridge["device"]["name"].as_str().unwrap(), &bridge)];
    let words: BTreeMap<String, &Value> = devices
        .iter()
        .flat_map(|(device, message)| components(message).values().map(move |component| (device, component)))
        .filter(|(_, component)| component.get("unique_id").is_some() && component["enabled_by_default"] != false)
        .map(|(device, component)| (entity_id(device, component), &component["options"]))
        .collect();
    let mut shown = 0;
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    for word in dashboard.split(|c| !is_part(c)) {
        let id = word.strip_prefix("states.").unwrap_or(word).trim_end_matches(".last_changed");
        if id.contains(".nwp500") || id.contains(".navien_bridge") {
            assert!(words.contains_key(id), "discovery makes no {id}, or it is disabled at first");
            shown += 1;
        }
    }
    assert!(shown > 20, "{shown}");
    for condition in dashboard.lines().filter_map(|line| line.trim().strip_prefix("- {condition: state, entity: ")) {
        let (id, state) = condition.trim_end_matches('}').split_once(", ").unwrap();
        let state = state.split_once(": ").unwrap().1;
        if let Some(options) = words[id].as_array() {
            assert!(options.iter().any(|option| option == state), "{id} is never {state}");
        }
    }
}

/// The id that Home Assistant makes of the names of a device and an entity.
fn entity_id(device: &str, component: &Value) -> String {
    let name = format!("{device} {}", component["name"].as_str().unwrap_or_default()).to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    format!("{}.{}", component["platform"].as_str().unwrap(), words.join("_"))
}

fn list<'a>(entities: impl Iterator<Item = &'a Entity>) -> String {
    let mut table =
        String::from("| entity | id | kind | shown at first | if the heater has |\n|---|---|---|---|---|\n");
    for entity in entities {
        let name = if entity.name.is_empty() { "*(the heater)*" } else { entity.name };
        let kind = match (entity.platform(), entity.section) {
            (platform @ ("sensor" | "binary_sensor"), Section::Diagnostic) => format!("{platform}, diagnostic"),
            (platform, _) => platform.to_owned(),
        };
        let needs = match entity.needs {
            Requirement::Nothing => "",
            Requirement::Flag(flag) => &format!("`{flag}`"),
            Requirement::TargetTemperature => "`dhw_temperature_setting_use`",
        };
        let shown = if entity.enabled { "yes" } else { "" };
        writeln!(table, "| {name} | `{}` | {kind} | {shown} | {needs} |", entity.id).unwrap();
    }
    table
}

fn hold(path: &str, begin: &str, end: &str, computed: &str) {
    let file = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).unwrap_or_default();
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (written, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no {end}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, format!("{before}{begin}\n{}\n{end}{after}", computed.trim())).unwrap();
        return;
    }
    assert_eq!(written.trim(), computed.trim(), "{path}: run the test with UPDATE_DOCS=1");
}
