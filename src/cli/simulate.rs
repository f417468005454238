//! `simulate`: the simulated cloud and heaters alone.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;

use super::{on_runtime, print_error, say};
use crate::config::{LogLevel, LogTarget};
use crate::daemon;
use crate::exit::Exit;
use crate::io::journal;
use crate::simulator::{self, Simulator};

/// How the simulated cloud is set up. It prints one line of JSON with its addresses, its certificate authority and
/// its account when it is ready; `POST /faults` on the control port makes it misbehave.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// How many heaters the account has
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100))]
    heaters: u16,
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    listen: IpAddr,
    /// The port of the REST API; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    api_port: u16,
    /// The port of the MQTT side; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    mqtt_port: u16,
    /// The control port, on loopback; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    control_port: u16,
    /// Where the certificates are written; without it, a temporary directory that is removed in the end
    #[arg(long, value_name = "PATH")]
    directory: Option<PathBuf>,
    /// How much faster than real ones the heaters live
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    speed: f64,
    /// Answers carry the ids of the one who asked; those of real heaters carry their own
    #[arg(long)]
    echo_ids: bool,
    /// What everything random is made from
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
}

/// Runs the simulated cloud until it is asked to stop.
pub fn simulate(options: SimulateArgs, level: LogLevel) -> Exit {
    if !(options.speed.is_finite() && (0.0..=10_000.0).contains(&options.speed)) {
        print_error("--speed: expected a number from 0 to 10000");
        return Exit::Usage;
    }
    journal::start(LogTarget::Stderr, level);
    on_runtime(async {
        let started = Simulator::start(simulator::Options {
            heaters: usize::from(options.heaters),
            seed: options.seed,
            listen: options.listen,
            api_port: options.api_port,
            mqtt_port: options.mqtt_port,
            control_port: options.control_port,
            time_scale: options.speed,
            directory: options.directory,
            echo_ids: options.echo_ids,
            ..simulator::Options::default()
        })
        .await;
        let simulator = match started {
            Ok(simulator) => simulator,
            Err(error) => {
                print_error(format_args!("the simulator cannot be started: {error}"));
                return Exit::Internal;
            }
        };
        let mut signals = match daemon::signals() {
            Ok(signals) => signals,
            Err(error) => {
                print_error(format_args!("signals cannot be received: {error}"));
                return Exit::Internal;
            }
        };
        say(simulator.describe());
        signals.recv().await;
        simulator.stop().await;
        Exit::Success
    })
}
