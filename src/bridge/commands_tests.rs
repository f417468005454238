//! Commands in simulated time: in order, not too late, and each of them ended exactly once.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::tests::{World, heater};
use super::*;
use crate::bridge::Message;

const SECOND: Duration = Duration::from_secs(1);
const DEVICE: &str = "navien2mqtt/04786332fc01";

/// A world whose heater has told its abilities and its units.
fn ready() -> World {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 3, "dhwTemperatureSetting": 100 }));
    tell_abilities(&mut world);
    world.asked();
    world
}

fn tell_abilities(world: &mut World) {
    let feature = json!({
        "temperatureType": 1, "powerUse": 2, "dhwUse": 2, "heatpumpUse": 2, "electricUse": 2, "programReservationUse": 2,
        "dhwTemperatureSettingUse": 2, "dhwTemperatureMin": 70, "dhwTemperatureMax": 131, "drSettingUse": 2,
    });
    let mac = heater(1).mac;
    let answer = json!({ "clientID": "client", "response": { "macAddress": mac.as_cloud(), "feature": feature } });
    world.arrives(&format!("cmd/52/navilink-{mac}/client/res"), &answer);
}

fn results(messages: &[Message]) -> Vec<String> {
    let results = messages.iter().filter(|message| message.topic.ends_with("/result"));
    results
        .map(|message| {
            let result: Value = serde_json::from_slice(&message.payload).unwrap();
            assert!(!message.retained && result["at"].is_string(), "{result}");
            format!("{} {}", result["name"].as_str().unwrap(), result["status"].as_str().unwrap())
        })
        .collect()
}

fn set(world: &mut World, name: &str, payload: &str) -> Vec<String> {
    results(&world.asks(&format!("{DEVICE}/set/{name}"), payload, false))
}

fn later(world: &mut World) -> Vec<String> {
    results(&std::mem::take(&mut world.others))
}

fn controls(world: &mut World) -> Vec<String> {
    world.asked().into_iter().filter(|suffix| suffix.starts_with("ctrl")).collect()
}

fn refused(world: &mut World, client: &str, code: i64) {
    let mac = heater(1).mac;
    let answer = json!({ "clientID": client, "response": { "macAddress": mac.as_cloud(), "failCode": code } });
    world.arrives(&format!("cmd/52/navilink-{mac}/res/ctrl-fail"), &answer);
}

