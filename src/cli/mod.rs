//! The commands (contract, section 1).

mod decode;
#[cfg(feature = "simulator")]
mod demo;
mod doctor;
mod forget;
mod health;
mod local_broker;
mod one_shot;
mod service;
mod setup;
#[cfg(feature = "simulator")]
mod simulate;
mod terminal;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use rustix::process::{DumpableBehavior, geteuid, set_dumpable_behavior};

use crate::config::{Config, ConfigProblem, Environment, LogLevel, LogTarget};
use crate::daemon::{self, Ended};
use crate::exit::Exit;
use crate::io::{descriptors, files, journal, memory, tls};
use crate::model::Mac;
use crate::units::UnitsChoice;

use service::{Service, systemd_runs};

/// Set in the environment of a program that takes the place of the one before it.
const AFRESH: &str = "NAVIEN2MQTT_AFRESH";
const DEFAULT_CONFIG: &str = "/etc/navien2mqtt/navien2mqtt.toml";
/// After the work is done, what is left on the runtime (a name lookup that nobody waits for) gets so long.
const RUNTIME_LIMIT: Duration = Duration::from_millis(100);

#[derive(Debug, Parser)]
#[command(version = env!("NAVIEN2MQTT_VERSION"), about, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Debug, Args)]
struct Global {
    /// The configuration file [default: $NAVIEN2MQTT_CONFIG, or /etc/navien2mqtt/navien2mqtt.toml]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Say more (-v: debug, -vv: trace)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say less (-q: warnings, -qq: errors)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    quiet: u8,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// The daemon: bridges the cloud and the local broker until it is asked to stop
    Run,
    /// Reads the configuration and reports every problem in it; touches no network
    Check,
    /// Signs in, lists the account's heaters, leaves
    Devices {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Connects, asks each heater for its status, prints it, leaves
    Status {
        /// Only this heater
        #[arg(long, value_name = "MAC")]
        device: Option<Mac>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Look for the daemon on the local broker as well, and exit with 75 if there is trouble
        #[arg(long)]
        broker: bool,
    },
    /// Asks for the account and the broker, tries both, and writes configuration and credentials
    Setup(setup::SetupArgs),
    /// Looks through all that the service needs, and says what is to be done
    Doctor(doctor::DoctorArgs),
    /// Takes everything that stands of a heater, or of the whole bridge, off the local broker and out of Home Assistant
    #[command(group(clap::ArgGroup::new("what").required(true)))]
    Forget {
        /// This heater
        #[arg(value_name = "MAC", group = "what")]
        device: Option<Mac>,
        /// Everything of this bridge; it must not run
        #[arg(long, group = "what")]
        all: bool,
    },
    /// Asks the daemon that runs whether it is healthy; needs http.listen
    Health {
        /// Ask whether it is ready: connected to the cloud and to the local broker
        #[arg(long)]
        ready: bool,
    },
    /// Decodes a raw cloud message of any kind, a bare status or feature object, or the raw messages of a diagnostics
    /// answer, from standard input
    Decode {
        /// The units to show
        #[arg(long, value_enum, default_value_t = Units::Device)]
        units: Units,
    },
    /// Simulated cloud, heater and broker with the real bridge between them: no account needed
    #[cfg(feature = "simulator")]
    Demo(demo::DemoArgs),
    /// The simulated cloud and heaters alone
    #[cfg(feature = "simulator")]
    Simulate(simulate::SimulateArgs),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Units {
    /// As the heater itself is set
    Device,
    /// Celsius, litres
    Metric,
    /// Fahrenheit, gallons
    Us,
}

impl From<Units> for UnitsChoice {
    fn from(units: Units) -> Self {
        match units {
            Units::Device => UnitsChoice::Device,
            Units::Metric => UnitsChoice::Metric,
            Units::Us => UnitsChoice::Us,
        }
    }
}

#[cfg(feature = "simulator")]
fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

/// Returns the definition of the command line, of which the man page and the completions are made.
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments and runs the command that they name.
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes, and go to standard output.
            let printed = error.print();
            if error.use_stderr() {
                return Exit::Usage;
            }
            note_unwritten(printed);
            return written(Exit::Success);
        }
    };
    written(execute(arguments))
}

