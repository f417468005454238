use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::navilink::encoding::Object;
use crate::navilink::request::{Query, presence};
use crate::navilink::session::{ClientId, Identity, SessionId};
use crate::navilink::topics::tests::heater;

/// Learns from all messages and replaces in all of them, as the diagnostics do.
fn pseudonymised(known: &[(Class, &str)], mut messages: Value) -> Value {
    let mut pseudonyms = Pseudonyms::default();
    known.iter().for_each(|(class, value)| pseudonyms.learn(*class, value));
    pseudonyms.learn_message(&messages);
    pseudonyms.replacer().replace_message(&mut messages);
    messages
}

#[test]
fn the_same_value_has_the_same_pseudonym_in_members_topics_and_text() {
    let shown = pseudonymised(
        &[(Class::Id, "navien2mqtt-0a1b")],
        json!([
            {"topic": "cmd/52/navilink-04786332FCA0/navien2mqtt-0a1b/res", "payload": {
                "clientID": "navilink-04786332fca0", "requestTopic": "cmd/52/navilink-04786332fca0/st/did",
                "response": {"macAddress": "04786332FCA0", "feature": {"controllerSerialNumber": "56A1234B"}}}},
            {"topic": "cmd/52/25004/0/navien2mqtt-0a1b/res/td/rd", "payload": "no, 04:78:63:32:fc:a0 of 25004 is SN56a1234b!"},
            {"payload": {"data": [{"deviceInfo": {"homeSeq": 25004, "macAddress": "04786332fca0", "deviceName": "Älpli"},
                "location": {"city": "San José", "latitude": 37.774929, "altitude": null}, "n": 25004}]}},
            {"payload": {"note": "ÄLPLI, San%20jos\u{e9} (37.774929), \"Älpli\"", "inner": "{\"deviceName\":\"Älpli\",\"x\":1}"}},
        ]),
    );
    let mac = shown[0]["payload"]["response"]["macAddress"].as_str().unwrap().to_owned();
    assert!(mac.starts_with("02000000000") && mac.len() == 12, "{mac}");
    let client = shown[0]["topic"].as_str().unwrap().split('/').nth(3).unwrap().to_owned();
    let serial = shown[0]["payload"]["response"]["feature"]["controllerSerialNumber"].as_str().unwrap();
    let home = &shown[2]["payload"]["data"][0]["deviceInfo"]["homeSeq"];
    let name = shown[2]["payload"]["data"][0]["deviceInfo"]["deviceName"].as_str().unwrap();
    let place = &shown[2]["payload"]["data"][0]["location"];
    let (city, latitude) = (place["city"].as_str().unwrap(), &place["latitude"]);
    assert!(client.starts_with("id-") && serial.starts_with("serial-") && name.starts_with("name-"), "{shown:#}");
    assert!(
        home.is_u64() && city.starts_with("place-") && latitude.is_u64() && place["altitude"].is_null(),
        "{shown:#}"
    );
    assert_eq!(shown[0]["topic"], format!("cmd/52/navilink-{mac}/{client}/res"));
    assert_eq!(shown[0]["payload"]["clientID"], format!("navilink-{mac}"));
    assert_eq!(shown[0]["payload"]["requestTopic"], format!("cmd/52/navilink-{mac}/st/did"));
    assert_eq!(shown[1]["topic"], format!("cmd/52/{home}/0/{client}/res/td/rd"));
    let spelled: Vec<&str> = (0..12).step_by(2).map(|at| &mac[at..at + 2]).collect();
    assert_eq!(shown[1]["payload"], format!("no, {} of {home} is SN{serial}!", spelled.join(":")));
    assert_eq!(&shown[2]["payload"]["data"][0]["n"], home);
    assert_eq!(shown[3]["payload"]["note"], format!("{name}, {city} ({latitude}), \"{name}\""));
    assert_eq!(shown[3]["payload"]["inner"], format!("{{\"deviceName\":\"{name}\",\"x\":1}}"));
}

#[test]
fn what_is_measured_stays_as_it_is() {
    let message = json!({
        "response": {"command": 16777219, "deviceType": 52, "status": {"dhwTemperature": 98, "errorCode": 0, "command": 25004}},
        "reservationUse": 2, "reservation": "023e061e0364", "at": "2026-11-26T12:00:00.000Z", "times": "1795694400000",
        "requestTopic": "cmd/52/x/st/energy-usage-monthly-query/rd",
    });
    let shown = pseudonymised(&[(Class::Id, "52"), (Class::Name, "status"), (Class::Name, "Al")], message.clone());
    for member in ["response", "reservationUse", "reservation", "at", "times"] {
        assert_eq!(shown[member], message[member]);
    }
    assert!(shown["requestTopic"].as_str().unwrap().ends_with("/st/energy-usage-monthly-query/rd"));
}

