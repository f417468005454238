//! Commands to the heaters: each is queued, sent and judged, and ends exactly once.

use std::time::{Duration, Instant};

use super::outcome::Outcome;
pub use super::outcome::Report;
use super::seen::{self, Earlier};
use super::verdict::{Match, Word, verdict};
use super::waiting::{Command, WaitingCommands};
use super::{Change, Context, Effect, Heater};
use crate::navilink::control::Control;
use crate::navilink::encoding::Object;
use crate::navilink::message::{Body, CloudMessage};
use crate::navilink::request::Query;
use crate::navilink::topics;
use crate::product::control::{Edit, Known, Plan};
use crate::product::payload::Payload;

/// An acknowledged control is to be shown by a status within this time; it is confirmed either way.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// The status is requested once more so long after an acknowledgement that does not show the control.
const RECHECK_AFTER: Duration = Duration::from_secs(2);
const MAX_PAYLOAD: usize = 64 * 1024;

/// How commands are treated.
#[derive(Debug, Clone, Copy)]
pub struct CommandSettings {
    /// How many may wait, all heaters together.
    pub max_queued: usize,
    /// How long one may wait.
    pub max_age: Duration,
    /// Whether firmware may be committed.
    pub allow_firmware_commit: bool,
    /// Whether nothing is set at all.
    pub read_only: bool,
    /// The highest temperature that may be set, in half degrees Celsius, if it is another than the heater's.
    pub max_temperature: Option<i64>,
    /// How long a heater may take to acknowledge one.
    pub answer_within: Duration,
}

/// The commands of one heater: one is under way, the others wait in order.
#[derive(Debug, Default)]
pub struct Commands {
    waiting: WaitingCommands,
    flight: Option<Flight>,
    /// Acknowledged, but no status has shown them yet; at most one of each name.
    acknowledged: Vec<Acknowledged>,
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

impl Commands {
    /// Returns how many wait.
    pub fn queued(&self) -> usize {
        self.waiting.len()
    }

    /// Returns when something of them is due.
    pub fn due(&self, max_age: Duration) -> Option<Instant> {
        let acknowledged = self.acknowledged.iter().map(|held| held.recheck_at.unwrap_or(held.until));
        let flight = self.flight.as_ref().map(|flight| flight.until);
        acknowledged.chain(flight).chain(self.waiting.due(max_age)).min()
    }
}

impl Heater {
    /// Takes a `set` of the local broker. An empty payload is nobody's command: it clears a retained message.
    pub(super) fn set(&mut self, name: &str, raw: &[u8], context: &Context<'_>) {
        if raw.is_empty() {
            return;
        }
        let read = match raw.len() {
            0..=MAX_PAYLOAD => Payload::read(raw),
            _ => Err(format!("the payload is larger than {MAX_PAYLOAD} bytes")),
        };
        let read = read.and_then(|payload| seen::check_id(payload.id.as_ref()).map(|()| payload));
        let (payload, wrong) = match read {
            Ok(payload) => (payload, None),
            Err(reason) => (Payload::default(), Some(reason)),
        };
        let command = Command {
            name: name.to_owned(),
            row: self.state.product.control(name),
            payload,
            bytes: raw.len(),
            digest: seen::digest(name, raw),
            arrived: context.moment.now,
            number: self.commands.waiting.next_number(),
            refusals: 0,
            not_before: None,
        };
        let outcome = wrong.map_or_else(|| self.queue_once(&command, context), Err);
        if let Err(reason) = outcome {
            self.report(&command, Outcome::Rejected(reason), context);
        }
    }

    /// Queues a command, unless it has come before.
    fn queue_once(&mut self, command: &Command, context: &Context<'_>) -> Result<(), String> {
        if context.settings.commands.read_only {
            return Err("nothing is set while commands.read_only is true".to_owned());
        }
        let id = command.payload.id.as_ref();
        match self.seen.look(id, command.digest, command.is_edit(), context.moment.wall) {
            Earlier::Nothing => self.queue(command, context),
            Earlier::Refused(reason) => Err(reason),
            Earlier::UnderWay => Ok(()),
            Earlier::Ended(end) => {
                let report = command.report(context.moment.wall);
                let (status, in_force, reason) = (end.status(), end.in_force, end.reason);
                self.changed(Change::Command(Report { status, in_force, reason, ..report }));
                Ok(())
            }
        }
    }

    fn queue(&mut self, command: &Command, context: &Context<'_>) -> Result<(), String> {
        let max_queued = context.settings.commands.max_queued;
        self.plan(command, context)?;
        let full = context.queued >= max_queued;
        let replaced = self.commands.waiting.push(command.clone(), full);
        let replaced = replaced.map_err(|()| format!("the queue is full: {} commands wait", context.queued))?;
        if let Some(older) = replaced {
            self.report(&older, Outcome::Superseded, context);
        }
        let id = command.payload.id.as_ref();
        if id.is_some() || command.is_edit() {
            self.seen.note(id, command.digest, command.number, context.moment.wall);
        }
        let before = self.effects.len();
        self.advance(context);
        if self.effects.len() == before {
            let reason = self.why_it_waits(command, context).to_owned();
            self.report(command, Outcome::Queued(reason), context);
        }
        Ok(())
    }

