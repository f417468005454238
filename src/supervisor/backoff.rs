//! How long to wait before an attempt.

use std::time::Duration;

use super::random::Random;

/// No wait is longer than this, whatever the configuration multiplies.
const CEILING: Duration = Duration::from_secs(7 * 24 * 3600);

/// Waits that grow from attempt to attempt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The wait before the first attempt.
    pub initial: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
    /// What each wait is multiplied by to get the next.
    pub multiplier: f64,
    /// Each wait is multiplied by a random number in `1 ± jitter`; 0 is exact.
    pub jitter: f64,
}

impl Backoff {
    /// Returns the wait before attempt `attempt` (1 is the first): `min(initial × multiplier^(attempt−1), max)`, jittered.
    pub fn delay(&self, attempt: u32, random: &mut Random) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.multiplier.powi(exponent);
        self.jittered(grown.min(self.max.as_secs_f64()), random)
    }

    /// Returns the first wait, jittered.
    pub fn first(&self, random: &mut Random) -> Duration {
        self.jittered(self.initial.as_secs_f64(), random)
    }

    fn jittered(&self, seconds: f64, random: &mut Random) -> Duration {
        Duration::try_from_secs_f64(seconds * random.around_one(self.jitter)).unwrap_or(CEILING).min(CEILING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: Backoff, attempts: u32) -> Vec<f64> {
        let mut random = Random::new(1);
        (1..=attempts).map(|n| backoff.delay(n, &mut random).as_secs_f64()).collect()
    }

    const RECONNECT: Backoff =
        Backoff { initial: Duration::from_secs(1), max: Duration::from_secs(120), multiplier: 2.0, jitter: 0.0 };

    #[test]
    fn the_default_delays_are_those_of_the_contract() {
        let delays = seconds(RECONNECT, 10);
        assert_eq!(delays, [1., 2., 4., 8., 16., 32., 64., 120., 120., 120.]);
        assert_eq!(delays.iter().sum::<f64>(), 487.);
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_is_not_constant() {
        let delays = seconds(Backoff { jitter: 0.2, multiplier: 1.0, ..RECONNECT }, 1000);
        assert!(delays.iter().all(|d| (0.8..=1.2).contains(d)));
        assert!(delays.iter().any(|d| *d < 0.85) && delays.iter().any(|d| *d > 1.15));
    }

    #[test]
    fn no_wait_is_longer_than_a_week_whatever_is_configured() {
        let week = Duration::from_secs(604_800);
        for multiplier in [1e9, f64::INFINITY] {
            let endless = Backoff { max: Duration::MAX, multiplier, ..RECONNECT };
            assert_eq!(endless.delay(u32::MAX, &mut Random::new(1)), week);
        }
        let month = Backoff { initial: Duration::from_secs(30 * 86_400), ..RECONNECT };
        assert_eq!(month.first(&mut Random::new(1)), week);
    }

    #[test]
    fn an_attempt_number_without_end_gives_the_longest_delay() {
        assert_eq!(RECONNECT.delay(u32::MAX, &mut Random::new(1)), Duration::from_secs(120));
    }
}
