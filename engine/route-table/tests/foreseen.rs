//! What is said of an event before all was looked up that it depends on: what is certain, and nothing else.

mod support;
#[path = "support/text_format.rs"]
mod text_format;

use proptest::prelude::*;
use proptest::sample::Index;
use support::{Found, OwnedEvent, World, event, expected, make_defaults_right, read, route_map, world};
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::{
    Answers, Deliveries, Delivery, Explanation, Outcome, RouteTable, UnplacedExplanation, Verdict, compile, diff_event,
    diff_event_with,
};

/// A table with a lookup by the record's key, and what else `text` says.
fn table(text: &str) -> RouteTable {
    let lookup = r#"lookups { id: "c" key { part: RECORD_PART_KEY } table { kafka { topic: "tiers" } } }"#;
    compile(&text_format::route_map(&format!("name: 'm' {lookup} {text}"))).unwrap()
}

/// An event of this tenant, with the key `k`.
fn of_tenant(tenant: &str) -> OwnedEvent {
    let headers = [("ce_type", "a"), ("ce_tenant", tenant)];
    OwnedEvent {
        topic: "t".to_owned(),
        key: Some(b"k".to_vec()),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec()))).into(),
        payload: None,
        timestamp: None,
    }
}

const LAKE: &str = r#"
    destinations { id: "rest" kafka { topic: "rest" } }
    destinations { id: "lake" kafka { topic: "lake-{tenant}" otherwise: "rest" } }
    destinations { id: "plain" kafka { topic: "plain" } }
    destinations { id: "desk" kafka { topic: "desk" } }
    tenants { id: "acme" }
"#;
const TO_LAKE: &str = r#"routes { id: "to-lake" types { any: true } to: "lake" }"#;
const TO_PLAIN: &str = r#"routes { id: "to-plain" types { any: true } to: "plain" }"#;
const VIP: &str = r#"routes { id: "vip" types { any: true } to: "desk" when { cel: "lookup.c.tier == 'gold'" } }"#;

fn sent(explanation: &Explanation) -> Vec<(&str, Option<&str>)> {
    let deliveries = explanation.deliveries.iter();
    deliveries.map(|delivery| (delivery.topic.as_str(), delivery.route.as_deref())).collect()
}

#[test]
fn a_destination_with_placeholders_does_not_wait_for_lookups_of_others() {
    let table = table(&[LAKE, VIP, TO_LAKE, TO_PLAIN].concat());
    let explanation = table.explain(&of_tenant("acme"));
    assert_eq!(sent(&explanation), [("plain", Some("to-plain")), ("lake-acme", Some("to-lake"))]);
    assert_eq!(explanation.needs, [("c".to_owned(), "k".to_owned())]);
    let explanation = table.explain(&of_tenant("other"));
    assert_eq!(sent(&explanation), [("plain", Some("to-plain")), ("rest", Some("to-lake"))]);
    assert_eq!(explanation.unplaced[0].instead.as_deref(), Some("rest"));
}

