//! The status of a heater (protocol reference, section 6).

use serde_json::Value;

use super::error_codes::{CONDENSATE_OVERFLOW, ERRORS, OVERHEAT, WATER_LEAK};
use crate::navilink::encoding::Encoding::*;
use crate::navilink::encoding::{Names, Row, number, plain, row};
use crate::navilink::members::Members;

/// `temperatureType`.
pub const TEMPERATURE_TYPE: Names = &[(1, "celsius"), (2, "fahrenheit")];

/// `tempFormulaType`: which formula makes whole °F of the outside temperature.
pub const TEMP_FORMULA_TYPE: Names = &[(0, "asymmetric"), (1, "standard")];

/// `operationMode`: what the heater does now.
pub const CURRENT_OPERATION_MODE: Names =
    &[(0, "standby"), (32, "heat_pump"), (64, "hybrid_efficiency"), (96, "hybrid_boost")];

/// `dhwOperationSetting`: what the heater is set to.
pub const DHW_OPERATION_SETTING: Names = &[
    (0, "standby"),
    (1, "heat_pump"),
    (2, "electric"),
    (3, "energy_saver"),
    (4, "high_demand"),
    (5, "vacation"),
    (6, "power_off"),
];

/// `currentHeatUse`.
pub const HEAT_SOURCE: Names = &[(0, "none"), (1, "heat_pump"), (2, "heat_element"), (3, "heat_pump_and_element")];

/// `drEventStatus`.
pub const DEMAND_RESPONSE_EVENT: Names = &[
    (0, "not_applied"),
    (1, "run_normal"),
    (2, "shed"),
    (3, "load_up"),
    (4, "advanced_load_up"),
    (5, "customer_peak_event"),
    (6, "grid_emergency"),
];

/// `recircOperationMode`.
pub const RECIRCULATION_MODE: Names =
    &[(0, "unknown"), (1, "always_on"), (2, "weekly"), (3, "hot_button_only"), (4, "off")];

