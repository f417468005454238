//! Simulated time: the delays of the contract, and random histories against the invariants.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;

/// A fixed beginning; only differences count.
#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now()
}

fn settings() -> Settings {
    let exact = |initial, max| Backoff {
        initial: Duration::from_secs(initial),
        max: Duration::from_secs(max),
        multiplier: 2.0,
        jitter: 0.0,
    };
    Settings {
        reconnect: Line { enabled: true, max_attempts: Some(10), backoff: exact(1, 120) },
        recovery: Line { enabled: true, max_attempts: Some(10), backoff: exact(60, 300) },
        strategy: Strategy::ExponentialBackoff,
        refresh_tokens_every: 3,
        on_failure: OnFailure::Exit,
        connect_timeout: Duration::from_secs(20),
        operation_timeout: Duration::from_secs(30),
    }
}

/// What the simulated cloud does with a step. Everything that succeeds takes 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    Good,
    /// Connections fail at once, and nothing reaches the cloud.
    Unreachable,
    /// Every REST call is answered by a 500.
    Error500,
    /// The tokens are gone: only the password helps.
    TokensGone,
    WrongPassword,
    /// Dialling is answered by a 403 until credentials are renewed.
    Forbidden,
    /// The session comes up and stays deaf.
    Deaf,
    /// The session is fine, the heaters are off.
    HeatersOff,
    /// Steps never report.
    Hangs,
}

struct World {
    supervisor: Supervisor,
    cloud: Cloud,
    begin: Instant,
    now: Instant,
    pending: BTreeMap<(Instant, u64), Input>,
    sequence: u64,
    effects: Vec<(Duration, Effect)>,
    link: Option<Generation>,
    periodic: bool,
    answered: Option<Generation>,
    ended: bool,
}

impl World {
    fn new(settings: Settings, seed: u64) -> Self {
        let begin = start();
        Self {
            supervisor: Supervisor::new(settings, SignInBudget::default(), seed, begin),
            cloud: Cloud::Good,
            begin,
            now: begin,
            pending: BTreeMap::new(),
            sequence: 0,
            effects: Vec::new(),
            link: None,
            periodic: false,
            answered: None,
            ended: false,
        }
    }

    fn started(settings: Settings, cloud: Cloud) -> Self {
        let mut world = Self::new(settings, 1);
        world.cloud = cloud;
        world.input(Input::Start);
        world
    }

