//! What stands on the other topics of a heater.

use crate::product::entity::{COMMANDS, Component, Entity, Topic, binary, row, sensor};
use crate::product::events::{ALERT_TYPES, EVENT_TYPES};
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

/// A firmware version as its four bytes.
macro_rules! dotted {
    ($member:literal) => {
        concat!(
            "{% set version = value_json.",
            $member,
            " %}{{ [version // 16777216, version // 65536 % 256, version // 256 % 256, version % 256] | join('.') \
             if version is number else None }}"
        )
    };
}

/// What goes wrong, be it the heater or a command.
const ALERT: &str = "{{ value if value_json.event.startswith('command_') \
    or value_json.event.split('_')[0] in ('error', 'leak', 'overflow') else '' }}";

/// Device information, energy, schedules and firmware.
pub const OTHERS: &[Entity] = &[
    energy("total_kwh", "Energy"),
    energy("heat_pump_kwh", "Energy heat pump"),
    energy("heat_element_kwh", "Energy element"),
    energy("energy_today", "Energy today").read(of_now!("days", "date", "%Y-%m-%d", "total_wh")),
    energy("energy_month", "Energy this month").read(of_now!("months", "month", "%Y-%m", "total_wh")).disabled(),
    energy("heat_pump_today", "Energy heat pump today")
        .read(of_now!("days", "date", "%Y-%m-%d", "heat_pump_wh"))
        .disabled(),
    energy("heat_element_today", "Energy element today")
        .read(of_now!("days", "date", "%Y-%m-%d", "heat_element_wh"))
        .disabled(),
    energy("heat_pump_month", "Energy heat pump this month")
        .read(of_now!("months", "month", "%Y-%m", "heat_pump_wh"))
        .disabled(),
    energy("heat_element_month", "Energy element this month")
        .read(of_now!("months", "month", "%Y-%m", "heat_element_wh"))
        .disabled(),
    sensor("heat_pump_hours", "Heat pump hours", Counter).on(ENERGY).diagnostic().disabled().needs(METERED),
    sensor("heat_element_hours", "Element hours", Counter).on(ENERGY).diagnostic().disabled().needs(METERED),
    sensor("reservations", "Reservations", Number)
        .on(RESERVATIONS)
        .read("{{ value_json.entries | length }}")
        .with(RESERVATIONS, None)
        .diagnostic().icon("mdi:calendar-clock"),
    binary("reservations_enabled", "Reservations enabled").on(RESERVATIONS).key("enabled").diagnostic().icon("mdi:calendar-check").disabled(),
    sensor("tou_periods", "Time of use periods", Number)
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
        .needs(PROGRAMMED).icon("mdi:clock-time-four-outline").disabled(),
    sensor("tou_name", "Time of use tariff", Plain)
        .on(TOU)
        .read("{{ value_json.name[:255] if value_json.name else None }}")
        .disabled()
        .needs(PROGRAMMED).icon("mdi:cash-clock"),
    sensor("recirculation_entries", "Recirculation schedule", Number)
        .on(RECIRCULATION)
        .read("{{ value_json.entries | length }}")
        .with(RECIRCULATION, None)
        .diagnostic()
        .needs(CIRCULATION_SCHEDULE).icon("mdi:calendar-clock"),
    binary("recirculation_enabled", "Recirculation schedule enabled")
        .on(RECIRCULATION)
        .key("enabled")
        .disabled()
        .needs(CIRCULATION_SCHEDULE).icon("mdi:calendar-check"),
    row("firmware", "Firmware", Component::Update(Topic::Heater("set/firmware_commit")))
        .on(FIRMWARE)
        .read("{{ value_json.versions | to_json }}")
        .configuration(),
    sensor("firmware_downloads", "Firmware downloads", Number)
        .on(FIRMWARE)
        .read("{{ value_json.downloads | length }}")
        .with(FIRMWARE, None)
        .diagnostic()
        .disabled().icon("mdi:download"),
    information("controller_sw_version", "Firmware of the controller", Plain).read(dotted!("controller_sw_version")).icon("mdi:chip"),
    information("panel_sw_version", "Firmware of the panel", Plain).read(dotted!("panel_sw_version")).icon("mdi:chip"),
    information("wifi_sw_version", "Firmware of the Wi-Fi module", Plain).read(dotted!("wifi_sw_version")).icon("mdi:chip"),
    information("recirc_sw_version", "Firmware of the recirculation pump", Plain).read(dotted!("recirc_sw_version")).needs(CIRCULATING).icon("mdi:chip"),
    information("recirc_model_type_code", "Recirculation model", Plain).needs(CIRCULATING),
    information("recirc_temperature_min", "Recirculation minimum", Temperature).needs(CIRCULATING),
    information("recirc_temperature_max", "Recirculation maximum", Temperature).needs(CIRCULATING),
    information("dhw_temperature_min", "Target temperature lowest", Temperature),
    information("dhw_temperature_max", "Target temperature highest", Temperature),
    information("volume_code", "Tank volume", Tank),
    information("controller_serial_number", "Serial number", Plain).with(INFO, None).icon("mdi:identifier"),
    information("last_error_text", "Fault last recorded", Plain).icon("mdi:alert-circle-outline"),
    information("last_error_at", "Fault last recorded at", Moment),
    information("descaling_start", "Descaling begun", Moment),
    information("descaling_end", "Descaling ended", Moment),
    count("requests_sent", "Requests sent", "sent"),
    count("requests_answered", "Requests answered", "answered"),
    count("requests_timed_out", "Requests timed out", "timed_out"),
    sensor("last_command_result", "Last command result", Words(ENDS))
        .on(COMMANDS)
        .word("value_json.last.status if value_json.last else 'no_command'")
        .with(
            COMMANDS,
            Some(
                "{{ ({'command': value_json.last.name, 'reason': value_json.last.reason, 'at': value_json.last.at, \
                 'in_force': value_json.last.in_force, 'id': value_json.last.id} if value_json.last else {}) | to_json }}",
            ),
        )
        .diagnostic()
        .lasting().icon("mdi:comment-check-outline"),
    row("alert", "Alert", Component::Event(ALERT_TYPES))
        .on(Topic::Heater("event"))
        .read(ALERT)
        .icon("mdi:bell-alert-outline"),
    row("event", "Event", Component::Event(EVENT_TYPES))
        .on(Topic::Heater("event"))
        .payload()
        .icon("mdi:bell-outline")
        .disabled(),
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

const fn count(id: &'static str, name: &'static str, key: &'static str) -> Entity {
    sensor(id, name, Total).on(Topic::Heater("counters")).key(key).diagnostic().disabled()
}
