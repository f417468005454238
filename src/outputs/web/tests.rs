use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn mac() -> Mac {
    "04786332fca0".parse().unwrap()
}

fn at(moment: Moment, later: Duration) -> Moment {
    Moment { now: moment.now + later, wall: moment.wall + later }
}

fn status(moment: Moment, members: Value) -> Change {
    let mut status =
        json!({ "units": "metric", "received_at": humantime::format_rfc3339_millis(moment.wall).to_string() });
    status.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    Change::Answer("status", status.as_object().unwrap().clone().into())
}

fn interrupted(moment: Moment) -> Value {
    json!({ "event": "connection_interrupted", "at": rfc3339(moment.wall), "reason": "dns", "reason_text": "No name" })
}

/// Shows that the connection is away, and since when.
fn lose(web: &mut Web, since: Moment, moment: Moment) {
    let connection = json!({ "state": "reconnecting", "reason": "dns", "reason_text": "No name", "outages": 1 });
    web.show_connection(&connection, Some(since.now), moment);
}

/// Shows that there is no outage.
fn connect(web: &mut Web, moment: Moment) {
    web.show_connection(&json!({ "state": "connected", "outages": 1 }), None, moment);
}

/// What is shown of the time before: kind, begin and end in seconds after the start.
fn outages(web: &Web, moment: Moment) -> Vec<(String, u64, Option<u64>)> {
    let after = |value: &Value| value.as_u64().map(|at| at.checked_sub(1_800_000_000).unwrap());
    let shown = web.history(moment)["outages"].clone();
    let shown = shown.as_array().unwrap().iter();
    shown.map(|of| (of["kind"].as_str().unwrap().to_owned(), after(&of["from"]).unwrap(), after(&of["to"]))).collect()
}

fn vitals(moment: Moment) -> Vitals {
    Vitals {
        started_at: moment.wall,
        sessions: (1, 1),
        session_since: Some(moment.wall),
        is_local_up: true,
        local_trouble: None,
        superseded: 0,
        sign_ins_left: Some(11),
        queued: 0,
        complaints: 0,
        unknown_fields: 0,
        cloud: Traffic::default(),
        local: Traffic::default(),
    }
}

fn web(moment: Moment) -> Web {
    let mut web = Web::new(Kept::default(), moment);
    web.set_heaters(BTreeMap::from([(mac(), "Garage \"1\"".to_owned())]));
    web
}

/// Writes what is to be kept to JSON and takes it up again.
fn restarted(web: &mut Web, ends: bool, moment: Moment, later: Duration) -> Web {
    let kept = serde_json::to_string(&web.history.keep(ends, moment.wall)).unwrap();
    Web::new(serde_json::from_str(&kept).unwrap(), at(moment, later))
}

#[test]
fn a_step_of_five_minutes_is_one_sample_with_the_means_and_the_last_set_point() {
    let start = Moment::start();
    let mut web = web(start);
    for (seconds, upper, power) in
        [(0, 50.0, json!(400)), (60, 51.0, json!(null)), (120, 52.0, json!(500)), (300, 60.0, json!(0))]
    {
        let moment = at(start, Duration::from_secs(seconds));
        let set = 48.0 + seconds as f64 / 60.0;
        let members = json!({
            "tank_upper_temperature": upper, "dhw_temperature_setting": set, "current_inst_power": power,
        });
        web.show(&mac(), &status(moment, members));
    }
    let samples = &web.history(at(start, HOUR))["heaters"]["04786332fca0"]["samples"];
    let begin = 1_800_000_000;
    assert_eq!(*samples, json!([[begin, 51.0, null, 50.0, null, 450.0], [begin + 300, 60.0, null, 53.0, null, 0.0]]));
}

#[test]
fn samples_are_shown_in_the_units_of_now_and_kept_in_celsius() {
    let start = Moment::start();
    let mut web = web(start);
    web.show(&mac(), &status(start, json!({ "units": "us", "tank_upper_temperature": 122.0, "dhw_charge_per": 80 })));
    let show = |web: &Web| web.history(start)["heaters"]["04786332fca0"].clone();
    assert_eq!(show(&web), json!({ "units": "us", "samples": [[1_800_000_000, 122.0, null, null, 80.0, null]] }));
    let later = at(start, 10 * MINUTE);
    web.show(&mac(), &status(later, json!({ "tank_upper_temperature": 50.0 })));
    let samples = show(&web)["samples"].clone();
    assert_eq!((&samples[0][1], &samples[1][1]), (&json!(50.0), &json!(50.0)));
}

