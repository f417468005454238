//! The calls, one by one.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, DATE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, redirect};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::net::lookup_host;
use url::Url;

use super::RestError;
use crate::foreign_text::Secrets;
use crate::io::clock;
use crate::io::record::SharedRecorder;
use crate::io::retry_after::retry_after;
use crate::navilink::account::{ApiError, open_envelope};
use crate::navilink::devices::{Device, DeviceList, MAX_ENTRIES};
use crate::product;

/// No answer that is of use is nearly as long.
const MAX_BODY: usize = 1 << 20;
/// The cloud gives at most so many heaters a page.
const PAGE: usize = 20;
/// The first tries to connect are short, since TCP itself repeats its first packet too seldom for a network that has just
/// come back; the last one has the rest of the time, for a network that is slow.
const SHORT_TRIES: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(6)];

/// Calls the REST API.
#[derive(Debug, Clone)]
pub struct RestClient {
    /// One for each try to connect.
    tries: Vec<Client>,
    base: String,
    total: Duration,
    recorder: SharedRecorder,
    /// What answers may repeat and errors must not.
    secrets: Secrets,
}

/// What a call carries.
enum Content {
    Body(Value),
    Query(Vec<(&'static str, String)>),
}

impl Content {
    /// Returns the texts of a body, which are email address, password and tokens.
    fn secrets(&self) -> Vec<SecretString> {
        let Content::Body(Value::Object(body)) = self else { return Vec::new() };
        body.values().filter_map(Value::as_str).map(SecretString::from).collect()
    }
}

impl RestClient {
    /// Prepares calls below `api_url`; `connect` bounds the way to the server, `total` a whole call.
    ///
    /// # Errors
    ///
    /// When the HTTP library cannot be set up.
    pub fn new(api_url: &Url, tls: &Arc<ClientConfig>, connect: Duration, total: Duration) -> Result<Self, RestError> {
        // The way to the server ends before the whole call does: what got no further has not shown the password.
        let connect = connect.min(total.mul_f64(0.9));
        let short: Duration = SHORT_TRIES.iter().sum();
        let limits = match connect.checked_sub(short).filter(|rest| *rest >= SHORT_TRIES[0]) {
            Some(rest) => [SHORT_TRIES.as_slice(), &[rest]].concat(),
            None => vec![connect],
        };
        let client = |connect: Duration| {
            Client::builder()
                .tls_backend_preconfigured(ClientConfig::clone(tls))
                .https_only(true)
                .no_proxy()
                .dns_resolver(Arc::new(Resolver { limit: connect.mul_f64(0.9) }))
                .redirect(redirect::Policy::none())
                .connect_timeout(connect)
                .timeout(total)
                .user_agent(concat!("navien2mqtt/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| RestError::Unreachable(innermost(&error)))
        };
        let tries = limits.into_iter().map(client).collect::<Result<_, _>>()?;
        Ok(Self {
            tries,
            base: api_url.as_str().trim_end_matches('/').to_owned(),
            total,
            recorder: SharedRecorder::default(),
            secrets: Secrets::default(),
        })
    }

    /// Keeps these secrets out of every error, besides those that the call itself carries.
    #[must_use]
    pub fn with_secrets(self, secrets: Secrets) -> Self {
        Self { secrets, ..self }
    }

    /// Returns where the last answers are recorded, for the diagnostics.
    pub fn recorder(&self) -> &SharedRecorder {
        &self.recorder
    }

    /// Returns the time of the cloud's clock, if it names one: the header of an answer that is otherwise of no interest.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn time(&self) -> Result<Option<SystemTime>, RestError> {
        let answer = self.send(self.tries[0].request(Method::HEAD, &self.base)).await;
        let answer = answer.map_err(|error| self.classify(&error))?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
        Ok(date.and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    /// `POST /user/sign-in`
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn sign_in(&self, email: &str, password: &SecretString) -> Result<Value, RestError> {
        let body = json!({ "userId": email, "password": password.expose_secret() });
        self.post("/user/sign-in", None, body).await
    }

    /// `POST /auth/refresh`
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<Value, RestError> {
        self.post("/auth/refresh", None, json!({ "refreshToken": refresh_token.expose_secret() })).await
    }

    /// `POST /auth/session/refresh`
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn session_refresh(&self, access: &SecretString, email: &str) -> Result<Value, RestError> {
        self.post("/auth/session/refresh", Some(access), json!({ "userId": email })).await
    }

    /// `POST /user/secured-sign-in`
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn secured_sign_in(&self, access: &SecretString, email: &str) -> Result<Value, RestError> {
        self.post("/user/secured-sign-in", Some(access), json!({ "userId": email })).await
    }

    /// `POST /device/list`, all pages until [`MAX_ENTRIES`] entries have come.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn device_list(&self, access: &SecretString, email: &str) -> Result<DeviceList, RestError> {
        let mut list = DeviceList::default();
        let mut taken = 0;
        for page in 0..MAX_ENTRIES / PAGE {
            let body = json!({ "userId": email, "offset": page * PAGE, "count": PAGE });
            let data = self.post("/device/list", Some(access), body).await?;
            let Some(entries) = data.as_array().map(Vec::len) else { return Err(ApiError::Missing("data").into()) };
            list.take_page(&data, product::is_known);
            if entries < PAGE {
                return Ok(list);
            }
            // Pages can be longer than what was asked for.
            taken += entries;
            if taken >= MAX_ENTRIES {
                break;
            }
        }
        list.cut();
        Ok(list)
    }

    /// `GET /device/tou`
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn device_tou(
        &self,
        access: &SecretString,
        (email, user_type): (&str, &str),
        heater: &Device,
        controller_serial: &str,
    ) -> Result<Value, RestError> {
        let query = vec![
            ("macAddress", heater.mac.as_cloud().to_owned()),
            ("additionalValue", heater.additional_value.clone()),
            ("controllerId", controller_serial.to_owned()),
            ("userId", email.to_owned()),
            ("userType", user_type.to_owned()),
        ];
        self.call("/device/tou", Some(access), Content::Query(query)).await
    }

    async fn post(&self, path: &'static str, access: Option<&SecretString>, body: Value) -> Result<Value, RestError> {
        self.call(path, access, Content::Body(body)).await
    }

    async fn call(
        &self,
        path: &'static str,
        access: Option<&SecretString>,
        content: Content,
    ) -> Result<Value, RestError> {
        let url = format!("{}{path}", self.base);
        let secrets = self.secrets.and(access.cloned()).and(content.secrets());
        let mut request = match content {
            Content::Body(body) => self.tries[0].request(Method::POST, url).json(&body),
            Content::Query(query) => self.tries[0].request(Method::GET, url).query(&query),
        };
        if let Some(access) = access {
            let mut value = HeaderValue::from_str(access.expose_secret())
                .map_err(|_| RestError::Api(ApiError::Missing("accessToken")))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        // The library's own limit does not cover a body that trickles in after it was set up; this one does.
        match clock::within(self.total, self.exchange(path, request, &secrets)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RestError::TimedOut(self.total)),
        }
    }

    async fn exchange(
        &self,
        path: &'static str,
        request: RequestBuilder,
        secrets: &Secrets,
    ) -> Result<Value, RestError> {
        let mut answer = self.send(request).await.map_err(|error| self.classify(&error))?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers(), clock::wall());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.classify(&error))? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(RestError::TooLarge(MAX_BODY));
            }
            body.extend_from_slice(&piece);
        }
        self.recorder.with(|recorder| recorder.answer(path, status, &body, clock::wall()));
        Ok(open_envelope(status, retry_after, &body, secrets)?)
    }

