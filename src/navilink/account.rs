//! What the cloud's REST API says of an account: its tokens and its heaters.

use crate::units::Mac;

/// A heater of the account, as `POST /device/list` names it (protocol reference, section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heater {
    /// `macAddress`.
    pub mac: Mac,
    /// `deviceType`; 52 is the NWP500.
    pub device_type: u32,
    /// `additionalValue`, which every request carries.
    pub additional_value: String,
    /// `homeSeq`, which the five-segment answer topics carry.
    pub home_seq: u64,
    /// `deviceName`, empty when the account has none.
    pub name: String,
    /// `connected`: whether the cloud sees the heater; `None` when it does not say.
    pub online: Option<bool>,
}
