//! What stands on the other topics of a heater.

use crate::product::entity::{COMMANDS, Component, Entity, Topic, binary, row, sensor};
use crate::product::events::EVENT_TYPES;
use crate::product::measure::Kind::{self, *};

const INFO: Topic = Topic::Heater("info");
const ENERGY: Topic = Topic::Heater("energy");
const RESERVATIONS: Topic = Topic::Heater("reservations");
const TOU: Topic = Topic::Heater("tou");
const RECIRCULATION: Topic = Topic::Heater("recirculation");
const FIRMWARE: Topic = Topic::Heater("firmware");

const ENDS: &[&str] = &["no_command", "confirmed", "rejected", "failed", "expired"];

const METERED: &str = "energy_usage_use";
const PROGRAMMED: &str = "program_reservation_use";
const CIRCULATING: &str = "recirculation_use";
const CIRCULATION_SCHEDULE: &str = "recirc_reservation_use";

/// Of the days in the answer the one that it is now where Home Assistant is, which is where the heater is.
macro_rules! of_now {
    ($list:literal, $label:literal, $format:literal, $member:literal) => {
        concat!(
            "{% set now = (value_json.",
            $list,
            " or []) | selectattr('",
            $label,
            "', 'eq', now().strftime('",
            $format,
            "')) | list %}{{ (now[0].",
            $member,
            " / 1000) | round(3) if now and now[0].",
            $member,
            " is number else None }}"
        )
    };
}

/// Device information, energy, schedules and firmware.
pub const OTHERS: &[Entity] = &[
    energy("total_kwh", "Energy"),
    energy("heat_pump_kwh", "Heat pump energy"),
    energy("heat_element_kwh", "Element energy"),
    energy("energy_today", "Energy today").read(of_now!("days", "date", "%Y-%m-%d", "total_wh")),
    energy("energy_month", "Energy this month").read(of_now!("months", "month", "%Y-%m", "total_wh")),
    energy("heat_pump_today", "Heat pump energy today")
        .read(of_now!("days", "date", "%Y-%m-%d", "heat_pump_wh"))
        .disabled(),
    energy("heat_element_today", "Element energy today")
        .read(of_now!("days", "date", "%Y-%m-%d", "heat_element_wh"))
        .disabled(),
    energy("heat_pump_month", "Heat pump energy this month")
        .read(of_now!("months", "month", "%Y-%m", "heat_pump_wh"))
        .disabled(),
    energy("heat_element_month", "Element energy this month")
        .read(of_now!("months", "month", "%Y-%m", "heat_element_wh"))
        .disabled(),
    sensor("heat_pump_hours", "Heat pump hours", Counter).on(ENERGY).diagnostic().disabled().needs(METERED),
    sensor("heat_element_hours", "Element hours", Counter).on(ENERGY).diagnostic().disabled().needs(METERED),
    sensor("reservations", "Reservations", Number)
        .on(RESERVATIONS)
        .read("{{ value_json.entries | length }}")
        .with(RESERVATIONS, None)
        .diagnostic(),
    binary("reservations_enabled", "Reservations enabled").on(RESERVATIONS).key("enabled").diagnostic(),
    sensor("tou_periods", "Time-of-use periods", Number)
        .on(TOU)
        .read("{{ value_json.periods | length }}")
        .with(
            TOU,
            Some(
                "{{ {'tariff': value_json.name, 'utility': value_json.utility, \
                         'periods': value_json.periods} | to_json }}",
            ),
        )
        .diagnostic()
        .needs(PROGRAMMED),
    sensor("tou_name", "Time-of-use tariff", Plain)
        .on(TOU)
        .read("{{ value_json.name[:255] if value_json.name else None }}")
        .disabled()
        .needs(PROGRAMMED),
    sensor("recirculation_entries", "Recirculation schedule", Number)
        .on(RECIRCULATION)
        .read("{{ value_json.entries | length }}")
        .with(RECIRCULATION, None)
        .diagnostic()
        .needs(CIRCULATION_SCHEDULE),
    binary("recirculation_enabled", "Recirculation schedule enabled")
        .on(RECIRCULATION)
        .key("enabled")
        .disabled()
        .needs(CIRCULATION_SCHEDULE),
    sensor("firmware_downloads", "Firmware downloads", Number)
        .on(FIRMWARE)
        .read("{{ value_json.downloads | length }}")
        .with(FIRMWARE, None)
        .diagnostic()
        .disabled(),
    information("controller_sw_version", "Controller firmware", Plain),
    information("panel_sw_version", "Panel firmware", Plain),
    information("wifi_sw_version", "Wi-Fi firmware", Plain),
    information("recirc_sw_version", "Recirculation firmware", Plain).needs(CIRCULATING),
    information("recirc_model_type_code", "Recirculation model", Plain).needs(CIRCULATING),
    information("recirc_temperature_min", "Recirculation minimum", Temperature).needs(CIRCULATING),
    information("recirc_temperature_max", "Recirculation maximum", Temperature).needs(CIRCULATING),
    information("dhw_temperature_min", "Lowest target temperature", Temperature),
    information("dhw_temperature_max", "Highest target temperature", Temperature),
    information("volume_code", "Tank volume", Tank),
    information("controller_serial_number", "Serial number", Plain).with(INFO, None),
    sensor("last_command_result", "Last command result", Words(ENDS))
        .on(COMMANDS)
        .read("{{ value_json.last.status if value_json.last else 'no_command' }}")
        .with(
            COMMANDS,
            Some(
                "{{ ({'command': value_json.last.name, 'reason': value_json.last.reason, 'at': value_json.last.at, \
                 'in_force': value_json.last.in_force, 'id': value_json.last.id} if value_json.last else {}) | to_json }}",
            ),
        )
        .diagnostic()
        .lasting(),
    row("event", "Event", Component::Event(EVENT_TYPES)).on(Topic::Heater("event")).payload(),
    row("reachable", "Reachable", Component::Binary(Some("connectivity")))
        .on(Topic::Heater("availability"))
        .payload()
        .diagnostic()
        .lasting(),
];

const fn energy(id: &'static str, name: &'static str) -> Entity {
    sensor(id, name, Energy).on(ENERGY).needs(METERED)
}

const fn information(id: &'static str, name: &'static str, kind: Kind) -> Entity {
    sensor(id, name, kind).on(INFO).diagnostic().disabled()
}
