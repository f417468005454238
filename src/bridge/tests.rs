mod discovery;
mod presence;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::heater::polling::Intervals;
use crate::navilink::devices::DeviceList;
use crate::navilink::session::{ClientId, SessionId};
use crate::outputs::mqtt::topics::OF_DEVICE;
use crate::units::UnitsChoice;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn heater(last: u8) -> Device {
    Device {
        mac: format!("04786332fc{last:02x}").parse().unwrap(),
        device_type: 52,
        additional_value: "5322".into(),
        home_seq: 25004,
        name: format!("Heater {last}"),
        online: Some(true),
        record: Default::default(),
    }
}

fn settings() -> BridgeSettings {
    BridgeSettings {
        topics: Topics::new("navien2mqtt"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals {
                status: MINUTE,
                information: 30 * MINUTE,
                energy: 60 * MINUTE,
                schedules: 60 * MINUTE,
            },
            stale_after: 5 * MINUTE,
            commands: heater::commands::CommandSettings {
                max_queued: 3,
                max_age: 5 * MINUTE,
                allow_firmware_commit: false,
                read_only: false,
                max_temperature: None,
                answer_within: Duration::from_secs(30),
            },
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        home_assistant: HomeAssistant {
            enabled: true,
            prefix: "homeassistant".into(),
            birth_topic: "homeassistant/status".into(),
        },
        allow: crate::model::REQUESTS.into(),
    }
}

/// A bridge with its world: a clock, and a broker that keeps what is retained.
pub(super) struct World {
    pub(super) bridge: Bridge,
    start: Instant,
    pub(super) now: Instant,
    broker: BTreeMap<String, Bytes>,
    /// The topics of what was published, in that order.
    published: Vec<String>,
    pub(super) others: Vec<Message>,
    pub(super) requests: Vec<Message>,
    warnings: Vec<String>,
    rest: Vec<Effect>,
}

impl World {
    pub(super) fn new(known: &[Device]) -> Self {
        Self::with(settings(), known)
    }

    #[allow(clippy::disallowed_methods)]
    pub(super) fn with(settings: BridgeSettings, known: &[Device]) -> Self {
        let identity = Identity { client: ClientId::new("client"), session: SessionId::from_random([1; 16]) };
        let start = Instant::now();
        let mut world = Self {
            bridge: Bridge::new(settings, identity, known, json!({ "version": "0" })),
            start,
            now: start,
            broker: BTreeMap::new(),
            published: Vec::new(),
            others: Vec::new(),
            requests: Vec::new(),
            warnings: Vec::new(),
            rest: Vec::new(),
        };
        world.connect_broker();
        world
    }

    /// A complete device list comes.
    pub(super) fn lists(&mut self, heaters: &[Device]) {
        let list = DeviceList { heaters: heaters.to_vec(), ..DeviceList::default() };
        self.bridge.set_heaters(&list, self.moment());
        self.drain();
    }

    /// A user lets a heater be forgotten.
    pub(super) fn forgets(&mut self, last: u8) {
        let response = self.asks("navien2mqtt/bridge/request/forget", heater(last).mac.as_str(), false);
        assert!(response.iter().any(|message| message.payload.starts_with(b"{\"ok\":true")), "{response:?}");
    }

    pub(super) fn moment(&self) -> Moment {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + (self.now - self.start);
        Moment { now: self.now, wall }
    }

    fn keep(&mut self, message: Message) {
        self.published.push(message.topic.clone());
        if !message.retained {
            self.others.push(message);
        } else if message.payload.is_empty() {
            self.broker.remove(&message.topic);
        } else {
            self.broker.insert(message.topic, message.payload);
        }
    }

    fn connect_broker(&mut self) {
        for message in self.bridge.replay() {
            self.keep(message);
        }
    }

    pub(super) fn drain(&mut self) {
        while let Some(effect) = self.bridge.poll_effect() {
            match effect {
                Effect::Publish(message) => self.keep(message),
                Effect::Request { message, .. } => self.requests.push(message),
                Effect::Warn { text, .. } => self.warnings.push(text),
                other => self.rest.push(other),
            }
        }
    }

    pub(super) fn begin_session(&mut self) {
        self.bridge.start_periodic(0);
        self.bridge.cloud_filters(0);
        self.bridge.session_begun(0, self.moment());
        self.bridge.handle_timeout(self.moment());
        self.drain();
    }

    /// Lets time pass, with every timeout at its time.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.bridge.due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.bridge.handle_timeout(self.moment());
            self.drain();
        }
        self.now = end;
    }

    pub(super) fn arrives(&mut self, topic: &str, payload: &Value) -> Verdict {
        let verdict = self.hears(topic, payload.to_string().as_bytes(), false);
        self.drain();
        verdict
    }

    /// Takes a message of the cloud's broker, and leaves what follows from it to [`World::drain`].
    pub(super) fn hears(&mut self, topic: &str, payload: &[u8], retained: bool) -> Verdict {
        let message = Message { topic: topic.to_owned(), payload: Bytes::copy_from_slice(payload), retained };
        self.bridge.cloud_message(0, &message, self.moment())
    }

    pub(super) fn status(&mut self, last: u8, more: Value) -> Verdict {
        let mac = heater(last).mac;
        let mut status = json!({ "temperatureType": 1, "dhwTemperature": 98 });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = json!({ "clientID": "client", "response": { "macAddress": mac.as_cloud(), "status": status } });
        self.arrives(&format!("cmd/52/navilink-{mac}/client/res"), &answer)
    }

    /// The heater acknowledges a control, in the envelope of a real one.
    pub(super) fn acknowledges(&mut self, last: u8, more: Value) {
        let mac = heater(last).mac;
        let mut status = json!({ "temperatureType": 1, "dhwTemperature": 98 });
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = json!({
            "clientID": format!("navilink-{mac}"), "sessionID": "1795665768",
            "requestTopic": format!("cmd/52/navilink-{mac}/ctrl"),
            "response": { "macAddress": mac.as_cloud(), "status": status },
        });
        self.arrives(&format!("cmd/52/navilink-{mac}/client/res"), &answer);
    }

    fn held(&self, topic: &str) -> &str {
        self.broker.get(&format!("navien2mqtt/{topic}")).map_or("", |payload| std::str::from_utf8(payload).unwrap())
    }

    pub(super) fn held_json(&self, topic: &str) -> Value {
        serde_json::from_str(self.held(topic)).unwrap()
    }

    pub(super) fn asks(&mut self, topic: &str, payload: &str, retained: bool) -> Vec<Message> {
        let moment = self.moment();
        self.bridge.local_message(topic, payload.as_bytes(), retained, moment);
        self.drain();
        std::mem::take(&mut self.others)
    }

    /// The suffixes of the request topics sent since the last call.
    pub(super) fn asked(&mut self) -> Vec<String> {
        let sent = std::mem::take(&mut self.requests);
        sent.iter().map(|out| out.topic.split('/').skip(3).collect::<Vec<_>>().join("/")).collect()
    }
}

