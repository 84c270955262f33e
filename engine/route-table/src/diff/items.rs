//! A map as things with names, and what it says of each, in a form in which only the meaning counts.

use super::{Aspect, Change, Detail, How, Subject};
use crate::canonical::{canonical, types_of};
use crate::cel;
use prost::Message as _;
use std::collections::{BTreeMap, HashMap};
use twox_hash::XxHash64;
use veltrix_proto::v1::{
    CloudEventsMode, Condition, Destination, Framing, Lookup, LookupCache, OnAbsent, Origin, Placeholder, Predicate,
    RecordPart, Route, RouteMap, Source, TenantIds, Unmatched, Validation, condition, destination, lookup, lookup_key,
    origin, payload, placeholder, predicate, reference_table, unmatched,
};

/// All things of a map.
pub(super) struct Items(pub(super) BTreeMap<Subject, Item>);

/// What a map says of one thing.
#[derive(Default)]
pub(super) struct Item(Vec<(Aspect, Vec<Said>)>);

/// One thing that is said: what counts when it is compared, and how people see it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    key: Vec<u8>,
    shown: String,
}

impl Said {
    fn text(text: impl Into<String>) -> Said {
        let shown = text.into();
        Said { key: shown.clone().into_bytes(), shown }
    }
}

impl Item {
    fn says(mut self, aspect: Aspect, said: impl IntoIterator<Item = Said>) -> Item {
        let mut said: Vec<Said> = said.into_iter().collect();
        said.sort_unstable();
        said.dedup_by(|a, b| a.key == b.key);
        self.0.push((aspect, said));
        self
    }

    /// What `new` says otherwise.
    pub(super) fn details(&self, new: &Item) -> Vec<Detail> {
        let only = |these: &[Said], those: &[Said]| -> Vec<String> {
            let only = these.iter().filter(|said| !those.iter().any(|other| other.key == said.key));
            only.map(|said| said.shown.clone()).collect()
        };
        let pairs = self.0.iter().zip(&new.0);
        let details = pairs.map(|((what, before), (_, after))| Detail {
            what: *what,
            before: only(before, after),
            after: only(after, before),
        });
        details.filter(|detail| !detail.before.is_empty() || !detail.after.is_empty()).collect()
    }
}

impl Items {
    pub(super) fn of(map: &RouteMap) -> Items {
        let mut items = BTreeMap::new();
        let unmatched = policy(map.unmatched.as_ref());
        let descriptors = (!map.descriptors.is_empty()).then(|| Said {
            key: map.descriptors.to_vec(),
            shown: format!("{} bytes, xxh64 {:016x}", map.descriptors.len(), XxHash64::oneshot(0, &map.descriptors)),
        });
        let whole = Item::default()
            .says(Aspect::Name, [Said::text(&map.name)])
            .says(Aspect::Unmatched, [Said::text(unmatched)])
            .says(Aspect::Descriptors, descriptors);
        items.insert(Subject::Map, whole);
        for source in &map.sources {
            let item = Item::default()
                .says(Aspect::TypeOrigin, [Said::text(place_of(source.event_type.as_ref(), "ce_type"))])
                .says(Aspect::TenantOrigin, [Said::text(place_of(source.tenant.as_ref(), "ce_tenant"))])
                .says(Aspect::Payload, [Said::text(payload_of(source))]);
            items.insert(Subject::Source(source.topic.clone()), item);
        }
        for destination in &map.destinations {
            items.insert(Subject::Destination(destination.id.clone()), of_destination(destination));
        }
        for lookup in &map.lookups {
            items.insert(Subject::Lookup(lookup.id.clone()), of_lookup(lookup));
        }
        for route in &map.routes {
            items.insert(Subject::Route { tenant: None, id: route.id.clone() }, of_route(route));
        }
        for tenant in &map.tenants {
            let labels = tenant.labels.iter().map(|(name, value)| Said::text(format!("{name}={value}")));
            let unmatched = match &tenant.unmatched {
                None => "as the map says".to_owned(),
                own => policy(own.as_ref()),
            };
            let item = Item::default().says(Aspect::Labels, labels).says(Aspect::Unmatched, [Said::text(unmatched)]);
            items.insert(Subject::Tenant(tenant.id.clone()), item);
            for route in &tenant.routes {
                let subject = Subject::Route { tenant: Some(tenant.id.clone()), id: route.id.clone() };
                items.insert(subject, of_route(route));
            }
        }
        Items(items)
    }

