//! The conformance suite of CESQL, as far as conditions can say what it says: tests of the attributes of CloudEvents.
//!
//! An expression becomes a `Condition`, which must have the suite's result for the suite's event: by the naive
//! reading, and by a table, for the event as binary record and in structured envelopes. An error, which makes a
//! filter of CESQL refuse an event, is an absent condition, which makes a route not match. What conditions can't say
//! is counted by its reason.
//!
//! Two things differ on purpose, and the suite does not try them: our own cases do. An error on the left of an AND or
//! OR ends the evaluation in CESQL; here what is false, or true, decides wherever it stands. And a text that is cast
//! to a number is one of JSON: `1.0` is 1, `+1` and `01` are no numbers.

#[path = "cesql/conditions.rs"]
mod conditions;
#[path = "support/evaluate.rs"]
mod evaluate;
#[path = "cesql/suite.rs"]
mod suite;
#[path = "cesql/syntax.rs"]
mod syntax;

use conditions::{spelled, translate};
use evaluate::json::Json;
use evaluate::{Record, Truth, evaluate};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use syntax::{Comparison, Expr, Literal, parse};
use veltrix_proto::v1::{
    CloudEvents, CloudEventsMode, Condition, Destination, EventTypes, KafkaTopic, OnAbsent, Payload, Route, RouteMap,
    Source, destination, payload,
};
use veltrix_route_table::{Event, Matches, RouteTable, Value, compile};

fn suite() -> Option<PathBuf> {
    let shared = std::env::var_os("VELTRIX_SHARED").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let suite = shared.unwrap_or_else(|| root.join("../shared")).join("corpus/conformance/cesql_tck");
    if suite.is_dir() {
        return Some(suite);
    }
    assert!(std::env::var_os("CI").is_none(), "the suite is not at {}; VELTRIX_SHARED says where", suite.display());
    // Past the harness, which would keep it to itself.
    std::io::stderr()
        .write_all(format!("skipped: the CESQL suite is not at {}\n", suite.display()).as_bytes())
        .unwrap();
    None
}

/// A test of the suite as a condition about an event.
struct Case {
    name: String,
    condition: Condition,
    attributes: Vec<(String, Literal)>,
    expected: Truth,
}

/// # Errors
/// Why conditions can't say it.
fn case(test: suite::Test) -> Result<Case, &'static str> {
    let parsed = parse(&test.expression);
    assert_eq!(parsed.is_none(), test.error.as_deref() == Some("parse"), "{}: {parsed:?}", test.name);
    let Some(parsed) = parsed else { return Err("no CESQL, as the suite says") };
    let (expr, value) = match test.result {
        Some(Literal::Boolean(value)) => (parsed, value),
        // A value, which a condition hasn't: it is equal to what it is.
        Some(value) => (Expr::Compare(Comparison::Equal, Box::new(parsed), Box::new(Expr::Literal(value))), true),
        None => panic!("{} has no result", test.name),
    };
    let translation = translate(&expr)?;
    let expected = match test.error {
        None => Truth::from(value),
        Some(_) => Truth::Absent,
    };
    // A filter refuses what is in error, as a route does not match by an absent condition.
    assert!(expected != Truth::Absent || !value, "{} is true, and an error", test.name);
    let mut attributes = test.attributes;
    attributes.extend(translation.lifted);
    Ok(Case { name: test.name, condition: translation.condition, attributes, expected })
}

/// How a record carries an event's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As headers, from a topic of which the map says nothing.
    Binary,
    /// As headers, from a topic whose records say which mode they have.
    SaidBinary,
    /// In the payload, and the record says so.
    SaidStructured,
    /// In the payload, from a topic where they always are.
    Structured,
}

const MODES: [Mode; 4] = [Mode::Binary, Mode::SaidBinary, Mode::SaidStructured, Mode::Structured];

struct Carried<'c> {
    mode: Mode,
    headers: &'c [(String, Option<Vec<u8>>)],
    envelope: &'c str,
}

