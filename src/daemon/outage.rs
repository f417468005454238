//! The outage as it is kept over restarts of the process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::alarm::Alarm;
use crate::model::Moment;
use crate::supervisor::{Carried, Event};

/// What is kept; times are seconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptOutage {
    outages: u64,
    last_outage: Option<f64>,
    outage_since: Option<f64>,
    refused: bool,
    refusals: u32,
    alarm: Alarm,
    told_hours: u64,
}

/// How much of an event the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// It is told as it is.
    Whole,
    /// That the outage goes on, for so long already, is told in its place.
    GoesOn(Duration),
    /// It is told to whoever reads everything.
    Debug,
}

/// The first part of an outage is told step by step, then one line an hour, and from the third hour on one in three: nobody
/// reads a day of attempts.
const STEP_BY_STEP: Duration = Duration::from_secs(900);

impl KeptOutage {
    /// Prepares what the supervisor carries and the alarm has told to be kept.
    pub fn new(outage: &OutageLog, moment: Moment) -> Self {
        let carried = outage.kept.0;
        let wall = |at: Instant| {
            let at = moment.wall.checked_sub(moment.now.saturating_duration_since(at)).unwrap_or(UNIX_EPOCH);
            at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
        };
        Self {
            outages: carried.outages,
            last_outage: carried.last_outage.map(|outage| outage.as_secs_f64()),
            outage_since: carried.outage_since.map(wall),
            refused: carried.refused,
            refusals: carried.refusals,
            alarm: outage.alarm,
            told_hours: outage.told_hours,
        }
    }

    /// Returns what an earlier run carried; an outage that begins in the future, which a step of the clock made up,
    /// begins now.
    pub fn restore(self, moment: Moment) -> OutageLog {
        let duration = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
        let since = |seconds: f64| {
            let at: SystemTime = UNIX_EPOCH.checked_add(duration(seconds)?)?;
            moment.now.checked_sub(moment.wall.duration_since(at).unwrap_or_default())
        };
        let carried = Carried {
            outages: self.outages,
            last_outage: self.last_outage.and_then(duration),
            outage_since: self.outage_since.and_then(since),
            refused: self.refused,
            refusals: self.refusals,
        };
        OutageLog { alarm: self.alarm, told_hours: self.told_hours, kept: (carried, self.alarm, self.told_hours) }
    }
}

/// The outage that goes on, and what was told of it.
#[derive(Debug)]
pub struct OutageLog {
    alarm: Alarm,
    /// The hours of it that were told.
    told_hours: u64,
    /// What was kept last.
    kept: (Carried, Alarm, u64),
}

impl OutageLog {
    /// Returns what an earlier run of the process carried.
    pub fn carried(&self) -> Carried {
        self.kept.0
    }

    /// Returns how much of an event the log tells when the outage is so old, if there is one.
    pub fn telling(&mut self, event: &Event, age: Option<Duration>) -> Telling {
        let over = matches!(event, Event::Connected { .. } | Event::Recovered { .. });
        let Some(age) = age.filter(|age| *age >= STEP_BY_STEP && !over) else {
            self.told_hours = if over { 0 } else { self.told_hours };
            return Telling::Whole;
        };
        let first = matches!(event, Event::ReconnectionFailed { .. } | Event::Failed(_)) && !self.alarm.knows(event);
        if first {
            return Telling::Whole;
        }
        let hours = match age.as_secs() / 3600 {
            hours @ 0..3 => hours,
            hours => hours - hours % 3,
        };
        let attempt = matches!(event, Event::ReconnectScheduled { .. } | Event::RecoveryAttempt { .. });
        if !attempt || hours <= self.told_hours {
            return Telling::Debug;
        }
        self.told_hours = hours;
        Telling::GoesOn(age)
    }

    /// Returns what was told of it.
    pub fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    /// Returns what is to be kept, if something about it has changed.
    pub fn changes(&mut self, carried: Carried, moment: Moment) -> Option<KeptOutage> {
        let now = (carried, self.alarm, self.told_hours);
        (std::mem::replace(&mut self.kept, now) != now).then(|| KeptOutage::new(self, moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::clock;

    #[test]
    fn an_outage_goes_on_in_the_next_process_however_its_monotonic_clock_counts() {
        let moment = Moment { now: clock::now(), wall: UNIX_EPOCH + Duration::from_secs(1_800_000_000) };
        let carried = Carried {
            outages: 3,
            last_outage: Some(Duration::from_millis(1500)),
            outage_since: Some(moment.now),
            refused: true,
            refusals: 2,
        };
        let mut outage = KeptOutage::default().restore(moment);
        let kept = serde_json::to_string(&outage.changes(carried, moment).unwrap()).unwrap();
        assert_eq!(outage.changes(carried, moment), None);
        let hour = Duration::from_secs(3600);
        let later = Moment { now: moment.now + Duration::from_secs(5), wall: moment.wall + hour };
        let restore = |kept: &str, at| serde_json::from_str::<KeptOutage>(kept).unwrap().restore(at).carried();
        let restored = restore(&kept, later);
        assert_eq!(restored, Carried { outage_since: Some(later.now - hour), ..carried });
        let earlier = Moment { wall: moment.wall - hour, ..later };
        let restored = restore(&kept, earlier);
        assert_eq!(restored.outage_since, Some(later.now), "the clock was set back");
        assert_eq!(restore(r#"{"outage_since":1e300,"last_outage":-1}"#, later), Carried::default());
    }
}
