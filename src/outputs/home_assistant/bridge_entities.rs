//! The entities of the bridge itself.

use crate::product::entity::{Available, BRIDGE_STATE, Component, Entity, Topic, binary, button, row, sensor};
use crate::product::measure::Kind::*;

const CONNECTION: Topic = Topic::Bridge("connection");
const ABOUT: Topic = Topic::Bridge("info");

const STATES: &[&str] = &["starting", "connected", "reconnecting", "recovering", "failed", "stopping"];
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];

/// The connection's topic is the last word on it, needed most when the bridge has ended. Only `connected` is no longer true
/// then: it holds while the bridge runs.
const LAST_WORD: Available =
    &[(BRIDGE_STATE, None), (CONNECTION, Some("{{ 'offline' if value_json.state == 'connected' else 'online' }}"))];

/// Whoever is to see that the bridge has gone must not be unavailable then.
const ONCE_HEARD_OF: Available = &[(BRIDGE_STATE, Some("online"))];

/// Home Assistant would show nothing as unknown.
const REASON: &str = "{{ value_json.reason_text or \
    {'connected': 'All well', 'stopping': 'Stopped'}.get(value_json.state, value_json.state | capitalize) }}";

const NEXT_ATTEMPT: &str = "{% if value_json.next_attempt_at %}\
    {{ as_local(as_datetime(value_json.next_attempt_at)).strftime('%H:%M:%S') }}\
    {% elif value_json.attempt and value_json.state in ('starting', 'reconnecting', 'recovering') %}Under way\
    {% else %}None due{% endif %}\
    {% if value_json.attempt and value_json.state != 'failed' %}, attempt {{ value_json.attempt }}\
    {% if value_json.max_attempts %} of {{ value_json.max_attempts }}{% endif %}{% endif %}";

/// The table of the bridge's own entities.
pub const BRIDGE: &[Entity] = &[
    binary("bridge_online", "Bridge online")
        .of_class("connectivity")
        .on(BRIDGE_STATE)
        .payload()
        .diagnostic()
        .available(ONCE_HEARD_OF),
    binary("cloud_online", "Cloud online")
        .of_class("connectivity")
        .on(CONNECTION)
        .read("{{ value_json.state == 'connected' }}")
        .diagnostic()
        .available(LAST_WORD),
    sensor("connection", "Cloud connection", Words(STATES))
        .on(CONNECTION)
        .key("state")
        .with(
            CONNECTION,
            Some(
                "{{ {'since': value_json.since, 'detail': value_json.detail, \
                 'max_attempts': value_json.max_attempts, 'strategy': value_json.strategy} | to_json }}",
            ),
        )
        .available(LAST_WORD)
        .icon("mdi:cloud-outline"),
    sensor("reason", "Reason", Plain)
        .on(CONNECTION)
        .read(REASON)
        .with(
            CONNECTION,
            Some("{{ {'code': value_json.reason, 'detail': value_json.detail, 'since': value_json.since} | to_json }}"),
        )
        .diagnostic()
        .available(LAST_WORD)
        .icon("mdi:cloud-question-outline"),
    sensor("since", "State since", Moment).on(CONNECTION).diagnostic().available(LAST_WORD),
    sensor("attempt", "Attempt", Number).on(CONNECTION).diagnostic().disabled(),
    sensor("next_attempt_at", "Next attempt", Plain)
        .on(CONNECTION)
        .read(NEXT_ATTEMPT)
        .with(CONNECTION, Some("{{ {'at': value_json.next_attempt_at, 'attempt': value_json.attempt} | to_json }}"))
        .diagnostic()
        .icon("mdi:timer-sand"),
    sensor("outages", "Outages", Total).on(CONNECTION).diagnostic(),
    sensor("last_outage_seconds", "Last outage", Seconds).on(CONNECTION).diagnostic(),
    row("event", "Connection event", Component::Event(CONNECTION_EVENTS))
        .on(Topic::Bridge("event"))
        .read("{{ dict(value_json, event_type=value_json.event) | to_json }}")
        .diagnostic()
        .disabled()
        .icon("mdi:cloud-sync-outline"),
    sensor("version", "Version", Plain).on(ABOUT).diagnostic().disabled(),
    sensor("started_at", "Started", Moment).on(ABOUT).diagnostic().disabled(),
    sensor("heaters", "Heaters", Number).on(ABOUT).read("{{ value_json.devices | length }}").diagnostic().disabled(),
    row("log_level", "Log level", Component::Select(Topic::Bridge("request/log_level"), LEVELS))
        .on(ABOUT)
        .configuration()
        .disabled()
        .icon("mdi:math-log"),
    button("reconnect", "Reconnect", Topic::Bridge("request/reconnect"))
        .configuration()
        .icon("mdi:cloud-refresh-outline"),
    button("refresh", "Ask for everything", Topic::Bridge("request/refresh")).configuration().icon("mdi:refresh"),
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
