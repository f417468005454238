//! How long what was heard, fetched or missed counts.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long the last word of a heater counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    heard_at: Option<Instant>,
}

impl Freshness {
    /// Takes note of a word from the heater.
    pub fn renew(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Lets it run out at `at`, if it would later.
    pub fn run_out_by(&mut self, at: Instant, stale_after: Duration) {
        self.heard_at = self.heard_at.and_then(|heard_at| Some(heard_at.min(at.checked_sub(stale_after)?)));
    }

    /// Lets it run out at once.
    pub fn expire(&mut self) {
        self.heard_at = None;
    }

    /// Returns when it runs out; `None` when it has, or never began.
    pub fn runs_out_at(&self, stale_after: Duration) -> Option<Instant> {
        self.heard_at.map(|at| at + stale_after)
    }
}

/// Between two fetches of one thing: the REST API is not to be asked more often (protocol reference, section 1).
const FETCHES_APART: Duration = Duration::from_secs(60);

/// When something was fetched from the REST API, and when it is to be fetched again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fetches {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Fetches {
    /// Wishes for a fetch, as soon as it is allowed; wishes until then are one.
    pub fn wish(&mut self, now: Instant) {
        let allowed = self.last.map_or(now, |last| now.max(last + FETCHES_APART));
        self.due = Some(self.due.map_or(allowed, |due| due.min(allowed)));
    }

    /// Takes note that it was fetched at `now`; it is due again after `interval`.
    pub fn taken(&mut self, now: Instant, interval: Duration) {
        *self = Self { last: Some(now), due: Some(now + interval) };
    }

    /// Returns when the fetch that is wished for is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether a fetch is due at `now`, which fulfils the wish.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due.take_if(|due| *due <= now).is_some();
        if due {
            self.last = Some(now);
        }
        due
    }

    /// Drops the wish.
    pub fn forget(&mut self) {
        self.due = None;
    }
}

/// A heater that was missing from complete lists for so long, in seconds, is removed.
const GONE_AFTER: u64 = 24 * 3600;
/// But not after fewer lists.
const GONE_AFTER_LISTS: u32 = 3;

/// For how long a heater has been missing from complete device lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    seconds: u64,
    lists: u32,
    /// When the newest of them came; time during which the process did not run is not counted.
    #[serde(skip)]
    counted_at: Option<Instant>,
}

impl Missing {
    /// Counts a complete list that leaves the heater out.
    pub fn count(&mut self, now: Instant) {
        let since = self.counted_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.seconds = self.seconds.saturating_add(since.as_secs());
        self.lists = self.lists.saturating_add(1);
        self.counted_at = Some(now);
    }

    /// Returns whether that is enough to remove the heater.
    pub fn is_gone(&self) -> bool {
        self.seconds >= GONE_AFTER && self.lists >= GONE_AFTER_LISTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    #[test]
    fn a_damaged_file_cannot_make_a_heater_missing_for_longer_than_can_be_counted() {
        let mut missing: Missing = serde_json::from_str(r#"{"seconds": 18446744073709551615, "lists": 0}"#).unwrap();
        let begin = Moment::start().now;
        for days in 0..3 {
            missing.count(begin + days * Duration::from_secs(86_400));
        }
        assert!(missing.is_gone());
    }
}
