//! The supervisor in simulated time: the delays of the contract, every strategy, every way out.
#![allow(clippy::unwrap_used)]

#[path = "supervisor/world.rs"]
mod world;

use std::time::Duration;

use navien2mqtt::supervisor::*;
use world::{Cloud, World, settings};

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
fn a_session_that_has_lived_for_a_minute_sets_every_counter_back_and_none_before() {
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
    assert_eq!(waits(&world), [240], "the third attempt of recovery");
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(240 + 70));
    assert_eq!(world.state(), State::Connected);
    world.effects.clear();
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(6));
    assert_eq!(waits(&world), [1, 2, 4]);
}

/// Lets sessions end again and again so soon after they were up; returns when the first hundred dials began.
fn dials_of_short_sessions(lives: Duration, end: fn() -> Failure, world: &mut World) -> Vec<f64> {
    world.lose_link_by(end());
    while world.count(|e| matches!(e, Effect::Dial(_))) < 12 {
        while world.state() != State::Connected {
            assert!(world.step(world.now + Duration::from_secs(1000)), "it comes back");
        }
        world.run_for(lives);
        world.lose_link_by(end());
    }
    world.times_of(|e| matches!(e, Effect::Dial(_)))
}

#[test]
fn short_sessions_in_a_row_are_named_and_waited_out_however_they_end() {
    type End = fn() -> Failure;
    let closed: End = || Failure { decision: Decision::ClosedByCloud, ..Failure::transient("connection-closed", "") };
    let broken: End = || Failure::transient("connection-lost", "the connection broke: reset");
    for (end, code) in [(closed, "taken-over"), (broken, "unstable")] {
        for lives in [1, 5, 50] {
            let mut world = World::connected(watchful());
            let begin = (world.now - world.begin).as_secs_f64();
            let dials = dials_of_short_sessions(Duration::from_secs(lives), end, &mut world);
            let first = dials.iter().filter(|at| **at < begin + 90.0).count();
            assert!(first <= 4, "{lives} {dials:?}");
            let pauses: Vec<f64> = dials.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(pauses[3..].iter().all(|pause| *pause >= 60.0), "{pauses:?}");
            assert!(pauses[8..].iter().all(|pause| *pause >= 300.0), "the waits grow: {pauses:?}");
            let reason = world.supervisor.view().reason.unwrap();
            assert_eq!(reason.code, code);
            let named = |e: &&&Event| matches!(e, Event::TakenOver { .. } | Event::Unstable { .. });
            assert_eq!(world.events().iter().filter(named).count(), 1);
            world.run_for(Duration::from_secs(1000));
            assert_eq!(world.state(), State::Connected);
            world.effects.clear();
            world.lose_link_by(end());
            world.run_for(Duration::from_secs(3));
            assert_eq!(world.state(), State::Connected, "one loss after a long session is no reason to wait");
        }
    }
}

#[test]
fn fresh_keys_that_are_refused_twice_call_for_the_password_whatever_the_strategy() {
    for strategy in
        [Strategy::SimpleRetry, Strategy::FullRecreation, Strategy::TokenRefresh, Strategy::ExponentialBackoff]
    {
        let mut world = World::connected(Policy { strategy, ..settings() });
        world.cloud = Cloud::KeysRefused;
        world.lose_link();
        world.run_for(Duration::from_secs(30));
        assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(_, Renewal::Refused))), 2);
        assert_eq!(world.sign_ins.len(), 1);
        assert_eq!(world.state(), State::Connected);
        world.assert_sign_ins_within_budget();
    }
}

#[test]
fn while_the_password_may_not_be_used_refused_keys_are_renewed_and_tried_on() {
    let mut world = World::started(settings(), Cloud::TokensGone);
    world.run_for(Duration::from_secs(1));
    assert_eq!((world.state(), world.sign_ins.len()), (State::Connected, 1));
    world.cloud = Cloud::KeysRefused;
    world.lose_link();
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.sign_ins.len(), 1, "the budget");
    world.cloud = Cloud::Forbidden;
    world.run_for(Duration::from_secs(16));
    assert_eq!((world.state(), world.sign_ins.len()), (State::Connected, 1));
}

#[test]
fn refused_keys_are_counted_over_restarts_of_a_process_that_gives_up_early() {
    let mut settings = settings();
    settings.reconnect.enabled = false;
    settings.recovery.max_attempts = Some(1);
    let mut world = World::connected(settings);
    world.cloud = Cloud::KeysRefused;
    world.lose_link();
    for seed in 0..4 {
        world.run_for(Duration::from_secs(300));
        if world.ended {
            world.restart(settings, seed, 0.0);
        }
    }
    assert_eq!((world.state(), world.sign_ins.len()), (State::Connected, 1));
}

#[test]
fn a_probe_that_fails_half_the_time_does_not_keep_the_end_of_the_attempts_away() {
    for seed in 1..=20 {
        let mut world = World::new(watchful(), seed);
        world.input(Input::Start);
        world.run_for(Duration::from_secs(120));
        world.effects.clear();
        let begin = world.now;
        world.cloud = Cloud::HalfReachable;
        world.lose_link();
        while !world.events().iter().any(|e| matches!(e, Event::ReconnectionFailed { .. })) {
            assert!(world.step(begin + Duration::from_secs(3600)), "{seed}");
        }
        let (dials, minutes) =
            (world.count(|e| matches!(e, Effect::Dial(_))), (world.now - begin).as_secs_f64() / 60.0);
        assert!(dials <= 21 && minutes <= 12.0, "seed {seed}: {dials} dials in {minutes:.1} minutes");
    }
}

