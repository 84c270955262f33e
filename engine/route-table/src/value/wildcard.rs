//! Wildcards: texts in which `*` stands for any run of bytes.
//!
//! A pattern is split at its stars when it is compiled. What stands before the first star must begin the value, what stands behind
//! the last one must end it, and the parts between must follow each other in what is left. Each of them is taken where it is first
//! found: were there a match that takes it further right, taking it here leaves the parts behind it at least as much room. So
//! nothing is ever tried twice, and no pattern takes more than linear time.
//!
//! A pattern that ignores case is compiled folded, and matches values that are folded, too (see [`fold`](super::fold)).

use super::fold;
use super::text::{Excerpt, Literal, Needle};
use crate::condition::range;
use crate::table::Text;

/// A compiled pattern.
#[derive(Clone, Copy, Debug)]
pub struct Wildcard {
    /// What the value begins with; all of it if there is no star.
    head: Literal,
    /// What it ends with.
    tail: Literal,
    /// Place and number of the parts between.
    first: u32,
    count: u32,
    /// Bytes of all parts: no shorter value matches.
    shortest: u32,
    stars: bool,
    /// The longest part.
    longest: Text,
}

/// Why a text is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// A backslash before anything but a star or a backslash.
    #[error("the backslash at byte {at} of the pattern escapes neither `*` nor `\\`; for a backslash write `\\\\`")]
    Escape {
        /// Byte of the pattern.
        at: usize,
    },
    /// The texts or parts of a table are more than it can number.
    #[error("the texts of all patterns exceed 4 GiB; remove some")]
    Full,
}

impl Wildcard {
    /// Compiles a pattern. Its texts go to `texts`, the parts between its stars to `needles`.
    pub fn compile(
        pattern: &str,
        ignore_case: bool,
        texts: &mut String,
        needles: &mut Vec<Needle>,
    ) -> Result<Wildcard, BadPattern> {
        let (texts_before, first) = (texts.len(), needles.len());
        let compiled = Wildcard::compile_parts(pattern, ignore_case, texts, needles);
        if compiled.is_err() {
            texts.truncate(texts_before);
            needles.truncate(first);
        }
        compiled
    }

    /// The pattern of all values that have a text in them, which lies in `texts`; `None` if there is no room left in `needles`.
    pub(crate) fn containing(text: Text, texts: &str, needles: &mut Vec<Needle>) -> Option<Wildcard> {
        let first = u32::try_from(needles.len()).ok()?;
        needles.push(Needle::at(text, texts));
        let nothing = Literal::at(Text::default(), texts);
        Some(Wildcard { head: nothing, tail: nothing, first, count: 1, shortest: text.len, stars: true, longest: text })
    }

    fn compile_parts(
        pattern: &str,
        ignore_case: bool,
        texts: &mut String,
        needles: &mut Vec<Needle>,
    ) -> Result<Wildcard, BadPattern> {
        let first = needles.len();
        let mut longest = Text::default();
        let mut shortest = 0;
        let mut head = None;
        let mut part = texts.len();
        let mut letters = pattern.char_indices();
        while let Some((at, letter)) = letters.next() {
            let letter = match letter {
                '*' => {
                    match head {
                        None => head = Some(Literal::of(texts, part).ok_or(BadPattern::Full)?),
                        Some(_) if part == texts.len() => {}
                        Some(_) => needles.push(Needle::of(texts, part).ok_or(BadPattern::Full)?),
                    }
                    part = texts.len();
                    continue;
                }
                '\\' => match letters.next() {
                    Some((_, escaped @ ('*' | '\\'))) => escaped,
                    _ => return Err(BadPattern::Escape { at }),
                },
                _ if ignore_case => fold::lower(letter),
                _ => letter,
            };
            texts.push(letter);
        }
        let tail = Literal::of(texts, part).ok_or(BadPattern::Full)?;
        let stars = head.is_some();
        let head = head.unwrap_or(tail);
        let between = needles.get(first..).unwrap_or_default();
        for part in between.iter().map(Needle::place).chain([head.place(), tail.place()]) {
            shortest += part.len;
            if part.len > longest.len {
                longest = part;
            }
        }
        if !stars {
            shortest = tail.place().len;
        }
        let count = u32::try_from(between.len()).map_err(|_| BadPattern::Full)?;
        let first = u32::try_from(first).map_err(|_| BadPattern::Full)?;
        Ok(Wildcard { head, tail, first, count, shortest, stars, longest })
    }

