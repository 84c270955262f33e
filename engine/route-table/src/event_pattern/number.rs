//! The order of numbers as JSON writes them, of any length.

use std::cmp::Ordering;

/// Compares the values of two JSON numbers. Exponents of more than 18 digits count as the largest of 18.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Number::read(left), Number::read(right));
    left.sign.cmp(&right.sign).then_with(|| {
        let sizes = left.point.cmp(&right.point).then_with(|| left.digits().cmp(right.digits()));
        if left.sign < 0 { sizes.reverse() } else { sizes }
    })
}

/// 0.`digits` times ten to the power of `point`.
struct Number<'t> {
    /// -1, 0 or 1.
    sign: i8,
    point: i64,
    /// With the decimal point, and with zeros at both ends.
    mantissa: &'t str,
}

impl<'t> Number<'t> {
    fn read(text: &'t str) -> Number<'t> {
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let largest = 10i64.pow(18);
        let saturated = if exponent.starts_with('-') { -largest } else { largest };
        let exponent = exponent.parse::<i64>().unwrap_or(saturated).clamp(-largest, largest);
        let whole = mantissa.split('.').next().unwrap_or_default();
        let zeros = mantissa.bytes().filter(u8::is_ascii_digit).take_while(|digit| *digit == b'0').count();
        let number = Number { sign, point: exponent + whole.len() as i64 - zeros as i64, mantissa };
        if number.digits().next().is_none() { Number { sign: 0, point: 0, mantissa } } else { number }
    }

    /// Without zeros at either end.
    fn digits(&self) -> impl Iterator<Item = u8> {
        let end = self.mantissa.rfind(|letter| !matches!(letter, '0' | '.')).map_or(0, |last| last + 1);
        let mantissa = self.mantissa.get(..end).unwrap_or_default();
        mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_ordered_by_value_however_they_are_written() {
        let ordered = [
            "-1e30",
            "-12",
            "-11.5",
            "-1e-3",
            "0",
            "1e-999999999999999999999",
            "0.0012",
            "0.01",
            "2",
            "10",
            "1e2",
            "2e99",
        ];
        for (a, left) in ordered.iter().enumerate() {
            for (b, right) in ordered.iter().enumerate() {
                assert_eq!(compare(left, right), a.cmp(&b), "{left} and {right}");
            }
        }
        for (left, right) in [("0", "-0.00e5"), ("100", "1E+2"), ("5.0", "5"), ("0.00120", "12e-4"), ("1200e-2", "12")]
        {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} and {right}");
        }
    }
}
