//! Holds the documentation to what the program does.

use navien2mqtt::outputs::home_assistant::bridge_entities::BRIDGE;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::product::events::EVENT_TYPES;

#[test]
fn every_field_of_status_and_device_information_is_documented_in_its_order() {
    let topics = include_str!("../docs/topics.md");
    let (before, info) = topics.split_once("### `info`").expect("the section is there");
    let (_, statuses) = before.split_once("### `status`").expect("the section is there");
    for (text, rows) in [(statuses, PRODUCTS[0].status), (info, PRODUCTS[0].feature)] {
        let mut rest = text;
        for row in rows {
            let key = format!("| `{}` |", row.name);
            let (_, after) = rest.split_once(&key).unwrap_or_else(|| panic!("{key} is missing or out of order"));
            rest = after;
        }
    }
}

#[test]
fn every_control_is_documented() {
    let topics = include_str!("../docs/topics.md");
    let (_, after) = topics.split_once("### Setting").expect("the section is there");
    let (settings, _) = after.split_once("### ").expect("another section follows");
    let named: Vec<&str> = settings.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for row in PRODUCTS.iter().flat_map(|product| product.controls) {
        let name = format!("`{}`", row.name);
        let is_named = |line: &&str| format!("`{line}").split(" |").next().is_some_and(|cell| cell.contains(&name));
        assert!(named.iter().any(is_named), "{name} is missing in docs/topics.md");
    }
}

#[test]
fn every_event_of_a_heater_is_documented() {
    let topics = include_str!("../docs/topics.md");
    let (_, after) = topics.split_once("### `event`").expect("the section is there");
    let (events, _) = after.split_once("### ").expect("another section follows");
    for name in EVENT_TYPES {
        assert!(events.contains(&format!("`{name}`")), "{name} is missing in docs/topics.md");
    }
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let documentation = include_str!("../docs/configuration.md");
    let commented = include_str!("../config/navien2mqtt.toml");
    for line in commented.lines() {
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") else { continue };
        if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(documentation.contains(&format!("`{key}`")), "{key} is missing in docs/configuration.md");
        }
    }
}

#[test]
fn every_reason_of_an_outage_is_documented() {
    let operations = include_str!("../docs/operations.md");
    let sources = [
        include_str!("../src/daemon/classify.rs"),
        include_str!("../src/supervisor/machine.rs"),
        include_str!("../src/supervisor/machine/failure.rs"),
    ];
    let reasons = sources.iter().flat_map(|source| {
        let production = source.split("#[cfg(test)]").next().unwrap_or_default();
        production.split('"').skip(1).step_by(2)
    });
    for reason in reasons {
        let is_reason =
            reason.contains('-') && reason.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(!is_reason || operations.contains(&format!("`{reason}`")), "{reason} is missing in docs/operations.md");
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_entity_that_the_page_for_users_of_ha_nwp500_names_exists() {
    let page = include_str!("../docs/coming-from-ha_nwp500.md");
    let (_, after) = page.split_once("\n## Entities\n").expect("the section is there");
    let (entities, services) = after.split_once("\n## Services\n").expect("the section is there");
    let mut named: Vec<&str> = Vec::new();
    for line in entities.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        named.extend(quoted(cells.get(3).unwrap_or(&line)));
    }
    for kind in ["the switch ", "the button ", "the select ", "the number "] {
        named.extend(services.split(kind).skip(1).filter_map(|rest| quoted(rest).next()));
    }
    let known = |id: &str| PRODUCTS.iter().flat_map(|product| product.entities()).chain(BRIDGE).any(|row| row.id == id);
    for id in &named {
        assert!(known(id), "there is no entity {id}");
    }
    assert!(named.len() > 100, "{}", named.len());
}

#[test]
fn every_blueprint_that_the_page_for_users_of_ha_nwp500_names_exists() {
    let page = include_str!("../docs/coming-from-ha_nwp500.md");
    let ours = |name: &&str| name.ends_with(".yaml") && !name.starts_with("nwp500_") && !name.contains('/');
    let blueprints = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/home-assistant/blueprints");
    let mut seen = 0;
    for name in quoted(page).filter(ours) {
        let there = ["automation", "script"]
            .iter()
            .any(|kind| std::fs::exists(format!("{blueprints}/{kind}/{name}")).unwrap_or(false));
        assert!(there, "there is no blueprint {name}");
        seen += 1;
    }
    assert!(seen > 8, "{seen}");
}
