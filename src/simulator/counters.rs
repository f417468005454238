//! What the simulated cloud counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How often each thing happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Connections accepted on the MQTT port, before TLS.
    pub accepts: u64,
    /// Upgrade requests refused with HTTP 403 for their signature, token or time.
    pub forbidden: u64,
    /// CONNECTs accepted.
    pub connects: u64,
    /// MQTT connections standing now.
    pub active: u64,
    /// Sessions ended because another connection took their client id.
    pub takeovers: u64,
    /// Connections closed for breaking a limit or the protocol.
    pub violations: u64,
    /// SUBSCRIBEs acknowledged.
    pub subscribes: u64,
    /// Filters subscribed to.
    pub filters: u64,
    /// Messages published by clients.
    pub publishes: u64,
    /// Messages dropped because a client did not take them.
    pub dropped: u64,
    /// Requests to heaters, by command code (protocol reference, section 4).
    pub requests: BTreeMap<u64, u64>,
    /// REST calls by path, faulty ones included.
    pub rest: BTreeMap<String, u64>,
    /// REST answers that were not a success, by path.
    pub rest_failures: BTreeMap<String, u64>,
    /// Wall-clock times, in nanoseconds since 1970, of the last pushed statuses.
    pub pushes: Vec<u64>,
}

impl Counters {
    /// Returns how often `path`, such as `/user/sign-in`, was called.
    pub fn rest(&self, path: &str) -> u64 {
        self.rest.get(path).copied().unwrap_or(0)
    }

    /// Returns how often `command` was requested of any heater.
    pub fn requests(&self, command: u64) -> u64 {
        self.requests.get(&command).copied().unwrap_or(0)
    }
}

/// The counters as the parts of the simulator share them.
#[derive(Debug, Clone, Default)]
pub struct SharedCounters(Arc<Mutex<Counters>>);

impl SharedCounters {
    /// Locks the counters for a change.
    pub fn count(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the counters.
    pub fn snapshot(&self) -> Counters {
        self.count().clone()
    }
}
