//! One client's connection to the broker.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::packet::v3_1_1::{
    Connack, Connect, Pingresp, Puback, Publish, Suback, Subscribe, Unsuback,
};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, SubackReturnCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::codec::{Decoder, Packet};
use super::{Broker, Publication, filter};
use crate::io::clock;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const WRITE_LIMIT: Duration = Duration::from_secs(30);
const NO_KEEP_ALIVE: Duration = Duration::from_secs(365 * 86_400);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(1200);

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client sent DISCONNECT.
    Disconnected,
    /// The stream ended or failed.
    Lost,
    /// Nothing came for 1.5 times the keep-alive.
    KeepAlive,
    /// Another connection took the client id.
    TakenOver,
    /// The client broke the protocol or a limit.
    Violation,
    /// A fault was asked for.
    Fault,
}

impl Broker {
    /// Serves one client until its connection ends, and publishes its last will unless it said goodbye.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) -> SessionEnd {
        let longest = u32::try_from(self.rules.payload + self.rules.topic + 64).unwrap_or(u32::MAX);
        let mut line = PacketStream { stream, decoder: Decoder::new(longest), buffer: vec![0; 16 * 1024] };
        let (connect, rest) = match clock::within(CONNECT_LIMIT, line.connect()).await {
            Ok(Ok(first)) => first,
            Ok(Err(ended)) => return self.count(ended),
            Err(_) => return self.count(SessionEnd::Violation),
        };
        let ended = self.serve_client(line, &connect, rest).await;
        self.count(ended)
    }

    async fn serve_client<S>(&self, mut line: PacketStream<S>, connect: &Connect, rest: Vec<Packet>) -> SessionEnd
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.faults.mute_connack.load(Ordering::SeqCst) {
            return line.swallow().await;
        }
        if connect.will_flag()
            && !self.rules.retain
            && (connect.will_retain() || connect.will_qos() == Qos::ExactlyOnce)
        {
            return SessionEnd::Violation;
        }
        if connect.client_id().is_empty() && !self.rules.retain {
            let _ = line.send(&connack(ConnectReturnCode::IdentifierRejected)).await;
            return SessionEnd::Violation;
        }
        let (number, queue) = self.enter(connect.client_id());
        let mut presence = Presence { broker: self, connect, number, goodbye: false };
        let mut session = ServedSession {
            broker: self,
            id: connect.client_id(),
            keep_alive: self.keep_alive(connect.keep_alive()),
            line,
            next_id: 0,
        };
        let ended = match session.run(queue, rest).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        };
        presence.goodbye = ended == SessionEnd::Disconnected;
        ended
    }

    fn keep_alive(&self, seconds: u16) -> Duration {
        match seconds {
            0 if self.rules.retain => NO_KEEP_ALIVE,
            0 => LONGEST_KEEP_ALIVE,
            _ => Duration::from_secs(seconds.into()).max(self.rules.keep_alive_floor).mul_f64(1.5),
        }
    }

    fn publish_will(&self, connect: &Connect) {
        let Some(topic) = connect.will_topic().filter(|_| connect.will_flag()) else { return };
        let mut will = Publication::new(topic, connect.will_payload().unwrap_or_default());
        will.qos = connect.will_qos().min(Qos::AtLeastOnce);
        will.retain = connect.will_retain() && self.rules.retain;
        self.publish_from_client(will);
    }

    fn count(&self, ended: SessionEnd) -> SessionEnd {
        self.tally.count().violations += u64::from(ended == SessionEnd::Violation);
        ended
    }
}

/// Takes the client out and publishes its last will, however its connection's future ends.
struct Presence<'a> {
    broker: &'a Broker,
    connect: &'a Connect,
    number: u64,
    goodbye: bool,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.broker.leave(self.connect.client_id(), self.number);
        if !self.goodbye {
            self.broker.publish_will(self.connect);
        }
    }
}

struct PacketStream<S> {
    stream: S,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PacketStream<S> {
    async fn connect(&mut self) -> Result<(Connect, Vec<Packet>), SessionEnd> {
        loop {
            let mut packets = self.read().await?.into_iter();
            match packets.next() {
                Some(Packet::Connect(connect)) => return Ok((connect, packets.collect())),
                Some(_) => return Err(SessionEnd::Violation),
                None => {}
            }
        }
    }

    async fn read(&mut self) -> Result<Vec<Packet>, SessionEnd> {
        match self.stream.read(&mut self.buffer).await {
            Ok(0) | Err(_) => Err(SessionEnd::Lost),
            Ok(length) => self.decoder.feed(&self.buffer[..length]).map_err(|_| SessionEnd::Violation),
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), SessionEnd> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match clock::within(WRITE_LIMIT, write).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SessionEnd::Lost),
        }
    }

    async fn swallow(&mut self) -> SessionEnd {
        while self.read().await.is_ok() {}
        SessionEnd::Fault
    }
}

/// The session's loop never returns but by ending.
enum Never {}

