//! The service that a configuration file belongs to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where the files of services are; the name of each is that of its unit or instance.
const FOLDER: &str = "/etc/navien2mqtt";
/// The unit that is no instance.
const NAME: &str = "navien2mqtt";
/// Where the units take their credentials from.
const CREDENTIAL_STORE: &str = "/etc/credstore";
/// `sd_booted(3)`
const BOOTED_BY_SYSTEMD: &str = "/run/systemd/system";

/// `navien2mqtt.service`, or an instance of `navien2mqtt@.service`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Service {
    instance: Option<String>,
}

impl Service {
    /// Returns the service that is started with this configuration file.
    pub fn of(config: &Path) -> Option<Self> {
        let name = config.strip_prefix(FOLDER).ok()?.to_str()?.strip_suffix(".toml")?;
        let instance = (name != NAME).then(|| name.to_owned());
        (!name.is_empty() && !name.contains('/')).then_some(Self { instance })
    }

    /// Returns the name of its unit.
    pub fn unit(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{NAME}@{instance}.service"),
            None => format!("{NAME}.service"),
        }
    }

    /// Returns the file of a credential, such as `navien-password`.
    pub fn credential(&self, name: &str) -> PathBuf {
        let instance = self.instance.as_ref().map(|instance| format!(".{instance}")).unwrap_or_default();
        Path::new(CREDENTIAL_STORE).join(format!("{name}{instance}"))
    }

    /// Returns what its unit puts into the environment.
    pub fn variable(&self, name: &str) -> Option<OsString> {
        match name {
            "NAVIEN2MQTT_INSTANCE" => self.instance.as_ref().map(Into::into),
            "STATE_DIRECTORY" => Some(match &self.instance {
                Some(instance) => format!("/var/lib/{NAME}-{instance}").into(),
                None => format!("/var/lib/{NAME}").into(),
            }),
            _ => None,
        }
    }
}

/// Returns whether systemd runs this machine's services.
pub fn systemd_runs() -> bool {
    Path::new(BOOTED_BY_SYSTEMD).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_the_unit_of_its_name() {
        let of = |path: &str| Service::of(Path::new(path));
        let (own, cabin) =
            (of("/etc/navien2mqtt/navien2mqtt.toml").unwrap(), of("/etc/navien2mqtt/cabin.toml").unwrap());
        assert_eq!((own.unit().as_str(), cabin.unit().as_str()), ("navien2mqtt.service", "navien2mqtt@cabin.service"));
        assert_eq!(own.credential("navien-password"), Path::new("/etc/credstore/navien-password"));
        assert_eq!(cabin.credential("broker-password"), Path::new("/etc/credstore/broker-password.cabin"));
        assert_eq!(own.variable("STATE_DIRECTORY").unwrap(), "/var/lib/navien2mqtt");
        assert_eq!(cabin.variable("STATE_DIRECTORY").unwrap(), "/var/lib/navien2mqtt-cabin");
        assert_eq!((own.variable("NAVIEN2MQTT_INSTANCE"), cabin.variable("NAVIEN_PASSWORD")), (None, None));
        for other in ["/home/me/navien2mqtt.toml", "/etc/navien2mqtt/a/b.toml", "/etc/navien2mqtt/a.conf", "cabin.toml"]
        {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
