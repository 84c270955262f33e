//! Counts allocations and their bytes, so that what the crate promises about them stays true.

#[path = "payload/messages.rs"]
#[allow(dead_code, reason = "made for other tests")]
mod messages;
#[path = "support/workload.rs"]
mod workload;

use prost::Message as _;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use veltrix_proto::v1::{
    Cidrs, CloudEvents, Condition, Conditions, Destination, EventTypes, Exclusive, Field, KafkaTopic, Literal,
    Literals, Lookup, LookupKey, Payload, Placeholder, Predicate, ProtobufMessage, Range, RecordPart, ReferenceTable,
    Route, RouteMap, Share, Source, Tenant, Validation, Values, condition, destination, literal, lookup, lookup_key,
    payload, placeholder, predicate, range, reference_table,
};
use veltrix_route_table::json::{Plans, Reader, Wanted, validate};
use veltrix_route_table::{Aggregation, Answers, Compiler, Deliveries, Event, Matches, Value, Verdict, cel};
use workload::{by_type, shuffled_events, with_conditions};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<i64> = const { Cell::new(0) };
    static BYTES_MAX: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    let now = BYTES.with(|held| {
        held.set(held.get() + bytes);
        held.get()
    });
    BYTES_MAX.with(|max| max.set(max.get().max(now)));
}

// SAFETY: hands every call on to the system's allocator; the counters are thread-locals without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        count(layout.size() as i64);
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        count(size as i64 - layout.size() as i64);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(run: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    run();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(1)))), 1);
}

/// Half of the routes for one half of all keys, half for the other; each wants a share of the record's time, too.
fn with_shares(routes: usize) -> RouteMap {
    let share = |part: RecordPart, from: u32, to: u32| Condition {
        kind: Some(condition::Kind::Predicate(Predicate {
            attribute: Some(predicate::Attribute::Part(part.into())),
            test: Some(predicate::Test::Share(Share { salt: "salt".to_owned(), from, to })),
            ..Predicate::default()
        })),
    };
    let mut map = by_type(routes);
    for (number, route) in (0..).zip(&mut map.routes) {
        let from = number % 2 * 5_000;
        let conditions = vec![share(RecordPart::Key, from, from + 5_000), share(RecordPart::Timestamp, 0, 10_000)];
        route.when = Some(Condition { kind: Some(condition::Kind::All(Conditions { conditions })) });
    }
    map
}

#[test]
fn routing_an_event_allocates_nothing() {
    for map in [by_type(1_800), with_conditions(1_800, 0), with_shares(1_800)] {
        let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
        let events = shuffled_events(1_800, 10_000);
        let mut out = Deliveries::new();
        table.route(&events[0], &mut out);
        let mut deliveries = 0;
        let route_all = || {
            for event in &events {
                table.route(event, &mut out);
                deliveries += out.list().len();
            }
        };
        assert_eq!(allocations(route_all), 0);
        assert!(deliveries > 0, "nothing was routed, so nothing was shown");
    }
}

/// Routes that ask for two lookups, one after the other, some of them in groups.
fn with_lookups(routes: usize) -> RouteMap {
    let mut map = with_conditions(routes, 0);
    map.lookups = ["player", "shard"]
        .map(|id| Lookup {
            id: id.to_owned(),
            key: Some(LookupKey { attribute: Some(lookup_key::Attribute::Part(RecordPart::Key.into())) }),
            source: Some(lookup::Source::Table(ReferenceTable {
                origin: Some(reference_table::Origin::File(id.to_owned())),
            })),
            cache: None,
        })
        .to_vec();
    for (n, route) in map.routes.iter_mut().enumerate() {
        route.when = Some(Condition {
            kind: Some(condition::Kind::Cel(format!("lookup.player.at.x < {n} && lookup.shard.open"))),
        });
        route.types.as_mut().unwrap().any = n < 100;
    }
    map
}

