//! What the cloud's REST API says of an account: its envelope and its tokens (protocol reference, section 1).

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;

use crate::foreign_text::Secrets;

/// The life of tokens that the cloud does not name.
const USUAL_LIFE: Duration = Duration::from_secs(3600);
/// `msg` is cut, in characters.
const LONGEST_MESSAGE: usize = 80;
/// The longest life of tokens that is believed.
pub const LONGEST_LIFE: Duration = Duration::from_secs(86400);

/// The tokens of the REST API.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// `accessToken`: the bare value of the header `authorization`.
    pub access: SecretString,
    /// `refreshToken`.
    pub refresh: SecretString,
    /// `authenticationExpiresIn`, counted from the answer.
    pub expires_in: Duration,
}

/// The credentials of the MQTT session.
#[derive(Debug, Clone)]
pub struct AwsCredentials {
    /// `accessKeyId`.
    pub access_key_id: SecretString,
    /// `secretKey`.
    pub secret_key: SecretString,
    /// `sessionToken`; only published examples have none.
    pub session_token: Option<SecretString>,
}

/// `code` of an answer to a sign-in with a wrong email or password.
const REJECTED_CODES: [i64; 2] = [401, 1001];
/// `msg` of one.
const REJECTED_MESSAGES: [&str; 2] = ["INVALID_USER_PASSWORD", "USER_NOT_FOUND"];

/// Says why the REST API's answer is not what was asked for; names nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// An HTTP status, with what the envelope said when there was one.
    #[error("the cloud answered HTTP {status}{}", in_words(.message))]
    Http {
        /// The status.
        status: u16,
        /// `code` of the envelope; `None` when there was no envelope: then it is the answer of a gateway or a proxy.
        code: Option<i64>,
        /// `msg`.
        message: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// HTTP 200, but another number in the envelope's `code`.
    #[error("the cloud answered code {code}{}", in_words(.message))]
    Code {
        /// `code`.
        code: i64,
        /// `msg`.
        message: String,
    },
    /// The API is under maintenance, whatever the status.
    #[error("the cloud is under maintenance{}", in_words(.0))]
    Maintenance(String),
    /// No envelope: a proxy or a maintenance page, or nothing at all.
    #[error("the cloud answered with {0} instead of its JSON")]
    NotJson(&'static str),
    /// The envelope is good, but a member is not there.
    #[error("the cloud's answer has no usable `{0}`")]
    Missing(&'static str),
}

fn in_words(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" ({message})") }
}

