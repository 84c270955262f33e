//! Why an event goes where it goes: for every route that it meets, whether the route wants it, and if not, what stood in the way.
//!
//! Start at [`RouteTable::explain`]. What is said comes from the table that routes: its index says which routes are about the event's type,
//! the trees of its conditions are evaluated as they are for events, and deliveries are those that [`RouteTable::route`] makes. Parts of
//! conditions are told in the words of their author: CEL for what was written as CEL or as messages, and the lists of the pattern for an
//! event pattern. A [`Cause`] stops at what decides: the first part of an `all` that is false, every part of an `any` none of which is true.
//!
//! This is for people and takes its time; it allocates as it likes. What it says of one route is bounded, whatever the event.

mod cause;
mod exclusive;
mod show;
mod undecided;
mod unplaced;

pub use exclusive::InGroup;
pub use show::{Actual, ActualValue, SharePlace, ValueKind};
pub use unplaced::UnplacedExplanation;

use crate::condition::{ConditionIndex, Truth};
use crate::deliveries::{Deliveries, Verdict};
use crate::evaluate::{Facts, Memory, Work};
use crate::event::{Event, Value};
use crate::filed::{Filed, RouteTypes};
use crate::json;
use crate::lookups::{Answers, NO_ANSWERS, Need};
use crate::protobuf::{self, check::Schema};
use crate::source::{PayloadRule, SourceRule, Unreadable};
use crate::table::{RouteIndex, RouteTable, Written};
use cause::Causes;
use show::shown_bytes;
use veltrix_proto::v1::Condition;

/// Why one event goes where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The event's type, or why the event can't be read; then no route was asked.
    pub event_type: Result<String, Unreadable>,
    /// Where the type was looked for, in words: "header `ce_type`".
    pub type_origin: String,
    /// Whose event it is.
    pub tenant: TenantFound,
    /// Why the payload has no fields; `None` if it has, or if no route of the table asks for any.
    pub payload: Option<NoFields>,
    /// The routes that the event meets, those of its tenant included, in the order of the map.
    pub routes: Vec<RouteExplanation>,
    /// Where it goes, each destination once; as long as something has to be looked up, where it goes whatever that says.
    pub deliveries: Vec<DeliveryExplanation>,
    /// The destinations with placeholders that have no topic for it, each once.
    pub unplaced: Vec<UnplacedExplanation>,
    /// What becomes of it as a whole.
    pub verdict: Verdict,
    /// Whether the event's tenant says what becomes of events that no route wants, and not the map.
    pub has_policy_of_tenant: bool,
    /// The route that makes a dead letter of it, because its condition is absent.
    pub undecided: Option<String>,
    /// What has to be looked up before it is known where else it goes: lookups and their keys.
    pub needs: Vec<(String, String)>,
}

/// What is known of an event's tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TenantFound {
    /// The event has none.
    None,
    /// It has one, which has no routes of its own in the map.
    Unknown(String),
    /// It has one whose routes it meets.
    Known(String),
}

/// Why a payload has no fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFields {
    /// There is no payload, or an empty one.
    #[error("the event has no payload")]
    Empty,
    /// It is JSON, but not an object.
    #[error("the payload is no JSON object")]
    NotAnObject,
    /// It is no JSON from this byte on. Fields before it may have been found all the same.
    #[error("the payload is no JSON: byte {at} can't stand there")]
    Malformed {
        /// Counted from 0.
        at: usize,
    },
    /// It is no protobuf message.
    #[error("the payload is no protobuf message: byte {at} begins a field that can't be one")]
    NoMessage {
        /// Counted from 0, after what frames the message.
        at: usize,
    },
    /// It is a CloudEvents envelope without an object in it.
    #[error("the envelope's `data` is no JSON object")]
    NoData,
    /// The source says that its payloads are not read.
    #[error("the map says of this topic that its payloads are not read")]
    NotRead,
}

/// What one route makes of the event.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteExplanation {
    /// Its place in the table.
    pub route: RouteIndex,
    /// Its id.
    pub id: String,
    /// Whether it is a route of the event's tenant, and not one for all.
    pub is_of_tenant: bool,
    /// In which words it is spoken of.
    pub written: Written,
    /// Where it stands in an exclusive group; `None`: it is in none.
    pub exclusive: Option<InGroup>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Whether a route wants an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It does.
    Matched,
    /// Its condition is true, but whether it is asked depends on lookups: [`InGroup::unless`] says which routes are before it.
    Deferred,
    /// It was not asked: [`InGroup::behind`] says which route is before it. Its condition is true, or depends on what would have to be looked
    /// up: on this.
    Excluded(Option<Cause>),
    /// It is switched off.
    Disabled,
    /// It is about other types: these.
    OtherType(RouteTypes),
    /// Its condition is false.
    NoMatch(Cause),
    /// Its condition depends on what has to be looked up; and whether it is asked, on the routes of [`InGroup::unless`], if there are some.
    Waiting(Cause),
    /// Its condition is neither true nor false.
    Absent {
        /// What made it so.
        cause: Cause,
        /// Whether it makes a dead letter: the route says so, and is asked for certain.
        dead_letter: bool,
    },
}

