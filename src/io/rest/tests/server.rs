//! A server of one script, which remembers what it was asked.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::io::{clock, task};

const BASE: &str = "/api/v2.1";

/// A request, as it came over the wire.
#[derive(Debug, Clone)]
pub struct ReceivedCall {
    /// The path below the base, with the query.
    pub path: String,
    /// The lines before the body, in the client's own spelling.
    pub head: String,
    /// The body; null when there is none.
    pub body: Value,
}

/// What the server does with a request.
pub enum Reply {
    /// Sends this and closes.
    Text(String),
    /// Sends this after a while.
    Late(Duration, Box<Reply>),
    /// Sends the beginning of a body, then a byte now and then.
    Trickle,
    /// Sends nothing.
    Silence,
}

impl Reply {
    /// An answer with a status, more header lines and a body.
    pub fn raw(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Text(format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }

    /// An envelope with HTTP 200.
    pub fn code(code: i64, message: &str, data: &Value) -> Self {
        Self::raw(200, "", &json!({ "code": code, "msg": message, "data": data }).to_string())
    }

    /// A good envelope.
    pub fn good(data: &Value) -> Self {
        Self::code(200, "SUCCESS", data)
    }
}

type Script = dyn Fn(&ReceivedCall) -> Reply + Send + Sync;

pub struct ApiServer {
    pub url: Url,
    pub ca_file: PathBuf,
    calls: Arc<Mutex<Vec<ReceivedCall>>>,
    folder: TempDir,
}

impl ApiServer {
    /// Serves on a port of its own until the test ends.
    pub async fn start(script: impl Fn(&ReceivedCall) -> Reply + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, own.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}{BASE}", listener.local_addr().unwrap()).parse().unwrap();
        let calls = Arc::<Mutex<Vec<ReceivedCall>>>::default();
        let (acceptor, seen) = (TlsAcceptor::from(Arc::new(config)), calls.clone());
        let script: Arc<Script> = Arc::new(script);
        task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                task::spawn(serve(stream, acceptor.clone(), script.clone(), seen.clone()));
            }
        });
        Self { url, ca_file, calls, folder }
    }

    /// Returns what was asked so far.
    pub fn calls(&self) -> Vec<ReceivedCall> {
        self.calls.lock().unwrap().clone()
    }

    /// Returns the paths that were asked so far.
    pub fn paths(&self) -> Vec<String> {
        self.calls().into_iter().map(|call| call.path).collect()
    }

    /// Returns a state directory that lives as long as the server.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, script: Arc<Script>, seen: Arc<Mutex<Vec<ReceivedCall>>>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut request = Vec::new();
    let call = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(call) = parse(&request) {
            break call;
        }
    };
    seen.lock().unwrap().push(call.clone());
    let mut reply = script(&call);
    if let Reply::Late(wait, late) = reply {
        clock::sleep(wait).await;
        reply = *late;
    }
    match reply {
        Reply::Text(text) => {
            // A client that has read enough leaves early.
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Reply::Trickle => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                clock::sleep(Duration::from_millis(20)).await;
            }
        }
        Reply::Silence | Reply::Late(..) => while stream.read_buf(&mut request).await.unwrap_or(0) > 0 {},
    }
}

/// Returns the request once it is complete.
fn parse(request: &[u8]) -> Option<ReceivedCall> {
    let text = String::from_utf8_lossy(request);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = lengths.next().map_or(0, |(_, length)| length.parse().unwrap());
    if body.len() < length {
        return None;
    }
    let path = head.split(' ').nth(1).unwrap().strip_prefix(BASE).unwrap().to_owned();
    Some(ReceivedCall { path, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() })
}
