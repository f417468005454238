//! Random histories against the invariants.

use super::*;

/// What can happen to a bridge.
#[derive(Debug, Clone)]
enum Happening {
    Begin,
    End,
    Status(u8),
    Noise(Vec<u8>),
    List(Vec<u8>),
    Pass(u16),
    Restart,
    GiveUp,
    Forget(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        Just(Happening::Begin),
        Just(Happening::End),
        (0u8..4).prop_map(Happening::Status),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Happening::Noise),
        prop::collection::btree_set(0u8..4, 0..4)
            .prop_map(|set: BTreeSet<u8>| Happening::List(set.into_iter().collect())),
        (0u16..1000).prop_map(Happening::Pass),
        Just(Happening::Restart),
        Just(Happening::GiveUp),
        (0u8..4).prop_map(Happening::Forget),
    ]
}

proptest! {
    /// Invariant 5 of the design, and that the broker always holds exactly what a replay would give it.
    #[test]
    fn nothing_old_is_ever_shown_as_live(happenings in prop::collection::vec(happening(), 1..60)) {
        let mut world = World::new(&[heater(1)]);
        let mut heard: BTreeMap<u8, Instant> = BTreeMap::new();
        let mut listed = BTreeSet::from([1u8]);
        for happening in happenings {
            match happening {
                Happening::Begin => world.begin_session(),
                Happening::End => world.bridge.session_ended(0, world.moment()),
                Happening::Status(last) => {
                    let verdict = world.status(last, json!({}));
                    prop_assert_eq!(verdict == Verdict::Answered, listed.contains(&last));
                    if listed.contains(&last) {
                        heard.insert(last, world.now);
                    }
                }
                Happening::Noise(bytes) => {
                    world.hears("cmd/52/navilink-04786332fc01/x/res", &bytes, false);
                }
                Happening::List(lasts) => {
                    let heaters: Vec<Device> = lasts.iter().map(|last| heater(*last)).collect();
                    world.lists(&heaters);
                    // What is missing stays, but only for a moment available if it does not answer.
                    for missing in listed.iter().filter(|last| !lasts.contains(last)) {
                        if let Some(at) = heard.get_mut(missing) {
                            *at = (*at).min(world.now + Duration::from_secs(30) - 5 * MINUTE);
                        }
                    }
                    listed.extend(lasts);
                }
                Happening::Pass(seconds) => world.pass(Duration::from_secs(seconds.into())),
                Happening::Restart => {
                    world.broker.clear();
                    world.connect_broker();
                }
                Happening::Forget(last) => {
                    world.asks("navien2mqtt/bridge/request/forget", heater(last).mac.as_str(), false);
                    heard.remove(&last);
                    listed.remove(&last);
                }
                Happening::GiveUp => {
                    world.bridge.give_up(0, world.moment());
                    heard.clear();
                }
            }
            world.drain();
            for last in 0..4 {
                let fresh = heard.get(&last).is_some_and(|at| world.now < *at + 5 * MINUTE);
                let shown = world.held(&format!("{}/availability", heater(last).mac)).to_owned();
                let wanted = match listed.contains(&last) {
                    false => "",
                    true if fresh => "online",
                    true => "offline",
                };
                prop_assert_eq!(shown, wanted);
            }
            let mut copy = world.broker.clone();
            std::mem::swap(&mut copy, &mut world.broker);
            world.broker.clear();
            world.connect_broker();
            prop_assert_eq!(&world.broker, &copy);
        }
    }
}
