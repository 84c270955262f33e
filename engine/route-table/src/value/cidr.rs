//! Sets of blocks of IP addresses.
//!
//! A block is an address and the number of its leading bits that count, "10.0.0.0/8"; bits behind those may be set and do not
//! matter, as in firewalls: "10.1.2.3/8" is the same block. An address alone is a block of one. Addresses are what the standard
//! library reads as such: no zones, no leading zeros.
//!
//! The two versions are apart: "::/0" has every address of version 6 and none of version 4. But an address of version 4 that is
//! written in version 6, "::ffff:10.1.2.3", *is* the one of version 4, in events and in blocks, so it lies in "10.0.0.0/8" and not
//! in "::/0": where an address came from may change how it is written, not whom an event goes to.

use super::number::{ZEROS, nondigits};
use super::text::first_word;
use crate::condition::range;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    address: IpAddr,
    /// Bits of it that count.
    bits: u32,
}

/// Why a text is no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlock {
    /// It does not begin with an address.
    #[error(
        "`{block}` begins with no IP address; write a block as `10.0.0.0/8` or `2001:db8::/32`, or one address alone"
    )]
    Address {
        /// The text.
        block: String,
    },
    /// What follows the slash is no number or too large.
    #[error(
        "`{block}` does not end with a number of bits up to {max}; write a block as `10.0.0.0/8` or `2001:db8::/32`"
    )]
    Bits {
        /// The text.
        block: String,
        /// Bits of such an address.
        max: u32,
    },
}

impl Block {
    /// Reads a block as people write it.
    pub fn parse(text: &str) -> Result<Block, BadBlock> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadBlock::Address { block: text.into() })?;
        let max = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => max,
            Some(bits) => parse_bits(bits)
                .filter(|bits| *bits <= max)
                .ok_or_else(|| BadBlock::Bits { block: text.into(), max })?,
        };
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), inner @ IpAddr::V4(_)) if bits >= 96 => Ok(Block { address: inner, bits: bits - 96 }),
            _ => Ok(Block { address, bits }),
        }
    }

    /// The first address of the block and the last one.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        match self.address {
            IpAddr::V4(address) => {
                let behind = u32::MAX.checked_shr(self.bits).unwrap_or(0);
                let address = u32::from(address);
                (Ipv4Addr::from(address & !behind).into(), Ipv4Addr::from(address | behind).into())
            }
            IpAddr::V6(address) => {
                let behind = u128::MAX.checked_shr(self.bits).unwrap_or(0);
                let address = u128::from(address);
                (Ipv6Addr::from(address & !behind).into(), Ipv6Addr::from(address | behind).into())
            }
        }
    }
}

fn parse_bits(text: &str) -> Option<u32> {
    let plain = text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// The ranges of all sets of a table.
#[derive(Debug, Default)]
pub struct CidrRanges {
    v4: Vec<Span<u32>>,
    v6: Vec<Span<u128>>,
}

/// A run of addresses, both ends included. Those of a set are ascending and have gaps between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span<A> {
    first: A,
    last: A,
}

/// A set of blocks: its parts of a table's [`CidrRanges`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CidrSet {
    v4_first: u32,
    v4_count: u32,
    v6_first: u32,
    v6_count: u32,
}

impl CidrRanges {
    /// Removes all sets and keeps the memory.
    pub fn clear(&mut self) {
        self.v4.clear();
        self.v6.clear();
    }

    /// What the ranges take of memory.
    pub fn memory_bytes(&self) -> usize {
        self.v4.capacity() * size_of::<Span<u32>>() + self.v6.capacity() * size_of::<Span<u128>>()
    }

