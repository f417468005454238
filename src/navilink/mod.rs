//! The cloud's protocol, without any product: topics, requests, and the encodings of what a heater says.

pub mod account;
pub mod command;
pub mod control;
pub mod devices;
pub mod diagnostics;
pub mod encoding;
pub mod energy;
pub mod firmware;
pub mod members;
pub mod message;
pub mod presign;
pub mod repair;
pub mod request;
pub mod schedule;
pub mod schedule_write;
pub mod session;
pub mod topics;
