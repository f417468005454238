//! The counters that others add up.

use serde_json::{Value, json};

use super::{MINUTE, World, heater};
use crate::bridge::Effect;

/// The monthly answer about energy that tells this total.
fn total(world: &mut World, total: &Value) -> Value {
    let answer = json!({ "response": { "typeOfUsage": 1, "total": total, "usage": [] } });
    world.arrives("cmd/52/client/res/energy-usage-monthly-query/rd", &with_mac(answer));
    world.held_json("04786332fc01/energy")["heat_pump_kwh"].clone()
}

fn with_mac(mut answer: Value) -> Value {
    answer["response"]["macAddress"] = heater(1).mac.as_cloud().into();
    answer
}

#[test]
fn counters_neither_fall_nor_leap_on_one_answer_not_even_over_a_restart() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    let told = |pump: Value| json!({ "hpUsage": pump, "heUsage": 146_337 });
    for (pump, shown) in
        [(1_266_585, 1266.585), (1_265_318, 1266.585), (0, 1266.585), (1_099_511_627_776_i64, 1266.585)]
    {
        assert_eq!(total(&mut world, &told(json!(pump))), json!(shown), "{pump}");
    }
    assert_eq!(total(&mut world, &Value::Null), json!(1266.585));
    world.rest.clear();
    world.pass(2 * MINUTE);
    assert_eq!(world.rest, [Effect::Keep]);
    let kept = serde_json::to_string(&world.bridge.memories()).unwrap();

    let mut next = World::new(&[heater(1)]);
    next.bridge.restore(serde_json::from_str(&kept).unwrap());
    next.begin_session();
    assert_eq!(total(&mut next, &told(json!(0))), json!(1266.585), "the first answer after a restart");
    assert_eq!(total(&mut next, &told(json!(1_271_585))), json!(1271.585));
}

#[test]
fn the_meters_of_a_status_are_guarded_too() {
    let mut world = World::new(&[heater(1)]);
    world.begin_session();
    for (told, shown) in [
        (json!(1000), json!(1000)),
        (json!(0), json!(1000)),
        (json!(1_000_000_000), json!(1000)),
        (json!(1002), json!(1002)),
    ] {
        world.status(1, json!({ "cumulatedDhwFlowRate": told }));
        let shown_now = &world.held_json("04786332fc01/status")["cumulated_dhw_flow_rate"];
        assert_eq!(shown_now.as_f64(), shown.as_f64(), "{told}");
    }
}

#[test]
fn a_new_counter_is_kept_at_once_and_growth_now_and_then() {
    let mut world = World::new(&[heater(1)]);
    world.lists(&[heater(1)]);
    world.begin_session();
    let kept = |world: &mut World, wh: u64, minutes: u32| {
        world.rest.clear();
        total(world, &json!({ "hpUsage": wh, "heUsage": 0 }));
        world.pass(minutes * MINUTE);
        world.rest.contains(&Effect::Keep)
    };
    assert!(kept(&mut world, 1_266_585, 1), "a crash would forget that there was a counter");
    assert!(!kept(&mut world, 1_266_600, 1));
    assert!(kept(&mut world, 1_266_700, 10));
}
