//! The two lines of attempts, end to end with short delays: what each strategy keeps, renews and builds anew.
//!
//! The third line, exit code 69 after a recovery that is exhausted, is in `bridge.rs`.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use navien2mqtt::simulator::counters::Counters;
use navien2mqtt::simulator::{Fault, RestAnswer};
use serde_json::{Value, json};
use support::observer::{Observer, Seen};
use support::rig::{Daemon, HEATER, Rig, requests_come_once_a_second};

/// The cloud stays in reach all the time, and the delays are to hold exactly.
const REACHABILITY: &str = "[reachability]\nenabled = false\n";
const RECONNECT: &str = "[reconnect]\nmax_attempts = 2\ninitial_delay = \"100ms\"\njitter = 0\n";
const RECOVERY: &str = "[recovery]\ninitial_delay = \"300ms\"\nmax_delay = \"500ms\"\njitter = 0\n";
/// A delay that no test waits for.
const FOR_EVER: &str = "initial_delay = \"1h\"\nmax_delay = \"1h\"\njitter = 0\n";

fn topic(rest: &str) -> String {
    format!("navien2mqtt/{rest}")
}

fn state(wanted: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.json()["state"] == wanted
}

fn event(wanted: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.json()["event"] == wanted
}

/// A daemon that was connected once.
struct Stage {
    rig: Rig,
    observer: Observer,
    daemon: Daemon,
    /// What the first session took.
    before: Counters,
    mark: usize,
}

impl Stage {
    async fn set(reconnect: &str, recovery: &str) -> Self {
        let mut rig = Rig::new(1).await;
        rig.more = format!("{REACHABILITY}{reconnect}{recovery}");
        let observer = rig.observer().await;
        let daemon = rig.run();
        observer.wait(&topic(&format!("{HEATER}/availability")), |seen| seen.text() == "online").await;
        // What belongs to the first session has been told when the next answer comes.
        // The event of the first success may come after what is retained.
        observer.wait(&topic("bridge/event"), |seen| seen.json()["event"] == "connected").await;
        observer.after(observer.mark(), &topic(&format!("{HEATER}/status")), |_| true).await;
        let before = rig.cloud().counters();
        assert_eq!((before.connects, before.rest("/user/sign-in"), before.rest("/device/list")), (1, 1, 1));
        let mark = observer.mark();
        Self { rig, observer, daemon, before, mark }
    }

    async fn with_strategy(strategy: &str) -> Self {
        Self::set(RECONNECT, &format!("{RECOVERY}strategy = \"{strategy}\"\n")).await
    }

    /// The session is lost, and the next `times` upgrades are refused.
    fn lose(&self, times: Option<u32>) {
        if times != Some(0) {
            self.cloud(Fault::Upgrade { status: 500, times });
        }
        self.cloud(Fault::Reset);
    }

    fn cloud(&self, fault: Fault) {
        self.rig.cloud().faults().set(fault);
    }

    async fn reaches(&self, wanted: &str) {
        self.observer.after(self.mark, &topic("bridge/connection"), state(wanted)).await;
    }

    /// Waits for an event; returns all of them, those with an attempt as `name attempt delay`.
    async fn events_until(&self, last: &str) -> Vec<String> {
        let is_last = |seen: &Seen| seen.json()["event"] == last;
        self.observer.after(self.mark, &topic("bridge/event"), is_last).await;
        self.observer.all(self.mark, &topic("bridge/event")).iter().map(|seen| line(&seen.json())).collect()
    }

    fn rest(&self, path: &str) -> u64 {
        self.rig.cloud().counters().rest(path) - self.before.rest(path)
    }

    /// Renewals of the tokens, renewals of the AWS keys, and lists of heaters since the first session.
    fn calls(&self) -> (u64, u64, u64) {
        assert_eq!(self.rest("/user/sign-in"), 0, "no strategy needs the password");
        (self.rest("/auth/refresh"), self.rest("/auth/session/refresh"), self.rest("/device/list"))
    }

