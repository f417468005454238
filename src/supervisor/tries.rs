//! How many attempts were made, and of which line.

/// Which line of attempts it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The first line.
    Reconnect,
    /// The second line.
    Recover,
}

/// Counts the attempts since the last success.
#[derive(Debug, Clone)]
pub struct Tries {
    /// The line.
    pub stage: Stage,
    /// Attempts of the first line.
    pub reconnects: u32,
    /// Attempts of the second line.
    pub recoveries: u32,
    /// The same, but no return of the network and no request sets it back.
    recovering_for: u32,
    /// The return of the network has set the counters back since the last success.
    woken: bool,
}

impl Default for Tries {
    fn default() -> Self {
        Self { stage: Stage::Reconnect, reconnects: 0, recoveries: 0, recovering_for: 0, woken: false }
    }
}

impl Tries {
    /// An attempt of the first line is next; returns its number.
    pub fn next_reconnect(&mut self) -> u32 {
        self.reconnects = self.reconnects.saturating_add(1);
        self.reconnects
    }

    /// An attempt of the second line is next; returns its number.
    pub fn next_recovery(&mut self) -> u32 {
        self.recoveries = self.recoveries.saturating_add(1);
        self.recovering_for = self.recovering_for.saturating_add(1);
        self.recoveries
    }

    /// The first line begins anew, with the same session.
    pub fn back_to_reconnecting(&mut self) {
        self.reconnects = 0;
        self.stage = Stage::Reconnect;
    }

    /// A heater has answered; returns how many attempts of the second line that took.
    pub fn succeeded(&mut self) -> u32 {
        std::mem::take(&mut self.recovering_for)
    }

    /// The session has lived long enough: everything begins at its first attempt again.
    pub fn settled(&mut self) {
        self.reset();
        self.woken = false;
    }

    /// The network has come back. It sets the counters back once since the last success: a network that comes and goes
    /// must not keep the end of the attempts away.
    pub fn woke(&mut self) {
        if !std::mem::replace(&mut self.woken, true) {
            self.reset();
        }
    }

    /// Returns whether the network has come back since the last success.
    pub fn has_woken(&self) -> bool {
        self.woken
    }

    /// Somebody asked for a fresh start.
    pub fn requested(&mut self) {
        self.settled();
    }

    fn reset(&mut self) {
        (self.reconnects, self.recoveries, self.stage) = (0, 0, Stage::Reconnect);
    }
}
