//! Decodes text for people: what `navien2mqtt decode` does (contract, section 1).

use serde_json::{Value, json};

use crate::navilink::devices::{Device, DeviceList};
use crate::navilink::diagnostics::decode_diagnostics;
use crate::navilink::encoding::Encoding::{Text, ZeroOne};
use crate::navilink::encoding::{DecodeContext, Decoded, Object, Problem, Row, decode_entry, found, row};
use crate::navilink::energy::{decode_daily, decode_hourly, decode_monthly};
use crate::navilink::firmware::decode_firmware;
use crate::navilink::message::{Body, Unreadable, body, object};
use crate::navilink::schedule::{decode_recirculation, decode_reservations, decode_tou};
use crate::product::{self, PRODUCTS, Product, unknown_keys};
use crate::units::{UnitSystem, UnitsChoice};

/// Says why a text cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is no JSON object.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The text is no message, and none of the known kinds of data is in it.
    #[error("neither a `status` nor a `feature` object is in it, nor anything else that a heater or the REST API says")]
    Neither,
    /// The text is a diagnostics answer without messages.
    #[error("no message is recorded in this diagnostics answer")]
    NoneRecorded,
}

/// What a text holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// One message, or a bare object of one.
    Message(DecodedMessage),
    /// The recorded messages of a diagnostics answer, each as `{"kind", …, "decoded", "problems"?, "unknown"?}` with
    /// all that the record says of it (`topic`, `at`, …) in place of the dots.
    Recorded(Vec<Object>),
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedMessage {
    /// What it is, as in the counters of the diagnostics: `status`, `info`, `energy_daily`, …
    pub kind: &'static str,
    /// What it says.
    pub decoded: Decoded,
}

/// Decodes one raw message of the cloud or answer of the REST API, a bare `status`, `feature` or `response` object, or
/// the recorded messages of a whole diagnostics answer.
///
/// A bare object is of the kind whose table knows more of its keys. A message of no known kind is `other`.
///
/// # Errors
///
/// When `text` is no JSON object, or holds none of these.
pub fn decode(text: &[u8], choice: UnitsChoice) -> Result<Found, DecodeError> {
    if let Some(records) = serde_json::from_slice(text).ok().as_ref().and_then(records) {
        if records.is_empty() {
            return Err(DecodeError::NoneRecorded);
        }
        let units = records.iter().find_map(|record| units_of(record, choice)).unwrap_or(choice.system(None));
        return Ok(Found::Recorded(records.iter().map(|record| line(record, choice, units)).collect()));
    }
    let (envelope, _) = object(text)?;
    let reading = read("", envelope.clone(), choice, choice.system(None));
    if reading.kind != "other" {
        return Ok(Found::Message(reading));
    }
    let other = is_enveloped(&envelope).then_some(reading);
    bare(envelope, choice).or(other).map(Found::Message).ok_or(DecodeError::Neither)
}

/// What stands around every message (protocol reference, sections 3 and 4).
const ENVELOPE: [&str; 5] = ["clientID", "sessionID", "protocolVersion", "requestTopic", "responseTopic"];

/// Returns whether an object is a message, whatever it says.
fn is_enveloped(object: &Object) -> bool {
    let answers = |response: &Value| ["command", "macAddress"].iter().any(|key| response.get(key).is_some());
    ENVELOPE.iter().any(|key| object.contains_key(*key)) || object.get("response").is_some_and(answers)
}

fn bare(object: Object, choice: UnitsChoice) -> Option<DecodedMessage> {
    let (of_status, status) = best(|product| product.status, &object);
    let (of_feature, feature) = best(|product| product.feature, &object);
    match (status, feature) {
        (0, 0) => {
            let response = Object::from_iter([("response".to_owned(), Value::Object(object))]);
            Some(read("", response, choice, choice.system(None))).filter(|reading| reading.kind != "other")
        }
        (status, feature) if feature > status => {
            Some(DecodedMessage { kind: "info", decoded: of_feature.decode_feature(&object, choice) })
        }
        _ => Some(DecodedMessage { kind: "status", decoded: of_status.decode_status(&object, choice) }),
    }
}

/// The keys that other messages and objects have as well.
const OF_ANYTHING: [&str; 2] = ["command", "temperatureType"];

/// Returns the product whose table knows most of an object's keys, and how many.
fn best(table: fn(&Product) -> &'static [Row], map: &Object) -> (&'static Product, usize) {
    let first = (PRODUCTS[0], known(table(PRODUCTS[0]), map));
    PRODUCTS[1..].iter().fold(first, |best, product| {
        let keys = known(table(product), map);
        if keys > best.1 { (product, keys) } else { best }
    })
}

