//! A plain client of the cloud: REST by reqwest, signing by the AWS crates, MQTT by hand.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SessionTokenMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use futures_util::{SinkExt, StreamExt};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::v3_1_1::{Connect, Publish, Subscribe};
use mqtt_protocol_core::mqtt::packet::{Qos, SubEntry, SubOpts};
use navien2mqtt::io::clock;
use navien2mqtt::simulator::Simulator;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use url::Url;

pub const LIMIT: Duration = Duration::from_secs(10);

pub struct Rest {
    client: reqwest::Client,
    base: String,
    email: String,
    password: String,
    pub token: String,
    pub session: Value,
}

impl Rest {
    pub fn new(simulator: &Simulator) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pem = std::fs::read(&simulator.ca_file).unwrap();
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
            .no_proxy()
            .timeout(LIMIT)
            .build()
            .unwrap();
        Self {
            client,
            base: simulator.api_url.clone(),
            email: simulator.email.clone(),
            password: simulator.password.clone(),
            token: String::new(),
            session: Value::Null,
        }
    }

    pub async fn signed_in(simulator: &Simulator) -> Self {
        let mut rest = Self::new(simulator);
        rest.session = rest.sign_in().await.unwrap().1["data"].clone();
        rest.token = rest.session["token"]["accessToken"].as_str().unwrap().to_owned();
        rest
    }

    pub async fn sign_in(&self) -> reqwest::Result<(u16, Value)> {
        self.post("/user/sign-in", json!({"userId": self.email, "password": self.password})).await
    }

    /// Posts with the `userId` that authenticated calls carry.
    pub async fn call(&self, path: &str, mut body: Value) -> (u16, Value) {
        body["userId"] = self.email.clone().into();
        self.post(path, body).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: Value) -> reqwest::Result<(u16, Value)> {
        let response = self.raw(path, &body).await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    pub async fn raw(&self, path: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
        let request = self.client.post(format!("{}{path}", self.base)).header("authorization", &self.token);
        request.json(body).send().await
    }

    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> (u16, Value) {
        let request = self.client.get(format!("{}{path}", self.base)).header("authorization", &self.token);
        let response = request.query(query).query(&[("userId", &self.email)]).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// Presigns the MQTT URL with the AWS credential fields of a REST answer.
pub fn presign(mqtt_url: &str, aws: &Value, mode: SessionTokenMode, at: SystemTime) -> String {
    let field = |name: &str| aws[name].as_str().unwrap().to_owned();
    let token = field("sessionToken");
    let identity = Credentials::new(field("accessKeyId"), field("secretKey"), Some(token), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(86_400));
    settings.session_token_mode = mode;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("iotdevicegateway")
        .time(at)
        .settings(settings)
        .build()
        .unwrap();
    let https = mqtt_url.replacen("wss", "https", 1);
    let request = SignableRequest::new("GET", https, std::iter::empty(), SignableBody::Bytes(b"")).unwrap();
    let (instructions, _) = sign(request, &params.into()).unwrap().into_parts();
    let mut url = Url::parse(mqtt_url).unwrap();
    for (name, value) in instructions.params() {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.into()
}

/// Why there is no WebSocket.
#[derive(Debug)]
pub enum Refused {
    Status(u16),
    Broken,
}

pub struct Mqtt {
    pub socket: WebSocketStream<TlsStream<TcpStream>>,
    builder: PacketBuilder,
    packets: VecDeque<RawPacket>,
}

impl Mqtt {
    /// Signs, upgrades, and connects as `id`.
    pub async fn connected(simulator: &Simulator, aws: &Value, id: &str) -> Self {
        let mut mqtt = Self::open(simulator, aws).await;
        mqtt.connect(id, 30).await;
        assert_eq!(mqtt.packet().await.unwrap().data_as_slice(), [0, 0]);
        mqtt
    }

    pub async fn open(simulator: &Simulator, aws: &Value) -> Self {
        let url = presign(&simulator.mqtt_url, aws, SessionTokenMode::Exclude, clock::wall());
        Self::upgrade(simulator, &url, Some("mqtt")).await.unwrap()
    }

    pub async fn upgrade(simulator: &Simulator, url: &str, protocol: Option<&'static str>) -> Result<Self, Refused> {
        let mut roots = RootCertStore::empty();
        roots.add(rustls::pki_types::CertificateDer::from_pem_file(&simulator.ca_file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let mut request = url.into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
        }
        let host = request.uri().host().unwrap().to_owned();
        let address = (host.as_str(), request.uri().port_u16().unwrap());
        let stream = TcpStream::connect(address).await.map_err(|_| Refused::Broken)?;
        let name = ServerName::try_from(host.clone()).unwrap();
        let handshake = async {
            let stream =
                TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|_| Refused::Broken)?;
            tokio_tungstenite::client_async(request, stream).await.map_err(|error| match error {
                Error::Http(response) => Refused::Status(response.status().as_u16()),
                _ => Refused::Broken,
            })
        };
        let (socket, _) = clock::within(LIMIT, handshake).await.unwrap()?;
        Ok(Self { socket, builder: PacketBuilder::new(), packets: VecDeque::new() })
    }

    pub async fn connect(&mut self, id: &str, keep_alive: u16) {
        let connect = Connect::builder().client_id(id).unwrap().keep_alive(keep_alive).clean_session(true);
        self.send(connect.build().unwrap().to_continuous_buffer()).await;
    }

    pub async fn send(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::Binary(bytes.into())).await.unwrap();
    }

    /// Subscribes and returns the return codes.
    pub async fn subscribe(&mut self, filters: &[&str]) -> Vec<u8> {
        self.send(subscription(filters)).await;
        self.packet().await.unwrap().data_as_slice()[2..].to_vec()
    }

    pub async fn publish(&mut self, topic: &str, payload: &Value) {
        self.send(publication(topic, payload)).await;
    }

    /// Returns the next packet, or `None` when the connection is over.
    pub async fn packet(&mut self) -> Option<RawPacket> {
        clock::within(LIMIT, self.next_packet()).await.expect("a packet comes or the connection ends")
    }

    /// Returns the next PUBLISH; other packets are passed over.
    pub async fn message(&mut self) -> (String, Vec<u8>) {
        loop {
            let raw = self.packet().await.expect("the connection stands");
            let PacketData::Publish(data) = &raw.data else { continue };
            let (publish, _) = Publish::parse(raw.flags(), data.clone()).unwrap();
            return (publish.topic_name().to_owned(), publish.payload().as_slice().to_vec());
        }
    }

    /// Returns the payload of the next PUBLISH on `topic`; what else a heater says is passed over.
    pub async fn message_on(&mut self, topic: &str) -> Vec<u8> {
        loop {
            let (on, payload) = self.message().await;
            if on == topic {
                return payload;
            }
        }
    }

    /// Says whether nothing at all comes for `duration`.
    pub async fn is_silent(&mut self, duration: Duration) -> bool {
        clock::within(duration, self.next_packet()).await.is_err()
    }

    pub async fn is_closed(&mut self) -> bool {
        self.packet().await.is_none()
    }

    async fn next_packet(&mut self) -> Option<RawPacket> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Some(packet);
            }
            let message = self.socket.next().await?.ok()?;
            let Message::Binary(bytes) = message else { continue };
            let mut cursor = Cursor::new(&bytes[..]);
            while let PacketBuildResult::Complete(raw) = self.builder.feed(&mut cursor) {
                self.packets.push_back(raw);
            }
        }
    }
}

pub fn subscription(filters: &[&str]) -> Vec<u8> {
    let entry = |filter: &&str| SubEntry::new(*filter, SubOpts::new().set_qos(Qos::AtLeastOnce)).unwrap();
    let entries: Vec<_> = filters.iter().map(entry).collect();
    Subscribe::builder().packet_id(7u16).entries(entries).build().unwrap().to_continuous_buffer()
}

pub fn publication(topic: &str, payload: &Value) -> Vec<u8> {
    let publish = Publish::builder().topic_name(topic).unwrap().qos(Qos::AtLeastOnce).packet_id(9u16);
    publish.payload(payload.to_string()).build().unwrap().to_continuous_buffer()
}

/// A status request of client `id` to heater `mac`: topic and payload.
pub fn status_request(id: &str, mac: &str) -> (String, Value) {
    let topic = format!("cmd/52/navilink-{mac}/st");
    let request = json!({
        "clientID": id, "sessionID": "0", "protocolVersion": 2, "requestTopic": topic,
        "responseTopic": format!("cmd/52/navilink-{mac}/{id}/res"),
        "request": {"command": 16_777_219, "deviceType": 52, "macAddress": mac, "additionalValue": "5322"},
    });
    (topic, request)
}
