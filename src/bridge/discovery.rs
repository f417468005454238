//! What Home Assistant is told of the bridge and of each heater, and its birth, at which it is told again.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;

use super::{Bridge, Effect};
use crate::home_assistant::entities::Topic;
use crate::home_assistant::{self, birth_topic, bridge_id, discovery_topic, heater_id};
use crate::model::Mac;

/// Home Assistant needs a moment after its birth, and several bridges are not to answer it in one blow.
const BIRTH_WAIT: (u64, u64) = (200, 1000);

/// Whether and where Home Assistant is told of everything (`[home_assistant]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistant {
    /// Whether it is told; otherwise it is told to forget what an earlier run said.
    pub enabled: bool,
    /// What every discovery topic begins with.
    pub prefix: String,
}

impl Bridge {
    /// Returns what the bridge subscribes to on the local broker.
    pub fn filters(&self) -> Vec<String> {
        let HomeAssistant { enabled, prefix } = &self.settings.home_assistant;
        let mut filters = self.settings.topics.filters();
        filters.extend(enabled.then(|| birth_topic(prefix)));
        filters
    }

    /// Says whether Home Assistant's birth message comes on a topic.
    pub(super) fn is_birth(&self, topic: &str) -> bool {
        let HomeAssistant { enabled, prefix } = &self.settings.home_assistant;
        *enabled && topic == birth_topic(prefix)
    }

    /// Takes Home Assistant's birth message. A retained one is old: whoever connected after it was given everything.
    pub(super) fn hear_birth(&mut self, payload: &[u8], retained: bool, now: Instant) {
        if payload == b"online" && !retained {
            let (least, most) = BIRTH_WAIT;
            // FNV-1a: as good a spread over the bridges of a broker as any.
            let spread =
                self.identity.client.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
            self.birth_due.get_or_insert(now + Duration::from_millis(least + spread % (most - least + 1)));
        }
    }

    /// Publishes everything again when it is due.
    pub(super) fn handle_birth(&mut self, now: Instant) {
        if self.birth_due.take_if(|due| *due <= now).is_some() {
            let everything = self.replay().into_iter().map(Effect::Publish);
            self.effects.extend(everything);
        }
    }

    /// Tells of the bridge and of every heater, or takes everything back.
    pub(super) fn discover_all(&mut self) {
        let topics = &self.settings.topics;
        let HomeAssistant { enabled, prefix } = &self.settings.home_assistant;
        let topic = discovery_topic(prefix, &bridge_id(topics.base()));
        let place = |topic| match topic {
            Topic::Bridge(name) | Topic::Heater(name) => topics.bridge(name),
        };
        let payload = enabled.then(|| Bytes::from(home_assistant::bridge(self.described(), &place).to_string()));
        self.retain(topic, payload.unwrap_or_default());
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            self.discover(&mac);
        }
    }

    /// Tells of a heater once it is known what it has.
    pub(super) fn discover(&mut self, mac: &Mac) {
        if !self.settings.home_assistant.enabled {
            return self.undiscover(mac);
        }
        let Some(heater) = self.heaters.get(mac).filter(|heater| heater.capabilities().is_known()) else { return };
        let topics = &self.settings.topics;
        let place = |topic| match topic {
            Topic::Bridge(name) => topics.bridge(name),
            Topic::Heater(name) => topics.device(mac, name),
        };
        let (name, units) = (&self.shown_name(heater.device()), heater.units());
        let feature = &heater.capabilities().decoded(units);
        let heater = home_assistant::Described { mac, name, feature, units };
        let message = home_assistant::heater(heater, self.described(), &place);
        self.retain(self.heater_topic(mac), Bytes::from(message.to_string()));
    }

    /// Takes back what was told of a heater.
    pub(super) fn undiscover(&mut self, mac: &Mac) {
        self.retain(self.heater_topic(mac), Bytes::new());
    }

    fn heater_topic(&self, mac: &Mac) -> String {
        discovery_topic(&self.settings.home_assistant.prefix, &heater_id(mac))
    }

    fn described(&self) -> home_assistant::Bridge<'_> {
        let version = self.about.get("version").and_then(Value::as_str).unwrap_or_default();
        home_assistant::Bridge { base: self.settings.topics.base(), version }
    }
}
