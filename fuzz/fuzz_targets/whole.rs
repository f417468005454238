//! Whatever the local broker, the cloud and the clock do in whatever order: the bridge keeps its invariants.
//!
//! Each line of the input is one event: `b`egin and `e`nd of a session, `g`iving up, a new connection of the local b`r`oker
//! (`r`), `p SECONDS`, `d` and a page of the device list, `t` and a tariff, `c TOPIC PAYLOAD` of the cloud, `l TOPIC PAYLOAD`
//! of the local broker, `L` the same retained, `k` a restart of the process. Home Assistant, which costs time, is told of it all
//! when the first line is `h`.
#![no_main]

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use navien2mqtt::bridge::{Bridge, BridgeSettings, Effect};
use navien2mqtt::heater::{self, commands, polling::Intervals};
use navien2mqtt::home::Memories;
use navien2mqtt::model::{Mac, Message, Moment};
use navien2mqtt::navilink::devices::{Device, DeviceList};
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::outputs::home_assistant::HomeAssistant;
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::product::is_known;
use navien2mqtt::units::UnitsChoice;
use serde_json::{Value, json};

const MAC: &str = "04786332fca0";
const STALE_AFTER: Duration = Duration::from_secs(300);
/// More events than this tell nothing new.
const MAX_EVENTS: usize = 300;
/// No single event has so many effects, and no moment so many timeouts.
const MAX_EFFECTS: usize = 20_000;
const MAX_TIMEOUTS: usize = 1000;

struct World {
    bridge: Bridge,
    discovery: bool,
    begin: Instant,
    now: Instant,
    /// What the local broker retains.
    broker: BTreeMap<String, Vec<u8>>,
}

