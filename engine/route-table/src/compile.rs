//! From the bytes of a RouteMap to a route table.
//!
//! Two steps: `decode` walks the bytes once per kind of thing and fills the flat arrays; then [`Compiler`] files every route under
//! its types. All memory is kept from compile to compile, so that a stream of updates of the same size allocates next to nothing.

use crate::condition::ConditionIndex;
use crate::decode::Decoder;
use crate::decode::{Compiled, Declared, ExclusiveGroup, TemplateScratch, Wish};
use crate::fault::{Fault, Reason, Refused};
use crate::fields::{FieldIndex, PlanIndex};
use crate::interned::Interned;
use crate::key_index::{self, Payload};
use crate::lookups::LookupPlace;
use crate::route_ids::route_ids;
use crate::table::{Candidate, DestinationIndex, KeyKind, PrefixLength, RouteIndex, RouteTable, Slot, Text};
use crate::value::cidr::Block;
use foldhash::fast::FixedState;
use prost::Message as _;
use std::hash::{BuildHasher, Hasher};
use veltrix_proto::v1::RouteMap;

mod groups;
mod leads;
mod merge;
mod payloads;

use groups::{AccessKey, GroupScratch, group};
pub(crate) use merge::MergeScratch;
pub(crate) use payloads::Messages;

/// Compiles RouteMaps, one after the other, into memory that is used again and again.
#[derive(Debug, Default)]
pub struct Compiler {
    scratch: Scratch,
    spare: Vec<RouteTable>,
}

/// Compiles one map; for tools and tests. It takes the same road as the bytes of a map do.
///
/// # Errors
/// Every reason that the map is refused for.
pub fn compile(map: &RouteMap) -> Result<RouteTable, Refused> {
    Compiler::new().compile(&map.encode_to_vec())
}

impl Compiler {
    /// Tables that are kept for their memory: one is in force, one drains, one is being compiled.
    const SPARE_MAX: usize = 2;

    /// Without memory yet.
    pub fn new() -> Self {
        Compiler::default()
    }

    /// Compiles a serialized [`RouteMap`].
    ///
    /// # Errors
    /// Every reason that the map is refused for. Nothing remains of it here.
    pub fn compile(&mut self, route_map: &[u8]) -> Result<RouteTable, Refused> {
        let mut table = self.spare.pop().unwrap_or_else(RouteTable::empty);
        table.clear();
        self.scratch.clear();
        table.usage.bytes = route_map.len() as u64;
        Decoder::new(&mut table, &mut self.scratch, route_map).decode();
        let reasons = std::mem::take(&mut self.scratch.reasons);
        if !reasons.is_empty() {
            self.recycle(table);
            return Err(reasons.refuse(route_map));
        }
        if let Err(fault) = file_by_type(&mut table, &mut self.scratch) {
            return Err(self.refuse(table, fault));
        }
        payloads::plan_whole(&mut table, &mut self.scratch);
        payloads::plan_envelopes(&mut table, &mut self.scratch);
        // Their descriptors are not needed any more, and can be large.
        let messages = std::mem::take(&mut self.scratch.messages);
        if let Err(fault) = payloads::plan_messages(&mut table, &messages) {
            return Err(self.refuse(table, fault));
        }
        table.usage.header_names = table.conditions.header_names.len() as u64;
        Ok(table)
    }

    /// Refuses a map that can't be compiled as a whole.
    fn refuse(&mut self, table: RouteTable, fault: Fault) -> Refused {
        self.recycle(table);
        Refused { reasons: vec![Reason { path: String::new(), route: None, fault }], omitted: 0 }
    }

    /// Takes back the memory of a table that nobody routes by any more.
    pub fn recycle(&mut self, table: RouteTable) {
        if self.spare.len() < Compiler::SPARE_MAX {
            self.spare.push(table);
        }
    }
}

/// So many things ahead their places in a table of hashes are announced, since a large one is in no cache.
pub(crate) const AHEAD: usize = 16;

