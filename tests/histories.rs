//! Proof by simulation: random weeks of faults, and a walk through everything that can happen.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stderr)]

#[path = "supervisor/driver.rs"]
mod driver;
#[path = "supervisor/timeline.rs"]
mod timeline;
#[path = "supervisor/world.rs"]
mod world;

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use driver::{Driver, MOVES};
use navien2mqtt::supervisor::*;
use world::{Cloud, World, settings};

const WEEKS: u64 = 1000;
const WEEK: Duration = Duration::from_secs(7 * 86400);
/// What systemd waits before it starts the process again.
const RESTART: Duration = Duration::from_secs(10);
/// Once faults stop, `connected` comes within: the hour of the sign-in budget, the longest wait with its jitter, a step
/// that hangs, and the steps themselves.
const BOUND: Duration = Duration::from_secs(3600 + 360 + 125 + 60);

const FAULTS: [(Cloud, &str); 10] = [
    (Cloud::Unreachable, "network away, connections fail at once"),
    (Cloud::Silent, "network away, packets vanish"),
    (Cloud::Error500, "every request answered by 500"),
    (Cloud::Busy, "every request answered by 429, a minute's pause"),
    (Cloud::TokensGone, "tokens refused"),
    (Cloud::Forbidden, "upgrade refused with 403"),
    (Cloud::Deaf, "session up but deaf"),
    (Cloud::HeatersOff, "heaters off"),
    (Cloud::Hangs, "requests never answered"),
    (Cloud::Fought, "another instance with the same client id"),
];

const LENGTHS: [(f64, &str); 5] = [
    (10.0, "up to 10 s"),
    (60.0, "10 s to 1 min"),
    (600.0, "1 min to 10 min"),
    (3600.0, "10 min to 1 h"),
    (f64::INFINITY, "1 h to 2 days"),
];

/// What came of some weeks.
#[derive(Default)]
struct Results {
    recoveries: BTreeMap<Cloud, Vec<f64>>,
    /// Those of a network that was away, by how long it was: below 10 s, a minute, ten minutes, an hour, and above.
    by_length: [Vec<f64>; LENGTHS.len()],
    sign_ins: usize,
    worst_day: usize,
    restarts: u64,
    turns: u64,
}

struct Week {
    world: World,
    settings: Policy,
    random: Random,
    /// Whether the wall clock is set while the process is not running.
    steps: bool,
    seed: u64,
}

impl Week {
    fn new(seed: u64, probe_interval: Option<Duration>) -> Self {
        let mut random = Random::new(seed);
        let strategies =
            [Strategy::SimpleRetry, Strategy::FullRecreation, Strategy::TokenRefresh, Strategy::ExponentialBackoff];
        let mut settings = Policy { probe_interval, strategy: strategies[seed as usize % 4], ..settings() };
        settings.reconnect.backoff.jitter = 0.2;
        settings.recovery.backoff.jitter = 0.2;
        let mut world = World::new(settings, seed);
        world.recording = false;
        world.polling = Some(Duration::from_secs(600));
        world.input(Input::Start);
        let steps = random.next_u64().is_multiple_of(10);
        Self { world, settings, random, steps, seed }
    }

    /// A duration between two others; short ones are as frequent as long ones.
    fn duration(&mut self, low: f64, high: f64) -> Duration {
        Duration::from_secs_f64(low * (high / low).powf(self.random.unit()))
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.random.next_u64().is_multiple_of(n)
    }

    /// Lives on, and starts the process again when it gives up.
    fn live(&mut self, duration: Duration, results: &mut Results) {
        let end = self.world.now + duration;
        loop {
            self.world.run_until(end);
            if !self.world.ended || self.world.now >= end {
                return;
            }
            self.restart(results);
        }
    }

    fn restart(&mut self, results: &mut Results) {
        results.restarts += 1;
        let step = if self.steps { (self.random.unit() - 0.5) * 7200.0 } else { 0.0 };
        self.world.now += RESTART;
        self.world.restart(self.settings, self.random.next_u64(), step);
    }

    /// One fault, from its beginning to the first answer after its end.
    fn fault(&mut self, results: &mut Results) {
        let (fault, _) = FAULTS[(self.random.next_u64() % FAULTS.len() as u64) as usize];
        self.world.cloud = fault;
        if self.one_in(2) {
            self.world.lose_link();
        }
        if self.one_in(4) {
            self.world.input(Input::NetworkChanged);
        }
        let lasting = self.duration(1.0, 2.0 * 86400.0);
        self.live(lasting, results);
        if self.one_in(20) {
            self.world.input(Input::ReconnectRequested(Reason::new("requested", "")));
        }
        self.world.cloud = Cloud::Good;
        let ended = self.world.now;
        if self.world.state() == State::Connected {
            // It lived through it, or has not noticed yet.
            return;
        }
        let end = ended + BOUND;
        while self.world.run_to_connected(end - self.world.now).is_none() {
            assert!(self.world.ended, "seed {}: not connected {BOUND:?} after {fault:?}", self.seed);
            self.restart(results);
        }
        let took = (self.world.now - ended).as_secs_f64();
        results.recoveries.entry(fault).or_default().push(took);
        if matches!(fault, Cloud::Unreachable | Cloud::Silent) {
            let length = LENGTHS.iter().position(|(most, _)| lasting.as_secs_f64() < *most).unwrap_or(0);
            results.by_length[length].push(took);
        }
    }

