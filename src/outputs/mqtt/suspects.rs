//! What a broker closed the connection at, and when that may be tried again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who has closed so many sessions is left out.
const LEFT_OUT_AFTER: u32 = 2;
/// Every attempt costs a session if nothing has changed, so they are rare, and become rarer.
const FIRST_WAIT: Duration = Duration::from_secs(3600);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// Where the broker takes none at all, one of them is tried again after so long at first.
const SOON: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Suspect {
    times: u32,
    /// When it was left out last, and for how long.
    since: Instant,
    wait: Duration,
}

/// The topics, or the filters, at which sessions ended.
#[derive(Debug)]
pub struct Suspects {
    by_name: BTreeMap<String, Suspect>,
    /// How long one of them waits where all there is is left out.
    soon: Duration,
}

impl Default for Suspects {
    fn default() -> Self {
        Self { by_name: BTreeMap::new(), soon: SOON }
    }
}

impl Suspects {
    /// Takes note that a session ended at `name`; returns how often that has happened.
    pub fn blame(&mut self, name: &str, now: Instant) -> u32 {
        let new = || Suspect { times: 0, since: now, wait: FIRST_WAIT };
        let suspect = self.by_name.entry(name.to_owned()).or_insert_with(new);
        if suspect.times >= LEFT_OUT_AFTER {
            if suspect.wait < FIRST_WAIT {
                self.soon = (self.soon * 2).min(FIRST_WAIT);
            }
            suspect.wait = (suspect.wait * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
        }
        suspect.times += 1;
        suspect.since = now;
        suspect.times
    }

    /// Takes note that the broker took it; returns whether it had been left out.
    pub fn clear(&mut self, name: &str) -> bool {
        self.soon = SOON;
        self.by_name.remove(name).is_some_and(|suspect| suspect.times >= LEFT_OUT_AFTER)
    }

    /// Takes note that all there is is left out. That is a trouble of the broker, such as a node of a cluster that is
    /// down, and not of each: one may be tried again after a minute, the next after two, four … up to an hour.
    pub fn try_one_soon(&mut self, now: Instant) {
        let latest = now + self.soon;
        if self.by_name.values().all(|suspect| suspect.since + suspect.wait > latest)
            && let Some(suspect) = self.by_name.values_mut().min_by_key(|suspect| suspect.since)
        {
            (suspect.since, suspect.wait) = (now, self.soon);
        }
    }

    /// Lets everything that is left out be tried at once.
    pub fn try_all(&mut self) {
        for suspect in self.by_name.values_mut() {
            suspect.wait = Duration::ZERO;
        }
    }

    /// Returns whether a session has ended at it.
    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns whether it is to be left out now.
    pub fn leaves_out(&self, name: &str, now: Instant) -> bool {
        self.retry_at(name).is_some_and(|at| now < at)
    }

    /// Returns from when on something that is left out may be tried again.
    pub fn retry_at(&self, name: &str) -> Option<Instant> {
        let suspect = self.by_name.get(name).filter(|suspect| suspect.times >= LEFT_OUT_AFTER)?;
        Some(suspect.since + suspect.wait)
    }

    /// Returns what is left out.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.by_name.iter().filter(|(_, suspect)| suspect.times >= LEFT_OUT_AFTER).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn where_all_are_left_out_one_is_tried_after_a_minute_then_two_and_all_once_one_is_taken() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut suspects = Suspects::default();
        let due = |suspects: &Suspects, now| ["a", "b", "c"].map(|name| !suspects.leaves_out(name, now));
        for name in ["a", "b", "c", "a", "b", "c"] {
            suspects.blame(name, begun);
        }
        assert_eq!(due(&suspects, at(3599)), [false; 3], "without a word each waits its hour");
        // However often it is dialled in the meantime, it is one.
        for second in 0..50 {
            suspects.try_one_soon(at(second));
        }
        assert_eq!(due(&suspects, at(59)), [false; 3]);
        assert_eq!(due(&suspects, at(60)), [true, false, false]);
        suspects.blame("a", at(60));
        suspects.try_one_soon(at(60));
        assert_eq!(due(&suspects, at(179)), [false; 3]);
        assert_eq!(due(&suspects, at(180)), [false, true, false]);
        assert!(suspects.clear("b"));
        suspects.try_all();
        assert_eq!(due(&suspects, at(180)), [true; 3]);
        suspects.blame("c", at(181));
        assert_eq!(due(&suspects, at(3780)), [true, true, false], "one that is closed at again waits for an hour");
    }
}
