//! Any object decodes to every key of device information, once and in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::units::UnitsChoice;

fuzz_target!(|data: &[u8]| {
    let product = PRODUCTS[0];
    let Ok(feature) = serde_json::from_slice::<Object>(data) else { return };
    let decoded = product.decode_feature(&feature, UnitsChoice::Device);
    assert!(decoded.object.keys().zip(product.feature).all(|(name, row)| name == row.name));
    assert_eq!(decoded.object.len(), product.feature.len() + 1);
    assert!(decoded.problems.len() + decoded.unknown.len() <= feature.len());
});
