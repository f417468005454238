//! Carries the bytes between an open wire and the MQTT engine's local socket.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Drain, Gate, Loss, READ_SIZE, Source, Wire};
use crate::io::{clock, task};

/// How long one piece may take to leave; then the far side is not there any more.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// How many pieces of [`READ_SIZE`] wait to leave. The engine must always find its socket writable.
const WAITING: usize = 256;

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The engine closed its side; all that it wrote has been sent.
    ByEngine,
    /// The connection was lost.
    Lost(Loss),
    /// It was cut by [`Pump::cut`].
    Cut,
}

/// The running transport of one connection; dropping it cuts the connection.
#[derive(Debug)]
pub struct Pump {
    task: JoinHandle<End>,
}

impl Pump {
    /// Starts to carry bytes; nothing received for `deaf_after` is a loss.
    pub fn start(wire: Wire, engine: TcpStream, deaf_after: Duration) -> Self {
        Self { task: task::spawn(carry(wire, engine, deaf_after)) }
    }

    /// Waits for the end; may be called again and again until it returned.
    pub async fn ended(&mut self) -> End {
        (&mut self.task).await.unwrap_or(End::Cut)
    }

    /// Drops both sockets, whatever they are doing.
    pub fn cut(&self) {
        self.task.abort();
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(wire: Wire, engine: TcpStream, deaf_after: Duration) -> End {
    let (from_engine, to_engine) = engine.into_split();
    tokio::select! {
        loss = inbound(wire.source, to_engine, deaf_after) => End::Lost(loss),
        end = outbound(from_engine, wire.drain) => end,
    }
}

async fn inbound(mut source: Source, mut engine: OwnedWriteHalf, deaf_after: Duration) -> Loss {
    let mut gate = Gate::default();
    let mut passed = Vec::new();
    loop {
        let bytes = match clock::within(deaf_after, source.next()).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(loss)) => return loss,
            Err(_) => return Loss::Deaf(deaf_after),
        };
        passed.clear();
        let outcome = gate.pass(&bytes, &mut passed);
        match clock::within(SEND_LIMIT, engine.write_all(&passed)).await {
            Ok(Ok(())) => {}
            // The engine closed its side; the other direction sees that and reports it after the last byte is out.
            Ok(Err(_)) => std::future::pending::<()>().await,
            Err(_) => return Loss::Stuck,
        }
        if let Err(malformed) = outcome {
            return Loss::NotMqtt(malformed);
        }
    }
}

async fn outbound(mut engine: OwnedReadHalf, mut drain: Drain) -> End {
    let (queue, mut queued) = mpsc::channel::<Bytes>(WAITING);
    let read = async move {
        loop {
            let mut buffer = BytesMut::with_capacity(READ_SIZE);
            match engine.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => queue.try_send(buffer.freeze()).map_err(|_| Loss::Stuck)?,
            }
        }
    };
    let write = async {
        while let Some(bytes) = queued.recv().await {
            clock::within(SEND_LIMIT, drain.send(bytes)).await.map_err(|_| Loss::Stuck)??;
        }
        let _ = clock::within(SEND_LIMIT, drain.close()).await;
        Ok(())
    };
    match tokio::try_join!(read, write) {
        Ok(_) => End::ByEngine,
        Err(loss) => End::Lost(loss),
    }
}
