//! placeholder
use std::time::Duration;
use crate::config::LogLevel;
use crate::exit::Exit;
pub fn demo(_: LogLevel, _: Option<Duration>) -> Exit { Exit::Internal }
