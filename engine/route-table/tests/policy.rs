//! Who delivers beyond what conditions say: routes that are switched off, and what becomes of events that nobody wants.

use prost_reflect::{DescriptorPool, DynamicMessage};
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::{Deliveries, Event, Matches, RouteIndex, RouteTable, Unmatched, Value, Verdict, compile};

/// A map with the destinations `a` to `e` and what `text` adds.
fn table(text: &str) -> RouteTable {
    let pool = DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name("veltrix.v1.RouteMap").unwrap();
    let destination = |id: char| format!("destinations {{ id: '{id}' kafka {{ topic: '{id}' }} }}\n");
    let text = format!("name: 'm' {} {text}", ('a'..='e').map(destination).collect::<String>());
    let map: RouteMap = DynamicMessage::parse_text_format(descriptor, &text).unwrap().transcode_to().unwrap();
    compile(&map).unwrap()
}

/// An event of the type `t`, of a tenant, with a header for each thing that is true of it.
struct Thing {
    tenant: &'static str,
    is: Vec<&'static str>,
}

impl Event for Thing {
    fn topic(&self) -> &str {
        "things"
    }

    fn key(&self) -> Value<'_> {
        Value::Missing
    }

    fn header(&self, name: &str) -> Value<'_> {
        match name {
            "ce_type" => Value::Bytes(b"t"),
            "ce_tenant" => Value::Bytes(self.tenant.as_bytes()),
            _ if self.is.contains(&name) => Value::Bytes(b"yes"),
            _ => Value::Missing,
        }
    }
}

fn thing(tenant: &'static str, is: &[&'static str]) -> Thing {
    Thing { tenant, is: is.to_vec() }
}

/// Who gets an event and by which route, as `destination<route`, and after a `!` the route that could not be decided.
fn delivered(table: &RouteTable, event: &Thing) -> String {
    let mut out = Deliveries::new();
    table.route(event, &mut out);
    let route = |route: Option<RouteIndex>| route.map_or("", |route| table.route_id(route)).to_owned();
    let mut deliveries: Vec<String> = out
        .list()
        .iter()
        .map(|delivery| format!("{}<{}", table.destination(delivery.destination).unwrap().id, route(delivery.route)))
        .collect();
    deliveries.sort();
    deliveries.extend(out.undecided().map(|undecided| format!("!{}", table.route_id(undecided))));
    deliveries.join(" ")
}

const ANY: &str = "types { any: true }";

#[test]
fn a_disabled_route_gets_no_event_and_keeps_its_id_and_its_place() {
    let table = table(&format!(
        "routes {{ id: 'off' {ANY} to: 'a' disabled: true }}
         routes {{ id: 'off-by-type' types {{ exact: 't' prefixes: 't' }} to: 'b' disabled: true }}
         routes {{ id: 'on' {ANY} to: 'c' disabled: false }}"
    ));
    assert_eq!(delivered(&table, &thing("", &[])), "c<on");
    let mut matches = Matches::new();
    table.matches(&thing("", &[]), &mut matches).unwrap();
    let [on] = matches.routes() else { panic!("one route matches, not {:?}", matches.routes()) };
    assert_eq!((on.get(), table.route_id(*on)), (2, "on"));
    assert_eq!((table.usage().routes, table.usage().types), (3, 2));
}

#[test]
fn an_event_that_only_a_disabled_route_would_want_is_unmatched() {
    let table = table(&format!("routes {{ id: 'off' {ANY} to: 'a' disabled: true }} unmatched {{ dead_letter {{}} }}"));
    let mut out = Deliveries::new();
    table.route(&thing("", &[]), &mut out);
    assert_eq!((out.verdict(), out.list().len()), (Verdict::Unmatched(Unmatched::DeadLetter), 0));
}

#[test]
fn an_event_that_no_route_wants_follows_its_tenants_policy_or_else_the_maps() {
    let table = table(
        "routes { id: 'other' types { exact: 'other' } to: 'a' } unmatched { destination: 'b' }
         tenants { id: 'first' }
         tenants { id: 'drops' unmatched { drop {} } }
         tenants { id: 'buries' unmatched { dead_letter {} } }
         tenants { id: 'collects' unmatched { destination: 'c' } routes { id: 'own' types { exact: 'own' } to: 'd' } }
         tenants { id: 'last' routes { id: 'last' types { any: true } to: 'e' } unmatched { destination: 'c' } }",
    );
    let mut out = Deliveries::new();
    let mut verdict = |tenant| {
        let event = thing(tenant, &[]);
        table.route(&event, &mut out);
        let is_drop_or_letter = match out.verdict() {
            Verdict::Unmatched(Unmatched::Drop) => "drop",
            Verdict::Unmatched(Unmatched::DeadLetter) => "dead letter",
            Verdict::Unmatched(Unmatched::Destination(_)) => "destination",
            other => return format!("{other:?} {}", delivered(&table, &event)),
        };
        format!("{is_drop_or_letter} {}", delivered(&table, &event))
    };
    assert_eq!(verdict("nobody"), "destination b<");
    assert_eq!(verdict("first"), "destination b<");
    assert_eq!(verdict("drops"), "drop ");
    assert_eq!(verdict("buries"), "dead letter ");
    assert_eq!(verdict("collects"), "destination c<");
    assert_eq!(verdict("last"), "Routed e<last");
}
