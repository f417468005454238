//! When something that goes on is said again.

use std::time::{Duration, Instant};

/// Something that goes on is said again after so long, then ever less often.
const FIRST: Duration = Duration::from_secs(180);
const RAREST: Duration = Duration::from_secs(3600);

/// Says when something that goes on is worth another line in the log.
#[derive(Debug, Default)]
pub struct Reminder {
    /// When, and how long after the last time that is.
    next: Option<(Instant, Duration)>,
}

impl Reminder {
    /// Returns whether it is to be said now; `new` is what has just begun.
    pub fn is_due(&mut self, new: bool, now: Instant) -> bool {
        let wait = match self.next {
            Some((at, wait)) if !new && now >= at => (2 * wait).min(RAREST),
            Some(_) if !new => return false,
            _ => FIRST,
        };
        self.next = Some((now + wait, wait));
        true
    }

    /// It is over: the next time is new.
    pub fn reset(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_is_said_again_every_few_minutes_at_first_and_every_hour_at_last() {
        let (mut reminder, begin) = (Reminder::default(), Instant::now());
        let minutes = |reminder: &mut Reminder, minutes: std::ops::Range<u64>| -> Vec<u64> {
            minutes.filter(|minute| reminder.is_due(false, begin + Duration::from_secs(60 * minute))).collect()
        };
        assert_eq!(minutes(&mut reminder, 0..400), [0, 3, 9, 21, 45, 93, 153, 213, 273, 333, 393]);
        assert!(reminder.is_due(true, begin), "what is new is said");
        reminder.reset();
        assert_eq!(minutes(&mut reminder, 400..410), [400, 403, 409]);
    }
}
