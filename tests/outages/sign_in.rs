//! The cloud is in trouble just when the password is needed: it is used once more, and not a minute too early.

use std::time::Duration;

use navien2mqtt::simulator::{Fault, RestAnswer};

use super::story::{BOUND, Expected, Story, bridge};
use super::support::eventually;
use super::support::rig::Rig;

/// Between two sign-ins, whatever happens.
const MINUTE: Duration = Duration::from_secs(60);
/// What one session of one heater subscribes to.
const FILTERS: u64 = 3;

pub async fn a_500() {
    trouble("500-at-sign-in", RestAnswer::Status(500), ("http-500", MINUTE)).await;
}

pub async fn a_503() {
    trouble("503-at-sign-in", RestAnswer::Status(503), ("http-503", MINUTE)).await;
}

pub async fn a_429_with_retry_after() {
    let pause = Duration::from_secs(75);
    trouble("429-at-sign-in-retry-after-75s", RestAnswer::TooMany(pause.as_secs()), ("http-429", pause)).await;
}

async fn trouble(name: &'static str, answer: RestAnswer, (reason, pause): (&str, Duration)) {
    let endpoint = Some("/user/sign-in".to_owned());
    let rig = Rig::new(1).await;
    rig.cloud().faults().set(Fault::Rest { endpoint, answer, times: Some(1) });
    let mut story = Story::begin_badly(name, rig, FILTERS).await;
    // The state has other reasons soon; the event is told even if the local broker is there a moment later.
    story.observer.wait(&bridge("event"), |seen| seen.json()["reason"] == reason).await;
    let over = story.over();
    let cloud = story.rig.cloud();
    eventually("a second sign-in", pause + BOUND, || (cloud.counters().rest("/user/sign-in") == 2).then_some(()));
    // Counted from before the first one, which the daemon makes at its start: however late a busy machine shows what
    // happens, this is never shorter than what the daemon waited.
    let waited = story.daemon.started.elapsed();
    assert!(waited >= pause, "after {waited:?}");
    story.ends_well(over, Expected { sessions: 1..=1, sign_ins: 2, within: BOUND }).await;
}

/// Nothing would keep a loop of restarts from showing the password again and again but the waits of each process.
pub async fn a_wrong_password_that_cannot_be_remembered() {
    let mut rig = Rig::new(1).await;
    let file = rig.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let directory = file.join("below").to_str().unwrap().to_owned();
    rig.environment.push(("STATE_DIRECTORY", Box::leak(directory.into_boxed_str())));
    rig.password = "wrong".into();
    let mut daemon = rig.run();
    assert_eq!(daemon.ended(2 * MINUTE + 2 * BOUND).await.code(), Some(77));
    let took = daemon.started.elapsed();
    assert!(took >= 2 * MINUTE, "a minute before the sign-in and one before the end: {took:?}");
    assert_eq!(rig.cloud().counters().rest("/user/sign-in"), 1);
}
