use std::collections::BTreeMap;

use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;

/// Variables and files that exist in a test.
#[derive(Default)]
struct TestFiles {
    variables: BTreeMap<&'static str, &'static str>,
    files: BTreeMap<&'static str, &'static str>,
    store: Option<&'static str>,
    access: BTreeMap<&'static str, Access>,
}

impl TestFiles {
    fn with_password() -> Self {
        let mut world = Self::default();
        world.variables.insert("NAVIEN_PASSWORD", "from the environment");
        world
    }

    fn read(&self, text: &str) -> Result<Config, Vec<ConfigProblem>> {
        let variable = |name: &str| self.variables.get(name).map(OsString::from);
        let read = |path: &Path| {
            if path == Path::new("test.toml") {
                return Ok(text.as_bytes().to_vec());
            }
            let found = self.files.get(path.to_str().unwrap()).map(|text| text.as_bytes().to_vec());
            found.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        let check_pem = |file: &[u8], pem: Pem<'_>| match (file, pem) {
            (b"nonsense", _) => Err("it holds nonsense".to_owned()),
            (key, Pem::Key { certificate: Some(certificate) }) if key != certificate => Err("they differ".to_owned()),
            _ => Ok(()),
        };
        let access = |path: &Path| self.access.get(path.to_str().unwrap()).cloned().unwrap_or_default();
        let stored = |name: &str| Path::new(self.store.unwrap_or_default()).join(name);
        let environment = Environment {
            variable: &variable,
            read: &read,
            check_pem: &check_pem,
            stored_credential: self.store.map(|_| &stored as &dyn Fn(&str) -> PathBuf),
            access: &access,
        };
        Config::load(Path::new("test.toml"), environment)
    }

    fn warnings(&self, text: &str) -> Vec<String> {
        self.read(text).unwrap().warnings.iter().map(ToString::to_string).collect()
    }

    fn problems(&self, text: &str) -> Vec<String> {
        self.read(text).unwrap_err().iter().map(ToString::to_string).collect()
    }
}

const ACCOUNT: &str = "[account]\nemail = \"you@example.com\"\n";

fn good(more: &str) -> Config {
    TestFiles::with_password().read(&format!("{ACCOUNT}{more}")).unwrap()
}

fn bad(more: &str) -> Vec<String> {
    TestFiles::with_password().problems(&format!("{ACCOUNT}{more}"))
}

#[test]
fn everything_has_a_default_but_the_account() {
    let dump = good("").dump();
    assert_eq!(dump["cloud"]["mqtt_url"], "wss://a1t30mldyslmuq-ats.iot.us-east-1.amazonaws.com/mqtt");
    assert_eq!(dump["cloud"]["stale_after"], "5m");
    assert_eq!(dump["reconnect"]["max_delay"], "2m");
    assert_eq!(dump["recovery"]["strategy"], "exponential-backoff");
    assert_eq!(dump["broker"]["url"], "mqtt://127.0.0.1:1883");
    let missing = TestFiles::default().problems("");
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].starts_with("test.toml: account.email: is missing"), "{missing:?}");
    assert!(missing[1].contains("navien-password") && missing[1].contains("NAVIEN_PASSWORD"), "{missing:?}");
}