#[test]
fn a_session_begins_with_presence_status_and_information_and_asks_everything_soon() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    assert_eq!(world.asked(), ["app-connection", "st", "st/did", "st/td/rd", "st/dl-sw-info"]);
    world.pass(Duration::from_secs(3));
    assert_eq!(
        world.asked(),
        ["st/energy-usage-daily-query/rd", "st/energy-usage-monthly-query/rd", "st/rsv/rd"],
        "no recirculation before the heater says that it has it"
    );
    world.pass(2 * MINUTE);
    assert_eq!(world.asked(), ["st", "st"]);
}

#[test]
fn a_status_is_published_whole_and_makes_the_heater_available() {
    let mut world = World::new(&[heater(1)]);
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    world.begin_session();
    assert_eq!(world.status(1, json!({ "errorCode": 799 })), Verdict::Answered);
    assert_eq!(world.held("04786332fc01/availability"), "online");
    let status = world.held_json("04786332fc01/status");
    assert_eq!(status["dhw_temperature"], json!(49.0));
    assert_eq!(status["units"], "metric");
    assert_eq!(status["received_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(status["current_inst_power"], Value::Null);
    assert!(status["error_text"].as_str().unwrap().to_lowercase().contains("leak"), "{}", status["error_text"]);
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
}

#[test]
fn a_heater_that_is_not_heard_of_becomes_unavailable_in_time_and_its_neighbour_does_not() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({}));
    world.status(2, json!({}));
    world.bridge.session_ended(0, world.moment());
    world.pass(3 * MINUTE);
    world.status(2, json!({}));
    world.pass(2 * MINUTE - Duration::from_millis(1));
    assert_eq!(world.held("04786332fc01/availability"), "online");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    assert_eq!(world.held("04786332fc02/availability"), "online");
}

