//! The exit codes of every command.

use std::process::ExitCode;

/// Why the process ends, with the numbers of `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Asked to stop, or done.
    Success = 0,
    /// The command line is wrong.
    Usage = 64,
    /// The input data is bad.
    BadData = 65,
    /// The cloud is unavailable and recovery is exhausted; for `health`: the daemon is not healthy, or not there.
    CloudUnavailable = 69,
    /// A mistake of ours, or the output of a command could not be written.
    Internal = 70,
    /// There is trouble with the local broker, say `status --broker`, `setup` and `doctor`.
    LocalBroker = 75,
    /// The cloud rejected the credentials.
    CredentialsRejected = 77,
    /// The configuration is wrong.
    Configuration = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
