//! The cloud's protocol: topics, requests, and the decoding of everything a heater says.

pub mod account;
pub mod capabilities;
pub mod command;
pub mod control;
pub mod decode;
pub mod devices;
pub mod diagnostics;
pub mod encoding;
pub mod energy;
pub mod error_codes;
pub mod feature;
pub mod firmware;
pub mod message;
pub mod presign;
mod private;
pub mod pseudonyms;
pub mod recorder;
pub mod repair;
pub mod request;
pub mod schedule;
pub mod schedule_write;
pub mod session;
pub mod status;
pub mod topics;
