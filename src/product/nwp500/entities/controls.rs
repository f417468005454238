//! What can be set, and what it is set to (contract, section 6).

use crate::product::entity::{COMMANDS, Component, Entity, Range, Requirement, STATUS, Topic, button, row};
use crate::product::measure::Kind;

const RECIRCULATION: &str = "recirculation_use";
const RECIRCULATION_MODES: &[&str] = &["always_on", "weekly", "hot_button_only", "off"];

/// Whole numbers come as `3.0`, too.
const WHOLE: Option<&str> = Some("{{ value | int }}");

/// The way into a vacation needs its length, the way out of it the mode before it.
const VACATION: &str = "{% if value == 'ON' %}{\"value\": \"vacation\", \"days\": \
    {{ this.attributes.get('days') or 7 }}}{% else %}{{ this.attributes.get('mode_before') or 'energy_saver' }}\
    {% endif %}";

/// Switches, numbers, selects and buttons.
pub const CONTROLS: &[Entity] = &[
    switch("power", "Heater power", "set/power", None)
        .read(
            "{{ None if value_json.dhw_operation_setting in (None, 'standby') \
             else value_json.dhw_operation_setting != 'power_off' }}",
        )
        .needs("power_use")
        .icon("mdi:power")
        .disabled(),
    Entity {
        needs: Requirement::TargetTemperature,
        ..number("temperature", "Target temperature", "set/temperature", None)
            .within(Kind::Temperature, Range::Target)
            .key("dhw_temperature_setting")
            .disabled()
    },
    switch("vacation", "Vacation", "set/mode", Some(VACATION))
        .read(
            "{{ None if value_json.dhw_operation_setting is none \
             else value_json.dhw_operation_setting == 'vacation' }}",
        )
        .with(
            STATUS,
            Some(
                "{{ {'days': value_json.vacation_day_setting, 'mode_before': value_json.mode_before_vacation} \
                 | to_json }}",
            ),
        )
        .needs("holiday_use")
        .icon("mdi:palm-tree")
        .disabled(),
    number("vacation_days", "Vacation days", "set/vacation_days", WHOLE)
        .within(Kind::Days, Range::Fixed(1, 99, 1))
        .key("vacation_day_setting")
        .configuration()
        .needs("holiday_use"),
    switch("anti_legionella", "Anti-Legionella", "set/anti_legionella", None)
        .key("anti_legionella_use")
        .configuration()
        .needs("anti_legionella_setting_use")
        .icon("mdi:bacteria"),
    number(
        "anti_legionella_days",
        "Anti-Legionella period",
        "set/anti_legionella",
        Some("{\"period_days\": {{ value | int }}}"),
    )
    .within(Kind::Days, Range::Fixed(1, 30, 1))
    .key("anti_legionella_period")
    .configuration()
    .needs("anti_legionella_setting_use"),
    switch("tou", "Time of use", "set/tou", None)
        .key("tou_status")
        .configuration()
        .needs("program_reservation_use")
        .icon("mdi:clock-time-four-outline"),
    switch("demand_response", "Demand response", "set/demand_response", None)
        .on(COMMANDS)
        .key("confirmed.demand_response")
        .configuration()
        .needs("dr_setting_use")
        .icon("mdi:transmission-tower"),
    switch("intelligent_scheduling", "Intelligent scheduling", "set/intelligent_scheduling", None)
        .on(COMMANDS)
        .key("confirmed.intelligent_scheduling")
        .configuration()
        .disabled()
        .icon("mdi:brain"),
    number("air_filter_life", "Air filter life", "set/air_filter_life", WHOLE)
        .within(Kind::Hours, Range::Fixed(1000, 10_000, 500))
        .key("air_filter_alarm_period")
        .configuration()
        .disabled(),
    row(
        "recirculation_mode",
        "Recirculation mode",
        Component::Select(Topic::Heater("set/recirculation_mode"), RECIRCULATION_MODES),
    )
    .word("None if value_json.recirc_operation_mode == 'unknown' else value_json.recirc_operation_mode")
    .configuration()
    .needs(RECIRCULATION)
    .icon("mdi:rotate-right"),
    button("recirculation_hot_button", "Recirculation hot button", Topic::Heater("set/recirculation_hot_button"))
        .needs(RECIRCULATION)
        .icon("mdi:gesture-tap-button"),
    button("air_filter_reset", "Air filter reset", Topic::Heater("set/air_filter_reset"))
        .configuration()
        .icon("mdi:air-filter"),
    button("condenser_fault_reset", "Condenser fault reset", Topic::Heater("set/condenser_fault_reset"))
        .configuration()
        .disabled()
        .icon("mdi:water-alert"),
    button("water_program", "Water program start", Topic::Heater("set/water_program"))
        .configuration()
        .disabled()
        .needs("program_reservation_use")
        .icon("mdi:calendar-clock"),
    button("refresh", "Ask for the status", Topic::Heater("get/status")).diagnostic().disabled().icon("mdi:refresh"),
];

const fn switch(id: &'static str, name: &'static str, to: &'static str, template: Option<&'static str>) -> Entity {
    row(id, name, Component::Switch(Topic::Heater(to), template))
}

const fn number(id: &'static str, name: &'static str, to: &'static str, template: Option<&'static str>) -> Entity {
    row(id, name, Component::Number { to: Topic::Heater(to), template, kind: Kind::Number, range: Range::Target })
}