#[test]
fn an_event_that_waits_for_lookups_allocates_nothing() {
    let table = Compiler::new().compile(&with_lookups(1_800).encode_to_vec()).unwrap();
    let events = shuffled_events(1_800, 10_000);
    let (mut out, mut answers) = (Deliveries::new(), Answers::new());
    let mut rounds = 0;
    let mut route_all = || {
        for event in &events {
            answers.clear();
            table.route(event, &mut out);
            while out.verdict() == Verdict::Waiting {
                rounds += 1;
                for need in out.needs() {
                    answers.found(need.lookup, br#"{"at": {"x": 7, "y": [1, 2]}, "open": true}"#);
                }
                table.resume(event, &answers, &mut out);
            }
            assert!(!out.list().is_empty());
        }
    };
    route_all();
    assert_eq!(allocations(route_all), 0);
    assert_eq!(rounds, 2 * 2 * events.len());
}

/// Routes of few types, with conditions over the payload of all sorts: what becomes of them are groups, large ones that are split
/// among them, with texts and wildcards that are looked up, and trees.
fn in_groups(routes: usize, edition: usize) -> RouteMap {
    let field = |name: &str, test| Condition {
        kind: Some(condition::Kind::Predicate(Predicate {
            attribute: Some(predicate::Attribute::Field(Field {
                names: vec!["data".to_owned(), name.to_owned()],
                through_arrays: name == "tags",
                ..Field::default()
            })),
            test: Some(test),
            ..Predicate::default()
        })),
    };
    let either = |conditions| Condition { kind: Some(condition::Kind::Any(Conditions { conditions })) };
    let number = |number: usize| Literal { kind: Some(literal::Kind::Number(number.to_string())) };
    let between = |from: usize, to: usize| {
        let (lower, upper) = (range::Lower::Above(number(from)), range::Upper::AtMost(number(to)));
        predicate::Test::Range(Range { lower: Some(lower), upper: Some(upper) })
    };
    let route = |at: usize| {
        let n = at + edition;
        let player = match at / 3 % 5 {
            0 => field("player", predicate::Test::Prefix(format!("player-{:07}-", n % 30_000))),
            1 => field("player", predicate::Test::Suffix(format!("-{:07}", n % 30_000))),
            2 => field("balance", between(n % 30_000, n % 30_000 + 10)),
            3 => field(
                "address",
                predicate::Test::Cidr(Cidrs { blocks: vec![format!("10.{}.{}.0/24", n / 256 % 100, n % 256)] }),
            ),
            _ => field("player", predicate::Test::Equals(text(format!("player-{:07}", n % 30_000)))),
        };
        let conditions = vec![
            player,
            field("tags", predicate::Test::Wildcard(format!("*{:03}*", n % 300))),
            either(vec![
                field("region", predicate::Test::Prefix(format!("region-{:02}", n % 20))),
                field(
                    "points",
                    predicate::Test::Range(Range {
                        lower: Some(range::Lower::Above(number(n % 90 + 10))),
                        upper: None,
                    }),
                ),
            ]),
        ];
        let conditions = conditions.into_iter().skip(at % 3).collect();
        Route {
            id: format!("route-{at:07}"),
            to: vec!["destination-0".to_owned()],
            when: Some(Condition { kind: Some(condition::Kind::All(Conditions { conditions })) }),
            types: Some(EventTypes {
                exact: vec![format!("type-{}", at % 7)],
                any: at.is_multiple_of(10),
                ..EventTypes::default()
            }),
            ..Route::default()
        }
    };
    RouteMap { routes: (0..routes).map(route).collect(), ..by_type(1) }
}

/// An event whose payload has one value many times.
struct Repeating(String);

impl Event for Repeating {
    fn topic(&self) -> &str {
        "game-events"
    }

    fn key(&self) -> Value<'_> {
        Value::Bytes(b"player-4711")
    }

    fn header(&self, name: &str) -> Value<'_> {
        if name == "ce_type" { Value::Bytes(b"type") } else { Value::Missing }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.0.as_bytes())
    }
}

