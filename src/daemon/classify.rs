//! What each error means for the next attempt: decided here, once.

use std::time::{Duration, SystemTime};

use crate::io::mqtt::{LinkError, Refusal};
use crate::io::rest::{RestError, SignInError};
use crate::io::tls;
use crate::io::wire::{ConnectStep, Loss, WireError};
use crate::navilink::account::ApiError;
use crate::supervisor::{Decision, Failure, Reach, Reason};

/// A clock that is off by more makes AWS refuse every signature (protocol reference, section 2).
const SKEW: Duration = Duration::from_secs(300);
const CLOCK_SKEW: &str = "clock-skew";
/// The pause after a 429 that names none.
const POLITE_PAUSE: Duration = Duration::from_secs(60);

/// Classifies the end of a session with the cloud; `now` is our wall clock.
pub fn link(error: &LinkError, now: SystemTime) -> Failure {
    let (decision, code) = match error {
        LinkError::Wire(error) => wire(error, now),
        LinkError::ConnectTimedOut(_) => (Decision::Transient, "timeout"),
        LinkError::Refused(Refusal::NotAuthorized | Refusal::UsernameOrPassword) => {
            (Decision::RenewCredentials, "not-authorized")
        }
        LinkError::Refused(_) => (Decision::Transient, "session-refused"),
        LinkError::SubscriptionRefused(_) => (Decision::Transient, "subscription-refused"),
        LinkError::Lost(Loss::Closed(_)) => (Decision::ClosedByCloud, "connection-closed"),
        LinkError::Lost(Loss::KeepAliveTimeout(_)) => (Decision::Transient, "keep-alive"),
        LinkError::Lost(Loss::NotMqtt(_)) => (Decision::Transient, "not-mqtt"),
        LinkError::Lost(_) => (Decision::Transient, "connection-lost"),
        LinkError::Unacknowledged(_) => (Decision::Transient, "no-acknowledgement"),
        LinkError::Overflow => (Decision::Transient, "overflow"),
        LinkError::OnPurpose => (Decision::Transient, "on-purpose"),
        LinkError::Engine(_) => (Decision::Bug, "engine"),
    };
    let reach = match error {
        LinkError::Wire(error) if !error.reached_server() => Reach::Nothing,
        _ => Reach::Cloud,
    };
    failure(decision, code, error.to_string(), reach)
}

fn wire(error: &WireError, now: SystemTime) -> (Decision, &'static str) {
    match error {
        WireError::Lookup { .. } => (Decision::Transient, "dns"),
        WireError::Connect { .. } => (Decision::Transient, "unreachable"),
        WireError::Certificate { error, .. } if tls::is_of_the_future(error) => (Decision::ClockSkew, CLOCK_SKEW),
        WireError::Certificate { .. } => (Decision::Transient, "certificate"),
        WireError::Tls { .. } => (Decision::Transient, "tls"),
        WireError::NotWebSocket(_) => (Decision::Transient, "not-websocket"),
        WireError::TimedOut { step: ConnectStep::Lookup, .. } => (Decision::Transient, "dns"),
        WireError::TimedOut { .. } => (Decision::Transient, "timeout"),
        WireError::Upgrade { status: 403, date: Some(date), .. } if skewed(*date, now) => {
            (Decision::ClockSkew, CLOCK_SKEW)
        }
        WireError::Upgrade { status: status @ (401 | 403), .. } => (Decision::RenewCredentials, http(*status)),
        WireError::Upgrade { status, retry_after, .. } => (pause(*status, *retry_after), http(*status)),
    }
}

fn skewed(theirs: SystemTime, ours: SystemTime) -> bool {
    let ahead = theirs.duration_since(ours).unwrap_or_default();
    let behind = ours.duration_since(theirs).unwrap_or_default();
    ahead.max(behind) > SKEW
}

