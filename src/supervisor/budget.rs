//! How often the password may be used.

use std::time::{Duration, Instant};

/// At least so long between two sign-ins (contract, section 3).
const SPACING: Duration = Duration::from_secs(60);
/// The window in which at most [`PER_WINDOW`] sign-ins happen.
const WINDOW: Duration = Duration::from_secs(3600);
const PER_WINDOW: usize = 12;

/// Counts sign-ins: at most one a minute and twelve an hour, over restarts of the process too.
#[derive(Debug, Clone, Default)]
pub struct SignInBudget {
    /// Oldest first; never more than [`PER_WINDOW`].
    used: Vec<Instant>,
}

impl SignInBudget {
    /// Takes up the sign-ins of earlier runs of the process.
    pub fn restore(mut earlier: Vec<Instant>) -> Self {
        earlier.sort();
        let surplus = earlier.len().saturating_sub(PER_WINDOW);
        Self { used: earlier.split_off(surplus) }
    }

    /// Returns when the next sign-in is allowed: `now` or later.
    pub fn next_allowed(&self, now: Instant) -> Instant {
        let spaced = self.used.last().map_or(now, |last| *last + SPACING);
        let windowed = if self.used.len() < PER_WINDOW { now } else { self.used[0] + WINDOW };
        now.max(spaced).max(windowed)
    }

    /// Counts a sign-in.
    pub fn record(&mut self, now: Instant) {
        if self.used.len() == PER_WINDOW {
            self.used.remove(0);
        }
        self.used.push(now);
    }

    /// Takes back the newest sign-in, which never reached the cloud.
    pub fn refund(&mut self) {
        self.used.pop();
    }

    /// Returns the counted sign-ins, oldest first, to be kept for the next run.
    pub fn used(&self) -> &[Instant] {
        &self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    #[test]
    fn a_second_sign_in_waits_for_a_minute() {
        let now = start();
        let mut budget = SignInBudget::default();
        assert_eq!(budget.next_allowed(now), now);
        budget.record(now);
        assert_eq!(budget.next_allowed(now), now + SPACING);
    }

    #[test]
    fn the_thirteenth_sign_in_waits_for_the_hour() {
        let begin = start();
        let mut budget = SignInBudget::default();
        let mut now = begin;
        for _ in 0..12 {
            now = budget.next_allowed(now);
            budget.record(now);
        }
        assert_eq!(now, begin + 11 * SPACING);
        assert_eq!(budget.next_allowed(now), begin + WINDOW);
    }

    #[test]
    fn a_refunded_sign_in_does_not_count() {
        let now = start();
        let mut budget = SignInBudget::default();
        budget.record(now);
        budget.refund();
        assert_eq!(budget.next_allowed(now), now);
    }

    #[test]
    fn sign_ins_of_an_earlier_run_count() {
        let now = start();
        let earlier = (0..20).map(|n| now - Duration::from_secs(n * 10)).collect();
        let budget = SignInBudget::restore(earlier);
        assert_eq!(budget.used().len(), 12);
        assert_eq!(budget.next_allowed(now), now - Duration::from_secs(110) + WINDOW);
    }
}
