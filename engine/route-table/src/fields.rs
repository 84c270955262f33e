//! Which places of the payload a table asks for.
//!
//! Each different field stands once in a table. What is read of a payload together, such as all that one condition asks for, is a
//! *plan*: the reader finds all fields of a plan in one walk. Where a field that may be spelled with dots is missing, a second walk
//! looks for these spellings; for payloads that have the field, as nearly all do, they cost nothing.

use crate::condition::range;
use crate::content::{Content, Format};
use crate::found::{Found, Kind, Typed};
use crate::json::{self, Plans, Wanted};
use crate::protobuf::{self, Descriptors, MessageId};
use crate::table::Text;
use crate::values::All;
use std::ops::Range;

/// Place of a field among those of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FieldIndex(pub(crate) u32);

impl FieldIndex {
    /// Not a place within the payload or an element, but all of it.
    pub(crate) const ITSELF: FieldIndex = FieldIndex(u32::MAX);
}

/// Place of a plan among those of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PlanIndex(pub(crate) u32);

/// All fields and plans of a table.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    pub(crate) rows: Vec<FieldRow>,
    /// The names of all rows, one behind the other.
    pub(crate) names: Vec<Text>,
    plans: Vec<PlanRow>,
    /// The fields of all plans, ascending within each.
    planned: Vec<FieldIndex>,
    /// Per planned field: which of its dotted plan's fields are its spellings.
    spellings: Vec<Range<u32>>,
    json: Plans,
    /// The same plans for messages.
    protobuf: protobuf::Plans,
    /// One for all that is asked of payloads, if that is much.
    pub(crate) whole: Option<PlanIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldRow {
    first_name: u32,
    names: u32,
    pub(crate) through_arrays: bool,
    /// Bit n: the names n and n + 1 may be one name with a dot between them.
    pub(crate) dots: u32,
}

#[derive(Clone, Copy, Debug)]
struct PlanRow {
    first: u32,
    count: u32,
    plain: json::PlanIndex,
    /// Looks for all spellings with dots; those of a field stand together.
    dotted: Option<json::PlanIndex>,
}

impl FieldRow {
    /// Where its names stand in [`Fields::names`].
    pub(crate) fn names(&self) -> Range<usize> {
        range(self.first_name, self.names)
    }
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.names.clear();
        self.plans.clear();
        self.planned.clear();
        self.spellings.clear();
        self.whole = None;
        self.json.clear();
        self.protobuf.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<FieldRow>()
            + self.names.capacity() * size_of::<Text>()
            + self.plans.capacity() * size_of::<PlanRow>()
            + self.planned.capacity() * size_of::<FieldIndex>()
            + self.spellings.capacity() * size_of::<Range<u32>>()
            + self.json.memory_bytes()
            + self.protobuf.memory_bytes()
    }

    /// Adds a field whose names are the last ones of [`Fields::names`], from `first_name` on.
    pub(crate) fn add(&mut self, first_name: usize, through_arrays: bool, dots: u32) -> FieldIndex {
        let names = (self.names.len() - first_name) as u32;
        self.rows.push(FieldRow { first_name: first_name as u32, names, through_arrays, dots });
        FieldIndex(self.rows.len() as u32 - 1)
    }

    /// How many plans there are.
    pub(crate) fn plans(&self) -> usize {
        self.plans.len()
    }

    /// The names of a field, outermost first.
    pub(crate) fn names_of(&self, row: &FieldRow) -> &[Text] {
        self.names.get(row.names()).unwrap_or_default()
    }

    /// Whether the field can have several values.
    pub(crate) fn is_through_arrays(&self, field: FieldIndex) -> bool {
        self.rows.get(field.0 as usize).is_some_and(|row| row.through_arrays)
    }

    /// The fields of a plan; their places in this list are the numbers by which the reader knows them.
    pub(crate) fn of_plan(&self, plan: PlanIndex) -> &[FieldIndex] {
        let Some(PlanRow { first, count, .. }) = self.plans.get(plan.0 as usize) else { return &[] };
        self.planned.get(range(*first, *count)).unwrap_or_default()
    }

    /// Adds a plan for fields that are ascending and different from each other.
    pub(crate) fn plan(&mut self, texts: &str, fields: &[FieldIndex]) -> PlanIndex {
        let Fields { rows, names, plans, planned, spellings, json, .. } = self;
        let names_of = |row: &FieldRow| names.get(row.names()).unwrap_or_default().iter().map(|name| name.of(texts));
        let rows = || fields.iter().filter_map(|field| rows.get(field.0 as usize));
        let plain = json.add(rows().map(|row| Wanted { names: names_of(row), through_arrays: row.through_arrays }));
        let may_be_dotted = rows().filter(|row| row.dots != 0);
        let dotted: Vec<Vec<String>> =
            may_be_dotted.flat_map(|row| spelled_with_dots(names_of(row), row.dots)).collect();
        let mut at = 0;
        spellings.extend(rows().map(|row| {
            let first = at;
            at += (1 << row.dots.count_ones()) - 1;
            first..at
        }));
        let dotted = (!dotted.is_empty()).then(|| {
            json.add(
                dotted.iter().map(|names| Wanted { names: names.iter().map(String::as_str), through_arrays: true }),
            )
        });
        plans.push(PlanRow { first: planned.len() as u32, count: fields.len() as u32, plain, dotted });
        planned.extend_from_slice(fields);
        PlanIndex(plans.len() as u32 - 1)
    }
}

