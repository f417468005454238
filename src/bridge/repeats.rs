//! What is said of commands in the log: lines of one kind are a while apart, and those left out are counted.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::model::Mac;

/// Between two lines of one kind. What was sent cannot come faster than every two seconds, but for its repetition.
const APART: Duration = Duration::from_secs(60);
const SENT_APART: Duration = Duration::from_secs(1);
/// The most kinds told apart; what comes after them is one kind.
const MOST: usize = 50;

/// Heater, name and status.
type LineKind = (Mac, String, &'static str);

/// Counts lines by their kind.
#[derive(Debug, Default)]
pub struct Repeats {
    /// When each kind was said last, and how many lines were left out since; `None` is all that find no room.
    kinds: BTreeMap<Option<LineKind>, (SystemTime, u64)>,
}

impl Repeats {
    /// Returns how many lines of this kind were left out since the last one, if this one is to be said.
    pub fn count(&mut self, mac: &Mac, name: &str, status: &'static str, wall: SystemTime) -> Option<u64> {
        let apart = match status {
            "sent" | "confirmed" | "failed" => SENT_APART,
            _ => APART,
        };
        self.kinds.retain(|_, (at, left_out)| {
            let kept = if *left_out > 0 { 10 * APART } else { APART };
            wall.duration_since(*at).is_ok_and(|since| since < kept)
        });
        let key = Some((mac.clone(), name.to_owned(), status));
        let key = key.filter(|key| self.kinds.len() < MOST || self.kinds.contains_key(&Some(key.clone())));
        let Some((at, left_out)) = self.kinds.get_mut(&key) else {
            self.kinds.insert(key, (wall, 0));
            return Some(0);
        };
        // A clock that was set back says nothing of how long ago it is.
        if wall.duration_since(*at).is_ok_and(|since| since < apart) {
            *left_out += 1;
            return None;
        }
        *at = wall;
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_said_once_a_minute_with_its_count_and_kinds_are_bounded() {
        let (mut repeats, mac): (_, Mac) = (Repeats::default(), "04786332fca0".parse().unwrap());
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        let said: Vec<u64> =
            (0..60_001).filter_map(|millis| repeats.count(&mac, "power", "rejected", at(millis))).collect();
        assert_eq!(said, [0, 59_999]);
        let said = (0..10_000).filter_map(|n| repeats.count(&mac, &n.to_string(), "rejected", at(60_000))).count();
        assert_eq!((said, repeats.kinds.len()), (MOST, MOST + 1));
        assert_eq!(repeats.count(&mac, "mode", "sent", at(180_000)), Some(0));
        assert_eq!(repeats.count(&mac, "mode", "sent", at(180_999)), None);
        assert_eq!(repeats.count(&mac, "mode", "sent", at(181_000)), Some(1));
    }
}
