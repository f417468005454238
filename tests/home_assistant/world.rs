//! Three heaters and a bridge, and what the bridge publishes of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use navien2mqtt::bridge::{Bridge, BridgeSettings};
use navien2mqtt::heater;
use navien2mqtt::heater::commands::CommandSettings;
use navien2mqtt::heater::polling::Intervals;
use navien2mqtt::model::{Mac, Message, Moment};
use navien2mqtt::navilink::devices;
use navien2mqtt::navilink::encoding::Object;
use navien2mqtt::navilink::members::Members;
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::outputs::home_assistant;
use navien2mqtt::outputs::home_assistant::HomeAssistant;
use navien2mqtt::outputs::home_assistant::bridge_entities::BRIDGE as BRIDGE_ENTITIES;
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::product::entity::Topic;
use navien2mqtt::units::{UnitSystem, UnitsChoice};
use serde_json::{Value, json};

const MAC: &str = "04786332fca0";
const BRIDGE: home_assistant::BridgeDevice<'_> =
    home_assistant::BridgeDevice { base: "navien2mqtt", version: "1.2.3", allow: &navien2mqtt::model::REQUESTS };

/// The device information of a heater on sale, as it comes over the wire.
fn wire() -> Object {
    serde_json::from_str(include_str!("../../fuzz/seeds/feature/nwp500.json")).unwrap()
}

/// A heater with everything that there is.
pub fn everything() -> Members {
    let fitted = |value: Value| if value.is_boolean() { true.into() } else { value };
    usual().into_iter().map(|(name, value)| (name, fitted(value))).collect()
}

/// The usual one: no recirculation, no mixing valve.
pub fn usual() -> Members {
    PRODUCTS[0].decode_feature(&wire(), UnitsChoice::Us).object
}

/// One that has no control at all and tells nothing of itself.
pub fn bare() -> Members {
    PRODUCTS[0].decode_feature(json!({ "dhwUse": 1 }).as_object().unwrap(), UnitsChoice::Us).object
}

/// Commands as they are obeyed where nothing is configured, but firmware, too.
pub const COMMANDS: CommandSettings = CommandSettings {
    max_queued: 1,
    max_age: Duration::from_secs(60),
    allow_firmware_commit: true,
    read_only: false,
    max_temperature: None,
    answer_within: Duration::from_secs(60),
};

/// The message about a heater with these features, called Garage.
pub fn heater(feature: &Members, units: UnitSystem) -> Value {
    told(feature, units, &COMMANDS)
}

/// The same where commands are treated so.
pub fn told(feature: &Members, units: UnitSystem, commands: &CommandSettings) -> Value {
    let mac: Mac = MAC.parse().unwrap();
    let product = PRODUCTS[0];
    let heater = home_assistant::Described { product, mac: &mac, name: "Garage", feature, units, commands };
    home_assistant::heater(heater, BRIDGE, &at)
}

/// The message about the bridge; it has no topic of a heater.
pub fn the_bridge() -> Value {
    bridge_that_obeys(BRIDGE.allow)
}

/// The same where it obeys only these requests.
pub fn bridge_that_obeys(allow: &[&'static str]) -> Value {
    home_assistant::bridge(home_assistant::BridgeDevice { allow, ..BRIDGE }, &|topic| match topic {
        Topic::Bridge(_) => at(topic),
        Topic::Heater(name) => panic!("the bridge has no {name}"),
    })
}

/// The members of what stands on each topic that the table names.
pub fn published() -> Vec<(Topic, BTreeSet<String>)> {
    let mac: Mac = MAC.parse().unwrap();
    let known = devices::Device {
        mac: mac.clone(),
        device_type: 52,
        additional_value: "5322".into(),
        home_seq: 1,
        name: "Garage".into(),
        online: Some(true),
        record: devices::Record::default(),
    };
    let minute = Duration::from_secs(60);
    let settings = BridgeSettings {
        topics: Topics::new("navien2mqtt"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals { status: minute, information: minute, energy: minute, schedules: minute },
            stale_after: 5 * minute,
            commands: COMMANDS,
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        home_assistant: HomeAssistant {
            enabled: true,
            prefix: "homeassistant".into(),
            birth_topic: "homeassistant/status".into(),
        },
        allow: navien2mqtt::model::REQUESTS.into(),
    };
    let identity = Identity { client: ClientId::new("client"), session: SessionId::from_random([1; 16]) };
    // What the daemon tells of itself and of the connection is held to the documentation by its own tests.
    let about = json!({ "version": "", "started_at": "", "log_level": "" });
    let mut bridge = Bridge::new(settings, identity, &[known], about);
    let moment = Moment { now: Instant::now(), wall: SystemTime::now() };
    bridge.start_periodic(0);
    bridge.session_begun(0, moment);
    bridge.handle_timeout(moment);
    for (suffix, answer) in [
        ("", json!({ "status": { "temperatureType": 1 } })),
        ("", json!({ "feature": { "recirculationUse": 2 } })),
        ("/energy-usage-daily-query/rd", json!({ "usage": [] })),
        ("/rsv/rd", json!({ "reservationUse": 1 })),
        ("/recirc-rsv/rd", json!({ "reservationUse": 1 })),
        ("/dl-sw-info", json!({ "downloadSwInfo": [] })),
    ] {
        let topic = format!("cmd/52/navilink-{MAC}/res{suffix}");
        let payload = json!({ "response": answer }).to_string().into();
        bridge.cloud_message(0, &Message { topic, payload, retained: false }, moment);
    }
    bridge.tou_fetched(&mac, &json!({}), moment);
    bridge.set_connection(&documented_connection(), None, moment);
    let retained: BTreeMap<String, Object> = bridge
        .replay()
        .into_iter()
        .filter_map(|message| Some((message.topic, serde_json::from_slice(&message.payload).ok()?)))
        .collect();
    let event = BTreeSet::from(["event".to_owned()]);
    let mut published = vec![(Topic::Bridge("event"), event.clone()), (Topic::Heater("event"), event)];
    for entity in PRODUCTS[0].entities().chain(BRIDGE_ENTITIES) {
        let object = retained.get(&at(entity.topic)).into_iter().flat_map(|object| object.keys().cloned());
        published.push((entity.topic, object.collect()));
    }
    published
}

fn at(topic: Topic) -> String {
    match topic {
        Topic::Bridge(name) => format!("navien2mqtt/bridge/{name}"),
        Topic::Heater(name) => format!("navien2mqtt/{MAC}/{name}"),
    }
}

fn documented_connection() -> Value {
    let (_, rest) = include_str!("../../docs/topics.md").split_once("### `bridge/connection`").unwrap();
    serde_json::from_str(rest.split("```").nth(1).unwrap().trim_start_matches("json")).unwrap()
}
