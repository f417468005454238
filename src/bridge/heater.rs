//! One heater: what is known of it, and how fresh that is.

use std::time::{Duration, Instant};

use super::commands::Commands;
use super::energy::Energy;
use super::events::Watch;
use super::listing::Missing;
use super::meter::Meters;
use super::polling::Schedule;
use super::tally::Tally;
use crate::navilink::capabilities::Capabilities;
use crate::navilink::devices::Heater;
use crate::navilink::encoding::Object;
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

    /// Lets it run out at `at`, if it would later.
    pub fn run_out_by(&mut self, at: Instant, stale_after: Duration) {
        self.heard_at = self.heard_at.and_then(|heard_at| Some(heard_at.min(at.checked_sub(stale_after)?)));
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

/// Between two fetches of one thing: the REST API is not to be asked more often (protocol reference, section 1).
const FETCHES_APART: Duration = Duration::from_secs(60);

/// When something was fetched from the REST API, and when it is to be fetched again.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fetches {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Fetches {
    /// Wishes for a fetch, as soon as it is allowed; wishes until then are one.
    pub fn wish(&mut self, now: Instant) {
        let allowed = self.last.map_or(now, |last| now.max(last + FETCHES_APART));
        self.due = Some(self.due.map_or(allowed, |due| due.min(allowed)));
    }

    /// Takes note that it was fetched at `now`; it is due again after `interval`.
    pub fn taken(&mut self, now: Instant, interval: Duration) {
        *self = Self { last: Some(now), due: Some(now + interval) };
    }

    /// Returns when the fetch that is wished for is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Returns whether a fetch is due at `now`, which fulfils the wish.
    pub fn take_due(&mut self, now: Instant) -> bool {
        let due = self.due.take_if(|due| *due <= now).is_some();
        if due {
            self.last = Some(now);
        }
        due
    }

    /// Drops the wish.
    pub fn forget(&mut self) {
        self.due = None;
    }
}

/// What the bridge holds of one heater.
#[derive(Debug)]
pub struct Held {
    /// What the account says of it.
    pub heater: Heater,
    /// How long its last word counts.
    pub freshness: Freshness,
    /// For how long the account's device list has left it out.
    pub missing: Missing,
    /// When it is asked for what; there is none without a session.
    pub schedule: Option<Schedule>,
    /// The units of its values, as its status said last.
    pub units: UnitSystem,
    /// The fetches of its time-of-use schedule.
    pub tou: Fetches,
    /// What is known of its doings.
    pub watch: Watch,
    /// Fields that no table knows.
    pub unknown_fields: Tally,
    /// Fields that were malformed, or numbers without a name.
    pub odd_values: Tally,
    /// The newest answers about energy.
    pub energy: Energy,
    /// The counters, as they are shown.
    pub meters: Meters,
    /// Its device information, as it was told last and decoded.
    pub info: Option<Object>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// The status as the heater sent it last.
    pub status: Option<Object>,
    /// Its commands.
    pub commands: Commands,
    /// The newest answer about reservations, which is shown again when the units turn out to be others.
    pub reservations: Option<Object>,
    /// The mode to which it returns after a vacation.
    pub mode_before_vacation: Option<String>,
}

impl Held {
    /// Begins with nothing known but the account's entry.
    pub fn new(heater: Heater, units: UnitSystem) -> Self {
        Self {
            heater,
            freshness: Freshness::default(),
            missing: Missing::default(),
            schedule: None,
            units,
            tou: Fetches::default(),
            watch: Watch::default(),
            unknown_fields: Tally::default(),
            odd_values: Tally::default(),
            energy: Energy::default(),
            meters: Meters::default(),
            info: None,
            capabilities: Capabilities::default(),
            status: None,
            commands: Commands::default(),
            reservations: None,
            mode_before_vacation: None,
        }
    }

    /// Returns whether it can be asked for its recirculation schedule.
    pub fn recirculates(&self) -> bool {
        ["recirculationUse", "recircReservationUse"].iter().any(|flag| self.capabilities.fitted(flag) == Some(true))
    }
}
