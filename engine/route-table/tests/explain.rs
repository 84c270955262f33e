//! What is said of an event is what becomes of it, and every reason that is given is one.

mod support;

use proptest::prelude::*;
use support::evaluate::json::Json;
use support::evaluate::{Given, elements_of, evaluate_within, values_of};
use support::{OwnedEvent, Record, event, is_asked, many_routes, plain_route_map, truths, without_lookups};
use veltrix_proto::v1::{self, Condition, Destination, EventTypes, KafkaTopic, Route, RouteMap, Tenant, condition};
use veltrix_route_table::{
    Actual, Because, Cause, Deliveries, DeliveryExplanation, Explanation, NoFields, Outcome, RouteTable, SharePlace,
    TenantFound, Truth, ValueKind, compile,
};

fn known(truth: Truth) -> support::Truth {
    match truth {
        Truth::False => support::Truth::False,
        Truth::True => support::Truth::True,
        Truth::Absent => support::Truth::Absent,
        Truth::Pending(_) => panic!("there is nothing to be looked up"),
    }
}

/// Checks a cause, and all that it rests on, against the naive reading of the parts that it names.
fn check(cause: &Cause, record: &Record, elements: &[&Json]) {
    let said = evaluate_within(&cause.condition, record, elements);
    assert_eq!(said, known(cause.truth), "{cause}\n{:?}", cause.condition);
    let kind = cause.condition.kind.as_ref().unwrap();
    match (&cause.because, kind) {
        (Because::Value { actual, .. }, condition::Kind::Predicate(predicate)) => {
            let readable = actual.values.iter().filter(|value| value.kind != ValueKind::Broken).count();
            assert_eq!(readable + actual.more, values_of(predicate, record, elements), "{cause}");
            check_shares(cause, predicate, actual);
        }
        (Because::Value { actual, .. }, condition::Kind::Not(inner)) => {
            let condition::Kind::Predicate(predicate) = inner.kind.as_ref().unwrap() else { panic!("{cause}") };
            assert_eq!(actual.values.len() + actual.more, values_of(predicate, record, elements), "{cause}");
        }
        (Because::Value { .. }, condition::Kind::AnyElement(any)) => {
            assert!(elements_of(any, record, elements).is_empty(), "{cause}");
        }
        (Because::Parts { parts, more }, condition::Kind::All(all) | condition::Kind::Any(all)) => {
            assert_eq!(parts.len() + more, all.conditions.len(), "{cause}");
            // All of `all` hold, or none of `any` does.
            parts.iter().for_each(|part| assert_eq!(part.truth, cause.truth, "{cause}"));
            parts.iter().for_each(|part| check(part, record, elements));
        }
        (Because::Opposite(inner), condition::Kind::Not(_)) => check(inner, record, elements),
        (Because::Elements { elements: told, more, .. }, condition::Kind::AnyElement(any)) => {
            let all = elements_of(any, record, elements);
            if cause.truth == Truth::False {
                assert_eq!(told.len() + more, all.len(), "{cause}");
            }
            for (number, inner) in told {
                assert_eq!(inner.truth, cause.truth, "{cause}");
                check(inner, record, &[elements, &[all[*number]]].concat());
            }
        }
        (because, kind) => panic!("{because:?} of {kind:?}"),
    }
}

/// A test for a share tells the places of texts and numbers, and it is these that decide.
fn check_shares(cause: &Cause, predicate: &v1::Predicate, actual: &Actual) {
    let Some(v1::predicate::Test::Share(share)) = &predicate.test else {
        return assert!(actual.values.iter().all(|value| value.share.is_none()), "{cause}");
    };
    let mut is_in = false;
    for value in &actual.values {
        let is_about = matches!(value.kind, ValueKind::Text | ValueKind::Number);
        assert_eq!((value.share.is_some(), value.is_of_other_type), (is_about, !is_about), "{cause}");
        if let Some(SharePlace { place, from, to }) = value.share {
            assert_eq!((from, to), (share.from, share.to));
            is_in |= (from..to).contains(&place);
        }
    }
    let says_nothing_else = predicate.on_other_type < 2 && !actual.values.is_empty() && actual.more == 0;
    assert!(!says_nothing_else || is_in == (cause.truth == Truth::True), "{cause}");
}