/// Classifies a call of the REST API.
pub fn rest(error: &RestError) -> Failure {
    let (decision, code) = match error {
        RestError::Lookup { .. } => (Decision::Transient, "dns"),
        RestError::Unreachable(_) => (Decision::Transient, "unreachable"),
        RestError::Certificate(error) if tls::is_of_the_future(error) => (Decision::ClockSkew, CLOCK_SKEW),
        RestError::Certificate(_) => (Decision::Transient, "certificate"),
        RestError::TimedOut(_) => (Decision::Transient, "timeout"),
        RestError::Broken(_) | RestError::TooLarge(_) => (Decision::Transient, "bad-answer"),
        RestError::Api(ApiError::Http { status, retry_after, .. }) => (pause(*status, *retry_after), http(*status)),
        RestError::Api(ApiError::Code { code, .. }) => {
            let status = u16::try_from(*code).unwrap_or(0);
            (pause(status, None), http(status))
        }
        RestError::Api(ApiError::Maintenance(_)) => (Decision::Transient, "maintenance"),
        RestError::RejectedBefore { .. } => (Decision::CredentialsRejected, "credentials"),
        RestError::Api(ApiError::NotJson(_) | ApiError::Missing(_)) => (Decision::Transient, "bad-answer"),
    };
    let reach = match error {
        RestError::Lookup { .. } | RestError::Unreachable(_) => Reach::Nothing,
        _ if !error.reached_cloud() => Reach::Host,
        _ => Reach::Cloud,
    };
    failure(decision, code, error.to_string(), reach)
}

/// Classifies a sign-in.
pub fn sign_in(error: &SignInError) -> Failure {
    if error.rejected() {
        return failure(Decision::CredentialsRejected, "credentials", error.to_string(), Reach::Cloud);
    }
    match error {
        SignInError::Failed(error) => rest(error),
        // The daemon waits for it instead.
        SignInError::TooSoon(error) => failure(Decision::Transient, "sign-in", error.to_string(), Reach::Host),
    }
}

fn pause(status: u16, retry_after: Option<Duration>) -> Decision {
    match (status, retry_after) {
        (_, Some(pause)) => Decision::RetryAfter(pause),
        (429, None) => Decision::RetryAfter(POLITE_PAUSE),
        _ => Decision::Transient,
    }
}

fn http(status: u16) -> &'static str {
    match status {
        401 => "http-401",
        403 => "http-403",
        404 => "http-404",
        429 => "http-429",
        500 => "http-500",
        502 => "http-502",
        503 => "http-503",
        504 => "http-504",
        _ => "http",
    }
}

fn failure(decision: Decision, code: &'static str, detail: String, reach: Reach) -> Failure {
    let mut detail = without_links(&detail);
    if decision == Decision::ClockSkew {
        detail += "; the clock of this machine seems to be wrong";
    }
    Failure { decision, reason: Reason::new(code, detail), reach }
}

