//! A house in simulated time: simulated heaters, a cloud in between that comes and goes, and everything of the daemon
//! that decides something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use navien2mqtt::bridge::{self, Bridge, Verdict};
use navien2mqtt::heater;
use navien2mqtt::heater::polling::Intervals;
use navien2mqtt::model::{Message, Moment};
use navien2mqtt::navilink::devices::DeviceList;
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::navilink::topics::{MOST_FILTERS, heater_of};
use navien2mqtt::outputs::home_assistant::HomeAssistant;
use navien2mqtt::outputs::mqtt::topics::Topics;
use navien2mqtt::simulator::heater::{HeaterFault, SimulatedHeater, feature};
use navien2mqtt::supervisor::*;
use navien2mqtt::units::UnitsChoice;
use serde_json::{Value, json};

use crate::account::{Account, Api};

const MINUTE: Duration = Duration::from_secs(60);
const QUICK: Duration = Duration::from_millis(20);
const STALE_AFTER: Duration = Duration::from_secs(900);
const MAX_AGE: Duration = Duration::from_secs(300);
/// The simulated heaters live on in steps of this.
const TICK: Duration = Duration::from_secs(300);

/// What the account's device list says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum List {
    Whole,
    Without,
    Nothing,
    Unreadable,
}

enum Coming {
    Input(usize, Input),
    FromHeater(usize, Generation, Message),
    List,
    Tou(usize),
    Tick,
}

/// A session that is being opened or up.
struct Session {
    generation: Generation,
    filters: Vec<String>,
}

pub struct World {
    supervisors: Supervisors,
    bridge: Bridge,
    account: Account,
    house: Vec<SimulatedHeater>,
    indices: BTreeMap<String, usize>,
    pub cloud_is_up: bool,
    /// The links whose sessions the cloud does not take.
    pub refused: BTreeSet<usize>,
    pub list: List,
    sessions: BTreeMap<usize, Session>,
    now: Instant,
    begin: Instant,
    coming: BTreeMap<(Instant, u64), Coming>,
    sequence: u64,
    /// What the local broker keeps.
    broker: BTreeMap<String, String>,
    /// When each heater was heard last.
    heard: Vec<Option<Instant>>,
    /// The commands that were sent, and how each has ended.
    commands: u64,
    ended: BTreeMap<u64, String>,
    leaving: bool,
}

fn supervisor_settings() -> Policy {
    let backoff = |initial, max| Backoff {
        initial: Duration::from_secs(initial),
        max: Duration::from_secs(max),
        multiplier: 2.0,
        jitter: 0.2,
    };
    Policy {
        reconnect: Line { enabled: true, max_attempts: Some(10), backoff: backoff(1, 120) },
        recovery: Line { enabled: true, max_attempts: Some(10), backoff: backoff(60, 300) },
        strategy: Strategy::ExponentialBackoff,
        refresh_tokens_every: 3,
        on_failure: OnFailure::Exit,
        connect_timeout: Duration::from_secs(20),
        operation_timeout: Duration::from_secs(30),
        probe_interval: Some(Duration::from_secs(5)),
    }
}

fn bridge_settings() -> bridge::BridgeSettings {
    bridge::BridgeSettings {
        topics: Topics::new("navien2mqtt"),
        heater: heater::HeaterSettings {
            units: UnitsChoice::Device,
            intervals: Intervals {
                status: 5 * MINUTE,
                information: 60 * MINUTE,
                energy: 360 * MINUTE,
                schedules: 360 * MINUTE,
            },
            stale_after: STALE_AFTER,
            commands: heater::commands::CommandSettings {
                max_queued: 100,
                max_age: MAX_AGE,
                allow_firmware_commit: false,
                read_only: false,
                max_temperature: None,
                answer_within: Duration::from_secs(30),
            },
        },
        names: BTreeMap::new(),
        choice: Default::default(),
        home_assistant: HomeAssistant {
            enabled: true,
            prefix: "homeassistant".into(),
            birth_topic: "homeassistant/status".into(),
        },
        allow: navien2mqtt::model::REQUESTS.into(),
    }
}

fn identity() -> Identity {
    Identity { client: ClientId::new("navien2mqtt-test"), session: SessionId::from_random([7; 16]) }
}

impl World {
    /// A house with two heaters.
    pub fn new(seed: u64) -> Self {
        Self::with(2, seed)
    }

