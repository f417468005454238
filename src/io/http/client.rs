//! Asks a server of this program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::io::{clock, task};

const LIMIT: Duration = Duration::from_secs(10);
/// More of an answer is not read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Asks the server that listens there for a document of words; returns the status and the words.
///
/// # Errors
///
/// Says why there is no answer.
pub async fn get(listen: SocketAddr, path: &str) -> Result<(StatusCode, String), String> {
    let at = SocketAddr::new(reachable(listen.ip()), listen.port());
    match clock::within(LIMIT, ask(at, path)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("http://{at}{path} does not answer: {error}")),
        Err(error) => Err(format!("http://{at}{path} does not answer: {error}")),
    }
}

async fn ask(at: SocketAddr, path: &str) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(at).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    task::spawn(connection);
    let request = Request::get(path).header(header::HOST, at.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).trim_end().to_owned()))
}

/// A server that listens everywhere is reached here.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
