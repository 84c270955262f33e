//! Arrays and objects alone: their elements, and where they end.

use super::kernel::{Job, Kernel, Level};
use super::scan::{Scan, ScanState};
use super::value::{Found, Kind, is_space, plain_value, trim};
use std::sync::LazyLock;

/// What functions without a reader run at.
pub(super) fn level() -> Level {
    static LEVEL: LazyLock<Level> = LazyLock::new(Level::detect);
    *LEVEL
}

/// The elements of the array that `array` begins with, as it is found in a payload: nothing after its closing bracket matters. Places
/// are those in `array`. Arrays within it are elements; what can't be understood is none, and where the marks can't be those of JSON
/// the elements end. There are none if it is no array.
pub fn elements(array: &[u8]) -> Elements<'_> {
    elements_at(level(), array)
}

pub(super) fn elements_at(level: Level, array: &[u8]) -> Elements<'_> {
    Elements { level, bytes: array, state: ScanState::default(), at: At::Outside }
}

/// See [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    level: Level,
    bytes: &'a [u8],
    state: ScanState,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Outside,
    /// After this comma, or the array's opening bracket.
    Comma(usize),
    /// After the opening bracket of an element.
    Inside,
    End,
}

impl Iterator for Elements<'_> {
    type Item = Found;

    #[inline]
    fn next(&mut self) -> Option<Found> {
        self.level.run(Next(self))
    }
}

struct Next<'s, 'a>(&'s mut Elements<'a>);

impl Job for Next<'_, '_> {
    type Output = Option<Found>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Option<Found> {
        let Elements { bytes, state, at, .. } = self.0;
        let mut scan = Scan::resume(kernel, bytes, *state);
        let found = next(&mut scan, at);
        *state = scan.state;
        if found.is_none() {
            *at = At::End;
        }
        found
    }
}

/// The next element; `None` is the end, for good.
#[inline(always)]
fn next<K: Kernel>(scan: &mut Scan<'_, K>, at: &mut At) -> Option<Found> {
    let mut before = match *at {
        At::Outside => {
            let first = scan.mark()?;
            let blank = scan.bytes.get(..first)?.iter().all(|byte| is_space(*byte));
            if scan.byte(first) != b'[' || !blank {
                return None;
            }
            first
        }
        At::Comma(before) => before,
        At::Inside => {
            scan.skip(1)?;
            let after = scan.mark()?;
            if scan.byte(after) != b',' {
                return None;
            }
            after
        }
        At::End => return None,
    };
    loop {
        let mark = scan.mark()?;
        let what = scan.byte(mark);
        let found = match what {
            b',' | b']' => plain_value(scan.kernel, scan.bytes, before + 1, mark),
            b'{' => Some(Found::new(Kind::Object, mark, scan.bytes.len())),
            b'[' => Some(Found::new(Kind::Array, mark, scan.bytes.len())),
            _ => return None,
        };
        *at = match what {
            b',' => At::Comma(mark),
            b']' => At::End,
            _ => At::Inside,
        };
        if found.is_some() || what == b']' {
            return found;
        }
        before = mark;
    }
}

/// The one value that `bytes` are, with white space around it. Of an object or array only the bracket that it begins with is looked at;
/// [`validate`](super::validate()) is for those who want to know the rest.
pub fn value(bytes: &[u8]) -> Option<Found> {
    level().run(Value(bytes))
}

struct Value<'a>(&'a [u8]);

impl Job for Value<'_> {
    type Output = Option<Found>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Option<Found> {
        let (start, end) = trim(self.0, 0, self.0.len());
        match self.0.get(start)? {
            b'{' => Some(Found::new(Kind::Object, start, end)),
            b'[' => Some(Found::new(Kind::Array, start, end)),
            _ => plain_value(kernel, self.0, start, end),
        }
    }
}

/// The object or array that `bytes` begin with, from bracket to bracket; `None` if there is none, or no end of it.
pub fn whole(bytes: &[u8]) -> Option<&[u8]> {
    level().run(Whole(bytes))
}

struct Whole<'a>(&'a [u8]);

impl<'a> Job for Whole<'a> {
    type Output = Option<&'a [u8]>;

    #[inline(always)]
    fn run<K: Kernel>(self, kernel: K) -> Option<&'a [u8]> {
        if !matches!(self.0.first(), Some(b'{' | b'[')) {
            return None;
        }
        let mut scan = Scan::new(kernel, self.0);
        scan.mark()?;
        let end = scan.skip(1)?;
        self.0.get(..=end)
    }
}
