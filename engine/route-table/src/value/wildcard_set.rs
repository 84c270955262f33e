//! Many wildcards matched against one value.
//!
//! Each pattern is filed under one *gram*: four bytes in a row, or fewer if no part of it has as many, that every value of its
//! shape must hold. A value is matched by looking at each four bytes in a row of it: a small table of bits says of nearly all of
//! them that no pattern is filed there, and the patterns that are get verified, each at most once. The places of a value don't wait
//! for each other, as the steps of an automaton do, and a set is three flat arrays that are filled again for the next table.
//!
//! Of all grams of a pattern the one is taken where the fewest patterns are already, so that what all patterns begin with costs
//! nothing.

use super::text::{Excerpt, Needle, first_word, mask};
use super::wildcard::Wildcard;

/// Many patterns that are matched against one value.
#[derive(Debug, Default)]
pub struct WildcardSet {
    patterns: Vec<Wildcard>,
    /// Which buckets of a finer table have patterns: a bit each.
    filter: Vec<u64>,
    /// Where the patterns of each bucket begin among `filed`; one more for the end of the last.
    buckets: Vec<u32>,
    filed: Vec<Filed>,
    /// Patterns that have no gram, such as `*`.
    without: Vec<u32>,
    /// Lengths of grams that occur, a bit each.
    lengths: u8,
    /// Only while a set is built.
    plan: Vec<Planned>,
}

/// A pattern in its bucket.
#[derive(Clone, Copy, Debug, Default)]
struct Filed {
    /// Up to eight bytes of the pattern with the gram among them: seldom does a value have all of them and not match.
    word: u64,
    pattern: u32,
    /// How many of them are before the gram.
    before: u8,
    /// How many there are.
    len: u8,
}

/// A pattern that will be filed.
#[derive(Clone, Copy, Debug)]
struct Planned {
    hash: u32,
    filed: Filed,
}

/// The patterns of a set that matched. Reused from event to event, and for different sets.
#[derive(Debug, Default)]
pub struct Matches {
    numbers: Vec<u32>,
    /// When each pattern was verified last.
    seen: Vec<u32>,
    now: u32,
}

impl Matches {
    /// Places of the patterns in their set, in ascending order.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Makes ready for another value and `patterns` patterns.
    #[inline]
    fn begin(&mut self, patterns: usize) {
        self.numbers.clear();
        if self.seen.len() < patterns {
            self.seen.resize(patterns, 0);
        }
        self.now = self.now.wrapping_add(1);
        if self.now == 0 {
            self.seen.fill(0);
            self.now = 1;
        }
    }

    /// Whether this is the first time that a pattern comes up.
    #[inline]
    fn is_new(&mut self, pattern: u32) -> bool {
        self.seen.get_mut(pattern as usize).is_some_and(|seen| std::mem::replace(seen, self.now) != self.now)
    }
}

/// A set would take more memory than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an index over {patterns} wildcards would take {bytes} bytes; the limit is {max_bytes}: use fewer wildcards")]
pub struct SetTooLarge {
    /// How many there were.
    pub patterns: usize,
    /// What they would take.
    pub bytes: usize,
    /// What was allowed.
    pub max_bytes: usize,
}

/// Bits of the filter for each pattern, so that at most one gram in 64 of those that no pattern has gets past it: to find that out
/// later costs as much as to look at ten grams.
const FILTER_BITS: usize = 64;
const FILTER_MIN: usize = 1 << 10;
const GRAM_MAX: usize = 4;

impl WildcardSet {
    /// Makes this the set of these patterns, in at most `max_bytes` of memory. After an error the set is empty. It needs the
    /// texts and parts that the patterns were compiled into.
    pub fn build(
        &mut self,
        patterns: impl IntoIterator<Item = Wildcard>,
        texts: &str,
        needles: &[Needle],
        max_bytes: usize,
    ) -> Result<(), SetTooLarge> {
        self.clear();
        self.patterns.extend(patterns);
        let (count, bytes) = (self.patterns.len(), self.bytes_needed());
        if bytes > max_bytes || u32::try_from(count).is_err() {
            *self = WildcardSet::default();
            return Err(SetTooLarge { patterns: count, bytes, max_bytes });
        }
        self.filter.resize(filter_bits(count) / 64, 0);
        self.buckets.resize(bucket_count(count) + 1, 0);
        self.choose(texts, needles);
        self.file();
        Ok(())
    }

