//! Numbers in the one spelling that `route_map.proto` gives each of them, for hashes that others shall be able to repeat.

use super::{EXPONENT_BIAS, HEAD_DIGITS, Number, Short};
use std::fmt::Write as _;

/// Whole numbers of up to so many digits are spelled without an exponent: all those of 64 bits.
const WHOLE_DIGITS_MAX: i64 = 20;

impl Number<'_> {
    /// Spells the number, part after part. Equal numbers have the same spelling, whatever their notation.
    pub fn spell(&self, part: &mut impl FnMut(&[u8])) {
        let digits = if self.head.rank < 0 { !self.head.digits } else { self.head.digits };
        if digits == 0 {
            return part(b"0");
        }
        if self.head.rank < 0 {
            part(b"-");
        }
        // Digits before the point.
        let whole = self.head.rank.abs() - EXPONENT_BIAS;
        let behind = self.tail.iter().filter(|byte| **byte != b'.').count() as i64;
        let (mut digits, mut count) = (digits, i64::from(HEAD_DIGITS));
        if behind == 0 {
            // A whole number keeps its zeros, if it has so many digits at most.
            let least = if (1..=WHOLE_DIGITS_MAX).contains(&whole) { whole } else { 1 };
            while count > least && digits.is_multiple_of(10) {
                digits /= 10;
                count -= 1;
            }
        }
        spell(part, format_args!("{digits}"));
        self.tail.split(|byte| *byte == b'.').for_each(&mut *part);
        count += behind;
        match whole - count {
            zeros @ 0.. if whole <= WHOLE_DIGITS_MAX => (0..zeros).for_each(|_| part(b"0")),
            exponent => spell(part, format_args!("e{exponent}")),
        }
    }
}

fn spell(part: &mut impl FnMut(&[u8]), text: std::fmt::Arguments<'_>) {
    let mut buffer = Short::default();
    // There is room for every number of 64 bits.
    if buffer.write_fmt(text).is_ok() {
        part(buffer.text.get(..buffer.len).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Number;
    use proptest::prelude::*;

    fn spelled(written: &str) -> String {
        let mut text = Vec::new();
        Number::parse(written.as_bytes()).unwrap().spell(&mut |part| text.extend_from_slice(part));
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn numbers_are_spelled_as_the_contract_says() {
        for (written, expected) in [
            ("0", "0"),
            ("-0.00e7", "0"),
            ("42", "42"),
            ("4.2e1", "42"),
            ("420e-1", "42"),
            ("-7", "-7"),
            ("100", "100"),
            ("1e2", "100"),
            ("1.50", "15e-1"),
            ("-0.015", "-15e-3"),
            ("1e19", "10000000000000000000"),
            ("18446744073709551615", "18446744073709551615"),
            ("-99999999999999999999", "-99999999999999999999"),
            ("1e20", "1e20"),
            ("-123456789012345678901", "-123456789012345678901e0"),
            ("123456789012345678900", "1234567890123456789e2"),
            ("1234567890123456789.25", "123456789012345678925e-2"),
            ("12345678901234567890.5", "123456789012345678905e-1"),
            ("0.12345678901234567890123", "12345678901234567890123e-23"),
            ("1e400", "1e400"),
            ("1e-400", "1e-400"),
        ] {
            assert_eq!(spelled(written), expected, "{written}");
        }
    }

    #[test]
    fn integers_are_spelled_as_they_are_printed() {
        for value in [1, 9, 10, 1_000_000, i64::MAX, i64::MIN, -1, i64::MAX - 7] {
            let mut text = Vec::new();
            Number::from_i64(value).spell(&mut |part| text.extend_from_slice(part));
            assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
        }
    }

    proptest! {
        #[test]
        fn numbers_are_spelled_alike_if_they_are_equal_and_only_then(
            written in prop::collection::vec("-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?", 2..8),
        ) {
            for a in &written {
                for b in written.iter().chain([&spelled(a)]) {
                    let equal = Number::parse(a.as_bytes()) == Number::parse(b.as_bytes());
                    prop_assert_eq!(spelled(a) == spelled(b), equal, "{} and {}", a, b);
                }
            }
        }
    }
}
