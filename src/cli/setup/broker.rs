//! The local broker: where it is, whether it lets us in, and whether Home Assistant uses it.

use std::time::Duration;

use super::draft::Draft;
use super::{SetupArgs, Stopped, ask_for_password, read_password};
use crate::cli::local_broker::{LocalSession, Opened, advice, place, why};
use crate::cli::terminal::{self, meanwhile};
use crate::cli::{print_error, say};
use crate::config::Config;
use crate::daemon::one_shot::{OneShotError, exit};
use crate::exit::Exit;
use crate::io::mqtt::{LinkError, Refusal};
use crate::io::wire::reach;

/// Where a broker usually is, besides where the configuration says.
const USUAL: (&str, u16) = ("homeassistant.local", 1883);
/// Something next door answers at once.
const NEXT_DOOR: Duration = Duration::from_secs(2);
/// What a broker keeps comes with the subscription.
const KEPT: Duration = Duration::from_secs(2);

/// Takes what the arguments say of the broker.
pub fn take_flags(draft: &mut Draft, args: &SetupArgs) -> Result<(), Stopped> {
    let ca_file = args.broker_ca_file.as_ref().map(std::path::absolute).transpose()?;
    let ca_file = ca_file.map(|path| path.display().to_string());
    for (key, value) in [("url", &args.broker), ("username", &args.broker_username), ("ca_file", &ca_file)] {
        if let Some(value) = value {
            draft.set("broker", key, value);
        }
    }
    draft.broker_password = args.broker_password_file.as_deref().map(read_password).transpose()?;
    draft.config().map(drop)
}

/// Finds the broker, lets whoever answers confirm it, and tries it until it lets us in.
pub async fn choose(draft: &mut Draft, args: &SetupArgs, asks: bool) -> Result<(), Stopped> {
    if args.broker.is_none() {
        let url = find(&draft.config()?).await;
        if asks {
            ask_for_url(draft, &url)?;
        } else if url != configured(&draft.config()?) {
            draft.set("broker", "url", &url);
        }
    }
    loop {
        let config = draft.config()?;
        let error = match meanwhile("Connecting to the broker", try_out(&config)).await {
            Ok(Ok(on_it)) => {
                tell(&config, on_it);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(error) => return Err(Stopped::new(exit(&error), format!("{error}; nothing was changed"))),
        };
        let trouble = format!("{}. To do: {}", why(&config, &error), advice(&config, &error));
        if !asks && !args.yes {
            return Err(Stopped::new(Exit::LocalBroker, format!("{trouble}; nothing was changed")));
        }
        print_error(trouble);
        if !asks || args.yes || terminal::confirm("Go on without the broker?", false)? {
            return Ok(());
        }
        match error {
            LinkError::Refused(Refusal::NotAuthorized | Refusal::UsernameOrPassword) => {
                let user = terminal::ask("The user name at the broker", config.broker.username.as_deref())?;
                draft.set("broker", "username", &user);
                draft.broker_password = Some(ask_for_password("Its password", false)?);
            }
            _ => ask_for_url(draft, &configured(&config))?,
        }
    }
}

fn ask_for_url(draft: &mut Draft, known: &str) -> Result<(), Stopped> {
    loop {
        let url = terminal::ask("The local MQTT broker", Some(known))?;
        if url != configured(&draft.config()?) {
            draft.set("broker", "url", &url);
        }
        match draft.problem("broker.url") {
            Some(problem) => {
                print_error(problem);
                draft.set("broker", "url", known);
            }
            None => return Ok(()),
        }
    }
}

/// Returns the URL of the broker that the configuration names, or if nobody is there of one at the usual place.
async fn find(config: &Config) -> String {
    let open = async |host: &str, port| reach(host, port, NEXT_DOOR).await.is_ok();
    let look = async {
        let (host, port) = USUAL;
        if !open(&config.broker.host, config.broker.port).await && open(host, port).await {
            return format!("mqtt://{host}:{port}");
        }
        configured(config)
    };
    meanwhile("Looking for a broker", look).await
}

fn configured(config: &Config) -> String {
    config.dump()["broker"]["url"].as_str().unwrap_or_default().to_owned()
}

/// Connects to the broker; returns whether something of Home Assistant's is on it.
async fn try_out(config: &Config) -> Result<Result<bool, LinkError>, OneShotError> {
    let mut session = LocalSession::new(config)?;
    match session.open(Vec::new(), None).await? {
        Opened::Down(_, error) => Ok(Err(error)),
        Opened::Up(_) => {
            let filter = format!("{}/#", config.home_assistant.discovery_prefix);
            // What the bridge itself has published tells nothing.
            let theirs =
                |topic: &str| topic.starts_with(filter.trim_end_matches('#')) && !topic.contains("navien2mqtt");
            let heard = session.first(KEPT, &filter, theirs).await;
            session.close().await;
            Ok(Ok(heard.is_some()))
        }
    }
}

fn tell(config: &Config, on_it: bool) {
    let prefix = &config.home_assistant.discovery_prefix;
    say(format_args!("{} lets us in", place(config)));
    say(match on_it {
        true => format!("Home Assistant's topics ({prefix}/#) are on it"),
        false => format!(
            "nothing of Home Assistant's is on it ({prefix}/#) that can be read; its MQTT integration must use this broker"
        ),
    });
}
