//! What texts mean, and how those that mean nothing are told so. That the meaning is the one of CEL is held by `tests/cel.rs`.

use super::*;
use prost_reflect::{DescriptorPool, DynamicMessage};

/// A condition in the text form of protobuf, in which the notes that most leaves carry are short: `~` is "absent where it is missing",
/// `!` is "absent where it is missing or of another type".
fn condition(text: &str) -> Condition {
    let text = text.replace('!', "~ on_other_type: ON_OTHER_TYPE_ABSENT").replace('~', "on_missing: ON_MISSING_ABSENT");
    let pool = DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name("veltrix.v1.Condition").unwrap();
    DynamicMessage::parse_text_format(descriptor, &text).unwrap().transcode_to().unwrap()
}

#[track_caller]
fn means(text: &str, scope: &Scope<'_>, expected: &str) {
    match parse(text, scope) {
        Ok(found) => {
            assert_eq!(found, condition(expected), "{text}");
            assert_eq!(parse(&render(&found), &Scope::record()), Ok(found.clone()), "{text} as {}", render(&found));
        }
        Err(error) => panic!("{text}\n{error}"),
    }
}

#[test]
fn a_comparison_is_a_predicate_that_is_absent_where_cel_has_an_error() {
    let cases = [
        ("payload.a == 1", r#"predicate { field { names: "a" } equals { number: "1" } ~ }"#),
        ("1.50 == payload.a.b", r#"predicate { field { names: ["a", "b"] } equals { number: "1.50" } ~ }"#),
        ("payload['a-b'] != 'x'", r#"not { predicate { field { names: "a-b" } equals { text: "x" } ~ } }"#),
        ("payload.`a-b` == null", r#"predicate { field { names: "a-b" } equals { null {} } ~ }"#),
        ("payload.a == false", r#"predicate { field { names: "a" } equals { boolean: false } ~ }"#),
        ("payload.a < 5", r#"predicate { field { names: "a" } range { below { number: "5" } } ! }"#),
        ("5 < payload.a", r#"predicate { field { names: "a" } range { above { number: "5" } } ! }"#),
        ("-0x10 <= payload.a", r#"predicate { field { names: "a" } range { at_least { number: "-16" } } ! }"#),
        ("payload.a <= 'm'", r#"predicate { field { names: "a" } range { at_most { text: "m" } } ! }"#),
        ("type == 'a.b'", r#"predicate { part: RECORD_PART_EVENT_TYPE equals { text: "a.b" } ~ }"#),
        ("event.key != 'a'", r#"not { predicate { part: RECORD_PART_KEY equals { text: "a" } ~ } }"#),
        ("headers.h in ['a', 'b']", r#"predicate { header: "h" in { values { text: "a" } values { text: "b" } } ~ }"#),
        (
            "payload.a in [1u, 'b', null, true]",
            r#"predicate { field { names: "a" }
            in { values { number: "1" } values { text: "b" } values { null {} } values { boolean: true } } ~ }"#,
        ),
        (
            "lookup.player.region == 'eu'",
            r#"predicate { lookup { lookup: "player" names: "region" } equals { text: "eu" } ~ }"#,
        ),
        ("event.lookup['a-b'] > 5", r#"predicate { lookup { lookup: "a-b" } range { above { number: "5" } } ! }"#),
        ("has(lookup.player)", r#"predicate { lookup { lookup: "player" } exists: true }"#),
        ("!has(lookup.a.b.c)", r#"predicate { lookup { lookup: "a" names: ["b", "c"] } exists: false }"#),
        (
            "double(lookup.a.b) < 5",
            r#"predicate { lookup { lookup: "a" names: "b" } range { below { number: "5" } } text_as_number: true ! }"#,
        ),
        ("lookup.a", r#"predicate { lookup { lookup: "a" } equals { boolean: true } ! }"#),
        ("payload.a", r#"predicate { field { names: "a" } equals { boolean: true } ! }"#),
        ("!payload.a", r#"not { predicate { field { names: "a" } equals { boolean: true } ! } }"#),
        (".payload.a == -.5", r#"predicate { field { names: "a" } equals { number: "-0.5" } ~ }"#),
        ("payload.a == --5", r#"predicate { field { names: "a" } equals { number: "5" } ~ }"#),
        ("(payload.a > 1) == false", r#"not { predicate { field { names: "a" } range { above { number: "1" } } ! } }"#),
        (
            "timestamp >= timestamp('2026-01-01T00:00:00.0005Z')",
            r#"predicate { part: RECORD_PART_TIMESTAMP range { at_least { number: "1767225600000.5" } } ! }"#,
        ),
        (
            "timestamp(10) != timestamp",
            r#"not { predicate { part: RECORD_PART_TIMESTAMP equals { number: "10000" } ~ } }"#,
        ),
    ];
    for (text, expected) in cases {
        means(text, &Scope::record(), expected);
    }
}

#[test]
fn functions_become_their_tests() {
    let cases = [
        ("payload.a.startsWith('x')", r#"predicate { field { names: "a" } prefix: "x" ! }"#),
        ("headers['h'].endsWith('x')", r#"predicate { header: "h" suffix: "x" ! }"#),
        ("topic.contains('x')", r#"predicate { part: RECORD_PART_TOPIC contains: "x" ! }"#),
        ("wildcard(payload.a, r'/a/*\\*')", r#"predicate { field { names: "a" } wildcard: "/a/*\\*" ! }"#),
        (
            "equals_ignore_case(payload.a, '')",
            r#"predicate { field { names: "a" } equals { text: "" } ! ignore_case: true }"#,
        ),
        ("contains_ignore_case(key, 'x')", r#"predicate { part: RECORD_PART_KEY contains: "x" ! ignore_case: true }"#),
        (
            "ip_in(payload.ip, '10.0.0.0/8', '::1')",
            r#"predicate { field { names: "ip" } cidr { blocks: ["10.0.0.0/8", "::1"] } ! }"#,
        ),
        (
            "share(key, 'it\\'s', 0, 1000)",
            r#"predicate { part: RECORD_PART_KEY share { salt: "it's" from: 0 to: 1000 } ! }"#,
        ),
        (
            "share(double(headers.n), 's', 9999, 10000)",
            r#"predicate { header: "n" share { salt: "s" from: 9999 to: 10000 } ! text_as_number: true }"#,
        ),
        (
            "share(payload.a.b, 's', 0, 1) || share(headers.h, 's', 1, 2)",
            r#"any { conditions { predicate { field { names: ["a", "b"] } share { salt: "s" to: 1 } ! } }
                     conditions { predicate { header: "h" share { salt: "s" from: 1 to: 2 } ! } } }"#,
        ),
        ("int(headers.n) > 5", r#"predicate { header: "n" range { above { number: "5" } } ! text_as_number: true }"#),
        (
            "double(payload.n) != 5",
            r#"not { predicate { field { names: "n" } equals { number: "5" } ! text_as_number: true } }"#,
        ),
        ("has(payload.a.b)", r#"predicate { field { names: ["a", "b"] } exists: true }"#),
        ("!has(headers.h)", r#"predicate { header: "h" exists: false }"#),
        ("'h-1' in headers", r#"predicate { header: "h-1" exists: true }"#),
        ("has(event.tenant)", r#"predicate { part: RECORD_PART_TENANT exists: true }"#),
    ];
    for (text, expected) in cases {
        means(text, &Scope::record(), expected);
    }
}

#[test]
fn operators_join_what_cel_joins() {
    let leaf = |name: &str| format!(r#"predicate {{ field {{ names: "{name}" }} exists: true }}"#);
    let (a, b, c) = (leaf("a"), leaf("b"), leaf("c"));
    let cases = [
        (
            "has(payload.a) && has(payload.b) && has(payload.c)",
            format!("all {{ conditions {{ {a} }} conditions {{ {b} }} conditions {{ {c} }} }}"),
        ),
        (
            "has(payload.a) && (has(payload.b) && has(payload.c))",
            format!("all {{ conditions {{ {a} }} conditions {{ {b} }} conditions {{ {c} }} }}"),
        ),
        (
            "has(payload.a) || has(payload.b) && has(payload.c)",
            format!(
                "any {{ conditions {{ {a} }} conditions {{ all {{ conditions {{ {b} }} conditions {{ {c} }} }} }} }}"
            ),
        ),
        (
            "(has(payload.a) || has(payload.b)) && has(payload.c)",
            format!(
                "all {{ conditions {{ any {{ conditions {{ {a} }} conditions {{ {b} }} }} }} conditions {{ {c} }} }}"
            ),
        ),
        (
            "!(has(payload.a) && has(payload.b))",
            format!("not {{ all {{ conditions {{ {a} }} conditions {{ {b} }} }} }}"),
        ),
        ("!!has(payload.a)", a.clone()),
        ("true && has(payload.a) || 1 > 2", a.clone()),
        (
            "(has(payload.a) || has(payload.b)) == (1 < 2)",
            format!("any {{ conditions {{ {a} }} conditions {{ {b} }} }}"),
        ),
    ];
    for (text, expected) in cases {
        means(text, &Scope::record(), &expected);
    }
}

#[test]
fn elements_are_those_of_the_lists_around() {
    let over = |over: &str, condition: &str| format!("any_element {{ {over} condition {{ {condition} }} ! }}");
    let items = r#"field { names: "items" }"#;
    let cases = [
        ("'a' in payload.items", over(items, r#"predicate { element {} equals { text: "a" } ~ }"#)),
        ("payload.items.exists(i, i == 'a')", over(items, r#"predicate { element {} equals { text: "a" } ~ }"#)),
        (
            "payload.items.exists(i, i.price > 100 && payload.sale)",
            over(
                items,
                r#"all {
            conditions { predicate { element { names: "price" } range { above { number: "100" } } ! } }
            conditions { predicate { field { names: "sale" } equals { boolean: true } ! } } }"#,
            ),
        ),
        (
            "payload.items.exists(i, i.parts.exists(p, p == 1 && i.size == 2))",
            over(
                items,
                &over(
                    r#"element { names: "parts" }"#,
                    r#"all { conditions { predicate { element {} equals { number: "1" } ~ } }
                conditions { predicate { element { outwards: 1 names: "size" } equals { number: "2" } ~ } } }"#,
                ),
            ),
        ),
        // The innermost of equal names counts, and a point before a name asks for none of them.
        (
            "payload.items.exists(x, x.exists(x, x == 1))",
            over(items, &over("element {}", r#"predicate { element {} equals { number: "1" } ~ }"#)),
        ),
        (
            "payload.items.exists(key, .key == 'a' && key == 'b')",
            over(
                items,
                r#"all {
            conditions { predicate { part: RECORD_PART_KEY equals { text: "a" } ~ } }
            conditions { predicate { element {} equals { text: "b" } ~ } } }"#,
            ),
        ),
        (
            "payload.items.all(i, i == 'a')",
            format!("not {{ {} }}", over(items, r#"not { predicate { element {} equals { text: "a" } ~ } }"#)),
        ),
        (
            "payload.items.all(i, i != 'a')",
            format!("not {{ {} }}", over(items, r#"predicate { element {} equals { text: "a" } ~ }"#)),
        ),
        ("payload.items.exists(i, true)", over(items, "predicate { element {} exists: true }")),
        ("payload.items.all(i, false)", format!("not {{ {} }}", over(items, "predicate { element {} exists: true }"))),
        ("payload.items.all(i, true)", format!("not {{ {} }}", over(items, "predicate { element {} exists: false }"))),
    ];
    for (text, expected) in cases {
        means(text, &Scope::record(), &expected);
    }
}

fn clue() -> (MessageTypes, MessageId) {
    let mut types = MessageTypes::new();
    let (clue, place) = (types.declare(), types.declare());
    let list = |kind| FieldType::Repeated(Box::new(kind));
    let fields = [
        ("hunt_id", FieldType::String),
        ("points", FieldType::Int),
        ("weight", FieldType::Double),
        ("solved", FieldType::Bool),
        ("photo", FieldType::Bytes),
        ("state", FieldType::Enum(["OPEN", "FOUND", "CLOSED"].map(str::to_owned).into())),
        ("at", FieldType::Timestamp),
        ("place", FieldType::Message(place)),
        ("path", list(FieldType::Message(place))),
        ("tags", list(FieldType::String)),
        ("labels", FieldType::Map(Box::new(FieldType::String))),
        ("extra", FieldType::Any),
        ("type", FieldType::Uint),
    ];
    for (name, kind) in fields {
        types.field(clue, name, kind);
    }
    types.field(place, "name", FieldType::String);
    types.field(place, "within", FieldType::Message(place));
    (types, clue)
}

#[test]
fn bare_names_are_fields_of_the_message() {
    let (types, clue) = clue();
    let cases = [
        ("points > 0", r#"predicate { field { names: "points" } range { above { number: "0" } } ! }"#),
        ("payload.points > 0", r#"predicate { field { names: "points" } range { above { number: "0" } } ! }"#),
        ("type == 1", r#"predicate { field { names: "type" } equals { number: "1" } ~ }"#),
        ("event.type == 'a'", r#"predicate { part: RECORD_PART_EVENT_TYPE equals { text: "a" } ~ }"#),
        ("tenant == 'a'", r#"predicate { part: RECORD_PART_TENANT equals { text: "a" } ~ }"#),
        (
            "place.within.within.name == 'a'",
            r#"predicate { field { names: ["place", "within", "within", "name"] } equals { text: "a" } ~ }"#,
        ),
        (
            "state in ['OPEN', 'FOUND']",
            r#"predicate { field { names: "state" } in { values { text: "OPEN" } values { text: "FOUND" } } ~ }"#,
        ),
        ("solved", r#"predicate { field { names: "solved" } equals { boolean: true } ! }"#),
        ("has(photo)", r#"predicate { field { names: "photo" } exists: true }"#),
        ("'k' in labels", r#"predicate { field { names: ["labels", "k"] } exists: true }"#),
        ("labels['k'] == 'v'", r#"predicate { field { names: ["labels", "k"] } equals { text: "v" } ~ }"#),
        ("extra.a.b == 1", r#"predicate { field { names: ["extra", "a", "b"] } equals { number: "1" } ~ }"#),
        (
            "path.exists(p, p.within.name == 'a')",
            r#"any_element { field { names: "path" } condition {
            predicate { element { names: ["within", "name"] } equals { text: "a" } ~ } } ! }"#,
        ),
    ];
    for (text, expected) in cases {
        means(text, &Scope::message(&types, clue), expected);
    }
}

/// Each text, and every reason for its refusal, as `line:column: message`.
#[track_caller]
fn refused(scope: &Scope<'_>, cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let Err(error) = parse(text, scope) else { panic!("{text} is taken") };
        let found: Vec<_> = error
            .reasons
            .iter()
            .map(|reason| format!("{}:{}: {}", reason.line, reason.column, reason.message))
            .collect();
        assert_eq!(&found, expected, "{text}");
        assert!(error.reasons.iter().all(|reason| !reason.help.is_empty()), "{text}");
    }
}

#[test]
fn types_that_do_not_go_together_are_refused_with_their_place() {
    let (types, clue) = clue();
    refused(
        &Scope::message(&types, clue),
        &[
            ("pionts > 0", &["1:1: nothing is called `pionts`"]),
            ("place.nam == 'a'", &["1:7: `place` has no field `nam`"]),
            ("payload.hunt == 'a'", &["1:9: `payload` has no field `hunt`"]),
            ("points == '1'", &["1:11: `points` is a number, and this is text"]),
            ("hunt_id == 1", &["1:12: `hunt_id` is text, and this is a number"]),
            (
                "hunt_id in ['a', 1, 'b', 2]",
                &["1:18: `hunt_id` is text, and this is a number", "1:26: `hunt_id` is text, and this is a number"],
            ),
            ("state == 'FUOND'", &["1:10: `state` can't be 'FUOND'"]),
            ("state < 'FOUND'", &["1:9: the names that `state` can be have no order"]),
            ("state.startsWith('F')", &["1:1: `state` is one of a few names, and `startsWith` is about texts"]),
            ("points.startsWith('1')", &["1:1: `points` is a number, and `startsWith` is about texts"]),
            ("points", &["1:1: `points` is a number, not a condition"]),
            ("tags == 'a'", &["1:9: `tags` is a list, and this is text"]),
            ("1 in tags", &["1:1: `tags` is text, and this is a number"]),
            ("'a' in place", &["1:8: `place` is a message, not a list"]),
            ("'a' in hunt_id", &["1:8: `hunt_id` is text, not a list"]),
            ("1 in labels", &["1:1: the keys of `labels` are texts, and this is a number"]),
            ("labels.exists(k, k == 'a')", &["1:1: `labels` is a map, and `exists` is about lists of events"]),
            ("points.exists(x, x == 1)", &["1:1: `points` is a number, and `exists` is about lists of events"]),
            ("path.name == 'a'", &["1:1: `path` is a list; its elements have the fields"]),
            ("hunt_id.a == 'a'", &["1:1: `hunt_id` is text and has no fields"]),
            (
                "path.exists(p, p.nmae == 'a' || p == 1)",
                &["1:18: `p` has no field `nmae`", "1:38: `p` is a message, and this is a number"],
            ),
            ("photo == 'a'", &["1:10: `photo` is bytes, and this is text"]),
            (
                "at > timestamp('2026-01-01T00:00:00Z')",
                &["1:6: `at` is a time as text, whose order is not that of time, and this is a time"],
            ),
            ("double(points) > 1", &["1:1: `points` is a number already"]),
            ("int(solved) == 1", &["1:1: `solved` is true or false, which is no number"]),
            ("solved < true", &["1:10: true or false has no order in a condition"]),
            ("ip_in(points, '10.0.0.0/8')", &["1:7: `points` is a number, and `ip_in` is about texts"]),
            (
                "share(solved, 's', 0, 1)",
                &["1:7: `solved` is true or false, and `share` is about texts and numbers of events"],
            ),
            ("share(tags, 's', 0, 1)", &["1:7: `tags` is a list, and `share` is about texts and numbers of events"]),
            ("share('key', 's', 0, 1)", &["1:7: `'key'` is text, and `share` is about texts and numbers of events"]),
            ("share(points)", &["1:1: `share` takes a field, a salt and the bounds of a part"]),
            ("share(points, 's', 5, 5)", &["1:23: no value is in a share from 5 to 5"]),
            (
                "share(points, '', -1, 10001)",
                &[
                    "1:15: the salt of a share is a text that stands here and is not empty",
                    "1:19: a bound of a share is a whole number from 0 to 10000",
                    "1:23: a bound of a share is a whole number from 0 to 10000",
                ],
            ),
            (
                "share(points, hunt_id, 0, 0.5)",
                &[
                    "1:15: the salt of a share is a text that stands here and is not empty",
                    "1:27: a bound of a share is a whole number from 0 to 10000",
                ],
            ),
            ("random() < 0.1", &["1:1: conditions have no `random`"]),
        ],
    );
}

#[test]
fn what_conditions_cannot_say_is_refused_with_its_place() {
    refused(
        &Scope::record(),
        &[
            ("lookup == 'a'", &["1:1: these are all lookups"]),
            ("lookup[''] == 'a'", &["1:8: no lookup can have this name"]),
            ("lookups.a == 'a'", &["1:1: nothing is called `lookups`"]),
            ("lookup.a.b == payload.b", &["1:1: `lookup.a.b == payload.b` compares two places of an event"]),
            ("lookup.a.exists(x, x == 1)", &["1:1: the elements of `lookup.a` can't be gone through"]),
            ("'a' in lookup.a.b", &["1:8: the elements of `lookup.a.b` can't be gone through"]),
            ("payload.a == payload.b", &["1:1: `payload.a == payload.b` compares two places of an event"]),
            (
                "payload.a + 1 > 3 && 2 < payload.b * 2",
                &[
                    "1:1: `payload.a + 1` computes; conditions only compare",
                    "1:26: `payload.b * 2` computes; conditions only compare",
                ],
            ),
            ("-payload.a == 1", &["1:1: `-payload.a` computes; conditions only compare"]),
            ("payload.a ? true : false", &["1:1: a condition chooses between no values"]),
            ("payload.a.matches('x')", &["1:11: conditions have no `matches`"]),
            ("size(payload.a) > 1", &["1:1: conditions have no `size`"]),
            ("payload.a.lowerAscii() == 'x'", &["1:11: conditions have no `lowerAscii`"]),
            ("payload.a.filter(x, x > 1) == []", &["1:11: conditions have no `filter`"]),
            ("payload.a.exists_one(x, x > 1)", &["1:11: conditions have no `exists_one`"]),
            ("duration('1s') == payload.a", &["1:1: conditions have no `duration`"]),
            ("dyn(payload.a) == 1", &["1:1: conditions have no `dyn`"]),
            ("payload.a.startWith('x')", &["1:11: there is no function `startWith`"]),
            ("startsWith(payload.a, 'x')", &["1:1: there is no function `startsWith`"]),
            ("payload.a == [1]", &["1:1: `payload.a == [1]` compares a list"]),
            ("payload.a == {'b': 1}", &["1:14: maps and messages can't be compared with"]),
            ("payload.a in []", &["1:14: nothing is in an empty list"]),
            ("payload.a in [payload.b]", &["1:15: `payload.b` is no value that stands in the text"]),
            ("payload.a in 'abc'", &["1:14: `'abc'` is no list"]),
            ("payload.a[0] == 1", &["1:11: elements can't be picked by their number"]),
            ("payload.a[payload.b] == 1", &["1:11: only a text can stand here"]),
            ("payload.a == b'x'", &["1:14: an event has no bytes to compare with"]),
            ("payload.a < null", &["1:13: null has no order in a condition"]),
            ("payload == 1", &["1:1: this is the whole payload"]),
            ("headers == 1", &["1:1: these are all headers"]),
            ("event.payload == 1", &["1:7: an event has no `payload`"]),
            ("headers.n > 5", &["1:13: `headers.n` is text, and this is a number"]),
            ("int(payload.n) > 5", &["1:1: `int` would cut fractions off; conditions only compare"]),
            ("int(headers.n) == 'a'", &["1:19: `int(headers.n)` is a number, and this is text"]),
            ("timestamp > 5", &["1:13: `timestamp` is a time, and this is a number"]),
            (
                "payload.at > timestamp(0)",
                &["1:14: `payload.at` is a time as text, whose order is not that of time, and this is a time"],
            ),
            ("timestamp > timestamp('2026-01-01')", &["1:13: this is no time"]),
            ("payload.a.startsWith('')", &["1:22: `startsWith` needs a text that is not empty"]),
            ("payload.a.startsWith(payload.b)", &["1:22: `startsWith` compares with a text that stands here"]),
            ("wildcard(payload.a, r'\\d')", &["1:21: a backslash stands before a star or a backslash here"]),
            (
                "ip_in(payload.a, '10.0.0.0/33', '10.0.0')",
                &["1:18: `'10.0.0.0/33'` is no block of addresses", "1:33: `'10.0.0'` is no block of addresses"],
            ),
            ("has(payload)", &["1:5: `has` asks for a field of something"]),
            ("has(type)", &["1:5: `has` asks for a field of something"]),
            ("has(payload.a, payload.b)", &["1:1: `has` takes one field"]),
            (
                "[1, 2].exists(x, x == 1)",
                &["1:1: `[1, 2]` is a list that stands in the text, and `exists` is about lists of events"],
            ),
            ("payload.a.exists(x)", &["1:1: `exists` takes a name and a condition"]),
            ("payload.a.exists(1, true)", &["1:1: `exists` takes a name and a condition"]),
            ("headers.exists(h, h == 'a')", &["1:1: `headers` is a map, and `exists` is about lists of events"]),
            ("(payload.a > 1) == (payload.b > 1)", &["1:1: `(payload.a > 1) == (payload.b > 1)` compares a condition"]),
            ("'a' && payload.b", &["1:1: `'a'` is text, not a condition"]),
            ("1 < 'a'", &["1:1: `<` has no order for a number and text"]),
            ("true || false", &["1:1: this is true for every event"]),
            ("payload.a > 1 && 1 == 2", &["1:1: this is false for every event"]),
        ],
    );
}

#[test]
fn what_is_not_spelled_as_cel_is_refused_with_its_place() {
    refused(
        &Scope::record(),
        &[
            ("", &["1:1: the text ends where a value is needed"]),
            ("payload.a >", &["1:12: the text ends where a value is needed"]),
            ("payload.a = 1", &["1:11: here stands `=` where an operator, or the end is needed"]),
            ("payload.a > 1 and payload.b", &["1:15: here stands `and` where an operator, or the end is needed"]),
            ("not payload.a", &["1:5: here stands `payload` where an operator, or the end is needed"]),
            ("(payload.a > 1", &["1:15: the text ends where `)` is needed"]),
            ("payload.a in ('a', 'b')", &["1:18: here stands `,` where `)` is needed"]),
            ("payload. == 1", &["1:10: here stands `==` where the name of a field is needed"]),
            ("for == 1", &["1:1: `for` is reserved in CEL"]),
            (
                "payload.a == 'x\n' && \u{201c}b\u{201d}",
                &["1:14: this text doesn't end on its line", "2:1: this text doesn't end"],
            ),
            (
                "payload.a == \u{201c}b\u{201d}",
                &["1:14: `\u{201c}` has no meaning here", "1:16: `\u{201d}` has no meaning here"],
            ),
            (
                "payload.a & payload.b @missing(true)",
                &["1:11: `&` has no meaning here", "1:23: `@` has no meaning here"],
            ),
            ("payload.a > 9223372036854775808", &["1:13: this number is beyond 64 bits with a sign"]),
            ("payload.größe > 1", &["1:11: `ö` has no meaning here", "1:12: `ß` has no meaning here"]),
        ],
    );
}

#[test]
fn a_reason_is_shown_with_its_line_and_a_caret() {
    let (types, clue) = clue();
    let scope = Scope::message(&types, clue);
    let cases = [
        (
            "points + 1 > 3",
            "\
error: `points + 1` computes; conditions only compare
 --> 1:1
  |
1 | points + 1 > 3
  | ^^^^^^^^^^ compare `points` with 2 instead",
        ),
        (
            "points > 0 &&\n  (regoin == 'eu' ||\n\thunt_id == 5)",
            "\
error: nothing is called `regoin`
 --> 2:4
  |
2 |   (regoin == 'eu' ||
  |    ^^^^^^ write `payload.regoin` for a field of the payload, `headers.regoin` for a header

error: `hunt_id` is text, and this is a number
 --> 3:13
  |
3 |  hunt_id == 5)
  |             ^ write it between quotes, or compare `double(hunt_id)`",
        ),
        (
            "state == 'FUOND'",
            "\
error: `state` can't be 'FUOND'
 --> 1:10
  |
1 | state == 'FUOND'
  |          ^^^^^^^ write 'FOUND'",
        ),
        (
            "'größe' == hunt_id && points >",
            "\
error: the text ends where a value is needed
 --> 1:31
  |
1 | 'größe' == hunt_id && points >
  |                               ^ a value is needed",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text, &scope).unwrap_err().to_string(), expected);
    }
    let long = format!("{} && oops == 1 && {}", "points > 0 ".repeat(40).replace("0 p", "0 && p"), "solved");
    let shown = parse(&long, &scope).unwrap_err().to_string();
    assert!(shown.lines().all(|line| line.chars().count() < 130), "{shown}");
    let line = shown.lines().nth(3).unwrap();
    let caret = shown.lines().nth(4).unwrap().find('^').unwrap();
    assert!(line[caret..].starts_with("oops"), "{shown}");
    let steering = parse("points > 1 \u{1b}[31m", &scope).unwrap_err().to_string();
    assert!(!steering.contains('\u{1b}'), "{steering}");
}

#[test]
fn a_text_beyond_a_limit_is_refused_by_its_name() {
    let scope = Scope::record();
    let refused_by = |text: &str, name: &str| {
        let error = parse(text, &scope).unwrap_err();
        assert!(error.reasons[0].kind == ReasonKind::Limit && error.reasons[0].to_string().contains(name), "{error}");
    };
    let cel =
        |depth: usize, open: &str, close: &str| format!("{}has(payload.a){}", open.repeat(depth), close.repeat(depth));
    assert!(parse(&cel(60, "(", ")"), &scope).is_ok());
    for (open, close) in [
        ("(", ")"),
        ("!", ""),
        ("has(", ")"),
        ("[", "]"),
        ("a ? b : ", ""),
        ("x.exists(x, ", ")"),
        ("{1:", "}"),
        ("-", ""),
    ] {
        refused_by(&cel(65, open, close), "cel_depth");
        refused_by(&cel(5_000, open, close), "cel_depth");
    }
    refused_by(&format!("payload{} == 1", ".a".repeat(100)), "cel_depth");
    refused_by(&vec!["1"; 100].join(" + "), "cel_depth");
    refused_by(&" ".repeat(65 * 1_024), "cel_bytes");
    refused_by(&format!("type == '{}'", "x".repeat(4_097)), "literal_bytes");
    refused_by(&format!("headers.{} == 'a'", "x".repeat(256)), "id_bytes");
    refused_by(&format!("payload.a in [{}]", "1, ".repeat(10_001)), "values_per_in");
    refused_by(&format!("share(key, '{}', 0, 1)", "x".repeat(256)), "id_bytes");
    let deep = "payload.l.exists(x, ".repeat(32) + "x == 1" + &")".repeat(32);
    refused_by(&deep, "condition_depth");
    let chain = |parts| vec!["has(payload.a)"; parts].join("&&");
    assert!(parse(&chain(4_000), &scope).is_ok());
    refused_by(&vec!["key<'a'"; 4_096].join("||"), "condition_nodes_per_route");
    let many = parse(&vec!["a"; 1_000].join("||"), &scope).unwrap_err();
    assert_eq!((many.reasons.len(), many.omitted), (CelError::REASONS_MAX, 1_000 - CelError::REASONS_MAX));
}

#[test]
fn what_cel_cannot_say_is_shown_with_a_mark_that_no_cel_has() {
    let cases = [
        (r#"predicate { field { names: "a" } equals { number: "1" } }"#, "payload.a == 1 @missing(false)"),
        (r#"not { predicate { field { names: "a" } equals { number: "1" } } }"#, "!(payload.a == 1 @missing(false))"),
        (
            r#"predicate { field { names: "a" } prefix: "x" on_missing: ON_MISSING_TRUE }"#,
            "payload.a.startsWith('x') @missing(true) @other_type(false)",
        ),
        (
            r#"predicate { field { names: ["a", "b"] through_arrays: true } equals { text: "x" } ~ }"#,
            "@each(payload.a.b) == 'x'",
        ),
        (
            r#"predicate { field { names: "a" } types { types: [VALUE_TYPE_TEXT, VALUE_TYPE_NULL] } ~ }"#,
            "@is(payload.a, text, null)",
        ),
        (
            r#"predicate { field { names: "a" } range { above { number: "1" } at_most { number: "9" } } ! }"#,
            "payload.a > 1 && payload.a <= 9",
        ),
        (r#"predicate { field { names: "a" } equals { number: "1e999" } ~ }"#, "payload.a == @number('1e999')"),
        (r#"predicate { header: "n" range { above { number: "5" } } ! }"#, "headers.n > 5 @not_cel"),
        (
            r#"all { conditions { predicate { field { names: "a" } exists: true } }
                  conditions { any_element { field { names: "l" } condition { predicate { element { outwards: 3 } exists: true } } } } }"#,
            "has(payload.a) && (payload.l.exists(x, true) @missing(false) @other_type(false))",
        ),
        (r#"cel: "payload.a==1||payload . b" "#, "payload.a == 1 || payload.b"),
        (r#"cel: "payload.a ==" "#, "@cel('payload.a ==')"),
        (r#"event_pattern: "{\"a\": [\"it's\"]}" "#, r#"@event_pattern('{"a": ["it\'s"]}')"#),
        ("", "@unset"),
        ("all {}", "@all()"),
        (
            r#"predicate { field { names: "a" } in { values { text: "x" } } ! ignore_case: true }"#,
            "payload.a in ['x'] @other_type(absent) @ignore_case",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(render(&condition(text)), expected);
    }
    let unset = Condition { kind: None };
    let deep = (0..10_000).fold(unset, |inner, _| Condition { kind: Some(condition::Kind::Not(Box::new(inner))) });
    assert!(render(&deep).ends_with("@too_deep"), "{}", render(&deep));
}

#[test]
fn what_stands_behind_a_number_and_signs_that_are_doubled_are_told_apart() {
    for (text, help) in [
        ("payload.items[0].sku == 'a'", "say what the element is like: `payload.items.exists(x, x.sku == 'a')`"),
        (
            "payload.items[0].a.b.startsWith('a')",
            "say what the element is like: `payload.items.exists(x, x.a.b == 'a')`",
        ),
        ("payload.items[0] == 'a'", "say what the element is like: `payload.items.exists(x, x == 'a')`"),
        ("payload.items[0].l[1] == 'a'", "say what the element is like: `payload.items.exists(x, x == 'a')`"),
        ("payload.coins >> 1", "write `>` to compare; conditions don't shift bits"),
        ("payload.coins << 1", "write `<` to compare; conditions don't shift bits"),
        ("payload.coins <> 1", "write `!=` for other than"),
        ("payload.coins == > 1", "a value is needed"),
    ] {
        let refused = parse(text, &Scope::record()).unwrap_err();
        assert_eq!(refused.reasons[0].help, help, "{text}");
    }
}

#[test]
fn the_readmes_list_of_what_can_be_written_is_taken_and_what_it_says_is_refused_is() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).unwrap();
    // Cells in which a text stands between backquotes, of the lines of a table.
    let table = |head: &str| -> Vec<Vec<Vec<String>>> {
        let (_, rows) = readme.split_once(head).unwrap_or_else(|| panic!("no table {head}"));
        let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = |row: &str| {
            row.replace("\\|", "\u{1}").split('|').map(|cell| cell.replace('\u{1}', "|")).collect::<Vec<_>>()
        };
        let texts = |cell: String| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        rows.map(|row| cells(row).into_iter().skip(1).map(texts).collect()).collect()
    };
    let is_taken = |text: &String| parse(text, &Scope::record()).map(|_| ()).map_err(|error| error.to_string());
    let said = table("| what | in CEL |");
    assert!(said.len() > 10);
    for row in said {
        assert!(!row[1].is_empty(), "{row:?}");
        row[1].iter().for_each(|text| assert_eq!(is_taken(text), Ok(()), "{text}"));
    }
    let refused = table("| refused | instead |");
    assert!(refused.len() > 5);
    for row in refused {
        row[0].iter().for_each(|text| assert!(is_taken(text).is_err(), "{text}"));
        row[1].iter().for_each(|text| assert_eq!(is_taken(text), Ok(()), "{text}"));
    }
}
