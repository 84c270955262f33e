//! The compiled table: flat arrays and hash indexes, immutable once it is compiled.
//!
//! Start at [`RouteTable::route`]. A *slot* holds the routes of one tenant; slot 0 those for every tenant. An event meets slot 0
//! and its tenant's, and in each: the routes of its exact type, those of each prefix of its type, and those for any type.

use crate::condition::{ConditionIndex, Conditions, Truth, range};
use crate::content::Content;
use crate::deliveries::{Deliveries, Delivery, Listed, Matches, Verdict};
use crate::evaluate::{Evaluation, Facts, Memory, TenantOf, Work};
use crate::event::{Event, Value};
use crate::exclusive::{Aside, Exclusive};
use crate::fields::Fields;
use crate::group::{GroupIndex, Groups, Sink};
use crate::json;
use crate::key_index::{KeyIndex, Payload};
use crate::limits::Usage;
use crate::lookups::{Answers, Lookup, LookupIndex, Lookups, NO_ANSWERS};
use crate::merged::{Aggregation, Merged};
use crate::protobuf::check::Schema;
use crate::resume::Waiting;
use crate::source::{Envelope, Opener, Origin, SourceRule, Unreadable};
use crate::template::{Placing, Templates};
use std::ops::Range;

/// A compiled RouteMap. Made by [`Compiler::compile`](crate::Compiler::compile).
#[derive(Debug)]
pub struct RouteTable {
    /// All texts that are kept, one behind the other.
    pub(crate) texts: String,
    pub(crate) name: Text,
    /// Every topic that an event can go to: those that are named, then those that templates stand for.
    pub(crate) destinations: Vec<DestinationRow>,
    pub(crate) templates: Templates,
    pub(crate) routes: Vec<RouteRow>,
    /// Where the routes of tenants begin; those before it are for all of them.
    pub(crate) first_of_tenants: RouteIndex,
    /// Lists of destinations, each different one once.
    pub(crate) fan_outs: Vec<FanOut>,
    pub(crate) fan_out_destinations: Vec<DestinationIndex>,
    /// The routes that belong to exclusive groups.
    pub(crate) exclusives: Vec<Exclusive>,
    /// The names of the groups, by number.
    pub(crate) exclusive_groups: Vec<Text>,
    pub(crate) conditions: Conditions,
    pub(crate) fields: Fields,
    pub(crate) groups: Groups,
    pub(crate) merged: Merged,
    pub(crate) aggregation: Aggregation,
    pub(crate) lookups: Lookups,
    /// How many readers of payloads an event can need at once.
    pub(crate) readers: usize,
    pub(crate) sources: Vec<SourceRule>,
    pub(crate) source_by_topic: KeyIndex,
    /// What is asked of the envelopes of CloudEvents.
    pub(crate) envelope: Envelope,
    /// The messages of sources whose payloads are validated as a whole.
    pub(crate) schema: Schema,
    pub(crate) slots: Vec<Slot>,
    pub(crate) slot_by_tenant: KeyIndex,
    /// From (slot and kind, type or prefix) to its candidates.
    pub(crate) types: KeyIndex,
    pub(crate) prefix_lengths: Vec<PrefixLength>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) unmatched: Unmatched,
    pub(crate) usage: Usage,
}

/// A text within [`RouteTable::texts`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

impl Text {
    pub(crate) fn of(self, texts: &str) -> &str {
        texts.get(range(self.at, self.len)).unwrap_or_default()
    }

