//! Lookups: what conditions ask for that events don't carry, such as a player's region.
//!
//! The table makes none of them. Evaluation says which answers the outcome of a route depends on ([`Pending`]), the caller gets them,
//! in whatever way, and has the routes that wait for them decided: [`RouteTable::resume`](crate::RouteTable::resume). What an
//! answer means is said in `route_map.proto` (`Lookup`).
//!
//! A lookup has one key per event, so what is known of it stands in one place for all routes: [`Inquiry`].
//!
//! Not here, on purpose: calls, caches, tables of reference. This crate does no I/O.

use crate::condition::{ConditionIndex, Truth};
use crate::content::Content;
use crate::evaluate::{Buffers, Evaluation, Scope, datum};
use crate::fields::{FieldIndex, Fields, PlanIndex, Reading};
use crate::found::{Found, Kind};
use crate::json;
use crate::limits;
use crate::predicate::{Attribute, Datum, Predicate};
use crate::table::{RouteTable, Text};
use std::time::Duration;

/// Place of a lookup in one table, in the order of the map; meaningless in any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LookupIndex(pub(crate) u8);

impl LookupIndex {
    /// For arrays that run beside the table's lookups.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// A lookup as the map declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup<'t> {
    /// Its name in the map.
    pub id: &'t str,
    /// Where answers come from.
    pub source: LookupSource<'t>,
    /// What is remembered of answers to calls.
    pub cache: Option<LookupCache>,
}

/// Where the answers of a lookup come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupSource<'t> {
    /// A compacted Kafka topic.
    Topic(&'t str),
    /// A file of JSON lines, by its path.
    File(&'t str),
    /// An HTTP call.
    Http {
        /// What stands before the key in the URL.
        before: &'t str,
        /// What stands after it.
        after: &'t str,
        /// How long an event waits for it.
        timeout: Duration,
    },
    /// A gRPC call.
    Grpc {
        /// Scheme, host and port.
        endpoint: &'t str,
        /// How long an event waits for it.
        timeout: Duration,
    },
}

/// How answers are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupCache {
    /// At most so many; never 0.
    pub entries: u32,
    /// For how long. One of this and the next may be zero: those are not remembered.
    pub ttl: Duration,
    /// For how long it is remembered that nothing was found.
    pub negative_ttl: Duration,
}

/// A lookup that an event waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need<'d> {
    /// Which one.
    pub lookup: LookupIndex,
    /// Where to look; need not be UTF-8.
    pub key: &'d [u8],
}

/// The answers to what one event needs. Made once per thread and reused.
#[derive(Debug, Default)]
pub struct Answers {
    /// By lookup.
    rows: Vec<Option<Answer>>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Found { at: usize, len: usize },
    NotFound,
    Failed,
}

impl Answers {
    /// None yet; grows to what is put in.
    pub const fn new() -> Self {
        Answers { rows: Vec::new(), bytes: Vec::new() }
    }

    /// Forgets the answers for the event before.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }

    /// What was found: a JSON value of any type. It is copied. Bytes that are no JSON, or more than
    /// [`LOOKUP_ANSWER_BYTES`](limits::LOOKUP_ANSWER_BYTES), count as failed.
    pub fn found(&mut self, lookup: LookupIndex, json: &[u8]) {
        let at = self.bytes.len();
        if json.len() as u64 > limits::LOOKUP_ANSWER_BYTES.max {
            return self.failed(lookup);
        }
        self.bytes.extend_from_slice(json);
        self.put(lookup, Answer::Found { at, len: json.len() });
    }

    /// Nothing is known under the key: the answer is missing.
    pub fn not_found(&mut self, lookup: LookupIndex) {
        self.put(lookup, Answer::NotFound);
    }

    /// It could not be found out, in time or at all: the answer is absent.
    pub fn failed(&mut self, lookup: LookupIndex) {
        self.put(lookup, Answer::Failed);
    }

    fn put(&mut self, lookup: LookupIndex, answer: Answer) {
        if self.rows.len() <= lookup.get() {
            self.rows.resize(lookup.get() + 1, None);
        }
        if let Some(row) = self.rows.get_mut(lookup.get()) {
            *row = Some(answer);
        }
    }

