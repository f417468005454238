//! A broker that answers whatever it likes. The link to it runs in this process, since one dial after the other is then only a
//! matter of milliseconds; the cloud's MQTT side is the same link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use navien2mqtt::io::mqtt::{Dial, Link, LinkError, LinkEvent};
use navien2mqtt::io::wire::{Target, Transport};
use navien2mqtt::model::Message;
use rustls::ClientConfig;
use tokio::sync::mpsc;

use super::server::When::{Connect, Idle, Publish, Subscribe};
use super::server::{Act, Input, Kind, Server, input, packet, publish};
use super::support::within;
use super::{INPUTS, Meter, alone};

const MILLISECOND: Duration = Duration::from_millis(1);
const ECHO: &str = "test/echo";

/// A link with its server.
pub struct Subject {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
    session: u64,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Subject {
    pub fn new(client_id: &str, port: u16, tls: Option<Arc<ClientConfig>>) -> Self {
        let (sender, events) = mpsc::channel(1024);
        Self { link: Link::new(client_id, sender).unwrap(), events, session: 0, port, tls }
    }

    fn dial(&mut self, limit: Duration) {
        self.session += 1;
        let url = format!("wss://localhost:{}/mqtt", self.port);
        let transport = self.tls.as_ref().map_or(Transport::Tcp, |tls| Transport::WebSocket {
            tls: Arc::clone(tls),
            url: url.into(),
            secrets: Default::default(),
        });
        let dial = Dial {
            target: Target { host: "localhost".into(), port: self.port, transport },
            keep_alive: Duration::from_secs(30),
            connect_timeout: limit,
            operation_timeout: limit,
            username: None,
            password: None,
            will: None,
            filters: vec!["test/#".into()],
        };
        self.link.dial(self.session, dial);
    }

    fn speak(&self) {
        self.link.publish(
            self.session,
            Message { topic: ECHO.into(), payload: Bytes::from_static(b"hello"), retained: false },
        );
    }

    /// Has a session with the server as it is, speaks on it, and ends it after a while if the server does not.
    pub async fn suffer(&mut self, what: &str) {
        self.dial(200 * MILLISECOND);
        let mut ending = false;
        let mut pause = Box::pin(tokio::time::sleep(Duration::from_secs(60)));
        loop {
            tokio::select! {
                event = within(Duration::from_secs(20), self.events.recv()) => {
                    match event.unwrap_or_else(|| panic!("{what}: the link is stuck")).unwrap() {
                        LinkEvent::Up { .. } => {
                            self.speak();
                            pause = Box::pin(tokio::time::sleep(100 * MILLISECOND));
                        }
                        LinkEvent::Message { .. } | LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. } => {}
                        LinkEvent::Down { session, error, .. } => {
                            assert_eq!(session, self.session, "{what}");
                            let shown = error.to_string();
                            assert!(!shown.chars().any(char::is_control), "{what}: {shown:?}");
                            assert!(shown.len() < 500, "{what}: {shown}");
                            return;
                        }
                    }
                }
                () = &mut pause, if !ending => {
                    ending = true;
                    self.link.cut(self.session);
                }
            }
        }
    }

    /// Has a session with the honest server, on which a message comes back.
    pub async fn be_served(&mut self, after: &str) {
        self.dial(Duration::from_secs(10));
        let mut heard = false;
        loop {
            let event = within(Duration::from_secs(20), self.events.recv()).await;
            match event.unwrap_or_else(|| panic!("after {after}: no service")).unwrap() {
                LinkEvent::Up { .. } => self.speak(),
                LinkEvent::Message { topic, payload, .. } => {
                    heard |= topic == ECHO && payload == "hello";
                    self.link.cut(self.session);
                }
                LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. } => {}
                LinkEvent::Down { error, .. } => {
                    assert!(heard && matches!(error, LinkError::OnPurpose), "after {after}: {error}");
                    return;
                }
            }
        }
    }

    /// Lets every input happen, and is served well after each.
    pub async fn go_through(&mut self, server: &Server, table: &[Input]) {
        for input in table {
            server.plays(Some(input));
            self.suffer(&input.name).await;
            server.plays(None);
            self.be_served(&input.name).await;
        }
    }
}

fn bytes(name: &str, when: super::server::When, bytes: &[u8]) -> Input {
    input(name, when, Act::Bytes(bytes.to_vec()))
}

/// A PUBLISH of any kind.
fn publish_as(first: u8, topic: &[u8], rest: &[u8]) -> Vec<u8> {
    packet(first, &[&(topic.len() as u16).to_be_bytes(), topic, rest].concat())
}

