//! What an event lacks of which a route makes a dead letter.

use super::cause::Causes;
use crate::condition::ConditionIndex;
use crate::evaluate::Memory;
use crate::event::Event;
use crate::lookups::{Answers, NO_ANSWERS};
use crate::table::{RouteIndex, RouteTable};

impl RouteTable {
    /// What makes the condition of `route` absent for `event`, in words: `payload.points is missing`; a long value is cut. `answers` are those
    /// that the event was routed with, if it needed some. `None`: it is not absent.
    ///
    /// Dead letters come in storms: this opens the event anew and asks this one route again, and each part of its condition on the way to
    /// what it lacks; lists of values are not looked at.
    pub fn tell_undecided<E: Event>(&self, event: &E, route: RouteIndex, answers: Option<&Answers>) -> Option<String> {
        let row = self.routes.get(route.get())?;
        if row.condition == ConditionIndex::ALWAYS {
            return None;
        }
        let mut memory = Memory::default();
        memory.begin(self.readers, self.lookups.rows.len());
        let absent = self.with_facts(event, answers.unwrap_or(&NO_ANSWERS), &mut memory, |facts, work| {
            let evaluation = self.evaluation(facts);
            Causes::new(self, &evaluation, row.written).of_absent(row.condition.0, work)
        });
        absent.ok()??
    }
}
