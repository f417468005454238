//! What is left of a command that has ended: an event where it came to nothing, and its end on `commands`.

use serde_json::{Value, json};

use super::commands::{DEVICE, SECOND, ready};
use super::*;

/// The events of commands: name, control and reason.
fn told(messages: &[Message]) -> Vec<(String, String, String)> {
    let events = messages.iter().filter(|message| message.topic == format!("{DEVICE}/event"));
    let events = events.map(|message| serde_json::from_slice::<Value>(&message.payload).unwrap());
    let of_commands = events.filter(|event| event["event"].as_str().unwrap().starts_with("command_"));
    of_commands
        .map(|event| {
            assert_eq!(event["event"], event["event_type"]);
            assert!(event["at"].is_string() && event.get("status").is_none(), "{event}");
            let word = |member: &str| event[member].as_str().unwrap().to_owned();
            (word("event"), word("name"), word("reason"))
        })
        .collect()
}

fn last(world: &World) -> Value {
    world.held_json("04786332fc01/commands")["last"].clone()
}

fn set(world: &mut World, name: &str, payload: &str) -> Vec<Message> {
    world.asks(&format!("{DEVICE}/set/{name}"), payload, false)
}

#[test]
fn a_rejected_command_is_an_event_with_name_and_reason_and_is_kept_as_the_last_end() {
    let mut world = ready();
    assert_eq!(last(&world), Value::Null);
    let payload = r#"{"value": 900, "id": "dial"}"#;
    let events = told(&set(&mut world, "temperature", payload));
    assert_eq!((events.len(), &*events[0].0, &*events[0].1), (1, "command_rejected", "temperature"));
    let end = last(&world);
    assert_eq!((&end["status"], &end["name"], &end["id"]), (&json!("rejected"), &json!("temperature"), &json!("dial")));
    assert_eq!((&end["reason"], &end["in_force"]), (&json!(events[0].2), &json!(false)));
    world.pass(Duration::from_millis(1));
    set(&mut world, "temperature", "900");
    assert_ne!(last(&world)["at"], end["at"], "the same again is another end, or a dial would not go back");
}

#[test]
fn a_failed_and_an_expired_command_are_events_as_well() {
    let mut world = ready();
    set(&mut world, "power", "OFF");
    world.bridge.session_ended(0, world.moment());
    world.drain();
    let events = told(&std::mem::take(&mut world.others));
    assert_eq!((&*events[0].0, &*events[0].1), ("command_failed", "power"));
    assert!(events[0].2.contains("the connection was lost"), "{events:?}");
    assert_eq!(last(&world)["status"], "failed");
    set(&mut world, "power", "ON");
    world.pass(300 * SECOND);
    let events = told(&std::mem::take(&mut world.others));
    assert_eq!((&*events[0].0, &*events[0].1, events.len()), ("command_expired", "power", 1));
    assert_eq!(last(&world)["status"], "expired");
}

#[test]
fn a_command_that_is_confirmed_or_replaced_by_a_newer_one_is_no_event() {
    let mut world = ready();
    world.bridge.session_ended(0, world.moment());
    for temperature in ["50", "52", "55"] {
        assert_eq!(told(&set(&mut world, "temperature", temperature)), []);
    }
    assert_eq!(last(&world), Value::Null, "the end of the newest is the one that counts");
    world.begin_session();
    world.acknowledges(1, json!({ "dhwTemperatureSetting": 110, "vacationDaySetting": 9 }));
    assert_eq!(told(&std::mem::take(&mut world.others)), []);
    assert_eq!((&last(&world)["status"], &last(&world)["in_force"]), (&json!("confirmed"), &json!(true)));
    assert_eq!(world.held_json("04786332fc01/commands")["vacation_days"], 9);
}

#[test]
fn what_is_asked_of_an_unknown_or_a_leaving_heater_leaves_no_topic_behind() {
    let mut world = ready();
    world.asks("navien2mqtt/04786332fc09/set/power", "ON", false);
    set(&mut world, "power", "OFF");
    let left = world.asks("navien2mqtt/bridge/request/forget", heater(1).mac.as_str(), false);
    assert_eq!(told(&left).len(), 1, "{left:?}");
    assert!(world.broker.keys().all(|topic| !topic.ends_with("/commands")), "{:?}", world.broker.keys());
}

