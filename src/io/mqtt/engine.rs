//! One paho client, and the rules under which it may be called.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use paho_mqtt as paho;
use secrecy::ExposeSecret;
use tokio::sync::{Notify, mpsc};

use super::{Dial, Health, LinkError, LinkEvent, MAX_UNACKNOWLEDGED, Refusal};
use crate::io::wire::Backlog;
use crate::model::Message;

const QOS: i32 = 1;

/// What the callbacks, which run under paho's lock, and the actor both see.
#[derive(Debug, Default)]
pub struct Shared {
    /// The session whose messages arrive now.
    session: AtomicU64,
    /// Whether paho believes to be connected.
    connected: AtomicBool,
    overflow: AtomicBool,
    /// Wakes the actor after a change of the two.
    changed: Notify,
}

impl Shared {
    /// Waits until more arrived than could be handed on.
    pub async fn overflowed(&self) {
        while !self.overflow.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }

    /// Waits until paho has noticed that its connection is gone.
    pub async fn disconnected(&self) {
        while self.connected.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }
}

/// An attempt to connect, until CONNACK.
pub type Connecting = Pin<Box<dyn Future<Output = Result<(), LinkError>> + Send>>;

/// The paho client. One clone of it is leaked, so that none of its drops is ever the last one.
#[derive(Clone)]
pub struct Engine {
    client: paho::AsyncClient,
    pub shared: Arc<Shared>,
    pub health: Arc<Health>,
    /// What arrived and waits for the daemon.
    pub backlog: Arc<Backlog>,
}

impl Engine {
    pub fn new(client_id: &str, events: mpsc::Sender<LinkEvent>, health: Arc<Health>) -> Result<Self, LinkError> {
        let options = paho::CreateOptionsBuilder::new_v3()
            .server_uri("tcp://127.0.0.1:1")
            .client_id(client_id)
            .persistence(None)
            .max_buffered_messages(10 * MAX_UNACKNOWLEDGED as i32)
            .finalize();
        let client = paho::AsyncClient::new(options).map_err(failed)?;
        std::mem::forget(client.clone());

        let shared = Arc::new(Shared::default());
        let lost = Arc::clone(&shared);
        client.set_connection_lost_callback(move |_| {
            lost.connected.store(false, Ordering::Release);
            lost.changed.notify_one();
        });
        let arrived = Arc::clone(&shared);
        let backlog = Arc::new(Backlog::default());
        let waiting = Arc::clone(&backlog);
        client.set_message_callback(move |_, message| {
            let Some(message) = message else { return };
            if !hand_on(&message, &arrived, &waiting, &events) {
                arrived.overflow.store(true, Ordering::Release);
                arrived.changed.notify_one();
            }
        });
        Ok(Self { client, shared, health, backlog })
    }

    /// Calls paho on the blocking pool: its lock may be held by somebody else.
    pub async fn call<T, F>(&self, call: F) -> Result<T, LinkError>
    where
        T: Send + 'static,
        F: FnOnce(&paho::AsyncClient) -> T + Send + 'static,
    {
        let client = self.client.clone();
        let health = Arc::clone(&self.health);
        tokio::task::spawn_blocking(move || health.during(|| call(&client)))
            .await
            .map_err(|error| LinkError::Engine(error.to_string()))
    }

    /// Makes room for a new session and gives its messages their number.
    pub fn begin(&self, session: u64) {
        self.shared.session.store(session, Ordering::Release);
        self.shared.overflow.store(false, Ordering::Release);
    }

    /// Connects to the local socket `uri`. The result is awaited to its own end: a connect that is given up half-way
    /// locks paho up. Cutting the pump ends it at once.
    pub fn connect(&self, uri: String, dial: &Dial) -> Connecting {
        let options = connect_options(uri, dial);
        let engine = self.clone();
        Box::pin(async move {
            // Set before and not after: the loss may be reported before this task runs again.
            engine.shared.connected.store(true, Ordering::Release);
            let token = engine.call(move |client| client.connect(options)).await?;
            token.await.map(|_| ()).map_err(|error| {
                engine.shared.connected.store(false, Ordering::Release);
                refused(error)
            })
        })
    }

