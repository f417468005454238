//! Opens every connection of the process, and hands its bytes to the MQTT engine.
//!
//! Name lookup, TCP, TLS and the WebSocket upgrade are done here, each within a limit and each with its own error:
//! the engine's own code for them freezes the process and tells nothing apart. [`Pump`] then carries the bytes between
//! the open [`Wire`] and the engine's local socket; cutting the pump is the abort that the engine lacks.

mod backlog;
mod one_shot;
mod pump;
mod reach;
mod sanitizer;
mod stale_packets;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use super::clock;
use super::retry_after::retry_after;

use crate::foreign_text::Secrets;

pub use backlog::{Backlog, Weight};
pub use one_shot::{EngineStream, EngineTransport, OneShot};
pub use pump::{End, InboundLimits, Pump};
pub use reach::reach;
pub use sanitizer::{InboundSanitizer, Malformed, UNREADABLE};
pub use stale_packets::StalePacketFilter;

/// The largest WebSocket message taken; the cloud's MQTT payloads end at 128 KB.
const MAX_WEBSOCKET_MESSAGE: usize = 1 << 20;
const READ_SIZE: usize = 16 * 1024;
/// The reason of a WebSocket close is cut, in characters; a frame holds 123 bytes of it.
const LONGEST_REASON: usize = 140;

/// Where a connection goes, and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// A name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// What runs above TCP.
    pub transport: Transport,
}

/// What runs above TCP.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Nothing: `mqtt://`.
    Tcp,
    /// TLS: `mqtts://`.
    Tls(Arc<ClientConfig>),
    /// TLS and WebSocket with the sub-protocol `mqtt`: `wss://`.
    WebSocket {
        /// The trusted roots.
        tls: Arc<ClientConfig>,
        /// The presigned URL, which is a secret.
        url: SecretString,
        /// What the far side may repeat and errors must not.
        secrets: Secrets,
    },
}

/// A step on the way to an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectStep {
    /// The name is looked up.
    Lookup,
    /// TCP connects.
    Connect,
    /// TLS shakes hands.
    Handshake,
    /// HTTP upgrades to WebSocket.
    Upgrade,
}

impl std::fmt::Display for ConnectStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ConnectStep::Lookup => "the name lookup",
            ConnectStep::Connect => "the TCP connection",
            ConnectStep::Handshake => "the TLS handshake",
            ConnectStep::Upgrade => "the WebSocket upgrade",
        })
    }
}

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The name is unknown, or nobody answers for it.
    #[error("{host} cannot be looked up: {error}")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// No address accepted a connection.
    #[error("{host} port {port} cannot be reached: {error}")]
    Connect {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What the last address said.
        error: io::Error,
    },
    /// The certificate is not good for this name, these roots or this time.
    #[error("the certificate of {host} is not accepted: {error}")]
    Certificate {
        /// The name.
        host: String,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// TLS failed otherwise.
    #[error("TLS with {host} failed: {error}")]
    Tls {
        /// The name.
        host: String,
        /// What happened.
        error: io::Error,
    },
    /// The server answered the upgrade with another status.
    #[error("the WebSocket upgrade was answered with HTTP {status}")]
    Upgrade {
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, when it was sent.
        retry_after: Option<Duration>,
        /// The server's clock, when it was sent.
        date: Option<SystemTime>,
    },
    /// The server does not speak WebSocket.
    #[error("the WebSocket upgrade failed: {0}")]
    NotWebSocket(String),
    /// A step took too long.
    #[error("{step} took more than {}", humantime::format_duration(*.limit))]
    TimedOut {
        /// Which.
        step: ConnectStep,
        /// How long it may take.
        limit: Duration,
    },
}

impl WireError {
    /// Returns whether the far side can have seen anything of the attempt.
    pub fn reached_server(&self) -> bool {
        !matches!(
            self,
            WireError::Lookup { .. }
                | WireError::Connect { .. }
                | WireError::TimedOut { step: ConnectStep::Lookup | ConnectStep::Connect, .. }
        )
    }
}

