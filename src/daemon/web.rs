//! What the HTTP server asks of the loop.

use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use hyper::StatusCode;

use super::cloud_link::CloudLinks;
use super::local_link::LocalLink;
use super::report::wall_of;
use super::trace::TracedSupervisors;
use crate::bridge::Bridge;
use crate::config::HttpConfig;
use crate::io::http::{Document, HttpAnswer, HttpServer};
use crate::io::rest::Account;
use crate::io::state::StateDirectory;
use crate::model::Moment;
use crate::outputs::web::{Format, PAGE, Traffic, Vitals, Web};
use crate::supervisor::State;

/// Starts the server, with what an earlier run kept.
///
/// # Errors
///
/// When its thread cannot be started.
pub fn start(
    config: &HttpConfig,
    bridge: &mut Bridge,
    state: &StateDirectory,
    moment: Moment,
) -> io::Result<HttpServer> {
    bridge.add_web(Web::new(state.history(), moment));
    HttpServer::start(config.listen, &config.hosts, &PAGE)
}

/// Where the answers come from.
pub struct WebSources<'d> {
    /// The time.
    pub moment: Moment,
    /// When the daemon started.
    pub started_at: SystemTime,
    /// The supervisors.
    pub supervisors: &'d TracedSupervisors,
    /// The bridge, which has the output.
    pub bridge: &'d Bridge,
    /// The links to the cloud.
    pub cloud: &'d CloudLinks,
    /// The link to the local broker.
    pub local: &'d LocalLink,
    /// The account, which knows the sign-ins.
    pub account: &'d Account,
    /// Why the watchdog is not fed.
    pub unhealthy: Option<String>,
}

impl WebSources<'_> {
    /// Answers a question, if there is an output.
    pub fn answer(&self, document: Document) -> Option<HttpAnswer> {
        let web = self.bridge.web.as_ref()?;
        let metrics = |format: Format| {
            // They are counted in a file, which a page has no need of each time when something changes.
            let sign_ins_left = Some(self.account.sign_ins_left() as u64);
            let vitals = Vitals { sign_ins_left, ..self.vitals() };
            good(format.media_type(), web.metrics(&vitals, format, self.moment))
        };
        let json = |value: serde_json::Value| good("application/json", value.to_string());
        Some(match document {
            Document::Metrics => metrics(Format::Prometheus),
            Document::OpenMetrics => metrics(Format::OpenMetrics),
            Document::Health => verdict(self.unhealthy.clone()),
            Document::Ready => verdict(self.unhealthy.clone().or_else(|| self.not_ready())),
            Document::State => json(web.state(&self.vitals(), self.moment)),
            Document::History => json(web.history(self.moment)),
        })
    }

    /// Says what is missing until everything works.
    fn not_ready(&self) -> Option<String> {
        let view = self.supervisors.view();
        let cloud = (view.state != State::Connected).then(|| format!("cloud: {}", view.summary(self.moment.now)));
        let local = self.local.trouble().or_else(|| (!self.local.is_up()).then(|| "not connected".to_owned()));
        let troubles: Vec<String> =
            cloud.into_iter().chain(local.map(|trouble| format!("local broker: {trouble}"))).collect();
        (!troubles.is_empty()).then(|| troubles.join("; "))
    }

    fn vitals(&self) -> Vitals {
        let wall = |at| wall_of(self.moment, at);
        let counts = self.bridge.counts();
        Vitals {
            started_at: self.started_at,
            sessions: self.supervisors.count(),
            session_since: self.cloud.iter().next().and_then(|(_, link)| link.up_since()).map(wall),
            is_local_up: self.local.is_up(),
            local_trouble: self.local.trouble(),
            superseded: self.local.superseded(),
            sign_ins_left: None,
            queued: counts.queued,
            complaints: counts.complaints,
            unknown_fields: counts.unknown_fields,
            cloud: self.cloud.iter().map(|(_, link)| link.traffic()).fold(Traffic::default(), Traffic::with),
            local: self.local.traffic(),
        }
    }
}

fn good(media_type: &'static str, body: String) -> HttpAnswer {
    HttpAnswer { status: StatusCode::OK, media_type, body: Bytes::from(body) }
}

fn verdict(trouble: Option<String>) -> HttpAnswer {
    let (status, words) = match trouble {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(trouble) => (StatusCode::SERVICE_UNAVAILABLE, trouble + "\n"),
    };
    HttpAnswer { status, media_type: "text/plain; charset=utf-8", body: Bytes::from(words) }
}
