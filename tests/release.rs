//! What a release says of itself: the Rust that it needs, and the commit that it was built from.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[allow(dead_code)]
#[path = "../build.rs"]
mod build;

#[test]
fn the_minimum_rust_version_is_the_one_that_the_dependencies_need() {
    let features = ["--all-features", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .args(features)
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let needed = metadata["packages"].as_array().unwrap().iter().filter(|package| package["name"] != "navien2mqtt");
    let (needed, by) = needed
        .filter_map(|package| Some((version(package["rust_version"].as_str()?), package["name"].as_str()?)))
        .max()
        .unwrap();
    let stated = version(env!("CARGO_PKG_RUST_VERSION"));
    assert_eq!(stated, needed, "`rust-version` in Cargo.toml, and what {by} needs");
}

/// The parts of a version, all three of them.
fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[test]
fn a_build_names_the_commit_of_its_own_checkout_and_of_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(build::commit(root), None, "no checkout");
    git(root, &["init", "--quiet"]);
    assert_eq!(build::commit(root), None, "no commit yet");
    fs::write(root.join("file"), "first").unwrap();
    git(root, &["add", "file"]);
    git(root, &["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message=first"]);
    // A tag would name another version beside that of Cargo.toml.
    git(root, &["tag", "v0.0.1"]);
    let commit = build::commit(root).unwrap();
    assert!(commit.len() == 12 && commit.chars().all(|digit| digit.is_ascii_hexdigit()), "{commit}");
    fs::write(root.join("file"), "second").unwrap();
    assert_eq!(build::commit(root), Some(format!("{commit}-dirty")));
    let inside = root.join("unpacked");
    fs::create_dir(&inside).unwrap();
    assert_eq!(build::commit(&inside), None, "sources unpacked in somebody else's checkout");
}

fn git(root: &Path, arguments: &[&str]) {
    // In a hook, the environment names the repository that the hook belongs to.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let git = Command::new("git").env_clear().env("PATH", path).current_dir(root).args(arguments).status().unwrap();
    assert!(git.success(), "git {arguments:?}");
}

#[test]
fn the_template_unit_is_the_unit_with_names_of_its_own() {
    let lines = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(Path::new("systemd").join(name)).unwrap();
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(str::to_owned).collect()
    };
    let own = [" (%i)", " --config /etc/navien2mqtt/%i.toml", ":navien-password.%i", ":broker-password.%i", "-%i"];
    let plain = |line: &String| own.iter().fold(line.clone(), |line, own| line.replace(own, ""));
    let template: Vec<String> = lines("navien2mqtt@.service").iter().map(plain).collect();
    let (mut template, mut unit) = (template, lines("navien2mqtt.service"));
    template.retain(|line| line != "Environment=NAVIEN2MQTT_INSTANCE=%i");
    template.sort();
    unit.sort();
    assert_eq!(template, unit);
}
