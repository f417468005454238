//! The only place that starts tasks.

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts `work` on the runtime.
#[allow(clippy::disallowed_methods)]
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}