    fn of(&self, lookup: LookupIndex) -> Option<Answer> {
        self.rows.get(lookup.get()).copied().flatten()
    }

    /// Empty unless something was found.
    pub(crate) fn bytes_of(&self, lookup: LookupIndex) -> &[u8] {
        match self.of(lookup) {
            Some(Answer::Found { at, len }) => self.bytes.get(at..at + len).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// What an event has before anything was looked up for it.
pub(crate) static NO_ANSWERS: Answers = Answers::new();

/// A place in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LookupPlace {
    pub(crate) lookup: LookupIndex,
    /// [`FieldIndex::ITSELF`]: the answer.
    pub(crate) field: FieldIndex,
}

/// All lookups of a table.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) rows: Vec<LookupRow>,
    /// The roots of the conditions that ask for lookups, ascending.
    pub(crate) trees: Vec<ConditionIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct LookupRow {
    pub(crate) id: Text,
    pub(crate) key: Option<Attribute>,
    pub(crate) source: SourceRow,
    pub(crate) cache: Option<LookupCache>,
    /// All places in the answer that conditions ask for.
    pub(crate) plan: Option<PlanIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum SourceRow {
    Topic(Text),
    File(Text),
    Http { before: Text, after: Text, timeout_ms: u32 },
    Grpc { endpoint: Text, timeout_ms: u32 },
}

impl Lookups {
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
        self.trees.clear();
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<LookupRow>() + self.trees.capacity() * size_of::<ConditionIndex>()
    }

    /// What the lookup's key is in an event.
    pub(crate) fn key(&self, lookup: LookupIndex) -> Option<Attribute> {
        self.rows.get(lookup.get())?.key
    }

    /// The root of the condition that `part` is of, if that one asks for lookups: its nodes stand between its root and the next one.
    pub(crate) fn root_of(&self, part: ConditionIndex) -> ConditionIndex {
        let after = self.trees.partition_point(|root| root.0 <= part.0);
        after.checked_sub(1).and_then(|at| self.trees.get(at)).copied().unwrap_or(part)
    }
}

impl LookupRow {
    pub(crate) fn show<'t>(&self, texts: &'t str) -> Lookup<'t> {
        let source = match self.source {
            SourceRow::Topic(topic) => LookupSource::Topic(topic.of(texts)),
            SourceRow::File(path) => LookupSource::File(path.of(texts)),
            SourceRow::Http { before, after, timeout_ms } => LookupSource::Http {
                before: before.of(texts),
                after: after.of(texts),
                timeout: Duration::from_millis(timeout_ms.into()),
            },
            SourceRow::Grpc { endpoint, timeout_ms } => {
                LookupSource::Grpc { endpoint: endpoint.of(texts), timeout: Duration::from_millis(timeout_ms.into()) }
            }
        };
        Lookup { id: self.id.of(texts), source, cache: self.cache }
    }
}

/// What may become of a condition that depends on answers. It may always be absent, since an answer may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pending {
    /// The one to get first: without it, what may be true or false can't be.
    pub(crate) lookup: LookupIndex,
    may_be: MayBe,
}

/// What it may be but absent. With two bools, [`Truth`] and with it each predicate would take more memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum MayBe {
    Either,
    True,
    False,
}

impl Pending {
    /// The lookup to make first.
    pub fn lookup(self) -> LookupIndex {
        self.lookup
    }

    fn on(lookup: LookupIndex) -> Pending {
        Pending { lookup, may_be: MayBe::Either }
    }

    pub(crate) fn may_be_true(self) -> bool {
        self.may_be != MayBe::False
    }

    pub(crate) fn not(self) -> Pending {
        let may_be = match self.may_be {
            MayBe::Either => MayBe::Either,
            MayBe::True => MayBe::False,
            MayBe::False => MayBe::True,
        };
        Pending { may_be, ..self }
    }

    /// What `any` makes of two parts. The first lookup is asked for unless only the second can make it true.
    pub(crate) fn or(self, other: Pending) -> Pending {
        let may_be = match (self.may_be, other.may_be) {
            (MayBe::True, _) | (_, MayBe::True) => MayBe::True,
            (MayBe::Either, _) | (_, MayBe::Either) => MayBe::Either,
            (MayBe::False, MayBe::False) => MayBe::False,
        };
        let is_first = self.may_be_true() || !other.may_be_true();
        Pending { lookup: if is_first { self.lookup } else { other.lookup }, may_be }
    }