    /// Whether the value is of this shape. If the pattern ignores case, the value must be folded.
    #[inline]
    pub fn matches(&self, value: &Excerpt<'_>, texts: &str, needles: &[Needle]) -> bool {
        let bytes = value.bytes();
        if bytes.len() < self.shortest as usize || !self.head.starts(value, texts) || !self.tail.ends(value, texts) {
            return false;
        }
        if !self.stars {
            return bytes.len() == self.shortest as usize;
        }
        let (head, tail) = (self.head.place().len as usize, self.tail.place().len as usize);
        let mut rest = bytes.get(head..bytes.len() - tail).unwrap_or_default();
        let between = needles.get(range(self.first, self.count)).unwrap_or_default();
        for needle in between {
            let Some(at) = needle.find(rest, texts) else { return false };
            rest = rest.get(at + needle.place().len as usize..).unwrap_or_default();
        }
        true
    }

    /// The pattern, as people write it; several stars beside each other are one.
    pub fn pattern(&self, texts: &str, needles: &[Needle]) -> String {
        let mut pattern = String::new();
        let mut push = |place: Text| {
            for letter in place.of(texts).chars() {
                pattern.extend(matches!(letter, '*' | '\\').then_some('\\'));
                pattern.push(letter);
            }
            pattern.push('*');
        };
        push(self.head.place());
        if self.stars {
            let between = needles.get(range(self.first, self.count)).unwrap_or_default();
            between.iter().map(Needle::place).chain([self.tail.place()]).for_each(push);
        }
        pattern.pop();
        pattern
    }

    /// The texts that every value of this shape holds. Some may be empty.
    pub(super) fn parts<'t>(&self, texts: &'t str, needles: &'t [Needle]) -> impl Iterator<Item = &'t [u8]> {
        let between = needles.get(range(self.first, self.count)).unwrap_or_default();
        let ends = [self.head.place(), self.tail.place()];
        ends.into_iter().chain(between.iter().map(Needle::place)).map(|place| place.bytes_of(texts))
    }

