//! Keeps from the wire what the MQTT engine still held of an earlier session.
//!
//! What the engine had accepted but not yet sent when a connection went, it sends on the next one, even on a clean
//! session. It sends in order, so each session begins with a subscription that only marks the place: what comes out
//! before it is old. The filter takes the old packets and the marker out of the stream and acknowledges them to the
//! engine, which so forgets them. It also notes each subscription that leaves, for the [`InboundSanitizer`](super::InboundSanitizer) to compare
//! with its answer.

use super::sanitizer::{Asked, PUBLISH, fixed_header};

const CONNECT: u8 = 1;
const SUBSCRIBE: u8 = 8;
const UNSUBSCRIBE: u8 = 10;

/// Stands in the way from the engine to the server; holds back all until the marker of the session has come by.
#[derive(Debug)]
pub struct StalePacketFilter {
    marker: Option<String>,
    asked: Asked,
    /// The beginning of a packet that is not complete yet.
    held: Vec<u8>,
}

impl StalePacketFilter {
    /// Holds everything back until a subscription to `marker` comes by.
    pub fn new(marker: impl Into<String>) -> Self {
        Self { marker: Some(marker.into()), asked: Asked::default(), held: Vec::new() }
    }

    /// Returns the subscriptions that have left and are not answered.
    pub(super) fn asked(&self) -> Asked {
        self.asked.clone()
    }

    /// Appends to `out` what may leave, in whole packets, and to `answers` what the engine is told instead of the
    /// server's answer.
    pub fn pass(&mut self, input: &[u8], out: &mut Vec<u8>, answers: &mut Vec<u8>) {
        self.held.extend_from_slice(input);
        let mut held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        // The engine writes no length of more than four bytes; one that did would never get through.
        while let Ok(Some((header, length))) = fixed_header(rest) {
            let Some((packet, after)) = rest.split_at_checked(header + length) else { break };
            self.packet(packet, header, out, answers);
            rest = after;
        }
        let passed = held.len() - rest.len();
        held.drain(..passed);
        self.held = held;
    }

    fn packet(&mut self, packet: &[u8], header: usize, out: &mut Vec<u8>, answers: &mut Vec<u8>) {
        let body = &packet[header..];
        let Some(marker) = &self.marker else {
            if packet[0] >> 4 == SUBSCRIBE {
                self.asked.note(body, filters(body).count());
            }
            out.extend_from_slice(packet);
            return;
        };
        match packet[0] >> 4 {
            PUBLISH => answers.extend(publish_answer(packet[0], body)),
            SUBSCRIBE => {
                answers.extend(subscribe_answer(body));
                if filters(body).any(|filter| filter == marker.as_bytes()) {
                    self.marker = None;
                }
            }
            UNSUBSCRIBE => answers.extend([0xb0, 2].iter().chain(body.iter().take(2))),
            CONNECT.. => out.extend_from_slice(packet),
            _ => {}
        }
    }
}

/// PUBACK, for QoS 1.
fn publish_answer(first: u8, body: &[u8]) -> Vec<u8> {
    let Some((length, rest)) = body.split_first_chunk::<2>() else { return Vec::new() };
    let identifier = rest.get(usize::from(u16::from_be_bytes(*length))..).and_then(|rest| rest.first_chunk::<2>());
    match identifier {
        Some([high, low]) if first & 0b0110 == 0b0010 => vec![0x40, 2, *high, *low],
        _ => Vec::new(),
    }
}

/// SUBACK, with QoS 1 for every filter.
fn subscribe_answer(body: &[u8]) -> Vec<u8> {
    let granted = vec![1; filters(body).count()];
    let length = u8::try_from(2 + granted.len()).unwrap_or(0x7f);
    [&[0x90, length], body.get(..2).unwrap_or_default(), &granted].concat()
}

/// The filters of a SUBSCRIBE: each has a length, and a QoS behind it.
fn filters(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let filter = after.get(..length)?;
        rest = after.get(length + 1..).unwrap_or_default();
        Some(filter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT_PACKET: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x1e\x00\x01a";
    const OLD_PUBLISH: &[u8] = b"\x32\x07\x00\x03a/b\x00\x07";
    const OLD_SUBSCRIBE: &[u8] = b"\x82\x0a\x00\x08\x00\x01a\x01\x00\x01b\x01";
    const MARKER: &[u8] = b"\x82\x09\x00\x09\x00\x04mark\x01";
    const NEW: &[u8] = b"\x82\x06\x00\x0a\x00\x01c\x01\x32\x07\x00\x03a/b\x00\x0b\xc0\x00";

    fn through(pieces: impl Iterator<Item = Vec<u8>>) -> (Vec<u8>, Vec<u8>) {
        let mut filter = StalePacketFilter::new("mark");
        let (mut out, mut answers) = (Vec::new(), Vec::new());
        for piece in pieces {
            filter.pass(&piece, &mut out, &mut answers);
        }
        (out, answers)
    }

    #[test]
    fn what_is_old_is_acknowledged_and_kept_from_the_wire_however_it_is_cut() {
        let stream = [CONNECT_PACKET, OLD_PUBLISH, OLD_SUBSCRIBE, MARKER, NEW].concat();
        let out = [CONNECT_PACKET, NEW].concat();
        let answers = [b"\x40\x02\x00\x07".as_slice(), b"\x90\x04\x00\x08\x01\x01", b"\x90\x03\x00\x09\x01"].concat();
        for size in [1, 2, 3, 7, 1000] {
            let pieces = stream.chunks(size).map(<[u8]>::to_vec);
            assert_eq!(through(pieces), (out.clone(), answers.clone()), "in pieces of {size}");
        }
    }

    #[test]
    fn a_session_without_anything_old_loses_only_the_mark() {
        let stream = [CONNECT_PACKET, MARKER, NEW].concat();
        assert_eq!(through([stream].into_iter()), ([CONNECT_PACKET, NEW].concat(), b"\x90\x03\x00\x09\x01".to_vec()));
    }

    #[test]
    fn ping_and_disconnect_pass_before_the_mark() {
        assert_eq!(through([b"\xc0\x00\xe0\x00".to_vec()].into_iter()).0, b"\xc0\x00\xe0\x00");
    }
}