/// What compiling needs besides the table itself.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) reasons: Reasons,
    pub(crate) path: Vec<Segment>,
    /// The texts of types and prefixes; the table keeps them in its index only.
    pub(crate) texts: String,
    pub(crate) exact: Vec<Text>,
    pub(crate) prefixes: Vec<Text>,
    pub(crate) fan_out: Vec<DestinationIndex>,
    pub(crate) postings: Vec<Posting>,
    pub(crate) any: Vec<(u32, Candidate)>,
    /// Which fields the tree that is being read asks for.
    pub(crate) wishes: Vec<Wish>,
    pub(crate) wished: Vec<FieldIndex>,
    /// Which places of answers the map asks for.
    pub(crate) looked_up: Vec<LookupPlace>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) groups: GroupScratch,
    pub(crate) merge: MergeScratch,
    pub(crate) destinations: Interned,
    /// The destinations that were read.
    pub(crate) declared: Vec<Declared>,
    pub(crate) templates: TemplateScratch,
    pub(crate) allowed_by_text: Interned,
    pub(crate) topics: Interned,
    pub(crate) source_topics: Interned,
    pub(crate) routes: Interned,
    pub(crate) tenants: Interned,
    pub(crate) header_names: Interned,
    pub(crate) predicates: Interned,
    pub(crate) spellings: Interned,
    pub(crate) spelled: Vec<Spelling>,
    /// The bytes of the predicates that texts stand for.
    pub(crate) of_texts: Vec<u8>,
    pub(crate) fan_outs: Interned,
    pub(crate) exclusive_groups: Vec<ExclusiveGroup>,
    pub(crate) exclusive_names: Interned,
    pub(crate) fields: Interned,
    pub(crate) plans: Interned,
    /// The plans of all groups and conditions.
    pub(crate) asked_plans: Vec<PlanIndex>,
    pub(crate) messages: Messages,
    pub(crate) tenant_ids: Vec<Text>,
    pub(crate) hashes: Vec<u64>,
    /// Tenants whose routes were compiled, by a hash of what these say.
    pub(crate) compiled: Vec<Compiled>,
    pub(crate) alike: Interned,
    /// Where each tenant's routes begin among all routes.
    pub(crate) tenant_routes: Vec<RouteIndex>,
    pub(crate) source_topic_texts: Vec<Text>,
    keys: Vec<Key>,
    placed: Vec<Candidate>,
    keys_by_text: Interned,
    /// By the routes under them, the first key that has just these; and those keys.
    keys_by_routes: Interned,
    different: Vec<u32>,
    lengths: Vec<(u32, PrefixLength)>,
}

/// One step of the way from the map to the field that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) field: &'static str,
    pub(crate) index: Option<u32>,
}

/// The bytes of a predicate, and the predicate that they stand for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spelling {
    /// Where they stand in the map; behind its end, among those that its texts stand for.
    pub(crate) at: u32,
    pub(crate) len: u32,
    pub(crate) predicate: u32,
}

/// One route under one of its types.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Posting {
    pub(crate) space: u32,
    pub(crate) text: Text,
    pub(crate) candidate: Candidate,
    /// Of space and text, as the index hashes them.
    pub(crate) hash: u64,
    /// Place among the keys; found when all postings are known.
    pub(crate) key: u32,
}

/// A type or prefix of one slot, and the routes that are about it.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// The first posting that has it.
    posting: u32,
    /// What it leads to; at first the only candidate.
    payload: Payload,
    count: u32,
    /// Where the run of candidates of a key begins that has several; where the next one is put, while they are put in place.
    first: u32,
    /// The first key that has the same routes; itself, if it is that.
    same_as: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Reasons {
    reasons: Vec<Reason>,
    omitted: usize,
}

impl Reasons {
    pub(crate) fn is_empty(&self) -> bool {
        self.reasons.is_empty()
    }

    pub(crate) fn count(&self) -> usize {
        self.reasons.len() + self.omitted
    }

    /// With the names of the routes of `map` that they are about.
    fn refuse(mut self, map: &[u8]) -> Refused {
        let ids = route_ids(map, self.reasons.iter().map(|reason| reason.path.as_str()));
        self.reasons.iter_mut().zip(ids).for_each(|(reason, id)| reason.route = id);
        Refused { reasons: self.reasons, omitted: self.omitted }
    }

    pub(crate) fn add(&mut self, path: &[Segment], fault: Fault) {
        if self.reasons.len() >= Refused::REASONS_MAX {
            self.omitted += 1;
            return;
        }
        let mut text = String::new();
        for segment in path {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(segment.field);
            if let Some(index) = segment.index {
                text.push_str(&format!("[{index}]"));
            }
        }
        self.reasons.push(Reason { path: text, route: None, fault });
    }
}

/// The same on every machine: a map gives the same table everywhere.
pub(crate) fn hash_of(write: impl FnOnce(&mut <FixedState as BuildHasher>::Hasher)) -> u64 {
    let mut hasher = FixedState::with_seed(0).build_hasher();
    write(&mut hasher);
    hasher.finish()
}