    /// The same for all things that differ only in their names. A tenant is known by its routes.
    pub(super) fn identity(&self, subject: &Subject, item: &Item) -> Vec<u8> {
        let mut identity = Vec::new();
        let mut add = |bytes: &[u8]| {
            identity.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            identity.extend_from_slice(bytes);
        };
        match subject {
            Subject::Route { tenant, .. } => {
                add(&[u8::from(tenant.is_some())]);
                add(tenant.as_deref().unwrap_or_default().as_bytes());
            }
            Subject::Tenant(name) => {
                let first = Subject::Route { tenant: Some(name.clone()), id: String::new() };
                let routes = self.0.range(first..).map(|(subject, _)| subject);
                let own = |subject: &&Subject| matches!(subject, Subject::Route { tenant, .. } if tenant.as_ref() == Some(name));
                let mut routes = routes.take_while(own).peekable();
                // One without any is known by its name only.
                add(if routes.peek().is_none() { name.as_bytes() } else { &[] });
                routes.for_each(|route| add(route.name().as_bytes()));
            }
            Subject::Map
            | Subject::Source(_)
            | Subject::Destination(_)
            | Subject::Lookup(_)
            | Subject::Group { .. } => {}
        }
        for (aspect, said) in &item.0 {
            add(&[*aspect as u8]);
            add(&said.len().to_le_bytes());
            said.iter().for_each(|said| add(&said.key));
        }
        identity
    }

    /// Speaks of destinations by their new names.
    pub(super) fn rename_destinations(&mut self, changes: &[Change]) {
        let names = names_of(changes);
        for (aspect, said) in self.0.values_mut().flat_map(|item| &mut item.0) {
            for said in said.iter_mut() {
                let (prefix, id) = match aspect {
                    Aspect::Destinations | Aspect::Otherwise => ("", said.shown.as_str()),
                    Aspect::Unmatched => match said.shown.strip_prefix("destination ") {
                        Some(id) => ("destination ", id),
                        None => continue,
                    },
                    _ => continue,
                };
                if let Some(now) = names.get(id) {
                    *said = Said::text(format!("{prefix}{now}"));
                }
            }
            said.sort_unstable();
        }
    }

    /// Speaks of tenants by their new names.
    pub(super) fn rename_tenants(&mut self, changes: &[Change]) {
        let names = names_of(changes);
        let items = std::mem::take(&mut self.0).into_iter().map(|(subject, item)| match subject {
            Subject::Route { tenant: Some(tenant), id } => {
                let tenant = names.get(&tenant).cloned().unwrap_or(tenant);
                (Subject::Route { tenant: Some(tenant), id }, item)
            }
            other => (other, item),
        });
        self.0 = items.collect();
    }
}

/// New names by old ones.
fn names_of(changes: &[Change]) -> HashMap<String, String> {
    let renames = changes.iter().filter_map(|change| match &change.how {
        How::Renamed(from) => Some((from.clone(), change.subject.name().to_owned())),
        _ => None,
    });
    renames.collect()
}

fn of_destination(destination: &Destination) -> Item {
    let Some(destination::Kind::Kafka(kafka)) = &destination.kind else { return Item::default() };
    // What need not be said is the same as what was.
    let tenant = Placeholder {
        name: "tenant".to_owned(),
        value: Some(placeholder::Value::Part(RecordPart::Tenant.into())),
        allowed: Some(placeholder::Allowed::Tenants(TenantIds {})),
    };
    let is_declared = kafka.placeholders.iter().any(|placeholder| placeholder.name == tenant.name);
    let is_meant = !is_declared && kafka.topic.contains("{tenant}");
    let placeholders = kafka.placeholders.iter().chain(is_meant.then_some(&tenant)).flat_map(|placeholder| {
        let attribute = placeholder.value.clone().map(|value| match value {
            placeholder::Value::Header(name) => predicate::Attribute::Header(name),
            placeholder::Value::Part(part) => predicate::Attribute::Part(part),
            placeholder::Value::Field(field) => predicate::Attribute::Field(field),
        });
        let name = format!("{{{}}}", placeholder.name);
        let place = cel::place_of(&Predicate { attribute, ..Predicate::default() }, 0);
        let values: Vec<String> = match &placeholder.allowed {
            Some(placeholder::Allowed::Values(values)) => values.values.iter().map(|value| cel::text(value)).collect(),
            Some(placeholder::Allowed::Tenants(_)) => vec!["any tenant of the map".to_owned()],
            None => Vec::new(),
        };
        let values = values.into_iter().map(move |value| format!("{name} can be {value}"));
        std::iter::once(format!("{{{}}} is {place}", placeholder.name)).chain(values)
    });
    let otherwise = (!kafka.otherwise.is_empty()).then(|| Said::text(&kafka.otherwise));
    Item::default()
        .says(Aspect::Topic, [Said::text(&kafka.topic)])
        .says(Aspect::Placeholders, placeholders.map(Said::text))
        .says(Aspect::Otherwise, otherwise)
}

/// What becomes of events that no route wants.
fn policy(unmatched: Option<&Unmatched>) -> String {
    match unmatched.and_then(|unmatched| unmatched.policy.as_ref()) {
        None | Some(unmatched::Policy::Drop(_)) => "drop".to_owned(),
        Some(unmatched::Policy::DeadLetter(_)) => "dead letter".to_owned(),
        Some(unmatched::Policy::Destination(id)) => format!("destination {id}"),
    }
}

