//! Holds the blueprints for Home Assistant, and the messages of the documentation, to what the bridge takes.
//!
//! `make test-home-assistant` runs them in a real Home Assistant.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use navien2mqtt::product::PRODUCTS;
use navien2mqtt::product::capabilities::Capabilities;
use navien2mqtt::product::control::Known;
use navien2mqtt::product::payload::Payload;
use navien2mqtt::units::UnitSystem;
use serde_json::{Map, Value, json};

const BLUEPRINTS: &str = "packaging/home-assistant/blueprints";

/// The files of a folder, by path.
fn files(folder: &str, ending: &str) -> BTreeMap<PathBuf, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn name(path: &std::path::Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Panics unless a heater with everything takes this payload of a `set`.
fn assert_taken(place: &str, name: &str, payload: &str) {
    let mut feature: Map<String, Value> =
        serde_json::from_str(include_str!("../fuzz/seeds/feature/nwp500.json")).unwrap();
    for (key, value) in &mut feature {
        if key.ends_with("Use") {
            *value = 2.into();
        }
    }
    let mut capabilities = Capabilities::new(PRODUCTS[0]);
    capabilities.learn(&feature);
    let status = json!({ "antiLegionellaUse": 2, "antiLegionellaPeriod": 7 });
    let known = Known {
        capabilities: &capabilities,
        status: status.as_object(),
        units: UnitSystem::Us,
        allow_firmware_commit: true,
        max_temperature: None,
        pending_firmware: Some((1, 2)),
    };
    let control = PRODUCTS[0].control(name).unwrap_or_else(|| panic!("{place}: there is no control {name}"));
    let plan = Payload::read(payload.as_bytes()).and_then(|payload| control.plan(&payload, known));
    assert!(plan.is_ok(), "{place}: {name} {payload}: {}", plan.unwrap_err());
}

/// What follows `label: ` in a line of YAML, over further lines when it is folded.
fn yaml_value(text: &str, label: &str) -> Option<String> {
    let mut lines = text.lines();
    let line = lines.find(|line| line.trim_start().starts_with(label))?;
    let value = line.trim_start()[label.len()..].trim();
    let depth = line.len() - line.trim_start().len();
    let deeper = |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() > depth;
    Some(match value {
        ">-" => lines.take_while(deeper).map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned(),
        _ => value.trim_matches(['"', '\'']).to_owned(),
    })
}

/// The `example` of each field of a script, as JSON where it is such.
fn examples(script: &str) -> BTreeMap<String, Value> {
    let (_, fields) = script.split_once("\nfields:\n").unwrap_or_default();
    let (fields, _) = fields.split_once("\nvariables:\n").unwrap_or_default();
    let mut examples = BTreeMap::new();
    let mut rest = fields;
    while !rest.is_empty() {
        let (head, after) = rest.split_once(":\n").unwrap();
        let end = after.match_indices("\n  ").find(|(at, _)| !after[at + 3..].starts_with(' ')).map(|(at, _)| at + 1);
        let (body, next) = after.split_at(end.unwrap_or(after.len()));
        let text = yaml_value(body, "example: ").unwrap_or_else(|| panic!("{head} has no example"));
        examples.insert(head.trim().to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text)));
        rest = next;
    }
    examples
}

/// What a script makes of lists: times without seconds, and one price for both.
fn written(list: &Value) -> Value {
    let mut list = list.clone();
    for entry in list.as_array_mut().unwrap().iter_mut().map(|entry| entry.as_object_mut().unwrap()) {
        for key in ["time", "start", "end"] {
            if let Some(Value::String(time)) = entry.get_mut(key) {
                time.truncate(5);
            }
        }
        if let Some(price) = entry.get("price_min").cloned() {
            entry.entry("price_max").or_insert(price);
        }
    }
    list
}

/// The payload of a script, `{{ {'member': expression, …} | to_json }}`, with the examples in it.
fn payload(script: &str, examples: &BTreeMap<String, Value>) -> Value {
    let template = yaml_value(script, "payload: ").unwrap();
    let inside = template.strip_prefix("{{ {").and_then(|rest| rest.strip_suffix("} | to_json }}")).unwrap();
    let members = inside.split(", '").map(|member| {
        let (key, expression) = member.trim_start_matches('\'').split_once("': ").unwrap();
        let value = match expression {
            "id" => "an id".into(),
            "false" => false.into(),
            "[]" => json!([]),
            "enabled | default(true)" => true.into(),
            "degrees" => examples["temperature"].clone(),
            "time[:5]" => examples["time"].as_str().unwrap()[..5].into(),
            "written" => written(&examples[key]),
            _ => examples[expression].clone(),
        };
        (key.to_owned(), value)
    });
    Value::Object(members.collect())
}

