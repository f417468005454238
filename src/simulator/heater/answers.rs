//! The envelope and the answers to the queries (protocol reference, section 4).

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{ADDITIONAL_VALUE, DEVICE_TYPE, Publish, SimulatedHeater};

/// The code of the status query, which is also the `command` of a status.
pub(super) const STATUS: i64 = 16_777_219;
const INFORMATION: i64 = 16_777_217;
const RESERVATIONS: i64 = 16_777_222;
const ENERGY_DAILY: i64 = 16_777_225;
const ENERGY_MONTHLY: i64 = 16_777_226;
const DOWNLOADS: i64 = 16_777_227;
const DIAGNOSTICS: i64 = 16_777_228;
const RECIRCULATION: i64 = 16_777_231;

/// A request that has the right envelope and is meant for this heater.
pub(super) struct HeaterRequest {
    /// What follows the heater's own part of the topic.
    pub suffix: String,
    pub command: i64,
    /// The `request` object.
    pub body: Value,
    client: String,
    session: String,
    request_topic: String,
    response_topic: String,
}

impl HeaterRequest {
    /// Reads a message, or returns `None` if it is no well-formed request to this heater.
    pub(super) fn read(heater: &SimulatedHeater, topic: &str, payload: &[u8]) -> Option<Self> {
        let suffix = topic.strip_prefix(&format!("cmd/{DEVICE_TYPE}/navilink-{}/", heater.mac))?.to_owned();
        let message: Value = serde_json::from_slice(payload).ok()?;
        let text = |name: &str| message.get(name)?.as_str().filter(|s| !s.is_empty()).map(str::to_owned);
        let body = message.get("request")?.clone();
        let command = body.get("command")?.as_i64()?;
        let request_topic = text("requestTopic")?;
        let response_topic = text("responseTopic")?;
        let ours = message.get("protocolVersion")? == 2
            && body.get("deviceType")? == DEVICE_TYPE
            && body.get("macAddress")? == heater.mac.as_str()
            && body.get("additionalValue")? == ADDITIONAL_VALUE
            && request_topic == topic
            && !response_topic.contains(['#', '+']);
        if !ours {
            return None;
        }
        Some(Self {
            suffix,
            command,
            body,
            client: text("clientID")?,
            session: text("sessionID")?,
            request_topic,
            response_topic,
        })
    }

    /// Reads an array of whole numbers, or returns `None` if it is anything else.
    pub(super) fn numbers(&self, name: &str) -> Option<Vec<i64>> {
        self.body.get(name)?.as_array()?.iter().map(Value::as_i64).collect()
    }
}

impl SimulatedHeater {
    /// Returns the answers to a request, none if the heater has none.
    pub(super) fn answer(&mut self, request: &HeaterRequest, wall: SystemTime) -> Vec<Publish> {
        if request.suffix == "ctrl" && super::controls::too_soon(self, request.command, wall) {
            let topic = format!("cmd/{DEVICE_TYPE}/navilink-{}/res/ctrl-fail", self.mac);
            return vec![self.respond(request, topic, json!({ "failCode": 2 }))];
        }
        let data = match request.suffix.as_str() {
            "ctrl" => super::controls::control(self, request, wall),
            "ctrl/rsv/rd" => super::controls::write_reservations(self, request),
            "ctrl/tou/rd" => super::controls::write_tou(self, request),
            "ctrl/recirc-rsv/rd" => super::controls::write_recirculation(self, request),
            "ctrl/commit-ota" => super::controls::commit_firmware(self, request),
            _ => self.query(request),
        };
        let Some(data) = data else { return Vec::new() };
        let mut answers = vec![self.respond(request, request.response_topic.clone(), data)];
        if let Some(client) = request.response_topic.strip_suffix("/rsv/rd").filter(|_| request.suffix == "st/rsv/rd") {
            // The same once more, in hexadecimal, on a topic of its own.
            let hex = json!({
                "reservationUse": self.reservations.reservation_use(),
                "reservation": self.reservations.hex(),
            });
            answers.push(self.respond(request, format!("{client}/rsv"), hex));
        }
        answers
    }

    /// Returns a status in the envelope of a heater that was not asked.
    pub(super) fn unasked_status(&self) -> Publish {
        let topic = format!("cmd/{DEVICE_TYPE}/navilink-{}/res", self.mac);
        let own = HeaterRequest {
            suffix: String::new(),
            command: STATUS,
            body: Value::Null,
            client: format!("navilink-{}", self.mac),
            session: String::new(),
            request_topic: format!("cmd/{DEVICE_TYPE}/navilink-{}/st", self.mac),
            response_topic: topic.clone(),
        };
        self.respond(&own, topic, json!({ "status": super::status::status(self) }))
    }

