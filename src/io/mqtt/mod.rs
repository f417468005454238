//! One MQTT session at a time over a wire of our own, with paho as the protocol engine.
//!
//! A [`Link`] owns one paho client for the life of the process: it is never dropped, because dropping one can lock up
//! every other. An actor owns the client and carries out one [`Dial`] after the other; every call into paho is watched
//! ([`Health`]), and all but publishing run on the blocking pool. paho queues nothing that could be replayed after a loss:
//! at most fifty messages are handed to it without an acknowledgement, the rest waits here and is discarded with its
//! session. Nothing here retries.

mod engine;
mod health;
mod session;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tracing::warn;

use super::task;
use super::wire::{Loss, Target, Weight, WireError};

pub use health::Health;

use crate::model::Message;
use engine::Engine;
use session::Actor;

/// How many messages may be on their way without an acknowledgement; AWS IoT allows about a hundred.
const MAX_UNACKNOWLEDGED: usize = 50;
/// How many messages may wait to be sent; more than all that is ever retained for a few heaters.
const MAX_WAITING: usize = 4096;
/// How many filters may wait to be asked for.
const MAX_FILTERS: usize = 64;
/// The largest message that is sent, in bytes of topic and payload; as large as the largest that is received.
const MAX_PUBLICATION: usize = 1 << 20;

/// What one session needs.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Where to connect to.
    pub target: Target,
    /// MQTT keep-alive; nothing received for one and a half times as long (or 5 s longer, if that is more) is a loss.
    pub keep_alive: Duration,
    /// From name lookup to the last SUBACK.
    pub connect_timeout: Duration,
    /// One acknowledgement.
    pub operation_timeout: Duration,
    /// User name, when the broker wants one.
    pub username: Option<String>,
    /// Password, when the broker wants one.
    pub password: Option<SecretString>,
    /// The last will.
    pub will: Option<Message>,
    /// Topic filters, subscribed with QoS 1 and all of them confirmed before the session counts as up.
    pub filters: Vec<String>,
}

/// What a link reports. Sessions are numbered by who dials.
#[derive(Debug)]
pub enum LinkEvent {
    /// CONNACK and every SUBACK are in.
    Up {
        /// The session.
        session: u64,
        /// From the open connection to CONNACK.
        connack_after: Duration,
    },
    /// A message arrived.
    Message {
        /// The session.
        session: u64,
        /// Its topic; [`super::wire::UNREADABLE`] for one that cannot be shown.
        topic: String,
        /// Its payload.
        payload: Bytes,
        /// Whether it had been kept by the broker before the subscription.
        retained: bool,
        /// Its share of what may wait for the daemon; frees it when dropped.
        weight: Weight,
    },
    /// The oldest message under way was acknowledged; told of a [`Link::lenient`] link only.
    Delivered {
        /// The session.
        session: u64,
    },
    /// The server refused or granted a filter; told of a [`Link::lenient`] link only.
    Subscribed {
        /// The session.
        session: u64,
        /// The filter.
        filter: String,
        /// Whether it was granted.
        granted: bool,
    },
    /// The session is over, whether it had been up or not.
    Down {
        /// The session.
        session: u64,
        /// How far it had come.
        stage: SessionStage,
        /// Why.
        error: LinkError,
    },
}

/// What a session was doing when it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionStage {
    /// The connection was not open yet.
    Opening,
    /// CONNECT was on its way, or its answer.
    Connecting,
    /// A filter was asked for; several at once, unless the link is lenient, have no name.
    Subscribing(Option<String>),
    /// It carried messages.
    Serving,
}

/// Why a session is over.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The connection could not be opened.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Connecting and subscribing took too long altogether.
    #[error("connecting took more than {}", humantime::format_duration(*.0))]
    ConnectTimedOut(Duration),
    /// The server refused the session, with the MQTT return code.
    #[error("the server refused the session: {0}")]
    Refused(Refusal),
    /// The server refused a subscription.
    #[error("the server refused the subscription to {0}")]
    SubscriptionRefused(String),
    /// The connection was lost.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// A message was not acknowledged in time.
    #[error("a message was not acknowledged within {}", humantime::format_duration(*.0))]
    Unacknowledged(Duration),
    /// More arrived, or was to be sent, than the queues hold.
    #[error("messages arrive faster than they are handled")]
    Overflow,
    /// It was ended by [`Link::cut`] or [`Link::close`].
    #[error("ended on purpose")]
    OnPurpose,
    /// The MQTT engine or its local socket failed.
    #[error("the MQTT engine failed: {0}")]
    Engine(String),
}

