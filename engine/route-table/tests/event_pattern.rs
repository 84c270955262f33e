//! Event patterns mean what EventBridge means by them: tables of our own, the public suites, and a naive matcher.
//!
//! The suites lie beside the repository, in the folder that `VELTRIX_SHARED` names or in `../shared`.

#[path = "support/evaluate.rs"]
mod evaluate;
#[path = "support/naive_pattern.rs"]
mod naive_pattern;
#[path = "support/text_format.rs"]
mod text_format;
#[path = "support/with_payload.rs"]
mod with_payload;

use evaluate::json::Json;
use evaluate::{Record, Truth, evaluate};
use proptest::prelude::*;
use prost::Message as _;
use std::path::{Path, PathBuf};
use veltrix_proto::v1::{Condition, Destination, EventTypes, KafkaTopic, Route, RouteMap, destination};
use veltrix_route_table::event_pattern::parse;
use veltrix_route_table::{Matches, compile};
use with_payload::WithPayload;

fn holds(condition: &Condition, event: &Json) -> bool {
    let truth = evaluate(condition, &Record::of_payload(event.clone()));
    assert_ne!(truth, Truth::Absent, "a pattern matches or it doesn't");
    truth == Truth::True
}

/// A route of any type for each pattern, as the tree that it stands for, if it is not beyond the limits.
fn map_of(patterns: &[Json]) -> RouteMap {
    let trees = patterns.iter().filter_map(|pattern| parse(&pattern.to_string()).ok());
    let route = |(number, when): (usize, Condition)| Route {
        id: format!("{number}"),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        when: Some(when),
        to: vec!["d".to_owned()],
        ..Route::default()
    };
    let kafka = destination::Kind::Kafka(KafkaTopic { topic: "topic".to_owned(), ..Default::default() });
    RouteMap {
        name: "patterns".to_owned(),
        destinations: vec![Destination { id: "d".to_owned(), kind: Some(kafka) }],
        routes: trees.filter(|when| when.encoded_len() < 20_000).enumerate().map(route).collect(),
        ..RouteMap::default()
    }
}

#[track_caller]
fn check(pattern: &str, matching: &[&str], others: &[&str]) {
    let condition = parse(pattern).unwrap_or_else(|error| panic!("{}", error.render()));
    for (events, expected) in [(matching, true), (others, false)] {
        for event in events {
            assert_eq!(
                holds(&condition, &Json::read(event).unwrap()),
                expected,
                "{pattern} of {event}: {condition:#?}"
            );
        }
    }
}

#[test]
fn fields_are_and_and_items_are_or() {
    check(
        r#"{"source": ["a", "b"], "detail": {"state": ["on"], "n": [1, null, true]}}"#,
        &[
            r#"{"source": "b", "detail": {"state": "on", "n": 1.0}}"#,
            r#"{"source": "a", "detail": {"state": "on", "n": null, "more": {}}}"#,
            r#"{"source": ["c", "a"], "detail": {"state": "on", "n": true}}"#,
        ],
        &[
            r#"{"source": "c", "detail": {"state": "on", "n": 1}}"#,
            r#"{"source": "a", "detail": {"state": "off", "n": 1}}"#,
            r#"{"source": "a", "detail": {"state": "on", "n": "1"}}"#,
            r#"{"source": "a", "detail": {"state": "on", "n": false}}"#,
            r#"{"source": "a", "detail": {"state": "on"}}"#,
            r#"{"source": {"a": "a"}, "detail": {"state": "on", "n": 1}}"#,
            r#"{"detail": {"source": "a", "state": "on", "n": 1}}"#,
            "{}",
        ],
    );
}

