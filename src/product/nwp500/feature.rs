//! The device information of a heater, its "feature" object (protocol reference, section 7).

use super::status::{TEMP_FORMULA_TYPE, TEMPERATURE_TYPE};
use crate::navilink::encoding::Encoding::*;
use crate::navilink::encoding::{Names, Row, row};

/// `modelTypeCode`; others exist.
pub const UNIT_TYPE: Names = &[(513, "npf")];

/// `dhwTemperatureSettingUse`: how finely the target temperature can be set.
pub const DHW_CONTROL_TYPE: Names =
    &[(0, "unknown"), (1, "disabled"), (2, "half_degree"), (3, "one_degree"), (4, "three_stage")];

/// `volumeCode`, in US gallons.
pub const VOLUME_CODE: &[(i64, i64)] = &[(1, 50), (2, 65), (3, 80)];

/// Every field of the device information. A capability that is `false` is not fitted.
pub const FEATURE: &[Row] = &[
    row("temperatureType", "temperature_type", Named(TEMPERATURE_TYPE)),
    row("countryCode", "country_code", Integer),
    row("modelTypeCode", "model_type_code", Named(UNIT_TYPE)),
    row("controlTypeCode", "control_type_code", Integer),
    row("volumeCode", "volume_code", Gallons(VOLUME_CODE)),
    row("controllerSwVersion", "controller_sw_version", Integer),
    row("panelSwVersion", "panel_sw_version", Integer),
    row("wifiSwVersion", "wifi_sw_version", Integer),
    row("controllerSwCode", "controller_sw_code", Integer),
    row("panelSwCode", "panel_sw_code", Integer),
    row("wifiSwCode", "wifi_sw_code", Integer),
    row("recircSwVersion", "recirc_sw_version", Integer),
    row("recircModelTypeCode", "recirc_model_type_code", Integer),
    row("controllerSerialNumber", "controller_serial_number", Text),
    row("powerUse", "power_use", Flag),
    row("holidayUse", "holiday_use", Flag),
    row("programReservationUse", "program_reservation_use", Flag),
    row("dhwUse", "dhw_use", Flag),
    row("dhwTemperatureSettingUse", "dhw_temperature_setting_use", Named(DHW_CONTROL_TYPE)),
    row("smartDiagnosticUse", "smart_diagnostic_use", Flag),
    row("wifiRssiUse", "wifi_rssi_use", Flag),
    row("tempFormulaType", "temp_formula_type", Named(TEMP_FORMULA_TYPE)),
    row("energyUsageUse", "energy_usage_use", Flag),
    row("freezeProtectionUse", "freeze_protection_use", Flag),
    row("mixingValueUse", "mixing_valve_use", Flag),
    row("drSettingUse", "dr_setting_use", Flag),
    row("antiLegionellaSettingUse", "anti_legionella_setting_use", Flag),
    row("hpwhUse", "hpwh_use", Flag),
    row("dhwRefillUse", "dhw_refill_use", Flag),
    row("ecoUse", "eco_use", Flag),
    row("electricUse", "electric_use", Flag),
    row("heatpumpUse", "heatpump_use", Flag),
    row("energySaverUse", "energy_saver_use", Flag),
    row("highDemandUse", "high_demand_use", Flag),
    row("recirculationUse", "recirculation_use", Flag),
    row("recircReservationUse", "recirc_reservation_use", Flag),
    row("title24Use", "title24_use", Flag),
    row("dhwTemperatureMin", "dhw_temperature_min", HalfCelsius),
    row("dhwTemperatureMax", "dhw_temperature_max", HalfCelsius),
    row("freezeProtectionTempMin", "freeze_protection_temp_min", HalfCelsius),
    row("freezeProtectionTempMax", "freeze_protection_temp_max", HalfCelsius),
    row("recircTemperatureMin", "recirc_temperature_min", HalfCelsius),
    row("recircTemperatureMax", "recirc_temperature_max", HalfCelsius),
];

#[cfg(test)]
#[path = "feature_tests.rs"]
mod tests;
