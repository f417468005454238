//! `demo`: the whole chain on one machine, over real sockets with TLS, and an outage every so often.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;

use super::{on_runtime, print_error, say};
use crate::config::{Access, Config, Environment, LogLevel, LogTarget};
use crate::daemon;
use crate::exit::Exit;
use crate::io::{clock, journal, task, tls};
use crate::simulator::broker::Publication;
use crate::simulator::{Controls, Fault, LocalBroker, Options, Simulator};
use crate::supervisor::Strategy;

/// How much faster than a real one the heater lives: its values are to be seen moving.
const SPEED: f64 = 60.0;
/// Between two outages, without `--for`.
const OUTAGE_EVERY: Duration = Duration::from_secs(15);
/// So long before the end there is no outage any more: it is to be seen survived.
const ROOM: Duration = Duration::from_secs(6);
/// The daemon's disconnection has limits of its own; this one is for a daemon that has none.
const FAREWELL: Duration = Duration::from_secs(10);

/// The internet is away for so long, if nothing else is said.
const OFFLINE: Duration = Duration::from_secs(20);

/// What is to be shown.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct DemoArgs {
    /// End by itself, and with 0 only if status flowed before and after the outage
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    limit: Option<Duration>,
    /// Take the internet away for so long, in place of short interruptions, and show the log; waits are shorter than usual
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    offline: Option<Duration>,
    /// The same for 20 s, if nothing else is said, with this strategy of recovery
    #[arg(long, value_parser = strategy)]
    strategy: Option<Strategy>,
}

impl DemoArgs {
    /// Returns what is shown of the log by default: in an absence of the internet it is the story.
    pub fn log_level(&self) -> LogLevel {
        if self.absence().is_some() { LogLevel::Info } else { LogLevel::Error }
    }

    fn absence(&self) -> Option<Duration> {
        self.offline.or(self.strategy.map(|_| OFFLINE))
    }

    /// Reconnecting is exhausted in seconds, so that recovery is seen.
    fn configuration(&self) -> String {
        if self.absence().is_none() {
            return String::new();
        }
        let strategy = self.strategy.unwrap_or(Strategy::ExponentialBackoff).as_str();
        format!(
            "[reconnect]\nmax_attempts = 3\nmax_delay = \"2s\"\n\
             [recovery]\ninitial_delay = \"3s\"\nmax_delay = \"6s\"\nstrategy = {strategy:?}\n"
        )
    }
}

fn strategy(text: &str) -> Result<Strategy, String> {
    let found = Strategy::WORDS.iter().find(|(word, _)| *word == text);
    let words: Vec<&str> = Strategy::WORDS.iter().map(|(word, _)| *word).collect();
    found.map(|(_, strategy)| *strategy).ok_or_else(|| format!("one of {} is expected", words.join(", ")))
}

/// Runs the demo until Ctrl-C, or for as long as is wanted.
pub fn demo(level: LogLevel, wanted: DemoArgs) -> Exit {
    journal::start(LogTarget::Stderr, level);
    on_runtime(async {
        let folder = std::env::temp_dir().join(format!("navien2mqtt-demo-{}", std::process::id()));
        let exit = run(&folder, wanted).await.unwrap_or_else(|error| {
            print_error(format_args!("the demo cannot be started: {error}"));
            Exit::Internal
        });
        let _ = std::fs::remove_dir_all(&folder);
        exit
    })
}

