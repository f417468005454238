//! Commands to the heaters: each is queued, sent and judged, and ends exactly once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::json;

use super::set::{self, Edit, Known, Payload, Plan};
use super::{Bridge, Effect};
use crate::model::{Mac, Moment};
use crate::navilink::control::{Control, Schedule};
use crate::navilink::encoding::{Object, whole};
use crate::navilink::message::{Body, Message};
use crate::navilink::request::Query;
use crate::navilink::schedule::complete_entries;
use crate::navilink::topics;

/// `failCode` of a control that came too soon after the one before it (protocol reference, section 4).
const TOO_SOON: i64 = 2;
/// The pauses after each such refusal in a row; how long the heater wants is not known, so they grow.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];
/// An acknowledged control is to be shown by a status within this time; it is confirmed either way.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// The status is requested once more so long after an acknowledgement that does not show the control.
const RECHECK_AFTER: Duration = Duration::from_secs(2);
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
    /// How long a heater may take to acknowledge one.
    pub answer_within: Duration,
}

/// The commands of one heater: one is under way, the others wait in order.
#[derive(Debug, Default)]
pub struct Commands {
    waiting: VecDeque<Command>,
    flight: Option<Flight>,
    /// Acknowledged, but no status has shown them yet; at most one of each name.
    acknowledged: Vec<Acknowledged>,
    /// Until when the heater takes no mode, temperature or power, as a refusal said.
    paused_until: Option<Instant>,
    /// Such refusals in a row.
    refusals: usize,
}

#[derive(Debug, Clone)]
struct Command {
    name: String,
    payload: Payload,
    arrived: Instant,
    /// It has been sent before, and the heater asked for a pause.
    refused: bool,
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
    /// Sent; the heater has not acknowledged it yet.
    Sent(Control),
}

#[derive(Debug)]
struct Acknowledged {
    command: Command,
    control: Control,
    /// When the status is to be requested again, once.
    recheck_at: Option<Instant>,
    until: Instant,
}

/// What became of a command, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Queued(String),
    Sent,
    Confirmed,
    /// Acknowledged by the heater, but its fields do not show it.
    NotInForce(&'static str),
    Rejected(String),
    Expired(String),
    Failed(String),
}

impl Outcome {
    fn into_words(self) -> (&'static str, Option<String>) {
        match self {
            Self::Queued(reason) => ("queued", Some(reason)),
            Self::Sent => ("sent", None),
            Self::Confirmed => ("confirmed", None),
            Self::NotInForce(reason) => ("confirmed", Some(reason.to_owned())),
            Self::Rejected(reason) => ("rejected", Some(reason)),
            Self::Expired(reason) => ("expired", Some(reason)),
            Self::Failed(reason) => ("failed", Some(reason)),
        }
    }
}

impl Command {
    /// Returns whether it has to wait while the heater takes no mode, temperature or power.
    fn observes_pause(&self) -> bool {
        self.refused || matches!(self.name.as_str(), "power" | "mode" | "temperature")
    }
}

impl Commands {
    fn due(&self, max_age: Duration) -> Option<Instant> {
        let oldest = self.waiting.iter().map(|command| command.arrived + max_age);
        let acknowledged = self.acknowledged.iter().map(|held| held.recheck_at.unwrap_or(held.until));
        let flight = self.flight.as_ref().map(|flight| flight.until);
        oldest.chain(acknowledged).chain(flight).chain(self.paused_until).min()
    }

    /// Takes the next command that may be sent now.
    fn next(&mut self) -> Option<Command> {
        let may_go = |command: &Command| self.paused_until.is_none() || !command.observes_pause();
        let place = self.waiting.iter().position(may_go)?;
        self.waiting.remove(place)
    }

    /// Puts a command back that the heater refused as too early; returns for how long it waits.
    fn pause(&mut self, command: Command, now: Instant) -> Duration {
        let pause = PAUSES[self.refusals.min(PAUSES.len() - 1)];
        self.refusals += 1;
        self.paused_until = Some(now + pause);
        self.waiting.push_front(Command { refused: true, ..command });
        pause
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
        let command = |payload| Command { name: name.to_owned(), payload, arrived: moment.now, refused: false };
        match read {
            Ok(payload) => {
                let command = command(payload);
                if let Err(reason) = self.queue(mac, &command, moment) {
                    self.publish_outcome(mac, &command, Outcome::Rejected(reason), moment);
                }
            }
            Err(reason) => self.publish_outcome(mac, &command(Payload::default()), Outcome::Rejected(reason), moment),
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
            self.publish_outcome(mac, &older, Outcome::Expired(reason), moment);
        }
        let before = self.effects.len();
        self.advance(mac, moment);
        if self.effects.len() == before {
            let reason = self.why_it_waits(mac).to_owned();
            self.publish_outcome(mac, command, Outcome::Queued(reason), moment);
        }
        Ok(())
    }

