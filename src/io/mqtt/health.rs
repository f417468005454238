//! Notices when a call into the MQTT engine never returns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::io::clock;

/// The engine's one lock is held for microseconds; a call that takes so long never returns.
const STUCK_AFTER: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What one link tells of itself.
#[derive(Debug)]
pub struct Health {
    /// Milliseconds of [`uptime`] at the last sign of life; grows for ever.
    alive_at: AtomicU64,
    /// Milliseconds of [`uptime`] when the call in progress began, 0 for none.
    called_at: AtomicU64,
}

impl Health {
    /// Begins alive, and is watched by the process's watchdog thread for as long as it is held.
    pub fn watched() -> Arc<Self> {
        let health = Arc::new(Self { alive_at: AtomicU64::new(uptime()), called_at: AtomicU64::new(0) });
        watch(&health);
        health
    }

    /// Returns how long ago the link's actor last turned.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(uptime().saturating_sub(self.alive_at.load(Ordering::Relaxed)))
    }

    pub(super) fn alive(&self) {
        self.alive_at.store(uptime(), Ordering::Relaxed);
    }

    /// Runs a call into the engine under the eyes of the watchdog thread.
    pub(super) fn during<T>(&self, call: impl FnOnce() -> T) -> T {
        self.called_at.store(uptime().max(1), Ordering::Relaxed);
        let result = call();
        self.called_at.store(0, Ordering::Relaxed);
        result
    }

    fn stuck(&self) -> bool {
        let since = self.called_at.load(Ordering::Relaxed);
        since > 0 && Duration::from_millis(uptime().saturating_sub(since)) > STUCK_AFTER
    }
}

fn uptime() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(clock::awake);
    u64::try_from(clock::awake().duration_since(start).as_millis()).unwrap_or(u64::MAX)
}

/// Adds a link to those that one thread looks at; a stuck one ends the process, which the service manager starts
/// afresh. Nothing softer helps: the lock that is held is never released.
fn watch(health: &Arc<Health>) {
    static WATCHED: Mutex<Vec<Weak<Health>>> = Mutex::new(Vec::new());
    static THREAD: OnceLock<()> = OnceLock::new();
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(health));
    THREAD.get_or_init(|| {
        let look = || loop {
            std::thread::sleep(LOOK_EVERY);
            let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
            watched.retain(|health| health.strong_count() > 0);
            if watched.iter().filter_map(Weak::upgrade).any(|health| health.stuck()) {
                tracing::error!("A call into the MQTT engine has not returned for {STUCK_AFTER:?}; aborting");
                std::process::abort();
            }
        };
        // Without the thread the daemon works as well, only less guarded.
        if let Err(error) = std::thread::Builder::new().name("engine-watch".into()).spawn(look) {
            tracing::warn!("The watchdog thread of the MQTT engine cannot be started: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_progress_is_stuck_after_a_minute_and_not_before() {
        let health = Health { alive_at: AtomicU64::new(0), called_at: AtomicU64::new(0) };
        assert!(!health.stuck());
        health.during(|| assert!(!health.stuck(), "it has only just begun"));
        assert!(!health.stuck(), "it has ended");
    }
}
