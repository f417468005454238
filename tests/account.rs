//! The account and its tokens against the simulated cloud: which calls it makes, and which it does not.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "account/cloud.rs"]
mod cloud;
#[path = "account/dial.rs"]
mod dial;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use navien2mqtt::io::rest::{EnsureError, RestError, SignInError};
use navien2mqtt::navilink::account::{ApiError, AwsCredentials};
use navien2mqtt::simulator::{Fault, Options, RestAnswer};
use navien2mqtt::tokens::Renewal;
use secrecy::ExposeSecret;

use self::cloud::{Cloud, EMAIL, LIST, OLD, PASSWORD, REFRESH, SECURED, SESSION, SIGN_IN};

/// What the cloud said at a sign-in that the budget allowed.
trait Said {
    fn cloud(&self) -> &RestError;
}

impl Said for SignInError {
    fn cloud(&self) -> &RestError {
        match self {
            SignInError::Failed(error) => error,
            SignInError::TooSoon(error) => panic!("{error}"),
        }
    }
}

/// What a cloud in trouble answers, none of which is about our tokens.
const TROUBLE: &[RestAnswer] = &[
    RestAnswer::Status(500),
    RestAnswer::Status(503),
    RestAnswer::Envelope(503),
    RestAnswer::TooMany(7),
    RestAnswer::Html,
    RestAnswer::Empty,
    RestAnswer::Drop,
];

#[tokio::test]
async fn fresh_tokens_cost_no_call() {
    let cloud = Cloud::new().await;
    let account = cloud.account();
    let nothing = account.ensure(Renewal::IfExpiring).await.unwrap_err();
    assert!(matches!(nothing, EnsureError::SignInNeeded(_)), "{nothing:?}");
    assert!(account.aws_credentials().await.is_none());
    assert_eq!(cloud.calls(), [0, 0, 0, 0, 0], "without tokens there is nothing to ask for");
    account.sign_in().await.unwrap();
    for _ in 0..3 {
        account.ensure(Renewal::IfExpiring).await.unwrap();
    }
    assert!(account.aws_credentials().await.is_some());
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn only_what_is_about_to_expire_is_renewed() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    for (jwt_age, aws_age, calls) in [
        (3200, 3200, [1, 0, 0, 0, 0]),
        (OLD, 0, [1, 1, 0, 0, 0]),
        (0, OLD, [1, 1, 1, 0, 0]),
        (OLD, OLD, [1, 2, 2, 0, 0]),
    ] {
        cloud.age_tokens(jwt_age, aws_age);
        let account = cloud.account();
        account.ensure(Renewal::IfExpiring).await.unwrap();
        assert_eq!(cloud.calls(), calls, "{jwt_age} s and {aws_age} s old");
        account.ensure(Renewal::IfExpiring).await.unwrap();
        cloud.account().ensure(Renewal::IfExpiring).await.unwrap();
        assert_eq!(cloud.calls(), calls, "what was renewed is fresh, for the next run too");
    }
}

#[tokio::test]
async fn refused_aws_credentials_are_replaced_whatever_their_age() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    let before = account.aws_credentials().await.unwrap();
    account.ensure(Renewal::Refused).await.unwrap();
    assert_eq!(cloud.calls(), [1, 0, 1, 0, 0]);
    let after = account.aws_credentials().await.unwrap();
    assert_ne!(before.access_key_id.expose_secret(), after.access_key_id.expose_secret());
}

#[tokio::test]
async fn renewing_everything_takes_one_call_for_each_kind() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    account.ensure(Renewal::All).await.unwrap();
    assert_eq!(cloud.calls(), [1, 1, 1, 0, 0]);
}

#[tokio::test]
async fn an_access_token_that_the_session_refresh_refuses_is_renewed_once() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.simulator.faults().set(Fault::ExpireTokens);
    account.ensure(Renewal::Refused).await.unwrap();
    assert_eq!(cloud.calls(), [1, 1, 2, 0, 0]);
}

