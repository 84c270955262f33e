//! Bytes that claim to be a RouteMap: none may bring the compiler down, whatever it takes must be a RouteMap to everybody else, too, and
//! routing by it must not fail. `cargo +nightly fuzz run route_map` in `engine/route-table`, see <https://rust-fuzz.github.io/book/>.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use veltrix_proto::v1::{RecordPart, RouteMap, origin};
use veltrix_route_table::{Compiler, Deliveries, Event, Value, Verdict};

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
}

fuzz_target!(|bytes: &[u8]| {
    let mut compiler = Compiler::new();
    let Ok(table) = compiler.compile(bytes) else { return };
    let map = RouteMap::decode(bytes).expect("what the compiler takes is a RouteMap");
    assert_eq!(table.destinations().len(), map.destinations.len());
    let mut out = Deliveries::new();
    for event_type in [b"a".as_slice(), b"hunt.clue.found", b"\xff", b""] {
        table.route(&Fixed(event_type), &mut out);
        let known = |delivery: &veltrix_route_table::Delivery| table.destination(delivery.destination).is_some();
        assert!(out.list().iter().all(known));
        let unreadable = matches!(out.verdict(), Verdict::Unreadable(_));
        assert_eq!(unreadable, !has_type(&map, &Fixed(event_type)));
    }
    // The same bytes again, into memory that was used.
    compiler.recycle(table);
    assert!(compiler.compile(bytes).is_ok());
});

/// Whether `event` has a type where the map says that its source carries it.
fn has_type(map: &RouteMap, event: &Fixed) -> bool {
    let source = map.sources.iter().find(|source| source.topic == event.topic());
    let value = match source.and_then(|source| source.event_type.as_ref()?.kind.as_ref()) {
        None => event.header("ce_type"),
        Some(origin::Kind::Header(name)) => event.header(name),
        Some(origin::Kind::Part(part)) if *part == RecordPart::Key as i32 => event.key(),
        // The topic, or a constant: neither is ever empty.
        Some(origin::Kind::Part(_) | origin::Kind::Constant(_)) => return true,
    };
    value.bytes().is_some_and(|bytes| !bytes.is_empty())
}
