//! The events of a heater.

/// Those of [`EVENT_TYPES`] that somebody should see to: what goes wrong, and its end.
pub const ALERT_TYPES: &[&str] = &[
    "error_detected",
    "error_cleared",
    "leak_detected",
    "leak_cleared",
    "overflow_detected",
    "overflow_cleared",
    "command_rejected",
    "command_failed",
    "command_expired",
];

/// What a heater's `event` can say.
pub const EVENT_TYPES: &[&str] = &[
    "mode_changed",
    "powered_on",
    "powered_off",
    "vacation_started",
    "vacation_ended",
    "temperature_changed",
    "heating_started",
    "heating_stopped",
    "anti_legionella_started",
    "anti_legionella_stopped",
    "error_detected",
    "error_cleared",
    "leak_detected",
    "leak_cleared",
    "overflow_detected",
    "overflow_cleared",
    "command_rejected",
    "command_failed",
    "command_expired",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_should_see_to_is_told_by_how_its_name_begins() {
        let begins =
            |event: &&&str| ["error_", "leak_", "overflow_", "command_"].iter().any(|word| event.starts_with(word));
        let alerts: Vec<&&str> = EVENT_TYPES.iter().filter(begins).collect();
        assert_eq!(alerts, ALERT_TYPES.iter().collect::<Vec<_>>(), "Home Assistant is told of these by the same words");
    }
}
