//! The simulated cloud, seen by a client that shares no code with it but the MQTT packets.

#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used)]

#[path = "simulator/client.rs"]
mod client;

use std::net::Ipv4Addr;
use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::SessionTokenMode;
use futures_util::{SinkExt, StreamExt};
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::packet::v3_1_1::Connect;
use navien2mqtt::io::clock;
use navien2mqtt::simulator::{Fault, Options, RestAnswer, SimulatedCondition, Simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use self::client::{LIMIT, Mqtt, Refused, Rest, presign, publication, status_request, subscription};

const MAC: &str = "04786332fca0";
/// An address on which no other test takes ports.
const ALONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 7);

async fn simulator() -> Simulator {
    Simulator::start(Options::default()).await.unwrap()
}

/// A cloud, and the AWS credentials of a client that has signed in.
async fn signed_in() -> (Simulator, Value) {
    let simulator = simulator().await;
    let rest = Rest::signed_in(&simulator).await;
    (simulator, rest.session["token"].clone())
}

async fn ask_for_status(mqtt: &mut Mqtt, id: &str) {
    let (topic, request) = status_request(id, MAC);
    mqtt.publish(&topic, &request).await;
}

async fn upgrade_status(simulator: &Simulator, url: &str, protocol: Option<&'static str>) -> u16 {
    match Mqtt::upgrade(simulator, url, protocol).await {
        Err(Refused::Status(status)) => status,
        Err(Refused::Broken) => 0,
        Ok(_) => 101,
    }
}

#[tokio::test]
async fn a_status_query_is_echoed_and_answered() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    assert_eq!(mqtt.subscribe(&[&format!("cmd/52/navilink-{MAC}/#")]).await, [1]);
    let (topic, request) = status_request("a", MAC);
    mqtt.publish(&topic, &request).await;
    let echo = mqtt.message_on(&topic).await;
    assert_eq!(serde_json::from_slice::<Value>(&echo).unwrap(), request);
    let answer = mqtt.message_on(&format!("cmd/52/navilink-{MAC}/a/res")).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert!(answer["response"]["status"].is_object(), "{answer}");
    let counters = simulator.counters();
    assert_eq!((counters.connects, counters.active, counters.subscribes), (1, 1, 1));
    assert_eq!((counters.requests(16_777_219), counters.rest("/user/sign-in")), (1, 1));
}

#[tokio::test]
async fn only_a_right_signature_opens_the_upgrade() {
    let (simulator, aws) = signed_in().await;
    let now = clock::wall();
    let good = presign(&simulator.mqtt_url, &aws, SessionTokenMode::Exclude, now);
    assert_eq!(upgrade_status(&simulator, &good, Some("mqtt")).await, 101);
    assert_eq!(upgrade_status(&simulator, &good, None).await, 400);
    assert_eq!(upgrade_status(&simulator, &good.replace("/mqtt?", "/mqtt2?"), Some("mqtt")).await, 404);
    let mut wrong_secret = aws.clone();
    wrong_secret["secretKey"] = "another".into();
    let early = now + Duration::from_secs(600);
    for refused in [
        simulator.mqtt_url.clone(),
        presign(&simulator.mqtt_url, &wrong_secret, SessionTokenMode::Exclude, now),
        presign(&simulator.mqtt_url, &aws, SessionTokenMode::Include, now),
        presign(&simulator.mqtt_url, &aws, SessionTokenMode::Exclude, early),
    ] {
        assert_eq!(upgrade_status(&simulator, &refused, Some("mqtt")).await, 403);
    }
    simulator.faults().set(Fault::ExpireAws);
    assert_eq!(upgrade_status(&simulator, &good, Some("mqtt")).await, 403);
    assert_eq!(simulator.counters().forbidden, 5);
}

#[tokio::test]
async fn packets_may_be_cut_anywhere_and_pings_are_answered() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    let mut bytes = subscription(&["x"]);
    bytes.extend(publication("x", &json!(1)));
    bytes.extend([0xc0, 0]);
    let tail = bytes.split_off(bytes.len() - 5);
    for byte in bytes {
        mqtt.send(vec![byte]).await;
    }
    mqtt.send(tail).await;
    let kinds = [mqtt.packet().await, mqtt.packet().await, mqtt.packet().await, mqtt.packet().await];
    let mut kinds = kinds.map(|packet| packet.unwrap().packet_type());
    kinds.sort_unstable();
    assert_eq!(kinds, [3, 4, 9, 13]);
    mqtt.socket.send(Message::Ping(b"hi".as_slice().into())).await.unwrap();
    let pong = clock::within(LIMIT, mqtt.socket.next()).await.unwrap().unwrap();
    assert!(pong.unwrap().is_pong());
}