    fn connected(settings: Settings) -> Self {
        let mut world = Self::started(settings, Cloud::Good);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.state(), State::Connected);
        world.effects.clear();
        world
    }

    fn state(&self) -> State {
        self.supervisor.view().state
    }

    fn input(&mut self, input: Input) {
        let generation = self.supervisor.generation();
        if matches!(&input, Input::Answered(g) if *g == generation && self.link == Some(*g)) {
            self.answered = Some(generation);
        }
        if matches!(&input, Input::LinkDown(g, _) if self.link == Some(*g)) {
            self.link = None;
        }
        self.supervisor.handle_input(input, self.now);
        self.settle();
    }

    fn lose_link(&mut self) {
        let generation = self.supervisor.generation();
        self.input(Input::LinkDown(generation, Failure::transient("link-lost", "reset")));
    }

    fn later(&mut self, delay: Duration, input: Input) {
        self.sequence += 1;
        self.pending.insert((self.now + delay, self.sequence), input);
    }

    fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    fn run_until(&mut self, end: Instant) {
        while !self.ended {
            let due = self.supervisor.poll_timeout(self.now).at;
            let next = self.pending.keys().next().map(|(at, _)| *at);
            let at = next.map_or(due, |n| n.min(due)).max(self.now);
            if at > end {
                break;
            }
            self.now = at;
            match self.pending.first_entry().filter(|e| e.key().0 <= at) {
                Some(entry) => {
                    let input = entry.remove();
                    self.input(input);
                }
                None => {
                    self.supervisor.handle_timeout(self.now);
                    self.settle();
                    let next = self.supervisor.poll_timeout(self.now).at;
                    assert!(self.ended || next > self.now || !self.pending.is_empty(), "the machine spins");
                }
            }
        }
        self.now = end.max(self.now);
    }

    /// Drains the effects, lets the cloud react to each, and checks the invariants.
    fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            self.effects.push((self.now - self.begin, effect.clone()));
            self.react(effect);
        }
        let view = self.supervisor.view();
        assert!(self.supervisor.poll_timeout(self.now).at >= self.begin, "there is always a due time");
        if view.state == State::Connected {
            assert_eq!(self.answered, Some(self.supervisor.generation()), "connected without an answer");
        }
        if self.supervisor.poll_timeout(self.now).at > self.now {
            self.supervisor.handle_timeout(self.now);
            assert_eq!(self.supervisor.poll_effect(), None, "a timeout that is not due changes nothing");
        }
    }

    fn react(&mut self, effect: Effect) {
        let quick = Duration::from_millis(10);
        let unreachable = Failure { reached_cloud: false, ..Failure::transient("unreachable", "no route") };
        match effect {
            Effect::EnsureCredentials(g, renewal) => match self.cloud {
                Cloud::Hangs => {}
                Cloud::Unreachable => self.later(quick, Input::StepFailed(g, unreachable)),
                Cloud::Error500 => self.later(quick, Input::StepFailed(g, Failure::transient("http-500", ""))),
                Cloud::TokensGone | Cloud::WrongPassword => {
                    self.later(quick, Input::SignInNeeded(g, Reason::new("tokens-expired", "")));
                }
                Cloud::Forbidden if renewal != Renewal::IfExpiring => {
                    self.cloud = Cloud::Good;
                    self.later(quick, Input::CredentialsReady(g));
                }
                _ => self.later(quick, Input::CredentialsReady(g)),
            },
            Effect::SignIn(g) => match self.cloud {
                Cloud::Hangs => {}
                Cloud::Unreachable => self.later(quick, Input::StepFailed(g, unreachable)),
                Cloud::WrongPassword => {
                    let rejected = Failure {
                        decision: Decision::CredentialsRejected,
                        ..Failure::transient("rejected", "invalid password")
                    };
                    self.later(quick, Input::StepFailed(g, rejected));
                }
                Cloud::Error500 => self.later(quick, Input::StepFailed(g, Failure::transient("http-500", ""))),
                Cloud::TokensGone => {
                    self.cloud = Cloud::Good;
                    self.later(quick, Input::CredentialsReady(g));
                }
                _ => self.later(quick, Input::CredentialsReady(g)),
            },
            Effect::ListHeaters(g) => match self.cloud {
                Cloud::Hangs => {}
                Cloud::Unreachable => self.later(quick, Input::StepFailed(g, unreachable)),
                _ => self.later(quick, Input::HeatersListed(g, 1)),
            },
            Effect::Dial(g) => {
                assert_eq!(self.link, None, "the old session is gone before the next is built");
                self.link = Some(g);
                match self.cloud {
                    Cloud::Hangs => {}
                    Cloud::Unreachable | Cloud::Error500 | Cloud::TokensGone | Cloud::WrongPassword => {
                        self.later(quick, Input::LinkDown(g, unreachable));
                    }
                    Cloud::Forbidden => {
                        let refused =
                            Failure { decision: Decision::RenewCredentials, ..Failure::transient("forbidden", "403") };
                        self.later(quick, Input::LinkDown(g, refused));
                    }
                    Cloud::Good | Cloud::Deaf | Cloud::HeatersOff => self.later(quick, Input::LinkUp(g)),
                }
            }
            Effect::BeginSession(g) => self.request(g),
            Effect::StartPeriodicRequests => {
                assert!(!self.periodic, "periodic requests are started once");
                self.periodic = true;
            }
            Effect::StopPeriodicRequests => {
                assert!(self.periodic, "what was not started is not stopped");
                self.periodic = false;
            }
            Effect::CloseLink(g) if self.link == Some(g) => self.link = None,
            Effect::Exit(_) => self.ended = true,
            _ => {}
        }
    }

    fn request(&mut self, g: Generation) {
        self.later(Duration::ZERO, Input::RequestSent(g));
        match self.cloud {
            Cloud::Good => self.later(Duration::from_millis(10), Input::Answered(g)),
            Cloud::HeatersOff => self.later(Duration::from_millis(10), Input::Heard(g)),
            _ => {}
        }
    }

    fn times_of(&self, wanted: impl Fn(&Effect) -> bool) -> Vec<f64> {
        let mut times = Vec::new();
        for (at, effect) in &self.effects {
            if wanted(effect) {
                times.push((at.as_secs_f64() * 10.0).round() / 10.0);
            }
        }
        times
    }

    fn events(&self) -> Vec<&Event> {
        self.effects
            .iter()
            .filter_map(|(_, e)| if let Effect::Announce(event) = e { Some(event) } else { None })
            .collect()
    }

    fn count(&self, wanted: impl Fn(&Effect) -> bool) -> usize {
        self.effects.iter().filter(|(_, e)| wanted(e)).count()
    }
}

