//! The whole chain: simulated cloud, the built daemon, a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::{Duration, Instant};

use navien2mqtt::navilink::command;
use navien2mqtt::simulator::{Fault, SimulatedCondition};
use serde_json::{Value, json};
use support::Limit;
use support::mosquitto::Mosquitto;
use support::observer::Seen;
use support::rig::{HEATER, Rig, SECOND_HEATER};

const LIMIT: Duration = Duration::from_secs(20);

fn topic(rest: &str) -> String {
    format!("navien2mqtt/{rest}")
}

fn heater(rest: &str) -> String {
    format!("navien2mqtt/{HEATER}/{rest}")
}

fn any(_: &Seen) -> bool {
    true
}

fn says(text: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.text() == text
}

fn state(wanted: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.json()["state"] == wanted
}

fn event(wanted: &str) -> impl Fn(&Seen) -> bool + '_ {
    move |seen| seen.json()["event"] == wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_on_the_local_broker_within_five_seconds_of_the_start() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    let status = observer.within(Duration::from_secs(5), 0, &heater("status"), any).await;
    let decoded = status.json();
    assert!(decoded["dhw_temperature"].is_f64() && decoded["received_at"].is_string(), "{decoded}");
    assert_eq!(decoded["units"], "us");
    observer.wait(&heater("availability"), says("online")).await;
    observer.wait(&topic("bridge/connection"), state("connected")).await;
    observer.wait(&topic("bridge/event"), event("connected")).await;
    for name in ["info", "energy", "reservations", "tou", "recirculation", "diagnostics", "firmware"] {
        observer.wait(&heater(name), any).await;
    }
    let info = observer.wait(&topic("bridge/info"), |seen| seen.json()["devices"][0]["mac"] == HEATER).await;
    assert!(!info.text().contains("demo-password") && !info.text().contains("demo@example.com"), "{}", info.text());
    // A late subscriber finds everything but events.
    let late = support::observer::Observer::start(rig.broker.port, "late").await;
    assert!(late.wait(&heater("status"), any).await.retained);
    assert!(late.wait(&topic("bridge/state"), says("online")).await.retained);
    assert!(!late.latest().contains_key(&topic("bridge/event")));
    assert!(!daemon.log().contains("WARN") && !daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_heaters_share_one_session_and_nothing_else() {
    let rig = Rig::new(2).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    let second = |rest: &str| format!("navien2mqtt/{SECOND_HEATER}/{rest}");
    let one = observer.wait(&heater("status"), any).await.json();
    let other = observer.wait(&second("status"), any).await.json();
    assert_eq!((&one["units"], &other["units"]), (&json!("us"), &json!("metric")));
    assert_eq!(rig.cloud().counters().connects, 1);
    rig.cloud().faults().set(Fault::Heater { index: Some(1), state: SimulatedCondition::Silent, ms: None });
    let mark = observer.mark();
    observer.after(mark, &heater("status"), any).await;
    observer.after(mark, &heater("status"), any).await;
    assert_eq!(observer.wait(&topic("bridge/connection"), state("connected")).await.json()["outages"], 0);
}

/// Simulated heaters have a home each, so that a session serves 24 of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_heaters_are_served_by_three_sessions_after_one_sign_in() {
    let rig = Rig::new(60).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let available = || {
        let latest = observer.latest();
        latest.iter().filter(|(name, payload)| name.ends_with("/availability") && *payload == "online").count()
    };
    let all_available = async || {
        let mut limit = Limit::of(Duration::from_secs(60));
        while available() < 60 {
            assert!(limit.pause().await, "{} heaters are available", available());
        }
    };
    let connected = |seen: &Seen| {
        let connection = seen.json();
        connection["state"] == "connected" && connection["sessions"] == 3 && connection["sessions_connected"] == 3
    };
    all_available().await;
    observer.wait(&topic("bridge/connection"), connected).await;
    let counters = rig.cloud().counters();
    assert_eq!((counters.connects, counters.rest("/user/sign-in")), (3, 1));
    let last = format!("{:012x}", u64::from_str_radix(HEATER, 16).unwrap() + 59);
    let mark = observer.mark();
    observer.publish(&topic(&format!("{last}/set/mode")), "high_demand");
    let confirmed = |seen: &Seen| seen.json()["status"] == "confirmed";
    observer.after(mark, &topic(&format!("{last}/result")), confirmed).await;

    let mark = observer.mark();
    rig.cloud().faults().set(Fault::Reset);
    observer.after(mark, &topic("bridge/connection"), |seen| seen.json()["state"] == "reconnecting").await;
    let back = observer.after(mark, &topic("bridge/connection"), connected).await;
    assert_eq!(back.json()["outages"], 1, "the three sessions were lost at once");
    all_available().await;
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heater_that_falls_silent_becomes_unavailable_and_the_session_stays() {
    let mut rig = Rig::new(2).await;
    rig.stale_after = "3s";
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&heater("availability"), says("online")).await;
    rig.cloud().faults().set(Fault::Heater { index: Some(0), state: SimulatedCondition::Silent, ms: None });
    let mark = observer.mark();
    observer.after(mark, &heater("availability"), says("offline")).await;
    assert_eq!(observer.latest()[&format!("navien2mqtt/{SECOND_HEATER}/availability")], "online");
    assert_eq!(rig.cloud().counters().connects, 1, "its neighbour answers, so the session stays");
    rig.cloud().faults().set(Fault::Heater { index: Some(0), state: SimulatedCondition::Online, ms: None });
    observer.after(mark, &heater("availability"), says("online")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_starts_late_is_given_everything() {
    let mut rig = Rig::with(1, Mosquitto::later()).await;
    let daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    daemon.logged("No connection to the local broker").await;
    rig.broker.launch();
    let observer = rig.observer().await;
    observer.wait(&heater("status"), any).await;
    observer.wait(&heater("availability"), says("online")).await;
    observer.wait(&topic("bridge/state"), says("online")).await;
    assert_eq!(rig.cloud().counters().connects, 1, "the cloud's session does not care");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_restarted_and_emptied_is_given_everything_again() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    for name in ["status", "info", "energy", "reservations", "tou", "recirculation", "diagnostics", "firmware"] {
        observer.wait(&heater(name), any).await;
    }
    observer.wait(&topic("bridge/connection"), state("connected")).await;
    let mut before: Vec<String> = observer.latest().into_keys().filter(|name| !name.contains("/event")).collect();
    before.sort();
    for round in 0..2 {
        rig.broker.kill();
        rig.broker.empty();
        rig.broker.launch();
        let observer = support::observer::Observer::start(rig.broker.port, &format!("round-{round}")).await;
        observer.wait(&topic("bridge/state"), says("online")).await;
        observer.wait(&heater("availability"), says("online")).await;
        for name in &before {
            observer.wait(name, any).await;
        }
    }
    assert_eq!(rig.cloud().counters().connects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_of_the_clouds_connection_is_survived_with_everything_restored_once() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\njitter = 0\n".into();
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    let filters = rig.cloud().counters().filters;
    // A third session that lives for less than a minute would be waited out.
    for outage in 1..=2u64 {
        let mark = observer.mark();
        let cut = Instant::now();
        rig.cloud().faults().set(Fault::Reset);
        observer.after(mark, &topic("bridge/event"), event("connection_interrupted")).await;
        observer.after(mark, &topic("bridge/connection"), state("reconnecting")).await;
        let back = observer
            .after(mark, &topic("bridge/connection"), |seen| {
                seen.json()["state"] == "connected" && seen.json()["outages"] == outage
            })
            .await;
        assert!(back.json()["last_outage_seconds"].as_f64().unwrap() >= 0.9);
        assert!(back.at.duration_since(cut) >= Duration::from_millis(900), "the first delay is a second");
        let mark = observer.mark();
        observer.after(mark, &heater("status"), any).await;
        observer.after(mark, &heater("status"), any).await;
        let counters = rig.cloud().counters();
        assert_eq!((counters.connects, counters.active), (1 + outage, 1));
        assert_eq!(counters.filters, filters * (1 + outage), "each subscription once a session");
        assert_eq!(counters.rest("/user/sign-in"), 1);
    }
    assert!(daemon.log().contains("Subscriptions restored"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_ends_with_77_after_exactly_one_sign_in() {
    let mut rig = Rig::new(1).await;
    rig.password = "not the password".into();
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let status = daemon.ended(LIMIT).await;
    assert_eq!(status.code(), Some(77));
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
    observer.wait(&topic("bridge/connection"), |seen| seen.json()["reason"] == "credentials").await;
    observer.wait(&topic("bridge/state"), says("offline")).await;
    let late = support::observer::Observer::start(rig.broker.port, "late").await;
    let left = late.wait(&topic("bridge/connection"), any).await.json();
    let words = "The email or password was rejected: correct account.email or account.password_file and start the service again";
    assert_eq!((&left["state"], &left["reason_text"]), (&"failed".into(), &words.into()));
    assert!(!daemon.log().contains("not the password") && !daemon.log().contains("demo@example.com"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_takes_leave_of_both_sides_within_five_seconds() {
    let rig = Rig::new(2).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), says("online")).await;
    let mark = observer.mark();
    daemon.signal("TERM");
    let status = daemon.ended(Duration::from_secs(5)).await;
    assert_eq!(status.code(), Some(0));
    observer.after(mark, &topic("bridge/connection"), state("stopping")).await;
    observer.after(mark, &heater("availability"), says("offline")).await;
    observer.after(mark, &topic("bridge/state"), says("offline")).await;
    assert_eq!(rig.cloud().counters().requests(u64::from(command::END_OF_SESSION)), 2);
    assert!(daemon.notices().iter().any(|notice| notice.starts_with("STOPPING=1")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_nothing_is_there_ends_at_once() {
    let mut rig = Rig::with(1, Mosquitto::later()).await;
    rig.stop_cloud().await;
    let mut daemon = rig.run();
    daemon.notified("READY=1").await;
    daemon.signal("INT");
    assert_eq!(daemon.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_internet_is_a_good_start() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\ninitial_delay = \"100ms\"\nmax_delay = \"200ms\"\nmax_attempts = -1\n".into();
    rig.stop_cloud().await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    daemon.notified_within(Duration::from_secs(5), "READY=1").await;
    daemon.notified("STATUS=reconnecting, attempt 3").await;
    daemon.notified("WATCHDOG=1").await;
    let connection = observer.wait(&topic("bridge/connection"), state("reconnecting")).await.json();
    assert_eq!(connection["reason"], "unreachable");
    observer.wait(&topic("bridge/state"), says("online")).await;
    assert!(!observer.latest().contains_key(&heater("status")));
    rig.start_cloud().await;
    observer.wait(&heater("status"), any).await;
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1, "attempts that reach nothing use up no sign-in");
    daemon.notified("STATUS=connected").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_heaters_are_taken_up_by_the_next_run() {
    let mut rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    daemon.signal("KILL");
    daemon.ended(LIMIT).await;
    // The last will says that the bridge is gone; the heater's own topic is corrected before the bridge is back.
    observer.wait(&topic("bridge/state"), says("offline")).await;
    let mark = observer.mark();
    rig.stop_cloud().await;
    let _daemon = rig.run();
    let online = observer.after(mark, &topic("bridge/state"), says("online")).await;
    let corrected = observer.after(mark, &heater("availability"), says("offline")).await;
    assert!(corrected.at <= online.at);
    rig.start_cloud().await;
    observer.after(mark, &heater("availability"), says("online")).await;
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 0, "this cloud was started after the sign-in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recovery_is_exhausted_with_69_and_the_words_that_users_search_for() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\nmax_attempts = 2\ninitial_delay = \"50ms\"\n\
                [recovery]\nmax_attempts = 3\ninitial_delay = \"50ms\"\nmax_delay = \"100ms\"\nrefresh_tokens_every = 3\n"
        .into();
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), says("online")).await;
    rig.cloud().faults().set(Fault::Upgrade { status: 500, times: None });
    rig.cloud().faults().set(Fault::Reset);
    assert_eq!(daemon.ended(LIMIT).await.code(), Some(69));
    let log = daemon.log();
    for words in [
        "Failed to reconnect after 2 attempts",
        "Stopping 2 periodic tasks",
        "Starting recovery attempt 1/3",
        "Starting recovery attempt 3/3",
        "seconds before recovery",
        "Refreshing authentication tokens",
        "Recreating MQTT client",
    ] {
        assert!(log.contains(words), "`{words}` is missing in\n{log}");
    }
    observer.wait(&topic("bridge/event"), event("reconnection_failed")).await;
    observer.wait(&topic("bridge/event"), event("recovery_attempt")).await;
    observer.wait(&topic("bridge/event"), event("failed")).await;
    observer.wait(&heater("availability"), says("offline")).await;
    observer.wait(&topic("bridge/state"), says("offline")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_in_failure_it_waits_for_a_reconnect_request() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\nenabled = false\n[recovery]\nenabled = false\non_failure = \"hold\"\n".into();
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&heater("availability"), says("online")).await;
    rig.cloud().faults().set(Fault::Reset);
    observer.wait(&topic("bridge/connection"), state("failed")).await;
    observer.wait(&heater("availability"), says("offline")).await;
    daemon.notified("STATUS=failed, waiting for a reconnect request").await;
    let mark = observer.mark();
    observer.publish("navien2mqtt/bridge/request/reconnect", r#"{"id":"x"}"#);
    let response = observer.after(mark, &topic("bridge/response/reconnect"), any).await;
    assert_eq!(response.json(), json!({ "ok": true, "id": "x" }));
    observer.after(mark, &heater("availability"), says("online")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_messages_cost_themselves_only() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&heater("availability"), says("online")).await;
    for _ in 0..3 {
        rig.cloud().faults().set(Fault::Malformed { payload: None });
    }
    let payload = json!({ "response": { "status": { "dhwTemperature": "warm", "wifiRssi": "-61" } } }).to_string();
    rig.cloud().faults().set(Fault::Malformed { payload: Some(payload) });
    let odd = |seen: &Seen| seen.json()["wifi_rssi"] == -61 && seen.json()["dhw_temperature"] == Value::Null;
    observer.wait(&heater("status"), odd).await;
    let mark = observer.mark();
    observer.after(mark, &heater("status"), |seen| seen.json()["dhw_temperature"].is_f64()).await;
    assert_eq!(rig.cloud().counters().connects, 1);
    let complaints = daemon.log().matches("`dhwTemperature`").count();
    assert_eq!(complaints, 1, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_credentials_are_renewed_without_the_password() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\ninitial_delay = \"100ms\"\n".into();
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    let mark = observer.mark();
    rig.cloud().faults().set(Fault::ExpireAws);
    rig.cloud().faults().set(Fault::ExpireTokens);
    rig.cloud().faults().set(Fault::Reset);
    observer.after(mark, &topic("bridge/connection"), |seen| seen.json()["reason"] == "http-403").await;
    let again = |seen: &Seen| seen.json()["state"] == "connected" && seen.json()["outages"] == 1;
    observer.after(mark, &topic("bridge/connection"), again).await;
    let counters = rig.cloud().counters();
    assert_eq!(counters.rest("/user/sign-in"), 1);
    assert_eq!(counters.rest("/auth/refresh"), 1, "{counters:?}");
    assert!(counters.forbidden >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_tls_and_a_client_certificate_is_reached() {
    let certificates = support::certificates::Certificates::make();
    let port = support::free_port();
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\nlistener {port} 127.0.0.1\nallow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n\
         require_certificate true",
        certificates.ca(),
        certificates.server(),
        certificates.server_key()
    ));
    let mut rig = Rig::with(1, broker).await;
    rig.broker_lines = format!(
        "url = \"mqtts://localhost:{port}\"\nca_file = {:?}\nclient_certificate = {:?}\nclient_key = {:?}",
        certificates.ca(),
        certificates.client(),
        certificates.client_key()
    );
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&heater("status"), any).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_wants_a_login_gets_it_and_a_wrong_one_is_said() {
    let broker = Mosquitto::with_password("bridge", "secret");
    let port = broker.port;
    let mut rig = Rig::with(1, broker).await;
    let url = format!("url = \"mqtt://127.0.0.1:{port}\"\nusername = \"bridge\"\n");
    rig.broker_lines = format!("{url}password = \"wrong\"");
    let daemon = rig.run();
    daemon.logged("No connection to the local broker, trying on: the server refused the session").await;
    drop(daemon);
    rig.broker_lines = format!("{url}password = \"secret\"");
    let daemon = rig.run();
    daemon.logged("Connected to the local broker").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_clock_is_reported_as_such_and_costs_one_sign_in() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\ninitial_delay = \"100ms\"\nmax_delay = \"100ms\"\nmax_attempts = -1\n".into();
    rig.cloud().faults().set(Fault::Clock { seconds: 3600 });
    let observer = rig.observer().await;
    let daemon = rig.run();
    let wrong = |seen: &Seen| seen.json()["reason"] == "clock-skew" && seen.json()["attempt"] == 20;
    let connection = observer.wait(&topic("bridge/connection"), wrong).await.json();
    assert_eq!(connection["state"], "reconnecting");
    assert!(connection["detail"].as_str().unwrap().contains("clock"), "{connection}");
    let counters = rig.cloud().counters();
    assert_eq!(
        (counters.rest("/user/sign-in"), counters.rest("/auth/session/refresh")),
        (1, 0),
        "renewing would not help"
    );
    rig.cloud().faults().set(Fault::Clock { seconds: 0 });
    observer.wait(&topic("bridge/connection"), state("connected")).await;
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
    assert!(!daemon.log().contains("credentials"), "{}", daemon.log());
}
