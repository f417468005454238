//! What the log tells of an outage of a day, in simulated time.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, dead_code)]

#[path = "supervisor/world.rs"]
mod world;

use std::time::{Duration, SystemTime};

use navien2mqtt::daemon::outage::{KeptOutage, Telling};
use navien2mqtt::model::Moment;
use navien2mqtt::supervisor::{Effect, Event};
use world::{Cloud, World, settings};

const DAY: Duration = Duration::from_secs(86_400);
/// systemd starts the service again after so long at first.
const RESTART: Duration = Duration::from_secs(10);
/// `Starting`, and that the local broker is there.
const LINES_OF_A_START: usize = 2;

/// Returns how many lines the first hour and the whole day have, and how many runs of the process there were.
fn day(cloud: Cloud) -> (usize, usize, usize) {
    let mut world = World::connected(settings());
    let begin = world.now;
    world.cloud = cloud;
    world.lose_link();
    let mut outage = KeptOutage::default().restore(at(&world));
    let (mut hour, mut lines, mut runs) = (0, 0, 1);
    while world.now < begin + DAY {
        for (_, effect) in std::mem::take(&mut world.effects) {
            let Effect::Announce(event) = effect else { continue };
            let age = world.supervisor.carried().outage_since.map(|since| world.now - since);
            lines += match outage.telling(&event, age) {
                Telling::Debug => 0,
                Telling::GoesOn(_) => 1,
                Telling::Whole if matches!(event, Event::RecoveryAttempt { .. }) => 2,
                Telling::Whole => 1,
            };
            outage.alarm().hear(&event);
        }
        if world.now < begin + DAY / 24 {
            hour = lines;
        }
        if world.ended {
            let kept = outage.changes(world.supervisor.carried(), at(&world)).unwrap();
            world.now += RESTART;
            world.restart(settings(), runs as u64, 0.0);
            outage = kept.restore(at(&world));
            runs += 1;
            lines += LINES_OF_A_START;
        } else if !world.step(begin + DAY) {
            break;
        }
    }
    (hour, lines, runs)
}

fn at(world: &World) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + (world.now - world.begin);
    Moment { now: world.now, wall }
}

#[test]
fn a_day_without_the_cloud_is_told_in_less_than_a_hundred_lines() {
    for cloud in [Cloud::Unreachable, Cloud::Silent, Cloud::Error500, Cloud::Busy, Cloud::Deaf] {
        let (hour, lines, runs) = day(cloud);
        assert!(lines < 100, "{cloud:?}: {lines} lines, {hour} of them in the first hour, {runs} runs");
        assert!(lines >= 30, "{cloud:?}: {lines} lines: something can be seen of it at any time");
    }
}
