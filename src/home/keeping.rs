//! When what is kept over restarts of the process is written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::heater::Memory;
use crate::model::Mac;

/// What is kept of all heaters.
pub type Memories = BTreeMap<Mac, Memory>;

/// When what has changed is kept.
#[derive(Debug, Default)]
pub struct Keeping {
    kept: Memories,
    kept_at: Option<Instant>,
    due: Option<Instant>,
}

/// What has changed is kept so soon.
const KEEP_AFTER: Duration = Duration::from_secs(5);
/// But which commands came so soon: one that comes again after a crash is not to be done again.
const COMMANDS_AFTER: Duration = Duration::from_secs(1);
/// And counters that have only grown no more often than this, for the sake of flash memory.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

impl Keeping {
    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Memories) {
        self.kept = kept;
    }

    /// Returns when it is to be kept.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether it is to be kept now; says so once.
    pub fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// Plans to keep what differs from what was kept last.
    pub fn plan(&mut self, memories: &Memories, now: Instant) {
        let soon = now + KEEP_AFTER;
        let other =
            |(mac, memory): (&Mac, &Memory)| self.kept.get(mac).is_none_or(|kept| memory.has_other_commands(kept));
        if memories.iter().any(other) {
            let at = self.kept_at.map_or(now, |at| now.max(at + COMMANDS_AFTER));
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        let every = |has: fn(&Memory, &Memory) -> bool| {
            let kept = &self.kept;
            let has_not = |(mac, memory): (&Mac, &Memory)| kept.get(mac).is_some_and(|kept| !has(memory, kept));
            memories.len() == kept.len() && memories.iter().all(has_not)
        };
        if !every(Memory::adds_to) {
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        } else if self.due.is_none() && !every(Memory::differs) {
            let allowed = self.kept_at.map_or(now, |at| at + KEEP_INTERVAL);
            self.due = Some(allowed.max(soon));
        }
    }

    /// Notes what is kept at `now`.
    pub fn note(&mut self, memories: Memories, now: Instant) {
        *self = Self { kept: memories, kept_at: Some(now), due: None };
    }
}
