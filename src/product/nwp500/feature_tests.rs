use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::NWP500;
use super::*;
use crate::navilink::encoding::tests::{any_json, any_object_of};
use crate::navilink::encoding::{Decoded, Object};
use crate::units::UnitsChoice;

const WIRE: &str = include_str!("../../../fuzz/seeds/feature/nwp500.json");

fn decode_feature(told: &Object, choice: UnitsChoice) -> Decoded {
    NWP500.decode_feature(told, choice)
}

#[test]
fn the_table_has_the_43_fields_of_the_protocol_reference() {
    assert_eq!(FEATURE.len(), 43);
    assert_eq!(FEATURE.iter().map(|row| row.key).collect::<BTreeSet<_>>().len(), 43);
    assert_eq!(FEATURE.iter().map(|row| row.name).collect::<BTreeSet<_>>().len(), 43);
}

#[test]
fn full_device_information_decodes_to_its_golden_files_in_both_units() {
    let wire: Object = serde_json::from_str(WIRE).unwrap();
    for (choice, golden) in [
        (UnitsChoice::Device, include_str!("golden/feature.us.json")),
        (UnitsChoice::Metric, include_str!("golden/feature.metric.json")),
    ] {
        let decoded = decode_feature(&wire, choice);
        assert_eq!((decoded.problems, decoded.unknown), (vec![], vec![]));
        let golden: Object = serde_json::from_str(golden).unwrap();
        assert!(decoded.object.keys().eq(golden.keys()), "the keys stand in the table's order");
        for (name, value) in golden {
            assert_eq!(decoded.object[&name], value, "{name}");
        }
    }
}

#[test]
fn another_model_and_an_absent_capability_are_unknown() {
    let feature = json!({"modelTypeCode": 514, "volumeCode": 4});
    let decoded = decode_feature(feature.as_object().unwrap(), UnitsChoice::Device);
    assert_eq!(decoded.object["model_type_code"], Value::Null);
    assert_eq!(decoded.object["power_use"], Value::Null);
    let problems: Vec<_> = decoded.problems.iter().map(ToString::to_string).collect();
    let expected =
        ["`modelTypeCode`: expected one of 513, found 514", "`volumeCode`: expected one of 1, 2, 3, found 4"];
    assert_eq!(problems, expected);
}

proptest! {
    #[test]
    fn any_object_gives_every_key_once_in_order(feature in any_object_of(FEATURE)) {
        let decoded = decode_feature(&feature, UnitsChoice::Device);
        prop_assert!(decoded.object.keys().eq(FEATURE.iter().map(|row| row.name).chain(["units"])));
    }

    #[test]
    fn a_broken_field_changes_its_own_key_only(at in 0..FEATURE.len(), value in any_json()) {
        let whole: Object = serde_json::from_str(WIRE).unwrap();
        let mut broken = whole.clone();
        broken.insert(FEATURE[at].key.to_owned(), value);
        let [whole, broken] = [whole, broken].map(|feature| decode_feature(&feature, UnitsChoice::Us).object);
        for (name, value) in whole.iter() {
            prop_assert!(FEATURE[at].name == name || broken[name] == *value, "{} changed {name}", FEATURE[at].key);
        }
    }
}
