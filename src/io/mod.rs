//! Everything that touches the world: connections, TLS, paho, REST, files, the journal, systemd, the clock.

pub mod alert;
pub mod clock;
pub mod descriptors;
pub mod files;
pub mod http;
pub mod journal;
pub mod memory;
pub mod mqtt;
pub mod network;
pub mod notify;
pub mod record;
pub mod rest;
mod retry_after;
pub mod sign_ins;
pub mod state;
pub mod task;
pub mod tls;
pub mod wire;
