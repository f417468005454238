//! The cloud's protocol: topics, requests, and the decoding of everything a heater says.

pub mod account;
pub mod command;
pub mod encoding;
pub mod presign;
pub mod request;
pub mod session;
pub mod topics;
