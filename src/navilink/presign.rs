//! The presigned URL of the cloud's MQTT session (protocol reference, section 2).

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::account::AwsCredentials;

const SERVICE: &str = "iotdevicegateway";
/// The longest that AWS accepts; each URL is used once, at once.
const EXPIRES_IN: Duration = Duration::from_secs(86400);

/// Says that a URL could not be signed; names nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL of the MQTT session cannot be signed: {0}")]
pub struct PresignError(String);

/// Signs `mqtt_url` for `region` at the time `at`.
///
/// The session token is appended after signing: AWS IoT refuses one that was signed.
///
/// # Errors
///
/// When the URL has no host, or the library refuses it.
pub fn presign(
    mqtt_url: &Url,
    region: &str,
    credentials: &AwsCredentials,
    at: SystemTime,
) -> Result<SecretString, PresignError> {
    let scope = CredentialScope { region, service: SERVICE, body: SignableBody::empty() };
    presign_for(mqtt_url, scope, credentials, at)
}

/// What a signature is valid for.
struct CredentialScope<'a> {
    region: &'a str,
    service: &'a str,
    body: SignableBody<'a>,
}

fn presign_for(
    url: &Url,
    scope: CredentialScope<'_>,
    credentials: &AwsCredentials,
    at: SystemTime,
) -> Result<SecretString, PresignError> {
    let host = url.host_str().ok_or_else(|| PresignError("it has no host".into()))?;
    let authority = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES_IN);
    settings.session_token_mode = SessionTokenMode::Exclude;
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity: Identity = Credentials::new(
        credentials.access_key_id.expose_secret(),
        credentials.secret_key.expose_secret(),
        credentials.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
        None,
        "navilink",
    )
    .into();
    let failed = |error: &dyn std::fmt::Display| PresignError(error.to_string());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(at)
        .settings(settings)
        .build()
        .map_err(|error| failed(&error))?
        .into();
    // The scheme is not signed, and the library knows only HTTP's.
    let uri = format!("https://{authority}{}", url.path());
    let headers = [("host", authority.as_str())].into_iter();
    let request = SignableRequest::new("GET", uri, headers, scope.body).map_err(|error| failed(&error))?;
    let (instructions, _) = sign(request, &params).map_err(|error| failed(&error))?.into_parts();
    let mut signed = url.clone();
    signed.query_pairs_mut().clear().extend_pairs(instructions.params());
    Ok(SecretString::from(signed.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(token: Option<&str>) -> AwsCredentials {
        AwsCredentials {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: token.map(Into::into),
        }
    }

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    fn query(url: &SecretString) -> Vec<(String, String)> {
        Url::parse(url.expose_secret()).unwrap().query_pairs().into_owned().collect()
    }

    /// "Example: Presigned URL" in the Signature Version 4 chapter of Amazon's S3 API reference.
    #[test]
    fn the_signature_is_that_of_the_published_example() {
        let url = Url::parse("https://examplebucket.s3.amazonaws.com/test.txt").unwrap();
        let scope = CredentialScope { region: "us-east-1", service: "s3", body: SignableBody::UnsignedPayload };
        let signed = presign_for(&url, scope, &credentials(None), at("2013-05-24T00:00:00Z")).unwrap();
        let signature = query(&signed).into_iter().find(|(name, _)| name == "X-Amz-Signature").unwrap().1;
        assert_eq!(signature, "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    }

    #[test]
    fn the_session_token_comes_last_and_is_not_signed() {
        let url = Url::parse("wss://example-ats.iot.us-east-1.amazonaws.com/mqtt").unwrap();
        let moment = at("2026-11-23T10:00:00Z");
        let token = "a/b+c=".repeat(200);
        let with = presign(&url, "us-east-1", &credentials(Some(&token)), moment).unwrap();
        let without = presign(&url, "us-east-1", &credentials(None), moment).unwrap();
        let names: Vec<String> = query(&with).into_iter().map(|(name, _)| name).collect();
        let wanted = [
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
        ];
        assert_eq!(names, wanted);
        assert_eq!(query(&with)[..6], query(&without)[..], "the same signature with and without a token");
        assert_eq!(query(&with)[6].1, token);
        let text = with.expose_secret();
        assert!(
            text.starts_with("wss://example-ats.iot.us-east-1.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&")
        );
        assert!(text.contains("%2F20261123%2Fus-east-1%2Fiotdevicegateway%2Faws4_request"));
        assert!(!text.contains(":443"));
    }

    #[test]
    fn another_time_is_another_signature() {
        let url = Url::parse("wss://localhost:8443/mqtt").unwrap();
        let signed = |time| presign(&url, "us-east-1", &credentials(None), at(time)).unwrap();
        let (one, other) = (signed("2026-11-23T10:00:00Z"), signed("2026-11-23T10:00:01Z"));
        assert_ne!(query(&one)[5], query(&other)[5]);
        assert!(one.expose_secret().starts_with("wss://localhost:8443/mqtt?"));
    }
}