    fn respond(&self, request: &HeaterRequest, topic: String, data: Value) -> Publish {
        let mut response = Map::new();
        response.insert("command".into(), request.command.into());
        response.insert("deviceType".into(), DEVICE_TYPE.into());
        response.insert("macAddress".into(), self.mac.as_str().into());
        response.insert("additionalValue".into(), ADDITIONAL_VALUE.into());
        if let Value::Object(data) = data {
            response.extend(data);
        }
        // A real heater answers with its own id and with a session of its own, in seconds.
        let (client, session) = match self.echoes {
            true => (request.client.clone(), request.session.clone()),
            false => (format!("navilink-{}", self.mac), "1795665768".to_owned()),
        };
        let message = json!({
            "clientID": client,
            "sessionID": session,
            "protocolVersion": 2,
            "requestTopic": request.request_topic,
            "responseTopic": request.response_topic,
            "response": response,
        });
        Publish { topic, payload: message.to_string().into_bytes() }
    }

    fn query(&self, request: &HeaterRequest) -> Option<Value> {
        match (request.suffix.as_str(), request.command) {
            ("st", STATUS) => Some(json!({ "status": super::status::status(self) })),
            ("st/did", INFORMATION) => Some(json!({ "feature": super::feature::feature(self) })),
            ("st/rsv/rd", RESERVATIONS) => Some(super::controls::schedule_json(&self.reservations)),
            ("st/energy-usage-daily-query/rd", ENERGY_DAILY) => self.energy_daily(request),
            ("st/energy-usage-monthly-query/rd", ENERGY_MONTHLY) => self.energy_monthly(request),
            ("st/dl-sw-info", DOWNLOADS) => Some(self.downloads()),
            ("st/td/rd", DIAGNOSTICS) => Some(self.diagnostics()),
            ("st/recirc-rsv/rd", RECIRCULATION) if super::feature::fitted(self, "recirculationUse") => {
                Some(super::controls::schedule_json(&self.recirculations))
            }
            _ => None,
        }
    }

    fn energy_daily(&self, request: &HeaterRequest) -> Option<Value> {
        let year = request.body.get("year")?.as_i64().filter(is_year)?;
        let months = request.numbers("month").filter(|m| m.len() <= 12 && m.iter().all(|n| (1..=12).contains(n)))?;
        Some(self.meter.daily(year, &months))
    }

    fn energy_monthly(&self, request: &HeaterRequest) -> Option<Value> {
        let years = request.numbers("year").filter(|y| y.len() <= 12 && y.iter().all(is_year))?;
        Some(self.meter.monthly(&years))
    }

    fn downloads(&self) -> Value {
        let waiting: Vec<Value> = self
            .software
            .iter()
            .filter(|software| software.downloaded != software.version)
            .map(|s| json!({ "swCode": s.kind, "otaMode": 1, "swVersion": s.downloaded, "status": 2 }))
            .collect();
        json!({ "downloadSwInfo": waiting })
    }

    /// The counters by the names that real heaters use; numbers that change with the heater's state.
    fn diagnostics(&self) -> Value {
        let tank = &self.tank;
        let hours = tank.fan_hours as i64;
        let used = self.meter.life();
        json!({
            "typeOfTD": 2,
            "data": {
                "tsData": {
                    "cumulatedPwrHp": used["hpUsage"], "cumulatedPwrHe": used["heUsage"], "daysSinceInstallation": 400,
                    "cumulatedOccNumEco": 0, "cumulatedOccNumDryFire": 0, "numOffRostProtectBurn": 0,
                    "cumulatedOccNumConOvrFlow": 0, "cumulatedOccNumWtrOvrFlow": 0, "cumulatedOpTimeDrShed": 0,
                    "cumulatedOpTimeDrLoadUp": 0, "cumulatedOpTimeDrAdvLoadUp": 0, "cumulatedOpTimeDrCpp": 0,
                    "cumulatedOpTimeDrGridEmg": 0, "cumulatedOccNumAbDisTmp": 0, "cumulatedOccNumHpo": 0,
                    "cumulatedOccNumAbSucTmp": 0, "cumulatedOccNumAbDisSucTmp": 0,
                },
                "tdData": {
                    "numOfdhwUse": tank.drawn as i64 / 20, "dhwUseTotalFlow": tank.drawn as i64, "dhwUseTotalTime": hours / 4,
                    "numOfLongDhwUse": 3, "longDhwUseTotalFlow": 180, "longDhwUseTotalTime": 1, "numOfShortDhwUse": 12,
                    "avrageRecoveryTime": 95,
                },
                "taData": {
                    "cumulatedOpTimeComp": used["hpTime"], "cumulatedOpNumComp": 640, "cumulatedOpTimeEvaFan": hours,
                    "cumulatedOpNumEvaFan": 655, "cumulatedOpTimeUhe": used["heTime"], "cumulatedOpNumUhe": 41,
                    "cumulatedOpTimeLhe": 12, "cumulatedOpNumLhe": 15, "cumulatedOpStepEev": 91_000,
                    "cumulatedOpNumShutOffVv": 1, "mixingValveOpTotalStep": 0, "mixingValveOpAvgMixinGrate": 0,
                    "cumulatedOpNumRecircPump": 0, "cumulatedOpTimeRecircPump": 0, "cumulatedOpTimeInvComp1": 0,
                    "cumulatedOpTimeInvComp2": 0, "cumulatedOpTimeInvComp3": 0, "cumulatedOpTimeInvComp4": 0,
                },
                "tcData": {},
            },
        })
    }
}

fn is_year(year: &i64) -> bool {
    (1970..=9999).contains(year)
}
