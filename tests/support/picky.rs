//! A proxy in front of a broker that has rules of its own for what it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A PUBLISH to this topic, of so many bytes altogether.
    Publish(String, usize),
    /// A SUBSCRIBE, by its first filter.
    Subscribe(String),
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// A subscription is answered with 0x80.
    Refuse,
    /// The connection is cut.
    Cut,
}

/// The proxy; it ends with the value.
pub struct Picky {
    pub port: u16,
    sessions: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

type Rule = Arc<dyn Fn(Wish) -> Verdict + Send + Sync>;

impl Picky {
    /// Stands before the broker on `broker`, on a port of its own.
    pub async fn start(broker: u16, rule: impl Fn(Wish) -> Verdict + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let rule: Rule = Arc::new(rule);
        let sessions = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&sessions);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, broker, Arc::clone(&rule)));
            }
        });
        Self { port, sessions, task }
    }

    /// How many connections there have been.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }
}

impl Drop for Picky {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, broker: u16, rule: Rule) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.into_split(), server.into_split());
    let (answers, mut own) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
    let up = async {
        while let Some(packet) = packet(&mut from_client).await {
            match wish(&packet).map_or(Verdict::Pass, |wish| rule(wish)) {
                Verdict::Pass if send(&mut to_server, &packet).await => {}
                Verdict::Refuse => {
                    let body = body(&packet);
                    let _ = answers.send(vec![0x90, 3, body[0], body[1], 0x80]).await;
                }
                Verdict::Pass | Verdict::Cut => return,
            }
        }
    };
    let down = async {
        loop {
            let packet = tokio::select! {
                packet = packet(&mut from_server) => packet,
                packet = own.recv() => packet,
            };
            let Some(packet) = packet else { return };
            if !send(&mut to_client, &packet).await {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), packet: &[u8]) -> bool {
    to.write_all(packet).await.is_ok()
}

/// Reads one packet as it is.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut packet = vec![from.read_u8().await.ok()?];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = from.read_u8().await.ok()?;
        packet.push(byte);
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..]).await.ok()?;
    Some(packet)
}

fn body(packet: &[u8]) -> &[u8] {
    let header = 2 + packet[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
    &packet[header..]
}

fn wish(packet: &[u8]) -> Option<Wish> {
    let text = |at: usize| {
        let bytes = body(packet).get(at..)?;
        let length = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
        String::from_utf8(bytes.get(2..2 + length)?.to_vec()).ok()
    };
    match packet[0] >> 4 {
        3 => Some(Wish::Publish(text(0)?, packet.len())),
        8 => Some(Wish::Subscribe(text(2)?)),
        _ => None,
    }
}
