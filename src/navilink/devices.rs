//! The account's device list (protocol reference, section 1).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::account::integer;
use crate::foreign_text::is_shown;
use crate::model::Mac;

/// A longer name is cut, in characters.
const LONGEST_NAME: usize = 100;
/// A device list holds no more entries; no account has nearly as many.
pub const MAX_ENTRIES: usize = 1000;

/// A heater of the account as a device of its list, as `POST /device/list` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `macAddress`.
    pub mac: Mac,
    /// `deviceType`.
    pub device_type: u32,
    /// `additionalValue`, which every request carries.
    pub additional_value: String,
    /// `homeSeq`, which the five-segment answer topics carry.
    pub home_seq: u64,
    /// `deviceName`, empty when the account has none.
    pub name: String,
    /// `connected`: whether the cloud sees the heater; `None` when it does not say.
    pub online: Option<bool>,
    /// What the cloud itself has recorded of it.
    pub record: Record,
}

/// What the cloud has recorded of a heater; true even while the heater is offline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// `errorCode` of the last fault; 0 and null are none.
    pub error_code: Option<i64>,
    /// `errorOccuredTime`, as the cloud wrote it: milliseconds since 1970 or ISO 8601.
    pub error_at: Option<Value>,
    /// `descalingStartTime`.
    pub descaling_start: Option<Value>,
    /// `descalingEndTime`.
    pub descaling_end: Option<Value>,
}

impl Record {
    /// Returns the members that the device information shows of it; `words` has the words for an error code.
    pub fn decoded(&self, words: impl Fn(i64) -> Option<String>) -> [(&'static str, Value); 5] {
        let time = |told: &Option<Value>| told.as_ref().and_then(time).into();
        [
            ("last_error_code", self.error_code.into()),
            ("last_error_text", self.error_code.and_then(words).into()),
            ("last_error_at", time(&self.error_at)),
            ("descaling_start", time(&self.descaling_start)),
            ("descaling_end", time(&self.descaling_end)),
        ]
    }

    fn read(entry: &Value) -> Self {
        let member = |path: &str| entry.pointer(path).filter(|value| time(value).is_some()).cloned();
        Self {
            error_code: entry.pointer("/error/errorCode").and_then(integer).filter(|code| *code != 0),
            error_at: member("/error/errorOccuredTime"),
            descaling_start: member("/descaling/descalingStartTime"),
            descaling_end: member("/descaling/descalingEndTime"),
        }
    }
}

/// A device of the account that is of another product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherProduct {
    /// `macAddress`, as the cloud spells it.
    pub mac: String,
    /// `deviceType`.
    pub device_type: u32,
    /// `deviceName`, empty when the account has none.
    pub name: String,
}

impl fmt::Display for OtherProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mac, device_type, name } = self;
        match name.is_empty() {
            true => write!(f, "{mac} (device type {device_type})"),
            false => write!(f, "{name} {mac} (device type {device_type})"),
        }
    }
}

/// The device list of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceList {
    /// The heaters, each once.
    pub heaters: Vec<Device>,
    /// The devices of other types.
    pub others: Vec<OtherProduct>,
    /// What is wrong with the entries that cannot be read. A list with such entries does not prove that anything is
    /// missing from it.
    pub problems: Vec<String>,
}

impl DeviceList {
    /// Takes one page of `POST /device/list`; what exceeds [`MAX_ENTRIES`] is left out. `is_heater` tells the types of
    /// heaters from those of other products.
    pub fn take_page(&mut self, data: &Value, is_heater: fn(u32) -> bool) {
        for (place, entry) in data.as_array().into_iter().flatten().enumerate() {
            if self.heaters.len() + self.others.len() + self.problems.len() >= MAX_ENTRIES {
                return self.cut();
            }
            if let Err(what) = self.take(entry, is_heater) {
                self.problems.push(format!("entry {place} of the device list is left out: {what}"));
            }
        }
    }

    /// Notes that the list goes on and is not read any further.
    pub fn cut(&mut self) {
        let complaint = format!("everything after {MAX_ENTRIES} entries is left out");
        if !self.problems.contains(&complaint) {
            self.problems.push(complaint);
        }
    }

    fn take(&mut self, entry: &Value, is_heater: fn(u32) -> bool) -> Result<(), String> {
        let info = entry.get("deviceInfo").unwrap_or(entry);
        let device_type = info.get("deviceType").and_then(integer).and_then(|n| u32::try_from(n).ok());
        let device_type = device_type.ok_or("no usable `deviceType`")?;
        if !is_heater(device_type) {
            let shown = |key| name(&text(info, key));
            let other = OtherProduct { mac: shown("macAddress"), device_type, name: shown("deviceName") };
            if !self.others.contains(&other) {
                self.others.push(other);
            }
            return Ok(());
        }
        let heater = read_heater(info, device_type, Record::read(entry))?;
        if self.heaters.iter().all(|known| known.mac != heater.mac) {
            self.heaters.push(heater);
        }
        Ok(())
    }

