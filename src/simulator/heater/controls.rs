//! The controls and the schedules that are written (protocol reference, section 4).

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::answers::HeaterRequest;
use super::settings::{HIGHEST, LOWEST, Mode, Slot, StoredSchedule};
use super::{HeaterFault, SimulatedHeater, calendar};

const RESERVATIONS: i64 = 16_777_226;
const TOU: i64 = 33_554_439;
const RECIRCULATION: i64 = 33_554_440;
const COMMIT_FIRMWARE: i64 = 33_554_442;
/// Codes of which only one a second is obeyed: power, mode, temperature, length of the vacation.
const DHW_CONTROLS: [i64; 5] = [33_554_433, 33_554_434, 33_554_437, 33_554_464, 33_554_466];
/// The time between two of them.
const PAUSE: Duration = Duration::from_secs(1);
/// The error that `cond-fault-reset` clears.
const CONDENSATE_OVERFLOW: i64 = 990;
/// How long the hot button keeps the recirculation going, s.
const HOT_BUTTON: f64 = 300.0;
const MOST_RECIRCULATIONS: usize = 20;

/// A row of the table of controls: code, `mode`, the `feature` key it needs (or none), and what it does.
///
/// The action returns `None`, and changes nothing, when `param` is not what it takes.
struct ControlAction(i64, &'static str, &'static str, fn(&mut SimulatedHeater, &[i64]) -> Option<()>);

const CONTROLS: [ControlAction; 19] = [
    ControlAction(33_554_433, "power-off", "powerUse", |h, p| without(p, || h.settings.powered = false)),
    ControlAction(33_554_434, "power-on", "powerUse", |h, p| without(p, || h.settings.powered = true)),
    ControlAction(33_554_437, "dhw-mode", "dhwUse", set_mode),
    ControlAction(33_554_464, "dhw-temperature", "dhwTemperatureSettingUse", |h, p| {
        h.settings.set_point = one_within(p, LOWEST, HIGHEST)?;
        Some(())
    }),
    ControlAction(33_554_466, "goout-day", "holidayUse", |h, p| {
        h.settings.vacation_days = one_within(p, 1, 99)?;
        Some(())
    }),
    ControlAction(33_554_472, "anti-leg-on", "antiLegionellaSettingUse", |h, p| {
        h.settings.anti_legionella_days = one_within(p, 1, 30)?;
        h.settings.anti_legionella = true;
        Some(())
    }),
    ControlAction(33_554_471, "anti-leg-off", "antiLegionellaSettingUse", |h, p| {
        without(p, || h.settings.anti_legionella = false)
    }),
    ControlAction(33_554_470, "dr-on", "drSettingUse", |h, p| without(p, || h.settings.demand_response = true)),
    ControlAction(33_554_469, "dr-off", "drSettingUse", |h, p| without(p, || h.settings.demand_response = false)),
    ControlAction(33_554_468, "intelligent-on", "", |h, p| without(p, || h.settings.intelligent = true)),
    ControlAction(33_554_467, "intelligent-off", "", |h, p| without(p, || h.settings.intelligent = false)),
    ControlAction(33_554_476, "tou-on", "programReservationUse", |h, p| without(p, || h.settings.tou = true)),
    ControlAction(33_554_475, "tou-off", "programReservationUse", |h, p| without(p, || h.settings.tou = false)),
    ControlAction(33_554_445, "recirc-mode", "recirculationUse", |h, p| {
        h.settings.recirculation = one_within(p, 1, 4)?;
        Some(())
    }),
    ControlAction(33_554_444, "recirc-hotbtn", "recirculationUse", |h, p| {
        one_within(p, 1, 1)?;
        h.hot_button_left = HOT_BUTTON;
        Some(())
    }),
    ControlAction(33_554_473, "air-filter-reset", "", |h, p| without(p, || h.tank.fan_hours = 0.0)),
    ControlAction(33_554_474, "air-filter-life", "", |h, p| {
        h.settings.filter_period_hours = 500 * one_within(p, 0, 20).filter(|n| *n != 1)?;
        Some(())
    }),
    ControlAction(33_554_463, "cond-fault-reset", "", |h, p| without(p, || reset_condensate(h))),
    ControlAction(33_554_441, "reservation-mode", "programReservationUse", |h, p| {
        without(p, || h.reservations.enabled = true)
    }),
];

