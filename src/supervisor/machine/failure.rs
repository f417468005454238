//! What follows from a failure, and from the return of the network.

use std::time::{Duration, Instant};

use super::{Phase, SETTLED, Stage, Supervisor};
use crate::supervisor::types::{
    Decision, Effect, Ending, Event, Failure, OnFailure, Reach, Reason, State, Strategy, Wait,
};

/// A cloud that asks for a longer pause than this is asked again all the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// So many short sessions in a row are no accident.
const SHORT_SESSIONS: u32 = 3;
/// A session that the cloud closed is short up to this age: another instance like us that waits before it takes the
/// client id back waits no longer by default.
const EVICTED: Duration = Duration::from_secs(400);
/// Between two reconnects on request.
const REQUESTS_APART: Duration = Duration::from_secs(10);
/// After the return of the network the next attempt begins within so long, at random.
const WAKE_SPREAD: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn failed_silently(&mut self, code: &'static str, now: Instant) {
        self.attempt_failed(Failure::transient(code, "the step gave no report in time"), now);
    }

    pub(super) fn step_failed(&mut self, failure: Failure, now: Instant) {
        match self.phase {
            Phase::Authenticating { .. } | Phase::SigningIn { .. } | Phase::Listing { .. } => {}
            // A late word on the password counts, whatever has been begun since.
            _ if failure.decision.is_final() && self.phase != Phase::Held => {}
            _ => return,
        }
        self.attempt_failed(failure, now);
    }

    pub(super) fn link_down(&mut self, failure: Failure, now: Instant) {
        match self.phase {
            Phase::Up { .. } => self.interrupted(failure, now),
            Phase::Dialling { .. } | Phase::Proving { .. } | Phase::Silent { .. } => {
                let failure = self.session_over(failure, now);
                self.attempt_failed(failure, now);
            }
            _ => {}
        }
    }

    /// Counts a session that ended soon after it was up. Several in a row are waited out, longer each time: another
    /// instance uses our client id, which is not to be evicted in turn, or the connection is of no use.
    fn session_over(&mut self, failure: Failure, now: Instant) -> Failure {
        let Some(up_since) = self.up_since.take() else { return failure };
        let lived = now.saturating_duration_since(up_since);
        let closed = failure.decision == Decision::ClosedByCloud;
        if lived >= if closed { EVICTED } else { SETTLED } {
            self.short_sessions = 0;
            return failure;
        }
        self.all_closed = closed && (self.all_closed || self.short_sessions == 0);
        self.short_sessions = self.short_sessions.saturating_add(1);
        if self.short_sessions < SHORT_SESSIONS || matches!(failure.decision, Decision::RetryAfter(_)) {
            return failure;
        }
        let times = self.short_sessions;
        if times == SHORT_SESSIONS {
            self.announce(if self.all_closed { Event::TakenOver { times } } else { Event::Unstable { times } });
        }
        let pause = self.settings.recovery.backoff.delay(times - SHORT_SESSIONS + 1, &mut self.random);
        let reason = match self.all_closed {
            true => Reason::new("taken-over", "another instance uses this client id"),
            false => Reason::new(
                "unstable",
                format!(
                    "{times} sessions in a row ended soon after they were up, the last one with {}",
                    failure.reason
                ),
            ),
        };
        Failure { decision: Decision::BackOff(pause), reason, ..failure }
    }

    pub(super) fn interrupted(&mut self, failure: Failure, now: Instant) {
        // The close of a connection is a word of the cloud; otherwise the outage began with the silence.
        let since = match failure.decision {
            Decision::ClosedByCloud => now,
            _ => self.last_heard.unwrap_or(now),
        };
        let failure = self.session_over(failure, now);
        self.count_outage(failure.reason.clone(), since);
        self.attempt_failed(failure, now);
    }

    fn count_outage(&mut self, reason: Reason, now: Instant) {
        self.outages = self.outages.saturating_add(1);
        self.missing_since = Some(now);
        self.announce(Event::ConnectionInterrupted(reason));
    }

    pub(super) fn attempt_failed(&mut self, failure: Failure, now: Instant) {
        let backs_off = matches!(failure.decision, Decision::BackOff(_));
        self.close_link();
        if std::mem::take(&mut self.planned) {
            self.count_outage(failure.reason.clone(), self.missing_since.unwrap_or(now));
        }
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
            Decision::RenewCredentials => {
                self.refused = true;
                self.refusals = self.refusals.saturating_add(u32::from(self.fresh));
            }
            Decision::RetryAfter(asked) | Decision::BackOff(asked) => pause = asked.min(LONGEST_PAUSE),
            Decision::Transient | Decision::ClockSkew | Decision::ClosedByCloud | Decision::Bug => {}
        }
        // Once the return of the network did not help, only a probe may say that it is away again: probes and attempts
        // that never agree would otherwise wake each other for ever.
        if failure.reach == Reach::Nothing && !self.woken {
            self.reachability.watch_return(now, &mut self.random);
        } else {
            self.reachability.watch(now);
        }
        self.schedule_next(pause, if backs_off { Wait::ShortSessions } else { Wait::RetryAfter }, now);
    }

    pub(super) fn network_changed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Up { .. } | Phase::Waiting { why: Wait::Backoff, .. }) {
            self.reachability.changed(now);
        }
    }

    pub(super) fn probed(&mut self, probe: u64, reached: bool, now: Instant) {
        if !self.reachability.probed(probe, reached, now, &mut self.random) {
            return;
        }
        let reason = Reason::new("network-back", "the cloud can be reached again");
        match self.phase {
            // A connection that lived through it would wait for its next retransmission, and mostly it did not.
            Phase::Up { .. } => {
                self.close_link();
                self.count_outage(reason.clone(), self.last_heard.unwrap_or(now));
            }
            Phase::Waiting { why: Wait::Backoff, .. } => {}
            _ => return,
        }
        // Once since the last success: a network that comes and goes must not keep the end of the attempts away.
        if !std::mem::replace(&mut self.woken, true) {
            self.reset_counters();
        }
        self.reason = Some(reason);
        if self.state != State::Starting {
            self.enter(State::Reconnecting, now);
        }
        let delay = WAKE_SPREAD.mul_f64(self.random.unit());
        self.announce(Event::NetworkReturned { delay });
        self.wait(now + delay, Wait::NetworkBack);
    }

    fn schedule_next(&mut self, pause: Duration, why: Wait, now: Instant) {
        if self.stage == Stage::Reconnect {
            if self.settings.reconnect.has_attempt_after(self.reconnects) {
                return self.schedule_reconnect(pause, why, now);
            }
            if self.settings.reconnect.enabled {
                self.announce(Event::ReconnectionFailed { attempts: self.reconnects });
            }
            self.stop_periodic();
            self.stage = Stage::Recover;
        }
        if self.settings.recovery.has_attempt_after(self.recoveries) {
            return self.schedule_recovery(pause, why, now);
        }
        let reason = self.reason.clone().unwrap_or(Reason::new("exhausted", ""));
        self.give_up(reason, Ending::CloudUnavailable, now);
    }

    fn schedule_reconnect(&mut self, pause: Duration, why: Wait, now: Instant) {
        self.reconnects = self.reconnects.saturating_add(1);
        self.enter(State::Reconnecting, now);
        let delay = self.settings.reconnect.backoff.delay(self.reconnects, &mut self.random).max(pause);
        self.announce(Event::ReconnectScheduled {
            attempt: self.reconnects,
            max_attempts: self.settings.reconnect.max_attempts,
            delay,
            reason: self.reason.clone().unwrap_or(Reason::new("unknown", "")),
        });
        self.wait_after_failure(delay, pause, why, now);
    }

    fn schedule_recovery(&mut self, pause: Duration, why: Wait, now: Instant) {
        self.recoveries = self.recoveries.saturating_add(1);
        self.recovering_for = self.recovering_for.saturating_add(1);
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
        self.wait_after_failure(delay, pause, why, now);
    }

    /// Waits for `delay`; `why` says what for if that is the `pause`, which is zero when there is none.
    fn wait_after_failure(&mut self, delay: Duration, pause: Duration, why: Wait, now: Instant) {
        let why = if delay == pause { why } else { Wait::Backoff };
        self.wait(now + delay, why);
    }

    pub(super) fn wait(&mut self, until: Instant, why: Wait) {
        if why != Wait::Backoff {
            self.reachability.rest();
        }
        self.phase = Phase::Waiting { until, why };
        self.effects.push_back(Effect::ViewChanged);
    }

    pub(super) fn wait_is_over(&mut self, now: Instant) {
        let resumed = matches!(self.phase, Phase::Waiting { why: Wait::SignInBudget | Wait::NoHeaters, .. });
        if self.stage == Stage::Recover && !resumed {
            match self.settings.strategy {
                Strategy::SimpleRetry if self.settings.reconnect.enabled => {
                    self.reconnects = 0;
                    self.stage = Stage::Reconnect;
                    return self.schedule_reconnect(Duration::ZERO, Wait::Backoff, now);
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
        self.reachability.rest();
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

    /// Returns how long a request to reconnect must wait: for the end of a pause that the cloud asked for, and for some
    /// seconds after another request.
    pub fn request_wait(&self, now: Instant) -> Duration {
        let asked = match self.phase {
            Phase::Waiting { until, why: Wait::RetryAfter } => Some(until),
            _ => None,
        };
        let allowed = asked.max(self.requested_at.map(|at| at + REQUESTS_APART));
        allowed.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    pub(super) fn reconnect_now(&mut self, reason: Reason, now: Instant) {
        if self.phase == Phase::Idle || !self.request_wait(now).is_zero() {
            return;
        }
        self.requested_at = Some(now);
        let was_up = matches!(self.phase, Phase::Up { .. });
        self.close_link();
        self.reset_counters();
        self.woken = false;
        self.short_sessions = 0;
        self.reason = Some(reason.clone());
        if was_up {
            self.count_outage(reason, now);
        }
        if self.state != State::Starting {
            self.enter(State::Reconnecting, now);
        }
        self.begin_attempt(now);
    }

    pub(super) fn stop(&mut self, now: Instant) {
        self.enter(State::Stopping, now);
        self.reachability.rest();
        self.reason = None;
        self.stop_periodic();
        self.phase = Phase::Ended;
    }

    pub(super) fn close_link(&mut self) {
        self.up_since = None;
        self.settles_at = None;
        if matches!(
            self.phase,
            Phase::Dialling { .. } | Phase::Proving { .. } | Phase::Silent { .. } | Phase::Up { .. }
        ) {
            self.effects.push_back(Effect::CloseLink(self.generation));
        }
    }

    fn stop_periodic(&mut self) {
        if std::mem::take(&mut self.periodic) {
            self.effects.push_back(Effect::StopPeriodicRequests);
        }
    }

    pub(super) fn enter(&mut self, state: State, now: Instant) {
        if self.state != state {
            self.state = state;
            self.since = now;
        }
        self.effects.push_back(Effect::ViewChanged);
    }

    pub(super) fn announce(&mut self, event: Event) {
        self.effects.push_back(Effect::Announce(event));
    }
}
