//! Elements as events of their own: what conditions ask of the elements of one array is decided for all of them at once, element by element.
//!
//! A condition that is left to an `any_element` would be walked once for each element, and so would that of each other route: as many steps
//! as elements times routes, of which an event's producer chooses the one factor. So where several members of a group are left to elements of
//! the same array, their conditions within are made the conditions of a group of its own, to which an element is what a payload is to others.

use super::{Draft, Maker, UNTOUCHED};
use crate::condition::{AnyElement, ConditionIndex, Conditions, Node, NodeKind, Over, Truth};
use crate::fields::FieldIndex;
use crate::group::{NO_ELEMENTS, Within};
use crate::predicate::{Attribute, ElementPlace, Predicate};
use crate::table::Candidate;
use std::ops::Range;

/// How many arrays within each other are gone over so.
const NESTING_MAX: usize = 4;
/// And how many arrays of one group.
const ARRAYS_MAX: usize = 64;
/// So many nodes of conditions are copied for that in one table, at most. A route stands in as many groups as it is filed in.
const COPIED_MAX: usize = 1 << 22;

/// A member whose condition is left to an `any_element`, when all looks have let it pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Elementwise {
    /// The array.
    over: FieldIndex,
    /// Of which part of a group that is made of several.
    pub(super) part: u32,
    member: u32,
    /// That of the `any_element`.
    node: u32,
}

impl Elementwise {
    /// The part at `node` of a member's condition, if it can be decided element by element.
    pub(super) fn of(conditions: &Conditions, node: u32, member: u32) -> Option<Elementwise> {
        let NodeKind::AnyElement(index) = conditions.node(node)?.kind else { return None };
        let AnyElement { over, on_missing, on_other_type, .. } = *conditions.any_elements.get(index as usize)?;
        let Over::Field(over) = over else { return None };
        let is_false_without = on_missing != Truth::True && on_other_type != Truth::True;
        (is_false_without && is_about_element(conditions, node + 1, 0)).then_some(Elementwise {
            over,
            part: 0,
            member,
            node,
        })
    }
}

/// Whether all that the tree at `at` asks of payloads is of places within the element that is so many `any_element`s outwards, or of elements
/// within it.
fn is_about_element(conditions: &Conditions, at: u32, depth: u32) -> bool {
    let is_within = |place: ElementPlace| place.outwards < depth || place.field != FieldIndex::ITSELF;
    let Some(node) = conditions.node(at) else { return false };
    match node.kind {
        NodeKind::Predicate(index) => match conditions.predicates.get(index as usize).map(|found| found.attribute) {
            Some(Attribute::Element(place)) => is_within(place),
            Some(Attribute::Field(_) | Attribute::Lookup(_)) | None => false,
            Some(_) => true,
        },
        NodeKind::AnyElement(index) => match conditions.any_elements.get(index as usize).map(|any| any.over) {
            Some(Over::Element(place)) => is_within(place) && is_about_element(conditions, at + 1, depth + 1),
            _ => false,
        },
        NodeKind::All | NodeKind::Any | NodeKind::Not => {
            let mut child = at + 1;
            while child < node.end {
                if !is_about_element(conditions, child, depth) {
                    return false;
                }
                child = conditions.node(child).map_or(node.end, |node| node.end);
            }
            true
        }
        NodeKind::Payload(_) => false,
    }
}

