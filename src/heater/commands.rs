//! Commands to the heaters: each is queued, sent and judged, and ends exactly once.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::verdict::{Match, Word, verdict};
use super::{Change, Context, Effect, Heater};
use crate::navilink::control::Control;
use crate::navilink::encoding::Object;
use crate::navilink::message::{Body, Message};
use crate::navilink::request::Query;
use crate::navilink::topics;
use crate::product::control::{ControlRow, Edit, Known, Plan};
use crate::product::payload::Payload;

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
    row: Option<&'static ControlRow>,
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

/// Where a command is.
#[derive(Debug)]
pub enum Step {
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

/// What a `set` is told (contract, section 4).
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What it sets.
    pub name: String,
    /// What its payload had as `id`.
    pub id: Option<Value>,
    /// `queued`, `sent`, `confirmed`, …; `None` when nothing new is to be told but `reason`, to a human.
    pub status: Option<&'static str>,
    /// Whether the heater's fields show it, as far as any can.
    pub in_force: bool,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: SystemTime,
}

impl Report {
    /// Rejects a `set` before any heater has seen it.
    pub fn rejected(name: &str, payload: &[u8], reason: &str, at: SystemTime) -> Self {
        let id = Payload::read(payload).ok().and_then(|payload| payload.id);
        Self {
            name: name.to_owned(),
            id,
            status: Some("rejected"),
            in_force: true,
            reason: Some(reason.to_owned()),
            at,
        }
    }
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
        self.refused || self.row.is_some_and(|row| row.paced)
    }
}

