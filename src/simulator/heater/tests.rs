use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Every wire key of the protocol reference, section 6.
const STATUS_KEYS: &str = "\
    temperatureType command specialFunctionStatus errorCode subErrorCode smartDiagnostic faultStatus1 \
    faultStatus2 wifiRssi dhwChargePer drEventStatus minorCode vacationDaySetting vacationDayElapsed \
    antiLegionellaPeriod programReservationType tempFormulaType outsideTemperature currentStatenum \
    targetFanRpm currentFanRpm fanPwm mixingRate eevStep airFilterAlarmPeriod airFilterAlarmElapsed \
    cumulatedOpTimeEvaFan cumulatedDhwFlowRate touStatus drOverrideStatus touOverrideStatus \
    totalEnergyCapacity availableEnergyCapacity recircOperationMode recircPumpOperationStatus \
    recircHotBtnReady recircOperationReason recircErrorStatus currentInstPower didReload operationBusy \
    freezeProtectionUse dhwUse dhwUseSustained dhwOperationBusy programReservationUse ecoUse compUse eevUse \
    evaFanUse shutOffValveUse conOvrSensorUse wtrOvrSensorUse antiLegionellaUse antiLegionellaOperationBusy \
    errorBuzzerUse currentHeatUse heatUpperUse heatLowerUse scaldUse airFilterAlarmUse recircOperationBusy \
    recircReservationUse dhwTemperature dhwTemperatureSetting dhwTargetTemperatureSetting \
    freezeProtectionTemperature dhwTemperature2 hpUpperOnTempSetting hpUpperOffTempSetting \
    hpLowerOnTempSetting hpLowerOffTempSetting heUpperOnTempSetting heUpperOffTempSetting \
    heLowerOnTempSetting heLowerOffTempSetting heatMinOpTemperature recircTempSetting recircTemperature \
    recircFaucetTemperature currentInletTemperature currentDhwFlowRate hpUpperOnDiffTempSetting \
    hpUpperOffDiffTempSetting hpLowerOnDiffTempSetting hpLowerOffDiffTempSetting heUpperOnDiffTempSetting \
    heUpperOffDiffTempSetting heLowerOnTDiffempSetting heLowerOffDiffTempSetting recircDhwFlowRate \
    tankUpperTemperature tankLowerTemperature dischargeTemperature suctionTemperature evaporatorTemperature \
    ambientTemperature targetSuperHeat currentSuperHeat operationMode dhwOperationSetting \
    freezeProtectionTempMin freezeProtectionTempMax";
/// Every wire key of the protocol reference, section 7.
const FEATURE_KEYS: &str = "\
    temperatureType countryCode modelTypeCode controlTypeCode volumeCode controllerSwVersion panelSwVersion \
    wifiSwVersion controllerSwCode panelSwCode wifiSwCode recircSwVersion recircModelTypeCode \
    controllerSerialNumber powerUse holidayUse programReservationUse dhwUse dhwTemperatureSettingUse \
    smartDiagnosticUse wifiRssiUse tempFormulaType energyUsageUse freezeProtectionUse mixingValueUse \
    drSettingUse antiLegionellaSettingUse hpwhUse dhwRefillUse ecoUse electricUse heatpumpUse \
    energySaverUse highDemandUse recirculationUse recircReservationUse title24Use dhwTemperatureMin \
    dhwTemperatureMax freezeProtectionTempMin freezeProtectionTempMax recircTemperatureMin \
    recircTemperatureMax";

const CLIENT_TOPIC: &str = "cmd/52/me/res/asked";

/// Monday 5 January 2026, 00:00 UTC.
fn monday() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(20_458 * 86_400)
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn envelope(heater: &SimulatedHeater, suffix: &str, command: i64, extra: Value) -> (String, Value) {
    let topic = format!("cmd/52/navilink-{}/{suffix}", heater.mac());
    let own = json!({ "command": command, "deviceType": 52, "macAddress": heater.mac(), "additionalValue": "5322" });
    let message = json!({
        "clientID": "me", "sessionID": "0123", "protocolVersion": 2,
        "requestTopic": topic, "responseTopic": CLIENT_TOPIC, "request": merge([own, extra]),
    });
    (topic, message)
}

fn say_at(
    heater: &mut SimulatedHeater,
    wall: SystemTime,
    (topic, message): (String, Value),
) -> Option<(String, Value)> {
    let mut answers = heater.handle(&topic, message.to_string().as_bytes(), wall);
    assert!(answers.len() <= 1);
    let answer = answers.pop()?;
    Some((answer.topic.clone(), read(&answer)))
}

