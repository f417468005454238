//! The heaters of an account: which there are, whose message it is, and what all of them are told.
//!
//! A machine without clock, socket or task; what it decides is drained with [`Home::poll_effect`].

mod bucket;
mod keeping;
mod listing;
mod warn_once;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use serde_json::{Value, json};

use crate::heater::bounded_counter::BoundedCounter;
use crate::heater::polling::Place;
use crate::heater::{self, Change, Context, Fetches, Heater, Input};
use crate::model::{HeaterChoice, Mac, Message, Moment};
use crate::navilink::devices::Device;
use crate::navilink::message::{self, Body};
use crate::navilink::request::{Query, presence};
use crate::navilink::session::Identity;

use bucket::Bucket;
use keeping::Keeping;
pub use keeping::Memories;
pub use listing::not_yet;
pub use warn_once::WarnOnce;

/// How the heaters are set up.
#[derive(Debug, Clone)]
pub struct HomeSettings {
    /// How each of them is treated.
    pub heater: heater::HeaterSettings,
    /// Names that the configuration gives.
    pub names: BTreeMap<Mac, String>,
    /// Which heaters of the account are served; of the others nothing is asked or shown.
    pub choice: HeaterChoice,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send to the cloud's broker.
    Request {
        /// What.
        message: Message,
        /// Whether an answer is due.
        answered: bool,
    },
    /// Ask the REST API for a heater's time-of-use schedule and hand it to [`Home::tou_fetched`].
    FetchTou {
        /// Whose.
        mac: Mac,
        /// Its `controllerSerialNumber`.
        controller_serial: String,
    },
    /// Replace the session with the cloud by one that has subscriptions for new heaters.
    RenewSession,
    /// Ask the REST API for the account's device list and hand it to [`Home::set_heaters`].
    ListHeaters,
    /// Keep [`Home::heaters`] and [`Home::memories`] for the next run.
    Keep,
    /// Show what has changed of a heater.
    Changed(Mac, Change),
    /// Show which heaters there are, and by which names.
    Listed,
    /// Take back everything that was shown of a heater.
    Removed(Mac),
    /// Tell a human, once.
    Warn {
        /// About which heater.
        heater: Option<Mac>,
        /// What.
        text: String,
    },
}

/// What a message from the cloud proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A heater of ours spoke.
    Answered,
    /// The session carries messages.
    Heard,
}

/// The heaters of an account.
#[derive(Debug)]
pub struct Home {
    settings: HomeSettings,
    identity: Identity,
    heaters: BTreeMap<Mac, Heater>,
    effects: VecDeque<Effect>,
    warnings: WarnOnce,
    /// The cloud's messages by what they say.
    messages: BoundedCounter,
    /// When the session began that carries requests now.
    session: Option<Instant>,
    /// The heaters that it has subscriptions for.
    subscribed: BTreeSet<Mac>,
    /// Whether requests repeat.
    periodic: bool,
    /// What waits to be sent to the cloud's broker, and whether an answer is due.
    to_cloud: Bucket<(Message, bool)>,
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
            identity,
            heaters: BTreeMap::new(),
            effects: VecDeque::new(),
            warnings: WarnOnce::default(),
            messages: BoundedCounter::default(),
            session: None,
            subscribed: BTreeSet::new(),
            periodic: false,
            to_cloud: Bucket::default(),
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

