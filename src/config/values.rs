//! How single values are read, with what would be right in every error.

use std::time::Duration;

use secrecy::SecretString;
use toml::de::{DeInteger, DeValue};
use url::{ParseError, Url};

use super::reader::describe;
use crate::foreign_text::is_shown;

/// No duration is longer, so that no deadline lies beyond what a clock can say.
const LONGEST: Duration = Duration::from_secs(366 * 86400);

pub fn text(value: &DeValue<'_>) -> Result<String, String> {
    let DeValue::String(text) = value else { return Err(format!("expected a string, not {}", describe(value))) };
    if text.trim().is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(text.clone().into_owned())
}

pub fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        other => Err(format!("expected true or false, not {}", describe(other))),
    }
}

/// Reads a whole number between two others.
pub fn whole(low: i64, high: i64) -> impl Fn(&DeValue<'_>) -> Result<i64, String> {
    move |value| {
        let expected = || format!("expected a whole number from {low} to {high}");
        let DeValue::Integer(number) = value else { return Err(format!("{}, not {}", expected(), describe(value))) };
        integer(number).filter(|n| (low..=high).contains(n)).ok_or_else(|| format!("{}, not {number}", expected()))
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Reads a number of attempts, where -1 is without limit.
pub fn attempts(value: &DeValue<'_>) -> Result<Option<u32>, String> {
    let number = whole(-1, i64::from(u32::MAX))(value)
        .map_err(|_| "expected a whole number of attempts, or -1 for no limit".to_owned())?;
    Ok(u32::try_from(number).ok())
}

/// Reads a number between two others, the upper one included or not.
pub fn number(low: f64, high: f64, inclusive: bool) -> impl Fn(&DeValue<'_>) -> Result<f64, String> {
    move |value| {
        let to = if inclusive { "to" } else { "to less than" };
        let expected = format!("expected a number from {low} {to} {high}");
        let parsed = match value {
            DeValue::Integer(number) => integer(number).map(|number| number as f64),
            DeValue::Float(number) => number.as_str().parse().ok(),
            other => return Err(format!("{expected}, not {}", describe(other))),
        };
        let fits = |n: &f64| *n >= low && (*n < high || (inclusive && *n <= high));
        parsed.filter(fits).ok_or(expected)
    }
}

/// Reads a duration of at least `low` and at most `high`, if there is one.
pub fn duration(low: Duration, high: Option<Duration>) -> impl Fn(&DeValue<'_>) -> Result<Duration, String> {
    move |value| {
        let written = match value {
            DeValue::String(written) => written,
            DeValue::Integer(number) => {
                return Err(format!("expected a duration with its unit, such as \"{number}s\" or \"{number}m\""));
            }
            other => return Err(format!("expected a duration such as \"30s\" or \"5m\", not {}", describe(other))),
        };
        let parsed: Duration = written
            .parse::<humantime::Duration>()
            .map_err(|_| {
                format!("expected a duration such as \"500ms\", \"30s\", \"5m\" or \"1h\", not \"{written}\"")
            })?
            .into();
        let show = humantime::format_duration;
        let high = high.unwrap_or(LONGEST);
        match parsed {
            parsed if parsed < low => Err(format!("must be at least \"{}\"", show(low))),
            parsed if parsed > high => Err(format!("must be at most \"{}\"", show(high))),
            parsed => Ok(parsed),
        }
    }
}

/// Reads one of some words.
pub fn choice<T: Copy>(choices: &'static [(&'static str, T)]) -> impl Fn(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let expected = format!("expected one of {}", words.join(", "));
        let DeValue::String(written) = value else { return Err(format!("{expected}, not {}", describe(value))) };
        let found = choices.iter().find(|(word, _)| *word == written.as_ref());
        found.map(|(_, meaning)| *meaning).ok_or_else(|| format!("{expected}, not \"{written}\""))
    }
}

/// Reads a list of some words; an empty one is none of them.
pub fn words(known: &'static [&'static str]) -> impl Fn(&DeValue<'_>) -> Result<Vec<&'static str>, String> {
    move |value| {
        let expected = format!("expected a list of some of \"{}\"", known.join("\", \""));
        let DeValue::Array(list) = value else { return Err(format!("{expected}, not {}", describe(value))) };
        let find = |word: &str| known.iter().find(|one| **one == word).copied();
        let read = |word: &toml::Spanned<DeValue<'_>>| match word.get_ref() {
            DeValue::String(word) => find(word).ok_or_else(|| format!("{expected}, not \"{word}\"")),
            other => Err(format!("{expected}, not {}", describe(other))),
        };
        list.iter().map(read).collect()
    }
}