#[tokio::test]
async fn a_session_refresh_that_fails_is_followed_by_the_second_way() {
    for answer in [RestAnswer::Status(500), RestAnswer::Envelope(500), RestAnswer::Status(404), RestAnswer::Html] {
        let cloud = Cloud::new().await;
        let account = cloud.signed_in().await;
        let before = account.aws_credentials().await.unwrap();
        cloud.answer(Some(SESSION), answer);
        account.ensure(Renewal::Refused).await.unwrap();
        assert_eq!(cloud.calls(), [1, 0, 1, 1, 0], "{answer:?}");
        let after = account.aws_credentials().await.unwrap();
        assert_ne!(before.access_key_id.expose_secret(), after.access_key_id.expose_secret(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_pause_that_the_cloud_asks_for_is_not_answered_by_another_call() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.answer(Some(SESSION), RestAnswer::TooMany(7));
    let EnsureError::Failed(error) = account.ensure(Renewal::Refused).await.unwrap_err() else {
        panic!("signing in is no answer to a 429");
    };
    assert_eq!(pause(&error), Some(Duration::from_secs(7)));
    assert_eq!(cloud.calls(), [1, 0, 1, 0, 0]);
}

#[tokio::test]
async fn a_refused_refresh_token_calls_for_a_sign_in() {
    for answer in [RestAnswer::Status(401), RestAnswer::Envelope(401), RestAnswer::Status(400), RestAnswer::Status(403)]
    {
        let cloud = Cloud::new().await;
        let account = cloud.signed_in().await;
        cloud.answer(Some(REFRESH), answer);
        let error = account.ensure(Renewal::All).await.unwrap_err();
        assert!(matches!(error, EnsureError::SignInNeeded(_)), "{answer:?}: {error:?}");
        assert_eq!(cloud.calls(), [1, 1, 0, 0, 0], "{answer:?}: nobody signs in by itself");
    }
}

#[tokio::test]
async fn a_kept_refresh_token_that_the_cloud_does_not_know_calls_for_a_sign_in() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    cloud.age_tokens(OLD, OLD);
    cloud.edit_tokens(|tokens| tokens["refresh"] = "forgotten".into());
    let account = cloud.account();
    let error = account.ensure(Renewal::IfExpiring).await.unwrap_err();
    assert!(matches!(error, EnsureError::SignInNeeded(_)), "{error:?}");
    cloud.let_an_hour_pass();
    account.sign_in().await.unwrap();
    account.ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(cloud.calls(), [2, 1, 0, 0, 0]);
}

#[tokio::test]
async fn a_session_that_cannot_be_renewed_in_any_way_calls_for_a_sign_in() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.answer(Some(SESSION), RestAnswer::Status(401));
    cloud.answer(Some(SECURED), RestAnswer::Status(401));
    let error = account.ensure(Renewal::Refused).await.unwrap_err();
    assert!(matches!(error, EnsureError::SignInNeeded(_)), "{error:?}");
    assert_eq!(cloud.calls(), [1, 1, 2, 1, 0]);
    let error = account.ensure(Renewal::All).await.unwrap_err();
    assert!(matches!(error, EnsureError::SignInNeeded(_)), "{error:?}");
    assert_eq!(cloud.calls(), [1, 2, 3, 2, 0], "an access token that is new is not renewed again");
}

#[tokio::test]
async fn trouble_of_the_cloud_never_calls_for_a_sign_in() {
    for answer in TROUBLE {
        let cloud = Cloud::new().await;
        let account = cloud.signed_in().await;
        cloud.answer(None, *answer);
        for renewal in [Renewal::Refused, Renewal::All] {
            let error = account.ensure(renewal).await.unwrap_err();
            assert!(matches!(error, EnsureError::Failed(_)), "{answer:?}, {renewal:?}: {error:?}");
        }
        assert_eq!(cloud.calls()[0], 1, "{answer:?}");
        cloud.simulator.faults().set(Fault::Clear);
        account.ensure(Renewal::All).await.unwrap();
        assert_eq!(cloud.calls()[0], 1, "{answer:?}: the tokens were kept through it");
    }
}

#[tokio::test]
async fn a_cloud_that_is_gone_never_calls_for_a_sign_in() {
    let cloud = Cloud::alone(22).await;
    cloud.signed_in().await;
    // A new one, since a connection that is still open could break in more than one way.
    let account = cloud.account();
    let gone = cloud.simulator.faults();
    cloud.let_an_hour_pass();
    cloud.simulator.stop().await;
    for renewal in [Renewal::Refused, Renewal::All] {
        let error = account.ensure(renewal).await.unwrap_err();
        assert!(matches!(error, EnsureError::Failed(RestError::Unreachable(_))), "{renewal:?}: {error:?}");
    }
    account.ensure(Renewal::IfExpiring).await.unwrap();
    let error = account.sign_in().await.unwrap_err();
    assert!(!error.rejected() && !error.cloud().reached_cloud(), "{error:?}");
    assert_eq!(gone.counters().rest(SIGN_IN), 1);
}

#[tokio::test]
async fn two_callers_at_once_cause_one_renewal() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    cloud.age_tokens(OLD, OLD);
    let account = cloud.account();
    let renew = || account.ensure(Renewal::IfExpiring);
    let (one, other, third) = tokio::join!(renew(), renew(), renew());
    assert!(one.is_ok() && other.is_ok() && third.is_ok());
    assert_eq!(cloud.calls(), [1, 1, 1, 0, 0]);
}

