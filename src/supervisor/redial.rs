//! The link to the local broker: dialled for ever, with short waits.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::random::Random;
use super::types::Generation;

/// A broker next door is asked often: it costs nothing, and its return should be noticed at once.
const BACKOFF: Backoff =
    Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(5), multiplier: 1.6, jitter: 0.2 };

/// Where the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting(Instant),
    Dialling(Instant),
    Up,
}

/// Keeps one link up: dials at once, then after growing waits, without end.
#[derive(Debug)]
pub struct Redial {
    phase: Phase,
    generation: Generation,
    failures: u32,
    /// A dial that reports nothing for so long is given up.
    patience: Duration,
    random: Random,
}

impl Redial {
    /// Makes the first dial due at `now`; `patience` is longer than any dial's own limits.
    pub fn new(now: Instant, patience: Duration, seed: u64) -> Self {
        Self {
            phase: Phase::Waiting(now),
            generation: Generation::default(),
            failures: 0,
            patience,
            random: Random::new(seed),
        }
    }

    /// Returns whether the link is up.
    pub fn is_up(&self) -> bool {
        self.phase == Phase::Up
    }

    /// Returns the session dialled last.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Takes note that the link is up.
    pub fn link_up(&mut self, generation: Generation) {
        if generation == self.generation {
            self.phase = Phase::Up;
            self.failures = 0;
        }
    }

    /// Takes note that the link is down; returns the wait before the next dial.
    pub fn link_down(&mut self, generation: Generation, now: Instant) -> Option<Duration> {
        if generation != self.generation || matches!(self.phase, Phase::Waiting(_)) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.failures, &mut self.random);
        self.phase = Phase::Waiting(now + delay);
        Some(delay)
    }

    /// Returns when [`Redial::handle_timeout`] is wanted; `None` while the link is up.
    pub fn due(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting(until) | Phase::Dialling(until) => Some(until),
            Phase::Up => None,
        }
    }

    /// Returns the session to dial when it is time to.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Generation> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.generation.0 += 1;
        self.phase = Phase::Dialling(now + self.patience);
        Some(self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    #[test]
    fn the_local_broker_is_dialled_for_ever_at_least_every_six_seconds() {
        let mut now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        for n in 1..=1000 {
            let generation = link.handle_timeout(now).expect("a dial is due");
            assert_eq!(generation, Generation(n));
            let delay = link.link_down(generation, now).expect("the dial failed");
            assert!(delay <= Duration::from_secs(6));
            now += delay;
        }
    }

    #[test]
    fn a_dial_that_never_reports_is_followed_by_another() {
        let now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        assert!(link.handle_timeout(now).is_some());
        assert!(link.handle_timeout(now + Duration::from_secs(29)).is_none());
        assert!(link.handle_timeout(now + Duration::from_secs(30)).is_some());
    }

    #[test]
    fn news_of_an_older_session_change_nothing() {
        let now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        link.handle_timeout(now);
        link.link_up(Generation(1));
        assert!(link.link_down(Generation(0), now).is_none());
        assert!(link.is_up());
    }
}
