//! The metrics, in the formats of Prometheus and OpenMetrics. Names and units follow their conventions: base units, a
//! time as seconds since 1970, what only grows ends in `_total`.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use serde_json::Value;

use super::history::celsius;
use super::{ShownHeater, Traffic, Vitals, Web, time};
use crate::model::{Mac, Moment};

/// The states of the connection, the steps of a command, and the modes of a heater. All of them have a sample, be it 0:
/// `increase` does not see the first value of a series, and an average over time does not count what is absent.
const STATES: [&str; 6] = ["starting", "connected", "reconnecting", "recovering", "failed", "stopping"];
const OUTCOMES: [&str; 6] = ["queued", "sent", "confirmed", "rejected", "expired", "failed"];
const MODES: [&str; 7] = ["standby", "heat_pump", "electric", "energy_saver", "high_demand", "vacation", "power_off"];

/// The fields of a status that are temperatures, with the name of the sensor.
const TEMPERATURES: [(&str, &str); 11] = [
    ("tank_upper_temperature", "tank_upper"),
    ("tank_lower_temperature", "tank_lower"),
    ("dhw_temperature", "hot_water"),
    ("dhw_temperature_setting", "set_point"),
    ("current_inlet_temperature", "inlet"),
    ("outside_temperature", "outside"),
    ("ambient_temperature", "ambient"),
    ("evaporator_temperature", "evaporator"),
    ("discharge_temperature", "discharge"),
    ("suction_temperature", "suction"),
    (RECIRCULATION, "recirculation"),
];
/// A heater without the pump tells 0 °C.
const RECIRCULATION: &str = "recirc_temperature";
const JOULES_PER_KWH: f64 = 3_600_000.0;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

type Labels = Vec<(&'static str, String)>;

/// A metric with its samples.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    samples: Vec<(Labels, f64)>,
}

#[derive(Debug, Default)]
struct Metrics {
    metrics: Vec<Metric>,
}

impl Metrics {
    fn add(
        &mut self,
        kind: MetricType,
        (name, help, unit): (&'static str, &'static str, Option<Unit>),
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        // A metric without samples says nothing.
        let samples: Vec<_> = samples.into_iter().collect();
        if !samples.is_empty() {
            self.metrics.push(Metric { name, help, unit, kind, samples });
        }
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, unit: Option<Unit>, value: Option<f64>) {
        self.add(MetricType::Gauge, (name, help, unit), value.map(|value| (Labels::new(), value)));
    }

    fn counter(&mut self, name: &'static str, help: &'static str, unit: Option<Unit>, value: f64) {
        self.add(MetricType::Counter, (name, help, unit), [(Labels::new(), value)]);
    }

    fn connection(&mut self, web: &Web, moment: Moment) {
        let (connection, counts, state) = (&web.connection, &web.counts, web.connection_state());
        let one_of = STATES.map(|name| (vec![("state", name.to_owned())], truth(name == state)));
        self.add(
            MetricType::Gauge,
            ("connection_state", "1 for the state that the connection to the cloud is in now, 0 for all others.", None),
            one_of,
        );
        let since = time(&connection["since"]);
        let help = "When the connection came into that state, as seconds since 1970.";
        self.gauge("connection_state_since_timestamp", help, Some(Unit::Seconds), since.map(since_1970));
        // By the monotonic clock: `since` is in whole seconds of a clock that can be set, and Prometheus takes a counter
        // that falls for one that began anew.
        let lasts = moment.now.saturating_duration_since(web.state_since);
        let in_states = STATES.map(|name| {
            let left = counts.states.get(name).copied().unwrap_or_default();
            let lasted = if name == state { left + lasts } else { left };
            (vec![("state", name.to_owned())], lasted.as_secs_f64())
        });
        let help = "Seconds that the connection was in each state since the process started.";
        self.add(MetricType::Counter, ("connection_state", help, Some(Unit::Seconds)), in_states);
        // Not known yet is not 0, from which it would seem to grow.
        let outages = connection["outages"].as_f64().map(|outages| (Labels::new(), outages));
        let help = "How often the connection to the cloud was lost; goes on over restarts of the process.";
        self.add(MetricType::Counter, ("connection_outages", help, None), outages);
        let help = "Seconds that outages lasted which ended since the process started.";
        self.counter("connection_outage", help, Some(Unit::Seconds), counts.outage_seconds);
        let help = "When the outage of now began, as seconds since 1970; absent without one.";
        self.gauge(
            "connection_outage_since_timestamp",
            help,
            Some(Unit::Seconds),
            web.outage_since(moment).map(since_1970),
        );
        self.gauge(
            "connection_attempt",
            "Number of the attempt to reconnect or recover that is under way or waited for, 0 for none.",
            None,
            connection["attempt"].as_f64(),
        );
        let by_reason = |event: &str| {
            let counted = counts.events.iter().filter(|((name, _), _)| name == event);
            counted.map(|((_, reason), count)| (vec![("reason", reason.clone())], *count as f64)).collect::<Vec<_>>()
        };
        let help = "Lost connections to the cloud since the process started, by reason.";
        self.add(MetricType::Counter, ("connection_interruptions", help, None), by_reason("connection_interrupted"));
        let help = "Attempts to reconnect since the process started, by the reason that made them necessary.";
        self.add(MetricType::Counter, ("connection_reconnect_attempts", help, None), by_reason("reconnect_attempt"));
        let total = |event: &str| by_reason(event).iter().fold(0.0, |sum, (_, count)| sum + count);
        let help = "Attempts to recover, with tokens and a client made anew, after reconnecting had failed.";
        self.counter("connection_recovery_attempts", help, None, total("recovery_attempt"));
        self.counter("connection_recoveries", "Recoveries that brought the connection back.", None, total("recovered"));
        let help = "How often the bridge gave up: every attempt failed, or the password was rejected.";
        self.counter("connection_failures", help, None, total("failed"));
    }

