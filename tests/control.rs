//! Every command, from the local broker through the built daemon to the simulated heater and back.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use navien2mqtt::simulator::Fault;
use serde_json::{Value, json};
use support::observer::{Observer, Seen};
use support::rig::{HEATER, Rig};

fn heater(rest: &str) -> String {
    format!("navien2mqtt/{HEATER}/{rest}")
}

/// Sends a command with an id and returns every result of it, to the last one.
async fn results(observer: &Observer, name: &str, mut payload: Value, id: &str) -> Vec<Value> {
    let mark = observer.mark();
    payload["id"] = id.into();
    observer.publish(&heater(&format!("set/{name}")), &payload.to_string());
    let ours = |seen: &Seen| seen.json()["id"] == id;
    let last = |seen: &Seen| ours(seen) && !["queued", "sent"].contains(&seen.json()["status"].as_str().unwrap());
    observer.after(mark, &heater("result"), last).await;
    observer.all(mark, &heater("result")).iter().filter(|seen| ours(seen)).map(Seen::json).collect()
}

fn statuses(results: &[Value]) -> Vec<&str> {
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

async fn ready(rig: &Rig) -> (Observer, support::rig::Daemon) {
    let observer = rig.observer().await;
    let daemon = rig.run();
    observer.wait(&heater("info"), |_| true).await;
    observer.wait(&heater("tou"), |_| true).await;
    (observer, daemon)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_is_obeyed_and_confirmed() {
    let rig = Rig::new(1).await;
    let (observer, daemon) = ready(&rig).await;
    let reservation =
        json!({"days": ["monday", "friday"], "time": "06:30", "mode": "energy_saver", "temperature": 120});
    let other = json!({"days": ["sunday"], "time": "22:00", "mode": "off", "enabled": false});
    let edited = json!({"index": 1, "days": ["tuesday"], "time": "05:45", "mode": "heat_pump", "temperature": 115});
    let period = json!({"months": [6, 7, 8], "days": ["monday"], "start": "16:00", "end": "20:59", "price_min": 0.31,
        "price_max": 0.31, "decimal_point": 5});
    let pump = json!({"days": ["saturday"], "time": "07:00", "pump": true});
    // The name, the payload, and what the next status shows of it.
    let table = [
        ("mode", json!({"value": "heat_pump"}), json!({"dhw_operation_setting": "heat_pump"})),
        ("temperature", json!({"value": 125}), json!({"dhw_temperature_setting": 125.6})),
        ("power", json!({"value": "OFF"}), json!({"dhw_operation_setting": "power_off"})),
        ("power", json!({"value": "ON"}), json!({"dhw_operation_setting": "heat_pump"})),
        (
            "mode",
            json!({"value": "vacation", "days": 9}),
            json!({"dhw_operation_setting": "vacation", "vacation_day_setting": 9}),
        ),
        ("vacation_days", json!({"value": 12}), json!({"vacation_day_setting": 12})),
        ("mode", json!({"value": "eco"}), json!({"dhw_operation_setting": "energy_saver"})),
        ("mode", json!({"value": "off"}), json!({"dhw_operation_setting": "power_off"})),
        ("mode", json!({"value": "electric"}), json!({"dhw_operation_setting": "electric"})),
        (
            "anti_legionella",
            json!({"value": "ON", "period_days": 21}),
            json!({"anti_legionella_use": true, "anti_legionella_period": 21}),
        ),
        ("anti_legionella", json!({"value": "OFF"}), json!({"anti_legionella_use": false})),
        ("anti_legionella", json!({"value": "ON"}), json!({"anti_legionella_use": true, "anti_legionella_period": 21})),
        ("demand_response", json!({"value": "ON"}), json!({"dr_event_status": "run_normal"})),
        ("demand_response", json!({"value": "OFF"}), json!({"dr_event_status": "not_applied"})),
        ("intelligent_scheduling", json!({"value": "ON"}), json!({})),
        ("intelligent_scheduling", json!({"value": "OFF"}), json!({})),
        ("tou", json!({"value": "ON"}), json!({"tou_status": true})),
        ("tou", json!({"value": "OFF"}), json!({"tou_status": false})),
        ("recirculation_mode", json!({"value": "weekly"}), json!({"recirc_operation_mode": "weekly"})),
        ("recirculation_hot_button", json!({"value": "PRESS"}), json!({})),
        ("air_filter_life", json!({"value": 2500}), json!({"air_filter_alarm_period": 2500})),
        // Its counter begins anew a minute later, when it is told so again.
        ("air_filter_reset", json!({"value": "PRESS"}), json!({})),
        ("condenser_fault_reset", json!({"value": "PRESS"}), json!({})),
        ("water_program", json!({"value": "PRESS"}), json!({})),
        ("reservations", json!({"enabled": true, "entries": [reservation]}), json!({})),
        ("reservation_add", other.clone(), json!({})),
        ("reservation_update", edited, json!({})),
        ("reservation_delete", json!({"index": 2}), json!({})),
        ("recirculation_schedule", json!({"enabled": true, "entries": [pump]}), json!({})),
        ("tou_schedule", json!({"enabled": true, "periods": [period]}), json!({})),
    ];
    for (number, (name, payload, shown)) in table.into_iter().enumerate() {
        let mark = observer.mark();
        let results = results(&observer, name, payload.clone(), &format!("c{number}")).await;
        // A second one of the same name waits for two seconds first.
        let told: Vec<&str> = statuses(&results).into_iter().filter(|status| *status != "queued").collect();
        assert_eq!(told, ["sent", "confirmed"], "{name} {payload}: {results:?}");
        let shows = |seen: &Seen| {
            let status = seen.json();
            shown.as_object().unwrap().iter().all(|(key, value)| status[key] == *value)
        };
        observer.after(mark, &heater("status"), shows).await;
    }
    let held = observer.latest();
    let reservations: Value = serde_json::from_slice(&held[&heater("reservations")]).unwrap();
    assert_eq!(reservations["entries"][0]["time"], "05:45", "{reservations}");
    assert_eq!(reservations["entries"].as_array().unwrap().len(), 1);
    let recirculation: Value = serde_json::from_slice(&held[&heater("recirculation")]).unwrap();
    assert_eq!(
        recirculation["entries"],
        json!([{"enabled": true, "days": ["saturday"], "time": "07:00", "pump": true}])
    );
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_rejected_with_its_reason_and_reaches_nobody() {
    let rig = Rig::new(1).await;
    let (observer, _daemon) = ready(&rig).await;
    let publishes = rig.cloud().counters().requests(33_554_464);
    for (name, payload, words) in [
        ("temperature", json!({"value": 200}), "the temperature must be from"),
        ("mode", json!({"value": "boost"}), "is expected"),
        ("reservation_delete", json!({"index": 99}), "there is no reservation 99"),
        ("firmware_commit", json!({"sw_code": 1, "sw_version": 2}), "allow_firmware_commit"),
        ("turbo", json!({"value": "ON"}), "there is no such setting"),
    ] {
        let results = results(&observer, name, payload, name).await;
        assert_eq!(statuses(&results), ["rejected"], "{results:?}");
        assert!(results[0]["reason"].as_str().unwrap().contains(words), "{results:?}");
    }
    assert_eq!(rig.cloud().counters().requests(33_554_464), publishes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_wait_for_the_cloud_and_are_obeyed_when_it_is_back() {
    let mut rig = Rig::new(1).await;
    rig.more =
        "[reconnect]\ninitial_delay = \"200ms\"\nmax_delay = \"1s\"\nmax_attempts = -1\n[commands]\nmax_age = \"1m\"\n"
            .into();
    let (observer, _daemon) = ready(&rig).await;
    rig.stop_cloud().await;
    let away = |seen: &Seen| seen.json()["state"] == "reconnecting";
    observer.wait("navien2mqtt/bridge/connection", away).await;
    let mark = observer.mark();
    for (id, value) in [("old", 110), ("new", 130)] {
        observer.publish(&heater("set/temperature"), &json!({"value": value, "id": id}).to_string());
    }
    observer.after(mark, &heater("result"), |seen| seen.json()["id"] == "new").await;
    rig.start_cloud().await;
    observer.after(mark, &heater("result"), |seen| seen.json()["status"] == "confirmed").await;
    let told: Vec<String> = observer
        .all(mark, &heater("result"))
        .iter()
        .map(|seen| format!("{} {}", seen.json()["id"].as_str().unwrap(), seen.json()["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, ["old queued", "old expired", "new queued", "new sent", "new confirmed"]);
    assert_eq!(rig.cloud().counters().requests(33_554_464), 1, "sent once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_the_heater_does_not_confirm_has_failed() {
    let mut rig = Rig::new(1).await;
    rig.cloud_lines = "operation_timeout = \"2s\"\n";
    let (observer, _daemon) = ready(&rig).await;
    let state = navien2mqtt::simulator::SimulatedCondition::Silent;
    rig.cloud().faults().set(Fault::Heater { index: None, state, ms: None });
    let results = results(&observer, "power", json!({"value": "OFF"}), "x").await;
    assert_eq!(statuses(&results), ["sent", "failed"], "{results:?}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(rig.cloud().counters().requests(33_554_433), 1, "nothing is done twice");
}
