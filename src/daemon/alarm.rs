//! Which events somebody wants to be woken for.

use serde::{Deserialize, Serialize};

use crate::supervisor::{Event, seconds};

/// Notices failures worth an alert, and the success after them: in an outage, each line of attempts that fails is told
/// once, over restarts of the process too.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// That reconnecting failed was told.
    reconnecting: bool,
    /// That the connection was given up was told.
    given_up: bool,
}

impl Alarm {
    /// Returns whether the event was told in this outage, perhaps by an earlier run of the process.
    pub fn knows(self, event: &Event) -> bool {
        match event {
            Event::ReconnectionFailed { .. } => self.reconnecting,
            Event::Failed(_) => self.given_up,
            _ => false,
        }
    }

    /// Returns the words of an alert when the event is worth one: reconnecting or recovery failed for the first time in
    /// this outage, or the first success after that.
    pub fn hear(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::ReconnectionFailed { attempts } if !std::mem::replace(&mut self.reconnecting, true) => Some(
                format!("The connection to the cloud is lost, and reconnecting has failed (attempts: {attempts})."),
            ),
            Event::Failed(reason) if !std::mem::replace(&mut self.given_up, true) => {
                Some(format!("The connection to the cloud is given up: {reason}."))
            }
            Event::Recovered { attempts } if self.is_over() => {
                Some(format!("The connection to the cloud is back (attempts to recover: {attempts})."))
            }
            Event::Connected { outage } if self.is_over() => Some(match outage {
                Some(outage) => format!("The connection to the cloud is back after {}.", seconds(*outage)),
                None => "The connection to the cloud is back.".to_owned(),
            }),
            _ => None,
        }
    }

    /// Returns whether something was told that is over now.
    fn is_over(&mut self) -> bool {
        std::mem::take(self) != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::Reason;

    #[test]
    fn one_failure_and_one_success_make_one_alert_each() {
        let mut alarm = Alarm::default();
        let outage = Some(Duration::from_secs(700));
        assert_eq!(alarm.hear(&Event::Connected { outage: None }), None, "nothing had failed");
        assert_eq!(alarm.hear(&Event::ConnectionInterrupted(Reason::new("dns", ""))), None);
        assert!(alarm.hear(&Event::ReconnectionFailed { attempts: 10 }).unwrap().contains("attempts: 10"));
        assert!(alarm.hear(&Event::Recovered { attempts: 3 }).unwrap().contains("recover: 3"));
        assert_eq!(alarm.hear(&Event::Connected { outage }), None, "it was said already");
        assert!(alarm.hear(&Event::Failed(Reason::new("http-500", "the cloud answered 500"))).is_some());
        assert_eq!(
            alarm.hear(&Event::Connected { outage }).unwrap(),
            "The connection to the cloud is back after 700 s."
        );
    }

    #[test]
    fn a_day_offline_is_told_once_a_line_however_often_the_process_ends() {
        let mut alarm = Alarm::default();
        let mut alerts = 0;
        for _ in 0..28 {
            for event in [Event::ReconnectionFailed { attempts: 10 }, Event::Failed(Reason::new("dns", ""))] {
                alerts += usize::from(alarm.hear(&event).is_some());
                assert!(alarm.knows(&event));
            }
            alarm = serde_json::from_str(&serde_json::to_string(&alarm).unwrap()).unwrap();
        }
        assert_eq!(alerts, 2);
        assert!(alarm.hear(&Event::Connected { outage: Some(Duration::from_secs(86_400)) }).is_some());
        assert!(alarm.hear(&Event::Connected { outage: None }).is_none());
    }
}
