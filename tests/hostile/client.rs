//! A client of the local broker that publishes whatever a broker lets through.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::broker::noise;
use super::server::packet;
use super::support::Limit;
use super::support::mosquitto::Mosquitto;
use super::support::observer::Observer;
use super::support::rig::{HEATER, Rig};
use super::{INPUTS, Meter, alone};

/// Messages of one kind, and how often they are published.
struct Said {
    topic: String,
    payload: Vec<u8>,
    retained: bool,
    times: usize,
}

/// Publishes on a connection of its own, which the broker may end.
async fn say(port: u16, said: &Said) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(&packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x07hostile")).await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
    let topic = said.topic.as_bytes();
    let body = [&(topic.len() as u16).to_be_bytes(), topic, &said.payload].concat();
    let message = packet(if said.retained { 0x31 } else { 0x30 }, &body);
    for _ in 0..said.times {
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
    // What was asked for behind all that is answered when it has arrived.
    if stream.write_all(&[0xc0, 0, 0xe0, 0]).await.is_ok() {
        while stream.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {}
    }
}

/// The bridge answers a request, though perhaps not the first one behind a flood that the broker itself cut short.
async fn answers(observer: &Observer, id: usize, after: &str) {
    let topic = "navien2mqtt/bridge/response/log_level";
    let mark = observer.mark();
    for _ in 0..10 {
        observer.publish("navien2mqtt/bridge/request/log_level", &json!({ "value": "info", "id": id }).to_string());
        let mut limit = Limit::of(Duration::from_secs(2));
        while limit.pause().await {
            if observer.all(mark, topic).iter().any(|seen| seen.json()["id"] == id) {
                return;
            }
        }
    }
    panic!("no answer after {after}");
}

fn table() -> Vec<Said> {
    let mut table = Vec::new();
    let mut says = |topic: &str, payload: &[u8], retained, times| {
        let topic = topic.replace("{}", &format!("navien2mqtt/{HEATER}")).replace("{b}", "navien2mqtt/bridge/request");
        table.push(Said { topic, payload: payload.to_vec(), retained, times });
    };
    let deep = b"[".repeat(60_000);
    let large = vec![b'x'; 300_000];
    let values: [&[u8]; 6] = [
        b"",
        b"1e400",
        b"[]",
        b"{\"value\":{\"value\":[]}}",
        "\u{1b}[2J\r\n\u{202e}".as_bytes(),
        b"{\"id\":[[[]]],\"value\":99999999999999999999}",
    ];
    for name in [
        "power",
        "mode",
        "temperature",
        "anti_legionella",
        "reservations",
        "reservation_delete",
        "tou_schedule",
        "recirculation_schedule",
        "firmware_commit",
        "nonsense",
    ] {
        for value in values {
            says(&format!("{{}}/set/{name}"), value, false, 1);
        }
        says(&format!("{{}}/set/{name}"), &deep, false, 1);
    }
    says("{}/set/power", &large, false, 20);
    says("{}/set/power", &noise(60_000), false, 1);
    says("{}/set/power", b"true", true, 1);
    says("{}/set/mode", b"eco", false, 500);
    says("{}/set/temperature", b"{\"value\":50,\"id\":1}", false, 500);
    says("{}/set/reservations", b"{\"entries\":", false, 500);
    says(&format!("{{}}/set/{}", "x".repeat(60_000)), b"1", false, 3);
    says("{}/set/\u{7f}\u{85}\u{202e}", b"1", false, 1);
    says("{}/set//", b"1", false, 1);
    says("{}/set/power/more", b"1", false, 1);
    for name in ["status", "energy", "nonsense", ""] {
        says(&format!("{{}}/get/{name}"), b"", false, 1);
        says(&format!("{{}}/get/{name}"), &deep, false, 1);
        says(&format!("{{}}/get/{name}"), b"{\"year\":-9223372036854775808,\"months\":[1e308]}", false, 300);
    }
    says("{}/get/status", b"", true, 1);
    says("{}/get/status", &large, false, 20);
    for name in ["refresh", "log_level", "forget", "nonsense", "", "\u{1b}"] {
        says(&format!("{{b}}/{name}"), &deep, false, 1);
        says(&format!("{{b}}/{name}"), b"{\"value\":\"\\u0000\",\"mac\":\"nobody\",\"id\":{}}", false, 1);
        says(&format!("{{b}}/{name}"), b"\xff\xfe", true, 1);
    }
    says("{b}/refresh", b"", false, 500);
    says("{b}/nonsense", b"", false, 500);
    says("{b}/diagnostics", b"{\"id\":\"x\"}", false, 10);
    says("{b}/log_level", b"loud", false, 300);
    says("{b}/forget", b"ffffffffffff", false, 300);
    says("{b}/reconnect", b"", false, 300);
    for mac in ["000000000000", "ffffffffffff", "04:78:63:32:fc:a0", "04786332FCA0", "x", "", "bridge", "+"] {
        says(&format!("navien2mqtt/{mac}/set/power"), b"true", false, 1);
        says(&format!("navien2mqtt/{mac}/get/status"), b"", false, 1);
    }
    for number in 0..40 {
        says(&format!("navien2mqtt/0000000000{number:02x}/set/power"), b"true", false, 30);
    }
    says("homeassistant/status", b"online", false, 500);
    says("homeassistant/status", b"offline", true, 1);
    says("homeassistant/status", &large, false, 5);
    says("homeassistant/status", b"\xff", false, 1);
    says("homeassistant/status", b"online", true, 1);
    // What the bridge itself says, said by somebody else.
    says("{}/availability", b"maybe", true, 1);
    says("navien2mqtt/bridge/state", b"offline", true, 1);
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_client_is_survived() {
    let _turn = alone().await;
    let rig = Rig::with(1, Mosquitto::with("allow_anonymous true\nset_tcp_nodelay true")).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let heater = format!("navien2mqtt/{HEATER}");
    observer.wait(&format!("{heater}/info"), |_| true).await;
    let meter = Meter::of(Some(daemon.pid()));
    let table = table();
    assert!(table.len() >= INPUTS);
    for (number, said) in table.iter().enumerate() {
        say(rig.broker.port, said).await;
        let mut what = String::new();
        write!(what, "{:.80} {:.80}", said.topic, String::from_utf8_lossy(&said.payload)).unwrap();
        answers(&observer, number, &what).await;
    }
    assert!(daemon.runs());
    // An honest client is served still.
    let mark = observer.mark();
    observer.after(mark, &format!("{heater}/status"), |_| true).await;
    let mut attempt = 0;
    let honest = loop {
        attempt += 1;
        let mark = observer.mark();
        let id = format!("honest {attempt}");
        observer.publish(&format!("{heater}/set/vacation_days"), &json!({ "value": 4, "id": id }).to_string());
        let last = |status: &str| !["queued", "sent"].contains(&status);
        let result = format!("{heater}/result");
        let found = observer
            .after(mark, &result, |seen| {
                seen.json()["id"] == id.as_str() && last(seen.json()["status"].as_str().unwrap())
            })
            .await;
        if found.json()["status"] == "confirmed" || attempt == 5 {
            break found;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    assert_eq!(honest.json()["status"], "confirmed", "{}", honest.text());
    let counters = rig.cloud().counters();
    assert!(counters.connects < 10, "{} sessions with the cloud", counters.connects);
    assert!(counters.rest.values().sum::<u64>() < 20, "{:?}", counters.rest);
    meter.check(20.0, 64).await;
}
