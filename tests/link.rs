//! The MQTT engine on our own wires, against a real mosquitto and against servers that misbehave.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use navien2mqtt::io::mqtt::{Dial, Link, LinkError, LinkEvent, Refusal};
use navien2mqtt::io::wire::{
    End, InboundLimits, Loss, Malformed, Pump, StalePacketFilter, Target, Transport, UNREADABLE, Wire, WireError,
};
use navien2mqtt::model::Message;
use support::mosquitto::Mosquitto;
use support::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SECOND: Duration = Duration::from_secs(1);

fn dial(port: u16) -> Dial {
    Dial {
        target: Target { host: "localhost".into(), port, transport: Transport::Tcp },
        keep_alive: 30 * SECOND,
        connect_timeout: 5 * SECOND,
        operation_timeout: 5 * SECOND,
        username: None,
        password: None,
        will: None,
        filters: vec!["test/#".into()],
    }
}

fn publication(topic: &str, payload: &str) -> Message {
    Message { topic: topic.into(), payload: Bytes::copy_from_slice(payload.as_bytes()), retained: false }
}

struct Subject {
    link: Link,
    events: mpsc::Receiver<LinkEvent>,
}

impl Subject {
    fn new(client_id: &str) -> Self {
        let (sender, events) = mpsc::channel(1024);
        Self { link: Link::new(client_id, sender).unwrap(), events }
    }

    async fn next(&mut self) -> LinkEvent {
        within(10 * SECOND, self.events.recv()).await.expect("an event comes").unwrap()
    }

    async fn up(&mut self, session: u64, dial: Dial) {
        self.link.dial(session, dial);
        match self.next().await {
            LinkEvent::Up { session: which, .. } => assert_eq!(which, session),
            other => panic!("not up: {other:?}"),
        }
    }

    async fn message(&mut self) -> (String, Bytes) {
        match self.next().await {
            LinkEvent::Message { topic, payload, .. } => (topic, payload),
            other => panic!("no message: {other:?}"),
        }
    }

