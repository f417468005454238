//! How much of what was received waits to be handled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// With so many bytes waiting, nothing more is read from the wire until some are handled: the far side holds the rest.
const ENOUGH: usize = 1 << 20;
/// What the engine still had of the wire may come on top of that; beyond this, something is wrong.
const TOO_MUCH: usize = 8 << 20;
/// What an empty message takes.
const LEAST: usize = 128;

/// What was received on a link and waits for the daemon.
#[derive(Debug, Default)]
pub struct Backlog {
    bytes: AtomicUsize,
    handled: Notify,
}

/// A message's share of a [`Backlog`]; frees it when dropped.
#[derive(Debug)]
pub struct Weight {
    backlog: Arc<Backlog>,
    bytes: usize,
}

impl Backlog {
    /// Adds a message of so many bytes, unless that is too much.
    pub fn add(self: &Arc<Self>, bytes: usize) -> Option<Weight> {
        let bytes = bytes + LEAST;
        let before = self.bytes.fetch_add(bytes, Ordering::AcqRel);
        // Dropped at once where it is too much.
        let weight = Weight { backlog: Arc::clone(self), bytes };
        (before + bytes <= TOO_MUCH).then_some(weight)
    }

    /// Waits until more may be read.
    pub async fn has_room(&self) {
        loop {
            let handled = self.handled.notified();
            if self.bytes.load(Ordering::Acquire) < ENOUGH {
                return;
            }
            handled.await;
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        let before = self.backlog.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= ENOUGH && before - self.bytes < ENOUGH {
            self.backlog.handled.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn there_is_room_again_when_enough_was_handled_and_too_much_is_not_taken() {
        let backlog = Arc::new(Backlog::default());
        let small = backlog.add(0).unwrap();
        assert!(backlog.has_room().now_or_never().is_some());
        let large = backlog.add(ENOUGH).unwrap();
        let mut waiting = Box::pin(backlog.has_room());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(small);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert!(backlog.add(TOO_MUCH).is_none());
        drop(large);
        assert!(waiting.now_or_never().is_some());
        assert_eq!(backlog.bytes.load(Ordering::Acquire), 0);
    }
}
