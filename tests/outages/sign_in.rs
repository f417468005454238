//! The cloud is in trouble just when the password is needed: it is used once more, and not a minute too early.

use std::time::{Duration, Instant};

use navien2mqtt::simulator::{Fault, RestAnswer};

use super::story::{BOUND, Expected, Story, bridge};
use super::support::Limit;
use super::support::rig::Rig;

/// Between two sign-ins, whatever happens.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest that the cloud asks for here.
const LONGEST: Duration = Duration::from_secs(75);
/// What one session of one heater subscribes to.
const FILTERS: u64 = 3;

pub async fn a_500() {
    trouble("500-at-sign-in", RestAnswer::Status(500), ("http-500", MINUTE)).await;
}

pub async fn a_503() {
    trouble("503-at-sign-in", RestAnswer::Status(503), ("http-503", MINUTE)).await;
}

pub async fn a_429_with_retry_after() {
    trouble("429-at-sign-in-retry-after-75s", RestAnswer::TooMany(LONGEST.as_secs()), ("http-429", LONGEST)).await;
}

async fn trouble(name: &'static str, answer: RestAnswer, (reason, pause): (&str, Duration)) {
    let endpoint = Some("/user/sign-in".to_owned());
    let rig = Rig::new(1).await;
    rig.cloud().faults().set(Fault::Rest { endpoint, answer, times: Some(1) });
    let mut story = Story::begin_badly(name, rig, FILTERS).await;
    let (first, _) = sign_in(&story, 1).await;
    // The state has other reasons soon; the event is told even if the local broker is there a moment later.
    story.observer.wait(&bridge("event"), |seen| seen.json()["reason"] == reason).await;
    let over = story.over();
    let (_, second) = sign_in(&story, 2).await;
    let between = second - first;
    assert!(between >= pause, "after {between:?}");
    story.ends_well(over, Expected { sessions: 1..=1, sign_ins: 2, within: BOUND }).await;
}

/// Waits for so many sign-ins in all; returns when the last of them was still missing, and when it was there. On a busy
/// machine the two lie apart, and the cloud was asked in between.
async fn sign_in(story: &Story, number: u64) -> (Instant, Instant) {
    let cloud = story.rig.cloud();
    let mut limit = Limit::of(LONGEST + BOUND);
    let mut missing = story.daemon.started;
    loop {
        let now = Instant::now();
        if cloud.counters().rest("/user/sign-in") == number {
            return (missing, Instant::now());
        }
        missing = now;
        assert!(limit.pause().await, "no sign-in number {number}");
    }
}
