//! Text that others wrote, made fit for the log, for topics and for terminals.

use aho_corasick::{AhoCorasick, MatchKind};
use secrecy::{ExposeSecret, SecretString};

/// What stands in place of a secret.
const REDACTED: &str = "***";
/// A shorter word is no secret, and would be found in every text.
const SHORTEST_SECRET: usize = 4;

/// Returns whether a character neither controls anything nor is invisible: no line break, no mark of writing direction,
/// no zero-width character.
pub fn is_shown(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !invisible && !c.is_control()
}

/// Returns a text as one line of at most `longest` characters: control characters and line breaks become spaces,
/// invisible characters are left out.
pub fn one_line(text: &str, longest: usize) -> String {
    Secrets::default().one_line(text, longest)
}

/// The secrets that a foreign text may repeat: whoever got them from us can send them back.
#[derive(Debug, Clone, Default)]
pub struct Secrets(Vec<SecretString>);

impl Secrets {
    /// Takes the secrets; very short ones are ignored.
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        Self(secrets.into_iter().filter(|secret| secret.expose_secret().len() >= SHORTEST_SECRET).collect())
    }

    /// Returns these secrets and others.
    pub fn and(&self, others: impl IntoIterator<Item = SecretString>) -> Self {
        Self::new(self.0.iter().cloned().chain(others))
    }

    /// As [`one_line`], with every secret replaced, in whatever case and also where it is percent-encoded.
    pub fn one_line(&self, text: &str, longest: usize) -> String {
        let spaced = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
        let line: String = text.chars().map(spaced).filter(|c| is_shown(*c)).collect();
        // A secret that is cut would not be found any more.
        self.redact(line).chars().take(longest).collect()
    }

    fn redact(&self, text: String) -> String {
        let plain = self.0.iter().map(|secret| secret.expose_secret().to_owned());
        let words: Vec<String> = plain.flat_map(|word| [percent_encoded(&word), word]).collect();
        let found = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::LeftmostLongest)
            .build(&words)
            // Only a great many patterns, which there never are, are refused.
            .map(|found| found.replace_all(&text, &vec![REDACTED; words.len()]));
        found.unwrap_or_else(|_| REDACTED.to_owned())
    }
}

fn percent_encoded(word: &str) -> String {
    url::form_urlencoded::byte_serialize(word.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_one_line_of_visible_characters() {
        for (text, wanted) in [
            ("bad\r\nERROR forged", "bad  ERROR forged"),
            ("a\0b\u{1b}[31mc\u{85}d\u{2028}e\u{2029}f\tg", "a b [31mc d e f g"),
            ("\u{202e}evil\u{2066}\u{200b}\u{feff}\u{ad}\u{e0041}", "evil"),
            ("Müllers 🔥 \"Tank\" 水", "Müllers 🔥 \"Tank\" 水"),
        ] {
            assert_eq!(one_line(text, 100), wanted);
        }
        assert_eq!(one_line("ääää", 3), "äää");
    }

    #[test]
    fn secrets_are_redacted_however_they_are_written() {
        let secrets = Secrets::new(["You@example.com", "pass word+1", "abc"].map(SecretString::from));
        let shown = |text: &str| secrets.one_line(text, 100);
        assert_eq!(shown("no user you@EXAMPLE.com, you%40example.com"), "no user ***, ***");
        assert_eq!(shown("got pass word+1 or Pass\u{200b} Word+1 or pass+word%2B1"), "got *** or *** or ***");
        assert_eq!(shown("abc is no secret"), "abc is no secret");
        assert_eq!(Secrets::default().and([SecretString::from("token-1")]).one_line("token-1", 100), "***");
    }

    #[test]
    fn a_secret_is_found_before_the_text_is_cut() {
        let secrets = Secrets::new([SecretString::from("password-1")]);
        assert_eq!(secrets.one_line("wrong: password-1", 12), "wrong: ***");
    }

    #[test]
    fn no_secret_shows_in_debug_output() {
        let secrets = Secrets::new([SecretString::from("password-1")]);
        assert!(!format!("{secrets:?}").contains("password-1"));
    }
}
