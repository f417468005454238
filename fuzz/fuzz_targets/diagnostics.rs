//! Any answer decodes to a bounded number of counters that are numbers or null.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::diagnostics::decode_diagnostics;
use navien2mqtt::navilink::encoding::Object;

fuzz_target!(|data: &[u8]| {
    let Ok(response) = serde_json::from_slice::<Object>(data) else { return };
    let decoded = decode_diagnostics(&response);
    assert!(decoded.object.len() <= 1000);
    assert!(decoded.object.iter().all(|(_, counter)| counter.is_number() || counter.is_null()));
});
