//! The way to the cloud, its clock, and the account.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::ClientConfig;
use tokio::net::{TcpStream, lookup_host};

use super::{Chart, Finding, Grade};
use crate::cli::terminal::meanwhile;
use crate::config::Config;
use crate::daemon::one_shot::{OneShotClient, OneShotError, exit};
use crate::daemon::settings;
use crate::exit::Exit;
use crate::io::rest::{RestClient, SignInError};
use crate::io::state::StateDirectory;
use crate::io::wire::{Target, Transport, Wire, WireError};
use crate::io::{clock, tls};
use crate::model::HeaterChoice;
use crate::navilink::devices::DeviceList;
use crate::product;

const CLOUD: Grade = Grade::Bad(Exit::CloudUnavailable);
/// A clock that is off by more makes AWS refuse every signature (protocol reference, section 2).
const SKEW: Duration = Duration::from_secs(300);
/// A clock that something keeps right is never off by as much.
const DRIFT: Duration = Duration::from_secs(30);
/// The most addresses of one kind that are tried.
const MAX_ADDRESSES: usize = 4;
const SET_THE_CLOCK: &str = "set the clock, and let timesyncd or chrony keep it";

/// Looks the hosts up, connects to their addresses, and shakes hands with them; asks one of them for the time.
pub async fn network(chart: &mut Chart, config: &Config) {
    let limit = config.cloud.connect_timeout;
    let tls = match tls::client_config(config.cloud.ca_file.as_deref(), None) {
        Ok(tls) => Some(tls),
        Err(error) => {
            let to_do = "install the package ca-certificates, or mend cloud.ca_file";
            chart.add(Finding::new("tls", Grade::Bad(Exit::Configuration), error.to_string(), to_do));
            None
        }
    };
    let mut reached = false;
    for (host, port) in settings::cloud_hosts(config) {
        let look_up = async { Ok(lookup_host((host.as_str(), port)).await?.collect::<Vec<_>>()) };
        let found = meanwhile(format_args!("Looking up {host}"), clock::within(limit, look_up)).await;
        let found = found.unwrap_or_else(|late| Err(io::Error::other(late)));
        let good = found.as_ref().is_ok_and(|addresses| !addresses.is_empty());
        chart.add(names(&host, &found));
        if !good {
            continue;
        }
        let addresses = found.unwrap_or_default();
        let kinds = meanwhile(format_args!("Connecting to {host}"), families(&addresses, limit)).await;
        let connected = kinds.iter().flatten().any(Result::is_ok);
        chart.add(ways(&host, port, &kinds));
        if let Some(tls) = tls.as_ref().filter(|_| connected) {
            let finding = handshake((&host, port), tls, limit).await;
            reached |= finding.grade == Grade::Good;
            chart.add(finding);
        }
    }
    match tls.filter(|_| reached) {
        Some(tls) => chart.add(time(config, &tls).await),
        None => chart.add(Finding::skipped("clock", "the cloud, to whose clock it is compared, is not reached")),
    }
}

fn names(host: &str, found: &io::Result<Vec<SocketAddr>>) -> Finding {
    let to_do = "look at the internet connection and at the resolver (/etc/resolv.conf)";
    match found {
        Err(error) => Finding::new("dns", CLOUD, format!("{host} cannot be looked up: {error}"), to_do),
        Ok(found) if found.is_empty() => Finding::new("dns", CLOUD, format!("{host} has no address"), to_do),
        Ok(found) => {
            let ipv4 = found.iter().filter(|address| address.is_ipv4()).count();
            let ipv6 = found.len() - ipv4;
            Finding::good("dns", format!("{host} has {ipv4} IPv4 and {ipv6} IPv6 addresses"))
        }
    }
}

/// Connects over IPv4 and over IPv6; `None` where there is no such address.
async fn families(addresses: &[SocketAddr], limit: Duration) -> [Option<io::Result<Duration>>; 2] {
    let over = async |ipv4: bool| {
        let mut last = None;
        for address in addresses.iter().filter(|address| address.is_ipv4() == ipv4).take(MAX_ADDRESSES) {
            let begun = clock::now();
            let connected = clock::within(limit, TcpStream::connect(address)).await;
            last = Some(connected.unwrap_or_else(|late| Err(io::Error::other(late))).map(|_| clock::now() - begun));
            if last.as_ref().is_some_and(Result::is_ok) {
                break;
            }
        }
        last
    };
    let (ipv4, ipv6) = tokio::join!(over(true), over(false));
    [ipv4, ipv6]
}