    pub(crate) fn bytes_of(self, texts: &str) -> &[u8] {
        texts.as_bytes().get(range(self.at, self.len)).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DestinationRow {
    pub(crate) id: Text,
    pub(crate) topic: Text,
    /// Among the destinations of the map.
    pub(crate) place: u32,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteRow {
    pub(crate) id: Text,
    /// The whole of it; a group's members know only what their looks leave of it.
    pub(crate) condition: ConditionIndex,
    pub(crate) written: Written,
    /// What to do when the condition is absent.
    pub(crate) dead_letter_if_absent: bool,
    /// Stands under no type then.
    pub(crate) disabled: bool,
}

/// How the author of a route wrote its condition, so that it can be spoken of in their words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Written {
    /// As a tree of messages, or not at all.
    #[default]
    Tree,
    /// As CEL.
    Cel,
    /// As an EventBridge event pattern.
    EventPattern,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FanOut {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slot {
    pub(crate) has_exact: bool,
    /// A run of `prefix_lengths`, ascending.
    pub(crate) first_prefix_length: u32,
    pub(crate) prefix_lengths: u32,
    /// The routes for any type.
    pub(crate) any: Option<Payload>,
    /// The tenant's own policy.
    pub(crate) unmatched: Option<Unmatched>,
    /// The slot whose keys and candidates this one has, since its routes say the same.
    pub(crate) alike: Option<u32>,
    /// Where its own routes begin in the order of the map; they end where those of the next slot begin.
    pub(crate) first_route: RouteIndex,
}

/// How long some prefixes of a slot are, and the byte that ends them: `hunt.clue.` is looked up only for types that have a `.`
/// in that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PrefixLength {
    pub(crate) len: u16,
    pub(crate) last: u8,
}

/// A route as the hot path sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) route: RouteIndex,
    pub(crate) condition: ConditionIndex,
    /// Of a route in an exclusive group: [`Candidate::fan_out_of_exclusive`].
    pub(crate) fan_out: u32,
}

impl Candidate {
    /// Fan-outs are fewer than routes, which the limit `routes` keeps far below this; from here on they are places among
    /// [`RouteTable::exclusives`].
    const EXCLUSIVE: u32 = 1 << 31;
    /// Stands where a fan-out's number would, and says that the payload is a run of `candidates` instead.
    const MANY: u32 = u32::MAX;
    /// Says that it is a group.
    const GROUP: u32 = u32::MAX - 1;

    pub(crate) fn fan_out_of_exclusive(place: u32) -> u32 {
        Candidate::EXCLUSIVE | place
    }

    /// The place of a route in an exclusive group among all such routes.
    #[inline]
    pub(crate) fn exclusive(self) -> Option<u32> {
        self.fan_out.checked_sub(Candidate::EXCLUSIVE)
    }

    pub(crate) fn payload(self) -> Payload {
        [self.route.0, self.condition.0, self.fan_out]
    }

    pub(crate) const fn payload_of_many(first: u32, count: u32) -> Payload {
        [first, count, Candidate::MANY]
    }

    pub(crate) fn payload_of_group(group: GroupIndex) -> Payload {
        [group.0, 0, Candidate::GROUP]
    }

    /// What such a payload stands for.
    #[inline]
    pub(crate) fn lead_of([first, second, third]: Payload) -> Lead {
        match third {
            Candidate::MANY => Lead::Many(range(first, second)),
            Candidate::GROUP => Lead::Group(GroupIndex(first)),
            fan_out => Lead::One(Candidate { route: RouteIndex(first), condition: ConditionIndex(second), fan_out }),
        }
    }
}

/// What a key of the index leads to.
pub(crate) enum Lead {
    One(Candidate),
    /// A run of the table's candidates.
    Many(Range<usize>),
    Group(GroupIndex),
}

/// Whether a key of the index is a whole type or a prefix; part of the key's space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KeyKind {
    Exact = 0,
    Prefix = 1,
}

pub(crate) fn space(slot: u32, kind: KeyKind) -> u32 {
    slot << 1 | kind as u32
}

/// Place of a destination in one table; meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationIndex(pub(crate) u32);

impl DestinationIndex {
    /// The limits `destinations` and `topics` keep rows far below this; from here on it is places among the templates.
    const TEMPLATE: u32 = 1 << 31;

