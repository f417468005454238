//! Reads what arrives on the cloud's topics (protocol reference, sections 3 and 4).

use serde_json::Value;

use super::encoding::{Object, whole};
use super::repair::repair;
use super::{command, topics};
use crate::model::Mac;

/// A message that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct CloudMessage {
    /// The heater that it is about, by `response.macAddress` or else by the topic.
    pub mac: Option<Mac>,
    /// `clientID`: of an answer the heater's own, the asker's, or missing; it does not tell whose answer it is.
    pub client: Option<String>,
    /// `requestTopic`: the topic of the request that it answers.
    pub request_topic: Option<String>,
    /// Whether something in it had to be repaired before it could be read.
    pub repaired: bool,
    /// What it says.
    pub body: Body,
}

/// What a message says. The objects are as the heater sent them.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A request or control, our own or another client's; never an answer.
    Request,
    /// A client is there, or gone.
    Presence,
    /// A status: for `Product::decode_status`.
    Status(Object),
    /// Device information: for `Product::decode_feature`.
    Feature(Object),
    /// The energy by hour: for [`decode_hourly`](super::energy::decode_hourly).
    EnergyHourly(Object),
    /// The energy by day: for [`decode_daily`](super::energy::decode_daily).
    EnergyDaily(Object),
    /// The energy by month: for [`decode_monthly`](super::energy::decode_monthly).
    EnergyMonthly(Object),
    /// The reservations: for [`decode_reservations`](super::schedule::decode_reservations).
    Reservations(Object),
    /// The recirculation schedule: for [`decode_recirculation`](super::schedule::decode_recirculation).
    Recirculation(Object),
    /// The time-of-use schedule that was written: for [`decode_tou`](super::schedule::decode_tou).
    Tou(Object),
    /// The installer's diagnostics: for [`decode_diagnostics`](super::diagnostics::decode_diagnostics).
    Diagnostics(Object),
    /// The downloaded firmware: for [`decode_firmware`](super::firmware::decode_firmware).
    Firmware(Object),
    /// Firmware was committed.
    FirmwareCommitted,
    /// A control was refused.
    ControlRefused {
        /// `failCode`; 2 means that the previous control was too recent.
        fail_code: Option<i64>,
    },
    /// None of these.
    Other,
}

/// Says why a payload cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The payload is not JSON, or nests too deeply.
    #[error("the message is not JSON: {0}")]
    NotJson(String),
    /// The payload is JSON, but no object.
    #[error("the message is not a JSON object")]
    NotAnObject,
}

/// How an answer is told: by the end of its topic, or where that says nothing by its command; and always by a member
/// that it must have, since two commands share a number and a topic can carry a plain status.
struct AnswerKind {
    suffixes: &'static [&'static str],
    commands: &'static [u32],
    members: &'static [&'static str],
    body: fn(Object) -> Body,
}

const SCHEDULE: &[&str] = &["reservation", "reservationUse"];

const KINDS: &[AnswerKind] = &[
    AnswerKind {
        suffixes: &["rsv/rd", "rsv"],
        commands: &[command::RESERVATIONS, command::WRITE_RESERVATIONS],
        members: SCHEDULE,
        body: Body::Reservations,
    },
    AnswerKind {
        suffixes: &["recirc-rsv/rd"],
        commands: &[command::RECIRCULATION, command::WRITE_RECIRCULATION],
        members: SCHEDULE,
        body: Body::Recirculation,
    },
    AnswerKind { suffixes: &["tou/rd"], commands: &[command::WRITE_TOU], members: SCHEDULE, body: Body::Tou },
    AnswerKind {
        suffixes: &["energy-usage-hourly-query/rd"],
        commands: &[command::ENERGY_BY_HOUR],
        members: &["usage"],
        body: Body::EnergyHourly,
    },
    AnswerKind {
        suffixes: &["energy-usage-daily-query/rd"],
        commands: &[command::ENERGY_BY_DAY],
        members: &["usage"],
        body: Body::EnergyDaily,
    },
    AnswerKind {
        suffixes: &["energy-usage-monthly-query/rd"],
        commands: &[command::ENERGY_BY_MONTH],
        members: &["usage"],
        body: Body::EnergyMonthly,
    },
    AnswerKind { suffixes: &["td/rd"], commands: &[command::DIAGNOSTICS], members: &["data"], body: Body::Diagnostics },
    AnswerKind {
        suffixes: &["dl-sw-info"],
        commands: &[command::FIRMWARE],
        members: &["downloadSwInfo"],
        body: Body::Firmware,
    },
];

/// Reads a message.
///
/// # Errors
///
/// Only when `payload` is no JSON object: everything that is one can at least be passed over as [`Body::Other`].
pub fn read(topic: &str, payload: &[u8]) -> Result<CloudMessage, Unreadable> {
    let (envelope, repaired) = object(payload)?;
    let named = envelope.get("response").and_then(|response| response.get("macAddress")).and_then(Value::as_str);
    let mac = named.and_then(|mac| mac.parse().ok()).or_else(|| topics::heater_of(topic));
    let text = |key| envelope.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let (client, request_topic) = (text("clientID"), text("requestTopic"));
    Ok(CloudMessage { mac, client, request_topic, repaired, body: body(topic, envelope) })
}

