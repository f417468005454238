//! What is asked of the daemon itself: its log level, a fresh start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::info;

use crate::config::{Config, LOG_LEVELS};
use crate::exit::Exit;
use crate::io::journal;

/// Between two fresh starts that the local broker asks for.
const RESTARTS_APART: Duration = Duration::from_secs(60);

/// How the daemon has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The process is to end so.
    Leaving(Exit),
    /// The process is to start afresh, as it was asked to on the local broker.
    ToRestart,
}

/// Says why a fresh start would fail, as far as that can be known before.
pub type MayRestart = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Who asks for a fresh start.
#[derive(Debug)]
pub enum RestartRequest {
    /// A client of the local broker, with the `id` of its request.
    LocalBroker(Option<Value>),
    /// SIGHUP.
    Signal,
}

/// What decides about a fresh start.
pub struct Restarts {
    /// Asked before it.
    pub may_restart: MayRestart,
    /// Whether it is due.
    pub is_due: bool,
    /// When the local broker asked for one last, or this process began with one.
    asked_at: Option<Instant>,
}

impl Restarts {
    /// Begins with none due; `asked_at` is now when this process began with one.
    pub fn new(may_restart: MayRestart, asked_at: Option<Instant>) -> Self {
        Self { may_restart, is_due: false, asked_at }
    }

    /// Returns how long a request of the local broker must wait; when it need not, the next one will.
    pub fn request_wait(&mut self, now: Instant) -> Duration {
        let allowed = self.asked_at.map(|at| at + RESTARTS_APART).filter(|at| *at > now);
        if allowed.is_none() {
            self.asked_at = Some(now);
        }
        allowed.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

/// Logs at this level from now on; returns its name.
///
/// # Errors
///
/// Says which levels there are.
pub fn set_log_level(wanted: &str) -> Result<&'static str, String> {
    let Some((name, level)) = LOG_LEVELS.iter().find(|(name, _)| *name == wanted) else {
        let names: Vec<&str> = LOG_LEVELS.iter().map(|(name, _)| *name).collect();
        return Err(format!("there is no such log level; there are: {}", names.join(", ")));
    };
    if !journal::set_level(*level) {
        return Err("the log has not been started".to_owned());
    }
    info!("The log level is now {name}, as was asked for on the local broker");
    Ok(name)
}

/// Returns the name of the log level.
pub fn log_level() -> Option<&'static str> {
    let level = journal::level()?;
    LOG_LEVELS.iter().find(|(_, other)| *other == level).map(|(name, _)| *name)
}

/// Returns what `bridge/info` says besides the heaters.
pub fn about(config: &Config, started_at: &str) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": started_at,
        "configuration": config.dump(),
        "log_level": log_level(),
    })
}
