//! When Home Assistant is told of the bridge and of each heater, and its birth, at which it is told again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::discovery::in_units;
use super::{BridgeDevice, Described, abbreviated, birth_below, bridge, bridge_id, discovery_topic, heater, heater_id};
use crate::heater::Heater;
use crate::heater::commands::CommandSettings;
use crate::model::{Mac, Moment};
use crate::outputs::mqtt::{Mqtt, text};
use crate::product::entity::Topic;
use crate::units::UnitSystem;

/// Home Assistant needs a moment after its birth, and several bridges are not to answer it in one blow.
const BIRTH_WAIT: (u64, u64) = (200, 1000);

/// Home Assistant subscribes to the states of what it discovers within so long.
const STATES_WAIT: Duration = Duration::from_secs(5);

/// A day begins somewhere at every quarter of an hour.
const BEGINNINGS: Duration = Duration::from_secs(15 * 60);

/// By then the clocks of a house agree that it has begun.
const BEGUN: Duration = Duration::from_secs(10);

/// What is to be published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// Everything.
    Everything,
    /// Everything but discovery: not every broker gives what it keeps to a new subscription.
    States,
    /// What is told by days and months: a day has begun somewhere.
    Days,
}

/// Whether and where Home Assistant is told of everything (`[home_assistant]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeAssistant {
    /// Whether it is told; otherwise it is told to forget what an earlier run said.
    pub enabled: bool,
    /// What every discovery topic begins with.
    pub prefix: String,
    /// Where it says that it has come up; it may do so below the prefix as well.
    pub birth_topic: String,
}

/// What the topics of discovery are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discovery {
    prefix: String,
    /// `broker.base_topic`, which names the bridge.
    base: String,
}

impl Discovery {
    fn topics(&self, heaters: &[Mac]) -> BTreeSet<String> {
        let ids = heaters.iter().map(heater_id).chain([bridge_id(&self.base)]);
        ids.map(|id| discovery_topic(&self.prefix, &id)).collect()
    }
}

/// Tells Home Assistant by messages of the local broker.
#[derive(Debug)]
pub struct Output {
    settings: HomeAssistant,
    /// What heaters may be told.
    commands: CommandSettings,
    /// The requests that the bridge obeys.
    allow: Vec<&'static str>,
    /// How long after its birth everything is published again.
    birth_wait: Duration,
    birth_due: Option<Instant>,
    states_due: Option<Instant>,
    days_due: Option<Instant>,
    /// Whether a heater was described in another way than before.
    described_anew: bool,
}

impl Output {
    /// Begins; `client` spreads the answers to a birth over the bridges of a broker.
    pub fn new(settings: HomeAssistant, commands: CommandSettings, allow: Vec<&'static str>, client: &str) -> Self {
        let (least, most) = BIRTH_WAIT;
        // FNV-1a: as good a spread as any.
        let spread = client
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let birth_wait = Duration::from_millis(least + spread % (most - least + 1));
        Self {
            settings,
            commands,
            allow,
            birth_wait,
            birth_due: None,
            states_due: None,
            days_due: None,
            described_anew: false,
        }
    }

    /// Returns the topics of Home Assistant's birth message, as far as it is listened to.
    pub fn birth_topics(&self) -> BTreeSet<String> {
        let topics = [self.settings.birth_topic.clone(), birth_below(&self.settings.prefix)];
        topics.into_iter().filter(|_| self.settings.enabled).collect()
    }

    /// Takes Home Assistant's birth message. A retained one is old: whoever connected after it was given everything.
    pub fn hear_birth(&mut self, payload: &[u8], retained: bool, now: Instant) {
        if payload == b"online" && !retained {
            self.birth_due.get_or_insert(now + self.birth_wait);
        }
    }

    /// Lets the states be published again once Home Assistant has subscribed to them.
    pub fn states_again(&mut self, now: Instant) {
        self.states_due = Some(now + STATES_WAIT);
    }

    /// Does so when a heater was described in another way than before: where Home Assistant knew it, it reads its values in
    /// the new way only when they come again.
    pub fn states_again_if_described_anew(&mut self, now: Instant) {
        if std::mem::take(&mut self.described_anew) {
            self.states_again(now);
        }
    }