pub(crate) fn hash_text(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

pub(crate) fn hash_bytes(bytes: &[u8]) -> u64 {
    hash_of(|hasher| hasher.write(bytes))
}

impl Scratch {
    fn clear(&mut self) {
        self.reasons = Reasons::default();
        self.path.clear();
        self.texts.clear();
        self.postings.clear();
        self.any.clear();
        self.tenant_ids.clear();
        self.tenant_routes.clear();
        self.compiled.clear();
        self.source_topic_texts.clear();
        self.keys.clear();
        self.lengths.clear();
        self.spelled.clear();
        self.of_texts.clear();
        self.wishes.clear();
        self.looked_up.clear();
        self.groups.clear();
        self.merge.clear();
        self.exclusive_groups.clear();
        self.declared.clear();
        self.templates.clear();
        self.messages = Messages::default();
        for interned in [
            &mut self.destinations,
            &mut self.allowed_by_text,
            &mut self.topics,
            &mut self.source_topics,
            &mut self.routes,
            &mut self.tenants,
            &mut self.header_names,
            &mut self.predicates,
            &mut self.spellings,
            &mut self.fan_outs,
            &mut self.exclusive_names,
            &mut self.fields,
            &mut self.plans,
            &mut self.keys_by_text,
            &mut self.keys_by_routes,
            &mut self.alike,
        ] {
            interned.clear();
        }
    }
}

/// Builds the indexes: every posting under its key, the routes of any type per slot, and where each slot's things are.
fn file_by_type(table: &mut RouteTable, scratch: &mut Scratch) -> Result<(), Fault> {
    gather_keys(scratch);
    if merge::merge(table, scratch) {
        gather_keys(scratch);
    }
    place_candidates(scratch);
    leads::lead_keys(table, scratch)?;
    describe_slots(table, scratch);
    merge::lead_to_narrower(table, scratch);
    table.types.reset(scratch.keys.len() + scratch.groups.keys.len());
    let of_type = |key: &Key| {
        let Posting { space, text, hash, .. } = *scratch.postings.get(key.posting as usize)?;
        Some(key_index::Key { hash, space, text: text.bytes_of(&scratch.texts), payload: key.payload })
    };
    table.types.insert_all(scratch.keys.iter().filter_map(of_type));
    let of_value = |key: &AccessKey| key_index::Key {
        hash: key.hash,
        space: key.space,
        text: key.text.bytes_of(&table.texts),
        payload: key.payload,
    };
    table.types.insert_all(scratch.groups.keys.iter().map(of_value));
    table.readers += 1 + table.conditions.element_depth as usize;
    table.slot_by_tenant.reset(scratch.tenant_ids.len());
    for (slot, id) in (1..).zip(&scratch.tenant_ids) {
        table.slot_by_tenant.insert(0, id.bytes_of(&scratch.texts), [slot, 0, 0]);
    }
    table.source_by_topic.reset(scratch.source_topic_texts.len());
    // The first rule is that of topics which the map does not name.
    for (rule, topic) in (1..).zip(&scratch.source_topic_texts) {
        table.source_by_topic.insert(0, topic.bytes_of(&scratch.texts), [rule, 0, 0]);
    }
    Ok(())
}

/// Finds the distinct keys, and says in each posting which one is its own. Those that were gathered before are forgotten.
fn gather_keys(scratch: &mut Scratch) {
    let Scratch { keys, keys_by_text, postings, texts, lengths, .. } = scratch;
    if !keys.is_empty() {
        keys.clear();
        keys_by_text.clear();
        lengths.clear();
    }
    for at in 0..postings.len() {
        if let Some(ahead) = postings.get(at + AHEAD) {
            keys_by_text.announce(ahead.hash);
        }
        let Some(posting) = postings.get(at).copied() else { break };
        let Posting { space, candidate, hash, .. } = posting;
        let text = posting.text.bytes_of(texts);
        let same = |index: u32| {
            let other = keys.get(index as usize).and_then(|key| postings.get(key.posting as usize));
            other.is_some_and(|other| other.space == space && other.text.bytes_of(texts) == text)
        };
        let found = keys_by_text.find_or_add(hash, keys.len(), same);
        if let Some(posting) = postings.get_mut(at) {
            posting.key = found.unwrap_or_else(|new| new);
        }
        if let Ok(known) = found {
            if let Some(key) = keys.get_mut(known as usize) {
                key.count += 1;
            }
            continue;
        }
        keys.push(Key { posting: at as u32, payload: candidate.payload(), count: 1, first: 0, same_as: 0 });
        if space & 1 == KeyKind::Prefix as u32
            && let (Ok(len), Some(last)) = (u16::try_from(text.len()), text.last())
        {
            lengths.push((space >> 1, PrefixLength { len, last: *last }));
        }
    }
}

/// Lays the candidates of keys with several of them side by side, in the order of the map.
fn place_candidates(scratch: &mut Scratch) {
    let mut total = 0;
    for key in scratch.keys.iter_mut().filter(|key| key.count > 1) {
        key.first = total;
        total += key.count;
    }
    let vacant = Candidate { route: RouteIndex(0), condition: ConditionIndex::ALWAYS, fan_out: 0 };
    scratch.placed.clear();
    scratch.placed.resize(total as usize, vacant);
    for posting in &scratch.postings {
        let Some(key) = scratch.keys.get_mut(posting.key as usize).filter(|key| key.count > 1) else { continue };
        if let Some(place) = scratch.placed.get_mut(key.first as usize) {
            *place = posting.candidate;
            key.first += 1;
        }
    }
    for key in scratch.keys.iter_mut().filter(|key| key.count > 1) {
        key.first -= key.count;
    }
}

fn describe_slots(table: &mut RouteTable, scratch: &mut Scratch) {
    // Those of tenants with a policy of their own are there already.
    for posting in scratch.postings.iter().filter(|posting| posting.space & 1 == KeyKind::Exact as u32) {
        if let Some(slot) = table.slots.get_mut((posting.space >> 1) as usize) {
            slot.has_exact = true;
        }
    }
    scratch.lengths.sort_unstable();
    scratch.lengths.dedup();
    for (slot, length) in &scratch.lengths {
        if let Some(slot) = table.slots.get_mut(*slot as usize) {
            if slot.prefix_lengths == 0 {
                slot.first_prefix_length = table.prefix_lengths.len() as u32;
            }
            slot.prefix_lengths += 1;
            table.prefix_lengths.push(*length);
        }
    }
    // Slots come one after the other, so each one's routes for any type stand side by side.
    let any = std::mem::take(&mut scratch.any);
    for of_slot in any.chunk_by(|(a, _), (b, _)| a == b) {
        scratch.placed.clear();
        scratch.placed.extend(of_slot.iter().map(|(_, candidate)| *candidate));
        let placed = std::mem::take(&mut scratch.placed);
        let payload = group(table, scratch, &placed);
        scratch.placed = placed;
        if let Some(slot) = of_slot.first().and_then(|(slot, _)| table.slots.get_mut(*slot as usize)) {
            slot.any = Some(payload);
        }
    }
    scratch.any = any;
    for slot in 0..table.slots.len() {
        let Some(row) = table.slots.get(slot).copied() else { break };
        let Some(alike) = row.alike.and_then(|alike| table.slots.get(alike as usize)).copied() else { continue };
        if let Some(slot) = table.slots.get_mut(slot) {
            *slot = Slot { alike: row.alike, first_route: row.first_route, unmatched: row.unmatched, ..alike };
        }
    }
}

/// The number of the field whose names were added last to those of the table; one that is there already leaves none behind. `Err`:
/// it is new.
pub(crate) fn intern_field(
    table: &mut RouteTable,
    known: &mut Interned,
    first_name: usize,
    through_arrays: bool,
    dots: u32,
) -> Result<FieldIndex, FieldIndex> {
    let RouteTable { fields, texts, .. } = table;
    let names = fields.names.get(first_name..).unwrap_or_default();
    let hash = hash_of(|hasher| {
        hasher.write_u8(u8::from(through_arrays));
        hasher.write_u32(dots);
        for name in names {
            hasher.write_u32(name.len);
            hasher.write(name.bytes_of(texts));
        }
    });
    let same = |index: u32| {
        fields.rows.get(index as usize).is_some_and(|row| {
            let known = fields.names_of(row);
            (row.through_arrays, row.dots) == (through_arrays, dots)
                && known.len() == names.len()
                && known.iter().zip(names).all(|(a, b)| a.of(texts) == b.of(texts))
        })
    };
    match known.find_or_add(hash, fields.rows.len(), same) {
        Ok(known) => {
            fields.names.truncate(first_name);
            Ok(FieldIndex(known))
        }
        Err(_) => Err(fields.add(first_name, through_arrays, dots)),
    }
}

/// The plan for fields that are ascending and different from each other.
pub(crate) fn plan_for(table: &mut RouteTable, plans: &mut Interned, wished: &[FieldIndex]) -> PlanIndex {
    let hash = hash_of(|hasher| wished.iter().for_each(|field| hasher.write_u32(field.0)));
    let fields = &mut table.fields;
    let same = |index: u32| fields.of_plan(PlanIndex(index)) == wished;
    match plans.find_or_add(hash, fields.plans(), same) {
        Ok(known) => PlanIndex(known),
        Err(_) => fields.plan(&table.texts, wished),
    }
}
