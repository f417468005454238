//! Listening sockets whose connections can be refused, frozen and reset.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::broker::Times;
use crate::io::{clock, task};

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The faults of one listening socket; clones share one state.
#[derive(Debug, Clone)]
pub struct Door {
    /// Connections are reset as soon as they are accepted.
    pub refuse: Arc<Times>,
    state: watch::Sender<DoorState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct DoorState {
    frozen: bool,
    resets: u64,
    away: bool,
}

impl Default for Door {
    fn default() -> Self {
        Self { refuse: Arc::default(), state: watch::Sender::new(DoorState::default()) }
    }
}

impl Door {
    /// Stops reading from and writing to every connection, and keeps them open.
    pub fn freeze(&self) {
        self.state.send_modify(|state| state.frozen = true);
    }

    /// Ends [`Door::freeze`].
    pub fn thaw(&self) {
        self.state.send_modify(|state| state.frozen = false);
    }

    /// Resets every connection that stands.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Closes the port with every connection, as if the way to it were cut, or opens it again.
    pub fn set_away(&self, away: bool) {
        self.state.send_modify(|state| {
            state.away = away;
            state.resets += u64::from(away);
        });
    }

    async fn until_away(&self, away: bool) {
        let _ = self.state.subscribe().wait_for(|state| state.away == away).await;
    }

    async fn thawed(self) {
        // Without a sender there is no one left to thaw it: as good as thawed.
        let _ = self.state.subscribe().wait_for(|state| !state.frozen).await;
    }

    async fn reset_after(&self, resets: u64) {
        let _ = self.state.subscribe().wait_for(|state| state.resets > resets).await;
    }
}

type Thaw = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// A connection that stands still while its door is frozen.
pub struct FreezableStream {
    stream: TcpStream,
    door: Door,
    reading: Thaw,
    writing: Thaw,
}

impl FreezableStream {
    fn poll_open(door: &Door, thaw: &mut Thaw, cx: &mut Context<'_>) -> Poll<()> {
        if thaw.is_none() && door.state.borrow().frozen {
            *thaw = Some(Box::pin(door.clone().thawed()));
        }
        if let Some(waiting) = thaw {
            ready!(waiting.as_mut().poll(cx));
            *thaw = None;
        }
        Poll::Ready(())
    }
}

impl AsyncRead for FreezableStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Self::poll_open(&this.door, &mut this.reading, cx));
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FreezableStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Self::poll_open(&this.door, &mut this.writing, cx));
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Self::poll_open(&this.door, &mut this.writing, cx));
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

/// A running server; dropping it stops the server and all its connections.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts work that runs until it is stopped.
    pub fn run(work: impl Future<Output = ()> + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let task = task::spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stopped => {}
            }
        });
        Self { stop: Some(stop), task }
    }

    /// Starts handing every connection of `listener` to `handle`.
    pub fn accept<H, F>(listener: TcpListener, door: Door, handle: H) -> Self
    where
        H: Fn(FreezableStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = task::spawn(async move {
            let mut connections = JoinSet::new();
            tokio::select! {
                () = accept_all(listener, &door, &mut connections, handle) => {}
                _ = stopped => {}
            }
            connections.shutdown().await;
        });
        Self { stop: Some(stop), task }
    }

    /// Stops it and waits until its sockets are closed.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Binds `address`; a port that was in use a moment ago is free again at once.
///
/// # Errors
///
/// Fails when the port is taken or may not be used.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

async fn accept_all<H, F>(mut listener: TcpListener, door: &Door, connections: &mut JoinSet<()>, handle: H)
where
    H: Fn(FreezableStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = door.until_away(true) => {
                let Ok(again) = reopened(listener, door).await else { return };
                listener = again;
                continue;
            }
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: give others time to close theirs.
            clock::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        // The second handle keeps the socket open when a frozen connection's owner gives up on it.
        let Ok(socket) = SockRef::from(&stream).try_clone() else { continue };
        if door.refuse.take() {
            let _ = socket.set_linger(Some(Duration::ZERO));
            continue;
        }
        let resets = door.state.borrow().resets;
        let work = handle(FreezableStream { stream, door: door.clone(), reading: None, writing: None });
        let door = door.clone();
        connections.spawn(async move {
            let served = async {
                work.await;
                door.clone().thawed().await;
            };
            tokio::select! {
                () = served => {}
                () = door.reset_after(resets) => { let _ = socket.set_linger(Some(Duration::ZERO)); }
            }
        });
    }
}

/// Closes the port until its door is back.
async fn reopened(listener: TcpListener, door: &Door) -> io::Result<TcpListener> {
    let address = listener.local_addr()?;
    drop(listener);
    door.until_away(false).await;
    bind(address).await
}
