//! The REST API (protocol reference, section 1) over TLS.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::account::SimulatedAccount;
use super::counters::SharedCounters;
use super::faults::{RestAnswer, RestFaults};
use super::heater::{SimulatedHeater, feature};
use super::net::FreezableStream;
use super::plant::Plant;
use crate::io::clock;

/// What the path of every call begins with.
pub const BASE: &str = "/api/v2.1";
const LONGEST_BODY: usize = 64 * 1024;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
/// The most devices on one page of the device list.
const PAGE: usize = 20;

/// What every connection needs.
#[derive(Clone)]
pub struct Rest {
    /// The servers' TLS configuration.
    pub tls: TlsAcceptor,
    /// Who may sign in.
    pub account: Arc<SimulatedAccount>,
    /// The heaters.
    pub plant: Plant,
    /// The armed faults.
    pub faults: Arc<RestFaults>,
    /// The counters.
    pub tally: SharedCounters,
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
struct Dropped;

/// A call that failed: the HTTP status, the number in the envelope and its message.
struct ErrorAnswer(StatusCode, u16, &'static str);

impl From<StatusCode> for ErrorAnswer {
    fn from(status: StatusCode) -> Self {
        Self(status, status.as_u16(), status.canonical_reason().unwrap_or("ERROR"))
    }
}

const EXPIRED: ErrorAnswer = ErrorAnswer(StatusCode::UNAUTHORIZED, 401, "TOKEN_EXPIRED");
const WRONG_PASSWORD: ErrorAnswer = ErrorAnswer(StatusCode::OK, 1001, "INVALID_USER_PASSWORD");
const WRONG_EMAIL: ErrorAnswer = ErrorAnswer(StatusCode::OK, 1002, "USER_NOT_FOUND");
const NO_DEVICE: ErrorAnswer = ErrorAnswer(StatusCode::OK, 404, "DEVICE_NOT_FOUND");
const INSTALLERS_ONLY: ErrorAnswer = ErrorAnswer(StatusCode::NOT_FOUND, 404, "COMMON_NOT_AUTHORIZED");
const OTHER_CONTROLLER: ErrorAnswer = ErrorAnswer(StatusCode::INTERNAL_SERVER_ERROR, 500, "INTERNAL_SERVER_ERROR");
const OTHER_USER: ErrorAnswer = ErrorAnswer(StatusCode::OK, 403, "USER_MISMATCH");

impl Rest {
    /// Serves one connection to its end.
    pub async fn serve(self, gate: FreezableStream) {
        let Ok(Ok(stream)) = clock::within(HANDSHAKE_LIMIT, self.tls.accept(gate)).await else { return };
        let service = service_fn(move |request: Request<Incoming>| {
            let rest = self.clone();
            async move { rest.answer(request.map(Body::new)).await }
        });
        // A client that goes away ends its connection with an error; there is no one to tell.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Dropped> {
        let Some(path) = request.uri().path().strip_prefix(BASE).map(str::to_owned) else {
            return Ok(envelope(StatusCode::NOT_FOUND, 404, "NOT_FOUND", Value::Null));
        };
        *self.tally.count().rest.entry(path.clone()).or_default() += 1;
        let faulty = match self.faults.take(&path) {
            Some(RestAnswer::Slow(ms)) => {
                clock::sleep(Duration::from_millis(ms)).await;
                None
            }
            Some(RestAnswer::Drop) => {
                self.count_failure(&path);
                return Err(Dropped);
            }
            Some(answer) => Some(faulty(answer)),
            None => None,
        };
        if let Some(response) = faulty {
            self.count_failure(&path);
            return Ok(response);
        }
        Ok(match self.call(&path, request).await {
            Ok(data) => envelope(StatusCode::OK, 200, "SUCCESS", data),
            Err(ErrorAnswer(status, code, message)) => {
                self.count_failure(&path);
                envelope(status, code, message, Value::Null)
            }
        })
    }

    fn count_failure(&self, path: &str) {
        *self.tally.count().rest_failures.entry(path.to_owned()).or_default() += 1;
    }

    async fn call(&self, path: &str, request: Request<Body>) -> Result<Value, ErrorAnswer> {
        let (head, body) = request.into_parts();
        let given = if head.method == Method::GET {
            query(head.uri.query().unwrap_or_default())
        } else {
            let body = to_bytes(body, LONGEST_BODY).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
            serde_json::from_slice(&body).map_err(|_| StatusCode::BAD_REQUEST)?
        };
        match (&head.method, path) {
            (&Method::POST, "/user/sign-in") => return self.sign_in(&given),
            (&Method::POST, "/auth/refresh") => return self.refresh(&given),
            _ => {}
        }
        // The bare token, without `Bearer`.
        let token = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !self.account.access(token, clock::wall()) {
            return Err(EXPIRED);
        }
        // Names an installer, which an owner is not.
        if path == "/device/error/list" {
            return Err(INSTALLERS_ONLY);
        }
        if text(&given, "userId") != self.account.email() {
            return Err(OTHER_USER);
        }
        match (&head.method, path) {
            (&Method::POST, "/auth/session/refresh") => Ok(self.account.issue_aws(clock::wall())),
            (&Method::POST, "/user/secured-sign-in") => Ok(self.session(false)),
            (&Method::POST, "/device/list") => self.list(&given),
            (&Method::POST, "/device/info") => self.device(&given, feature::device_list_entry),
            (&Method::POST, "/device/firmware/info") => self.device(&given, feature::firmware_info),
            (&Method::GET, "/device/tou") => {
                let named = |heater: &SimulatedHeater| feature::serial_number(heater) == text(&given, "controllerId");
                self.device(&given, |heater| named(heater).then(|| feature::tou(heater)))?.ok_or(OTHER_CONTROLLER)
            }
            _ => Err(StatusCode::NOT_FOUND.into()),
        }
    }

    fn sign_in(&self, given: &Value) -> Result<Value, ErrorAnswer> {
        if self.account.accepts(text(given, "userId"), text(given, "password")) {
            return Ok(self.session(true));
        }
        Err(if text(given, "userId") == self.account.email() { WRONG_PASSWORD } else { WRONG_EMAIL })
    }

    fn refresh(&self, given: &Value) -> Result<Value, ErrorAnswer> {
        if self.account.refreshes(text(given, "refreshToken")) {
            return Ok(self.account.issue_tokens(clock::wall(), false));
        }
        Err(EXPIRED)
    }

    /// Returns a session: the AWS credentials, and tokens when the password was shown.
    fn session(&self, tokens: bool) -> Value {
        let now = clock::wall();
        let mut token = if tokens { self.account.issue_tokens(now, true) } else { json!({}) };
        if let (Value::Object(token), Value::Object(aws)) = (&mut token, self.account.issue_aws(now)) {
            token.extend(aws);
        }
        json!({
            "userInfo": {"userType": "O", "userFirstName": "Sim", "userLastName": "Ulator", "userStatus": "NORMAL",
                "userSeq": 36283},
            "token": token,
            "legal": [],
        })
    }

    fn list(&self, given: &Value) -> Result<Value, ErrorAnswer> {
        let number = |name: &str| given[name].as_u64().and_then(|number| usize::try_from(number).ok());
        let (Some(offset), Some(count)) = (number("offset"), number("count")) else {
            return Err(StatusCode::BAD_REQUEST.into());
        };
        let entries: Vec<Value> = self.plant.heaters().iter().map(feature::device_list_entry).collect();
        let entries = self.faults.change_list(entries);
        Ok(entries.into_iter().skip(offset).take(count.min(PAGE)).collect())
    }

    fn device<T>(&self, given: &Value, show: impl FnOnce(&SimulatedHeater) -> T) -> Result<T, ErrorAnswer> {
        let heaters = self.plant.heaters();
        let found = heaters.iter().find(|heater| {
            heater.mac() == text(given, "macAddress")
                && feature::device_list_entry(heater)["deviceInfo"]["additionalValue"] == given["additionalValue"]
        });
        found.map(show).ok_or(NO_DEVICE)
    }
}

fn faulty(answer: RestAnswer) -> Response<Body> {
    let error = |status: u16| StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match answer {
        RestAnswer::Status(status) => envelope(error(status), status, "ERROR", Value::Null),
        RestAnswer::Gateway(status) => {
            let mut response = page("application/json", json!({ "message": "Unauthorized" }).to_string());
            *response.status_mut() = error(status);
            response
        }
        RestAnswer::Envelope(code) => envelope(StatusCode::OK, code, "ERROR", Value::Null),
        RestAnswer::TooMany(seconds) => {
            let mut response = envelope(StatusCode::TOO_MANY_REQUESTS, 429, "TOO_MANY_REQUESTS", Value::Null);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
            response
        }
        RestAnswer::Html => page("text/html", "<html><body><h1>Under maintenance</h1></body></html>"),
        RestAnswer::Empty | RestAnswer::Slow(_) | RestAnswer::Drop => page("application/json", ""),
    }
}

fn envelope(status: StatusCode, code: u16, message: &str, data: Value) -> Response<Body> {
    let mut response = page("application/json", json!({"code": code, "msg": message, "data": data}).to_string());
    *response.status_mut() = status;
    response
}

fn page(kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn text<'a>(given: &'a Value, name: &str) -> &'a str {
    given[name].as_str().unwrap_or_default()
}

fn query(text: &str) -> Value {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    Value::Object(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
}
