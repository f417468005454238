//! What `status --broker` says of the local broker.

use tokio::sync::mpsc;

use crate::config::Config;
use crate::daemon::one_shot::{OneShotError, local_dial};
use crate::io::clock;
use crate::io::mqtt::{Link, LinkError, LinkEvent};
use crate::outputs::mqtt::topics::Topics;

/// Looks on the local broker for a daemon that is online, with a client id of its own; returns what is wrong.
pub async fn trouble(config: &Config) -> Option<String> {
    match look(config).await {
        Ok(trouble) => trouble,
        Err(OneShotError::Link(LinkError::Refused(refusal))) => Some(format!("refused, {refusal}")),
        Err(error) => Some(error.to_string()),
    }
}

async fn look(config: &Config) -> Result<Option<String>, OneShotError> {
    let topic = Topics::new(&config.broker.base_topic).state();
    let (sender, mut events) = mpsc::channel(16);
    let link = Link::lenient(&format!("{}-cli", config.broker.client_id), sender)?;
    link.dial(1, local_dial(config, vec![topic.clone()])?);
    let hear = async {
        loop {
            match events.recv().await {
                Some(LinkEvent::Message { topic: heard, payload, .. }) if heard == topic => {
                    let online = payload.as_ref() == b"online";
                    return Ok(
                        (!online).then(|| format!("{topic} is not `online`: the daemon has lost it, or does not run"))
                    );
                }
                Some(LinkEvent::Subscribed { granted: false, .. }) => {
                    return Ok(Some(format!("no subscription to {topic}")));
                }
                Some(LinkEvent::Down { error, .. }) => return Err(error.into()),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    };
    // What it keeps comes with the subscription; what it does not keep, with the next status.
    let limit = config.cloud.connect_timeout + config.cloud.operation_timeout;
    let silent = || format!("nothing is said on {topic}: the daemon has not been there");
    clock::within(limit, hear).await.unwrap_or_else(|_| Ok(Some(silent())))
}
