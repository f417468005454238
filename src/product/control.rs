//! What a heater can be told: a row each, and what a `set` makes of it.

use super::capabilities::Capabilities;
use super::payload::Payload;
use crate::navilink::control::{Control, ControlCode};
use crate::navilink::encoding::Object;
use crate::navilink::schedule_write::Limits;
use crate::units::UnitSystem;

/// A row of the table of controls.
#[derive(Debug, Clone, Copy)]
pub struct ControlRow {
    /// What follows `set/` in the topic; an entity's topic and the documentation name it, too.
    pub name: &'static str,
    /// What the heater must have.
    pub needs: Need,
    /// Whether the heater refuses it too soon after another one, so that it waits for the end of a pause.
    pub paced: bool,
    /// What a payload is, and what is sent for it.
    pub takes: Takes,
}

/// What a payload is, and what is sent for it.
#[derive(Debug, Clone, Copy)]
pub enum Takes {
    /// `ON` or `OFF`, which are controls of their own.
    Switch {
        /// What turns it on.
        on: ControlCode,
        /// What turns it off, without parameters.
        off: ControlCode,
        /// The parameters of `on`.
        param: Param,
        /// Reads which of them is wished.
        which: fn(&Payload, Known<'_>) -> Result<bool, String>,
    },
    /// `PRESS`; sent with these parameters.
    Press(ControlCode, &'static [i64]),
    /// A value, from which its parameters are made.
    Value(ControlCode, Param),
    /// What is read by a function of its own, which sends these or a schedule.
    Other(&'static [ControlCode], fn(&Payload, Known<'_>) -> Result<Control, String>),
    /// A change of the reservations, which are read before and written after it.
    Edit(fn(&Payload, Known<'_>) -> Result<Edit, String>),
}

/// Reads the parameters from a payload; the error says what is expected.
pub type Param = fn(&Payload, Known<'_>) -> Result<Vec<i64>, String>;

/// What a heater must have for a control; nothing is refused for what is not known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// This flag of its device information, as it is called on the wire.
    Flag(&'static str),
    /// A target temperature that can be set.
    TargetTemperature,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// One message.
    Control(Control),
    /// The reservations are read, changed and written.
    Edit(Edit),
}

/// A change of the reservations; the numbers count from 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// A new entry.
    Add(Object),
    /// Another entry in place of one.
    Update(usize, Object),
    /// One entry less.
    Delete(usize),
}

impl Edit {
    /// Changes the entries, as the heater sent them.
    ///
    /// # Errors
    ///
    /// When there is no such entry.
    pub fn apply(&self, entries: &mut Vec<Object>) -> Result<(), String> {
        let count = entries.len();
        let place = |index: &usize| {
            let found = index.checked_sub(1).filter(|place| *place < count);
            found.ok_or_else(|| format!("there is no reservation {index}; the heater has {count}"))
        };
        match self {
            Self::Add(entry) => entries.push(entry.clone()),
            Self::Update(index, entry) => entries[place(index)?] = entry.clone(),
            Self::Delete(index) => drop(entries.remove(place(index)?)),
        }
        Ok(())
    }
}

/// What the answer depends on.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// What the heater can do; nothing is refused for what is not known of it.
    pub capabilities: &'k Capabilities,
    /// The last status as the heater sent it.
    pub status: Option<&'k Object>,
    /// The units of temperatures.
    pub units: UnitSystem,
    /// Whether firmware may be committed.
    pub allow_firmware_commit: bool,
    /// The highest temperature that may be set, in half degrees Celsius, if it is another than the heater's.
    pub max_temperature: Option<i64>,
    /// `swCode` and `swVersion` of downloaded firmware that is newer than what runs.
    pub pending_firmware: Option<(i64, i64)>,
}

impl ControlRow {
    /// A row that needs nothing of the heater and is sent at any time.
    pub(super) const fn new(name: &'static str, takes: Takes) -> Self {
        Self { name, needs: Need::Nothing, paced: false, takes }
    }

    pub(super) const fn needs(self, flag: &'static str) -> Self {
        Self { needs: Need::Flag(flag), ..self }
    }

    pub(super) const fn needs_target_temperature(self) -> Self {
        Self { needs: Need::TargetTemperature, ..self }
    }

    pub(super) const fn paced(self) -> Self {
        Self { paced: true, ..self }
    }

    /// Decides what a `set` asks for.
    ///
    /// # Errors
    ///
    /// Says why it is rejected: a wrong value with the right ones, or a heater without the ability.
    pub fn plan(&self, payload: &Payload, known: Known<'_>) -> Result<Plan, String> {
        let plain = |wire, param| Plan::Control(Control::Plain(wire, param));
        let plan = match self.takes {
            Takes::Switch { on, param, which, .. } if which(payload, known)? => plain(on, param(payload, known)?),
            Takes::Switch { off, .. } => plain(off, Vec::new()),
            Takes::Press(wire, param) => payload.press().map(|()| plain(wire, param.to_vec()))?,
            Takes::Value(wire, param) => plain(wire, param(payload, known)?),
            Takes::Other(_, read) => Plan::Control(read(payload, known)?),
            Takes::Edit(read) => Plan::Edit(read(payload, known)?),
        };
        known.require(self.needs)?;
        Ok(plan)
    }

    /// Returns whether it changes what is there, so that a later one does not take its place.
    pub fn is_edit(&self) -> bool {
        matches!(self.takes, Takes::Edit(_))
    }

    /// Returns whether it is a switch of which no field of a status says what it is.
    pub fn is_unseen_switch(&self) -> bool {
        matches!(self.takes, Takes::Switch { on, off, .. } if on.shown.is_empty() && off.shown.is_empty())
    }

    /// Returns how it can stand in a request; the schedules and the firmware have forms of their own.
    pub fn wires(&self) -> Vec<ControlCode> {
        match self.takes {
            Takes::Switch { on, off, .. } => vec![on, off],
            Takes::Press(wire, _) | Takes::Value(wire, _) => vec![wire],
            Takes::Other(wires, _) => wires.to_vec(),
            Takes::Edit(_) => Vec::new(),
        }
    }
}

/// Reads `ON` or `OFF`.
pub(super) fn on_or_off(payload: &Payload, _: Known<'_>) -> Result<bool, String> {
    payload.switch()
}

/// Takes no parameters.
pub(super) fn nothing(_: &Payload, _: Known<'_>) -> Result<Vec<i64>, String> {
    Ok(Vec::new())
}

impl Known<'_> {
    /// Returns the target temperatures that the heater takes.
    pub(super) fn limits(&self) -> Limits {
        let told = self.capabilities.temperature_limits();
        let half_celsius = match (told, self.max_temperature) {
            (Some((low, high)), Some(max)) => Some((low, high.min(max))),
            (None, Some(max)) => Some((0, max)),
            (told, None) => told,
        };
        Limits { units: self.units, half_celsius }
    }

    /// Refuses what the heater says that it does not have.
    pub(super) fn require(&self, need: Need) -> Result<(), String> {
        match need {
            Need::Flag(flag) if self.capabilities.fitted(flag) == Some(false) => {
                Err(format!("the heater does not have this ({flag})"))
            }
            Need::TargetTemperature if self.capabilities.sets_temperature() == Some(false) => {
                Err("the heater's temperature cannot be set (dhwTemperatureSettingUse)".to_owned())
            }
            Need::Nothing | Need::Flag(_) | Need::TargetTemperature => Ok(()),
        }
    }
}
