//! Texts compared byte by byte: equal, starts, ends, and a part of one found in another.

use crate::table::Text;
use std::ops::Range;

/// A value of an event with what surrounds it in memory, so that it can be loaded a word at a time.
#[derive(Clone, Copy, Debug)]
pub struct Excerpt<'p> {
    bytes: &'p [u8],
    /// The first 8 bytes, the first one lowest; zeros if there are fewer.
    first: u64,
    /// The last 8 bytes, the last one highest; zeros if there are fewer.
    last: u64,
}

/// A literal made to be compared with an [`Excerpt`].
#[derive(Clone, Copy, Debug)]
pub struct Literal {
    /// As in [`Excerpt`].
    first: u64,
    last: u64,
    /// Ones for the bytes that `first` has of the text.
    mask: u64,
    text: Text,
}

impl<'p> Excerpt<'p> {
    /// The part of a payload at `range`; `None` if the payload is shorter.
    #[inline]
    pub fn new(payload: &'p [u8], range: Range<usize>) -> Option<Excerpt<'p>> {
        let start = range.start;
        let bytes = payload.get(range)?;
        let first = first_word_at(payload, start, bytes);
        Some(Excerpt { bytes, first, last: last_word(bytes, first) })
    }

    /// A value of which the surroundings are not known.
    #[inline]
    pub fn of(bytes: &'p [u8]) -> Excerpt<'p> {
        let first = first_word(bytes);
        Excerpt { bytes, first, last: last_word(bytes, first) }
    }

    /// The value itself.
    #[inline]
    pub fn bytes(&self) -> &'p [u8] {
        self.bytes
    }
}

impl Literal {
    /// Compiles a literal; `None` if `texts` has no room left.
    pub fn compile(text: &str, texts: &mut String) -> Option<Literal> {
        let at = texts.len();
        texts.push_str(text);
        Literal::of(texts, at)
    }

    /// The literal that lies in `texts` from `at` on.
    pub(super) fn of(texts: &str, at: usize) -> Option<Literal> {
        let text = rest(texts, at)?;
        let bytes = text.bytes_of(texts);
        let first = first_word(bytes);
        Some(Literal { first, last: last_word(bytes, first), mask: mask(bytes.len()), text })
    }

    /// The literal that lies in `texts` at a place.
    pub(crate) fn at(text: Text, texts: &str) -> Literal {
        let bytes = text.bytes_of(texts);
        let first = first_word(bytes);
        Literal { first, last: last_word(bytes, first), mask: mask(bytes.len()), text }
    }

    /// The literal as it was written.
    pub fn text<'t>(&self, texts: &'t str) -> &'t str {
        self.text.of(texts)
    }

    /// Where the text lies.
    #[inline]
    pub(super) fn place(&self) -> Text {
        self.text
    }

    /// Whether the value is this text.
    #[inline]
    pub fn equals(&self, value: &Excerpt<'_>, texts: &str) -> bool {
        let len = self.text.len as usize;
        value.bytes.len() == len
            && value.first == self.first
            && value.last == self.last
            && (len <= 16 || value.bytes == self.text.bytes_of(texts))
    }

    /// Whether the value begins with this text.
    #[inline]
    pub fn starts(&self, value: &Excerpt<'_>, texts: &str) -> bool {
        let len = self.text.len as usize;
        value.bytes.len() >= len
            && value.first & self.mask == self.first
            && (len <= 8 || value.bytes.get(..len).is_some_and(|start| self.is(start, texts)))
    }

    /// Whether the value ends with this text.
    #[inline]
    pub fn ends(&self, value: &Excerpt<'_>, texts: &str) -> bool {
        let len = self.text.len as usize;
        value.bytes.len() >= len
            && value.last & self.mask.swap_bytes() == self.last
            && (len <= 8 || value.bytes.get(value.bytes.len() - len..).is_some_and(|end| self.is(end, texts)))
    }

    /// Whether these bytes, more than 8 and as many as the text has, are the text.
    #[inline]
    fn is(&self, bytes: &[u8], texts: &str) -> bool {
        let word = |bytes: Option<&[u8; 8]>| bytes.map(|word| u64::from_le_bytes(*word));
        word(bytes.first_chunk()) == Some(self.first)
            && word(bytes.last_chunk()) == Some(self.last)
            && (bytes.len() <= 16 || bytes == self.text.bytes_of(texts))
    }
}

/// A text to be found in others.
#[derive(Clone, Copy, Debug)]
pub struct Needle {
    text: Text,
    /// Its first byte and its last one, each eight times.
    first: u64,
    last: u64,
}

impl Needle {
    /// Compiles a text to be looked for; `None` if `texts` has no room left.
    pub fn compile(text: &str, texts: &mut String) -> Option<Needle> {
        let at = texts.len();
        texts.push_str(text);
        Needle::of(texts, at)
    }

    /// The text that lies in `texts` from `at` on.
    pub(super) fn of(texts: &str, at: usize) -> Option<Needle> {
        Some(Needle::at(rest(texts, at)?, texts))
    }

