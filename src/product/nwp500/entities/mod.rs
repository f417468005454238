//! What Home Assistant shows of it.

mod controls;
mod others;
mod status;

use super::super::entity::Entity;

/// The tables, in the order in which they are shown.
pub const ENTITIES: &[&[Entity]] =
    &[status::MAIN, status::MACHINERY, status::SETTINGS, controls::CONTROLS, others::OTHERS];