    /// Takes a message of the cloud's broker.
    ///
    /// A `retained` one was said some time before, by whoever, and is no word of the heater: it is shown where nothing
    /// is known yet, and makes nothing available, live or confirmed.
    pub fn cloud_message(&mut self, topic: &str, payload: &[u8], retained: bool, moment: Moment) -> Verdict {
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
        let Some(mac) = self.sender(message.mac.clone()) else {
            self.warn(None, "foreign", || format!("A message on {topic} is of no heater of this account"));
            return Verdict::Heard;
        };
        if retained {
            self.messages.count("retained");
            self.tell(&mac, Input::Retained(&message.body), moment);
            return Verdict::Heard;
        }
        self.tell(&mac, Input::Message { topic, message }, moment);
        self.keeping.plan(&self.memories(), moment.now);
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
        self.keeping.plan(&self.memories(), moment.now);
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

    /// Lets requests repeat from now on.
    pub fn start_periodic(&mut self) {
        self.periodic = true;
    }

    /// Ends the repetition of requests.
    pub fn stop_periodic(&mut self) {
        self.periodic = false;
    }

    /// A session is up: announces our presence and asks every heater for everything.
    pub fn session_begun(&mut self, moment: Moment) {
        self.session = Some(moment.now);
        self.tell_all(|| Input::SessionBegun, moment);
        let messages: Vec<Message> = self.heaters().map(|device| presence(device, &self.identity, true)).collect();
        messages.into_iter().for_each(|message| self.to_cloud.push_urgent((message, false)));
        self.send(moment.now);
        self.renew_session_for_new_heaters();
    }

    /// The session is gone: nothing is asked any more, and freshness runs out by itself.
    pub fn session_ended(&mut self, moment: Moment) {
        self.session = None;
        self.tell_all(|| Input::SessionOver, moment);
        self.to_cloud.clear();
    }

    /// Makes every heater unavailable at once: nothing will come any more.
    pub fn give_up(&mut self, moment: Moment) {
        self.tell_all(|| Input::Lost, moment);
    }

    /// Ends all commands for this reason, and makes every heater unavailable.
    pub fn stop(&mut self, reason: &str, moment: Moment) {
        self.tell_all(|| Input::Ended(reason), moment);
        self.give_up(moment);
    }

    /// Returns what says goodbye to the cloud, before the session is closed.
    pub fn closing_messages_to_cloud(&self) -> Vec<Message> {
        let goodbye =
            |device| [Query::EndOfSession.message(device, &self.identity), presence(device, &self.identity, false)];
        self.heaters().flat_map(goodbye).collect()
    }

    /// Returns the last will of the session with the cloud: a connection has one, so it is the first heater's.
    pub fn cloud_will(&self) -> Option<Message> {
        Some(presence(self.heaters().next()?, &self.identity, false))
    }

    /// Returns when [`Home::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settings = &self.settings.heater;
        let heaters =
            self.heaters.iter().filter_map(|(mac, heater)| heater.poll_timeout(settings, self.session_of(mac)));
        let listing = self.listing.due().filter(|_| self.session.is_some());
        heaters.chain(listing).chain(self.keeping.due()).chain(self.to_cloud.due()).min()
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, moment: Moment) {
        if self.keeping.take_due(moment.now) {
            self.keep(moment.now);
        }
        for mac in self.macs() {
            self.with(&mac, moment, Heater::handle_timeout);
        }
        self.send(moment.now);
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

    /// Lets everything be kept now.
    fn keep(&mut self, now: Instant) {
        self.keeping.note(self.memories(), now);
        self.effects.push_back(Effect::Keep);
    }

    /// Returns whose message it is; one that does not say so is that of the only heater.
    fn sender(&self, named: Option<Mac>) -> Option<Mac> {
        match named {
            Some(mac) => self.heaters.contains_key(&mac).then_some(mac),
            None if self.heaters.len() == 1 => self.heaters.keys().next().cloned(),
            None => None,
        }
    }

    /// Tells a heater what happened, and carries out what it decides.
    fn tell(&mut self, mac: &Mac, input: Input<'_>, moment: Moment) {
        self.with(mac, moment, |heater, context| heater.handle(input, context));
    }

    /// Tells every heater what happened.
    fn tell_all<'i>(&mut self, input: impl Fn() -> Input<'i>, moment: Moment) {
        for mac in self.macs() {
            self.tell(&mac, input(), moment);
        }
    }

    /// Calls a heater in the context of this moment, and carries out what it decides; `None` when there is no such
    /// heater.
    fn with<T>(&mut self, mac: &Mac, moment: Moment, call: impl FnOnce(&mut Heater, &Context<'_>) -> T) -> Option<T> {
        let queued = self.heaters.values().map(Heater::queued).sum();
        let session = self.session_of(mac);
        let heater = self.heaters.get_mut(mac)?;
        let (settings, identity) = (&self.settings.heater, &self.identity);
        let outcome = call(heater, &Context { settings, identity, moment, session, queued });
        self.drain(mac);
        self.send(moment.now);
        Some(outcome)
    }

    /// Lets leave what may; without a session nothing can, and nothing is kept for the next one.
    fn send(&mut self, now: Instant) {
        if self.session.is_none() {
            self.to_cloud.clear();
        }
        while let Some((message, answered)) = self.to_cloud.take(now) {
            self.effects.push_back(Effect::Request { message, answered });
        }
    }

    fn session_of(&self, mac: &Mac) -> Option<heater::Session> {
        let epoch = self.session?;
        let place = Place { index: self.heaters.range(..mac).count(), count: self.heaters.len(), epoch };
        Some(heater::Session { place, periodic: self.periodic })
    }

    /// Carries out what one heater has decided.
    fn drain(&mut self, mac: &Mac) {
        while let Some(effect) = self.heaters.get_mut(mac).and_then(Heater::poll_effect) {
            let effect = match effect {
                heater::Effect::Send { message, answered, urgent } => {
                    match urgent {
                        true => self.to_cloud.push_urgent((message, answered)),
                        false => self.to_cloud.push((message, answered)),
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