    /// A text that lies in `texts`.
    pub(super) fn at(text: Text, texts: &str) -> Needle {
        let bytes = text.bytes_of(texts);
        let times = |byte: Option<&u8>| u64::from(byte.copied().unwrap_or_default()) * EACH;
        Needle { text, first: times(bytes.first()), last: times(bytes.last()) }
    }

    /// The text as it was written.
    pub fn text<'t>(&self, texts: &'t str) -> &'t str {
        self.text.of(texts)
    }

    /// Where the text lies.
    #[inline]
    pub(super) fn place(&self) -> Text {
        self.text
    }

    /// Where in `value` the text is first.
    #[inline]
    pub fn find(&self, value: &[u8], texts: &str) -> Option<usize> {
        let len = self.text.len as usize;
        if value.len() > SHORT {
            return memchr::memmem::find(value, self.text.bytes_of(texts));
        }
        if len == 0 {
            return Some(0);
        }
        let ends = value.get(len - 1..)?;
        let is_at = |place: usize| len <= 2 || value.get(place..place + len) == Some(self.text.bytes_of(texts));
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        if ends.len() >= 16 {
            return sixteen::find(value, ends, self.first, self.last, is_at);
        }
        eight::find(value, ends, self.first, self.last, is_at)
    }
}

/// Looks at eight places at a time.
mod eight {
    use super::{EACH, first_word, mask};

    /// The first place of those where `starts` has the first byte, `ends` has the last one, and `is_at` says yes.
    #[inline]
    pub(super) fn find(
        starts: &[u8],
        ends: &[u8],
        first: u64,
        last: u64,
        is_at: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let places = ends.len();
        for at in (0..places).step_by(8) {
            // The last eight places may be among those before; if there are no eight, what is behind the value is masked out.
            let from = at.min(places.saturating_sub(8));
            let differences = first_word(starts.get(from..)?) ^ first | first_word(ends.get(from..)?) ^ last;
            let mut candidates = zeros(differences) & mask(places);
            while candidates != 0 {
                let place = from + candidates.trailing_zeros() as usize / 8;
                if is_at(place) {
                    return Some(place);
                }
                candidates &= candidates - 1;
            }
        }
        None
    }

    /// The highest bit of each byte that is zero.
    #[inline]
    fn zeros(word: u64) -> u64 {
        let low = EACH * 0x7f;
        !(((word & low) + low) | word) & !low
    }
}

/// Looks at sixteen places at a time, which takes about half the time.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
mod sixteen {
    use std::arch::x86_64::{_mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi64x};

    /// As in `eight`; there must be at least 16 places.
    #[inline]
    pub(super) fn find(
        starts: &[u8],
        ends: &[u8],
        first: u64,
        last: u64,
        is_at: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let places = ends.len();
        for at in (0..places).step_by(16) {
            let from = at.min(places.checked_sub(16)?);
            let (starts, ends) = (starts.get(from..)?.first_chunk()?, ends.get(from..)?.first_chunk()?);
            let mut candidates = equal(starts, first, ends, last);
            while candidates != 0 {
                let place = from + candidates.trailing_zeros() as usize;
                if is_at(place) {
                    return Some(place);
                }
                candidates &= candidates - 1;
            }
        }
        None
    }

    /// A bit for each place where both have the byte that they shall have.
    #[inline]
    fn equal(starts: &[u8; 16], first: u64, ends: &[u8; 16], last: u64) -> u32 {
        // SAFETY: there are 16 bytes in each, the loads ask for no alignment, and the code is built for processors that have these
        // instructions.
        unsafe {
            let starts = _mm_cmpeq_epi8(_mm_loadu_si128(starts.as_ptr().cast()), _mm_set1_epi64x(first as i64));
            let ends = _mm_cmpeq_epi8(_mm_loadu_si128(ends.as_ptr().cast()), _mm_set1_epi64x(last as i64));
            _mm_movemask_epi8(_mm_and_si128(starts, ends)) as u32
        }
    }
}

/// Up to this many bytes of a value, preparing a search takes longer than to do it in the simplest way, which also bounds what the
/// simplest way can cost.
const SHORT: usize = 128;

/// One in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;

/// The text from `at` to the end of all.
fn rest(texts: &str, at: usize) -> Option<Text> {
    let (at, end) = (u32::try_from(at).ok()?, u32::try_from(texts.len()).ok()?);
    Some(Text { at, len: end.checked_sub(at)? })
}

/// Ones for the first bytes of a word.
#[inline]
pub(super) fn mask(bytes: usize) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}

/// The first 8 bytes, the first one lowest; zeros if there are fewer.
#[inline]
pub(super) fn first_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() {
        return u64::from_le_bytes(*word);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Four bytes from either end; those in the middle are in both.
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// The first word of the bytes that are in `payload` at `start`. What follows them is loaded, too, if they are short, and masked out.
#[inline]
pub(super) fn first_word_at(payload: &[u8], start: usize, bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), payload.get(start..).and_then(<[u8]>::first_chunk)) {
        (Some(word), _) => u64::from_le_bytes(*word),
        (None, Some(word)) => u64::from_le_bytes(*word) & mask(bytes.len() & 7),
        (None, None) => first_word(bytes),
    }
}

