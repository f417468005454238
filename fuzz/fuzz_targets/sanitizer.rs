//! Whatever a broker sends, however it is cut into pieces: the engine gets the same bytes or the same refusal, and never
//! a PUBLISH whose topic would abort the process.
#![no_main]

use libfuzzer_sys::fuzz_target;
use navien2mqtt::io::wire::{InboundSanitizer, Malformed};

fn through(pieces: &[&[u8]]) -> Result<Vec<u8>, Malformed> {
    let (mut sanitizer, mut out) = (InboundSanitizer::default(), Vec::new());
    for piece in pieces {
        sanitizer.pass(piece, &mut out)?;
    }
    Ok(out)
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, stream)) = data.split_first() else { return };
    let pieces: Vec<&[u8]> = stream.chunks(usize::from(*cut).max(1)).collect();
    let whole = through(&[stream]);
    assert_eq!(through(&pieces), whole);
    if let Ok(passed) = whole {
        assert_eq!(through(&[&passed]).as_ref(), Ok(&passed), "what has passed passes again, unchanged");
    }
});
