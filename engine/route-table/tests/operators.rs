//! The table of operators in `route_map.proto` is right: what it says of a test and a type is what a table does.

#[path = "support/evaluate.rs"]
mod evaluate;
#[path = "support/text_format.rs"]
mod text_format;
#[path = "support/with_payload.rs"]
mod with_payload;

use evaluate::json::Json;
use evaluate::{Record, Truth};
use text_format::condition;
use veltrix_proto::v1::{Condition, Destination, EventTypes, KafkaTopic, OnAbsent, Route, RouteMap, destination};
use veltrix_route_table::{Deliveries, compile};
use with_payload::WithPayload;

const CONTRACT: &str = include_str!("../../../proto/veltrix/v1/route_map.proto");

/// The columns after the first, and a value of each type that the tests below know; `None`: nothing is there.
const COLUMNS: [(&str, Option<&str>); 7] = [
    ("not there", None),
    ("null", Some("null")),
    ("boolean", Some("true")),
    ("number", Some("5")),
    ("text", Some(r#""10.0.0.1""#)),
    ("object", Some("{}")),
    ("array", Some("[]")),
];

/// For each test and type: a test that names the type and is true of the value above, and one that is false of it.
fn named(test: &str, column: &str) -> [String; 2] {
    let literals = match column {
        "null" => ["null {}", "text: 'x'"],
        "boolean" => ["boolean: true", "boolean: false"],
        "number" => ["number: '5.0'", "number: '6'"],
        _ => ["text: '10.0.0.1'", "text: '10.0.0.2'"],
    };
    let values = match test {
        "equals" => return literals.map(|literal| format!("equals {{ {literal} }}")),
        "in" => return literals.map(|literal| format!("in {{ values {{ {literal} }} values {{ text: 'z' }} }}")),
        "range" => return literals.map(|literal| format!("range {{ at_least {{ {literal} }} }}")),
        "exists" if column == "not there" => ["exists: false", "exists: true"],
        "exists" => ["exists: true", "exists: false"],
        "types" => {
            let types = |named: &str| format!("types {{ types: VALUE_TYPE_{named} }}");
            let other = if column == "null" { "TEXT" } else { "NULL" };
            return [types(&column.to_uppercase()), types(other)];
        }
        "prefix" => ["prefix: '10.'", "prefix: '11.'"],
        "suffix" => ["suffix: '.1'", "suffix: '.2'"],
        "contains" => ["contains: '0.0'", "contains: '1.1'"],
        "wildcard" => ["wildcard: '1*1'", "wildcard: '2*'"],
        "cidr" => ["cidr { blocks: '10.0.0.0/8' }", "cidr { blocks: '11.0.0.0/8' }"],
        "share" => ["share { salt: 's' from: 0 to: 10000 }", "share { salt: 's' from: 0 to: 1 }"],
        other => panic!("the table has a test `{other}` that is not known here"),
    };
    values.map(str::to_owned)
}

/// A test that names only other types than the column's.
fn unnamed(test: &str, column: &str) -> String {
    let literal = if column == "text" { "number: '1'" } else { "text: '1'" };
    match test {
        "equals" => format!("equals {{ {literal} }}"),
        "in" => format!("in {{ values {{ {literal} }} }}"),
        "range" => format!("range {{ below {{ {literal} }} }}"),
        other => named(other, "text")[0].clone(),
    }
}

fn map(when: Condition) -> RouteMap {
    let topic = KafkaTopic { topic: "topic".to_owned(), ..KafkaTopic::default() };
    RouteMap {
        name: "operators".to_owned(),
        destinations: vec![Destination { id: "d".to_owned(), kind: Some(destination::Kind::Kafka(topic)) }],
        routes: vec![Route {
            id: "r".to_owned(),
            types: Some(EventTypes { any: true, ..EventTypes::default() }),
            to: vec!["d".to_owned()],
            when: Some(when),
            on_absent: OnAbsent::DeadLetter.into(),
            ..Route::default()
        }],
        ..RouteMap::default()
    }
}

/// What the table and the naive reading say, which is the same.
fn truth(test: &str, value: Option<&str>, (on_missing, on_other_type): (&str, &str)) -> Truth {
    let is_exists = test.starts_with("exists");
    let missing = if is_exists { String::new() } else { format!("on_missing: ON_MISSING_{on_missing}") };
    let other = match is_exists || test.starts_with("types") {
        true => String::new(),
        false => format!("on_other_type: ON_OTHER_TYPE_{on_other_type}"),
    };
    let when = condition(&format!("predicate {{ field {{ names: 'a' }} {test} {missing} {other} }}"));
    let payload = value.map_or("{}".to_owned(), |value| format!("{{\"a\": {value}}}"));
    let naive = evaluate::evaluate(&when, &Record::of_payload(Json::read(&payload).unwrap()));
    let table = compile(&map(when)).unwrap();
    let mut deliveries = Deliveries::new();
    table.route(&WithPayload { topic: "t", payload }, &mut deliveries);
    let said = match (deliveries.list(), deliveries.undecided()) {
        ([_], None) => Truth::True,
        ([], Some(_)) => Truth::Absent,
        _ => Truth::False,
    };
    assert_eq!(said, naive, "{test} of {value:?}");
    said
}

const TRUTHS: [(&str, Truth); 3] = [("FALSE", Truth::False), ("TRUE", Truth::True), ("ABSENT", Truth::Absent)];

/// Whatever is said of missing values and other types, the test must come to `expected`.
fn check(test: &str, value: Option<&str>, expected: impl Fn(Truth, Truth) -> Truth) {
    for (on_missing, missing) in TRUTHS {
        for (on_other_type, other) in TRUTHS {
            let said = truth(test, value, (on_missing, on_other_type));
            assert_eq!(said, expected(missing, other), "{test} of {value:?}: {on_missing}, {on_other_type}");
        }
    }
}

#[test]
fn every_cell_of_the_contracts_table_of_operators_is_what_a_table_does() {
    let lines = CONTRACT.lines().filter_map(|line| line.strip_prefix("//   "));
    let cells =
        |line: &'static str| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>();
    let mut rows = lines.skip_while(|line| !line.starts_with("test ")).map(cells);
    let head = rows.next().unwrap();
    assert_eq!(head[1..], COLUMNS.map(|(name, _)| name));
    let mut tests = 0;
    for row in rows.take_while(|row| row.len() == head.len()) {
        for test in row[0].split(", ") {
            tests += 1;
            for (cell, (column, value)) in row[1..].iter().zip(COLUMNS) {
                let decides = || {
                    let [yes, no] = named(test, column);
                    check(&yes, value, |_, _| Truth::True);
                    // There is only one null: a test that names it is true of it.
                    if column != "null" || *cell == "tested" {
                        check(&no, value, |_, _| Truth::False);
                    }
                };
                let is_of_other_type = || check(&unnamed(test, column), value, |_, other| other);
                match *cell {
                    "tested" => decides(),
                    "missing" => check(&named(test, "text")[0], value, |missing, _| missing),
                    "other" => is_of_other_type(),
                    "if named" => {
                        decides();
                        is_of_other_type();
                    }
                    other => panic!("a cell says `{other}`"),
                }
            }
        }
    }
    assert_eq!(tests, 11, "equals, in, prefix, suffix, contains, wildcard, cidr, range, share, types, exists");
}
