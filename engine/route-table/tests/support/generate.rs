//! Maps and events that meet often enough for every part of a condition to be true, false and absent.

use super::{Found, OwnedEvent, World};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use veltrix_proto::v1::{
    self, AnyElement, Cidrs, Condition, Conditions, Destination, Element, EventTypes, Exclusive, Field, KafkaTopic,
    Literal, Literals, LookedUp, Lookup, LookupKey, NoPayload, Null, Origin, Payload, Placeholder, Predicate, Range,
    ReferenceTable, Route, RouteMap, Share, Source, Tenant, TenantIds, Unmatched, ValueTypes, Values, any_element,
    condition, destination, literal, lookup, lookup_key, origin, payload, placeholder, predicate, range,
    reference_table, unmatched,
};

/// Few words, so that conditions and events meet often; one is long enough to leave the index's entry.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[ab]{1,2}",
        1 => Just("a".repeat(50)),
        1 => Just(format!("{}b", "a".repeat(50))),
    ]
}

fn event_type() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..4).prop_map(|words| words.join("."))
}

/// Numbers that are the same and numbers that nearly are, spelled in many ways.
fn number() -> impl Strategy<Value = String> {
    prop::sample::select(&[
        "0",
        "-0",
        "0.0",
        "1",
        "1.0",
        "1e0",
        "10e-1",
        "1.5",
        "2",
        "-1",
        "-1.5",
        "3",
        "30e-1",
        "3.25",
        "4",
        "5",
        "7.0",
        "9007199254740993",
        "9007199254740992.0",
        "0.1",
        "1e400",
        "1e-400",
        "123456789012345678901234567890",
        "123456789012345678901234567890.5",
    ])
    .prop_map(str::to_owned)
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![
        5 => literal_text(),
        3 => literal_number(),
        1 => any::<bool>().prop_map(|value| Literal { kind: Some(literal::Kind::Boolean(value)) }),
        1 => Just(Literal { kind: Some(literal::Kind::Null(Null {})) }),
    ]
}

fn literal_text() -> impl Strategy<Value = Literal> {
    text().prop_map(|text| Literal { kind: Some(literal::Kind::Text(text)) })
}

fn literal_number() -> impl Strategy<Value = Literal> {
    number().prop_map(|number| Literal { kind: Some(literal::Kind::Number(number)) })
}

/// A word, or what only some tests take for something.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => word(),
        1 => prop::sample::select(&["A", "aB", "K", "ſ", "ä", "Ä", "1", "1.0", "10.1.2.3", "::1", "10.1.2.300"]).prop_map(str::to_owned),
        1 => prop::sample::select(&["::ffff:10.1.2.3", "10.1.2.4", "10.255.0.0", "::2", "fe80::1"]).prop_map(str::to_owned),
        2 => end(),
    ]
}

/// What texts begin or end with, of many lengths.
fn end() -> impl Strategy<Value = String> {
    (0..40usize, "[ab]{1,2}").prop_map(|(length, rest)| format!("{}{rest}", "a".repeat(length)))
}

fn range_of(bound: impl Strategy<Value = Literal> + Clone + 'static) -> impl Strategy<Value = Range> {
    let lower = (bound.clone(), any::<bool>()).prop_map(|(bound, inclusive)| match inclusive {
        true => range::Lower::AtLeast(bound),
        false => range::Lower::Above(bound),
    });
    let upper = (bound, any::<bool>()).prop_map(|(bound, inclusive)| match inclusive {
        true => range::Upper::AtMost(bound),
        false => range::Upper::Below(bound),
    });
    // Both bounds at once would often hold nothing between them, which is refused; `all` of two ranges says the same.
    prop_oneof![
        lower.prop_map(|lower| Range { lower: Some(lower), upper: None }),
        upper.prop_map(|upper| Range { lower: None, upper: Some(upper) }),
    ]
}

