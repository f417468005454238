//! Man pages of the command line's definition and of Markdown.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

const SOURCE: &str = concat!("navien2mqtt ", env!("CARGO_PKG_VERSION"));

/// A key in a table of the documentation.
pub struct Key {
    pub section: String,
    pub key: String,
    pub default: String,
}

/// Makes navien2mqtt(8): the command line, and the tables of commands' exit codes from the README.
pub fn program(definition: Command, readme: &str) -> String {
    let mut definition = definition;
    definition.build();
    let man = Man::new(definition.clone()).section("8").source(SOURCE).manual("navien2mqtt").date("");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let mut page = String::from_utf8(page).unwrap();
    page += "\n.SH COMMANDS\n";
    for command in definition.get_subcommands().filter(|command| command.get_name() != "help") {
        page += &subcommand(command);
    }
    page += "\n.SH \"EXIT STATUS\"\n";
    let (_, table) = readme.split_once("| exit code |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    page += &markdown(&format!("| exit code |{table}\n"));
    page += FILES;
    page
}

const FILES: &str = r#".SH ENVIRONMENT
.TP
\fBNAVIEN2MQTT_CONFIG\fR
The configuration file, where no \fB\-\-config\fR names one.
.TP
\fBNAVIEN_PASSWORD\fR, \fBBROKER_PASSWORD\fR
The passwords, where there is no credential of systemd's.
.TP
\fBCREDENTIALS_DIRECTORY\fR, \fBSTATE_DIRECTORY\fR
Set by systemd: the directories of the credentials and of the state.
.SH FILES
.TP
\fI/etc/navien2mqtt/navien2mqtt.toml\fR
The configuration.
.TP
\fI/etc/credstore/navien\-password\fR, \fI/etc/credstore/broker\-password\fR
The passwords, readable by root only; the unit hands them to the program.
.TP
\fI/var/lib/navien2mqtt\fR
Tokens and the like. It may be deleted while the service is stopped.
.SH SEE ALSO
\fBnavien2mqtt.toml\fR(5), \fBsystemctl\fR(1), \fBjournalctl\fR(1), \fBmosquitto_sub\fR(1)
.PP
\fI/usr/share/doc/navien2mqtt\fR has the whole documentation.
"#;

/// Renders what a command is and its own options.
fn subcommand(command: &Command) -> String {
    let mut roff = Roff::new();
    roff.control("SS", [command.get_name()]);
    roff.text([roman(command.get_about().map(ToString::to_string).unwrap_or_default())]);
    for option in command.get_arguments().filter(|option| !option.is_global_set() && !option.is_hide_set()) {
        if ["help", "version"].contains(&option.get_id().as_str()) {
            continue;
        }
        roff.control("TP", []);
        roff.text([bold(option.to_string())]);
        let mut help = option.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<_> = option.get_possible_values();
        if !values.is_empty() && option.get_action().takes_values() {
            let names: Vec<_> = values.iter().map(|value| value.get_name()).collect();
            help += &format!(": {}", names.join(", "));
        }
        roff.text([roman(help)]);
    }
    roff.render()
}

/// Makes navien2mqtt.toml(5) of docs/configuration.md.
pub fn configuration(documentation: &str) -> String {
    let mut roff = Roff::new();
    roff.control("TH", ["navien2mqtt.toml", "5", "", SOURCE, "navien2mqtt"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("navien2mqtt.toml - the configuration of navien2mqtt")]);
    roff.control("SH", ["DESCRIPTION"]);
    let (_, text) = documentation.split_once('\n').unwrap();
    let mut page = roff.render();
    page += &markdown(text);
    page += ".SH SEE ALSO\n\\fBnavien2mqtt\\fR(8)\n";
    page
}

/// Returns the keys of every table below a heading that names sections in brackets.
pub fn keys(documentation: &str) -> Vec<Key> {
    let mut found = Vec::new();
    let mut sections: Vec<&str> = Vec::new();
    for line in documentation.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            sections = title.split('`').filter_map(|word| word.strip_prefix('[')?.strip_suffix(']')).collect();
        }
        let Some(row) = line.strip_prefix("| `") else { continue };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for (at, section) in sections.iter().enumerate() {
            // One column of defaults for all sections, or one each.
            let column = if cells.len() > sections.len() + 2 { at + 1 } else { 1 };
            for key in cells[0].split(", ") {
                let (section, key) = ((*section).to_owned(), key.trim_matches('`').to_owned());
                found.push(Key { section, key, default: cells[column].to_owned() });
            }
        }
    }
    found
}

