//! The table made into messages: a device each, with all of its entities.

use serde_json::{Value, json};

use super::Place;
use super::bridge_entities::BRIDGE;
use super::water_heater;
use crate::heater::commands::CommandSettings;
use crate::model::Mac;
use crate::navilink::encoding::Object;
use crate::navilink::firmware::dotted;
use crate::navilink::members::Members;
use crate::navilink::schedule_write::Limits;
use crate::product::Product;
use crate::product::entity::{Available, BRIDGE_STATE, Component, Entity, Range, Reading, Requirement, Section, Topic};
use crate::product::measure::{Kind, Measure, label};
use crate::units::UnitSystem;

/// The target temperatures of a heater that does not tell its limits, in half °C.
const LIMITS: [i64; 2] = [70, 131];

/// The bridge, as far as messages tell of it.
#[derive(Clone, Copy)]
pub struct BridgeDevice<'a> {
    /// `broker.base_topic`, which tells bridges on one broker apart.
    pub base: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The requests that it obeys on the local broker.
    pub allow: &'a [&'static str],
}

/// A heater, as far as messages tell of it.
#[derive(Clone, Copy)]
pub struct Described<'a> {
    /// What it is.
    pub product: &'static Product,
    /// Its address.
    pub mac: &'a Mac,
    /// Its name.
    pub name: &'a str,
    /// Its decoded device information.
    pub feature: &'a Members,
    /// The units of its values.
    pub units: UnitSystem,
    /// What it may be told.
    pub commands: &'a CommandSettings,
}

/// Returns what names the bridge's device, in its topic too.
pub fn bridge_id(base: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("{}_bridge", base.chars().map(plain).collect::<String>())
}

/// Returns what names a heater's device, in its topic too.
pub fn heater_id(mac: &Mac) -> String {
    format!("navien2mqtt_{mac}")
}

/// Returns the discovery message of the bridge itself.
pub fn bridge(bridge: BridgeDevice<'_>, place: Place<'_>) -> Value {
    let id = bridge_id(bridge.base);
    // Its values have no units of a heater's.
    let made = Maker { id: &id, units: UnitSystem::Metric, feature: &Members::default(), commands: None, place };
    let components = made.components(BRIDGE.iter(), |entity| match entity.writes_to() {
        Some(Topic::Bridge(to)) => bridge.allow.iter().any(|name| to.strip_prefix("request/") == Some(name)),
        Some(Topic::Heater(_)) | None => true,
    });
    json!({
        "device": {
            "identifiers": [id],
            "name": "Navien bridge",
            "manufacturer": "navien2mqtt",
            "model": "Cloud bridge",
            "sw_version": bridge.version,
        },
        "origin": origin(bridge),
        "availability": [{ "topic": place(BRIDGE_STATE) }],
        "components": components,
    })
}

/// Returns the discovery message of a heater. What it does not have is a stub, which takes away what an earlier message
/// may have made.
pub fn heater(heater: Described<'_>, bridge: BridgeDevice<'_>, place: Place<'_>) -> Value {
    let Described { mac, name, feature, units, commands, .. } = heater;
    let id = heater_id(mac);
    let made = Maker { id: &id, units, feature, commands: Some(commands), place };
    let components = made.components(heater.product.entities(), |entity| {
        let usable = matches!(entity.component, Component::Update(_));
        made.has(entity.needs) && (usable || entity.writes_to().is_none_or(|to| made.writes(to)))
    });
    let mut device = json!({
        "identifiers": [id],
        "connections": [["mac", separated(mac)]],
        "name": name,
        "manufacturer": "Navien",
        "model": model(heater.product, feature),
        "via_device": bridge_id(bridge.base),
    });
    if let Some(version) = feature.get("controller_sw_version").and_then(Value::as_i64) {
        device["sw_version"] = dotted(version).into();
    }
    let serial = feature.get("controller_serial_number").and_then(Value::as_str);
    put(&mut device, "serial_number", serial.filter(|serial| !serial.is_empty()));
    json!({
        "device": device,
        "origin": origin(bridge),
        "availability": [
            { "topic": place(BRIDGE_STATE) },
            { "topic": place(Topic::Heater("availability")) },
            { "topic": place(in_units(units)) },
        ],
        "availability_mode": "all",
        "components": components,
    })
}

/// The topic that says `online` for a heater that is described in these units.
///
/// Home Assistant goes on with the value that it holds when the unit changes. It is a topic for each, so that the heater is
/// unavailable after a change until more has come than the description, and by then that value has been replaced.
pub fn in_units(units: UnitSystem) -> Topic {
    Topic::Heater(match units {
        UnitSystem::Metric => "units/metric",
        UnitSystem::Us => "units/us",
    })
}

fn origin(bridge: BridgeDevice<'_>) -> Value {
    json!({ "name": "navien2mqtt", "sw_version": bridge.version })
}

fn model(product: &Product, feature: &Members) -> String {
    match feature.get("volume_code").and_then(Value::as_i64) {
        Some(gallons) => format!("{}-{gallons}", product.name),
        None => product.name.to_owned(),
    }
}

