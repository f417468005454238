//! The full status object (protocol reference, section 6).

use serde_json::{Value, json};

use super::settings::Mode;
use super::{SimulatedHeater, merge};
use crate::simulator::tank::Program;

/// Returns every key of a status, as the wire has it.
pub(super) fn status(heater: &SimulatedHeater) -> Value {
    merge([
        operation(heater),
        temperatures(heater),
        thresholds(heater),
        machinery(heater),
        recirculation(heater),
        constants(),
    ])
}

/// Returns what tells that the heater does something else now than before.
pub(super) fn activity(heater: &SimulatedHeater) -> (i64, i64, i64) {
    (heater.settings.operation(), operation_mode(heater), heat_source(heater))
}

fn operation(heater: &SimulatedHeater) -> Value {
    let (code, sub) = heater.error();
    let settings = &heater.settings;
    let target = heater.target();
    json!({
        "command": super::answers::STATUS,
        "temperatureType": super::feature::temperature_type(heater),
        "errorCode": code,
        "subErrorCode": sub,
        "wifiRssi": heater.rssi,
        "dhwChargePer": heater.tank.charge_percent(target).round() as i64,
        "drEventStatus": i64::from(settings.demand_response),
        "vacationDaySetting": settings.vacation_days,
        "vacationDayElapsed": settings.vacation_days_elapsed(),
        "antiLegionellaPeriod": settings.anti_legionella_days,
        "antiLegionellaUse": flag(settings.anti_legionella),
        "antiLegionellaOperationBusy": flag(heater.disinfecting),
        "programReservationType": if settings.intelligent { 2 } else { i64::from(heater.reservations.enabled) },
        "programReservationUse": flag(heater.reservations.enabled),
        "airFilterAlarmPeriod": settings.filter_period_hours,
        "airFilterAlarmElapsed": heater.tank.fan_hours as i64,
        "airFilterAlarmUse": flag(settings.filter_period_hours > 0),
        "touStatus": i64::from(settings.tou),
        "totalEnergyCapacity": (heater.tank.capacity_wh(target) / 4.0).round() as i64,
        "availableEnergyCapacity": (heater.tank.missing_wh(target) / 4.0).round() as i64,
        "operationBusy": flag(heat_source(heater) != 0),
        "dhwOperationBusy": flag(heat_source(heater) != 0),
        "dhwUse": flag(heater.tank.flow > 0.0),
        "dhwUseSustained": flag(heater.tank.flow > 0.0),
        "operationMode": operation_mode(heater),
        "dhwOperationSetting": settings.operation(),
    })
}

fn temperatures(heater: &SimulatedHeater) -> Value {
    let tank = &heater.tank;
    json!({
        "outsideTemperature": half(tank.outside),
        "dhwTemperature": half(tank.upper),
        "dhwTemperature2": half(tank.upper),
        "dhwTemperatureSetting": heater.settings.set_point,
        "dhwTargetTemperatureSetting": half(heater.target()),
        "currentInletTemperature": half(tank.inlet),
        "tankUpperTemperature": tenth(tank.upper),
        "tankLowerTemperature": tenth(tank.lower),
        "dischargeTemperature": tenth(tank.discharge),
        "suctionTemperature": tenth(tank.suction),
        "evaporatorTemperature": tenth(tank.evaporator),
        "ambientTemperature": tenth(tank.ambient),
        "targetSuperHeat": 50,
        "currentSuperHeat": tenth(tank.suction - tank.evaporator),
    })
}

fn thresholds(heater: &SimulatedHeater) -> Value {
    let target = heater.target();
    let (top_on, top_off) = if heater.settings.mode == Mode::HighDemand { (4.0, 0.5) } else { (12.0, 5.0) };
    json!({
        "hpUpperOnTempSetting": half(target - 3.0),
        "hpUpperOffTempSetting": half(target),
        "hpLowerOnTempSetting": half(target - 5.0),
        "hpLowerOffTempSetting": half(target),
        "heUpperOnTempSetting": half(target - top_on),
        "heUpperOffTempSetting": half(target - top_off),
        "heLowerOnTempSetting": half(target - 5.0),
        "heLowerOffTempSetting": half(target),
        "hpUpperOnDiffTempSetting": 30,
        "hpUpperOffDiffTempSetting": 0,
        "hpLowerOnDiffTempSetting": 50,
        "hpLowerOffDiffTempSetting": 0,
        "heUpperOnDiffTempSetting": tenth(top_on),
        "heUpperOffDiffTempSetting": tenth(top_off),
        "heLowerOnTDiffempSetting": 50,
        "heLowerOffDiffTempSetting": 0,
        "heatMinOpTemperature": half(35.0),
    })
}