fn test() -> impl Strategy<Value = predicate::Test> {
    let literals = || prop::collection::vec(literal(), 1..4).prop_map(|values| Literals { values });
    let shape =
        prop::sample::select(&["a*", "*a", "*b*", "a*a*b", "*", "a", "a\\*b", "*A", "*.*"]).prop_map(str::to_owned);
    let block =
        prop::sample::select(&["10.0.0.0/8", "10.1.2.3", "::/0", "::1/128", "192.168.0.0/16"]).prop_map(str::to_owned);
    let value_types = prop::collection::vec(1..7i32, 1..4).prop_map(|types| ValueTypes { types });
    prop_oneof![
        4 => literal().prop_map(predicate::Test::Equals),
        3 => literals().prop_map(predicate::Test::In),
        2 => text().prop_map(predicate::Test::Prefix),
        2 => text().prop_map(predicate::Test::Suffix),
        2 => text().prop_map(predicate::Test::Contains),
        2 => shape.prop_map(predicate::Test::Wildcard),
        2 => any::<bool>().prop_map(predicate::Test::Exists),
        2 => range_of(literal_number().boxed()).prop_map(predicate::Test::Range),
        1 => range_of(literal_text().boxed()).prop_map(predicate::Test::Range),
        1 => prop::collection::vec(block, 1..3).prop_map(|blocks| predicate::Test::Cidr(Cidrs { blocks })),
        1 => value_types.prop_map(predicate::Test::Types),
        2 => share().prop_map(predicate::Test::Share),
    ]
}

/// Large parts of two wholes, so that few words are in some of them and out of others.
fn share() -> impl Strategy<Value = Share> {
    let bounds = prop::sample::select(&[(0, 5_000), (5_000, 10_000), (0, 10_000), (2_000, 6_000), (0, 1_000)]);
    (prop::sample::select(&["a", "b"]), bounds).prop_map(|(salt, (from, to))| Share { salt: salt.to_owned(), from, to })
}

fn names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abc]", 1..4)
}

fn field() -> impl Strategy<Value = Field> {
    (names(), any::<bool>(), any::<bool>()).prop_map(|(names, through_arrays, dotted)| Field {
        names,
        through_arrays,
        dotted: through_arrays && dotted,
    })
}

/// An element, if there are `depth` of them around.
fn element(depth: u32) -> impl Strategy<Value = Element> {
    (0..depth, prop::collection::vec("[abc]", 0..3), any::<bool>(), any::<bool>()).prop_map(
        |(outwards, names, through_arrays, dotted)| Element {
            outwards,
            names,
            through_arrays,
            dotted: through_arrays && dotted,
        },
    )
}

fn looked_up() -> impl Strategy<Value = predicate::Attribute> {
    (0..LOOKUPS, prop::collection::vec("[abc]", 0..3))
        .prop_map(|(n, names)| predicate::Attribute::Lookup(LookedUp { lookup: format!("l{n}"), names }))
}

fn attribute(depth: u32) -> BoxedStrategy<predicate::Attribute> {
    let header = "[xyz]".prop_map(predicate::Attribute::Header);
    let part = (1..6i32).prop_map(predicate::Attribute::Part);
    let field = field().prop_map(predicate::Attribute::Field);
    match depth {
        0 => prop_oneof![3 => header, 2 => part, 5 => field, 2 => looked_up()].boxed(),
        _ => {
            let element = element(depth).prop_map(predicate::Attribute::Element);
            prop_oneof![1 => header, 1 => part, 2 => field, 8 => element, 1 => looked_up()].boxed()
        }
    }
}

fn predicate(depth: u32) -> impl Strategy<Value = Predicate> {
    (attribute(depth), test(), 0..4i32, 0..4i32, any::<bool>(), any::<bool>()).prop_map(
        |(attribute, test, on_missing, on_other_type, ignore_case, text_as_number)| {
            let is_exists = matches!(test, predicate::Test::Exists(_));
            let is_of_all_types = is_exists || matches!(test, predicate::Test::Types(_));
            let has_text = |literal: &Literal| matches!(literal.kind, Some(literal::Kind::Text(_)));
            let has_case = match &test {
                predicate::Test::Equals(literal) => has_text(literal),
                predicate::Test::In(literals) => literals.values.iter().any(has_text),
                predicate::Test::Prefix(_) | predicate::Test::Suffix(_) => true,
                predicate::Test::Contains(_) | predicate::Test::Wildcard(_) => true,
                _ => false,
            };
            Predicate {
                attribute: Some(attribute),
                test: Some(test),
                on_missing: if is_exists { 0 } else { on_missing },
                on_other_type: if is_of_all_types { 0 } else { on_other_type },
                ignore_case: ignore_case && has_case,
                text_as_number,
            }
        },
    )
}

