//! The pauses that keep an attempt back, whoever would have it sooner.

use std::time::{Duration, Instant};

use super::types::{Decision, Wait};

/// A cloud that asks for a longer pause is asked again after this one.
const LONGEST: Duration = Duration::from_secs(3600);
/// The shortest time between two reconnects on request.
const REQUEST_SPACING: Duration = Duration::from_secs(10);

/// How long the next attempt is kept back at least, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How long.
    pub length: Duration,
    /// What a wait of just this length is for.
    why: Wait,
}

impl Pause {
    /// No pause.
    pub const NONE: Self = Self { length: Duration::ZERO, why: Wait::Backoff };

    /// Returns what a wait of `delay` is for, which is no shorter than the pause.
    pub fn why_wait(&self, delay: Duration) -> Wait {
        if delay == self.length { self.why } else { Wait::Backoff }
    }
}

/// Knows until when nothing may be tried.
#[derive(Debug, Clone, Default)]
pub struct Pauses {
    /// The end of the pause after the last failure, which the network's return keeps.
    until: Option<Instant>,
    /// The end of the pause that the cloud asked for, which a request to reconnect keeps as well.
    retry_after: Option<Instant>,
    /// When somebody asked for a reconnect last.
    requested_at: Option<Instant>,
}

impl Pauses {
    /// Begins the pause that a failure asks for, in place of an earlier one.
    pub fn failed(&mut self, decision: Decision, now: Instant) -> Pause {
        let pause = match decision {
            Decision::RetryAfter(asked) => Pause { length: asked.min(LONGEST), why: Wait::RetryAfter },
            Decision::BackOff(asked) => Pause { length: asked.min(LONGEST), why: Wait::ShortSessions },
            Decision::Transient
            | Decision::RenewCredentials
            | Decision::CredentialsRejected
            | Decision::ClockSkew
            | Decision::ClosedByCloud
            | Decision::Bug => Pause::NONE,
        };
        self.until = Some(now + pause.length);
        self.retry_after = self.until.filter(|_| pause.why == Wait::RetryAfter);
        pause
    }

    /// Ends the pause after the last failure, since a session was up in between.
    pub fn clear(&mut self) {
        self.until = None;
    }

    /// Returns `at`, or the end of the pause if that is later.
    pub fn earliest(&self, at: Instant) -> Instant {
        self.until.map_or(at, |until| at.max(until))
    }

    /// Records a reconnect on request.
    pub fn requested(&mut self, now: Instant) {
        self.requested_at = Some(now);
    }

    /// Returns how long a request to reconnect must wait.
    pub fn request_wait(&self, now: Instant) -> Duration {
        let allowed = self.retry_after.max(self.requested_at.map(|at| at + REQUEST_SPACING));
        allowed.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn no_pause_is_longer_than_an_hour_whoever_asks_for_it() {
        for (decision, why) in [
            (Decision::RetryAfter(100 * MINUTE), Wait::RetryAfter),
            (Decision::BackOff(100 * MINUTE), Wait::ShortSessions),
        ] {
            let pause = Pauses::default().failed(decision, start());
            assert_eq!((pause.length, pause.why_wait(pause.length)), (60 * MINUTE, why));
            assert_eq!(pause.why_wait(61 * MINUTE), Wait::Backoff, "the own wait is longer");
        }
        assert_eq!(Pauses::default().failed(Decision::Transient, start()), Pause::NONE);
    }

    #[test]
    fn a_request_waits_for_the_pause_of_the_cloud_only_and_ten_seconds_after_another() {
        let now = start();
        let mut pauses = Pauses::default();
        assert_eq!(pauses.request_wait(now), Duration::ZERO);
        pauses.failed(Decision::BackOff(MINUTE), now);
        assert_eq!(pauses.request_wait(now), Duration::ZERO);
        pauses.requested(now);
        assert_eq!(pauses.request_wait(now + Duration::from_secs(3)), Duration::from_secs(7));
        pauses.failed(Decision::RetryAfter(MINUTE), now);
        assert_eq!(pauses.request_wait(now + Duration::from_secs(3)), Duration::from_secs(57));
    }

    #[test]
    fn the_return_of_the_network_keeps_either_pause_until_a_session_was_up() {
        let now = start();
        for decision in [Decision::RetryAfter(MINUTE), Decision::BackOff(MINUTE)] {
            let mut pauses = Pauses::default();
            pauses.failed(decision, now);
            assert_eq!(pauses.earliest(now), now + MINUTE);
            assert_eq!(pauses.earliest(now + 2 * MINUTE), now + 2 * MINUTE);
            pauses.clear();
            assert_eq!(pauses.earliest(now), now);
        }
    }
}
