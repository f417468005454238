//! What goes to the local broker next.
//!
//! A machine without clock, socket or task between those who publish and the link. A broker that closes the connection
//! at a message (it is larger than the broker's limit, or on a topic that is denied) would close it at every replay:
//! after a short session messages go one at a time, so that the one under way at the end is known, and after its second
//! time it is left out.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::suspects::Suspects;
use super::topics::Topics;
use crate::model::Message;

/// How many messages may be under way; the link hands no more to its engine.
const MAX_UNDER_WAY: usize = 50;
/// How many bytes may be under way; a single message may be larger.
const MAX_BYTES_UNDER_WAY: usize = 1 << 20;
/// How many messages may wait: of ten thousand `set`s that come at once each is to be told its end.
const MAX_WAITING: usize = 30_000;
/// How many bytes may wait, of topics and payloads.
const MAX_BYTES_WAITING: usize = 8 << 20;
/// So many events wait for a broker that is away; what is retained comes with the replay.
const MAX_KEPT: usize = 32;
/// An event that could not be published in time is worth publishing for so long.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// How much others depend on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Presence, status and results.
    Essential,
    /// All else below the base topic.
    Ordinary,
    /// Discovery.
    Discovery,
    /// That at which a session ended before: everything else goes first.
    Suspect,
}

/// The message at which a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blamed {
    /// Its topic.
    pub topic: String,
    /// How many bytes topic and payload have.
    pub bytes: usize,
    /// How many sessions ended at it.
    pub times: u32,
}

#[derive(Debug)]
struct WaitingMessage {
    at: Instant,
    rank: Rank,
    message: Message,
}

/// What waits for the local broker and what is on its way there.
#[derive(Debug)]
pub struct Outbox {
    topics: Topics,
    /// In the order in which it came; the rank decides before that.
    waiting: VecDeque<WaitingMessage>,
    bytes_waiting: usize,
    /// Topic and bytes of what is not acknowledged, the oldest first.
    under_way: VecDeque<(String, usize)>,
    suspects: Suspects,
    /// What is left out and to be retained, for the next attempt.
    held: BTreeMap<String, Message>,
    /// How many messages a newer one of the same topic took the place of.
    superseded: u64,
    up: bool,
    one_at_a_time: bool,
}

impl Outbox {
    /// Begins without a session; `topics` tell what is essential.
    pub fn new(topics: Topics) -> Self {
        Self {
            topics,
            waiting: VecDeque::new(),
            bytes_waiting: 0,
            under_way: VecDeque::new(),
            suspects: Suspects::default(),
            held: BTreeMap::new(),
            superseded: 0,
            up: false,
            one_at_a_time: false,
        }
    }

    /// Takes a message that is to be published. Returns a topic that is given up for want of room: of the oldest message
    /// that is not essential, if there is one.
    pub fn push(&mut self, message: Message, now: Instant) -> Option<String> {
        if !self.up && message.retained {
            return None;
        }
        let rank = match self.topics.rank(&message.topic) {
            _ if self.suspects.has(&message.topic) => Rank::Suspect,
            // Where nothing is wrong, whoever sees `online` finds everything else in its place.
            Rank::Essential if !self.one_at_a_time && message.topic == self.topics.state() => Rank::Ordinary,
            rank => rank,
        };
        self.bytes_waiting += bytes(&message);
        // Only the newest of what is retained counts; it takes the place of the one before.
        let same = |one: &&mut WaitingMessage| one.message.retained && one.message.topic == message.topic;
        if let Some(same) = message.retained.then(|| self.waiting.iter_mut().find(same)).flatten() {
            self.bytes_waiting -= bytes(&same.message);
            self.superseded += 1;
            same.message = message;
        } else {
            self.waiting.push_back(WaitingMessage { at: now, rank, message });
        }
        let most = if self.up { MAX_WAITING } else { MAX_KEPT };
        if self.waiting.len() <= most && self.bytes_waiting <= MAX_BYTES_WAITING {
            return None;
        }
        let least = self.waiting.iter().position(|one| one.rank > Rank::Essential).unwrap_or(0);
        self.take(least).map(|dropped| dropped.message.topic)
    }

