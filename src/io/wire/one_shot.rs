//! A local socket for one connection of our own, which nobody else on the machine can take.
//!
//! paho looks its address up with `AI_ADDRCONFIG`, so that 127.0.0.1 needs an IPv4 address beside it and `::1` an IPv6
//! address, on a machine that has any of the other kind. A Unix-domain socket needs neither, but paho notices what
//! arrives on a new one only when its `poll` ends, up to a second later, and cannot go back to TCP after it
//! (`Socket_unix_new`): it is the last resort.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::io::{clock, descriptors};

/// Over what the engine is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineTransport {
    /// 127.0.0.1
    Ipv4,
    /// `::1`
    Ipv6,
    /// A Unix-domain socket.
    Unix,
}

impl EngineTransport {
    const ALL: [Self; 3] = [Self::Ipv4, Self::Ipv6, Self::Unix];

    /// Returns the ways to try where this one was used last. From a Unix-domain socket there is no way back.
    pub fn and_others(self) -> impl Iterator<Item = Self> {
        let others = Self::ALL.into_iter().filter(move |way| *way != self && self != Self::Unix);
        std::iter::once(self).chain(others)
    }
}

impl std::fmt::Display for EngineTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "127.0.0.1",
            Self::Ipv6 => "::1",
            Self::Unix => "a Unix-domain socket",
        })
    }
}

/// Our side of the connection to the engine.
pub struct EngineStream {
    /// What the engine writes.
    pub from: Box<dyn AsyncRead + Send + Unpin>,
    /// What the engine reads; it is shown the end when this is shut down.
    pub to: Box<dyn AsyncWrite + Send + Unpin>,
}

impl From<TcpStream> for EngineStream {
    fn from(stream: TcpStream) -> Self {
        let (from, to) = stream.into_split();
        Self { from: Box::new(from), to: Box::new(to) }
    }
}

impl From<UnixStream> for EngineStream {
    fn from(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self { from: Box::new(from), to: Box::new(to) }
    }
}

/// A listener that is gone after its first connection.
#[derive(Debug)]
pub struct OneShot(Listener);

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener, SocketAddr),
    Unix(UnixListener, Folder),
}

/// A folder that only this user may enter; removed with all that is in it when dropped.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.0);
    }
}

impl Folder {
    fn make(inside: &Path) -> io::Result<Self> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = inside.join(format!(".navien2mqtt-{:016x}", u64::from_ne_bytes(random)));
        // One that exists already is an error: nobody can have put it there for us.
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn socket(&self) -> PathBuf {
        self.0.join("mqtt")
    }
}

impl OneShot {
    /// Opens the listener.
    ///
    /// # Errors
    ///
    /// When the machine does not have this way; for a Unix-domain socket it names each folder and why it cannot be
    /// used.
    pub async fn open(way: EngineTransport) -> io::Result<Self> {
        match way {
            EngineTransport::Ipv4 => Self::tcp(Ipv4Addr::LOCALHOST.into()).await,
            EngineTransport::Ipv6 => Self::tcp(Ipv6Addr::LOCALHOST.into()).await,
            EngineTransport::Unix => Self::unix(places()),
        }
    }

    async fn tcp(ip: IpAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self(Listener::Tcp(listener, address)))
    }

    fn unix(places: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut failures = Vec::new();
        for place in places {
            let opened = Folder::make(&place).and_then(|folder| Ok((UnixListener::bind(folder.socket())?, folder)));
            match opened {
                Ok((listener, folder)) => return Ok(Self(Listener::Unix(listener, folder))),
                Err(error) => failures.push(format!("{}: {error}", place.display())),
            }
        }
        Err(io::Error::other(format!("no folder takes one ({})", failures.join("; "))))
    }

    /// Returns the address in the form that the MQTT engine takes.
    pub fn uri(&self) -> String {
        match &self.0 {
            Listener::Tcp(_, address) => format!("tcp://{address}"),
            Listener::Unix(_, folder) => format!("unix://{}", folder.socket().display()),
        }
    }

    /// Accepts the first connection within `limit` and closes the listener.
    ///
    /// # Errors
    ///
    /// When nobody connects, or when somebody else than this process does.
    pub async fn accept(self, limit: Duration) -> io::Result<EngineStream> {
        let late = |error| io::Error::new(io::ErrorKind::TimedOut, error);
        let (stream, own) = match self.0 {
            Listener::Tcp(listener, local) => {
                let (stream, peer) = clock::within(limit, listener.accept()).await.map_err(late)??;
                stream.set_nodelay(true)?;
                let own =
                    tokio::task::spawn_blocking(move || is_own(peer, local)).await.map_err(io::Error::other)??;
                (EngineStream::from(stream), own)
            }
            Listener::Unix(listener, _folder) => {
                let (stream, _) = clock::within(limit, listener.accept()).await.map_err(late)??;
                let own = stream.peer_cred()?.pid() == Some(std::process::id().cast_signed());
                (EngineStream::from(stream), own)
            }
        };
        if !own {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "another process connected to the local socket of the MQTT engine",
            ));
        }
        // The engine opens its end without close-on-exec.
        descriptors::close_on_exec()?;
        Ok(stream)
    }
}

