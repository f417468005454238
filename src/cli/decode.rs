//! `decode`: what raw messages say.

use std::io::{self, Read};

use serde_json::Value;

use super::{print_error, say};
use crate::decode::{self, DecodedMessage, Found};
use crate::exit::Exit;
use crate::units::UnitsChoice;

/// The cloud's messages end at 128 KB, and a diagnostics answer is not much longer; spaces may have been added.
const MAX_INPUT: u64 = 4 << 20;

/// Decodes standard input: one message, whose kind and problems go to standard error, or all those of a diagnostics
/// answer, one a line with their kinds and problems.
pub fn decode(units: UnitsChoice) -> Exit {
    let mut text = Vec::new();
    if let Err(error) = io::stdin().take(MAX_INPUT + 1).read_to_end(&mut text) {
        print_error(format_args!("standard input cannot be read: {error}"));
        return Exit::BadData;
    }
    if text.len() as u64 > MAX_INPUT {
        print_error("standard input is larger than 4 MiB");
        return Exit::BadData;
    }
    // Some editors put a byte-order mark before the text.
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&text);
    match decode::decode(text, units) {
        Ok(Found::Message(reading)) => {
            show(reading);
            Exit::Success
        }
        Ok(Found::Recorded(lines)) => {
            lines.into_iter().for_each(|line| say(Value::Object(line)));
            Exit::Success
        }
        Err(error) => {
            print_error(error);
            Exit::BadData
        }
    }
}

fn show(DecodedMessage { kind, decoded }: DecodedMessage) {
    // Their fields say what these two are.
    if !matches!(kind, "status" | "info") {
        print_error(format_args!("a message of the kind `{kind}`"));
    }
    for problem in decoded.problems {
        print_error(format_args!("{problem}; shown as null"));
    }
    for key in decoded.unknown {
        print_error(format_args!("`{key}`: not known, and left out"));
    }
    // Objects of JSON values always serialise.
    say(serde_json::to_string_pretty(&decoded.object).unwrap_or_default());
}