/// A route of an exclusive group is asked or names the one before it, which delivers.
fn check_groups(explanation: &Explanation, expected: &[support::Met], of_all: usize) {
    let routes = explanation.routes.iter().zip(expected).collect::<Vec<_>>();
    let (of_all, of_tenant) = routes.split_at(of_all);
    for of_slot in [of_all, of_tenant] {
        let met = of_slot.iter().filter(|(_, (_, truth))| truth.is_some()).collect::<Vec<_>>();
        let decided: Vec<(&Route, support::Truth)> =
            met.iter().map(|(_, (route, truth))| (*route, truth.unwrap())).collect();
        for (at, (told, (route, truth))) in met.iter().enumerate() {
            let asked = is_asked(&decided, at);
            assert_eq!(told.outcome == Outcome::Matched, asked && *truth == Some(support::Truth::True), "{told:?}");
            if let Outcome::Absent { dead_letter, .. } = told.outcome {
                assert_eq!(dead_letter, asked && route.on_absent == 2, "{told:?}");
            }
            assert_eq!(told.exclusive.as_ref().is_none_or(|own| own.behind.is_none()), asked, "{told:?}");
            let Some(behind) = told.exclusive.as_ref().and_then(|own| own.behind.as_ref()) else { continue };
            let (before, (before_route, _)) = met.iter().find(|(other, _)| other.id == *behind).unwrap();
            assert_eq!(before.outcome, Outcome::Matched, "{told:?}");
            let group = |route: &Route| route.exclusive.clone().unwrap().group;
            assert_eq!(group(before_route), group(route));
        }
        for (told, (route, _)) in of_slot {
            let own = told.exclusive.as_ref().map(|own| (own.group.clone(), own.is_default));
            assert_eq!(own, route.exclusive.as_ref().map(|own| (own.group.clone(), own.default)), "{told:?}");
        }
    }
}