/// A tree with up to `size` levels, within `depth` elements.
fn condition_within(depth: u32, size: u32) -> BoxedStrategy<Condition> {
    let leaf = predicate(depth).prop_map(condition::Kind::Predicate);
    let kind = match size {
        0 => leaf.boxed(),
        _ => {
            let part = || condition_within(depth, size - 1);
            let parts = || prop::collection::vec(part(), 1..4).prop_map(|conditions| Conditions { conditions });
            let over = match depth {
                0 => field().prop_map(any_element::Over::Field).boxed(),
                _ => prop_oneof![
                    field().prop_map(any_element::Over::Field),
                    element(depth).prop_map(any_element::Over::Element),
                ]
                .boxed(),
            };
            let any_element = (over, condition_within(depth + 1, size - 1), 0..4i32, 0..4i32).prop_map(
                |(over, condition, on_missing, on_other_type)| {
                    let is_through = matches!(&over, any_element::Over::Field(field) if field.through_arrays);
                    condition::Kind::AnyElement(Box::new(AnyElement {
                        over: Some(over),
                        condition: Some(Box::new(condition)),
                        on_missing,
                        on_other_type: if is_through { 0 } else { on_other_type },
                    }))
                },
            );
            prop_oneof![
                4 => leaf,
                3 => parts().prop_map(condition::Kind::All),
                2 => parts().prop_map(condition::Kind::Any),
                1 => part().prop_map(|part| condition::Kind::Not(Box::new(part))),
                3 => any_element,
            ]
            .boxed()
        }
    };
    kind.prop_map(|kind| Condition { kind: Some(kind) }).boxed()
}

/// Conditions as people write them: some things that must all hold, of few fields, of one element or of places within it.
fn clauses() -> BoxedStrategy<Condition> {
    let of = |kind| Condition { kind: Some(kind) };
    let leaf = |attribute: BoxedStrategy<predicate::Attribute>| {
        (attribute, predicate(0)).prop_map(|(attribute, predicate)| Predicate {
            attribute: Some(attribute),
            on_missing: 0,
            ..predicate
        })
    };
    // A predicate, the contrary of one, or one of several.
    let clause = move |attribute: BoxedStrategy<predicate::Attribute>| {
        let one = leaf(attribute.clone()).prop_map(condition::Kind::Predicate);
        let several =
            (attribute, prop::collection::vec(predicate(0), 1..4)).prop_map(move |(attribute, predicates)| {
                let predicates = predicates
                    .into_iter()
                    .map(|predicate| Predicate { attribute: Some(attribute.clone()), ..predicate });
                let conditions = predicates.map(|predicate| of(condition::Kind::Predicate(predicate))).collect();
                condition::Kind::Any(Conditions { conditions })
            });
        (prop_oneof![3 => one, 1 => several], prop::bool::weighted(0.3)).prop_map(move |(kind, is_negated)| {
            match is_negated {
                true => of(condition::Kind::Not(Box::new(of(kind)))),
                false => of(kind),
            }
        })
    };
    let all = move |part: BoxedStrategy<Condition>| {
        prop::collection::vec(part, 1..4).prop_map(move |conditions| match conditions.len() {
            1 => conditions.into_iter().next().unwrap(),
            _ => of(condition::Kind::All(Conditions { conditions })),
        })
    };
    let through = |names: Vec<String>| Field { dotted: names.len() > 1, names, through_arrays: true };
    let place = |names: Vec<String>| {
        Just(predicate::Attribute::Element(Element {
            outwards: 0,
            dotted: names.len() > 1,
            names,
            through_arrays: true,
        }))
        .boxed()
    };
    let any_element = move |over: any_element::Over, condition: Condition| {
        of(condition::Kind::AnyElement(Box::new(AnyElement {
            over: Some(over),
            condition: Some(Box::new(condition)),
            ..AnyElement::default()
        })))
    };
    let names = || prop::collection::vec("[abc]", 1..3);
    let plain = prop_oneof![
        names().prop_map(move |names| predicate::Attribute::Field(through(names))),
        names().prop_map(|names| predicate::Attribute::Field(Field { names, through_arrays: false, dotted: false })),
        "[xyz]".prop_map(predicate::Attribute::Header),
        looked_up(),
    ];
    // One value of which several things hold.
    let of_one_value = (names(), all(clause(place(vec![])).boxed()))
        .prop_map(move |(names, condition)| any_element(any_element::Over::Field(through(names)), condition));
    // One element, of whose places several things hold.
    let inner_value = (names(), all(clause(place(vec![])).boxed())).prop_map(move |(names, condition)| {
        let over = Element { outwards: 0, names, through_arrays: true, dotted: false };
        any_element(any_element::Over::Element(over), condition)
    });
    let in_element =
        prop_oneof![clause(place(vec!["a".to_owned()])), clause(place(vec!["b".to_owned()])), inner_value,];
    let of_places = (names(), all(in_element.boxed()))
        .prop_map(move |(names, condition)| any_element(any_element::Over::Field(through(names)), condition));
    let part = prop_oneof![4 => plain.boxed().prop_flat_map(move |attribute| clause(Just(attribute).boxed())), 3 => of_one_value, 2 => of_places];
    all(part.boxed()).boxed()
}

