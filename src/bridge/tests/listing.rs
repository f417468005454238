//! The account's device list: what it adds, and what its silence does not take away.

use super::*;
use crate::navilink::devices::Record;

const HOUR: Duration = Duration::from_secs(3600);
const FORGET: &str = "navien2mqtt/bridge/request/forget";

fn topics_of(world: &World, last: u8) -> usize {
    let mac = heater(last).mac.to_string();
    world.broker.keys().filter(|topic| topic.contains(&mac)).count()
}

#[test]
fn a_heater_that_a_list_leaves_out_stays_and_only_its_own_answer_keeps_it_available() {
    for answers in [true, false] {
        let mut world = World::new(&[heater(1), heater(2)]);
        world.begin_session();
        world.status(1, json!({}));
        world.status(2, json!({}));
        let before = topics_of(&world, 1);
        world.pass(Duration::from_secs(1));
        world.asked();
        for listed in [&[heater(2)][..], &[]] {
            world.lists(listed);
            assert!(!world.rest.contains(&Effect::RenewSession(0)));
            assert_eq!(topics_of(&world, 1), before);
            assert!(world.asked().contains(&"st".to_owned()), "it is asked at once");
            if answers {
                world.status(1, json!({}));
            }
            world.pass(Duration::from_secs(30));
            assert_eq!(world.held("04786332fc01/availability"), if answers { "online" } else { "offline" });
        }
        assert_eq!(topics_of(&world, 1), before);
        assert_eq!(world.warnings.iter().filter(|text| text.contains("04786332fc01 is missing")).count(), 1);
        world.status(1, json!({}));
        assert_eq!(world.held("04786332fc01/availability"), "online", "its word counts as before");
    }
}

#[test]
fn a_heater_is_removed_when_complete_lists_left_it_out_for_a_day_even_over_restarts() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({}));
    for _ in 0..=23 {
        world.lists(&[heater(2)]);
        world.pass(HOUR);
    }
    world.lists(&[heater(1), heater(2)]);
    for _ in 0..=12 {
        world.pass(HOUR);
        world.lists(&[heater(2)]);
    }
    assert_ne!(topics_of(&world, 1), 0, "not a day since it was listed");
    let kept = serde_json::to_string(&world.bridge.memories()).unwrap();
    let (known, broker) = ([heater(1), heater(2)], world.broker);

    let mut world = World::new(&known);
    world.broker = broker;
    world.bridge.restore(serde_json::from_str(&kept).unwrap());
    world.connect_broker();
    world.begin_session();
    for _ in 0..12 {
        world.lists(&[heater(2)]);
        world.pass(HOUR);
    }
    assert_ne!(topics_of(&world, 1), 0, "23 hours were seen");
    world.lists(&[heater(2)]);
    assert_eq!((topics_of(&world, 1), world.bridge.heaters().count()), (0, 1));
    assert!(world.warnings.iter().any(|text| text.contains("for a day and is removed")), "{:?}", world.warnings);
}

#[test]
fn lists_that_cannot_be_read_whole_remove_nothing_and_two_lists_a_day_apart_do_not_either() {
    let mut world = World::new(&[heater(1)]);
    let broken = DeviceList { problems: vec!["entry 0".into()], ..DeviceList::default() };
    for _ in 0..100 {
        world.bridge.set_heaters(&broken, world.moment());
        world.pass(HOUR);
    }
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
    for _ in 0..2 {
        world.lists(&[]);
        world.pass(30 * HOUR);
        assert_eq!(world.bridge.heaters().count(), 1);
    }
    world.lists(&[]);
    assert_eq!(world.bridge.heaters().count(), 0);
}

