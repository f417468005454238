//! `doctor`: looks through all that the service needs, and says what is to be done.

mod broker;
mod cloud;
mod machine;

use std::path::Path;

use clap::Args;
use rustix::process::geteuid;
use serde_json::{Value, json};

use super::service::{Service, systemd_runs};
use super::{on_runtime, read_for_one_shot, read_for_unit, say, terminal};
use crate::config::Config;
use crate::exit::Exit;

/// How the doctor is run.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Sign in to the cloud with the password, without asking first
    #[arg(long, conflicts_with = "no_sign_in")]
    sign_in: bool,
    /// Do not sign in, and do not ask
    #[arg(long)]
    no_sign_in: bool,
}

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    check: &'static str,
    grade: Grade,
    found: String,
    to_do: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Good,
    Warning,
    /// It must be mended; the exit code is that which the daemon has, or would have, for it.
    Bad(Exit),
    /// It could not be looked at.
    Skipped,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Grade::Good => "ok",
            Grade::Warning => "warning",
            Grade::Bad(_) => "bad",
            Grade::Skipped => "skipped",
        }
    }

    /// Returns the colour of ECMA-48 for it.
    fn colour(self) -> u8 {
        match self {
            Grade::Good => 32,
            Grade::Warning => 33,
            Grade::Bad(_) => 31,
            Grade::Skipped => 2,
        }
    }
}

impl Finding {
    fn new(check: &'static str, grade: Grade, found: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { check, grade, found: found.into(), to_do: to_do.into() }
    }

    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Grade::Good, found, "")
    }

    fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Grade::Skipped, why, "")
    }

    fn json(&self) -> Value {
        let to_do = (!self.to_do.is_empty()).then_some(&self.to_do);
        json!({ "check": self.check, "grade": self.grade.word(), "found": self.found, "to_do": to_do })
    }
}

/// Shows each finding as soon as it is there, or all of them as JSON in the end.
struct Chart {
    as_json: bool,
    coloured: bool,
    findings: Vec<Finding>,
}

impl Chart {
    fn add(&mut self, finding: Finding) {
        if !self.as_json {
            let Finding { check, grade, found, to_do } = &finding;
            let word = match self.coloured {
                true => format!("\x1b[{}m{:7}\x1b[0m", grade.colour(), grade.word()),
                false => format!("{:7}", grade.word()),
            };
            let to_do = if to_do.is_empty() { String::new() } else { format!(". To do: {to_do}") };
            say(format_args!("{word}  {check:13}  {found}{to_do}"));
        }
        self.findings.push(finding);
    }

    /// Returns the largest exit code of what must be mended.
    fn finish(self) -> Exit {
        let codes = self.findings.iter().filter_map(|finding| match finding.grade {
            Grade::Bad(exit) => Some(exit),
            Grade::Good | Grade::Warning | Grade::Skipped => None,
        });
        let exit = codes.max().unwrap_or(Exit::Success);
        if self.as_json {
            let checks: Value = self.findings.iter().map(Finding::json).collect();
            let whole = json!({ "exit_code": exit as u8, "checks": checks });
            say(serde_json::to_string_pretty(&whole).unwrap_or_default());
        }
        exit
    }
}

/// Looks through everything, one check after the other.
pub fn doctor(args: &DoctorArgs, path: &Path) -> Exit {
    let mut chart = Chart { as_json: args.json, coloured: terminal::shows_colours(), findings: Vec::new() };
    let service = Service::of(path).filter(|_| systemd_runs());
    // What counts is what the unit sees, and only root sees that as well.
    let as_unit = service.as_ref().filter(|_| geteuid().is_root());
    let loaded = as_unit.map_or_else(|| read_for_one_shot(path), |service| read_for_unit(path, service));
    machine::configuration(&mut chart, path, &loaded);
    machine::credential(&mut chart, &loaded, (service.as_ref(), as_unit));
    on_runtime(async {
        match &loaded {
            Ok(config) => examine(&mut chart, config, args).await,
            Err(_) => chart.add(Finding::skipped("cloud, broker", "they need a configuration that can be read")),
        }
        match &service {
            Some(service) => machine::unit(&mut chart, &service.unit()).await,
            None => chart.add(Finding::skipped("unit", format!("none is started with {} here", path.display()))),
        }
        chart.finish()
    })
}

async fn examine(chart: &mut Chart, config: &Config, args: &DoctorArgs) {
    cloud::network(chart, config).await;
    let may_sign_in = match (args.sign_in, args.no_sign_in) {
        (false, false) if terminal::answers() && !args.json => terminal::confirm(
            "Sign in to the cloud with the password, which counts as one of 12 sign-ins an hour?",
            false,
        )
        .unwrap_or(false),
        (sign_in, _) => sign_in,
    };
    chart.add(cloud::sign_in(config, may_sign_in).await);
    broker::examine(chart, config).await;
    machine::state(chart, &config.state_directory);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_largest_of_what_must_be_mended() {
        let chart = |grades: &[Grade]| {
            let findings = grades.iter().map(|grade| Finding::new("a", *grade, "b", "c")).collect();
            Chart { as_json: false, coloured: false, findings }.finish()
        };
        assert_eq!(chart(&[Grade::Good, Grade::Warning, Grade::Skipped]), Exit::Success);
        let bad = [Grade::Bad(Exit::CloudUnavailable), Grade::Bad(Exit::CredentialsRejected), Grade::Warning];
        assert_eq!(chart(&bad), Exit::CredentialsRejected);
        assert_eq!(chart(&[Grade::Bad(Exit::Configuration), Grade::Bad(Exit::LocalBroker)]), Exit::Configuration);
    }
}
