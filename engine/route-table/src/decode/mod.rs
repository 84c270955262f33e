//! Walks the bytes of a RouteMap into the flat arrays of a table, and notes every reason to refuse it.
//!
//! Each kind of thing is read in a walk of its own over the outermost message, so that what a reference names is known when the
//! reference is read, in whatever order an encoder wrote them. The first walk counts what stands in the outermost message, and of a
//! map with too much of it nothing is stored, however many things a few bytes may claim to hold. What stands deeper (types,
//! conditions, values) is counted as it is read, and what is beyond a limit is counted only.
//!
//! Reading goes on after a fault, so that people see all of them. Field names in paths are those of `route_map.proto`.

mod alike;
mod budget;
mod conditions;
mod destinations;
mod exclusive;
mod fields;
mod lookups;
mod messages;
mod predicates;
mod said;
mod share;
mod sources;
mod templates;

use crate::compile::{AHEAD, Posting, Scratch, hash_of, hash_text};
use crate::condition::{ConditionIndex, range};
use crate::fault::Fault;
use crate::key_index;
use crate::limits;
use crate::table::{
    Candidate, FanOut, KeyKind, RouteIndex, RouteRow, RouteTable, Slot, Text, Unmatched, Written, space,
};
use crate::wire::{Field, Reader};
use fields::routes_of;

pub(crate) use alike::Compiled;
pub(crate) use conditions::Wish;
pub(crate) use destinations::{Declared, TemplateScratch};
pub(crate) use exclusive::ExclusiveGroup;
use std::hash::Hasher;
use std::ops::Range;

pub(crate) struct Decoder<'c> {
    table: &'c mut RouteTable,
    scratch: &'c mut Scratch,
    map: &'c [u8],
    /// Whether what is read is of `map`, and not what a text in it stands for.
    is_map: bool,
    /// Nodes of the condition that is being read.
    condition_nodes: u64,
    /// How many `any_element`s are around what is being read.
    element_depth: u32,
    /// Whether the tree that is being read asks for a lookup.
    asks_lookup: bool,
    /// Values that were not kept, since the limit of the map was reached.
    values_left_out: u64,
    most: budget::Mosts,
    /// By field number of the outermost message: the part of the map in which all of these fields lie.
    parts: [Range<usize>; PARTS],
}

/// What a route that is being read says so far.
#[derive(Default)]
struct RouteFields<'a> {
    id: Option<&'a str>,
    types: Option<Reader<'a>>,
    when: Option<Reader<'a>>,
    on_absent: Option<u64>,
    disabled: Option<bool>,
    exclusive: Option<Reader<'a>>,
    to: u64,
}

const NAME: u32 = 1;
const SOURCES: u32 = 2;
const DESTINATIONS: u32 = 3;
const ROUTES: u32 = 4;
const TENANTS: u32 = 5;
const UNMATCHED: u32 = 6;
const LOOKUPS: u32 = 7;
const DESCRIPTORS: u32 = 10;
const PARTS: usize = 1 + DESCRIPTORS as usize;

impl<'c> Decoder<'c> {
    pub(crate) fn new(table: &'c mut RouteTable, scratch: &'c mut Scratch, map: &'c [u8]) -> Self {
        let parts = [const { 0..0 }; PARTS];
        Decoder {
            table,
            scratch,
            map,
            is_map: true,
            condition_nodes: 0,
            element_depth: 0,
            asks_lookup: false,
            values_left_out: 0,
            most: budget::Mosts::default(),
            parts,
        }
    }

