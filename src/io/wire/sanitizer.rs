//! Holds back what the MQTT engine cannot survive, and what nobody is to read.
//!
//! The engine aborts the process when a topic holds a NUL or broken UTF-8, reads beyond a SUBACK that has fewer codes
//! than filters were asked for, and takes messages of any size, and any number of them with QoS 2, into memory.
//! The sanitizer follows the MQTT framing of what arrives and lets everything through unchanged but such a PUBLISH, whose
//! topic it replaces by [`UNREADABLE`] and whose payload it drops: the engine still acknowledges it, so that neither
//! the connection nor any other message suffers. A SUBACK that does not fit its SUBSCRIBE and a PUBLISH with QoS 2, which
//! no subscription of ours allows, end the session.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::foreign_text::is_shown;

/// The topic under which a message appears that cannot be shown as it is.
pub const UNREADABLE: &str = "$unreadable";

/// The largest message that passes, in bytes; larger ones are cut to nothing.
const MAX_MESSAGE: usize = 1 << 20;
/// A SUBACK has one byte a filter; ours have few.
const MAX_SUBACK: usize = 4096;
pub(super) const PUBLISH: u8 = 3;
const SUBACK: u8 = 9;

/// The subscriptions without an answer: the packet identifier of each and its number of filters.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<Mutex<HashMap<[u8; 2], usize>>>);

impl Asked {
    /// Notes a SUBSCRIBE, whose body begins with its packet identifier.
    pub fn note(&self, body: &[u8], filters: usize) {
        let Some(identifier) = body.first_chunk() else { return };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*identifier, filters);
    }

    /// Checks a SUBACK, whose body begins with the identifier of its SUBSCRIBE and has a code for each filter.
    fn answered(&self, body: &[u8]) -> Result<(), Malformed> {
        let (identifier, codes) = body.split_first_chunk::<2>().ok_or(Malformed::Packet(SUBACK << 4))?;
        let filters = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(identifier);
        if filters != Some(codes.len()) {
            return Err(Malformed::Suback { codes: codes.len(), filters: filters.unwrap_or(0) });
        }
        Ok(())
    }
}

/// Says why bytes are not MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A length of more than four bytes.
    Length,
    /// A packet that no server sends to a client.
    Packet(u8),
    /// A PUBLISH that ends inside its topic or packet identifier.
    Publish,
    /// A PUBLISH with another QoS than 0 and 1, which are all that was granted.
    QualityOfService(u8),
    /// A SUBACK that does not fit its SUBSCRIBE.
    Suback {
        /// How many return codes it has.
        codes: usize,
        /// How many filters were asked for and not answered; 0 when nothing was.
        filters: usize,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Length => f.write_str("a packet length of more than four bytes"),
            Malformed::Packet(first) => write!(f, "a packet that begins with {first:#04x}"),
            Malformed::Publish => f.write_str("a PUBLISH that ends inside its header"),
            Malformed::QualityOfService(qos) => write!(f, "a PUBLISH with QoS {qos}, where at most 1 was asked for"),
            Malformed::Suback { codes, filters } => {
                write!(f, "a SUBACK with {codes} return codes, where {filters} filters wait for one")
            }
        }
    }
}

/// Follows the framing of one connection, from the server to us.
#[derive(Debug, Default)]
pub struct InboundSanitizer {
    asked: Asked,
    /// The beginning of a packet that is not decided yet.
    held: Vec<u8>,
    /// Bytes of a decided packet that are still to come.
    coming: usize,
    /// Whether those are to be dropped.
    dropping: bool,
}

impl InboundSanitizer {
    pub(super) fn new(asked: Asked) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Appends to `out` what may pass of `input`, in order; a PUBLISH comes out when its last byte is in.
    ///
    /// # Errors
    ///
    /// Says what is not MQTT; the connection cannot be followed any further then.
    pub fn pass(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        while !input.is_empty() {
            if self.coming > 0 {
                let (now, later) = input.split_at(self.coming.min(input.len()));
                if !self.dropping {
                    out.extend_from_slice(now);
                }
                self.coming -= now.len();
                input = later;
                continue;
            }
            // One byte at a time while the header is incomplete, the rest of a known packet at once.
            let take = self.missing()?.min(input.len());
            let (now, later) = input.split_at(take);
            self.held.extend_from_slice(now);
            input = later;
            self.decide(out)?;
        }
        Ok(())
    }

