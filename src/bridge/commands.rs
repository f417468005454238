//! Commands to the heaters: each is queued, sent and judged, and ends exactly once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::json;

use super::set::{self, Edit, Known, Payload, Plan};
use super::{Bridge, Effect, Moment};
use crate::navilink::control::{Control, Schedule};
use crate::navilink::encoding::whole;
use crate::navilink::message::Body;
use crate::navilink::request::Query;
use crate::navilink::schedule::raw_entries;
use crate::units::Mac;

/// `failCode` of a control that came too soon after the one before it (protocol reference, section 4).
const TOO_SOON: i64 = 2;
/// Such a control is sent again after so long.
const REST: Duration = Duration::from_secs(2);
/// So many times, and then it is refused.
const MOST_TRIES: u32 = 5;
const MAX_PAYLOAD: usize = 64 * 1024;
const NO_HEATER: &str = "there is no such heater in this account";

/// How commands are treated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many may wait, all heaters together.
    pub max_queued: usize,
    /// How long one may wait.
    pub max_age: Duration,
    /// Whether firmware may be committed.
    pub allow_firmware_commit: bool,
    /// How long a heater may take to confirm one.
    pub answer_within: Duration,
}

/// The commands of one heater: one is under way, the others wait in order.
#[derive(Debug, Default)]
pub struct Commands {
    waiting: VecDeque<Command>,
    flight: Option<Flight>,
}

#[derive(Debug, Clone)]
struct Command {
    name: String,
    payload: Payload,
    arrived: Instant,
    /// How often it was sent.
    tries: u32,
}

#[derive(Debug)]
struct Flight {
    command: Command,
    step: Step,
    until: Instant,
}

#[derive(Debug)]
enum Step {
    /// The reservations are being read, to be changed.
    Reading(Edit),
    /// Sent; the heater has not confirmed it yet.
    Sent(Control),
    /// The heater wants a moment's rest.
    Resting(Control),
}

/// What became of a command, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Queued(&'static str),
    Sent,
    Confirmed,
    Rejected(String),
    Expired(String),
    Failed(String),
}

impl Outcome {
    fn into_words(self) -> (&'static str, Option<String>) {
        match self {
            Self::Queued(reason) => ("queued", Some(reason.to_owned())),
            Self::Sent => ("sent", None),
            Self::Confirmed => ("confirmed", None),
            Self::Rejected(reason) => ("rejected", Some(reason)),
            Self::Expired(reason) => ("expired", Some(reason)),
            Self::Failed(reason) => ("failed", Some(reason)),
        }
    }
}

impl Commands {
    fn due(&self, max_age: Duration) -> Option<Instant> {
        let oldest = self.waiting.iter().map(|command| command.arrived + max_age).min();
        oldest.into_iter().chain(self.flight.as_ref().map(|flight| flight.until)).min()
    }
}

impl Bridge {
    /// Takes a `set` of the local broker. An empty payload is nobody's command: it clears a retained message.
    pub(super) fn set(&mut self, mac: &Mac, name: &str, payload: &[u8], moment: Moment) {
        if payload.is_empty() {
            return;
        }
        let read = match payload.len() {
            0..=MAX_PAYLOAD => Payload::read(payload),
            _ => Err(format!("the payload is larger than {MAX_PAYLOAD} bytes")),
        };
        let command = |payload| Command { name: name.to_owned(), payload, arrived: moment.now, tries: 0 };
        match read {
            Ok(payload) => {
                let command = command(payload);
                if let Err(reason) = self.queue(mac, &command, moment) {
                    self.tell(mac, &command, Outcome::Rejected(reason), moment);
                }
            }
            Err(reason) => self.tell(mac, &command(Payload::default()), Outcome::Rejected(reason), moment),
        }
    }

    fn queue(&mut self, mac: &Mac, command: &Command, moment: Moment) -> Result<(), String> {
        let waiting: usize = self.heaters.values().map(|held| held.commands.waiting.len()).sum();
        let max_queued = self.settings.commands.max_queued;
        self.plan(mac, command)?;
        let held = self.heaters.get_mut(mac).ok_or(NO_HEATER)?;
        let replaced = held.commands.waiting.iter().position(|other| other.name == command.name);
        let replaced = replaced.filter(|_| !command.name.starts_with("reservation_"));
        let replaced = replaced.and_then(|place| held.commands.waiting.remove(place));
        if replaced.is_none() && waiting >= max_queued {
            return Err(format!("the queue is full: {max_queued} commands wait"));
        }
        held.commands.waiting.push_back(command.clone());
        if let Some(older) = replaced {
            let reason = "a newer command took its place".to_owned();
            self.tell(mac, &older, Outcome::Expired(reason), moment);
        }
        let before = self.effects.len();
        self.advance(mac, moment);
        let went = self.effects.len() > before;
        let reason = if self.session.is_none() { "the cloud is away" } else { "others are before it" };
        if !went {
            self.tell(mac, command, Outcome::Queued(reason), moment);
        }
        Ok(())
    }

