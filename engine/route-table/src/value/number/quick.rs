//! Reads the numbers that occur most, eight digits at a time: up to 19 digits, a point among or behind the first 8 of them or none,
//! no exponent. Everything else is left to the reader of every number.
//!
//! Eight digits lie in one word, the first one lowest. Multiplied by ten and added to their right neighbours they become four pairs,
//! then two fours, then one number (Lemire, "Quickly parsing eight digits", 2018).

use super::{EXPONENT_BIAS, HEAD_DIGITS, Head};
use crate::value::text::mask;

/// The head of a number, which has no tail; `None` if this is not one of those that are read here. `first` is the first word of the
/// text, zeros behind its end.
#[inline]
pub(super) fn read(text: &[u8], first: u64) -> Option<Head> {
    let negative = first as u8 == b'-';
    let start = usize::from(negative);
    let len = text.len() - start.min(text.len());
    if len < 8 {
        return read_short(first >> (8 * start), len, negative);
    }
    let word = match text.first_chunk::<9>() {
        // The word behind the sign: one more byte, then without the sign.
        Some([.., last]) if negative => first >> 8 | u64::from(*last) << 56,
        _ => first,
    };
    let digits = word ^ ZEROS;
    let point = nondigits(digits).trailing_zeros() as usize / 8;
    if point == 8 {
        return read_integer(text.get(start..)?, digits, negative);
    }
    let fraction = len - point - 1;
    let fits = point + fraction <= HEAD_DIGITS as usize && fraction <= 16;
    if point == 0 || (word >> (8 * point)) as u8 != b'.' || !fits {
        return None;
    }
    let integer = number(digits << (64 - 8 * point));
    if digits as u8 == 0 && point > 1 {
        return None;
    }
    let last = u64::from_le_bytes(*text.last_chunk()?) ^ ZEROS;
    let head = if fraction > 8 {
        let from = start + point + 1;
        let middle = u64::from_le_bytes(*text.get(from..)?.first_chunk()?) ^ ZEROS;
        let last = last & !mask(16 - fraction);
        if nondigits(middle) | nondigits(last) != 0 {
            return None;
        }
        integer * tens(19 - point) + number(middle) * tens(11 - point) + number(last) * tens(19 - point - fraction)
    } else {
        let last = last & !mask(8 - fraction);
        if fraction == 0 || nondigits(last) != 0 {
            return None;
        }
        integer * tens(19 - point) + number(last) * tens(19 - point - fraction)
    };
    Some(if integer == 0 { normal(negative, 1, head) } else { new(negative, point, head) })
}

/// Of at most 7 bytes without the sign, all in one word.
#[inline]
fn read_short(word: u64, len: usize, negative: bool) -> Option<Head> {
    let digits = word ^ ZEROS;
    let point = nondigits(digits).trailing_zeros() as usize / 8;
    if point == 0 || (digits as u8 == 0 && point > 1) {
        return None;
    }
    let (digits, count) = if point == len {
        (digits, len)
    } else {
        // Moves the digits behind the point to where it is.
        let integer = mask(point);
        let without = digits & integer | digits >> 8 & !integer;
        if (word >> (8 * point)) as u8 != b'.' || point + 1 == len || nondigits(without) & mask(len - 1) != 0 {
            return None;
        }
        (without, len - 1)
    };
    let head = number(digits << (64 - 8 * count)) * tens(19 - count);
    Some(if digits as u8 == 0 { normal(negative, point, head) } else { new(negative, point, head) })
}

/// Of 8 digits or more and nothing else. `first` has the values of the first 8.
#[inline]
fn read_integer(text: &[u8], first: u64, negative: bool) -> Option<Head> {
    let len = text.len();
    if len > HEAD_DIGITS as usize || first as u8 == 0 {
        return None;
    }
    let mut head = number(first) * tens(11);
    if len > 8 {
        let last = u64::from_le_bytes(*text.last_chunk()?) ^ ZEROS;
        let (middle, last) = if len <= 16 {
            (0, last & !mask(16 - len))
        } else {
            (u64::from_le_bytes(*text.get(8..)?.first_chunk()?) ^ ZEROS, last & !mask(24 - len))
        };
        if nondigits(middle) | nondigits(last) != 0 {
            return None;
        }
        head += number(middle) * tens(3) + number(last) * tens(19 - len);
    }
    Some(new(negative, len, head))
}

/// `0` in each byte.
pub(in crate::value) const ZEROS: u64 = 0x3030_3030_3030_3030;

/// The highest bit of each byte that is no value of a digit.
#[inline]
pub(in crate::value) fn nondigits(digits: u64) -> u64 {
    let low = 0x7f7f_7f7f_7f7f_7f7f;
    (((digits & low) + (low - 0x0909_0909_0909_0909)) | digits) & !low
}

/// The number that 8 digits are, the first one lowest.
#[inline]
fn number(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = pairs & 0x0000_00ff_0000_00ff;
    let high = pairs >> 16 & 0x0000_00ff_0000_00ff;
    low.wrapping_mul(100 + (1_000_000 << 32)).wrapping_add(high.wrapping_mul(1 + (10_000 << 32))) >> 32
}

/// 10^exponent, of up to 19.
#[inline]
fn tens(exponent: usize) -> u64 {
    #[expect(clippy::indexing_slicing, reason = "in a constant, which would not compile if it failed")]
    const TENS: [u64; 32] = {
        let mut tens = [0; 32];
        let (mut at, mut power) = (0, 1u64);
        while at <= 19 {
            tens[at] = power;
            power = power.wrapping_mul(10);
            at += 1;
        }
        tens
    };
    TENS.get(exponent & 31).copied().unwrap_or_default()
}

/// Of 19 digits, the first one not 0.
#[inline]
fn new(negative: bool, exponent: usize, digits: u64) -> Head {
    let (rank, flip) = (exponent as i64 + EXPONENT_BIAS, -i64::from(negative));
    Head { rank: (rank ^ flip) - flip, digits: digits ^ flip as u64 }
}

/// Of 19 digits that may begin with zeros.
#[inline]
fn normal(negative: bool, exponent: usize, digits: u64) -> Head {
    Head::of_integer(negative, digits, exponent as i64 - i64::from(HEAD_DIGITS))
}
