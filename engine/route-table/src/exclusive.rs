//! Exclusive groups: of the routes of one group that an event matches, the first one delivers.
//!
//! Such routes are found like all others; a group costs nothing where none of its routes matches. What is decided of them is set
//! aside while the event's routes are asked, and settled when all were: only then is it known which one is the first.

use crate::condition::Truth;
use crate::table::RouteIndex;

/// A route that belongs to a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exclusive {
    pub(crate) route: RouteIndex,
    pub(crate) fan_out: u32,
    /// Number of the group; each slot has groups of its own.
    pub(crate) group: u32,
    pub(crate) priority: u32,
    pub(crate) continues: bool,
    pub(crate) is_default: bool,
}

impl Exclusive {
    /// Groups one after the other, and in each its routes as they are asked. Routes of a slot are numbered in the order of the map.
    pub(crate) fn order(&self) -> (u32, bool, u32, RouteIndex) {
        (self.group, self.is_default, self.priority, self.route)
    }
}

/// Whether a route is asked, as far as it is known before all was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is.
    Sure,
    /// Only if none of those before it matches that depend on lookups.
    Open,
    /// It is not: one before it matches.
    Never,
}

/// What is known of the routes of a group that stand before the one at hand. Routes pass in the order in which they are asked, group by group.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    group: Option<u32>,
    /// One matches; one that matches lets no other be asked.
    matches: bool,
    ends: bool,
    /// The same of those that wait.
    may_match: bool,
    may_end: bool,
}

impl Ahead {
    /// Whether the next route is asked.
    pub(crate) fn turn(&mut self, own: &Exclusive) -> Turn {
        if self.group != Some(own.group) {
            *self = Ahead { group: Some(own.group), ..Ahead::default() };
        }
        if self.ends || (own.is_default && self.matches) {
            Turn::Never
        } else if self.may_end || (own.is_default && self.may_match) {
            Turn::Open
        } else {
            Turn::Sure
        }
    }

    /// Takes in what that route says. One that matches and is not sure to be asked counts all the same for those behind it: if it is not
    /// asked, then because another one lets none of them be asked.
    pub(crate) fn pass(&mut self, own: &Exclusive, truth: Truth) {
        match truth {
            Truth::True => {
                self.matches = true;
                self.ends |= !own.continues;
            }
            Truth::Pending(pending) if pending.may_be_true() => {
                self.may_match = true;
                self.may_end |= !own.continues;
            }
            Truth::False | Truth::Absent | Truth::Pending(_) => {}
        }
    }
}

/// What was decided of an event's routes in groups; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Per route in a group: the mark of the last event that it was set aside for. An event meets a route once for each of its
    /// values that leads there, and the list must not grow with these.
    marks: Vec<u32>,
    list: Vec<Decided>,
}

#[derive(Clone, Copy, Debug)]
struct Decided {
    /// Place among the table's routes in groups.
    place: u32,
    /// True or absent.
    truth: Truth,
}

impl Aside {
    /// Whether a table with so many routes in groups can be used without [`Aside::grow`].
    #[inline]
    pub(crate) fn has_room_for(&self, routes: usize) -> bool {
        self.marks.len() >= routes
    }

    /// Makes room, and forgets all marks.
    pub(crate) fn grow(&mut self, routes: usize) {
        let routes = routes.max(self.marks.len());
        self.marks.clear();
        self.marks.resize(routes, 0);
        self.list.reserve(routes);
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sets aside what was decided of the route at `place`, for the event of this mark.
    pub(crate) fn add(&mut self, place: u32, truth: Truth, mark: u32) {
        let Some(last) = self.marks.get_mut(place as usize) else { return };
        if std::mem::replace(last, mark) != mark {
            self.list.push(Decided { place, truth });
        }
    }

    /// What was set aside, in the order in which routes are asked.
    pub(crate) fn in_order<'r>(&mut self, routes: &'r [Exclusive]) -> impl Iterator<Item = (&'r Exclusive, Truth)> {
        self.list.sort_unstable_by_key(|decided| routes.get(decided.place as usize).map(Exclusive::order));
        self.list.iter().filter_map(|decided| Some((routes.get(decided.place as usize)?, decided.truth)))
    }

    /// Hands out the routes that deliver, as true, and those that were asked in vain, as absent.
    pub(crate) fn settle(&mut self, routes: &[Exclusive], mut each: impl FnMut(&Exclusive, Truth)) {
        let mut group = None;
        let (mut has_match, mut is_over) = (false, false);
        for (route, truth) in self.in_order(routes) {
            if group.replace(route.group) != Some(route.group) {
                (has_match, is_over) = (false, false);
            }
            if is_over || (route.is_default && has_match) {
                continue;
            }
            has_match |= truth == Truth::True;
            is_over = truth == Truth::True && !route.continues;
            each(route, truth);
        }
    }
}
