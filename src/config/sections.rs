//! The sections, their keys and defaults, and what must fit together.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use toml::de::DeValue;
use url::Url;

use super::reader::{ConfigProblem, Reader, TableReader};
use super::values::{
    attempts, boolean, choice, command, duration, number, secret_url, temperature, text, topic, url, whole, words,
};
use super::{
    AccountConfig, AlertsConfig, AttemptsConfig, BrokerConfig, CloudConfig, CommandsConfig, Config, DeviceConfig,
    Environment, HomeAssistantConfig, HttpConfig, LogConfig, LogLevel, LogTarget, Pem, ReachabilityConfig,
    RecoveryConfig, heater_choice,
};
use crate::model::{Mac, REQUESTS};
use crate::supervisor::{OnFailure, Strategy};
use crate::units::UnitsChoice;

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What stands in the installed file until somebody puts in an address of their own.
pub const SAMPLE_EMAIL: &str = "you@example.com";
const API_URL: &str = "https://nlus.naviensmartcontrol.com/api/v2.1";
const MQTT_URL: &str = "wss://a1t30mldyslmuq-ats.iot.us-east-1.amazonaws.com/mqtt";

const UNITS: &[(&str, UnitsChoice)] =
    &[("device", UnitsChoice::Device), ("metric", UnitsChoice::Metric), ("us", UnitsChoice::Us)];
