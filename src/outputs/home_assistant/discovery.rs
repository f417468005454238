//! The table made into messages: a device each, with all of its entities.

use serde_json::{Value, json};

use super::Place;
use super::bridge_entities::BRIDGE;
use crate::model::Mac;
use crate::navilink::encoding::Object;
use crate::product::Product;
use crate::product::entity::{
    Available, BRIDGE_STATE, Component, Entity, Range, Reading, Requirement, STATUS, Section, Topic,
};
use crate::product::measure::{Kind, Measure};
use crate::units::UnitSystem;

/// The target temperatures of a heater that does not tell its limits, in half °C.
const LIMITS: [f64; 2] = [70.0, 131.0];

/// The flag for the modes as a whole; those of single modes are no need of the control (protocol reference, section 4).
const ANY_MODE: &str = "dhw_use";

/// The modes of a water heater, each with the flag that the heater must have for it.
const MODES: [(&str, &str); 6] = [
    ("eco", ANY_MODE),
    ("heat_pump", ANY_MODE),
    ("electric", ANY_MODE),
    ("high_demand", ANY_MODE),
    ("vacation", "holiday_use"),
    ("off", "power_use"),
];

/// Home Assistant's names of modes that have others in the status.
const RENAMED: &str = "{% set mode = {'energy_saver': 'eco', 'power_off': 'off'}\
    .get(value_json.dhw_operation_setting, value_json.dhw_operation_setting) %}";

/// A vacation needs its length.
const SET_MODE: &str = "{% if value == 'vacation' %}{\"value\": \"vacation\", \"days\": \
    {{ this.attributes.get('vacation_days') or 7 }}}{% else %}{{ value }}{% endif %}";

/// The bridge, as far as messages tell of it.
#[derive(Clone, Copy)]
pub struct BridgeDevice<'a> {
    /// `broker.base_topic`, which tells bridges on one broker apart.
    pub base: &'a str,
    /// Its version.
    pub version: &'a str,
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
    pub feature: &'a Object,
    /// The units of its values.
    pub units: UnitSystem,
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
    let made = Maker { id: &id, units: UnitSystem::Metric, feature: &Object::new(), place };
    let components: Object = BRIDGE.iter().map(|entity| (entity.id.to_owned(), made.component(entity))).collect();
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
    let Described { mac, name, feature, units, .. } = heater;
    let id = heater_id(mac);
    let made = Maker { id: &id, units, feature, place };
    let components: Object = heater
        .product
        .entities()
        .map(|entity| {
            let fitted = made.has(entity.needs);
            let stub = || json!({ "platform": entity.platform() });
            (entity.id.to_owned(), if fitted { made.component(entity) } else { stub() })
        })
        .collect();
    let mut device = json!({
        "identifiers": [id],
        "connections": [["mac", separated(mac)]],
        "name": name,
        "manufacturer": "Navien",
        "model": model(heater.product, feature),
        "via_device": bridge_id(bridge.base),
    });
    for (key, member) in [("sw_version", "controller_sw_version"), ("serial_number", "controller_serial_number")] {
        match feature.get(member) {
            Some(Value::String(text)) if !text.is_empty() => device[key] = text.as_str().into(),
            Some(Value::Number(number)) => device[key] = number.to_string().into(),
            _ => {}
        }
    }
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

fn model(product: &Product, feature: &Object) -> String {
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
struct Maker<'a> {
    id: &'a str,
    units: UnitSystem,
    feature: &'a Object,
    place: Place<'a>,
}

