//! How large groups are split, and how little of them an event meets.

#[path = "../../../tests/support/with_payload.rs"]
pub(super) mod with_payload;

use crate::access::{Access, Affix, LENGTHS_MAX, Line};
use crate::compile::{Compiler, compile};
use crate::condition::Truth;
use crate::evaluate::Memory;
use crate::group::Sink;
use crate::support;
use crate::table::{Candidate, RouteTable};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use prost::Message;
use std::collections::BTreeMap;
use veltrix_proto::v1::{
    Cidrs, Condition, Conditions, Destination, EventTypes, Field, KafkaTopic, Literal, Predicate, Range, Route,
    RouteMap, condition, destination, literal, predicate, range,
};
use with_payload::WithPayload;

const ROUTES: usize = 20_000;

fn number(number: usize) -> Literal {
    Literal { kind: Some(literal::Kind::Number(number.to_string())) }
}

fn between(from: usize, to: usize) -> predicate::Test {
    let (lower, upper) = (range::Lower::Above(number(from)), range::Upper::AtMost(number(to)));
    predicate::Test::Range(Range { lower: Some(lower), upper: Some(upper) })
}

fn of_field(test: predicate::Test) -> Condition {
    let field = Field { names: vec!["v".to_owned()], through_arrays: true, dotted: false };
    let attribute = Some(predicate::Attribute::Field(field));
    Condition {
        kind: Some(condition::Kind::Predicate(Predicate { attribute, test: Some(test), ..Predicate::default() })),
    }
}

/// A table of routes for any type, none of them merged into another.
fn table(conditions: impl Iterator<Item = Condition>) -> RouteTable {
    let route = |(number, when): (usize, Condition)| Route {
        id: format!("{number}"),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        when: Some(when),
        to: vec!["d".to_owned()],
        ..Route::default()
    };
    let kind = Some(destination::Kind::Kafka(KafkaTopic { topic: "t".to_owned(), ..KafkaTopic::default() }));
    let map = RouteMap {
        name: "generated".to_owned(),
        destinations: vec![Destination { id: "d".to_owned(), kind }],
        routes: conditions.enumerate().map(route).collect(),
        ..RouteMap::default()
    };
    let mut compiler = Compiler::new();
    compiler.scratch.merge.is_off = true;
    compiler.compile(&map.encode_to_vec()).unwrap()
}

/// The routes that are decided of an event, and those among them that match.
#[derive(Default)]
struct Counting {
    decided: usize,
    matched: Vec<usize>,
}

impl Sink for Counting {
    fn decided(&mut self, candidate: Candidate, truth: Truth) {
        self.decided += 1;
        if truth == Truth::True {
            self.matched.push(candidate.route.get());
        }
    }
}

fn counted(table: &RouteTable, value: &str) -> Counting {
    counted_of(table, format!("{{\"v\": {value}}}"))
}

fn counted_of(table: &RouteTable, payload: String) -> Counting {
    let (mut memory, mut counting) = (Memory::default(), Counting::default());
    memory.begin(table.readers, 0);
    let event = WithPayload { topic: "t", payload };
    table.ask(&event, &mut memory, &mut counting).unwrap();
    counting.matched.sort_unstable();
    counting
}

/// Members of groups stand in looks, and every event of the group tests for what these ask.
fn members(table: &RouteTable) -> usize {
    table.groups.members.len()
}

#[test]
fn of_many_intervals_an_event_meets_those_that_its_number_is_in() {
    let table = table((0..ROUTES).map(|n| of_field(between(3 * n, 3 * n + 5))));
    assert_eq!(members(&table), 0, "all are filed, none stays in a group");
    for value in (0..ROUTES).step_by(97) {
        let met = counted(&table, &value.to_string());
        let expected: Vec<usize> = (0..ROUTES).filter(|n| 3 * n < value && value <= 3 * n + 5).collect();
        assert_eq!(met.matched, expected, "{value}");
        assert!(met.decided < 100, "{value}: {} routes were decided", met.decided);
        assert_eq!(met.decided, met.matched.len(), "who is met by a number wants it");
    }
}