    /// Fills the table, or notes reasons.
    pub(crate) fn decode(&mut self) {
        let map = self.map;
        if map.is_empty() {
            return self.refuse(Fault::EmptyMap);
        }
        if self.is_over(&limits::MAP_BYTES, map.len() as u64) {
            return;
        }
        let reader = Reader::new(map);
        let Some(unmatched) = self.count(reader) else { return };
        self.descriptors(reader);
        let default = self.default_source();
        self.each_of(SOURCES, "sources", |this, source, _| this.source(source, default));
        self.know_messages();
        self.destinations();
        if let Some(unmatched) = unmatched {
            let policy = self.within("unmatched", None, |this| this.unmatched(unmatched));
            self.table.unmatched = policy.unwrap_or_default();
        }
        self.each_of(LOOKUPS, "lookups", |this, lookup, _| this.lookup(lookup));
        self.each_of(ROUTES, "routes", |this, route, _| this.route(route, 0));
        self.table.slots.resize(self.table.usage.tenants as usize + 1, Slot::default());
        self.table.first_of_tenants = RouteIndex(self.table.routes.len() as u32);
        self.each_of(TENANTS, "tenants", |this, tenant, index| this.tenant(tenant, index + 1));
        self.refuse_taken_routes();
        self.plan_lookups();
        self.templates();
        [.., self.table.usage.values] = self.used();
        self.refuse_over_budget();
    }

