//! The heaters of an account: which there are, whose message it is, and what all of them are told.
//!
//! A machine without clock, socket or task; what it decides is drained with [`Home::poll_effect`].

mod bucket;
mod keeping;
mod links;
mod listing;
mod types;
mod warn_once;

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};

use crate::heater::bounded_counter::BoundedCounter;
use crate::heater::{self, Context, Fetches, Heater, Input};
use crate::model::{Mac, Message, Moment};
use crate::navilink::devices::Device;
use crate::navilink::message::{self, Body};
use crate::navilink::request::{Query, presence};
use crate::navilink::session::{ClientId, Identity};

use keeping::Keeping;
pub use keeping::Memories;
use links::Links;
pub use listing::not_yet;
pub use types::{Effect, HomeCounts, HomeSettings, Verdict};
pub use warn_once::WarnOnce;

/// The heaters of an account.
#[derive(Debug)]
pub struct Home {
    settings: HomeSettings,
    heaters: BTreeMap<Mac, Heater>,
    /// How they are reached.
    links: Links,
    effects: VecDeque<Effect>,
    warnings: WarnOnce,
    /// The cloud's messages by what they say.
    messages: BoundedCounter,
    /// When every heater was asked for everything on request.
    refreshed_at: Option<Instant>,
    keeping: Keeping,
    /// When the account's device list was asked for, and when it is due again.
    listing: Fetches,
}

impl Home {
    /// Begins with the heaters that an earlier run knew; all of them are unavailable, and those that are not chosen any
    /// more are taken back.
    pub fn new(settings: HomeSettings, identity: Identity, known: &[Device]) -> Self {
        let (known, unchosen): (Vec<_>, Vec<_>) =
            known.iter().cloned().partition(|device| settings.choice.includes(&device.mac));
        let mut home = Self {
            settings,
            heaters: BTreeMap::new(),
            links: Links::new(identity),
            effects: VecDeque::new(),
            warnings: WarnOnce::default(),
            messages: BoundedCounter::default(),
            refreshed_at: None,
            keeping: Keeping::default(),
            listing: Fetches::default(),
        };
        let served = home.served(known);
        served.into_iter().for_each(|device| home.add(device, None));
        home.effects.extend(unchosen.into_iter().map(|device| Effect::Removed(device.mac)));
        home.effects.push_back(Effect::Listed);
        // The account's own list comes later, and only what is wrong with that is said.
        home.warnings = WarnOnce::default();
        home.effects.retain(|effect| !matches!(effect, Effect::Warn { .. }));
        home
    }

    /// Returns what is to be done next.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Returns the heaters as devices of the account, in the order of their addresses.
    pub fn heaters(&self) -> impl Iterator<Item = &Device> {
        self.heaters.values().map(Heater::device)
    }

    /// Returns a heater.
    pub fn heater(&self, mac: &Mac) -> Option<&Heater> {
        self.heaters.get(mac)
    }

    /// Returns the addresses of all heaters.
    pub fn macs(&self) -> Vec<Mac> {
        self.heaters.keys().cloned().collect()
    }

