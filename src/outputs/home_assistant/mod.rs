//! What Home Assistant is told: the discovery messages made of the tables of entities.
//!
//! Pure: the bridge says which topics there are and publishes the messages. A message describes one device with all of
//! its entities (device-based discovery); it changes only when the heater, its name or its units do.

mod abbreviations;
pub mod bridge_entities;
pub mod discovery;
mod output;
mod water_heater;

pub use abbreviations::abbreviated;
pub use discovery::{BridgeDevice, Described, bridge, bridge_id, heater, heater_id};
pub use output::{Again, Discovery, HomeAssistant, Output};

use crate::product::entity::Topic;

/// Says where a topic of the table stands on the broker.
pub type Place<'a> = &'a dyn Fn(Topic) -> String;

/// The topic of a device's discovery message (`<prefix>/device/<id>/config`).
pub fn discovery_topic(prefix: &str, id: &str) -> String {
    format!("{prefix}/device/{id}/config")
}

/// The topic below the prefix on which a Home Assistant that was set up so says `online` when it has come up.
fn birth_below(prefix: &str) -> String {
    format!("{prefix}/status")
}