/// Every third route goes to topics that tenants and regions of the payload name, most of all combinations of them.
fn to_templates(routes: usize, edition: usize) -> RouteMap {
    let mut map = with_conditions(routes, edition);
    let values = |what: &str, count: usize| {
        let values = (edition..edition + count).map(|n| format!("{what}-{n:03}")).collect();
        Some(placeholder::Allowed::Values(Values { values }))
    };
    let placeholder = |name: &str, value, allowed| Placeholder { name: name.to_owned(), value: Some(value), allowed };
    let region = Field { names: vec!["region".to_owned()], ..Field::default() };
    let stage = placeholder::Value::Header("ce_stage".to_owned());
    let kafka = KafkaTopic {
        topic: "hunt-{tenant}-{region}-{stage}".to_owned(),
        placeholders: vec![
            placeholder("region", placeholder::Value::Field(region), values("region", 20)),
            placeholder("stage", stage, values("stage", 3)),
        ],
        otherwise: "destination-0".to_owned(),
    };
    map.destinations[11].kind = Some(destination::Kind::Kafka(kafka.clone()));
    let lacking = KafkaTopic { topic: format!("x-{}", kafka.topic), otherwise: String::new(), ..kafka };
    map.destinations[10].kind = Some(destination::Kind::Kafka(lacking));
    map.tenants = (0..50).map(|n| Tenant { id: format!("tenant-{:03}", n + edition), ..Tenant::default() }).collect();
    map
}

/// Names topics, or lacks something.
struct Naming {
    tenant: String,
    payload: String,
}

impl Event for Naming {
    fn topic(&self) -> &str {
        "game-events"
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(b"type"),
            "ce_tenant" => Value::Bytes(self.tenant.as_bytes()),
            "ce_stage" => Value::Bytes(b"stage-002"),
            _ => Value::Missing,
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.payload.as_bytes())
    }
}

