//! Accesses: from the value that an event has for an attribute to the routes that want it.
//!
//! The routes of a large [group](crate::group) are filed under what they want of the attribute that tells them apart best:
//! - *texts*: whole ones, what texts begin with, and what they end with. They stand in the table's index; a text is looked up there
//!   whole, and once for each length of beginnings and ends that routes want, of which there are few;
//! - *intervals* of numbers and of IP addresses. Their ends cut the line of all numbers into zones (as in [`zones`](crate::zones)), over
//!   which stands a tree of segments (Bentley, 1977): each node is a run of zones, and a route is filed at the few nodes, at most two
//!   of a level, that together are its interval. The nodes from a value's zone up to the root lead to all intervals that the value is
//!   in, and to no other.
//! - Who tells events apart neither by texts nor by intervals is filed under there being a value at all, if few others are about that
//!   field of the payload.
//!
//! A group has few accesses, and each event follows all of them; or it has many, most of them to fields of the payload, and an event
//! follows those of the fields that it has.
//!
//! So an event meets the routes that want its value, at a cost that grows with the logarithm of how many others there are.
//!
//! Not here: how routes are filed (`compile/groups/split.rs`).

use crate::condition::range;
use crate::evaluate::{Evaluation, Scope, Work, datum};
use crate::group::Sink;
use crate::key_index::Payload;
use crate::predicate::{Attribute, Datum};
use crate::table::{Candidate, RouteTable};
use crate::value::cidr::{line_of_addresses, parse_address};
use crate::value::number::{Decimal, Number};

/// So many accesses of a group each event follows: a lookup each. Of more, it follows those of the fields that it has.
pub(crate) const FOLLOWED_MAX: usize = 4;

/// Lengths of beginnings, and as many of ends, that texts of one access are looked up by.
pub(crate) const LENGTHS_MAX: usize = 16;

/// An attribute whose values lead to more candidates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Access {
    pub(crate) attribute: Attribute,
    /// The number of a field in the group's plan.
    pub(crate) number: u32,
    /// The first of the parts of the table's index that its values stand in, in the order of [`Affix`].
    pub(crate) space: u32,
    /// A run of lengths: of beginnings, then of ends, each ascending.
    pub(crate) first_length: u32,
    pub(crate) prefix_lengths: u16,
    pub(crate) suffix_lengths: u16,
    /// Whether a value leads to somebody whatever it is.
    pub(crate) has_any: bool,
    pub(crate) trees: TreesOf,
}

/// Places of an attribute's trees; `u32::MAX` if there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TreesOf {
    numbers: u32,
    addresses: u32,
}

impl TreesOf {
    pub(crate) const NONE: TreesOf = TreesOf { numbers: u32::MAX, addresses: u32::MAX };

    pub(crate) fn of(self, line: Line) -> u32 {
        match line {
            Line::Numbers => self.numbers,
            Line::Addresses => self.addresses,
        }
    }

    pub(crate) fn set(&mut self, line: Line, place: u32) {
        match line {
            Line::Numbers => self.numbers = place,
            Line::Addresses => self.addresses = place,
        }
    }
}

/// What of a text is filed; its place among the parts of the index that an access has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Affix {
    Whole = 0,
    Prefix = 1,
    Suffix = 2,
    /// Nothing: every value leads to who is filed so, and if it is no text.
    Any = 3,
}

/// How many parts of the index an access has.
pub(crate) const SPACES: u32 = 4;

/// What intervals are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    Numbers,
    Addresses,
}

/// A tree over the zones of one attribute's intervals. A node's children are at twice its place and behind it; the leaves come last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree {
    first_bound: u32,
    bounds: u32,
    first_node: u32,
    zones: u32,
}

/// All accesses of a table.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    pub(crate) list: Vec<Access>,
    pub(crate) lengths: Vec<u16>,
    pub(crate) trees: Vec<Tree>,
    /// The numbers that intervals begin and end with, those of each tree ascending.
    decimals: Vec<Decimal>,
    /// The same of addresses: where intervals begin, and what comes behind them.
    addresses: Vec<u128>,
    /// What the nodes of trees lead to.
    pub(crate) nodes: Vec<Payload>,
}

/// What leads to nobody.
pub(crate) const NOBODY: Payload = Candidate::payload_of_many(0, 0);

impl Tree {
    /// The place among all nodes of one of this tree's.
    pub(crate) fn node(&self, place: usize) -> usize {
        self.first_node as usize + place
    }

