//! What a status says.

use crate::product::entity::{COMMANDS, Component, Entity, STATUS, binary, row, sensor};
use crate::product::measure::Kind::*;

/// Names of what the heater is set to, and of what it does.
const SETTINGS_OF_USE: &[&str] =
    &["standby", "heat_pump", "electric", "energy_saver", "high_demand", "vacation", "power_off"];
const OPERATIONS: &[&str] = &["standby", "heat_pump", "hybrid_efficiency", "hybrid_boost"];
/// `none` would mean unknown to Home Assistant.
const HEAT_SOURCES: &[&str] = &["idle", "heat_pump", "heat_element", "heat_pump_and_element"];
const EVENTS: &[&str] =
    &["not_applied", "run_normal", "shed", "load_up", "advanced_load_up", "customer_peak_event", "grid_emergency"];
const RECIRCULATION_MODES: &[&str] = &["always_on", "weekly", "hot_button_only", "off"];
const DEGREES: &[&str] = &["celsius", "fahrenheit"];
const FORMULAS: &[&str] = &["asymmetric", "standard"];

const RECIRCULATION: &str = "recirculation_use";

/// Home Assistant goes on showing what was asked for until it is told something new. The end of a command is new, where the
/// status is not.
const COMMAND_ATTRIBUTES: &str =
    "{{ {'vacation_days': value_json.vacation_days, 'last_command': value_json.last} | to_json }}";

/// What most people want to see.
pub const MAIN: &[Entity] = &[
    row("water_heater", "", Component::WaterHeater).with(COMMANDS, Some(COMMAND_ATTRIBUTES)),
    sensor("dhw_temperature", "Water temperature", Temperature),
    sensor("tank_upper_temperature", "Tank temperature upper", Temperature),
    sensor("tank_lower_temperature", "Tank temperature lower", Temperature),
    sensor("outside_temperature", "Outside temperature", Temperature).disabled(),
    sensor("current_inst_power", "Power", Power),
    sensor("dhw_charge_per", "Hot water charge", Percent).icon("mdi:gauge"),
    sensor("usable_energy", "Usable energy", Heat).disabled(),
    sensor("energy_to_setpoint", "Missing energy", Heat).disabled(),
    sensor("current_dhw_flow_rate", "Water flow", Flow).disabled(),
    sensor("cumulated_dhw_flow_rate", "Water used", Water),
    sensor("operation_mode", "Operation", Words(OPERATIONS)).icon("mdi:heat-pump").disabled(),
    sensor("dhw_operation_setting", "Mode", Words(SETTINGS_OF_USE)).icon("mdi:cog").disabled(),
    sensor("current_heat_use", "Heat source", Words(HEAT_SOURCES))
        .word("'idle' if value_json.heat_source == 'none' else value_json.heat_source")
        .with(STATUS, Some("{{ {'reported': value_json.current_heat_use} | to_json }}"))
        .icon("mdi:heating-coil"),
    sensor("dr_event_status", "Demand response event", Words(EVENTS))
        .needs("dr_setting_use")
        .icon("mdi:transmission-tower")
        .disabled(),
    binary("operation_busy", "Running").of_class("running").disabled(),
    binary("dhw_use", "Hot water in use").icon("mdi:shower"),
    binary("comp_use", "Compressor").of_class("running").disabled(),
    binary("heat_upper_use", "Element upper").of_class("running").disabled(),
    binary("heat_lower_use", "Element lower").of_class("running").disabled(),
    binary("anti_legionella_operation_busy", "Anti-Legionella cycle")
        .of_class("running")
        .needs("anti_legionella_setting_use")
        .disabled(),
    binary("problem", "Problem").of_class("problem").with(
        STATUS,
        Some(
            "{{ {'error': value_json.error_text, 'error_code': value_json.error_code, \
             'sub_error_code': value_json.sub_error_code} | to_json }}",
        ),
    ),
    sensor("error_text", "Error", Plain)
        .read(
            "{{ None if value_json.error_code is none \
             else value_json.error_text or ('No code' if value_json.problem else 'No error') }}",
        )
        .diagnostic()
        .icon("mdi:alert-circle-outline"),
    binary("wtr_ovr_sensor_use", "Water leak")
        .of_class("moisture")
        .key("water_leak")
        .with(STATUS, Some("{{ {'sensor': value_json.wtr_ovr_sensor_use} | to_json }}")),
    binary("con_ovr_sensor_use", "Condensate overflow")
        .of_class("problem")
        .key("condensate_overflow")
        .with(STATUS, Some("{{ {'sensor': value_json.con_ovr_sensor_use} | to_json }}")),
    binary("shut_off_valve_use", "Shut-off valve").disabled().icon("mdi:valve"),
    binary("air_filter_alarm_use", "Air filter reminder").diagnostic().disabled().icon("mdi:air-filter"),
    sensor("air_filter_remaining_hours", "Air filter remaining", Hours).diagnostic(),
    sensor("vacation_day_elapsed", "Vacation days elapsed", Days).disabled().needs("holiday_use"),
    binary("recirc_operation_busy", "Recirculation").of_class("running").needs(RECIRCULATION),
    sensor("recirc_temperature", "Recirculation temperature", Temperature).disabled().needs(RECIRCULATION),
    binary("tou_override_status", "Time of use override")
        .disabled()
        .needs("program_reservation_use")
        .icon("mdi:clock-alert-outline"),
];

