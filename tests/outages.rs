//! Real outages: after each of them the built daemon must be back by itself, with everything as it was.
//!
//! `cargo test --all-features --test outages` runs all of them at once, since they mostly wait, and prints a line
//! `RECOVERY <outage> <seconds>` each: from the end of the fault to the first fresh status on the local broker. Those
//! with a network of their own need root and `ip`, and say `SKIPPED` otherwise.
//!
//! What else can fail is tested elsewhere:
//!
//! | outage | where |
//! |---|---|
//! | the cloud's connections are reset, three times | `bridge.rs` |
//! | one of two heaters falls silent: it is unavailable, the session stays | `bridge.rs` |
//! | the local broker starts late, or is restarted without its memory | `bridge.rs` |
//! | no internet at the start | `bridge.rs` |
//! | credentials have expired | `bridge.rs` |
//! | the password is wrong | `bridge.rs` |
//! | messages are malformed | `bridge.rs` |
//! | everything is exhausted, with each strategy | `strategies.rs`, `bridge.rs` |
//! | each call of the REST API fails in each way | `account.rs` |
//! | a connection fails in each phase of its making | `link.rs` |
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

mod support;

#[path = "outages/cloud.rs"]
mod cloud;
#[path = "outages/endurance.rs"]
mod endurance;
#[path = "outages/home.rs"]
mod home;
#[path = "outages/network.rs"]
mod network;
#[path = "outages/sign_in.rs"]
mod sign_in;
#[path = "outages/story.rs"]
mod story;

use libtest_mimic::{Arguments, Trial};

/// How many outages are lived through at once, unless `--test-threads` says otherwise. They begin in the order of
/// the list, the longest first.
const AT_ONCE: usize = 12;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_ONCE);
    libtest_mimic::run(&arguments, all()).exit();
}

macro_rules! trials {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$(trial(concat!(stringify!($module), "::", stringify!($name)), $module::$name)),*]
    };
}

fn all() -> Vec<Trial> {
    trials![
        network::a_link_that_is_down_for_five_minutes,
        endurance::fifty_outages_in_a_row_leave_nothing_behind,
        sign_in::a_wrong_password_that_cannot_be_remembered,
        sign_in::a_429_with_retry_after,
        sign_in::a_500,
        sign_in::a_503,
        network::a_link_that_is_down_for_a_minute,
        network::a_cable_that_is_out_at_the_far_end,
        network::packets_that_are_dropped_without_a_word,
        home::a_broker_that_is_stopped_but_not_dead,
        network::a_link_that_is_down_for_ten_seconds,
        network::a_name_that_cannot_be_looked_up,
        cloud::a_peer_that_is_frozen,
        cloud::a_session_on_which_nothing_is_delivered,
        cloud::a_certificate_that_is_not_trusted,
        cloud::a_403_on_the_upgrade,
        cloud::a_page_in_html_instead_of_json,
        cloud::an_empty_body_instead_of_json,
        cloud::a_connection_that_is_closed_right_after_connack,
        cloud::a_subscription_that_is_refused,
        cloud::a_connection_that_has_reached_its_lifetime,
        home::a_broker_that_is_killed_in_the_middle_of_an_outage_of_the_cloud,
    ]
}

fn trial<F>(name: &str, story: impl FnOnce() -> F + Send + 'static) -> Trial
where
    F: Future<Output = ()>,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime?.block_on(story());
        Ok(())
    })
}
