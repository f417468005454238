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
    world.bridge.session_ended(world.moment());
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
    world.bridge.session_ended(world.moment());
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
