//! Files of JSON lines, plain or compressed by gzip, with a progress bar for long ones.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("can't read `{path}`; check that the file is there and may be read")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("line {line} of `{path}` is no JSON object: {fault}; give one event on each line")]
    NoEvent { path: PathBuf, line: usize, fault: String },
    #[error(
        "line {line} of `{path}` is no rule; a rule is {{\"id\": …, \"pattern\": {{…}}}} or {{\"id\": …, \"when\": \"…\"}}"
    )]
    NoRule { path: PathBuf, line: usize, source: serde_json::Error },
    #[error("line {line} of `{path}`: rule `{id}` has both `pattern` and `when`, or neither; give one of them")]
    NotOneCondition { path: PathBuf, line: usize, id: String },
    #[error("lines {first} and {line} of `{path}` both have the id `{id}`; give each rule its own")]
    SameId { path: PathBuf, first: usize, line: usize, id: String },
}

/// What a rule asks of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// An EventBridge event pattern, as JSON text.
    Pattern(String),
    /// A text in a subset of CEL.
    When(String),
}

/// A line of a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) id: String,
    /// Of its file, from 1; 0 if it is from none.
    pub(crate) line: usize,
    pub(crate) condition: Condition,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleLine {
    id: String,
    pattern: Option<Box<serde_json::value::RawValue>>,
    when: Option<String>,
}

/// The events of a file, in one buffer, as a batch from Kafka would be.
#[derive(Debug, Default)]
pub(crate) struct Events {
    bytes: Vec<u8>,
    lines: Vec<Range<usize>>,
}

impl Events {
    /// The first `limit` lines that are not empty. Each has to be a JSON object, as the peers take nothing else either.
    pub(crate) fn read(path: &Path, limit: usize) -> Result<Self, InputError> {
        let bytes = read(path)?;
        let event = |(line, range): (usize, Range<usize>)| match object(&bytes[range.clone()]) {
            Ok(()) => Ok(range),
            Err(fault) => Err(InputError::NoEvent { path: path.to_owned(), line, fault }),
        };
        let lines = lines(&bytes).take(limit).map(event).collect::<Result<_, _>>()?;
        Ok(Events { bytes, lines })
    }

    /// On which line of its file an event stands, from 1.
    pub(crate) fn line_of(&self, event: usize) -> usize {
        let before = self.lines.get(event).map_or(&self.bytes[..], |line| &self.bytes[..line.start]);
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lines.iter().map(|line| &self.bytes[line.clone()])
    }

    /// Some events in a row.
    pub(crate) fn some(&self, range: Range<usize>) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lines[range].iter().map(|line| &self.bytes[line.clone()])
    }

    pub(crate) fn mean_bytes(&self) -> usize {
        self.lines.iter().map(|line| line.len()).sum::<usize>() / self.lines.len().max(1)
    }
}

/// All rules of a file.
pub(crate) fn read_rules(path: &Path) -> Result<Vec<Rule>, InputError> {
    let bytes = read(path)?;
    let mut rules: Vec<Rule> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (line, range) in lines(&bytes) {
        let path = || path.to_owned();
        let RuleLine { id, pattern, when } = serde_json::from_slice(&bytes[range])
            .map_err(|source| InputError::NoRule { path: path(), line, source })?;
        let condition = match (pattern, when) {
            (Some(pattern), None) => Condition::Pattern(pattern.get().to_owned()),
            (None, Some(text)) => Condition::When(text),
            _ => return Err(InputError::NotOneCondition { path: path(), line, id }),
        };
        if let Some(first) = seen.insert(id.clone(), line) {
            return Err(InputError::SameId { path: path(), first, line, id });
        }
        rules.push(Rule { id, line, condition });
    }
    Ok(rules)
}

/// Whether a text is one JSON object from end to end, and what is wrong if not.
fn object(text: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(text).map_err(|fault| fault.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|fault| {
        // It ends with the place, whose line is that of the text alone.
        let what = fault.to_string();
        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
        format!("{what} at column {}", fault.column())
    })?;
    let is_object = text.trim_start().starts_with('{');
    if is_object { Ok(()) } else { Err("it is JSON of another type".into()) }
}

/// Where the lines are that are not empty, numbered from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut at = 0;
    bytes
        .split(|byte| *byte == b'\n')
        .map(move |line| {
            let start = at;
            at += line.len() + 1;
            start..start + line.strip_suffix(b"\r").unwrap_or(line).len()
        })
        .zip(1..)
        .filter(|(line, _)| !line.is_empty())
        .map(|(line, number)| (number, line))
}