fn condition() -> BoxedStrategy<Condition> {
    prop_oneof![condition_within(0, 3), clauses()].boxed()
}

/// Payloads of few names, so that conditions find things in them; some are not what a payload should be.
fn payload() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => text().prop_map(|text| serde_json::to_string(&text).unwrap()),
        3 => number(),
        1 => prop::sample::select(&["true", "false", "null", "[]", "{}", "\"\\u0061\"", "\"a\\u002Eb\""]).prop_map(str::to_owned),
    ];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        let array = prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(" ,")));
        prop_oneof![1 => array, 2 => object(inner)]
    });
    let array = prop::collection::vec(value.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(",")));
    prop_oneof![
        8 => object(value.clone()),
        8 => object(array),
        1 => value,
        1 => Just(String::new()),
        1 => Just("a".to_owned()),
    ]
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let name = prop_oneof![8 => "[abc]", 1 => "[abc]\\.[abc]"];
    prop::collection::vec((name, value), 0..4).prop_map(|fields| {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", fields.join(", "))
    })
}

fn types() -> impl Strategy<Value = EventTypes> {
    let exact = prop::collection::vec(event_type(), 0..4);
    let prefixes = prop::collection::vec(event_type(), 0..3);
    (exact, prefixes, prop::bool::weighted(0.1)).prop_map(|(exact, prefixes, any)| {
        let any = any || (exact.is_empty() && prefixes.is_empty());
        EventTypes { exact, prefixes, any }
    })
}

const DESTINATIONS: usize = 5;
const LOOKUPS: usize = 3;

fn lookups() -> impl Strategy<Value = Vec<Lookup>> {
    let key = prop_oneof![
        "[xyz]".prop_map(lookup_key::Attribute::Header),
        (1..5i32).prop_map(lookup_key::Attribute::Part),
        names().prop_map(|names| lookup_key::Attribute::Field(Field { names, ..Field::default() })),
    ];
    prop::collection::vec(key, LOOKUPS).prop_map(|keys| {
        let lookup = |(n, key)| Lookup {
            id: format!("l{n}"),
            key: Some(LookupKey { attribute: Some(key) }),
            source: Some(lookup::Source::Table(ReferenceTable {
                origin: Some(reference_table::Origin::File("players.jsonl".to_owned())),
            })),
            cache: None,
        };
        keys.into_iter().enumerate().map(lookup).collect()
    })
}

/// What the lookups of every generated map find.
pub(crate) fn world() -> impl Strategy<Value = World> {
    let bytes = prop_oneof![
        8 => payload(),
        1 => text().prop_map(|text| serde_json::to_string(&text).unwrap()),
        1 => number().prop_map(|number| format!(" {number}\n")),
        1 => prop::sample::select(&["null", "true", "[]", "{\"a\": 1", "{} {}"]).prop_map(str::to_owned),
    ];
    let found = prop_oneof![6 => bytes.prop_map(Found::Bytes), 1 => Just(Found::Nothing), 1 => Just(Found::Failure)];
    prop::collection::vec(prop::collection::vec(found, 1..6), LOOKUPS).prop_map(World)
}

fn route() -> impl Strategy<Value = Route> {
    let to = prop::collection::vec((0..DESTINATIONS).prop_map(|n| format!("d{n}")), 1..4);
    (types(), prop::option::of(condition()), to, 0..3i32, prop::bool::weighted(0.1), exclusive()).prop_map(
        |(types, when, to, on_absent, disabled, exclusive)| Route {
            id: String::new(),
            types: Some(types),
            when,
            to,
            on_absent,
            disabled,
            exclusive,
        },
    )
}

/// A place in one of two groups; whether it may be the default is not known before all routes of the slot are.
fn exclusive() -> impl Strategy<Value = Option<Exclusive>> {
    let place = (prop::sample::select(&["g", "h"]), 0..3u32, prop::bool::weighted(0.3), prop::bool::weighted(0.2));
    prop::option::of(place.prop_map(|(group, priority, continues, default)| Exclusive {
        group: group.to_owned(),
        priority,
        continues,
        default,
    }))
}

