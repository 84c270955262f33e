//! Shares: parts of all values that are the same ones on every engine and in every version.
//!
//! How a value's place is found is part of the contract and said in `route_map.proto`, so that others can find it, too: it can't be
//! changed any more.

use crate::table::Text;
use crate::value::number::Number;
use std::hash::Hasher as _;
use twox_hash::XxHash64;

/// How many places there are.
pub(crate) const PLACES: u32 = 10_000;

/// A range of places in the order that a salt puts values into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) salt: Text,
    seed: u64,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Share {
    /// `salt` is where the text `salt_text` is kept.
    pub(crate) fn new(salt: Text, salt_text: &str, from: u32, to: u32) -> Share {
        Share { salt, seed: XxHash64::oneshot(0, salt_text.as_bytes()), from, to }
    }

    #[inline]
    pub(crate) fn has_text(&self, text: &[u8]) -> bool {
        (self.from..self.to).contains(&self.place_of_text(text))
    }

    pub(crate) fn has_number(&self, number: &Number<'_>) -> bool {
        (self.from..self.to).contains(&self.place_of_number(number))
    }

    #[inline]
    pub(crate) fn place_of_text(&self, text: &[u8]) -> u32 {
        place(XxHash64::oneshot(self.seed, text))
    }

    pub(crate) fn place_of_number(&self, number: &Number<'_>) -> u32 {
        let mut hasher = XxHash64::with_seed(self.seed);
        number.spell(&mut |part| hasher.write(part));
        place(hasher.finish())
    }
}

#[inline]
fn place(hash: u64) -> u32 {
    ((u128::from(hash) * u128::from(PLACES)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::{PLACES, Share};
    use crate::table::Text;
    use crate::value::number::Number;
    use twox_hash::XxHash64;

    fn share(salt: &str, from: u32, to: u32) -> Share {
        Share::new(Text::default(), salt, from, to)
    }

    #[test]
    fn the_hash_is_xxh64_as_it_was_published() {
        for (text, hash) in [
            ("", 0xef46_db37_51d8_e999),
            ("a", 0xd24e_c4f1_a98c_6e5b),
            ("abc", 0x44bc_2cf5_ad77_0999),
            ("Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
        ] {
            assert_eq!(XxHash64::oneshot(0, text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn values_have_the_places_that_the_contract_names() {
        // As in the comment of `Share` in route_map.proto.
        for (salt, value, place) in [
            ("new-flow", "player-7", 759),
            ("new-flow", "player-8", 8326),
            ("another", "player-7", 4831),
            ("new-flow", "", 5058),
            ("new-flow", "42", 2398),
            ("new-flow", "15e-1", 5585),
        ] {
            let has = |from, to| share(salt, from, to).has_text(value.as_bytes());
            assert!(has(place, place + 1) && has(0, PLACES), "{value}");
            assert!(!has(0, place) && !has(place + 1, PLACES), "{value}");
        }
    }

    #[test]
    fn a_number_has_the_place_of_the_text_that_the_contract_spells_it_with() {
        for (written, spelled) in [("42", "42"), ("4.20e1", "42"), ("1.50", "15e-1"), ("0.015e2", "15e-1")] {
            let number = Number::parse(written.as_bytes()).unwrap();
            for from in (0..PLACES).step_by(100) {
                let share = share("new-flow", from, from + 100);
                assert_eq!(share.has_number(&number), share.has_text(spelled.as_bytes()), "{written} from {from}");
            }
        }
    }

    #[test]
    fn a_share_grows_by_values_and_loses_none() {
        let [small, large] = [1_000, 2_000].map(|to| share("growing", 0, to));
        let keys: Vec<String> = (0..2_000).map(|number| format!("player-{number}")).collect();
        assert!(keys.iter().all(|key| !small.has_text(key.as_bytes()) || large.has_text(key.as_bytes())));
        assert!(keys.iter().any(|key| !small.has_text(key.as_bytes()) && large.has_text(key.as_bytes())));
    }

    #[test]
    fn shares_have_as_many_values_as_they_say_and_those_of_two_salts_have_nothing_to_do_with_each_other() {
        const KEYS: u32 = 100_000;
        let near = |count: u32, expected: u32| {
            // Six standard deviations of a fair choice.
            let part = f64::from(expected) / f64::from(KEYS);
            let allowed = 6.0 * (f64::from(KEYS) * part * (1.0 - part)).sqrt();
            assert!((f64::from(count) - f64::from(expected)).abs() < allowed, "{count} instead of {expected}");
        };
        for key in
            [|n: u32| format!("player-{n}"), |n: u32| n.to_string(), |n: u32| format!("{:032x}", u128::from(n) << 64)]
        {
            let count = |is_in: &dyn Fn(&[u8]) -> bool| (0..KEYS).filter(|n| is_in(key(*n).as_bytes())).count() as u32;
            for from in (0..PLACES).step_by(1_000) {
                let tenth = share("tenths", from, from + 1_000);
                near(count(&|key| tenth.has_text(key)), KEYS / 10);
            }
            let (one, other) = (share("one", 0, 5_000), share("other", 0, 5_000));
            near(count(&|key| one.has_text(key) && other.has_text(key)), KEYS / 4);
        }
    }
}