#[test]
fn a_heater_that_is_not_chosen_is_neither_asked_nor_shown_and_what_stood_of_it_is_taken_back() {
    let macs = |last: &[u8]| last.iter().map(|last| heater(*last).mac).collect();
    for choice in [HeaterChoice::Only(macs(&[1, 3])), HeaterChoice::AllBut(macs(&[2]))] {
        let mut before = World::new(&[heater(1), heater(2)]);
        before.begin_session();
        before.status(2, json!({}));
        before.feature(2, json!({ "powerUse": 2 }));
        let memories = before.bridge.memories();
        assert_ne!(topics_of(&before, 2), 0);

        let mut world = World::with(BridgeSettings { choice, ..settings() }, &[heater(1), heater(2)]);
        world.broker = before.broker;
        world.bridge.restore(memories);
        world.connect_broker();
        assert_eq!((topics_of(&world, 2), world.bridge.heaters().count()), (0, 1));
        world.begin_session();
        for _ in 0..30 {
            world.lists(&[heater(1), heater(2)]);
            world.pass(HOUR);
        }
        assert!(!world.rest.contains(&Effect::RenewSession(0)), "no subscription is missing");
        assert!(world.bridge.cloud_filters(0).iter().all(|filter| !filter.contains("04786332fc02")));
        assert!(world.requests.iter().all(|request| !request.topic.contains("04786332fc02")));
        assert_eq!(topics_of(&world, 2), 0);
        assert_eq!(world.held_json("bridge/info")["devices"].as_array().unwrap().len(), 1);
        assert!(world.bridge.memories().keys().eq([&heater(1).mac]));
        assert!(world.warnings.is_empty(), "it is not missing: {:?}", world.warnings);
        world.lists(&[heater(1), heater(3)]);
        assert_eq!(world.bridge.heaters().count(), 2, "another one that is chosen appears by itself");
    }
}

