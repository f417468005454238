//! A simulated cloud and a state directory, with accounts on them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use navien2mqtt::io::rest::{Account, RestClient};
use navien2mqtt::io::state::StateDirectory;
use navien2mqtt::io::tls;
use navien2mqtt::simulator::{Fault, Options, RestAnswer, Simulator};
use serde_json::Value;
use tempfile::TempDir;

pub const EMAIL: &str = "demo@example.com";
pub const PASSWORD: &str = "demo-password";

pub const SIGN_IN: &str = "/user/sign-in";
pub const REFRESH: &str = "/auth/refresh";
pub const SESSION: &str = "/auth/session/refresh";
pub const SECURED: &str = "/user/secured-sign-in";
pub const LIST: &str = "/device/list";

/// The age, in seconds, at which tokens that live for an hour are about to expire.
pub const OLD: i64 = 3400;

const GENEROUS: Duration = Duration::from_secs(30);

pub struct Cloud {
    pub simulator: Simulator,
    state: TempDir,
}

impl Cloud {
    pub async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with(options: Options) -> Self {
        let options = Options { email: EMAIL.into(), password: PASSWORD.into(), ..options };
        Self { simulator: Simulator::start(options).await.unwrap(), state: tempfile::tempdir().unwrap() }
    }

    /// A cloud on an address where no other test takes its ports when they are free again.
    pub async fn alone(host: u8) -> Self {
        Self::with(Options { listen: Ipv4Addr::new(127, 0, 0, host).into(), ..Options::default() }).await
    }

    /// The account, as a new run of the process has it.
    pub fn account(&self) -> Account {
        self.account_of(EMAIL, PASSWORD)
    }

    pub fn account_of(&self, email: &str, password: &str) -> Account {
        self.make((email, password), GENEROUS, &self.simulator.ca_file)
    }

    /// An account whose calls get no more than `limit`.
    pub fn hurried(&self, limit: Duration) -> Account {
        self.make((EMAIL, PASSWORD), limit, &self.simulator.ca_file)
    }

    pub fn account_trusting(&self, ca_file: &Path) -> Account {
        self.make((EMAIL, PASSWORD), GENEROUS, ca_file)
    }

    pub async fn signed_in(&self) -> Account {
        let account = self.account();
        account.sign_in().await.unwrap();
        account
    }

    /// Lets the sign-ins so far be forgotten, as if an hour had passed.
    pub fn let_an_hour_pass(&self) {
        let _ = fs::remove_file(self.state.path().join("sign-ins.json"));
    }

    fn make(&self, (email, password): (&str, &str), limit: Duration, ca_file: &Path) -> Account {
        let tls = tls::client_config(Some(ca_file), None).unwrap();
        let client = RestClient::new(&self.simulator.api_url.parse().unwrap(), &tls, limit, limit).unwrap();
        Account::new(client, email, password.to_owned().into(), StateDirectory::new(self.state.path()))
    }

    /// How often each of the five calls was made until now.
    pub fn calls(&self) -> [u64; 5] {
        let counters = self.simulator.counters();
        [SIGN_IN, REFRESH, SESSION, SECURED, LIST].map(|path| counters.rest(path))
    }

    /// Lets calls to `endpoint`, or all, be answered so from now on.
    pub fn answer(&self, endpoint: Option<&str>, answer: RestAnswer) {
        let endpoint = endpoint.map(str::to_owned);
        self.simulator.faults().set(Fault::Rest { endpoint, answer, times: None });
    }

    pub fn tokens_file(&self) -> PathBuf {
        self.state.path().join("tokens.json")
    }

    pub fn edit_tokens(&self, change: impl FnOnce(&mut Value)) {
        let mut tokens: Value = serde_json::from_slice(&fs::read(self.tokens_file()).unwrap()).unwrap();
        change(&mut tokens);
        fs::write(self.tokens_file(), tokens.to_string()).unwrap();
    }

    /// Makes the kept tokens and AWS credentials so many seconds old.
    pub fn age_tokens(&self, jwt: i64, aws: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        self.edit_tokens(|tokens| {
            tokens["jwt_issued"] = (now - jwt).into();
            tokens["aws_issued"] = (now - aws).into();
        });
    }
}
