//! What all modules share: the name of a heater, a message, a moment.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::foreign_text::one_line;

/// The requests to the bridge (`administration.allow`).
pub const REQUESTS: [&str; 6] = ["reconnect", "refresh", "log_level", "diagnostics", "restart", "forget"];

/// An MQTT message to be published, with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The topic.
    pub topic: String,
    /// The payload; an empty one that is retained clears the topic.
    pub payload: Bytes,
    /// Whether the broker is to keep it.
    pub retained: bool,
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The monotonic time.
    pub now: Instant,
    /// The wall-clock time.
    pub wall: SystemTime,
}

#[cfg(test)]
impl Moment {
    /// Returns a beginning for tests; only differences count.
    #[allow(clippy::disallowed_methods)]
    pub fn start() -> Self {
        Self { now: Instant::now(), wall: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000) }
    }
}

/// The MAC address that names a heater: twelve hexadecimal digits.
///
/// It displays in lower case without separators, the form of the local topics; [`Mac::as_cloud`] is the spelling that
/// the cloud gave, which its topics need.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac {
    cloud: String,
    digits: String,
}

/// Says why a text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address: twelve hexadecimal digits are expected, such as `04786332fca0`")]
pub struct NotAMac(String);

impl Mac {
    /// Returns the spelling that the cloud uses in its topics.
    pub fn as_cloud(&self) -> &str {
        &self.cloud
    }

    /// Returns twelve lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.digits
    }
}

impl FromStr for Mac {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-')).collect();
        if digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self { cloud: text.to_owned(), digits: digits.to_ascii_lowercase() })
        } else {
            Err(NotAMac(one_line(text, 40)))
        }
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.digits
    }
}

impl TryFrom<String> for Mac {
    type Error = NotAMac;

    fn try_from(text: String) -> Result<Self, NotAMac> {
        text.parse()
    }
}

impl PartialEq for Mac {
    fn eq(&self, other: &Self) -> bool {
        self.digits == other.digits
    }
}

impl Eq for Mac {}

impl PartialOrd for Mac {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Mac {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.digits.cmp(&other.digits)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

/// Which of the account's heaters are served (`account.heaters`, `account.exclude`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HeaterChoice {
    /// All of them.
    #[default]
    All,
    /// Only these.
    Only(BTreeSet<Mac>),
    /// All but these.
    AllBut(BTreeSet<Mac>),
}

impl HeaterChoice {
    /// Returns whether a heater is served.
    pub fn includes(&self, mac: &Mac) -> bool {
        match self {
            Self::All => true,
            Self::Only(chosen) => chosen.contains(mac),
            Self::AllBut(excluded) => !excluded.contains(mac),
        }
    }

    /// Returns the heaters that it names, with the configuration's key that names them.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, &Mac)> {
        let (key, macs) = match self {
            Self::All => ("", None),
            Self::Only(chosen) => ("account.heaters", Some(chosen)),
            Self::AllBut(excluded) => ("account.exclude", Some(excluded)),
        };
        macs.into_iter().flatten().map(move |mac| (key, mac))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mac_address_is_quoted_on_one_line() {
        let error = "04\n786332\u{202e}FCA0\0".parse::<Mac>().unwrap_err().to_string();
        assert!(error.starts_with("`04 786332FCA0 ` is not a MAC address"), "{error:?}");
    }
}
