//! A machine of the test's own, as far as the network goes, with two cables: one to the internet, one to the home.
//!
//! The daemon runs inside. The simulated cloud listens at the far end of the internet's cable, behind a router; the
//! mosquitto listens at the far end of the home's. So the internet can fail while the local broker stays in reach.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// The name under which the cloud is known inside.
pub const CLOUD: &str = "cloud.test";
/// Addresses that providers use inside their networks, so that no test meets those of a home.
const FIRST_ADDRESS: u32 = u32::from_be_bytes([100, 64, 0, 0]);
/// Each test has sixteen of them.
const SLOTS: u32 = 1 << 18;
const PREFIX: &str = "navien2mqtt-";

/// What fails between the daemon and the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The daemon's own end of the cable is out: its routes are gone, and the system says so at once.
    NearEnd,
    /// The router's end of the cable is out; nobody is told.
    FarEnd,
    /// The router drops every packet, in both directions, and says nothing.
    Packets,
    /// The cloud's name cannot be looked up.
    Names,
}

/// A network namespace; it ends with the value, and what an earlier run was not able to end ends with the next one.
pub struct Netns {
    name: String,
    cables: [String; 2],
    first: u32,
}

impl Netns {
    /// Makes one, or says loudly that this test is skipped, and why.
    pub fn make() -> Option<Self> {
        static SWEPT: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEPT.call_once(sweep);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let net = Self {
            name: format!("{PREFIX}{process}-{number}"),
            cables: ["i", "h"].map(|kind| format!("n{process}{kind}{number}")),
            first: FIRST_ADDRESS + (process.wrapping_mul(64) + number) % SLOTS * 16,
        };
        if let Err(error) = net.furnish() {
            eprintln!("SKIPPED: a network of the test's own needs root and `ip` (iproute2): {error}");
            return None;
        }
        Some(net)
    }

    fn furnish(&self) -> Result<(), String> {
        ip(&format!("netns add {}", self.name))?;
        let Self { name, cables: [internet, home], .. } = self;
        for (cable, inside) in [(internet, "internet"), (home, "home")] {
            ip(&format!("link add {cable} type veth peer name {inside} netns {name}"))?;
            ip(&format!("link set {cable} up"))?;
        }
        ip(&format!("addr add {}/30 dev {internet}", self.router()))?;
        ip(&format!("addr add {}/32 dev {internet}", self.cloud()))?;
        ip(&format!("addr add {}/30 dev {home}", self.home()))?;
        ip(&format!("-n {name} addr add {}/30 dev internet", self.address(2)))?;
        ip(&format!("-n {name} addr add {}/30 dev home", self.address(6)))?;
        for link in ["lo", "home", "internet"] {
            ip(&format!("-n {name} link set {link} up"))?;
        }
        ip(&format!("-n {name} route add default via {}", self.router()))?;
        fs::create_dir_all(self.folder()).unwrap();
        // A resolver that never answers: names come from the other file, or not at all.
        let resolver = format!("nameserver {}\noptions timeout:1 attempts:1\n", self.address(10));
        fs::write(self.folder().join("resolv.conf"), resolver).unwrap();
        self.know_the_cloud(true);
        Ok(())
    }

    /// Where the simulated cloud listens, beyond the router.
    pub fn cloud(&self) -> Ipv4Addr {
        self.address(9)
    }

    /// Where the local broker listens.
    pub fn home(&self) -> Ipv4Addr {
        self.address(5)
    }

    /// Prepares a program that runs inside; its process id and its signals are its own.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Lets the way to the internet fail.
    pub fn cut(&self, cut: Cut) {
        match cut {
            Cut::NearEnd => self.ip(&format!("-n {} link set internet down", self.name)),
            Cut::FarEnd => self.ip(&format!("link set {} down", self.cables[0])),
            // Its answers have no way to go, and what comes from an address without a way is not taken.
            Cut::Packets => self.ip(&format!("route add blackhole {}/32", self.address(2))),
            Cut::Names => self.know_the_cloud(false),
        }
    }

    /// Mends it again.
    pub fn mend(&self, cut: Cut) {
        match cut {
            Cut::NearEnd => {
                self.ip(&format!("-n {} link set internet up", self.name));
                self.ip(&format!("-n {} route add default via {}", self.name, self.router()));
            }
            Cut::FarEnd => self.ip(&format!("link set {} up", self.cables[0])),
            Cut::Packets => self.ip(&format!("route del blackhole {}/32", self.address(2))),
            Cut::Names => self.know_the_cloud(true),
        }
    }

    fn know_the_cloud(&self, known: bool) {
        let line = if known { format!("{} {CLOUD}\n", self.cloud()) } else { String::new() };
        // Written in place: a new file would not be seen by a program that runs already.
        fs::write(self.folder().join("hosts"), format!("127.0.0.1 localhost\n{line}")).unwrap();
    }

    fn router(&self) -> Ipv4Addr {
        self.address(1)
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.first + number)
    }

    /// What `ip netns exec` puts in place of the files of the same names in /etc.
    fn folder(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    fn ip(&self, words: &str) {
        ip(words).unwrap_or_else(|error| panic!("ip {words}: {error}"));
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = ip(&format!("route del blackhole {}/32", self.address(2)));
        remove(&self.name, &self.cables);
    }
}

fn remove(name: &str, cables: &[String]) {
    for cable in cables {
        let _ = ip(&format!("link del {cable}"));
    }
    let _ = ip(&format!("netns del {name}"));
    let _ = fs::remove_dir_all(Path::new("/etc/netns").join(name));
}

/// Removes what killed test processes left behind.
fn sweep() {
    let Ok(left) = fs::read_dir("/run/netns") else { return };
    for name in left.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let Some((process, number)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else { continue };
        if !Path::new("/proc").join(process).exists() {
            remove(&name, &["i", "h"].map(|kind| format!("n{process}{kind}{number}")));
        }
    }
}

fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}
