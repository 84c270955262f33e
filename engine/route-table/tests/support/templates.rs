//! Which topic of a destination an event goes to, by the words of `route_map.proto`.

use super::evaluate::{self, Record};
use veltrix_proto::v1::{
    KafkaTopic, Placeholder, RecordPart, RouteMap, TenantIds, destination, placeholder, predicate,
};

/// What a route, or the policy for events that no route wants, makes of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Topic(String),
    /// The event has no value for this placeholder, or one that is not allowed.
    Without {
        placeholder: String,
        otherwise: Option<String>,
    },
}

pub(crate) fn place(map: &RouteMap, destination: &str, record: &Record) -> Place {
    let declared = map.destinations.iter().find(|declared| declared.id == destination).unwrap();
    let Some(destination::Kind::Kafka(kafka)) = &declared.kind else { panic!("a destination has a kind") };
    let mut topic = kafka.topic.clone();
    for placeholder in placeholders(kafka) {
        let value = evaluate::text_of(placeholder.value.as_ref().map(attribute).as_ref().unwrap(), record);
        // "Texts count byte by byte."
        let value = value.and_then(|bytes| String::from_utf8(bytes).ok());
        let is_allowed = |value: &String| match placeholder.allowed.as_ref().unwrap() {
            placeholder::Allowed::Values(values) => values.values.contains(value),
            placeholder::Allowed::Tenants(_) => map.tenants.iter().any(|tenant| tenant.id == *value),
        };
        match value.filter(is_allowed) {
            Some(value) => topic = topic.replace(&format!("{{{}}}", placeholder.name), &value),
            None => {
                let otherwise = Some(kafka.otherwise.clone()).filter(|otherwise| !otherwise.is_empty());
                return Place::Without { placeholder: placeholder.name, otherwise };
            }
        }
    }
    Place::Topic(topic)
}

fn placeholders(kafka: &KafkaTopic) -> Vec<Placeholder> {
    let mut all = kafka.placeholders.clone();
    // "One that is called `tenant` needs no words: it is the tenant's id, of all tenants that the map names."
    if kafka.topic.contains("{tenant}") && !all.iter().any(|own| own.name == "tenant") {
        all.push(Placeholder {
            name: "tenant".to_owned(),
            value: Some(placeholder::Value::Part(RecordPart::Tenant.into())),
            allowed: Some(placeholder::Allowed::Tenants(TenantIds {})),
        });
    }
    all
}

fn attribute(value: &placeholder::Value) -> predicate::Attribute {
    match value {
        placeholder::Value::Header(name) => predicate::Attribute::Header(name.clone()),
        placeholder::Value::Part(part) => predicate::Attribute::Part(*part),
        placeholder::Value::Field(field) => predicate::Attribute::Field(field.clone()),
    }
}