#[test]
fn a_command_is_sent_at_once_and_confirmed_by_a_status_that_shows_it() {
    let mut world = ready();
    let messages = world.asks(&format!("{DEVICE}/set/temperature"), r#"{"value": 55, "id": "a7"}"#, false);
    assert_eq!(results(&messages), ["temperature sent"]);
    assert_eq!(serde_json::from_slice::<Value>(&messages[0].payload).unwrap()["id"], "a7");
    assert_eq!(world.asked(), ["ctrl", "st"], "the next status comes at once");
    world.status(1, json!({ "dhwTemperatureSetting": 100 }));
    assert!(later(&mut world).is_empty(), "a status from before does not confirm it");
    world.status(1, json!({ "dhwTemperatureSetting": 110 }));
    assert_eq!(later(&mut world), ["temperature confirmed"]);
    world.pass(60 * SECOND);
    assert!(later(&mut world).is_empty());
}

#[test]
fn what_is_wrong_is_rejected_and_nothing_is_sent() {
    let mut world = ready();
    for (name, payload) in [("temperature", "200"), ("recirculation_mode", "weekly"), ("turbo", "1"), ("power", "?")] {
        assert_eq!(set(&mut world, name, payload), [format!("{name} rejected")]);
    }
    assert!(world.asked().is_empty());
    let big = "x".repeat(64 * 1024 + 1);
    assert_eq!(set(&mut world, "mode", &big), ["mode rejected"]);
    assert!(set(&mut world, "mode", "").is_empty(), "clearing a retained message is no command");
}

#[test]
fn a_retained_command_is_never_obeyed() {
    let mut world = ready();
    assert!(world.asks(&format!("{DEVICE}/set/power"), "OFF", true).is_empty());
    assert!(world.asked().is_empty());
}

#[test]
fn what_is_not_confirmed_in_time_has_failed_and_the_next_one_follows() {
    let mut world = ready();
    assert_eq!(set(&mut world, "power", "OFF"), ["power sent"]);
    assert_eq!(set(&mut world, "demand_response", "ON"), ["demand_response queued"]);
    world.pass(29 * SECOND);
    assert!(later(&mut world).is_empty());
    world.pass(SECOND);
    assert_eq!(later(&mut world), ["power failed", "demand_response sent"]);
    world.status(1, json!({}));
    assert_eq!(later(&mut world), ["demand_response confirmed"], "no status shows it, so any answer to us must do");
}

#[test]
fn commands_wait_for_the_cloud_in_order_and_the_newest_wins() {
    let mut world = ready();
    world.bridge.session_ended(world.moment());
    assert_eq!(set(&mut world, "temperature", "50"), ["temperature queued"]);
    assert_eq!(set(&mut world, "power", "OFF"), ["power queued"]);
    assert_eq!(set(&mut world, "temperature", "55"), ["temperature expired", "temperature queued"]);
    assert_eq!(set(&mut world, "demand_response", "ON"), ["demand_response queued"]);
    assert_eq!(set(&mut world, "mode", "electric"), ["mode rejected"], "the queue is full");
    world.pass(60 * SECOND);
    assert!(controls(&mut world).is_empty());
    world.begin_session();
    assert_eq!(later(&mut world), ["power sent"]);
    world.status(1, json!({ "dhwOperationSetting": 6 }));
    assert_eq!(later(&mut world), ["power confirmed", "temperature sent"]);
    world.status(1, json!({ "dhwTemperatureSetting": 110 }));
    assert_eq!(later(&mut world), ["temperature confirmed", "demand_response sent"]);
}

#[test]
fn what_waited_too_long_expires_instead_of_heating_water_at_midnight() {
    let mut world = ready();
    world.bridge.session_ended(world.moment());
    assert_eq!(set(&mut world, "power", "ON"), ["power queued"]);
    world.pass(299 * SECOND);
    assert!(later(&mut world).is_empty());
    world.pass(SECOND);
    assert_eq!(later(&mut world), ["power expired"]);
    world.begin_session();
    assert!(controls(&mut world).is_empty() && later(&mut world).is_empty());
}

#[test]
fn a_command_under_way_when_the_session_ends_has_failed_and_is_not_sent_again() {
    let mut world = ready();
    assert_eq!(set(&mut world, "power", "OFF"), ["power sent"]);
    world.bridge.session_ended(world.moment());
    world.drain();
    assert_eq!(later(&mut world), ["power failed"]);
    world.asked();
    world.begin_session();
    assert!(controls(&mut world).is_empty());
}

#[test]
fn a_control_that_came_too_soon_is_sent_again_and_others_are_refused() {
    let mut world = ready();
    set(&mut world, "power", "OFF");
    refused(&mut world, "somebody", 3);
    assert!(later(&mut world).is_empty(), "another client's");
    for _ in 0..4 {
        assert_eq!(controls(&mut world), ["ctrl"]);
        refused(&mut world, "client", TOO_SOON);
        assert!(later(&mut world).is_empty() && controls(&mut world).is_empty());
        world.pass(REST);
    }
    assert_eq!(controls(&mut world), ["ctrl"]);
    refused(&mut world, "client", TOO_SOON);
    assert_eq!(later(&mut world), ["power rejected"], "not for ever");
    set(&mut world, "power", "OFF");
    refused(&mut world, "client", 3);
    assert_eq!(later(&mut world), ["power rejected"]);
}

#[test]
fn a_reservation_is_added_to_what_the_heater_holds_now() {
    let mut world = ready();
    let held = json!([{"enable": 2, "week": 64, "hour": 6, "min": 0, "mode": 1, "param": 100}]);
    let entry = r#"{"days": ["friday"], "time": "18:30", "mode": "electric", "temperature": 50, "id": 1}"#;
    assert!(set(&mut world, "reservation_add", entry).is_empty(), "nothing is written from what was not read");
    assert_eq!(world.asked(), ["st/rsv/rd"]);
    let answer = |entries: &Value| {
        let mac = heater(1).mac;
        json!({ "clientID": "client", "response": {
            "macAddress": mac.as_cloud(), "reservationUse": 2, "reservation": entries } })
    };
    world.arrives("cmd/52/client/res/rsv/rd", &answer(&held));
    assert_eq!(later(&mut world), ["reservation_add sent"]);
    let written = world.requests.iter().find(|out| out.topic.ends_with("/ctrl/rsv/rd")).unwrap();
    let written: Value = serde_json::from_slice(&written.payload).unwrap();
    let both = written["request"]["reservation"].clone();
    assert_eq!((both.as_array().unwrap().len(), &both[0]), (2, &held[0]));
    assert_eq!(both[1], json!({"enable": 2, "week": 4, "hour": 18, "min": 30, "mode": 2, "param": 100}));
    world.arrives("cmd/52/client/res/rsv/rd", &answer(&held));
    assert!(later(&mut world).is_empty(), "the old schedule does not confirm it");
    world.arrives("cmd/52/client/res/rsv/rd", &answer(&both));
    assert_eq!(later(&mut world), ["reservation_add confirmed"]);
    assert!(set(&mut world, "reservation_delete", "3").is_empty());
    world.arrives("cmd/52/client/res/rsv/rd", &answer(&both));
    assert_eq!(later(&mut world), ["reservation_delete rejected"], "there is no third one");
}

#[test]
fn commands_wait_until_the_heater_has_told_its_abilities() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.asked();
    assert_eq!(set(&mut world, "temperature", "55"), ["temperature queued"]);
    assert_eq!(set(&mut world, "recirculation_hot_button", "PRESS"), ["recirculation_hot_button queued"]);
    tell_abilities(&mut world);
    assert_eq!(later(&mut world), ["temperature sent"]);
    world.status(1, json!({ "dhwTemperatureSetting": 110 }));
    assert_eq!(later(&mut world), ["temperature confirmed", "recirculation_hot_button rejected"]);
}

