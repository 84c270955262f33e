//! Reference tables from files of JSON lines, read anew when they change.
//!
//! A file that can't be used any more changes nothing: the table stays as it was, and the log says why.
//!
//! The path is whatever a map says. So nothing but a regular file is read, and of that no more than a table may have, also while it
//! grows; and reading ends soon after nobody needs the table any more.

use super::answer::{self, Unreadable};
use super::table::{Edition, Entries, Table, TooLarge};
use crate::stop::{Stop, Stopping};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use veltrix_route_table::limits::{LOOKUP_ANSWER_BYTES, LOOKUP_KEY_BYTES, LOOKUP_TABLE_BYTES};

/// Between two looks at whether a file is another one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Entries between two notes of how far reading has come.
const NOTE_EVERY: u64 = 100_000;
/// Bytes of a line. An answer that is somewhat too long fails for its key alone; in a line beyond this even the key is not looked for.
const LINE_BYTES_MAX: u64 = 4 * LOOKUP_ANSWER_BYTES.max;

/// Why a file can't be used.
#[derive(Debug, thiserror::Error)]
enum FileFault {
    #[error("can't read `{path}`: {source}; every engine needs the file, under this path")]
    Unreadable { path: String, source: io::Error },
    #[error("`{path}` is {kind}; a reference table is read from a regular file")]
    NotRegular { path: String, kind: &'static str },
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
            self.look(stop);
            if stop.wait(LOOK_EVERY) {
                return;
            }
        }
    }

    fn look(&mut self, stop: &Stop) {
        // Of before it is read: what is written meanwhile is read the next time.
        let now = Stamp::of(&self.path);
        if self.read.as_ref() == Some(&now) {
            return;
        }
        self.read = Some(now);
        let (lookup, table, is_ready) = (&self.id, &self.table, self.is_ready);
        let reading = Reading {
            path: &self.path,
            stop,
            bytes_max: LOOKUP_TABLE_BYTES.max,
            note: |entries| (!is_ready).then(|| table.publish(Edition::Reading(entries))),
        };
        match reading.open().and_then(|file| reading.read(BufReader::with_capacity(1 << 16, file))) {
            Ok(None) => {}
            Ok(Some((entries, mut unreadable))) => {
                tracing::info!(lookup, path = %self.path.display(), entries = entries.count(), "reference table read");
                unreadable.say(lookup);
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

/// How a file is read.
struct Reading<'r, N> {
    path: &'r Path,
    stop: &'r Stop,
    /// Of the file: 4 GiB of blank lines are no table.
    bytes_max: u64,
    /// Told how many entries there are, every now and then.
    note: N,
}

impl<N: Fn(u64) -> T, T> Reading<'_, N> {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn unreadable(&self, source: io::Error) -> FileFault {
        FileFault::Unreadable { path: self.name(), source }
    }

    fn too_large(&self, why: TooLarge) -> FileFault {
        FileFault::TooLarge { path: self.name(), why }
    }

    fn open(&self) -> Result<File, FileFault> {
        // Before it is opened, which alone would do something to a device; and after, since it may be another one then.
        self.regular(&self.path.metadata().map_err(|error| self.unreadable(error))?)?;
        let file = open(self.path).map_err(|error| self.unreadable(error))?;
        let meta = file.metadata().map_err(|error| self.unreadable(error))?;
        self.regular(&meta)?;
        if meta.len() > self.bytes_max { Err(self.too_large(TooLarge(&LOOKUP_TABLE_BYTES))) } else { Ok(file) }
    }

    fn regular(&self, meta: &Metadata) -> Result<(), FileFault> {
        let kind = match meta.file_type() {
            kind if kind.is_file() => return Ok(()),
            kind if kind.is_dir() => "a directory",
            _ => "a device, a pipe or a socket",
        };
        Err(FileFault::NotRegular { path: self.name(), kind })
    }

    /// `None`: nobody needs it any more.
    fn read(&self, file: impl BufRead) -> Result<Option<(Entries, Unreadable)>, FileFault> {
        let (mut entries, mut unreadable) = (Entries::new(), Unreadable::default());
        let (mut text, mut left) = (Vec::new(), self.bytes_max);
        let mut file = file.take(0);
        for line in 1.. {
            if self.stop.state() != Stopping::No {
                return Ok(None);
            }
            text.clear();
            // One more than allowed tells what is too long from what is not.
            file.set_limit(left.min(LINE_BYTES_MAX) + 1);
            let read = file.read_until(b'\n', &mut text).map_err(|error| self.unreadable(error))? as u64;
            if read == 0 {
                break;
            }
            left = left.checked_sub(read).ok_or_else(|| self.too_large(TooLarge(&LOOKUP_TABLE_BYTES)))?;
            self.take_in(line, &text, &mut entries, &mut unreadable)?;
            if line % NOTE_EVERY == 0 {
                (self.note)(entries.count());
            }
        }
        Ok(Some((entries, unreadable)))
    }

    fn take_in(
        &self,
        line: u64,
        text: &[u8],
        entries: &mut Entries,
        unreadable: &mut Unreadable,
    ) -> Result<(), FileFault> {
        let refused = |reason: String| FileFault::Line { path: self.name(), line, reason };
        if text.len() as u64 > LINE_BYTES_MAX {
            let (name, max) = (LOOKUP_ANSWER_BYTES.name, LOOKUP_ANSWER_BYTES.max);
            return Err(refused(format!(
                "it has more than {LINE_BYTES_MAX} bytes, and an answer at most {max}, the limit `{name}`"
            )));
        }
        if text.trim_ascii().is_empty() {
            return Ok(());
        }
        let Line { key, value } = serde_json::from_slice(text).map_err(|error| refused(error.to_string()))?;
        if key.len() as u64 > LOOKUP_KEY_BYTES.max {
            return Err(refused(format!(
                "its key has {} bytes, and at most {} are looked up",
                key.len(),
                LOOKUP_KEY_BYTES.max
            )));
        }
        let (key_bytes, value) = (key.as_bytes(), value.get().as_bytes());
        if value == b"null" {
            entries.remove(key_bytes);
            return Ok(());
        }
        let put = match answer::check(value) {
            Ok(()) => entries.put(key_bytes, value),
            Err(unfit) => {
                unreadable.note(|| format!("line {line} of `{}`, key `{}`", self.name(), key.escape_debug()), unfit);
                entries.put_failed(key_bytes, &unfit.to_string())
            }
        };
        put.map_err(|why| self.too_large(why))
    }
}

