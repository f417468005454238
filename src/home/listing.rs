//! The account's device list: which heaters there are, and when one that it leaves out is gone.

use std::time::{Duration, Instant};

use super::{Effect, Home};
use crate::heater::{Heater, Input};
use crate::model::{Mac, Moment};
use crate::navilink::devices::{Device, DeviceList};
use crate::navilink::topics as cloud_topics;

/// Between two requests to ask every heater for everything.
const REFRESHES_APART: Duration = Duration::from_secs(5);

/// Says how long a request to the bridge has to wait.
pub fn not_yet(wait: Duration) -> String {
    format!("not yet: ask again in {} s", wait.as_millis().div_ceil(1000))
}

impl Home {
    /// Asks every heater for everything, and the account for its heaters.
    ///
    /// # Errors
    ///
    /// When there is no session, or within five seconds of another request.
    pub fn refresh(&mut self, now: Instant) -> Result<(), String> {
        if !self.links.have_session() {
            return Err("there is no session with the cloud; everything is asked for when there is one".to_owned());
        }
        if let Some(at) = self.refreshed_at.map(|at| at + REFRESHES_APART).filter(|at| *at > now) {
            return Err(not_yet(at.saturating_duration_since(now)));
        }
        self.refreshed_at = Some(now);
        self.relist(now);
        self.heaters.values_mut().for_each(|heater| heater.poll_now(now));
        Ok(())
    }

    /// Lets the device list be asked for as soon as that is allowed.
    pub fn relist(&mut self, now: Instant) {
        self.listing.wish(now);
    }

    /// Takes the account's device list, as far as its heaters are chosen. New heaters appear as unavailable. One that the
    /// list leaves out stays, and is unavailable unless it answers; it is removed when complete lists have left it out for
    /// a day.
    pub fn set_heaters(&mut self, list: &DeviceList, moment: Moment) {
        self.listing.taken(moment.now, self.settings.heater.intervals.information);
        let listed = |mac: &Mac| list.heaters.iter().any(|device| device.mac == *mac);
        let left_out: Vec<Mac> = self.heaters.keys().filter(|mac| !listed(mac)).cloned().collect();
        for mac in left_out.iter().filter(|_| list.is_complete()) {
            self.miss(mac, moment);
        }
        let kept = self.heaters().filter(|held| !listed(&held.mac)).cloned();
        let chosen = list.heaters.iter().filter(|device| self.settings.choice.includes(&device.mac));
        let all: Vec<Device> = kept.chain(chosen.cloned()).collect();
        let served = self.served(all);
        let gone = self.heaters.keys().filter(|mac| served.iter().all(|device| device.mac != **mac)).cloned();
        for mac in gone.collect::<Vec<_>>() {
            self.forget(&mac, "the bridge cannot serve this heater", moment);
        }
        for device in served {
            match self.heaters.contains_key(&device.mac) {
                true if listed(&device.mac) => self.tell(&device.mac.clone(), Input::Listed(device), moment),
                true => {}
                false => self.add(device, Some(moment)),
            }
        }
        self.effects.push_back(Effect::Listed);
        self.effects.extend(self.links.close().into_iter().map(Effect::CloseLink));
        self.effects.extend(self.links.open().into_iter().map(Effect::OpenLink));
        self.keep(moment.now);
        self.renew_sessions_for_new_heaters();
    }

    /// Returns what a session of a link subscribes to; it then serves the heaters that the link has now.
    pub fn cloud_filters(&mut self, link: usize) -> Vec<String> {
        let heaters: Vec<Device> = self.devices_of(link).cloned().collect();
        let link = self.links.get_mut(link);
        link.subscribed = link.heaters().iter().cloned().collect();
        cloud_topics::filters(&heaters, &link.identity.client)
    }

