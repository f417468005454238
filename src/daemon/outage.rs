//! The outage as it is kept over restarts of the process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::alarm::Alarm;
use crate::model::Moment;
use crate::supervisor::Carried;

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
}

impl KeptOutage {
    /// Prepares what the supervisor carries and the alarm has told to be kept.
    pub fn new(carried: Carried, alarm: Alarm, moment: Moment) -> Self {
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
            alarm,
        }
    }

    /// Returns what an earlier run carried; an outage that begins in the future, which a step of the clock made up,
    /// begins now.
    pub fn restore(self, moment: Moment) -> (Carried, Alarm) {
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
        (carried, self.alarm)
    }
}

/// The outage that goes on, and what was told of it.
#[derive(Debug)]
pub struct OutageLog {
    alarm: Alarm,
    /// What was kept last.
    kept: (Carried, Alarm),
}

impl OutageLog {
    /// Goes on where an earlier run of the process ended.
    pub fn new(carried: Carried, alarm: Alarm) -> Self {
        Self { alarm, kept: (carried, alarm) }
    }

    /// Returns what was told of it.
    pub fn alarm(&mut self) -> &mut Alarm {
        &mut self.alarm
    }

    /// Returns what is to be kept, if something about it has changed.
    pub fn changes(&mut self, carried: Carried, moment: Moment) -> Option<KeptOutage> {
        let now = (carried, self.alarm);
        (std::mem::replace(&mut self.kept, now) != now).then(|| KeptOutage::new(now.0, now.1, moment))
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
        let kept = serde_json::to_string(&KeptOutage::new(carried, Alarm::default(), moment)).unwrap();
        let hour = Duration::from_secs(3600);
        let later = Moment { now: moment.now + Duration::from_secs(5), wall: moment.wall + hour };
        let (restored, _) = serde_json::from_str::<KeptOutage>(&kept).unwrap().restore(later);
        assert_eq!(restored, Carried { outage_since: Some(later.now - hour), ..carried });
        let earlier = Moment { wall: moment.wall - hour, ..later };
        let (restored, _) = serde_json::from_str::<KeptOutage>(&kept).unwrap().restore(earlier);
        assert_eq!(restored.outage_since, Some(later.now), "the clock was set back");
        let (nothing, _) =
            serde_json::from_str::<KeptOutage>(r#"{"outage_since":1e300,"last_outage":-1}"#).unwrap().restore(later);
        assert_eq!(nothing, Carried::default());
    }
}
