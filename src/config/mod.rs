//! The configuration (contract, section 2): read whole, with every mistake named at once.

mod dump;
pub mod edit;
mod heater_choice;
mod home_assistant;
mod http;
mod reader;
mod sections;
mod values;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::model::{HeaterChoice, Mac};
use crate::supervisor::{OnFailure, Strategy};
use crate::units::UnitsChoice;

pub use home_assistant::HomeAssistantConfig;
pub use http::HttpConfig;
pub use reader::ConfigProblem;
pub use sections::{LEVELS as LOG_LEVELS, SAMPLE_EMAIL};

/// How a warning of a file begins that the service cannot read.
pub const NOT_BY_UNIT: &str = "the service, which runs as a user of its own, cannot read";

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The units of everything that is shown.
    pub units: UnitsChoice,
    /// `[account]`
    pub account: AccountConfig,
    /// `[cloud]`
    pub cloud: CloudConfig,
    /// `[reconnect]`
    pub reconnect: AttemptsConfig,
    /// `[recovery]`
    pub recovery: RecoveryConfig,
    /// `[reachability]`
    pub reachability: ReachabilityConfig,
    /// `[alerts]`, if there are any
    pub alerts: Option<AlertsConfig>,
    /// `[broker]`
    pub broker: BrokerConfig,
    /// `[home_assistant]`
    pub home_assistant: HomeAssistantConfig,
    /// `[commands]`
    pub commands: CommandsConfig,
    /// `[administration] allow`: the requests to the bridge that are obeyed
    pub administration: Vec<&'static str>,
    /// `[http]`, if it is to listen
    pub http: Option<HttpConfig>,
    /// `[state] directory`, or `$STATE_DIRECTORY`
    pub state_directory: PathBuf,
    /// `[log]`
    pub log: LogConfig,
    /// `[[device]]`
    pub devices: Vec<DeviceConfig>,
    /// What is odd, though it can be meant so.
    pub warnings: Vec<ConfigProblem>,
}

/// `[account]`
#[derive(Debug, Clone)]
pub struct AccountConfig {
    /// The address that signs in.
    pub email: String,
    /// The password, from wherever it came first.
    pub password: SecretString,
    /// Which of its heaters are served.
    pub heaters: HeaterChoice,
}

/// `[cloud]`
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// The base of the REST API.
    pub api_url: Url,
    /// The endpoint of the MQTT session.
    pub mqtt_url: Url,
    /// The AWS region that is signed for.
    pub region: String,
    /// Roots trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// One attempt, from name lookup to SUBACK.
    pub connect_timeout: Duration,
    /// One acknowledgement or answer.
    pub operation_timeout: Duration,
    /// MQTT keep-alive.
    pub keep_alive: Duration,
    /// Between two requests for a heater's status.
    pub status_interval: Duration,
    /// Between two requests for its information.
    pub info_interval: Duration,
    /// Between two requests for its energy.
    pub energy_interval: Duration,
    /// Between two requests for its schedules.
    pub schedule_interval: Duration,
    /// No word from a heater for so long: it is unavailable.
    pub stale_after: Duration,
}

/// `[reconnect]`, and what `[recovery]` has in common with it.
#[derive(Debug, Clone)]
pub struct AttemptsConfig {
    /// Whether this line of attempts is used.
    pub enabled: bool,
    /// `None` is without limit.
    pub max_attempts: Option<u32>,
    /// Before the first attempt.
    pub initial_delay: Duration,
    /// Before the later ones, at most.
    pub max_delay: Duration,
    /// From one delay to the next.
    pub multiplier: f64,
    /// Each delay is multiplied by a random number in 1 ± jitter.
    pub jitter: f64,
}

/// `[recovery]`
#[derive(Debug, Clone)]
pub struct RecoveryConfig {
    /// The delays and their number.
    pub attempts: AttemptsConfig,
    /// What an attempt does.
    pub strategy: Strategy,
    /// With `exponential-backoff`: the tokens are renewed before every so-many-th attempt.
    pub refresh_tokens_every: u32,
    /// What follows the last attempt.
    pub on_failure: OnFailure,
}