/// Every field of a status.
pub const STATUS: &[Row] = &[
    row("temperatureType", "temperature_type", Named(TEMPERATURE_TYPE)),
    row("command", "command", Integer),
    row("specialFunctionStatus", "special_function_status", Integer),
    row("errorCode", "error_code", Integer),
    row("subErrorCode", "sub_error_code", Integer),
    row("smartDiagnostic", "smart_diagnostic", Integer),
    row("faultStatus1", "fault_status1", Integer),
    row("faultStatus2", "fault_status2", Integer),
    row("wifiRssi", "wifi_rssi", Integer),
    row("dhwChargePer", "dhw_charge_per", Number),
    row("drEventStatus", "dr_event_status", Named(DEMAND_RESPONSE_EVENT)),
    row("minorCode", "minor_code", Integer),
    row("vacationDaySetting", "vacation_day_setting", Integer),
    row("vacationDayElapsed", "vacation_day_elapsed", Integer),
    row("antiLegionellaPeriod", "anti_legionella_period", Integer),
    row("programReservationType", "program_reservation_type", Integer),
    row("tempFormulaType", "temp_formula_type", Named(TEMP_FORMULA_TYPE)),
    row("outsideTemperature", "outside_temperature", HalfCelsiusByFormula),
    row("currentStatenum", "current_statenum", Integer),
    row("targetFanRpm", "target_fan_rpm", Integer),
    row("currentFanRpm", "current_fan_rpm", Integer),
    row("fanPwm", "fan_pwm", Integer),
    row("mixingRate", "mixing_rate", Number),
    row("eevStep", "eev_step", Integer),
    row("airFilterAlarmPeriod", "air_filter_alarm_period", Integer),
    row("airFilterAlarmElapsed", "air_filter_alarm_elapsed", Integer),
    row("cumulatedOpTimeEvaFan", "cumulated_op_time_eva_fan", Integer),
    row("cumulatedDhwFlowRate", "cumulated_dhw_flow_rate", Litres),
    row("touStatus", "tou_status", ZeroOne),
    row("drOverrideStatus", "dr_override_status", Integer),
    row("touOverrideStatus", "tou_override_status", Inverted),
    row("totalEnergyCapacity", "full_recovery_energy", EnergyCount),
    row("availableEnergyCapacity", "energy_to_setpoint", EnergyCount),
    row("recircOperationMode", "recirc_operation_mode", Named(RECIRCULATION_MODE)),
    row("recircPumpOperationStatus", "recirc_pump_operation_status", Integer),
    row("recircHotBtnReady", "recirc_hot_btn_ready", Integer),
    row("recircOperationReason", "recirc_operation_reason", Integer),
    row("recircErrorStatus", "recirc_error_status", Integer),
    row("currentInstPower", "current_inst_power", Number),
    row("didReload", "did_reload", Flag),
    row("operationBusy", "operation_busy", TriState),
    row("freezeProtectionUse", "freeze_protection_use", Flag),
    row("dhwUse", "dhw_use", Flag),
    row("dhwUseSustained", "dhw_use_sustained", Flag),
    row("dhwOperationBusy", "dhw_operation_busy", Flag),
    row("programReservationUse", "program_reservation_use", Flag),
    row("ecoUse", "eco_use", Flag),
    row("compUse", "comp_use", TriState),
    row("eevUse", "eev_use", Flag),
    row("evaFanUse", "eva_fan_use", Flag),
    row("shutOffValveUse", "shut_off_valve_use", Flag),
    row("conOvrSensorUse", "con_ovr_sensor_use", Flag),
    row("wtrOvrSensorUse", "wtr_ovr_sensor_use", Flag),
    row("antiLegionellaUse", "anti_legionella_use", TriState),
    row("antiLegionellaOperationBusy", "anti_legionella_operation_busy", TriState),
    row("errorBuzzerUse", "error_buzzer_use", Flag),
    row("currentHeatUse", "current_heat_use", Named(HEAT_SOURCE)),
    row("heatUpperUse", "heat_upper_use", TriState),
    row("heatLowerUse", "heat_lower_use", TriState),
    row("scaldUse", "scald_use", Flag),
    row("airFilterAlarmUse", "air_filter_alarm_use", TriState),
    row("recircOperationBusy", "recirc_operation_busy", Flag),
    row("recircReservationUse", "recirc_reservation_use", TriState),
    row("dhwTemperature", "dhw_temperature", HalfCelsius),
    row("dhwTemperatureSetting", "dhw_temperature_setting", HalfCelsius),
    row("dhwTargetTemperatureSetting", "dhw_target_temperature_setting", HalfCelsius),
    row("freezeProtectionTemperature", "freeze_protection_temperature", HalfCelsius),
    row("dhwTemperature2", "dhw_temperature2", HalfCelsius),
    row("hpUpperOnTempSetting", "hp_upper_on_temp_setting", HalfCelsius),
    row("hpUpperOffTempSetting", "hp_upper_off_temp_setting", HalfCelsius),
    row("hpLowerOnTempSetting", "hp_lower_on_temp_setting", HalfCelsius),
    row("hpLowerOffTempSetting", "hp_lower_off_temp_setting", HalfCelsius),
    row("heUpperOnTempSetting", "he_upper_on_temp_setting", HalfCelsius),
    row("heUpperOffTempSetting", "he_upper_off_temp_setting", HalfCelsius),
    row("heLowerOnTempSetting", "he_lower_on_temp_setting", HalfCelsius),
    row("heLowerOffTempSetting", "he_lower_off_temp_setting", HalfCelsius),
    row("heatMinOpTemperature", "heat_min_op_temperature", HalfCelsius),
    row("recircTempSetting", "recirc_temp_setting", HalfCelsius),
    row("recircTemperature", "recirc_temperature", HalfCelsius),
    row("recircFaucetTemperature", "recirc_faucet_temperature", HalfCelsius),
    row("currentInletTemperature", "current_inlet_temperature", HalfCelsius),
    row("currentDhwFlowRate", "current_dhw_flow_rate", DeciLitresPerMinute),
    row("hpUpperOnDiffTempSetting", "hp_upper_on_diff_temp_setting", DeciKelvin),
    row("hpUpperOffDiffTempSetting", "hp_upper_off_diff_temp_setting", DeciKelvin),
    row("hpLowerOnDiffTempSetting", "hp_lower_on_diff_temp_setting", DeciKelvin),
    row("hpLowerOffDiffTempSetting", "hp_lower_off_diff_temp_setting", DeciKelvin),
    row("heUpperOnDiffTempSetting", "he_upper_on_diff_temp_setting", DeciKelvin),
    row("heUpperOffDiffTempSetting", "he_upper_off_diff_temp_setting", DeciKelvin),
    row("heLowerOnTDiffempSetting", "he_lower_on_diff_temp_setting", DeciKelvin),
    row("heLowerOffDiffTempSetting", "he_lower_off_diff_temp_setting", DeciKelvin),
    row("recircDhwFlowRate", "recirc_dhw_flow_rate", DeciLitresPerMinute),
    row("tankUpperTemperature", "tank_upper_temperature", DeciCelsius),
    row("tankLowerTemperature", "tank_lower_temperature", DeciCelsius),
    row("dischargeTemperature", "discharge_temperature", DeciCelsius),
    row("suctionTemperature", "suction_temperature", DeciCelsius),
    row("evaporatorTemperature", "evaporator_temperature", DeciCelsius),
    row("ambientTemperature", "ambient_temperature", DeciCelsius),
    row("targetSuperHeat", "target_super_heat", DeciKelvin),
    row("currentSuperHeat", "current_super_heat", DeciKelvin),
    row("operationMode", "operation_mode", Named(CURRENT_OPERATION_MODE)),
    row("dhwOperationSetting", "dhw_operation_setting", Named(DHW_OPERATION_SETTING)),
    row("freezeProtectionTempMin", "freeze_protection_temp_min", HalfCelsius),
    row("freezeProtectionTempMax", "freeze_protection_temp_max", HalfCelsius),
];

