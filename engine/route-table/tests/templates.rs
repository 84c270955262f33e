//! Destinations whose topic the event names: what becomes of each value, and what is said of it.

#[path = "payload/messages.rs"]
#[allow(dead_code, reason = "made for other tests")]
mod messages;
mod support;
#[path = "support/text_format.rs"]
mod text_format;
#[path = "support/with_payload.rs"]
mod with_payload;

use support::OwnedEvent;
use text_format::route_map;
use veltrix_proto::v1::{Payload, ProtobufMessage, RouteMap, Source, payload};
use veltrix_route_table::{
    Change, Deliveries, Event, RouteTable, Unmatched, Verdict, analyze, compile, diff, diff_event,
};
use with_payload::WithPayload;

fn map(text: &str) -> RouteMap {
    route_map(&format!("name: 'm' {text}"))
}

/// A map in which all events go to the destination `to`, which is a topic as `kafka` says.
fn to(kafka: &str) -> RouteMap {
    map(&format!(
        "destinations {{ id: 'to' kafka {{ {kafka} }} }} destinations {{ id: 'rest' kafka {{ topic: 'rest' }} }}
         tenants {{ id: 'red' }} tenants {{ id: 'blue' }}
         routes {{ id: 'all' types {{ any: true }} to: 'to' }}"
    ))
}

fn event(headers: &[(&str, &str)], payload: &str) -> OwnedEvent {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), Some(value.as_bytes().to_vec()));
    OwnedEvent {
        topic: "source".to_owned(),
        key: Some(b"key".to_vec()),
        headers: [("ce_type", "t")].iter().chain(headers).map(header).collect(),
        payload: Some(payload.to_owned()),
        timestamp: None,
    }
}

/// The topics that an event goes to, and why it goes to no others.
fn sent<E: Event>(table: &RouteTable, event: &E) -> Vec<String> {
    let mut out = Deliveries::new();
    table.route(event, &mut out);
    let topics = out.list().iter().map(|delivery| table.destination(delivery.destination).unwrap().topic.to_owned());
    topics.chain(out.unplaced().iter().map(|one| table.tell_unplaced(event, one).unwrap().to_string())).collect()
}

#[test]
fn a_tenant_needs_no_declaration() {
    let table = compile(&to("topic: 'hunt-{tenant}'")).unwrap();
    let topics: Vec<&str> = table.destinations().map(|destination| destination.topic).collect();
    assert_eq!(topics, ["rest", "hunt-red", "hunt-blue"]);
    let places: Vec<(&str, usize)> = table.destinations().map(|to| (to.id, to.place)).collect();
    assert_eq!(places, [("rest", 1), ("to", 0), ("to", 0)]);
    let of = |tenant| sent(&table, &event(&[("ce_tenant", tenant)], ""));
    assert_eq!((of("blue"), of("red")), (vec!["hunt-blue".to_owned()], vec!["hunt-red".to_owned()]));
    assert_eq!(of("Red"), ["to has no topic hunt-{tenant} for it: tenant is 'Red', which {tenant} can't be"]);
    assert_eq!(sent(&table, &event(&[], "")), ["to has no topic hunt-{tenant} for it: tenant is missing"]);
}