#[test]
fn some_of_the_accounts_heaters_can_be_chosen_or_left_out() {
    let macs = |list: &[&str]| list.iter().map(|mac| mac.parse().unwrap()).collect();
    assert_eq!(good("").account.heaters, HeaterChoice::All);
    assert_eq!(good("exclude = []\n").account.heaters, HeaterChoice::All);
    let some = good("heaters = [\"04:78:63:32:FC:A0\", \"04786332fca1\"]\n");
    assert_eq!(some.account.heaters, HeaterChoice::Only(macs(&["04786332fca0", "04786332fca1"])));
    assert_eq!(some.dump()["account"]["heaters"], serde_json::json!(["04786332fca0", "04786332fca1"]));
    let others = good("exclude = [\"04-78-63-32-fc-a0\"]\n").account.heaters;
    assert_eq!(others, HeaterChoice::AllBut(macs(&["04786332fca0"])));
    for (line, problem) in [
        ("heaters = []", "3:11: account.heaters: must name at least one heater; without this key, all are served"),
        (
            "heaters = \"04786332fca0\"",
            "3:11: account.heaters: expected a list of MAC addresses, such as [\"04786332fca0\"], not a string",
        ),
        (
            "exclude = [7]",
            "3:11: account.exclude: expected a list of MAC addresses, such as [\"04786332fca0\"]; of an entry: expected a string, not a whole number",
        ),
        (
            "exclude = [\"Garage\"]",
            "3:11: account.exclude: `Garage` is not a MAC address: twelve hexadecimal digits are expected, such as `04786332fca0`",
        ),
        ("heaters = [\"04786332fca0\", \"04:78:63:32:fc:a0\"]", "3:11: account.heaters: names 04786332fca0 twice"),
        (
            "heaters = [\"04786332fca0\"]\nexclude = [\"04786332fca1\"]",
            "4:11: account.exclude: cannot stand beside account.heaters, which names all that are served",
        ),
    ] {
        assert_eq!(bad(&format!("{line}\n")), [format!("test.toml:{problem}")]);
    }
}

#[test]
fn alerts_need_an_absolute_program_or_a_url_which_is_a_secret() {
    assert!(good("[alerts]\ntimeout = \"5s\"\n").alerts.is_none());
    let both = good(
        "[alerts]\ncommand = [\"/bin/tell\", \"vertraulich\"]\nurl = \"https://ha.example/api/webhook/geheim?x=1\"\n",
    );
    let text = format!("{:?} {}", both, both.dump());
    assert!(!text.contains("geheim") && text.contains("/bin/tell"), "{text}");
    assert_eq!(both.dump()["alerts"]["command"], serde_json::json!(["/bin/tell", "***"]));
    for (line, words) in [
        ("command = \"/bin/tell me\"", "expected a list of a program and its arguments"),
        ("command = []", "expected a list of a program and its arguments"),
        ("command = [\"/bin/tell\", 1]", "expected a list of a program and its arguments"),
        ("command = [\"tell\"]", "the program must be named by its absolute path"),
        ("url = \"ftp://geheim\"", "expected a URL that begins with https:// or http://"),
    ] {
        let problems = bad(&format!("[alerts]\n{line}\n"));
        assert!(problems.len() == 1 && problems[0].contains(words) && !problems[0].contains("geheim"), "{problems:?}");
    }
}

#[test]
fn what_a_client_of_the_local_broker_may_do_is_configured() {
    let config = good("");
    assert_eq!(
        (config.administration.len(), config.commands.read_only, config.commands.max_temperature),
        (6, false, None)
    );
    let config = good("[administration]\nallow = []\n[commands]\nread_only = true\nmax_temperature = \"140°F\"\n");
    assert_eq!((config.administration.len(), config.commands.read_only), (0, true));
    assert_eq!(config.commands.max_temperature, Some(120));
    assert_eq!(config.dump()["commands"]["max_temperature"], "60 °C");
    for (written, half) in [("60 °C", 120), ("54.7C", 109), ("131 °F", 110)] {
        let config = good(&format!("[commands]\nmax_temperature = {written:?}\n"));
        assert_eq!(config.commands.max_temperature, Some(half), "{written}");
    }
    assert_eq!(good("[administration]\nallow = [\"refresh\"]\n").administration, ["refresh"]);
    for line in [
        "[administration]\nallow = [\"dance\"]",
        "[administration]\nallow = \"refresh\"",
        "[commands]\nmax_temperature = 60",
        "[commands]\nmax_temperature = \"60\"",
        "[commands]\nmax_temperature = \"NaN C\"",
        "[commands]\nmax_temperature = \"500 F\"",
    ] {
        assert_eq!(bad(&format!("{line}\n")).len(), 1, "{line}");
    }
}

