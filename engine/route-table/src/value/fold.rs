//! Texts compared without regard to case.
//!
//! To *fold* a text is to put the [`lower`] of each letter in its place. Letters are those of UTF-8; a byte that is none of one
//! stands for itself. A text equals another regardless of case if they fold to the same bytes, and so for starts, ends and parts.
//! Literals are folded once, when a table is compiled; the values of events as they are compared, without a copy where that can be.
//! A folded text can be shorter or longer than it was: U+212A, the sign of the kelvin, has three bytes and folds to k.
//!
//! Since a letter's bytes never continue with those of another, a folded text that holds all bytes of a letter holds that letter:
//! to compare bytes is to compare letters.

use super::text::first_word;

/// The simple lower case of a letter, as Unicode calls the one that is always one letter: itself, if there is none.
#[inline]
pub fn lower(letter: char) -> char {
    match letter {
        '\0'..='\x7f' => return letter.to_ascii_lowercase(),
        // Most of Latin, Greek and Cyrillic have their two cases in two runs; what comes to the right of them has none.
        'À'..='Ö' | 'Ø'..='Þ' | 'Α'..='Ρ' | 'Σ'..='Ϋ' | 'А'..='Я' => {
            return char::from_u32(letter as u32 + 0x20).unwrap_or(letter);
        }
        'ß'..='ö' | 'ø'..='ÿ' | 'ά'..='ώ' | 'а'..='џ' | '\u{2e80}'..='\u{a63f}' | '\u{ac00}'..='\u{d7ff}' => {
            return letter;
        }
        _ => {}
    }
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        // Of the full ones only that of İ has several letters, and the first of them is its simple one.
        (one, _) => one.unwrap_or(letter),
    }
}

/// Appends the folded text: how literals are made.
pub fn fold_text(text: &str, to: &mut String) {
    to.extend(text.chars().map(lower));
}

/// The folded value, in `buffer`, which is emptied before. For a hash of it, or when many tests look at one value: what is folded
/// once is compared and searched as any text.
#[inline]
pub fn fold<'b>(value: &[u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
    buffer.clear();
    buffer.reserve(value.len() + 8);
    let (words, rest) = value.as_chunks();
    for word in words.iter().copied().map(u64::from_le_bytes).chain([first_word(rest)]) {
        if word & HIGH != 0 {
            fold_letters(value.get(buffer.len()..).unwrap_or_default(), buffer);
            return buffer;
        }
        buffer.extend_from_slice(&lower_ascii(word).to_le_bytes());
    }
    buffer.truncate(value.len());
    buffer
}

#[cold]
fn fold_letters(value: &[u8], buffer: &mut Vec<u8>) {
    for chunk in value.utf8_chunks() {
        for letter in chunk.valid().chars() {
            buffer.extend_from_slice(lower(letter).encode_utf8(&mut [0; 4]).as_bytes());
        }
        buffer.extend_from_slice(chunk.invalid());
    }
}

/// Whether the value is this text, which is folded, but for case.
#[inline]
pub fn equals(value: &[u8], folded: &[u8]) -> bool {
    match compare_starts(value, folded) {
        Common::Same => value.len() == folded.len(),
        Common::Different => false,
        Common::Unknown => strip(value, folded).is_some_and(<[u8]>::is_empty),
    }
}

/// Whether the value begins with this text, which is folded, but for case.
#[inline]
pub fn starts_with(value: &[u8], folded: &[u8]) -> bool {
    match compare_starts(value, folded) {
        Common::Same => value.len() >= folded.len(),
        Common::Different => false,
        Common::Unknown => strip(value, folded).is_some(),
    }
}

/// Whether the value ends with this text, which is folded, but for case.
#[inline]
pub fn ends_with(value: &[u8], folded: &[u8]) -> bool {
    match compare_ends(value, folded) {
        Common::Same => value.len() >= folded.len(),
        Common::Different => false,
        Common::Unknown => ends_with_letters(value, folded),
    }
}

