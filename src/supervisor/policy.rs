//! The retry policy, as the configuration sets it up.

use std::time::Duration;

use super::backoff::Backoff;

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

/// When to try again, how often, and what with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
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
    /// The shortest time between two probes of whether the cloud can be reached; `None` switches them off.
    pub probe_interval: Option<Duration>,
}
