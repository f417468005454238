//! What follows from a failure, and from the return of the network.

use std::time::{Duration, Instant};

use super::{Phase, Supervisor};
use crate::supervisor::tries::Stage;
use crate::supervisor::types::{
    Decision, Effect, Ending, Event, Failure, OnFailure, Reach, Reason, State, Strategy, Wait,
};

/// A cloud that asks for a longer pause than this is asked again all the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
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
        let Some(verdict) = self.short_sessions.over(&failure, now) else { return failure };
        if matches!(failure.decision, Decision::RetryAfter(_)) {
            return failure;
        }
        let times = verdict.times;
        if verdict.nth == 1 {
            self.announce(if verdict.taken_over { Event::TakenOver { times } } else { Event::Unstable { times } });
        }
        let pause = self.settings.recovery.backoff.delay(verdict.nth, &mut self.random);
        Failure { decision: Decision::BackOff(pause), reason: verdict.reason, ..failure }
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
        self.retry_after_until = None;
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
            Decision::RetryAfter(asked) => {
                pause = asked.min(LONGEST_PAUSE);
                self.retry_after_until = Some(now + pause);
            }
            Decision::BackOff(asked) => pause = asked.min(LONGEST_PAUSE),
            Decision::Transient | Decision::ClockSkew | Decision::ClosedByCloud | Decision::Bug => {}
        }
        self.pause_until = Some(now + pause);
        // Once the return of the network did not help, only a probe may say that it is away again: probes and attempts
        // that never agree would otherwise wake each other for ever.
        if failure.reach == Reach::Nothing && !self.tries.has_woken() {
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
                let since = self.last_heard.unwrap_or(now);
                let failure = self.session_over(Failure { reason: reason.clone(), ..Failure::transient("", "") }, now);
                self.count_outage(failure.reason.clone(), since);
                if matches!(failure.decision, Decision::BackOff(_)) {
                    return self.attempt_failed(failure, now);
                }
                self.close_link();
                self.pause_until = None;
            }
            Phase::Waiting { why: Wait::Backoff, .. } => {}
            _ => return,
        }
        self.tries.woke();
        self.reason = Some(reason);
        if self.state != State::Starting {
            self.enter(if self.tries.stage == Stage::Recover { State::Recovering } else { State::Reconnecting }, now);
        }
        let at = (now + WAKE_SPREAD.mul_f64(self.random.unit())).max(self.pause_until.unwrap_or(now));
        self.announce(Event::NetworkReturned { delay: at - now });
        self.wait(at, Wait::NetworkBack);
    }

    fn schedule_next(&mut self, pause: Duration, why: Wait, now: Instant) {
        if self.tries.stage == Stage::Reconnect {
            if self.settings.reconnect.has_attempt_after(self.tries.reconnects) {
                return self.schedule_reconnect(pause, why, now);
            }
            if self.settings.reconnect.enabled {
                self.announce(Event::ReconnectionFailed { attempts: self.tries.reconnects });
            }
            self.tries.stage = Stage::Recover;
        }
        // A short session on the way may have started them again.
        self.stop_periodic();
        if self.settings.recovery.has_attempt_after(self.tries.recoveries) {
            return self.schedule_recovery(pause, why, now);
        }
        let reason = self.reason.clone().unwrap_or(Reason::new("exhausted", ""));
        self.give_up(reason, Ending::CloudUnavailable, now);
    }

    fn schedule_reconnect(&mut self, pause: Duration, why: Wait, now: Instant) {
        let attempt = self.tries.next_reconnect();
        self.enter(State::Reconnecting, now);
        let delay = self.settings.reconnect.backoff.delay(attempt, &mut self.random).max(pause);
        self.announce(Event::ReconnectScheduled {
            attempt,
            max_attempts: self.settings.reconnect.max_attempts,
            delay,
            reason: self.reason.clone().unwrap_or(Reason::new("unknown", "")),
        });
        self.wait_after_failure(delay, pause, why, now);
    }

    fn schedule_recovery(&mut self, pause: Duration, why: Wait, now: Instant) {
        let attempt = self.tries.next_recovery();
        self.enter(State::Recovering, now);
        let backoff = self.settings.recovery.backoff;
        let delay = match self.settings.strategy {
            Strategy::ExponentialBackoff => backoff.delay(attempt, &mut self.random),
            Strategy::SimpleRetry | Strategy::FullRecreation | Strategy::TokenRefresh => {
                backoff.first(&mut self.random)
            }
        };
        let delay = delay.max(pause);
        self.announce(Event::RecoveryAttempt {
            attempt,
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
        if self.tries.stage == Stage::Recover && !resumed {
            match self.settings.strategy {
                Strategy::SimpleRetry if self.settings.reconnect.enabled => {
                    self.tries.back_to_reconnecting();
                    return self.schedule_reconnect(Duration::ZERO, Wait::Backoff, now);
                }
                Strategy::SimpleRetry => {}
                Strategy::FullRecreation => self.recreate(),
                Strategy::TokenRefresh => self.renew_and_recreate(),
                Strategy::ExponentialBackoff
                    if self.tries.recoveries.is_multiple_of(self.settings.refresh_tokens_every) =>
                {
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
        let allowed = self.retry_after_until.max(self.requested_at.map(|at| at + REQUESTS_APART));
        allowed.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    pub(super) fn reconnect_now(&mut self, reason: Reason, now: Instant) {
        if self.phase == Phase::Idle || !self.request_wait(now).is_zero() {
            return;
        }
        self.requested_at = Some(now);
        let was_up = matches!(self.phase, Phase::Up { .. });
        self.close_link();
        self.tries.requested();
        self.short_sessions.reset();
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
        self.short_sessions.closed_on_purpose();
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
