//! The state machine itself: what goes well.

mod failure;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::random::Random;
use super::reachability::Reachability;
use super::types::{
    Carried, Due, Effect, Event, Failure, Generation, Input, Reason, Renewal, Settings, State, View, Wait,
};

/// A step reports its own time-out first; this much later it is given up without a report.
const STEP_GRACE: Duration = Duration::from_secs(5);
/// The counters go back when a session has lived so long (contract, section 3).
pub(super) const SETTLED: Duration = Duration::from_secs(60);
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

/// Which line of attempts is being walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reconnect,
    Recover,
}

/// The state machine of the connection to the cloud.
#[derive(Debug, Clone)]
pub struct Supervisor {
    settings: Settings,
    random: Random,
    reachability: Reachability,
    effects: VecDeque<Effect>,
    phase: Phase,
    stage: Stage,
    state: State,
    since: Instant,
    generation: Generation,
    /// Attempts of the first line since the last success.
    reconnects: u32,
    /// Attempts of the second line since the last success.
    recoveries: u32,
    /// The same, but no return of the network and no request sets it back.
    recovering_for: u32,
    /// Sessions in a row that ended soon after they were up.
    short_sessions: u32,
    /// Whether the cloud closed each of them.
    all_closed: bool,
    /// When the session came up.
    up_since: Option<Instant>,
    /// When the session will have lived long enough for the counters to go back.
    settles_at: Option<Instant>,
    /// When anything was heard from the cloud last.
    last_heard: Option<Instant>,
    /// The return of the network has set the counters back since the last success.
    woken: bool,
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
            stage: Stage::Reconnect,
            state: State::Starting,
            since: now,
            generation: Generation::default(),
            reconnects: 0,
            recoveries: 0,
            recovering_for: 0,
            short_sessions: 0,
            all_closed: true,
            up_since: None,
            settles_at: None,
            last_heard: None,
            woken: false,
            requested_at: None,
            renew_at: None,
            reason: None,
            refused: false,
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
            self.reset_counters();
            self.woken = false;
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
        let (attempt, max_attempts) = match (self.state, self.stage) {
            (State::Connected, _) => (0, self.settings.reconnect.max_attempts),
            (State::Recovering, _) | (State::Failed, Stage::Recover) => {
                (self.recoveries, self.settings.recovery.max_attempts)
            }
            _ => (self.reconnects, self.settings.reconnect.max_attempts),
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
            refusals: self.refusals,
        }
    }

    fn is_current(&self, generation: Generation) -> bool {
        generation == self.generation
    }
}

// The steps of one attempt.
impl Supervisor {
    fn begin_attempt(&mut self, now: Instant) {
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

    fn credentials_ready(&mut self, life: Duration, now: Instant) {
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

    fn sign_in_needed(&mut self, reason: Option<Reason>, now: Instant) {
        // A living session needs no credentials; the password is for the next attempt.
        self.renew_at = None;
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return;
        }
        // Tokens that were never there explain nothing: the last words of the cloud stay.
        self.reason = reason.or(self.reason.take());
        self.sign_in(now);
    }

    fn sign_in(&mut self, now: Instant) {
        self.phase = Phase::SigningIn { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::SignIn(self.generation));
    }

    fn sign_in_postponed(&mut self, delay: Duration, now: Instant) {
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

    fn heaters_listed(&mut self, outcome: Result<(), String>, now: Instant) {
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

    fn dial(&mut self, now: Instant) {
        self.phase = Phase::Dialling { deadline: now + self.settings.connect_timeout + STEP_GRACE };
        self.effects.push_back(Effect::Dial(self.generation));
    }

    fn link_up(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Dialling { .. }) {
            return;
        }
        self.up_since = Some(now);
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

    fn answered(&mut self, now: Instant) {
        match self.phase {
            Phase::Up { .. } => self.heard(now),
            Phase::Proving { .. } | Phase::Silent { .. } => self.connected(now),
            _ => {}
        }
    }

    fn connected(&mut self, now: Instant) {
        self.last_heard = Some(now);
        self.settles_at = Some(now + SETTLED);
        self.refusals = 0;
        let ends_at = now + SESSION_AGE - SESSION_AGE_SPREAD.mul_f64(self.random.unit());
        self.phase = Phase::Up { since: now, answer_by: None, ends_at };
        let recoveries = std::mem::take(&mut self.recovering_for);
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

    fn reset_counters(&mut self) {
        self.reconnects = 0;
        self.recoveries = 0;
        self.stage = Stage::Reconnect;
    }

    fn heaters_are_silent(&mut self) {
        self.phase = Phase::Silent { answer_by: None };
        self.reason = Some(Reason::new("heaters-silent", "the session is up, but no heater answers"));
        self.announce(Event::HeatersSilent);
        self.effects.push_back(Effect::ViewChanged);
    }

    fn request_sent(&mut self, now: Instant) {
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

    fn heard(&mut self, now: Instant) {
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

    fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Proving { .. } | Phase::Silent { .. } | Phase::Up { .. })
    }

    /// Replaces the session by a new one, as planned. It is an outage only if that does not work at once.
    fn renew_session(&mut self, reason: Reason, now: Instant) {
        self.announce(Event::SessionRenewing);
        if self.missing_since.is_none() {
            self.planned = true;
            self.missing_since = Some(now);
        }
        self.close_link();
        self.reason = Some(reason);
        self.enter(State::Reconnecting, now);
        self.begin_attempt(now);
    }

    fn step_deadline(&self, now: Instant) -> Instant {
        // A step is up to four requests in a row: refresh, session refresh, secured sign-in, a page of the list.
        now + 4 * self.settings.operation_timeout + STEP_GRACE
    }
}
