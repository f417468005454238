//! Any answer decodes to a schedule of bounded length whose times are times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::schedule::{decode_recirculation, decode_reservations, decode_tou};
use navien2mqtt::units::UnitSystem;

fuzz_target!(|data: &[u8]| {
    let Ok(response) = serde_json::from_slice::<Object>(data) else { return };
    let decoded = [
        ("entries", decode_reservations(&response, UnitSystem::Us)),
        ("entries", decode_recirculation(&response)),
        ("periods", decode_tou(&response)),
    ];
    for (list, decoded) in decoded {
        let entries = decoded.object[list].as_array().expect("the list is always there");
        assert!(entries.len() <= 1000);
        let times = entries.iter().flat_map(|entry| [&entry["time"], &entry["start"], &entry["end"]]);
        for time in times.filter_map(|time| time.as_str()) {
            assert!(time.len() == 5 && time < "24:00" && &time[3..] < "60");
        }
    }
});
