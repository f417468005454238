//! The state machine itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::budget::SignInBudget;
use super::random::Random;
use super::types::{
    Decision, Due, Effect, Ending, Event, Failure, Generation, Input, OnFailure, Reason, Renewal, Settings, State,
    Strategy, View, Wait,
};

/// A step reports its own time-out first; this much later it is given up without a report.
const STEP_GRACE: Duration = Duration::from_secs(5);
/// An account without heaters is asked again so often.
const NO_HEATERS_WAIT: Duration = Duration::from_secs(300);
/// AWS ends every session after 24 hours; ours ends half an hour before (protocol reference, section 2).
const SESSION_AGE: Duration = Duration::from_secs(23 * 3600 + 1800);
/// A cloud that asks for a longer pause than this is asked again all the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
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
    /// A heater has answered. `answer_by` is set while a request is unanswered.
    Up {
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
#[derive(Debug)]
pub struct Supervisor {
    settings: Settings,
    random: Random,
    budget: SignInBudget,
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
    reason: Option<Reason>,
    /// The cloud refused the credentials that we hold.
    refused: bool,
    /// The strategy asks for fresh tokens before the next dial.
    renew_all: bool,
    heaters_listed: bool,
    periodic: bool,
    interrupted_at: Option<Instant>,
    outages: u64,
    last_outage: Option<Duration>,
}

impl Supervisor {
    /// Makes a machine that waits for [`Input::Start`].
    pub fn new(settings: Settings, budget: SignInBudget, seed: u64, now: Instant) -> Self {
        Self {
            settings,
            random: Random::new(seed),
            budget,
            effects: VecDeque::new(),
            phase: Phase::Idle,
            stage: Stage::Reconnect,
            state: State::Starting,
            since: now,
            generation: Generation::default(),
            reconnects: 0,
            recoveries: 0,
            reason: None,
            refused: false,
            renew_all: false,
            heaters_listed: false,
            periodic: false,
            interrupted_at: None,
            outages: 0,
            last_outage: None,
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
            Input::CredentialsReady(g) if self.is_current(g) => self.credentials_ready(now),
            Input::SignInNeeded(g, reason) if self.is_current(g) => self.sign_in_needed(reason, now),
            Input::HeatersListed(g, count) if self.is_current(g) => self.heaters_listed(count, now),
            Input::StepFailed(g, failure) if self.is_current(g) => self.step_failed(failure, now),
            Input::LinkUp(g) if self.is_current(g) => self.link_up(now),
            Input::LinkDown(g, failure) if self.is_current(g) => self.link_down(failure, now),
            Input::RequestSent(g) if self.is_current(g) => self.request_sent(now),
            Input::Heard(g) if self.is_current(g) => self.heard(),
            Input::Answered(g) if self.is_current(g) => self.answered(now),
            _ => {}
        }
    }

    /// Lets pass what is due; too early, it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.poll_timeout(now).at {
            return;
        }
        match self.phase {
            Phase::Idle | Phase::Held | Phase::Ended => {}
            Phase::Waiting { .. } => self.wait_is_over(now),
            Phase::Authenticating { .. } => self.failed_silently("sign-in", now),
            Phase::SigningIn { .. } => self.failed_silently("sign-in", now),
            Phase::Listing { .. } => self.failed_silently("device-list", now),
            Phase::Dialling { .. } => self.failed_silently("connect", now),
            Phase::Proving { heard: true, .. } => self.heaters_are_silent(now),
            Phase::Proving { heard: false, .. } => {
                self.attempt_failed(Failure::transient("no-answer", "connected, but nothing at all arrives"), now);
            }
            Phase::Up { answer_by: Some(at), .. } if now >= at => {
                self.interrupted(Failure::transient("no-answer", "a request was not answered in time"), now);
            }
            Phase::Up { .. } => {
                self.reconnect_now(Reason::new("session-age", "renewed before the cloud ends it after 24 hours"), now);
            }
        }
    }

    /// Returns the next thing to do; drain it after every call of the other two.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns when, and why, [`Supervisor::handle_timeout`] is wanted.
    pub fn poll_timeout(&self, now: Instant) -> Due {
        let (at, why) = match self.phase {
            Phase::Idle | Phase::Ended => (now + IDLE, Wait::Nothing),
            Phase::Held => (now + IDLE, Wait::Human),
            Phase::Waiting { until, why } => (until, why),
            Phase::Authenticating { deadline }
            | Phase::SigningIn { deadline }
            | Phase::Listing { deadline }
            | Phase::Dialling { deadline } => (deadline, Wait::Step),
            Phase::Proving { deadline, .. } => (deadline, Wait::FirstAnswer),
            Phase::Up { answer_by: Some(at), ends_at } if at <= ends_at => (at, Wait::Answer),
            Phase::Up { ends_at, .. } => (ends_at, Wait::SessionAge),
        };
        Due { at, why }
    }

    /// Returns what the world may see.
    pub fn view(&self) -> View {
        let (attempt, max_attempts) = match (self.state, self.stage) {
            (State::Recovering, _) | (State::Failed, Stage::Recover) => {
                (self.recoveries, self.settings.recovery.max_attempts)
            }
            _ => (self.reconnects, self.settings.reconnect.max_attempts),
        };
        View {
            state: self.state,
            since: self.since,
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

    /// Returns the sign-ins that count, for the next run.
    pub fn sign_ins(&self) -> &[Instant] {
        self.budget.used()
    }

    fn is_current(&self, generation: Generation) -> bool {
        generation == self.generation
    }
}

// The steps of one attempt.
impl Supervisor {
    fn begin_attempt(&mut self, now: Instant) {
        self.generation.0 += 1;
        let renewal = match (self.renew_all, self.refused) {
            (true, _) => Renewal::All,
            (false, true) => Renewal::Refused,
            (false, false) => Renewal::IfExpiring,
        };
        if renewal == Renewal::All {
            self.announce(Event::RefreshingTokens);
        }
        self.phase = Phase::Authenticating { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::EnsureCredentials(self.generation, renewal));
        self.effects.push_back(Effect::ViewChanged);
    }

    fn credentials_ready(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Authenticating { .. } | Phase::SigningIn { .. }) {
            return;
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

    fn sign_in_needed(&mut self, reason: Reason, now: Instant) {
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return;
        }
        let allowed = self.budget.next_allowed(now);
        if allowed > now {
            self.reason = Some(reason);
            self.announce(Event::SignInPostponed { delay: allowed - now });
            self.wait(allowed, Wait::SignInBudget);
            return;
        }
        self.budget.record(now);
        self.effects.push_back(Effect::SaveSignIns);
        self.phase = Phase::SigningIn { deadline: self.step_deadline(now) };
        self.effects.push_back(Effect::SignIn(self.generation));
    }

    fn heaters_listed(&mut self, count: usize, now: Instant) {
        if !matches!(self.phase, Phase::Listing { .. }) {
            return;
        }
        if count == 0 {
            self.reason = Some(Reason::new("no-heaters", "the account has no heater"));
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
        self.phase = Phase::Proving { deadline: now + self.settings.operation_timeout, heard: false };
        if self.interrupted_at.is_some() {
            self.announce(Event::SubscriptionsRestored);
        }
        if !self.periodic {
            self.periodic = true;
            self.effects.push_back(Effect::StartPeriodicRequests);
        }
        self.effects.push_back(Effect::BeginSession(self.generation));
    }

    fn answered(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Up { answer_by, .. } => *answer_by = None,
            Phase::Proving { .. } => self.connected(now),
            _ => {}
        }
    }

    fn connected(&mut self, now: Instant) {
        self.phase = Phase::Up { answer_by: None, ends_at: now + SESSION_AGE };
        let recoveries = std::mem::take(&mut self.recoveries);
        self.reconnects = 0;
        self.stage = Stage::Reconnect;
        self.reason = None;
        let outage = self.interrupted_at.take().map(|at| now.saturating_duration_since(at));
        if outage.is_some() {
            self.last_outage = outage;
        }
        self.enter(State::Connected, now);
        if recoveries > 0 {
            self.announce(Event::Recovered { attempts: recoveries });
        }
        self.announce(Event::Connected { outage });
    }

    fn heaters_are_silent(&mut self, now: Instant) {
        self.phase = Phase::Proving { deadline: now + self.settings.operation_timeout, heard: false };
        if self.reason.as_ref().is_none_or(|r| r.code != "heaters-silent") {
            self.reason = Some(Reason::new("heaters-silent", "the session is up, but no heater answers"));
            self.announce(Event::HeatersSilent);
            self.effects.push_back(Effect::ViewChanged);
        }
    }

    fn request_sent(&mut self, now: Instant) {
        if let Phase::Up { answer_by: answer_by @ None, .. } = &mut self.phase {
            *answer_by = Some(now + self.settings.operation_timeout);
        }
    }

    fn heard(&mut self) {
        match &mut self.phase {
            Phase::Proving { heard, .. } => *heard = true,
            Phase::Up { answer_by, .. } => *answer_by = None,
            _ => {}
        }
    }

    fn step_deadline(&self, now: Instant) -> Instant {
        // A step is up to four requests in a row: refresh, session refresh, secured sign-in, a page of the list.
        now + 4 * self.settings.operation_timeout + STEP_GRACE
    }
}

// What follows from a failure.
impl Supervisor {
    fn failed_silently(&mut self, code: &'static str, now: Instant) {
        self.attempt_failed(Failure::transient(code, "the step gave no report in time"), now);
    }

    fn step_failed(&mut self, failure: Failure, now: Instant) {
        match self.phase {
            Phase::SigningIn { .. } if !failure.reached_cloud => {
                self.budget.refund();
                self.effects.push_back(Effect::SaveSignIns);
            }
            Phase::Authenticating { .. } | Phase::SigningIn { .. } | Phase::Listing { .. } => {}
            _ => return,
        }
        self.attempt_failed(failure, now);
    }

    fn link_down(&mut self, failure: Failure, now: Instant) {
        match self.phase {
            Phase::Up { .. } => self.interrupted(failure, now),
            Phase::Dialling { .. } | Phase::Proving { .. } => self.attempt_failed(failure, now),
            _ => {}
        }
    }

    fn interrupted(&mut self, failure: Failure, now: Instant) {
        self.outages += 1;
        self.interrupted_at = Some(now);
        self.announce(Event::ConnectionInterrupted(failure.reason.clone()));
        self.attempt_failed(failure, now);
    }

    fn attempt_failed(&mut self, failure: Failure, now: Instant) {
        self.close_link();
        self.reason = Some(failure.reason.clone());
        let mut pause = Duration::ZERO;
        match failure.decision {
            Decision::CredentialsRejected => {
                return self.give_up(
                    Reason { code: "credentials", ..failure.reason },
                    Ending::CredentialsRejected,
                    now,
                );
            }
            Decision::RenewCredentials => self.refused = true,
            Decision::RetryAfter(asked) => pause = asked.min(LONGEST_PAUSE),
            Decision::Transient | Decision::ClockSkew | Decision::Bug => {}
        }
        self.schedule_next(pause, now);
    }

    fn schedule_next(&mut self, pause: Duration, now: Instant) {
        if self.stage == Stage::Reconnect {
            if self.settings.reconnect.has_attempt_after(self.reconnects) {
                return self.schedule_reconnect(pause, now);
            }
            if self.settings.reconnect.enabled {
                self.announce(Event::ReconnectionFailed { attempts: self.reconnects });
            }
            self.stop_periodic();
            self.stage = Stage::Recover;
        }
        if self.settings.recovery.has_attempt_after(self.recoveries) {
            return self.schedule_recovery(pause, now);
        }
        let reason = self.reason.clone().unwrap_or(Reason::new("exhausted", ""));
        self.give_up(reason, Ending::CloudUnavailable, now);
    }

    fn schedule_reconnect(&mut self, pause: Duration, now: Instant) {
        self.reconnects = self.reconnects.saturating_add(1);
        self.enter(State::Reconnecting, now);
        let delay = self.settings.reconnect.backoff.delay(self.reconnects, &mut self.random).max(pause);
        self.announce(Event::ReconnectScheduled {
            attempt: self.reconnects,
            max_attempts: self.settings.reconnect.max_attempts,
            delay,
            reason: self.reason.clone().unwrap_or(Reason::new("unknown", "")),
        });
        self.wait_after_failure(delay, pause, now);
    }

    fn schedule_recovery(&mut self, pause: Duration, now: Instant) {
        self.recoveries = self.recoveries.saturating_add(1);
        self.enter(State::Recovering, now);
        let backoff = self.settings.recovery.backoff;
        let delay = match self.settings.strategy {
            Strategy::ExponentialBackoff => backoff.delay(self.recoveries, &mut self.random),
            Strategy::SimpleRetry | Strategy::FullRecreation | Strategy::TokenRefresh => {
                backoff.first(&mut self.random)
            }
        };
        let delay = delay.max(pause);
        self.announce(Event::RecoveryAttempt {
            attempt: self.recoveries,
            max_attempts: self.settings.recovery.max_attempts,
            delay,
            strategy: self.settings.strategy,
        });
        self.wait_after_failure(delay, pause, now);
    }

    fn wait_after_failure(&mut self, delay: Duration, pause: Duration, now: Instant) {
        let why = if delay == pause { Wait::RetryAfter } else { Wait::Backoff };
        self.wait(now + delay, why);
    }

    fn wait(&mut self, until: Instant, why: Wait) {
        self.phase = Phase::Waiting { until, why };
        self.effects.push_back(Effect::ViewChanged);
    }

    fn wait_is_over(&mut self, now: Instant) {
        let resumed = matches!(self.phase, Phase::Waiting { why: Wait::SignInBudget | Wait::NoHeaters, .. });
        if self.stage == Stage::Recover && !resumed {
            match self.settings.strategy {
                Strategy::SimpleRetry if self.settings.reconnect.enabled => {
                    self.reconnects = 0;
                    self.stage = Stage::Reconnect;
                    return self.schedule_reconnect(Duration::ZERO, now);
                }
                Strategy::SimpleRetry => {}
                Strategy::FullRecreation => self.recreate(),
                Strategy::TokenRefresh => self.renew_and_recreate(),
                Strategy::ExponentialBackoff if self.recoveries.is_multiple_of(self.settings.refresh_tokens_every) => {
                    self.renew_and_recreate();
                }
                Strategy::ExponentialBackoff => self.recreate(),
            }
        }
        self.begin_attempt(now);
    }

    fn renew_and_recreate(&mut self) {
        self.renew_all = true;
        self.recreate();
    }

    fn recreate(&mut self) {
        self.heaters_listed = false;
        self.announce(Event::RecreatingClient);
        self.effects.push_back(Effect::ForgetSession);
    }

    fn give_up(&mut self, reason: Reason, ending: Ending, now: Instant) {
        self.stop_periodic();
        self.reason = Some(reason.clone());
        self.enter(State::Failed, now);
        self.announce(Event::Failed(reason));
        match self.settings.on_failure {
            OnFailure::Hold => self.phase = Phase::Held,
            OnFailure::Exit => {
                self.phase = Phase::Ended;
                self.effects.push_back(Effect::Exit(ending));
            }
        }
    }

    fn reconnect_now(&mut self, reason: Reason, now: Instant) {
        if self.phase == Phase::Idle {
            return;
        }
        let was_up = matches!(self.phase, Phase::Up { .. });
        self.close_link();
        self.reconnects = 0;
        self.recoveries = 0;
        self.stage = Stage::Reconnect;
        self.reason = Some(reason.clone());
        if was_up {
            self.outages += 1;
            self.interrupted_at = Some(now);
            self.announce(Event::ConnectionInterrupted(reason));
        }
        if self.state != State::Starting {
            self.enter(State::Reconnecting, now);
        }
        self.begin_attempt(now);
    }

    fn stop(&mut self, now: Instant) {
        self.enter(State::Stopping, now);
        self.reason = None;
        self.stop_periodic();
        self.phase = Phase::Ended;
    }

    fn close_link(&mut self) {
        if matches!(self.phase, Phase::Dialling { .. } | Phase::Proving { .. } | Phase::Up { .. }) {
            self.effects.push_back(Effect::CloseLink(self.generation));
        }
    }

    fn stop_periodic(&mut self) {
        if std::mem::take(&mut self.periodic) {
            self.effects.push_back(Effect::StopPeriodicRequests);
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.effects.push_back(Effect::ViewChanged);
    }

    fn announce(&mut self, event: Event) {
        self.effects.push_back(Effect::Announce(event));
    }
}
