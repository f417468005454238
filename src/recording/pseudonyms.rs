//! Replaces what is private in recorded messages, so that they can be shown in public: the same value by the same
//! pseudonym wherever it stands.
//!
//! [`Pseudonyms`] learns the private values from the members and topics that hold them; then [`Replacer`] replaces these
//! values in every text, and besides them whatever has the form of a MAC address, an email address or a token.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde_json::Value;

pub use super::private::Class;

use super::private::{by_form, class_of, in_members, in_topic, is_mac, is_struck, nested};
use crate::navilink::encoding::Encoding::Named;
use crate::navilink::encoding::Row;
use crate::navilink::message::suffixes;
use crate::navilink::schedule::RESERVATION_MODE;
use crate::product::PRODUCTS;

/// Shorter values are replaced only where they are expected, in characters.
const SHORTEST_WORD: usize = 3;
/// Shorter values are replaced elsewhere only as whole words.
const SHORTEST_PART: usize = 6;
/// Shorter numbers are replaced only where they are expected: elsewhere they are measurements. In digits.
const SHORTEST_NUMBER: usize = 5;

/// The words of the protocol that stand in no table, and ours.
const COMMON: &str = "cmd evt res st did end ctrl ctrl-fail commit-ota app-connection power-on power-off dhw-mode \
    dhw-temperature goout-day anti-leg-on anti-leg-off dr-on dr-off intelligent-on intelligent-off tou-on tou-off \
    recirc-mode recirc-hotbtn air-filter-reset air-filter-life cond-fault-reset reservation-mode \
    clientID sessionID protocolVersion requestTopic responseTopic request response event command deviceType macAddress \
    additionalValue mode param paramStr connection os status feature data usage total year month day hour \
    reservationUse reservation schedule device heater water navien navilink navien2mqtt nwp500 cloud local";

/// All words of the protocol in lower case, each in a line of its own.
static WORDS: LazyLock<String> = LazyLock::new(|| {
    let rows = || PRODUCTS.iter().flat_map(|product| product.status.iter().chain(product.feature));
    let names = |row: &Row| if let Named(names) = row.encoding { names } else { &[] };
    let values = rows().flat_map(names).chain(RESERVATION_MODE).map(|(_, name)| *name);
    let words = COMMON.split_whitespace().chain(suffixes()).chain(rows().map(|row| row.key));
    words.chain(values).collect::<Vec<_>>().join("\n").to_lowercase()
});

/// Collects private values.
#[derive(Debug, Default)]
pub struct Pseudonyms {
    /// The spellings to look for, each with its value.
    spellings: BTreeMap<String, String>,
    values: Values,
}

impl Pseudonyms {
    /// Learns one value.
    pub fn learn(&mut self, class: Class, value: &str) {
        let value = value.trim();
        let value = value.strip_prefix("navilink-").unwrap_or(value);
        if value.is_empty() || is_struck(value) {
            return;
        }
        let canonical = self.values.add(class, value);
        let is_short = match class {
            _ if is_number(value) => digits(value) < SHORTEST_NUMBER,
            // A short id without a digit is a word.
            Class::Id if digits(value) == 0 => value.chars().count() < SHORTEST_PART,
            _ => value.chars().count() < SHORTEST_WORD,
        };
        if !is_short && !is_common(value) {
            self.spellings.extend(spellings(value).into_iter().map(|spelling| (spelling, canonical.clone())));
        }
    }

    /// Learns what a recorded message says under names and in topics that are private.
    pub fn learn_message(&mut self, message: &Value) {
        each_private(message, &mut |class, value| self.learn(class, value));
    }

    /// Prepares the replacement of all that was learned.
    pub fn replacer(self) -> Replacer {
        let (spellings, values_of) = self.spellings.into_iter().unzip::<_, _, Vec<_>, _>();
        let matcher = AhoCorasick::builder().ascii_case_insensitive(true).build(&spellings);
        let matcher = matcher.expect("what a few messages hold is far below the limits of the matcher");
        Replacer { matcher, values_of, values: self.values }
    }
}

/// Calls `found` with whatever a message says under names and in topics that are private.
pub fn each_private(message: &Value, found: &mut impl FnMut(Class, &str)) {
    walk(message, None, found);
}

