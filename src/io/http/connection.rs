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
use tokio::sync::watch;

use super::{Document, HttpAnswer, Site};
use crate::io::clock;

/// A client sends its request within this, and takes the whole answer within that.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// A stream ends after so long; the page begins another one.
const STREAM_LIMIT: Duration = Duration::from_secs(3600);
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

impl Site {
    /// Serves a client until it has its answer, or its time is up.
    pub(super) async fn handle(self: Arc<Self>, client: TcpStream) {
        let streams = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            let (site, streams) = (Arc::clone(&self), &streams);
            async move {
                let response = site.answer(&request).await;
                streams.store(response.headers().get(header::CONTENT_TYPE) == Some(&EVENTS), Ordering::Relaxed);
                Ok::<_, Infallible>(response)
            }
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
        if clock::within(ANSWER_LIMIT, connection.as_mut()).await.is_err() && streams.load(Ordering::Relaxed) {
            let _ = clock::within(STREAM_LIMIT, connection).await;
        }
    }

    async fn answer(self: &Arc<Self>, request: &Request<Incoming>) -> Response<Body> {
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
            "/events" => return self.stream(),
            _ => return respond(StatusCode::NOT_FOUND, TEXT, "There is no such page.\n"),
        };
        let HttpAnswer { status, media_type, body } = self.ask(document).await;
        respond(status, media_type, body)
    }

    /// Begins a stream of events: the state now, and again after each change.
    fn stream(self: &Arc<Self>) -> Response<Body> {
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            return respond(StatusCode::SERVICE_UNAVAILABLE, TEXT, "Too many pages are open.\n");
        };
        let next = async |(site, mut versions, permit, has_begun): (Arc<Self>, watch::Receiver<u64>, _, bool)| {
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
            Some((Ok(Frame::data(Bytes::from(text))), (site, versions, permit, true)))
        };
        let events = unfold((Arc::clone(self), self.versions.clone(), permit, false), next);
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