    /// For arrays that run beside the table's destinations.
    pub fn get(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn of_template(place: u32) -> DestinationIndex {
        DestinationIndex(DestinationIndex::TEMPLATE | place)
    }

    /// The place of a destination with placeholders among the templates.
    #[inline]
    pub(crate) fn template(self) -> Option<u32> {
        self.0.checked_sub(DestinationIndex::TEMPLATE)
    }
}

/// Place of a route in one table, in the order of the map; meaningless in any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteIndex(pub(crate) u32);

impl RouteIndex {
    /// The route's place among those of the map; those of its tenants follow its own.
    pub fn get(self) -> usize {
        self.0 as usize
    }
}

/// A topic that events go to: all of a destination, or one of those that a destination with placeholders stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'t> {
    /// The destination's name in the map. Those of a destination with placeholders have it in common.
    pub id: &'t str,
    /// The Kafka topic. No two of a table have the same one.
    pub topic: &'t str,
    /// Which of the map's destinations declares it, counted from 0.
    pub place: usize,
}

/// What the map, or the event's tenant, says of events that no route wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// They are dropped and counted.
    #[default]
    Drop,
    /// They go to the dead letters.
    DeadLetter,
    /// They go to this destination. Of one with placeholders no topic is known before the event is: the deliveries have it.
    Destination(DestinationIndex),
}

/// Beyond this many bytes an index does not stay in a core's own cache (1 to 2 MiB in the servers of today, and events want some of
/// it), so that a lookup waits for memory unless it was announced.
const PREFETCH_FROM_BYTES: usize = 1 << 20;

impl RouteTable {
    /// Whether [`RouteTable::prefetch`] pays for this table: a small one is in the cache anyway.
    pub fn wants_prefetch(&self) -> bool {
        self.is_index_large() || self.fields.plans() > 0
    }

    #[inline]
    fn is_index_large(&self) -> bool {
        self.types.memory_bytes() > PREFETCH_FROM_BYTES
    }

    /// Starts to load what [`RouteTable::route`] will read for `event`. Called for some events ahead, it lets their waits for memory
    /// run side by side; it changes no answer.
    #[inline]
    pub fn prefetch<E: Event + ?Sized>(&self, event: &E) {
        if self.fields.plans() > 0 {
            json::prefetch(event.payload().unwrap_or_default());
        }
        if !self.is_index_large() {
            return;
        }
        let Some(rule) = self.source_rule(event.topic()) else { return };
        let Some(event_type) = rule.event_type.of(&self.texts, event).bytes() else { return };
        self.prefetch_in_slot(0, event_type);
        if !self.slot_by_tenant.is_empty()
            && let Some(slot) = self.slot_of_tenant(rule.tenant.of(&self.texts, event))
        {
            self.prefetch_in_slot(slot, event_type);
        }
    }

    #[inline]
    fn prefetch_in_slot(&self, slot: u32, event_type: &[u8]) {
        if let Some(row) = self.slots.get(slot as usize).filter(|row| row.has_exact) {
            self.types.prefetch(space(row.alike.unwrap_or(slot), KeyKind::Exact), event_type);
        }
    }

    /// Who gets `event`: fills `out`. Allocates nothing once `out` has met a table of this size, and can't fail.
    ///
    /// Where routes depend on lookups, the verdict is [`Verdict::Waiting`]: see [`RouteTable::resume`].
    #[inline]
    pub fn route<E: Event>(&self, event: &E, out: &mut Deliveries) {
        out.begin(self);
        let Deliveries { list, listed, mark, undecided, aside, waiting, placing, memory, verdict, .. } = out;
        let mut sink = Delivering { table: self, list, listed, mark: *mark, undecided, aside, waiting, placing };
        let said = self.with_facts(event, &NO_ANSWERS, memory, |facts, work| {
            let slot = self.ask_slots(facts, work, &mut sink);
            sink.conclude(slot, facts, work)
        });
        *verdict = match said {
            Ok(said) => said.unwrap_or(Verdict::Unmatched(self.unmatched)),
            Err(reason) => Verdict::Unreadable(reason),
        };
    }

