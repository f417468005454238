use mqtt_protocol_core::mqtt::packet::v3_1_1::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{SubEntry, SubOpts};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::io::{clock, task};

struct TestClient {
    stream: DuplexStream,
    ended: tokio::task::JoinHandle<SessionEnd>,
}

impl TestClient {
    async fn raw(broker: &Broker, connect: Connect) -> Self {
        let (stream, far) = duplex(1 << 20);
        let broker = broker.clone();
        let ended = task::spawn(async move { broker.serve(far).await });
        let mut client = Self { stream, ended };
        client.send(&connect.to_continuous_buffer()).await;
        client
    }

    async fn connected(broker: &Broker, id: &str) -> Self {
        let connect = Connect::builder().client_id(id).unwrap().keep_alive(30).build().unwrap();
        let mut client = Self::raw(broker, connect).await;
        assert_eq!(client.packet().await, [0x20, 2, 0, 0]);
        client
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads one packet (of less than 128 bytes of remaining length).
    async fn packet(&mut self) -> Vec<u8> {
        let read = async {
            let mut packet = vec![0; 2];
            self.stream.read_exact(&mut packet).await.unwrap();
            packet.resize(2 + usize::from(packet[1]), 0);
            self.stream.read_exact(&mut packet[2..]).await.unwrap();
            packet
        };
        clock::within(Duration::from_secs(5), read).await.expect("a packet comes")
    }

    async fn subscribe(&mut self, filters: &[&str]) {
        self.send(&subscription(filters)).await;
    }

    async fn publish(&mut self, message: &Publication) {
        let mut publish = Publish::builder().topic_name(message.topic.as_str()).unwrap();
        publish = publish.qos(message.qos).retain(message.retain).payload(message.payload.as_slice());
        if message.qos != Qos::AtMostOnce {
            publish = publish.packet_id(9u16);
        }
        self.send(&publish.build().unwrap().to_continuous_buffer()).await;
    }

    async fn ended(self) -> SessionEnd {
        clock::within(Duration::from_secs(5), self.ended).await.expect("the connection ends").unwrap()
    }
}

fn subscription(filters: &[&str]) -> Vec<u8> {
    let entry = |f: &&str| SubEntry::new(*f, SubOpts::new().set_qos(Qos::AtLeastOnce)).unwrap();
    let entries: Vec<_> = filters.iter().map(entry).collect();
    Subscribe::builder().packet_id(7u16).entries(entries).build().unwrap().to_continuous_buffer()
}

fn aws() -> Broker {
    Broker::new(Rules::aws(), SharedCounters::default())
}

fn plain() -> Broker {
    Broker::new(Rules::plain(), SharedCounters::default())
}

fn quiet(topic: &str, payload: &str) -> Publication {
    Publication { qos: Qos::AtMostOnce, ..Publication::new(topic, payload) }
}

#[tokio::test]
async fn the_publisher_gets_its_own_message_and_a_puback() {
    let broker = aws();
    let mut tap = broker.subscribe();
    let mut client = TestClient::connected(&broker, "a").await;
    client.subscribe(&["x/#"]).await;
    assert_eq!(client.packet().await, [0x90, 3, 0, 7, 1]);
    client.publish(&Publication::new("x/y", "hi")).await;
    assert_eq!(client.packet().await, [0x40, 2, 0, 9]);
    assert_eq!(client.packet().await, [0x32, 9, 0, 3, b'x', b'/', b'y', 0, 1, b'h', b'i']);
    assert_eq!(tap.recv().await.unwrap().topic, "x/y");
    assert_eq!(broker.tally.snapshot().publishes, 1);
}

#[tokio::test]
async fn overlapping_subscriptions_bring_a_message_once() {
    let broker = aws();
    let mut client = TestClient::connected(&broker, "a").await;
    client.subscribe(&["x/#", "x/+", "x/y"]).await;
    client.packet().await;
    broker.publish(quiet("x/y", "1"));
    broker.publish(quiet("x/y", "2"));
    assert_eq!(client.packet().await.last(), Some(&b'1'));
    assert_eq!(client.packet().await.last(), Some(&b'2'));
}

#[tokio::test]
async fn a_second_connection_takes_the_client_id() {
    let broker = aws();
    let first = TestClient::connected(&broker, "a").await;
    let mut second = TestClient::connected(&broker, "a").await;
    assert_eq!(first.ended().await, SessionEnd::TakenOver);
    second.send(&[0xc0, 0]).await;
    assert_eq!(second.packet().await, [0xd0, 0]);
    let counters = broker.tally.snapshot();
    assert_eq!((counters.takeovers, counters.connects, counters.active), (1, 2, 1));
}

#[tokio::test]
async fn what_aws_forbids_closes_the_connection() {
    let retained = Publication { retain: true, ..Publication::new("a", "b") };
    let exactly_once = Publication { qos: Qos::ExactlyOnce, ..Publication::new("a", "b") };
    let long = Publication::new("a", vec![0; 128 * 1024 + 1]);
    let deep = Publication::new("1/2/3/4/5/6/7/8/9", "b");
    let wide = Publication::new("x".repeat(257), "b");
    for message in [retained, exactly_once, long, deep, wide] {
        let mut client = TestClient::connected(&aws(), "a").await;
        client.publish(&message).await;
        assert_eq!(client.ended().await, SessionEnd::Violation, "{:?}", message.topic);
    }
    let mut client = TestClient::connected(&aws(), "a").await;
    client.subscribe(&["1", "2", "3", "4", "5", "6", "7", "8", "9"]).await;
    assert_eq!(client.ended().await, SessionEnd::Violation);
}

#[tokio::test]
async fn a_retained_last_will_is_refused_by_aws() {
    let connect = Connect::builder().client_id("a").unwrap();
    let connect = connect.will_message("w", "x", Qos::AtLeastOnce, true).unwrap().build().unwrap();
    assert_eq!(TestClient::raw(&aws(), connect).await.ended().await, SessionEnd::Violation);
}

#[tokio::test]
async fn the_limits_themselves_are_allowed() {
    let broker = aws();
    let mut client = TestClient::connected(&broker, "a").await;
    client.subscribe(&["1", "2", "3", "4", "5", "6", "7", "8"]).await;
    client.packet().await;
    client.publish(&Publication::new("1/2/3/4/5/6/7/8", vec![0; 128 * 1024])).await;
    assert_eq!(client.packet().await, [0x40, 2, 0, 9]);
}

#[tokio::test]
async fn the_fifty_first_subscription_closes_the_connection() {
    let mut client = TestClient::connected(&aws(), "a").await;
    for number in 0..50 {
        client.subscribe(&[&format!("t/{number}")]).await;
        client.packet().await;
    }
    client.subscribe(&["t/50"]).await;
    assert_eq!(client.ended().await, SessionEnd::Violation);
}

#[tokio::test]
async fn a_retained_message_and_the_last_will_reach_a_later_subscriber_of_a_plain_broker() {
    let broker = plain();
    let connect = Connect::builder().client_id("a").unwrap();
    let connect = connect.will_message("state", "offline", Qos::AtLeastOnce, true).unwrap();
    let mut first = TestClient::raw(&broker, connect.build().unwrap()).await;
    first.packet().await;
    first.publish(&Publication { retain: true, ..quiet("state", "online") }).await;
    let mut second = TestClient::connected(&broker, "b").await;
    drop(first.stream);
    assert_eq!(first.ended.await.unwrap(), SessionEnd::Lost);
    second.subscribe(&["state"]).await;
    second.packet().await;
    let message = second.packet().await;
    assert!(message[0] & 1 == 1 && message.ends_with(b"offline"));
}

#[tokio::test]
async fn a_goodbye_spares_the_last_will() {
    let broker = aws();
    let mut tap = broker.subscribe();
    let connect = Connect::builder().client_id("a").unwrap();
    let connect = connect.will_message("w", "x", Qos::AtLeastOnce, false).unwrap().build().unwrap();
    let mut polite = TestClient::raw(&broker, connect.clone()).await;
    polite.send(&[0xe0, 0]).await;
    assert_eq!(polite.ended().await, SessionEnd::Disconnected);
    assert!(tap.try_recv().is_err());
    let rude = TestClient::raw(&broker, connect).await;
    drop(rude.stream);
    assert_eq!(tap.recv().await.unwrap().topic, "w");
}

#[tokio::test]
async fn silence_for_one_and_a_half_keep_alives_closes_the_connection() {
    let rules = Rules { keep_alive_floor: Duration::from_millis(50), ..Rules::aws() };
    let broker = Broker::new(rules, SharedCounters::default());
    let connect = Connect::builder().client_id("a").unwrap().keep_alive(1).build().unwrap();
    let client = TestClient::raw(&broker, connect).await;
    assert_eq!(client.ended().await, SessionEnd::KeepAlive);
}

#[tokio::test]
async fn faults_close_after_connack_and_refuse_filters() {
    let broker = aws();
    broker.faults().close_after_connack.arm(Some(1));
    broker.faults().refuse_suback.arm(Some(1));
    assert_eq!(TestClient::connected(&broker, "a").await.ended().await, SessionEnd::Fault);
    let mut client = TestClient::connected(&broker, "a").await;
    client.subscribe(&["x"]).await;
    assert_eq!(client.packet().await, [0x90, 3, 0, 7, 0x80]);
    client.subscribe(&["x"]).await;
    assert_eq!(client.packet().await, [0x90, 3, 0, 7, 1]);
    broker.take_over_all();
    assert_eq!(client.ended().await, SessionEnd::TakenOver);
}
