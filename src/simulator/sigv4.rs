//! Verifies SigV4 presigned queries as AWS IoT does (protocol reference, section 2); written against the published
//! algorithm and not with the AWS crates, so that the bridge's signer is checked by other code than its own.

use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the signer's clock may be off.
const SKEW: Duration = Duration::from_secs(5 * 60);
const LONGEST_EXPIRY: u64 = 86_400;

/// Why a presigned query is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A parameter is missing, doubled or malformed.
    #[error("parameter {0} is missing, doubled or malformed")]
    Parameter(&'static str),
    /// The credential scope names another date, region or service.
    #[error("the credential scope is wrong")]
    Scope,
    /// Nobody has this access key.
    #[error("the access key is unknown")]
    UnknownKey,
    /// The credentials are past their life.
    #[error("the credentials are expired")]
    ExpiredCredentials,
    /// The session token is not the one that belongs to the access key.
    #[error("the session token is wrong")]
    Token,
    /// The signing time is in the future, or the query is past its expiry.
    #[error("the query is not valid now")]
    Time,
    /// The signature does not match.
    #[error("the signature does not match")]
    Signature,
}

/// The credentials that a query can be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeys {
    /// The access key id.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
    /// The session token.
    pub session_token: String,
    /// When they stop working.
    pub expires: SystemTime,
}

/// What a signature is made over, besides the query itself.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// The region, such as `us-east-1`.
    pub region: &'a str,
    /// The service, such as `iotdevicegateway`.
    pub service: &'a str,
    /// Finds the value of a header of the request by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<String>,
    /// The path, such as `/mqtt`.
    pub path: &'a str,
    /// The hash of the payload in hex, or `UNSIGNED-PAYLOAD`.
    pub payload_hash: &'a str,
}

/// Verifies the raw query of an upgrade request.
///
/// # Errors
///
/// Says why the query is refused; AWS IoT answers every one of them with HTTP 403.
pub fn verify(
    query: &str,
    scope: Scope<'_>,
    now: SystemTime,
    find: impl FnOnce(&str) -> Option<SigningKeys>,
) -> Result<SigningKeys, SignatureError> {
    let given = Presigned::parse(query)?;
    let [access_key, date, region, service, end] = given.scope_parts()?;
    if region != scope.region || service != scope.service || end != "aws4_request" || !given.date.starts_with(date) {
        return Err(SignatureError::Scope);
    }
    let credentials = find(access_key).ok_or(SignatureError::UnknownKey)?;
    let signed_at = parse_date(&given.date).ok_or(SignatureError::Parameter("X-Amz-Date"))?;
    // The token stands outside the signature: a client that signs it computes another one, and fails below.
    let expected = sign(&given.signed, (scope, &given.headers), &given.date, &credentials.secret_key);
    if !same(&expected, &given.signature) {
        return Err(SignatureError::Signature);
    }
    if given.token != credentials.session_token {
        return Err(SignatureError::Token);
    }
    let too_late = signed_at + Duration::from_secs(given.expires).max(SKEW);
    if signed_at > now + SKEW || now > too_late {
        return Err(SignatureError::Time);
    }
    if credentials.expires <= now {
        return Err(SignatureError::ExpiredCredentials);
    }
    Ok(credentials)
}

