//! One account: its tokens, renewed the cheapest way that works, by one caller at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
use crate::model::Moment;
use crate::navilink::account::{ApiError, AwsCredentials, Jwt};
use crate::navilink::devices::{Device, DeviceList};
use crate::tokens::{AfterFailure, Age, Call, Renewal, Renewing, Tokens, after_failed_sign_in, may_sign_in};

/// Why there are no credentials without the password.
pub type EnsureError = crate::tokens::NoCredentials<RestError>;

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
    bypass_rejection: AtomicBool,
}

impl Account {
    /// Takes up the tokens that an earlier run kept, if they are this account's.
    pub fn new(client: RestClient, email: &str, password: SecretString, state: StateDirectory) -> Self {
        let secrets = Secrets::new([SecretString::from(email), password.clone()]);
        let mut account = Self {
            client: client.with_secrets(secrets),
            email: email.to_owned(),
            password,
            sign_ins: SignIns::new(state.clone()),
            state,
            tokens: Mutex::default(),
            bypass_rejection: AtomicBool::new(false),
        };
        *account.tokens.get_mut() = account.kept();
        account
    }

    /// Returns how many sign-ins are left of this hour's.
    pub fn sign_ins_left(&self) -> usize {
        self.sign_ins.left()
    }

    /// Returns where the last answers are recorded, for the diagnostics.
    pub fn recorder(&self) -> &SharedRecorder {
        self.client.recorder()
    }

    /// Gets credentials for a session without the password, as [`Renewing`] decides.
    ///
    /// # Errors
    ///
    /// Says whether signing in can help.
    pub async fn ensure(&self, renewal: Renewal) -> Result<(), EnsureError> {
        let mut slot = self.tokens.lock().await;
        let Some(tokens) = slot.as_mut() else {
            return Err(EnsureError::SignInNeeded(None));
        };
        let begin = |tokens: &Tokens| Renewing::begin(renewal, tokens, moment());
        let mut outcome = self.renew(tokens, begin(tokens)).await;
        if outcome.as_ref().is_err_and(RestError::refuses) {
            // A one-shot command may have renewed them, and the cloud may take each refresh token once only.
            if let Some(newer) = self.kept().filter(|kept| kept.differ_from(tokens)) {
                *tokens = newer;
                outcome = self.renew(tokens, begin(tokens)).await;
            }
        }
        Ok(outcome?)
    }

    async fn renew(&self, tokens: &mut Tokens, mut renewing: Renewing) -> Result<(), RestError> {
        while let Some(call) = renewing.next() {
            let answer = self.call(call, tokens).await;
            renewing.answered(tokens, answer, moment())?;
            self.keep(tokens).await;
        }
        Ok(())
    }

    async fn call(&self, call: Call, tokens: &Tokens) -> Result<Value, RestError> {
        debug!("Renewing by {call:?}");
        match call {
            Call::Refresh => self.client.refresh(&tokens.jwt.refresh).await,
            Call::SessionRefresh => self.client.session_refresh(&tokens.jwt.access, &self.email).await,
            Call::SecuredSignIn => self.client.secured_sign_in(&tokens.jwt.access, &self.email).await,
        }
    }

    fn kept(&self) -> Option<Tokens> {
        let kept = self.state.tokens().filter(|kept| kept.email == self.email.to_lowercase());
        kept.map(|kept| restore(kept, moment()))
    }

    /// Lets the next sign-in show the password to the cloud although it was rejected before: a human asks for it.
    pub fn bypass_rejection_cache(&self) {
        self.bypass_rejection.store(true, Ordering::Relaxed);
    }

    /// Signs in with the password.
    ///
    /// # Errors
    ///
    /// Says whether the cloud rejected the credentials, now or in the last hours, or when the next sign-in is allowed.
    pub async fn sign_in(&self) -> Result<(), SignInError> {
        let mut slot = self.tokens.lock().await;
        let bypass_rejection = self.bypass_rejection.swap(false, Ordering::Relaxed);
        let rejected = self.state.rejection(&self.email, &self.password, clock::wall());
        may_sign_in(rejected, bypass_rejection).map_err(|(at, again_in)| {
            let at = humantime::format_rfc3339_seconds(at).to_string();
            RestError::RejectedBefore { at, again_in }
        })?;
        let claim = self.sign_ins.claim().await?;
        debug!("Signing in");
        let answer = self.client.sign_in(&self.email, &self.password).await;
        if let Err(error) = &answer {
            match after_failed_sign_in(error) {
                AfterFailure::Refund => self.sign_ins.refund(claim).await,
                AfterFailure::RememberRejection => {
                    self.state.keep_rejection(&self.email, &self.password, clock::wall()).await;
                }
                AfterFailure::Count => {}
            }
        }
        let tokens = Tokens::from_sign_in(&answer?, moment()).map_err(RestError::from)?;
        self.keep(&tokens).await;
        *slot = Some(tokens);
        Ok(())
    }

    /// Returns after how long the tokens are to be renewed.
    pub async fn renew_in(&self) -> Duration {
        self.tokens.lock().await.as_ref().map(|tokens| tokens.renew_in(moment())).unwrap_or_default()
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
            self.renew(tokens, Renewing::of_access_token()).await?;
        }
        Ok(tokens.jwt.access.clone())
    }

    async fn keep(&self, tokens: &Tokens) {
        let reveal = |secret: &SecretString| secret.expose_secret().to_owned();
        let aws = tokens.aws.as_ref();
        self.state
            .keep_tokens(TokenFile {
                email: self.email.to_lowercase(),
                access: reveal(&tokens.jwt.access),
                refresh: reveal(&tokens.jwt.refresh),
                jwt_issued: unix(tokens.jwt_age.issued()),
                jwt_life: tokens.jwt_age.life().as_secs(),
                aws: aws.map(|(aws, _)| {
                    let token = aws.session_token.as_ref().map(reveal).unwrap_or_default();
                    [reveal(&aws.access_key_id), reveal(&aws.secret_key), token]
                }),
                aws_issued: aws.map_or(0, |(_, age)| unix(age.issued())),
                aws_life: aws.map_or(0, |(_, age)| age.life().as_secs()),
                user_type: tokens.user_type.clone(),
            })
            .await;
    }
}

fn moment() -> Moment {
    Moment { now: clock::now(), wall: clock::wall() }
}

fn restore(kept: TokenFile, moment: Moment) -> Tokens {
    let jwt_age = Age::restored(kept.jwt_issued, kept.jwt_life, moment);
    let aws = kept.aws.map(|[access_key_id, secret_key, session_token]| AwsCredentials {
        access_key_id: access_key_id.into(),
        secret_key: secret_key.into(),
        session_token: Some(session_token.into()),
    });
    Tokens {
        jwt: Jwt { access: kept.access.into(), refresh: kept.refresh.into(), expires_in: jwt_age.life() },
        jwt_age,
        aws: aws.map(|aws| (aws, Age::restored(kept.aws_issued, kept.aws_life, moment))),
        user_type: kept.user_type,
    }
}