/// The last word of bytes of which `first` is the first.
#[inline]
fn last_word(bytes: &[u8], first: u64) -> u64 {
    match bytes.last_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None if bytes.is_empty() => 0,
        None => first << (64 - 8 * bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every test gives the answer of the standard library, whatever surrounds the value.
    fn check(before: &[u8], value: &[u8], after: &[u8], literal: &str) {
        let payload = [before, value, after].concat();
        let mut texts = String::from("before");
        let compiled = Literal::compile(literal, &mut texts).unwrap();
        let needle = Needle::compile(literal, &mut texts).unwrap();
        texts.push_str("after");
        assert_eq!((compiled.text(&texts), needle.text(&texts)), (literal, literal));
        let bytes = literal.as_bytes();
        for excerpt in [Excerpt::new(&payload, before.len()..before.len() + value.len()).unwrap(), Excerpt::of(value)] {
            assert_eq!(excerpt.bytes(), value);
            assert_eq!(compiled.equals(&excerpt, &texts), value == bytes, "{value:?} is {literal:?}");
            assert_eq!(
                compiled.starts(&excerpt, &texts),
                value.starts_with(bytes),
                "{value:?} starts with {literal:?}"
            );
            assert_eq!(compiled.ends(&excerpt, &texts), value.ends_with(bytes), "{value:?} ends with {literal:?}");
        }
        let place = (0..=value.len()).find(|at| value[*at..].starts_with(bytes));
        if !literal.is_empty() && value.len() >= literal.len() {
            let is_at = |at: usize| value[at..].starts_with(bytes);
            let found = eight::find(value, &value[literal.len() - 1..], needle.first, needle.last, is_at);
            assert_eq!(found, place, "{literal:?} in {value:?}");
        }
        assert_eq!(needle.find(value, &texts), place, "{literal:?} in {value:?}");
    }

    #[test]
    fn every_length_around_a_word_is_compared_to_its_end() {
        let text = "abcdefghijklmnopqrstuvwxyz0123456789";
        for len in [0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 24, 25, 33] {
            let value = &text[..len];
            for (before, after) in [("", ""), ("x", "y"), ("xxxxxxxx", ""), ("", "yyyyyyyy"), ("xxxxxxx", "yyyyyyy")] {
                for at in 0..=len {
                    check(before.as_bytes(), value.as_bytes(), after.as_bytes(), &value[at..]);
                    check(before.as_bytes(), value.as_bytes(), after.as_bytes(), &value[..at]);
                    check(before.as_bytes(), value.as_bytes(), after.as_bytes(), &text[at..=len]);
                }
                for at in 0..len {
                    let mut other = value.as_bytes().to_vec();
                    other[at] ^= 1;
                    check(before.as_bytes(), &other, after.as_bytes(), value);
                }
            }
        }
    }

    #[test]
    fn zeros_are_bytes_like_others() {
        for (value, literal) in
            [("", "\0"), ("\0", ""), ("a", "a\0"), ("a\0", "a"), ("a", "\0a"), ("\0a", "a"), ("\0\0", "\0")]
        {
            check(b"\0", value.as_bytes(), b"\0", literal);
        }
    }

    #[test]
    fn a_range_beyond_the_payload_is_no_excerpt() {
        assert!(Excerpt::new(b"abc", 1..4).is_none() && Excerpt::new(b"abc", 4..4).is_none());
        assert!(Excerpt::new(b"abc", 3..3).is_some());
    }

    /// Small enough to run under Miri in seconds.
    #[test]
    fn a_part_at_the_very_end_of_a_payload_is_found() {
        for len in [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40] {
            for needle in ["n", "nd", "nee", "needle"] {
                let value = "n".repeat(len) + needle;
                check(b"", value.as_bytes(), b"", needle);
                check(b"", "n".repeat(len).as_bytes(), b"", needle);
            }
        }
    }

    #[test]
    fn a_part_is_found_first_in_short_values_and_long_ones() {
        for len in [1, 2, 3, 7, 8, 9, 16, 127, 128, 129, 300] {
            for at in 0..len {
                for needle in ["n", "nn", "nen", "nedle", "needle", "a needle in hay"] {
                    let mut value = "hay n".repeat(len)[..len].to_owned();
                    value.insert_str(at, needle);
                    check(b"", value.as_bytes(), b"needle", needle);
                    check(b"n", value.as_bytes(), b"n", &value[at / 2..]);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn texts_compare_as_in_the_standard_library(
            before in "[ab]{0,9}",
            value in "[ab]{0,40}",
            after in "[ab]{0,9}",
            literal in "[ab]{0,20}",
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            check(before.as_bytes(), value.as_bytes(), after.as_bytes(), &literal);
            let (from, to) = (from.index(value.len() + 1), to.index(value.len() + 1));
            check(before.as_bytes(), value.as_bytes(), after.as_bytes(), &value[from.min(to)..from.max(to)]);
        }
    }
}
