//! The state machine itself: the steps of an attempt, and what goes well.

mod failure;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::credentials::Credentials;
use super::outages::Outages;
use super::pauses::Pauses;
use super::phase::{Phase, SessionTimers};
use super::policy::Policy;
use super::random::Random;
use super::reachability::Reachability;
use super::short_sessions::{SETTLED, ShortSessions};
use super::tries::{Stage, Tries};
use super::types::{Carried, Due, Effect, Event, Failure, Generation, Input, Reason, Renewal, State, Wait};
use super::view::View;

/// A step reports its own time-out first; this much later it is given up without a report.
const STEP_GRACE: Duration = Duration::from_secs(5);
/// The retry interval for an account without heaters.
const NO_HEATERS_WAIT: Duration = Duration::from_secs(300);
/// AWS ends every session after 24 hours; ours ends up to [`SESSION_AGE_SPREAD`] earlier than this (protocol
/// reference, section 2).
const SESSION_AGE: Duration = Duration::from_secs(23 * 3600 + 1800);
const SESSION_AGE_SPREAD: Duration = Duration::from_secs(3600);
/// A request that is unanswered for so long raises the question whether the cloud can still be reached.
const SUSPICION: Duration = Duration::from_secs(5);

/// The state machine of the connection to the cloud.
#[derive(Debug, Clone)]
pub struct Supervisor {
    policy: Policy,
    random: Random,
    reachability: Reachability,
    effects: VecDeque<Effect>,
    phase: Phase,
    tries: Tries,
    short_sessions: ShortSessions,
    credentials: Credentials,
    outages: Outages,
    pauses: Pauses,
    generation: Generation,
    /// When the state was entered.
    since: Instant,
    /// When anything was heard from the cloud last.
    last_heard: Option<Instant>,
    reason: Option<Reason>,
    heaters_listed: bool,
    periodic: bool,
}

impl Supervisor {
    /// Makes a machine that waits for [`Input::Start`]; `carried` comes from an earlier run of the process.
    pub fn new(policy: Policy, carried: Carried, seed: u64, now: Instant) -> Self {
        Self {
            policy,
            random: Random::new(seed),
            reachability: Reachability::new(policy.probe_interval),
            effects: VecDeque::new(),
            phase: Phase::Idle,
            tries: Tries::default(),
            short_sessions: ShortSessions::default(),
            credentials: Credentials::new(carried.refused, carried.refusals),
            outages: Outages::new(&carried),
            pauses: Pauses::default(),
            generation: Generation::default(),
            since: now,
            last_heard: None,
            reason: None,
            heaters_listed: false,
            periodic: false,
        }
    }

    /// Handles what happened. What belongs to another session is ignored, but for a rejected password.
    pub fn handle_input(&mut self, input: Input, now: Instant) {
        let is_stale = input.generation().is_some_and(|generation| generation != self.generation);
        let is_final = matches!(&input, Input::StepFailed(_, failure) if failure.decision.is_final());
        if self.phase.is_over() || (is_stale && !is_final) {
            return;
        }
        let before = self.state();
        match input {
            Input::Start => self.start(now),
            Input::CredentialsReady(_, life) => self.credentials_ready(life, now),
            Input::SignInNeeded(_, reason) => self.sign_in_needed(reason, now),
            Input::SignInPostponed(_, delay) => self.sign_in_postponed(delay, now),
            Input::HeatersListed(_, outcome) => self.heaters_listed(outcome, now),
            Input::StepFailed(_, failure) => self.step_failed(failure, now),
            Input::LinkUp(_) => self.link_up(now),
            Input::LinkDown(_, failure) => self.link_down(failure, now),
            Input::RequestSent(_) => self.request_sent(now),
            Input::Heard(_) => self.heard(now),
            Input::Answered(_) => self.answered(now),
            Input::NetworkChanged => self.network_changed(now),
            Input::Probed(probe, reached) => self.probed(probe, reached, now),
            Input::RenewSession(reason) => self.renew_session(reason, now),
            Input::ReconnectRequested(reason) => self.reconnect_requested(reason, now),
            Input::Stop => self.stop(),
        }
        self.stamp(before, now);
    }

