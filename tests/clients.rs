//! What clients of the local broker can do to the bridge, the cloud and each other: the built daemon among them.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use navien2mqtt::navilink::command;
use serde_json::json;
use support::mosquitto::Mosquitto;
use support::observer::{Observer, Seen};
use support::rig::{HEATER, Rig};

const PASSWORD: &str = "a password for a test";

fn heater(rest: &str) -> String {
    format!("navien2mqtt/{HEATER}/{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sample_access_list_lets_everybody_do_what_it_says_and_nothing_else() {
    let list = include_str!("../packaging/mosquitto/navien2mqtt.acl");
    let mut rig = Rig::with(1, Mosquitto::with_access_list(list, PASSWORD)).await;
    rig.broker_lines += &format!("\nusername = \"navien2mqtt\"\npassword = \"{PASSWORD}\"");
    let port = rig.broker.port;
    let start = async |user| Observer::start_as(port, user, Some((user, PASSWORD))).await;
    let [watcher, home_assistant, administrator] =
        [start("watcher").await, start("homeassistant").await, start("administrator").await];
    let _daemon = rig.run();
    watcher.wait(&heater("info"), |_| true).await;
    home_assistant.wait("homeassistant/device/navien2mqtt_bridge/config", |_| true).await;
    for (client, sets, asks) in
        [(&watcher, false, false), (&administrator, false, true), (&home_assistant, true, false)]
    {
        let mark = watcher.mark();
        client.publish(&heater("set/turbo"), &json!({ "value": 1, "id": 1 }).to_string());
        client.publish("navien2mqtt/bridge/request/log_level", &json!({ "value": "info" }).to_string());
        client.publish("navien2mqtt/bridge/state", "offline");
        // What comes after all of that, and is not refused.
        home_assistant.publish("navien2mqtt/bridge/request/refresh", "");
        watcher.after(mark, "navien2mqtt/bridge/response/refresh", |_| true).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(!watcher.all(mark, &heater("result")).is_empty(), sets);
        assert_eq!(!watcher.all(mark, "navien2mqtt/bridge/response/log_level").is_empty(), asks);
        assert!(!watcher.all(mark, "navien2mqtt/bridge/state").iter().any(|seen| seen.text() == "offline"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_and_sets_without_end_costs_the_cloud_a_few_messages_and_no_session() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    observer.wait(&heater("firmware"), |_| true).await;
    let connects = rig.cloud().counters().connects;
    let before = rig.cloud().counters().requests(command::STATUS.into());
    let mark = observer.mark();
    let begun = std::time::Instant::now();
    let mut sets = 0;
    for round in 0..100 {
        for _ in 0..30 {
            observer.publish(&heater("get/status"), "");
            observer.publish("navien2mqtt/bridge/request/refresh", "");
        }
        observer.publish("navien2mqtt/bridge/request/reconnect", &json!({ "id": round }).to_string());
        for _ in 0..10 {
            sets += 1;
            let value = if sets % 2 == 0 { "ON" } else { "OFF" };
            observer.publish(&heater("set/power"), &json!({ "value": value, "id": sets }).to_string());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ends = |seen: &Seen| !["queued", "sent"].contains(&seen.json()["status"].as_str().unwrap());
    observer.after(mark, &heater("result"), |seen| ends(seen) && seen.json()["id"] == sets).await;
    let ended = observer.all(mark, &heater("result")).iter().filter(|seen| ends(seen)).count();
    assert_eq!(ended, sets, "each set has one end");
    let seconds = begun.elapsed().as_secs() + 2;
    let asked = rig.cloud().counters().requests(command::STATUS.into()) - before;
    assert!(asked <= seconds, "{asked} status requests in {seconds} s");
    assert!(rig.cloud().counters().connects <= connects + 1 + seconds / 10);
    assert!(daemon.runs());
    assert!(!daemon.log().contains("faster than they are handled"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_thousands_of_sets_that_come_as_fast_as_the_broker_hands_them_on_each_is_told_its_end() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_queued_messages 0");
    let rig = Rig::with(1, broker).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    observer.wait(&heater("firmware"), |_| true).await;
    let mark = observer.mark();
    let begun = std::time::Instant::now();
    for number in 1..=2_500 {
        let value = if number % 2 == 0 { "ON" } else { "OFF" };
        observer.publish(&heater("set/power"), &json!({ "value": value, "id": number }).to_string());
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let ends = |seen: &Seen| !["queued", "sent"].contains(&seen.json()["status"].as_str().unwrap());
    let last = |seen: &Seen| ends(seen) && seen.json()["id"] == 2_500;
    observer.within(Duration::from_secs(20), mark, &heater("result"), last).await;
    let ended = observer.all(mark, &heater("result")).iter().filter(|seen| ends(seen)).count();
    eprintln!("{ended} ends in {:?}; log of {} bytes", begun.elapsed(), daemon.log().len());
    assert_eq!(ended, 2_500, "{}", daemon.log());
    assert!(daemon.log().len() < 50_000);
}
