//! What the world is told of the connection: the `connection` topic, the `event` topic, and the log.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::reasons;
use crate::model::Moment;
use crate::supervisor::{Event, View, seconds};

/// Returns the wall-clock time of `at`.
pub fn wall_of(moment: Moment, at: Instant) -> SystemTime {
    match at.checked_duration_since(moment.now) {
        Some(ahead) => moment.wall + ahead,
        None => moment.wall.checked_sub(moment.now.duration_since(at)).unwrap_or(moment.wall),
    }
}

/// Writes a time as RFC 3339 in UTC, to the second.
pub fn rfc3339(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at.max(SystemTime::UNIX_EPOCH)).to_string()
}

/// Writes a time as RFC 3339 in UTC, to the millisecond.
pub fn rfc3339_millis(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at.max(SystemTime::UNIX_EPOCH)).to_string()
}

/// Returns the payload of `<base>/bridge/connection`; when there are several sessions, with their number and how many of
/// them are connected.
pub fn connection(view: &View, (sessions, connected): (usize, usize), moment: Moment) -> Value {
    let mut connection = json!({
        "state": view.state.as_str(),
        "since": rfc3339(wall_of(moment, view.since)),
        "attempt": view.attempt,
        "max_attempts": view.max_attempts,
        "next_attempt_at": view.next_attempt_at.map(|at| rfc3339(wall_of(moment, at))),
        "reason": view.reason.as_ref().map(|reason| reason.code),
        "reason_text": view.reason.as_ref().map(|reason| reasons::text(reason.code)),
        "detail": view.reason.as_ref().map(|reason| reason.detail.as_ref()).filter(|detail| !detail.is_empty()),
        "strategy": view.strategy.as_str(),
        "outages": view.outages,
        "last_outage_seconds": view.last_outage.map(tenths),
    });
    if sessions > 1 {
        connection["sessions"] = sessions.into();
        connection["sessions_connected"] = connected.into();
    }
    connection
}

/// Returns the line that `systemctl status` shows: the connection to the cloud, and what is wrong with the local broker.
pub fn status_line(cloud: String, local: Option<String>) -> String {
    match local {
        Some(trouble) => format!("{cloud}; local broker: {trouble}"),
        None => cloud,
    }
}

/// Returns the payload of `<base>/bridge/event`.
pub fn event(event: &Event, wall: SystemTime) -> Value {
    let (name, more) = match event {
        Event::Connected { outage } => ("connected", json!({ "outage_seconds": outage.map(tenths) })),
        Event::ConnectionInterrupted(reason) => (
            "connection_interrupted",
            json!({
                "reason": reason.code, "reason_text": reasons::text(reason.code), "detail": reason.detail,
            }),
        ),
        Event::ReconnectScheduled { attempt, max_attempts, delay, reason } => (
            "reconnect_attempt",
            json!({
                "attempt": attempt, "max_attempts": max_attempts, "delay_ms": millis(*delay),
                "reason": reason.code, "detail": reason.detail,
            }),
        ),
        Event::ReconnectionFailed { attempts } => ("reconnection_failed", json!({ "attempts": attempts })),
        Event::RecoveryAttempt { attempt, max_attempts, delay, strategy } => (
            "recovery_attempt",
            json!({
                "attempt": attempt, "max_attempts": max_attempts, "delay_ms": millis(*delay),
                "strategy": strategy.as_str(),
            }),
        ),
        Event::RefreshingTokens => ("refreshing_tokens", json!({})),
        Event::RecreatingClient => ("recreating_client", json!({})),
        Event::SubscriptionsRestored => ("subscriptions_restored", json!({})),
        Event::Recovered { attempts } => ("recovered", json!({ "attempts": attempts })),
        Event::SignInPostponed { delay } => ("sign_in_postponed", json!({ "delay_ms": millis(*delay) })),
        Event::HeatersSilent => ("heaters_silent", json!({})),
        Event::NetworkReturned { delay } => ("network_returned", json!({ "delay_ms": millis(*delay) })),
        Event::SessionRenewing => ("session_renewing", json!({})),
        Event::TakenOver { times } => ("taken_over", json!({ "times": times })),
        Event::Unstable { times } => ("unstable", json!({ "times": times })),
        Event::Failed(reason) => ("failed", json!({ "reason": reason.code, "detail": reason.detail })),
    };
    let mut payload = json!({ "event": name, "at": rfc3339(wall) });
    if let (Value::Object(payload), Value::Object(more)) = (&mut payload, more) {
        payload.extend(more);
    }
    payload
}

