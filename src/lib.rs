//! navien2mqtt bridges Navien heat-pump water heaters from the vendor's cloud to a local MQTT broker.
//!
//! The modules, in the order in which the data takes them:
//!
//! 1. [`config`] reads the configuration file and names every mistake in it.
//! 2. [`io`] touches the world: connections, TLS, paho, REST, files, the journal, systemd, the clock.
//! 3. [`supervisor`] decides, without a clock or a socket, when to sign in, dial, wait, recover or give up.
//! 4. [`navilink`] speaks the cloud's protocol: topics, requests, and the decoding of everything a heater says.
//! 5. [`bridge`] holds what is known of each heater and decides what stands on the local broker.
//! 6. [`home_assistant`] is the table of entities that Home Assistant discovers.
//! 7. `daemon` is the one loop that joins them.
//!
//! [`cli`] offers them as commands, and the feature `simulator` adds a cloud and heaters to try them on.

pub mod bridge;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod exit;
pub mod foreign_text;
pub mod home_assistant;
pub mod io;
pub mod model;
pub mod navilink;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod supervisor;
pub mod units;
