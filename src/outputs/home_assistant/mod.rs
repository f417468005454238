//! What Home Assistant is told: one table of entities, and the discovery messages made of it.
//!
//! Pure: the bridge says which topics there are and publishes the messages. A message describes one device with all of
//! its entities (device-based discovery); it changes only when the heater, its name or its units do.

mod abbreviations;
pub mod discovery;
pub mod entities;
pub mod measure;
mod output;

pub use abbreviations::abbreviated;
pub use discovery::{Bridge, Described, bridge, bridge_id, heater, heater_id};
pub use output::{Again, HomeAssistant, Output};

use entities::Topic;

/// Says where a topic of the table stands on the broker.
pub type Place<'a> = &'a dyn Fn(Topic) -> String;

/// The topic of a device's discovery message (`<prefix>/device/<id>/config`).
pub fn discovery_topic(prefix: &str, id: &str) -> String {
    format!("{prefix}/device/{id}/config")
}

/// The topic on which Home Assistant says `online` when it has come up.
pub fn birth_topic(prefix: &str) -> String {
    format!("{prefix}/status")
}