#[test]
fn an_outage_begins_at_the_last_word_heard_and_goes_on_over_restarts_of_the_process() {
    let mut world = World::connected(settings());
    world.run_for(Duration::from_secs(300));
    let generation = world.supervisor.generation();
    world.request(generation);
    world.run_for(Duration::from_secs(1));
    let heard = world.now;
    world.cloud = Cloud::Silent;
    world.run_for(Duration::from_secs(59));
    world.request(generation);
    world.run_for(Duration::from_secs(31));
    assert_eq!((world.state(), world.supervisor.view().outages), (State::Reconnecting, 1));
    world.run_for(Duration::from_secs(24 * 3600));
    assert!(world.ended);
    for seed in 0..5 {
        world.restart(settings(), seed, 0.0);
        world.run_for(Duration::from_secs(3600));
    }
    world.cloud = Cloud::Good;
    world.restart(settings(), 9, 0.0);
    world.run_for(Duration::from_secs(100));
    let connected = *world.times_of(|e| matches!(e, Effect::Announce(Event::Connected { .. }))).last().unwrap();
    let whole = Duration::from_secs_f64(connected - (heard - world.begin).as_secs_f64());
    let view = world.supervisor.view();
    assert_eq!((view.state, view.outages), (State::Connected, 1), "one outage, however often the process ended");
    let told = view.last_outage.unwrap();
    assert!(whole.abs_diff(told) < Duration::from_secs(2), "{told:?} of {whole:?}");
    world.restart(settings(), 10, 0.0);
    world.run_for(Duration::from_secs(10));
    let view = world.supervisor.view();
    assert_eq!((view.outages, view.last_outage), (1, Some(told)), "a restart without an outage is none");
}

#[test]
fn a_request_cuts_no_pause_of_the_cloud_short_and_comes_once_in_ten_seconds() {
    let request = || Input::ReconnectRequested(Reason::new("requested", ""));
    let mut world = World::connected(settings());
    for _ in 0..50 {
        world.input(request());
        world.run_for(Duration::from_millis(200));
    }
    assert_eq!(world.count(|e| matches!(e, Effect::Dial(_))), 1);
    assert!(world.supervisor.request_wait(world.now) <= Duration::from_millis(1));
    world.run_for(Duration::from_secs(100));
    let pause = Decision::RetryAfter(Duration::from_secs(900));
    world.lose_link_by(Failure { decision: pause, ..Failure::transient("http-429", "") });
    world.effects.clear();
    world.input(request());
    world.run_for(Duration::from_secs(899));
    assert_eq!(world.count(|e| matches!(e, Effect::Dial(_))), 0);
    assert_eq!(world.supervisor.request_wait(world.now), Duration::from_secs(1));
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
    for polling in [10, 60, 7200] {
        let mut world = World::new(settings(), 1);
        world.cloud = Cloud::HeatersOff;
        world.polling = Some(Duration::from_secs(polling));
        world.input(Input::Start);
        world.run_for(Duration::from_secs(2));
        let generation = world.supervisor.generation();
        world.run_for(Duration::from_secs(22 * 3600));
        assert_eq!(world.supervisor.generation(), generation, "asked every {polling} s");
        assert_eq!(world.state(), State::Starting);
        assert_eq!(world.supervisor.view().reason.map(|r| r.code), Some("heaters-silent"));
        assert_eq!(world.events().iter().filter(|e| matches!(e, Event::HeatersSilent)).count(), 1);
        world.cloud = Cloud::Good;
        world.run_for(Duration::from_secs(polling));
        assert_eq!(world.state(), State::Connected);
    }
}

#[test]
fn a_session_with_silent_heaters_is_replaced_before_the_cloud_ends_it() {
    let mut world = World::started(settings(), Cloud::HeatersOff);
    world.run_for(Duration::from_secs(3 * 24 * 3600));
    let renewals = world.times_of(|effect| matches!(effect, Effect::Announce(Event::SessionRenewing)));
    assert!(renewals.len() == 3 && renewals[0] < 23.6 * 3600.0, "{renewals:?}");
    assert_eq!(world.supervisor.view().outages, 0, "no heater has ever answered");
    assert!(world.count(|effect| matches!(effect, Effect::EnsureCredentials(..))) > 24, "tokens are kept fresh");
}

#[test]
fn sessions_with_silent_heaters_that_live_long_enough_are_no_failed_attempts() {
    let mut policy = settings();
    policy.reconnect.max_attempts = Some(2);
    let mut world = World::started(policy, Cloud::HeatersOff);
    for _ in 0..10 {
        world.run_for(Duration::from_secs(80));
        world.lose_link();
    }
    assert!(!world.events().iter().any(|event| matches!(event, Event::ReconnectionFailed { .. })));
}

#[test]
fn a_session_with_silent_heaters_that_goes_deaf_is_rebuilt() {
    let mut world = World::new(settings(), 1);
    world.cloud = Cloud::HeatersOff;
    world.polling = Some(Duration::from_secs(60));
    world.input(Input::Start);
    world.run_for(Duration::from_secs(100));
    let generation = world.supervisor.generation();
    world.cloud = Cloud::Deaf;
    world.run_for(Duration::from_secs(100));
    assert!(world.supervisor.generation() > generation);
}

