//! A simulated world around the supervisor: a cloud, a network, and a clock that jumps from event to event.
//!
//! The invariants of the supervisor are checked after every input.
#![allow(dead_code, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use navien2mqtt::supervisor::*;
use navien2mqtt::tokens::SignInBudget;

const QUICK: Duration = Duration::from_millis(10);
/// Tokens and AWS credentials live for an hour, and are renewed five minutes before.
const LIFE: Duration = Duration::from_secs(3600);
const AHEAD: Duration = Duration::from_secs(300);
/// With a silent network TCP asks again and again.
const RETRANSMISSION: Duration = Duration::from_millis(1500);
const PROBE_LIMIT: Duration = Duration::from_secs(4);

/// The configuration's defaults without jitter and without probes.
pub fn settings() -> Policy {
    let exact = |initial, max| Backoff {
        initial: Duration::from_secs(initial),
        max: Duration::from_secs(max),
        multiplier: 2.0,
        jitter: 0.0,
    };
    Policy {
        reconnect: Line { enabled: true, max_attempts: Some(10), backoff: exact(1, 120) },
        recovery: Line { enabled: true, max_attempts: Some(10), backoff: exact(60, 300) },
        strategy: Strategy::ExponentialBackoff,
        refresh_tokens_every: 3,
        on_failure: OnFailure::Exit,
        connect_timeout: Duration::from_secs(20),
        operation_timeout: Duration::from_secs(30),
        probe_interval: None,
    }
}

/// What is wrong with the way to the cloud, or with the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cloud {
    Good,
    /// Connections fail at once, and nothing reaches the cloud.
    Unreachable,
    /// Nothing comes back.
    Silent,
    /// Every HTTP request is answered by a 500.
    Error500,
    /// Every HTTP request is answered by a 429 and a plea for a minute's patience.
    Busy,
    /// The tokens are gone: only the password helps.
    TokensGone,
    WrongPassword,
    /// Dialling is answered by a 403 until credentials are renewed.
    Forbidden,
    /// Dialling is answered by a 403 until somebody signs in.
    KeysRefused,
    /// Every HTTP request is answered by a 500, and every other probe fails.
    HalfReachable,
    /// The session comes up and stays deaf.
    Deaf,
    /// The session is fine, the heaters are off.
    HeatersOff,
    /// Steps never report.
    Hangs,
    /// Another instance with our client id comes back a few seconds after it was evicted.
    Fought,
}

enum Coming {
    Input(Input),
    /// A step under way, with its beginning: what the network is like is asked again.
    Again(Effect, Instant),
    /// The next periodic request.
    Poll(Generation),
}

pub struct World {
    pub supervisor: Supervisor,
    pub cloud: Cloud,
    pub begin: Instant,
    pub now: Instant,
    pub effects: Vec<(Duration, Effect)>,
    /// Whether effects are remembered.
    pub recording: bool,
    /// How often a status is asked for, if at all.
    pub polling: Option<Duration>,
    pub ended: bool,
    /// Inputs and timeouts so far.
    pub turns: u64,
    /// When it was connected last.
    pub connected_at: Option<Instant>,
    /// Every sign-in ever.
    pub sign_ins: Vec<Instant>,
    /// The budget that all processes share.
    budget: SignInBudget,
    pub link: Option<Generation>,
    pub periodic: bool,
    coming: BTreeMap<(Instant, u64), Coming>,
    sequence: u64,
    answered: Option<Generation>,
    tokens_until: Option<Instant>,
    coins: u64,
}

impl World {
    pub fn new(settings: Policy, seed: u64) -> Self {
        Self::beginning(settings, seed, Instant::now())
    }

    fn beginning(settings: Policy, seed: u64, begin: Instant) -> Self {
        Self {
            supervisor: Supervisor::new(settings, Carried::default(), seed, begin),
            cloud: Cloud::Good,
            begin,
            now: begin,
            effects: Vec::new(),
            recording: true,
            polling: None,
            ended: false,
            turns: 0,
            connected_at: None,
            sign_ins: Vec::new(),
            budget: SignInBudget::default(),
            link: None,
            periodic: false,
            coming: BTreeMap::new(),
            sequence: 0,
            answered: None,
            tokens_until: Some(begin + LIFE),
            coins: 0x9e37_79b9_7f4a_7c15 ^ seed,
        }
    }

    pub fn started(settings: Policy, cloud: Cloud) -> Self {
        let mut world = Self::new(settings, 1);
        world.cloud = cloud;
        world.input(Input::Start);
        world
    }