/// Computes the members of a decoded status that come from several fields. What two fields can say is said by one member,
/// so that whoever reads the status is told the same everywhere.
pub fn derived(object: &Members) -> Vec<(&'static str, Value)> {
    let read = |name| object.get(name).and_then(|value| number(value).ok());
    let code = |name| object.get(name).and_then(Value::as_i64);
    let surplus = |of, used| Some(plain((read(of)? - read(used)?).max(0.0)));
    let remaining = surplus("air_filter_alarm_period", "cumulated_op_time_eva_fan")
        .filter(|_| read("air_filter_alarm_period") != Some(0.0));
    let water_leak = flag_or_error(object, "wtr_ovr_sensor_use", WATER_LEAK);
    let overflow = flag_or_error(object, "con_ovr_sensor_use", CONDENSATE_OVERFLOW);
    let problem = match code("error_code") {
        _ if water_leak == Some(true) || overflow == Some(true) => Some(true),
        error => error.map(|error| error != 0),
    };
    vec![
        ("error_text", code("error_code").and_then(|error| ERRORS.text(error, code("sub_error_code"))).into()),
        ("usable_energy", surplus("full_recovery_energy", "energy_to_setpoint").into()),
        ("dr_override_active", code("dr_override_status").map(|status| status == 2).into()),
        ("air_filter_remaining_hours", remaining.into()),
        ("problem", problem.into()),
        ("water_leak", water_leak.into()),
        ("condensate_overflow", overflow.into()),
        ("overheat_cut_out", flag_or_error(object, "eco_use", OVERHEAT).into()),
        ("heat_source", heat_source(object)),
    ]
}

/// Returns what a flag or an error says; without the flag another error leaves it unknown, since it may hide this one.
fn flag_or_error(object: &Members, flag: &str, error: i64) -> Option<bool> {
    let code = object.get("error_code").and_then(Value::as_i64);
    match (object.get(flag).and_then(Value::as_bool), code) {
        (Some(true), _) => Some(true),
        (_, Some(code)) if code == error => Some(true),
        (Some(false), _) | (None, Some(0)) => Some(false),
        (None, _) => None,
    }
}

/// Returns `current_heat_use`, or where that says nothing what compressor and elements say. The power consumption says
/// less: fan, pump and controller take power without heating.
fn heat_source(object: &Members) -> Value {
    if let Some(stated) = object.get("current_heat_use").filter(|stated| !stated.is_null()) {
        return stated.clone();
    }
    let [compressor, upper, lower] =
        ["comp_use", "heat_upper_use", "heat_lower_use"].map(|name| object.get(name).and_then(Value::as_bool));
    let element = match (upper, lower) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), Some(false)) => Some(false),
        _ => None,
    };
    match (compressor, element) {
        (Some(true), Some(true)) => "heat_pump_and_element".into(),
        (Some(true), _) => "heat_pump".into(),
        (_, Some(true)) => "heat_element".into(),
        (Some(false), Some(false)) => "none".into(),
        _ => Value::Null,
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