impl Maker<'_> {
    fn has(&self, need: Requirement) -> bool {
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
        if let Component::Event(_) | Component::Sensor(_) | Component::Binary(_) = entity.component {
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
            Component::WaterHeater => self.water_heater(made),
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
                self.commanded(entity, to, None, made);
                made["options"] = json!(options);
            }
            Component::Button(to, word, class) => {
                made["command_topic"] = (self.place)(to).into();
                made["payload_press"] = word.into();
                put(made, "device_class", class);
            }
            Component::Event(types) => made["event_types"] = json!(types),
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
            made["options"] = json!(words);
        }
    }

    /// A number out of its range would be an error to Home Assistant; a heater's "not set" is one.
    fn template(&self, entity: &Entity) -> Option<String> {
        match (entity.reading, entity.component) {
            (Reading::Key(key), Component::Number { range, kind, .. }) => {
                let [min, max, _] = self.range(range);
                let value = format!("value_json.{key}");
                let within = format!("{value} if {value} is number and {min} <= {value} <= {max}");
                Some(match kind.depends_on_units() {
                    true => format!("{{{{ {within} and {} else None }}}}", self.in_these_units()),
                    false => format!("{{{{ {within} else None }}}}"),
                })
            }
            (Reading::Key(key), Component::Sensor(kind)) if kind.depends_on_units() => Some(self.measured(key)),
            (_, Component::WaterHeater) => None,
            (Reading::Key(key), _) => Some(format!("{{{{ value_json.{key} }}}}")),
            (Reading::Template(template), _) => Some(template.to_owned()),
            // What is not told is unknown; Home Assistant would begin with off if it had nothing to read.
            (Reading::Nothing, Component::Switch(..)) => Some("{{ None }}".to_owned()),
            (Reading::Nothing | Reading::Payload, _) => None,
        }
    }

    /// Reads a value of these units; the message may be older than they are.
    fn measured(&self, key: &str) -> String {
        format!("{{{{ value_json.{key} if {} else None }}}}", self.in_these_units())
    }

    fn in_these_units(&self) -> String {
        format!("value_json.units == '{}'", self.units.as_str())
    }

    fn range(&self, range: Range) -> [Value; 3] {
        match range {
            Range::Fixed(min, max, step) => [min.into(), max.into(), step.into()],
            Range::Target => {
                let [min, max] = self.limits();
                match self.units {
                    UnitSystem::Metric => [json!(min), json!(max), json!(0.5)],
                    // Whole degrees, and among them those nearest to limits such as 104.9 and 149.9.
                    UnitSystem::Us => [json!(min.floor()), json!(max.ceil()), json!(1)],
                }
            }
        }
    }

    /// The heater's own limits of its target temperature, which may have been told in other units than those of now.
    fn limits(&self) -> [f64; 2] {
        let told_in = self.feature.get("units").and_then(Value::as_str);
        let same = told_in == Some(self.units.as_str());
        let limit = |member, otherwise| {
            let told = self.feature.get(member).and_then(Value::as_f64);
            let half_celsius = told.map(|told| match self.units {
                UnitSystem::Metric => ((told - 32.0) * 10.0 / 9.0).round(),
                UnitSystem::Us => (told * 2.0).round(),
            });
            match told {
                Some(told) if same => told,
                _ => self.units.half_celsius(half_celsius.unwrap_or(otherwise)),
            }
        };
        let limits = [limit("dhw_temperature_min", LIMITS[0]), limit("dhw_temperature_max", LIMITS[1])];
        if limits[0] < limits[1] { limits } else { LIMITS.map(|limit| self.units.half_celsius(limit)) }
    }

    fn water_heater(&self, made: &mut Value) {
        let status = (self.place)(STATUS);
        let metric = self.units == UnitSystem::Metric;
        let [min, max] = self.limits();
        let mut add = |key: &str, value: Value| made[key] = value;
        add("temperature_unit", if metric { "C" } else { "F" }.into());
        add("precision", json!(if metric { 0.5 } else { 0.1 }));
        add("min_temp", min.into());
        add("max_temp", max.into());
        add("current_temperature_topic", status.as_str().into());
        add("current_temperature_template", self.measured("dhw_temperature").into());
        if self.has(Requirement::TargetTemperature) {
            add("temperature_state_topic", status.as_str().into());
            add("temperature_state_template", self.measured("dhw_temperature_setting").into());
            add("temperature_command_topic", (self.place)(Topic::Heater("set/temperature")).into());
        }
        // Without a topic for the mode Home Assistant would show the heater as off.
        let modes: Vec<&str> =
            MODES.iter().filter(|(_, flag)| self.has(Requirement::Flag(flag))).map(|(mode, _)| *mode).collect();
        // Standing by is neither on nor off, and a mode that is not listed would be a warning.
        let listed = modes.join("', '");
        add("modes", json!(modes));
        add("mode_state_topic", status.as_str().into());
        add("mode_state_template", format!("{RENAMED}{{{{ mode if mode in ['{listed}'] else None }}}}").into());
        if self.has(Requirement::Flag(ANY_MODE)) {
            add("mode_command_topic", (self.place)(Topic::Heater("set/mode")).into());
            add("mode_command_template", SET_MODE.into());
        }
        if self.has(Requirement::Flag("power_use")) {
            add("power_command_topic", (self.place)(Topic::Heater("set/power")).into());
        }
    }
}

fn put(made: &mut Value, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        made[key] = value.into();
    }
}
