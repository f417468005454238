//! The last steps of the supervisor in words, for the diagnostics: what it was told, and what it decided.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use super::report;
use crate::model::Moment;
use crate::supervisor::{Effect, Failure, Generation, Input, Supervisors, seconds};

/// So many steps are kept.
const MOST: usize = 200;
/// A longer detail is cut, in characters.
const LONGEST: usize = 300;

/// The supervisors of all links, whose steps are noted.
#[derive(Debug)]
pub struct TracedSupervisors {
    supervisors: Supervisors,
    steps: Steps,
}

impl TracedSupervisors {
    /// Begins with no step.
    pub fn new(supervisors: Supervisors) -> Self {
        Self { supervisors, steps: Steps::default() }
    }

    /// Handles what happened on a link.
    pub fn handle_input(&mut self, link: usize, input: Input, moment: Moment) {
        self.steps.input(link, &input, moment.wall);
        self.supervisors.handle_input(link, input, moment.now);
    }

    /// Handles what all links are told.
    pub fn handle_input_of_all(&mut self, input: &Input, moment: Moment) {
        self.steps.input(0, input, moment.wall);
        self.supervisors.handle_input_of_all(input, moment.now);
    }

    /// Starts another link.
    pub fn open(&mut self, link: usize, moment: Moment) {
        self.steps.input(link, &Input::Start, moment.wall);
        self.supervisors.open(link, moment.now);
    }

    /// Ends a link; returns the session that is to be cut.
    pub fn close(&mut self, link: usize, moment: Moment) -> Option<Generation> {
        self.steps.input(link, &Input::Stop, moment.wall);
        self.supervisors.close(link, moment.now)
    }

    /// Fires expired timers.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.supervisors.handle_timeout(now);
    }

    /// Returns the next effect to execute, and for which link.
    pub fn poll_effect(&mut self, at: SystemTime) -> Option<(usize, Effect)> {
        let (link, effect) = self.supervisors.poll_effect()?;
        self.steps.effect(link, &effect, at);
        Some((link, effect))
    }

    /// Returns the steps.
    pub fn steps(&self) -> &Steps {
        &self.steps
    }
}

impl Deref for TracedSupervisors {
    type Target = Supervisors;

    fn deref(&self) -> &Supervisors {
        &self.supervisors
    }
}

/// The newest steps, in their order, and how often each kind of step was made since the start.
#[derive(Debug, Default)]
pub struct Steps {
    kept: VecDeque<RecentStep>,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug)]
struct RecentStep {
    at: SystemTime,
    last_at: SystemTime,
    times: u64,
    /// Part of everyday traffic: repeats of it are counted instead of repeated.
    routine: bool,
    side: &'static str,
    name: &'static str,
    detail: String,
}

impl Steps {
    /// Takes note of what the supervisor of a link is told.
    pub fn input(&mut self, link: usize, input: &Input, at: SystemTime) {
        let (name, detail) = input_in_words(input);
        let detail = of_link(link, detail);
        let routine = matches!(
            input,
            Input::RequestSent(_)
                | Input::Heard(_)
                | Input::Answered(_)
                | Input::Probed(_, false)
                | Input::NetworkChanged
        );
        self.keep(RecentStep { at, last_at: at, times: 1, routine, side: "input", name, detail });
    }

    /// Takes note of what the supervisor of a link decided.
    pub fn effect(&mut self, link: usize, effect: &Effect, at: SystemTime) {
        if *effect == Effect::ViewChanged {
            return;
        }
        let (name, detail) = effect_in_words(effect, at);
        let detail = of_link(link, detail);
        let routine = matches!(effect, Effect::Probe(_));
        self.keep(RecentStep { at, last_at: at, times: 1, routine, side: "effect", name, detail });
    }

    fn keep(&mut self, new: RecentStep) {
        *self.counts.entry(new.name).or_default() += 1;
        let same = |kept: &&mut RecentStep| (kept.name, &kept.detail) == (new.name, &new.detail);
        if new.routine
            && let Some(kept) = self.kept.iter_mut().rev().take_while(|kept| kept.routine).find(same)
        {
            kept.times += 1;
            kept.last_at = new.at;
            return;
        }
        if self.kept.len() == MOST {
            self.kept.pop_front();
        }
        self.kept.push_back(RecentStep { detail: new.detail.chars().take(LONGEST).collect(), ..new });
    }

    /// Returns how often each kind of step was made.
    pub fn counts(&self) -> Value {
        json!(self.counts)
    }

    /// Returns the kept steps, the oldest first.
    pub fn show(&self) -> Value {
        self.kept.iter().map(RecentStep::show).collect()
    }
}

impl RecentStep {
    fn show(&self) -> Value {
        let mut shown = json!({ "at": report::rfc3339_millis(self.at) });
        shown[self.side] = self.name.into();
        if !self.detail.is_empty() {
            shown["detail"] = self.detail.as_str().into();
        }
        if self.times > 1 {
            shown["times"] = self.times.into();
            shown["last_at"] = report::rfc3339_millis(self.last_at).into();
        }
        shown
    }
}

/// Names every link but the first, as the events count them.
fn of_link(link: usize, detail: String) -> String {
    match link {
        0 => detail,
        _ => format!("link {}: {detail}", link + 1).trim_end_matches(": ").to_owned(),
    }
}

