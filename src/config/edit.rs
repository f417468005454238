//! Sets keys in the text of a configuration, and leaves every other line as it stands.

use toml::Value;

/// Returns `text` with `key` of `section` set to a string: in place of the line that sets it, else of the comment that
/// shows it, else as a new line. Text that is written in another way than the sample may not come out as wanted, which
/// whoever reads it afterwards finds out.
pub fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let line = format!("{key} = {}", Value::from(value));
    let header = format!("[{section}]");
    let mut lines: Vec<&str> = text.lines().collect();
    let is_header = |line: &&str| line.split('#').next().is_some_and(|line| line.trim() == header);
    if let Some(begin) = lines.iter().position(is_header).map(|at| at + 1) {
        let end = lines[begin..].iter().position(|line| line.trim_start().starts_with('['));
        let body = &lines[begin..end.map_or(lines.len(), |length| begin + length)];
        let sets = |line: &str| line.split_once('=').is_some_and(|(name, _)| name.trim() == key);
        let shown = || body.iter().position(|line| line.strip_prefix('#').is_some_and(&sets));
        match body.iter().position(|line| sets(line)).or_else(shown) {
            Some(place) => lines[begin + place] = &line,
            None => lines.insert(begin, &line),
        }
    } else {
        lines.extend(["", &header, &line]);
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../config/navien2mqtt.toml");

    #[test]
    fn a_line_that_sets_a_key_comes_before_a_comment_that_shows_it_and_before_a_new_line() {
        let text = "units = \"us\"\n[account] # mine\n# email = \"a\"\n  email = \"b\" # old\n[broker]\n# url = \"x\"\n[log]\n";
        let email = set(text, "account", "email", "c");
        assert_eq!(email, text.replace("  email = \"b\" # old", "email = \"c\""));
        assert_eq!(set(text, "broker", "url", "y"), text.replace("# url = \"x\"", "url = \"y\""));
        assert_eq!(set(text, "log", "level", "warn"), format!("{text}level = \"warn\"\n"));
        assert_eq!(set(text, "state", "directory", "/s"), format!("{text}\n[state]\ndirectory = \"/s\"\n"));
        assert_eq!(set("", "account", "email", "q\"\\"), "\n[account]\nemail = 'q\"\\'\n");
    }

    #[test]
    fn every_key_that_setup_sets_stands_once_in_its_section_of_the_sample() {
        let keys = [
            ("account", "email"),
            ("account", "password_file"),
            ("broker", "url"),
            ("broker", "username"),
            ("broker", "password_file"),
            ("broker", "ca_file"),
            ("state", "directory"),
        ];
        for (section, key) in keys {
            let changed = set(SAMPLE, section, key, "value");
            let differing: Vec<_> = SAMPLE.lines().zip(changed.lines()).filter(|(old, new)| old != new).collect();
            assert_eq!(changed.lines().count(), SAMPLE.lines().count(), "{section}.{key}");
            assert_eq!(differing.len(), 1, "{section}.{key}: {differing:?}");
            let read: toml::Table = changed.parse().unwrap();
            assert_eq!(read[section][key].as_str(), Some("value"), "{section}.{key}");
        }
    }
}