#[test]
fn what_has_the_form_of_something_private_is_replaced_unknown_as_it_is() {
    let message = json!({"a": "from Max.Muster+x@mail.example.org, user%40host, jürgen@müller.example, 04-78-63-32-FC-A1 0478.6332.fca2 04786332fca3",
        "b": "eyJhbGciOiJIUzI.eyJzdWIi.c2ln ASIAQWERTZUIOPASDFGH 0a1b2c3d4e5f60718293a4b5c6d7e8f9 xyz"});
    let shown = pseudonymised(&[], message).to_string().to_lowercase();
    for private in ["muster", "mail", "host", "rgen", "ller", "fc-a1", "fca2", "fca3", "eyj", "asia", "0a1b2c"] {
        assert!(!shown.contains(private), "{private} is in {shown}");
    }
    assert!(shown.contains("from ") && shown.contains(" xyz"), "{shown}");
}

#[test]
fn broken_json_is_searched_by_the_names_of_its_members() {
    let message = json!([
        r#"{"x": NaN, "deviceName": "Jo\"hn", "homeSeq" : 77, "city": "Köl"#,
        r#"\"userId\":\"Ab\",\"n\":1"#,
        "of Jo\"hn"
    ]);
    let shown = pseudonymised(&[], message);
    let text = shown.to_string();
    for private in ["Jo", "hn", "77", "Köl", "Ab"] {
        assert!(!text.contains(private), "{private} is in {text}");
    }
    assert!(text.contains("NaN") && text.contains("homeSeq") && text.contains("\\\"n\\\\\\\":1"), "{text}");
}

#[test]
fn what_was_struck_out_before_says_still_what_it_was() {
    let message =
        json!({"token": {"accessToken": "*** (1045 characters)", "authenticationExpiresIn": 3600}, "userId": "***"});
    assert_eq!(pseudonymised(&[], message.clone()), message);
}

#[test]
fn a_short_word_is_replaced_only_where_it_is_expected() {
    let message = json!({"registerPath": "web", "clientID": "q7z", "topic": "evt/52/navilink-04786332fca0/app-connection",
        "note": "a web page of q7z"});
    let shown = pseudonymised(&[(Class::Id, "app")], message);
    assert!(shown["registerPath"].as_str().unwrap().starts_with("id-"), "{shown}");
    assert!(shown["topic"].as_str().unwrap().ends_with("/app-connection"), "{shown}");
    assert!(shown["note"].as_str().unwrap().starts_with("a web page of id-"), "{shown}");
}

/// The modes of controls (protocol reference, section 4).
const MODES: &str = "power-off power-on dhw-mode dhw-temperature goout-day anti-leg-on anti-leg-off dr-on dr-off \
    intelligent-on intelligent-off tou-on tou-off recirc-mode recirc-hotbtn air-filter-reset air-filter-life \
    cond-fault-reset reservation-mode";

#[test]
fn no_word_of_the_protocol_is_broken_whatever_is_learned() {
    let who = Identity { client: ClientId::new("me"), session: SessionId::from_random([7; 16]) };
    let queries = [
        Query::Status,
        Query::Information,
        Query::Reservations,
        Query::EnergyByDay { year: 2026, months: vec![11] },
        Query::EnergyByMonth { years: vec![2026] },
        Query::Firmware,
        Query::Diagnostics,
        Query::Recirculation,
        Query::EndOfSession,
    ];
    let mut messages: Vec<_> = queries.iter().map(|query| query.message(&heater(), &who)).collect();
    messages.push(presence(&heater(), &who, true));
    for message in messages {
        let payload: Value = serde_json::from_slice(&message.payload).unwrap();
        let suffix = message.topic.rsplit("CA0/").next().unwrap();
        let asked = payload["request"].as_object().into_iter().flat_map(Object::keys);
        let keys = payload.as_object().unwrap().keys().chain(asked).map(String::as_str);
        for whole in keys.chain(suffix.split('/')).chain(MODES.split(' ')).chain(["hot_button_only", "dhwTemperature"])
        {
            let parts = whole.split(|c: char| !c.is_alphanumeric()).chain([whole, whole.get(..6).unwrap_or_default()]);
            for (part, class) in
                parts.flat_map(|part| [Class::Name, Class::Id, Class::Place].map(|class| (part, class)))
            {
                let text = json!(format!("({whole})"));
                assert_eq!(pseudonymised(&[(class, part)], text.clone()), text, "{part}");
            }
        }
    }
}

