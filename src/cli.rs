//! The commands.
use crate::exit::Exit;

/// Reads the arguments and runs the command that they name.
pub fn main() -> Exit {
    Exit::Success
}
