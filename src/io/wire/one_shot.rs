//! A local socket for one connection of our own, which nobody else on the machine can take.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::io::clock;

/// A listener on a random loopback address, gone after its first connection.
#[derive(Debug)]
pub struct OneShot {
    listener: TcpListener,
    address: SocketAddrV4,
}

impl OneShot {
    /// Opens the listener on a random address of 127.0.0.0/8.
    ///
    /// # Errors
    ///
    /// When the system has no randomness, or no loopback device that is up.
    pub async fn open() -> io::Result<Self> {
        let mut random = [0u8; 3];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        // The last byte is neither 0 nor 255, which some systems treat as network and broadcast addresses.
        let ip = Ipv4Addr::new(127, random[0], random[1], random[2].clamp(1, 254));
        let listener = TcpListener::bind(SocketAddrV4::new(ip, 0)).await?;
        let SocketAddr::V4(address) = listener.local_addr()? else {
            return Err(io::Error::other("an IPv4 listener has another kind of address"));
        };
        Ok(Self { listener, address })
    }

    /// Returns the address in the form that the MQTT engine takes.
    pub fn uri(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// Accepts the first connection within `limit` and closes the listener.
    ///
    /// # Errors
    ///
    /// When nobody connects, or when somebody else than this process does.
    pub async fn accept(self, limit: Duration) -> io::Result<TcpStream> {
        let (stream, peer) = clock::within(limit, self.listener.accept())
            .await
            .map_err(|error| io::Error::new(io::ErrorKind::TimedOut, error))??;
        let SocketAddr::V4(peer) = peer else { return Err(io::Error::other("the peer has no IPv4 address")) };
        let own = tokio::task::spawn_blocking(move || is_own(peer, self.address)).await.map_err(io::Error::other)??;
        if !own {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "another process connected to the local socket of the MQTT engine",
            ));
        }
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Returns whether this process holds the socket that is bound to `local` and connected to `remote`.
fn is_own(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<bool> {
    let look = || fs::read_to_string("/proc/self/net/tcp").map(|table| inode_of(&table, local, remote));
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

/// Finds a connection in the kernel's table (`proc_pid_net(5)`), whose addresses are in native byte order.
fn inode_of(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    let written = |a: SocketAddrV4| format!("{:08X}:{:04X}", u32::from_ne_bytes(a.ip().octets()), a.port());
    let (local, remote) = (written(local), written(remote));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        if columns.next()? != local || columns.next()? != remote {
            return None;
        }
        columns.nth(6)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn our_own_connection_is_accepted() {
        let socket = OneShot::open().await.unwrap();
        let _ours = TcpStream::connect(socket.address).await.unwrap();
        assert!(socket.accept(SECOND).await.is_ok());
    }

    #[tokio::test]
    async fn a_connection_of_another_process_is_refused() {
        let socket = OneShot::open().await.unwrap();
        let mut stranger = tokio::process::Command::new("bash")
            .arg("-c")
            .arg(format!("exec 3<>/dev/tcp/{}/{}; sleep 5", socket.address.ip(), socket.address.port()))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let refused = socket.accept(5 * SECOND).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        stranger.kill().await.unwrap();
    }

    #[tokio::test]
    async fn nobody_coming_is_an_error_in_time() {
        let socket = OneShot::open().await.unwrap();
        let refused = socket.accept(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
    }
}
