//! The order in which everything ends.

use std::time::Duration;

use super::Daemon;
use crate::io::{clock, notify};
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
        self.keep();
        let (to_cloud, to_local) = (self.bridge.leave_cloud(), self.bridge.farewell(self.moment()));
        let generation = self.supervisor.generation();
        let writing = self.writing.take();
        let down = async {
            tokio::join!(self.cloud.disconnect(generation, to_cloud), self.local.disconnect(to_local));
            if let Some(writing) = writing {
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
