//! What routing one event yields, and the memory that routing needs for it.

use crate::condition::Truth;
use crate::table::{DestinationIndex, RouteIndex, Unmatched, Unreadable};

/// Who gets an event. Made once per thread and reused for every event and every table.
#[derive(Debug)]
pub struct Deliveries {
    pub(crate) list: Vec<Delivery>,
    pub(crate) verdict: Verdict,
    pub(crate) undecided: Option<RouteIndex>,
    /// Per destination: where it stands in `list`, if its mark is of this event.
    pub(crate) listed: Vec<Listed>,
    pub(crate) memo: Memo,
}

/// One event for one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Where to.
    pub destination: DestinationIndex,
    /// The first route, in the order of the map, that sends the event there. `None`: no route did, and the map says that such
    /// events go to this destination.
    pub route: Option<RouteIndex>,
}

/// The outcome for an event as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one route wanted it, or could not be decided and asks for a dead letter.
    Routed,
    /// No route wanted it. [`Unmatched::Destination`] is already among the deliveries.
    Unmatched(Unmatched),
    /// Its type can't be told, so that no route could be asked. It belongs to the dead letters.
    Unreadable(Unreadable),
}

/// What holds until a table says otherwise. One that was never filled says nothing.
const NOBODY: Verdict = Verdict::Unmatched(Unmatched::Drop);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    mark: u32,
    at: u32,
}

/// What predicates yielded for this event. A mark tells this event's entries from those of events before it, so that nothing
/// has to be wiped in between.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    mark: u32,
    truths: Vec<(u32, Truth)>,
}

impl Memo {
    #[inline]
    pub(crate) fn get_or(&mut self, predicate: u32, test: impl FnOnce() -> Truth) -> Truth {
        match self.truths.get_mut(predicate as usize) {
            Some((mark, truth)) if *mark == self.mark => *truth,
            Some(entry) => {
                *entry = (self.mark, test());
                entry.1
            }
            None => test(),
        }
    }
}

impl Deliveries {
    /// Empty; grows to what the tables need that it is used with.
    pub fn new() -> Self {
        Deliveries { list: Vec::new(), verdict: NOBODY, undecided: None, listed: Vec::new(), memo: Memo::default() }
    }

    /// The deliveries, each destination once.
    pub fn list(&self) -> &[Delivery] {
        &self.list
    }

    /// The outcome as a whole.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The first route whose condition was absent and that asks for a dead letter then. The event's deliveries stand beside it.
    pub fn undecided(&self) -> Option<RouteIndex> {
        self.undecided
    }

    /// Forgets the event before. Allocates only when a table has more destinations or predicates than any before.
    #[inline]
    pub(crate) fn begin(&mut self, destinations: usize, predicates: usize) {
        self.list.clear();
        self.verdict = NOBODY;
        self.undecided = None;
        if self.listed.len() < destinations || self.memo.truths.len() < predicates || self.memo.mark == u32::MAX {
            self.regrow(destinations, predicates);
        }
        self.memo.mark += 1;
    }

    #[cold]
    fn regrow(&mut self, destinations: usize, predicates: usize) {
        self.memo.mark = 0;
        let (destinations, predicates) = (destinations.max(self.listed.len()), predicates.max(self.memo.truths.len()));
        self.listed.clear();
        self.listed.resize(destinations, Listed::default());
        self.list.reserve(destinations);
        self.memo.truths.clear();
        self.memo.truths.resize(predicates, (0, Truth::False));
    }

    #[inline]
    pub(crate) fn add(&mut self, destination: DestinationIndex, route: RouteIndex) {
        let delivery = Delivery { destination, route: Some(route) };
        let Some(listed) = self.listed.get_mut(usize::from(destination.0)) else { return };
        if listed.mark == self.memo.mark {
            if let Some(earlier) = self.list.get_mut(listed.at as usize) {
                earlier.route = earlier.route.min(Some(route));
            }
            return;
        }
        *listed = Listed { mark: self.memo.mark, at: self.list.len() as u32 };
        self.list.push(delivery);
    }
}

impl Default for Deliveries {
    fn default() -> Self {
        Deliveries::new()
    }
}
