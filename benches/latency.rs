//! How long things take, each beside what it is built on: `cargo bench --features simulator --bench latency`.
//!
//! A status from the cloud to the local broker, beside the same payload through mosquitto alone; CONNECT to CONNACK
//! through the engine and its local socket, beside a bare socket; and the time from a reset of the cloud's connection
//! to the next fresh status.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use navien2mqtt::io::mqtt::{Dial, Link, LinkEvent};
use navien2mqtt::io::wire::{Target, Transport};
use navien2mqtt::simulator::Fault;
use support::observer::Observer;
use support::rig::{HEATER, Rig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const STATUSES: usize = 300;
const HANDSHAKES: u64 = 100;
const RESETS: u64 = 10;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let daemon = rig.run();
    let status = format!("navien2mqtt/{HEATER}/status");
    let first = observer.wait(&status, |_| true).await;
    println!("start to first status          {}", milliseconds(first.at - daemon.started));
    tokio::time::sleep(Duration::from_secs(3)).await;

    table("cloud to local broker", statuses(&rig, &observer, &status).await);
    table("mosquitto alone, same payload", alone(&observer, first.text()).await);
    table("CONNECT to CONNACK, engine", through_the_engine(rig.broker.port).await);
    table("CONNECT to CONNACK, bare socket", through_a_socket(rig.broker.port).await);
    table("reset to fresh status", resets(&rig, &observer, &status).await);

    let memory = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    for line in memory.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("Threads")) {
        println!("{line}");
    }
}

async fn statuses(rig: &Rig, observer: &Observer, topic: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..STATUSES {
        let mark = observer.mark();
        let pushed = Instant::now();
        rig.cloud().faults().set(Fault::Push);
        times.push(observer.after(mark, topic, |_| true).await.at - pushed);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times
}

async fn alone(observer: &Observer, payload: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..STATUSES {
        let mark = observer.mark();
        let published = Instant::now();
        observer.publish("alone", payload);
        times.push(observer.after(mark, "alone", |_| true).await.at - published);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times
}

async fn through_the_engine(port: u16) -> Vec<Duration> {
    let (sender, mut events) = mpsc::channel(64);
    let link = Link::new("handshakes", sender).unwrap();
    let dial = Dial {
        target: Target { host: "127.0.0.1".into(), port, transport: Transport::Tcp },
        keep_alive: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(10),
        operation_timeout: Duration::from_secs(10),
        username: None,
        password: None,
        will: None,
        filters: Vec::new(),
    };
    let mut times = Vec::new();
    for session in 0..HANDSHAKES {
        link.dial(session, dial.clone());
        loop {
            match events.recv().await.unwrap() {
                LinkEvent::Up { connack_after, .. } => {
                    times.push(connack_after);
                    link.cut(session);
                }
                LinkEvent::Down { .. } => break,
                _ => {}
            }
        }
    }
    times
}

async fn through_a_socket(port: u16) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..HANDSHAKES {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let begun = Instant::now();
        stream.write_all(b"\x10\x10\x00\x04MQTT\x04\x02\x00\x1e\x00\x04bare").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        times.push(begun.elapsed());
    }
    times
}

async fn resets(rig: &Rig, observer: &Observer, topic: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..RESETS {
        let mark = observer.mark();
        let cut = Instant::now();
        rig.cloud().faults().set(Fault::Reset);
        observer.after(mark, "navien2mqtt/bridge/connection", |seen| seen.json()["state"] == "connected").await;
        let fresh = observer.after(mark, topic, |seen| seen.at > cut + Duration::from_millis(100)).await;
        times.push(fresh.at - cut);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    times
}

fn table(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    println!("{name:32} median {}  99 % {}  worst {}  of {}", at(0.5), at(0.99), at(1.0), times.len());
}

fn milliseconds(time: Duration) -> String {
    format!("{:8.2} ms", time.as_secs_f64() * 1000.0)
}
