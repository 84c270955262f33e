//! Reads which exclusive group a route belongs to.

use super::Decoder;
use crate::compile::{Scratch, hash_of};
use crate::exclusive::Exclusive;
use crate::fault::Fault;
use crate::limits;
use crate::table::{Candidate, RouteIndex, RouteTable};
use crate::wire::Reader;
use std::hash::Hasher;

/// A group of one slot, while its map is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExclusiveGroup {
    slot: u32,
    has_default: bool,
}

impl Decoder<'_> {
    /// Notes that a route of this fan-out belongs to a group, and returns what stands for the fan-out in its candidates.
    pub(super) fn exclusive(&mut self, exclusive: Reader<'_>, route: RouteIndex, slot: u32, fan_out: u32) -> u32 {
        let (mut group, mut priority, mut continues, mut is_default) = (None, None, None, None);
        self.each_field(exclusive, |this, field| match field.number {
            1 => this.text("group", &mut group, field),
            2 => this.number("priority", &mut priority, field),
            3 => this.flag("continues", &mut continues, field),
            4 => this.flag("default", &mut is_default, field),
            number => this.refuse(Fault::UnknownField { message: "Exclusive", number }),
        });
        let priority = priority.unwrap_or_default();
        self.within("priority", None, |this| this.is_over(&limits::PRIORITY, priority));
        let priority = u32::try_from(priority).unwrap_or(u32::MAX);
        let (continues, is_default) = (continues.unwrap_or_default(), is_default.unwrap_or_default());
        if is_default && (priority != 0 || continues) {
            self.refuse_at("default", Fault::DefaultWithPlace);
        }
        self.required("group", group);
        let name = group.unwrap_or_default();
        let group = self.exclusive_group(name, slot);
        if is_default && let Some(row) = self.scratch.exclusive_groups.get_mut(group as usize) {
            let has_default = std::mem::replace(&mut row.has_default, true);
            if has_default && !name.is_empty() {
                self.refuse_at("default", Fault::SecondDefault { group: name.to_owned() });
            }
        }
        let place = self.table.exclusives.len() as u32;
        self.table.exclusives.push(Exclusive { route, fan_out, group, priority, continues, is_default });
        Candidate::fan_out_of_exclusive(place)
    }

    /// The number of a slot's group of this name.
    fn exclusive_group(&mut self, name: &str, slot: u32) -> u32 {
        let hash = hash_of(|hasher| {
            hasher.write_u32(slot);
            hasher.write(name.as_bytes());
        });
        let Scratch { exclusive_groups: groups, exclusive_names: known, .. } = &mut *self.scratch;
        let RouteTable { exclusive_groups: names, texts, .. } = &*self.table;
        let same = |index: u32| {
            let row = groups.get(index as usize).zip(names.get(index as usize));
            row.is_some_and(|(group, known)| group.slot == slot && known.of(texts) == name)
        };
        let found = known.find_or_add(hash, groups.len(), same);
        found.unwrap_or_else(|new| {
            self.scratch.exclusive_groups.push(ExclusiveGroup { slot, has_default: false });
            let name = self.keep(name);
            self.table.exclusive_groups.push(name);
            new
        })
    }
}
