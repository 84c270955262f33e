//! What the tests of a look say of numbers, found by where a number lies between all that they compare with.
//!
//! The numbers that tests name cut the line of all numbers into *zones*: each of them is one, and so is what lies between two
//! neighbours. Within a zone all tests say the same, so that a number needs to be found among them once, and not to be tested by
//! each: two rows of bits per zone say whom all tests together let pass and rule out.

use crate::condition::{Conditions, Truth, range};
use crate::group::LookTest;
use crate::predicate::{Bound, Bounds, Literal, Predicate, Test, Types};
use crate::rows::{AllRows, words_of};
use crate::value::number::{Decimal, Number};
use std::cmp::Ordering;
use std::ops::{Range, RangeInclusive};

/// The zones of one look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zones {
    first_bound: u32,
    bounds: u32,
    rows: RowsOf,
}

/// Where the rows of zones are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RowsOf {
    /// Side by side: for each zone, those who pass before those who don't.
    Each { first_row: u32, words: u32 },
    /// Each zone has a step.
    Steps { first: u32 },
}

/// What tests say within a zone, by how it differs from a row: routes with intervals of their own are many, and from one zone to the next
/// hardly anything changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) passes: u32,
    pub(crate) bars: u32,
    /// A run of members that are in one of the rows and should not be, or should be and are not.
    pub(crate) first_toggle: u32,
    pub(crate) toggles: u32,
}

/// A member, and which of the two rows as the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Toggle(u16);

impl Toggle {
    const MEMBERS_MAX: u32 = 1 << 15;

    fn new(member: u32, is_of_bars: bool) -> Toggle {
        Toggle((member as u16) << 1 | u16::from(is_of_bars))
    }

    pub(crate) fn member(self) -> u32 {
        u32::from(self.0 >> 1)
    }

    pub(crate) fn is_of_bars(self) -> bool {
        self.0 & 1 != 0
    }
}

/// The zones of all groups of a table.
#[derive(Debug, Default)]
pub(crate) struct AllZones {
    list: Vec<Zones>,
    /// The numbers that looks compare with, those of each look ascending.
    bounds: Vec<Decimal>,
    pub(crate) steps: Vec<Step>,
    pub(crate) toggles: Vec<Toggle>,
}

/// What making zones needs besides.
#[derive(Debug, Default)]
pub(crate) struct ZoneScratch {
    /// From which zone on a member is in a row once more, or once less.
    turns: Vec<(u32, Toggle, i32)>,
    /// By toggle, how often it is in at the zone at hand.
    times: Vec<i32>,
}

/// The zones of one look, at hand.
#[derive(Clone, Copy)]
pub(crate) struct ZonesOf<'z> {
    bounds: &'z [Decimal],
    pub(crate) rows: RowsOf,
}

impl ZonesOf<'_> {
    /// The zone of a number.
    #[inline]
    pub(crate) fn of_number(&self, number: &Number<'_>, texts: &str) -> u32 {
        number.zone(self.bounds, texts) as u32
    }

    /// The same of a number that is written in the part of a payload at `at`; `None` if it is none.
    #[inline(always)]
    pub(crate) fn at(&self, payload: &[u8], at: Range<usize>, texts: &str) -> Option<u32> {
        Some(Number::zone_at(payload, at, self.bounds, texts)? as u32)
    }
}

/// Zones that have rows each whatever the size of the group.
const FEW: usize = 16;
/// Beyond these, rows of zones would take more words for each member.
const WORDS_PER_MEMBER: usize = 16;
/// So many members differ between a zone and its row, at most: this costs about as much as to unite two rows of a large group.
const TOGGLES_MAX: usize = 64;
/// Beyond these turns for each member there are no zones: who names that many numbers is tested with others who name the same ones.
const TURNS_PER_MEMBER: usize = 8;

