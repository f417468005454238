//! A hostile broker, a hostile cloud and a hostile client: after each of their inputs the program goes on serving, and in the
//! end it has used no more memory and processor time than it may.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "hostile/broker.rs"]
mod broker;
#[path = "hostile/client.rs"]
mod client;
#[path = "hostile/cloud.rs"]
mod cloud;
#[path = "hostile/server.rs"]
mod server;
mod support;

use std::fs;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// What each of the tables has at least.
const INPUTS: usize = 60;

/// The tests measure their own process, so that they run one after the other.
async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The processor time and the memory of a process.
struct Meter {
    process: String,
    begun: f64,
    held: u64,
}

impl Meter {
    /// Begins to measure a process, or this one.
    fn of(process: Option<u32>) -> Self {
        let process = process.map_or("self".to_owned(), |process| process.to_string());
        // The peak begins anew.
        let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
        let mut meter = Self { process, begun: 0.0, held: 0 };
        (meter.begun, meter.held) = (meter.seconds(), meter.peak());
        meter
    }

    /// The processor time used since the beginning, in seconds.
    fn seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        // The kernel counts in hundredths of a second for every program.
        ticks / 100.0 - self.begun
    }

    /// The most memory that it held beyond what it held in the beginning, in MiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024 - self.held
    }

    /// Checks what was used until now, and that next to nothing is used while nothing happens.
    async fn check(&self, most_seconds: f64, most_peak: u64) {
        let (used, peak) = (self.seconds(), self.peak());
        eprintln!("{used:.2} s of processor time, {peak} MiB more at the most");
        assert!(used < most_seconds, "{used} s of processor time");
        assert!(peak < most_peak, "{peak} MiB more than in the beginning");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let idle = self.seconds() - used;
        assert!(idle < 0.3, "{idle} s of processor time within a second in which nothing happens");
    }
}