#[tokio::test]
async fn the_same_client_id_and_too_many_filters_end_a_connection() {
    let (simulator, aws) = signed_in().await;
    let mut first = Mqtt::connected(&simulator, &aws, "a").await;
    let mut second = Mqtt::connected(&simulator, &aws, "a").await;
    assert!(first.is_closed().await);
    second.send(subscription(&["1", "2", "3", "4", "5", "6", "7", "8", "9"])).await;
    assert!(second.is_closed().await);
    let counters = simulator.counters();
    assert_eq!((counters.takeovers, counters.violations), (1, 1));
}

#[tokio::test]
async fn a_missed_keep_alive_ends_a_connection() {
    let options = Options { keep_alive_floor: Duration::ZERO, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let rest = Rest::signed_in(&simulator).await;
    let mut mqtt = Mqtt::open(&simulator, &rest.session["token"]).await;
    mqtt.connect("a", 1).await;
    assert_eq!(mqtt.packet().await.unwrap().packet_type(), 2);
    assert!(mqtt.is_closed().await);
}

#[tokio::test]
async fn the_last_will_follows_a_lost_connection() {
    let (simulator, aws) = signed_in().await;
    let mut watcher = Mqtt::connected(&simulator, &aws, "watcher").await;
    watcher.subscribe(&["w"]).await;
    let mut mortal = Mqtt::open(&simulator, &aws).await;
    let connect = Connect::builder().client_id("b").unwrap();
    let connect = connect.will_message("w", "gone", Qos::AtLeastOnce, false).unwrap().build().unwrap();
    mortal.send(connect.to_continuous_buffer()).await;
    mortal.packet().await.unwrap();
    drop(mortal);
    assert_eq!(watcher.message().await, ("w".to_owned(), b"gone".to_vec()));
}

#[tokio::test]
async fn every_rest_call_answers_in_its_envelope() {
    let options = Options { heaters: 25, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let rest = Rest::signed_in(&simulator).await;
    assert_eq!(rest.session["token"]["authenticationExpiresIn"], 3600);
    let page = |offset: u64| rest.call("/device/list", json!({"offset": offset, "count": 50}));
    let (status, first) = page(0).await;
    assert_eq!((status, &first["code"], &first["msg"]), (200, &json!(200), &json!("SUCCESS")));
    assert_eq!(first["data"].as_array().unwrap().len(), 20);
    assert_eq!(page(20).await.1["data"].as_array().unwrap().len(), 5);
    assert_eq!(first["data"][0]["deviceInfo"]["macAddress"], MAC);

    let device = json!({"macAddress": MAC, "additionalValue": "5322"});
    for path in ["/device/info", "/device/firmware/info"] {
        let (status, answer) = rest.call(path, device.clone()).await;
        assert_eq!((status, &answer["code"]), (200, &json!(200)), "{path}");
        assert!(!answer["data"].is_null(), "{path}");
    }
    let tou = async |controller| {
        let query = [("macAddress", MAC), ("additionalValue", "5322"), ("controllerId", controller), ("userType", "O")];
        rest.get("/device/tou", &query).await
    };
    assert!(tou("56496061BT00025004").await.1["data"]["touInfo"].is_object());
    assert_eq!(tou("1").await.0, 500);
    let (status, answer) = rest.call("/device/error/list", device).await;
    assert_eq!((status, &answer["msg"]), (404, &json!("COMMON_NOT_AUTHORIZED")));
    let stranger = json!({"macAddress": "000000000000", "additionalValue": "5322"});
    assert_eq!(rest.call("/device/info", stranger).await.1["code"], 404);
}

#[tokio::test]
async fn each_renewal_brings_its_own_fields_only() {
    let simulator = simulator().await;
    let mut rest = Rest::signed_in(&simulator).await;
    simulator.faults().set(Fault::ExpireTokens);
    let (status, answer) = rest.call("/auth/session/refresh", json!({})).await;
    assert_eq!((status, &answer["code"]), (401, &json!(401)));
    let refresh = json!({"refreshToken": rest.session["token"]["refreshToken"]});
    let (_, answer) = rest.post("/auth/refresh", refresh).await.unwrap();
    assert!(answer["data"]["accessKeyId"].is_null());
    rest.token = answer["data"]["accessToken"].as_str().unwrap().to_owned();
    let (_, answer) = rest.call("/auth/session/refresh", json!({})).await;
    assert!(answer["data"]["accessToken"].is_null() && answer["data"]["authorizationExpiresIn"] == 3600);
    Mqtt::connected(&simulator, &answer["data"], "a").await;
    let (_, answer) = rest.call("/user/secured-sign-in", json!({})).await;
    assert!(answer["data"]["token"]["secretKey"].is_string());
    let counters = simulator.counters();
    assert_eq!((counters.rest("/user/sign-in"), counters.rest("/auth/refresh")), (1, 1));
    assert_eq!(counters.rest_failures.get("/auth/session/refresh"), Some(&1));
}

#[tokio::test]
async fn a_wrong_password_is_1001_and_an_expired_token_401() {
    let options = Options { jwt_life: Duration::ZERO, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let rest = Rest::signed_in(&simulator).await;
    let (status, answer) = rest.call("/device/list", json!({"offset": 0, "count": 20})).await;
    assert_eq!((status, &answer["code"]), (401, &json!(401)));
    let wrong = json!({"userId": simulator.email, "password": "wrong"});
    let (status, answer) = rest.post("/user/sign-in", wrong).await.unwrap();
    assert_eq!((status, &answer["code"], &answer["msg"]), (200, &json!(1001), &json!("INVALID_USER_PASSWORD")));
    let nobody = json!({"userId": "nobody@example.com", "password": "wrong"});
    let (status, answer) = rest.post("/user/sign-in", nobody).await.unwrap();
    assert_eq!((status, &answer["msg"]), (200, &json!("USER_NOT_FOUND")));
}

#[tokio::test]
async fn rest_faults_happen_as_often_as_asked() {
    let simulator = simulator().await;
    let rest = Rest::new(&simulator);
    let arm = |answer: RestAnswer| {
        let endpoint = Some("/user/sign-in".to_owned());
        simulator.faults().set(Fault::Rest { endpoint, answer, times: Some(1) });
    };
    arm(RestAnswer::Status(503));
    assert_eq!(rest.sign_in().await.unwrap().0, 503);
    arm(RestAnswer::Gateway(401));
    let (status, answer) = rest.sign_in().await.unwrap();
    assert_eq!((status, answer), (401, json!({ "message": "Unauthorized" })));
    arm(RestAnswer::Envelope(500));
    let (status, answer) = rest.sign_in().await.unwrap();
    assert_eq!((status, &answer["code"]), (200, &json!(500)));
    arm(RestAnswer::TooMany(5));
    let response = rest.raw("/user/sign-in", &json!({})).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].to_str().unwrap()), (429, "5"));
    arm(RestAnswer::Html);
    let response = rest.raw("/user/sign-in", &json!({})).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()), (200, "text/html"));
    arm(RestAnswer::Empty);
    assert_eq!(rest.raw("/user/sign-in", &json!({})).await.unwrap().bytes().await.unwrap().len(), 0);
    arm(RestAnswer::Slow(200));
    let before = clock::now();
    assert_eq!(rest.sign_in().await.unwrap().0, 200);
    assert!(clock::now() - before >= Duration::from_millis(200));
    // The HTTP client itself repeats a call once whose kept connection is closed.
    simulator.faults().set(Fault::Rest { endpoint: None, answer: RestAnswer::Drop, times: None });
    assert!(rest.sign_in().await.is_err());
    simulator.faults().set(Fault::Clear);
    assert_eq!(rest.sign_in().await.unwrap().0, 200);
}

