//! The same event in JSON, in protobuf and in an envelope meets the same routes, and what can't be read is said to be so.
//!
//! The reference is prost-reflect: it decodes the bytes, and what it says of them is written down as JSON for a source of JSON.

#[path = "payload/messages.rs"]
mod messages;

use messages::{descriptors, json_of, map_of, pool, wire};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use veltrix_proto::v1::{
    CloudEvents, CloudEventsMode, Condition, Field, Framing, Json, Lookup, LookupKey, Origin, Payload, ProtobufMessage,
    ReferenceTable, RouteMap, Source, Tenant, Validation, condition, lookup, lookup_key, origin, payload,
    reference_table,
};
use veltrix_route_table::{
    Answers, Because, Cause, Compiler, Deliveries, Event, Explanation, NoFields, Outcome, Reason, RouteTable,
    Unreadable, Value, Verdict, compile, limits,
};

struct Record<'a> {
    topic: &'a str,
    headers: &'a [(&'a str, &'a str)],
    payload: Option<&'a [u8]>,
}

impl Event for Record<'_> {
    fn topic(&self) -> &str {
        self.topic
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        let header = self.headers.iter().find(|(header, _)| *header == name);
        header.map_or(Value::Missing, |(_, value)| Value::Bytes(value.as_bytes()))
    }

    fn payload(&self) -> Option<&[u8]> {
        self.payload
    }
}

const TYPED: &[(&str, &str)] = &[("ce_type", "t")];

fn of_payload<'a>(topic: &'a str, payload: &'a [u8]) -> Record<'a> {
    Record { topic, headers: TYPED, payload: Some(payload) }
}

/// The ids of the routes that an event meets, and of the one that can't be decided.
fn met(table: &RouteTable, record: &Record<'_>, out: &mut Deliveries) -> Result<Vec<String>, Unreadable> {
    table.route(record, out);
    if let Verdict::Unreadable(why) = out.verdict() {
        return Err(why);
    }
    let routes = out.list().iter().map(|delivery| table.destination(delivery.destination).unwrap().id.to_owned());
    let mut routes: Vec<String> = routes.collect();
    routes.sort_unstable();
    routes.extend(out.undecided().map(|route| format!("undecided: {}", table.route_id(route))));
    Ok(routes)
}

/// For each route what became of it, by which tests and what kinds of values.
fn told(explanation: &Explanation) -> Vec<String> {
    // A default that several elements of an array have is there once.
    let unique = |mut told: Vec<String>| {
        told.sort_unstable();
        told.dedup();
        told
    };
    let tests = |cause: &Cause| {
        let told = cause.tests().into_iter().map(|test| {
            let Because::Value { place, actual } = &test.because else { return test.words.clone() };
            let kinds = actual.values.iter().map(|value| format!("{:?} {}", value.kind, value.is_of_other_type));
            format!("{} {:?} {place} {:?}", test.words, test.truth, unique(kinds.collect()))
        });
        unique(told.collect())
    };
    let told = explanation.routes.iter().map(|route| match &route.outcome {
        Outcome::NoMatch(cause) | Outcome::Absent { cause, .. } => format!("{} {:?}", route.id, tests(cause)),
        outcome => format!("{} {outcome:?}", route.id),
    });
    told.collect()
}

fn protobuf(message: &str, framing: Framing, validation: Validation) -> Payload {
    let (framing, validation) = (framing.into(), validation.into());
    Payload {
        kind: Some(payload::Kind::Protobuf(ProtobufMessage { message: message.to_owned(), framing, validation })),
    }
}

fn full_json() -> Payload {
    Payload { kind: Some(payload::Kind::Json(Json { validation: Validation::Full.into() })) }
}

fn source(topic: &str, payload: Payload) -> Source {
    Source { topic: topic.to_owned(), payload: Some(payload), ..Source::default() }
}

/// A map about topics of the same events in several forms.
fn map(conditions: Vec<Condition>) -> RouteMap {
    let message = |topic, framing, validation| source(topic, protobuf("test.All", framing, validation));
    RouteMap {
        descriptors: descriptors().into(),
        sources: vec![
            message("plain", Framing::Plain, Validation::AsRead),
            message("full", Framing::Plain, Validation::Full),
            message("delimited", Framing::LengthDelimited, Validation::AsRead),
            message("registry", Framing::SchemaRegistry, Validation::AsRead),
            source("json", full_json()),
        ],
        ..map_of(conditions)
    }
}

