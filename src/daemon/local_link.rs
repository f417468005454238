//! The link to the local broker: dialled for ever, with an outbox for what it was not there to take.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::{debug, info, trace, warn};

use super::{MAX_EVENTS, OVERDUE, StartError, settings};
use crate::config::Config;
use crate::io::mqtt::{Link, LinkError, LinkEvent};
use crate::io::tls;
use crate::model::Message;
use crate::supervisor::{Generation, Redial};

/// So many short sessions in a row are logged one by one.
const LOGGED: u32 = 3;
/// Events that happen while the broker is away; what is retained comes with the replay.
const MAX_OUTBOX: usize = 32;
/// An event that could not be published in time is worth publishing for so long.
const OUTBOX_TTL: Duration = Duration::from_secs(10);

/// The link to the local broker.
pub struct LocalLink {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    redial: Redial,
    tls: Option<Arc<ClientConfig>>,
    /// The newest first.
    outbox: VecDeque<(Instant, Message)>,
    /// Messages that cannot be shown.
    unreadable: u64,
}

impl LocalLink {
    /// Prepares the link as configured; the first dial is due at once.
    pub fn new(config: &Config, seed: u64, now: Instant) -> Result<Self, StartError> {
        let client = config.broker.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
        let tls = match config.broker.tls {
            true => Some(tls::client_config(config.broker.ca_file.as_deref(), client)?),
            false => None,
        };
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        Ok(Self {
            link: Link::new(&config.broker.client_id, sender)?,
            events,
            redial: Redial::new(now, 2 * config.cloud.connect_timeout + OVERDUE, seed),
            tls,
            outbox: VecDeque::new(),
            unreadable: 0,
        })
    }

    /// Returns the next event of the link.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Returns whether the link is up.
    pub fn is_up(&self) -> bool {
        self.redial.is_up()
    }

    /// Publishes a message, or puts it into the outbox if it is an event; what is retained comes with the replay.
    pub fn publish(&mut self, message: Message, now: Instant) {
        if self.is_up() {
            self.link.publish(self.redial.generation().0, message);
        } else if !message.retained {
            self.outbox.truncate(MAX_OUTBOX - 1);
            self.outbox.push_front((now, message));
        }
    }

    /// Takes note that the link is up, and gives the broker everything that it is to hold.
    pub fn up(&mut self, session: u64, connack_after: Duration, replay: Vec<Message>, now: Instant) {
        debug!(session, ?connack_after, "Session with the local broker is up");
        self.redial.link_up(Generation(session), now);
        if self.redial.short_sessions() < LOGGED {
            info!(messages = replay.len(), "Connected to the local broker");
        }
        let recent = self.outbox.drain(..).rev().filter(|(at, _)| *at + OUTBOX_TTL >= now);
        for message in replay.into_iter().chain(recent.map(|(_, message)| message)) {
            self.link.publish(session, message);
        }
    }

    /// Takes note that the link is down; logged when it is new, and again every so often.
    pub fn down(&mut self, session: u64, error: &LinkError, now: Instant) {
        let was_up = self.redial.is_up();
        let Some(delay) = self.redial.link_down(Generation(session), now) else { return };
        let attempts = self.redial.failures();
        let new = attempts == 1 || (was_up && self.redial.short_sessions() < LOGGED);
        if new || attempts.is_multiple_of(100) {
            warn!(attempts, "No connection to the local broker, trying on: {error}");
        } else {
            debug!(delay_ms = delay.as_millis(), "Local broker: {error}");
        }
    }

    /// Takes note of a message that cannot be shown.
    pub fn count_unreadable(&mut self) {
        self.unreadable += 1;
        if self.unreadable == 1 || self.unreadable.is_multiple_of(100) {
            let count = self.unreadable;
            warn!(count, "A message of the local broker has a topic or a size that is not accepted");
        }
    }

    /// Returns how many messages could not be shown.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Returns when [`LocalLink::handle_timeout`] is wanted.
    pub fn due(&self) -> Option<Instant> {
        self.redial.due()
    }

    /// Dials when that is due; `will` and `filters` are those of the session.
    pub fn handle_timeout(&mut self, config: &Config, session: impl FnOnce() -> (Message, Vec<String>), now: Instant) {
        if let Some(generation) = self.redial.handle_timeout(now) {
            let (will, filters) = session();
            trace!(session = generation.0, "Dialling the local broker");
            self.link.dial(generation.0, settings::local_dial(config, self.tls.as_ref(), will, filters));
        }
    }

    /// Returns for how long the link's task has not reported in.
    pub fn silence(&self) -> Duration {
        self.link.health().silence()
    }

    /// Publishes the last messages and closes the session; returns when it is down.
    pub async fn disconnect(&mut self, last: Vec<Message>) {
        let (session, was_up) = (self.redial.generation().0, self.is_up());
        for message in last {
            self.link.publish(session, message);
        }
        self.link.close(session);
        while was_up && !matches!(self.events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
    }

    /// Describes the link, for the diagnostics.
    pub fn describe(&self, now: Instant) -> Value {
        json!({
            "up": self.redial.is_up(),
            "session": self.redial.generation().0,
            "failures": self.redial.failures(),
            "short_sessions": self.redial.short_sessions(),
            "due_in_seconds": self.redial.due().map(|due| due.saturating_duration_since(now).as_secs()),
            "actor_silent_seconds": self.silence().as_secs(),
        })
    }
}
