//! Events of heaters, and requests that the daemon carries out.

use super::*;

#[test]
fn an_event_of_a_heater_follows_its_status_and_is_not_retained() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 3 }));
    world.status(2, json!({ "dhwOperationSetting": 1 }));
    assert!(world.others.is_empty(), "nothing was known before");
    world.bridge.session_ended();
    world.pass(10 * MINUTE);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 1 }));
    let event = world.others.pop().unwrap();
    assert_eq!((event.topic.as_str(), event.retained), ("navien2mqtt/04786332fc01/event", false));
    let event: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(
        event,
        json!({
            "event_type": "mode_changed", "event": "mode_changed", "at": "2027-01-15T08:10:00.000Z",
            "old": "energy_saver", "new": "heat_pump",
        })
    );
    assert!(world.others.is_empty());
}
