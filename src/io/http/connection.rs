//! One connection: one request, and its answer or a stream of events.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{Document, HttpAnswer, Site};
use crate::io::clock;

/// A client sends its request within this, and takes the whole answer within that.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A stream ends after so long; the page begins another one.
const STREAM_LIMIT: Duration = Duration::from_secs(3600);
/// A client that takes nothing of a stream for so long, though there is something at least every [`MOST_APART`], has gone.
const STALLED: Duration = Duration::from_secs(60);
/// Between two events of a stream, at least, which is longer than an answer counts as new, and at most.
const LEAST_APART: Duration = Duration::from_secs(1);
const MOST_APART: Duration = Duration::from_secs(20);
/// What is held of a request, in bytes.
const MAX_BUFFER: usize = 16 * 1024;
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What every answer says to the browser: nothing of a page comes from elsewhere, and nobody else shows it.
const ALWAYS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];
const TEXT: &str = "text/plain; charset=utf-8";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What belongs to a stream.
struct Held {
    /// Set each time when the client has taken what was there before.
    takes: Arc<AtomicBool>,
    /// One of the places.
    _permit: OwnedSemaphorePermit,
}

impl Site {
    /// Serves a client until it has its answer, or its time is up.
    pub(super) async fn handle(self: Arc<Self>, client: TcpStream) {
        let takes = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request: Request<Incoming>| {
            let (site, takes) = (Arc::clone(&self), Arc::clone(&takes));
            async move { Ok::<_, Infallible>(site.answer(&request, takes).await) }
        });
        let mut connection = pin!(
            http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_LIMIT)
                .max_buf_size(MAX_BUFFER)
                .serve_connection(TokioIo::new(client), service)
        );
        // A client that breaks off is its own affair.
        let mut limit = ANSWER_LIMIT;
        let served = async {
            while clock::within(limit, connection.as_mut()).await.is_err() && takes.swap(false, Ordering::Relaxed) {
                limit = STALLED;
            }
        };
        let _ = clock::within(STREAM_LIMIT, served).await;
    }

    /// Answers a request; a stream says with `takes` that the client has taken what was there before.
    async fn answer(self: &Arc<Self>, request: &Request<Incoming>, takes: Arc<AtomicBool>) -> Response<Body> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.hosts.allow(host) {
            let words = "This server does not go by that name. If it should, add the name to `hosts` of [http].\n";
            return respond(StatusCode::MISDIRECTED_REQUEST, TEXT, words);
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, TEXT, "This server only shows.\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        if let Some((_, media_type, content)) = self.files.iter().find(|(of, _, _)| *of == path) {
            return respond(StatusCode::OK, media_type, *content);
        }
        let document = match path {
            "/metrics" if wants_open_metrics(request) => Document::OpenMetrics,
            "/metrics" => Document::Metrics,
            "/healthz" => Document::Health,
            "/readyz" => Document::Ready,
            "/state" => Document::State,
            "/history" => Document::History,
            "/events" => return self.stream(takes),
            _ => return respond(StatusCode::NOT_FOUND, TEXT, "There is no such page.\n"),
        };
        let HttpAnswer { status, media_type, body } = self.ask(document).await;
        respond(status, media_type, body)
    }

    /// Begins a stream of events: the state now, and again after each change.
    fn stream(self: &Arc<Self>, takes: Arc<AtomicBool>) -> Response<Body> {
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "Too many pages are open.\n");
        };
        let next = async |(site, mut versions, held, has_begun): (Arc<Self>, watch::Receiver<u64>, Held, bool)| {
            held.takes.store(true, Ordering::Relaxed);
            let event = match has_begun {
                true => clock::within(MOST_APART, versions.changed()).await.is_ok(),
                false => true,
            };
            if event && has_begun {
                // What changes meanwhile is told by the next one.
                clock::sleep(LEAST_APART).await;
            }
            let answer = if event { Some(site.ask(Document::State).await) } else { None };
            let text = match answer.filter(|answer| answer.status == StatusCode::OK) {
                Some(answer) => [&b"event: state\ndata: "[..], &answer.body, b"\n\n"].concat(),
                None => b":\n\n".to_vec(),
            };
            Some((Ok(Frame::data(Bytes::from(text))), (site, versions, held, true)))
        };
        let held = Held { takes, _permit: permit };
        let events = unfold((Arc::clone(self), self.versions.clone(), held, false), next);
        let mut response = Response::new(StreamBody::new(events).boxed_unsync());
        finish(&mut response, EVENTS);
        response
    }
}

fn respond(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).boxed_unsync());
    *response.status_mut() = status;
    finish(&mut response, HeaderValue::from_static(media_type));
    response
}

fn finish(response: &mut Response<Body>, media_type: HeaderValue) {
    let headers = response.headers_mut();
    headers.extend(ALWAYS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    headers.insert(header::CONTENT_TYPE, media_type);
}

fn wants_open_metrics(request: &Request<Incoming>) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT);
    accepted.iter().any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text")))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use tokio::sync::{Semaphore, mpsc};

    use super::super::{AllowedHosts, Question, listen_at};
    use super::*;
    use crate::io::task;

    /// Serves one client that asks for the stream, with a loop that answers with `status`, and a change every second.
    async fn streams(status: StatusCode) -> (TcpStream, tokio::task::JoinHandle<()>) {
        let (asker, mut questions) = mpsc::channel::<Question>(16);
        let (version, versions) = watch::channel(0u64);
        task::spawn(async move {
            while let Some(question) = questions.recv().await {
                let body = Bytes::from(vec![b'x'; 100_000]);
                let _ = question.answer.send(HttpAnswer { status, media_type: TEXT, body });
            }
        });
        let changing = async move {
            while !version.is_closed() {
                version.send_modify(|version| *version += 1);
                clock::sleep(Duration::from_secs(1)).await;
            }
        };
        task::spawn(changing);
        let streams = Arc::new(Semaphore::new(1));
        let hosts = AllowedHosts::new(&[]);
        let site = Arc::new(Site { files: &[], hosts, asker, versions, answers: Default::default(), streams });
        let listener = listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (client, task::spawn(site.handle(server)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_of_a_stream_does_not_keep_its_place() {
        let (_client, handled) = streams(StatusCode::OK).await;
        let limit = Duration::from_secs(600);
        assert!(clock::within(limit, handled).await.is_ok(), "it is kept for an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_keeps_its_stream_and_gets_nothing_but_states() {
        let (mut client, mut handled) = streams(StatusCode::SERVICE_UNAVAILABLE).await;
        let read = task::spawn(async move {
            let mut text = Vec::new();
            let _ = client.read_to_end(&mut text).await;
            String::from_utf8(text).unwrap()
        });
        assert!(clock::within(Duration::from_secs(600), &mut handled).await.is_err(), "who reads is not cut off");
        handled.abort();
        let text = read.await.unwrap();
        assert!(
            text.contains("\n:\n\n") && !text.contains("event: state"),
            "an answer that is no state is no event: {text}"
        );
    }
}
