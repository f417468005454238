//! Any answer decodes to a list of bounded length whose every entry has all its members.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::firmware::decode_firmware;

fuzz_target!(|data: &[u8]| {
    let Ok(response) = serde_json::from_slice::<Object>(data) else { return };
    let decoded = decode_firmware(&response);
    let downloads = decoded.object["downloads"].as_array().expect("the list is always there");
    assert!(downloads.len() <= 1000);
    assert!(downloads.iter().all(|download| download.as_object().is_some_and(|download| download.len() == 4)));
});