    /// The longest text that every value of this shape holds; empty if there is none.
    pub fn longest<'t>(&self, texts: &'t str) -> &'t str {
        self.longest.of(texts)
    }

    /// What a value must begin with, and what it must end with. `None`: there is no star, and this is all of it.
    pub(crate) fn ends(&self) -> (Text, Option<Text>) {
        (self.head.place(), self.stars.then(|| self.tail.place()))
    }

    /// Whether every value with these ends matches that is long enough to have both.
    pub(crate) fn is_ends_only(&self) -> bool {
        self.count == 0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tries every way to read a star.
    pub(in crate::value) fn reference(pattern: &[u8], value: &[u8]) -> bool {
        match pattern {
            [] => value.is_empty(),
            [b'*', rest @ ..] => (0..=value.len()).any(|taken| reference(rest, &value[taken..])),
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => value.first() == Some(byte) && reference(rest, &value[1..]),
        }
    }

    fn matches(pattern: &str, value: &str) -> bool {
        let (mut texts, mut needles) = (String::from("before"), Vec::new());
        Wildcard::compile("other*pat*tern", false, &mut texts, &mut needles).unwrap();
        let wildcard = Wildcard::compile(pattern, false, &mut texts, &mut needles).unwrap();
        let answer = wildcard.matches(&Excerpt::of(value.as_bytes()), &texts, &needles);

        let folded = Wildcard::compile(pattern, true, &mut texts, &mut needles).unwrap();
        let (mut value_folded, mut pattern_folded) = (String::new(), String::new());
        fold::fold_text(value, &mut value_folded);
        fold::fold_text(pattern, &mut pattern_folded);
        let expected = reference(pattern_folded.as_bytes(), value_folded.as_bytes());
        let value = Excerpt::of(value_folded.as_bytes());
        assert_eq!(folded.matches(&value, &texts, &needles), expected, "{pattern} and {value_folded}");
        answer
    }

    #[test]
    fn a_pattern_is_told_as_it_was_written_but_for_stars_beside_each_other() {
        let (mut texts, mut needles) = (String::new(), Vec::new());
        for pattern in ["", "a", "*", "a*", "*a", "a*b", "*a*b*", r"a\*b\\*c*d", "ab*ab"] {
            let wildcard = Wildcard::compile(pattern, false, &mut texts, &mut needles).unwrap();
            assert_eq!(wildcard.pattern(&texts, &needles), pattern);
        }
        let wildcard = Wildcard::compile("a***B", true, &mut texts, &mut needles).unwrap();
        assert_eq!(wildcard.pattern(&texts, &needles), "a*b");
    }

    #[test]
    fn a_star_is_any_run_of_bytes() {
        for (pattern, good, bad) in [
            ("", &[""][..], &["a"][..]),
            ("*", &["", "a", "ab", "é"], &[]),
            ("**", &["", "a"], &[]),
            ("a", &["a"], &["", "b", "aa"]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba"], &["", "ab"]),
            ("a*a", &["aa", "aba"], &["a", "ab"]),
            ("*b*", &["b", "abc", "bb"], &["", "ac"]),
            ("ab*ba", &["abba", "abxba"], &["aba", "ab", "ba"]),
            ("*ab*ab*", &["abab", "xabyabz"], &["ab", "aab", "abb"]),
            ("a*bc*bc", &["abcbc", "axbcxbc"], &["abc", "abcb"]),
            (r"\*", &["*"], &["", "a", r"\*"]),
            (r"\\*", &[r"\", r"\a"], &["a"]),
            (r"*\**", &["*", "a*b"], &["", "ab"]),
            ("*\u{1F600}*", &["x\u{1F600}y"], &["xy"]),
        ] {
            for value in good {
                assert!(matches(pattern, value), "{pattern} matches {value}");
            }
            for value in bad {
                assert!(!matches(pattern, value), "{pattern} does not match {value}");
            }
        }
    }

    #[test]
    fn a_backslash_escapes_a_star_or_itself_and_nothing_else() {
        for (pattern, at) in [(r"\", 0), (r"a\b", 1), (r"\\\", 2), (r"*\\\é", 3)] {
            let refused = Wildcard::compile(pattern, false, &mut String::new(), &mut Vec::new());
            assert_eq!(refused.unwrap_err(), BadPattern::Escape { at }, "{pattern}");
        }
    }

    #[test]
    fn the_longest_part_is_known() {
        for (pattern, longest) in
            [("*", ""), ("abc", "abc"), ("ab*cde*f", "cde"), ("a*b*cd", "cd"), (r"\**\\\\*", r"\\")]
        {
            let (mut texts, mut needles) = (String::from("x"), Vec::new());
            let wildcard = Wildcard::compile(pattern, false, &mut texts, &mut needles).unwrap();
            assert_eq!(wildcard.longest(&texts), longest, "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let (mut texts, mut needles) = (String::new(), Vec::new());
        let pattern = "*a".repeat(1_000) + "b*";
        let wildcard = Wildcard::compile(&pattern, false, &mut texts, &mut needles).unwrap();
        let value = "a".repeat(1_000_000);
        assert!(!wildcard.matches(&Excerpt::of(value.as_bytes()), &texts, &needles));
    }

    pub(in crate::value) fn pattern() -> impl Strategy<Value = String> {
        prop_oneof![r"([abA*]|\\\\|\\\*){0,8}", r"[ab]{0,2}(\*[abc]{1,4}){0,3}\*?", r"(\*|[é]|k){0,5}"]
    }

    pub(in crate::value) fn value() -> impl Strategy<Value = String> {
        prop_oneof![r"[abA*\\]{0,12}", r"[abc]{0,24}", "[éKk\u{212a}]{0,5}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn patterns_match_as_if_every_way_were_tried(pattern in pattern(), value in value()) {
            prop_assert_eq!(matches(&pattern, &value), reference(pattern.as_bytes(), value.as_bytes()));
        }
    }
}