fn input_in_words(input: &Input) -> (&'static str, String) {
    match input {
        Input::Start => ("start", String::new()),
        Input::CredentialsReady(_, life) => ("credentials_ready", format!("to be renewed in {}", seconds(*life))),
        Input::SignInNeeded(_, reason) => {
            ("sign_in_needed", reason.as_ref().map(ToString::to_string).unwrap_or_default())
        }
        Input::SignInPostponed(_, delay) => ("sign_in_postponed", seconds(*delay)),
        Input::HeatersListed(_, Ok(())) => ("heaters_listed", String::new()),
        Input::HeatersListed(_, Err(detail)) => ("heaters_listed", detail.clone()),
        Input::RenewSession(reason) => ("renew_session", reason.to_string()),
        Input::StepFailed(_, failure) => ("step_failed", failure_in_words(failure)),
        Input::LinkUp(g) => ("link_up", format!("session {}", g.0)),
        Input::LinkDown(g, failure) => ("link_down", format!("session {}: {}", g.0, failure_in_words(failure))),
        Input::RequestSent(_) => ("request_sent", String::new()),
        Input::Heard(_) => ("heard", String::new()),
        Input::Answered(_) => ("answered", String::new()),
        Input::NetworkChanged => ("network_changed", String::new()),
        Input::Probed(_, true) => ("probed", "reached".to_owned()),
        Input::Probed(_, false) => ("probed", "not reached".to_owned()),
        Input::ReconnectRequested(reason) => ("reconnect_requested", reason.to_string()),
        Input::Stop => ("stop", String::new()),
    }
}

fn failure_in_words(failure: &Failure) -> String {
    format!("{} ({:?}, {:?})", failure.reason, failure.decision, failure.reach)
}

fn effect_in_words(effect: &Effect, at: SystemTime) -> (&'static str, String) {
    match effect {
        Effect::EnsureCredentials(_, renewal) => ("ensure_credentials", format!("{renewal:?}")),
        Effect::SignIn(_) => ("sign_in", String::new()),
        Effect::ListHeaters(_) => ("list_heaters", String::new()),
        Effect::ForgetSession => ("forget_session", String::new()),
        Effect::Dial(g) => ("dial", format!("session {}", g.0)),
        Effect::BeginSession(g) => ("begin_session", format!("session {}", g.0)),
        Effect::StartPeriodicRequests => ("start_periodic_requests", String::new()),
        Effect::StopPeriodicRequests => ("stop_periodic_requests", String::new()),
        Effect::CloseLink(g) => ("close_link", format!("session {}", g.0)),
        Effect::Probe(_) => ("probe", String::new()),
        Effect::Announce(event) => {
            let mut event = report::event(event, at);
            event.as_object_mut().map(|members| members.shift_remove("at"));
            ("announce", event.to_string())
        }
        Effect::ViewChanged => ("view_changed", String::new()),
        Effect::Exit(ending) => ("exit", format!("{ending:?}")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::{Event, Generation, Reason};

    const G: Generation = Generation(7);

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + second)
    }

    #[test]
    fn steps_are_told_in_words_with_their_time_and_their_side() {
        let mut steps = Steps::default();
        steps.input(0, &Input::LinkDown(G, Failure::transient("keep-alive", "nothing came")), at(0));
        steps.effect(0, &Effect::ViewChanged, at(0));
        steps.effect(0, &Effect::Announce(Event::ReconnectionFailed { attempts: 10 }), at(1));
        assert_eq!(
            steps.show(),
            json!([
                {
                    "at": "2027-01-15T08:00:00.000Z", "input": "link_down",
                    "detail": "session 7: keep-alive: nothing came (Transient, Cloud)",
                },
                {
                    "at": "2027-01-15T08:00:01.000Z", "effect": "announce",
                    "detail": r#"{"event":"reconnection_failed","attempts":10}"#,
                },
            ])
        );
    }

    #[test]
    fn everyday_traffic_does_not_push_out_what_matters() {
        let mut steps = Steps::default();
        steps.input(0, &Input::LinkUp(G), at(0));
        for minute in 0..1000 {
            steps.input(0, &Input::RequestSent(G), at(60 * minute));
            steps.input(0, &Input::Answered(G), at(60 * minute + 1));
        }
        steps.input(0, &Input::Stop, at(60_000));
        steps.input(0, &Input::Answered(G), at(60_001));
        let shown = steps.show();
        assert_eq!(shown.as_array().unwrap().len(), 5, "{shown}");
        assert_eq!((&shown[2]["times"], &shown[2]["last_at"]), (&json!(1000), &json!("2027-01-16T00:39:01.000Z")));
        assert_eq!(steps.counts(), json!({ "link_up": 1, "request_sent": 1000, "answered": 1001, "stop": 1 }));
    }

    #[test]
    fn only_the_newest_steps_are_kept_and_none_is_long() {
        let mut steps = Steps::default();
        for number in 0..1000 {
            let reason = Reason::new("requested", format!("{number} {}", "x".repeat(10_000)));
            steps.input(0, &Input::ReconnectRequested(reason), at(number));
        }
        let shown = steps.show();
        assert_eq!(shown.as_array().unwrap().len(), MOST);
        assert!(shown[0]["detail"].as_str().unwrap().starts_with("requested: 800 "), "{}", shown[0]);
        assert!(shown.to_string().len() < MOST * (LONGEST + 100));
    }
}
