//! How fast messages leave for the cloud: a token bucket that delays and loses nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// One message may leave in each of these; AWS IoT takes a hundred a second of one client, and Navien's share of that is
/// not known.
const INTERVAL: Duration = Duration::from_millis(50);
/// So many may leave at once after a pause.
const BURST: u32 = 20;

/// Two queues under one limit: what is urgent leaves before what is not; each of them keeps its order.
#[derive(Debug)]
pub struct Bucket<T> {
    urgent: VecDeque<T>,
    others: VecDeque<T>,
    /// When the bucket is full again.
    full_at: Option<Instant>,
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { urgent: VecDeque::new(), others: VecDeque::new(), full_at: None }
    }
}

impl<T: PartialEq> Bucket<T> {
    /// Queues one that others have to wait for; who does so bounds their number.
    pub fn push_urgent(&mut self, one: T) {
        self.urgent.push_back(one);
    }

    /// Queues one, unless the same waits already: so there are never more than there are different ones.
    pub fn push(&mut self, one: T) {
        if !self.others.contains(&one) {
            self.others.push_back(one);
        }
    }

    /// Returns the next one that may leave now.
    pub fn take(&mut self, now: Instant) -> Option<T> {
        if self.allowed_at().is_some_and(|at| at > now) {
            return None;
        }
        let one = self.urgent.pop_front().or_else(|| self.others.pop_front())?;
        self.full_at = Some(self.full_at.map_or(now, |at| at.max(now)) + INTERVAL);
        Some(one)
    }

    /// Returns when the next one may leave, after [`Bucket::take`] has returned none; `None` when none waits.
    pub fn due(&self) -> Option<Instant> {
        let waits = !(self.urgent.is_empty() && self.others.is_empty());
        self.allowed_at().filter(|_| waits)
    }

    /// Drops what waits; what has left still counts.
    pub fn clear(&mut self) {
        self.urgent.clear();
        self.others.clear();
    }

    fn allowed_at(&self) -> Option<Instant> {
        self.full_at?.checked_sub(INTERVAL * (BURST - 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_twenty_a_second() {
        let (start, mut bucket) = (start(), Bucket::default());
        (0..123).for_each(|number| bucket.push(number));
        let mut now = start;
        let mut left: Vec<Duration> = Vec::new();
        loop {
            while bucket.take(now).is_some() {
                left.push(now - start);
            }
            let Some(due) = bucket.due() else { break };
            now = due;
        }
        assert_eq!((left.len(), left[19], left[20]), (123, Duration::ZERO, INTERVAL));
        assert_eq!(left[122], INTERVAL * 103);
        bucket.push(0);
        assert_eq!(bucket.due(), Some(now + INTERVAL));
    }

    #[test]
    fn what_waits_already_is_not_queued_twice_and_what_is_urgent_is() {
        let (start, mut bucket) = (start(), Bucket::default());
        for one in ["status", "info", "status"] {
            bucket.push(one);
            bucket.push_urgent("on");
        }
        let left: Vec<&str> = std::iter::from_fn(|| bucket.take(start)).collect();
        assert_eq!(left, ["on", "on", "on", "status", "info"]);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_twenty_in_any_second_and_none_is_lost(
            arrivals in prop::collection::vec((0u64..200, any::<bool>()), 1..300),
        ) {
            let (start, mut bucket) = (start(), Bucket::default());
            let (mut now, mut left) = (start, Vec::new());
            let pass = |bucket: &mut Bucket<usize>, from: Instant, to: Instant, left: &mut Vec<(Instant, usize)>| {
                let mut now = from;
                loop {
                    left.extend(std::iter::from_fn(|| bucket.take(now)).map(|one| (now, one)));
                    let Some(due) = bucket.due().filter(|due| *due <= to) else { return };
                    now = due;
                }
            };
            for (number, (millis, urgent)) in arrivals.iter().enumerate() {
                let next = now + Duration::from_millis(*millis);
                pass(&mut bucket, now, next, &mut left);
                now = next;
                if *urgent { bucket.push_urgent(number) } else { bucket.push(number) }
            }
            pass(&mut bucket, now, now + 60 * SECOND, &mut left);
            let of = |which: bool| -> Vec<usize> {
                left.iter().map(|(_, one)| *one).filter(|one| arrivals[*one].1 == which).collect()
            };
            for which in [true, false] {
                let arrived: Vec<usize> = (0..arrivals.len()).filter(|one| arrivals[*one].1 == which).collect();
                prop_assert_eq!(of(which), arrived);
            }
            for (first, (at, _)) in left.iter().enumerate() {
                let within = left[first..].iter().filter(|(other, _)| *other < *at + SECOND).count();
                prop_assert!(within <= 20 + BURST as usize, "{} within a second", within);
            }
        }
    }
}