#[test]
fn what_is_certain_in_an_exclusive_group_does_not_wait_for_the_rest_of_it() {
    let group = |more: &str| format!(r#"exclusive {{ group: "g" {more} }} "#);
    let route = |id: &str, to: &str, more: &str| {
        format!(r#"routes {{ id: "{id}" types {{ any: true }} to: "{to}" {} }}"#, group(more))
    };
    let vip = |more: &str| VIP.replacen("when", &format!("{} when", group(more)), 1);
    let deliveries = |routes: &[String]| {
        let explanation = table(&[LAKE, &routes.concat()].concat()).explain(&of_tenant("acme"));
        sent(&explanation).iter().map(|(topic, _)| (*topic).to_owned()).collect::<Vec<_>>()
    };
    let first = route("first", "plain", "continues: true");
    assert_eq!(deliveries(&[first, vip("")]), ["plain"]);
    assert_eq!(deliveries(&[vip("continues: true"), route("second", "plain", "")]), ["plain"]);
    assert!(deliveries(&[vip(""), route("second", "plain", "")]).is_empty());
    assert!(deliveries(&[vip("continues: true"), route("last", "plain", "default: true")]).is_empty());
}

#[test]
fn a_route_of_a_tenant_whose_routes_are_anothers_too_is_named_as_its_own() {
    let own = |id: &str| {
        let route = TO_PLAIN.replace("to-plain", &format!("{id}-plain"));
        let vip = VIP.replace("vip", &format!("{id}-vip"));
        format!(r#"tenants {{ id: "{id}" {route} {vip} }}"#)
    };
    let table = table(&[LAKE, &own("one"), &own("two")].concat());
    assert_eq!(sent(&table.explain(&of_tenant("two"))), [("plain", Some("two-plain"))]);
}

#[test]
fn where_an_event_goes_that_goes_nowhere_yet_is_not_where_else() {
    let said = |routes: &[&str]| table(&[&[LAKE], routes].concat().concat()).explain(&of_tenant("acme")).to_string();
    assert!(said(&[VIP]).contains("\nwhere it goes depends on lookup c of k\n"), "{}", said(&[VIP]));
    assert!(said(&[VIP, TO_LAKE]).contains("\nwhere else it goes depends on lookup c of k\n"));
}

/// All that lookups find for an event; also for those that it has no key for, which nobody asks.
fn answers(map: &RouteMap, table: &RouteTable, event: &OwnedEvent, world: &World) -> Answers {
    let mut answers = Answers::new();
    let keys = read(map, event).map(|read| read.keys).unwrap_or_default();
    for (at, (lookup, key)) in map.lookups.iter().zip(keys).enumerate() {
        let lookup = table.lookup_index(&lookup.id).unwrap();
        match key.map(|key| world.find(at, &key)) {
            Some(Found::Bytes(bytes)) => answers.found(lookup, bytes.as_bytes()),
            Some(Found::Nothing) => answers.not_found(lookup),
            Some(Found::Failure) => answers.failed(lookup),
            None => answers.found(lookup, b"1"),
        }
    }
    answers
}

/// Routes an event, answering what is asked for.
fn routed(table: &RouteTable, event: &OwnedEvent, answers: &Answers) -> Deliveries {
    let mut out = Deliveries::new();
    table.route(event, &mut out);
    while out.verdict() == Verdict::Waiting {
        table.resume(event, answers, &mut out);
    }
    out
}

/// Changes some routes of a map; lookups and destinations stay.
fn changed(old: &RouteMap, changes: &[(Index, Index, u8)]) -> RouteMap {
    let mut new = old.clone();
    for (place, from, what) in changes {
        let from = &old.routes[from.index(old.routes.len())];
        let place = place.index(new.routes.len());
        let route = &mut new.routes[place];
        match what % 5 {
            0 => route.when = from.when.clone(),
            1 => route.to = from.to.clone(),
            2 => route.exclusive = from.exclusive.clone(),
            3 => route.disabled = !route.disabled,
            _ if new.routes.len() > 1 => drop(new.routes.remove(place)),
            _ => {}
        }
    }
    make_defaults_right(&mut new.routes);
    new
}

/// What one map says and the other one does not, and what both say otherwise.
fn compare(old: &RouteMap, new: &RouteMap, event: &OwnedEvent, world: &World) {
    let (before, after) = (compile(old).unwrap(), compile(new).unwrap());
    let known = (answers(old, &before, event, world), answers(new, &after, event, world));
    let all = diff_event_with((&before, &known.0), (&after, &known.1), event);
    assert!(!all.depends_on_lookups());
    let ((was, was_dead), (is, is_dead)) = (expected(old, event, world).fate(), expected(new, event, world).fate());
    assert_eq!(all.is_empty(), (&was, was_dead) == (&is, is_dead), "{all}");
    assert_eq!(all.dead_letter, (Some(was_dead), Some(is_dead)));
    assert!(all.gained.iter().all(|(to, route)| is[to].route == *route && !was.contains_key(to)), "{all}");
    assert!(all.lost.iter().all(|(to, route)| was[to].route == *route && !is.contains_key(to)), "{all}");
    let sure = diff_event(&before, &after, event);
    let names = |list: &[(String, Option<String>)]| list.iter().map(|(to, _)| to.clone()).collect::<Vec<_>>();
    assert!(names(&sure.gained).iter().all(|to| names(&all.gained).contains(to)), "{sure}\n{all}");
    assert!(names(&sure.lost).iter().all(|to| names(&all.lost).contains(to)), "{sure}\n{all}");
    assert!(sure.moved.iter().all(|moved| all.moved.contains(moved)), "{sure}\n{all}");
    assert!(sure.readdressed.iter().all(|to| all.readdressed.contains(to)), "{sure}\n{all}");
    assert!(sure.dead_letter.0.is_none_or(|dead| dead == was_dead), "{sure}");
    assert!(sure.dead_letter.1.is_none_or(|dead| dead == is_dead), "{sure}");
    if !sure.depends_on_lookups() {
        assert_eq!(sure, all);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_explained_with_answers_is_what_happens_and_what_is_certain_without_comes_with_any(
        map in route_map(),
        events in prop::collection::vec(event(), 1..10),
        worlds in prop::collection::vec(world(), 1..4),
    ) {
        let table = compile(&map).unwrap();
        for (event, world) in events.iter().flat_map(|event| worlds.iter().map(move |world| (event, world))) {
            let answers = answers(&map, &table, event, world);
            let out = routed(&table, event, &answers);
            let known = table.explain_with(event, &answers);
            prop_assert_eq!(known.verdict, out.verdict());
            prop_assert_eq!(&known.needs, &[]);
            prop_assert_eq!(&known.undecided, &out.undecided().map(|route| table.route_id(route).to_owned()));
            let told = |delivery: &Delivery| {
                let destination = table.destination(delivery.destination).unwrap();
                let route = delivery.route.map(|route| table.route_id(route).to_owned());
                (destination.id.to_owned(), destination.topic.to_owned(), route)
            };
            let of_known = known.deliveries.iter().cloned().map(|one| (one.destination, one.topic, one.route));
            prop_assert_eq!(of_known.collect::<Vec<_>>(), out.list().iter().map(told).collect::<Vec<_>>());

            let sure = table.explain(event);
            prop_assert_eq!(sure.needs.is_empty(), sure.verdict != Verdict::Waiting);
            let topics: Vec<&str> = known.deliveries.iter().map(|delivery| delivery.topic.as_str()).collect();
            prop_assert!(sure.deliveries.iter().all(|delivery| topics.contains(&delivery.topic.as_str())), "{}", sure);
            prop_assert!(sure.undecided.is_none() || known.undecided.is_some(), "{}", sure);
            let unplaced = |told: &UnplacedExplanation| known.unplaced.iter().any(|one| one.destination == told.destination);
            prop_assert!(sure.unplaced.iter().all(unplaced), "{}", sure);
            for (sure, known) in sure.routes.iter().zip(&known.routes) {
                let agrees = match &sure.outcome {
                    Outcome::Waiting(_) => true,
                    Outcome::Matched => known.outcome == Outcome::Matched,
                    Outcome::Deferred => matches!(known.outcome, Outcome::Matched | Outcome::Excluded(None)),
                    Outcome::Excluded(None) => known.outcome == Outcome::Excluded(None),
                    Outcome::Excluded(Some(_)) => known.outcome != Outcome::Matched,
                    sure => std::mem::discriminant(sure) == std::mem::discriminant(&known.outcome),
                };
                prop_assert!(agrees, "{:?} is {:?}", sure, known);
            }
        }
    }

    #[test]
    fn what_changes_for_certain_changes_with_any_answers(
        map in route_map(),
        changes in prop::collection::vec(any::<(Index, Index, u8)>(), 0..4),
        events in prop::collection::vec(event(), 1..10),
        world in world(),
    ) {
        let new = changed(&map, &changes);
        events.iter().for_each(|event| compare(&map, &new, event, &world));
    }
}
