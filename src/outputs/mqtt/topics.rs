//! The topics of the local broker (contract, section 4).

use super::outbox::Rank;
use crate::model::Mac;

/// What stands on the topics of a heater that are retained.
pub const OF_DEVICE: [&str; 13] = [
    "availability",
    "status",
    "info",
    "energy",
    "reservations",
    "tou",
    "recirculation",
    "diagnostics",
    "firmware",
    "counters",
    "commands",
    "units/metric",
    "units/us",
];

/// What stands on the topics of the bridge itself that are retained.
pub const OF_BRIDGE: [&str; 3] = ["state", "connection", "info"];

/// Builds and reads the topics below one base.
#[derive(Debug, Clone)]
pub struct Topics {
    base: String,
}

/// What a message on the local broker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// `<base>/bridge/request/<name>`.
    Bridge(&'a str),
    /// `<base>/<device>/get/<name>`.
    Get(Mac, &'a str),
    /// `<base>/<device>/set/<name>`.
    Set(Mac, &'a str),
}

impl Request<'_> {
    /// Returns its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Bridge(name) | Self::Get(_, name) | Self::Set(_, name) => name,
        }
    }
}

impl Topics {
    /// Puts every topic below `base` (`broker.base_topic`).
    pub fn new(base: impl Into<String>) -> Self {
        Self { base: base.into() }
    }

    /// `online` or `offline`: whether the bridge runs.
    pub fn state(&self) -> String {
        self.bridge("state")
    }

    /// The state of the connection to the cloud.
    pub fn connection(&self) -> String {
        self.bridge("connection")
    }

    /// Version, devices and effective configuration.
    pub fn info(&self) -> String {
        self.bridge("info")
    }

    /// What happens to the connection, not retained.
    pub fn event(&self) -> String {
        self.bridge("event")
    }

    /// What `doctor` writes to and reads from: a `get` that is to no heater, which the daemon passes over and whose rights
    /// it has anyway.
    pub fn doctor(&self) -> String {
        format!("{}/doctor/get/check", self.base)
    }

    /// The answer to `request/<name>`, not retained.
    pub fn response(&self, name: &str) -> String {
        self.bridge(&format!("response/{name}"))
    }

    /// `online` or `offline`: whether the heater was heard of lately.
    pub fn availability(&self, heater: &Mac) -> String {
        self.device(heater, "availability")
    }

    /// A decoded answer of a heater: `status`, `info`, `energy`, ….
    pub fn device(&self, heater: &Mac, name: &str) -> String {
        format!("{}/{heater}/{name}", self.base)
    }

    /// The filter for everything below the base.
    pub fn all(&self) -> String {
        format!("{}/#", self.base)
    }

    /// Returns whether a topic is below the base.
    pub fn is_below(&self, topic: &str) -> bool {
        self.rest(topic).is_some()
    }

    /// Returns the heater of a topic.
    pub fn heater_of(&self, topic: &str) -> Option<Mac> {
        self.rest(topic)?.split('/').next()?.parse().ok()
    }

    fn rest<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic.strip_prefix(self.base.as_str())?.strip_prefix('/')
    }

    /// What every topic begins with (`broker.base_topic`).
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The filters that the bridge subscribes to on the local broker: requests, and its own presence.
    pub fn filters(&self) -> Vec<String> {
        let below = |rest: &str| format!("{}/{rest}", self.base);
        ["bridge/request/+", "+/get/+", "+/set/+", "bridge/state", "+/availability"].map(below).into()
    }

    /// Returns whether a topic says whether the bridge or a heater is there.
    pub fn is_presence(&self, topic: &str) -> bool {
        let parts = self.rest(topic).and_then(|rest| rest.split_once('/'));
        matches!(parts, Some(("bridge", "state") | (_, "availability")))
    }

    /// Returns whether a topic is that of a heater's energy.
    pub fn is_energy(&self, topic: &str) -> bool {
        self.rest(topic).and_then(|rest| rest.split_once('/')).is_some_and(|(_, name)| name == "energy")
    }

    /// Reads a topic; `None` when it is not one of ours.
    pub fn parse<'a>(&self, topic: &'a str) -> Option<Request<'a>> {
        let (first, rest) = self.rest(topic)?.split_once('/')?;
        let (verb, name) = rest.split_once('/')?;
        match (first, verb) {
            ("bridge", "request") => Some(Request::Bridge(name)),
            (mac, "get") => Some(Request::Get(mac.parse().ok()?, name)),
            (mac, "set") => Some(Request::Set(mac.parse().ok()?, name)),
            _ => None,
        }
    }

    /// Returns how much others depend on what stands on a topic.
    pub fn rank(&self, topic: &str) -> Rank {
        let Some(rest) = self.rest(topic) else {
            return Rank::Discovery;
        };
        let (first, name) = rest.split_once('/').unwrap_or((rest, ""));
        match (first, name) {
            ("bridge", "state" | "connection" | "event") | (_, "availability" | "status" | "result") => Rank::Essential,
            ("bridge", name) if name.starts_with("response/") => Rank::Essential,
            _ => Rank::Ordinary,
        }
    }

    /// A topic of the bridge itself: `state`, `connection`, `request/<name>`, ….
    pub fn bridge(&self, name: &str) -> String {
        format!("{}/bridge/{name}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_from_their_topics() {
        let topics = Topics::new("home/navien");
        let mac: Mac = "04786332fca0".parse().expect("a MAC");
        assert_eq!(topics.parse("home/navien/bridge/request/refresh"), Some(Request::Bridge("refresh")));
        assert_eq!(topics.parse("home/navien/04786332fca0/get/status"), Some(Request::Get(mac.clone(), "status")));
        assert_eq!(topics.parse("home/navien/04786332fca0/set/power"), Some(Request::Set(mac, "power")));
        for foreign in ["home/navien", "home/navien/bridge/state", "home/navien/x/get/status", "other/bridge/request/x"]
        {
            assert_eq!(topics.parse(foreign), None, "{foreign}");
        }
    }
}