/// Maps that look nothing up.
pub(crate) fn plain_route_map() -> impl Strategy<Value = RouteMap> {
    route_map().prop_map(without_lookups)
}

/// A map that looks nothing up where the given one does.
pub(crate) fn without_lookups(mut map: RouteMap) -> RouteMap {
    map.lookups.clear();
    let all = map.routes.iter_mut().chain(map.tenants.iter_mut().flat_map(|tenant| &mut tenant.routes));
    all.filter_map(|route| route.when.as_mut()).for_each(look_nothing_up);
    map
}

fn look_nothing_up(condition: &mut Condition) {
    match &mut condition.kind {
        Some(condition::Kind::Predicate(predicate)) => {
            if let Some(attribute @ predicate::Attribute::Lookup(_)) = &mut predicate.attribute {
                *attribute = predicate::Attribute::Header("x".to_owned());
            }
        }
        Some(condition::Kind::All(parts) | condition::Kind::Any(parts)) => {
            parts.conditions.iter_mut().for_each(look_nothing_up);
        }
        Some(condition::Kind::Not(part)) => look_nothing_up(part),
        Some(condition::Kind::AnyElement(any)) => any.condition.as_deref_mut().into_iter().for_each(look_nothing_up),
        _ => {}
    }
}

/// Leaves each group of a slot one default, which has neither a priority nor `continues`.
pub(crate) fn make_defaults_right(routes: &mut [Route]) {
    let mut seen = BTreeSet::new();
    for exclusive in routes.iter_mut().filter_map(|route| route.exclusive.as_mut()).filter(|own| own.default) {
        match seen.insert(exclusive.group.clone()) {
            true => (exclusive.priority, exclusive.continues) = (0, false),
            false => exclusive.default = false,
        }
    }
}

fn origin() -> impl Strategy<Value = Option<Origin>> {
    prop::option::of(
        prop_oneof![
            "[xyz]".prop_map(origin::Kind::Header),
            (1..3i32).prop_map(origin::Kind::Part),
            event_type().prop_map(origin::Kind::Constant),
            names().prop_map(|names| origin::Kind::Field(Field { names, through_arrays: false, dotted: false })),
        ]
        .prop_map(|kind| Origin { kind: Some(kind) }),
    )
}

fn unmatched() -> impl Strategy<Value = Option<Unmatched>> {
    let policy = prop_oneof![
        Just(unmatched::Policy::Drop(Default::default())),
        Just(unmatched::Policy::DeadLetter(Default::default())),
        prop::sample::select(&["d1", "d2"]).prop_map(|id| unmatched::Policy::Destination(id.to_owned())),
    ];
    prop::option::of(policy.prop_map(|policy| Unmatched { policy: Some(policy) }))
}

/// What the topic of a destination has for placeholders; `None`: the tenant, which needs no declaration.
type Template = (Vec<Option<Placeholder>>, Option<String>);

/// Some destinations have placeholders; those that can stand in for them do not.
fn templates() -> impl Strategy<Value = BTreeMap<usize, Template>> {
    let value = prop_oneof![
        2 => "[xyz]".prop_map(placeholder::Value::Header),
        2 => (1..5i32).prop_map(placeholder::Value::Part),
        4 => names().prop_map(|names| placeholder::Value::Field(Field { names, ..Field::default() })),
    ];
    let word = prop_oneof![4 => word(), 2 => prop::sample::select(&["", "0", "1", "-1", "2", "A", "t1", "a.a"]).prop_map(str::to_owned)];
    let allowed = prop_oneof![
        4 => prop::collection::btree_set(word, 1..9)
            .prop_map(|values| placeholder::Allowed::Values(Values { values: values.into_iter().collect() })),
        1 => Just(placeholder::Allowed::Tenants(TenantIds {})),
    ];
    let placeholder = (value, allowed).prop_map(|(value, allowed)| Placeholder {
        name: String::new(),
        value: Some(value),
        allowed: Some(allowed),
    });
    let placeholders = prop::collection::vec(prop::option::weighted(0.7, placeholder), 1..3);
    let otherwise = prop::option::of(prop::sample::select(&["d0", "d2"]).prop_map(str::to_owned));
    prop::collection::btree_map(prop::sample::select(&[1, 3, 4]), (placeholders, otherwise), 0..3)
}