#[test]
fn a_user_can_let_a_heater_be_forgotten_and_it_comes_back_when_the_account_has_it() {
    let mut world = World::new(&[heater(1), heater(2), heater(3)]);
    world.begin_session();
    let answered = |world: &mut World, payload: &str| -> Value {
        serde_json::from_slice(&world.asks(FORGET, payload, false)[0].payload).unwrap()
    };
    for (last, payload) in
        [(1, "04:78:63:32:FC:01"), (2, r#"{"value":"04786332fc02","id":7}"#), (3, r#"{"mac":"04786332FC03"}"#)]
    {
        assert_ne!(topics_of(&world, last), 0);
        assert_eq!(answered(&mut world, payload)["ok"], json!(true), "{payload}");
        assert_eq!(topics_of(&world, last), 0);
        assert!(world.rest.contains(&Effect::Keep), "the next run does not know it either");
    }
    let response = answered(&mut world, "04786332fc01");
    assert_eq!((&response["ok"], &response["error"]), (&json!(false), &json!("there is no heater")));
    let error = answered(&mut world, "the old one")["error"].to_string();
    assert!(error.contains("`the old one` is not a MAC address"), "{error}");
    assert!(!world.rest.contains(&Effect::RenewSession(0)));
    world.asked();
    world.lists(&[heater(1)]);
    world.pass(Duration::from_secs(1));
    assert!(world.asked().contains(&"st/did".to_owned()), "it is asked for everything");
    assert_eq!(world.held("04786332fc01/availability"), "offline");
}

#[test]
fn the_list_is_asked_for_again_regularly_and_on_request_but_not_more_often_than_once_a_minute() {
    let mut world = World::new(&[heater(1)]);
    let asked =
        |world: &mut World| std::mem::take(&mut world.rest).into_iter().filter(|e| *e == Effect::ListHeaters).count();
    world.lists(&[heater(1)]);
    world.begin_session();
    world.pass(30 * MINUTE - Duration::from_secs(1));
    assert_eq!(asked(&mut world), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(asked(&mut world), 1);
    world.lists(&[heater(1)]);
    for _ in 0..30 {
        world.asks("navien2mqtt/bridge/request/refresh", "", false);
        world.pass(Duration::from_secs(2));
    }
    assert_eq!(asked(&mut world), 1, "once a minute");
    world.pass(30 * MINUTE);
    assert_eq!(asked(&mut world), 1, "also when the list could not be read");
    world.bridge.session_ended(0, world.moment());
    world.asks("navien2mqtt/bridge/request/reconnect", "", false);
    world.pass(10 * MINUTE);
    assert_eq!(asked(&mut world), 0, "not without a session");
    world.begin_session();
    world.pass(Duration::from_secs(1));
    assert_eq!(asked(&mut world), 1);
}

#[test]
fn the_clouds_record_stands_in_the_device_information_even_while_the_heater_is_offline() {
    let record = Record {
        error_code: Some(799),
        error_at: Some(json!(1_767_225_600_000_u64)),
        descaling_start: Some(json!("2026-06-01T00:00:00")),
        descaling_end: None,
    };
    let told = |world: &World| {
        let info = world.held_json("04786332fc01/info");
        ["last_error_code", "last_error_text", "last_error_at", "descaling_start", "descaling_end", "power_use"]
            .map(|key| info.get(key).unwrap_or_else(|| panic!("{key} is not there")).clone())
    };
    let (at, start) = (json!("2026-01-01T00:00:00Z"), json!("2026-06-01T00:00:00Z"));
    let recorded = |power: Value| [json!(799), json!("E799 water leak"), at.clone(), start.clone(), Value::Null, power];
    let mut world = World::new(&[heater(1)]);
    assert_eq!(world.held("04786332fc01/info"), "", "nothing is known yet");
    world.lists(&[Device { record: record.clone(), ..heater(1) }]);
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    assert_eq!(told(&world), recorded(Value::Null));
    let feature = json!({ "response": { "feature": { "powerUse": 2 } } });
    world.arrives("cmd/52/navilink-04786332fc01/client/res", &feature);
    assert_eq!(told(&world), recorded(json!(true)));
    world.lists(&[heater(1)]);
    assert_eq!(told(&world)[0], Value::Null, "the cloud has taken it back");

    let mut next = World::new(&[Device { record, ..heater(1) }]);
    next.bridge.restore(world.bridge.memories());
    next.drain();
    assert_eq!(told(&next), recorded(json!(true)), "what the heater has is remembered");
    assert_ne!(next.discovered(), Value::Null);

    let mut celsius = World::new(&[heater(1)]);
    celsius.feature(1, json!({ "temperatureType": 1, "dhwTemperatureMin": 81, "dhwTemperatureMax": 131 }));
    let mut next = World::new(&[heater(1)]);
    next.bridge.restore(celsius.bridge.memories());
    next.drain();
    assert_eq!(next.discovered(), celsius.discovered(), "in the units that the heater had told");
}

#[test]
fn heaters_without_names_are_told_apart() {
    let nameless = |last| Device { name: String::new(), ..heater(last) };
    let names = |world: &World| -> Vec<String> {
        let devices = world.held_json("bridge/info")["devices"].as_array().unwrap().clone();
        devices.iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut world = World::new(&[nameless(1)]);
    world.connect_broker();
    assert_eq!(names(&world), ["Water heater"]);
    world.lists(&[nameless(1), heater(2), nameless(3)]);
    assert_eq!(names(&world), ["Water heater fc01", "Heater 2", "Water heater fc03"]);
    world.feature(1, json!({ "powerUse": 2 }));
    assert_eq!(world.discovered()["dev"]["name"], "Water heater fc01");
}

#[test]
fn a_session_without_subscriptions_for_a_heater_is_renewed_once_whenever_the_heater_came() {
    let renewals = |world: &mut World| {
        std::mem::take(&mut world.rest).into_iter().filter(|effect| *effect == Effect::RenewSession(0)).count()
    };
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    for listed in [&[heater(1)][..], &[heater(1), heater(2)], &[heater(1), heater(2)]] {
        world.lists(listed);
    }
    assert_eq!(renewals(&mut world), 1);
    world.bridge.session_ended(0, world.moment());
    world.begin_session();
    assert_eq!(renewals(&mut world), 0);
    world.bridge.session_ended(0, world.moment());
    world.bridge.cloud_filters(0);
    world.lists(&[heater(1), heater(2), heater(3)]);
    assert_eq!(renewals(&mut world), 0, "there is no session");
    world.bridge.session_begun(0, world.moment());
    world.drain();
    assert_eq!(renewals(&mut world), 1, "the heater came while the session was being opened");
}