/// The file that is installed says what the defaults are; this holds it to that.
#[test]
fn the_commented_file_shows_the_defaults() {
    let text = include_str!("../../config/navien2mqtt.toml");
    let mut active = String::new();
    for line in text.lines() {
        let uncommented = line.strip_prefix("# ").filter(|rest| {
            let key = rest.split(" = ").next().unwrap_or_default();
            rest.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        let sample = [
            "ca_file",
            "client_certificate",
            "client_key",
            "password_file",
            "username",
            "mac =",
            "heaters =",
            "exclude =",
            "name =",
            "command =",
            "timeout =",
            "url = \"https",
            "max_temperature",
            "listen =",
            "hosts =",
        ];
        match uncommented {
            Some(rest) if sample.iter().any(|key| rest.starts_with(key)) => {}
            Some(rest) => active += &format!("{rest}\n"),
            None => active += &format!("{line}\n"),
        }
    }
    let shown = TestFiles::with_password().read(&active).unwrap().dump();
    assert_eq!(shown, good("").dump());
    let keys = active.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count();
    let written = |value: &serde_json::Value| -> usize {
        value
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_object().map_or(0, |o| o.values().filter(|v| !v.is_null()).count()))
            .sum()
    };
    assert_eq!(keys, written(&shown) + 1, "every key that has a default, and `units`, is in the file");
}

#[test]
fn every_problem_is_named_in_one_run_with_its_place_and_what_would_be_right() {
    let text = r#"units = "imperial"
[account]
email = "nobody"
[cloud]
keep_alive = 30
status_intervall = "60s"
mqtt_url = "ws://plain/mqtt"
[reconnect]
jitter = 1.5
max_attempts = -2
max_delay = "100ms"
[broker]
url = "mqtt://user:secret@host"
base_topic = "a/#"
client_key = "/missing"
[[device]]
mac = "12345"
[paint]
"#;
    let problems = TestFiles::with_password().problems(text);
    let wanted = [
        r#"test.toml:1:9: units: expected one of "device", "metric", "us", not "imperial""#,
        r#"test.toml:3:9: account.email: expected an email address such as "you@example.com""#,
        r#"test.toml:5:14: cloud.keep_alive: expected a duration with its unit, such as "30s" or "30m""#,
        r#"test.toml:6:1: cloud.status_intervall: there is no such key; did you mean `status_interval`?"#,
        r#"test.toml:7:12: cloud.mqtt_url: expected a URL that begins with wss://"#,
        r#"test.toml:9:10: reconnect.jitter: expected a number from 0 to less than 1"#,
        r#"test.toml:10:16: reconnect.max_attempts: expected a whole number of attempts, or -1 for no limit"#,
        r#"test.toml:11:13: reconnect.max_delay: max_delay must not be shorter than initial_delay"#,
        r#"test.toml:13:7: broker.url: user name and password do not belong into the URL; they have keys of their own"#,
        r#"test.toml:14:14: broker.base_topic: must not contain +, # or $, which mean something else to a broker"#,
        r#"test.toml:15:14: broker.client_key: /missing does not exist"#,
        r#"test.toml:15:14: broker.client_key: client_certificate and client_key belong together"#,
        r#"test.toml:17:7: device.mac: `12345` is not a MAC address: twelve hexadecimal digits are expected, such as `04786332fca0`"#,
        r#"test.toml:18:2: paint: there is no such key; known here: units, account, cloud, reconnect, recovery, reachability, alerts, broker, home_assistant, commands, administration, http, state, log, device"#,
    ];
    assert_eq!(problems, wanted);
}

#[test]
fn a_key_is_suggested_only_when_it_is_near() {
    for (section, written, suggested) in [
        ("broker", "ulr", None),
        ("broker", "urll", Some("url")),
        ("broker", "ur", Some("url")),
        ("broker", "rul", None),
        ("log", "lvel", Some("level")),
        ("log", "llvel", Some("level")),
        ("log", "llllvel", None),
        ("cloud", "keepalive", Some("keep_alive")),
        ("cloud", "keepalife", Some("keep_alive")),
        ("cloud", "kep-alife", Some("keep_alive")),
        ("cloud", "kep-alif", None),
        ("home_assistant", "discovery", None),
    ] {
        let problem = bad(&format!("[{section}]\n{written} = 1\n")).remove(0);
        let wanted = match suggested {
            Some(right) => format!("{section}.{written}: there is no such key; did you mean `{right}`?"),
            None => format!("{section}.{written}: there is no such key; known here: "),
        };
        assert!(problem.contains(&wanted), "{problem}");
    }
}

#[test]
fn broken_syntax_does_not_hide_the_other_problems() {
    let problems = bad("[cloud]\nkeep_alive = = \"30s\"\nregion = 5\n");
    assert!(problems[0].starts_with("test.toml:4:"), "{problems:?}");
    assert!(
        problems.iter().any(|p| p == "test.toml:5:10: cloud.region: expected a string, not a whole number"),
        "{problems:?}"
    );
    assert!(problems.iter().all(|p| !p.contains("is missing")), "{problems:?}");
}

#[test]
fn a_section_of_the_wrong_kind_is_named() {
    assert_eq!(bad("password = 3\n")[0], "test.toml:3:12: account.password: expected a string, not a whole number");
    let problems = TestFiles::with_password().problems("cloud = 7\ndevice = 1\n[account]\nemail = \"a@b.c\"\n");
    assert_eq!(problems[0], "test.toml:1:9: cloud: a section is expected, written as `[cloud]`, not a whole number");
    assert!(problems[1].starts_with("test.toml:2:10: device: sections are expected"), "{problems:?}");
}

#[test]
fn the_password_comes_from_the_first_place_that_has_it() {
    let mut world = TestFiles::default();
    let text = format!("{ACCOUNT}password_file = \"/pw\"\npassword = \"inline\"\n");
    let password =
        |world: &TestFiles, text: &str| world.read(text).unwrap().account.password.expose_secret().to_owned();
    world.files.insert("/pw", "in the file\n");
    assert_eq!(password(&world, &text), "in the file");
    world.variables.insert("NAVIEN_PASSWORD", "in the environment");
    assert_eq!(password(&world, &text), "in the environment");
    world.variables.insert("CREDENTIALS_DIRECTORY", "/run/credentials");
    assert_eq!(password(&world, &text), "in the environment", "the unit has other credentials");
    world.files.insert("/run/credentials/navien-password", "as a credential\r\n");
    assert_eq!(password(&world, &text), "as a credential");
    let inline = format!("{ACCOUNT}password = \"inline\"\n");
    assert_eq!(password(&TestFiles::default(), &inline), "inline");
}

#[test]
fn the_store_of_credentials_comes_after_what_was_handed_over_and_before_the_file() {
    let mut world = TestFiles { store: Some("/store"), ..TestFiles::default() };
    let text = format!("{ACCOUNT}password_file = \"/pw\"\n");
    let password = |world: &TestFiles| world.read(&text).unwrap().account.password.expose_secret().to_owned();
    world.files.insert("/pw", "in the file");
    assert_eq!(password(&world), "in the file", "the store has other credentials");
    world.files.insert("/store/navien-password", "stored\n");
    assert_eq!(password(&world), "stored");
    world.variables.insert("NAVIEN_PASSWORD", "in the environment");
    assert_eq!(password(&world), "in the environment");
}

#[test]
fn what_is_probably_not_meant_so_is_a_warning_with_its_place() {
    let world = TestFiles::with_password();
    let account = "[account]\nemail = \"me@example.org\"\n";
    assert_eq!(world.warnings(account), [""; 0]);
    assert_eq!(
        world.warnings(ACCOUNT),
        ["test.toml:2:9: account.email: warning: is that of the sample; put in the address of your NaviLink account"]
    );
    let login = |url: &str| {
        world.warnings(&format!("{account}[broker]\nurl = \"{url}\"\nusername = \"u\"\npassword = \"p\"\n"))
    };
    for at_home in ["mqtt://localhost", "mqtt://127.0.0.2", "mqtt://[::1]", "mqtts://broker.lan"] {
        assert_eq!(login(at_home), [""; 0], "{at_home}");
    }
    assert_eq!(
        login("mqtt://broker.lan"),
        [
            "test.toml:4:7: broker.url: warning: user name and password go to broker.lan unencrypted; mqtts:// encrypts them"
        ]
    );
    assert_eq!(
        world.warnings(&format!("{account}[broker]\nusername = \"u\"\n")),
        ["test.toml:4:12: broker.username: warning: is given without a password, which hardly any broker accepts"]
    );
    assert_eq!(
        world.warnings(&format!("{account}[broker]\nbase_topic = \"home.cellar/navien\"\n")),
        ["test.toml:4:14: broker.base_topic: warning: has a `.`, which RabbitMQ takes for a `/`"]
    );
}

#[test]
fn a_password_that_everybody_can_read_and_a_file_that_the_service_cannot_are_named() {
    let mut world = TestFiles::default();
    let account = "[account]\nemail = \"me@example.org\"\n";
    world.files.extend([("/pw", "p"), ("/ca.pem", "one")]);
    let by_file = format!("{account}password_file = \"/pw\"\n");
    assert_eq!(world.warnings(&by_file), [""; 0]);
    world.access.insert("/pw", Access { by_everybody: true, not_by_unit: None });
    assert_eq!(
        world.warnings(&by_file),
        [
            "test.toml:3:17: account.password_file: warning: every user of this machine can read /pw; give it as a systemd credential"
        ]
    );
    world.access.insert("/pw", Access { by_everybody: false, not_by_unit: Some("others may not read it".into()) });
    world.access.insert("/ca.pem", Access { by_everybody: false, not_by_unit: Some("others may not enter /".into()) });
    let cannot = "warning: the service, which runs as a user of its own, cannot read";
    assert_eq!(
        world.warnings(&format!("{by_file}[cloud]\nca_file = \"/ca.pem\"\n")),
        [
            format!("test.toml:3:17: account.password_file: {cannot} /pw: others may not read it"),
            format!("test.toml:5:11: cloud.ca_file: {cannot} /ca.pem: others may not enter /"),
        ]
    );
    world.access.insert("test.toml", Access { by_everybody: true, not_by_unit: Some("the sandbox hides it".into()) });
    assert_eq!(
        world.warnings(&format!("{account}password = \"inline\"\n")),
        [
            format!("test.toml: {cannot} test.toml: the sandbox hides it"),
            "test.toml:3:12: account.password: warning: is in a file that every user of this machine can read"
                .to_owned(),
        ]
    );
}

#[test]
fn a_password_file_that_is_of_no_use_is_named() {
    let mut world = TestFiles::default();
    let text = format!("{ACCOUNT}password_file = \"/pw\"\n");
    assert!(world.problems(&text)[0].starts_with("test.toml:3:17: account.password_file: /pw cannot be read"));
    world.files.insert("/pw", "\n");
    assert_eq!(world.problems(&text), ["test.toml:3:17: account.password_file: /pw is empty"]);
    world.files.insert("/pw", "two\nlines\n");
    assert_eq!(world.problems(&text), ["test.toml:3:17: account.password_file: /pw has more than one line"]);
}

#[test]
fn a_byte_order_mark_at_the_start_of_a_file_is_ignored() {
    let mut world = TestFiles::default();
    let text = format!("\u{feff}{ACCOUNT}password_file = \"/pw\"\n");
    world.files.insert("/pw", "\u{feff}pass\r\n");
    assert_eq!(world.read(&text).unwrap().account.password.expose_secret(), "pass");
    world.files.insert("/pw", "\u{feff}\n");
    assert_eq!(world.problems(&text), ["test.toml:3:17: account.password_file: /pw is empty"]);
    assert_eq!(bad("\u{feff}").len(), 1, "anywhere else it is a mistake");
    world.variables.insert("NAVIEN_PASSWORD", "secret");
    let place = world.problems(&format!("\u{feff}units = 1\n{ACCOUNT}")).remove(0);
    assert!(place.starts_with("test.toml:1:9: units"), "{place}");
}

/// Whoever set up a credential does not expect that another password is used instead.
#[test]
fn a_credential_that_is_of_no_use_is_named_and_not_passed_over() {
    let mut world = TestFiles::with_password();
    world.variables.insert("CREDENTIALS_DIRECTORY", "/run/credentials");
    for (held, what) in [("", "is empty"), ("\n", "is empty"), ("two\nlines\n", "has more than one line")] {
        world.files.insert("/run/credentials/navien-password", held);
        let wanted = format!("test.toml:1:1: account.password: /run/credentials/navien-password {what}");
        assert_eq!(world.problems(ACCOUNT), [wanted]);
    }
}

#[test]
fn the_end_of_the_line_is_no_part_of_a_password_from_the_environment() {
    let mut world = TestFiles::default();
    world.variables.insert("NAVIEN_PASSWORD", "with a line end\n");
    assert_eq!(world.read(ACCOUNT).unwrap().account.password.expose_secret(), "with a line end");
    world.variables.insert("NAVIEN_PASSWORD", "two\nlines");
    assert_eq!(world.problems(ACCOUNT), ["test.toml:1:1: account.password: $NAVIEN_PASSWORD has more than one line"]);
}

#[test]
fn what_is_of_no_use_without_something_else_is_said() {
    assert!(bad("[broker]\npassword = \"x\"\n")[0].contains("of no use without broker.username"));
    assert!(
        bad("[cloud]\nstale_after = \"30s\"\n")[0].starts_with("test.toml:4:15: cloud.stale_after: stale_after must")
    );
    let twice = "[[device]]\nmac = \"04786332fca0\"\n[[device]]\nmac = \"04:78:63:32:FC:A0\"\n";
    assert!(bad(twice)[0].starts_with("test.toml:6:7: device.mac: is the same"));
}

#[test]
fn the_rest_api_is_not_polled_faster_than_once_a_minute() {
    assert_eq!(good("[cloud]\nschedule_interval = \"1m\"\n").cloud.schedule_interval.as_secs(), 60);
    assert_eq!(
        bad("[cloud]\nschedule_interval = \"59s\"\n"),
        ["test.toml:4:21: cloud.schedule_interval: must be at least \"1m\""]
    );
}

#[test]
fn a_file_that_does_not_hold_what_it_is_for_is_named() {
    let mut world = TestFiles::with_password();
    world.files.extend([("/good.pem", "one"), ("/other.pem", "two"), ("/bad.pem", "nonsense")]);
    let text = format!(
        "{ACCOUNT}[cloud]\nca_file = \"/bad.pem\"\n[broker]\nurl = \"mqtts://host\"\nca_file = \"/bad.pem\"\n\
         client_certificate = \"/bad.pem\"\nclient_key = \"/bad.pem\"\n"
    );
    let nonsense = "/bad.pem is of no use: it holds nonsense";
    assert_eq!(
        world.problems(&text),
        [
            format!("test.toml:4:11: cloud.ca_file: {nonsense}"),
            format!("test.toml:7:11: broker.ca_file: {nonsense}"),
            format!("test.toml:8:22: broker.client_certificate: {nonsense}"),
            format!("test.toml:9:14: broker.client_key: {nonsense}"),
        ]
    );
    let with_key = |key: &str| {
        format!(
            "{ACCOUNT}[broker]\nurl = \"mqtts://host\"\nclient_certificate = \"/good.pem\"\nclient_key = \"{key}\"\n"
        )
    };
    assert!(world.read(&with_key("/good.pem")).unwrap().broker.client.is_some());
    let strangers = "test.toml:6:14: broker.client_key: /other.pem is of no use: they differ";
    assert_eq!(world.problems(&with_key("/other.pem")), [strangers]);
}

#[test]
fn a_value_that_was_refused_is_not_compared_with_others() {
    let alone = [
        ("[cloud]\nstatus_interval = 30\nstale_after = \"45s\"\n", "cloud.status_interval"),
        ("[reconnect]\ninitial_delay = 5\nmax_delay = \"500ms\"\n", "reconnect.initial_delay"),
        ("[broker]\nurl = \"mqtts://u:p@host\"\nca_file = \"/ca.pem\"\n", "broker.url"),
    ];
    let mut world = TestFiles::with_password();
    world.files.insert("/ca.pem", "a certificate");
    for (text, key) in alone {
        let problems = world.problems(&format!("{ACCOUNT}{text}"));
        assert!(problems.len() == 1 && problems[0].contains(key), "{problems:?}");
    }
}

#[test]
fn what_broken_syntax_hides_is_not_missed() {
    let hiding = [
        "[cloud]\nstatus_interval = = \"10s\"\nstale_after = \"45s\"\n",
        "[broker]\nurl = = \"mqtts://host\"\nca_file = \"/ca.pem\"\n",
        "[broker]\nclient_certificate = = \"/ca.pem\"\nclient_key = \"/ca.pem\"\nurl = \"mqtts://host\"\n",
        "[broker]\nusername = = \"u\"\npassword = \"p\"\n",
        "[[device]]\nmac = = \"04786332fca0\"\n",
    ];
    let mut world = TestFiles::with_password();
    world.files.insert("/ca.pem", "a certificate");
    for text in hiding {
        let problems = world.problems(&format!("{ACCOUNT}{text}"));
        assert!(problems.len() == 1 && problems[0].contains("extra `=`"), "{problems:?}");
    }
}

#[test]
fn numbers_are_read_in_the_base_they_are_written_in() {
    assert!((good("[reconnect]\nmultiplier = 0x10\n").reconnect.multiplier - 16.0).abs() < f64::EPSILON);
    assert_eq!(
        bad("[reconnect]\nmultiplier = 0x65\n"),
        ["test.toml:4:14: reconnect.multiplier: expected a number from 1 to 100"]
    );
    assert_eq!(good("[commands]\nmax_queued = 0x10\n").commands.max_queued, 16);
}

#[test]
fn nobody_listens_on_port_0() {
    for text in [
        "[cloud]\napi_url = \"https://host:0/\"\n",
        "[cloud]\nmqtt_url = \"wss://host:0/mqtt\"\n",
        "[broker]\nurl = \"mqtt://host:0\"\n",
    ] {
        let problems = bad(text);
        assert!(problems.len() == 1 && problems[0].ends_with("must not have the port 0"), "{problems:?}");
    }
}

#[test]
fn what_is_wrong_with_a_url_is_said() {
    let port = "the port must be a whole number from 1 to 65535";
    let zone = "an IPv6 address must have no zone (the part from % on)";
    for (rest, words) in [
        ("host:99999", port),
        ("host:1x", port),
        ("fe80::1:1883", port),
        ("my broker:1883", "must not contain spaces"),
        ("host:1883 ", "must not contain spaces"),
        ("[fe80::1%eth0]:1883", zone),
        ("[fe80::1%25eth0]:1883", zone),
        ("[fe80::1::2]:1883", "the address in brackets is not a good IPv6 address"),
        ("[fe80::1", "the address in brackets is not a good IPv6 address"),
        ("ho<st", "the host is not a good name"),
        ("", "expected a URL that begins with"),
    ] {
        for (section, key, scheme) in [
            ("cloud", "api_url", "https"),
            ("cloud", "mqtt_url", "wss"),
            ("broker", "url", "mqtt"),
            ("broker", "url", "mqtts"),
            ("alerts", "url", "https"),
        ] {
            let problems = bad(&format!("[{section}]\n{key} = \"{scheme}://{rest}\"\n"));
            let named = format!("{section}.{key}: {words}");
            assert!(problems.len() == 1 && problems[0].contains(&named), "{scheme}://{rest}: {problems:?}");
        }
    }
    assert!(bad("[cloud]\napi_url = \"https://1.2.3.256/\"\n")[0].ends_with("the host is not a good IPv4 address"));
}

#[test]
fn a_mistake_is_one_line_of_bounded_length_whatever_it_quotes() {
    let rest = "x".repeat(10_000);
    for more in [
        format!("[cloud]\nkeep_alive = \"\"\"\n\u{1}{rest}\n\"\"\"\n"),
        format!("[cloud]\nkeep_alive = \"\\u001b[2J\\r\\n{rest}\"\n"),
        format!("[cloud]\n\"\\u001b[2J\\n{rest}\" = 1\n"),
        "[cloud]\nkeep_alive = \"5s\n\n[recovery]\nstrategy = \"\n".to_owned(),
    ] {
        for problem in bad(&more) {
            assert!(!problem.contains(char::is_control) && problem.len() < 700, "{problem:?}");
        }
    }
}

#[test]
fn the_brokers_address_is_taken_apart() {
    let broker = good("[broker]\nurl = \"mqtts://broker.home.arpa\"\nusername = \"u\"\npassword = \"p\"\n").broker;
    assert_eq!((broker.host.as_str(), broker.port, broker.tls), ("broker.home.arpa", 8883, true));
    assert_eq!(good("[broker]\nurl = \"mqtt://[::1]:1884\"\n").broker.port, 1884);
}

#[test]
fn an_instance_of_the_template_unit_has_a_client_id_and_a_base_topic_of_its_own() {
    let mut world = TestFiles::with_password();
    world.variables.insert("NAVIEN2MQTT_INSTANCE", "cabin");
    let broker = world.read(ACCOUNT).unwrap().broker;
    assert_eq!((broker.client_id.as_str(), broker.base_topic.as_str()), ("navien2mqtt-cabin", "navien2mqtt-cabin"));
    let text = format!("{ACCOUNT}[broker]\nclient_id = \"mine\"\nbase_topic = \"heaters\"\n");
    let broker = world.read(&text).unwrap().broker;
    assert_eq!((broker.client_id.as_str(), broker.base_topic.as_str()), ("mine", "heaters"));
}

#[test]
fn the_state_directory_of_systemd_wins() {
    let mut world = TestFiles::with_password();
    let text = format!("{ACCOUNT}[state]\ndirectory = \"/here\"\n");
    assert_eq!(world.read(&text).unwrap().state_directory, Path::new("/here"));
    world.variables.insert("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    assert_eq!(world.read(&text).unwrap().state_directory, Path::new("/var/lib/one"));
}

#[test]
fn the_dump_has_no_secret_in_it() {
    let text = format!("{ACCOUNT}password = \"hush\"\n[broker]\nusername = \"u\"\npassword = \"hush\"\n");
    let config = TestFiles::default().read(&text).unwrap();
    let dump = config.dump().to_string();
    assert!(!dump.contains("hush") && !dump.contains("you@example.com"), "{dump}");
    assert!(dump.contains("y***@example.com"));
    assert!(!format!("{config:?}").contains("hush"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,300}") {
        let _ = TestFiles::with_password().read(&text);
    }

    #[test]
    fn no_value_makes_the_reader_panic(
        section in prop::sample::select(vec!["cloud", "reconnect", "recovery", "reachability", "alerts", "broker", "commands", "log"]),
        key in prop::sample::select(vec!["url", "keep_alive", "jitter", "max_attempts", "level", "max_queued", "enabled"]),
        value in "[0-9a-z\"\\[\\]{}=.:+_-]{0,20}",
    ) {
        let _ = TestFiles::with_password().read(&format!("{ACCOUNT}[{section}]\n{key} = {value}\n"));
    }
}
