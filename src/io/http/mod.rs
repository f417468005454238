//! A small HTTP server that only shows. It runs in a thread of its own and asks the loop for what it does not have: at
//! most twice a second for each document, however many clients ask, so that none of them is felt on the links.

mod client;
mod connection;
mod hosts;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::StatusCode;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot, watch};
use tracing::{info, warn};

use super::{clock, task};
pub use client::get;
use hosts::AllowedHosts;

/// So many connections are open at once; others wait in the system's queue. So many of them may be streams.
const MAX_CONNECTIONS: usize = 32;
const MAX_STREAMS: usize = 24;
/// The loop is asked for a document no more often.
const FRESH: Duration = Duration::from_millis(500);
/// The loop answers within this, or it is not well.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// An address that cannot be listened at is tried again so often.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);
/// What the system holds for a client that takes nothing, in bytes; it would take megabytes.
const SEND_BUFFER: u32 = 64 * 1024;
/// So many clients wait in the system's queue.
const BACKLOG: u32 = 128;

/// What the loop can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Document {
    /// `/metrics` in the format of Prometheus.
    Metrics,
    /// `/metrics` in that of OpenMetrics.
    OpenMetrics,
    /// `/healthz`
    Health,
    /// `/readyz`
    Ready,
    /// `/state`, and each event of the stream.
    State,
    /// `/history`
    History,
}

/// An answer of the loop.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// 200, or 503 when something is wrong.
    pub status: StatusCode,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The body.
    pub body: Bytes,
}

/// A question to the loop.
#[derive(Debug)]
pub struct Question {
    /// What is asked for.
    pub document: Document,
    /// Where the answer goes.
    pub answer: oneshot::Sender<HttpAnswer>,
}

/// A file that the server has itself: path, media type, content.
pub type StaticFile = (&'static str, &'static str, &'static str);

/// The loop's end of the server.
#[derive(Debug)]
pub struct HttpServer {
    questions: mpsc::Receiver<Question>,
    version: watch::Sender<u64>,
}

impl HttpServer {
    /// Starts the server. An address that cannot be listened at yet is tried again, and costs nothing else.
    ///
    /// # Errors
    ///
    /// When the thread cannot be started.
    pub fn start(listen: SocketAddr, hosts: &[String], files: &'static [StaticFile]) -> io::Result<Self> {
        let (asker, questions) = mpsc::channel(16);
        let (version, versions) = watch::channel(0);
        let site = Arc::new(Site {
            files,
            hosts: AllowedHosts::new(hosts),
            asker,
            versions,
            answers: Default::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("http".into()).spawn(move || runtime.block_on(site.serve(listen)))?;
        Ok(Self { questions, version })
    }

    /// Returns the next question; without a server there is none.
    pub async fn recv(server: &mut Option<Self>) -> Option<Question> {
        match server {
            Some(server) => server.questions.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Tells the streams that there is something new when `version` is another one than before.
    pub fn set_version(&self, version: u64) {
        self.version.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

/// What the connections share.
struct Site {
    files: &'static [StaticFile],
    hosts: AllowedHosts,
    asker: mpsc::Sender<Question>,
    versions: watch::Receiver<u64>,
    /// The newest answers of the loop; whoever holds it is the one who asks.
    answers: Mutex<Vec<(Document, Instant, HttpAnswer)>>,
    streams: Arc<Semaphore>,
}

impl Site {
    async fn serve(self: Arc<Self>, listen: SocketAddr) {
        let listener = listener(listen).await;
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // It is never closed.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let site = Arc::clone(&self);
                    task::spawn(async move {
                        site.handle(stream).await;
                        drop(permit);
                    });
                }
                // No descriptor is left, or the client is gone already.
                Err(_) => clock::sleep(ACCEPT_AGAIN).await,
            }
        }
    }

    /// Asks the loop, or gives what it answered a moment ago.
    async fn ask(&self, document: Document) -> HttpAnswer {
        let mut answers = self.answers.lock().await;
        let now = clock::now();
        answers.retain(|(_, at, _)| now.saturating_duration_since(*at) < FRESH);
        if let Some((_, _, answer)) = answers.iter().find(|(of, _, _)| *of == document) {
            return answer.clone();
        }
        let (sender, receiver) = oneshot::channel();
        let asked = self.asker.try_send(Question { document, answer: sender });
        let answer = match asked {
            Ok(()) => clock::within(ANSWER_LIMIT, receiver).await.ok().and_then(Result::ok),
            Err(_) => None,
        };
        let answer = answer.unwrap_or_else(|| HttpAnswer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            media_type: "text/plain; charset=utf-8",
            body: Bytes::from_static(b"the event loop does not answer\n"),
        });
        answers.push((document, clock::now(), answer.clone()));
        answer
    }
}

fn listen_at(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // The connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

async fn listener(listen: SocketAddr) -> TcpListener {
    let mut warned = false;
    loop {
        match listen_at(listen) {
            Ok(listener) => {
                info!("The HTTP server listens at http://{listen}/");
                return listener;
            }
            Err(error) if !warned => {
                warn!("The HTTP server cannot listen at {listen}, trying on: {error}");
                warned = true;
            }
            Err(_) => {}
        }
        clock::sleep(LISTEN_AGAIN).await;
    }
}
