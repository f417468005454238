//! What the integration tests share: a real mosquitto on a free port, and waiting with a limit.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[cfg(feature = "simulator")]
pub mod certificates;
pub mod mosquitto;
#[cfg(feature = "simulator")]
pub mod netns;
#[cfg(feature = "simulator")]
pub mod observer;
#[cfg(feature = "simulator")]
pub mod rig;

use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Asks again and again until the answer is there; panics with `what` after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port that is free, and that the system gives to nobody by itself: it lies below the range that it takes the ports of
/// outgoing connections from. No two calls give the same one.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test processes that run at once have neighbouring numbers, and are to have ports far apart.
        let first = 20_000 + (std::process::id().wrapping_mul(131) % 6_000) as u16;
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 6_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