#[test]
fn our_own_echo_and_foreign_requests_are_no_answers() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    let echo = serde_json::from_slice(&world.requests[1].payload).unwrap();
    let topic = world.requests[1].topic.clone();
    assert_eq!(world.arrives(&topic, &echo), Verdict::Heard);
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    assert!(world.warnings.is_empty());
}

#[test]
fn answers_for_other_clients_are_welcome() {
    let mut world = World::new(&[heater(1)]);
    let answer = json!({ "clientID": "the phone app", "response": { "st": { "dhwTemperature": 100 } } });
    assert_eq!(world.arrives("cmd/52/navilink-04786332fc01/phone/res", &answer), Verdict::Answered);
    assert_eq!(world.held_json("04786332fc01/status")["units"], "us");
}

#[test]
fn client_keyed_answers_are_told_apart_by_their_mac_address() {
    let mut world = World::new(&[heater(1), heater(2)]);
    let topic = "cmd/52/client/res/rsv/rd";
    let of = |mac: Mac| json!({ "response": { "macAddress": mac.as_cloud(), "reservationUse": 2, "reservation": "" } });
    assert_eq!(world.arrives(topic, &of(heater(2).mac)), Verdict::Answered);
    assert_eq!(world.held("04786332fc01/reservations"), "");
    assert_eq!(world.held_json("04786332fc02/reservations")["enabled"], json!(true));
    assert_eq!(world.arrives(topic, &of(heater(9).mac)), Verdict::Heard, "not a heater of ours");
    assert_eq!(
        world.arrives(topic, &json!({ "response": { "reservationUse": 2, "reservation": "" } })),
        Verdict::Heard
    );
    assert_eq!(world.warnings.len(), 1, "{:?}", world.warnings);
}

#[test]
fn reservations_that_come_before_the_units_are_known_are_corrected_when_they_are() {
    let mut world = World::new(&[heater(1)]);
    let entry = json!({ "enable": 2, "week": 64, "hour": 6, "min": 30, "mode": 1, "param": 98 });
    let answer = json!({ "response": { "reservationUse": 2, "reservation": [entry] } });
    world.arrives("cmd/52/navilink-04786332fc01/res/rsv/rd", &answer);
    assert_eq!(world.held_json("04786332fc01/reservations")["units"], "us");
    for (kind, units, temperature) in [(1, "metric", 49.0), (2, "us", 120.2)] {
        world.status(1, json!({ "temperatureType": kind }));
        let held = world.held_json("04786332fc01/reservations");
        assert_eq!((&held["units"], &held["entries"][0]["temperature"]), (&json!(units), &json!(temperature)));
    }
}

