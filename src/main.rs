//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    navien2mqtt::cli::main().into()
}