    /// Says what an account that has none of the heaters that are wanted, which are called `heaters`, has instead.
    pub fn in_place_of_heaters(&self, heaters: &str) -> String {
        let (others, unreadable) = (&self.others, self.problems.len());
        if !self.heaters.is_empty() {
            let all = self.heaters.len();
            return format!("account.heaters or account.exclude leaves out every heater of the account, {all} in all");
        }
        match (others.is_empty(), unreadable) {
            (true, 0) => "the account has no heater".to_owned(),
            (true, _) => format!("the account has no heater, but {unreadable} devices that cannot be read"),
            (false, _) => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                format!("the account has no {heaters}; it has: {}", others.join(", "))
            }
        }
    }

    /// Returns whether every entry could be read.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Writes heaters so that [`DeviceList::take_page`] reads them.
pub fn write_heaters<'a>(heaters: impl IntoIterator<Item = &'a Device>) -> Value {
    let write = |heater: &Device| {
        let record = &heater.record;
        json!({
            "deviceInfo": {
                "homeSeq": heater.home_seq,
                "macAddress": heater.mac.as_cloud(),
                "additionalValue": heater.additional_value,
                "deviceType": heater.device_type,
                "deviceName": heater.name,
                "connected": heater.online.map(|online| if online { 2 } else { 1 }),
            },
            "error": { "errorCode": record.error_code, "errorOccuredTime": record.error_at },
            "descaling": {
                "descalingStartTime": record.descaling_start,
                "descalingEndTime": record.descaling_end,
            },
        })
    };
    heaters.into_iter().map(write).collect()
}

fn read_heater(info: &Value, device_type: u32, record: Record) -> Result<Device, String> {
    let number = |key: &str| info.get(key).and_then(integer);
    let mac: Mac = text(info, "macAddress").parse().map_err(|error| format!("`macAddress`: {error}"))?;
    // The spelling goes into topics.
    if !mac.as_cloud().bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`macAddress`: {} has separators", mac.as_cloud()));
    }
    Ok(Device {
        mac,
        device_type,
        additional_value: text(info, "additionalValue"),
        home_seq: number("homeSeq").and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
        name: name(&text(info, "deviceName")),
        online: match number("connected") {
            Some(1) => Some(false),
            Some(2) => Some(true),
            _ => None,
        },
        record,
    })
}

fn text(info: &Value, key: &str) -> String {
    match info.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Cleans a name: without control characters and invisible ones, which upset terminals and pages, and without blanks
/// around it.
fn name(text: &str) -> String {
    let shown: String = text.chars().filter(|c| is_shown(*c)).take(LONGEST_NAME).collect();
    shown.trim().to_owned()
}

/// Reads a time, in milliseconds since 1970 or as ISO 8601, which is UTC unless it says otherwise; returns it in
/// RFC 3339.
fn time(told: &Value) -> Option<String> {
    let at = match integer(told) {
        Some(milliseconds) => UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(milliseconds).ok()?))?,
        None => iso_8601(told.as_str()?.trim())?,
    };
    // The formatter knows no later year than 9999.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    (UNIX_EPOCH..=last).contains(&at).then(|| humantime::format_rfc3339_seconds(at).to_string())
}

