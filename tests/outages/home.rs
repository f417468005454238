//! The local broker fails; the session with the cloud does not care.

use std::time::Duration;

use navien2mqtt::simulator::Fault;

use super::story::{Expected, ONE_SESSION, Story, bridge};
use super::support::observer::Observer;
use super::support::rig::Rig;

pub async fn a_broker_that_is_stopped_but_not_dead() {
    let mut story = Story::begin("broker-stopped-60s", Rig::new(1).await).await;
    story.rig.broker.freeze(true);
    let stopped_at = tokio::time::Instant::now();
    // It is noticed when a message is not acknowledged.
    story.daemon.logged("No connection to the local broker").await;
    tokio::time::sleep_until(stopped_at + Duration::from_secs(60)).await;
    story.rig.broker.freeze(false);
    let over = story.over();
    // The old one was left behind, as the daemon's session was.
    let late = Observer::start(story.rig.broker.port, "late").await;
    let over = story.seen_by(late, over);
    story.ends_well(over, Expected { sessions: 0..=0, ..ONE_SESSION }).await;
    assert!(story.daemon.log().contains("Connected to the local broker"));
}

pub async fn a_broker_that_is_killed_in_the_middle_of_an_outage_of_the_cloud() {
    let mut story = Story::begin("broker-killed-in-outage-of-cloud", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::Refuse { times: None });
    story.set(Fault::Reset);
    story.lost(mark, &["connection-lost", "tls"]).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    story.rig.broker.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    story.rig.broker.empty();
    story.rig.broker.launch();
    let late = Observer::start(story.rig.broker.port, "late").await;
    late.wait(&bridge("state"), |seen| seen.text() == "online").await;
    late.wait(&bridge("connection"), |seen| seen.json()["state"] == "reconnecting").await;
    let over = story.over();
    let over = story.seen_by(late, over);
    story.set(Fault::Clear);
    story.ends_well(over, ONE_SESSION).await;
}
