//! What a message of the heater says of the command under way.

use super::commands::Step;
use crate::navilink::control::{Control, Schedule};
use crate::navilink::encoding::{Object, whole};
use crate::navilink::message::Body;
use crate::navilink::schedule::complete_entries;
use crate::product::control::Edit;

/// `failCode` of a control that came too soon after the one before it (protocol reference, section 4).
const TOO_SOON: i64 = 2;

/// A message of the heater, as far as it concerns the command under way.
#[derive(Clone, Copy)]
pub struct Word<'m> {
    /// What it says.
    pub body: &'m Body,
    /// It came on our response topic and answers a control.
    pub acknowledges: bool,
    /// A refusal in it is not another client's.
    pub refuses: bool,
}

/// What a message says of a command.
pub enum Match {
    /// Nothing.
    Nothing,
    /// It is confirmed.
    Confirmed,
    /// The heater took the control; whether this status shows it too, as far as any can.
    Acknowledged(Control, bool),
    /// The heater refused it.
    Refused(String),
    /// It came too soon after another one.
    TooSoon,
    /// The reservations were read; this is to be written.
    Write(Result<Control, String>),
}

/// Decides what a message says of the command under way.
pub fn verdict(step: &Step, word: Word<'_>) -> Match {
    let confirmed_if = |yes: bool| if yes { Match::Confirmed } else { Match::Nothing };
    match (step, word.body) {
        (Step::Reading(edit), Body::Reservations(answer)) => Match::Write(edited(edit, answer)),
        (Step::Sent(_), Body::ControlRefused { fail_code }) if word.refuses => match fail_code {
            Some(TOO_SOON) => Match::TooSoon,
            Some(code) => Match::Refused(format!("the heater refused it (fail code {code})")),
            None => Match::Refused("the heater refused it".to_owned()),
        },
        (Step::Sent(Control::Reservations(written)), Body::Reservations(answer))
        | (Step::Sent(Control::Recirculation(written)), Body::Recirculation(answer))
        | (Step::Sent(Control::TouSchedule { schedule: written, .. }), Body::Tou(answer)) => {
            confirmed_if(written.is_held_by(answer))
        }
        (Step::Sent(Control::CommitFirmware { .. }), Body::FirmwareCommitted) => Match::Confirmed,
        (Step::Sent(control), Body::Status(status)) if word.acknowledges && control.is_acknowledged_by_status() => {
            Match::Acknowledged(control.clone(), control.is_shown_by(status).unwrap_or(true))
        }
        _ => Match::Nothing,
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