fn known(rows: &[Row], map: &Object) -> usize {
    rows.iter().filter(|row| !OF_ANYTHING.contains(&row.key) && map.contains_key(row.key)).count()
}

/// Finds the recorded messages of a diagnostics answer, of its data, or of an extract from it.
fn records(value: &Value) -> Option<Vec<Object>> {
    let is_record =
        |value: &Value| value.get("payload").is_some() && (value["topic"].is_string() || value["call"].is_string());
    let list = match value {
        Value::Array(list) if list.iter().any(is_record) => list,
        one if is_record(one) => std::slice::from_ref(one),
        _ => value.pointer("/data/raw_messages").or_else(|| value.get("raw_messages"))?.as_array()?,
    };
    Some(list.iter().filter_map(Value::as_object).cloned().collect())
}

/// Returns the units of the heater of a recorded status or device information.
fn units_of(record: &Object, choice: UnitsChoice) -> Option<UnitSystem> {
    let line = line(record, choice, choice.system(None));
    let kind = line["kind"].as_str()?;
    matches!(kind, "status" | "info").then(|| match line["decoded"]["units"].as_str() {
        Some("metric") => UnitSystem::Metric,
        _ => UnitSystem::Us,
    })
}

/// Decodes a recorded message; one that cannot be read costs itself only.
fn line(record: &Object, choice: UnitsChoice, units: UnitSystem) -> Object {
    let topic = record.get("topic").and_then(Value::as_str).unwrap_or_default();
    let payload = match record.get("payload") {
        Some(Value::Object(payload)) => Ok(payload.clone()),
        Some(Value::String(text)) => object(text.as_bytes()).map(|(payload, _)| payload),
        _ => Err(Unreadable::NotAnObject),
    };
    let mut problems = Vec::new();
    let reading = payload.map(|payload| read(topic, payload, choice, units)).unwrap_or_else(|error| {
        problems.push(error.to_string());
        DecodedMessage { kind: "unreadable", decoded: Decoded::default() }
    });
    problems.extend(reading.decoded.problems.iter().map(ToString::to_string));
    let mut line = Object::new();
    line.insert("kind".to_owned(), reading.kind.into());
    let said = record.iter().filter(|(key, _)| !matches!(key.as_str(), "kind" | "payload"));
    line.extend(said.map(|(key, value)| (key.clone(), value.clone())));
    line.insert("decoded".to_owned(), reading.decoded.object.into());
    for (name, list) in [("problems", problems), ("unknown", reading.decoded.unknown)] {
        if !list.is_empty() {
            line.insert(name.to_owned(), list.into());
        }
    }
    line
}

/// Decodes a message; without its topic, what the envelope says of it has to do.
fn read(topic: &str, envelope: Object, choice: UnitsChoice, units: UnitSystem) -> DecodedMessage {
    if envelope.contains_key("msg") && envelope.contains_key("code") {
        return answer_of_rest(&envelope);
    }
    let topic = if topic.is_empty() { answered_on(&envelope) } else { topic.to_owned() };
    let (kind, decoded) = match body(&topic, envelope.clone()) {
        Body::Status(status) => ("status", best(|product| product.status, &status).0.decode_status(&status, choice)),
        Body::Feature(feature) => {
            ("info", best(|product| product.feature, &feature).0.decode_feature(&feature, choice))
        }
        Body::EnergyHourly(answer) => ("energy_hourly", decode_hourly(&answer)),
        Body::EnergyDaily(answer) => ("energy_daily", decode_daily(&answer)),
        Body::EnergyMonthly(answer) => ("energy_monthly", decode_monthly(&answer)),
        Body::Reservations(answer) => ("reservations", decode_reservations(&answer, units)),
        Body::Recirculation(answer) => ("recirculation", decode_recirculation(&answer)),
        Body::Tou(answer) => ("tou", decode_tou(&answer)),
        Body::Diagnostics(answer) => ("diagnostics", decode_diagnostics(&answer)),
        Body::Firmware(answer) => ("firmware", decode_firmware(&answer)),
        Body::FirmwareCommitted => ("firmware_committed", Decoded::default()),
        Body::ControlRefused { fail_code } => ("control_refused", just(json!({ "fail_code": fail_code }))),
        Body::Request => ("request", request(&envelope)),
        Body::Presence => ("presence", presence(&envelope)),
        Body::Other => ("other", other(&envelope)),
    };
    DecodedMessage { kind, decoded }
}