#[test]
fn every_script_publishes_what_the_bridge_takes() {
    let scripts = files(&format!("{BLUEPRINTS}/script"), "yaml");
    assert_eq!(scripts.len(), 6);
    for (path, script) in scripts {
        let topic = yaml_value(&script, "topic: \"{{ topic }}/set/").unwrap();
        let control = topic.trim_end_matches('"');
        let examples = examples(&script);
        let made = payload(&script, &examples);
        assert_taken(name(&path), control, &made.to_string());
        let list = if made.get("periods").is_some() { "periods" } else { "entries" };
        // Every mode and every day that the form offers.
        let (form, _) = script.split_once("\nvariables:\n").unwrap();
        let offered = form.lines().filter_map(|line| line.trim().strip_prefix("- { value: ")?.split(',').next());
        for value in offered.map(|value| value.trim_matches('"')) {
            let (mut one, days) = (made.clone(), json!([value]));
            match value {
                day if day.ends_with("day") && one.get("days").is_some() => one["days"] = days,
                day if day.ends_with("day") => one[list][0]["days"] = days,
                month if month.parse::<u8>().is_ok() => one["periods"][0]["months"] = days,
                mode => one["mode"] = mode.into(),
            }
            assert_taken(name(&path), control, &one.to_string());
        }
    }
}

#[test]
fn a_script_and_an_automation_name_no_mode_that_the_heater_does_not_show() {
    let water_heater: Value = serde_json::from_str(include_str!("golden/home_assistant/everything.json")).unwrap();
    let modes = water_heater["components"]["water_heater"]["modes"].clone();
    let modes: Vec<&str> = modes.as_array().unwrap().iter().map(|mode| mode.as_str().unwrap()).collect();
    let mut seen = 0;
    for (path, automation) in files(&format!("{BLUEPRINTS}/automation"), "yaml") {
        let set = automation.lines().filter_map(|line| line.trim().strip_prefix("operation_mode: "));
        let compared = automation.split("states(heater) == '").skip(1).map(|rest| rest.split('\'').next().unwrap());
        let options = automation.lines().filter_map(|line| line.trim().strip_prefix("options: ["));
        let options = options.flat_map(|line| line.trim_end_matches(']').split(", "));
        for mode in set.chain(compared).chain(options).map(|mode| mode.trim_matches('"')) {
            assert!(mode.starts_with("{{") || modes.contains(&mode), "{}: {mode}", name(&path));
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}

#[test]
fn every_blueprint_is_documented_and_packed() {
    let documentation = include_str!("../docs/home-assistant.md");
    let packed = include_str!("../Cargo.toml");
    for kind in ["automation", "script"] {
        assert!(packed.contains(&format!("{BLUEPRINTS}/{kind}/*")), "{kind}");
        for (path, blueprint) in files(&format!("{BLUEPRINTS}/{kind}"), "yaml") {
            let name = name(&path);
            assert!(documentation.contains(&format!("| `{name}.yaml` |")), "{name} is missing in the documentation");
            assert!(blueprint.contains(&format!("\n  domain: {kind}\n")), "{name} lies in the wrong folder");
        }
    }
}

#[test]
fn every_set_of_the_documentation_is_taken() {
    let mut documents = files("docs", "md");
    documents.extend(files("", "md"));
    let mut seen = Vec::new();
    for (path, text) in documents {
        let blocks = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let published =
            blocks.filter_map(|block| Some((yaml_value(block, "topic: ")?, yaml_value(block, "payload: ")?)));
        let by_hand = text.lines().filter_map(|line| {
            let (topic, payload) = line.split_once("mosquitto_pub -t ")?.1.split_once(" -m ")?;
            let payload = payload.split(" #").next()?.trim().trim_matches('\'');
            (!payload.contains('$')).then(|| (topic.to_owned(), payload.to_owned()))
        });
        for (topic, payload) in published.chain(by_hand) {
            let Some((_, control)) = topic.split_once("/set/") else { continue };
            assert_taken(&path.display().to_string(), control, &payload);
            seen.push(control.to_owned());
        }
    }
    for control in ["reservations", "reservation_add", "reservation_update", "reservation_delete", "tou_schedule"] {
        assert!(seen.iter().any(|name| name == control), "{control} has no example");
    }
    assert!(seen.iter().any(|name| name == "recirculation_schedule"));
}