/// The log levels with their names.
pub const LEVELS: &[(&str, LogLevel)] = &[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
pub(super) const TARGETS: &[(&str, LogTarget)] =
    &[("auto", LogTarget::Auto), ("journal", LogTarget::Journal), ("stderr", LogTarget::Stderr)];

pub fn read(path: &Path, text: &str, environment: Environment<'_>) -> Result<Config, Vec<ConfigProblem>> {
    let (mut reader, mut root) = Reader::new(path.to_owned(), text);
    let r = &mut reader;
    if let Some(why) = (environment.access)(path).not_by_unit {
        r.warn(&root, "", not_by_unit(path, &why));
    }
    let units = root.take(r, "units", choice(UNITS)).unwrap_or_default();
    let account = account(r, &mut root, environment);
    let cloud = cloud(r, &mut root, environment);
    let reconnect = reconnect(r, &mut root);
    let recovery = recovery(r, &mut root);
    let reachability = reachability(r, &mut root);
    let alerts = alerts(r, &mut root);
    let broker = broker(r, &mut root, environment);
    let home_assistant = HomeAssistantConfig::read(r, &mut root);
    let commands = commands(r, &mut root);
    let administration = administration(r, &mut root);
    let http = HttpConfig::read(r, &mut root);
    let state_directory = state_directory(r, &mut root, environment);
    let log = log(r, &mut root);
    let devices = devices(r, &mut root);
    root.finish(r);
    let (problems, warnings) = reader.finish();
    match (account, cloud, broker) {
        (Some(account), Some(cloud), Some(broker)) if problems.is_empty() => Ok(Config {
            units,
            account,
            cloud,
            reconnect,
            recovery,
            reachability,
            alerts,
            broker,
            home_assistant,
            commands,
            administration,
            http,
            state_directory,
            log,
            devices,
            warnings,
        }),
        _ => Err(problems),
    }
}

fn account(r: &mut Reader<'_>, root: &mut TableReader<'_>, environment: Environment<'_>) -> Option<AccountConfig> {
    let mut s = root.section(r, "account");
    let email = s.take(r, "email", |value| {
        let email = text(value)?;
        let (name, domain) = email.split_once('@').unwrap_or_default();
        let good = !name.is_empty() && domain.contains('.') && !email.contains(char::is_whitespace);
        if good { Ok(email) } else { Err("expected an email address such as \"you@example.com\"".to_owned()) }
    });
    if email.is_none() && r.knows(&s, &["email"]) {
        r.report(&mut s, "email", "is missing: the email address of the NaviLink account");
    }
    if email.as_deref() == Some(SAMPLE_EMAIL) {
        r.warn(&s, "email", "is that of the sample; put in the address of your NaviLink account");
    }
    let password = secret(r, &mut s, environment, ("navien-password", "NAVIEN_PASSWORD"));
    if password.is_none() && r.knows(&s, &["password_file", "password"]) {
        r.report(
            &mut s,
            "password",
            "is missing: give it as the systemd credential navien-password, in $NAVIEN_PASSWORD, in the file that \
             account.password_file names, or in account.password",
        );
    }
    let heaters = heater_choice::read(r, &mut s);
    s.finish(r);
    Some(AccountConfig { email: email?, password: password?, heaters })
}

/// Finds a password: the systemd credential, the environment variable, the store of credentials, `password_file`,
/// `password`.
fn secret(
    r: &mut Reader<'_>,
    s: &mut TableReader<'_>,
    environment: Environment<'_>,
    (credential, variable): (&str, &str),
) -> Option<SecretString> {
    let file = s.take(r, "password_file", text);
    let inline = s.take(r, "password", text);
    let lookup = |name| (environment.variable)(name).filter(|value: &OsString| !value.is_empty());
    let in_file = |path: PathBuf| {
        match (environment.read)(&path) {
            // The unit has other credentials.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some((path, read)),
        }
    };
    let handed_over = lookup("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join(credential));
    let stored = || environment.stored_credential.map(|of| of(credential));
    let (key, path, read) = if let Some((path, read)) = handed_over.and_then(in_file) {
        ("password", path, read)
    } else if let Some(value) = lookup(variable) {
        let password = password_of(format_args!("${variable}"), Ok(value.into_vec()));
        return password.map_err(|message| r.report(s, "password", message)).ok();
    } else if let Some((path, read)) = stored().and_then(in_file) {
        ("password", path, read)
    } else if let Some(path) = file.map(PathBuf::from) {
        warn_if_hidden(r, s, ("password_file", &path), environment);
        let read = (environment.read)(&path);
        ("password_file", path, read)
    } else {
        if inline.is_some() && (environment.access)(r.file()).by_everybody {
            r.warn(s, "password", "is in a file that every user of this machine can read");
        }
        return inline.map(Into::into);
    };
    if (environment.access)(&path).by_everybody {
        let path = path.display();
        r.warn(s, key, format_args!("every user of this machine can read {path}; give it as a systemd credential"));
    }
    password_of(path.display(), read).map_err(|message| r.report(s, key, message)).ok()
}

/// Warns of a file that the service cannot read.
fn warn_if_hidden(
    r: &mut Reader<'_>,
    s: &TableReader<'_>,
    (key, path): (&'static str, &Path),
    environment: Environment<'_>,
) {
    if let Some(why) = (environment.access)(path).not_by_unit {
        r.warn(s, key, not_by_unit(path, &why));
    }
}

fn not_by_unit(path: &Path, why: &str) -> String {
    format!("{} {}: {why}", super::NOT_BY_UNIT, path.display())
}

fn password_of(place: impl Display, read: io::Result<Vec<u8>>) -> Result<SecretString, String> {
    let bytes = read.map_err(|error| format!("{place} cannot be read: {error}"))?;
    first_line(bytes).map(Into::into).map_err(|what| format!("{place} {what}"))
}

/// A password is what stands in the file, without the byte-order mark and the line end that editors add.
fn first_line(bytes: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let line = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let line = line.strip_suffix('\n').unwrap_or(line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    match line {
        "" => Err("is empty"),
        line if line.contains(['\n', '\r']) => Err("has more than one line"),
        line => Ok(line.to_owned()),
    }
}

fn cloud(r: &mut Reader<'_>, root: &mut TableReader<'_>, environment: Environment<'_>) -> Option<CloudConfig> {
    let mut s = root.section(r, "cloud");
    let default = |url: &str| Url::parse(url).ok();
    let api_url = s.take(r, "api_url", url(&["https"])).or_else(|| default(API_URL));
    let mqtt_url = s.take(r, "mqtt_url", url(&["wss"])).or_else(|| default(MQTT_URL));
    let region = s.take(r, "region", text).unwrap_or_else(|| "us-east-1".to_owned());
    let ca_file = file(r, &mut s, ("ca_file", Pem::Roots), environment).map(|(path, _)| path);
    let limit = duration(100 * MILLISECOND, Some(10 * MINUTE));
    let interval = duration(SECOND, None);
    let connect_timeout = s.take(r, "connect_timeout", &limit).unwrap_or(20 * SECOND);
    let operation_timeout = s.take(r, "operation_timeout", &limit).unwrap_or(30 * SECOND);
    let keep_alive = s.take(r, "keep_alive", duration(30 * SECOND, Some(20 * MINUTE))).unwrap_or(30 * SECOND);
    let status_interval = s.take(r, "status_interval", &interval).unwrap_or(MINUTE);
    let info_interval = s.take(r, "info_interval", &interval).unwrap_or(30 * MINUTE);
    let energy_interval = s.take(r, "energy_interval", &interval).unwrap_or(HOUR);
    // It asks the REST API, too (protocol reference, section 1).
    let schedule_interval = s.take(r, "schedule_interval", duration(MINUTE, None)).unwrap_or(HOUR);
    let stale_after = s.take(r, "stale_after", &interval).unwrap_or(5 * MINUTE);
    if stale_after <= status_interval && r.knows(&s, &["stale_after", "status_interval"]) {
        let key = if s.wrote("stale_after") { "stale_after" } else { "status_interval" };
        r.report(&mut s, key, "stale_after must be longer than status_interval, or every heater is always unavailable");
    }
    s.finish(r);
    Some(CloudConfig {
        api_url: api_url?,
        mqtt_url: mqtt_url?,
        region,
        ca_file,
        connect_timeout,
        operation_timeout,
        keep_alive,
        status_interval,
        info_interval,
        energy_interval,
        schedule_interval,
        stale_after,
    })
}

/// Takes the path of a file that must be there, and hold what it is for.
fn file(
    r: &mut Reader<'_>,
    s: &mut TableReader<'_>,
    (key, pem): (&'static str, Pem<'_>),
    environment: Environment<'_>,
) -> Option<(PathBuf, Vec<u8>)> {
    let path = PathBuf::from(s.take(r, key, text)?);
    let problem = match (environment.read)(&path) {
        Ok(bytes) => match (environment.check_pem)(&bytes, pem) {
            Ok(()) => {
                warn_if_hidden(r, s, (key, &path), environment);
                return Some((path, bytes));
            }
            Err(what) => format!("{} is of no use: {what}", path.display()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{} does not exist", path.display()),
        Err(error) => format!("{} cannot be read: {error}", path.display()),
    };
    r.report(s, key, problem);
    None
}

fn reconnect(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> AttemptsConfig {
    let mut s = root.section(r, "reconnect");
    let attempts = line(r, &mut s, SECOND, 2 * MINUTE);
    s.finish(r);
    attempts
}

fn recovery(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> RecoveryConfig {
    let mut s = root.section(r, "recovery");
    let attempts = line(r, &mut s, MINUTE, 5 * MINUTE);
    let strategy = s.take(r, "strategy", choice(Strategy::WORDS)).unwrap_or(Strategy::ExponentialBackoff);
    let every = s.take(r, "refresh_tokens_every", whole(1, 1000)).unwrap_or(3);
    let on_failure = s.take(r, "on_failure", choice(OnFailure::WORDS)).unwrap_or(OnFailure::Exit);
    s.finish(r);
    RecoveryConfig { attempts, strategy, refresh_tokens_every: u32::try_from(every).unwrap_or(3), on_failure }
}

fn reachability(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> ReachabilityConfig {
    let mut s = root.section(r, "reachability");
    let enabled = s.take(r, "enabled", boolean).unwrap_or(true);
    let probe_interval = s.take(r, "probe_interval", duration(SECOND, Some(5 * MINUTE))).unwrap_or(5 * SECOND);
    s.finish(r);
    ReachabilityConfig { enabled, probe_interval }
}

/// A section without a command and a URL is none.
fn alerts(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> Option<AlertsConfig> {
    let mut s = root.section(r, "alerts");
    let command = s.take(r, "command", command);
    let url = s.take(r, "url", secret_url);
    let timeout = s.take(r, "timeout", duration(SECOND, Some(5 * MINUTE))).unwrap_or(10 * SECOND);
    s.finish(r);
    (command.is_some() || url.is_some()).then_some(AlertsConfig { command, url, timeout })
}

fn line(r: &mut Reader<'_>, s: &mut TableReader<'_>, initial: Duration, max: Duration) -> AttemptsConfig {
    let delay = duration(MILLISECOND, None);
    let line = AttemptsConfig {
        enabled: s.take(r, "enabled", boolean).unwrap_or(true),
        max_attempts: s.take(r, "max_attempts", attempts).unwrap_or(Some(10)),
        initial_delay: s.take(r, "initial_delay", &delay).unwrap_or(initial),
        max_delay: s.take(r, "max_delay", &delay).unwrap_or(max),
        multiplier: s.take(r, "multiplier", number(1.0, 100.0, true)).unwrap_or(2.0),
        jitter: s.take(r, "jitter", number(0.0, 1.0, false)).unwrap_or(0.2),
    };
    if line.max_delay < line.initial_delay && r.knows(s, &["max_delay", "initial_delay"]) {
        let key = if s.wrote("max_delay") { "max_delay" } else { "initial_delay" };
        r.report(s, key, "max_delay must not be shorter than initial_delay");
    }
    line
}

fn broker(r: &mut Reader<'_>, root: &mut TableReader<'_>, environment: Environment<'_>) -> Option<BrokerConfig> {
    let mut s = root.section(r, "broker");
    let address = s.take(r, "url", |value| {
        let url = url(&["mqtt", "mqtts"])(value)?;
        if !matches!(url.path(), "" | "/") {
            return Err("must have no path: mqtt://host:port".to_owned());
        }
        Ok(url)
    });
    let address = address.or_else(|| Url::parse("mqtt://127.0.0.1:1883").ok());
    let tls = address.as_ref().is_some_and(|url| url.scheme() == "mqtts");
    let username = s.take(r, "username", text);
    let password = secret(r, &mut s, environment, ("broker-password", "BROKER_PASSWORD"));
    let ca_file = file(r, &mut s, ("ca_file", Pem::Roots), environment).map(|(path, _)| path);
    let certificate = file(r, &mut s, ("client_certificate", Pem::Certificate), environment);
    let (certificate, shown) = certificate.unzip();
    let key = Pem::Key { certificate: shown.as_deref() };
    let key = file(r, &mut s, ("client_key", key), environment).map(|(path, _)| path);
    let client_id = s.take(r, "client_id", |value| {
        let id = text(value)?;
        if id.len() <= 64 { Ok(id) } else { Err("must be at most 64 bytes long".to_owned()) }
    });
    let base_topic = s.take(r, "base_topic", topic).unwrap_or_else(|| own_name(environment));
    if s.wrote("client_certificate") != s.wrote("client_key") && r.knows(&s, &[]) {
        let given = if s.wrote("client_key") { "client_key" } else { "client_certificate" };
        r.report(&mut s, given, "client_certificate and client_key belong together");
    }
    for given in ["ca_file", "client_certificate"] {
        if s.wrote(given) && !tls && r.knows(&s, &["url"]) {
            r.report(&mut s, given, "is of no use without TLS: broker.url must begin with mqtts://");
        }
    }
    if username.is_none() && (s.wrote("password") || s.wrote("password_file")) && r.knows(&s, &["username"]) {
        let given = if s.wrote("password_file") { "password_file" } else { "password" };
        r.report(&mut s, given, "is of no use without broker.username");
    }
    let address = address?;
    let host = address.host_str()?.trim_matches(['[', ']']).to_owned();
    if username.is_some() && !tls && !is_this_machine(&host) {
        r.warn(&s, "url", format_args!("user name and password go to {host} unencrypted; mqtts:// encrypts them"));
    }
    if username.is_some() && password.is_none() && r.knows(&s, &["password", "password_file"]) {
        r.warn(&s, "username", "is given without a password, which hardly any broker accepts");
    }
    if base_topic.contains('.') {
        r.warn(&s, "base_topic", "has a `.`, which RabbitMQ takes for a `/`");
    }
    s.finish(r);
    Some(BrokerConfig {
        host,
        port: address.port().unwrap_or(if tls { 8883 } else { 1883 }),
        tls,
        password: password.filter(|_| username.is_some()),
        username,
        ca_file,
        client: certificate.zip(key),
        client_id: client_id.unwrap_or_else(|| own_name(environment)),
        base_topic,
    })
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the default of what tells instances on one broker apart. The template unit names the instance.
fn own_name(environment: Environment<'_>) -> String {
    let instance = (environment.variable)("NAVIEN2MQTT_INSTANCE").and_then(|name| name.into_string().ok());
    match instance.filter(|name| !name.is_empty() && !name.contains(['+', '#'])) {
        Some(instance) => format!("navien2mqtt-{instance}"),
        None => "navien2mqtt".to_owned(),
    }
}

fn commands(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> CommandsConfig {
    let mut s = root.section(r, "commands");
    let max_queued = s.take(r, "max_queued", whole(1, 10_000)).unwrap_or(100);
    let max_age = s.take(r, "max_age", duration(SECOND, None)).unwrap_or(5 * MINUTE);
    let allow_firmware_commit = s.take(r, "allow_firmware_commit", boolean).unwrap_or(false);
    let read_only = s.take(r, "read_only", boolean).unwrap_or(false);
    let max_temperature = s.take(r, "max_temperature", temperature);
    s.finish(r);
    let max_queued = usize::try_from(max_queued).unwrap_or(100);
    CommandsConfig { max_queued, max_age, allow_firmware_commit, read_only, max_temperature }
}

fn administration(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> Vec<&'static str> {
    let mut s = root.section(r, "administration");
    let allow = s.take(r, "allow", words(&REQUESTS)).unwrap_or_else(|| REQUESTS.into());
    s.finish(r);
    allow
}

fn state_directory(r: &mut Reader<'_>, root: &mut TableReader<'_>, environment: Environment<'_>) -> PathBuf {
    let mut s = root.section(r, "state");
    let written = s.take(r, "directory", text);
    s.finish(r);
    // systemd gives a list when the unit names several.
    let given = (environment.variable)("STATE_DIRECTORY");
    let first = given.as_deref().and_then(|list| list.as_bytes().split(|byte| *byte == b':').next());
    let first = first.filter(|first| !first.is_empty()).map(|first| PathBuf::from(OsStr::from_bytes(first)));
    first.or(written.map(PathBuf::from)).unwrap_or_else(|| "/var/lib/navien2mqtt".into())
}

fn log(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> LogConfig {
    let mut s = root.section(r, "log");
    let level = s.take(r, "level", choice(LEVELS)).unwrap_or(LogLevel::Info);
    let target = s.take(r, "target", choice(TARGETS)).unwrap_or(LogTarget::Auto);
    s.finish(r);
    LogConfig { level, target }
}

fn devices(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> Vec<DeviceConfig> {
    let mut devices: Vec<DeviceConfig> = Vec::new();
    for mut s in root.sections(r, "device") {
        let mac =
            s.take(r, "mac", |value: &DeValue<'_>| text(value)?.parse::<Mac>().map_err(|error| error.to_string()));
        let name = s.take(r, "name", text);
        match mac {
            Some(mac) if devices.iter().any(|device| device.mac == mac) => {
                r.report(&mut s, "mac", "is the same as that of another [[device]]");
            }
            Some(mac) => devices.push(DeviceConfig { mac, name }),
            None if r.knows(&s, &["mac"]) => r.report(&mut s, "mac", "is missing: which heater this is about"),
            None => {}
        }
        s.finish(r);
    }
    devices
}