fn of_connecting() -> Vec<Input> {
    let mut table = vec![
        input("a close in place of CONNACK", Connect, Act::Close),
        input("silence in place of CONNACK", Connect, Act::Silence),
        input("a half-closed connection in place of CONNACK", Connect, Act::HalfClose),
        input("a CONNACK that trickles", Connect, Act::Trickle(vec![0x20, 2, 0, 0])),
        input("CONNACK for ever", Connect, Act::Endless(vec![], packet(0x20, &[0, 0]).repeat(100))),
        input("zeros for ever", Connect, Act::Endless(vec![], vec![0; 4096])),
        input("0xff for ever", Connect, Act::Endless(vec![], vec![0xff; 4096])),
        input("a length without end", Connect, Act::Endless(vec![0x20], vec![0x80; 4096])),
    ];
    for (name, answer) in [
        ("a CONNACK without body", &[0x20, 0][..]),
        ("a CONNACK of one byte", &[0x20, 1, 0]),
        ("a CONNACK of three bytes", &[0x20, 3, 0, 0, 0]),
        ("a CONNACK cut off", &[0x20, 2, 0]),
        ("a CONNACK with reserved flags", &[0x2f, 2, 0, 0]),
        ("a CONNACK with unknown acknowledge flags", &[0x20, 2, 0xfe, 0]),
        ("a CONNACK of an earlier session", &[0x20, 2, 1, 0]),
        ("a CONNACK with code 6", &[0x20, 2, 0, 6]),
        ("a CONNACK with code 128", &[0x20, 2, 0, 128]),
        ("a CONNACK with code 255", &[0x20, 2, 0, 255]),
        ("a CONNACK of MQTT 5", &[0x20, 6, 0, 0, 3, 0x21, 0, 10]),
        ("two CONNACKs", &[0x20, 2, 0, 0, 0x20, 2, 0, 0]),
        ("a CONNACK with a long length", &[0x20, 0x82, 0x80, 0x80, 0x00, 0, 0]),
        ("a CONNACK of five length bytes", &[0x20, 0x82, 0x80, 0x80, 0x80, 0x00, 0, 0]),
        ("a CONNACK that announces 256 MB", &[0x20, 0xff, 0xff, 0xff, 0x7f, 0, 0]),
        ("a SUBACK in place of CONNACK", &[0x90, 3, 0, 1, 0]),
        ("a PUBLISH in place of CONNACK", &[0x30, 5, 0, 1, b't', b'x', b'y']),
        ("a PINGRESP in place of CONNACK", &[0xd0, 0]),
        ("a CONNECT in place of CONNACK", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x1e\x00\x01x"),
        ("a DISCONNECT in place of CONNACK", &[0xe0, 0]),
        ("a packet of type 0", &[0x00, 0]),
        ("a packet of type 15", &[0xf0, 0]),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
        ("a TLS alert", &[0x15, 3, 1, 0, 2, 2, 40]),
    ] {
        table.push(bytes(name, Connect, answer));
    }
    table
}

fn of_subscribing() -> Vec<Input> {
    let mut table = vec![
        input("a close in place of SUBACK", Subscribe, Act::Close),
        input("silence in place of SUBACK", Subscribe, Act::Silence),
        input("a SUBACK that trickles", Subscribe, Act::Trickle(packet(0x90, &[0, 1, 0]))),
        input("a SUBACK of 256 MB", Subscribe, Act::Endless(vec![0x90, 0xff, 0xff, 0xff, 0x7f], vec![0; 4096])),
        input("SUBACKs for ever", Subscribe, Act::Endless(vec![], packet(0x90, &[0, 1, 0]).repeat(100))),
    ];
    // The link's first two SUBSCRIBEs have the ids 1 and 2, of which the first never leaves the process.
    for id in [0u8, 1, 2, 3, 255] {
        for codes in [&[][..], &[0, 0, 0], &[0x80], &[0x03], &[0xff; 200]] {
            let body = [&[0, id], codes].concat();
            table.push(bytes(&format!("a SUBACK {id} with {codes:02x?}"), Subscribe, &packet(0x90, &body)));
        }
    }
    for (name, answer) in [
        ("a SUBACK without body", &[0x90, 0][..]),
        ("a SUBACK of half an id", &[0x90, 1, 0]),
        ("an UNSUBACK in place of SUBACK", &[0xb0, 2, 0, 1]),
        ("a SUBSCRIBE in place of SUBACK", &[0x82, 6, 0, 1, 0, 1, b'#', 0]),
        ("a second CONNACK in place of SUBACK", &[0x20, 2, 0, 0]),
        ("a SUBACK with reserved flags", &[0x9f, 3, 0, 1, 0]),
    ] {
        table.push(bytes(name, Subscribe, answer));
    }
    table
}

fn of_publishing() -> Vec<Input> {
    let mut table = vec![
        input("a close in place of PUBACK", Publish, Act::Close),
        input("silence in place of PUBACK", Publish, Act::Silence),
        input("PUBACKs of every id", Publish, Act::Bytes((0..=u16::MAX).flat_map(puback).collect())),
    ];
    for (name, answer) in [
        ("a PUBACK without body", &[0x40, 0][..]),
        ("a PUBACK of id 0", &[0x40, 2, 0, 0]),
        ("a PUBACK of an unknown id", &[0x40, 2, 0x77, 0x77]),
        ("a PUBACK of MQTT 5", &[0x40, 4, 0, 1, 0x10, 0]),
        ("a PUBREC in place of PUBACK", &[0x50, 2, 0, 1]),
        ("a PUBREL in place of PUBACK", &[0x62, 2, 0, 1]),
        ("a PUBCOMP in place of PUBACK", &[0x70, 2, 0, 1]),
    ] {
        table.push(bytes(name, Publish, answer));
    }
    table
}

fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

fn unasked() -> Vec<Input> {
    let large = publish(b"test/large", &vec![b'x'; 1 << 19]);
    let mut table = vec![
        input("a close", Idle, Act::Close),
        input("a half-closed connection", Idle, Act::HalfClose),
        input("messages for ever", Idle, Act::Endless(vec![], publish(b"test/x", b"y").repeat(50))),
        input("large messages", Idle, Act::Flood(large, 40)),
        input("a message of 256 MB", Idle, Act::Endless(vec![0x30, 0xff, 0xff, 0xff, 0x7f], vec![b'/'; 4096])),
        input("a message that trickles", Idle, Act::Trickle(publish(b"test/slow", b"a payload of some length"))),
        input("a flood with QoS 2", Idle, Act::Flood(publish_as(0x34, b"test/two", b"\0\x01x"), 20_000)),
        input("PUBRELs", Idle, Act::Flood(vec![0x62, 2, 0, 1], 10_000)),
        input("PINGRESPs", Idle, Act::Flood(vec![0xd0, 0], 20_000)),
        input("random bytes", Idle, Act::Bytes(noise(100_000))),
        input("PUBACKs", Idle, Act::Flood(puback(7), 10_000)),
    ];
    let odd: [(&str, Vec<u8>); 22] = [
        ("a topic that is empty", publish(b"", b"x")),
        ("a topic with NUL", publish(b"test/\0/x", b"x")),
        ("a topic with wildcards", publish(b"test/+/#", b"x")),
        ("a topic that is no UTF-8", publish(b"test/\xff\xfe", b"x")),
        ("a topic with a surrogate", publish(b"test/\xed\xa0\x80", b"x")),
        ("a topic with control characters", publish(b"test/\x1b[2J\r\n", b"x")),
        ("a topic of 64 KB", publish(&[b't'; 65_535], b"x")),
        ("a topic of slashes", publish(&[b'/'; 60_000], b"x")),
        ("a topic beyond its packet", vec![0x30, 4, 0xff, 0xff, b't', b'x']),
        ("a topic that nobody subscribed to", publish(b"$SYS/broker/uptime", b"1")),
        ("a message without topic length", vec![0x30, 1, 0]),
        ("a message without body", vec![0x30, 0]),
        ("QoS 3", publish_as(0x36, b"test/three", b"\0\x01x")),
        ("QoS 1 without an id", publish_as(0x32, b"test/one", b"")),
        ("QoS 1 with the id 0", publish_as(0x32, b"test/one", b"\0\0x")),
        ("QoS 0 as a duplicate", publish_as(0x38, b"test/dup", b"x")),
        ("a payload of NULs", publish(b"test/nul", &[0; 1000])),
        ("a length of five bytes", vec![0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("a DISCONNECT", vec![0xe0, 0]),
        ("a PINGREQ", vec![0xc0, 0]),
        ("an AUTH of MQTT 5", vec![0xf0, 2, 0, 0]),
        ("a CONNACK late", vec![0x20, 2, 0, 5]),
    ];
    table.extend(odd.into_iter().map(|(name, answer)| bytes(name, Idle, &answer)));
    table
}

/// Bytes without order, the same ones each time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_broker_is_survived() {
    let _turn = alone().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Kind::Mqtt, folder.path()).await;
    let mut subject = Subject::new("hostile-broker", server.port, None);
    subject.be_served("nothing").await;
    let meter = Meter::of(None);
    let table = [of_connecting(), of_subscribing(), of_publishing(), unasked()].concat();
    assert!(table.len() >= INPUTS);
    subject.go_through(&server, &table).await;
    meter.check(20.0, 64).await;
}
