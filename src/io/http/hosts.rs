//! Under which names the server may be asked. A page of another site can point a name of its own at this machine and then
//! read whatever is served under it (DNS rebinding); an address cannot be pointed elsewhere.

use std::net::IpAddr;

/// The names.
#[derive(Debug)]
pub struct AllowedHosts {
    names: Vec<String>,
}

impl AllowedHosts {
    /// Allows these names in lower case, `localhost`, and the name of this machine.
    pub fn new(configured: &[String]) -> Self {
        let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let machine = [machine.clone(), format!("{machine}.local")];
        Self { names: configured.iter().cloned().chain(machine).chain(["localhost".to_owned()]).collect() }
    }

    /// Returns whether a `Host` header names this server.
    pub fn allow(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || self.names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name.trim_end_matches('.')))
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_known_names_are_allowed_and_others_are_not() {
        let hosts = AllowedHosts::new(&["server.lan".to_owned()]);
        for good in [
            "127.0.0.1:9464",
            "192.168.1.5",
            "[::1]:9464",
            "[fe80::1]",
            "localhost:9464",
            "LOCALHOST",
            "server.lan:80",
            "Server.LAN.",
            "localhost.:9464",
        ] {
            assert!(hosts.allow(good), "{good}");
        }
        for bad in
            ["", ":9464", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "lan", "[server.lan"]
        {
            assert!(!hosts.allow(bad), "{bad}");
        }
    }
}