    async fn down(&mut self, session: u64) -> LinkError {
        loop {
            match self.next().await {
                LinkEvent::Down { session: which, error, .. } => {
                    assert_eq!(which, session);
                    return error;
                }
                LinkEvent::Up { .. } => panic!("up instead of down"),
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_in_order_and_the_link_comes_back_on_the_same_client() {
    let mut broker = Mosquitto::start();
    let mut subject = Subject::new("order");
    for session in 1..=3 {
        subject.up(session, dial(broker.port)).await;
        for n in 0..500 {
            subject.link.publish(session, publication("test/order", &n.to_string()));
        }
        for n in 0..500 {
            assert_eq!(subject.message().await, ("test/order".into(), Bytes::from(n.to_string())));
        }
        broker.kill();
        assert!(matches!(subject.down(session).await, LinkError::Lost(_)));
        broker.launch();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_may_wait_stays_with_the_broker_until_there_is_room_and_ends_no_session() {
    const MESSAGES: usize = 24;
    let broker = Mosquitto::start();
    let (mut subject, mut other) = (Subject::new("slow"), Subject::new("other"));
    subject.up(1, dial(broker.port)).await;
    other.up(1, dial(broker.port)).await;
    let large = "x".repeat(512 << 10);
    for _ in 0..MESSAGES {
        other.link.publish(1, publication("test/large", &large));
    }
    // Whoever takes them at once shows that the broker has them all; the other looks at nothing meanwhile.
    for _ in 0..MESSAGES {
        assert_eq!(other.message().await.1.len(), large.len());
    }
    tokio::time::sleep(SECOND).await;
    for _ in 0..MESSAGES {
        assert_eq!(subject.message().await.1.len(), large.len());
    }
    other.link.publish(1, publication("test/small", "after"));
    assert_eq!(subject.message().await, ("test/small".into(), Bytes::from("after")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_not_there_is_told_apart_from_one_that_refuses() {
    let mut subject = Subject::new("refused");
    subject.link.dial(1, dial(support::free_port()));
    assert!(matches!(subject.down(1).await, LinkError::Wire(WireError::Connect { .. })));

    let nowhere = Target { host: "nowhere.invalid".into(), port: 1, transport: Transport::Tcp };
    subject.link.dial(2, Dial { target: nowhere, ..dial(1) });
    assert!(matches!(subject.down(2).await, LinkError::Wire(WireError::Lookup { .. })));

    let broker = Mosquitto::with_password("bridge", "right");
    let wrong =
        Dial { username: Some("bridge".into()), password: Some("wrong".to_owned().into()), ..dial(broker.port) };
    subject.link.dial(3, wrong.clone());
    let error = subject.down(3).await;
    assert!(matches!(error, LinkError::Refused(Refusal::NotAuthorized | Refusal::UsernameOrPassword)), "{error:?}");
    subject.up(4, Dial { password: Some("right".to_owned().into()), ..wrong }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_subscription_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let acl = folder.path().join("acl");
    std::fs::write(&acl, "topic readwrite test/#\n").unwrap();
    // Debian's mosquitto checks the rights of a subscription only for a literal denial by a plugin or by `deny`.
    let broker = Mosquitto::with(&format!("allow_anonymous true\nacl_file {}", acl.display()));
    let mut subject = Subject::new("subscriptions");
    let filters = (0..20).map(|n| format!("test/{n}")).collect();
    subject.up(1, Dial { filters, ..dial(broker.port) }).await;
    subject.link.publish(1, publication("test/19", "the last of three SUBSCRIBE packets"));
    assert_eq!(subject.message().await.0, "test/19");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_noticed_in_time_and_an_idle_one_is_not_cut() {
    let broker = Mosquitto::start();
    let mut subject = Subject::new("frozen");
    subject.up(1, Dial { keep_alive: 2 * SECOND, ..dial(broker.port) }).await;
    let idle = timeout(9 * SECOND, subject.events.recv()).await;
    assert!(idle.is_err(), "idle for more than four keep-alives, but {idle:?}");
    broker.freeze(true);
    let error = within(9 * SECOND, subject.down(1)).await.expect("it is noticed");
    broker.freeze(false);
    assert!(matches!(error, LinkError::Lost(_)), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_ends_an_attempt_in_any_phase_and_the_next_one_works() {
    let broker = Mosquitto::start();
    // Accepts and says nothing: CONNACK never comes.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut subject = Subject::new("cut");
    for session in 0..10 {
        subject.link.dial(2 * session, dial(silent.local_addr().unwrap().port()));
        tokio::time::sleep(Duration::from_millis(20 * session)).await;
        subject.link.cut(2 * session);
        assert!(matches!(subject.down(2 * session).await, LinkError::OnPurpose));
        subject.up(2 * session + 1, dial(broker.port)).await;
        subject.link.cut(2 * session + 1);
        assert!(matches!(subject.down(2 * session + 1).await, LinkError::OnPurpose));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_connack_ends_the_attempt_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut subject = Subject::new("no-connack");
    subject.link.dial(1, Dial { connect_timeout: SECOND, ..dial(silent.local_addr().unwrap().port()) });
    assert!(matches!(subject.down(1).await, LinkError::ConnectTimedOut(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_sends_what_waits_and_no_last_will() {
    let broker = Mosquitto::start();
    let mut observer = Subject::new("observer");
    observer.up(1, dial(broker.port)).await;
    let mut subject = Subject::new("leaving");
    subject.up(1, Dial { will: Some(publication("test/will", "died")), ..dial(broker.port) }).await;
    for n in 0..200 {
        subject.link.publish(1, publication("test/n", &n.to_string()));
    }
    subject.link.close(1);
    assert!(matches!(subject.down(1).await, LinkError::OnPurpose));
    for n in 0..200 {
        assert_eq!(observer.message().await, ("test/n".into(), Bytes::from(n.to_string())));
    }
    subject
        .up(2, Dial { will: Some(publication("test/will", "died")), filters: Vec::new(), ..dial(broker.port) })
        .await;
    subject.link.cut(2);
    assert_eq!(observer.message().await, ("test/will".into(), Bytes::from("died")));
}

#[tokio::test]
async fn a_wire_on_which_nothing_comes_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = dial(silent.local_addr().unwrap().port()).target;
    let wire = Wire::open(&target, SECOND).await.unwrap();
    let (engine, _engine_side) = UnixStream::pair().unwrap();
    let limit = Duration::from_millis(100);
    let limits = InboundLimits { silence: limit, backlog: Arc::default() };
    let mut pump = Pump::start(wire, engine.into(), limits, StalePacketFilter::new("mark"));
    assert_eq!(within(10 * SECOND, pump.ended()).await.unwrap(), End::Lost(Loss::KeepAliveTimeout(limit)));
}

/// Speaks just enough MQTT to let a client in, then sends `packets`.
async fn fake_broker(packets: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let packets = packets.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                let _ = stream.read(&mut buffer).await.unwrap();
                stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
                stream.write_all(&packets).await.unwrap();
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_right_after_connack_is_noticed_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        }
    });
    let mut subject = Subject::new("after-connack");
    for session in 0..200 {
        subject.link.dial(session, dial(port));
        let error = subject.down(session).await;
        assert!(matches!(error, LinkError::Lost(_)), "session {session}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_code_that_mqtt_does_not_know_is_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for code in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await.unwrap();
                stream.write_all(&[0x20, 2, 0, code]).await.unwrap();
                while stream.read(&mut [0; 1024]).await.is_ok_and(|n| n > 0) {}
            });
        }
    });
    let mut subject = Subject::new("unknown-code");
    for session in 1..=8 {
        subject.link.dial(session, dial(port));
        let error = subject.down(session).await;
        let LinkError::Refused(refusal) = error else { panic!("return code {session}: {error:?}") };
        assert_eq!(refusal == Refusal::Unknown, session > 5, "return code {session}: {refusal}");
    }
}

/// Lets every client in and subscribes it, but closes every second connection after so many packets. Reports the
/// payloads published on the other ones, each with the number of its connection.
async fn unsteady_broker(close_after: usize) -> (u16, mpsc::UnboundedReceiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (seen, payloads) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let seen = seen.clone();
            tokio::spawn(async move {
                for packet in 0.. {
                    if number % 2 == 0 && packet == close_after {
                        return;
                    }
                    let Ok(first) = stream.read_u8().await else { return };
                    // Every packet of these tests is shorter than 128 bytes.
                    let length = stream.read_u8().await.unwrap();
                    let mut body = vec![0; length.into()];
                    stream.read_exact(&mut body).await.unwrap();
                    let answer = match first >> 4 {
                        1 => vec![0x20, 2, 0, 0],
                        3 => {
                            let topic = 2 + usize::from(body[1]);
                            let payload = String::from_utf8(body[topic + 2..].to_vec()).unwrap();
                            let _ = seen.send((number, payload));
                            vec![0x40, 2, body[topic], body[topic + 1]]
                        }
                        8 => vec![0x90, 3, body[0], body[1], 1],
                        _ => return,
                    };
                    let _ = stream.write_all(&answer).await;
                }
            });
        }
    });
    (port, payloads)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_lost_session_is_sent_on_the_next_one() {
    let (port, mut payloads) = unsteady_broker(12).await;
    let mut subject = Subject::new("unsteady");
    for round in 0..40u64 {
        let (lost, good) = (2 * round, 2 * round + 1);
        subject.up(lost, dial(port)).await;
        for n in 0..200 {
            subject.link.publish(lost, publication("test", &format!("{lost} {n}")));
        }
        subject.down(lost).await;
        subject.up(good, dial(port)).await;
        subject.link.publish(good, publication("test", &format!("{good} last")));
        loop {
            let (connection, payload) = within(10 * SECOND, payloads.recv()).await.unwrap().unwrap();
            let session = payload.split(' ').next().unwrap();
            assert_eq!(session, connection.to_string(), "`{payload}` was sent on connection {connection}");
            if payload.ends_with("last") {
                break;
            }
        }
        subject.link.cut(good);
        subject.down(good).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_whose_dials_all_fail_shows_life_all_the_same() {
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    let mut subject = Subject::new("life");
    for session in 0..8 {
        subject.link.dial(session, Dial { connect_timeout: SECOND, ..dial(port) });
        subject.down(session).await;
        assert!(subject.link.health().silence() < SECOND, "after dial {session}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_with_nul_costs_itself_only() {
    let mut packets = vec![0x30, 5, 0, 3, b'a', 0, b'b'];
    packets.extend([0x30, 4, 0, 1, b'g', b'!']);
    let port = fake_broker(packets).await;
    let mut subject = Subject::new("nul");
    subject.link.dial(1, Dial { filters: Vec::new(), ..dial(port) });
    let mut topics = Vec::new();
    while topics.len() < 2 {
        if let LinkEvent::Message { topic, .. } = subject.next().await {
            topics.push(topic);
        }
    }
    assert_eq!(topics, [UNREADABLE, "g"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_mqtt_ends_the_session_with_its_name() {
    let port = fake_broker(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let mut subject = Subject::new("http");
    subject.link.dial(1, Dial { filters: Vec::new(), ..dial(port) });
    let mut event = subject.next().await;
    if let LinkEvent::Up { .. } = event {
        event = subject.next().await;
    }
    assert!(matches!(event, LinkEvent::Down { error: LinkError::Lost(Loss::NotMqtt(_)), .. }), "{event:?}");
}

/// Lets a client in, answers its first SUBSCRIBE with `answer` behind the packet identifier's place, and then is silent.
async fn broker_that_answers_a_subscribe(answer: fn([u8; 2]) -> Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 1024];
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
        let _ = stream.read(&mut buffer).await.unwrap();
        assert_eq!(buffer[0], 0x82, "a SUBSCRIBE in one piece");
        stream.write_all(&answer([buffer[2], buffer[3]])).await.unwrap();
        while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suback_with_fewer_codes_than_filters_ends_the_session_and_not_the_process() {
    let port = broker_that_answers_a_subscribe(|[high, low]| vec![0x90, 3, high, low, 1]).await;
    let mut subject = Subject::new("suback");
    let filters = (0..4).map(|n| format!("test/{n}")).collect();
    subject.link.dial(1, Dial { filters, ..dial(port) });
    let error = subject.down(1).await;
    let wanted = Malformed::Suback { codes: 1, filters: 4 };
    assert!(matches!(&error, LinkError::Lost(Loss::NotMqtt(why)) if *why == wanted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_qos_2_ends_the_session() {
    let port = broker_that_answers_a_subscribe(|[high, low]| {
        let suback = [0x90, 3, high, low, 1];
        [suback.as_slice(), b"\x34\x07\x00\x03a/b\x00\x07"].concat()
    })
    .await;
    let mut subject = Subject::new("qos2");
    subject.link.dial(1, dial(port));
    let error = loop {
        match subject.next().await {
            LinkEvent::Up { .. } => {}
            LinkEvent::Down { error, .. } => break error,
            other => panic!("a message came through: {other:?}"),
        }
    };
    let wanted = Malformed::QualityOfService(2);
    assert!(matches!(&error, LinkError::Lost(Loss::NotMqtt(why)) if *why == wanted), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sessions_leave_no_descriptor_and_no_thread_behind() {
    let count = |what: &str| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    let broker = Mosquitto::start();
    let mut subject = Subject::new("leak");
    let mut before = (0, 0);
    for session in 1..=50 {
        subject.up(session, dial(broker.port)).await;
        subject.link.cut(session);
        subject.down(session).await;
        if session == 10 {
            before = (count("fd"), count("task"));
        }
    }
    // Other tests run beside this one in the same process.
    assert!(count("fd") <= before.0 + 40, "{} after {}", count("fd"), before.0);
    assert!(count("task") <= before.1 + 40, "{} after {}", count("task"), before.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_too_large_to_be_sent_costs_only_itself() {
    let broker = Mosquitto::start();
    let mut subject = Subject::new("large");
    subject.up(1, dial(broker.port)).await;
    subject.link.publish(1, publication("test/large", &"x".repeat(32 << 20)));
    subject.link.publish(1, publication("test/small", "through"));
    assert_eq!(subject.message().await, ("test/small".into(), "through".into()));
}

/// Runs [`a_broker_on_this_host_is_reached`] in a network of its own, with a loopback device and what `setup` adds.
fn on_a_host_with(setup: &str, lose: &str) {
    let can = std::process::Command::new("unshare").args(["-n", "ip", "link"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: a network of the test's own needs root, `unshare` (util-linux) and `ip` (iproute2)");
        return;
    }
    let output = std::process::Command::new("unshare")
        .args(["-n", "sh", "-ec"])
        .arg(format!("ip link set lo up; {setup}\nexec \"$0\" --ignored --exact a_broker_on_this_host_is_reached"))
        .arg(std::env::current_exe().unwrap())
        .env("LOSE", lose)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "with {setup:?}: {text}");
}

const CABLE: &str = "ip link add cable0 type veth peer name cable1; ip link set cable1 up; ip link set cable0 up;
                     ip address add fe80::1/64 dev cable0 nodad;";

#[test]
fn a_host_without_any_network_reaches_its_own_broker() {
    on_a_host_with("", "");
}

#[test]
fn a_host_with_a_link_local_address_only_reaches_its_own_broker() {
    on_a_host_with(CABLE, "");
}

#[test]
fn a_host_with_ipv6_only_reaches_its_own_broker() {
    on_a_host_with(&format!("{CABLE} ip address add 2001:db8::1/64 dev cable0 nodad"), "");
}

#[test]
fn a_host_that_loses_ipv4_while_it_runs_reaches_its_own_broker() {
    let lose = "ip address delete 192.0.2.1/24 dev cable0";
    on_a_host_with(&format!("{CABLE} ip address add 192.0.2.1/24 dev cable0"), lose);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "is run by the tests above it, in networks of their own"]
async fn a_broker_on_this_host_is_reached() {
    let broker = Mosquitto::start();
    let mut subject = Subject::new("any-host");
    for session in 1..=2 {
        subject.up(session, dial(broker.port)).await;
        subject.link.publish(session, publication("test/host", "here"));
        assert_eq!(subject.message().await.0, "test/host");
        subject.link.cut(session);
        subject.down(session).await;
        let lose = std::env::var("LOSE").unwrap_or_default();
        if session == 1 && !lose.is_empty() {
            assert!(std::process::Command::new("sh").args(["-c", &lose]).status().unwrap().success());
        }
    }
}
