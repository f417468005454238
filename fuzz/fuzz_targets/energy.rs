//! Any answer decodes to a list of bounded length whose every entry has all its members.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::energy::{decode_daily, decode_hourly, decode_monthly};

fuzz_target!(|data: &[u8]| {
    let Ok(response) = serde_json::from_slice::<Object>(data) else { return };
    for (list, most, decoded) in [
        ("hours", 1024, decode_hourly(&response)),
        ("days", 1031, decode_daily(&response)),
        ("months", 1012, decode_monthly(&response)),
    ] {
        let entries = decoded.object[list].as_array().expect("the list is always there");
        assert!(entries.len() < most);
        assert!(entries.iter().all(|entry| entry.as_object().is_some_and(|entry| entry.len() == 5)));
    }
});