    /// Which routes `event` matches, whatever their destinations: fills `out`. Routes that are disabled match nothing; those of an
    /// exclusive group that match are all told, though [`RouteTable::route`] lets only the first of them deliver. Allocates nothing once `out` has met a table of this
    /// size and as many matches, and can't fail.
    ///
    /// # Errors
    /// The event's type can't be told, so that no route could be asked.
    pub fn matches<E: Event>(&self, event: &E, out: &mut Matches) -> Result<(), Unreadable> {
        out.begin(self);
        let Matches { routes, undecided, waiting, memory } = out;
        let mut matching = Matching { routes, undecided, waiting };
        let slot = self.with_facts(event, &NO_ANSWERS, memory, |facts, work| {
            let slot = self.ask_slots(facts, work, &mut matching);
            if !self.merged.is_empty() {
                self.match_merged(facts, work, &mut matching);
            }
            slot
        });
        let slot = slot?.unwrap_or_default();
        if let Some(row) = self.slots.get(slot as usize).filter(|row| row.alike.is_some()) {
            self.move_routes(routes.iter_mut().chain(undecided.iter_mut()).chain(waiting.iter_mut()), row);
        }
        for list in [routes, undecided, waiting].into_iter().filter(|list| list.len() > 1) {
            list.sort_unstable();
            list.dedup();
        }
        Ok(())
    }