struct ServedSession<'a, S> {
    broker: &'a Broker,
    id: &'a str,
    keep_alive: Duration,
    line: PacketStream<S>,
    next_id: u16,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServedSession<'_, S> {
    async fn run(
        &mut self,
        mut queue: mpsc::Receiver<Arc<Publication>>,
        rest: Vec<Packet>,
    ) -> Result<Never, SessionEnd> {
        self.line.send(&connack(ConnectReturnCode::Accepted)).await?;
        if self.broker.faults.close_after_connack.take() {
            return Err(SessionEnd::Fault);
        }
        for packet in rest {
            self.obey(packet).await?;
        }
        let mut heard = clock::now();
        loop {
            tokio::select! {
                packets = self.line.read() => {
                    heard = clock::now();
                    for packet in packets? {
                        self.obey(packet).await?;
                    }
                }
                // The broker drops the queue's sender when another connection takes the id.
                message = queue.recv() => match message {
                    Some(_) if self.broker.faults.deaf.load(Ordering::SeqCst) => {}
                    Some(message) => self.hand_over(&message).await?,
                    None => return Err(SessionEnd::TakenOver),
                },
                () = clock::sleep_until(heard + self.keep_alive) => return Err(self.overdue(heard)),
            }
        }
    }

    fn overdue(&self, heard: Instant) -> SessionEnd {
        tracing::debug!(client = self.id, silent = ?(clock::now() - heard), "keep-alive missed");
        SessionEnd::KeepAlive
    }

    async fn obey(&mut self, packet: Packet) -> Result<(), SessionEnd> {
        match packet {
            Packet::Publish(publish) => self.publish(&publish).await,
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe).await,
            Packet::Unsubscribe(unsubscribe) => {
                for entry in unsubscribe.entries() {
                    self.broker.remove_filter(self.id, entry.as_str());
                }
                let answer = Unsuback::builder().packet_id(unsubscribe.packet_id()).build();
                self.line.send(&answer.map_err(|_| SessionEnd::Violation)?.to_continuous_buffer()).await
            }
            Packet::Ping => {
                let answer = Pingresp::builder().build().map_err(|_| SessionEnd::Violation)?;
                self.line.send(&answer.to_continuous_buffer()).await
            }
            Packet::Puback => Ok(()),
            Packet::Disconnect => Err(SessionEnd::Disconnected),
            Packet::Connect(_) => Err(SessionEnd::Violation),
        }
    }

    async fn publish(&mut self, publish: &Publish) -> Result<(), SessionEnd> {
        let rules = &self.broker.rules;
        let topic = publish.topic_name();
        let lawful = publish.qos() != Qos::ExactlyOnce
            && (rules.retain || !publish.retain())
            && publish.payload().len() <= rules.payload
            && !topic.is_empty()
            && !topic.contains(['#', '+'])
            && topic.len() <= rules.topic
            && topic.matches('/').count() <= rules.slashes;
        if !lawful {
            return Err(SessionEnd::Violation);
        }
        let mut message = Publication::new(topic, publish.payload().as_slice());
        message.qos = publish.qos();
        message.retain = publish.retain();
        self.broker.publish_from_client(message);
        let Some(id) = publish.packet_id() else { return Ok(()) };
        let answer = Puback::builder().packet_id(id).build().map_err(|_| SessionEnd::Violation)?;
        self.line.send(&answer.to_continuous_buffer()).await
    }

    async fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), SessionEnd> {
        let rules = &self.broker.rules;
        let entries = subscribe.entries();
        if entries.is_empty() || entries.len() > rules.filters {
            return Err(SessionEnd::Violation);
        }
        let refused = self.broker.faults.refuse_suback.take();
        let mut retained = Vec::new();
        let mut codes = Vec::new();
        for entry in entries {
            let topic = entry.topic_filter();
            let long = topic.len() > rules.topic || topic.matches('/').count() > rules.slashes;
            if long || !filter::is_valid(topic) {
                return Err(SessionEnd::Violation);
            }
            if refused {
                codes.push(SubackReturnCode::Failure);
                continue;
            }
            let (qos, code) = match entry.sub_opts().qos() {
                Qos::AtMostOnce => (Qos::AtMostOnce, SubackReturnCode::SuccessMaximumQos0),
                _ => (Qos::AtLeastOnce, SubackReturnCode::SuccessMaximumQos1),
            };
            let kept = self.broker.add_filter(self.id, topic, qos).ok_or(SessionEnd::Violation)?;
            retained.extend(kept.into_iter().map(|message| (message, qos)));
            codes.push(code);
        }
        self.count_subscription(&codes);
        let answer = Suback::builder().packet_id(subscribe.packet_id()).return_codes(codes).build();
        self.line.send(&answer.map_err(|_| SessionEnd::Violation)?.to_continuous_buffer()).await?;
        for (message, granted) in retained {
            let qos = if granted == Qos::AtMostOnce { granted } else { message.qos };
            self.hand_over(&Publication { qos, ..Publication::clone(&message) }).await?;
        }
        Ok(())
    }

    fn count_subscription(&self, codes: &[SubackReturnCode]) {
        let mut tally = self.broker.tally.count();
        tally.subscribes += 1;
        tally.filters += codes.iter().filter(|code| **code != SubackReturnCode::Failure).count() as u64;
    }

    async fn hand_over(&mut self, message: &Publication) -> Result<(), SessionEnd> {
        let publish = Publish::builder().topic_name(message.topic.as_str()).map_err(|_| SessionEnd::Violation)?;
        let mut publish = publish.qos(message.qos).retain(message.retain).payload(message.payload.as_slice());
        if message.qos != Qos::AtMostOnce {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            publish = publish.packet_id(self.next_id);
        }
        let publish = publish.build().map_err(|_| SessionEnd::Violation)?;
        self.line.send(&publish.to_continuous_buffer()).await
    }
}

fn connack(code: ConnectReturnCode) -> Vec<u8> {
    let packet = Connack::builder().session_present(false).return_code(code).build();
    packet.expect("a CONNACK with a return code is complete").to_continuous_buffer()
}
