//! The commands of the last hour: MQTT delivers at least once, and a bridge between brokers can echo, so one that comes
//! again is not done again.

use std::collections::VecDeque;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command with an id is remembered for so long, in seconds.
const REMEMBERED: u64 = 3600;
/// An edit without an id that equals an earlier one within so many seconds is the same one.
const SAME_WITHIN: u64 = 30;
/// The longest id, as JSON, in bytes.
const MAX_ID: usize = 128;
/// What is remembered of one heater, in bytes: with many heaters it must fit into one file of the state directory.
const MAX_BYTES: usize = 8 * 1024;
/// A longer reason is cut, in characters.
const MAX_REASON: usize = 200;
/// What an entry takes besides its texts, in bytes.
const ENTRY: usize = 64;
/// How a command ends, as it is told.
const ENDS: [&str; 4] = ["confirmed", "rejected", "expired", "failed"];

/// What was asked for, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seen {
    commands: VecDeque<Entry>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Entry {
    /// Its id, as JSON; an edit may have none.
    id: Option<String>,
    /// A hash of its name and payload.
    digest: u64,
    /// When it came, in seconds since 1970.
    at: u64,
    /// How it ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    end: Option<End>,
    /// Its number in this run of the process; an earlier run has no end to tell any more.
    #[serde(skip)]
    number: u64,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    status: String,
    /// Whether the heater's fields show it.
    pub in_force: bool,
    /// Why.
    pub reason: Option<String>,
}

/// What is known of a command that has arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Nothing: it is new.
    Nothing,
    /// It came before, and ended like this.
    Ended(End),
    /// It came before, and its end is still to come.
    UnderWay,
    /// It is refused for this reason.
    Refused(String),
}

impl End {
    /// Returns the status, as it is told.
    pub fn status(&self) -> Option<&'static str> {
        ENDS.into_iter().find(|end| *end == self.status)
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let reason = self.end.as_ref().and_then(|end| end.reason.as_ref()).map_or(0, String::len);
        ENTRY + self.id.as_ref().map_or(0, String::len) + reason
    }
}

impl Seen {
    /// Returns what is known of a command; `is_edit` says that it must not be done twice even without an id.
    pub fn look(&self, id: Option<&Value>, digest: u64, is_edit: bool, wall: SystemTime) -> Known {
        let now = seconds(wall);
        let Some(id) = as_text(id) else {
            // The newest clock may have been set back.
            let same =
                |entry: &&Entry| entry.id.is_none() && entry.digest == digest && entry.at.abs_diff(now) < SAME_WITHIN;
            return match self.commands.iter().find(same).filter(|_| is_edit) {
                Some(_) => Known::Refused(format!(
                    "the same was asked for less than {SAME_WITHIN} seconds ago, and is done once; an `id` of its own \
                     tells one command from another"
                )),
                None => Known::Nothing,
            };
        };
        let fresh = |entry: &&Entry| entry.id.as_ref() == Some(&id) && entry.at.abs_diff(now) < REMEMBERED;
        match self.commands.iter().rev().find(fresh) {
            None => Known::Nothing,
            Some(entry) if entry.digest != digest => {
                Known::Refused("its `id` was used for another command within the last hour".to_owned())
            }
            Some(Entry { end: Some(end), .. }) => Known::Ended(end.clone()),
            Some(Entry { number: 0, .. }) => Known::Ended(End {
                status: "failed".to_owned(),
                in_force: true,
                reason: Some("the bridge ended before it did; whether the heater obeyed is not known".to_owned()),
            }),
            Some(_) => Known::UnderWay,
        }
    }

    /// Remembers a command of this run, which has an id or is an edit.
    pub fn note(&mut self, id: Option<&Value>, digest: u64, number: u64, wall: SystemTime) {
        let (id, at) = (as_text(id), seconds(wall));
        self.commands.retain(|entry| entry.at.abs_diff(at) < if entry.id.is_some() { REMEMBERED } else { SAME_WITHIN });
        self.commands.push_back(Entry { id, digest, at, end: None, number });
        self.trim();
    }

