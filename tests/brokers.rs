//! Local brokers that do not take everything: the built daemon against a mosquitto with limits, and one behind a proxy
//! that refuses and cuts.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use navien2mqtt::io::mqtt::{Dial, Link, LinkEvent};
use navien2mqtt::io::wire::{Target, Transport};
use navien2mqtt::model::Message;
use support::Limit;
use support::mosquitto::Mosquitto;
use support::observer::{Observer, Seen};
use support::picky::{Picky, Verdict, Wish};
use support::rig::{Daemon, HEATER, Rig};

const STATE: &str = "navien2mqtt/bridge/state";

fn heater(rest: &str) -> String {
    format!("navien2mqtt/{HEATER}/{rest}")
}

fn any(_: &Seen) -> bool {
    true
}

fn says(text: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.text() == text
}

/// Sends a command and waits for its result.
async fn is_obeyed(observer: &Observer) {
    let mark = observer.mark();
    observer.publish(&heater("set/temperature"), "{\"value\": 120, \"id\": \"brokers\"}");
    observer.after(mark, &heater("result"), |seen| seen.json()["status"] == "confirmed").await;
}

/// Waits for the last line that systemd was told to be `good`.
async fn last_status(daemon: &Daemon, good: impl Fn(&str) -> bool) {
    let last = || {
        daemon
            .notices()
            .into_iter()
            .filter(|notice| notice.starts_with("STATUS="))
            .map(|notice| notice.trim().to_owned())
            .next_back()
    };
    let mut limit = Limit::of(Duration::from_secs(20));
    while !last().is_some_and(|status| good(&status)) {
        assert!(limit.pause().await, "{:?}", daemon.notices());
    }
}

async fn behind(rule: impl Fn(Wish) -> Verdict + Send + Sync + 'static) -> (Rig, Picky) {
    let mut rig = Rig::new(1).await;
    let picky = Picky::start(rig.broker.port, rule).await;
    rig.broker_lines = format!("url = \"mqtt://127.0.0.1:{}\"", picky.port);
    (rig, picky)
}

