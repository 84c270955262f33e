//! The signal that ends routers: once given, with the time until which they may finish what is under way.

use parking_lot::{Condvar, Mutex};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(crate) struct Stop {
    deadline: OnceLock<Instant>,
    lock: Mutex<()>,
    given: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    No,
    Until(Instant),
}

impl Stop {
    /// Gives the signal. A second one changes nothing.
    pub(crate) fn stop(&self, grace: Duration) {
        let _first = self.deadline.set(Instant::now() + grace);
        let _guard = self.lock.lock();
        self.given.notify_all();
    }

    /// One load.
    pub(crate) fn state(&self) -> Stopping {
        self.deadline.get().map_or(Stopping::No, |deadline| Stopping::Until(*deadline))
    }

    /// Waits for `time`, or until the signal is given. True if it was.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut guard = self.lock.lock();
        while self.state() == Stopping::No && !self.given.wait_until(&mut guard, until).timed_out() {}
        self.state() != Stopping::No
    }
}