/// Why an open connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// The far side closed it.
    #[error("the far side closed the connection{0}")]
    Closed(String),
    /// The system reported an error.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// Nothing came for so long that the far side cannot be there.
    #[error("nothing was received for {}", humantime::format_duration(*.0))]
    KeepAliveTimeout(Duration),
    /// Bytes do not leave, or the engine does not take them.
    #[error("data got stuck on its way")]
    WriteTimeout,
    /// What came is not MQTT.
    #[error("what was received is not MQTT: {0}")]
    NotMqtt(Malformed),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}
type AnyStream = Box<dyn Stream>;

/// An open connection.
pub struct Wire {
    source: Source,
    drain: Drain,
}

enum Source {
    Bytes(ReadHalf<AnyStream>),
    WebSocket(SplitStream<WebSocketStream<AnyStream>>, Secrets),
}

enum Drain {
    Bytes(WriteHalf<AnyStream>),
    WebSocket(SplitSink<WebSocketStream<AnyStream>, Message>),
}

impl Wire {
    /// Opens a connection; `limit` bounds each step.
    ///
    /// # Errors
    ///
    /// Says which step failed and why.
    pub async fn open(target: &Target, limit: Duration) -> Result<Self, WireError> {
        let tcp = reach(&target.host, target.port, limit).await?;
        match &target.transport {
            Transport::Tcp => Ok(Self::of_bytes(Box::new(tcp))),
            Transport::Tls(config) => Ok(Self::of_bytes(handshake(&target.host, tcp, config, limit).await?)),
            Transport::WebSocket { tls, url, secrets } => {
                let stream = handshake(&target.host, tcp, tls, limit).await?;
                Self::upgrade(stream, url, secrets, limit).await
            }
        }
    }

    fn of_bytes(stream: AnyStream) -> Self {
        let (source, drain) = tokio::io::split(stream);
        Self { source: Source::Bytes(source), drain: Drain::Bytes(drain) }
    }

    async fn upgrade(
        stream: AnyStream,
        url: &SecretString,
        secrets: &Secrets,
        limit: Duration,
    ) -> Result<Self, WireError> {
        let mut request = url.expose_secret().into_client_request().map_err(not_websocket)?;
        let headers = request.headers_mut();
        headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("mqtt"));
        headers
            .insert(header::USER_AGENT, HeaderValue::from_static(concat!("navien2mqtt/", env!("CARGO_PKG_VERSION"))));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_SIZE)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_WEBSOCKET_MESSAGE))
            .max_frame_size(Some(MAX_WEBSOCKET_MESSAGE));
        let upgrade = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        let (socket, _) = clock::within(limit, upgrade)
            .await
            .map_err(|_| WireError::TimedOut { step: ConnectStep::Upgrade, limit })?
            .map_err(not_websocket)?;
        let (drain, source) = socket.split();
        Ok(Self { source: Source::WebSocket(source, secrets.clone()), drain: Drain::WebSocket(drain) })
    }
}

impl Source {
    /// Returns the next bytes; empty ones are a sign of life that carries no data.
    async fn next(&mut self) -> Result<Bytes, Loss> {
        match self {
            Source::Bytes(half) => {
                let mut buffer = BytesMut::with_capacity(READ_SIZE);
                match half.read_buf(&mut buffer).await {
                    Ok(0) => Err(Loss::Closed(String::new())),
                    Ok(_) => Ok(buffer.freeze()),
                    Err(error) => Err(broken(error.into())),
                }
            }
            Source::WebSocket(half, secrets) => match half.next().await {
                Some(Ok(Message::Binary(bytes))) => Ok(bytes),
                Some(Ok(Message::Close(Some(frame)))) => {
                    let reason = secrets.one_line(&frame.to_string(), LONGEST_REASON);
                    Err(Loss::Closed(format!(" ({reason})")))
                }
                Some(Ok(Message::Close(None))) | None => Err(Loss::Closed(String::new())),
                Some(Ok(Message::Text(_))) => Err(Loss::Broken("a WebSocket text message instead of MQTT".into())),
                Some(Ok(_)) => Ok(Bytes::new()),
                Some(Err(error)) => Err(broken(error)),
            },
        }
    }
}

