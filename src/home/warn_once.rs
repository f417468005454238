//! What was wrong with what arrived: said once, counted afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Mac;

/// The most different warnings kept; what comes after them is counted together.
const MOST: usize = 500;

/// A longer kind is cut, in characters.
const LONGEST: usize = 100;

/// Counts warnings by heater and kind.
#[derive(Debug, Default)]
pub struct WarnOnce {
    counts: BTreeMap<(Option<Mac>, String), u64>,
    others: u64,
}

impl WarnOnce {
    /// Counts one; returns whether it is the first of its kind and should be said.
    pub fn count(&mut self, heater: Option<&Mac>, kind: &str) -> bool {
        let key = (heater.cloned(), kind.chars().take(LONGEST).collect());
        if let Some(count) = self.counts.get_mut(&key) {
            *count += 1;
            return false;
        }
        if self.counts.len() >= MOST {
            self.others += 1;
            return self.others == 1;
        }
        self.counts.insert(key, 1);
        true
    }

    /// Returns how many were counted.
    pub fn total(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.others
    }

    /// Returns what was counted, for the diagnostics.
    pub fn show(&self) -> Value {
        let counts = self.counts.iter().map(|((heater, kind), count)| {
            json!({ "heater": heater.as_ref().map(Mac::as_str), "kind": kind, "count": count })
        });
        let others = (self.others > 0).then(|| json!({ "heater": null, "kind": "others", "count": self.others }));
        counts.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_said_once_for_each_heater_and_memory_is_bounded() {
        let mut warnings = WarnOnce::default();
        let mac: Mac = "04786332fca0".parse().unwrap();
        assert!(warnings.count(Some(&mac), "dhwTemperature"));
        assert!(!warnings.count(Some(&mac), "dhwTemperature"));
        assert!(warnings.count(None, "dhwTemperature"));
        let said = (0..10_000).filter(|n| warnings.count(None, &n.to_string())).count();
        assert_eq!(said, MOST - 2 + 1);
    }
}