async fn run(folder: &Path, wanted: DemoArgs) -> io::Result<Exit> {
    std::fs::create_dir_all(folder)?;
    let directory = Some(folder.to_owned());
    let simulator = Simulator::start(Options { time_scale: SPEED, directory, ..Options::default() }).await?;
    let broker = LocalBroker::start((Ipv4Addr::LOCALHOST, 0).into()).await?;
    let port = free_port()?;
    let config = configuration((&simulator, &broker), folder, port, wanted)?;
    introduce(&simulator, &broker, port);

    let mut messages = broker.broker.subscribe();
    let (stop, stops) = mpsc::channel(2);
    let may_restart = Arc::new(|| Err("the demo cannot start afresh".to_owned()));
    let mut bridge = task::spawn(daemon::run(config, stops, may_restart, false));
    let mut show = Show::new(simulator.faults(), wanted);
    let mut signals = daemon::signals()?;
    let interrupted = loop {
        tokio::select! {
            Some(message) = messages.recv() => show.message(&message),
            () = clock::sleep_until(show.next_outage) => show.outage(),
            () = clock::sleep_until(show.end) => break false,
            _ = signals.recv() => break true,
            ended = &mut bridge => {
                print_error(format_args!("the bridge ended by itself: {ended:?}"));
                return Ok(Exit::Internal);
            }
        }
    };
    let _ = stop.send("the demo ends").await;
    let _ = clock::within(FAREWELL, bridge).await;
    let good = show.summary();
    broker.stop().await;
    simulator.stop().await;
    Ok(if good || interrupted { Exit::Success } else { Exit::CloudUnavailable })
}

