//! Bytes that claim to be a RouteMap: none may bring the compiler down, whatever it takes must be a RouteMap to everybody else, too, and
//! routing by it must not fail. `cargo +nightly fuzz run route_map` in `engine/route-table`, see <https://rust-fuzz.github.io/book/>.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use veltrix_proto::v1::{RecordPart, RouteMap, origin, payload};
use veltrix_route_table::{Answers, Compiler, Deliveries, Event, RouteTable, Value, Verdict};

struct Fixed(&'static [u8]);

impl Event for Fixed {
    fn topic(&self) -> &str {
        "t1"
    }

    fn key(&self) -> Value<'_> {
        Value::Bytes(b"a")
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(self.0),
            "ce_tenant" => Value::Bytes(b"a"),
            "x" => Value::Null,
            "y" => Value::Bytes(b""),
            _ => Value::Missing,
        }
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(br#"{"type": "a", "a": {"b": [1, {"c": "x"}]}, "n": 1.5e3, "data": {"a": null}}"#)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut compiler = Compiler::new();
    let Ok(table) = compiler.compile(bytes) else { return };
    let map = RouteMap::decode(bytes).expect("what the compiler takes is a RouteMap");
    assert!(table.destinations().len() >= map.destinations.len(), "a placeholder stands for one value or more");
    let mut out = Deliveries::new();
    for event_type in [b"a".as_slice(), b"hunt.clue.found", b"\xff", b""] {
        let event = Fixed(event_type);
        table.route(&event, &mut out);
        look_up(&table, &event, &mut out);
        let known = |delivery: &veltrix_route_table::Delivery| table.destination(delivery.destination).is_some();
        assert!(out.list().iter().all(known));
        let has_none = matches!(out.verdict(), Verdict::Unreadable(reason) if reason.is_about_type());
        match has_type(&map, &event) {
            // Its payload may not be what its source says.
            Some(true) => assert!(!has_none),
            Some(false) => assert!(matches!(out.verdict(), Verdict::Unreadable(_))),
            None => {}
        }
        let _ = table.explain(&event).to_string();
    }
    // The same bytes again, into memory that was used.
    compiler.recycle(table);
    assert!(compiler.compile(bytes).is_ok());
});

/// Finds something for every lookup that is asked for, one after the other.
fn look_up(table: &RouteTable, event: &Fixed, out: &mut Deliveries) {
    let mut answers = Answers::new();
    for turn in 0.. {
        let Some(lookup) = out.needs().next().map(|need| need.lookup) else { return };
        assert!(turn < table.lookups().count(), "each lookup is asked for once");
        match turn % 3 {
            0 => answers.found(lookup, br#"{"a": {"b": "c"}, "n": 1}"#),
            1 => answers.not_found(lookup),
            _ => answers.failed(lookup),
        }
        table.resume(event, &answers, out);
    }
}

/// Whether `event` has a type where the map says that its source carries it; `None`: that is in the payload.
fn has_type(map: &RouteMap, event: &Fixed) -> Option<bool> {
    let source = map.sources.iter().find(|source| source.topic == event.topic());
    // The headers of an envelope are its own.
    let is_envelope =
        matches!(source.and_then(|source| source.payload.as_ref()?.kind.as_ref()), Some(payload::Kind::CloudEvents(_)));
    let value = match source.and_then(|source| source.event_type.as_ref()?.kind.as_ref()) {
        Some(origin::Kind::Field(_)) => return None,
        None | Some(origin::Kind::Header(_)) if is_envelope => return None,
        None => event.header("ce_type"),
        Some(origin::Kind::Header(name)) => event.header(name),
        Some(origin::Kind::Part(part)) if *part == RecordPart::Key as i32 => event.key(),
        // The topic, or a constant: neither is ever empty.
        Some(origin::Kind::Part(_) | origin::Kind::Constant(_)) => return Some(true),
    };
    Some(value.bytes().is_some_and(|bytes| !bytes.is_empty()))
}
