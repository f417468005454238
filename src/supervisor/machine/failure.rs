//! What follows from a failure, from the return of the network, and from a request.

use std::time::{Duration, Instant};

use super::Supervisor;
use crate::supervisor::pauses::Pause;
use crate::supervisor::phase::Phase;
use crate::supervisor::policy::{OnFailure, Strategy};
use crate::supervisor::tries::{Next, Stage};
use crate::supervisor::types::{Decision, Effect, Ending, Event, Failure, Reach, Reason, Wait};

/// After the return of the network the next attempt begins within so long, at random.
const WAKE_SPREAD: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn step_timed_out(&mut self, code: &'static str, now: Instant) {
        self.attempt_failed(Failure::transient(code, "the step gave no report in time"), now);
    }

    pub(super) fn step_failed(&mut self, failure: Failure, now: Instant) {
        let in_flight =
            matches!(self.phase, Phase::Authenticating { .. } | Phase::SigningIn { .. } | Phase::Listing { .. });
        // A late rejection of the password counts, whatever has begun since.
        if in_flight || (failure.decision.is_final() && self.phase != Phase::Held) {
            self.attempt_failed(failure, now);
        }
    }

    pub(super) fn link_down(&mut self, failure: Failure, now: Instant) {
        if matches!(self.phase, Phase::Up(_)) {
            self.interrupted(failure, now);
        } else if self.phase.has_link() {
            let failure = self.session_over(failure, now);
            self.attempt_failed(failure, now);
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
        let pause = self.policy.recovery.backoff.delay(verdict.nth, &mut self.random);
        Failure { decision: Decision::BackOff(pause), reason: verdict.reason, ..failure }
    }

    pub(super) fn interrupted(&mut self, failure: Failure, now: Instant) {
        // The close of a connection comes from the cloud; otherwise the outage began with the silence.
        let since = if failure.decision == Decision::ClosedByCloud { now } else { self.last_heard.unwrap_or(now) };
        let failure = self.session_over(failure, now);
        self.begin_outage(failure.reason.clone(), since);
        self.attempt_failed(failure, now);
    }

    fn begin_outage(&mut self, reason: Reason, since: Instant) {
        self.outages.begin(since);
        self.announce(Event::ConnectionInterrupted(reason));
    }

    pub(super) fn attempt_failed(&mut self, failure: Failure, now: Instant) {
        self.close_link();
        if self.outages.planned_failed() {
            self.announce(Event::ConnectionInterrupted(failure.reason.clone()));
        }
        if failure.decision == Decision::RenewCredentials {
            self.credentials.refused();
        }
        let pause = self.pauses.failed(failure.decision, now);
        // Once the return of the network did not help, only a probe may say that it is away again: probes and attempts
        // that never agree would otherwise wake each other for ever.
        if failure.reach == Reach::Nothing && !self.tries.has_woken() {
            self.reachability.watch_return(now, &mut self.random);
        } else {
            self.reachability.watch(now);
        }
        let was_recovering = self.tries.stage() == Stage::Recover;
        let next = self.tries.failed(failure.decision.is_final(), &self.policy);
        if self.tries.stage() == Stage::Recover && !was_recovering && self.policy.reconnect.enabled {
            self.announce(Event::ReconnectionFailed { attempts: self.tries.reconnects() });
        }
        match next {
            Next::Reconnect(attempt) => self.schedule_reconnect(attempt, failure.reason, pause, now),
            Next::Recover(attempt) => self.schedule_recovery(attempt, failure.reason, pause, now),
            Next::GiveUp if failure.decision.is_final() => {
                self.give_up(Reason { code: "credentials", ..failure.reason }, Ending::CredentialsRejected);
            }
            Next::GiveUp => self.give_up(failure.reason, Ending::CloudUnavailable),
        }
    }

    pub(super) fn network_changed(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Up(_) | Phase::Waiting { why: Wait::Backoff, .. }) {
            self.reachability.changed(now);
        }
    }

    pub(super) fn probed(&mut self, probe: u64, reached: bool, now: Instant) {
        if !self.reachability.probed(probe, reached, now, &mut self.random) {
            return;
        }
        let reason = Reason::new("network-back", "the cloud can be reached again");
        if matches!(self.phase, Phase::Up(_)) {
            // A connection that lived through it would wait for its next retransmission, and mostly it did not.
            let since = self.last_heard.unwrap_or(now);
            let failure = self.session_over(Failure { reason: reason.clone(), ..Failure::transient("", "") }, now);
            self.begin_outage(failure.reason.clone(), since);
            if matches!(failure.decision, Decision::BackOff(_)) {
                return self.attempt_failed(failure, now);
            }
            self.close_link();
            self.pauses.clear();
        }
        self.tries.woke();
        self.reason = Some(reason);
        self.effects.push_back(Effect::ViewChanged);
        let at = self.pauses.earliest(now + WAKE_SPREAD.mul_f64(self.random.unit()));
        self.announce(Event::NetworkReturned { delay: at - now });
        self.wait(at, Wait::NetworkBack);
    }

    fn schedule_reconnect(&mut self, attempt: u32, reason: Reason, pause: Pause, now: Instant) {
        self.reason = Some(reason.clone());
        self.effects.push_back(Effect::ViewChanged);
        let delay = self.policy.reconnect.backoff.delay(attempt, &mut self.random).max(pause.length);
        let max_attempts = self.policy.reconnect.max_attempts;
        self.announce(Event::ReconnectScheduled { attempt, max_attempts, delay, reason });
        self.wait(now + delay, pause.why_wait(delay));
    }

    fn schedule_recovery(&mut self, attempt: u32, reason: Reason, pause: Pause, now: Instant) {
        // A short session on the way may have started them again.
        self.stop_periodic();
        self.reason = Some(reason);
        self.effects.push_back(Effect::ViewChanged);
        let backoff = self.policy.recovery.backoff;
        let delay = match self.policy.strategy {
            Strategy::ExponentialBackoff => backoff.delay(attempt, &mut self.random),
            Strategy::SimpleRetry | Strategy::FullRecreation | Strategy::TokenRefresh => {
                backoff.first(&mut self.random)
            }
        };
        let delay = delay.max(pause.length);
        let (max_attempts, strategy) = (self.policy.recovery.max_attempts, self.policy.strategy);
        self.announce(Event::RecoveryAttempt { attempt, max_attempts, delay, strategy });
        self.wait(now + delay, pause.why_wait(delay));
    }

    pub(super) fn wait_is_over(&mut self, now: Instant) {
        let resumed = matches!(self.phase, Phase::Waiting { why: Wait::SignInBudget | Wait::NoHeaters, .. });
        if self.tries.stage() == Stage::Recover && !resumed {
            match self.policy.strategy {
                Strategy::SimpleRetry if self.policy.reconnect.enabled => {
                    let attempt = self.tries.reconnect_again();
                    let reason = self.reason.clone().unwrap_or(Reason::new("unknown", ""));
                    return self.schedule_reconnect(attempt, reason, Pause::NONE, now);
                }
                Strategy::SimpleRetry => {}
                Strategy::FullRecreation => self.recreate(),
                Strategy::TokenRefresh => self.renew_and_recreate(),
                Strategy::ExponentialBackoff
                    if self.tries.recoveries().is_multiple_of(self.policy.refresh_tokens_every) =>
                {
                    self.renew_and_recreate();
                }
                Strategy::ExponentialBackoff => self.recreate(),
            }
        }
        self.begin_attempt(now);
    }

    fn renew_and_recreate(&mut self) {
        self.credentials.renew_all();
        self.recreate();
    }

    fn recreate(&mut self) {
        self.heaters_listed = false;
        self.announce(Event::RecreatingClient);
        self.effects.push_back(Effect::ForgetSession);
    }

    fn give_up(&mut self, reason: Reason, ending: Ending) {
        self.reachability.stop();
        self.stop_periodic();
        self.reason = Some(reason.clone());
        self.effects.push_back(Effect::ViewChanged);
        self.announce(Event::Failed(reason));
        match self.policy.on_failure {
            OnFailure::Hold => self.phase = Phase::Held,
            OnFailure::Exit => {
                self.phase = Phase::GivenUp;
                self.effects.push_back(Effect::Exit(ending));
            }
        }
    }

    pub(super) fn reconnect_requested(&mut self, reason: Reason, now: Instant) {
        if self.phase == Phase::Idle || !self.pauses.request_wait(now).is_zero() {
            return;
        }
        self.pauses.requested(now);
        self.close_link();
        self.tries.requested();
        self.short_sessions.reset();
        self.reason = Some(reason.clone());
        if matches!(self.phase, Phase::Up(_)) {
            self.begin_outage(reason, now);
        }
        self.begin_attempt(now);
    }

    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopped;
        self.reason = None;
        self.reachability.stop();
        self.effects.push_back(Effect::ViewChanged);
        self.stop_periodic();
    }

    pub(super) fn close_link(&mut self) {
        self.short_sessions.closed_on_purpose();
        if self.phase.has_link() {
            self.effects.push_back(Effect::CloseLink(self.generation));
        }
    }

    fn stop_periodic(&mut self) {
        if std::mem::take(&mut self.periodic) {
            self.effects.push_back(Effect::StopPeriodicRequests);
        }
    }
}
