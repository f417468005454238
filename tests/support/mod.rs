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
pub mod picky;
#[cfg(feature = "simulator")]
pub mod rig;

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// A time limit that a busy machine stretches: it counts the pauses of whoever waits, not the time that they took.
pub struct Limit {
    pauses: u128,
}

impl Limit {
    const PAUSE: Duration = Duration::from_millis(5);

    pub fn of(limit: Duration) -> Self {
        Self { pauses: limit.as_millis() / Self::PAUSE.as_millis() }
    }

    /// Pauses before the next look; returns `false` when the limit is reached.
    pub async fn pause(&mut self) -> bool {
        tokio::time::sleep(Self::PAUSE).await;
        self.count()
    }

    fn count(&mut self) -> bool {
        self.pauses = self.pauses.saturating_sub(1);
        self.pauses > 0
    }
}

/// Waits so long, and longer on a busy machine, for what a future gives.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut left = Limit::of(limit);
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            output = &mut future => return Some(output),
            more = left.pause() => if !more { return None },
        }
    }
}

/// Asks again and again until the answer is there; panics with `what` after `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let mut left = Limit::of(limit);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Limit::PAUSE);
        assert!(left.count(), "{what}: not within {limit:?}");
    }
}

/// A port that is free, and that the system gives to nobody by itself: it lies below the range that it takes the ports of
/// outgoing connections from. It is this process's for as long as the process lives: no call, here or in another test
/// process, gives the same one.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test processes that run at once have neighbouring numbers, and are to have ports far apart.
        let first = 20_000 + (std::process::id().wrapping_mul(131) % 6_000) as u16;
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 6_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && reserve(port) {
            return port;
        }
    }
}

/// Takes a port's name, an abstract socket that ends with the process; false if another test process has it.
fn reserve(port: u16) -> bool {
    let name = SocketAddr::from_abstract_name(format!("navien2mqtt-test-port-{port}")).unwrap();
    UnixListener::bind_addr(&name).map(std::mem::forget).is_ok()
}
