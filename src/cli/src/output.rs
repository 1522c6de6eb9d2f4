//! Printing: formats, colours and markers.
use std::io::{ErrorKind, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// Clears the terminal, so that what is printed next stands alone.
pub(crate) const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// How a report is printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Format {
    /// Text for people.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Style {
    pub(crate) colour: bool,
    pub(crate) unicode: bool,
}

/// How good or bad a line is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mark {
    Good,
    Busy,
    Warning,
    Bad,
}

impl Style {
    /// Finds out what may be used, from the usual environment variables.
    pub(crate) fn detect(terminal: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_uppercase();
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !dumb && set("NO_COLOR").is_none(),
            unicode: locale.contains("UTF-8") || locale.contains("UTF8"),
        }
    }

    /// The marker in front of a line.
    pub(crate) fn mark(self, mark: Mark) -> String {
        let (unicode, ascii, colour) = match mark {
            Mark::Good => ("√", "ok", "32"),
            Mark::Busy => ("…", "..", "36"),
            Mark::Warning => ("‼", "!!", "33"),
            Mark::Bad => ("×", "xx", "31"),
        };
        self.paint(if self.unicode { unicode } else { ascii }, colour)
    }

    /// A title.
    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The stroke in front of a branch, and the one in front of what hangs below it.
    pub(crate) fn branch(self, last: bool) -> (&'static str, &'static str) {
        match (self.unicode, last) {
            (true, false) => ("├─ ", "│  "),
            (true, true) => ("└─ ", "   "),
            (false, false) => ("|- ", "|  "),
            (false, true) => ("`- ", "   "),
        }
    }

    /// The stroke beside text between a title and its branches.
    pub(crate) fn trunk(self, branches: bool) -> &'static str {
        match (branches, self.unicode) {
            (false, _) => "   ",
            (true, true) => "│  ",
            (true, false) => "|  ",
        }
    }
}

/// One line of text that came from the cluster: a container can write escape sequences into its last words, and a
/// terminal must not obey them.
pub(crate) fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A report as JSON or YAML, or as the text that `text` makes.
pub(crate) fn document<T: Serialize>(
    format: Format,
    report: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Error(format!("failed to print: {error}"));
    match format {
        Format::Table => Ok(text(report)),
        Format::Json => {
            serde_json::to_string_pretty(report).map(|json| json + "\n").map_err(|error| failed(&error))
        }
        Format::Yaml => serde_saphyr::to_string(report).map_err(|error| failed(&error)),
    }
}

/// Writes to standard output. A reader that went away, such as `head`, is not an error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Error(format!("failed to write: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line about progress or trouble to standard error.
pub(crate) fn progress(text: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(terminal: bool, variables: &[(&str, &str)]) -> Style {
        Style::detect(terminal, |name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colour_needs_a_terminal_and_no_objection() {
        assert!(detect(true, &[]).colour);
        assert!(!detect(false, &[]).colour);
        assert!(!detect(true, &[("NO_COLOR", "1")]).colour);
        assert!(detect(true, &[("NO_COLOR", "")]).colour);
        assert!(!detect(true, &[("TERM", "dumb")]).colour);
    }

    #[test]
    fn markers_follow_the_locale() {
        assert!(detect(true, &[("LANG", "en_US.UTF-8")]).unicode);
        assert!(!detect(true, &[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")]).unicode);
        let plain = detect(false, &[]);
        assert_eq!(plain.mark(Mark::Bad), "xx");
    }

    #[test]
    fn escape_sequences_of_a_container_do_not_reach_the_terminal() {
        assert_eq!(one_line("a\x1b[2Jb\n  c"), "a [2Jb c");
    }
}
