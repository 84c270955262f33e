//! What a change of a map changes for one event.
//!
//! As long as something has to be looked up, only that is compared which comes whatever lookups say; the rest is told as not known.

use crate::deliveries::Deliveries;
use crate::event::Event;
use crate::foreseen::Foreseen;
use crate::lookups::{Answers, NO_ANSWERS};
use crate::table::RouteTable;
use std::collections::BTreeMap;
use std::fmt::{Display, Formatter, Result};

/// What another table would make of an event: deliveries by the ids of their destinations. All of it is certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventDiff {
    /// Destinations that get it now, with the route that sends it there.
    pub gained: Vec<(String, Option<String>)>,
    /// Destinations that get it no more, with the route that sent it there.
    pub lost: Vec<(String, Option<String>)>,
    /// Destinations that get it by another route: by which before, and by which now. `None`: as no route wants it.
    pub moved: Vec<(String, Option<String>, Option<String>)>,
    /// Destinations that get it in another topic: in which before, and in which now.
    pub readdressed: Vec<(String, String, String)>,
    /// Whether it goes to the dead letters, before and now. `None`: that depends on lookups.
    pub dead_letter: (Option<bool>, Option<bool>),
    /// What has to be looked up before it is known where else it goes, before and now: lookups and their keys.
    pub needs: [Vec<(String, String)>; 2],
}

impl EventDiff {
    /// Whether nothing is certain to change for the event.
    pub fn is_empty(&self) -> bool {
        self.gained.is_empty()
            && self.lost.is_empty()
            && self.moved.is_empty()
            && self.readdressed.is_empty()
            && self.dead_letter_changes().is_none()
    }

    /// Whether more may change than what is told: where the event goes depends on lookups, before or now.
    pub fn depends_on_lookups(&self) -> bool {
        self.needs.iter().any(|needs| !needs.is_empty())
    }

    /// Whether it goes to the dead letters now, if it is certain that this changes.
    fn dead_letter_changes(&self) -> Option<bool> {
        let (Some(was), Some(is)) = self.dead_letter else { return None };
        (was != is).then_some(is)
    }
}

/// What changes for `event` when `new` routes instead of `old`, as far as that is known without looking anything up.
pub fn diff_event<E: Event>(old: &RouteTable, new: &RouteTable, event: &E) -> EventDiff {
    diff_event_with((old, &NO_ANSWERS), (new, &NO_ANSWERS), event)
}

/// The same, with what lookups say; each table has answers of its own, since it has lookups of its own.
pub fn diff_event_with<E: Event>(old: (&RouteTable, &Answers), new: (&RouteTable, &Answers), event: &E) -> EventDiff {
    let (before, after) = (Fate::of(old, event), Fate::of(new, event));
    let mut diff = EventDiff {
        dead_letter: (before.is_dead, after.is_dead),
        needs: [before.needs.clone(), after.needs.clone()],
        ..EventDiff::default()
    };
    for (destination, was) in &before.certain {
        let Some(now) = after.certain.get(destination) else {
            if !after.possible.contains_key(destination) {
                diff.lost.push((destination.clone(), was.route.clone()));
            }
            continue;
        };
        if now.topic != was.topic {
            diff.readdressed.push((destination.clone(), was.topic.clone(), now.topic.clone()));
        }
        // A route before the one that is named may turn out to match.
        let is_named = before.names(destination) && after.names(destination);
        if is_named && now.route != was.route {
            diff.moved.push((destination.clone(), was.route.clone(), now.route.clone()));
        }
    }
    let gained = after.certain.into_iter().filter(|(destination, _)| {
        !before.certain.contains_key(destination) && !before.possible.contains_key(destination)
    });
    diff.gained.extend(gained.map(|(destination, now)| (destination, now.route)));
    diff
}

/// How an event goes to a destination.
#[derive(PartialEq, Eq)]
struct Way {
    route: Option<String>,
    topic: String,
}

/// What becomes of an event, as far as it is known: the destinations that it goes to.
struct Fate {
    certain: BTreeMap<String, Way>,
    /// All that are possible, if something has to be looked up.
    possible: BTreeMap<String, Way>,
    is_dead: Option<bool>,
    needs: Vec<(String, String)>,
}

impl Fate {
    fn of<E: Event>((table, answers): (&RouteTable, &Answers), event: &E) -> Fate {
        let Foreseen { certain, possible } = table.foresee(event, answers);
        let is_dead = certain.asks_for_dead_letter();
        let may_be_dead = possible.as_ref().map_or(is_dead, Deliveries::asks_for_dead_letter);
        let ways = |deliveries: &Deliveries| -> BTreeMap<String, Way> {
            let told = deliveries.list().iter().filter_map(|delivery| {
                let destination = table.destination(delivery.destination)?;
                let route = delivery.route.map(|route| table.route_id(route).to_owned());
                Some((destination.id.to_owned(), Way { route, topic: destination.topic.to_owned() }))
            });
            told.collect()
        };
        Fate {
            certain: ways(&certain),
            possible: possible.as_ref().map(ways).unwrap_or_default(),
            is_dead: (is_dead == may_be_dead).then_some(is_dead),
            needs: certain.needs().map(|need| table.tell_need(&need)).collect(),
        }
    }

    /// Whether it is certain by which route the event goes to a destination.
    fn names(&self, destination: &str) -> bool {
        self.needs.is_empty() || self.certain.get(destination) == self.possible.get(destination)
    }
}

/// A line for each delivery, and for each lookup that more depends on.
impl Display for EventDiff {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let by = |route: &Option<String>| match route {
            Some(route) => format!("by route {route}"),
            None => "as no route wants it".to_owned(),
        };
        let gained = self.gained.iter().map(|(to, route)| format!("+ {to}, {}", by(route)));
        let lost = self.lost.iter().map(|(to, route)| format!("- {to}, {}", by(route)));
        let moved = self.moved.iter().map(|(to, was, is)| format!("~ {to}, {}, before {}", by(is), by(was)));
        let readdressed = self.readdressed.iter().map(|(to, was, is)| format!("~ {to}, in topic {is}, before {was}"));
        let dead = self.dead_letter_changes().map(|is| format!("{} the dead letters", if is { '+' } else { '-' }));
        let [before, now] = &self.needs;
        let need =
            |(lookup, key): &(String, String), when: &str| format!("? depends{when} on lookup {lookup} of {key}");
        let when = |needed| if before.contains(needed) { "" } else { " now" };
        let was_needed = before.iter().filter(|needed| !now.contains(needed)).map(|needed| need(needed, " before"));
        let is_needed = now.iter().map(|needed| need(needed, when(needed)));
        let lines = gained.chain(lost).chain(moved).chain(readdressed).chain(dead).chain(was_needed).chain(is_needed);
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}
