//! What is asked of the daemon itself on the local broker: its log level, diagnostics, a fresh start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tracing::{info, warn};

use super::steps::Steps;
use super::{Daemon, Step, report};
use crate::bridge::administration::Order;
use crate::config::{Config, LOG_LEVELS};
use crate::exit::Exit;
use crate::home::not_yet;
use crate::io::{journal, notify};
use crate::model::Moment;
use crate::navilink::pseudonyms::{Class, Pseudonyms};
use crate::supervisor::{Effect, Input, Reason};

/// The answer to `diagnostics` is not longer, in bytes, as far as it lies in the raw messages.
const MAX_DIAGNOSTICS: usize = 128 << 10;

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
    /// When the local broker asked for a fresh start last, or this one began.
    pub restarted_at: Option<Instant>,
}

impl Administration {
    /// Begins with nothing asked for.
    pub fn new(may_restart: MayRestart, started_at: String, restarted_at: Option<Instant>) -> Self {
        Self { steps: Steps::default(), restarting: false, may_restart, started_at, restarted_at }
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
            Order::Reconnect => self.reconnect(),
            Order::Restart => match self.restart_wait() {
                Duration::ZERO => return self.ask_before_restart(RestartRequest::LocalBroker(id)),
                wait => Err(not_yet(wait)),
            },
        };
        self.bridge.respond(name, id, outcome);
    }

    fn reconnect(&mut self) -> Result<Value, String> {
        let now = self.moment().now;
        let wait = self.supervisor.request_wait(now);
        if !wait.is_zero() {
            return Err(not_yet(wait));
        }
        info!("Reconnecting, as was asked for on the local broker");
        self.tell(Input::ReconnectRequested(Reason::new("requested", "a reconnect was requested")), now);
        Ok(Value::Null)
    }

    /// Returns how long a request to start afresh must wait; when it need not, the next one will.
    fn restart_wait(&mut self) -> Duration {
        let now = self.moment().now;
        let allowed = self.administration.restarted_at.map(|at| at + RESTARTS_APART).filter(|at| *at > now);
        if allowed.is_none() {
            self.administration.restarted_at = Some(now);
        }
        allowed.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
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
    pub(super) fn ask_before_restart(&self, request: RestartRequest) {
        let ask = Arc::clone(&self.administration.may_restart);
        self.start(async move {
            let answer = tokio::task::spawn_blocking(move || ask()).await;
            Step::MayRestart(request, answer.unwrap_or_else(|error| Err(error.to_string())))
        });
    }

    pub(super) fn on_may_restart(&mut self, request: RestartRequest, answer: Result<(), String>) {
        let by = match request {
            RestartRequest::LocalBroker(_) => "on the local broker",
            RestartRequest::Signal => "by SIGHUP",
        };
        match &answer {
            Ok(()) => {
                info!("Starting afresh, as was asked for {by}");
                self.administration.restarting = true;
            }
            Err(error) => {
                warn!("Not starting afresh, though that was asked for {by}: {error}");
                if matches!(request, RestartRequest::Signal) {
                    // For systemd, a reload that leaves everything as it was is over as well.
                    notify::reloading();
                    notify::ready();
                }
            }
        }
        if let RestartRequest::LocalBroker(id) = request {
            self.bridge.respond(Order::Restart.name(), id, answer.map(|()| Value::Null));
        }
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
                "unreadable_local_messages": self.local.unreadable(),
            },
            "steps": steps.show(),
        });
        for private in ["/configuration/account/email", "/configuration/broker/username"] {
            if let Some(value) = diagnostics.pointer_mut(private).filter(|value| !value.is_null()) {
                *value = "***".into();
            }
        }
        let mut private = self.private_values();
        let mut raw = self.account.recorder().with(|recorder| {
            recorder.private().for_each(|(class, value)| private.learn(class, value));
            recorder.show()
        });
        private.learn_message(&raw);
        let mut replacer = private.replacer();
        replacer.replace(&mut diagnostics);
        replacer.replace_message(&mut raw);
        diagnostics["raw_messages"] = raw;
        within_limit(diagnostics)
    }

    fn links(&self, moment: Moment) -> Value {
        json!({
            "cloud": self.cloud.describe(self.supervisor.generation()),
            "local": self.local.describe(moment.now),
        })
    }

    /// Returns what is nobody's business, of the configuration and of the account.
    fn private_values(&self) -> Pseudonyms {
        let mut private = Pseudonyms::default();
        private.learn(Class::Email, &self.config.account.email);
        private.learn(Class::Secret, self.config.account.password.expose_secret());
        // It names this client and its session.
        let will = self.bridge.cloud_will().and_then(|will| serde_json::from_slice(&will.payload).ok());
        will.iter().for_each(|will| private.learn_message(will));
        for device in &self.config.devices {
            private.learn(Class::Mac, device.mac.as_str());
            private.learn(Class::Name, device.name.as_deref().unwrap_or_default());
        }
        for heater in self.bridge.heaters() {
            private.learn(Class::Mac, heater.mac.as_str());
            private.learn(Class::Name, &heater.name);
            private.learn(Class::Id, &heater.home_seq.to_string());
        }
        private
    }
}

/// Leaves out raw messages, the older ones first, until the answer is of a size that every broker takes.
fn within_limit(mut diagnostics: Value) -> Value {
    while diagnostics.to_string().len() > MAX_DIAGNOSTICS {
        let raw = diagnostics["raw_messages"].as_array_mut();
        if raw.and_then(Vec::pop).is_none() {
            break;
        }
    }
    diagnostics
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
    fn the_answer_is_of_a_size_that_a_broker_takes() {
        let raw: Vec<Value> = (0..100).map(|n| json!({ "n": n, "payload": "x".repeat(5000) })).collect();
        let answer = within_limit(json!({ "version": "1", "raw_messages": raw }));
        assert!((MAX_DIAGNOSTICS - 10_000..=MAX_DIAGNOSTICS).contains(&answer.to_string().len()));
        assert_eq!((&answer["raw_messages"][0]["n"], &answer["version"]), (&json!(0), &json!("1")));
        let rest = json!({ "steps": "x".repeat(MAX_DIAGNOSTICS), "raw_messages": [] });
        assert_eq!(within_limit(rest.clone()), rest);
    }
}
