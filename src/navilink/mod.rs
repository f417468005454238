//! The cloud's protocol: topics, requests, and the decoding of everything a heater says.

pub mod account;
pub mod presign;
