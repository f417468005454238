//! What goes into the supervisor and what comes out of it.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, Instant};

use super::backoff::Backoff;

/// The states of the connection to the cloud, spelled as everywhere (contract, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No heater has answered yet since the process started.
    Starting,
    /// A heater has answered on this session.
    Connected,
    /// The session was lost; the same one is being tried again.
    Reconnecting,
    /// Reconnecting is exhausted; the configured strategy is at work.
    Recovering,
    /// Everything is exhausted, or the cloud rejected the credentials.
    Failed,
    /// Asked to stop.
    Stopping,
}

impl State {
    /// Returns the spelling for topics, logs and `STATUS=`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Starting => "starting",
            State::Connected => "connected",
            State::Reconnecting => "reconnecting",
            State::Recovering => "recovering",
            State::Failed => "failed",
            State::Stopping => "stopping",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What recovery does once reconnection is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// Waits, then tries the same session again from the first attempt.
    SimpleRetry,
    /// Waits, then builds a new session.
    FullRecreation,
    /// Waits, renews the tokens, then builds a new session.
    TokenRefresh,
    /// Waits longer each time, builds a new session, renews the tokens every few attempts.
    ExponentialBackoff,
}

impl Strategy {
    /// Every strategy with its spelling in the configuration.
    pub const WORDS: &[(&'static str, Self)] = &[
        ("simple-retry", Strategy::SimpleRetry),
        ("full-recreation", Strategy::FullRecreation),
        ("token-refresh", Strategy::TokenRefresh),
        ("exponential-backoff", Strategy::ExponentialBackoff),
    ];

    /// Returns the spelling of the configuration.
    pub fn as_str(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(_, strategy)| *strategy == self);
        found.expect("every strategy has its word").0
    }
}

/// What to do when recovery is exhausted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// End the process; systemd starts it afresh.
    Exit,
    /// Stay and wait for a `reconnect` request.
    Hold,
}

impl OnFailure {
    /// Each with its spelling in the configuration.
    pub const WORDS: &[(&'static str, Self)] = &[("exit", OnFailure::Exit), ("hold", OnFailure::Hold)];
}

/// One line of attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Whether the line is used at all.
    pub enabled: bool,
    /// How many attempts it has; `None` is without limit.
    pub max_attempts: Option<u32>,
    /// The waits before them.
    pub backoff: Backoff,
}

impl Line {
    pub(super) fn has_attempt_after(&self, attempts: u32) -> bool {
        self.enabled && self.max_attempts.is_none_or(|max| attempts < max)
    }
}

/// How the supervisor is set up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// First line: the same session again.
    pub reconnect: Line,
    /// Second line, once the first is exhausted.
    pub recovery: Line,
    /// What the second line does.
    pub strategy: Strategy,
    /// With [`Strategy::ExponentialBackoff`]: the tokens are renewed before every so-many-th attempt.
    pub refresh_tokens_every: u32,
    /// What follows when the second line is exhausted.
    pub on_failure: OnFailure,
    /// One attempt from name lookup to the acknowledged subscriptions.
    pub connect_timeout: Duration,
    /// One acknowledgement or answer.
    pub operation_timeout: Duration,
    /// How often it is probed, at most, whether the cloud can be reached; `None` is never.
    pub probe_interval: Option<Duration>,
}

/// What a failure means for the next attempt; errors are classified into it once, at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It passes by itself: try again after the usual wait.
    Transient,
    /// The cloud asked for a pause.
    RetryAfter(Duration),
    /// Sessions in a row were short: wait at least so long.
    BackOff(Duration),
    /// The credentials are stale: renew them before the next attempt.
    RenewCredentials,
    /// The cloud rejected email or password: never try them again.
    CredentialsRejected,
    /// Our clock or the cloud's is wrong: renewing would not help.
    ClockSkew,
    /// The cloud closed the connection. It passes by itself, but when it happens soon after each connect, another
    /// instance uses our client id.
    ClosedByCloud,
    /// A mistake of ours or a broken machine; tried again like a transient one, but logged as an error.
    Bug,
}

impl Decision {
    /// Returns whether it holds for every later attempt too.
    pub fn is_final(self) -> bool {
        self == Decision::CredentialsRejected
    }
}