fn all() -> MessageDescriptor {
    pool().get_message_by_name("test.All").unwrap()
}

fn framed(bytes: &[u8]) -> [Vec<u8>; 2] {
    let mut delimited = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut delimited);
    delimited.extend_from_slice(bytes);
    [delimited, [&[0, 0, 0, 0, 9, 4, 2, 0][..], bytes].concat()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_500) })]

    #[test]
    fn a_message_meets_the_routes_that_its_json_form_meets(
        conditions in prop::collection::vec(messages::condition(), 1..12),
        payloads in prop::collection::vec(wire(), 1..12),
    ) {
        let table = Compiler::new().compile(&map(conditions).encode_to_vec()).unwrap();
        let mut out = Deliveries::new();
        for bytes in &payloads {
            let message = DynamicMessage::decode(all(), bytes.as_slice()).unwrap();
            let json = json_of(&message);
            let expected = met(&table, &of_payload("json", json.as_bytes()), &mut out);
            let [delimited, registry] = framed(bytes);
            for (topic, payload) in
                [("plain", bytes), ("full", bytes), ("delimited", &delimited), ("registry", &registry)]
            {
                prop_assert_eq!(&met(&table, &of_payload(topic, payload), &mut out), &expected, "{} {}", topic, &json);
            }
            let in_json = told(&table.explain(&of_payload("json", json.as_bytes())));
            prop_assert_eq!(told(&table.explain(&of_payload("plain", bytes))), in_json, "{}", &json);
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic_and_what_is_still_valid_means_what_prost_reads(
        conditions in prop::collection::vec(messages::condition(), 1..6),
        bytes in wire(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let table = Compiler::new().compile(&map(conditions).encode_to_vec()).unwrap();
        let mut bytes = bytes;
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() * 4 + 1));
        let mut out = Deliveries::new();
        for topic in ["plain", "delimited", "registry", "json"] {
            let _ = met(&table, &of_payload(topic, &bytes), &mut out);
        }
        // Prost refuses fields whose wire type is not that of the descriptor, and takes ends of groups that were not begun.
        if let (Ok(full), Ok(message)) =
            (met(&table, &of_payload("full", &bytes), &mut out), DynamicMessage::decode(all(), bytes.as_slice()))
        {
            let json = json_of(&message);
            let plain = met(&table, &of_payload("plain", &bytes), &mut out);
            prop_assert_eq!(plain, Ok(full.clone()), "{:?}", &bytes);
            prop_assert_eq!(met(&table, &of_payload("json", json.as_bytes()), &mut out), Ok(full), "{} {:?}", json, &bytes);
        }
    }
}

fn cel(text: &str) -> Condition {
    Condition { kind: Some(condition::Kind::Cel(text.to_owned())) }
}

fn reasons(map: &RouteMap) -> Vec<String> {
    match compile(map) {
        Ok(_) => Vec::new(),
        Err(refused) => {
            refused.reasons.into_iter().map(|reason| Reason { route: None, ..reason }.to_string()).collect()
        }
    }
}

