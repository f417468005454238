//! The controls: what the heater can be told (protocol reference, section 4, "Controls"; contract, section 6).

use super::super::control::{ControlRow, Edit, Known, Need, Takes, nothing, on_or_off};
use super::super::payload::Payload;
use crate::navilink::control::Shown::{Is, IsNot, Param};
use crate::navilink::control::{Control, ControlCode, wire};
use crate::navilink::encoding::{Object, whole};
use crate::navilink::schedule_write::{self, OPERATION_MODES, code_of, names};

/// `RecirculationMode`, as far as it can be set.
const RECIRCULATION_MODES: [(&str, i64); 4] = [("always_on", 1), ("weekly", 2), ("hot_button_only", 3), ("off", 4)];

/// `dhwOperationSetting` beyond [`OPERATION_MODES`].
const VACATION: i64 = 5;
const OFF: i64 = 6;
/// `errorCode` of a condensate overflow (protocol reference, section 8).
const CONDENSATE_OVERFLOW: i64 = 990;
/// The air filter's interval is written in steps of so many hours.
const FILTER_STEP: i64 = 500;

const POWER_OFF: ControlCode = wire(33_554_433, "power-off", &[Is("dhwOperationSetting", OFF)]);
const MODE: ControlCode =
    wire(33_554_437, "dhw-mode", &[Param("dhwOperationSetting", 0, 1), Param("vacationDaySetting", 1, 1)]);

/// Every control.
pub const CONTROLS: &[ControlRow] = &[
    ControlRow::new(
        "power",
        Takes::Switch {
            on: wire(33_554_434, "power-on", &[IsNot("dhwOperationSetting", OFF)]),
            off: POWER_OFF,
            param: nothing,
            which: on_or_off,
        },
    )
    .needs("powerUse")
    .paced(),
    ControlRow::new("mode", Takes::Other(&[MODE], mode)).paced(),
    ControlRow::new(
        "temperature",
        Takes::Value(wire(33_554_464, "dhw-temperature", &[Param("dhwTemperatureSetting", 0, 1)]), |payload, known| {
            Ok(vec![known.limits().half_celsius(payload.number()?)?])
        }),
    )
    .needs_target_temperature()
    .paced(),
    ControlRow::new(
        "vacation_days",
        Takes::Value(wire(33_554_466, "goout-day", &[Param("vacationDaySetting", 0, 1)]), |payload, _| {
            Ok(vec![payload.whole(1, 99)?])
        }),
    )
    .needs("holidayUse"),
    ControlRow::new(
        "anti_legionella",
        Takes::Switch {
            on: wire(33_554_472, "anti-leg-on", &[Is("antiLegionellaUse", 2), Param("antiLegionellaPeriod", 0, 1)]),
            off: wire(33_554_471, "anti-leg-off", &[Is("antiLegionellaUse", 1)]),
            param: anti_legionella_period,
            which: anti_legionella,
        },
    )
    .needs("antiLegionellaSettingUse"),
    ControlRow::new(
        "demand_response",
        Takes::Switch {
            on: wire(33_554_470, "dr-on", &[]),
            off: wire(33_554_469, "dr-off", &[]),
            param: nothing,
            which: on_or_off,
        },
    )
    .needs("drSettingUse"),
    ControlRow::new(
        "tou",
        Takes::Switch {
            on: wire(33_554_476, "tou-on", &[IsNot("touStatus", 0)]),
            off: wire(33_554_475, "tou-off", &[Is("touStatus", 0)]),
            param: nothing,
            which: on_or_off,
        },
    )
    .needs("programReservationUse"),
    ControlRow::new(
        "intelligent_scheduling",
        Takes::Switch {
            on: wire(33_554_468, "intelligent-on", &[]),
            off: wire(33_554_467, "intelligent-off", &[]),
            param: nothing,
            which: on_or_off,
        },
    ),
    ControlRow::new(
        "recirculation_mode",
        Takes::Value(wire(33_554_445, "recirc-mode", &[Param("recircOperationMode", 0, 1)]), |payload, _| {
            let mode = payload.text().and_then(|mode| code_of(&RECIRCULATION_MODES, mode));
            let expected = || format!("one of {} is expected{}", names(&RECIRCULATION_MODES), payload.instead());
            Ok(vec![mode.ok_or_else(expected)?])
        }),
    )
    .needs("recirculationUse"),
    ControlRow::new(
        "recirculation_hot_button",
        Takes::Press(wire(33_554_444, "recirc-hotbtn", &[Is("recircOperationBusy", 2)]), &[1]),
    )
    .needs("recirculationUse"),
    ControlRow::new(
        "air_filter_reset",
        Takes::Press(wire(33_554_473, "air-filter-reset", &[Is("cumulatedOpTimeEvaFan", 0)]), &[]),
    ),
    ControlRow::new(
        "condenser_fault_reset",
        Takes::Press(wire(33_554_463, "cond-fault-reset", &[IsNot("errorCode", CONDENSATE_OVERFLOW)]), &[]),
    ),
    ControlRow::new(
        "water_program",
        Takes::Press(wire(33_554_441, "reservation-mode", &[Is("programReservationUse", 2)]), &[]),
    )
    .needs("programReservationUse"),
    ControlRow::new(
        "air_filter_life",
        Takes::Value(
            wire(33_554_474, "air-filter-life", &[Param("airFilterAlarmPeriod", 0, FILTER_STEP)]),
            air_filter_life,
        ),
    ),
    ControlRow::new(
        "reservations",
        Takes::Other(&[], |payload, known| {
            Ok(Control::Reservations(schedule_write::reservations(&payload.members, known.limits())?))
        }),
    ),
    ControlRow::new(
        "reservation_add",
        Takes::Edit(|payload, known| {
            let (_, entry) = numbered(payload)?;
            Ok(Edit::Add(schedule_write::reservation(&entry, known.limits())?))
        }),
    ),
    ControlRow::new(
        "reservation_update",
        Takes::Edit(|payload, known| {
            let (index, entry) = numbered(payload)?;
            Ok(Edit::Update(place(index)?, schedule_write::reservation(&entry, known.limits())?))
        }),
    ),
    ControlRow::new(
        "reservation_delete",
        Takes::Edit(|payload, _| {
            Ok(Edit::Delete(place(match numbered(payload)? {
                (None, _) if payload.value.is_some() => Some(payload.whole(1, 1000)?),
                (index, _) => index,
            })?))
        }),
    ),
    ControlRow::new("tou_schedule", Takes::Other(&[], tou_schedule)).needs("programReservationUse"),
    ControlRow::new(
        "recirculation_schedule",
        Takes::Other(&[], |payload, _| Ok(Control::Recirculation(schedule_write::recirculation(&payload.members)?))),
    )
    .needs("recircReservationUse"),
    ControlRow::new("firmware_commit", Takes::Other(&[], firmware_commit)),
];

