//! A cloud that answers whatever it likes: its REST API, the upgrade to a WebSocket, the frames, and the MQTT in them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use navien2mqtt::bridge::{Bridge, BridgeSettings};
use navien2mqtt::heater::{self, commands, polling::Intervals};
use navien2mqtt::io::rest::RestClient;
use navien2mqtt::io::tls;
use navien2mqtt::model::Moment;
use navien2mqtt::navilink::account::{read_aws, read_jwt, token_of};
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::outputs::home_assistant::HomeAssistant;
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::simulator::Fault;
use navien2mqtt::units::UnitsChoice;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::broker::{Subject, noise};
use super::server::When::{Idle, Request};
use super::server::{Act, Input, Kind, Server, answer, frame, input, packet, publish};
use super::support::rig::{HEATER, Rig};
use super::{INPUTS, Meter, alone};

/// An HTTP answer that the REST client is to refuse or to read, but not to choke on.
fn http_answers() -> Vec<Input> {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n";
    let mut table = vec![
        input("a close", Request, Act::Close),
        input("silence", Request, Act::Silence),
        input("a half-closed connection", Request, Act::HalfClose),
        input("an answer that trickles", Request, Act::Trickle(answer(b"{}"))),
        input(
            "headers for ever",
            Request,
            Act::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-more: of it\r\n".repeat(200)),
        ),
        input("one header for ever", Request, Act::Endless(b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'x'; 4096])),
        input("a status line for ever", Request, Act::Endless(b"HTTP/1.1 200 ".to_vec(), vec![b'O'; 4096])),
        input("a body for ever", Request, Act::Endless(long.to_vec(), vec![b'['; 4096])),
        input(
            "chunks for ever",
            Request,
            Act::Endless(chunked.to_vec(), [b"1000\r\n", &[b' '; 4096][..], b"\r\n"].concat()),
        ),
        input(
            "empty chunk extensions for ever",
            Request,
            Act::Endless([&chunked[..], b"1;"].concat(), vec![b'x'; 4096]),
        ),
        input("interim answers for ever", Request, Act::Endless(vec![], b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100))),
        input("random bytes", Request, Act::Bytes(noise(50_000))),
    ];
    for (name, head) in [
        ("no headers", "HTTP/1.1 200 OK\r\n\r\n"),
        ("HTTP 0.9", "<html></html>"),
        ("HTTP 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("status 99", "HTTP/1.1 99 X\r\ncontent-length: 0\r\n\r\n"),
        ("status 1000", "HTTP/1.1 1000 X\r\ncontent-length: 0\r\n\r\n"),
        ("status 204 with a body", "HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\nhello"),
        ("a redirect", "HTTP/1.1 302 Found\r\nlocation: https://localhost:1/\r\ncontent-length: 0\r\n\r\n"),
        ("a redirect to plain HTTP", "HTTP/1.1 307 X\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n"),
        ("a redirect to nowhere", "HTTP/1.1 301 X\r\nlocation: ://\r\ncontent-length: 0\r\n\r\n"),
        ("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}"),
        ("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x"),
        ("a length of 2^64", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n{}"),
        ("length and chunks", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("a body shorter than announced", "HTTP/1.1 200 OK\r\ncontent-length: 500\r\nconnection: close\r\n\r\n{}"),
        ("a chunk of 2^64", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n10000000000000000\r\n"),
        ("a chunk that is no number", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n"),
        ("a header without colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
        ("a header with NUL", "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n"),
        ("a switch of protocols", "HTTP/1.1 101 X\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"),
        (
            "cookies",
            "HTTP/1.1 200 OK\r\nset-cookie: a=b; Domain=.com; Max-Age=99999999999\r\ncontent-length: 2\r\n\r\n{}",
        ),
        ("a retry in 2^63 s", "HTTP/1.1 429 X\r\nretry-after: 9223372036854775808\r\ncontent-length: 0\r\n\r\n"),
        (
            "a retry in the past",
            "HTTP/1.1 503 X\r\nretry-after: Thu, 01 Jan 1970 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
        ),
        (
            "a date of the year 9999",
            "HTTP/1.1 503 X\r\ndate: Fri, 31 Dec 9999 23:59:59 GMT\r\ncontent-length: 0\r\n\r\n",
        ),
    ] {
        table.push(input(name, Request, Act::Bytes(head.as_bytes().to_vec())));
    }
    // Ten thousand zeros, as gzip makes them of a gigabyte: nobody asked for compression, so nobody expands it.
    let gzip =
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 10018\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\x03";
    table.push(input("compression", Request, Act::Bytes([&gzip[..], &[0; 10_008]].concat())));
    table
}

/// Bodies that arrive whole.
fn bodies() -> Vec<Input> {
    let envelope = |data: Value| json!({ "code": 200, "msg": "SUCCESS", "data": data }).to_string().into_bytes();
    let device = |name: &str, mac: &str| {
        let device = json!({ "homeSeq": 1, "macAddress": mac, "additionalValue": "5322", "deviceType": 52,
            "deviceName": name, "connected": 2 });
        json!({ "deviceInfo": device })
    };
    let tokens = |life: Value, text: &str| {
        envelope(json!({ "userInfo": { "userType": text }, "token": {
            "accessToken": text, "refreshToken": text, "idToken": text, "accessKeyId": text, "secretKey": text,
            "sessionToken": text, "authenticationExpiresIn": life, "authorizationExpiresIn": life } }))
    };
    let many = (0..900).map(|n| device("x", &format!("0478633{n:05x}"))).collect();
    let long = "x".repeat(900_000);
    let huge = format!("{{\"code\":200,\"data\":[{}]}}", "9".repeat(500_000));
    [
        ("an empty body", Vec::new()),
        ("HTML", b"<!doctype html><title>maintenance</title>".to_vec()),
        ("JSON that is no object", b"[1,2,3]".to_vec()),
        ("null", b"null".to_vec()),
        ("JSON cut off", br#"{"code":200,"data":[{"deviceInfo":{"#.to_vec()),
        ("JSON nested deeply", b"[".repeat(500_000)),
        ("objects nested deeply", br#"{"data":"#.repeat(100_000)),
        ("a body that is too large", vec![b' '; 3 << 20]),
        ("no UTF-8", b"{\"code\":200,\"data\":\"\xff\xfe\"}".to_vec()),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec()),
        ("a lone surrogate", br#"{"code":200,"msg":"\ud800","data":[]}"#.to_vec()),
        ("a number of 500 000 digits", huge.into_bytes()),
        ("1e400", br#"{"code":1e400,"data":[]}"#.to_vec()),
        ("a code that is text", br#"{"code":"200","data":[]}"#.to_vec()),
        ("a code of 2^63", br#"{"code":9223372036854775808,"data":[]}"#.to_vec()),
        ("members twice", br#"{"code":200,"code":500,"data":[],"data":{}}"#.to_vec()),
        (
            "a message with control characters",
            br#"{"code":500,"msg":"\u001b[2J\r\nERROR all is lost","data":null}"#.to_vec(),
        ),
        ("a message of 900 KB", format!(r#"{{"code":500,"msg":"{long}","data":null}}"#).into_bytes()),
        ("data that is a number", envelope(json!(7))),
        ("entries that are no objects", envelope(json!([1, "x", null, [], true, {}]))),
        ("entries without anything", envelope(json!([{ "deviceInfo": {} }, { "deviceInfo": [] }]))),
        ("a thousand heaters", envelope(Value::Array(many))),
        ("a heater twice", envelope(json!([device("a", "04786332fca0"), device("b", "04:78:63:32:FC:A0")]))),
        ("a name with control characters", envelope(json!([device("\u{1b}[31m\r\n\0", "04786332fca0")]))),
        ("a name of 900 KB", envelope(json!([device(&long, "04786332fca0")]))),
        ("a name that turns the text around", envelope(json!([device("\u{202e}retaeh", "04786332fca0")]))),
        ("a MAC address with wildcards", envelope(json!([device("x", "+/#")]))),
        ("a MAC address of 900 KB", envelope(json!([device("x", &long)]))),
        (
            "another type of device",
            envelope(json!([{ "deviceInfo": { "macAddress": "04786332fca0", "deviceType": -1 } }])),
        ),
        ("tokens that live for 2^63 s", tokens(json!(9_223_372_036_854_775_808_u64), "t")),
        ("tokens that live for ever", tokens(json!(1e308), "t")),
        ("tokens that never live", tokens(json!(-1), "t")),
        ("tokens without life", tokens(Value::Null, "t")),
        ("tokens with line ends", tokens(json!(3600), "t\r\nX-Injected: yes")),
        ("tokens of 100 KB", tokens(json!(3600), &"t".repeat(100_000))),
        ("empty tokens", tokens(json!(3600), "")),
    ]
    .into_iter()
    .map(|(name, body)| input(name, Request, Act::Bytes(answer(&body))))
    .collect()
}

/// Answers to the WebSocket upgrade.
fn upgrades() -> Vec<Input> {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut table = vec![
        input("a close in place of the upgrade", Request, Act::Close),
        input("silence in place of the upgrade", Request, Act::Silence),
        input("an upgrade that trickles", Request, Act::Trickle(switched.as_bytes().to_vec())),
        input(
            "an upgrade with headers for ever",
            Request,
            Act::Endless(switched.into(), b"x-more: of it\r\n".repeat(200)),
        ),
        input("MQTT in place of the upgrade", Request, Act::Bytes(packet(0x20, &[0, 0]))),
        input("random bytes in place of the upgrade", Request, Act::Bytes(noise(20_000))),
    ];
    for (name, answer) in [
        ("an upgrade without a key", format!("{switched}\r\n")),
        ("an upgrade with a wrong key", format!("{switched}Sec-WebSocket-Accept: bm8=\r\n\r\n")),
        ("an upgrade to something else", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n".into()),
        ("status 200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".into()),
        (
            "a redirect of the upgrade",
            "HTTP/1.1 302 X\r\nLocation: wss://localhost:1/\r\nContent-Length: 0\r\n\r\n".into(),
        ),
        (
            "status 403 with a long body",
            format!("HTTP/1.1 403 X\r\nContent-Length: 60000\r\n\r\n{}", "x".repeat(60_000)),
        ),
        ("status 429", "HTTP/1.1 429 X\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n".into()),
        ("HTTP 1.0", "HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".into()),
        ("two hundred headers", format!("{switched}{}\r\n", "X-Header: x\r\n".repeat(200))),
        ("a status with control characters", "HTTP/1.1 500 \u{1b}[2J\r\nContent-Length: 0\r\n\r\n".into()),
    ] {
        table.push(input(name, Request, Act::Bytes(answer.into_bytes())));
    }
    table
}

/// What comes on the WebSocket once the session is up.
fn frames() -> Vec<Input> {
    let reason = |code: u16, text: &str| frame(0x88, &[&code.to_be_bytes(), text.as_bytes()].concat());
    let in_a_frame = |packet: Vec<u8>| frame(0x82, &packet);
    let mut table = vec![
        input("pings for ever", Idle, Act::Endless(vec![], frame(0x89, b"?").repeat(100))),
        input("pongs", Idle, Act::Flood(frame(0x8a, b"!"), 5000)),
        input("empty frames", Idle, Act::Flood(frame(0x82, b""), 20_000)),
        input(
            "a message of fragments without end",
            Idle,
            Act::Endless(frame(0x02, b"\x30"), frame(0x00, &[b'x'; 4000])),
        ),
        input(
            "a frame that is too large",
            Idle,
            Act::Endless(vec![0x82, 127, 0, 0, 0, 0, 0x40, 0, 0, 0], vec![0; 4096]),
        ),
        input("a frame of 2^63 bytes", Idle, Act::Endless(vec![0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], vec![0; 4096])),
        input("a frame that trickles", Idle, Act::Trickle(in_a_frame(publish(b"test/slow", b"slow")))),
        input("messages for ever", Idle, Act::Endless(vec![], in_a_frame(publish(b"test/x", b"y")).repeat(50))),
        input("random bytes", Idle, Act::Bytes(noise(50_000))),
        input("a close of the connection", Idle, Act::Close),
    ];
    for (name, bytes) in [
        ("a text frame", frame(0x81, b"hello")),
        ("a text frame that is no UTF-8", frame(0x81, b"\xff")),
        ("a masked frame", vec![0x82, 0x82, 1, 2, 3, 4, 0xd1, 2]),
        ("a frame with reserved bits", frame(0xf2, b"\xd0\0")),
        ("a reserved opcode", frame(0x83, b"")),
        ("a reserved control opcode", frame(0x8f, b"")),
        ("a continuation of nothing", frame(0x80, b"\xd0\0")),
        ("a message within a message", [frame(0x02, b"\xd0"), frame(0x82, b"\xd0\0")].concat()),
        ("a ping of 126 bytes", frame(0x89, &[0; 126])),
        ("a ping in fragments", frame(0x09, b"x")),
        ("a close without code", frame(0x88, b"")),
        ("a close of one byte", frame(0x88, b"\x03")),
        ("a close with code 0", reason(0, "")),
        ("a close with code 65535", reason(65_535, "")),
        ("a close with control characters", reason(1008, "\u{1b}[2J\r\nERROR all is lost")),
        ("a close that is no UTF-8", frame(0x88, b"\x03\xe8\xff\xfe")),
        ("a close and more", [reason(1000, "bye"), in_a_frame(publish(b"test/x", b"y"))].concat()),
        ("MQTT in many frames", publish(b"test/x", b"y").iter().flat_map(|byte| frame(0x82, &[*byte])).collect()),
        ("MQTT of 256 MB announced", in_a_frame(vec![0x30, 0xff, 0xff, 0xff, 0x7f])),
        ("MQTT of a stranger", in_a_frame(publish(b"cmd/52/navilink-000000000000/res", b"{}"))),
        ("MQTT with NUL in a topic", in_a_frame(publish(b"test/\0", b"{}"))),
        ("MQTT with QoS 2", in_a_frame(packet(0x34, b"\0\x01t\0\x01x"))),
        ("a DISCONNECT", in_a_frame(packet(0xe0, b""))),
    ] {
        table.push(input(name, Idle, Act::Bytes(bytes)));
    }
    table
}

fn bridge() -> Bridge {
    let hour = Duration::from_secs(3600);
    let settings = BridgeSettings {
        topics: Topics::new("n"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals { status: hour / 60, information: hour, energy: hour, schedules: hour },
            stale_after: hour,
            commands: commands::CommandSettings {
                max_queued: 3,
                max_age: hour,
                allow_firmware_commit: false,
                read_only: false,
                max_temperature: None,
                answer_within: hour / 120,
            },
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        allow: navien2mqtt::model::REQUESTS.into(),
        home_assistant: HomeAssistant { enabled: true, prefix: "h".into(), birth_topic: "h/status".into() },
    };
    let identity = Identity { client: ClientId::new("me"), session: SessionId::from_random([1; 16]) };
    Bridge::new(settings, identity, &[], json!({}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_rest_api_is_survived() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Kind::Rest, folder.path()).await;
    let tls = tls::client_config(Some(&folder.path().join("ca.pem")), None).unwrap();
    let url = format!("https://localhost:{}/api/v2.1", server.port).parse().unwrap();
    let limited = |limit| RestClient::new(&url, &tls, limit, limit).unwrap();
    let (hasty, patient) = (limited(Duration::from_millis(200)), limited(Duration::from_secs(20)));
    let access = SecretString::from("access");
    patient.device_list(&access, "me").await.unwrap();
    let meter = Meter::of(None);
    let table = [http_answers(), bodies()].concat();
    assert!(table.len() >= INPUTS);
    for input in &table {
        server.plays(Some(input));
        match hasty.device_list(&access, "me").await {
            Ok(list) => {
                let mut bridge = bridge();
                let moment = Moment { now: Instant::now(), wall: SystemTime::now() };
                bridge.set_heaters(&list, moment);
                let mut effects = 0;
                while bridge.poll_effect().is_some() {
                    effects += 1;
                }
                assert!(effects < 200_000, "{}: {effects} effects", input.name);
                assert!(bridge.replay().iter().all(|message| message.topic.len() < 300), "{}", input.name);
            }
            Err(error) => {
                let shown = error.to_string();
                assert!(!shown.chars().any(char::is_control) && shown.len() < 500, "{}: {shown:.600}", input.name);
            }
        }
        if input.name.contains("token")
            && let Ok(data) = hasty.sign_in("me", &"password".into()).await
        {
            let token = token_of(&data);
            let _ = (read_jwt(token, None), read_aws(token));
        }
        server.plays(None);
        let list = patient.device_list(&access, "me").await;
        assert!(list.is_ok_and(|list| list.heaters.is_empty()), "after {}", input.name);
    }
    meter.check(30.0, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_websocket_is_survived() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Kind::WebSocket, folder.path()).await;
    let tls = tls::client_config(Some(&folder.path().join("ca.pem")), None).unwrap();
    let mut subject = Subject::new("hostile-cloud", server.port, Some(tls));
    subject.be_served("nothing").await;
    let meter = Meter::of(None);
    subject.go_through(&server, &[upgrades(), frames()].concat()).await;
    meter.check(20.0, 64).await;
}

/// Payloads on the topics of a heater, as the simulated cloud publishes them.
fn payloads() -> Vec<String> {
    let mut table: Vec<String> = [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{}",
        "\u{0}",
        "{\"response\":{}}",
        "{\"response\":[]}",
        "{\"response\":{\"status\":7}}",
        "{\"response\":{\"status\":null,\"feature\":null}}",
        "{\"response\":{\"status\":{\"dhwTemperature\":1e400}}}",
        "{\"response\":{\"status\":{\"dhwTemperature\":\"\\u0000\"}}}",
        "{\"request\":{\"command\":16777219}}",
        "{\"response\":{\"status\":{\"errorCode\":-9223372036854775808}}}",
        "{\"response\":{\"typeOfUsage\":[{\"data\":[[]]}]}}",
        "{\"response\":{\"reservation\":\"zz\"}}",
        "{\"response\":{\"reservation\":[[],{},1]}}",
    ]
    .map(str::to_owned)
    .into();
    table.push("[".repeat(60_000));
    table.push("{\"response\":".repeat(10_000));
    for value in ["-1", "99999999999999999999", "1e308", "\"\"", "[]", "{}", "null", "true", "\"\\u001b[2J\""] {
        let members: Vec<String> =
            ["dhwTemperature", "operationMode", "errorCode", "temperatureType", "wifiRssi", "deviceType", "dhwUse"]
                .iter()
                .map(|name| format!("{name:?}:{value}"))
                .collect();
        for kind in ["status", "feature"] {
            table.push(format!("{{\"response\":{{\"macAddress\":\"{HEATER}\",{kind:?}:{{{}}}}}}}", members.join(",")));
        }
    }
    let unknown: Vec<String> = (0..3000).map(|n| format!("\"unknown{n}\":{n}")).collect();
    table.push(format!("{{\"response\":{{\"status\":{{{}}}}}}}", unknown.join(",")));
    table.push(format!("{{\"response\":{{\"status\":{{\"dhwTemperature\":\"{}\"}}}}}}", "9".repeat(60_000)));
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_heater_is_survived() {
    let _turn = alone().await;
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let mut daemon = rig.run();
    let status = format!("navien2mqtt/{HEATER}/status");
    observer.wait(&status, |_| true).await;
    let meter = Meter::of(Some(daemon.pid()));
    let table = payloads();
    for payload in &table {
        rig.cloud().faults().set(Fault::Malformed { payload: Some(payload.clone()) });
        let mark = observer.mark();
        // Behind it, from the same heater, on the same topic.
        rig.cloud().faults().set(Fault::Push);
        observer.after(mark, &status, |seen| seen.json()["dhw_temperature"].is_number()).await;
    }
    assert!(daemon.runs());
    assert!(!daemon.log().contains("Connection to the cloud interrupted"), "one session is enough");
    meter.check(20.0, 64).await;
}
