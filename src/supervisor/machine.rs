//! The state machine itself: what goes well.

mod attempt;
mod failure;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::random::Random;
use super::reachability::Reachability;
use super::short_sessions::ShortSessions;
use super::tries::{Stage, Tries};
use super::types::{Carried, Due, Effect, Failure, Generation, Input, Reason, Renewal, Settings, State, Wait};
use super::view::View;

/// A step reports its own time-out first; this much later it is given up without a report.
const STEP_GRACE: Duration = Duration::from_secs(5);
/// Fresh credentials that the cloud refused so often in a row are of no use: only the password is left.
const REFUSALS: u32 = 2;
/// An account without heaters is asked again so often.
const NO_HEATERS_WAIT: Duration = Duration::from_secs(300);
/// AWS ends every session after 24 hours; ours ends up to [`SESSION_AGE_SPREAD`] earlier than this (protocol
/// reference, section 2).
const SESSION_AGE: Duration = Duration::from_secs(23 * 3600 + 1800);
const SESSION_AGE_SPREAD: Duration = Duration::from_secs(3600);
/// Credentials that could not be renewed in a living session are tried again so much later.
const RENEWAL_RETRY: Duration = Duration::from_secs(300);
/// A request that is unanswered for so long raises the question whether the cloud can still be reached.
const SUSPICION: Duration = Duration::from_secs(5);
/// With nothing to wait for, the machine is looked at so often.
const IDLE: Duration = Duration::from_secs(3600);

/// Where the attempt in flight, or the session, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Before `Start`.
    Idle,
    /// Between attempts.
    Waiting {
        until: Instant,
        why: Wait,
    },
    Authenticating {
        deadline: Instant,
    },
    SigningIn {
        deadline: Instant,
    },
    Listing {
        deadline: Instant,
    },
    Dialling {
        deadline: Instant,
    },
    /// Subscribed; no heater has answered yet.
    Proving {
        deadline: Instant,
        heard: bool,
    },
    /// Subscribed, and the session carries messages, but no heater answers. `answer_by` is set while nothing at all has
    /// come since a request.
    Silent {
        answer_by: Option<Instant>,
    },
    /// A heater has answered. `answer_by` is set while a request is unanswered.
    Up {
        since: Instant,
        answer_by: Option<Instant>,
        ends_at: Instant,
    },
    /// Failed, and held for a human.
    Held,
    /// Nothing more happens.
    Ended,
}

/// The state machine of the connection to the cloud.
#[derive(Debug, Clone)]
pub struct Supervisor {
    settings: Settings,
    random: Random,
    reachability: Reachability,
    effects: VecDeque<Effect>,
    phase: Phase,
    tries: Tries,
    short_sessions: ShortSessions,
    state: State,
    since: Instant,
    generation: Generation,
    /// When the session will have lived long enough for the counters to go back.
    settles_at: Option<Instant>,
    /// When anything was heard from the cloud last.
    last_heard: Option<Instant>,
    /// The end of the pause after the last failure, which the network's return keeps.
    pause_until: Option<Instant>,
    /// The end of the pause that the cloud asked for, which a request to reconnect keeps as well.
    retry_after_until: Option<Instant>,
    /// When somebody asked for a reconnect last.
    requested_at: Option<Instant>,
    /// When the credentials are to be renewed, though the session lives.
    renew_at: Option<Instant>,
    reason: Option<Reason>,
    /// The cloud refused the credentials that we hold.
    refused: bool,
    /// The credentials of this attempt were renewed for it.
    fresh: bool,
    /// How often in a row the cloud refused fresh credentials.
    refusals: u32,
    /// When the password may be used because of that; `None` when nothing is known against it.
    sign_in_allowed: Option<Instant>,
    /// The strategy asks for fresh tokens before the next dial.
    renew_all: bool,
    heaters_listed: bool,
    periodic: bool,
    /// Since when a session is missing that had been there.
    missing_since: Option<Instant>,
    /// That was so planned, and is no outage yet.
    planned: bool,
    outages: u64,
    last_outage: Option<Duration>,
}

impl Supervisor {
    /// Makes a machine that waits for [`Input::Start`]; `carried` comes from an earlier run of the process.
    pub fn new(settings: Settings, carried: Carried, seed: u64, now: Instant) -> Self {
        Self {
            settings,
            random: Random::new(seed),
            reachability: Reachability::new(settings.probe_interval),
            effects: VecDeque::new(),
            phase: Phase::Idle,
            tries: Tries::default(),
            short_sessions: ShortSessions::default(),
            state: State::Starting,
            since: now,
            generation: Generation::default(),
            settles_at: None,
            last_heard: None,
            pause_until: None,
            retry_after_until: None,
            requested_at: None,
            renew_at: None,
            reason: None,
            refused: carried.refused,
            fresh: false,
            refusals: carried.refusals,
            sign_in_allowed: None,
            renew_all: false,
            heaters_listed: false,
            periodic: false,
            missing_since: carried.outage_since,
            planned: false,
            outages: carried.outages,
            last_outage: carried.last_outage,
        }
    }