#[test]
fn a_retained_message_of_the_cloud_is_shown_where_nothing_is_known_and_is_no_word_of_the_heater() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    let retained = |world: &mut World, temperature: u16| {
        let status = json!({ "response": { "status": { "temperatureType": 1, "dhwTemperature": temperature } } });
        let payload = status.to_string();
        let topic = "cmd/52/navilink-04786332fc01/someoneelse/res";
        let verdict = world.hears(topic, payload.as_bytes(), true);
        world.drain();
        verdict
    };
    assert_eq!(retained(&mut world, 98), Verdict::Heard);
    let status = world.held_json("04786332fc01/status");
    assert_eq!((&status["dhw_temperature"], &status["received_at"]), (&json!(49.0), &Value::Null));
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    world.status(1, json!({ "dhwTemperature": 100 }));
    assert_eq!(world.held("04786332fc01/availability"), "online");
    retained(&mut world, 40);
    assert_eq!(world.held_json("04786332fc01/status")["dhw_temperature"], json!(50.0), "what is known stays");
    world.pass(5 * MINUTE);
    retained(&mut world, 98);
    assert_eq!(world.held("04786332fc01/availability"), "offline");
}

#[test]
fn a_bad_field_is_said_once_and_costs_itself_only() {
    let mut world = World::new(&[heater(1)]);
    for _ in 0..3 {
        world.status(1, json!({ "dhwTemperature2": "warm", "wifiRssi": -60 }));
    }
    assert_eq!(world.warnings.len(), 1);
    assert!(
        world.warnings[0].contains("dhwTemperature2") && world.warnings[0].contains("warm"),
        "{:?}",
        world.warnings
    );
    let status = world.held_json("04786332fc01/status");
    assert_eq!((&status["dhw_temperature2"], &status["wifi_rssi"]), (&Value::Null, &json!(-60)));
}

#[test]
fn a_member_that_a_reservation_lacks_is_said_once() {
    let mut world = World::new(&[heater(1)]);
    let entry = json!({ "enable": 2, "week": 62, "min": 30, "mode": 3, "param": 120 });
    let answer = json!({ "response": { "reservationUse": 2, "reservation": [entry] } });
    for kind in [1, 2, 1] {
        world.arrives("cmd/52/navilink-04786332fc01/res/rsv/rd", &answer);
        world.status(1, json!({ "temperatureType": kind }));
    }
    let said = "In the reservations of heater 04786332fc01, `reservation[0].hour`: missing; shown as null";
    assert_eq!(world.warnings, [said]);
}

#[test]
fn unreadable_messages_cost_nothing_but_one_warning() {
    let mut world = World::new(&[heater(1)]);
    for payload in [b"".as_slice(), b"<html>", b"[1]", b"\xff\xfe"] {
        let verdict = world.hears("cmd/52/navilink-04786332fc01/x/res", payload, false);
        assert_eq!(verdict, Verdict::Heard);
    }
    world.drain();
    assert_eq!(world.warnings.len(), 1);
}

#[test]
fn a_value_that_json_does_not_allow_costs_itself_only() {
    let mut world = World::new(&[heater(1)]);
    for _ in 0..2 {
        let payload = b"{\"status\":{\"temperatureType\":1,\"dhwTemperature\":98,\"wifiRssi\":NaN,\"x\":\"\xff\"}}";
        let verdict = world.hears("cmd/52/navilink-04786332fc01/x/res", payload, false);
        assert_eq!(verdict, Verdict::Answered);
        world.drain();
    }
    let status = world.held_json("04786332fc01/status");
    assert_eq!((&status["dhw_temperature"], &status["wifi_rssi"]), (&json!(49.0), &Value::Null));
    assert_eq!(world.warnings.len(), 1, "{:?}", world.warnings);
}

#[test]
fn recirculation_and_time_of_use_are_asked_for_once_the_heater_says_what_they_need() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.asked();
    let feature = json!({ "response": { "feature": { "recirculationUse": 2, "controllerSerialNumber": "SN1" } } });
    world.arrives("cmd/52/navilink-04786332fc01/client/res", &feature);
    assert_eq!(world.asked(), ["st/recirc-rsv/rd"]);
    let wanted = Effect::FetchTou { mac: heater(1).mac, controller_serial: "SN1".into() };
    assert_eq!(std::mem::take(&mut world.rest), [wanted]);
    world.arrives("cmd/52/navilink-04786332fc01/client/res", &feature);
    assert!(world.asked().is_empty() && world.rest.is_empty(), "only once");
    let tou = json!({ "touInfo": { "name": "E-TOU", "utility": "PG&E", "schedule": [] } });
    world.bridge.tou_fetched(&heater(1).mac, &tou, world.moment());
    world.drain();
    assert_eq!(world.held_json("04786332fc01/tou")["name"], "E-TOU");
}