#[test]
fn an_outage_begins_with_the_last_word_and_lasts_over_a_restart() {
    let start = Moment::start();
    let mut web = web(start);
    connect(&mut web, start);
    let since = at(start, Duration::from_secs(3570));
    lose(&mut web, since, at(start, HOUR));
    let mut web = restarted(&mut web, true, at(start, HOUR + MINUTE), Duration::from_secs(10));
    assert_eq!(web.history(at(start, 2 * HOUR))["outages"][0]["to"], Value::Null);
    let starting = json!({ "state": "starting", "reason": null });
    web.show_connection(&starting, Some(since.now), at(start, HOUR + 2 * MINUTE));
    connect(&mut web, at(start, 2 * HOUR));
    let begin = 1_800_000_000;
    assert_eq!(
        web.history(at(start, 2 * HOUR))["outages"],
        json!([{ "from": begin + 3570, "to": begin + 7200, "kind": "outage", "reason": "dns", "reason_text": "No name" }])
    );
    assert_eq!(
        web.history(at(start, 31 * 24 * HOUR))["outages"],
        web.history(start)["outages"],
        "nothing is lost by looking"
    );
    let later = at(start, 32 * 24 * HOUR);
    connect(&mut web, later);
    assert_eq!(web.history(later)["outages"], json!([]), "a month is over");
}

#[test]
fn an_outage_around_a_time_without_the_bridge_is_shown_before_and_after_it() {
    let start = Moment::start();
    let mut web = web(start);
    lose(&mut web, start, at(start, MINUTE));
    let mut web = restarted(&mut web, true, at(start, HOUR), HOUR);
    lose(&mut web, start, at(start, 2 * HOUR));
    connect(&mut web, at(start, 2 * HOUR + MINUTE));
    let expected = [
        ("outage".to_owned(), 0, Some(3600)),
        ("not_running".to_owned(), 3600, Some(7200)),
        ("outage".to_owned(), 7200, Some(7260)),
    ];
    assert_eq!(outages(&web, at(start, 3 * HOUR)), expected);
}

#[test]
fn an_outage_that_a_killed_process_could_not_keep_the_end_or_the_begin_of_is_no_longer_than_it_was() {
    let start = Moment::start();
    let [lost, kept] = [at(start, MINUTE), at(start, 2 * MINUTE)];
    let mut ended = web(start);
    lose(&mut ended, lost, lost);
    let mut ended = restarted(&mut ended, false, kept, 14 * MINUTE);
    connect(&mut ended, at(kept, 14 * MINUTE));
    assert_eq!(outages(&ended, at(start, HOUR)), [("outage".to_owned(), 60, Some(120))], "it was there until then");
    let mut begun = restarted(&mut web(start), false, start, 10 * MINUTE);
    begun.show_connection(&json!({ "state": "starting" }), Some(lost.now), at(start, 10 * MINUTE));
    assert_eq!(begun.history(start)["outages"][0]["reason"], Value::Null);
    lose(&mut begun, lost, at(start, 11 * MINUTE));
    assert_eq!(outages(&begun, at(start, HOUR)), [("outage".to_owned(), 60, None)]);
    assert_eq!(begun.history(start)["outages"][0]["reason"], "dns", "the first reason that is known");
}

#[test]
fn an_outage_of_one_of_several_sessions_lasts_until_all_are_back_and_counts_once() {
    let start = Moment::start();
    let mut web = web(start);
    connect(&mut web, start);
    for session in [1, 2] {
        let mut event = interrupted(at(start, MINUTE));
        event["session"] = session.into();
        web.publish_event(&event);
        lose(&mut web, at(start, MINUTE), at(start, MINUTE));
    }
    for (session, end) in [(1, 2), (2, 5)] {
        let moment = at(start, end * MINUTE);
        let lasted = ((end - 1) * MINUTE).as_secs_f64();
        let event = json!({ "event": "connected", "at": rfc3339(moment.wall), "outage_seconds": lasted });
        web.publish_event(&event);
        if session == 1 { lose(&mut web, at(start, MINUTE), moment) } else { connect(&mut web, moment) }
    }
    assert_eq!(outages(&web, at(start, HOUR)), [("outage".to_owned(), 60, Some(300))]);
    let metrics = web.metrics(&vitals(start), Format::Prometheus, at(start, HOUR));
    assert!(metrics.contains("navien2mqtt_connection_outage_seconds_total 240.0\n"), "{metrics}");
}

