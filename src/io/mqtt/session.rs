//! The actor of a link: one session after the other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use paho_mqtt as paho;
use tokio::sync::mpsc;
use tracing::{debug, error, info};

use super::engine::{Connecting, Engine};
use super::{Dial, LinkControl, LinkError, LinkEvent, MAX_UNACKNOWLEDGED, Refusal, SessionStage};
use crate::io::clock::{self, TimedOut};
use crate::io::wire::{
    End, EngineStream, EngineTransport, InboundLimits, Loss, OneShot, Pump, StalePacketFilter, Wire,
};
use crate::model::Message;

/// AWS IoT takes at most so many filters in one SUBSCRIBE (protocol reference, section 2).
const FILTERS_AT_ONCE: usize = 8;
/// How often an actor with nothing to do shows that it turns.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// paho notices a closed local socket within milliseconds.
const NOTICE_LIMIT: Duration = Duration::from_secs(10);
/// Each of the three parts of a disconnection.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// paho looks at its timers every few seconds only, so a ping can be so late (its `retryLoopInterval`).
const PING_SLACK: Duration = Duration::from_secs(5);
/// paho connects to the local socket at once.
const ACCEPT_LIMIT: Duration = Duration::from_secs(5);

/// What the link's handle sends: orders, messages, filters.
type FromHandle = (mpsc::UnboundedReceiver<LinkControl>, mpsc::Receiver<(u64, Message)>, mpsc::Receiver<(u64, String)>);

type Delivery = Pin<Box<dyn Future<Output = Result<Result<(), paho::Error>, TimedOut>> + Send>>;

/// Owns the engine of one link.
pub struct Actor {
    engine: Engine,
    orders: Orders,
    waiting: mpsc::Receiver<(u64, Message)>,
    filters: mpsc::Receiver<(u64, String)>,
    events: mpsc::Sender<LinkEvent>,
    /// Whether a refused filter ends no session, and acknowledgements are told.
    lenient: bool,
    stage: SessionStage,
    /// How paho was reached last.
    way: EngineTransport,
    /// Set when paho is beyond use: every dial fails, and the link no longer counts as healthy.
    broken: bool,
}

impl Actor {
    pub fn new(
        engine: Engine,
        (controls, waiting, filters): FromHandle,
        events: mpsc::Sender<LinkEvent>,
        lenient: bool,
    ) -> Self {
        let orders = Orders { controls, next: None };
        let (stage, way) = (SessionStage::Opening, EngineTransport::Ipv4);
        Self { engine, orders, waiting, filters, events, lenient, stage, way, broken: false }
    }

    /// Runs until the link's handle is dropped.
    pub async fn run(mut self) {
        while let Some((session, dial)) = self.next_dial().await {
            // Dials that follow each other quickly leave no time for the heartbeat.
            self.turned();
            self.stage = SessionStage::Opening;
            let error = match self.session(session, &dial).await {
                Ok(()) => LinkError::OnPurpose,
                Err(error) => error,
            };
            let stage = self.stage.clone();
            self.settle().await;
            self.turned();
            debug!(session, "MQTT session over: {error}");
            if self.events.send(LinkEvent::Down { session, stage, error }).await.is_err() {
                return;
            }
        }
    }

    async fn next_dial(&mut self) -> Option<(u64, Box<Dial>)> {
        loop {
            tokio::select! {
                dial = self.orders.next_dial() => return dial,
                // Belongs to a session that is gone.
                Some(_) = self.waiting.recv() => {}
                Some(_) = self.filters.recv() => {}
                () = clock::sleep(HEARTBEAT) => self.show_life().await,
            }
        }
    }

    async fn show_life(&self) {
        if self.engine.prove_free().await.is_ok() {
            self.turned();
        }
    }

    fn turned(&self) {
        if !self.broken {
            self.engine.health.alive();
        }
    }

