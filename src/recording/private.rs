//! What is private in messages of the cloud: by the name of its member, by its place in a topic, or by its form.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde_json::Value;

/// What a private value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A MAC address.
    Mac,
    /// A serial number.
    Serial,
    /// The id of a user, home, device, client or session.
    Id,
    /// The name of a person or a thing.
    Name,
    /// Where something is.
    Place,
    /// An email address.
    Email,
    /// A password, token or key.
    Secret,
}

/// What stands in place of a secret that was struck out.
const STRUCK: &str = "***";

// Here `\w` is ASCII. Where other letters may stand, everything beyond ASCII counts as one: their tables would be most of
// this program's memory.
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"[\w.+\x{80}-\x{10FFFF}-]+(?:@|%40)[\w\x{80}-\x{10FFFF}-]+(?:[.][\w\x{80}-\x{10FFFF}-]+)*")
});
static MAC: LazyLock<Regex> =
    LazyLock::new(|| pattern("(?i)(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{4}[.]){2}[0-9a-f]{4}|[0-9a-f]+"));
static TOPIC: LazyLock<Regex> = LazyLock::new(|| pattern(r#"\b(?:cmd|evt)/[^\s"'`\\]*"#));
/// A JWT, or the id of an AWS key.
static SECRET: LazyLock<Regex> = LazyLock::new(|| pattern(r"eyJ[\w-]{8,}(?:[.][\w-]+)*|A[KS]IA[0-9A-Z]{12,}"));
static LONG: LazyLock<Regex> = LazyLock::new(|| pattern("[A-Za-z0-9_=+-]{32,}"));
/// A text or number with its name, as JSON writes it, or as JSON in a text of JSON does.
static MEMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?s)"([A-Za-z][\w\x{80}-\x{10FFFF}-]*)"\s*:\s*(?:"((?:[^"\\]|\\.)*)|(-?[0-9][0-9.eE+-]*))|\\+"([A-Za-z][\w\x{80}-\x{10FFFF}-]*)\\+"\s*:\s*(?:\\+"([^"\\]*)|(-?[0-9][0-9.eE+-]*))"#,
    )
});

fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns of this file are well-formed")
}

/// Returns what the member `key` of a message holds, if that is private.
pub fn class_of(key: &str) -> Option<Class> {
    let lower: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let contains = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let is = |words: &[&str]| words.contains(&lower.as_str());
    let ends = |words: &[&str]| words.iter().any(|word| key.ends_with(word));
    if contains(&["password", "passwd", "token", "secret", "accesskey", "authorization", "signature", "credential"]) {
        Some(Class::Secret)
    } else if is(&["mac"]) || contains(&["macaddr"]) {
        Some(Class::Mac)
    } else if contains(&["serial"]) || is(&["controllerid"]) {
        Some(Class::Serial)
    } else if contains(&["email"]) {
        Some(Class::Email)
    } else if contains(&[
        "latitude",
        "longitude",
        "altitude",
        "address",
        "street",
        "zip",
        "postal",
        "postcode",
        "location",
    ]) || is(&["state", "city", "country", "county", "province", "region", "timezone", "utility"])
    {
        Some(Class::Place)
    } else if lower.ends_with("name") || contains(&["ssid"]) || is(&["owner"]) {
        Some(Class::Name)
    } else if ends(&["Id", "ID", "_id", "Seq", "_seq"])
        || contains(&["phone", "mobile", "uuid"])
        || is(&["id", "ip", "additionalvalue", "registerpath", "continuouskey"])
    {
        Some(Class::Id)
    } else {
        None
    }
}

/// Finds the parts of topics in a text that name a heater, a home or a client (protocol reference, section 3).
pub fn in_topic(text: &str) -> Vec<Range<usize>> {
    TOPIC.find_iter(text).flat_map(|topic| in_one_topic(topic.as_str(), topic.start())).collect()
}

