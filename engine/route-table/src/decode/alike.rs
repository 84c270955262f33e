//! Finds tenants whose routes say the same as those of a tenant before them, whatever their ids: they share what is compiled of them.
//!
//! Many tenants are set up alike, and a thousand such ones shall cost little more than one. Routes are alike when their fields are the
//! same bytes in the same order, but for the id; encoders write the same thing with the same bytes.

use super::Decoder;
use crate::compile::{Scratch, hash_of};
use crate::table::{RouteIndex, RouteRow};
use crate::wire::{Field, Reader};
use std::hash::Hasher;

/// A tenant whose routes were compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compiled {
    slot: u32,
    /// Where the tenant's message lies in the map.
    at: usize,
    len: usize,
}

const ROUTES: u32 = 3;
const ROUTE_ID: u32 = 1;

impl Decoder<'_> {
    /// The slot of a tenant with the same routes, if there is one. Where anything was refused there is none, so that what is wrong in
    /// several places is told of each.
    pub(super) fn slot_alike(&self, tenant: Reader<'_>, hash: u64) -> Option<u32> {
        let Scratch { alike, compiled, reasons, .. } = &*self.scratch;
        if !reasons.is_empty() {
            return None;
        }
        let found = alike.find(hash, |place| {
            let other = compiled.get(place as usize);
            other.is_some_and(|other| are_alike(tenant, Reader::new(self.map).part(other.at..other.at + other.len)))
        });
        found.and_then(|place| compiled.get(place as usize)).map(|compiled| compiled.slot)
    }

    /// Remembers a tenant whose routes were compiled.
    pub(super) fn note_compiled(&mut self, tenant: Reader<'_>, hash: u64, slot: u32) {
        let Scratch { alike, compiled, .. } = &mut *self.scratch;
        let (at, bytes) = tenant.rest();
        alike.add(hash, compiled.len());
        compiled.push(Compiled { slot, at, len: bytes.len() });
    }

    /// Reads a route that is like `other` but for its id.
    pub(super) fn route_like(&mut self, route: Reader<'_>, other: RouteIndex) {
        let mut id = None;
        self.each_field(route, |this, field| {
            if field.number == ROUTE_ID {
                this.text("id", &mut id, field);
            }
        });
        self.required("id", id);
        let id = self.keep(id.unwrap_or_default());
        if let Some(row) = self.table.routes.get(other.get()).copied() {
            self.table.routes.push(RouteRow { id, ..row });
            self.table.aggregation.routes += usize::from(!row.disabled);
        }
    }
}

/// A hash of all that a tenant's routes say but their ids; `None` if it has none, or nothing that can be read.
pub(super) fn hash_of_routes(tenant: Reader<'_>) -> Option<u64> {
    let mut routes = 0;
    let hash = hash_of(|hasher| {
        for route in routes_of(tenant) {
            routes += 1;
            hasher.write_u8(0);
            said_by(route).for_each(|field| field.hash_into(hasher));
        }
    });
    (routes > 0).then_some(hash)
}

fn are_alike(a: Reader<'_>, b: Reader<'_>) -> bool {
    let (mut a, mut b) = (routes_of(a), routes_of(b));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) => {
                let (mut a, mut b) = (said_by(a), said_by(b));
                loop {
                    match (a.next(), b.next()) {
                        (None, None) => break,
                        (Some(a), Some(b)) if a.is_same(&b) => {}
                        _ => return false,
                    }
                }
            }
            _ => return false,
        }
    }
}

/// The routes of a tenant up to the first thing that can't be read, which is refused where routes are read.
fn routes_of<'a>(tenant: Reader<'a>) -> impl Iterator<Item = Reader<'a>> {
    fields_of(tenant).filter(|field| field.number == ROUTES).map_while(|route| route.message().ok())
}

fn said_by<'a>(route: Reader<'a>) -> impl Iterator<Item = Field<'a>> {
    fields_of(route).filter(|field| field.number != ROUTE_ID)
}

fn fields_of<'a>(mut message: Reader<'a>) -> impl Iterator<Item = Field<'a>> {
    std::iter::from_fn(move || message.next()?.ok())
}