#[test]
fn what_a_clock_that_was_ahead_has_left_keeps_nothing_out_when_it_is_right_again() {
    let start = Moment::start();
    let mut web = web(start);
    let sample = |web: &mut Web, moment, upper: f64| {
        web.show(&mac(), &status(moment, json!({ "tank_upper_temperature": upper })));
    };
    sample(&mut web, start, 50.0);
    let ahead = |seconds| Moment { wall: start.wall + 100 * 24 * HOUR, now: start.now + Duration::from_secs(seconds) };
    sample(&mut web, ahead(300), 51.0);
    lose(&mut web, ahead(300), ahead(300));
    connect(&mut web, ahead(310));
    let right = at(start, 10 * MINUTE);
    sample(&mut web, right, 52.0);
    connect(&mut web, right);
    let shown = web.history(right);
    let begin = 1_800_000_000;
    assert_eq!(shown["heaters"]["04786332fca0"]["samples"][0], json!([begin + 600, 52.0, null, null, null, null]));
    assert_eq!((&shown["outages"], &shown["known_since"]), (&json!([]), &json!(begin + 600)));
}

#[test]
fn a_clock_that_begins_an_hour_back_after_a_power_cut_costs_no_more_than_that_hour() {
    let start = Moment::start();
    let mut web = web(start);
    lose(&mut web, start, start);
    connect(&mut web, at(start, MINUTE));
    for minutes in [0, 600] {
        web.show(&mac(), &status(at(start, minutes * MINUTE), json!({ "tank_upper_temperature": 50.0 })));
    }
    let kept = web.history.keep(false, at(start, 11 * HOUR).wall);
    let moment = at(start, 10 * HOUR + MINUTE);
    let web = Web::new(kept, moment);
    assert_eq!(outages(&web, moment), [("outage".to_owned(), 0, Some(60))]);
    assert_eq!(web.history(moment)["heaters"]["04786332fca0"]["samples"].as_array().unwrap().len(), 2);
}

#[test]
fn the_time_in_which_the_bridge_did_not_run_is_told_apart() {
    let start = Moment::start();
    let gaps = |ends, away| restarted(&mut web(start), ends, at(start, HOUR), away).history(start)["outages"].clone();
    let not_running = |away: u64| json!([{ "from": 1_800_003_600, "to": 1_800_003_600 + away, "kind": "not_running", "reason": null, "reason_text": null }]);
    assert_eq!(gaps(true, Duration::from_secs(20)), json!([]), "a restart");
    assert_eq!(gaps(true, 5 * MINUTE), not_running(300));
    assert_eq!(gaps(false, 10 * MINUTE), json!([]), "it was killed, and may have lived until a moment ago");
    assert_eq!(gaps(false, HOUR), not_running(3600));
}

#[test]
fn a_history_of_the_future_or_of_nothing_is_forgotten_and_what_is_kept_is_bounded() {
    let start = Moment::start();
    let mut web = web(at(start, 1000 * HOUR));
    let kept = web.history.keep(true, at(start, 1000 * HOUR).wall);
    assert_eq!(Web::new(kept, start).history(start)["known_since"], json!(1_800_000_000));
    let long = "x".repeat(400);
    for heater in 0..40 {
        let mac: Mac = format!("0478633200{heater:02x}").parse().unwrap();
        for step in 0..400 {
            let moment = at(start, 5 * MINUTE * step);
            let members = json!({
                "tank_upper_temperature": 48.123, "tank_lower_temperature": 38.456, "dhw_temperature_setting": 52.12,
                "dhw_charge_per": 87.65, "current_inst_power": 4321.12,
            });
            web.show(&mac, &status(moment, members));
            web.show(&mac, &Change::Event(json!({ "event": long, "at": rfc3339(moment.wall) })));
            web.show(&mac, &Change::Event(json!({ "event": "y".repeat(5000) })));
        }
    }
    for outage in 0..2000 {
        let [from, to] = [0, 5].map(|seconds| at(start, MINUTE * outage + Duration::from_secs(seconds)));
        lose(&mut web, from, from);
        connect(&mut web, to);
    }
    let moment = at(start, 34 * HOUR);
    let kept = serde_json::to_vec(&web.history.keep(true, moment.wall)).unwrap();
    assert!(kept.len() < 900_000, "{} bytes are kept", kept.len());
    let shown = web.history(moment);
    assert!(
        shown["heaters"].as_object().unwrap().values().all(|heater| heater["samples"].as_array().unwrap().len() <= 288)
    );
    assert_eq!(shown["outages"].as_array().unwrap().len(), 500);
    assert!(shown["known_since"].as_u64().unwrap() > 1_800_000_000, "what was before the oldest is not known any more");
}