    /// Removes all patterns and keeps the memory.
    pub fn clear(&mut self) {
        self.patterns.clear();
        self.filter.clear();
        self.buckets.clear();
        self.filed.clear();
        self.without.clear();
        self.plan.clear();
        self.lengths = 0;
    }

    /// What the set takes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.patterns.capacity() * size_of::<Wildcard>()
            + self.filter.capacity() * 8
            + (self.buckets.capacity() + self.without.capacity()) * 4
            + self.filed.capacity() * size_of::<Filed>()
            + self.plan.capacity() * size_of::<Planned>()
    }

    fn bytes_needed(&self) -> usize {
        let count = self.patterns.len();
        let each = size_of::<Wildcard>() + size_of::<Filed>() + size_of::<Planned>() + 4;
        count * each + filter_bits(count) / 8 + bucket_count(count) * 4
    }

    /// Decides for each pattern under which of its grams it will be, and counts the patterns of each bucket.
    fn choose(&mut self, texts: &str, needles: &[Needle]) {
        for (number, pattern) in (0u32..).zip(&self.patterns) {
            let longest = pattern.longest(texts).len().min(GRAM_MAX);
            let mut best: Option<(u32, u32, &[u8], usize)> = None;
            for part in pattern.parts(texts, needles) {
                for (at, gram) in (0..).zip(grams(part, longest)) {
                    let hash = hash(gram, longest);
                    let load = self.buckets.get(bucket(hash, self.buckets.len())).copied().unwrap_or(u32::MAX);
                    if best.is_none_or(|(least, ..)| load < least) {
                        best = Some((load, hash, part, at));
                    }
                }
            }
            let Some((_, hash, part, at)) = best else {
                self.without.push(number);
                continue;
            };
            self.lengths |= 1 << longest;
            let from = at.min(part.len().saturating_sub(8));
            let word = part.get(from..).unwrap_or_default();
            let (before, len) = ((at - from) as u8, word.len().min(8) as u8);
            self.plan.push(Planned { hash, filed: Filed { word: first_word(word), pattern: number, before, len } });
            let at = bucket(hash, self.buckets.len());
            if let Some(load) = self.buckets.get_mut(at) {
                *load += 1;
            }
            let (at, bit) = self.filter_place(hash);
            if let Some(word) = self.filter.get_mut(at) {
                *word |= bit;
            }
        }
    }

    /// Puts the patterns into their buckets, those of a bucket in ascending order.
    fn file(&mut self) {
        let mut end = 0;
        for bucket in &mut self.buckets {
            end += *bucket;
            *bucket = end;
        }
        self.filed.resize(self.plan.len(), Filed::default());
        // From the last to the first, each moves the beginning of its bucket one down, to where it is put.
        let buckets = self.buckets.len();
        for planned in self.plan.iter().rev() {
            let Some(place) = self.buckets.get_mut(bucket(planned.hash, buckets)) else { continue };
            *place -= 1;
            if let Some(filed) = self.filed.get_mut(*place as usize) {
                *filed = planned.filed;
            }
        }
        self.plan.clear();
    }

    /// Finds all patterns that the value matches. Patterns that ignore case and others don't mix in one set: the value is folded
    /// for all of them or for none.
    pub fn matching(&self, value: &Excerpt<'_>, texts: &str, needles: &[Needle], matches: &mut Matches) {
        matches.begin(self.patterns.len());
        // Those that any value may match.
        for pattern in &self.without {
            self.verify(*pattern, value, texts, needles, matches);
        }
        self.scan::<4>(value, texts, needles, matches);
        self.scan::<3>(value, texts, needles, matches);
        self.scan::<2>(value, texts, needles, matches);
        self.scan::<1>(value, texts, needles, matches);
        matches.numbers.sort_unstable();
    }

    /// Looks at all grams of one length.
    #[inline]
    fn scan<const LENGTH: usize>(&self, value: &Excerpt<'_>, texts: &str, needles: &[Needle], matches: &mut Matches) {
        if self.lengths >> LENGTH & 1 == 0 {
            return;
        }
        for (at, gram) in grams(value.bytes(), LENGTH).enumerate() {
            let hash = hash(gram, LENGTH);
            let (word, bit) = self.filter_place(hash);
            if self.filter.get(word).is_some_and(|word| word & bit != 0) {
                self.look_up(hash, at, value, texts, needles, matches);
            }
        }
    }

    /// Verifies the patterns of which a gram with this hash is at this place of the value.
    #[inline(never)]
    fn look_up(
        &self,
        hash: u32,
        at: usize,
        value: &Excerpt<'_>,
        texts: &str,
        needles: &[Needle],
        matches: &mut Matches,
    ) {
        let ends = self.buckets.get(bucket(hash, self.buckets.len())..).and_then(<[u32]>::first_chunk);
        let Some([first, end]) = ends else { return };
        for filed in self.filed.get(*first as usize..*end as usize).unwrap_or_default() {
            let from = at.checked_sub(usize::from(filed.before)).and_then(|from| value.bytes().get(from..));
            let is_here = from.is_some_and(|from| first_word(from) & mask(filed.len.into()) == filed.word);
            if is_here && matches.is_new(filed.pattern) {
                self.verify(filed.pattern, value, texts, needles, matches);
            }
        }
    }

    fn verify(&self, pattern: u32, value: &Excerpt<'_>, texts: &str, needles: &[Needle], matches: &mut Matches) {
        if self.patterns.get(pattern as usize).is_some_and(|pattern| pattern.matches(value, texts, needles)) {
            matches.numbers.push(pattern);
        }
    }

    #[inline]
    fn filter_place(&self, hash: u32) -> (usize, u64) {
        // The upper bits of the hash choose the word, as they do the bucket, and those below them the bit.
        let place = u64::from(hash) * self.filter.len() as u64;
        ((place >> 32) as usize, 1 << (place >> 26 & 63))
    }
}

