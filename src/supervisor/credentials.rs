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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::start;

    /// An attempt gets credentials, and the cloud refuses them.
    fn refused(credentials: &mut Credentials) -> (bool, u32) {
        credentials.begin_attempt();
        credentials.obtained(false);
        credentials.refused();
        credentials.refusals()
    }

    #[test]
    fn only_fresh_credentials_count_and_acceptance_sets_the_count_back() {
        let now = start();
        let mut credentials = Credentials::new(false, 0);
        assert_eq!(refused(&mut credentials), (true, 0), "they were not renewed for the attempt");
        assert_eq!(refused(&mut credentials), (true, 1));
        credentials.accepted();
        assert_eq!(refused(&mut credentials), (true, 1));
        assert!(!credentials.call_for_password(now));
        assert_eq!(refused(&mut credentials), (true, 2));
        assert!(credentials.call_for_password(now));
    }

    #[test]
    fn a_password_that_is_not_allowed_yet_is_called_for_when_it_is() {
        let now = start();
        let mut credentials = Credentials::new(true, 2);
        assert!(credentials.call_for_password(now));
        assert_eq!(credentials.sign_in_postponed(Duration::from_secs(60), now), Some(Renewal::Refused));
        assert!(!credentials.call_for_password(now + Duration::from_secs(59)));
        assert!(credentials.call_for_password(now + Duration::from_secs(60)));
    }

    #[test]
    fn without_refused_tokens_there_is_nothing_to_do_until_the_password_is_allowed() {
        let mut credentials = Credentials::new(true, 1);
        assert_eq!(credentials.sign_in_postponed(Duration::from_secs(60), start()), None);
    }

    #[test]
    fn everything_is_renewed_although_the_cloud_refuses_part_of_it() {
        let mut credentials = Credentials::new(false, 0);
        credentials.renew_all();
        credentials.refused();
        assert_eq!(credentials.begin_attempt(), Renewal::All);
        credentials.obtained(false);
        assert_eq!(credentials.begin_attempt(), Renewal::IfExpiring);
    }

    #[test]
    fn a_renewal_in_a_living_session_is_repeated_after_five_minutes_until_it_brings_something() {
        let now = start();
        let mut credentials = Credentials::new(false, 0);
        credentials.live_for(Duration::from_secs(3300), now);
        assert_eq!(credentials.renew_at(), Some(now + Duration::from_secs(3300)));
        credentials.renewing(now);
        assert_eq!(credentials.renew_at(), Some(now + Duration::from_secs(300)));
        credentials.not_renewable();
        assert_eq!(credentials.renew_at(), None);
    }
}