fn execute(arguments: Arguments) -> Exit {
    // A core dump would hold the password. The only error is that this system does not know of it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    memory::use_one_pool();
    let global = arguments.global;
    match arguments.command {
        CliCommand::Run => {
            let path = config_path(&global);
            with_config(&global, read, |config| run(config, path))
        }
        CliCommand::Check => check(&global),
        CliCommand::Devices { json } => {
            with_config(&global, read_for_one_shot, |config| one_shot::devices(config, json))
        }
        CliCommand::Status { device, json, broker } => {
            with_config(&global, read_for_one_shot, |config| one_shot::status(config, device, (json, broker)))
        }
        CliCommand::Setup(options) => {
            journal::start(LogTarget::Stderr, level(LogLevel::Error, &global));
            setup::setup(&options, config_path(&global))
        }
        CliCommand::Doctor(options) => {
            journal::start(LogTarget::Stderr, level(LogLevel::Error, &global));
            doctor::doctor(&options, &config_path(&global))
        }
        CliCommand::Forget { device, .. } => {
            with_config(&global, read_for_one_shot, |config| forget::forget(&config, device))
        }
        CliCommand::Health { ready } => {
            with_config(&global, read_for_one_shot, |config| health::health(&config, ready))
        }
        CliCommand::Decode { units } => decode::decode(units.into()),
        #[cfg(feature = "simulator")]
        CliCommand::Demo(wanted) => demo::demo(level(wanted.log_level(), &global), wanted),
        #[cfg(feature = "simulator")]
        CliCommand::Simulate(options) => simulate::simulate(options, level(LogLevel::Info, &global)),
    }
}

fn run(config: Config, path: PathBuf) -> Exit {
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    // By its path of now: an upgrade puts another file there, which a fresh start is to find.
    let program = std::env::current_exe();
    let may_restart = Arc::new(move || match read(&path) {
        Ok(_) => Ok(()),
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    });
    let mut afresh = false;
    let exit = on_runtime(async {
        let ended = match daemon::signals() {
            Ok(signals) => daemon::run(config, signals, may_restart, std::env::var_os(AFRESH).is_some()).await,
            Err(error) => Err(error.into()),
        };
        afresh = matches!(ended, Ok(Ended::ToRestart));
        match ended {
            Ok(Ended::Leaving(exit)) => exit,
            Ok(Ended::ToRestart) => Exit::Success,
            Err(error) => {
                tracing::error!("Cannot start: {error}");
                error.exit()
            }
        }
    });
    if afresh { start_afresh(program) } else { exit }
}

/// Puts a new program in the place of this one: the same process for whoever looks after it, with everything new.
fn start_afresh(program: io::Result<PathBuf>) -> Exit {
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    // Without a free descriptor it fails; the new program then inherits no more than it has to.
    let _ = descriptors::close_on_exec();
    let error = match program {
        Ok(program) => std::process::Command::new(program).arg0(name).args(words).env(AFRESH, "1").exec(),
        Err(error) => error,
    };
    tracing::error!("Cannot start afresh: {error}");
    Exit::Internal
}

fn check(global: &Global) -> Exit {
    let path = config_path(global);
    match load(&path, read_for_one_shot) {
        Ok(config) => {
            config.warnings.iter().for_each(print_error);
            say(match config.warnings.len() {
                0 => format!("{}: good", path.display()),
                1 => format!("{}: good, with 1 warning", path.display()),
                count => format!("{}: good, with {count} warnings", path.display()),
            });
            Exit::Success
        }
        Err(exit) => exit,
    }
}

/// Loads the configuration, starts the log and goes on with `command`.
fn with_config(
    global: &Global,
    read: fn(&Path) -> Result<Config, Vec<ConfigProblem>>,
    command: impl FnOnce(Config) -> Exit,
) -> Exit {
    let config = match load(&config_path(global), read) {
        Ok(config) => config,
        Err(exit) => return exit,
    };
    journal::start(config.log.target, level(config.log.level, global));
    command(config)
}

