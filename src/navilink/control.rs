//! Controls as they are sent (protocol reference, section 4, "Controls").

use serde_json::{Value, json};

use super::devices::Device;
use super::encoding::{Object, whole};
use super::request::envelope;
use super::session::Identity;
use super::{command, topics};
use crate::model::Message;

/// How a control stands in a request, and what shows that it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlCode {
    /// `command`.
    pub code: u32,
    /// `mode`.
    pub mode: &'static str,
    /// What a status says of it when it is in force, all of it; nothing when no field is known that does.
    pub shown: &'static [Shown],
}

/// Writes a [`ControlCode`].
pub const fn wire(code: u32, mode: &'static str, shown: &'static [Shown]) -> ControlCode {
    ControlCode { code, mode, shown }
}

/// What a field of a status, by its name on the wire, has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// This number.
    Is(&'static str, i64),
    /// Another number.
    IsNot(&'static str, i64),
    /// The parameter at this index, times this; anything when there is no such parameter.
    Param(&'static str, usize, i64),
}

impl Shown {
    /// Returns the field.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Is(field, _) | Self::IsNot(field, _) | Self::Param(field, ..) => field,
        }
    }

    fn holds(&self, param: &[i64], status: &Object) -> bool {
        let told = status.get(self.field()).and_then(|value| whole(value).ok());
        match *self {
            Self::Is(_, number) => told == Some(number),
            Self::IsNot(_, number) => told.is_some_and(|told| told != number),
            Self::Param(_, index, times) => param.get(index).is_none_or(|param| told == Some(param * times)),
        }
    }
}

/// What a heater is told. Ranges are the caller's.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// A control with its parameters.
    Plain(ControlCode, Vec<i64>),
    /// The reservations, all of them.
    Reservations(Schedule),
    /// The recirculation schedule, all of it.
    Recirculation(Schedule),
    /// The time-of-use schedule, all of it.
    TouSchedule {
        /// `controllerSerialNumber`.
        controller_serial: String,
        /// The periods.
        schedule: Schedule,
    },
    /// Installs firmware that was downloaded.
    CommitFirmware {
        /// `swCode`.
        code: i64,
        /// `swVersion`.
        version: i64,
    },
}

/// A schedule as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// `reservationUse`.
    pub enabled: bool,
    /// `reservation`.
    pub entries: Vec<Object>,
}

impl Schedule {
    /// Returns whether an answer holds the same, in whatever order.
    pub fn is_held_by(&self, answer: &Object) -> bool {
        let held = super::schedule::raw_entries(answer);
        let enabled = answer.get("reservationUse").and_then(|value| whole(value).ok()) == Some(flag(self.enabled));
        let same = |one: &Object, other: &Object| {
            one.iter().all(|(key, value)| other.get(key).and_then(|v| whole(v).ok()) == whole(value).ok())
        };
        let mut missing: Vec<&Object> = self.entries.iter().collect();
        for entry in &held {
            let Some(at) = missing.iter().position(|wanted| same(wanted, entry)) else { return false };
            missing.swap_remove(at);
        }
        enabled && missing.is_empty()
    }

    fn insert_into(&self, request: &mut Value) {
        request["reservationUse"] = flag(self.enabled).into();
        request["reservation"] = json!(self.entries);
    }
}

fn flag(on: bool) -> i64 {
    if on { 2 } else { 1 }
}

impl Control {
    /// Returns the message that tells `heater`.
    pub fn message(&self, heater: &Device, who: &Identity) -> Message {
        let (code, suffix, response_topic) = match self {
            Self::Reservations(_) => {
                (command::WRITE_RESERVATIONS, "ctrl/rsv/rd", topics::client_answer(heater, &who.client, "rsv/rd"))
            }
            Self::TouSchedule { .. } => {
                (command::WRITE_TOU, "ctrl/tou/rd", topics::client_answer(heater, &who.client, "tou/rd"))
            }
            Self::Recirculation(_) => (
                command::WRITE_RECIRCULATION,
                "ctrl/recirc-rsv/rd",
                topics::client_answer(heater, &who.client, "recirc-rsv/rd"),
            ),
            Self::CommitFirmware { .. } => (
                command::COMMIT_FIRMWARE,
                "ctrl/commit-ota",
                topics::home_answer(heater, &who.client, topics::FIRMWARE_COMMITTED),
            ),
            Self::Plain(wire, _) => (wire.code, "ctrl", topics::default_answer(heater, &who.client)),
        };
        let mut request = json!({
            "command": code,
            "deviceType": heater.device_type,
            "macAddress": heater.mac.as_cloud(),
            "additionalValue": heater.additional_value,
        });
        match self {
            Self::Reservations(schedule) | Self::Recirculation(schedule) => schedule.insert_into(&mut request),
            Self::TouSchedule { controller_serial, schedule } => {
                request["controllerSerialNumber"] = controller_serial.as_str().into();
                schedule.insert_into(&mut request);
            }
            Self::CommitFirmware { code, version } => {
                request["commitOta"] = json!({ "swCode": code, "swVersion": version });
            }
            Self::Plain(wire, param) => {
                request["mode"] = wire.mode.into();
                request["param"] = json!(param);
                request["paramStr"] = "".into();
            }
        }
        envelope(heater, who, suffix, &response_topic, request)
    }

    /// Returns whether a status, as the heater sent it, shows that the control is in force; `None` when no field is
    /// known that does (protocol reference, section 4).
    pub fn is_shown_by(&self, status: &Object) -> Option<bool> {
        match self {
            Self::Plain(wire, param) if !wire.shown.is_empty() => {
                Some(wire.shown.iter().all(|shown| shown.holds(param, status)))
            }
            _ => None,
        }
    }

    /// Returns whether it is acknowledged by a status; the others have answers of their own.
    pub fn is_acknowledged_by_status(&self) -> bool {
        matches!(self, Self::Plain(..))
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
pub(super) mod tests;