fn waits(world: &World) -> Vec<u64> {
    world
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::ReconnectScheduled { delay, .. } | Event::RecoveryAttempt { delay, .. } => Some(delay.as_secs()),
            _ => None,
        })
        .collect()
}

const RECONNECT_WAITS: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 120, 120, 120];

#[test]
fn the_waits_are_those_of_the_contract_to_the_second() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(24 * 3600));
    let mut expected = RECONNECT_WAITS.to_vec();
    expected.extend([60, 120, 240, 300, 300, 300, 300, 300, 300, 300]);
    assert_eq!(waits(&world), expected);
    assert!(world.ended);
    assert_eq!(world.effects.last().map(|(_, e)| e), Some(&Effect::Exit(Ending::CloudUnavailable)));
    assert!(world.events().contains(&&Event::ReconnectionFailed { attempts: 10 }));
}

#[test]
fn tokens_are_renewed_at_the_third_sixth_and_ninth_recovery_attempt() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Deaf;
    world.lose_link();
    world.run_for(Duration::from_secs(24 * 3600));
    let renewals: Vec<_> = world
        .effects
        .iter()
        .filter_map(|(_, e)| if let Effect::EnsureCredentials(_, renewal) = e { Some(*renewal) } else { None })
        .collect();
    assert_eq!(renewals.len(), 20);
    for (index, renewal) in renewals.iter().enumerate() {
        let expected = if [12, 15, 18].contains(&index) { Renewal::All } else { Renewal::IfExpiring };
        assert_eq!(*renewal, expected, "attempt {index}");
    }
}

#[test]
fn an_answer_sets_every_counter_back_to_zero() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(487 + 60 + 60));
    assert_eq!(world.state(), State::Recovering);
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.state(), State::Connected);
    assert_eq!(world.supervisor.view().attempt, 0);
    assert!(world.events().iter().any(|e| matches!(e, Event::Recovered { attempts: 2 })));
    assert!(world.events().contains(&&Event::SubscriptionsRestored));
    assert!(world.periodic);
    world.effects.clear();
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(6));
    assert_eq!(waits(&world), [1, 2, 4]);
}

#[test]
fn an_open_socket_is_not_connected_and_does_not_reset_the_waits() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Deaf;
    world.lose_link();
    world.run_for(Duration::from_secs(400));
    assert_ne!(world.state(), State::Connected);
    assert_eq!(&waits(&world)[..5], &RECONNECT_WAITS[..5]);
}

#[test]
fn heaters_that_are_off_do_not_end_the_session() {
    let mut world = World::started(settings(), Cloud::HeatersOff);
    world.run_for(Duration::from_secs(3));
    let generation = world.supervisor.generation();
    for _ in 0..200 {
        world.request(generation);
        world.run_for(Duration::from_secs(20));
    }
    assert_eq!(world.supervisor.generation(), generation);
    assert_eq!(world.state(), State::Starting);
    assert_eq!(world.supervisor.view().reason.map(|r| r.code), Some("heaters-silent"));
    world.cloud = Cloud::Good;
    world.request(generation);
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn a_session_that_is_up_but_deaf_is_down_after_the_answer_deadline() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Deaf;
    let generation = world.supervisor.generation();
    world.input(Input::RequestSent(generation));
    world.run_for(Duration::from_millis(29_900));
    assert_eq!(world.state(), State::Connected);
    world.run_for(Duration::from_millis(200));
    assert_eq!(world.state(), State::Reconnecting);
    assert_eq!(world.supervisor.view().outages, 1);
}

