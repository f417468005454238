//! Alerts by command and by URL, from the real binary, in a real outage.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use support::rig::Rig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Two quick attempts, then recovery without end.
const QUICK: &str = "[reconnect]\nmax_attempts = 2\ninitial_delay = \"100ms\"\n\
                     [recovery]\nmax_attempts = -1\ninitial_delay = \"200ms\"\nmax_delay = \"500ms\"\n";

fn script(folder: &Path, body: &str) -> PathBuf {
    let path = folder.join("tell");
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let mut limit = support::Limit::of(Duration::from_secs(20));
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(limit.pause().await, "{what}");
    }
}

/// A tiny HTTP server that takes every request and keeps the bodies.
async fn webhook() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut text = String::new();
                while !text.ends_with('}') {
                    let mut buffer = [0; 4096];
                    let count = stream.read(&mut buffer).await.unwrap();
                    assert!(count > 0, "the request breaks off: {text}");
                    text += std::str::from_utf8(&buffer[..count]).unwrap();
                }
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                kept.lock().unwrap().push(text);
            });
        }
    });
    (port, bodies)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_and_url_are_told_of_failure_and_of_success() {
    let mut rig = Rig::new(1).await;
    let told = rig.folder.path().join("told");
    let command = script(
        rig.folder.path(),
        &format!("(echo \"$NAVIEN2MQTT_EVENT $1\"; cat; env; ls -l /proc/self/fd) >> {}", told.display()),
    );
    let (port, bodies) = webhook().await;
    rig.more =
        format!("{QUICK}[alerts]\ncommand = [{command:?}, \"heater\"]\nurl = \"http://127.0.0.1:{port}/geheim\"\n");
    let daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    rig.stop_cloud().await;
    let read = || fs::read_to_string(&told).unwrap_or_default();
    until("the failure is told", || read().contains("reconnection_failed heater").then_some(())).await;
    rig.start_cloud().await;
    until("the success is told", || read().contains("recovered heater").then_some(())).await;
    until("both are posted", || (bodies.lock().unwrap().len() == 2).then_some(())).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let told = read();
    assert_eq!(told.matches(" heater\n").count(), 2, "one alert each: {told}");
    let objects: Vec<Value> = told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert!(told.contains("/dev/null") && !told.contains("socket:"), "the command inherits a connection: {told}");
    assert_eq!(objects[0]["event"], "reconnection_failed");
    assert_eq!((&objects[0]["attempts"], &objects[0]["service"]), (&Value::from(2), &Value::from("navien2mqtt")));
    assert_eq!(objects[1]["event"], "recovered");
    assert!(
        objects.iter().all(|object| object["message"].as_str().unwrap().starts_with("The connection to the cloud"))
    );
    let bodies = bodies.lock().unwrap().clone();
    assert!(bodies[0].starts_with("POST /geheim ") && bodies[0].contains("\"reconnection_failed\""), "{bodies:?}");
    for text in [told, bodies.concat(), daemon.log()] {
        assert!(!text.contains("demo-password") && !text.contains("demo@example.com"), "{text}");
    }
    assert!(!daemon.log().contains("geheim"), "{}", daemon.log());
    assert!(!read().contains("NOTIFY_SOCKET"), "the command has our environment");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_hangs_is_killed_with_its_children_and_holds_nothing_up() {
    let mut rig = Rig::new(1).await;
    let marker = rig.folder.path().join("pid");
    let command = script(rig.folder.path(), &format!("sleep 600 & echo $! > {}; wait", marker.display()));
    rig.more = format!("{QUICK}[alerts]\ncommand = [{command:?}]\ntimeout = \"1s\"\n");
    let daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    rig.stop_cloud().await;
    daemon.logged("Starting recovery attempt 3").await;
    let child = until("it runs", || fs::read_to_string(&marker).ok()?.trim().parse::<u32>().ok()).await;
    daemon.logged("nothing came within 1s").await;
    // One that is dead, but not waited for yet, has an empty command line.
    let gone = || fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default().is_empty();
    until("its child is gone", || gone().then_some(())).await;
    rig.start_cloud().await;
    daemon.logged("Recovery successful").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_gives_up_tells_it_before_it_ends() {
    let mut rig = Rig::new(1).await;
    let told = rig.folder.path().join("told");
    let command = script(rig.folder.path(), &format!("sleep 1; cat >> {}", told.display()));
    rig.more =
        format!("[reconnect]\nenabled = false\n[recovery]\nenabled = false\n[alerts]\ncommand = [{command:?}]\n");
    let mut daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    rig.stop_cloud().await;
    assert_eq!(daemon.ended(Duration::from_secs(20)).await.code(), Some(69));
    let told: Value = serde_json::from_str(&fs::read_to_string(told).unwrap()).unwrap();
    assert_eq!(told["event"], "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_that_cannot_be_told_cost_a_line_each_and_nothing_else() {
    let mut rig = Rig::new(1).await;
    rig.more = format!("{QUICK}[alerts]\ncommand = [\"/nowhere/tell\"]\nurl = \"http://127.0.0.1:9/geheim\"\n");
    let daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    rig.stop_cloud().await;
    daemon.logged("The alert command /nowhere/tell failed: No such file or directory").await;
    daemon.logged("The alert URL cannot be told").await;
    rig.start_cloud().await;
    daemon.logged("Recovery successful").await;
    assert!(!daemon.log().contains("geheim"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_that_outlives_the_process_is_told_once_and_once_when_it_is_over() {
    let mut rig = Rig::new(1).await;
    let told = rig.folder.path().join("told");
    let command = script(rig.folder.path(), &format!("cat >> {}", told.display()));
    rig.more = format!(
        "[reconnect]\nmax_attempts = 1\ninitial_delay = \"100ms\"\n[recovery]\nmax_attempts = 1\n\
         initial_delay = \"100ms\"\n[alerts]\ncommand = [{command:?}]\n"
    );
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    daemon.logged("Connected to the cloud").await;
    rig.stop_cloud().await;
    assert_eq!(daemon.ended(Duration::from_secs(20)).await.code(), Some(69));
    assert!(daemon.log().contains("Every attempt failed"), "{}", daemon.log());
    for _ in 0..2 {
        daemon = rig.run();
        assert_eq!(daemon.ended(Duration::from_secs(20)).await.code(), Some(69));
        assert!(!daemon.log().contains("Every attempt failed"), "{}", daemon.log());
        assert!(daemon.log().contains("Failed again, the outage goes on"), "{}", daemon.log());
    }
    rig.start_cloud().await;
    let mark = observer.mark();
    daemon = rig.run();
    daemon.logged("Connected again after").await;
    let connected = |seen: &support::observer::Seen| seen.json()["state"] == "connected";
    let connection = observer.after(mark, "navien2mqtt/bridge/connection", connected).await.json();
    assert_eq!(connection["outages"], 1, "{connection}");
    assert!(connection["last_outage_seconds"].as_f64().unwrap() > 0.2, "{connection}");
    let read = || fs::read_to_string(&told).unwrap_or_default();
    let events = || -> Vec<Value> {
        let objects = read().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).collect::<Vec<_>>();
        objects.iter().map(|object| object["event"].clone()).collect()
    };
    until("the success is told", || events().contains(&Value::from("connected")).then_some(())).await;
    assert_eq!(events(), ["reconnection_failed", "failed", "connected"]);
    daemon.signal("TERM");
    daemon.ended(Duration::from_secs(10)).await;
    let mark = observer.mark();
    let _daemon = rig.run();
    let connection = observer.after(mark, "navien2mqtt/bridge/connection", connected).await.json();
    assert_eq!(connection["outages"], 1, "a restart is no outage: {connection}");
    assert!(connection["last_outage_seconds"].is_f64(), "{connection}");
}
