//! What a read must find, the simple way: all marks first, one byte after the other, then down the tree by recursion.

use crate::json::text::unescape;
use crate::json::value::is_number;
use crate::json::{Found, Kind};
use std::collections::HashSet;

/// A field: its names, and whether it goes through arrays.
pub(super) type Path = (Vec<String>, bool);

#[derive(Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Of each field.
    pub(super) values: Vec<Vec<Found>>,
    pub(super) crossed_array: bool,
}

pub(super) fn read(paths: &[Path], bytes: &[u8]) -> Answer {
    let marks = marks(bytes);
    let mut reference = Reference { bytes, marks, answer: Answer::default() };
    reference.answer.values.resize(paths.len(), Vec::new());
    let wanted: Vec<_> =
        paths.iter().enumerate().filter(|(_, path)| !path.0.is_empty()).map(|(field, path)| (field, path, 0)).collect();
    let first = reference.marks.first().copied();
    if let Some(first) = first
        && bytes[first] == b'{'
        && bytes[..first].iter().all(|byte| b" \t\r\n".contains(byte))
        && !wanted.is_empty()
    {
        reference.object(0, &wanted, false, 0);
    }
    reference.answer
}

/// Places of `{ } [ ] : ,` outside of texts.
pub(super) fn marks(bytes: &[u8]) -> Vec<usize> {
    let (mut within, mut escaped, mut marks) = (false, false, Vec::new());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'"' && !escaped {
            within = !within;
        }
        escaped = *byte == b'\\' && !escaped;
        if !within && b"{}[]:,".contains(byte) {
            marks.push(at);
        }
    }
    marks
}

/// A field that lies in a container: its number, its path, and how many of its names led here.
type Wanted<'a> = (usize, &'a Path, usize);

struct Reference<'b> {
    bytes: &'b [u8],
    marks: Vec<usize>,
    answer: Answer,
}