fn ways(host: &str, port: u16, kinds: &[Option<io::Result<Duration>>; 2]) -> Finding {
    // A machine without a kind of address says so at once, and that costs nothing.
    let is_missing =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable);
    let show = |(name, outcome): (&str, &Option<io::Result<Duration>>)| match outcome {
        None => format!("no address over {name}"),
        Some(Ok(took)) => format!("{name} in {} ms", took.as_millis()),
        Some(Err(error)) => format!("not over {name} ({error})"),
    };
    let found: Vec<String> = ["IPv4", "IPv6"].into_iter().zip(kinds).map(show).collect();
    let found = format!("{host} port {port} is reached: {}", found.join(", "));
    let worked = kinds.iter().flatten().any(Result::is_ok);
    let hurts = kinds.iter().flatten().any(|outcome| outcome.as_ref().is_err_and(|error| !is_missing(error)));
    match (worked, hurts) {
        (true, false) => Finding::good("ipv4, ipv6", found),
        (true, true) => {
            let to_do = "mend it, or do without: each connection loses a moment to it";
            Finding::new("ipv4, ipv6", Grade::Warning, found, to_do)
        }
        (false, _) => {
            let to_do = format!("look at the internet connection, and let the firewall pass port {port} outgoing");
            Finding::new("ipv4, ipv6", CLOUD, found.replace(" is reached: ", " is not reached: "), to_do)
        }
    }
}

async fn handshake((host, port): (&str, u16), tls: &Arc<ClientConfig>, limit: Duration) -> Finding {
    let target = Target { host: host.to_owned(), port, transport: Transport::Tls(Arc::clone(tls)) };
    match meanwhile(format_args!("Shaking hands with {host}"), Wire::open(&target, limit)).await {
        Ok(_) => Finding::good("tls", format!("the certificate of {host} is accepted")),
        Err(error) => {
            let to_do = match &error {
                WireError::Certificate { error, .. } if tls::is_of_the_future(error) => SET_THE_CLOCK,
                WireError::Certificate { .. } => {
                    "upgrade the package ca-certificates; behind a proxy that opens TLS, name its root in cloud.ca_file"
                }
                _ => "look for a proxy, a firewall or a captive portal in between",
            };
            Finding::new("tls", CLOUD, error.to_string(), to_do)
        }
    }
}

async fn time(config: &Config, tls: &Arc<ClientConfig>) -> Finding {
    let cloud = &config.cloud;
    let asked =
        async { RestClient::new(&cloud.api_url, tls, cloud.connect_timeout, cloud.operation_timeout)?.time().await };
    match meanwhile("Asking the cloud for the time", asked).await {
        Ok(Some(theirs)) => compare(theirs, clock::wall()),
        Ok(None) => Finding::skipped("clock", "the cloud names no time"),
        Err(error) => Finding::skipped("clock", format!("the cloud's time is not known: {error}")),
    }
}

fn compare(theirs: SystemTime, ours: SystemTime) -> Finding {
    let (off, word) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let shown = humantime::format_duration(Duration::from_secs(off.as_secs()));
    let found = format!("this machine's clock is {shown} {word} the cloud's");
    if off > SKEW {
        Finding::new("clock", CLOUD, found, SET_THE_CLOCK)
    } else if off > DRIFT {
        Finding::new("clock", Grade::Warning, found, SET_THE_CLOCK)
    } else {
        Finding::good("clock", format!("agrees with the cloud's, to {} s", off.as_secs() + 1))
    }
}

/// Signs in, if that is allowed, and lists the heaters. A password that is known to be rejected is never shown again.
pub async fn sign_in(config: &Config, allowed: bool) -> Finding {
    const WRONG: &str = "correct account.email or the password: sudo navien2mqtt setup";
    let state = StateDirectory::new(&config.state_directory);
    if let Some((at, _)) = state.rejection(&config.account.email, &config.account.password, clock::wall()) {
        let at = humantime::format_rfc3339_seconds(at);
        return Finding::new(
            "sign-in",
            Grade::Bad(Exit::CredentialsRejected),
            format!("the cloud rejected this password at {at}"),
            WRONG,
        );
    }
    if !allowed {
        return Finding::skipped("sign-in", "not tried; --sign-in tries it");
    }
    let listed = async {
        let client = OneShotClient::new(config).await?;
        client.sign_in().await?;
        client.devices().await
    };
    match meanwhile("Signing in", listed).await {
        Ok(list) => heaters(&list, &config.account.heaters),
        Err(error @ OneShotError::SignIn(SignInError::TooSoon(_))) => {
            Finding::new("sign-in", Grade::Warning, error.to_string(), "wait so long, then try again")
        }
        Err(error) => {
            let exit = exit(&error);
            let to_do = if exit == Exit::CredentialsRejected { WRONG } else { "wait: the cloud may be in trouble" };
            Finding::new("sign-in", Grade::Bad(exit), error.to_string(), to_do)
        }
    }
}