fn in_one_topic(topic: &str, at: usize) -> Vec<Range<usize>> {
    let mut start = 0;
    let segments = topic.split('/').map(|segment| {
        let range = start..start + segment.len();
        start = range.end + 1;
        range
    });
    let segments: Vec<Range<usize>> = segments.collect();
    let answer = segments.iter().position(|range| &topic[range.clone()] == "res");
    let ids =
        segments.into_iter().enumerate().filter(|(place, _)| *place == 2 || (3..answer.unwrap_or(3)).contains(place));
    let ids = ids.map(|(_, range)| match topic[range.clone()].strip_prefix("navilink-") {
        Some(mac) => range.end - mac.len()..range.end,
        None => range,
    });
    let ids = ids.filter(|range| !matches!(&topic[range.clone()], "" | "0" | "+" | "#" | "res"));
    ids.map(|range| at + range.start..at + range.end).collect()
}

/// Finds texts and numbers that are private by their names in JSON, also in broken JSON.
pub fn in_members(text: &str) -> impl Iterator<Item = (Range<usize>, Class)> {
    MEMBER.captures_iter(text).filter_map(|found| {
        let name = found.get(1).or(found.get(4))?;
        let value = found.get(2).or(found.get(3)).or(found.get(5)).or(found.get(6))?;
        let class = class_of(name.as_str()).filter(|_| !value.is_empty() && !is_struck(value.as_str()))?;
        Some((value.range(), class))
    })
}

/// Finds what has the form of a MAC address, an email address or a token.
pub fn by_form(text: &str) -> impl Iterator<Item = (Range<usize>, Class)> {
    let macs = MAC.find_iter(text).filter(|found| is_mac(found.as_str())).map(|found| (found.range(), Class::Mac));
    let emails = EMAIL.find_iter(text).map(|found| (found.range(), Class::Email));
    let is_mixed = |text: &str| text.contains(|c: char| c.is_ascii_digit()) && text.contains(char::is_alphabetic);
    let long = LONG.find_iter(text).filter(move |found| is_mixed(found.as_str()));
    macs.chain(emails).chain(long.chain(SECRET.find_iter(text)).map(|found| (found.range(), Class::Secret)))
}

/// Returns whether `text` is a MAC address, in whatever spelling.
pub fn is_mac(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    let good = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.');
    digits == 12 && matches!(text.len(), 12 | 14 | 17) && text.chars().all(good)
}

/// Parses JSON in a text.
pub fn nested(text: &str) -> Option<Value> {
    text.trim_start().starts_with(['{', '[']).then(|| serde_json::from_str(text).ok())?
}

/// Returns what stands in place of a value of which only this is told.
pub fn struck(told: impl fmt::Display) -> String {
    format!("{STRUCK} ({told})")
}

/// Returns whether `text` stands in place of a value.
pub fn is_struck(text: &str) -> bool {
    text.strip_prefix(STRUCK).is_some_and(|told| told.is_empty() || (told.starts_with(" (") && told.ends_with(')')))
}

/// Strikes passwords, tokens and keys out of messages, and remembers which names are those of secrets: messages are full of
/// the same ones.
#[derive(Default)]
pub struct Striker {
    names: HashMap<String, bool>,
}

impl Striker {
    const MOST_NAMES: usize = 512;
    const LONGEST_NAME: usize = 64;

    /// Strikes passwords, tokens and keys out of a message.
    pub fn strike(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    match self.is_secret(key) {
                        true if !value.is_null() => *value = STRUCK.into(),
                        _ => self.strike(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.strike(item)),
            Value::String(text) => *text = strike_text(text),
            _ => {}
        }
    }

    fn is_secret(&mut self, key: &str) -> bool {
        if let Some(known) = self.names.get(key) {
            return *known;
        }
        let secret = class_of(key) == Some(Class::Secret);
        if key.len() <= Self::LONGEST_NAME && self.names.len() < Self::MOST_NAMES {
            self.names.insert(key.to_owned(), secret);
        }
        secret
    }
}

