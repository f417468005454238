//! The loop between the pure modules and the world.

pub mod report;
