//! Why the daemon cannot start, and the signals that stop it.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::exit::Exit;
use crate::io::mqtt::LinkError;
use crate::io::rest::RestError;
use crate::io::{task, tls};

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// TLS, which the configuration's files decide.
    #[error(transparent)]
    Tls(#[from] tls::TlsSetupError),
    /// The REST client.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The MQTT engine.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The operating system.
    #[error("{0}")]
    System(#[from] std::io::Error),
}

impl StartError {
    /// Returns the exit code.
    pub fn exit(&self) -> Exit {
        match self {
            StartError::Tls(_) => Exit::Configuration,
            _ => Exit::Internal,
        }
    }
}

/// Returns a receiver of SIGTERM and SIGINT.
///
/// # Errors
///
/// When the system refuses.
pub fn signals() -> std::io::Result<mpsc::Receiver<&'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(2);
    task::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