    fn plan(&self, mac: &Mac, command: &Command) -> Result<Plan, String> {
        let held = self.heaters.get(mac).ok_or(NO_HEATER)?;
        let known = Known {
            feature: held.feature.as_ref(),
            status: held.status.as_ref(),
            units: held.units,
            controller_serial: held.controller_serial.as_deref(),
            allow_firmware_commit: self.settings.commands.allow_firmware_commit,
        };
        set::plan(&command.name, &command.payload, known)
    }

    /// Sends the next command, if the way is free and the heater's abilities are known.
    pub(super) fn advance(&mut self, mac: &Mac, moment: Moment) {
        while self.session.is_some() {
            let Some(held) = self.heaters.get_mut(mac) else { return };
            if held.commands.flight.is_some() || held.feature.is_none() {
                return;
            }
            let Some(command) = held.commands.waiting.pop_front() else { return };
            match self.plan(mac, &command) {
                Ok(Plan::Control(control)) => self.send(mac, command, control, moment),
                Ok(Plan::Edit(edit)) => {
                    self.ask(mac, &Query::Reservations);
                    self.fly(mac, Flight { command, step: Step::Reading(edit), until: self.patience(moment) });
                }
                Err(reason) => self.tell(mac, &command, Outcome::Rejected(reason), moment),
            }
        }
    }

    fn send(&mut self, mac: &Mac, mut command: Command, control: Control, moment: Moment) {
        let Some(held) = self.heaters.get(mac) else { return };
        let message = control.message(&held.heater, &self.identity);
        self.effects.push_back(Effect::Request { message, answered: false });
        // What changed is to be seen at once, and some controls are confirmed by no other word.
        self.ask(mac, &Query::Status);
        command.tries += 1;
        if command.tries == 1 {
            self.tell(mac, &command, Outcome::Sent, moment);
        }
        self.fly(mac, Flight { command, step: Step::Sent(control), until: self.patience(moment) });
    }

    fn fly(&mut self, mac: &Mac, flight: Flight) {
        if let Some(held) = self.heaters.get_mut(mac) {
            held.commands.flight = Some(flight);
        }
    }

    fn patience(&self, moment: Moment) -> Instant {
        moment.now + self.settings.commands.answer_within
    }

    /// Looks whether a message of the heater says something of the command under way.
    pub(super) fn judge(&mut self, mac: &Mac, client: Option<&str>, body: &Body, moment: Moment) {
        let Some(flight) = self.heaters.get_mut(mac).and_then(|held| held.commands.flight.take()) else { return };
        let ours = client == Some(self.identity.client.as_str());
        match verdict(&flight, ours, body) {
            Judgement::Nothing => return self.fly(mac, flight),
            Judgement::Write(Ok(control)) => return self.send(mac, flight.command, control, moment),
            Judgement::Rest(control) => {
                let flight = Flight { step: Step::Resting(control), until: moment.now + REST, ..flight };
                return self.fly(mac, flight);
            }
            Judgement::Confirmed => self.tell(mac, &flight.command, Outcome::Confirmed, moment),
            Judgement::Write(Err(reason)) | Judgement::Refused(reason) => {
                self.tell(mac, &flight.command, Outcome::Rejected(reason), moment);
            }
        }
        self.advance(mac, moment);
    }

