//! The steps of one attempt, and what goes well.

use std::time::{Duration, Instant};

use super::{NO_HEATERS_WAIT, Phase, REFUSALS, SESSION_AGE, SESSION_AGE_SPREAD, STEP_GRACE, SUSPICION, Supervisor};
use crate::supervisor::short_sessions::SETTLED;
use crate::supervisor::types::{Effect, Event, Reason, Renewal, State, Wait};

impl Supervisor {
    pub(super) fn begin_attempt(&mut self, now: Instant) {
        self.reachability.rest();
        self.generation.0 += 1;
        let renewal = match (self.renew_all, self.refused) {
            (true, _) => Renewal::All,
            (false, true) => Renewal::Refused,
            (false, false) => Renewal::IfExpiring,
        };
        if renewal == Renewal::All {
            self.announce(Event::RefreshingTokens);
        }
        self.fresh = renewal != Renewal::IfExpiring;
        if self.refusals >= REFUSALS && self.sign_in_allowed.is_none_or(|at| now >= at) {
            self.sign_in(now);
            self.effects.push_back(Effect::ViewChanged);
            return;
        }
        self.phase = Phase::Authenticating { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::EnsureCredentials(self.generation, renewal));
        self.effects.push_back(Effect::ViewChanged);
    }

    pub(super) fn credentials_ready(&mut self, life: Duration, now: Instant) {
        self.renew_at = Some(now + life);
        if !matches!(self.phase, Phase::Authenticating { .. } | Phase::SigningIn { .. }) {
            return;
        }
        if matches!(self.phase, Phase::SigningIn { .. }) {
            self.fresh = true;
            self.refusals = 0;
        }
        self.refused = false;
        self.renew_all = false;
        if self.heaters_listed {
            self.dial(now);
        } else {
            self.phase = Phase::Listing { deadline: self.step_deadline(now) };
            self.effects.push_back(Effect::ListHeaters(self.generation));
        }
    }

    pub(super) fn sign_in_needed(&mut self, reason: Option<Reason>, now: Instant) {
        // A living session needs no credentials; the password is for the next attempt.
        self.renew_at = None;
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return;
        }
        // Tokens that were never there explain nothing: the last words of the cloud stay.
        self.reason = reason.or(self.reason.take());
        self.sign_in(now);
    }

    pub(super) fn sign_in(&mut self, now: Instant) {
        self.phase = Phase::SigningIn { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::SignIn(self.generation));
    }

    pub(super) fn sign_in_postponed(&mut self, delay: Duration, now: Instant) {
        if !matches!(self.phase, Phase::SigningIn { .. }) {
            return;
        }
        if self.refusals >= REFUSALS {
            // There are tokens, and the cloud may think better of them before the password may be used.
            self.sign_in_allowed = Some(now + delay);
            self.phase = Phase::Authenticating { deadline: self.step_deadline(now) };
            self.fresh = true;
            self.effects.push_back(Effect::EnsureCredentials(self.generation, Renewal::Refused));
            return;
        }
        self.reason.get_or_insert(Reason::new("sign-in", "the next sign-in is not allowed yet"));
        self.announce(Event::SignInPostponed { delay });
        self.wait(now + delay, Wait::SignInBudget);
    }

    pub(super) fn heaters_listed(&mut self, outcome: Result<(), String>, now: Instant) {
        if !matches!(self.phase, Phase::Listing { .. }) {
            return;
        }
        if let Err(detail) = outcome {
            self.reason = Some(Reason::new("no-heaters", detail));
            self.wait(now + NO_HEATERS_WAIT, Wait::NoHeaters);
            return;
        }
        self.heaters_listed = true;
        self.dial(now);
    }

    pub(super) fn dial(&mut self, now: Instant) {
        self.phase = Phase::Dialling { deadline: now + self.settings.connect_timeout + STEP_GRACE };
        self.effects.push_back(Effect::Dial(self.generation));
    }

    pub(super) fn link_up(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Dialling { .. }) {
            return;
        }
        self.short_sessions.up(now);
        self.last_heard = Some(now);
        self.phase = Phase::Proving { deadline: now + self.settings.operation_timeout, heard: false };
        if self.missing_since.is_some() {
            self.announce(Event::SubscriptionsRestored);
        }
        if !self.periodic {
            self.periodic = true;
            self.effects.push_back(Effect::StartPeriodicRequests);
        }
        self.effects.push_back(Effect::BeginSession(self.generation));
    }

    pub(super) fn answered(&mut self, now: Instant) {
        match self.phase {
            Phase::Up { .. } => self.heard(now),
            Phase::Proving { .. } | Phase::Silent { .. } => self.connected(now),
            _ => {}
        }
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.last_heard = Some(now);
        self.settles_at = Some(now + SETTLED);
        self.refusals = 0;
        let ends_at = now + SESSION_AGE - SESSION_AGE_SPREAD.mul_f64(self.random.unit());
        self.phase = Phase::Up { since: now, answer_by: None, ends_at };
        let recoveries = self.tries.succeeded();
        self.reason = None;
        let planned = std::mem::take(&mut self.planned);
        let missing = self.missing_since.take().map(|at| now.saturating_duration_since(at));
        let outage = missing.filter(|_| !planned);
        if outage.is_some() {
            self.last_outage = outage;
        }
        self.enter(State::Connected, now);
        if recoveries > 0 {
            self.announce(Event::Recovered { attempts: recoveries });
        }
        self.announce(Event::Connected { outage });
    }

    pub(super) fn heaters_are_silent(&mut self) {
        self.phase = Phase::Silent { answer_by: None };
        self.reason = Some(Reason::new("heaters-silent", "the session is up, but no heater answers"));
        self.announce(Event::HeatersSilent);
        self.effects.push_back(Effect::ViewChanged);
    }

    pub(super) fn request_sent(&mut self, now: Instant) {
        let by = now + self.settings.operation_timeout;
        match &mut self.phase {
            Phase::Silent { answer_by: answer_by @ None } => *answer_by = Some(by),
            Phase::Up { answer_by: answer_by @ None, .. } => {
                *answer_by = Some(by);
                self.reachability.watch(now + SUSPICION);
            }
            _ => {}
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        if self.is_up() {
            self.last_heard = Some(now);
        }
        match &mut self.phase {
            Phase::Proving { heard, .. } => *heard = true,
            Phase::Silent { answer_by } => *answer_by = None,
            Phase::Up { answer_by, .. } => {
                *answer_by = None;
                self.reachability.rest();
            }
            _ => {}
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Proving { .. } | Phase::Silent { .. } | Phase::Up { .. })
    }

    /// Replaces the session by a new one, as planned. It is an outage only if that does not work at once.
    pub(super) fn renew_session(&mut self, reason: Reason, now: Instant) {
        self.announce(Event::SessionRenewing);
        if self.missing_since.is_none() {
            self.planned = true;
            self.missing_since = Some(now);
        }
        self.close_link();
        self.reason = Some(reason);
        if self.state != State::Starting {
            self.enter(State::Reconnecting, now);
        }
        self.begin_attempt(now);
    }

    pub(super) fn step_deadline(&self, now: Instant) -> Instant {
        // A step is up to four requests in a row: refresh, session refresh, secured sign-in, a page of the list.
        now + 4 * self.settings.operation_timeout + STEP_GRACE
    }
}
