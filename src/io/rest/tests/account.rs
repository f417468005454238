use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::ExposeSecret;

use super::server::{ApiServer, ReceivedCall, Reply};
use super::*;
use crate::io::clock;
use crate::io::rest::{EnsureError, RestError};
use crate::io::state::{TokenFile, unix};
use crate::navilink::account::ApiError;
use crate::tokens::Renewal;

const JWT: &str = "/auth/refresh";
const SESSION: &str = "/auth/session/refresh";
const SECURED: &str = "/user/secured-sign-in";
const SIGN_IN: &str = "/user/sign-in";
const LIST: &str = "/device/list";

/// A cloud in good health, whose tokens live for an hour.
fn healthy(call: &ReceivedCall) -> Reply {
    match call.path.as_str() {
        SIGN_IN => signed_in(3600, 3600),
        JWT => refreshed_jwt(),
        SESSION => refreshed_aws("session"),
        SECURED => refreshed_aws("secured"),
        LIST => Reply::good(&json!([entry(1)])),
        _ => Reply::raw(404, "", ""),
    }
}

/// A healthy cloud but for one call.
async fn healthy_but(path: &'static str, reply: impl Fn() -> Reply + Send + Sync + 'static) -> ApiServer {
    ApiServer::start(move |call| if call.path == path { reply() } else { healthy(call) }).await
}

fn shows(call: &ReceivedCall, access: &str) -> bool {
    call.head.contains(&format!("\r\nauthorization: {access}\r\n"))
}

/// Keeps tokens in the server's state directory, issued so many seconds ago.
async fn keep_tokens(server: &ApiServer, jwt_age: u64, aws_age: u64) {
    let now = unix(clock::wall());
    let state = StateDirectory::new(server.state());
    let kept = TokenFile {
        email: EMAIL.to_lowercase(),
        access: "access-kept".into(),
        refresh: "refresh-kept".into(),
        jwt_issued: now - jwt_age,
        jwt_life: 3600,
        aws: Some(["key-kept".into(), "secret-kept".into(), "session-kept".into()]),
        aws_issued: now - aws_age,
        aws_life: 3600,
        user_type: "O".into(),
    };
    state.keep_tokens(kept).await;
}

async fn key(account: &Account) -> String {
    account.aws_credentials().await.unwrap().access_key_id.expose_secret().to_owned()
}

fn sign_in_needed(outcome: Result<(), EnsureError>) -> bool {
    matches!(outcome, Err(EnsureError::SignInNeeded(_)))
}

#[tokio::test]
async fn without_tokens_only_a_sign_in_helps() {
    let server = ApiServer::start(healthy).await;
    let account = account(&server);
    assert!(sign_in_needed(account.ensure(Renewal::IfExpiring).await));
    assert!(account.aws_credentials().await.is_none());
    assert!(account.devices().await.is_err());
    assert!(server.calls().is_empty(), "{:?}", server.paths());

    account.sign_in().await.unwrap();
    account.ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(key(&account).await, "key-signed-in");
    assert_eq!(server.paths(), [SIGN_IN]);
    assert_eq!(server.calls()[0].body, json!({ "userId": EMAIL, "password": "right" }));
}

#[tokio::test]
async fn each_kind_of_token_is_renewed_at_its_own_age() {
    // Five minutes before the end of an hour counts as expired.
    for (jwt_age, aws_age, wanted) in [
        (3200, 3200, &[][..]),
        (3301, 3200, &[JWT]),
        (3200, 3301, &[SESSION]),
        (3301, 3301, &[JWT, SESSION]),
        (90_000, 90_000, &[JWT, SESSION]),
    ] {
        let server = ApiServer::start(healthy).await;
        keep_tokens(&server, jwt_age, aws_age).await;
        let account = account(&server);
        account.ensure(Renewal::IfExpiring).await.unwrap();
        account.ensure(Renewal::IfExpiring).await.unwrap();
        assert_eq!(server.paths(), wanted, "{jwt_age} {aws_age}");
    }
}

