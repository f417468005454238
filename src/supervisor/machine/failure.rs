//! What follows from a failure, and from the return of the network.

use std::time::{Duration, Instant};

use super::{Phase, Stage, Supervisor};
use crate::supervisor::types::{
    Decision, Effect, Ending, Event, Failure, OnFailure, Reach, Reason, State, Strategy, Wait,
};

/// A cloud that asks for a longer pause than this is asked again all the same.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// So many sessions in a row, each closed by the cloud soon after it was up, are another instance's work.
const EVICTIONS: u32 = 3;
/// A session that lived longer was not evicted: no wait of another instance like us is as long by default.
const SETTLED: Duration = Duration::from_secs(400);
/// After the return of the network the next attempt begins within so long, at random.
const WAKE_SPREAD: Duration = Duration::from_millis(500);

impl Supervisor {
    pub(super) fn failed_silently(&mut self, code: &'static str, now: Instant) {
        self.attempt_failed(Failure::transient(code, "the step gave no report in time"), now);
    }

    pub(super) fn step_failed(&mut self, failure: Failure, now: Instant) {
        match self.phase {
            Phase::SigningIn { .. } if failure.reach != Reach::Cloud => {
                self.budget.refund();
                self.effects.push_back(Effect::SaveSignIns);
            }
            Phase::Authenticating { .. } | Phase::SigningIn { .. } | Phase::Listing { .. } => {}
            // A late word on the password counts, whatever has been begun since.
            _ if failure.decision.is_final() && self.phase != Phase::Held => {}
            _ => return,
        }
        self.attempt_failed(failure, now);
    }

    pub(super) fn link_down(&mut self, mut failure: Failure, now: Instant) {
        match self.phase {
            Phase::Up { since, .. } => {
                let evicted = failure.decision == Decision::ClosedByCloud && now.duration_since(since) < SETTLED;
                self.evictions = if evicted { self.evictions.saturating_add(1) } else { 0 };
                if self.evictions >= EVICTIONS {
                    failure = self.taken_over();
                }
                self.interrupted(failure, now);
            }
            Phase::Dialling { .. } | Phase::Proving { .. } | Phase::Silent { .. } => self.attempt_failed(failure, now),
            _ => {}
        }
    }

    /// Backs off from another instance with our client id instead of evicting it in turn.
    fn taken_over(&mut self) -> Failure {
        if self.evictions == EVICTIONS {
            self.announce(Event::TakenOver { times: self.evictions });
        }
        let pause = self.settings.recovery.backoff.delay(self.evictions - EVICTIONS + 1, &mut self.random);
        Failure {
            decision: Decision::RetryAfter(pause),
            ..Failure::transient("taken-over", "another instance uses this client id")
        }
    }

    pub(super) fn interrupted(&mut self, failure: Failure, now: Instant) {
        self.count_outage(failure.reason.clone(), now);
        self.attempt_failed(failure, now);
    }

    fn count_outage(&mut self, reason: Reason, now: Instant) {
        self.outages += 1;
        self.missing_since = Some(now);
        self.announce(Event::ConnectionInterrupted(reason));
    }

    pub(super) fn attempt_failed(&mut self, failure: Failure, now: Instant) {
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
            Decision::RenewCredentials => self.refused = true,
            Decision::RetryAfter(asked) => pause = asked.min(LONGEST_PAUSE),
            Decision::Transient | Decision::ClockSkew | Decision::ClosedByCloud | Decision::Bug => {}
        }
        // Once the return of the network did not help, only a probe may say that it is away again: probes and attempts
        // that never agree would otherwise wake each other for ever.
        if failure.reach == Reach::Nothing && !self.woken {
            self.reachability.watch_return(now, &mut self.random);
        } else {
            self.reachability.watch(now);
        }
        self.schedule_next(pause, now);
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
                self.count_outage(reason.clone(), now);
            }
            Phase::Waiting { why: Wait::Backoff, .. } => {}
            _ => return,
        }
        self.reset_counters();
        self.woken = true;
        self.reason = Some(reason);
        if self.state != State::Starting {
            self.enter(State::Reconnecting, now);
        }
        let delay = WAKE_SPREAD.mul_f64(self.random.unit());
        self.announce(Event::NetworkReturned { delay });
        self.wait(now + delay, Wait::NetworkBack);
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
        self.wait_after_failure(delay, pause, now);
    }

    fn wait_after_failure(&mut self, delay: Duration, pause: Duration, now: Instant) {
        let why = if delay == pause { Wait::RetryAfter } else { Wait::Backoff };
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

    pub(super) fn reconnect_now(&mut self, reason: Reason, now: Instant) {
        if self.phase == Phase::Idle {
            return;
        }
        let was_up = matches!(self.phase, Phase::Up { .. });
        self.close_link();
        self.reset_counters();
        self.evictions = 0;
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