/// Whether the value has this text, which is folded, in it, but for case. `scratch` is room for the folded value.
pub fn contains(value: &[u8], folded: &[u8], scratch: &mut Vec<u8>) -> bool {
    memchr::memmem::find(fold(value, scratch), folded).is_some()
}

/// What the comparison of two texts' starts, or ends, of the same length found out.
enum Common {
    /// They fold to the same, and the one of the value is ASCII.
    Same,
    Different,
    /// Letters beyond ASCII must be looked at.
    Unknown,
}

/// The highest bit of each byte: set in no letter of ASCII.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Lower case for eight letters of ASCII; other bytes stay as they are.
#[inline]
fn lower_ascii(word: u64) -> u64 {
    let low = word & !HIGH;
    // The highest bit of each byte says: from `A` on, and behind `Z`.
    let from_a = low + 0x3f3f_3f3f_3f3f_3f3f;
    let behind_z = low + 0x2525_2525_2525_2525;
    let upper = (from_a ^ behind_z) & !word & HIGH;
    word | upper >> 2
}

/// Compares eight bytes of a value with as many folded ones. Where both are padded, they are so with the same.
#[inline]
fn compare_words(value: u64, folded: u64) -> Common {
    match lower_ascii(value) == folded {
        _ if value & HIGH != 0 => Common::Unknown,
        true => Common::Same,
        false => Common::Different,
    }
}

#[inline]
fn compare_starts(value: &[u8], folded: &[u8]) -> Common {
    let len = value.len().min(folded.len());
    let (Some(value), Some(folded)) = (value.get(..len), folded.get(..len)) else { return Common::Unknown };
    let (Some(value_last), Some(folded_last)) = (value.last_chunk(), folded.last_chunk()) else {
        return compare_words(first_word(value), first_word(folded));
    };
    // All whole words, and the last one once more: it may overlap the one before.
    for (value, folded) in value.as_chunks().0.iter().zip(folded.as_chunks().0) {
        match compare_words(u64::from_le_bytes(*value), u64::from_le_bytes(*folded)) {
            Common::Same => {}
            other => return other,
        }
    }
    compare_words(u64::from_le_bytes(*value_last), u64::from_le_bytes(*folded_last))
}

#[inline]
fn compare_ends(value: &[u8], folded: &[u8]) -> Common {
    let len = value.len().min(folded.len());
    let end_of = |text: &'_ [u8]| text.len().checked_sub(len);
    let (Some(value), Some(folded)) =
        (end_of(value).and_then(|at| value.get(at..)), end_of(folded).and_then(|at| folded.get(at..)))
    else {
        return Common::Unknown;
    };
    let (Some(value_first), Some(folded_first)) = (value.first_chunk(), folded.first_chunk()) else {
        return compare_words(first_word(value), first_word(folded));
    };
    for (value, folded) in value.as_rchunks().1.iter().zip(folded.as_rchunks().1).rev() {
        match compare_words(u64::from_le_bytes(*value), u64::from_le_bytes(*folded)) {
            Common::Same => {}
            other => return other,
        }
    }
    compare_words(u64::from_le_bytes(*value_first), u64::from_le_bytes(*folded_first))
}

/// What follows this folded text in the value.
#[cold]
fn strip<'v>(mut value: &'v [u8], mut folded: &[u8]) -> Option<&'v [u8]> {
    while !folded.is_empty() {
        let (unit, rest) = split_first(value)?;
        folded = folded.strip_prefix(unit.fold(&mut [0; 4]))?;
        value = rest;
    }
    Some(value)
}

#[cold]
fn ends_with_letters(mut value: &[u8], mut folded: &[u8]) -> bool {
    while !folded.is_empty() {
        let Some((rest, unit)) = split_last(value) else { return false };
        let Some(before) = folded.strip_suffix(unit.fold(&mut [0; 4])) else { return false };
        (value, folded) = (rest, before);
    }
    true
}