    /// Returns whether the last packet is complete, so that another one may be put behind it.
    pub fn is_between_packets(&self) -> bool {
        self.held.is_empty() && self.coming == 0
    }

    /// Returns how many bytes the held packet needs before it can be decided, at least one.
    fn missing(&self) -> Result<usize, Malformed> {
        let Some((header, length)) = fixed_header(&self.held)? else { return Ok(1) };
        let wanted = if length > MAX_MESSAGE { header + 2 + self.topic_bytes(header) } else { header + length };
        Ok(wanted.saturating_sub(self.held.len()).max(1))
    }

    /// Returns how long topic and packet identifier of a PUBLISH are, as far as the held bytes tell.
    fn topic_bytes(&self, header: usize) -> usize {
        match self.held.get(header..header + 2) {
            Some(length) => usize::from(u16::from_be_bytes([length[0], length[1]])) + identifier_bytes(self.held[0]),
            None => 0,
        }
    }

    fn decide(&mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let Some((header, length)) = fixed_header(&self.held)? else { return Ok(()) };
        let first = self.held[0];
        if first >> 4 != PUBLISH {
            if !is_from_a_server(first, length) {
                return Err(Malformed::Packet(first));
            }
            if first >> 4 == SUBACK {
                let Some(body) = self.held.get(header..).filter(|body| body.len() == length) else { return Ok(()) };
                self.asked.answered(body)?;
            }
            out.extend_from_slice(&self.held);
            self.coming = header + length - self.held.len();
            self.dropping = false;
            self.held.clear();
            return Ok(());
        }
        let qos = first >> 1 & 3;
        if qos > 1 {
            return Err(Malformed::QualityOfService(qos));
        }
        let oversize = length > MAX_MESSAGE;
        let known = self.held.len() - header;
        let complete = if oversize { known >= 2 && known >= 2 + self.topic_bytes(header) } else { known == length };
        if !complete {
            return Ok(());
        }
        let identifier = identifier_bytes(first);
        let topic_end = header + 2 + self.topic_bytes(header) - identifier;
        if length < 2 || topic_end + identifier > header + length {
            return Err(Malformed::Publish);
        }
        if !oversize && readable(&self.held[header + 2..topic_end]) {
            out.extend_from_slice(&self.held);
        } else {
            let identifier = &self.held[topic_end..topic_end + identifier];
            out.push(first);
            // Both lengths are far below 128, one byte on the wire.
            out.push((2 + UNREADABLE.len() + identifier.len()) as u8);
            out.extend_from_slice(&[0, UNREADABLE.len() as u8]);
            out.extend_from_slice(UNREADABLE.as_bytes());
            out.extend_from_slice(identifier);
        }
        self.coming = length - known;
        self.dropping = true;
        self.held.clear();
        Ok(())
    }
}

/// Returns the length of the fixed header and the remaining length; `None` when bytes are missing.
pub(super) fn fixed_header(packet: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for place in 0..4 {
        let Some(byte) = packet.get(1 + place) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + place, length)));
        }
    }
    Err(Malformed::Length)
}

/// Returns whether a server may send a packet with this first byte and length to a client (MQTT 3.1.1, section 2.2).
fn is_from_a_server(first: u8, length: usize) -> bool {
    match first {
        // CONNACK, PUBACK, UNSUBACK; those of QoS 2 answer nothing of ours.
        0x20 | 0x40 | 0xb0 => length == 2,
        // SUBACK
        0x90 => (3..=MAX_SUBACK).contains(&length),
        // PINGRESP
        0xd0 => length == 0,
        _ => false,
    }
}