impl Drain {
    async fn send(&mut self, bytes: Bytes) -> Result<(), Loss> {
        match self {
            Drain::Bytes(half) => {
                half.write_all(&bytes).await.map_err(|error| Loss::Broken(error.to_string()))?;
                half.flush().await.map_err(|error| Loss::Broken(error.to_string()))
            }
            Drain::WebSocket(half) => half.send(Message::Binary(bytes)).await.map_err(broken),
        }
    }

    /// Says goodbye; what the far side makes of it does not matter any more.
    async fn close(&mut self) {
        let _ = match self {
            Drain::Bytes(half) => half.shutdown().await.map_err(|_| ()),
            Drain::WebSocket(half) => half.close().await.map_err(|_| ()),
        };
    }
}

async fn handshake(
    host: &str,
    tcp: TcpStream,
    config: &Arc<ClientConfig>,
    limit: Duration,
) -> Result<AnyStream, WireError> {
    let failed = |error: io::Error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error @ rustls::Error::InvalidCertificate(_)) => {
            WireError::Certificate { host: host.to_owned(), error: error.clone() }
        }
        _ => WireError::Tls { host: host.to_owned(), error },
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(|error| failed(io::Error::other(error)))?;
    let stream = clock::within(limit, tokio_rustls::TlsConnector::from(Arc::clone(config)).connect(name, tcp))
        .await
        .map_err(|_| WireError::TimedOut { step: ConnectStep::Handshake, limit })?
        .map_err(failed)?;
    Ok(Box::new(stream))
}

fn not_websocket(error: tungstenite::Error) -> WireError {
    match error {
        tungstenite::Error::Http(answer) => WireError::Upgrade {
            status: answer.status().as_u16(),
            retry_after: retry_after(answer.headers(), clock::wall()),
            date: read_header(answer.headers(), header::DATE.as_str())
                .and_then(|text| httpdate::parse_http_date(text).ok()),
        },
        // The URL is a secret: its errors are named without it.
        tungstenite::Error::Url(_) => WireError::NotWebSocket("the URL is not accepted".into()),
        other => WireError::NotWebSocket(other.to_string()),
    }
}

fn read_header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn broken(error: tungstenite::Error) -> Loss {
    match error {
        tungstenite::Error::ConnectionClosed
        | tungstenite::Error::AlreadyClosed
        | tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Loss::Closed(String::new()),
        // TLS says so when the far side closes without a word.
        tungstenite::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Loss::Closed(String::new()),
        other => Loss::Broken(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

    use super::*;

    #[tokio::test]
    async fn the_reason_of_a_close_is_one_line_without_our_secrets() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let ours: AnyStream = Box::new(ours);
        let (_, source) = WebSocketStream::from_raw_socket(ours, Role::Client, None).await.split();
        let secrets = Secrets::new(["you@example.com".into(), "password-1".into()]);
        let mut cloud = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let reason = "bye You@example.com\nERROR \u{202e}password-1".into();
        cloud.close(Some(CloseFrame { code: CloseCode::Policy, reason })).await.unwrap();
        let loss = Source::WebSocket(source, secrets).next().await.unwrap_err();
        assert_eq!(loss, Loss::Closed(" (bye *** ERROR *** (1008))".into()));
    }

    #[test]
    fn retry_after_is_read_at_the_upgrade_as_at_rest() {
        let pause = |text: &str| {
            let mut answer = tungstenite::handshake::client::Response::new(None);
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            match not_websocket(tungstenite::Error::Http(Box::new(answer))) {
                WireError::Upgrade { retry_after, .. } => retry_after,
                other => panic!("{other}"),
            }
        };
        assert_eq!(pause(" 120 "), Some(Duration::from_secs(120)));
        let named = pause(&httpdate::fmt_http_date(clock::wall() + Duration::from_secs(3600)));
        assert!(named.is_some_and(|pause| (3000..=3600).contains(&pause.as_secs())), "{named:?}");
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), None);
        assert_eq!(pause("soon"), None);
    }
}
