//! Tells somebody, by a command or by HTTP, that the cloud is gone for good or back: bounded in time, never in the way.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use reqwest::{Client, redirect};
use rustix::process::{Pid, Signal, kill_process_group};
use rustls::ClientConfig;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::{clock, descriptors, task};
use crate::config::AlertsConfig;

/// How many alerts may wait while one is being told; more than ever happen in a row.
const WAITING: usize = 16;
/// What a command gets of our own environment, which also holds passwords.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "LANG"];

/// One alert.
#[derive(Debug)]
pub struct Alert {
    /// The name of the event.
    pub event: String,
    /// All that is told.
    pub payload: Value,
}

/// The worker that tells alerts, one after the other.
#[derive(Debug)]
pub struct Alerter {
    alerts: mpsc::Sender<Alert>,
    worker: JoinHandle<()>,
}

impl Alerter {
    /// Starts the worker.
    ///
    /// # Errors
    ///
    /// When the HTTP library cannot be set up.
    pub fn start(config: AlertsConfig, tls: &ClientConfig) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(config.timeout)
            .user_agent(concat!("navien2mqtt/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let (alerts, mut waiting) = mpsc::channel::<Alert>(WAITING);
        let worker = task::spawn(async move {
            while let Some(alert) = waiting.recv().await {
                tokio::join!(by_command(&config, &alert), by_http(&config, &http, &alert));
            }
        });
        Ok(Self { alerts, worker })
    }

    /// Hands over an alert; returns at once.
    pub fn tell(&self, alert: Alert) {
        if let Err(error) = self.alerts.try_send(alert) {
            warn!("An alert is dropped, since the ones before it are not told yet: {error}");
        }
    }

    /// Waits until everything is told, at most for `limit`.
    pub async fn finish(self, limit: Duration) {
        drop(self.alerts);
        if clock::within(limit, self.worker).await.is_err() {
            warn!("Not every alert could be told in time");
        }
    }
}

async fn by_command(config: &AlertsConfig, alert: &Alert) {
    let Some((program, arguments)) = config.command.as_ref().and_then(|command| command.split_first()) else { return };
    match run(program, arguments, alert, config.timeout).await {
        Ok(()) => debug!(event = alert.event, "{program} was told"),
        Err(error) => warn!(event = alert.event, "The alert command {program} failed: {error}"),
    }
}

async fn run(program: &str, arguments: &[String], alert: &Alert, limit: Duration) -> io::Result<()> {
    let kept = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    descriptors::close_on_exec()?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(kept)
        .env("NAVIEN2MQTT_EVENT", &alert.event)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // A command need not read what it is told.
            let _ = stdin.write_all(format!("{}\n", alert.payload).as_bytes()).await;
        }
        child.wait().await
    };
    match clock::within(limit, work).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(io::Error::other(status.to_string())),
        Ok(Err(error)) => Err(error),
        Err(late) => {
            // Its children with it.
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            Err(io::Error::new(io::ErrorKind::TimedOut, late))
        }
    }
}

async fn by_http(config: &AlertsConfig, http: &Client, alert: &Alert) {
    let Some(url) = &config.url else { return };
    let post = http.post(url.expose_secret()).json(&alert.payload).send();
    // The address is a secret: it is in no message, and the errors are shown without it.
    match clock::within(config.timeout, post).await {
        Ok(Ok(answer)) if answer.status().is_success() => debug!(event = alert.event, "The alert URL was told"),
        Ok(Ok(answer)) => warn!(event = alert.event, "The alert URL answered {}", answer.status()),
        Ok(Err(error)) => warn!(event = alert.event, "The alert URL cannot be told: {}", error.without_url()),
        Err(late) => warn!(event = alert.event, "The alert URL cannot be told: {late}"),
    }
}