#[tokio::test]
async fn the_upgrade_and_the_connection_can_be_refused() {
    let (simulator, aws) = signed_in().await;
    let url = presign(&simulator.mqtt_url, &aws, SessionTokenMode::Exclude, clock::wall());
    for status in [403, 429, 500, 503] {
        simulator.faults().set(Fault::Upgrade { status, times: Some(1) });
        assert_eq!(upgrade_status(&simulator, &url, Some("mqtt")).await, status);
    }
    simulator.faults().set(Fault::Refuse { times: Some(1) });
    assert!(matches!(Mqtt::upgrade(&simulator, &url, Some("mqtt")).await, Err(Refused::Broken)));
    assert_eq!(upgrade_status(&simulator, &url, Some("mqtt")).await, 101);
}

#[tokio::test]
async fn faults_of_the_broker_reach_the_client() {
    let (simulator, aws) = signed_in().await;
    let faults = simulator.faults();
    faults.set(Fault::CloseAfterConnack { times: Some(1) });
    assert!(Mqtt::connected(&simulator, &aws, "a").await.is_closed().await);
    faults.set(Fault::RefuseSuback { times: Some(1) });
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    assert_eq!(mqtt.subscribe(&["x"]).await, [0x80]);
    faults.set(Fault::Takeover);
    assert!(mqtt.is_closed().await);
    faults.set(Fault::MuteConnack { on: true });
    let mut mute = Mqtt::open(&simulator, &aws).await;
    mute.connect("a", 30).await;
    assert!(mute.is_silent(Duration::from_millis(200)).await);
    faults.set(Fault::MuteConnack { on: false });
    faults.set(Fault::Lifetime { ms: Some(200) });
    let mut short = Mqtt::connected(&simulator, &aws, "a").await;
    assert!(short.is_closed().await);
}

