//! The HTTP server of the built program, between a simulated cloud and a real mosquitto.
#![cfg(feature = "simulator")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use navien2mqtt::simulator::Fault;
use serde_json::Value;

use program::{Outcome, clean, run};
use support::rig::{Daemon, HEATER, Rig};
use support::{eventually, free_port};

const LIMIT: Duration = Duration::from_secs(30);

/// A daemon with a server, and nothing else of note.
struct World {
    rig: Rig,
    daemon: Option<Daemon>,
    port: u16,
}

impl World {
    async fn start() -> Self {
        let port = free_port();
        let mut rig = Rig::new(1).await;
        rig.more = format!("[http]\nlisten = \"127.0.0.1:{port}\"\nhosts = [\"server.lan\"]\n");
        let daemon = Some(rig.run());
        let world = Self { rig, daemon, port };
        world.until("/readyz", |answer| answer.status == 200);
        world
    }

    fn get(&self, path: &str) -> Answered {
        ask(self.port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).expect("the server answers")
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).body).unwrap()
    }

    fn until(&self, path: &str, good: impl Fn(&Answered) -> bool) -> Answered {
        let get = || ask(self.port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        eventually(path, LIMIT, || get().filter(|answer| good(answer)))
    }

    fn config(&self) -> PathBuf {
        self.rig.folder.path().join("navien2mqtt.toml")
    }

    fn health(&self, more: &[&str]) -> Outcome {
        let mut command = clean(env!("CARGO_BIN_EXE_navien2mqtt"));
        run(command.arg("health").args(more).arg("--config").arg(self.config()))
    }
}

#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