    /// Waits until paho knows that its connection is gone; only then the next one may be made.
    async fn settle(&mut self) {
        if clock::within(NOTICE_LIMIT, self.engine.shared.disconnected()).await.is_ok() {
            return;
        }
        // An error says that there was nothing to disconnect.
        if clock::within(NOTICE_LIMIT, self.engine.disconnect()).await.is_ok() {
            return;
        }
        error!("The MQTT engine does not notice that its connection is gone");
        self.broken = true;
    }

    async fn session(&mut self, session: u64, dial: &Dial) -> Result<(), LinkError> {
        if self.broken {
            return Err(LinkError::Engine("it is beyond use".into()));
        }
        self.engine.begin(session);
        let deadline = clock::now() + dial.connect_timeout;
        let wire = tokio::select! {
            opened = until(deadline, Wire::open(&dial.target, dial.connect_timeout)) => {
                opened.ok_or(LinkError::ConnectTimedOut(dial.connect_timeout))??
            }
            _ = self.orders.end_of(session) => return Ok(()),
        };
        let begun = clock::now();
        self.stage = SessionStage::Connecting;
        let mut pump = self.connect(session, dial, wire, deadline).await?;
        let connack_after = clock::now().duration_since(begun);
        let marker = [marker(session)];
        let at_once = if self.lenient { 1 } else { FILTERS_AT_ONCE };
        for filters in std::iter::once(marker.as_slice()).chain(dial.filters.chunks(at_once)) {
            if !self.subscribe(session, filters, (deadline, dial.connect_timeout), &mut pump).await? {
                return Ok(());
            }
        }
        self.stage = SessionStage::Serving;
        let up = LinkEvent::Up { session, connack_after };
        self.events.send(up).await.map_err(|_| LinkError::OnPurpose)?;
        self.serve(session, dial, &mut pump).await
    }

    /// Subscribes to filters; returns whether the session goes on.
    async fn subscribe(
        &mut self,
        session: u64,
        filters: &[String],
        (deadline, limit): (Instant, Duration),
        pump: &mut Pump,
    ) -> Result<bool, LinkError> {
        let marker = marker(session);
        self.stage = SessionStage::Subscribing(match filters {
            [one] if *one != marker => Some(one.clone()),
            _ => None,
        });
        let done = tokio::select! {
            biased;
            done = until(deadline, self.engine.subscribe(filters)) => done,
            // paho does not answer a SUBSCRIBE that it had not sent yet when the connection went.
            end = pump.ended() => return Err(lost(end)),
            _ = self.orders.end_of(session) => return Ok(false),
        };
        let granted = match done {
            Some(Ok(())) => true,
            Some(Err(LinkError::SubscriptionRefused(_))) if self.lenient => false,
            Some(Err(error)) => return Err(cause(pump, error).await),
            None => return Err(LinkError::ConnectTimedOut(limit)),
        };
        if self.lenient {
            for filter in filters.iter().filter(|filter| **filter != marker) {
                let answer = LinkEvent::Subscribed { session, filter: filter.clone(), granted };
                self.events.send(answer).await.map_err(|_| LinkError::OnPurpose)?;
            }
        }
        Ok(true)
    }

    /// Joins the wire to paho and waits for CONNACK.
    async fn connect(&mut self, session: u64, dial: &Dial, wire: Wire, deadline: Instant) -> Result<Pump, LinkError> {
        let (stream, mut connecting) = self.reach_engine(dial).await?;
        let limits = InboundLimits {
            silence: dial.keep_alive + PING_SLACK.max(dial.keep_alive / 2),
            backlog: Arc::clone(&self.engine.backlog),
        };
        let mut pump = Pump::start(wire, stream, limits, StalePacketFilter::new(marker(session)));
        let given_up = tokio::select! {
            answer = &mut connecting => match answer {
                Ok(()) => return Ok(pump),
                Err(error) => return Err(cause(&mut pump, error).await),
            },
            () = clock::sleep_until(deadline) => LinkError::ConnectTimedOut(dial.connect_timeout),
            _ = self.orders.end_of(session) => LinkError::OnPurpose,
        };
        pump.cut();
        self.see_out(connecting).await;
        Err(given_up)
    }