/// Returns the last parts of the topics of answers, after `res/`.
pub fn suffixes() -> impl Iterator<Item = &'static str> {
    KINDS.iter().flat_map(|kind| kind.suffixes).copied()
}

impl CloudMessage {
    /// Returns whether it answers a control, by the end of `requestTopic` (protocol reference, section 4): a status
    /// that does is the acknowledgement, whatever `clientID` and `sessionID` say.
    pub fn answers_control(&self) -> bool {
        self.request_topic.as_deref().is_some_and(|topic| topic.ends_with("/ctrl"))
    }

    /// Returns whether `clientID` names another client than `ours`: neither ours, nor a heater's own, nor missing.
    pub fn names_another_client(&self, ours: &str) -> bool {
        self.client.as_deref().is_some_and(|client| client != ours && !client.starts_with("navilink-"))
    }
}

/// Parses an object, repaired if it must be, and returns whether it was.
pub fn object(payload: &[u8]) -> Result<(Object, bool), Unreadable> {
    let (value, repaired) = match serde_json::from_slice(payload) {
        Ok(value) => (value, false),
        Err(error) => {
            let again = serde_json::from_str(&repair(payload));
            (again.map_err(|_| Unreadable::NotJson(error.to_string()))?, true)
        }
    };
    let Value::Object(object) = value else { return Err(Unreadable::NotAnObject) };
    Ok((object, repaired))
}

/// Finds what a message says.
pub fn body(topic: &str, mut envelope: Object) -> Body {
    if envelope.get("request").is_some_and(Value::is_object) {
        return Body::Request;
    }
    if envelope.get("event").is_some_and(Value::is_object) || topic.ends_with(topics::PRESENCE) {
        return Body::Presence;
    }
    let mut response = take(&mut envelope, "response").unwrap_or_default();
    let suffix = topics::answer_suffix(topic).unwrap_or_default();
    if suffix == topics::CONTROL_REFUSED {
        return Body::ControlRefused { fail_code: response.get("failCode").and_then(|code| whole(code).ok()) };
    }
    if suffix == topics::FIRMWARE_COMMITTED {
        return Body::FirmwareCommitted;
    }
    if let Some(kind) = KINDS.iter().find(|kind| kind.suffixes.contains(&suffix) && kind.fits(&response)) {
        return (kind.body)(response);
    }
    if let Some(status) = take_first(&mut response, &mut envelope, ["status", "st"]) {
        return Body::Status(status);
    }
    if let Some(feature) = take_first(&mut response, &mut envelope, ["feature", "did"]) {
        return Body::Feature(feature);
    }
    let code = response.get("command").and_then(|code| whole(code).ok());
    let said = |kind: &&AnswerKind| kind.commands.iter().any(|command| Some(i64::from(*command)) == code);
    match KINDS.iter().filter(said).find(|kind| kind.fits(&response)) {
        Some(kind) => (kind.body)(response),
        None if code == Some(command::COMMIT_FIRMWARE.into()) => Body::FirmwareCommitted,
        None => Body::Other,
    }
}

impl AnswerKind {
    fn fits(&self, response: &Object) -> bool {
        self.members.iter().any(|member| response.contains_key(*member))
    }
}

fn take_first(response: &mut Object, envelope: &mut Object, names: [&str; 2]) -> Option<Object> {
    names.iter().find_map(|name| take(response, name)).or_else(|| names.iter().find_map(|name| take(envelope, name)))
}