    /// Begins a session with everything that the broker is to hold; events of the last seconds follow.
    pub fn up(&mut self, replay: Vec<Message>, now: Instant) -> Option<String> {
        self.up = true;
        self.under_way.clear();
        let recent: Vec<WaitingMessage> = self.waiting.drain(..).filter(|one| one.at + KEPT_FOR >= now).collect();
        self.bytes_waiting = 0;
        let recent = recent.into_iter().map(|one| one.message);
        replay.into_iter().chain(recent).filter_map(|message| self.push(message, now)).last()
    }

    /// Takes note that the session is over. One that was `short` names the message that was under way alone, and makes
    /// the next session send one at a time; so does an end at a message that ended one before.
    pub fn down(&mut self, short: bool, now: Instant) -> Option<Blamed> {
        if !std::mem::take(&mut self.up) {
            return None;
        }
        self.one_at_a_time = short;
        self.waiting.retain(|one| !one.message.retained);
        self.waiting.drain(..self.waiting.len().saturating_sub(MAX_KEPT));
        self.bytes_waiting = self.waiting.iter().map(|one| bytes(&one.message)).sum();
        let under_way = std::mem::take(&mut self.under_way);
        let [(topic, bytes)] = Vec::from(under_way).try_into().ok()?;
        if !short && !self.suspects.has(&topic) {
            return None;
        }
        let times = self.suspects.blame(&topic, now);
        Some(Blamed { topic, bytes, times })
    }

    /// Takes note that the oldest message under way was acknowledged; returns its topic if it had been left out before.
    pub fn acknowledged(&mut self) -> Option<String> {
        let (topic, _) = self.under_way.pop_front()?;
        self.suspects.clear(&topic).then_some(topic)
    }

    /// Takes note that what [`Outbox::next`] returned last was not sent.
    pub fn not_sent(&mut self) {
        self.under_way.pop_back();
    }

    /// Lets messages go in numbers again: the session has lasted.
    pub fn settled(&mut self) {
        self.one_at_a_time = false;
    }

    /// Returns the next message to send, if one may be sent now.
    pub fn next(&mut self, now: Instant) -> Option<Message> {
        while self.up && self.has_room() {
            let next = match (0..self.waiting.len()).min_by_key(|at| self.waiting[*at].rank) {
                Some(at) if self.waiting[at].rank == Rank::Suspect && !self.under_way.is_empty() => return None,
                Some(at) => self.take(at)?.message,
                None if self.under_way.is_empty() => self.due_again(now)?,
                None => return None,
            };
            if self.suspects.leaves_out(&next.topic, now) {
                if next.retained {
                    self.held.insert(next.topic.clone(), next);
                }
                continue;
            }
            self.under_way.push_back((next.topic.clone(), bytes(&next)));
            return Some(next);
        }
        None
    }

    /// Returns what can still be sent when the process ends: what is essential and no suspect.
    pub fn last(&mut self, now: Instant) -> Vec<Message> {
        let topics = &self.topics;
        self.waiting.retain(|one| one.rank != Rank::Suspect && topics.rank(&one.message.topic) == Rank::Essential);
        self.bytes_waiting = self.waiting.iter().map(|one| bytes(&one.message)).sum();
        self.one_at_a_time = false;
        std::iter::from_fn(|| {
            self.under_way.clear();
            self.next(now)
        })
        .collect()
    }

    /// Returns when [`Outbox::next`] has something that was left out.
    pub fn due(&self) -> Option<Instant> {
        self.held.keys().filter_map(|topic| self.suspects.retry_at(topic)).min().filter(|_| self.up)
    }

    /// Returns how many messages were never sent because a newer one took their place while they waited.
    pub fn superseded(&self) -> u64 {
        self.superseded
    }

