//! The account's device list: which heaters there are, and when one that it leaves out is gone.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::heater::Held;
use super::{Bridge, Effect, topics};
use crate::model::{Mac, Moment};
use crate::navilink::devices::{DeviceList, Heater};
use crate::navilink::request::Query;
use crate::navilink::topics as cloud_topics;

/// A heater that was missing from complete lists for so long, in seconds, is removed.
const GONE_AFTER: u64 = 24 * 3600;
/// But not after fewer lists.
const GONE_AFTER_LISTS: u32 = 3;

/// For how long a heater has been missing from complete device lists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    seconds: u64,
    lists: u32,
    /// When the newest of them came; time during which the process did not run is not counted.
    #[serde(skip)]
    counted_at: Option<Instant>,
}

impl Missing {
    fn count(&mut self, now: Instant) {
        let since = self.counted_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.seconds += since.as_secs();
        self.lists = self.lists.saturating_add(1);
        self.counted_at = Some(now);
    }

    fn is_gone(&self) -> bool {
        self.seconds >= GONE_AFTER && self.lists >= GONE_AFTER_LISTS
    }
}

impl Bridge {
    /// Takes the account's device list. New heaters appear as unavailable. One that the list leaves out stays, and is
    /// unavailable unless it answers; it is removed when complete lists have left it out for a day.
    pub fn set_heaters(&mut self, list: &DeviceList, moment: Moment) {
        self.listing.taken(moment.now, self.settings.intervals.information);
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            if list.heaters.iter().any(|heater| heater.mac == mac) {
                if let Some(held) = self.heaters.get_mut(&mac) {
                    held.missing = Missing::default();
                }
            } else if list.is_complete() {
                self.miss(&mac, moment);
            }
        }
        let kept = self.heaters().filter(|held| list.heaters.iter().all(|heater| heater.mac != held.mac)).cloned();
        let all: Vec<Heater> = kept.chain(list.heaters.iter().cloned()).collect();
        let served = self.served(all);
        let gone = self.heaters.keys().filter(|mac| served.iter().all(|heater| heater.mac != **mac)).cloned();
        for mac in gone.collect::<Vec<_>>() {
            self.forget(&mac, "the bridge cannot serve this heater", moment);
        }
        self.take_heaters(served);
        self.keep(moment.now);
        self.renew_session_for_new_heaters();
    }

    /// Returns what a session with the cloud's broker subscribes to; it then serves the heaters that are held now.
    pub fn cloud_filters(&mut self) -> Vec<String> {
        self.subscribed = self.heaters.keys().cloned().collect();
        let heaters: Vec<Heater> = self.heaters().cloned().collect();
        cloud_topics::filters(&heaters, &self.identity.client)
    }

    /// Asks for another session if this one has no subscriptions for some heater.
    pub(super) fn renew_session_for_new_heaters(&mut self) {
        if self.session.is_some() && self.heaters.keys().any(|mac| !self.subscribed.contains(mac)) {
            // Asked for once, whatever becomes of it.
            self.subscribed = self.heaters.keys().cloned().collect();
            self.effects.push_back(Effect::RenewSession);
        }
    }

    /// Takes note that a complete list leaves a heater out.
    fn miss(&mut self, mac: &Mac, moment: Moment) {
        let patience = self.settings.commands.answer_within;
        let Some(held) = self.heaters.get_mut(mac) else { return };
        held.missing.count(moment.now);
        if held.missing.is_gone() {
            let text = format!("Heater {mac} has been missing from the account's device list for a day and is removed");
            self.effects.push_back(Effect::Warn { heater: Some(mac.clone()), text });
            return self.forget(mac, "the heater is not in the account any more", moment);
        }
        if held.missing.lists == 1 {
            let text = format!(
                "Heater {mac} is missing from the account's device list; it is removed when that lasts for a day, or \
                 by the request `forget`"
            );
            self.effects.push_back(Effect::Warn { heater: Some(mac.clone()), text });
        }
        // Only its own answer keeps it available.
        held.freshness.run_out_by(moment.now + patience, self.settings.stale_after);
        if self.session.is_some() {
            self.ask(mac, &Query::Status);
        }
    }

    /// Adds the heaters that are not held yet, and takes over what the account says of the others.
    pub(super) fn take_heaters(&mut self, served: Vec<Heater>) {
        for heater in served {
            let mac = heater.mac.clone();
            match self.heaters.get_mut(&mac) {
                Some(held) => {
                    let changed = held.heater.record != heater.record;
                    held.heater = heater;
                    if changed {
                        self.show_info(&mac);
                    }
                }
                None => {
                    self.heaters.insert(mac.clone(), Held::new(heater, self.settings.units.system(None)));
                    self.set_availability(&mac, false);
                    self.show_info(&mac);
                }
            }
        }
        self.publish_info();
        self.discover_all();
    }

    /// Returns the heaters that one connection to the cloud can serve, the same ones in whatever order they are listed.
    pub(super) fn served(&mut self, mut listed: Vec<Heater>) -> Vec<Heater> {
        listed.sort_by(|one, other| one.mac.cmp(&other.mac));
        let left_out = listed.split_off(cloud_topics::served(&listed, &self.identity.client));
        for Heater { mac, .. } in &left_out {
            self.complain(Some(mac), "left out", || {
                let most = cloud_topics::MOST_FILTERS;
                format!(
                    "Heater {mac} is left out: a connection to the cloud holds {most} subscriptions, too few for all"
                )
            });
        }
        listed
    }

    /// Removes a heater with everything that stands of it on the local broker.
    pub(super) fn forget(&mut self, mac: &Mac, reason: &str, moment: Moment) {
        self.end_commands(mac, reason, moment);
        self.heaters.remove(mac);
        // An earlier run may have left what this one never held.
        for name in topics::OF_DEVICE {
            self.retain(self.settings.topics.device(mac, name), Bytes::new());
        }
        self.undiscover(mac);
        self.publish_info();
        self.keep(moment.now);
    }

    /// Removes the heater that a user names.
    pub(super) fn forget_named(&mut self, name: &str, moment: Moment) -> Result<(), String> {
        let mac: Mac = name.parse().map_err(|error| format!("{error}"))?;
        if !self.heaters.contains_key(&mac) {
            let known: Vec<&str> = self.heaters.keys().map(Mac::as_str).collect();
            return Err(match known.as_slice() {
                [] => "there is no heater".to_owned(),
                known => format!("there is no heater {mac}; there are: {}", known.join(", ")),
            });
        }
        self.forget(&mac, "the heater was forgotten", moment);
        Ok(())
    }

    /// Asks for the device list when that is due.
    pub(super) fn list_on_time(&mut self, now: Instant) {
        if self.session.is_some() && self.listing.take_due(now) {
            // The next turn comes even if this list cannot be read.
            self.listing.taken(now, self.settings.intervals.information);
            self.effects.push_back(Effect::ListHeaters);
        }
    }

    /// Returns the name of a heater that people see.
    pub(super) fn shown_name(&self, heater: &Heater) -> String {
        let given = |heater: &Heater| {
            let configured = self.settings.names.get(&heater.mac).map(String::as_str);
            configured.into_iter().chain([heater.name.as_str()]).find(|name| !name.trim().is_empty()).map(str::to_owned)
        };
        given(heater).unwrap_or_else(|| match self.heaters().filter(|other| given(other).is_none()).count() {
            0 | 1 => "Water heater".to_owned(),
            _ => format!("Water heater {}", &heater.mac.as_str()[8..]),
        })
    }

    pub(super) fn publish_info(&mut self) {
        let devices: Vec<Value> = self
            .heaters()
            .map(|heater| {
                json!({
                    "mac": heater.mac.as_str(),
                    "name": self.shown_name(heater),
                    "device_type": heater.device_type,
                })
            })
            .collect();
        let mut info = self.about.clone();
        info["devices"] = devices.into();
        self.retain_json(self.settings.topics.info(), &info);
    }
}
