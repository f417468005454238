//! What is asked for on the local broker (contract, section 4).

use serde_json::Value;

use super::Bridge;
use super::administration::{Order, value as named};
use crate::heater::Change;
use crate::heater::commands::Report;
use crate::model::{Mac, Moment, REQUESTS};
use crate::outputs::mqtt::topics::Request;

/// The largest payload that is read, in bytes.
const MAX_PAYLOAD: usize = 64 * 1024;
/// The longest name that is read, in bytes; no known one is nearly as long.
const MAX_NAME: usize = 64;

impl Bridge {
    /// Takes a message of the local broker. A retained one is never obeyed.
    pub fn local_message(&mut self, topic: &str, payload: &[u8], retained: bool, moment: Moment) {
        if self.home_assistant.birth_topics().contains(topic) {
            return self.home_assistant.hear_birth(payload, retained, moment.now);
        }
        if self.mqtt.hear_own(topic, payload, moment.now) {
            return;
        }
        let topics = self.mqtt.topics().clone();
        let Some(request) = topics.parse(topic) else { return };
        if request.name().len() > MAX_NAME {
            return self.refuse_name(&request, payload, retained, moment);
        }
        if retained {
            self.warn(&format!("retained {topic}"), || {
                format!("A retained message on {topic} is not obeyed; send it without the retain flag, and clear it")
            });
            return;
        }
        match request {
            Request::Bridge(name) => self.administer(name, payload, moment),
            Request::Set(mac, name) => self.set(&mac, name, payload, moment),
            Request::Get(mac, name) => {
                if let Err(error) = self.get(&mac, name, payload, moment) {
                    self.warn(&format!("get {error}"), || format!("The message on {topic} {error}"));
                }
            }
        }
        self.drain();
    }

    /// Refuses a name that is too long, and repeats only its beginning.
    fn refuse_name(&mut self, request: &Request<'_>, payload: &[u8], retained: bool, moment: Moment) {
        let name = request.name();
        let start = &name[..name.floor_char_boundary(MAX_NAME)];
        match request {
            Request::Set(mac, _) if !retained && !payload.is_empty() => {
                let reason = format!("its name is longer than {MAX_NAME} bytes");
                let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
                let report = Report::rejected(start, payload, &reason, moment.wall);
                self.show(mac, &Change::Command(report));
            }
            Request::Set(..) | Request::Get(..) | Request::Bridge(_) => {
                self.warn("long name", || {
                    format!("A name on the local broker is longer than {MAX_NAME} bytes: {start}…")
                });
            }
        }
    }

    fn administer(&mut self, name: &str, payload: &[u8], moment: Moment) {
        let id = serde_json::from_slice::<Value>(&payload[..payload.len().min(MAX_PAYLOAD)])
            .ok()
            .and_then(|request| request.get("id").cloned());
        if REQUESTS.contains(&name) && !self.allow.contains(&name) {
            return self.respond(name, id, Err(format!("administration.allow does not name {name}")));
        }
        if let Some(order) = Order::read(name, payload).filter(|_| payload.len() <= MAX_PAYLOAD) {
            if order == Order::Reconnect {
                self.home.relist(moment.now);
            }
            self.effects.push_back(super::Effect::Administer { order, id });
            return;
        }
        let outcome = match name {
            _ if payload.len() > MAX_PAYLOAD => Err(format!("the payload is larger than {MAX_PAYLOAD} bytes")),
            "forget" => self.home.forget_named(&named(payload), moment),
            "refresh" => self.home.refresh(moment.now),
            _ => Err(format!("there is no such request; there are: {}", REQUESTS.join(", "))),
        };
        self.respond(name, id, outcome.map(|()| Value::Null));
    }

    fn get(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) -> Result<(), String> {
        if payload.len() > MAX_PAYLOAD {
            return Err(format!("is larger than {MAX_PAYLOAD} bytes"));
        }
        Ok(self.home.get(mac, name, moment)?)
    }

    fn set(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) {
        if !self.home.set(mac, name, payload, moment) && !payload.is_empty() {
            let report = Report::rejected(name, payload, "there is no such heater in this account", moment.wall);
            self.show(mac, &Change::Command(report));
        }
    }
}
