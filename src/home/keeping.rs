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

    /// Plans to keep what differs of one of `heaters` from what was kept last.
    pub fn plan(&mut self, mac: &Mac, memory: &Memory, heaters: usize, now: Instant) {
        let soon = now + KEEP_AFTER;
        let kept = self.kept.get(mac);
        let has_not = |has: fn(&Memory, &Memory) -> bool| kept.is_some_and(|kept| !has(memory, kept));
        let is_same_many = heaters == self.kept.len();
        let (adds, differs) = (!is_same_many || !has_not(Memory::adds_to), !has_not(Memory::differs));
        if kept.is_none_or(|kept| memory.has_other_commands(kept)) {
            let at = self.kept_at.map_or(now, |at| now.max(at + COMMANDS_AFTER));
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
        if adds {
            self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
        } else if self.due.is_none() && differs {
            let allowed = self.kept_at.map_or(now, |at| at + KEEP_INTERVAL);
            self.due = Some(allowed.max(soon));
        }
    }

    /// Notes what is kept at `now`.
    pub fn note(&mut self, memories: Memories, now: Instant) {
        *self = Self { kept: memories, kept_at: Some(now), due: None };
    }
}
