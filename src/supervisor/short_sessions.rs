//! Sessions that end soon after they were up: no accident when there are several in a row.

use std::time::{Duration, Instant};

use super::types::{Decision, Failure, Reason};

/// A session that has lived so long is no short one, and sets the counters back (contract, section 3).
pub const SETTLED: Duration = Duration::from_secs(60);
/// So many short sessions in a row are no accident.
const TOO_MANY: u32 = 3;
/// A session that the cloud closed is short up to this age: another instance like us that waits before it takes the
/// client id back waits no longer by default.
const EVICTED: Duration = Duration::from_secs(400);

/// Counts short sessions in a row.
#[derive(Debug, Clone)]
pub struct ShortSessions {
    count: u32,
    /// Whether the cloud closed each of them.
    all_closed: bool,
    up_since: Option<Instant>,
}

/// What short sessions in a row mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    /// How many there were.
    pub times: u32,
    /// How many more than make a verdict, and this one: 1 at first.
    pub nth: u32,
    /// Whether the cloud closed each of them, as it does for another instance with our client id.
    pub taken_over: bool,
    /// Why, for people.
    pub reason: Reason,
}

impl Default for ShortSessions {
    fn default() -> Self {
        Self { count: 0, all_closed: true, up_since: None }
    }
}

impl ShortSessions {
    /// A session is up.
    pub fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// We closed the session ourselves: it does not count.
    pub fn closed_on_purpose(&mut self) {
        self.up_since = None;
    }

    /// Forgets the short sessions.
    pub fn reset(&mut self) {
        self.count = 0;
    }

    /// A session has ended; returns a verdict when it is a short one too many.
    pub fn over(&mut self, failure: &Failure, now: Instant) -> Option<Diagnosis> {
        let lived = now.saturating_duration_since(self.up_since.take()?);
        let closed = failure.decision == Decision::ClosedByCloud;
        if lived >= if closed { EVICTED } else { SETTLED } {
            self.count = 0;
            return None;
        }
        self.all_closed = closed && (self.all_closed || self.count == 0);
        self.count = self.count.saturating_add(1);
        let times = self.count;
        let reason = match self.all_closed {
            true => Reason::new("taken-over", "another instance uses this client id"),
            false => Reason::new(
                "unstable",
                format!(
                    "{times} sessions in a row ended soon after they were up, the last one with {}",
                    failure.reason
                ),
            ),
        };
        let verdict =
            Diagnosis { times, nth: (times + 1).saturating_sub(TOO_MANY), taken_over: self.all_closed, reason };
        (times >= TOO_MANY).then_some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    const SECOND: Duration = Duration::from_secs(1);
    const CLOSED: Decision = Decision::ClosedByCloud;
    const LOST: Decision = Decision::Transient;

    /// Has a session that lives so long and ends so.
    fn lives(sessions: &mut ShortSessions, life: Duration, decision: Decision) -> Option<Diagnosis> {
        let now = start();
        sessions.up(now);
        sessions.over(&Failure { decision, ..Failure::transient("any", "") }, now + life)
    }

    #[test]
    fn the_third_short_session_in_a_row_is_no_accident_and_who_closed_them_says_which() {
        for (ends, code) in [
            ([CLOSED, CLOSED, CLOSED], "taken-over"),
            ([LOST, LOST, LOST], "unstable"),
            ([CLOSED, LOST, CLOSED], "unstable"),
            ([LOST, CLOSED, CLOSED], "unstable"),
        ] {
            let mut sessions = ShortSessions::default();
            assert_eq!(lives(&mut sessions, SECOND, ends[0]), None);
            assert_eq!(lives(&mut sessions, SECOND, ends[1]), None);
            let diagnosis = lives(&mut sessions, SECOND, ends[2]).unwrap();
            assert_eq!((diagnosis.times, diagnosis.nth), (3, 1));
            assert_eq!((diagnosis.reason.code, diagnosis.taken_over), (code, code == "taken-over"));
            assert_eq!(lives(&mut sessions, SECOND, LOST).unwrap().nth, 2);
        }
    }

    #[test]
    fn a_session_that_lasted_or_was_closed_on_purpose_does_not_count() {
        for (life, decision) in [(SETTLED, LOST), (EVICTED, CLOSED)] {
            let mut sessions = ShortSessions::default();
            for _ in 0..2 {
                lives(&mut sessions, life - SECOND, decision);
            }
            assert_eq!(lives(&mut sessions, life, decision), None, "it lasted");
            assert_eq!(lives(&mut sessions, life - SECOND, decision), None, "the count begins anew");
        }
        let mut sessions = ShortSessions::default();
        lives(&mut sessions, SECOND, LOST);
        lives(&mut sessions, SECOND, LOST);
        sessions.up(start());
        sessions.closed_on_purpose();
        assert_eq!(sessions.over(&Failure::transient("any", ""), start()), None);
        assert_eq!(lives(&mut sessions, SECOND, LOST).unwrap().times, 3);
        sessions.reset();
        assert_eq!(lives(&mut sessions, SECOND, LOST), None);
    }
}
