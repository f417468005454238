//! The water heater itself: its modes, and its temperatures with their limits.

use serde_json::{Value, json};

use super::discovery::Maker;
use crate::product::entity::{Requirement, STATUS, Topic};
use crate::units::UnitSystem;

/// The flag for the modes as a whole; those of single modes are no need of the control (protocol reference, section 4).
const ANY_MODE: &str = "dhw_use";

/// The modes, each with the flag that the heater must have for it. Home Assistant has words for all but the vacation, and
/// shows that one as it is written.
const MODES: [(&str, &str); 6] = [
    ("eco", ANY_MODE),
    ("heat_pump", ANY_MODE),
    ("high_demand", ANY_MODE),
    ("electric", ANY_MODE),
    ("Vacation", "holiday_use"),
    ("off", "power_use"),
];

/// Home Assistant's names of modes that have others in the status.
const RENAMED: &str = "{% set mode = {'energy_saver': 'eco', 'power_off': 'off', 'vacation': 'Vacation'}\
    .get(value_json.dhw_operation_setting, value_json.dhw_operation_setting) %}";

/// A vacation needs its length.
const SET_MODE: &str = "{% if value == 'Vacation' %}{\"value\": \"vacation\", \"days\": \
    {{ this.attributes.get('vacation_days') or 7 }}}{% else %}{{ value }}{% endif %}";

const SET_TEMPERATURE: &str = "value_json.dhw_temperature_setting";

/// What a heater aims at whose target cannot be set.
const FIXED_TEMPERATURE: &str = "(value_json.dhw_temperature_setting \
    if value_json.dhw_target_temperature_setting is none else value_json.dhw_target_temperature_setting)";

/// Describes it.
pub fn describe(of: &Maker<'_>, made: &mut Value) {
    let status = (of.place)(STATUS);
    let metric = of.units == UnitSystem::Metric;
    let [min, max] = of.limits();
    let mut add = |key: &str, value: Value| made[key] = value;
    add("temperature_unit", if metric { "C" } else { "F" }.into());
    // Of whole degrees Fahrenheit each is half a degree Celsius of the heater's, or two of them are.
    add("precision", json!(if metric { 0.5 } else { 1.0 }));
    add("min_temp", min.into());
    add("max_temp", max.into());
    add("current_temperature_topic", status.as_str().into());
    add("current_temperature_template", of.measured("value_json.dhw_temperature").into());
    let settable = of.has(Requirement::TargetTemperature);
    add("temperature_state_topic", status.as_str().into());
    add("temperature_state_template", of.measured(if settable { SET_TEMPERATURE } else { FIXED_TEMPERATURE }).into());
    let command = |name| of.writes(Topic::Heater(name)).then(|| (of.place)(Topic::Heater(name)));
    if let Some(topic) = command("set/temperature").filter(|_| settable) {
        add("temperature_command_topic", topic.into());
    }
    // A heater whose mode cannot be set shows whichever it is in.
    let set_mode = command("set/mode").filter(|_| of.has(Requirement::Flag(ANY_MODE)));
    let listed = MODES.iter().filter(|(_, flag)| set_mode.is_none() || of.has(Requirement::Flag(flag)));
    let modes: Vec<&str> = listed.map(|(mode, _)| *mode).collect();
    // Standing by is neither on nor off, and a mode that is not listed would be a warning.
    let known = modes.join("', '");
    add("modes", json!(modes));
    // Without a topic for the mode Home Assistant would show the heater as off.
    add("mode_state_topic", status.as_str().into());
    add("mode_state_template", format!("{RENAMED}{{{{ mode if mode in ['{known}'] else None }}}}").into());
    if let Some(topic) = set_mode {
        add("mode_command_topic", topic.into());
        add("mode_command_template", SET_MODE.into());
    }
    if let Some(topic) = command("set/power").filter(|_| of.has(Requirement::Flag("power_use"))) {
        add("power_command_topic", topic.into());
    }
}
