//! Decodes text by hand: what `navien2mqtt decode` does (contract, section 1).

use super::encoding::{Decoded, Object, Row};
use super::feature::{FEATURE, decode_feature};
use super::message::{Body, Unreadable, body, object};
use super::status::{STATUS, decode_status};
use crate::units::UnitsChoice;

/// Says why a text cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is no JSON object.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The text is a request, and requests hold no data.
    #[error("this is a request to a heater, not an answer: a message with a `status` or `feature` object is expected")]
    Request,
    /// Neither is in it.
    #[error("neither a `status` nor a `feature` object is in it")]
    Neither,
}

/// Decodes one raw cloud message, or a bare `status` or `feature` object.
///
/// A bare object is of the kind whose table knows more of its keys.
///
/// # Errors
///
/// When `text` is no JSON object, or holds neither.
pub fn decode(text: &[u8], choice: UnitsChoice) -> Result<Decoded, DecodeError> {
    let (bare, _) = object(text)?;
    match body("", bare.clone()) {
        Body::Status(status) => return Ok(decode_status(&status, choice)),
        Body::Feature(feature) => return Ok(decode_feature(&feature, choice)),
        Body::Request => return Err(DecodeError::Request),
        _ => {}
    }
    match (known(STATUS, &bare), known(FEATURE, &bare)) {
        (0, 0) => Err(DecodeError::Neither),
        (status, feature) if feature > status => Ok(decode_feature(&bare, choice)),
        _ => Ok(decode_status(&bare, choice)),
    }
}

/// The keys that other messages and objects have as well.
const OF_ANYTHING: [&str; 2] = ["command", "temperatureType"];

fn known(rows: &[Row], map: &Object) -> usize {
    rows.iter().filter(|row| !OF_ANYTHING.contains(&row.key) && map.contains_key(row.key)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decoded(value: Value) -> Result<Object, DecodeError> {
        decode(value.to_string().as_bytes(), UnitsChoice::Metric).map(|decoded| decoded.object)
    }

    #[test]
    fn a_message_and_a_bare_object_come_out_the_same() {
        let status = json!({"dhwTemperature": 98, "operationMode": 32});
        let bare = decoded(status.clone()).unwrap();
        assert_eq!((&bare["dhw_temperature"], &bare["operation_mode"]), (&json!(49.0), &json!("heat_pump")));
        assert_eq!(decoded(json!({"clientID": "x", "response": {"macAddress": "m", "status": status}})), Ok(bare));
        let feature = json!({"volumeCode": 3, "dhwTemperatureMax": 130});
        let bare = decoded(feature.clone()).unwrap();
        assert_eq!((&bare["volume_code"], &bare["dhw_temperature_max"]), (&json!(80), &json!(65.0)));
        assert_eq!(decoded(json!({"did": feature})), Ok(bare));
    }

    #[test]
    fn the_table_that_knows_more_keys_tells_the_kind() {
        let shared = json!({"temperatureType": 1, "ecoUse": 2});
        assert!(decoded(shared).unwrap().contains_key("dhw_temperature"));
        let feature = json!({"temperatureType": 1, "ecoUse": 2, "hpwhUse": 2});
        assert!(decoded(feature).unwrap().contains_key("hpwh_use"));
    }

    #[test]
    fn what_holds_neither_is_an_error_that_says_so() {
        assert_eq!(decoded(json!({})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"response": {"reservation": ""}})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"command": 16777225, "usage": []})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"temperatureType": 2, "command": 16777225})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"request": {"command": 1}})), Err(DecodeError::Request));
        assert_eq!(decoded(json!([1])), Err(DecodeError::Unreadable(Unreadable::NotAnObject)));
        let error = decode(b"nonsense", UnitsChoice::Device).unwrap_err();
        assert!(error.to_string().starts_with("the message is not JSON"), "{error}");
    }
}
