//! What a change of a map changes: of the map, by tenant, route and destination; and of an event, by delivery.
//!
//! Start at [`diff`] and [`diff_event`]. Maps are compared by what they mean, not by how they are written: the order of things does not
//! count, a condition is the same in CEL and as messages, and a route that only got another id is said to be renamed. What the order of routes
//! does decide is which of an exclusive group is asked first if their priorities are equal, and that is compared; and which of several is
//! named on a delivery, which [`diff_event`] tells.

mod event;
mod items;
mod order;

pub use event::{EventDiff, diff_event, diff_event_with};
use items::Items;
use std::collections::HashMap;
use std::fmt::{Display, Formatter, Result};
use veltrix_proto::v1::RouteMap;

/// One thing of a map that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is.
    pub subject: Subject,
    /// What became of it.
    pub how: How,
    /// What is said of it otherwise than before; empty if it is all new, all gone, or the same under another name.
    pub details: Vec<Detail>,
}

/// A thing that has a name in a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The map as a whole.
    Map,
    /// A source, by its topic.
    Source(String),
    /// A destination, by its id.
    Destination(String),
    /// A lookup, by its id.
    Lookup(String),
    /// A tenant, by its id.
    Tenant(String),
    /// An exclusive group, as a whole.
    Group {
        /// Whose it is; `None`: everybody's.
        tenant: Option<String>,
        /// Its name.
        name: String,
    },
    /// A route.
    Route {
        /// Whose it is; `None`: everybody's.
        tenant: Option<String>,
        /// Its id.
        id: String,
    },
}

/// What became of a thing. What it is called is what it is called now, or was before it was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is the same under another name; this was the old one.
    Renamed(String),
    /// A route is another tenant's; it was this one's, or everybody's.
    MovedFrom(Option<String>),
    /// It is where it was; the details say what is new.
    Changed,
}

/// Something that is said of a thing otherwise than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// What.
    pub what: Aspect,
    /// What is said no more.
    pub before: Vec<String>,
    /// What is said now. Of lists, such as types and destinations, only what is new.
    pub after: Vec<String>,
}

/// What can be said of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Aspect {
    Name,
    Unmatched,
    TypeOrigin,
    TenantOrigin,
    Payload,
    Descriptors,
    Topic,
    Key,
    Answers,
    Cache,
    Placeholders,
    Otherwise,
    Labels,
    Types,
    Condition,
    Destinations,
    OnAbsent,
    Disabled,
    Exclusive,
    Order,
}

/// Everything that `new` says otherwise than `old`, thing by thing. Empty: they route alike, but for which of several routes is named on a
/// delivery.
///
/// They need not be maps that can be compiled; what can't be read in them is compared as it is written.
pub fn diff(old: &RouteMap, new: &RouteMap) -> Vec<Change> {
    let (mut before, mut after) = (Items::of(old), Items::of(new));
    let mut changes = Vec::new();
    // What routes say of destinations, and whose they are, is compared by the names of now.
    let destinations = renamed(&mut before, &mut after, |subject| matches!(subject, Subject::Destination(_)));
    before.rename_destinations(&destinations);
    changes.extend(destinations);
    let tenants = renamed(&mut before, &mut after, |subject| matches!(subject, Subject::Tenant(_)));
    before.rename_tenants(&tenants);
    changes.extend(tenants);
    changes.extend(moved(&mut before, &mut after));
    changes.extend(renamed(&mut before, &mut after, |subject| matches!(subject, Subject::Route { .. })));
    for (subject, new) in after.0 {
        match before.0.remove(&subject) {
            Some(old) => {
                let details = old.details(&new);
                if !details.is_empty() {
                    changes.push(Change { subject, how: How::Changed, details });
                }
            }
            None => changes.push(Change { subject, how: How::Added, details: Vec::new() }),
        }
    }
    let removed = before.0.into_keys();
    changes.extend(removed.map(|subject| Change { subject, how: How::Removed, details: Vec::new() }));
    changes.extend(order::changes(old, new, &changes));
    changes.sort_by(|a, b| a.subject.cmp(&b.subject));
    changes
}