    /// Returns the topics that are left out.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.suspects.left_out()
    }

    fn has_room(&self) -> bool {
        let alone = self.one_at_a_time || self.under_way.iter().any(|(topic, _)| self.suspects.has(topic));
        let most = if alone { 1 } else { MAX_UNDER_WAY };
        let bytes: usize = self.under_way.iter().map(|(_, bytes)| bytes).sum();
        self.under_way.len() < most && bytes < MAX_BYTES_UNDER_WAY
    }

    fn take(&mut self, at: usize) -> Option<WaitingMessage> {
        let taken = self.waiting.remove(at)?;
        self.bytes_waiting -= bytes(&taken.message);
        Some(taken)
    }

    fn due_again(&mut self, now: Instant) -> Option<Message> {
        let due = self.held.keys().find(|topic| !self.suspects.leaves_out(topic, now))?.clone();
        self.held.remove(&due)
    }
}

fn bytes(message: &Message) -> usize {
    message.topic.len() + message.payload.len()
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const DISCOVERY: &str = "homeassistant/device/x/config";

    fn message(topic: &str, bytes: usize, retained: bool) -> Message {
        Message { topic: topic.to_owned(), payload: Bytes::from(vec![b'x'; bytes]), retained }
    }

    fn replay() -> Vec<Message> {
        [DISCOVERY, "n/a/info", "n/a/status", "n/a/availability", "n/bridge/state"]
            .map(|topic| message(topic, if topic == DISCOVERY { 52_000 } else { 100 }, true))
            .into()
    }

    fn outbox() -> Outbox {
        Outbox::new(Topics::new("n"))
    }

    /// One session with a broker that closes at every message that is `bad`: what it took, and what was blamed.
    fn session(outbox: &mut Outbox, bad: impl Fn(&Message) -> bool, now: Instant) -> (Vec<String>, Option<Blamed>) {
        outbox.up(replay(), now);
        let (mut sent, mut taken) = (VecDeque::new(), Vec::new());
        loop {
            sent.extend(std::iter::from_fn(|| outbox.next(now)));
            let Some(first) = sent.pop_front() else { return (taken, None) };
            if bad(&first) {
                return (taken, outbox.down(true, now));
            }
            taken.push(first.topic);
            outbox.acknowledged();
        }
    }

    fn large(message: &Message) -> bool {
        message.payload.len() > 20_000
    }

    #[test]
    fn presence_and_status_go_first_and_discovery_last() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let (taken, _) = session(&mut outbox, |_| false, now);
        assert_eq!(taken, ["n/a/status", "n/a/availability", "n/a/info", "n/bridge/state", DISCOVERY]);
        // After a short session `online` waits for nothing that might end the next one.
        outbox.down(true, now);
        let (taken, _) = session(&mut outbox, |_| false, now);
        assert_eq!(taken, ["n/a/status", "n/a/availability", "n/bridge/state", "n/a/info", DISCOVERY]);
    }

    #[test]
    fn the_message_at_which_a_broker_closes_is_named_left_out_and_tried_again() {
        let (mut outbox, now) = (outbox(), Instant::now());
        outbox.up(replay(), now);
        assert_eq!(std::iter::from_fn(|| outbox.next(now)).count(), 5);
        assert_eq!(outbox.down(true, now), None, "any of five may have been it");
        let blamed = |times| Some(Blamed { topic: DISCOVERY.into(), bytes: DISCOVERY.len() + 52_000, times });
        assert_eq!(session(&mut outbox, large, now).1, blamed(1));
        assert_eq!(session(&mut outbox, large, now).1, blamed(2));
        let (taken, none) = session(&mut outbox, large, now);
        assert_eq!((taken.len(), none), (4, None));
        assert_eq!(outbox.left_out().collect::<Vec<_>>(), [DISCOVERY]);
        // It is tried again in the same session, alone, and twice as long after that.
        let due = outbox.due().unwrap();
        assert_eq!(due - now, Duration::from_secs(3600));
        assert_eq!(outbox.next(due - SECOND), None);
        assert_eq!(outbox.next(due).map(|again| again.topic), Some(DISCOVERY.into()));
        outbox.push(message("n/a/status", 1, true), due);
        assert_eq!(outbox.next(due), None, "nothing else goes beside it");
        assert_eq!(outbox.down(false, due), blamed(3));
        session(&mut outbox, large, due);
        assert_eq!(outbox.due().unwrap() - due, Duration::from_secs(7200));
        // A broker that takes it is believed at once.
        let due = outbox.due().unwrap();
        assert!(outbox.next(due).is_some());
        assert_eq!(outbox.acknowledged(), Some(DISCOVERY.into()));
        assert_eq!((outbox.left_out().count(), outbox.due()), (0, None));
    }

    #[test]
    fn at_the_end_of_the_process_only_what_is_essential_is_sent() {
        let (mut outbox, now) = (outbox(), Instant::now());
        outbox.up(replay(), now);
        let last: Vec<String> = outbox.last(now).into_iter().map(|message| message.topic).collect();
        assert_eq!(last, ["n/a/status", "n/a/availability", "n/bridge/state"]);
    }

    #[test]
    fn several_such_messages_are_found_one_after_the_other() {
        let (mut outbox, now) = (outbox(), Instant::now());
        let bad = |message: &Message| message.topic.ends_with("info") || large(message);
        let sessions = (0..20).find(|_| session(&mut outbox, bad, now).1.is_none() && outbox.left_out().count() == 2);
        assert!(sessions.is_some_and(|sessions| sessions <= 6), "{sessions:?}");
    }

    #[test]
    fn the_end_of_a_session_that_lasted_accuses_nobody() {
        let (mut outbox, now) = (outbox(), Instant::now());
        session(&mut outbox, |_| false, now);
        outbox.push(message("n/a/status", 1, true), now);
        assert!(outbox.next(now).is_some());
        assert_eq!(outbox.down(false, now), None);
    }

    #[test]
    fn an_event_waits_ten_seconds_for_the_broker_and_what_is_retained_for_the_replay() {
        let (mut outbox, now) = (outbox(), Instant::now());
        outbox.push(message("n/a/result", 1, false), now);
        outbox.push(message("n/a/event", 1, false), now + 5 * SECOND);
        outbox.push(message("n/a/status", 1, true), now + 5 * SECOND);
        let later = now + 12 * SECOND;
        outbox.up(Vec::new(), later);
        assert_eq!(outbox.next(later).map(|message| message.topic), Some("n/a/event".into()));
        assert_eq!(outbox.next(later), None);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes_and_the_oldest_that_is_not_essential_goes_first() {
        let (mut outbox, now) = (outbox(), Instant::now());
        outbox.up(Vec::new(), now);
        let megabyte = 1 << 20;
        assert_eq!(outbox.push(message("n/a/result", megabyte, false), now), None);
        let dropped = (0..20).filter_map(|at| outbox.push(message(&format!("n/a/{at}"), megabyte, true), now));
        let dropped: Vec<String> = dropped.collect();
        assert_eq!(dropped, (0..14).map(|at| format!("n/a/{at}")).collect::<Vec<_>>());
        let waits: usize = outbox.waiting.iter().map(|one| bytes(&one.message)).sum();
        assert!(waits <= MAX_BYTES_WAITING && waits == outbox.bytes_waiting, "{waits}");
        // Only the newest of what is retained waits.
        assert_eq!(outbox.push(message("n/a/19", 1, true), now), None);
        assert!(outbox.bytes_waiting < waits && outbox.superseded() == 1);
        let results = (0..MAX_WAITING + 1000).filter_map(|_| outbox.push(message("n/a/result", 1, false), now));
        assert!(results.count() > 900 && outbox.waiting.len() == MAX_WAITING);
        assert!(outbox.next(now).is_some_and(|first| first.payload.len() == 1));
    }
}