#[test]
fn routing_to_topics_that_events_name_allocates_nothing() {
    let to = (0..12).map(|n| format!("destination-{n}")).collect();
    let route = Route { id: "all".to_owned(), types: any(), to, ..Route::default() };
    let map = RouteMap { routes: vec![route], ..to_templates(1, 0) };
    let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
    assert_eq!(table.destinations().len(), 10 + 2 * 50 * 20 * 3);
    let event = |n: usize| Naming {
        tenant: format!("tenant-{:03}", n % 60),
        payload: format!(r#"{{"player": [1, {n}], "region": "region\u002d{:03}"}}"#, n % 21),
    };
    let events: Vec<Naming> = (0..1_000).map(event).collect();
    let mut out = Deliveries::new();
    let mut route_all = || {
        let (mut placed, mut unplaced) = (0, 0);
        for event in &events {
            table.route(event, &mut out);
            assert_eq!(out.list().len() + out.unplaced().len(), 12);
            placed += usize::from(out.unplaced().is_empty());
            unplaced += usize::from(out.asks_for_dead_letter());
        }
        assert!(placed > 700 && unplaced > 100, "{placed} {unplaced}");
    };
    route_all();
    assert_eq!(allocations(route_all), 0);
}

#[test]
fn routing_to_exclusive_groups_allocates_nothing_however_often_an_event_meets_their_routes() {
    // Enough routes to be found by the values that they want: an event with a value many times meets a route as often.
    let field = Field { names: vec!["tags".to_owned()], through_arrays: true, dotted: false };
    let route = |number: usize| Route {
        id: format!("{number}"),
        types: any(),
        to: vec![format!("destination-{}", number % 12)],
        when: Some(Condition {
            kind: Some(condition::Kind::Predicate(Predicate {
                attribute: Some(predicate::Attribute::Field(field.clone())),
                test: Some(predicate::Test::Equals(text(format!("tag-{}", number % 100)))),
                ..Predicate::default()
            })),
        }),
        exclusive: Some(Exclusive {
            group: format!("group-{}", number % 7),
            priority: number as u32 % 5,
            continues: number.is_multiple_of(3),
            ..Exclusive::default()
        }),
        ..Route::default()
    };
    let map = RouteMap { routes: (0..300).map(route).collect(), ..by_type(1) };
    let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
    let event = |tag: fn(usize) -> String| {
        let tags = (0..5_000).map(|at| format!("\"{}\"", tag(at % 100))).collect::<Vec<_>>();
        Repeating(format!("{{\"tags\": [{}]}}", tags.join(",")))
    };
    // As many values that nobody wants, so that there is room for what the payload's reader finds.
    let (strange, wanted) = (event(|_| "nobody's".to_owned()), event(|tag| format!("tag-{tag}")));
    let mut out = Deliveries::new();
    table.route(&strange, &mut out);
    assert_eq!(out.list().len(), 0);
    assert_eq!(allocations(|| table.route(&wanted, &mut out)), 0);
    assert!(!out.list().is_empty(), "nothing was routed, so nothing was shown");
}

#[test]
fn following_values_to_the_routes_that_want_them_allocates_nothing() {
    let field = Field { names: vec!["tags".to_owned()], through_arrays: true, dotted: false };
    let route = |number: usize| {
        let literal = |number: usize| Literal { kind: Some(literal::Kind::Number(number.to_string())) };
        let test = match number % 5 {
            0 => predicate::Test::Equals(text(format!("tag-{number}"))),
            1 => predicate::Test::Prefix(format!("tag-{number}{}", "-".repeat(number % 40))),
            2 => predicate::Test::Wildcard(format!("*\u{e9}{number}")),
            3 => predicate::Test::Range(Range {
                lower: Some(range::Lower::AtLeast(literal(number))),
                upper: Some(range::Upper::Below(literal(number + 10))),
            }),
            _ => predicate::Test::Cidr(Cidrs { blocks: vec![format!("10.0.{}.0/24", number % 256)] }),
        };
        let attribute = Some(predicate::Attribute::Field(field.clone()));
        let when = Predicate { attribute, test: Some(test), ..Predicate::default() };
        Route {
            id: format!("{number}"),
            types: any(),
            to: vec![format!("destination-{number}")],
            when: Some(Condition { kind: Some(condition::Kind::Predicate(when)) }),
            ..Route::default()
        }
    };
    let destination = |n| Destination {
        id: format!("destination-{n}"),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{n}"), ..KafkaTopic::default() })),
    };
    let destinations = (0..300).map(destination).collect();
    let map = RouteMap { routes: (0..300).map(route).collect(), destinations, ..by_type(1) };
    let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
    let event = |nobodys: &str| {
        let tags = (0..300).map(|n| match n % 5 {
            0 => format!("\"{nobodys}tag-{n}\""),
            1 => format!("\"{nobodys}tag-{n}{}\"", "-".repeat(50)),
            2 => format!("\"\\u00e9{n}{nobodys}\""),
            3 => format!("{nobodys}{n}"),
            _ => format!("\"10.{nobodys}0.{}.1\"", n % 256),
        });
        Repeating(format!("{{\"tags\": [{}]}}", tags.collect::<Vec<_>>().join(",")))
    };
    let (strange, wanted) = (event("9"), event(""));
    let mut out = Deliveries::new();
    table.route(&wanted, &mut out);
    assert_eq!(allocations(|| table.route(&strange, &mut out)), 0);
    assert!(out.list().len() < 20, "{}", out.list().len());
    assert_eq!(allocations(|| table.route(&wanted, &mut out)), 0);
    assert_eq!(out.list().len(), 300, "each kind of value leads to its routes");
}

/// Routes about elements of an array, and about elements within these.
fn about_elements(routes: usize, edition: usize) -> RouteMap {
    let route = |number: usize| {
        let n = number + edition;
        let cel = match number % 2 {
            0 => format!("payload.items.exists(item, item.sku == 's{n}' && item.price < {n})"),
            _ => format!("payload.items.exists(item, item.parts.exists(part, part.sku == 's{n}'))"),
        };
        Route {
            id: format!("{number}"),
            types: any(),
            to: vec![format!("destination-{}", number % 300)],
            // A tree, since to read texts takes memory.
            when: Some(cel::parse(&cel, &cel::Scope::record()).unwrap()),
            ..Route::default()
        }
    };
    let destination = |n| Destination {
        id: format!("destination-{n}"),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: format!("topic-{n}"), ..KafkaTopic::default() })),
    };
    let destinations = (0..300).map(destination).collect();
    RouteMap { routes: (0..routes).map(route).collect(), destinations, ..by_type(1) }
}

