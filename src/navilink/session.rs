//! Who we are on the cloud's broker.

use std::fmt;

/// The MQTT client id: unique for each install and the same across reconnects (protocol reference, section 2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientId(String);

/// The `sessionID` of every request: 32 hexadecimal digits, new for each process (protocol reference, section 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

/// What every request says of its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `clientID`, which is also part of the answer topics.
    pub client: ClientId,
    /// `sessionID`.
    pub session: SessionId,
}

impl ClientId {
    /// Takes an id that holds none of the characters that mean something in a topic (`/`, `+`, `#`).
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id as it stands in topics.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SessionId {
    /// Makes an id of sixteen random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// Returns 32 lower-case hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_keeps_its_leading_zeros() {
        let mut bytes = [0; 16];
        bytes[1] = 0x0a;
        bytes[15] = 0xff;
        assert_eq!(SessionId::from_random(bytes).to_string(), "000a00000000000000000000000000ff");
    }
}
