//! What the tests of a look say of numbers, found by where a number lies between all that they compare with.
//!
//! The numbers that tests name cut the line of all numbers into *zones*: each of them is one, and so is what lies between two
//! neighbours. Within a zone all tests say the same, so that a number needs to be found among them once, and not to be tested by
//! each: two rows of bits per zone say whom all tests together let pass and rule out.

use crate::condition::{Conditions, Truth, range};
use crate::group::LookTest;
use crate::predicate::{Bound, Bounds, Literal, Predicate, Test, Types};
use crate::value::number::{Decimal, Number};
use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};

/// The zones of one look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    first_bound: u32,
    bounds: u32,
    /// Where the rows of the first zone begin, those who pass before those who don't; the others' lie behind.
    first_row: u32,
    words: u32,
}

/// The zones of all groups of a table.
#[derive(Debug, Default)]
pub(crate) struct AllZones {
    list: Vec<Zones>,
    /// The numbers that looks compare with, those of each look ascending.
    bounds: Vec<Decimal>,
}

/// The zones of one look, at hand.
#[derive(Clone, Copy)]
pub(crate) struct ZonesOf<'z> {
    bounds: &'z [Decimal],
    first_row: u32,
    words: u32,
}

impl ZonesOf<'_> {
    /// Where the rows of a number's zone begin: of those who pass, and of those who don't.
    #[inline]
    pub(crate) fn of_number(&self, number: &Number<'_>, texts: &str) -> [u32; 2] {
        self.rows(number.zone(self.bounds, texts))
    }

    /// The same of a number that is written in the part of a payload at `at`; `None` if it is none.
    #[inline(always)]
    pub(crate) fn at(&self, payload: &[u8], at: Range<usize>, texts: &str) -> Option<[u32; 2]> {
        Some(self.rows(Number::zone_at(payload, at, self.bounds, texts)?))
    }

    #[inline]
    fn rows(&self, zone: usize) -> [u32; 2] {
        let passes = self.first_row + zone as u32 * 2 * self.words;
        [passes, passes + self.words]
    }
}

/// Zones that a look may have whatever the size of its group.
const FEW: usize = 16;
/// Beyond these, rows of zones would take more words for each member.
const WORDS_PER_MEMBER: usize = 16;

impl AllZones {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.bounds.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Zones>() + self.bounds.capacity() * size_of::<Decimal>()
    }

    /// The zones of the look at `place`, if it has any.
    #[inline]
    pub(crate) fn of(&self, place: u32) -> Option<ZonesOf<'_>> {
        let zones = self.list.get(place as usize)?;
        let bounds = self.bounds.get(range(zones.first_bound, zones.bounds)).unwrap_or_default();
        Some(ZonesOf { bounds, first_row: zones.first_row, words: zones.words })
    }

    /// Makes the zones of a look of these tests, in a group of so many members, whose rows go behind `bits`. Returns its place;
    /// `u32::MAX` if it compares with no numbers, or zones can't say what its tests say.
    pub(crate) fn add(
        &mut self,
        (conditions, texts): (&Conditions, &str),
        tests: &[LookTest],
        members: u32,
        bits: &mut Vec<u64>,
    ) -> u32 {
        let first = self.bounds.len();
        let predicate = |test: &LookTest| conditions.predicates.get(test.predicate as usize);
        let about_numbers = |predicate: &&Predicate| predicate.about.has(Types::NUMBER);
        for predicate in tests.iter().filter_map(predicate).filter(about_numbers) {
            match predicate.test {
                // Says something else of every number.
                Test::Share(_) => {
                    self.bounds.truncate(first);
                    return u32::MAX;
                }
                test => literals(conditions, test, &mut |literal| self.bounds.push(literal)),
            }
        }
        make_bounds(&mut self.bounds, first, |a, b| a.number(texts).cmp_decimal(b, texts));
        let bounds = self.bounds.get(first..).unwrap_or_default();
        let (words, zones) = ((members as usize).div_ceil(64), bounds.len() * 2 + 1);
        if bounds.is_empty() || zones * words * 2 > (FEW * 2).max(members as usize * WORDS_PER_MEMBER) {
            self.bounds.truncate(first);
            return u32::MAX;
        }
        let (first_row, first_bound) = (bits.len() as u32, first as u32);
        let zones = Zones { first_bound, bounds: bounds.len() as u32, first_row, words: words as u32 };
        bits.resize(bits.len() + (bounds.len() * 2 + 1) * words * 2, 0);
        for test in tests {
            let Some(predicate) = predicate(test) else { continue };
            zones.say((conditions, texts, bounds), predicate, &mut |among, truth| {
                let (passes, bars) = (truth == Truth::True, truth != Truth::False);
                for zone in among {
                    let row = first_row as usize + zone * 2 * words;
                    (0..words).filter(|_| passes).for_each(|word| or(bits, test.passes as usize + word, row + word));
                    (0..words)
                        .filter(|_| bars)
                        .for_each(|word| or(bits, test.bars as usize + word, row + words + word));
                }
            });
        }
        self.list.push(zones);
        self.list.len() as u32 - 1
    }
}

