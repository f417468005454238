//! One account: its tokens, renewed the cheapest way that works, by one caller at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::debug;

use super::{RestClient, RestError};
use crate::foreign_text::Secrets;
use crate::io::clock;
use crate::io::record::SharedRecorder;
use crate::io::sign_ins::{SignIns, TooSoon};
use crate::io::state::{StateDirectory, TokenFile, unix};
use crate::navilink::account::{ApiError, AwsCredentials, Jwt, LONGEST_LIFE, read_aws, read_jwt, token_of};
use crate::navilink::devices::{Device, DeviceList};

/// Tokens are renewed so long before they expire (protocol reference, section 1), or a quarter of a shorter life.
const AHEAD: Duration = Duration::from_secs(300);
/// Tokens that hardly live at all are not renewed more often.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);

/// A rejected password is not shown to the cloud again for so long, restarts of the process included.
const REJECTION_COUNTS: Duration = Duration::from_secs(6 * 3600);

/// Which credentials are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Renew only what is about to expire.
    IfExpiring,
    /// The AWS credentials were refused: renew them, whatever their age.
    Refused,
    /// Renew everything.
    All,
}

/// Why there are no credentials without the password.
#[derive(Debug, thiserror::Error)]
pub enum EnsureError {
    /// Only signing in can help; why the tokens are of no use, if there were any.
    #[error("{}", .0.as_deref().unwrap_or("there are no tokens yet"))]
    SignInNeeded(Option<String>),
    /// The cloud could not be asked; signing in would not help either.
    #[error(transparent)]
    Failed(#[from] RestError),
}

/// Why signing in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The budget of sign-ins does not allow it yet; the cloud was not asked.
    #[error(transparent)]
    TooSoon(#[from] TooSoon),
    /// The cloud said no, or could not be asked.
    #[error(transparent)]
    Failed(#[from] RestError),
}

impl SignInError {
    /// Returns whether the cloud rejected email or password, which must then not be tried again.
    pub fn rejected(&self) -> bool {
        match self {
            SignInError::Failed(RestError::RejectedBefore { .. }) => true,
            SignInError::Failed(RestError::Api(error)) => error.rejects_credentials(),
            _ => false,
        }
    }
}

/// The account and its tokens.
pub struct Account {
    client: RestClient,
    email: String,
    password: SecretString,
    sign_ins: SignIns,
    state: StateDirectory,
    tokens: Mutex<Option<Tokens>>,
    /// Somebody asked for the password to be tried, although it was rejected before.
    insisted: AtomicBool,
}

#[derive(Debug, Clone)]
struct Tokens {
    jwt: Jwt,
    jwt_age: Age,
    aws: Option<(AwsCredentials, Age)>,
    user_type: String,
}

/// When something was issued, by both clocks, and how long it lives.
#[derive(Debug, Clone, Copy)]
struct Age {
    since: Instant,
    issued: SystemTime,
    life: Duration,
}

impl Age {
    fn new(life: Duration) -> Self {
        Self { since: clock::now(), issued: clock::wall(), life }
    }

    /// Takes up what an earlier run was given. A clock that stands before the issue tells nothing: it counts as
    /// expired.
    fn restored(issued: u64, life: u64) -> Self {
        let issued = SystemTime::UNIX_EPOCH + Duration::from_secs(issued.min(1 << 40));
        let life = Duration::from_secs(life).min(LONGEST_LIFE);
        let life = if clock::wall() < issued { Duration::ZERO } else { life };
        Self { since: clock::now(), issued, life }
    }

    /// Returns whether it expires within [`AHEAD`], by whichever clock says so first: one of them stands still while
    /// the machine sleeps, the other one can be set.
    fn is_expiring(&self) -> bool {
        self.good_for().is_zero()
    }

    /// Returns how long it will still do.
    fn good_for(&self) -> Duration {
        let age = clock::now().duration_since(self.since);
        let by_wall = clock::wall().duration_since(self.issued).unwrap_or_default();
        self.life.saturating_sub(AHEAD.min(self.life / 4)).saturating_sub(age.max(by_wall))
    }

    fn expire(&mut self) {
        self.life = Duration::ZERO;
    }
}

impl Account {
    /// Takes up the tokens that an earlier run kept, if they are this account's.
    pub fn new(client: RestClient, email: &str, password: SecretString, state: StateDirectory) -> Self {
        let kept = state.tokens().filter(|kept| kept.email == email.to_lowercase());
        let secrets = Secrets::new([SecretString::from(email), password.clone()]);
        Self {
            client: client.with_secrets(secrets),
            email: email.to_owned(),
            password,
            sign_ins: SignIns::new(state.clone()),
            state,
            tokens: Mutex::new(kept.map(restore)),
            insisted: AtomicBool::new(false),
        }
    }

    /// Returns where the last answers are recorded, for the diagnostics.
    pub fn recorder(&self) -> &SharedRecorder {
        self.client.recorder()
    }

    /// Gets credentials for a session without the password: `/auth/refresh`, then `/auth/session/refresh`, then
    /// `/user/secured-sign-in`, as far as needed.
    ///
    /// # Errors
    ///
    /// Says whether signing in can help.
    pub async fn ensure(&self, renewal: Renewal) -> Result<(), EnsureError> {
        let mut slot = self.tokens.lock().await;
        let Some(tokens) = slot.as_mut() else {
            return Err(EnsureError::SignInNeeded(None));
        };
        let mut outcome = self.renew(tokens, renewal).await;
        if outcome.as_ref().is_err_and(RestError::refuses) {
            // A command typed by hand may have renewed them, and the cloud may take each refresh token once only.
            let ours = tokens.jwt.refresh.expose_secret();
            if let Some(newer) = self.kept().filter(|kept| kept.refresh != ours) {
                *tokens = restore(newer);
                outcome = self.renew(tokens, renewal).await;
            }
        }
        outcome.map_err(without_password)
    }

    async fn renew(&self, tokens: &mut Tokens, renewal: Renewal) -> Result<(), RestError> {
        let jwt_is_due = renewal == Renewal::All || tokens.jwt_age.is_expiring();
        if jwt_is_due {
            self.refresh_jwt(tokens).await?;
        }
        let aws_good = tokens.aws.as_ref().is_some_and(|(_, age)| !age.is_expiring());
        if renewal != Renewal::IfExpiring || !aws_good {
            self.refresh_aws(tokens, jwt_is_due).await?;
        }
        Ok(())
    }

    fn kept(&self) -> Option<TokenFile> {
        self.state.tokens().filter(|kept| kept.email == self.email.to_lowercase())
    }

    /// Lets the next sign-in show the password to the cloud although it was rejected before: a human asks for it.
    pub fn insist(&self) {
        self.insisted.store(true, Ordering::Relaxed);
    }

    /// Signs in with the password.
    ///
    /// # Errors
    ///
    /// Says whether the cloud rejected the credentials, now or in the last hours, or when the next sign-in is allowed.
    pub async fn sign_in(&self) -> Result<(), SignInError> {
        let mut slot = self.tokens.lock().await;
        let insisted = self.insisted.swap(false, Ordering::Relaxed);
        let rejected = self.state.rejection(&self.email, &self.password, clock::wall());
        if let Some((at, age)) = rejected.filter(|(_, age)| *age < REJECTION_COUNTS && !insisted) {
            let at = humantime::format_rfc3339_seconds(at).to_string();
            return Err(RestError::RejectedBefore { at, again_in: whole(REJECTION_COUNTS - age) }.into());
        }
        let claim = self.sign_ins.claim().await?;
        debug!("Signing in");
        let data = match self.client.sign_in(&self.email, &self.password).await {
            Err(error) if !error.reached_cloud() => {
                self.sign_ins.refund(claim).await;
                return Err(error.into());
            }
            Err(RestError::Api(error)) if error.rejects_credentials() => {
                self.state.keep_rejection(&self.email, &self.password, clock::wall()).await;
                return Err(RestError::from(error).into());
            }
            outcome => outcome?,
        };
        let token = token_of(&data);
        let jwt = read_jwt(token, None).map_err(RestError::from)?;
        let (credentials, life) = read_aws(token).map_err(RestError::from)?;
        let user_type = match data.pointer("/userInfo/userType") {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let jwt_age = Age::new(jwt.expires_in);
        let tokens = Tokens { jwt, jwt_age, aws: Some((credentials, Age::new(life))), user_type };
        self.keep(&tokens).await;
        *slot = Some(tokens);
        Ok(())
    }

    /// Returns after how long the tokens are to be renewed.
    pub async fn renew_in(&self) -> Duration {
        let slot = self.tokens.lock().await;
        let jwt = slot.as_ref().map(|tokens| tokens.jwt_age.good_for());
        let aws = slot.as_ref().and_then(|tokens| tokens.aws.as_ref()).map(|(_, age)| age.good_for());
        jwt.into_iter().chain(aws).min().unwrap_or_default().max(RENEWAL_PAUSE)
    }

    /// Returns the credentials of the MQTT session.
    pub async fn aws_credentials(&self) -> Option<AwsCredentials> {
        Some(self.tokens.lock().await.as_ref()?.aws.as_ref()?.0.clone())
    }

    /// Returns the account's device list.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn devices(&self) -> Result<DeviceList, RestError> {
        let (access, _) = self.access().await?;
        match self.client.device_list(&access, &self.email).await {
            Err(error) if error.code() == Some(401) => {
                let again = self.client.device_list(&self.renewed_access(&access).await?, &self.email).await;
                if again.as_ref().is_err_and(|error| error.code() == Some(401)) {
                    // Tokens that are refused although they are fresh are of no use; only the password is left.
                    *self.tokens.lock().await = None;
                }
                again
            }
            outcome => outcome,
        }
    }

    /// Returns a heater's time-of-use schedule.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tou(&self, heater: &Device, controller_serial: &str) -> Result<Value, RestError> {
        let (access, user_type) = self.access().await?;
        let user = (self.email.as_str(), user_type.as_str());
        match self.client.device_tou(&access, user, heater, controller_serial).await {
            Err(error) if error.code() == Some(401) => {
                self.client.device_tou(&self.renewed_access(&access).await?, user, heater, controller_serial).await
            }
            outcome => outcome,
        }
    }

    /// Returns the access token and the user type.
    async fn access(&self) -> Result<(SecretString, String), RestError> {
        let slot = self.tokens.lock().await;
        let tokens = slot.as_ref().ok_or(RestError::Api(ApiError::Missing("accessToken")))?;
        Ok((tokens.jwt.access.clone(), tokens.user_type.clone()))
    }

    /// Returns another access token than `refused`: a 401 to a token that looked good is answered by renewing it, once.
    async fn renewed_access(&self, refused: &SecretString) -> Result<SecretString, RestError> {
        let mut slot = self.tokens.lock().await;
        let tokens = slot.as_mut().ok_or(RestError::Api(ApiError::Missing("accessToken")))?;
        if tokens.jwt.access.expose_secret() == refused.expose_secret() {
            tokens.jwt_age.expire();
            self.refresh_jwt(tokens).await?;
        }
        Ok(tokens.jwt.access.clone())
    }

    async fn refresh_jwt(&self, tokens: &mut Tokens) -> Result<(), RestError> {
        debug!("Renewing the access token");
        let data = self.client.refresh(&tokens.jwt.refresh).await?;
        let jwt = read_jwt(token_of(&data), Some(&tokens.jwt.refresh))?;
        tokens.jwt_age = Age::new(jwt.expires_in);
        tokens.jwt = jwt;
        self.keep(tokens).await;
        Ok(())
    }

    async fn refresh_aws(&self, tokens: &mut Tokens, jwt_is_fresh: bool) -> Result<(), RestError> {
        debug!("Renewing the session's credentials");
        let read = |data: Value| Ok(read_aws(token_of(&data))?);
        let mut answer = self.client.session_refresh(&tokens.jwt.access, &self.email).await;
        if !jwt_is_fresh && answer.as_ref().is_err_and(|error| error.code() == Some(401)) {
            self.refresh_jwt(tokens).await?;
            answer = self.client.session_refresh(&tokens.jwt.access, &self.email).await;
        }
        let mut renewed = answer.and_then(read);
        if renewed.as_ref().is_err_and(leaves_another_way) {
            renewed = self.client.secured_sign_in(&tokens.jwt.access, &self.email).await.and_then(read);
        }
        let (credentials, life) = renewed?;
        tokens.aws = Some((credentials, Age::new(life)));
        self.keep(tokens).await;
        Ok(())
    }

    async fn keep(&self, tokens: &Tokens) {
        let reveal = |secret: &SecretString| secret.expose_secret().to_owned();
        let aws = tokens.aws.as_ref();
        self.state
            .keep_tokens(TokenFile {
                email: self.email.to_lowercase(),
                access: reveal(&tokens.jwt.access),
                refresh: reveal(&tokens.jwt.refresh),
                jwt_issued: unix(tokens.jwt_age.issued),
                jwt_life: tokens.jwt_age.life.as_secs(),
                aws: aws.map(|(aws, _)| {
                    let token = aws.session_token.as_ref().map(reveal).unwrap_or_default();
                    [reveal(&aws.access_key_id), reveal(&aws.secret_key), token]
                }),
                aws_issued: aws.map_or(0, |(_, age)| unix(age.issued)),
                aws_life: aws.map_or(0, |(_, age)| age.life.as_secs()),
                user_type: tokens.user_type.clone(),
            })
            .await;
    }
}

fn whole(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs())
}