/// Returns whether this process holds the socket that is bound to `local` and connected to `remote`.
fn is_own(local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
    let table = if local.is_ipv4() { "/proc/self/net/tcp" } else { "/proc/self/net/tcp6" };
    let look = || fs::read_to_string(table).map(|table| inode_of(&table, local, remote));
    // The table is not read in one piece: on a busy machine an entry can be missed.
    let found = match look()? {
        None => look()?,
        found => found,
    };
    let Some(inode) = found else { return Ok(false) };
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc/self/fd")? {
        // A descriptor may be closed while the list is read.
        if fs::read_link(entry?.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finds a connection in the kernel's table (`proc_pid_net(5)`), whose addresses are words in native byte order.
fn inode_of(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let written = |address: SocketAddr| {
        let bytes = match address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let words = bytes.as_chunks::<4>().0.iter().map(|word| format!("{:08X}", u32::from_ne_bytes(*word)));
        format!("{}:{:04X}", words.collect::<String>(), address.port())
    };
    let (local, remote) = (written(local), written(remote));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        if columns.next()? != local || columns.next()? != remote {
            return None;
        }
        columns.nth(6)?.parse().ok()
    })
}

/// The folders in which a daemon may usually write, with an absolute path.
fn places() -> impl Iterator<Item = PathBuf> {
    ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "TMPDIR", "STATE_DIRECTORY"]
        .iter()
        .filter_map(|name| std::env::var_os(name).map(PathBuf::from))
        .chain(["/tmp", "/run", "/dev/shm", "/var/tmp"].map(PathBuf::from))
        .filter(|place| place.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::process::Command;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Connects to the listener, as the engine does.
    async fn connect(socket: &OneShot) -> EngineStream {
        match &socket.0 {
            Listener::Tcp(_, address) => TcpStream::connect(address).await.unwrap().into(),
            Listener::Unix(_, folder) => UnixStream::connect(folder.socket()).await.unwrap().into(),
        }
    }

    #[tokio::test]
    async fn our_own_connection_is_accepted_each_way() {
        for way in EngineTransport::ALL {
            let socket = OneShot::open(way).await.unwrap();
            let _ours = connect(&socket).await;
            assert!(socket.accept(SECOND).await.is_ok(), "{way}");
        }
    }

    #[tokio::test]
    async fn nothing_is_left_in_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let socket = OneShot::unix([place.path().to_owned()]).unwrap();
        let _ours = connect(&socket).await;
        assert!(socket.accept(SECOND).await.is_ok());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_connection_of_another_process_is_refused_each_way() {
        for way in EngineTransport::ALL {
            let socket = OneShot::open(way).await.unwrap();
            let class = if way == EngineTransport::Unix { "UNIX" } else { "IP" };
            let script = format!(
                "use IO::Socket::{class}; my $s = IO::Socket::{class}->new(Peer => $ARGV[0], PeerAddr => $ARGV[0]) or die; <STDIN>"
            );
            let address = socket.uri();
            let address = address.trim_start_matches("tcp://").trim_start_matches("unix://");
            let mut stranger = Command::new("perl")
                .args(["-e", &script, address])
                .stdin(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let refused = socket.accept(5 * SECOND).await.err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{way}");
            stranger.kill().await.unwrap();
        }
    }

    #[tokio::test]
    async fn nobody_coming_is_an_error_in_time() {
        for way in EngineTransport::ALL {
            let socket = OneShot::open(way).await.unwrap();
            let refused = socket.accept(Duration::from_millis(20)).await.err().unwrap();
            assert_eq!(refused.kind(), io::ErrorKind::TimedOut, "{way}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_used_is_passed_over_and_named_when_no_other_is_left() {
        let good = tempfile::tempdir().unwrap();
        let long = good.path().join("n".repeat(120));
        fs::create_dir(&long).unwrap();
        let missing = PathBuf::from("/nowhere/at/all");
        let socket = OneShot::unix([missing.clone(), long.clone(), good.path().to_owned()]).unwrap();
        assert!(matches!(&socket.0, Listener::Unix(_, folder) if folder.0.parent() == Some(good.path())));
        let error = OneShot::unix([missing, long.clone()]).unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all: ") && error.contains(&long.display().to_string()), "{error}");
        assert_eq!(fs::read_dir(&long).unwrap().count(), 0, "a folder of a failed attempt is left");
    }
}