impl Zones {
    /// Tells what a predicate says of the numbers of which zones, if it is not false.
    fn say(
        &self,
        (conditions, texts, bounds): (&Conditions, &str, &[Decimal]),
        predicate: &Predicate,
        tell: &mut impl FnMut(RangeInclusive<usize>, Truth),
    ) {
        let last = bounds.len() * 2;
        let zone = |literal: Literal| match literal {
            Literal::Number(place) => {
                let number = conditions.literals.decimals.get(place as usize)?.number(texts);
                Some(number.zone(bounds, texts))
            }
            _ => None,
        };
        let is_about = predicate.about.has(Types::NUMBER);
        match predicate.test {
            Test::Exists(expected) => tell(0..=last, Truth::from(expected)),
            Test::Types => tell(0..=last, Truth::from(is_about)),
            _ if !is_about => tell(0..=last, predicate.on_other_type),
            Test::Range(place) => {
                let range = conditions.literals.bounds.get(place as usize);
                let among = range.and_then(|range| of_range(range, last, zone));
                among.into_iter().for_each(|among| tell(among, Truth::True));
            }
            Test::Equals(literal) => zone(literal).into_iter().for_each(|zone| tell(zone..=zone, Truth::True)),
            Test::In { first, count } => {
                let values = conditions.literals.list(first, count).iter();
                values.filter_map(|value| zone(*value)).for_each(|zone| tell(zone..=zone, Truth::True));
            }
            Test::Prefix(_)
            | Test::Suffix(_)
            | Test::Contains(_)
            | Test::Wildcard(_)
            | Test::Cidr(_)
            | Test::Share(_) => {}
        }
    }
}

/// Sorts what stands from `first` on, and leaves each of it once.
pub(crate) fn make_bounds<B: Copy>(bounds: &mut Vec<B>, first: usize, order: impl Fn(&B, &B) -> Ordering) {
    bounds.get_mut(first..).unwrap_or_default().sort_unstable_by(&order);
    let mut kept = first;
    for at in first..bounds.len() {
        let Some(bound) = bounds.get(at).copied() else { break };
        let is_new = bounds.get(first..kept).unwrap_or_default().last().is_none_or(|last| order(&bound, last).is_ne());
        if is_new && let Some(place) = bounds.get_mut(kept) {
            *place = bound;
            kept += 1;
        }
    }
    bounds.truncate(kept);
}

/// The zones within a range, up to the `last` one; `zone` says the one of a bound. Of a bound that is not a number nothing is within.
pub(crate) fn of_range(
    range: &Bounds,
    last: usize,
    zone: impl Fn(Literal) -> Option<usize>,
) -> Option<RangeInclusive<usize>> {
    let side = |bound: Option<Bound>, open: usize, inwards: isize| match bound {
        None => Some(open),
        Some(Bound { literal, inclusive: true }) => zone(literal),
        Some(Bound { literal, inclusive: false }) => zone(literal)?.checked_add_signed(inwards),
    };
    Some(side(range.lower, 0, 1)?..=side(range.upper, last, -1)?)
}

/// The numbers that a test compares with.
pub(crate) fn literals(conditions: &Conditions, test: Test, each: &mut impl FnMut(Decimal)) {
    let mut number = |literal: &Literal| {
        if let Literal::Number(place) = literal
            && let Some(decimal) = conditions.literals.decimals.get(*place as usize)
        {
            each(*decimal);
        }
    };
    match test {
        Test::Equals(literal) => number(&literal),
        Test::In { first, count } => conditions.literals.list(first, count).iter().for_each(number),
        Test::Range(bounds) => {
            let bounds = conditions.literals.bounds.get(bounds as usize);
            let both = bounds.into_iter().flat_map(|bounds| [bounds.lower, bounds.upper]).flatten();
            both.for_each(|bound| number(&bound.literal));
        }
        _ => {}
    }
}

fn or(bits: &mut [u64], from: usize, to: usize) {
    let word = bits.get(from).copied().unwrap_or_default();
    if let Some(to) = bits.get_mut(to) {
        *to |= word;
    }
}