impl Commands {
    /// Returns how many wait.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Returns when something of them is due.
    pub fn due(&self, max_age: Duration) -> Option<Instant> {
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

impl Heater {
    /// Takes a `set` of the local broker. An empty payload is nobody's command: it clears a retained message.
    pub(super) fn set(&mut self, name: &str, payload: &[u8], context: &Context<'_>) {
        if payload.is_empty() {
            return;
        }
        let read = match payload.len() {
            0..=MAX_PAYLOAD => Payload::read(payload),
            _ => Err(format!("the payload is larger than {MAX_PAYLOAD} bytes")),
        };
        let arrived = context.moment.now;
        let row = self.product.control(name);
        let command = |payload| Command { name: name.to_owned(), row, payload, arrived, refused: false };
        match read {
            Ok(payload) => {
                let command = command(payload);
                if let Err(reason) = self.queue(&command, context) {
                    self.report(&command, Outcome::Rejected(reason), context);
                }
            }
            Err(reason) => self.report(&command(Payload::default()), Outcome::Rejected(reason), context),
        }
    }

    fn queue(&mut self, command: &Command, context: &Context<'_>) -> Result<(), String> {
        let max_queued = context.settings.commands.max_queued;
        self.plan(command, context)?;
        let waiting = &mut self.commands.waiting;
        let replaced = waiting.iter().position(|other| other.name == command.name);
        let replaced = replaced.filter(|_| !command.row.is_some_and(ControlRow::is_edit));
        let replaced = replaced.and_then(|place| waiting.remove(place));
        if replaced.is_none() && context.queued >= max_queued {
            return Err(format!("the queue is full: {max_queued} commands wait"));
        }
        waiting.push_back(command.clone());
        if let Some(older) = replaced {
            self.report(&older, Outcome::Expired("a newer command took its place".to_owned()), context);
        }
        let before = self.effects.len();
        self.advance(context);
        if self.effects.len() == before {
            let reason = self.why_it_waits(context).to_owned();
            self.report(command, Outcome::Queued(reason), context);
        }
        Ok(())
    }

    fn why_it_waits(&self, context: &Context<'_>) -> &'static str {
        if context.session.is_none() {
            "the cloud is away"
        } else if !self.capabilities.is_known() {
            "the heater has not said yet what it can do"
        } else if self.commands.flight.is_none() && self.commands.paused_until.is_some() {
            "the heater asked for a pause"
        } else {
            "others are before it"
        }
    }

    fn plan(&self, command: &Command, context: &Context<'_>) -> Result<Plan, String> {
        let known = Known {
            capabilities: &self.capabilities,
            status: self.status.as_ref(),
            units: self.units,
            allow_firmware_commit: context.settings.commands.allow_firmware_commit,
        };
        let row = command.row.ok_or_else(|| self.product.no_such_control())?;
        row.plan(&command.payload, known)
    }

    /// Sends the next command, if the way is free and the heater's abilities are known.
    pub(super) fn advance(&mut self, context: &Context<'_>) {
        while context.session.is_some() && self.commands.flight.is_none() && self.capabilities.is_known() {
            let Some(command) = self.commands.next() else { return };
            match self.plan(&command, context) {
                Ok(Plan::Control(control)) => self.send(command, control, context),
                Ok(Plan::Edit(edit)) => {
                    self.ask_for_command(&Query::Reservations, context);
                    self.set_in_flight(command, Step::Reading(edit), context);
                }
                Err(reason) => self.report(&command, Outcome::Rejected(reason), context),
            }
        }
    }

    fn send(&mut self, command: Command, control: Control, context: &Context<'_>) {
        let message = control.message(&self.device, context.identity);
        self.effects.push_back(Effect::Send { message, answered: false, urgent: true });
        // The answer shows what changed besides, and that the session is alive.
        self.ask(&Query::Status, context);
        if !command.refused {
            self.report(&command, Outcome::Sent, context);
        }
        self.set_in_flight(command, Step::Sent(control), context);
    }

    fn set_in_flight(&mut self, command: Command, step: Step, context: &Context<'_>) {
        let until = context.moment.now + context.settings.commands.answer_within;
        self.commands.flight = Some(Flight { command, step, until });
    }

    /// Looks whether a message of the heater says something of its commands.
    pub(super) fn judge(&mut self, topic: &str, message: &Message, context: &Context<'_>) {
        if let Body::Status(status) = &message.body {
            self.confirm_shown(status, context);
        }
        let Some(flight) = self.commands.flight.take() else { return };
        let client = &context.identity.client;
        let on_our_topic = topic == topics::default_answer(&self.device, client);
        let word = Word {
            body: &message.body,
            acknowledges: on_our_topic && message.answers_control(),
            refuses: !message.names_another_client(client.as_str()),
        };
        match verdict(&flight.step, word) {
            Match::Nothing => {
                self.commands.flight = Some(flight);
                return;
            }
            Match::Write(Ok(control)) => return self.send(flight.command, control, context),
            Match::TooSoon => {
                let pause = self.commands.pause(flight.command.clone(), context.moment.now);
                let reason = format!("the heater asked for a pause of {}", humantime::format_duration(pause));
                // No result is published: it has been sent, and will be again.
                self.changed(Change::Command(Report {
                    name: flight.command.name,
                    id: flight.command.payload.id,
                    status: None,
                    in_force: true,
                    reason: Some(reason),
                    at: context.moment.wall,
                }));
            }
            Match::Acknowledged(control, shown) => {
                self.acknowledged(flight.command, (!shown).then_some(control), context);
            }
            Match::Confirmed => self.report(&flight.command, Outcome::Confirmed, context),
            Match::Write(Err(reason)) | Match::Refused(reason) => {
                self.report(&flight.command, Outcome::Rejected(reason), context);
            }
        }
        self.advance(context);
    }

    /// The heater took a control: it is confirmed now, or, when `not_shown` names it, as soon as a status shows it or none
    /// has in time.
    fn acknowledged(&mut self, command: Command, not_shown: Option<Control>, context: &Context<'_>) {
        if command.observes_pause() {
            self.commands.refusals = 0;
        }
        let acknowledged = &mut self.commands.acknowledged;
        let older = acknowledged.iter().position(|held| held.command.name == command.name);
        let older = older.map(|place| acknowledged.remove(place));
        let shown = not_shown.is_none();
        if let Some(control) = not_shown {
            let now = context.moment.now;
            acknowledged.push(Acknowledged {
                command: command.clone(),
                control,
                recheck_at: Some(now + RECHECK_AFTER),
                until: now + SHOWN_WITHIN,
            });
        }
        if let Some(older) = older {
            let outcome = Outcome::NotInForce("the heater accepted it, and then a newer command");
            self.report(&older.command, outcome, context);
        }
        if shown {
            self.report(&command, Outcome::Confirmed, context);
        }
    }

    /// Confirms what was acknowledged before and is shown by a status now.
    fn confirm_shown(&mut self, status: &Object, context: &Context<'_>) {
        let shown = |held: &mut Acknowledged| held.control.is_shown_by(status) == Some(true);
        let confirmed: Vec<Acknowledged> = self.commands.acknowledged.extract_if(.., shown).collect();
        for held in confirmed {
            self.report(&held.command, Outcome::Confirmed, context);
        }
    }

    /// Ends what no status has shown in time, and requests the status once before that.
    fn recheck_acknowledged(&mut self, context: &Context<'_>) {
        let now = context.moment.now;
        let acknowledged = &mut self.commands.acknowledged;
        let over = acknowledged.extract_if(.., |held| held.until <= now).collect::<Vec<_>>();
        let mut recheck = false;
        for held in acknowledged {
            recheck |= held.recheck_at.take_if(|at| *at <= now).is_some();
        }
        for held in over {
            let outcome = Outcome::NotInForce(
                "the heater accepted it, but its status does not show it yet: a time-of-use period may hold it",
            );
            self.report(&held.command, outcome, context);
        }
        if recheck && context.session.is_some() {
            self.ask(&Query::Status, context);
        }
    }

    /// Lets expire what waited too long, and ends what was not acknowledged in time.
    pub(super) fn commands_on_time(&mut self, context: &Context<'_>) {
        let (now, max_age) = (context.moment.now, context.settings.commands.max_age);
        let old = |command: &Command| command.arrived + max_age <= now;
        let (expired, waiting): (Vec<Command>, Vec<Command>) = self.commands.waiting.drain(..).partition(old);
        self.commands.waiting = waiting.into();
        self.commands.paused_until.take_if(|until| *until <= now);
        let overdue = self.commands.flight.take_if(|flight| flight.until <= now);
        for command in expired {
            let waited = humantime::format_duration(max_age);
            let reason = match command.refused {
                true => format!("the heater asked for a pause again and again, for {waited}"),
                false => format!("it waited for {waited}"),
            };
            self.report(&command, Outcome::Expired(reason), context);
        }
        if let Some(flight) = overdue {
            self.overdue(&flight, context);
        }
        self.recheck_acknowledged(context);
        self.advance(context);
    }

    fn overdue(&mut self, flight: &Flight, context: &Context<'_>) {
        let within = humantime::format_duration(context.settings.commands.answer_within);
        let reason = match flight.step {
            Step::Reading(_) => format!("the reservations could not be read within {within}"),
            Step::Sent(_) => format!("the heater did not acknowledge it within {within}"),
        };
        self.report(&flight.command, Outcome::Failed(reason), context);
    }

    /// Ends what is under way: whether it was obeyed will not be known, and nothing is done twice.
    pub(super) fn end_sent(&mut self, reason: &str, context: &Context<'_>) {
        for held in std::mem::take(&mut self.commands.acknowledged) {
            let outcome = Outcome::NotInForce("the heater accepted it; no status has shown it before the end");
            self.report(&held.command, outcome, context);
        }
        if let Some(flight) = self.commands.flight.take() {
            self.report(&flight.command, Outcome::Failed(reason.to_owned()), context);
        }
    }

    /// Ends everything, since the bridge or the heater goes away.
    pub(super) fn end_commands(&mut self, reason: &str, context: &Context<'_>) {
        self.end_sent(reason, context);
        for command in std::mem::take(&mut self.commands).waiting {
            self.report(&command, Outcome::Expired(reason.to_owned()), context);
        }
    }

    fn report(&mut self, command: &Command, outcome: Outcome, context: &Context<'_>) {
        let in_force = !matches!(outcome, Outcome::NotInForce(_));
        let (status, reason) = outcome.into_words();
        let (name, id) = (command.name.clone(), command.payload.id.clone());
        let report = Report { name, id, status: Some(status), in_force, reason, at: context.moment.wall };
        self.changed(Change::Command(report));
    }
}