#[test]
fn our_own_words_are_no_names() {
    let mut own = json!({"state": "connected", "name": "energy-usage", "directory": "/var/lib/navien2mqtt", "mac": "04786332fca0",
        "status: Gartenhaus": 1});
    let mut pseudonyms = Pseudonyms::default();
    pseudonyms.learn(Class::Name, "Gartenhaus");
    pseudonyms.learn(Class::Name, "Navien");
    let mut replacer = pseudonyms.replacer();
    replacer.replace(&mut own);
    assert_eq!((&own["state"], &own["directory"]), (&json!("connected"), &json!("/var/lib/navien2mqtt")));
    assert_eq!((&own["name"], &own["status: name-1"]), (&json!("energy-usage"), &json!(1)));
    assert!(own["mac"].as_str().unwrap().starts_with("0200"));
}

/// A private value with its class and a name of a member that holds such.
fn secret() -> impl Strategy<Value = (Class, &'static str, String)> {
    prop_oneof![
        "[0-9a-f]{12}".prop_map(|mac| (Class::Mac, "macAddress", mac)),
        "([0-9A-F]{2}:){5}[0-9A-F]{2}".prop_map(|mac| (Class::Mac, "macAddress", mac)),
        "[1-8][0-9A-Z]{7,14}Q".prop_map(|serial| (Class::Serial, "controllerSerialNumber", serial)),
        "[1-8][0-9]{5,9}".prop_map(|id| (Class::Id, "homeSeq", id)),
        "[a-z]{6,12}-[0-9a-f]{8}".prop_map(|id| (Class::Id, "clientID", id)),
        "[QXZ][a-zäöüß]{5,9}( [QXZ][a-z]{2,9})?".prop_map(|name| (Class::Name, "deviceName", name)),
        "[QXZ][a-zéñ]{5,9}, [1-9]{2} [QXZ]\\. Str\"?".prop_map(|place| (Class::Place, "address", place)),
        "-?[1-8][0-9]\\.[0-9]{4,6}[1-9]".prop_map(|degrees| (Class::Place, "latitude", degrees)),
        "[QXZ][a-z.]{3,9}[a-z]@[a-z]{3,9}\\.(org|co\\.uk)".prop_map(|email| (Class::Email, "userId", email)),
        "eyJ[A-Za-z0-9_-]{20,40}\\.[A-Za-z0-9_-]{20,40}".prop_map(|token| (Class::Secret, "accessToken", token)),
        "A[KS]IA[0-9A-Z]{16}".prop_map(|key| (Class::Secret, "accessKeyId", key)),
    ]
}

/// Puts a value somewhere: in a member, an array, a topic, a text, a name of a member, or JSON in a text.
fn place(value: &str, between: &str, how: u8) -> Value {
    match how {
        0 => json!({ "unknown": value }),
        1 => json!([value, [value]]),
        2 => json!(format!("cmd/52/{}/x/res/new", value.replace('/', "-"))),
        3 => json!(format!("{between}{value}{between}")),
        4 => json!({ format!("{between}{value}"): 1 }),
        5 => json!({ "inner": json!({ "deep": [format!("{between}{value}")] }).to_string() }),
        6 => json!({ "inner": json!({ "more": json!({ "x": value }).to_string() }).to_string() }),
        7 => json!(format!("{{\"broken\": {}, NaN", json!(value))),
        8 => json!(value.to_uppercase()),
        _ => {
            let number = serde_json::from_str::<Value>(value).ok().filter(Value::is_number);
            number.map_or_else(|| json!(value.to_lowercase()), |number| json!({ "number": number }))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn no_private_value_survives_wherever_it_stands(
        secrets in prop::collection::vec((secret(), 0u8..3, prop::collection::vec((0u8..10, "[ /:=,(g-z]{0,3}"), 1..5)), 1..6),
    ) {
        let mut messages = Vec::new();
        for ((class, key, value), named_in, places) in &secrets {
            // Somewhere it stands under its name: in a message, in a text of JSON, or in one of broken JSON.
            let named = json!({ *key: value });
            messages.push(match named_in {
                0 => json!({ "response": named }),
                1 => json!(named.to_string()),
                _ => json!(format!("{named},")),
            });
            let free = !matches!(class, Class::Id | Class::Place) || value.chars().any(char::is_alphabetic);
            for (how, between) in places {
                let between = if free { between.as_str() } else { " " };
                messages.push(place(value, between, *how));
            }
        }
        let shown = pseudonymised(&[], messages.into()).to_string();
        for ((_, _, value), ..) in &secrets {
            let escaped = Value::from(value.as_str()).to_string();
            for spelling in [value.as_str(), escaped.trim_matches('"'), &value.replace(':', "")] {
                prop_assert!(!shown.to_lowercase().contains(&spelling.to_lowercase()), "{} is in {}", spelling, shown);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_texts_without_secrets_are_kept(text in "\\PC{0,200}", word in "[ a-z]{0,60}") {
        let _ = pseudonymised(&[(Class::Name, &text)], json!([text, { &text: text }]));
        prop_assert_eq!(pseudonymised(&[], json!(word)), json!(word));
    }
}