fn iso_8601(text: &str) -> Option<SystemTime> {
    if let Ok(at) = humantime::parse_rfc3339_weak(text) {
        return Some(at);
    }
    // An offset such as `+09:00` or `-0500`.
    let sign = text.rfind(['+', '-']).filter(|at| *at >= "2026-11-26T00:00".len())?;
    let (time, offset) = text.split_at(sign);
    let digits: String = offset.chars().skip(1).filter(|c| *c != ':').collect();
    let hours: u64 = digits.get(..2)?.parse().ok()?;
    let minutes: u64 = digits.get(2..).filter(|rest| !rest.is_empty()).map_or(Ok(0), str::parse).ok()?;
    let offset_by = Duration::from_secs(hours * 3600 + minutes * 60);
    let local = humantime::parse_rfc3339_weak(time).ok()?;
    if offset.starts_with('+') { local.checked_sub(offset_by) } else { local.checked_add(offset_by) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_heater(device_type: u32) -> bool {
        device_type == 52
    }

    fn list(entries: &Value) -> DeviceList {
        let mut list = DeviceList::default();
        list.take_page(entries, is_heater);
        list
    }

    fn entry(mac: &str) -> Value {
        json!({
            "deviceInfo": { "homeSeq": 1, "macAddress": mac, "deviceType": "52", "additionalValue": 5322,
                "deviceName": "Garage", "connected": 2 },
            "error": { "errorCode": 799, "errorOccuredTime": 1_767_225_600_000_u64 },
            "descaling": { "descalingStartTime": "2026-06-01T00:00:00", "descalingEndTime": "2027-06-01T00:00:00" },
        })
    }

    #[test]
    fn a_broken_entry_of_the_list_costs_itself_only_and_the_list_is_not_complete() {
        let mut whole = list(&json!([entry("04786332FCA0")]));
        assert!(whole.is_complete());
        whole.take_page(&json!([entry("04786332FCA0"), entry("nonsense"), 7, null]), is_heater);
        assert_eq!((whole.heaters.len(), whole.problems.len()), (1, 3));
        assert!(whole.problems[0].contains("nonsense") && !whole.is_complete(), "{:?}", whole.problems);
        let heater = &whole.heaters[0];
        assert_eq!(heater.mac.as_cloud(), "04786332FCA0");
        assert_eq!((heater.device_type, heater.additional_value.as_str()), (52, "5322"));
        assert_eq!(heater.online, Some(true));
        assert_eq!(list(&write_heaters(&whole.heaters)).heaters, whole.heaters);
        let broken = json!([{ "deviceInfo": null }, null, { "deviceInfo": { "macAddress": null, "deviceType": 52 } },
            { "location": {} }]);
        assert_eq!(list(&broken).problems.len(), 4);
    }

    #[test]
    fn another_product_is_no_heater() {
        let tankless = json!({ "deviceInfo": { "homeSeq": 25004, "macAddress": "04786332aa01", "deviceType": 1,
            "deviceName": "NPE", "connected": 2 } });
        let list = list(&json!([tankless, entry("04786332FCA0"), tankless]));
        assert_eq!((list.heaters.len(), list.is_complete()), (1, true));
        assert_eq!(
            DeviceList { heaters: vec![], ..list.clone() }.in_place_of_heaters("NWP500"),
            "the account has no NWP500; it has: NPE 04786332aa01 (device type 1)"
        );
        let unchosen = "account.heaters or account.exclude leaves out every heater of the account, 1 in all";
        assert_eq!(list.in_place_of_heaters("NWP500"), unchosen);
        assert_eq!(list.others, [OtherProduct { mac: "04786332aa01".into(), device_type: 1, name: "NPE".into() }]);
    }

    #[test]
    fn blank_names_are_none_and_the_others_are_safe_to_show() {
        let named = |told: Value| {
            let mut entry = entry("04786332FCA0");
            entry["deviceInfo"]["deviceName"] = told;
            list(&json!([entry])).heaters.remove(0).name
        };
        assert_eq!(named(Value::Null), "");
        assert_eq!(named(json!(" \t  ")), "");
        assert_eq!(named(json!("\u{202e}\u{feff} ")), "");
        assert_eq!(
            named(json!("Bob's \"Tank\" / 🔥 {{ 1+1 }} <b>\u{202e}\u{7}\ttab")),
            "Bob's \"Tank\" / 🔥 {{ 1+1 }} <b>tab"
        );
        assert_eq!(named(json!(500)), "500");
    }

    #[test]
    fn the_record_is_told_in_words_and_in_utc() {
        let record = list(&json!([entry("04786332FCA0")])).heaters.remove(0).record;
        let told = record.decoded(|code| Some(format!("E{code}"))).map(|(_, value)| value);
        let start = json!("2026-06-01T00:00:00Z");
        let words = json!("E799");
        assert_eq!(told, [json!(799), words, json!("2026-01-01T00:00:00Z"), start, json!("2027-06-01T00:00:00Z")]);
        let none = json!({ "deviceInfo": entry("04786332FCA0")["deviceInfo"], "error": { "errorCode": null,
            "errorOccuredTime": null }, "descaling": { "descalingStartTime": "soon", "descalingEndTime": -1 } });
        assert_eq!(list(&json!([none])).heaters.remove(0).record, Record::default());
    }

    #[test]
    fn times_come_in_several_forms() {
        for (told, utc) in [
            (json!("2026-06-01T09:00:00+09:00"), Some("2026-06-01T00:00:00Z")),
            (json!("2026-05-31 19:30:00-0430"), Some("2026-06-01T00:00:00Z")),
            (json!("2026-06-01T00:00:00.250Z"), Some("2026-06-01T00:00:00Z")),
            (json!("1780272000000"), Some("2026-06-01T00:00:00Z")),
            (json!("yesterday"), None),
            (json!(i64::MAX), None),
            (json!({}), None),
        ] {
            assert_eq!(time(&told).as_deref(), utc, "{told}");
        }
    }
}