fn compare(table: &RouteTable, map: &RouteMap, event: &OwnedEvent) {
    let explanation = table.explain(event);
    let mut out = Deliveries::new();
    table.route(event, &mut out);
    let delivered = out.list().iter().map(|delivery| DeliveryExplanation {
        destination: table.destination(delivery.destination).unwrap().id.to_owned(),
        topic: table.destination(delivery.destination).unwrap().topic.to_owned(),
        route: delivery.route.map(|route| table.route_id(route).to_owned()),
    });
    assert_eq!(explanation.deliveries, delivered.collect::<Vec<_>>());
    assert_eq!(explanation.verdict, out.verdict());
    assert!(!explanation.to_string().is_empty());
    let Some((record, expected)) = truths(map, event) else {
        assert!(explanation.event_type.is_err() && explanation.routes.is_empty());
        return;
    };
    let ids: Vec<&str> = explanation.routes.iter().map(|route| route.id.as_str()).collect();
    assert_eq!(ids, expected.iter().map(|(route, _)| route.id.as_str()).collect::<Vec<_>>());
    let tenant = map.tenants.iter().find(|tenant| record.tenant == Given::Bytes(tenant.id.clone().into_bytes()));
    assert_eq!(explanation.has_policy_of_tenant, tenant.is_some_and(|tenant| tenant.unmatched.is_some()));
    check_groups(&explanation, &expected, map.routes.len());
    for (route, (written, truth)) in explanation.routes.iter().zip(&expected) {
        let said = match &route.outcome {
            Outcome::Matched | Outcome::Excluded(None) => Some(support::Truth::True),
            Outcome::Disabled | Outcome::OtherType(_) => None,
            Outcome::NoMatch(_) => Some(support::Truth::False),
            Outcome::Absent { .. } => Some(support::Truth::Absent),
            other @ (Outcome::Waiting(_) | Outcome::Deferred | Outcome::Excluded(Some(_))) => {
                panic!("there is nothing to be looked up: {other:?}")
            }
        };
        assert_eq!(said, *truth, "{}: {:?}", route.id, written.when);
        assert_eq!(route.outcome == Outcome::Disabled, written.disabled);
        if let Outcome::NoMatch(cause) | Outcome::Absent { cause, .. } = &route.outcome {
            check(cause, &record, &[]);
            assert!(cause.tests().len() <= 64, "an explanation is bounded");
        }
        if let Some(truth) = said {
            let told = table.tell_undecided(event, route.route, None);
            assert_eq!(told.is_some(), truth == support::Truth::Absent, "{told:?}");
        }
        if let Some(when) = &written.when {
            let kept = table.condition(route.route).unwrap();
            assert_eq!(
                evaluate_within(&kept, &record, &[]),
                evaluate_within(when, &record, &[]),
                "{kept:?} is not {when:?}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_verdict_is_right_and_every_reason_is_one(
        map in plain_route_map(),
        events in prop::collection::vec(event(), 1..20),
    ) {
        let table = compile(&map).unwrap();
        events.iter().for_each(|event| compare(&table, &map, event));
    }

    #[test]
    fn routes_that_are_filed_under_values_are_explained_like_others(
        map in many_routes().prop_map(without_lookups),
        events in prop::collection::vec(event(), 1..5),
    ) {
        let table = compile(&map).unwrap();
        events.iter().for_each(|event| compare(&table, &map, event));
    }

    #[test]
    fn a_condition_that_a_table_tells_makes_the_same_table(map in plain_route_map()) {
        let table = compile(&map).unwrap();
        let told = |table: &RouteTable| {
            let all = all_routes(&map).count();
            (0..all).map(|at| table.condition(table.route_index(at).unwrap())).collect::<Vec<_>>()
        };
        let first = told(&table);
        let mut again = map.clone();
        all_routes_mut(&mut again).zip(&first).for_each(|(route, when)| route.when = when.clone());
        prop_assert_eq!(told(&compile(&again).unwrap()), first);
    }
}

fn all_routes(map: &RouteMap) -> impl Iterator<Item = &Route> {
    map.routes.iter().chain(map.tenants.iter().flat_map(|tenant| &tenant.routes))
}

fn all_routes_mut(map: &mut RouteMap) -> impl Iterator<Item = &mut Route> {
    map.routes.iter_mut().chain(map.tenants.iter_mut().flat_map(|tenant| &mut tenant.routes))
}

/// A map with one route about `hunt.clue.found` and one about others, and one for the tenant `live`.
fn map_of(when: condition::Kind) -> RouteMap {
    let types = |exact: &str| Some(EventTypes { exact: vec![exact.to_owned()], ..EventTypes::default() });
    let route = |id: &str, exact: &str| Route {
        id: id.to_owned(),
        types: types(exact),
        to: vec!["board".to_owned()],
        ..Route::default()
    };
    RouteMap {
        name: "hunt".to_owned(),
        destinations: vec![Destination {
            id: "board".to_owned(),
            kind: Some(v1::destination::Kind::Kafka(KafkaTopic {
                topic: "hunt-board".to_owned(),
                ..Default::default()
            })),
        }],
        routes: vec![
            Route { when: Some(Condition { kind: Some(when) }), ..route("clues", "hunt.clue.found") },
            route("chests", "hunt.chest.opened"),
        ],
        tenants: vec![Tenant {
            id: "live".to_owned(),
            routes: vec![route("own", "hunt.clue.found")],
            ..Tenant::default()
        }],
        ..RouteMap::default()
    }
}

fn of_clue(payload: &str) -> OwnedEvent {
    OwnedEvent {
        topic: "game-events".to_owned(),
        key: None,
        headers: vec![("ce_type".to_owned(), Some(b"hunt.clue.found".to_vec()))],
        payload: Some(payload.to_owned()),
        timestamp: None,
    }
}

fn explained(when: condition::Kind, payload: &str) -> Explanation {
    compile(&map_of(when)).unwrap().explain(&of_clue(payload))
}

/// What is said of the route with the condition.
fn said(when: condition::Kind, payload: &str) -> String {
    match &explained(when, payload).routes[0].outcome {
        Outcome::NoMatch(cause) => cause.to_string(),
        Outcome::Absent { cause, .. } => format!("absent: {cause}"),
        other => format!("{other:?}"),
    }
}

fn cel(text: &str, payload: &str) -> String {
    said(condition::Kind::Cel(text.to_owned()), payload)
}

fn pattern(text: &str, payload: &str) -> String {
    said(condition::Kind::EventPattern(text.to_owned()), payload)
}

#[test]
fn cel_is_answered_in_cel_with_what_the_event_has() {
    for (when, payload, expected) in [
        ("payload.points > 10", r#"{"points": 7}"#, "payload.points > 10: payload.points is 7"),
        ("payload.a == 1 && payload.b == 2", r#"{"a": 1, "b": 3}"#, "payload.b == 2: payload.b is 3"),
        ("payload.kind != 'gold'", r#"{"kind": "gold"}"#, "payload.kind != 'gold': payload.kind is 'gold'"),
        ("payload.points > 10", "{}", "absent: payload.points > 10: payload.points is missing"),
        (
            "payload.points > 10",
            r#"{"points": "many"}"#,
            "absent: payload.points > 10: payload.points is 'many' (a text, which this is not about)",
        ),
        (
            "payload.a == 1 || headers.x in ['y', 'z']",
            r#"{"a": 2}"#,
            // An error beside what is false.
            "absent: headers.x in ['y', 'z']: headers.x is missing",
        ),
        (
            "payload.a == 1 || payload.b == 2",
            r#"{"a": 2, "b": 3}"#,
            "payload.a == 1 || payload.b == 2: each of\n  payload.a == 1: payload.a is 2\n  payload.b == 2: payload.b is 3",
        ),
        (
            "payload.items.exists(x, x.price > 100 && x.kind == 'glass')",
            r#"{"items": [{"price": 7, "kind": "glass"}, {"price": 700, "kind": "wood"}]}"#,
            "payload.items.exists(x, x.price > 100 && x.kind == 'glass'): each element\n  payload.items[0]: x.price > 100: x.price is 7\n  payload.items[1]: x.kind == 'glass': x.kind is 'wood'",
        ),
        (
            "payload.items.exists(x, x.price > 100)",
            r#"{"items": []}"#,
            "payload.items.exists(x, x.price > 100): payload.items is []",
        ),
        (
            "payload.items.all(x, x > 100)",
            r#"{"items": [101, 7]}"#,
            "payload.items.all(x, x > 100): its opposite\n  payload.items.exists(x, !(x > 100)): an element\n    payload.items[1]: !(x > 100): x is 7",
        ),
        (
            "!(payload.a == 1 && payload.b == 2)",
            r#"{"a": 1, "b": 2}"#,
            "!(payload.a == 1 && payload.b == 2): its opposite\n  payload.a == 1 && payload.b == 2: each of\n    payload.a == 1: payload.a is 1\n    payload.b == 2: payload.b is 2",
        ),
    ] {
        assert_eq!(cel(when, payload), expected, "{when}");
    }
}

#[test]
fn an_event_pattern_is_answered_in_its_words() {
    for (when, payload, expected) in [
        (
            r#"{"state": ["running", {"prefix": "stop"}]}"#,
            r#"{"state": "paused"}"#,
            r#"{"state": ["running", {"prefix": "stop"}]}: state is "paused""#,
        ),
        (
            r#"{"detail": {"level": [{"numeric": [">", 1, "<=", 5.50]}], "name": ["a"]}}"#,
            r#"{"detail": {"level": 6, "name": "a"}}"#,
            r#"{"detail": {"level": [{"numeric": [">", 1, "<=", 5.5]}]}}: detail.level is 6"#,
        ),
        (
            r#"{"state": [{"anything-but": ["a", "b"]}]}"#,
            r#"{"state": ["a", "b"]}"#,
            r#"{"state": [{"anything-but": ["a", "b"]}]}: state has "a", "b""#,
        ),
        (r#"{"state": [{"exists": false}]}"#, r#"{"state": 1}"#, r#"{"state": [{"exists": false}]}: state is 1"#),
        (r#"{"state": [{"exists": true}]}"#, "{}", r#"{"state": [{"exists": true}]}: state is missing"#),
        (
            r#"{"ip": [{"cidr": "10.0.0.0/9"}, {"cidr": "10.128.0.0/9"}, "::1"]}"#,
            r#"{"ip": "11.0.0.1"}"#,
            r#"{"ip": [{"cidr": "10.0.0.0/8"}, "::1"]}: ip is "11.0.0.1""#,
        ),
    ] {
        assert_eq!(pattern(when, payload), expected, "{when}");
    }
    let elements = pattern(
        r#"{"items": {"price": [{"numeric": [">", 100]}], "kind": ["glass"]}}"#,
        r#"{"items": [{"price": 7, "kind": "glass"}, {"price": 700}]}"#,
    );
    assert_eq!(
        elements,
        concat!(
            r#"{"items": {...}}: each element"#,
            "\n  ",
            r#"items[0]: {"items": {"price": [{"numeric": [">", 100]}]}}: items.price is 7"#,
            "\n  ",
            r#"items[1]: {"items": {"kind": ["glass"]}}: items.kind is missing"#,
        )
    );
}

#[test]
fn lists_that_are_told_of_a_pattern_are_read_as_the_same_condition() {
    for list in [
        r#"["a", 1, true, null, "b"]"#,
        r#"[{"prefix": "a"}, {"suffix": "b"}, {"wildcard": "a*\\*b"}]"#,
        r#"[{"equals-ignore-case": "ab"}, {"prefix": {"equals-ignore-case": "c"}}]"#,
        r#"[{"numeric": ["=", 5]}, {"numeric": [">=", -1.5, "<", 1e400]}, {"numeric": ["<=", 0]}]"#,
        r#"[{"anything-but": "a"}]"#,
        r#"[{"anything-but": [1, 2]}, {"exists": false}]"#,
        r#"[{"anything-but": {"prefix": ["a", "b"]}}, {"anything-but": {"equals-ignore-case": ["a", "b"]}}]"#,
        r#"[{"cidr": "10.0.0.0/8"}, {"cidr": "2001:db8::/32"}, "2001:db8::1"]"#,
        r#"[{"exactly": "::1"}]"#,
        r#"[{"exists": true}]"#,
        r#"[{"prefix": ""}, 1]"#,
        r#"[{"suffix": ""}]"#,
    ] {
        // Missing, so that none of them matches, but for what wants that or nothing.
        let text = format!(r#"{{"a": {{"b": {list}}}}}"#);
        let when = condition::Kind::EventPattern(text.clone());
        let told = |when: condition::Kind| {
            let table = compile(&map_of(when)).unwrap();
            table.condition(table.route_index(0).unwrap())
        };
        let payload = if list.contains("false") { r#"{"a": {"b": [1, 2]}}"# } else { "{}" };
        let cause = pattern(&text, payload);
        let (words, _) = cause.rsplit_once(": ").unwrap();
        assert_eq!(told(condition::Kind::EventPattern(words.to_owned())), told(when), "{words}");
    }
}

#[test]
fn it_says_who_the_event_is_and_what_other_routes_are_about() {
    let when = || condition::Kind::Cel("payload.points > 10".to_owned());
    let explanation = explained(when(), r#"{"points": 70}"#);
    assert_eq!(
        explanation.to_string(),
        "type hunt.clue.found (header `ce_type`), no tenant\n\
         goes to board (topic hunt-board), by route clues\n\
         + clues: wants it\n  chests: is about hunt.chest.opened"
    );
    let table = compile(&map_of(when())).unwrap();
    let mut event = of_clue("not json");
    event.headers.push(("ce_tenant".to_owned(), Some(b"live".to_vec())));
    let explanation = table.explain(&event);
    assert_eq!(explanation.tenant, TenantFound::Known("live".to_owned()));
    assert_eq!(explanation.payload, Some(NoFields::Malformed { at: 0 }));
    assert!(explanation.routes[2].is_of_tenant && explanation.routes[2].outcome == Outcome::Matched);
    event.headers[1].1 = Some(b"dead".to_vec());
    assert_eq!(table.explain(&event).tenant, TenantFound::Unknown("dead".to_owned()));
    event.headers.clear();
    let unreadable = table.explain(&event).to_string();
    assert_eq!(unreadable, "the event has no type (header `ce_type`): it goes to the dead letters");
}

#[test]
fn what_is_said_is_bounded_and_says_how_much_is_left_out() {
    let numbers: Vec<String> = (0..100).map(|number| format!("payload.a == {number}")).collect();
    let said_of_any = cel(&numbers.join(" || "), r#"{"a": -1}"#);
    assert!(said_of_any.ends_with("\n  payload.a == 7: payload.a is -1\n  and 92 more"), "{said_of_any}");
    let array = vec!["7"; 1_000].join(",");
    let said_of_array = cel("payload.a.exists(x, x == 8)", &format!(r#"{{"a": [{array}]}}"#));
    assert!(said_of_array.ends_with("\n  and 992 more"), "{said_of_array}");
    let long = format!(r#"{{"a": "{}"}}"#, "ä".repeat(10_000));
    assert!(cel("payload.a == 'b'", &long).len() < 300);
    let nested = "payload.a.exists(x, x.exists(y, y == 1 || y == 2 || y == 3))";
    let inner = format!("[{}]", ["[7,7,7,7,7,7,7,7,7]"; 9].join(","));
    let said_of_nested = cel(nested, &format!(r#"{{"a": {inner}}}"#));
    assert!(said_of_nested.lines().count() < 80, "{said_of_nested}");
}

#[test]
fn a_share_is_answered_with_the_value_its_place_and_the_bounds() {
    // As in the comment of `Share` in route_map.proto.
    for (when, payload, expected) in [
        (
            "share(payload.id, 'new-flow', 0, 1000)",
            r#"{"id": "player-8"}"#,
            "share(payload.id, 'new-flow', 0, 1000): payload.id is 'player-8' (place 8326 of 10000; the share is from 0 to 999)",
        ),
        (
            "!share(payload.id, 'new-flow', 0, 1000)",
            r#"{"id": "player-7"}"#,
            "!share(payload.id, 'new-flow', 0, 1000): payload.id is 'player-7' (place 759 of 10000; the share is from 0 to 999)",
        ),
        (
            "share(double(payload.id), 'new-flow', 5000, 10000)",
            r#"{"id": "4.2e1"}"#,
            "share(double(payload.id), 'new-flow', 5000, 10000): payload.id is '4.2e1' (place 2398 of 10000; the share is from 5000 to 9999)",
        ),
    ] {
        assert_eq!(cel(when, payload), expected, "{when}");
    }
}

#[test]
fn what_an_undecided_route_lacks_is_told_in_one_line() {
    for (when, payload, expected) in [
        ("payload.points > 10", "{}", Some("payload.points is missing")),
        (
            "payload.points > 10",
            r#"{"points": "many"}"#,
            Some("payload.points is 'many' (a text, which this is not about)"),
        ),
        ("payload.points > 10", r#"{"points": 7}"#, None),
        ("payload.points > 10", r#"{"points": 11}"#, None),
        ("payload.a == 1 && !(payload.b == 2 || payload.c == 3)", r#"{"a": 1, "b": 3}"#, Some("payload.c is missing")),
        ("headers['x'] == 'y'", "{}", Some("headers.x is missing")),
        ("key == 'y' && payload.a == 1", r#"{"a": 1}"#, Some("key is missing")),
        (
            "payload.a.exists(x, x.b == 1)",
            r#"{"a": [{"b": 2}, {}]}"#,
            Some("it can't be said of an element of payload.a"),
        ),
        ("payload.a.exists(x, x.b == 1)", "{}", Some("payload.a is missing")),
    ] {
        let table = compile(&map_of(condition::Kind::Cel(when.to_owned()))).unwrap();
        let route = table.explain(&of_clue(payload)).routes[0].route;
        assert_eq!(table.tell_undecided(&of_clue(payload), route, None).as_deref(), expected, "{when} of {payload}");
    }
    // A route that wants all has no condition, and of another table's nothing is said.
    let table = compile(&map_of(condition::Kind::Cel("payload.a == 1".to_owned()))).unwrap();
    assert_eq!(table.tell_undecided(&of_clue("{}"), table.explain(&of_clue("{}")).routes[1].route, None), None);
}