#[test]
fn values_of_the_payload_are_texts_and_whole_numbers() {
    let region =
        "placeholders { name: 'r' field { names: 'region' } values { values: ['7', 'eu', '-1', 'true', 'null'] } }";
    let table = compile(&to(&format!("topic: 'r-{{r}}' {region}"))).unwrap();
    let lacks = |why: &str| format!("to has no topic r-{{r}} for it: payload.region is {why}");
    for (region, expected) in [
        (r#""eu""#, "r-eu".to_owned()),
        (r#""\u0065u""#, "r-eu".to_owned()),
        ("7", "r-7".to_owned()),
        (r#""7""#, "r-7".to_owned()),
        ("7.0", "r-7".to_owned()),
        ("0.7e1", "r-7".to_owned()),
        ("-1", "r--1".to_owned()),
        ("7.5", lacks("7.5, which {r} can't be")),
        ("true", lacks("true, which {r} can't be")),
        ("null", lacks("null, which {r} can't be")),
        ("[7]", lacks("[…], which {r} can't be")),
        (r#"{"eu": 1}"#, lacks("{…}, which {r} can't be")),
        (r#""EU""#, lacks("'EU', which {r} can't be")),
    ] {
        let event = event(&[], &format!(r#"{{"before": 1, "region": {region}, "behind": 2}}"#));
        assert_eq!(sent(&table, &event), [expected], "{region}");
    }
    assert_eq!(sent(&table, &event(&[], "{}")), [lacks("missing")]);
    assert_eq!(sent(&table, &event(&[], "no JSON")), [lacks("missing")]);
    // A value as long as can be is told in part.
    let long = event(&[], &format!(r#"{{"region": "{}"}}"#, "x".repeat(1_000_000)));
    assert!(sent(&table, &long)[0].len() < 200);
}

#[test]
fn the_first_placeholder_that_stands_in_the_way_is_named_and_all_combinations_have_a_topic() {
    let kafka = "topic: '{a}.{b}.{a}'
        placeholders { name: 'b' header: 'b' values { values: ['1', '2', '3'] } }
        placeholders { name: 'a' part: RECORD_PART_TENANT tenants {} }";
    let table = compile(&to(kafka)).unwrap();
    let of = |tenant: &str, b: &str| sent(&table, &event(&[("ce_tenant", tenant), ("b", b)], ""));
    for tenant in ["red", "blue"] {
        for b in ["1", "2", "3"] {
            assert_eq!(of(tenant, b), [format!("{tenant}.{b}.{tenant}")]);
        }
    }
    assert_eq!(of("green", "4"), ["to has no topic {a}.{b}.{a} for it: headers.b is '4', which {b} can't be"]);
    assert_eq!(of("green", "3"), ["to has no topic {a}.{b}.{a} for it: tenant is 'green', which {a} can't be"]);
}

#[test]
fn what_has_no_topic_goes_elsewhere_if_the_map_says_so_and_only_once() {
    let mut map = to("topic: 'hunt-{tenant}' otherwise: 'rest'");
    map.routes[0].to.push("rest".to_owned());
    map.routes[0].to.reverse();
    let mut before = map.routes[0].clone();
    (before.id, before.to) = ("before".to_owned(), vec!["to".to_owned()]);
    map.routes.insert(0, before);
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    table.route(&event(&[("ce_tenant", "green")], ""), &mut out);
    // The first route that sends it there.
    let routes: Vec<_> = out.list().iter().map(|delivery| table.route_id(delivery.route.unwrap())).collect();
    assert_eq!(routes, ["before"]);
    assert!(!out.asks_for_dead_letter() && out.unplaced()[0].instead == Some(out.list()[0].destination));
    table.route(&event(&[("ce_tenant", "red")], ""), &mut out);
    assert_eq!((out.list().len(), out.unplaced().len()), (2, 0));
}

#[test]
fn events_that_no_route_wants_can_go_to_a_topic_that_they_name() {
    let mut map = to("topic: 'hunt-{tenant}'");
    map.routes[0].disabled = true;
    map.unmatched = self::map("unmatched { destination: 'to' }").unmatched;
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    for (tenant, topics, is_dead) in [("red", &["hunt-red"][..], false), ("green", &[], true)] {
        table.route(&event(&[("ce_tenant", tenant)], ""), &mut out);
        assert!(matches!(out.verdict(), Verdict::Unmatched(Unmatched::Destination(_))), "{:?}", out.verdict());
        let found = out.list().iter().map(|delivery| table.destination(delivery.destination).unwrap().topic);
        assert_eq!((found.collect::<Vec<_>>(), out.asks_for_dead_letter()), (topics.to_vec(), is_dead));
    }
    let said = table.explain(&event(&[("ce_tenant", "green")], "")).to_string();
    let why =
        "goes to the dead letters: to has no topic hunt-{tenant} for it: tenant is 'green', which {tenant} can't be";
    assert!(said.contains(why), "{said}");
}

#[test]
fn explain_says_which_topic_or_why_none() {
    let table = compile(&to("topic: 'hunt-{tenant}' otherwise: 'rest'")).unwrap();
    let said = |tenant| table.explain(&event(&[("ce_tenant", tenant)], "")).to_string();
    assert_eq!(
        said("red"),
        "type t (header `ce_type`), tenant red\ngoes to to (topic hunt-red), by route all\n+ all: wants it"
    );
    let green = "goes to rest (topic rest), by route all
goes to rest instead: to has no topic hunt-{tenant} for it: tenant is 'green', which {tenant} can't be";
    assert!(said("green").contains(green), "{}", said("green"));
}

#[test]
fn values_are_those_of_messages_and_envelopes_too() {
    let of_messages = |names: &str| {
        let values = "values { values: ['a', 'RED', '7'] }";
        let mut map =
            to(&format!("topic: 'x-{{x}}' placeholders {{ name: 'x' field {{ names: '{names}' }} {values} }}"));
        let protobuf = ProtobufMessage { message: "test.All".to_owned(), ..ProtobufMessage::default() };
        map.sources.push(Source {
            topic: "messages".to_owned(),
            payload: Some(Payload { kind: Some(payload::Kind::Protobuf(protobuf)) }),
            ..Source::default()
        });
        map.descriptors = messages::descriptors().into();
        map
    };
    for (names, message, expected) in [("text", &b"\x72\x01a"[..], "x-a"), ("color", b"\x80\x01\x01", "x-RED")] {
        let table = compile(&of_messages(names)).unwrap();
        assert_eq!(sent(&table, &WithPayload { topic: "messages", payload: message }), [expected]);
    }
    let refused = compile(&of_messages("txet")).unwrap_err().to_string();
    assert!(refused.contains("destinations[0].kafka.placeholders[0].field: `txet` is in no message"), "{refused}");

    let placeholders = "placeholders { name: 'a' header: 'ce_stage' values { values: 'live' } }
        placeholders { name: 'b' field { names: 'b' } values { values: '7' } }";
    let mut map = to(&format!("topic: 'x-{{a}}-{{b}}-{{tenant}}' {placeholders}"));
    map.sources =
        self::map("sources { topic: 'source' payload { cloud_events { mode: CLOUD_EVENTS_MODE_STRUCTURED } } }")
            .sources;
    let table = compile(&map).unwrap();
    let envelope = r#"{"type": "t", "tenant": "r\u0065d", "stage": "live", "data": {"b": 7}}"#;
    assert_eq!(sent(&table, &event(&[("ce_tenant", "blue")], envelope)), ["x-live-7-red"]);
}

#[test]
fn a_tenant_that_is_like_another_goes_its_own_way() {
    let mut map = to("topic: 'hunt-{tenant}'");
    map.routes[0].types = self::map("routes { types { exact: 'other' } }").routes[0].types.clone();
    for tenant in &mut map.tenants {
        let mut own = map.routes[0].clone();
        (own.id, own.types) =
            (format!("own-{}", tenant.id), self::map("routes { types { any: true } }").routes[0].types.clone());
        tenant.routes = vec![own];
    }
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    for tenant in ["red", "blue"] {
        table.route(&event(&[("ce_tenant", tenant)], ""), &mut out);
        let delivery = out.list()[0];
        assert_eq!(table.destination(delivery.destination).unwrap().topic, format!("hunt-{tenant}"));
        assert_eq!(table.route_id(delivery.route.unwrap()), format!("own-{tenant}"));
    }
    // And what has no topic is by the route of its own tenant.
    map.destinations[0] = self::map("destinations { id: 'to' kafka { topic: 'x-{h}' placeholders { name: 'h' header: 'h' values { values: 'a' } } } }").destinations[0].clone();
    let table = compile(&map).unwrap();
    table.route(&event(&[("ce_tenant", "blue")], ""), &mut out);
    assert_eq!(table.route_id(out.unplaced()[0].route.unwrap()), "own-blue");
}

#[test]
fn diff_says_what_placeholders_were_and_where_events_go_now() {
    let by_header = "placeholders { name: 'r' header: 'r' values { values: ['eu', 'us'] } }";
    let by_field = "placeholders { name: 'r' field { names: 'r' } values { values: ['us', 'ap'] } }";
    let (old, new) =
        (to(&format!("topic: 'x-{{r}}' {by_header}")), to(&format!("topic: 'x-{{r}}' {by_field} otherwise: 'rest'")));
    let said =
        |old: &RouteMap, new: &RouteMap| diff(old, new).iter().map(Change::to_string).collect::<Vec<_>>().join("\n");
    assert_eq!(
        said(&old, &new),
        "~ destination to
    - placeholders: {r} can be 'eu', {r} is headers.r
    + placeholders: {r} can be 'ap', {r} is payload.r
    + otherwise: rest"
    );
    let declared = "placeholders { name: 'tenant' part: RECORD_PART_TENANT tenants {} }";
    let (short, long) = (to("topic: 'x-{tenant}'"), to(&format!("topic: 'x-{{tenant}}' {declared}")));
    assert_eq!(said(&short, &long), "");
    let (old, new) = (compile(&old).unwrap(), compile(&new).unwrap());
    let changed = |header, payload| diff_event(&old, &new, &event(&[("r", header)], payload)).to_string();
    assert_eq!(changed("us", r#"{"r": "us"}"#), "");
    assert_eq!(changed("eu", r#"{"r": "us"}"#), "~ to, in topic x-us, before x-eu");
    assert_eq!(changed("eu", "{}"), "+ rest, by route all\n- to, by route all");
    assert_eq!(changed("ap", r#"{"r": "us"}"#), "+ to, by route all\n- the dead letters");
}

#[test]
fn analyze_sees_each_topic_and_what_stands_in() {
    let mut map = to("topic: 'hunt-{tenant}' otherwise: 'rest'");
    let found = |map: &RouteMap| -> Vec<String> {
        let findings = analyze(map).unwrap().findings;
        findings.iter().map(|finding| format!("{} {}", finding.path, finding.kind)).collect()
    };
    assert_eq!(found(&map), [""; 0]);
    map.sources = self::map("sources { topic: 'hunt-blue' } sources { topic: 'rest' }").sources;
    let loops = found(&map);
    assert_eq!(loops.len(), 2);
    assert!(loops[0].starts_with("destinations[0] writes to topic `hunt-blue`, which is a source"), "{loops:?}");
    assert!(loops[1].starts_with("destinations[1] writes to topic `rest`, which is a source"), "{loops:?}");
    map.routes[0].to = vec!["rest".to_owned()];
    assert!(found(&map)[0].starts_with("destinations[0] is named by no route"), "{:?}", found(&map));
}