#[test]
fn operators_test_values_of_their_type() {
    check(
        r#"{"a": [{"prefix": "ab"}]}"#,
        &[r#"{"a": "abc"}"#, r#"{"a": "ab"}"#],
        &[r#"{"a": "Abc"}"#, r#"{"a": ["a"]}"#],
    );
    for any_text in [r#"{"prefix": ""}"#, r#"{"suffix": ""}"#, r#"{"suffix": {"equals-ignore-case": ""}}"#] {
        check(&format!(r#"{{"a": [{any_text}]}}"#), &[r#"{"a": ""}"#, r#"{"a": "x"}"#], &[r#"{"a": 5}"#, "{}"]);
    }
    check(r#"{"a": [{"suffix": ".png"}]}"#, &[r#"{"a": "x.png"}"#], &[r#"{"a": "x.PNG"}"#, r#"{"a": null}"#]);
    check(r#"{"a": [{"prefix": {"equals-ignore-case": "AB"}}]}"#, &[r#"{"a": "aBc"}"#], &[r#"{"a": "bab"}"#]);
    check(r#"{"a": [{"suffix": {"equals-ignore-case": "Ü"}}]}"#, &[r#"{"a": "Menü"}"#], &[r#"{"a": "Menu"}"#]);
    check(r#"{"a": [{"equals-ignore-case": "Ab"}]}"#, &[r#"{"a": "aB"}"#], &[r#"{"a": "abc"}"#]);
    check(r#"{"a": [{"exactly": "x"}]}"#, &[r#"{"a": "x"}"#], &[r#"{"a": "X"}"#]);
    check(
        r#"{"a": [{"wildcard": "a*c"}]}"#,
        &[r#"{"a": "ac"}"#, r#"{"a": "a/b/c"}"#],
        &[r#"{"a": "acd"}"#, r#"{"a": 5}"#],
    );
    check(r#"{"a": [{"wildcard": "*\\*"}]}"#, &[r#"{"a": "b*"}"#], &[r#"{"a": "bc"}"#]);
    check(r#"{"a": [{"wildcard": ""}]}"#, &[r#"{"a": ""}"#], &[r#"{"a": "b"}"#]);
    check(r#"{"a": [{"cidr": "10.0.0.77/24"}]}"#, &[r#"{"a": "10.0.0.5"}"#], &[r#"{"a": "10.0.1.5"}"#, r#"{"a": 10}"#]);
    check(r#"{"a": [{"cidr": "2001:db8::/32"}]}"#, &[r#"{"a": "2001:DB8:0::5"}"#], &[r#"{"a": "10.0.1.5"}"#]);
    check(
        r#"{"a": ["::1", "10.0.0.1"]}"#,
        &[r#"{"a": "0:0:0:0:0:0:0:1"}"#, r#"{"a": "10.0.0.1"}"#],
        &[r#"{"a": "::2"}"#],
    );
    check(
        r#"{"a": [{"numeric": [">", 0, "<=", 5]}, {"numeric": ["=", 3.018e2]}]}"#,
        &[r#"{"a": 1e-9}"#, r#"{"a": 5.000}"#, r#"{"a": 301.8}"#],
        &[r#"{"a": 0}"#, r#"{"a": 5.0000000001}"#, r#"{"a": "3"}"#, r#"{"a": null}"#],
    );
    check(r#"{"a": [{"numeric": ["<", 1e30]}]}"#, &[r#"{"a": 999999999999999999999999999999}"#], &[r#"{"a": 1e30}"#]);
}

#[test]
fn exists_is_about_leaves_of_the_whole_event() {
    let here = [r#"{"a": null}"#, r#"{"a": ""}"#, r#"{"a": [[1]]}"#, r#"{"a": [{}, false]}"#];
    let nowhere = ["{}", r#"{"a": {}}"#, r#"{"a": {"b": 1}}"#, r#"{"a": []}"#, r#"{"a": [[], {"b": 1}]}"#];
    check(r#"{"a": [{"exists": true}]}"#, &here, &nowhere);
    check(r#"{"a": [{"exists": false}]}"#, &nowhere, &here);
    check(r#"{"a": [{"exists": true}, {"prefix": "never"}]}"#, &here, &nowhere);
    check(
        r#"{"a": {"b": [{"exists": false}, 1]}}"#,
        &["{}", r#"{"a": {"b": 1}}"#, r#"{"a": 5}"#],
        &[r#"{"a": {"b": 2}}"#],
    );
    check(
        r#"{"items": {"id": [1], "gone": [{"exists": false}]}}"#,
        &[r#"{"items": [{"id": 1}, {"id": 2}]}"#],
        &[r#"{"items": [{"id": 1}, {"id": 2, "gone": 3}]}"#, r#"{"items": []}"#],
    );
}

#[test]
fn absent_fields_need_no_object_to_be_absent_from() {
    let pattern = r#"{"d": {"a": ["x", {"exists": false}], "b": ["y", {"exists": false}]}}"#;
    check(
        pattern,
        &[
            "{}",
            r#"{"d": {}}"#,
            r#"{"d": 5}"#,
            r#"{"d": {"a": "x"}}"#,
            r#"{"d": [{"b": "y"}, {}]}"#,
            r#"{"d": {"a": "x", "b": "y"}}"#,
        ],
        &[r#"{"d": {"a": "z"}}"#, r#"{"d": [{"a": "x"}, {"b": "y"}]}"#, r#"{"d": [{"a": "x", "b": "z"}, {"b": "y"}]}"#],
    );
}

#[test]
fn anything_but_wants_a_value_that_is_none_of_those() {
    let pattern = r#"{"a": [{"anything-but": ["x", "y"]}]}"#;
    check(
        pattern,
        &[r#"{"a": "z"}"#, r#"{"a": null}"#, r#"{"a": 5}"#, r#"{"a": ["x", "z"]}"#, r#"{"a": [{}, true]}"#],
        &["{}", r#"{"a": "x"}"#, r#"{"a": ["x", "y"]}"#, r#"{"a": []}"#, r#"{"a": {}}"#, r#"{"a": {"b": "z"}}"#],
    );
    check(r#"{"a": [{"anything-but": 5}]}"#, &[r#"{"a": "5"}"#, r#"{"a": 5.1}"#], &[r#"{"a": 5.0}"#, "{}"]);
    check(r#"{"a": [{"anything-but": {"prefix": "x"}}]}"#, &[r#"{"a": "Xx"}"#, r#"{"a": 1}"#], &[r#"{"a": "xX"}"#]);
    check(
        r#"{"a": [{"anything-but": {"suffix": ["x", "y"]}}]}"#,
        &[r#"{"a": "xz"}"#],
        &[r#"{"a": "zx"}"#, r#"{"a": "zy"}"#],
    );
    check(r#"{"a": [{"anything-but": {"equals-ignore-case": ["X", "y"]}}]}"#, &[r#"{"a": "xy"}"#], &[r#"{"a": "Y"}"#]);
    check(r#"{"a": [{"anything-but": {"wildcard": "*/b/*"}}]}"#, &[r#"{"a": "a/c/d"}"#], &[r#"{"a": "a/b/d"}"#]);
    check(r#"{"a": [{"anything-but": "x"}, "x"]}"#, &[r#"{"a": "x"}"#, r#"{"a": "y"}"#], &["{}"]);
}

#[test]
fn fields_of_one_object_are_about_one_element() {
    check(
        r#"{"items": {"of": ["glass"], "price": [{"numeric": [">", 100]}]}}"#,
        &[
            r#"{"items": {"of": "glass", "price": 101}}"#,
            r#"{"items": [[{"of": "wood"}], {"of": "glass", "price": 101}]}"#,
        ],
        &[r#"{"items": [{"of": "glass", "price": 1}, {"of": "wood", "price": 101}]}"#, r#"{"items": []}"#],
    );
    check(
        r#"{"a": {"x": [1], "b": {"y": [2], "z": [3]}}}"#,
        &[r#"{"a": [{"x": 0}, {"x": 1, "b": [{"y": 2}, {"y": 2, "z": [0, 3]}]}]}"#],
        &[r#"{"a": [{"x": 1, "b": [{"y": 2}, {"z": 3}]}]}"#, r#"{"a": [{"x": 1}, {"b": {"y": 2, "z": 3}}]}"#],
    );
    // No object of the pattern joins these.
    check(r#"{"a": {"b": {"c": [1]}}}"#, &[r#"{"a": [{"b": 0}, {"b": [{"c": [2, 1]}]}]}"#], &[r#"{"a": {"b": [1]}}"#]);
}

#[test]
fn or_is_an_operator_in_its_object() {
    check(
        r#"{"s": ["x"], "$or": [{"a": [1]}, {"b": [2], "c": [3]}]}"#,
        &[r#"{"s": "x", "a": 1}"#, r#"{"s": "x", "b": 2, "c": 3}"#],
        &[r#"{"a": 1}"#, r#"{"s": "x", "b": 2}"#, r#"{"s": "x"}"#],
    );
    check(
        r#"{"d": {"x": [1], "$or": [{"y": [2]}, {"z": [3]}]}}"#,
        &[r#"{"d": [{"x": 1, "y": 2}]}"#, r#"{"d": {"x": 1, "z": 3}}"#],
        &[r#"{"d": [{"x": 1}, {"y": 2}]}"#],
    );
    // A branch agrees with its neighbours about the element, wherever the `$or` stands.
    check(
        r#"{"d": {"x": [1]}, "$or": [{"d": {"y": [2]}}, {"z": [3]}]}"#,
        &[r#"{"d": [{"x": 1, "y": 2}]}"#, r#"{"d": [{"x": 1}], "z": 3}"#],
        &[r#"{"d": [{"x": 1}, {"y": 2}]}"#],
    );
    check(
        r#"{"d": {"$or": [{"y": [{"exists": false}]}, {"z": [3]}], "x": [1, {"exists": false}]}}"#,
        &["{}", r#"{"d": [{"x": 1}, {"z": 3}]}"#, r#"{"d": {"y": 2, "z": 3}}"#],
        &[r#"{"d": {"y": 2}}"#, r#"{"d": [{"y": 2}, {"x": 1}, {"z": 3}]}"#],
    );
}

#[test]
fn or_is_a_name_where_it_can_be_no_operator() {
    check(r#"{"$or": ["x"]}"#, &[r#"{"$or": "x"}"#], &[r#"{"$or": "y"}"#]);
    check(r#"{"$or": [{"prefix": "x"}, {"suffix": "y"}]}"#, &[r#"{"$or": "xz"}"#, r#"{"$or": "zy"}"#], &["{}"]);
    check(r#"{"$or": {"a": [1]}}"#, &[r#"{"$or": {"a": 1}}"#], &[r#"{"a": 1}"#]);
}

#[test]
fn the_last_list_of_a_path_counts() {
    check(r#"{"a": ["x"], "a": ["y"]}"#, &[r#"{"a": "y"}"#], &[r#"{"a": "x"}"#]);
    check(r#"{"a.b": ["x"], "a": {"b": ["y"]}}"#, &[r#"{"a": {"b": "y"}}"#], &[r#"{"a": {"b": "x"}}"#]);
    check(r#"{"a": {"b": [1]}, "a": {"c": [2]}}"#, &[r#"{"a": {"b": 1, "c": 2}}"#], &[r#"{"a": {"b": 1}}"#]);
    check(r#"{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}"#, &[r#"{"a": 2}"#, r#"{"a": 1, "b": 3}"#], &[r#"{"a": 1}"#]);
    check(r#"{"$or": [{"a": [2]}, {"b": [3]}], "a": [1]}"#, &[r#"{"a": 1}"#], &[r#"{"a": 2}"#, r#"{"b": 3}"#]);
}

#[test]
fn names_with_dots_are_nested_names() {
    let events = [
        r#"{"d": {"a": {"b": 1}}}"#,
        r#"{"d": [{"a": [{"b": 1}]}]}"#,
        r#"{"d": {"a.b": 1}}"#,
        r#"{"d.a": {"b": [1]}}"#,
        r#"{"d.a.b": 1}"#,
    ];
    for pattern in [r#"{"d": {"a.b": [1]}}"#, r#"{"d": {"a": {"b": [1]}}}"#, r#"{"d.a.b": [1]}"#] {
        check(pattern, &events, &[r#"{"d": {"a": 1}}"#, r#"{"d": {"a.b": {"b": 1}}}"#, r#"{"d": {"b": 1}}"#]);
    }
    check(r#"{"d.a": [1], "d": {"b": [2]}}"#, &[r#"{"d": {"a": 1, "b": 2}}"#], &[r#"{"d": [{"a": 1}, {"b": 2}]}"#]);
    check(r#"{"a": {"b": [{"exists": false}]}}"#, &[r#"{"a": {"c": 1}}"#, r#"{"a.b": []}"#], &[r#"{"a.b": 1}"#]);
}

#[test]
fn conditions_are_as_small_as_their_patterns() {
    let leaf = "types { types: [VALUE_TYPE_NULL, VALUE_TYPE_BOOLEAN, VALUE_TYPE_NUMBER, VALUE_TYPE_TEXT] }";
    let predicate = |attribute: &str, test: &str| format!("predicate {{ {attribute} {test} }}");
    let place = |kind: &str, names: &str, test: &str| {
        let dotted = names.contains(',');
        predicate(&format!("{kind} {{ names: [{names}] through_arrays: true dotted: {dotted} }}"), test)
    };
    let field = |names: &str, test: &str| place("field", names, test);
    let element = |names: &str, test: &str| place("element", names, test);
    let many = |kind: &str, parts: &[&str]| {
        let parts: String = parts.iter().map(|part| format!("conditions {{ {part} }}")).collect();
        format!("{kind} {{ {parts} }}")
    };
    let number = |n: u8| format!("equals {{ number: '{n}' }}");
    let in_a = "any_element { field { names: 'a' through_arrays: true } condition";
    let not_leaf = format!("not {{ {} }}", field("'a', 'c'", leaf));
    for (pattern, expected) in [
        (r#"{"a": ["x"]}"#, field("'a'", "equals { text: 'x' }")),
        (r#"{"a": {"b.c": [1, "x", null]}}"#, {
            field("'a', 'b', 'c'", "in { values: [{ number: '1' }, { text: 'x' }, { null {} }] }")
        }),
        (r#"{"a": {"b": [1]}, "c": [2]}"#, many("all", &[&field("'a', 'b'", &number(1)), &field("'c'", &number(2))])),
        (r#"{"a": [{"exists": true}, "x"]}"#, field("'a'", leaf)),
        (r#"{"a": {"b": [1], "c": [{"exists": false}]}}"#, many("all", &[&field("'a', 'b'", &number(1)), &not_leaf])),
        (r#"{"a": {"$or": [{"b": [1]}, {"c": [2]}]}}"#, {
            many("any", &[&field("'a', 'b'", &number(1)), &field("'a', 'c'", &number(2))])
        }),
        (r#"{"a": {"b": [1], "c": {"d": [2]}, "$or": [{"e": [3]}, {"f": [4]}]}}"#, {
            let or = many("any", &[&element("'e'", &number(3)), &element("'f'", &number(4))]);
            let all = many("all", &[&element("'b'", &number(1)), &element("'c', 'd'", &number(2)), &or]);
            format!("{in_a} {{ {all} }} }}")
        }),
        (r#"{"a": [{"anything-but": [1, 2]}]}"#, {
            let unwanted = element("", "in { values: [{ number: '1' }, { number: '2' }] }");
            format!("{in_a} {{ {} }} }}", many("all", &[&element("", leaf), &format!("not {{ {unwanted} }}")]))
        }),
        (r#"{"a": ["10.0.0.1", "::1", {"cidr": "10.1.2.3/8"}]}"#, {
            let address = field("'a'", "equals { text: '10.0.0.1' }");
            many("any", &[&address, &field("'a'", "cidr { blocks: ['::1', '10.1.2.3/8'] }")])
        }),
    ] {
        assert_eq!(parse(pattern).unwrap(), text_format::condition(&expected), "{pattern}");
    }
}

/// Patterns that are refused: the text, AWS's reason, and the column.
const REFUSED: [(&str, &str, usize); 62] = [
    ("", "The JSON text ends too early", 1),
    ("[]", "Filter is not an object", 1),
    ("{}", "Empty objects are not allowed", 1),
    (r#"{"a": {}}"#, "Empty objects are not allowed", 7),
    (r#"{"a": 42}"#, "\"a\" must be an object or an array", 7),
    (r#"{"a": []}"#, "Empty arrays are not allowed", 7),
    (r#"{"a": [["x"]]}"#, "Match value must be String, number, true, false, or null", 8),
    (r#"{"a": [{}]}"#, "Match expression name not found", 8),
    (r#"{"a": [{"PREFIX": "x"}]}"#, "Unrecognized match type PREFIX", 9),
    (r#"{"a": [{"prefix": "x", "suffix": "y"}]}"#, "Only one key allowed in match expression", 24),
    (r#"{"a": [{"exactly": 1}]}"#, "exact match pattern must be a string", 20),
    (r#"{"a": [{"prefix": 1}]}"#, "prefix match pattern must be a string", 19),
    (r#"{"a": [{"prefix": {}}]}"#, "Prefix expression name not found", 19),
    (r#"{"a": [{"prefix": {"suffix": "x"}}]}"#, "Unsupported prefix pattern: suffix", 20),
    (r#"{"a": [{"prefix": {"equals-ignore-case": 1}}]}"#, "equals-ignore-case match pattern must be a string", 42),
    (r#"{"a": [{"suffix": ["x"]}]}"#, "suffix match pattern must be a string", 19),
    (r#"{"a": [{"suffix": {}}]}"#, "Suffix expression name not found", 19),
    (r#"{"a": [{"suffix": {"prefix": "x"}}]}"#, "Unsupported suffix pattern: prefix", 20),
    (r#"{"a": [{"equals-ignore-case": ["x"]}]}"#, "equals-ignore-case match pattern must be a string", 31),
    (r#"{"a": [{"wildcard": 1}]}"#, "wildcard match pattern must be a string", 21),
    (r#"{"a": [{"wildcard": "a**"}]}"#, "Consecutive wildcard characters at pos 2", 21),
    (r#"{"a": [{"wildcard": "a\\b"}]}"#, "Invalid escape character at pos 2", 21),
    (r#"{"a": [{"exists": "true"}]}"#, "exists match pattern must be either true or false.", 19),
    (r#"{"a": [{"cidr": 1}]}"#, "prefix match pattern must be a string", 17),
    (r#"{"a": [{"cidr": "10.0.0.0"}]}"#, "Malformed CIDR, one '/' required", 17),
    (r#"{"a": [{"cidr": "10.0.0.0/x"}]}"#, "Malformed CIDR, mask bits must be an integer", 17),
    (r#"{"a": [{"cidr": "10.0.0.0/-1"}]}"#, "Malformed CIDR, mask bits must not be negative", 17),
    (r#"{"a": [{"cidr": "10.0.0.0/32"}]}"#, "IPv4 mask bits must be < 32", 17),
    (r#"{"a": [{"cidr": "::/128"}]}"#, "IPv6 mask bits must be < 128", 17),
    (r#"{"a": [{"cidr": "10.0.0/8"}]}"#, "Nonstandard IP address: 10.0.0", 17),
    (r#"{"a": [{"cidr": "300.0.0.0/8"}]}"#, "Invalid IP address: 300.0.0.0", 17),
    (r#"{"a": [{"cidr": "x::/8"}]}"#, "Nonstandard IP address: x::", 17),
    (r#"{"a": [{"numeric": 10}]}"#, "Value of numeric must be an array.", 20),
    (r#"{"a": [{"numeric": []}]}"#, "Invalid member in numeric match: ]", 20),
    (r#"{"a": [{"numeric": [5]}]}"#, "Invalid member in numeric match: 5", 21),
    (r#"{"a": [{"numeric": ["!=", 5]}]}"#, "Unrecognized numeric range operator: !=", 20),
    (r#"{"a": [{"numeric": ["=", "5"]}]}"#, "Value of equals must be numeric", 26),
    (r#"{"a": [{"numeric": [">"]}]}"#, "Value of > must be numeric", 20),
    (r#"{"a": [{"numeric": ["<", 5, ">", 1]}]}"#, "Too many elements in numeric expression", 29),
    (r#"{"a": [{"numeric": [">", 0, ">", 0]}]}"#, "Bad numeric range operator: >", 29),
    (r#"{"a": [{"numeric": [">", 0, 1]}]}"#, "Bad value in numeric range: 1", 29),
    (r#"{"a": [{"numeric": [">", 0, "<", "1"]}]}"#, "Value of < must be numeric", 34),
    (r#"{"a": [{"numeric": [">=", 5, "<=", 5.0]}]}"#, "Bottom must be less than top", 20),
    (r#"{"a": [{"numeric": [">", 5, "<", 6, "<", 7]}]}"#, "Too many terms in numeric range expression", 37),
    (r#"{"a": [{"numeric": ["=", 5], "exists": true}]}"#, "Too many elements in numeric expression", 30),
    (r#"{"a": [{"anything-but": null}]}"#, "Value of anything-but must be an array or single string/number value.", 25),
    (r#"{"a": [{"anything-but": ["x", null]}]}"#, "Inside anything but list, start|null|boolean is not supported.", 31),
    (
        r#"{"a": [{"anything-but": ["x", 1]}]}"#,
        "Inside anything but list, either all values are number or string, mixed type is not supported",
        25,
    ),
    (r#"{"a": [{"anything-but": {}}]}"#, "Anything-But expression name not found", 25),
    (r#"{"a": [{"anything-but": {"cidr": "::/8"}}]}"#, "Unsupported anything-but pattern: cidr", 26),
    (r#"{"a": [{"anything-but": {"prefix": 1}}]}"#, "prefix/suffix match pattern must be a string", 36),
    (r#"{"a": [{"anything-but": {"suffix": ["x", ""]}}]}"#, "Null prefix/suffix not allowed", 42),
    (
        r#"{"a": [{"anything-but": {"prefix": {"equals-ignore-case": "x"}}}]}"#,
        "Value of anything-but must be an array or single string/number value.",
        36,
    ),
    (
        r#"{"a": [{"anything-but": {"equals-ignore-case": [1]}}]}"#,
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
        49,
    ),
    (r#"{"a": [{"anything-but": {"wildcard": [1]}}]}"#, "wildcard match pattern must be a string", 39),
    (r#"{"a": [{"anything-but": {"wildcard": "**"}}]}"#, "Consecutive wildcard characters at pos 1", 38),
    (r#"{"a": [{"anything-but": {"prefix": "x", "suffix": "y"}}]}"#, "Too many elements in numeric expression", 41),
    (r#"{"$or": 3}"#, "It must be an Array followed with $or.", 9),
    (r#"{"$or": [{"a": [1]}]}"#, "There must have at least 2 Objects in $or relationship.", 9),
    (r#"{"$or": [{"a": [1]}, 3]}"#, "Only JSON object is allowed in array of $or relationship.", 22),
    (
        r#"{"$or": [{"a": [1]}, {"b": {"prefix": ["x"]}}]}"#,
        "prefix is Ruler reserved fieldName which cannot be used inside $or.",
        29,
    ),
    (r#"{"a": ["x"]} {}"#, "There is something after the pattern", 14),
];

#[test]
fn invalid_patterns_are_refused_with_the_reason_and_the_place() {
    for (pattern, reason, column) in REFUSED {
        let error = parse(pattern).expect_err(pattern);
        assert_eq!((error.reason(), error.line(), error.column()), (reason, 1, column), "{pattern}");
    }
    let complex = parse(r#"{"a": [{"wildcard": "*:*:*:*:*:event-bus/*"}]}"#).unwrap_err();
    assert!(complex.reason().starts_with("Rule is too complex - try using fewer wildcard characters"), "{complex}");
}

#[test]
fn text_that_is_no_json_is_refused_where_it_goes_wrong() {
    for (pattern, column) in [
        ("{", 2),
        (r#"{"a""#, 5),
        (r#"{"a" 1}"#, 6),
        (r#"{"a": [1 2]}"#, 10),
        (r#"{"a": [1,]}"#, 10),
        (r#"{"a": ["x],}"#, 8),
        (r#"{"a": ["\x"]}"#, 9),
        (r#"{"a": ["\ud800"]}"#, 9),
        (r#"{"a": ["\u12g4"]}"#, 9),
        ("{\"a\": [\"\t\"]}", 9),
        (r#"{"a": [01]}"#, 8),
        (r#"{"a": [1.]}"#, 10),
        (r#"{"a": [+1]}"#, 8),
        (r#"{"a": [nul]}"#, 8),
        (r#"{a: [1]}"#, 2),
        (r#"{"ä": ["ö" x]}"#, 12),
    ] {
        assert_eq!(parse(pattern).expect_err(pattern).column(), column, "{pattern}");
    }
    assert!(parse(r#"{"\u0061\uD83D\uDE80": ["\/\b\f\n\r\t\"\\"]}"#).is_ok());
}

#[test]
fn a_refusal_shows_the_line_and_a_caret() {
    let error = parse("{\n\t\"source\": [\"a\"],\n\t\"state\": [{\"prefix\": 5}]\n}").unwrap_err();
    let lines = [
        "Event pattern is not valid. Reason: prefix match pattern must be a string",
        " --> line 3, column 23",
        "3 |  \"state\": [{\"prefix\": 5}]",
        "  |                       ^",
        "  = help: write one text in double quotes",
    ];
    assert_eq!(error.render().to_string(), lines.join("\n"));
    let message = "event pattern is not valid at line 3, column 23: prefix match pattern must be a string; write one text in double quotes";
    assert_eq!(error.to_string(), message);
}

#[test]
fn deep_large_and_exploding_patterns_are_refused() {
    let deep = format!("{}[1]{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    assert_eq!(parse(&deep).unwrap_err().reason(), "Nested deeper than 128");
    assert_eq!(parse(&"[".repeat(60_000)).unwrap_err().reason(), "Nested deeper than 128");
    let dots = format!("{{\"{}\": [1]}}", ".".repeat(5_000));
    assert_eq!(parse(&dots).unwrap_err().reason(), "Path of more than 128 names");
    let large = format!("{{\"a\": [\"{}\"]}}", "x".repeat(70_000));
    assert!(parse(&large).unwrap_err().reason().ends_with("the limit is 65536"));
    let or = r#""$or": [{"a": {"b": [1]}}, {"a": {"c": [1]}}]"#;
    for count in [13, 1_000] {
        let ors = vec![or; count].join(",");
        assert!(parse(&format!("{{{ors}}}")).unwrap_err().reason().starts_with("Rule is too complex"), "{count}");
    }
    let many: Vec<String> = (0..5_000).map(|n| format!("\"{n}\":[1]")).collect();
    assert!(parse(&format!("{{{}}}", many.join(","))).unwrap_err().reason().starts_with("Rule is too complex"));
}

/// The folder of the suites, or `None` on a machine without it.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let folder = std::env::var_os("VELTRIX_SHARED").map_or(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing; set VELTRIX_SHARED", folder.display());
    eprintln!("skipped: the suites are not in {}; set VELTRIX_SHARED", folder.display());
    None
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values of an array, or the fields of an object.
fn field<'j>(json: &'j Json, name: &str) -> Option<&'j Json> {
    let Json::Object(fields) = json else { return None };
    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

fn elements(json: &Json) -> &[Json] {
    let Json::Array(elements) = json else { panic!("{json} is no array") };
    elements
}

fn words<'j>(json: &'j Json, name: &str) -> &'j str {
    match field(json, name) {
        Some(Json::Text(text)) => text,
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn patterns_recorded_against_aws_mean_the_same() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("corpus/conformance/eventbridge_patterns_localstack");
    let cases = Json::read(&read(&folder.join("all_cases.json"))).unwrap();
    for case in elements(&cases) {
        let (name, expect) = (words(case, "name"), words(case, "expect"));
        let pattern = field(case, "pattern").unwrap().to_string();
        match (expect, parse(&pattern)) {
            ("invalid", Err(error)) => {
                let reason = words(case, "aws_message").strip_prefix("Event pattern is not valid. Reason: ").unwrap();
                assert_eq!(error.reason(), reason, "{name}");
            }
            ("match" | "nomatch", Ok(condition)) => {
                assert_eq!(holds(&condition, field(case, "event").unwrap()), expect == "match", "{name}");
            }
            (_, result) => panic!("{name} should be {expect}: {result:?}"),
        }
    }
    assert_eq!(elements(&cases).len(), 95);
}

#[test]
fn event_rulers_own_rules_mean_the_same() {
    let Some(shared) = shared() else { return };
    let folder = shared.join("corpus/conformance/event_ruler");
    let event = |n| Json::read(&read(&folder.join(format!("arrayEvent{n}.json")))).unwrap();
    let rule = |n| parse(&read(&folder.join(format!("arrayRule{n}.json")))).unwrap();
    // As ACMachineTest has it.
    for (r, matching) in [(1, vec![1]), (2, vec![1]), (3, vec![4]), (4, vec![3, 4])] {
        for e in 1..=4 {
            let condition = rule(r);
            assert_eq!(holds(&condition, &event(e)), matching.contains(&e), "rule {r} of event {e}");
        }
    }
    let big = Json::read(&read(&folder.join("bigEvent.json"))).unwrap();
    assert!(holds(&parse(&read(&folder.join("bigEventRule.json"))).unwrap(), &big));
    for (file, valid) in
        [("orRelationshipRules", true), ("normalRulesWithOrWording", true), ("wrongOrRelationshipRules", false)]
    {
        let rules = Json::read(&read(&folder.join(format!("{file}.json")))).unwrap();
        for rule in elements(&rules) {
            assert_eq!(parse(&rule.to_string()).is_ok(), valid, "{file}: {rule}");
        }
    }
    let scenarios = Json::read(&read(&folder.join("perf-scenarios.json"))).unwrap();
    for scenario in elements(&scenarios) {
        parse(&field(scenario, "rule").unwrap().to_string()).unwrap();
    }
}

#[test]
fn all_rules_of_event_rulers_benchmark_are_patterns() {
    let Some(shared) = shared() else { return };
    let mut count = 0;
    for file in std::fs::read_dir(shared.join("peers/cl2-rules")).unwrap() {
        let path = file.unwrap().path();
        for line in read(&path).lines() {
            let pattern = field(&Json::read(line).unwrap(), "pattern").unwrap().to_string();
            parse(&pattern).unwrap_or_else(|error| panic!("{}: {}", path.display(), error.render()));
            count += 1;
        }
    }
    assert!(count >= 80, "only {count} rules");
}

/// Says whether a table of all patterns gives what their conditions say one by one.
fn check_table(patterns: &[Json], payloads: &[Json]) -> Result<(), TestCaseError> {
    let map = map_of(patterns);
    prop_assume!(!map.routes.is_empty());
    let table = compile(&map).unwrap();
    let mut out = Matches::new();
    for payload in payloads {
        table.matches(&WithPayload { topic: "events", payload: payload.to_string() }, &mut out).unwrap();
        let found: Vec<usize> = out.routes().iter().map(|route| route.get()).collect();
        let is_true = |at: &usize| holds(map.routes[*at].when.as_ref().unwrap(), payload);
        let expected: Vec<usize> = (0..map.routes.len()).filter(is_true).collect();
        prop_assert_eq!(found, expected, "of {:?} for {}", patterns, payload);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_pattern_means_what_a_naive_matcher_says(
        pattern in naive_pattern::pattern(),
        events in prop::collection::vec(naive_pattern::event(), 1..12),
    ) {
        let condition = match parse(&pattern.to_string()) {
            Ok(condition) => condition,
            // Some are drawn that AWS refuses, too.
            Err(error) if error.reason().starts_with("Rule is too complex") => {
                return Err(TestCaseError::reject("a pattern that is too complex"));
            }
            Err(error) => panic!("{pattern}: {error}"),
        };
        for event in &events {
            let expected = naive_pattern::matches(&pattern, event);
            prop_assert_eq!(holds(&condition, event), expected, "{} of {}: {:#?}", pattern, event, condition);
        }
    }

    #[test]
    fn names_with_dots_mean_what_a_naive_matcher_says(
        pattern in naive_pattern::pattern_of_paths(),
        events in prop::collection::vec(naive_pattern::event_with_dots(), 1..12),
    ) {
        let condition = parse(&pattern.to_string()).unwrap();
        for event in events.iter().filter(|event| !naive_pattern::has_a_path_both_ways(&pattern, event)) {
            let expected = naive_pattern::matches(&pattern, event);
            prop_assert_eq!(holds(&condition, event), expected, "{} of {}: {:#?}", pattern, event, condition);
        }
    }

    #[test]
    fn a_table_of_patterns_about_elements_gives_what_their_conditions_say(
        patterns in naive_pattern::patterns_within_elements(),
        payloads in prop::collection::vec(naive_pattern::event_of_elements(), 1..12),
    ) {
        check_table(&patterns, &payloads)?;
    }

    /// Many, so that they are decided together.
    #[test]
    fn a_table_of_many_patterns_gives_what_their_conditions_say(
        patterns in prop::collection::vec(prop_oneof![naive_pattern::pattern(), naive_pattern::pattern_of_paths()], 3..80),
        payloads in prop::collection::vec(prop_oneof![naive_pattern::event(), naive_pattern::event_with_dots()], 1..12),
    ) {
        check_table(&patterns, &payloads)?;
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        pattern in naive_pattern::pattern(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(r#"{}[]",:$*\e0-.n "#.as_bytes().to_vec())), 0..6),
        noise in ".{0,40}",
    ) {
        let mut bytes = pattern.to_string().into_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        for text in [String::from_utf8_lossy(&bytes).as_ref(), &noise] {
            if let Err(error) = parse(text) {
                prop_assert!(error.render().to_string().contains(error.reason()));
            }
        }
    }
}
