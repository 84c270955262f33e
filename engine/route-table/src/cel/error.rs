//! Why a text was refused, shown beside the place that is to blame.

use std::fmt;
use std::ops::Range;

/// Every reason that a text was refused, not just the first. A text that can't be read at all has those of its spelling only:
/// what it means is asked when it has a meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CelError {
    /// In the order of the text; never empty, at most [`CelError::REASONS_MAX`].
    pub reasons: Vec<Reason>,
    /// How many more there were.
    pub omitted: usize,
    text: String,
}

/// One reason, and the part of the text that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What sort of mistake it is.
    pub kind: ReasonKind,
    /// 1 is the first.
    pub line: usize,
    /// In characters; 1 is the first.
    pub column: usize,
    /// The bytes of the text that are to blame; empty at the end of a text that is cut off.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The sorts of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReasonKind {
    /// It is not spelled as CEL.
    Syntax,
    /// It is beyond a limit.
    Limit,
    /// It is CEL, but more than conditions can say.
    Unsupported,
    /// A name, field, function or enum value that nobody knows.
    Unknown,
    /// Values of types that don't go together.
    Type,
    /// The whole condition has this value for every event.
    Constant(bool),
}

impl CelError {
    /// How many reasons are told in full.
    pub const REASONS_MAX: usize = 50;

    /// The text that was refused.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl std::error::Error for CelError {}

impl fmt::Display for CelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, reason) in self.reasons.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            reason.show(&self.text, f)?;
        }
        if self.omitted > 0 {
            write!(f, "\n\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.line, self.column, self.message, self.help)
    }
}

impl Reason {
    fn show(&self, text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = text.get(..self.span.start).unwrap_or_default().rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(begin..).unwrap_or_default();
        let line = line.lines().next().unwrap_or_default();
        let marked = text.get(self.span.clone()).unwrap_or_default();
        let marked = marked.lines().next().unwrap_or_default().chars().count();
        let (shown, before) = window(line, self.column.saturating_sub(1), marked);
        let carets = marked.clamp(1, shown.chars().count().saturating_sub(before).max(1));
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "error: {}", self.message)?;
        writeln!(f, "{margin}--> {}:{}", self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {shown}")?;
        write!(f, "{margin} | {}{} {}", " ".repeat(before), "^".repeat(carets), self.help)
    }
}

/// The part of a line that is worth showing, and how many of its characters stand before the mark. Every character of the line
/// is shown as one, so that the marks stand where they should, and none can steer a terminal.
fn window(line: &str, before: usize, marked: usize) -> (String, usize) {
    const SHOWN: usize = 100;
    let from = if before + marked <= SHOWN { 0 } else { before.saturating_sub(SHOWN / 4) };
    let mut shown: String = line.chars().skip(from).take(SHOWN).map(printable).collect();
    let mut offset = before - from;
    if from > 0 {
        shown.insert_str(0, "... ");
        offset += 4;
    }
    if line.chars().nth(from + SHOWN).is_some() {
        shown.push_str(" ...");
    }
    (shown, offset)
}

fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        _ if character.is_control() => char::REPLACEMENT_CHARACTER,
        // Marks that change the direction of what follows would show another text than the one that is meant.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' => char::REPLACEMENT_CHARACTER,
        _ => character,
    }
}

/// A piece of a text as a message quotes it: on one line, and not without end.
pub(super) fn quoted(piece: &str) -> String {
    const QUOTED: usize = 40;
    let mut shown: String = piece.chars().take(QUOTED).map(|c| if c == '\n' { ' ' } else { printable(c) }).collect();
    if piece.chars().nth(QUOTED).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Collects reasons while a text is read.
pub(super) struct Reasons<'t> {
    text: &'t str,
    reasons: Vec<Reason>,
    omitted: usize,
}

impl<'t> Reasons<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, reasons: Vec::new(), omitted: 0 }
    }

    pub(super) fn refuse(
        &mut self,
        kind: ReasonKind,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        if self.is_full() {
            self.omitted += 1;
            return;
        }
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let (message, help) = (message.into(), help.into());
        self.reasons.push(Reason { kind, line, column, span: span.clone(), message, help });
    }

    /// Whether what is refused from now on is only counted.
    pub(super) fn is_full(&self) -> bool {
        self.reasons.len() == CelError::REASONS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The piece of the text at `span`, as a message quotes it.
    pub(super) fn quoted(&self, span: &Range<usize>) -> String {
        quoted(self.text.get(span.clone()).unwrap_or_default())
    }

    pub(super) fn into_error(mut self) -> CelError {
        self.reasons.sort_by_key(|reason| (reason.span.start, reason.span.end));
        CelError { reasons: self.reasons, omitted: self.omitted, text: self.text.to_owned() }
    }
}