#[test]
fn the_rest_api_is_asked_once_a_minute_at_most_and_no_wish_is_lost() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    for last in [1, 2] {
        let feature = json!({ "response": { "feature": { "controllerSerialNumber": format!("SN{last}") } } });
        world.arrives(&format!("cmd/52/navilink-04786332fc0{last}/client/res"), &feature);
    }
    let fetches = |world: &mut World| -> Vec<Effect> {
        let rest = std::mem::take(&mut world.rest).into_iter();
        rest.filter(|effect| matches!(effect, Effect::FetchTou { .. })).collect()
    };
    assert_eq!(fetches(&mut world).len(), 2, "one of each heater");
    world.pass(Duration::from_secs(20));
    let wish = |world: &mut World| {
        world.asks("navien2mqtt/04786332fc01/get/tou", "", false);
        world.arrives("cmd/52/navilink-04786332fc01/res/tou/rd", &json!({ "response": { "reservationUse": 1 } }));
        world.asks("navien2mqtt/bridge/request/refresh", "", false);
        world.pass(Duration::from_secs(1));
    };
    for _ in 0..10 {
        wish(&mut world);
    }
    assert_eq!(fetches(&mut world), [], "within the minute");
    world.pass(MINUTE);
    let fetched = fetches(&mut world);
    assert_eq!(fetched.len(), 2, "once for each heater, when the minute was over: {fetched:?}");
    world.pass(10 * MINUTE);
    assert_eq!(fetches(&mut world), []);

    for _ in 0..290 {
        wish(&mut world);
    }
    let of_first =
        world.rest.iter().filter(|effect| matches!(effect, Effect::FetchTou { mac, .. } if *mac == heater(1).mac));
    assert_eq!(of_first.count(), 5, "in not quite five minutes");
    world.bridge.session_ended(0, world.moment());
    world.rest.clear();
    world.pass(10 * MINUTE);
    assert_eq!(fetches(&mut world), [], "nothing is asked for without a session");
}

#[test]
fn energy_by_day_and_by_month_stand_on_one_topic() {
    let mut world = World::new(&[heater(1)]);
    let mac = heater(1).mac;
    let item = json!({ "hpUsage": 1000, "heUsage": 5, "hpTime": 2, "heTime": 0 });
    let answer = |usage: Value| json!({ "response": { "macAddress": mac.as_cloud(), "total": item, "usage": usage } });
    let days = answer(json!([{ "year": 2026, "month": 11, "data": [item] }]));
    world.arrives("cmd/52/client/res/energy-usage-daily-query/rd", &days);
    assert_eq!(world.held_json("04786332fc01/energy")["total"], Value::Null);
    let months = answer(json!([{ "year": 2026, "data": [item, item] }]));
    world.arrives("cmd/52/client/res/energy-usage-monthly-query/rd", &months);
    let energy = world.held_json("04786332fc01/energy");
    assert_eq!(energy["total"]["heat_pump_wh"], json!(1000));
    assert_eq!(energy["days"][0]["date"], "2026-11-01");
    assert_eq!(energy["months"][1]["month"], "2026-02");
}

#[test]
fn a_broker_that_has_forgotten_everything_is_given_everything() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.begin_session();
    world.status(1, json!({}));
    world.bridge.set_connection(&json!({ "state": "connected" }), None, world.moment());
    world.drain();
    let before = world.broker.clone();
    assert_eq!(world.held("bridge/state"), "online");
    world.broker.clear();
    world.connect_broker();
    assert_eq!(world.broker, before);
    assert_eq!(world.bridge.replay().last().unwrap().topic, "navien2mqtt/bridge/state");
}