/// What says whose heater a message is about.
const HEATER: [&str; 3] = ["deviceType", "macAddress", "additionalValue"];

/// Returns what a request asks for, as it stands there.
fn request(envelope: &Object) -> Decoded {
    let members = envelope.get("request").and_then(Value::as_object).into_iter().flatten();
    let asked = members.filter(|(key, _)| !HEATER.contains(&key.as_str()));
    let asked: Object = asked.map(|(key, value)| (key.clone(), value.clone())).collect();
    Decoded { object: asked.into(), ..Decoded::default() }
}

const CONNECTION: &[Row] = &[row("status", "present", ZeroOne), row("os", "os", Text)];

/// Decodes presence to `{"present": true, "os": "A"}`.
fn presence(envelope: &Object) -> Decoded {
    let connection = envelope.get("event").and_then(|event| event.get("connection")?.as_object());
    let connection = connection.cloned().unwrap_or_default();
    let context = DecodeContext { units: UnitSystem::Metric, formula: 0 };
    let (object, problems) = decode_entry(CONNECTION, &connection, context, "event.connection.");
    Decoded { object, problems, unknown: unknown_keys(CONNECTION, &connection) }
}

/// The members of messages that are objects.
const OBJECTS: [&str; 7] = ["request", "response", "event", "status", "st", "feature", "did"];

/// Decodes a message of no known kind to `{"command": 16777219}`, and names what else is in it.
fn other(envelope: &Object) -> Decoded {
    let response = envelope.get("response").and_then(Value::as_object);
    let command = response.and_then(|response| response.get("command"));
    let mut decoded = just(json!({ "command": command }));
    for (path, members) in [("", Some(envelope)), ("response.", response)] {
        for (key, value) in members.into_iter().flatten() {
            let (key, path) = (key.as_str(), format!("{path}{}", key.escape_debug()));
            if OBJECTS.contains(&key) {
                let problem = || Problem::new(path, format!("expected an object, found {}", found(value)));
                decoded.problems.extend((!value.is_object()).then(problem));
            } else if key != "command" && !ENVELOPE.contains(&key) && !HEATER.contains(&key) {
                decoded.unknown.push(path);
            }
        }
    }
    decoded
}

/// Returns a topic for the answer in `envelope`, as far as the request's own topic or a refusal tells it.
fn answered_on(envelope: &Object) -> String {
    if envelope.get("response").is_some_and(|response| response.get("failCode").is_some()) {
        return "/res/ctrl-fail".to_owned();
    }
    let asked = envelope.get("requestTopic").and_then(Value::as_str).unwrap_or_default();
    let suffix = asked.split_once("/st/").or_else(|| asked.split_once("/ctrl/"));
    suffix.map_or_else(String::new, |(_, suffix)| format!("/res/{suffix}"))
}

/// Decodes an answer of the REST API: the device list, a time-of-use schedule, or code and words alone.
fn answer_of_rest(envelope: &Object) -> DecodedMessage {
    match envelope.get("data") {
        Some(data @ Value::Array(_)) => {
            let mut list = DeviceList::default();
            list.take_page(data, product::is_known);
            let heater = |heater: &Device| {
                let mut shown = json!({ "mac": heater.mac.as_str(), "name": heater.name,
                    "device_type": heater.device_type, "online": heater.online });
                heater
                    .record
                    .decoded(|code| product::of(heater.device_type)?.errors.text(code, None))
                    .into_iter()
                    .for_each(|(name, value)| shown[name] = value);
                shown
            };
            let others = list
                .others
                .iter()
                .map(|other| json!({ "mac": other.mac, "name": other.name, "device_type": other.device_type }));
            let mut decoded = just(json!({
                "heaters": list.heaters.iter().map(heater).collect::<Value>(),
                "others": others.collect::<Value>(),
            }));
            decoded.problems = list.problems.into_iter().map(|complaint| Problem::new("data", complaint)).collect();
            DecodedMessage { kind: "device_list", decoded }
        }
        Some(Value::Object(data)) if data.contains_key("touInfo") => {
            DecodedMessage { kind: "tou", decoded: decode_tou(data) }
        }
        data => {
            let mut decoded = just(json!({ "code": envelope["code"], "msg": envelope["msg"] }));
            decoded.unknown.extend(data.filter(|data| !data.is_null()).map(|_| "data".to_owned()));
            DecodedMessage { kind: "rest", decoded }
        }
    }
}

