//! The bridge beside what people would use instead: mosquitto's bridge mode, which copies bytes, and the smallest
//! forwarder that can be written with paho. `make bench` runs it and prints a table.
//!
//! Every candidate carries the same statuses from one mosquitto to another, with QoS 1, and is measured from outside: CPU
//! and memory by `/proc`, latency from a publisher to a subscriber. The bridge and mosquitto reach the cloud's side with
//! TLS, the bridge within a WebSocket, too; paho is built without TLS here, so the forwarder has neither.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../../tests/support/mod.rs"]
mod support;

mod candidates;
mod client;
mod process;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use candidates::{Candidate, Stage};
use client::{Publisher, Subscriber};
use process::Usage;

/// What the loads take turns with.
pub const HEATERS: usize = 4;
/// The field that carries the number of a status, by which it is recognised behind the candidate.
const NUMBERED: &str = "targetFanRpm";
const IDLE: Duration = Duration::from_secs(10);
/// A load is over when nothing has come for so long.
const QUIET: Duration = Duration::from_secs(3);

/// Statuses a second, and how many; without a rate as fast as the broker takes them.
const LOADS: [(Option<u32>, u64); 3] = [(Some(10), 150), (Some(400), 6000), (None, 20_000)];

fn main() {
    if std::env::args().nth(1).as_deref() == Some("forward") {
        return candidates::forward();
    }
    // `cargo bench` adds an argument of its own.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    println!(
        "| candidate | load | CPU a status | latency 50 % | 99 % | arrived | newest arrived | a second | resident |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut idle = Vec::new();
    for candidate in Candidate::ALL {
        if wanted.is_empty() || wanted.iter().any(|name| candidate.name().contains(name.as_str())) {
            idle.push((candidate.name(), measure(candidate)));
        }
    }
    println!("\n| candidate | resident at first | threads | context switches a second when idle |");
    println!("|---|---|---|---|");
    for (name, usage) in idle {
        println!(
            "| {name} | {:.1} MiB | {} | {:.1} |",
            usage.resident,
            usage.threads,
            usage.switches as f64 / IDLE.as_secs_f64()
        );
    }
}

/// Runs all loads through a candidate; returns what it takes when there is none.
fn measure(candidate: Candidate) -> Usage {
    let mut stage = Stage::new(candidate);
    let subscriber = Subscriber::start(stage.local_port(), candidate.results());
    let mut publisher = Publisher::connect(stage.cloud_port());
    // The candidate may need several attempts until it stands.
    support::eventually("the first status", Duration::from_secs(60), || {
        stage.check();
        publisher.publish(&topic(0), &status(0));
        std::thread::sleep(Duration::from_millis(200));
        (subscriber.count() > 0).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    let before = stage.usage();
    std::thread::sleep(IDLE);
    let idle = stage.usage().since(&before);
    let mut number = 1;
    for (rate, count) in LOADS {
        load(&stage, candidate.name(), (rate, number, count), &mut publisher, &subscriber);
        number += count;
    }
    idle
}

fn load(
    stage: &Stage,
    name: &str,
    (rate, first, count): (Option<u32>, u64, u64),
    publisher: &mut Publisher,
    subscriber: &Subscriber,
) {
    subscriber.take();
    let (before, begun) = (stage.usage(), Instant::now());
    let mut sent = BTreeMap::new();
    for place in 0..count {
        if let Some(rate) = rate {
            let due = begun + Duration::from_secs(1) * place as u32 / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        sent.insert(first + place, Instant::now());
        publisher.publish(&topic(first + place), &status(first + place));
    }
    while subscriber.last().max(begun).elapsed() < QUIET {
        std::thread::sleep(Duration::from_millis(100));
    }
    let usage = stage.usage().since(&before);
    let arrived: BTreeMap<u64, Instant> = subscriber.take().into_iter().filter(|(n, _)| sent.contains_key(n)).collect();
    let took = subscriber.last().max(begun) - begun;
    let mut latencies: Vec<Duration> = arrived.iter().map(|(n, at)| at.saturating_duration_since(sent[n])).collect();
    latencies.sort();
    let newest = (first + count - HEATERS as u64..first + count).filter(|n| arrived.contains_key(n)).count();
    let at = |share: f64| match latencies.get((latencies.len().saturating_sub(1) as f64 * share) as usize) {
        Some(latency) => format!("{:.2} ms", latency.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    };
    println!(
        "| {name} | {} | {:.0} µs | {} | {} | {} of {count} | {newest} of {HEATERS} | {:.0} | {:.1} MiB |",
        rate.map_or("all at once".to_owned(), |rate| format!("{rate} a second")),
        usage.cpu.as_secs_f64() * 1e6 / count as f64,
        at(0.5),
        at(0.99),
        arrived.len(),
        arrived.len() as f64 / took.as_secs_f64(),
        usage.resident,
    );
}

/// The address of the heater that a number is for.
fn mac(number: u64) -> String {
    format!("04786332fca{}", number % HEATERS as u64)
}

fn topic(number: u64) -> String {
    format!("cmd/52/navilink-{}/res", mac(number))
}

/// A status as heaters send them, with this number in it.
fn status(number: u64) -> Vec<u8> {
    let status = include_str!("../../fuzz/seeds/status/nwp500.json");
    let mut status: serde_json::Map<String, serde_json::Value> = serde_json::from_str(status).unwrap();
    status.insert(NUMBERED.to_owned(), number.into());
    let response = serde_json::json!({ "deviceType": 52, "macAddress": mac(number), "status": status });
    serde_json::json!({ "clientID": "", "sessionID": "1", "protocolVersion": 2, "response": response })
        .to_string()
        .into_bytes()
}

/// Returns the number of a status, raw or decoded.
pub fn number_of(payload: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(payload).ok()?;
    let behind = ["\"targetFanRpm\":", "\"target_fan_rpm\":"].iter().find_map(|key| Some(text.split_once(key)?.1))?;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