fn filter_bits(patterns: usize) -> usize {
    (patterns * FILTER_BITS).max(FILTER_MIN).next_power_of_two()
}

fn bucket_count(patterns: usize) -> usize {
    patterns.max(64).next_power_of_two()
}

/// The bucket of a hash, where there are `len - 1` of them and the end of the last.
#[inline]
fn bucket(hash: u32, len: usize) -> usize {
    ((u64::from(hash) * (len as u64 - 1)) >> 32) as usize
}

/// Each `length` bytes in a row, the first byte lowest.
#[inline]
fn grams(bytes: &[u8], length: usize) -> impl Iterator<Item = u32> {
    let bytes = if length == 0 { &[] } else { bytes };
    bytes.windows(length.max(1)).map(|gram| match gram {
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        [a, b, c] => u32::from_le_bytes([*a, *b, *c, 0]),
        [a, b] => u32::from_le_bytes([*a, *b, 0, 0]),
        [a] => u32::from(*a),
        _ => 0,
    })
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4), with the length as a part of the key.
#[inline]
fn hash(gram: u32, length: usize) -> u32 {
    (gram ^ (length as u32) << 29).wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use super::super::wildcard::tests::{pattern, reference, value};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_set_beyond_its_memory_is_refused_and_empty() {
        let (mut texts, mut needles) = (String::new(), Vec::new());
        let wildcard = Wildcard::compile("*a*", false, &mut texts, &mut needles).unwrap();
        let mut set = WildcardSet::default();
        set.build([wildcard; 10], &texts, &needles, 1 << 20).unwrap();
        assert!(set.memory_bytes() > 0);
        let refused = set.build([wildcard; 10], &texts, &needles, 10).unwrap_err();
        assert_eq!((refused.patterns, refused.max_bytes), (10, 10));
        assert!(refused.bytes > 10);
        let mut found = Matches::default();
        set.matching(&Excerpt::of(b"a"), &texts, &needles, &mut found);
        assert!(found.numbers().is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn a_set_finds_what_its_patterns_match(
            sets in prop::collection::vec(prop::collection::vec(pattern(), 0..12), 1..3),
            values in prop::collection::vec(value(), 1..5),
        ) {
            let mut set = WildcardSet::default();
            let mut found = Matches::default();
            for patterns in sets {
                let (mut texts, mut needles) = (String::new(), Vec::new());
                let compiled: Vec<_> = patterns
                    .iter()
                    .map(|pattern| Wildcard::compile(pattern, false, &mut texts, &mut needles).unwrap())
                    .collect();
                set.build(compiled, &texts, &needles, 1 << 20).unwrap();
                for value in &values {
                    set.matching(&Excerpt::of(value.as_bytes()), &texts, &needles, &mut found);
                    let expected: Vec<_> = (0u32..)
                        .zip(&patterns)
                        .filter(|(_, pattern)| reference(pattern.as_bytes(), value.as_bytes()))
                        .map(|(number, _)| number)
                        .collect();
                    prop_assert_eq!(found.numbers(), &expected);
                }
            }
        }
    }
}