impl Maker<'_> {
    /// Sorts out which of the members that were noted from `first` on are decided element by element: those of arrays that several are about.
    /// The others are left to their trees.
    pub(super) fn choose_elementwise(&mut self, first: usize, first_member: usize, part: u32) {
        let mut noted = std::mem::take(&mut self.groups.elementwise);
        let own = noted.get_mut(first..).unwrap_or_default();
        own.sort_unstable();
        let is_room = self.within < NESTING_MAX;
        let (mut kept, mut arrays) = (first, 0);
        let mut at = first;
        while let Some(Elementwise { over, .. }) = noted.get(at).copied() {
            let rest = noted.get(at..).unwrap_or_default();
            let end = at + rest.partition_point(|other| other.over <= over);
            let nodes = |one: &Elementwise| {
                self.table.conditions.node(one.node).map_or(0, |node| (node.end - one.node) as usize)
            };
            let copied =
                self.groups.copied_nodes + noted.get(at..end).unwrap_or_default().iter().map(nodes).sum::<usize>();
            let is_worth_it =
                is_room && end - at >= self.elementwise_from && arrays < ARRAYS_MAX && copied <= COPIED_MAX;
            if is_worth_it {
                self.groups.copied_nodes = copied;
            }
            for place in at..end {
                let Some(one) = noted.get(place).copied() else { break };
                let Some(member) = self.table.groups.members.get_mut(first_member + one.member as usize) else { break };
                if is_worth_it {
                    member.elements = arrays as u8;
                    if let Some(place) = noted.get_mut(kept) {
                        *place = Elementwise { part, ..one };
                        kept += 1;
                    }
                } else if !member.only_if_involved
                    && let Some(plan) =
                        self.table.conditions.plan_of(self.groups.roots.get(one.member as usize).copied())
                {
                    self.groups.wished.extend_from_slice(self.table.fields.of_plan(plan));
                }
            }
            arrays += usize::from(is_worth_it);
            at = end;
        }
        noted.truncate(kept);
        self.groups.elementwise = noted;
    }

    /// Makes the groups of a group's members that are decided element by element: those that were noted at `noted`.
    pub(super) fn make_within(&mut self, group: u32, first_member: u32, noted: Range<usize>) {
        if noted.is_empty() {
            return;
        }
        let first_made = self.groups.within.len();
        let mut at = noted.start;
        while at < noted.end
            && let Some(Elementwise { over, .. }) = self.groups.elementwise.get(at).copied()
        {
            let first = self.groups.members.len();
            while at < noted.end
                && let Some(one) = self.groups.elementwise.get(at).copied().filter(|one| one.over == over)
            {
                self.draft_within(first_member, one);
                at += 1;
            }
            self.depth += 1;
            self.within += 1;
            let lead = self.make(first);
            self.depth -= 1;
            self.within -= 1;
            self.groups.members.truncate(first);
            let plan = super::plan_for(self.table, self.plans, &[over]);
            self.groups.within.push(Within { over, plan, lead });
        }
        let made = self.groups.within.drain(first_made..);
        let first_within = self.table.groups.within.len() as u32;
        self.table.groups.within.extend(made);
        let count = self.table.groups.within.len() - first_within as usize;
        if let Some(row) = self.table.groups.rows.get_mut(group as usize) {
            (row.first_within, row.within) = (first_within, count as u8);
        }
    }

    /// Makes a member's condition within elements that of a member of the group that is to be made.
    fn draft_within(&mut self, first_member: u32, Elementwise { member, node, .. }: Elementwise) {
        let Some(outer) = self.table.groups.members.get((first_member + member) as usize).copied() else { return };
        let conditions = &mut self.table.conditions;
        let first = conditions.nodes.len() as u32;
        let groups = &mut self.table.groups;
        groups.nodes_of_elements.get_or_insert(first);
        let plan = match conditions.node(node).map(|node| node.kind) {
            Some(NodeKind::AnyElement(index)) => conditions.any_elements.get(index as usize).and_then(|any| any.plan),
            _ => None,
        };
        if let Some(plan) = plan {
            conditions.nodes.push(Node { kind: NodeKind::Payload(plan), end: 0 });
        }
        copy(conditions, &mut self.groups.of_elements, node + 1, 0);
        let end = conditions.nodes.len() as u32;
        if let (Some(_), Some(root)) = (plan, conditions.nodes.get_mut(first as usize)) {
            root.end = end;
        }
        let condition = ConditionIndex(first);
        let candidate = Candidate { condition, fan_out: member, ..outer.candidate };
        self.groups.members.push(Draft { candidate, settled: UNTOUCHED });
    }
}