    /// Takes note of what happened.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        if self.phase == Phase::Ended {
            return;
        }
        match input {
            Input::Start if self.phase == Phase::Idle => self.begin_attempt(now),
            Input::Start => {}
            Input::ReconnectRequested(reason) => self.reconnect_now(reason, now),
            Input::Stop => self.stop(now),
            Input::CredentialsReady(g, life) if self.is_current(g) => self.credentials_ready(life, now),
            Input::SignInNeeded(g, reason) if self.is_current(g) => self.sign_in_needed(reason, now),
            Input::SignInPostponed(g, delay) if self.is_current(g) => self.sign_in_postponed(delay, now),
            Input::HeatersListed(g, outcome) if self.is_current(g) => self.heaters_listed(outcome, now),
            Input::RenewSession(reason) if self.is_up() => self.renew_session(reason, now),
            Input::StepFailed(g, failure) if self.is_current(g) || failure.decision.is_final() => {
                self.step_failed(failure, now);
            }
            Input::LinkUp(g) if self.is_current(g) => self.link_up(now),
            Input::LinkDown(g, failure) if self.is_current(g) => self.link_down(failure, now),
            Input::RequestSent(g) if self.is_current(g) => self.request_sent(now),
            Input::Heard(g) if self.is_current(g) => self.heard(now),
            Input::Answered(g) if self.is_current(g) => self.answered(now),
            Input::NetworkChanged => self.network_changed(now),
            Input::Probed(probe, reached) => self.probed(probe, reached, now),
            _ => {}
        }
    }

    /// Lets pass what is due; too early, it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.settles_at.take_if(|at| now >= *at).is_some() {
            self.tries.settled();
        }
        if now >= self.phase_due(now).at {
            self.phase_is_over(now);
        }
        if let Some(probe) = self.reachability.handle_timeout(now, &mut self.random) {
            self.effects.push_back(Effect::Probe(probe));
        }
    }

    fn phase_is_over(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle | Phase::Held | Phase::Ended => {}
            Phase::Waiting { .. } => self.wait_is_over(now),
            Phase::Authenticating { .. } => self.failed_silently("sign-in", now),
            Phase::SigningIn { .. } => self.failed_silently("sign-in", now),
            Phase::Listing { .. } => self.failed_silently("device-list", now),
            Phase::Dialling { .. } => self.failed_silently("connect", now),
            Phase::Proving { heard: true, .. } => self.heaters_are_silent(),
            Phase::Proving { heard: false, .. } => {
                self.attempt_failed(Failure::transient("no-answer", "connected, but nothing at all arrives"), now);
            }
            Phase::Silent { answer_by } => {
                if answer_by.is_some() {
                    self.attempt_failed(Failure::transient("no-answer", "nothing at all arrives any more"), now);
                }
            }
            Phase::Up { answer_by: Some(at), .. } if now >= at => {
                self.interrupted(Failure::transient("no-answer", "a request was not answered in time"), now);
            }
            Phase::Up { ends_at, .. } if now >= ends_at => {
                self.renew_session(Reason::new("session-age", "renewed before the cloud ends it after 24 hours"), now);
            }
            Phase::Up { .. } => {
                self.renew_at = Some(now + RENEWAL_RETRY);
                self.effects.push_back(Effect::EnsureCredentials(self.generation, Renewal::IfExpiring));
            }
        }
    }

    /// Returns the next thing to do; drain it after every call of the other two.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when, and why, [`Supervisor::handle_timeout`] is wanted.
    pub fn poll_timeout(&self, now: Instant) -> Due {
        let due = self.phase_due(now);
        match self.reachability.due() {
            Some(at) if at < due.at => Due { at, why: Wait::Probe },
            _ => due,
        }
    }

    fn phase_due(&self, now: Instant) -> Due {
        let (at, why) = match self.phase {
            Phase::Idle | Phase::Ended => (now + IDLE, Wait::Nothing),
            Phase::Held => (now + IDLE, Wait::Human),
            Phase::Waiting { until, why } => (until, why),
            Phase::Authenticating { deadline }
            | Phase::SigningIn { deadline }
            | Phase::Listing { deadline }
            | Phase::Dialling { deadline } => (deadline, Wait::Step),
            Phase::Proving { deadline, .. } => (deadline, Wait::FirstAnswer),
            Phase::Silent { answer_by } => (answer_by.unwrap_or(now + IDLE), Wait::FirstAnswer),
            Phase::Up { answer_by, ends_at, .. } => {
                let answer = answer_by.map(|at| (at, Wait::Answer));
                let renewal = self.renew_at.map(|at| (at, Wait::Renewal));
                let settled = self.settles_at.map(|at| (at, Wait::Settled));
                [answer, renewal, settled]
                    .into_iter()
                    .flatten()
                    .fold((ends_at, Wait::SessionAge), |first, other| if other.0 < first.0 { other } else { first })
            }
        };
        Due { at, why }
    }

    /// Returns what the world may see.
    pub fn view(&self) -> View {
        let (attempt, max_attempts) = match (self.state, self.tries.stage) {
            (State::Connected, _) => (0, self.settings.reconnect.max_attempts),
            (State::Recovering, _) | (State::Failed, Stage::Recover) => {
                (self.tries.recoveries, self.settings.recovery.max_attempts)
            }
            _ => (self.tries.reconnects, self.settings.reconnect.max_attempts),
        };
        View {
            state: self.state,
            since: self.since,
            held: self.phase == Phase::Held,
            attempt,
            max_attempts,
            next_attempt_at: match self.phase {
                Phase::Waiting { until, .. } => Some(until),
                _ => None,
            },
            reason: self.reason.clone(),
            strategy: self.settings.strategy,
            outages: self.outages,
            last_outage: self.last_outage,
        }
    }

    /// Returns the session that counts; what belongs to another is to be ignored.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns whether this session is still wanted, but not up yet.
    pub fn is_dialling(&self, generation: Generation) -> bool {
        self.is_current(generation) && matches!(self.phase, Phase::Dialling { .. })
    }

    /// Returns what is to be carried over a restart of the process.
    pub fn carried(&self) -> Carried {
        Carried {
            outages: self.outages,
            last_outage: self.last_outage,
            outage_since: self.missing_since.filter(|_| !self.planned),
            refused: self.refused,
            refusals: self.refusals,
        }
    }

    fn is_current(&self, generation: Generation) -> bool {
        generation == self.generation
    }
}
