//! Which of the firmware that a heater has downloaded would take the place of what it runs.

use serde_json::{Value, json};

use crate::navilink::firmware::dotted;
use crate::navilink::members::Members;

/// The parts that have firmware of their own: what it is called, and the members of the device information with its code
/// and its version.
const PARTS: [(&str, &str, &str); 3] = [
    ("Controller firmware", "controller_sw_code", "controller_sw_version"),
    ("Panel firmware", "panel_sw_code", "panel_sw_version"),
    ("Wi-Fi firmware", "wifi_sw_code", "wifi_sw_version"),
];

/// Firmware that can be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// `swCode`.
    pub code: i64,
    /// `swVersion`.
    pub version: i64,
}

/// Returns the first download that is newer than what its part runs, and the object that says so: `title`,
/// `installed_version` and `latest_version`, of the controller when nothing is newer, empty as long as the heater has not
/// told its versions.
pub fn versions(info: &Members, downloads: &[Value]) -> (Option<Pending>, Value) {
    let number = |member: &str| info.get(member).and_then(Value::as_i64);
    let newer = |(title, code, version): &(&'static str, &str, &str)| {
        let (code, installed) = (number(code)?, number(version)?);
        let of_part = downloads.iter().filter(|one| one["sw_code"].as_i64() == Some(code));
        let version =
            of_part.filter_map(|one| one["sw_version"].as_i64()).max().filter(|newest| *newest > installed)?;
        Some((*title, installed, Pending { code, version }))
    };
    if let Some((title, installed, pending)) = PARTS.iter().find_map(newer) {
        return (Some(pending), shown(title, installed, pending.version));
    }
    let (title, _, version) = PARTS[0];
    (None, number(version).map_or_else(|| json!({}), |installed| shown(title, installed, installed)))
}

fn shown(title: &str, installed: i64, latest: i64) -> Value {
    json!({ "title": title, "installed_version": dotted(installed), "latest_version": dotted(latest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_download_for_a_part_is_an_update_and_nothing_else_is() {
        let info = json!({ "controller_sw_code": 12, "controller_sw_version": 0x0b01_0000, "wifi_sw_code": 3,
            "wifi_sw_version": 0x0207_0000, "panel_sw_code": null });
        let of = |downloads: Value| versions(&info.as_object().unwrap().clone().into(), downloads.as_array().unwrap());
        let nothing =
            json!({ "title": "Controller firmware", "installed_version": "11.1.0.0", "latest_version": "11.1.0.0" });
        for old in [
            json!([]),
            json!([{ "sw_code": 12, "sw_version": 0x0b01_0000 }, { "sw_code": 3, "sw_version": null }]),
            json!([{ "sw_code": 99, "sw_version": 0x7f00_0000 }, 7]),
        ] {
            assert_eq!(of(old), (None, nothing.clone()));
        }
        let wifi = json!([{ "sw_code": 3, "sw_version": 0x0207_0001 }, { "sw_code": 3, "sw_version": 0x0208_0000 }]);
        let said = json!({ "title": "Wi-Fi firmware", "installed_version": "2.7.0.0", "latest_version": "2.8.0.0" });
        assert_eq!(of(wifi), (Some(Pending { code: 3, version: 0x0208_0000 }), said));
    }

    #[test]
    fn versions_that_are_not_told_make_no_update() {
        let downloads = [json!({ "sw_code": 12, "sw_version": 2 })];
        assert_eq!(versions(&Members::from_iter([("controller_sw_code", json!(12))]), &downloads), (None, json!({})));
    }
}
