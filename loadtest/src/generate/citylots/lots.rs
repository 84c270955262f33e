//! The lots of the city: MAPBLKLOT, in order.
//!
//! The numbers that a published benchmark looks for, exactly or by wildcard, occur as often as it asserts; an ordinary lot matches
//! none of its wildcards.

use super::super::rng::Rng;
use super::RECORDS;

/// What the benchmark's exact rules look for, and how often it is there.
const NAMED: [(&str, usize); 5] =
    [("1430022", 1), ("2607117", 101), ("2607218", 35), ("3745012", 655), ("VACSTWIL", 1)];
/// Blocks of which a benchmark asserts the number of lots; of the last two together with another column.
const BLOCKS: [(&str, usize); 3] = [("3027A", 59), ("2183", 27), (BLOCK_OF_STREETS, 527)];
/// Its lots all lie at a "ST".
pub(super) const BLOCK_OF_STREETS: &str = "3789";
/// Its lots all have an even number.
pub(super) const BLOCK_OF_EVENS: &str = "2183";

/// [`RECORDS`] lots, sorted.
pub(super) fn lots(rng: &mut Rng) -> Vec<String> {
    let mut quotas: Vec<(String, usize)> = NAMED.iter().map(|(lot, count)| (lot.to_string(), *count)).collect();
    quotas.extend(wildcard_lots().into_iter().map(|lot| (lot, 1)));
    for (block, count) in BLOCKS {
        let lots = (1..).map(|lot| format!("{block}{lot:03}")).filter(|lot| !is_wanted(lot));
        quotas.extend(lots.take(count).map(|lot| (lot, 1)));
    }
    let left = RECORDS - quotas.iter().map(|(_, count)| count).sum::<usize>();
    ordinary_lots(rng, left, &mut quotas);
    quotas.sort();
    quotas.into_iter().flat_map(|(lot, count)| std::iter::repeat_n(lot, count)).collect()
}

/// Lots that one of the benchmark's wildcards matches, each once.
fn wildcard_lots() -> Vec<String> {
    let mut lots: Vec<String> = (0..489)
        .map(|i| (i % 10, format!("143{}{:03}", i % 10, 1 + i / 10)))
        .map(|(i, lot)| if lot == "1430022" || lot.ends_with("218") { format!("143{i}900") } else { lot })
        .collect();
    let wide = (0..).map(|i| format!("2{}0{}1{}7", 1 + i % 9, (i / 9) % 9, (i / 81) % 10));
    lots.extend(wide.filter(|lot| lot != "2607117").take(612));
    lots.extend((0..8).map(|i| format!("10{}{i}218", 2 + i)));
    let odd = (0..).map(|i| format!("3{}5{:03}2", i % 9, (i / 9) % 1000));
    lots.extend(odd.filter(|lot| !lot.ends_with("218") && lot != "3745012").take(1_885));
    lots
}

/// Block by block; some lots are stacks of condominiums, many records with one number.
fn ordinary_lots(rng: &mut Rng, mut left: usize, quotas: &mut Vec<(String, usize)>) {
    for block in (1u32..).map(|block| 1 + (block * 3) % 7_999) {
        if [3_027, 2_183, 3_789].contains(&block) || (1_430..1_440).contains(&block) {
            continue;
        }
        for lot in 1..=20 + rng.below(60) {
            let annex = if rng.below(40) == 0 { "A" } else { "" };
            let lot = format!("{block:04}{lot:03}{annex}");
            if is_wanted(&lot) {
                continue;
            }
            let stack = if rng.below(60) == 0 { 2 + rng.below(60) as usize } else { 1 }.min(left);
            quotas.push((lot, stack));
            left -= stack;
            if left == 0 {
                return;
            }
        }
    }
}

/// Whether one of the benchmark's wildcards matches.
fn is_wanted(lot: &str) -> bool {
    ["143*", "2*0*1*7", "*218", "3*5*2", "VA*IL"].iter().any(|glob| matches(glob.as_bytes(), lot.as_bytes()))
}

fn matches(glob: &[u8], text: &[u8]) -> bool {
    match glob.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((byte, rest)) => text.split_first().is_some_and(|(first, text)| first == byte && matches(rest, text)),
    }
}

/// The block and the lot that a MAPBLKLOT is made of.
pub(super) fn block_and_lot(lot: &str) -> (&str, &str) {
    lot.split_at(if lot.starts_with("3027A") { 5 } else { 4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_lots_occur_as_often_as_published_and_all_lots_of_wildcards_are_wanted() {
        let lots = lots(&mut Rng::new(1));
        assert_eq!(lots.len(), RECORDS);
        for (named, count) in NAMED {
            assert_eq!(lots.iter().filter(|lot| *lot == named).count(), count, "{named}");
        }
        assert!(wildcard_lots().iter().all(|lot| is_wanted(lot)));
    }
}
