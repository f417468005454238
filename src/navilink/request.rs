//! The messages that we send (protocol reference, section 4).

use serde_json::{Value, json};

use super::devices::Device;
use super::session::Identity;
use super::{command, topics};
use crate::model::Message;

/// What can be asked of a heater (protocol reference, section 4, "Queries").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The status.
    Status,
    /// The device information (`feature`).
    Information,
    /// The reservations.
    Reservations,
    /// The energy of each day of some months of a year.
    EnergyByDay {
        /// The year, such as 2026.
        year: u16,
        /// The months, 1 to 12.
        months: Vec<u8>,
    },
    /// The energy of each month of some years.
    EnergyByMonth {
        /// The years, such as 2026.
        years: Vec<u16>,
    },
    /// What firmware is downloaded.
    Firmware,
    /// The installer's diagnostics.
    Diagnostics,
    /// The recirculation schedule.
    Recirculation,
    /// No question: says that we leave on purpose. It has no answer.
    EndOfSession,
}

/// Where the answer is asked to go.
enum Answer {
    Default,
    Client(&'static str),
    Home(&'static str),
    Device(&'static str),
}

impl Query {
    /// Returns the message that asks `heater`.
    pub fn message(&self, heater: &Device, who: &Identity) -> Message {
        let (code, suffix, answer) = self.route();
        let mut request = json!({
            "command": code,
            "deviceType": heater.device_type,
            "macAddress": heater.mac.as_cloud(),
            "additionalValue": heater.additional_value,
        });
        match self {
            Self::EnergyByDay { year, months } => {
                request["year"] = json!(year);
                request["month"] = json!(months);
            }
            Self::EnergyByMonth { years } => {
                request["year"] = json!(years);
            }
            _ => {}
        }
        let response_topic = match answer {
            Answer::Default => topics::default_answer(heater, &who.client),
            Answer::Client(suffix) => topics::client_answer(heater, &who.client, suffix),
            Answer::Home(suffix) => topics::home_answer(heater, &who.client, suffix),
            Answer::Device(suffix) => topics::device_answer(heater, suffix),
        };
        envelope(heater, who, suffix, &response_topic, request)
    }

    fn route(&self) -> (u32, &'static str, Answer) {
        match self {
            Self::Status => (command::STATUS, "st", Answer::Default),
            Self::Information => (command::INFORMATION, "st/did", Answer::Default),
            Self::Reservations => (command::RESERVATIONS, "st/rsv/rd", Answer::Client("rsv/rd")),
            Self::EnergyByDay { .. } => (
                command::ENERGY_BY_DAY,
                "st/energy-usage-daily-query/rd",
                Answer::Client("energy-usage-daily-query/rd"),
            ),
            Self::EnergyByMonth { .. } => (
                command::ENERGY_BY_MONTH,
                "st/energy-usage-monthly-query/rd",
                Answer::Client("energy-usage-monthly-query/rd"),
            ),
            Self::Firmware => (command::FIRMWARE, "st/dl-sw-info", Answer::Device("dl-sw-info")),
            Self::Diagnostics => (command::DIAGNOSTICS, "st/td/rd", Answer::Home("td/rd")),
            Self::Recirculation => (command::RECIRCULATION, "st/recirc-rsv/rd", Answer::Client("recirc-rsv/rd")),
            Self::EndOfSession => (command::END_OF_SESSION, "st/end", Answer::Default),
        }
    }
}

/// Puts a request to `heater` into its envelope.
pub(super) fn envelope(heater: &Device, who: &Identity, suffix: &str, response_topic: &str, request: Value) -> Message {
    let topic = topics::request(heater, suffix);
    let envelope = json!({
        "clientID": who.client.as_str(),
        "sessionID": who.session.as_str(),
        "protocolVersion": 2,
        "requestTopic": topic,
        "responseTopic": response_topic,
        "request": request,
    });
    Message { topic, payload: envelope.to_string().into(), retained: false }
}

/// Returns the message that tells `heater` that we are there, or gone (protocol reference, section 4, "Presence").
pub fn presence(heater: &Device, who: &Identity, present: bool) -> Message {
    let topic = topics::presence(heater);
    let envelope = json!({
        "clientID": who.client.as_str(),
        "sessionID": who.session.as_str(),
        "protocolVersion": 1,
        "requestTopic": topic,
        "event": {
            "macAddress": heater.mac.as_cloud(),
            "deviceType": heater.device_type,
            "additionalValue": heater.additional_value,
            "connection": {"status": u8::from(present), "os": "A"},
        },
    });
    Message { topic, payload: envelope.to_string().into(), retained: false }
}

#[cfg(test)]
mod tests {
    use super::super::session::{ClientId, SessionId};
    use super::super::topics::tests::heater;
    use super::*;

    fn who() -> Identity {
        Identity { client: ClientId::new("me"), session: SessionId::from_random([7; 16]) }
    }

    fn sent(query: &Query) -> (String, Value) {
        let message = query.message(&heater(), &who());
        (message.topic, serde_json::from_slice(&message.payload).unwrap())
    }

    #[test]
    fn a_status_request_is_the_envelope_of_the_protocol_reference() {
        let (topic, payload) = sent(&Query::Status);
        assert_eq!(topic, "cmd/52/navilink-04786332FCA0/st");
        let expected = json!({
            "clientID": "me", "sessionID": "07070707070707070707070707070707", "protocolVersion": 2,
            "requestTopic": "cmd/52/navilink-04786332FCA0/st",
            "responseTopic": "cmd/52/navilink-04786332FCA0/me/res",
            "request": {"command": 16777219, "deviceType": 52, "macAddress": "04786332FCA0", "additionalValue": "5322"},
        });
        assert_eq!(payload, expected);
    }

    #[test]
    fn every_query_has_its_code_its_suffix_and_its_answer_topic() {
        let device = "cmd/52/navilink-04786332FCA0";
        let rows = [
            (Query::Status, 16777219, "st", format!("{device}/me/res")),
            (Query::Information, 16777217, "st/did", format!("{device}/me/res")),
            (Query::Reservations, 16777222, "st/rsv/rd", "cmd/52/me/res/rsv/rd".into()),
            (
                Query::EnergyByDay { year: 2026, months: vec![10, 11] },
                16777225,
                "st/energy-usage-daily-query/rd",
                "cmd/52/me/res/energy-usage-daily-query/rd".into(),
            ),
            (
                Query::EnergyByMonth { years: vec![2025, 2026] },
                16777226,
                "st/energy-usage-monthly-query/rd",
                "cmd/52/me/res/energy-usage-monthly-query/rd".into(),
            ),
            (Query::Firmware, 16777227, "st/dl-sw-info", format!("{device}/res/dl-sw-info")),
            (Query::Diagnostics, 16777228, "st/td/rd", "cmd/52/25004/0/me/res/td/rd".into()),
            (Query::Recirculation, 16777231, "st/recirc-rsv/rd", "cmd/52/me/res/recirc-rsv/rd".into()),
            (Query::EndOfSession, 16777218, "st/end", format!("{device}/me/res")),
        ];
        for (query, code, suffix, answer) in rows {
            let (topic, payload) = sent(&query);
            assert_eq!(topic, format!("{device}/{suffix}"));
            assert_eq!(payload["request"]["command"], code, "{query:?}");
            assert_eq!(payload["responseTopic"], answer, "{query:?}");
        }
    }

    #[test]
    fn energy_queries_name_the_year_as_a_number_by_day_and_as_a_list_by_month() {
        let (_, daily) = sent(&Query::EnergyByDay { year: 2026, months: vec![10, 11] });
        assert_eq!((&daily["request"]["year"], &daily["request"]["month"]), (&json!(2026), &json!([10, 11])));
        let (_, monthly) = sent(&Query::EnergyByMonth { years: vec![2025, 2026] });
        assert_eq!((&monthly["request"]["year"], monthly["request"].get("month")), (&json!([2025, 2026]), None));
    }

    #[test]
    fn presence_is_an_event_with_protocol_version_one() {
        for (present, status) in [(true, 1), (false, 0)] {
            let message = presence(&heater(), &who(), present);
            let payload: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(message.topic, "evt/52/navilink-04786332FCA0/app-connection");
            assert_eq!(payload["requestTopic"], message.topic);
            assert_eq!(payload["protocolVersion"], 1);
            assert_eq!(payload["event"]["connection"]["status"], status);
            assert_eq!(payload["event"]["macAddress"], "04786332FCA0");
        }
    }
}
