//! What a broker has otherwise than it was told, and what is said again.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::{MINUTE, World, heater};

const STATE: &str = "navien2mqtt/bridge/state";
const AVAILABILITY: &str = "navien2mqtt/04786332fc01/availability";

#[test]
fn presence_is_said_again_with_every_status() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({}));
    for topic in [STATE, AVAILABILITY] {
        world.broker.insert(topic.to_owned(), Bytes::from_static(b"offline"));
    }
    world.pass(Duration::from_secs(1));
    assert_eq!(world.held("bridge/state"), "offline");
    world.status(1, json!({}));
    assert_eq!([world.held("bridge/state"), world.held("04786332fc01/availability")], ["online", "online"]);
    assert_eq!(world.held("04786332fc02/availability"), "offline");
}

#[test]
fn what_others_write_to_our_presence_is_corrected_after_two_seconds_and_said_once() {
    let mut world = World::new(&[heater(1)]);
    world.status(1, json!({}));
    let filters = world.bridge.filters();
    assert!(filters.contains(&STATE.to_owned()) && filters.contains(&"navien2mqtt/+/availability".to_owned()));
    for wrong in [b"offline".as_slice(), b""] {
        for topic in [STATE, AVAILABILITY] {
            world.broker.insert(topic.to_owned(), Bytes::copy_from_slice(wrong));
            world.asks(topic, std::str::from_utf8(wrong).unwrap(), false);
        }
        world.pass(Duration::from_millis(1999));
        assert_eq!(world.held("bridge/state").as_bytes(), wrong);
        world.pass(Duration::from_millis(1));
        assert_eq!([world.held("bridge/state"), world.held("04786332fc01/availability")], ["online", "online"]);
    }
    assert_eq!(world.warnings.len(), 2, "once a topic: {:?}", world.warnings);
}

#[test]
fn an_echo_of_our_own_is_no_reason_to_say_it_again() {
    let mut world = World::new(&[heater(1)]);
    world.status(1, json!({}));
    // A will that is heard of at the end of a session is no news in the next one.
    world.asks(STATE, "offline", false);
    world.bridge.broker_gone();
    // The last will of the session before, then what the new one said; and a heater that is not ours.
    world.asks(STATE, "offline", true);
    world.pass(Duration::from_secs(1));
    world.asks(STATE, "online", false);
    world.asks(AVAILABILITY, "online", true);
    world.asks("navien2mqtt/04786332ffff/availability", "offline", true);
    world.broker.clear();
    world.pass(MINUTE);
    assert!(world.broker.is_empty(), "{:?}", world.broker);
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
}
