//! One heater: what is known of it, what it is asked for, and its commands.
//!
//! A machine without clock, socket or task. Whoever owns it calls [`Heater::handle`] with what happens and the
//! [`Context`] of that moment, [`Heater::handle_timeout`] when [`Heater::poll_timeout`] says so, and carries out what
//! [`Heater::poll_effect`] returns until it returns nothing.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod bounded_counter;
pub mod commands;
mod energy;
pub mod events;
mod firmware;
mod freshness;
pub mod meter;
mod outcome;
pub mod polling;
mod queries;
mod seen;
mod state;
mod types;
mod verdict;
mod waiting;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Mac;
use crate::navilink::devices::Device;
use crate::navilink::encoding::Object;
use crate::navilink::message;
use crate::navilink::request::Query;
use crate::product::Product;
use crate::product::capabilities::Capabilities;
use crate::units::UnitSystem;

use commands::Commands;
use freshness::Freshness;
pub use freshness::{Fetches, Missing};
use meter::Meters;
use polling::{Poll, PollTimers};
use queries::Queries;
use seen::Seen;
use state::{Ends, FollowUp, HeaterState};
pub use types::{Change, Context, Effect, HeaterSettings, Input, Session};

/// What is kept of a heater over restarts of the process, besides the account's entry.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    meters: Meters,
    /// What it can do, as it was told.
    feature: Object,
    missing: Missing,
    /// The commands of the last hour.
    seen: Seen,
    ends: Ends,
}

impl Memory {
    /// Returns whether it knows of other commands than `earlier`, or more of them.
    pub fn has_other_commands(&self, earlier: &Self) -> bool {
        self.seen != earlier.seen || self.ends != earlier.ends
    }

    /// Returns whether it has more than other values of the same counters that `earlier` does not have.
    pub fn adds_to(&self, earlier: &Self) -> bool {
        self.meters.adds_to(&earlier.meters) || (&self.feature, self.missing) != (&earlier.feature, earlier.missing)
    }

    /// Returns whether it differs from `earlier` by more than times.
    pub fn differs(&self, earlier: &Self) -> bool {
        self.meters.differs(&earlier.meters) || (&self.feature, self.missing) != (&earlier.feature, earlier.missing)
    }
}

/// One heater.
#[derive(Debug)]
pub struct Heater {
    state: HeaterState,
    effects: VecDeque<Effect>,
    /// How long its last word counts.
    freshness: Freshness,
    /// For how long the account's device list has left it out.
    missing: Missing,
    /// When it is asked for what; there is none without a session.
    schedule: Option<PollTimers>,
    /// What it was asked and is to be asked again.
    queries: Queries,
    /// The fetches of its time-of-use schedule.
    tou: Fetches,
    /// Its commands.
    commands: Commands,
    /// Those of the last hour.
    seen: Seen,
}

impl Heater {
    /// Begins with nothing known but the account's entry: it is unavailable.
    pub fn new(device: Device, settings: &HeaterSettings) -> Self {
        let mut heater = Self {
            state: HeaterState::new(device, settings.units.system(None)),
            effects: VecDeque::new(),
            freshness: Freshness::default(),
            missing: Missing::default(),
            schedule: None,
            queries: Queries::default(),
            tou: Fetches::default(),
            commands: Commands::default(),
            seen: Seen::default(),
        };
        heater.changed(Change::Available(false));
        heater.state.show_info();
        heater.take_effects();
        heater
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, input: Input<'_>, context: &Context<'_>) {
        match input {
            Input::SessionBegun => {
                let place = context.session.map_or(0, |session| session.place.index);
                self.schedule = Some(PollTimers::begin(context.moment.now, place));
            }
            Input::SessionOver => {
                self.end_sent("the connection was lost before the heater acknowledged it", context);
                self.schedule = None;
                self.queries.forget();
                // The next session asks for everything.
                self.tou.forget();
            }
            Input::Message { topic, message } => self.hear(topic, message, context),
            Input::Retained(body) => self.state.take_retained(body, context.settings.units),
            Input::TouFetched(data) => self.state.show_tou(data),
            Input::Set { name, payload } => self.set(name, payload, context),
            Input::Missing => {
                self.missing.count(context.moment.now);
                // Only its own answer keeps it available.
                let deadline = context.settings.commands.answer_within;
                self.freshness.run_out_by(context.moment.now + deadline, context.settings.stale_after);
                if context.session.is_some() {
                    self.ask(&Query::Status, context);
                }
            }
            Input::Listed(device) => self.listed(device),
            Input::Lost => self.mark_unavailable(),
            Input::Ended(reason) => self.end_commands(reason, context),
        }
        self.take_effects();
    }

