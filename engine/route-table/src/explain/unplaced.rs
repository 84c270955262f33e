//! Why a destination with placeholders has no topic for an event.

use super::show::{Actual, Quotes, Sought};
use crate::cel;
use crate::evaluate::Memory;
use crate::event::Event;
use crate::lookups::NO_ANSWERS;
use crate::table::RouteTable;
use crate::template::{Placeholder, Placer, Template, Unplaced};
use std::fmt::{Display, Formatter, Result};
use veltrix_proto::v1;

/// A delivery of an event that does not say to which of a destination's topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnplacedExplanation {
    /// The destination's id.
    pub destination: String,
    /// Its topic, with placeholders.
    pub topic: String,
    /// The first route that sends the event there. `None`: the map says that events go there which no route wants.
    pub route: Option<String>,
    /// The first placeholder that has no value, or one that is not allowed.
    pub placeholder: String,
    /// What it stands for, in words: `payload.region`.
    pub place: String,
    /// What the event has there; a long value is cut.
    pub actual: Actual,
    /// The id of the destination that gets the event instead. `None`: it goes to the dead letters.
    pub instead: Option<String>,
}

impl RouteTable {
    /// Why a destination has no topic for `event`. `unplaced` is what this table said of the event; of another's it may say nothing.
    pub fn tell_unplaced<E: Event>(&self, event: &E, unplaced: &Unplaced) -> Option<UnplacedExplanation> {
        let template = self.templates.get(unplaced.template)?;
        let placeholder = self.templates.placeholders.get(unplaced.placeholder as usize)?;
        let mut memory = Memory::default();
        memory.begin(self.readers, self.lookups.rows.len());
        let told = self.with_facts(event, &NO_ANSWERS, &mut memory, |facts, work| {
            let evaluation = self.evaluation(facts);
            let mut placer = Placer::new(self, &evaluation, 0, work);
            placer.with_value(placeholder, |value| Actual::of_datum(Quotes::Cel, Sought::default(), value))
        });
        let actual = told.ok().flatten()?;
        Some(self.unplaced_explanation(unplaced, template, placeholder, actual))
    }

    fn unplaced_explanation(
        &self,
        unplaced: &Unplaced,
        template: &Template,
        placeholder: &Placeholder,
        actual: Actual,
    ) -> UnplacedExplanation {
        let attribute = Some(self.attribute(placeholder.attribute));
        UnplacedExplanation {
            destination: template.id.of(&self.texts).to_owned(),
            topic: template.topic.of(&self.texts).to_owned(),
            route: unplaced.route.map(|route| self.route_id(route).to_owned()),
            placeholder: placeholder.name.of(&self.texts).to_owned(),
            place: cel::place_of(&v1::Predicate { attribute, ..v1::Predicate::default() }, 0),
            actual,
            instead: unplaced.instead.and_then(|instead| self.destination(instead)).map(|to| to.id.to_owned()),
        }
    }
}

/// One line: what the destination is, and what the event lacks.
impl Display for UnplacedExplanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let UnplacedExplanation { destination, topic, placeholder, place, actual, .. } = self;
        write!(f, "{destination} has no topic {topic} for it: {place} {actual}")?;
        if !actual.values.is_empty() {
            write!(f, ", which {{{placeholder}}} can't be")?;
        }
        Ok(())
    }
}