    /// Puts a tenant's own routes in the place of those that were asked, which are of a tenant that has the same ones.
    #[cold]
    fn move_routes<'r>(&self, routes: impl Iterator<Item = &'r mut RouteIndex>, slot: &Slot) {
        let later = self.routes_later(slot);
        for route in routes.filter(|route| **route >= self.first_of_tenants) {
            route.0 += later;
        }
    }

    /// How much later than the routes that were compiled for it a slot's own ones come in the order of the map.
    pub(crate) fn routes_later(&self, slot: &Slot) -> u32 {
        let compiled = slot.alike.and_then(|alike| self.slots.get(alike as usize)).unwrap_or(slot);
        slot.first_route.0.saturating_sub(compiled.first_route.0)
    }

    /// Asks all routes that may want `event`. Returns the slot of its tenant; 0 if the map names none such.
    #[cfg(test)]
    pub(crate) fn ask<E: Event>(&self, event: &E, memory: &mut Memory, out: &mut dyn Sink) -> Result<u32, Unreadable> {
        let slot = self.with_facts(event, &NO_ANSWERS, memory, |facts, work| self.ask_slots(facts, work, out));
        slot.map(Option::unwrap_or_default)
    }

    /// Finds out what must be known of `event` before its routes are asked, and goes on with it. `None`: the map has no rule for its topic.
    #[inline]
    pub(crate) fn with_facts<E: Event, R>(
        &self,
        event: &E,
        answers: &Answers,
        memory: &mut Memory,
        then: impl FnOnce(&Facts<'_>, &mut Work<'_>) -> R,
    ) -> Result<Option<R>, Unreadable> {
        let Some(rule) = self.source_rule(event.topic()) else { return Ok(None) };
        if !rule.is_plain() {
            return self.with_opened(event, rule, answers, memory, then).map(Some);
        }
        let event_type = type_of(rule.event_type.of(&self.texts, event))?;
        let payload = Content::json(event.payload().unwrap_or_default());
        let facts =
            Facts { event, event_type, payload, tenant: TenantOf::Origin(rule.tenant), answers, is_element: false };
        let (_, mut work) = memory.all();
        Ok(Some(then(&facts, &mut work)))
    }

    /// The same of an event that must be opened first.
    #[inline(never)]
    fn with_opened<E: Event, R>(
        &self,
        event: &E,
        rule: &SourceRule,
        answers: &Answers,
        memory: &mut Memory,
        then: impl FnOnce(&Facts<'_>, &mut Work<'_>) -> R,
    ) -> Result<R, Unreadable> {
        let RouteTable { fields, texts, envelope, schema, .. } = self;
        let (opening, mut work) = memory.all();
        let opened = opening.open(Opener { fields, texts, envelope, schema }, rule, event)?;
        let event_type = type_of(opened.event_type(texts, rule.event_type))?;
        let tenant = opened.tenant().map_or(TenantOf::Origin(rule.tenant), TenantOf::Found);
        let facts = Facts { event: &opened, event_type, payload: opened.payload, tenant, answers, is_element: false };
        Ok(then(&facts, &mut work))
    }

    #[inline]
    pub(crate) fn evaluation<'a>(&'a self, facts: &'a Facts<'a>) -> Evaluation<'a> {
        let RouteTable { conditions, fields, lookups, texts, .. } = self;
        Evaluation { conditions, fields, lookups, texts, facts }
    }

    #[inline]
    fn ask_slots(&self, facts: &Facts<'_>, work: &mut Work<'_>, out: &mut dyn Sink) -> u32 {
        let evaluation = self.evaluation(facts);
        self.route_in_slot(0, &evaluation, work, out);
        let slot = self.slot_of(facts);
        if let Some(slot) = slot {
            self.route_in_slot(slot, &evaluation, work, out);
        }
        slot.unwrap_or(0)
    }

    /// The slot of the event's tenant, if the map names that tenant.
    #[inline]
    pub(crate) fn slot_of(&self, facts: &Facts<'_>) -> Option<u32> {
        if self.slot_by_tenant.is_empty() {
            return None;
        }
        self.slot_of_tenant(facts.tenant.value(&self.texts, facts.event))
    }

    /// The slot of a tenant, if the map names it.
    #[inline]
    pub(crate) fn slot_of_tenant(&self, tenant: Value<'_>) -> Option<u32> {
        self.slot_by_tenant.get(0, tenant.bytes()?).map(|[slot, ..]| slot)
    }

    #[inline]
    fn route_in_slot(&self, slot: u32, evaluation: &Evaluation<'_>, work: &mut Work<'_>, out: &mut dyn Sink) {
        let Some(row) = self.slots.get(slot as usize) else { return };
        let event_type = evaluation.facts.event_type;
        let slot = row.alike.unwrap_or(slot);
        if row.has_exact
            && let Some(found) = self.types.get(space(slot, KeyKind::Exact), event_type)
        {
            self.consider(found, evaluation, work, out);
        }
        let lengths = self.prefix_lengths.get(range(row.first_prefix_length, row.prefix_lengths)).unwrap_or_default();
        for prefix in lengths {
            let Some(start) = event_type.get(..usize::from(prefix.len)) else { break };
            if start.last() == Some(&prefix.last)
                && let Some(found) = self.types.get(space(slot, KeyKind::Prefix), start)
            {
                self.consider(found, evaluation, work, out);
            }
        }
        if let Some(any) = row.any {
            self.consider(any, evaluation, work, out);
        }
    }

    /// Decides what a key of the index leads to.
    #[inline]
    pub(crate) fn consider(
        &self,
        found: Payload,
        evaluation: &Evaluation<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        match Candidate::lead_of(found) {
            Lead::Many(run) => {
                for candidate in self.candidates.get(run).unwrap_or_default() {
                    self.decide(*candidate, evaluation, work, out);
                }
            }
            Lead::Group(group) => self.decide_group(group, evaluation, work, out),
            Lead::One(candidate) => self.decide(candidate, evaluation, work, out),
        }
    }

    #[inline]
    pub(crate) fn decide(
        &self,
        candidate: Candidate,
        evaluation: &Evaluation<'_>,
        work: &mut Work<'_>,
        out: &mut dyn Sink,
    ) {
        let truth = match candidate.condition {
            ConditionIndex::ALWAYS => Truth::True,
            ConditionIndex(root) => evaluation.condition(root, work.readers, work.buffers),
        };
        out.decided(candidate, truth);
    }

    /// The rule of a topic; the first one is that of topics which the map does not name.
    #[inline]
    pub(crate) fn source_rule(&self, topic: &str) -> Option<&SourceRule> {
        if self.source_by_topic.is_empty() {
            return self.sources.first();
        }
        let index = self.source_by_topic.get(0, topic.as_bytes()).map_or(0, |[index, ..]| index);
        self.sources.get(index as usize)
    }

    /// The map's name.
    pub fn name(&self) -> &str {
        self.name.of(&self.texts)
    }

    /// The destination at a place of this table; `None` for an index of a larger table.
    pub fn destination(&self, index: DestinationIndex) -> Option<Destination<'_>> {
        self.destinations.get(index.get()).map(|row| self.shown(row))
    }

    /// All topics that events can go to, in the order of [`DestinationIndex::get`]: those that the map names in its order, then those that its
    /// destinations with placeholders stand for.
    pub fn destinations(&self) -> impl ExactSizeIterator<Item = Destination<'_>> {
        self.destinations.iter().map(|row| self.shown(row))
    }

    fn shown(&self, row: &DestinationRow) -> Destination<'_> {
        Destination { id: row.id.of(&self.texts), topic: row.topic.of(&self.texts), place: row.place as usize }
    }

    /// The route at a place among those of the map; `None` if it has not so many.
    pub fn route_index(&self, place: usize) -> Option<RouteIndex> {
        (place < self.routes.len()).then_some(RouteIndex(place as u32))
    }

    /// The id of a route of this table; empty for an index of a larger table.
    pub fn route_id(&self, index: RouteIndex) -> &str {
        self.routes.get(index.0 as usize).map_or("", |row| row.id.of(&self.texts))
    }

    /// Where an event's type stands, in words: "header `ce_type`".
    pub fn type_origin<E: Event>(&self, event: &E) -> String {
        let rule = self.source_rule(event.topic());
        let is_in_envelope = rule.is_some_and(|rule| rule.payload.is_envelope(event.header("content-type")));
        match rule.map(|rule| rule.event_type) {
            Some(Origin::Header(name)) => match name.of(&self.texts).strip_prefix("ce_").filter(|_| is_in_envelope) {
                Some(attribute) => format!("attribute `{attribute}` of the envelope"),
                None => format!("header `{}`", name.of(&self.texts)),
            },
            Some(Origin::Key) => "the record's key".to_owned(),
            Some(Origin::Topic) => "the topic's name".to_owned(),
            Some(Origin::Constant(text)) => format!("the constant `{}`", text.of(&self.texts)),
            Some(Origin::Field(field)) => {
                format!("the payload's field `{}`", self.fields.dotted_name(&self.texts, field))
            }
            None => "nowhere".to_owned(),
        }
    }

    /// The name of a lookup in the map.
    pub(crate) fn lookup_id(&self, lookup: LookupIndex) -> &str {
        self.lookups.rows.get(lookup.get()).map_or("", |row| row.id.of(&self.texts))
    }

    /// The lookups that the map declares, in its order and that of [`LookupIndex::get`](crate::LookupIndex::get).
    pub fn lookups(&self) -> impl ExactSizeIterator<Item = Lookup<'_>> {
        self.lookups.rows.iter().map(|row| row.show(&self.texts))
    }

    /// What the map uses of the limits.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Memory that the table holds, spare room included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.texts.capacity()
            + self.destinations.capacity() * size_of::<DestinationRow>()
            + self.templates.memory_bytes()
            + self.routes.capacity() * size_of::<RouteRow>()
            + self.fan_outs.capacity() * size_of::<FanOut>()
            + self.fan_out_destinations.capacity() * size_of::<DestinationIndex>()
            + self.exclusives.capacity() * size_of::<Exclusive>()
            + self.exclusive_groups.capacity() * size_of::<Text>()
            + self.conditions.memory_bytes()
            + self.fields.memory_bytes()
            + self.groups.memory_bytes()
            + self.merged.memory_bytes()
            + self.lookups.memory_bytes()
            + self.sources.capacity() * size_of::<SourceRule>()
            + self.schema.memory_bytes()
            + self.slots.capacity() * size_of::<Slot>()
            + self.prefix_lengths.capacity() * size_of::<PrefixLength>()
            + self.candidates.capacity() * size_of::<Candidate>()
            + [&self.source_by_topic, &self.slot_by_tenant, &self.types]
                .map(KeyIndex::memory_bytes)
                .into_iter()
                .sum::<usize>()
    }

    /// Without memory yet. Only a compiler needs one: it says of no event what becomes of it.
    pub(crate) fn empty() -> Self {
        RouteTable {
            texts: String::new(),
            name: Text::default(),
            destinations: Vec::new(),
            templates: Templates::default(),
            routes: Vec::new(),
            first_of_tenants: RouteIndex(0),
            fan_outs: Vec::new(),
            fan_out_destinations: Vec::new(),
            exclusives: Vec::new(),
            exclusive_groups: Vec::new(),
            conditions: Conditions::default(),
            fields: Fields::default(),
            groups: Groups::default(),
            merged: Merged::default(),
            aggregation: Aggregation::default(),
            lookups: Lookups::default(),
            readers: 0,
            sources: Vec::new(),
            source_by_topic: KeyIndex::default(),
            envelope: Envelope::default(),
            schema: Schema::default(),
            slots: Vec::new(),
            slot_by_tenant: KeyIndex::default(),
            types: KeyIndex::default(),
            prefix_lengths: Vec::new(),
            candidates: Vec::new(),
            unmatched: Unmatched::Drop,
            usage: Usage::default(),
        }
    }

    /// Empties the table and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.name = Text::default();
        self.destinations.clear();
        self.templates.clear();
        self.routes.clear();
        self.fan_outs.clear();
        self.fan_out_destinations.clear();
        self.exclusives.clear();
        self.exclusive_groups.clear();
        self.conditions.clear();
        self.fields.clear();
        self.groups.clear();
        self.merged.clear();
        self.aggregation = Aggregation::default();
        self.lookups.clear();
        self.readers = 0;
        self.sources.clear();
        self.source_by_topic.reset(0);
        self.envelope.clear();
        self.schema.clear();
        self.slots.clear();
        self.slot_by_tenant.reset(0);
        self.types.reset(0);
        self.prefix_lengths.clear();
        self.candidates.clear();
        self.unmatched = Unmatched::Drop;
        self.usage = Usage::default();
    }
}

