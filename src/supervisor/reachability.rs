//! Whether the cloud can be reached at all, probed while that matters.

use std::time::{Duration, Instant};

use super::random::Random;

/// A probe that has not reported by then has failed; its own limit is shorter.
const OVERDUE: Duration = Duration::from_secs(10);
/// The shortest time between two probes, however often the links of this machine change.
const SPACING: Duration = Duration::from_secs(1);

/// What the last probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastProbe {
    Unknown,
    Unreachable,
    Reachable,
}

/// Probes while it is watching, until the cloud can be reached, and notices the change from unreachable to reachable.
#[derive(Debug, Clone)]
pub struct Reachability {
    /// Between two probes; `None` switches all of this off.
    interval: Option<Duration>,
    found: LastProbe,
    watching: bool,
    /// Numbers the probes.
    probe: u64,
    /// The deadline of the probe in flight.
    probing: Option<Instant>,
    next: Option<Instant>,
    /// When the last probe began.
    last: Option<Instant>,
}

impl Reachability {
    /// Begins with nothing known and nothing to watch for.
    pub fn new(interval: Option<Duration>) -> Self {
        Self { interval, found: LastProbe::Unknown, watching: false, probe: 0, probing: None, next: None, last: None }
    }

    /// Watches from now on; the first probe is at `first`.
    pub fn watch(&mut self, first: Instant) {
        self.stop();
        self.watching = self.interval.is_some();
        self.next = self.interval.map(|_| first);
    }

    /// Watches from now on, knowing that the cloud cannot be reached.
    pub fn watch_return(&mut self, now: Instant, random: &mut Random) {
        self.watch(now);
        self.found = LastProbe::Unreachable;
        self.next = self.pause(now, random);
    }

    /// Ends the watch and forgets what it found.
    pub fn stop(&mut self) {
        self.found = LastProbe::Unknown;
        self.watching = false;
        self.probing = None;
        self.next = None;
    }

    /// Probes at once, since a link or a route has changed; watches from now on if it did not.
    pub fn changed(&mut self, now: Instant) {
        if !self.watching {
            self.watch(now);
        }
        self.probing = None;
        self.next = self.interval.map(|_| self.last.map_or(now, |last| now.max(last + SPACING)));
    }

    /// Takes a probe's result; returns whether the cloud can be reached again.
    pub fn probed(&mut self, probe: u64, reached: bool, now: Instant, random: &mut Random) -> bool {
        if probe != self.probe || self.probing.take().is_none() {
            return false;
        }
        let back = reached && self.found == LastProbe::Unreachable;
        self.found = if reached { LastProbe::Reachable } else { LastProbe::Unreachable };
        self.next = if reached { None } else { self.pause(now, random) };
        back
    }

    /// Returns when [`Reachability::handle_timeout`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        self.probing.or(self.next)
    }

    /// Fires expired timers; returns the number of the probe to be made, if one is due.
    pub fn handle_timeout(&mut self, now: Instant, random: &mut Random) -> Option<u64> {
        if self.probing.is_some_and(|limit| now >= limit) {
            self.probed(self.probe, false, now, random);
        }
        if self.probing.is_some() || self.next.is_none_or(|next| now < next) {
            return None;
        }
        self.probe += 1;
        self.probing = Some(now + OVERDUE);
        self.last = Some(now);
        self.next = None;
        Some(self.probe)
    }

    /// Between half and the whole of the interval, so that no two installations probe in step.
    fn pause(&self, now: Instant, random: &mut Random) -> Option<Instant> {
        self.interval.map(|interval| now + interval.mul_f64(0.5 + random.unit() / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    #[test]
    fn each_probe_has_a_number_and_the_next_one_follows_after_half_to_a_whole_interval() {
        let (mut random, interval) = (Random::new(1), Duration::from_secs(10));
        let mut reachability = Reachability::new(Some(interval));
        let mut now = start();
        reachability.watch(now);
        let mut pauses = Vec::new();
        for number in 1..=50 {
            now = reachability.due().unwrap();
            assert_eq!(reachability.handle_timeout(now, &mut random), Some(number));
            assert!(!reachability.probed(number, false, now, &mut random));
            pauses.push(reachability.due().unwrap() - now);
        }
        assert!(pauses.iter().all(|pause| (interval / 2..=interval).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > interval * 3 / 4), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause < interval * 3 / 4), "{pauses:?}");
    }

    #[test]
    fn a_watch_that_has_ended_probes_no_more_and_has_forgotten_what_it_found() {
        let (mut random, now) = (Random::new(1), start());
        let mut reachability = Reachability::new(Some(Duration::from_secs(10)));
        reachability.watch(now);
        let probe = reachability.handle_timeout(now, &mut random).unwrap();
        reachability.probed(probe, false, now, &mut random);
        reachability.stop();
        assert_eq!((reachability.due(), reachability.handle_timeout(now + OVERDUE * 10, &mut random)), (None, None));
        reachability.watch(now);
        let probe = reachability.handle_timeout(now, &mut random).unwrap();
        assert!(!reachability.probed(probe, true, now, &mut random), "it was not known to be away");
    }
}
