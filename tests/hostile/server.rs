//! A server that is honest up to a certain moment.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use navien2mqtt::simulator::certificate;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// When the honesty ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// In place of the answer to an HTTP request, or a WebSocket upgrade.
    Request,
    /// In place of the CONNACK.
    Connect,
    /// In place of the SUBACK.
    Subscribe,
    /// In place of the PUBACK.
    Publish,
    /// After the SUBACK, unasked.
    Idle,
}

/// What happens then.
#[derive(Debug, Clone)]
pub enum Act {
    Bytes(Vec<u8>),
    /// The same bytes so often.
    Flood(Vec<u8>, usize),
    /// The first bytes, and then the second ones until the other side has had enough.
    Endless(Vec<u8>, Vec<u8>),
    /// One byte every few milliseconds.
    Trickle(Vec<u8>),
    /// The server writes no more, but reads on.
    HalfClose,
    Close,
    Silence,
}

/// One input of a table.
#[derive(Debug, Clone)]
pub struct Input {
    pub name: String,
    pub when: When,
    pub act: Act,
}

pub fn input(name: &str, when: When, act: Act) -> Input {
    Input { name: name.to_owned(), when, act }
}

/// Over what the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Mqtt,
    WebSocket,
    Rest,
}

/// The server; it is honest while it has no input.
pub struct Server {
    pub port: u16,
    script: Arc<Mutex<Option<Input>>>,
}

impl Server {
    /// Starts one; `folder` gets the authority of its certificate, unless it is plain MQTT.
    pub async fn start(kind: Kind, folder: &std::path::Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(None));
        let tls = (kind != Kind::Mqtt)
            .then(|| TlsAcceptor::from(certificate::prepare(folder, Ipv4Addr::LOCALHOST.into()).unwrap().0));
        let scripts = Arc::clone(&script);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (script, tls) = (Arc::clone(&scripts), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else {
                        let script = script.lock().unwrap().clone();
                        return drop(Peer::new(stream, false).mqtt(script).await);
                    };
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let _ = Peer::new(stream, kind == Kind::WebSocket).http(&script).await;
                });
            }
        });
        Self { port, script }
    }

    /// Becomes hostile for all connections that begin from now on, or honest again.
    pub fn plays(&self, input: Option<&Input>) {
        *self.script.lock().unwrap() = input.cloned();
    }
}

/// An MQTT packet with this first byte.
pub fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let more = length >= 128;
        packet.push((length % 128) as u8 | if more { 128 } else { 0 });
        length /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// A PUBLISH with QoS 0.
pub fn publish(topic: &[u8], payload: &[u8]) -> Vec<u8> {
    packet(0x30, &[&(topic.len() as u16).to_be_bytes(), topic, payload].concat())
}

