//! What one answer proves and what it does not: the built daemon between a simulated cloud and a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::fs;
use std::process::Command;
use std::time::Duration;

use navien2mqtt::simulator::{Fault, ListChange, RestAnswer};
use serde_json::json;
use support::observer::Seen;
use support::rig::{HEATER, Rig, SECOND_HEATER};

const LIMIT: Duration = Duration::from_secs(20);
const FOREIGN: &str = "04786332aa01";

fn says(text: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.text() == text
}

fn state(wanted: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.json()["state"] == wanted
}

fn topic(rest: &str) -> String {
    format!("navien2mqtt/{rest}")
}

fn discovery(mac: &str) -> String {
    format!("homeassistant/device/navien2mqtt_{mac}/config")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_leaves_a_heater_out_removes_nothing_and_forget_does() {
    for change in [ListChange::Without(0), ListChange::Nothing, ListChange::Unreadable] {
        let rig = Rig::new(2).await;
        let observer = rig.observer().await;
        let mut daemon = rig.run();
        for mac in [HEATER, SECOND_HEATER] {
            observer.wait(&topic(&format!("{mac}/availability")), says("online")).await;
            observer.wait(&discovery(mac), |seen| !seen.text().is_empty()).await;
        }
        daemon.signal("TERM");
        assert_eq!(daemon.ended(LIMIT).await.code(), Some(0));
        rig.cloud().faults().set(Fault::List { change: Some(change) });
        let mark = observer.mark();
        let daemon = rig.run();
        observer.after(mark, &topic(&format!("{SECOND_HEATER}/availability")), says("online")).await;
        // It answers, so it is there whatever the list says.
        observer.after(mark, &topic(&format!("{HEATER}/availability")), says("online")).await;
        for mac in [HEATER, SECOND_HEATER] {
            assert!(!observer.latest()[&discovery(mac)].is_empty(), "{change:?} {mac}");
        }
        if change != ListChange::Without(0) {
            continue;
        }
        assert!(daemon.log().contains("04786332fca0 is missing from the account's device list"), "{}", daemon.log());
        let mark = observer.mark();
        observer.publish("navien2mqtt/bridge/request/forget", &format!(r#"{{"mac":"{HEATER}","id":1}}"#));
        let response = observer.after(mark, &topic("bridge/response/forget"), |_| true).await;
        assert_eq!(response.json(), json!({ "ok": true, "id": 1 }));
        observer.after(mark, &discovery(HEATER), says("")).await;
        observer.after(mark, &topic(&format!("{HEATER}/status")), says("")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_product_is_named_once_and_left_out() {
    let rig = Rig::new(1).await;
    rig.cloud().faults().set(Fault::List { change: Some(ListChange::Foreign) });
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&topic(&format!("{HEATER}/availability")), says("online")).await;
    observer.wait(&topic(&format!("{HEATER}/energy")), |_| true).await;
    assert_eq!(daemon.log().matches("Left out, for it is no NWP500: NPE 04786332aa01").count(), 1, "{}", daemon.log());
    assert!(observer.latest().keys().all(|topic| !topic.contains(FOREIGN)));
    assert!(!String::from_utf8_lossy(&observer.latest()[&topic("bridge/info")]).contains(FOREIGN));

    let status = Command::new(env!("CARGO_BIN_EXE_navien2mqtt"))
        .args(["--config", rig.folder.path().join("navien2mqtt.toml").to_str().unwrap(), "status", "--json"])
        .output()
        .unwrap();
    assert_eq!(status.status.code(), Some(0), "{}", String::from_utf8_lossy(&status.stderr));
    assert_eq!(String::from_utf8_lossy(&status.stdout).lines().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_other_products_only_says_what_it_has() {
    let rig = Rig::new(1).await;
    rig.cloud().faults().set(Fault::List { change: Some(ListChange::OnlyForeign) });
    let observer = rig.observer().await;
    let _daemon = rig.run();
    let connection = observer.wait(&topic("bridge/connection"), |seen| seen.json()["reason"] == "no-heaters").await;
    let detail = connection.json()["detail"].to_string();
    assert!(detail.contains("no NWP500") && detail.contains("NPE") && detail.contains("device type 1"), "{detail}");
    assert_eq!(rig.cloud().counters().connects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateways_refusal_at_sign_in_is_no_verdict_on_the_password() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\ninitial_delay = \"100ms\"\n".into();
    let endpoint = Some("/user/sign-in".to_owned());
    rig.cloud().faults().set(Fault::Rest { endpoint, answer: RestAnswer::Gateway(401), times: None });
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let postponed = |seen: &Seen| seen.json()["event"] == "sign_in_postponed";
    observer.wait(&topic("bridge/event"), postponed).await;
    let connection = observer.wait(&topic("bridge/connection"), |seen| !seen.json()["next_attempt_at"].is_null()).await;
    assert_eq!(
        (&connection.json()["reason"], &connection.json()["state"]),
        (&json!("http-401"), &json!("reconnecting"))
    );
    assert!(daemon.runs(), "{}", daemon.log());
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1, "and it keeps to the budget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_outage_is_one_over_many_runs_of_the_process() {
    let mut rig = Rig::new(1).await;
    let alerts = rig.folder.path().join("alerts");
    rig.more = format!(
        "[reconnect]\nmax_attempts = 1\ninitial_delay = \"50ms\"\n\
         [recovery]\nmax_attempts = 1\ninitial_delay = \"50ms\"\n\
         [alerts]\ncommand = [\"/bin/sh\", \"-c\", \"echo $NAVIEN2MQTT_EVENT >> {}\"]\n",
        alerts.display()
    );
    let told = || fs::read_to_string(&alerts).unwrap_or_default();
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&topic(&format!("{HEATER}/availability")), says("online")).await;
    rig.cloud().faults().set(Fault::Upgrade { status: 500, times: None });
    rig.cloud().faults().set(Fault::Reset);
    for _ in 0..3 {
        assert_eq!(daemon.ended(LIMIT).await.code(), Some(69));
        assert_eq!(told(), "reconnection_failed\nfailed\n");
        daemon = rig.run();
    }
    assert_eq!(daemon.ended(LIMIT).await.code(), Some(69));
    rig.cloud().faults().set(Fault::Clear);
    let mark = observer.mark();
    let _daemon = rig.run();
    let back = observer.after(mark, &topic("bridge/connection"), state("connected")).await;
    assert_eq!(back.json()["outages"], 1);
    assert!(back.json()["last_outage_seconds"].as_f64().unwrap() >= 0.4, "{}", back.text());
    let connected = observer.after(mark, &topic("bridge/event"), |seen| seen.json()["event"] == "connected").await;
    assert!(connected.json()["outage_seconds"].is_f64(), "{}", connected.text());
    support::eventually("the end is told", LIMIT, || (told().lines().count() == 3).then_some(()));
    assert_eq!(told(), "reconnection_failed\nfailed\nconnected\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_cannot_count_sign_ins_for_the_next_one_waits_for_a_minute() {
    let mut rig = Rig::new(1).await;
    rig.password = "wrong".into();
    // A file stands where the state directory is to be made.
    fs::write(rig.folder.path().join("state"), "").unwrap();
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let postponed = |seen: &Seen| seen.json()["event"] == "sign_in_postponed";
    let told = observer.wait(&topic("bridge/event"), postponed).await;
    assert!(told.json()["delay_ms"].as_u64().unwrap() > 50_000, "{}", told.text());
    assert!(daemon.runs());
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 0);
}
