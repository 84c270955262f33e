//! Numbers as JSON writes them, compared by their value: exact at any length, whatever the notation.
//!
//! A number other than zero is written here as ±0.ddd… × 10^exponent, its first digit not 0. Then the order of two numbers is the
//! order of (sign, exponent, digits), and equal numbers have equal digits: 1, 1.0 and 10e-1 all are 0.1 × 10^1. The first 19 digits
//! and the exponent make the *head*, two machine words that are compared at once; seldom is there a *tail* of more digits.
//!
//! Exponents beyond ±2^61 count as 2^61: numbers that large or small are on the right side of every other one, and only among
//! themselves are they told apart by their digits alone.

use super::text::{first_word, first_word_at};
use crate::table::Text;
use std::cmp::Ordering;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// A number of an event, parsed once and compared with many literals.
#[derive(Clone, Copy, Debug)]
pub struct Number<'t> {
    head: Head,
    /// Where the digits after the first 19 are, from the next one to the last that is not 0. May have a point in it.
    tail: &'t [u8],
}

/// A number of a predicate. Digits that its head can't hold lie in the table's texts.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    head: Head,
    tail: Text,
}

/// Sign, exponent and first 19 digits of a number, so that heads are in the order of their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    /// The exponent plus [`EXPONENT_BIAS`]; its negative for a negative number, 0 for zero.
    rank: i64,
    /// The digits as an integer of exactly 19 digits; its complement for a negative number.
    digits: u64,
}

const HEAD_DIGITS: u32 = 19;
const EXPONENT_BIAS: i64 = 1 << 61;

impl Head {
    /// An integer in the same order, compared without branches.
    #[inline]
    fn order(self) -> i128 {
        i128::from(self.rank) << 64 | i128::from(self.digits)
    }

    /// [`Number::zone`] of a number that is this head; `None` if tails decide.
    #[inline(always)]
    fn zone(self, bounds: &[Decimal]) -> Option<usize> {
        const FEW: usize = 8;
        let order = self.order();
        let less = match bounds.len() {
            0..=FEW => bounds.iter().map(|bound| usize::from(bound.head.order() < order)).sum(),
            _ => bounds.partition_point(|bound| bound.head.order() < order),
        };
        match bounds.get(less).filter(|bound| bound.head.order() == order) {
            None => Some(2 * less),
            Some(bound) if bound.is_long() => None,
            Some(_) => Some(2 * less + 1),
        }
    }

    /// From an integer of exactly 19 digits.
    #[inline]
    fn new(negative: bool, exponent: i64, digits: u64) -> Head {
        let rank = exponent.clamp(1 - EXPONENT_BIAS, EXPONENT_BIAS - 1) + EXPONENT_BIAS;
        if negative { Head { rank: -rank, digits: !digits } } else { Head { rank, digits } }
    }

    /// From an integer of at most 19 digits, times 10^`shift`.
    #[inline]
    fn of_integer(negative: bool, integer: u64, shift: i64) -> Head {
        if integer == 0 {
            return Head::default();
        }
        let count = integer.ilog10() + 1;
        let digits = integer * 10u64.pow(HEAD_DIGITS.saturating_sub(count));
        Head::new(negative, shift + i64::from(count), digits)
    }
}

impl<'t> Number<'t> {
    /// `None` if the text is no number as JSON writes them.
    #[inline]
    pub fn parse(text: &'t [u8]) -> Option<Number<'t>> {
        Number::read(text, first_word(text))
    }

    /// As [`Number::parse`], of the part of a payload at `range`: what surrounds a short text is loaded with it, which spares branches
    /// where lengths vary.
    #[inline]
    pub fn parse_at(payload: &'t [u8], range: Range<usize>) -> Option<Number<'t>> {
        let start = range.start;
        let text = payload.get(range)?;
        Number::read(text, first_word_at(payload, start, text))
    }

    #[inline]
    fn read(text: &'t [u8], first: u64) -> Option<Number<'t>> {
        match quick::read(text, first) {
            Some(head) => Some(Number { head, tail: &[] }),
            None => parse_any(text),
        }
    }

    /// The number that an integer is.
    #[inline]
    pub fn from_i64(value: i64) -> Number<'static> {
        // The largest magnitude has 19 digits.
        Number { head: Head::of_integer(value < 0, value.unsigned_abs(), 0), tail: &[] }
    }

    /// The number that an integer is.
    #[inline]
    pub fn from_u64(value: u64) -> Number<'static> {
        if value < 10u64.pow(HEAD_DIGITS) {
            return Number { head: Head::of_integer(false, value, 0), tail: &[] };
        }
        let last = (value % 10) as usize;
        let tail = if last == 0 { &[] } else { b"0123456789".get(last..=last).unwrap_or_default() };
        Number { head: Head::new(false, 20, value / 10), tail }
    }

    /// The number that a double means, which is the shortest decimal that no other double is nearer to: 0.1 is one tenth. `None`
    /// for infinity and what is not a number.
    #[inline]
    pub fn from_f64(value: f64) -> Option<Number<'static>> {
        // Decimals of up to 15 digits are doubles of their own, so one of those that is this double is the shortest, too.
        let millionths = (value * 1e6).round();
        if millionths.abs() < 1e15 && millionths / 1e6 == value {
            let digits = (millionths as i64).unsigned_abs();
            return Some(Number { head: Head::of_integer(value < 0.0, digits, -6), tail: &[] });
        }
        if value.is_finite() { from_shortest(format_args!("{value:e}")) } else { None }
    }