#[test]
fn a_password_is_rejected_even_when_the_word_comes_late() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Hangs;
    world.forget_tokens();
    world.lose_link();
    world.run_for(Duration::from_secs(2));
    let generation = world.supervisor.generation();
    world.input(Input::SignInNeeded(generation, None));
    world.input(Input::ReconnectRequested(Reason::new("requested", "")));
    let rejected = Failure { decision: Decision::CredentialsRejected, ..Failure::transient("rejected", "") };
    world.input(Input::StepFailed(generation, rejected));
    assert_eq!(world.state(), State::Failed);
    assert!(world.ended);
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
fn while_the_budget_makes_it_wait_the_last_words_of_the_cloud_stay() {
    let mut world = World::started(settings(), Cloud::Error500);
    let generation = world.supervisor.generation();
    world.input(Input::StepFailed(generation, Failure::transient("http-503", "the cloud answered HTTP 503")));
    while !matches!(world.supervisor.poll_timeout(world.now).why, Wait::Step) {
        assert!(world.step(world.now + Duration::from_secs(10)));
    }
    let generation = world.supervisor.generation();
    world.input(Input::SignInNeeded(generation, None));
    world.input(Input::SignInPostponed(generation, Duration::from_secs(42)));
    let due = world.supervisor.poll_timeout(world.now);
    assert_eq!((due.at - world.now, due.why), (Duration::from_secs(42), Wait::SignInBudget));
    assert_eq!(world.supervisor.view().reason.unwrap().detail, "the cloud answered HTTP 503");
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
        let mut world = World::connected(Policy { strategy, ..settings() });
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
fn a_session_is_renewed_before_the_cloud_ends_it_and_that_is_no_outage() {
    let mut begins = Vec::new();
    for seed in 0..50 {
        let mut world = World::new(settings(), seed);
        world.polling = Some(Duration::from_secs(60));
        world.input(Input::Start);
        world.run_for(Duration::from_secs(24 * 3600));
        let dials = world.times_of(|e| matches!(e, Effect::Dial(_)));
        assert_eq!(dials.len(), 2, "{dials:?}");
        begins.push(dials[1]);
        assert_eq!(world.state(), State::Connected);
        let view = world.supervisor.view();
        assert_eq!((view.outages, view.last_outage), (0, None));
        assert!(!world.events().iter().any(|e| matches!(e, Event::ConnectionInterrupted(_))));
        assert_eq!(world.count(|e| matches!(e, Effect::SignIn(_))), 0);
        assert_eq!(world.count(|e| matches!(e, Effect::StopPeriodicRequests)), 0);
        let gap = world.connected_again_after(dials[1]);
        assert!(gap < 1.0, "{gap}");
    }
    assert!(begins.iter().all(|at| (81_000.0..84_601.0).contains(at)), "{begins:?}");
    let spread = begins.iter().fold(0.0, |max: f64, at| max.max((at - begins[0]).abs()));
    assert!(spread > 600.0, "a street of houses does not renew in one blow");
}

#[test]
fn a_planned_renewal_that_fails_is_an_outage_like_any_other() {
    let mut world = World::connected(settings());
    let end = world.now + Duration::from_secs(24 * 3600);
    while !world.events().contains(&&Event::SessionRenewing) {
        assert!(world.step(end));
    }
    world.cloud = Cloud::Unreachable;
    world.run_for(Duration::from_secs(10));
    assert_eq!((world.state(), world.supervisor.view().outages), (State::Reconnecting, 1));
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(30));
    assert!(world.supervisor.view().last_outage.unwrap() >= Duration::from_secs(10));
}

#[test]
fn a_session_that_is_renewed_on_purpose_is_no_outage_and_one_that_is_not_up_is_not_renewed() {
    let renew = || Input::RenewSession(Reason::new("new-heater", "there is another one"));
    let mut world = World::connected(settings());
    let before = world.supervisor.generation();
    world.input(renew());
    assert_eq!(world.state(), State::Reconnecting);
    assert_eq!(world.supervisor.view().reason.map(|reason| reason.code), Some("new-heater"));
    let dialling = world.supervisor.generation();
    world.input(renew());
    assert_eq!(world.supervisor.generation(), dialling, "an attempt goes on");
    world.run_for(Duration::from_secs(2));
    assert_eq!((world.state(), world.supervisor.view().outages), (State::Connected, 0));
    assert_ne!(world.supervisor.generation(), before);
    assert!(world.periodic);
}

#[test]
fn an_account_without_heaters_says_what_it_has_and_is_asked_again_after_five_minutes() {
    let World { mut supervisor, now, .. } = World::new(settings(), 1);
    supervisor.handle_input(Input::Start, now);
    let g = supervisor.generation();
    supervisor.handle_input(Input::CredentialsReady(g, Duration::from_secs(3300)), now);
    supervisor.handle_input(Input::HeatersListed(g, Err("the account has no NWP500".into())), now);
    assert_eq!(
        supervisor.view().reason.map(|reason| reason.to_string()).as_deref(),
        Some("no-heaters: the account has no NWP500")
    );
    assert_eq!(supervisor.poll_timeout(now).at, now + Duration::from_secs(300));
}

#[test]
fn credentials_are_renewed_ahead_of_their_end_without_touching_the_session() {
    let mut world = World::connected(settings());
    world.polling = Some(Duration::from_secs(60));
    let generation = world.supervisor.generation();
    world.request(generation);
    world.run_for(Duration::from_secs(6 * 3600));
    assert_eq!(
        world.times_of(|e| matches!(e, Effect::EnsureCredentials(..))),
        [3300.0, 6600.0, 9900.0, 13200.0, 16500.1, 19800.1]
    );
    assert_eq!(world.supervisor.generation(), generation);
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn a_living_session_does_not_spend_the_password_on_a_refused_renewal() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::TokensGone;
    world.run_for(Duration::from_secs(12 * 3600));
    assert_eq!(world.count(|e| matches!(e, Effect::SignIn(_))), 0);
    assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(..))), 1, "asking again would not help");
    assert_eq!(world.state(), State::Connected);
    world.lose_link();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.count(|e| matches!(e, Effect::SignIn(_))), 1, "now it is needed");
    assert_eq!(world.state(), State::Connected);
}