/// What folds as a whole.
enum Unit {
    Letter(char),
    /// A byte that is no part of a letter.
    Byte(u8),
}

impl Unit {
    fn fold(self, buffer: &mut [u8; 4]) -> &[u8] {
        match self {
            Unit::Letter(letter) => lower(letter).encode_utf8(buffer).as_bytes(),
            Unit::Byte(byte) => {
                *buffer = [byte, 0, 0, 0];
                buffer.split_at(1).0
            }
        }
    }
}

fn split_first(value: &[u8]) -> Option<(Unit, &[u8])> {
    let (first, rest) = value.split_first()?;
    let len = match first {
        0..0x80 => return Some((Unit::Letter(char::from(*first)), rest)),
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    };
    let letter = value.split_at_checked(len).and_then(|(letter, rest)| Some((letter_of(letter)?, rest)));
    Some(letter.unwrap_or((Unit::Byte(*first), rest)))
}

fn split_last(value: &[u8]) -> Option<(&[u8], Unit)> {
    let (last, rest) = value.split_last()?;
    if last.is_ascii() {
        return Some((rest, Unit::Letter(char::from(*last))));
    }
    // The bytes of a letter after its first are 0x80 to 0xbf.
    let after = value.iter().rev().take(4).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
    let letter = value.split_at_checked(value.len().wrapping_sub(after + 1));
    let letter = letter.and_then(|(rest, letter)| Some((rest, letter_of(letter)?)));
    Some(letter.unwrap_or((rest, Unit::Byte(*last))))
}

