//! The firmware that a heater has downloaded (protocol reference, section 4).

use serde_json::Value;

use super::encoding::Encoding::Integer;
use super::encoding::{DecodeContext, Decoded, Object, Row, decode_entry, items, row};
use super::members::Members;
use crate::units::UnitSystem;

const DOWNLOAD: &[Row] = &[
    row("swCode", "sw_code", Integer),
    row("otaMode", "ota_mode", Integer),
    row("swVersion", "sw_version", Integer),
    row("status", "status", Integer),
];

/// Decodes the answer to `{"downloads": [{"sw_code": 1, "ota_mode": 0, "sw_version": 67109888, "status": 0}]}`; what
/// the numbers mean is not known.
pub fn decode_firmware(response: &Object) -> Decoded {
    let mut problems = Vec::new();
    let mut downloads = Vec::new();
    for item in items(response, "downloadSwInfo", "", &mut problems) {
        let context = DecodeContext { units: UnitSystem::Metric, formula: 0 };
        let (download, malformed) = decode_entry(DOWNLOAD, item.object, context, &format!("{}.", item.path));
        problems.extend(malformed);
        downloads.push(Value::from(download));
    }
    let object = Members::from_iter([("downloads", downloads.into())]);
    Decoded { object, problems, unknown: Vec::new() }
}

/// Writes a firmware version as its four bytes, the highest first: 184614912 is `11.1.0.0`.
pub fn dotted(version: i64) -> String {
    match u32::try_from(version) {
        Ok(version) => version.to_be_bytes().map(|byte| byte.to_string()).join("."),
        Err(_) => version.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_bad_member_costs_itself_and_a_bad_entry_only_the_entry() {
        let response = json!({"downloadSwInfo": [
            {"swCode": 1, "otaMode": 0, "swVersion": "67109888", "status": 2}, 7, {"swCode": [], "status": 0},
        ]});
        let decoded = decode_firmware(response.as_object().unwrap());
        let expected = json!({"downloads": [
            {"sw_code": 1, "ota_mode": 0, "sw_version": 67109888, "status": 2},
            {"sw_code": null, "ota_mode": null, "sw_version": null, "status": 0},
        ]});
        assert_eq!(Value::from(decoded.object), expected);
        let keys: Vec<_> = decoded.problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "downloadSwInfo[1]",
                "downloadSwInfo[2].swCode",
                "downloadSwInfo[2].otaMode",
                "downloadSwInfo[2].swVersion"
            ]
        );
    }

    #[test]
    fn a_version_is_written_as_its_bytes() {
        assert_eq!([184_614_912, 0, -1].map(dotted), ["11.1.0.0", "0.0.0.0", "-1"]);
    }

    #[test]
    fn an_answer_without_downloads_is_an_empty_list() {
        let decoded = decode_firmware(&Object::new());
        assert_eq!((Value::from(decoded.object), decoded.problems.len()), (json!({"downloads": []}), 0));
    }
}
