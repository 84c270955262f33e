//! The reference evaluator gives what the words of `route_map.proto` say.

#[path = "support/evaluate.rs"]
mod evaluate;
#[path = "support/text_format.rs"]
mod text_format;

use evaluate::json::Json;
use evaluate::{Decimal, Given, Record, Truth, Truth::Absent, Truth::False, Truth::True};
use text_format::condition;

#[track_caller]
fn check(payload: &str, text: &str, expected: Truth) {
    let record = Record::of_payload(Json::read(payload).unwrap());
    assert_eq!(evaluate::evaluate(&condition(text), &record), expected, "{text} of {payload}");
}

/// A predicate on the field `a`.
#[track_caller]
fn check_a(payload: &str, test: &str, expected: Truth) {
    check(payload, &format!("predicate {{ field {{ names: 'a' }} {test} }}"), expected);
}

/// The same with arrays standing for their elements.
#[track_caller]
fn check_each_a(payload: &str, test: &str, expected: Truth) {
    check(payload, &format!("predicate {{ field {{ names: 'a' through_arrays: true }} {test} }}"), expected);
}

const IS_TRUE: &str = "predicate { part: RECORD_PART_TOPIC exists: false }";
const IS_FALSE: &str = "predicate { part: RECORD_PART_TOPIC exists: true }";
const IS_ABSENT: &str = "predicate { part: RECORD_PART_TOPIC prefix: '' on_missing: ON_MISSING_ABSENT }";

#[test]
fn all_any_and_not_are_kleenes() {
    let kinds = [(IS_TRUE, True), (IS_FALSE, False), (IS_ABSENT, Absent)];
    for (a, a_truth) in kinds {
        for (b, b_truth) in kinds {
            let all = match (a_truth, b_truth) {
                (False, _) | (_, False) => False,
                (Absent, _) | (_, Absent) => Absent,
                _ => True,
            };
            let any = match (a_truth, b_truth) {
                (True, _) | (_, True) => True,
                (Absent, _) | (_, Absent) => Absent,
                _ => False,
            };
            let pair = format!("{{ conditions {{ {a} }} conditions {{ {b} }} }}");
            check("{}", &format!("all {pair}"), all);
            check("{}", &format!("any {pair}"), any);
        }
    }
    check("{}", &format!("not {{ {IS_TRUE} }}"), False);
    check("{}", &format!("not {{ {IS_FALSE} }}"), True);
    check("{}", &format!("not {{ {IS_ABSENT} }}"), Absent);
}