#[tokio::test]
async fn a_kept_life_without_end_is_believed_no_more_than_one_from_the_cloud() {
    let server = ApiServer::start(healthy).await;
    let state = StateDirectory::new(server.state());
    keep_tokens(&server, 0, 0).await;
    let kept = state.tokens().unwrap();
    let endless = 1 << 63;
    state.keep_tokens(TokenFile { jwt_life: endless, aws_life: endless, ..kept }).await;
    let renewed_in = account(&server).renew_in().await;
    assert!(renewed_in <= Duration::from_secs(86_400), "{renewed_in:?}");
}

#[tokio::test]
async fn a_session_is_renewed_with_the_new_access_token() {
    let server = ApiServer::start(healthy).await;
    keep_tokens(&server, 3600, 3600).await;
    let account = account(&server);
    account.ensure(Renewal::IfExpiring).await.unwrap();
    let calls = server.calls();
    assert_eq!(calls[0].body, json!({ "refreshToken": "refresh-kept" }));
    assert!(!calls[0].head.contains("authorization"), "{}", calls[0].head);
    assert!(shows(&calls[1], "access-refreshed"), "{}", calls[1].head);
    assert_eq!(key(&account).await, "key-session");
}

#[tokio::test]
async fn refused_credentials_are_renewed_at_any_age_and_all_renews_the_access_token_too() {
    let server = ApiServer::start(healthy).await;
    let account = account(&server);
    account.sign_in().await.unwrap();
    account.ensure(Renewal::Refused).await.unwrap();
    assert_eq!(key(&account).await, "key-session");
    account.ensure(Renewal::All).await.unwrap();
    assert_eq!(server.paths(), [SIGN_IN, SESSION, JWT, SESSION]);
    // The answer to the refresh named no refresh token: the old one stays valid.
    assert_eq!(server.calls()[2].body, json!({ "refreshToken": "refresh-signed-in" }));
}

#[tokio::test]
async fn two_callers_that_find_the_tokens_expired_cause_one_request() {
    let late = |call: &ReceivedCall| Reply::Late(Duration::from_millis(100), Box::new(healthy(call)));
    let server = ApiServer::start(late).await;
    keep_tokens(&server, 3600, 3600).await;
    let account = account(&server);
    let (one, other) = tokio::join!(account.ensure(Renewal::IfExpiring), account.ensure(Renewal::IfExpiring));
    one.unwrap();
    other.unwrap();
    assert_eq!(server.paths(), [JWT, SESSION]);
}

#[tokio::test]
async fn two_calls_that_are_refused_cause_one_renewal() {
    let server = ApiServer::start(|call| match call.path.as_str() {
        LIST if !shows(call, "access-refreshed") => {
            Reply::Late(Duration::from_millis(100), Box::new(Reply::code(401, "TOKEN_EXPIRED", &Value::Null)))
        }
        _ => healthy(call),
    })
    .await;
    keep_tokens(&server, 0, 0).await;
    let account = account(&server);
    let (one, other) = tokio::join!(account.devices(), account.devices());
    assert_eq!((one.unwrap().heaters.len(), other.unwrap().heaters.len()), (1, 1));
    assert_eq!(server.paths().iter().filter(|path| *path == JWT).count(), 1);
}

#[tokio::test]
async fn a_call_that_is_refused_again_after_a_renewal_is_not_tried_a_third_time() {
    let server = healthy_but(LIST, || Reply::raw(401, "", "")).await;
    keep_tokens(&server, 0, 0).await;
    assert_eq!(account(&server).devices().await.unwrap_err().code(), Some(401));
    assert_eq!(server.paths(), [LIST, JWT, LIST]);
}

#[tokio::test]
async fn other_failures_of_a_call_renew_nothing() {
    let server = healthy_but(LIST, || Reply::raw(503, "", "")).await;
    keep_tokens(&server, 0, 0).await;
    assert_eq!(account(&server).devices().await.unwrap_err().code(), Some(503));
    assert_eq!(server.paths(), [LIST]);
}

#[tokio::test]
async fn a_refused_refresh_token_needs_a_sign_in() {
    let refusals: [fn() -> Reply; 4] = [
        || Reply::raw(401, "", ""),
        || Reply::code(401, "INVALID_TOKEN", &Value::Null),
        || Reply::code(1001, "INVALID_TOKEN", &Value::Null),
        || Reply::good(&json!({})),
    ];
    for refusal in refusals {
        let server = healthy_but(JWT, refusal).await;
        keep_tokens(&server, 3600, 3600).await;
        assert!(sign_in_needed(account(&server).ensure(Renewal::IfExpiring).await));
        assert_eq!(server.paths(), [JWT]);
    }
}

