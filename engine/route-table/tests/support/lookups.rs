//! What lookups find, and which of them matter, by trying out all that they could say.

use super::evaluate::json::Json;
use super::evaluate::{Answer, Guesses, Truth, evaluate as truth_of};
use super::{Read, is_asked};
use std::collections::{BTreeMap, BTreeSet};
use veltrix_proto::v1::{Route, RouteMap};

/// What lookups find: by their place in the map, some answers among which the key chooses.
#[derive(Clone, Debug)]
pub(crate) struct World(pub(crate) Vec<Vec<Found>>);

#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// What should be JSON, and need not be.
    Bytes(String),
    Nothing,
    Failure,
}

impl World {
    pub(crate) fn find(&self, lookup: usize, key: &[u8]) -> &Found {
        let answers = &self.0[lookup];
        &answers[key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % answers.len()]
    }
}

/// So many predicates about unknown answers are tried out in one condition.
const GUESSES_MAX: usize = 6;

impl Read<'_> {
    /// Makes the lookup at a place of the map.
    pub(crate) fn look_up(&mut self, map: &RouteMap, world: &World, lookup: usize) {
        let Some(key) = &self.keys[lookup] else { return };
        let answer = match world.find(lookup, key) {
            Found::Nothing => Answer::Missing,
            Found::Failure => Answer::Failed,
            // "Bytes that are no JSON" are one that could not be had.
            Found::Bytes(bytes) => Json::read(bytes).map_or(Answer::Failed, Answer::Found),
        };
        self.record.answers.insert(map.lookups[lookup].id.clone(), answer);
    }

    /// The lookups on which what becomes of a route depends, as far as answers are known. `None`: there are too many ways to try out.
    pub(crate) fn depends_on(&self) -> Option<BTreeSet<String>> {
        let mut lookups = BTreeSet::new();
        for met in &self.routes {
            let outcomes: Vec<Outcomes> = met.iter().map(|route| self.outcomes(route)).collect::<Option<_>>()?;
            // One that may match or not keeps no other route from being asked.
            let decided: Vec<(&Route, Truth)> = met
                .iter()
                .zip(&outcomes)
                .map(|(route, outcomes)| (*route, outcomes.only().unwrap_or(Truth::False)))
                .collect();
            let asked = (0..met.len()).filter(|at| is_asked(&decided, *at));
            asked.for_each(|at| lookups.extend(outcomes[at].depend_on()));
        }
        Some(lookups)
    }

    /// What may become of a route.
    fn outcomes(&self, route: &Route) -> Option<Outcomes> {
        let guess = |truths: Vec<Truth>| {
            self.record.guesses.replace(Guesses { truths, about: Vec::new() });
            match route.when.as_ref().map_or(Truth::True, |when| truth_of(when, &self.record)) {
                // For a route that asks for no dead letter these are one.
                Truth::Absent if route.on_absent != 2 => Truth::False,
                truth => truth,
            }
        };
        guess(Vec::new());
        let about = self.record.guesses.take().about;
        if about.len() > GUESSES_MAX {
            return None;
        }
        let digit =
            |number: usize, at: usize| [Truth::False, Truth::True, Truth::Absent][number / 3usize.pow(at as u32) % 3];
        let truths = |number| (0..about.len()).map(|at| digit(number, at)).collect::<Vec<_>>();
        let by_guesses =
            (0..3usize.pow(about.len() as u32)).map(|number| (truths(number), guess(truths(number)))).collect();
        Some(Outcomes { about, by_guesses })
    }
}

/// What becomes of a route, whatever is guessed.
struct Outcomes {
    /// The lookups that guesses are about.
    about: Vec<String>,
    by_guesses: Vec<(Vec<Truth>, Truth)>,
}

impl Outcomes {
    fn only(&self) -> Option<Truth> {
        let first = self.by_guesses[0].1;
        self.by_guesses.iter().all(|(_, outcome)| *outcome == first).then_some(first)
    }

    fn depend_on(&self) -> impl Iterator<Item = String> {
        let is_decisive = |lookup: &&String| {
            // What is guessed about the other lookups, and what comes out.
            let mut by_others: BTreeMap<Vec<Truth>, BTreeSet<Truth>> = BTreeMap::new();
            for (truths, outcome) in &self.by_guesses {
                let others = truths.iter().zip(&self.about).filter(|(_, other)| other != lookup);
                by_others.entry(others.map(|(truth, _)| *truth).collect()).or_default().insert(*outcome);
            }
            by_others.values().any(|outcomes| outcomes.len() > 1)
        };
        self.about.iter().filter(is_decisive).cloned()
    }
}