impl Event for Carried<'_> {
    fn topic(&self) -> &str {
        match self.mode {
            Mode::Binary => "binary",
            Mode::SaidBinary | Mode::SaidStructured => "said",
            Mode::Structured => "structured",
        }
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        let attribute = || self.headers.iter().find(|(header, _)| header == name);
        match (self.mode, name) {
            (Mode::SaidStructured, "content-type") => Value::Bytes(b"application/cloudevents+json; charset=utf-8"),
            (_, "content-type") => Value::Bytes(b"application/json"),
            (Mode::Binary | Mode::SaidBinary, _) => match attribute() {
                Some((_, Some(value))) => Value::Bytes(value),
                _ => Value::Missing,
            },
            // These don't count.
            (Mode::SaidStructured | Mode::Structured, _) => Value::Bytes(b"true"),
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        match self.mode {
            Mode::Binary | Mode::SaidBinary => Some(b"{}"),
            Mode::SaidStructured | Mode::Structured => Some(self.envelope.as_bytes()),
        }
    }
}

impl Case {
    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let header = |(name, value): &(String, Literal)| (format!("ce_{name}"), Some(spelled(value).into_bytes()));
        self.attributes.iter().map(header).collect()
    }

    fn envelope(&self) -> String {
        let member = |(name, value): &(String, Literal)| {
            let value = match value {
                Literal::Boolean(value) => Json::Boolean(*value),
                Literal::Integer(number) => Json::Number(number.to_string()),
                Literal::Text(text) => Json::Text(text.clone()),
            };
            (name.clone(), value)
        };
        Json::Object(self.attributes.iter().map(member).collect()).to_string()
    }
}

/// A route for each condition.
fn table<'c>(cases: impl Iterator<Item = &'c Case>) -> RouteTable {
    let route = |(number, case): (usize, &Case)| Route {
        id: number.to_string(),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        when: Some(case.condition.clone()),
        to: vec!["d".to_owned()],
        on_absent: OnAbsent::DeadLetter.into(),
        ..Route::default()
    };
    let source = |topic: &str, mode: CloudEventsMode| {
        let kind = payload::Kind::CloudEvents(CloudEvents { mode: mode.into(), ..CloudEvents::default() });
        Source { topic: topic.to_owned(), payload: Some(Payload { kind: Some(kind) }), ..Source::default() }
    };
    let kafka = destination::Kind::Kafka(KafkaTopic { topic: "topic".to_owned(), ..KafkaTopic::default() });
    let map = RouteMap {
        name: "cesql".to_owned(),
        sources: vec![source("said", CloudEventsMode::Unspecified), source("structured", CloudEventsMode::Structured)],
        destinations: vec![Destination { id: "d".to_owned(), kind: Some(kafka) }],
        routes: cases.enumerate().map(route).collect(),
        ..RouteMap::default()
    };
    compile(&map).unwrap()
}

/// What each of `count` routes says of an event.
fn truths(table: &RouteTable, count: usize, event: &Carried<'_>, matches: &mut Matches) -> Vec<Truth> {
    table.matches(event, matches).unwrap();
    let mut truths = vec![Truth::False; count];
    matches.routes().iter().for_each(|route| truths[route.get()] = Truth::True);
    matches.undecided().iter().for_each(|route| truths[route.get()] = Truth::Absent);
    truths
}

/// The ways in which a case has not its result.
fn wrong(case: &Case, matches: &mut Matches) -> Vec<String> {
    let (headers, envelope) = (case.headers(), case.envelope());
    let alone = table(std::iter::once(case));
    let mut found: Vec<(String, Truth)> = MODES
        .map(|mode| {
            let event = Carried { mode, headers: &headers, envelope: &envelope };
            (format!("{mode:?}"), truths(&alone, 1, &event, matches)[0])
        })
        .into();
    found.push(("the naive reading".to_owned(), evaluate(&case.condition, &Record { headers, ..Record::default() })));
    found.retain(|(_, truth)| *truth != case.expected);
    found.iter().map(|(by, truth)| format!("{}: {truth:?}, not {:?}, by {by}", case.name, case.expected)).collect()
}

#[test]
fn what_conditions_can_say_of_the_suite_has_its_result() {
    let Some(suite) = suite() else { return };
    let mut files: Vec<_> = std::fs::read_dir(suite).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut cases, mut all_wrong, mut agree, mut matches) = (Vec::new(), Vec::new(), 0, Matches::new());
    println!("{:40} {:>6} {:>8} {:>6}", "file", "agree", "refused", "WRONG");
    for file in files {
        let (mut agree_here, mut refused_here, mut wrong_here) = (0, 0, 0);
        for test in suite::read(&file) {
            match case(test) {
                Err(reason) => {
                    refused_here += 1;
                    *reasons.entry(reason).or_default() += 1;
                }
                Ok(case) => {
                    let wrong = wrong(&case, &mut matches);
                    *(if wrong.is_empty() { &mut agree_here } else { &mut wrong_here }) += 1;
                    all_wrong.extend(wrong);
                    cases.push(case);
                }
            }
        }
        let file = file.file_name().unwrap().to_string_lossy().into_owned();
        println!("{file:40} {agree_here:>6} {refused_here:>8} {wrong_here:>6}");
        agree += agree_here;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons.iter().for_each(|(reason, count)| println!("{count:>5} {reason}"));
    assert!(all_wrong.is_empty(), "{all_wrong:#?}");
    assert!(agree >= 156, "only {agree} tests of the suite are taken");
    in_one_table(&cases, &mut matches);
}