    /// As [`Number::from_f64`], by the shortest decimal that no other float of 32 bits is nearer to.
    #[inline]
    pub fn from_f32(value: f32) -> Option<Number<'static>> {
        // As above, of up to 6 digits. A quotient of such small numbers is never so close to the middle between two floats that
        // rounding it to a double first makes it the other one.
        let thousandths = (f64::from(value) * 1e3).round();
        if thousandths.abs() < 1e6 && (thousandths / 1e3) as f32 == value {
            let digits = (thousandths as i64).unsigned_abs();
            return Some(Number { head: Head::of_integer(value < 0.0, digits, -3), tail: &[] });
        }
        if value.is_finite() { from_shortest(format_args!("{value:e}")) } else { None }
    }

    /// For a hash table: equal numbers have equal keys, and different numbers different ones unless both
    /// [are long](Number::is_long).
    #[inline]
    pub fn key(&self) -> [u64; 2] {
        [(self.head.rank as u64) << 1 | u64::from(self.is_long()), self.head.digits]
    }

    /// Whether the number has more digits than its key tells apart.
    #[inline]
    pub fn is_long(&self) -> bool {
        !self.tail.is_empty()
    }

    /// How the number lies to a literal whose tail is in `texts`.
    #[inline]
    pub fn cmp_decimal(&self, literal: &Decimal, texts: &str) -> Ordering {
        match self.head.order().cmp(&literal.head.order()) {
            Ordering::Equal if self.is_long() || literal.is_long() => self.cmp_tails(literal.tail.bytes_of(texts)),
            order => order,
        }
    }

    /// Where this number lies among `bounds`, which are ascending: twice as many as are less, and one more if it is equal to the next.
    #[inline]
    pub fn zone(&self, bounds: &[Decimal], texts: &str) -> usize {
        match self.head.zone(bounds) {
            Some(zone) if !self.is_long() || zone.is_multiple_of(2) => zone,
            _ => self.zone_of_long(bounds, texts),
        }
    }

    /// [`Number::zone`] of the number that is written in the part of a payload at `range`; `None` if it is none.
    #[inline(never)]
    pub fn zone_at(payload: &[u8], range: Range<usize>, bounds: &[Decimal], texts: &str) -> Option<usize> {
        let start = range.start;
        let text = payload.get(range)?;
        // What most numbers are never takes the form of a `Number`, which would go through memory.
        match quick::read(text, first_word_at(payload, start, text)).map(|head| head.zone(bounds)) {
            Some(Some(zone)) => Some(zone),
            _ => zone_of_any(text, bounds, texts),
        }
    }

    #[cold]
    fn zone_of_long(&self, bounds: &[Decimal], texts: &str) -> usize {
        let less = bounds.partition_point(|bound| self.cmp_decimal(bound, texts).is_gt());
        let is_equal = bounds.get(less).is_some_and(|bound| self.cmp_decimal(bound, texts).is_eq());
        2 * less + usize::from(is_equal)
    }

    /// The order of numbers of equal heads.
    #[cold]
    fn cmp_tails(&self, other: &[u8]) -> Ordering {
        let digits = |byte: &&u8| **byte != b'.';
        let order = self.tail.iter().filter(digits).cmp(other.iter().filter(digits));
        if self.head.rank < 0 { order.reverse() } else { order }
    }
}

impl Ord for Number<'_> {
    #[inline]
    fn cmp(&self, other: &Number<'_>) -> Ordering {
        match self.head.order().cmp(&other.head.order()) {
            Ordering::Equal if self.is_long() || other.is_long() => self.cmp_tails(other.tail),
            order => order,
        }
    }
}

/// As JSON writes it, with as few characters as people need: `1e400`, but `1000`; the same number when it is read again.
impl std::fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.head.rank == 0 {
            return f.write_str("0");
        }
        let negative = self.head.rank < 0;
        let exponent = self.head.rank.abs() - EXPONENT_BIAS;
        let head = if negative { !self.head.digits } else { self.head.digits };
        let mut digits = head.to_string();
        digits.extend(self.tail.iter().filter(|byte| **byte != b'.').map(|byte| char::from(*byte)));
        let digits = digits.trim_end_matches('0');
        f.write_str(if negative { "-" } else { "" })?;
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        match exponent {
            1..=21 => match digits.split_at_checked(exponent as usize) {
                Some((whole, "")) => f.write_str(whole),
                Some((whole, fraction)) => write!(f, "{whole}.{fraction}"),
                None => write!(f, "{digits}{}", zeros(exponent - digits.len() as i64)),
            },
            -5..=0 => write!(f, "0.{}{digits}", zeros(-exponent)),
            _ => match digits.split_at_checked(1) {
                Some((first, "")) => write!(f, "{first}e{}", exponent - 1),
                Some((first, rest)) => write!(f, "{first}.{rest}e{}", exponent - 1),
                None => Ok(()),
            },
        }
    }
}

