//! Rows of bits: sets of the members of a group. The lowest bit is the group's first member.
//!
//! A row of a group of up to 64 members is one word. Of larger groups, a row in which few members are is kept as a list of these: most
//! tests are asked by few of the routes that are decided together, and what a table takes shall grow with the routes, not with their square.

/// All rows of a table.
#[derive(Debug, Default)]
pub(crate) struct AllRows {
    words: Vec<u64>,
}

/// Stands in the place of a row that is a list: of numbers of 16 bits, first how many members there are.
const LISTED: u32 = 1 << 31;
/// So many members a list has, at most.
const LISTED_MAX: usize = 15;
/// So many numbers of a list are in a word.
const NUMBERS: usize = 4;

impl AllRows {
    pub(crate) fn clear(&mut self) {
        self.words.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    #[cfg(test)]
    pub(crate) fn words(&self) -> usize {
        self.words.len()
    }

    /// Adds an empty row for so many members.
    pub(crate) fn add(&mut self, members: u32) -> u32 {
        self.add_words(words_of(members))
    }

    /// Adds an empty row, or several, of so many words.
    pub(crate) fn add_words(&mut self, words: usize) -> u32 {
        let at = self.words.len();
        self.words.resize(at + words, 0);
        at as u32
    }

    /// Adds a member to a row that is no list.
    pub(crate) fn set(&mut self, row: u32, member: u32) {
        if let Some(word) = self.words.get_mut(row as usize + member as usize / 64) {
            *word |= 1 << (member % 64);
        }
    }

    /// Adds the members of a row to another one, which is no list.
    pub(crate) fn unite(&mut self, members: u32, from: u32, to: u32) {
        if from & LISTED == 0 {
            for word in 0..words_of(members) {
                let bits = self.words.get(from as usize + word).copied().unwrap_or_default();
                if let Some(to) = self.words.get_mut(to as usize + word) {
                    *to |= bits;
                }
            }
            return;
        }
        let mut list = [0; LISTED_MAX];
        let mut count = 0;
        for (member, place) in self.listed(from).zip(&mut list) {
            (*place, count) = (member, count + 1);
        }
        list.iter().take(count).for_each(|member| self.set(to, *member as u32));
    }

    /// Tells the members of a row for so many.
    pub(crate) fn each(&self, members: u32, row: u32, tell: &mut impl FnMut(u32)) {
        if row & LISTED != 0 {
            return self.listed(row).for_each(|member| tell(member as u32));
        }
        let words = self.words.get(row as usize..).unwrap_or_default().iter().take(words_of(members));
        for (at, word) in (0..).zip(words) {
            let mut rest = *word;
            while rest != 0 {
                tell(at * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
    }

    /// Makes a list of the row that was added last, if that is shorter. Returns its place.
    pub(crate) fn pack(&mut self, members: u32, row: u32) -> u32 {
        let last = self.words.get(row as usize..).unwrap_or_default();
        let count = last.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        if words_of(members) < 2 || count > LISTED_MAX || count / NUMBERS + 1 >= words_of(members) {
            return row;
        }
        let mut list = [0u64; LISTED_MAX / NUMBERS + 1];
        let mut put = |place: usize, number: u64| {
            if let Some(word) = list.get_mut(place / NUMBERS) {
                *word |= number << (place % NUMBERS * 16);
            }
        };
        put(0, count as u64);
        let mut place = 0;
        self.each(members, row, &mut |member| {
            place += 1;
            put(place, member.into());
        });
        self.words.truncate(row as usize);
        self.words.extend_from_slice(list.get(..count / NUMBERS + 1).unwrap_or_default());
        row | LISTED
    }

    /// The members in a list.
    #[inline]
    fn listed(&self, row: u32) -> impl Iterator<Item = usize> {
        let words = self.words.get((row & !LISTED) as usize..).unwrap_or_default();
        let count = words.first().map_or(0, |word| *word as u16 as usize);
        let numbers = words.iter().flat_map(|word| (0..NUMBERS).map(move |place| (word >> (place * 16)) as u16));
        numbers.skip(1).take(count).map(usize::from)
    }

    #[inline]
    fn from(&self, row: u32) -> &[u64] {
        self.words.get(row as usize..).unwrap_or_default()
    }

    /// The word of a row of a small group.
    #[inline]
    fn word(&self, row: u32) -> u64 {
        self.words.get(row as usize).copied().unwrap_or_default()
    }
}

/// How many words a row for so many members takes.
pub(crate) fn words_of(members: u32) -> usize {
    (members as usize).div_ceil(64)
}

/// A set of a group's members that is at hand: in one word, or in as many as it takes.
pub(crate) trait Row {
    /// All members.
    fn fill(&mut self, members: u32);
    fn clear(&mut self);
    /// All but those in a row; and others that are no members.
    fn fill_without(&mut self, rows: &AllRows, row: u32);
    fn or(&mut self, rows: &AllRows, row: u32);
    /// Says whether anything is left.
    fn remove(&mut self, rows: &AllRows, row: u32) -> bool;
    fn and_row(&mut self, other: &Self) -> bool;
    fn and_without(&mut self, passed: &Self, barred: &Self) -> bool;
    fn or_without(&mut self, passed: &Self, barred: &Self);
    /// Takes a member in, or out if it is in.
    fn toggle(&mut self, member: u32);
    fn or_row(&mut self, other: &Self);
}

impl Row for u64 {
    #[inline]
    fn fill(&mut self, members: u32) {
        *self = u64::MAX >> (64 - members.clamp(1, 64));
    }

    #[inline]
    fn clear(&mut self) {
        *self = 0;
    }

    #[inline]
    fn fill_without(&mut self, rows: &AllRows, row: u32) {
        *self = !rows.word(row);
    }

    #[inline]
    fn or(&mut self, rows: &AllRows, row: u32) {
        *self |= rows.word(row);
    }

    #[inline]
    fn remove(&mut self, rows: &AllRows, row: u32) -> bool {
        *self &= !rows.word(row);
        *self != 0
    }

    #[inline]
    fn and_row(&mut self, other: &u64) -> bool {
        *self &= other;
        *self != 0
    }

    #[inline]
    fn and_without(&mut self, passed: &u64, barred: &u64) -> bool {
        *self &= passed & !barred;
        *self != 0
    }

    #[inline]
    fn or_without(&mut self, passed: &u64, barred: &u64) {
        *self |= passed & !barred;
    }

    #[inline]
    fn toggle(&mut self, member: u32) {
        *self ^= 1 << (member % 64);
    }

    #[inline]
    fn or_row(&mut self, other: &u64) {
        *self |= other;
    }
}

impl Row for &mut [u64] {
    fn fill(&mut self, members: u32) {
        let spare = self.len() * 64 - members as usize;
        <[u64]>::fill(self, u64::MAX);
        if let (Some(last), 1..) = (self.last_mut(), spare) {
            *last >>= spare;
        }
    }

    fn clear(&mut self) {
        <[u64]>::fill(self, 0);
    }

    fn fill_without(&mut self, rows: &AllRows, row: u32) {
        if row & LISTED == 0 {
            return self.iter_mut().zip(rows.from(row)).for_each(|(row, other)| *row = !other);
        }
        <[u64]>::fill(self, u64::MAX);
        remove_listed(self, rows, row);
    }

    fn or(&mut self, rows: &AllRows, row: u32) {
        if row & LISTED == 0 {
            return self.iter_mut().zip(rows.from(row)).for_each(|(row, other)| *row |= other);
        }
        for member in rows.listed(row) {
            if let Some(word) = self.get_mut(member / 64) {
                *word |= 1 << (member % 64);
            }
        }
    }

    fn remove(&mut self, rows: &AllRows, row: u32) -> bool {
        if row & LISTED == 0 {
            return is_any(self.iter_mut().zip(rows.from(row)), |row, other| row & !other);
        }
        remove_listed(self, rows, row);
        self.iter().fold(0, |left, word| left | word) != 0
    }

    fn and_row(&mut self, other: &Self) -> bool {
        is_any(self.iter_mut().zip(other.iter()), |row, other| row & other)
    }

    fn and_without(&mut self, passed: &Self, barred: &Self) -> bool {
        let others = passed.iter().zip(barred.iter());
        is_any(self.iter_mut().zip(others), |row, (passed, barred)| row & passed & !barred)
    }

    fn or_without(&mut self, passed: &Self, barred: &Self) {
        let rows = self.iter_mut().zip(passed.iter().zip(barred.iter()));
        rows.for_each(|(row, (passed, barred))| *row |= passed & !barred);
    }

    fn toggle(&mut self, member: u32) {
        if let Some(word) = self.get_mut(member as usize / 64) {
            *word ^= 1 << (member % 64);
        }
    }

    fn or_row(&mut self, other: &Self) {
        self.iter_mut().zip(other.iter()).for_each(|(row, other)| *row |= other);
    }
}

fn remove_listed(words: &mut [u64], rows: &AllRows, row: u32) {
    for member in rows.listed(row) {
        if let Some(word) = words.get_mut(member / 64) {
            *word &= !(1 << (member % 64));
        }
    }
}

/// Changes each word, and says whether anything is left.
#[inline]
fn is_any<'r, O>(words: impl Iterator<Item = (&'r mut u64, O)>, change: impl Fn(u64, O) -> u64) -> bool {
    let changed = words.map(|(word, other)| {
        *word = change(*word, other);
        *word
    });
    changed.fold(0, |left, word| left | word) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn members_of(row: &[u64]) -> BTreeSet<u32> {
        (0..row.len() as u32 * 64).filter(|member| row[*member as usize / 64] >> (member % 64) & 1 == 1).collect()
    }

    proptest! {
        #[test]
        fn a_row_says_the_same_as_a_list_and_whole(
            members in 1..300u32,
            sets in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..40), 1..6),
        ) {
            let mut rows = AllRows::default();
            for set in sets {
                let set: BTreeSet<u32> = set.into_iter().map(|index| index.index(members as usize) as u32).collect();
                let all: BTreeSet<u32> = (0..members).collect();
                let others = || all.difference(&set).copied().collect::<BTreeSet<u32>>();
                let row = rows.add(members);
                set.iter().for_each(|member| rows.set(row, *member));
                let row = rows.pack(members, row);
                prop_assert_eq!(row & LISTED != 0, set.len() <= LISTED_MAX && set.len() / 4 + 1 < words_of(members));
                let mut told = Vec::new();
                rows.each(members, row, &mut |member| told.push(member));
                prop_assert_eq!(told, set.iter().copied().collect::<Vec<u32>>());
                let copy = rows.add(members);
                rows.unite(members, row, copy);
                prop_assert_eq!(&members_of(&rows.words[copy as usize..]), &set);
                rows.words.truncate(copy as usize);
                if members <= 64 {
                    let mut small = 0;
                    small.fill_without(&rows, row);
                    let mut all = 0;
                    Row::fill(&mut all, members);
                    prop_assert_eq!(members_of(&[small & all]), others());
                    Row::or(&mut small, &rows, row);
                    prop_assert_eq!(small & all, all);
                    prop_assert_eq!(Row::remove(&mut all, &rows, row), set.len() < members as usize);
                    prop_assert_eq!(members_of(&[all]), others());
                    continue;
                }
                let mut words = vec![0; words_of(members)];
                let mut large = words.as_mut_slice();
                Row::fill(&mut large, members);
                prop_assert_eq!(Row::remove(&mut large, &rows, row), set.len() < members as usize);
                prop_assert_eq!(members_of(large), others());
                Row::clear(&mut large);
                Row::or(&mut large, &rows, row);
                prop_assert_eq!(&members_of(large), &set);
                large.fill_without(&rows, row);
                let mut expected = others();
                expected.extend(members..words_of(members) as u32 * 64);
                prop_assert_eq!(members_of(large), expected);
            }
        }
    }
}
