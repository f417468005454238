//! Any object decodes to every key of a status, once and in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::units::UnitsChoice;

fuzz_target!(|data: &[u8]| {
    let product = PRODUCTS[0];
    let Ok(status) = serde_json::from_slice::<Object>(data) else { return };
    for choice in [UnitsChoice::Device, UnitsChoice::Metric, UnitsChoice::Us] {
        let decoded = product.decode_status(&status, choice);
        assert!(decoded.object.keys().zip(product.status).all(|(name, row)| name == row.name));
        // The derived members and `units` follow.
        let derived = (product.derived)(&decoded.object).len();
        assert_eq!(decoded.object.len(), product.status.len() + derived + 1);
        assert!(decoded.problems.len() + decoded.unknown.len() <= status.len());
    }
});
