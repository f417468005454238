//! `forget`: takes what stands of a heater, or of everything, off the local broker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{on_runtime, print_error, say};
use crate::config::Config;
use crate::daemon::one_shot::{OneShotError, exit, local_dial};
use crate::exit::Exit;
use crate::io::clock;
use crate::io::mqtt::{Link, LinkEvent};
use crate::model::{Mac, Message};
use crate::outputs::home_assistant::{bridge_id, discovery_topic, heater_id};
use crate::outputs::mqtt::topics::{OF_BRIDGE, OF_DEVICE, Topics};

/// What a broker keeps comes right after the subscription; so long after the last of it there is no more.
const QUIET: Duration = Duration::from_secs(1);
const SESSION: u64 = 1;

/// Forgets one heater, or everything of this bridge without.
pub fn forget(config: &Config, only: Option<Mac>) -> Exit {
    on_runtime(async {
        match run(config, only.as_ref()).await {
            Ok(exit) => exit,
            Err(OneShotError::Link(error)) => {
                print_error(format_args!("local broker: {error}"));
                Exit::LocalBroker
            }
            Err(error) => {
                print_error(&error);
                exit(&error)
            }
        }
    })
}

async fn run(config: &Config, only: Option<&Mac>) -> Result<Exit, OneShotError> {
    let topics = Topics::new(&config.broker.base_topic);
    let prefix = &config.home_assistant.discovery_prefix;
    let limit = config.cloud.connect_timeout + config.cloud.operation_timeout;
    let (sender, mut events) = mpsc::channel(256);
    let link = Link::lenient(&format!("{}-cli", config.broker.client_id), sender)?;
    // Not every broker gives what it keeps to wildcards, but to a whole topic each does.
    let filters = vec![topics.state(), topics.info(), topics.all(), discovery_topic(prefix, "+")];
    link.dial(SESSION, local_dial(config, filters)?);
    let Ok(kept) = clock::within(limit, kept(&mut events)).await else { return Ok(silent(limit)) };
    let kept = kept?;
    if kept.get(&topics.state()).is_some_and(|state| state.as_ref() == b"online") {
        print_error(
            "the daemon is online and would publish everything again: stop it first (systemctl stop navien2mqtt), or take out \
             one heater with the request `forget`",
        );
        return Ok(Exit::LocalBroker);
    }
    let heaters = heaters(&kept, &topics, only);
    let mut clear: BTreeSet<String> = heaters
        .iter()
        .flat_map(|mac| {
            let of_heater = OF_DEVICE.iter().map(|name| topics.device(mac, name));
            of_heater.chain([discovery_topic(prefix, &heater_id(mac))])
        })
        .collect();
    if only.is_none() {
        clear.extend(OF_BRIDGE.iter().map(|name| topics.bridge(name)));
        clear.insert(discovery_topic(prefix, &bridge_id(topics.base())));
        clear.extend(kept.into_keys().filter(|topic| topics.is_below(topic)));
    }
    let count = clear.len();
    for topic in clear {
        link.publish(SESSION, Message { topic, payload: Bytes::new(), retained: true });
    }
    let Ok(delivered) = clock::within(limit, delivered(&mut events, count)).await else { return Ok(silent(limit)) };
    delivered?;
    link.close(SESSION);
    let left = async { while !matches!(events.recv().await, Some(LinkEvent::Down { .. }) | None) {} };
    let _ = clock::within(Duration::from_secs(3), left).await;
    for mac in &heaters {
        say(format_args!("{mac} is forgotten"));
    }
    match (only, heaters.is_empty()) {
        (None, true) => say("Nothing of a heater stood on the broker"),
        (None, false) => say("The bridge is forgotten"),
        (Some(_), _) => {}
    }
    Ok(Exit::Success)
}

/// Nothing is known to be forgotten.
fn silent(limit: Duration) -> Exit {
    print_error(format_args!("local broker: no answer within {}", humantime::format_duration(limit)));
    Exit::LocalBroker
}

/// Takes what the broker has kept.
async fn kept(events: &mut mpsc::Receiver<LinkEvent>) -> Result<BTreeMap<String, Bytes>, OneShotError> {
    let mut kept = BTreeMap::new();
    // What is published meanwhile does not count.
    let mut last = None;
    loop {
        let left = last.map(|last: Instant| (last + QUIET).saturating_duration_since(clock::now()));
        let next = match left {
            Some(left) => clock::within(left, events.recv()).await,
            None => Ok(events.recv().await),
        };
        match next {
            Ok(Some(LinkEvent::Up { .. })) => last = Some(clock::now()),
            Ok(Some(LinkEvent::Message { topic, payload, retained: true, .. })) => {
                last = last.map(|_| clock::now());
                kept.insert(topic, payload);
            }
            Ok(Some(LinkEvent::Down { error, .. })) => return Err(error.into()),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Ok(kept),
        }
    }
}

async fn delivered(events: &mut mpsc::Receiver<LinkEvent>, count: usize) -> Result<(), OneShotError> {
    let mut left = count;
    while left > 0 {
        match events.recv().await {
            Some(LinkEvent::Delivered { .. }) => left -= 1,
            Some(LinkEvent::Down { error, .. }) => return Err(error.into()),
            Some(_) => {}
            None => break,
        }
    }
    Ok(())
}

/// Returns the heaters of which something stands on the broker: by their topics, and by what the bridge said of them last.
fn heaters(kept: &BTreeMap<String, Bytes>, topics: &Topics, only: Option<&Mac>) -> BTreeSet<Mac> {
    if let Some(only) = only {
        return BTreeSet::from([only.clone()]);
    }
    let info: Value = kept.get(&topics.info()).and_then(|info| serde_json::from_slice(info).ok()).unwrap_or_default();
    let told = info["devices"].as_array().into_iter().flatten();
    let told = told.filter_map(|device| device["mac"].as_str()?.parse().ok());
    kept.keys().filter_map(|topic| topics.heater_of(topic)).chain(told).collect()
}