/// A named cause: a fixed word to filter by and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A word such as `link-lost`.
    pub code: &'static str,
    /// What happened, without secrets.
    pub detail: Cow<'static, str>,
}

impl Reason {
    /// Names a cause. Control characters in foreign words become spaces: the words go to systemd and to the log.
    pub fn new(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut detail = detail.into();
        if detail.contains(char::is_control) {
            detail = detail.replace(char::is_control, " ").into();
        }
        Self { code, detail }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { f.write_str(self.code) } else { write!(f, "{}: {}", self.code, self.detail) }
    }
}

/// A step that did not succeed, or a link that went down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What follows from it.
    pub decision: Decision,
    /// What it was.
    pub reason: Reason,
    /// How far it got.
    pub reach: Reach,
}

/// How far an attempt got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Not even TCP: the network is away, or the name cannot be looked up.
    Nothing,
    /// To the far side's TCP, but the cloud cannot have seen the request; a sign-in does not count then.
    Host,
    /// Perhaps to the cloud.
    Cloud,
}

impl Failure {
    /// A passing failure that may have reached the cloud.
    pub fn transient(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { decision: Decision::Transient, reason: Reason::new(code, detail), reach: Reach::Cloud }
    }
}

/// Counts sessions; what belongs to an older one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Generation(pub u64);

/// What the supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The daemon is ready; the first attempt may begin.
    Start,
    /// Credentials that will do are at hand; they are to be renewed after so long.
    CredentialsReady(Generation, Duration),
    /// Only the password can get credentials; why the cloud refused the tokens, if there were any.
    SignInNeeded(Generation, Option<Reason>),
    /// The budget of sign-ins allows the next one only after so long.
    SignInPostponed(Generation, Duration),
    /// There are heaters to connect for, or there are none, for this reason.
    HeatersListed(Generation, Result<(), String>),
    /// A step before the link was up failed.
    StepFailed(Generation, Failure),
    /// CONNACK and every needed SUBACK arrived.
    LinkUp(Generation),
    /// The link is down, whether it had been up or not.
    LinkDown(Generation, Failure),
    /// A request left for a heater.
    RequestSent(Generation),
    /// Something arrived that is no heater's answer (our own request echoed by the broker, another client's).
    Heard(Generation),
    /// A heater answered on this session.
    Answered(Generation),
    /// A link, an address or a route of this machine has changed.
    NetworkChanged,
    /// The probe of this number reached the cloud, or did not.
    Probed(u64, bool),
    /// The session is to be replaced by another one, for this reason; only one that is up is.
    RenewSession(Reason),
    /// Somebody asked to connect afresh, now.
    ReconnectRequested(Reason),
    /// The process is asked to stop.
    Stop,
}

/// Which credentials an attempt needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Renew only what is about to expire.
    IfExpiring,
    /// The cloud refused the AWS credentials: renew them, whatever their age.
    Refused,
    /// Renew everything.
    All,
}

/// What the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Get credentials without the password; answer `CredentialsReady`, `SignInNeeded` or `StepFailed`.
    EnsureCredentials(Generation, Renewal),
    /// Sign in with the password, if the budget of sign-ins allows it; answer `CredentialsReady`, `SignInPostponed` or
    /// `StepFailed`.
    SignIn(Generation),
    /// Ask the cloud for the account's heaters; answer `HeatersListed` or `StepFailed`.
    ListHeaters(Generation),
    /// Forget the session and what belongs to it, before a new one is built.
    ForgetSession,
    /// Open the cloud's MQTT session and subscribe; answer `LinkUp` or `LinkDown`.
    Dial(Generation),
    /// The link is up: announce presence, request everything once.
    BeginSession(Generation),
    /// Periodic requests run from now on.
    StartPeriodicRequests,
    /// Periodic requests end.
    StopPeriodicRequests,
    /// Cut the link, whatever it is doing.
    CloseLink(Generation),
    /// Find out whether the cloud can be reached, without asking it for anything; answer `Probed` with this number.
    Probe(u64),
    /// Tell the world.
    Announce(Event),
    /// What [`super::Supervisor::view`] shows has changed.
    ViewChanged,
    /// End the process for this reason.
    Exit(Ending),
}

