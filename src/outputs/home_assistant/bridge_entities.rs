//! The entities of the bridge itself.

use crate::product::entity::{Component, Entity, Topic, button, row, sensor};
use crate::product::measure::Kind::*;

const CONNECTION: Topic = Topic::Bridge("connection");
const ABOUT: Topic = Topic::Bridge("info");

const STATES: &[&str] = &["starting", "connected", "reconnecting", "recovering", "failed", "stopping"];
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// The table of the bridge's own entities.
pub const BRIDGE: &[Entity] = &[
    sensor("connection", "Cloud connection", Words(STATES)).on(CONNECTION).key("state").with(
        CONNECTION,
        Some(
            "{{ {'detail': value_json.detail, 'max_attempts': value_json.max_attempts, \
             'strategy': value_json.strategy} | to_json }}",
        ),
    ),
    sensor("reason", "Reason", Plain).on(CONNECTION).diagnostic(),
    sensor("since", "State since", Moment).on(CONNECTION).diagnostic().disabled(),
    sensor("attempt", "Attempt", Number).on(CONNECTION).diagnostic().disabled(),
    sensor("next_attempt_at", "Next attempt", Moment).on(CONNECTION).diagnostic().disabled(),
    sensor("outages", "Outages", Total).on(CONNECTION).diagnostic(),
    sensor("last_outage_seconds", "Last outage", Seconds).on(CONNECTION).diagnostic(),
    row("event", "Connection event", Component::Event(CONNECTION_EVENTS))
        .on(Topic::Bridge("event"))
        .read("{{ dict(value_json, event_type=value_json.event) | to_json }}")
        .diagnostic()
        .disabled(),
    sensor("version", "Version", Plain).on(ABOUT).diagnostic(),
    sensor("started_at", "Started", Moment).on(ABOUT).diagnostic().disabled(),
    sensor("heaters", "Heaters", Number).on(ABOUT).read("{{ value_json.devices | length }}").diagnostic().disabled(),
    row("log_level", "Log level", Component::Select(Topic::Bridge("request/log_level"), LEVELS))
        .on(ABOUT)
        .configuration()
        .disabled(),
    button("reconnect", "Reconnect", Topic::Bridge("request/reconnect")).configuration(),
    button("refresh", "Ask for everything", Topic::Bridge("request/refresh")).configuration(),
    button("restart", "Restart", Topic::Bridge("request/restart")).of_class("restart").configuration(),
];

/// What `bridge/event` can say.
pub const CONNECTION_EVENTS: &[&str] = &[
    "connected",
    "connection_interrupted",
    "reconnect_attempt",
    "reconnection_failed",
    "recovery_attempt",
    "refreshing_tokens",
    "recreating_client",
    "subscriptions_restored",
    "recovered",
    "sign_in_postponed",
    "heaters_silent",
    "network_returned",
    "session_renewing",
    "taken_over",
    "unstable",
    "failed",
];
