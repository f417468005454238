//! `setup`: asks for the account and the broker, tries both, and writes configuration and credentials.

mod broker;
mod draft;
mod unit;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::draft::{Draft, Layout};
use super::one_shot::print_devices;
use super::terminal::{self, meanwhile};
use super::{on_runtime, print_error, read_for_one_shot, say};
use crate::config::Config;
use crate::daemon::one_shot::{OneShotClient, OneShotError, exit};
use crate::exit::Exit;
use crate::io::clock;
use crate::io::rest::SignInError;
use crate::io::sign_ins::TooSoon;
use crate::navilink::devices::DeviceList;

/// So long is waited until the budget allows a sign-in: as long as it takes after another one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often email and password are asked for.
const TRIES: u32 = 3;

/// What is not asked for, and how much is asked at all. Without a terminal nothing is.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The email address of the NaviLink account
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The file that holds the account's password in its first line; - is the next line of standard input
    #[arg(long, value_name = "PATH")]
    password_file: Option<PathBuf>,
    /// The local broker: mqtt://host:port, or with TLS mqtts://host:port
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// The user name at the broker
    #[arg(long, value_name = "NAME")]
    broker_username: Option<String>,
    /// The file that holds the broker's password in its first line; - is the next line of standard input
    #[arg(long, value_name = "PATH")]
    broker_password_file: Option<PathBuf>,
    /// Roots that are trusted at the broker besides the system's, in PEM
    #[arg(long, value_name = "PATH")]
    broker_ca_file: Option<PathBuf>,
    /// Write everything into this folder, for a program that is run without the unit
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    directory: Option<PathBuf>,
    /// Go on without the broker if it cannot be reached, and enable the unit, without asking
    #[arg(long, short)]
    yes: bool,
    /// Change the configuration and replace the passwords that are there, without asking
    #[arg(long)]
    force: bool,
    /// Leave the unit alone
    #[arg(long)]
    no_enable: bool,
}

/// Why nothing was set up.
#[derive(Debug)]
struct Stopped {
    exit: Exit,
    why: String,
}

impl Stopped {
    fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self { exit, why: why.into() }
    }
}

impl From<io::Error> for Stopped {
    /// Nobody answers, or has typed Ctrl-C.
    fn from(_: io::Error) -> Self {
        Self::new(Exit::Usage, "setup was broken off; nothing was changed")
    }
}

/// Sets up the service that belongs to `path`, or what is run by hand with it.
pub fn setup(args: &SetupArgs, path: PathBuf) -> Exit {
    let path = args.directory.as_ref().map_or(path, |folder| folder.join("navien2mqtt.toml"));
    on_runtime(async {
        match run(args, &path).await {
            Ok(()) => Exit::Success,
            Err(Stopped { exit, why }) => {
                print_error(why);
                exit
            }
        }
    })
}

async fn run(args: &SetupArgs, path: &Path) -> Result<(), Stopped> {
    let asks = terminal::answers();
    let mut draft = Draft::read(Layout::of(path)?)?;
    account(&mut draft, args, asks)?;
    broker::take_flags(&mut draft, args)?;
    if !asks {
        // Before anything is tried: there is nobody to ask afterwards.
        draft.is_allowed(args.force, asks)?;
    }
    sign_in(&mut draft, asks).await?;
    broker::choose(&mut draft, args, asks).await?;
    draft.is_allowed(args.force, asks)?;
    draft.write()?;
    // What the unit could not read, for one.
    let written = read_for_one_shot(&draft.layout.config);
    written.as_ref().map_or_else(|problems| problems, |config| &config.warnings).iter().for_each(print_error);
    unit::enable(&draft.layout, args, asks)?;
    unit::say_what_next(&draft.layout, &draft.config()?);
    Ok(())
}

/// Takes email and password from the arguments, from what is there, or from whoever answers.
fn account(draft: &mut Draft, args: &SetupArgs, asks: bool) -> Result<(), Stopped> {
    let known = args.email.clone().or_else(|| draft.email());
    match (known, asks) {
        (Some(email), _) if args.email.is_some() || !asks => draft.set("account", "email", &email),
        (known, true) => ask_for_email(draft, known.as_deref())?,
        (_, false) => return Err(Stopped::new(Exit::Usage, "without a terminal to ask at, --email is needed")),
    }
    draft.password = args.password_file.as_deref().map(read_password).transpose()?;
    if draft.password.is_none() && asks {
        draft.password = Some(ask_for_password("Its password", draft.has_password())?).filter(is_given);
    }
    if draft.password.is_none() && !draft.has_password() {
        return Err(Stopped::new(Exit::Usage, "without a terminal to ask at, --password-file is needed"));
    }
    draft.config().map(drop)
}

fn ask_for_email(draft: &mut Draft, known: Option<&str>) -> Result<(), Stopped> {
    loop {
        let email = terminal::ask("The email address of the NaviLink account", known)?;
        draft.set("account", "email", &email);
        match draft.problem("account.email") {
            Some(problem) => print_error(problem),
            None => return Ok(()),
        }
    }
}

/// Asks until there is an answer; an empty one will do where there is a password already.
fn ask_for_password(whose: &str, known: bool) -> Result<SecretString, Stopped> {
    let hint = if known { ", or Enter for the one that is there" } else { "" };
    loop {
        let password = terminal::ask_secret(format_args!("{whose}{hint}"))?;
        if known || is_given(&password) {
            return Ok(password);
        }
    }
}

fn is_given(password: &SecretString) -> bool {
    !password.expose_secret().is_empty()
}

/// Reads the first line of a file, or the next one of standard input.
fn read_password(path: &Path) -> Result<SecretString, Stopped> {
    let read = match path.to_str() {
        Some("-") => terminal::read_secret(io::stdin().lock()),
        _ => std::fs::File::open(path).and_then(terminal::read_secret),
    };
    let shown = path.display();
    let password = read.map_err(|error| Stopped::new(Exit::Usage, format!("no password in {shown}: {error}")))?;
    if !is_given(&password) {
        return Err(Stopped::new(Exit::Usage, format!("no password in {shown}: its first line is empty")));
    }
    Ok(password)
}

/// Signs in and lists the heaters; asks again for what the cloud rejects.
async fn sign_in(draft: &mut Draft, asks: bool) -> Result<(), Stopped> {
    for again in 1.. {
        match try_account(&draft.config()?).await {
            Ok(list) => {
                print_devices(&list, &draft.config()?.account.heaters, false);
                break;
            }
            Err(error) if asks && again < TRIES && exit(&error) == Exit::CredentialsRejected => {
                print_error(error);
                let email = draft.email();
                ask_for_email(draft, email.as_deref())?;
                draft.password = Some(ask_for_password("Its password", false)?);
            }
            Err(error) => return Err(Stopped::new(exit(&error), format!("{error}; nothing was changed"))),
        }
    }
    Ok(())
}

async fn try_account(config: &Config) -> Result<DeviceList, OneShotError> {
    let client = OneShotClient::new(config).await?;
    loop {
        match meanwhile("Signing in", client.sign_in()).await {
            Err(OneShotError::SignIn(SignInError::TooSoon(TooSoon::Spent(wait)))) if wait <= LONGEST_WAIT => {
                say(format_args!("{}; this waits for it", TooSoon::Spent(wait)));
                meanwhile("Waiting", clock::sleep(wait)).await;
            }
            Err(error) => return Err(error),
            Ok(()) => return meanwhile("Asking for the heaters", client.devices()).await,
        }
    }
}
