//! A cloud and heaters to try the bridge on without an account: `demo`, `simulate` and the integration tests.
//!
//! [`Simulator::start`] brings up the REST API, the MQTT side and a control port on loopback, all in this process, and
//! dropping the [`Simulator`] ends them. What can be made to go wrong stands in [`faults`]. The same broker
//! with other rules is the demo's local one, [`LocalBroker`].

pub mod account;
pub mod broker;
pub mod certificate;
pub mod cloud;
pub mod control;
pub mod counters;
pub mod faults;
pub mod heater;
pub mod iot;
pub mod local;
pub mod net;
pub mod plant;
pub mod rest;
pub mod sigv4;
pub mod tank;

pub use self::cloud::{Controls, Options, Simulator};
pub use self::faults::{Fault, ListChange, RestAnswer, SimulatedCondition};
pub use self::local::LocalBroker;