/// Tells whether this control comes too soon after the last one that was obeyed.
pub(super) fn too_soon(heater: &SimulatedHeater, command: i64, wall: SystemTime) -> bool {
    let since = heater.last_dhw_control.and_then(|last| wall.duration_since(last).ok());
    DHW_CONTROLS.contains(&command) && since.is_some_and(|since| since < PAUSE)
}

/// Obeys a control and returns the status after it, or `None` if it is unknown, not fitted or out of range.
pub(super) fn control(heater: &mut SimulatedHeater, request: &HeaterRequest, wall: SystemTime) -> Option<Value> {
    let ControlAction(code, mode, needs, act) =
        CONTROLS.iter().find(|ControlAction(code, ..)| *code == request.command)?;
    let well_formed = request.body.get("mode")? == mode && request.body.get("paramStr")? == "";
    if !well_formed || !(needs.is_empty() || super::feature::fitted(heater, needs)) {
        return None;
    }
    let before = super::status::activity(heater);
    let param = request.numbers("param")?;
    if *mode == "dhw-mode" && in_tou_window(heater, wall) {
        // Taken, and held until the window ends.
        set_mode(&mut heater.clone(), &param)?;
        heater.held_mode = Some(param);
    } else {
        act(heater, &param)?;
    }
    if DHW_CONTROLS.contains(code) {
        heater.last_dhw_control = Some(wall);
    }
    heater.changed |= super::status::activity(heater) != before;
    Some(json!({ "status": super::status::status(heater) }))
}

/// Takes over the reservations and returns them.
pub(super) fn write_reservations(heater: &mut SimulatedHeater, request: &HeaterRequest) -> Option<Value> {
    if request.command != RESERVATIONS || !super::feature::fitted(heater, "programReservationUse") {
        return None;
    }
    let schedule = read_schedule(request, 0..=5)?;
    let heats = |slot: &Slot| (1..=4).contains(&slot.mode);
    if schedule.slots.iter().any(|slot| heats(slot) && !(LOWEST..=HIGHEST).contains(&slot.param)) {
        return None;
    }
    heater.reservations = schedule;
    Some(schedule_json(&heater.reservations))
}

/// Takes over the recirculation schedule and returns it.
pub(super) fn write_recirculation(heater: &mut SimulatedHeater, request: &HeaterRequest) -> Option<Value> {
    if request.command != RECIRCULATION || !super::feature::fitted(heater, "recircReservationUse") {
        return None;
    }
    let schedule = read_schedule(request, 1..=2)?;
    if schedule.slots.len() > MOST_RECIRCULATIONS || schedule.slots.iter().any(|slot| slot.param != -1) {
        return None;
    }
    heater.recirculations = schedule;
    Some(schedule_json(&heater.recirculations))
}

/// Takes over the TOU schedule and returns it; without periods it is not answered.
pub(super) fn write_tou(heater: &mut SimulatedHeater, request: &HeaterRequest) -> Option<Value> {
    let for_us = request.command == TOU
        && super::feature::fitted(heater, "programReservationUse")
        && request.body.get("controllerSerialNumber")? == super::feature::serial_number(heater).as_str();
    let enabled = read_use(request)?;
    let periods: Vec<Map<String, Value>> =
        request.body.get("reservation")?.as_array()?.iter().map(|p| p.as_object().cloned()).collect::<Option<_>>()?;
    let whole = |p: &Map<String, Value>| ["season", "week"].iter().all(|key| p.get(*key).is_some_and(Value::is_i64));
    if !for_us || periods.is_empty() || !periods.iter().all(whole) {
        return None;
    }
    heater.settings.tou = enabled;
    heater.tou_periods = periods;
    Some(json!({ "reservationUse": if enabled { 2 } else { 1 }, "reservation": heater.tou_periods }))
}

