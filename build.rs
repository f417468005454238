//! Hands the version that `--version` prints to the compiler: a release build of a git checkout names its commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A development build goes without: else each commit would compile everything anew.
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = if release { commit(Path::new(".")) } else { None };
    let commit = commit.map_or_else(String::new, |commit| format!(" ({commit})"));
    println!("cargo::rustc-env=NAVIEN2MQTT_VERSION={}{commit}", env!("CARGO_PKG_VERSION"));
}

/// Returns the abbreviated commit that is checked out in `root`, with `-dirty` after it if tracked files differ from it;
/// `None` if `root` is not the top of a git checkout, or git is missing.
pub fn commit(root: &Path) -> Option<String> {
    if !root.join(".git").exists() {
        return None;
    }
    // Everything that the answer depends on: the reflog grows with each commit and checkout.
    for path in ["src", "Cargo.toml", "Cargo.lock", ".git/HEAD", ".git/logs/HEAD"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let this_checkout = ["--git-dir=.git", "--work-tree=.", "--no-optional-locks"];
    let describe = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    let output = Command::new("git").current_dir(root).args(this_checkout).args(describe).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !commit.is_empty()).then_some(commit)
}