    fn sessions(&mut self, web: &Web, vitals: &Vitals) {
        let help = "MQTT sessions with the cloud that there should be; one serves several heaters.";
        self.gauge("sessions", help, None, Some(vitals.sessions.0 as f64));
        let help = "MQTT sessions with the cloud on which heaters answer.";
        self.gauge("sessions_connected", help, None, Some(vitals.sessions.1 as f64));
        let help =
            "When the first MQTT session with the cloud came up, as seconds since 1970; absent while it is down.";
        self.gauge("session_start_time", help, Some(Unit::Seconds), vitals.session_since.map(since_1970));
        let help = "Sign-ins with the password that the cloud accepted since the process started.";
        self.counter("sign_ins", help, None, web.counts.sign_ins as f64);
        let help = "Sign-ins that the bridge still allows itself within this hour, of 12.";
        self.gauge("sign_ins_left", help, None, vitals.sign_ins_left.map(|left| left as f64));
    }

    fn traffic(&mut self, vitals: &Vitals) {
        let links = [("cloud", vitals.cloud), ("local", vitals.local)];
        let each =
            |read: fn(&Traffic) -> u64| links.map(|(link, of)| (vec![("link", link.to_owned())], read(&of) as f64));
        let messages = |help| (help, None);
        let bytes = |help| (help, Some(Unit::Bytes));
        for (name, (help, unit), read) in [
            (
                "mqtt_messages_received",
                messages("MQTT messages that arrived from the cloud, and from the local broker."),
                (|of| of.received.messages) as fn(&Traffic) -> u64,
            ),
            ("mqtt_messages_sent", messages("MQTT messages sent to the cloud, and to the local broker."), |of| {
                of.sent.messages
            }),
            (
                "mqtt_payload_received",
                bytes("Bytes of the payloads that arrived, without what MQTT and TLS add."),
                |of| of.received.bytes,
            ),
            (
                "mqtt_payload_sent",
                bytes("Bytes of the payloads that were sent, without what MQTT and TLS add."),
                |of| of.sent.bytes,
            ),
        ] {
            self.add(MetricType::Counter, (name, help, unit), each(read));
        }
        let help = "1 while the local MQTT broker is connected, 0 while it is not.";
        self.gauge("local_broker_connected", help, None, Some(truth(vitals.is_local_up)));
        let help =
            "Messages to the local broker that were never sent, since a newer one of the same topic took their place.";
        self.counter("mqtt_messages_superseded", help, None, vitals.superseded as f64);
        let help = "Messages of the cloud, and fields of them, that could not be decoded.";
        self.counter("decode_failures", help, None, vitals.complaints as f64);
        let help = "Fields seen in the heaters' messages that this version does not know; harmless.";
        self.gauge("unknown_fields", help, None, Some(vitals.unknown_fields as f64));
        let help = "Commands that wait for the cloud, or for the heater's turn.";
        self.gauge("commands_queued", help, None, Some(vitals.queued as f64));
    }

    fn conditions(&mut self, web: &Web) {
        let mut each = |name, help, unit, read: &dyn Fn(&ShownHeater) -> Option<f64>| {
            let samples = web.heaters.iter().filter_map(|(mac, heater)| Some((device(mac), read(heater)?)));
            self.add(MetricType::Gauge, (name, help, unit), samples);
        };
        let help = "1 while the heater answers; 0 when it has been silent for `stale_after` (5 minutes if not set).";
        each("heater_available", help, None, &|heater| Some(truth(heater.is_available)));
        each(
            "heater_last_answer_timestamp",
            "When the heater last told its status, as seconds since 1970.",
            Some(Unit::Seconds),
            &|heater| time(heater.status.as_ref()?.get("received_at")?).map(since_1970),
        );
        let ratio = Some(Unit::Other("ratio".to_owned()));
        each("heater_charge", "How much of the tank is hot, from 0 to 1.", ratio, &|heater| {
            Some(heater.number("dhw_charge_per")? / 100.0)
        });
        each(
            "heater_power",
            "Electric power that the heater takes now.",
            Some(Unit::Other("watts".to_owned())),
            &|heater| heater.number("current_inst_power"),
        );
        each("heater_error_code", "Code of the error that the heater shows, 0 for none.", None, &|heater| {
            heater.number("error_code")
        });
        each("heater_problem", "1 while the heater shows an error or a water leak.", None, &|heater| {
            heater.flag("problem")
        });
        each("heater_water_leak", "1 while the heater reports a water leak.", None, &|heater| {
            heater.flag("water_leak")
        });
    }