    /// Adds a set; blocks that overlap or touch become one range. `None` if there are more ranges than a table can number.
    pub fn add(&mut self, blocks: impl IntoIterator<Item = Block>) -> Option<CidrSet> {
        let (v4_first, v6_first) = (self.v4.len(), self.v6.len());
        for block in blocks {
            match block.ends() {
                (IpAddr::V4(first), IpAddr::V4(last)) => self.v4.push(Span { first: first.into(), last: last.into() }),
                (IpAddr::V6(first), IpAddr::V6(last)) => self.v6.push(Span { first: first.into(), last: last.into() }),
                _ => {}
            }
        }
        merge(&mut self.v4, v4_first, |last, first| first <= last.saturating_add(1));
        merge(&mut self.v6, v6_first, |last, first| first <= last.saturating_add(1));
        Some(CidrSet {
            v4_first: u32::try_from(v4_first).ok()?,
            v4_count: u32::try_from(self.v4.len() - v4_first).ok()?,
            v6_first: u32::try_from(v6_first).ok()?,
            v6_count: u32::try_from(self.v6.len() - v6_first).ok()?,
        })
    }
}

/// Sorts the spans from `start` on, and makes one of those that have nothing between them.
fn merge<A: Ord + Copy>(spans: &mut Vec<Span<A>>, start: usize, joins: fn(A, A) -> bool) {
    let Some(new) = spans.get_mut(start..) else { return };
    new.sort_unstable();
    let mut kept = start;
    for at in start..spans.len() {
        let Some(&span) = spans.get(at) else { break };
        match spans.get_mut(start..kept).and_then(<[_]>::last_mut) {
            Some(before) if joins(before.last, span.first) => before.last = before.last.max(span.last),
            _ => {
                if let Some(place) = spans.get_mut(kept) {
                    *place = span;
                }
                kept += 1;
            }
        }
    }
    spans.truncate(kept);
}

impl CidrSet {
    /// Whether the address that is written in `text` is in one of the blocks; `None` if it is no address.
    #[inline]
    pub fn contains(&self, text: &[u8], ranges: &CidrRanges) -> Option<bool> {
        Some(self.contains_address(parse_address(text)?, ranges))
    }

    /// The fewest blocks that are this set.
    pub fn blocks(&self, ranges: &CidrRanges) -> Vec<String> {
        let mut blocks = Vec::new();
        for span in ranges.v4.get(range(self.v4_first, self.v4_count)).unwrap_or_default() {
            cover(span.first.into(), span.last.into(), 32, |first, bits| {
                blocks.push(format!("{}/{bits}", Ipv4Addr::from(first as u32)));
            });
        }
        for span in ranges.v6.get(range(self.v6_first, self.v6_count)).unwrap_or_default() {
            cover(span.first, span.last, 128, |first, bits| blocks.push(format!("{}/{bits}", Ipv6Addr::from(first))));
        }
        blocks
    }

    /// How many runs of addresses [`CidrSet::each_run`] tells, at most.
    pub(crate) fn runs_max(&self) -> usize {
        // One run can have the addresses of version 4 in its midst, and lose them.
        (self.v4_count + self.v6_count) as usize + 1
    }

    /// Tells the runs of addresses that are this set, by their first and last places in [`line_of_addresses`].
    pub(crate) fn each_run(&self, ranges: &CidrRanges, mut each: impl FnMut(u128, u128)) {
        let place = |address: u32| line_of_addresses(Ipv4Addr::from(address).into());
        for span in ranges.v4.get(range(self.v4_first, self.v4_count)).unwrap_or_default() {
            each(place(span.first), place(span.last));
        }
        let (v4_first, v4_last) = (place(0), place(u32::MAX));
        for Span { first, last } in
            ranges.v6.get(range(self.v6_first, self.v6_count)).unwrap_or_default().iter().copied()
        {
            let (before, behind) = (last.min(v4_first - 1), first.max(v4_last + 1));
            if first <= before {
                each(first, before);
            }
            if behind <= last {
                each(behind, last);
            }
        }
    }