#[tokio::test]
async fn a_deaf_session_acknowledges_everything_and_delivers_nothing() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    mqtt.subscribe(&[&format!("cmd/52/navilink-{MAC}/#")]).await;
    simulator.faults().set(Fault::Deaf { on: true });
    simulator.faults().set(Fault::Push);
    mqtt.send(vec![0xc0, 0]).await;
    assert_eq!(mqtt.packet().await.unwrap().packet_type(), 13);
    assert!(mqtt.is_silent(Duration::from_millis(300)).await);
    simulator.faults().set(Fault::Clear);
    simulator.faults().set(Fault::Push);
    mqtt.message_on(&format!("cmd/52/navilink-{MAC}/res")).await;
}

#[tokio::test]
async fn a_reset_is_a_reset_on_the_wire() {
    let simulator = simulator().await;
    let port = url::Url::parse(&simulator.mqtt_url).unwrap().port().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // The connection must have been accepted before it can be reset.
    while simulator.counters().accepts == 0 {
        clock::sleep(Duration::from_millis(5)).await;
    }
    simulator.faults().set(Fault::Reset);
    let read = clock::within(LIMIT, stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_frozen_connection_stays_open_and_silent_until_it_thaws() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    simulator.faults().set(Fault::Freeze);
    mqtt.send(vec![0xc0, 0]).await;
    assert!(mqtt.is_silent(Duration::from_millis(300)).await);
    simulator.faults().set(Fault::Thaw);
    assert_eq!(mqtt.packet().await.unwrap().packet_type(), 13);
    simulator.faults().set(Fault::Freeze);
    simulator.faults().set(Fault::Reset);
    assert!(mqtt.is_closed().await);
}

#[tokio::test]
async fn a_frozen_connection_stays_open_past_its_keep_alive() {
    let options = Options { keep_alive_floor: Duration::ZERO, ..Options::default() };
    let simulator = Simulator::start(options).await.unwrap();
    let rest = Rest::signed_in(&simulator).await;
    let mut mqtt = Mqtt::open(&simulator, &rest.session["token"]).await;
    mqtt.connect("a", 1).await;
    mqtt.packet().await.unwrap();
    simulator.faults().set(Fault::Freeze);
    assert!(mqtt.is_silent(Duration::from_secs(2)).await);
    simulator.faults().set(Fault::Thaw);
    assert!(mqtt.is_closed().await);
}

#[tokio::test]
async fn heaters_can_be_silent_or_offline_and_push_or_talk_nonsense() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    mqtt.subscribe(&[&format!("cmd/52/navilink-{MAC}/#")]).await;
    simulator.faults().set(Fault::Push);
    let status = mqtt.message_on(&format!("cmd/52/navilink-{MAC}/res")).await;
    assert!(serde_json::from_slice::<Value>(&status).unwrap()["response"]["status"].is_object());
    let now = clock::wall().duration_since(UNIX_EPOCH).unwrap();
    let pushed = Duration::from_nanos(simulator.counters().pushes[0]);
    assert!(pushed <= now && now - pushed < LIMIT);
    simulator.faults().set(Fault::Malformed { payload: Some("{".to_owned()) });
    let nonsense = format!("cmd/52/navilink-{MAC}/res");
    assert_eq!(mqtt.message_on(&nonsense).await, b"{");
    simulator.faults().set(Fault::Malformed { payload: None });
    assert!(serde_json::from_slice::<Value>(&mqtt.message_on(&nonsense).await).is_err());

    let mut second = Mqtt::connected(&simulator, &aws, "b").await;
    second.subscribe(&[&format!("cmd/52/navilink-{MAC}/b/res")]).await;
    simulator.faults().set(Fault::Heater { index: Some(0), state: SimulatedCondition::Silent, ms: None });
    ask_for_status(&mut second, "b").await;
    assert_eq!(second.packet().await.unwrap().packet_type(), 4);
    assert!(second.is_silent(Duration::from_millis(300)).await);
    simulator.faults().set(Fault::Heater { index: None, state: SimulatedCondition::Offline, ms: None });
    let rest = Rest::signed_in(&simulator).await;
    let (_, list) = rest.call("/device/list", json!({"offset": 0, "count": 20})).await;
    assert_eq!(list["data"][0]["deviceInfo"]["connected"], 1);
    simulator.faults().set(Fault::Clear);
    ask_for_status(&mut second, "b").await;
    assert_eq!(second.message().await.0, format!("cmd/52/navilink-{MAC}/b/res"));
}

