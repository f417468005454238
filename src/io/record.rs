//! The recorder of raw messages, shared by the REST client, the daemon's loop and whoever shows them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::recording::recorder::Recorder;

/// A handle of one recorder.
#[derive(Debug, Clone, Default)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// Calls `work` with the recorder, which nobody else uses meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut Recorder) -> T) -> T {
        // A panic of another thread leaves at most one message half-recorded.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