#[test]
fn missing_values_count_as_the_predicate_says() {
    for payload in ["{}", r#"{"b": 1}"#, "3", "[]", "null", r#"{"A": "x"}"#] {
        check_a(payload, "prefix: ''", False);
        check_a(payload, "prefix: '' on_missing: ON_MISSING_FALSE", False);
        check_a(payload, "prefix: '' on_missing: ON_MISSING_TRUE", True);
        check_a(payload, "prefix: '' on_missing: ON_MISSING_ABSENT", Absent);
        check_a(payload, "exists: true", False);
        check_a(payload, "exists: false", True);
    }
    for value in ["null", "[]", "{}", r#""""#, "0", "false"] {
        check_a(&format!("{{\"a\": {value}}}"), "exists: true", True);
        check_a(&format!("{{\"a\": {value}}}"), "exists: false", False);
    }
    check_each_a(r#"{"a": [[], [[]]]}"#, "exists: true", False);
    check_each_a(r#"{"a": [[], [null]]}"#, "exists: true", True);
}

#[test]
fn a_value_of_another_type_counts_as_the_predicate_says() {
    for value in ["null", "1", "true", "{}", r#"["x"]"#] {
        for test in ["prefix: 'x'", "suffix: 'x'", "contains: 'x'", "wildcard: '*'", "cidr { blocks: '0.0.0.0/0' }"] {
            let payload = format!("{{\"a\": {value}}}");
            check_a(&payload, test, False);
            check_a(&payload, &format!("{test} on_other_type: ON_OTHER_TYPE_TRUE"), True);
            check_a(
                &payload,
                &format!("{test} on_other_type: ON_OTHER_TYPE_ABSENT on_missing: ON_MISSING_TRUE"),
                Absent,
            );
        }
    }
    check_a(r#"{"a": 1}"#, "equals { text: '1' }", False);
    check_a(r#"{"a": 1}"#, "equals { text: '1' } on_other_type: ON_OTHER_TYPE_ABSENT", Absent);
    check_a(
        r#"{"a": 1}"#,
        "in { values { text: '1' } values { boolean: true } } on_other_type: ON_OTHER_TYPE_TRUE",
        True,
    );
    check_a(
        r#"{"a": 1}"#,
        "in { values { text: '1' } values { number: '2' } } on_other_type: ON_OTHER_TYPE_TRUE",
        False,
    );
    check_a(r#"{"a": "5"}"#, "range { above { number: '1' } } on_other_type: ON_OTHER_TYPE_ABSENT", Absent);
    check_a(r#"{"a": 5}"#, "range { above { text: '1' } } on_other_type: ON_OTHER_TYPE_ABSENT", Absent);
}

#[test]
fn values_are_equal_by_type_and_value() {
    for (value, literal) in [
        (r#""x""#, "text: 'x'"),
        ("300", "number: '300.0'"),
        ("3e2", "number: '300'"),
        ("-0", "number: '0.00'"),
        ("-122.42916360922355", "number: '-12242916360922355e-14'"),
        ("true", "boolean: true"),
        ("null", "null {}"),
    ] {
        let payload = format!("{{\"a\": {value}}}");
        check_a(&payload, &format!("equals {{ {literal} }}"), True);
        check_a(&payload, &format!("in {{ values {{ text: 'y' }} values {{ {literal} }} }}"), True);
        check_a(&payload, "equals { text: 'y' }", False);
    }
    check_a(r#"{"a": false}"#, "equals { boolean: true }", False);
    check_a(r#"{"a": 1.00000000000000000000001}"#, "equals { number: '1' }", False);
    check_a(r#"{"a": "X"}"#, "equals { text: 'x' }", False);
    check_a(r#"{"a": []}"#, "equals { null {} }", False);
    check_a(r#"{"a": "\u0041\n"}"#, r"equals { text: 'A\n' }", True);
    check_a(r#"{"a": "x", "a": "y"}"#, "equals { text: 'x' }", True);
    check_a(r#"{"a": "x", "a": "y"}"#, "equals { text: 'y' }", False);
}

#[test]
fn texts_are_tested_by_their_bytes_or_without_their_case() {
    let payload = r#"{"a": "Straße-İK"}"#;
    check_a(payload, "prefix: 'Stra'", True);
    check_a(payload, "prefix: 'stra'", False);
    check_a(payload, "prefix: 'sTRA' ignore_case: true", True);
    check_a(payload, "suffix: 'K'", True);
    check_a(payload, "suffix: 'iK' ignore_case: true", True);
    check_a(payload, "contains: 'ße-'", True);
    check_a(payload, "contains: 'STRASSE' ignore_case: true", False);
    check_a(payload, "contains: 'RAẞE' ignore_case: true", True);
    check_a(payload, "contains: ''", True);
    check_a(payload, "wildcard: 's*e-*k' ignore_case: true", True);
    check_a(payload, "equals { text: 'STRAẞE-ik' } ignore_case: true", True);
    check_a(payload, "in { values { text: 'STRAẞE-ik' } } ignore_case: true", True);
    check_a(r#"{"a": "\u212a"}"#, "equals { text: 'k' } ignore_case: true", True);
    check_a(r#"{"a": "Σ"}"#, "equals { text: 'ς' } ignore_case: true", False);
}

#[test]
fn wildcards_are_shapes_of_whole_texts() {
    let shapes = [
        ("abcbc", "a*bc", true),
        ("abcbc", "*", true),
        ("abcbc", "a*b", false),
        ("abcbc", "*c*c*", true),
        ("abcbc", "*c*c*c*", false),
        ("abcbc", "abcbc", true),
        ("abcbc", "abcbc**", true),
        ("", "", true),
        ("", "*", true),
        ("x", "", false),
        ("a*b", r"a\\*b", true),
        ("axb", r"a\\*b", false),
        (r"a\\b", r"*\\\\b", true),
    ];
    for (text, shape, expected) in shapes {
        check_a(&format!("{{\"a\": \"{text}\"}}"), &format!("wildcard: '{shape}'"), Truth::from(expected));
    }
}

#[test]
fn numbers_and_texts_lie_within_bounds() {
    for (value, range, expected) in [
        ("5", "above { number: '5' }", false),
        ("5", "at_least { number: '5.0' }", true),
        ("5.0000000000000000000000001", "above { number: '5' }", true),
        ("-5.1", "below { number: '-5' }", true),
        ("-5", "at_most { number: '-5' }", true),
        ("1e400", "above { number: '9e399' } below { number: '1.1e400' }", true),
        ("0", "above { number: '-1e-99999999999999999999' }", true),
        ("0.3", "at_least { number: '0.30' } at_most { number: '3e-1' }", true),
        ("0.31", "at_least { number: '0.30' } at_most { number: '3e-1' }", false),
        (r#""b""#, "above { text: 'a' } below { text: 'ba' }", true),
        (r#""ba""#, "above { text: 'a' } below { text: 'ba' }", false),
        (r#""ä""#, "above { text: 'z' }", true),
        (r#""10""#, "below { text: '9' }", true),
    ] {
        check_a(&format!("{{\"a\": {value}}}"), &format!("range {{ {range} }}"), Truth::from(expected));
    }
}

#[test]
fn decimals_are_ordered_by_value() {
    let ordered =
        ["-1e1000", "-11", "-2.5", "-25e-2", "-0.0001", "0", "1e-9", "0.00011", "0.9", "1", "10.5", "1050e-1", "2e90"];
    for (a, left) in ordered.iter().enumerate() {
        for (b, right) in ordered.iter().enumerate() {
            assert_eq!(Decimal::read(left).cmp(&Decimal::read(right)), a.cmp(&b), "{left} and {right}");
        }
    }
    for (left, right) in [("-0.0", "0e7"), ("100", "1E+2"), ("0.010", "10e-3"), ("123.4560", "0.000123456e6")] {
        assert!(Decimal::read(left).cmp(&Decimal::read(right)).is_eq(), "{left} and {right}");
    }
}

#[test]
fn addresses_lie_in_blocks_of_their_version() {
    for (address, block, expected) in [
        ("10.0.0.7", "10.0.0.0/24", true),
        ("10.0.1.7", "10.0.0.0/24", false),
        ("10.0.0.7", "10.0.0.9/24", true),
        ("10.0.0.7", "10.0.0.7", true),
        ("10.0.0.7", "10.0.0.8", false),
        ("10.0.0.7", "0.0.0.0/0", true),
        ("10.0.0.7", "::/0", false),
        ("2001:db8::1", "2001:db8::/32", true),
        ("2001:DB8:0::1", "2001:db8::1", true),
        ("2001:db9::1", "2001:db8::/32", false),
        ("2001:db9::1", "::/0", true),
        ("::ffff:10.0.0.7", "10.0.0.0/24", true),
        ("::ffff:10.0.0.7", "::/0", false),
        ("010.0.0.7", "0.0.0.0/0", false),
        ("fe80::1%eth0", "::/0", false),
        ("nowhere", "0.0.0.0/0", false),
    ] {
        let test = format!("cidr {{ blocks: '192.168.0.0/16' blocks: '{block}' }} on_other_type: ON_OTHER_TYPE_TRUE");
        check_a(&format!("{{\"a\": \"{address}\"}}"), &test, Truth::from(expected));
    }
}

#[test]
fn each_value_has_one_type() {
    let types = ["NULL", "BOOLEAN", "NUMBER", "TEXT", "OBJECT", "ARRAY"];
    for (at, value) in ["null", "true", "-1.5e3", r#""1""#, "{}", "[]"].iter().enumerate() {
        for (other, value_type) in types.iter().enumerate() {
            let payload = format!("{{\"a\": {value}}}");
            check_a(&payload, &format!("types {{ types: VALUE_TYPE_{value_type} }}"), Truth::from(at == other));
        }
    }
    check_a("{}", "types { types: VALUE_TYPE_NULL } on_missing: ON_MISSING_ABSENT", Absent);
    check_each_a(r#"{"a": [1, {}]}"#, "types { types: VALUE_TYPE_ARRAY types: VALUE_TYPE_TEXT }", False);
    check_each_a(r#"{"a": [1, {}]}"#, "types { types: VALUE_TYPE_OBJECT }", True);
}

#[test]
fn texts_that_read_as_numbers_count_as_numbers_where_asked() {
    let as_number = "range { at_least { number: '10' } } on_other_type: ON_OTHER_TYPE_ABSENT text_as_number: true";
    check_a(r#"{"a": "10.0"}"#, as_number, True);
    check_a(r#"{"a": "9"}"#, as_number, False);
    check_a(r#"{"a": "1e1"}"#, "equals { number: '10' } text_as_number: true", True);
    check_a(r#"{"a": "10"}"#, "equals { text: '10' } text_as_number: true", False);
    for text in ["", " 10", "10 ", "+10", "010", "10.", ".5", "0x10", "NaN", "ten", "1e"] {
        check_a(&format!("{{\"a\": \"{text}\"}}"), as_number, Absent);
    }
}

#[test]
fn fields_lead_through_arrays_only_where_asked() {
    let payload = r#"{"a": [{"b": 1}, [{"b": [2, [3]]}, 7], {"b": null}]}"#;
    let through = |test: &str| format!("predicate {{ field {{ names: 'a' names: 'b' through_arrays: true }} {test} }}");
    for (number, expected) in [(1, True), (2, True), (3, True), (7, False)] {
        check(payload, &through(&format!("equals {{ number: '{number}' }}")), expected);
    }
    check(payload, &through("equals { null {} }"), True);
    check(payload, &through("prefix: '' on_other_type: ON_OTHER_TYPE_ABSENT"), Absent);
    check(payload, "predicate { field { names: 'a' names: 'b' } exists: false }", True);
    check_a(r#"{"a": [1]}"#, "equals { number: '1' }", False);
    check_each_a(r#"{"a": []}"#, "prefix: '' on_missing: ON_MISSING_ABSENT", Absent);
    check_each_a(r#"[{"a": 1}]"#, "equals { number: '1' }", True);
    check_a(r#"[{"a": 1}]"#, "exists: true", False);
}

#[test]
fn names_of_the_payload_stand_for_several_only_where_asked() {
    let of = |names: &str, test: &str| {
        format!("predicate {{ field {{ names: [{names}] through_arrays: true dotted: true }} {test} }}")
    };
    let dotted = r#"{"a": {"b": {"d": 1}, "b.c": [2]}, "a.b": {"c": 3}, "a.b.c": 4, "a.b.c.d": 5}"#;
    for (number, expected) in [(2, True), (3, True), (4, True), (5, False)] {
        check(dotted, &of("'a', 'b', 'c'", &format!("equals {{ number: '{number}' }}")), expected);
    }
    // Dots count only where the field is missing.
    let payload = r#"{"a": {"b": {"c": 1}, "b.c": [2]}, "a.b": {"c": 3}, "a.b.c": 4}"#;
    for (number, expected) in [(1, True), (2, False), (3, False), (4, False)] {
        check(payload, &of("'a', 'b', 'c'", &format!("equals {{ number: '{number}' }}")), expected);
    }
    check(payload, "predicate { field { names: ['a', 'b', 'c'] through_arrays: true } equals { number: '4' } }", False);
    check(r#"{"a": {"b.c": {}}}"#, &of("'a', 'b', 'c'", "exists: false"), False);
    check(r#"{"a": {"b": {"d": 1}}}"#, &of("'a', 'b', 'c'", "exists: false"), True);
    check(
        r#"{"a": [{"b.c": 1}]}"#,
        "any_element { field { names: 'a' through_arrays: true } condition {
        predicate { element { names: ['b', 'c'] through_arrays: true dotted: true } equals { number: '1' } } } }",
        True,
    );
}

#[test]
fn one_element_satisfies_the_whole_condition() {
    let items = "field { names: 'items' }";
    let both = "condition { all {
        conditions { predicate { element { names: 'of' } equals { text: 'glass' } } }
        conditions { predicate { element { names: 'price' } range { above { number: '100' } } on_missing: ON_MISSING_ABSENT } }
    } }";
    let any = format!("any_element {{ {items} {both} }}");
    check(r#"{"items": [{"of": "glass", "price": 50}, {"of": "wood", "price": 150}]}"#, &any, False);
    check(r#"{"items": [{"of": "glass", "price": 50}, {"of": "glass", "price": 150}]}"#, &any, True);
    check(r#"{"items": [{"of": "glass"}, {"of": "glass", "price": 50}]}"#, &any, Absent);
    check(r#"{"items": [{"of": "glass"}, {"of": "glass", "price": 150}]}"#, &any, True);
    check(r#"{"items": [[{"of": "glass", "price": 150}]]}"#, &any, False);
    check(r#"{"items": []}"#, &format!("any_element {{ {items} {both} on_missing: ON_MISSING_TRUE }}"), False);
    check("{}", &format!("any_element {{ {items} {both} on_missing: ON_MISSING_ABSENT }}"), Absent);
    for lone in ["null", r#"{"of": "glass", "price": 150}"#] {
        let payload = format!("{{\"items\": {lone}}}");
        check(&payload, &format!("any_element {{ {items} {both} on_other_type: ON_OTHER_TYPE_ABSENT }}"), Absent);
        check(&payload, &any, False);
    }
    let through =
        format!("any_element {{ field {{ names: 'items' through_arrays: true }} {both} on_missing: ON_MISSING_TRUE }}");
    check(r#"{"items": [[{"of": "glass", "price": 150}]]}"#, &through, True);
    check(r#"{"items": {"of": "glass", "price": 150}}"#, &through, True);
    check(r#"{"items": [[]]}"#, &through, True);
    check(r#"{"items": [null]}"#, &through, False);
}

#[test]
fn elements_are_counted_outwards() {
    let pairs = "any_element { field { names: 'rows' } condition { any_element { element { names: 'cells' } condition {
        all { conditions { predicate { element { } equals { number: '2' } } }
              conditions { predicate { element { outwards: 1 names: 'id' } equals { text: 'x' } } }
              conditions { predicate { field { names: 'on' } equals { boolean: true } } } } } } } }";
    check(r#"{"on": true, "rows": [{"id": "y", "cells": [2]}, {"id": "x", "cells": [1, 2]}]}"#, pairs, True);
    check(r#"{"on": true, "rows": [{"id": "y", "cells": [2]}, {"id": "x", "cells": [1]}]}"#, pairs, False);
    check(r#"{"on": false, "rows": [{"id": "x", "cells": [2]}]}"#, pairs, False);
    let nested = "any_element { field { names: 'rows' } condition { predicate {
        element { through_arrays: true } equals { number: '2' } } } }";
    check(r#"{"rows": [[1], [[2]]]}"#, nested, True);
}

#[test]
fn records_have_more_than_a_payload() {
    let bytes = |text: &str| Given::Bytes(text.as_bytes().to_vec());
    let record = Record {
        headers: vec![
            ("h".into(), Some(b"first".to_vec())),
            ("h".into(), Some(b"1".to_vec())),
            ("empty".into(), Some(vec![])),
            ("null".into(), None),
            ("raw".into(), Some(b"\xffA".to_vec())),
        ],
        key: bytes("k"),
        topic: bytes("t"),
        event_type: bytes("hunt.clue.found"),
        tenant: Given::Null,
        timestamp_ms: Some(1_700_000_000_000),
        payload: None,
        ..Record::default()
    };
    for (text, expected) in [
        ("header: 'h' equals { text: '1' }", True),
        ("header: 'h' equals { text: 'first' }", False),
        ("header: 'h' equals { number: '1' }", False),
        ("header: 'h' equals { number: '1' } text_as_number: true", True),
        ("header: 'H' exists: false", True),
        ("header: 'empty' equals { text: '' } on_missing: ON_MISSING_ABSENT", True),
        ("header: 'null' exists: true", True),
        ("header: 'null' equals { text: '' } on_missing: ON_MISSING_ABSENT", False),
        ("header: 'null' equals { null {} }", True),
        ("header: 'null' prefix: '' on_other_type: ON_OTHER_TYPE_ABSENT", Absent),
        ("header: 'raw' suffix: 'a' ignore_case: true", True),
        ("part: RECORD_PART_KEY equals { text: 'k' }", True),
        ("part: RECORD_PART_TOPIC in { values { text: 't' } }", True),
        ("part: RECORD_PART_EVENT_TYPE prefix: 'hunt.'", True),
        ("part: RECORD_PART_TENANT exists: true", True),
        ("part: RECORD_PART_TIMESTAMP range { at_least { number: '1.7e12' } }", True),
        ("field { names: 'a' } exists: true", False),
        ("field { names: 'a' } prefix: '' on_missing: ON_MISSING_ABSENT", Absent),
    ] {
        let condition = condition(&format!("predicate {{ {text} }}"));
        assert_eq!(evaluate::evaluate(&condition, &record), expected, "{text}");
    }
}

#[test]
fn json_is_kept_as_it_was_written() {
    let text = r#"{"a":[1.50,-0,1e99999,{"b":null,"b":true}],"":"\u00e4\n"}"#;
    let json = Json::read(text).unwrap();
    assert_eq!(json.to_string(), r#"{"a":[1.50,-0,1e99999,{"b":null,"b":true}],"":"ä\n"}"#);
    assert_eq!(Json::read(&json.to_string()).unwrap(), json);
    for text in ["", "{", "01", "[1,]", "nul", "1 2", r#""\ud800""#, "{1:2}"] {
        assert!(Json::read(text).is_err(), "{text}");
    }
}
