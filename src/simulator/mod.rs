//! A cloud and heaters to try the bridge on without an account: `demo`, `simulate` and the integration tests.

pub mod broker;
pub mod counters;
pub mod heater;
pub mod sigv4;