    /// What `any` makes of this and a part that is absent.
    pub(crate) fn or_absent(self) -> Truth {
        if self.may_be_true() { Truth::Pending(Pending { may_be: MayBe::True, ..self }) } else { Truth::Absent }
    }
}

/// What is known of one lookup for the event at hand.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// No route has asked for it yet.
    #[default]
    Unknown,
    /// The key is known, the answer is not.
    Keyed {
        at: u32,
        len: u32,
    },
    /// There is no key.
    Keyless,
    /// Nothing was found under the key.
    Missing,
    Failed,
    /// Where its places begin among all that were found: the answer itself, then the fields of its plan.
    Found {
        first: u32,
    },
}

/// What is known of all lookups for the event at hand; reused for all events.
#[derive(Debug, Default)]
pub(crate) struct Inquiry {
    states: Vec<State>,
    keys: Vec<u8>,
    found: Vec<Option<Found>>,
    /// Made when the first answer comes.
    reading: Option<Reading>,
    /// Bit n: routes wait for lookup n.
    needed: u64,
}

impl Inquiry {
    /// Forgets the event before.
    pub(crate) fn begin(&mut self, lookups: usize) {
        self.states.clear();
        self.states.resize(lookups, State::Unknown);
        self.keys.clear();
        self.found.clear();
        self.needed = 0;
    }

    fn state(&self, lookup: LookupIndex) -> State {
        self.states.get(lookup.get()).copied().unwrap_or_default()
    }

    fn set(&mut self, lookup: LookupIndex, state: State) -> State {
        if let Some(place) = self.states.get_mut(lookup.get()) {
            *place = state;
        }
        state
    }

    /// Notes that these are what routes wait for now.
    pub(crate) fn need(&mut self, lookups: impl Iterator<Item = LookupIndex>) {
        self.needed = lookups.fold(0, |needed, lookup| needed | 1 << lookup.0);
    }

    /// What routes wait for.
    pub(crate) fn needs(&self) -> impl Iterator<Item = Need<'_>> {
        let lookups = (0..u64::BITS as u8).filter(|lookup| self.needed & 1 << lookup != 0).map(LookupIndex);
        lookups.filter_map(|lookup| match self.state(lookup) {
            State::Keyed { .. } => Some(Need { lookup, key: self.key_of(lookup)? }),
            _ => None,
        })
    }

    /// The key of a lookup, if it is known and there is one.
    pub(crate) fn key_of(&self, lookup: LookupIndex) -> Option<&[u8]> {
        match self.state(lookup) {
            State::Keyed { at, len } => self.keys.get(at as usize..(at + len) as usize),
            _ => None,
        }
    }

    /// Whether the event has no key for a lookup, which somebody has asked for.
    pub(crate) fn is_keyless(&self, lookup: LookupIndex) -> bool {
        matches!(self.state(lookup), State::Keyless)
    }

    /// Reads the answers that came since keys became known.
    pub(crate) fn take_in(&mut self, lookups: &Lookups, fields: &Fields, answers: &Answers) {
        for number in 0..lookups.rows.len() as u8 {
            if let State::Keyed { .. } = self.state(LookupIndex(number)) {
                self.take_in_one(LookupIndex(number), lookups, fields, answers);
            }
        }
    }

    /// Reads the answer to a lookup whose key is known, if it is there, and returns what is known then.
    fn take_in_one(&mut self, lookup: LookupIndex, lookups: &Lookups, fields: &Fields, answers: &Answers) -> State {
        let state = match answers.of(lookup) {
            None => return self.state(lookup),
            Some(Answer::NotFound) => State::Missing,
            Some(Answer::Failed) => State::Failed,
            Some(Answer::Found { .. }) => {
                let plan = lookups.rows.get(lookup.get()).and_then(|row| row.plan);
                self.read(fields, plan, answers.bytes_of(lookup))
            }
        };
        self.set(lookup, state)
    }

    fn read(&mut self, fields: &Fields, plan: Option<PlanIndex>, answer: &[u8]) -> State {
        if json::validate(answer).is_err() {
            return State::Failed;
        }
        let first = self.found.len() as u32;
        self.found.push(json::value(answer));
        if let Some(plan) = plan {
            let reading = self.reading.get_or_insert_default();
            reading.read(fields, plan, Content::json(answer));
            let places = 0..fields.of_plan(plan).len() as u32;
            self.found.extend(places.map(|number| reading.values(fields, number).next()));
        }
        State::Found { first }
    }
}