    /// The same for an address that was [read](parse_address) already.
    #[inline]
    pub fn contains_address(&self, address: IpAddr, ranges: &CidrRanges) -> bool {
        match address {
            IpAddr::V4(address) => {
                within(ranges.v4.get(range(self.v4_first, self.v4_count)).unwrap_or_default(), address.into())
            }
            IpAddr::V6(address) => {
                within(ranges.v6.get(range(self.v6_first, self.v6_count)).unwrap_or_default(), address.into())
            }
        }
    }
}

/// Tells the largest blocks that make up the addresses from `first` to `last`, of `width` bits each.
fn cover(mut first: u128, last: u128, width: u32, mut each: impl FnMut(u128, u32)) {
    loop {
        // As many addresses as the first one has zeros behind, if that does not go beyond the last one.
        let aligned = first.trailing_zeros().min(width);
        let fitting = match (last - first).checked_add(1) {
            Some(left) => left.ilog2(),
            None => 128,
        };
        let free = aligned.min(fitting);
        each(first, width - free);
        match 1u128.checked_shl(free).and_then(|count| first.checked_add(count)) {
            Some(next) if next <= last => first = next,
            _ => return,
        }
    }
}

#[inline]
fn within<A: Ord + Copy>(spans: &[Span<A>], address: A) -> bool {
    let after = spans.partition_point(|span| span.first <= address);
    after.checked_sub(1).and_then(|at| spans.get(at)).is_some_and(|span| address <= span.last)
}

/// The place of an address that was [read](parse_address) in a line of all addresses. Those of version 4 lie where version 6 would have
/// them, and where there are none of version 6, since these are read as version 4.
#[inline]
pub(crate) fn line_of_addresses(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address that is written in a text, of version 4 if it is one of version 4 that is written in version 6.
#[inline]
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    match parse_v4(text) {
        Some(address) => Some(IpAddr::V4(address.into())),
        None => parse_v6(text),
    }
}