fn watchful() -> Policy {
    Policy { probe_interval: Some(Duration::from_secs(5)), ..settings() }
}

#[test]
fn the_return_of_the_network_ends_every_wait_of_either_line() {
    for (away, silent) in [(Cloud::Unreachable, false), (Cloud::Silent, true)] {
        for outage in [10, 100, 1000, 2000] {
            let mut world = World::connected(watchful());
            world.cloud = away;
            world.lose_link();
            world.run_for(Duration::from_secs(outage));
            world.cloud = Cloud::Good;
            let took = world.run_to_connected(Duration::from_secs(60)).unwrap();
            assert!(took < Duration::from_secs(6), "{outage} s, silent: {silent}: {took:?}");
            assert_eq!(world.supervisor.view().attempt, 0);
            let recovered = world.events().iter().any(|e| matches!(e, Event::Recovered { .. }));
            assert_eq!(recovered, outage >= 1000, "{outage}");
        }
    }
}

#[test]
fn a_cloud_that_refuses_is_not_asked_earlier() {
    for refusing in [Cloud::Error500, Cloud::Busy, Cloud::Deaf, Cloud::Hangs] {
        let run = |settings: Policy| {
            let mut world = World::connected(settings);
            world.cloud = refusing;
            world.forget_tokens();
            world.lose_link();
            world.run_for(Duration::from_secs(24 * 3600));
            let waits = waits(&world);
            let woken = world.events().iter().any(|e| matches!(e, Event::NetworkReturned { .. }));
            (waits, woken, world.count(|e| matches!(e, Effect::Probe(_))))
        };
        let (with, woken, probes) = run(watchful());
        let (without, _, none) = run(settings());
        assert_eq!((with, woken, none), (without, false, 0), "{refusing:?}");
        assert!(probes <= 21, "{refusing:?}: one look after each failure, not more: {probes}");
    }
}

#[test]
fn a_changed_link_is_looked_at_at_once() {
    let mut world = World::connected(watchful());
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(300));
    world.run_to_probe();
    world.run_for(Duration::from_millis(1100));
    world.cloud = Cloud::Good;
    world.input(Input::NetworkChanged);
    let took = world.run_to_connected(Duration::from_secs(60)).unwrap();
    assert!(took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn a_session_that_the_network_left_is_rebuilt_when_it_is_back() {
    let mut world = World::connected(watchful());
    let generation = world.supervisor.generation();
    world.cloud = Cloud::Unreachable;
    world.input(Input::NetworkChanged);
    world.run_for(Duration::from_secs(12));
    assert_eq!(world.state(), State::Connected, "the answer deadline is the truth, not a probe");
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(6));
    assert_eq!(world.state(), State::Connected);
    assert!(world.supervisor.generation() > generation);
    assert_eq!(world.supervisor.view().outages, 1);
}

#[test]
fn a_changed_link_does_not_touch_a_session_that_works() {
    let mut world = World::connected(watchful());
    let generation = world.supervisor.generation();
    for _ in 0..100 {
        world.input(Input::NetworkChanged);
        world.run_for(Duration::from_millis(300));
    }
    assert_eq!(world.supervisor.generation(), generation);
    assert!(world.count(|e| matches!(e, Effect::Probe(_))) <= 31, "at most one a second");
}

#[test]
fn probes_and_attempts_that_never_agree_do_not_wake_each_other_for_ever() {
    let mut world = World::connected(watchful());
    world.lose_link();
    let mut wakes = 0;
    // Every attempt says that nothing can be reached, every probe that all can.
    for _ in 0..40 {
        let generation = world.supervisor.generation();
        world.input(Input::StepFailed(generation, Failure { reach: Reach::Nothing, ..Failure::transient("dns", "") }));
        world.cloud = Cloud::Hangs;
        world.forget_tokens();
        world.run_for(Duration::from_secs(130));
        wakes = world.count(|e| matches!(e, Effect::Announce(Event::NetworkReturned { .. })));
    }
    assert!(wakes <= 1, "{wakes}");
    assert_ne!(world.state(), State::Reconnecting, "it went on to recovery");
}

#[test]
fn attempts_without_a_network_spend_no_sign_in() {
    let mut world = World::connected(watchful());
    world.cloud = Cloud::Unreachable;
    world.forget_tokens();
    world.lose_link();
    world.run_for(Duration::from_secs(3 * 3600));
    assert!(world.sign_ins.is_empty());
}

#[test]
fn the_third_eviction_in_a_row_is_reported_and_not_answered_in_kind() {
    let mut world = World::connected(watchful());
    world.cloud = Cloud::Fought;
    let evicted = Failure { decision: Decision::ClosedByCloud, ..Failure::transient("connection-closed", "") };
    world.lose_link_by(evicted);
    world.run_for(Duration::from_secs(3600));
    let dials = world.count(|e| matches!(e, Effect::Dial(_)));
    assert!(dials <= 20, "an hour of fighting has {dials} attempts");
    let reports = world.events().iter().filter(|e| matches!(e, Event::TakenOver { times: 3 })).count();
    assert_eq!(reports, 1);
    let reason = world.supervisor.view().reason.unwrap();
    assert_eq!((reason.code, reason.detail.as_ref()), ("taken-over", "another instance uses this client id"));
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(400));
    assert_eq!(world.state(), State::Connected);
    world.run_for(Duration::from_secs(500));
    world.effects.clear();
    world.lose_link_by(Failure { decision: Decision::ClosedByCloud, ..Failure::transient("connection-closed", "") });
    assert_eq!(waits(&world), [1], "a session that had settled was not evicted");
}

