//! What can happen a thousand times a second, and is told the log now and then, with how often it has happened.

use std::time::{Duration, Instant};

/// Counts what is to be told, and when it was told last.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    count: u64,
    told: Option<Instant>,
}

impl Seldom {
    /// It has happened.
    pub(crate) fn note(&mut self) {
        self.count += 1;
    }

    /// How often since it was told last, which is told now. `None`: never since, or the last time is not yet `every` ago.
    pub(crate) fn tell(&mut self, every: Duration, now: Instant) -> Option<u64> {
        if self.count == 0 || self.told.is_some_and(|told| now.duration_since(told) < every) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_at_intervals_with_its_number() {
        let (mut seldom, begin) = (Seldom::default(), Instant::now());
        let mut tell = |noted: usize, after: u64| {
            (0..noted).for_each(|_| seldom.note());
            seldom.tell(Duration::from_secs(10), begin + Duration::from_secs(after))
        };
        assert_eq!(
            [tell(0, 0), tell(1, 1)],
            [None, Some(1)],
            "what has not happened does not keep the first from being told"
        );
        assert_eq!([tell(2, 10), tell(1, 11), tell(0, 30), tell(1, 31)], [None, Some(3), None, Some(1)]);
    }
}
