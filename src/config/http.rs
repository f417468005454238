//! The HTTP server.

use std::net::SocketAddr;

use toml::de::DeValue;

use super::reader::{Reader, TableReader, describe};
use super::values::text;

/// `[http]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The names under which it may be asked, besides addresses, `localhost` and the name of this machine.
    pub hosts: Vec<String>,
}

impl HttpConfig {
    /// Reads the section; without an address there is no server.
    pub(super) fn read(r: &mut Reader<'_>, root: &mut TableReader<'_>) -> Option<Self> {
        let mut s = root.section(r, "http");
        let listen = s.take(r, "listen", |value: &DeValue<'_>| {
            let expected = "expected an address and a port such as \"127.0.0.1:9464\", or \"[::]:9464\" for everybody";
            text(value)?.parse::<SocketAddr>().map_err(|_| expected.to_owned())
        });
        let hosts = s.take(r, "hosts", hosts);
        if hosts.is_some() && listen.is_none() && r.knows(&s, &["listen"]) {
            r.report(&mut s, "hosts", "is of no use without http.listen");
        }
        s.finish(r);
        Some(Self { listen: listen?, hosts: hosts.unwrap_or_default() })
    }
}

fn hosts(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let expected = "expected a list of names such as [\"server.lan\"], without ports";
    let DeValue::Array(list) = value else { return Err(format!("{expected}, not {}", describe(value))) };
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host = |entry: &toml::Spanned<DeValue<'_>>| {
        let name = entry.get_ref().as_str().filter(|name| !name.is_empty() && name.bytes().all(good));
        name.map(str::to_ascii_lowercase).ok_or_else(|| expected.to_owned())
    };
    list.iter().map(host).collect()
}
