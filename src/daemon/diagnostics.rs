//! The answer to `diagnostics`: everything that helps to find a fault, fit to be shown to anybody.

use std::time::SystemTime;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::administration::log_level;
use super::cloud_link::CloudLinks;
use super::local_link::LocalLink;
use super::report;
use super::trace::TracedSupervisors;
use crate::bridge::Bridge;
use crate::config::Config;
use crate::io::rest::Account;
use crate::model::Moment;
use crate::recording::pseudonyms::{Class, Pseudonyms};

/// The answer is not longer, in bytes, as far as it lies in the raw messages.
const MAX_DIAGNOSTICS: usize = 128 << 10;

/// Where the answer comes from.
pub struct Diagnostics<'d> {
    /// The time.
    pub moment: Moment,
    /// When the daemon started.
    pub started_at: SystemTime,
    /// The configuration.
    pub config: &'d Config,
    /// The supervisors with their last steps.
    pub supervisors: &'d TracedSupervisors,
    /// The bridge.
    pub bridge: &'d Bridge,
    /// The links to the cloud.
    pub cloud: &'d CloudLinks,
    /// The link to the local broker.
    pub local: &'d LocalLink,
    /// The account, which records what the cloud said.
    pub account: &'d Account,
}

impl Diagnostics<'_> {
    /// Returns the answer.
    pub fn collect(&self) -> Value {
        let moment = self.moment;
        let seen = self.bridge.diagnostics(moment);
        let due = self.supervisors.poll_timeout(moment.now);
        let steps = self.supervisors.steps();
        let mut diagnostics = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "at": report::rfc3339(moment.wall),
            "started_at": report::rfc3339(self.started_at),
            "log_level": log_level(),
            "configuration": self.config.dump(),
            "connection": report::connection(&self.supervisors.view(), self.supervisors.count(), moment),
            "waits_for": { "why": format!("{:?}", due.why), "seconds": due.at.saturating_duration_since(moment.now).as_secs() },
            "links": self.links(),
            "heaters": seen["heaters"],
            "counters": {
                "supervisor": steps.counts(),
                "messages": seen["messages"],
                "complaints": seen["complaints"],
                "unreadable_local_messages": self.local.unreadable(),
            },
            "steps": steps.show(),
        });
        for private in ["/configuration/account/email", "/configuration/broker/username"] {
            if let Some(value) = diagnostics.pointer_mut(private).filter(|value| !value.is_null()) {
                *value = "***".into();
            }
        }
        let mut private = self.private_values();
        let mut raw = self.account.recorder().with(|recorder| {
            recorder.private().for_each(|(class, value)| private.learn(class, value));
            recorder.show()
        });
        private.learn_message(&raw);
        let mut replacer = private.replacer();
        replacer.replace(&mut diagnostics);
        replacer.replace_message(&mut raw);
        diagnostics["raw_messages"] = raw;
        within_limit(diagnostics)
    }

    fn links(&self) -> Value {
        let mut cloud = self.cloud.iter().map(|(link, cloud)| cloud.describe(self.supervisors.generation(link)));
        let first = cloud.next();
        let mut links = json!({ "cloud": first, "local": self.local.describe(self.moment.now) });
        let others: Vec<Value> = cloud.collect();
        if !others.is_empty() {
            links["other_cloud_sessions"] = others.into();
        }
        links
    }

    /// Returns what is nobody's business, of the configuration and of the account.
    fn private_values(&self) -> Pseudonyms {
        let mut private = Pseudonyms::default();
        private.learn(Class::Email, &self.config.account.email);
        private.learn(Class::Secret, self.config.account.password.expose_secret());
        // They name this client and its session.
        for (link, _) in self.cloud.iter() {
            let will = self.bridge.cloud_will(link).and_then(|will| serde_json::from_slice(&will.payload).ok());
            will.iter().for_each(|will| private.learn_message(will));
        }
        for device in &self.config.devices {
            private.learn(Class::Mac, device.mac.as_str());
            private.learn(Class::Name, device.name.as_deref().unwrap_or_default());
        }
        for heater in self.bridge.heaters() {
            private.learn(Class::Mac, heater.mac.as_str());
            private.learn(Class::Name, &heater.name);
            private.learn(Class::Id, &heater.home_seq.to_string());
        }
        private
    }
}

/// Leaves out raw messages, the older ones first, until the answer is of a size that every broker takes.
fn within_limit(mut diagnostics: Value) -> Value {
    while diagnostics.to_string().len() > MAX_DIAGNOSTICS {
        let raw = diagnostics["raw_messages"].as_array_mut();
        if raw.and_then(Vec::pop).is_none() {
            break;
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_of_a_size_that_a_broker_takes() {
        let raw: Vec<Value> = (0..100).map(|n| json!({ "n": n, "payload": "x".repeat(5000) })).collect();
        let answer = within_limit(json!({ "version": "1", "raw_messages": raw }));
        assert!((MAX_DIAGNOSTICS - 10_000..=MAX_DIAGNOSTICS).contains(&answer.to_string().len()));
        assert_eq!((&answer["raw_messages"][0]["n"], &answer["version"]), (&json!(0), &json!("1")));
        let rest = json!({ "steps": "x".repeat(MAX_DIAGNOSTICS), "raw_messages": [] });
        assert_eq!(within_limit(rest.clone()), rest);
    }
}