/// Renders Markdown: headings, paragraphs, lists, code, and tables, of which each row becomes a tagged paragraph.
fn markdown(text: &str) -> String {
    let mut page = Page::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.roff.render()
}

#[derive(Default)]
struct Page {
    roff: Roff,
    line: Vec<Inline>,
    cells: Vec<Vec<Inline>>,
    header: Vec<String>,
    /// The number of the next item, if its list is numbered.
    numbers: Vec<Option<u64>>,
    in_code: bool,
    in_item: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(Tag::Paragraph) if !self.in_item => self.control("PP", &[]),
            Event::Start(Tag::CodeBlock(_)) => {
                self.in_code = true;
                self.control("PP", &[]);
                self.control("EX", &[]);
            }
            Event::End(TagEnd::CodeBlock) => {
                self.in_code = false;
                self.control("EE", &[]);
            }
            Event::End(TagEnd::Paragraph | TagEnd::Item) => self.end_line(),
            Event::Start(Tag::List(first)) => self.numbers.push(first),
            Event::End(TagEnd::List(_)) => {
                self.numbers.pop();
                self.in_item = false;
            }
            Event::Start(Tag::Item) => self.start_item(),
            Event::End(TagEnd::Heading(level)) => {
                let title: String = std::mem::take(&mut self.line).iter().map(plain).collect();
                let deep = level > pulldown_cmark::HeadingLevel::H2;
                self.control(if deep { "SS" } else { "SH" }, &[&title]);
            }
            Event::End(TagEnd::TableCell) => self.cells.push(std::mem::take(&mut self.line)),
            Event::End(TagEnd::TableHead) => {
                self.header = self.cells.drain(..).map(|cell| cell.iter().map(plain).collect()).collect();
            }
            Event::End(TagEnd::TableRow) => self.end_row(),
            Event::Text(text) if self.in_code => {
                for line in text.lines() {
                    self.roff.text([roman(line)]);
                }
            }
            Event::Text(text) => self.line.push(roman(text.to_string())),
            Event::Code(code) => self.line.push(bold(code.to_string())),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn control(&mut self, name: &str, arguments: &[&str]) {
        self.end_line();
        self.roff.control(name, arguments.iter().copied());
    }

    fn end_line(&mut self) {
        if !self.line.is_empty() {
            self.roff.text(std::mem::take(&mut self.line));
        }
    }

    fn start_item(&mut self) {
        let mark = match self.numbers.last_mut() {
            Some(Some(number)) => {
                *number += 1;
                format!("{}.", *number - 1)
            }
            _ => "-".to_owned(),
        };
        self.control("IP", &[&mark, "4"]);
        self.in_item = true;
    }

    /// The first cell is the tag, the last one its meaning; what stands between is named by the table's header.
    fn end_row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells);
        let meaning = cells.pop().unwrap_or_default();
        let mut between = Vec::new();
        for (name, cell) in self.header.iter().zip(&cells).skip(1).filter(|(_, cell)| !cell.is_empty()) {
            between.push(roman(format!("{}{name} ", if between.is_empty() { "" } else { ", " })));
            between.extend(cell.iter().cloned());
        }
        let mut tag = cells.into_iter().next().unwrap_or_default();
        if !between.is_empty() {
            tag.push(roman(" ("));
            tag.append(&mut between);
            tag.push(roman(")"));
        }
        self.control("TP", &[]);
        self.roff.text(tag);
        self.roff.text(meaning);
    }
}

fn plain(inline: &Inline) -> String {
    match inline {
        Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.clone(),
        Inline::LineBreak => " ".to_owned(),
    }
}
