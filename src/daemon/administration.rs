//! What is asked of the daemon itself on the local broker: its log level, diagnostics, a fresh start.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::steps::Steps;
use super::{Daemon, Step, report};
use crate::bridge::administration::Order;
use crate::config::{Config, LOG_LEVELS};
use crate::exit::Exit;
use crate::io::journal;
use crate::model::Moment;
use crate::supervisor::{Effect, Input};

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

/// What the requests need.
pub struct Administration {
    /// The last steps of the supervisor.
    pub steps: Steps,
    /// Whether the daemon is on its way to a fresh start.
    pub restarting: bool,
    /// Asked before that.
    pub may_restart: MayRestart,
    /// When the daemon started.
    pub started_at: String,
}

impl Administration {
    /// Begins with nothing asked for.
    pub fn new(may_restart: MayRestart, started_at: String) -> Self {
        Self { steps: Steps::default(), restarting: false, may_restart, started_at }
    }
}

impl Daemon {
    /// Tells the supervisor, and keeps it in mind.
    pub(super) fn tell(&mut self, input: Input, now: Instant) {
        self.administration.steps.input(&input, self.moment().wall);
        self.supervisor.handle_input(input, now);
    }

    /// Returns what the supervisor decided next, and keeps it in mind.
    pub(super) fn decided(&mut self) -> Option<Effect> {
        let effect = self.supervisor.poll_effect()?;
        self.administration.steps.effect(&effect, self.moment().wall);
        Some(effect)
    }

    pub(super) fn administer(&mut self, order: Order, id: Option<Value>) {
        let name = order.name();
        let outcome = match order {
            Order::SetLogLevel(level) => self.set_log_level(&level),
            Order::Diagnostics => Ok(self.diagnostics()),
            Order::Restart => return self.ask_before_restart(id),
        };
        self.bridge.respond(name, id, outcome);
    }

    fn set_log_level(&mut self, wanted: &str) -> Result<Value, String> {
        let Some((name, level)) = LOG_LEVELS.iter().find(|(name, _)| *name == wanted) else {
            let names: Vec<&str> = LOG_LEVELS.iter().map(|(name, _)| *name).collect();
            return Err(format!("there is no such log level; there are: {}", names.join(", ")));
        };
        if !journal::set_level(*level) {
            return Err("the log has not been started".to_owned());
        }
        info!("The log level is now {name}, as was asked for on the local broker");
        self.show_log_level();
        Ok(json!({ "log_level": name }))
    }

    /// Shows on `bridge/info` what is logged.
    pub(super) fn show_log_level(&mut self) {
        self.bridge.set_about("log_level", log_level().into());
    }

    /// The configuration is read again, which may take a moment: what does not start would not come back.
    fn ask_before_restart(&self, id: Option<Value>) {
        let ask = Arc::clone(&self.administration.may_restart);
        self.start(async move {
            let answer = tokio::task::spawn_blocking(move || ask()).await;
            Step::MayRestart(id, answer.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    pub(super) fn on_may_restart(&mut self, id: Option<Value>, answer: Result<(), String>) {
        match &answer {
            Ok(()) => {
                info!("Starting afresh, as was asked for on the local broker");
                self.administration.restarting = true;
            }
            Err(error) => warn!("Not starting afresh, though that was asked for on the local broker: {error}"),
        }
        self.bridge.respond(Order::Restart.name(), id, answer.map(|()| Value::Null));
    }

    /// Returns everything that helps to find a fault, fit to be shown to anybody.
    fn diagnostics(&self) -> Value {
        let moment = self.moment();
        let seen = self.bridge.diagnostics(moment);
        let due = self.supervisor.poll_timeout(moment.now);
        let steps = &self.administration.steps;
        let mut diagnostics = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at": report::rfc3339(moment.wall),
            "started_at": self.administration.started_at,
            "log_level": log_level(),
            "configuration": self.config.dump(),
            "connection": report::connection(&self.supervisor.view(), moment),
            "waits_for": { "why": format!("{:?}", due.why), "seconds": due.at.saturating_duration_since(moment.now).as_secs() },
            "links": self.links(moment),
            "heaters": seen["heaters"],
            "counters": {
                "supervisor": steps.counts(),
                "messages": seen["messages"],
                "complaints": seen["complaints"],
                "unreadable_local_messages": self.unreadable,
            },
            "steps": steps.show(),
        });
        for private in ["/configuration/account/email", "/configuration/broker/username"] {
            if let Some(value) = diagnostics.pointer_mut(private).filter(|value| !value.is_null()) {
                *value = "***".into();
            }
        }
        redact(&mut diagnostics, &self.private_words());
        diagnostics
    }

    fn links(&self, moment: Moment) -> Value {
        let silence = |link: &crate::io::mqtt::Link| link.health().silence().as_secs();
        let wait = self.redial.due().map(|due| due.saturating_duration_since(moment.now).as_secs());
        json!({
            "cloud": {
                "up": self.cloud_is_up,
                "session": self.supervisor.generation().0,
                "actor_silent_seconds": silence(&self.cloud),
            },
            "local": {
                "up": self.redial.is_up(),
                "session": self.redial.generation().0,
                "failures": self.redial.failures(),
                "short_sessions": self.redial.short_sessions(),
                "due_in_seconds": wait,
                "actor_silent_seconds": silence(&self.local),
            },
        })
    }

    /// Returns what is nobody's business, with what stands in its place: a heater's address keeps its end, so that two
    /// heaters can be told apart.
    fn private_words(&self) -> Vec<(String, String)> {
        let listed = self.bridge.heaters().map(|heater| heater.mac.as_str());
        let configured = self.config.devices.iter().map(|device| device.mac.as_str());
        let addresses = listed.chain(configured).map(|mac| (mac.to_owned(), format!("********{}", &mac[8..])));
        addresses.chain([(self.config.account.email.clone(), "***".to_owned())]).collect()
    }
}

/// Replaces words in every text of `value`, in whatever case they are written.
fn redact(value: &mut Value, words: &[(String, String)]) {
    match value {
        Value::String(text) => *text = redacted(text, words),
        Value::Array(values) => values.iter_mut().for_each(|value| redact(value, words)),
        Value::Object(members) => {
            for (key, mut value) in std::mem::take(members) {
                redact(&mut value, words);
                members.insert(redacted(&key, words), value);
            }
        }
        _ => {}
    }
}

fn redacted(text: &str, words: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (word, instead) in words {
        let mut from = 0;
        while let Some(at) = text[from..].to_ascii_lowercase().find(&word.to_ascii_lowercase()) {
            let begin = from + at;
            text.replace_range(begin..begin + word.len(), instead);
            from = begin + instead.len();
        }
    }
    text
}

fn log_level() -> Option<&'static str> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_words_are_replaced_wherever_they_stand() {
        let words =
            [("04786332fca0", "********fca0"), ("you@example.com", "***")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        let mut value = json!({
            "a": ["of 04786332FCA0 and 04786332fca0", { "to you@example.com": 1, "b": "user You@Example.com é unknown" }], "c": 1, "d": "plain",
        });
        redact(&mut value, &words);
        assert_eq!(
            value,
            json!({ "a": ["of ********fca0 and ********fca0", { "to ***": 1, "b": "user *** é unknown" }], "c": 1, "d": "plain" })
        );
    }
}
