//! What goes into a heater and what comes out of it.

use std::time::Duration;

use serde_json::Value;

use super::commands::{self, Report};
use super::polling::{Intervals, Place};
use crate::model::{Message, Moment};
use crate::navilink::devices::Device;
use crate::navilink::encoding::Object;
use crate::navilink::members::Members;
use crate::navilink::message::{self, Body};
use crate::navilink::session::Identity;
use crate::units::UnitsChoice;

/// How heaters are treated.
#[derive(Debug, Clone, Copy)]
pub struct HeaterSettings {
    /// The units of everything that is published.
    pub units: UnitsChoice,
    /// How often each heater is asked for what.
    pub intervals: Intervals,
    /// No word from a heater for so long, and it is unavailable.
    pub stale_after: Duration,
    /// How commands are treated.
    pub commands: commands::CommandSettings,
}

/// What stands around a heater at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// How it is treated.
    pub settings: &'c HeaterSettings,
    /// Who we are for the cloud.
    pub identity: &'c Identity,
    /// The time.
    pub moment: Moment,
    /// The session with the cloud, if there is one.
    pub session: Option<Session>,
    /// How many commands wait, those of all heaters together.
    pub queued: usize,
}

/// The session with the cloud, as one heater sees it.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    /// The heater's place among all of them.
    pub place: Place,
    /// Whether requests repeat.
    pub periodic: bool,
}

/// What happens to a heater.
#[derive(Debug)]
pub enum Input<'i> {
    /// A session with the cloud has begun.
    SessionBegun,
    /// It is over: nothing is asked any more, and freshness runs out by itself.
    SessionOver,
    /// A message of the cloud's broker that is the heater's.
    Message {
        /// Its topic.
        topic: &'i str,
        /// What it says.
        message: message::CloudMessage,
    },
    /// One that the cloud's broker had retained: no word of the heater.
    Retained(&'i Body),
    /// The REST API's answer about its time-of-use schedule.
    TouFetched(&'i Object),
    /// A `set` of the local broker.
    Set {
        /// What it sets.
        name: &'i str,
        /// The payload.
        payload: &'i [u8],
    },
    /// A complete device list leaves it out.
    Missing,
    /// A device list has it.
    Listed(Device),
    /// Nothing will come any more: it is unavailable at once.
    Lost,
    /// It goes away, for this reason, and its commands with it.
    Ended(&'i str),
}

/// What is to be done for a heater.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send to the cloud's broker.
    Send {
        /// What.
        message: Message,
        /// Whether an answer is due.
        answered: bool,
        /// Whether it goes before what others wait for.
        urgent: bool,
    },
    /// Ask the REST API for its time-of-use schedule.
    FetchTou {
        /// `controllerSerialNumber`.
        controller_serial: String,
    },
    /// Show what has changed.
    Changed(Change),
    /// Tell a human, the first time that this kind of trouble comes up.
    Warn {
        /// The kind.
        kind: String,
        /// What.
        text: String,
    },
}

/// What has changed of a heater.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Whether it was heard of lately.
    Available(bool),
    /// The newest decoded answer of this name: `status`, `info`, `energy`, ….
    Answer(&'static str, Members),
    /// Something has happened to it.
    Event(Value),
    /// A command has made progress.
    Command(Report),
    /// What it can do, or its units.
    Abilities,
}
