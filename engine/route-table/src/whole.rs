//! Reads one event's payload for all who ask something of it.
//!
//! Each group, and each condition that is decided by itself, has a plan of its own, and a reader stops at the last field that the plan wants.
//! Few read an event so. One that many routes are about would be read as often as there are routes: from the ninth time on, all that
//! anybody can want was read at once, and each takes its part of that.
//!
//! Of a payload that is no JSON text a reader finds what lies before the place where it can't go on, or where it stops: so what is found of
//! one may depend on how many ask. Sources whose payloads are checked in full have none such.

use crate::content::Content;
use crate::fields::{Fields, PlanIndex, Reading};

/// So often an event's payload is read by one plan alone.
pub(crate) const READS_MAX: u32 = 8;

/// What was read of one event for all.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    reads: u32,
    is_read: bool,
    reading: Reading,
}

impl Whole {
    /// For another event.
    #[inline]
    pub(crate) fn begin(&mut self) {
        (self.reads, self.is_read) = (0, false);
    }

    /// Fills `reader` with what a plan wants.
    #[inline]
    pub(crate) fn read(&mut self, reader: &mut Reading, fields: &Fields, plan: PlanIndex, payload: Content<'_>) {
        self.reads += 1;
        if self.reads <= READS_MAX || !self.hand_on(reader, fields, plan, payload) {
            reader.read(fields, plan, payload);
        }
    }

    #[inline(never)]
    fn hand_on(&mut self, reader: &mut Reading, fields: &Fields, plan: PlanIndex, payload: Content<'_>) -> bool {
        let Some(of_all) = fields.whole else { return false };
        if !self.is_read {
            self.reading.read(fields, of_all, payload);
            self.is_read = true;
        }
        reader.take(fields, plan, (&self.reading, of_all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::Compiler;
    use crate::fields::FieldIndex;
    use crate::json;
    use crate::support;
    use crate::table::RouteTable;
    use proptest::prelude::*;
    use prost::Message;

    /// The values of a plan's fields, and what is said of them.
    fn told(table: &RouteTable, plan: PlanIndex, reading: &Reading, payload: &[u8]) -> Vec<String> {
        let count = table.fields.of_plan(plan).len() as u32;
        let values =
            |number| reading.values(&table.fields, number).map(|found| format!("{found:?} {:?}", found.of(payload)));
        (0..count).map(|number| values(number).collect()).collect()
    }

    fn plans(table: &RouteTable) -> impl Iterator<Item = PlanIndex> {
        (0..table.fields.plans() as u32).map(PlanIndex)
    }

    proptest! {
        #[test]
        fn what_is_taken_of_a_whole_reading_is_what_a_reading_of_ones_own_finds(
            map in prop_oneof![support::route_map().boxed(), support::many_routes().boxed()],
            event in support::event(),
        ) {
            let table = Compiler::new().compile(&map.encode_to_vec()).unwrap();
            // Of what is no JSON, each finds what lies before the place where it stops.
            let is_whole = |payload: &Vec<u8>| json::validate(payload).is_ok();
            let payload = event.payload.map(String::into_bytes).filter(is_whole);
            let (Some(of_all), Some(payload)) = (table.fields.whole, payload) else { return Ok(()) };
            let content = Content::json(&payload);
            let (mut whole, mut own, mut taken) = (Reading::default(), Reading::default(), Reading::default());
            whole.read(&table.fields, of_all, content);
            let has = |field: &FieldIndex| table.fields.of_plan(of_all).contains(field);
            for plan in plans(&table).filter(|plan| table.fields.of_plan(*plan).iter().all(has)) {
                own.read(&table.fields, plan, content);
                prop_assert!(taken.take(&table.fields, plan, (&whole, of_all)));
                prop_assert_eq!(told(&table, plan, &taken, &payload), told(&table, plan, &own, &payload));
                prop_assert!(taken.is_involved() || !own.is_involved());
                for number in 0..table.fields.of_plan(plan).len() as u32 {
                    let is_in_doubt = |reading: &Reading| reading.is_in_doubt(&table.fields, number);
                    prop_assert!(is_in_doubt(&taken) || !is_in_doubt(&own));
                }
            }
        }
    }
}
