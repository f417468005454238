//! The configuration, in the terms of the modules that it sets up.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::ClientConfig;
use secrecy::SecretString;
use url::Url;

use crate::bridge;
use crate::config::{AttemptsConfig, Config};
use crate::foreign_text::Secrets;
use crate::heater;
use crate::heater::polling::Intervals;
use crate::io::mqtt::Dial;
use crate::io::tls::{self, TlsSetupError};
use crate::io::wire::{Target, Transport};
use crate::model::Message;
use crate::outputs::home_assistant::HomeAssistant;
use crate::outputs::mqtt::topics::Topics;
use crate::supervisor::{self, Backoff, Line};

/// The keep-alive of the local link: a broker next door that stops answering is noticed within 45 seconds.
const LOCAL_KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(30);

/// Sets up the supervisor.
pub fn supervisor(config: &Config) -> supervisor::Policy {
    supervisor::Policy {
        reconnect: line(&config.reconnect),
        recovery: line(&config.recovery.attempts),
        strategy: config.recovery.strategy,
        refresh_tokens_every: config.recovery.refresh_tokens_every,
        on_failure: config.recovery.on_failure,
        connect_timeout: config.cloud.connect_timeout,
        operation_timeout: config.cloud.operation_timeout,
        probe_interval: config.reachability.enabled.then_some(config.reachability.probe_interval),
    }
}

/// Returns the hosts without which there is no session: of the REST API and of the MQTT side.
pub fn cloud_hosts(config: &Config) -> Vec<(String, u16)> {
    let mut hosts: Vec<_> = [&config.cloud.api_url, &config.cloud.mqtt_url].map(host_and_port).into();
    hosts.dedup();
    hosts
}

fn host_and_port(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    (host.to_owned(), url.port_or_known_default().unwrap_or(443))
}

fn line(attempts: &AttemptsConfig) -> Line {
    Line {
        enabled: attempts.enabled,
        max_attempts: attempts.max_attempts,
        backoff: Backoff {
            initial: attempts.initial_delay,
            max: attempts.max_delay,
            multiplier: attempts.multiplier,
            jitter: attempts.jitter,
        },
    }
}

/// Sets up the bridge.
pub fn bridge(config: &Config) -> bridge::BridgeSettings {
    let cloud = &config.cloud;
    let names: BTreeMap<_, _> =
        config.devices.iter().filter_map(|device| Some((device.mac.clone(), device.name.clone()?))).collect();
    bridge::BridgeSettings {
        topics: Topics::new(&config.broker.base_topic),
        heater: heater::HeaterSettings {
            units: config.units,
            intervals: Intervals {
                status: cloud.status_interval,
                information: cloud.info_interval,
                energy: cloud.energy_interval,
                schedules: cloud.schedule_interval,
            },
            stale_after: cloud.stale_after,
            commands: heater::commands::CommandSettings {
                max_queued: config.commands.max_queued,
                max_age: config.commands.max_age,
                allow_firmware_commit: config.commands.allow_firmware_commit,
                read_only: config.commands.read_only,
                max_temperature: config.commands.max_temperature,
                answer_within: cloud.operation_timeout,
            },
        },
        names,
        choice: config.account.heaters.clone(),
        home_assistant: HomeAssistant {
            enabled: config.home_assistant.enabled,
            prefix: config.home_assistant.discovery_prefix.clone(),
            birth_topic: config.home_assistant.birth_topic.clone(),
        },
        allow: config.administration.clone(),
    }
}

/// Describes a session with the cloud; `url` is presigned.
pub fn cloud_dial(config: &Config, tls: &Arc<ClientConfig>, url: SecretString) -> Dial {
    let cloud = &config.cloud;
    let (host, port) = host_and_port(&cloud.mqtt_url);
    let secrets = Secrets::new([config.account.email.as_str().into(), config.account.password.clone()]);
    Dial {
        target: Target { host, port, transport: Transport::WebSocket { tls: Arc::clone(tls), url, secrets } },
        keep_alive: cloud.keep_alive,
        connect_timeout: cloud.connect_timeout,
        operation_timeout: cloud.operation_timeout,
        username: None,
        password: None,
        will: None,
        filters: Vec::new(),
    }
}

/// Sets up TLS for the local broker, if it is to be used.
///
/// # Errors
///
/// When the configured files are of no use.
pub fn local_tls(config: &Config) -> Result<Option<Arc<ClientConfig>>, TlsSetupError> {
    let broker = &config.broker;
    let client = broker.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    broker.tls.then(|| tls::client_config(broker.ca_file.as_deref(), client)).transpose()
}

/// Describes a session with the local broker, without filters.
pub fn local_dial(config: &Config, tls: Option<&Arc<ClientConfig>>, will: Option<Message>) -> Dial {
    let broker = &config.broker;
    Dial {
        target: Target {
            host: broker.host.clone(),
            port: broker.port,
            transport: tls.map_or(Transport::Tcp, |tls| Transport::Tls(Arc::clone(tls))),
        },
        keep_alive: LOCAL_KEEP_ALIVE,
        connect_timeout: config.cloud.connect_timeout,
        operation_timeout: config.cloud.operation_timeout,
        username: broker.username.clone(),
        password: broker.password.clone(),
        will,
        filters: Vec::new(),
    }
}