fn config_path(global: &Global) -> PathBuf {
    let variable = std::env::var_os("NAVIEN2MQTT_CONFIG").filter(|path| !path.is_empty());
    global.config.clone().or(variable.map(PathBuf::from)).unwrap_or_else(|| DEFAULT_CONFIG.into())
}

/// Reads the configuration as the service does.
fn read(path: &Path) -> Result<Config, Vec<ConfigProblem>> {
    read_with(path, &|name| std::env::var_os(name), None)
}

/// Reads the configuration for a one-shot command: root, who set up the service's credentials, uses the same ones, and
/// learns what the service could not read of the file that it is started with.
fn read_for_one_shot(path: &Path) -> Result<Config, Vec<ConfigProblem>> {
    if !geteuid().is_root() {
        return read(path);
    }
    let service = Service::of(path);
    let of_unit = |name: &str| service.as_ref().filter(|_| systemd_runs())?.variable(name);
    let variable = |name: &str| std::env::var_os(name).or_else(|| of_unit(name));
    read_with(path, &variable, Some(&service.clone().unwrap_or_default()))
}

/// Reads the configuration as the unit of `service` does, whatever stands in the environment of this command.
fn read_for_unit(path: &Path, service: &Service) -> Result<Config, Vec<ConfigProblem>> {
    read_with(path, &|name| service.variable(name), Some(service))
}

/// Reads the configuration with these variables, and as root with the credentials of a service.
fn read_with(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<OsString>,
    service: Option<&Service>,
) -> Result<Config, Vec<ConfigProblem>> {
    let by_unit = service.is_some() && Service::of(path).is_some() && systemd_runs();
    let stored = |name: &str| service.map(|service| service.credential(name)).unwrap_or_default();
    let environment = Environment {
        variable,
        read: &files::read,
        check_pem: &tls::check,
        stored_credential: service.is_some().then_some(&stored),
        access: &|path| files::access(path, by_unit),
    };
    Config::load(path, environment)
}

fn load(path: &Path, read: fn(&Path) -> Result<Config, Vec<ConfigProblem>>) -> Result<Config, Exit> {
    read(path).map_err(|problems| {
        for problem in &problems {
            print_error(problem);
        }
        let count = problems.len();
        print_error(format_args!("{}: {count} problem{}", path.display(), if count == 1 { "" } else { "s" }));
        Exit::Configuration
    })
}

fn level(configured: LogLevel, global: &Global) -> LogLevel {
    const LEVELS: [LogLevel; 5] = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let place = LEVELS.iter().position(|level| *level == configured).unwrap_or(2);
    LEVELS[(place + usize::from(global.verbose)).saturating_sub(usize::from(global.quiet)).min(4)]
}

/// Runs `work` on this thread, beside which only blocking calls have threads of their own: switching between threads
/// costs more than all else that a message takes.
fn on_runtime(work: impl Future<Output = Exit>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(format_args!("the runtime cannot be started: {error}"));
            return Exit::Internal;
        }
    };
    let exit = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_LIMIT);
    exit
}

/// The first error of standard output.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Writes a line to standard output; an error is remembered for [`written`].
fn say(line: impl Display) {
    note_unwritten(writeln!(io::stdout(), "{line}"));
}

fn note_unwritten(outcome: io::Result<()>) {
    match outcome {
        // That nobody reads it is no error.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = UNWRITTEN.set(error);
        }
        _ => {}
    }
}

/// Returns `exit`, unless something could not be written to standard output: a success without its output is none.
fn written(exit: Exit) -> Exit {
    note_unwritten(io::stdout().flush());
    let Some(error) = UNWRITTEN.get() else { return exit };
    print_error(format_args!("standard output cannot be written: {error}"));
    if exit == Exit::Success { Exit::Internal } else { exit }
}

/// Writes a line to standard error.
fn print_error(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