impl AllZones {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.bounds.clear();
        self.steps.clear();
        self.toggles.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Zones>()
            + self.bounds.capacity() * size_of::<Decimal>()
            + self.steps.capacity() * size_of::<Step>()
            + self.toggles.capacity() * size_of::<Toggle>()
    }

    /// The zones of the look at `place`, if it has any.
    #[inline]
    pub(crate) fn of(&self, place: u32) -> Option<ZonesOf<'_>> {
        let zones = self.list.get(place as usize)?;
        let bounds = self.bounds.get(range(zones.first_bound, zones.bounds)).unwrap_or_default();
        Some(ZonesOf { bounds, rows: zones.rows })
    }

    /// Makes the zones of a look of these tests, in a group of so many members. Returns its place; `u32::MAX` if it compares with no numbers,
    /// or zones can't say what its tests say.
    pub(crate) fn add(
        &mut self,
        (conditions, texts): (&Conditions, &str),
        tests: &[LookTest],
        (members, none): (u32, u32),
        bits: &mut AllRows,
        scratch: &mut ZoneScratch,
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
        if bounds.is_empty() {
            return u32::MAX;
        }
        let (words, zones) = (words_of(members), bounds.len() * 2 + 1);
        let each_said = |tell: &mut dyn FnMut(&LookTest, RangeInclusive<usize>, Truth)| {
            for test in tests {
                let Some(predicate) = predicate(test) else { continue };
                say((conditions, texts, bounds), predicate, &mut |among, truth| tell(test, among, truth));
            }
        };
        let rows = if zones * words * 2 <= (FEW * 2).max(members as usize * WORDS_PER_MEMBER) {
            let first_row = bits.add_words(zones * words * 2);
            each_said(&mut |test, among, truth| {
                for zone in among {
                    let row = first_row + (zone * 2 * words) as u32;
                    if truth == Truth::True {
                        bits.unite(members, test.passes, row);
                    }
                    if truth != Truth::False {
                        bits.unite(members, test.bars, row + words as u32);
                    }
                }
            });
            Some(RowsOf::Each { first_row, words: words as u32 })
        } else {
            scratch.turns.clear();
            let turns_max = if members <= Toggle::MEMBERS_MAX { members as usize * TURNS_PER_MEMBER } else { 0 };
            each_said(&mut |test, among, truth| {
                // One list of thousands of numbers, shared by as many routes, has millions.
                if scratch.turns.len() <= turns_max {
                    scratch.note(bits, members, test, &among, truth);
                }
            });
            (scratch.turns.len() <= turns_max).then(|| self.add_steps(zones as u32, (members, none), bits, scratch))
        };
        let Some(rows) = rows else {
            self.bounds.truncate(first);
            return u32::MAX;
        };
        let (first_bound, bounds) = (first as u32, (self.bounds.len() - first) as u32);
        self.list.push(Zones { first_bound, bounds, rows });
        self.list.len() as u32 - 1
    }

    /// Goes over the zones from the lowest number to the highest, and notes for each how it differs from the row that was kept last.
    fn add_steps(
        &mut self,
        zones: u32,
        (members, none): (u32, u32),
        bits: &mut AllRows,
        scratch: &mut ZoneScratch,
    ) -> RowsOf {
        let ZoneScratch { turns, times } = scratch;
        turns.sort_unstable();
        times.clear();
        times.resize(members as usize * 2, 0);
        let first = self.steps.len() as u32;
        let mut rest = turns.as_slice();
        let mut step = Step { passes: none, bars: none, first_toggle: self.toggles.len() as u32, toggles: 0 };
        for zone in 0..zones {
            let here = rest.partition_point(|(from, ..)| *from <= zone);
            let (changed, later) = rest.split_at_checked(here).unwrap_or((rest, &[]));
            rest = later;
            let before = self.toggles.len();
            for same in changed.chunk_by(|(_, a, _), (_, b, _)| a == b) {
                let Some((_, toggle, _)) = same.first() else { continue };
                let Some(times) = times.get_mut(usize::from(toggle.0)) else { continue };
                let was_in = *times > 0;
                *times += same.iter().map(|(.., turn)| turn).sum::<i32>();
                if was_in != (*times > 0) {
                    self.toggles.push(*toggle);
                }
            }
            step.toggles = self.toggles.len() as u32 - step.first_toggle;
            if step.toggles as usize > TOGGLES_MAX {
                self.toggles.truncate(before);
                let is_in = |toggle: Toggle| times.get(usize::from(toggle.0)).is_some_and(|times| *times > 0);
                let mut row_of = |is_of_bars: bool| {
                    let row = bits.add(members);
                    let those = (0..members).filter(|member| is_in(Toggle::new(*member, is_of_bars)));
                    those.for_each(|member| bits.set(row, member));
                    bits.pack(members, row)
                };
                step = Step { passes: row_of(false), bars: row_of(true), first_toggle: before as u32, toggles: 0 };
            }
            self.steps.push(step);
        }
        RowsOf::Steps { first }
    }
}

impl ZoneScratch {
    /// Notes for whom it makes a difference what a test says among some zones.
    fn note(&mut self, bits: &AllRows, members: u32, test: &LookTest, among: &RangeInclusive<usize>, truth: Truth) {
        let mut note = |row: u32, is_of_bars: bool| {
            bits.each(members, row, &mut |member| {
                let toggle = Toggle::new(member, is_of_bars);
                self.turns.push((*among.start() as u32, toggle, 1));
                self.turns.push((*among.end() as u32 + 1, toggle, -1));
            });
        };
        if truth == Truth::True {
            note(test.passes, false);
        }
        if truth != Truth::False {
            note(test.bars, true);
        }
    }
}

/// Tells what a predicate says of the numbers of which zones, if it is not false.
fn say(
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
        Test::Prefix(_) | Test::Suffix(_) | Test::Contains(_) | Test::Wildcard(_) | Test::Cidr(_) | Test::Share(_) => {}
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