/// What the machine inside does.
pub const MACHINERY: &[Entity] = &[
    sensor("dhw_temperature2", "Water temperature 2", Temperature).disabled(),
    sensor("current_inlet_temperature", "Water temperature at the inlet", Temperature).disabled(),
    sensor("discharge_temperature", "Discharge temperature", Temperature).diagnostic().disabled(),
    sensor("suction_temperature", "Suction temperature", Temperature).diagnostic().disabled(),
    sensor("evaporator_temperature", "Evaporator temperature", Temperature).diagnostic().disabled(),
    sensor("ambient_temperature", "Ambient temperature", Temperature).disabled(),
    sensor("target_super_heat", "Superheat target", Difference).diagnostic().disabled(),
    sensor("current_super_heat", "Superheat", Difference).diagnostic().disabled(),
    sensor("full_recovery_energy", "Full recovery energy", Heat).disabled(),
    sensor("target_fan_rpm", "Fan speed target", Speed).diagnostic().disabled(),
    sensor("current_fan_rpm", "Fan speed", Speed).diagnostic().disabled(),
    sensor("fan_pwm", "Fan drive", Number).diagnostic().disabled().icon("mdi:fan"),
    sensor("eev_step", "Expansion valve step", Number).diagnostic().disabled().icon("mdi:valve"),
    sensor("mixing_rate", "Mixing rate", Percent).disabled().needs("mixing_valve_use").icon("mdi:valve"),
    sensor("cumulated_op_time_eva_fan", "Fan hours since filter reset", Counter).diagnostic().disabled(),
    sensor("air_filter_alarm_elapsed", "Air filter hours", Counter).diagnostic().disabled(),
    binary("eev_use", "Expansion valve").of_class("running").diagnostic().disabled(),
    binary("eva_fan_use", "Fan").of_class("running").diagnostic().disabled(),
    binary("dhw_use_sustained", "Hot water in use for long").icon("mdi:shower").disabled(),
    binary("dhw_operation_busy", "Hot water operation").of_class("running").disabled(),
    binary("freeze_protection_use", "Freeze protection")
        .disabled()
        .needs("freeze_protection_use")
        .icon("mdi:snowflake-alert"),
    binary("scald_use", "Scald warning").of_class("problem").diagnostic().disabled(),
    binary("eco_use", "Overheat cut-out")
        .of_class("problem")
        .key("overheat_cut_out")
        .with(STATUS, Some("{{ {'sensor': value_json.eco_use} | to_json }}"))
        .diagnostic()
        .disabled(),
    binary("error_buzzer_use", "Error buzzer").diagnostic().disabled().icon("mdi:bullhorn"),
    binary("did_reload", "Reloaded").diagnostic().disabled().icon("mdi:restart"),
    sensor("recirc_faucet_temperature", "Recirculation faucet temperature", Temperature)
        .disabled()
        .needs(RECIRCULATION),
    sensor("recirc_dhw_flow_rate", "Recirculation flow", Flow).disabled().needs(RECIRCULATION),
    binary("recirc_pump_operation_status", "Recirculation pump")
        .of_class("running")
        .read(
            "{{ None if value_json.recirc_pump_operation_status is none \
             else value_json.recirc_pump_operation_status != 0 }}",
        )
        .disabled()
        .needs(RECIRCULATION),
    binary("recirc_hot_btn_ready", "Recirculation hot button ready")
        .read("{{ None if value_json.recirc_hot_btn_ready is none else value_json.recirc_hot_btn_ready != 0 }}")
        .disabled()
        .needs(RECIRCULATION)
        .icon("mdi:gesture-tap-button"),
    sensor("recirc_operation_reason", "Recirculation reason", Plain)
        .diagnostic()
        .disabled()
        .needs(RECIRCULATION)
        .icon("mdi:rotate-right"),
    sensor("recirc_error_status", "Recirculation error", Plain)
        .diagnostic()
        .disabled()
        .needs(RECIRCULATION)
        .icon("mdi:alert-circle-outline"),
    sensor("error_code", "Error code", Plain).diagnostic().icon("mdi:alert-circle-outline").disabled(),
    sensor("sub_error_code", "Error sub-code", Plain).diagnostic().disabled().icon("mdi:alert-circle-outline"),
    sensor("minor_code", "Error minor code", Plain).diagnostic().disabled().icon("mdi:alert-circle-outline"),
    sensor("fault_status1", "Fault status 1", Plain).diagnostic().disabled(),
    sensor("fault_status2", "Fault status 2", Plain).diagnostic().disabled(),
    sensor("current_statenum", "State number", Plain).diagnostic().disabled(),
    sensor("smart_diagnostic", "Smart diagnostic", Plain).diagnostic().disabled().needs("smart_diagnostic_use"),
    sensor("special_function_status", "Special function", Plain).diagnostic().disabled(),
    sensor("command", "Command in force", Plain).diagnostic().disabled().icon("mdi:console-line"),
    sensor("wifi_rssi", "Wi-Fi signal", Signal).diagnostic().needs("wifi_rssi_use").disabled(),
    sensor("received_at", "Last seen", Moment).diagnostic().lasting().disabled(),
];

