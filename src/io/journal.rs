//! Where the log goes: the journal with its fields under systemd, standard error otherwise.

use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{LOG_LEVELS, LogLevel, LogTarget};

/// Libraries that can print what must not be printed, or more than anybody reads, and how much they may say at most. A
/// name stands for every crate that begins with it.
const CAPPED: [(&str, LevelFilter); 8] = [
    ("aws_", LevelFilter::INFO),
    ("h2", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("paho_mqtt", LevelFilter::WARN),
    ("reqwest", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tokio_tungstenite", LevelFilter::INFO),
    ("tungstenite", LevelFilter::INFO),
];

/// What decides how much is logged, once the log has been started.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// Starts the log; the first call of the process wins.
pub fn start(target: LogTarget, level: LogLevel) {
    let level = filter_of(level);
    let journal = match target {
        LogTarget::Stderr => None,
        LogTarget::Auto if !stderr_is_the_journal() => None,
        LogTarget::Auto | LogTarget::Journal => tracing_journald::layer().ok(),
    };
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match journal {
        // Without a prefix the fields are STATE, ATTEMPT, REASON …
        Some(journal) => Box::new(journal.with_field_prefix(None)),
        None => Box::new(
            fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()).with_target(level > Level::INFO),
        ),
    };
    let (filter, handle) = reload::Layer::new(targets(level));
    if tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Logs at this level from now on; returns whether the log has been started.
pub fn set_level(level: LogLevel) -> bool {
    FILTER.get().is_some_and(|filter| filter.reload(targets(filter_of(level))).is_ok())
}

/// Returns the level at which is logged now; `None` before the start.
pub fn level() -> Option<LogLevel> {
    let now = FILTER.get()?.clone_current()?.default_level()?;
    LOG_LEVELS.iter().find(|(_, level)| filter_of(*level) == now).map(|(_, level)| *level)
}

fn targets(level: LevelFilter) -> Targets {
    let everything = Targets::new().with_default(level);
    CAPPED.iter().fold(everything, |targets, (name, cap)| targets.with_target(*name, level.min(*cap)))
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// `systemd.exec(5)`: `$JOURNAL_STREAM` names device and inode of the journal's stream.
fn stderr_is_the_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let Some((device, inode)) = named.split_once(':') else { return false };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|about| device.parse() == Ok(about.dev()) && inode.parse() == Ok(about.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_see_secrets_stay_silent_at_every_level() {
        let trace = targets(LevelFilter::TRACE);
        for library in [
            "aws_sigv4::http_request::sign",
            "aws_smithy_runtime_api::client::orchestrator",
            "hyper_util::client::legacy",
            "rustls::client::hs",
            "tokio_tungstenite",
            "tungstenite::handshake::client",
        ] {
            assert!(!trace.would_enable(library, &Level::DEBUG), "{library}");
            assert!(trace.would_enable(library, &Level::WARN), "{library}");
        }
        assert!(!trace.would_enable("paho_mqtt_c", &Level::INFO));
        assert!(trace.would_enable("navien2mqtt::daemon", &Level::TRACE));
    }

    #[test]
    fn a_cap_never_makes_a_quiet_log_louder() {
        let error = targets(LevelFilter::ERROR);
        assert!(!error.would_enable("rustls::client::hs", &Level::WARN));
        assert!(error.would_enable("rustls::client::hs", &Level::ERROR));
    }
}