#[test]
fn what_another_version_kept_is_left_out_where_the_page_could_not_show_it() {
    let start = Moment::start();
    let mac = mac();
    let kept = json!({
        "known_since": 1_799_999_000, "at": 1_800_000_000, "ended": true, "something": "new",
        "commands": { mac.as_str(): [7, { "name": 1 }, { "name": "mode", "status": "confirmed", "at": "now" }] },
        "events": { mac.as_str(): ["word", { "at": "now" }, { "event": "powered_on", "at": "now" }] },
        "bridge_events": [null, {}, { "event": "connected", "at": "now" }],
    });
    let history = Web::new(serde_json::from_value(kept).unwrap(), start).history;
    for list in [history.commands(&mac), history.events(Some(&mac)), history.events(None)] {
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_eq!(list[0]["at"], "now");
    }
}

#[test]
fn what_becomes_of_a_command_stands_in_one_line() {
    let start = Moment::start();
    let mut web = web(start);
    let report = |name: &str, status: &'static str| {
        let (name, id) = (name.to_owned(), Some(json!(name)));
        Change::Command(crate::heater::commands::Report {
            name,
            id,
            status: Some(status),
            in_force: true,
            reason: None,
            at: start.wall,
        })
    };
    for (name, status) in
        [("mode", "sent"), ("power", "queued"), ("mode", "confirmed"), ("mode", "sent"), ("power", "expired")]
    {
        web.show(&mac(), &report(name, status));
    }
    let commands = web.state(&vitals(start), start)["heaters"][0]["commands"].clone();
    let lines = |commands: &Value| -> Vec<(String, String)> {
        let word = |of: &Value| of.as_str().unwrap().to_owned();
        commands.as_array().unwrap().iter().map(|of| (word(&of["name"]), word(&of["status"]))).collect()
    };
    let words = |lines: [(&str, &str); 3]| lines.map(|(name, status)| (name.to_owned(), status.to_owned()));
    assert_eq!(lines(&commands), words([("mode", "sent"), ("power", "expired"), ("mode", "confirmed")]));
    let next = restarted(&mut web, false, start, MINUTE);
    let commands = next.history.commands(&mac());
    assert_eq!(lines(&commands), words([("mode", "failed"), ("power", "expired"), ("mode", "confirmed")]));
    assert_eq!(commands[0]["reason"], "the bridge ended; what became of it is not known");
}

#[test]
fn a_change_that_is_none_wakes_no_page() {
    let start = Moment::start();
    let mut web = web(start);
    web.show(&mac(), &Change::Available(true));
    let version = web.version();
    web.show(&mac(), &Change::Available(true));
    web.show(&mac(), &Change::Abilities);
    assert_eq!(web.version(), version);
    web.show(&mac(), &Change::Available(false));
    assert_ne!(web.version(), version);
}

#[test]
fn both_formats_have_the_same_samples_and_names_are_escaped() {
    let start = Moment::start();
    let mut web = web(start);
    web.show(
        &mac(),
        &status(
            start,
            json!({ "units": "us", "tank_upper_temperature": 122.0, "dhw_charge_per": 80, "error_code": 0 }),
        ),
    );
    web.show(&mac(), &Change::Answer("energy", json!({ "heat_pump_kwh": 2.0 }).as_object().unwrap().clone().into()));
    web.show_connection(
        &json!({ "state": "connected", "since": rfc3339(start.wall), "attempt": 0, "outages": 3 }),
        None,
        start,
    );
    web.publish_event(&interrupted(at(start, MINUTE)));
    web.show_connection(
        &json!({ "state": "reconnecting", "since": rfc3339(at(start, MINUTE).wall), "attempt": 1, "outages": 4 }),
        Some(at(start, MINUTE).now),
        at(start, MINUTE),
    );
    let moment = at(start, 2 * MINUTE);
    let [prometheus, open] =
        [Format::Prometheus, Format::OpenMetrics].map(|format| web.metrics(&vitals(start), format, moment));
    for sample in [
        "navien2mqtt_connection_state{state=\"reconnecting\"} 1.0",
        "navien2mqtt_connection_state_seconds_total{state=\"connected\"} 60.0",
        "navien2mqtt_connection_state_seconds_total{state=\"reconnecting\"} 60.0",
        "navien2mqtt_connection_outages_total 4.0",
        "navien2mqtt_connection_interruptions_total{reason=\"dns\"} 1.0",
        "navien2mqtt_connection_recoveries_total 0.0",
        "navien2mqtt_heater_info{device=\"04786332fca0\",name=\"Garage \\\"1\\\"\"} 1",
        "navien2mqtt_heater_temperature_celsius{device=\"04786332fca0\",sensor=\"tank_upper\"} 50.0",
        "navien2mqtt_heater_charge_ratio{device=\"04786332fca0\"} 0.8",
        "navien2mqtt_heater_energy_joules_total{device=\"04786332fca0\",source=\"heat_pump\"} 7200000.0",
        "navien2mqtt_sign_ins_left 11.0",
    ] {
        assert!(prometheus.lines().any(|line| line == sample), "{sample} is missing:\n{prometheus}");
        assert!(open.lines().any(|line| line == sample), "{sample} is missing:\n{open}");
    }
    assert!(open.ends_with("# EOF\n") && !prometheus.contains("# EOF"));
    assert!(!prometheus.contains("water_leak"), "what is not known is not told");
}

