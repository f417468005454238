//! A cloud and heaters to try the bridge on without an account: `demo`, `simulate` and the integration tests.

pub mod account;
pub mod broker;
pub mod certificate;
pub mod counters;
pub mod faults;
pub mod heater;
pub mod net;
pub mod sigv4;
