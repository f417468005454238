//! The smallest clients of MQTT 3.1.1 that measure: they take as little of the machine as can be.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Publishes with QoS 1; acknowledgements are read and passed over.
pub struct Publisher {
    stream: TcpStream,
    next: u16,
}

impl Publisher {
    pub fn connect(port: u16) -> Self {
        let stream = connect(port, "publisher");
        let mut answers = stream.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while answers.read(&mut buffer).is_ok_and(|read| read > 0) {}
        });
        Self { stream, next: 0 }
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.next = self.next.checked_add(1).unwrap_or(1);
        let mut body = text(topic);
        body.extend(self.next.to_be_bytes());
        body.extend_from_slice(payload);
        self.stream.write_all(&packet(0x32, &body)).unwrap();
    }
}

/// The numbers of the statuses that came, each with its time.
#[derive(Default)]
struct Came {
    numbers: Vec<(u64, Instant)>,
    count: u64,
    last: Option<Instant>,
}

/// Subscribed with QoS 1 for as long as the process lives.
pub struct Subscriber(Arc<Mutex<Came>>);

impl Subscriber {
    pub fn start(port: u16, filter: &str) -> Self {
        let mut stream = connect(port, "subscriber");
        let mut body = vec![0, 1];
        body.extend(text(filter));
        body.push(1);
        stream.write_all(&packet(0x82, &body)).unwrap();
        let came = Arc::new(Mutex::new(Came::default()));
        let memory = Arc::clone(&came);
        let mut from = BufReader::with_capacity(64 * 1024, stream.try_clone().unwrap());
        thread::spawn(move || {
            while let Ok((kind, body)) = read_packet(&mut from) {
                let at = Instant::now();
                if kind & 0xf0 != 0x30 {
                    continue;
                }
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]])) + 2;
                let acknowledged = if kind & 0x06 == 0 { 0 } else { 2 };
                if acknowledged > 0 {
                    stream.write_all(&[0x40, 2, body[topic], body[topic + 1]]).unwrap();
                }
                if let Some(number) = crate::number_of(&body[topic + acknowledged..]) {
                    let mut came = memory.lock().unwrap();
                    came.numbers.push((number, at));
                    came.count += 1;
                    came.last = Some(at);
                }
            }
        });
        Self(came)
    }

    pub fn count(&self) -> u64 {
        self.0.lock().unwrap().count
    }

    /// When the last one came.
    pub fn last(&self) -> Instant {
        let far = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap();
        self.0.lock().unwrap().last.unwrap_or(far)
    }

    pub fn take(&self) -> Vec<(u64, Instant)> {
        std::mem::take(&mut self.0.lock().unwrap().numbers)
    }
}

fn connect(port: u16, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    body.extend(text(id));
    stream.write_all(&packet(0x10, &body)).unwrap();
    stream.read_exact(&mut [0; 4]).unwrap();
    stream
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind];
    let mut length = body.len();
    while length > 127 {
        packet.push(length as u8 & 127 | 128);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend_from_slice(body);
    packet
}

fn read_packet(from: &mut impl Read) -> std::io::Result<(u8, Vec<u8>)> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    let kind = byte[0];
    let (mut length, mut shift) = (0usize, 0);
    loop {
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 127) << shift;
        shift += 7;
        if byte[0] < 128 {
            break;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok((kind, body))
}