#[test]
fn a_counter_of_time_never_falls_when_the_state_changes_or_the_clock_is_set() {
    let start = Moment::start();
    let mut web = web(start);
    let shown = |web: &Web, moment| {
        let metrics = web.metrics(&vitals(start), Format::Prometheus, moment);
        let name = "navien2mqtt_connection_state_seconds_total{state=\"connected\"} ";
        metrics.lines().find_map(|line| line.strip_prefix(name)?.parse::<f64>().ok()).unwrap()
    };
    let connected = |at: Moment| json!({ "state": "connected", "since": rfc3339(at.wall), "outages": 0 });
    web.show_connection(&connected(start), None, start);
    let mut change = at(start, Duration::from_millis(10_900));
    assert_eq!(shown(&web, change), 10.9);
    change.wall -= HOUR;
    web.show_connection(&connected(change), None, change);
    assert_eq!(shown(&web, change), 10.9);
    let lost = json!({ "state": "reconnecting", "since": rfc3339(change.wall), "outages": 1 });
    web.show_connection(&lost, Some(change.now), change);
    assert_eq!(shown(&web, at(change, HOUR)), 10.9);
}

#[test]
fn what_can_be_counted_begins_at_zero_and_what_is_not_known_is_not_told() {
    let start = Moment::start();
    let mut web = web(start);
    let metrics = |web: &Web| web.metrics(&vitals(start), Format::Prometheus, start);
    let device = "device=\"04786332fca0\"";
    let first = metrics(&web);
    assert!(first.contains(&format!("navien2mqtt_commands_total{{{device},outcome=\"confirmed\"}} 0.0\n")), "{first}");
    assert!(!first.contains("connection_outages_total") && !first.contains("heater_mode"), "{first}");
    let members = json!({ "dhw_operation_setting": "vacation", "recirc_temperature": 0.0 });
    web.show(&mac(), &status(start, members));
    let second = metrics(&web);
    assert!(second.contains(&format!("navien2mqtt_heater_mode{{{device},mode=\"vacation\"}} 1.0\n")), "{second}");
    assert!(second.contains(&format!("navien2mqtt_heater_mode{{{device},mode=\"electric\"}} 0.0\n")), "{second}");
    assert!(!second.contains("recirculation"), "a heater without the pump tells 0 °C: {second}");
    let info = json!({ "recirculation_use": true }).as_object().unwrap().clone();
    web.show(&mac(), &Change::Answer("info", info.into()));
    assert!(metrics(&web).contains(&format!("{device},sensor=\"recirculation\"}} 0.0\n")));
}

#[test]
fn the_page_needs_nothing_from_elsewhere_and_makes_no_markup_of_data() {
    for (path, _, content) in PAGE {
        let addresses = content.replace("http://www.w3.org/2000/svg", "the name of a language");
        assert!(!addresses.contains("//www") && !addresses.contains("http"), "{path} names another host");
    }
    let [(_, _, html), (..), (_, _, script)] = PAGE;
    for inline in ["<style", "style=", "<script>", " onclick", " onload", "javascript:"] {
        assert!(!html.contains(inline), "the policy forbids {inline}");
    }
    for sink in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        ".style",
        "localStorage",
    ] {
        assert!(!script.contains(sink), "the script uses {sink}");
    }
}

#[test]
fn every_field_that_the_page_reads_from_a_status_is_there() {
    let [(_, _, html), (..), (_, _, script)] = PAGE;
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let read = ["status.", "status?."].iter().flat_map(|of| script.split(of).skip(1)).map(word);
    let shown = html.split("data-on=\"").skip(1).map(word);
    let fields: Vec<String> = read.chain(shown).filter(|name| !name.is_empty()).collect();
    assert!(fields.len() > 12, "{fields:?}");
    for field in fields {
        assert!(include_str!("../../../docs/topics.md").contains(&format!("| `{field}` |")), "{field} is no field");
    }
}
