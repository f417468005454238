//! The way to the internet fails; the local broker stays in reach.

use std::time::Duration;

use navien2mqtt::simulator::Fault;

use super::story::{Expected, ONE_SESSION, Story, bridge};
use super::support::netns::{Cut, Netns};
use super::support::rig::Rig;

/// A request has 30 seconds until its answer is missed.
const NOTICED: u64 = 35;
/// What a request that is not answered is called, and a connection that cannot be made.
const LOST: &[&str] = &["no-acknowledgement", "no-answer", "timeout", "unreachable"];

pub async fn a_link_that_is_down_for_five_minutes() {
    outage("link-down-300s", Cut::NearEnd, 300).await;
}

pub async fn a_link_that_is_down_for_a_minute() {
    outage("link-down-60s", Cut::NearEnd, 60).await;
}

pub async fn a_link_that_is_down_for_ten_seconds() {
    outage("link-down-10s", Cut::NearEnd, 10).await;
}

pub async fn a_cable_that_is_out_at_the_far_end() {
    outage("cable-out-at-far-end-60s", Cut::FarEnd, 60).await;
}

pub async fn packets_that_are_dropped_without_a_word() {
    outage("packets-dropped-60s", Cut::Packets, 60).await;
}

/// Everything is left at its default here, as most people have it.
async fn outage(name: &'static str, cut: Cut, seconds: u64) {
    let Some(net) = Netns::make() else { return };
    let mut story = Story::begin_with_defaults(name, Rig::behind(net, 1).await).await;
    let mark = story.observer.mark();
    story.net().cut(cut);
    let cut_at = tokio::time::Instant::now();
    if seconds > NOTICED {
        story.lost(mark, LOST).await;
    }
    tokio::time::sleep_until(cut_at + Duration::from_secs(seconds)).await;
    home_was_left_alone(&story, mark);
    story.net().mend(cut);
    let over = story.over();
    // What was sent before a loss is noticed may still arrive when the network is back, and be answered: the session
    // has survived then.
    let fewest = u64::from(seconds > NOTICED);
    story.ends_well(over, Expected { sessions: fewest..=1, ..ONE_SESSION }).await;
    home_was_left_alone(&story, mark);
}

pub async fn a_name_that_cannot_be_looked_up() {
    let Some(net) = Netns::make() else { return };
    let mut story = Story::begin_with_defaults("names-not-resolved", Rig::behind(net, 1).await).await;
    let mark = story.observer.mark();
    story.net().cut(Cut::Names);
    // A connection that stands needs no name.
    story.set(Fault::Reset);
    story.lost(mark, &["dns"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    story.net().mend(Cut::Names);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
    home_was_left_alone(&story, mark);
}

/// The local broker is still the same session: its last will was not sent, and nothing was replayed.
fn home_was_left_alone(story: &Story, mark: usize) {
    let said = story.observer.all(mark, &bridge("state"));
    assert!(said.iter().all(|seen| seen.text() == "online"), "{said:?}");
    // The states are said again without one; discovery is not.
    let replayed = story.observer.all(mark, "homeassistant/device/navien2mqtt_bridge/config");
    assert!(replayed.is_empty(), "{replayed:?}");
}
