//! Entities, as Home Assistant calls what it shows of a device: a row each.
//!
//! Discovery, the documentation's list of entities and the golden files are made of the tables. A row's `id` is part of
//! the entity's unique id: changing one makes a new entity and leaves the old one behind.

use super::measure::Kind;

/// A topic of ours, by what follows the bridge's or the heater's own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// `<base>/bridge/…`.
    Bridge(&'static str),
    /// `<base>/<device>/…`.
    Heater(&'static str),
}

/// How the value is found in what stands on the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Nothing is read: the heater does not say.
    Nothing,
    /// The payload is the value.
    Payload,
    /// The member of this name; `null` is unknown.
    Key(&'static str),
    /// A template, for what is not one member as it is.
    Template(&'static str),
    /// An expression for a word of the topics, which is shown as people read it.
    Word(&'static str),
}

/// Where an entity stands on the device's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Among the sensors and controls.
    Main,
    /// Among the settings.
    Configuration,
    /// Among what helps to find a fault.
    Diagnostic,
}

/// What a number can be set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// From, to and in steps of.
    Fixed(u32, u32, u32),
    /// As the heater's own limits of its target temperature say.
    Target,
}

/// What an entity is to Home Assistant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Component {
    /// The water heater itself.
    WaterHeater,
    /// A value.
    Sensor(Kind),
    /// True or false, with its device class.
    Binary(Option<&'static str>),
    /// ON and OFF go to the topic, as they are or through a template.
    Switch(Topic, Option<&'static str>),
    /// A number goes to the topic, as it is or through a template.
    Number {
        /// Where it goes.
        to: Topic,
        /// What is made of it on the way.
        template: Option<&'static str>,
        /// What it measures.
        kind: Kind,
        /// What it can be.
        range: Range,
    },
    /// One of these words goes to the topic.
    Select(Topic, &'static [&'static str]),
    /// This word goes to the topic; with its device class.
    Button(Topic, &'static str, Option<&'static str>),
    /// Something happened, of these types.
    Event(&'static [&'static str]),
    /// Installed firmware and what could take its place, which this topic installs.
    Update(Topic),
}

/// What the heater must have, or the entity does not appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Nothing,
    /// This flag of its device information.
    Flag(&'static str),
    /// A target temperature that can be set.
    TargetTemperature,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entity {
    /// Names it among the entities of its device.
    pub id: &'static str,
    /// Its name, without that of the device; empty for the entity that is the device.
    pub name: &'static str,
    /// What it is.
    pub component: Component,
    /// Where its value stands.
    pub topic: Topic,
    /// How its value is found there.
    pub reading: Reading,
    /// Its attributes: a topic that holds a JSON object, and which of it when not all.
    pub attributes: Option<(Topic, Option<&'static str>)>,
    /// Where it stands on the device's page.
    pub section: Section,
    /// Whether Home Assistant shows it before anybody asked for it.
    pub enabled: bool,
    /// Its icon, where neither its class nor its kind gives it a fitting one.
    pub icon: Option<&'static str>,
    /// What the heater must have.
    pub needs: Requirement,
    /// When its value holds, if that is not when the device is available.
    pub available: Option<Available>,
}

/// Topics of which any makes an entity available by saying `online`, each as it is or through a template.
pub type Available = &'static [(Topic, Option<&'static str>)];

/// The topic that says whether the bridge runs.
pub const BRIDGE_STATE: Topic = Topic::Bridge("state");

/// The topic of a heater's status.
pub const STATUS: Topic = Topic::Heater("status");

/// The topic of what became of its last command.
pub const COMMANDS: Topic = Topic::Heater("commands");

/// A row whose value is the member of the status that gives the row its id.
pub(crate) const fn row(id: &'static str, name: &'static str, component: Component) -> Entity {
    Entity {
        id,
        name,
        component,
        topic: STATUS,
        reading: Reading::Key(id),
        attributes: None,
        section: Section::Main,
        enabled: true,
        icon: None,
        needs: Requirement::Nothing,
        available: None,
    }
}

