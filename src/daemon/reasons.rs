//! The reasons of an outage in words, for people who look at a page and not into the documentation.

/// Each reason and what happened, with what to do where nothing goes on without a human; `docs/operations.md` has the same
/// codes, and more.
const REASONS: &[(&str, &str)] = &[
    ("dns", "The cloud's name cannot be looked up"),
    ("unreachable", "The cloud does not accept connections"),
    ("timeout", "An attempt or an answer took too long"),
    ("tls", "The secure connection failed"),
    ("certificate", "The cloud's certificate is not accepted"),
    ("connection-closed", "The cloud closed the connection"),
    ("connection-lost", "The connection was lost"),
    ("keep-alive", "Nothing was received for too long"),
    ("no-answer", "Requests are not answered"),
    ("heaters-silent", "No heater answers"),
    ("no-acknowledgement", "The cloud does not acknowledge messages"),
    ("no-heaters", "The account has no NWP500: look into the NaviLink app"),
    ("http-401", "The cloud refused tokens or signature"),
    ("http-403", "The cloud refused tokens or signature"),
    ("clock-skew", "Our clock and the cloud's differ: set the clock of the bridge's machine"),
    ("http-404", "The cloud's address has changed: look for a new release"),
    ("http-429", "The cloud asks for a pause"),
    ("http-500", "The cloud is in trouble"),
    ("http-502", "The cloud is in trouble"),
    ("http-503", "The cloud is in trouble"),
    ("http-504", "The cloud is in trouble"),
    ("http", "The cloud is in trouble"),
    ("maintenance", "The cloud is under maintenance"),
    ("bad-answer", "The cloud's answer makes no sense"),
    ("not-websocket", "Something else than the cloud answers"),
    ("not-mqtt", "Something else than the cloud answers"),
    ("not-authorized", "The cloud refused the session"),
    ("session-refused", "The cloud refused the session"),
    ("subscription-refused", "The cloud refused a subscription"),
    ("sign-in", "Signing in did not come to an end"),
    ("device-list", "Reading the device list did not come to an end"),
    ("connect", "Connecting did not come to an end"),
    (
        "credentials",
        "The email or password was rejected: correct account.email or account.password_file and start the service again",
    ),
    ("session-age", "The session is renewed as planned"),
    ("new-heater", "The session is renewed for a new heater"),
    ("network-back", "The network is back"),
    ("taken-over", "Another instance uses the same client id: stop it, or remove client-id.json of the copy"),
    ("unstable", "Sessions end soon after they are up"),
    ("requested", "Somebody asked for it"),
    ("on-purpose", "Somebody asked for it"),
    ("overflow", "A mistake of the bridge, or a machine in trouble"),
    ("engine", "A mistake of the bridge, or a machine in trouble"),
    ("presign", "A mistake of the bridge, or a machine in trouble"),
];

/// Returns what a reason means; one without words is shown as it is.
pub fn text(code: &str) -> &str {
    REASONS.iter().find(|(known, _)| *known == code).map_or(code, |(_, words)| words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_documented_reason_has_words_and_no_other_one_has() {
        let operations = include_str!("../../docs/operations.md");
        let (_, section) = operations.split_once("## Reasons").unwrap();
        let rows = section.split("\n## ").next().unwrap().lines().filter_map(|line| line.strip_prefix("| `"));
        let cells = rows.map(|row| row.split(" | ").next().unwrap());
        let documented: BTreeSet<&str> =
            cells.flat_map(|cell| cell.split(", ").map(|code| code.trim_matches('`'))).collect();
        assert_eq!(REASONS.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), documented);
        assert!(text("credentials").contains("correct account.email or account.password_file"));
        assert!(REASONS.iter().all(|(_, words)| words.len() < 200), "a state of Home Assistant has at most 255");
        assert_eq!(text("of-tomorrow"), "of-tomorrow");
    }
}