#[test]
fn of_many_ends_of_texts_an_event_meets_those_that_its_text_has() {
    // Of so many lengths that not each is looked up by itself.
    let end = |n: usize| format!("{n:05}{}", "-".repeat(n % 30));
    let test = |n: usize| match n % 4 {
        0 => predicate::Test::Prefix(end(n)),
        1 => predicate::Test::Suffix(end(n)),
        2 => predicate::Test::Wildcard(format!("{}*", end(n))),
        _ => predicate::Test::Wildcard(format!("*{}", end(n))),
    };
    let table = table((0..ROUTES).map(|n| of_field(test(n))));
    let mut decided = 0;
    for n in (0..ROUTES).step_by(97) {
        for (value, at) in [(format!("\"{}x\"", end(n)), [0, 2]), (format!("\"x{}\"", end(n)), [1, 3])] {
            let met = counted(&table, &value);
            assert_eq!(met.matched.contains(&n), at.contains(&(n % 4)), "{value}");
            decided = decided.max(met.decided);
        }
    }
    assert!((1..100).contains(&decided), "{decided} routes were decided");
    assert!(table.groups.rows.iter().all(|group| group.members < 100), "none is in a large group");
}

#[test]
fn of_many_blocks_of_addresses_an_event_meets_those_that_its_address_is_in() {
    let block = |n: usize| match n % 2 {
        0 => format!("10.{}.{}.0/24", n / 256, n % 256),
        _ => format!("2001:db8:{n:x}::/48"),
    };
    let table = table((0..ROUTES).map(|n| of_field(predicate::Test::Cidr(Cidrs { blocks: vec![block(n)] }))));
    assert_eq!(members(&table), 0, "all are filed, none stays in a group");
    for n in (0..ROUTES).step_by(97) {
        let [v4, mapped] = ["", "::ffff:"].map(|start| format!("\"{start}10.{}.{}.7\"", n / 256, n % 256));
        let v6 = format!("\"2001:db8:{n:x}::7\"");
        let expected = |is_of_version: bool| if is_of_version { vec![n] } else { vec![] };
        for (value, expected) in
            [(v4, expected(n % 2 == 0)), (mapped, expected(n % 2 == 0)), (v6, expected(n % 2 == 1))]
        {
            assert_eq!(counted(&table, &value).matched, expected, "{value}");
        }
    }
}

#[test]
fn conditions_in_cel_are_filed_as_others_are() {
    let of_cel = |text| Condition { kind: Some(condition::Kind::Cel(text)) };
    let table = table((0..ROUTES).map(|n| of_cel(format!("payload.v == 'user-{n}' && payload.coins > {}", n % 7))));
    for n in (0..ROUTES).step_by(97) {
        let met = counted_of(&table, format!("{{\"v\": \"user-{n}\", \"coins\": 3}}"));
        assert_eq!((met.decided <= 1, met.matched), (true, if n % 7 < 3 { vec![n] } else { vec![] }));
    }
}

#[test]
fn of_many_fields_an_event_meets_the_routes_about_those_that_it_has() {
    let of_cel = |text| Condition { kind: Some(condition::Kind::Cel(text)) };
    // A place within an object, which a pattern finds under dotted names, too.
    let of_pattern = |text| Condition { kind: Some(condition::Kind::EventPattern(text)) };
    let wants = |n: usize| match n % 5 {
        0 => of_cel(format!("payload.f{n} == 'a' && payload.g{n} == 'b'")),
        1 => of_cel(format!("payload.f{n}.contains('a') && payload.g{n} != 7")),
        2 => of_cel(format!("has(payload.f{n}) && payload.g{n} == 'b'")),
        3 => of_cel(format!("payload.f{n} > 3 || payload.f{n} == 'a'")),
        _ => of_pattern(format!("{{\"f{n}\": {{\"x\": [{{\"anything-but\": \"b\"}}]}}}}")),
    };
    let table = table((0..5_000).map(wants));
    for n in (0..5_000).step_by(97) {
        let (f, g) = (format!("\"f{n}\""), format!("\"g{n}\": \"b\""));
        let payloads = match n % 5 {
            4 => vec![format!("{{{f}: {{\"x\": \"a\"}}}}"), format!("{{\"f{n}.x\": \"a\"}}")],
            _ => vec![format!("{{{f}: \"a\", {g}}}"), format!("{{{g}, \"f{}\": \"c\", {f}: \"a\"}}", n + 1)],
        };
        for payload in payloads {
            let met = counted_of(&table, payload.clone());
            assert_eq!(met.matched, [n], "{payload}");
            assert!(met.decided <= 3, "{payload}: {} routes were decided", met.decided);
        }
    }
    assert_eq!(counted(&table, "1").decided, 0);
    assert!(table.groups.bits.words() < 5_000 * 16, "{} words of bits", table.groups.bits.words());
}

