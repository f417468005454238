//! The quantities and names of the field, as types that say their unit.

use std::fmt;
use std::str::FromStr;

/// The MAC address that names a heater: twelve hexadecimal digits.
///
/// It displays in lower case without separators, the form of the local topics; [`Mac::as_cloud`] is the spelling that
/// the cloud gave, which its topics need.
#[derive(Clone)]
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
            Err(NotAMac(text.chars().take(40).collect()))
        }
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

/// The units in which values are shown, as chosen in the configuration (`units`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnitsChoice {
    /// What the heater itself is set to (`temperatureType`).
    #[default]
    Device,
    /// Celsius, litres.
    Metric,
    /// Fahrenheit, gallons.
    Us,
}

/// The units of one decoded object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitSystem {
    /// Celsius, litres.
    Metric,
    /// Fahrenheit, gallons.
    Us,
}
