//! What systemd is told (`sd_notify(3)`); without systemd nothing happens.
//!
//! A thread of its own does the telling: a service manager that does not read would block who speaks to it.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// What waits to be told; more than that is dropped, and the watchdog then does what it is for.
const WAITING: usize = 64;

enum Notice {
    Ready,
    Status(String),
    Watchdog,
    Stopping,
    Reloading,
}

/// Says that the service has started.
pub fn ready() {
    tell(Notice::Ready);
}

/// Sets the line that `systemctl status` shows.
pub fn status(line: String) {
    tell(Notice::Status(line));
}

/// Says that the process is healthy.
pub fn watchdog() {
    tell(Notice::Watchdog);
}

/// Says that the process is ending on purpose.
pub fn stopping() {
    tell(Notice::Stopping);
}

/// Says that the process starts afresh, as the same process; [`ready`] comes again.
pub fn reloading() {
    tell(Notice::Reloading);
}

/// Returns how often systemd wants to hear of [`watchdog`], at the latest.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn tell(notice: Notice) {
    static TELLER: OnceLock<Option<SyncSender<Notice>>> = OnceLock::new();
    let teller = TELLER.get_or_init(|| {
        std::env::var_os("NOTIFY_SOCKET")?;
        let (teller, notices) = sync_channel(WAITING);
        let started = std::thread::Builder::new().name("notify".into()).spawn(move || notices.iter().for_each(send));
        started.inspect_err(|error| warn!("systemd will not be told anything: {error}")).ok()?;
        Some(teller)
    });
    if let Some(teller) = teller
        && teller.try_send(notice).is_err()
    {
        debug!("systemd does not listen");
    }
}

fn send(notice: Notice) {
    let states = match &notice {
        Notice::Ready => vec![NotifyState::Ready],
        Notice::Status(line) => vec![NotifyState::Status(line)],
        Notice::Watchdog => vec![NotifyState::Watchdog],
        Notice::Stopping => vec![NotifyState::Stopping],
        Notice::Reloading => {
            [Ok(NotifyState::Reloading), NotifyState::monotonic_usec_now()].into_iter().flatten().collect()
        }
    };
    if let Err(error) = sd_notify::notify(&states) {
        debug!("systemd cannot be told: {error}");
    }
}