/// Reads a temperature with its unit; returns half degrees Celsius, rounded down.
pub fn temperature(value: &DeValue<'_>) -> Result<i64, String> {
    let expected = "expected a temperature with its unit, such as \"60 °C\" or \"140 °F\", from 30 to 100 °C";
    let written = text(value).map_err(|_| format!("{expected}, not {}", describe(value)))?;
    let split = |unit: char| written.strip_suffix(unit)?.trim_end_matches(['°', ' ']).parse::<f64>().ok();
    let celsius = split('C').or_else(|| split('F').map(|degrees| (degrees - 32.0) * 5.0 / 9.0));
    let half = celsius.map(|celsius| (celsius * 2.0 + 1e-6).floor()).filter(|half| (60.0..=200.0).contains(half));
    half.map(|half| half as i64).ok_or_else(|| format!("{expected}, not \"{written}\""))
}

/// Reads a URL of one of some schemes, with a host and without credentials.
pub fn url(schemes: &'static [&'static str]) -> impl Fn(&DeValue<'_>) -> Result<Url, String> {
    move |value| {
        let expected = format!("expected a URL that begins with {}://", schemes.join(":// or "));
        let written = text(value)?;
        let url = parse(&written, &expected)?;
        if !schemes.contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
            return Err(expected);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("user name and password do not belong into the URL; they have keys of their own".to_owned());
        }
        if url.port() == Some(0) {
            return Err("must not have the port 0".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must have no query and no fragment".to_owned());
        }
        Ok(url)
    }
}

/// Parses a URL, and names what is wrong in words that repeat nothing of it; `expected` describes a URL that is good.
fn parse(written: &str, expected: &str) -> Result<Url, String> {
    if written.contains(char::is_whitespace) {
        return Err("must not contain spaces".to_owned());
    }
    let address = written.split_once("://[").and_then(|(_, rest)| rest.split_once(']'));
    if address.is_some_and(|(address, _)| address.contains('%')) {
        return Err(
            "an IPv6 address must have no zone (the part from % on): only an address that needs none, or a host \
                    name, can stand in a URL"
                .to_owned(),
        );
    }
    Url::parse(written).map_err(|error| match error {
        ParseError::InvalidPort => {
            "the port must be a whole number from 1 to 65535, and an IPv6 address must stand in \
                                    brackets: [::1]:1883"
                .to_owned()
        }
        ParseError::InvalidIpv4Address => "the host is not a good IPv4 address".to_owned(),
        ParseError::InvalidIpv6Address => "the address in brackets is not a good IPv6 address".to_owned(),
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => "the host is not a good name".to_owned(),
        _ => expected.to_owned(),
    })
}

/// Reads a URL that is itself a secret, as those of webhooks are; it is not repeated in any message.
pub fn secret_url(value: &DeValue<'_>) -> Result<SecretString, String> {
    let expected = "expected a URL that begins with https:// or http://";
    let written = text(value)?;
    let url = parse(&written, expected)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(expected.to_owned());
    }
    Ok(written.into())
}

/// Reads a program and its arguments.
pub fn command(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let expected = "expected a list of a program and its arguments, such as [\"/usr/local/bin/tell-me\", \"heater\"]";
    let DeValue::Array(words) = value else { return Err(format!("{expected}, not {}", describe(value))) };
    let words: Option<Vec<String>> = words.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect();
    match words {
        Some(words) if words.first().is_some_and(|program| program.starts_with('/')) => Ok(words),
        Some(words) if !words.is_empty() => Err("the program must be named by its absolute path".to_owned()),
        _ => Err(expected.to_owned()),
    }
}

/// Reads the beginning of MQTT topics.
pub fn topic(value: &DeValue<'_>) -> Result<String, String> {
    let topic = text(value)?;
    if topic.contains(['+', '#', '$']) {
        return Err("must not contain +, # or $, which mean something else to a broker".to_owned());
    }
    if !topic.chars().all(is_shown) {
        return Err("must not contain invisible characters".to_owned());
    }
    if topic.split('/').any(str::is_empty) {
        return Err("must not begin or end with /, nor contain //".to_owned());
    }
    if topic.len() > 128 {
        return Err("must be at most 128 bytes long".to_owned());
    }
    Ok(topic)
}
