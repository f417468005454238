//! What the heaters of an account are set up with, and what is decided for them.

use std::collections::BTreeMap;

use crate::heater::{self, Change};
use crate::model::{HeaterChoice, Mac, Message};

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
        /// Over which link, counted from 0.
        link: usize,
        /// What.
        message: Message,
        /// Whether an answer is due.
        answered: bool,
    },
    /// Ask the REST API for a heater's time-of-use schedule and hand it to [`Home::tou_fetched`](super::Home::tou_fetched).
    FetchTou {
        /// Whose.
        mac: Mac,
        /// Its `controllerSerialNumber`.
        controller_serial: String,
    },
    /// Replace the session of this link by one that has subscriptions for new heaters.
    RenewSession(usize),
    /// Have sessions on this link, too.
    OpenLink(usize),
    /// Have no more sessions on this link.
    CloseLink(usize),
    /// Ask the REST API for the account's device list and hand it to [`Home::set_heaters`](super::Home::set_heaters).
    ListHeaters,
    /// Keep [`Home::heaters`](super::Home::heaters) and [`Home::memories`](super::Home::memories) for the next run.
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

/// How often something was odd, and how much waits, of all heaters together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HomeCounts {
    /// What was wrong with what arrived, each field or message counted.
    pub complaints: u64,
    /// The fields that the protocol reference does not know, once each.
    pub unknown_fields: usize,
    /// The commands that wait.
    pub queued: usize,
}

/// What a message from the cloud proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A heater of ours spoke.
    Answered,
    /// The session carries messages.
    Heard,
}