/// The letter that these bytes are, if they are just one.
fn letter_of(bytes: &[u8]) -> Option<Unit> {
    if let [first @ 0xc2..=0xdf, second @ 0x80..=0xbf] = bytes {
        return char::from_u32(u32::from(first & 0x1f) << 6 | u32::from(second & 0x3f)).map(Unit::Letter);
    }
    let mut letters = std::str::from_utf8(bytes).ok()?.chars();
    let letter = letters.next()?;
    letters.next().is_none().then_some(Unit::Letter(letter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folded(text: &str) -> String {
        let mut folded = String::new();
        fold_text(text, &mut folded);
        folded
    }

    /// Folds letter by letter, with nothing clever about it.
    fn reference(value: &[u8]) -> Vec<u8> {
        let chunks = value.utf8_chunks();
        chunks.flat_map(|chunk| [folded(chunk.valid()).as_bytes(), chunk.invalid()].concat()).collect()
    }

    /// Every test gives the answer that the folded bytes give.
    fn check(value: &[u8], literal: &str) {
        let (literal, expected) = (folded(literal), reference(value));
        let literal = literal.as_bytes();
        let mut scratch = b"left over".to_vec();
        assert_eq!(fold(value, &mut scratch), expected, "{value:?}");
        assert_eq!(equals(value, literal), expected == literal, "{value:?} and {literal:?}");
        assert_eq!(starts_with(value, literal), expected.starts_with(literal), "{value:?} and {literal:?}");
        assert_eq!(ends_with(value, literal), expected.ends_with(literal), "{value:?} and {literal:?}");
        let there = literal.is_empty() || expected.windows(literal.len()).any(|window| window == literal);
        assert_eq!(contains(value, literal, &mut scratch), there, "{value:?} and {literal:?}");
    }

    #[test]
    fn case_makes_no_difference() {
        assert!(equals("GRÜßE".as_bytes(), "grüße".as_bytes()));
        assert!(starts_with("ΑΘΗΝΑ".as_bytes(), "αθ".as_bytes()));
        assert!(ends_with("ΑΘΗΝΑ".as_bytes(), "ηνα".as_bytes()));
        assert!(contains("in ΑΘΗΝΑ".as_bytes(), "θην".as_bytes(), &mut Vec::new()));
    }

    #[test]
    fn a_letter_folds_to_one_letter_even_if_their_lengths_differ() {
        for (letter, expected) in
            [('\u{212a}', 'k'), ('\u{212b}', 'å'), ('İ', 'i'), ('ẞ', 'ß'), ('ſ', 'ſ'), ('Σ', 'σ'), ('[', '[')]
        {
            assert_eq!(lower(letter), expected);
        }
        for value in ["300 \u{212a}", "\u{212a}", "K\u{212a}", "\u{212a}elvin", "\u{2c6f}", "Ⱥ"] {
            for literal in ["300 k", "k", "kk", "kelvin", "K", "k", "\u{250}", "ⱥ", "vin", "l"] {
                check(value.as_bytes(), literal);
            }
        }
    }

    #[test]
    fn every_letter_has_the_lower_case_that_unicode_says() {
        for letter in '\0'..=char::MAX {
            let full: Vec<char> = letter.to_lowercase().collect();
            let simple = match letter {
                // The only one whose full lower case has several letters; the simple one is i.
                '\u{130}' => 'i',
                _ => full[0],
            };
            assert_eq!(lower(letter), simple, "{letter:?}");
        }
    }

    #[test]
    fn letters_that_only_look_alike_in_their_bits_differ() {
        for (value, literal) in
            [("@", "`"), ("[", "{"), ("\u{0}", " "), ("A", "a"), ("É", "é"), ("É", "I"), ("\u{c9}x", "\u{e9}X")]
        {
            check(value.as_bytes(), literal);
        }
        assert!(!equals(b"@[\\]^_", b"`{|}~\x7f"));
    }

    #[test]
    fn bytes_that_are_no_letters_are_themselves() {
        for value in [
            &b"\xff"[..],
            b"\xc3",
            b"\xa9",
            b"A\xc3",
            b"\xe2\x84A",
            b"\xe2\x84\xaa",
            b"\xf0\x90\x90",
            b"\xc3\xc3\x89",
            b"\xed\xa0\x80",
        ] {
            for literal in ["", "a", "k", "é", "\u{10428}", "\u{fffd}"] {
                check(value, literal);
            }
        }
    }

    #[test]
    fn every_length_around_a_word_is_compared_to_its_end() {
        for len in 0..40 {
            let value: String = ('A'..='Z').cycle().take(len).collect();
            check(value.as_bytes(), &value);
            for at in 0..len {
                let mut other = value.clone().into_bytes();
                other[at] = b'?';
                check(&other, &value);
                check(value.as_bytes(), &value[at..]);
                check(value.as_bytes(), &value[..at]);
            }
        }
    }

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-cA-CkK]{0,20}", "[aAkK\u{212a}éÉÅå\u{212b}ßẞİ]{0,12}", "[a-zA-Z@\\[`{]{0,40}", ".{0,12}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn values_compare_as_their_folded_bytes(value in text(), literal in text()) {
            check(value.as_bytes(), &literal);
        }

        #[test]
        fn parts_of_a_value_are_found(
            text in text(),
            from in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            upper in any::<u64>(),
        ) {
            let letters: Vec<char> = text.chars().collect();
            let (from, to) = (from.index(letters.len() + 1), to.index(letters.len() + 1));
            let literal: String = letters[from.min(to)..from.max(to)].iter().collect();
            let value: String = (0..).zip(letters).map(|(at, letter)| match upper >> (at % 64) & 1 {
                0 => letter,
                _ => letter.to_uppercase().next().unwrap(),
            }).collect();
            check(value.as_bytes(), &literal);
        }

        #[test]
        fn broken_values_compare_as_their_folded_bytes(
            mut value in text().prop_map(String::into_bytes),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            literal in text(),
        ) {
            if !value.is_empty() {
                let at = at.index(value.len());
                value[at] = byte;
            }
            check(&value, &literal);
        }
    }
}
