//! One supervisor for each link to the cloud, and what is seen of all of them together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Supervisor;
use super::outages::Outages;
use super::policy::Policy;
use super::types::{Carried, Due, Effect, Generation, Input, State};
use super::view::View;

/// The supervisors of all links. The first link is always there; each goes through its states by itself.
#[derive(Debug, Clone)]
pub struct Supervisors {
    policy: Policy,
    seed: u64,
    links: BTreeMap<usize, Supervisor>,
    /// The time in which any of them had lost its session.
    outages: Outages,
}

impl Supervisors {
    /// Begins with the first link, which waits for [`Input::Start`]; `carried` comes from an earlier run of the process.
    pub fn new(policy: Policy, carried: Carried, seed: u64, now: Instant) -> Self {
        let first = Supervisor::new(policy, carried, seed, now);
        Self { policy, seed, links: BTreeMap::from([(0, first)]), outages: Outages::new(&carried) }
    }

    /// Starts another link.
    pub fn open(&mut self, link: usize, now: Instant) {
        let seed = self.seed.wrapping_add(link as u64);
        let supervisor = Supervisor::new(self.policy, Carried::default(), seed, now);
        self.links.entry(link).or_insert(supervisor);
        self.handle_input(link, Input::Start, now);
    }

    /// Ends a link that is not the first; returns the session that is to be cut.
    pub fn close(&mut self, link: usize, now: Instant) -> Option<Generation> {
        let closed = if link > 0 { self.links.remove(&link)? } else { return None };
        self.note_outage(now);
        Some(closed.generation())
    }

    /// Handles what happened on a link.
    pub fn handle_input(&mut self, link: usize, input: Input, now: Instant) {
        if let Some(supervisor) = self.links.get_mut(&link) {
            supervisor.handle_input(input, now);
            self.note_outage(now);
        }
    }

    /// Handles what all links are told.
    pub fn handle_input_of_all(&mut self, input: &Input, now: Instant) {
        self.links.values_mut().for_each(|supervisor| supervisor.handle_input(input.clone(), now));
        self.note_outage(now);
    }

