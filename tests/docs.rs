//! Holds the documentation to what the program does.

use std::fs;
use std::path::{Path, PathBuf};

use navien2mqtt::outputs::home_assistant::bridge_entities::BRIDGE;
use navien2mqtt::product::PRODUCTS;
use navien2mqtt::product::events::EVENT_TYPES;
use pulldown_cmark::{Event, Options as MarkdownOptions, Parser, Tag, TagEnd};

#[test]
fn every_field_of_status_and_device_information_is_documented_in_its_order() {
    let topics = include_str!("../docs/topics.md");
    let (before, info) = topics.split_once("### `info`").expect("the section is there");
    let (_, statuses) = before.split_once("### `status`").expect("the section is there");
    for (text, rows) in [(statuses, PRODUCTS[0].status), (info, PRODUCTS[0].feature)] {
        let mut rest = text;
        for row in rows {
            let key = format!("| `{}` |", row.name);
            let (_, after) = rest.split_once(&key).unwrap_or_else(|| panic!("{key} is missing or out of order"));
            rest = after;
        }
    }
}

#[test]
fn every_control_is_documented() {
    let topics = include_str!("../docs/topics.md");
    let (_, after) = topics.split_once("### Setting").expect("the section is there");
    let (settings, _) = after.split_once("### ").expect("another section follows");
    let named: Vec<&str> = settings.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for row in PRODUCTS.iter().flat_map(|product| product.controls) {
        let name = format!("`{}`", row.name);
        let is_named = |line: &&str| format!("`{line}").split(" |").next().is_some_and(|cell| cell.contains(&name));
        assert!(named.iter().any(is_named), "{name} is missing in docs/topics.md");
    }
}

#[test]
fn every_event_of_a_heater_is_documented() {
    let topics = include_str!("../docs/topics.md");
    let (_, after) = topics.split_once("### `event`").expect("the section is there");
    let (events, _) = after.split_once("### ").expect("another section follows");
    for name in EVENT_TYPES {
        assert!(events.contains(&format!("`{name}`")), "{name} is missing in docs/topics.md");
    }
}

#[test]
fn every_key_of_the_configuration_is_documented() {
    let documentation = include_str!("../docs/configuration.md");
    let commented = include_str!("../config/navien2mqtt.toml");
    for line in commented.lines() {
        let Some((key, _)) = line.trim_start_matches("# ").split_once(" = ") else { continue };
        if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(documentation.contains(&format!("`{key}`")), "{key} is missing in docs/configuration.md");
        }
    }
}

#[test]
fn every_reason_of_an_outage_is_documented() {
    let operations = include_str!("../docs/operations.md");
    let sources = [
        include_str!("../src/daemon/classify.rs"),
        include_str!("../src/supervisor/machine.rs"),
        include_str!("../src/supervisor/machine/failure.rs"),
    ];
    let reasons = sources.iter().flat_map(|source| {
        let production = source.split("#[cfg(test)]").next().unwrap_or_default();
        production.split('"').skip(1).step_by(2)
    });
    for reason in reasons {
        let is_reason =
            reason.contains('-') && reason.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(!is_reason || operations.contains(&format!("`{reason}`")), "{reason} is missing in docs/operations.md");
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_entity_that_the_page_for_users_of_ha_nwp500_names_exists() {
    let page = include_str!("../docs/coming-from-ha_nwp500.md");
    let (_, after) = page.split_once("\n## Entities\n").expect("the section is there");
    let (entities, services) = after.split_once("\n## Services\n").expect("the section is there");
    let mut named: Vec<&str> = Vec::new();
    for line in entities.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        named.extend(quoted(cells.get(3).unwrap_or(&line)));
    }
    for kind in ["the switch ", "the button ", "the select ", "the number "] {
        named.extend(services.split(kind).skip(1).filter_map(|rest| quoted(rest).next()));
    }
    let known = |id: &str| PRODUCTS.iter().flat_map(|product| product.entities()).chain(BRIDGE).any(|row| row.id == id);
    for id in &named {
        assert!(known(id), "there is no entity {id}");
    }
    assert!(named.len() > 100, "{}", named.len());
}

#[test]
fn every_blueprint_that_the_page_for_users_of_ha_nwp500_names_exists() {
    let page = include_str!("../docs/coming-from-ha_nwp500.md");
    let ours = |name: &&str| name.ends_with(".yaml") && !name.starts_with("nwp500_") && !name.contains('/');
    let blueprints = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/home-assistant/blueprints");
    let mut seen = 0;
    for name in quoted(page).filter(ours) {
        let there = ["automation", "script"]
            .iter()
            .any(|kind| fs::exists(format!("{blueprints}/{kind}/{name}")).unwrap_or(false));
        assert!(there, "there is no blueprint {name}");
        seen += 1;
    }
    assert!(seen > 8, "{seen}");
}

/// Every page that a user is to find: what stands at the top, and all of `docs`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "packaging/mosquitto/README.md"];
    let docs =
        fs::read_dir(root.join("docs")).expect("the folder is there").map(|entry| entry.expect("it is read").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    top.iter().map(|name| root.join(name)).chain(docs).collect()
}

/// The targets of the links and pictures of a page, and the anchors that its headings have on GitHub.
fn links_and_anchors(page: &Path) -> (Vec<String>, Vec<String>) {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let (mut links, mut anchors, mut heading) = (Vec::new(), Vec::new(), None);
    for event in Parser::new_ext(&text, MarkdownOptions::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => links.push(dest_url.to_string()),
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let kept = |c: &char| c.is_alphanumeric() || ['-', '_', ' '].contains(c);
                let name = heading.take().unwrap_or_default().to_lowercase();
                anchors.push(name.chars().filter(kept).collect::<String>().replace(' ', "-"));
            }
            _ => {}
        }
    }
    (links, anchors)
}

#[test]
fn every_relative_link_of_the_documentation_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        for link in
            links_and_anchors(&page).0.iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
            if !anchor.is_empty() {
                let there = links_and_anchors(&target).1.iter().any(|heading| heading == anchor);
                assert!(there, "{}: {link}: there is no such heading", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn every_page_of_the_documentation_is_linked_from_the_readme() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let (links, _) = links_and_anchors(&readme);
    for page in pages().iter().filter(|page| **page != readme) {
        let linked = links.iter().any(|link| readme.with_file_name(link) == *page);
        assert!(linked, "README.md does not link {}", page.display());
    }
}
