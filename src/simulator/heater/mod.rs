//! One simulated heater.
