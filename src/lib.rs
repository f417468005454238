//! navien2mqtt bridges Navien heat-pump water heaters from the vendor's cloud to a local MQTT broker.
//!
//! The modules, in the order in which the data takes them:
//!
//! 1. [`config`] reads the configuration file and names every mistake in it.
//! 2. [`io`] touches the world: connections, TLS, paho, REST, files, the journal, systemd, the clock.
//! 3. [`supervisor`] decides, without a clock or a socket, when to sign in, dial, wait, recover or give up;
//!    [`tokens`] which call renews what, and when the password may be shown.
//! 4. [`navilink`] speaks the cloud's protocol: topics, requests, encodings; [`product`] holds what a device type is made
//!    of: its fields, error codes and controls.
//! 5. [`heater`] is one heater: what is known of it, what it is asked for, and its commands.
//! 6. [`home`] is the account: which heaters there are, and whose message it is.
//! 7. [`outputs`] render what changes: on the local broker, for Home Assistant, and for the HTTP server.
//! 8. [`bridge`] joins home and outputs.
//! 9. `daemon` is the one loop that drives it all. [`model`] and [`units`] are what all of them share.
//!
//! Beside that way, [`recording`] keeps what the cloud said last, for reports, and [`decode`] reads it for people.
//!
//! [`cli`] offers them as commands, and the feature `simulator` adds a cloud and heaters to try them on.

pub mod bridge;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod decode;
pub mod exit;
pub mod foreign_text;
pub mod heater;
pub mod home;
pub mod io;
pub mod model;
pub mod navilink;
pub mod outputs;
pub mod product;
pub mod recording;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod supervisor;
pub mod tokens;
pub mod units;
