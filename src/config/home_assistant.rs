//! What Home Assistant is told, and where.

use super::reader::{Reader, TableReader};
use super::values::{boolean, topic};

/// `[home_assistant]`
#[derive(Debug, Clone)]
pub struct HomeAssistantConfig {
    /// Whether discovery is published.
    pub enabled: bool,
    /// The beginning of its topics.
    pub discovery_prefix: String,
    /// Where Home Assistant says that it has come up.
    pub birth_topic: String,
}

impl HomeAssistantConfig {
    pub(super) fn read(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> Self {
        let mut s = root.section(r, "home_assistant");
        let enabled = s.take(r, "enabled", boolean).unwrap_or(true);
        let discovery_prefix = s.take(r, "discovery_prefix", topic).unwrap_or_else(|| "homeassistant".to_owned());
        let birth_topic = s.take(r, "birth_topic", topic).unwrap_or_else(|| "homeassistant/status".to_owned());
        s.finish(r);
        Self { enabled, discovery_prefix, birth_topic }
    }
}