impl Fields {
    /// Makes a plan for payloads that are messages of a type, too.
    pub(crate) fn plan_message(&mut self, texts: &str, descriptors: &Descriptors, plan: PlanIndex, message: MessageId) {
        if self.protobuf.has(plan.0, message) {
            return;
        }
        let Some(PlanRow { first, count, .. }) = self.plans.get(plan.0 as usize) else { return };
        let Fields { rows, names, planned, protobuf, .. } = self;
        let fields = planned.get(range(*first, *count)).unwrap_or_default();
        let rows = fields.iter().filter_map(|field| rows.get(field.0 as usize));
        let names_of = |row: &FieldRow| names.get(row.names()).unwrap_or_default().iter().map(|name| name.of(texts));
        let wanted = rows.map(|row| (names_of(row).collect(), row.through_arrays));
        protobuf.add(descriptors, (plan.0, message), wanted);
    }

    /// The names of a field with dots between them, for people.
    pub(crate) fn dotted_name(&self, texts: &str, field: FieldIndex) -> String {
        self.full_name(texts, field).join(".")
    }

    /// The names of a field.
    pub(crate) fn full_name<'t>(&self, texts: &'t str, field: FieldIndex) -> Vec<&'t str> {
        let names = self.rows.get(field.0 as usize).map(|row| self.names_of(row)).unwrap_or_default();
        names.iter().map(|name| name.of(texts)).collect()
    }

    /// How many fields of messages all plans look at.
    pub(crate) fn protobuf_places(&self) -> usize {
        self.protobuf.size()
    }

    /// What the names of enums' values lie in.
    #[inline]
    pub(crate) fn symbols(&self) -> &str {
        self.protobuf.names()
    }
}

/// All ways to spell a field with at least one dot.
fn spelled_with_dots<'n>(names: impl Iterator<Item = &'n str>, dots: u32) -> impl Iterator<Item = Vec<String>> {
    let names: Vec<String> = names.map(str::to_owned).collect();
    // Counts through all sets of the dots but the empty one.
    let sets =
        std::iter::successors(Some(dots), move |set| Some(set.wrapping_sub(1) & dots)).take_while(|set| *set != 0);
    sets.map(move |set| {
        let mut spelled: Vec<String> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match spelled.last_mut() {
                Some(last) if at > 0 && set & 1 << (at - 1) != 0 => {
                    last.push('.');
                    last.push_str(name);
                }
                _ => spelled.push(name.clone()),
            }
        }
        spelled
    })
}

/// The values of a field: those of its plain spelling, or else those of all others.
#[derive(Clone, Debug)]
pub(crate) struct ValuesOf<'r> {
    now: All<'r>,
    dotted: &'r json::Reader,
    /// Those that are still to come.
    spellings: Range<u32>,
}

impl Iterator for ValuesOf<'_> {
    type Item = Found;

    #[inline(always)]
    fn next(&mut self) -> Option<Found> {
        loop {
            match self.now.next() {
                None if !self.spellings.is_empty() => self.now = self.dotted.all_values(self.spellings.next()?),
                found => return found,
            }
        }
    }
}

/// What was read of one payload by one plan.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// Has the values, whoever read them.
    plain: json::Reader,
    dotted: json::Reader,
    protobuf: protobuf::Reader,
    /// Whether `dotted` has read this payload.
    has_dotted: bool,
    /// The plan's fields among all planned ones.
    first: u32,
    count: u32,
}

impl Reading {
    /// Reads a payload; what was read before is forgotten.
    #[inline]
    pub(crate) fn read(&mut self, fields: &Fields, plan: PlanIndex, payload: Content<'_>) {
        let Some(row) = fields.plans.get(plan.0 as usize) else { return };
        self.has_dotted = false;
        (self.first, self.count) = (row.first, row.count);
        if let Format::Protobuf(message) = payload.format {
            return self.read_message(fields, (plan, row.count), message, payload.bytes);
        }
        self.plain.read(&fields.json, row.plain, payload.bytes);
        if let Some(dotted) = row.dotted {
            self.read_dotted(fields, row, dotted, payload.bytes);
        }
    }

