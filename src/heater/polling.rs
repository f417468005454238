//! When each heater is asked for what.

use std::time::{Duration, Instant};

/// What is asked for periodically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Poll {
    /// The status.
    Status,
    /// Device information, diagnostics and firmware.
    Information,
    /// Energy by day and by month.
    Energy,
    /// Reservations, recirculation and time-of-use schedules.
    Schedules,
}

/// How often (`cloud.*_interval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intervals {
    /// Between two requests for the status.
    pub status: Duration,
    /// Between two requests for device information.
    pub information: Duration,
    /// Between two requests for energy.
    pub energy: Duration,
    /// Between two requests for schedules.
    pub schedules: Duration,
}

/// The two periodic tasks, as the log counts them: the status, and everything slower.
pub const PERIODIC_TASKS: usize = 2;

/// Between the first requests of a session, so that they do not come in one burst.
const FIRST_STEP: Duration = Duration::from_millis(700);

/// When one heater is asked for what next.
#[derive(Debug, Clone)]
pub struct PollTimers {
    next: [(Poll, Instant); 4],
}

impl PollTimers {
    /// Plans for heater `index` of `count`: status and information at `now`, the rest soon after; every later request
    /// is staggered between the heaters.
    pub fn begin(now: Instant, index: usize) -> Self {
        let turn = FIRST_STEP * u32::try_from(index).unwrap_or(u32::MAX).min(100);
        Self {
            next: [
                (Poll::Status, now),
                (Poll::Information, now),
                (Poll::Energy, now + FIRST_STEP + turn),
                (Poll::Schedules, now + 2 * FIRST_STEP + turn),
            ],
        }
    }

    /// Returns when the next request is due.
    pub fn due(&self) -> Instant {
        self.next.iter().map(|(_, at)| *at).min().expect("the list of polls is not empty")
    }

    /// Makes everything due at `now`.
    pub fn poll_now(&mut self, now: Instant) {
        for (_, at) in &mut self.next {
            *at = now;
        }
    }

    /// Returns what is due at `now` and plans the next time of each. The first interval of heater `index` of `count`
    /// is shortened by its share, which staggers all later ones.
    pub fn take_due(&mut self, now: Instant, intervals: &Intervals, place: Place) -> Vec<Poll> {
        let mut due = Vec::new();
        for (poll, at) in &mut self.next {
            if *at > now {
                continue;
            }
            due.push(*poll);
            *at = place.next_turn(now, intervals.of(*poll));
        }
        due
    }
}

/// Heater `index` of `count`, and the beginning that all turns count from.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Counted from 0.
    pub index: usize,
    /// At least 1.
    pub count: usize,
    /// When the session began.
    pub epoch: Instant,
}

impl Place {
    /// Returns the first turn at least half an interval away; the heaters' turns divide the interval evenly.
    fn next_turn(&self, now: Instant, interval: Duration) -> Instant {
        let offset = interval.mul_f64(self.index as f64 / self.count as f64);
        let earliest = now.saturating_duration_since(self.epoch) + interval / 2;
        let turns = (earliest.as_secs_f64() - offset.as_secs_f64()) / interval.as_secs_f64();
        self.epoch + offset + interval.mul_f64(turns.ceil().max(0.0))
    }
}

impl Intervals {
    fn of(&self, poll: Poll) -> Duration {
        match poll {
            Poll::Status => self.status,
            Poll::Information => self.information,
            Poll::Energy => self.energy,
            Poll::Schedules => self.schedules,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;

    const INTERVALS: Intervals = Intervals {
        status: Duration::from_secs(60),
        information: Duration::from_secs(1800),
        energy: Duration::from_secs(3600),
        schedules: Duration::from_secs(3600),
    };

    /// The seconds at which heater `index` of `count` is asked for its status.
    fn statuses(index: usize, count: usize) -> Vec<f64> {
        let epoch = Moment::start().now;
        let place = Place { index, count, epoch };
        let mut schedule = PollTimers::begin(epoch, index);
        let mut times = Vec::new();
        while times.len() < 5 {
            let now = schedule.due();
            if schedule.take_due(now, &INTERVALS, place).contains(&Poll::Status) {
                times.push((now - epoch).as_secs_f64());
            }
        }
        times
    }

    #[test]
    fn one_heater_is_asked_at_once_and_then_at_every_interval() {
        assert_eq!(statuses(0, 1), [0., 60., 120., 180., 240.]);
    }

    #[test]
    fn two_heaters_take_turns() {
        assert_eq!(statuses(0, 2), [0., 60., 120., 180., 240.]);
        assert_eq!(statuses(1, 2), [0., 30., 90., 150., 210.]);
    }

    #[test]
    fn everything_is_asked_for_within_three_seconds_of_the_beginning() {
        let epoch = Moment::start().now;
        let mut schedule = PollTimers::begin(epoch, 0);
        let place = Place { index: 0, count: 1, epoch };
        let asked = schedule.take_due(epoch + Duration::from_secs(3), &INTERVALS, place);
        assert_eq!(asked, [Poll::Status, Poll::Information, Poll::Energy, Poll::Schedules]);
        assert!(schedule.due() > epoch + Duration::from_secs(30));
    }

    #[test]
    fn a_late_call_asks_once_and_not_for_every_missed_turn() {
        let epoch = Moment::start().now;
        let mut schedule = PollTimers::begin(epoch, 0);
        let place = Place { index: 0, count: 1, epoch };
        let late = epoch + Duration::from_secs(3605);
        assert_eq!(schedule.take_due(late, &INTERVALS, place).len(), 4);
        assert!(schedule.take_due(late, &INTERVALS, place).is_empty());
        assert_eq!(schedule.due(), epoch + Duration::from_secs(3660));
    }
}