/// The bridge is configured by a file like any other.
fn configuration(
    (simulator, broker): (&Simulator, &LocalBroker),
    folder: &Path,
    port: u16,
    wanted: DemoArgs,
) -> io::Result<Config> {
    let text = format!(
        "[account]\nemail = {:?}\npassword = {:?}\n\
         [cloud]\napi_url = {:?}\nmqtt_url = {:?}\nca_file = {:?}\nstatus_interval = \"5s\"\nstale_after = \"30s\"\n\
         [broker]\nurl = {:?}\n[http]\nlisten = \"127.0.0.1:{port}\"\n[state]\ndirectory = {:?}\n{}",
        simulator.email,
        simulator.password,
        simulator.api_url,
        simulator.mqtt_url,
        simulator.ca_file,
        broker.url,
        folder.join("state"),
        wanted.configuration(),
    );
    let path = PathBuf::from("demo.toml");
    let read = |wanted: &Path| if wanted == path { Ok(text.clone().into_bytes()) } else { std::fs::read(wanted) };
    let nothing = |_: &str| None;
    let environment = Environment {
        variable: &nothing,
        read: &read,
        check_pem: &tls::check,
        stored_credential: None,
        access: &|_| Access::default(),
    };
    Config::load(&path, environment)
        .map_err(|problems| io::Error::other(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}

/// Returns the usual port of the page, or another one if somebody has that.
fn free_port() -> io::Result<u16> {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    listen(9464).or_else(|_| listen(0))?.local_addr().map(|at| at.port())
}

fn introduce(simulator: &Simulator, broker: &LocalBroker, page: u16) {
    let port = broker.url.rsplit(':').next().unwrap_or_default();
    say(format_args!("simulated cloud   {} and {}", simulator.api_url, simulator.mqtt_url));
    say(format_args!("local broker      {}", broker.url));
    say(format_args!("the page          http://127.0.0.1:{page}/"));
    say(format_args!("look at all of it mosquitto_sub -p {port} -t 'navien2mqtt/#' -v"));
    say(format_args!("connect afresh    mosquitto_pub -p {port} -t navien2mqtt/bridge/request/reconnect -n"));
    say("");
}

/// What is shown, and what is counted for the summary.
struct Show {
    faults: Controls,
    begun: Instant,
    end: Instant,
    every: Duration,
    next_outage: Instant,
    /// How long the internet is away, where it is no short interruption.
    absence: Option<Duration>,
    away: bool,
    state: String,
    /// The last lines of status, connection and availability, so that only changes are shown.
    last: [String; 3],
    outages: u32,
    survived: u32,
    longest: f64,
    before: u32,
    after: u32,
}

impl Show {
    fn new(faults: Controls, wanted: DemoArgs) -> Self {
        let begun = clock::now();
        let limit = wanted.limit;
        let every = limit.map_or(OUTAGE_EVERY, |limit| OUTAGE_EVERY.min(limit / 3));
        Self {
            faults,
            begun,
            // Without a limit, long after everybody has gone.
            end: begun + limit.unwrap_or(Duration::from_secs(366 * 86400)),
            every,
            next_outage: begun + every,
            absence: wanted.absence(),
            away: false,
            state: String::new(),
            last: Default::default(),
            outages: 0,
            survived: 0,
            longest: 0.0,
            before: 0,
            after: 0,
        }
    }

    fn outage(&mut self) {
        if let Some(absence) = self.absence {
            return self.change_internet(absence);
        }
        let at = self.next_outage;
        self.next_outage += self.every;
        if self.outages > 0 && at + ROOM > self.end {
            return;
        }
        self.outages += 1;
        self.line("--- outage: the cloud cuts the connection and refuses the next one ---");
        self.faults.set(Fault::Refuse { times: Some(1) });
        self.faults.set(Fault::Reset);
    }

    /// Takes the internet away, or gives it back.
    fn change_internet(&mut self, absence: Duration) {
        self.away = !self.away;
        self.faults.set(Fault::Away { on: self.away });
        if self.away {
            self.outages += 1;
            self.next_outage += absence;
            self.line(&format!("--- the internet is away, for {} ---", humantime::format_duration(absence)));
        } else {
            // Once, where the end is near.
            self.next_outage =
                if self.end < self.next_outage + absence + self.every { self.end } else { self.next_outage };
            self.next_outage += self.every;
            self.line("--- the internet is back ---");
        }
    }

    fn message(&mut self, message: &Arc<Publication>) {
        let json: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        match message.topic.rsplit('/').next() {
            Some("status") => self.status(&json),
            Some("connection") => self.connection(&json),
            Some("availability") => {
                let word = String::from_utf8_lossy(&message.payload).into_owned();
                self.change(2, format!("heater {word}"));
            }
            _ => {}
        }
    }

    fn status(&mut self, status: &Value) {
        if self.outages == 0 {
            self.before += 1;
        } else if self.state == "connected" {
            self.after += 1;
        }
        let degrees = if status["units"] == "metric" { "°C" } else { "°F" };
        let shown = format!(
            "status: {} {degrees} in the tank, {} % charged, {} W, {}",
            status["dhw_temperature"],
            status["dhw_charge_per"],
            status["current_inst_power"],
            status["current_heat_use"].as_str().unwrap_or("?"),
        );
        self.change(0, shown);
    }

    fn connection(&mut self, connection: &Value) {
        let state = connection["state"].as_str().unwrap_or_default();
        let mut shown = format!("connection: {state}");
        if let Some(reason) = connection["reason"].as_str() {
            shown += &format!(" ({reason}), attempt {} of {}", connection["attempt"], connection["max_attempts"]);
        }
        if state == "connected" && self.state != "connected" && self.outages > 0 {
            let took = connection["last_outage_seconds"].as_f64().unwrap_or_default();
            self.survived += 1;
            self.longest = self.longest.max(took);
            shown += &format!(" again after {took} s");
        }
        state.clone_into(&mut self.state);
        self.change(1, shown);
    }

    fn change(&mut self, of: usize, shown: String) {
        if self.last[of] != shown {
            self.line(&shown);
            self.last[of] = shown;
        }
    }

    fn line(&self, text: &str) {
        say(format_args!("{:6.1} s  {text}", clock::now().duration_since(self.begun).as_secs_f64()));
    }

    /// Prints what was seen; returns whether status flowed before and after an outage.
    fn summary(&self) -> bool {
        say("");
        say(format_args!(
            "{} statuses before the first outage and {} after it; {} of {} outages survived, the longest took {} s",
            self.before, self.after, self.survived, self.outages, self.longest
        ));
        self.before > 0 && self.after > 0
    }
}
