//! Whatever `navien2mqtt decode` accepts it prints as JSON, and what it prints does not depend on the run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::decode::{Found, decode};
use navien2mqtt::units::UnitsChoice;

fuzz_target!(|data: &[u8]| {
    let Ok(found) = decode(data, UnitsChoice::Device) else { return };
    let printed = match &found {
        Found::Message(reading) => serde_json::to_string(&reading.decoded.object),
        Found::Recorded(lines) => serde_json::to_string(lines),
    }
    .expect("decoded JSON can be printed");
    if let Found::Message(reading) = &found
        && matches!(reading.kind, "status" | "info")
    {
        assert!(printed.contains("\"units\""));
    }
    assert_eq!(decode(data, UnitsChoice::Device), Ok(found));
});
