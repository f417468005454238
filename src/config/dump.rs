//! The effective configuration, without secrets.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::sections::{LEVELS, TARGETS};
use super::{AccountConfig, AlertsConfig, AttemptsConfig, Config, HomeAssistantConfig};
use crate::model::HeaterChoice;
use crate::supervisor::OnFailure;
use crate::units::UnitsChoice;

impl Config {
    /// Returns the configuration in the shape of its file. Passwords are not in it, and of the email address only what
    /// its owner needs to recognise it.
    pub fn dump(&self) -> Value {
        let show = |at: Duration| humantime::format_duration(at).to_string();
        let path = |path: &Path| path.display().to_string();
        let (cloud, broker) = (&self.cloud, &self.broker);
        let mut recovery = line(&self.recovery.attempts);
        recovery["strategy"] = self.recovery.strategy.as_str().into();
        recovery["refresh_tokens_every"] = self.recovery.refresh_tokens_every.into();
        recovery["on_failure"] = word(OnFailure::WORDS, self.recovery.on_failure).into();
        let scheme = if broker.tls { "mqtts" } else { "mqtt" };
        let host = if broker.host.contains(':') { format!("[{}]", broker.host) } else { broker.host.clone() };
        json!({
            "units": units(self.units),
            "account": account(&self.account),
            "cloud": {
                "api_url": cloud.api_url.as_str(),
                "mqtt_url": cloud.mqtt_url.as_str(),
                "region": cloud.region,
                "ca_file": cloud.ca_file.as_deref().map(path),
                "connect_timeout": show(cloud.connect_timeout),
                "operation_timeout": show(cloud.operation_timeout),
                "keep_alive": show(cloud.keep_alive),
                "status_interval": show(cloud.status_interval),
                "info_interval": show(cloud.info_interval),
                "energy_interval": show(cloud.energy_interval),
                "schedule_interval": show(cloud.schedule_interval),
                "stale_after": show(cloud.stale_after),
            },
            "reconnect": line(&self.reconnect),
            "recovery": recovery,
            "reachability": {
                "enabled": self.reachability.enabled,
                "probe_interval": show(self.reachability.probe_interval),
            },
            "alerts": self.alerts.as_ref().map(alerts),
            "broker": {
                "url": format!("{scheme}://{host}:{}", broker.port),
                "username": broker.username,
                "ca_file": broker.ca_file.as_deref().map(path),
                "client_certificate": broker.client.as_ref().map(|(certificate, _)| path(certificate)),
                "client_id": broker.client_id,
                "base_topic": broker.base_topic,
            },
            "home_assistant": home_assistant(&self.home_assistant),
            "commands": {
                "max_queued": self.commands.max_queued,
                "max_age": show(self.commands.max_age),
                "allow_firmware_commit": self.commands.allow_firmware_commit,
                "read_only": self.commands.read_only,
                "max_temperature": self.commands.max_temperature.map(|half| format!("{} °C", half as f64 / 2.0)),
            },
            "administration": { "allow": self.administration },
            "http": self.http.as_ref().map(|http| json!({ "listen": http.listen.to_string(), "hosts": http.hosts })),
            "state": { "directory": path(&self.state_directory) },
            "log": { "level": word(LEVELS, self.log.level), "target": word(TARGETS, self.log.target) },
            "device": self.devices.iter().map(|device| json!({ "mac": device.mac.as_str(), "name": device.name }))
                .collect::<Value>(),
        })
    }
}

fn account(account: &AccountConfig) -> Value {
    let (heaters, exclude) = match &account.heaters {
        HeaterChoice::All => (None, None),
        HeaterChoice::Only(chosen) => (Some(chosen), None),
        HeaterChoice::AllBut(excluded) => (None, Some(excluded)),
    };
    json!({ "email": redact(&account.email), "heaters": heaters, "exclude": exclude })
}

fn home_assistant(config: &HomeAssistantConfig) -> Value {
    json!({
        "enabled": config.enabled,
        "discovery_prefix": config.discovery_prefix,
        "birth_topic": config.birth_topic,
    })
}

fn units(units: UnitsChoice) -> &'static str {
    match units {
        UnitsChoice::Device => "device",
        UnitsChoice::Metric => "metric",
        UnitsChoice::Us => "us",
    }
}

fn alerts(alerts: &AlertsConfig) -> Value {
    json!({
        "command": alerts.command.as_deref().map(program_only),
        "url": alerts.url.as_ref().map(|_| "***"),
        "timeout": humantime::format_duration(alerts.timeout).to_string(),
    })
}

fn line(attempts: &AttemptsConfig) -> Value {
    json!({
        "enabled": attempts.enabled,
        "max_attempts": attempts.max_attempts.map_or(-1, i64::from),
        "initial_delay": humantime::format_duration(attempts.initial_delay).to_string(),
        "max_delay": humantime::format_duration(attempts.max_delay).to_string(),
        "multiplier": attempts.multiplier,
        "jitter": attempts.jitter,
    })
}

fn word<T: PartialEq>(choices: &[(&'static str, T)], meaning: T) -> &'static str {
    choices.iter().find(|(_, choice)| *choice == meaning).map_or("", |(word, _)| word)
}

/// Shows the program; its arguments may have a secret in them, as a URL has.
fn program_only(command: &[String]) -> Vec<&str> {
    command.iter().enumerate().map(|(at, word)| if at == 0 { word.as_str() } else { "***" }).collect()
}

/// Shows the first letter and the domain.
fn redact(email: &str) -> String {
    let (name, domain) = email.split_once('@').unwrap_or((email, ""));
    format!("{}***@{domain}", name.chars().next().unwrap_or('*'))
}
