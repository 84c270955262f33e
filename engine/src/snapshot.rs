//! The one seam between the slow path and the hot path: whole route tables go in, and a router takes one per round.
//!
//! A router looks at a version counter once per round, in which it dispatches a batch or, when that has to wait for room, a part of
//! one. It fetches the new table from behind its lock only when the counter has moved. No lock-free pointer is needed for that, and who
//! still uses which table stays provable: every router says which generation it has adopted, and a table is taken apart only when
//! nobody else holds it.

use crate::lookups::Sources;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use veltrix_route_table::{RouteMapVersion, RouteTable};

/// A route table in force, with the name that it is known by.
#[derive(Debug)]
pub struct Snapshot {
    /// The number that its deliveries carry.
    pub version: RouteMapVersion,
    /// SHA-256 of the RouteMap.
    pub sha256: [u8; 32],
    /// Who gets what.
    pub table: RouteTable,
    /// Where its lookups are made.
    pub(crate) lookups: Sources,
}

/// Where snapshots are published and read.
#[derive(Debug, Default)]
pub struct Published {
    /// Counts publications; 0 before the first. Readers compare it with what they have.
    generation: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Snapshot>>,
    /// What each reader has adopted; `None` once it is gone.
    readers: Vec<Option<u64>>,
}

impl State {
    /// What the reader at `place` has adopted.
    fn note(&mut self, place: usize, adopted: Option<u64>) {
        if let Some(reader) = self.readers.get_mut(place) {
            *reader = adopted;
        }
    }
}

impl Published {
    /// Makes `next` what every reader takes for its next round. It is complete, so that nobody can see half of it.
    /// Returns its generation and the snapshot before it.
    pub fn publish(&self, next: Snapshot) -> (u64, Option<Arc<Snapshot>>) {
        let mut state = self.state.lock();
        let before = state.current.replace(Arc::new(next));
        // Under the lock, so that a reader that sees the new number finds the new snapshot.
        let generation = self.generation.fetch_add(1, Ordering::Release) + 1;
        self.changed.notify_all();
        (generation, before)
    }

    /// The snapshot in force.
    pub fn current(&self) -> Option<Arc<Snapshot>> {
        self.state.lock().current.clone()
    }

    /// Waits for the first publication. False if there was none within `timeout`.
    pub fn wait_for_first(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.current.is_none() && !self.changed.wait_until(&mut state, deadline).timed_out() {}
        state.current.is_some()
    }

    /// A new reader; `None` before the first publication.
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.state.lock();
        let snapshot = state.current.clone()?;
        let seen = self.generation.load(Ordering::Acquire);
        let place = state.readers.iter().position(Option::is_none).unwrap_or_else(|| {
            state.readers.push(None);
            state.readers.len() - 1
        });
        state.note(place, Some(seen));
        Some(Reader { published: Arc::clone(self), snapshot, seen, place })
    }

    /// Waits until every reader has adopted `generation` or a later one, or is gone. False if `timeout` was too short for that.
    pub fn wait_until_adopted(&self, generation: u64, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        while state.readers.iter().flatten().any(|adopted| *adopted < generation) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return !state.readers.iter().flatten().any(|adopted| *adopted < generation);
            }
        }
        true
    }
}

/// A router's view of the published snapshots.
#[derive(Debug)]
pub struct Reader {
    published: Arc<Published>,
    snapshot: Arc<Snapshot>,
    seen: u64,
    place: usize,
}

impl Reader {
    /// The snapshot for the next round, and whether it is another one than the last time. One atomic load, if it is not.
    #[inline]
    pub fn pin(&mut self) -> (&Snapshot, bool) {
        let is_new = self.published.generation.load(Ordering::Acquire) != self.seen;
        if is_new {
            self.adopt();
        }
        (&self.snapshot, is_new)
    }

    /// The snapshot that was pinned last.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    #[cold]
    fn adopt(&mut self) {
        let mut state = self.published.state.lock();
        if let Some(current) = &state.current {
            self.snapshot = Arc::clone(current);
        }
        self.seen = self.published.generation.load(Ordering::Acquire);
        state.note(self.place, Some(self.seen));
        self.published.changed.notify_all();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.published.state.lock().note(self.place, None);
        self.published.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use veltrix_route_table::Compiler;

    /// Lets readers go when the test is over, whichever way it ends: the scope waits for them.
    struct StopAtEnd<'s>(&'s AtomicBool);

    impl Drop for StopAtEnd<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    fn snapshot(version: u64) -> Snapshot {
        Snapshot {
            version: RouteMapVersion::from_wire(version).unwrap(),
            sha256: [version as u8; 32],
            table: Compiler::new().compile(crate::EMBEDDED_ROUTES).unwrap(),
            lookups: Sources::default(),
        }
    }

    #[test]
    fn there_is_no_reader_before_the_first_snapshot() {
        let published = Arc::new(Published::default());
        assert!(published.reader().is_none());
        published.publish(snapshot(1));
        assert!(published.reader().is_some());
    }

    #[test]
    fn a_round_keeps_its_snapshot_while_a_new_one_is_published() {
        let published = Arc::new(Published::default());
        published.publish(snapshot(1));
        let mut reader = published.reader().unwrap();
        let (pinned, is_new) = reader.pin();
        assert!(!is_new);
        let (generation, before) = published.publish(snapshot(2));
        assert_eq!(pinned.version.get(), 1);
        assert!(Arc::try_unwrap(before.unwrap()).is_err(), "the reader still has it");
        assert!(!published.wait_until_adopted(generation, Duration::ZERO));
        let (pinned, is_new) = reader.pin();
        assert_eq!((pinned.version.get(), is_new), (2, true));
        assert!(published.wait_until_adopted(generation, Duration::ZERO));
    }

    #[test]
    fn a_reader_that_is_gone_holds_nobody_up() {
        let published = Arc::new(Published::default());
        published.publish(snapshot(1));
        let reader = published.reader().unwrap();
        let (generation, before) = published.publish(snapshot(2));
        drop(reader);
        assert!(published.wait_until_adopted(generation, Duration::ZERO));
        assert!(Arc::try_unwrap(before.unwrap()).is_ok());
    }

    #[test]
    fn readers_never_go_back_and_never_see_a_mix() {
        let published = Arc::new(Published::default());
        published.publish(snapshot(1));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _stop = StopAtEnd(&stop);
            for _ in 0..2 {
                let mut reader = published.reader().unwrap();
                let stop = &stop;
                scope.spawn(move || {
                    let mut last = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let (pinned, _) = reader.pin();
                        let version = pinned.version.get();
                        assert!(version >= last);
                        assert_eq!(pinned.sha256[0], version as u8);
                        last = version;
                    }
                });
            }
            let mut before = Vec::new();
            for version in 2..2_000 {
                let (generation, old) = published.publish(snapshot(version));
                before.extend(old);
                if version % 100 == 0 {
                    assert!(published.wait_until_adopted(generation, Duration::from_secs(60)));
                    assert!(before.drain(..).all(|old| Arc::try_unwrap(old).is_ok()));
                }
            }
        });
    }
}
