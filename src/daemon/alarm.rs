//! Which events somebody wants to be woken for.

use crate::supervisor::{Event, seconds};

/// Notices failures worth an alert, and the success after them.
#[derive(Debug, Default)]
pub struct Alarm {
    failing: bool,
}

impl Alarm {
    /// Returns the words of an alert when the event is worth one: reconnecting or recovery failed, or the first success
    /// after that.
    pub fn hear(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::ReconnectionFailed { attempts } => {
                self.failing = true;
                Some(format!(
                    "The connection to the cloud is lost, and reconnecting has failed (attempts: {attempts})."
                ))
            }
            Event::Failed(reason) => {
                self.failing = true;
                Some(format!("The connection to the cloud is given up: {reason}."))
            }
            Event::Recovered { attempts } if std::mem::take(&mut self.failing) => {
                Some(format!("The connection to the cloud is back (attempts to recover: {attempts})."))
            }
            Event::Connected { outage } if std::mem::take(&mut self.failing) => Some(match outage {
                Some(outage) => format!("The connection to the cloud is back after {}.", seconds(*outage)),
                None => "The connection to the cloud is back.".to_owned(),
            }),
            _ => None,
        }
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
}