#[test]
fn an_echo_of_our_own_request_keeps_the_session() {
    let mut world = World::connected(settings());
    let generation = world.supervisor.generation();
    world.input(Input::RequestSent(generation));
    world.input(Input::Heard(generation));
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn rejected_credentials_end_it_after_exactly_one_sign_in() {
    let mut world = World::started(settings(), Cloud::WrongPassword);
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.count(|e| matches!(e, Effect::SignIn(_))), 1);
    assert_eq!(world.effects.last().map(|(_, e)| e), Some(&Effect::Exit(Ending::CredentialsRejected)));
    assert_eq!(world.supervisor.view().reason.map(|r| r.code), Some("credentials"));
}

#[test]
fn a_403_renews_the_credentials_before_the_next_attempt() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Forbidden;
    world.lose_link();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.state(), State::Connected);
    assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(_, Renewal::Refused))), 1);
    assert_eq!(world.count(|e| matches!(e, Effect::SignIn(_))), 0);
}

#[test]
fn a_sign_in_that_never_reached_the_cloud_does_not_count() {
    let mut world = World::started(settings(), Cloud::TokensGone);
    let generation = world.supervisor.generation();
    world.input(Input::SignInNeeded(generation, Reason::new("tokens-expired", "")));
    let unreachable = Failure { reached_cloud: false, ..Failure::transient("unreachable", "") };
    world.input(Input::StepFailed(generation, unreachable));
    assert!(world.supervisor.sign_ins().is_empty());
}

#[test]
fn a_pause_that_the_cloud_asks_for_is_kept() {
    let mut world = World::connected(settings());
    let generation = world.supervisor.generation();
    let busy =
        Failure { decision: Decision::RetryAfter(Duration::from_secs(90)), ..Failure::transient("http-429", "") };
    world.input(Input::LinkDown(generation, busy));
    let due = world.supervisor.poll_timeout(world.now);
    assert_eq!((due.at - world.now, due.why), (Duration::from_secs(90), Wait::RetryAfter));
}

#[test]
fn with_reconnection_switched_off_recovery_begins_at_once() {
    let mut settings = settings();
    settings.reconnect.enabled = false;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    assert_eq!(world.state(), State::Recovering);
    assert!(!world.periodic);
}

#[test]
fn with_recovery_switched_off_the_tenth_failure_is_the_end() {
    let mut settings = settings();
    settings.recovery.enabled = false;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(490));
    assert!(world.ended);
    assert_eq!(waits(&world), RECONNECT_WAITS);
}

#[test]
fn attempts_without_limit_never_reach_recovery() {
    let mut settings = settings();
    settings.reconnect.max_attempts = None;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(world.state(), State::Reconnecting);
    assert!(waits(&world).len() > 5000);
}

#[test]
fn held_after_failure_a_request_starts_afresh() {
    let mut settings = settings();
    settings.on_failure = OnFailure::Hold;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(24 * 3600));
    assert_eq!(world.state(), State::Failed);
    world.cloud = Cloud::Good;
    world.input(Input::ReconnectRequested(Reason::new("requested", "")));
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn simple_retry_walks_the_first_line_again_with_the_same_session() {
    let mut settings = settings();
    settings.strategy = Strategy::SimpleRetry;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(487 + 60 + 487 + 30));
    let mut expected = RECONNECT_WAITS.to_vec();
    expected.push(60);
    expected.extend(RECONNECT_WAITS);
    expected.push(60);
    assert_eq!(waits(&world), expected);
    assert_eq!(world.count(|e| matches!(e, Effect::ForgetSession)), 0);
}