/// Takes out what is the same under another name, and tells it.
fn renamed(before: &mut Items, after: &mut Items, is_of_kind: fn(&Subject) -> bool) -> Vec<Change> {
    let alone = |items: &Items, others: &Items| -> Vec<(Subject, Vec<u8>)> {
        let alone = items.0.iter().filter(|(subject, _)| is_of_kind(subject) && !others.0.contains_key(subject));
        alone.map(|(subject, item)| (subject.clone(), items.identity(subject, item))).collect()
    };
    let mut gone: HashMap<Vec<u8>, Vec<Subject>> = HashMap::new();
    for (subject, identity) in alone(before, after).into_iter().rev() {
        gone.entry(identity).or_default().push(subject);
    }
    let mut changes = Vec::new();
    for (subject, identity) in alone(after, before) {
        let Some(old) = gone.get_mut(&identity).and_then(Vec::pop) else { continue };
        before.0.remove(&old);
        after.0.remove(&subject);
        changes.push(Change { subject, how: How::Renamed(old.name().to_owned()), details: Vec::new() });
    }
    changes
}

/// Takes out the routes that are another tenant's now, and tells them.
fn moved(before: &mut Items, after: &mut Items) -> Vec<Change> {
    let routes = |items: &Items| -> HashMap<String, Option<String>> {
        let routes = items.0.keys().filter_map(|subject| match subject {
            Subject::Route { tenant, id } => Some((id.clone(), tenant.clone())),
            _ => None,
        });
        routes.collect()
    };
    let now = routes(after);
    let mut changes = Vec::new();
    for (id, was) in routes(before) {
        let Some(is) = now.get(&id).filter(|is| **is != was) else { continue };
        let route = |tenant| Subject::Route { tenant, id: id.clone() };
        let (from, to) = (route(was.clone()), route(is.clone()));
        let (Some(old), Some(new)) = (before.0.remove(&from), after.0.remove(&to)) else { continue };
        changes.push(Change { subject: to, how: How::MovedFrom(was), details: old.details(&new) });
    }
    changes
}

impl Subject {
    /// What it is called; empty for the map.
    pub fn name(&self) -> &str {
        match self {
            Subject::Map => "",
            Subject::Source(name) | Subject::Destination(name) | Subject::Lookup(name) | Subject::Tenant(name) => name,
            Subject::Group { name, .. } => name,
            Subject::Route { id, .. } => id,
        }
    }
}

impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Subject::Map => f.write_str("the map"),
            Subject::Source(topic) => write!(f, "source {topic}"),
            Subject::Destination(id) => write!(f, "destination {id}"),
            Subject::Lookup(id) => write!(f, "lookup {id}"),
            Subject::Tenant(id) => write!(f, "tenant {id}"),
            Subject::Group { tenant: None, name } => write!(f, "exclusive group {name}"),
            Subject::Group { tenant: Some(tenant), name } => write!(f, "exclusive group {name} of tenant {tenant}"),
            Subject::Route { tenant: None, id } => write!(f, "route {id}"),
            Subject::Route { tenant: Some(tenant), id } => write!(f, "route {id} of tenant {tenant}"),
        }
    }
}

impl Display for Aspect {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self {
            Aspect::Name => "name",
            Aspect::Unmatched => "unmatched",
            Aspect::TypeOrigin => "event_type",
            Aspect::TenantOrigin => "tenant",
            Aspect::Payload => "payload",
            Aspect::Descriptors => "descriptors",
            Aspect::Topic => "topic",
            Aspect::Key => "key",
            Aspect::Answers => "answers",
            Aspect::Cache => "cache",
            Aspect::Placeholders => "placeholders",
            Aspect::Otherwise => "otherwise",
            Aspect::Labels => "labels",
            Aspect::Types => "types",
            Aspect::Condition => "when",
            Aspect::Destinations => "to",
            Aspect::OnAbsent => "on_absent",
            Aspect::Disabled => "disabled",
            Aspect::Exclusive => "exclusive",
            Aspect::Order => "order",
        })
    }
}

/// A line, and one for each detail below it.
impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let sign = match &self.how {
            How::Added => '+',
            How::Removed => '-',
            How::Renamed(_) | How::MovedFrom(_) | How::Changed => '~',
        };
        write!(f, "{sign} {}", self.subject)?;
        match &self.how {
            How::Renamed(from) => write!(f, ", which was called {from}")?,
            How::MovedFrom(Some(tenant)) => write!(f, ", which was of tenant {tenant}")?,
            How::MovedFrom(None) => f.write_str(", which was for all tenants")?,
            How::Added | How::Removed | How::Changed => {}
        }
        for detail in &self.details {
            for (sign, values) in [('-', &detail.before), ('+', &detail.after)] {
                if !values.is_empty() {
                    write!(f, "\n    {sign} {}: {}", detail.what, values.join(", "))?;
                }
            }
        }
        Ok(())
    }
}
