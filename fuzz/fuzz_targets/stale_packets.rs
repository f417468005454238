//! Whatever the engine writes, however it is cut into pieces: the filter lets the same bytes through and gives the same
//! answers, and once the marker has come by every whole packet passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::io::wire::StalePacketFilter;

const MARKER: &[u8] = b"\x82\x09\x00\x09\x00\x04mark\x01";

fn through(pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>) {
    let mut filter = StalePacketFilter::new("mark");
    let (mut out, mut answers) = (Vec::new(), Vec::new());
    for piece in pieces {
        filter.pass(piece, &mut out, &mut answers);
    }
    (out, answers)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*cut).max(1)).collect();
    assert_eq!(through(&pieces), through(&[stream]));
    let (passed, _) = through(&[MARKER, stream]);
    let rest = stream.strip_prefix(passed.as_slice()).expect("behind the marker everything passes");
    assert!(through(&[MARKER, rest]).0.is_empty(), "a whole packet was held back");
});