/// Returns the signature, in hex, over encoded `name=value` pairs and the named headers (separated by `;`), signed at
/// `date` (`YYYYMMDDTHHMMSSZ`).
pub fn sign(pairs: &[(String, String)], (scope, names): (Scope<'_>, &str), date: &str, secret: &str) -> String {
    let mut pairs: Vec<_> = pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let Scope { region, service, header, path, payload_hash } = scope;
    let value = |name| header(name).unwrap_or_default().trim().to_owned();
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", value(name))).collect();
    let canonical = format!("GET\n{path}\n{query}\n{headers}\n{names}\n{payload_hash}");
    let day = date.get(..8).unwrap_or(date);
    let hashed = hex(&Sha256::digest(canonical.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n{hashed}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [day, region, service, "aws4_request", &to_sign] {
        key = hmac(&key, part.as_bytes());
    }
    hex(&key)
}

/// Returns the hash of an empty payload, in hex.
pub fn empty_payload_hash() -> String {
    hex(&Sha256::digest(b""))
}

/// Percent-encodes as SigV4 wants it: everything but the unreserved characters.
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

struct Presigned {
    credential: String,
    date: String,
    /// The names of the signed headers, separated by `;`.
    headers: String,
    expires: u64,
    token: String,
    signature: String,
    signed: Vec<(String, String)>,
}

impl Presigned {
    fn parse(query: &str) -> Result<Self, SignatureError> {
        let pairs: Vec<(String, String)> =
            query.split('&').filter_map(|pair| pair.split_once('=')).map(decode).collect();
        let once = |name: &'static str| {
            let mut found = pairs.iter().filter(|(n, _)| n == name);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Ok(value.clone()),
                _ => Err(SignatureError::Parameter(name)),
            }
        };
        if once("X-Amz-Algorithm")? != ALGORITHM {
            return Err(SignatureError::Parameter("X-Amz-Algorithm"));
        }
        let headers = once("X-Amz-SignedHeaders")?;
        if !headers.split(';').any(|name| name == "host") {
            return Err(SignatureError::Parameter("X-Amz-SignedHeaders"));
        }
        // AWS's own client names no expiry.
        let expires = match pairs.iter().any(|(name, _)| name == "X-Amz-Expires") {
            true => once("X-Amz-Expires")?.parse().unwrap_or(0),
            false => LONGEST_EXPIRY,
        };
        if !(1..=LONGEST_EXPIRY).contains(&expires) {
            return Err(SignatureError::Parameter("X-Amz-Expires"));
        }
        Ok(Self {
            credential: once("X-Amz-Credential")?,
            date: once("X-Amz-Date")?,
            headers,
            expires,
            token: once("X-Amz-Security-Token").or_else(|refusal| {
                match pairs.iter().any(|(n, _)| n == "X-Amz-Security-Token") {
                    true => Err(refusal),
                    false => Ok(String::new()),
                }
            })?,
            signature: once("X-Amz-Signature")?,
            signed: pairs
                .iter()
                .filter(|(name, _)| name != "X-Amz-Signature" && name != "X-Amz-Security-Token")
                .cloned()
                .collect(),
        })
    }

    fn scope_parts(&self) -> Result<[&str; 5], SignatureError> {
        let parts: Vec<&str> = self.credential.split('/').collect();
        parts.try_into().map_err(|_| SignatureError::Parameter("X-Amz-Credential"))
    }
}

fn decode((name, value): (&str, &str)) -> (String, String) {
    let plain = |text: &str| {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
            let value =
                escaped.and_then(|two| std::str::from_utf8(two).ok()).and_then(|two| u8::from_str_radix(two, 16).ok());
            bytes.push(value.unwrap_or(*first));
            rest = if value.is_some() { &tail[2..] } else { tail };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    };
    (plain(name), plain(value))
}

/// Reads `YYYYMMDDTHHMMSSZ`.
fn parse_date(text: &str) -> Option<SystemTime> {
    if text.len() != 16 || !text.is_ascii() {
        return None;
    }
    let (day, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (year, month, day) = (day.get(..4)?, day.get(4..6)?, day.get(6..8)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..6)?);
    humantime::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")).ok()
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const DATE: &str = "20130524T000000Z";

    fn bucket(name: &str) -> Option<String> {
        (name == "host").then(|| "examplebucket.s3.amazonaws.com".to_owned())
    }

    fn s3() -> Scope<'static> {
        Scope {
            region: "us-east-1",
            service: "s3",
            header: &bucket,
            path: "/test.txt",
            payload_hash: "UNSIGNED-PAYLOAD",
        }
    }

    fn example_query() -> String {
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F\
         aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
         aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
            .to_owned()
    }

    fn credentials(token: &str) -> SigningKeys {
        SigningKeys {
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: SECRET.to_owned(),
            session_token: token.to_owned(),
            expires: at(100_000),
        }
    }

    fn at(seconds: u64) -> SystemTime {
        parse_date(DATE).unwrap() + Duration::from_secs(seconds)
    }

    fn check(query: &str, now: SystemTime, token: &str) -> Result<SigningKeys, SignatureError> {
        verify(query, s3(), now, |key| (key == "AKIAIOSFODNN7EXAMPLE").then(|| credentials(token)))
    }

    #[test]
    fn the_published_example_is_accepted() {
        assert_eq!(check(&example_query(), at(10), ""), Ok(credentials("")));
    }

    #[test]
    fn another_signature_host_key_or_scope_is_refused() {
        let query = example_query();
        assert_eq!(check(&query.replace("d404", "d405"), at(10), ""), Err(SignatureError::Signature));
        assert_eq!(check(&query.replace("86400", "86399"), at(10), ""), Err(SignatureError::Signature));
        assert_eq!(check(&query.replace("AKIA", "AKIB"), at(10), ""), Err(SignatureError::UnknownKey));
        assert_eq!(check(&query.replace("%2Fs3%2F", "%2Fiot%2F"), at(10), ""), Err(SignatureError::Scope));
        let other = Scope { header: &|_| Some("examplebucket.s3.amazonaws.com:443".to_owned()), ..s3() };
        assert_eq!(verify(&query, other, at(10), |_| Some(credentials(""))), Err(SignatureError::Signature));
    }

    #[test]
    fn a_clock_five_minutes_off_or_an_expired_query_is_refused() {
        let query = example_query();
        assert!(check(&query, at(0) - Duration::from_secs(299), "").is_ok());
        assert_eq!(check(&query, at(0) - Duration::from_secs(301), ""), Err(SignatureError::Time));
        assert!(check(&query, at(86_400), "").is_ok());
        assert_eq!(check(&query, at(86_401), ""), Err(SignatureError::Time));
    }

    #[test]
    fn expired_credentials_are_refused() {
        let gone = |_: &str| Some(SigningKeys { expires: at(5), ..credentials("") });
        assert_eq!(verify(&example_query(), s3(), at(10), gone), Err(SignatureError::ExpiredCredentials));
    }

    #[test]
    fn the_token_is_appended_unsigned() {
        let appended = format!("{}&X-Amz-Security-Token=to%2Fken%3D", example_query());
        assert!(check(&appended, at(10), "to/ken=").is_ok());
        assert_eq!(check(&appended, at(10), "another"), Err(SignatureError::Token));
        assert_eq!(check(&example_query(), at(10), "to/ken="), Err(SignatureError::Token));
    }

    #[test]
    fn a_signed_token_is_refused() {
        let mut pairs: Vec<(String, String)> = example_query()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| *name != "X-Amz-Signature")
            .map(decode)
            .collect();
        pairs.push(("X-Amz-Security-Token".to_owned(), "to/ken=".to_owned()));
        let signature = sign(&pairs, (s3(), "host"), DATE, SECRET);
        let query = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
        let query = format!("{query}&X-Amz-Signature={signature}");
        assert_eq!(check(&query, at(10), "to/ken="), Err(SignatureError::Signature));
    }

    #[test]
    fn other_headers_may_be_signed_besides_and_an_expiry_need_not_be_named() {
        let header = |name: &str| match name {
            "connection" => Some("Upgrade".to_owned()),
            name => bucket(name),
        };
        let scope = Scope { header: &header, ..s3() };
        let mut pairs: Vec<(String, String)> = example_query()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .filter(|(name, _)| !["X-Amz-Signature", "X-Amz-Expires", "X-Amz-SignedHeaders"].contains(name))
            .map(decode)
            .collect();
        pairs.push(("X-Amz-SignedHeaders".to_owned(), "connection;host".to_owned()));
        let signature = sign(&pairs, (scope, "connection;host"), DATE, SECRET);
        let query = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&");
        let query = format!("{query}&X-Amz-Signature={signature}");
        let find = |_: &str| Some(credentials(""));
        assert!(verify(&query, scope, at(10), find).is_ok());
        assert_eq!(verify(&query, s3(), at(10), find), Err(SignatureError::Signature), "without that header");
    }

    #[test]
    fn a_missing_or_doubled_parameter_is_refused() {
        let query = example_query();
        assert_eq!(check("", at(10), ""), Err(SignatureError::Parameter("X-Amz-Algorithm")));
        let doubled = format!("{query}&X-Amz-Date=20130524T000000Z");
        assert_eq!(check(&doubled, at(10), ""), Err(SignatureError::Parameter("X-Amz-Date")));
    }
}
