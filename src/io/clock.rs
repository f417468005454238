//! The only place that asks the machine for the time, and that waits for it.

use std::future::Future;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Timers stand still while the machine sleeps, so a long wait looks at the time so often.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Returns the monotonic time, which goes on while the machine sleeps: what was due in the night is due in the morning.
pub fn now() -> Instant {
    static START: OnceLock<(Instant, Duration)> = OnceLock::new();
    let (begin, booted) = *START.get_or_init(|| (awake(), since_boot()));
    begin + since_boot().saturating_sub(booted)
}

fn since_boot() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

/// Returns the monotonic time that stands still while the machine sleeps; only for how long a thread has been stuck.
#[allow(clippy::disallowed_methods)]
pub fn awake() -> Instant {
    Instant::now()
}

/// Returns the wall-clock time.
#[allow(clippy::disallowed_methods)]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// Waits for `duration`.
#[allow(clippy::disallowed_methods)]
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Waits until `at`; returns at once when it has passed.
pub async fn sleep_until(at: Instant) {
    loop {
        let left = at.saturating_duration_since(now());
        sleep(left.min(LOOK_EVERY)).await;
        if left <= LOOK_EVERY {
            return;
        }
    }
}

/// Says that a time limit passed before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came within {}", humantime::format_duration(*.0))]
pub struct TimedOut(pub Duration);

/// Runs `work`, dropping it when `limit` passes first.
#[allow(clippy::disallowed_methods)]
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, TimedOut> {
    tokio::time::timeout(limit, work).await.map_err(|_| TimedOut(limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between two looks at the clock that goes on in sleep, `now` is between them.
    #[test]
    fn time_is_that_of_the_clock_that_goes_on_in_sleep() {
        let look = || (since_boot(), now(), since_boot());
        let (before, first, after) = look();
        let begun = awake();
        while since_boot() < after + Duration::from_millis(2) {
            assert!(awake() - begun < Duration::from_secs(30), "the clock stands still");
        }
        let (later, second, latest) = look();
        let passed = second - first;
        assert!((later - after..=latest - before).contains(&passed), "{passed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_drops_the_work_and_says_how_long_it_was() {
        let limit = Duration::from_secs(3600);
        assert_eq!(within(limit, std::future::pending::<()>()).await, Err(TimedOut(limit)));
        assert_eq!(within(limit, async { 7 }).await, Ok(7));
    }
}
