//! Outage after outage: what each of them takes must be given back.

use std::fs;

use navien2mqtt::simulator::Fault;

use super::story::{BOUND, Expected, Story, bridge};
use super::support::observer::Seen;
use super::support::rig::Rig;

/// So many outages until everything has been allocated that is kept.
const WARM_UP: u64 = 15;
const COUNTED: u64 = 50;
/// Each of these in turn goes with a reset.
const COMPANIONS: &[Option<Fault>] = &[
    None,
    Some(Fault::Refuse { times: Some(1) }),
    Some(Fault::Upgrade { status: 503, times: Some(1) }),
    Some(Fault::CloseAfterConnack { times: Some(1) }),
    Some(Fault::RefuseSuback { times: Some(1) }),
];
/// One pool for all threads: else each of them keeps what it was given back, and a leak is hard to see.
const ONE_POOL: (&str, &str) = ("MALLOC_ARENA_MAX", "1");
/// What the allocator may keep for itself; sessions that are not given back take more within fifty.
const MEMORY_SLACK_KB: u64 = 1024;
/// The runtime starts threads for name lookups when it needs them, and ends them when it does not.
const THREAD_SLACK: u64 = 4;
const DESCRIPTOR_SLACK: u64 = 2;

pub async fn fifty_outages_in_a_row_leave_nothing_behind() {
    let mut rig = Rig::new(1).await;
    rig.environment.push(ONE_POOL);
    // So many short sessions in a row are waited out.
    rig.more = "[recovery]\ninitial_delay = \"100ms\"\nmax_delay = \"100ms\"\n".into();
    let mut story = Story::begin("fifty-in-a-row", rig).await;
    for outage in 1..=WARM_UP {
        interrupt(&story, outage).await;
    }
    let before = Usage::of(story.daemon.pid());
    for outage in WARM_UP + 1..=WARM_UP + COUNTED {
        interrupt(&story, outage).await;
    }
    let after = Usage::of(story.daemon.pid());
    eprintln!("FIFTY OUTAGES {before:?} -> {after:?}");
    assert!(after.memory_kb <= before.memory_kb + MEMORY_SLACK_KB, "{before:?} -> {after:?}");
    assert!(after.threads <= before.threads + THREAD_SLACK, "{before:?} -> {after:?}");
    assert!(after.descriptors <= before.descriptors + DESCRIPTOR_SLACK, "{before:?} -> {after:?}");
    let over = story.over();
    let sessions = WARM_UP + COUNTED;
    story.ends_well(over, Expected { sessions: sessions..=sessions, sign_ins: 0, within: BOUND }).await;
}

async fn interrupt(story: &Story, outage: u64) {
    let mark = story.observer.mark();
    let turn = usize::try_from(outage).unwrap() % COMPANIONS.len();
    if let Some(fault) = &COMPANIONS[turn] {
        story.set(fault.clone());
    }
    story.set(Fault::Reset);
    let back = |seen: &Seen| seen.json()["state"] == "connected" && seen.json()["outages"] == outage;
    story.observer.after(mark, &bridge("connection"), back).await;
}

/// What the process holds.
#[derive(Debug)]
struct Usage {
    memory_kb: u64,
    threads: u64,
    descriptors: u64,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count) as u64;
        Self { memory_kb: number("VmRSS:"), threads: number("Threads:"), descriptors }
    }
}