/// The return codes of CONNACK (MQTT 3.1.1, section 3.2.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 1
    #[error("it does not speak MQTT 3.1.1")]
    ProtocolVersion,
    /// 2
    #[error("it does not accept the client id")]
    ClientId,
    /// 3
    #[error("it is unavailable")]
    Unavailable,
    /// 4
    #[error("user name or password are wrong")]
    UsernameOrPassword,
    /// 5
    #[error("not authorized")]
    NotAuthorized,
    /// Any other
    #[error("for a reason that MQTT 3.1.1 does not know")]
    Unknown,
}

enum LinkControl {
    Dial(u64, Box<Dial>),
    Cut(u64),
    Close(u64),
    Overflow(u64),
}

/// The handle of one link; all of it returns at once.
#[derive(Debug)]
pub struct Link {
    control: mpsc::UnboundedSender<LinkControl>,
    publications: mpsc::Sender<(u64, Message)>,
    filters: mpsc::Sender<(u64, String)>,
    health: Arc<Health>,
}

impl Link {
    /// Creates the paho client of this link and its actor, which report to `events`.
    ///
    /// # Errors
    ///
    /// When paho refuses the client id.
    pub fn new(client_id: &str, events: mpsc::Sender<LinkEvent>) -> Result<Self, LinkError> {
        Self::with(client_id, events, false)
    }

    /// Creates a link that goes on when the server refuses a filter. It reports every acknowledgement, and subscribes to
    /// one filter at a time, so that the one at which a server closes the connection is known.
    ///
    /// # Errors
    ///
    /// When paho refuses the client id.
    pub fn lenient(client_id: &str, events: mpsc::Sender<LinkEvent>) -> Result<Self, LinkError> {
        Self::with(client_id, events, true)
    }

    fn with(client_id: &str, events: mpsc::Sender<LinkEvent>, lenient: bool) -> Result<Self, LinkError> {
        // Unbounded, but every sender is bounded by its own state machine: one dial and one cut a session.
        let (control, controls) = mpsc::unbounded_channel();
        let (publications, waiting) = mpsc::channel(MAX_WAITING);
        let (filters, asked) = mpsc::channel(MAX_FILTERS);
        let health = Health::watched();
        let engine = Engine::new(client_id, events.clone(), Arc::clone(&health))?;
        task::spawn(Actor::new(engine, (controls, waiting, asked), events, lenient).run());
        Ok(Self { control, publications, filters, health })
    }

    /// Begins a session; it is reported as [`LinkEvent::Up`], and its end as [`LinkEvent::Down`].
    pub fn dial(&self, session: u64, dial: Dial) {
        let _ = self.control.send(LinkControl::Dial(session, Box::new(dial)));
    }

    /// Ends a session at once, whatever it is doing.
    pub fn cut(&self, session: u64) {
        let _ = self.control.send(LinkControl::Cut(session));
    }

    /// Sends what is waiting and disconnects, in at most three seconds.
    pub fn close(&self, session: u64) {
        let _ = self.control.send(LinkControl::Close(session));
    }

    /// Publishes on a session; what does not belong to the one that is up is discarded. A full queue ends the
    /// session: the far side has stopped to acknowledge. A message of more than 1 MiB is left out with a warning; returns
    /// whether it was not.
    pub fn publish(&self, session: u64, publication: Message) -> bool {
        let bytes = publication.topic.len() + publication.payload.len();
        if bytes > MAX_PUBLICATION {
            let topic = &publication.topic;
            warn!("A message to {topic:.64} has {bytes} bytes and is not sent: the limit is {MAX_PUBLICATION}");
            return false;
        }
        if self.publications.try_send((session, publication)).is_err() {
            let _ = self.control.send(LinkControl::Overflow(session));
        }
        true
    }

    /// Asks for a filter on the session that is up; the answer of a lenient link is [`LinkEvent::Subscribed`].
    pub fn subscribe(&self, session: u64, filter: String) {
        // Whoever asks, asks again.
        let _ = self.filters.try_send((session, filter));
    }

    /// Returns what is known of the actor's health.
    pub fn health(&self) -> &Health {
        &self.health
    }
}