#[tokio::test]
async fn a_wrong_password_is_rejected_by_one_call() {
    let cloud = Cloud::new().await;
    let account = cloud.account_of(EMAIL, "wrong");
    let error = account.sign_in().await.unwrap_err();
    assert!(error.rejected(), "{error:?}");
    assert_eq!(error.cloud().code(), Some(1001));
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 0]);
    assert!(account.aws_credentials().await.is_none());
    assert!(!cloud.tokens_file().exists());
}

#[tokio::test]
async fn a_rejected_password_is_not_shown_again_even_by_another_run_unless_somebody_insists() {
    let cloud = Cloud::new().await;
    cloud.account_of(EMAIL, "wrong").sign_in().await.unwrap_err();
    let next_run = cloud.account_of(EMAIL, "wrong");
    let error = next_run.sign_in().await.unwrap_err();
    assert!(error.rejected() && matches!(error.cloud(), RestError::RejectedBefore { .. }), "{error:?}");
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 0]);
    cloud.let_an_hour_pass();
    next_run.bypass_rejection_cache();
    assert_eq!(next_run.sign_in().await.unwrap_err().cloud().code(), Some(1001));
    assert!(
        matches!(next_run.sign_in().await.unwrap_err().cloud(), RestError::RejectedBefore { .. }),
        "asked for once"
    );
    assert_eq!(cloud.calls(), [2, 0, 0, 0, 0]);
    cloud.let_an_hour_pass();
    cloud.account().sign_in().await.unwrap();
}

#[tokio::test]
async fn tokens_that_a_command_by_hand_got_are_taken_over_before_the_password_is_used() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    let daemon = cloud.account();
    cloud.simulator.faults().set(Fault::ExpireTokens);
    cloud.let_an_hour_pass();
    cloud.account().sign_in().await.unwrap();
    daemon.ensure(Renewal::All).await.unwrap();
    assert_eq!(cloud.calls()[0], 2, "the daemon did not sign in");
}

#[tokio::test]
async fn fresh_tokens_that_are_refused_call_for_the_password() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    let account = cloud.account();
    cloud.answer(Some(LIST), RestAnswer::Status(401));
    assert_eq!(account.devices().await.unwrap_err().code(), Some(401));
    assert!(matches!(account.ensure(Renewal::IfExpiring).await, Err(EnsureError::SignInNeeded(_))));
}

