//! Holds the `use` lines against the layering: pure modules decide, `io` does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The crates that only `io`, `daemon`, `cli` and `simulator` may name.
const OUTSIDE: &[&str] = &["tokio", "paho_mqtt", "reqwest", "sd_notify", "rustls", "tokio_tungstenite", "socket2"];

/// What each pure module may name of this crate.
const MAY_USE: &[(&str, &[&str])] = &[
    ("supervisor", &["supervisor"]),
    ("tokens", &["tokens", "supervisor", "navilink", "model"]),
    ("foreign_text", &["foreign_text"]),
    ("model", &["model", "foreign_text"]),
    ("units", &["units"]),
    ("navilink", &["navilink", "model", "units", "foreign_text"]),
    ("product", &["product", "navilink", "model", "units"]),
    ("recording", &["recording", "product", "navilink", "model", "units"]),
    ("decode", &["decode", "product", "navilink", "units"]),
    ("heater", &["heater", "product", "navilink", "model", "units"]),
    ("home", &["home", "heater", "product", "navilink", "model", "units"]),
    ("outputs", &["outputs", "heater", "product", "navilink", "model", "units"]),
    ("bridge", &["bridge", "home", "outputs", "heater", "navilink", "model", "units"]),
    ("config", &["config", "supervisor", "model", "units", "foreign_text"]),
    ("io", &["io", "recording", "product", "navilink", "tokens", "config", "model", "units", "foreign_text"]),
];

fn sources(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let file = root.join(format!("{module}.rs"));
    if file.exists() {
        return vec![file];
    }
    let mut found = Vec::new();
    let mut folders = vec![root.join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the module's folder is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn production_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn pure_modules_name_nothing_of_the_outside() {
    for (module, _) in MAY_USE.iter().filter(|(m, _)| *m != "io") {
        for path in sources(module) {
            let text = fs::read_to_string(&path).expect("the source can be read");
            for (number, line) in production_lines(&text) {
                for name in OUTSIDE {
                    let named = line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                    assert!(!named, "{}:{}: `{name}` belongs into io: {line}", path.display(), number + 1);
                }
            }
        }
    }
}

#[test]
fn every_module_uses_only_what_lies_below_it() {
    for (module, allowed) in MAY_USE {
        for path in sources(module) {
            let text = fs::read_to_string(&path).expect("the source can be read");
            for (number, line) in production_lines(&text) {
                for (at, _) in line.match_indices("crate::") {
                    let name: String =
                        line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    assert!(
                        name.is_empty() || allowed.contains(&name.as_str()),
                        "{}:{}: `{module}` may not use `{name}`",
                        path.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

/// Where the device type of a product may stand, beside the tests.
const MAY_NAME_A_DEVICE_TYPE: &[&str] = &["src/product/", "src/simulator/"];

#[test]
fn a_device_type_is_named_by_its_product_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in sources("") {
        let place = path.strip_prefix(root).expect("a source is below the root").display().to_string();
        if place.contains("tests") || MAY_NAME_A_DEVICE_TYPE.iter().any(|allowed| place.starts_with(allowed)) {
            continue;
        }
        let text = fs::read_to_string(&path).expect("the source can be read");
        for (number, line) in production_lines(&text) {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
            assert!(!words.any(|word| word == "52"), "{place}:{}: the number of a product: {line}", number + 1);
        }
    }
}

#[test]
fn the_supervisor_needs_the_standard_library_only() {
    for path in sources("supervisor") {
        let text = fs::read_to_string(&path).expect("the source can be read");
        for (number, line) in production_lines(&text) {
            let Some(rest) = line.trim_start().strip_prefix("use ") else { continue };
            let ours = ["std::", "super::", "self::", "crate::supervisor"].iter().any(|p| rest.starts_with(p));
            let submodule = rest.chars().next().is_some_and(char::is_uppercase);
            assert!(ours || submodule, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

/// The most lines of production code in a file, and in a function.
const LONGEST_FILE: usize = 450;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn no_file_and_no_function_is_too_long() {
    for path in sources("").into_iter().filter(|path| !path.to_string_lossy().contains("tests")) {
        let text = fs::read_to_string(&path).expect("the source can be read");
        let lines: Vec<&str> = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).collect();
        assert!(lines.len() <= LONGEST_FILE, "{}: {} lines", path.display(), lines.len());
        for (at, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            let head: Vec<&str> = line.split(['(', '<']).next().unwrap_or_default().split_whitespace().collect();
            let named = head.iter().position(|word| *word == "fn").is_some_and(|place| place + 2 == head.len());
            if !named || head.iter().any(|word| word.starts_with(['/', '"'])) {
                continue;
            }
            let end = format!("{indent}}}");
            let length = lines[at..].iter().position(|line| *line == end).map_or(1, |place| place + 1);
            assert!(length <= LONGEST_FUNCTION, "{}:{}: {length} lines", path.display(), at + 1);
        }
    }
}

/// Returns the files of production code with their text, without tests.
fn production() -> Vec<(PathBuf, String)> {
    let sources = sources("").into_iter().filter(|path| !path.to_string_lossy().contains("tests"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("the source can be read");
        let lines = text.lines().take_while(|line| !line.starts_with("#[cfg(test)]\nmod"));
        let text = lines.take_while(|line| !line.starts_with("mod tests")).collect::<Vec<_>>().join("\n");
        (path, text)
    };
    sources.map(read).collect()
}

/// Names that more than one type may have: every sans-IO machine has its inputs and effects.
const SHARED_NAMES: &[&str] = &["Input", "Effect"];

#[test]
fn no_two_types_have_one_name() {
    let mut places: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, text) in production() {
        for line in text.lines() {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
            let keyword = words.find(|word| !matches!(*word, "pub" | "crate" | "super" | "in"));
            if !matches!(keyword, Some("struct" | "enum" | "trait")) {
                continue;
            }
            let name = words.next().unwrap_or_default().to_owned();
            places.entry(name).or_default().insert(path.clone());
        }
    }
    places.retain(|name, places| places.len() > 1 && !SHARED_NAMES.contains(&name.as_str()));
    assert!(places.is_empty(), "{places:#?}");
}

#[test]
fn no_type_is_spread_over_more_than_two_files() {
    let mut places: BTreeMap<String, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, text) in production() {
        for line in text.lines().filter(|line| line.starts_with("impl") && !line.contains(" for ")) {
            let of = line.rsplit(['>', ' ']).find(|word| word.starts_with(char::is_uppercase));
            let of = of.or_else(|| line.split_whitespace().nth(1)).unwrap_or_default();
            let name: String = of.chars().take_while(|c| c.is_alphanumeric()).collect();
            places.entry(name).or_default().insert(path.clone());
        }
    }
    places.retain(|_, places| places.len() > 2);
    assert!(places.is_empty(), "{places:#?}");
}
