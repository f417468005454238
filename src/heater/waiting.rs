//! The commands of one heater that wait: in the order of their arrival, and for how long.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::outcome::Report;
use crate::product::control::ControlRow;
use crate::product::payload::Payload;

/// The pauses after each refusal in a row; how long the heater wants is not known, so they grow.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(30),
];
/// Between two controls of one name; while one waits for it, a newer one takes its place.
const APART: Duration = Duration::from_secs(2);
/// The payloads that wait are not longer altogether, in bytes.
const MAX_BYTES: usize = 256 * 1024;

/// A `set` of the local broker.
#[derive(Debug, Clone)]
pub struct Command {
    /// What it sets.
    pub name: String,
    /// What that is; `None` when there is no such thing.
    pub row: Option<&'static ControlRow>,
    /// To what.
    pub payload: Payload,
    /// The payload's length, in bytes.
    pub bytes: usize,
    /// A hash of its name and payload.
    pub digest: u64,
    /// When it came.
    pub arrived: Instant,
    /// Its place among all that have arrived.
    pub number: u64,
    /// How often it was sent, and the heater asked for a pause.
    pub refusals: usize,
    /// One that does not observe the others' pause waits until then by itself.
    pub not_before: Option<Instant>,
}

/// What waits.
#[derive(Debug, Default)]
pub struct WaitingCommands {
    commands: VecDeque<Command>,
    /// Until when the heater takes no mode, temperature or power, as a refusal said.
    paused_until: Option<Instant>,
    /// Such refusals in a row.
    refusals: usize,
    /// What was sent within the last [`APART`], by name.
    sent: Vec<(String, Instant)>,
    /// How many have arrived.
    arrivals: u64,
}

impl Command {
    /// Returns a report of it, in which nothing is said yet.
    pub fn report(&self, at: SystemTime) -> Report {
        Report { name: self.name.clone(), id: self.payload.id.clone(), status: None, in_force: true, reason: None, at }
    }

    /// Returns whether it has to wait while the heater takes no mode, temperature or power.
    pub fn is_paced(&self) -> bool {
        self.row.is_some_and(|row| row.paced)
    }

    /// Returns whether it makes an older one that waits worthless; what edits is done one after the other.
    fn takes_place_of(&self, older: &Self) -> bool {
        self.name == older.name && !self.is_edit()
    }

    /// Returns whether doing it twice is not the same as doing it once.
    pub fn is_edit(&self) -> bool {
        self.row.is_some_and(ControlRow::is_edit)
    }
}

impl WaitingCommands {
    /// Returns the place of a command that arrives now among all that have.
    pub fn next_number(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Returns how many wait.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Lets a command wait, in the place of an older one of its name, which it returns. `full` says that no more may
    /// wait.
    ///
    /// # Errors
    ///
    /// When it finds no room.
    pub fn push(&mut self, command: Command, full: bool) -> Result<Option<Command>, ()> {
        let replaced = self.commands.iter().position(|other| command.takes_place_of(other));
        let held: usize = self.commands.iter().map(|other| other.bytes).sum();
        let freed = replaced.map_or(0, |place| self.commands[place].bytes);
        if (replaced.is_none() && full) || held - freed + command.bytes > MAX_BYTES {
            return Err(());
        }
        let replaced = replaced.and_then(|place| self.commands.remove(place));
        self.commands.push_back(command);
        Ok(replaced)
    }

    /// Takes the next command that may be sent at `now`.
    pub fn take_next(&mut self, now: Instant) -> Option<Command> {
        self.pass(now);
        let may_go = |command: &Command| {
            let paused = command.is_paced() && self.is_paused();
            !paused && command.not_before.is_none() && self.apart_until(&command.name).is_none()
        };
        let place = self.commands.iter().position(may_go)?;
        self.commands.remove(place)
    }

    /// Ends the pauses that are over.
    fn pass(&mut self, now: Instant) {
        self.paused_until.take_if(|until| *until <= now);
        self.sent.retain(|(_, at)| *at + APART > now);
        for command in &mut self.commands {
            command.not_before.take_if(|until| *until <= now);
        }
    }

    /// Takes note that one of this name is sent.
    pub fn sent(&mut self, name: &str, now: Instant) {
        self.sent.retain(|(other, _)| other != name);
        self.sent.push((name.to_owned(), now));
    }

    /// Takes note that the heater has taken a command.
    pub fn accepted(&mut self, command: &Command) {
        if command.is_paced() {
            self.refusals = 0;
        }
    }

    /// Puts a command that the heater refused as too early back into its place; returns for how long it waits, or `None`
    /// when a newer one has taken its place. Those that observe the pause wait together, any other by itself.
    pub fn pause(&mut self, command: &Command, now: Instant) -> Option<Duration> {
        let mut command = command.clone();
        let together = command.is_paced();
        let refusals = if together { self.refusals } else { command.refusals };
        let pause = PAUSES[refusals.min(PAUSES.len() - 1)];
        if together {
            self.refusals += 1;
            self.paused_until = Some(now + pause);
        } else {
            command.not_before = Some(now + pause);
        }
        if self.commands.iter().any(|other| other.takes_place_of(&command)) {
            return None;
        }
        command.refusals += 1;
        let place = self.commands.partition_point(|other| other.number < command.number);
        self.commands.insert(place, command);
        Some(pause)
    }

    /// Returns whether the heater takes no mode, temperature or power.
    pub fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    /// Returns until when nothing else of this name is sent.
    pub fn apart_until(&self, name: &str) -> Option<Instant> {
        self.sent.iter().find(|(sent, _)| sent == name).map(|(_, at)| *at + APART)
    }

    /// Returns when something is due; [`WaitingCommands::expire`] is wanted then.
    pub fn due(&self, max_age: Duration) -> Option<Instant> {
        let oldest = self.commands.iter().map(|command| command.arrived + max_age);
        let own_pauses = self.commands.iter().filter_map(|command| command.not_before);
        let apart = self.commands.iter().filter_map(|command| self.apart_until(&command.name));
        oldest.chain(own_pauses).chain(apart).chain(self.paused_until).min()
    }

    /// Takes out what has waited for `max_age`, and ends the pauses that are over.
    pub fn expire(&mut self, max_age: Duration, now: Instant) -> Vec<Command> {
        self.pass(now);
        let old = |command: &Command| command.arrived + max_age <= now;
        let (expired, waiting): (Vec<Command>, Vec<Command>) = self.commands.drain(..).partition(old);
        self.commands = waiting.into();
        expired
    }

    /// Takes out everything.
    pub fn take_all(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands).into()
    }
}
