//! The only place that asks the machine for the time, and that waits for it.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime};

/// Returns the monotonic time.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
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
    sleep(at.saturating_duration_since(now())).await;
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