    /// Sends the request; while it could not even connect in time, nothing was sent and it may be repeated.
    async fn send(&self, request: RequestBuilder) -> Result<Response, reqwest::Error> {
        let request = request.build()?;
        let again = || request.try_clone().expect("a body of JSON can be cloned");
        let mut outcome = self.tries[0].execute(again()).await;
        for client in &self.tries[1..] {
            if !outcome.as_ref().is_err_and(connects_too_slowly) {
                break;
            }
            outcome = client.execute(again()).await;
        }
        outcome
    }

    fn classify(&self, error: &reqwest::Error) -> RestError {
        if let Some(LookupFailed { host, error, .. }) = cause(error) {
            RestError::Lookup { host: host.clone(), error: error.clone() }
        } else if let Some(what @ rustls::Error::InvalidCertificate(_)) = cause(error) {
            RestError::Certificate(what.clone())
        } else if error.is_connect() {
            RestError::Unreachable(innermost(error))
        } else if error.is_timeout() {
            RestError::TimedOut(self.total)
        } else {
            RestError::Broken(innermost(error))
        }
    }
}

/// Looks names up with the system's resolver, and says so in an error of its own when that fails or takes longer than
/// `limit`, which is shorter than that of the whole connection.
#[derive(Debug)]
struct Resolver {
    limit: Duration,
}

#[derive(Debug, thiserror::Error)]
#[error("the name {host} cannot be looked up: {error}")]
struct LookupFailed {
    host: String,
    error: String,
    in_time: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let limit = self.limit;
        Box::pin(async move {
            let failed = |error, in_time| LookupFailed { host: name.as_str().into(), error, in_time };
            let found = clock::within(limit, lookup_host((name.as_str(), 0))).await;
            let found = found.map_err(|late| failed(late.to_string(), false))?;
            let found = found.map_err(|error| failed(error.to_string(), true))?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

fn connects_too_slowly(error: &reqwest::Error) -> bool {
    match cause::<LookupFailed>(error) {
        Some(lookup) => !lookup.in_time,
        None => error.is_connect() && error.is_timeout(),
    }
}

/// Looks for an error of type `T` among the causes.
fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // An I/O error that wraps another one names as its source only that one's source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

/// Returns the cause at the bottom: the outer ones repeat the URL, whose query can hold an email address.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