/// Compares the account's heaters with those that are chosen.
fn heaters(list: &DeviceList, choice: &HeaterChoice) -> Finding {
    let warn = |found, to_do| Finding::new("sign-in", Grade::Warning, found, to_do);
    if list.heaters.is_empty() {
        let to_do = "look into the NaviLink app: is the heater in this account?";
        return warn(list.in_place_of_heaters(&product::names()), to_do);
    }
    let to_do = "correct it; navien2mqtt devices lists the heaters of the account";
    if let Some((key, mac)) = choice.named().find(|(_, mac)| list.heaters.iter().all(|heater| heater.mac != **mac)) {
        return warn(format!("{key} names {mac}, which the account does not have"), to_do);
    }
    let (chosen, others): (Vec<_>, Vec<_>) = list.heaters.iter().partition(|heater| choice.includes(&heater.mac));
    if chosen.is_empty() {
        return warn(list.in_place_of_heaters(&product::names()), to_do);
    }
    let names: Vec<&str> = chosen.iter().map(|heater| heater.name.as_str()).collect();
    let left_out = match others.len() {
        0 => String::new(),
        count => format!("; {count} left out by the configuration"),
    };
    Finding::good("sign-in", format!("accepted; heaters: {}{left_out}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn line(finding: &Finding) -> (&str, &str, &str) {
        (finding.grade.word(), &finding.found, &finding.to_do)
    }

    #[test]
    fn a_clock_that_is_off_is_said_to_be_by_how_much() {
        let ours = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let off = |seconds: i64| {
            let by = Duration::from_secs(seconds.unsigned_abs());
            compare(if seconds > 0 { ours - by } else { ours + by }, ours)
        };
        assert_eq!(line(&off(2)), ("ok", "agrees with the cloud's, to 3 s", ""));
        let found = "this machine's clock is 1m behind the cloud's";
        assert_eq!(line(&off(-60)), ("warning", found, SET_THE_CLOCK));
        let found = "this machine's clock is 1h ahead of the cloud's";
        assert_eq!(line(&off(3600)), ("bad", found, SET_THE_CLOCK));
    }

    #[test]
    fn a_choice_that_does_not_fit_the_account_is_a_warning() {
        let entry =
            |mac: &str| serde_json::json!({ "deviceInfo": { "macAddress": mac, "deviceType": 52, "deviceName": mac } });
        let mut list = DeviceList::default();
        list.take_page(&serde_json::json!([entry("04786332fca0"), entry("04786332fca1")]), product::is_known);
        let all_but = |macs: &[&str]| HeaterChoice::AllBut(macs.iter().map(|mac| mac.parse().unwrap()).collect());
        let compared = |choice| heaters(&list, &choice);
        assert_eq!(line(&compared(HeaterChoice::All)).1, "accepted; heaters: 04786332fca0, 04786332fca1");
        let one = "accepted; heaters: 04786332fca1; 1 left out by the configuration";
        assert_eq!(line(&compared(all_but(&["04786332fca0"]))), ("ok", one, ""));
        let unknown = compared(all_but(&["04786332fcaf"]));
        let found = "account.exclude names 04786332fcaf, which the account does not have";
        assert_eq!((unknown.grade.word(), unknown.found.as_str()), ("warning", found));
        let none = compared(all_but(&["04786332fca0", "04786332fca1"]));
        assert!(none.grade == Grade::Warning && none.found.contains("every heater"), "{}", none.found);
    }

    #[test]
    fn a_kind_of_address_that_this_machine_lacks_does_not_hurt_but_one_that_fails_does() {
        let error = |kind: io::ErrorKind| Some(Err(kind.into()));
        let took = || Some(Ok(Duration::from_millis(12)));
        let [only, lacks, slow, none] = [
            [took(), None],
            [took(), error(io::ErrorKind::NetworkUnreachable)],
            [took(), error(io::ErrorKind::TimedOut)],
            [error(io::ErrorKind::ConnectionRefused), None],
        ]
        .map(|kinds| ways("cloud", 443, &kinds));
        assert_eq!(line(&only), ("ok", "cloud port 443 is reached: IPv4 in 12 ms, no address over IPv6", ""));
        assert_eq!(lacks.grade, Grade::Good);
        assert_eq!((slow.grade, slow.to_do.starts_with("mend it")), (Grade::Warning, true));
        let found = "cloud port 443 is not reached: not over IPv4 (connection refused), no address over IPv6";
        let to_do = "look at the internet connection, and let the firewall pass port 443 outgoing";
        assert_eq!(line(&none), ("bad", found, to_do));
    }
}