/// Writes an event to the log, with the fields and the words that the contract, section 7, names, and why there is no
/// connection; one that is `known` from earlier in the outage at a lower level.
pub fn log(event: &Event, view: &View, known: bool) {
    let (state, reason) = (view.state.as_str(), view.reason.as_ref().map(|reason| reason.code));
    match event {
        _ if known => log_again(event, view),
        Event::Connected { outage: None } => info!(state, "Connected to the cloud: a heater has answered"),
        Event::Connected { outage: Some(outage) } => {
            info!(state, outage_ms = millis(*outage), "Connected again after {}", seconds(*outage));
        }
        Event::ConnectionInterrupted(reason) => {
            warn!(state, reason = reason.code, "Connection to the cloud interrupted: {reason}");
        }
        Event::ReconnectScheduled { attempt, max_attempts, delay, reason } => {
            let (of, max_attempts, delay_ms) = (of(*attempt, *max_attempts), max_attempts.unwrap_or(0), millis(*delay));
            let words = format!("Reconnecting in {}, attempt {of} ({reason})", seconds(*delay));
            info!(state, attempt, max_attempts, delay_ms, reason = reason.code, "{words}");
        }
        Event::ReconnectionFailed { attempts } => {
            warn!(state, reason, attempt = attempts, "Failed to reconnect after {attempts} attempts");
        }
        Event::RecoveryAttempt { attempt, max_attempts, delay, strategy } => {
            let (of, max_attempts, strategy) =
                (of(*attempt, *max_attempts), max_attempts.unwrap_or(0), strategy.as_str());
            warn!(state, reason, attempt, max_attempts, strategy, "Starting recovery attempt {of}");
            let wait = seconds(*delay);
            let wait = wait.trim_end_matches(" s");
            info!(state, reason, attempt, delay_ms = millis(*delay), "Waiting {wait} seconds before recovery");
        }
        Event::RefreshingTokens => info!(state, reason, "Refreshing authentication tokens"),
        Event::RecreatingClient => info!(state, reason, "Recreating MQTT client"),
        Event::SubscriptionsRestored => info!(state, reason, "Subscriptions restored"),
        Event::Recovered { attempts } => info!(state, attempt = attempts, "Recovery successful"),
        Event::SignInPostponed { delay } => {
            let wait = seconds(*delay);
            warn!(state, reason, delay_ms = millis(*delay), "Waiting {wait} until the next sign-in is allowed");
        }
        Event::HeatersSilent => warn!(state, reason, "Connected to the cloud, but no heater answers"),
        Event::NetworkReturned { delay } => {
            info!(state, reason, delay_ms = millis(*delay), "The cloud can be reached again: trying at once");
        }
        Event::SessionRenewing => info!(state, "Renewing the session, as planned"),
        Event::TakenOver { times } => warn!(
            state,
            reason,
            attempt = times,
            "The cloud closed {times} sessions in a row soon after they were up: another instance uses this client id"
        ),
        Event::Unstable { times } => {
            let words = format!("{times} sessions in a row ended soon after they were up: waiting longer");
            warn!(state, reason, attempt = times, "{words}");
        }
        // Nothing but a human, or a changed configuration, makes another attempt.
        Event::Failed(why) if view.held || why.code == "credentials" => {
            error!(state, reason = why.code, "Failed for good: {why}")
        }
        Event::Failed(why) => {
            error!(state, reason = why.code, "Every attempt failed: leaving, so that systemd starts afresh ({why})");
        }
    }
}

fn log_again(event: &Event, view: &View) {
    let state = view.state.as_str();
    match event {
        Event::ReconnectionFailed { attempts } => {
            let reason = view.reason.as_ref().map(|reason| reason.code);
            info!(
                state,
                reason,
                attempt = attempts,
                "Failed to reconnect after {attempts} attempts; the outage goes on"
            );
        }
        Event::Failed(reason) => info!(state, reason = reason.code, "Failed again, the outage goes on: {reason}"),
        _ => {}
    }
}

/// Says that an outage goes on, in place of its single steps.
pub fn log_outage(view: &View, age: Duration) {
    let (state, reason) = (view.state.as_str(), view.reason.as_ref().map(|reason| reason.code));
    let minutes = age.as_secs() / 60;
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let why = view.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    info!(state, reason, attempt = view.attempt, "No connection to the cloud for {hours} h {minutes} min: {why}");
}

fn of(attempt: u32, max: Option<u32>) -> String {
    max.map_or(attempt.to_string(), |max| format!("{attempt}/{max}"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn tenths(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Reason, State, Strategy};

    #[test]
    fn the_connection_topic_has_every_member_of_the_contract() {
        let moment = Moment::start();
        let view = View {
            state: State::Recovering,
            since: moment.now - Duration::from_secs(10),
            held: false,
            attempt: 2,
            max_attempts: Some(10),
            next_attempt_at: Some(moment.now + Duration::from_secs(120)),
            reason: Some(Reason::new("http-500", "the cloud answered 500")),
            strategy: Strategy::ExponentialBackoff,
            outages: 3,
            last_outage: Some(Duration::from_millis(1234)),
        };
        assert_eq!(connection(&view, (11, 10), moment)["sessions_connected"], 10);
        assert_eq!(
            connection(&view, (1, 0), moment),
            json!({
                "state": "recovering", "since": "2027-01-15T07:59:50Z", "attempt": 2, "max_attempts": 10,
                "next_attempt_at": "2027-01-15T08:02:00Z", "reason": "http-500",
                "reason_text": "The cloud is in trouble", "detail": "the cloud answered 500",
                "strategy": "exponential-backoff", "outages": 3, "last_outage_seconds": 1.2,
            })
        );
    }

    #[test]
    fn events_say_what_when_and_the_numbers() {
        let failed = event(&Event::ReconnectionFailed { attempts: 10 }, Moment::start().wall);
        assert_eq!(failed, json!({ "event": "reconnection_failed", "at": "2027-01-15T08:00:00Z", "attempts": 10 }));
    }
}