    pub fn connected(settings: Policy) -> Self {
        let mut world = Self::started(settings, Cloud::Good);
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.state(), State::Connected);
        world.effects.clear();
        world
    }

    /// The process ends and is started again; what it kept of its sign-ins was shifted by a step of the wall clock.
    pub fn restart(&mut self, settings: Policy, seed: u64, step: f64) {
        let now = self.now.duration_since(self.begin).as_secs_f64();
        let kept = self.budget.used().iter().map(|at| Duration::from_secs_f64((at.as_secs_f64() - step).max(0.0)));
        self.budget = SignInBudget::restore(kept.collect::<Vec<_>>(), Duration::from_secs_f64(now));
        self.supervisor = Supervisor::new(settings, self.supervisor.carried(), seed, self.now);
        (self.link, self.answered, self.periodic, self.ended) = (None, None, false, false);
        self.coming.clear();
        self.input(Input::Start);
    }

    pub fn state(&self) -> State {
        self.supervisor.view().state
    }

    pub fn input(&mut self, input: Input) {
        let generation = self.supervisor.generation();
        if matches!(&input, Input::Answered(g) if *g == generation && self.link == Some(*g)) {
            self.answered = Some(generation);
        }
        if matches!(&input, Input::LinkDown(g, _) if self.link == Some(*g)) {
            self.link = None;
        }
        self.turns += 1;
        self.supervisor.handle_input(input, self.now);
        self.settle();
    }

    pub fn lose_link(&mut self) {
        self.lose_link_by(Failure::transient("link-lost", "reset"));
    }

    pub fn lose_link_by(&mut self, failure: Failure) {
        let generation = self.supervisor.generation();
        self.input(Input::LinkDown(generation, failure));
    }

    pub fn forget_tokens(&mut self) {
        self.tokens_until = None;
    }

    fn later(&mut self, delay: Duration, coming: Coming) {
        self.sequence += 1;
        self.coming.insert((self.now + delay, self.sequence), coming);
    }

    fn report(&mut self, input: Input) {
        self.later(QUICK, Coming::Input(input));
    }

    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    pub fn run_until(&mut self, end: Instant) {
        while !self.ended && self.step(end) {}
        if !self.ended {
            self.now = end.max(self.now);
        }
    }

    /// Runs until it is connected, but not beyond `limit`; returns how long that took.
    pub fn run_to_connected(&mut self, limit: Duration) -> Option<Duration> {
        let (begin, end) = (self.now, self.now + limit);
        while self.state() != State::Connected {
            if self.ended || !self.step(end) {
                return None;
            }
        }
        Some(self.now - begin)
    }

    /// Lets the next thing happen, if it happens before `end`.
    pub fn step(&mut self, end: Instant) -> bool {
        let due = self.supervisor.poll_timeout(self.now).at;
        let next = self.coming.keys().next().map(|(at, _)| *at);
        let at = next.map_or(due, |n| n.min(due)).max(self.now);
        if at > end {
            return false;
        }
        self.now = at;
        match self.coming.first_entry().filter(|e| e.key().0 <= at).map(|entry| entry.remove()) {
            Some(Coming::Input(input)) => self.input(input),
            Some(Coming::Again(effect, begun)) => self.answer(effect, begun),
            Some(Coming::Poll(g)) => self.poll(g),
            None => {
                self.turns += 1;
                self.supervisor.handle_timeout(self.now);
                self.settle();
                let next = self.supervisor.poll_timeout(self.now).at;
                assert!(
                    self.ended || next > self.now || !self.coming.is_empty(),
                    "the machine spins: {:?}",
                    self.supervisor
                );
            }
        }
        true
    }

    /// Drains the effects, lets the world react to each, and checks the invariants.
    fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            if self.recording {
                self.effects.push((self.now - self.begin, effect.clone()));
            }
            self.react(effect);
        }
        let (view, due) = (self.supervisor.view(), self.supervisor.poll_timeout(self.now));
        assert!(due.at >= self.begin, "there is always a due time");
        if view.state == State::Connected {
            assert_eq!(self.answered, Some(self.supervisor.generation()), "connected without an answer");
            assert!(self.link.is_some() && self.periodic, "connected without a session");
            self.connected_at = Some(self.now);
        }
        if let Some(at) = view.next_attempt_at {
            assert!(at - self.now <= Duration::from_secs(3600), "a wait of more than an hour: {view:?}");
        }
        if due.at > self.now {
            self.supervisor.handle_timeout(self.now);
            assert_eq!(self.supervisor.poll_effect(), None, "a timeout that is not due changes nothing");
        }
    }

    fn react(&mut self, effect: Effect) {
        match effect {
            Effect::Dial(g) => {
                assert_eq!(self.link, None, "the old session is gone before the next is built");
                self.link = Some(g);
            }
            Effect::SignIn(g) => {
                if let Err(wait) = self.count_sign_in() {
                    return self.report(Input::SignInPostponed(g, wait));
                }
            }
            Effect::BeginSession(g) => return self.poll(g),
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
        self.answer(effect, self.now);
    }

    /// Lets network and cloud, as they are now, answer a step that began at `begun`.
    fn answer(&mut self, effect: Effect, begun: Instant) {
        let needs_tokens_only = matches!(effect, Effect::EnsureCredentials(_, Renewal::IfExpiring))
            && self.tokens_until.is_some_and(|until| until > self.now + AHEAD);
        match (self.cloud, &effect) {
            (Cloud::TokensGone | Cloud::WrongPassword, Effect::EnsureCredentials(g, _)) => {
                self.report(Input::SignInNeeded(*g, Some(Reason::new("sign-in", "the tokens are refused"))));
            }
            _ if needs_tokens_only => self.succeed(effect),
            (Cloud::Hangs, Effect::Probe(_)) => self.succeed(effect),
            (Cloud::Hangs, _) => {}
            (Cloud::Silent, _) => self.wait_in_silence(effect, begun),
            (Cloud::Unreachable, _) => self.fail(effect, Failure { reach: Reach::Nothing, ..failure("unreachable") }),
            (Cloud::HalfReachable, Effect::Probe(probe)) => {
                let reached = self.coin();
                self.report(Input::Probed(*probe, reached));
            }
            (Cloud::Error500 | Cloud::HalfReachable, _) => self.fail(effect, failure("http-500")),
            (Cloud::Busy, _) => {
                let decision = Decision::RetryAfter(Duration::from_secs(60));
                self.fail(effect, Failure { decision, ..failure("http-429") });
            }
            (Cloud::WrongPassword, Effect::SignIn(_)) => {
                self.fail(effect, Failure { decision: Decision::CredentialsRejected, ..failure("rejected") });
            }
            (Cloud::Forbidden, Effect::EnsureCredentials(_, renewal)) => {
                if *renewal != Renewal::IfExpiring {
                    self.cloud = Cloud::Good;
                }
                self.succeed(effect);
            }
            (Cloud::Forbidden | Cloud::KeysRefused, Effect::Dial(_)) => {
                self.fail(effect, Failure { decision: Decision::RenewCredentials, ..failure("forbidden") });
            }
            _ => self.succeed(effect),
        }
    }

    fn count_sign_in(&mut self) -> Result<(), Duration> {
        let now = self.now - self.begin;
        self.budget.claim(now)?;
        if matches!(self.cloud, Cloud::Unreachable | Cloud::Silent) {
            self.budget.refund(now);
        } else {
            self.sign_ins.push(self.now);
        }
        Ok(())
    }

    fn succeed(&mut self, effect: Effect) {
        match effect {
            Effect::EnsureCredentials(g, renewal) => {
                let until =
                    self.tokens_until.filter(|until| *until > self.now + AHEAD && renewal == Renewal::IfExpiring);
                match (until, self.tokens_until) {
                    (Some(until), _) => {
                        self.report(Input::CredentialsReady(g, until - AHEAD - self.now));
                    }
                    (None, Some(_)) => {
                        self.tokens_until = Some(self.now + LIFE);
                        self.report(Input::CredentialsReady(g, LIFE - AHEAD));
                    }
                    (None, None) => self.report(Input::SignInNeeded(g, None)),
                }
            }
            Effect::SignIn(g) => {
                self.tokens_until = Some(self.now + LIFE);
                if matches!(self.cloud, Cloud::TokensGone | Cloud::KeysRefused) {
                    self.cloud = Cloud::Good;
                }
                self.report(Input::CredentialsReady(g, LIFE - AHEAD));
            }
            Effect::ListHeaters(g) => self.report(Input::HeatersListed(g, Ok(()))),
            Effect::Dial(g) => {
                self.report(Input::LinkUp(g));
                if self.cloud == Cloud::Fought {
                    let evicted = Failure { decision: Decision::ClosedByCloud, ..failure("connection-closed") };
                    self.later(Duration::from_secs(5), Coming::Input(Input::LinkDown(g, evicted)));
                }
            }
            Effect::Probe(probe) => self.report(Input::Probed(probe, true)),
            _ => {}
        }
    }

    /// Tosses a coin (xorshift).
    fn coin(&mut self) -> bool {
        self.coins ^= self.coins << 13;
        self.coins ^= self.coins >> 7;
        self.coins ^= self.coins << 17;
        self.coins & 1 == 0
    }

    fn fail(&mut self, effect: Effect, failure: Failure) {
        match effect {
            Effect::EnsureCredentials(g, _) | Effect::SignIn(g) | Effect::ListHeaters(g) => {
                self.report(Input::StepFailed(g, failure));
            }
            Effect::Dial(g) => self.report(Input::LinkDown(g, failure)),
            // A probe asks for nothing: only a network that is away can make it fail.
            Effect::Probe(probe) => self.report(Input::Probed(probe, failure.reach != Reach::Nothing)),
            _ => {}
        }
    }

    /// Packets get no answer: the step ends when the network comes back, or when its limit passes.
    fn wait_in_silence(&mut self, effect: Effect, begun: Instant) {
        let limit = match effect {
            Effect::Probe(_) => PROBE_LIMIT,
            Effect::EnsureCredentials(..) | Effect::SignIn(_) | Effect::ListHeaters(_) | Effect::Dial(_) => {
                Duration::from_secs(20)
            }
            _ => return,
        };
        if self.now - begun >= limit {
            self.fail(effect, Failure { reach: Reach::Nothing, ..failure("unreachable") });
        } else {
            let wait = RETRANSMISSION.min(limit - (self.now - begun));
            self.later(wait, Coming::Again(effect, begun));
        }
    }

    /// Asks the heaters for their status, now and, when polling, again and again.
    fn poll(&mut self, g: Generation) {
        if self.link != Some(g) {
            return;
        }
        self.request(g);
        if let Some(polling) = self.polling {
            self.later(polling, Coming::Poll(g));
        }
    }

    pub fn request(&mut self, g: Generation) {
        self.later(Duration::ZERO, Coming::Input(Input::RequestSent(g)));
        match self.cloud {
            Cloud::Unreachable | Cloud::Silent | Cloud::Deaf | Cloud::Hangs => {}
            Cloud::HeatersOff => self.report(Input::Heard(g)),
            _ => self.report(Input::Answered(g)),
        }
    }

    /// Runs until the next probe begins.
    pub fn run_to_probe(&mut self) {
        let (probes, end) = (self.count(|e| matches!(e, Effect::Probe(_))), self.now + Duration::from_secs(60));
        while self.count(|e| matches!(e, Effect::Probe(_))) == probes {
            assert!(self.step(end), "there is no probe");
        }
    }

    /// How many seconds after `at` it was connected.
    pub fn connected_again_after(&self, at: f64) -> f64 {
        let connected = |e: &Effect| matches!(e, Effect::Announce(Event::Connected { .. }));
        self.times_of(connected).into_iter().find(|then| *then >= at).unwrap() - at
    }

    pub fn times_of(&self, wanted: impl Fn(&Effect) -> bool) -> Vec<f64> {
        let wanted = self.effects.iter().filter(|(_, effect)| wanted(effect));
        wanted.map(|(at, _)| (at.as_secs_f64() * 10.0).round() / 10.0).collect()
    }

    pub fn events(&self) -> Vec<&Event> {
        self.effects
            .iter()
            .filter_map(|(_, e)| if let Effect::Announce(event) = e { Some(event) } else { None })
            .collect()
    }

    pub fn count(&self, wanted: impl Fn(&Effect) -> bool) -> usize {
        self.effects.iter().filter(|(_, e)| wanted(e)).count()
    }

    /// Any window of an hour holds at most twelve sign-ins, a minute apart; a step of the wall clock over a restart may
    /// cost the spacing, so histories with steps do not ask for it.
    pub fn assert_sign_ins_within_budget(&self) {
        for pair in self.sign_ins.windows(2) {
            assert!(pair[1] - pair[0] >= Duration::from_secs(60), "two sign-ins within a minute");
        }
        for window in self.sign_ins.windows(13) {
            assert!(window[12] - window[0] >= Duration::from_secs(3600), "thirteen sign-ins within an hour");
        }
    }
}

fn failure(code: &'static str) -> Failure {
    Failure::transient(code, "")
}