    /// The first walk: how much of everything there is. `None` if the map is not worth another one.
    fn count<'a>(&mut self, reader: Reader<'a>) -> Option<Option<Reader<'a>>> {
        let (mut sources, mut destinations, mut routes, mut tenants, mut lookups) = (0u64, 0u64, 0u64, 0u64, 0u64);
        let (mut name, mut unmatched, mut descriptors) = (None, None, None);
        let mut readable = true;
        let mut rest = reader;
        loop {
            let begin = rest.at();
            let Some(field) = rest.next() else { break };
            let field = match field {
                Ok(field) => field,
                Err(fault) => {
                    readable = false;
                    self.refuse(Fault::Wire(fault));
                    continue;
                }
            };
            rest.announce(&field);
            if let Some(part) = self.parts.get_mut(field.number as usize) {
                let first = if part.end == 0 { begin } else { part.start };
                *part = first..rest.at();
            }
            match field.number {
                NAME => self.text("name", &mut name, field),
                SOURCES => sources += 1,
                DESTINATIONS => destinations += 1,
                ROUTES => routes += 1,
                TENANTS => {
                    tenants += 1;
                    routes += routes_of(field);
                }
                UNMATCHED => self.message("unmatched", &mut unmatched, field),
                LOOKUPS => lookups += 1,
                DESCRIPTORS => self.message("descriptors", &mut descriptors, field),
                number => self.refuse(Fault::UnknownField { message: "RouteMap", number }),
            }
        }
        if !readable {
            return None;
        }
        if self.required("name", name) {
            self.table.name = self.keep(name.unwrap_or_default());
        }
        for (count, what) in [(destinations, "destinations"), (routes, "routes")] {
            if count == 0 {
                self.refuse(Fault::Without(what));
            }
        }
        let over = [
            self.is_over(&limits::SOURCES, sources),
            self.is_over(&limits::DESTINATIONS, destinations),
            self.is_over(&limits::ROUTES, routes),
            self.is_over(&limits::TENANTS, tenants),
            self.is_over(&limits::LOOKUPS, lookups),
        ];
        let usage = &mut self.table.usage;
        (usage.sources, usage.destinations, usage.routes, usage.tenants) = (sources, destinations, routes, tenants);
        usage.lookups = lookups;
        (!over.contains(&true)).then_some(unmatched)
    }

    /// Reads a policy; `None` if it says nothing, or nothing that can be done.
    fn unmatched(&mut self, unmatched: Reader<'_>) -> Option<Unmatched> {
        let mut policy = None;
        self.each_field(unmatched, |this, field| match field.number {
            1 => this.empty_message("drop", field, &mut policy, Unmatched::Drop),
            2 => this.empty_message("dead_letter", field, &mut policy, Unmatched::DeadLetter),
            3 => {
                let mut id = None;
                this.text("destination", &mut id, field);
                let Some(id) = id else { return };
                match this.destination_of(id) {
                    Some(index) => this.once("destination", &mut policy, Unmatched::Destination(index)),
                    None => this.refuse_at("destination", this.unknown_destination(id)),
                }
            }
            number => this.refuse(Fault::UnknownField { message: "Unmatched", number }),
        });
        policy
    }

    fn tenant(&mut self, tenant: Reader<'_>, slot: u32) {
        let (mut id, mut unmatched, mut labels, mut routes) = (None, None, 0u64, 0u32);
        let first_route = self.table.routes.len() as u32;
        self.scratch.tenant_routes.push(RouteIndex(first_route));
        let hash = alike::hash_of_routes(tenant);
        let alike = hash.and_then(|hash| self.slot_alike(tenant, hash));
        if let Some(row) = self.table.slots.get_mut(slot as usize) {
            (row.alike, row.first_route) = (alike, RouteIndex(first_route));
        }
        let later = alike.map(|_| self.table.slots.get(slot as usize).map_or(0, |row| self.table.routes_later(row)));
        self.each_field(tenant, |this, field| match field.number {
            1 => this.text("id", &mut id, field),
            2 => {
                this.within("labels", Some(labels as u32), |this| this.label(field));
                labels += 1;
            }
            3 => {
                this.within("routes", Some(routes), |this| match (field.message(), later) {
                    (Ok(route), Some(later)) => this.route_like(route, RouteIndex(first_route + routes - later)),
                    (Ok(route), None) => this.route(route, slot),
                    (Err(fault), _) => this.refuse(Fault::Wire(fault)),
                });
                routes += 1;
            }
            4 => this.message("unmatched", &mut unmatched, field),
            number => this.refuse(Fault::UnknownField { message: "Tenant", number }),
        });
        if let (Some(hash), None, true) = (hash, alike, self.scratch.reasons.is_empty()) {
            self.note_compiled(tenant, hash, slot);
        }
        if let Some(unmatched) = unmatched {
            self.within("unmatched", None, |this| this.tenant_unmatched(unmatched, slot));
        }
        self.is_over(&limits::LABELS_PER_TENANT, labels);
        let given = self.required("id", id);
        let id = id.unwrap_or_default();
        let text = self.note(id);
        let Scratch { tenants, tenant_ids, texts, .. } = &mut *self.scratch;
        let same = |index: u32| tenant_ids.get(index as usize).is_some_and(|text: &Text| text.of(texts) == id);
        let known = tenants.find_or_add(hash_text(id), tenant_ids.len(), same);
        tenant_ids.push(text);
        if given {
            self.refuse_taken("id", "tenant", id, known);
        }
    }

    fn tenant_unmatched(&mut self, unmatched: Reader<'_>, slot: u32) {
        // In a map, a policy that says nothing is that of a map without one. Here it could as well be meant to be the map's.
        if unmatched.rest().1.is_empty() {
            return self.refuse_at("policy", Fault::MissingOneOf("`drop`, `dead_letter` and `destination`"));
        }
        let policy = self.unmatched(unmatched);
        if let Some(row) = self.table.slots.get_mut(slot as usize) {
            row.unmatched = policy;
        }
    }

    /// Labels say which engines want a tenant; the table has no use for them, but a map with broken ones is refused all the same.
    fn label(&mut self, field: Field<'_>) {
        let (mut key, mut value) = (None, None);
        match field.message() {
            Ok(label) => self.each_field(label, |this, field| match field.number {
                1 => this.text("key", &mut key, field),
                2 => this.text("value", &mut value, field),
                number => this.refuse(Fault::UnknownField { message: "Tenant.LabelsEntry", number }),
            }),
            Err(fault) => self.refuse(Fault::Wire(fault)),
        }
    }

    fn route(&mut self, route: Reader<'_>, slot: u32) {
        let mut fields = RouteFields::default();
        self.scratch.fan_out.clear();
        self.each_field(route, |this, field| match field.number {
            1 => this.text("id", &mut fields.id, field),
            2 => this.message("types", &mut fields.types, field),
            3 => this.message("when", &mut fields.when, field),
            4 => {
                this.within("to", Some(fields.to as u32), |this| this.route_to(field));
                fields.to += 1;
            }
            5 => this.number("on_absent", &mut fields.on_absent, field),
            6 => this.flag("disabled", &mut fields.disabled, field),
            7 => this.message("exclusive", &mut fields.exclusive, field),
            number => this.refuse(Fault::UnknownField { message: "Route", number }),
        });
        let (route, before) = (RouteIndex(self.table.routes.len() as u32), self.used());
        self.route_row(&fields);
        if fields.to == 0 {
            self.refuse_at("to", Fault::Missing);
        }
        self.is_over(&limits::DESTINATIONS_PER_ROUTE, fields.to);
        let mut fan_out = self.fan_out();
        if let Some(exclusive) = fields.exclusive {
            fan_out = self.within("exclusive", None, |this| this.exclusive(exclusive, route, slot, fan_out));
        }
        let mut condition = ConditionIndex::ALWAYS;
        if let Some(when) = fields.when {
            let written;
            (condition, written) = self.within("when", None, |this| this.when(when));
            if let Some(row) = self.table.routes.last_mut() {
                (row.condition, row.written) = (condition, written);
            }
        }
        let candidate = Candidate { route, condition, fan_out };
        let filed = (self.scratch.postings.len(), self.scratch.any.len());
        match fields.types {
            Some(types) => self.within("types", None, |this| this.types(types, slot, candidate)),
            None => self.refuse_at("types", Fault::Missing),
        }
        if fields.disabled == Some(true) {
            self.scratch.postings.truncate(filed.0);
            self.scratch.any.truncate(filed.1);
        } else {
            self.table.aggregation.routes += 1;
            self.table.aggregation.compiled += 1;
        }
        self.note_use(route, before);
    }

    fn route_row(&mut self, fields: &RouteFields<'_>) {
        self.required("id", fields.id);
        let id = fields.id.unwrap_or_default();
        let dead_letter_if_absent = match fields.on_absent {
            None | Some(0 | 1) => false,
            Some(2) => true,
            Some(value) => {
                self.refuse_at("on_absent", Fault::UnknownEnum { name: "OnAbsent", value });
                false
            }
        };
        let (condition, written) = (ConditionIndex::ALWAYS, Written::Tree);
        let disabled = fields.disabled == Some(true);
        let row = RouteRow { id: self.keep(id), condition, written, dead_letter_if_absent, disabled };
        self.table.routes.push(row);
    }

    /// Refuses routes that have the id of another. Done when all are read, so that what their hashes lead to can be announced.
    fn refuse_taken_routes(&mut self) {
        let Scratch { routes: ids, hashes, .. } = &mut *self.scratch;
        let (mut ids, mut hashes) = (std::mem::take(ids), std::mem::take(hashes));
        hashes.clear();
        hashes.extend(self.table.routes.iter().map(|row| hash_text(row.id.of(&self.table.texts))));
        for (at, hash) in hashes.iter().enumerate() {
            if let Some(ahead) = hashes.get(at + AHEAD) {
                ids.announce(*ahead);
            }
            let RouteTable { routes, texts, .. } = &*self.table;
            let id_at = |at: u32| routes.get(at as usize).map_or("", |row| row.id.of(texts));
            let id = id_at(at as u32);
            if ids.find_or_add(*hash, at, |other| id_at(other) == id).is_ok() && !id.is_empty() {
                let id = id.to_owned();
                self.within_route(RouteIndex(at as u32), |this| {
                    this.refuse_at("id", Fault::Taken { what: "route", id })
                });
            }
        }
        (self.scratch.routes, self.scratch.hashes) = (ids, hashes);
    }

    /// Runs `read` with the path leading into a route that was read.
    fn within_route(&mut self, route: RouteIndex, read: impl FnOnce(&mut Self)) {
        let begins = &self.scratch.tenant_routes;
        let tenants = begins.partition_point(|begin| *begin <= route);
        let index = |begin: u32| Some(route.0 - begin);
        match tenants.checked_sub(1).and_then(|tenant| Some((tenant, begins.get(tenant)?.0))) {
            None => self.within("routes", index(0), read),
            Some((tenant, begin)) => self.within("tenants", Some(tenant as u32), |this| {
                this.within("routes", index(begin), read);
            }),
        }
    }

    fn route_to(&mut self, field: Field<'_>) {
        let id = match field.text() {
            Ok(id) => id,
            Err(fault) => return self.refuse(Fault::Wire(fault)),
        };
        match self.destination_of(id) {
            // Named twice is delivered once.
            Some(index) if self.scratch.fan_out.contains(&index) => {}
            Some(index) if self.scratch.fan_out.len() as u64 <= limits::DESTINATIONS_PER_ROUTE.max => {
                self.scratch.fan_out.push(index);
            }
            Some(_) => {}
            None => self.refuse(self.unknown_destination(id)),
        }
    }

    /// The number of the list of destinations that was just read.
    fn fan_out(&mut self) -> u32 {
        let list = &self.scratch.fan_out;
        let hash = hash_of(|hasher| list.iter().for_each(|index| hasher.write_u32(index.0)));
        let RouteTable { fan_outs, fan_out_destinations, .. } = &mut *self.table;
        let same = |index: u32| {
            let FanOut { first, count } = fan_outs.get(index as usize).copied().unwrap_or_default();
            fan_out_destinations.get(range(first, count)) == Some(list)
        };
        self.scratch.fan_outs.find_or_add(hash, fan_outs.len(), same).unwrap_or_else(|new| {
            fan_outs.push(FanOut { first: fan_out_destinations.len() as u32, count: list.len() as u32 });
            fan_out_destinations.extend_from_slice(list);
            new
        })
    }

    /// Files a route under its types. A type that a prefix of the same route covers is left out, so that no event meets a route
    /// twice.
    fn types(&mut self, types: Reader<'_>, slot: u32, candidate: Candidate) {
        self.scratch.exact.clear();
        self.scratch.prefixes.clear();
        let (mut any, mut exact, mut prefixes) = (None, 0u32, 0u32);
        self.each_field(types, |this, field| match field.number {
            1 => {
                this.within("exact", Some(exact), |this| this.type_text(field, KeyKind::Exact));
                exact += 1;
            }
            2 => {
                this.within("prefixes", Some(prefixes), |this| this.type_text(field, KeyKind::Prefix));
                prefixes += 1;
            }
            3 => match field.flag() {
                Ok(value) => this.once("any", &mut any, value),
                Err(fault) => this.refuse_at("any", Fault::Wire(fault)),
            },
            number => this.refuse(Fault::UnknownField { message: "EventTypes", number }),
        });
        self.is_over(&limits::TYPES_PER_ROUTE, u64::from(exact) + u64::from(prefixes));
        if any == Some(true) {
            return self.scratch.any.push((slot, candidate));
        }
        if exact == 0 && prefixes == 0 {
            return self.refuse(Fault::Missing);
        }
        let Scratch { texts, exact, prefixes, postings, .. } = &mut *self.scratch;
        let bytes = |text: &Text| text.bytes_of(texts);
        prefixes.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        prefixes.dedup_by(|later, kept| bytes(later).starts_with(bytes(kept)));
        exact.sort_unstable_by(|a, b| bytes(a).cmp(bytes(b)));
        exact.dedup_by(|a, b| bytes(a) == bytes(b));
        // Of prefixes none of which covers another, only the last one that is not greater can cover a type.
        exact.retain(|text| {
            let after = prefixes.partition_point(|prefix| bytes(prefix) <= bytes(text));
            let nearest = after.checked_sub(1).and_then(|at| prefixes.get(at));
            !nearest.is_some_and(|prefix| bytes(text).starts_with(bytes(prefix)))
        });
        let posting = |kind| {
            move |text: &Text| {
                let space = space(slot, kind);
                Posting { space, text: *text, candidate, hash: key_index::hash(space, bytes(text)), key: 0 }
            }
        };
        postings.extend(exact.iter().map(posting(KeyKind::Exact)));
        postings.extend(prefixes.iter().map(posting(KeyKind::Prefix)));
    }

    fn type_text(&mut self, field: Field<'_>, kind: KeyKind) {
        let text = match field.text() {
            Ok(text) => text,
            Err(fault) => return self.refuse(Fault::Wire(fault)),
        };
        if text.is_empty() {
            return self.refuse(Fault::EmptyText { instead: "for every type, say `any: true`" });
        }
        self.table.usage.types += 1;
        let is_kept = self.table.usage.types <= limits::TYPES.max;
        if !self.is_over(&limits::ID_BYTES, text.len() as u64) && is_kept {
            let text = self.note(text);
            match kind {
                KeyKind::Exact => self.scratch.exact.push(text),
                KeyKind::Prefix => self.scratch.prefixes.push(text),
            }
        }
    }
}
