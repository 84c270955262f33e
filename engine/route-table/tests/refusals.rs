//! What a map can have wrong, and the words in which it is told. Each case is a map in text form, beside every reason for its refusal.

#[path = "support/text_format.rs"]
mod text_format;

use prost::Message as _;
use text_format::route_map as map;
use veltrix_proto::v1::{Condition, Destination, EventTypes, Route, RouteMap, condition, destination};
use veltrix_route_table::{Compiler, Deliveries, Event, Fault, Reason, Refused, Value, WireFault, compile, limits};

/// A map that is right but for what `text` adds.
fn with(text: &str) -> RouteMap {
    map(&format!(
        r#"name: "m" destinations {{ id: "d" kafka {{ topic: "t" }} }}
           routes {{ id: "r" types {{ any: true }} to: "d" }} {text}"#
    ))
}

fn reasons(map: &RouteMap) -> Vec<String> {
    match compile(map) {
        Ok(_) => Vec::new(),
        // Of which route it is said is the same for all faults, and has a test of its own.
        Err(refused) => {
            refused.reasons.into_iter().map(|reason| Reason { route: None, ..reason }.to_string()).collect()
        }
    }
}

#[test]
fn a_fault_of_a_route_names_it() {
    let refused = compile(&with(
        r#"routes { id: "rich" types { any: true } to: "e" when { cel: "x" } } routes { id: "r" types { any: true } to: "d" }
           tenants { id: "live" routes { to: "d" id: "own" } }"#,
    ));
    let refused = refused.unwrap_err();
    let found: Vec<_> = refused.reasons.iter().map(ToString::to_string).collect();
    for (found, expected) in found.iter().zip([
        "routes[1].to[0]: route `rich`: `e` is no destination",
        "routes[1].when.cel: route `rich`: this cel can't be a condition",
        "tenants[0].routes[0].types: route `own`: must be set",
        "routes[2].id: `r` is taken by another route",
    ]) {
        assert!(found.starts_with(expected), "{found}\n    is not\n{expected}");
    }
    assert_eq!((found.len(), refused.reasons[0].route.as_deref()), (4, Some("rich")));
}

#[test]
fn a_map_that_is_right_is_taken() {
    assert_eq!(reasons(&with("")), Vec::<String>::new());
    // As AWS takes it: any text.
    for affix in [r#"{\"prefix\": \"\"}"#, r#"{\"suffix\": \"\"}"#, r#"{\"prefix\": {\"equals-ignore-case\": \"\"}}"#] {
        let pattern = format!(
            r#"routes {{ id: "x" types {{ any: true }} to: "d" when {{ event_pattern: "{{\"a\": [{affix}]}}" }} }}"#
        );
        assert_eq!(reasons(&with(&pattern)), Vec::<String>::new(), "{affix}");
    }
}