    /// Takes what a plan wants from another reading of the same payload, by a plan that wants all of it. Says whether that was possible: what
    /// the other one put together stays there.
    pub(crate) fn take(&mut self, fields: &Fields, plan: PlanIndex, (whole, of_whole): (&Reading, PlanIndex)) -> bool {
        let Some(row) = fields.plans.get(plan.0 as usize) else { return false };
        self.has_dotted = false;
        (self.first, self.count) = (row.first, row.count);
        let (wanted, all) = (fields.of_plan(plan), fields.of_plan(of_whole));
        let values = self.plain.values_mut();
        values.begin(row.count);
        for (number, field) in (0..).zip(wanted) {
            let Ok(place) = all.binary_search(field) else { return false };
            for found in whole.values(fields, place as u32) {
                if let Kind::Typed(Typed::List | Typed::Merged(_)) = found.kind() {
                    return false;
                }
                values.push(number, found);
            }
        }
        // What was met on the way to other fields counts, too: it makes who asks look closer, and never less close.
        values.crossed_array = whole.is_involved();
        values.is_ragged = whole.plain.is_ragged() || whole.has_dotted;
        true
    }

    /// Names of messages have no dots in them, so that there are no other spellings.
    #[inline(never)]
    fn read_message(&mut self, fields: &Fields, plan: (PlanIndex, u32), message: MessageId, bytes: &[u8]) {
        let values = self.plain.values_mut();
        values.begin(plan.1);
        self.protobuf.read(&fields.protobuf, (plan.0.0, message), bytes, values);
    }

    /// What a value lies in that was found in `bytes`.
    #[inline]
    pub(crate) fn bytes_of<'b>(&'b self, value: &Found, bytes: &'b [u8]) -> &'b [u8] {
        if let Kind::Typed(Typed::Merged(_)) = value.kind() { self.protobuf.merged() } else { bytes }
    }

    /// The elements of a [`Typed::List`] that was read last.
    pub(crate) fn elements(&self, list: &Found) -> impl Iterator<Item = Found> {
        self.protobuf.elements(list)
    }

    /// Looks for spellings with dots if a field is missing that may have them.
    fn read_dotted(&mut self, fields: &Fields, row: &PlanRow, dotted: json::PlanIndex, payload: &[u8]) {
        let spellings = fields.spellings.get(range(row.first, row.count)).unwrap_or_default();
        let is_missing =
            |(number, spellings): (u32, &Range<u32>)| !spellings.is_empty() && self.plain.first(number).is_none();
        if (0..).zip(spellings).any(is_missing) {
            self.dotted.read(&fields.json, dotted, payload);
            self.has_dotted = true;
        }
    }

    /// The values of the plan's field of this number.
    #[inline(always)]
    pub(crate) fn values(&self, fields: &Fields, number: u32) -> ValuesOf<'_> {
        let plain = self.plain.all_values(number);
        let mut spellings = 0..0;
        if self.has_dotted && self.plain.first(number).is_none() {
            spellings = fields.spellings.get(self.first as usize + number as usize).cloned().unwrap_or_default();
        }
        ValuesOf { now: plain, dotted: &self.dotted, spellings }
    }

    /// Tells the numbers of those of the plan's fields that have values, some of them more than once.
    pub(crate) fn each_present(&self, fields: &Fields, mut each: impl FnMut(u32)) {
        self.plain.present().for_each(&mut each);
        if self.has_dotted {
            let spellings = fields.spellings.get(range(self.first, self.count)).unwrap_or_default();
            let field_of = |spelling: u32| spellings.partition_point(|spellings| spellings.end <= spelling) as u32;
            self.dotted.present().for_each(|spelling| each(field_of(spelling)));
        }
    }

    /// Whether fields were looked for in objects that are elements of arrays, or under other spellings.
    #[inline]
    pub(crate) fn is_involved(&self) -> bool {
        self.plain.crossed_array() || self.has_dotted
    }

    /// Whether the plan's field of this number, which is a place within elements of another field, may have other values than those
    /// that are there when elements are looked at one by one. Each may spell the place otherwise than the others do, and where the
    /// elements are found their other spellings don't count, whatever lies there.
    #[inline]
    pub(crate) fn is_in_doubt(&self, fields: &Fields, number: u32) -> bool {
        match self.plain.first(number) {
            Some(_) => self.plain.is_ragged(),
            None => self.has_dotted && self.values(fields, number).next().is_some(),
        }
    }
}
