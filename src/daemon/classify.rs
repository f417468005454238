//! What each error means for the next attempt: decided here, once.

use std::time::{Duration, SystemTime};

use crate::io::mqtt::{LinkError, Refusal};
use crate::io::rest::{RestError, SignInError};
use crate::io::tls;
use crate::io::wire::{Loss, WireError};
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
        LinkError::Lost(Loss::Deaf(_)) => (Decision::Transient, "keep-alive"),
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

fn failure(decision: Decision, code: &'static str, mut detail: String, reach: Reach) -> Failure {
    if decision == Decision::ClockSkew {
        detail += "; the clock of this machine seems to be wrong";
    }
    Failure { decision, reason: Reason::new(code, detail), reach }
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    fn upgrade(status: u16, retry_after: Option<u64>, date: Option<SystemTime>) -> LinkError {
        WireError::Upgrade { status, retry_after: retry_after.map(Duration::from_secs), date }.into()
    }

    #[test]
    fn a_403_renews_the_credentials_unless_the_clocks_disagree() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let decide = |date| link(&upgrade(403, None, date), now).decision;
        assert_eq!(decide(None), Decision::RenewCredentials);
        assert_eq!(decide(Some(now - Duration::from_secs(200))), Decision::RenewCredentials);
        assert_eq!(decide(Some(now + Duration::from_secs(400))), Decision::ClockSkew);
        assert_eq!(decide(Some(now - Duration::from_secs(400))), Decision::ClockSkew);
    }

    #[test]
    fn pauses_are_kept() {
        let now = SystemTime::UNIX_EPOCH;
        let minute = Decision::RetryAfter(Duration::from_secs(60));
        assert_eq!(link(&upgrade(429, None, None), now).decision, minute);
        assert_eq!(link(&upgrade(503, Some(60), None), now).decision, minute);
        assert_eq!(link(&upgrade(503, None, None), now).decision, Decision::Transient);
        let error = ApiError::Http {
            status: 503,
            code: None,
            message: String::new(),
            retry_after: Some(Duration::from_secs(60)),
        };
        assert_eq!(rest(&error.into()).decision, minute);
    }

    #[test]
    fn a_cloud_that_was_not_reached_has_seen_nothing() {
        let error = RestError::Unreachable("dns".into());
        assert_eq!(rest(&error).reach, Reach::Nothing);
        assert_eq!(rest(&RestError::Certificate(invalid(CertificateError::Expired))).reach, Reach::Host);
        assert_eq!(rest(&RestError::TimedOut(Duration::from_secs(1))).reach, Reach::Cloud);
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
