//! What a broker closed the connection at, and when that may be tried again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who has closed so many sessions is left out.
const LEFT_OUT_AFTER: u32 = 2;
/// Every attempt costs a session if nothing has changed, so they are rare, and become rarer.
const FIRST_WAIT: Duration = Duration::from_secs(3600);
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

#[derive(Debug)]
struct Suspect {
    times: u32,
    /// When it was left out last, and for how long.
    since: Instant,
    wait: Duration,
}

/// The topics, or the filters, at which sessions ended.
#[derive(Debug, Default)]
pub struct Suspects {
    by_name: BTreeMap<String, Suspect>,
}

impl Suspects {
    /// Takes note that a session ended at `name`; returns how often that has happened.
    pub fn blame(&mut self, name: &str, now: Instant) -> u32 {
        let new = || Suspect { times: 0, since: now, wait: FIRST_WAIT };
        let suspect = self.by_name.entry(name.to_owned()).or_insert_with(new);
        if suspect.times >= LEFT_OUT_AFTER {
            suspect.wait = (suspect.wait * 2).min(LONGEST_WAIT);
        }
        suspect.times += 1;
        suspect.since = now;
        suspect.times
    }

    /// Takes note that the broker took it; returns whether it had been left out.
    pub fn clear(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some_and(|suspect| suspect.times >= LEFT_OUT_AFTER)
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