#[tokio::test]
async fn a_cloud_in_trouble_is_not_bothered_with_a_sign_in() {
    let troubles: [fn() -> Reply; 9] = [
        || Reply::raw(404, "", "<html>Not found</html>"),
        || Reply::raw(403, "", r#"{"message":"Missing Authentication Token"}"#),
        || Reply::raw(403, "", r#"{"code":403,"msg":"X","data":{"serverCheckText":"back at ten"}}"#),
        || Reply::raw(500, "", ""),
        || Reply::raw(429, "retry-after: 7\r\n", ""),
        || Reply::code(429, "TOO_MANY", &Value::Null),
        || Reply::code(503, "MAINTENANCE", &Value::Null),
        || Reply::raw(200, "", "<html>Maintenance</html>"),
        || Reply::Text(String::new()),
    ];
    for trouble in troubles {
        let server = healthy_but(JWT, trouble).await;
        keep_tokens(&server, 3600, 3600).await;
        let outcome = account(&server).ensure(Renewal::All).await;
        assert!(matches!(outcome, Err(EnsureError::Failed(_))), "{outcome:?}");
        assert_eq!(server.paths(), [JWT]);
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_refreshed_is_renewed_by_the_secured_sign_in() {
    let answers: [fn() -> Reply; 3] =
        [|| Reply::raw(500, "", ""), || Reply::code(403, "NO", &Value::Null), || Reply::good(&json!({}))];
    for answer in answers {
        let server = healthy_but(SESSION, answer).await;
        keep_tokens(&server, 0, 3600).await;
        let account = account(&server);
        account.ensure(Renewal::IfExpiring).await.unwrap();
        assert_eq!(server.paths(), [SESSION, SECURED]);
        assert_eq!(key(&account).await, "key-secured");
    }
}

#[tokio::test]
async fn a_request_to_wait_ends_the_renewal() {
    let pleas: [fn() -> Reply; 2] = [|| Reply::raw(503, "retry-after: 60\r\n", ""), || Reply::raw(429, "", "")];
    for plea in pleas {
        let server = healthy_but(SESSION, plea).await;
        keep_tokens(&server, 0, 3600).await;
        let outcome = account(&server).ensure(Renewal::IfExpiring).await;
        assert!(matches!(outcome, Err(EnsureError::Failed(_))), "{outcome:?}");
        assert_eq!(server.paths(), [SESSION]);
    }
}

#[tokio::test]
async fn an_access_token_that_the_session_call_refuses_is_renewed_once() {
    let server = ApiServer::start(|call| match call.path.as_str() {
        SESSION if !shows(call, "access-refreshed") => Reply::raw(401, "", ""),
        _ => healthy(call),
    })
    .await;
    keep_tokens(&server, 0, 3600).await;
    account(&server).ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(server.paths(), [SESSION, JWT, SESSION]);

    let server = ApiServer::start(|call| match call.path.as_str() {
        SESSION | SECURED => Reply::raw(401, "", ""),
        _ => healthy(call),
    })
    .await;
    keep_tokens(&server, 0, 3600).await;
    assert!(sign_in_needed(account(&server).ensure(Renewal::IfExpiring).await));
    assert_eq!(server.paths(), [SESSION, JWT, SESSION, SECURED]);
}

#[tokio::test]
async fn only_a_wrong_password_is_a_rejection() {
    let answers: [(fn() -> Reply, bool); 9] = [
        (|| Reply::raw(401, "", r#"{"code":401,"msg":"INVALID_CREDENTIALS"}"#), true),
        (|| Reply::code(401, "", &Value::Null), true),
        (|| Reply::code(1001, "INVALID_USER_PASSWORD", &Value::Null), true),
        (|| Reply::code(1002, "USER_NOT_FOUND", &Value::Null), true),
        (|| Reply::raw(401, "", r#"{"message":"Unauthorized"}"#), false),
        (|| Reply::raw(403, "", r#"{"message":"Missing Authentication Token"}"#), false),
        (|| Reply::raw(500, "", ""), false),
        (|| Reply::raw(403, "", "<html>Forbidden</html>"), false),
        (|| Reply::good(&json!({ "token": {} })), false),
    ];
    for (number, (answer, rejected)) in answers.into_iter().enumerate() {
        let server = healthy_but(SIGN_IN, answer).await;
        let account = account(&server);
        assert_eq!(account.sign_in().await.unwrap_err().rejected(), rejected, "answer {number}");
        assert!(account.aws_credentials().await.is_none());
        assert_eq!(server.paths(), [SIGN_IN], "nothing is tried again");
    }
}

#[tokio::test]
async fn a_failed_sign_in_leaves_the_old_tokens() {
    let server = healthy_but(SIGN_IN, || Reply::raw(500, "", "")).await;
    keep_tokens(&server, 0, 0).await;
    let account = account(&server);
    account.sign_in().await.unwrap_err();
    assert_eq!(key(&account).await, "key-kept");
}

#[tokio::test]
async fn tokens_outlive_the_process_but_not_a_change_of_account() {
    let server = ApiServer::start(healthy).await;
    account(&server).sign_in().await.unwrap();
    let again = account(&server);
    again.ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(key(&again).await, "key-signed-in");

    let open = |email| Account::new(client(&server), email, "right".into(), StateDirectory::new(server.state()));
    let in_capitals = EMAIL.to_uppercase();
    open(&in_capitals).ensure(Renewal::IfExpiring).await.unwrap();
    let other = open("somebody.else@example.com");
    assert!(sign_in_needed(other.ensure(Renewal::IfExpiring).await));
    assert!(other.aws_credentials().await.is_none());
    assert_eq!(server.paths(), [SIGN_IN]);
}

#[tokio::test]
async fn tokens_of_a_time_to_come_are_renewed() {
    let server = ApiServer::start(healthy).await;
    keep_tokens(&server, 0, 0).await;
    let path = server.state().join("tokens.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    kept["jwt_issued"] = json!(unix(clock::wall()) + 86400);
    kept["aws_issued"] = json!(u64::MAX);
    std::fs::write(&path, kept.to_string()).unwrap();
    account(&server).ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(server.paths(), [JWT, SESSION]);
}

#[tokio::test]
async fn renewed_tokens_are_kept_at_once_and_the_password_never() {
    let server = ApiServer::start(healthy).await;
    let account = account(&server);
    account.sign_in().await.unwrap();
    account.ensure(Renewal::All).await.unwrap();
    let text = std::fs::read_to_string(server.state().join("tokens.json")).unwrap();
    for part in ["access-refreshed", "refresh-signed-in", "key-session"] {
        assert!(text.contains(part), "{part} is not in the file");
    }
    assert!(!text.contains("right"), "the password is in the file");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_account_usable() {
    let asked = AtomicUsize::new(0);
    let server = ApiServer::start(move |call| match call.path.as_str() {
        JWT if asked.fetch_add(1, Ordering::Relaxed) == 0 => Reply::Silence,
        _ => healthy(call),
    })
    .await;
    keep_tokens(&server, 3600, 3600).await;
    let client = client_within(&server, Duration::from_millis(500));
    let account = Account::new(client, EMAIL, "right".into(), StateDirectory::new(server.state()));
    let outcome = account.ensure(Renewal::IfExpiring).await;
    assert!(matches!(outcome, Err(EnsureError::Failed(RestError::TimedOut(_)))), "{outcome:?}");
    account.ensure(Renewal::IfExpiring).await.unwrap();
    assert_eq!(server.paths(), [JWT, JWT, SESSION]);
}

#[tokio::test]
async fn the_pause_that_the_cloud_asks_for_reaches_the_caller() {
    let server = healthy_but(SIGN_IN, || Reply::raw(429, "retry-after: 90\r\n", "")).await;
    let error = account(&server).sign_in().await.unwrap_err();
    assert!(!error.rejected());
    let pause = Some(Duration::from_secs(90));
    assert!(
        matches!(error, crate::io::rest::SignInError::Failed(RestError::Api(ApiError::Http { status: 429, retry_after, .. })) if retry_after == pause)
    );
}
