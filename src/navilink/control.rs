//! The controls: what a heater can be told (protocol reference, section 4, "Controls").

use serde_json::{Value, json};

use super::devices::Device;
use super::encoding::{Object, whole};
use super::request::envelope;
use super::session::Identity;
use super::{command, topics};
use crate::model::Message;

/// `DhwOperationSetting`, as far as it can be set.
pub const OPERATION_MODES: [(&str, i64); 4] =
    [("heat_pump", 1), ("electric", 2), ("energy_saver", 3), ("high_demand", 4)];
const VACATION: i64 = 5;
const POWER_OFF: i64 = 6;
/// `errorCode` of a condensate overflow (protocol reference, section 8).
const CONDENSATE_OVERFLOW: i64 = 990;

/// `RecirculationMode`, as far as it can be set.
pub const RECIRCULATION_MODES: [(&str, i64); 4] = [("always_on", 1), ("weekly", 2), ("hot_button_only", 3), ("off", 4)];

/// What a heater is told. Ranges are the caller's.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// On or off.
    Power(bool),
    /// One of [`OPERATION_MODES`].
    Mode(i64),
    /// Vacation of so many days.
    Vacation(i64),
    /// The target temperature in half degrees Celsius.
    Temperature(i64),
    /// The length of the vacation in days.
    VacationDays(i64),
    /// Anti-Legionella every so many days, or off.
    AntiLegionella(Option<i64>),
    /// Demand response.
    DemandResponse(bool),
    /// Intelligent scheduling.
    IntelligentScheduling(bool),
    /// The time-of-use schedule.
    Tou(bool),
    /// One of [`RECIRCULATION_MODES`].
    RecirculationMode(i64),
    /// The recirculation's hot button.
    HotButton,
    /// The air filter was cleaned.
    AirFilterReset,
    /// The air filter's interval in hours, a multiple of 500; 0 is off.
    AirFilterLife(i64),
    /// The condenser's fault is dealt with.
    CondenserFaultReset,
    /// The water program.
    WaterProgram,
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
            _ => (self.code(), "ctrl", topics::default_answer(heater, &who.client)),
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
            _ => {
                let (mode, param) = self.mode_and_param();
                request["mode"] = mode.into();
                request["param"] = param.into();
                request["paramStr"] = "".into();
            }
        }
        envelope(heater, who, suffix, &response_topic, request)
    }

    fn code(&self) -> u32 {
        match self {
            Self::Power(true) => command::POWER_ON,
            Self::Power(false) => command::POWER_OFF,
            Self::Mode(_) | Self::Vacation(_) => command::OPERATION_MODE,
            Self::Temperature(_) => command::TARGET_TEMPERATURE,
            Self::VacationDays(_) => command::VACATION_DAYS,
            Self::AntiLegionella(Some(_)) => command::ANTI_LEGIONELLA_ON,
            Self::AntiLegionella(None) => command::ANTI_LEGIONELLA_OFF,
            Self::DemandResponse(true) => command::DEMAND_RESPONSE_ON,
            Self::DemandResponse(false) => command::DEMAND_RESPONSE_OFF,
            Self::IntelligentScheduling(true) => command::INTELLIGENT_ON,
            Self::IntelligentScheduling(false) => command::INTELLIGENT_OFF,
            Self::Tou(true) => command::TOU_ON,
            Self::Tou(false) => command::TOU_OFF,
            Self::RecirculationMode(_) => command::RECIRCULATION_MODE,
            Self::HotButton => command::RECIRCULATION_HOT_BUTTON,
            Self::AirFilterReset => command::AIR_FILTER_RESET,
            Self::AirFilterLife(_) => command::AIR_FILTER_LIFE,
            Self::CondenserFaultReset => command::CONDENSER_FAULT_RESET,
            Self::WaterProgram => command::WATER_PROGRAM,
            Self::Reservations(_) => command::WRITE_RESERVATIONS,
            Self::Recirculation(_) => command::WRITE_RECIRCULATION,
            Self::TouSchedule { .. } => command::WRITE_TOU,
            Self::CommitFirmware { .. } => command::COMMIT_FIRMWARE,
        }
    }

    fn mode_and_param(&self) -> (&'static str, Vec<i64>) {
        match self {
            Self::Power(true) => ("power-on", vec![]),
            Self::Power(false) => ("power-off", vec![]),
            Self::Mode(mode) => ("dhw-mode", vec![*mode]),
            Self::Vacation(days) => ("dhw-mode", vec![VACATION, *days]),
            Self::Temperature(half_degrees) => ("dhw-temperature", vec![*half_degrees]),
            Self::VacationDays(days) => ("goout-day", vec![*days]),
            Self::AntiLegionella(Some(period)) => ("anti-leg-on", vec![*period]),
            Self::AntiLegionella(None) => ("anti-leg-off", vec![]),
            Self::DemandResponse(true) => ("dr-on", vec![]),
            Self::DemandResponse(false) => ("dr-off", vec![]),
            Self::IntelligentScheduling(true) => ("intelligent-on", vec![]),
            Self::IntelligentScheduling(false) => ("intelligent-off", vec![]),
            Self::Tou(true) => ("tou-on", vec![]),
            Self::Tou(false) => ("tou-off", vec![]),
            Self::RecirculationMode(mode) => ("recirc-mode", vec![*mode]),
            Self::HotButton => ("recirc-hotbtn", vec![1]),
            Self::AirFilterReset => ("air-filter-reset", vec![]),
            Self::AirFilterLife(hours) => ("air-filter-life", vec![hours / 500]),
            Self::CondenserFaultReset => ("cond-fault-reset", vec![]),
            Self::WaterProgram => ("reservation-mode", vec![]),
            // Written without `mode` and `param`.
            Self::Reservations(_) | Self::Recirculation(_) | Self::TouSchedule { .. } | Self::CommitFirmware { .. } => {
                ("", vec![])
            }
        }
    }

    /// Returns whether a status, as the heater sent it, shows that the control is in force; `None` when no field is
    /// known that does (protocol reference, section 4).
    pub fn is_shown_by(&self, status: &Object) -> Option<bool> {
        let read = |key: &str| status.get(key).and_then(|value| whole(value).ok());
        let operation = read("dhwOperationSetting");
        Some(match self {
            Self::Power(true) => operation.is_some_and(|mode| mode != POWER_OFF),
            Self::Power(false) => operation == Some(POWER_OFF),
            Self::Mode(mode) => operation == Some(*mode),
            Self::Vacation(days) => operation == Some(VACATION) && read("vacationDaySetting") == Some(*days),
            Self::Temperature(half_degrees) => read("dhwTemperatureSetting") == Some(*half_degrees),
            Self::VacationDays(days) => read("vacationDaySetting") == Some(*days),
            Self::AntiLegionella(Some(period)) => {
                read("antiLegionellaUse") == Some(2) && read("antiLegionellaPeriod") == Some(*period)
            }
            Self::AntiLegionella(None) => read("antiLegionellaUse") == Some(1),
            Self::Tou(on) => read("touStatus").map(|status| status != 0) == Some(*on),
            Self::RecirculationMode(mode) => read("recircOperationMode") == Some(*mode),
            Self::HotButton => read("recircOperationBusy") == Some(2),
            Self::AirFilterReset => read("cumulatedOpTimeEvaFan") == Some(0),
            Self::AirFilterLife(hours) => read("airFilterAlarmPeriod") == Some(*hours),
            Self::CondenserFaultReset => read("errorCode").is_some_and(|code| code != CONDENSATE_OVERFLOW),
            Self::WaterProgram => read("programReservationUse") == Some(2),
            Self::DemandResponse(_)
            | Self::IntelligentScheduling(_)
            | Self::Reservations(_)
            | Self::Recirculation(_)
            | Self::TouSchedule { .. }
            | Self::CommitFirmware { .. } => return None,
        })
    }

    /// Returns whether it is acknowledged by a status; the others have answers of their own.
    pub fn is_acknowledged_by_status(&self) -> bool {
        !matches!(
            self,
            Self::Reservations(_) | Self::Recirculation(_) | Self::TouSchedule { .. } | Self::CommitFirmware { .. }
        )
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
pub(super) mod tests;
