//! How far the attempt in flight, or the session, is.

use std::time::{Duration, Instant};

use super::types::{Due, Wait};

/// The poll interval while there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// The phase of the attempt in flight, or of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before `Start`.
    Idle,
    /// Between attempts.
    Waiting {
        /// When the next attempt begins.
        until: Instant,
        /// What the wait is for.
        why: Wait,
    },
    /// Getting credentials without the password.
    Authenticating {
        /// When the step is given up.
        deadline: Instant,
    },
    /// Signing in with the password.
    SigningIn {
        /// When the step is given up.
        deadline: Instant,
    },
    /// Asking for the account's heaters.
    Listing {
        /// When the step is given up.
        deadline: Instant,
    },
    /// Opening the session.
    Dialling {
        /// When the step is given up.
        deadline: Instant,
    },
    /// Subscribed; no heater has answered yet.
    Proving {
        /// Until when a heater is waited for.
        deadline: Instant,
        /// Whether anything has arrived.
        heard: bool,
        /// What is due in it.
        session: SessionTimers,
    },
    /// Subscribed, and the session carries messages, but no heater answers.
    Silent(SessionTimers),
    /// A heater has answered.
    Up(SessionTimers),
    /// Given up, until somebody asks for another attempt.
    Held,
    /// Given up; the process ends.
    GivenUp,
    /// Stopped on request.
    Stopped,
}

/// What is due in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimers {
    /// Set while nothing at all has come since a request.
    pub answer_by: Option<Instant>,
    /// When the session will have lived long enough for the counters to go back; `None` once it has.
    pub settles_at: Option<Instant>,
    /// When the session is replaced by another one.
    pub ends_at: Instant,
}

impl SessionTimers {
    /// Returns what is due first; `renew_at` is when the credentials expire.
    fn due(&self, renew_at: Option<Instant>) -> (Instant, Wait) {
        let answer = self.answer_by.map(|at| (at, Wait::Answer));
        let renewal = renew_at.map(|at| (at, Wait::Renewal));
        let settled = self.settles_at.map(|at| (at, Wait::Settled));
        [answer, renewal, settled]
            .into_iter()
            .flatten()
            .fold((self.ends_at, Wait::SessionAge), |first, other| if other.0 < first.0 { other } else { first })
    }
}

impl Phase {
    /// Returns whether the session is subscribed.
    pub fn is_up(&self) -> bool {
        self.session().is_some()
    }

    /// Returns whether there is a connection to close.
    pub fn has_link(&self) -> bool {
        self.is_up() || matches!(self, Phase::Dialling { .. })
    }

    /// Returns whether nothing more happens.
    pub fn is_over(&self) -> bool {
        matches!(self, Phase::GivenUp | Phase::Stopped)
    }

    /// Returns when the next attempt begins, if one is waited for.
    pub fn waits_until(&self) -> Option<Instant> {
        if let Phase::Waiting { until, .. } = self { Some(*until) } else { None }
    }

    /// Returns the session, if one is subscribed.
    pub fn session(&self) -> Option<SessionTimers> {
        match *self {
            Phase::Proving { session, .. } | Phase::Silent(session) | Phase::Up(session) => Some(session),
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Authenticating { .. }
            | Phase::SigningIn { .. }
            | Phase::Listing { .. }
            | Phase::Dialling { .. }
            | Phase::Held
            | Phase::GivenUp
            | Phase::Stopped => None,
        }
    }

    /// Records that something arrived on the session.
    pub fn heard(&mut self) {
        if let Phase::Proving { heard, .. } = self {
            *heard = true;
        }
        if let Phase::Silent(session) | Phase::Up(session) = self {
            session.answer_by = None;
        }
    }

    /// Records that a request left, to be answered until `by`; returns whether it is the only one without an answer.
    pub fn request_sent(&mut self, by: Instant) -> bool {
        let (Phase::Silent(session) | Phase::Up(session)) = self else { return false };
        if session.answer_by.is_some() {
            return false;
        }
        session.answer_by = Some(by);
        true
    }

    /// Returns whether the session has lived long enough for the counters to go back; true only once.
    pub fn take_settled(&mut self, now: Instant) -> bool {
        let (Phase::Silent(session) | Phase::Up(session)) = self else { return false };
        session.settles_at.take_if(|at| now >= *at).is_some()
    }

    /// Returns when the phase ends by itself, or what is due in it; `renew_at` is when the credentials expire.
    pub fn due(&self, renew_at: Option<Instant>, now: Instant) -> Due {
        let (at, why) = match *self {
            Phase::Idle | Phase::GivenUp | Phase::Stopped => (now + IDLE, Wait::Nothing),
            Phase::Held => (now + IDLE, Wait::Human),
            Phase::Waiting { until, why } => (until, why),
            Phase::Authenticating { deadline }
            | Phase::SigningIn { deadline }
            | Phase::Listing { deadline }
            | Phase::Dialling { deadline } => (deadline, Wait::Step),
            Phase::Proving { deadline, .. } => (deadline, Wait::FirstAnswer),
            Phase::Silent(session) | Phase::Up(session) => session.due(renew_at),
        };
        Due { at, why }
    }
}