#[test]
fn what_no_status_shows_is_what_was_last_confirmed_and_is_kept_over_a_restart_with_the_last_end() {
    let mut world = ready();
    let confirmed = |world: &World| world.held_json("04786332fc01/commands")["confirmed"].clone();
    assert_eq!(confirmed(&world), json!({ "demand_response": null, "intelligent_scheduling": null }));
    set(&mut world, "demand_response", "ON");
    assert_eq!(confirmed(&world)["demand_response"], Value::Null, "a wish is not what is so");
    world.acknowledges(1, json!({}));
    assert_eq!(confirmed(&world)["demand_response"], true);
    world.pass(2 * SECOND);
    set(&mut world, "demand_response", "OFF");
    world.pass(60 * SECOND);
    assert_eq!((&last(&world)["status"], &confirmed(&world)["demand_response"]), (&json!("failed"), &json!(true)));
    let kept = serde_json::to_string(&world.bridge.memories()).unwrap();
    let mut next = World::new(&[heater(1)]);
    next.bridge.restore(serde_json::from_str(&kept).unwrap());
    next.drain();
    assert_eq!(
        next.held_json("04786332fc01/commands"),
        json!({
            "vacation_days": null, "confirmed": confirmed(&world), "last": last(&world),
        })
    );
}

#[test]
fn firmware_that_is_downloaded_and_newer_is_an_update_that_one_word_installs() {
    let mut settings = settings();
    settings.heater.commands.allow_firmware_commit = true;
    let mut world = World::with(settings, &[heater(1)]);
    world.begin_session();
    let mac = heater(1).mac;
    let mut arrives = |suffix: &str, response: Value| {
        world.arrives(
            &format!("cmd/52/navilink-{mac}/{suffix}"),
            &json!({ "clientID": "client", "response": response }),
        );
        world.broker.get(&format!("{DEVICE}/firmware")).map(|held| serde_json::from_slice::<Value>(held).unwrap())
    };
    let downloads =
        json!({ "downloadSwInfo": [{ "swCode": 12, "swVersion": 0x0b02_0000, "otaMode": 0, "status": 0 }] });
    let unknown = arrives("res/dl-sw-info", downloads).unwrap();
    assert_eq!(unknown["versions"], json!({}), "what it runs is not known yet");
    let feature = json!({ "powerUse": 2, "controllerSwCode": 12, "controllerSwVersion": 0x0b01_0000 });
    let known = arrives("client/res", json!({ "macAddress": mac.as_cloud(), "feature": feature })).unwrap();
    let (installed, latest) = (&known["versions"]["installed_version"], &known["versions"]["latest_version"]);
    assert_eq!((installed, latest), (&json!("11.1.0.0"), &json!("11.2.0.0")));
    set(&mut world, "firmware_commit", "INSTALL");
    let sent = world.requests.iter().find(|message| {
        message.topic.ends_with("/ctrl/commit-ota") || {
            String::from_utf8_lossy(&message.payload).contains("commitOta")
        }
    });
    let sent: Value = serde_json::from_slice(&sent.unwrap().payload).unwrap();
    assert_eq!(sent["request"]["commitOta"], json!({ "swCode": 12, "swVersion": 0x0b02_0000 }));
}

#[test]
fn requests_answers_and_time_outs_are_counted() {
    let mut world = ready();
    let counters = |world: &World| {
        let held = world.held_json("04786332fc01/counters");
        ["sent", "answered", "timed_out"].map(|name| held[name].as_u64().unwrap())
    };
    let before = counters(&world);
    world.pass(61 * SECOND);
    world.status(1, json!({}));
    world.pass(60 * SECOND);
    let [sent, answered, timed_out] = counters(&world);
    assert!(
        sent > before[0] && answered > before[1] && timed_out > before[2],
        "{before:?} {sent} {answered} {timed_out}"
    );
    assert!(answered + timed_out <= sent);
}
