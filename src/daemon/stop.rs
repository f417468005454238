//! The order in which everything ends.

use std::time::Duration;

use super::Daemon;
use crate::io::mqtt::LinkEvent;
use crate::io::{clock, notify};
use crate::model::Message;
use crate::supervisor::Input;

/// Both farewells together; the process is gone within five seconds.
const LIMIT: Duration = Duration::from_secs(4);

/// A process that gives up by itself waits so long for its last alert; systemd kills it after ten seconds.
const ALERT_LIMIT: Duration = Duration::from_secs(8);

impl Daemon {
    /// Takes leave of the cloud and of the local broker, each as far as it is there. Tokens are kept at every change,
    /// so nothing is left to be saved but what is known of the heaters.
    pub(super) async fn stop(&mut self) {
        if self.administration.restarting {
            notify::reloading();
        } else {
            notify::stopping();
        }
        self.tell(Input::Stop, clock::now());
        self.carry_out();
        let (cloud, local) = (self.supervisor.generation().0, self.redial.generation().0);
        if self.cloud_is_up {
            for message in self.bridge.leave_cloud() {
                let publication = Message { topic: message.topic, payload: message.payload, retained: false };
                self.cloud.publish(cloud, publication);
            }
        }
        for message in self.bridge.farewell(self.moment()) {
            self.local.publish(local, message);
        }
        let (cloud_was_up, local_was_up) = (self.cloud_is_up, self.redial.is_up());
        self.cloud.close(cloud);
        self.local.close(local);
        self.keep();
        let down = async {
            if cloud_was_up {
                while !matches!(self.cloud_events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
            }
            if local_was_up {
                while !matches!(self.local_events.recv().await, Some(LinkEvent::Down { .. }) | None) {}
            }
            if let Some(writing) = self.writing.take() {
                let _ = writing.await;
            }
        };
        let alerted = self.alerter.take();
        let limit = if self.ending.is_some() { ALERT_LIMIT } else { LIMIT };
        let alerted = async {
            if let Some(alerter) = alerted {
                alerter.finish(limit).await;
            }
        };
        let _ = tokio::join!(clock::within(LIMIT, down), alerted);
    }
}