/// Never waits: a pipe that has taken the file's place since it was looked at, or a file of the system's that has nothing to say yet,
/// would be waited for without end.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::super::table::View;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn reading<'r>(path: &'r Path, stop: &'r Stop, bytes_max: u64) -> Reading<'r, fn(u64)> {
        Reading { path, stop, bytes_max, note: |_| () }
    }

    fn read_from(file: impl BufRead, bytes_max: u64) -> Result<(Entries, Unreadable), String> {
        let stop = Stop::default();
        let read = reading(Path::new("players.jsonl"), &stop, bytes_max).read(file);
        read.map(|read| read.expect("nobody gave it up")).map_err(|fault| fault.to_string())
    }

    fn read(text: &str) -> Result<Entries, String> {
        read_from(text.as_bytes(), LOOKUP_TABLE_BYTES.max).map(|(entries, _)| entries)
    }

    fn entry(key: &str, value: &str) -> String {
        format!("{{\"key\": \"{key}\", \"value\": {value}}}\n")
    }

    /// The same text again and again. Fails the test when far more of it is asked for than any limit allows.
    struct Endless<'t> {
        text: &'t [u8],
        at: usize,
        left: usize,
        on_read: &'t dyn Fn(usize),
    }

    impl io::Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            (self.on_read)(self.left);
            let count = buffer.len().min(self.text.len() - self.at);
            self.left = self.left.checked_sub(count).expect("it is read without end");
            buffer[..count].copy_from_slice(&self.text[self.at..self.at + count]);
            self.at = (self.at + count) % self.text.len();
            Ok(count)
        }
    }

    #[test]
    fn the_last_line_of_a_key_counts_and_null_takes_it_away() {
        let entries = read(
            "{\"key\": \"a\", \"value\": 1}\n\n{\"value\": {\"x\": [1, 2]}, \"key\": \"b\\u0063\"}\r\n\
             {\"key\": \"a\", \"value\": \"2\"}\n{\"key\": \"gone\", \"value\": 1}\n{\"key\": \"gone\", \"value\": null}",
        )
        .unwrap();
        assert_eq!(entries.get(b"a"), Ok(Some(&b"\"2\""[..])));
        assert_eq!(entries.get(b"bc"), Ok(Some(&b"{\"x\": [1, 2]}"[..])));
        assert_eq!((entries.get(b"gone"), entries.count()), (Ok(None), 2));
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
        let stop = Stop::default();
        let missing = reading(Path::new("/no/such/file"), &stop, 10).open().unwrap_err().to_string();
        assert!(missing.contains("every engine needs the file"), "{missing}");
    }

    #[test]
    fn an_answer_that_is_too_long_fails_for_its_key_and_is_told_by_its_line() {
        let long = format!("\"{}\"", "x".repeat(LOOKUP_ANSWER_BYTES.max as usize - 1));
        let fits = format!("\"{}\"", "x".repeat(LOOKUP_ANSWER_BYTES.max as usize - 2));
        let deep = format!("{}{}", "[".repeat(1_025), "]".repeat(1_025));
        let text =
            [entry("a", "1"), entry("b", &long), entry("c", &fits), entry("d", &deep), entry("e", &long)].concat();
        let (mut entries, unreadable) = read_from(text.as_bytes(), LOOKUP_TABLE_BYTES.max).unwrap();
        assert_eq!(entries.get(b"a"), Ok(Some(&b"1"[..])));
        assert_eq!(entries.get(b"b"), Err("the answer has 1048577 bytes; the limit `lookup_answer_bytes` is 1048576"));
        assert_eq!(entries.get(b"c"), Ok(Some(fits.as_bytes())));
        assert!(entries.get(b"d").unwrap_err().contains("limit"), "{:?}", entries.get(b"d"));
        let told = format!("{unreadable:?}");
        assert!(told.contains("count: 3") && told.contains("line 2 of `players.jsonl`, key `b`"), "{told}");
        entries.put(b"b", b"1").unwrap();
        assert_eq!(entries.get(b"b"), Ok(Some(&b"1"[..])));
    }

    #[test]
    fn no_more_of_a_line_or_a_file_is_read_than_a_table_may_have() {
        let texts = ["\n".to_owned(), entry("k", "1"), "x".to_owned()];
        let endless = |text, left| BufReader::new(Endless { text, at: 0, left, on_read: &|_| () });
        let line = read_from(endless(b"x", 6 << 20), LOOKUP_TABLE_BYTES.max).unwrap_err();
        assert!(line.contains("line 1") && line.contains("`lookup_answer_bytes`"), "{line}");
        for text in &texts {
            let file = read_from(endless(text.as_bytes(), 1 << 20), 100_000).unwrap_err();
            assert!(file.contains("too large") && file.contains("`lookup_table_bytes`"), "{file}");
        }
        let whole = entry("k", "1");
        assert!(read_from(whole.as_bytes(), whole.len() as u64).is_ok());
        assert!(read_from(whole.as_bytes(), whole.len() as u64 - 1).is_err());
    }

    #[test]
    fn reading_ends_when_nobody_needs_the_table_any_more() {
        let stop = Stop::default();
        let give_up = |left| {
            if left < 500_000 {
                stop.stop(Duration::ZERO)
            }
        };
        let text = entry("k", "1");
        let endless = Endless { text: text.as_bytes(), at: 0, left: 1_000_000, on_read: &give_up };
        let read = reading(Path::new("players.jsonl"), &stop, u64::MAX).read(BufReader::new(endless)).unwrap();
        assert!(read.is_none());
        // Nor is such a table told to be anything.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("players.jsonl");
        std::fs::write(&path, entry("k", "1")).unwrap();
        let mut file = FileTable::new("players".to_owned(), &path, Table::new());
        file.look(&stop);
        assert!(View::new(&file.table).get(b"k").unwrap_err().contains("still being read"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_and_a_good_file_in_its_place_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("players.jsonl"), directory.path().join("link"));
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        for (special, kind) in
            [(Path::new("/dev/null"), "a device"), (&link, "a device"), (directory.path(), "a directory")]
        {
            let refused = reading(special, &Stop::default(), 10).open().unwrap_err().to_string();
            assert!(refused.contains(kind) && refused.contains("regular file"), "{refused}");
        }
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        // Were it opened to wait for a writer, or were there nothing to look at after opening, this would never be over.
        let (done, is_done) = std::sync::mpsc::channel();
        let table = Table::new();
        let mut file = FileTable::new("players".to_owned(), &path, Arc::clone(&table));
        std::thread::spawn(move || {
            drop(open(&file.path).unwrap());
            file.look(&Stop::default());
            let _nobody_waits = done.send(file);
        });
        let mut file = is_done.recv_timeout(PATIENCE).expect("a pipe is waited for");
        assert!(View::new(&table).get(b"k").unwrap_err().contains("a pipe"));
        let good = tempfile::NamedTempFile::new_in(&directory).unwrap();
        std::fs::write(&good, entry("k", "1")).unwrap();
        good.persist(&path).unwrap();
        file.look(&Stop::default());
        assert_eq!(View::new(&table).get(b"k"), Ok(Some(&b"1"[..])));
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
            file.look(&Stop::default());
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