fn separated(mac: &Mac) -> String {
    let pairs: Vec<&str> = (0..6).filter_map(|at| mac.as_str().get(2 * at..2 * at + 2)).collect();
    pairs.join(":")
}

/// Makes the components of one device.
pub struct Maker<'a> {
    id: &'a str,
    pub(super) units: UnitSystem,
    feature: &'a Members,
    /// What a heater may be told.
    commands: Option<&'a CommandSettings>,
    pub(super) place: Place<'a>,
}

impl Maker<'_> {
    /// Makes those that there are; the others are stubs.
    fn components<'e>(&self, entities: impl Iterator<Item = &'e Entity>, exists: impl Fn(&Entity) -> bool) -> Object {
        let stub = |entity: &Entity| json!({ "platform": entity.platform() });
        let made = |entity: &Entity| if exists(entity) { self.component(entity) } else { stub(entity) };
        entities.map(|entity| (entity.id.to_owned(), made(entity))).collect()
    }

    /// Returns whether the bridge would obey what is written to a topic.
    pub(super) fn writes(&self, to: Topic) -> bool {
        let Some(commands) = self.commands else { return true };
        match to {
            Topic::Heater("set/firmware_commit") => commands.allow_firmware_commit && !commands.read_only,
            Topic::Heater(name) => !(commands.read_only && name.starts_with("set/")),
            Topic::Bridge(_) => true,
        }
    }

    pub(super) fn has(&self, need: Requirement) -> bool {
        match need {
            Requirement::Nothing => true,
            Requirement::Flag(flag) => self.feature.get(flag) == Some(&Value::Bool(true)),
            Requirement::TargetTemperature => {
                let fineness = self.feature.get("dhw_temperature_setting_use").and_then(Value::as_str);
                fineness.is_some_and(|fineness| !matches!(fineness, "unknown" | "disabled"))
            }
        }
    }

    fn component(&self, entity: &Entity) -> Value {
        let mut made = json!({
            "platform": entity.platform(),
            "unique_id": format!("{}_{}", self.id, entity.id),
            "name": Some(entity.name).filter(|name| !name.is_empty()),
        });
        if let Component::Event(_) | Component::Sensor(_) | Component::Binary(_) | Component::Update(_) =
            entity.component
        {
            made["state_topic"] = (self.place)(entity.topic).into();
        }
        self.describe(entity, &mut made);
        if let Some(template) = self.template(entity) {
            made["value_template"] = template.into();
        }
        if let Some((topic, template)) = entity.attributes {
            made["json_attributes_topic"] = (self.place)(topic).into();
            put(&mut made, "json_attributes_template", template);
        }
        put(
            &mut made,
            "entity_category",
            match entity.section {
                Section::Main => None,
                Section::Configuration => Some("config"),
                Section::Diagnostic => Some("diagnostic"),
            },
        );
        put(&mut made, "icon", entity.shown_icon());
        if !entity.enabled {
            made["enabled_by_default"] = false.into();
        }
        if let Some(topics) = entity.available {
            self.available(topics, &mut made);
        }
        made
    }

    fn available(&self, topics: Available, made: &mut Value) {
        let topic = |&(topic, template): &(Topic, Option<&str>)| {
            let mut topic = json!({ "topic": (self.place)(topic) });
            put(&mut topic, "value_template", template);
            topic
        };
        made["availability"] = topics.iter().map(topic).collect();
        if topics.len() > 1 {
            made["availability_mode"] = "any".into();
        }
    }

    fn describe(&self, entity: &Entity, made: &mut Value) {
        match entity.component {
            Component::WaterHeater => water_heater::describe(self, made),
            Component::Sensor(kind) => self.measure(kind, true, made),
            Component::Binary(class) => {
                put(made, "device_class", class);
                let words = if entity.reading == Reading::Payload { ["online", "offline"] } else { ["True", "False"] };
                made["payload_on"] = words[0].into();
                made["payload_off"] = words[1].into();
            }
            Component::Switch(to, template) => {
                self.commanded(entity, to, template, made);
                made["state_on"] = "True".into();
                made["state_off"] = "False".into();
            }
            Component::Number { to, template, kind, range } => {
                self.commanded(entity, to, template, made);
                self.measure(kind, false, made);
                let [min, max, step] = self.range(range);
                made["min"] = min;
                made["max"] = max;
                made["step"] = step;
                made["mode"] = "box".into();
            }
            Component::Select(to, options) => {
                self.commanded(entity, to, Some("{{ value | lower | replace(' ', '_') }}"), made);
                made["options"] = labels(options);
            }
            Component::Button(to, word, class) => {
                made["command_topic"] = (self.place)(to).into();
                made["payload_press"] = word.into();
                put(made, "device_class", class);
            }
            Component::Event(types) => made["event_types"] = json!(types),
            Component::Update(to) => {
                made["device_class"] = "firmware".into();
                if self.writes(to) {
                    made["command_topic"] = (self.place)(to).into();
                    made["payload_install"] = "INSTALL".into();
                }
            }
        }
    }

    fn commanded(&self, entity: &Entity, to: Topic, template: Option<&str>, made: &mut Value) {
        made["state_topic"] = (self.place)(entity.topic).into();
        made["command_topic"] = (self.place)(to).into();
        put(made, "command_template", template);
    }

    /// Unit and class; what the state means over time is a sensor's only.
    fn measure(&self, kind: Kind, over_time: bool, made: &mut Value) {
        let Measure { unit, class, state, decimals } = kind.measure(self.units);
        put(made, "device_class", class);
        put(made, "unit_of_measurement", unit);
        if !over_time {
            return;
        }
        put(made, "state_class", state);
        if let Some(decimals) = decimals {
            made["suggested_display_precision"] = decimals.into();
        }
        if let Kind::Words(words) = kind {
            made["options"] = labels(words);
        }
    }

    /// A number out of its range would be an error to Home Assistant; a heater's "not set" is one.
    fn template(&self, entity: &Entity) -> Option<String> {
        let word = |word: &str| {
            format!(
                "{{% set word = {word} %}}{{{{ word | replace('_', ' ') | capitalize if word is string else None }}}}"
            )
        };
        match (entity.reading, entity.component) {
            (Reading::Key(key), Component::Number { range, kind, .. }) => {
                let [min, max, _] = self.range(range);
                // Whole degrees Fahrenheit are offered, and half degrees Celsius told.
                let whole = if range == Range::Target && self.units == UnitSystem::Us { " | round | int" } else { "" };
                let these = match kind.depends_on_units() {
                    true => format!(" and {}", self.in_these_units()),
                    false => String::new(),
                };
                Some(format!(
                    "{{% set value = value_json.{key} %}}\
                     {{{{ value{whole} if value is number and {min} <= value{whole} <= {max}{these} else None }}}}"
                ))
            }
            (Reading::Key(key), Component::Sensor(kind)) if kind.depends_on_units() => {
                Some(self.measured(&format!("value_json.{key}")))
            }
            (_, Component::WaterHeater) => None,
            (Reading::Key(key), Component::Sensor(Kind::Words(_)) | Component::Select(..)) => {
                Some(word(&format!("value_json.{key}")))
            }
            (Reading::Key(key), _) => Some(format!("{{{{ value_json.{key} }}}}")),
            (Reading::Template(template), _) => Some(template.to_owned()),
            (Reading::Word(expression), _) => Some(word(expression)),
            (Reading::Nothing | Reading::Payload, _) => None,
        }
    }

    /// Reads a value of these units; the message may be older than they are.
    pub(super) fn measured(&self, value: &str) -> String {
        format!("{{{{ {value} if {} else None }}}}", self.in_these_units())
    }

    fn in_these_units(&self) -> String {
        format!("value_json.units == '{}'", self.units.as_str())
    }

    fn range(&self, range: Range) -> [Value; 3] {
        match range {
            Range::Fixed(min, max, step) => [min.into(), max.into(), step.into()],
            Range::Target => {
                let [min, max] = self.limits();
                let step = if self.units == UnitSystem::Metric { 0.5 } else { 1.0 };
                [json!(min), json!(max), json!(step)]
            }
        }
    }

    /// The target temperatures that it would obey: half degrees Celsius, or whole degrees Fahrenheit.
    pub(super) fn limits(&self) -> [f64; 2] {
        let [low, high] = self.half_celsius_limits();
        let limits = Limits { units: self.units, half_celsius: Some((low, high)) };
        let obeyed = |degrees: &f64| limits.half_celsius(*degrees).is_ok();
        match self.units {
            UnitSystem::Metric => [low as f64 / 2.0, high as f64 / 2.0],
            UnitSystem::Us => {
                let [low, high] = [low, high].map(|half| self.units.half_celsius(half as f64));
                [
                    Some(low.floor()).filter(obeyed).unwrap_or_else(|| low.ceil()),
                    Some(high.ceil()).filter(obeyed).unwrap_or_else(|| high.floor()),
                ]
            }
        }
    }

    /// The heater's own limits, and the configured one.
    fn half_celsius_limits(&self) -> [i64; 2] {
        let metric = self.feature.get("units").and_then(Value::as_str) == Some(UnitSystem::Metric.as_str());
        let limit = |member, otherwise| {
            let told = self.feature.get(member).and_then(Value::as_f64);
            let half = |told: f64| if metric { told * 2.0 } else { (told - 32.0) * 10.0 / 9.0 };
            told.map_or(otherwise, |told| half(told).round() as i64)
        };
        let told = [limit("dhw_temperature_min", LIMITS[0]), limit("dhw_temperature_max", LIMITS[1])];
        let [low, high] = if told[0] < told[1] { told } else { LIMITS };
        let most = self.commands.and_then(|commands| commands.max_temperature);
        // Home Assistant takes no range without an end above its beginning.
        [low, most.map_or(high, |most| high.min(most)).max(low + 1)]
    }
}

/// The words of the topics as people read them.
fn labels(words: &[&str]) -> Value {
    words.iter().map(|word| label(word)).collect()
}

fn put(made: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        made[key] = value.into();
    }
}
