//! The broker as a local one, over plain TCP: for the demo, and for tests of the local side.

use std::io;
use std::net::SocketAddr;

use super::broker::{Broker, Rules};
use super::counters::{Counters, SharedCounters};
use super::net::{Door, Server, bind};

/// A running local broker; dropping it stops it.
pub struct LocalBroker {
    /// Its address as the configuration has it, `mqtt://host:port`.
    pub url: String,
    /// Publishes and subscribes from inside the process.
    pub broker: Broker,
    /// Refuses, freezes and resets its connections.
    pub door: Door,
    tally: SharedCounters,
    server: Server,
}

impl LocalBroker {
    /// Starts it at `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// Fails when the port is taken.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = bind(address).await?;
        let url = format!("mqtt://{}", listener.local_addr()?);
        let (tally, door) = (SharedCounters::default(), Door::default());
        let broker = Broker::new(Rules::plain(), tally.clone());
        let serving = broker.clone();
        let server = Server::accept(listener, door.clone(), move |gate| {
            let broker = serving.clone();
            async move {
                let ended = broker.serve(gate).await;
                tracing::debug!(?ended, "local client gone");
            }
        });
        Ok(Self { url, broker, door, tally, server })
    }

    /// Returns what was counted until now.
    pub fn counters(&self) -> Counters {
        self.tally.snapshot()
    }

    /// Stops it and returns when the port is free.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::simulator::broker::Publication;

    /// An address on which no other test takes ports.
    const ALONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 8);

    #[tokio::test]
    async fn a_client_over_tcp_gets_a_message_of_the_process_and_the_port_is_free_again() {
        let local = LocalBroker::start((ALONE, 0).into()).await.unwrap();
        let address: SocketAddr = local.url.strip_prefix("mqtt://").unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x1e\x00\x01a").await.unwrap();
        stream.write_all(b"\x82\x06\x00\x01\x00\x01x\x00").await.unwrap();
        let mut answers = [0; 9];
        stream.read_exact(&mut answers).await.unwrap();
        assert_eq!(answers, *b"\x20\x02\x00\x00\x90\x03\x00\x01\x00");
        local.broker.publish(Publication::new("x", "hi"));
        let mut message = [0; 7];
        stream.read_exact(&mut message).await.unwrap();
        assert_eq!(message, *b"\x30\x05\x00\x01xhi");
        assert_eq!(local.counters().connects, 1);
        local.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
