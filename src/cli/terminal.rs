//! Whoever sits at the terminal: questions, and what is shown meanwhile.

use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::io::clock;

/// What takes longer shows that it is under way.
const PATIENCE: Duration = Duration::from_secs(1);
const CLEAR_LINE: &str = "\r\x1b[K";
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: [u8; 2] = [0x08, 0x7f];
const CLEAR: u8 = 0x15;

/// Returns whether there is somebody who can be asked.
pub fn answers() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Returns whether standard output shows colours.
pub fn shows_colours() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    io::stdout().is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Asks for a line; an empty one is `default`.
///
/// # Errors
///
/// When there is none.
pub fn ask(question: impl Display, default: Option<&str>) -> io::Result<String> {
    let shown = default.map(|default| format!(" [{default}]")).unwrap_or_default();
    prompt(format_args!("{question}{shown}: "));
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        prompt("\n");
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = line.trim();
    Ok(if line.is_empty() { default.unwrap_or_default().to_owned() } else { line.to_owned() })
}

/// Asks for yes or no.
///
/// # Errors
///
/// When there is no answer.
pub fn confirm(question: impl Display, default: bool) -> io::Result<bool> {
    loop {
        match ask(format_args!("{question} [{}]", if default { "Y/n" } else { "y/N" }), None)?.to_lowercase().as_str() {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => {}
        }
    }
}

/// Asks for a line that is not shown while it is typed; of standard input that is no terminal, the next line is read.
///
/// # Errors
///
/// When there is none, or it is interrupted; the terminal is then as it was.
pub fn ask_secret(question: impl Display) -> io::Result<SecretString> {
    let silence = Silence::begin()?;
    prompt(format_args!("{question} (not shown): "));
    let line = read_secret(io::stdin().lock());
    drop(silence);
    prompt("\n");
    line
}

/// Reads a line of which nothing is kept anywhere else, with the editing that a silent terminal leaves to us.
pub fn read_secret(mut input: impl Read) -> io::Result<SecretString> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        let read = input.read(&mut byte)?;
        match byte[0] {
            _ if read == 0 && line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if read == 0 => break,
            b'\n' | b'\r' => break,
            INTERRUPT => return Err(io::ErrorKind::Interrupted.into()),
            END if line.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
            CLEAR => line.clear(),
            // A character of several bytes goes as a whole.
            key if BACKSPACE.contains(&key) => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            key => line.push(key),
        }
    }
    let line = String::from_utf8(line).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(line.into())
}

/// A terminal that shows nothing of what is typed and interrupts nothing; it is as it was when this is dropped.
///
/// Not `rpassword` (7.5): it raises SIGINT at Ctrl-C, which ends the process before the terminal shows again what is typed.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdin(), OptionalActions::Now, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nothing else to be done about a terminal that has gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Does some work, and says so on a terminal while it takes long.
pub async fn meanwhile<T>(what: impl Display, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    if !io::stderr().is_terminal() {
        return work.await;
    }
    tokio::select! {
        done = &mut work => return done,
        () = clock::sleep(PATIENCE) => {}
    }
    prompt(format_args!("{what} …"));
    let done = work.await;
    prompt(CLEAR_LINE);
    done
}

fn prompt(text: impl Display) {
    let mut terminal = io::stderr();
    let _ = write!(terminal, "{text}").and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_secret_is_edited_as_it_is_typed() {
        let read = |typed: &[u8]| read_secret(typed).map(|line| line.expose_secret().to_owned());
        assert_eq!(read(b"hush\nmore").unwrap(), "hush");
        assert_eq!(read(b"hush").unwrap(), "hush");
        assert_eq!(read("hüü\x7f\x08ush\r".as_bytes()).unwrap(), "hush");
        assert_eq!(read(b"wrong\x15 hush \n").unwrap(), " hush ");
        assert_eq!(read(b"\x7f\n").unwrap(), "");
        assert_eq!(read(b"hu\x03sh\n").unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert_eq!(read(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(b"\x04").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
