//! `devices` and `status`: the one-shot commands, which go to the cloud once and leave.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{local_broker, on_runtime, print_error, say};
use crate::config::Config;
use crate::daemon;
use crate::daemon::one_shot::{OneShotClient, OneShotError};
use crate::exit::Exit;
use crate::io::clock;
use crate::io::mqtt::{Link, LinkEvent};
use crate::model::{HeaterChoice, Mac};
use crate::navilink::devices::{Device, DeviceList};
use crate::navilink::message::{Body, read};
use crate::navilink::request::Query;
use crate::navilink::topics;
use crate::product;

/// Lists the account's heaters.
pub fn devices(config: Config, json: bool) -> Exit {
    on_runtime(async {
        let listed = async { OneShotClient::new(&config).await?.devices().await }.await;
        match listed {
            Err(error) => failed(&error),
            Ok(list) => {
                print_devices(&list, &config.account.heaters, json);
                Exit::Success
            }
        }
    })
}

/// Prints the account's heaters, with those that are not chosen named as such.
pub fn print_devices(list: &DeviceList, choice: &HeaterChoice, as_json: bool) {
    list.problems.iter().for_each(print_error);
    let heaters = &list.heaters;
    if as_json {
        let list: Vec<Value> = heaters
            .iter()
            .map(|heater| {
                json!({
                    "mac": heater.mac.as_str(),
                    "name": heater.name,
                    "device_type": heater.device_type,
                    "online": heater.online,
                    "served": choice.includes(&heater.mac),
                })
            })
            .collect();
        return say(serde_json::to_string_pretty(&list).unwrap_or_default());
    }
    if heaters.is_empty() {
        return say(sentence(&list.in_place_of_heaters(&product::names())));
    }
    for heater in heaters {
        let online = match heater.online {
            Some(true) => "online",
            Some(false) => "offline",
            None => "unknown",
        };
        let unchosen = if choice.includes(&heater.mac) { "" } else { "  (left out by the configuration)" };
        say(format_args!("{}  type {}  {online:7}  {}{unchosen}", heater.mac, heater.device_type, heater.name));
    }
    for (key, mac) in choice.named().filter(|(_, mac)| heaters.iter().all(|heater| heater.mac != **mac)) {
        print_error(format_args!("{key} names {mac}, which the account does not have"));
    }
    for other in &list.others {
        say(format_args!("{other} is no {} and left out", product::names()));
    }
}

/// Asks the heaters, or one of them, for their status; looks at the local broker as well if that is wanted.
pub fn status(config: Config, device: Option<Mac>, (json, broker): (bool, bool)) -> Exit {
    on_runtime(async {
        let trouble = match broker {
            true => local_broker::trouble(&config).await,
            false => None,
        };
        if let Some(trouble) = &trouble {
            print_error(format_args!("local broker: {trouble}"));
        }
        match ask(&config, device).await {
            Err(error) => failed(&error),
            Ok(Answers { statuses, missing, none }) => {
                if let Some(none) = none.filter(|_| !json) {
                    say(sentence(&none));
                }
                for (heater, status) in &statuses {
                    print_status(heater, status, json);
                }
                for heater in &missing {
                    print_error(format_args!("{}: no answer", heater.mac));
                }
                match (missing.is_empty(), trouble) {
                    (false, _) => Exit::CloudUnavailable,
                    (true, Some(_)) => Exit::LocalBroker,
                    (true, None) => Exit::Success,
                }
            }
        }
    })
}

#[derive(Default)]
struct Answers {
    statuses: Vec<(Device, Value)>,
    missing: Vec<Device>,
    /// Why nothing was asked for: the account has no heater.
    none: Option<String>,
}

async fn ask(config: &Config, device: Option<Mac>) -> Result<Answers, OneShotError> {
    let way = OneShotClient::new(config).await?;
    let list = way.devices().await?;
    let lack = list.in_place_of_heaters(&product::names());
    let mut heaters = wanted(list.heaters, device, &config.account.heaters)?;
    if heaters.is_empty() {
        return Ok(Answers { none: Some(lack), ..Answers::default() });
    }
    let identity = way.identity()?;
    let left_out = heaters.split_off(topics::served(&heaters, &identity.client));
    if !left_out.is_empty() {
        print_error("not all heaters can be asked at once; ask for the others with --device");
    }
    let (sender, mut events) = mpsc::channel(256);
    let link = Link::new(identity.client.as_str(), sender)?;
    let mut dial = way.dial().await?;
    dial.filters = topics::filters(&heaters, &identity.client);
    link.dial(1, dial);
    let mut waiting: BTreeMap<Mac, Device> = heaters.into_iter().map(|heater| (heater.mac.clone(), heater)).collect();
    let mut statuses = Vec::new();
    let collect = async {
        while !waiting.is_empty() {
            match events.recv().await {
                Some(LinkEvent::Up { .. }) => {
                    for heater in waiting.values() {
                        link.publish(1, Query::Status.message(heater, &identity));
                    }
                }
                Some(LinkEvent::Message { topic, payload, .. }) => {
                    let Ok(message) = read(&topic, &payload) else { continue };
                    let (Some(mac), Body::Status(status)) = (message.mac, message.body) else { continue };
                    if let Some(heater) = waiting.remove(&mac)
                        && let Some(product) = product::of(heater.device_type)
                    {
                        statuses.push((heater, product.decode_status(&status, config.units).object.into()));
                    }
                }
                Some(LinkEvent::Down { error, .. }) => return Err(error.into()),
                Some(LinkEvent::Delivered { .. } | LinkEvent::Subscribed { .. }) => {}
                None => return Ok(()),
            }
        }
        Ok(())
    };
    let limit: Duration = config.cloud.connect_timeout + config.cloud.operation_timeout;
    // Whoever has not answered by then is named.
    let outcome: Result<(), OneShotError> = clock::within(limit, collect).await.unwrap_or(Ok(()));
    outcome?;
    link.close(1);
    let left = async { while !matches!(events.recv().await, Some(LinkEvent::Down { .. }) | None) {} };
    let _ = clock::within(Duration::from_secs(3), left).await;
    Ok(Answers { statuses, missing: waiting.into_values().chain(left_out).collect(), none: None })
}

/// Returns the heater that is named, chosen or not, or those that are chosen.
fn wanted(mut heaters: Vec<Device>, device: Option<Mac>, choice: &HeaterChoice) -> Result<Vec<Device>, OneShotError> {
    heaters.retain(|heater| device.as_ref().map_or_else(|| choice.includes(&heater.mac), |mac| heater.mac == *mac));
    match device.filter(|_| heaters.is_empty()) {
        Some(device) => Err(OneShotError::NoSuchHeater(device)),
        None => Ok(heaters),
    }
}

fn print_status(heater: &Device, status: &Value, as_json: bool) {
    if as_json {
        let mut line = json!({ "mac": heater.mac.as_str() });
        if let (Value::Object(line), Value::Object(status)) = (&mut line, status) {
            line.extend(status.clone());
        }
        return say(line);
    }
    say(format_args!("{} {}", heater.mac, heater.name));
    for (name, value) in status.as_object().into_iter().flatten() {
        if !value.is_null() {
            let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            say(format_args!("  {name:34} {shown}"));
        }
    }
}

/// Makes a sentence of a text that begins in lower case.
fn sentence(text: &str) -> String {
    let (first, rest) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}.", first.to_uppercase())
}

fn failed(error: &OneShotError) -> Exit {
    print_error(error);
    daemon::one_shot::exit(error)
}
