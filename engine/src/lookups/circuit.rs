//! When a service is taken for down, so that no event waits for it any more.
//!
//! Every call to a service that has died costs its whole timeout, and the events behind it wait as long. So after
//! [`FAILURES_IN_A_ROW`] the circuit opens: lookups fail at once, and mean what their routes say of a failure. Meanwhile the service
//! is asked by nobody but a probe, one call every [`PROBE_EVERY`], whether events come or not, and with the first thing that it says,
//! the circuit closes. No event waits for a probe: one that did would pay for all the others once more.
//!
//! What counts is whether the service answers, not what: one that has something against a key is alive, and nobody who can choose a
//! key can keep it from the others.

use parking_lot::Mutex;
use prometheus::IntGauge;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Failed calls, each of which began after the one before had failed, with no answer in between. Calls side by side count as one: a
/// service that is started anew lets all of them fail at once, and is there for the next ones. So it takes a service this many timeouts
/// to be taken for down, and more than one: what fails now and then must not make everything fail.
pub(super) const FAILURES_IN_A_ROW: u32 = 3;
/// Between two probes. As long as events fail at least after the service is back, and seldom enough to leave one in peace that has
/// trouble getting up: with 100 engines it is asked 100 times a second.
pub(super) const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Whether calls of one lookup are made.
#[derive(Debug)]
pub(super) struct Circuit {
    /// Of the lookup.
    id: String,
    state: Mutex<State>,
    /// Counts up while it is open, since the lookup of another map can have the same name.
    is_open: IntGauge,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
        /// When the last of them had failed.
        failed: Option<Instant>,
    },
    Open(Open),
}

#[derive(Debug)]
struct Open {
    since: Instant,
    /// Refused last, for the next probe: a key that can never be answered must not keep it open for the others.
    key: Box<[u8]>,
    why: Arc<str>,
}

/// A circuit that has just opened. Whoever gets it sees to probes, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening(Instant);

impl Circuit {
    pub(super) fn new(id: &str, is_open: IntGauge) -> Circuit {
        Circuit { id: id.to_owned(), state: Mutex::new(State::Closed { failures: 0, failed: None }), is_open }
    }

    /// Why the call for `key` is not made; `None`: it is.
    pub(super) fn refuses(&self, key: &[u8]) -> Option<Arc<str>> {
        match &mut *self.state.lock() {
            State::Closed { .. } => None,
            State::Open(open) => {
                if *open.key != *key {
                    open.key = key.into();
                }
                Some(Arc::clone(&open.why))
            }
        }
    }

    /// Notes that the service has said something.
    pub(super) fn answered(&self) {
        let before = std::mem::replace(&mut *self.state.lock(), State::Closed { failures: 0, failed: None });
        if let State::Open(open) = before {
            self.is_open.dec();
            let seconds = open.since.elapsed().as_secs();
            tracing::info!(lookup = self.id, seconds, "the service of the lookup answers again, and is asked again");
        }
    }

    /// Notes that a call for `key` has failed, which began at `began`. Whether that has opened it.
    pub(super) fn failed(&self, began: Instant, key: &[u8], why: &str) -> Option<Opening> {
        let mut state = self.state.lock();
        let State::Closed { failures, failed } = &mut *state else { return None };
        if failed.is_some_and(|failed| began < failed) {
            return None;
        }
        let now = Instant::now();
        (*failures, *failed) = (*failures + 1, Some(now));
        if *failures < FAILURES_IN_A_ROW {
            return None;
        }
        let told = format!("its service does not answer and is not asked until it does; the last call said: {why}");
        *state = State::Open(Open { since: now, key: key.into(), why: told.into() });
        drop(state);
        self.is_open.inc();
        tracing::warn!(
            lookup = self.id,
            failures = FAILURES_IN_A_ROW,
            "calls of the lookup have failed one after the other; its service is asked once a {PROBE_EVERY:?} until it answers, \
             and meanwhile the lookup fails at once: {why}"
        );
        Some(Opening(now))
    }

    /// What the next probe asks for; `None`: no more probes are needed.
    pub(super) fn probe(&self, opening: Opening) -> Option<Box<[u8]>> {
        match &*self.state.lock() {
            State::Open(open) if open.since == opening.0 => Some(open.key.clone()),
            _ => None,
        }
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        if let State::Open(_) = self.state.get_mut() {
            self.is_open.dec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circuit() -> Circuit {
        Circuit::new("player", IntGauge::new("open", "open").unwrap())
    }

    /// A call that begins now and fails.
    fn fail(circuit: &Circuit, key: &[u8]) -> Option<Opening> {
        circuit.failed(Instant::now(), key, "timed out")
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_with_the_first_answer() {
        let circuit = circuit();
        for _ in 0..3 {
            for _ in 1..FAILURES_IN_A_ROW {
                assert_eq!(fail(&circuit, b"a"), None);
            }
            circuit.answered();
        }
        for _ in 1..FAILURES_IN_A_ROW {
            assert_eq!(fail(&circuit, b"a"), None);
        }
        assert_eq!((circuit.refuses(b"b"), circuit.is_open.get()), (None, 0));
        let opening = fail(&circuit, b"a").unwrap();
        assert_eq!((circuit.probe(opening).as_deref(), circuit.is_open.get()), (Some(&b"a"[..]), 1));
        assert!(circuit.refuses(b"b").unwrap().contains("the last call said: timed out"));
        // Calls that were under way fail as well; and the next probe asks for what was asked for last.
        assert_eq!(fail(&circuit, b"c"), None);
        assert_eq!(circuit.probe(opening).as_deref(), Some(&b"b"[..]));
        circuit.answered();
        assert_eq!((circuit.probe(opening), circuit.refuses(b"b"), circuit.is_open.get()), (None, None, 0));
    }

    #[test]
    fn calls_side_by_side_that_fail_are_one_failure() {
        let circuit = circuit();
        let began = Instant::now();
        for _ in 0..10 * FAILURES_IN_A_ROW {
            assert_eq!(circuit.failed(began, b"a", "reset"), None);
        }
        for _ in 2..FAILURES_IN_A_ROW {
            assert_eq!(fail(&circuit, b"a"), None);
        }
        assert!(fail(&circuit, b"a").is_some());
    }

    #[test]
    fn one_that_is_gone_is_not_open_any_more() {
        let circuit = circuit();
        let gauge = circuit.is_open.clone();
        (0..FAILURES_IN_A_ROW).for_each(|_| {
            fail(&circuit, b"a");
        });
        assert_eq!(gauge.get(), 1);
        drop(circuit);
        assert_eq!(gauge.get(), 0);
    }
}