/// A WebSocket frame with this first byte, as a server sends it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let header = match length {
        0..126 => vec![first, length as u8],
        126..65536 => [&[first, 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[first, 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [header, payload.to_vec()].concat()
}

/// An answer of the REST API.
pub fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

struct Peer<S> {
    stream: S,
    websocket: bool,
    /// What was read and not used yet.
    read: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    fn new(stream: S, websocket: bool) -> Self {
        Self { stream, websocket, read: Vec::new() }
    }

    /// Answers requests; a WebSocket goes on with MQTT.
    async fn http(mut self, script: &Mutex<Option<Input>>) -> io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.stream.read_u8().await?);
            }
            let head = String::from_utf8(head).unwrap();
            let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            let script = script.lock().unwrap().clone();
            let hostile = script.as_ref().filter(|input| input.when == When::Request);
            if let Some(input) = hostile {
                self.act(&input.act).await?;
            } else if !self.websocket {
                self.stream.write_all(&answer(br#"{"code":200,"msg":"SUCCESS","data":[]}"#)).await?;
                self.stream.flush().await?;
                continue;
            } else {
                let key = derive_accept_key(header(&head, "sec-websocket-key").unwrap().as_bytes());
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
                );
                self.stream.write_all(answer.as_bytes()).await?;
                self.stream.flush().await?;
                return self.mqtt(script).await;
            }
            if hostile.is_some_and(|input| matches!(input.act, Act::Close)) {
                return Ok(());
            }
        }
    }

    /// Speaks MQTT: lets everybody in, and sends every message back.
    async fn mqtt(mut self, script: Option<Input>) -> io::Result<()> {
        let due = |when| script.as_ref().filter(|input| input.when == when).map(|input| input.act.clone());
        loop {
            let (first, body) = self.packet().await?;
            let (when, honest) = match first >> 4 {
                1 => (When::Connect, packet(0x20, &[0, 0])),
                8 => (When::Subscribe, packet(0x90, &[&body[..2], &vec![0; filters(&body)]].concat())),
                3 => {
                    let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let id = if first & 6 == 0 { 0 } else { 2 };
                    let acknowledged = packet(0x40, &body[2 + topic..2 + topic + id]);
                    let back = publish(&body[2..2 + topic], &body[2 + topic + id..]);
                    (When::Publish, [if id == 0 { Vec::new() } else { acknowledged }, back].concat())
                }
                12 => (When::Request, packet(0xd0, &[])),
                14 => return Ok(()),
                _ => continue,
            };
            let act = if when == When::Request { None } else { due(when) };
            match act {
                Some(Act::Close) => return Ok(()),
                Some(act) => self.act(&act).await?,
                None => self.say(&honest).await?,
            }
            if let Some(act) = due(When::Idle).filter(|_| when == When::Subscribe) {
                self.act(&act).await?;
                if matches!(act, Act::Close) {
                    return Ok(());
                }
            }
        }
    }

    async fn act(&mut self, act: &Act) -> io::Result<()> {
        match act {
            Act::Bytes(bytes) => self.stream.write_all(bytes).await?,
            Act::Flood(bytes, times) => {
                for _ in 0..*times {
                    self.stream.write_all(bytes).await?;
                }
            }
            Act::Endless(first, then) => {
                self.stream.write_all(first).await?;
                loop {
                    self.stream.write_all(then).await?;
                    // The machine has more to do than this.
                    tokio::time::sleep(Duration::from_micros(100)).await;
                }
            }
            Act::Trickle(bytes) => {
                for byte in bytes {
                    self.stream.write_all(&[*byte]).await?;
                    self.stream.flush().await?;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Act::HalfClose => self.stream.shutdown().await?,
            Act::Close | Act::Silence => {}
        }
        self.stream.flush().await
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let framed = if self.websocket { &frame(0x82, bytes) } else { bytes };
        self.stream.write_all(framed).await?;
        self.stream.flush().await
    }

    /// Reads the next MQTT packet: its first byte, and all behind its length.
    async fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let first = self.byte().await?;
        let (mut length, mut shift) = (0usize, 0);
        loop {
            let byte = self.byte().await?;
            length |= usize::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                break;
            }
        }
        while self.read.len() < length {
            self.fill().await?;
        }
        Ok((first, self.read.drain(..length).collect()))
    }

    async fn byte(&mut self) -> io::Result<u8> {
        while self.read.is_empty() {
            self.fill().await?;
        }
        Ok(self.read.remove(0))
    }

    async fn fill(&mut self) -> io::Result<()> {
        if !self.websocket {
            let mut buffer = [0; 4096];
            let length = self.stream.read(&mut buffer).await?;
            self.read.extend(&buffer[..length]);
            return if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        let (first, length) = (self.stream.read_u8().await?, self.stream.read_u8().await? & 127);
        let length = match length {
            126 => usize::from(self.stream.read_u16().await?),
            127 => self.stream.read_u64().await? as usize,
            short => usize::from(short),
        };
        let mut mask = [0; 4];
        self.stream.read_exact(&mut mask).await?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        match first & 15 {
            2 => self.read.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask)),
            8 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
        Ok(())
    }
}

/// How many filters a SUBSCRIBE has.
fn filters(body: &[u8]) -> usize {
    let (mut at, mut count) = (2, 0);
    while at + 2 <= body.len() {
        at += 3 + usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        count += 1;
    }
    count
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let named = |line: &'h str| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name));
    head.lines().find_map(named).map(|(_, value)| value.trim())
}
