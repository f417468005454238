//! `navien2mqtt demo`, as a newcomer runs it.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader};

#[path = "support/program.rs"]
mod program;

#[test]
fn the_demo_survives_its_outage_and_says_so() {
    // The outage comes after a third of it; what is left is several times what the way back takes.
    let outcome = program::run(&mut program::program(&["demo", "--for", "17s"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("--- outage:"), "{}", outcome.out);
    assert!(outcome.out.contains("connection: connected again after"), "{}", outcome.out);
    assert!(outcome.out.contains("1 of 1 outages survived"), "{}", outcome.out);
    assert_eq!(outcome.err, "", "the demo is calm without -v");
}

#[test]
fn the_internet_goes_and_comes_back_and_the_log_tells_of_it_in_the_known_words() {
    let arguments = ["demo", "--for", "45s", "--offline", "12s", "--strategy", "token-refresh"];
    let outcome = program::run(&mut program::program(&arguments));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let told = ["--- the internet is away, for 12s ---", "--- the internet is back ---", "1 of 1 outages survived"];
    for words in told {
        assert!(outcome.out.contains(words), "{words}: {}", outcome.out);
    }
    let logged = [
        "Failed to reconnect after 3 attempts",
        "Starting recovery attempt 1/10",
        "seconds before recovery",
        "Refreshing authentication tokens",
        "Recreating MQTT client",
        "Subscriptions restored",
        "Recovery successful",
    ];
    let mut rest = outcome.err.as_str();
    for words in logged {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words} is missing or out of order: {}", outcome.err));
        rest = &rest[at..];
    }
    assert_eq!(outcome.out.matches("heater online").count(), 1, "what does not change is not repeated");
}

#[test]
fn a_strategy_that_is_none_is_a_mistake_of_usage() {
    let outcome = program::run(&mut program::program(&["demo", "--strategy", "hope"]));
    assert_eq!(outcome.code, Some(64));
    assert!(
        outcome.err.contains("simple-retry, full-recreation, token-refresh, exponential-backoff"),
        "{}",
        outcome.err
    );
}

#[test]
fn a_demo_that_is_interrupted_ends_well() {
    let mut running = program::start(&mut program::program(&["demo"]));
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("status: ")), "it shows something");
    running.signal("INT");
    assert_eq!(running.end(), Some(0));
}

#[test]
fn a_time_that_is_none_is_a_mistake_of_usage() {
    let outcome = program::run(&mut program::program(&["demo", "--for", "soon"]));
    assert_eq!(outcome.code, Some(64));
}
