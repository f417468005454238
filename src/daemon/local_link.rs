//! The link to the local broker: dialled for ever, with an outbox for what it was not there to take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tracing::{debug, info, trace, warn};

use super::reminder::Reminder;
use super::retention::Retention;
use super::{MAX_EVENTS, OVERDUE, StartError, settings};
use crate::config::Config;
use crate::io::clock;
use crate::io::mqtt::{Dial, Link, LinkError, LinkEvent, SessionStage};
use crate::model::Message;
use crate::outputs::mqtt::outbox::{Blamed, Outbox};
use crate::outputs::mqtt::suspects::Suspects;
use crate::outputs::mqtt::topics::Topics;
use crate::outputs::web::Traffic;
use crate::supervisor::{Generation, Redial};

/// So many short sessions in a row are logged one by one.
const LOGGED: u32 = 3;
/// A session that lasted so long is no short one any more.
const SETTLED: Duration = Duration::from_secs(30);
/// A filter that the broker refuses is asked for again so often: an access list is read anew without a new session.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The link to the local broker.
pub struct LocalLink {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    redial: Redial,
    tls: Option<Arc<ClientConfig>>,
    outbox: Outbox,
    /// The filters at which sessions ended.
    suspects: Suspects,
    /// The filters that are not granted, and when they are asked for again.
    not_granted: BTreeMap<String, Instant>,
    /// Those of them that were named in a warning.
    named: BTreeSet<String>,
    /// Whether messages are published with the retain flag: a broker may not take it.
    retention: Retention,
    /// Why the link is down.
    error: Option<String>,
    /// When it is said again that the link is down.
    reminder: Reminder,
    /// When the session that is up counts as one that lasted.
    settles_at: Option<Instant>,
    /// Whether it was said that messages were dropped.
    dropped: bool,
    /// Messages that cannot be shown.
    unreadable: u64,
    traffic: Traffic,
}

impl LocalLink {
    /// Prepares the link as configured; the first dial is due at once.
    pub fn new(config: &Config, seed: u64, now: Instant) -> Result<Self, StartError> {
        let (sender, events) = mpsc::channel(MAX_EVENTS);
        Ok(Self {
            link: Link::lenient(&config.broker.client_id, sender)?,
            events,
            redial: Redial::new(now, 2 * config.cloud.connect_timeout + OVERDUE, seed),
            tls: settings::local_tls(config)?,
            outbox: Outbox::new(Topics::new(&config.broker.base_topic)),
            suspects: Suspects::default(),
            not_granted: BTreeMap::new(),
            named: BTreeSet::new(),
            retention: Retention::default(),
            error: None,
            reminder: Reminder::default(),
            settles_at: None,
            dropped: false,
            unreadable: 0,
            traffic: Traffic::default(),
        })
    }

