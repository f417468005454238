//! What is odd about the account's device list, logged once.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::config::DeviceConfig;
use crate::model::HeaterChoice;
use crate::navilink::devices::DeviceList;
use crate::product;

/// So many texts are remembered.
const MOST: usize = 1000;

/// Remembers what was logged of device lists.
#[derive(Debug, Default)]
pub struct ListNotices(BTreeSet<String>);

impl ListNotices {
    /// Logs what is odd about a list and was not logged before.
    pub fn log(&mut self, list: &DeviceList, configured: &[DeviceConfig], choice: &HeaterChoice) {
        for problem in &list.problems {
            if self.is_new(problem) {
                warn!("In the account's device list, {problem}");
            }
        }
        for other in &list.others {
            let text = other.to_string();
            if self.is_new(&text) {
                info!("Left out, for it is no {}: {text}", product::names());
            }
        }
        let named = configured.iter().map(|device| ("[[device]]", &device.mac)).chain(choice.named());
        for (key, mac) in named.filter(|(_, mac)| list.heaters.iter().all(|heater| heater.mac != **mac)) {
            if self.is_new(&format!("{key} {mac}")) {
                warn!(device = %mac, "{key} names a heater that is not in the account's device list");
            }
        }
    }

    /// Returns whether a text has not been seen before; a great many of them are forgotten again.
    fn is_new(&mut self, text: &str) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(text.to_owned())
    }
}
