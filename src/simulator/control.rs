//! The control port, plain HTTP on loopback: `POST /faults` (see [`super::faults`]), `GET /counters`, and `GET /` for
//! the addresses that `simulate` prints.

use axum::Json;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;

use super::cloud::Controls;
use super::faults::Fault;

#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    Many(Vec<Fault>),
    One(Fault),
}

/// Serves the control port until it is dropped.
pub async fn serve(listener: TcpListener, controls: Controls, description: Value) {
    let counters = controls.clone();
    let set = move |Json(faults): Json<Faults>| {
        let faults = match faults {
            Faults::Many(faults) => faults,
            Faults::One(fault) => vec![fault],
        };
        faults.into_iter().for_each(|fault| controls.set(fault));
        async { StatusCode::NO_CONTENT }
    };
    let router = Router::new()
        .route("/", get(async move || Json(description)))
        .route("/faults", post(set))
        .route("/counters", get(move || async move { Json(counters.counters()) }));
    let _ = axum::serve(listener, router).await;
}
