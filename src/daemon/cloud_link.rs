//! The link to the cloud's broker, as the supervisor wants it.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{MAX_EVENTS, settings};
use crate::config::Config;
use crate::io::mqtt::{Link, LinkError, LinkEvent};
use crate::model::Message;
use crate::supervisor::Generation;

/// The link to the cloud's broker.
pub struct CloudLink {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    tls: Arc<ClientConfig>,
    /// Whether the session is up.
    is_up: bool,
}

impl CloudLink {
    /// Prepares the link for a client of this id.
    pub fn new(client_id: &str, tls: Arc<ClientConfig>) -> Result<Self, LinkError> {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        Ok(Self { link: Link::new(client_id, sender)?, events, tls, is_up: false })
    }

    /// Returns the next event of the link.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// Sets whether the session is up.
    pub fn set_up(&mut self, is_up: bool) {
        self.is_up = is_up;
    }

    /// Opens a session at a presigned URL.
    pub fn dial(
        &self,
        generation: Generation,
        config: &Config,
        url: SecretString,
        (filters, will): (Vec<String>, Option<Message>),
    ) {
        let mut dial = settings::cloud_dial(config, &self.tls, url);
        dial.filters = filters;
        dial.will = will;
        self.link.dial(generation.0, dial);
    }

    /// Publishes a message on the session of this generation.
    pub fn publish(&self, generation: Generation, message: Message) {
        self.link.publish(generation.0, message);
    }

    /// Cuts the session, whatever it is doing.
    pub fn cut(&mut self, generation: Generation) {
        self.is_up = false;
        self.link.cut(generation.0);
    }

    /// Returns for how long the link's task has not reported in.
    pub fn silence(&self) -> Duration {
        self.link.health().silence()
    }

    /// Publishes the last messages, if the session is up, and closes it; returns when it is down.
    pub async fn disconnect(&mut self, generation: Generation, last: Vec<Message>) {
        for message in last.into_iter().filter(|_| self.is_up) {
            self.publish(generation, message);
        }
        self.link.close(generation.0);
        while self.is_up && !matches!(self.events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
    }

    /// Describes the link, for the diagnostics.
    pub fn describe(&self, generation: Generation) -> Value {
        json!({ "up": self.is_up, "session": generation.0, "actor_silent_seconds": self.silence().as_secs() })
    }
}