    fn run(mut self, results: &mut Results) {
        let end = self.world.begin + WEEK;
        while self.world.now < end {
            let quiet = self.duration(1.0, 86400.0);
            self.live(quiet, results);
            if self.one_in(10) {
                self.restart(results);
            }
            self.fault(results);
        }
        if !self.steps {
            self.world.assert_sign_ins_within_budget();
        }
        let day = Duration::from_secs(86400);
        let busiest = |at: &Instant| self.world.sign_ins.iter().filter(|t| **t >= *at && **t < *at + day).count();
        results.worst_day = self.world.sign_ins.iter().map(busiest).max().unwrap_or(0).max(results.worst_day);
        results.sign_ins += self.world.sign_ins.len();
        results.turns += self.world.turns;
    }
}

fn weeks(probe_interval: Option<Duration>) -> Results {
    let mut results = Results::default();
    for seed in 0..WEEKS {
        Week::new(seed, probe_interval).run(&mut results);
    }
    for times in results.recoveries.values_mut().chain(&mut results.by_length) {
        times.sort_by(f64::total_cmp);
    }
    results
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

fn row(name: &str, probes: &str, times: &[f64]) -> String {
    let (median, most, worst) = (quantile(times, 0.5), quantile(times, 0.99), quantile(times, 1.0));
    format!("| {name} | {probes} | {} | {median:.1} | {most:.1} | {worst:.1} |\n", times.len())
}

fn table(with: &Results, without: &Results) -> String {
    let header = |first: &str| {
        format!("| {first} | reachability | outages | median s | 99 % s | worst s |\n|---|---|---|---|---|---|\n")
    };
    let both = [(with, "on"), (without, "off")];
    let mut text = header("network away for");
    for (number, (_, name)) in LENGTHS.iter().enumerate() {
        for (results, probes) in both {
            text += &row(name, probes, &results.by_length[number]);
        }
    }
    text += "\n";
    text += &header("after");
    for (fault, name) in FAULTS {
        for (results, probes) in both {
            if let Some(times) = results.recoveries.get(&fault) {
                text += &row(name, probes, times);
            }
        }
    }
    let per_day = |results: &Results| results.sign_ins as f64 / (WEEKS as f64 * 7.0);
    let _ = write!(
        text,
        "\n{WEEKS} random weeks each, {:.1} and {:.1} million inputs. Sign-ins a day: {:.2} and {:.2}; on the worst day {} \
         and {}. The process gave up, or was stopped, {} and {} times, and systemd started it again ten seconds later.\n",
        with.turns as f64 / 1e6,
        without.turns as f64 / 1e6,
        per_day(with),
        per_day(without),
        with.worst_day,
        without.worst_day,
        with.restarts,
        without.restarts,
    );
    text
}

/// Holds a part of a document to what was computed; with `UPDATE_DOCS` set, writes it instead.
fn hold(path: &str, begin: &str, end: &str, computed: &str) {
    let file = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).unwrap_or_default();
    let (before, rest) = text.split_once(begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (written, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no {end}"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, format!("{before}{begin}\n{computed}\n{end}{after}")).unwrap();
        return;
    }
    assert_eq!(written.trim(), computed.trim(), "{path}: run the test with UPDATE_DOCS=1");
}

#[test]
fn the_documentation_shows_what_the_strategies_do() {
    for strategy in
        [Strategy::SimpleRetry, Strategy::FullRecreation, Strategy::TokenRefresh, Strategy::ExponentialBackoff]
    {
        let name = strategy.as_str();
        let (picture, words) = timeline::draw(strategy);
        let file = format!("{}/docs/recovery/{name}.svg", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &picture).unwrap();
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), picture, "{file}: run the test with UPDATE_DOCS=1");
        let line = format!("![{name}](recovery/{name}.svg)\n\n*{name}: {words}.*");
        hold("docs/recovery-measured.md", &format!("<!-- {name} -->"), &format!("<!-- end of {name} -->"), &line);
    }
}

#[test]
fn random_weeks_keep_the_invariants_and_always_end_connected() {
    let begun = Instant::now();
    let (with, without) = thread::scope(|scope| {
        let with = scope.spawn(|| weeks(Some(Duration::from_secs(5))));
        let without = weeks(None);
        (with.join().unwrap(), without)
    });
    let table = table(&with, &without);
    eprintln!("seeds 0 to {}, {:?}\n{table}", WEEKS - 1, begun.elapsed());
    hold("docs/recovery-measured.md", "<!-- histories -->", "<!-- end of histories -->", &table);
    for fault in [Cloud::Unreachable, Cloud::Silent] {
        let times = &with.recoveries[&fault];
        assert!(quantile(times, 0.5) <= 3.0 && quantile(times, 0.99) <= 6.0, "{fault:?}");
    }
}

/// So many inputs in a row are tried in every order.
const DEPTH: u32 = 7;

#[test]
fn every_state_that_can_be_reached_has_a_way_back() {
    let begun = Instant::now();
    let mut settings =
        Policy { on_failure: OnFailure::Hold, probe_interval: Some(Duration::from_secs(5)), ..settings() };
    settings.reconnect.max_attempts = Some(2);
    settings.recovery.max_attempts = Some(2);
    settings.refresh_tokens_every = 2;
    let mut seen = HashSet::new();
    let mut edge = vec![Driver::new(settings, Instant::now())];
    let (mut depth, mut longest) = (0, Duration::ZERO);
    while depth < DEPTH {
        let mut next = Vec::new();
        for driver in &edge {
            for number in 0..MOVES {
                let mut moved = driver.clone();
                moved.make(number);
                if seen.insert(moved.fingerprint()) {
                    longest = longest.max(moved.clone().find_back());
                    next.push(moved);
                }
            }
        }
        depth += 1;
        edge = next;
        eprintln!(
            "depth {depth}: {} states, {} new, longest way back {longest:?}, {:?}",
            seen.len(),
            edge.len(),
            begun.elapsed()
        );
    }
}