impl RouteTable {
    /// The lookup that the map declares under this id; for answers that are known beforehand.
    pub fn lookup_index(&self, id: &str) -> Option<LookupIndex> {
        let place = self.lookups().position(|lookup| lookup.id == id)?;
        u8::try_from(place).ok().map(LookupIndex)
    }
}

/// What is known of a place in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AnswerAt {
    /// The answer is not there yet.
    Unknown,
    Failed,
    /// `None`: it is missing. Where it is in the answer's bytes.
    Known(Option<Found>),
}

impl Evaluation<'_> {
    /// What a predicate says of a place in an answer.
    pub(crate) fn looked_up(
        &self,
        predicate: &Predicate,
        place: LookupPlace,
        scope: Option<&Scope<'_>>,
        buffers: &mut Buffers,
    ) -> Truth {
        match self.answer_at(place, scope, buffers) {
            AnswerAt::Unknown => Truth::Pending(Pending::on(place.lookup)),
            AnswerAt::Failed => Truth::Absent,
            AnswerAt::Known(found) => {
                let answer = self.facts.answers.bytes_of(place.lookup);
                let truth = found.and_then(|found| self.found(predicate, answer, &found, buffers));
                truth.unwrap_or_else(|| predicate.of_missing())
            }
        }
    }

    /// What is known of a place in an answer.
    pub(crate) fn answer_at(&self, place: LookupPlace, scope: Option<&Scope<'_>>, buffers: &mut Buffers) -> AnswerAt {
        let LookupPlace { lookup, field } = place;
        let state = match buffers.inquiry.state(lookup) {
            State::Unknown => self.find_key(lookup, scope, buffers),
            known => known,
        };
        let first = match state {
            State::Found { first } => first,
            State::Keyless | State::Missing => return AnswerAt::Known(None),
            State::Failed => return AnswerAt::Failed,
            State::Unknown | State::Keyed { .. } => return AnswerAt::Unknown,
        };
        let number = match field {
            FieldIndex::ITSELF => Some(0),
            field => self.place_of(lookup, field).map(|number| number + 1),
        };
        let found = number.and_then(|number| buffers.inquiry.found.get(first as usize + number).copied().flatten());
        AnswerAt::Known(found)
    }

    fn place_of(&self, lookup: LookupIndex, field: FieldIndex) -> Option<usize> {
        let plan = self.lookups.rows.get(lookup.get())?.plan?;
        self.fields.of_plan(plan).binary_search(&field).ok()
    }

    /// Finds the key of a lookup that nobody has asked for before.
    fn find_key(&self, lookup: LookupIndex, scope: Option<&Scope<'_>>, buffers: &mut Buffers) -> State {
        let Buffers { unescaped, inquiry, .. } = buffers;
        let at = inquiry.keys.len();
        let is_given = match self.lookups.key(lookup) {
            Some(Attribute::Field(field)) => scope
                .map(Scope::payload)
                .is_some_and(|payload| self.key_in(payload, field, unescaped, &mut inquiry.keys)),
            Some(outside) => match self.outside(outside) {
                Some(Datum::Text(text)) => put(&mut inquiry.keys, text),
                _ => false,
            },
            None => false,
        };
        let len = inquiry.keys.len() - at;
        let is_key = is_given && len as u64 <= limits::LOOKUP_KEY_BYTES.max;
        if !is_key {
            inquiry.keys.truncate(at);
        }
        if !is_key {
            return inquiry.set(lookup, State::Keyless);
        }
        inquiry.set(lookup, State::Keyed { at: at as u32, len: len as u32 });
        // It may have been answered before anybody asked.
        inquiry.take_in_one(lookup, self.lookups, self.fields, self.facts.answers)
    }

    /// Adds the key that a field of the payload is to `keys`, if it is one.
    fn key_in(&self, payload: &Scope<'_>, field: FieldIndex, unescaped: &mut Vec<u8>, keys: &mut Vec<u8>) -> bool {
        let Some(found) = payload.values(self.fields, field).next() else { return false };
        match datum(self.fields, payload.bytes, &found, unescaped) {
            Some(Datum::Text(text)) => put(keys, text),
            Some(Datum::Number(_)) if found.kind() == Kind::Number => put(keys, found.of(payload.bytes)),
            Some(Datum::Number(number)) => {
                number.spell(&mut |part| keys.extend_from_slice(part));
                true
            }
            _ => false,
        }
    }
}