/// Sends a request and reads the answer to its end; there is none when the server closes the connection.
fn ask(port: u16, request: &str) -> Option<Answered> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answered { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// Begins a stream of events; returns what was read of it until `good`.
fn stream(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream
}

/// Reads a stream until an event is `good`.
fn event(stream: &mut TcpStream, good: impl Fn(&Value) -> bool) -> Value {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    eventually("an event of the stream", LIMIT, || {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream has ended: {text}");
        text += &String::from_utf8_lossy(&buffer[..read]);
        // The sizes of the chunks stand on lines of their own, and may stand within an event, too.
        let events =
            text.split("data: ").skip(1).filter_map(|rest| serde_json::from_str(rest.split("\n\n").next()?).ok());
        events.into_iter().find(|event| good(event))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_readiness_are_true_and_the_command_says_so() {
    let mut world = World::start().await;
    assert_eq!((world.get("/healthz").status, world.get("/healthz").body.as_str()), (200, "ok\n"));
    let [healthy, ready] = [world.health(&[]), world.health(&["--ready"])];
    assert_eq!((healthy.code, healthy.out.as_str(), ready.code), (Some(0), "ok\n", Some(0)), "{healthy:?} {ready:?}");
    world.rig.broker.kill();
    let unready = world.until("/readyz", |answer| answer.status == 503);
    assert!(unready.body.contains("local broker: "), "{unready:?}");
    assert_eq!(world.get("/healthz").status, 200, "who waits for the broker is healthy");
    let unready = world.health(&["--ready"]);
    assert!(unready.code == Some(69) && unready.err.contains("local broker"), "{unready:?}");
    world.rig.broker.launch();
    world.until("/readyz", |answer| answer.status == 200);
    world.daemon.take();
    let gone = world.health(&[]);
    assert!(gone.code == Some(69) && gone.err.contains("does not answer"), "{gone:?}");
    let text = std::fs::read_to_string(world.config()).unwrap();
    std::fs::write(world.config(), text.split("[http]").next().unwrap()).unwrap();
    let off = world.health(&[]);
    assert!(off.code == Some(78) && off.err.contains("http.listen is not set"), "{off:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_its_own_names_are_served_nothing_can_be_changed_and_no_secret_is_told() {
    let world = World::start().await;
    for (host, status) in [
        ("127.0.0.1", 200),
        ("[::1]:9464", 200),
        ("server.lan", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("", 421),
    ] {
        let answer = ask(world.port, &format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap();
        assert_eq!(answer.status, status, "{host}");
    }
    assert_eq!(ask(world.port, "GET /state HTTP/1.0\r\n\r\n").unwrap().status, 421, "without a name");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(world.port, &format!("{method} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(answer.unwrap().status, 405, "{method}");
    }
    let head = ask(world.port, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for path in ["/favicon.ico", "/../etc/passwd", "/state/", "//"] {
        assert_eq!(world.get(path).status, 404, "{path}");
    }
    for path in ["/", "/style.css", "/script.js", "/metrics", "/healthz", "/readyz", "/state", "/history"] {
        let answer = world.get(path);
        assert_eq!(answer.status, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
        ] {
            assert!(answer.head.contains(header), "{path} is without {header}");
        }
        for secret in ["demo@example.com", "demo-password", "X-Amz-", "accessToken", "example.com"] {
            assert!(!answer.body.contains(secret), "{path} tells {secret}");
        }
    }
    let open =
        ask(world.port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n")
            .unwrap();
    assert!(open.head.contains("application/openmetrics-text") && open.body.ends_with("# EOF\n"), "{open:?}");
    assert!(!world.get("/metrics").body.contains("# EOF"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_sees_a_command_and_an_outage_come_and_go_and_the_history_outlives_the_process() {
    let mut world = World::start().await;
    let observer = world.rig.observer().await;
    let mut page = stream(world.port);
    let first = event(&mut page, |_| true);
    assert_eq!((&first["connection"]["state"], &first["heaters"][0]["mac"]), (&"connected".into(), &HEATER.into()));
    observer.publish(&format!("navien2mqtt/{HEATER}/set/mode"), "electric");
    event(&mut page, |seen| {
        let (heater, command) = (&seen["heaters"][0], &seen["heaters"][0]["commands"][0]);
        heater["status"]["dhw_operation_setting"] == "electric"
            && command["name"] == "mode"
            && command["status"] == "confirmed"
    });
    world.rig.cloud().faults().set(Fault::Refuse { times: None });
    world.rig.cloud().faults().set(Fault::Reset);
    let lost = event(&mut page, |seen| {
        seen["connection"]["state"] == "reconnecting" && !seen["connection"]["outage_since"].is_null()
    });
    assert!(lost["connection"]["reason_text"].is_string(), "{lost}");
    assert_eq!(world.json("/history")["outages"][0]["to"], Value::Null, "it goes on");
    world.rig.cloud().faults().set(Fault::Clear);
    event(&mut page, |seen| seen["connection"]["state"] == "connected" && seen["connection"]["outage_since"].is_null());
    let before = world.json("/history");
    assert!(before["outages"][0]["to"].is_u64() && before["outages"][0]["reason"].is_string(), "{before}");
    let mut daemon = world.daemon.take().unwrap();
    daemon.signal("TERM");
    daemon.ended(LIMIT).await;
    drop(daemon);
    world.daemon = Some(world.rig.run());
    world.until("/readyz", |answer| answer.status == 200);
    let after = world.json("/history");
    assert_eq!(after["outages"][0], before["outages"][0]);
    assert_eq!(after["known_since"], before["known_since"]);
    assert!(!after["heaters"][HEATER]["samples"].as_array().unwrap().is_empty());
    assert_eq!(world.json("/state")["heaters"][0]["commands"][0]["name"], "mode");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_and_slow_clients_are_bounded_and_the_links_do_not_feel_them() {
    let world = World::start().await;
    let sessions = world.rig.cloud().counters().filters;
    // Streams do not take the place of everybody else.
    let mut streams: Vec<TcpStream> = (0..30).map(|_| stream(world.port)).collect();
    let mut refused = 0;
    for stream in &mut streams {
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        refused += usize::from(&begin == b"HTTP/1.1 503");
    }
    assert_eq!(refused, 6, "24 streams");
    assert_eq!(world.get("/healthz").status, 200);
    // Whoever does not finish the request is sent away, and somebody else has the place.
    let mut silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", world.port)).unwrap()).collect();
    for stream in &mut silent {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: local");
    }
    assert_eq!(world.get("/healthz").status, 200);
    // A request that is too long is not read to its end.
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    assert!(ask(world.port, &long).is_none_or(|answer| answer.status == 431));
    let flood = (0..8).map(|_| {
        let port = world.port;
        std::thread::spawn(move || {
            (0..200).filter(|_| ask(port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").is_some()).count()
        })
    });
    let answered: usize = flood.collect::<Vec<_>>().into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(answered, 1600);
    assert_eq!(world.rig.cloud().counters().filters, sessions, "the session is the same");
    assert_eq!(world.get("/readyz").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_reads_no_file_of_the_state_directory() {
    let world = World::start().await;
    std::fs::write(world.rig.folder.path().join("state/sign-ins.json"), "damaged").unwrap();
    let path = |path| async move {
        // What was answered a moment ago is not answered afresh.
        tokio::time::sleep(Duration::from_secs(1)).await;
        path
    };
    assert_eq!(world.get(path("/state").await).status, 200);
    assert!(!world.daemon.as_ref().unwrap().log().contains("sign-ins.json is damaged"));
    assert_eq!(world.get(path("/metrics").await).status, 200);
    world.daemon.as_ref().unwrap().logged("sign-ins.json is damaged").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_costs_nothing_else_and_is_taken_when_it_is_free() {
    let mut world = World::start().await;
    world.daemon.take();
    let taken = std::net::TcpListener::bind(("127.0.0.1", world.port)).unwrap();
    world.daemon = Some(world.rig.run());
    let daemon = world.daemon.as_ref().unwrap();
    daemon.logged("The HTTP server cannot listen at").await;
    daemon.logged("Connected to the cloud: a heater has answered").await;
    drop(taken);
    world.until("/readyz", |answer| answer.status == 200);
}
