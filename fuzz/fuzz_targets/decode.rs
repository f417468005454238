//! Whatever `navien2mqtt decode` accepts it prints as JSON, and what it prints does not depend on the run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::decode::decode;
use navien2mqtt::units::UnitsChoice;

fuzz_target!(|data: &[u8]| {
    let Ok(decoded) = decode(data, UnitsChoice::Device) else { return };
    let printed = serde_json::to_string(&decoded.object).expect("decoded JSON can be printed");
    assert_eq!(decode(data, UnitsChoice::Device), Ok(decoded));
    assert!(printed.contains("\"units\""));
});
