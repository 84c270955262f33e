//! Reference tables from files of JSON lines, read anew when they change.
//!
//! A file that can't be used any more changes nothing: the table stays as it was, and the log says why.

use super::table::{Edition, Entries, Table, TooLarge};
use crate::stop::Stop;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use veltrix_route_table::limits::{LOOKUP_KEY_BYTES, LOOKUP_TABLE_BYTES};

/// Between two looks at whether a file is another one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries between two notes of how far reading has come.
const NOTE_EVERY: u64 = 100_000;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error("can't read `{path}`: {source}; every engine needs the file, under this path")]
    Unreadable { path: String, source: io::Error },
    #[error(
        "line {line} of `{path}` can't be used: {reason}; a line is like {{\"key\": \"player-7\", \"value\": {{\"region\": \"eu\"}}}}"
    )]
    Line { path: String, line: u64, reason: String },
    #[error("`{path}` is too large: {why}")]
    TooLarge { path: String, why: TooLarge },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow)]
    key: Cow<'l, str>,
    #[serde(borrow)]
    value: &'l RawValue,
}

/// A table's file.
pub(super) struct FileTable {
    /// Of the lookup.
    pub(super) id: String,
    pub(super) path: PathBuf,
    pub(super) table: Arc<Table>,
    read: Option<Stamp>,
    is_ready: bool,
}

impl FileTable {
    pub(super) fn new(id: String, path: impl Into<PathBuf>, table: Arc<Table>) -> FileTable {
        FileTable { id, path: path.into(), table, read: None, is_ready: false }
    }

    /// Reads it, and again whenever it has changed, until nobody needs it any more.
    pub(super) fn follow(mut self, stop: &Stop) {
        loop {
            self.look();
            if stop.wait(LOOK_EVERY) {
                return;
            }
        }
    }

    fn look(&mut self) {
        // Of before it is read: what is written meanwhile is read the next time.
        let now = Stamp::of(&self.path);
        if self.read.as_ref() == Some(&now) {
            return;
        }
        self.read = Some(now);
        let (lookup, table, is_ready) = (&self.id, &self.table, self.is_ready);
        match entries_of(&self.path, |entries| (!is_ready).then(|| table.publish(Edition::Reading(entries)))) {
            Ok(entries) => {
                tracing::info!(lookup, path = %self.path.display(), entries = entries.count(), "reference table read");
                table.publish(Edition::Ready(entries));
                self.is_ready = true;
            }
            Err(fault) if is_ready => tracing::error!(lookup, "the reference table stays as it was: {fault}"),
            Err(fault) => {
                tracing::error!(lookup, "the reference table can't be used: {fault}");
                table.publish(Edition::Unusable(fault.to_string()));
            }
        }
    }
}

/// What tells a file from the one that was there before.
#[derive(PartialEq, Eq)]
struct Stamp(Option<(u64, Option<SystemTime>, u64)>);

impl Stamp {
    fn of(path: &Path) -> Stamp {
        Stamp(path.metadata().ok().map(|meta| (meta.len(), meta.modified().ok(), inode(&meta))))
    }
}

