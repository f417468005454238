//! The MQTT 3.1.1 packets a client may send, read from bytes.

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::v3_1_1::{Connect, Puback, Publish, Subscribe, Unsubscribe};

/// A packet from a client.
#[derive(Debug)]
pub enum Packet {
    /// CONNECT.
    Connect(Connect),
    /// PUBLISH.
    Publish(Publish),
    /// PUBACK.
    Puback,
    /// SUBSCRIBE.
    Subscribe(Subscribe),
    /// UNSUBSCRIBE.
    Unsubscribe(Unsubscribe),
    /// PINGREQ.
    Ping,
    /// DISCONNECT.
    Disconnect,
}

/// Says that the bytes are no packet a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an MQTT 3.1.1 packet of a client")]
pub struct MalformedPacket;

/// Cuts a stream of bytes into packets, however the bytes come.
pub struct Decoder {
    builder: PacketBuilder,
}

impl Decoder {
    /// Makes a decoder that refuses packets longer than `longest` bytes.
    pub fn new(longest: u32) -> Self {
        Self { builder: PacketBuilder::with_maximum_packet_size(longest) }
    }

    /// Reads every packet that `bytes` completes.
    ///
    /// # Errors
    ///
    /// Fails at the first malformed packet; the stream cannot be read further then.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Packet>, MalformedPacket> {
        let mut packets = Vec::new();
        let mut cursor = Cursor::new(bytes);
        loop {
            match self.builder.feed(&mut cursor) {
                PacketBuildResult::Complete(raw) => packets.push(parse(&raw)?),
                PacketBuildResult::Incomplete => return Ok(packets),
                PacketBuildResult::Error(_) => return Err(MalformedPacket),
            }
        }
    }
}

fn parse(raw: &RawPacket) -> Result<Packet, MalformedPacket> {
    let packet = match (raw.packet_type(), raw.flags()) {
        (1, 0) => raw.parse_exact(Connect::parse).map(Packet::Connect),
        (3, flags) => {
            let PacketData::Publish(data) = &raw.data else { return Err(MalformedPacket) };
            Publish::parse(flags, data.clone()).map(|(publish, _)| Packet::Publish(publish))
        }
        (4, 0) => raw.parse_exact(Puback::parse).map(|_| Packet::Puback),
        (8, 2) => raw.parse_exact(Subscribe::parse).map(Packet::Subscribe),
        (10, 2) => raw.parse_exact(Unsubscribe::parse).map(Packet::Unsubscribe),
        (12, 0) => Ok(Packet::Ping),
        (14, 0) => Ok(Packet::Disconnect),
        _ => return Err(MalformedPacket),
    };
    packet.map_err(|_| MalformedPacket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_from_any_pieces() {
        let mut bytes = Connect::builder().client_id("a").unwrap().build().unwrap().to_continuous_buffer();
        bytes.extend([0xc0, 0, 0xe0, 0]);
        let mut decoder = Decoder::new(1000);
        let all = decoder.feed(&bytes).unwrap();
        assert!(matches!(all[..], [Packet::Connect(_), Packet::Ping, Packet::Disconnect]));
        let single: Vec<Packet> = bytes.iter().flat_map(|byte| decoder.feed(&[*byte]).unwrap()).collect();
        assert!(matches!(single[..], [Packet::Connect(_), Packet::Ping, Packet::Disconnect]));
    }

    #[test]
    fn a_packet_too_long_or_of_a_server_is_malformed() {
        assert_eq!(Decoder::new(100).feed(&[0x30, 0xff, 0x01]).unwrap_err(), MalformedPacket);
        assert_eq!(Decoder::new(100).feed(&[0xd0, 0]).unwrap_err(), MalformedPacket);
    }
}
