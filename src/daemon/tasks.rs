//! The tasks beside the loop: calls of the REST API, the signing of URLs, probes, and a look at the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use url::Url;

use super::administration::{MayRestart, RestartRequest};
use crate::io::rest::{Account, EnsureError, RestError, SignInError};
use crate::io::{clock, network, task};
use crate::model::Mac;
use crate::navilink::devices::{Device, DeviceList};
use crate::navilink::presign::{PresignError, presign};
use crate::supervisor::{Generation, Renewal};
use crate::tokens::{Obtained, SharedRenewals};

/// How many results may wait for the loop: one step of an attempt is in flight at a time for each link, and few questions
/// beside it.
const MAX_RESULTS: usize = 64;
/// A probe takes no longer than this.
const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// What a task brings back.
pub enum TaskResult {
    /// Of [`Tasks::ensure_credentials`]: how long they live.
    Credentials(Generation, Result<Duration, EnsureError>),
    /// Of [`Tasks::sign_in`]: how long the credentials live.
    SignedIn(Generation, Result<Duration, SignInError>),
    /// Of [`Tasks::list_heaters`], for an attempt or beside it.
    Listed(Option<Generation>, Result<DeviceList, RestError>),
    /// Of [`Tasks::sign_url`].
    Signed(Generation, Result<SecretString, PresignError>),
    /// Of [`Tasks::fetch_tou`].
    Tou(Mac, Result<Value, RestError>),
    /// Of [`Tasks::probe`].
    Probed(u64, bool),
    /// Of [`Tasks::ask_before_restart`].
    MayRestart(RestartRequest, Result<(), String>),
}

/// Starts tasks and hands on what they bring back.
pub struct Tasks {
    account: Arc<Account>,
    /// What was renewed for one link does for the others; who holds it is the one who renews.
    shared: Arc<Mutex<SharedRenewals>>,
    done: mpsc::Sender<(usize, TaskResult)>,
    results: mpsc::Receiver<(usize, TaskResult)>,
    /// The probe in flight for each link, or the last one.
    probes: BTreeMap<usize, JoinHandle<()>>,
}

impl Tasks {
    /// Prepares the tasks of an account.
    pub fn new(account: Account) -> Self {
        let (done, results) = mpsc::channel(MAX_RESULTS);
        Self { account: Arc::new(account), shared: Arc::default(), done, results, probes: BTreeMap::new() }
    }

    /// Returns the account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the next result, and for which link it is, counted from 0.
    pub async fn recv(&mut self) -> Option<(usize, TaskResult)> {
        self.results.recv().await
    }

    /// Gets credentials without the password.
    pub fn ensure_credentials(&self, (link, g): (usize, Generation), renewal: Renewal) {
        let (account, shared) = (Arc::clone(&self.account), Arc::clone(&self.shared));
        self.start(link, async move {
            let mut shared = shared.lock().await;
            let wanted = Obtained::Renewed(renewal);
            let covered = shared.cover(link, wanted, clock::now());
            let outcome = account.ensure(if covered { Renewal::IfExpiring } else { renewal }).await;
            if outcome.is_ok() && !covered {
                shared.record(link, wanted, clock::now());
            }
            let life = account.renew_in().await;
            TaskResult::Credentials(g, outcome.map(|()| life))
        });
    }

    /// Signs in with the password.
    pub fn sign_in(&self, (link, g): (usize, Generation)) {
        let (account, shared) = (Arc::clone(&self.account), Arc::clone(&self.shared));
        self.start(link, async move {
            let mut shared = shared.lock().await;
            if shared.cover(link, Obtained::SignedIn, clock::now()) {
                return TaskResult::Credentials(g, Ok(account.renew_in().await));
            }
            let outcome = account.sign_in().await;
            if outcome.is_ok() {
                shared.record(link, Obtained::SignedIn, clock::now());
            }
            let life = account.renew_in().await;
            TaskResult::SignedIn(g, outcome.map(|()| life))
        });
    }

    /// Reads the account's device list, for an attempt of the first link or beside it.
    pub fn list_heaters(&self, g: Option<Generation>) {
        let account = Arc::clone(&self.account);
        self.start(0, async move { TaskResult::Listed(g, account.devices().await) });
    }

    /// Reads a heater's time-of-use schedule.
    pub fn fetch_tou(&self, heater: Device, controller_serial: String) {
        let account = Arc::clone(&self.account);
        self.start(0, async move {
            let data = account.tou(&heater, &controller_serial).await;
            TaskResult::Tou(heater.mac, data)
        });
    }

    /// Signs the URL of the session.
    pub fn sign_url(&self, (link, g): (usize, Generation), url: Url, region: String) {
        let account = Arc::clone(&self.account);
        self.start(link, async move {
            let Some(credentials) = account.aws_credentials().await else {
                return TaskResult::Credentials(g, Err(EnsureError::SignInNeeded(None)));
            };
            TaskResult::Signed(g, presign(&url, &region, &credentials, clock::wall()))
        });
    }

    /// Probes the cloud's hosts; a newer probe of a link makes its older one worthless.
    pub fn probe(&mut self, (link, probe): (usize, u64), hosts: Vec<(String, u16)>, connect_timeout: Duration) {
        if let Some(older) = self.probes.remove(&link) {
            older.abort();
        }
        let limit = PROBE_LIMIT.min(connect_timeout);
        let work = async move { TaskResult::Probed(probe, network::reachable(&hosts, limit).await) };
        self.probes.insert(link, self.start(link, work));
    }

    /// Asks whether a fresh start would succeed. The configuration is read again, which may take a moment.
    pub fn ask_before_restart(&self, may_restart: &MayRestart, request: RestartRequest) {
        let ask = Arc::clone(may_restart);
        self.start(0, async move {
            let answer = tokio::task::spawn_blocking(move || ask()).await;
            TaskResult::MayRestart(request, answer.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    fn start(&self, link: usize, work: impl Future<Output = TaskResult> + Send + 'static) -> JoinHandle<()> {
        let done = self.done.clone();
        task::spawn(async move {
            // The loop is gone when this fails, and nobody waits any more.
            let _ = done.send((link, work.await)).await;
        })
    }
}