#[test]
fn what_an_earlier_run_left_online_is_corrected_before_the_bridge_is_online() {
    let world = World::new(&[heater(1)]);
    let topics: Vec<String> = world.bridge.replay().iter().map(|message| message.topic.clone()).collect();
    let place = |topic: &str| topics.iter().position(|t| t == topic).unwrap();
    assert!(place("navien2mqtt/04786332fc01/availability") < place("navien2mqtt/bridge/state"));
}

#[test]
fn a_heater_that_is_forgotten_leaves_no_topic_behind() {
    let mut world = World::new(&[heater(1), heater(2)]);
    world.status(1, json!({}));
    world.status(2, json!({}));
    world.forgets(1);
    assert!(world.broker.keys().all(|topic| !topic.contains("04786332fc01")), "{:?}", world.broker.keys());
    let devices = world.held_json("bridge/info")["devices"].as_array().unwrap().len();
    assert_eq!(devices, 1);
    assert_eq!(world.status(1, json!({})), Verdict::Heard);
}

#[test]
fn a_heater_that_an_earlier_run_knew_leaves_no_topic_behind() {
    let mut earlier = World::new(&[heater(1), heater(2)]);
    let mac = heater(1).mac;
    earlier.begin_session();
    earlier.status(1, json!({}));
    for (suffix, answer) in [
        ("", json!({ "feature": { "dhwUse": 2 } })),
        ("/energy-usage-daily-query/rd", json!({ "usage": [] })),
        ("/rsv/rd", json!({ "reservationUse": 1 })),
        ("/recirc-rsv/rd", json!({ "reservationUse": 1 })),
        ("/td/rd", json!({ "data": {} })),
        ("/dl-sw-info", json!({ "downloadSwInfo": [] })),
    ] {
        earlier.arrives(&format!("cmd/52/navilink-{mac}/res{suffix}"), &json!({ "response": answer }));
    }
    earlier.bridge.tou_fetched(&mac, &json!({}), earlier.moment());
    earlier.drain();
    let topics = earlier.broker.keys().map(String::as_str).chain(["navien2mqtt/04786332fc01/units/us"]);
    let left: BTreeSet<&str> = topics.filter_map(|topic| topic.strip_prefix("navien2mqtt/04786332fc01/")).collect();
    assert_eq!(left, BTreeSet::from(OF_DEVICE), "or in the other units");

    let mut world = World::new(&[heater(1), heater(2)]);
    world.broker = earlier.broker;
    world.connect_broker();
    world.forgets(1);
    assert!(world.broker.keys().all(|topic| !topic.contains("04786332fc01")), "{:?}", world.broker.keys());
}