    /// The nodes that together are the zones of a range, each by its place within the tree.
    pub(crate) fn each_node_of(&self, zones: std::ops::Range<u32>, each: &mut impl FnMut(usize)) {
        let (mut from, mut to) = (zones.start + self.zones, zones.end + self.zones);
        while from < to {
            if from & 1 == 1 {
                each(from as usize);
                from += 1;
            }
            if to & 1 == 1 {
                to -= 1;
                each(to as usize);
            }
            (from, to) = (from / 2, to / 2);
        }
    }

    /// No more nodes than these are so many zones.
    pub(crate) fn nodes_max_of(zones: u32) -> u32 {
        zones.min(2 * (zones.checked_ilog2().unwrap_or(0) + 1))
    }
}

impl Accesses {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.lengths.clear();
        self.trees.clear();
        self.decimals.clear();
        self.addresses.clear();
        self.nodes.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.list.capacity() * size_of::<Access>()
            + self.lengths.capacity() * size_of::<u16>()
            + self.trees.capacity() * size_of::<Tree>()
            + self.decimals.capacity() * size_of::<Decimal>()
            + self.addresses.capacity() * size_of::<u128>()
            + self.nodes.capacity() * size_of::<Payload>()
    }

    /// Adds a tree whose intervals begin and end with these numbers, which are ascending and different from each other. Returns its place.
    pub(crate) fn add_numbers(&mut self, bounds: &[Decimal]) -> u32 {
        let first = self.decimals.len();
        self.decimals.extend_from_slice(bounds);
        self.add_tree(first, bounds.len(), bounds.len() * 2 + 1)
    }

    /// The same of addresses, by their places in [`line_of_addresses`].
    pub(crate) fn add_addresses(&mut self, bounds: &[u128]) -> u32 {
        let first = self.addresses.len();
        self.addresses.extend_from_slice(bounds);
        self.add_tree(first, bounds.len(), bounds.len() + 1)
    }

    fn add_tree(&mut self, first_bound: usize, bounds: usize, zones: usize) -> u32 {
        let first_node = self.nodes.len();
        self.nodes.resize(first_node + zones * 2, NOBODY);
        let [first_bound, bounds, first_node, zones] = [first_bound, bounds, first_node, zones].map(|n| n as u32);
        self.trees.push(Tree { first_bound, bounds, first_node, zones });
        self.trees.len() as u32 - 1
    }

    pub(crate) fn tree(&self, place: u32) -> Option<Tree> {
        self.trees.get(place as usize).copied()
    }

    /// What all nodes of an access's trees lead to.
    pub(crate) fn of_nodes(&self, access: &Access) -> impl Iterator<Item = Payload> {
        let trees = [access.trees.numbers, access.trees.addresses].into_iter().filter_map(|place| self.tree(place));
        let nodes = trees.flat_map(|tree| self.nodes.get(range(tree.first_node, tree.zones * 2)).unwrap_or_default());
        nodes.copied().filter(|payload| *payload != NOBODY)
    }

    /// What the nodes from a zone up to the root lead to.
    #[inline]
    fn way_from(&self, tree: Tree, zone: usize) -> impl Iterator<Item = Payload> {
        let nodes = self.nodes.get(range(tree.first_node, tree.zones * 2)).unwrap_or_default();
        let leaf = tree.zones as usize + zone;
        let way = std::iter::successors(Some(leaf), |node| Some(node / 2).filter(|node| *node > 0));
        way.filter_map(|node| nodes.get(node)).copied().filter(|payload| *payload != NOBODY)
    }

    fn zone_of_number(&self, tree: Tree, number: &Number<'_>, texts: &str) -> usize {
        number.zone(self.decimals.get(range(tree.first_bound, tree.bounds)).unwrap_or_default(), texts)
    }

    fn zone_of_address(&self, tree: Tree, address: u128) -> usize {
        let bounds = self.addresses.get(range(tree.first_bound, tree.bounds)).unwrap_or_default();
        bounds.partition_point(|bound| *bound <= address)
    }
}

/// What a text leads to besides what it is as a whole.
struct Leads {
    list: [Payload; 1 + 2 * LENGTHS_MAX],
    count: usize,
    /// The tree of addresses and the zone that the text is in.
    zone: Option<(Tree, usize)>,
}

/// Whom a value leads to.
#[allow(clippy::large_enum_variant, reason = "it is taken apart where it is made, and to box it would allocate")]
enum Met {
    Nobody,
    One(Payload),
    Leads(Leads),
    Zone((Tree, usize)),
}

impl Leads {
    fn add(&mut self, found: Option<Payload>) {
        if let (Some(found), Some(place)) = (found, self.list.get_mut(self.count)) {
            *place = found;
            self.count += 1;
        }
    }
}