fn read(publish: &Publish) -> Value {
    serde_json::from_slice(&publish.payload).unwrap()
}

/// Asks, checks the envelope and returns the `response` object.
fn ask(heater: &mut SimulatedHeater, suffix: &str, command: i64, extra: Value) -> Option<Value> {
    let request = envelope(heater, suffix, command, extra);
    let (topic, answer) = say_at(heater, monday(), request.clone())?;
    assert_eq!(topic, CLIENT_TOPIC);
    for name in ["requestTopic", "responseTopic"] {
        assert_eq!(answer[name], request.1[name], "{name}");
    }
    assert_eq!(answer["clientID"], format!("navilink-{}", heater.mac()));
    let response = answer["response"].clone();
    for name in ["command", "deviceType", "macAddress", "additionalValue"] {
        assert_eq!(response[name], request.1["request"][name], "{name}");
    }
    Some(response)
}

/// Sends a control long after any other and returns the status that answers.
fn control(heater: &mut SimulatedHeater, code: i64, mode: &str, param: Value) -> Option<Value> {
    heater.last_dhw_control = None;
    let extra = json!({ "mode": mode, "param": param, "paramStr": "" });
    Some(ask(heater, "ctrl", code, extra)?["status"].clone())
}

fn status(heater: &mut SimulatedHeater) -> Value {
    ask(heater, "st", answers::STATUS, json!({})).unwrap()["status"].clone()
}

fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    keys
}

