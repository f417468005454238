//! Any object decodes to every key of device information, once and in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::feature::{FEATURE, decode_feature};
use navien2mqtt::units::UnitsChoice;

fuzz_target!(|data: &[u8]| {
    let Ok(feature) = serde_json::from_slice::<Object>(data) else { return };
    let decoded = decode_feature(&feature, UnitsChoice::Device);
    assert!(decoded.object.keys().zip(FEATURE).all(|(name, row)| name == row.name));
    assert_eq!(decoded.object.len(), FEATURE.len() + 1);
    assert!(decoded.problems.len() + decoded.unknown.len() <= feature.len());
});