    /// Fires expired timers; a spurious call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.links.values_mut().for_each(|supervisor| supervisor.handle_timeout(now));
        self.note_outage(now);
    }

    /// Returns the next effect to execute, and for which link; to be drained after every input and timeout.
    pub fn poll_effect(&mut self) -> Option<(usize, Effect)> {
        self.links.iter_mut().find_map(|(link, supervisor)| Some((*link, supervisor.poll_effect()?)))
    }

    /// Returns when, and why, [`Supervisors::handle_timeout`] is wanted.
    pub fn poll_timeout(&self, now: Instant) -> Due {
        let due = self.links.values().map(|supervisor| supervisor.poll_timeout(now)).min_by_key(|due| due.at);
        due.expect("the first link is always there")
    }

    /// Returns the status snapshot of the link that is worst off.
    pub fn view(&self) -> View {
        let views = self.links.values().map(Supervisor::view);
        // Of equals the first.
        let worst = views.reduce(|worst, view| if rank(view.state) > rank(worst.state) { view } else { worst });
        let worst = worst.expect("the first link is always there");
        View { outages: self.outages.count(), last_outage: self.outages.last(), ..worst }
    }

    /// Returns the status snapshot of a link.
    pub fn view_of(&self, link: usize) -> View {
        self.links.get(&link).map_or_else(|| self.view(), Supervisor::view)
    }

    /// Returns how many links there are, and how many of them are connected.
    pub fn count(&self) -> (usize, usize) {
        let connected = self.links.values().filter(|supervisor| supervisor.view().state == State::Connected);
        (self.links.len(), connected.count())
    }

    /// Returns the session of a link that counts; what belongs to another is to be ignored.
    pub fn generation(&self, link: usize) -> Generation {
        self.links.get(&link).map(Supervisor::generation).unwrap_or_default()
    }

    /// Returns whether this session of a link is still wanted, but not up yet.
    pub fn is_dialling(&self, link: usize, generation: Generation) -> bool {
        self.links.get(&link).is_some_and(|supervisor| supervisor.is_dialling(generation))
    }

    /// Returns what is to be carried over a restart of the process.
    pub fn carried(&self) -> Carried {
        let each = || self.links.values().map(Supervisor::carried);
        Carried {
            outages: self.outages.count(),
            last_outage: self.outages.last(),
            outage_since: self.outages.since(),
            refused: each().any(|carried| carried.refused),
            refusals: each().map(|carried| carried.refusals).max().unwrap_or_default(),
        }
    }

    /// Returns how long a request to reconnect must wait: until every link may.
    pub fn request_wait(&self, now: Instant) -> Duration {
        self.links.values().map(|supervisor| supervisor.request_wait(now)).max().unwrap_or_default()
    }

    /// An outage begins when the first link loses its session, and ends when all have theirs.
    fn note_outage(&mut self, now: Instant) {
        let since = self.links.values().filter_map(|supervisor| supervisor.carried().outage_since).min();
        match (since, self.outages.since()) {
            (Some(since), None) => self.outages.begin(since),
            (None, Some(_)) => drop(self.outages.end(now)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
}

/// Orders the states from good to bad.
fn rank(state: State) -> u8 {
    match state {
        State::Stopping => 0,
        State::Connected => 1,
        State::Starting => 2,
        State::Reconnecting => 3,
        State::Recovering => 4,
        State::Failed => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::{Backoff, Failure, Line, OnFailure, Strategy, start};

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> Policy {
        let backoff = Backoff { initial: SECOND, max: SECOND, multiplier: 1.0, jitter: 0.0 };
        let line = Line { enabled: true, max_attempts: Some(10), backoff };
        Policy {
            reconnect: line,
            recovery: line,
            strategy: Strategy::FullRecreation,
            refresh_tokens_every: 3,
            on_failure: OnFailure::Hold,
            connect_timeout: 20 * SECOND,
            operation_timeout: 30 * SECOND,
            probe_interval: None,
        }
    }

    /// Goes through an attempt until a heater has answered.
    fn connect(links: &mut Supervisors, link: usize, now: Instant) {
        let g = links.generation(link);
        for input in [
            Input::CredentialsReady(g, 3600 * SECOND),
            Input::HeatersListed(g, Ok(())),
            Input::LinkUp(g),
            Input::Answered(g),
        ] {
            links.handle_input(link, input, now);
        }
    }

    fn loses(links: &mut Supervisors, link: usize, now: Instant) {
        links.handle_input(link, Input::LinkDown(links.generation(link), Failure::transient("reset", "")), now);
    }

    #[test]
    fn the_worst_link_is_shown_and_one_that_loses_its_session_leaves_the_others() {
        let now = start();
        let mut links = Supervisors::new(policy(), Carried::default(), 1, now);
        links.handle_input_of_all(&Input::Start, now);
        connect(&mut links, 0, now);
        assert_eq!((links.view().state, links.count()), (State::Connected, (1, 1)));
        links.open(1, now);
        assert_eq!((links.view().state, links.count()), (State::Starting, (2, 1)));
        connect(&mut links, 1, now);
        assert_eq!((links.view().state, links.count()), (State::Connected, (2, 2)));
        loses(&mut links, 1, now + 300 * SECOND);
        assert_eq!((links.view().state, links.view_of(0).state), (State::Reconnecting, State::Connected));
        assert_eq!(links.close(0, now), None, "the first one stays");
        links.close(1, now + 301 * SECOND);
        assert_eq!((links.view().state, links.count()), (State::Connected, (1, 1)));
        links.handle_input(1, Input::Start, now + 301 * SECOND);
        assert_eq!(links.count(), (1, 1), "it is gone");
    }

    #[test]
    fn an_outage_of_several_links_is_one_and_lasts_from_the_first_loss_to_the_last_return() {
        let now = start();
        let mut links = Supervisors::new(policy(), Carried { outages: 7, ..Carried::default() }, 1, now);
        links.handle_input_of_all(&Input::Start, now);
        connect(&mut links, 0, now);
        links.open(1, now);
        connect(&mut links, 1, now);
        while links.poll_effect().is_some() {}
        loses(&mut links, 0, now + 300 * SECOND);
        loses(&mut links, 1, now + 310 * SECOND);
        let began = links.carried().outage_since.unwrap();
        assert_eq!(links.carried().outages, 8);
        for (at, link) in [(320, 0), (330, 1)] {
            let at = now + at * SECOND;
            links.handle_timeout(at);
            connect(&mut links, link, at);
        }
        let carried = links.carried();
        assert_eq!((carried.outages, carried.outage_since), (8, None));
        assert_eq!(carried.last_outage, Some(now + 330 * SECOND - began));
        assert_eq!((links.view().outages, links.view().last_outage), (8, carried.last_outage));
    }
}
