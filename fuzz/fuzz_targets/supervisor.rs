//! Whatever happens in whatever order: the supervisor keeps its invariants and finds back to `connected`.
#![no_main]

#[path = "../../tests/supervisor/driver.rs"]
mod driver;

use std::time::{Duration, Instant};

use driver::{Driver, MOVES};
use libfuzzer_sys::fuzz_target;
use navien2mqtt::supervisor::{Backoff, Line, OnFailure, Policy, Strategy};

fn settings(first: u8) -> Policy {
    let line = |initial, max, attempts| Line {
        enabled: attempts != Some(0),
        max_attempts: attempts,
        backoff: Backoff {
            initial: Duration::from_secs(initial),
            max: Duration::from_secs(max),
            multiplier: 2.0,
            jitter: 0.2,
        },
    };
    let strategies =
        [Strategy::SimpleRetry, Strategy::FullRecreation, Strategy::TokenRefresh, Strategy::ExponentialBackoff];
    Policy {
        reconnect: line(1, 120, [Some(0), Some(1), Some(3), None][usize::from(first >> 2 & 3)]),
        recovery: line(60, 300, [Some(0), Some(1), Some(3), None][usize::from(first >> 4 & 3)]),
        strategy: strategies[usize::from(first & 3)],
        refresh_tokens_every: 2,
        on_failure: OnFailure::Hold,
        connect_timeout: Duration::from_secs(20),
        operation_timeout: Duration::from_secs(30),
        probe_interval: (first >> 6 & 1 == 1).then_some(Duration::from_secs(5)),
    }
}

#[allow(clippy::disallowed_methods)]
fn beginning() -> Instant {
    Instant::now()
}

fuzz_target!(|data: &[u8]| {
    let Some((first, moves)) = data.split_first() else { return };
    let mut driver = Driver::new(settings(*first), beginning());
    for number in moves.iter().take(4000) {
        driver.make(usize::from(*number) % MOVES);
    }
    driver.find_back();
});