/// Leaves out where a library explains its errors: `peer closed connection without sending TLS close_notify: https://…`.
fn without_links(detail: &str) -> String {
    let words: Vec<&str> = detail.split(' ').filter(|word| !word.starts_with("https://docs.rs/")).collect();
    words.join(" ").trim_end_matches(':').to_owned()
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    fn upgrade(status: u16, retry_after: Option<u64>, date: Option<SystemTime>) -> LinkError {
        WireError::Upgrade { status, retry_after: retry_after.map(Duration::from_secs), date }.into()
    }

    #[test]
    fn no_reason_has_the_link_of_a_library() {
        let eof = "peer closed connection without sending TLS close_notify";
        assert_eq!(without_links(&format!("{eof}: https://docs.rs/rustls/latest/rustls/#unexpected-eof")), eof);
        assert_eq!(without_links("https://example.com answers: nothing"), "https://example.com answers: nothing");
    }

    #[test]
    fn a_403_renews_the_credentials_unless_the_clocks_disagree() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let decide = |date| link(&upgrade(403, None, date), now).decision;
        assert_eq!(decide(None), Decision::RenewCredentials);
        assert_eq!(decide(Some(now - Duration::from_secs(200))), Decision::RenewCredentials);
        assert_eq!(decide(Some(now + SKEW)), Decision::RenewCredentials, "not yet");
        assert_eq!(decide(Some(now + Duration::from_secs(400))), Decision::ClockSkew);
        assert_eq!(decide(Some(now - Duration::from_secs(400))), Decision::ClockSkew);
    }

    #[test]
    fn the_clock_is_blamed_only_where_it_is_wrong() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for (ahead, blamed) in [(400, true), (0, false)] {
            let failure = link(&upgrade(403, None, Some(now + Duration::from_secs(ahead))), now);
            assert_eq!(failure.reason.to_string().contains("clock of this machine"), blamed, "{}", failure.reason);
        }
    }

    #[test]
    fn pauses_are_kept() {
        let now = SystemTime::UNIX_EPOCH;
        let minute = Decision::RetryAfter(Duration::from_secs(60));
        assert_eq!(link(&upgrade(429, None, None), now).decision, minute);
        assert_eq!(link(&upgrade(503, Some(60), None), now).decision, minute);
        assert_eq!(link(&upgrade(503, None, None), now).decision, Decision::Transient);
        let error = http_error(503, None, Some(60));
        assert_eq!(rest(&error.into()).decision, minute);
    }

    fn http_error(status: u16, code: Option<i64>, pause: Option<u64>) -> ApiError {
        ApiError::Http { status, code, message: String::new(), retry_after: pause.map(Duration::from_secs) }
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;
    const TRANSIENT: Decision = Decision::Transient;

    #[test]
    fn every_end_of_a_link_has_its_word_its_meaning_and_its_reach() {
        let broken = || std::io::Error::other("broken");
        let host = || "cloud".to_owned();
        let late = |step| WireError::TimedOut { step, limit: Duration::from_secs(20) };
        let nothing: [(WireError, &str); 4] = [
            (WireError::Lookup { host: host(), error: broken() }, "dns"),
            (late(ConnectStep::Lookup), "dns"),
            (WireError::Connect { host: host(), port: 443, error: broken() }, "unreachable"),
            (late(ConnectStep::Connect), "timeout"),
        ];
        for (error, code) in nothing {
            let failure = link(&error.into(), NOW);
            assert_eq!((failure.reason.code, failure.decision, failure.reach), (code, TRANSIENT, Reach::Nothing));
        }
        let renew = Decision::RenewCredentials;
        let cloud: [(LinkError, &str, Decision); 22] = [
            (late(ConnectStep::Handshake).into(), "timeout", TRANSIENT),
            (late(ConnectStep::Upgrade).into(), "timeout", TRANSIENT),
            (WireError::Tls { host: host(), error: broken() }.into(), "tls", TRANSIENT),
            (WireError::NotWebSocket("HTML".into()).into(), "not-websocket", TRANSIENT),
            (upgrade(401, None, None), "http-401", renew),
            (upgrade(403, None, None), "http-403", renew),
            (upgrade(500, None, None), "http-500", TRANSIENT),
            (LinkError::ConnectTimedOut(Duration::ZERO), "timeout", TRANSIENT),
            (LinkError::Refused(Refusal::UsernameOrPassword), "not-authorized", renew),
            (LinkError::Refused(Refusal::NotAuthorized), "not-authorized", renew),
            (LinkError::Refused(Refusal::ProtocolVersion), "session-refused", TRANSIENT),
            (LinkError::Refused(Refusal::ClientId), "session-refused", TRANSIENT),
            (LinkError::Refused(Refusal::Unavailable), "session-refused", TRANSIENT),
            (LinkError::Refused(Refusal::Unknown), "session-refused", TRANSIENT),
            (LinkError::SubscriptionRefused("#".into()), "subscription-refused", TRANSIENT),
            (Loss::Closed(String::new()).into(), "connection-closed", Decision::ClosedByCloud),
            (Loss::KeepAliveTimeout(Duration::ZERO).into(), "keep-alive", TRANSIENT),
            (Loss::Broken("reset".into()).into(), "connection-lost", TRANSIENT),
            (LinkError::Unacknowledged(Duration::ZERO), "no-acknowledgement", TRANSIENT),
            (LinkError::Overflow, "overflow", TRANSIENT),
            (LinkError::OnPurpose, "on-purpose", TRANSIENT),
            (LinkError::Engine("no".into()), "engine", Decision::Bug),
        ];
        for (error, code, decision) in cloud {
            let failure = link(&error, NOW);
            assert_eq!(
                (failure.reason.code, failure.decision, failure.reach),
                (code, decision, Reach::Cloud),
                "{error}"
            );
        }
    }

    #[test]
    fn every_failed_call_has_its_word_its_meaning_and_its_reach() {
        let host = || "cloud".to_owned();
        let calls: [(RestError, &str, Decision, Reach); 9] = [
            (RestError::Lookup { host: host(), error: "no address".into() }, "dns", TRANSIENT, Reach::Nothing),
            (RestError::Unreachable("refused".into()), "unreachable", TRANSIENT, Reach::Nothing),
            (RestError::Certificate(invalid(CertificateError::Expired)), "certificate", TRANSIENT, Reach::Host),
            (RestError::TimedOut(Duration::ZERO), "timeout", TRANSIENT, Reach::Cloud),
            (RestError::Broken("eof".into()), "bad-answer", TRANSIENT, Reach::Cloud),
            (RestError::TooLarge(1), "bad-answer", TRANSIENT, Reach::Cloud),
            (ApiError::NotJson("HTML").into(), "bad-answer", TRANSIENT, Reach::Cloud),
            (ApiError::Missing("token").into(), "bad-answer", TRANSIENT, Reach::Cloud),
            (ApiError::Maintenance("at ten".into()).into(), "maintenance", TRANSIENT, Reach::Cloud),
        ];
        for (error, code, decision, reach) in calls {
            let failure = rest(&error);
            assert_eq!((failure.reason.code, failure.decision, failure.reach), (code, decision, reach), "{error}");
        }
        let before = RestError::RejectedBefore { at: String::new(), again_in: Duration::ZERO };
        let failure = rest(&before);
        assert_eq!((failure.decision, failure.reach), (Decision::CredentialsRejected, Reach::Host));
    }

    #[test]
    fn the_words_of_http_are_those_of_the_documentation() {
        for (status, code) in [
            (401, "http-401"),
            (403, "http-403"),
            (404, "http-404"),
            (429, "http-429"),
            (500, "http-500"),
            (502, "http-502"),
            (503, "http-503"),
            (504, "http-504"),
            (418, "http"),
        ] {
            assert_eq!(rest(&http_error(status, Some(status.into()), None).into()).reason.code, code);
            let in_envelope = ApiError::Code { code: status.into(), message: String::new() };
            assert_eq!(rest(&in_envelope.into()).reason.code, code);
            assert_eq!(link(&upgrade(status, None, None), NOW).reason.code, code);
        }
    }

    #[test]
    fn a_gateway_rejects_nobody() {
        for status in [401, 403] {
            let failure = sign_in(&SignInError::Failed(http_error(status, None, None).into()));
            assert_ne!(failure.decision, Decision::CredentialsRejected, "{status}");
            assert_eq!(failure.reach, Reach::Cloud, "it counts");
        }
        let not_found = ApiError::Code { code: 1002, message: "USER_NOT_FOUND".into() };
        assert_eq!(sign_in(&SignInError::Failed(not_found.into())).decision, Decision::CredentialsRejected);
    }

    fn invalid(error: CertificateError) -> rustls::Error {
        rustls::Error::InvalidCertificate(error)
    }

    #[test]
    fn a_certificate_of_the_future_tells_that_our_clock_is_wrong() {
        for (error, decision, code) in [
            (CertificateError::NotValidYet, Decision::ClockSkew, "clock-skew"),
            (CertificateError::Expired, Decision::Transient, "certificate"),
        ] {
            let failure = rest(&RestError::Certificate(invalid(error.clone())));
            assert_eq!((failure.decision, failure.reason.code), (decision, code));
            let wire = WireError::Certificate { host: "cloud".into(), error: invalid(error) };
            let failure = link(&wire.into(), SystemTime::UNIX_EPOCH);
            assert_eq!((failure.decision, failure.reason.code), (decision, code));
        }
    }

    #[test]
    fn only_a_rejection_at_sign_in_is_a_rejection() {
        let wrong = || RestError::from(ApiError::Code { code: 401, message: "wrong".into() });
        assert_eq!(sign_in(&SignInError::Failed(wrong())).decision, Decision::CredentialsRejected);
        assert_eq!(rest(&wrong()).decision, Decision::Transient);
        assert_eq!(sign_in(&SignInError::Failed(RestError::Unreachable(String::new()))).decision, Decision::Transient);
    }
}
