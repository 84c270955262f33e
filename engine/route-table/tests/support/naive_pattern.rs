//! EventBridge's matching as event-ruler does it, without a machine: the event becomes a list of values with their
//! paths and the elements of arrays that they are in, a pattern one list of fields for each choice of its `$or`s, and
//! all that is left is to find a value for each field so that no two are in different elements of one array.
//!
//! And generators of patterns and events that meet often.

use super::evaluate::Decimal;
use super::evaluate::json::Json;
use super::evaluate::ways;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Lists by path.
type Fields<'p> = BTreeMap<String, &'p [Json]>;

/// Elements by array.
type Membership = BTreeMap<usize, usize>;

struct Leaf<'e> {
    path: String,
    value: &'e Json,
    membership: Membership,
}

/// Whether `pattern`, which is a valid one, matches `event`.
pub(crate) fn matches(pattern: &Json, event: &Json) -> bool {
    let mut choices = vec![Fields::new()];
    read_object(pattern, "", &mut choices);
    let mut leaves = Vec::new();
    flatten(event, "", &Membership::new(), &Membership::new(), &mut 0, &mut leaves);
    choices.iter().any(|fields| {
        let fields: Vec<(&str, &[Json])> = fields.iter().map(|(path, items)| (path.as_str(), *items)).collect();
        all_found(&fields, &leaves, &Membership::new())
    })
}

/// Whether `event` has a path of `pattern` both as nested names and with dots in them, which is where Veltrix differs.
pub(crate) fn has_a_path_both_ways(pattern: &Json, event: &Json) -> bool {
    let Json::Object(fields) = pattern else { return false };
    fields.iter().any(|(path, _)| {
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        let [nested, all] = [false, true].map(|dotted| ways(event, &names, true, dotted).len());
        nested > 0 && nested < all
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn read_object<'p>(pattern: &'p Json, path: &str, choices: &mut Vec<Fields<'p>>) {
    let Json::Object(fields) = pattern else { panic!("{pattern} is no object") };
    for (name, value) in fields {
        match value {
            Json::Array(branches) if name == "$or" => {
                let before = std::mem::take(choices);
                for branch in branches {
                    let mut with_branch = before.clone();
                    read_object(branch, path, &mut with_branch);
                    choices.extend(with_branch);
                }
            }
            Json::Array(items) => {
                for fields in choices.iter_mut() {
                    fields.insert(join(path, name), items);
                }
            }
            object => read_object(object, &join(path, name), choices),
        }
    }
}

/// `inside`: the elements that objects and arrays in `value` are in. A bare value is in those around its array only.
fn flatten<'e>(
    value: &'e Json,
    path: &str,
    outside: &Membership,
    inside: &Membership,
    arrays: &mut usize,
    leaves: &mut Vec<Leaf<'e>>,
) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                flatten(value, &join(path, name), inside, inside, arrays, leaves);
            }
        }
        Json::Array(elements) => {
            let array = *arrays;
            *arrays += 1;
            for (at, element) in elements.iter().enumerate() {
                let mut within = inside.clone();
                within.insert(array, at);
                flatten(element, path, inside, &within, arrays, leaves);
            }
        }
        value => leaves.push(Leaf { path: path.to_owned(), value, membership: outside.clone() }),
    }
}

fn all_found(fields: &[(&str, &[Json])], leaves: &[Leaf], chosen: &Membership) -> bool {
    let Some((&(path, items), rest)) = fields.split_first() else { return true };
    let is_absent = leaves.iter().all(|leaf| leaf.path != path);
    if is_absent && items.contains(&operator("exists", Json::Boolean(false))) {
        return all_found(rest, leaves, chosen);
    }
    leaves.iter().filter(|leaf| leaf.path == path).any(|leaf| {
        let agrees = leaf.membership.iter().all(|(array, at)| chosen.get(array).is_none_or(|chosen| chosen == at));
        agrees && items.iter().any(|item| passes(item, leaf.value)) && {
            let mut chosen = chosen.clone();
            chosen.extend(&leaf.membership);
            all_found(rest, leaves, &chosen)
        }
    })
}

fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => Decimal::read(one).cmp(&Decimal::read(other)).is_eq(),
        (one, other) => one == other,
    }
}

