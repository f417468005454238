//! The unit, and what to look at next.

use std::process::Command;

use super::draft::Layout;
use super::{SetupArgs, Stopped};
use crate::cli::service::systemd_runs;
use crate::cli::{say, terminal};
use crate::config::Config;
use crate::exit::Exit;

/// Enables the unit and starts it afresh, if that is wanted and it is installed.
pub fn enable(layout: &Layout, args: &SetupArgs, asks: bool) -> Result<(), Stopped> {
    let Some(service) = layout.service.as_ref().filter(|_| systemd_runs() && !args.no_enable) else { return Ok(()) };
    let unit = service.unit();
    if !systemctl(&["--quiet", "cat", &unit]) {
        say(format_args!("{unit} is not installed: see docs/install.md"));
        return Ok(());
    }
    let question = format!("Start {unit} now, and at every boot?");
    if !(args.yes || asks && terminal::confirm(question, true)?) {
        say(format_args!("Start it with: systemctl enable --now {unit}"));
        return Ok(());
    }
    // One that runs already gets new credentials only when it is started again.
    for verb in ["enable", "restart"] {
        if !systemctl(&[verb, &unit]) {
            let why = format!("systemctl {verb} {unit} failed; see journalctl -u {unit}");
            return Err(Stopped::new(Exit::Internal, why));
        }
    }
    say(format_args!("{unit} is started"));
    Ok(())
}

fn systemctl(arguments: &[&str]) -> bool {
    let mut command = Command::new("systemctl");
    if arguments.contains(&"cat") {
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    }
    command.args(arguments).status().is_ok_and(|status| status.success())
}

/// Says how to look at what was set up.
pub fn say_what_next(layout: &Layout, config: &Config) {
    let broker = &config.broker;
    let login = broker.username.as_ref().map(|user| format!(" -u {user} -P …")).unwrap_or_default();
    let sub = format!("mosquitto_sub -h {} -p {}{login} -t '{}/#' -v", broker.host, broker.port, broker.base_topic);
    let path = layout.config.display();
    let lines = match &layout.service {
        Some(service) => {
            let unit = service.unit();
            vec![
                (format!("systemctl status {unit}"), "the state, its reason and the next step"),
                (format!("journalctl -u {unit}"), "changes of state, in plain words"),
                (sub, "everything that is published"),
                (format!("sudo navien2mqtt doctor --config {path}"), "what is to be done when something is odd"),
            ]
        }
        None => vec![
            (format!("navien2mqtt run --config {path}"), "starts it"),
            (sub, "everything that is published"),
            (format!("navien2mqtt doctor --config {path}"), "what is to be done when something is odd"),
        ],
    };
    say("\nWhat to look at next:");
    for (command, what) in lines {
        say(format_args!("  {command}\n      {what}"));
    }
}
