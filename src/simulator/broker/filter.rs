//! Topic filters.

/// Says whether `filter` matches `topic`.
///
/// With `parent` a trailing `/#` also matches the level above it, as MQTT has it; AWS IoT does not
/// (protocol reference, section 2).
pub fn matches(filter: &str, topic: &str, parent: bool) -> bool {
    if topic.starts_with('$') && filter.starts_with(['#', '+']) {
        return false;
    }
    let mut filter = filter.split('/');
    let mut topic = topic.split('/');
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), Some(_)) | (None, None) => return true,
            (Some("#"), None) => return parent,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// Says whether `filter` is well formed.
pub fn is_valid(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    !filter.is_empty()
        && levels.iter().enumerate().all(|(at, level)| match *level {
            "#" => at + 1 == levels.len(),
            "+" => true,
            _ => !level.contains(['#', '+']),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_mqtt_says() {
        assert!(matches("a/b", "a/b", true));
        assert!(!matches("a/b", "a/b/c", true));
        assert!(matches("a/+/c", "a/b/c", true));
        assert!(!matches("a/+", "a/b/c", true));
        assert!(matches("a/#", "a/b/c", true));
        assert!(matches("#", "a/b", true));
        assert!(!matches("#", "$SYS/x", true));
        assert!(matches("+/b", "/b", true));
    }

    #[test]
    fn the_level_above_a_hash_matches_in_mqtt_but_not_at_aws() {
        assert!(matches("a/#", "a", true));
        assert!(!matches("a/#", "a", false));
    }

    #[test]
    fn malformed_filters_are_seen() {
        assert!(is_valid("a/+/#") && is_valid("#") && is_valid("+"));
        assert!(!is_valid("") && !is_valid("a/#/b") && !is_valid("a#") && !is_valid("a/b+"));
    }
}
