//! The one account of the simulated cloud and what it is given: tokens and AWS credentials.
//!
//! Both say themselves when they were issued and are checked against the seed, so that they stay valid when the
//! simulator is restarted with the same seed, as a real cloud's do through an outage.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::sigv4::SigningKeys;

/// Session tokens of AWS are 800 to 1600 characters long (protocol reference, section 2).
const SESSION_TOKEN_LENGTH: usize = 1000;

/// The account.
#[derive(Debug)]
pub struct SimulatedAccount {
    seed: u64,
    email: String,
    password: String,
    jwt_life: Duration,
    aws_life: Duration,
    issued: AtomicU64,
    tokens_from: AtomicU64,
    keys_from: AtomicU64,
}

impl SimulatedAccount {
    /// Makes the account.
    pub fn new(seed: u64, (email, password): (&str, &str), jwt_life: Duration, aws_life: Duration) -> Self {
        Self {
            seed,
            email: email.to_owned(),
            password: password.to_owned(),
            jwt_life,
            aws_life,
            issued: AtomicU64::new(0),
            tokens_from: AtomicU64::new(0),
            keys_from: AtomicU64::new(0),
        }
    }

    /// Says whether these are the account's credentials.
    pub fn accepts(&self, email: &str, password: &str) -> bool {
        email == self.email && password == self.password
    }

    /// Returns the account's email address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Issues the JWT fields, with a refresh token if asked for.
    pub fn issue_tokens(&self, now: SystemTime, refresh: bool) -> Value {
        let stamp = self.stamp(now);
        let mut fields = json!({
            "idToken": self.token("id", stamp),
            "accessToken": self.token("access", stamp),
            "authenticationExpiresIn": self.jwt_life.as_secs(),
        });
        if refresh {
            fields["refreshToken"] = self.token("refresh", stamp).into();
        }
        fields
    }

    /// Issues the AWS credential fields.
    pub fn issue_aws(&self, now: SystemTime) -> Value {
        let credentials = self.credentials(self.stamp(now));
        json!({
            "accessKeyId": credentials.access_key,
            "secretKey": credentials.secret_key,
            "sessionToken": credentials.session_token,
            "authorizationExpiresIn": self.aws_life.as_secs(),
        })
    }

    /// Says whether `token` is an access token that is still alive.
    pub fn access(&self, token: &str, now: SystemTime) -> bool {
        let Some(stamp) = self.stamp_of("access", token) else { return false };
        let dies = UNIX_EPOCH + Duration::from_millis(stamp) + self.jwt_life;
        stamp >= self.tokens_from.load(Ordering::SeqCst) && now < dies
    }

    /// Says whether `token` is a refresh token; they do not expire here.
    pub fn refreshes(&self, token: &str) -> bool {
        self.stamp_of("refresh", token).is_some()
    }

    /// Finds the credentials that belong to an access key.
    pub fn find(&self, access_key: &str) -> Option<SigningKeys> {
        let stamp = u64::from_str_radix(access_key.strip_prefix("ASIA")?.get(..11)?, 16).ok()?;
        let mut credentials = self.credentials(stamp);
        if stamp < self.keys_from.load(Ordering::SeqCst) {
            credentials.expires = UNIX_EPOCH;
        }
        (credentials.access_key == access_key).then_some(credentials)
    }

    /// Expires every access token issued so far.
    pub fn expire_tokens(&self, now: SystemTime) {
        self.tokens_from.store(self.stamp(now) + 1, Ordering::SeqCst);
    }

    /// Expires all AWS credentials issued so far.
    pub fn expire_aws(&self, now: SystemTime) {
        self.keys_from.store(self.stamp(now) + 1, Ordering::SeqCst);
    }

    /// Returns the time in milliseconds, later than any stamp before it.
    fn stamp(&self, now: SystemTime) -> u64 {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let next = |last: u64| Some(millis.max(last + 1));
        self.issued.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).map_or(millis, |last| millis.max(last + 1))
    }

    fn token(&self, kind: &str, stamp: u64) -> String {
        format!("{kind}.{stamp:x}.{}", self.hash(kind, stamp))
    }

    fn stamp_of(&self, kind: &str, token: &str) -> Option<u64> {
        let stamp = u64::from_str_radix(token.split('.').nth(1)?, 16).ok()?;
        (self.token(kind, stamp) == token).then_some(stamp)
    }

    fn credentials(&self, stamp: u64) -> SigningKeys {
        let mark = self.hash("key", stamp)[..5].to_uppercase();
        let session_token = self.hash("session/token+", stamp).repeat(SESSION_TOKEN_LENGTH / 64 + 1);
        SigningKeys {
            access_key: format!("ASIA{stamp:011X}{mark}"),
            secret_key: self.hash("secret", stamp)[..40].to_owned(),
            // The characters that must be percent-encoded in a query are in every real one.
            session_token: format!("IQo/b3+{}==", &session_token[..SESSION_TOKEN_LENGTH]),
            expires: UNIX_EPOCH + Duration::from_millis(stamp) + self.aws_life,
        }
    }

    fn hash(&self, kind: &str, stamp: u64) -> String {
        let digest = Sha256::digest(format!("{}/{kind}/{stamp}", self.seed));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(seed: u64) -> SimulatedAccount {
        SimulatedAccount::new(seed, ("a@example.com", "secret"), Duration::from_secs(60), Duration::from_secs(30))
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    #[test]
    fn a_token_lives_for_its_time_and_through_a_restart_with_the_same_seed() {
        let fields = account(1).issue_tokens(at(0), true);
        let token = fields["accessToken"].as_str().unwrap();
        assert!(account(1).access(token, at(59)));
        assert!(!account(1).access(token, at(60)));
        assert!(!account(2).access(token, at(1)));
        assert!(account(1).refreshes(fields["refreshToken"].as_str().unwrap()));
        assert!(!account(1).refreshes(token) && !account(1).access("", at(1)));
    }

    #[test]
    fn keys_are_found_again_and_expire() {
        let account = account(1);
        let fields = account.issue_aws(at(0));
        let key = fields["accessKeyId"].as_str().unwrap();
        let found = account.find(key).unwrap();
        assert_eq!((found.secret_key.as_str(), found.expires), (fields["secretKey"].as_str().unwrap(), at(30)));
        assert!((800..=1600).contains(&found.session_token.len()) && key.len() == 20);
        assert_eq!(account.find("AKIAIOSFODNN7EXAMPLE"), None);
        account.expire_aws(at(1));
        assert_eq!(account.find(key).unwrap().expires, UNIX_EPOCH);
        let newer = account.issue_aws(at(1));
        let newer = account.find(newer["accessKeyId"].as_str().unwrap()).unwrap();
        assert!(newer.expires > at(30));
    }

    #[test]
    fn expiring_all_tokens_spares_the_next_one() {
        let account = account(1);
        let old = account.issue_tokens(at(0), false);
        account.expire_tokens(at(1));
        let new = account.issue_tokens(at(1), false);
        assert!(!account.access(old["accessToken"].as_str().unwrap(), at(2)));
        assert!(account.access(new["accessToken"].as_str().unwrap(), at(2)));
        assert!(new.get("refreshToken").is_none());
    }
}
