use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::navilink::encoding::tests::any_json;

const DEVICE: &str = "cmd/52/navilink-04786332fca0";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn topic(suffix: &str) -> String {
    format!("{DEVICE}/{suffix}")
}

fn shown(recorder: &Recorder) -> Vec<Value> {
    recorder.show().as_array().unwrap().clone()
}

fn kinds(recorder: &Recorder) -> Vec<String> {
    shown(recorder).iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_newest_of_each_kind_comes_first() {
    let mut recorder = Recorder::default();
    let answer = |asked: &str, n: u64| json!({"requestTopic": topic(asked), "response": {"n": n}}).to_string();
    for n in 0..6 {
        recorder.message(&topic("me/res"), answer("st", n).as_bytes(), false, at(n));
    }
    recorder.message(&topic("me/res"), answer("st/did", 6).as_bytes(), true, at(6));
    recorder.message(&topic("me/res"), answer("ctrl", 7).as_bytes(), false, at(7));
    recorder.message(&topic("ctrl"), br#"{"request": {"command": 1}}"#, false, at(8));
    recorder.answer("/device/list", 200, br#"{"code": 200, "msg": "SUCCESS", "data": []}"#, at(9));
    recorder.message("cmd/52/25004/0/me/res/td/rd", b"<html>", false, at(10));
    let newest = ["res/td/rd", "/device/list", "ctrl", "res/ to ctrl", "res/ to st/did", "res/ to st"];
    assert_eq!(kinds(&recorder), [&newest[..], &["res/ to st"; 3]].concat());
    let shown = shown(&recorder);
    assert_eq!(shown[5]["payload"]["response"]["n"], 5);
    assert_eq!(shown[8]["payload"]["response"]["n"], 2);
    assert_eq!((&shown[4]["retained"], &shown[4]["at"]), (&json!(true), &json!("1970-01-01T00:00:06.000Z")));
    assert_eq!((&shown[1]["status"], &shown[1]["call"]), (&json!(200), &json!("/device/list")));
    assert_eq!((&shown[0]["payload"], &shown[0]["bytes"]), (&json!("<html>"), &json!(6)));
}

#[test]
fn a_status_and_device_information_are_two_kinds_without_a_request_topic_too() {
    let mut recorder = Recorder::default();
    for (name, n) in [("status", 1), ("did", 2)] {
        recorder.message(&topic("me/res"), json!({"response": {name: {}}}).to_string().as_bytes(), false, at(n));
    }
    assert_eq!(kinds(&recorder), ["res/ to did", "res/ to status"]);
}

#[test]
fn a_long_message_is_cut_and_stays_json() {
    let mut recorder = Recorder::default();
    let days: Vec<Value> = (0..5000).map(|n| json!({ "n": n })).collect();
    recorder.message(&topic("me/res"), json!({"a": 1, "days": days, "z": 1}).to_string().as_bytes(), false, at(1));
    recorder.message(&topic("x/res"), "é".repeat(20_000).as_bytes(), false, at(2));
    recorder.message(&topic("x/res/y"), json!({"text": "\u{1}".repeat(20_000)}).to_string().as_bytes(), false, at(3));
    let secret = format!("eyJ{}", "a".repeat(20_000));
    recorder.message(&topic("x/res/z"), secret.as_bytes(), false, at(0));
    let cut = shown(&recorder).remove(0);
    assert_eq!((&cut["truncated"], &cut["payload"], &cut["bytes"]), (&json!(true), &json!("***"), &json!(20_003)));
    for record in shown(&recorder).into_iter().skip(1) {
        assert_eq!(record["truncated"], true);
        let length = record["payload"].to_string().len();
        assert!((MAX_MESSAGE / 2..=MAX_MESSAGE + 2).contains(&length), "{length}");
        assert!(record["bytes"].as_u64() >= Some(40_000));
    }
    assert_eq!(shown(&recorder)[3]["payload"]["days"][7], json!({"n": 7}));
}

#[test]
fn when_there_is_no_room_the_oldest_that_is_not_the_newest_of_its_kind_goes_first() {
    let mut recorder = Recorder::default();
    let large = json!({"x": "x".repeat(15_000)}).to_string();
    recorder.message(&topic("me/res/rsv/rd"), b"{}", false, at(0));
    for n in 1..=4 {
        recorder.message(&topic("me/res"), large.as_bytes(), false, at(n));
    }
    recorder.answer("/device/list", 200, large.as_bytes(), at(5));
    assert_eq!(kinds(&recorder), ["/device/list", "res/", "res/rsv/rd", "res/", "res/"]);
    for n in 0..4000 {
        recorder.message(&topic(&format!("me/res/{n}")), b"{}", false, at(6 + n));
        assert!(recorder.weight() <= MAX_BYTES);
    }
    assert!(recorder.show().to_string().len() <= MAX_BYTES);
    assert_eq!(kinds(&recorder)[0], "res/3999");
}

#[test]
fn of_a_sign_in_only_its_shape_is_recorded() {
    let mut recorder = Recorder::default();
    let answer = json!({"code": 200, "msg": "SUCCESS", "data": {
        "userInfo": {"userFirstName": "Geheim", "userSeq": 77_777, "legal": null},
        "token": {"idToken": "geheim", "authenticationExpiresIn": 3600, "secretKey": ["geheim"]},
    }});
    recorder.answer("/user/sign-in", 200, answer.to_string().as_bytes(), at(1));
    let shape = json!({"code": 200, "msg": "SUCCESS", "data": {
        "userInfo": {"userFirstName": "*** (6 characters)", "userSeq": "*** (a number)", "legal": null},
        "token": {"idToken": "*** (6 characters)", "authenticationExpiresIn": 3600,
            "secretKey": ["*** (6 characters)"]},
    }});
    assert_eq!(shown(&recorder)[0]["payload"], shape);
    recorder.answer("/user/sign-in", 401, br#"{"message": "Unauthorized"}"#, at(2));
    assert_eq!(shown(&recorder)[0]["payload"], json!({"message": "Unauthorized"}));
    recorder.answer("/user/sign-in", 502, b"<html>geheim", at(3));
    assert_eq!(shown(&recorder)[0]["payload"], "12 bytes that are not JSON");
    assert!(!format!("{recorder:?}").contains("SUCCESS"));
}

#[test]
fn what_is_not_recorded_is_known_elsewhere_and_no_secret_is_kept_for_that() {
    use crate::recording::pseudonyms::Pseudonyms;

    let mut recorder = Recorder::default();
    let answer = json!({"code": 200, "msg": "SUCCESS", "data": {
        "userInfo": {"userFirstName": "Zelda", "userSeq": 556_677},
        "token": {"idToken": "geheim", "secretKey": "geheim"},
    }});
    recorder.answer("/user/sign-in", 200, answer.to_string().as_bytes(), at(1));
    recorder.answer("/user/secured-sign-in", 200, br#"{"userLastName": "Fitzgerald", NaN"#, at(2));
    let long = json!({"pad": "x".repeat(20_000), "deviceName": "Summerhouse"});
    recorder.answer("/device/list", 200, long.to_string().as_bytes(), at(3));
    assert!(!recorder.private().any(|(_, value)| value == "geheim"));
    let event = json!({"event": {"connection": {"os": "iOS Zelda's phone"}, "unknownNumber": 556_677}});
    recorder.message("evt/52/navilink-04786332fca0/app-connection", event.to_string().as_bytes(), false, at(4));
    recorder.message(&topic("me/res"), b"no JSON of Zelda FITZGERALD, summerhouse", false, at(5));
    let mut private = Pseudonyms::default();
    recorder.private().for_each(|(class, value)| private.learn(class, value));
    let mut raw = recorder.show();
    private.learn_message(&raw);
    private.replacer().replace_message(&mut raw);
    let text = raw.to_string().to_lowercase();
    for private in ["zelda", "fitzgerald", "summerhouse", "556677"] {
        assert!(!text.contains(private), "{private} is in {text}");
    }
    assert!(text.contains("*** (5 characters)") && text.contains("'s phone"), "{text}");
    for n in 0..1000 {
        recorder.answer(
            "/user/sign-in",
            200,
            json!({"userSeq": n, "userId": "x".repeat(n)}).to_string().as_bytes(),
            at(6),
        );
    }
    assert_eq!(recorder.private().count(), MAX_PRIVATE);
    assert!(recorder.private().all(|(_, value)| value.len() <= MAX_PRIVATE_VALUE));
}

#[test]
fn passwords_and_tokens_do_not_enter_it() {
    let mut recorder = Recorder::default();
    let message =
        json!({"response": {"password": "geheim", "note": "eyJhbGciOiJIUzI.geheim", "accessToken": "geheim"}});
    recorder.message(&topic("me/res"), message.to_string().as_bytes(), false, at(1));
    recorder.message(&topic("x/res/y"), br#"{"broken", "refreshToken": "geheim", "x": 1"#, false, at(2));
    recorder.answer("/device/list", 200, br#"{"data": [{"secretKey": "geheim"}]}"#, at(3));
    let text = recorder.show().to_string();
    assert!(!text.contains("geheim") && text.contains("refreshToken"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_arrives_it_stays_within_its_bounds(
        messages in prop::collection::vec(("[a-z/-]{0,40}", any_json(), 0usize..2000), 1..12),
    ) {
        let mut recorder = Recorder::default();
        for (suffix, payload, times) in messages {
            let payload = json!({ "response": payload, "pad": vec!["\u{1f}é"; times] }).to_string();
            recorder.message(&topic(&suffix), payload.as_bytes(), false, at(1));
            recorder.answer("/device/list", 200, payload.as_bytes(), at(1));
            prop_assert!(recorder.show().to_string().len() <= MAX_BYTES);
        }
    }
}
