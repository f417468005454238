//! The built program, run with nothing of the machine's own configuration in its environment.
#![allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Nothing that a test runs takes nearly as long.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program that has ended left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A program that runs; it ends with the value.
pub struct Running(pub Child);

/// Prepares the program with these arguments.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = clean(env!("CARGO_BIN_EXE_navien2mqtt"));
    command.args(arguments);
    command
}

/// Prepares any program, with nothing of the machine's own configuration in its environment.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours =
            ["NAVIEN", "BROKER_", "CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "NOTIFY_", "WATCHDOG_", "JOURNAL_"];
        if ours.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a prepared program to its end.
pub fn run(command: &mut Command) -> Outcome {
    run_with_input(command, b"")
}

/// Runs a prepared program to its end, with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Outcome {
    let mut running = start(command);
    // One that ends without reading its input breaks the pipe, which is no mistake.
    let _ = running.0.stdin.take().unwrap().write_all(input);
    let out = collect(running.0.stdout.take().unwrap());
    let err = collect(running.0.stderr.take().unwrap());
    let code = running.end();
    Outcome { code, out: out.join().unwrap(), err: err.join().unwrap() }
}

/// Runs a prepared program to its end, with `input` on its standard input and `output` as its standard output.
pub fn run_to_file(command: &mut Command, input: &[u8], output: impl Into<Stdio>) -> Outcome {
    let mut child = command.stdin(Stdio::piped()).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input);
    let err = collect(child.stderr.take().unwrap());
    let code = Running(child).end();
    Outcome { code, out: String::new(), err: err.join().unwrap() }
}

/// Starts a prepared program.
pub fn start(command: &mut Command) -> Running {
    Running(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

impl Running {
    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.0.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end and returns the exit code.
    pub fn end(&mut self) -> Option<i32> {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < limit, "the program does not end within {LIMIT:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    })
}