/// Each event of the suite meets all its conditions at once.
fn in_one_table(cases: &[Case], matches: &mut Matches) {
    let all = table(cases.iter());
    for case in cases {
        let (headers, envelope) = (case.headers(), case.envelope());
        let record = Record { headers: headers.clone(), ..Record::default() };
        let expected: Vec<Truth> = cases.iter().map(|other| evaluate(&other.condition, &record)).collect();
        for mode in MODES {
            let event = Carried { mode, headers: &headers, envelope: &envelope };
            let found = truths(&all, cases.len(), &event, matches);
            for (other, (found, expected)) in cases.iter().zip(found.iter().zip(&expected)) {
                assert_eq!(found, expected, "{} for the event of {}, {mode:?}", other.name, case.name);
            }
        }
    }
}

#[test]
fn what_the_suite_does_not_try_has_the_result_of_its_condition() {
    let attributes = [("n", "7"), ("one", "1.0"), ("plus", "+1"), ("word", "a*b_c"), ("yes", "True"), ("empty", "")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), Literal::Text(value.to_owned())));
    let typed = ("type".to_owned(), Literal::Text("t".to_owned()));
    let mut matches = Matches::new();
    for (text, expected) in [
        // Where CESQL has an error; on the right it has none.
        ("missing = 1 OR TRUE", Truth::True),
        ("missing = 1 AND FALSE", Truth::False),
        ("missing = 1 XOR TRUE", Truth::Absent),
        ("missing = 1 OR FALSE", Truth::Absent),
        ("missing NOT IN ('a')", Truth::Absent),
        // Where an integer is not all that is a number.
        ("one = 1", Truth::True),
        ("one = '1'", Truth::False),
        ("plus = 1", Truth::Absent),
        // Casts that fail.
        ("word = 1", Truth::Absent),
        ("word < 1 OR word >= 1", Truth::Absent),
        ("empty = TRUE", Truth::Absent),
        ("NOT word", Truth::Absent),
        // Casts that don't; an attribute in a set is a text.
        ("n > 10 OR n <= '7'", Truth::True),
        ("n IN (7, 8)", Truth::True),
        ("one IN (1)", Truth::False),
        ("yes AND NOT (yes = 'true')", Truth::True),
        ("TRUE NOT IN ('false')", Truth::True),
        ("07 IN ('7')", Truth::True),
        // Stars are no wildcards, and what is empty is there.
        ("word LIKE 'a*b\\_c'", Truth::True),
        ("n LIKE '*'", Truth::False),
        ("empty LIKE '%' AND EXISTS empty AND empty = ''", Truth::True),
        // AND and OR are of one precedence, from the right; NOT comes before what is compared.
        ("FALSE AND FALSE OR TRUE", Truth::False),
        ("TRUE OR FALSE AND FALSE", Truth::True),
        ("NOT FALSE AND NOT EXISTS missing", Truth::True),
    ] {
        let translation = translate(&parse(text).unwrap()).unwrap();
        let attributes = attributes.iter().chain([&typed]).cloned().chain(translation.lifted).collect();
        let case = Case { name: text.to_owned(), condition: translation.condition, attributes, expected };
        assert_eq!(wrong(&case, &mut matches), Vec::<String>::new());
    }
    for (text, reason) in [
        ("NOT yes = TRUE", "a test of a truth"),
        ("1 IN ('a')", "a literal whose cast fails, always"),
        ("TRUE = 1", "a boolean that is cast to an integer"),
        ("1 = TRUE", "an integer that is cast to a boolean"),
    ] {
        assert_eq!(translate(&parse(text).unwrap()).err(), Some(reason), "{text}");
    }
    for text in ["", "n =", "n NOT", "'a", "n IN ()", "(n", "n n", "EXISTS TRUE", "n LIKE n", "n ? 1"] {
        assert_eq!(parse(text), None, "{text}");
    }
}
