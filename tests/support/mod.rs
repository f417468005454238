//! What the integration tests share: a real mosquitto on a free port, and waiting with a limit.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[cfg(feature = "simulator")]
pub mod certificates;
pub mod mosquitto;
#[cfg(feature = "simulator")]
pub mod observer;
#[cfg(feature = "simulator")]
pub mod rig;

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

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