fn of_route(route: &Route) -> Item {
    let types = types_of(&route.types.clone().unwrap_or_default());
    let any = types.any.then(|| Said { key: Vec::new(), shown: "every type".to_owned() });
    // No type begins so.
    let prefix = |prefix: String| Said { key: format!("\0{prefix}").into_bytes(), shown: prefix + "*" };
    let types =
        any.into_iter().chain(types.exact.into_iter().map(Said::text)).chain(types.prefixes.into_iter().map(prefix));
    let when = match &route.when {
        None => Said { key: Vec::new(), shown: "always".to_owned() },
        Some(when) => Said { key: canonical(when).encode_to_vec(), shown: shown(when) },
    };
    let on_absent = match route.on_absent() {
        OnAbsent::Unspecified | OnAbsent::NoMatch => "no match",
        OnAbsent::DeadLetter => "dead letter",
    };
    let exclusive = route.exclusive.iter().flat_map(|own| {
        let place = match own.default {
            true => "default".to_owned(),
            false => format!("priority {}", own.priority),
        };
        [Some(format!("group {}", own.group)), Some(place), own.continues.then(|| "continues".to_owned())]
    });
    let exclusive = exclusive.flatten().map(Said::text);
    Item::default()
        .says(Aspect::Types, types)
        .says(Aspect::Condition, [when])
        .says(Aspect::Destinations, route.to.iter().map(Said::text))
        .says(Aspect::OnAbsent, [Said::text(on_absent)])
        .says(Aspect::Disabled, [Said::text(if route.disabled { "yes" } else { "no" })])
        .says(Aspect::Exclusive, exclusive)
}

fn of_lookup(lookup: &Lookup) -> Item {
    let key = lookup.key.as_ref().and_then(|key| key.attribute.as_ref()).map(|attribute| match attribute {
        lookup_key::Attribute::Header(name) => format!("header {name}"),
        lookup_key::Attribute::Part(part) => match RecordPart::try_from(*part) {
            Ok(part) => part.as_str_name().trim_start_matches("RECORD_PART_").to_lowercase().replace('_', " "),
            Err(_) => format!("part {part}"),
        },
        lookup_key::Attribute::Field(field) => format!("payload field {}", field.names.join(".")),
    });
    let answers = lookup.source.as_ref().map(|source| match source {
        lookup::Source::Table(table) => match &table.origin {
            Some(reference_table::Origin::Kafka(kafka)) => format!("topic {}", kafka.topic),
            Some(reference_table::Origin::File(path)) => format!("file {path}"),
            None => "nowhere".to_owned(),
        },
        lookup::Source::Http(call) => format!("{} within {} ms", call.url, call.timeout_ms),
        lookup::Source::Grpc(call) => format!("gRPC {} within {} ms", call.endpoint, call.timeout_ms),
    });
    let cache = lookup.cache.as_ref().map(|cache| {
        let LookupCache { entries, ttl_ms, negative_ttl_ms } = cache;
        format!("{entries} for {ttl_ms} ms, none for {negative_ttl_ms} ms")
    });
    Item::default()
        .says(Aspect::Key, key.map(Said::text))
        .says(Aspect::Answers, answers.map(Said::text))
        .says(Aspect::Cache, cache.map(Said::text))
}

/// A condition in the words of its author.
fn shown(when: &Condition) -> String {
    match &when.kind {
        Some(condition::Kind::Cel(text) | condition::Kind::EventPattern(text)) => text.trim().to_owned(),
        _ => cel::render(when),
    }
}

fn place_of(origin: Option<&Origin>, default: &str) -> String {
    match origin.and_then(|origin| origin.kind.as_ref()) {
        None => format!("header {default}"),
        Some(origin::Kind::Header(name)) => format!("header {name}"),
        Some(origin::Kind::Constant(text)) => format!("constant {text}"),
        Some(origin::Kind::Field(field)) => format!("payload field {}", field.names.join(".")),
        Some(origin::Kind::Part(part)) => match RecordPart::try_from(*part) {
            Ok(RecordPart::Key) => "key".to_owned(),
            Ok(RecordPart::Topic) => "topic".to_owned(),
            _ => format!("part {part}"),
        },
    }
}

/// How a source's payloads are read.
fn payload_of(source: &Source) -> String {
    let (mut said, validation) = match source.payload.as_ref().and_then(|payload| payload.kind.as_ref()) {
        None => ("JSON".to_owned(), Validation::Unspecified),
        Some(payload::Kind::Json(json)) => ("JSON".to_owned(), json.validation()),
        Some(payload::Kind::Protobuf(protobuf)) => {
            let framing = match protobuf.framing() {
                Framing::Unspecified | Framing::Plain => "",
                Framing::LengthDelimited => ", its length before it",
                Framing::SchemaRegistry => ", framed as a schema registry does",
            };
            (format!("protobuf {}{framing}", protobuf.message), protobuf.validation())
        }
        Some(payload::Kind::CloudEvents(events)) => {
            let mode = match events.mode() {
                CloudEventsMode::Unspecified => "",
                CloudEventsMode::Structured => ", structured",
            };
            (format!("CloudEvents{mode}"), events.validation())
        }
        Some(payload::Kind::None(_)) => ("none".to_owned(), Validation::Unspecified),
    };
    if validation == Validation::Full {
        said += ", validated in full";
    }
    said
}