/// Why the supervisor ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Recovery is exhausted.
    CloudUnavailable,
    /// The cloud rejected email or password.
    CredentialsRejected,
}

/// What happened, for the log, `bridge/event` and alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A heater answered on a new session, after an outage of so long.
    Connected {
        /// `None` at the first time.
        outage: Option<Duration>,
    },
    /// The session was lost.
    ConnectionInterrupted(Reason),
    /// An attempt begins after `delay`.
    ReconnectScheduled {
        /// 1 is the first.
        attempt: u32,
        /// `None` is without limit.
        max_attempts: Option<u32>,
        /// The wait before it.
        delay: Duration,
        /// Why the last one failed.
        reason: Reason,
    },
    /// The first line is exhausted.
    ReconnectionFailed {
        /// How many attempts were made.
        attempts: u32,
    },
    /// A recovery attempt begins after `delay`.
    RecoveryAttempt {
        /// 1 is the first.
        attempt: u32,
        /// `None` is without limit.
        max_attempts: Option<u32>,
        /// The wait before it.
        delay: Duration,
        /// What it will do.
        strategy: Strategy,
    },
    /// All tokens are being renewed as the strategy asks.
    RefreshingTokens,
    /// The session is being built anew.
    RecreatingClient,
    /// The subscriptions of an earlier session are back.
    SubscriptionsRestored,
    /// Recovery succeeded after so many attempts.
    Recovered {
        /// Recovery attempts it took.
        attempts: u32,
    },
    /// The budget of sign-ins makes the attempt wait.
    SignInPostponed {
        /// For so long.
        delay: Duration,
    },
    /// The session is up, but no heater answers on it.
    HeatersSilent,
    /// The cloud can be reached again: all waits are over.
    NetworkReturned {
        /// The next attempt begins after so long.
        delay: Duration,
    },
    /// The session is being renewed as planned, before the cloud ends it.
    SessionRenewing,
    /// Another instance uses our client id: the cloud closed so many sessions in a row soon after they were up.
    TakenOver {
        /// How many.
        times: u32,
    },
    /// So many sessions in a row ended soon after they were up, in different ways.
    Unstable {
        /// How many.
        times: u32,
    },
    /// Nothing more is tried.
    Failed(Reason),
}

/// Why the supervisor is waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// `Start` has not come yet, or the end has.
    Nothing,
    /// The usual wait before an attempt.
    Backoff,
    /// A pause that the cloud asked for; nothing shortens it.
    RetryAfter,
    /// The wait after short sessions; only a request shortens it.
    ShortSessions,
    /// The budget of sign-ins.
    SignInBudget,
    /// The account has no heater; it is asked again now and then.
    NoHeaters,
    /// The cloud can be reached again; a moment at random, so that a street does not come back in one blow.
    NetworkBack,
    /// The next look whether the cloud can be reached, or the end of one.
    Probe,
    /// A step of the attempt in flight.
    Step,
    /// The first answer of a heater.
    FirstAnswer,
    /// An answer to a request, or any other word.
    Answer,
    /// The renewal of the credentials, ahead of their end.
    Renewal,
    /// The session has lived long enough for the counters to go back.
    Settled,
    /// The planned end of the session.
    SessionAge,
    /// A human: reconnection was given up as configured.
    Human,
}

/// What is carried over restarts of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Carried {
    /// Interruptions so far.
    pub outages: u64,
    /// How long the newest ended one took.
    pub last_outage: Option<Duration>,
    /// When the one that goes on began.
    pub outage_since: Option<Instant>,
    /// The cloud refused the credentials that are kept.
    pub refused: bool,
    /// How often in a row the cloud refused credentials that were fresh.
    pub refusals: u32,
}

/// When the supervisor wants to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Call [`super::Supervisor::handle_timeout`] then.
    pub at: Instant,
    /// What passes then.
    pub why: Wait,
}

/// Writes a duration in seconds, whole when it is whole or long.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 10.0 || duration.subsec_millis() == 0 {
        format!("{} s", seconds.round())
    } else {
        format!("{seconds:.1} s")
    }
}
