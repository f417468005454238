//! What is asked for on the local broker (contract, section 4).

use serde_json::Value;

use super::Bridge;
use super::administration::{Order, value as named};
use super::topics::Request;
use crate::heater::Input;
use crate::heater::commands::Report;
use crate::model::{Mac, Moment};

/// The largest payload that is looked at, in bytes.
const MAX_PAYLOAD: usize = 64 * 1024;
/// The requests to the bridge.
const REQUESTS: [&str; 6] = ["reconnect", "refresh", "log_level", "diagnostics", "restart", "forget"];

impl Bridge {
    /// Takes a message of the local broker. A retained one is never obeyed.
    pub fn local_message(&mut self, topic: &str, payload: &[u8], retained: bool, moment: Moment) {
        if self.is_birth(topic) {
            return self.hear_birth(payload, retained, moment.now);
        }
        let topics = self.settings.topics.clone();
        let Some(request) = topics.parse(topic) else { return };
        if retained {
            self.complain(None, &format!("retained {topic}"), || {
                format!("A retained message on {topic} is not obeyed; send it without the retain flag, and clear it")
            });
            return;
        }
        match request {
            Request::Bridge(name) => self.administer(name, payload, moment),
            Request::Set(mac, name) => self.set(&mac, name, payload, moment),
            Request::Get(mac, name) => {
                if let Err(error) = self.get(&mac, name, payload, moment) {
                    self.complain(None, &format!("get {name} {mac}"), || format!("The message on {topic} {error}"));
                }
            }
        }
    }

    fn administer(&mut self, name: &str, payload: &[u8], moment: Moment) {
        let id = serde_json::from_slice::<Value>(&payload[..payload.len().min(MAX_PAYLOAD)])
            .ok()
            .and_then(|request| request.get("id").cloned());
        if let Some(order) = Order::read(name, payload).filter(|_| payload.len() <= MAX_PAYLOAD) {
            if order == Order::Reconnect {
                self.listing.wish(moment.now);
            }
            self.effects.push_back(super::Effect::Administer { order, id });
            return;
        }
        let outcome = match name {
            _ if payload.len() > MAX_PAYLOAD => Err(format!("the payload is larger than {MAX_PAYLOAD} bytes")),
            "forget" => self.forget_named(&named(payload), moment),
            "refresh" if self.session.is_none() => {
                Err("there is no session with the cloud; everything is asked for when there is one".to_owned())
            }
            "refresh" => {
                self.poll_now(moment.now);
                Ok(())
            }
            _ => Err(format!("there is no such request; there are: {}", REQUESTS.join(", "))),
        };
        self.respond(name, id, outcome.map(|()| Value::Null));
    }

    fn get(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) -> Result<(), String> {
        if payload.len() > MAX_PAYLOAD {
            return Err(format!("is larger than {MAX_PAYLOAD} bytes"));
        }
        let outcome = self.with(mac, moment, |heater, context| heater.get(name, context));
        Ok(outcome.ok_or("names no heater of this account")??)
    }

    fn set(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) {
        if self.heaters.contains_key(mac) {
            self.tell(mac, Input::Set { name, payload }, moment);
        } else if !payload.is_empty() {
            let report = Report::rejected(name, payload, "there is no such heater in this account", moment.wall);
            self.report(mac, report);
        }
    }
}