#[test]
fn every_reason_is_told_at_once_with_the_path_of_its_field() {
    let found = reasons(&map(r#"destinations { id: "d" kafka { topic: "no topic" } }
           destinations { id: "d" kafka { topic: "t" } }
           routes { id: "r" types { exact: "" } to: "d" to: "e" }
           routes { id: "r" types { any: true } }
           tenants { id: "x" routes { types { any: true } to: "d" when { any { conditions {} } } } }"#));
    let expected = [
        "name: must be set",
        "destinations[0].kafka.topic: `no topic` can't be the name of a Kafka topic",
        "destinations[1].id: `d` is taken by another destination",
        "routes[0].to[1]: `e` is no destination of this map; declare it under `destinations`",
        "routes[0].types.exact[0]: must not be empty; for every type, say `any: true`",
        "routes[1].to: must be set",
        "tenants[0].routes[0].id: must be set",
        "tenants[0].routes[0].when.any.conditions[0]: must be set",
        "routes[1].id: `r` is taken by another route",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n    is not\n{expected}");
    }
}

#[test]
fn each_mistake_is_refused_by_name() {
    let cases = [
        (r#"routes { id: "x" to: "d" }"#, "routes[1].types: must be set"),
        (r#"routes { id: "x" to: "d" types { prefixes: "" } }"#, "routes[1].types.prefixes[0]: must not be empty"),
        (r#"routes { id: "a\n+ b" to: "d" types { any: true } }"#, r#"routes[1].id: "a\n+ b" has a control character"#),
        (r#"tenants { id: "\033[2J" }"#, r#"tenants[0].id: "\u{1b}[2J" has a control character"#),
        (
            r#"routes { id: "\302\205" to: "d" types { any: true } }"#,
            r#"routes[1].id: "\u{85}" has a control character"#,
        ),
        (r#"destinations { id: "e" kafka { topic: "t" } }"#, "destinations[1].kafka.topic: `t` is taken by another"),
        (r#"destinations { id: "e" }"#, "destinations[1].kafka: must be set"),
        (r#"tenants { id: "a" } tenants { id: "a" }"#, "tenants[1].id: `a` is taken by another tenant"),
        (
            r#"tenants { id: "a" } tenants { id: "b" routes { id: "x" to: "d" types { any: true } } routes { id: "r" to: "d" types { any: true } } }"#,
            "tenants[1].routes[1].id: `r` is taken by another route",
        ),
        (r#"sources { topic: "s" } sources { topic: "s" }"#, "sources[1].topic: `s` is taken by another source topic"),
        (r#"sources { topic: ".." }"#, "sources[0].topic: `..` can't be the name of a Kafka topic"),
        (r#"sources { topic: "s" event_type { constant: "" } }"#, "sources[0].event_type.constant: must be set"),
        (r#"sources { topic: "s" tenant { header: "" } }"#, "sources[0].tenant.header: must be set"),
        (r#"sources { topic: "s" event_type {} }"#, "sources[0].event_type: must be set"),
        (
            r#"sources { topic: "s" tenant { part: RECORD_PART_TENANT } }"#,
            "sources[0].tenant.part: the tenant can't be used here",
        ),
        (r#"unmatched { destination: "e" }"#, "unmatched.destination: `e` is no destination of this map"),
        (r#"tenants { id: "a" unmatched {} }"#, "tenants[0].unmatched.policy: must be set"),
        (r#"tenants { id: "a" unmatched { destination: "e" } }"#, "tenants[0].unmatched.destination: `e` is no"),
        (r#"routes { id: "x" disabled: true types { any: true } to: "e" }"#, "routes[1].to[0]: `e` is no destination"),
        (r#"routes { id: "x" disabled: true types { any: true } }"#, "routes[1].to: must be set"),
        (r#"routes { id: "x" disabled: true to: "d" types { exact: "" } }"#, "routes[1].types.exact[0]: must not be"),
        (r#"routes { id: "r" disabled: true to: "d" types { any: true } }"#, "routes[1].id: `r` is taken by another"),
    ];
    for (text, expected) in cases {
        let found = reasons(&with(text));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}\n    gives {found:?}, not {expected}");
    }
}

#[test]
fn each_mistake_of_a_topic_with_placeholders_is_refused_by_name() {
    let with_kafka = |kafka: &str| format!(r#"destinations {{ id: "e" kafka {{ {kafka} }} }} "#);
    let region = |more: &str| format!(r#"placeholders {{ name: "region" {more} }} "#);
    let listed = r#"header: "h" values { values: "eu" values: "us" }"#;
    let topic = |topic: &str| format!(r#"topic: "{topic}" "#);
    let one = topic("x-{region}");
    let at = |path: &str, text: &str| format!("destinations[1].kafka.{path}: {text}");
    let cases = [
        (topic("x-{region}"), at("topic", "`{region}` is not declared; say under `placeholders`")),
        (topic("x-{}"), at("topic", "`` can't be the name of a placeholder")),
        (topic("x-{a b}"), at("topic", "`a b` can't be the name of a placeholder")),
        (topic("x-{tenant"), at("topic", "a brace in `x-{tenant` belongs to no placeholder")),
        (topic("x-}"), at("topic", "a brace in `x-}` belongs to no placeholder")),
        (topic("x-{{tenant}}"), at("topic", "a brace in `x-{{tenant}}` belongs to no placeholder")),
        (topic("x {tenant}"), at("topic", "`x {tenant}` can't be the name of a Kafka topic")),
        (topic("x-{tenant}"), at("topic", "stands for the tenants that the map names, and it names none")),
        (topic("x") + &region(listed), at("placeholders[0]", "`{region}` is not in the topic; remove it")),
        (topic("x") + r#"otherwise: "d""#, at("otherwise", "has no meaning for a topic without placeholders")),
        (one.clone() + &region(listed) + &region(listed), at("placeholders[1].name", "is given twice")),
        (one.clone() + &region(r#"values { values: "eu" }"#), at("placeholders[0].value", "must be set")),
        (one.clone() + &region(r#"header: "h""#), at("placeholders[0].allowed", "must be set")),
        (one.clone() + &region(r#"header: "h" values {}"#), at("placeholders[0].values.values", "must be set")),
        (one.clone() + &region(r#"header: "h" tenants {}"#), at("placeholders[0].tenants", "stands for the tenants")),
        (
            one.clone() + &region(r#"header: "h" values { values: "eu" values: "eu" }"#),
            at("placeholders[0].values.values[1]", "is given twice"),
        ),
        (
            one.clone() + &region(r#"header: "h" values { values: "e u" }"#),
            at("topic", "`x-e u` can't be the name of a Kafka topic"),
        ),
        (
            one.clone() + &region(&format!(r#"header: "h" values {{ values: "{}" }}"#, "a".repeat(248))),
            at("topic", &format!("`x-{}` can't be the name of a Kafka topic", "a".repeat(248))),
        ),
        (
            one.clone() + &region(r#"part: RECORD_PART_TIMESTAMP values { values: "1" }"#),
            at("placeholders[0].part", "the time can't be used here"),
        ),
        (
            one.clone() + &region(r#"field { names: "a" through_arrays: true } values { values: "1" }"#),
            at("placeholders[0].field.through_arrays", "a placeholder stands for one value"),
        ),
        (one.clone() + &region(listed) + r#"otherwise: "f""#, at("otherwise", "`f` is no destination of this map")),
        (one.clone() + &region(listed) + r#"otherwise: "e""#, at("otherwise", "`e` has placeholders itself")),
        (topic("{region}") + &region(r#"header: "h" values { values: "t" }"#), at("topic", "`t` is taken by another")),
    ];
    for (kafka, expected) in cases {
        let found = reasons(&with(&with_kafka(&kafka)));
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{kafka}\n    gives {found:?}, not {expected}");
    }
    let map = with(&with_kafka(&(one.clone() + &region(listed) + r#"otherwise: "d""#)));
    assert_eq!(reasons(&map), Vec::<String>::new());
    // An unknown field, and one of the two topics of one that is declared behind it.
    let two = with_kafka(&(one + &region(listed))) + r#"destinations { id: "f" kafka { topic: "x-us" } }"#;
    assert!(reasons(&with(&two))[0].starts_with("destinations[1].kafka.topic: `x-us` is taken by another"));
    let tenants = with_kafka(&topic("x-{tenant}")) + r#"tenants { id: "a b" } tenants { id: "c" }"#;
    let found = reasons(&with(&tenants));
    assert!(found.len() == 1 && found[0].contains("`x-a b` can't be the name of a Kafka topic"), "{found:?}");
    // However long they are and however many.
    let long: String = (0..255).map(|n| format!("values: '{n:0255}' ")).collect();
    let many = format!(r#"placeholders {{ name: "v" header: "h" values {{ {long} }} }}"#);
    let found = reasons(&with(&with_kafka(&(topic(&"{v}".repeat(80)) + &many))));
    assert_eq!(found.len(), Refused::REASONS_MAX);
    assert!(found.iter().all(|reason| reason.len() < 500), "{}", found[0]);
    // What is wrong with the tenants is not told again of their topics.
    let tenants = with_kafka(&topic("x-{tenant}")) + r#"tenants { id: "c" } tenants { id: "c" }"#;
    let found = reasons(&with(&tenants));
    assert!(found.len() == 1 && found[0].starts_with("tenants[1].id: `c` is taken"), "{found:?}");
}

#[test]
fn topics_that_placeholders_stand_for_are_counted_before_they_are_made() {
    let values = |count: usize| (0..count).map(|n| format!("values: \"{n}\" ")).collect::<String>();
    let placeholder = |name: &str, count: usize| {
        format!(r#"placeholders {{ name: "{name}" header: "h" values {{ {} }} }} "#, values(count))
    };
    let of = |id: &str, counts: &[usize]| {
        let names = ["a", "b", "c", "d", "e"];
        let names = names.iter().zip(counts);
        let topic: String = names.clone().map(|(name, _)| format!(".{{{name}}}")).collect();
        let placeholders: String = names.map(|(name, count)| placeholder(name, *count)).collect();
        map(&format!(r#"destinations {{ id: "{id}" kafka {{ topic: "{id}{topic}" {placeholders} }} }}"#)).destinations
    };
    let compiled = |more: &[Vec<Destination>]| {
        let mut map = with(r#"tenants { id: "only" }"#);
        map.destinations.extend(more.iter().flatten().cloned());
        match compile(&map) {
            Ok(table) => Ok((table.usage().topics, table.destinations().len())),
            Err(Refused { reasons, .. }) => Err(reasons),
        }
    };
    assert_eq!(compiled(&[of("x", &[256, 256])]), Ok((65_536, 65_537)));
    assert_eq!(compiled(&[of("x", &[255, 256]), of("y", &[256])]), Ok((65_536, 65_537)));
    let over = |path: &str, limit, observed| {
        Err(vec![Reason { path: path.to_owned(), route: None, fault: Fault::OverLimit { limit, observed } }])
    };
    let (topics, placeholders) = (&limits::TOPICS, &limits::PLACEHOLDERS);
    let second = "destinations[2].kafka.topic";
    assert_eq!(compiled(&[of("x", &[256, 256]), of("y", &[1])]), over(second, topics, 65_537));
    let first = "destinations[1].kafka.topic";
    assert_eq!(compiled(&[of("x", &[9_000; 4])]), over(first, topics, 9_000u64.pow(4)));
    // One value more than are kept.
    let all = limits::TOPICS.max + limits::DESTINATIONS.max * limits::PLACEHOLDERS.max;
    assert_eq!(compiled(&[of("x", &[all as usize + 1])]), over(first, topics, all + 1));
    let first = "destinations[1].kafka.placeholders";
    assert_eq!(compiled(&[of("x", &[1; 5])]), over(first, placeholders, 5));
    let mut with_tenant = of("x", &[1; 4]);
    if let Some(destination::Kind::Kafka(kafka)) = &mut with_tenant[0].kind {
        kafka.topic += "{tenant}";
    }
    assert_eq!(compiled(&[with_tenant]), over(first, placeholders, 5));
}

#[test]
fn each_mistake_of_an_exclusive_group_is_refused_by_name() {
    let route = |id: &str, exclusive: &str| {
        format!("routes {{ id: '{id}' to: 'd' types {{ any: true }} exclusive {{ {exclusive} }} }} ")
    };
    let default = "group: 'g' default: true";
    let off = route("y", default).replace("exclusive", "disabled: true exclusive");
    let tenant = |id: &str| format!("tenants {{ id: '{id}' {} }}", route(id, default));
    let cases = [
        (route("x", ""), "routes[1].exclusive.group: must be set"),
        (route("x", "group: '' priority: 1"), "routes[1].exclusive.group: must be set"),
        (
            route("x", &format!("{default} priority: 1")),
            "routes[1].exclusive.default: a default is asked behind all others",
        ),
        (
            route("x", &format!("{default} continues: true")),
            "routes[1].exclusive.default: a default is asked behind all",
        ),
        (route("x", default) + &route("y", default), "routes[2].exclusive.default: group `g` has a default already"),
        (route("x", default) + &off, "routes[2].exclusive.default: group `g` has a default already"),
    ];
    for (text, expected) in cases {
        let found = reasons(&with(&text));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{text}\n    gives {found:?}, not {expected}");
    }
    let one_each = route("x", default) + &route("y", "group: 'h' default: true") + &tenant("a") + &tenant("b");
    assert_eq!(reasons(&with(&one_each)), Vec::<String>::new());
    // A number that the wire can carry, and the field can't.
    let priority = [0x10, 0xff, 0xff, 0xff, 0xff, 0x1f];
    let exclusive = [&[0x0a, 0x01, b'g'][..], &priority].concat();
    let exclusive = [&[0x3a, exclusive.len() as u8][..], &exclusive].concat();
    let mut route = with("").routes[0].encode_to_vec();
    route.extend(exclusive);
    let mut map = RouteMap { routes: vec![], ..with("") }.encode_to_vec();
    map.extend([0x22, route.len() as u8]);
    map.extend(route);
    let refused = Compiler::new().compile(&map).unwrap_err();
    assert_eq!(refused.reasons[0].fault, Fault::OverLimit { limit: &limits::PRIORITY, observed: (1 << 33) - 1 });
}

#[test]
fn each_mistake_of_a_condition_is_refused_by_name() {
    let cases = [
        ("predicate { equals { text: \"x\" } }", "predicate.attribute: must be set"),
        ("predicate { header: \"h\" }", "predicate.test: must be set"),
        ("predicate { header: \"h\" equals {} }", "predicate.equals: must be set"),
        ("predicate { header: \"h\" in {} }", "predicate.in.values: must be set"),
        ("predicate { header: \"h\" prefix: \"\" }", "predicate.prefix: must not be empty"),
        (
            "predicate { header: \"h\" exists: true on_missing: ON_MISSING_TRUE }",
            "predicate.on_missing: on_missing has no meaning for `exists`",
        ),
        ("predicate { header: \"h\" share {} }", "predicate.share.salt: must be set"),
        ("predicate { header: \"h\" share { salt: \"s\" } }", "predicate.share: no value is in a share from 0 to 0;"),
        (
            "predicate { header: \"h\" share { salt: \"s\" from: 7 to: 7 } }",
            "predicate.share: no value is in a share from 7",
        ),
        (
            "predicate { header: \"h\" share { salt: \"s\" to: 10001 } }",
            "predicate.share.to: 10001 is beyond the limit `share_places`",
        ),
        (
            "predicate { header: \"h\" share { salt: \"s\" to: 1 } ignore_case: true }",
            "predicate.ignore_case: ignore_case has no meaning for this test",
        ),
        ("all {}", "all.conditions: must be set"),
        ("not {}", "not: must be set"),
    ];
    for (condition, expected) in cases {
        let route = format!("routes {{ id: \"x\" to: \"d\" types {{ any: true }} when {{ {condition} }} }}");
        let found = reasons(&with(&route));
        let expected = format!("routes[1].when.{expected}");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{condition}\n    gives {found:?}, not {expected}"
        );
    }
}

#[test]
fn each_mistake_of_a_lookup_is_refused_by_name() {
    let key = "key { part: RECORD_PART_KEY }";
    let table = "table { file: 'players.jsonl' }";
    let http = |url: &str| format!("{key} http {{ url: '{url}' timeout_ms: 100 }}");
    let grpc = |endpoint: &str| format!("{key} grpc {{ endpoint: '{endpoint}' timeout_ms: 100 }}");
    let cached = |cache: &str| format!("{} cache {{ {cache} }}", http("http://h/{key}"));
    let cases = [
        (format!("id: '' {key} {table}"), "id: must be set"),
        (format!("id: 'known' {key} {table}"), "id: `known` is taken by another lookup"),
        (table.to_owned(), "key: must be set"),
        (format!("key {{}} {table}"), "key: must be set"),
        (format!("key {{ header: '' }} {table}"), "key.header: must be set"),
        (
            format!("key {{ part: RECORD_PART_TIMESTAMP }} {table}"),
            "key.part: the timestamp can't be used here; a time is no key",
        ),
        (format!("key {{ field {{ names: 'a' through_arrays: true }} }} {table}"), "key.field: a key is one value"),
        (format!("key {{ field {{}} }} {table}"), "key.field.names: must be set"),
        (key.to_owned(), "source: must be set"),
        (format!("{key} table {{}}"), "table: must be set"),
        (format!("{key} table {{ file: '' }}"), "table.file: must be set"),
        (format!("{key} table {{ kafka {{ topic: 'no topic' }} }}"), "table.kafka.topic: `no topic` can't be the name"),
        (format!("{key} {table} cache {{ entries: 1 ttl_ms: 1 }}"), "cache: a table is in memory"),
        (format!("{key} http {{ url: 'http://h/{{key}}' }}"), "http.timeout_ms: must be set"),
        (format!("{key} http {{ timeout_ms: 1 }}"), "http.url: must be set"),
        (http("ftp://h/{key}"), "http.url: `ftp://h/{key}` can't be called: it must begin with `http://`"),
        (http("http://h/a b/{key}"), "http.url: `http://h/a b/{key}` can't be called: ' ' can't stand in a URL"),
        (http("http://h/ä/{key}"), "http.url: `http://h/ä/{key}` can't be called: 'ä' can't stand in a URL"),
        (http("http://h/{key}#a"), "http.url: `http://h/{key}#a` can't be called: what stands behind `#`"),
        (http("http://u:p@h/{key}"), "http.url: `http://u:p@h/{key}` can't be called: a map is no place for secrets"),
        (http("http:///{key}"), "http.url: `http:///{key}` can't be called: it names no host"),
        (http("http://h:x/{key}"), "http.url: `http://h:x/{key}` can't be called: it names no host, or no port"),
        (http("http://{key}/"), "http.url: `http://{key}/` can't be called: it names no host"),
        (http("http://h/"), "http.url: `http://h/` can't be called: `{key}` must stand in its path or query, once"),
        (http("http://h/{key}/{key}"), "http.url: `http://h/{key}/{key}` can't be called: `{key}` must stand"),
        (http("http://h/{id}/{key}"), "http.url: `http://h/{id}/{key}` can't be called: `{key}` must stand"),
        (format!("{key} grpc {{ endpoint: 'http://h:1' }}"), "grpc.timeout_ms: must be set"),
        (format!("{key} grpc {{ timeout_ms: 1 }}"), "grpc.endpoint: must be set"),
        (grpc(""), "grpc.endpoint: must be set"),
        (grpc("h:9000"), "grpc.endpoint: `h:9000` can't be called: it must begin with `http://` or `https://`"),
        (grpc("http://"), "grpc.endpoint: `http://` can't be called: it names no host"),
        (grpc("http://h:99999"), "grpc.endpoint: `http://h:99999` can't be called: it names no host, or no port"),
        (grpc("https://u:p@h"), "grpc.endpoint: `https://u:p@h` can't be called: a map is no place for secrets"),
        (grpc("http://h:1/players"), "grpc.endpoint: `http://h:1/players` can't be called: an endpoint is a scheme"),
        (grpc("http://h?a"), "grpc.endpoint: `http://h?a` can't be called: an endpoint is a scheme, a host and a port"),
        (grpc("http://{key}"), "grpc.endpoint: `http://{key}` can't be called: it names no host"),
        (cached("ttl_ms: 1"), "cache.entries: must be set"),
        (cached("entries: 1"), "cache: ttl_ms and negative_ttl_ms are both 0"),
    ];
    let known = format!("lookups {{ id: 'known' {key} {table} }}");
    for (lookup, expected) in cases {
        let id = if lookup.starts_with("id:") { "" } else { "id: 'x'" };
        let found = reasons(&with(&format!("{known} lookups {{ {id} {lookup} }}")));
        let expected = format!("lookups[1].{expected}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{lookup}\n    gives {found:?}, not {expected}");
    }
    for url in
        ["http://h/{key}", "https://h.example:8443/a?b={key}&c=%20", "http://[::1]:80/{key}", "http://[::1]?{key}"]
    {
        let found = reasons(&with(&format!("lookups {{ id: 'x' {} }}", http(url))));
        assert_eq!(found, Vec::<String>::new(), "{url}");
    }
    for endpoint in ["http://h", "https://h.example:8443/", "http://[::1]:80"] {
        let found = reasons(&with(&format!("lookups {{ id: 'x' {} }}", grpc(endpoint))));
        assert_eq!(found, Vec::<String>::new(), "{endpoint}");
    }
}

#[test]
fn the_key_of_a_lookup_can_be_neither_an_element_nor_another_lookup() {
    let map = with("lookups { id: 'x' key { header: 'h' } table { file: 'f' } }");
    let bytes = map.encode_to_vec();
    let key = [0x0a, 1, b'h'];
    let at = bytes.windows(3).position(|window| window == key).unwrap();
    for number in [4, 5] {
        let mut bytes = bytes.clone();
        bytes[at] = number << 3 | 2;
        let refused = Compiler::new().compile(&bytes).unwrap_err();
        let fault = Fault::UnknownField { message: "LookupKey", number: number.into() };
        assert_eq!((refused.reasons[0].path.as_str(), &refused.reasons[0].fault), ("lookups[0].key", &fault));
    }
}

#[test]
fn a_condition_that_names_no_lookup_of_the_map_is_refused() {
    let route = |when: &str| with(&format!("routes {{ id: 'x' to: 'd' types {{ any: true }} when {{ {when} }} }}"));
    let cases = [
        (
            "predicate { lookup { lookup: 'player' } exists: true }",
            "predicate.lookup.lookup: `player` is no lookup of this map; declare it under `lookups`",
        ),
        ("predicate { lookup { names: 'a' } exists: true }", "predicate.lookup.lookup: must be set"),
        ("cel: 'lookup.player.region == \"eu\"'", "cel.predicate.lookup.lookup: `player` is no lookup of this map"),
    ];
    for (when, expected) in cases {
        let found = reasons(&route(when));
        let expected = format!("routes[1].when.{expected}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{when}\n    gives {found:?}, not {expected}");
    }
}

#[test]
fn a_mistake_that_stands_in_several_places_is_refused_in_each() {
    let route = |id: &str, predicate: &str| {
        format!(r#"routes {{ id: "{id}" types {{ any: true }} to: "d" when {{ predicate {{ {predicate} }} }} }}"#)
    };
    let good = r#"header: "h" in { values { text: "a" } }"#;
    let bad = r#"header: "h" in { values {} }"#;
    let found =
        reasons(&with(&["1", "2", "3", "4", "5"].map(|id| route(id, if id < "3" { good } else { bad })).concat()));
    let expected = [3, 4, 5].map(|at| format!("routes[{at}].when.predicate.in.values[0]: must be set"));
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected)), "{found:#?}");
}

#[test]
fn a_map_beyond_a_limit_is_refused_by_the_limits_name() {
    let long = "x".repeat(limits::ID_BYTES.max as usize + 1);
    let nested = (0..limits::CONDITION_DEPTH.max)
        .fold("predicate { header: \"h\" exists: true }".to_owned(), |inner, _| format!("not {{ {inner} }}"));
    let many = |count: u64, text: &str| text.repeat(count as usize + 1);
    let route = |id: &str, more: &str| format!("routes {{ id: \"{id}\" to: \"d\" types {{ any: true }} {more} }}");
    let predicate = "conditions { predicate { header: \"h\" exists: true } }";
    let lookup = |id: &str, source: &str| format!("lookups {{ id: '{id}' key {{ part: RECORD_PART_KEY }} {source} }}");
    let cached =
        |cache: &str| lookup("l", &format!("http {{ url: 'http://h/{{key}}' timeout_ms: 1 }} cache {{ {cache} }}"));
    let cases = [
        (&limits::ID_BYTES, route(&long, "")),
        (&limits::CONDITION_DEPTH, route("x", &format!("when {{ {nested} }}"))),
        (&limits::CONDITION_NODES_PER_ROUTE, route("x", &format!("when {{ all {{ {} }} }}", many(4_096, predicate)))),
        (&limits::DESTINATIONS_PER_ROUTE, route("x", &many(256, "to: \"d\""))),
        (&limits::LABELS_PER_TENANT, format!("tenants {{ id: \"t\" {} }}", labels(65))),
        (
            &limits::VALUES_PER_IN,
            route(
                "x",
                &format!(
                    "when {{ predicate {{ header: \"h\" in {{ {} }} }} }}",
                    many(10_000, "values { text: \"v\" }")
                ),
            ),
        ),
        (
            &limits::LITERAL_BYTES,
            route("x", &format!("when {{ predicate {{ header: \"h\" prefix: \"{}\" }} }}", "y".repeat(4_097))),
        ),
        (
            &limits::TYPES_PER_ROUTE,
            format!("routes {{ id: \"x\" to: \"d\" types {{ {} }} }}", many(10_000, "exact: \"e\"")),
        ),
        (
            &limits::LOOKUPS,
            (0..=limits::LOOKUPS.max).map(|n| lookup(&format!("l{n}"), "table { file: 'f' }")).collect(),
        ),
        (&limits::LOOKUP_SOURCE_BYTES, lookup("l", &format!("table {{ file: '{}' }}", "f".repeat(2_049)))),
        (&limits::LOOKUP_TIMEOUT_MS, lookup("l", "http { url: 'http://h/{key}' timeout_ms: 10001 }")),
        (&limits::LOOKUP_TIMEOUT_MS, lookup("l", "grpc { endpoint: 'http://h' timeout_ms: 10001 }")),
        (
            &limits::LOOKUP_SOURCE_BYTES,
            lookup("l", &format!("grpc {{ endpoint: 'http://{}' timeout_ms: 1 }}", "h".repeat(2_048))),
        ),
        (&limits::LOOKUP_CACHE_ENTRIES, cached("entries: 1000001 ttl_ms: 1")),
        (&limits::LOOKUP_CACHE_MS, cached("entries: 1 ttl_ms: 86400001")),
        (&limits::LOOKUP_CACHE_MS, cached("entries: 1 negative_ttl_ms: 86400001")),
        (&limits::SOURCES, (0..=limits::SOURCES.max).map(|n| format!("sources {{ topic: \"s{n}\" }}")).collect()),
        (&limits::TENANTS, (0..=limits::TENANTS.max).map(|n| format!("tenants {{ id: \"t{n}\" }}")).collect()),
        (
            &limits::DESTINATIONS,
            (0..limits::DESTINATIONS.max)
                .map(|n| format!("destinations {{ id: \"x{n}\" kafka {{ topic: \"x{n}\" }} }}"))
                .collect(),
        ),
    ];
    for (limit, text) in cases {
        let Err(Refused { reasons, .. }) = compile(&with(&text)) else { panic!("{} is not kept", limit.name) };
        let over = |fault: &Fault| matches!(fault, Fault::OverLimit { limit: named, .. } if *named == limit);
        assert!(reasons.iter().any(|reason| over(&reason.fault)), "{}: {:?}", limit.name, &reasons[..1]);
        let text = reasons.iter().map(|reason| reason.to_string()).collect::<String>();
        assert!(text.contains(limit.name) && text.contains(&limit.max.to_string()), "{text}");
    }
}

fn labels(count: usize) -> String {
    (0..count).map(|n| format!("labels {{ key: \"k{n}\" value: \"v\" }}")).collect()
}

#[test]
fn more_types_conditions_or_values_than_a_map_may_have_are_refused_with_the_route_that_uses_most_and_not_stored() {
    // Every route keeps the limits of one route; all of them together are beyond that of the map.
    let types = "exact: \"abcd\" ".repeat(limits::TYPES_PER_ROUTE.max as usize);
    let exists = "conditions { predicate { part: RECORD_PART_KEY exists: true } } ";
    let nodes = exists.repeat(limits::CONDITION_NODES_PER_ROUTE.max as usize - 1);
    // A number in each list makes it another one than that of the route before.
    let values = "values { text: \"v\" } ".repeat(limits::VALUES_PER_IN.max as usize - 1);
    let values = format!("part: RECORD_PART_KEY in {{ values {{ text: \"NNNNNN\" }} {values} }}");
    let cases = [
        (&limits::TYPES, &limits::TYPES_PER_ROUTE, format!("types {{ {types} }}")),
        (
            &limits::CONDITION_NODES,
            &limits::CONDITION_NODES_PER_ROUTE,
            format!("types {{ any: true }} when {{ all {{ {nodes} }} }}"),
        ),
        (&limits::VALUES, &limits::VALUES_PER_IN, format!("types {{ any: true }} when {{ predicate {{ {values} }} }}")),
    ];
    for (limit, of_route, route) in cases {
        let route = with(&format!("routes {{ id: \"NNNNNN\" to: \"d\" {route} }}")).routes.split_off(1);
        let route = RouteMap { routes: route, ..RouteMap::default() }.encode_to_vec();
        let numbers: Vec<usize> = (0..route.len()).filter(|at| route[*at..].starts_with(b"NNNNNN")).collect();
        let map_of = |routes: u64| {
            (0..routes).fold(with("").encode_to_vec(), |mut map, number| {
                let begin = map.len();
                // The items of a list may stand anywhere in a message, so that messages one behind the other are one.
                map.extend_from_slice(&route);
                for at in &numbers {
                    map[begin + at..][..6].copy_from_slice(format!("{number:06}").as_bytes());
                }
                map
            })
        };
        let full = limit.max / of_route.max;
        let table = Compiler::new().compile(&map_of(full)).unwrap();
        assert_eq!(table.usage().of(limit), Some(full * of_route.max), "{}", limit.name);
        let refused = Compiler::new().compile(&map_of(full + 1)).unwrap_err();
        assert_eq!(refused.reasons.len() + refused.omitted, 1, "{}: {refused}", limit.name);
        let observed = (full + 1) * of_route.max;
        let (route, uses) = ("000000".to_owned(), of_route.max);
        assert_eq!(refused.reasons[0].fault, Fault::OverBudget { limit, observed, route, uses });
    }
}

#[test]
fn routes_that_stand_beside_different_others_under_too_many_types_are_refused_and_the_largest_is_named() {
    let types: Vec<String> = (0..10_000).map(|number| format!("type-{number}")).collect();
    let exact = |exact: &[String]| Some(EventTypes { exact: exact.to_vec(), ..EventTypes::default() });
    let wide = |id: &str, tests: usize| {
        let part = |number: usize| format!("payload.a{number} == {number}");
        let cel = (0..tests).map(part).collect::<Vec<_>>().join(" && ");
        let when = Some(Condition { kind: Some(condition::Kind::Cel(cel)) });
        let to = vec![if tests > 100 { "d" } else { "e" }.to_owned()];
        Route { id: id.to_owned(), types: exact(&types), to, when, ..Route::default() }
    };
    let mut map = with(r#"destinations { id: "e" kafka { topic: "u" } }"#);
    // Of some that are alike one is compiled.
    map.routes = ["wide", "wide-too"].map(|id| wide(id, 99)).to_vec();
    map.routes.push(wide("widest", 900));
    let limit = &limits::COMPILED_NODES;
    let table = compile(&map).unwrap();
    let once = table.usage().of(limit).unwrap();
    assert!(once < 2_000, "all types have the same routes: {once}");
    assert!(table.memory_bytes() < 16 << 20, "{}", table.memory_bytes());
    let own = types.iter().map(|name| {
        let types = exact(std::slice::from_ref(name));
        Route { id: format!("own-{name}"), types, to: vec!["d".to_owned()], ..Route::default() }
    });
    map.routes.extend(own);
    let refused = compile(&map).unwrap_err();
    let [reason] = refused.reasons.as_slice() else { panic!("{refused}") };
    let Fault::OverBudget { limit: found, observed, route, uses } = &reason.fault else { panic!("{reason}") };
    assert_eq!((*found, *observed), (limit, 10_000 * (once + 1)));
    assert_eq!((route.as_str(), *uses > 10_000 * 900), ("widest", true));
}

#[test]
fn who_slips_by_a_letter_is_told_what_was_meant() {
    let declared = r#"destinations { id: "mail" kafka { topic: "t-{region}"
            placeholders { name: "region" header: "r" values { values: "eu" } } otherwise: "d" } }
        lookups { id: "player" key { part: RECORD_PART_KEY } table { file: "f" } }"#;
    for (slip, meant) in [
        (r#"routes { id: "x" types { any: true } to: "mial" }"#, "`mail`"),
        (r#"unmatched { destination: "mails" }"#, "`mail`"),
        (r#"destinations { id: "e" kafka { topic: "u-{tenent}" } } tenants { id: "t" }"#, "`tenant`"),
        (r#"routes { id: "x" types { any: true } to: "d" when { cel: "lookup.playr.level > 1" } }"#, "`player`"),
    ] {
        let told = reasons(&with(&format!("{declared} {slip}")));
        assert!(told.len() == 1 && told[0].ends_with(&format!(", or did you mean {meant}?")), "{told:?}");
    }
    let far = reasons(&with(r#"routes { id: "x" types { any: true } to: "nothing-like-it" }"#));
    assert!(far[0].ends_with("declare it under `destinations`"), "{far:?}");
}

#[test]
fn many_routes_in_few_bytes_are_refused_before_anything_is_stored_of_them() {
    // Two bytes each: an empty message in field 4.
    let bytes = [0x22, 0x00].repeat(limits::ROUTES.max as usize + 1);
    let refused = Compiler::new().compile(&bytes).unwrap_err();
    let routes = refused.reasons.iter().filter(|reason| reason.path.starts_with("routes"));
    assert_eq!(routes.count(), 0, "no route was looked at");
    assert!(refused.to_string().contains("`routes`"), "{refused}");
}

#[test]
fn a_million_mistakes_give_a_readable_answer() {
    let bytes = [0x22, 0x00].repeat(1_000_000);
    let refused = Compiler::new().compile(&bytes).unwrap_err();
    assert_eq!(refused.reasons.len(), Refused::REASONS_MAX);
    assert!(refused.omitted > 2_000_000, "{}", refused.omitted);
}

#[test]
fn bytes_that_are_no_map_are_refused_with_the_place() {
    let good = with("").encode_to_vec();
    let mut compiler = Compiler::new();
    let mut fault = |bytes: &[u8]| compiler.compile(bytes).unwrap_err().reasons[0].clone();
    assert_eq!(fault(b"").fault, Fault::EmptyMap);
    assert_eq!(fault(&good[..good.len() - 1]).fault, Fault::Wire(WireFault::Truncated { at: good.len() - 1 }));
    assert!(matches!(fault(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").fault, Fault::Wire(_)));
    assert!(matches!(fault(b"not protobuf").fault, Fault::Wire(_)));
    let unknown = [good.as_slice(), &[0xf8, 0x01, 0x01]].concat();
    assert_eq!(fault(&unknown).fault, Fault::UnknownField { message: "RouteMap", number: 31 });
    let twice = [good.as_slice(), &[0x0a, 0x01, b'n']].concat();
    assert_eq!((fault(&twice).fault, fault(&twice).path.as_str()), (Fault::GivenTwice, "name"));
    let not_text = [&[0x0a, 0x01, 0xff][..], &good[3..]].concat();
    assert_eq!(fault(&not_text).fault, Fault::Wire(WireFault::NotUtf8 { number: 1 }));
}

#[test]
fn a_cut_at_any_byte_is_refused_or_is_a_smaller_map_that_is_whole() {
    let map = with(r#"tenants { id: "x" } unmatched { destination: "d" }"#);
    let bytes = map.encode_to_vec();
    let mut compiler = Compiler::new();
    for cut in 0..bytes.len() {
        // Only a cut between two fields of the map itself leaves a map; the digest beside an update tells it from the whole.
        if compiler.compile(&bytes[..cut]).is_ok() {
            let rest = RouteMap::decode(&bytes[..cut]).unwrap();
            assert!(rest.routes == map.routes && rest.destinations == map.destinations, "cut at {cut}");
        }
    }
}

struct Clue;

impl Event for Clue {
    fn topic(&self) -> &str {
        "game-events"
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        if name == "ce_type" { Value::Bytes(b"hunt.clue.found") } else { Value::Missing }
    }
}

#[test]
fn a_refused_map_leaves_the_table_in_force_as_it_was() {
    let mut compiler = Compiler::new();
    let table = compiler.compile(&with("").encode_to_vec()).unwrap();
    let mut out = Deliveries::new();
    table.route(&Clue, &mut out);
    let before = out.list().to_vec();
    for bytes in [b"".as_slice(), b"not protobuf", &[0x22, 0x00]] {
        assert!(compiler.compile(bytes).is_err());
        table.route(&Clue, &mut out);
        assert_eq!(out.list(), before);
    }
}