fn passes(item: &Json, value: &Json) -> bool {
    let Json::Object(fields) = item else { return equal(item, value) };
    match (fields[0].0.as_str(), &fields[0].1, value) {
        ("exists", Json::Boolean(expected), _) => *expected,
        ("prefix", Json::Text(prefix), Json::Text(text)) => text.starts_with(prefix),
        ("suffix", Json::Text(suffix), Json::Text(text)) => text.ends_with(suffix),
        ("equals-ignore-case", Json::Text(other), Json::Text(text)) => other.eq_ignore_ascii_case(text),
        ("numeric", Json::Array(bounds), Json::Number(number)) => bounds.chunks(2).all(|pair| {
            let [Json::Text(operator), Json::Number(bound)] = pair else { panic!("{item}") };
            let order = Decimal::read(number).cmp(&Decimal::read(bound));
            match operator.as_str() {
                "=" => order.is_eq(),
                ">" => order.is_gt(),
                ">=" => order.is_ge(),
                "<" => order.is_lt(),
                _ => order.is_le(),
            }
        }),
        ("anything-but", Json::Object(inner), value) => {
            let operands = match &inner[0].1 {
                Json::Array(operands) => operands.clone(),
                operand => vec![operand.clone()],
            };
            !operands.into_iter().any(|operand| passes(&operator(&inner[0].0, operand), value))
        }
        ("anything-but", Json::Array(operands), value) => !operands.iter().any(|operand| equal(operand, value)),
        ("anything-but", operand, value) => !equal(operand, value),
        _ => false,
    }
}

fn operator(name: &str, operand: Json) -> Json {
    Json::Object(vec![(name.to_owned(), operand)])
}

fn text(letters: &str) -> Json {
    Json::Text(letters.to_owned())
}

fn number(digits: &str) -> Json {
    Json::Number(digits.to_owned())
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        3 => prop::sample::select(vec![number("1"), number("1.0"), number("2"), number("3e0")]),
        3 => prop::sample::select(vec![text("x"), text("xy"), text("X"), text("y"), text("")]),
        1 => prop::sample::select(vec![Json::Null, Json::Boolean(true), Json::Boolean(false)]),
    ]
}

fn item() -> impl Strategy<Value = Json> {
    let texts = || prop::collection::vec(prop::sample::select(vec![text("x"), text("y")]), 1..3).prop_map(Json::Array);
    let but = prop_oneof![
        prop::sample::select(vec![text("x"), number("1"), Json::Array(vec![number("1"), number("2")])]),
        texts(),
        (prop::sample::select(vec!["prefix", "suffix", "equals-ignore-case"]), texts())
            .prop_map(|(name, operand)| operator(name, operand)),
    ];
    let bounds = prop::sample::select(vec![
        vec![text(">"), number("1")],
        vec![text(">="), number("1"), text("<"), number("2")],
        vec![text("="), number("2.0")],
        vec![text("<="), number("2")],
    ]);
    prop_oneof![
        4 => value(),
        1 => any::<bool>().prop_map(|expected| operator("exists", Json::Boolean(expected))),
        1 => Just(operator("exists", Json::Boolean(false))),
        1 => prop::sample::select(vec!["prefix", "suffix", "equals-ignore-case"]).prop_map(|name| operator(name, text("x"))),
        1 => but.prop_map(|operand| operator("anything-but", operand)),
        1 => bounds.prop_map(|bounds| operator("numeric", Json::Array(bounds))),
    ]
}

/// A valid pattern. Fields with lists and fields with objects have different names.
pub(crate) fn pattern() -> impl Strategy<Value = Json> {
    let list = || ("[ab]", prop::collection::vec(item(), 1..3).prop_map(Json::Array));
    let lists = prop::collection::vec(list(), 1..3).prop_map(Json::Object);
    lists.prop_recursive(4, 16, 3, move |inner| {
        let nested = (prop::sample::select(vec!["m", "n", "m.n"]).prop_map(str::to_owned), inner.clone());
        let or = prop::collection::vec(inner, 2..4).prop_map(|branches| ("$or".to_owned(), Json::Array(branches)));
        prop::collection::vec(prop_oneof![2 => list(), 3 => nested, 2 => or], 1..4).prop_map(Json::Object)
    })
}

