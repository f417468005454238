//! Commands in simulated time: in order, not too late, and each of them ended exactly once.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// `failCode` of a control that came too soon.
const TOO_SOON: i64 = 2;
/// The status is requested again so long after an acknowledgement that does not show the control.
const RECHECK_AFTER: Duration = Duration::from_secs(2);
/// It is to be shown within this time.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
pub(super) const SECOND: Duration = Duration::from_secs(1);
const SCHEDULE: &str = r#"{"enabled": true, "entries": []}"#;
pub(super) const DEVICE: &str = "navien2mqtt/04786332fc01";

/// A world whose heater has told its abilities and its units.
pub(super) fn ready() -> World {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.status(1, json!({ "dhwOperationSetting": 3, "dhwTemperatureSetting": 100 }));
    tell_abilities(&mut world);
    world.pass(SECOND);
    world.asked();
    world
}

fn tell_abilities(world: &mut World) {
    let feature = json!({
        "temperatureType": 1, "powerUse": 2, "dhwUse": 2, "heatpumpUse": 2, "electricUse": 2, "programReservationUse": 2,
        "dhwTemperatureSettingUse": 2, "dhwTemperatureMin": 70, "dhwTemperatureMax": 131, "drSettingUse": 2, "recircReservationUse": 1,
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

fn full_results(messages: &[Message]) -> Vec<Value> {
    let results = messages.iter().filter(|message| message.topic.ends_with("/result"));
    results.map(|message| serde_json::from_slice(&message.payload).unwrap()).collect()
}

#[test]
fn a_command_is_sent_at_once_and_confirmed_by_an_acknowledgement_that_shows_it() {
    let mut world = ready();
    let messages = world.asks(&format!("{DEVICE}/set/temperature"), r#"{"value": 55, "id": "a7"}"#, false);
    assert_eq!(results(&messages), ["temperature sent"]);
    assert_eq!(serde_json::from_slice::<Value>(&messages[0].payload).unwrap()["id"], "a7");
    assert_eq!(world.asked(), ["ctrl", "st"], "the next status comes at once");
    world.status(1, json!({ "dhwTemperatureSetting": 110 }));
    assert!(later(&mut world).is_empty(), "a status is no acknowledgement, even if it shows the value");
    world.acknowledges(1, json!({ "dhwTemperatureSetting": 110 }));
    let confirmed = full_results(&std::mem::take(&mut world.others));
    assert_eq!((confirmed.len(), &confirmed[0]["status"]), (1, &json!("confirmed")));
    assert_eq!(confirmed[0].get("in_force"), None);
    world.pass(60 * SECOND);
    assert!(later(&mut world).is_empty());
}

const BUTTONS: [(&str, &str); 6] = [
    ("demand_response", "ON"),
    ("intelligent_scheduling", "ON"),
    ("recirculation_hot_button", "PRESS"),
    ("air_filter_reset", "PRESS"),
    ("condenser_fault_reset", "PRESS"),
    ("water_program", "PRESS"),
];

/// The fields that show the effect of [`BUTTONS`].
fn effects() -> Value {
    json!({ "recircOperationBusy": 2, "cumulatedOpTimeEvaFan": 0, "errorCode": 0, "programReservationUse": 2 })
}

#[test]
fn an_answer_tells_whose_it_is_by_its_topics_and_never_by_its_client() {
    let mac = heater(1).mac;
    let (device, ours) = (format!("cmd/52/navilink-{mac}"), format!("cmd/52/navilink-{mac}/client/res"));
    for (name, payload) in BUTTONS {
        let mut world = ready();
        assert_eq!(set(&mut world, name, payload), [format!("{name} sent")]);
        let mut answers = |topic: &str, client: Option<&str>, request: &str| {
            let mut answer = json!({
                "requestTopic": format!("{device}/{request}"),
                "response": { "macAddress": mac.as_cloud(), "status": effects() },
            });
            if let Some(client) = client {
                answer["clientID"] = client.into();
            }
            world.arrives(topic, &answer);
            later(&mut world)
        };
        assert!(answers(&ours, Some("client"), "st").is_empty(), "{name}: the answer to our own status request");
        assert!(answers(&ours, Some("client"), "st/did").is_empty(), "{name}");
        assert!(answers(&format!("{device}/phone/res"), Some("client"), "ctrl").is_empty(), "{name}: another topic");
        let client = match name {
            "demand_response" => Some("client"),
            "air_filter_reset" => None,
            _ => Some("navilink-04786332fc01"),
        };
        assert_eq!(answers(&ours, client, "ctrl"), [format!("{name} confirmed")]);
    }
}

#[test]
fn an_acknowledged_control_is_confirmed_by_a_status_that_shows_it_soon_after() {
    let mut world = ready();
    set(&mut world, "temperature", "55");
    set(&mut world, "demand_response", "ON");
    world.asked();
    world.acknowledges(1, json!({ "dhwTemperatureSetting": 100 }));
    assert_eq!(later(&mut world), ["demand_response sent"], "the next one goes at the acknowledgement");
    world.asked();
    world.pass(RECHECK_AFTER);
    assert!(world.asked().contains(&"st".to_owned()), "the status is requested once more");
    world.status(1, json!({ "dhwTemperatureSetting": 110 }));
    let confirmed = full_results(&std::mem::take(&mut world.others));
    assert_eq!((&confirmed[0]["name"], confirmed[0].get("in_force")), (&json!("temperature"), None));
}

#[test]
fn an_acknowledged_control_that_no_status_shows_is_confirmed_and_not_in_force() {
    let mut world = ready();
    set(&mut world, "mode", "electric");
    world.acknowledges(1, json!({ "dhwOperationSetting": 3 }));
    world.status(1, json!({ "dhwOperationSetting": 3 }));
    assert!(later(&mut world).is_empty());
    world.pass(SHOWN_WITHIN);
    let held = full_results(&std::mem::take(&mut world.others));
    assert_eq!((&held[0]["status"], &held[0]["in_force"]), (&json!("confirmed"), &json!(false)));
    assert!(held[0]["reason"].as_str().unwrap().contains("time-of-use"), "{}", held[0]);
    world.status(1, json!({ "dhwOperationSetting": 2 }));
    assert!(later(&mut world).is_empty(), "that was final");
}

#[test]
fn an_acknowledged_control_ends_with_a_newer_one_of_its_name_and_with_the_session() {
    let mut world = ready();
    for (mode, code) in [("electric", 2), ("heat_pump", 1)] {
        set(&mut world, "mode", mode);
        world.acknowledges(1, json!({ "dhwOperationSetting": 7 - code }));
        world.pass(2 * SECOND);
    }
    world.acknowledges(1, json!({ "dhwOperationSetting": 6 }));
    let ended = full_results(&std::mem::take(&mut world.others));
    assert_eq!((ended.len(), &ended[0]["in_force"]), (1, &json!(false)));
    world.bridge.session_ended(0, world.moment());
    world.drain();
    let ended = full_results(&std::mem::take(&mut world.others));
    assert_eq!((&ended[0]["status"], &ended[0]["in_force"]), (&json!("confirmed"), &json!(false)));
}

#[test]
fn what_is_wrong_is_rejected_and_nothing_is_sent() {
    let mut world = ready();
    for (name, payload) in
        [("temperature", "200"), ("recirculation_schedule", SCHEDULE), ("turbo", "1"), ("power", "?")]
    {
        assert_eq!(set(&mut world, name, payload), [format!("{name} rejected")]);
    }
    assert!(world.asked().is_empty());
    let big = "x".repeat(64 * 1024 + 1);
    assert_eq!(set(&mut world, "mode", &big), ["mode rejected"]);
    assert!(set(&mut world, "mode", "").is_empty(), "clearing a retained message is no command");
}

#[test]
fn what_the_configuration_forbids_is_rejected() {
    let with = |change: fn(&mut heater::commands::CommandSettings)| {
        let mut settings = settings();
        change(&mut settings.heater.commands);
        let mut world = World::with(settings, &[heater(1)]);
        world.begin_session();
        world.status(1, json!({ "dhwOperationSetting": 3 }));
        tell_abilities(&mut world);
        world
    };
    let mut world = with(|commands| commands.read_only = true);
    assert_eq!(set(&mut world, "power", "ON"), ["power rejected"]);
    let mut world = with(|commands| commands.max_temperature = Some(100));
    assert_eq!(set(&mut world, "temperature", "50.5"), ["temperature rejected"]);
    let entry = r#"{"days": ["friday"], "time": "18:30", "mode": "electric", "temperature": 60}"#;
    assert_eq!(set(&mut world, "reservation_add", entry), ["reservation_add rejected"]);
    assert_eq!(set(&mut world, "temperature", "50"), ["temperature sent"]);
}

#[test]
fn a_payload_of_64_kib_is_the_largest_that_is_obeyed() {
    let mut world = ready();
    let command = r#"{"value": "OFF"}"#;
    let padded = |length: usize| command.to_owned() + &" ".repeat(length - command.len());
    assert_eq!(set(&mut world, "power", &padded(64 * 1024 + 1)), ["power rejected"]);
    assert!(world.asked().is_empty());
    assert_eq!(set(&mut world, "power", &padded(64 * 1024)), ["power sent"]);
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
}

#[test]
fn commands_wait_for_the_cloud_in_order_and_the_newest_wins() {
    let mut world = ready();
    world.bridge.session_ended(0, world.moment());
    assert_eq!(set(&mut world, "temperature", "50"), ["temperature queued"]);
    assert_eq!(set(&mut world, "power", "OFF"), ["power queued"]);
    assert_eq!(set(&mut world, "temperature", "55"), ["temperature expired", "temperature queued"]);
    assert_eq!(set(&mut world, "demand_response", "ON"), ["demand_response queued"]);
    assert_eq!(set(&mut world, "mode", "electric"), ["mode rejected"], "the queue is full");
    world.pass(60 * SECOND);
    assert!(controls(&mut world).is_empty());
    world.begin_session();
    assert_eq!(later(&mut world), ["power sent"]);
    world.acknowledges(1, json!({ "dhwOperationSetting": 6 }));
    assert_eq!(later(&mut world), ["power confirmed", "temperature sent"]);
    world.acknowledges(1, json!({ "dhwTemperatureSetting": 110 }));
    assert_eq!(later(&mut world), ["temperature confirmed", "demand_response sent"]);
}

#[test]
fn what_waited_too_long_expires_instead_of_heating_water_at_midnight() {
    let mut world = ready();
    world.bridge.session_ended(0, world.moment());
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
    world.bridge.session_ended(0, world.moment());
    world.drain();
    assert_eq!(later(&mut world), ["power failed"]);
    world.asked();
    world.begin_session();
    assert!(controls(&mut world).is_empty());
}

#[test]
fn a_refusal_counts_unless_it_names_another_client() {
    for (client, counts) in [("client", true), ("navilink-04786332fc01", true), ("", true), ("somebody", false)] {
        let mut world = ready();
        set(&mut world, "power", "OFF");
        refused(&mut world, client, 3);
        assert_eq!(later(&mut world), if counts { vec!["power rejected"] } else { vec![] }, "{client}");
    }
}

#[test]
fn a_control_that_came_too_soon_is_sent_again_after_growing_pauses_until_it_is_too_old() {
    let mut world = ready();
    set(&mut world, "power", "OFF");
    for seconds in [2, 4, 8, 16, 30, 30, 30, 30, 30, 30, 30, 30, 30] {
        assert_eq!(controls(&mut world), ["ctrl"], "{seconds}");
        refused(&mut world, "navilink-04786332fc01", TOO_SOON);
        assert!(later(&mut world).is_empty());
        world.pass(seconds * SECOND - Duration::from_millis(1));
        assert!(controls(&mut world).is_empty(), "{seconds}");
        world.pass(Duration::from_millis(1));
    }
    assert_eq!(later(&mut world), ["power expired"], "not for ever");
    assert!(world.bridge.due().is_some_and(|due| due > world.now), "no timer is left behind");
}

#[test]
fn others_go_while_the_heater_takes_no_mode_temperature_or_power() {
    let mut world = ready();
    set(&mut world, "power", "OFF");
    refused(&mut world, "client", TOO_SOON);
    later(&mut world);
    assert_eq!(set(&mut world, "mode", "electric"), ["mode queued"]);
    assert_eq!(set(&mut world, "demand_response", "ON"), ["demand_response sent"]);
    world.acknowledges(1, json!({}));
    assert_eq!(later(&mut world), ["demand_response confirmed"]);
    world.pass(2 * SECOND);
    world.acknowledges(1, json!({ "dhwOperationSetting": 6 }));
    assert_eq!(later(&mut world), ["power confirmed", "mode sent"]);
}

#[test]
fn refused_commands_keep_their_order_and_one_outside_the_pause_leaves_it_as_it_is() {
    let mut world = ready();
    set(&mut world, "power", "OFF");
    refused(&mut world, "client", TOO_SOON);
    assert_eq!(set(&mut world, "demand_response", "ON"), ["power sent", "demand_response sent"][1..]);
    world.pass(SECOND);
    refused(&mut world, "client", TOO_SOON);
    assert_eq!(set(&mut world, "mode", "electric"), ["mode queued"]);
    world.asked();
    world.pass(SECOND);
    assert_eq!(controls(&mut world), ["ctrl"], "the pause of the first one is over");
    world.acknowledges(1, json!({ "dhwOperationSetting": 6 }));
    let results = later(&mut world);
    assert_eq!(results, ["power confirmed", "mode sent"], "the other one still waits by itself");
    world.acknowledges(1, json!({ "dhwOperationSetting": 2 }));
    world.pass(SECOND);
    world.acknowledges(1, json!({}));
    assert_eq!(later(&mut world), ["mode confirmed", "demand_response confirmed"]);
}

#[test]
fn controls_that_cannot_be_paced_wait_in_the_order_of_their_arrival() {
    let mut world = ready();
    for name in ["demand_response", "intelligent_scheduling"] {
        set(&mut world, name, "ON");
        refused(&mut world, "client", TOO_SOON);
    }
    later(&mut world);
    world.pass(2 * SECOND);
    let sent = world.requests.iter().rev().find(|request| request.topic.ends_with("/ctrl")).unwrap();
    let sent: Value = serde_json::from_slice(&sent.payload).unwrap();
    assert_eq!(sent["request"]["mode"], "dr-on", "the first one goes first");
}

#[test]
fn controls_of_one_name_are_two_seconds_apart_and_the_newest_wins() {
    let mut world = ready();
    let mut told = Vec::new();
    for number in 0..270 {
        told.extend(set(&mut world, "power", if number % 2 == 0 { "ON" } else { "OFF" }));
        world.acknowledges(1, json!({ "dhwOperationSetting": if number % 2 == 0 { 3 } else { 6 } }));
        world.pass(Duration::from_millis(50));
        told.extend(later(&mut world));
    }
    world.pass(31 * SECOND);
    told.extend(later(&mut world));
    let count = |status: &str| told.iter().filter(|result| result.ends_with(status)).count();
    assert_eq!(count("sent"), 8, "one in two seconds of 13.5");
    assert_eq!(count("confirmed") + count("expired") + count("failed"), 270, "each of them ended");
    assert_eq!(controls(&mut world).len(), 8);
}

#[test]
fn a_command_that_is_refused_after_a_newer_one_came_is_not_sent_again() {
    let mut world = ready();
    set(&mut world, "temperature", "50");
    assert_eq!(set(&mut world, "temperature", "55"), ["temperature queued"]);
    refused(&mut world, "client", TOO_SOON);
    assert_eq!(later(&mut world), ["temperature expired"]);
    world.pass(2 * SECOND);
    assert_eq!(later(&mut world), ["temperature sent"]);
}

#[test]
fn only_what_a_time_of_use_period_can_hold_is_said_to_be_held_by_one() {
    for (name, payload, held) in
        [("power", "OFF", true), ("temperature", "50", true), ("air_filter_reset", "PRESS", false)]
    {
        let mut world = ready();
        set(&mut world, name, payload);
        world.acknowledges(
            1,
            json!({ "dhwOperationSetting": 3, "dhwTemperatureSetting": 120, "cumulatedOpTimeEvaFan": 9 }),
        );
        world.pass(SHOWN_WITHIN);
        let result = &full_results(&std::mem::take(&mut world.others))[0];
        assert_eq!(result["in_force"], false);
        assert_eq!(result["reason"].as_str().unwrap().contains("time-of-use"), held, "{result}");
    }
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
    world.pass(2 * SECOND);
    assert!(set(&mut world, "reservation_delete", "3").is_empty());
    world.arrives("cmd/52/client/res/rsv/rd", &answer(&both));
    assert_eq!(later(&mut world), ["reservation_delete rejected"], "there is no third one");
}

#[test]
fn reservations_that_cannot_be_read_whole_are_never_written_back() {
    let whole = json!({"enable": 2, "week": 62, "hour": 6, "min": 30, "mode": 3, "param": 120});
    let without_hour = json!({"enable": 2, "week": 62, "min": 30, "mode": 3, "param": 120});
    for (answer, words) in [
        (json!({ "reservationUse": 2, "reservation": [whole, without_hour] }), "`reservation[1].hour`"),
        (json!({ "reservationUse": 2, "reservation": "zz3e061e0478" }), "`reservation[0]`"),
        (json!({ "reservationUse": 2 }), "no `reservation`"),
        (json!({ "reservation": [] }), "enabled"),
    ] {
        let mut world = ready();
        set(
            &mut world,
            "reservation_add",
            r#"{"days": ["friday"], "time": "18:30", "mode": "electric", "temperature": 50}"#,
        );
        world.asked();
        let mut answer = json!({ "clientID": "client", "response": answer });
        answer["response"]["macAddress"] = heater(1).mac.as_cloud().into();
        world.arrives("cmd/52/client/res/rsv/rd", &answer);
        let rejected = full_results(&std::mem::take(&mut world.others));
        assert_eq!(rejected[0]["status"], "rejected");
        assert!(rejected[0]["reason"].as_str().unwrap().contains(words), "{}", rejected[0]);
        assert!(controls(&mut world).is_empty());
    }
}

#[test]
fn odd_reservations_in_hexadecimal_are_written_back_as_they_are() {
    let mut world = ready();
    set(&mut world, "reservation_delete", "1");
    let held = json!({ "clientID": "client", "response": {
        "macAddress": heater(1).mac.as_cloud(), "reservationUse": 2, "reservation": "000000000000013e061e047802ff183c03ff0" } });
    world.arrives("cmd/52/client/res/rsv/rd", &held);
    let written = world.requests.iter().find(|out| out.topic.ends_with("/ctrl/rsv/rd")).unwrap();
    let written: Value = serde_json::from_slice(&written.payload).unwrap();
    let odd = json!([{"enable": 2, "week": 255, "hour": 24, "min": 60, "mode": 3, "param": 255}]);
    assert_eq!(written["request"]["reservation"], odd);
}

/// The schedule that the heater holds, as the answer to a query.
fn holds(world: &mut World, entries: &Value) {
    let mac = heater(1).mac;
    let answer = json!({ "clientID": "client", "response": {
        "macAddress": mac.as_cloud(), "reservationUse": 2, "reservation": entries } });
    world.arrives("cmd/52/client/res/rsv/rd", &answer);
}

#[test]
fn a_deletion_that_is_delivered_twice_is_done_once_even_over_a_restart() {
    let entry = |hour: i64| json!({"enable": 2, "week": 64, "hour": hour, "min": 0, "mode": 1, "param": 100});
    let (all, rest) = (json!([entry(6), entry(7), entry(8)]), json!([entry(7), entry(8)]));
    let delete = r#"{"index": 1, "id": "del-1"}"#;
    let mut world = ready();
    set(&mut world, "reservation_delete", delete);
    assert!(set(&mut world, "reservation_delete", delete).is_empty(), "its end is told once");
    holds(&mut world, &all);
    assert_eq!(later(&mut world), ["reservation_delete sent"]);
    holds(&mut world, &rest);
    assert_eq!(later(&mut world), ["reservation_delete confirmed"]);
    world.pass(60 * SECOND);
    world.asked();
    assert_eq!(set(&mut world, "reservation_delete", delete), ["reservation_delete confirmed"]);
    assert!(world.asked().is_empty(), "nothing is read or written");
    assert!(world.rest.contains(&Effect::Keep));

    let kept = serde_json::to_string(&world.bridge.memories()).unwrap();
    let mut world = ready();
    world.bridge.restore(serde_json::from_str(&kept).unwrap());
    world.drain();
    assert_eq!(set(&mut world, "reservation_delete", delete), ["reservation_delete confirmed"]);
    assert!(world.asked().is_empty());
    let other = r#"{"index": 2, "id": "del-1"}"#;
    assert_eq!(set(&mut world, "reservation_delete", other), ["reservation_delete rejected"], "one id, two commands");
}

#[test]
fn an_edit_without_an_id_that_comes_again_within_seconds_is_done_once() {
    let mut world = ready();
    let entry = r#"{"days": ["friday"], "time": "18:30", "mode": "electric", "temperature": 50}"#;
    assert!(set(&mut world, "reservation_add", entry).is_empty());
    assert_eq!(set(&mut world, "reservation_add", entry), ["reservation_add rejected"]);
    holds(&mut world, &json!([]));
    assert_eq!(later(&mut world), ["reservation_add sent"]);
    world.pass(31 * SECOND);
    later(&mut world);
    assert!(set(&mut world, "reservation_add", entry).is_empty(), "that is another one");
    assert_eq!(set(&mut world, "power", "ON"), ["power queued"], "what can be done twice is not held back");
    assert_eq!(set(&mut world, "power", "ON"), ["power expired", "power queued"]);
}

#[test]
fn commands_wait_until_the_heater_has_told_its_abilities() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.asked();
    let queued = full_results(&world.asks(&format!("{DEVICE}/set/temperature"), "55", false));
    assert_eq!(queued[0]["status"], "queued");
    assert!(queued[0]["reason"].as_str().unwrap().contains("what it can do"), "{}", queued[0]);
    assert_eq!(set(&mut world, "recirculation_schedule", SCHEDULE), ["recirculation_schedule queued"]);
    tell_abilities(&mut world);
    assert_eq!(later(&mut world), ["temperature sent"]);
    world.acknowledges(1, json!({ "dhwTemperatureSetting": 110 }));
    assert_eq!(later(&mut world), ["temperature confirmed", "recirculation_schedule rejected"]);
}

#[test]
fn everything_ends_with_the_bridge_and_with_the_heater() {
    for heater_leaves in [true, false] {
        let mut world = ready();
        set(&mut world, "power", "OFF");
        set(&mut world, "demand_response", "ON");
        let moment = world.moment();
        if heater_leaves {
            let sent = world.asks("navien2mqtt/bridge/request/forget", heater(1).mac.as_str(), false);
            assert_eq!(results(&sent), ["power failed", "demand_response expired"]);
        } else {
            let closing = world.bridge.closing_messages(moment);
            assert_eq!(results(&closing), ["power failed", "demand_response expired"]);
        }
    }
}

#[derive(Debug, Clone)]
enum Move {
    Set(&'static str, &'static str),
    Status(i64, i64),
    Acknowledge(i64, i64),
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
        3 => (0i64..7, 90i64..120).prop_map(|(mode, half)| Move::Acknowledge(mode, half)),
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
                Move::Acknowledge(mode, half) => {
                    world.acknowledges(1, json!({ "dhwOperationSetting": mode, "dhwTemperatureSetting": half }));
                }
                Move::Refuse(code) => refused(&mut world, "client", code),
                Move::Pass(seconds) => world.pass(Duration::from_secs(seconds)),
                Move::Begin => world.begin_session(),
                Move::End => {
                    world.bridge.session_ended(0, world.moment());
                    world.drain();
                }
            }
            take(std::mem::take(&mut world.others));
        }
        let moment = world.moment();
        take(world.bridge.closing_messages(moment));
        for id in 1..=sent {
            let of: Vec<&str> = said.iter().filter(|(which, _)| *which == id).map(|(_, status)| status.as_str()).collect();
            let ends = of.iter().filter(|status| !matches!(**status, "queued" | "sent")).count();
            prop_assert_eq!(ends, 1, "command {}: {:?}", id, of);
            prop_assert!(!matches!(of.last(), Some(&"queued" | &"sent")), "command {}: {:?}", id, of);
            prop_assert!(of.iter().filter(|status| **status == "sent").count() <= 1, "command {}: {:?}", id, of);
        }
    }
}
