use std::time::Duration;

use tokio::net::TcpListener;
use url::Url;

use super::server::{ApiServer, Reply};
use super::*;
use crate::io::clock;
use crate::io::rest::RestError;
use crate::navilink::account::ApiError;

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

/// The outcome of a call that is answered so.
async fn refresh_answered(reply: impl Fn() -> Reply + Send + Sync + 'static) -> Result<Value, RestError> {
    let server = ApiServer::start(move |_| reply()).await;
    client(&server).refresh(&secret("r")).await
}

async fn api_error(reply: impl Fn() -> Reply + Send + Sync + 'static) -> ApiError {
    match refresh_answered(reply).await {
        Err(RestError::Api(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_shows_the_bare_token_and_an_honest_name() {
    let server = ApiServer::start(|_| refreshed_aws("new")).await;
    client(&server).session_refresh(&secret("bare"), EMAIL).await.unwrap();
    let call = server.calls().remove(0);
    assert!(call.head.starts_with("POST /api/v2.1/auth/session/refresh HTTP/1.1\r\n"), "{}", call.head);
    assert!(call.head.contains("\r\nauthorization: bare\r\n"), "{}", call.head);
    assert!(call.head.contains(concat!("\r\nuser-agent: navien2mqtt/", env!("CARGO_PKG_VERSION"))), "{}", call.head);
    assert_eq!(call.body, json!({ "userId": EMAIL }));
}

#[tokio::test]
async fn the_time_of_use_query_names_heater_user_and_controller() {
    let server = ApiServer::start(|call| match call.path.as_str() {
        "/device/list" => Reply::good(&json!([entry(1)])),
        _ => Reply::good(&json!({ "registerPath": "app" })),
    })
    .await;
    let client = client(&server);
    let heater = client.device_list(&secret("a"), EMAIL).await.unwrap().heaters.remove(0);
    let answer = client.device_tou(&secret("a"), (EMAIL, "O"), &heater, "56496061BT22230408").await.unwrap();
    assert_eq!(answer, json!({ "registerPath": "app" }));
    let call = server.calls().remove(1);
    assert!(call.head.starts_with("GET "), "{}", call.head);
    let query = "/device/tou?macAddress=047863300001&additionalValue=5322&controllerId=56496061BT22230408\
                 &userId=You%40Example.com&userType=O";
    assert_eq!(call.path, query);
}

#[tokio::test]
async fn what_is_no_envelope_is_told_apart() {
    assert_eq!(api_error(|| Reply::raw(200, "", "<html>Maintenance</html>")).await, ApiError::NotJson("HTML"));
    assert_eq!(api_error(|| Reply::raw(200, "", "")).await, ApiError::NotJson("an empty body"));
    let error = api_error(|| Reply::raw(502, "", "<html>Bad gateway</html>")).await;
    assert_eq!(error, ApiError::Http { status: 502, code: None, message: String::new(), retry_after: None });
}

#[tokio::test]
async fn the_code_in_the_envelope_counts_as_much_as_the_status() {
    let error = api_error(|| Reply::code(401, "TOKEN_EXPIRED", &Value::Null)).await;
    assert_eq!(error, ApiError::Code { code: 401, message: "TOKEN_EXPIRED".into() });
}

#[tokio::test]
async fn retry_after_is_read_in_seconds_and_as_a_date() {
    let pause = async |header: String| match api_error(move || Reply::raw(429, &header, "{}")).await {
        ApiError::Http { status: 429, retry_after, .. } => retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(pause("retry-after: 120\r\n".into()).await, Some(Duration::from_secs(120)));
    let date = httpdate::fmt_http_date(clock::wall() + Duration::from_secs(3600));
    let named = pause(format!("Retry-After: {date}\r\n")).await.unwrap();
    assert!((3500..=3600).contains(&named.as_secs()), "{named:?}");
    assert_eq!(pause("retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n".into()).await, None);
    assert_eq!(pause("retry-after: soon\r\n".into()).await, None);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let error = api_error(|| Reply::raw(302, "location: https://127.0.0.1:1/\r\n", "")).await;
    assert_eq!(error.code(), Some(302));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let long = || Reply::raw(200, "", &" ".repeat((1 << 20) + 1));
    assert!(matches!(refresh_answered(long).await, Err(RestError::TooLarge(_))));
    let envelope = r#"{"code":200,"data":1}"#;
    let longest = || Reply::raw(200, "", &(" ".repeat((1 << 20) - envelope.len()) + envelope));
    assert_eq!(refresh_answered(longest).await.unwrap(), json!(1));
}

#[tokio::test]
async fn a_connection_that_ends_without_an_answer_may_have_carried_the_call() {
    let error = refresh_answered(|| Reply::Text(String::new())).await.unwrap_err();
    assert!(matches!(error, RestError::Broken(_)), "{error:?}");
    assert!(error.reached_cloud());
}

#[tokio::test]
async fn a_silent_or_trickling_server_costs_the_time_limit_only() {
    let total = Duration::from_millis(400);
    for reply in [|| Reply::Silence, || Reply::Trickle] {
        let server = ApiServer::start(move |_| reply()).await;
        let error = client_within(&server, total).refresh(&secret("r")).await.unwrap_err();
        assert!(matches!(error, RestError::TimedOut(limit) if limit == total), "{error:?}");
        assert!(error.reached_cloud());
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_spoken_to_has_seen_nothing() {
    let server = ApiServer::start(|_| Reply::Silence).await;
    let strangers_server = ApiServer::start(|_| Reply::Silence).await;
    let tls = tls::client_config(Some(&server.ca_file), None).unwrap();
    let refused = async |url: Url, connect: Duration| {
        let client = RestClient::new(&url, &tls, connect, connect.max(Duration::from_secs(1))).unwrap();
        client.refresh(&secret("r")).await.unwrap_err()
    };

    let error = refused(strangers_server.url.clone(), LIMIT).await;
    assert!(matches!(&error, RestError::Certificate(_)), "{error:?}");
    assert!(strangers_server.calls().is_empty());

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
    // The kernel accepts, nobody shakes hands.
    for connect in [Duration::from_millis(300), Duration::from_secs(1)] {
        let error = refused(url.clone(), connect).await;
        assert!(!error.reached_cloud(), "{error:?}");
    }

    drop(listener);
    let error = refused(url, LIMIT).await;
    assert!(!error.reached_cloud(), "{error:?}");

    let error = refused("https://cloud.invalid/".parse().unwrap(), LIMIT).await;
    assert!(matches!(&error, RestError::Lookup { host, .. } if host == "cloud.invalid"), "{error:?}");
    assert!(!error.reached_cloud());
}

#[tokio::test]
async fn all_pages_of_the_device_list_are_read() {
    let server = ApiServer::start(|call| {
        let (offset, count) = (call.body["offset"].as_u64().unwrap(), call.body["count"].as_u64().unwrap());
        let page: Vec<_> = (0..45).map(entry).skip(offset as usize).take(count as usize).collect();
        Reply::good(&Value::from(page))
    })
    .await;
    let heaters = client(&server).device_list(&secret("a"), EMAIL).await.unwrap().heaters;
    assert_eq!(heaters.len(), 45);
    assert_eq!(heaters[44].mac.as_str(), "04786330002c");
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_device_list_that_repeats_itself_ends() {
    let server = ApiServer::start(|_| Reply::good(&(0..20).map(entry).collect())).await;
    let list = client(&server).device_list(&secret("a"), EMAIL).await.unwrap();
    assert_eq!((list.heaters.len(), list.problems.len()), (20, 1), "it does not prove that another is missing");
    assert!(server.calls().len() <= 50);
}

#[tokio::test]
async fn a_device_list_without_end_is_cut_and_known_to_be_incomplete() {
    let server = ApiServer::start(|call| {
        let first = call.body["offset"].as_u64().unwrap() as usize * 200;
        Reply::good(&(first..first + 4000).map(entry).collect())
    })
    .await;
    let list = client(&server).device_list(&secret("a"), EMAIL).await.unwrap();
    assert_eq!((list.heaters.len(), list.problems.len()), (1000, 1), "{:?}", list.problems);
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn an_address_that_the_cloud_quotes_is_not_passed_on() {
    let message = format!("no such user {EMAIL}");
    let error = api_error(move || Reply::code(500, &message, &Value::Null)).await;
    assert!(!format!("{error} {error:?}").contains(EMAIL), "{error:?}");
}

#[tokio::test]
async fn secrets_that_the_cloud_repeats_are_not_passed_on() {
    let server = ApiServer::start(|call| {
        let access = call.head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
        Reply::code(500, &format!("{} {access} is\nwrong-password-1", call.body), &Value::Null)
    })
    .await;
    let secrets = Secrets::new([secret(EMAIL), secret("password-1")]);
    let client = client(&server).with_secrets(secrets);
    let answers = [
        client.sign_in(EMAIL, &secret("password-1")).await,
        client.refresh(&secret("refresh-1")).await,
        client.session_refresh(&secret("access-1"), EMAIL).await,
    ];
    for answer in answers {
        let error = format!("{0} {0:?}", answer.unwrap_err()).to_lowercase();
        for private in [EMAIL.to_lowercase().as_str(), "password-1", "refresh-1", "access-1", "\n"] {
            assert!(!error.contains(private), "{private:?} is in {error:?}");
        }
        assert!(error.contains("***"), "{error}");
    }
}
