//! Holds the tables of a product together: what one names, another has.

use std::collections::BTreeSet;

use navien2mqtt::navilink::encoding::{Object, Row};
use navien2mqtt::product::entity::{Component, Entity, Reading, Requirement, Topic};
use navien2mqtt::product::{PRODUCTS, Product};
use navien2mqtt::units::UnitsChoice;

fn assert_unique<'a>(what: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    names.for_each(|name| assert!(seen.insert(name), "{what}: {name} stands there twice"));
}

/// Returns the entities of every product.
fn entities() -> impl Iterator<Item = (&'static Product, &'static Entity)> {
    PRODUCTS.iter().flat_map(|product| product.entities().map(|entity| (*product, entity)))
}

#[test]
fn no_name_stands_twice_in_a_table() {
    let keys = |rows: &'static [Row]| rows.iter().map(|row| row.key);
    let names = |rows: &'static [Row]| rows.iter().map(|row| row.name);
    for product in PRODUCTS {
        assert_unique("entities", product.entities().map(|entity| entity.id));
        for (what, rows) in [("status", product.status), ("device information", product.feature)] {
            assert_unique(what, keys(rows));
            assert_unique(what, names(rows));
        }
        assert_unique("controls", product.controls.iter().map(|row| row.name));
    }
    let device_types: BTreeSet<u32> = PRODUCTS.iter().map(|product| product.device_type).collect();
    assert_eq!(device_types.len(), PRODUCTS.len());
}

#[test]
fn every_control_that_an_entity_names_exists() {
    let mut checked = 0;
    for (product, entity) in entities() {
        let Some(Topic::Heater(topic)) = entity.writes_to() else { continue };
        let Some(name) = topic.strip_prefix("set/") else { continue };
        assert!(product.control(name).is_some(), "{}: there is no control {name}", entity.id);
        checked += 1;
    }
    assert!(checked > 0);
}

/// What the heater's machine adds to a decoded status.
const ADDED: &[&str] = &["received_at", "mode_before_vacation"];

#[test]
fn every_member_of_the_status_that_an_entity_shows_exists() {
    let mut checked = 0;
    for (product, entity) in entities().filter(|(_, entity)| entity.topic == Topic::Heater("status")) {
        let Reading::Key(key) = entity.reading else { continue };
        // Discovery has templates of its own for it.
        if entity.component == Component::WaterHeater {
            continue;
        }
        let status = product.decode_status(&Object::new(), UnitsChoice::Device).object;
        assert!(status.contains_key(key) || ADDED.contains(&key), "{}: a status has no {key}", entity.id);
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn every_flag_that_an_entity_needs_is_one_of_the_device_information() {
    for (product, entity) in entities() {
        let Requirement::Flag(flag) = entity.needs else { continue };
        assert!(product.feature.iter().any(|row| row.name == flag), "{}: there is no flag {flag}", entity.id);
    }
}
