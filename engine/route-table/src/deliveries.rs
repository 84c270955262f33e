//! What routing one event yields, and the memory that routing needs for it.

use crate::evaluate::Memory;
use crate::exclusive::Aside;
use crate::lookups::Need;
use crate::resume::Waiting;
use crate::source::Unreadable;
use crate::table::{DestinationIndex, RouteIndex, RouteTable, Unmatched};
use crate::template::{Placing, Unplaced};

/// Who gets an event. Made once per thread and reused for every event and every table.
#[derive(Debug)]
pub struct Deliveries {
    pub(crate) list: Vec<Delivery>,
    pub(crate) verdict: Verdict,
    pub(crate) undecided: Option<RouteIndex>,
    /// Per destination: where it stands in `list`, if its mark is of this event. Behind those the same for each template.
    pub(crate) listed: Vec<Listed>,
    /// Tells this event's entries from those of events before it, so that nothing has to be wiped in between.
    pub(crate) mark: u32,
    pub(crate) aside: Aside,
    /// The routes that depend on lookups.
    pub(crate) waiting: Vec<Waiting>,
    /// Those that did before answers came.
    pub(crate) waited: Vec<Waiting>,
    pub(crate) placing: Placing,
    pub(crate) memory: Memory,
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
    /// Some routes depend on lookups, and nothing here is final. Get the answers to [`Deliveries::needs`], then go on with
    /// [`RouteTable::resume`].
    Waiting,
}

/// What holds until a table says otherwise. One that was never filled says nothing.
const NOBODY: Verdict = Verdict::Unmatched(Unmatched::Drop);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) mark: u32,
    pub(crate) at: u32,
}

impl Deliveries {
    /// Empty; grows to what the tables need that it is used with.
    pub fn new() -> Self {
        Deliveries {
            list: Vec::new(),
            verdict: NOBODY,
            undecided: None,
            listed: Vec::new(),
            mark: 0,
            aside: Aside::default(),
            waiting: Vec::new(),
            waited: Vec::new(),
            placing: Placing::default(),
            memory: Memory::default(),
        }
    }

    /// The deliveries, each destination once.
    pub fn list(&self) -> &[Delivery] {
        &self.list
    }

    /// The outcome as a whole.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The first route that was asked, whose condition was absent, and that wants a dead letter then. The event's deliveries stand beside it.
    pub fn undecided(&self) -> Option<RouteIndex> {
        self.undecided
    }

    /// What has to be looked up before the event can be routed, each lookup once; empty unless the verdict is [`Verdict::Waiting`].
    /// What was answered is not asked for again; what was not, is, as long as a route depends on it.
    pub fn needs(&self) -> impl Iterator<Item = Need<'_>> {
        let is_waiting = self.verdict == Verdict::Waiting;
        is_waiting.then(|| self.memory.buffers.inquiry.needs()).into_iter().flatten()
    }

    /// The deliveries to destinations with placeholders whose topic the event does not name, each destination once.
    pub fn unplaced(&self) -> &[Unplaced] {
        &self.placing.unplaced
    }

    /// Whether the event belongs to the dead letters, for whatever reason; its deliveries stand beside that.
    pub fn asks_for_dead_letter(&self) -> bool {
        let as_a_whole = matches!(self.verdict, Verdict::Unreadable(_) | Verdict::Unmatched(Unmatched::DeadLetter));
        as_a_whole || self.undecided.is_some() || self.unplaced().iter().any(|unplaced| unplaced.instead.is_none())
    }

    /// Forgets the event before. Allocates only when a table needs more than any before.
    #[inline]
    pub(crate) fn begin(&mut self, table: &RouteTable) {
        self.list.clear();
        self.verdict = NOBODY;
        self.undecided = None;
        self.aside.clear();
        self.waiting.clear();
        self.placing.clear();
        self.memory.begin(table.readers, table.lookups.rows.len());
        let destinations = table.destinations.len() + table.templates.rows.len();
        let has_room = self.listed.len() >= destinations && self.aside.has_room_for(table.exclusives.len());
        if !has_room || self.mark == u32::MAX {
            self.regrow(table, destinations);
        }
        self.mark += 1;
    }

    #[cold]
    fn regrow(&mut self, table: &RouteTable, destinations: usize) {
        self.mark = 0;
        self.aside.grow(table.exclusives.len());
        self.placing.grow(table.templates.rows.len());
        let destinations = destinations.max(self.listed.len());
        self.listed.clear();
        self.listed.resize(destinations, Listed::default());
        self.list.reserve(destinations);
    }
}

impl Default for Deliveries {
    fn default() -> Self {
        Deliveries::new()
    }
}

/// Which routes an event matches. Made once per thread and reused for every event and every table.
#[derive(Debug, Default)]
pub struct Matches {
    pub(crate) routes: Vec<RouteIndex>,
    pub(crate) undecided: Vec<RouteIndex>,
    pub(crate) waiting: Vec<RouteIndex>,
    pub(crate) memory: Memory,
}

impl Matches {
    /// Empty; grows to what the tables need that it is used with.
    pub fn new() -> Self {
        Matches::default()
    }

    /// The routes whose condition is true, in the order of the map; of an exclusive group all, not only who delivers.
    pub fn routes(&self) -> &[RouteIndex] {
        &self.routes
    }

    /// The routes whose condition is absent, in the order of the map: all that ask for a dead letter then, and some of the others.
    pub fn undecided(&self) -> &[RouteIndex] {
        &self.undecided
    }

    /// The routes whose condition depends on lookups, in the order of the map: all that may match, and some that may only be absent. Who
    /// wants to know what becomes of them uses [`RouteTable::route`], which can be given answers.
    pub fn waiting(&self) -> &[RouteIndex] {
        &self.waiting
    }

    #[inline]
    pub(crate) fn begin(&mut self, table: &RouteTable) {
        self.routes.clear();
        self.undecided.clear();
        self.waiting.clear();
        self.memory.begin(table.readers, table.lookups.rows.len());
    }
}
