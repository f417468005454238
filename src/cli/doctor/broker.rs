//! The local broker: a session as the daemon's, and messages to ourselves.
//!
//! They go to `<base>/doctor/get/check`: the rights that the daemon needs anyway are those to write below its base topic
//! and to read `<base>/+/get/+`, and it passes over a `get` that is to no heater. Nothing is retained.

use bytes::Bytes;

use super::{Chart, Finding, Grade};
use crate::cli::local_broker::{Echo, LocalSession, Opened, advice, place, why};
use crate::cli::terminal::meanwhile;
use crate::config::Config;
use crate::daemon::one_shot::{OneShotError, exit};
use crate::exit::Exit;
use crate::io::mqtt::{LinkError, SessionStage};
use crate::model::Message;
use crate::outputs::mqtt::topics::Topics;

const BROKER: Grade = Grade::Bad(Exit::LocalBroker);
/// As large as the discovery of a heater with everything fitted, in bytes.
const LARGEST: usize = 50 * 1024;

/// Connects to the broker, and looks what it takes.
pub async fn examine(chart: &mut Chart, config: &Config) {
    if let Err(error) = try_all(chart, config).await {
        chart.add(Finding::new("broker", Grade::Bad(exit(&error)), error.to_string(), "mend what it names"));
    }
}

async fn try_all(chart: &mut Chart, config: &Config) -> Result<(), OneShotError> {
    let topics = Topics::new(&config.broker.base_topic);
    let own = topics.doctor();
    let mut filters = topics.filters();
    filters.insert(0, own.clone());
    if config.home_assistant.enabled {
        filters.push(config.home_assistant.birth_topic.clone());
    }
    let mut session = LocalSession::new(config)?;
    // An empty message that is retained clears its topic: this will leaves nothing behind, whatever happens.
    let will = Message { topic: own.clone(), payload: Bytes::new(), retained: true };
    let mut retains = true;
    let mut opened = meanwhile("Connecting to the broker", session.open(filters.clone(), Some(will))).await?;
    if matches!(opened, Opened::Down(SessionStage::Connecting, LinkError::Lost(_))) {
        opened = session.open(filters, None).await?;
        retains = false;
    }
    let refused = match opened {
        Opened::Up(refused) => refused,
        Opened::Down(SessionStage::Subscribing(Some(filter)), LinkError::Lost(_)) => {
            let found = format!("the broker closes the connection at the subscription to {filter}");
            chart.add(Finding::new("broker access", BROKER, found, allow(config, "read", &filter)));
            return Ok(());
        }
        Opened::Down(_, error) => {
            chart.add(Finding::new("broker", BROKER, why(config, &error), advice(config, &error)));
            return Ok(());
        }
    };
    let user = config.broker.username.as_deref();
    let login = user.map_or_else(|| "without a login".to_owned(), |user| format!("as {user}"));
    chart.add(Finding::good("broker", format!("{} lets us in {login}", place(config))));
    if !retains {
        let to_do = "let it keep retained messages (mosquitto: retain_available true)";
        let found = "the broker closes the connection at a retained will: it keeps no retained messages, and who comes later sees nothing until something changes";
        chart.add(Finding::new("broker", Grade::Warning, found, to_do));
    }
    for filter in &refused {
        let found = format!("the broker refuses the subscription to {filter}");
        chart.add(Finding::new("broker access", BROKER, found, allow(config, "read", filter)));
    }
    messages(chart, config, &mut session, &own).await;
    daemon(chart, &mut session, &topics.state()).await;
    session.close().await;
    Ok(())
}

/// Sends a small message, and if it comes back one that is as large as the largest.
async fn messages(chart: &mut Chart, config: &Config, session: &mut LocalSession<'_>, own: &str) {
    let small = meanwhile("Waiting for a message to come back", session.echo(own, Bytes::from_static(b"check"))).await;
    let rights = format!("{} and {}", allow(config, "write", &format!("{}/#", config.broker.base_topic)), {
        let read = format!("{}/+/get/+", config.broker.base_topic);
        format!("read {read} (docs/brokers.md)")
    });
    let bad = |found: String, to_do: String| Finding::new("broker access", BROKER, found, to_do);
    match small {
        Echo::Back(took) => {
            let found = format!(
                "a message to {own} came back in {} ms; whether discovery may be written, no broker tells",
                took.as_millis()
            );
            chart.add(Finding::good("broker access", found));
        }
        Echo::Swallowed { acknowledged: true } => {
            let found = format!("a message to {own} was acknowledged and did not come back: the access list drops it");
            return chart.add(bad(found, rights));
        }
        Echo::Swallowed { acknowledged: false } => {
            let found = format!("a message to {own} was not acknowledged");
            return chart.add(bad(found, "look into the broker's log".to_owned()));
        }
        Echo::Closed(error) => {
            return chart.add(bad(format!("the connection ended at a message to {own}: {error}"), rights));
        }
    }
    let large = Bytes::from(vec![b' '; LARGEST]);
    let to_do = "let the broker take 64 KiB (mosquitto: message_size_limit, max_packet_size)";
    let found = match meanwhile("Waiting for a large message to come back", session.echo(own, large)).await {
        Echo::Back(_) => {
            return chart.add(Finding::good("broker size", format!("a message of {} KiB passes", LARGEST >> 10)));
        }
        Echo::Swallowed { .. } => format!("a message of {} KiB does not pass: it is dropped", LARGEST >> 10),
        Echo::Closed(_) => format!("the broker closes the connection at a message of {} KiB", LARGEST >> 10),
    };
    chart.add(Finding::new("broker size", BROKER, found, to_do));
}

/// Looks for the daemon on the broker.
async fn daemon(chart: &mut Chart, session: &mut LocalSession<'_>, state: &str) {
    let limit = std::time::Duration::from_secs(2);
    let said = meanwhile("Looking for the daemon", session.first(limit, state, |topic| topic == state)).await;
    let warning = |found: String| {
        Finding::new("daemon", Grade::Warning, found, "start it, if it does not run: sudo systemctl start navien2mqtt")
    };
    chart.add(match said.as_ref().map(|(_, payload)| payload.as_ref()) {
        Some(b"online") => Finding::good("daemon", format!("{state} is online")),
        Some(_) => warning(format!("{state} is not online: the daemon has lost the broker, or does not run")),
        None => warning(format!("nothing is said on {state}: the daemon has not been there")),
    });
}

fn allow(config: &Config, right: &str, topic: &str) -> String {
    let user = config.broker.username.as_deref().unwrap_or("everybody");
    format!("let {user} {right} {topic}")
}
