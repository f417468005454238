//! The presigned URL against a verifier that shares no code with it, and what refusals look like from the link.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use navien2mqtt::foreign_text::Secrets;
use navien2mqtt::io::mqtt::{Dial, Link, LinkError, LinkEvent};
use navien2mqtt::io::tls;
use navien2mqtt::io::wire::{Target, Transport, WireError};
use navien2mqtt::navilink::account::AwsCredentials;
use navien2mqtt::navilink::presign::presign;
use navien2mqtt::simulator::{Fault, Options, Simulator};
use navien2mqtt::tokens::Renewal;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::timeout;
use url::Url;

use super::cloud::Cloud;

const REGION: &str = "us-east-1";
const GENEROUS: Duration = Duration::from_secs(30);

/// A session with the MQTT side at `mqtt_url`.
fn dial(mqtt_url: &str, signed: SecretString, ca_file: &Path) -> Dial {
    let url: Url = mqtt_url.parse().unwrap();
    let tls = tls::client_config(Some(ca_file), None).unwrap();
    Dial {
        target: Target {
            host: url.host_str().unwrap().to_owned(),
            port: url.port().unwrap(),
            transport: Transport::WebSocket { tls, url: signed, secrets: Secrets::default() },
        },
        keep_alive: GENEROUS,
        connect_timeout: GENEROUS,
        operation_timeout: GENEROUS,
        username: None,
        password: None,
        will: None,
        filters: vec!["cmd/52/navilink-04786332fca0/me/#".into()],
    }
}

/// Dials once; the session is cut when it is up.
async fn outcome(dial: Dial) -> Result<(), WireError> {
    let (sender, mut events) = mpsc::channel(16);
    let link = Link::new("me", sender).unwrap();
    link.dial(1, dial);
    match timeout(2 * GENEROUS, events.recv()).await.expect("the dial ends").unwrap() {
        LinkEvent::Up { .. } => {
            link.cut(1);
            let down = timeout(GENEROUS, events.recv()).await.expect("the session ends").unwrap();
            assert!(matches!(down, LinkEvent::Down { error: LinkError::OnPurpose, .. }), "{down:?}");
            Ok(())
        }
        LinkEvent::Down { error: LinkError::Wire(error), .. } => Err(error),
        other => panic!("neither up nor refused: {other:?}"),
    }
}

fn sign(simulator: &Simulator, region: &str, aws: &AwsCredentials, at: SystemTime) -> SecretString {
    presign(&simulator.mqtt_url.parse().unwrap(), region, aws, at).unwrap()
}

/// Dials the cloud with these credentials and everything else right.
async fn with(cloud: &Cloud, aws: &AwsCredentials) -> Result<(), WireError> {
    let simulator = &cloud.simulator;
    let signed = sign(simulator, REGION, aws, SystemTime::now());
    outcome(dial(&simulator.mqtt_url, signed, &simulator.ca_file)).await
}

async fn signed_in() -> (Cloud, AwsCredentials) {
    let cloud = Cloud::new().await;
    let aws = cloud.signed_in().await.aws_credentials().await.unwrap();
    (cloud, aws)
}

fn upgrade_status(outcome: Result<(), WireError>) -> u16 {
    match outcome {
        Ok(()) => 101,
        Err(WireError::Upgrade { status, .. }) => status,
        Err(other) => panic!("no answer to the upgrade: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_presigned_url_opens_a_session() {
    let (cloud, aws) = signed_in().await;
    with(&cloud, &aws).await.unwrap();
    let counters = cloud.simulator.counters();
    assert_eq!((counters.forbidden, counters.connects, counters.filters, counters.violations), (0, 1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_wrongly_is_forbidden() {
    let (cloud, aws) = signed_in().await;
    let wrong_key = AwsCredentials { secret_key: "another".to_owned().into(), ..aws.clone() };
    let wrong_token = AwsCredentials { session_token: Some("another".to_owned().into()), ..aws.clone() };
    let no_token = AwsCredentials { session_token: None, ..aws.clone() };
    for (which, wrong) in [("secret key", wrong_key), ("session token", wrong_token), ("no token", no_token)] {
        assert_eq!(upgrade_status(with(&cloud, &wrong).await), 403, "{which}");
    }
    let simulator = &cloud.simulator;
    let now = SystemTime::now();
    for (region, at) in [("eu-west-1", now), (REGION, now + Duration::from_secs(900))] {
        let signed = sign(simulator, region, &aws, at);
        let answered = outcome(dial(&simulator.mqtt_url, signed, &simulator.ca_file)).await;
        assert_eq!(upgrade_status(answered), 403, "{region}");
    }
    assert_eq!((simulator.counters().forbidden, simulator.counters().connects), (5, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_credentials_are_forbidden_until_they_are_renewed() {
    let cloud = Cloud::new().await;
    let account = cloud.signed_in().await;
    cloud.simulator.faults().set(Fault::ExpireAws);
    let expired = account.aws_credentials().await.unwrap();
    assert_eq!(upgrade_status(with(&cloud, &expired).await), 403);
    account.ensure(Renewal::Refused).await.unwrap();
    let renewed = account.aws_credentials().await.unwrap();
    assert_eq!(upgrade_status(with(&cloud, &renewed).await), 101);
    assert_eq!(cloud.calls(), [1, 0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_in_trouble_is_known_by_its_status() {
    let (cloud, aws) = signed_in().await;
    for status in [429, 503] {
        cloud.simulator.faults().set(Fault::Upgrade { status, times: Some(1) });
        assert_eq!(upgrade_status(with(&cloud, &aws).await), status);
    }
    assert_eq!(upgrade_status(with(&cloud, &aws).await), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_not_accepted() {
    let ((cloud, aws), other) = (signed_in().await, Cloud::new().await);
    let signed = sign(&cloud.simulator, REGION, &aws, SystemTime::now());
    let refused = outcome(dial(&cloud.simulator.mqtt_url, signed, &other.simulator.ca_file)).await;
    assert!(matches!(refused, Err(WireError::Certificate { .. })), "{refused:?}");
    assert_eq!(cloud.simulator.counters().forbidden, 0, "the URL was not shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_name_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Some(folder.path().to_owned());
    let first = Cloud::with(Options { directory: directory.clone(), ..Options::default() }).await;
    let aws = first.signed_in().await.aws_credentials().await.unwrap();
    // It takes over the first one's certificate, which does not name its address.
    let listen = Ipv4Addr::new(127, 0, 0, 21).into();
    let second = Cloud::with(Options { directory, listen, ..Options::default() }).await;
    let signed = sign(&second.simulator, REGION, &aws, SystemTime::now());
    let refused = outcome(dial(&second.simulator.mqtt_url, signed, &second.simulator.ca_file)).await;
    match refused {
        Err(WireError::Certificate { host, .. }) => assert_eq!(host, "127.0.0.21"),
        other => panic!("{other:?}"),
    }
    assert_eq!(second.simulator.counters().accepts, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_that_is_gone_is_not_reached() {
    let cloud = Cloud::alone(23).await;
    let aws = cloud.signed_in().await.aws_credentials().await.unwrap();
    let signed = sign(&cloud.simulator, REGION, &aws, SystemTime::now());
    let dial = dial(&cloud.simulator.mqtt_url, signed, &cloud.simulator.ca_file);
    cloud.simulator.stop().await;
    let refused = outcome(dial).await;
    assert!(matches!(&refused, Err(error @ WireError::Connect { .. }) if !error.reached_server()), "{refused:?}");
}