/// An event of the same names.
pub(crate) fn event() -> impl Strategy<Value = Json> {
    let bare = || prop_oneof![4 => value(), 1 => prop::collection::vec(value(), 0..3).prop_map(Json::Array)];
    let leaves = move |names: &'static str| prop::collection::btree_map(names, bare(), 0..3);
    let object = leaves("[ab]").prop_map(|fields| Json::Object(fields.into_iter().collect()));
    let inner = object.prop_recursive(4, 24, 3, move |inner| {
        let several = prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array);
        let nested = prop_oneof![3 => inner.clone(), 4 => several, 1 => value()];
        let twice = prop::collection::vec(nested.clone(), 0..3).prop_map(Json::Array);
        let nested = prop_oneof![4 => nested, 1 => twice];
        (leaves("[ab]"), prop::collection::btree_map("[mn]", nested, 0..3)).prop_map(|(mut fields, nested)| {
            fields.extend(nested);
            Json::Object(fields.into_iter().collect())
        })
    });
    // Events are objects.
    inner.prop_filter("an object", |event| matches!(event, Json::Object(_)))
}

/// A valid pattern whose paths part at the outermost object only.
pub(crate) fn pattern_of_paths() -> impl Strategy<Value = Json> {
    let paths = prop::sample::subsequence(vec!["a", "m.a", "n.m.a", "p.m.n.a"], 1..3);
    (paths, prop::collection::vec(prop::collection::vec(item(), 1..3), 2)).prop_map(|(paths, lists)| {
        let fields = paths.into_iter().zip(lists).map(|(path, items)| (path.to_owned(), Json::Array(items)));
        Json::Object(fields.collect())
    })
}

/// Valid patterns about a few places of the same element, with names that may be spelled with dots around and within it.
pub(crate) fn patterns_within_elements() -> impl Strategy<Value = Vec<Json>> {
    let places = prop::sample::subsequence(vec!["a", "b", "c.a", "c.b"], 1..5);
    (places, prop::sample::select(vec!["m", "m.n"])).prop_flat_map(|(places, over)| {
        let number = prop::sample::select(vec!["1", "2"]).prop_map(|n| Json::Array(vec![Json::Number(n.to_owned())]));
        let place = prop::sample::select(places).prop_map(str::to_owned);
        let within = prop::collection::btree_map(place, number, 1..3);
        let pattern = within
            .prop_map(move |within| Json::Object(vec![(over.to_owned(), Json::Object(within.into_iter().collect()))]));
        prop::collection::vec(pattern, 3..12)
    })
}

/// An event of the same names, in all spellings.
pub(crate) fn event_of_elements() -> impl Strategy<Value = Json> {
    let number = || prop::sample::select(vec!["1", "2"]).prop_map(|number| Json::Number(number.to_owned()));
    let object = |fields: Vec<(&str, Option<Json>)>| {
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Json::Object(fields.collect())
    };
    let leaves = move || {
        let several = prop::collection::vec(number(), 0..3).prop_map(Json::Array);
        let c = prop_oneof![4 => Just(None), 1 => number().prop_map(Some), 1 => several.prop_map(Some)];
        let inner = (prop::option::of(number()), prop::option::of(number()));
        let c = prop_oneof![1 => c, 1 => inner.prop_map(move |(a, b)| Some(object(vec![("a", a), ("b", b)])))];
        let values = || prop::option::weighted(0.6, number());
        (values(), values(), values(), values(), c)
            .prop_map(move |(a, b, ca, cb, c)| object(vec![("a", a), ("b", b), ("c.a", ca), ("c.b", cb), ("c", c)]))
    };
    let elements = move || {
        let several = prop::collection::vec(leaves(), 0..4).prop_map(Json::Array);
        prop::option::weighted(0.7, prop_oneof![leaves(), several])
    };
    let m = prop_oneof![elements(), elements().prop_map(move |n| Some(object(vec![("n", n)])))];
    (m, prop::option::of(elements())).prop_map(move |(m, dotted)| object(vec![("m", m), ("m.n", dotted.flatten())]))
}

/// An event whose names may hold several names of such a path.
pub(crate) fn event_with_dots() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![4 => value(), 1 => prop::collection::vec(value(), 0..3).prop_map(Json::Array)];
    let inner = leaf.prop_recursive(4, 24, 4, |inner| {
        let inner = prop_oneof![3 => inner.clone(), 1 => prop::collection::vec(inner, 0..3).prop_map(Json::Array)];
        let names = prop::sample::select(vec![
            "a", "m", "n", "p", "m.a", "n.m", "n.a", "m.n", "m.n.a", "n.m.a", "p.m", "p.m.n.a",
        ]);
        let fields = prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..5);
        fields.prop_map(|fields| Json::Object(fields.into_iter().collect()))
    });
    inner.prop_filter("an object", |event| matches!(event, Json::Object(_)))
}
