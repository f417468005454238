//! Events of heaters, and requests that the daemon carries out.

use super::*;

#[test]
fn an_event_of_a_heater_follows_its_status_and_is_not_retained() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 3 }));
    world.status(2, json!({ "dhwOperationSetting": 1 }));
    assert!(world.others.is_empty(), "nothing was known before");
    world.bridge.session_ended(0, world.moment());
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

#[test]
fn a_get_that_is_sent_five_hundred_times_a_second_is_forwarded_once_a_second() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({}));
    world.pass(Duration::from_secs(5));
    world.asked();
    let mut statuses = 0;
    for _ in 0..5000 {
        world.asks("navien2mqtt/04786332fc01/get/status", "", false);
        let asked = world.asked().iter().filter(|suffix| *suffix == "st").count();
        statuses += asked;
        if asked > 0 {
            world.status(1, json!({}));
        }
        world.pass(Duration::from_millis(2));
    }
    assert_eq!(statuses, 10);
}

#[test]
fn a_refresh_is_obeyed_once_in_five_seconds_and_the_others_say_when() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.pass(Duration::from_secs(20));
    world.asked();
    let refresh = |world: &mut World| {
        let response = world.asks("navien2mqtt/bridge/request/refresh", "", false);
        world.bridge.handle_timeout(world.moment());
        world.drain();
        serde_json::from_slice::<Value>(&response[0].payload).unwrap()
    };
    let answers: Vec<Value> = (0..600).map(|_| refresh(&mut world)).collect();
    assert_eq!(answers.iter().filter(|answer| answer["ok"] == true).count(), 1);
    assert_eq!(answers[1]["error"], "not yet: ask again in 5 s");
    world.pass(Duration::from_secs(2));
    assert_eq!(world.asked().len(), 7);
    world.pass(Duration::from_secs(3));
    assert_eq!(refresh(&mut world)["ok"], true);
}

#[test]
fn twenty_four_heaters_begin_with_a_burst_and_go_on_at_twenty_a_second_commands_first() {
    let heaters: Vec<Device> = (1..=24).map(heater).collect();
    let mut world = World::new(&heaters);
    world.begin_session();
    let mut sent = world.asked().len();
    assert_eq!(sent, 20);
    for second in 1..=6 {
        world.pass(Duration::from_secs(1));
        let asked = world.asked();
        assert!(asked.len() <= 20, "{}", asked.len());
        sent += asked.len();
        if second == 2 {
            world.feature(24, json!({ "powerUse": 2 }));
            world.asks(&format!("navien2mqtt/{}/set/power", heater(24).mac), "OFF", false);
            world.pass(Duration::from_millis(50));
            let asked = world.asked();
            assert_eq!(asked, ["ctrl"], "what is polled waits");
            sent += 1;
        }
    }
    assert_eq!(sent, 20 + 120 + 1);
    world.pass(Duration::from_secs(15));
    assert_eq!(sent + world.asked().len(), 24 * 8 + 1 + 1, "nothing is lost: the control, and the status after it");
}

#[test]
fn a_request_that_the_configuration_does_not_allow_is_answered_and_not_obeyed() {
    let mut world = World::with(BridgeSettings { allow: vec!["log_level"], ..settings() }, &[heater(1)]);
    world.begin_session();
    for name in ["reconnect", "refresh", "diagnostics", "restart", "forget"] {
        let response = world.asks(&format!("navien2mqtt/bridge/request/{name}"), r#"{"id":1}"#, false);
        let response: Value = serde_json::from_slice(&response[0].payload).unwrap();
        assert_eq!((&response["ok"], &response["id"]), (&json!(false), &json!(1)));
        assert!(response["error"].as_str().unwrap().contains("administration.allow"), "{response}");
    }
    world.asks("navien2mqtt/bridge/request/log_level", "debug", false);
    assert_eq!(world.rest, [Effect::Administer { order: Order::SetLogLevel("debug".into()), id: None }]);
}

#[test]
fn a_name_that_is_too_long_is_refused_and_never_repeated_whole() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.pass(Duration::from_secs(5));
    world.asked();
    let mut long = 0;
    for number in 0..505 {
        let name = format!("{number}{}", "é".repeat(30_000));
        for topic in [format!("04786332fc01/get/{name}"), format!("bridge/request/{name}")] {
            assert!(world.asks(&format!("navien2mqtt/{topic}"), "x", number % 2 == 0).is_empty());
        }
        let told = world.asks(&format!("navien2mqtt/04786332fc01/set/{name}"), r#"{"value":1,"id":7}"#, false);
        let result: Value = serde_json::from_slice(&told[0].payload).unwrap();
        assert_eq!((&result["status"], &result["id"], told.len()), (&json!("rejected"), &json!(7), 1));
        long = long.max(told[0].payload.len());
    }
    assert!(long < 300, "{long}");
    assert!(world.asked().is_empty());
    assert_eq!(world.warnings.len(), 1, "{:?}", world.warnings.len());
    let moment = world.moment();
    assert!(world.bridge.diagnostics(moment).to_string().len() < 2000);
    let logged = world.rest.iter().map(|effect| format!("{effect:?}").len()).sum::<usize>();
    assert!(logged < 210 * 300, "{logged}");
}

#[test]
fn ten_thousand_sets_are_each_told_their_end_and_logged_a_few_times() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.feature(1, json!({ "powerUse": 2 }));
    world.rest.clear();
    let mut ended = 0;
    for number in 0..10_000 {
        let payload = json!({ "value": if number % 3 == 0 { "ON" } else { "?" }, "id": number }).to_string();
        let told = world.asks("navien2mqtt/04786332fc01/set/power", &payload, false);
        ended += told
            .iter()
            .filter(|m| {
                m.topic.ends_with("/result")
                    && !m.payload.windows(8).any(|w| w == br#""queued""# || w.starts_with(br#""sent""#))
            })
            .count();
        world.pass(Duration::from_millis(1));
    }
    let logged = world.rest.iter().filter(|effect| matches!(effect, Effect::Command { .. })).count();
    assert!(logged <= 20, "{logged}");
    let closing = world.bridge.closing_messages(world.moment());
    ended += closing.iter().filter(|m| m.topic.ends_with("/result")).count();
    assert_eq!(ended, 10_000);
}