    /// Lets paho connect to a socket of ours: the way that was used last, and the others if that fails.
    async fn reach_engine(&mut self, dial: &Dial) -> Result<(EngineStream, Connecting), LinkError> {
        let mut failures = Vec::new();
        for way in self.way.and_others() {
            match self.reach_over(way, dial).await {
                Ok(reached) => {
                    if !failures.is_empty() {
                        info!("The MQTT engine is reached over {way} now, not over {}", failures.join("; not over "));
                    }
                    return Ok(reached);
                }
                Err(error) => failures.push(format!("{way}: {error}")),
            }
        }
        Err(LinkError::Engine(format!("it cannot be reached over {}", failures.join("; over "))))
    }

    async fn reach_over(&mut self, way: EngineTransport, dial: &Dial) -> Result<(EngineStream, Connecting), LinkError> {
        let local = |error: std::io::Error| LinkError::Engine(error.to_string());
        let socket = OneShot::open(way).await.map_err(local)?;
        self.way = way;
        let mut connecting = self.engine.connect(socket.uri(), dial);
        tokio::select! {
            biased;
            accepted = socket.accept(ACCEPT_LIMIT) => match accepted {
                Ok(stream) => Ok((stream, connecting)),
                Err(error) => {
                    self.see_out(connecting).await;
                    Err(local(error))
                }
            },
            early = &mut connecting => Err(early.err().unwrap_or(LinkError::Engine("it connected elsewhere".into()))),
        }
    }

    /// Waits until paho has given up an attempt; before that it must not be asked for another.
    async fn see_out(&mut self, connecting: Connecting) {
        if clock::within(NOTICE_LIMIT, connecting).await.is_err() {
            self.broken = true;
        }
    }

    /// Carries messages until the session ends.
    async fn serve(&mut self, session: u64, dial: &Dial, pump: &mut Pump) -> Result<(), LinkError> {
        let mut on_the_way: FuturesUnordered<Delivery> = FuturesUnordered::new();
        let mut batch = Vec::new();
        loop {
            self.engine.health.alive();
            let room = MAX_UNACKNOWLEDGED - on_the_way.len();
            tokio::select! {
                end = pump.ended() => {
                    // What was acknowledged before is not what it ended at.
                    while let Some(Some(Ok(Ok(())))) = on_the_way.next().now_or_never() {
                        self.tell_delivered(session).await?;
                    }
                    return Err(lost(end));
                }
                purpose = self.orders.end_of(session) => match purpose {
                    Purpose::Cut => return Ok(()),
                    Purpose::Overflow => return Err(LinkError::Overflow),
                    Purpose::Close => {
                        self.disconnect_gracefully(session, &mut on_the_way, pump).await;
                        return Ok(());
                    }
                },
                () = self.engine.shared.overflowed() => return Err(LinkError::Overflow),
                Some(delivered) = on_the_way.next() => match delivered {
                    Ok(Ok(())) => self.tell_delivered(session).await?,
                    Ok(Err(error)) => return Err(cause(pump, LinkError::Engine(error.to_string())).await),
                    Err(TimedOut(limit)) => return Err(LinkError::Unacknowledged(limit)),
                },
                count = self.waiting.recv_many(&mut batch, room), if room > 0 => {
                    if count == 0 {
                        return Ok(());
                    }
                    if let Err(error) = self.send(session, &mut batch, &mut on_the_way, dial.operation_timeout) {
                        return Err(cause(pump, error).await);
                    }
                }
                Some((owner, filter)) = self.filters.recv() => {
                    let limit = (clock::now() + dial.operation_timeout, dial.operation_timeout);
                    if owner == session && !self.subscribe(session, &[filter], limit, pump).await? {
                        return Ok(());
                    }
                    self.stage = SessionStage::Serving;
                }
                () = clock::sleep(HEARTBEAT) => self.show_life().await,
            }
        }
    }

    async fn tell_delivered(&self, session: u64) -> Result<(), LinkError> {
        if self.lenient {
            self.events.send(LinkEvent::Delivered { session }).await.map_err(|_| LinkError::OnPurpose)?;
        }
        Ok(())
    }

