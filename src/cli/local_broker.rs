//! What the commands say of the local broker.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::daemon::one_shot::{OneShotError, local_dial};
use crate::io::clock;
use crate::io::mqtt::{Dial, Link, LinkError, LinkEvent, Refusal, SessionStage};
use crate::io::wire::WireError;
use crate::model::Message;
use crate::outputs::mqtt::topics::Topics;

/// A message that was acknowledged comes back at once, or never.
const ECHO_LIMIT: Duration = Duration::from_secs(2);

/// Looks on the local broker for a daemon that is online, with a client id of its own; returns what is wrong.
pub async fn trouble(config: &Config) -> Option<String> {
    match look(config).await {
        Ok(trouble) => trouble,
        Err(OneShotError::Link(LinkError::Refused(refusal))) => Some(format!("refused, {refusal}")),
        Err(error) => Some(error.to_string()),
    }
}

async fn look(config: &Config) -> Result<Option<String>, OneShotError> {
    let topic = Topics::new(&config.broker.base_topic).state();
    let (sender, mut events) = mpsc::channel(16);
    let link = Link::lenient(&format!("{}-cli", config.broker.client_id), sender)?;
    link.dial(1, local_dial(config, vec![topic.clone()])?);
    let hear = async {
        loop {
            match events.recv().await {
                Some(LinkEvent::Message { topic: heard, payload, .. }) if heard == topic => {
                    let online = payload.as_ref() == b"online";
                    return Ok(
                        (!online).then(|| format!("{topic} is not `online`: the daemon has lost it, or does not run"))
                    );
                }
                Some(LinkEvent::Subscribed { granted: false, .. }) => {
                    return Ok(Some(format!("no subscription to {topic}")));
                }
                Some(LinkEvent::Down { error, .. }) => return Err(error.into()),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    };
    // What it keeps comes with the subscription; what it does not keep, with the next status.
    let limit = config.cloud.connect_timeout + config.cloud.operation_timeout;
    let silent = || format!("nothing is said on {topic}: the daemon has not been there");
    clock::within(limit, hear).await.unwrap_or_else(|_| Ok(Some(silent())))
}

/// A session with the local broker under the client id of the commands, and others after it.
pub struct LocalSession<'c> {
    config: &'c Config,
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    number: u64,
}

/// What became of opening a session.
#[derive(Debug)]
pub enum Opened {
    /// It is up; the broker has refused these filters.
    Up(Vec<String>),
    /// It is not, this being how far it came and why.
    Down(SessionStage, LinkError),
}

/// What became of a message to ourselves.
#[derive(Debug)]
pub enum Echo {
    /// It came back after so long.
    Back(Duration),
    /// It did not, although the broker acknowledged it if this says so.
    Swallowed {
        /// Whether it was acknowledged.
        acknowledged: bool,
    },
    /// The broker closed the connection at it.
    Closed(LinkError),
}

impl<'c> LocalSession<'c> {
    /// Prepares the sessions.
    ///
    /// # Errors
    ///
    /// When the MQTT engine cannot be set up.
    pub fn new(config: &'c Config) -> Result<Self, OneShotError> {
        let (sender, events) = mpsc::channel(256);
        let link = Link::lenient(&format!("{}-cli", config.broker.client_id), sender)?;
        Ok(Self { config, link, events, number: 0 })
    }

    /// Opens the next session. What is heard meanwhile is left out.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub async fn open(&mut self, filters: Vec<String>, will: Option<Message>) -> Result<Opened, OneShotError> {
        self.number += 1;
        self.link.dial(self.number, Dial { will, ..local_dial(self.config, filters)? });
        let mut refused = Vec::new();
        loop {
            match self.events.recv().await {
                Some(LinkEvent::Up { session, .. }) if session == self.number => return Ok(Opened::Up(refused)),
                Some(LinkEvent::Down { session, stage, error }) if session == self.number => {
                    return Ok(Opened::Down(stage, error));
                }
                Some(LinkEvent::Subscribed { filter, granted: false, .. }) => refused.push(filter),
                Some(_) => {}
                None => return Ok(Opened::Down(SessionStage::Opening, LinkError::OnPurpose)),
            }
        }
    }

    /// Asks for a filter and returns the first message of it that `wanted` takes within `limit`.
    pub async fn first(
        &mut self,
        limit: Duration,
        filter: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<(String, Bytes)> {
        self.link.subscribe(self.number, filter.to_owned());
        let hear = async {
            loop {
                match self.events.recv().await? {
                    LinkEvent::Message { topic, payload, .. } if wanted(&topic) => return Some((topic, payload)),
                    LinkEvent::Down { .. } | LinkEvent::Subscribed { granted: false, .. } => return None,
                    LinkEvent::Up { .. }
                    | LinkEvent::Message { .. }
                    | LinkEvent::Delivered { .. }
                    | LinkEvent::Subscribed { .. } => {}
                }
            }
        };
        clock::within(limit, hear).await.ok().flatten()
    }

    /// Publishes a message, not retained, on a topic of which there is a subscription, and waits for it to come back.
    pub async fn echo(&mut self, topic: &str, payload: Bytes) -> Echo {
        let begun = clock::now();
        self.link.publish(self.number, Message { topic: topic.to_owned(), payload: payload.clone(), retained: false });
        let mut until = begun + self.config.cloud.operation_timeout;
        let mut acknowledged = false;
        loop {
            let left = until.saturating_duration_since(clock::now());
            match clock::within(left, self.events.recv()).await {
                Ok(Some(LinkEvent::Message { topic: heard, payload: back, .. }))
                    if heard == topic && back == payload =>
                {
                    return Echo::Back(clock::now() - begun);
                }
                Ok(Some(LinkEvent::Delivered { .. })) => {
                    acknowledged = true;
                    until = clock::now() + ECHO_LIMIT;
                }
                Ok(Some(LinkEvent::Down { error, .. })) => return Echo::Closed(error),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Echo::Swallowed { acknowledged },
            }
        }
    }

    /// Disconnects.
    pub async fn close(mut self) {
        self.link.close(self.number);
        let left = async { while !matches!(self.events.recv().await, Some(LinkEvent::Down { .. }) | None) {} };
        let _ = clock::within(Duration::from_secs(3), left).await;
    }
}

/// Names the broker.
pub fn place(config: &Config) -> String {
    let broker = &config.broker;
    format!("{} port {}{}", broker.host, broker.port, if broker.tls { " with TLS" } else { "" })
}

/// Says why no session comes up, and names the broker.
pub fn why(config: &Config, error: &LinkError) -> String {
    match error {
        LinkError::Wire(WireError::TimedOut { .. }) => format!("{}: {error}", place(config)),
        LinkError::Wire(error) => error.to_string(),
        error => format!("{}: {error}", place(config)),
    }
}

/// Returns what is to be done when no session comes up.
pub fn advice(config: &Config, error: &LinkError) -> String {
    let text = match error {
        LinkError::Wire(WireError::Lookup { .. }) => "correct the host in broker.url",
        LinkError::Wire(WireError::Connect { .. }) => "start the broker, or correct broker.url",
        LinkError::Wire(WireError::Certificate { .. }) => {
            "name the root of its certificate in broker.ca_file, and the host by the name in the certificate"
        }
        LinkError::Wire(WireError::Tls { .. }) => "does that port speak TLS? mqtt:// is without, mqtts:// with it",
        LinkError::Wire(_) | LinkError::ConnectTimedOut(_) => "look at the network and the firewall in between",
        LinkError::Refused(Refusal::UsernameOrPassword | Refusal::NotAuthorized)
            if config.broker.username.is_none() =>
        {
            "it wants a login: set broker.username and its password (navien2mqtt setup asks for both)"
        }
        LinkError::Refused(Refusal::UsernameOrPassword | Refusal::NotAuthorized) => {
            "correct broker.username and its password (navien2mqtt setup asks for both)"
        }
        LinkError::Refused(Refusal::ClientId) => "choose another broker.client_id",
        LinkError::Refused(Refusal::ProtocolVersion | Refusal::Unavailable | Refusal::Unknown)
        | LinkError::SubscriptionRefused(_)
        | LinkError::Unacknowledged(_)
        | LinkError::Overflow
        | LinkError::OnPurpose
        | LinkError::Engine(_) => "look into the broker's log",
        LinkError::Lost(_) => "is that an MQTT broker, without TLS for mqtt:// and with it for mqtts://?",
    };
    text.to_owned()
}