    /// Fires the timers that are due.
    pub fn handle_timeout(&mut self, context: &Context<'_>) {
        let now = context.moment.now;
        if self.freshness.runs_out_at(context.settings.stale_after).is_some_and(|at| at <= now) {
            self.mark_unavailable();
        }
        self.handle_command_timeouts(context);
        self.fetch_due_tou(now);
        if context.session.is_some() {
            for query in self.queries.take_due(now) {
                self.send_query(&query, false, context);
            }
        }
        let Some(session) = context.session.filter(|session| session.periodic) else { return };
        let Some(schedule) = &mut self.schedule else { return };
        for poll in schedule.take_due(now, &context.settings.intervals, session.place) {
            self.poll(poll, context);
        }
    }

    /// Returns when [`Heater::handle_timeout`] is wanted.
    pub fn poll_timeout(&self, settings: &HeaterSettings, session: Option<Session>) -> Option<Instant> {
        let requests = self.schedule.as_ref().filter(|_| session.is_some_and(|session| session.periodic));
        let stale = self.freshness.runs_out_at(settings.stale_after);
        let commands = self.commands.due(settings.commands.max_age);
        let queries = self.queries.due().filter(|_| session.is_some());
        [requests.map(PollTimers::due), self.tou.due(), queries, stale, commands].into_iter().flatten().min()
    }

    /// Returns the next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Asks for one of the things that `get` names.
    ///
    /// # Errors
    ///
    /// Says why it cannot be asked for now.
    pub fn get(&mut self, name: &str, context: &Context<'_>) -> Result<(), &'static str> {
        if context.session.is_none() {
            return Err("comes while there is no session with the cloud");
        }
        match name {
            "status" => self.ask(&Query::Status, context),
            "info" => self.ask(&Query::Information, context),
            "energy" => self.poll(Poll::Energy, context),
            "reservations" => self.ask(&Query::Reservations, context),
            "tou" if self.state.capabilities.controller_serial().is_none() => {
                return Err("comes before the heater has told its serial number; the schedule is fetched when it has");
            }
            "tou" => self.fetch_tou(context.moment.now),
            "recirculation" => self.ask(&Query::Recirculation, context),
            "diagnostics" => self.ask(&Query::Diagnostics, context),
            "firmware" => self.ask(&Query::Firmware, context),
            _ => {
                return Err("asks for nothing known: status, info, energy, reservations, tou, recirculation, \
                            diagnostics or firmware");
            }
        }
        Ok(())
    }

    /// Makes every request due now.
    pub fn poll_now(&mut self, now: Instant) {
        if let Some(schedule) = &mut self.schedule {
            schedule.poll_now(now);
        }
    }

    /// Returns what the account says of it.
    pub fn device(&self) -> &Device {
        &self.state.device
    }

    /// Returns its address.
    pub fn mac(&self) -> &Mac {
        &self.state.device.mac
    }

    /// Returns what its device type is made of.
    pub fn product(&self) -> &'static Product {
        self.state.product
    }

