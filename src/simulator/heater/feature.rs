//! What the heater is: the feature object (protocol reference, section 7) and its records in the REST API (section 1).

use serde_json::{Value, json};

use super::settings::{HIGHEST, LOWEST};
use super::{HeaterFault, SimulatedHeater, merge};

/// Returns the heater as `/device/list` shows it.
pub fn device_list_entry(heater: &SimulatedHeater) -> Value {
    let connected = if matches!(heater.fault, HeaterFault::Offline) { 1 } else { 2 };
    json!({
        "deviceInfo": {
            "homeSeq": heater.home_seq(),
            "macAddress": heater.mac,
            "additionalValue": super::ADDITIONAL_VALUE,
            "deviceType": super::DEVICE_TYPE,
            "deviceName": format!("Simulated heater {}", heater.index + 1),
            "connected": connected,
            "installType": "R",
            "modelTypeCode": 513,
        },
        "location": {
            "state": "California", "city": "Irvine", "address": null,
            "latitude": 33.68, "longitude": -117.82, "altitude": null,
        },
        "error": last_error(heater),
        "descaling": {
            "descalingStartTime": "2026-06-01T00:00:00", "descalingEndTime": "2027-06-01T00:00:00",
        },
    })
}

/// Returns the `data` of `GET /device/tou`: the TOU schedule now held.
pub fn tou(heater: &SimulatedHeater) -> Value {
    let schedule = tou_seasons(heater);
    json!({
        "registerPath": "wifi",
        "sourceType": "openei",
        "touInfo": {
            "name": "Simulated tariff", "utility": "Simulated utility", "zipCode": 92618, "schedule": schedule,
        },
    })
}

/// Returns the `data` of `/device/firmware/info`.
pub fn firmware_info(heater: &SimulatedHeater) -> Value {
    let firmwares: Vec<Value> = heater
        .software
        .iter()
        .map(|software| {
            json!({
                "macAddress": heater.mac,
                "additionalValue": super::ADDITIONAL_VALUE,
                "deviceType": super::DEVICE_TYPE,
                "curSwCode": software.kind,
                "curVersion": software.version,
                "downloadedVersion": software.downloaded,
                "deviceGroup": "NWP",
            })
        })
        .collect();
    json!({ "firmwares": firmwares })
}

/// The last recorded fault: the present one, or none.
fn last_error(heater: &SimulatedHeater) -> Value {
    match heater.error() {
        (0, _) => json!({ "errorCode": null, "errorOccuredTime": null }),
        (code, _) => json!({ "errorCode": code, "errorOccuredTime": "2026-11-26T04:02:48Z" }),
    }
}

/// Returns every key of the feature object, as the wire has it.
pub(super) fn feature(heater: &SimulatedHeater) -> Value {
    merge([versions(heater), capabilities(heater)])
}

fn versions(heater: &SimulatedHeater) -> Value {
    let [controller, panel, wifi] = heater.software;
    json!({
        "temperatureType": temperature_type(heater),
        "countryCode": 3,
        "modelTypeCode": 513,
        "controlTypeCode": 100,
        "volumeCode": 2,
        "controllerSwVersion": controller.version,
        "panelSwVersion": panel.version,
        "wifiSwVersion": wifi.version,
        "controllerSwCode": controller.code,
        "panelSwCode": panel.code,
        "wifiSwCode": wifi.code,
        "recircSwVersion": 0,
        "recircModelTypeCode": 0,
        "controllerSerialNumber": serial_number(heater),
    })
}

fn capabilities(heater: &SimulatedHeater) -> Value {
    let recirculation = if heater.index.is_multiple_of(2) { 2 } else { 0 };
    json!({
        "powerUse": 2,
        "holidayUse": 2,
        "programReservationUse": 2,
        "dhwUse": 2,
        "dhwTemperatureSettingUse": 2,
        "smartDiagnosticUse": 2,
        "wifiRssiUse": 2,
        "tempFormulaType": 1,
        "energyUsageUse": 2,
        "freezeProtectionUse": 2,
        "mixingValueUse": 1,
        "drSettingUse": 2,
        "antiLegionellaSettingUse": 2,
        "hpwhUse": 2,
        "dhwRefillUse": 1,
        "ecoUse": 2,
        "electricUse": 2,
        "heatpumpUse": 2,
        "energySaverUse": 2,
        "highDemandUse": 2,
        "recirculationUse": recirculation,
        "recircReservationUse": recirculation,
        "title24Use": 1,
        "dhwTemperatureMin": LOWEST,
        "dhwTemperatureMax": HIGHEST,
        "freezeProtectionTempMin": 12,
        "freezeProtectionTempMax": 20,
        "recircTemperatureMin": 80,
        "recircTemperatureMax": 120,
    })
}

/// Tells whether the feature object has this control; every mark from 2 on means fitted.
pub(super) fn fitted(heater: &SimulatedHeater, key: &str) -> bool {
    feature(heater)[key].as_i64().is_some_and(|mark| mark >= 2)
}

/// Returns the `TemperatureType`: at first the even heaters show Fahrenheit, the odd ones Celsius.
pub(super) fn temperature_type(heater: &SimulatedHeater) -> i64 {
    if heater.celsius { 1 } else { 2 }
}

/// Returns the controller's serial number.
pub fn serial_number(heater: &SimulatedHeater) -> String {
    format!("56496061BT{:08}", heater.home_seq())
}

/// Groups the periods by their season, as the REST API does.
fn tou_seasons(heater: &SimulatedHeater) -> Vec<Value> {
    let mut seasons: Vec<(Value, Vec<Value>)> = Vec::new();
    for period in &heater.tou_periods {
        let mut interval = period.clone();
        interval.shift_remove("season");
        let season = period.get("season").cloned().unwrap_or(Value::Null);
        match seasons.iter_mut().find(|(held, _)| *held == season) {
            Some((_, intervals)) => intervals.push(interval.into()),
            None => seasons.push((season, vec![interval.into()])),
        }
    }
    seasons.into_iter().map(|(season, interval)| json!({ "season": season, "interval": interval })).collect()
}
