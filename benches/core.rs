//! The steps that every message takes, without sockets: time and allocations. `make bench` runs it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use divan::{AllocProfiler, Bencher};
use navien2mqtt::bridge::{Bridge, BridgeSettings};
use navien2mqtt::heater::HeaterSettings;
use navien2mqtt::heater::commands::CommandSettings;
use navien2mqtt::heater::polling::Intervals;
use navien2mqtt::model::{Mac, Message, Moment, REQUESTS};
use navien2mqtt::navilink::account::AwsCredentials;
use navien2mqtt::navilink::devices::{Device, Record};
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::navilink::{energy, message, presign};
use navien2mqtt::outputs::home_assistant::{self, BridgeDevice, Described, HomeAssistant};
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::recording::recorder::Recorder;
use navien2mqtt::supervisor::*;
use navien2mqtt::units::{UnitSystem, UnitsChoice};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const MAC: &str = "04786332fca0";
const TOPIC: &str = "cmd/52/navilink-04786332fca0/res";
const MINUTE: Duration = Duration::from_secs(60);

fn main() {
    divan::main();
}

fn object(text: &str) -> Object {
    serde_json::from_str(text).unwrap()
}

fn status() -> Object {
    object(include_str!("../fuzz/seeds/status/nwp500.json"))
}

fn feature() -> Object {
    object(include_str!("../fuzz/seeds/feature/nwp500.json"))
}

fn answer(name: &str, body: Object) -> Vec<u8> {
    let response = json!({ "deviceType": 52, "macAddress": MAC, name: body });
    json!({ "clientID": "", "sessionID": "1", "protocolVersion": 2, "response": response }).to_string().into_bytes()
}

fn from_heater(payload: Vec<u8>) -> Message {
    Message { topic: TOPIC.to_owned(), payload: payload.into(), retained: false }
}

fn moment() -> Moment {
    Moment { now: Instant::now(), wall: SystemTime::now() }
}

fn commands() -> CommandSettings {
    CommandSettings {
        max_queued: 100,
        max_age: MINUTE,
        allow_firmware_commit: false,
        read_only: false,
        max_temperature: None,
        answer_within: MINUTE,
    }
}

