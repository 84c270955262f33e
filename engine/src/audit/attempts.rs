//! What arrived of one event, and what is wrong with it.

use super::tables::Mask;

/// The deliveries of one event by one version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) version: u64,
    pub(super) expected: Mask,
    pub(super) seen: Mask,
}

/// One event of the window. Most have no attempt or one; the others have more of them in `Audit::more`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    pub(super) first: Option<Attempt>,
    pub(super) has_more: bool,
}

/// What an event has besides its first attempt, or a whole event that was judged faulty.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempts {
    pub(super) attempts: Vec<Attempt>,
    /// Deliveries that arrived without a version to hold them against.
    pub(super) loose: Mask,
    /// Where it should have arrived, if it arrived nowhere.
    pub(super) nowhere: Mask,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) lost: u64,
    pub(super) torn: bool,
}

impl Attempts {
    pub(super) fn faults(&self) -> Faults {
        let Some(newest) = self.attempts.iter().max_by_key(|attempt| attempt.version) else {
            return Faults { lost: u64::from((self.nowhere & !self.loose).count_ones()), torn: false };
        };
        if newest.expected & !newest.seen & !self.loose == 0 {
            return Faults::default();
        }
        let arrived = self.arrived();
        Faults { lost: u64::from((newest.expected & !arrived).count_ones()), torn: self.attempts.len() > 1 }
    }

    /// Whether nothing is missing of its newest attempt. False for an event that arrived nowhere.
    pub(super) fn is_complete(&self) -> bool {
        !self.attempts.is_empty() && self.faults() == Faults::default()
    }

    pub(super) fn arrived(&self) -> Mask {
        self.attempts.iter().fold(self.loose, |arrived, attempt| arrived | attempt.seen)
    }

    /// Whether the destination had it already.
    pub(super) fn add(&mut self, version: u64, expected: Mask, bit: Mask) -> bool {
        let again = self.arrived() & bit != 0;
        match self.attempts.iter_mut().find(|attempt| attempt.version == version) {
            Some(attempt) => attempt.seen |= bit,
            None => self.attempts.push(Attempt { version, expected, seen: bit }),
        }
        again
    }
}
