//! One way to the cloud without a supervisor, for the commands that a person types. It keeps to the same budget of
//! sign-ins as the daemon, uses the same tokens, and a client id of its own so that it does not throw the daemon out.

use std::sync::Arc;

use rustls::ClientConfig;
use tracing::warn;

use super::{StartError, classify, settings};
use crate::config::Config;
use crate::exit::Exit;
use crate::io::mqtt::{Dial, LinkError};
use crate::io::rest::{Account, EnsureError, RestClient, RestError, SignInError};
use crate::io::sign_ins::TooSoon;
use crate::io::state::StateDirectory;
use crate::io::{clock, tls};
use crate::model::Mac;
use crate::navilink::devices::DeviceList;
use crate::navilink::presign::{PresignError, presign};
use crate::navilink::session::{ClientId, Identity, SessionId};
use crate::supervisor::Decision;
use crate::tokens::Renewal;

/// Why a command that goes to the cloud failed.
#[derive(Debug, thiserror::Error)]
pub enum OneShotError {
    /// It could not even begin.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A call of the REST API failed.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// Signing in failed.
    #[error("signing in failed: {0}")]
    SignIn(#[from] SignInError),
    /// The URL of the session could not be signed.
    #[error(transparent)]
    Presign(#[from] PresignError),
    /// The session failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The account has no such heater.
    #[error("the account has no heater {0}; `navien2mqtt devices` lists them")]
    NoSuchHeater(Mac),
}

/// Returns the exit code of a failure.
pub fn exit(error: &OneShotError) -> Exit {
    match error {
        OneShotError::Start(error) => error.exit(),
        OneShotError::SignIn(error) if classify::sign_in(error).decision == Decision::CredentialsRejected => {
            Exit::CredentialsRejected
        }
        OneShotError::NoSuchHeater(_) => Exit::Usage,
        OneShotError::Presign(_) => Exit::Internal,
        _ => Exit::CloudUnavailable,
    }
}

/// Describes a session with the local broker that has no will.
///
/// # Errors
///
/// When TLS cannot be set up.
pub fn local_dial(config: &Config, filters: Vec<String>) -> Result<Dial, StartError> {
    Ok(Dial { filters, ..settings::local_dial(config, settings::local_tls(config)?.as_ref(), None) })
}

/// The way to the cloud.
pub struct OneShotClient<'c> {
    config: &'c Config,
    tls: Arc<ClientConfig>,
    account: Account,
    client_id: String,
}

impl<'c> OneShotClient<'c> {
    /// Prepares the way.
    ///
    /// # Errors
    ///
    /// When TLS or HTTP cannot be set up.
    pub async fn new(config: &'c Config) -> Result<Self, OneShotError> {
        let cloud = &config.cloud;
        let tls = tls::client_config(cloud.ca_file.as_deref(), None).map_err(StartError::from)?;
        let rest = RestClient::new(&cloud.api_url, &tls, cloud.connect_timeout, cloud.operation_timeout)?;
        let state = StateDirectory::new(&config.state_directory);
        let client_id = format!("{}-cli", state.client_id(random()?).await);
        let account = Account::new(rest, &config.account.email, config.account.password.clone(), state);
        Ok(Self { config, tls, account, client_id })
    }

    /// Gets credentials, with the password if that must be, and lists the devices.
    ///
    /// # Errors
    ///
    /// Says which step failed.
    pub async fn devices(&self) -> Result<DeviceList, OneShotError> {
        match self.account.ensure(Renewal::IfExpiring).await {
            Ok(()) => {}
            Err(EnsureError::Failed(error)) => return Err(error.into()),
            Err(EnsureError::SignInNeeded(_)) => self.sign_in().await?,
        }
        Ok(self.account.devices().await?)
    }

    /// Returns who we are on the session.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub fn identity(&self) -> Result<Identity, OneShotError> {
        let session = SessionId::from_random(random()?);
        Ok(Identity { client: ClientId::new(&self.client_id), session })
    }

    /// Describes the session, without subscriptions.
    ///
    /// # Errors
    ///
    /// When its URL cannot be signed.
    pub async fn dial(&self) -> Result<Dial, OneShotError> {
        let cloud = &self.config.cloud;
        let credentials =
            self.account.aws_credentials().await.ok_or(RestError::Unreachable("no credentials".into()))?;
        let url = presign(&cloud.mqtt_url, &cloud.region, &credentials, clock::wall())?;
        Ok(settings::cloud_dial(self.config, &self.tls, url))
    }

    /// Signs in with the password, within the budget; when sign-ins cannot be counted, a minute is waited first.
    ///
    /// # Errors
    ///
    /// Says why not, or when it is allowed.
    pub async fn sign_in(&self) -> Result<(), OneShotError> {
        // Whoever types a command wants to know what the cloud says now.
        self.account.bypass_rejection_cache();
        match self.account.sign_in().await {
            Err(SignInError::TooSoon(too_soon @ TooSoon::Uncounted(wait))) => {
                warn!("{too_soon}");
                clock::sleep(wait).await;
                self.account.bypass_rejection_cache();
                Ok(self.account.sign_in().await?)
            }
            outcome => Ok(outcome?),
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], OneShotError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System(error.into()))?;
    Ok(bytes)
}