#[test]
fn a_request_to_reconnect_is_obeyed_in_every_state() {
    let hold = || Policy { on_failure: OnFailure::Hold, ..settings() };
    let after = |seconds| {
        let mut world = World::connected(hold());
        world.cloud = Cloud::Unreachable;
        world.lose_link();
        world.run_for(Duration::from_secs(seconds));
        world
    };
    let mut starting = World::started(hold(), Cloud::HeatersOff);
    starting.run_for(Duration::from_secs(5));
    let worlds = [
        (starting, State::Starting),
        (World::connected(hold()), State::Connected),
        (after(100), State::Reconnecting),
        (after(600), State::Recovering),
        (after(24 * 3600), State::Failed),
    ];
    for (mut world, state) in worlds {
        assert_eq!(world.state(), state);
        let generation = world.supervisor.generation();
        world.cloud = Cloud::Good;
        world.input(Input::ReconnectRequested(Reason::new("requested", "")));
        assert_eq!(world.supervisor.view().attempt, 0, "the counters of {state} are set back");
        world.run_for(Duration::from_secs(1));
        assert_eq!(world.state(), State::Connected, "out of {state}");
        assert_eq!(world.supervisor.generation(), Generation(generation.0 + 1));
    }
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
    for (on_failure, words) in
        [(OnFailure::Hold, "failed, waiting for a reconnect request"), (OnFailure::Exit, "failed")]
    {
        let mut world = World::started(Policy { on_failure, ..settings() }, Cloud::WrongPassword);
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.supervisor.view().summary(world.now), format!("{words} (credentials)"));
    }
}

#[test]
fn foreign_words_cannot_add_lines_to_what_systemd_is_told() {
    let reason = Reason::new("connection-closed", "bye\nWATCHDOG=trigger\u{0}".to_owned());
    assert_eq!(reason.to_string(), "connection-closed: bye WATCHDOG=trigger ");
}

#[test]
fn what_belongs_to_an_older_session_changes_nothing_in_any_phase() {
    let transient = || Failure::transient("any", "");
    let stale: [fn(Generation, Failure) -> Input; 10] = [
        |g, _| Input::CredentialsReady(g, Duration::from_secs(1)),
        |g, _| Input::SignInNeeded(g, None),
        |g, _| Input::SignInPostponed(g, Duration::from_secs(1)),
        |g, _| Input::HeatersListed(g, Ok(())),
        |g, _| Input::HeatersListed(g, Err("none".into())),
        Input::StepFailed,
        |g, _| Input::LinkUp(g),
        Input::LinkDown,
        |g, _| Input::Heard(g),
        |g, _| Input::Answered(g),
    ];
    let now = World::new(settings(), 1).now;
    let begin: [&[Input]; 6] = [
        &[],
        &[Input::SignInNeeded(Generation(1), None)],
        &[Input::CredentialsReady(Generation(1), Duration::from_secs(3300))],
        &[
            Input::CredentialsReady(Generation(1), Duration::from_secs(3300)),
            Input::HeatersListed(Generation(1), Ok(())),
        ],
        &[
            Input::CredentialsReady(Generation(1), Duration::from_secs(3300)),
            Input::HeatersListed(Generation(1), Ok(())),
            Input::LinkUp(Generation(1)),
        ],
        &[Input::StepFailed(Generation(1), transient())],
    ];
    for phase in begin {
        let mut supervisor = Supervisor::new(settings(), Carried::default(), 1, now);
        supervisor.handle_input(Input::Start, now);
        phase.iter().for_each(|input| supervisor.handle_input(input.clone(), now));
        while supervisor.poll_effect().is_some() {}
        let before = format!("{supervisor:?}");
        for make in stale {
            for other in [Generation(0), Generation(2)] {
                let input = make(other, transient());
                supervisor.handle_input(input.clone(), now);
                assert_eq!(supervisor.poll_effect(), None, "{input:?} after {phase:?}");
                assert_eq!(format!("{supervisor:?}"), before, "{input:?} after {phase:?}");
            }
        }
        supervisor.handle_input(Input::Start, now);
        assert_eq!(format!("{supervisor:?}"), before, "a second start after {phase:?}");
    }
}

#[test]
fn a_late_rejection_of_the_password_ends_it_while_waiting_and_while_up() {
    let rejected = || Failure { decision: Decision::CredentialsRejected, ..Failure::transient("credentials", "wrong") };
    let mut waiting = World::connected(settings());
    waiting.cloud = Cloud::Unreachable;
    waiting.lose_link();
    let mut up = World::connected(settings());
    for world in [&mut waiting, &mut up] {
        let older = Generation(world.supervisor.generation().0 - 1);
        world.input(Input::StepFailed(older, rejected()));
        assert_eq!(world.state(), State::Failed);
        assert!(world.ended && world.link.is_none());
        assert_eq!(world.count(|e| matches!(e, Effect::Exit(Ending::CredentialsRejected))), 1);
    }
}

#[test]
fn simple_retry_without_reconnection_tries_again_after_each_wait() {
    let mut settings = settings();
    settings.strategy = Strategy::SimpleRetry;
    settings.reconnect.enabled = false;
    let mut world = World::connected(settings);
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(60 * 10 + 30));
    assert_eq!(waits(&world), [60; 10]);
    assert!(world.ended);
}