#[test]
fn more_heaters_than_a_session_can_serve_get_another_session_which_asks_for_its_own() {
    let all: Vec<Device> = (0..60).map(heater).collect();
    let mut world = World::new(&all);
    world.begin_session();
    for listed in [all.clone(), all.iter().rev().cloned().collect()] {
        world.lists(&listed);
        assert_eq!(world.bridge.heaters().cloned().collect::<Vec<_>>(), all);
    }
    assert_eq!(world.rest.iter().filter(|effect| **effect == Effect::OpenLink(1)).count(), 1);
    assert_eq!(world.warnings.len(), 0, "{:?}", world.warnings);
    world.pass(Duration::from_secs(60));
    let of_second = |request: &Message| request.topic.contains("04786332fc3");
    assert!(!world.requests.iter().any(of_second), "it has no session yet");
    world.bridge.start_periodic(1);
    assert_eq!(world.bridge.cloud_filters(1).len(), 14);
    world.bridge.session_begun(1, world.moment());
    world.pass(Duration::from_secs(60));
    let asked: Vec<&Message> = world.requests.iter().filter(|request| of_second(request)).collect();
    assert!(!asked.is_empty());
    let ours = asked.iter().all(|request| String::from_utf8_lossy(&request.payload).contains(r#""client-2""#));
    assert!(ours, "{:?}", asked[0]);
    world.lists(&all[..48]);
    for last in 48..60 {
        world.forgets(last);
    }
    assert!(world.rest.contains(&Effect::CloseLink(1)));
}

#[test]
fn the_end_makes_everything_unavailable_and_the_bridge_last() {
    let mut world = World::new(&[heater(1)]);
    world.status(1, json!({}));
    let closing = world.bridge.closing_messages(world.moment());
    assert_eq!(closing.last().unwrap(), &world.bridge.will());
    for message in closing {
        world.keep(message);
    }
    assert_eq!(world.held("04786332fc01/availability"), "offline");
    assert_eq!(world.held("bridge/state"), "offline");
    let leaving: Vec<String> = world.bridge.closing_messages_to_cloud(0).into_iter().map(|out| out.topic).collect();
    assert_eq!(leaving, ["cmd/52/navilink-04786332fc01/st/end", "evt/52/navilink-04786332fc01/app-connection"]);
}

#[test]
fn requests_to_the_bridge_are_answered_with_their_id() {
    let mut world = World::new(&[heater(1)]);
    let order = |order| Effect::Administer { order, id: Some(json!(7)) };
    assert!(world.asks("navien2mqtt/bridge/request/reconnect", r#"{"id": 7}"#, false).is_empty());
    assert_eq!(world.rest, [order(Order::Reconnect)]);
    world.bridge.respond("reconnect", Some(json!(7)), Ok(Value::Null));
    world.drain();
    let response = std::mem::take(&mut world.others);
    assert_eq!(response[0].topic, "navien2mqtt/bridge/response/reconnect");
    assert_eq!(response[0].payload, r#"{"ok":true,"id":7}"#);
    assert!(!response[0].retained);

    let response = world.asks("navien2mqtt/bridge/request/refresh", "", false);
    assert!(std::str::from_utf8(&response[0].payload).unwrap().contains("no session"));
    world.begin_session();
    world.pass(Duration::from_secs(10));
    world.asked();
    world.asks("navien2mqtt/bridge/request/refresh", "", false);
    world.bridge.handle_timeout(world.moment());
    world.drain();
    assert!(world.asked().contains(&"st/did".to_owned()));

    let response = world.asks("navien2mqtt/bridge/request/dance", "", false);
    assert!(std::str::from_utf8(&response[0].payload).unwrap().contains("there is no such request"));
}

#[test]
fn retained_and_oversize_requests_are_never_obeyed() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    world.asked();
    assert!(world.asks("navien2mqtt/bridge/request/reconnect", "", true).is_empty());
    assert!(world.asks("navien2mqtt/04786332fc01/get/status", "", true).is_empty());
    let large = "x".repeat(MAX + 1);
    let refused = world.asks("navien2mqtt/bridge/request/reconnect", &large, false);
    assert!(std::str::from_utf8(&refused[0].payload).unwrap().contains("larger"));
    world.asks("navien2mqtt/04786332fc01/get/status", &large, false);
    assert!(world.asked().is_empty() && world.rest.is_empty());
}

const MAX: usize = 64 * 1024;

#[test]
fn everything_can_be_asked_for_by_name() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    // Nothing of what a session begins with is answered.
    world.pass(Duration::from_secs(20));
    world.asked();
    for (name, suffix) in [
        ("status", "st"),
        ("info", "st/did"),
        ("energy", "st/energy-usage-daily-query/rd"),
        ("reservations", "st/rsv/rd"),
        ("recirculation", "st/recirc-rsv/rd"),
        ("diagnostics", "st/td/rd"),
        ("firmware", "st/dl-sw-info"),
    ] {
        world.asks(&format!("navien2mqtt/04786332fc01/get/{name}"), "", false);
        assert_eq!(world.asked()[0], suffix);
    }
    world.asks("navien2mqtt/04786332fc01/get/coffee", "", false);
    world.asks("navien2mqtt/04786332fc09/get/status", "", false);
    world.asks("navien2mqtt/04786332fc01/get/tou", "", false);
    assert_eq!(world.warnings.len(), 3);
    assert!(world.warnings[2].contains("serial number"), "{:?}", world.warnings);
}

mod administration;
mod commands;
mod counters;
mod ends;
mod histories;
mod listing;