/// Copies the tree at `at`, so that places within the element that is `depth` `any_element`s outwards are fields. `known`: the predicates that
/// were made of others before.
fn copy(conditions: &mut Conditions, known: &mut Vec<u32>, at: u32, depth: u32) {
    let Some(node) = conditions.node(at) else { return };
    let copied = conditions.nodes.len();
    conditions.nodes.push(node);
    let kind = match node.kind {
        NodeKind::Predicate(index) => NodeKind::Predicate(predicate_of_element(conditions, known, index, depth)),
        NodeKind::AnyElement(index) => {
            NodeKind::AnyElement(match conditions.any_elements.get(index as usize).copied() {
                Some(any @ AnyElement { over: Over::Element(place), .. }) if place.outwards == depth => {
                    conditions.any_elements.push(AnyElement { over: Over::Field(place.field), ..any });
                    conditions.any_elements.len() as u32 - 1
                }
                _ => index,
            })
        }
        other => other,
    };
    let depth = depth + u32::from(matches!(kind, NodeKind::AnyElement(_)));
    let mut child = at + 1;
    while child < node.end {
        copy(conditions, known, child, depth);
        child = conditions.node(child).map_or(node.end, |node| node.end);
    }
    let end = conditions.nodes.len() as u32;
    if let Some(node) = conditions.nodes.get_mut(copied) {
        *node = Node { kind, end };
    }
}

/// The predicate that says of a field what another one says of a place within an element.
fn predicate_of_element(conditions: &mut Conditions, known: &mut Vec<u32>, index: u32, depth: u32) -> u32 {
    let predicate = conditions.predicates.get(index as usize).copied();
    let Some(predicate @ Predicate { attribute: Attribute::Element(place), .. }) = predicate else { return index };
    if place.outwards != depth {
        return index;
    }
    known.resize(known.len().max(index as usize + 1), u32::MAX);
    let Some(known) = known.get_mut(index as usize) else { return index };
    if *known == u32::MAX {
        *known = conditions.predicates.len() as u32;
        conditions.predicates.push(Predicate { attribute: Attribute::Field(place.field), ..predicate });
    }
    *known
}

// No array's place is taken for none.
const _: () = assert!(ARRAYS_MAX < NO_ELEMENTS as usize);

#[cfg(test)]
mod tests {
    use crate::compile::Compiler;
    use crate::compile::groups::tests::with_payload::WithPayload;
    use crate::deliveries::{Deliveries, Matches};
    use crate::support;
    use crate::table::RouteTable;
    use proptest::prelude::*;
    use prost::Message;
    use veltrix_proto::v1::destination::Kind as To;
    use veltrix_proto::v1::{Condition, Destination, EventTypes, KafkaTopic, Route, RouteMap, condition};

    fn compiled(map: &RouteMap, elementwise_from: usize) -> RouteTable {
        let mut compiler = Compiler::new();
        compiler.scratch.groups.elementwise_from = Some(elementwise_from);
        compiler.compile(&map.encode_to_vec()).unwrap()
    }

    fn map_of(conditions: impl IntoIterator<Item = condition::Kind>) -> RouteMap {
        let route = |(number, kind): (usize, condition::Kind)| Route {
            id: number.to_string(),
            types: Some(EventTypes { any: true, ..EventTypes::default() }),
            when: Some(Condition { kind: Some(kind) }),
            to: vec![format!("d{number}")],
            ..Route::default()
        };
        let routes: Vec<Route> = conditions.into_iter().enumerate().map(route).collect();
        let destination = |number: usize| Destination {
            id: format!("d{number}"),
            kind: Some(To::Kafka(KafkaTopic { topic: format!("t{number}"), ..KafkaTopic::default() })),
        };
        let destinations = (0..routes.len()).map(destination).collect();
        RouteMap { name: "elements".to_owned(), destinations, routes, ..RouteMap::default() }
    }

    fn matching(table: &RouteTable, payload: &str) -> Vec<usize> {
        let mut matches = Matches::new();
        table.matches(&WithPayload { topic: "topic", payload }, &mut matches).unwrap();
        matches.routes().iter().map(|route| route.get()).collect()
    }

