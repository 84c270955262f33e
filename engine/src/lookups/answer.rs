//! What can be an answer, wherever it comes from: JSON, up to a length. Only what can is handed to route tables, so that an event whose
//! answer can't be read is told why.

use super::SAY_EVERY;
use crate::seldom::Seldom;
use std::time::Instant;
use veltrix_route_table::json::{self, Malformed};
use veltrix_route_table::limits::LOOKUP_ANSWER_BYTES;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("the answer has {found} bytes; the limit `{}` is {}", LOOKUP_ANSWER_BYTES.name, LOOKUP_ANSWER_BYTES.max)]
    TooLong { found: usize },
    #[error("the answer is no JSON: {0}")]
    NoJson(#[source] Malformed),
}

pub(super) fn check(answer: &[u8]) -> Result<(), Unfit> {
    if answer.len() as u64 > LOOKUP_ANSWER_BYTES.max {
        return Err(Unfit::TooLong { found: answer.len() });
    }
    json::validate(answer).map_err(Unfit::NoJson)
}

/// The answers of a table that can't be read: how many, and which came first.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    /// Of those since they were told last; empty if there are none.
    first: String,
    log: Seldom,
}

impl Unreadable {
    /// `place` says where it is.
    pub(super) fn note(&mut self, place: impl FnOnce() -> String, why: Unfit) {
        if self.first.is_empty() {
            self.first = format!("{}: {why}", place());
        }
        self.log.note();
    }

    /// How many there are since they were told last, and the first of them; `None`: there are none, or the last time is not long ago.
    fn told(&mut self) -> Option<(u64, String)> {
        let count = self.log.tell(SAY_EVERY, Instant::now())?;
        Some((count, std::mem::take(&mut self.first)))
    }

    /// Tells the log of those since the last time, in one line.
    pub(super) fn say(&mut self, lookup: &str) {
        if let Some((count, first)) = self.told() {
            tracing::warn!(
                lookup,
                count,
                "the reference table has answers that can't be read; lookups of their keys fail; the first is {first}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_json_of_a_length_that_is_allowed() {
        assert_eq!(check(b"{\"tier\": \"gold\"}"), Ok(()));
        for (answer, why) in [
            (&b"{\"tier\":\"gold\xff\"}"[..], "the answer is no JSON: byte 13"),
            (b"", "the answer is no JSON"),
            (b"{} {}", "the answer is no JSON"),
        ] {
            assert!(check(answer).unwrap_err().to_string().starts_with(why), "{answer:?}: {:?}", check(answer));
        }
        assert!(check("[".repeat(1_025).as_bytes()).unwrap_err().to_string().contains("payload_depth"));
        let longest = "1".repeat(LOOKUP_ANSWER_BYTES.max as usize);
        assert_eq!(check(longest.as_bytes()), Ok(()));
        let why = check(format!("{longest}1").as_bytes()).unwrap_err().to_string();
        assert_eq!(why, "the answer has 1048577 bytes; the limit `lookup_answer_bytes` is 1048576");
    }

    #[test]
    fn answers_that_cant_be_read_are_told_together_by_their_number_and_the_first() {
        let mut unreadable = Unreadable::default();
        assert_eq!(unreadable.told(), None);
        unreadable.note(|| "line 7".to_owned(), Unfit::TooLong { found: 2_000_000 });
        unreadable.note(|| unreachable!("only the first is told"), Unfit::TooLong { found: 3_000_000 });
        let (count, first) = unreadable.told().unwrap();
        assert_eq!(count, 2);
        assert!(first.starts_with("line 7: the answer has 2000000 bytes"), "{first}");
        assert_eq!(unreadable.told(), None);
        unreadable.note(|| "line 9".to_owned(), Unfit::TooLong { found: 2_000_000 });
        assert_eq!(unreadable.told(), None, "it waits, and the log is not filled");
        assert!(unreadable.first.starts_with("line 9"), "{}", unreadable.first);
    }
}
