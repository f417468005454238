//! The calls and the account against a scripted HTTPS server.

mod account;
mod client;
mod server;

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Value, json};

use self::server::{ApiServer, Reply};
use super::{Account, RestClient};
use crate::foreign_text::Secrets;
use crate::io::state::StateDirectory;
use crate::io::tls;

const LIMIT: Duration = Duration::from_secs(20);
const EMAIL: &str = "You@Example.com";

fn client(server: &ApiServer) -> RestClient {
    client_within(server, LIMIT)
}

fn client_within(server: &ApiServer, total: Duration) -> RestClient {
    let tls = tls::client_config(Some(&server.ca_file), None).unwrap();
    RestClient::new(&server.url, &tls, LIMIT, total).unwrap()
}

fn account(server: &ApiServer) -> Account {
    Account::new(client(server), EMAIL, SecretString::from("right"), StateDirectory::new(server.state()))
}

/// A `token` object whose secrets carry `mark` and which lives for so many seconds.
fn token(mark: &str, jwt_life: u64, aws_life: u64) -> Value {
    json!({
        "idToken": format!("id-{mark}"),
        "accessToken": format!("access-{mark}"),
        "refreshToken": format!("refresh-{mark}"),
        "authenticationExpiresIn": jwt_life,
        "accessKeyId": format!("key-{mark}"),
        "secretKey": format!("secret-{mark}"),
        "sessionToken": format!("session-{mark}"),
        "authorizationExpiresIn": aws_life,
    })
}

fn signed_in(jwt_life: u64, aws_life: u64) -> Reply {
    let token = token("signed-in", jwt_life, aws_life);
    Reply::good(&json!({ "userInfo": { "userType": "O", "userSeq": 7 }, "token": token }))
}

/// What `/auth/refresh` answers: JWT fields only.
fn refreshed_jwt() -> Reply {
    Reply::good(&json!({ "accessToken": "access-refreshed", "authenticationExpiresIn": 3600 }))
}

/// What `/auth/session/refresh` and `/user/secured-sign-in` answer: AWS fields only.
fn refreshed_aws(mark: &str) -> Reply {
    let mut fields = token(mark, 3600, 3600);
    for jwt_field in ["idToken", "accessToken", "refreshToken", "authenticationExpiresIn"] {
        fields.as_object_mut().unwrap().remove(jwt_field);
    }
    Reply::good(&fields)
}

/// A device list entry; `number` makes its MAC.
fn entry(number: usize) -> Value {
    json!({ "deviceInfo": {
        "homeSeq": 25004, "macAddress": format!("0478633{number:05x}"), "additionalValue": "5322", "deviceType": 52,
        "deviceName": "NWP500", "connected": 2,
    } })
}