    proptest! {
        #[test]
        fn elements_decide_what_trees_decide(
            map in prop_oneof![support::route_map().boxed(), support::many_routes().boxed()],
            events in prop::collection::vec(support::event(), 1..12),
        ) {
            let (by_elements, by_trees) = (compiled(&map, 1), compiled(&map, usize::MAX));
            for event in &events {
                let [mut by_elements_gets, mut by_trees_gets] = [Deliveries::new(), Deliveries::new()];
                by_elements.route(event, &mut by_elements_gets);
                by_trees.route(event, &mut by_trees_gets);
                let told = |deliveries: &Deliveries| {
                    let mut list = deliveries.list().to_vec();
                    list.sort_by_key(|delivery| delivery.destination);
                    (list, deliveries.verdict(), deliveries.undecided())
                };
                prop_assert_eq!(told(&by_elements_gets), told(&by_trees_gets));
            }
        }
    }

    #[test]
    fn patterns_and_cel_about_elements_are_decided_by_groups_within() {
        let pattern = |number: usize| {
            let text = format!(r#"{{"l": {{"a": ["x"], "b": [{{"anything-but": ["{number}"]}}]}}}}"#);
            condition::Kind::EventPattern(text)
        };
        let cel = |number: usize| {
            condition::Kind::Cel(format!("payload.l.exists(x, x.a == 'x' && x.c.exists(y, y.n == {number}))"))
        };
        let map = map_of((0..30).map(pattern).chain((0..30).map(cel)));
        let (by_elements, by_trees) = (compiled(&map, 2), compiled(&map, usize::MAX));
        // One for `l` through arrays, one for `l` as it is, and within that one for `c`.
        assert_eq!((by_elements.groups.within.len(), by_trees.groups.within.len()), (3, 0));
        for (payload, expected) in [
            (r#"{"l": [{"a": "x", "b": "3"}, {"a": "y", "b": "4"}]}"#, (0..30).filter(|number| *number != 3).collect()),
            (r#"{"l": [{"a": "y", "b": "3"}, {"b": "x"}, 7, [], null]}"#, Vec::new()),
            (r#"{"l": [{"a": "x", "c": [{"n": 5}, {"n": 7.0}]}, {"a": "z", "c": [{"n": 9}]}]}"#, vec![35, 37]),
            (r#"{"l": {"a": "x", "b": "3"}}"#, (0..30).filter(|number| *number != 3).collect()),
            (r#"{"l": []}"#, Vec::new()),
            (r#"{"k": 1}"#, Vec::new()),
        ] {
            assert_eq!(matching(&by_trees, payload), expected, "{payload}");
            assert_eq!(matching(&by_elements, payload), expected, "{payload}");
        }
    }

    #[test]
    fn an_element_within_an_element_may_be_compared_with_what_is_around_it() {
        let cel = |number: usize| {
            condition::Kind::Cel(format!("payload.l.exists(x, x.c.exists(y, y.n == {number} && x.a == 'x'))"))
        };
        let by_elements = compiled(&map_of((0..30).map(cel)), 2);
        assert_eq!(by_elements.groups.within.len(), 1);
        let payload = r#"{"l": [{"a": "y", "c": [{"n": 3}]}, {"a": "x", "c": [{"n": 4}, {}, {"n": 5}]}]}"#;
        assert_eq!(matching(&by_elements, payload), [4, 5]);
    }

    #[test]
    fn what_looks_beyond_its_element_or_holds_without_any_is_left_to_trees() {
        let left = [
            "payload.l.exists(x, x.a == 'a' && payload.b == 'b')",
            "payload.l.exists(x, x == 'a')",
            "payload.l.all(x, x.a == 'a')",
            "payload.l.exists(x, x.a == 'a') && payload.m.exists(x, x.a == 'a')",
            "payload.l.exists(x, x.a == 'a') || payload.b == 'b'",
        ];
        for text in left {
            let table = compiled(&map_of([text, text].map(|text| condition::Kind::Cel(text.to_owned()))), 1);
            assert!(table.groups.within.is_empty(), "{text}");
        }
    }
}
