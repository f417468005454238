//! Events of heaters, and requests that the daemon carries out.

use super::*;

#[test]
fn an_event_of_a_heater_follows_its_status_and_is_not_retained() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 3 }));
    world.status(2, json!({ "dhwOperationSetting": 1 }));
    assert!(world.others.is_empty(), "nothing was known before");
    world.bridge.session_ended(world.moment());
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

#[test]
fn what_the_daemon_is_asked_for_is_handed_to_it_and_answered_in_its_name() {
    let mut world = World::new(&[heater(1)]);
    let order = |order: Order, id: Value| Effect::Administer { order, id: Some(id).filter(|id| !id.is_null()) };
    for (name, payload, expected) in [
        ("log_level", "debug", order(Order::SetLogLevel("debug".into()), Value::Null)),
        ("log_level", " debug\n", order(Order::SetLogLevel("debug".into()), Value::Null)),
        ("log_level", "\"debug\"", order(Order::SetLogLevel("debug".into()), Value::Null)),
        ("log_level", r#"{"value":"warn","id":"a"}"#, order(Order::SetLogLevel("warn".into()), json!("a"))),
        ("log_level", r#"{"id":1}"#, order(Order::SetLogLevel(String::new()), json!(1))),
        ("diagnostics", "", order(Order::Diagnostics, Value::Null)),
        ("restart", r#"{"id":[2]}"#, order(Order::Restart, json!([2]))),
    ] {
        let topic = format!("navien2mqtt/bridge/request/{name}");
        assert!(world.asks(&topic, payload, true).is_empty() && world.rest.is_empty(), "retained: not obeyed");
        assert!(world.asks(&topic, payload, false).is_empty(), "the daemon answers");
        assert_eq!(std::mem::take(&mut world.rest), [expected], "{payload}");
    }
    world.bridge.respond("log_level", Some(json!("a")), Ok(json!({ "log_level": "warn" })));
    world.bridge.respond("restart", None, Ok(Value::Null));
    world.bridge.respond("restart", None, Err("no".into()));
    world.drain();
    let told: Vec<_> = world.others.iter().map(|m| (m.topic.as_str(), m.retained, m.payload.as_ref())).collect();
    let restart = "navien2mqtt/bridge/response/restart";
    assert_eq!(
        told,
        [
            (
                "navien2mqtt/bridge/response/log_level",
                false,
                br#"{"ok":true,"data":{"log_level":"warn"},"id":"a"}"#.as_slice()
            ),
            (restart, false, br#"{"ok":true}"#.as_slice()),
            (restart, false, br#"{"ok":false,"error":"no"}"#.as_slice()),
        ]
    );
}

#[test]
fn what_a_request_changes_is_shown_with_the_bridge() {
    let mut world = World::new(&[heater(1)]);
    world.bridge.set_about("log_level", "debug".into());
    world.drain();
    let info = world.held_json("bridge/info");
    assert_eq!((&info["log_level"], &info["version"]), (&json!("debug"), &json!("0")));
    assert_eq!(info["devices"][0]["mac"], heater(1).mac.as_str());
}

#[test]
fn unknown_fields_and_numbers_are_counted_for_each_heater_in_bounded_memory() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    for number in 0..500 {
        world.status(1, json!({ "newField": 1, "operationMode": 33, format!("field{number}"): 1 }));
    }
    world.status(2, json!({}));
    world.arrives("cmd/52/navilink-04786332fc01/res", &json!(7));
    world.pass(MINUTE);
    let moment = world.moment();
    let seen = world.bridge.diagnostics(moment);
    let (one, other) = (&seen["heaters"][0], &seen["heaters"][1]);
    assert_eq!(one["unknown_fields"]["status: newField"], json!(500));
    assert_eq!(one["unknown_fields"].as_object().unwrap().len(), 101);
    assert_eq!(one["odd_values"], json!({ "status: `operationMode`: expected one of 0, 32, 64, 96, found 33": 500 }));
    assert_eq!((&other["unknown_fields"], &other["odd_values"]), (&json!({}), &json!({})));
    assert_eq!((&one["available"], &one["heard_of_seconds_ago"]), (&json!(true), &json!(60)));
    assert_eq!(seen["messages"], json!({ "status": 501, "unreadable": 1 }));
    let complaints = seen["complaints"].as_array().unwrap();
    let odd = json!({ "heater": heater(1).mac.as_str(), "kind": "status operationMode", "count": 500 });
    assert!(complaints.contains(&odd), "{complaints:?}");
}
