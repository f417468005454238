//! Holds the man pages and shell completions to the definition of the command line, and the documented keys of the
//! configuration to its reader. `make reference` writes the files anew.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "reference/manual.rs"]
mod manual;

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use navien2mqtt::config::{Access, Config, Environment};
use serde_json::Value;

const README: &str = include_str!("../README.md");
const CONFIGURATION: &str = include_str!("../docs/configuration.md");

/// The command line of the packaged program, which has no simulator.
fn definition() -> Command {
    let whole = navien2mqtt::cli::definition();
    Command::new("navien2mqtt")
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .subcommand_required(true)
        .args(whole.get_arguments())
        .subcommands(whole.get_subcommands().filter(|c| !["demo", "simulate"].contains(&c.get_name())))
}

fn hold(path: &str, made: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, made).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == made, "{path} is not what the program says of itself: run `make reference`");
}

#[test]
fn the_man_page_of_the_program_is_current() {
    hold("packaging/man/navien2mqtt.8", &manual::program(definition(), README));
}

#[test]
fn the_man_page_of_the_configuration_is_current() {
    hold("packaging/man/navien2mqtt.toml.5", &manual::configuration(CONFIGURATION));
}

#[test]
fn the_completions_are_current() {
    for (shell, file) in
        [(Shell::Bash, "navien2mqtt.bash"), (Shell::Zsh, "_navien2mqtt"), (Shell::Fish, "navien2mqtt.fish")]
    {
        let mut made = Vec::new();
        clap_complete::generate(shell, &mut definition(), "navien2mqtt", &mut made);
        hold(&format!("packaging/completions/{file}"), &String::from_utf8(made).unwrap());
    }
}

/// Writes a duration in one way: "60s" is "1m".
fn canonical(value: &str) -> String {
    match humantime::parse_duration(value.trim_matches('"')) {
        Ok(duration) => format!("{duration:?}"),
        Err(_) => value.to_owned(),
    }
}

/// What holds without a configuration file but for the account, of which every section is shown.
fn defaults() -> Value {
    let text = "[account]\nemail = \"you@example.com\"\n[alerts]\ncommand = [\"/bin/true\"]\n";
    let variable = |name: &str| (name == "NAVIEN_PASSWORD").then(|| "secret".into());
    let read = |_: &Path| Ok(text.as_bytes().to_vec());
    let environment = Environment {
        variable: &variable,
        read: &read,
        check_pem: &|_, _| Ok(()),
        stored_credential: None,
        access: &|_| Access::default(),
    };
    Config::load(Path::new("test.toml"), environment).unwrap().dump()
}

#[test]
fn every_documented_default_is_the_one_in_force_and_every_key_is_documented() {
    let documented = manual::keys(CONFIGURATION);
    let of = |section: &str, key: &str| documented.iter().find(|row| row.section == section && row.key == key);
    let mut compared = 0;
    for (section, keys) in defaults().as_object().unwrap() {
        let Some(keys) = keys.as_object() else { continue };
        for (key, value) in keys {
            let row = of(section, key).unwrap_or_else(|| panic!("[{section}] {key} is not in docs/configuration.md"));
            let written = row.default.trim_matches('`');
            // Without a default, or one that is described.
            if written.is_empty() || written == "Navien's" {
                continue;
            }
            let (written, value) = (canonical(written), canonical(&value.to_string()));
            assert_eq!(written, value, "[{section}] {key} in docs/configuration.md");
            compared += 1;
        }
    }
    assert!(compared >= 35, "only {compared} defaults were found in the tables of docs/configuration.md");
}
