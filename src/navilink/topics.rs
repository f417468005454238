//! The topics of the cloud's broker (protocol reference, section 3).

use std::collections::BTreeSet;

use super::devices::Device;
use super::session::ClientId;
use crate::model::Mac;

/// Returns where a request or control for `heater` goes.
pub fn request(heater: &Device, suffix: &str) -> String {
    format!("{}/{suffix}", device(heater))
}

/// Returns the filter for everything that `heater` says; it also matches the requests of every client.
pub fn everything_of(heater: &Device) -> String {
    format!("{}/#", device(heater))
}

/// Returns the default answer topic: status, device information and controls.
pub fn default_answer(heater: &Device, client: &ClientId) -> String {
    format!("{}/{client}/res", device(heater))
}

/// Returns the answer topic that names the client but not the heater.
pub fn client_answer(heater: &Device, client: &ClientId, suffix: &str) -> String {
    format!("cmd/{}/{client}/res/{suffix}", heater.device_type)
}

/// Returns the answer topic in the five-segment form, which also names the home.
pub fn home_answer(heater: &Device, client: &ClientId, suffix: &str) -> String {
    format!("cmd/{}/{}/0/{client}/res/{suffix}", heater.device_type, heater.home_seq)
}

/// Returns the answer topic that names the heater but not the client.
pub fn device_answer(heater: &Device, suffix: &str) -> String {
    format!("{}/res/{suffix}", device(heater))
}

/// Returns where a refused control is reported.
pub fn control_refused(heater: &Device) -> String {
    device_answer(heater, CONTROL_REFUSED)
}

/// Returns where a client says that it is there, or gone.
pub fn presence(heater: &Device) -> String {
    format!("evt/{}/navilink-{}/{PRESENCE}", heater.device_type, heater.mac.as_cloud())
}

/// Returns all subscriptions for `heaters`, without duplicates, in the order of the heaters.
pub fn filters(heaters: &[Device], client: &ClientId) -> Vec<String> {
    let mut filters = Vec::new();
    for heater in heaters {
        for filter in filters_of(heater, client) {
            if !filters.contains(&filter) {
                filters.push(filter);
            }
        }
    }
    filters
}

fn filters_of(heater: &Device, client: &ClientId) -> [String; 3] {
    [everything_of(heater), client_answer(heater, client, "#"), home_answer(heater, client, "#")]
}

/// Adds the subscriptions for `heater`, unless they would be more than a connection holds; returns whether it did.
pub fn add_filters(filters: &mut BTreeSet<String>, heater: &Device, client: &ClientId) -> bool {
    let of_heater = filters_of(heater, client);
    let fits = filters.len() + of_heater.iter().filter(|filter| !filters.contains(*filter)).count() <= MOST_FILTERS;
    if fits {
        filters.extend(of_heater);
    }
    fits
}

/// How many subscriptions a connection may hold (protocol reference, section 2).
pub const MOST_FILTERS: usize = 50;

/// Returns how many of `heaters`, from the first on, one connection can serve.
pub fn served(heaters: &[Device], client: &ClientId) -> usize {
    (1..=heaters.len()).take_while(|count| filters(&heaters[..*count], client).len() <= MOST_FILTERS).count()
}

/// The last part of the topic of refused controls, after `res/`.
pub(super) const CONTROL_REFUSED: &str = "ctrl-fail";

/// The last part of the topic on which firmware is said to be committed, after `res/`.
pub(super) const FIRMWARE_COMMITTED: &str = "commit-ota";

/// The last part of the topic of presence.
pub(super) const PRESENCE: &str = "app-connection";

/// Returns the heater that a topic names, if it names one.
pub fn heater_of(topic: &str) -> Option<Mac> {
    topic.split('/').find_map(|part| part.strip_prefix("navilink-"))?.parse().ok()
}

/// Returns what follows `res/` in an answer topic; empty for the default answer topic, `None` for other topics.
pub fn answer_suffix(topic: &str) -> Option<&str> {
    if topic.ends_with("/res") {
        return Some("");
    }
    topic.split_once("/res/").map(|(_, suffix)| suffix)
}

fn device(heater: &Device) -> String {
    format!("cmd/{}/navilink-{}", heater.device_type, heater.mac.as_cloud())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn heater() -> Device {
        Device {
            mac: "04786332FCA0".parse().expect("a MAC address"),
            device_type: 52,
            additional_value: "5322".into(),
            home_seq: 25004,
            name: "Garage".into(),
            online: Some(true),
            record: Default::default(),
        }
    }

    #[test]
    fn the_topics_are_those_of_the_protocol_reference() {
        let (heater, client) = (heater(), ClientId::new("me"));
        assert_eq!(request(&heater, "st/did"), "cmd/52/navilink-04786332FCA0/st/did");
        assert_eq!(everything_of(&heater), "cmd/52/navilink-04786332FCA0/#");
        assert_eq!(default_answer(&heater, &client), "cmd/52/navilink-04786332FCA0/me/res");
        assert_eq!(client_answer(&heater, &client, "rsv/rd"), "cmd/52/me/res/rsv/rd");
        assert_eq!(home_answer(&heater, &client, "td/rd"), "cmd/52/25004/0/me/res/td/rd");
        assert_eq!(device_answer(&heater, "dl-sw-info"), "cmd/52/navilink-04786332FCA0/res/dl-sw-info");
        assert_eq!(control_refused(&heater), "cmd/52/navilink-04786332FCA0/res/ctrl-fail");
        assert_eq!(presence(&heater), "evt/52/navilink-04786332FCA0/app-connection");
    }

    #[test]
    fn two_heaters_of_one_home_share_the_filters_that_do_not_name_them() {
        let mut second = heater();
        second.mac = "04786332fca1".parse().unwrap();
        let expected = [
            "cmd/52/navilink-04786332FCA0/#",
            "cmd/52/me/res/#",
            "cmd/52/25004/0/me/res/#",
            "cmd/52/navilink-04786332fca1/#",
        ];
        assert_eq!(filters(&[heater(), second], &ClientId::new("me")), expected);
    }

    #[test]
    fn as_many_heaters_are_served_as_a_connection_holds_subscriptions_for() {
        let of_homes = |homes: u64| -> Vec<Device> {
            let numbered =
                |n: u64| Device { mac: format!("04786332{n:04x}").parse().unwrap(), home_seq: n % homes, ..heater() };
            (0..60).map(numbered).collect()
        };
        let client = ClientId::new("me");
        let one_home = of_homes(1);
        assert_eq!(served(&one_home, &client), 48);
        assert_eq!(filters(&one_home[..48], &client).len(), MOST_FILTERS);
        assert_eq!(served(&of_homes(60), &client), 24, "each home has a filter of its own");
        assert_eq!((served(&one_home[..7], &client), served(&[], &client)), (7, 0));
    }

    #[test]
    fn a_topic_tells_its_heater_and_what_is_answered() {
        assert_eq!(heater_of("cmd/52/navilink-04786332FCA0/me/res"), "04786332fca0".parse().ok());
        assert_eq!(heater_of("cmd/52/me/res/rsv/rd"), None);
        assert_eq!(answer_suffix("cmd/52/navilink-04786332FCA0/me/res"), Some(""));
        assert_eq!(answer_suffix("cmd/52/25004/0/me/res/td/rd"), Some("td/rd"));
        assert_eq!(answer_suffix("cmd/52/navilink-04786332FCA0/st/did"), None);
    }
}