    /// Returns when [`Output::take_due`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        [self.birth_due, self.states_due, self.days_due].into_iter().flatten().min()
    }

    /// Returns what is to be published again now.
    pub fn take_due(&mut self, moment: Moment) -> Option<Again> {
        let now = moment.now;
        let began = self.days_due.is_some_and(|due| due <= now);
        if self.settings.enabled && (began || self.days_due.is_none()) {
            self.days_due = Some(next_beginning(moment));
        }
        if began {
            return Some(Again::Days);
        }
        if self.birth_due.take_if(|due| *due <= now).is_some() {
            self.states_again(now);
            return Some(Again::Everything);
        }
        self.states_due.take_if(|due| *due <= now).map(|_| Again::States)
    }

    /// Tells of the bridge, or takes it back.
    pub fn show_bridge(&self, mqtt: &mut Mqtt) {
        let topic = discovery_topic(&self.settings.prefix, &bridge_id(mqtt.topics().base()));
        let place = |topic| match topic {
            Topic::Bridge(name) | Topic::Heater(name) => mqtt.topics().bridge(name),
        };
        let payload = self.settings.enabled.then(|| text(&abbreviated(bridge(self.described(mqtt), &place))));
        mqtt.retain(topic, payload.unwrap_or_default());
    }

    /// Tells of a heater once it is known what it has, under this name.
    pub fn show(&mut self, of: &Heater, name: &str, mqtt: &mut Mqtt) {
        let mac = of.mac();
        if !self.settings.enabled {
            return self.clear(mac, mqtt);
        }
        if !of.capabilities().is_known() {
            return;
        }
        let place = |topic| match topic {
            Topic::Bridge(name) => mqtt.topics().bridge(name),
            Topic::Heater(name) => mqtt.topics().device(mac, name),
        };
        let units = of.units();
        let feature = &of.capabilities().decoded(units);
        let message = heater(
            Described { product: of.product(), mac, name, feature, units, commands: &self.commands },
            self.described(mqtt),
            &place,
        );
        // Before the description that waits for it.
        let [these, others] = [units, units.other()].map(|units| place(in_units(units)));
        mqtt.retain(these, Bytes::from_static(b"online"));
        mqtt.retain(others, Bytes::new());
        self.described_anew |= mqtt.retain(self.heater_topic(mac), text(&abbreviated(message)));
    }

    /// Takes back what was told of a heater.
    pub fn clear(&self, mac: &Mac, mqtt: &mut Mqtt) {
        mqtt.retain(self.heater_topic(mac), Bytes::new());
        for units in [UnitSystem::Metric, UnitSystem::Us] {
            if let Topic::Heater(name) = in_units(units) {
                mqtt.retain(mqtt.topics().device(mac, name), Bytes::new());
            }
        }
    }

    /// Returns where it is told.
    pub fn discovery(&self, mqtt: &Mqtt) -> Discovery {
        Discovery { prefix: self.settings.prefix.clone(), base: mqtt.topics().base().to_owned() }
    }

    /// Takes back what was told elsewhere of the bridge and of these heaters.
    pub fn take_back(&self, earlier: &Discovery, heaters: &[Mac], mqtt: &mut Mqtt) {
        let now = self.discovery(mqtt).topics(heaters);
        for topic in earlier.topics(heaters).difference(&now) {
            mqtt.retain(topic.clone(), Bytes::new());
        }
    }

    fn heater_topic(&self, mac: &Mac) -> String {
        discovery_topic(&self.settings.prefix, &heater_id(mac))
    }

    fn described<'a>(&'a self, mqtt: &'a Mqtt) -> BridgeDevice<'a> {
        let version = mqtt.about("version").and_then(Value::as_str).unwrap_or_default();
        BridgeDevice { base: mqtt.topics().base(), version, allow: &self.allow }
    }
}

/// Returns when a day has begun somewhere the next time. Home Assistant picks the day that it is in its own time zone when
/// the message comes, and that zone is not known here.
fn next_beginning(moment: Moment) -> Instant {
    let since_begun = moment.wall.duration_since(UNIX_EPOCH + BEGUN).unwrap_or_default();
    let passed = Duration::from_millis((since_begun.as_millis() % BEGINNINGS.as_millis()) as u64);
    moment.now + BEGINNINGS - passed
}
