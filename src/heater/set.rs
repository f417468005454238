//! What a `set` asks for: from its name and payload to a control that the heater takes (contract, section 6).

use std::fmt::Display;

use serde_json::Value;

use crate::navilink::capabilities::Capabilities;
use crate::navilink::control::{Control, OPERATION_MODES, RECIRCULATION_MODES};
use crate::navilink::encoding::{Object, whole};
use crate::navilink::schedule_write::{self, Limits, code_of, names};
use crate::units::UnitSystem;

/// Every name.
pub const NAMES: [&str; 21] = [
    "power",
    "mode",
    "temperature",
    "vacation_days",
    "anti_legionella",
    "demand_response",
    "tou",
    "intelligent_scheduling",
    "recirculation_mode",
    "recirculation_hot_button",
    "air_filter_reset",
    "condenser_fault_reset",
    "water_program",
    "air_filter_life",
    "reservations",
    "reservation_add",
    "reservation_update",
    "reservation_delete",
    "tou_schedule",
    "recirculation_schedule",
    "firmware_commit",
];

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
}

/// A payload: a plain value, or an object with `value` or named members, and an `id`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Payload {
    /// What comes back in the result.
    pub id: Option<Value>,
    value: Option<Value>,
    members: Object,
}

impl Payload {
    /// Reads a payload; what is no JSON is a plain text.
    ///
    /// # Errors
    ///
    /// When it is no text at all.
    pub fn read(payload: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(payload).map_err(|_| "the payload is not UTF-8")?.trim();
        Ok(match serde_json::from_str(text) {
            Ok(Value::Object(mut members)) => {
                let id = members.remove("id");
                Self { id, value: members.remove("value"), members }
            }
            Ok(value) => Self { id: None, value: Some(value), members: Object::new() },
            Err(_) if text.starts_with(['{', '[']) => return Err("the payload is not JSON".to_owned()),
            Err(_) => Self { id: None, value: Some(text.into()), members: Object::new() },
        })
    }

    fn text(&self) -> Option<&str> {
        self.value.as_ref()?.as_str()
    }

    fn switch(&self) -> Result<bool, String> {
        match (&self.value, self.text().map(str::to_ascii_uppercase).as_deref()) {
            (Some(Value::Bool(on)), _) => Ok(*on),
            (_, Some("ON")) => Ok(true),
            (_, Some("OFF")) => Ok(false),
            _ => Err(format!("ON or OFF is expected{}", self.instead())),
        }
    }

    fn press(&self) -> Result<(), String> {
        match self.text() {
            Some(text) if text.eq_ignore_ascii_case("press") => Ok(()),
            _ => Err(format!("PRESS is expected{}", self.instead())),
        }
    }

    fn number(&self) -> Result<f64, String> {
        let number = self.value.as_ref().and_then(finite);
        number.ok_or_else(|| format!("a number is expected{}", self.instead()))
    }

    fn whole(&self, low: i64, high: i64) -> Result<i64, String> {
        self.number()
            .ok()
            .and_then(|number| fitting(number, low, high))
            .ok_or_else(|| format!("a whole number from {low} to {high} is expected{}", self.instead()))
    }

    fn member(&self, name: &str, low: i64, high: i64) -> Result<Option<i64>, String> {
        let Some(value) = self.members.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
        let fits = finite(value).and_then(|number| fitting(number, low, high));
        let expected = || format!("`{name}` must be a whole number from {low} to {high}, not {value}");
        fits.map(Some).ok_or_else(expected)
    }

    fn instead(&self) -> String {
        self.value.as_ref().map_or(String::new(), |value| format!(", not {}", shortened(value)))
    }
}

/// Reads a number, also from a string.
fn finite(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    number.filter(|number: &f64| number.is_finite())
}

fn fitting(number: f64, low: i64, high: i64) -> Option<i64> {
    let fits = number.fract() == 0.0 && (low as f64..=high as f64).contains(&number);
    fits.then_some(number as i64)
}

fn shortened(value: &impl Display) -> String {
    value.to_string().chars().take(60).collect()
}

