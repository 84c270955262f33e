//! What a value is, told from its bytes.

use super::kernel::{BLOCK, Kernel};
pub use crate::found::{Found, Kind};

/// What JSON takes for white space.
#[inline(always)]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[inline(always)]
fn byte(bytes: &[u8], at: usize) -> u8 {
    match bytes.get(at) {
        Some(byte) => *byte,
        None => 0,
    }
}

/// The bytes from `start` to `end` without the white space around them.
#[inline(always)]
pub(super) fn trim(bytes: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    while start < end && is_space(byte(bytes, start)) {
        start += 1;
    }
    while start < end && is_space(byte(bytes, end - 1)) {
        end -= 1;
    }
    (start, end)
}

/// The value that stands between two marks: a text, a number, a word. `None` if it is none of these.
#[inline(always)]
pub(super) fn plain_value<K: Kernel>(kernel: K, bytes: &[u8], start: usize, end: usize) -> Option<Found> {
    let (mut start, mut end) = (start, end);
    // Where there is nothing, the first byte is a mark.
    if byte(bytes, start) <= b' ' || byte(bytes, end - 1) <= b' ' {
        (start, end) = trim(bytes, start, end);
    }
    if start >= end {
        return None;
    }
    match byte(bytes, start) {
        b'"' => text(kernel, bytes, start, end),
        b'-' | b'0'..=b'9' => number(kernel, bytes, start, end),
        _ => word(bytes, start, end),
    }
}

#[inline(always)]
fn word(bytes: &[u8], start: usize, end: usize) -> Option<Found> {
    let kind = match bytes.get(start..end)? {
        b"null" => Kind::Null,
        b"true" => Kind::True,
        b"false" => Kind::False,
        _ => return None,
    };
    Some(Found::new(kind, start, end))
}

/// A text whose opening quote is at `start`: its closing one must be the last byte before `end`.
#[inline(always)]
fn text<K: Kernel>(kernel: K, bytes: &[u8], start: usize, end: usize) -> Option<Found> {
    let (first, last) = (start + 1, end - 1);
    let mut at = first;
    while at < end {
        let stops = kernel.text_stops(kernel.load(bytes, at));
        if stops != 0 {
            let stop = at + stops.trailing_zeros() as usize;
            return match bytes.get(stop)? {
                b'"' if stop == last => Some(Found::new(Kind::Text { escaped: false }, first, last)),
                b'"' => None,
                _ => escaped_text(bytes, first, stop, last),
            };
        }
        at += BLOCK;
    }
    None
}

/// A text with its first backslash at `at`.
#[cold]
#[inline(never)]
pub(super) fn escaped_text(bytes: &[u8], first: usize, mut at: usize, last: usize) -> Option<Found> {
    while at <= last {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return (at == last).then_some(Found::new(Kind::Text { escaped: true }, first, last)),
            _ => at += 1,
        }
    }
    None
}

/// How many of the bits from `from` on are set in a row; `from` is below 64.
#[inline(always)]
pub(super) fn run(bits: u64, from: usize) -> usize {
    (!(bits >> from)).trailing_zeros() as usize
}

/// A number that takes all bytes from `start` to `end`.
#[inline(always)]
fn number<K: Kernel>(kernel: K, bytes: &[u8], start: usize, end: usize) -> Option<Found> {
    let length = end - start;
    let found = Found::new(Kind::Number, start, end);
    if length >= BLOCK {
        return if long_number(bytes, start, end) { Some(found) } else { None };
    }
    let digits = kernel.digits(kernel.load(bytes, start));
    let mut at = usize::from(byte(bytes, start) == b'-');
    let whole = run(digits, at);
    if whole == 0 || (whole > 1 && byte(bytes, start + at) == b'0') {
        return None;
    }
    at += whole;
    if at < length && byte(bytes, start + at) == b'.' {
        let fraction = run(digits, at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    // What follows the number is a mark or white space, so no run goes beyond `length`.
    if at == length || long_number(bytes, start, end) { Some(found) } else { None }
}

#[cold]
#[inline(never)]
fn long_number(bytes: &[u8], start: usize, end: usize) -> bool {
    bytes.get(start..end).is_some_and(is_number)
}

/// Whether this is a number by RFC 8259, from the first byte to the last.
pub(super) fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> (usize, &[u8]) {
        let run = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (run, text.get(run..).unwrap_or_default())
    }
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, mut rest) = digits(unsigned);
    if whole == 0 || (whole > 1 && unsigned.first() == Some(&b'0')) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let (run, after) = digits(fraction);
        if run == 0 {
            return false;
        }
        rest = after;
    }
    if let Some(power) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let unsigned = power.strip_prefix(b"-").or_else(|| power.strip_prefix(b"+")).unwrap_or(power);
        let (run, after) = digits(unsigned);
        if run == 0 {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}