#[cfg(unix)]
fn inode(meta: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(meta)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn entries_of<T>(path: &Path, mut note: impl FnMut(u64) -> T) -> Result<Entries, FileFault> {
    let name = || path.display().to_string();
    let unreadable = |source| FileFault::Unreadable { path: name(), source };
    let too_large = |why| FileFault::TooLarge { path: name(), why };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > LOOKUP_TABLE_BYTES.max {
        return Err(too_large(TooLarge(&LOOKUP_TABLE_BYTES)));
    }
    let (mut file, mut entries) = (BufReader::with_capacity(1 << 16, file), Entries::new());
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        if file.read_until(b'\n', &mut text).map_err(unreadable)? == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let refused = |reason: String| FileFault::Line { path: name(), line, reason };
        let Line { key, value } = serde_json::from_slice(&text).map_err(|error| refused(error.to_string()))?;
        if key.len() as u64 > LOOKUP_KEY_BYTES.max {
            return Err(refused(format!(
                "its key has {} bytes, and at most {} are looked up",
                key.len(),
                LOOKUP_KEY_BYTES.max
            )));
        }
        match value.get() {
            "null" => entries.remove(key.as_bytes()),
            value => entries.put(key.as_bytes(), value.as_bytes()).map_err(too_large)?,
        }
        if line % NOTE_EVERY == 0 {
            note(entries.count());
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::table::View;
    use super::*;
    use std::io::Write as _;

    fn read(text: &str) -> Result<Entries, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        entries_of(file.path(), |_| ()).map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_last_line_of_a_key_counts_and_null_takes_it_away() {
        let entries = read(
            "{\"key\": \"a\", \"value\": 1}\n\n{\"value\": {\"x\": [1, 2]}, \"key\": \"b\\u0063\"}\r\n\
             {\"key\": \"a\", \"value\": \"2\"}\n{\"key\": \"gone\", \"value\": 1}\n{\"key\": \"gone\", \"value\": null}",
        )
        .unwrap();
        assert_eq!(entries.get(b"a"), Some(&b"\"2\""[..]));
        assert_eq!(entries.get(b"bc"), Some(&b"{\"x\": [1, 2]}"[..]));
        assert_eq!((entries.get(b"gone"), entries.count()), (None, 2));
    }

    #[test]
    fn a_line_that_is_no_entry_is_refused_by_its_number() {
        let cases = [
            ("{\"key\": \"a\", \"value\": 1}\n{\"key\": \"b\"", "line 2"),
            ("{\"key\": \"b\"}", "missing field `value`"),
            ("{\"key\": 7, \"value\": 1}", "invalid type: integer `7`"),
            ("{\"key\": \"b\", \"value\": 1, \"other\": 2}", "unknown field `other`"),
            ("{\"key\": \"b\", \"value\": tru}", "line 1"),
        ];
        for (text, expected) in cases {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(expected) && refused.contains("a line is like"), "{text}: {refused}");
        }
        let long = format!("{{\"key\": \"{}\", \"value\": 1}}", "k".repeat(1_025));
        assert!(read(&long).unwrap_err().contains("its key has 1025 bytes"));
        assert!(
            entries_of(Path::new("/no/such/file"), |_| ())
                .unwrap_err()
                .to_string()
                .contains("every engine needs the file")
        );
    }

    #[test]
    fn a_file_that_changes_is_read_anew_and_one_that_is_broken_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("players.jsonl");
        // As by those who take care: nobody sees half of it, and it is another file each time.
        let write = |text: &str| {
            let new = tempfile::NamedTempFile::new_in(&directory).unwrap();
            std::fs::write(&new, text).unwrap();
            let _ = std::fs::hard_link(&path, directory.path().join(format!("old-{}", text.len())));
            new.persist(&path).unwrap();
        };
        let mut file = FileTable::new("players".to_owned(), &path, Table::new());
        let mut view = View::new(&file.table);
        let mut found = |file: &mut FileTable| {
            file.look();
            view.refresh();
            view.get(b"k")
                .map(|value| value.map(|value| String::from_utf8_lossy(value).into_owned()))
                .map_err(str::to_owned)
        };
        assert!(found(&mut file).unwrap_err().contains("can't read"));
        write("{\"key\": \"k\", \"value\": 1}");
        assert_eq!(found(&mut file), Ok(Some("1".to_owned())));
        write("{\"key\": \"k\", \"value\":");
        assert_eq!(found(&mut file), Ok(Some("1".to_owned())));
        write("{\"key\": \"k\", \"value\": 2 }");
        assert_eq!(found(&mut file), Ok(Some("2".to_owned())));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(found(&mut file), Ok(Some("2".to_owned())));
        write("{\"key\": \"other\", \"value\": 2}");
        assert_eq!(found(&mut file), Ok(None));
    }
}