/// Returns true, for whoever says with it that there was something.
fn put(keys: &mut Vec<u8>, text: &[u8]) -> bool {
    keys.extend_from_slice(text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// All that `pending` may become; sorted by name.
    fn outcomes(truth: Truth) -> BTreeSet<&'static str> {
        let all: &[_] = match truth {
            Truth::False => &["false"],
            Truth::True => &["true"],
            Truth::Absent => &["absent"],
            Truth::Pending(Pending { may_be: MayBe::Either, .. }) => &["true", "false", "absent"],
            Truth::Pending(Pending { may_be: MayBe::True, .. }) => &["true", "absent"],
            Truth::Pending(Pending { may_be: MayBe::False, .. }) => &["false", "absent"],
        };
        all.iter().copied().collect()
    }

    fn all_truths() -> Vec<Truth> {
        let pending = |may_be| Truth::Pending(Pending { lookup: LookupIndex(0), may_be });
        let known = [Truth::False, Truth::True, Truth::Absent];
        known.into_iter().chain([MayBe::Either, MayBe::True, MayBe::False].map(pending)).collect()
    }

    #[test]
    fn what_parts_may_become_together_is_what_each_of_them_may_become() {
        let or = |a: &'static str, b: &'static str| match (a, b) {
            ("true", _) | (_, "true") => "true",
            ("absent", _) | (_, "absent") => "absent",
            _ => "false",
        };
        let not = |a: &'static str| match a {
            "true" => "false",
            "false" => "true",
            other => other,
        };
        for a in all_truths() {
            assert_eq!(outcomes(a.not()), outcomes(a).into_iter().map(not).collect(), "{a:?}");
            for b in all_truths() {
                let each = |combine: &dyn Fn(&'static str, &'static str) -> &'static str| -> BTreeSet<&'static str> {
                    outcomes(a)
                        .into_iter()
                        .flat_map(|a| outcomes(b).into_iter().map(move |b| (a, b)))
                        .map(|(a, b)| combine(a, b))
                        .collect()
                };
                assert_eq!(outcomes(a.or(b)), each(&or), "{a:?} or {b:?}");
                assert_eq!(outcomes(a.and(b)), each(&|a, b| not(or(not(a), not(b)))), "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn what_is_asked_for_first_is_what_can_make_a_difference() {
        let first = |one, other| {
            let pending = |lookup, may_be| Pending { lookup: LookupIndex(lookup), may_be };
            pending(0, one).or(pending(1, other)).lookup.get()
        };
        assert_eq!(first(MayBe::Either, MayBe::Either), 0, "the first one that is written");
        assert_eq!(first(MayBe::False, MayBe::Either), 1, "the one that can make it true");
        assert_eq!(first(MayBe::False, MayBe::True), 1, "the one that can make it true");
        assert_eq!(first(MayBe::False, MayBe::False), 0);
    }

    #[test]
    fn the_last_word_on_a_lookup_counts_and_a_cleared_one_is_none() {
        let mut answers = Answers::new();
        let (first, third) = (LookupIndex(0), LookupIndex(2));
        answers.found(third, b"1");
        answers.found(third, b"{}");
        assert_eq!(answers.bytes_of(third), b"{}");
        assert!(answers.of(first).is_none());
        answers.found(third, &vec![b' '; limits::LOOKUP_ANSWER_BYTES.max as usize + 1]);
        assert!(matches!(answers.of(third), Some(Answer::Failed)));
        answers.clear();
        assert!(answers.of(third).is_none());
    }
}
