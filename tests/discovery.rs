//! Discovery by the built daemon on a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use support::observer::{Observer, Seen};
use support::rig::{HEATER, Rig, SECOND_HEATER};

const BRIDGE: &str = "homeassistant/device/navien2mqtt_bridge/config";

fn config(mac: &str) -> String {
    format!("homeassistant/device/navien2mqtt_{mac}/config")
}

fn any(_: &Seen) -> bool {
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discovery_is_retained_and_the_birth_of_home_assistant_brings_it_again() {
    let rig = Rig::new(2).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    let first = observer.wait(&config(HEATER), any).await.json();
    let second = observer.wait(&config(SECOND_HEATER), any).await.json();
    assert_eq!(first["cmps"]["water_heater"]["temp_unit"], "F");
    assert_eq!(second["cmps"]["water_heater"]["temp_unit"], "C");
    assert_eq!(second["cmps"]["recirculation_mode"].as_object().unwrap().len(), 1, "it has no recirculation");
    let bridge = observer.wait(BRIDGE, any).await.json();
    assert_eq!(first["dev"]["via_device"], bridge["dev"]["ids"][0]);
    let late = Observer::start(rig.broker.port, "late").await;
    for topic in [BRIDGE, &config(HEATER), &config(SECOND_HEATER)] {
        assert!(late.wait(topic, any).await.retained, "{topic}");
    }
    let mark = observer.mark();
    observer.publish("homeassistant/status", "online");
    for topic in [BRIDGE, &config(HEATER), &config(SECOND_HEATER), &format!("navien2mqtt/{HEATER}/availability")] {
        assert!(!observer.after(mark, topic, any).await.retained, "{topic}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_without_home_assistant_takes_back_what_the_one_before_told() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&config(HEATER), any).await;
    daemon.signal("TERM");
    daemon.ended(std::time::Duration::from_secs(10)).await;
    rig.more = "[home_assistant]\nenabled = false\n".into();
    let mark = observer.mark();
    let _daemon = rig.run();
    for topic in [BRIDGE, &config(HEATER)] {
        observer.after(mark, topic, |seen| seen.payload.is_empty()).await;
    }
    let left: Vec<String> = observer.latest().into_keys().filter(|topic| topic.starts_with("homeassistant")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_change_of_prefix_what_was_told_under_the_old_one_is_gone_and_the_usual_birth_is_heard_still() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&config(HEATER), any).await;
    observer.wait(BRIDGE, any).await;
    daemon.signal("TERM");
    daemon.ended(std::time::Duration::from_secs(10)).await;
    rig.more = "[home_assistant]\ndiscovery_prefix = \"ha\"\n".into();
    let mark = observer.mark();
    let _daemon = rig.run();
    for (old, new) in [(BRIDGE.to_owned(), BRIDGE), (config(HEATER), &config(HEATER))] {
        observer.after(mark, &old, |seen| seen.payload.is_empty()).await;
        observer.after(mark, &new.replace("homeassistant/", "ha/"), |seen| !seen.payload.is_empty()).await;
    }
    let mark = observer.mark();
    observer.publish("homeassistant/status", "online");
    observer.after(mark, "ha/device/navien2mqtt_bridge/config", any).await;
}