/// A part of a condition, what it yields, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The part, in the words of its author.
    pub words: String,
    /// The part itself, as the table knows it. What it says of elements is about those of the causes around it; of an event pattern's, a
    /// lone one is not told.
    pub condition: Condition,
    /// What it yields.
    pub truth: Truth,
    /// What makes it so.
    pub because: Because,
}

/// What makes a part of a condition true, false or absent.
#[derive(Clone, Debug, PartialEq)]
pub enum Because {
    /// What the event has at a place.
    Value {
        /// The place, in words: `payload.points`.
        place: String,
        /// What is there.
        actual: Actual,
    },
    /// What can't be known of a place in an answer.
    Lookup {
        /// The place, in words: `lookup.player.region`.
        place: String,
        /// The lookup's id.
        lookup: String,
        /// What it is looked up by; `None`: the lookup has failed.
        key: Option<String>,
    },
    /// That nothing is looked up, as the event has no key for it.
    NoKey {
        /// The place in the answer, in words: `lookup.shard.tier`.
        place: String,
        /// The lookup's id.
        lookup: String,
        /// Where its key is, in words: `payload.hunt_id`.
        key: String,
        /// What the event has there.
        actual: Actual,
    },
    /// These parts of it.
    Parts {
        /// Those that decide, and not all of them if they are many.
        parts: Vec<Cause>,
        /// How many more there are.
        more: usize,
    },
    /// It is the opposite of this.
    Opposite(Box<Cause>),
    /// Elements of an array.
    Elements {
        /// Which array, in words.
        place: String,
        /// Those that decide, with their places in the array, counted from 0.
        elements: Vec<(usize, Cause)>,
        /// How many more there are.
        more: usize,
    },
}

/// One delivery of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryExplanation {
    /// The destination's id.
    pub destination: String,
    /// The topic behind it.
    pub topic: String,
    /// The first route that sends the event there. `None`: the map says that events go there which no route wants.
    pub route: Option<String>,
}

impl Cause {
    /// The tests that decided, in the order of evaluation: what a program wants that does not care how they are nested.
    pub fn tests(&self) -> Vec<&Cause> {
        match &self.because {
            Because::Value { .. } | Because::Lookup { .. } | Because::NoKey { .. } => vec![self],
            Because::Parts { parts, .. } => parts.iter().flat_map(Cause::tests).collect(),
            Because::Opposite(inner) => inner.tests(),
            Because::Elements { elements, .. } => elements.iter().flat_map(|(_, cause)| cause.tests()).collect(),
        }
    }
}

impl RouteTable {
    /// Why `event` goes where it goes, as far as that is known without looking anything up.
    pub fn explain<E: Event>(&self, event: &E) -> Explanation {
        self.explain_with(event, &NO_ANSWERS)
    }

    /// The same, with what lookups say; what is not among `answers` is told as not known.
    pub fn explain_with<E: Event>(&self, event: &E, answers: &Answers) -> Explanation {
        let deliveries = self.foresee_certain(event, answers);
        let needs = deliveries.needs().map(|need| self.tell_need(&need));
        let mut explanation = Explanation {
            event_type: Err(Unreadable::TypeMissing),
            type_origin: self.type_origin(event),
            tenant: TenantFound::None,
            payload: None,
            routes: Vec::new(),
            deliveries: self.told(&deliveries),
            unplaced: deliveries.unplaced().iter().filter_map(|unplaced| self.tell_unplaced(event, unplaced)).collect(),
            verdict: deliveries.verdict(),
            has_policy_of_tenant: false,
            undecided: deliveries.undecided().map(|route| self.route_id(route).to_owned()),
            needs: needs.collect(),
        };
        let mut memory = Memory::default();
        memory.begin(self.readers, self.lookups.rows.len());
        let read = self.with_facts(event, answers, &mut memory, |facts, work| {
            explanation.event_type = Ok(shown_bytes(facts.event_type));
            let tenant = facts.tenant.value(&self.texts, facts.event);
            let slot = self.slot_of_tenant(tenant);
            let row = slot.and_then(|slot| self.slots.get(slot as usize));
            explanation.has_policy_of_tenant = row.is_some_and(|row| row.unmatched.is_some());
            if let Value::Bytes(tenant) = tenant {
                let tenant = shown_bytes(tenant);
                let is_known = slot.is_some();
                explanation.tenant = if is_known { TenantFound::Known(tenant) } else { TenantFound::Unknown(tenant) };
            }
            if self.fields.plans() > 0 {
                explanation.payload =
                    self.source_rule(event.topic()).and_then(|rule| no_fields(rule, &self.schema, facts));
            }
            explanation.routes = self.explain_routes(facts, slot, work);
        });
        if let Err(unreadable) = read {
            explanation.event_type = Err(unreadable);
        }
        explanation
    }