/// Installs the firmware that waits, or returns `None` if the request names another.
pub(super) fn commit_firmware(heater: &mut SimulatedHeater, request: &HeaterRequest) -> Option<Value> {
    let wanted = request.body.get("commitOta").filter(|_| request.command == COMMIT_FIRMWARE)?;
    let (code, version) = (wanted.get("swCode")?.as_i64()?, wanted.get("swVersion")?.as_i64()?);
    let waiting = |s: &&mut super::Software| s.kind == code && s.downloaded == version && s.version != version;
    heater.software.iter_mut().find(waiting)?.version = version;
    Some(json!({ "commitOta": { "swCode": code, "swVersion": version } }))
}

/// Returns whether a time-of-use period is in force.
pub(super) fn in_tou_window(heater: &SimulatedHeater, at: SystemTime) -> bool {
    let (day, minute) = (calendar::day_number(at), calendar::seconds(at) / 60 % (24 * 60));
    let month = 1 << (calendar::date(day).month - 1);
    let covers = |period: &Map<String, Value>| {
        let number = |name: &str| period.get(name).and_then(Value::as_i64).unwrap_or(0);
        let time = |hour: &str, minute: &str| number(hour) * 60 + number(minute);
        number("season") & month != 0
            && number("week") & calendar::week_bit(day) != 0
            && (time("startHour", "startMinute")..=time("endHour", "endMinute")).contains(&minute)
    };
    heater.settings.tou && heater.tou_periods.iter().any(covers)
}

pub(super) fn set_mode(heater: &mut SimulatedHeater, param: &[i64]) -> Option<()> {
    match *param {
        [5, days] if super::feature::fitted(heater, "holidayUse") && (1..=99).contains(&days) => {
            heater.settings.vacation_days = days;
            heater.settings.start(Mode::Vacation);
        }
        // A real heater does not switch itself off by this.
        [6] => heater.settings.start(Mode::EnergySaver),
        [code] => heater.settings.start(Mode::from_code(code).filter(|mode| *mode != Mode::Vacation)?),
        _ => return None,
    }
    Some(())
}

fn reset_condensate(heater: &mut SimulatedHeater) {
    if matches!(heater.fault, HeaterFault::Error { code: CONDENSATE_OVERFLOW, .. }) {
        heater.fault = HeaterFault::Online;
    }
}

/// Returns a schedule as the answers carry it, the entries in an array.
pub(super) fn schedule_json(schedule: &StoredSchedule) -> Value {
    json!({ "reservationUse": schedule.reservation_use(), "reservation": schedule.array() })
}

fn read_schedule(request: &HeaterRequest, modes: std::ops::RangeInclusive<i64>) -> Option<StoredSchedule> {
    let entries = request.body.get("reservation")?.as_array()?;
    let slots = entries.iter().map(|entry| Slot::read(entry, modes.clone())).collect::<Option<_>>()?;
    Some(StoredSchedule { enabled: read_use(request)?, slots })
}

fn read_use(request: &HeaterRequest) -> Option<bool> {
    match request.body.get("reservationUse")?.as_i64()? {
        1 => Some(false),
        2 => Some(true),
        _ => None,
    }
}

fn without(param: &[i64], act: impl FnOnce()) -> Option<()> {
    param.is_empty().then(act)
}

fn one_within(param: &[i64], lowest: i64, highest: i64) -> Option<i64> {
    match *param {
        [number] if (lowest..=highest).contains(&number) => Some(number),
        _ => None,
    }
}
