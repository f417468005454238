//! Walks a TOML document and collects every problem in it, each with its place.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::foreign_text::one_line;

/// Longer keys and messages are cut where they are shown, in characters.
const LONGEST_KEY: usize = 100;
const LONGEST_MESSAGE: usize = 500;

/// What is wrong in a configuration, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The dotted key, empty for a mistake of the syntax.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        // Both can quote the file, where a quotation mark that is missing makes a value of all that follows.
        if !self.key.is_empty() {
            write!(f, " {}:", one_line(&self.key, LONGEST_KEY))?;
        }
        write!(f, " {}", one_line(&self.message, LONGEST_MESSAGE))
    }
}

/// Collects problems while sections are read.
#[derive(Debug)]
pub struct Reader<'t> {
    file: PathBuf,
    text: &'t str,
    problems: Vec<ConfigProblem>,
    warnings: Vec<ConfigProblem>,
    /// Lines whose syntax is broken: what was made of them says nothing.
    broken: Vec<usize>,
}

/// One table of the document, from which keys are taken until none is left.
#[derive(Debug)]
pub struct TableReader<'t> {
    path: String,
    span: Option<Range<usize>>,
    table: DeTable<'t>,
    known: Vec<&'static str>,
    places: Vec<(&'static str, Range<usize>)>,
    refused: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Parses `text`; the mistakes of its syntax are the first problems.
    pub fn new(file: PathBuf, text: &'t str) -> (Self, TableReader<'t>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self { file, text, problems: Vec::new(), warnings: Vec::new(), broken: Vec::new() };
        for error in errors {
            let place = error.span().unwrap_or_default();
            reader.add(Some(place.clone()), String::new(), error.message().to_owned());
            reader.broken.push(reader.position(place.start).0);
        }
        let section = TableReader::new(String::new(), None, root.into_inner());
        (reader, section)
    }

    /// Returns the file that is read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds a problem with a key of a section, which is refused by it.
    pub fn report(&mut self, section: &mut TableReader<'_>, key: &'static str, message: impl Into<String>) {
        section.refused.push(key);
        self.add(section.place_of(key), section.name_of(key), message.into());
    }

    /// Adds a warning about a key of a section.
    pub fn warn(&mut self, section: &TableReader<'_>, key: &str, message: impl fmt::Display) {
        let (line, column) = section.place_of(key).map_or((0, 0), |place| self.position(place.start));
        let message = format!("warning: {message}");
        self.warnings.push(ConfigProblem { file: self.file.clone(), line, column, key: section.name_of(key), message });
    }

    /// Returns whether what is known of these keys is what was meant: none was refused, and no broken syntax hides one.
    /// Only then do their values, or their absence, say anything about others.
    pub fn knows(&self, section: &TableReader<'_>, keys: &[&str]) -> bool {
        self.broken.is_empty() && !keys.iter().any(|key| section.refused.contains(key))
    }

    /// Returns the problems and the warnings, each in the order of their places.
    pub fn finish(mut self) -> (Vec<ConfigProblem>, Vec<ConfigProblem>) {
        for found in [&mut self.problems, &mut self.warnings] {
            found.sort_by_key(|problem| (problem.line, problem.column));
        }
        (self.problems, self.warnings)
    }

    fn add(&mut self, place: Option<Range<usize>>, key: String, message: String) {
        // What the parser made up to go on after a mistake has no place of its own.
        let made_up = place.as_ref().is_some_and(|place| place.is_empty()) && !key.is_empty();
        let (line, column) = place.map_or((0, 0), |place| self.position(place.start));
        if !self.broken.is_empty() && (made_up || self.broken.contains(&line)) {
            return;
        }
        self.problems.push(ConfigProblem { file: self.file.clone(), line, column, key, message });
    }

    fn position(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl<'t> TableReader<'t> {
    fn new(path: String, span: Option<Range<usize>>, table: DeTable<'t>) -> Self {
        Self { path, span, table, known: Vec::new(), places: Vec::new(), refused: Vec::new() }
    }

    /// Takes a sub-table; one that is missing is empty.
    pub fn section(&mut self, reader: &mut Reader<'_>, key: &'static str) -> TableReader<'t> {
        let path = self.name_of(key);
        match self.remove(key) {
            None => TableReader::new(path, None, DeTable::default()),
            Some((span, DeValue::Table(table))) => TableReader::new(path, Some(span), table),
            Some((span, other)) => {
                let message = format!("a section is expected, written as `[{path}]`, not {}", describe(&other));
                reader.add(Some(span), path.clone(), message);
                TableReader::new(path, None, DeTable::default())
            }
        }
    }

    /// Takes an array of tables.
    pub fn sections(&mut self, reader: &mut Reader<'_>, key: &'static str) -> Vec<TableReader<'t>> {
        let path = self.name_of(key);
        let expected = format!("sections are expected, each written as `[[{path}]]`, not ");
        let entries = match self.remove(key) {
            None => return Vec::new(),
            Some((_, DeValue::Array(entries))) => entries,
            Some((span, other)) => {
                reader.add(Some(span), path, expected + describe(&other));
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for entry in entries {
            let span = entry.span();
            match entry.into_inner() {
                DeValue::Table(table) => found.push(TableReader::new(path.clone(), Some(span), table)),
                other => reader.add(Some(span), path.clone(), expected.clone() + describe(&other)),
            }
        }
        found
    }

    /// Takes a key; `None` when it is missing, or bad, which `parse` says in words that continue "expected".
    pub fn take<T>(
        &mut self,
        reader: &mut Reader<'_>,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let (span, value) = self.remove(key)?;
        self.places.push((key, span));
        match parse(&value) {
            Ok(value) => Some(value),
            Err(message) => {
                reader.report(self, key, message);
                None
            }
        }
    }

    /// Returns whether a key was written, good or bad.
    pub fn wrote(&self, key: &str) -> bool {
        self.places.iter().any(|(known, _)| *known == key)
    }

    /// Complains of every key that nobody took.
    pub fn finish(self, reader: &mut Reader<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
            let message = match nearest(name, &self.known) {
                Some(right) => format!("there is no such key; did you mean `{right}`?"),
                None => format!("there is no such key; known here: {}", self.known.join(", ")),
            };
            reader.add(Some(key.span()), path, message);
        }
    }

    fn remove(&mut self, key: &'static str) -> Option<(Range<usize>, DeValue<'t>)> {
        self.known.push(key);
        let value: Spanned<DeValue<'t>> = self.table.remove(key)?;
        Some((value.span(), value.into_inner()))
    }

    fn place_of(&self, key: &str) -> Option<Range<usize>> {
        let place = self.places.iter().find(|(known, _)| *known == key).map(|(_, place)| place.clone());
        place.or_else(|| self.span.clone())
    }

    fn name_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// Names the kind of a value, as "expected a duration, not …" goes on.
pub fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// Finds the known key that a mistyped one was meant to be.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let close = |key: &&&str| distance(name, key) <= 1 + key.len() / 5;
    known.iter().filter(close).min_by_key(|key| distance(name, key)).copied()
}

/// The edit distance of two short texts.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let cost = usize::from(a != *b);
            (diagonal, row[j + 1]) = (row[j + 1], (diagonal + cost).min(row[j] + 1).min(row[j + 1] + 1));
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_keys_that_are_near_the_nearer_one_is_suggested() {
        for known in [["max_delays", "max_delay"], ["max_delay", "max_delays"]] {
            assert_eq!(nearest("max_dela", &known), Some("max_delay"));
            assert_eq!(nearest("max_delayss", &known), Some("max_delays"));
        }
    }
}