fn request() -> Input {
    Input::ReconnectRequested(Reason::new("requested", ""))
}

/// A world in which the cloud has just asked for a pause of half a minute, and the next attempt is two minutes away.
fn paused() -> World {
    let mut world = World::connected(watchful());
    world.cloud = Cloud::Error500;
    world.forget_tokens();
    world.lose_link();
    world.run_for(Duration::from_secs(246));
    world.effects.clear();
    world.cloud = Cloud::Hangs;
    world.run_for(Duration::from_secs(3));
    let pause = Decision::RetryAfter(Duration::from_secs(30));
    let generation = world.supervisor.generation();
    world.input(Input::StepFailed(generation, Failure { decision: pause, ..Failure::transient("http-429", "") }));
    assert_eq!(waits(&world), [120]);
    world.effects.clear();
    world.cloud = Cloud::Good;
    world
}

#[test]
fn a_request_keeps_the_pause_of_the_cloud_although_the_own_wait_is_longer() {
    let mut world = paused();
    world.run_for(Duration::from_secs(15));
    world.input(request());
    world.run_for(Duration::from_secs(14));
    assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(..))), 0);
    world.run_for(Duration::from_secs(2));
    world.input(request());
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn the_return_of_the_network_keeps_the_pause_of_the_cloud_although_the_own_wait_is_longer() {
    let mut world = paused();
    world.cloud = Cloud::Unreachable;
    world.input(Input::NetworkChanged);
    world.run_for(Duration::from_secs(10));
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(18));
    assert_eq!(world.count(|e| matches!(e, Effect::EnsureCredentials(..))), 0);
    world.run_for(Duration::from_secs(4));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn a_request_keeps_the_pause_of_the_cloud_when_it_is_held_as_well() {
    let mut settings = Policy { on_failure: OnFailure::Hold, ..settings() };
    (settings.reconnect.enabled, settings.recovery.enabled) = (false, false);
    let mut world = World::connected(settings);
    let pause = Decision::RetryAfter(Duration::from_secs(90));
    world.lose_link_by(Failure { decision: pause, ..Failure::transient("http-429", "") });
    assert_eq!(world.state(), State::Failed);
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.supervisor.request_wait(world.now), Duration::from_secs(70));
    world.input(request());
    assert_eq!(world.state(), State::Failed);
    world.run_for(Duration::from_secs(71));
    world.input(request());
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.state(), State::Connected);
}

#[test]
fn a_session_that_the_return_of_the_network_ends_counts_as_short_too() {
    let mut world = World::connected(watchful());
    let end = world.now + Duration::from_secs(300);
    let mut flapped = Generation::default();
    while world.now < end {
        // The link is gone for two seconds as soon as a session is up.
        if world.state() == State::Connected && flapped != world.supervisor.generation() {
            flapped = world.supervisor.generation();
            world.cloud = Cloud::Unreachable;
            world.input(Input::NetworkChanged);
            world.run_for(Duration::from_secs(2));
            world.cloud = Cloud::Good;
        }
        if !world.step(end) {
            break;
        }
    }
    let dials = world.count(|e| matches!(e, Effect::Dial(_)));
    assert!(dials <= 8, "{dials} dials in five minutes");
    assert!(world.events().contains(&&Event::Unstable { times: 3 }));
}

#[test]
fn after_a_short_session_recovery_goes_on_without_periodic_requests() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Error500;
    world.forget_tokens();
    world.lose_link();
    world.run_for(Duration::from_secs(487 + 60 + 1));
    assert_eq!(world.state(), State::Recovering);
    world.cloud = Cloud::Good;
    assert!(world.run_to_connected(Duration::from_secs(180)).is_some());
    world.effects.clear();
    world.cloud = Cloud::Error500;
    world.lose_link();
    assert_eq!((world.state(), waits(&world)), (State::Recovering, vec![240]));
    assert!(!world.periodic);
}

#[test]
fn a_second_return_of_the_network_leaves_a_recovery_a_recovery() {
    let mut world = World::connected(watchful());
    world.cloud = Cloud::Error500;
    world.forget_tokens();
    world.lose_link();
    let away = |world: &mut World| {
        world.cloud = Cloud::Unreachable;
        world.input(Input::NetworkChanged);
        world.run_for(Duration::from_secs(8));
        world.cloud = Cloud::Error500;
    };
    away(&mut world);
    let end = world.now + Duration::from_secs(3600);
    while world.state() != State::Recovering {
        assert!(world.step(end));
    }
    world.run_for(Duration::from_secs(2));
    away(&mut world);
    let returned = |world: &World| world.events().iter().filter(|e| matches!(e, Event::NetworkReturned { .. })).count();
    let before = returned(&world);
    while returned(&world) == before {
        assert!(world.step(end));
    }
    assert_eq!((world.state(), world.supervisor.view().attempt), (State::Recovering, 1));
}

#[test]
fn refused_keys_are_renewed_by_the_next_process_when_each_has_one_attempt_only() {
    let mut settings = settings();
    (settings.reconnect.enabled, settings.recovery.enabled) = (false, false);
    let mut world = World::connected(settings);
    world.cloud = Cloud::KeysRefused;
    world.lose_link();
    let mut restarts = 0;
    while world.state() != State::Connected {
        world.run_for(Duration::from_secs(3600));
        restarts += 1;
        assert!(restarts < 10, "it never renews them");
        if world.ended {
            world.now += Duration::from_secs(60);
            world.restart(settings, 1, 0.0);
        }
    }
    assert_eq!(world.sign_ins.len(), 1);
}