#[cold]
fn parse_v6(text: &[u8]) -> Option<IpAddr> {
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

/// Reads the four numbers without a look at more than where the points are.
#[inline]
fn parse_v4(text: &[u8]) -> Option<u32> {
    let len = text.len();
    if !(7..=15).contains(&len) {
        return None;
    }
    let first = first_word(text);
    // From the ninth byte on; zeros behind the end, which are no digits.
    let second = match text.last_chunk() {
        Some(word) => u64::from_le_bytes(*word).checked_shr(8 * (16 - len as u32)).unwrap_or(0),
        None => 0,
    };
    let text = u128::from(first) | u128::from(second) << 64;
    let (mut address, mut points, mut start) =
        (0, compact(nondigits(first ^ ZEROS)) | compact(nondigits(second ^ ZEROS)) << 8, 0);
    for number in 0..4 {
        let end = points.trailing_zeros();
        let expected = if number < 3 { b'.' } else { 0 };
        let digits = end.wrapping_sub(start);
        if !(1..=3).contains(&digits) || (text >> (8 * end)) as u8 != expected {
            return None;
        }
        let word = (text >> (8 * start)) as u32 ^ ZEROS as u32;
        if digits > 1 && word as u8 == 0 {
            return None;
        }
        // Hundreds, tens and ones in the three lower bytes.
        let word = word << (24 - 8 * (digits - 1)) >> 8;
        let value = (word & 0xff) * 100 + (word >> 8 & 0xff) * 10 + (word >> 16);
        if value > 255 {
            return None;
        }
        address = address << 8 | value;
        points &= points.wrapping_sub(1);
        start = end + 1;
    }
    (start as usize == len + 1).then_some(address)
}

/// The highest bits of eight bytes side by side.
#[inline]
fn compact(word: u64) -> u32 {
    ((word >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bit by bit, as the words of this module say.
    fn reference(block: &str, address: IpAddr) -> bool {
        let bits_of = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
            IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
        };
        let (block, bits) = block.split_once('/').unwrap_or((block, "128"));
        let (block, address, bits): (IpAddr, _, usize) =
            (block.parse().unwrap(), bits_of(address), bits.parse().unwrap());
        let (block, bits) = match (block, block.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(_)) if bits >= 96 => (bits_of(block), bits - 96),
            (IpAddr::V6(block), _) => (format!("{:0128b}", u128::from(block)), bits),
            _ => (bits_of(block), bits),
        };
        block.len() == address.len() && block.bytes().zip(address.bytes()).take(bits).all(|(one, other)| one == other)
    }

    fn check(blocks: &[&str], addresses: &[&str]) {
        let mut ranges = CidrRanges::default();
        ranges.add([Block::parse("0.0.0.0/0").unwrap(), Block::parse("::/0").unwrap()]).unwrap();
        let set = ranges.add(blocks.iter().map(|block| Block::parse(block).unwrap())).unwrap();
        ranges.add([Block::parse("0.0.0.0/0").unwrap(), Block::parse("::/0").unwrap()]).unwrap();
        for text in addresses {
            let address: Result<IpAddr, _> = text.parse();
            let expected = address.map(|address| blocks.iter().any(|block| reference(block, address)));
            assert_eq!(set.contains(text.as_bytes(), &ranges), expected.ok(), "{text} in {blocks:?}");
        }
    }

    #[test]
    fn a_set_is_told_in_the_fewest_blocks() {
        for (blocks, told) in [
            (&["10.0.0.0/8"][..], &["10.0.0.0/8"][..]),
            (&["10.0.0.0/9", "10.128.0.0/9"], &["10.0.0.0/8"]),
            (&["10.0.0.1", "10.0.0.2", "10.0.0.3"], &["10.0.0.1/32", "10.0.0.2/31"]),
            (&["0.0.0.0/0", "::/0"], &["0.0.0.0/0", "::/0"]),
            (
                &["255.255.255.255", "ffff::/16", "::ffff:10.0.0.0/104"],
                &["10.0.0.0/8", "255.255.255.255/32", "ffff::/16"],
            ),
            (&["::/128", "::1"], &["::/127"]),
            (&["::fffe:0:0/95"], &["::fffe:0:0/95"]),
        ] {
            let mut ranges = CidrRanges::default();
            let parse = |blocks: &[&str]| blocks.iter().map(|block| Block::parse(block).unwrap()).collect::<Vec<_>>();
            let set = ranges.add(parse(blocks)).unwrap();
            assert_eq!(set.blocks(&ranges), told);
            let again = ranges.add(parse(told)).unwrap();
            assert_eq!(again.blocks(&ranges), told);
        }
    }

    #[test]
    fn a_block_has_the_addresses_that_begin_alike() {
        check(
            &["10.0.0.0/8", "192.168.1.7", "172.16.0.0/12", "2001:db8::/32", "::1"],
            &[
                "9.255.255.255",
                "10.0.0.0",
                "10.255.255.255",
                "11.0.0.0",
                "192.168.1.6",
                "192.168.1.7",
                "192.168.1.8",
                "172.15.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "172.32.0.0",
                "2001:db7:ffff::",
                "2001:db8::",
                "2001:DB8:ffff:ffff:ffff:ffff:ffff:ffff",
                "2001:db9::",
                "::1",
                "::",
                "::2",
                "::ffff:10.1.2.3",
                "::10.1.2.3",
            ],
        );
        check(&["0.0.0.0/0"], &["0.0.0.0", "255.255.255.255", "::", "::ffff:1.2.3.4"]);
        check(&["::/0"], &["0.0.0.0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:1.2.3.4"]);
        check(&[], &["0.0.0.0", "::"]);
        check(&["255.255.255.255", "0.0.0.0/32"], &["255.255.255.255", "0.0.0.0", "255.255.255.254", "0.0.0.1"]);
    }

    #[test]
    fn bits_behind_those_that_count_do_not_matter() {
        check(&["10.1.2.3/8", "2001:db8::7/32"], &["10.0.0.0", "10.255.0.1", "2001:db8::", "11.1.2.3"]);
    }

    #[test]
    fn an_address_of_version_4_is_the_same_in_either_notation() {
        check(
            &["::ffff:10.0.0.0/104", "::ffff:1.2.3.4"],
            &["10.1.2.3", "::ffff:10.1.2.3", "11.0.0.0", "1.2.3.4", "::ffff:102:304"],
        );
        check(&["::ffff:0.0.0.0/96"], &["10.1.2.3", "::ffff:10.1.2.3", "::"]);
        check(&["::ffff:0.0.0.0/95"], &["10.1.2.3", "::ffff:10.1.2.3", "::fffe:1.2.3.4"]);
    }

    #[test]
    fn what_is_no_block_is_refused_with_the_reason() {
        for block in
            ["", "/8", "10.0.0/8", "localhost", "10.0.0.0.0/8", "10.0.0.01/8", "fe80::1%eth0/64", " 10.0.0.0/8"]
        {
            assert_eq!(Block::parse(block), Err(BadBlock::Address { block: block.into() }));
        }
        for block in
            ["10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0/8 "]
        {
            assert_eq!(Block::parse(block), Err(BadBlock::Bits { block: block.into(), max: 32 }));
        }
        assert_eq!(Block::parse("::/129"), Err(BadBlock::Bits { block: "::/129".into(), max: 128 }));
    }

    #[test]
    fn blocks_that_touch_become_one_range_and_memory_is_kept() {
        let mut ranges = CidrRanges::default();
        let quarters = ["10.0.0.0/10", "10.64.0.0/10", "10.128.0.0/9", "10.1.0.0/16", "255.0.0.0/8", "255.255.255.255"];
        let blocks = || quarters.iter().map(|block| Block::parse(block).unwrap());
        let set = ranges.add(blocks()).unwrap();
        assert_eq!((set.v4_count, ranges.v4.len()), (2, 2));
        let memory = ranges.memory_bytes();
        ranges.clear();
        ranges.add(blocks()).unwrap();
        assert_eq!(ranges.memory_bytes(), memory);
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()),
            (0u32..1024).prop_map(|bits| Ipv4Addr::from(bits << 22 | bits).into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()),
            (0u128..1024).prop_map(|bits| Ipv6Addr::from(bits << 118 | bits).into()),
            any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).to_ipv6_mapped().into()),
        ]
    }

    fn block() -> impl Strategy<Value = String> {
        (address(), 0u32..=128)
            .prop_map(|(address, bits)| format!("{address}/{}", if address.is_ipv4() { bits % 33 } else { bits }))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn sets_have_what_one_of_their_blocks_has(
            blocks in prop::collection::vec(block(), 0..8),
            addresses in prop::collection::vec(address(), 1..8),
        ) {
            let blocks: Vec<_> = blocks.iter().map(String::as_str).collect();
            let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
            check(&blocks, &addresses.iter().map(String::as_str).collect::<Vec<_>>());
        }

        #[test]
        fn addresses_are_what_the_standard_library_reads(
            text in prop_oneof![
                "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
                "[0-2]?[0-9]?[0-9](\\.[0-2]?[0-9]?[0-9]){2,4}",
                "[0-9.:a-f/ ]{0,20}",
                "([0-9a-fA-F]{0,5}:){2,8}[0-9a-f]{0,4}",
                address().prop_map(|address| address.to_string()),
            ],
            at in any::<prop::sample::Index>(),
            byte in prop::option::of(any::<u8>()),
        ) {
            let mut text = text.into_bytes();
            if let Some(byte) = byte && !text.is_empty() {
                let at = at.index(text.len());
                text[at] = byte;
            }
            let expected: Option<IpAddr> = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            prop_assert_eq!(parse_address(&text), expected.map(|address| address.to_canonical()));
        }
    }
}