#[inline]
fn type_of(value: Value<'_>) -> Result<&[u8], Unreadable> {
    match value {
        Value::Missing | Value::Null => Err(Unreadable::TypeMissing),
        Value::Bytes([]) => Err(Unreadable::TypeEmpty),
        Value::Bytes(bytes) => Ok(bytes),
    }
}

/// Puts the destinations of routes that match into [`Deliveries`].
pub(crate) struct Delivering<'d> {
    pub(crate) table: &'d RouteTable,
    pub(crate) list: &'d mut Vec<Delivery>,
    pub(crate) listed: &'d mut [Listed],
    pub(crate) mark: u32,
    pub(crate) undecided: &'d mut Option<RouteIndex>,
    pub(crate) aside: &'d mut Aside,
    pub(crate) waiting: &'d mut Vec<Waiting>,
    pub(crate) placing: &'d mut Placing,
}

impl Sink for Delivering<'_> {
    #[inline]
    fn decided(&mut self, candidate: Candidate, truth: Truth) {
        match truth {
            Truth::True => {}
            Truth::False => return,
            Truth::Absent => return self.note_absent(candidate),
            Truth::Pending(pending) => return self.wait(candidate, pending),
        }
        match candidate.exclusive() {
            None => self.deliver(candidate.fan_out, candidate.route),
            Some(place) => self.aside.add(place, truth, self.mark),
        }
    }
}