    fn heaters(&mut self, web: &Web) {
        let names = web
            .heaters
            .iter()
            .map(|(mac, heater)| (vec![("device", mac.as_str().to_owned()), ("name", heater.name.clone())], 1.0));
        self.add(MetricType::Info, ("heater", "The heaters of the account with their names; always 1.", None), names);
        let commands = web.heaters.keys().flat_map(|mac| {
            OUTCOMES.map(|outcome| {
                let count = web.counts.commands.get(&(mac.clone(), outcome)).copied().unwrap_or_default();
                (with(device(mac), ("outcome", outcome)), count as f64)
            })
        });
        let help = "Commands to the heater since the process started, counted at each step that they reach.";
        self.add(MetricType::Counter, ("commands", help, None), commands);
        let temperatures = web.heaters.iter().flat_map(|(mac, heater)| {
            TEMPERATURES.into_iter().filter_map(move |(field, sensor)| {
                let told = heater.number(field).filter(|_| field != RECIRCULATION || heater.recirculates)?;
                let value = if heater.is_us() { celsius(told) } else { told };
                Some((with(device(mac), ("sensor", sensor)), (value * 1000.0).round() / 1000.0))
            })
        });
        let help =
            "Temperatures that the heater measures, and its set point, in degrees Celsius whatever it shows itself.";
        self.add(MetricType::Gauge, ("heater_temperature", help, Some(Unit::Celsius)), temperatures);
        let modes = web.heaters.iter().flat_map(|(mac, heater)| {
            let mode = heater.status.as_ref().and_then(|status| status.get("dhw_operation_setting")?.as_str());
            let modes = mode.map(|mode| MODES.map(|name| (with(device(mac), ("mode", name)), truth(name == mode))));
            modes.into_iter().flatten()
        });
        let help = "1 for the mode that the heater is set to, 0 for all others.";
        self.add(MetricType::Gauge, ("heater_mode", help, None), modes);
        let energy = web.heaters.iter().flat_map(|(mac, heater)| {
            [("heat_pump", "heat_pump_kwh"), ("heat_element", "heat_element_kwh")].into_iter().filter_map(
                move |(source, member)| {
                    let kwh = heater.energy.as_ref()?.get(member)?.as_f64()?;
                    Some((with(device(mac), ("source", source)), kwh * JOULES_PER_KWH))
                },
            )
        });
        self.add(
            MetricType::Counter,
            (
                "heater_energy",
                "Electric energy that the heater took in its life; 3600000 joules are 1 kWh.",
                Some(Unit::Joules),
            ),
            energy,
        );
    }
}

impl ShownHeater {
    fn number(&self, name: &str) -> Option<f64> {
        self.status.as_ref()?.get(name)?.as_f64()
    }

    fn flag(&self, name: &str) -> Option<f64> {
        self.status.as_ref()?.get(name)?.as_bool().map(truth)
    }

    fn is_us(&self) -> bool {
        self.status.as_ref().and_then(|status| status.get("units")).and_then(Value::as_str) == Some("us")
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Metric { name, help, unit, kind, samples } in &self.metrics {
            let mut metric = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
            for (labels, value) in samples {
                match kind {
                    MetricType::Info => metric.encode_info(labels)?,
                    MetricType::Counter => {
                        metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(value, None)?;
                    }
                    _ => metric.encode_family(labels)?.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

/// Writes the metrics of this moment.
pub fn render(web: &Web, vitals: &Vitals, format: Format, moment: Moment) -> String {
    let mut metrics = Metrics::default();
    let version = (vec![("version", env!("CARGO_PKG_VERSION").to_owned())], 1.0);
    metrics.add(MetricType::Info, ("build", "The version of navien2mqtt that runs; always 1.", None), [version]);
    let help = "When the process started, as seconds since 1970.";
    metrics.gauge("start_time", help, Some(Unit::Seconds), Some(since_1970(vitals.started_at)));
    metrics.connection(web, moment);
    metrics.sessions(web, vitals);
    metrics.traffic(vitals);
    metrics.heaters(web);
    metrics.conditions(web);
    let mut registry = Registry::with_prefix("navien2mqtt");
    registry.register_collector(Box::new(metrics));
    let mut written = String::new();
    // Writing to a string does not fail.
    let _ = match format {
        Format::Prometheus => prometheus_text::encode(&mut written, &registry),
        Format::OpenMetrics => text::encode(&mut written, &registry),
    };
    written
}

fn device(mac: &Mac) -> Labels {
    vec![("device", mac.as_str().to_owned())]
}

fn with(mut labels: Labels, (name, value): (&'static str, &str)) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

fn truth(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn since_1970(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