fn mode(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    let expected =
        || format!("one of {}, eco, off, vacation is expected{}", names(&OPERATION_MODES), payload.instead());
    let mode = payload.text().ok_or_else(expected)?;
    let name = match mode {
        "off" => {
            known.require(Need::Flag("powerUse"))?;
            return Ok(Control::Plain(POWER_OFF, Vec::new()));
        }
        "vacation" => {
            let days = payload.member("days", 1, 99)?.ok_or("a vacation needs `days`, a whole number from 1 to 99")?;
            known.require(Need::Flag("dhwUse"))?;
            known.require(Need::Flag("holidayUse"))?;
            return Ok(Control::Plain(MODE, vec![VACATION, days]));
        }
        "eco" => "energy_saver",
        _ => mode,
    };
    let mode = code_of(&OPERATION_MODES, name).ok_or_else(expected)?;
    known.require(Need::Flag("dhwUse"))?;
    Ok(Control::Plain(MODE, vec![mode]))
}

/// A period alone does not turn the disinfection on.
fn anti_legionella(payload: &Payload, known: Known<'_>) -> Result<bool, String> {
    if payload.value.is_some() || !payload.members.contains_key("period_days") {
        return payload.switch();
    }
    let told = known.status.and_then(|status| whole(status.get("antiLegionellaUse")?).ok());
    match told {
        Some(2) => Ok(true),
        Some(1) => {
            Err(r#"the disinfection is off; turn it on with its period: {"value": "ON", "period_days": 14}"#.to_owned())
        }
        _ => Err("the heater has not told yet whether the disinfection is on".to_owned()),
    }
}

/// Switching it on keeps the period that the heater has.
fn anti_legionella_period(payload: &Payload, known: Known<'_>) -> Result<Vec<i64>, String> {
    let kept = || {
        let told = known.status?.get("antiLegionellaPeriod")?;
        whole(told).ok().filter(|days| (1..=30).contains(days))
    };
    let period = payload.member("period_days", 1, 30)?.or_else(kept);
    period.map(|period| vec![period]).ok_or_else(|| {
        "the heater has not told its period yet; `period_days`, a whole number from 1 to 30, is needed".to_owned()
    })
}

fn air_filter_life(payload: &Payload, _: Known<'_>) -> Result<Vec<i64>, String> {
    match payload.whole(0, 10_000) {
        Ok(hours) if hours == 0 || (hours >= 1000 && hours % FILTER_STEP == 0) => Ok(vec![hours / FILTER_STEP]),
        _ => Err(format!("0, or 1000 to 10000 in steps of 500, is expected{}", payload.instead())),
    }
}

/// Reads the number of a reservation and the entry beside it.
fn numbered(payload: &Payload) -> Result<(Option<i64>, Object), String> {
    let index = payload.member("index", 1, 1000)?;
    let mut entry = payload.members.clone();
    entry.remove("index");
    Ok((index, entry))
}

fn place(index: Option<i64>) -> Result<usize, String> {
    let index = index.and_then(|index| usize::try_from(index).ok());
    index.ok_or_else(|| "`index` is missing: the number of the reservation, from 1".to_owned())
}

fn tou_schedule(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    let schedule = schedule_write::tou(&payload.members)?;
    let serial = known.capabilities.controller_serial().ok_or("the heater has not told its serial number yet")?;
    Ok(Control::TouSchedule { controller_serial: serial.to_owned(), schedule })
}

fn firmware_commit(payload: &Payload, known: Known<'_>) -> Result<Control, String> {
    if !known.allow_firmware_commit {
        return Err("firmware is committed only when commands.allow_firmware_commit is true".to_owned());
    }
    if payload.text() == Some("INSTALL") {
        let (code, version) = known.pending_firmware.ok_or("the heater has no newer firmware downloaded")?;
        return Ok(Control::CommitFirmware { code, version });
    }
    let member = |name| payload.member(name, 0, i64::from(u32::MAX))?.ok_or(format!("`{name}` is missing"));
    Ok(Control::CommitFirmware { code: member("sw_code")?, version: member("sw_version")? })
}

#[cfg(test)]
#[path = "controls_tests.rs"]
mod tests;