    /// Asks for other sessions in place of those that have no subscriptions for some heater.
    pub(super) fn renew_sessions_for_new_heaters(&mut self) {
        for number in 0..self.links.iter().count() {
            let link = self.links.get_mut(number);
            if link.lacks_subscriptions() {
                // Asked for once, whatever becomes of it.
                link.subscribed = link.heaters().iter().cloned().collect();
                self.effects.push_back(Effect::RenewSession(number));
            }
        }
    }

    /// Takes note that a complete list leaves a heater out.
    fn miss(&mut self, mac: &Mac, moment: Moment) {
        let before = self.heaters.get(mac).map(Heater::missing).unwrap_or_default();
        self.tell(mac, Input::Missing, moment);
        let warn = |text| Effect::Warn { heater: Some(mac.clone()), text };
        if self.heaters.get(mac).is_some_and(|heater| heater.missing().is_gone()) {
            let text = format!("Heater {mac} has been missing from the account's device list for a day and is removed");
            self.effects.push_back(warn(text));
            self.forget(mac, "the heater is not in the account any more", moment);
        } else if before == Default::default() {
            let text = format!(
                "Heater {mac} is missing from the account's device list; it is removed when that lasts for a day, or \
                 by the request `forget`"
            );
            self.effects.push_back(warn(text));
        }
    }

    /// Adds a heater; it is unavailable. In a session it is asked for everything: one that comes back may have its
    /// subscriptions still.
    pub(super) fn add(&mut self, device: Device, moment: Option<Moment>) {
        let mac = device.mac.clone();
        self.heaters.insert(mac.clone(), Heater::new(device, &self.settings.heater));
        self.drain(&mac);
        let has_session = self.links.of(&mac).is_some_and(|(link, _)| self.links.get(link).session.is_some());
        if let Some(moment) = moment.filter(|_| has_session) {
            self.tell(&mac, Input::SessionBegun, moment);
        }
    }

    /// Gives the heaters links to the cloud, the same ones in whatever order they are listed; returns those that have one.
    pub(super) fn served(&mut self, mut listed: Vec<Device>) -> Vec<Device> {
        listed.sort_by(|one, other| one.mac.cmp(&other.mac));
        let left_out = self.links.assign(&listed);
        for mac in &left_out {
            self.warn(Some(mac), "left out", || {
                format!("Heater {mac} is left out: the account has more than this program connects for")
            });
        }
        listed.retain(|device| !left_out.contains(&device.mac));
        listed
    }

    /// Removes a heater with everything that stands of it on the local broker.
    pub(super) fn forget(&mut self, mac: &Mac, reason: &str, moment: Moment) {
        self.tell(mac, Input::Ended(reason), moment);
        self.heaters.remove(mac);
        self.links.remove(mac);
        self.effects.extend(self.links.close().into_iter().map(Effect::CloseLink));
        self.effects.extend([Effect::Removed(mac.clone()), Effect::Listed]);
        self.keep(moment.now);
    }

    /// Removes the heater that a user names.
    ///
    /// # Errors
    ///
    /// When there is no such heater.
    pub fn forget_named(&mut self, name: &str, moment: Moment) -> Result<(), String> {
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
    pub(super) fn handle_list_timeout(&mut self, now: Instant) {
        if self.links.have_session() && self.listing.take_due(now) {
            // The next turn comes even if this list cannot be read.
            self.listing.taken(now, self.settings.heater.intervals.information);
            self.effects.push_back(Effect::ListHeaters);
        }
    }

    /// Returns the name of a heater that people see.
    pub fn shown_name(&self, heater: &Device) -> String {
        let given = |heater: &Device| {
            let configured = self.settings.names.get(&heater.mac).map(String::as_str);
            configured.into_iter().chain([heater.name.as_str()]).find(|name| !name.trim().is_empty()).map(str::to_owned)
        };
        given(heater).unwrap_or_else(|| match self.heaters().filter(|other| given(other).is_none()).count() {
            0 | 1 => "Water heater".to_owned(),
            _ => format!("Water heater {}", &heater.mac.as_str()[8..]),
        })
    }
}
