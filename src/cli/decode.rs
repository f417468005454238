//! `decode`: what a raw message says.

use std::io::{self, Read};

use super::{complain, say};
use crate::exit::Exit;
use crate::navilink::decode;
use crate::units::UnitsChoice;

/// The cloud's messages end at 128 KB; a pasted one may have been made longer by spaces.
const MAX_INPUT: u64 = 4 << 20;

/// Decodes standard input; problems of single fields go to standard error.
pub fn decode(units: UnitsChoice) -> Exit {
    let mut text = Vec::new();
    if let Err(error) = io::stdin().take(MAX_INPUT + 1).read_to_end(&mut text) {
        complain(format_args!("standard input cannot be read: {error}"));
        return Exit::BadData;
    }
    if text.len() as u64 > MAX_INPUT {
        complain("standard input is larger than 4 MiB");
        return Exit::BadData;
    }
    // Some editors put a byte-order mark before the text.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    match decode::decode(text, units) {
        Ok(decoded) => {
            for problem in decoded.problems {
                complain(format_args!("{problem}; shown as null"));
            }
            // Objects of JSON values always serialise.
            say(serde_json::to_string_pretty(&decoded.object).unwrap_or_default());
            Exit::Success
        }
        Err(error) => {
            complain(error);
            Exit::BadData
        }
    }
}