#[test]
fn a_session_that_is_renewed_while_it_is_starting_is_starting_still() {
    let mut world = World::started(settings(), Cloud::HeatersOff);
    world.run_for(Duration::from_secs(60));
    world.input(Input::RenewSession(Reason::new("new-heater", "")));
    assert_eq!(world.state(), State::Starting);
    world.cloud = Cloud::Good;
    world.run_for(Duration::from_secs(1));
    assert_eq!((world.state(), world.supervisor.view().outages), (State::Connected, 0));
}

#[test]
fn a_session_is_dialling_from_the_dial_to_its_acknowledgement_and_no_other_is() {
    let mut world = World::started(settings(), Cloud::Good);
    let generation = world.supervisor.generation();
    assert!(!world.supervisor.is_dialling(generation), "it gets credentials");
    while world.count(|e| matches!(e, Effect::Dial(_))) == 0 {
        assert!(world.step(world.now + Duration::from_secs(10)));
    }
    assert!(world.supervisor.is_dialling(generation));
    assert!(!world.supervisor.is_dialling(Generation(generation.0 - 1)));
    world.run_for(Duration::from_secs(1));
    assert!(!world.supervisor.is_dialling(generation), "it is up");
}

#[test]
fn a_snapshot_says_since_when_it_is_in_its_state() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Deaf;
    world.run_for(Duration::from_secs(60));
    let generation = world.supervisor.generation();
    world.request(generation);
    let end = world.now + Duration::from_secs(3600);
    for state in [State::Reconnecting, State::Recovering] {
        while world.state() != state {
            assert!(world.step(end));
        }
        let entered = world.now;
        assert_eq!(world.supervisor.view().since, entered);
        world.run_for(Duration::from_secs(50));
        assert_eq!((world.state(), world.supervisor.view().since), (state, entered), "further attempts begin nothing");
    }
}

/// Walks a machine as far as its dial.
#[allow(clippy::disallowed_methods)]
fn dialling(policy: Policy) -> (Supervisor, std::time::Instant) {
    let now = std::time::Instant::now();
    let mut supervisor = Supervisor::new(policy, Carried::default(), 1, now);
    supervisor.handle_input(Input::Start, now);
    let g = supervisor.generation();
    supervisor.handle_input(Input::CredentialsReady(g, Duration::from_secs(3300)), now);
    supervisor.handle_input(Input::HeatersListed(g, Ok(())), now);
    assert!(supervisor.is_dialling(g));
    (supervisor, now)
}

#[test]
fn a_dial_has_time_for_its_own_limit_before_it_is_given_up_without_a_report() {
    let (supervisor, now) = dialling(settings());
    assert!(supervisor.poll_timeout(now).at > now + settings().connect_timeout);
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_step_has_time_for_four_requests_before_it_is_given_up_without_a_report() {
    let now = std::time::Instant::now();
    let mut supervisor = Supervisor::new(settings(), Carried::default(), 1, now);
    supervisor.handle_input(Input::Start, now);
    assert!(supervisor.poll_timeout(now).at > now + 4 * settings().operation_timeout);
}

#[test]
fn a_request_that_stays_unanswered_for_some_seconds_is_followed_by_a_probe() {
    let (mut supervisor, now) = dialling(Policy { probe_interval: Some(Duration::from_secs(10)), ..settings() });
    let g = supervisor.generation();
    supervisor.handle_input(Input::LinkUp(g), now);
    supervisor.handle_input(Input::RequestSent(g), now);
    assert_ne!(supervisor.poll_timeout(now).why, Wait::Probe, "no heater has answered on this session yet");
    supervisor.handle_input(Input::Answered(g), now);
    let second = Duration::from_secs(1);
    supervisor.handle_input(Input::RequestSent(g), now + second);
    let due = supervisor.poll_timeout(now + second);
    assert!(due.why == Wait::Probe && due.at > now + second, "{due:?}");
    supervisor.handle_input(Input::RequestSent(g), now + 2 * second);
    assert_eq!(supervisor.poll_timeout(now + 2 * second), due, "another request does not put it off");
}

#[test]
fn durations_are_written_with_a_tenth_only_where_it_matters() {
    for (millis, text) in [(3000, "3 s"), (9500, "9.5 s"), (10_000, "10 s"), (10_400, "10 s"), (400, "0.4 s")] {
        assert_eq!(seconds(Duration::from_millis(millis)), text);
    }
}

#[test]
fn the_first_answer_of_a_heater_leaves_no_request_unanswered() {
    let (mut supervisor, mut now) = dialling(settings());
    let g = supervisor.generation();
    for input in [Input::LinkUp(g), Input::Heard(g)] {
        supervisor.handle_input(input, now);
    }
    now = supervisor.poll_timeout(now).at;
    supervisor.handle_timeout(now);
    assert_eq!(supervisor.view().reason.map(|reason| reason.code), Some("heaters-silent"));
    supervisor.handle_input(Input::RequestSent(g), now);
    assert_eq!(supervisor.poll_timeout(now).why, Wait::Answer);
    supervisor.handle_input(Input::Answered(g), now);
    assert_ne!(supervisor.poll_timeout(now).why, Wait::Answer);
}

#[test]
fn renewed_tokens_are_announced_where_all_are_renewed_and_nowhere_else() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Deaf;
    world.lose_link();
    world.run_for(Duration::from_secs(24 * 3600));
    let announced = world.count(|effect| matches!(effect, Effect::Announce(Event::RefreshingTokens)));
    let renewals = world.count(|effect| matches!(effect, Effect::EnsureCredentials(_, Renewal::All)));
    assert_eq!((announced, renewals), (3, 3));
}