/// The whole file, unpacked if it begins as gzip does, whatever its name.
fn read(path: &Path) -> Result<Vec<u8>, InputError> {
    let unreadable = |source| InputError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let bar = loading(path, size);
    let mut file = BufReader::with_capacity(1 << 20, bar.wrap_read(file));
    let packed = file.fill_buf().map_err(unreadable)?.starts_with(&[0x1f, 0x8b]);
    let mut bytes = Vec::new();
    if packed {
        flate2::bufread::MultiGzDecoder::new(file).read_to_end(&mut bytes).map_err(unreadable)?;
    } else {
        bytes.reserve(size as usize + 1);
        file.read_to_end(&mut bytes).map_err(unreadable)?;
    }
    bar.finish_and_clear();
    Ok(bytes)
}

/// Files that take longer than a glance get a bar; it is seen on a terminal only.
fn loading(path: &Path, size: u64) -> ProgressBar {
    const WORTH_A_BAR: u64 = 16 << 20;
    if size < WORTH_A_BAR {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}").unwrap_or(ProgressStyle::default_bar());
    let name = path.file_name().unwrap_or_default().display().to_string();
    ProgressBar::new(size).with_style(style).with_message(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn events(file: &tempfile::NamedTempFile, limit: usize) -> Vec<String> {
        let events = Events::read(file.path(), limit).unwrap();
        assert_eq!(events.len(), events.iter().len());
        events.iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
    }

    #[test]
    fn empty_lines_and_line_ends_of_windows_are_no_events() {
        let file = file(b"{\"a\":1}\r\n\n{\"a\":2}\n\r\n{\"a\":3}");
        assert_eq!(events(&file, 100), [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
        assert_eq!(events(&file, 2).len(), 2);
    }

    #[test]
    fn a_line_that_is_no_json_object_is_refused_with_its_number() {
        for (text, expected) in [
            ("{}\n\nxx\n", "line 3 of "),
            ("{}\n[1]", "is no JSON object: it is JSON of another type"),
            ("7", "line 1 of "),
            ("{\"a\":", "is no JSON object: EOF while parsing a value at column 5"),
            ("{\"a\":1} {}", "trailing characters at column 9"),
            (" \n", "line 1 of "),
            ("{\"a\":01}", "invalid number"),
        ] {
            let refused = Events::read(file(text.as_bytes()).path(), 100).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
        assert!(Events::read(file(b"{\"a\":\"\xff\"}").path(), 100).is_err());
        // What is not read is not judged.
        assert_eq!(events(&file(b"{}\nxx"), 1).len(), 1);
    }

    #[test]
    fn events_know_their_lines_whatever_is_empty_between() {
        let file = file(b"\n{}\r\n\r\n\n{}\n");
        let events = Events::read(file.path(), 100).unwrap();
        assert_eq!([events.line_of(0), events.line_of(1)], [2, 5]);
    }

    proptest::proptest! {
        #[test]
        fn lines_are_those_of_a_text_that_are_not_empty(text in "[a\r\n]{0,40}") {
            let text = format!("{text}\n");
            let found: Vec<&str> = lines(text.as_bytes()).map(|(_, line)| &text[line]).collect();
            let expected: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            proptest::prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_gzip_file_of_several_members_is_read_whole_whatever_its_name() {
        let mut packed = Vec::new();
        for part in ["{\"a\":1}\n", "{\"a\":2}\n"] {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            packed.extend(encoder.finish().unwrap());
        }
        assert_eq!(events(&file(&packed), 100), [r#"{"a":1}"#, r#"{"a":2}"#]);
    }

    #[test]
    fn a_gzip_file_that_is_cut_off_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b'x'; 10_000]).unwrap();
        let packed = encoder.finish().unwrap();
        let cut = file(&packed[..packed.len() / 2]);
        assert!(matches!(Events::read(cut.path(), 100), Err(InputError::Unreadable { .. })));
    }

    #[test]
    fn a_rule_has_a_pattern_or_a_text_and_keeps_it_as_it_is_written() {
        let file = file(b"{\"id\":\"a\",\"pattern\":{\"x\": [1.50]}}\n{\"id\":\"b\",\"when\":\"x > 1\"}\n");
        let rules = read_rules(file.path()).unwrap();
        assert_eq!(
            rules[0],
            Rule { id: "a".into(), line: 1, condition: Condition::Pattern(r#"{"x": [1.50]}"#.into()) }
        );
        assert_eq!(rules[1], Rule { id: "b".into(), line: 2, condition: Condition::When("x > 1".into()) });
    }

    #[test]
    fn a_line_that_is_no_rule_is_named() {
        let error = |text: &str| read_rules(file(text.as_bytes()).path()).unwrap_err().to_string();
        assert!(error("\n{\"id\":\"a\"").starts_with("line 2 of "));
        assert!(error("{\"id\":\"a\"}").contains("rule `a` has both `pattern` and `when`, or neither"));
        assert!(error("{\"id\":\"a\",\"when\":\"x\"}\n{\"id\":\"a\",\"when\":\"y\"}").starts_with("lines 1 and 2 of "));
        assert!(error("{\"id\":\"a\",\"wen\":\"x\"}").contains("is no rule"));
    }
}