/// Decides what a `set` asks for.
///
/// # Errors
///
/// Says why it is rejected: a wrong value with the right ones, or a heater without the ability.
pub fn plan(name: &str, payload: &Payload, known: Known<'_>) -> Result<Plan, String> {
    let control = match name {
        "power" => known.fitted("powerUse", Control::Power(payload.switch()?))?,
        "mode" => mode(payload, known)?,
        "temperature" => temperature(payload, known)?,
        "vacation_days" => known.fitted("holidayUse", Control::VacationDays(payload.whole(1, 99)?))?,
        "anti_legionella" => known.fitted("antiLegionellaSettingUse", anti_legionella(payload, known)?)?,
        "demand_response" => known.fitted("drSettingUse", Control::DemandResponse(payload.switch()?))?,
        "tou" => known.fitted("programReservationUse", Control::Tou(payload.switch()?))?,
        "intelligent_scheduling" => Control::IntelligentScheduling(payload.switch()?),
        "recirculation_mode" => {
            let mode = payload.text().and_then(|mode| code_of(&RECIRCULATION_MODES, mode));
            let expected = || format!("one of {} is expected{}", names(&RECIRCULATION_MODES), payload.instead());
            known.fitted("recirculationUse", Control::RecirculationMode(mode.ok_or_else(expected)?))?
        }
        "recirculation_hot_button" => {
            payload.press()?;
            known.fitted("recirculationUse", Control::HotButton)?
        }
        "air_filter_reset" => payload.press().map(|()| Control::AirFilterReset)?,
        "condenser_fault_reset" => payload.press().map(|()| Control::CondenserFaultReset)?,
        "water_program" => {
            payload.press()?;
            known.fitted("programReservationUse", Control::WaterProgram)?
        }
        "air_filter_life" => match payload.whole(0, 10_000) {
            Ok(hours) if hours == 0 || (hours >= 1000 && hours % 500 == 0) => Control::AirFilterLife(hours),
            _ => return Err(format!("0, or 1000 to 10000 in steps of 500, is expected{}", payload.instead())),
        },
        "reservations" => Control::Reservations(schedule_write::reservations(&payload.members, known.limits())?),
        "reservation_add" | "reservation_update" | "reservation_delete" => return edit(name, payload, known),
        "tou_schedule" => {
            let schedule = schedule_write::tou(&payload.members)?;
            let serial =
                known.capabilities.controller_serial().ok_or("the heater has not told its serial number yet")?;
            let control = Control::TouSchedule { controller_serial: serial.to_owned(), schedule };
            known.fitted("programReservationUse", control)?
        }
        "recirculation_schedule" => {
            let schedule = schedule_write::recirculation(&payload.members)?;
            known.fitted("recircReservationUse", Control::Recirculation(schedule))?
        }
        "firmware_commit" => {
            if !known.allow_firmware_commit {
                return Err("firmware is committed only when commands.allow_firmware_commit is true".to_owned());
            }
            let member = |name| payload.member(name, 0, i64::from(u32::MAX))?.ok_or(format!("`{name}` is missing"));
            Control::CommitFirmware { code: member("sw_code")?, version: member("sw_version")? }
        }
        _ => return Err(format!("there is no such setting; there are: {}", NAMES.join(", "))),
    };
    Ok(Plan::Control(control))
}

fn mode(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    let expected =
        || format!("one of {}, eco, off, vacation is expected{}", names(&OPERATION_MODES), payload.instead());
    let mode = payload.text().ok_or_else(expected)?;
    let name = match mode {
        "off" => return known.fitted("powerUse", Control::Power(false)),
        "vacation" => {
            let days = payload.member("days", 1, 99)?.ok_or("a vacation needs `days`, a whole number from 1 to 99")?;
            return known.fitted("holidayUse", known.fitted("dhwUse", Control::Vacation(days))?);
        }
        "eco" => "energy_saver",
        _ => mode,
    };
    known.fitted("dhwUse", Control::Mode(code_of(&OPERATION_MODES, name).ok_or_else(expected)?))
}

fn temperature(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    let half_degrees = known.limits().half_celsius(payload.number()?)?;
    match known.capabilities.sets_temperature() {
        Some(false) => Err("the heater's temperature cannot be set (dhwTemperatureSettingUse)".to_owned()),
        Some(true) | None => Ok(Control::Temperature(half_degrees)),
    }
}

/// Switching it on keeps the period that the heater has.
fn anti_legionella(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    if !payload.switch()? {
        return Ok(Control::AntiLegionella(None));
    }
    let kept =
        || known.status.and_then(|status| number(status, "antiLegionellaPeriod")).filter(|n| (1..=30).contains(n));
    let period = payload.member("period_days", 1, 30)?.or_else(kept);
    period.map(|period| Control::AntiLegionella(Some(period))).ok_or_else(|| {
        "the heater has not told its period yet; `period_days`, a whole number from 1 to 30, is needed".to_owned()
    })
}

fn edit(name: &str, payload: &Payload, known: Known<'_>) -> Result<Plan, String> {
    let mut entry = payload.members.clone();
    let index = match payload.member("index", 1, 1000)? {
        None if name == "reservation_delete" && payload.value.is_some() => Some(payload.whole(1, 1000)?),
        index => index,
    };
    entry.remove("index");
    let index = || {
        let index = index.and_then(|index| usize::try_from(index).ok());
        index.ok_or("`index` is missing: the number of the reservation, from 1")
    };
    Ok(Plan::Edit(match name {
        "reservation_add" => Edit::Add(schedule_write::reservation(&entry, known.limits())?),
        "reservation_update" => Edit::Update(index()?, schedule_write::reservation(&entry, known.limits())?),
        _ => Edit::Delete(index()?),
    }))
}

impl Known<'_> {
    fn limits(&self) -> Limits {
        Limits { units: self.units, half_celsius: self.capabilities.temperature_limits() }
    }

    /// Refuses what the heater says that it does not have.
    fn fitted<T>(&self, flag: &str, control: T) -> Result<T, String> {
        match self.capabilities.fitted(flag) {
            Some(false) => Err(format!("the heater does not have this ({flag})")),
            Some(true) | None => Ok(control),
        }
    }
}

fn number(object: &Object, key: &str) -> Option<i64> {
    object.get(key).and_then(|value| whole(value).ok())
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
