//! placeholder
use crate::config::LogLevel;
use crate::exit::Exit;
use std::time::Duration;
pub fn demo(_: LogLevel, _: Option<Duration>) -> Exit {
    Exit::Internal
}
