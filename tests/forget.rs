//! `navien2mqtt forget` against a real broker.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use support::observer::Observer;
use support::rig::{HEATER, Rig, SECOND_HEATER};

/// Returns the topics on which something stands.
async fn kept(rig: &Rig) -> BTreeSet<String> {
    let observer = Observer::start(rig.broker.port, "somebody").await;
    observer.publish("mark", "here");
    // Messages come in the order of subscription and publication.
    observer.wait("mark", |_| true).await;
    observer.latest().into_keys().filter(|topic| topic != "mark").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_of_a_heater_or_of_everything_is_taken_off_the_broker_when_the_daemon_does_not_run() {
    let rig = Rig::new(2).await;
    let config = rig.folder.path().join("navien2mqtt.toml");
    let forget =
        |what: &str| program::run(&mut program::program(&["--config", config.to_str().unwrap(), "forget", what]));
    let mut daemon = rig.run();
    let observer = rig.observer().await;
    for mac in [HEATER, SECOND_HEATER] {
        observer.wait(&format!("homeassistant/device/navien2mqtt_{mac}/config"), |_| true).await;
        observer.wait(&format!("navien2mqtt/{mac}/energy"), |_| true).await;
    }
    let refused = forget("--all");
    assert_eq!(refused.code, Some(75), "{refused:?}");
    assert!(refused.err.contains("systemctl stop navien2mqtt"), "{refused:?}");
    daemon.signal("TERM");
    daemon.ended(Duration::from_secs(10)).await;
    let before = kept(&rig).await;
    assert!(before.iter().filter(|topic| topic.contains(HEATER)).count() > 8, "{before:?}");

    let one = forget(HEATER);
    assert_eq!((one.code, one.out.as_str()), (Some(0), "04786332fca0 is forgotten\n"), "{one:?}");
    let left = kept(&rig).await;
    let expected: BTreeSet<String> = before.iter().filter(|topic| !topic.contains(HEATER)).cloned().collect();
    assert_eq!(left, expected);

    let all = forget("--all");
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(all.out.contains(SECOND_HEATER) && all.out.contains("The bridge is forgotten"), "{all:?}");
    assert_eq!(kept(&rig).await, BTreeSet::new());
    let again = forget("--all");
    assert_eq!((again.code, again.out.as_str()), (Some(0), "Nothing of a heater stood on the broker\n"), "{again:?}");
}

#[test]
fn without_a_broker_or_without_saying_what_nothing_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("navien2mqtt.toml");
    let text = "[account]\nemail = \"a@example.com\"\npassword = \"x\"\n[broker]\nurl = \"mqtt://127.0.0.1:1\"\n";
    std::fs::write(&config, text).unwrap();
    let run = |arguments: &[&str]| {
        let arguments = [&["--config", config.to_str().unwrap(), "forget"], arguments].concat();
        program::run(&mut program::program(&arguments))
    };
    let unreachable = run(&["--all"]);
    assert_eq!(unreachable.code, Some(75), "{unreachable:?}");
    assert!(unreachable.err.contains("local broker: 127.0.0.1 port 1 cannot be reached"), "{unreachable:?}");
    for wrong in [&[][..], &["04786332fca0", "--all"], &["garage"]] {
        assert_eq!(run(wrong).code, Some(64), "{wrong:?}");
    }
}

/// Takes a session and its filters, one a packet, and acknowledges no message.
fn broker_that_acknowledges_nothing() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut begin = [0; 2];
        while stream.read_exact(&mut begin).is_ok() {
            assert!(begin[1] < 0x80, "no packet of this conversation is longer");
            let mut rest = vec![0; begin[1].into()];
            stream.read_exact(&mut rest).unwrap();
            match begin[0] {
                0x10 => stream.write_all(&[0x20, 2, 0, 0]).unwrap(),
                0x82 => stream.write_all(&[0x90, 3, rest[0], rest[1], 1]).unwrap(),
                _ => {}
            }
        }
    });
    port
}

#[test]
fn what_the_broker_does_not_acknowledge_is_not_said_to_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("navien2mqtt.toml");
    let text = format!(
        "[account]\nemail = \"a@example.com\"\npassword = \"x\"\n[cloud]\nconnect_timeout = \"1s\"\n\
         operation_timeout = \"1s\"\n[broker]\nurl = \"mqtt://127.0.0.1:{}\"\n",
        broker_that_acknowledges_nothing()
    );
    std::fs::write(&config, text).unwrap();
    let arguments = ["--config", config.to_str().unwrap(), "forget", "04786332fca0"];
    let outcome = program::run(&mut program::program(&arguments));
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(75), ""), "{outcome:?}");
    assert!(outcome.err.contains("local broker: a message was not acknowledged"), "{outcome:?}");
}
