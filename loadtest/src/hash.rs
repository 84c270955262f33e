//! The hash by which answers are compared: equal for equal answers, whatever the order of matches, in every driver's language.

/// FNV-1a of 64 bits.
pub(crate) struct Fnv1a;

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

impl Fnv1a {
    pub(crate) fn of(bytes: &[u8]) -> u64 {
        Fnv1a::more(BASIS, bytes)
    }

    fn more(hash: u64, bytes: &[u8]) -> u64 {
        bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
    }
}

/// FNV-1a of bytes that come in parts.
#[cfg(test)]
pub(crate) struct Rolling(u64);

#[cfg(test)]
impl Default for Rolling {
    fn default() -> Self {
        Rolling(BASIS)
    }
}

#[cfg(test)]
impl Rolling {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = Fnv1a::more(self.0, bytes);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0
    }
}

/// The hash of all matches: the wrapping sum of FNV-1a over "event:rule", events numbered from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AnswerHash(u64);

impl AnswerHash {
    /// Adds one event's matches.
    pub(crate) fn add<'a>(&mut self, event: usize, rules: impl Iterator<Item = &'a str>) {
        let event = Fnv1a::of(format!("{event}:").as_bytes());
        for rule in rules {
            self.0 = self.0.wrapping_add(Fnv1a::more(event, rule.as_bytes()));
        }
    }
}

impl std::fmt::Display for AnswerHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_1a_is_that_of_its_authors() {
        // From the test vectors of the FNV authors.
        assert_eq!(Fnv1a::of(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(Fnv1a::of(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(Fnv1a::of(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn an_answer_is_the_sum_over_event_colon_rule() {
        let mut answer = AnswerHash::default();
        answer.add(0, ["r1", "r2"].into_iter());
        answer.add(17, ["r0"].into_iter());
        let by_hand = Fnv1a::of(b"0:r1").wrapping_add(Fnv1a::of(b"0:r2")).wrapping_add(Fnv1a::of(b"17:r0"));
        assert_eq!(answer.to_string(), format!("{by_hand:016x}"));
    }

    #[test]
    fn the_order_of_matches_does_not_count_but_the_event_does() {
        let of = |matches: &[(usize, &str)]| {
            let mut answer = AnswerHash::default();
            matches.iter().for_each(|(event, rule)| answer.add(*event, [*rule].into_iter()));
            answer
        };
        assert_eq!(of(&[(1, "a"), (1, "b")]), of(&[(1, "b"), (1, "a")]));
        assert_ne!(of(&[(1, "a"), (2, "b")]), of(&[(1, "b"), (2, "a")]));
    }
}