fn settings(discovery: bool) -> BridgeSettings {
    let hour = Duration::from_secs(3600);
    BridgeSettings {
        topics: Topics::new("n"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals { status: hour / 60, information: hour / 2, energy: hour, schedules: hour },
            stale_after: STALE_AFTER,
            commands: commands::CommandSettings {
                max_queued: 3,
                max_age: hour / 12,
                allow_firmware_commit: true,
                read_only: false,
                max_temperature: None,
                answer_within: hour / 120,
            },
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        allow: navien2mqtt::model::REQUESTS.into(),
        home_assistant: HomeAssistant { enabled: discovery, prefix: "h".into(), birth_topic: "h/status".into() },
    }
}

fn bridge(known: &[Device], discovery: bool) -> Bridge {
    let identity = Identity { client: ClientId::new("me"), session: SessionId::from_random([1; 16]) };
    Bridge::new(settings(discovery), identity, known, json!({ "version": "0" }))
}

impl World {
    #[allow(clippy::disallowed_methods)]
    fn new(discovery: bool) -> Self {
        let known = Device {
            mac: MAC.parse().expect("a MAC address"),
            device_type: 52,
            additional_value: "5322".into(),
            home_seq: 25004,
            name: "Heater".into(),
            online: Some(true),
            record: Default::default(),
        };
        let begin = Instant::now();
        let mut world =
            Self { bridge: bridge(&[known], discovery), discovery, begin, now: begin, broker: BTreeMap::new() };
        world.connect_broker();
        world
    }

    fn moment(&self) -> Moment {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + (self.now - self.begin);
        Moment { now: self.now, wall }
    }

    fn publish(&mut self, message: Message) {
        assert!(!message.topic.contains(['+', '#', '\0']), "{}", message.topic);
        if message.retained && message.payload.is_empty() {
            self.broker.remove(&message.topic);
        } else if message.retained {
            self.broker.insert(message.topic, message.payload.to_vec());
        }
    }

    fn connect_broker(&mut self) {
        self.broker.clear();
        for message in self.bridge.replay() {
            self.publish(message);
        }
    }

    fn drain(&mut self) {
        for count in 0.. {
            assert!(count < MAX_EFFECTS, "effects without end");
            match self.bridge.poll_effect() {
                None => break,
                Some(Effect::Publish(message)) => self.publish(message),
                Some(Effect::Request { message, .. }) => assert!(!message.topic.contains(['+', '#', '\0'])),
                Some(Effect::Administer { order, id }) => {
                    self.bridge.respond(order.name(), id, Ok(Value::Null));
                }
                Some(_) => {}
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        let (mut at, mut timeouts) = (self.now, 0);
        while let Some(due) = self.bridge.due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            timeouts = if self.now > at { 0 } else { timeouts + 1 };
            assert!(timeouts < MAX_TIMEOUTS, "timeouts without end at one moment");
            at = self.now;
            self.bridge.handle_timeout(self.moment());
            self.drain();
        }
        self.now = end;
    }

    /// The process begins anew with what was kept.
    fn restart(&mut self) {
        let kept = serde_json::to_vec(&self.bridge.memories()).expect("memories are JSON");
        let kept: Memories = serde_json::from_slice(&kept).expect("what was kept can be read");
        let known: Vec<Device> = self.bridge.heaters().cloned().collect();
        self.bridge = bridge(&known, self.discovery);
        self.bridge.restore(kept);
        self.drain();
        self.connect_broker();
    }

    fn happens(&mut self, event: &[u8]) {
        let Some((kind, rest)) = event.split_first() else { return };
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let moment = self.moment();
        match kind {
            b'b' => {
                self.bridge.start_periodic(0);
                self.bridge.cloud_filters(0);
                self.bridge.session_begun(0, moment);
            }
            b'e' => self.bridge.session_ended(0, moment),
            b'g' => self.bridge.give_up(0, moment),
            b'r' => self.connect_broker(),
            b'k' => self.restart(),
            b'p' => {
                let seconds: u16 = std::str::from_utf8(rest).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
                self.pass(Duration::from_secs(seconds.into()));
            }
            b'd' => {
                let mut list = DeviceList::default();
                list.take_page(&serde_json::from_slice(rest).unwrap_or_default(), is_known);
                self.bridge.set_heaters(&list, moment);
            }
            b't' => {
                let mac: Mac = MAC.parse().expect("a MAC address");
                self.bridge.tou_fetched(&mac, &serde_json::from_slice(rest).unwrap_or_default(), moment);
            }
            b'c' | b'l' | b'L' => {
                let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                let (topic, payload) = rest.split_at(end);
                let (topic, payload) = (String::from_utf8_lossy(topic), payload.get(1..).unwrap_or_default());
                // No broker lets such topics through.
                if topic.contains(['+', '#', '\0']) {
                    return;
                }
                match kind {
                    b'c' => {
                        let payload = payload.to_vec().into();
                        let message = Message { topic: topic.into_owned(), payload, retained: false };
                        self.bridge.cloud_message(0, &message, moment);
                    }
                    _ => self.bridge.local_message(&topic, payload, *kind == b'L', moment),
                }
            }
            _ => {}
        }
        self.drain();
    }

    /// Every payload that is retained is what the topic promises, and a replay gives it all again.
    fn check(&mut self) {
        let held = std::mem::take(&mut self.broker);
        self.connect_broker();
        assert!(self.broker == held, "a replay differs from what was published");
        for (topic, payload) in &self.broker {
            let word = topic.ends_with("/availability") || topic.ends_with("/state");
            let good = if word {
                [b"online".as_slice(), b"offline"].contains(&payload.as_slice())
            } else {
                serde_json::from_slice::<Value>(payload).is_ok_and(|value| value.is_object())
            };
            assert!(good, "{topic}: {}", String::from_utf8_lossy(payload));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::new(data.starts_with(b"h\n"));
    for event in data.split(|byte| *byte == b'\n').take(MAX_EVENTS) {
        world.happens(event);
    }
    world.check();
    world.bridge.session_ended(0, world.moment());
    world.drain();
    world.pass(STALE_AFTER);
    world.check();
    let live = |(topic, payload): (&String, &Vec<u8>)| topic.ends_with("/availability") && payload == b"online";
    assert!(!world.broker.iter().any(live), "nothing old is shown as live");
    let end = world.moment();
    world.bridge.closing_messages(end);
});