fn walk(value: &Value, class: Option<Class>, found: &mut impl FnMut(Class, &str)) {
    match (value, class) {
        (Value::Object(members), _) => {
            members.iter().for_each(|(key, value)| walk(value, inherited(key, class), found));
        }
        (Value::Array(items), _) => items.iter().for_each(|item| walk(item, class, found)),
        (Value::String(text), Some(class)) => found(class, text),
        (Value::Number(number), Some(class)) => found(class, &number.to_string()),
        (Value::String(text), None) => match nested(text) {
            Some(inner) => walk(&inner, None, found),
            None => {
                in_topic(text).into_iter().for_each(|range| found(Class::Id, &text[range]));
                in_members(text).for_each(|(range, class)| found(class, &unescaped(&text[range])));
            }
        },
        _ => {}
    }
}

/// Replaces private values.
#[derive(Debug)]
pub struct Replacer {
    matcher: AhoCorasick,
    /// The value of each spelling of the matcher.
    values_of: Vec<String>,
    values: Values,
}

impl Replacer {
    /// Replaces private values in every text of `value`, whatever the names of its members.
    pub fn replace(&mut self, value: &mut Value) {
        self.walk(value, false, None);
    }

    /// Replaces private values in every text of a recorded message, and whatever stands under a private name.
    pub fn replace_message(&mut self, message: &mut Value) {
        self.walk(message, true, None);
    }

    fn walk(&mut self, value: &mut Value, by_name: bool, class: Option<Class>) {
        match value {
            Value::Object(members) => {
                for (key, mut value) in std::mem::take(members) {
                    let class = if by_name { inherited(&key, class) } else { None };
                    match &mut value {
                        // The six bytes of an entry look like a MAC address.
                        Value::String(hex) if key == "reservation" && is_hex(hex) => {}
                        value => self.walk(value, by_name, class),
                    }
                    let key = if is_common(&key) { key } else { self.text(&key) };
                    members.insert(key, value);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, by_name, class)),
            Value::String(text) => *text = self.string(text, by_name, class),
            Value::Number(number) => {
                let shown = number.to_string();
                let learned = digits(&shown) >= SHORTEST_NUMBER && self.values.has(&shown);
                if let Some(class) = class.or(learned.then_some(Class::Id)) {
                    *value = self.values.pseudonym(class, &shown).parse::<u64>().unwrap_or_default().into();
                }
            }
            _ => {}
        }
    }

    fn string(&mut self, text: &str, by_name: bool, class: Option<Class>) -> String {
        let value = text.trim();
        if value.is_empty() || is_struck(value) {
            return text.to_owned();
        }
        if let Some(class) = class {
            return match value.strip_prefix("navilink-") {
                Some(mac) => format!("navilink-{}", self.values.pseudonym(class, mac)),
                None => self.values.pseudonym(class, value),
            };
        }
        match nested(text) {
            Some(mut inner) => {
                self.walk(&mut inner, by_name, None);
                inner.to_string()
            }
            None => self.text(text),
        }
    }

    /// Replaces every private part of a text; parts that overlap become one.
    fn text(&mut self, text: &str) -> String {
        let mut found: Vec<(Range<usize>, Class, String)> = Vec::new();
        for part in self.matcher.find_overlapping_iter(text) {
            let value = &self.values_of[part.pattern().as_usize()];
            if stands_alone(text, &part.range(), value) {
                let value = if is_mac(value) { text[part.range()].to_owned() } else { value.clone() };
                found.push((part.range(), Class::Id, value));
            }
        }
        let topic = in_topic(text).into_iter().map(|range| (range, Class::Id));
        for (range, class) in topic.chain(in_members(text)).chain(by_form(text)) {
            found.push((range.clone(), class, unescaped(&text[range])));
        }
        found.sort_by_key(|(range, ..)| (range.start, Reverse(range.end)));
        let (mut replaced, mut end) = (String::with_capacity(text.len()), 0);
        for (range, class, value) in found {
            if range.start >= end {
                replaced.push_str(&text[end..range.start]);
                replaced.push_str(&self.values.pseudonym(class, &value));
            }
            end = end.max(range.end);
        }
        replaced + &text[end..]
    }
}