    /// What has to be looked up, in words: the lookup and its key.
    pub(crate) fn tell_need(&self, need: &Need<'_>) -> (String, String) {
        (self.lookup_id(need.lookup).to_owned(), shown_bytes(need.key))
    }

    fn told(&self, deliveries: &Deliveries) -> Vec<DeliveryExplanation> {
        let told = deliveries.list().iter().filter_map(|delivery| {
            let destination = self.destination(delivery.destination)?;
            Some(DeliveryExplanation {
                destination: destination.id.to_owned(),
                topic: destination.topic.to_owned(),
                route: delivery.route.map(|route| self.route_id(route).to_owned()),
            })
        });
        told.collect()
    }

    fn explain_routes(&self, facts: &Facts<'_>, slot: Option<u32>, work: &mut Work<'_>) -> Vec<RouteExplanation> {
        let evaluation = self.evaluation(facts);
        let slots: Vec<u32> = std::iter::once(0).chain(slot).collect();
        let explain = |Filed { route, slot, types }: Filed| {
            let row = self.routes.get(route.get())?;
            let outcome = match row.condition {
                _ if row.disabled => Outcome::Disabled,
                _ if !types.has(facts.event_type) => Outcome::OtherType(types),
                ConditionIndex::ALWAYS => Outcome::Matched,
                ConditionIndex(root) => {
                    let cause = Causes::new(self, &evaluation, row.written).of(root, work)?;
                    match cause.truth {
                        Truth::True => Outcome::Matched,
                        Truth::False => Outcome::NoMatch(cause),
                        Truth::Pending(_) => Outcome::Waiting(cause),
                        Truth::Absent => Outcome::Absent { cause, dead_letter: row.dead_letter_if_absent },
                    }
                }
            };
            let id = self.route_id(route).to_owned();
            let (is_of_tenant, written) = (slot != 0, row.written);
            Some(RouteExplanation { route, id, is_of_tenant, written, exclusive: None, outcome })
        };
        let mut routes: Vec<RouteExplanation> = self.filed(&slots).into_iter().filter_map(explain).collect();
        self.explain_groups(slot, &mut routes);
        routes
    }
}

/// Why a payload has no fields; `None` if it can have some.
fn no_fields(rule: &SourceRule, schema: &Schema, facts: &Facts<'_>) -> Option<NoFields> {
    match (rule.payload, facts.event.payload()) {
        (PayloadRule::Nothing, _) => Some(NoFields::NotRead),
        (_, None) => Some(NoFields::Empty),
        // Of a type whose payloads are not validated the schema knows no fields, so that only the message itself is looked at.
        (PayloadRule::Protobuf { message, .. }, Some(_)) => {
            protobuf::check::check(schema, message, facts.payload.bytes).err().map(|at| NoFields::NoMessage { at })
        }
        (PayloadRule::Json { .. }, Some(payload)) => no_fields_of_json(payload),
        (PayloadRule::CloudEvents { .. }, Some(payload)) => {
            no_fields_of_json(payload).or(facts.payload.bytes.is_empty().then_some(NoFields::NoData))
        }
    }
}

fn no_fields_of_json(payload: &[u8]) -> Option<NoFields> {
    if payload.is_empty() {
        return Some(NoFields::Empty);
    }
    match json::validate(payload) {
        Err(json::Malformed::Syntax { at }) => return Some(NoFields::Malformed { at }),
        // Its fields are read all the same, unless the source asks for a full check.
        Err(json::Malformed::TooDeep { .. }) | Ok(()) => {}
    }
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
    (first != Some(&b'{')).then_some(NoFields::NotAnObject)
}