impl Reference<'_> {
    fn mark(&self, index: usize) -> Option<u8> {
        Some(self.bytes[*self.marks.get(index)?])
    }

    /// The object that begins at a mark; returns the mark that ends it, if it can be got to.
    fn object(&mut self, open: usize, wanted: &[Wanted<'_>], within_array: bool, depth: usize) -> Option<usize> {
        let mut unmet: HashSet<&str> = wanted.iter().map(|(_, path, level)| path.0[*level].as_str()).collect();
        let mut before = open;
        loop {
            let colon = before + 1;
            match self.mark(colon)? {
                b':' => {}
                b'}' if before == open => return Some(colon),
                _ => return None,
            }
            let name = self.name(self.marks[before] + 1, self.marks[colon]);
            let below: Vec<Wanted<'_>> = match name {
                Some(name) if unmet.remove(name.as_str()) => {
                    let led = |(_, path, level): &&Wanted<'_>| path.0[*level] == name;
                    wanted.iter().filter(led).map(|(field, path, level)| (*field, *path, level + 1)).collect()
                }
                _ => Vec::new(),
            };
            let mark = colon + 1;
            let end = match self.mark(mark)? {
                b',' | b'}' => {
                    let value = plain(self.bytes, self.marks[colon] + 1, self.marks[mark]);
                    self.put(&below, value, |through| through || !within_array);
                    mark
                }
                b'{' => {
                    let value = self.container(Kind::Object, mark);
                    self.put(&below, value, |through| through || !within_array);
                    self.child(mark, &below, within_array, depth)?
                }
                b'[' => {
                    let value = self.container(Kind::Array, mark);
                    self.put(&below, value, |through| !through && !within_array);
                    self.array(mark, &below, depth)?
                }
                _ => return None,
            };
            if unmet.is_empty() {
                let closed = end != mark || self.mark(end) != Some(b'}');
                return if closed { self.skip(end + 1, 1) } else { Some(end) };
            }
            before = if end == mark { mark } else { end + 1 };
            match self.mark(before)? {
                b',' => {}
                b'}' => return Some(before),
                _ => return None,
            }
        }
    }

    /// An object for what lies deeper in it.
    fn child(&mut self, open: usize, below: &[Wanted<'_>], within_array: bool, depth: usize) -> Option<usize> {
        let deeper: Vec<_> = below
            .iter()
            .filter(|(_, path, level)| path.0.len() > *level && (path.1 || !within_array))
            .copied()
            .collect();
        if deeper.is_empty() || depth >= 256 {
            return self.skip(open + 1, 1);
        }
        self.object(open, &deeper, within_array, depth + 1)
    }

    fn array(&mut self, open: usize, below: &[Wanted<'_>], depth: usize) -> Option<usize> {
        let through: Vec<_> = below.iter().filter(|(_, path, _)| path.1).copied().collect();
        if through.is_empty() || depth >= 256 {
            return self.skip(open + 1, 1);
        }
        let mut before = open;
        loop {
            let mark = before + 1;
            let end = match self.mark(mark)? {
                b',' | b']' => {
                    let value = plain(self.bytes, self.marks[before] + 1, self.marks[mark]);
                    self.put(&through, value, |_| true);
                    mark
                }
                b'{' => {
                    let value = self.container(Kind::Object, mark);
                    self.put(&through, value, |_| true);
                    self.answer.crossed_array |= through.iter().any(|(_, path, level)| path.0.len() > *level);
                    self.child(mark, &through, true, depth + 1)?
                }
                b'[' => self.array(mark, &through, depth + 1)?,
                _ => return None,
            };
            before = if end == mark { mark } else { end + 1 };
            match self.mark(before)? {
                b',' => {}
                b']' => return Some(before),
                _ => return None,
            }
        }
    }

    /// The mark at or after `from` that closes `levels` containers.
    fn skip(&self, from: usize, mut levels: usize) -> Option<usize> {
        for mark in from.. {
            match self.mark(mark)? {
                b'{' | b'[' => levels += 1,
                b'}' | b']' => levels -= 1,
                _ => {}
            }
            if levels == 0 {
                return Some(mark);
            }
        }
        None
    }

    fn put(&mut self, below: &[Wanted<'_>], value: Option<Found>, is_of: impl Fn(bool) -> bool) {
        let Some(value) = value else { return };
        for (field, path, level) in below {
            if path.0.len() == *level && is_of(path.1) {
                self.answer.values[*field].push(value);
            }
        }
    }

    fn container(&self, kind: Kind, mark: usize) -> Option<Found> {
        Some(Found::new(kind, self.marks[mark], self.bytes.len()))
    }

    /// The name that the bytes before a colon mean.
    fn name(&self, start: usize, end: usize) -> Option<String> {
        let found = plain(self.bytes, start, end)?;
        let Kind::Text { .. } = found.kind() else { return None };
        let mut name = Vec::new();
        unescape(found.of(self.bytes), &mut name).ok()?;
        // Texts are not checked: bytes that are no UTF-8 are no name.
        String::from_utf8(name).ok()
    }
}

/// A value without marks, from `start` to `end` with white space around it.
pub(super) fn plain(bytes: &[u8], mut start: usize, mut end: usize) -> Option<Found> {
    while start < end && b" \t\r\n".contains(&bytes[start]) {
        start += 1;
    }
    while start < end && b" \t\r\n".contains(&bytes[end - 1]) {
        end -= 1;
    }
    let kind = match &bytes[start..end] {
        b"null" => Kind::Null,
        b"true" => Kind::True,
        b"false" => Kind::False,
        [b'"', inner @ .., b'"'] => {
            let mut escaped = false;
            for byte in inner {
                if *byte == b'"' && !escaped {
                    return None;
                }
                escaped = *byte == b'\\' && !escaped;
            }
            if escaped {
                return None;
            }
            (start, end) = (start + 1, end - 1);
            Kind::Text { escaped: inner.contains(&b'\\') }
        }
        number if is_number(number) => Kind::Number,
        _ => return None,
    };
    Some(Found::new(kind, start, end))
}