/// What the heater is set to.
pub const SETTINGS: &[Entity] = &[
    sensor("dhw_temperature_setting", "Target temperature set", Temperature).disabled(),
    sensor("dhw_target_temperature_setting", "Target temperature in force", Temperature).disabled(),
    sensor("heat_min_op_temperature", "Lowest heat pump temperature", Temperature).diagnostic().disabled(),
    sensor("freeze_protection_temperature", "Freeze protection temperature", Temperature)
        .diagnostic()
        .disabled()
        .needs("freeze_protection_use"),
    sensor("freeze_protection_temp_min", "Freeze protection minimum", Temperature)
        .diagnostic()
        .disabled()
        .needs("freeze_protection_use"),
    sensor("freeze_protection_temp_max", "Freeze protection maximum", Temperature)
        .diagnostic()
        .disabled()
        .needs("freeze_protection_use"),
    sensor("hp_upper_on_temp_setting", "Heat pump upper on", Temperature).diagnostic().disabled(),
    sensor("hp_upper_off_temp_setting", "Heat pump upper off", Temperature).diagnostic().disabled(),
    sensor("hp_lower_on_temp_setting", "Heat pump lower on", Temperature).diagnostic().disabled(),
    sensor("hp_lower_off_temp_setting", "Heat pump lower off", Temperature).diagnostic().disabled(),
    sensor("he_upper_on_temp_setting", "Element upper on", Temperature).diagnostic().disabled(),
    sensor("he_upper_off_temp_setting", "Element upper off", Temperature).diagnostic().disabled(),
    sensor("he_lower_on_temp_setting", "Element lower on", Temperature).diagnostic().disabled(),
    sensor("he_lower_off_temp_setting", "Element lower off", Temperature).diagnostic().disabled(),
    sensor("hp_upper_on_diff_temp_setting", "Heat pump upper on difference", Difference).diagnostic().disabled(),
    sensor("hp_upper_off_diff_temp_setting", "Heat pump upper off difference", Difference).diagnostic().disabled(),
    sensor("hp_lower_on_diff_temp_setting", "Heat pump lower on difference", Difference).diagnostic().disabled(),
    sensor("hp_lower_off_diff_temp_setting", "Heat pump lower off difference", Difference).diagnostic().disabled(),
    sensor("he_upper_on_diff_temp_setting", "Element upper on difference", Difference).diagnostic().disabled(),
    sensor("he_upper_off_diff_temp_setting", "Element upper off difference", Difference).diagnostic().disabled(),
    sensor("he_lower_on_diff_temp_setting", "Element lower on difference", Difference).diagnostic().disabled(),
    sensor("he_lower_off_diff_temp_setting", "Element lower off difference", Difference).diagnostic().disabled(),
    sensor("recirc_temp_setting", "Recirculation set temperature", Temperature).disabled().needs(RECIRCULATION),
    sensor("recirc_operation_mode", "Recirculation mode in force", Words(RECIRCULATION_MODES))
        .word("None if value_json.recirc_operation_mode == 'unknown' else value_json.recirc_operation_mode")
        .disabled()
        .needs(RECIRCULATION)
        .icon("mdi:rotate-right"),
    binary("recirc_reservation_use", "Recirculation schedule in force")
        .disabled()
        .needs("recirc_reservation_use")
        .icon("mdi:calendar-clock"),
    binary("program_reservation_use", "Reservations in force")
        .disabled()
        .needs("program_reservation_use")
        .icon("mdi:calendar-clock"),
    sensor("program_reservation_type", "Program type", Plain)
        .diagnostic()
        .disabled()
        .needs("program_reservation_use")
        .icon("mdi:calendar-clock"),
    sensor("dr_override_status", "Demand response override", Plain)
        .diagnostic()
        .disabled()
        .needs("dr_setting_use")
        .icon("mdi:transmission-tower-off"),
    binary("dr_override_active", "Demand response overridden")
        .disabled()
        .needs("dr_setting_use")
        .icon("mdi:transmission-tower-off"),
    sensor("vacation_day_setting", "Vacation length", Days).disabled().needs("holiday_use"),
    sensor("anti_legionella_period", "Anti-Legionella interval", Days).disabled().needs("anti_legionella_setting_use"),
    sensor("air_filter_alarm_period", "Air filter interval", Hours).diagnostic().disabled(),
    sensor("temperature_type", "Display unit", Words(DEGREES)).diagnostic().disabled().icon("mdi:temperature-celsius"),
    sensor("temp_formula_type", "Temperature formula", Words(FORMULAS))
        .diagnostic()
        .disabled()
        .icon("mdi:function-variant"),
];