#[test]
fn going_over_elements_for_many_routes_allocates_nothing() {
    for routes in [20, 300] {
        let table = Compiler::new().compile(&about_elements(routes, 0).encode_to_vec()).unwrap();
        let item = |n: usize| match n % 2 {
            0 => format!(r#"{{"sku": "s{n}", "price": -1}}"#),
            _ => format!(r#"{{"parts": [{{"sku": "s{n}"}}, {{}}]}}"#),
        };
        let event = Repeating(format!(r#"{{"items": [{}]}}"#, (0..routes).map(item).collect::<Vec<_>>().join(",")));
        let mut out = Deliveries::new();
        table.route(&event, &mut out);
        assert_eq!(allocations(|| table.route(&event, &mut out)), 0);
        assert_eq!(out.list().len(), routes);
    }
}

/// Routes of which many add nothing to others: some are said twice, some ask for more, and some are about one of several types.
fn with_needless(routes: usize, edition: usize) -> RouteMap {
    let mut map = with_conditions(routes / 2, edition);
    let more = |n: usize, route: &Route| {
        let not = |condition| Condition { kind: Some(condition::Kind::Not(Box::new(condition))) };
        let key = not(of_key(predicate::Test::Equals(text(format!("{}", n + edition)))));
        let conditions = vec![key, route.when.clone().unwrap()];
        Some(Condition { kind: Some(condition::Kind::All(Conditions { conditions })) })
    };
    let also = |(n, route): (usize, &mut Route)| {
        route.types.as_mut().unwrap().exact.push(format!("also-{n}"));
        let mut other = Route { id: format!("{}-again", route.id), ..route.clone() };
        match n % 3 {
            0 => {}
            1 => other.when = more(n, route),
            _ => {
                other.types.as_mut().unwrap().exact.pop();
            }
        }
        other
    };
    let others: Vec<Route> = map.routes.iter_mut().enumerate().map(also).collect();
    map.routes.extend(others);
    map
}

#[test]
fn telling_which_merged_routes_match_allocates_nothing() {
    let table = Compiler::new().compile(&with_needless(1_800, 0).encode_to_vec()).unwrap();
    assert_eq!(table.aggregation(), Aggregation { routes: 1_800, compiled: 900 });
    let events = shuffled_events(900, 10_000);
    let (mut matches, mut of_merged) = (Matches::new(), 0);
    let mut match_all = || {
        for event in &events {
            table.matches(event, &mut matches).unwrap();
            of_merged += matches.routes().iter().filter(|route| route.get() >= 900).count();
        }
    };
    match_all();
    assert_eq!(allocations(&mut match_all), 0);
    assert!(of_merged > 0, "none of them matched, so nothing was shown");
}

#[test]
fn an_update_of_the_same_size_allocates_nothing_whatever_the_size() {
    let kinds: [fn(usize, usize) -> RouteMap; 5] =
        [with_conditions, in_groups, to_templates, with_needless, about_elements];
    for (routes, map) in [1_800, 50_000].into_iter().flat_map(|routes| kinds.map(|map| (routes, map))) {
        let maps: Vec<Vec<u8>> = (0..6).map(|edition| map(routes, edition).encode_to_vec()).collect();
        let mut compiler = Compiler::new();
        // As an engine does it: one table is in force, and the one before it goes back when the next is in force.
        let mut in_force = compiler.compile(&maps[0]).unwrap();
        let mut counts = Vec::new();
        for map in &maps[1..] {
            counts.push(allocations(|| {
                let next = compiler.compile(map).unwrap();
                compiler.recycle(std::mem::replace(&mut in_force, next));
            }));
        }
        assert!(counts[0] > 0, "the second table needs memory of its own");
        assert_eq!(counts[2..], [0, 0, 0], "allocations of each update at {routes} routes: {counts:?}");
    }
}

/// A map of routes each of which has `per_route` things that `route` makes of their numbers, `count` things in all.
fn map_of(count: usize, per_route: usize, route: impl Fn(Vec<String>) -> Route) -> Vec<u8> {
    let numbers: Vec<String> = (0..count).map(|number| format!("{number:07}")).collect();
    let named = |(at, numbers): (usize, &[String])| Route {
        id: format!("{at}"),
        to: vec!["destination-0".to_owned()],
        ..route(numbers.to_vec())
    };
    RouteMap { routes: numbers.chunks(per_route).enumerate().map(named).collect(), ..by_type(1) }.encode_to_vec()
}

fn any() -> Option<EventTypes> {
    Some(EventTypes { any: true, ..EventTypes::default() })
}

fn of_key(test: predicate::Test) -> Condition {
    let attribute = Some(predicate::Attribute::Part(RecordPart::Key.into()));
    Condition {
        kind: Some(condition::Kind::Predicate(Predicate { attribute, test: Some(test), ..Predicate::default() })),
    }
}

fn text(number: String) -> Literal {
    Literal { kind: Some(literal::Kind::Text(number)) }
}

fn of_types(exact: Vec<String>) -> Route {
    Route { types: Some(EventTypes { exact, ..EventTypes::default() }), ..Route::default() }
}

fn of_predicates(test: impl Fn(String) -> predicate::Test, numbers: Vec<String>) -> Route {
    let conditions = numbers.into_iter().map(|number| of_key(test(number))).collect();
    let when = Condition { kind: Some(condition::Kind::All(Conditions { conditions })) };
    Route { types: any(), when: Some(when), ..Route::default() }
}

fn of_values(numbers: Vec<String>) -> Route {
    let values = numbers.into_iter().map(text).collect();
    Route { types: any(), when: Some(of_key(predicate::Test::In(Literals { values }))), ..Route::default() }
}

/// An interval that overlaps with some hundred of others.
fn between_hundreds(number: String) -> predicate::Test {
    let literal = |number: u32| Literal { kind: Some(literal::Kind::Number(number.to_string())) };
    let from: u32 = number.parse().unwrap();
    predicate::Test::Range(Range {
        lower: Some(range::Lower::Above(literal(from))),
        upper: Some(range::Upper::AtMost(literal(from + 100))),
    })
}

/// A block of addresses beside the others.
fn block(number: String) -> predicate::Test {
    let [_, a, b, c] = number.parse::<u32>().unwrap().to_be_bytes();
    predicate::Test::Cidr(Cidrs { blocks: vec![format!("{a}.{b}.{c}.0/24")] })
}

/// Bytes that a table of this map keeps, and those that compiling it takes at its peak, the table's included.
fn memory_of(map: &[u8]) -> (i64, i64) {
    let before = BYTES.with(Cell::get);
    BYTES_MAX.with(|max| max.set(before));
    let mut compiler = Compiler::new();
    let table = compiler.compile(map).unwrap();
    let peak = BYTES_MAX.with(Cell::get) - before;
    drop(compiler);
    let kept = BYTES.with(Cell::get) - before;
    drop(table);
    (kept, peak)
}

#[test]
fn a_type_a_predicate_and_a_value_take_no_more_memory_than_limits_rs_says() {
    // One more than what a list that doubles has room for, so that its spare room is as large as can be.
    let count = (1 << 17) + 1;
    let cases = [
        ("type", map_of(count, 10_000, of_types), 96, 250),
        ("predicate", map_of(count, 4_000, |some| of_predicates(predicate::Test::Prefix, some)), 160, 310),
        (
            "predicate looked up",
            map_of(count, 4_000, |some| of_predicates(|one| predicate::Test::Equals(text(one)), some)),
            230,
            420,
        ),
        ("value", map_of(count, 10_000, of_values), 32, 32),
        // With the route that it is the condition of.
        ("end of texts", map_of(count, 1, |one| of_predicates(predicate::Test::Prefix, one)), 260, 790),
        ("block of addresses", map_of(count, 1, |one| of_predicates(block, one)), 260, 810),
        ("interval", map_of(count, 1, |one| of_predicates(between_hundreds, one)), 570, 1_200),
    ];
    for (what, map, table_max, peak_max) in cases {
        let (table, peak) = memory_of(&map);
        let (table, peak) = (table / count as i64, peak / count as i64);
        println!("{what}: {table} bytes in the table, {peak} while it is compiled");
        assert!(table <= table_max && peak <= peak_max, "{what}: {table} and {peak} bytes");
    }
}

#[test]
fn a_topic_that_placeholders_stand_for_takes_no_more_memory_than_limits_rs_says() {
    let values = (0..65_536).map(|n| format!("{n:05}")).collect();
    let placeholder = Placeholder {
        name: "n".to_owned(),
        value: Some(placeholder::Value::Part(RecordPart::Key.into())),
        allowed: Some(placeholder::Allowed::Values(Values { values })),
    };
    let kafka = KafkaTopic { topic: "t{n}".to_owned(), placeholders: vec![placeholder], ..KafkaTopic::default() };
    let mut map = by_type(12);
    map.destinations[0].kind = Some(destination::Kind::Kafka(kafka));
    let (table, peak) = memory_of(&map.encode_to_vec());
    let (table, peak) = (table / 65_536, peak / 65_536);
    println!("topic: {table} bytes in the table, {peak} while it is compiled");
    assert!(table <= 160 && peak <= 280, "{table} and {peak} bytes");
}

/// Payloads of some shapes in turn, with escapes, arrays and objects in arrays.
fn payloads() -> Vec<String> {
    let payload = |shape: usize, points: usize| {
        let points = vec![r#"{"x":1,"y":[2]}"#; points].join(",");
        format!(r#"{{"extra{shape}":"\"","p":{{"str\u0065et":"HYDE","points":[{points}]}},"points":[[{points}]]}}"#)
    };
    (0..200).map(|number| payload(number % 7, number % 30)).collect()
}

#[test]
fn a_reader_that_is_warm_allocates_nothing() {
    let mut plans = Plans::default();
    let names = [["p", "street"], ["p", "points"], ["points", "x"]];
    let through = plans.add(names.map(|names| Wanted { names, through_arrays: true }));
    let plain = plans.add(names.map(|names| Wanted { names, through_arrays: false }));
    let (payloads, mut reader) = (payloads(), Reader::new());
    let mut read = || {
        for payload in &payloads {
            reader.read(&plans, plain, payload.as_bytes());
            assert_eq!(reader.first(0).unwrap().of(payload.as_bytes()), b"HYDE");
            reader.read(&plans, through, payload.as_bytes());
            assert_eq!(reader.values(1).count(), reader.values(2).count());
        }
    };
    read();
    assert_eq!(allocations(read), 0);
}

#[test]
fn validating_allocates_nothing_however_deep_or_broken_a_payload_is() {
    let deep = |levels: usize| format!("{}\"\\u0065é\"{}", "[".repeat(levels), "]".repeat(levels)).into_bytes();
    let payloads = payloads().into_iter().map(String::into_bytes);
    let payloads: Vec<Vec<u8>> = payloads.chain([1, 62, 63, 65, 500, 1_024, 1_025, 10_000].map(deep)).collect();
    let check = || {
        let valid = payloads.iter().filter(|payload| validate(payload).is_ok()).count();
        let broken = payloads.iter().filter(|payload| validate(&payload[1..]).is_err()).count();
        assert_eq!((valid, broken), (payloads.len() - 2, payloads.len()));
    };
    check();
    assert_eq!(allocations(check), 0);
}

#[test]
fn plans_are_made_anew_in_the_memory_that_they_have() {
    let names: Vec<String> = (0..300).map(|number| format!("field {}", number / 3)).collect();
    let mut plans = Plans::default();
    let mut make = || {
        plans.clear();
        for some in names.chunks(20) {
            plans.add(some.iter().map(|name| Wanted { names: ["data", name.as_str()], through_arrays: false }));
        }
    };
    make();
    assert_eq!(allocations(make), 0);
}

/// A record of a topic, with a payload.
struct Record<'a> {
    topic: &'a str,
    payload: &'a [u8],
}

impl Event for Record<'_> {
    fn topic(&self) -> &str {
        self.topic
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(b"t"),
            "content-type" if self.topic == "envelopes" => Value::Bytes(b"application/cloudevents+json"),
            _ => Value::Missing,
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(self.payload)
    }
}

#[test]
fn routing_messages_and_envelopes_allocates_nothing() {
    let cel = |text: &str| Condition { kind: Some(condition::Kind::Cel(text.to_owned())) };
    let conditions = [
        "payload.text == 'a' && payload.bytes == 'YQ=='",
        "payload.children.exists(x, x.text == 'a')",
        "payload.by_name.a.text == 'a' || headers.ce_subject == 'a'",
        "payload.float > 1.0 && payload.color == 'RED'",
    ];
    let validation = Validation::Full.into();
    let message = "test.All".to_owned();
    let kinds = [
        ("messages", payload::Kind::Protobuf(ProtobufMessage { message, validation, ..ProtobufMessage::default() })),
        ("envelopes", payload::Kind::CloudEvents(CloudEvents { validation, ..CloudEvents::default() })),
    ];
    let source = |(topic, kind): (&str, _)| Source {
        topic: topic.to_owned(),
        payload: Some(Payload { kind: Some(kind) }),
        ..Source::default()
    };
    let map = RouteMap {
        descriptors: messages::descriptors().into(),
        sources: kinds.map(source).to_vec(),
        ..messages::map_of(conditions.map(cel).to_vec())
    };
    let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
    // Texts, bytes, a list of three, a message in two pieces, an entry of a map, a float and an enum.
    let child = b"\x9a\x01\x03\x72\x01a".repeat(3);
    let message = [
        &child[..],
        b"\x72\x01a\x7a\x01a\x92\x01\x00\x92\x01\x00\xba\x01\x08\x0a\x01a\x12\x03\x72\x01a\x5d\0\0\0\x40\x80\x01\x01",
    ];
    let message = message.concat();
    let envelope =
        br#"{"type":"\u0074","data":{"text":"\u0061","bytes":"YQ==","children":[{"text":"a"}]},"subject":"\u0061"}"#;
    let records = [("messages", &message[..], 4), ("envelopes", envelope, 3)];
    let mut out = Deliveries::new();
    let mut route = || {
        for (topic, payload, expected) in records {
            table.route(&Record { topic, payload }, &mut out);
            assert_eq!(out.list().len(), expected, "{topic}: {:?}", out.verdict());
        }
    };
    route();
    assert_eq!(allocations(route), 0);
}
