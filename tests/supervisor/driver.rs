//! Feeds the supervisor any input in any order, and shows that it always finds back.
#![allow(dead_code, clippy::disallowed_methods)]

use std::time::{Duration, Instant};

use navien2mqtt::supervisor::*;

/// How many different moves [`Driver::make`] knows.
pub const MOVES: usize = 24;

/// A supervisor, its clock, and what the world would hold for it.
#[derive(Debug, Clone)]
pub struct Driver {
    supervisor: Supervisor,
    begin: Instant,
    now: Instant,
    link: Option<Generation>,
    periodic: bool,
    answered: Option<Generation>,
    probe: u64,
}

impl Driver {
    pub fn new(settings: Policy, begin: Instant) -> Self {
        let mut driver = Self {
            supervisor: Supervisor::new(settings, Carried::default(), 1, begin),
            begin,
            now: begin,
            link: None,
            periodic: false,
            answered: None,
            probe: 0,
        };
        driver.input(Input::Start);
        driver
    }

    /// Makes one of [`MOVES`] moves: an input, or the passing of time until something is due.
    pub fn make(&mut self, number: usize) {
        let g = self.supervisor.generation();
        let failure = |decision, reach| Failure { decision, reach, ..Failure::transient("any", "") };
        let transient = || failure(Decision::Transient, Reach::Cloud);
        let nothing = || failure(Decision::Transient, Reach::Nothing);
        self.input(match number {
            0 => return self.wait(),
            1 => Input::CredentialsReady(g, Duration::from_secs(3300)),
            2 => Input::SignInNeeded(g, None),
            3 => Input::HeatersListed(g, Ok(())),
            4 => Input::HeatersListed(g, Err("the account has no heater".into())),
            5 => Input::StepFailed(g, transient()),
            6 => Input::StepFailed(g, nothing()),
            7 => Input::StepFailed(g, failure(Decision::RenewCredentials, Reach::Cloud)),
            8 => Input::StepFailed(g, failure(Decision::RetryAfter(Duration::from_secs(90)), Reach::Cloud)),
            9 => Input::StepFailed(g, failure(Decision::CredentialsRejected, Reach::Cloud)),
            10 => Input::LinkUp(g),
            11 => Input::LinkDown(g, transient()),
            12 => Input::LinkDown(g, nothing()),
            13 => Input::LinkDown(g, failure(Decision::RenewCredentials, Reach::Cloud)),
            14 => Input::LinkDown(g, failure(Decision::ClosedByCloud, Reach::Cloud)),
            15 => Input::RequestSent(g),
            16 => Input::Heard(g),
            17 => Input::Answered(g),
            18 => Input::NetworkChanged,
            19 => Input::Probed(self.probe, true),
            20 => Input::Probed(self.probe, false),
            21 => Input::ReconnectRequested(Reason::new("requested", "")),
            22 => return self.stale(Input::LinkUp(Generation(g.0.saturating_sub(1)))),
            _ => return self.stale(Input::Answered(Generation(g.0.saturating_sub(1)))),
        });
    }

    /// Lets time pass until something is due.
    pub fn wait(&mut self) {
        self.now = self.supervisor.poll_timeout(self.now).at.max(self.now);
        self.supervisor.handle_timeout(self.now);
        self.settle();
    }

    fn input(&mut self, input: Input) {
        match &input {
            // What a link does that is not there cannot be heard.
            Input::LinkUp(g) | Input::Answered(g) | Input::Heard(g) if self.link != Some(*g) => return,
            Input::LinkDown(g, _) if self.link == Some(*g) => self.link = None,
            Input::Answered(g) => self.answered = Some(*g),
            _ => {}
        }
        self.supervisor.handle_input(input, self.now);
        self.settle();
    }

    /// What belongs to an older session changes nothing.
    fn stale(&mut self, input: Input) {
        let before = self.fingerprint();
        self.supervisor.handle_input(input.clone(), self.now);
        assert_eq!(self.supervisor.poll_effect(), None, "{input:?}");
        assert_eq!(self.fingerprint(), before, "{input:?}");
    }

    fn settle(&mut self) {
        while let Some(effect) = self.supervisor.poll_effect() {
            match effect {
                Effect::Dial(g) => {
                    assert_eq!(self.link, None, "the old session is gone before the next is built");
                    self.link = Some(g);
                }
                Effect::CloseLink(g) if self.link == Some(g) => self.link = None,
                Effect::StartPeriodicRequests => assert!(!std::mem::replace(&mut self.periodic, true)),
                Effect::StopPeriodicRequests => assert!(std::mem::replace(&mut self.periodic, false)),
                Effect::Probe(probe) => self.probe = probe,
                _ => {}
            }
        }
        let (view, due) = (self.supervisor.view(), self.supervisor.poll_timeout(self.now));
        assert!(due.at <= self.now + Duration::from_secs(25 * 3600), "it would sleep for ever: {due:?}");
        if view.state == State::Connected {
            assert_eq!(self.answered, Some(self.supervisor.generation()), "connected without an answer");
            assert!(self.link.is_some() && self.periodic, "connected without a session");
        }
        if due.at > self.now {
            self.supervisor.handle_timeout(self.now);
            assert_eq!(self.supervisor.poll_effect(), None, "a timeout that is not due changes nothing");
        }
    }

    pub fn state(&self) -> State {
        self.supervisor.view().state
    }

    /// Shows that it becomes connected when everything goes well from here; one that is held is asked to, once.
    /// Returns how long it took.
    pub fn find_back(mut self) -> Duration {
        let begin = self.now;
        if self.state() == State::Failed {
            self.now += self.supervisor.request_wait(self.now);
            self.make(21);
        }
        for _ in 0..200 {
            if self.state() == State::Connected {
                return self.now - begin;
            }
            let g = self.supervisor.generation();
            for good in [1, 3, 10, 17, 19] {
                self.make(good);
            }
            if self.state() != State::Connected && self.supervisor.generation() == g {
                self.wait();
            }
        }
        panic!("no way back to connected: {:?}", self.supervisor);
    }

    /// Everything that decides what it does next: all but counts without end, with times relative to now.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        let whole = format!("{:?} {:?} {}", self.supervisor, self.link.is_some(), self.periodic);
        let mut rest = whole.as_str();
        while let Some(at) = rest.find("Instant { tv_sec: ") {
            text += &rest[..at];
            let numbers = &rest[at + 18..];
            let (seconds, after) = numbers.split_once(", tv_nsec: ").unwrap_or_default();
            let (nanos, after) = after.split_once(" }").unwrap_or_default();
            text += &self.relative(seconds.parse().unwrap_or(0), nanos.parse().unwrap_or(0));
            rest = after;
        }
        text += rest;
        for counter in ["random: Random(", "generation: Generation(", "outages: ", "probe: "] {
            if let Some(at) = text.find(counter) {
                let from = at + counter.len();
                let digits = text[from..].bytes().take_while(u8::is_ascii_digit).count();
                text.replace_range(from..from + digits, "");
            }
        }
        text
    }

    fn relative(&self, seconds: i64, nanos: i64) -> String {
        let now = format!("{:?}", self.now);
        let mut numbers = now.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<i64>().ok());
        let (now_seconds, now_nanos) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let difference = (seconds - now_seconds) * 1000 + (nanos - now_nanos) / 1_000_000;
        // What is long past is past.
        difference.max(-500_000).to_string()
    }
}