fn just(value: Value) -> Decoded {
    let Value::Object(object) = value else { return Decoded::default() };
    Decoded { object: object.into(), ..Decoded::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::navilink::members::Members;

    fn reading(value: Value) -> Result<DecodedMessage, DecodeError> {
        match decode(value.to_string().as_bytes(), UnitsChoice::Metric)? {
            Found::Message(reading) => Ok(reading),
            Found::Recorded(lines) => panic!("{lines:?}"),
        }
    }

    fn decoded(value: Value) -> Result<Members, DecodeError> {
        reading(value).map(|reading| reading.decoded.object)
    }

    fn lines(value: &Value, choice: UnitsChoice) -> Vec<Value> {
        match decode(value.to_string().as_bytes(), choice).unwrap() {
            Found::Recorded(lines) => lines.into_iter().map(Value::Object).collect(),
            Found::Message(reading) => panic!("{reading:?}"),
        }
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
        let energy = json!({"command": 16777225, "usage": []});
        assert_eq!(reading(energy.clone()), reading(json!({"response": energy})));
    }

    #[test]
    fn the_table_that_knows_more_keys_tells_the_kind() {
        let shared = json!({"temperatureType": 1, "ecoUse": 2});
        assert!(decoded(shared).unwrap().contains_key("dhw_temperature"));
        let feature = json!({"temperatureType": 1, "ecoUse": 2, "hpwhUse": 2});
        assert!(decoded(feature).unwrap().contains_key("hpwh_use"));
    }

    #[test]
    fn every_kind_of_answer_is_told_by_its_command_or_by_the_request_that_it_answers() {
        let schedule = json!({"reservationUse": 2, "reservation": ""});
        let asked = |suffix: &str, response: &Value| json!({"requestTopic": format!("cmd/52/navilink-04786332fca0/{suffix}"), "response": response});
        let commanded = |command: u32, mut response: Value| {
            response["command"] = command.into();
            json!({ "response": response })
        };
        for (message, kind, member) in [
            (asked("st/rsv/rd", &schedule), "reservations", "units"),
            (asked("ctrl/rsv/rd", &schedule), "reservations", "units"),
            (asked("st/recirc-rsv/rd", &schedule), "recirculation", "entries"),
            (asked("ctrl/tou/rd", &schedule), "tou", "periods"),
            (commanded(16777222, schedule.clone()), "reservations", "units"),
            (commanded(16777231, schedule), "recirculation", "entries"),
            (commanded(16777224, json!({"usage": []})), "energy_hourly", "hours"),
            (asked("st/energy-usage-hourly-query/rd", &json!({"usage": []})), "energy_hourly", "hours"),
            (commanded(16777225, json!({"usage": []})), "energy_daily", "days"),
            (commanded(16777226, json!({"usage": []})), "energy_monthly", "months"),
            (commanded(16777228, json!({"data": {"tsData": {"aB": 1}}})), "diagnostics", "a_b"),
            (commanded(16777227, json!({"downloadSwInfo": []})), "firmware", "downloads"),
            (json!({"response": {"failCode": 2}}), "control_refused", "fail_code"),
            (json!({"event": {"connection": {"status": 1}}}), "presence", "present"),
            (json!({"request": {"command": 1, "year": [2026]}}), "request", "year"),
            (commanded(999, json!({})), "other", "command"),
            (asked("st/new", &json!([])), "other", "command"),
            (json!({"code": 200, "msg": "SUCCESS", "data": []}), "device_list", "heaters"),
            (json!({"code": 200, "msg": "SUCCESS", "data": {"touInfo": {}}}), "tou", "periods"),
            (json!({"code": 1001, "msg": "INVALID_USER_PASSWORD"}), "rest", "msg"),
        ] {
            let reading = reading(message.clone()).unwrap();
            assert_eq!(reading.kind, kind, "{message}");
            assert!(reading.decoded.object.contains_key(member), "{message}: {reading:?}");
        }
    }

    #[test]
    fn what_of_a_message_is_not_known_is_named() {
        let found = |message: Value| reading(message).map(|reading| reading.decoded).unwrap();
        let other =
            found(json!({"clientID": "x", "new": 1, "response": {"command": 999, "macAddress": "m", "status": [],
            "a\nb": 2}}));
        assert_eq!(
            (&other.object["command"], other.unknown),
            (&json!(999), vec!["new".into(), "response.a\\nb".into()])
        );
        assert_eq!(other.problems[0].to_string(), "`response.status`: expected an object, found an array");
        let presence = found(json!({"event": {"connection": {"status": 0, "new": 1}}}));
        assert_eq!(Value::from(presence.object), json!({"present": false, "os": null}));
        assert_eq!(presence.problems[0].to_string(), "`event.connection.os`: missing");
        assert_eq!(presence.unknown, ["new"]);
        assert_eq!(found(json!({"code": 200, "msg": "SUCCESS", "data": {"deviceInfo": {}}})).unknown, ["data"]);
    }

    #[test]
    fn a_device_list_says_what_of_it_cannot_be_read() {
        let heater = json!({"deviceInfo": {"macAddress": "04786332fca0", "deviceType": 52, "connected": 2}});
        let list = reading(json!({"code": 200, "msg": "SUCCESS", "data": [heater, {"deviceInfo": {}}]})).unwrap();
        assert_eq!(list.decoded.object["heaters"][0]["mac"], "04786332fca0");
        assert_eq!(list.decoded.problems.len(), 1, "{list:?}");
    }

    #[test]
    fn what_holds_nothing_known_is_an_error_that_says_so() {
        assert_eq!(decoded(json!({})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"response": {"reservation": ""}})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!({"temperatureType": 2, "command": 16777225})), Err(DecodeError::Neither));
        assert_eq!(decoded(json!([1])), Err(DecodeError::Unreadable(Unreadable::NotAnObject)));
        assert_eq!(decoded(json!({"data": {"raw_messages": []}})), Err(DecodeError::NoneRecorded));
        let error = decode(b"nonsense", UnitsChoice::Device).unwrap_err();
        assert!(error.to_string().starts_with("the message is not JSON"), "{error}");
    }

    #[test]
    fn every_message_of_a_diagnostics_answer_is_read_and_a_bad_one_costs_itself() {
        let on = |suffix: &str| format!("cmd/52/navilink-020000000001/me/res{suffix}");
        let hex = json!({"reservationUse": 2, "reservation": "023e061e0364"});
        let records = json!([
            {"topic": on(""), "at": "2026-11-26T12:00:00Z", "kind": "whatever",
             "payload": {"response": {"status": {"temperatureType": 1, "dhwTemperature": 98, "new": 1, "wifiRssi": "x"}}}},
            {"topic": on("/rsv"), "payload": {"response": hex}},
            {"topic": on("/commit-ota"), "payload": {"response": {}}},
            {"topic": on("/ctrl-fail"), "payload": "{\"response\": {\"failCode\": NaN}}"},
            {"topic": on("/new"), "payload": {"response": {}}},
            {"topic": on(""), "payload": "<html>"},
            {"topic": "cmd/52/navilink-020000000001/ctrl", "payload": {"request": {"command": 33554437, "mode": "dhw-mode", "param": [3]}}},
            {"topic": "evt/52/navilink-020000000001/app-connection", "payload": {"event": {}}},
            {"call": "/device/list", "status": 200, "payload": {"code": 200, "msg": "SUCCESS", "data": []}},
            {"call": "/device/list", "status": 502, "payload": {"message": "Bad gateway"}},
        ]);
        let answer = json!({"ok": true, "id": 1, "data": {"version": "1", "raw_messages": records}});
        let read = lines(&answer, UnitsChoice::Device);
        let kinds: Vec<_> = read.iter().map(|line| line["kind"].as_str().unwrap()).collect();
        let wanted = [
            "status",
            "reservations",
            "firmware_committed",
            "control_refused",
            "other",
            "unreadable",
            "request",
            "presence",
            "device_list",
            "other",
        ];
        assert_eq!(kinds, wanted);
        assert_eq!(
            (&read[0]["at"], &read[0]["decoded"]["dhw_temperature"]),
            (&json!("2026-11-26T12:00:00Z"), &json!(49.0))
        );
        assert_eq!(read[0]["unknown"], json!(["new"]));
        assert_eq!(read[0]["problems"].as_array().unwrap().len(), 1);
        assert_eq!(read[1]["decoded"]["entries"][0]["temperature"], 50.0, "in the units of the heater: {}", read[1]);
        assert_eq!(read[6]["decoded"], json!({"command": 33554437, "mode": "dhw-mode", "param": [3]}));
        assert_eq!((&read[8]["call"], &read[9]["status"]), (&json!("/device/list"), &json!(502)));
        assert_eq!(lines(&records, UnitsChoice::Device), read);
        assert_eq!(lines(&records[0], UnitsChoice::Device), read[..1]);
        assert_eq!(lines(&answer["data"], UnitsChoice::Us)[1]["decoded"]["entries"][0]["temperature"], 122.0);
    }
}