impl Delivering<'_> {
    #[inline]
    pub(crate) fn deliver(&mut self, fan_out: u32, route: RouteIndex) {
        let FanOut { first, count } = self.table.fan_outs.get(fan_out as usize).copied().unwrap_or_default();
        for destination in self.table.fan_out_destinations.get(range(first, count)).unwrap_or_default() {
            self.add(*destination, Some(route));
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, destination: DestinationIndex, route: Option<RouteIndex>) {
        let Some(listed) = self.listed.get_mut(destination.get()) else { return self.name(destination, route) };
        note(listed, self.mark, self.list, Delivery { destination, route });
    }

    /// Decides what is left when all routes were asked, and says what becomes of the event. `slot` is that of its tenant.
    #[inline]
    pub(crate) fn conclude(&mut self, slot: u32, facts: &Facts<'_>, work: &mut Work<'_>) -> Verdict {
        if !self.waiting.is_empty() && self.is_still_waiting(&mut work.buffers.inquiry) {
            return Verdict::Waiting;
        }
        if !self.aside.is_empty() {
            self.settle();
        }
        let verdict = if self.is_wanted() { Verdict::Routed } else { self.let_go(slot) };
        self.name_topics_and_routes(slot, facts, work);
        verdict
    }

    /// Whether a route wants the event, or can't be decided and asks for a dead letter.
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        !self.list.is_empty() || self.undecided.is_some() || !self.placing.named.is_empty()
    }

    /// Does with the event what its tenant or the map says of events that no route wants.
    #[inline]
    pub(crate) fn let_go(&mut self, slot: u32) -> Verdict {
        let row = self.table.slots.get(slot as usize);
        let policy = row.and_then(|row| row.unmatched).unwrap_or(self.table.unmatched);
        if let Unmatched::Destination(destination) = policy {
            self.add(destination, None);
        }
        Verdict::Unmatched(policy)
    }

    /// Finds the topics of destinations with placeholders, and puts a tenant's own routes in the place of those that were asked.
    #[inline]
    pub(crate) fn name_topics_and_routes(&mut self, slot: u32, facts: &Facts<'_>, work: &mut Work<'_>) {
        if !self.placing.named.is_empty() {
            self.place(facts, slot, work);
        }
        let row = self.table.slots.get(slot as usize);
        if let Some(row) = row.filter(|row| row.alike.is_some()) {
            let routes = self.list.iter_mut().map(|delivery| &mut delivery.route);
            let routes = routes.chain(self.placing.unplaced.iter_mut().map(|unplaced| &mut unplaced.route));
            self.table.move_routes(routes.filter_map(Option::as_mut).chain(self.undecided.as_mut()), row);
        }
    }

    /// Whether it makes a difference for a route that its condition is absent and not false.
    pub(crate) fn is_absence_told(&self, route: RouteIndex) -> bool {
        self.table.routes.get(route.0 as usize).is_some_and(|row| row.dead_letter_if_absent)
    }

    #[cold]
    fn note_absent(&mut self, candidate: Candidate) {
        if !self.is_absence_told(candidate.route) {
            return;
        }
        match candidate.exclusive() {
            None => self.note_undecided(candidate.route),
            Some(place) => self.aside.add(place, Truth::Absent, self.mark),
        }
    }

    pub(crate) fn note_undecided(&mut self, route: RouteIndex) {
        *self.undecided = Some(self.undecided.map_or(route, |earlier| earlier.min(route)));
    }

    /// Decides between the routes of exclusive groups.
    fn settle(&mut self) {
        let mut aside = std::mem::take(self.aside);
        aside.settle(&self.table.exclusives, |route, truth| match truth {
            Truth::True => self.deliver(route.fan_out, route.route),
            Truth::Absent => self.note_undecided(route.route),
            // Neither is set aside.
            Truth::False | Truth::Pending(_) => {}
        });
        *self.aside = aside;
    }
}

/// Adds a delivery to a list that has each destination once, with the first route that sends the event there.
#[inline]
pub(crate) fn note(listed: &mut Listed, mark: u32, list: &mut Vec<Delivery>, delivery: Delivery) {
    if listed.mark == mark {
        if let Some(earlier) = list.get_mut(listed.at as usize) {
            earlier.route = earlier.route.min(delivery.route);
        }
        return;
    }
    *listed = Listed { mark, at: list.len() as u32 };
    list.push(delivery);
}

/// Lists the routes that match.
pub(crate) struct Matching<'m> {
    pub(crate) routes: &'m mut Vec<RouteIndex>,
    pub(crate) undecided: &'m mut Vec<RouteIndex>,
    pub(crate) waiting: &'m mut Vec<RouteIndex>,
}

impl Sink for Matching<'_> {
    #[inline]
    fn decided(&mut self, candidate: Candidate, truth: Truth) {
        match truth {
            Truth::True => self.routes.push(candidate.route),
            Truth::Absent => self.undecided.push(candidate.route),
            Truth::Pending(_) => self.waiting.push(candidate.route),
            Truth::False => {}
        }
    }
}