    /// Remembers how a command ended.
    pub fn ended(&mut self, number: u64, status: &str, in_force: bool, reason: Option<&str>) {
        if let Some(entry) = self.commands.iter_mut().rev().find(|entry| entry.number == number) {
            let reason = reason.map(|reason| reason.chars().take(MAX_REASON).collect());
            entry.end = Some(End { status: status.to_owned(), in_force, reason });
            self.trim();
        }
    }

    /// Forgets the oldest that find no room.
    fn trim(&mut self) {
        let mut bytes: usize = self.commands.iter().map(Entry::bytes).sum();
        while bytes > MAX_BYTES {
            bytes -= self.commands.pop_front().map_or(bytes, |entry| entry.bytes());
        }
    }
}

/// Refuses an id that is too long to be remembered, or to be repeated in every result.
///
/// # Errors
///
/// Says so.
pub fn check_id(id: Option<&Value>) -> Result<(), String> {
    match as_text(id) {
        Some(id) if id.len() > MAX_ID => Err(format!("its `id` is longer than {MAX_ID} bytes")),
        _ => Ok(()),
    }
}

/// Hashes a name and a payload (FNV-1a).
pub fn digest(name: &str, payload: &[u8]) -> u64 {
    let bytes = name.bytes().chain([0]).chain(payload.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

fn as_text(id: Option<&Value>) -> Option<String> {
    id.filter(|id| !id.is_null()).map(Value::to_string)
}

fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn an_id_is_remembered_for_an_hour_with_its_end_and_over_restarts() {
        let (mut seen, id) = (Seen::default(), json!("del-1"));
        seen.note(Some(&id), 7, 1, at(0));
        assert_eq!(seen.look(Some(&id), 7, true, at(1)), Known::UnderWay);
        assert!(matches!(seen.look(Some(&id), 8, true, at(1)), Known::Refused(_)), "another command");
        let crashed: Seen = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        let Known::Ended(end) = crashed.look(Some(&id), 7, true, at(2)) else { panic!("{crashed:?}") };
        assert_eq!(end.status(), Some("failed"));
        seen.ended(1, "confirmed", false, Some("so"));
        let kept: Seen = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        let Known::Ended(end) = kept.look(Some(&id), 7, true, at(3599)) else { panic!("{kept:?}") };
        assert_eq!((end.status(), end.in_force, end.reason.as_deref()), (Some("confirmed"), false, Some("so")));
        assert_eq!(kept.look(Some(&id), 7, true, at(3600)), Known::Nothing);
        assert_eq!(kept.look(Some(&json!("del-2")), 7, true, at(1)), Known::Nothing, "another id is another command");
    }

    #[test]
    fn without_an_id_an_equal_edit_is_the_same_one_for_some_seconds() {
        let mut seen = Seen::default();
        seen.note(None, 7, 1, at(0));
        assert!(matches!(seen.look(None, 7, true, at(29)), Known::Refused(_)));
        assert_eq!(seen.look(None, 8, true, at(29)), Known::Nothing);
        assert_eq!(seen.look(None, 7, true, at(30)), Known::Nothing);
        assert_eq!(seen.look(Some(&Value::Null), 8, true, at(1)), Known::Nothing, "null is no id");
        assert_eq!(seen.look(None, 7, false, at(1)), Known::Nothing, "what is no edit can be repeated");
    }

    #[test]
    fn what_is_remembered_is_bounded_in_bytes() {
        let mut seen = Seen::default();
        for number in 1..10_000 {
            let id = json!("x".repeat(100) + &number.to_string());
            seen.note(Some(&id), number, number, at(0));
            seen.ended(number, "rejected", true, Some(&"y".repeat(5000)));
        }
        assert!(serde_json::to_string(&seen).unwrap().len() < 2 * MAX_BYTES);
        assert!(seen.commands.len() >= 20);
        let id = json!("x".repeat(MAX_ID));
        assert!(check_id(Some(&id)).is_err() && check_id(Some(&json!("x".repeat(MAX_ID - 2)))).is_ok());
    }
}