#[test]
fn everything_ends_with_the_bridge_and_with_the_heater() {
    for heater_leaves in [true, false] {
        let mut world = ready();
        set(&mut world, "power", "OFF");
        set(&mut world, "demand_response", "ON");
        let moment = world.moment();
        if heater_leaves {
            world.bridge.set_heaters(&[heater(2)], moment);
            world.drain();
            assert_eq!(later(&mut world), ["power failed", "demand_response expired"]);
        } else {
            let farewell = world.bridge.farewell(moment);
            assert_eq!(results(&farewell), ["power failed", "demand_response expired"]);
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Set(&'static str, &'static str),
    Status(i64, i64),
    Refuse(i64),
    Pass(u64),
    Begin,
    End,
}

fn any_move() -> impl Strategy<Value = Move> {
    let sets =
        vec![("power", "ON"), ("power", "OFF"), ("temperature", "55"), ("temperature", "200"), ("mode", "electric")];
    prop_oneof![
        4 => prop::sample::select(sets).prop_map(|(name, value)| Move::Set(name, value)),
        3 => (0i64..7, 90i64..120).prop_map(|(mode, half)| Move::Status(mode, half)),
        1 => (1i64..4).prop_map(Move::Refuse),
        2 => (0u64..400).prop_map(Move::Pass),
        1 => Just(Move::Begin),
        1 => Just(Move::End),
    ]
}

proptest! {
    #[test]
    fn every_command_ends_exactly_once(moves in prop::collection::vec(any_move(), 1..60)) {
        let mut world = ready();
        let mut said: Vec<(u64, String)> = Vec::new();
        let mut sent = 0;
        let mut take = |messages: Vec<Message>| {
            for message in messages.iter().filter(|message| message.topic.ends_with("/result")) {
                let result: Value = serde_json::from_slice(&message.payload).unwrap();
                said.push((result["id"].as_u64().unwrap(), result["status"].as_str().unwrap().to_owned()));
            }
        };
        for this in moves {
            match this {
                Move::Set(name, value) => {
                    sent += 1;
                    let payload = json!({ "value": value, "id": sent }).to_string();
                    let messages = world.asks(&format!("{DEVICE}/set/{name}"), &payload, false);
                    take(messages);
                }
                Move::Status(mode, half) => {
                    world.status(1, json!({ "dhwOperationSetting": mode, "dhwTemperatureSetting": half }));
                }
                Move::Refuse(code) => refused(&mut world, "client", code),
                Move::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
                Move::Begin => world.begin_session(),
                Move::End => {
                    world.bridge.session_ended(world.moment());
                    world.drain();
                }
            }
            take(std::mem::take(&mut world.others));
        }
        let moment = world.moment();
        take(world.bridge.farewell(moment));
        for id in 1..=sent {
            let of: Vec<&str> = said.iter().filter(|(which, _)| *which == id).map(|(_, status)| status.as_str()).collect();
            let ends = of.iter().filter(|status| !matches!(**status, "queued" | "sent")).count();
            prop_assert_eq!(ends, 1, "command {}: {:?}", id, of);
            prop_assert!(!matches!(of.last(), Some(&"queued" | &"sent")), "command {}: {:?}", id, of);
            prop_assert!(of.iter().filter(|status| **status == "sent").count() <= 1, "command {}: {:?}", id, of);
        }
    }
}
