//! Events in files: one JSON object, or one on each line.

use crate::maps::is_standard;
use crate::print::Failure;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use veltrix_route_table::{Answers, Event, RouteTable, Value, nearest};

/// An event as people write it: `{"topic": "t", "key": "k", "headers": {"ce_type": "a"}, "payload": {"n": 1}, "timestamp": 0}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    #[serde(default)]
    topic: String,
    key: Option<String>,
    /// `null`: a header that is there and says nothing.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// JSON of any type, of which every byte counts.
    payload: Option<Box<RawValue>>,
    /// A payload that is no JSON, or is to be sent as this very text.
    payload_text: Option<String>,
    /// A payload of any bytes: a protobuf message.
    #[serde(default, deserialize_with = "bytes_of_base64")]
    payload_base64: Option<Vec<u8>>,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    timestamp: Option<i64>,
    /// What lookups find for it, by their ids: JSON of any type, or `null` for nothing.
    #[serde(default)]
    lookups: BTreeMap<String, Option<Box<RawValue>>>,
    /// The ids of lookups that fail for it.
    #[serde(default)]
    lookups_failed: Vec<String>,
}

impl Written {
    /// What it says of the lookups of a table.
    pub(crate) fn answers(&self, table: &RouteTable) -> Answers {
        let mut answers = Answers::new();
        for (id, found) in &self.lookups {
            match (table.lookup_index(id), found) {
                (Some(lookup), Some(found)) => answers.found(lookup, found.get().as_bytes()),
                (Some(lookup), None) => answers.not_found(lookup),
                (None, _) => {}
            }
        }
        self.lookups_failed.iter().filter_map(|id| table.lookup_index(id)).for_each(|lookup| answers.failed(lookup));
        answers
    }

    /// What is wrong with what it says of lookups, none of which may be unknown to all `tables`.
    fn fault_of_lookups(&self, tables: &[&RouteTable]) -> Option<String> {
        if let Some(both) = self.lookups_failed.iter().find(|id| self.lookups.contains_key(*id)) {
            return Some(format!("lookup `{both}` is in `lookups` and in `lookups_failed`; leave it in one"));
        }
        let mut ids = self.lookups.keys().chain(&self.lookups_failed);
        let unknown = ids.find(|id| tables.iter().all(|table| table.lookup_index(id).is_none()))?;
        let known = tables.iter().flat_map(|table| table.lookups()).map(|lookup| lookup.id);
        let help = nearest(unknown, known).map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
        Some(format!("the map has no lookup `{unknown}`{help}"))
    }
}

impl Event for Written {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn key(&self) -> Value<'_> {
        self.key.as_ref().map_or(Value::Missing, |key| Value::Bytes(key.as_bytes()))
    }

    fn header(&self, name: &str) -> Value<'_> {
        match self.headers.get(name) {
            None => Value::Missing,
            Some(None) => Value::Null,
            Some(Some(value)) => Value::Bytes(value.as_bytes()),
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        let payload = self.payload.as_ref().map(|payload| payload.get());
        payload.or(self.payload_text.as_deref()).map(str::as_bytes).or(self.payload_base64.as_deref())
    }

    fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }
}

const SHAPE: &str = "an event is a JSON object such as {\"topic\": \"t\", \"key\": \"k\", \"headers\": {\"ce_type\": \"a\"}, \"payload\": {\"n\": 1}, \"timestamp\": 0}, of which all can be left out, with `payload_text` or `payload_base64` for a payload that is no JSON, `lookups` for what lookups find, and `lookups_failed` for those that fail";

fn bytes_of_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64.decode(text).map(Some).map_err(|fault| D::Error::custom(format!("`payload_base64` is no base64: {fault}")))
}

fn parse(text: &str, shown: &str, line_before: usize, tables: &[&RouteTable]) -> Result<Written, Failure> {
    let invalid = |line: usize, column: usize, fault: &str| Failure::Refused {
        text: format!("{shown}:{}:{column}: {fault}", line_before + line),
        reasons: Vec::new(),
        hint: Some(SHAPE.to_owned()),
    };
    let blank = text.len() - text.trim_start().len();
    if !text[blank..].is_empty() && !text[blank..].starts_with('{') {
        let (before, line) = (text[..blank].matches('\n').count(), text[..blank].rsplit('\n').next());
        return Err(invalid(before + 1, line.map_or(0, str::len) + 1, "this is no event, which is a JSON object"));
    }
    let event: Written = serde_json::from_str(text).map_err(|fault| {
        let text = fault.to_string();
        // It ends with the place, which is told apart.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        invalid(fault.line(), fault.column(), what)
    })?;
    let payloads = [event.payload.is_some(), event.payload_text.is_some(), event.payload_base64.is_some()];
    if payloads.iter().filter(|is_given| **is_given).count() > 1 {
        return Err(invalid(1, 1, "several of `payload`, `payload_text` and `payload_base64` are given; leave one in"));
    }
    if let Some(fault) = event.fault_of_lookups(tables) {
        return Err(invalid(1, 1, &fault));
    }
    Ok(event)
}

/// The event of a file, or of standard input, that is about this table.
pub(crate) fn read(path: &Path, table: &RouteTable) -> Result<Written, Failure> {
    let (shown, mut file) = open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| unreadable(&shown, &error))?;
    parse(&text, &shown, 0, &[table])
}

/// Each event of a file with one on each line, with the number of its line; empty lines are none. They are about these tables.
pub(crate) fn each(path: &Path, tables: &[&RouteTable], mut each: impl FnMut(usize, &Written)) -> Result<(), Failure> {
    let (shown, file) = open(path)?;
    for (before, line) in file.lines().enumerate() {
        let line = line.map_err(|error| unreadable(&shown, &error))?;
        if !line.trim().is_empty() {
            each(before + 1, &parse(&line, &shown, before, tables)?);
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<(String, Box<dyn BufRead>), Failure> {
    if is_standard(path) {
        return Ok(("standard input".to_owned(), Box::new(BufReader::new(std::io::stdin()))));
    }
    let shown = path.display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => Ok((shown, Box::new(BufReader::new(file)))),
        Err(error) => Err(unreadable(&shown, &error)),
    }
}

fn unreadable(shown: &str, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("can't read `{shown}`: {error}"))
}