/// Strikes passwords, tokens and keys out of a text.
pub fn strike_text(text: &str) -> String {
    let mut left = text.to_owned();
    let named = in_members(text).filter(|(_, class)| *class == Class::Secret).map(|(range, _)| range);
    for range in named.collect::<Vec<_>>().into_iter().rev() {
        left.replace_range(range, STRUCK);
    }
    SECRET.replace_all(&left, STRUCK).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::product::PRODUCTS;

    #[test]
    fn of_all_fields_of_a_heater_only_the_serial_number_is_private() {
        let rows = PRODUCTS.iter().flat_map(|product| product.status.iter().chain(product.feature));
        let private = rows.filter(|row| class_of(row.key).is_some());
        assert_eq!(private.map(|row| row.key).collect::<Vec<_>>(), ["controllerSerialNumber"]);
        let others = "command deviceType mode param paramStr requestTopic protocolVersion reservationUse usage typeOfUsage \
                      total year month hpUsage downloadSwInfo swCode failCode typeOfTD tsData numOfdhwUse code msg \
                      connected installType modelTypeCode errorCode errorOccuredTime season week decimalPoint";
        assert_eq!(others.split_whitespace().find(|key| class_of(key).is_some()), None);
    }

    #[test]
    fn the_private_members_of_the_rest_api_are_known() {
        for (key, class) in [
            ("macAddress", Class::Mac),
            ("controllerSerialNumber", Class::Serial),
            ("userId", Class::Id),
            ("clientID", Class::Id),
            ("sessionID", Class::Id),
            ("homeSeq", Class::Id),
            ("additionalValue", Class::Id),
            ("deviceName", Class::Name),
            ("userFirstName", Class::Name),
            ("latitude", Class::Place),
            ("zipCode", Class::Place),
            ("city", Class::Place),
            ("address", Class::Place),
            ("accessKeyId", Class::Secret),
            ("idToken", Class::Secret),
        ] {
            assert_eq!(class_of(key), Some(class), "{key}");
        }
    }

    #[test]
    fn a_topic_names_heater_home_and_client() {
        let private = |topic: &'static str| in_topic(topic).into_iter().map(|range| &topic[range]).collect::<Vec<_>>();
        assert_eq!(private("cmd/52/navilink-04786332FCA0/st/did"), ["04786332FCA0"]);
        assert_eq!(private("cmd/52/navilink-04786332FCA0/me/res"), ["04786332FCA0", "me"]);
        assert_eq!(private("cmd/52/navilink-04786332FCA0/res/ctrl-fail"), ["04786332FCA0"]);
        assert_eq!(private("cmd/52/me/res/rsv/rd"), ["me"]);
        assert_eq!(private("cmd/52/25004/0/me/res/td/rd"), ["25004", "me"]);
        assert_eq!(private("evt/52/navilink-04786332FCA0/app-connection"), ["04786332FCA0"]);
        assert_eq!(private("refused \"cmd/52/25004/0/me/res/#\", `cmd/52/you/res`"), ["25004", "me", "you"]);
        assert!(private("homeassistant/status").is_empty() && private("cmd/52").is_empty());
    }

    #[test]
    fn secrets_are_struck_out_wherever_they_stand() {
        let mut message = json!({
            "password": "geheim", "token": { "idToken": "geheim" }, "secretKey": 7, "expires": 3600, "none": null,
            "text": "of eyJhbGciOiJI.geheim.x and ASIAGEHEIMGEHEIM", "inner": "{\"refreshToken\":\"geheim\",\"a\":1}",
        });
        let mut striker = Striker::default();
        striker.strike(&mut message);
        let text = message.to_string();
        assert!(!text.to_lowercase().contains("geheim") && text.contains("3600"), "{text}");
        let broken = strike_text(r#"{"accessToken": "geheim", "deviceName": "x", "sessionToken": "gehei"#);
        assert_eq!(broken, r#"{"accessToken": "***", "deviceName": "x", "sessionToken": "***"#);
    }
}
