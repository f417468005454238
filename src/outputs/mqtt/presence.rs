//! Our own topics as the broker has them: what is said once may be undone by others.
//!
//! A bridged broker brings a stale `offline`, somebody else writes to the topic, or a late last will does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What differs for so long is corrected: our own messages come back a moment later than we send them, and two bridges
/// with one base topic are not to answer each other at once.
const WAIT: Duration = Duration::from_secs(2);

/// The topics on which the broker holds something else than we do.
#[derive(Debug, Default)]
pub struct Differing {
    topics: BTreeSet<String>,
    due: Option<Instant>,
}

impl Differing {
    /// Takes note of what was heard on one of our topics.
    pub fn hear(&mut self, topic: &str, right: bool, now: Instant) {
        if right {
            self.topics.remove(topic);
        } else {
            self.topics.insert(topic.to_owned());
            self.due.get_or_insert(now + WAIT);
        }
        if self.topics.is_empty() {
            self.due = None;
        }
    }

    /// Returns when [`Differing::take_due`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns the topics that are to be corrected now.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<String> {
        match self.due.take_if(|due| *due <= now) {
            Some(_) => std::mem::take(&mut self.topics),
            None => BTreeSet::new(),
        }
    }
}