    pub fn with(heaters: usize, seed: u64) -> Self {
        let begin = Instant::now();
        let house: Vec<_> = (0..heaters).map(|index| SimulatedHeater::new(index, seed)).collect();
        let mut world = Self {
            supervisors: Supervisors::new(supervisor_settings(), Carried::default(), seed, begin),
            bridge: Bridge::new(bridge_settings(), identity(), &[], json!({ "version": "0" })),
            account: Account::new(),
            indices: house.iter().enumerate().map(|(index, heater)| (heater.mac().to_owned(), index)).collect(),
            house,
            cloud_is_up: true,
            refused: BTreeSet::new(),
            list: List::Whole,
            sessions: BTreeMap::new(),
            now: begin,
            begin,
            coming: BTreeMap::new(),
            sequence: 0,
            broker: BTreeMap::new(),
            heard: vec![None; heaters],
            commands: 0,
            ended: BTreeMap::new(),
            leaving: false,
        };
        world.later(TICK, Coming::Tick);
        world.bridge.replay().into_iter().for_each(|message| world.keep(message));
        world.input(0, Input::Start);
        world
    }

    fn moment(&self) -> Moment {
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000) + (self.now - self.begin);
        Moment { now: self.now, wall }
    }

    fn wall(&self) -> SystemTime {
        self.moment().wall
    }

    pub fn state(&self) -> State {
        self.supervisors.view().state
    }

    /// How many links there are, and how many of them are connected.
    pub fn links(&self) -> (usize, usize) {
        self.supervisors.count()
    }

    /// How often the password was used.
    pub fn sign_ins(&self) -> usize {
        self.account.signed_in
    }

    /// How many outages were counted.
    pub fn outages(&self) -> u64 {
        self.supervisors.carried().outages
    }

    /// The heaters of which a status stands on the local broker, and those that are available.
    pub fn shown(&self) -> (usize, usize) {
        let count = |rest: &str, payload: Option<&str>| {
            let topics = self.indices.keys().map(|mac| self.broker.get(&format!("navien2mqtt/{mac}/{rest}")));
            topics.flatten().filter(|held| payload.is_none_or(|payload| *held == payload)).count()
        };
        (count("status", None), count("availability", Some("online")))
    }

    /// How many heaters the bridge has.
    pub fn heaters(&self) -> usize {
        self.bridge.heaters().count()
    }

    /// How the commands have ended, in their order.
    pub fn outcomes(&self) -> Vec<&str> {
        self.ended.values().map(String::as_str).collect()
    }

    fn later(&mut self, delay: Duration, coming: Coming) {
        self.sequence += 1;
        self.coming.insert((self.now + delay, self.sequence), coming);
    }

    fn input(&mut self, link: usize, input: Input) {
        self.supervisors.handle_input(link, input, self.now);
        self.carry_out();
    }

    /// The connections break.
    pub fn reset(&mut self) {
        for link in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.reset_link(link);
        }
    }

    /// The connection of one link breaks.
    pub fn reset_link(&mut self, link: usize) {
        if let Some(Session { generation, .. }) = self.sessions.remove(&link) {
            self.bridge.session_ended(link, self.moment());
            self.input(link, Input::LinkDown(generation, Failure::transient("connection-lost", "reset")));
        }
    }

    /// The REST API answers so from now on.
    pub fn api(&mut self, api: Api) {
        self.account.api = api;
    }

    pub fn silence(&mut self, index: usize, silent: bool) {
        self.house[index].set_fault(if silent { HeaterFault::Silent } else { HeaterFault::Online });
    }

    /// A message on the local broker.
    pub fn asks(&mut self, topic: &str, payload: &str) {
        self.bridge.local_message(&format!("navien2mqtt/{topic}"), payload.as_bytes(), false, self.moment());
        self.carry_out();
    }

    /// A command for a heater, with an id of its own.
    pub fn sets(&mut self, index: usize, name: &str, value: &str) {
        let mac = self.house[index].mac().to_owned();
        let known = self.bridge.heaters().any(|device| device.mac.as_str() == mac);
        let id = self.commands;
        self.commands += 1;
        self.asks(&format!("{mac}/set/{name}"), &format!(r#"{{"id":{id},"value":{value}}}"#));
        assert!(known || self.ended.contains_key(&id), "a heater that is not there refuses at once");
    }

    /// The process ends and is started again.
    pub fn restart(&mut self, seed: u64) {
        for message in self.bridge.closing_messages(self.moment()) {
            self.keep(message);
        }
        let known: Vec<_> = self.bridge.heaters().cloned().collect();
        let memories = self.bridge.memories();
        let memories = serde_json::from_str(&serde_json::to_string(&memories).unwrap()).unwrap();
        self.supervisors = Supervisors::new(supervisor_settings(), self.supervisors.carried(), seed, self.now);
        self.bridge = Bridge::new(bridge_settings(), identity(), &known, json!({ "version": "0" }));
        self.bridge.restore(memories);
        while self.bridge.poll_effect().is_some() {}
        self.sessions.clear();
        self.leaving = false;
        self.heard.fill(None);
        self.coming.retain(|_, coming| matches!(coming, Coming::Tick));
        self.bridge.replay().into_iter().for_each(|message| self.keep(message));
        self.input(0, Input::Start);
    }

    /// Everything becomes good, and has time to show it.
    pub fn heal(&mut self) {
        self.cloud_is_up = true;
        self.refused.clear();
        self.list = List::Whole;
        self.api(Api::Good);
        for index in 0..self.house.len() {
            self.silence(index, false);
        }
        self.run_for(Duration::from_secs(2 * 3600 + 600));
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let due = self.supervisors.poll_timeout(self.now).at;
            let due = self.bridge.due().map_or(due, |other| due.min(other));
            let next = self.coming.keys().next().map(|(at, _)| *at);
            let at = next.map_or(due, |next| next.min(due)).max(self.now);
            if at > end {
                self.now = end;
                self.assert_invariants();
                return;
            }
            self.now = at;
            match self.coming.first_entry().filter(|entry| entry.key().0 <= at).map(|entry| entry.remove()) {
                Some(coming) => self.comes(coming),
                None => {
                    self.supervisors.handle_timeout(self.now);
                    self.bridge.handle_timeout(self.moment());
                    self.carry_out();
                }
            }
        }
    }

    fn comes(&mut self, coming: Coming) {
        match coming {
            Coming::Input(link, Input::LinkUp(g)) if !self.has_session(link, g) => {}
            Coming::Input(link, input) => self.input(link, input),
            Coming::FromHeater(link, g, message) if self.has_session(link, g) => {
                let verdict = self.bridge.cloud_message(link, &message, self.moment());
                if verdict == Verdict::Answered
                    && let Some(index) = self.named(&message)
                {
                    self.heard[index] = Some(self.now);
                }
                let input = match verdict {
                    Verdict::Answered => Input::Answered(g),
                    Verdict::Heard => Input::Heard(g),
                };
                self.input(link, input);
            }
            Coming::FromHeater(..) => {}
            Coming::List => {
                self.bridge.set_heaters(&self.device_list(), self.moment());
                self.carry_out();
            }
            Coming::Tou(index) => {
                let (mac, tou) = (self.house[index].mac().parse().unwrap(), feature::tou(&self.house[index]));
                self.bridge.tou_fetched(&mac, &tou, self.moment());
                self.carry_out();
            }
            Coming::Tick => {
                let wall = self.wall();
                let said: Vec<_> = self.house.iter_mut().flat_map(|heater| heater.advance(TICK, wall)).collect();
                for publish in said {
                    self.say(publish.topic, publish.payload);
                }
                self.later(TICK, Coming::Tick);
            }
        }
    }

    fn has_session(&self, link: usize, g: Generation) -> bool {
        self.sessions.get(&link).is_some_and(|session| session.generation == g)
    }

    /// A message on the cloud's broker goes to the sessions that have subscribed to it.
    fn say(&mut self, topic: String, payload: Vec<u8>) {
        if !self.cloud_is_up {
            return;
        }
        let message = Message { topic, payload: payload.into(), retained: false };
        let matches = |filter: &String| message.topic.starts_with(filter.trim_end_matches('#'));
        let to = self.sessions.iter().filter(|(_, session)| session.filters.iter().any(matches));
        let to: Vec<_> = to.map(|(link, session)| (*link, session.generation)).collect();
        for (link, g) in to {
            self.later(QUICK, Coming::FromHeater(link, g, message.clone()));
        }
    }

    /// Returns which heater a message names.
    fn named(&self, message: &Message) -> Option<usize> {
        let named = serde_json::from_slice::<Value>(&message.payload).ok()?;
        self.indices.get(named["response"]["macAddress"].as_str()?).copied()
    }

    fn device_list(&self) -> DeviceList {
        let mut entries: Vec<Value> = self.house.iter().map(feature::device_list_entry).collect();
        match self.list {
            List::Whole => {}
            List::Without => drop(entries.remove(0)),
            List::Nothing => entries.clear(),
            List::Unreadable => entries = vec![Value::Null, json!({ "location": {} })],
        }
        let mut list = DeviceList::default();
        list.take_page(&entries.into(), navien2mqtt::product::is_known);
        list
    }

    fn carry_out(&mut self) {
        loop {
            if let Some((link, effect)) = self.supervisors.poll_effect() {
                self.obey_supervisor(link, effect);
            } else if let Some(effect) = self.bridge.poll_effect() {
                self.obey_bridge(effect);
            } else {
                break;
            }
        }
        if std::mem::take(&mut self.leaving) {
            self.restart(self.sequence);
        }
    }

    fn obey_supervisor(&mut self, link: usize, effect: Effect) {
        let unreachable = || Failure { reach: Reach::Nothing, ..Failure::transient("unreachable", "") };
        let up = self.cloud_is_up;
        match effect {
            Effect::EnsureCredentials(g, renewal) => {
                let input = self.account.ensure((link, g), renewal, up, self.moment());
                self.later(QUICK, Coming::Input(link, input));
            }
            Effect::SignIn(g) => {
                let input = self.account.sign_in((link, g), up, self.now - self.begin, self.moment());
                self.later(QUICK, Coming::Input(link, input));
            }
            Effect::ListHeaters(g) => {
                let input = if link > 0 {
                    Input::HeatersListed(g, self.bridge.serves_over(link).then_some(()).ok_or_else(String::new))
                } else if up {
                    let list = self.device_list();
                    self.bridge.set_heaters(&list, self.moment());
                    let known = self.bridge.serves_over(link).then_some(());
                    Input::HeatersListed(
                        g,
                        known.ok_or_else(|| list.in_place_of_heaters(&navien2mqtt::product::names())),
                    )
                } else {
                    Input::StepFailed(g, unreachable())
                };
                self.later(QUICK, Coming::Input(link, input));
            }
            Effect::Dial(g) => {
                assert!(!self.sessions.contains_key(&link), "the old session is gone before the next is built");
                let input = if up && !self.refused.contains(&link) {
                    let filters = self.bridge.cloud_filters(link);
                    assert!(filters.len() <= MOST_FILTERS, "{}", filters.len());
                    self.sessions.insert(link, Session { generation: g, filters });
                    Input::LinkUp(g)
                } else {
                    Input::LinkDown(g, unreachable())
                };
                self.later(QUICK, Coming::Input(link, input));
            }
            Effect::BeginSession(_) => {
                self.bridge.session_begun(link, self.moment());
                self.bridge.handle_timeout(self.moment());
            }
            Effect::StartPeriodicRequests => self.bridge.start_periodic(link),
            Effect::StopPeriodicRequests => self.bridge.stop_periodic(link),
            Effect::ForgetSession => self.bridge.session_ended(link, self.moment()),
            Effect::CloseLink(_) => self.cut(link),
            Effect::Probe(probe) => self.later(QUICK, Coming::Input(link, Input::Probed(probe, up))),
            Effect::ViewChanged if self.supervisors.view_of(link).state == State::Failed => {
                self.bridge.give_up(link, self.moment());
            }
            Effect::Announce(_) | Effect::ViewChanged => {}
            Effect::Exit(_) => self.leaving = true,
        }
    }

    fn cut(&mut self, link: usize) {
        self.sessions.remove(&link);
        self.bridge.session_ended(link, self.moment());
    }

    fn obey_bridge(&mut self, effect: bridge::Effect) {
        match effect {
            bridge::Effect::Publish(message) => self.keep(message),
            bridge::Effect::Request { link, message, answered } => {
                if answered {
                    let g = self.supervisors.generation(link);
                    self.supervisors.handle_input(link, Input::RequestSent(g), self.now);
                }
                let index = heater_of(&message.topic).and_then(|mac| self.indices.get(mac.as_str()).copied());
                let Some(index) = index.filter(|_| self.sessions.contains_key(&link) && self.cloud_is_up) else {
                    return;
                };
                let wall = self.wall();
                for publish in self.house[index].handle(&message.topic, &message.payload, wall) {
                    self.say(publish.topic, publish.payload);
                }
            }
            bridge::Effect::FetchTou { mac, .. } if self.cloud_is_up => {
                self.later(QUICK, Coming::Tou(self.indices[mac.as_str()]));
            }
            bridge::Effect::ListHeaters if self.cloud_is_up => self.later(QUICK, Coming::List),
            bridge::Effect::RenewSession(link) => {
                let reason = Reason::new("new-heater", "");
                self.supervisors.handle_input(link, Input::RenewSession(reason), self.now);
            }
            bridge::Effect::OpenLink(link) => self.supervisors.open(link, self.now),
            bridge::Effect::CloseLink(link) => {
                self.supervisors.close(link, self.now);
                self.cut(link);
            }
            bridge::Effect::Administer { .. } => {
                let reason = Reason::new("requested", "");
                self.supervisors.handle_input_of_all(&Input::ReconnectRequested(reason), self.now);
            }
            bridge::Effect::FetchTou { .. }
            | bridge::Effect::ListHeaters
            | bridge::Effect::Command { .. }
            | bridge::Effect::Keep
            | bridge::Effect::Warn { .. } => {}
        }
    }

    fn keep(&mut self, message: Message) {
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        if !message.retained {
            if message.topic.ends_with("/result") {
                self.count_result(&serde_json::from_str(&text).unwrap());
            }
        } else if text.is_empty() {
            self.broker.remove(&message.topic);
        } else {
            self.broker.insert(message.topic, text);
        }
    }

    fn count_result(&mut self, result: &Value) {
        let (id, status) = (result["id"].as_u64().unwrap(), result["status"].as_str().unwrap());
        if matches!(status, "queued" | "sent") {
            assert!(!self.ended.contains_key(&id), "{result} comes after the end");
            return;
        }
        let earlier = self.ended.insert(id, status.to_owned());
        assert_eq!(earlier, None, "{result} is a second end");
    }

    fn assert_invariants(&self) {
        let mirror: BTreeMap<String, String> = self
            .bridge
            .replay()
            .into_iter()
            .filter(|message| !message.payload.is_empty() && message.topic != "navien2mqtt/bridge/state")
            .map(|message| (message.topic, String::from_utf8(message.payload.to_vec()).unwrap()))
            .collect();
        let held = &self.broker;
        for (topic, payload) in &mirror {
            assert_eq!(held.get(topic), Some(payload), "{topic} is what a replay would give");
        }
        for (heater, heard) in self.house.iter().zip(&self.heard) {
            let available = held.get(&format!("navien2mqtt/{}/availability", heater.mac())).map(String::as_str);
            let fresh = heard.is_some_and(|at| self.now <= at + STALE_AFTER);
            assert!(available != Some("online") || fresh, "{} is shown as live, but was not heard of", heater.mac());
        }
        let known: BTreeSet<&str> = self.bridge.heaters().map(|device| device.mac.as_str()).collect();
        for topic in held.keys().filter(|topic| topic.starts_with("navien2mqtt/04")) {
            let mac = topic.split('/').nth(1).unwrap();
            assert!(known.contains(mac), "{topic} is of no heater");
        }
    }

    /// Everything is shown as it is, and every command has ended.
    pub fn assert_all_is_well(&mut self) {
        self.run_for(MAX_AGE + 2 * MINUTE);
        assert_eq!(self.ended.len() as u64, self.commands, "every command ends");
        assert_eq!(self.heaters(), self.house.len());
        self.asks("bridge/request/refresh", "");
        self.run_for(Duration::from_secs(2));
        for index in 0..self.house.len() {
            let mac = self.house[index].mac().to_owned();
            let shown = |rest: &str| self.broker.get(&format!("navien2mqtt/{mac}/{rest}")).cloned().unwrap_or_default();
            assert_eq!(shown("availability"), "online");
            assert!(self.broker.contains_key(&format!("homeassistant/device/navien2mqtt_{mac}/config")));
            let wall = self.wall();
            let truth: Value = serde_json::from_slice(&self.house[index].push_status(wall).payload).unwrap();
            let status: Value = serde_json::from_str(&shown("status")).unwrap();
            let raw = &truth["response"]["status"];
            let celsius = raw["dhwTemperatureSetting"].as_f64().unwrap() / 2.0;
            let setting = if status["units"] == "metric" { celsius } else { celsius * 9.0 / 5.0 + 32.0 };
            assert!((status["dhw_temperature_setting"].as_f64().unwrap() - setting).abs() < 0.01, "{status}");
            let modes = [(1, "heat_pump"), (2, "electric"), (3, "energy_saver"), (4, "high_demand"), (6, "power_off")];
            let mode = modes.iter().find(|(code, _)| raw["dhwOperationSetting"] == *code).map(|(_, name)| *name);
            assert_eq!(status["dhw_operation_setting"].as_str(), mode);
        }
    }
}
