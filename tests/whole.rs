//! Supervisor, home and outputs together in simulated time, without a socket: random weeks of a house with two heaters.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "whole/account.rs"]
mod account;
#[path = "whole/world.rs"]
mod world;

use std::time::Duration;

use account::Api;
use navien2mqtt::supervisor::{Random, State};
use world::{List, World};

/// Random weeks; `HISTORIES` makes it more.
const WEEKS: u64 = 3;
/// What happens in each of them.
const MOVES: u32 = 100;

const SETS: [(&str, &str); 8] = [
    ("power", r#""ON""#),
    ("power", r#""OFF""#),
    ("mode", r#""heat_pump""#),
    ("mode", r#""high_demand""#),
    ("temperature", "120"),
    ("demand_response", r#""ON""#),
    ("anti_legionella", r#""OFF""#),
    ("reservation_add", r#"null,"days":["monday"],"time":"06:30","mode":"heat_pump","temperature":120"#),
];

/// Lets something happen.
fn happen(world: &mut World, random: &mut Random) {
    let pick = |random: &mut Random, most: u64| random.next_u64() % most;
    match pick(random, 16) {
        0 => world.cloud_is_up = false,
        1 | 2 => world.cloud_is_up = true,
        3 => world.reset(),
        4 => {
            world.list = [List::Whole, List::Whole, List::Without, List::Nothing, List::Unreadable]
                [usize::try_from(pick(random, 5)).unwrap()];
        }
        5 => world.silence(usize::try_from(pick(random, 2)).unwrap(), true),
        6 => world.silence(usize::try_from(pick(random, 2)).unwrap(), false),
        7 => world.restart(random.next_u64()),
        8 => world.asks("bridge/request/refresh", ""),
        9 => world.asks("bridge/request/reconnect", ""),
        10 | 11 => {
            world.api([Api::Good, Api::RefusesRenewals, Api::Trouble][usize::try_from(pick(random, 3)).unwrap()])
        }
        _ => {
            let (name, value) = SETS[usize::try_from(pick(random, 8)).unwrap()];
            world.sets(usize::try_from(pick(random, 2)).unwrap(), name, value);
        }
    }
    let longest = [2, 30, 600, 3600][usize::try_from(pick(random, 4)).unwrap()];
    world.run_for(Duration::from_millis(pick(random, longest * 1000)));
}

#[test]
fn random_weeks_of_a_house_keep_the_invariants_and_end_well() {
    let weeks = std::env::var("HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(WEEKS);
    for seed in 0..weeks {
        let mut random = Random::new(seed);
        let mut world = World::new(seed);
        for _ in 0..MOVES {
            happen(&mut world, &mut random);
        }
        world.heal();
        assert_eq!(world.state(), State::Connected, "seed {seed}");
        world.assert_all_is_well();
    }
}

#[test]
fn a_list_that_lies_for_half_a_day_removes_nothing_and_one_that_does_for_more_than_a_day_does() {
    for (hours, left) in [(12, 2), (26, 1)] {
        let mut world = World::new(1);
        world.run_for(Duration::from_secs(60));
        world.list = List::Without;
        world.run_for(Duration::from_secs(hours * 3600));
        assert_eq!(world.heaters(), left, "{hours} h");
        world.list = List::Whole;
        world.run_for(Duration::from_secs(3600));
        assert_eq!(world.heaters(), 2, "it is back by itself");
        world.assert_all_is_well();
    }
}

#[test]
fn commands_that_come_while_the_cloud_is_away_are_obeyed_when_it_is_back_and_end_once() {
    let mut world = World::new(2);
    world.run_for(Duration::from_secs(60));
    world.cloud_is_up = false;
    world.reset();
    world.run_for(Duration::from_secs(20));
    world.sets(0, "mode", r#""high_demand""#);
    world.sets(1, "temperature", "50");
    world.run_for(Duration::from_secs(30));
    world.cloud_is_up = true;
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.outcomes(), ["confirmed", "confirmed"]);
    world.assert_all_is_well();
}

/// As many as a session serves when each has a home of its own, as simulated heaters have.
const A_SESSION: usize = 24;

#[test]
fn five_hundred_heaters_are_served_by_as_many_sessions_as_they_need_and_one_sign_in() {
    let mut world = World::with(500, 1);
    world.run_for(Duration::from_secs(60));
    let links = 500_usize.div_ceil(A_SESSION);
    assert_eq!((world.links(), world.shown(), world.sign_ins()), ((links, links), (500, 500), 1));
    world.refused.insert(7);
    world.reset_link(7);
    world.run_for(Duration::from_secs(20));
    assert_eq!((world.state(), world.links()), (State::Reconnecting, (links, links - 1)));
    assert_eq!(world.shown(), (500, 500));
    world.refused.clear();
    world.run_for(Duration::from_secs(40));
    assert_eq!((world.state(), world.links()), (State::Connected, (links, links)));
    assert_eq!((world.heaters(), world.sign_ins(), world.outages()), (500, 1, 1));
}

#[test]
fn a_session_that_is_lost_leaves_the_others_and_an_outage_of_all_is_one() {
    let mut world = World::with(3 * A_SESSION, 1);
    world.run_for(Duration::from_secs(120));
    world.refused.insert(1);
    world.reset_link(1);
    world.run_for(Duration::from_secs(1200));
    assert_eq!((world.links(), world.shown()), ((3, 2), (3 * A_SESSION, 2 * A_SESSION)), "only its own are stale");
    world.refused.clear();
    world.run_for(Duration::from_secs(600));
    assert_eq!((world.links(), world.shown()), ((3, 3), (3 * A_SESSION, 3 * A_SESSION)));
    world.cloud_is_up = false;
    world.reset();
    world.run_for(Duration::from_secs(120));
    world.cloud_is_up = true;
    world.run_for(Duration::from_secs(300));
    assert_eq!((world.state(), world.links()), (State::Connected, (3, 3)));
    assert_eq!((world.sign_ins(), world.outages()), (1, 2));
}

#[test]
fn random_days_of_several_sessions_keep_the_invariants_and_the_budget_and_end_well() {
    for seed in 0..2 {
        let mut random = Random::new(seed);
        let mut world = World::with(A_SESSION + 3, seed);
        for _ in 0..20 {
            let link = usize::try_from(random.next_u64() % 2).unwrap();
            match random.next_u64() % 4 {
                0 => world.reset_link(link),
                1 => drop(world.refused.insert(link)),
                2 => world.refused.clear(),
                _ => happen(&mut world, &mut random),
            }
            world.run_for(Duration::from_millis(random.next_u64() % 300_000));
        }
        world.heal();
        assert_eq!((world.state(), world.links()), (State::Connected, (2, 2)), "seed {seed}");
        world.assert_all_is_well();
    }
}
