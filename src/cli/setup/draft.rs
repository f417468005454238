//! What is to be written, before it is.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use secrecy::{ExposeSecret, SecretString};

use super::Stopped;
use crate::cli::service::Service;
use crate::cli::{say, terminal};
use crate::config::{Access, Config, ConfigProblem, Environment, SAMPLE_EMAIL, edit};
use crate::exit::Exit;
use crate::io::{files, tls};

/// What is installed, and what a new configuration is made of.
const SAMPLE: &str = include_str!("../../../config/navien2mqtt.toml");
const PASSWORD: &str = "navien-password";
const BROKER_PASSWORD: &str = "broker-password";
/// Modes: of the files and folders of a service, which has a user of its own, and of what somebody runs by hand.
const FOR_ALL: u32 = 0o644;
const FOLDER_FOR_ALL: u32 = 0o755;
const FOR_OWNER: u32 = 0o600;
const FOLDER_FOR_OWNER: u32 = 0o700;

/// Where everything is written.
#[derive(Debug)]
pub struct Layout {
    pub config: PathBuf,
    /// Whose it is; without one, it is all in one folder.
    pub service: Option<Service>,
}

impl Layout {
    pub fn of(config: &Path) -> Result<Self, Stopped> {
        let config = std::path::absolute(config)?;
        let service = Service::of(&config);
        if service.is_some() && !geteuid().is_root() {
            let why = "the service is set up by root: sudo navien2mqtt setup; --directory names a folder of your own";
            return Err(Stopped::new(Exit::Usage, why));
        }
        Ok(Self { config, service })
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.service.as_ref().map_or_else(|| self.config.with_file_name(name), |service| service.credential(name))
    }
}

/// The configuration as it would be, and the passwords that are new.
pub struct Draft {
    pub layout: Layout,
    /// What is there.
    before: Option<String>,
    text: String,
    pub password: Option<SecretString>,
    pub broker_password: Option<SecretString>,
}

impl Draft {
    /// Begins with the configuration that is there, or with the sample.
    pub fn read(layout: Layout) -> Result<Self, Stopped> {
        let shown = layout.config.display();
        let before = match fs::read_to_string(&layout.config) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Stopped::new(Exit::Configuration, format!("{shown} cannot be read: {error}"))),
        };
        let text = before.clone().unwrap_or_else(|| SAMPLE.to_owned());
        let mut draft = Self { layout, before, text, password: None, broker_password: None };
        let problems = draft.problems();
        if let Some(problem) = problems.iter().find(|problem| !is_asked_for(problem)) {
            let why = format!("{problem}; mend it first, or move the file away");
            return Err(Stopped::new(Exit::Configuration, why));
        }
        if draft.layout.service.is_none() && draft.before.is_none() {
            let state = draft.layout.config.with_file_name("state");
            draft.set("state", "directory", &state.display().to_string());
        }
        Ok(draft)
    }

    /// Sets a key.
    pub fn set(&mut self, section: &str, key: &str, value: &str) {
        self.text = edit::set(&self.text, section, key, value);
    }

    /// Returns the address that the configuration has, if it is not that of the sample.
    pub fn email(&self) -> Option<String> {
        let config = self.load(Some(&"any".into())).ok()?;
        Some(config.account.email).filter(|email| email != SAMPLE_EMAIL)
    }

    /// Returns whether there is a password without a new one.
    pub fn has_password(&self) -> bool {
        !self
            .load(None)
            .is_err_and(|problems| problems.iter().any(|problem| problem.key.starts_with("account.password")))
    }

    /// Returns what is wrong with a key.
    pub fn problem(&self, key: &str) -> Option<String> {
        let problem = self.problems().into_iter().find(|problem| problem.key == key)?;
        Some(format!("{key}: {}", problem.message))
    }

    /// Returns what is wrong, whatever the account's password is.
    fn problems(&self) -> Vec<ConfigProblem> {
        self.load(Some(&"any".into())).err().unwrap_or_default()
    }

    /// Reads it as it would be read when it is written.
    pub fn config(&self) -> Result<Config, Stopped> {
        self.load(self.password.as_ref()).map_err(|problems| {
            let why: Vec<String> =
                problems.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
            // Nothing else than what was asked for has changed.
            Stopped::new(Exit::Usage, why.join("\n"))
        })
    }

    fn load(&self, password: Option<&SecretString>) -> Result<Config, Vec<ConfigProblem>> {
        let expose = |secret: &SecretString| OsString::from(secret.expose_secret());
        let variable = |name: &str| match name {
            "NAVIEN_PASSWORD" => password.map(expose),
            "BROKER_PASSWORD" => self.broker_password.as_ref().map(expose),
            _ => self.layout.service.as_ref().and_then(|service| service.variable(name)),
        };
        let read = |path: &Path| match path == self.layout.config {
            true => Ok(self.text.clone().into_bytes()),
            false => files::read(path),
        };
        let stored = |name: &str| self.layout.secret(name);
        let environment = Environment {
            variable: &variable,
            read: &read,
            check_pem: &tls::check,
            stored_credential: Some(&stored),
            access: &|_| Access::default(),
        };
        Config::load(&self.layout.config, environment)
    }

    /// Lets somebody say whether what is there may be changed; the sample, which is nobody's, may.
    pub fn is_allowed(&mut self, force: bool, asks: bool) -> Result<(), Stopped> {
        self.name_passwords();
        for (path, text, _) in self.files() {
            let shown = path.display();
            let before = match fs::read(&path) {
                Ok(before) => before,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(Stopped::new(Exit::Configuration, format!("{shown} cannot be read: {error}")));
                }
            };
            if before == text || before == SAMPLE.as_bytes() || force {
                continue;
            }
            let why = format!("{shown} is there, and is not changed without --force; nothing was changed");
            if !asks {
                return Err(Stopped::new(Exit::Usage, why));
            }
            if path == self.layout.config {
                let old = String::from_utf8_lossy(&before);
                let new = self.text.lines().filter(|line| !old.lines().any(|old| old == *line));
                new.for_each(|line| say(format_args!("  {line}")));
            }
            if !terminal::confirm(format_args!("Change {shown}, which is there already?"), false)? {
                return Err(Stopped::new(Exit::Usage, why));
            }
        }
        Ok(())
    }

    /// Names the files of passwords where no unit hands them over.
    fn name_passwords(&mut self) {
        if self.layout.service.is_some() {
            return;
        }
        for (section, name, new) in [
            ("account", PASSWORD, self.password.is_some()),
            ("broker", BROKER_PASSWORD, self.broker_password.is_some()),
        ] {
            if new {
                self.set(section, "password_file", &self.layout.secret(name).display().to_string());
            }
        }
    }

    /// Returns what there is to write, with the mode of what is new.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>, u32)> {
        let secret = |name: &str, secret: &Option<SecretString>| {
            let line = format!("{}\n", secret.as_ref()?.expose_secret());
            Some((self.layout.secret(name), line.into_bytes(), FOR_OWNER))
        };
        let secrets = [secret(PASSWORD, &self.password), secret(BROKER_PASSWORD, &self.broker_password)];
        let mode = if self.layout.service.is_some() { FOR_ALL } else { FOR_OWNER };
        let config = (self.layout.config.clone(), self.text.clone().into_bytes(), mode);
        secrets.into_iter().flatten().chain([config]).collect()
    }

    /// Writes what differs from what is there, each file whole or not at all; the configuration last.
    pub fn write(&self) -> Result<(), Stopped> {
        for (path, text, mode) in self.files() {
            let shown = path.display();
            if fs::read(&path).is_ok_and(|before| before == text) {
                say(format_args!("{shown} is as it was"));
                continue;
            }
            let folder = if mode == FOR_ALL { FOLDER_FOR_ALL } else { FOLDER_FOR_OWNER };
            path.parent()
                .map_or(Ok(()), |parent| files::make_folder(parent, folder))
                .and_then(|()| files::write(&path, &text, mode))
                .map_err(|error| Stopped::new(Exit::Configuration, format!("{shown} cannot be written: {error}")))?;
            say(format_args!("{shown} is written"));
        }
        Ok(())
    }
}

