//! How often, and for how long, a session was missing that had been there.

use std::time::{Duration, Instant};

use super::types::Carried;

/// The time without a session after one that a heater had answered on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    /// There is none.
    None,
    /// The session is being replaced on purpose.
    Planned(Instant),
    /// The session was lost.
    Outage(Instant),
}

/// Counts outages and measures the one that goes on.
#[derive(Debug, Clone)]
pub struct Outages {
    gap: Gap,
    count: u64,
    last: Option<Duration>,
}

impl Outages {
    /// Goes on with those of an earlier run of the process.
    pub fn new(carried: &Carried) -> Self {
        Self {
            gap: carried.outage_since.map_or(Gap::None, Gap::Outage),
            count: carried.outages,
            last: carried.last_outage,
        }
    }

    /// Begins a planned gap; within an outage it is part of that.
    pub fn begin_planned(&mut self, now: Instant) {
        if self.gap == Gap::None {
            self.gap = Gap::Planned(now);
        }
    }

    /// Begins an outage and counts it.
    pub fn begin(&mut self, since: Instant) {
        self.count = self.count.saturating_add(1);
        self.gap = Gap::Outage(since);
    }

    /// Makes a planned gap an outage, since an attempt has failed; returns whether there was one.
    pub fn planned_failed(&mut self) -> bool {
        let Gap::Planned(since) = self.gap else { return false };
        self.begin(since);
        true
    }

    /// Ends the gap; returns how long the outage was, if it was one.
    pub fn end(&mut self, now: Instant) -> Option<Duration> {
        let Gap::Outage(since) = std::mem::replace(&mut self.gap, Gap::None) else { return None };
        let outage = now.saturating_duration_since(since);
        self.last = Some(outage);
        Some(outage)
    }

    /// Returns whether a session is missing that had been there.
    pub fn in_gap(&self) -> bool {
        self.gap != Gap::None
    }

    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns how long the newest ended one was.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }

    /// Returns when the one that goes on began.
    pub fn since(&self) -> Option<Instant> {
        match self.gap {
            Gap::Outage(since) => Some(since),
            Gap::None | Gap::Planned(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_outage_counts_once_and_a_planned_gap_only_when_an_attempt_fails() {
        let now = start();
        let mut outages = Outages::new(&Carried::default());
        outages.begin_planned(now);
        assert_eq!((outages.in_gap(), outages.since()), (true, None));
        assert_eq!((outages.end(now + MINUTE), outages.count(), outages.last()), (None, 0, None));
        outages.begin_planned(now);
        assert!(outages.planned_failed());
        assert!(!outages.planned_failed());
        outages.begin_planned(now + MINUTE);
        assert_eq!(outages.since(), Some(now), "it is part of the outage");
        assert_eq!(outages.end(now + 3 * MINUTE), Some(3 * MINUTE));
        assert_eq!((outages.count(), outages.last(), outages.in_gap()), (1, Some(3 * MINUTE), false));
    }

    #[test]
    fn the_outage_of_an_earlier_run_goes_on() {
        let now = start();
        let carried = Carried { outages: 7, outage_since: Some(now), ..Carried::default() };
        let mut outages = Outages::new(&carried);
        assert_eq!((outages.end(now + MINUTE), outages.count()), (Some(MINUTE), 7));
    }
}
