//! The status snapshot.

use std::time::{Duration, Instant};

use super::policy::Strategy;
use super::types::{Reason, State, seconds};

/// A snapshot of the supervisor, for the status line, the topic and the diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The state.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// Failed, and waiting for a `reconnect` request.
    pub held: bool,
    /// The attempt under way or waited for; 0 when there is none.
    pub attempt: u32,
    /// The attempts of this line; `None` is without limit.
    pub max_attempts: Option<u32>,
    /// When the next attempt begins, when one is waited for.
    pub next_attempt_at: Option<Instant>,
    /// Why the state is not `connected`, or what is odd about it.
    pub reason: Option<Reason>,
    /// The configured strategy.
    pub strategy: Strategy,
    /// Interruptions so far, restarts of the process included.
    pub outages: u64,
    /// How long the newest ended one took.
    pub last_outage: Option<Duration>,
}

impl View {
    /// Returns one line for `STATUS=`: the state, its reason and the next step.
    pub fn summary(&self, now: Instant) -> String {
        let mut line = self.state.to_string();
        if self.attempt > 0 {
            let of = self.max_attempts.map_or(String::new(), |max| format!("/{max}"));
            line += &format!(", attempt {}{of}", self.attempt);
        }
        if let Some(at) = self.next_attempt_at {
            line += &format!(" in {}", seconds(at.saturating_duration_since(now)));
        }
        if self.held {
            line += ", waiting for a reconnect request";
        }
        if let Some(reason) = &self.reason {
            line += &format!(" ({reason})");
        }
        line
    }
}
