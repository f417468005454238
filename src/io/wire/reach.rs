//! Name lookup and TCP, made so that a network that comes back in the middle of an attempt is noticed at once.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpStream, lookup_host};

use super::{ConnectStep, WireError};
use crate::io::clock;

/// Pause between the addresses of one name, so that a broken IPv6 costs a moment and not the attempt.
const STAGGER: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;
/// TCP repeats its first packet after 1, 3, 7 and 15 s, and resolvers ask again after 5 s: too seldom for a network that
/// has just come back. So another try begins beside the first one.
const HEDGE_DELAY: Duration = Duration::from_secs(2);
/// A lookup occupies a thread for as long as the resolver takes.
const LOOKUPS: u32 = 3;

/// Looks up `host` and connects to the first address that accepts, each started a moment after the one before; `limit`
/// bounds the lookup and the connection each.
///
/// # Errors
///
/// Says which of the two failed and why.
pub async fn reach(host: &str, port: u16, limit: Duration) -> Result<TcpStream, WireError> {
    let unknown = |error| WireError::Lookup { host: host.to_owned(), error };
    let lookup = |_| async { Ok(lookup_host((host, port)).await?.collect::<Vec<_>>()) };
    let found = clock::within(limit, hedged(LOOKUPS, lookup))
        .await
        .map_err(|_| WireError::TimedOut { step: ConnectStep::Lookup, limit })?
        .map_err(unknown)?;
    let addresses = interleave(&found);
    if addresses.is_empty() {
        return Err(unknown(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let connect = |_| happy_eyeballs(&addresses);
    let stream = clock::within(limit, hedged(u32::MAX, connect))
        .await
        .map_err(|_| WireError::TimedOut { step: ConnectStep::Connect, limit })?
        .map_err(|error| WireError::Connect { host: host.to_owned(), port, error })?;
    // Small messages must not wait for acknowledgements; a system that refuses the option still works.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Begins another try beside those under way whenever [`HEDGE_DELAY`] has passed, up to `most`; the first that ends decides.
async fn hedged<T, F: Future<Output = io::Result<T>>>(most: u32, attempt: impl Fn(u32) -> F) -> io::Result<T> {
    let mut tries = FuturesUnordered::new();
    tries.push(attempt(0));
    for number in 1..most {
        tokio::select! {
            Some(outcome) = tries.next() => return outcome,
            () = clock::sleep(HEDGE_DELAY) => tries.push(attempt(number)),
        }
    }
    tries.next().await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
}

async fn happy_eyeballs(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = (0u32..)
        .zip(addresses)
        .map(|(place, address)| async move {
            clock::sleep(STAGGER * place).await;
            TcpStream::connect(address).await
        })
        .collect();
    let mut last = io::Error::from(io::ErrorKind::NotConnected);
    while let Some(outcome) = attempts.next().await {
        match outcome {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Mixes the address families, the resolver's first one first.
fn interleave(found: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = found.first() else { return Vec::new() };
    let (one, other): (Vec<_>, Vec<_>) = found.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut mixed = Vec::with_capacity(found.len());
    for place in 0..one.len().max(other.len()) {
        mixed.extend(one.get(place));
        mixed.extend(other.get(place));
    }
    mixed.truncate(MAX_ADDRESSES);
    mixed
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn address_families_take_turns() {
        let text = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"];
        let found: Vec<SocketAddr> = text.iter().map(|t| t.parse().unwrap()).collect();
        let mixed: Vec<String> = interleave(&found).iter().map(ToString::to_string).collect();
        assert_eq!(mixed, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_is_overtaken_by_a_later_one() {
        let network_is_back = |number| async move {
            if number < 3 {
                std::future::pending::<()>().await;
            }
            Ok(number)
        };
        assert_eq!(hedged(u32::MAX, network_is_back).await.unwrap(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_under_way_than_allowed_and_an_error_ends_it() {
        let begun = AtomicU32::new(0);
        let hanging = |_| async {
            begun.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<io::Result<()>>().await
        };
        assert!(clock::within(Duration::from_secs(60), hedged(3, hanging)).await.is_err());
        assert_eq!(begun.load(Ordering::Relaxed), 3);
        let refused = |_| async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused)) };
        let error = hedged(3, refused).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
