//! What every outage has in common: how it is before, and how it must be afterwards.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant, SystemTime};

use navien2mqtt::simulator::Fault;
use navien2mqtt::simulator::counters::Counters;

use super::support::eventually;
use super::support::netns::Netns;
use super::support::observer::{Observer, Seen};
use super::support::rig::{Daemon, HEATER, Rig, requests_come_once_a_second};

/// Short waits between attempts, and without end.
const RECONNECT: &str = "[reconnect]\nmax_attempts = -1\ninitial_delay = \"200ms\"\nmax_delay = \"2s\"\n";
/// Limits that a network on one machine keeps easily, even a busy machine.
const LIMITS: &str = "connect_timeout = \"5s\"\noperation_timeout = \"5s\"\n";
/// One attempt that hangs, the longest wait with its jitter, one good attempt, and some patience with a busy machine.
pub const BOUND: Duration = Duration::from_secs(15);

/// A topic of the bridge.
pub fn bridge(name: &str) -> String {
    format!("navien2mqtt/bridge/{name}")
}

/// A topic of the heater.
pub fn heater(name: &str) -> String {
    format!("navien2mqtt/{HEATER}/{name}")
}

/// What has to be true once the outage is over.
pub struct Expected {
    /// Sessions with all their subscriptions since [`Story::begin`].
    pub sessions: RangeInclusive<u64>,
    /// Sign-ins since then.
    pub sign_ins: u64,
    /// How soon a fresh status comes.
    pub within: Duration,
}

/// What most outages lead to: one new session, without the password.
pub const ONE_SESSION: Expected = Expected { sessions: 1..=1, sign_ins: 0, within: BOUND };

/// The moment at which a fault ended.
pub struct Over {
    mark: usize,
    at: Instant,
    wall: SystemTime,
}

/// A daemon that is connected, and what is needed to see it through an outage.
pub struct Story {
    pub rig: Rig,
    pub daemon: Daemon,
    pub observer: Observer,
    name: &'static str,
    before: Counters,
    /// Filters that one session subscribes to.
    filters: u64,
}

impl Story {
    /// Starts the daemon and waits until all is well.
    pub async fn begin(name: &'static str, rig: Rig) -> Self {
        Self::begin_with_defaults(name, hurried(rig)).await
    }

    /// The same with the waits and the limits that everybody has: the network's return must end them.
    pub async fn begin_with_defaults(name: &'static str, rig: Rig) -> Self {
        let observer = rig.observer().await;
        let daemon = rig.run();
        let connected = |seen: &Seen| seen.json()["state"] == "connected";
        observer.within(Duration::from_secs(60), 0, &bridge("connection"), connected).await;
        observer.wait(&heater("availability"), |seen| seen.text() == "online").await;
        let before = rig.cloud().counters();
        Self { filters: before.filters, before, rig, daemon, observer, name }
    }

    /// Starts the daemon while something is wrong with the cloud already.
    pub async fn begin_badly(name: &'static str, rig: Rig, filters: u64) -> Self {
        let rig = hurried(rig);
        let observer = rig.observer().await;
        let daemon = rig.run();
        Self { filters, before: Counters::default(), rig, daemon, observer, name }
    }

    pub fn net(&self) -> &Netns {
        self.rig.net.as_ref().unwrap()
    }

    pub fn set(&self, fault: Fault) {
        self.rig.cloud().faults().set(fault);
    }

    /// Waits until the connection is lost, and why is known.
    pub async fn lost(&self, mark: usize, reasons: &[&str]) {
        let lost = |seen: &Seen| {
            let connection = seen.json();
            connection["state"] == "reconnecting" && reasons.iter().any(|reason| connection["reason"] == *reason)
        };
        self.observer.within(Duration::from_secs(60), mark, &bridge("connection"), lost).await;
    }

    /// Waits for so many sessions with all their subscriptions since [`Story::begin`].
    pub fn sessions(&self, number: u64) {
        let filters = self.before.filters + number * self.filters;
        let subscribed = || (self.rig.cloud().counters().filters >= filters).then_some(());
        eventually("sessions", 2 * BOUND, subscribed);
    }

    /// The cloud was started anew, and counts anew.
    pub fn counts_anew(&mut self) {
        self.before = Counters::default();
    }

    /// The fault is over now.
    pub fn over(&self) -> Over {
        Over { mark: self.observer.mark(), at: Instant::now(), wall: SystemTime::now() }
    }

    /// From now on another client looks on; what it was told from the beginning counts.
    pub fn seen_by(&mut self, observer: Observer, over: Over) -> Over {
        self.observer = observer;
        Over { mark: 0, ..over }
    }

    /// Checks everything that has to be true after an outage, and prints how long it took.
    pub async fn ends_well(&mut self, over: Over, expected: Expected) {
        let fresh = |seen: &Seen| !seen.retained && received_at(seen) >= over.wall;
        let status = self.observer.within(expected.within, over.mark, &heater("status"), fresh).await;
        eprintln!("RECOVERY {} {:.2}", self.name, status.at.duration_since(over.at).as_secs_f64());
        eventually("the connection is said to be up", BOUND, || {
            let connection: serde_json::Value =
                serde_json::from_slice(&self.observer.latest()[&bridge("connection")]).unwrap();
            (connection["state"] == "connected" && connection["attempt"] == 0).then_some(())
        });
        // The last message of a replay says that the bridge is online; a status may come before it.
        eventually("heater and bridge are said to be online", BOUND, || {
            let latest = self.observer.latest();
            let says = |topic: &str| latest.get(topic).is_some_and(|payload| payload == "online");
            (says(&heater("availability")) && says(&bridge("state"))).then_some(())
        });
        let cloud = self.rig.cloud();
        eventually("the old session is gone", BOUND, || (cloud.counters().active == 1).then_some(()));
        self.everything_is_there_once(&expected);
        requests_come_once_a_second(cloud).await;
        self.is_alive().await;
    }

    fn everything_is_there_once(&self, expected: &Expected) {
        let counters = self.rig.cloud().counters();
        let filters = counters.filters - self.before.filters;
        assert_eq!(filters % self.filters, 0, "whole sessions only: {counters:?}");
        let sessions = filters / self.filters;
        assert!(expected.sessions.contains(&sessions), "{sessions} sessions: {counters:?}");
        let sign_ins = counters.rest("/user/sign-in") - self.before.rest("/user/sign-in");
        assert_eq!(sign_ins, expected.sign_ins, "{counters:?}");
        assert_eq!((counters.violations, counters.dropped), (0, 0), "{counters:?}");
    }

    async fn is_alive(&mut self) {
        assert!(self.daemon.runs(), "the daemon ended:\n{}", self.daemon.log());
        let fed = |notices: Vec<String>| notices.iter().filter(|notice| notice.starts_with("WATCHDOG=1")).count();
        let before = fed(self.daemon.notices());
        eventually("the watchdog is fed", BOUND, || (fed(self.daemon.notices()) > before).then_some(()));
        for word in ["panicked", "Not healthy"] {
            assert!(!self.daemon.log().contains(word), "{}", self.daemon.log());
        }
    }
}

fn hurried(mut rig: Rig) -> Rig {
    rig.cloud_lines = LIMITS;
    rig.more.insert_str(0, RECONNECT);
    rig
}

fn received_at(status: &Seen) -> SystemTime {
    humantime::parse_rfc3339(status.json()["received_at"].as_str().unwrap()).unwrap()
}
