//! Counts what is seen, in bounded memory.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// The most different things counted; what comes after them is counted together.
const MOST: usize = 100;
/// A longer name is cut.
const LONGEST: usize = 100;

/// Counts things by name.
#[derive(Debug, Default)]
pub struct BoundedCounter {
    counts: BTreeMap<String, u64>,
    others: u64,
}

impl BoundedCounter {
    /// Counts one.
    pub fn count(&mut self, name: &str) {
        let name: String = name.chars().take(LONGEST).collect();
        if self.counts.len() >= MOST && !self.counts.contains_key(&name) {
            self.others += 1;
            return;
        }
        *self.counts.entry(name).or_default() += 1;
    }

    /// Returns how many different things were counted.
    pub fn kinds(&self) -> usize {
        self.counts.len()
    }

    /// Returns the counts by name, and with a `…` those that found no room.
    pub fn show(&self) -> Value {
        let mut shown = json!(self.counts);
        if self.others > 0 {
            shown["…"] = self.others.into();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_after_many_others_is_counted_together() {
        let mut counter = BoundedCounter::default();
        for number in 0..150 {
            counter.count(&format!("{number:03}"));
        }
        counter.count("007");
        counter.count(&"x".repeat(1000));
        let shown = counter.show();
        assert_eq!((&shown["007"], &shown["099"], &shown["…"]), (&json!(2), &json!(1), &json!(51)));
        assert_eq!(shown.as_object().unwrap().len(), MOST + 1);
    }
}
