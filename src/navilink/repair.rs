//! Repairs JSON that one bad value makes unreadable as a whole: one bad field never costs the rest of a message.

/// The Unicode replacement character, as JSON escapes it.
const REPLACEMENT: &str = "\\ufffd";

/// Returns `text` with `null` for every number that JSON cannot write (`NaN`, `-Infinity`, `1e400`, `007`), and the
/// Unicode replacement character for bytes that are no UTF-8 and, in strings, for control characters and for escapes
/// that mean nothing, such as half of a surrogate pair. What is good JSON comes back unchanged.
pub fn repair(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some((between, string)) = rest.split_once('"') {
        repair_between(between, &mut repaired);
        repaired.push('"');
        rest = repair_string(string, &mut repaired);
    }
    repair_between(rest, &mut repaired);
    repaired
}

/// Repairs what stands between two strings.
fn repair_between(mut text: &str, repaired: &mut String) {
    let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    while let Some(start) = text.find(of_word) {
        repaired.push_str(&text[..start]);
        text = &text[start..];
        let (word, rest) = text.split_at(text.find(|c| !of_word(c)).unwrap_or(text.len()));
        // Rust reads as a number whatever looks like one, NaN and infinity too.
        let bad_number = word.parse::<f64>().is_ok() && serde_json::from_str::<f64>(word).is_err();
        repaired.push_str(if bad_number { "null" } else { word });
        text = rest;
    }
    repaired.push_str(text);
}

/// Repairs a string up to its closing quote, which is copied, too; returns what follows.
fn repair_string<'t>(mut text: &'t str, repaired: &mut String) -> &'t str {
    while let Some(at) = text.find(|c| matches!(c, '"' | '\\' | '\0'..='\x1f')) {
        repaired.push_str(&text[..at]);
        text = &text[at..];
        if let Some(rest) = text.strip_prefix('"') {
            repaired.push('"');
            return rest;
        }
        let (good, length) = escape(text);
        repaired.push_str(if good { &text[..length] } else { REPLACEMENT });
        text = &text[length..];
    }
    repaired.push_str(text);
    ""
}

/// Returns whether `text` begins with a good escape, and how many bytes to take: those of the escape or, for a bad one,
/// those to replace.
fn escape(text: &str) -> (bool, usize) {
    match text.as_bytes() {
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => (true, 2),
        _ => match (unit(text), text.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (true, 12),
            (Some(0xd800..=0xdfff), _) => (false, 6),
            (Some(_), _) => (true, 6),
            (None, _) => (false, 1),
        },
    }
}

/// Reads the UTF-16 unit of a `\u` escape.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parsed(text: &[u8]) -> Value {
        assert!(serde_json::from_slice::<Value>(text).is_err(), "{} needs no repair", text.escape_ascii());
        let repaired = repair(text);
        serde_json::from_str(&repaired).unwrap_or_else(|error| panic!("{error}: {repaired}"))
    }

    #[test]
    fn a_number_that_json_cannot_write_becomes_null_and_costs_nothing_else() {
        for number in ["1e400", "-1E+400", "NaN", "-nan", "Infinity", "-Infinity", "inf", "+5", "007", "1.", ".5"] {
            let text = format!("{{\"a\":98,\"x\":{number},\"b\":[{number} , -1.5e-3]}}");
            assert_eq!(parsed(text.as_bytes()), json!({"a": 98, "x": null, "b": [null, -1.5e-3]}), "{number}");
        }
        let huge = format!("[{}]", "9".repeat(400));
        assert_eq!(parsed(huge.as_bytes()), json!([null]));
    }

    #[test]
    fn text_that_looks_like_a_number_or_ends_in_a_backslash_is_left_alone() {
        let text = br#"{"NaN":"1e400 \" NaN \\","\ud83d\ude00":"\u00e4\/\n","x":NaN}"#;
        assert_eq!(parsed(text), json!({"NaN": "1e400 \" NaN \\", "😀": "ä/\n", "x": null}));
    }

    #[test]
    fn half_of_a_surrogate_pair_becomes_the_replacement_character() {
        for (written, read) in [
            (r"\ud800", "\u{fffd}"),
            (r"a\udc00b", "a\u{fffd}b"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}😀"),
            (r"\ud800\n", "\u{fffd}\n"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(parsed(format!("[\"{written}\",1]").as_bytes()), json!([read, 1]), "{written}");
        }
    }

    #[test]
    fn bytes_that_are_no_utf_8_and_escapes_that_mean_nothing_cost_themselves_only() {
        assert_eq!(parsed(b"{\"a\":\"x\xffy\",\"b\":1}"), json!({"a": "x\u{fffd}y", "b": 1}));
        assert_eq!(parsed(b"[\"\xe2\x82\",2]"), json!(["\u{fffd}", 2]));
        assert_eq!(parsed(b"[\"a\tb\",2]"), json!(["a\u{fffd}b", 2]));
        assert_eq!(parsed(br#"["\x41\u12g4\u+123",2]"#), json!(["\u{fffd}x41\u{fffd}u12g4\u{fffd}u+123", 2]));
    }

    #[test]
    fn what_is_no_json_at_all_stays_none() {
        for text in ["", "<html>", "nonsense", "{\"a\":", "\"open", "\"open\\", "{NaN:1}", "[1 2]", "\u{fffd}[]"] {
            assert!(serde_json::from_str::<Value>(&repair(text.as_bytes())).is_err(), "{text}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn good_json_is_unchanged(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(repair(text.as_bytes()), text);
            }
        }

        #[test]
        fn a_string_of_any_escapes_is_readable_afterwards(text in "[a\\\\u0d8cef\\x01\u{e4}]{0,50}") {
            let text = format!("[\"{}\"]", text.trim_end_matches('\\'));
            prop_assert!(serde_json::from_str::<Value>(&repair(text.as_bytes())).is_ok(), "{}", text);
        }

        #[test]
        fn no_bytes_make_it_panic_and_a_second_repair_changes_nothing(
            text in prop_oneof![any::<Vec<u8>>(), "[\"\\\\u0-9a-fNIe+.:,\\[\\]{}-]{0,80}".prop_map(String::into_bytes)],
        ) {
            let once = repair(&text);
            prop_assert_eq!(repair(once.as_bytes()), once);
        }
    }
}
