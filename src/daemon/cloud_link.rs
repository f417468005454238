//! The links to the cloud's broker, as their supervisors want them.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{MAX_EVENTS, settings};
use crate::config::Config;
use crate::io::mqtt::{Link, LinkError, LinkEvent};
use crate::model::Message;
use crate::outputs::web::Traffic;
use crate::supervisor::Generation;

/// All links, by their numbers. A link stays once it was there: dropping an MQTT client can lock up the others.
pub struct CloudLinks {
    tls: Arc<ClientConfig>,
    links: BTreeMap<usize, CloudLink>,
    /// Whose events were looked at first the last time.
    turn: usize,
}

impl CloudLinks {
    /// Begins without any.
    pub fn new(tls: Arc<ClientConfig>) -> Self {
        Self { tls, links: BTreeMap::new(), turn: 0 }
    }

    /// Prepares a link for a client of this id.
    ///
    /// # Errors
    ///
    /// When the MQTT engine refuses the client id.
    pub fn open(&mut self, link: usize, client_id: &str) -> Result<(), LinkError> {
        self.links.insert(link, CloudLink::new(client_id, Arc::clone(&self.tls))?);
        Ok(())
    }

    /// Returns a link.
    pub fn get_mut(&mut self, link: usize) -> Option<&mut CloudLink> {
        self.links.get_mut(&link)
    }

    /// Returns the links with their numbers.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut CloudLink)> {
        self.links.iter_mut().map(|(number, link)| (*number, link))
    }

    /// Returns the links with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &CloudLink)> {
        self.links.iter().map(|(number, link)| (*number, link))
    }

    /// Returns the next event and the number of its link; a busy link does not hold up the others.
    pub async fn recv(&mut self) -> Option<(usize, LinkEvent)> {
        poll_fn(|context| {
            let mut links: Vec<_> = self.links.iter_mut().collect();
            self.turn = (self.turn + 1) % links.len().max(1);
            links.rotate_left(self.turn);
            for (number, link) in links {
                if let Poll::Ready(Some(event)) = link.events.poll_recv(context) {
                    if let LinkEvent::Message { payload, .. } = &event {
                        link.traffic.received.count(payload.len());
                    }
                    return Poll::Ready(Some((*number, event)));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Returns for how long the task of some link has not reported in.
    pub fn silence(&self) -> Duration {
        self.links.values().map(CloudLink::silence).max().unwrap_or_default()
    }
}

/// One link to the cloud's broker.
pub struct CloudLink {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    tls: Arc<ClientConfig>,
    /// Since when the session is up, if it is.
    up_since: Option<Instant>,
    traffic: Traffic,
}

impl CloudLink {
    fn new(client_id: &str, tls: Arc<ClientConfig>) -> Result<Self, LinkError> {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        Ok(Self { link: Link::new(client_id, sender)?, events, tls, up_since: None, traffic: Traffic::default() })
    }

    /// Sets since when the session is up, if it is.
    pub fn set_up(&mut self, since: Option<Instant>) {
        self.up_since = since;
    }

    /// Returns since when the session is up, if it is.
    pub fn up_since(&self) -> Option<Instant> {
        self.up_since
    }

    /// Returns what went over the link.
    pub fn traffic(&self) -> Traffic {
        self.traffic
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
    pub fn publish(&mut self, generation: Generation, message: Message) {
        self.traffic.sent.count(message.payload.len());
        self.link.publish(generation.0, message);
    }

    /// Cuts the session, whatever it is doing.
    pub fn cut(&mut self, generation: Generation) {
        self.up_since = None;
        self.link.cut(generation.0);
    }

    /// Returns for how long the link's task has not reported in.
    pub fn silence(&self) -> Duration {
        self.link.health().silence()
    }

    /// Publishes the last messages, if the session is up, and closes it; returns when it is down.
    pub async fn disconnect(&mut self, generation: Generation, last: Vec<Message>) {
        let is_up = self.up_since.is_some();
        for message in last.into_iter().filter(|_| is_up) {
            self.publish(generation, message);
        }
        self.link.close(generation.0);
        while is_up && !matches!(self.events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
    }

    /// Describes the link, for the diagnostics.
    pub fn describe(&self, generation: Generation) -> Value {
        json!({ "up": self.up_since.is_some(), "session": generation.0, "actor_silent_seconds": self.silence().as_secs() })
    }
}
