//! Whether the local broker keeps retained messages.
//!
//! MQTT 3.1.1 has no word for it: a broker that keeps none closes the connection at a CONNECT whose will is to be
//! retained. So does whatever stands before a broker that is not up yet. Only a broker that takes a session without the
//! flag, and closes the next one with it, keeps none.

use std::time::{Duration, Instant};

/// So many connections in a row that are closed at CONNECT raise the question.
const CLOSED: u32 = 2;
/// A session without the flag is ended after so long, to try one with it.
const CHECK_AFTER: Duration = Duration::from_secs(10);

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// It keeps them.
    Keeps,
    /// Perhaps not; a session that is up without the flag ends at this time.
    Doubtful(Option<Instant>),
    /// It took a session without the flag; one with it decides.
    Checking,
    /// It keeps none.
    KeepsNone,
}

/// Finds out whether the local broker keeps retained messages.
#[derive(Debug)]
pub struct Retention {
    belief: Belief,
    closed: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { belief: Belief::Keeps, closed: 0 }
    }
}

impl Retention {
    /// Returns whether to set the retain flag.
    pub fn is_wanted(&self) -> bool {
        matches!(self.belief, Belief::Keeps | Belief::Checking)
    }

    /// Returns whether the broker is known to keep none.
    pub fn is_refused(&self) -> bool {
        self.belief == Belief::KeepsNone
    }

    /// Records that the broker closed the connection at CONNECT.
    pub fn closed_at_connect(&mut self) {
        self.closed += 1;
        self.belief = match self.belief {
            Belief::Checking => Belief::KeepsNone,
            Belief::Keeps if self.closed.is_multiple_of(CLOSED) => Belief::Doubtful(None),
            Belief::Doubtful(_) | Belief::KeepsNone if self.closed.is_multiple_of(CLOSED) => Belief::Keeps,
            unchanged => unchanged,
        };
    }

    /// Records that a session is up.
    pub fn up(&mut self, now: Instant) {
        self.closed = 0;
        match &mut self.belief {
            Belief::Doubtful(check_at) => *check_at = Some(now + CHECK_AFTER),
            Belief::Checking => self.belief = Belief::Keeps,
            Belief::Keeps | Belief::KeepsNone => {}
        }
    }

    /// Records that a session ended that had lasted: a broker that was started anew may keep messages now.
    pub fn ended(&mut self) {
        if self.belief != Belief::Keeps {
            self.belief = Belief::Checking;
        }
    }

    /// Returns when [`Retention::take_check`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        if let Belief::Doubtful(check_at) = self.belief { check_at } else { None }
    }

    /// Returns whether the session is to be ended now, for one that decides.
    pub fn take_check(&mut self, now: Instant) -> bool {
        let due = self.due().is_some_and(|at| at <= now);
        if due {
            self.belief = Belief::Checking;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    /// Dials until a session is up; `takes` says whether the broker takes one with or without the flag.
    fn dials(retention: &mut Retention, now: Instant, mut takes: impl FnMut(bool) -> bool) -> u32 {
        for dial in 1..100 {
            if takes(retention.is_wanted()) {
                retention.up(now);
                return dial;
            }
            retention.closed_at_connect();
        }
        panic!("no session is up: {retention:?}");
    }

    #[test]
    fn a_broker_that_keeps_none_is_known_after_one_session_with_and_one_without() {
        let (mut retention, now) = (Retention::default(), Moment::start().now);
        assert_eq!(dials(&mut retention, now, |flag| !flag), 3);
        assert!(!retention.is_wanted() && !retention.is_refused(), "it is not known yet");
        assert!(!retention.take_check(now));
        assert!(retention.take_check(now + CHECK_AFTER));
        assert_eq!(dials(&mut retention, now, |flag| !flag), 2);
        assert!(retention.is_refused() && retention.due().is_none());
        retention.ended();
        assert_eq!(dials(&mut retention, now, |_| true), 1);
        assert!(retention.is_wanted(), "it was started anew and keeps messages now");
    }

    #[test]
    fn a_broker_that_is_not_up_for_a_while_is_not_taken_for_one_that_keeps_none() {
        for closed in 0..20 {
            let (mut retention, now, mut dial) = (Retention::default(), Moment::start().now, 0);
            dials(&mut retention, now, |_| {
                dial += 1;
                dial > closed
            });
            if retention.take_check(now + CHECK_AFTER) {
                dials(&mut retention, now, |_| true);
            }
            assert!(retention.is_wanted() && retention.due().is_none(), "closed {closed} times: {retention:?}");
        }
    }
}