impl ApiError {
    /// Returns the HTTP status, or the code of the envelope, which has the same meaning.
    pub fn code(&self) -> Option<i64> {
        match self {
            ApiError::Http { status, .. } => Some(i64::from(*status)),
            ApiError::Code { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns the `code` of the API's own envelope; an answer without one comes from a gateway or a proxy.
    fn envelope_code(&self) -> Option<i64> {
        match self {
            ApiError::Http { code, .. } => *code,
            ApiError::Code { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Returns whether this answer, **at sign-in**, says that email or password are wrong (protocol reference, section
    /// 1), so that trying again could lock the account. Only the API's own envelope can say so.
    pub fn rejects_credentials(&self) -> bool {
        let (ApiError::Http { message, .. } | ApiError::Code { message, .. }) = self else { return false };
        self.envelope_code().is_some_and(|code| REJECTED_CODES.contains(&code)) || rejects(message)
    }

    /// Returns whether the cloud, in good health, refused what was shown to it, so that showing it again is of no use.
    ///
    /// The numbers in `code` are not published: one that is no request to wait counts as a refusal, as does an answer
    /// without the members that were asked for. Without the envelope only a 401 does, as a gateway answers it to a token
    /// that it checks itself.
    pub fn refuses(&self) -> bool {
        match self {
            ApiError::Http { status: 408 | 425 | 429, .. } => false,
            ApiError::Http { status, code: Some(_), .. } => (400..500).contains(status),
            ApiError::Http { status, code: None, .. } => *status == 401,
            ApiError::Code { code, .. } => !matches!(code, 408 | 425 | 429 | 500..=599),
            ApiError::Missing(_) => true,
            ApiError::NotJson(_) | ApiError::Maintenance(_) => false,
        }
    }
}

fn rejects(message: &str) -> bool {
    REJECTED_MESSAGES.iter().any(|rejected| message.trim().eq_ignore_ascii_case(rejected))
}

/// Makes `msg` fit to be shown: without the secrets that the request carried, nor anything else that looks like an
/// address.
fn shown(message: &str, secrets: &Secrets) -> String {
    secrets.one_line(message, LONGEST_MESSAGE).replace('@', " at ")
}

/// Opens the envelope of an answer: HTTP status and `code` must both be good. Returns `data`.
///
/// # Errors
///
/// Says what is wrong with the answer.
pub fn open_envelope(
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    secrets: &Secrets,
) -> Result<Value, ApiError> {
    let envelope = serde_json::from_slice::<Value>(body).ok();
    let member = |name: &str| envelope.as_ref().and_then(|envelope| envelope.get(name));
    if let Some(text) = member("serverCheckText").or_else(|| member("data")?.get("serverCheckText")) {
        return Err(ApiError::Maintenance(shown(text.as_str().unwrap_or_default(), secrets)));
    }
    let message = member("msg").and_then(Value::as_str).unwrap_or_default();
    let message = if rejects(message) { message.trim().to_owned() } else { shown(message, secrets) };
    if !(200..300).contains(&status) {
        let code = member("code").and_then(integer);
        return Err(ApiError::Http { status, code, message, retry_after });
    }
    let Some(Value::Object(mut envelope)) = envelope else {
        return Err(ApiError::NotJson(match body.trim_ascii() {
            [] => "an empty body",
            [b'<', ..] => "HTML",
            _ => "something else",
        }));
    };
    match envelope.get("code").and_then(integer) {
        Some(200) => Ok(envelope.remove("data").unwrap_or_default()),
        Some(code) => Err(ApiError::Code { code, message }),
        None => Err(ApiError::NotJson("something else")),
    }
}

/// Reads the JWT fields of a `token` object; after a refresh the old refresh token may stay valid.
///
/// # Errors
///
/// When the access token, or every refresh token, is missing.
pub fn read_jwt(token: &Value, old_refresh: Option<&SecretString>) -> Result<Jwt, ApiError> {
    Ok(Jwt {
        access: secret(token, "accessToken")?,
        refresh: secret(token, "refreshToken").or_else(|error| old_refresh.cloned().ok_or(error))?,
        expires_in: life(token, "authenticationExpiresIn"),
    })
}

/// Reads the AWS fields of a `token` object, and how long they live (`authorizationExpiresIn`).
///
/// # Errors
///
/// When one of the three is missing.
pub fn read_aws(token: &Value) -> Result<(AwsCredentials, Duration), ApiError> {
    let credentials = AwsCredentials {
        access_key_id: secret(token, "accessKeyId")?,
        secret_key: secret(token, "secretKey")?,
        session_token: Some(secret(token, "sessionToken")?),
    };
    Ok((credentials, life(token, "authorizationExpiresIn")))
}

/// Finds the `token` object of an answer; the refresh calls may answer with its fields alone.
pub fn token_of(data: &Value) -> &Value {
    data.get("token").filter(|token| token.is_object()).unwrap_or(data)
}

/// Reads a whole number, also from a string.
pub(super) fn integer(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

fn secret(token: &Value, key: &'static str) -> Result<SecretString, ApiError> {
    let text = token.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(SecretString::from).ok_or(ApiError::Missing(key))
}

fn life(token: &Value, key: &str) -> Duration {
    let seconds = token.get(key).and_then(integer).and_then(|n| u64::try_from(n).ok());
    seconds.map_or(USUAL_LIFE, |n| Duration::from_secs(n).min(LONGEST_LIFE))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn open(status: u16, body: &str) -> Result<Value, ApiError> {
        open_envelope(status, None, body.as_bytes(), &Secrets::default())
    }

    #[test]
    fn status_and_code_must_both_be_good() {
        assert_eq!(open(200, r#"{"code":200,"msg":"SUCCESS","data":[1]}"#), Ok(json!([1])));
        assert_eq!(open(200, r#"{"code":"200","data":null}"#), Ok(Value::Null));
        assert_eq!(
            open(200, r#"{"code":401,"msg":"Invalid credentials for a@b.c"}"#),
            Err(ApiError::Code { code: 401, message: "Invalid credentials for a at b.c".into() })
        );
        assert_eq!(
            open(503, "<html>"),
            Err(ApiError::Http { status: 503, code: None, message: String::new(), retry_after: None })
        );
        assert_eq!(open(200, "<html>"), Err(ApiError::NotJson("HTML")));
        assert_eq!(open(200, " \n"), Err(ApiError::NotJson("an empty body")));
        assert_eq!(open(200, "{}"), Err(ApiError::NotJson("something else")));
    }

    #[test]
    fn only_the_apis_own_envelope_rejects_credentials() {
        let rejects = |status, body: &str| open(status, body).unwrap_err().rejects_credentials();
        for (status, body) in [
            (200, r#"{"code":1001,"msg":"INVALID_USER_PASSWORD","data":null}"#),
            (200, r#"{"code":1002,"msg":"USER_NOT_FOUND","data":null}"#),
            (200, r#"{"code":"401","msg":""}"#),
            (401, r#"{"code":401,"msg":"UNAUTHORIZED"}"#),
            (400, r#"{"code":400,"msg":"user_not_found"}"#),
        ] {
            assert!(rejects(status, body), "{status} {body}");
        }
        for (status, body) in [
            (401, r#"{"message":"Unauthorized"}"#),
            (403, r#"{"message":"Missing Authentication Token"}"#),
            (401, ""),
            (401, "<html>"),
            (400, r#"{"code":400,"msg":"COMMON_BAD_REQUEST"}"#),
            (200, r#"{"code":500,"msg":"Invalid user state"}"#),
            (429, r#"{"code":429,"msg":"too many requests"}"#),
            (200, "<html>"),
        ] {
            assert!(!rejects(status, body), "{status} {body}");
        }
    }

    #[test]
    fn a_gateways_403_and_a_request_to_wait_refuse_nothing() {
        let refuses = |status, body: &str| open(status, body).unwrap_err().refuses();
        assert!(refuses(401, r#"{"message":"Unauthorized"}"#), "so does the gateway say that an access token is old");
        assert!(refuses(403, r#"{"code":403,"msg":"COMMON_NOT_AUTHORIZED"}"#));
        assert!(refuses(404, r#"{"code":404,"msg":"COMMON_NOT_AUTHORIZED"}"#));
        assert!(refuses(200, r#"{"code":1001}"#));
        assert!(ApiError::Missing("accessToken").refuses());
        for (status, body) in [
            (403, r#"{"message":"Forbidden"}"#),
            (403, r#"{"serverCheckText":"maintenance"}"#),
            (429, ""),
            (503, r#"{"code":503}"#),
            (200, r#"{"code":429}"#),
            (200, "<html>"),
        ] {
            assert!(!refuses(status, body), "{status} {body}");
        }
    }

    #[test]
    fn a_refresh_keeps_the_old_refresh_token_when_it_brings_none() {
        let old = SecretString::from("old");
        let jwt = read_jwt(&json!({ "accessToken": "new", "authenticationExpiresIn": "1800" }), Some(&old)).unwrap();
        assert_eq!((jwt.access.expose_secret(), jwt.refresh.expose_secret()), ("new", "old"));
        assert_eq!(jwt.expires_in, Duration::from_secs(1800));
        assert!(read_jwt(&json!({ "accessToken": "new" }), None).is_err());
        assert!(read_jwt(&json!({ "accessToken": "" }), Some(&old)).is_err());
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let token = json!({ "accessToken": "hush", "refreshToken": "hush", "accessKeyId": "hush", "secretKey": "hush",
            "sessionToken": "hush" });
        let shown = format!("{:?} {:?}", read_jwt(&token, None).unwrap(), read_aws(&token).unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
