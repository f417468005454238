//! The MQTT side: TLS, the WebSocket upgrade with its presigned query, and the broker behind it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response as Accepted};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::account::SimulatedAccount;
use super::broker::Broker;
use super::counters::SharedCounters;
use super::faults::UpgradeFaults;
use super::net::FreezableStream;
use super::sigv4::{self, Scope};
use crate::io::clock;

/// The region and service that clients sign for (protocol reference, section 2).
const REGION: &str = "us-east-1";
const SERVICE: &str = "iotdevicegateway";
const PATH: &str = "/mqtt";
const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);
const PIPE: usize = 64 * 1024;

/// What every connection needs.
#[derive(Clone)]
pub struct Iot {
    /// The servers' TLS configuration.
    pub tls: TlsAcceptor,
    /// Whose keys sign the upgrade.
    pub account: Arc<SimulatedAccount>,
    /// The broker behind it.
    pub broker: Broker,
    /// The faults of the upgrade.
    pub faults: Arc<UpgradeFaults>,
    /// The counters.
    pub tally: SharedCounters,
}

impl Iot {
    /// Serves one connection to its end.
    pub async fn serve(self, gate: FreezableStream) {
        self.tally.count().accepts += 1;
        let upgrade = async {
            let stream = self.tls.accept(gate).await.ok()?;
            let door = Doorkeeper { iot: &self };
            tokio_tungstenite::accept_hdr_async(stream, door).await.ok()
        };
        let Ok(Some(socket)) = clock::within(HANDSHAKE_LIMIT, upgrade).await else { return };
        let (near, far) = tokio::io::duplex(PIPE);
        // The broker sees the stream end, and publishes the last will, when the pump is dropped.
        let pumped = async {
            match self.faults.lifetime() {
                Some(lifetime) => drop(clock::within(lifetime, pump(socket, near)).await),
                None => pump(socket, near).await,
            }
        };
        tokio::join!(pumped, self.broker.serve(far));
    }

    fn refusal(&self, request: &Request) -> Option<StatusCode> {
        if let Some(status) = self.faults.take() {
            return Some(StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE));
        }
        if request.uri().path() != PATH {
            return Some(StatusCode::NOT_FOUND);
        }
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let signed = |name: &str| {
            let value = header(name)?;
            Some(if name == "host" { value.strip_suffix(":443").unwrap_or(value) } else { value }.to_owned())
        };
        let payload_hash = sigv4::empty_payload_hash();
        let scope =
            Scope { region: REGION, service: SERVICE, header: &signed, path: PATH, payload_hash: &payload_hash };
        let query = request.uri().query().unwrap_or_default();
        if let Err(refusal) = sigv4::verify(query, scope, self.faults.clock(), |key| self.account.find(key)) {
            tracing::debug!(%refusal, "upgrade refused");
            self.tally.count().forbidden += 1;
            return Some(StatusCode::FORBIDDEN);
        }
        let offered = header(PROTOCOL).unwrap_or_default();
        let offers = offered.split(',').any(|protocol| protocol.trim() == "mqtt");
        (!offers).then_some(StatusCode::BAD_REQUEST)
    }
}

struct Doorkeeper<'a> {
    iot: &'a Iot,
}

impl Callback for Doorkeeper<'_> {
    #[allow(clippy::result_large_err)]
    fn on_request(self, request: &Request, mut accepted: Accepted) -> Result<Accepted, ErrorResponse> {
        if let Some(status) = self.iot.refusal(request) {
            let mut refused = Response::new(Some(format!("{{\"message\":\"{status}\"}}")));
            *refused.status_mut() = status;
            let date = HeaderValue::from_str(&httpdate::fmt_http_date(self.iot.faults.clock()));
            refused.headers_mut().extend(date.ok().map(|date| (header::DATE, date)));
            return Err(refused);
        }
        accepted.headers_mut().insert(PROTOCOL, HeaderValue::from_static("mqtt"));
        Ok(accepted)
    }
}

/// Carries bytes between the WebSocket's frames and the broker's stream, wherever the frames are cut.
async fn pump<S: AsyncRead + AsyncWrite + Unpin>(socket: WebSocketStream<S>, pipe: DuplexStream) {
    let (mut sink, mut source) = socket.split();
    let (mut from_broker, mut to_broker) = tokio::io::split(pipe);
    let inward = async {
        while let Some(Ok(message)) = source.next().await {
            // Pings are answered by the WebSocket itself when it is read.
            match message {
                Message::Binary(bytes) if to_broker.write_all(&bytes).await.is_err() => return,
                Message::Text(_) | Message::Close(_) => return,
                _ => {}
            }
        }
    };
    let outward = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = from_broker.read(&mut buffer).await {
            if sink.send(Message::Binary(Bytes::copy_from_slice(&buffer[..length]))).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}