#[test]
fn a_name_that_no_message_has_is_refused_with_one_that_is_near() {
    let only_messages = |text| {
        let mut map = map(vec![cel(text)]);
        map.sources.retain(|source| source.topic != "json");
        map.sources.push(source("other", protobuf("test.Other", Framing::Plain, Validation::AsRead)));
        map
    };
    let cases = [
        ("payload.int32 == 1", None),
        ("payload.snakeCase == 'a' && payload.snake_case == 'a'", None),
        ("payload.child.child.text == 'a'", None),
        ("payload.children.exists(x, x.text == 'a' && payload.texts.exists(y, y == 'b' && x.int32 > 1))", None),
        ("payload.by_name.a.text == 'a'", None),
        (
            "payload.int23 == 1",
            Some(
                "routes[0].when: `int23` is in no message that this can be about: `test.All` has no field `int23`; did you mean `int32`?",
            ),
        ),
        (
            "payload.child.txt == 'a'",
            Some(
                "routes[0].when: `child.txt` is in no message that this can be about: `test.All` has no field `txt`; did you mean `text`?",
            ),
        ),
        (
            "payload.children.exists(x, x.txt == 'a')",
            Some(
                "routes[0].when: `txt` is in no message that this can be about: `test.All` has no field `txt`; did you mean `text`?",
            ),
        ),
        (
            "payload.text.x == 'a'",
            Some("routes[0].when: `text.x` is in no message that this can be about: `x` leads nowhere"),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(reasons(&only_messages(text)), expected.into_iter().collect::<Vec<_>>(), "{text}");
    }
    // It may be about the source of JSON.
    assert_eq!(reasons(&map(vec![cel("payload.int23 == 1")])), Vec::<String>::new());
}

#[test]
fn cel_is_checked_against_the_message_if_all_payloads_are_of_one_type() {
    let only_one = |text| {
        let mut map = map(vec![cel(text)]);
        map.sources.retain(|source| source.topic != "json");
        reasons(&map)
    };
    // Bare names are those of the message then.
    for text in
        ["text == 'a' && child.int64 > 1", "payload.color == 'RED' && by_name['a'].bool", "snakeCase == wrapped"]
    {
        let is_good = !text.contains("wrapped");
        assert_eq!(only_one(text).is_empty(), is_good, "{text}: {:?}", only_one(text));
    }
    let cases = [
        ("payload.int23 == 1", "int32"),
        ("int32 == 'a'", "1:1"),
        ("color == 'GREEN'", "GREEN"),
        ("children.exists(x, x.txt == 'a')", "text"),
    ];
    for (text, expected) in cases {
        let refused = only_one(text);
        assert!(
            refused.len() == 1 && refused[0].starts_with("routes[0].when.cel: ") && refused[0].contains(expected),
            "{refused:?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_source_is_refused_by_name() {
    let with = |change: &dyn Fn(&mut RouteMap)| {
        let mut map = map(vec![cel("payload.text == 'a'")]);
        change(&mut map);
        reasons(&map)
    };
    let field = |names: &[&str], through_arrays| Origin {
        kind: Some(origin::Kind::Field(Field {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            through_arrays,
            dotted: false,
        })),
    };
    type Change<'a> = &'a dyn Fn(&mut RouteMap);
    let cases: [(Change<'_>, &str); 6] = [
        (
            &|map| map.sources[0].payload = Some(protobuf("test.Al", Framing::Plain, Validation::Full)),
            "sources[0].payload.protobuf.message: `test.Al` is no message of the map's `descriptors`; did you mean `test.All`?",
        ),
        (
            &|map| map.sources[0].payload = Some(protobuf("", Framing::Plain, Validation::Full)),
            "sources[0].payload.protobuf.message: must be set",
        ),
        (&|map| map.sources[4].payload = Some(Payload { kind: None }), "sources[4].payload: must be set"),
        (
            &|map| map.sources[0].tenant = Some(field(&["txt"], false)),
            "sources[0].tenant.field: `txt` is in no message that this can be about: `test.All` has no field `txt`; did you mean `text`?",
        ),
        (
            &|map| map.sources[4].tenant = Some(field(&["a"], true)),
            "sources[4].tenant.field: an event has one type and one tenant; remove through_arrays",
        ),
        (
            &|map| {
                map.sources[4].payload = Some(Payload { kind: Some(payload::Kind::None(Default::default())) });
                map.sources[4].event_type = Some(field(&["a"], false));
            },
            "sources[4].event_type.field: there is nothing in the payloads of this source, which says `none`",
        ),
    ];
    for (change, expected) in cases {
        assert_eq!(with(change), [expected]);
    }
    let broken = with(&|map| map.descriptors = vec![0xff].into());
    assert!(broken[0].starts_with("descriptors: can't be the types of messages: "), "{broken:?}");
}

#[test]
fn what_can_not_be_read_is_missing_or_unreadable_as_the_source_says() {
    let mut map = map(["payload.int32 == 0", "payload.text == 'a'", "!has(payload.text)"].map(cel).to_vec());
    map.routes.iter_mut().for_each(|route| route.on_absent = 0);
    let max = limits::PAYLOAD_DEPTH.max as usize;
    let deep = |levels| format!("{{\"text\":\"a\",\"other\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let (deepest, too_deep) = (deep(max - 1), deep(max));
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    let mut met = |topic, payload| met(&table, &Record { topic, headers: TYPED, payload }, &mut out);
    let ids = |ids: &[&str]| Ok(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    // No payload is no message: nothing has a default.
    assert_eq!(met("plain", None), ids(&["d2"]));
    assert_eq!(met("full", None), ids(&["d2"]));
    assert_eq!(met("json", None), ids(&["d2"]));
    // An empty one is a message without a field on the wire.
    assert_eq!(met("plain", Some(b"")), ids(&["d0"]));
    assert_eq!(met("json", Some(b"")), Err(Unreadable::InvalidJson { at: 0 }));
    // The text counts, and what may have come behind the fault is missing.
    let broken = b"\x72\x01a\x08";
    assert_eq!(met("plain", Some(broken)), ids(&["d1"]));
    assert_eq!(met("full", Some(broken)), Err(Unreadable::InvalidProtobuf { at: 3 }));
    assert_eq!(met("plain", Some(b"{\"text\":\"a\"}")), ids(&["d2"]));
    assert_eq!(met("full", Some(b"\x72\x01\xff")), Err(Unreadable::InvalidProtobuf { at: 0 }));
    assert_eq!(met("delimited", Some(b"\x04\x72\x01a")), Err(Unreadable::InvalidFraming));
    assert_eq!(met("registry", Some(b"\x72\x01a")), Err(Unreadable::InvalidFraming));
    assert_eq!(met("json", Some(b"{\"text\":\"a\",}")), Err(Unreadable::InvalidJson { at: 12 }));
    assert_eq!(met("json", Some(deepest.as_bytes())), ids(&["d1"]));
    let at = deep(0).len() - 1 + max - 1;
    assert_eq!(met("json", Some(too_deep.as_bytes())), Err(Unreadable::JsonTooDeep { at }));
    let told = Unreadable::JsonTooDeep { at }.to_string();
    assert!(told.contains(&format!("byte {at} ")) && told.contains("`payload_depth`"), "{told}");
}

#[test]
fn an_explanation_tells_what_a_message_has_or_why_it_has_nothing() {
    let conditions = ["payload.int64 > 5", "payload.child.text == 'a'", "payload.texts.exists(x, x == 'b')"].map(cel);
    let mut map = map(conditions.to_vec());
    map.sources.push(source(
        "envelope",
        Payload { kind: Some(payload::Kind::CloudEvents(CloudEvents { mode: 1, validation: 0 })) },
    ));
    map.sources.push(source("nothing", Payload { kind: Some(payload::Kind::None(Default::default())) }));
    map.routes.iter_mut().for_each(|route| route.on_absent = 0);
    let table = compile(&map).unwrap();
    fn explain(table: &RouteTable, topic: &str, payload: Option<&[u8]>) -> Explanation {
        table.explain(&Record { topic, headers: TYPED, payload })
    }
    let json = r#"{"int64": "3", "child": {"text": "b\n"}, "texts": ["c", "d"]}"#;
    let message = DynamicMessage::deserialize(all(), &mut serde_json::Deserializer::from_str(json)).unwrap();
    let said = explain(&table, "plain", Some(&message.encode_to_vec())).to_string();
    let expected = [
        "type t (header `ce_type`), no tenant",
        "no route wants it: it is dropped",
        "- r0: payload.int64 > 5: payload.int64 is 3",
        "- r1: payload.child.text == 'a': payload.child.text is 'b\\n'",
        "- r2: 'b' in payload.texts: each element",
        "    payload.texts[0]: x == 'b': x is 'c'",
        "    payload.texts[1]: x == 'b': x is 'd'",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    let why = |topic: &str, payload: Option<&[u8]>| explain(&table, topic, payload).payload;
    assert_eq!(why("plain", None), Some(NoFields::Empty));
    assert_eq!(why("plain", Some(b"")), None);
    assert_eq!(why("plain", Some(b"\x72\x01a\x08")), Some(NoFields::NoMessage { at: 3 }));
    assert_eq!(why("nothing", Some(b"{}")), Some(NoFields::NotRead));
    assert_eq!(why("json", Some(b"[]")), Some(NoFields::NotAnObject));
    assert_eq!(why("json", Some(b"{}")), None);
    let envelope = |data: &str| format!(r#"{{"type": "t", "data": {data}}}"#);
    assert_eq!(why("envelope", Some(envelope("7").as_bytes())), Some(NoFields::NoData));
    assert_eq!(why("envelope", Some(envelope("{}").as_bytes())), None);
    let unreadable = explain(&table, "delimited", Some(b"\x04\x72\x01a"));
    assert_eq!(unreadable.event_type, Err(Unreadable::InvalidFraming));
    assert_eq!(
        unreadable.to_string(),
        "the payload has not the framing that its source says: it goes to the dead letters"
    );
}

fn origin_field(names: &[&str]) -> Option<Origin> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Some(Origin { kind: Some(origin::Kind::Field(Field { names, through_arrays: false, dotted: false })) })
}

#[test]
fn type_and_tenant_can_be_fields_of_any_payload() {
    let mut map = map(["type == 'a'", "tenant == 'b'", "tenant == 'c' && payload.text == 'a'"].map(cel).to_vec());
    let own = map.routes.pop().unwrap();
    map.tenants = vec![Tenant { id: "c".to_owned(), routes: vec![own], ..Tenant::default() }];
    for source in &mut map.sources {
        (source.event_type, source.tenant) = (origin_field(&["text"]), origin_field(&["child", "text"]));
    }
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    let mut met = |topic, payload: &[u8]| met(&table, &of_payload(topic, payload), &mut out);
    let ids = |ids: &[&str]| Ok(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
    assert_eq!(met("json", br#"{"child":{"text":"b"},"text":"a"}"#), ids(&["d0", "d1"]));
    assert_eq!(met("json", br#"{"child":{"text":"\u0063"},"text":"\u0061"}"#), ids(&["d0", "d2"]));
    assert_eq!(met("json", br#"{"child":{"text":"c"},"text":"x"}"#), ids(&[]));
    assert_eq!(met("json", br#"{"text":1}"#), Err(Unreadable::TypeMissing));
    assert_eq!(met("json", br#"{"text":""}"#), Err(Unreadable::TypeEmpty));
    // Field 14 is `text`, and field 18 `child`.
    assert_eq!(met("plain", b"\x72\x01a\x92\x01\x03\x72\x01b"), ids(&["d0", "d1"]));
    assert_eq!(met("plain", b"\x92\x01\x03\x72\x01c\x72\x01a"), ids(&["d0", "d2"]));
    assert_eq!(met("plain", b""), Err(Unreadable::TypeEmpty));
    assert_eq!(table.type_origin(&of_payload("plain", b"")), "the payload's field `text`");
}

fn lookup(id: &str, key: lookup_key::Attribute) -> Lookup {
    let origin = Some(reference_table::Origin::File("/players".to_owned()));
    Lookup {
        id: id.to_owned(),
        key: Some(LookupKey { attribute: Some(key) }),
        source: Some(lookup::Source::Table(ReferenceTable { origin })),
        cache: None,
    }
}

fn lookup_by_field(id: &str, name: &str) -> Lookup {
    let field = Field { names: vec![name.to_owned()], through_arrays: false, dotted: false };
    lookup(id, lookup_key::Attribute::Field(field))
}

#[test]
fn the_key_of_a_lookup_can_be_in_any_payload_and_what_is_found_is_json_whatever_the_payload_is() {
    let both = "lookup.by_text.ok == true && lookup.by_number.ok == true";
    let colored = cel("lookup.by_color.ok == true && lookup.by_double.ok == true");
    let mut map = map(vec![cel(&format!("{both} && lookup.by_header.ok == true")), colored]);
    map.routes.iter_mut().for_each(|route| route.on_absent = 0);
    map.lookups = [("by_text", "text"), ("by_number", "int64"), ("by_color", "color"), ("by_double", "double")]
        .map(|(id, name)| lookup_by_field(id, name))
        .to_vec();
    let cloud_events = CloudEvents { mode: CloudEventsMode::Structured.into(), ..CloudEvents::default() };
    map.sources.push(source("events", Payload { kind: Some(payload::Kind::CloudEvents(cloud_events)) }));
    map.lookups.push(lookup("by_header", lookup_key::Attribute::Header("ce_player".to_owned())));
    let table = compile(&map).unwrap();
    let mut out = Deliveries::new();
    let mut asked = |topic, headers, payload: &[u8]| {
        let record = Record { topic, headers, payload: Some(payload) };
        table.route(&record, &mut out);
        let (mut answers, mut keys) = (Answers::new(), Vec::new());
        while out.verdict() == Verdict::Waiting {
            for need in out.needs() {
                keys.push(String::from_utf8(need.key.to_vec()).unwrap());
                answers.found(need.lookup, br#"{"ok": true}"#);
            }
            table.resume(&record, &answers, &mut out);
        }
        keys.sort_unstable();
        let met = out.list().iter().map(|delivery| table.destination(delivery.destination).unwrap().id);
        let mut met: Vec<_> = met.collect();
        met.sort_unstable();
        (keys.join(" "), met.join(" "))
    };
    let told = |keys: &str, met: &str| (keys.to_owned(), met.to_owned());
    let json = br#"{"int64": -7, "text": "\u0061b", "color": "RED", "double": 1.50}"#;
    // Fields 2, 12, 14 and 16.
    let message = b"\x10\xf9\xff\xff\xff\xff\xff\xff\xff\xff\x01\x61\0\0\0\0\0\0\xf8\x3f\x72\x02ab\x80\x01\x01";
    let headers = &[("ce_type", "t"), ("ce_player", "p7")];
    assert_eq!(asked("json", headers, json), told("-7 1.50 RED ab p7", "d0 d1"));
    assert_eq!(asked("plain", headers, message), told("-7 15e-1 RED ab p7", "d0 d1"));
    let envelope = [br#"{"type": "t", "player": "p\u0038", "data": "#, &json[..], b"}"].concat();
    assert_eq!(asked("events", headers, &envelope), told("-7 1.50 RED ab p8", "d0 d1"));
    // A message has defaults, and an empty text is a key like any other.
    assert_eq!(asked("plain", headers, b""), told(" 0 0 NONE p7", "d0 d1"));
}

#[test]
fn the_key_of_a_lookup_is_looked_for_in_the_messages_that_it_can_be_in() {
    let mut map = map(vec![cel("lookup.player.ok == true")]);
    map.lookups.push(lookup_by_field("player", "int23"));
    assert_eq!(reasons(&map), Vec::<String>::new());
    map.sources.retain(|source| source.topic != "json");
    let expected = "lookups[0].key.field: `int23` is in no message that this can be about: `test.All` has no field `int23`; did you \
                    mean `int32`?";
    assert_eq!(reasons(&map), [expected]);
}

/// Conditions about an envelope's attributes, as headers, and about its data.
fn cloud_events(mode: CloudEventsMode, validation: Validation) -> RouteTable {
    let conditions = [
        "type == 'a.b'",
        "tenant == 't'",
        "headers.ce_source == '/s' && headers.ce_count == '7' && headers.ce_flag == 'true'",
        "payload.data == 1 || payload.x == 1",
        "has(headers.ce_nothing) || has(headers.ce_object)",
        "payload.list.exists(e, e.y == 2)",
        "headers.other == 'o'",
    ];
    let (mode, validation) = (mode.into(), validation.into());
    let kind = Some(payload::Kind::CloudEvents(CloudEvents { mode, validation }));
    let mut map = map_of(conditions.map(cel).to_vec());
    map.routes.iter_mut().for_each(|route| route.on_absent = 0);
    map.sources = vec![source("events", Payload { kind })];
    compile(&map).unwrap()
}

const ENVELOPE: &str = r#"{"specversion":"1.0","id":"1","data":{"x":1,"list":[{"y":1},{"y":2}]},"source":"\/s","type":"a.b",
    "tenant":"t","count":7,"flag":true,"nothing":null,"object":{}}"#;

#[test]
fn an_envelope_meets_the_routes_that_the_same_event_meets_in_binary_mode() {
    let table = cloud_events(CloudEventsMode::Unspecified, Validation::AsRead);
    let mut out = Deliveries::new();
    let binary = Record {
        topic: "events",
        headers: &[
            ("ce_type", "a.b"),
            ("ce_tenant", "t"),
            ("ce_source", "/s"),
            ("ce_count", "7"),
            ("ce_flag", "true"),
            ("other", "o"),
            ("content-type", "application/json"),
        ],
        payload: Some(br#"{"x":1,"list":[{"y":1},{"y":2}]}"#),
    };
    // What it has of an attribute's name does not count.
    let structured = Record {
        topic: "events",
        headers: &[
            ("content-type", "application/cloudevents+json; charset=UTF-8"),
            ("other", "o"),
            ("ce_type", "other"),
            ("ce_object", "here"),
        ],
        payload: Some(ENVELOPE.as_bytes()),
    };
    let expected = Ok(["d0", "d1", "d2", "d3", "d5", "d6"].map(str::to_owned).to_vec());
    assert_eq!(met(&table, &binary, &mut out), expected);
    assert_eq!(met(&table, &structured, &mut out), expected);
    assert_eq!(table.explain(&structured).type_origin, "attribute `type` of the envelope");
    assert_eq!(table.explain(&binary).type_origin, "header `ce_type`");
    // In binary mode, an envelope is a payload like any other.
    let headers = &[("ce_type", "a.b")];
    let record = Record { topic: "events", headers, payload: Some(ENVELOPE.as_bytes()) };
    assert_eq!(met(&table, &record, &mut out), Ok(vec!["d0".to_owned()]));
}

#[test]
fn an_envelope_without_type_is_unreadable_and_one_without_an_object_has_no_fields() {
    let table = cloud_events(CloudEventsMode::Structured, Validation::AsRead);
    let full = cloud_events(CloudEventsMode::Structured, Validation::Full);
    let mut out = Deliveries::new();
    let mut of = |table: &RouteTable, payload: Option<&[u8]>| {
        met(table, &Record { topic: "events", headers: &[], payload }, &mut out)
    };
    assert_eq!(of(&table, Some(br#"{"data":{"x":1}}"#)), Err(Unreadable::TypeMissing));
    assert_eq!(of(&table, None), Err(Unreadable::TypeMissing));
    let typed = Ok(vec!["d0".to_owned()]);
    for data in [r#""data_base64":"eyJ4IjoxfQ==""#, r#""data":[{"x":1}]"#, r#""data":"x""#, r#""id":"1""#] {
        let envelope = format!(r#"{{"type":"a.b",{data}}}"#);
        assert_eq!(of(&table, Some(envelope.as_bytes())), typed, "{data}");
    }
    // What comes behind the data is not its.
    let typed_and_met = Ok(vec!["d0".to_owned(), "d3".to_owned()]);
    assert_eq!(of(&table, Some(br#"{"type":"a.b","data":{},"x":1}"#)), typed);
    assert_eq!(of(&table, Some(br#"{"type":"a.b","data":{"x":1}"#)), typed_and_met);
    assert_eq!(of(&full, Some(br#"{"type":"a.b","data":{"x":1}}"#)), typed_and_met);
    assert_eq!(of(&full, Some(br#"{"type":"a.b","data":{"x":1}"#)), Err(Unreadable::InvalidJson { at: 28 }));
}

#[test]
fn descriptors_beyond_a_limit_are_refused_by_its_name() {
    let tagged = |number: u32, bytes: &[u8]| {
        let mut out = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut out);
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        [&out[..], bytes].concat()
    };
    let file = |content: &[u8]| tagged(1, content);
    let messages =
        |count: u64| (0..count).flat_map(|n| tagged(4, &tagged(1, n.to_string().as_bytes()))).collect::<Vec<u8>>();
    let fields = |count: u64| [tagged(1, b"m"), tagged(2, &tagged(1, b"f")).repeat(count as usize)].concat();
    let nested = (0..=limits::DESCRIPTOR_DEPTH.max).fold(Vec::new(), |inner, _| {
        [tagged(1, b"m"), if inner.is_empty() { inner } else { tagged(3, &inner) }].concat()
    });
    let cases = [
        (&limits::DESCRIPTOR_BYTES, vec![0; limits::DESCRIPTOR_BYTES.max as usize + 1]),
        (&limits::DESCRIPTOR_MESSAGES, file(&messages(limits::DESCRIPTOR_MESSAGES.max + 1))),
        (&limits::MESSAGE_FIELDS, file(&tagged(4, &fields(limits::MESSAGE_FIELDS.max + 1)))),
        (&limits::DESCRIPTOR_FIELDS, file(&tagged(4, &fields(limits::DESCRIPTOR_FIELDS.max + 1)))),
        (&limits::DESCRIPTOR_DEPTH, file(&tagged(4, &nested))),
    ];
    for (limit, descriptors) in cases {
        let reasons = reasons(&RouteMap {
            descriptors: descriptors.into(),
            sources: vec![],
            ..map(vec![cel("true == payload.a")])
        });
        assert!(
            reasons.len() == 1 && reasons[0].starts_with("descriptors: ") && reasons[0].contains(limit.name),
            "{reasons:?}"
        );
    }
}