/// QoS 1 carries a packet identifier of two bytes.
fn identifier_bytes(first: u8) -> usize {
    if first & 0b0110 == 0 { 0 } else { 2 }
}

fn readable(topic: &[u8]) -> bool {
    !topic.is_empty() && std::str::from_utf8(topic).is_ok_and(|topic| topic.chars().all(is_shown))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn publish(topic: &[u8], identifier: Option<u16>, payload: &[u8]) -> Vec<u8> {
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        body.extend(identifier.iter().flat_map(|id| id.to_be_bytes()));
        body.extend_from_slice(payload);
        let mut packet = vec![if identifier.is_some() { 0x32 } else { 0x30 }];
        let mut length = body.len();
        loop {
            let more = length >> 7;
            packet.push((length & 0x7f) as u8 | if more > 0 { 0x80 } else { 0 });
            length = more;
            if length == 0 {
                break;
            }
        }
        packet.extend(body);
        packet
    }

    fn through(chunks: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
        let (mut sanitizer, mut out) = (InboundSanitizer::default(), Vec::new());
        sanitizer.asked.note(&[0, 1], 1);
        for chunk in chunks {
            sanitizer.pass(chunk, &mut out)?;
        }
        Ok(out)
    }

    #[test]
    fn good_packets_pass_unchanged() {
        let mut stream = vec![0x20, 2, 0, 0, 0x90, 3, 0, 1, 1, 0xd0, 0];
        stream.extend(publish("cmd/52/ü".as_bytes(), Some(7), b"{}"));
        stream.extend(publish(b"a", None, &[0; 300]));
        assert_eq!(through(&[&stream]).unwrap(), stream);
    }

    #[test]
    fn a_topic_that_cannot_be_shown_is_replaced_and_keeps_its_identifier() {
        let forged = ["a\r\nERROR b", "a\u{1b}[2J", "a\u{202e}b", "a\u{200b}", "\u{feff}a"].map(str::as_bytes);
        for topic in [b"a\0b".as_slice(), b"\xff", b""].into_iter().chain(forged) {
            let mut stream = publish(topic, Some(513), b"lost");
            stream.extend(publish(b"next", None, b"kept"));
            let mut wanted = publish(UNREADABLE.as_bytes(), Some(513), b"");
            wanted.extend(publish(b"next", None, b"kept"));
            assert_eq!(through(&[&stream]).unwrap(), wanted);
        }
    }

    #[test]
    fn an_oversize_message_costs_only_itself() {
        let mut stream = publish(b"big", Some(9), &vec![1; MAX_MESSAGE + 1]);
        stream.extend(publish(b"next", None, b"kept"));
        let mut wanted = publish(UNREADABLE.as_bytes(), Some(9), b"");
        wanted.extend(publish(b"next", None, b"kept"));
        assert_eq!(through(&[&stream]).unwrap(), wanted);
        let bytes: Vec<&[u8]> = stream.chunks(1009).collect();
        assert_eq!(through(&bytes).unwrap(), wanted);
    }

    #[test]
    fn what_is_not_mqtt_is_named() {
        assert_eq!(through(&[b"\x30\xff\xff\xff\xff\x01"]), Err(Malformed::Length));
        assert_eq!(through(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]).unwrap_err(), Malformed::Packet(b'H'));
        assert_eq!(through(&[b"\x30\x03\x00\x09a"]), Err(Malformed::Publish));
        assert_eq!(through(&[b"\x30\x00"]), Err(Malformed::Publish));
    }

    #[test]
    fn a_suback_that_does_not_fit_its_subscribe_is_refused_however_it_is_cut() {
        let mut wrong = vec![(0, b"\x90\x03\x00\x02\x01".as_slice()), (1, b"\x90\x04\x00\x01\x01\x01")];
        wrong.push((4, b"\x90\x03\x00\x02\x01"));
        for (filters, suback) in wrong {
            for size in 1..=suback.len() {
                let mut sanitizer = InboundSanitizer::default();
                let mut out = Vec::new();
                sanitizer.asked.note(&suback[2..4], filters);
                let outcome = suback.chunks(size).try_for_each(|piece| sanitizer.pass(piece, &mut out));
                assert_eq!(outcome, Err(Malformed::Suback { codes: suback.len() - 4, filters }));
                assert_eq!(out, b"", "nothing of it reaches the engine");
            }
        }
    }

    #[test]
    fn an_answer_counts_once() {
        let twice = b"\x90\x03\x00\x01\x01".repeat(2);
        assert_eq!(through(&[&twice]), Err(Malformed::Suback { codes: 1, filters: 0 }));
    }

    #[test]
    fn a_publish_with_qos_2_is_refused_at_its_header_and_so_are_the_packets_of_its_handshake() {
        assert_eq!(through(&[b"\x34\xff\x7f"]), Err(Malformed::QualityOfService(2)));
        assert_eq!(through(&[b"\x36\xff\x7f"]), Err(Malformed::QualityOfService(3)));
        for first in [0x50, 0x62, 0x70] {
            assert_eq!(through(&[&[first, 2, 0, 1]]), Err(Malformed::Packet(first)));
        }
    }

    #[test]
    fn without_an_acknowledgement_there_is_no_identifier_to_keep() {
        for topic in [b"a\0b".as_slice(), b"\xff", b""] {
            let wanted = publish(UNREADABLE.as_bytes(), None, b"");
            assert_eq!(through(&[&publish(topic, None, b"lost")]).unwrap(), wanted);
        }
    }

    #[test]
    fn the_smallest_messages_pass() {
        for packet in [
            publish(b"a", None, b""),
            publish(b"a", None, b"x"),
            publish(b"a", Some(1), b""),
            publish("ü".as_bytes(), None, b""),
        ] {
            assert_eq!(through(&[&packet]).unwrap(), packet);
        }
        // The smallest PUBLISH of all has a topic of no bytes.
        assert_eq!(through(&[b"\x30\x02\x00\x00"]).unwrap(), publish(UNREADABLE.as_bytes(), None, b""));
        assert_eq!(through(&[b"\x30\x01\x00"]), Err(Malformed::Publish));
    }

    #[test]
    fn a_publish_that_ends_inside_its_identifier_is_malformed() {
        for packet in [b"\x32\x03\x00\x01a".as_slice(), b"\x32\x04\x00\x01a\x00", b"\x32\x03\x00\x00\x00"] {
            assert_eq!(through(&[packet]), Err(Malformed::Publish), "{packet:x?}");
        }
    }

    #[test]
    fn the_largest_message_passes_and_a_larger_one_is_never_held() {
        let largest = publish(b"big", Some(9), &vec![1; MAX_MESSAGE - 7]);
        assert_eq!(through(&[&largest]).unwrap(), largest);
        let larger = publish(b"big", Some(9), &vec![1; MAX_MESSAGE - 6]);
        let (mut sanitizer, mut out) = (InboundSanitizer::default(), Vec::new());
        for piece in larger.chunks(1000) {
            sanitizer.pass(piece, &mut out).unwrap();
            assert!(sanitizer.held.len() < 100 && sanitizer.held.capacity() < 2000, "{} bytes", sanitizer.held.len());
            assert_eq!(out, publish(UNREADABLE.as_bytes(), Some(9), b""), "it is decided by its header");
        }
        assert!(sanitizer.is_between_packets());
        sanitizer.pass(&larger, &mut out).unwrap();
        assert!(sanitizer.held.capacity() < 2000, "{} bytes", sanitizer.held.capacity());
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_result(
            packets in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), any::<bool>(), 0usize..400), 1..8),
            cut in 1usize..40,
        ) {
            let stream: Vec<u8> = packets
                .iter()
                .flat_map(|(topic, acknowledged, size)| publish(topic, acknowledged.then_some(3), &vec![b'x'; *size]))
                .collect();
            let pieces: Vec<&[u8]> = stream.chunks(cut).collect();
            prop_assert_eq!(through(&pieces), through(&[&stream]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = through(&[&bytes]);
        }
    }
}
