//! Shares by the words of `route_map.proto`, its hash by those of
//! <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>; nothing of it is shared with the table.

use super::{Decimal, Value};
use veltrix_proto::v1::Share;

pub(crate) fn has(share: &Share, value: &[u8]) -> bool {
    let hash = xxh64(value, xxh64(share.salt.as_bytes(), 0));
    // "The upper 64 bits of the 128-bit product of 10000 and XXH64."
    let place = ((u128::from(hash) * 10_000) >> 64) as u32;
    share.from <= place && place < share.to
}

/// The bytes that are hashed; `None` for what is neither a text nor a number.
pub(super) fn spelled(value: &Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Text(bytes) => Some(bytes.to_vec()),
        Value::Number(text) => Some(number(&Decimal::read(text)).into_bytes()),
        _ => None,
    }
}

fn number(Decimal { negative, digits, point }: &Decimal) -> String {
    let power = point - digits.len() as i128;
    let sign = if *negative { "-" } else { "" };
    match power {
        _ if digits.is_empty() => "0".to_owned(),
        // "Of a whole number of up to 20 digits these digits, behind a `-` if it is negative."
        0.. if *point <= 20 => format!("{sign}{digits}{}", "0".repeat(power as usize)),
        // "The digits from the first one to the last one that are not 0, and then `e` and the power of ten of the last."
        _ => format!("{sign}{digits}e{power}"),
    }
}

const PRIMES: [u64; 5] =
    [0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63, 0x27d4eb2f165667c5];

fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let [p1, p2, p3, p4, p5] = PRIMES;
    let round = |lane: u64, read: u64| lane.wrapping_add(read.wrapping_mul(p2)).rotate_left(31).wrapping_mul(p1);
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let stripes = bytes.chunks_exact(32);
    let rest = stripes.remainder();
    let mut hash = seed.wrapping_add(p5);
    if bytes.len() >= 32 {
        let mut lanes = [seed.wrapping_add(p1).wrapping_add(p2), seed.wrapping_add(p2), seed, seed.wrapping_sub(p1)];
        for stripe in stripes {
            lanes.iter_mut().zip(stripe.chunks(8)).for_each(|(lane, eight)| *lane = round(*lane, number(eight)));
        }
        let turned = lanes.iter().zip([1, 7, 12, 18]).map(|(lane, by)| lane.rotate_left(by));
        hash = turned.fold(0, u64::wrapping_add);
        for lane in lanes {
            hash = (hash ^ round(0, lane)).wrapping_mul(p1).wrapping_add(p4);
        }
    }
    hash = hash.wrapping_add(bytes.len() as u64);
    let (eights, rest) = rest.split_at(rest.len() / 8 * 8);
    let (fours, ones) = rest.split_at(rest.len() / 4 * 4);
    for eight in eights.chunks(8) {
        hash = (hash ^ round(0, number(eight))).rotate_left(27).wrapping_mul(p1).wrapping_add(p4);
    }
    for four in fours.chunks(4) {
        hash = (hash ^ number(four).wrapping_mul(p1)).rotate_left(23).wrapping_mul(p2).wrapping_add(p3);
    }
    for one in ones {
        hash = (hash ^ u64::from(*one).wrapping_mul(p5)).rotate_left(11).wrapping_mul(p1);
    }
    hash = (hash ^ hash >> 33).wrapping_mul(p2);
    hash = (hash ^ hash >> 29).wrapping_mul(p3);
    hash ^ hash >> 32
}