fn take(object: &mut Object, name: &str) -> Option<Object> {
    match object.get_mut(name)? {
        Value::Object(inner) => Some(std::mem::take(inner)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const DEFAULT: &str = "cmd/52/navilink-04786332FCA0/me/res";

    fn body_of(topic: &str, message: Value) -> Body {
        read(topic, message.to_string().as_bytes()).unwrap().body
    }

    fn object(value: Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_request_is_never_an_answer_even_when_it_carries_a_status() {
        let echo = json!({"request": {"command": 16777219}, "response": {"status": {"errorCode": 0}}});
        assert_eq!(body_of("cmd/52/navilink-04786332FCA0/st", echo), Body::Request);
    }

    #[test]
    fn a_status_is_found_in_the_order_of_the_protocol_reference() {
        let all = json!({"response": {"status": {"n": 1}, "st": {"n": 2}}, "status": {"n": 3}, "st": {"n": 4}});
        let mut message = all.clone();
        for n in 1..=4 {
            assert_eq!(body_of(DEFAULT, message.clone()), Body::Status(object(json!({"n": n}))));
            let (holder, name) = if n <= 2 { (&mut message["response"], n) } else { (&mut message, n - 2) };
            holder.as_object_mut().unwrap().remove(["status", "st"][name - 1]);
        }
        assert_eq!(body_of(DEFAULT, message), Body::Other);
        assert_eq!(body_of(DEFAULT, json!({"did": {"n": 1}})), Body::Feature(object(json!({"n": 1}))));
        let feature = json!({"response": {"feature": {"n": 1}, "did": {"n": 2}}});
        assert_eq!(body_of(DEFAULT, feature), Body::Feature(object(json!({"n": 1}))));
    }

    #[test]
    fn a_status_that_is_no_object_is_looked_for_further() {
        let message = json!({"response": {"status": 7, "st": {"n": 2}}});
        assert_eq!(body_of(DEFAULT, message), Body::Status(object(json!({"n": 2}))));
    }

    #[test]
    fn the_answer_names_the_heater_before_its_topic_does() {
        let message = json!({"clientID": "phone", "response": {"macAddress": "04786332fca1"}}).to_string();
        let read = read(DEFAULT, message.as_bytes()).unwrap();
        assert_eq!(read.mac, "04786332fca1".parse().ok());
        assert_eq!(read.client.as_deref(), Some("phone"));
        assert_eq!(super::read(DEFAULT, b"{}").unwrap().mac, "04786332fca0".parse().ok());
        assert_eq!(super::read("cmd/52/me/res/rsv/rd", b"{}").unwrap().mac, None);
    }

    #[test]
    fn every_other_answer_is_told_by_its_topic() {
        let (rsv, usage) = (json!({"reservationUse": 2}), json!({"usage": []}));
        type Make = fn(Object) -> Body;
        let rows: [(&str, Value, Make); 9] = [
            ("rsv/rd", rsv.clone(), Body::Reservations),
            ("rsv", rsv.clone(), Body::Reservations),
            ("recirc-rsv/rd", rsv.clone(), Body::Recirculation),
            ("tou/rd", rsv, Body::Tou),
            ("energy-usage-hourly-query/rd", usage.clone(), Body::EnergyHourly),
            ("energy-usage-daily-query/rd", usage.clone(), Body::EnergyDaily),
            ("energy-usage-monthly-query/rd", usage, Body::EnergyMonthly),
            ("td/rd", json!({"data": {}}), Body::Diagnostics),
            ("dl-sw-info", json!({"downloadSwInfo": []}), Body::Firmware),
        ];
        for (suffix, response, body) in rows {
            let message = json!({"response": response});
            assert_eq!(body_of(&format!("cmd/52/me/res/{suffix}"), message.clone()), body(object(response.clone())));
            assert_eq!(body_of(&format!("cmd/52/25004/0/me/res/{suffix}"), message), body(object(response)));
        }
    }

    #[test]
    fn where_the_topic_says_nothing_the_command_does_and_a_shared_number_is_told_apart() {
        let message = |response: Value| body_of(DEFAULT, json!({"response": response}));
        let reservations = json!({"command": 16777226, "reservation": "", "reservationUse": 1});
        assert_eq!(message(reservations.clone()), Body::Reservations(object(reservations)));
        let monthly = json!({"command": 16777226, "usage": []});
        assert_eq!(message(monthly.clone()), Body::EnergyMonthly(object(monthly)));
        assert_eq!(message(json!({"command": 16777226})), Body::Other);
        assert_eq!(message(json!({"command": 33554442})), Body::FirmwareCommitted);
    }

    #[test]
    fn a_refused_control_and_presence_are_told_by_their_topics() {
        let refused = |code: Value| {
            body_of("cmd/52/navilink-04786332FCA0/res/ctrl-fail", json!({"response": {"failCode": code}}))
        };
        assert_eq!(refused(json!(2)), Body::ControlRefused { fail_code: Some(2) });
        assert_eq!(refused(json!([])), Body::ControlRefused { fail_code: None });
        assert_eq!(body_of("evt/52/navilink-04786332FCA0/app-connection", json!({"event": {}})), Body::Presence);
    }

    #[test]
    fn what_is_no_json_object_is_unreadable_however_deep_it_nests() {
        assert_eq!(read(DEFAULT, b"[1]"), Err(Unreadable::NotAnObject));
        assert!(matches!(read(DEFAULT, b"<html>"), Err(Unreadable::NotJson(_))));
        assert!(matches!(read(DEFAULT, b""), Err(Unreadable::NotJson(_))));
        assert!(matches!(read(DEFAULT, b"{\"a\":\"\xff\""), Err(Unreadable::NotJson(_))));
        assert!(matches!(read(DEFAULT, "[".repeat(1_000_000).as_bytes()), Err(Unreadable::NotJson(_))));
    }

    #[test]
    fn one_bad_value_costs_itself_only() {
        for bad in ["1e400", "NaN", r#""\ud800""#] {
            let text = format!(r#"{{"status":{{"dhwTemperature":98,"x":{bad}}}}}"#);
            let message = read(DEFAULT, text.as_bytes()).unwrap();
            let Body::Status(status) = message.body else { panic!("{bad}: {:?}", message.body) };
            assert_eq!((&status["dhwTemperature"], message.repaired), (&json!(98), true), "{bad}");
        }
        assert!(!read(DEFAULT, b"{}").unwrap().repaired);
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_topic_make_it_panic(topic in "[a-z/#+-]{0,60}", payload: Vec<u8>) {
            let _ = read(&topic, &payload);
        }
    }
}