    /// Returns the next event of the link.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        let event = self.events.recv().await;
        if let Some(LinkEvent::Message { payload, .. }) = &event {
            self.traffic.received.count(payload.len());
        }
        event
    }

    /// Returns whether the link is up.
    pub fn is_up(&self) -> bool {
        self.redial.is_up()
    }

    /// Returns whether the broker keeps what it is to retain, as far as is known.
    pub fn retains(&self) -> bool {
        self.retention.is_wanted()
    }

    /// Publishes a message, or keeps it for some seconds if it is an event; what is retained comes with the replay.
    pub fn publish(&mut self, message: Message, now: Instant) {
        let dropped = self.outbox.push(message, now);
        self.say_dropped(dropped);
        self.send(now);
    }

    /// Takes note that the link is up, and gives the broker everything that it is to hold.
    pub fn up(&mut self, session: u64, connack_after: Duration, replay: Vec<Message>, now: Instant) {
        debug!(session, ?connack_after, "Session with the local broker is up");
        self.redial.link_up(Generation(session), now);
        if !self.is_up() {
            return;
        }
        if self.redial.short_sessions() < LOGGED {
            info!(messages = replay.len(), "Connected to the local broker");
        }
        self.retention.up(now);
        if self.retention.is_refused() {
            warn!(
                "The local broker keeps no retained messages: it took the session only with a will that is not to be \
                 retained. Everything is published without that flag, and who subscribes waits for the next change"
            );
        }
        self.error = None;
        self.dropped = false;
        self.settles_at = Some(now + SETTLED);
        let dropped = self.outbox.up(replay, now);
        self.say_dropped(dropped);
        self.send(now);
    }

    /// Takes note that the oldest message under way was acknowledged; returns whether it had been left out before.
    pub fn delivered(&mut self, session: u64, now: Instant) -> bool {
        if session != self.redial.generation().0 {
            return false;
        }
        let again = self.outbox.acknowledged();
        if let Some(topic) = &again {
            info!(topic, "The local broker takes the messages on {topic} again");
        }
        self.send(now);
        again.is_some()
    }

    /// Takes note that a filter was refused or granted.
    pub fn subscribed(&mut self, session: u64, filter: String, granted: bool, now: Instant) {
        if session != self.redial.generation().0 {
            return;
        }
        if granted {
            self.not_granted.remove(&filter);
            if self.suspects.clear(&filter) {
                // The broker has changed, and perhaps for the others, too.
                self.suspects.try_all();
                let others = self.not_granted.iter_mut().filter(|(other, _)| self.suspects.has(other));
                others.for_each(|(_, at)| *at = now);
            }
            if self.named.remove(&filter) {
                info!(filter, "The local broker grants this subscription now");
            }
            return;
        }
        self.not_granted.insert(filter.clone(), now + ASK_AGAIN);
        if self.named.insert(filter.clone()) {
            warn!(filter, "The local broker refuses the subscription to {filter}; all else goes on");
        }
    }

    /// Takes note that the link is down; logged when it is new, and again every so often.
    pub fn down(&mut self, session: u64, stage: SessionStage, error: &LinkError, now: Instant) {
        let was_up = self.redial.is_up();
        let Some(delay) = self.redial.link_down(Generation(session), now) else { return };
        let short = self.redial.short_sessions() > 0;
        self.settles_at = None;
        self.error = Some(match error {
            LinkError::Refused(refusal) => format!("refused, {refusal}"),
            other => other.to_string(),
        });
        let attempts = self.redial.failures();
        let ours = matches!(error, LinkError::OnPurpose);
        let new = attempts == 1 || (was_up && self.redial.short_sessions() < LOGGED);
        if !ours && self.reminder.is_due(new, now) {
            warn!(attempts, "No connection to the local broker, trying on: {error}");
        } else {
            debug!(delay_ms = delay.as_millis(), "Local broker: {error}");
        }
        let closed = matches!(error, LinkError::Lost(_));
        if let Some(blamed) = self.outbox.down(short && !ours, now) {
            say_blamed(&blamed);
        }
        if was_up && !short {
            self.retention.ended();
        }
        match stage {
            SessionStage::Subscribing(Some(filter)) if closed => self.blame(&filter, now),
            SessionStage::Connecting if closed => self.retention.closed_at_connect(),
            _ => {}
        }
    }

    fn blame(&mut self, filter: &str, now: Instant) {
        match self.suspects.blame(filter, now) {
            1 => warn!(filter, "The local broker closed the connection at the subscription to {filter}"),
            2 => {
                warn!(filter, "The local broker closed the connection again at the subscription to {filter}; left out")
            }
            times => debug!(times, filter, "The local broker still closes the connection at this subscription"),
        }
    }

    fn send(&mut self, now: Instant) {
        while let Some(mut message) = self.outbox.next(now) {
            message.retained &= self.retains();
            self.traffic.sent.count(message.payload.len());
            if !self.link.publish(self.redial.generation().0, message) {
                self.outbox.not_sent();
            }
        }
    }

    fn say_dropped(&mut self, topic: Option<String>) {
        if let Some(topic) = topic.filter(|_| self.is_up() && !self.dropped) {
            self.dropped = true;
            warn!(topic, "The local broker takes messages more slowly than they come: the oldest are dropped");
        }
    }

    /// Returns what is wrong with the local broker, in a few words.
    pub fn trouble(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let quoted = |names: Vec<&str>| names.join(", ");
        let left_out: Vec<&str> = self.outbox.left_out().collect();
        let filters: Vec<&str> = self.not_granted.keys().map(String::as_str).collect();
        let mut troubles = Vec::new();
        if !left_out.is_empty() {
            troubles.push(format!("closes the connection at {}", quoted(left_out)));
        }
        if !filters.is_empty() {
            troubles.push(format!("no subscription to {}", quoted(filters)));
        }
        if self.retention.is_refused() && self.is_up() {
            troubles.push("keeps no retained messages".to_owned());
        }
        Some(troubles.join(", ")).filter(|text| !text.is_empty())
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
        let refused = self.not_granted.values().min().copied();
        let up = [self.settles_at, self.outbox.due(), refused, self.retention.due()];
        let up = up.into_iter().flatten().filter(|_| self.is_up());
        self.redial.due().into_iter().chain(up).min()
    }

    /// Dials when that is due, and tries again what the broker did not take; `will` and `filters` are those of the
    /// session.
    pub fn handle_timeout(&mut self, config: &Config, session: impl FnOnce() -> (Message, Vec<String>), now: Instant) {
        if self.is_up() {
            return self.try_again(now);
        }
        if let Some(generation) = self.redial.handle_timeout(now) {
            let (will, mut filters) = session();
            let will = Message { retained: will.retained && self.retains(), ..will };
            let left_out: Vec<_> = filters.extract_if(.., |filter| self.suspects.leaves_out(filter, now)).collect();
            if filters.is_empty() {
                self.suspects.try_one_soon(now);
            }
            let again =
                |filter: &String| self.suspects.retry_at(filter).map_or(ASK_AGAIN, |at| at - now).min(ASK_AGAIN);
            self.not_granted = left_out.into_iter().map(|filter| (filter.clone(), now + again(&filter))).collect();
            filters.sort_by_key(|filter| self.suspects.has(filter));
            trace!(session = generation.0, "Dialling the local broker");
            let dial = settings::local_dial(config, self.tls.as_ref(), Some(will));
            self.link.dial(generation.0, Dial { filters, ..dial });
        }
    }

    fn try_again(&mut self, now: Instant) {
        if self.retention.take_check(now) {
            info!("Connecting to the local broker anew, to see whether it keeps retained messages");
            return self.link.cut(self.redial.generation().0);
        }
        if self.settles_at.take_if(|at| *at <= now).is_some() {
            self.outbox.settled();
            self.reminder.reset();
        }
        for (filter, at) in self.not_granted.iter_mut().filter(|(_, at)| **at <= now) {
            *at = now + ASK_AGAIN;
            if !self.suspects.leaves_out(filter, now) {
                self.link.subscribe(self.redial.generation().0, filter.clone());
            }
        }
        self.send(now);
    }

    /// Returns for how long the link's task has not reported in.
    pub fn silence(&self) -> Duration {
        self.link.health().silence()
    }

    /// Publishes the last messages and closes the session; returns when it is down.
    pub async fn disconnect(&mut self, last: Vec<Message>) {
        let (session, was_up, now) = (self.redial.generation().0, self.is_up(), clock::now());
        for message in last {
            self.outbox.push(message, now);
        }
        for mut message in self.outbox.last(now) {
            message.retained &= self.retains();
            self.link.publish(session, message);
        }
        self.link.close(session);
        while was_up && !matches!(self.events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
    }

    /// Returns what went over the link.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Returns how many retained messages were replaced before they were sent.
    pub fn superseded(&self) -> u64 {
        self.outbox.superseded()
    }

    /// Describes the link, for the diagnostics.
    pub fn describe(&self, now: Instant) -> Value {
        json!({
            "up": self.redial.is_up(),
            "session": self.redial.generation().0,
            "failures": self.redial.failures(),
            "short_sessions": self.redial.short_sessions(),
            "superseded": self.superseded(),
            "left_out": self.outbox.left_out().collect::<Vec<_>>(),
            "not_granted": self.not_granted.keys().collect::<Vec<_>>(),
            "retains": self.retains(),
            "due_in_seconds": self.redial.due().map(|due| due.saturating_duration_since(now).as_secs()),
            "actor_silent_seconds": self.silence().as_secs(),
        })
    }
}

fn say_blamed(Blamed { topic, bytes, times }: &Blamed) {
    match times {
        1 => warn!(topic, bytes, "The local broker closed the connection at the message on {topic}, of {bytes} bytes"),
        2 => warn!(
            topic,
            bytes,
            "The local broker closed the connection again at the message on {topic}, of {bytes} bytes; left out, and \
             tried again from time to time"
        ),
        _ => debug!(topic, bytes, times, "The local broker still closes the connection at this message"),
    }
}
