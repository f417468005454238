//! One heater: what is known of it, and how fresh that is.

use std::time::{Duration, Instant};

use super::energy::Energy;
use super::polling::Schedule;
use crate::navilink::account::Heater;
use crate::units::UnitSystem;

/// How long the last word of a heater counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Freshness {
    heard_at: Option<Instant>,
}

impl Freshness {
    /// Takes note of a word from the heater.
    pub fn renew(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// Lets it run out at once.
    pub fn expire(&mut self) {
        self.heard_at = None;
    }

    /// Returns when it runs out; `None` when it has, or never began.
    pub fn runs_out_at(&self, stale_after: Duration) -> Option<Instant> {
        self.heard_at.map(|at| at + stale_after)
    }
}

/// What the bridge holds of one heater.
#[derive(Debug)]
pub struct Held {
    /// What the account says of it.
    pub heater: Heater,
    /// How long its last word counts.
    pub freshness: Freshness,
    /// When it is asked for what; there is none without a session.
    pub schedule: Option<Schedule>,
    /// The units of its values, as its status said last.
    pub units: UnitSystem,
    /// `controllerSerialNumber`, which the time-of-use query needs.
    pub controller_serial: Option<String>,
    /// `recirculationUse`; a heater without it does not answer questions about it.
    pub recirculation: bool,
    /// The newest answers about energy.
    pub energy: Energy,
}

impl Held {
    /// Begins with nothing known but the account's entry.
    pub fn new(heater: Heater, units: UnitSystem) -> Self {
        Self {
            heater,
            freshness: Freshness::default(),
            schedule: None,
            units,
            controller_serial: None,
            recirculation: false,
            energy: Energy::default(),
        }
    }
}
