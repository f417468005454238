//! When what is kept over restarts of the process is written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Effect, Home};
use crate::heater::{Heater, Memory};
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
/// But counters that have only grown no more often than this, for the sake of flash memory.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

impl Keeping {
    /// Returns when it is to be kept.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Home {
    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Memories) {
        for (mac, memory) in &kept {
            if let Some(heater) = self.heaters.get_mut(mac) {
                heater.restore(memory, &self.settings.heater);
                self.drain(mac);
            }
        }
        self.keeping.kept = kept;
    }

    /// Returns what is to be kept of all heaters.
    pub fn memories(&self) -> Memories {
        self.heaters.iter().map(|(mac, heater)| (mac.clone(), Heater::memory(heater))).collect()
    }

    /// Lets everything be kept soon, if something has changed.
    pub(super) fn plan_keeping(&mut self, now: Instant) {
        let soon = now + KEEP_AFTER;
        if self.keeping.due.is_some_and(|due| due <= soon) {
            return;
        }
        let (memories, kept) = (self.memories(), &self.keeping.kept);
        let every = |has: fn(&Memory, &Memory) -> bool| {
            memories.len() == kept.len()
                && memories.iter().all(|(mac, memory)| kept.get(mac).is_some_and(|kept| !has(memory, kept)))
        };
        if !every(Memory::adds_to) {
            self.keeping.due = Some(soon);
        } else if self.keeping.due.is_none() && !every(Memory::differs) {
            let allowed = self.keeping.kept_at.map_or(now, |at| at + KEEP_INTERVAL);
            self.keeping.due = Some(allowed.max(soon));
        }
    }

    /// Lets everything be kept when that is due.
    pub(super) fn keep_on_time(&mut self, now: Instant) {
        if self.keeping.due.take_if(|due| *due <= now).is_some() {
            self.keep(now);
        }
    }

    /// Lets everything be kept now.
    pub(super) fn keep(&mut self, now: Instant) {
        self.keeping = Keeping { kept: self.memories(), kept_at: Some(now), due: None };
        self.effects.push_back(Effect::Keep);
    }
}
