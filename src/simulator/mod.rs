//! A simulated cloud and simulated heaters, to try the bridge without an account and to test it.

pub mod heater;
pub mod tank;
