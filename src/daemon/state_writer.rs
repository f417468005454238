//! Writes of the loop to the state directory.

use tokio::task::JoinHandle;

use super::outage::KeptOutage;
use crate::home::Memories;
use crate::io::state::StateDirectory;
use crate::io::task;
use crate::navilink::devices::Device;
use crate::outputs::home_assistant::Discovery;
use crate::outputs::web::Kept;

/// Writes one thing after the other in a task of its own, so that the newest is what stays.
pub struct StateWriter {
    state: StateDirectory,
    /// Where discovery is published, as it was kept last.
    discovery: Option<Discovery>,
    /// The newest write.
    last: Option<JoinHandle<()>>,
}

impl StateWriter {
    /// Prepares to write to a directory that has this `discovery`.
    pub fn new(state: StateDirectory, discovery: Option<Discovery>) -> Self {
        Self { state, discovery, last: None }
    }

    /// Keeps what is known of the heaters.
    pub fn keep_heaters(&mut self, heaters: Vec<Device>, memories: Memories) {
        let state = self.state.clone();
        self.write(async move {
            state.keep_heaters(&heaters).await;
            state.keep_memories(memories).await;
        });
    }

    /// Keeps the outage.
    pub fn keep_outage(&mut self, outage: KeptOutage) {
        let state = self.state.clone();
        self.write(async move { state.keep_outage(outage).await });
    }

    /// Keeps what is known of the time until now.
    pub fn keep_history(&mut self, history: Kept) {
        let state = self.state.clone();
        self.write(async move { state.keep_history(history).await });
    }

    /// Keeps where discovery is published, unless it was so before.
    pub fn keep_discovery(&mut self, discovery: Discovery) {
        if self.discovery.as_ref() != Some(&discovery) {
            self.discovery = Some(discovery.clone());
            let state = self.state.clone();
            self.write(async move { state.keep_discovery(discovery).await });
        }
    }

    /// Returns whether the last write failed.
    pub fn is_failing(&self) -> bool {
        self.state.is_failing()
    }

    /// Waits until everything is written.
    pub async fn finish(&mut self) {
        if let Some(last) = self.last.take() {
            let _ = last.await;
        }
    }

    fn write(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let earlier = self.last.take();
        self.last = Some(task::spawn(async move {
            if let Some(earlier) = earlier {
                let _ = earlier.await;
            }
            work.await;
        }));
    }
}
