//! The tables that the judge recomputes by, with what it needs beside each.

use std::collections::VecDeque;
use std::sync::Arc;
use veltrix_route_table::{Answers, Deliveries, Event, RouteTable, Verdict};

/// Which tables there were. Asked by the audit's thread, while others publish tables.
pub trait Tables {
    /// The table of a version; `None` if there is no such version, or not yet.
    fn table(&self, version: u64) -> Option<Arc<RouteTable>>;

    /// The newest version that an engine can be routing by.
    fn newest(&self) -> u64;

    /// What a lookup of this id finds under `key`; `None`: nothing. It has to be the same throughout an audit, and an answer that the
    /// engine does not get in time passes for a fault of it.
    fn look_up(&self, _lookup: &str, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

impl<T: Tables + ?Sized> Tables for Arc<T> {
    fn table(&self, version: u64) -> Option<Arc<RouteTable>> {
        (**self).table(version)
    }

    fn newest(&self) -> u64 {
        (**self).newest()
    }

    fn look_up(&self, lookup: &str, key: &[u8]) -> Option<Vec<u8>> {
        (**self).look_up(lookup, key)
    }
}

/// Destinations of an audit, one bit each, by the place of their topic.
pub(super) type Mask = u64;

/// The bit of destinations that the audit does not read.
const UNWATCHED: u8 = u8::MAX;

/// A table, and which of its destinations is which of the audit's.
pub(super) struct Known {
    version: u64,
    table: Arc<RouteTable>,
    places: Vec<u8>,
}

/// What a table says of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) destinations: Mask,
    /// Whether it has destinations that the audit does not read.
    pub(super) unwatched: bool,
}

/// The tables that were asked for lately; asking their owner for each arrival would be slow.
pub(super) struct Cache<T> {
    tables: T,
    topics: Vec<String>,
    dead_letters: Option<usize>,
    known: VecDeque<Known>,
    deliveries: Deliveries,
    answers: Answers,
}

impl<T: Tables> Cache<T> {
    /// As many as updates can bring while events are under way.
    const KNOWN_MAX: usize = 64;

    pub(super) fn new(tables: T, topics: Vec<String>, dead_letters: Option<usize>) -> Cache<T> {
        let (deliveries, answers) = (Deliveries::new(), Answers::new());
        Cache { tables, topics, dead_letters, known: VecDeque::new(), deliveries, answers }
    }

    pub(super) fn topics(&self) -> &[String] {
        &self.topics
    }

    pub(super) fn newest(&self) -> u64 {
        self.tables.newest()
    }

    /// What the table of `version` says of `event`; `None` without such a table.
    pub(super) fn expected<E: Event>(&mut self, version: u64, event: &E) -> Option<Expected> {
        let at = self.find(version)?;
        let known = &self.known[at];
        known.table.route(event, &mut self.deliveries);
        self.answers.clear();
        while self.deliveries.verdict() == Verdict::Waiting {
            for need in self.deliveries.needs() {
                let id = known.table.lookups().nth(need.lookup.get()).map(|lookup| lookup.id);
                match id.and_then(|id| self.tables.look_up(id, need.key)) {
                    Some(json) => self.answers.found(need.lookup, &json),
                    None => self.answers.not_found(need.lookup),
                }
            }
            known.table.resume(event, &self.answers, &mut self.deliveries);
        }
        let mut expected = Expected { destinations: 0, unwatched: false };
        for delivery in self.deliveries.list() {
            match known.places.get(delivery.destination.get()) {
                Some(&place) if place != UNWATCHED => expected.destinations |= 1 << place,
                _ => expected.unwatched = true,
            }
        }
        let dead = self.deliveries.asks_for_dead_letter();
        match self.dead_letters {
            Some(place) if dead => expected.destinations |= 1 << place,
            _ => expected.unwatched |= dead,
        }
        Some(expected)
    }

    /// Whether the event that [`Cache::expected`] was last asked about goes to `place` by a route of this name; `None`: by no
    /// route, as the unmatched policy sends it.
    pub(super) fn agrees_on_route(&self, version: u64, place: usize, route: Option<&[u8]>) -> bool {
        if self.dead_letters == Some(place) {
            return true;
        }
        let Some(known) = self.known.iter().find(|known| known.version == version) else { return false };
        let delivery =
            self.deliveries.list().iter().find(|delivery| {
                known.places.get(delivery.destination.get()).is_some_and(|&at| usize::from(at) == place)
            });
        delivery.is_some_and(|delivery| delivery.route.map(|index| known.table.route_id(index).as_bytes()) == route)
    }

    fn find(&mut self, version: u64) -> Option<usize> {
        // The newest are asked for most.
        if let Some(at) = self.known.iter().rposition(|known| known.version == version) {
            return Some(at);
        }
        let table = self.tables.table(version)?;
        let place = |topic: &str| self.topics.iter().position(|watched| watched == topic);
        let places = table
            .destinations()
            .map(|destination| place(destination.topic).and_then(|place| u8::try_from(place).ok()).unwrap_or(UNWATCHED))
            .collect();
        if self.known.len() >= Cache::<T>::KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(Known { version, table, places });
        Some(self.known.len() - 1)
    }
}