pub(crate) const fn sensor(id: &'static str, name: &'static str, kind: Kind) -> Entity {
    row(id, name, Component::Sensor(kind))
}

pub(crate) const fn binary(id: &'static str, name: &'static str) -> Entity {
    row(id, name, Component::Binary(None))
}

pub(crate) const fn button(id: &'static str, name: &'static str, to: Topic) -> Entity {
    Entity { reading: Reading::Nothing, ..row(id, name, Component::Button(to, "PRESS", None)) }
}

impl Entity {
    pub(crate) const fn of_class(self, class: &'static str) -> Self {
        let component = match self.component {
            Component::Button(to, word, _) => Component::Button(to, word, Some(class)),
            _ => Component::Binary(Some(class)),
        };
        Self { component, ..self }
    }

    pub(crate) const fn on(self, topic: Topic) -> Self {
        Self { topic, ..self }
    }

    pub(crate) const fn read(self, template: &'static str) -> Self {
        Self { reading: Reading::Template(template), ..self }
    }

    pub(crate) const fn key(self, key: &'static str) -> Self {
        Self { reading: Reading::Key(key), ..self }
    }

    pub(crate) const fn payload(self) -> Self {
        Self { reading: Reading::Payload, ..self }
    }

    pub(crate) const fn word(self, expression: &'static str) -> Self {
        Self { reading: Reading::Word(expression), ..self }
    }

    pub(crate) const fn with(self, topic: Topic, template: Option<&'static str>) -> Self {
        Self { attributes: Some((topic, template)), ..self }
    }

    pub(crate) const fn needs(self, flag: &'static str) -> Self {
        Self { needs: Requirement::Flag(flag), ..self }
    }

    pub(crate) const fn diagnostic(self) -> Self {
        Self { section: Section::Diagnostic, ..self }
    }

    pub(crate) const fn configuration(self) -> Self {
        Self { section: Section::Configuration, ..self }
    }

    pub(crate) const fn disabled(self) -> Self {
        Self { enabled: false, ..self }
    }

    pub(crate) const fn icon(self, icon: &'static str) -> Self {
        Self { icon: Some(icon), ..self }
    }

    /// It holds while the heater is not heard of, too.
    pub(crate) const fn lasting(self) -> Self {
        self.available(&[(BRIDGE_STATE, None)])
    }

    pub(crate) const fn available(self, available: Available) -> Self {
        Self { available: Some(available), ..self }
    }

    pub(crate) const fn within(self, kind: Kind, range: Range) -> Self {
        let component = match self.component {
            Component::Number { to, template, .. } => Component::Number { to, template, kind, range },
            other => other,
        };
        Self { component, ..self }
    }

    /// Returns the topic to which it writes.
    pub fn writes_to(&self) -> Option<Topic> {
        match self.component {
            Component::Switch(to, _)
            | Component::Number { to, .. }
            | Component::Select(to, _)
            | Component::Button(to, ..)
            | Component::Update(to) => Some(to),
            Component::WaterHeater | Component::Sensor(_) | Component::Binary(_) | Component::Event(_) => None,
        }
    }

    /// Returns its icon; a device class has one already.
    pub fn shown_icon(&self) -> Option<&'static str> {
        self.icon.or(match self.component {
            Component::Sensor(kind) => kind.icon(),
            _ => None,
        })
    }

    /// Returns Home Assistant's name of what it is.
    pub fn platform(&self) -> &'static str {
        match self.component {
            Component::WaterHeater => "water_heater",
            Component::Sensor(_) => "sensor",
            Component::Binary(_) => "binary_sensor",
            Component::Switch(..) => "switch",
            Component::Number { .. } => "number",
            Component::Select(..) => "select",
            Component::Button(..) => "button",
            Component::Event(_) => "event",
            Component::Update(_) => "update",
        }
    }
}
