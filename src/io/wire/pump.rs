//! Carries the bytes between an open wire and the MQTT engine's local socket.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::{Backlog, Drain, EngineStream, InboundSanitizer, Loss, READ_SIZE, Source, StalePacketFilter, Wire};
use crate::io::{clock, task};

/// How long one piece may take to leave; then the far side is not there any more.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// How many pieces of [`READ_SIZE`] wait to leave. The engine must always find its socket writable.
const WAITING: usize = 256;
/// The engine closes its socket within milliseconds after the end was shown to it.
const ENGINE_LIMIT: Duration = Duration::from_secs(30);

/// How long what was already received may take to the engine when nothing can be sent any more.
const DRAIN_LIMIT: Duration = Duration::from_millis(200);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The engine closed its side; all that it wrote has been sent.
    ByEngine,
    /// The connection was lost.
    Lost(Loss),
    /// It was cut, by [`Pump::cut`] or by dropping the pump.
    Cut,
}

/// What bounds the way in.
#[derive(Debug)]
pub struct InboundLimits {
    /// Nothing received for so long is a loss.
    pub silence: Duration,
    /// Where what was received waits; nothing is read while that is full.
    pub backlog: Arc<Backlog>,
}

/// The running transport of one connection; dropping it cuts the connection.
#[derive(Debug)]
pub struct Pump {
    task: JoinHandle<End>,
    cut: Arc<Notify>,
}

impl Pump {
    /// Starts to carry bytes.
    pub fn start(wire: Wire, engine: EngineStream, limits: InboundLimits, filter: StalePacketFilter) -> Self {
        let cut = Arc::new(Notify::new());
        Self { task: task::spawn(carry(wire, engine, limits, filter, Arc::clone(&cut))), cut }
    }

    /// Waits for the end; may be called again and again until it returned.
    pub async fn ended(&mut self) -> End {
        (&mut self.task).await.unwrap_or(End::Cut)
    }

    /// Drops the connection, whatever it is doing, and shows its end to the engine.
    pub fn cut(&self) {
        self.cut.notify_one();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.cut();
    }
}

async fn carry(
    wire: Wire,
    engine: EngineStream,
    limits: InboundLimits,
    filter: StalePacketFilter,
    cut: Arc<Notify>,
) -> End {
    let EngineStream { from: mut from_engine, to: mut to_engine } = engine;
    let (answer, answers) = mpsc::channel(WAITING);
    let sanitizer = InboundSanitizer::new(filter.asked());
    let end = {
        let mut inbound = pin!(inbound(wire.source, &mut to_engine, limits, sanitizer, answers));
        tokio::select! {
            () = cut.notified() => End::Cut,
            loss = &mut inbound => End::Lost(loss),
            end = outbound(&mut from_engine, wire.drain, filter, answer) => {
                if matches!(end, End::Lost(_)) {
                    // What the far side said before it went, such as a refusal, may still be on its way to the engine.
                    let _ = clock::within(DRAIN_LIMIT, inbound).await;
                }
                end
            }
        }
    };
    task::spawn(half_close_and_drain(from_engine, to_engine));
    end
}

/// Shows the end to the engine and goes on reading until it has closed its side. A write of the engine must never
/// fail: paho 1.3.16 then frees a message of QoS 1 twice (`MQTTAsync_processCommand`, `MQTTAsync_cleanSession`).
async fn half_close_and_drain(mut from_engine: impl AsyncRead + Unpin, mut to_engine: impl AsyncWrite + Unpin) {
    let _ = to_engine.shutdown().await;
    let mut nowhere = tokio::io::sink();
    let _ = clock::within(ENGINE_LIMIT, tokio::io::copy(&mut from_engine, &mut nowhere)).await;
}

async fn inbound(
    mut source: Source,
    engine: &mut (impl AsyncWrite + Unpin),
    InboundLimits { silence, backlog }: InboundLimits,
    mut sanitizer: InboundSanitizer,
    mut answers: mpsc::Receiver<Vec<u8>>,
) -> Loss {
    let mut passed = Vec::new();
    loop {
        let mut outcome = Ok(());
        passed.clear();
        backlog.has_room().await;
        tokio::select! {
            Some(answer) = answers.recv(), if sanitizer.is_between_packets() => passed = answer,
            received = clock::within(silence, source.next()) => match received {
                Ok(Ok(bytes)) => outcome = sanitizer.pass(&bytes, &mut passed),
                Ok(Err(loss)) => return loss,
                Err(_) => return Loss::KeepAliveTimeout(silence),
            },
        }
        match clock::within(SEND_LIMIT, engine.write_all(&passed)).await {
            Ok(Ok(())) => {}
            // The engine closed its side; the other direction sees that and reports it after the last byte is out.
            Ok(Err(_)) => std::future::pending::<()>().await,
            Err(_) => return Loss::WriteTimeout,
        }
        if let Err(malformed) = outcome {
            return Loss::NotMqtt(malformed);
        }
    }
}

async fn outbound(
    engine: &mut (impl AsyncRead + Unpin),
    mut drain: Drain,
    mut filter: StalePacketFilter,
    answer: mpsc::Sender<Vec<u8>>,
) -> End {
    let (queue, mut queued) = mpsc::channel::<Bytes>(WAITING);
    let read = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_SIZE);
            let (mut out, mut answers) = (Vec::new(), Vec::new());
            match engine.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => filter.pass(&buffer, &mut out, &mut answers),
            }
            if !answers.is_empty() {
                answer.try_send(answers).map_err(|_| Loss::WriteTimeout)?;
            }
            if !out.is_empty() {
                queue.try_send(out.into()).map_err(|_| Loss::WriteTimeout)?;
            }
        }
    };
    let write = async {
        while let Some(bytes) = queued.recv().await {
            clock::within(SEND_LIMIT, drain.send(bytes)).await.map_err(|_| Loss::WriteTimeout)??;
        }
        let _ = clock::within(SEND_LIMIT, drain.close()).await;
        Ok(())
    };
    match tokio::try_join!(read, write) {
        Ok(_) => End::ByEngine,
        Err(loss) => End::Lost(loss),
    }
}
