//! Whatever stands in the state directory: it is read or counts as absent, everything goes on with it for a week, and what is
//! kept then is read again. The input is files, one after the other with a NUL between; the first line of each is its name.
#![no_main]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use navien2mqtt::bridge::{Bridge, BridgeSettings};
use navien2mqtt::daemon::outage::KeptOutage;
use navien2mqtt::heater::{self, commands, polling::Intervals};
use navien2mqtt::home::Memories;
use navien2mqtt::io::state::StateDirectory;
use navien2mqtt::model::{Message, Moment};
use navien2mqtt::navilink::devices::DeviceList;
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::outputs::home_assistant::HomeAssistant;
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::outputs::web::{Kept, Web};
use navien2mqtt::supervisor::{Backoff, Input, Line, OnFailure, Policy, Strategy, Supervisor};
use navien2mqtt::tokens::Age;
use navien2mqtt::units::UnitsChoice;
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

const NAMES: [&str; 8] = ["tokens", "sign-ins", "heaters", "memory", "outage", "rejected", "client-id", "history"];
const HOUR: Duration = Duration::from_secs(3600);
const STATUS: &[u8] = br#"{"response": {"status": {"dhwTemperature": 98, "currentInstPower": 400, "dhwUse": 2}}}"#;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    // In memory: each file is synced to disk otherwise.
    let folder = PathBuf::from(format!("/dev/shm/navien2mqtt-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder in memory");
    folder
});

fn settings() -> BridgeSettings {
    BridgeSettings {
        topics: Topics::new("n"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals { status: HOUR / 60, information: HOUR / 2, energy: HOUR, schedules: HOUR },
            stale_after: HOUR / 12,
            commands: commands::CommandSettings {
                max_queued: 3,
                max_age: HOUR / 12,
                allow_firmware_commit: false,
                read_only: false,
                max_temperature: None,
                answer_within: HOUR / 120,
            },
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        allow: navien2mqtt::model::REQUESTS.into(),
        home_assistant: HomeAssistant { enabled: true, prefix: "h".into(), birth_topic: "h/status".into() },
    }
}

fn policy() -> Policy {
    let backoff = Backoff { initial: HOUR / 3600, max: HOUR / 30, multiplier: 2.0, jitter: 0.2 };
    let line = Line { enabled: true, max_attempts: Some(3), backoff };
    Policy {
        reconnect: line,
        recovery: line,
        strategy: Strategy::ExponentialBackoff,
        refresh_tokens_every: 3,
        on_failure: OnFailure::Hold,
        connect_timeout: HOUR / 180,
        operation_timeout: HOUR / 120,
        probe_interval: None,
    }
}

/// The account's heaters are there, answer, and are missing from every list for a week.
fn live(state: &StateDirectory, begin: Moment) {
    let heaters = state.heaters();
    let identity = Identity { client: ClientId::new("me"), session: SessionId::from_random([1; 16]) };
    let mut bridge = Bridge::new(settings(), identity, &heaters, json!({}));
    bridge.restore(state.memories::<Memories>());
    bridge.add_web(Web::new(state.history(), begin));
    let at = |hours: u32| Moment { now: begin.now + HOUR * hours, wall: begin.wall + HOUR * hours };
    bridge.session_begun(0, begin);
    for hour in 1..170 {
        for heater in &heaters {
            let topic = format!("cmd/{}/navilink-{}/me/res", heater.device_type, heater.mac.as_cloud());
            bridge.cloud_message(0, &Message { topic, payload: STATUS.to_vec().into(), retained: false }, at(hour));
        }
        if hour % 24 == 0 {
            bridge.set_heaters(&DeviceList::default(), at(hour));
        }
        bridge.handle_timeout(at(hour));
        while bridge.poll_effect().is_some() {}
    }
    let web = bridge.web.as_mut().expect("it was added");
    web.history(at(170));
    let kept = serde_json::to_vec(&web.keep(true, at(170))).expect("a history is JSON");
    assert!(serde_json::from_slice::<Kept>(&kept).is_ok(), "{}", String::from_utf8_lossy(&kept));
    assert!(kept.len() < 1 << 20, "{} bytes of history", kept.len());
    let kept = serde_json::to_vec(&bridge.memories()).expect("memories are JSON");
    assert!(serde_json::from_slice::<Memories>(&kept).is_ok(), "{}", String::from_utf8_lossy(&kept));
}

#[allow(clippy::disallowed_methods)]
fn beginning() -> Moment {
    Moment { now: Instant::now(), wall: SystemTime::UNIX_EPOCH + HOUR * 500_000 }
}

fuzz_target!(|data: &[u8]| {
    let begin = beginning();
    for name in NAMES {
        let _ = std::fs::remove_file(FOLDER.join(format!("{name}.json")));
    }
    for file in data.split(|byte| *byte == 0) {
        let end = file.iter().position(|byte| *byte == b'\n').unwrap_or(file.len());
        let Some(name) = NAMES.iter().find(|name| name.as_bytes() == &file[..end]) else { continue };
        std::fs::write(FOLDER.join(format!("{name}.json")), &file[end..]).expect("a file in memory");
    }
    let state = StateDirectory::new(FOLDER.as_path());
    live(&state, begin);
    if let Some(tokens) = state.tokens() {
        for age in [(tokens.jwt_issued, tokens.jwt_life), (tokens.aws_issued, tokens.aws_life)] {
            let age = Age::restored(age.0, age.1, begin);
            assert!(age.issued() <= begin.wall || age.life().is_zero(), "issued in the future");
        }
    }
    let carried = state.outage::<KeptOutage>().restore(begin).carried();
    let mut supervisor = Supervisor::new(policy(), carried, 1, begin.now);
    supervisor.handle_input(Input::Start, begin.now);
    let mut now = begin.now;
    for _ in 0..20 {
        now = supervisor.poll_timeout(now).at.max(now);
        supervisor.handle_timeout(now);
        while supervisor.poll_effect().is_some() {}
    }
    if let Some((at, _)) = state.rejection("you@example.com", &"password".into(), begin.wall) {
        assert!(at <= begin.wall, "rejected in the future");
    }
    let since = HOUR * 500_000;
    RUNTIME.block_on(async {
        let used = state.update_sign_ins(since, |budget| budget.used().len()).await.expect("the budget is kept");
        assert!(used <= 12, "{used} sign-ins count");
        let id = state.client_id([1; 8]).await;
        assert_eq!(state.client_id([2; 8]).await, id);
    });
});
