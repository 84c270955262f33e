//! Texts mean what CEL means by them: random expressions are read by the parser and evaluated as conditions, and evaluated by an
//! interpreter of CEL that knows nothing of conditions. An error there must be absent here.

#[path = "support/evaluate.rs"]
mod evaluate;

use evaluate::json::Json;
use evaluate::{Answer, Given, Record, evaluate};
use proptest::prelude::*;
use veltrix_proto::v1::{
    AnyElement, Condition, Conditions, Element, Field, Literal, Literals, LookedUp, Null, Predicate, Range, RecordPart,
    ValueTypes, any_element, condition, literal, predicate, range,
};
use veltrix_route_table::cel::{Scope, parse, render};

/// An expression, as far as conditions can say it.
#[derive(Clone, Debug)]
enum Expr {
    Relation(Place, &'static str, Json, bool),
    Number(Place, &'static str, i8),
    In(Place, Vec<Json>),
    Holds(Json, Place),
    Flag(Place),
    Has(Place),
    Method(Place, &'static str, &'static str),
    Constant(bool),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Exists(Place, Box<Expr>),
    All(Place, Box<Expr>),
}

#[derive(Clone, Debug)]
struct Place {
    root: Root,
    names: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Root {
    Payload,
    Header(&'static str),
    Tenant,
    /// One of the variables around; the payload's field `a` where there is none.
    Variable(usize),
}

const HEADERS: [&str; 3] = ["n", "h-1", "in"];
const FIELDS: [&str; 4] = ["a", "b", "l", "a-b"];

// Printing.

fn place_text(place: &Place, variables: usize) -> String {
    let root = match place.root {
        Root::Payload => "payload".to_owned(),
        Root::Header(name) => format!("headers[{name:?}]"),
        Root::Tenant => "tenant".to_owned(),
        Root::Variable(_) if variables == 0 => "payload.a".to_owned(),
        Root::Variable(index) => format!("v{}", index % variables),
    };
    place.names.iter().fold(root, |text, name| match name.contains('-') {
        true => format!("{text}['{name}']"),
        false => format!("{text} .{name}"),
    })
}

fn json_text(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Boolean(value) => value.to_string(),
        Json::Number(number) => number.clone(),
        Json::Text(text) => format!("{text:?}"),
        Json::Array(_) | Json::Object(_) => panic!("no literal is one"),
    }
}

fn text(expr: &Expr, variables: usize) -> String {
    let place = |place: &Place| place_text(place, variables);
    let joined = |parts: &[Expr], sign: &str| {
        parts.iter().map(|part| format!("({})", text(part, variables))).collect::<Vec<_>>().join(sign)
    };
    match expr {
        Expr::Relation(at, sign, value, false) => format!("{}{sign}{}", place(at), json_text(value)),
        Expr::Relation(at, sign, value, true) => format!("{} {} {}", json_text(value), turned(sign), place(at)),
        Expr::Number(at, sign, value) => format!("double({}) {sign} {value}", place(at)),
        Expr::In(at, values) => {
            format!("{} in [{}]", place(at), values.iter().map(json_text).collect::<Vec<_>>().join(" , "))
        }
        Expr::Holds(value, at) => format!("{} in {}", json_text(value), place(at)),
        Expr::Flag(at) => place(at),
        Expr::Has(at) => format!("has({})", place(at)),
        Expr::Method(at, method, argument) => format!("{}.{method}({argument:?})", place(at)),
        Expr::Constant(value) => value.to_string(),
        Expr::Not(inner) => format!("!({})", text(inner, variables)),
        Expr::And(parts) => joined(parts, "&&"),
        Expr::Or(parts) => joined(parts, " ||\n"),
        Expr::Exists(at, inner) => format!("{}.exists(v{variables}, {})", place(at), text(inner, variables + 1)),
        Expr::All(at, inner) => format!("{}.all(v{variables}, {})", place(at), text(inner, variables + 1)),
    }
}

fn turned(sign: &str) -> &str {
    match sign {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        same => same,
    }
}

// The interpreter. `Err(())` is an error of CEL.

type Value<T = Json> = Result<T, ()>;

fn value(place: &Place, sample: &Record, variables: &[Json]) -> Value {
    let text = |bytes: &[u8]| Json::Text(String::from_utf8(bytes.to_vec()).unwrap());
    let header = |name: &str| sample.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_deref());
    let payload = sample.payload.as_ref().ok_or(())?;
    let root = match place.root {
        Root::Payload => payload.clone(),
        Root::Header(name) => header(name).ok_or(())?.map_or(Json::Null, text),
        Root::Tenant => match &sample.tenant {
            Given::Bytes(tenant) => text(tenant),
            Given::Null | Given::Missing => return Err(()),
        },
        Root::Variable(_) if variables.is_empty() => payload.field("a").cloned().ok_or(())?,
        Root::Variable(index) => variables[index % variables.len()].clone(),
    };
    place.names.iter().try_fold(root, |value, name| value.field(name).cloned().ok_or(()))
}

fn double(value: &Json) -> Value<f64> {
    match value {
        Json::Number(number) => Ok(number.parse().unwrap()),
        _ => Err(()),
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    match (double(a), double(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn related(a: &Json, sign: &str, b: &Json) -> Value<bool> {
    let order = match (a, b) {
        _ if sign == "==" => return Ok(equal(a, b)),
        _ if sign == "!=" => return Ok(!equal(a, b)),
        (Json::Text(a), Json::Text(b)) => a.chars().cmp(b.chars()),
        _ => double(a)?.partial_cmp(&double(b)?).unwrap(),
    };
    Ok(match sign {
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// `a || b` of CEL: true if either is, whatever the other.
fn or(a: Value<bool>, b: Value<bool>) -> Value<bool> {
    match (a, b) {
        (Ok(true), _) | (_, Ok(true)) => Ok(true),
        (Ok(false), b) => b,
        (a, _) => a,
    }
}

fn not(a: Value<bool>) -> Value<bool> {
    a.map(|a| !a)
}

fn interpreted(expr: &Expr, sample: &Record, variables: &[Json]) -> Value<bool> {
    let at = |place: &Place| value(place, sample, variables);
    let inner = |expr: &Expr| interpreted(expr, sample, variables);
    match expr {
        Expr::Relation(place, sign, literal, _) => related(&at(place)?, sign, literal),
        Expr::Number(place, sign, literal) => {
            let number = match at(place)? {
                Json::Text(text) => text.parse::<f64>().map_err(drop)?,
                other => double(&other)?,
            };
            related(&Json::Number(number.to_string()), sign, &Json::Number(literal.to_string()))
        }
        Expr::In(place, values) => at(place).map(|found| values.iter().any(|value| equal(&found, value))),
        Expr::Holds(literal, place) => match at(place)? {
            Json::Array(values) => Ok(values.iter().any(|value| equal(value, literal))),
            _ => Err(()),
        },
        Expr::Flag(place) => match at(place)? {
            Json::Boolean(value) => Ok(value),
            _ => Err(()),
        },
        // Where CEL has an error because the field that it is asked of isn't there, conditions say no.
        Expr::Has(place) => Ok(at(place).is_ok()),
        Expr::Method(place, method, argument) => match (at(place)?, *method) {
            (Json::Text(text), "startsWith") => Ok(text.starts_with(argument)),
            (Json::Text(text), "endsWith") => Ok(text.ends_with(argument)),
            (Json::Text(text), _) => Ok(text.contains(argument)),
            _ => Err(()),
        },
        Expr::Constant(value) => Ok(*value),
        Expr::Not(expr) => not(inner(expr)),
        Expr::Or(parts) => parts.iter().map(inner).fold(Ok(false), or),
        Expr::And(parts) => not(parts.iter().map(|part| not(inner(part))).fold(Ok(false), or)),
        Expr::Exists(place, expr) => match at(place)? {
            Json::Array(values) => values.iter().map(|value| with(expr, value, sample, variables)).fold(Ok(false), or),
            _ => Err(()),
        },
        Expr::All(place, expr) => match at(place)? {
            Json::Array(values) => {
                let none = values.iter().map(|value| not(with(expr, value, sample, variables))).fold(Ok(false), or);
                not(none)
            }
            _ => Err(()),
        },
    }
}

fn with(expr: &Expr, value: &Json, sample: &Record, variables: &[Json]) -> Value<bool> {
    let variables: Vec<Json> = variables.iter().cloned().chain([value.clone()]).collect();
    interpreted(expr, sample, &variables)
}

// Generators: few names and few values, so that they meet.

fn scalars() -> impl Strategy<Value = Json> {
    let numbers = prop::sample::select(vec!["0", "-0.0", "1", "1.0", "10e-1", "2", "-1", "2.5", "100"]);
    prop_oneof![
        2 => numbers.prop_map(|number| Json::Number(number.to_owned())),
        2 => prop::sample::select(vec!["", "a", "ab", "b", "1", "2.5", "\u{e9}", "x\u{1f431}"])
            .prop_map(|text| Json::Text(text.to_owned())),
        1 => any::<bool>().prop_map(Json::Boolean),
        1 => Just(Json::Null),
    ]
}

fn values() -> impl Strategy<Value = Json> {
    scalars().prop_recursive(3, 16, 4, |inner| {
        prop_oneof![prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array), objects(inner),]
    })
}

fn objects(values: impl Strategy<Value = Json>) -> impl Strategy<Value = Json> {
    prop::collection::btree_map(prop::sample::select(FIELDS.to_vec()), values, 0..4)
        .prop_map(|fields| Json::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn samples() -> impl Strategy<Value = Record> {
    let texts = prop::sample::select(vec!["", "a", "5", "-3", "5.5", "1e1", "abc"]);
    let header = prop_oneof![4 => texts.prop_map(|text| Some(text.as_bytes().to_vec())), 1 => Just(None)];
    let headers = prop::collection::btree_map(prop::sample::select(HEADERS.to_vec()), header, 0..4);
    let tenant = prop::option::of(prop::sample::select(vec!["a", "b", ""]));
    let answer =
        prop_oneof![3 => values().prop_map(Answer::Found), 1 => Just(Answer::Missing), 1 => Just(Answer::Failed)];
    (objects(values()), headers, tenant, answer).prop_map(|(payload, headers, tenant, answer)| Record {
        answers: [("l-1".to_owned(), answer)].into(),
        tenant: tenant.map_or(Given::Missing, |tenant| Given::Bytes(tenant.as_bytes().to_vec())),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Record::of_payload(payload)
    })
}

fn fields() -> impl Strategy<Value = Place> {
    let names = |count| prop::collection::vec(prop::sample::select(FIELDS.to_vec()), count);
    prop_oneof![
        3 => names(1..3).prop_map(|names| Place { root: Root::Payload, names }),
        2 => (0..3_usize, names(0..2)).prop_map(|(index, names)| Place { root: Root::Variable(index), names }),
    ]
}

fn texts() -> impl Strategy<Value = Place> {
    prop_oneof![
        prop::sample::select(HEADERS.to_vec()).prop_map(|name| Place { root: Root::Header(name), names: vec![] }),
        Just(Place { root: Root::Tenant, names: vec![] }),
    ]
}

fn leaves() -> impl Strategy<Value = Expr> {
    let ordered = scalars().prop_filter("has an order", |value| matches!(value, Json::Number(_) | Json::Text(_)));
    let text = scalars().prop_filter("is text or null", |value| matches!(value, Json::Text(_) | Json::Null)).boxed();
    let equality = prop::sample::select(vec!["==", "!="]);
    let order = prop::sample::select(vec!["<", "<=", ">", ">="]);
    let method = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let argument = prop::sample::select(vec!["a", "b", "\u{1f431}"]);
    let signs = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let relation = |(place, sign, value, turned)| Expr::Relation(place, sign, value, turned);
    prop_oneof![
        4 => (fields(), equality.clone(), scalars(), any::<bool>()).prop_map(relation),
        3 => (fields(), order, ordered, any::<bool>()).prop_map(relation),
        2 => (texts(), equality, text.clone(), any::<bool>()).prop_map(relation),
        2 => (prop_oneof![texts(), fields()], signs, -5..6_i8).prop_map(|(place, sign, value)| Expr::Number(place, sign, value)),
        2 => (fields(), prop::collection::vec(scalars(), 1..4)).prop_map(|(place, values)| Expr::In(place, values)),
        1 => (texts(), prop::collection::vec(text, 1..4)).prop_map(|(place, values)| Expr::In(place, values)),
        2 => (scalars(), fields()).prop_map(|(value, place)| Expr::Holds(value, place)),
        1 => fields().prop_map(Expr::Flag),
        2 => fields().prop_map(|mut place| {
            // A variable by itself is always there; `has` asks for a field.
            place.names.push("a");
            Expr::Has(place)
        }),
        2 => (prop_oneof![texts(), fields()], method, argument).prop_map(|(place, method, argument)| Expr::Method(place, method, argument)),
        1 => any::<bool>().prop_map(Expr::Constant),
    ]
}

fn exprs() -> impl Strategy<Value = Expr> {
    leaves().prop_recursive(5, 24, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Expr::Not(Box::new(inner))),
            parts().prop_map(Expr::And),
            parts().prop_map(Expr::Or),
            (fields(), inner.clone()).prop_map(|(place, inner)| Expr::Exists(place, Box::new(inner))),
            (fields(), inner.clone()).prop_map(|(place, inner)| Expr::All(place, Box::new(inner))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn a_text_means_what_cel_means_by_it(expr in exprs(), samples in prop::collection::vec(samples(), 1..8)) {
        let text = text(&expr, 0);
        match parse(&text, &Scope::record()) {
            Ok(condition) => {
                for sample in &samples {
                    let expected = interpreted(&expr, sample, &[]).ok();
                    prop_assert_eq!(evaluate(&condition, sample).known(), expected, "{} as {:?} of {:?}", text, condition, sample);
                }
                let rendered = render(&condition);
                let again = parse(&rendered, &Scope::record());
                prop_assert_eq!(again.as_ref(), Ok(&condition), "{} is shown as {}", text, rendered);
            }
            // The only thing that is refused here: what is the same for every event.
            Err(refused) => {
                let [reason] = refused.reasons.as_slice() else { panic!("{refused}") };
                let veltrix_route_table::cel::ReasonKind::Constant(value) = reason.kind else { panic!("{refused}") };
                for sample in &samples {
                    prop_assert_eq!(interpreted(&expr, sample, &[]), Ok(value), "{} of {:?}", text, sample);
                }
            }
        }
    }
}

/// Conditions that nobody wrote as CEL.
fn predicates(within_elements: bool) -> impl Strategy<Value = Condition> {
    let names = || prop::collection::vec(prop::sample::select(FIELDS.to_vec()).prop_map(str::to_owned), 1..3);
    let field = names().prop_map(|names| predicate::Attribute::Field(Field { names, ..Field::default() }));
    let attribute = prop_oneof![
        field,
        Just(predicate::Attribute::Header("n".to_owned())),
        Just(predicate::Attribute::Part(RecordPart::Tenant.into())),
        (any::<bool>(), names()).prop_map(|(itself, names)| {
            let names = if itself { vec![] } else { names };
            predicate::Attribute::Lookup(LookedUp { lookup: "l-1".to_owned(), names })
        }),
        Just(predicate::Attribute::Part(RecordPart::Timestamp.into())),
        (any::<bool>(), names()).prop_map(move |(itself, names)| {
            let names = if itself { vec![] } else { names };
            match within_elements {
                true => predicate::Attribute::Element(Element { names, ..Element::default() }),
                false => predicate::Attribute::Header("h-1".to_owned()),
            }
        }),
    ];
    let literals = || {
        scalars().prop_map(|value| Literal {
            kind: Some(match value {
                Json::Null => literal::Kind::Null(Null {}),
                Json::Boolean(value) => literal::Kind::Boolean(value),
                Json::Number(number) => literal::Kind::Number(number),
                Json::Text(text) => literal::Kind::Text(text),
                Json::Array(_) | Json::Object(_) => panic!("a scalar is neither"),
            }),
        })
    };
    let text = || prop::sample::select(vec!["a", "ab", "*", "a*"]).prop_map(str::to_owned);
    // Bounds of different types are no condition.
    let of_one_type = |(lower, upper, _): &(Literal, Literal, u8)| {
        lower.kind.as_ref().map(std::mem::discriminant) == upper.kind.as_ref().map(std::mem::discriminant)
    };
    let bounds =
        (literals(), literals(), 0..4_u8).prop_filter("one type", of_one_type).prop_map(|(lower, upper, which)| {
            let lower = if which == 0 { range::Lower::Above(lower) } else { range::Lower::AtLeast(lower) };
            let upper = if which == 1 { range::Upper::Below(upper) } else { range::Upper::AtMost(upper) };
            predicate::Test::Range(Range { lower: (which != 2).then_some(lower), upper: (which != 3).then_some(upper) })
        });
    let test = prop_oneof![
        literals().prop_map(predicate::Test::Equals),
        prop::collection::vec(literals(), 1..3).prop_map(|values| predicate::Test::In(Literals { values })),
        text().prop_map(predicate::Test::Prefix),
        text().prop_map(predicate::Test::Contains),
        text().prop_map(predicate::Test::Wildcard),
        bounds,
        any::<bool>().prop_map(predicate::Test::Exists),
        prop::collection::vec(1..7_i32, 1..3).prop_map(|types| predicate::Test::Types(ValueTypes { types })),
    ];
    let flags = (prop_oneof![3 => Just(3), 1 => 0..4_i32], prop_oneof![2 => Just(3), 1 => 0..4_i32]);
    (attribute, test, flags, prop::bool::weighted(0.2), prop::bool::weighted(0.2)).prop_map(
        |(attribute, test, (on_missing, on_other_type), ignore_case, text_as_number)| {
            let (attribute, test) = (Some(attribute), Some(test));
            let all = Predicate { attribute, test, on_missing, on_other_type, ignore_case, text_as_number };
            Condition { kind: Some(condition::Kind::Predicate(all)) }
        },
    )
}

fn trees(leaves: impl Strategy<Value = Condition> + 'static) -> impl Strategy<Value = Condition> {
    leaves.prop_recursive(3, 8, 3, |inner| {
        let parts = || prop::collection::vec(inner.clone(), 1..4).prop_map(|conditions| Conditions { conditions });
        let of = |kind| Condition { kind: Some(kind) };
        prop_oneof![
            parts().prop_map(move |parts| of(condition::Kind::All(parts))),
            parts().prop_map(move |parts| of(condition::Kind::Any(parts))),
            inner.clone().prop_map(move |inner| of(condition::Kind::Not(Box::new(inner)))),
        ]
    })
}

fn conditions() -> impl Strategy<Value = Condition> {
    let over = prop::sample::select(FIELDS.to_vec())
        .prop_map(|name| any_element::Over::Field(Field { names: vec![name.to_owned()], ..Field::default() }));
    let any = (over, trees(predicates(true)), prop_oneof![Just(3), 0..4_i32], prop_oneof![Just(3), 0..4_i32]).prop_map(
        |(over, condition, on_missing, on_other_type)| {
            let any = AnyElement { over: Some(over), condition: Some(Box::new(condition)), on_missing, on_other_type };
            Condition { kind: Some(condition::Kind::AnyElement(Box::new(any))) }
        },
    );
    trees(prop_oneof![3 => predicates(false), 1 => any])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_192, ..ProptestConfig::default() })]

    #[test]
    fn what_a_condition_is_shown_as_means_what_it_means_or_is_no_cel(
        condition in conditions(), samples in prop::collection::vec(samples(), 1..8)
    ) {
        let shown = render(&condition);
        match parse(&shown, &Scope::record()) {
            Ok(again) => {
                for sample in &samples {
                    let (found, expected) = (evaluate(&again, sample).known(), evaluate(&condition, sample).known());
                    prop_assert_eq!(found, expected, "{:?} is shown as {}", condition, shown);
                }
            }
            Err(_) => prop_assert!(shown.contains('@'), "{} is not marked", shown),
        }
    }
}

#[test]
fn numbers_of_events_are_exact_decimals() {
    let sample =
        |number: &str| Record::of_payload(Json::Object(vec![("n".to_owned(), Json::Number(number.to_owned()))]));
    let cases = [
        // CEL has these equal: the nearest double of both is 9007199254740992.
        ("payload.n == 9007199254740992.0", "9007199254740993", false),
        ("payload.n > 0", "1e-400", true),
        ("payload.n == 0.1", "0.1000000000000000055511151231257827", false),
        ("payload.n == 0.1", "1e-1", true),
        ("payload.n == 0", "-0.0", true),
        ("payload.n < 18446744073709551615u", "18446744073709551614.999", true),
        ("payload.n == 100", "1e2", true),
    ];
    for (text, number, expected) in cases {
        let condition = parse(text, &Scope::record()).unwrap();
        assert_eq!(evaluate(&condition, &sample(number)).known(), Some(expected), "{text} of {number}");
    }
}