/// Returns the effects that wait.
fn drain(supervisor: &mut Supervisor) -> Vec<Effect> {
    std::iter::from_fn(|| supervisor.poll_effect()).collect()
}

#[test]
fn a_late_report_of_a_step_changes_nothing_and_neither_does_anything_after_the_end() {
    let (mut supervisor, now) = dialling(settings());
    let g = supervisor.generation();
    supervisor.handle_input(Input::LinkDown(g, Failure::transient("any", "")), now);
    drain(&mut supervisor);
    let due = supervisor.poll_timeout(now);
    supervisor.handle_input(Input::StepFailed(g, Failure::transient("late", "")), now);
    assert_eq!((supervisor.poll_timeout(now), drain(&mut supervisor)), (due, vec![]));
    // There is no link to close.
    supervisor.handle_input(Input::ReconnectRequested(Reason::new("requested", "")), now);
    assert!(!drain(&mut supervisor).iter().any(|effect| matches!(effect, Effect::CloseLink(_))));
    supervisor.handle_input(Input::Stop, now);
    drain(&mut supervisor);
    supervisor.handle_input(Input::ReconnectRequested(Reason::new("requested", "")), now + Duration::from_secs(60));
    supervisor.handle_timeout(now + Duration::from_secs(24 * 3600));
    assert_eq!((supervisor.view().state, drain(&mut supervisor)), (State::Stopping, vec![]));
}

#[test]
fn the_first_line_fails_once_an_outage() {
    let mut world = World::connected(settings());
    world.cloud = Cloud::Unreachable;
    world.lose_link();
    world.run_for(Duration::from_secs(24 * 3600));
    let failed = |effect: &Effect| matches!(effect, Effect::Announce(Event::ReconnectionFailed { .. }));
    assert_eq!(world.count(failed), 1);
}

#[test]
fn the_network_that_is_back_ends_a_session_that_lived_through_it_and_the_next_attempt_begins_within_half_a_second() {
    let policy = Policy { probe_interval: Some(Duration::from_secs(10)), ..settings() };
    let (mut supervisor, mut now) = dialling(policy);
    let g = supervisor.generation();
    for input in [Input::LinkUp(g), Input::Answered(g)] {
        supervisor.handle_input(input, now);
    }
    now += Duration::from_secs(3600);
    supervisor.handle_timeout(now);
    supervisor.handle_input(Input::NetworkChanged, now);
    drain(&mut supervisor);
    for reached in [false, true] {
        now = supervisor.poll_timeout(now).at.max(now);
        supervisor.handle_timeout(now);
        let probe = drain(&mut supervisor).into_iter().find_map(|effect| match effect {
            Effect::Probe(probe) => Some(probe),
            _ => None,
        });
        supervisor.handle_input(Input::Probed(probe.expect("a probe is due"), reached), now);
    }
    let mut delay = None;
    let mut code = None;
    for effect in drain(&mut supervisor) {
        match effect {
            Effect::Announce(Event::NetworkReturned { delay: after }) => delay = Some(after),
            Effect::Announce(Event::ConnectionInterrupted(reason)) => code = Some(reason.code),
            _ => {}
        }
    }
    assert_eq!(code, Some("network-back"));
    assert!(delay.is_some_and(|delay| !delay.is_zero() && delay <= Duration::from_millis(500)), "{delay:?}");
}

#[test]
fn strategies_have_the_names_of_the_configuration() {
    let names = [
        (Strategy::SimpleRetry, "simple-retry"),
        (Strategy::FullRecreation, "full-recreation"),
        (Strategy::TokenRefresh, "token-refresh"),
        (Strategy::ExponentialBackoff, "exponential-backoff"),
    ];
    for (strategy, name) in names {
        assert_eq!(strategy.as_str(), name);
    }
}

#[test]
fn an_attempt_that_reached_nothing_needs_no_probe_to_know_that_the_network_is_away() {
    let policy = Policy { probe_interval: Some(Duration::from_secs(10)), ..settings() };
    let (mut supervisor, mut now) = dialling(policy);
    let g = supervisor.generation();
    let failure = Failure { reach: Reach::Nothing, ..Failure::transient("unreachable", "") };
    // The back-off is longer than a probe's interval by then.
    for _ in 0..5 {
        supervisor.handle_input(Input::LinkDown(supervisor.generation(), failure.clone()), now);
        now = supervisor.view().next_attempt_at.unwrap();
        supervisor.handle_timeout(now);
        let g = supervisor.generation();
        supervisor.handle_input(Input::CredentialsReady(g, Duration::from_secs(3300)), now);
    }
    assert!(supervisor.generation() > g && supervisor.is_dialling(supervisor.generation()));
    supervisor.handle_input(Input::LinkDown(supervisor.generation(), failure), now);
    drain(&mut supervisor);
    let due = supervisor.poll_timeout(now);
    assert_eq!(due.why, Wait::Probe);
    supervisor.handle_timeout(due.at);
    let probe = drain(&mut supervisor).into_iter().find_map(|effect| match effect {
        Effect::Probe(probe) => Some(probe),
        _ => None,
    });
    supervisor.handle_input(Input::Probed(probe.expect("a probe is due"), true), due.at);
    let returned = |effect: &Effect| matches!(effect, Effect::Announce(Event::NetworkReturned { .. }));
    assert!(drain(&mut supervisor).iter().any(returned));
}