/// Tells a refusal, which only signing in can overcome, from a cloud that could not be asked.
fn without_password(error: RestError) -> EnsureError {
    if error.refuses() {
        return EnsureError::SignInNeeded(Some(format!("the tokens cannot be renewed: {error}")));
    }
    error.into()
}

/// Returns whether another call can do better: the cloud answered this one, and did not ask for patience.
fn leaves_another_way(error: &RestError) -> bool {
    match error {
        RestError::Api(ApiError::Http { retry_after: Some(_), .. }) => false,
        RestError::Api(_) => error.code() != Some(429),
        _ => false,
    }
}

fn restore(kept: TokenFile) -> Tokens {
    let jwt_age = Age::restored(kept.jwt_issued, kept.jwt_life);
    let aws = kept.aws.map(|[access_key_id, secret_key, session_token]| AwsCredentials {
        access_key_id: access_key_id.into(),
        secret_key: secret_key.into(),
        session_token: Some(session_token.into()),
    });
    Tokens {
        jwt: Jwt { access: kept.access.into(), refresh: kept.refresh.into(), expires_in: jwt_age.life },
        jwt_age,
        aws: aws.map(|aws| (aws, Age::restored(kept.aws_issued, kept.aws_life))),
        user_type: kept.user_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_clock_saw_more_time_pass_decides() {
        let life = Duration::from_secs(7200);
        let (now, wall, hour) = (clock::now(), clock::wall(), Duration::from_secs(3600));
        let age = |since, issued| Age { since, issued, life };
        assert!(!age(now, wall).is_expiring());
        assert!(!age(now, wall - hour).is_expiring());
        assert!(age(now, wall - 2 * hour).is_expiring(), "the machine slept, or the clock was set forward");
        assert!(age(now - 2 * hour, wall).is_expiring(), "the clock was set back");
        assert!(age(now - 2 * hour, wall + hour).is_expiring(), "the clock was set back before the issue");
    }

    #[test]
    fn short_lives_are_not_renewed_all_the_time() {
        let young = Age::new(Duration::from_secs(60));
        let aged = |seconds| Age { since: young.since - Duration::from_secs(seconds), ..young };
        assert!(!aged(40).is_expiring());
        assert!(aged(46).is_expiring());
    }
}