/// A bridge with one heater and a session, and nothing left to be done.
fn bridge() -> Bridge {
    let device = Device {
        mac: MAC.parse().unwrap(),
        device_type: 52,
        additional_value: "5322".into(),
        home_seq: 1,
        name: "Garage".into(),
        online: Some(true),
        record: Record::default(),
    };
    let intervals = Intervals { status: MINUTE, information: MINUTE, energy: MINUTE, schedules: MINUTE };
    let settings = BridgeSettings {
        topics: Topics::new("navien2mqtt"),
        heater: HeaterSettings {
            units: UnitsChoice::Device,
            intervals,
            stale_after: 60 * MINUTE,
            commands: commands(),
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        home_assistant: HomeAssistant {
            enabled: true,
            prefix: "homeassistant".into(),
            birth_topic: "homeassistant/status".into(),
        },
        allow: REQUESTS.into(),
    };
    let identity = Identity { client: ClientId::new("client"), session: SessionId::from_random([1; 16]) };
    let mut bridge = Bridge::new(settings, identity, &[device], json!({}));
    bridge.session_begun(0, moment());
    bridge.cloud_message(0, &from_heater(answer("feature", feature())), moment());
    bridge.cloud_message(0, &from_heater(answer("status", status())), moment());
    empty(&mut bridge);
    bridge
}

fn empty(bridge: &mut Bridge) {
    while let Some(effect) = bridge.poll_effect() {
        black_box(effect);
    }
}

#[divan::bench]
fn status_read_from_the_wire(bencher: Bencher) {
    let payload = answer("status", status());
    bencher.bench(|| message::read(TOPIC, black_box(&payload)));
}

#[divan::bench]
fn status_recorded_for_the_diagnostics(bencher: Bencher) {
    let (payload, mut recorder) = (answer("status", status()), Recorder::default());
    bencher.bench_local(|| recorder.message(TOPIC, black_box(&payload), false, SystemTime::UNIX_EPOCH));
}

#[divan::bench]
fn status_decoded(bencher: Bencher) {
    let status = status();
    bencher.bench(|| PRODUCTS[0].decode_status(black_box(&status), UnitsChoice::Device));
}

#[divan::bench]
fn status_encoded(bencher: Bencher) {
    let decoded = PRODUCTS[0].decode_status(&status(), UnitsChoice::Device).object;
    bencher.bench(|| serde_json::to_vec(black_box(&decoded)));
}

#[divan::bench]
fn status_from_the_cloud_to_the_outputs(bencher: Bencher) {
    let (message, mut bridge) = (from_heater(answer("status", status())), bridge());
    bencher.bench_local(|| {
        bridge.cloud_message(0, black_box(&message), moment());
        empty(&mut bridge);
    });
}

#[divan::bench]
fn feature_decoded(bencher: Bencher) {
    let feature = feature();
    bencher.bench(|| PRODUCTS[0].decode_feature(black_box(&feature), UnitsChoice::Device));
}

#[divan::bench]
fn energy_decoded(bencher: Bencher) {
    let energy = object(include_str!("../fuzz/seeds/energy/daily.json"));
    bencher.bench(|| energy::decode_daily(black_box(&energy)));
}

#[divan::bench]
fn discovery_of_a_heater(bencher: Bencher) {
    let feature = PRODUCTS[0].decode_feature(&feature(), UnitsChoice::Us).object;
    let mac: Mac = MAC.parse().unwrap();
    let bridge = BridgeDevice { base: "navien2mqtt", version: "1", allow: &REQUESTS };
    bencher.bench(|| {
        let (product, commands) = (PRODUCTS[0], &commands());
        let heater =
            Described { product, mac: &mac, name: "Garage", feature: &feature, units: UnitSystem::Us, commands };
        let described: Value = home_assistant::heater(heater, bridge, &|topic| format!("navien2mqtt/{topic:?}"));
        described.to_string()
    });
}

#[divan::bench]
fn url_of_a_session_signed(bencher: Bencher) {
    let url = "wss://a1t30mldyslmuq-ats.iot.us-east-1.amazonaws.com/mqtt".parse().unwrap();
    let credentials = AwsCredentials {
        access_key_id: "AKIAEXAMPLE".into(),
        secret_key: "secret".into(),
        session_token: Some("token".into()),
    };
    bencher.bench(|| presign::presign(&url, "us-east-1", black_box(&credentials), SystemTime::UNIX_EPOCH));
}

#[divan::bench]
fn a_step_of_the_supervisor(bencher: Bencher) {
    let line = |attempts| Line {
        enabled: true,
        max_attempts: Some(attempts),
        backoff: Backoff { initial: MINUTE, max: 5 * MINUTE, multiplier: 2.0, jitter: 0.1 },
    };
    let policy = Policy {
        reconnect: line(10),
        recovery: line(10),
        strategy: Strategy::ExponentialBackoff,
        refresh_tokens_every: 3,
        on_failure: OnFailure::Exit,
        connect_timeout: MINUTE,
        operation_timeout: MINUTE,
        probe_interval: None,
    };
    let start = Instant::now();
    let mut supervisor = Supervisor::new(policy, Carried::default(), 1, start);
    supervisor.handle_input(Input::Start, start);
    bencher.bench_local(|| {
        supervisor.handle_input(black_box(Input::Heard(supervisor.generation())), start);
        while let Some(effect) = supervisor.poll_effect() {
            black_box(effect);
        }
        supervisor.poll_timeout(start)
    });
}

#[divan::bench]
fn a_command_to_the_cloud(bencher: Bencher) {
    let topic = format!("navien2mqtt/{MAC}/set/power");
    bencher.with_inputs(bridge).bench_local_values(|mut bridge| {
        bridge.local_message(black_box(&topic), b"ON", false, moment());
        empty(&mut bridge);
    });
}