#[tokio::test]
async fn a_rejection_in_the_envelope_counts_although_http_says_200() {
    let cloud = Cloud::new().await;
    cloud.answer(Some(SIGN_IN), RestAnswer::Envelope(401));
    let error = cloud.account().sign_in().await.unwrap_err();
    assert!(error.rejected() && matches!(error.cloud(), RestError::Api(ApiError::Code { code: 401, .. })), "{error:?}");
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn trouble_at_sign_in_is_no_rejection_and_is_told_apart() {
    for answer in TROUBLE {
        let cloud = Cloud::new().await;
        cloud.answer(Some(SIGN_IN), *answer);
        let error = cloud.account().sign_in().await.unwrap_err();
        assert!(!error.rejected() && error.cloud().reached_cloud(), "{answer:?}: {error:?}");
        assert_eq!(cloud.calls(), [1, 0, 0, 0, 0], "{answer:?}: nothing is tried again here");
        let right = match (answer, error.cloud()) {
            (RestAnswer::Status(given), RestError::Api(ApiError::Http { status, retry_after: None, .. })) => {
                given == status
            }
            (RestAnswer::Envelope(given), RestError::Api(ApiError::Code { code, .. })) => i64::from(*given) == *code,
            (RestAnswer::TooMany(7), RestError::Api(ApiError::Http { status: 429, .. })) => {
                pause(error.cloud()) == Some(Duration::from_secs(7))
            }
            (RestAnswer::Html, RestError::Api(error)) => *error == ApiError::NotJson("HTML"),
            (RestAnswer::Empty, RestError::Api(error)) => *error == ApiError::NotJson("an empty body"),
            (RestAnswer::Drop, RestError::Broken(_)) => true,
            _ => false,
        };
        assert!(right, "{answer:?} became {error:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_not_waited_for() {
    const LIMIT: Duration = Duration::from_secs(3);
    let cloud = Cloud::new().await;
    let account = cloud.hurried(LIMIT);
    // This opens the connection, which must not be what takes long.
    account.sign_in().await.unwrap();
    cloud.answer(Some(LIST), RestAnswer::Slow(60_000));
    let error = account.devices().await.unwrap_err();
    assert!(matches!(error, RestError::TimedOut(LIMIT)), "{error:?}");
    cloud.simulator.faults().set(Fault::Clear);
    cloud.answer(Some(LIST), RestAnswer::Slow(50));
    assert_eq!(account.devices().await.unwrap().heaters.len(), 1, "one that takes a moment is");
}

#[tokio::test]
async fn a_cloud_with_another_certificate_is_not_shown_the_password() {
    let (cloud, other) = (Cloud::new().await, Cloud::new().await);
    let error = cloud.account_trusting(&other.simulator.ca_file).sign_in().await.unwrap_err();
    assert!(matches!(error.cloud(), RestError::Certificate(_)), "{error:?}");
    assert_eq!(cloud.calls(), [0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_long_list_of_heaters_comes_in_pages() {
    for (heaters, pages) in [(0, 1), (1, 1), (20, 2), (45, 3)] {
        let cloud = Cloud::with(Options { heaters, ..Options::default() }).await;
        let listed = cloud.signed_in().await.devices().await.unwrap().heaters;
        let different: BTreeSet<_> = listed.iter().map(|heater| heater.mac.clone()).collect();
        assert_eq!((listed.len(), different.len()), (heaters, heaters));
        assert_eq!(cloud.calls(), [1, 0, 0, 0, pages], "{heaters} heaters");
    }
}

#[tokio::test]
async fn a_list_that_is_refused_is_asked_for_once_more_with_a_new_token() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.simulator.faults().set(Fault::ExpireTokens);
    assert_eq!(account.devices().await.unwrap().heaters.len(), 1);
    assert_eq!(cloud.calls(), [1, 1, 0, 0, 2]);
    assert_eq!(account.devices().await.unwrap().heaters.len(), 1);
    assert_eq!(cloud.calls(), [1, 1, 0, 0, 3], "the new token is kept");
}

#[tokio::test]
async fn a_list_that_stays_refused_is_not_asked_for_a_third_time() {
    for answer in [RestAnswer::Status(401), RestAnswer::Envelope(401)] {
        let cloud = Cloud::new().await;
        let account = cloud.signed_in().await;
        cloud.answer(Some(LIST), answer);
        assert_eq!(account.devices().await.unwrap_err().code(), Some(401));
        assert_eq!(cloud.calls(), [1, 1, 0, 0, 2], "{answer:?}");
    }
}

#[tokio::test]
async fn tokens_survive_a_restart_and_are_for_their_owner_only() {
    let cloud = Cloud::new().await;
    let first = cloud.signed_in().await;
    let mode = fs::metadata(cloud.tokens_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let second = cloud.account();
    second.ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(second.devices().await.unwrap(), first.devices().await.unwrap());
    let key = |aws: Option<AwsCredentials>| aws.unwrap().access_key_id;
    let (one, other) = (key(first.aws_credentials().await), key(second.aws_credentials().await));
    assert_eq!(one.expose_secret(), other.expose_secret());
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 2]);
}

#[tokio::test]
async fn renewed_tokens_are_kept_as_well() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.simulator.faults().set(Fault::ExpireTokens);
    account.ensure(Renewal::All).await.unwrap();
    let next = cloud.account();
    next.ensure(Renewal::IfExpiring).await.unwrap();
    next.devices().await.unwrap();
    assert_eq!(cloud.calls(), [1, 1, 1, 0, 1], "the next run needs nothing but its list");
}

#[tokio::test]
async fn tokens_of_a_future_count_as_expired() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    // The clock was wrong when they were issued, or is wrong now.
    cloud.age_tokens(-86_400, -86_400);
    cloud.account().ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(cloud.calls(), [1, 1, 1, 0, 0]);
}

#[tokio::test]
async fn tokens_belong_to_one_email_address_however_it_is_spelled() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    cloud.account_of(&EMAIL.to_uppercase(), PASSWORD).ensure(Renewal::IfExpiring).await.unwrap();
    let other = cloud.account_of("other@example.com", PASSWORD);
    let error = other.ensure(Renewal::IfExpiring).await.unwrap_err();
    assert!(matches!(error, EnsureError::SignInNeeded(_)), "{error:?}");
    assert!(other.aws_credentials().await.is_none());
    assert_eq!(cloud.calls(), [1, 0, 0, 0, 0]);
}

#[tokio::test]
async fn a_damaged_token_file_counts_as_absent_and_is_replaced() {
    let cloud = Cloud::new().await;
    cloud.signed_in().await;
    let good = fs::read_to_string(cloud.tokens_file()).unwrap();
    for damaged in ["", "{", "[]", "{\"email\": 1}", &good[..good.len() / 2]] {
        fs::write(cloud.tokens_file(), damaged).unwrap();
        let error = cloud.account().ensure(Renewal::IfExpiring).await.unwrap_err();
        assert!(matches!(error, EnsureError::SignInNeeded(_)), "{damaged}: {error:?}");
    }
    cloud.let_an_hour_pass();
    cloud.signed_in().await;
    cloud.account().ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(cloud.calls(), [2, 0, 0, 0, 0]);
}

fn pause(error: &RestError) -> Option<Duration> {
    match error {
        RestError::Api(ApiError::Http { retry_after, .. }) => *retry_after,
        _ => None,
    }
}
