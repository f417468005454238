//! How often the password may be used.

use std::time::Duration;

/// At least so long between two sign-ins (contract, section 3).
const SPACING: Duration = Duration::from_secs(60);
/// The window in which at most [`PER_WINDOW`] sign-ins happen.
const WINDOW: Duration = Duration::from_secs(3600);
const PER_WINDOW: usize = 12;

/// Counts sign-ins: at most one a minute and twelve an hour. Times are counted from one epoch, whichever it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignInBudget {
    /// Oldest first; never more than [`PER_WINDOW`].
    used: Vec<Duration>,
}

impl SignInBudget {
    /// Takes up earlier sign-ins; those after `now`, which a step of the clock made up, count as `now`.
    pub fn restore(earlier: impl IntoIterator<Item = Duration>, now: Duration) -> Self {
        let mut used: Vec<Duration> = earlier.into_iter().map(|at| at.min(now)).collect();
        used.sort();
        let surplus = used.len().saturating_sub(PER_WINDOW);
        Self { used: used.split_off(surplus) }
    }

    /// Counts a sign-in at `now`.
    ///
    /// # Errors
    ///
    /// Returns how long it must wait when it is not allowed yet; nothing is counted then.
    pub fn claim(&mut self, now: Duration) -> Result<(), Duration> {
        let spaced = self.used.last().map_or(now, |last| *last + SPACING);
        let windowed = if self.used.len() < PER_WINDOW { now } else { self.used[0] + WINDOW };
        let allowed = spaced.max(windowed);
        if allowed > now {
            return Err(allowed - now);
        }
        if self.used.len() == PER_WINDOW {
            self.used.remove(0);
        }
        self.used.push(now);
        Ok(())
    }

    /// Takes back the sign-in that was counted at `at`, to the millisecond, since it never reached the cloud.
    pub fn refund(&mut self, at: Duration) {
        if let Some(place) = self.used.iter().rposition(|used| used.abs_diff(at) < Duration::from_millis(1)) {
            self.used.remove(place);
        }
    }

    /// Returns how many are left of the hour that ends at `now`.
    pub fn left(&self, now: Duration) -> usize {
        PER_WINDOW - self.used.iter().filter(|used| **used + WINDOW > now).count()
    }

    /// Returns the counted sign-ins, oldest first.
    pub fn used(&self) -> &[Duration] {
        &self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn a_second_sign_in_waits_for_a_minute() {
        let mut budget = SignInBudget::default();
        assert_eq!(budget.claim(NOW), Ok(()));
        let early = NOW + Duration::from_millis(59_999);
        assert_eq!(budget.claim(early), Err(Duration::from_millis(1)));
        assert_eq!(budget.claim(NOW + SPACING), Ok(()));
    }

    #[test]
    fn the_thirteenth_sign_in_waits_for_the_hour() {
        let mut budget = SignInBudget::default();
        for minute in 0..12 {
            assert_eq!(budget.claim(NOW + minute * SPACING), Ok(()));
        }
        assert_eq!(budget.claim(NOW + 12 * SPACING), Err(WINDOW - 12 * SPACING));
        assert_eq!(budget.claim(NOW + WINDOW), Ok(()));
        assert_eq!(budget.used().len(), 12);
    }

    #[test]
    fn a_refund_takes_back_its_own_sign_in_and_no_other() {
        let mut budget = SignInBudget::restore([NOW, NOW + SPACING], NOW + SPACING);
        budget.refund(NOW + Duration::from_micros(400));
        assert_eq!(budget.used(), [NOW + SPACING]);
        budget.refund(NOW);
        assert_eq!(budget.used(), [NOW + SPACING]);
    }

    #[test]
    fn sign_ins_of_an_earlier_run_count_and_a_future_one_counts_as_now() {
        let earlier = (0..20).map(|n| NOW - Duration::from_secs(n * 10)).chain([NOW + 5 * WINDOW]);
        let mut budget = SignInBudget::restore(earlier, NOW);
        assert_eq!((budget.used().len(), budget.used()[11]), (12, NOW));
        assert_eq!(budget.claim(NOW), Err(WINDOW - Duration::from_secs(100)));
    }
}