fn lines(daemon: &Daemon, words: &str) -> usize {
    daemon.log().lines().filter(|line| line.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_a_limit_of_size_costs_what_is_larger_and_nothing_else() {
    let rig = Rig::with(1, Mosquitto::with("allow_anonymous true\nmax_packet_size 20000")).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    let topic = format!("homeassistant/device/navien2mqtt_{HEATER}/config");
    daemon.logged(&format!("again at the message on {topic}, of")).await;
    let mark = observer.mark();
    observer.after(mark, STATE, says("online")).await;
    observer.after(mark, &heater("energy"), any).await;
    is_obeyed(&observer).await;
    observer.wait("homeassistant/device/navien2mqtt_bridge/config", any).await;
    last_status(&daemon, |status| {
        status == format!("STATUS=connected; local broker: closes the connection at {topic}")
    })
    .await;
    assert_eq!(lines(&daemon, "closed the connection"), 2, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_list_without_home_assistant_costs_discovery_only() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("acl");
    std::fs::write(&list, "topic readwrite navien2mqtt/#\n").unwrap();
    let rig = Rig::with(1, Mosquitto::with(&format!("allow_anonymous true\nacl_file {}", list.display()))).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(STATE, says("online")).await;
    observer.wait(&heater("status"), any).await;
    is_obeyed(&observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_retains_nothing_is_recognised_and_gets_everything_all_the_same() {
    let rig = Rig::with(1, Mosquitto::with("allow_anonymous true\nretain_available false")).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(STATE, says("online")).await;
    observer.wait(&heater("status"), any).await;
    observer.wait(&heater("availability"), says("online")).await;
    is_obeyed(&observer).await;
    daemon.logged("keeps no retained messages").await;
    last_status(&daemon, |status| status == "STATUS=connected; local broker: keeps no retained messages").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_waits_for_its_broker_is_not_taken_for_one_that_retains_nothing() {
    let (mut rig, picky) = behind(|_| Verdict::Pass).await;
    rig.broker.kill();
    let daemon = rig.run();
    let mut limit = Limit::of(Duration::from_secs(20));
    while picky.sessions() < 2 {
        assert!(limit.pause().await, "{}", daemon.log());
    }
    rig.broker.launch();
    // Who comes later finds what was retained.
    let mut limit = Limit::of(Duration::from_secs(40));
    loop {
        let late = rig.observer().await;
        assert!(limit.pause().await, "{}", daemon.log());
        if late.all(0, STATE).iter().any(|seen| seen.retained) {
            break;
        }
    }
    assert_eq!(lines(&daemon, "keeps no retained messages"), 0, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_is_refused_costs_what_it_would_have_brought_and_is_asked_for_again() {
    let grants = Arc::new(AtomicBool::new(false));
    let granted = Arc::clone(&grants);
    let (rig, _picky) = behind(move |wish| match wish {
        Wish::Subscribe(filter) if filter.ends_with("get/+") && !granted.load(Ordering::Relaxed) => Verdict::Refuse,
        _ => Verdict::Pass,
    })
    .await;
    let mut rig = rig;
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(STATE, says("online")).await;
    observer.wait(&heater("status"), any).await;
    is_obeyed(&observer).await;
    let trouble = "STATUS=connected; local broker: no subscription to navien2mqtt/+/get/+";
    last_status(&daemon, |status| status == trouble).await;
    assert_eq!(lines(&daemon, "refuses the subscription to navien2mqtt/+/get/+"), 1, "{}", daemon.log());
    grants.store(true, Ordering::Relaxed);
    // Every session asks for it anew.
    rig.broker.kill();
    rig.broker.launch();
    daemon.logged("grants this subscription now").await;
    last_status(&daemon, |status| status == "STATUS=connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_cuts_the_connection_at_what_it_denies_is_left_alone_with_it() {
    let (rig, picky) = behind(|wish| match wish {
        Wish::Publish(topic, _) if topic.starts_with("homeassistant/") => Verdict::Cut,
        Wish::Subscribe(filter) if filter.starts_with("homeassistant/") => Verdict::Cut,
        _ => Verdict::Pass,
    })
    .await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    daemon.logged("again at the subscription to homeassistant/status").await;
    daemon.logged("again at the message on homeassistant/device/navien2mqtt_bridge/config").await;
    daemon.logged(&format!("again at the message on homeassistant/device/navien2mqtt_{HEATER}/config")).await;
    let mark = observer.mark();
    observer.after(mark, STATE, says("online")).await;
    is_obeyed(&observer).await;
    last_status(&daemon, |status| {
        status.contains("closes the connection at homeassistant/")
            && status.contains("no subscription to homeassistant/status")
    })
    .await;
    // Two sessions for each of the three, and one in which nothing was known.
    assert!(picky.sessions() <= 8, "{} sessions", picky.sessions());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told_why_there_is_no_local_broker() {
    let mut rig = Rig::with(1, Mosquitto::with_password("bridge", "right")).await;
    rig.broker_lines += "\nusername = \"bridge\"\npassword = \"wrong\"";
    let daemon = rig.run();
    last_status(&daemon, |status| status == "STATUS=connected; local broker: refused, not authorized").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_looks_for_the_daemon_on_the_local_broker_when_asked_to() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(STATE, says("online")).await;
    let config = rig.folder.path().join("navien2mqtt.toml");
    let status = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_navien2mqtt"));
        let outcome = command.args(["status", "--broker", "--config"]).arg(&config).output().unwrap();
        (outcome.status.code(), String::from_utf8(outcome.stderr).unwrap())
    };
    let (code, errors) = tokio::task::block_in_place(status);
    assert_eq!(code, Some(0), "{errors}");
    daemon.signal("TERM");
    daemon.ended(Duration::from_secs(10)).await;
    let (code, errors) = tokio::task::block_in_place(status);
    assert!(code == Some(75) && errors.contains("bridge/state is not `online`"), "{code:?} {errors}");
    rig.broker.kill();
    let (code, errors) = tokio::task::block_in_place(status);
    assert!(code == Some(75) && errors.contains("local broker: "), "{code:?} {errors}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_filter_can_be_asked_for_again_in_the_same_session_and_the_one_at_the_end_is_named() {
    let broker = Mosquitto::start();
    let (grants, cuts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (granted, cut) = (Arc::clone(&grants), Arc::clone(&cuts));
    let picky = Picky::start(broker.port, move |wish| match wish {
        Wish::Subscribe(filter) if filter == "a" && !granted.load(Ordering::Relaxed) => Verdict::Refuse,
        Wish::Subscribe(filter) if filter == "c" && cut.load(Ordering::Relaxed) => Verdict::Cut,
        _ => Verdict::Pass,
    })
    .await;
    let (sender, mut events) = tokio::sync::mpsc::channel(64);
    let link = Link::lenient("lenient", sender).unwrap();
    let second = Duration::from_secs(1);
    let dial = Dial {
        target: Target { host: "127.0.0.1".into(), port: picky.port, transport: Transport::Tcp },
        keep_alive: 30 * second,
        connect_timeout: 10 * second,
        operation_timeout: 10 * second,
        username: None,
        password: None,
        will: None,
        filters: vec!["a".into(), "b".into()],
    };
    link.dial(1, dial.clone());
    let mut said = Vec::new();
    let mut next = async || loop {
        match events.recv().await.unwrap() {
            LinkEvent::Subscribed { filter, granted, .. } => return format!("{filter} {granted}"),
            LinkEvent::Up { .. } => return "up".to_owned(),
            LinkEvent::Delivered { .. } => return "delivered".to_owned(),
            LinkEvent::Down { stage, .. } => return format!("down {stage:?}"),
            LinkEvent::Message { .. } => {}
        }
    };
    for _ in 0..3 {
        said.push(next().await);
    }
    grants.store(true, Ordering::Relaxed);
    link.subscribe(1, "a".into());
    said.push(next().await);
    link.publish(1, Message { topic: "a".into(), payload: "x".into(), retained: false });
    said.push(next().await);
    assert_eq!(said, ["a false", "b true", "up", "a true", "delivered"]);
    cuts.store(true, Ordering::Relaxed);
    link.subscribe(1, "c".into());
    assert_eq!(next().await, "down Subscribing(Some(\"c\"))");
}
