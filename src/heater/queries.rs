//! When a heater may be asked for the same thing again, whoever wants it.

use std::time::{Duration, Instant};

use crate::navilink::members::Members;
use crate::navilink::message::Body;
use crate::navilink::request::Query;

/// Between two requests for one thing, at least.
const SPACING: Duration = Duration::from_secs(1);
/// An answer that has not come by then is not waited for any more.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// The queries of one heater: wishes for one thing are joined while an answer to it is due, and sent a second apart.
#[derive(Debug, Default)]
pub struct Queries {
    /// What was asked within the last [`ANSWER_DEADLINE`], or is wished for again.
    asked: Vec<OutstandingQuery>,
    sent: u64,
    answered: u64,
    timed_out: u64,
}

#[derive(Debug)]
struct OutstandingQuery {
    query: Query,
    at: Instant,
    unanswered: bool,
    /// It was wished for again since.
    wanted: bool,
}

impl OutstandingQuery {
    fn again_at(&self) -> Instant {
        self.at + if self.unanswered { ANSWER_DEADLINE } else { SPACING }
    }

    fn due(&self) -> Option<Instant> {
        self.wanted.then(|| self.again_at())
    }
}

impl Queries {
    /// Wishes for an answer; returns whether the query is to be sent now. Otherwise [`Queries::take_due`] returns it when
    /// it is.
    pub fn wish(&mut self, query: &Query, now: Instant) -> bool {
        self.drop_where(|asked| !asked.wanted && asked.at + ANSWER_DEADLINE <= now);
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.query == *query && asked.again_at() > now) {
            asked.wanted = true;
            return false;
        }
        self.sent(query, now);
        true
    }

    /// Takes note of a query that is sent now.
    pub fn sent(&mut self, query: &Query, now: Instant) {
        self.drop_where(|asked| asked.query == *query);
        self.sent += 1;
        self.asked.push(OutstandingQuery { query: query.clone(), at: now, unanswered: true, wanted: false });
    }

    /// Takes note of an answer.
    pub fn answered(&mut self, body: &Body) {
        for asked in &mut self.asked {
            if asked.unanswered && answers(body, &asked.query) {
                asked.unanswered = false;
                self.answered += 1;
            }
        }
    }

    /// Returns how many were sent, answered, and not answered in time since the process began.
    pub fn counters(&self) -> Members {
        let counters = [("sent", self.sent), ("answered", self.answered), ("timed_out", self.timed_out)];
        counters.map(|(name, count)| (name, count.into())).into_iter().collect()
    }

    fn drop_where(&mut self, over: impl Fn(&OutstandingQuery) -> bool) {
        let dropped = self.asked.extract_if(.., |asked| over(asked));
        self.timed_out += dropped.filter(|asked| asked.unanswered).count() as u64;
    }

    /// Returns when the next query that is wished for is due.
    pub fn due(&self) -> Option<Instant> {
        self.asked.iter().filter_map(OutstandingQuery::due).min()
    }

    /// Returns the queries that are due at `now`, which fulfils their wishes.
    pub fn take_due(&mut self, now: Instant) -> Vec<Query> {
        let mut due = Vec::new();
        for asked in &mut self.asked {
            if asked.due().is_some_and(|at| at <= now) {
                self.sent += 1;
                self.timed_out += u64::from(asked.unanswered);
                (asked.at, asked.unanswered, asked.wanted) = (now, true, false);
                due.push(asked.query.clone());
            }
        }
        due
    }

    /// Drops all wishes: nothing that was asked will be answered.
    pub fn forget(&mut self) {
        self.drop_where(|_| true);
    }
}

/// Returns whether a message of the heater answers a query.
fn answers(body: &Body, query: &Query) -> bool {
    match query {
        Query::Status => matches!(body, Body::Status(_)),
        Query::Information => matches!(body, Body::Feature(_)),
        Query::Reservations => matches!(body, Body::Reservations(_)),
        Query::EnergyByDay { .. } => matches!(body, Body::EnergyDaily(_)),
        Query::EnergyByMonth { .. } => matches!(body, Body::EnergyMonthly(_)),
        Query::Firmware => matches!(body, Body::Firmware(_)),
        Query::Diagnostics => matches!(body, Body::Diagnostics(_)),
        Query::Recirculation => matches!(body, Body::Recirculation(_)),
        Query::EndOfSession => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    fn status() -> Body {
        Body::Status(Default::default())
    }

    /// Wishes every 2 ms for `seconds`, with an answer `delay` after each query; returns how many were sent.
    fn sent(seconds: u32, delay: Option<Duration>) -> usize {
        let (start, mut queries) = (start(), Queries::default());
        let (mut sent, mut answer_at) = (0, None::<Instant>);
        for step in 0..seconds * 500 {
            let now = start + step * Duration::from_millis(2);
            if answer_at.take_if(|at| *at <= now).is_some() {
                queries.answered(&status());
            }
            if queries.wish(&Query::Status, now) || !queries.take_due(now).is_empty() {
                sent += 1;
                answer_at = delay.map(|delay| now + delay);
            }
        }
        sent
    }

    #[test]
    fn five_hundred_wishes_a_second_are_one_query_a_second() {
        assert_eq!(sent(20, Some(Duration::from_millis(50))), 20);
    }

    #[test]
    fn nothing_is_asked_again_while_an_answer_is_due() {
        assert_eq!(sent(20, Some(Duration::from_secs(4))), 5);
        assert_eq!(sent(30, None), 3, "it is not waited for in vain for ever");
    }

    #[test]
    fn a_wish_is_never_lost_and_another_thing_does_not_wait_for_it() {
        let (start, mut queries) = (start(), Queries::default());
        assert!(queries.wish(&Query::Status, start) && queries.wish(&Query::Information, start));
        assert!(!queries.wish(&Query::Status, start));
        assert_eq!(queries.due(), Some(start + ANSWER_DEADLINE));
        queries.answered(&status());
        assert_eq!(queries.due(), Some(start + SPACING));
        assert!(queries.take_due(start + SPACING / 2).is_empty());
        assert_eq!(queries.take_due(start + SPACING), [Query::Status]);
        assert_eq!(queries.due(), None);
        queries.wish(&Query::Status, start + SPACING);
        queries.forget();
        assert_eq!(queries.due(), None);
        for year in 0..1000 {
            queries.wish(&Query::EnergyByMonth { years: vec![year] }, start + SPACING * u32::from(year));
        }
        assert!(queries.asked.len() <= 10, "{}", queries.asked.len());
    }
}