fn listed(names: &str) -> Vec<String> {
    let mut names: Vec<String> = names.split_whitespace().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn a_heater_is_named_by_its_index() {
    let heater = SimulatedHeater::new(2, 1);
    assert_eq!((heater.mac(), heater.device_type()), ("04786332fca2", 52));
    let info = feature::device_list_entry(&heater)["deviceInfo"].clone();
    assert_eq!(info["homeSeq"], 25_006);
    assert_eq!(info["deviceName"], "Simulated heater 3");
    assert_eq!(info["connected"], 2);
}

#[test]
fn a_status_and_a_feature_object_have_exactly_the_keys_of_the_tables() {
    for index in 0..2 {
        let mut heater = SimulatedHeater::new(index, 1);
        assert_eq!(keys(&status(&mut heater)), listed(STATUS_KEYS));
        let feature = ask(&mut heater, "st/did", 16_777_217, json!({})).unwrap()["feature"].clone();
        assert_eq!(keys(&feature), listed(FEATURE_KEYS));
    }
}

#[test]
fn raw_numbers_are_encoded_as_the_tables_say() {
    let mut heater = SimulatedHeater::new(0, 1);
    (heater.tank.upper, heater.tank.lower) = (48.6, 40.24);
    heater.tank.flow = 6.04;
    let status = status(&mut heater);
    assert_eq!(status["dhwTemperature"], 97);
    assert_eq!(status["tankUpperTemperature"], 486);
    assert_eq!(status["tankLowerTemperature"], 402);
    assert_eq!(status["currentDhwFlowRate"], 60);
    assert_eq!(status["dhwUse"], 2);
    let missing = heater.tank.missing_wh(52.0);
    assert!((status["availableEnergyCapacity"].as_f64().unwrap() * 4.0 - missing).abs() <= 2.0);
}

#[test]
fn each_control_changes_the_status_it_answers_with() {
    let rows = [
        (33_554_433, "power-off", json!([]), "dhwOperationSetting", 6),
        (33_554_434, "power-on", json!([]), "dhwOperationSetting", 3),
        (33_554_437, "dhw-mode", json!([1]), "dhwOperationSetting", 1),
        (33_554_437, "dhw-mode", json!([2]), "dhwOperationSetting", 2),
        (33_554_437, "dhw-mode", json!([4]), "dhwOperationSetting", 4),
        (33_554_437, "dhw-mode", json!([5, 12]), "vacationDaySetting", 12),
        (33_554_437, "dhw-mode", json!([5, 12]), "dhwOperationSetting", 5),
        (33_554_466, "goout-day", json!([99]), "vacationDaySetting", 99),
        (33_554_437, "dhw-mode", json!([3]), "dhwOperationSetting", 3),
        (33_554_464, "dhw-temperature", json!([111]), "dhwTemperatureSetting", 111),
        (33_554_472, "anti-leg-on", json!([14]), "antiLegionellaPeriod", 14),
        (33_554_472, "anti-leg-on", json!([14]), "antiLegionellaUse", 2),
        (33_554_471, "anti-leg-off", json!([]), "antiLegionellaUse", 1),
        (33_554_470, "dr-on", json!([]), "drEventStatus", 1),
        (33_554_469, "dr-off", json!([]), "drEventStatus", 0),
        (33_554_468, "intelligent-on", json!([]), "programReservationType", 2),
        (33_554_467, "intelligent-off", json!([]), "programReservationType", 0),
        (33_554_476, "tou-on", json!([]), "touStatus", 1),
        (33_554_475, "tou-off", json!([]), "touStatus", 0),
        (33_554_445, "recirc-mode", json!([1]), "recircOperationMode", 1),
        (33_554_445, "recirc-mode", json!([1]), "recircPumpOperationStatus", 1),
        (33_554_445, "recirc-mode", json!([3]), "recircPumpOperationStatus", 0),
        (33_554_444, "recirc-hotbtn", json!([1]), "recircPumpOperationStatus", 1),
        (33_554_473, "air-filter-reset", json!([]), "cumulatedOpTimeEvaFan", 0),
        (33_554_474, "air-filter-life", json!([4]), "airFilterAlarmPeriod", 2000),
        (33_554_474, "air-filter-life", json!([0]), "airFilterAlarmUse", 1),
        (33_554_441, "reservation-mode", json!([]), "programReservationUse", 2),
    ];
    let mut heater = SimulatedHeater::new(0, 1);
    for (code, mode, param, key, expected) in rows {
        let status = control(&mut heater, code, mode, param.clone()).unwrap_or_else(|| panic!("{mode} {param}"));
        assert_eq!(status[key], expected, "{mode} {param}: {key}");
    }
}

#[test]
fn a_control_that_is_wrong_is_neither_obeyed_nor_answered() {
    let rows = [
        (33_554_464, "dhw-temperature", json!([69])),
        (33_554_464, "dhw-temperature", json!([132])),
        (33_554_464, "dhw-temperature", json!([])),
        (33_554_464, "dhw-temperature", json!([100.5])),
        (33_554_464, "dhw-mode", json!([100])),
        (33_554_437, "dhw-mode", json!([0])),
        (33_554_437, "dhw-mode", json!([5])),
        (33_554_437, "dhw-mode", json!([5, 100])),
        (33_554_466, "goout-day", json!([0])),
        (33_554_472, "anti-leg-on", json!([31])),
        (33_554_474, "air-filter-life", json!([1])),
        (33_554_474, "air-filter-life", json!([21])),
        (33_554_445, "recirc-mode", json!([5])),
        (33_554_433, "power-off", json!([1])),
        (33_554_438, "unknown", json!([])),
        (33_554_455, "unknown", json!([])),
    ];
    let mut heater = SimulatedHeater::new(0, 1);
    let before = status(&mut heater);
    for (code, mode, param) in rows {
        assert_eq!(control(&mut heater, code, mode, param.clone()), None, "{mode} {param}");
    }
    assert_eq!(status(&mut heater), before);
}

#[test]
fn a_set_point_reaches_exactly_to_the_limits_of_the_feature_object() {
    let mut heater = SimulatedHeater::new(0, 1);
    let feature = feature::feature(&heater);
    let limit = |key: &str| feature[key].as_i64().unwrap();
    for (number, obeyed) in [
        (limit("dhwTemperatureMin") - 1, false),
        (limit("dhwTemperatureMin"), true),
        (limit("dhwTemperatureMax"), true),
        (limit("dhwTemperatureMax") + 1, false),
    ] {
        let answered = control(&mut heater, 33_554_464, "dhw-temperature", json!([number])).is_some();
        assert_eq!(answered, obeyed, "{number}");
    }
}

#[test]
fn a_heater_without_recirculation_ignores_its_controls() {
    let mut heater = SimulatedHeater::new(1, 1);
    assert_eq!(feature::feature(&heater)["recirculationUse"], 0);
    assert_eq!(control(&mut heater, 33_554_445, "recirc-mode", json!([1])), None);
    assert_eq!(control(&mut heater, 33_554_444, "recirc-hotbtn", json!([1])), None);
    assert_eq!(ask(&mut heater, "st/recirc-rsv/rd", 16_777_231, json!({})), None);
    assert_eq!(status(&mut heater)["recircReservationUse"], 0);
}

#[test]
fn a_second_hot_water_control_within_a_second_is_refused() {
    let mut heater = SimulatedHeater::new(0, 1);
    let power_off = envelope(&heater, "ctrl", 33_554_433, json!({ "mode": "power-off", "param": [], "paramStr": "" }));
    let dr_on = envelope(&heater, "ctrl", 33_554_470, json!({ "mode": "dr-on", "param": [], "paramStr": "" }));
    let mut say = |after: u64, request: &(String, Value)| {
        say_at(&mut heater, monday() + Duration::from_millis(after), request.clone()).unwrap()
    };
    assert_eq!(say(0, &power_off).0, CLIENT_TOPIC);
    let (topic, refused) = say(999, &power_off);
    assert_eq!(topic, "cmd/52/navilink-04786332fca0/res/ctrl-fail");
    assert_eq!(refused["response"]["failCode"], 2);
    assert_eq!(refused["clientID"], "navilink-04786332fca0");
    assert_eq!(say(999, &dr_on).0, CLIENT_TOPIC);
    assert_eq!(say(1000, &power_off).0, CLIENT_TOPIC);
}

#[test]
fn reservations_are_read_back_as_a_list_and_in_hex() {
    let mut heater = SimulatedHeater::new(0, 1);
    let read_back = |heater: &mut SimulatedHeater| -> Vec<Value> {
        let (topic, mut message) = envelope(heater, "st/rsv/rd", 16_777_222, json!({}));
        message["responseTopic"] = "cmd/52/me/res/rsv/rd".into();
        let answers = heater.handle(&topic, message.to_string().as_bytes(), monday());
        let topics: Vec<&str> = answers.iter().map(|answer| answer.topic.as_str()).collect();
        assert_eq!(topics, ["cmd/52/me/res/rsv/rd", "cmd/52/me/res/rsv"]);
        answers.iter().map(|answer| read(answer)["response"]["reservation"].clone()).collect()
    };
    assert_eq!(read_back(&mut heater), [json!([]), json!("000000000000")]);
    let entries = json!([
        { "enable": 2, "week": 124, "hour": 6, "min": 30, "mode": 4, "param": 120 },
        { "enable": 1, "week": 130, "hour": 23, "min": 5, "mode": 5, "param": 0 },
    ]);
    let write = json!({ "reservationUse": 2, "reservation": entries });
    let written = ask(&mut heater, "ctrl/rsv/rd", 16_777_226, write).unwrap();
    assert_eq!((&written["reservationUse"], &written["reservation"]), (&json!(2), &entries));
    assert_eq!(read_back(&mut heater), [entries, json!("027c061e0478018217050500")]);
    assert_eq!(status(&mut heater)["programReservationUse"], 2);

    let wrong = json!({ "reservationUse": 2, "reservation": [{ "enable": 2, "week": 124, "hour": 24 }] });
    assert_eq!(ask(&mut heater, "ctrl/rsv/rd", 16_777_226, wrong), None);
    assert_eq!(heater.reservations.slots.len(), 2);
}

#[test]
fn a_reservation_takes_effect_on_its_weekday_and_minute() {
    let mut heater = SimulatedHeater::new(0, 1);
    let entry = json!({ "enable": 2, "week": 64, "hour": 6, "min": 30, "mode": 4, "param": 120 });
    ask(&mut heater, "ctrl/rsv/rd", 16_777_226, json!({ "reservationUse": 2, "reservation": [entry] })).unwrap();
    let due = seconds(6 * 3600 + 30 * 60);
    heater.advance(due, monday() + due);
    assert_eq!(heater.settings.operation(), 3);
    heater.advance(seconds(60), monday() + due + seconds(60));
    assert_eq!((heater.settings.operation(), heater.settings.set_point), (4, 120));

    let mut tuesday = SimulatedHeater::new(0, 1);
    tuesday.reservations = heater.reservations.clone();
    tuesday.advance(seconds(86_400), monday() + seconds(2 * 86_400));
    assert_eq!(tuesday.settings.operation(), 3);
}

#[test]
fn the_recirculation_schedule_runs_the_pump() {
    let mut heater = SimulatedHeater::new(0, 1);
    let entry =
        |hour: i64, mode: i64| json!({ "enable": 2, "week": 64, "hour": hour, "min": 0, "mode": mode, "param": -1 });
    let write = json!({ "reservationUse": 2, "reservation": [entry(1, 2), entry(2, 1)] });
    let written = ask(&mut heater, "ctrl/recirc-rsv/rd", 33_554_440, write.clone()).unwrap();
    assert_eq!(written["reservation"], write["reservation"]);
    let held = ask(&mut heater, "st/recirc-rsv/rd", 16_777_231, json!({})).unwrap();
    assert_eq!(held["reservation"], write["reservation"]);
    control(&mut heater, 33_554_445, "recirc-mode", json!([2])).unwrap();
    let mut running = Vec::new();
    for hour in 1..=3 {
        heater.advance(seconds(3600), monday() + seconds(hour * 3600 + 60));
        running.push(heater.recirculating());
    }
    assert_eq!(running, [true, false, false]);
    let many = json!({ "reservationUse": 2, "reservation": vec![entry(1, 2); 21] });
    assert_eq!(ask(&mut heater, "ctrl/recirc-rsv/rd", 33_554_440, many), None);
}

#[test]
fn the_hot_button_runs_the_pump_for_a_while() {
    let mut heater = SimulatedHeater::new(0, 1);
    control(&mut heater, 33_554_444, "recirc-hotbtn", json!([1])).unwrap();
    assert!(heater.recirculating());
    heater.advance(seconds(301), monday() + seconds(301));
    assert!(!heater.recirculating());
}

#[test]
fn a_tou_schedule_is_answered_and_shown_by_the_rest_api() {
    let mut heater = SimulatedHeater::new(0, 1);
    assert_eq!(feature::tou(&heater)["touInfo"]["schedule"], json!([]));
    let period = |season: i64, hour: i64| json!({ "season": season, "week": 124, "startHour": hour, "priceMin": 5 });
    let periods = [period(15, 0), period(4080, 0), period(15, 12)];
    let serial = feature::serial_number(&heater);
    let write = json!({ "controllerSerialNumber": serial, "reservationUse": 2, "reservation": periods });
    let written = ask(&mut heater, "ctrl/tou/rd", 33_554_439, write).unwrap();
    assert_eq!(written["reservation"], json!(periods));
    assert_eq!(status(&mut heater)["touStatus"], 1);
    let schedule = feature::tou(&heater)["touInfo"]["schedule"].clone();
    assert_eq!(schedule[0]["season"], 15);
    assert_eq!(schedule[0]["interval"][1], json!({ "week": 124, "startHour": 12, "priceMin": 5 }));
    assert_eq!(schedule[1]["season"], 4080);

    let empty = json!({ "controllerSerialNumber": serial, "reservationUse": 2, "reservation": [] });
    assert_eq!(ask(&mut heater, "ctrl/tou/rd", 33_554_439, empty), None);
}

#[test]
fn a_firmware_that_waits_can_be_committed_once() {
    let mut heater = SimulatedHeater::new(0, 1);
    let waiting = ask(&mut heater, "st/dl-sw-info", 16_777_227, json!({})).unwrap()["downloadSwInfo"][0].clone();
    let commit = json!({ "commitOta": { "swCode": waiting["swCode"], "swVersion": waiting["swVersion"] } });
    assert!(ask(&mut heater, "ctrl/commit-ota", 33_554_442, commit.clone()).is_some());
    assert_eq!(feature::feature(&heater)["controllerSwVersion"], waiting["swVersion"]);
    assert_eq!(feature::firmware_info(&heater)["firmwares"][0]["curVersion"], waiting["swVersion"]);
    let left = ask(&mut heater, "st/dl-sw-info", 16_777_227, json!({})).unwrap();
    assert_eq!(left["downloadSwInfo"], json!([]));
    assert_eq!(ask(&mut heater, "ctrl/commit-ota", 33_554_442, commit), None);
}

#[test]
fn energy_is_answered_by_day_and_by_month_and_the_sums_agree() {
    let mut heater = SimulatedHeater::new(0, 1);
    let daily = json!({ "year": 2025, "month": [11, 12] });
    let daily = ask(&mut heater, "st/energy-usage-daily-query/rd", 16_777_225, daily).unwrap();
    let days = daily["usage"][1]["data"].as_array().unwrap().clone();
    assert_eq!((days.len(), daily["usage"][0]["data"].as_array().unwrap().len()), (31, 30));
    let sum: i64 = days.iter().map(|day| day["hpUsage"].as_i64().unwrap()).sum();

    let monthly = ask(&mut heater, "st/energy-usage-monthly-query/rd", 16_777_226, json!({ "year": [2025] })).unwrap();
    let december = &monthly["usage"][0]["data"][11];
    assert!(sum > 50_000 && (december["hpUsage"].as_i64().unwrap() - sum).abs() <= 31);
    assert!(monthly["total"]["hpUsage"].as_i64().unwrap() > sum);
    assert_eq!((&daily["total"], &daily["typeOfUsage"]), (&monthly["total"], &monthly["typeOfUsage"]), "of the life");
}

#[test]
fn the_energy_used_is_counted_on_its_day() {
    let mut heater = SimulatedHeater::new(0, 1);
    (heater.tank.upper, heater.tank.lower) = (30.0, 30.0);
    heater.advance(seconds(3600), monday() + seconds(3600));
    let query = json!({ "year": 2026, "month": [1] });
    let daily = ask(&mut heater, "st/energy-usage-daily-query/rd", 16_777_225, query).unwrap();
    let fifth = &daily["usage"][0]["data"][4];
    assert!(fifth["hpUsage"].as_i64().unwrap() > 200, "{fifth}");
    assert!(fifth["heUsage"].as_i64().unwrap() > 1000, "{fifth}");
    assert_eq!(daily["usage"][0]["data"][5]["hpUsage"], 0);
}

#[test]
fn diagnostics_are_answered_and_the_hourly_energy_and_the_end_are_not() {
    let mut heater = SimulatedHeater::new(0, 1);
    let diagnostics = ask(&mut heater, "st/td/rd", 16_777_228, json!({})).unwrap();
    assert_eq!(keys(&diagnostics["data"]), listed("taData tcData tdData tsData"));
    assert_eq!(diagnostics["typeOfTD"], 2);
    assert!(diagnostics["data"]["tsData"]["cumulatedPwrHp"].is_i64());
    let events = "cumulatedOccNumAbDisSucTmp cumulatedOccNumAbDisTmp cumulatedOccNumAbSucTmp cumulatedOccNumConOvrFlow \
                  cumulatedOccNumDryFire cumulatedOccNumEco cumulatedOccNumHpo cumulatedOccNumWtrOvrFlow \
                  cumulatedOpTimeDrAdvLoadUp cumulatedOpTimeDrCpp cumulatedOpTimeDrGridEmg cumulatedOpTimeDrLoadUp \
                  cumulatedOpTimeDrShed cumulatedPwrHe cumulatedPwrHp daysSinceInstallation numOffRostProtectBurn";
    assert_eq!(keys(&diagnostics["data"]["tsData"]), listed(events));
    let hours = json!({ "year": 2026, "month": 1, "day": [1] });
    assert_eq!(ask(&mut heater, "st/energy-usage-hourly-query/rd", 16_777_224, hours), None);
    assert_eq!(ask(&mut heater, "st/end", 16_777_218, json!({})), None);
    assert_eq!(ask(&mut heater, "st", 16_777_217, json!({})), None, "code and suffix must agree");
}

#[test]
fn malformed_requests_are_ignored() {
    let mut heater = SimulatedHeater::new(0, 1);
    let (topic, good) = envelope(&heater, "st", answers::STATUS, json!({}));
    assert!(say_at(&mut heater, monday(), (topic.clone(), good.clone())).is_some());
    for name in ["clientID", "sessionID", "protocolVersion", "requestTopic", "responseTopic", "request"] {
        let mut bad = good.clone();
        bad[name] = Value::Null;
        assert_eq!(say_at(&mut heater, monday(), (topic.clone(), bad)), None, "{name}");
    }
    for name in ["command", "deviceType", "macAddress", "additionalValue"] {
        let mut bad = good.clone();
        bad["request"][name] = json!("other");
        assert_eq!(say_at(&mut heater, monday(), (topic.clone(), bad)), None, "{name}");
    }
    assert!(heater.handle(&topic, b"\xff{", monday()).is_empty());
    assert!(heater.handle("cmd/52/navilink-04786332fca1/st", good.to_string().as_bytes(), monday()).is_empty());
}

#[test]
fn a_status_is_pushed_every_thirty_seconds_and_when_the_mode_changes() {
    let mut heater = SimulatedHeater::new(0, 1);
    heater.advance(seconds(30), monday());
    assert!(heater.advance(seconds(29), monday() + seconds(29)).is_empty());
    let pushed = heater.advance(seconds(1), monday() + seconds(30));
    assert_eq!(pushed[0].topic, "cmd/52/navilink-04786332fca0/res");
    assert_eq!(keys(&read(&pushed[0])["response"]["status"]), listed(STATUS_KEYS));
    control(&mut heater, 33_554_433, "power-off", json!([])).unwrap();
    let pushed = heater.advance(seconds(1), monday() + seconds(31));
    assert_eq!(read(&pushed[0])["response"]["status"]["dhwOperationSetting"], 6);
}

#[test]
fn a_mute_heater_neither_answers_nor_pushes() {
    for (fault, connected) in [(HeaterFault::Offline, 1), (HeaterFault::Silent, 2)] {
        let mut heater = SimulatedHeater::new(0, 1);
        heater.set_fault(fault);
        assert_eq!(feature::device_list_entry(&heater)["deviceInfo"]["connected"], connected);
        assert_eq!(ask(&mut heater, "st", answers::STATUS, json!({})), None);
        assert!(heater.advance(seconds(120), monday() + seconds(120)).is_empty());
        heater.set_fault(HeaterFault::Online);
        assert!(ask(&mut heater, "st", answers::STATUS, json!({})).is_some());
    }
}

#[test]
fn a_slow_heater_answers_when_its_time_has_passed() {
    let mut heater = SimulatedHeater::new(0, 1);
    heater.advance(seconds(30), monday());
    heater.set_fault(HeaterFault::Slow(seconds(5)));
    heater.advance(seconds(1), monday());
    assert_eq!(ask(&mut heater, "st", answers::STATUS, json!({})), None);
    assert!(heater.advance(seconds(4), monday() + seconds(4)).is_empty());
    let late = heater.advance(seconds(1), monday() + seconds(5));
    assert_eq!((late.len(), late[0].topic.as_str()), (1, CLIENT_TOPIC));
}

#[test]
fn an_error_is_shown_until_it_is_cleared() {
    let mut heater = SimulatedHeater::new(0, 1);
    heater.set_fault(HeaterFault::Error { code: 990, sub: 1 });
    let pushed = heater.advance(seconds(1), monday() + seconds(1));
    assert_eq!(read(&pushed[0])["response"]["status"]["errorCode"], 990);
    let listed = &feature::device_list_entry(&heater)["error"];
    assert!(listed["errorCode"] == 990 && listed["errorOccuredTime"].is_string(), "{listed}");
    let status = control(&mut heater, 33_554_463, "cond-fault-reset", json!([])).unwrap();
    assert_eq!((&status["errorCode"], &status["subErrorCode"]), (&json!(0), &json!(0)));
}

#[test]
fn mode_6_is_energy_saver_and_switches_nothing_off() {
    let mut heater = SimulatedHeater::new(0, 1);
    control(&mut heater, 33_554_437, "dhw-mode", json!([4])).unwrap();
    let status = control(&mut heater, 33_554_437, "dhw-mode", json!([6])).unwrap();
    assert_eq!(status["dhwOperationSetting"], 3);
}

#[test]
fn an_entry_switches_a_powered_off_heater_on_and_is_skipped_in_vacation() {
    let entry = json!({ "enable": 2, "week": 64, "hour": 6, "min": 30, "mode": 4, "param": 120 });
    let write = json!({ "reservationUse": 2, "reservation": [entry] });
    let due = seconds(6 * 3600 + 31 * 60);
    for (code, mode, param, then) in
        [(33_554_433, "power-off", json!([]), 4), (33_554_437, "dhw-mode", json!([5, 7]), 5)]
    {
        let mut heater = SimulatedHeater::new(0, 1);
        ask(&mut heater, "ctrl/rsv/rd", 16_777_226, write.clone()).unwrap();
        control(&mut heater, code, mode, param).unwrap();
        heater.advance(due, monday() + due);
        assert_eq!(heater.settings.operation(), then, "{mode}");
    }
}

#[test]
fn a_mode_that_is_set_in_a_time_of_use_window_is_taken_and_held_until_the_window_ends() {
    let mut heater = SimulatedHeater::new(0, 1);
    let period = json!({
        "season": 1, "week": 64, "startHour": 0, "startMinute": 0, "endHour": 1, "endMinute": 0,
        "priceMin": 1, "priceMax": 2, "decimalPoint": 5,
    });
    let serial = feature::serial_number(&heater);
    let write = json!({ "controllerSerialNumber": serial, "reservationUse": 2, "reservation": [period] });
    ask(&mut heater, "ctrl/tou/rd", 33_554_439, write).unwrap();
    let status = control(&mut heater, 33_554_437, "dhw-mode", json!([4])).expect("it is acknowledged");
    assert_eq!(status["dhwOperationSetting"], 3);
    assert_eq!(control(&mut heater, 33_554_437, "dhw-mode", json!([9])), None, "nonsense is not");
    heater.advance(seconds(3600), monday() + seconds(3600));
    assert_eq!(heater.settings.operation(), 3);
    heater.advance(seconds(120), monday() + seconds(3720));
    assert_eq!(heater.settings.operation(), 4);
}

#[test]
fn answers_carry_the_ids_of_the_one_who_asked_when_that_is_wanted() {
    let mut heater = SimulatedHeater::new(0, 1);
    heater.echo_ids();
    let request = envelope(&heater, "st", answers::STATUS, json!({}));
    let (_, answer) = say_at(&mut heater, monday(), request).unwrap();
    assert_eq!((&answer["clientID"], &answer["sessionID"]), (&json!("me"), &json!("0123")));
}

#[test]
fn a_vacation_ends_after_its_days_with_the_mode_before_it() {
    let mut heater = SimulatedHeater::new(0, 1);
    control(&mut heater, 33_554_437, "dhw-mode", json!([4])).unwrap();
    let status = control(&mut heater, 33_554_437, "dhw-mode", json!([5, 2])).unwrap();
    assert_eq!(status["dhwTargetTemperatureSetting"], 40);
    heater.advance(seconds(86_400), monday() + seconds(86_400));
    assert_eq!((heater.settings.operation(), heater.settings.vacation_days_elapsed()), (5, 1));
    heater.advance(seconds(86_400), monday() + seconds(2 * 86_400));
    assert_eq!(heater.settings.operation(), 4);
}

#[test]
fn anti_legionella_heats_to_sixty_degrees_once_in_its_period() {
    let mut heater = SimulatedHeater::new(0, 1);
    control(&mut heater, 33_554_472, "anti-leg-on", json!([1])).unwrap();
    let (mut hottest, mut busy) = (0.0_f64, 0);
    for minute in 1..2 * 1440 {
        heater.advance(seconds(60), monday() + seconds(minute * 60));
        hottest = hottest.max(heater.tank.lower);
        busy += u32::from(heater.disinfecting);
    }
    assert!(hottest >= 59.9 && busy > 0, "{hottest}");
    assert!(!heater.disinfecting);
}

/// Half a day with a control in it, as one text.
fn history(seed: u64) -> String {
    let mut heater = SimulatedHeater::new(0, seed);
    let mut said = String::new();
    for minute in 1..720 {
        let wall = monday() + seconds(minute * 60);
        for publish in heater.advance(seconds(60), wall) {
            said += &String::from_utf8(publish.payload).unwrap();
        }
        if minute == 300 {
            said += &control(&mut heater, 33_554_437, "dhw-mode", json!([4])).unwrap().to_string();
        }
    }
    said
}

#[test]
fn one_seed_gives_the_same_bytes_and_another_seed_gives_others() {
    assert_eq!(history(5), history(5));
    assert_ne!(history(5), history(6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn a_day_of_statuses_stays_within_plausible_bounds(seed: u64, mode in 1_i64..=4) {
        let mut heater = SimulatedHeater::new(0, seed);
        control(&mut heater, 33_554_437, "dhw-mode", json!([mode])).unwrap();
        for step in 1..288 {
            let pushed = heater.advance(seconds(300), monday() + seconds(step * 300));
            let status = read(&pushed[0])["response"]["status"].clone();
            let within = |key: &str, low: i64, high: i64| (low..=high).contains(&status[key].as_i64().unwrap());
            prop_assert!(within("dhwTemperature", 20, 120), "{status}");
            prop_assert!(within("tankLowerTemperature", 80, 600), "{status}");
            prop_assert!(within("dhwChargePer", 0, 100), "{status}");
            prop_assert!(within("currentInstPower", 1, 5500), "{status}");
            prop_assert!(within("currentFanRpm", 0, 1200), "{status}");
            prop_assert!(within("dischargeTemperature", 100, 1000), "{status}");
        }
    }
}