/// Returns whether a problem is about what setup asks for.
fn is_asked_for(problem: &ConfigProblem) -> bool {
    matches!(problem.key.as_str(), "account.email" | "broker.url" | "broker.ca_file" | "broker.username")
        || problem.key.ends_with(".password_file")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn draft(config: PathBuf, service: Option<Service>) -> Draft {
        let mut draft = Draft::read(Layout { config, service }).unwrap();
        draft.set("account", "email", "me@example.org");
        (draft.password, draft.broker_password) = (Some("hush".into()), Some("hush, too".into()));
        draft.set("broker", "username", "bridge");
        draft
    }

    #[test]
    fn a_new_folder_gets_the_commented_sample_and_the_passwords_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        let mut draft = draft(folder.join("navien2mqtt.toml"), None);
        draft.is_allowed(false, false).unwrap();
        draft.write().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        for (name, text) in [("navien-password", "hush\n"), ("broker-password", "hush, too\n")] {
            assert_eq!(
                (fs::read_to_string(folder.join(name)).unwrap(), mode(&folder.join(name))),
                (text.into(), 0o600)
            );
        }
        let text = fs::read_to_string(folder.join("navien2mqtt.toml")).unwrap();
        assert_eq!(mode(&folder.join("navien2mqtt.toml")), 0o600);
        assert_eq!(text.lines().count(), SAMPLE.lines().count());
        let kept = SAMPLE.lines().zip(text.lines()).filter(|(old, new)| old == new).count();
        assert_eq!(SAMPLE.lines().count() - kept, 5, "email, two password files, username, state: {text}");
        // The daemon reads it with nothing handed over.
        let environment = Environment {
            variable: &|_| None,
            read: &files::read,
            check_pem: &tls::check,
            stored_credential: None,
            access: &|_| Access::default(),
        };
        let config = Config::load(&folder.join("navien2mqtt.toml"), environment).unwrap();
        assert_eq!(config.account.password.expose_secret(), "hush");
        assert_eq!(config.broker.password.unwrap().expose_secret(), "hush, too");
        assert_eq!((config.state_directory, config.warnings.len()), (folder.join("state"), 0));
    }

    #[test]
    fn the_sample_is_nobodys_and_what_somebody_has_changed_is_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("navien2mqtt.toml");
        fs::write(&config, SAMPLE).unwrap();
        draft(config.clone(), None).is_allowed(false, false).unwrap();
        fs::write(&config, format!("{SAMPLE}\n")).unwrap();
        let refused = draft(config.clone(), None).is_allowed(false, false).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage, "{refused:?}");
        draft(config, None).is_allowed(true, false).unwrap();
    }

    #[test]
    fn a_service_reads_its_configuration_and_only_root_its_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let draft = draft(folder.path().join("navien2mqtt.toml"), Some(Service::default()));
        let files: Vec<_> = draft.files().into_iter().map(|(path, _, mode)| (path, mode)).collect();
        let [secret, broker_secret] =
            ["navien-password", "broker-password"].map(|name| Path::new("/etc/credstore").join(name));
        let wanted = [(secret, 0o600), (broker_secret, 0o600), (folder.path().join("navien2mqtt.toml"), 0o644)];
        assert_eq!(files, wanted);
        assert!(!draft.text.contains("\npassword_file"), "the unit hands them over");
    }
}
