//! What systemd is told (`sd_notify(3)`); without systemd nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Says that the service has started.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Sets the line that `systemctl status` shows.
pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Says that the process is healthy.
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// Says that the process is ending on purpose.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Returns how often systemd wants to hear of [`watchdog`], at the latest.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!("systemd cannot be told: {error}");
    }
}