impl Access {
    /// Whether texts are looked up whole and in no other way.
    #[inline]
    fn is_plain(&self) -> bool {
        self.prefix_lengths == 0 && self.suffix_lengths == 0 && self.trees.addresses == u32::MAX
    }

    pub(crate) fn is_of_field(&self) -> bool {
        matches!(self.attribute, Attribute::Field(_))
    }

    pub(crate) fn space_of(&self, affix: Affix) -> u32 {
        self.space + affix as u32
    }
}

impl RouteTable {
    /// Goes on to the routes that want one of the values that the event has.
    #[inline]
    pub(crate) fn follow(
        &self,
        access: &Access,
        evaluation: &Evaluation<'_>,
        scope: &Scope<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        if !access.is_of_field() {
            let met = evaluation.outside(access.attribute).map_or(Met::Nobody, |value| self.met_by(access, &value));
            return self.consider_met(met, evaluation, work, out);
        }
        if access.has_any
            && scope.reader.values(&self.fields, access.number).next().is_some()
            && let Some(found) = self.types.get(access.space_of(Affix::Any), b"")
        {
            self.consider(found, evaluation, work, out);
        }
        for found in scope.reader.values(&self.fields, access.number) {
            let value = datum(&self.fields, scope.bytes, &found, &mut work.buffers.unescaped);
            // What the value lies in may be needed for those whom it leads to.
            let met = value.map_or(Met::Nobody, |value| self.met_by(access, &value));
            self.consider_met(met, evaluation, work, out);
        }
    }

    /// Whom a value leads to.
    #[inline(always)]
    fn met_by(&self, access: &Access, value: &Datum<'_>) -> Met {
        match value {
            Datum::Text(text) if access.is_plain() => self.types.get(access.space, text).map_or(Met::Nobody, Met::One),
            Datum::Text(text) => Met::Leads(self.leads_of(access, text)),
            Datum::Number(number) => self.zone_of(access, number).map_or(Met::Nobody, Met::Zone),
            _ => Met::Nobody,
        }
    }

    #[inline(always)]
    fn consider_met(&self, met: Met, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        match met {
            Met::Nobody => {}
            Met::One(found) => self.consider(found, evaluation, work, out),
            Met::Leads(leads) => self.consider_leads(&leads, evaluation, work, out),
            Met::Zone(zone) => self.consider_zone(zone, evaluation, work, out),
        }
    }

    /// The zone that a number is in.
    fn zone_of(&self, access: &Access, number: &Number<'_>) -> Option<(Tree, usize)> {
        let accesses = &self.groups.accesses;
        let tree = accesses.tree(access.trees.numbers)?;
        Some((tree, accesses.zone_of_number(tree, number, &self.texts)))
    }

    /// Looks a text up in all ways at once.
    #[inline(never)]
    fn leads_of(&self, access: &Access, text: &[u8]) -> Leads {
        let accesses = &self.groups.accesses;
        let mut leads = Leads { list: [NOBODY; _], count: 0, zone: None };
        leads.add(self.types.get(access.space, text));
        let lengths = usize::from(access.prefix_lengths) + usize::from(access.suffix_lengths);
        let lengths = accesses.lengths.get(range(access.first_length, lengths as u32)).unwrap_or_default();
        let (prefixes, suffixes) = lengths.split_at_checked(access.prefix_lengths.into()).unwrap_or_default();
        for start in prefixes.iter().map_while(|length| text.get(..usize::from(*length))) {
            leads.add(self.types.get(access.space_of(Affix::Prefix), start));
        }
        let from_end = |length: &u16| text.get(text.len().checked_sub(usize::from(*length))?..);
        for end in suffixes.iter().map_while(from_end) {
            leads.add(self.types.get(access.space_of(Affix::Suffix), end));
        }
        if let Some(tree) = accesses.tree(access.trees.addresses)
            && let Some(address) = parse_address(text)
        {
            leads.zone = Some((tree, accesses.zone_of_address(tree, line_of_addresses(address))));
        }
        leads
    }

    #[inline(never)]
    fn consider_leads(&self, leads: &Leads, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        for found in leads.list.iter().take(leads.count) {
            self.consider(*found, evaluation, work, out);
        }
        if let Some(zone) = leads.zone {
            self.consider_zone(zone, evaluation, work, out);
        }
    }

    /// Decides what a zone's way to the root leads to.
    #[inline(never)]
    fn consider_zone(
        &self,
        (tree, zone): (Tree, usize),
        evaluation: &Evaluation<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let way = self.groups.accesses.way_from(tree, zone);
        way.for_each(|found| self.consider(found, evaluation, work, out));
    }
}
