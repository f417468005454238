//! What the heaters change, on the local broker.

use serde_json::{Value, json};

use super::{Bridge, Effect};
use crate::heater::commands::Report;
use crate::heater::{self, Change};
use crate::model::Mac;

impl Bridge {
    /// Carries out what one heater has decided.
    pub(super) fn drain(&mut self, mac: &Mac) {
        while let Some(effect) = self.heaters.get_mut(mac).and_then(heater::Heater::poll_effect) {
            match effect {
                heater::Effect::Send { message, answered } => {
                    self.effects.push_back(Effect::Request { message, answered });
                }
                heater::Effect::FetchTou { controller_serial } => {
                    self.effects.push_back(Effect::FetchTou { mac: mac.clone(), controller_serial });
                }
                heater::Effect::Warn { kind, text } => self.complain(Some(mac), &kind, || text),
                heater::Effect::Changed(change) => self.show(mac, change),
            }
        }
    }

    fn show(&mut self, mac: &Mac, change: Change) {
        match change {
            Change::Available(available) => self.set_availability(mac, available),
            Change::Answer(name, answer) => {
                self.retain_json(self.settings.topics.device(mac, name), &Value::Object(answer));
            }
            Change::Event(event) => self.publish_once(self.settings.topics.device(mac, "event"), &event),
            Change::Command(report) => self.report(mac, report),
            Change::Abilities => self.discover(mac),
        }
    }

    /// Publishes the result of a `set`, and tells a human.
    pub(super) fn report(&mut self, mac: &Mac, report: Report) {
        let Report { name, id, status, in_force, reason, at } = report;
        if let Some(status) = status {
            let mut result = json!({ "name": name, "status": status });
            if let Some(id) = id {
                result["id"] = id;
            }
            if !in_force {
                result["in_force"] = false.into();
            }
            if let Some(reason) = &reason {
                result["reason"] = reason.as_str().into();
            }
            result["at"] = humantime::format_rfc3339_seconds(at).to_string().into();
            self.publish_once(self.settings.topics.device(mac, "result"), &result);
        }
        self.effects.push_back(Effect::Command { mac: mac.clone(), name, status: status.unwrap_or("waits"), reason });
    }
}