#[test]
fn what_most_events_have_is_no_reason_to_file_a_route_under_it() {
    let open = |n| predicate::Test::Range(Range { lower: Some(range::Lower::Above(number(n))), upper: None });
    let table = table((0..200).map(|n| of_field(open(n))));
    assert!(table.groups.accesses.list.is_empty(), "an event has half of these intervals");
    assert_eq!(members(&table), 200);
}

#[test]
fn a_route_that_wants_a_text_or_an_end_or_an_interval_is_filed_under_all_of_them() {
    let either = |conditions| Condition { kind: Some(condition::Kind::Any(Conditions { conditions })) };
    let wants = |n: usize| {
        let text = Literal { kind: Some(literal::Kind::Text(format!("text-{n}"))) };
        let tests = [
            predicate::Test::Equals(text),
            predicate::Test::Prefix(format!("{n:03}-")),
            predicate::Test::Suffix(format!("-{n:03}")),
            between(10 * n, 10 * n + 1),
            predicate::Test::Equals(number(10 * n + 5)),
            predicate::Test::Cidr(Cidrs { blocks: vec![format!("10.0.{n}.0/24")] }),
        ];
        either(tests.map(of_field).to_vec())
    };
    let table = table((0..200).map(wants));
    let [Access { prefix_lengths: 1, suffix_lengths: 1, .. }] = table.groups.accesses.list[..] else {
        panic!("one access for all: {:?}", table.groups.accesses.list);
    };
    assert_eq!(table.groups.accesses.trees.len(), 2);
    assert_eq!(members(&table), 0);
    for (value, expected) in [
        ("\"text-17\"", vec![17]),
        ("\"017-\"", vec![17]),
        ("\"-017\"", vec![17]),
        ("\"016-017\"", vec![16, 17]),
        ("171", vec![17]),
        ("170", vec![]),
        ("175", vec![17]),
        ("\"10.0.17.1\"", vec![17]),
        ("[175, \"\\u0074ext-18\", 1e9]", vec![17, 18]),
    ] {
        assert_eq!(counted(&table, value).matched, expected, "{value}");
    }
}