impl PartialOrd for Number<'_> {
    #[inline]
    fn partial_cmp(&self, other: &Number<'_>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number<'_> {
    #[inline]
    fn eq(&self, other: &Number<'_>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number<'_> {}

impl Hash for Number<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Decimal {
    /// Compiles a literal; `None` if it is no number as JSON writes them. More than 19 digits need room in `texts`.
    pub fn compile(text: &str, texts: &mut String) -> Option<Decimal> {
        let Number { head, tail } = Number::parse(text.as_bytes())?;
        let at = texts.len();
        texts.extend(tail.iter().filter(|byte| **byte != b'.').map(|byte| char::from(*byte)));
        let tail = Text { at: u32::try_from(at).ok()?, len: u32::try_from(texts.len() - at).ok()? };
        Some(Decimal { head, tail })
    }

    /// The same as a [`Number`], to be compared with others.
    #[inline]
    pub fn number<'t>(&self, texts: &'t str) -> Number<'t> {
        Number { head: self.head, tail: self.tail.bytes_of(texts) }
    }

    #[inline]
    fn is_long(&self) -> bool {
        self.tail.len != 0
    }
}

#[cold]
#[inline(never)]
fn zone_of_any(text: &[u8], bounds: &[Decimal], texts: &str) -> Option<usize> {
    Some(Number::parse(text)?.zone(bounds, texts))
}

/// How the number that is written in `text` lies to a literal; `None` if it is no number as JSON writes them.
#[inline]
pub fn compare(text: &[u8], literal: &Decimal, texts: &str) -> Option<Ordering> {
    Some(Number::parse(text)?.cmp_decimal(literal, texts))
}

/// Reads every number there is.
#[cold]
#[inline(never)]
fn parse_any(text: &[u8]) -> Option<Number<'_>> {
    let (negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (integer, rest) = split_digits(unsigned);
    if integer.is_empty() || (integer.len() > 1 && integer.starts_with(b"0")) {
        return None;
    }
    let (fraction, rest) = match rest {
        [b'.', rest @ ..] => match split_digits(rest) {
            ([], _) => return None,
            parts => parts,
        },
        _ => (&[][..], rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', rest @ ..] => parse_exponent(rest)?,
        _ => return None,
    };
    // Both parts and the point between them, which stands before the exponent.
    let (mut digits, _) = unsigned.split_at_checked(unsigned.len() - rest.len())?;
    let mut leading = integer.len() as i64;
    if integer == b"0" {
        digits = fraction;
        while let [b'0', rest @ ..] = digits {
            digits = rest;
        }
        leading = digits.len() as i64 - fraction.len() as i64;
    }
    while let [rest @ .., b'0' | b'.'] = digits {
        digits = rest;
    }
    let (mut head, mut count) = (0, 0);
    while let [byte, rest @ ..] = digits
        && count < HEAD_DIGITS
    {
        if *byte != b'.' {
            head = head * 10 + u64::from(byte - b'0');
            count += 1;
        }
        digits = rest;
    }
    if head == 0 {
        return Some(Number { head: Head::default(), tail: &[] });
    }
    let head = head * 10u64.pow(HEAD_DIGITS - count);
    Some(Number { head: Head::new(negative, leading.saturating_add(exponent), head), tail: digits })
}

/// The digits that a text begins with, and the rest.
fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let len = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at_checked(len).unwrap_or_default()
}

/// What is behind the `e`. Stops at a number far beyond what is told apart.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut exponent = 0i64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        exponent = exponent.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
    }
    Some(if negative { -exponent } else { exponent })
}

/// A float that was written in its shortest form, which has at most 17 digits.
#[cold]
fn from_shortest(text: std::fmt::Arguments<'_>) -> Option<Number<'static>> {
    let mut buffer = Short::default();
    buffer.write_fmt(text).ok()?;
    let number = parse_any(buffer.text.get(..buffer.len)?)?;
    Some(Number { head: number.head, tail: &[] })
}

/// A text of a few bytes on the stack.
#[derive(Default)]
struct Short {
    text: [u8; 32],
    len: usize,
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.len + text.len();
        self.text.get_mut(self.len..end).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

mod quick;
mod spell;
pub(super) use quick::{ZEROS, nondigits};
#[cfg(test)]
mod tests;