    /// Lets expire what waited too long, and ends what was not confirmed in time.
    pub(super) fn commands_on_time(&mut self, moment: Moment) {
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            let max_age = self.settings.commands.max_age;
            let Some(held) = self.heaters.get_mut(&mac) else { continue };
            let old = |command: &Command| command.arrived + max_age <= moment.now;
            let (expired, waiting): (Vec<Command>, Vec<Command>) = held.commands.waiting.drain(..).partition(old);
            held.commands.waiting = waiting.into();
            let overdue = held.commands.flight.take_if(|flight| flight.until <= moment.now);
            for command in expired {
                let reason = format!("it waited for {}", humantime::format_duration(max_age));
                self.tell(&mac, &command, Outcome::Expired(reason), moment);
            }
            if let Some(flight) = overdue {
                self.overdue(&mac, flight, moment);
            }
            self.advance(&mac, moment);
        }
    }

    fn overdue(&mut self, mac: &Mac, flight: Flight, moment: Moment) {
        let within = humantime::format_duration(self.settings.commands.answer_within);
        let reason = match flight.step {
            Step::Resting(control) => return self.send(mac, flight.command, control, moment),
            Step::Reading(_) => format!("the reservations could not be read within {within}"),
            Step::Sent(_) => format!("the heater did not confirm it within {within}"),
        };
        self.tell(mac, &flight.command, Outcome::Failed(reason), moment);
    }

    /// Returns when [`Bridge::commands_on_time`] is wanted.
    pub(super) fn commands_due(&self) -> Option<Instant> {
        self.heaters.values().filter_map(|held| held.commands.due(self.settings.commands.max_age)).min()
    }

    /// Ends what is under way: whether it was obeyed will not be known, and nothing is done twice.
    pub(super) fn end_flights(&mut self, moment: Moment) {
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            let flight = self.heaters.get_mut(&mac).and_then(|held| held.commands.flight.take());
            if let Some(flight) = flight {
                let reason = "the connection was lost before the heater confirmed it".to_owned();
                self.tell(&mac, &flight.command, Outcome::Failed(reason), moment);
            }
        }
    }

    /// Ends everything, since the bridge or the heater goes away.
    pub(super) fn end_commands(&mut self, mac: &Mac, reason: &str, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let Commands { waiting, flight } = std::mem::take(&mut held.commands);
        if let Some(flight) = flight {
            self.tell(mac, &flight.command, Outcome::Failed(reason.to_owned()), moment);
        }
        for command in waiting {
            self.tell(mac, &command, Outcome::Expired(reason.to_owned()), moment);
        }
    }

    fn tell(&mut self, mac: &Mac, command: &Command, outcome: Outcome, moment: Moment) {
        let (status, reason) = outcome.into_words();
        let mut result = json!({ "name": command.name, "status": status });
        if let Some(id) = &command.payload.id {
            result["id"] = id.clone();
        }
        if let Some(reason) = &reason {
            result["reason"] = reason.as_str().into();
        }
        result["at"] = humantime::format_rfc3339_seconds(moment.wall).to_string().into();
        let topic = self.settings.topics.device(mac, "result");
        self.publish_once(topic, &result);
        self.effects.push_back(Effect::Command { mac: mac.clone(), name: command.name.clone(), status, reason });
    }
}

/// What a message says of a command.
enum Judgement {
    Nothing,
    Confirmed,
    Refused(String),
    Rest(Control),
    /// The reservations were read; this is to be written.
    Write(Result<Control, String>),
}

fn verdict(flight: &Flight, ours: bool, body: &Body) -> Judgement {
    let confirmed_if = |yes: bool| if yes { Judgement::Confirmed } else { Judgement::Nothing };
    match (&flight.step, body) {
        (Step::Reading(edit), Body::Reservations(answer)) => {
            let mut entries = raw_entries(answer);
            let enabled = answer.get("reservationUse").and_then(|value| whole(value).ok()) == Some(2);
            Judgement::Write(edit.apply(&mut entries).map(|()| Control::Reservations(Schedule { enabled, entries })))
        }
        (Step::Sent(control), Body::ControlRefused { fail_code }) if ours => match fail_code {
            Some(TOO_SOON) if flight.command.tries < MOST_TRIES => Judgement::Rest(control.clone()),
            Some(code) => Judgement::Refused(format!("the heater refused it (fail code {code})")),
            None => Judgement::Refused("the heater refused it".to_owned()),
        },
        (Step::Sent(Control::Reservations(written)), Body::Reservations(answer))
        | (Step::Sent(Control::Recirculation(written)), Body::Recirculation(answer))
        | (Step::Sent(Control::TouSchedule { schedule: written, .. }), Body::Tou(answer)) => {
            confirmed_if(written.is_held_by(answer))
        }
        (Step::Sent(Control::CommitFirmware { .. }), Body::FirmwareCommitted) => Judgement::Confirmed,
        (
            Step::Sent(
                Control::Reservations(_)
                | Control::Recirculation(_)
                | Control::TouSchedule { .. }
                | Control::CommitFirmware { .. },
            ),
            _,
        ) => Judgement::Nothing,
        (Step::Sent(control), Body::Status(status)) => confirmed_if(control.is_shown_by(status).unwrap_or(ours)),
        _ => Judgement::Nothing,
    }
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