fn kafka_topic(n: usize, template: Option<&Template>, has_tenants: bool) -> KafkaTopic {
    let mut kafka = KafkaTopic { topic: format!("topic-{n}"), ..KafkaTopic::default() };
    let Some((placeholders, otherwise)) = template else { return kafka };
    for (number, placeholder) in placeholders.iter().enumerate() {
        let is_of_tenants = |own: &Placeholder| matches!(own.allowed, Some(placeholder::Allowed::Tenants(_)));
        match placeholder {
            Some(placeholder) if has_tenants || !is_of_tenants(placeholder) => {
                let name = format!("p{number}");
                // One of them is named twice.
                kafka.topic += &if number == 1 { "_{p1}_{p1}".to_owned() } else { format!("_{{{name}}}") };
                kafka.placeholders.push(Placeholder { name, ..placeholder.clone() });
            }
            None if has_tenants => kafka.topic += "_{tenant}",
            _ => {}
        }
    }
    if kafka.topic.contains('{') {
        kafka.otherwise = otherwise.clone().unwrap_or_default();
    }
    kafka
}

/// How a route is repeated, so that often one of the two adds nothing to the other.
#[derive(Clone, Debug)]
struct Copied {
    of: prop::sample::Index,
    other: prop::sample::Index,
    at: prop::sample::Index,
    /// In front of it, behind it, or anywhere.
    place: u8,
    asks_for_more: bool,
    is_about_less: bool,
    goes_to_less: bool,
    on_absent: Option<i32>,
    /// Neither is in an exclusive group.
    is_free: bool,
}

fn copies() -> impl Strategy<Value = Vec<Copied>> {
    let index = any::<prop::sample::Index>;
    let changes = (prop::bool::weighted(0.4), prop::bool::weighted(0.4), prop::bool::weighted(0.4));
    let on_absent = prop::option::weighted(0.2, 0..3i32);
    let copied = (index(), index(), index(), 0..4u8, changes, on_absent, prop::bool::weighted(0.8)).prop_map(
        |(of, other, at, place, (asks_for_more, is_about_less, goes_to_less), on_absent, is_free)| Copied {
            of,
            other,
            at,
            place,
            asks_for_more,
            is_about_less,
            goes_to_less,
            on_absent,
            is_free,
        },
    );
    prop::collection::vec(copied, 0..5)
}

/// Repeats some of the routes.
fn repeat(routes: &mut Vec<Route>, copies: Vec<Copied>) {
    for Copied { of, other, at, place, asks_for_more, is_about_less, goes_to_less, on_absent, is_free } in copies {
        if routes.is_empty() {
            return;
        }
        let (of, other) = (of.index(routes.len()), other.get(routes).clone());
        if is_free {
            routes[of].exclusive = None;
        }
        let mut copy = routes[of].clone();
        if asks_for_more {
            let both: Vec<Condition> = other.when.into_iter().chain(copy.when).collect();
            copy.when = (!both.is_empty())
                .then_some(Condition { kind: Some(condition::Kind::All(Conditions { conditions: both })) });
        }
        if is_about_less {
            let types = copy.types.take().unwrap();
            let exact: Vec<String> =
                types.prefixes.iter().map(|prefix| format!("{prefix}b")).chain(types.exact).collect();
            let (exact, prefixes) = match (exact.is_empty(), at.index(2)) {
                (true, _) => (vec!["a".to_owned()], vec!["b".to_owned()]),
                (false, 0) => (exact[..1].to_vec(), vec![]),
                _ => (vec![], exact[exact.len() - 1..].to_vec()),
            };
            copy.types = Some(EventTypes { exact, prefixes, any: false });
        }
        if goes_to_less {
            copy.to.truncate(1);
        }
        copy.on_absent = on_absent.unwrap_or(copy.on_absent);
        let at = match place {
            0 => of,
            1 | 2 => of + 1,
            _ => at.index(routes.len() + 1),
        };
        routes.insert(at, copy);
    }
}

