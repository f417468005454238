//! How many attempts were made, of which line, and what follows when one fails.

use super::policy::Policy;

/// Which line of attempts is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// None yet: no session was up, and no attempt has failed.
    Start,
    /// The first line.
    Reconnect,
    /// The second line.
    Recover,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This attempt of the first line.
    Reconnect(u32),
    /// This attempt of the second line.
    Recover(u32),
    /// Nothing: both lines are exhausted, or no attempt can succeed.
    GiveUp,
}

/// Counts the attempts since the last success.
#[derive(Debug, Clone)]
pub struct Tries {
    stage: Stage,
    reconnects: u32,
    recoveries: u32,
    /// The same as `recoveries`, but neither the network's return nor a request sets it back.
    recovering_for: u32,
    /// The return of the network has set the counters back since the last success.
    woken: bool,
}

impl Default for Tries {
    fn default() -> Self {
        Self { stage: Stage::Start, reconnects: 0, recoveries: 0, recovering_for: 0, woken: false }
    }
}

impl Tries {
    /// Records that an attempt has failed or a session was lost, for good if `is_final`; returns what is next.
    pub fn failed(&mut self, is_final: bool, policy: &Policy) -> Next {
        if self.stage == Stage::Start {
            self.stage = Stage::Reconnect;
        }
        if is_final {
            return Next::GiveUp;
        }
        if self.stage == Stage::Reconnect {
            if policy.reconnect.has_attempt_after(self.reconnects) {
                return Next::Reconnect(self.next_reconnect());
            }
            self.stage = Stage::Recover;
        }
        if policy.recovery.has_attempt_after(self.recoveries) {
            self.recoveries = self.recoveries.saturating_add(1);
            self.recovering_for = self.recovering_for.saturating_add(1);
            return Next::Recover(self.recoveries);
        }
        Next::GiveUp
    }

    /// Begins the first line again; returns the number of its first attempt.
    pub fn reconnect_again(&mut self) -> u32 {
        self.reconnects = 0;
        self.stage = Stage::Reconnect;
        self.next_reconnect()
    }

    /// Records that a heater has answered; returns how many attempts of the second line that took.
    pub fn succeeded(&mut self) -> u32 {
        if self.stage == Stage::Start {
            self.stage = Stage::Reconnect;
        }
        std::mem::take(&mut self.recovering_for)
    }

    /// Records that the session has lived long enough: both lines begin at their first attempt again.
    pub fn settled(&mut self) {
        self.reset();
        self.woken = false;
    }

    /// Records that the network has come back. That sets the counters back once since the last success: a network that
    /// comes and goes must not keep the end of the attempts away.
    pub fn woke(&mut self) {
        if !std::mem::replace(&mut self.woken, true) {
            self.reset();
        }
    }

    /// Records that somebody asked for a fresh start.
    pub fn requested(&mut self) {
        self.settled();
    }

    /// Returns whether the network has come back since the last success.
    pub fn has_woken(&self) -> bool {
        self.woken
    }

    /// Returns which line is at work.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Returns the attempts of the first line.
    pub fn reconnects(&self) -> u32 {
        self.reconnects
    }

    /// Returns the attempts of the second line.
    pub fn recoveries(&self) -> u32 {
        self.recoveries
    }

    fn next_reconnect(&mut self) -> u32 {
        self.reconnects = self.reconnects.saturating_add(1);
        self.reconnects
    }

    fn reset(&mut self) {
        (self.reconnects, self.recoveries) = (0, 0);
        if self.stage == Stage::Recover {
            self.stage = Stage::Reconnect;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_return_of_the_network_counts_once_until_a_session_has_settled() {
        let mut tries = Tries::default();
        assert!(!tries.has_woken());
        tries.woke();
        assert!(tries.has_woken());
        tries.succeeded();
        assert!(tries.has_woken(), "a success that has not lasted proves nothing");
        tries.settled();
        assert!(!tries.has_woken());
    }
}
