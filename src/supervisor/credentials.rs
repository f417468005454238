//! Which credentials an attempt asks for, and when only the password is left.

use std::time::{Duration, Instant};

use super::types::Renewal;

/// Fresh credentials that the cloud refused so often in a row are of no use: only the password is left.
const REFUSALS: u32 = 2;
/// Credentials that could not be renewed in a living session are tried again so much later.
const RETRY_DELAY: Duration = Duration::from_secs(300);

/// What is known of the credentials at hand.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// What the next attempt renews.
    renewal: Renewal,
    /// Whether those of this attempt were renewed for it.
    fresh: bool,
    /// How often in a row the cloud refused fresh ones.
    refusals: u32,
    /// When the password may be used because of that; `None` when nothing is known against it.
    sign_in_allowed: Option<Instant>,
    /// When they are to be renewed, though the session lives.
    renew_at: Option<Instant>,
}

impl Credentials {
    /// Begins with what an earlier run of the process knew.
    pub fn new(refused: bool, refusals: u32) -> Self {
        let renewal = if refused { Renewal::Refused } else { Renewal::IfExpiring };
        Self { renewal, fresh: false, refusals, sign_in_allowed: None, renew_at: None }
    }

    /// Begins an attempt; returns what it renews.
    pub fn begin_attempt(&mut self) -> Renewal {
        self.fresh = self.renewal != Renewal::IfExpiring;
        self.renewal
    }

    /// Returns whether an attempt needs the password, and may use it.
    pub fn call_for_password(&self, now: Instant) -> bool {
        self.are_useless() && self.sign_in_allowed.is_none_or(|at| now >= at)
    }

    /// Records that the credentials will do for `life`.
    pub fn live_for(&mut self, life: Duration, now: Instant) {
        self.renew_at = Some(now + life);
    }

    /// Records that the attempt has its credentials, from the password or without it.
    pub fn obtained(&mut self, by_password: bool) {
        self.renewal = Renewal::IfExpiring;
        if by_password {
            self.fresh = true;
            self.refusals = 0;
        }
    }

    /// Makes the next attempt renew everything.
    pub fn renew_all(&mut self) {
        self.renewal = Renewal::All;
    }

    /// Records that the cloud refused them.
    pub fn refused(&mut self) {
        self.renewal = self.renewal.max(Renewal::Refused);
        self.refusals = self.refusals.saturating_add(u32::from(self.fresh));
    }

    /// Records that the cloud took them.
    pub fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// Records that the password may be used only after `delay`. Returns what to renew until then if there are
    /// credentials that the cloud may accept after all.
    pub fn sign_in_postponed(&mut self, delay: Duration, now: Instant) -> Option<Renewal> {
        if !self.are_useless() {
            return None;
        }
        self.sign_in_allowed = Some(now + delay);
        self.fresh = true;
        Some(Renewal::Refused)
    }

    /// Returns when they are to be renewed in a living session.
    pub fn renew_at(&self) -> Option<Instant> {
        self.renew_at
    }

    /// Records that a renewal in a living session begins, and is to be repeated if it brings nothing.
    pub fn renewing(&mut self, now: Instant) {
        self.renew_at = Some(now + RETRY_DELAY);
    }

    /// Records that nothing but the password renews them.
    pub fn not_renewable(&mut self) {
        self.renew_at = None;
    }

    /// Returns whether the cloud refused them, and how often in a row fresh ones.
    pub fn refusals(&self) -> (bool, u32) {
        (self.renewal == Renewal::Refused, self.refusals)
    }

    fn are_useless(&self) -> bool {
        self.refusals >= REFUSALS
    }
}