fn machinery(heater: &SimulatedHeater) -> Value {
    let tank = &heater.tank;
    json!({
        "currentStatenum": if tank.compressor { 5 } else { 1 },
        "targetFanRpm": tank.target_fan_rpm() as i64,
        "currentFanRpm": tank.fan_rpm.round() as i64,
        "fanPwm": (tank.fan_rpm / 6.0).round() as i64,
        "eevStep": if tank.compressor { 220 } else { 480 },
        "cumulatedOpTimeEvaFan": tank.fan_hours as i64,
        "cumulatedDhwFlowRate": tank.drawn.round() as i64,
        "currentDhwFlowRate": tenth(tank.flow),
        "currentInstPower": tank.power().round() as i64,
        "compUse": flag(tank.compressor),
        "eevUse": flag(tank.compressor),
        "evaFanUse": flag(tank.compressor),
        "currentHeatUse": heat_source(heater),
        "heatUpperUse": flag(tank.upper_element),
        "heatLowerUse": flag(tank.lower_element),
    })
}

fn recirculation(heater: &SimulatedHeater) -> Value {
    let fitted = super::feature::fitted(heater, "recirculationUse");
    let running = heater.recirculating();
    let degrees = if running { half(heater.tank.upper - 5.0) } else { half(heater.tank.ambient) };
    json!({
        "recircOperationMode": if fitted { heater.settings.recirculation } else { 0 },
        "recircPumpOperationStatus": i64::from(running),
        "recircHotBtnReady": i64::from(fitted && !running),
        "recircOperationReason": i64::from(running),
        "recircErrorStatus": 0,
        "recircOperationBusy": flag(running),
        "recircReservationUse": if fitted { flag(heater.recirculations.enabled) } else { 0 },
        "recircTempSetting": if fitted { half(45.0) } else { 0 },
        "recircTemperature": if fitted { degrees } else { 0 },
        "recircFaucetTemperature": if fitted { degrees } else { 0 },
        "recircDhwFlowRate": if running { 40 } else { 0 },
    })
}

/// Returns the `HeatSource` number.
fn heat_source(heater: &SimulatedHeater) -> i64 {
    let element = heater.tank.upper_element || heater.tank.lower_element;
    i64::from(heater.tank.compressor) + if element { 2 } else { 0 }
}

/// Returns the `CurrentOperationMode` number.
fn operation_mode(heater: &SimulatedHeater) -> i64 {
    if heat_source(heater) == 0 {
        return 0;
    }
    match heater.settings.program() {
        Program::Off | Program::HeatPump => 32,
        Program::EnergySaver => 64,
        Program::Electric | Program::HighDemand => 96,
    }
}

/// What never changes in this heater.
fn constants() -> Value {
    json!({
        "specialFunctionStatus": 0,
        "smartDiagnostic": 0,
        "faultStatus1": 0,
        "faultStatus2": 0,
        "minorCode": 0,
        "tempFormulaType": 1,
        "mixingRate": 0,
        "drOverrideStatus": 0,
        "touOverrideStatus": 2,
        "didReload": 1,
        "freezeProtectionUse": 2,
        "freezeProtectionTemperature": 12,
        "freezeProtectionTempMin": 12,
        "freezeProtectionTempMax": 20,
        "ecoUse": 1,
        "shutOffValveUse": 1,
        "conOvrSensorUse": 1,
        "wtrOvrSensorUse": 1,
        "errorBuzzerUse": 1,
        "scaldUse": 1,
    })
}

fn flag(on: bool) -> i64 {
    if on { 2 } else { 1 }
}

fn half(celsius: f64) -> i64 {
    (celsius * 2.0).round() as i64
}

fn tenth(number: f64) -> i64 {
    (number * 10.0).round() as i64
}
