//! Why a pattern was refused, and where in its text.

use std::fmt;

/// A pattern that was refused: the reason, the place, and what to do.
///
/// Where AWS has a wording for the reason, [`PatternError::reason`] is that wording, so that it can be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event pattern is not valid at line {line}, column {column}: {reason}; {help}")]
pub struct PatternError {
    reason: String,
    help: &'static str,
    line: usize,
    column: usize,
    excerpt: Excerpt,
}

/// The part of a line that an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Excerpt {
    text: String,
    /// Letters of `text` before the caret.
    indent: usize,
}

/// Letters of a line that are shown on either side of the caret: a pattern of one line can be long.
const EXCERPT_LETTERS: usize = 60;

impl PatternError {
    /// The reason, as EventBridge says it in "Event pattern is not valid. Reason: ...".
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What to write instead.
    pub fn help(&self) -> &'static str {
        self.help
    }

    /// The line of the pattern's text, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The letter of the line, from 1.
    pub fn column(&self) -> usize {
        self.column
    }

    /// The reason with the line that it is about and a caret under the place.
    pub fn render(&self) -> Rendered<'_> {
        Rendered(self)
    }
}

/// A [`PatternError`] over several lines, for people.
pub struct Rendered<'e>(&'e PatternError);

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let number = error.line.to_string();
        let gutter = number.len();
        writeln!(f, "Event pattern is not valid. Reason: {}", error.reason)?;
        writeln!(f, "{:gutter$}--> line {}, column {}", "", error.line, error.column)?;
        writeln!(f, "{number} | {}", error.excerpt.text)?;
        writeln!(f, "{:gutter$} | {:indent$}^", "", "", indent = error.excerpt.indent)?;
        write!(f, "{:gutter$} = help: {}", "", error.help)
    }
}

/// A fault at a byte of the text; [`Fault::at_place`] makes the error of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: String,
    pub(super) help: &'static str,
}

impl Fault {
    pub(super) fn new(at: usize, reason: impl Into<String>, help: &'static str) -> Fault {
        Fault { at, reason: reason.into(), help }
    }

    /// The error that says in which line and column of `text` the fault is.
    pub(super) fn at_place(self, text: &str) -> PatternError {
        let before = text.get(..self.at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_before = before.get(line_start..).unwrap_or_default();
        let rest = text.get(before.len()..).unwrap_or_default();
        let line_after = rest.split(['\n', '\r']).next().unwrap_or_default();
        let column = line_before.chars().count();
        let skipped = column.saturating_sub(EXCERPT_LETTERS);
        let shown = |letter: char| if letter.is_control() { ' ' } else { letter };
        let mut excerpt: String = line_before.chars().skip(skipped).map(shown).collect();
        let indent = excerpt.chars().count();
        excerpt.extend(line_after.chars().take(EXCERPT_LETTERS).map(shown));
        PatternError {
            reason: self.reason,
            help: self.help,
            line: before.matches('\n').count() + 1,
            column: column + 1,
            excerpt: Excerpt { text: excerpt, indent },
        }
    }
}
