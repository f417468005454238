//! Whatever stands in the configuration and the environment: it is refused with places and reasons, or everything can be set
//! up with it. The lines `NAME=VALUE` before the first empty line are the environment and the files; the rest is the text.
#![no_main]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use navien2mqtt::bridge::Bridge;
use navien2mqtt::config::{Access, Config, Environment, Pem};
use navien2mqtt::daemon::settings;
use navien2mqtt::navilink::session::{ClientId, Identity, SessionId};
use navien2mqtt::supervisor::{Carried, Input, Supervisor};
use serde_json::json;

const FILE: &str = "navien2mqtt.toml";

fn load(names: &BTreeMap<&[u8], &[u8]>, text: &[u8]) -> Result<Config, Vec<String>> {
    let named = |name: &[u8]| names.get(name).map(|value| value.to_vec());
    let stored = |name: &str| Path::new("/etc/credstore").join(name);
    let environment = Environment {
        variable: &|name| named(name.as_bytes()).map(OsString::from_vec),
        read: &|path: &Path| match path.to_str() {
            Some(FILE) => Ok(text.to_vec()),
            path => named(path.unwrap_or_default().as_bytes()).ok_or(io::ErrorKind::NotFound.into()),
        },
        check_pem: &|file: &[u8], pem: Pem<'_>| match pem {
            Pem::Key { certificate: Some(certificate) } if certificate == file => Err("they are the same".into()),
            _ if file.is_empty() => Err("it is empty".into()),
            _ => Ok(()),
        },
        stored_credential: names.contains_key(b"store".as_slice()).then_some(&stored as &dyn Fn(&str) -> PathBuf),
        access: &|path| Access {
            by_everybody: names.contains_key(b"open".as_slice()),
            not_by_unit: path.starts_with("/home").then(|| "it is hidden".into()),
        },
    };
    Config::load(Path::new(FILE), environment)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())
}

#[allow(clippy::disallowed_methods)]
fn set_up(config: &Config) {
    let begin = Instant::now();
    let mut supervisor = Supervisor::new(settings::supervisor(config), Carried::default(), 1, begin);
    supervisor.handle_input(Input::Start, begin);
    let due = supervisor.poll_timeout(begin).at;
    supervisor.handle_timeout(due);
    let identity = Identity { client: ClientId::new("me"), session: SessionId::from_random([1; 16]) };
    let bridge = Bridge::new(settings::bridge(config), identity, &[], json!({ "config": config.dump() }));
    assert!(bridge.filters().iter().all(|filter| !filter.is_empty() && !filter.contains('\0')));
    assert!(bridge.replay().iter().all(|message| !message.topic.contains(['+', '#', '\0'])));
    assert!(settings::cloud_hosts(config).iter().all(|(host, _)| !host.is_empty()));
}

fuzz_target!(|data: &[u8]| {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(0);
    let (names, text) = data.split_at(end);
    let names = names
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let end = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
            (&line[..end], line.get(end + 1..).unwrap_or_default())
        })
        .collect();
    match load(&names, text) {
        Ok(config) => set_up(&config),
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| !problem.chars().any(char::is_control)), "{problems:?}");
        }
    }
});
