//! Whatever arrives on whatever topic (the first line) is read or refused; a request is never taken for an answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::navilink::message::{Body, read};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (topic, payload) = data.split_at(end);
    let topic = String::from_utf8_lossy(topic);
    let json = serde_json::from_slice::<Value>(payload);
    match read(&topic, payload) {
        Ok(message) => {
            assert_eq!(message.repaired, json.is_err());
            let Ok(json) = json else { return };
            assert_eq!(message.body == Body::Request, json.get("request").is_some_and(Value::is_object));
        }
        Err(_) => assert!(!json.is_ok_and(|json| json.is_object())),
    }
});