    fn why_it_waits(&self, command: &Command, context: &Context<'_>) -> &'static str {
        if context.session.is_none() {
            "the cloud is away"
        } else if !self.state.capabilities.is_known() {
            "the heater has not said yet what it can do"
        } else if self.commands.waiting.apart_until(&command.name).is_some() {
            "another one of its name was sent less than two seconds ago"
        } else if self.commands.flight.is_none() && self.commands.waiting.is_paused() {
            "the heater asked for a pause"
        } else {
            "others are before it"
        }
    }

    fn plan(&self, command: &Command, context: &Context<'_>) -> Result<Plan, String> {
        let known = Known {
            capabilities: &self.state.capabilities,
            status: self.state.status.as_ref(),
            units: self.state.units,
            allow_firmware_commit: context.settings.commands.allow_firmware_commit,
            max_temperature: context.settings.commands.max_temperature,
            pending_firmware: self.state.pending_firmware.map(|pending| (pending.code, pending.version)),
        };
        let row = command.row.ok_or_else(|| self.state.product.no_such_control())?;
        row.plan(&command.payload, known)
    }

    /// Sends the next command, if the way is free and the heater's abilities are known.
    pub(super) fn advance(&mut self, context: &Context<'_>) {
        while context.session.is_some() && self.commands.flight.is_none() && self.state.capabilities.is_known() {
            let Some(command) = self.commands.waiting.take_next(context.moment.now) else { return };
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
        let message = control.message(&self.state.device, context.identity);
        self.effects.push_back(Effect::Send { message, answered: false, urgent: true });
        // The answer shows what changed besides, and that the session is alive.
        self.ask(&Query::Status, context);
        if command.refusals == 0 {
            self.report(&command, Outcome::Sent, context);
        }
        self.set_in_flight(command, Step::Sent(control), context);
    }

    fn set_in_flight(&mut self, command: Command, step: Step, context: &Context<'_>) {
        let now = context.moment.now;
        self.commands.waiting.sent(&command.name, now);
        let until = now + context.settings.commands.answer_within;
        self.commands.flight = Some(Flight { command, step, until });
    }

    /// Looks whether a message of the heater says something of its commands.
    pub(super) fn judge(&mut self, topic: &str, message: &CloudMessage, context: &Context<'_>) {
        if let Body::Status(status) = &message.body {
            self.confirm_shown(status, context);
        }
        let Some(flight) = self.commands.flight.take() else { return };
        let client = &context.identity.client;
        let on_our_topic = topic == topics::default_answer(&self.state.device, client);
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
            Match::TooSoon => match self.commands.waiting.pause(&flight.command, context.moment.now) {
                Some(pause) => {
                    let reason = format!("the heater asked for a pause of {}", humantime::format_duration(pause));
                    // No result is published: it has been sent, and will be again.
                    let report = flight.command.report(context.moment.wall);
                    self.changed(Change::Command(Report { reason: Some(reason), ..report }));
                }
                None => self.report(&flight.command, Outcome::Superseded, context),
            },
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
        self.commands.waiting.accepted(&command);
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
            let outcome = Outcome::NotInForce(match held.command.is_paced() {
                true => "the heater accepted it, but its status does not show it yet: a time-of-use period may hold it",
                false => "the heater accepted it, but its status does not show it yet",
            });
            self.report(&held.command, outcome, context);
        }
        if recheck && context.session.is_some() {
            self.ask(&Query::Status, context);
        }
    }

    /// Lets expire what waited too long, and ends what was not acknowledged in time.
    pub(super) fn handle_command_timeouts(&mut self, context: &Context<'_>) {
        let (now, max_age) = (context.moment.now, context.settings.commands.max_age);
        let expired = self.commands.waiting.expire(max_age, now);
        let overdue = self.commands.flight.take_if(|flight| flight.until <= now);
        for command in expired {
            let waited = humantime::format_duration(max_age);
            let reason = match command.refusals {
                0 => format!("it waited for {waited}"),
                _ => format!("the heater asked for a pause again and again, for {waited}"),
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
        for command in self.commands.waiting.take_all() {
            self.report(&command, Outcome::Expired(reason.to_owned()), context);
        }
    }

    fn report(&mut self, command: &Command, outcome: Outcome, context: &Context<'_>) {
        let in_force = !matches!(outcome, Outcome::NotInForce(_));
        let ends = !matches!(outcome, Outcome::Queued(_) | Outcome::Sent);
        let counts = ends && outcome != Outcome::Superseded;
        if matches!(outcome, Outcome::Confirmed)
            && command.row.is_some_and(|row| row.is_unseen_switch())
            && let Ok(on) = command.payload.switch()
        {
            self.state.note_switch(&command.name, on);
        }
        let (status, reason) = outcome.into_words();
        if ends {
            self.seen.ended(command.number, status, in_force, reason.as_deref());
        }
        let report = command.report(context.moment.wall);
        let report = Report { status: Some(status), in_force, reason, ..report };
        self.changed(Change::Command(report.clone()));
        if counts {
            self.state.note_end(&report);
            self.take_effects();
        }
    }
}