async fn http(url: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: control\r\nConnection: close\r\nContent-Length: {length}");
    let request = format!("{head}\r\nContent-Type: application/json\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    clock::within(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn the_control_port_sets_faults_and_tells_counters() {
    let simulator = simulator().await;
    let url = &simulator.control_url;
    let fault = r#"{"fault":"rest","endpoint":"/user/sign-in","answer":{"status":500},"times":1}"#;
    assert!(http(url, "POST", "/faults", &format!("[{fault}]")).await.starts_with("HTTP/1.1 204"));
    assert_eq!(Rest::new(&simulator).sign_in().await.unwrap().0, 500);
    assert!(http(url, "GET", "/counters", "").await.contains(r#""rest":{"/user/sign-in":1}"#));
    assert!(http(url, "GET", "/", "").await.ends_with(&simulator.describe().to_string()));
    assert!(http(url, "POST", "/faults", r#"{"fault":"nonsense"}"#).await.starts_with("HTTP/1.1 4"));
    assert_eq!(simulator.describe()["heaters"], json!([MAC]));
}

#[tokio::test]
async fn a_stopped_simulator_comes_back_on_its_ports_with_what_it_had_issued() {
    let directory = tempfile::tempdir().unwrap();
    let options = |api_port, mqtt_port| Options {
        directory: Some(directory.path().to_owned()),
        listen: ALONE.into(),
        api_port,
        mqtt_port,
        ..Options::default()
    };
    let first = Simulator::start(options(0, 0)).await.unwrap();
    let aws = Rest::signed_in(&first).await.session["token"].clone();
    let mut mqtt = Mqtt::connected(&first, &aws, "a").await;
    let port = |text: &str| url::Url::parse(text).unwrap().port().unwrap();
    let (api, mqtt_port) = (port(&first.api_url), port(&first.mqtt_url));
    first.stop().await;
    assert!(mqtt.is_closed().await);
    assert!(TcpStream::connect((ALONE, api)).await.is_err());
    let second = Simulator::start(options(api, mqtt_port)).await.unwrap();
    Mqtt::connected(&second, &aws, "a").await;
}

#[tokio::test]
async fn nothing_is_left_after_a_drop() {
    let (simulator, aws) = signed_in().await;
    let mut mqtt = Mqtt::connected(&simulator, &aws, "a").await;
    let (ca, url) = (simulator.ca_file.clone(), simulator.control_url.clone());
    drop(simulator);
    assert!(mqtt.is_closed().await);
    assert!(!ca.exists());
    let closed = async {
        while TcpStream::connect(url.trim_start_matches("http://")).await.is_ok() {
            clock::sleep(Duration::from_millis(5)).await;
        }
    };
    clock::within(LIMIT, closed).await.unwrap();
}
