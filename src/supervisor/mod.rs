//! Decides when to get credentials, dial, wait, recover or give up, and who is told.
//!
//! A machine without clock, socket or task: the daemon feeds [`Input`]s and the time, drains the [`Effect`]s after
//! each, and calls [`Supervisor::handle_timeout`] when [`Supervisor::poll_timeout`] says so. A timeout that comes too
//! early changes nothing. Nobody else retries anything.
#![deny(clippy::wildcard_enum_match_arm)]

mod backoff;
mod credentials;
mod links;
mod machine;
mod outages;
mod pauses;
mod phase;
mod policy;
mod random;
mod reachability;
mod redial;
mod short_sessions;
mod tries;
mod types;
mod view;

pub use backoff::Backoff;
pub use links::Supervisors;
pub use machine::Supervisor;
pub use policy::{Line, OnFailure, Policy, Strategy};
pub use random::Random;
pub use redial::Redial;
pub use types::{
    Carried, Decision, Due, Effect, Ending, Event, Failure, Generation, Input, Reach, Reason, Renewal, State, Wait,
    seconds,
};
pub use view::View;

/// A beginning for tests; only differences count.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}
