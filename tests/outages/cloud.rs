//! The cloud is in reach, but does not do what it should.

use std::time::Duration;

use navien2mqtt::simulator::{Fault, RestAnswer};

use super::story::{BOUND, Expected, ONE_SESSION, Story, bridge, heater};
use super::support::eventually;
use super::support::rig::Rig;

/// So long most of these faults last: a few attempts.
const WHILE: Duration = Duration::from_secs(6);

pub async fn a_peer_that_is_frozen() {
    let mut story = Story::begin("peer-frozen", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::Freeze);
    story.lost(mark, &["no-acknowledgement", "no-answer"]).await;
    // Each attempt hangs for as long as it may, for longer than the watchdog would wait.
    tokio::time::sleep(Duration::from_secs(70)).await;
    story.set(Fault::Thaw);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
}

pub async fn a_session_on_which_nothing_is_delivered() {
    let mut story = Story::begin("session-up-everything-silent", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::Deaf { on: true });
    story.lost(mark, &["no-answer"]).await;
    // Each one that stays silent is given up and built anew; the last may have been opened before the end.
    story.sessions(2);
    story.set(Fault::Deaf { on: false });
    let over = story.over();
    story.ends_well(over, Expected { sessions: 2..=3, ..ONE_SESSION }).await;
    assert_eq!(story.rig.cloud().counters().requests(navien2mqtt::navilink::command::END_OF_SESSION.into()), 0);
}

pub async fn a_certificate_that_is_not_trusted() {
    let mut story = Story::begin("certificate-wrong", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.rig.stop_cloud().await;
    story.rig.start_foreign_cloud().await;
    story.lost(mark, &["certificate"]).await;
    let foreign = eventually("a few attempts", BOUND, || {
        Some(story.rig.cloud().counters()).filter(|foreign| foreign.accepts >= 3)
    });
    assert_eq!((foreign.connects, foreign.rest.len()), (0, 0), "it was shown nothing");
    story.rig.stop_cloud().await;
    story.rig.start_cloud().await;
    story.counts_anew();
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
}

pub async fn a_403_on_the_upgrade() {
    let mut story = Story::begin("403-on-upgrade", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::Upgrade { status: 403, times: None });
    story.set(Fault::Reset);
    story.lost(mark, &["http-403"]).await;
    tokio::time::sleep(WHILE).await;
    story.set(Fault::Clear);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
    assert!(story.rig.cloud().counters().rest("/auth/session/refresh") >= 1, "new keys were asked for");
}

pub async fn a_page_in_html_instead_of_json() {
    rest_fails("html-instead-of-json", RestAnswer::Html).await;
}

pub async fn an_empty_body_instead_of_json() {
    rest_fails("empty-body", RestAnswer::Empty).await;
}

/// Every call is answered so while all tokens have to be renewed.
async fn rest_fails(name: &'static str, answer: RestAnswer) {
    let mut story = Story::begin(name, Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::Rest { endpoint: None, answer, times: None });
    story.set(Fault::ExpireTokens);
    story.set(Fault::ExpireAws);
    story.set(Fault::Reset);
    story.lost(mark, &["bad-answer"]).await;
    tokio::time::sleep(WHILE).await;
    story.set(Fault::Clear);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
}

pub async fn a_connection_that_is_closed_right_after_connack() {
    let mut story = Story::begin("closed-after-connack", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::CloseAfterConnack { times: None });
    story.set(Fault::Reset);
    story.lost(mark, &["connection-closed", "connection-lost"]).await;
    eventually("it goes on trying", BOUND, || (story.rig.cloud().counters().connects > 3).then_some(()));
    story.set(Fault::Clear);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
}

pub async fn a_subscription_that_is_refused() {
    let mut story = Story::begin("suback-refused", Rig::new(1).await).await;
    let mark = story.observer.mark();
    story.set(Fault::RefuseSuback { times: None });
    story.set(Fault::Reset);
    story.lost(mark, &["subscription-refused"]).await;
    tokio::time::sleep(WHILE).await;
    story.set(Fault::Clear);
    let over = story.over();
    story.ends_well(over, ONE_SESSION).await;
}

pub async fn a_connection_that_has_reached_its_lifetime() {
    let mut rig = Rig::new(1).await;
    // Three sessions that live for seconds are waited out.
    rig.more = "[recovery]\ninitial_delay = \"200ms\"\n".into();
    let mut story = Story::begin("lifetime-reached", rig).await;
    let mark = story.observer.mark();
    story.set(Fault::Lifetime { ms: Some(5000) });
    story.set(Fault::Reset);
    let back = |outage: u64| {
        move |seen: &super::support::observer::Seen| {
            seen.json()["state"] == "connected" && seen.json()["outages"] == outage
        }
    };
    story.observer.after(mark, &bridge("connection"), back(1)).await;
    story.observer.after(mark, &bridge("connection"), back(2)).await;
    story.set(Fault::Lifetime { ms: None });
    let mark = story.observer.mark();
    story.observer.after(mark, &bridge("event"), |seen| seen.json()["event"] == "connection_interrupted").await;
    let over = story.over();
    story.ends_well(over, Expected { sessions: 3..=3, sign_ins: 0, within: BOUND }).await;
    let said = story.observer.all(mark, &heater("availability"));
    assert!(said.iter().all(|seen| seen.text() == "online"), "too short to be noticed");
}
