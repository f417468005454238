//! The link to the local broker: dialled without end, with short waits.

use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::random::Random;
use super::types::Generation;

/// Short, since dialling a broker in the local network costs nothing and its return should be noticed at once.
const BACKOFF: Backoff =
    Backoff { initial: Duration::from_millis(500), max: Duration::from_secs(5), multiplier: 1.6, jitter: 0.2 };

/// A session that was up for so long was a success; a shorter one does not reset the back-off.
const SETTLED: Duration = Duration::from_secs(30);

/// Where the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RedialPhase {
    Waiting(Instant),
    Dialling(Instant),
    /// Since when.
    Up(Instant),
}

/// Keeps one link up: dials at once, then after growing waits, without end.
#[derive(Debug)]
pub struct Redial {
    phase: RedialPhase,
    generation: Generation,
    failures: u32,
    /// Sessions in a row that were up, but not for long.
    short_sessions: u32,
    /// A dial that reports nothing for so long is given up.
    dial_timeout: Duration,
    random: Random,
}

impl Redial {
    /// Makes the first dial due at `now`; `dial_timeout` is longer than any dial's own limits.
    pub fn new(now: Instant, dial_timeout: Duration, seed: u64) -> Self {
        Self {
            phase: RedialPhase::Waiting(now),
            generation: Generation::default(),
            failures: 0,
            short_sessions: 0,
            dial_timeout,
            random: Random::new(seed),
        }
    }

    /// Returns whether the link is up.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, RedialPhase::Up(_))
    }

    /// Returns the failures since the last session that lasted.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns how many sessions in a row were up, but not for long.
    pub fn short_sessions(&self) -> u32 {
        self.short_sessions
    }

    /// Returns the session dialled last.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Records that the link is up.
    pub fn link_up(&mut self, generation: Generation, now: Instant) {
        if generation == self.generation {
            self.phase = RedialPhase::Up(now);
        }
    }

    /// Records that the link is down; returns the wait before the next dial.
    pub fn link_down(&mut self, generation: Generation, now: Instant) -> Option<Duration> {
        if generation != self.generation || matches!(self.phase, RedialPhase::Waiting(_)) {
            return None;
        }
        if let RedialPhase::Up(since) = self.phase {
            self.short_sessions = self.short_sessions.saturating_add(1);
            if now.duration_since(since) >= SETTLED {
                (self.failures, self.short_sessions) = (0, 0);
            }
        }
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.delay(self.failures, &mut self.random);
        self.phase = RedialPhase::Waiting(now + delay);
        Some(delay)
    }

    /// Returns when [`Redial::handle_timeout`] is wanted; `None` while the link is up.
    pub fn due(&self) -> Option<Instant> {
        match self.phase {
            RedialPhase::Waiting(until) | RedialPhase::Dialling(until) => Some(until),
            RedialPhase::Up(_) => None,
        }
    }

    /// Fires expired timers; returns the session to dial, if a dial is due.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Generation> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        self.generation.0 += 1;
        self.phase = RedialPhase::Dialling(now + self.dial_timeout);
        Some(self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    #[test]
    fn the_local_broker_is_dialled_without_end_at_least_every_six_seconds() {
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
    fn a_broker_that_ends_every_session_at_once_is_dialled_ever_less_often() {
        let mut now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        for n in 1..=20 {
            link.handle_timeout(now);
            link.link_up(Generation(n), now);
            let delay = link.link_down(Generation(n), now).unwrap();
            assert!(n < 8 || delay >= Duration::from_secs(4), "session {n}: {delay:?}");
            now += delay;
        }
        assert_eq!(link.short_sessions(), 20);
        link.handle_timeout(now);
        link.link_up(Generation(21), now);
        assert!(link.link_down(Generation(21), now + SETTLED).unwrap() < Duration::from_secs(1));
        assert_eq!((link.failures(), link.short_sessions()), (1, 0));
    }

    #[test]
    fn news_of_an_older_session_change_nothing() {
        let now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        link.handle_timeout(now);
        link.link_up(Generation(1), now);
        assert!(link.link_down(Generation(0), now).is_none());
        assert!(link.is_up());
    }

    #[test]
    fn what_a_dial_came_to_is_told() {
        let now = start();
        let mut link = Redial::new(now, Duration::from_secs(30), 7);
        assert!(!link.is_up() && link.failures() == 0);
        for n in 1..=3 {
            let at = link.due().unwrap();
            assert_eq!(link.handle_timeout(at), Some(Generation(n)));
            assert_eq!(link.generation(), Generation(n));
            let delay = link.link_down(Generation(n), at).unwrap();
            assert_eq!(link.due(), Some(at + delay));
            assert_eq!(link.failures(), n as u32);
        }
        assert!(!link.is_up());
    }
}