    /// Returns what it can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.state.capabilities
    }

    /// Returns the units of its values.
    pub fn units(&self) -> UnitSystem {
        self.state.units
    }

    /// Returns for how long the device list has left it out.
    pub fn missing(&self) -> Missing {
        self.missing
    }

    /// Returns how many of its commands wait.
    pub fn queued(&self) -> usize {
        self.commands.queued()
    }

    /// Returns how many fields came that the protocol reference does not know.
    pub fn unknown_fields(&self) -> usize {
        self.state.unknown_fields()
    }

    /// Returns what is to be kept over a restart of the process.
    pub fn memory(&self) -> Memory {
        Memory {
            meters: self.state.meters.clone(),
            feature: self.state.capabilities.told().clone(),
            missing: self.missing,
            seen: self.seen.clone(),
            ends: self.state.ends.clone(),
        }
    }

    /// Takes up what an earlier run kept.
    pub fn restore(&mut self, memory: &Memory, settings: &HeaterSettings) {
        self.state.meters = memory.meters.clone();
        self.missing = memory.missing;
        self.seen = memory.seen.clone();
        self.state.ends = memory.ends.clone();
        self.state.capabilities.learn(&memory.feature);
        self.state.units = settings.units.system(self.state.capabilities.temperature_type());
        self.state.show_info();
        self.state.show_commands();
        self.take_effects();
        self.changed(Change::Abilities);
    }

    /// Returns what has been seen so far, for the diagnostics.
    pub fn diagnostics(&self, stale_after: Duration, now: Instant) -> Value {
        let left = self.freshness.runs_out_at(stale_after).map(|at| at.saturating_duration_since(now));
        let mut seen = self.state.diagnostics();
        seen["available"] = left.is_some().into();
        seen["heard_of_seconds_ago"] = left.map(|left| stale_after.saturating_sub(left).as_secs()).into();
        seen
    }

    /// Takes a message of the heater.
    fn hear(&mut self, topic: &str, message: message::CloudMessage, context: &Context<'_>) {
        self.queries.answered(&message.body);
        self.judge(topic, &message, context);
        let follow_ups = self.state.take(message.body, context);
        self.take_effects();
        for follow_up in follow_ups {
            match follow_up {
                FollowUp::Ask(query) => self.ask(&query, context),
                FollowUp::FetchTou => self.fetch_tou(context.moment.now),
            }
        }
        // What the heater can do may be known only now.
        self.advance(context);
        // The status that the local broker has kept may be of another day, and of other units.
        if self.state.status.is_some() {
            self.freshness.renew(context.moment.now);
            self.changed(Change::Available(true));
        }
    }

    fn listed(&mut self, device: Device) {
        self.missing = Missing::default();
        let changed = self.state.device.record != device.record;
        self.state.device = device;
        if changed {
            self.state.show_info();
        }
    }

    fn mark_unavailable(&mut self) {
        self.freshness.expire();
        self.changed(Change::Available(false));
    }

    fn poll(&mut self, poll: Poll, context: &Context<'_>) {
        match poll {
            Poll::Status => self.ask(&Query::Status, context),
            Poll::Information => {
                for query in [Query::Information, Query::Diagnostics, Query::Firmware] {
                    self.ask(&query, context);
                }
            }
            Poll::Energy => {
                for query in energy::questions(context.moment.wall) {
                    self.ask(&query, context);
                }
            }
            Poll::Schedules => {
                self.ask(&Query::Reservations, context);
                if self.state.recirculates() {
                    self.ask(&Query::Recirculation, context);
                }
                self.fetch_tou(context.moment.now);
            }
        }
    }

    /// Asks as soon as the last query for the same has been answered and is a second old.
    fn ask(&mut self, query: &Query, context: &Context<'_>) {
        if self.queries.wish(query, context.moment.now) {
            self.send_query(query, false, context);
        }
    }

    /// Asks at once: a command waits for the answer.
    fn ask_for_command(&mut self, query: &Query, context: &Context<'_>) {
        self.queries.sent(query, context.moment.now);
        self.send_query(query, true, context);
    }

    fn send_query(&mut self, query: &Query, urgent: bool, context: &Context<'_>) {
        if *query == Query::Status {
            self.changed(Change::Answer("counters", self.queries.counters()));
        }
        let message = query.message(&self.state.device, context.identity);
        // Only the status is sure to be answered; the others depend on the heater and its firmware.
        self.effects.push_back(Effect::Send { message, answered: *query == Query::Status, urgent });
    }

    /// Fetches the time-of-use schedule as soon as the REST API may be asked again.
    fn fetch_tou(&mut self, now: Instant) {
        if self.state.capabilities.controller_serial().is_some() {
            self.tou.wish(now);
            self.fetch_due_tou(now);
        }
    }

    fn fetch_due_tou(&mut self, now: Instant) {
        let due = self.tou.take_due(now);
        if let Some(controller_serial) = self.state.capabilities.controller_serial().filter(|_| due) {
            let controller_serial = controller_serial.to_owned();
            self.effects.push_back(Effect::FetchTou { controller_serial });
        }
    }

    fn changed(&mut self, change: Change) {
        self.effects.push_back(Effect::Changed(change));
    }

    fn take_effects(&mut self) {
        self.effects.append(&mut self.state.effects);
    }
}