    fn send(
        &self,
        session: u64,
        batch: &mut Vec<(u64, Message)>,
        on_the_way: &mut FuturesUnordered<Delivery>,
        limit: Duration,
    ) -> Result<(), LinkError> {
        let ours = batch.drain(..).filter(|(owner, _)| *owner == session).map(|(_, publication)| publication);
        for token in self.engine.publish(ours)? {
            on_the_way.push(Box::pin(clock::within(limit, token)));
        }
        Ok(())
    }

    /// Sends what waits, then DISCONNECT, and lets the last byte out. What does not get through is left to the will.
    async fn disconnect_gracefully(
        &mut self,
        session: u64,
        on_the_way: &mut FuturesUnordered<Delivery>,
        pump: &mut Pump,
    ) {
        let mut waiting = Vec::new();
        while let Ok(one) = self.waiting.try_recv() {
            waiting.push(one);
        }
        let deliver = async {
            while on_the_way.next().await.is_some() {}
            for some in waiting.chunks(MAX_UNACKNOWLEDGED) {
                self.send(session, &mut some.to_vec(), on_the_way, FAREWELL_LIMIT)?;
                while on_the_way.next().await.is_some() {}
            }
            Ok::<_, LinkError>(())
        };
        if !matches!(clock::within(FAREWELL_LIMIT, deliver).await, Ok(Ok(()))) {
            return pump.cut();
        }
        let _ = clock::within(FAREWELL_LIMIT, self.engine.disconnect()).await;
        let _ = clock::within(FAREWELL_LIMIT, pump.ended()).await;
    }
}

/// What the link's handle asks for.
struct Orders {
    controls: mpsc::UnboundedReceiver<LinkControl>,
    /// A dial that arrived while the session before it was still there.
    next: Option<(u64, Box<Dial>)>,
}

/// How a session is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Cut,
    Close,
    Overflow,
}

impl Orders {
    /// Waits for the next session; `None` when the handle is gone.
    async fn next_dial(&mut self) -> Option<(u64, Box<Dial>)> {
        loop {
            if let Some(next) = self.next.take() {
                return Some(next);
            }
            if let LinkControl::Dial(session, dial) = self.controls.recv().await? {
                return Some((session, dial));
            }
        }
    }

    /// Waits until `session` is to end; a newer dial and the loss of the handle end it as well.
    async fn end_of(&mut self, session: u64) -> Purpose {
        loop {
            match self.controls.recv().await {
                Some(LinkControl::Close(which)) if which == session => return Purpose::Close,
                Some(LinkControl::Cut(which)) if which == session => return Purpose::Cut,
                Some(LinkControl::Overflow(which)) if which == session => return Purpose::Overflow,
                Some(LinkControl::Cut(_) | LinkControl::Close(_) | LinkControl::Overflow(_)) => {}
                Some(LinkControl::Dial(newer, dial)) => {
                    self.next = Some((newer, dial));
                    return Purpose::Cut;
                }
                None => return Purpose::Cut,
            }
        }
    }
}

/// The subscription that never leaves the process and tells old from new ([`StalePacketFilter`]).
fn marker(session: u64) -> String {
    format!("$navien2mqtt/session/{session}")
}

async fn until<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    clock::within(deadline.saturating_duration_since(clock::now()), work).await.ok()
}

/// Prefers what the wire knows over what paho says of the same event, unless the server answered in words.
async fn cause(pump: &mut Pump, error: LinkError) -> LinkError {
    let in_words = match error {
        LinkError::Refused(refusal) => refusal != Refusal::Unknown,
        LinkError::SubscriptionRefused(_) => true,
        _ => false,
    };
    if in_words {
        return error;
    }
    match clock::within(FAREWELL_LIMIT, pump.ended()).await {
        Ok(End::Lost(loss)) => loss.into(),
        _ => error,
    }
}

fn lost(end: End) -> LinkError {
    match end {
        End::Lost(loss) => loss.into(),
        // Its own ping was not answered, or it did not like what it read.
        End::ByEngine => Loss::Broken("the MQTT engine gave it up".into()).into(),
        End::Cut => LinkError::OnPurpose,
    }
}