    async fn request_reconnect(&self) {
        self.observer.publish(&topic("bridge/request/reconnect"), r#"{"id":"now"}"#);
        let response = self.observer.after(self.mark, &topic("bridge/response/reconnect"), |_| true).await;
        assert_eq!(response.json(), json!({ "ok": true, "id": "now" }));
    }

    /// Connected, with everything there once, counters at 0 and requests as before.
    async fn all_is_well(&self) {
        let latest = |topic: &str| self.observer.latest().remove(topic).unwrap();
        let connection: Value = serde_json::from_slice(&latest(&topic("bridge/connection"))).unwrap();
        assert_eq!((&connection["state"], &connection["attempt"]), (&json!("connected"), &json!(0)));
        assert_eq!((&connection["outages"], &connection["next_attempt_at"]), (&json!(1), &Value::Null));
        assert!(connection["last_outage_seconds"].is_f64() && connection["reason"].is_null(), "{connection}");
        let counters = self.rig.cloud().counters();
        assert_eq!((counters.connects, counters.active), (2, 1), "{counters:?}");
        assert_eq!(counters.filters, 2 * self.before.filters, "each subscription once: {counters:?}");
        assert_eq!(counters.violations, 0, "{counters:?}");
        requests_come_once_a_second(self.rig.cloud()).await;
        assert!(!self.daemon.log().contains("Not healthy"), "{}", self.daemon.log());
    }
}

/// Shortens an event to what tells it apart.
fn line(event: &Value) -> String {
    let mut line = event["event"].as_str().unwrap().to_owned();
    for name in ["attempt", "attempts", "delay_ms"] {
        if let Some(number) = event[name].as_u64() {
            line += &format!(" {number}");
        }
    }
    line
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simple_retry_tries_the_same_session_again_from_the_first_attempt() {
    let stage = Stage::with_strategy("simple-retry").await;
    stage.lose(Some(4));
    let events = stage.events_until("connected").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "recovery_attempt 1 300",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "recovery_attempt 2 300",
            "reconnect_attempt 1 100",
            "subscriptions_restored",
            "recovered 2",
            "connected",
        ]
    );
    assert_eq!(stage.calls(), (0, 0, 0), "everything is kept");
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_recreation_builds_a_new_session_and_keeps_the_tokens() {
    let stage = Stage::with_strategy("full-recreation").await;
    stage.lose(Some(3));
    let events = stage.events_until("connected").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "recovery_attempt 1 300",
            "recreating_client",
            "recovery_attempt 2 300",
            "recreating_client",
            "subscriptions_restored",
            "recovered 2",
            "connected",
        ]
    );
    assert_eq!(stage.calls(), (0, 0, 2), "the heaters are listed anew");
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_refresh_renews_all_tokens_before_each_new_session() {
    let stage = Stage::with_strategy("token-refresh").await;
    stage.lose(Some(3));
    let events = stage.events_until("connected").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "recovery_attempt 1 300",
            "recreating_client",
            "refreshing_tokens",
            "recovery_attempt 2 300",
            "recreating_client",
            "refreshing_tokens",
            "subscriptions_restored",
            "recovered 2",
            "connected",
        ]
    );
    assert_eq!(stage.calls(), (2, 2, 2));
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exponential_backoff_waits_longer_each_time_and_renews_the_tokens_at_every_third_attempt() {
    let stage = Stage::with_strategy("exponential-backoff").await;
    stage.lose(Some(5));
    let events = stage.events_until("connected").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "recovery_attempt 1 300",
            "recreating_client",
            "recovery_attempt 2 500",
            "recreating_client",
            "recovery_attempt 3 500",
            "recreating_client",
            "refreshing_tokens",
            "recovery_attempt 4 500",
            "recreating_client",
            "subscriptions_restored",
            "recovered 4",
            "connected",
        ]
    );
    assert_eq!(stage.calls(), (1, 1, 4));
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_soon_after_a_success_goes_on_where_the_line_was() {
    let stage = Stage::with_strategy("exponential-backoff").await;
    stage.lose(Some(3));
    stage.events_until("connected").await;
    let mark = stage.observer.mark();
    stage.lose(Some(2));
    let again = |seen: &Seen| seen.json()["state"] == "connected" && seen.json()["outages"] == 2;
    stage.observer.after(mark, &topic("bridge/connection"), again).await;
    let events: Vec<String> =
        stage.observer.all(mark, &topic("bridge/event")).iter().map(|seen| line(&seen.json())).collect();
    assert_eq!(events[1..4].join(", "), "recovery_attempt 3 500, recreating_client, refreshing_tokens");
    assert_eq!(stage.calls(), (1, 1, 5), "the third attempt renews the tokens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_reconnecting_recovery_begins_at_once() {
    let strategy = format!("{RECOVERY}strategy = \"full-recreation\"\n");
    let stage = Stage::set("[reconnect]\nenabled = false\n", &strategy).await;
    stage.lose(Some(1));
    let events = stage.events_until("connected").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "recovery_attempt 1 300",
            "recreating_client",
            "recovery_attempt 2 300",
            "recreating_client",
            "subscriptions_restored",
            "recovered 2",
            "connected",
        ]
    );
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_recovery_the_last_attempt_to_reconnect_ends_with_69() {
    let mut stage = Stage::set(RECONNECT, "[recovery]\nenabled = false\n").await;
    stage.lose(None);
    assert_eq!(stage.daemon.ended(Duration::from_secs(20)).await.code(), Some(69));
    let events = stage.events_until("failed").await;
    assert_eq!(
        events,
        [
            "connection_interrupted",
            "reconnect_attempt 1 100",
            "reconnect_attempt 2 200",
            "reconnection_failed 2",
            "failed",
        ]
    );
    let offline = |seen: &Seen| seen.text() == "offline";
    stage.observer.after(stage.mark, &topic(&format!("{HEATER}/availability")), offline).await;
    stage.observer.after(stage.mark, &topic("bridge/state"), offline).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_without_limit_never_comes_to_recovery() {
    let reconnect = "[reconnect]\nmax_attempts = -1\ninitial_delay = \"50ms\"\nmax_delay = \"100ms\"\njitter = 0\n";
    let stage = Stage::set(reconnect, RECOVERY).await;
    stage.lose(Some(14));
    let events = stage.events_until("connected").await;
    let attempts = events.iter().filter(|event| event.starts_with("reconnect_attempt")).count();
    assert_eq!((attempts, events.len()), (15, 18), "nothing but attempts and the end: {events:?}");
    let connection = stage.observer.after(stage.mark, &topic("bridge/connection"), state("reconnecting")).await;
    assert_eq!(connection.json()["max_attempts"], Value::Null);
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovering_without_limit_goes_on_and_on() {
    let recovery = "[recovery]\nmax_attempts = -1\ninitial_delay = \"50ms\"\nmax_delay = \"50ms\"\njitter = 0\n\
                    strategy = \"full-recreation\"\n";
    let stage = Stage::set(RECONNECT, recovery).await;
    stage.lose(Some(16));
    let events = stage.events_until("connected").await;
    assert_eq!(events[events.len() - 2], "recovered 15");
    let connection = stage.observer.after(stage.mark, &topic("bridge/connection"), state("recovering")).await;
    assert_eq!(connection.json()["max_attempts"], Value::Null);
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_while_connected_connects_afresh() {
    let stage = Stage::set(RECONNECT, RECOVERY).await;
    stage.request_reconnect().await;
    let events = stage.events_until("connected").await;
    assert_eq!(events, ["connection_interrupted", "subscriptions_restored", "connected"]);
    assert_eq!(stage.calls(), (0, 0, 0));
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_the_wait_while_reconnecting() {
    let stage = Stage::set(&format!("[reconnect]\n{FOR_EVER}"), RECOVERY).await;
    stage.lose(Some(0));
    stage.reaches("reconnecting").await;
    stage.request_reconnect().await;
    stage.events_until("connected").await;
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_ends_the_wait_while_recovering_and_nothing_is_built_anew() {
    let stage = Stage::set(RECONNECT, &format!("[recovery]\n{FOR_EVER}strategy = \"token-refresh\"\n")).await;
    stage.lose(Some(2));
    stage.reaches("recovering").await;
    stage.request_reconnect().await;
    let events = stage.events_until("connected").await;
    assert_eq!(events[4], "recovery_attempt 1 3600000", "{events:?}");
    assert_eq!(stage.calls(), (0, 0, 0), "it is a first attempt to reconnect");
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_after_an_exhausted_recovery_it_is_brought_back_by_a_request() {
    let recovery = format!("{RECOVERY}strategy = \"full-recreation\"\nmax_attempts = 2\non_failure = \"hold\"\n");
    let mut stage = Stage::set(RECONNECT, &recovery).await;
    stage.lose(None);
    stage.reaches("failed").await;
    let failed = stage.observer.latest().remove(&topic("bridge/connection")).unwrap();
    let failed: Value = serde_json::from_slice(&failed).unwrap();
    assert_eq!((&failed["attempt"], &failed["max_attempts"]), (&json!(2), &json!(2)));
    assert_eq!(failed["reason"], "http-500");
    stage.cloud(Fault::Clear);
    let attempts = stage.rig.cloud().counters().accepts;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(stage.rig.cloud().counters().accepts, attempts, "it is not tried any more");
    assert!(stage.daemon.runs());
    stage.request_reconnect().await;
    stage.events_until("connected").await;
    stage.all_is_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_while_starting_begins_again_and_needs_no_second_sign_in() {
    let mut rig = Rig::new(1).await;
    rig.more = format!("{REACHABILITY}[reconnect]\n{FOR_EVER}");
    let endpoint = Some("/device/list".to_owned());
    rig.cloud().faults().set(Fault::Rest { endpoint, answer: RestAnswer::Slow(25_000), times: Some(1) });
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&topic("bridge/connection"), state("starting")).await;
    support::eventually("the list is asked for", Duration::from_secs(10), || {
        (rig.cloud().counters().rest("/device/list") == 1).then_some(())
    });
    let mark = observer.mark();
    observer.publish(&topic("bridge/request/reconnect"), "");
    observer.after(mark, &topic("bridge/connection"), state("connected")).await;
    let counters = rig.cloud().counters();
    assert_eq!((counters.rest("/user/sign-in"), counters.rest("/device/list")), (1, 2));
    assert_eq!((counters.connects, counters.active), (1, 1));
    let states: Vec<Value> =
        observer.all(0, &topic("bridge/connection")).iter().map(|seen| seen.json()["state"].clone()).collect();
    assert!(states.iter().all(|state| state == "starting" || state == "connected"), "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_instance_with_the_same_client_id_is_recognised_and_not_fought() {
    let recovery = "[recovery]\ninitial_delay = \"3s\"\njitter = 0\n";
    let stage = Stage::set(RECONNECT, recovery).await;
    for outage in 1..=3u64 {
        stage.cloud(Fault::Takeover);
        let back = |seen: &Seen| seen.json()["state"] == "connected" && seen.json()["outages"] == outage;
        stage.observer.after(stage.mark, &topic("bridge/connection"), back).await;
    }
    // The event follows the state that it is about.
    let mut events = stage.events_until("taken_over").await;
    while events.iter().filter(|event| *event == "connected").count() < 3 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        events = stage.events_until("taken_over").await;
    }
    assert_eq!(events.iter().filter(|event| *event == "taken_over").count(), 1, "{events:?}");
    let (first, third) = (events.iter().position(|e| e == "reconnect_attempt 1 100"), events.len());
    assert!(first.is_some() && events[third - 3..].contains(&"connected".to_owned()), "{events:?}");
    assert!(events.contains(&"recovery_attempt 1 3000".to_owned()), "the pause of a recovery: {events:?}");
    let counters = stage.rig.cloud().counters();
    assert_eq!((counters.connects, counters.active), (4, 1));
}

/// A path for the daemon's environment, which outlives the test.
fn leaked(path: std::path::PathBuf) -> &'static str {
    Box::leak(path.to_str().unwrap().to_owned().into_boxed_str())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_with_one_client_id_notice_each_other_and_back_off() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let first = rig.run();
    observer.wait(&topic("bridge/connection"), state("connected")).await;
    let copy = rig.folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(rig.folder.path().join("state/client-id.json"), copy.join("client-id.json")).unwrap();
    rig.environment.push(("STATE_DIRECTORY", leaked(copy)));
    rig.broker_lines += "\nclient_id = \"second\"\nbase_topic = \"second\"";
    let second = rig.run();
    support::eventually("one of them notices", Duration::from_secs(60), || {
        [&first, &second]
            .iter()
            .any(|daemon| daemon.log().contains("another instance uses this client id"))
            .then_some(())
    });
    let connects = rig.cloud().counters().connects;
    assert!(connects <= 10, "{connects} sessions until then");
}

/// The tokens of the first run are gone when the second one begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_next_sign_in_waits_and_says_so() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut first = rig.run();
    observer.wait(&topic("bridge/connection"), state("connected")).await;
    first.signal("TERM");
    first.ended(Duration::from_secs(10)).await;
    std::fs::remove_file(rig.folder.path().join("state/tokens.json")).unwrap();
    let mark = observer.mark();
    let _second = rig.run();
    let postponed = observer.after(mark, &topic("bridge/event"), event("sign_in_postponed")).await.json();
    let delay = postponed["delay_ms"].as_u64().unwrap();
    assert!((1..60_000).contains(&delay), "{postponed}");
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_state_directory_the_first_sign_in_waits_for_a_minute() {
    let mut rig = Rig::new(1).await;
    let file = rig.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    rig.environment.push(("STATE_DIRECTORY", leaked(file.join("below"))));
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let postponed = observer.wait(&topic("bridge/event"), event("sign_in_postponed")).await.json();
    let delay = postponed["delay_ms"].as_u64().unwrap();
    assert!((30_000..=60_000).contains(&delay), "{postponed}");
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 0);
    assert!(daemon.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_does_not_show_a_rejected_password_again() {
    let mut rig = Rig::new(1).await;
    rig.password = "wrong".into();
    rig.more = format!("{REACHABILITY}[recovery]\non_failure = \"hold\"\n");
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&topic("bridge/event"), event("failed")).await;
    let mark = observer.mark();
    observer.publish(&topic("bridge/request/reconnect"), "");
    let failed = observer.after(mark, &topic("bridge/event"), event("failed")).await.json();
    assert_eq!(failed["reason"], "credentials");
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
}