/// Half of all numbers pass each of these, so that hardly anybody is filed under what he wants.
fn halves() -> impl Strategy<Value = Vec<(Vec<i32>, bool, bool)>> {
    let half = (prop::collection::vec(-400..400i32, 1..3), any::<bool>(), prop::bool::weighted(0.2));
    prop::collection::vec(half, 300..500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn routes_that_half_of_all_numbers_match_are_found_by_few_steps(
        halves in halves(),
        events in prop::collection::vec(prop::collection::vec(-410..410i32, 0..3), 20),
    ) {
        let of = |kind| Condition { kind: Some(kind) };
        let literal = |bound: i32| Literal { kind: Some(literal::Kind::Number(bound.to_string())) };
        let condition = |(bounds, is_above, is_not): &(Vec<i32>, bool, bool)| {
            let tests = bounds.iter().map(|bound| predicate::Test::Range(match is_above {
                true => Range { lower: Some(range::Lower::Above(literal(*bound))), upper: None },
                false => Range { lower: None, upper: Some(range::Upper::AtMost(literal(*bound))) },
            }));
            let any = of(condition::Kind::Any(Conditions { conditions: tests.map(of_field).collect() }));
            if *is_not { of(condition::Kind::Not(Box::new(any))) } else { any }
        };
        let table = table(halves.iter().map(condition));
        prop_assert!(!table.groups.zones.steps.is_empty());
        for event in events {
            let expected = (0..).zip(&halves).filter(|(_, (bounds, is_above, is_not))| {
                let passes = |value: &i32| bounds.iter().any(|bound| (value > bound) == *is_above);
                event.iter().any(passes) != *is_not
            });
            let expected: Vec<usize> = expected.map(|(n, _)| n).collect();
            prop_assert_eq!(counted(&table, &format!("{event:?}")).matched, expected, "{:?}", event);
        }
    }
}

#[test]
fn a_group_of_very_many_members_needs_no_more_memory_for_each() {
    let contains = |n: usize| of_field(predicate::Test::Contains(format!("<{n}>")));
    let table = table((0..ROUTES).map(contains));
    assert_eq!(members(&table), ROUTES, "nothing tells them apart");
    assert!(table.groups.bits.words() < ROUTES * 4, "{} words of bits", table.groups.bits.words());
    for n in [0, 4_095, 4_096, ROUTES - 1] {
        assert_eq!(
            counted(&table, &format!("\"some <{n}> <1>\"")).matched,
            if n == 0 { vec![0, 1] } else { vec![1, n] }
        );
    }
    let filed = table.filed(&[0]);
    assert!(filed.iter().all(|filed| filed.types.any), "each is found under its type");
}

#[test]
fn few_routes_that_must_be_searched_for_do_not_make_every_event_search() {
    let either = |n: usize, test| {
        let text = Literal { kind: Some(literal::Kind::Text(format!("text-{n}"))) };
        Condition {
            kind: Some(condition::Kind::Any(Conditions {
                conditions: [predicate::Test::Equals(text), test].map(of_field).to_vec(),
            })),
        }
    };
    let text =
        |n: usize| of_field(predicate::Test::Equals(Literal { kind: Some(literal::Kind::Text(format!("text-{n}"))) }));
    for (searchers, stay) in [(63, 63), (64, 0)] {
        let wants =
            |n: usize| if n < searchers { either(n, predicate::Test::Prefix(format!("{n:03}-"))) } else { text(n) };
        let table = table((0..500).map(wants));
        assert_eq!(members(&table), stay, "{searchers}");
        assert_eq!(counted(&table, "\"017-\"").matched, [17], "{searchers}");
        assert_eq!(counted(&table, "\"text-17\"").matched, [17], "{searchers}");
    }
}

/// The property test over these maps compares what an event gets; this says that it is about accesses of every kind.
#[test]
fn generated_maps_of_many_routes_have_accesses_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..200 {
        let table = compile(&support::many_routes().new_tree(&mut runner).unwrap().current()).unwrap();
        let spaces: Vec<u32> = table.types.iter().map(|(space, ..)| space).collect();
        let mut see = |kind, is_seen| *seen.entry(kind).or_default() += usize::from(is_seen);
        see("many accesses", table.groups.rows.iter().any(|group| group.accesses > 20));
        for access in &table.groups.accesses.list {
            see("any value", access.has_any);
            see("whole texts", spaces.contains(&access.space_of(Affix::Whole)));
            see("beginnings", access.prefix_lengths > 0);
            see(
                "as many lengths as can be",
                usize::from(access.prefix_lengths.max(access.suffix_lengths)) == LENGTHS_MAX,
            );
            see("ends", access.suffix_lengths > 0);
            let trees = [Line::Numbers, Line::Addresses].map(|line| table.groups.accesses.tree(access.trees.of(line)));
            see("numbers", trees[0].is_some());
            see("addresses", trees[1].is_some());
            see(
                "groups at nodes",
                table
                    .groups
                    .accesses
                    .of_nodes(access)
                    .any(|payload| matches!(Candidate::lead_of(payload), crate::table::Lead::Group(_))),
            );
        }
    }
    assert!(seen.len() == 9 && seen.values().all(|count| *count >= 5), "{seen:?}");
}
