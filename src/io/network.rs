//! Whether the network is there: changes of links and routes, and a probe that asks nobody for anything.

use std::io;
use std::time::Duration;

use futures_util::future;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::{clock, task, wire};

/// The multicast groups of links, addresses and routes, IPv4 and IPv6 (`RTMGRP_*` in `linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// One plug pulled makes a dozen messages; they are told as one.
const BURST: Duration = Duration::from_millis(200);

/// Starts to tell `changes` whenever a link, an address or a route of this machine changes; bursts are told once.
///
/// Without netlink nothing is ever told.
pub fn watch(changes: mpsc::Sender<()>) {
    task::spawn(async move {
        if let Err(error) = watch_routes(&changes).await {
            info!("Changes of the network are not seen at once, only by probes: {error}");
        }
    });
}

async fn watch_routes(changes: &mpsc::Sender<()>) -> io::Result<()> {
    let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
    socket.socket_mut().bind(&SocketAddr::new(0, GROUPS))?;
    loop {
        next(&mut socket).await?;
        clock::sleep(BURST).await;
        // What came in the meantime belongs to the same burst, and the one notice that may wait says it all.
        while clock::within(Duration::ZERO, next(&mut socket)).await.is_ok_and(|read| read.is_ok()) {}
        if changes.try_send(()).is_err() && changes.is_closed() {
            return Ok(());
        }
    }
}

/// Waits for a message; what it says does not matter.
async fn next(socket: &mut TokioSocket) -> io::Result<()> {
    match socket.recv_from_full().await {
        Ok(_) => Ok(()),
        // More changed than the socket could hold.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns whether every host can be looked up and reached by TCP within `limit`. Nothing is sent.
pub async fn reachable(hosts: &[(String, u16)], limit: Duration) -> bool {
    let probes = hosts.iter().map(|(host, port)| async move {
        match clock::within(limit, wire::reach(host, *port, limit)).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                debug!("Probe: {error}");
                false
            }
            Err(late) => {
                debug!("Probe: {host}: {late}");
                false
            }
        }
    });
    future::join_all(probes).await.into_iter().all(|reached| reached)
}
