//! The words for error codes (protocol reference, section 8).

use crate::product::errors::ErrorCodes;

/// Every error code.
pub const ERRORS: ErrorCodes = ErrorCodes { codes: CODES, details: DETAILS };

/// `errorCode` of a water leak.
pub const WATER_LEAK: i64 = 799;
/// `errorCode` of an overheat cut-out.
pub const OVERHEAT: i64 = 901;
/// `errorCode` of a condensate overflow.
pub const CONDENSATE_OVERFLOW: i64 = 990;

const CODES: &[(i64, &str)] = &[
    (96, "upper element"),
    (97, "lower element"),
    (326, "dry fire"),
    (407, "hot-water temperature sensor"),
    (445, "mixing valve"),
    (480, "upper tank sensor"),
    (481, "lower tank sensor"),
    (515, "relay"),
    (517, "DIP switches"),
    (593, "panel key"),
    (594, "EEPROM"),
    (595, "power meter"),
    (596, "Wi-Fi"),
    (598, "clock"),
    (615, "feedback"),
    (781, "CTA-2045"),
    (798, "shut-off valve"),
    (WATER_LEAK, "water leak"),
    (OVERHEAT, "ECO"),
    (907, "compressor power line"),
    (908, "compressor"),
    (909, "evaporator fan"),
    (910, "discharge sensor"),
    (911, "discharge too hot"),
    (912, "suction sensor"),
    (913, "suction too cold"),
    (914, "evaporator sensor"),
    (915, "suction/evaporator difference"),
    (916, "evaporator temperature"),
    (920, "ambient sensor"),
    (940, "refrigerant blockage"),
    (CONDENSATE_OVERFLOW, "condensate overflow"),
];

const DETAILS: &[(i64, i64, &str)] = &[
    (407, 1, "low"),
    (407, 2, "high"),
    (445, 1, "open"),
    (445, 2, "close"),
    (480, 1, "low"),
    (480, 2, "high"),
    (481, 1, "low"),
    (481, 2, "high"),
    (515, 25, "upper element"),
    (515, 26, "lower element"),
    (515, 27, "compressor"),
    (615, 4, "ADC reference"),
    (615, 27, "ECO"),
    (615, 28, "compressor"),
    (615, 29, "upper element"),
    (615, 30, "lower element"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_its_number_in_three_digits_and_its_words() {
        assert_eq!(ERRORS.text(0, Some(1)), None);
        assert_eq!(ERRORS.text(96, None).as_deref(), Some("E096 upper element"));
        assert_eq!(ERRORS.text(407, Some(1)).as_deref(), Some("E407 hot-water temperature sensor: low"));
        assert_eq!(ERRORS.text(407, Some(9)).as_deref(), Some("E407 hot-water temperature sensor"));
        assert_eq!(ERRORS.text(615, Some(28)).as_deref(), Some("E615 feedback: compressor"));
        assert_eq!(ERRORS.text(123, Some(1)).as_deref(), Some("E123"));
    }

    #[test]
    fn all_thirty_two_codes_have_words_and_every_sub_code_has_its_code() {
        assert_eq!(CODES.len(), 32);
        assert!(CODES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(DETAILS.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        assert!(DETAILS.iter().all(|sub| CODES.iter().any(|error| error.0 == sub.0)));
    }
}