    /// Takes a message that came over a link.
    ///
    /// A retained one was said some time before, by whoever, and is no word of the heater: it is shown where nothing
    /// is known yet, and makes nothing available, live or confirmed.
    pub fn cloud_message(&mut self, link: usize, published: &Message, moment: Moment) -> Verdict {
        let Message { topic, payload, retained } = published;
        let message = match message::read(topic, payload) {
            Ok(message) => message,
            Err(error) => {
                self.messages.count("unreadable");
                self.warn(None, "unreadable", || format!("A message on {topic} cannot be read: {error}"));
                return Verdict::Heard;
            }
        };
        self.messages.count(kind(&message.body));
        if message.repaired {
            self.warn(None, "repaired", || {
                format!("A message on {topic} had values that JSON does not allow; only they are lost")
            });
        }
        if matches!(message.body, Body::Request | Body::Presence) {
            return Verdict::Heard;
        }
        let Some(mac) = self.sender(link, message.mac.as_ref()) else {
            self.warn(None, "foreign", || format!("A message on {topic} is of no heater of this account"));
            return Verdict::Heard;
        };
        if *retained {
            self.messages.count("retained");
            self.tell(&mac, Input::Retained(&message.body), moment);
            return Verdict::Heard;
        }
        self.tell(&mac, Input::Message { topic, message }, moment);
        self.plan_to_keep(&mac, moment.now);
        Verdict::Answered
    }

    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, kept: Memories) {
        for (mac, memory) in &kept {
            if let Some(heater) = self.heaters.get_mut(mac) {
                heater.restore(memory, &self.settings.heater);
                self.drain(mac);
            }
        }
        self.keeping.restore(kept);
    }

    /// Returns what is to be kept of all heaters.
    pub fn memories(&self) -> Memories {
        self.heaters.iter().map(|(mac, heater)| (mac.clone(), Heater::memory(heater))).collect()
    }

    /// Takes the answer of the REST API about a heater's time-of-use schedule.
    pub fn tou_fetched(&mut self, mac: &Mac, data: &Value, moment: Moment) {
        if let Some(data) = data.as_object() {
            self.tell(mac, Input::TouFetched(data), moment);
        }
    }

    /// Takes a `set` for a heater; returns whether there is one.
    pub fn set(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) -> bool {
        self.tell(mac, Input::Set { name, payload }, moment);
        self.plan_to_keep(mac, moment.now);
        self.heaters.contains_key(mac)
    }

    /// Takes a `get` for a heater.
    ///
    /// # Errors
    ///
    /// Says why it cannot be asked for now.
    pub fn get(&mut self, mac: &Mac, name: &str, moment: Moment) -> Result<(), &'static str> {
        let outcome = self.with(mac, moment, |heater, context| heater.get(name, context));
        outcome.ok_or("names no heater of this account")?
    }

    /// Lets requests repeat on a link from now on.
    pub fn start_periodic(&mut self, link: usize) {
        self.links.get_mut(link).periodic = true;
    }

    /// Ends the repetition of requests on a link.
    pub fn stop_periodic(&mut self, link: usize) {
        self.links.get_mut(link).periodic = false;
    }

    /// A link has a session: announces our presence and asks its heaters for everything.
    pub fn session_begun(&mut self, link: usize, moment: Moment) {
        self.links.get_mut(link).session = Some(moment.now);
        self.tell_all_of(link, || Input::SessionBegun, moment);
        let identity = &self.links.get(link).identity;
        let messages: Vec<Message> = self.devices_of(link).map(|device| presence(device, identity, true)).collect();
        messages.into_iter().for_each(|message| self.links.get_mut(link).to_cloud.push_urgent((message, false)));
        self.send(link, moment.now);
        self.renew_sessions_for_new_heaters();
    }

    /// The session of a link is gone: nothing is asked any more, and freshness runs out by itself.
    pub fn session_ended(&mut self, link: usize, moment: Moment) {
        self.links.get_mut(link).session = None;
        self.tell_all_of(link, || Input::SessionOver, moment);
        self.links.get_mut(link).to_cloud.clear();
    }

    /// Makes every heater of a link unavailable at once: nothing will come any more.
    pub fn give_up(&mut self, link: usize, moment: Moment) {
        self.tell_all_of(link, || Input::Lost, moment);
    }

    /// Ends all commands for this reason, and makes every heater unavailable.
    pub fn stop(&mut self, reason: &str, moment: Moment) {
        for mac in self.macs() {
            self.tell(&mac, Input::Ended(reason), moment);
            self.tell(&mac, Input::Lost, moment);
        }
    }

    /// Returns what says goodbye to the cloud, before the session of a link is closed.
    pub fn closing_messages_to_cloud(&self, link: usize) -> Vec<Message> {
        let identity = &self.links.get(link).identity;
        let goodbye = |device| [Query::EndOfSession.message(device, identity), presence(device, identity, false)];
        self.devices_of(link).flat_map(goodbye).collect()
    }

    /// Returns the last will of a link's session with the cloud: a connection has one, so it is that of its first heater.
    pub fn cloud_will(&self, link: usize) -> Option<Message> {
        Some(presence(self.devices_of(link).next()?, &self.links.get(link).identity, false))
    }

    /// Returns whether a link has heaters.
    pub fn serves_over(&self, link: usize) -> bool {
        !self.links.get(link).heaters().is_empty()
    }

    /// Returns who we are on a link.
    pub fn cloud_client(&self, link: usize) -> &ClientId {
        &self.links.get(link).identity.client
    }

    /// Returns when [`Home::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let heaters =
            self.timeouts().map(|(_, due)| due).chain(self.links.iter().filter_map(|link| link.to_cloud.due()));
        let listing = self.listing.due().filter(|_| self.links.have_session());
        heaters.chain(listing).chain(self.keeping.due()).min()
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, moment: Moment) {
        if self.keeping.take_due(moment.now) {
            self.keep(moment.now);
        }
        for mac in self.due(moment.now) {
            self.with(&mac, moment, Heater::handle_timeout);
            self.plan_to_keep(&mac, moment.now);
        }
        for link in 0..self.links.iter().count() {
            self.send(link, moment.now);
        }
        self.handle_list_timeout(moment.now);
    }

    /// Returns what has been seen so far, for the diagnostics.
    pub fn diagnostics(&self, moment: Moment) -> Value {
        let stale_after = self.settings.heater.stale_after;
        let heaters = self.heaters.values().map(|heater| heater.diagnostics(stale_after, moment.now));
        json!({
            "heaters": heaters.collect::<Value>(),
            "messages": self.messages.show(),
            "complaints": self.warnings.show(),
        })
    }

    /// Returns how often something was odd, and how much waits.
    pub fn counts(&self) -> HomeCounts {
        HomeCounts {
            complaints: self.warnings.total(),
            unknown_fields: self.heaters.values().map(Heater::unknown_fields).sum(),
            queued: self.heaters.values().map(Heater::queued).sum(),
        }
    }

    /// Returns when each heater wants to be called.
    fn timeouts(&self) -> impl Iterator<Item = (&Mac, Instant)> {
        let settings = &self.settings.heater;
        self.links.iter().flat_map(move |link| {
            let due = move |(index, mac)| {
                let heater = self.heaters.get(mac)?;
                Some((mac, heater.poll_timeout(settings, link.session_of(index))?))
            };
            link.heaters().iter().enumerate().filter_map(due)
        })
    }

    fn due(&self, now: Instant) -> Vec<Mac> {
        self.timeouts().filter(|(_, due)| *due <= now).map(|(mac, _)| mac.clone()).collect()
    }

    fn plan_to_keep(&mut self, mac: &Mac, now: Instant) {
        if let Some(heater) = self.heaters.get(mac) {
            self.keeping.plan(mac, &heater.memory(), self.heaters.len(), now);
        }
    }

    /// Lets everything be kept now.
    fn keep(&mut self, now: Instant) {
        self.keeping.note(self.memories(), now);
        self.effects.push_back(Effect::Keep);
    }

    /// Returns whose message it is, of the heaters of a link; one that does not say so is that of the only heater.
    fn sender(&self, link: usize, named: Option<&Mac>) -> Option<Mac> {
        match (named, self.links.get(link).heaters()) {
            (Some(mac), heaters) => heaters.binary_search(mac).is_ok().then(|| mac.clone()),
            (None, [only]) => Some(only.clone()),
            (None, _) => None,
        }
    }

    fn devices_of(&self, link: usize) -> impl Iterator<Item = &Device> {
        self.links.get(link).heaters().iter().filter_map(|mac| self.heaters.get(mac)).map(Heater::device)
    }

    /// Tells a heater what happened, and carries out what it decides.
    fn tell(&mut self, mac: &Mac, input: Input<'_>, moment: Moment) {
        self.with(mac, moment, |heater, context| heater.handle(input, context));
    }

    /// Tells every heater of a link what happened.
    fn tell_all_of<'i>(&mut self, link: usize, input: impl Fn() -> Input<'i>, moment: Moment) {
        for mac in self.links.get(link).heaters().to_vec() {
            self.tell(&mac, input(), moment);
        }
    }

    /// Calls a heater in the context of this moment, and carries out what it decides; `None` when there is no such
    /// heater.
    fn with<T>(&mut self, mac: &Mac, moment: Moment, call: impl FnOnce(&mut Heater, &Context<'_>) -> T) -> Option<T> {
        let queued = self.heaters.values().map(Heater::queued).sum();
        let place = self.links.of(mac);
        let number = place.map_or(0, |(number, _)| number);
        let link = self.links.get(number);
        let session = place.and_then(|(_, index)| link.session_of(index));
        let heater = self.heaters.get_mut(mac)?;
        let (settings, identity) = (&self.settings.heater, &link.identity);
        let outcome = call(heater, &Context { settings, identity, moment, session, queued });
        self.drain(mac);
        self.send(number, moment.now);
        Some(outcome)
    }

    /// Lets leave what may; without a session nothing can, and nothing is kept for the next one.
    fn send(&mut self, number: usize, now: Instant) {
        let link = self.links.get_mut(number);
        if link.session.is_none() {
            link.to_cloud.clear();
        }
        while let Some((message, answered)) = link.to_cloud.take(now) {
            self.effects.push_back(Effect::Request { link: number, message, answered });
        }
    }

    /// Carries out what one heater has decided.
    fn drain(&mut self, mac: &Mac) {
        while let Some(effect) = self.heaters.get_mut(mac).and_then(Heater::poll_effect) {
            let effect = match effect {
                heater::Effect::Send { message, answered, urgent } => {
                    let to_cloud = self.links.of(mac).map(|(link, _)| &mut self.links.get_mut(link).to_cloud);
                    match (to_cloud, urgent) {
                        (Some(to_cloud), true) => to_cloud.push_urgent((message, answered)),
                        (Some(to_cloud), false) => to_cloud.push((message, answered)),
                        (None, _) => {}
                    }
                    continue;
                }
                heater::Effect::FetchTou { controller_serial } => {
                    Effect::FetchTou { mac: mac.clone(), controller_serial }
                }
                heater::Effect::Warn { kind, text } => {
                    self.warn(Some(mac), &kind, || text);
                    continue;
                }
                heater::Effect::Changed(change) => Effect::Changed(mac.clone(), change),
            };
            self.effects.push_back(effect);
        }
    }

    fn warn(&mut self, heater: Option<&Mac>, kind: &str, text: impl FnOnce() -> String) {
        if self.warnings.count(heater, kind) {
            self.effects.push_back(Effect::Warn { heater: heater.cloned(), text: text() });
        }
    }
}

/// Names what a message of the cloud says, for the counters.
fn kind(body: &Body) -> &'static str {
    match body {
        Body::Request => "request",
        Body::Presence => "presence",
        Body::Status(_) => "status",
        Body::Feature(_) => "info",
        Body::EnergyHourly(_) => "energy_hourly",
        Body::EnergyDaily(_) => "energy_daily",
        Body::EnergyMonthly(_) => "energy_monthly",
        Body::Reservations(_) => "reservations",
        Body::Recirculation(_) => "recirculation",
        Body::Tou(_) => "tou",
        Body::Diagnostics(_) => "diagnostics",
        Body::Firmware(_) => "firmware",
        Body::ControlRefused { .. } => "control_refused",
        Body::FirmwareCommitted => "firmware_committed",
        Body::Other => "other",
    }
}
