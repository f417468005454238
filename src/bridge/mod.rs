//! Holds what is known of each heater and decides what stands on the local broker.

pub mod polling;
pub mod retained;
pub mod topics;