/// `[reachability]`
#[derive(Debug, Clone)]
pub struct ReachabilityConfig {
    /// Whether the return of the network ends a wait.
    pub enabled: bool,
    /// Between two probes, at most.
    pub probe_interval: Duration,
}

/// `[alerts]`
#[derive(Debug, Clone)]
pub struct AlertsConfig {
    /// A program, by its absolute path, and its arguments.
    pub command: Option<Vec<String>>,
    /// Where alerts are posted to; webhooks have their secret in it.
    pub url: Option<SecretString>,
    /// How long telling one alert may take.
    pub timeout: Duration,
}

/// `[broker]`
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Name or address.
    pub host: String,
    /// 1883, or 8883 with TLS, when the URL has none.
    pub port: u16,
    /// `mqtts://`
    pub tls: bool,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Roots trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// MQTT client id.
    pub client_id: String,
    /// The beginning of every topic.
    pub base_topic: String,
}

/// `[commands]`
#[derive(Debug, Clone)]
pub struct CommandsConfig {
    /// Commands that arrive while the cloud is away.
    pub max_queued: usize,
    /// Older ones are dropped.
    pub max_age: Duration,
    /// Whether firmware may be committed.
    pub allow_firmware_commit: bool,
    /// Whether nothing is set at all.
    pub read_only: bool,
    /// The highest temperature that may be set, in half degrees Celsius.
    pub max_temperature: Option<i64>,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// What is said.
    pub level: LogLevel,
    /// Where.
    pub target: LogTarget,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// We stop, or need a human.
    Error,
    /// A human may care.
    Warn,
    /// Changes of state.
    Info,
    /// Decisions.
    Debug,
    /// Every message.
    Trace,
}

/// `log.target`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal under systemd, standard error otherwise.
    Auto,
    /// The journal.
    Journal,
    /// Standard error.
    Stderr,
}

/// `[[device]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Which heater.
    pub mac: Mac,
    /// Its name, instead of the account's.
    pub name: Option<String>,
}

/// What the configuration depends on besides its file.
#[derive(Clone, Copy)]
pub struct Environment<'s> {
    /// Reads an environment variable.
    pub variable: &'s dyn Fn(&str) -> Option<OsString>,
    /// Reads a file.
    pub read: &'s dyn Fn(&Path) -> io::Result<Vec<u8>>,
    /// Says what is wrong with a file that is to hold certificates or a key.
    pub check_pem: &'s CheckPem,
    /// Names the file of a credential that is used where no credentials are handed over.
    pub stored_credential: Option<&'s dyn Fn(&str) -> PathBuf>,
    /// Says who can read a file.
    pub access: &'s dyn Fn(&Path) -> Access,
}

/// Who can read a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether every user of the machine can.
    pub by_everybody: bool,
    /// Why the service cannot, if that is asked for.
    pub not_by_unit: Option<String>,
}

/// Says what is wrong with the content of a file, by what it is for.
pub type CheckPem = dyn Fn(&[u8], Pem<'_>) -> Result<(), String>;

/// What a PEM file is for.
#[derive(Debug, Clone, Copy)]
pub enum Pem<'c> {
    /// Roots to trust.
    Roots,
    /// The certificate that we show.
    Certificate,
    /// Its private key.
    Key {
        /// The certificate's file, which the key must fit; `None` when that is of no use itself.
        certificate: Option<&'c [u8]>,
    },
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Every problem, in the order of their places.
    pub fn load(path: &Path, environment: Environment<'_>) -> Result<Self, Vec<ConfigProblem>> {
        let whole = |message: String| {
            vec![ConfigProblem { file: path.to_owned(), line: 0, column: 0, key: String::new(), message }]
        };
        let bytes = (environment.read)(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| whole(format!("is not UTF-8: {error}")))?;
        // Some editors put a byte-order mark before the text.
        sections::read(path, text.strip_prefix('\u{feff}').unwrap_or(&text), environment)
    }
}

#[cfg(test)]
mod tests;