    /// Fires expired timers; a spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        let before = self.state();
        if self.phase.take_settled(now) {
            self.tries.settled();
        }
        if now >= self.phase_due(now).at {
            self.phase_is_over(now);
        }
        if let Some(probe) = self.reachability.handle_timeout(now, &mut self.random) {
            self.effects.push_back(Effect::Probe(probe));
        }
        self.stamp(before, now);
    }

    /// Returns the next effect to execute; to be drained after every input and timeout.
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

    /// Returns the status snapshot.
    pub fn view(&self) -> View {
        let state = self.state();
        let (attempt, max_attempts) = match (state, self.tries.stage()) {
            (State::Connected, _) => (0, self.policy.reconnect.max_attempts),
            (State::Recovering | State::Failed, Stage::Recover) => {
                (self.tries.recoveries(), self.policy.recovery.max_attempts)
            }
            _ => (self.tries.reconnects(), self.policy.reconnect.max_attempts),
        };
        View {
            state,
            since: self.since,
            held: self.phase == Phase::Held,
            attempt,
            max_attempts,
            next_attempt_at: self.phase.waits_until(),
            reason: self.reason.clone(),
            strategy: self.policy.strategy,
            outages: self.outages.count(),
            last_outage: self.outages.last(),
        }
    }

    /// Returns the session that counts; what belongs to another is to be ignored.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns whether this session is still wanted, but not up yet.
    pub fn is_dialling(&self, generation: Generation) -> bool {
        generation == self.generation && matches!(self.phase, Phase::Dialling { .. })
    }

    /// Returns what is to be carried over a restart of the process.
    pub fn carried(&self) -> Carried {
        let (refused, refusals) = self.credentials.refusals();
        Carried {
            outages: self.outages.count(),
            last_outage: self.outages.last(),
            outage_since: self.outages.since(),
            refused,
            refusals,
        }
    }

    /// Returns how long a request to reconnect must wait: for the end of a pause that the cloud asked for, and for some
    /// seconds after another request.
    pub fn request_wait(&self, now: Instant) -> Duration {
        self.pauses.request_wait(now)
    }

    fn state(&self) -> State {
        match self.phase {
            Phase::Up(_) => State::Connected,
            Phase::Held | Phase::GivenUp => State::Failed,
            Phase::Stopped => State::Stopping,
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Authenticating { .. }
            | Phase::SigningIn { .. }
            | Phase::Listing { .. }
            | Phase::Dialling { .. }
            | Phase::Proving { .. }
            | Phase::Silent(_) => match self.tries.stage() {
                Stage::Start => State::Starting,
                Stage::Reconnect => State::Reconnecting,
                Stage::Recover => State::Recovering,
            },
        }
    }

    /// Records when the state was entered, if it is another one than `before`.
    fn stamp(&mut self, before: State, now: Instant) {
        if self.state() != before {
            self.since = now;
        }
    }

    fn phase_due(&self, now: Instant) -> Due {
        self.phase.due(self.credentials.renew_at(), now)
    }

    fn phase_is_over(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle | Phase::Held | Phase::GivenUp | Phase::Stopped => {}
            Phase::Waiting { .. } => self.wait_is_over(now),
            Phase::Authenticating { .. } | Phase::SigningIn { .. } => self.step_timed_out("sign-in", now),
            Phase::Listing { .. } => self.step_timed_out("device-list", now),
            Phase::Dialling { .. } => self.step_timed_out("connect", now),
            Phase::Proving { heard: true, session, .. } => self.heaters_are_silent(session),
            Phase::Proving { heard: false, .. } => {
                self.attempt_failed(Failure::transient("no-answer", "connected, but nothing at all arrives"), now);
            }
            Phase::Silent(SessionTimers { answer_by: Some(at), .. }) if now >= at => {
                self.attempt_failed(Failure::transient("no-answer", "nothing at all arrives any more"), now);
            }
            Phase::Up(SessionTimers { answer_by: Some(at), .. }) if now >= at => {
                self.interrupted(Failure::transient("no-answer", "a request was not answered in time"), now);
            }
            Phase::Silent(SessionTimers { ends_at, .. }) | Phase::Up(SessionTimers { ends_at, .. })
                if now >= ends_at =>
            {
                self.renew_session(Reason::new("session-age", "renewed before the cloud ends it after 24 hours"), now);
            }
            Phase::Silent(_) | Phase::Up(_) => {
                self.credentials.renewing(now);
                self.effects.push_back(Effect::EnsureCredentials(self.generation, Renewal::IfExpiring));
            }
        }
    }

    fn start(&mut self, now: Instant) {
        if self.phase == Phase::Idle {
            self.begin_attempt(now);
        }
    }

    fn begin_attempt(&mut self, now: Instant) {
        self.reachability.stop();
        self.generation.0 += 1;
        let renewal = self.credentials.begin_attempt();
        if renewal == Renewal::All {
            self.announce(Event::RefreshingTokens);
        }
        if self.credentials.call_for_password(now) {
            self.sign_in(now);
        } else {
            self.authenticate(renewal, now);
        }
        self.effects.push_back(Effect::ViewChanged);
    }

    fn authenticate(&mut self, renewal: Renewal, now: Instant) {
        self.phase = Phase::Authenticating { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::EnsureCredentials(self.generation, renewal));
    }

    fn credentials_ready(&mut self, life: Duration, now: Instant) {
        self.credentials.live_for(life, now);
        let by_password = matches!(self.phase, Phase::SigningIn { .. });
        if !by_password && !matches!(self.phase, Phase::Authenticating { .. }) {
            return;
        }
        self.credentials.obtained(by_password);
        if self.heaters_listed {
            return self.dial(now);
        }
        self.phase = Phase::Listing { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::ListHeaters(self.generation));
    }

    fn sign_in_needed(&mut self, reason: Option<Reason>, now: Instant) {
        // A living session needs no credentials; the password is for the next attempt.
        self.credentials.not_renewable();
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return;
        }
        // Tokens that were never there explain nothing: the last reason that the cloud gave stays.
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
        if let Some(renewal) = self.credentials.sign_in_postponed(delay, now) {
            return self.authenticate(renewal, now);
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
            return self.wait(now + NO_HEATERS_WAIT, Wait::NoHeaters);
        }
        self.heaters_listed = true;
        self.dial(now);
    }

    fn dial(&mut self, now: Instant) {
        self.phase = Phase::Dialling { deadline: now + self.policy.connect_timeout + STEP_GRACE };
        self.effects.push_back(Effect::Dial(self.generation));
    }

    fn link_up(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Dialling { .. }) {
            return;
        }
        self.short_sessions.up(now);
        self.last_heard = Some(now);
        let ends_at = now + SESSION_AGE - SESSION_AGE_SPREAD.mul_f64(self.random.unit());
        let session = SessionTimers { answer_by: None, settles_at: Some(now + SETTLED), ends_at };
        self.phase = Phase::Proving { deadline: now + self.policy.operation_timeout, heard: false, session };
        if self.outages.in_gap() {
            self.announce(Event::SubscriptionsRestored);
        }
        if !std::mem::replace(&mut self.periodic, true) {
            self.effects.push_back(Effect::StartPeriodicRequests);
        }
        self.effects.push_back(Effect::BeginSession(self.generation));
    }

    fn answered(&mut self, now: Instant) {
        let Some(session) = self.phase.session() else { return };
        if matches!(self.phase, Phase::Up(_)) {
            return self.heard(now);
        }
        self.last_heard = Some(now);
        self.credentials.accepted();
        self.phase = Phase::Up(SessionTimers { answer_by: None, ..session });
        self.reason = None;
        self.effects.push_back(Effect::ViewChanged);
        let attempts = self.tries.succeeded();
        if attempts > 0 {
            self.announce(Event::Recovered { attempts });
        }
        let outage = self.outages.end(now);
        self.announce(Event::Connected { outage });
    }

    fn heaters_are_silent(&mut self, session: SessionTimers) {
        self.phase = Phase::Silent(session);
        self.reason = Some(Reason::new("heaters-silent", "the session is up, but no heater answers"));
        self.announce(Event::HeatersSilent);
        self.effects.push_back(Effect::ViewChanged);
    }

    fn request_sent(&mut self, now: Instant) {
        let is_first = self.phase.request_sent(now + self.policy.operation_timeout);
        if is_first && matches!(self.phase, Phase::Up(_)) {
            self.reachability.watch(now + SUSPICION);
        }
    }

    fn heard(&mut self, now: Instant) {
        if !self.phase.is_up() {
            return;
        }
        self.last_heard = Some(now);
        self.phase.heard();
        if matches!(self.phase, Phase::Up(_)) {
            self.reachability.stop();
        }
    }

    /// Replaces the session by a new one, as planned. It is an outage only if that does not work at once.
    fn renew_session(&mut self, reason: Reason, now: Instant) {
        if !self.phase.is_up() {
            return;
        }
        self.announce(Event::SessionRenewing);
        if matches!(self.phase, Phase::Up(_)) {
            self.outages.begin_planned(now);
        }
        self.close_link();
        self.reason = Some(reason);
        self.begin_attempt(now);
    }

    fn step_deadline(&self, now: Instant) -> Instant {
        // A step is up to four requests in a row: refresh, session refresh, secured sign-in, a page of the list.
        now + 4 * self.policy.operation_timeout + STEP_GRACE
    }

    fn wait(&mut self, until: Instant, why: Wait) {
        if why != Wait::Backoff {
            self.reachability.stop();
        }
        self.phase = Phase::Waiting { until, why };
        self.effects.push_back(Effect::ViewChanged);
    }

    fn announce(&mut self, event: Event) {
        self.effects.push_back(Effect::Announce(event));
    }
}