    fn why_it_waits(&self, mac: &Mac) -> &'static str {
        let Some(held) = self.heaters.get(mac) else { return NO_HEATER };
        if self.session.is_none() {
            "the cloud is away"
        } else if !held.capabilities.is_known() {
            "the heater has not said yet what it can do"
        } else if held.commands.flight.is_none() && held.commands.paused_until.is_some() {
            "the heater asked for a pause"
        } else {
            "others are before it"
        }
    }

    fn plan(&self, mac: &Mac, command: &Command) -> Result<Plan, String> {
        let held = self.heaters.get(mac).ok_or(NO_HEATER)?;
        let known = Known {
            capabilities: &held.capabilities,
            status: held.status.as_ref(),
            units: held.units,
            allow_firmware_commit: self.settings.commands.allow_firmware_commit,
        };
        set::plan(&command.name, &command.payload, known)
    }

    /// Sends the next command, if the way is free and the heater's abilities are known.
    pub(super) fn advance(&mut self, mac: &Mac, moment: Moment) {
        while self.session.is_some() {
            let Some(held) = self.heaters.get_mut(mac) else { return };
            if held.commands.flight.is_some() || !held.capabilities.is_known() {
                return;
            }
            let Some(command) = held.commands.next() else { return };
            match self.plan(mac, &command) {
                Ok(Plan::Control(control)) => self.send(mac, command, control, moment),
                Ok(Plan::Edit(edit)) => {
                    self.ask(mac, &Query::Reservations);
                    self.fly(mac, Flight { command, step: Step::Reading(edit), until: self.patience(moment) });
                }
                Err(reason) => self.publish_outcome(mac, &command, Outcome::Rejected(reason), moment),
            }
        }
    }

    fn send(&mut self, mac: &Mac, command: Command, control: Control, moment: Moment) {
        let Some(held) = self.heaters.get(mac) else { return };
        let message = control.message(&held.heater, &self.identity);
        self.effects.push_back(Effect::Request { message, answered: false });
        // The answer shows what changed besides, and that the session is alive.
        self.ask(mac, &Query::Status);
        if !command.refused {
            self.publish_outcome(mac, &command, Outcome::Sent, moment);
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

    /// Looks whether a message of the heater says something of its commands.
    pub(super) fn judge(&mut self, mac: &Mac, topic: &str, message: &Message, moment: Moment) {
        if let Body::Status(status) = &message.body {
            self.confirm_shown(mac, status, moment);
        }
        let ours = self.identity.client.as_str();
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let on_our_topic = topic == topics::default_answer(&held.heater, &self.identity.client);
        let Some(flight) = held.commands.flight.take() else { return };
        let word = Word {
            body: &message.body,
            acknowledges: on_our_topic && message.answers_control(),
            refuses: !message.names_another_client(ours),
        };
        match verdict(&flight, word) {
            Judgement::Nothing => return self.fly(mac, flight),
            Judgement::Write(Ok(control)) => return self.send(mac, flight.command, control, moment),
            Judgement::TooSoon => {
                let pause = held.commands.pause(flight.command.clone(), moment.now);
                let reason = format!("the heater asked for a pause of {}", humantime::format_duration(pause));
                // No result is published: it has been sent, and will be again.
                let (mac, name) = (mac.clone(), flight.command.name);
                self.effects.push_back(Effect::Command { mac, name, status: "waits", reason: Some(reason) });
            }
            Judgement::Acknowledged(control, shown) => {
                self.acknowledged(mac, flight.command, (!shown).then_some(control), moment);
            }
            Judgement::Confirmed => self.publish_outcome(mac, &flight.command, Outcome::Confirmed, moment),
            Judgement::Write(Err(reason)) | Judgement::Refused(reason) => {
                self.publish_outcome(mac, &flight.command, Outcome::Rejected(reason), moment);
            }
        }
        self.advance(mac, moment);
    }

    /// The heater took a control: it is confirmed now, or, when `not_shown` names it, as soon as a status shows it or none
    /// has in time.
    fn acknowledged(&mut self, mac: &Mac, command: Command, not_shown: Option<Control>, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        if command.observes_pause() {
            held.commands.refusals = 0;
        }
        let older = held.commands.acknowledged.iter().position(|held| held.command.name == command.name);
        let older = older.map(|place| held.commands.acknowledged.remove(place));
        let shown = not_shown.is_none();
        if let Some(control) = not_shown {
            held.commands.acknowledged.push(Acknowledged {
                command: command.clone(),
                control,
                recheck_at: Some(moment.now + RECHECK_AFTER),
                until: moment.now + SHOWN_WITHIN,
            });
        }
        if let Some(older) = older {
            let outcome = Outcome::NotInForce("the heater accepted it, and then a newer command");
            self.publish_outcome(mac, &older.command, outcome, moment);
        }
        if shown {
            self.publish_outcome(mac, &command, Outcome::Confirmed, moment);
        }
    }

    /// Confirms what was acknowledged before and is shown by a status now.
    fn confirm_shown(&mut self, mac: &Mac, status: &Object, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let shown = |held: &mut Acknowledged| held.control.is_shown_by(status) == Some(true);
        let confirmed: Vec<Acknowledged> = held.commands.acknowledged.extract_if(.., shown).collect();
        for held in confirmed {
            self.publish_outcome(mac, &held.command, Outcome::Confirmed, moment);
        }
    }

    /// Ends what no status has shown in time, and requests the status once before that.
    fn recheck_acknowledged(&mut self, mac: &Mac, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let over = held.commands.acknowledged.extract_if(.., |held| held.until <= moment.now).collect::<Vec<_>>();
        let mut recheck = false;
        for held in &mut held.commands.acknowledged {
            recheck |= held.recheck_at.take_if(|at| *at <= moment.now).is_some();
        }
        for held in over {
            let outcome = Outcome::NotInForce(
                "the heater accepted it, but its status does not show it yet: a time-of-use period may hold it",
            );
            self.publish_outcome(mac, &held.command, outcome, moment);
        }
        if recheck && self.session.is_some() {
            self.ask(mac, &Query::Status);
        }
    }

    /// Lets expire what waited too long, and ends what was not acknowledged in time.
    pub(super) fn commands_on_time(&mut self, moment: Moment) {
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            let max_age = self.settings.commands.max_age;
            let Some(held) = self.heaters.get_mut(&mac) else { continue };
            let old = |command: &Command| command.arrived + max_age <= moment.now;
            let (expired, waiting): (Vec<Command>, Vec<Command>) = held.commands.waiting.drain(..).partition(old);
            held.commands.waiting = waiting.into();
            held.commands.paused_until.take_if(|until| *until <= moment.now);
            let overdue = held.commands.flight.take_if(|flight| flight.until <= moment.now);
            for command in expired {
                let waited = humantime::format_duration(max_age);
                let reason = match command.refused {
                    true => format!("the heater asked for a pause again and again, for {waited}"),
                    false => format!("it waited for {waited}"),
                };
                self.publish_outcome(&mac, &command, Outcome::Expired(reason), moment);
            }
            if let Some(flight) = overdue {
                self.overdue(&mac, flight, moment);
            }
            self.recheck_acknowledged(&mac, moment);
            self.advance(&mac, moment);
        }
    }

    fn overdue(&mut self, mac: &Mac, flight: Flight, moment: Moment) {
        let within = humantime::format_duration(self.settings.commands.answer_within);
        let reason = match flight.step {
            Step::Reading(_) => format!("the reservations could not be read within {within}"),
            Step::Sent(_) => format!("the heater did not acknowledge it within {within}"),
        };
        self.publish_outcome(mac, &flight.command, Outcome::Failed(reason), moment);
    }

    /// Returns when [`Bridge::commands_on_time`] is wanted.
    pub(super) fn commands_due(&self) -> Option<Instant> {
        self.heaters.values().filter_map(|held| held.commands.due(self.settings.commands.max_age)).min()
    }

    /// Ends what is under way: whether it was obeyed will not be known, and nothing is done twice.
    pub(super) fn end_flights(&mut self, moment: Moment) {
        let all: Vec<Mac> = self.heaters.keys().cloned().collect();
        for mac in all {
            self.end_sent(&mac, "the connection was lost before the heater acknowledged it", moment);
        }
    }

    fn end_sent(&mut self, mac: &Mac, reason: &str, moment: Moment) {
        let Some(held) = self.heaters.get_mut(mac) else { return };
        let acknowledged = std::mem::take(&mut held.commands.acknowledged);
        let flight = held.commands.flight.take();
        for held in acknowledged {
            let outcome = Outcome::NotInForce("the heater accepted it; no status has shown it before the end");
            self.publish_outcome(mac, &held.command, outcome, moment);
        }
        if let Some(flight) = flight {
            self.publish_outcome(mac, &flight.command, Outcome::Failed(reason.to_owned()), moment);
        }
    }

    /// Ends everything, since the bridge or the heater goes away.
    pub(super) fn end_commands(&mut self, mac: &Mac, reason: &str, moment: Moment) {
        self.end_sent(mac, reason, moment);
        let Some(held) = self.heaters.get_mut(mac) else { return };
        for command in std::mem::take(&mut held.commands).waiting {
            self.publish_outcome(mac, &command, Outcome::Expired(reason.to_owned()), moment);
        }
    }

    fn publish_outcome(&mut self, mac: &Mac, command: &Command, outcome: Outcome, moment: Moment) {
        let in_force = !matches!(outcome, Outcome::NotInForce(_));
        let (status, reason) = outcome.into_words();
        let mut result = json!({ "name": command.name, "status": status });
        if let Some(id) = &command.payload.id {
            result["id"] = id.clone();
        }
        if !in_force {
            result["in_force"] = false.into();
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

/// A message of the heater, as far as it concerns the command under way.
#[derive(Clone, Copy)]
struct Word<'m> {
    body: &'m Body,
    /// It came on our response topic and answers a control.
    acknowledges: bool,
    /// A refusal in it is not another client's.
    refuses: bool,
}

/// What a message says of a command.
enum Judgement {
    Nothing,
    Confirmed,
    /// The heater took the control; whether this status shows it too, as far as any can.
    Acknowledged(Control, bool),
    Refused(String),
    TooSoon,
    /// The reservations were read; this is to be written.
    Write(Result<Control, String>),
}

fn verdict(flight: &Flight, word: Word<'_>) -> Judgement {
    let confirmed_if = |yes: bool| if yes { Judgement::Confirmed } else { Judgement::Nothing };
    match (&flight.step, word.body) {
        (Step::Reading(edit), Body::Reservations(answer)) => Judgement::Write(edited(edit, answer)),
        (Step::Sent(_), Body::ControlRefused { fail_code }) if word.refuses => match fail_code {
            Some(TOO_SOON) => Judgement::TooSoon,
            Some(code) => Judgement::Refused(format!("the heater refused it (fail code {code})")),
            None => Judgement::Refused("the heater refused it".to_owned()),
        },
        (Step::Sent(Control::Reservations(written)), Body::Reservations(answer))
        | (Step::Sent(Control::Recirculation(written)), Body::Recirculation(answer))
        | (Step::Sent(Control::TouSchedule { schedule: written, .. }), Body::Tou(answer)) => {
            confirmed_if(written.is_held_by(answer))
        }
        (Step::Sent(Control::CommitFirmware { .. }), Body::FirmwareCommitted) => Judgement::Confirmed,
        (Step::Sent(control), Body::Status(status)) if word.acknowledges && control.is_acknowledged_by_status() => {
            Judgement::Acknowledged(control.clone(), control.is_shown_by(status).unwrap_or(true))
        }
        _ => Judgement::Nothing,
    }
}

/// Changes the reservations that a heater holds; what could not be written back as it was is not written at all.
fn edited(edit: &Edit, answer: &Object) -> Result<Control, String> {
    let enabled = match answer.get("reservationUse").and_then(|value| whole(value).ok()) {
        Some(1) => false,
        Some(2) => true,
        _ => return Err("the heater does not say whether its reservations are enabled; nothing is written".to_owned()),
    };
    let mut entries = complete_entries(answer)?;
    edit.apply(&mut entries)?;
    Ok(Control::Reservations(Schedule { enabled, entries }))
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