/// Maps that every compiler must take.
pub(crate) fn route_map() -> impl Strategy<Value = RouteMap> {
    let payload = prop::option::of(prop_oneof![
        (0..3i32).prop_map(|validation| payload::Kind::Json(v1::Json { validation })),
        Just(payload::Kind::None(NoPayload {})),
    ]);
    let sources = prop::collection::btree_map("t[12]", (origin(), origin(), payload), 0..3).prop_map(|sources| {
        let is_field = |origin: &Origin| matches!(origin.kind, Some(origin::Kind::Field(_)));
        let source = |(topic, (event_type, tenant, kind)): (_, (Option<Origin>, Option<Origin>, _))| {
            // Nothing can be a field of nothing.
            let has_fields = !matches!(kind, Some(payload::Kind::None(_)));
            let [event_type, tenant] =
                [event_type, tenant].map(|origin| origin.filter(|origin| has_fields || !is_field(origin)));
            Source {
                topic,
                event_type,
                tenant,
                payload: Some(Payload { kind }).filter(|payload| payload.kind.is_some()),
            }
        };
        sources.into_iter().map(source).collect::<Vec<_>>()
    });
    let routes = |count| {
        (prop::collection::vec(route(), count), copies()).prop_map(|(mut routes, copies)| {
            repeat(&mut routes, copies);
            routes
        })
    };
    let tenant = (routes(0..4), unmatched(), prop::bool::weighted(0.3));
    let tenants = prop::collection::btree_map(word(), tenant, 0..4);
    (sources, routes(1..8), tenants, unmatched(), lookups(), templates()).prop_map(
        |(sources, routes, tenants, unmatched, lookups, templates)| {
            let has_tenants = !tenants.is_empty();
            let destination = |n| Destination {
                id: format!("d{n}"),
                kind: Some(destination::Kind::Kafka(kafka_topic(n, templates.get(&n), has_tenants))),
            };
            let mut before: Vec<Route> = Vec::new();
            let tenant = |(id, (mut routes, unmatched, like_the_one_before)): (String, (Vec<Route>, _, bool))| {
                if like_the_one_before {
                    routes.clone_from(&before);
                }
                before.clone_from(&routes);
                Tenant { id, labels: Default::default(), routes, unmatched }
            };
            let mut map = RouteMap {
                name: "generated".to_owned(),
                sources,
                destinations: (0..DESTINATIONS).map(destination).collect(),
                routes,
                tenants: tenants.into_iter().map(tenant).collect(),
                unmatched,
                lookups,
                ..RouteMap::default()
            };
            let all = map.routes.iter_mut().chain(map.tenants.iter_mut().flat_map(|tenant| &mut tenant.routes));
            all.enumerate().for_each(|(n, route)| route.id = format!("r{n}"));
            make_defaults_right(&mut map.routes);
            map.tenants.iter_mut().for_each(|tenant| make_defaults_right(&mut tenant.routes));
            map
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = OwnedEvent> {
    let bytes = || prop_oneof![6 => text().prop_map(String::into_bytes), 1 => Just(vec![]), 1 => Just(vec![0xff])];
    let value = || prop::option::weighted(0.9, bytes());
    let type_value = prop::option::weighted(0.95, event_type().prop_map(String::into_bytes));
    let headers = prop::collection::vec(("[xyz]", value()), 0..4);
    let attributes = (prop::option::weighted(0.95, type_value), prop::option::of(value()), headers);
    let timestamp = prop::option::of(prop::sample::select(&[0i64, 1, -1, 1_500]));
    ("t[123]", prop::option::of(bytes()), attributes, prop::option::weighted(0.95, payload()), timestamp).prop_map(
        |(topic, key, (event_type, tenant, mut headers), payload, timestamp)| {
            headers.extend(event_type.map(|value| ("ce_type".to_owned(), value)));
            headers.extend(tenant.map(|value| ("ce_tenant".to_owned(), value)));
            OwnedEvent { topic, key, headers, payload, timestamp }
        },
    )
}

/// Conditions that tell routes apart: what they want of one attribute is texts, ends of texts, numbers and addresses, of which there are
/// many. Some want something else besides.
fn telling(attribute: BoxedStrategy<predicate::Attribute>) -> BoxedStrategy<Condition> {
    let of = |kind| Condition { kind: Some(kind) };
    let narrow = (-3..12i32, 1..4i32, any::<bool>(), any::<bool>()).prop_map(|(from, length, at_least, at_most)| {
        let literal = |number: i32| Literal { kind: Some(literal::Kind::Number(format!("{number}.50"))) };
        let (lower, upper) = (literal(from), literal(from + length));
        predicate::Test::Range(Range {
            lower: Some(if at_least { range::Lower::AtLeast(lower) } else { range::Lower::Above(lower) }),
            upper: Some(if at_most { range::Upper::AtMost(upper) } else { range::Upper::Below(upper) }),
        })
    });
    let literals = prop::collection::vec(prop_oneof![literal_text(), literal_number()], 1..4);
    let block = prop::sample::select(&[
        "10.1.2.0/30",
        "10.1.2.3",
        "10.128.0.0/9",
        "0.0.0.0/0",
        "::/0",
        "::2/127",
        "fe80::/10",
        "::ffff:10.1.2.3",
    ]);
    let test = prop_oneof![
        2 => literal_text().prop_map(predicate::Test::Equals),
        2 => literal_number().prop_map(predicate::Test::Equals),
        2 => literals.prop_map(|values| predicate::Test::In(Literals { values })),
        6 => narrow,
        1 => range_of(literal_number().boxed()).prop_map(predicate::Test::Range),
        4 => end().prop_map(predicate::Test::Prefix),
        4 => end().prop_map(predicate::Test::Suffix),
        2 => (end(), end()).prop_map(|(head, tail)| predicate::Test::Wildcard(format!("{head}*{tail}"))),
        1 => end().prop_map(|head| predicate::Test::Wildcard(format!("{head}*"))),
        1 => end().prop_map(|tail| predicate::Test::Wildcard(format!("*{tail}"))),
        1 => (end(), end()).prop_map(|(head, part)| predicate::Test::Wildcard(format!("{head}*{part}*"))),
        1 => end().prop_map(predicate::Test::Contains),
        1 => Just(predicate::Test::Exists(true)),
        3 => prop::collection::vec(block.prop_map(str::to_owned), 1..3).prop_map(|blocks| predicate::Test::Cidr(Cidrs { blocks })),
    ];
    let otherwise = || prop_oneof![14 => Just(0), 14 => Just(3), 1 => Just(2)];
    let wants = (attribute, prop::collection::vec((test, otherwise(), otherwise()), 1..3)).prop_map(
        move |(attribute, tests)| {
            let predicate = |(test, on_missing, on_other_type)| {
                let is_of_all_types = matches!(test, predicate::Test::Exists(_));
                Predicate {
                    attribute: Some(attribute.clone()),
                    test: Some(test),
                    on_missing: if is_of_all_types { 0 } else { on_missing },
                    on_other_type: if is_of_all_types { 0 } else { on_other_type },
                    ..Predicate::default()
                }
            };
            let mut parts: Vec<Condition> =
                tests.into_iter().map(|test| of(condition::Kind::Predicate(predicate(test)))).collect();
            match parts.len() {
                1 => parts.remove(0),
                _ => of(condition::Kind::Any(Conditions { conditions: parts })),
            }
        },
    );
    (wants, prop::option::weighted(0.3, clauses()))
        .prop_map(move |(wants, besides)| match besides {
            Some(besides) => of(condition::Kind::All(Conditions { conditions: vec![wants, besides] })),
            None => wants,
        })
        .boxed()
}

/// An attribute that most routes are about.
fn of_few_attributes() -> BoxedStrategy<predicate::Attribute> {
    let field = |names: &[&str], through_arrays| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Just(predicate::Attribute::Field(Field { names, through_arrays, dotted: false }))
    };
    prop_oneof![
        16 => field(&["a"], true),
        2 => field(&["b"], false),
        1 => field(&["a", "b"], true),
        2 => Just(predicate::Attribute::Header("x".to_owned())),
        1 => Just(predicate::Attribute::Part(v1::RecordPart::Timestamp.into())),
    ]
    .boxed()
}

/// A map whose routes all stand under one type, and are many enough to be split: by values, and by which fields there are.
pub(crate) fn many_routes() -> impl Strategy<Value = RouteMap> {
    let routes = |attribute: BoxedStrategy<predicate::Attribute>| {
        let condition = prop_oneof![1 => condition(), 4 => telling(attribute)];
        let route = (condition, 0..3i32, prop::bool::weighted(0.05), exclusive());
        prop::collection::vec(route, 150..250)
    };
    let of_many_fields = field().prop_map(predicate::Attribute::Field).boxed();
    let routes = prop_oneof![3 => routes(of_few_attributes()), 1 => routes(of_many_fields)];
    (routes, route_map(), copies()).prop_map(|(routes, mut map, copies)| {
        map.routes = (0..)
            .zip(routes)
            .map(|(n, (when, on_absent, disabled, exclusive)): (usize, _)| Route {
                id: String::new(),
                types: Some(EventTypes { any: true, ..EventTypes::default() }),
                when: Some(when),
                to: vec![format!("d{}", n % DESTINATIONS)],
                on_absent,
                disabled,
                exclusive,
            })
            .collect();
        repeat(&mut map.routes, copies);
        (0..).zip(&mut map.routes).for_each(|(n, route): (usize, _)| route.id = format!("many-{n}"));
        make_defaults_right(&mut map.routes);
        map
    })
}
