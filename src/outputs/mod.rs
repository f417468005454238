//! The outputs: each consumes what the heaters change ([`crate::heater::Change`]) and renders it.

pub mod home_assistant;
pub mod mqtt;
pub mod web;