    /// Subscribes to at most eight filters.
    pub async fn subscribe(&self, filters: &[String]) -> Result<(), LinkError> {
        let asked = filters.to_vec();
        let token = self.call(move |client| client.subscribe_many_same_qos(&asked, QOS)).await?;
        let answer = token.await.map_err(|error| match (error, filters) {
            // What paho makes of a single return code 0x80; a loss of the connection has a name of its own.
            (paho::Error::Failure, [one]) if self.shared.connected.load(Ordering::Acquire) => {
                LinkError::SubscriptionRefused(one.clone())
            }
            (error, _) => failed(error),
        })?;
        let granted = answer
            .subscribe_many_response()
            .or_else(|| answer.subscribe_response().map(|one| vec![one]))
            .unwrap_or_default();
        for (place, filter) in filters.iter().enumerate() {
            if granted.get(place).is_none_or(|qos| !(0..=2).contains(qos)) {
                return Err(LinkError::SubscriptionRefused(filter.clone()));
            }
        }
        Ok(())
    }

    /// Hands messages to paho. Not on the blocking pool, for two switches between threads would cost more than all else:
    /// paho holds its lock for microseconds, and a lock that is never released ends the process here as well.
    pub fn publish(&self, batch: impl Iterator<Item = Message>) -> Result<Vec<paho::DeliveryToken>, LinkError> {
        let publish = || batch.map(|one| self.client.try_publish(message(&one))).collect::<Result<_, _>>();
        self.health.during(publish).map_err(failed)
    }

    pub async fn disconnect(&self) -> Result<(), LinkError> {
        let token = self.call(|client| client.disconnect(None)).await?;
        let outcome = token.await.map(|_| ()).map_err(failed);
        if outcome.is_ok() {
            self.shared.connected.store(false, Ordering::Release);
        }
        outcome
    }

    /// Asks paho for something small, which proves that its lock is free.
    pub async fn prove_free(&self) -> Result<(), LinkError> {
        self.call(paho::AsyncClient::is_connected).await.map(|_| ())
    }
}

fn connect_options(uri: String, dial: &Dial) -> paho::ConnectOptions {
    let mut options = paho::ConnectOptionsBuilder::with_mqtt_version(paho::MQTT_VERSION_3_1_1);
    options
        .server_uris(&[uri])
        .keep_alive_interval(dial.keep_alive)
        .connect_timeout(dial.connect_timeout)
        .clean_session(true)
        .max_inflight(2 * MAX_UNACKNOWLEDGED as i32);
    if let Some(username) = &dial.username {
        options.user_name(username);
    }
    if let Some(password) = &dial.password {
        options.password(password.expose_secret());
    }
    if let Some(will) = &dial.will {
        options.will_message(message(will));
    }
    options.finalize()
}

fn hand_on(message: &paho::Message, shared: &Shared, backlog: &Arc<Backlog>, events: &mpsc::Sender<LinkEvent>) -> bool {
    let Some(weight) = backlog.add(message.topic().len() + message.payload().len()) else { return false };
    let event = LinkEvent::Message {
        session: shared.session.load(Ordering::Acquire),
        topic: message.topic().to_owned(),
        payload: Bytes::copy_from_slice(message.payload()),
        retained: message.retained(),
        weight,
    };
    events.try_send(event).is_ok()
}

fn message(publication: &Message) -> paho::Message {
    paho::MessageBuilder::new()
        .topic(&publication.topic)
        .payload(publication.payload.as_ref())
        .qos(QOS)
        .retained(publication.retained)
        .finalize()
}

fn refused(error: paho::Error) -> LinkError {
    use paho::ConnectReturnCode as Code;
    LinkError::Refused(match error {
        paho::Error::ConnectReturn(Code::UnacceptableProtocolVersion) => Refusal::ProtocolVersion,
        paho::Error::ConnectReturn(Code::IdentifierRejected) => Refusal::ClientId,
        paho::Error::ConnectReturn(Code::ServerUnavailable) => Refusal::Unavailable,
        paho::Error::ConnectReturn(Code::BadUserNameOrPassword) => Refusal::UsernameOrPassword,
        paho::Error::ConnectReturn(Code::NotAuthorized) => Refusal::NotAuthorized,
        // What paho makes of a return code above 5, and of little else.
        paho::Error::Failure => Refusal::Unknown,
        other => return failed(other),
    })
}

/// Names an error of paho. Its own text can hold a message, so only the kinds that cannot are shown whole.
fn failed(error: paho::Error) -> LinkError {
    LinkError::Engine(match error {
        paho::Error::Publish(code, _) => format!("publish failed with {code}"),
        other => other.to_string(),
    })
}