/// The private values, each with its class and number.
#[derive(Debug, Default)]
struct Values(BTreeMap<String, (Class, usize)>);

impl Values {
    /// Adds a value, unless it is known, and returns the form in which it is.
    fn add(&mut self, class: Class, value: &str) -> String {
        let canonical = canonical(value);
        let class = match &canonical {
            mac if is_mac(mac) => Class::Mac,
            email if email.contains('@') => Class::Email,
            _ => class,
        };
        let number = self.0.len() + 1;
        self.0.entry(canonical.clone()).or_insert((class, number));
        canonical
    }

    fn has(&self, value: &str) -> bool {
        self.0.contains_key(&canonical(value))
    }

    /// Returns what stands in place of `value`: a number for a number, a MAC address in the same spelling for one.
    fn pseudonym(&mut self, class: Class, value: &str) -> String {
        let canonical = self.add(class, value);
        let (class, number) = self.0[&canonical];
        match class {
            Class::Mac => {
                let digits = format!("02{number:010}");
                let mut digits = digits.chars();
                value.chars().map(|c| if c.is_ascii_hexdigit() { digits.next().unwrap_or('0') } else { c }).collect()
            }
            Class::Email => format!("user{number}@example.com"),
            _ if is_number(value) => (900_000 + number).to_string(),
            Class::Serial => format!("serial-{number}"),
            Class::Id => format!("id-{number}"),
            Class::Name => format!("name-{number}"),
            Class::Place => format!("place-{number}"),
            Class::Secret => format!("token-{number}"),
        }
    }
}

/// Returns the class of a member of an object that is itself of a class; in an object of tokens only these are secrets.
fn inherited(key: &str, of_object: Option<Class>) -> Option<Class> {
    class_of(key).or(of_object.filter(|class| *class != Class::Secret))
}

fn canonical(value: &str) -> String {
    match is_mac(value) {
        true => value.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase(),
        false => value.trim().replace("%40", "@").to_lowercase(),
    }
}

/// Returns the spellings in which a value is looked for; the case of ASCII letters does not matter.
fn spellings(value: &str) -> Vec<String> {
    if is_mac(value) {
        let hex = canonical(value);
        let spell = |size: usize, between: &str| {
            let parts: Vec<&str> = (0..12).step_by(size).map(|at| &hex[at..at + size]).collect();
            parts.join(between)
        };
        return vec![spell(2, ":"), spell(2, "-"), spell(4, "."), hex];
    }
    let mut spellings = vec![value.to_lowercase(), value.to_uppercase(), value.to_owned()];
    for at in 0..spellings.len() {
        let quoted = Value::from(spellings[at].as_str()).to_string();
        let quoted = &quoted[1..quoted.len() - 1];
        let mut units = [0; 2];
        let escape = |c: char| match c.is_ascii() {
            true => c.to_string(),
            false => c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
        };
        let escaped: String = quoted.chars().map(escape).collect();
        let more =
            [quoted.to_owned(), escaped, value.replace(' ', "%20"), value.replace(' ', "+"), value.replace('@', "%40")];
        spellings.extend(more);
    }
    spellings
}

/// Returns the text that JSON writes so.
fn unescaped(text: &str) -> String {
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|_| text.to_owned())
}

/// Returns whether a part of a text is the value that it looks like, and not a piece of a longer word or number.
fn stands_alone(text: &str, range: &Range<usize>, value: &str) -> bool {
    let joins = |c: char| match is_number(value) {
        true => c.is_ascii_digit(),
        false => value.chars().count() < SHORTEST_PART && c.is_alphanumeric(),
    };
    !text[..range.start].ends_with(joins) && !text[range.end..].starts_with(joins)
}

fn is_number(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_digit() || c == '-') && value.parse::<f64>().is_ok()
}

fn digits(value: &str) -> usize {
    value.chars().filter(char::is_ascii_digit).count()
}

fn is_hex(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit())
}

/// Returns whether a word is one of the protocol, or such a part of one that it would be replaced there.
fn is_common(word: &str) -> bool {
    let word = word.to_lowercase();
    WORDS.match_indices(&word).any(|(at, _)| stands_alone(&WORDS, &(at..at + word.len()), &word))
}

#[cfg(test)]
#[path = "pseudonyms_tests.rs"]
mod tests;
