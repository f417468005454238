//! A placeholder of the simulated heater: it answers the status query only.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// How a simulated heater misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeaterFault {
    /// Connected and answering.
    #[default]
    Online,
    /// Not connected to the cloud: no answers, and the device list says so.
    Offline,
    /// Connected by the device list, but mute.
    Silent,
    /// Answers only after a while.
    Slow(Duration),
}

/// A message that a heater publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
}

/// One simulated heater.
#[derive(Debug, Clone)]
pub struct Heater {
    index: usize,
    mac: String,
    fault: HeaterFault,
    late: Vec<(Duration, Publish)>,
}

impl Heater {
    /// Makes heater number `index`.
    pub fn new(index: usize, _seed: u64) -> Self {
        let mac = format!("{:012x}", 0x0478_6332_fca0_u64 + index as u64);
        Self { index, mac, fault: HeaterFault::Online, late: Vec::new() }
    }

    /// Returns its element of the device list.
    pub fn device_list_entry(&self) -> Value {
        let connected = if self.fault == HeaterFault::Offline { 1 } else { 2 };
        json!({
            "deviceInfo": {"homeSeq": 25004 + self.index, "macAddress": self.mac, "additionalValue": "5322",
                "deviceType": 52, "deviceName": "NWP500", "connected": connected, "installType": "R"},
            "location": {"state": null, "city": null, "address": null},
        })
    }

    /// Returns the `data` of `GET /device/tou`.
    pub fn tou(&self) -> Value {
        json!({"registerPath": "wifi", "sourceType": "openei", "touInfo": {"name": "", "schedule": []}})
    }

    /// Returns the `data` of `POST /device/firmware/info`.
    pub fn firmware_info(&self) -> Value {
        json!({"firmwares": []})
    }

    /// Returns the `data` of `POST /device/error/list`.
    pub fn error_list(&self) -> Value {
        json!([])
    }

    /// Returns the MAC address, 12 hex digits.
    pub fn mac(&self) -> &str {
        &self.mac
    }

    /// Returns the device type.
    pub fn device_type(&self) -> u32 {
        52
    }

    /// Answers a message on `cmd/<type>/navilink-<mac>/…`.
    pub fn handle(&mut self, topic: &str, payload: &[u8], _wall: SystemTime) -> Vec<Publish> {
        if matches!(self.fault, HeaterFault::Offline | HeaterFault::Silent) || !topic.ends_with("/st") {
            return Vec::new();
        }
        let Ok(message) = serde_json::from_slice::<Value>(payload) else { return Vec::new() };
        if message["request"]["command"] != 16_777_219 {
            return Vec::new();
        }
        let Some(response_topic) = message["responseTopic"].as_str() else { return Vec::new() };
        let answer = self.status(response_topic, message["clientID"].as_str().unwrap_or(""));
        match self.fault {
            HeaterFault::Slow(by) => {
                self.late.push((by, answer));
                Vec::new()
            }
            _ => vec![answer],
        }
    }

    /// Lets time pass and returns what the heater says by itself.
    pub fn advance(&mut self, elapsed: Duration, _wall: SystemTime) -> Vec<Publish> {
        for (left, _) in &mut self.late {
            *left = left.saturating_sub(elapsed);
        }
        self.late.extract_if(.., |(left, _)| left.is_zero()).map(|(_, publish)| publish).collect()
    }

    /// Sets how it misbehaves.
    pub fn set_fault(&mut self, fault: HeaterFault) {
        self.fault = fault;
    }

    fn status(&self, topic: &str, client: &str) -> Publish {
        let body = json!({"clientID": client, "protocolVersion": 2, "response": {
            "command": 16_777_219, "deviceType": 52, "macAddress": self.mac, "additionalValue": "5322",
            "status": {"command": 67_108_883, "operationMode": 32, "dhwTemperature": 98}}});
        Publish { topic: topic.to_owned(), payload: body.to_string().into_bytes() }
    }
}
