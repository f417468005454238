//! What a user asks of the running bridge, and what it tells of its heaters: the built daemon between a simulated cloud
//! and a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use navien2mqtt::simulator::Fault;
use program::{program, run_with_input};
use serde_json::{Value, json};
use support::observer::{Observer, Seen};
use support::rig::{Daemon, HEATER, Rig, SECOND_HEATER};

fn topic(rest: &str) -> String {
    format!("navien2mqtt/{rest}")
}

fn heater(rest: &str) -> String {
    format!("navien2mqtt/{HEATER}/{rest}")
}

fn any(_: &Seen) -> bool {
    true
}

/// Sends a request and returns its response.
async fn ask(observer: &Observer, name: &str, payload: &str) -> Value {
    let mark = observer.mark();
    observer.publish(&topic(&format!("bridge/request/{name}")), payload);
    observer.after(mark, &topic(&format!("bridge/response/{name}")), any).await.json()
}

/// What a heater says besides its usual statuses.
fn heater_says(rig: &Rig, status: &Value) {
    let payload = json!({ "response": { "macAddress": HEATER, "status": status } }).to_string();
    rig.cloud().faults().set(Fault::Malformed { payload: Some(payload) });
}

/// Returns 0 to anybody but root: a process that is not dumpable hides what it has open.
fn open_files(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mode_that_changes_is_an_event_and_so_is_an_error_that_comes_and_goes() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    let status = observer.wait(&heater("status"), any).await.json();
    assert_eq!(status["dhw_operation_setting"], "energy_saver");
    let mark = observer.mark();
    heater_says(&rig, &json!({ "dhwOperationSetting": 6, "errorCode": 799 }));
    let named = |name: &'static str| move |seen: &Seen| seen.json()["event_type"] == name;
    let event = observer.after(mark, &heater("event"), named("powered_off")).await;
    assert!(!event.retained);
    assert_eq!((&event.json()["old"], &event.json()["new"]), (&json!("energy_saver"), &json!("power_off")));
    // The simulated heater's own status says that nothing of it is so any more.
    observer.after(mark, &heater("event"), named("leak_cleared")).await;
    let events: Vec<Value> =
        observer.all(mark, &heater("event")).iter().map(|seen| seen.json()["event"].clone()).collect();
    let names: Vec<&str> =
        events.iter().filter_map(Value::as_str).filter(|name| !name.starts_with("heating")).collect();
    assert_eq!(
        names,
        [
            "mode_changed",
            "powered_off",
            "error_detected",
            "leak_detected",
            "mode_changed",
            "powered_on",
            "error_cleared",
            "leak_cleared",
        ]
    );
    let late = Observer::start(rig.broker.port, "late").await;
    late.wait(&heater("status"), any).await;
    assert!(!late.latest().contains_key(&heater("event")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_level_changes_at_run_time() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    let shown = |level: &'static str| move |seen: &Seen| seen.json()["log_level"] == level;
    assert!(observer.wait(&heater("status"), any).await.at > daemon.started);
    observer.wait(&topic("bridge/info"), shown("debug")).await;
    assert!(!daemon.log().contains("TRACE"), "{}", daemon.log());
    let response = ask(&observer, "log_level", r#"{"value":"trace","id":1}"#).await;
    assert_eq!(response, json!({ "ok": true, "id": 1, "data": { "log_level": "trace" } }));
    observer.wait(&topic("bridge/info"), shown("trace")).await;
    daemon.logged("TRACE").await;
    assert_eq!(ask(&observer, "log_level", "warn").await["data"]["log_level"], "warn");
    observer.wait(&topic("bridge/info"), shown("warn")).await;
    let said = daemon.log().lines().count();
    let wrong = ask(&observer, "log_level", "loud").await;
    assert_eq!(wrong["ok"], false);
    assert!(wrong["error"].as_str().unwrap().ends_with("error, warn, info, debug, trace"), "{wrong}");
    ask(&observer, "refresh", "").await;
    let mark = observer.mark();
    observer.after(mark, &heater("status"), any).await;
    assert_eq!(daemon.log().lines().count(), said, "{}", daemon.log());
    assert_eq!(ask(&observer, "log_level", "info").await["ok"], true);
    daemon.logged("The log level is now info").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diagnostics_say_a_lot_and_no_secret() {
    let mut rig = Rig::new(1).await;
    rig.more = "[reconnect]\ninitial_delay = \"100ms\"\n\
                [alerts]\ncommand = [\"/bin/true\", \"secret-argument\"]\nurl = \"http://127.0.0.1:1/secret-url\"\n"
        .into();
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    heater_says(&rig, &json!({ "brandNew": "x", "operationMode": 33 }));
    observer.wait(&heater("status"), |seen| seen.json()["operation_mode"] == Value::Null).await;
    let mark = observer.mark();
    rig.cloud().faults().set(Fault::ExpireAws);
    rig.cloud().faults().set(Fault::Reset);
    observer.after(mark, &topic("bridge/connection"), |seen| seen.json()["reason"] == "http-403").await;
    observer.after(mark, &topic("bridge/connection"), |seen| seen.json()["state"] == "connected").await;
    let response = ask(&observer, "diagnostics", r#"{"id":"d"}"#).await;
    assert_eq!((&response["ok"], &response["id"]), (&json!(true), &json!("d")));
    let data = &response["data"];
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&data["connection"]["state"], &data["connection"]["outages"]), (&json!("connected"), &json!(1)));
    assert_eq!((&data["links"]["cloud"]["up"], &data["links"]["local"]["up"]), (&json!(true), &json!(true)));
    assert_eq!(data["log_level"], "debug");
    let seen = &data["heaters"][0];
    let mac = seen["mac"].as_str().unwrap();
    assert!(mac.starts_with("02000000") && mac.len() == 12, "{mac}");
    assert_eq!(seen["unknown_fields"]["status: brandNew"], 1);
    assert_eq!(seen["odd_values"]["status: `operationMode`: expected one of 0, 32, 64, 96, found 33"], 1);
    assert!(data["counters"]["messages"]["status"].as_u64() >= Some(2), "{}", data["counters"]);
    assert!(data["counters"]["supervisor"]["dial"].as_u64() >= Some(2), "{}", data["counters"]);
    let steps = data["steps"].as_array().unwrap();
    for words in ["\"link_down\"", "http-403", "\"dial\"", "connection_interrupted", "\"answered\""] {
        assert!(steps.iter().any(|step| step.to_string().contains(words)), "{words} is not in {steps:#?}");
    }
    let text = response.to_string().to_lowercase();
    let tokens: Value =
        serde_json::from_slice(&fs::read(rig.folder.path().join("state/tokens.json")).unwrap()).unwrap();
    let aws = tokens["aws"].as_array().unwrap().iter();
    let secrets = [&tokens["access"], &tokens["refresh"]].into_iter().chain(aws).map(|token| token.as_str().unwrap());
    let others =
        ["demo-password", "demo@example.com", "example.com", HEATER, "x-amz-", "secret-argument", "secret-url"];
    for secret in secrets.chain(others) {
        assert!(!text.contains(&secret.to_lowercase()), "{secret} is in {text}");
    }
}

/// What the first user of a real heater sends us: it can be read, and nobody can tell whose heater it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diagnostics_carry_what_the_cloud_said_under_pseudonyms_and_decode_reads_it() {
    let mut rig = Rig::new(2).await;
    rig.more = format!("[[device]]\nmac = \"{HEATER}\"\nname = \"Müllers Gartenhaus\"\n");
    let observer = rig.observer().await;
    let _daemon = rig.run();
    for name in ["status", "info", "energy", "reservations", "diagnostics", "firmware", "tou"] {
        observer.wait(&heater(name), any).await;
    }
    let text = format!("{HEATER} of Müllers Gartenhaus (MÜLLERS GARTENHAUS), 04:78:63:32:FC:A0, demo@example.com");
    heater_says(&rig, &json!({ "brandNew": text, "operationMode": 33 }));
    observer.wait(&heater("status"), |seen| seen.json()["operation_mode"] == Value::Null).await;
    let mark = observer.mark();
    observer.publish(&heater("set/temperature"), "120");
    observer.after(mark, &heater("result"), |seen| seen.json()["status"] == "confirmed").await;

    let response = ask(&observer, "diagnostics", "").await;
    let whole = response.to_string();
    assert!(whole.len() <= 128 << 10, "{}", whole.len());
    let input = run_with_input(&mut program(&["decode"]), whole.as_bytes());
    assert_eq!((input.code, input.err.as_str()), (Some(0), ""));
    let read: Vec<Value> = input.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(read.len(), response["data"]["raw_messages"].as_array().unwrap().len());
    for kind in [
        "status",
        "info",
        "energy_daily",
        "energy_monthly",
        "reservations",
        "diagnostics",
        "firmware",
        "tou",
        "request",
        "device_list",
        "rest",
    ] {
        assert!(read.iter().any(|line| line["kind"] == kind), "{kind} is not in {read:#?}");
    }
    let listed = read.iter().find(|line| line["kind"] == "device_list").unwrap();
    let mac = &response["data"]["heaters"][0]["mac"];
    assert_eq!((&listed["decoded"]["heaters"][0]["mac"], &listed["status"]), (mac, &json!(200)));
    assert_eq!(response["data"]["configuration"]["device"][0]["mac"], *mac);
    let tokens: Value =
        serde_json::from_slice(&fs::read(rig.folder.path().join("state/tokens.json")).unwrap()).unwrap();
    let client = fs::read_to_string(rig.folder.path().join("state/client-id.json")).unwrap();
    let client = client.split('"').find(|text| text.starts_with("navien2mqtt-")).unwrap();
    let private = [
        HEATER,
        "04:78",
        "gartenhaus",
        "simulated heater",
        "56496061bt",
        "25004",
        "25005",
        "33.68",
        "demo-password",
        "example.com",
    ];
    let private = private.into_iter().chain([client, tokens["access"].as_str().unwrap()]);
    let whole = whole.replace("@example.com", "").to_lowercase();
    for value in private {
        assert!(!whole.contains(&value.to_lowercase()), "{value} is in {response:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_leaves_in_order_and_comes_back_as_the_same_process() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    let started = |seen: &Seen| seen.json()["started_at"].clone();
    let before = started(&observer.wait(&topic("bridge/info"), any).await);
    observer.wait(&heater("firmware"), any).await;
    // The time of the start is told in whole seconds, and what was opened for the start is closed again.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let files = open_files(&daemon);
    let mark = observer.mark();
    assert_eq!(ask(&observer, "restart", r#"{"id":5}"#).await, json!({ "ok": true, "id": 5 }));
    observer.after(mark, &topic("bridge/state"), |seen| seen.text() == "offline").await;
    let left = observer.mark();
    observer.after(left, &topic("bridge/info"), |seen| started(seen) != before).await;
    observer.after(left, &topic("bridge/state"), |seen| seen.text() == "online").await;
    observer.after(left, &heater("availability"), |seen| seen.text() == "online").await;
    observer.after(left, &heater("firmware"), any).await;
    assert!(daemon.runs());
    // Nothing is inherited, not even the sockets that paho never closes.
    let mut limit = support::Limit::of(Duration::from_secs(10));
    while open_files(&daemon) > files {
        assert!(limit.pause().await, "{} files are open, it had been {files}", open_files(&daemon));
    }
    let notices = daemon.notices();
    let place = |words: &str| notices.iter().rposition(|notice| notice.contains(words));
    assert!(place("READY=1") > place("RELOADING=1\nMONOTONIC_USEC="), "{notices:?}");
    assert!(place("RELOADING=1").is_some() && place("STOPPING=1").is_none(), "{notices:?}");
    let refused = ask(&observer, "restart", r#"{"id":6}"#).await;
    assert!(refused["error"].as_str().is_some_and(|error| error.starts_with("not yet: ask again in ")), "{refused}");
    let counters = rig.cloud().counters();
    assert_eq!((counters.rest("/user/sign-in"), counters.connects), (1, 2), "the tokens were kept");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_and_is_refused_while_the_configuration_is_wrong() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    let path = rig.folder.path().join("navien2mqtt.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[account]", "[acount]")).unwrap();
    daemon.signal("HUP");
    daemon.logged("Not starting afresh, though that was asked for by SIGHUP").await;
    assert!(daemon.runs() && daemon.log().contains("acount: there is no such key"), "{}", daemon.log());
    let ready = || daemon.notices().iter().filter(|notice| notice.contains("READY=1")).count() == 2;
    support::eventually("the end of the refused reload", Duration::from_secs(5), || ready().then_some(()));
    fs::write(&path, format!("{text}[commands]\nmax_queued = 7\n")).unwrap();
    let mark = observer.mark();
    daemon.signal("HUP");
    observer.after(mark, &topic("bridge/state"), |seen| seen.text() == "offline").await;
    let reloaded = |seen: &Seen| seen.json()["configuration"]["commands"]["max_queued"] == 7;
    observer.after(mark, &topic("bridge/info"), reloaded).await;
    observer.after(mark, &topic("bridge/state"), |seen| seen.text() == "online").await;
    assert!(daemon.notices().iter().any(|notice| notice.starts_with("RELOADING=1")), "{:?}", daemon.notices());
    assert_eq!(observer.all(mark, &topic("bridge/response/restart")).len(), 0, "nobody on the broker has asked");
    daemon.signal("TERM");
    assert_eq!(daemon.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heater_that_is_excluded_is_gone_after_a_reload_and_back_after_another() {
    let rig = Rig::new(2).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let second = |rest: &str| topic(&format!("{SECOND_HEATER}/{rest}"));
    observer.wait(&second("status"), |_| true).await;
    observer.wait(&second("availability"), |seen| seen.text() == "online").await;
    let path = rig.folder.path().join("navien2mqtt.toml");
    let text = fs::read_to_string(&path).unwrap();
    let account = format!("[account]\nexclude = [\"{SECOND_HEATER}\", \"04786332ffff\"]\n");
    fs::write(&path, text.replace("[account]\n", &account)).unwrap();
    let mark = observer.mark();
    daemon.signal("HUP");
    observer.after(mark, &second("availability"), |seen| seen.payload.is_empty()).await;
    observer.after(mark, &second("status"), |seen| seen.payload.is_empty()).await;
    let discovery = format!("homeassistant/device/navien2mqtt_{SECOND_HEATER}/config");
    observer.after(mark, &discovery, |seen| seen.payload.is_empty()).await;
    daemon.logged("account.exclude names a heater that is not in the account's device list").await;
    let one = |seen: &Seen| seen.json()["devices"].as_array().is_some_and(|devices| devices.len() == 1);
    observer.after(mark, &topic("bridge/info"), one).await;
    let cleared = observer.mark();
    for _ in 0..3 {
        observer.after(observer.mark(), &heater("status"), |_| true).await;
    }
    for name in ["status", "info", "availability"] {
        let shown = observer.all(cleared, &second(name));
        assert!(shown.iter().all(|seen| seen.payload.is_empty()), "{name}: {shown:?}");
    }
    assert!(!daemon.log().contains("is missing from the account's device list"), "{}", daemon.log());
    fs::write(&path, text).unwrap();
    let mark = observer.mark();
    daemon.signal("HUP");
    observer.after(mark, &second("availability"), |seen| seen.text() == "online").await;
    daemon.signal("TERM");
    assert_eq!(daemon.ended(Duration::from_secs(5)).await.code(), Some(0));
}

/// Lives, times and counters at the ends of their ranges, a FIFO, a link, and the draft of a killed write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_state_file_keeps_the_daemon_from_starting() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let state = rig.folder.path().join("state");
    fs::create_dir(&state).unwrap();
    let (huge, past) = (u64::MAX >> 1, -1e300);
    let tokens = |aws: Value| {
        json!({ "email": "demo@example.com", "access": "a", "refresh": "r", "jwt_issued": 1, "jwt_life": huge,
            "aws": aws, "aws_issued": huge, "aws_life": huge, "user_type": "O" })
    };
    let outage = json!({ "outages": u64::MAX, "last_outage": 1e300, "outage_since": past, "refusals": u32::MAX });
    let rejected = json!({ "at": u64::MAX, "salt": 0, "digest": [] });
    for (name, value) in [
        ("tokens.json", tokens(json!(["k", "s", "t"]))),
        ("outage.json", outage),
        ("rejected.json", rejected),
        ("sign-ins.json", json!([past, 1e300, 1])),
        ("client-id.json", json!("\u{202e}")),
        (".tokens.json.4711", json!({})),
    ] {
        fs::write(state.join(name), value.to_string()).unwrap();
    }
    assert!(std::process::Command::new("mkfifo").arg(state.join("memory.json")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", state.join("heaters.json")).unwrap();
    let mut daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    assert!(!state.join(".tokens.json.4711").exists());
    // Outages that cannot be counted any further are no reason to end either.
    let mark = observer.mark();
    rig.cloud().faults().set(Fault::Reset);
    observer.after(mark, &topic("bridge/connection"), |seen| seen.json()["state"] == "connected").await;
    assert!(daemon.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_memory_is_left_behind_by_a_crash() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("status"), any).await;
    let pid = daemon.pid().to_string();
    assert!(
        std::process::Command::new("prlimit").args(["--core=unlimited", "--pid", &pid]).status().unwrap().success()
    );
    daemon.signal("ABRT");
    assert!(!daemon.ended(Duration::from_secs(10)).await.core_dumped());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_into_a_wrong_configuration_is_refused() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    let path = rig.folder.path().join("navien2mqtt.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[account]", "[acount]")).unwrap();
    let response = ask(&observer, "restart", "").await;
    assert_eq!(response["ok"], false);
    assert!(response["error"].as_str().unwrap().contains("acount"), "{response}");
    let mark = observer.mark();
    observer.after(mark, &heater("status"), any).await;
    assert!(daemon.runs() && rig.cloud().counters().connects == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_changes_in_the_heater_is_an_event_too() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&heater("info"), any).await;
    observer.wait(&heater("status"), any).await;
    let set = |name: &str, value: &str| observer.publish(&heater(&format!("set/{name}")), value);
    for (command, value, event, old, new) in [
        ("mode", "heat_pump", "mode_changed", json!("energy_saver"), json!("heat_pump")),
        ("temperature", "120", "temperature_changed", json!(125.6), json!(120.2)),
        ("power", "OFF", "powered_off", json!("heat_pump"), json!("power_off")),
        ("power", "ON", "powered_on", json!("power_off"), json!("heat_pump")),
    ] {
        let mark = observer.mark();
        set(command, value);
        let seen = observer.after(mark, &heater("event"), |seen| seen.json()["event"] == event).await.json();
        assert_eq!((&seen["old"], &seen["new"]), (&old, &new), "{seen}");
        observer.after(mark, &heater("result"), |seen| seen.json()["status"] == "confirmed").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_to_stop_during_a_restart_is_obeyed() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
    // The closing takes its time: the cloud does not acknowledge anything.
    rig.cloud().faults().set(Fault::Freeze);
    assert_eq!(ask(&observer, "restart", "").await["ok"], true);
    daemon.signal("TERM");
    assert_eq!(daemon.ended(Duration::from_secs(10)).await.code(), Some(0));
}
