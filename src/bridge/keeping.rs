//! The counters of all heaters, kept over restarts of the process.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::meter::Meters;
use super::{Bridge, Effect};
use crate::units::Mac;

/// The counters of all heaters, as they are kept over restarts of the process.
pub type MetersByHeater = BTreeMap<Mac, Meters>;

/// When counters that have changed are kept.
#[derive(Debug, Default)]
pub struct Keeping {
    kept: MetersByHeater,
    kept_at: Option<Instant>,
    due: Option<Instant>,
}

/// Counters that have changed are kept so soon.
const KEEP_AFTER: Duration = Duration::from_secs(5);
/// But no more often than this, for the sake of flash memory.
const KEEP_INTERVAL: Duration = Duration::from_secs(600);

impl Keeping {
    /// Returns when the counters are to be kept.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Bridge {
    /// Takes up the counters that an earlier run kept.
    pub fn restore_meters(&mut self, kept: MetersByHeater) {
        for (mac, meters) in &kept {
            if let Some(held) = self.heaters.get_mut(mac) {
                held.meters = meters.clone();
            }
        }
        self.keeping.kept = kept;
    }

    /// Returns the counters of all heaters.
    pub fn meters(&self) -> MetersByHeater {
        self.heaters.iter().map(|(mac, held)| (mac.clone(), held.meters.clone())).collect()
    }

    /// Lets the counters be kept soon, if they have changed.
    pub(super) fn plan_keeping(&mut self, now: Instant) {
        let none = Meters::default();
        let kept = |mac| self.keeping.kept.get(mac).unwrap_or(&none);
        if self.heaters.iter().any(|(mac, held)| held.meters.differs(kept(mac))) {
            let allowed = self.keeping.kept_at.map_or(now, |at| at + KEEP_INTERVAL);
            self.keeping.due.get_or_insert(allowed.max(now + KEEP_AFTER));
        }
    }

    /// Lets the counters be kept when that is due.
    pub(super) fn keep_meters(&mut self, now: Instant) {
        if self.keeping.due.take_if(|due| *due <= now).is_some() {
            self.keeping.kept_at = Some(now);
            self.keeping.kept = self.meters();
            self.effects.push_back(Effect::KeepMeters);
        }
    }
}
