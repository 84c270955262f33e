//! What is said of an event before all was looked up that it depends on: what is certain, and nothing else.

mod support;

use prost_reflect::{DescriptorPool, DynamicMessage};
use support::OwnedEvent;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::{Explanation, RouteTable, compile};

/// A table with a lookup by the record's key, and what else `text` says.
fn table(text: &str) -> RouteTable {
    let lookup = r#"lookups { id: "c" key { part: RECORD_PART_KEY } table { kafka { topic: "tiers" } } }"#;
    let pool = DescriptorPool::decode(veltrix_proto::DESCRIPTOR_SET).unwrap();
    let descriptor = pool.get_message_by_name("veltrix.v1.RouteMap").unwrap();
    let map = DynamicMessage::parse_text_format(descriptor, &format!("name: 'm' {lookup} {text}")).unwrap();
    compile(&map.transcode_to::<RouteMap>().unwrap()).unwrap()
}

/// An event of this tenant, with the key `k`.
fn of_tenant(tenant: &str) -> OwnedEvent {
    let headers = [("ce_type", "a"), ("ce_tenant", tenant)];
    OwnedEvent {
        topic: "t".to_owned(),
        key: Some(b"k".to_vec()),
        headers: headers.map(|(name, value)| (name.to_owned(), Some(value.as_bytes().to_vec()))).into(),
        payload: None,
        timestamp: None,
    }
}

const LAKE: &str = r#"
    destinations { id: "rest" kafka { topic: "rest" } }
    destinations { id: "lake" kafka { topic: "lake-{tenant}" otherwise: "rest" } }
    destinations { id: "plain" kafka { topic: "plain" } }
    destinations { id: "desk" kafka { topic: "desk" } }
    tenants { id: "acme" }
"#;
const TO_LAKE: &str = r#"routes { id: "to-lake" types { any: true } to: "lake" }"#;
const TO_PLAIN: &str = r#"routes { id: "to-plain" types { any: true } to: "plain" }"#;
const VIP: &str = r#"routes { id: "vip" types { any: true } to: "desk" when { cel: "lookup.c.tier == 'gold'" } }"#;

fn sent(explanation: &Explanation) -> Vec<(&str, Option<&str>)> {
    let deliveries = explanation.deliveries.iter();
    deliveries.map(|delivery| (delivery.topic.as_str(), delivery.route.as_deref())).collect()
}

#[test]
fn a_destination_with_placeholders_does_not_wait_for_lookups_of_others() {
    let table = table(&[LAKE, VIP, TO_LAKE, TO_PLAIN].concat());
    let explanation = table.explain(&of_tenant("acme"));
    assert_eq!(sent(&explanation), [("plain", Some("to-plain")), ("lake-acme", Some("to-lake"))]);
    assert_eq!(explanation.needs, [("c".to_owned(), "k".to_owned())]);
    let explanation = table.explain(&of_tenant("other"));
    assert_eq!(sent(&explanation), [("plain", Some("to-plain")), ("rest", Some("to-lake"))]);
    assert_eq!(explanation.unplaced[0].instead.as_deref(), Some("rest"));
}

#[test]
fn what_is_certain_in_an_exclusive_group_does_not_wait_for_the_rest_of_it() {
    let group = |more: &str| format!(r#"exclusive {{ group: "g" {more} }} "#);
    let route = |id: &str, to: &str, more: &str| {
        format!(r#"routes {{ id: "{id}" types {{ any: true }} to: "{to}" {} }}"#, group(more))
    };
    let vip = |more: &str| VIP.replacen("when", &format!("{} when", group(more)), 1);
    let deliveries = |routes: &[String]| {
        let explanation = table(&[LAKE, &routes.concat()].concat()).explain(&of_tenant("acme"));
        sent(&explanation).iter().map(|(topic, _)| (*topic).to_owned()).collect::<Vec<_>>()
    };
    let first = route("first", "plain", "continues: true");
    assert_eq!(deliveries(&[first, vip("")]), ["plain"]);
    assert_eq!(deliveries(&[vip("continues: true"), route("second", "plain", "")]), ["plain"]);
    assert!(deliveries(&[vip(""), route("second", "plain", "")]).is_empty());
    assert!(deliveries(&[vip("continues: true"), route("last", "plain", "default: true")]).is_empty());
}

#[test]
fn a_route_of_a_tenant_whose_routes_are_anothers_too_is_named_as_its_own() {
    let own = |id: &str| {
        let route = TO_PLAIN.replace("to-plain", &format!("{id}-plain"));
        let vip = VIP.replace("vip", &format!("{id}-vip"));
        format!(r#"tenants {{ id: "{id}" {route} {vip} }}"#)
    };
    let table = table(&[LAKE, &own("one"), &own("two")].concat());
    assert_eq!(sent(&table.explain(&of_tenant("two"))), [("plain", Some("two-plain"))]);
}

#[test]
fn where_an_event_goes_that_goes_nowhere_yet_is_not_where_else() {
    let said = |routes: &[&str]| table(&[&[LAKE], routes].concat().concat()).explain(&of_tenant("acme")).to_string();
    assert!(said(&[VIP]).contains("\nwhere it goes depends on lookup c of k\n"), "{}", said(&[VIP]));
    assert!(said(&[VIP, TO_LAKE]).contains("\nwhere else it goes depends on lookup c of k\n"));
}
