use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

fn object(value: Value) -> Object {
    value.as_object().unwrap().clone()
}

#[test]
fn the_table_has_the_103_fields_of_the_protocol_reference() {
    assert_eq!(STATUS.len(), 103);
    assert_eq!(STATUS.iter().map(|row| row.key).collect::<BTreeSet<_>>().len(), 103);
    assert_eq!(STATUS.iter().map(|row| row.name).collect::<BTreeSet<_>>().len(), 103);
}