#[test]
fn full_recreation_keeps_the_tokens_and_token_refresh_does_not() {
    for (strategy, renewed) in [(Strategy::FullRecreation, 0), (Strategy::TokenRefresh, 1)] {
        let mut world = World::connected(Settings { strategy, ..settings() });
        world.cloud = Cloud::Unreachable;
        world.lose_link();
        world.run_for(Duration::from_secs(500));
        world.cloud = Cloud::Good;
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.state(), State::Connected);
        assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(_, Renewal::All))), renewed, "{strategy:?}");
        assert_eq!(world.count(|e| matches!(e, Effect::ForgetSession)), 1);
    }
}

#[test]
fn steps_that_never_report_are_given_up() {
    let mut world = World::started(settings(), Cloud::Hangs);
    world.run_for(Duration::from_secs(600));
    assert!(waits(&world).len() >= 3);
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn a_session_is_renewed_before_the_cloud_ends_it() {
    let mut world = World::connected(settings());
    world.run_for(Duration::from_secs(24 * 3600));
    let dials = world.times_of(|e| matches!(e, Effect::Dial(_)));
    assert_eq!(dials.len(), 1);
    assert!((84_600.0..84_601.0).contains(&dials[0]), "{dials:?}");
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn after_a_stop_nothing_happens_any_more() {
    let mut world = World::connected(settings());
    world.input(Input::Stop);
    world.effects.clear();
    world.lose_link();
    world.run_for(Duration::from_secs(3600));
    assert_eq!(world.state(), State::Stopping);
    assert!(world.effects.is_empty());
}

#[test]
fn the_summary_says_state_attempt_wait_and_reason() {
    let mut world = World::connected(settings());
    world.lose_link();
    assert_eq!(world.supervisor.view().summary(world.now), "reconnecting, attempt 1/10 in 1 s (link-lost: reset)");
}

/// Any window of an hour holds at most twelve sign-ins, a minute apart.
fn assert_sign_ins_within_budget(times: &[f64]) {
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= 59.9, "two sign-ins within a minute: {pair:?}");
    }
    for window in times.windows(13) {
        assert!(window[12] - window[0] >= 3599.0, "thirteen sign-ins within an hour: {window:?}");
    }
}

#[test]
fn random_histories_keep_the_invariants_and_end_connected() {
    let clouds = [
        Cloud::Good,
        Cloud::Good,
        Cloud::Unreachable,
        Cloud::Error500,
        Cloud::TokensGone,
        Cloud::Forbidden,
        Cloud::Deaf,
        Cloud::HeatersOff,
        Cloud::Hangs,
    ];
    let strategies =
        [Strategy::SimpleRetry, Strategy::FullRecreation, Strategy::TokenRefresh, Strategy::ExponentialBackoff];
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut pick = move |n: usize| (random.next_u64() % n as u64) as usize;
        let mut settings = Settings { on_failure: OnFailure::Hold, strategy: strategies[pick(4)], ..settings() };
        settings.recovery.max_attempts = None;
        settings.reconnect.backoff.jitter = 0.2;
        let mut world = World::new(settings, seed);
        world.input(Input::Start);
        for _ in 0..60 {
            world.cloud = clouds[pick(clouds.len())];
            world.run_for(Duration::from_millis(pick(600_000) as u64));
            let generation = world.supervisor.generation();
            match pick(6) {
                0 | 1 => world.lose_link(),
                2 => world.request(generation),
                3 => world.input(Input::ReconnectRequested(Reason::new("requested", ""))),
                4 => world.input(Input::Answered(Generation(generation.0.saturating_sub(1)))),
                _ => {}
            }
        }
        let sign_ins = world.times_of(|e| matches!(e, Effect::SignIn(_)));
        assert_sign_ins_within_budget(&sign_ins);
        world.cloud = Cloud::Good;
        let generation = world.supervisor.generation();
        world.request(generation);
        // The longest wait (300 s), a step that hangs (125 s), and the sign-in budget's hour.
        world.run_for(Duration::from_secs(300 + 125 + 3600));
        assert_eq!(world.state(), State::Connected, "seed {seed}");
    }
}
