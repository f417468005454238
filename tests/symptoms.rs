//! The commands of the pages that somebody reads when something is wrong, typed as they are written beside a daemon that
//! runs between a simulated cloud and a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use program::{clean, run};
use support::rig::{HEATER, Rig};

const PAGES: [(&str, &str); 3] = [
    ("docs/troubleshooting.md", include_str!("../docs/troubleshooting.md")),
    ("docs/monitoring.md", include_str!("../docs/monitoring.md")),
    ("docs/recovery.md", include_str!("../docs/recovery.md")),
];
/// Takes the place of what would look at the machine itself; it insists on a unit that there is.
const SYSTEMD: &str = r#"#!/bin/sh
case " $* " in *" navien2mqtt "*) echo "$0 $*" ;; *) echo "no such unit: $*" >&2; exit 4 ;; esac
"#;

/// Returns the blocks of shell of a page, without what changes the machine.
fn blocks(page: &str) -> impl Iterator<Item = String> {
    let fenced = page.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    fenced.map(|block| {
        let typed =
            |line: &&str| !line.starts_with("sudo sh -c 'umask 077; cat > ") && !line.contains("navien2mqtt setup");
        block.lines().filter(typed).collect::<Vec<_>>().join("\n")
    })
}

/// Returns the programs that a block calls.
fn called(block: &str) -> impl Iterator<Item = &str> {
    let parts = block.lines().flat_map(|line| line.split(" | ")).map(|part| part.trim().trim_start_matches("sudo "));
    parts.filter_map(|part| part.split_whitespace().next())
}

/// A home in which the documented commands mean this broker, this configuration and this program.
fn home(rig: &Rig, home: &Path) {
    fs::create_dir_all(home.join("bin")).unwrap();
    fs::create_dir_all(home.join(".config")).unwrap();
    symlink(env!("CARGO_BIN_EXE_navien2mqtt"), home.join("bin/navien2mqtt")).unwrap();
    for (name, text) in [("sudo", "#!/bin/sh\nexec \"$@\"\n"), ("systemctl", SYSTEMD), ("journalctl", SYSTEMD)] {
        fs::write(home.join("bin").join(name), text).unwrap();
        fs::set_permissions(home.join("bin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for name in ["mosquitto_sub", "mosquitto_pub"] {
        fs::write(home.join(".config").join(name), format!("-h 127.0.0.1\n-p {}\n", rig.broker.port)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_that_helps_when_something_is_wrong_works_as_it_is_written() {
    let rig = Rig::new(1).await;
    let observer = rig.observer().await;
    let _daemon = rig.run();
    observer.wait(&format!("navien2mqtt/{HEATER}/availability"), |seen| seen.text() == "online").await;
    observer.wait(&format!("navien2mqtt/{HEATER}/reservations"), |_| true).await;
    let folder = tempfile::tempdir().unwrap();
    home(&rig, folder.path());
    let path = format!("{}:{}", folder.path().join("bin").display(), std::env::var("PATH").unwrap());
    let mut count = 0;
    for (name, page) in PAGES {
        for block in blocks(page).filter(|block| !block.is_empty()) {
            for program in called(&block) {
                let known =
                    ["navien2mqtt", "systemctl", "journalctl", "mosquitto_sub", "mosquitto_pub", "jq", "sleep", "wait"];
                assert!(known.contains(&program), "{name}: {program} is not known to this test: {block}");
            }
            let mut shell = clean("sh");
            // The doctor looks at the machine, which is another one than that of the page.
            let script = format!("{block}\n").replace("navien2mqtt doctor", "navien2mqtt doctor --help; : ");
            shell.args(["-e", "-c", &script]).env("HOME", folder.path()).env("PATH", &path);
            shell.env_remove("XDG_CONFIG_HOME").env("NAVIEN2MQTT_CONFIG", rig.folder.path().join("navien2mqtt.toml"));
            shell.current_dir(folder.path());
            let outcome = run(&mut shell);
            assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{name}: {block}\n{outcome:?}");
            let silent = called(&block).all(|program| program == "mosquitto_pub");
            assert!(silent || !outcome.out.is_empty(), "{name}: {block}");
            // What is well has no reason; everything else that is asked for is there.
            let missing = |line: &str| line.trim_end_matches(',').ends_with("null") && !line.contains("reason_text");
            assert!(!outcome.out.lines().any(missing), "{name}: a member is not there: {block}\n{}", outcome.out);
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
