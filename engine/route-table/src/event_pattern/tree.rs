//! From terms to the condition.
//!
//! A term alone is a predicate on its path from the outermost object, through all arrays. Terms that share the
//! beginning of their paths must find their values in the same object there: where paths part, an `any_element` chooses
//! that object, and what is within names its element. Where only one path goes on, nothing has to be chosen.
//!
//! `exists: false` is about the whole event, so it stands outside of what is chosen. If every term below a parting is
//! content with an absent value, there need not be an object to choose from at all.
//!
//! An `$or` that shares no beginning with its neighbours is an `any` in its place. One that does is multiplied out: its
//! branches must agree with the neighbours about the object, and may take the place of a neighbour with the same path.

use super::error::Fault;
use super::operators::{Check, Leaf, Operation};
use super::terms::Term;
use crate::limits;
use std::collections::BTreeMap;
use veltrix_proto::v1::{
    AnyElement, Condition, Conditions, Element, Field, Predicate, ValueType, ValueTypes, any_element, condition,
    predicate,
};

/// Lists of one pattern, those that stem from multiplying an `$or` out included.
const LISTS_MAX: usize = 4_096;

/// `$or`s that are multiplied with each other: more make more lists than there may be.
const MULTIPLIED_MAX: usize = LISTS_MAX.ilog2() as usize;

/// The condition that all of `terms` make.
pub(super) fn condition(terms: &[Term]) -> Result<Condition, Fault> {
    let mut builder = Builder { lists: 0, multiplied: 0 };
    let meaning = builder.meaning(&terms.iter().collect::<Vec<_>>(), 0, None)?;
    Ok(meaning.condition())
}

/// What some terms mean: all of `holds` and all of `absent`.
#[derive(Default)]
struct Meaning {
    /// About values.
    holds: Vec<Condition>,
    /// About values that are nowhere in the event.
    absent: Vec<Condition>,
    /// What stands in for `holds` if there is no value at all; `None`: nothing.
    without: Option<Vec<Condition>>,
}

impl Meaning {
    fn condition(mut self) -> Condition {
        self.holds.append(&mut self.absent);
        all(self.holds)
    }
}

/// What is known of terms before they are read: the name that comes next in a path, and whether the path ends with it.
type Branch<'t> = (&'t str, bool);

struct Builder {
    lists: usize,
    /// Around what is being read.
    multiplied: usize,
}

impl Builder {
    /// The meaning of `terms`, whose paths are the same up to `depth`. `element`: the depth of the innermost chosen
    /// object.
    fn meaning(&mut self, terms: &[&Term], depth: usize, element: Option<usize>) -> Result<Meaning, Fault> {
        let terms = last_of_each_path(terms);
        let components = components(&terms, depth);
        let about_values = components.iter().filter(|component| component.iter().any(|term| has_checks(term))).count();
        // The outermost object is the only one of its kind, and one that was chosen is chosen.
        if about_values < 2 || depth == 0 || element == Some(depth) {
            return self.parts(&components, depth, element);
        }
        let mut parts = self.parts(&components, depth, Some(depth))?;
        let path = terms.first().map(|term| path(term)).unwrap_or_default();
        let over = match element {
            None => any_element::Over::Field(field(path.get(..depth).unwrap_or_default())),
            Some(outer) => any_element::Over::Element(self::element(path.get(outer..depth).unwrap_or_default())),
        };
        let chosen = any_element_of(over, all(parts.holds));
        parts.holds = vec![match &parts.without {
            None => chosen,
            Some(without) => any(vec![chosen, all(without.clone())]),
        }];
        Ok(parts)
    }

    /// All of these.
    fn parts(&mut self, components: &[Vec<&Term>], depth: usize, element: Option<usize>) -> Result<Meaning, Fault> {
        let mut parts = Meaning { without: Some(Vec::new()), ..Meaning::default() };
        for component in components {
            let part = self.component(component, depth, element)?;
            parts.holds.extend(part.holds);
            parts.absent.extend(part.absent);
            parts.without = parts.without.zip(part.without).map(|(mut parts, part)| {
                parts.extend(part);
                parts
            });
        }
        Ok(parts)
    }

    /// Terms that can't be read one by one.
    fn component(&mut self, terms: &[&Term], depth: usize, element: Option<usize>) -> Result<Meaning, Fault> {
        let mut next = Vec::new();
        terms.iter().for_each(|term| branches(term, depth, &mut next));
        next.sort_unstable();
        next.dedup();
        match (terms, next.as_slice()) {
            ([Term::Leaf { path, leaf }], [(_, true)]) => self.leaf(path, leaf, element),
            (_, [(_, false)]) => self.meaning(terms, depth + 1, element),
            _ => self.or(terms, depth, element),
        }
    }

    /// Terms with an `$or` among them: each of its branches with all the other terms.
    fn or(&mut self, terms: &[&Term], depth: usize, element: Option<usize>) -> Result<Meaning, Fault> {
        self.multiplied += usize::from(terms.len() > 1);
        if self.multiplied > MULTIPLIED_MAX {
            return Err(too_many_lists());
        }
        let mut alternatives = Vec::new();
        let at = terms.iter().position(|term| matches!(term, Term::Or(_))).unwrap_or_default();
        if let Some(Term::Or(branches)) = terms.get(at) {
            for branch in branches {
                let mut terms = terms.to_vec();
                terms.splice(at..=at, branch);
                alternatives.push(self.meaning(&terms, depth, element)?);
            }
        }
        self.multiplied -= usize::from(terms.len() > 1);
        let withouts: Vec<Condition> = alternatives
            .iter()
            .filter_map(|alternative| Some(all([alternative.absent.clone(), alternative.without.clone()?].concat())))
            .collect();
        let about_values = alternatives.iter().any(|alternative| !alternative.holds.is_empty());
        let alternatives = any(alternatives.into_iter().map(Meaning::condition).collect());
        Ok(if about_values {
            let without = (!withouts.is_empty()).then(|| vec![any(withouts)]);
            Meaning { holds: vec![alternatives], absent: Vec::new(), without }
        } else {
            Meaning { holds: Vec::new(), absent: vec![alternatives], without: Some(Vec::new()) }
        })
    }

    fn leaf(&mut self, path: &[String], leaf: &Leaf, element: Option<usize>) -> Result<Meaning, Fault> {
        self.lists += 1;
        if self.lists > LISTS_MAX {
            return Err(too_many_lists());
        }
        let place = match element {
            None => Place::Field(path),
            Some(depth) => Place::Element(path.get(depth..).unwrap_or_default()),
        };
        let mut ways: Vec<Condition> = leaf.checks.iter().map(|check| place.check(check)).collect();
        if leaf.present {
            ways.push(place.any_value());
        }
        let absent = leaf.absent.then(|| not(Place::Field(path).any_value()));
        Ok(match (ways.is_empty(), absent) {
            (true, absent) => {
                Meaning { absent: absent.into_iter().collect(), without: Some(Vec::new()), ..Meaning::default() }
            }
            (false, None) => Meaning { holds: vec![any(ways)], ..Meaning::default() },
            (false, Some(absent)) => {
                ways.push(absent.clone());
                Meaning { holds: vec![any(ways)], absent: Vec::new(), without: Some(vec![absent]) }
            }
        })
    }
}

fn too_many_lists() -> Fault {
    let reason = format!("Rule is too complex - it comes to more than {LISTS_MAX} lists of values");
    Fault::new(0, reason, "write the fields that all branches share outside of `$or`, or use several routes")
}

/// Of lists with the same path, the last one.
fn last_of_each_path<'t>(terms: &[&'t Term]) -> Vec<&'t Term> {
    let mut last = BTreeMap::new();
    for (at, term) in terms.iter().enumerate() {
        if let Term::Leaf { path, .. } = term {
            last.insert(path, at);
        }
    }
    let counts = |(at, term): &(usize, &&Term)| match term {
        Term::Leaf { path, .. } => last.get(path) == Some(at),
        Term::Or(_) => true,
    };
    terms.iter().enumerate().filter(counts).map(|(_, term)| *term).collect()
}

/// Terms that share a branch, directly or through others, in the order of the text.
fn components<'t>(terms: &[&'t Term], depth: usize) -> Vec<Vec<&'t Term>> {
    // Each term's component is named by a term that came before, until one names itself.
    let mut names: Vec<usize> = (0..terms.len()).collect();
    let mut users: BTreeMap<Branch<'t>, usize> = BTreeMap::new();
    let mut next = Vec::new();
    for (at, term) in terms.iter().enumerate() {
        branches(term, depth, &mut next);
        for branch in next.drain(..) {
            let user = *users.entry(branch).or_insert(at);
            let (one, other) = (component_of(&names, user), component_of(&names, at));
            if let Some(name) = names.get_mut(one.max(other)) {
                *name = one.min(other);
            }
        }
    }
    let mut components: BTreeMap<usize, Vec<&Term>> = BTreeMap::new();
    for (at, term) in terms.iter().enumerate() {
        components.entry(component_of(&names, at)).or_default().push(term);
    }
    components.into_values().collect()
}

fn component_of(names: &[usize], term: usize) -> usize {
    let mut at = term;
    while let Some(name) = names.get(at).filter(|name| **name != at) {
        at = *name;
    }
    at
}

/// Where the paths of `term` go at `depth`.
fn branches<'t>(term: &'t Term, depth: usize, into: &mut Vec<Branch<'t>>) {
    match term {
        Term::Leaf { path, .. } => {
            let name = path.get(depth).map_or("", String::as_str);
            into.push((name, path.len() == depth + 1));
        }
        Term::Or(alternatives) => alternatives.iter().flatten().for_each(|term| branches(term, depth, into)),
    }
}

/// The path of one of the leaves.
fn path(term: &Term) -> &[String] {
    match term {
        Term::Leaf { path, .. } => path,
        Term::Or(alternatives) => alternatives.iter().flatten().next().map(path).unwrap_or_default(),
    }
}

fn has_checks(term: &Term) -> bool {
    match term {
        Term::Leaf { leaf, .. } => leaf.present || !leaf.checks.is_empty(),
        Term::Or(alternatives) => alternatives.iter().flatten().any(has_checks),
    }
}

/// Where a leaf's values are.
#[derive(Clone, Copy)]
enum Place<'p> {
    Field(&'p [String]),
    /// In the innermost chosen object.
    Element(&'p [String]),
}

impl Place<'_> {
    fn attribute(self) -> predicate::Attribute {
        match self {
            Place::Field(names) => predicate::Attribute::Field(field(names)),
            Place::Element(names) => predicate::Attribute::Element(element(names)),
        }
    }

    fn check(self, check: &Check) -> Condition {
        let unwanted = match check {
            Check::Is(operation) => return predicate_of(self.attribute(), operation),
            Check::AnythingBut(unwanted) => unwanted,
        };
        // An object is no value, though it is none of those.
        let value = predicate::Attribute::Element(element(&[]));
        let mut parts = vec![predicate_of(value.clone(), &any_value())];
        parts.extend(unwanted.iter().map(|operation| not(predicate_of(value.clone(), operation))));
        let over = match self {
            Place::Field(names) => any_element::Over::Field(field(names)),
            Place::Element(names) => any_element::Over::Element(element(names)),
        };
        any_element_of(over, all(parts))
    }

    fn any_value(self) -> Condition {
        predicate_of(self.attribute(), &any_value())
    }
}

fn any_value() -> Operation {
    let types = [ValueType::Null, ValueType::Boolean, ValueType::Number, ValueType::Text].map(i32::from);
    Operation { test: predicate::Test::Types(ValueTypes { types: types.to_vec() }), ignore_case: false }
}

/// Beyond the limit `dotted_names` there would be too many spellings to look for.
fn may_be_dotted(names: &[String]) -> bool {
    (2..=limits::DOTTED_NAMES.max).contains(&(names.len() as u64))
}

fn field(names: &[String]) -> Field {
    Field { names: names.to_vec(), through_arrays: true, dotted: may_be_dotted(names) }
}

fn element(names: &[String]) -> Element {
    Element { outwards: 0, names: names.to_vec(), through_arrays: true, dotted: may_be_dotted(names) }
}

fn predicate_of(attribute: predicate::Attribute, operation: &Operation) -> Condition {
    let predicate = Predicate {
        attribute: Some(attribute),
        test: Some(operation.test.clone()),
        ignore_case: operation.ignore_case,
        ..Predicate::default()
    };
    Condition { kind: Some(condition::Kind::Predicate(predicate)) }
}

fn any_element_of(over: any_element::Over, condition: Condition) -> Condition {
    let any_element = AnyElement { over: Some(over), condition: Some(Box::new(condition)), ..AnyElement::default() };
    Condition { kind: Some(condition::Kind::AnyElement(Box::new(any_element))) }
}

fn not(condition: Condition) -> Condition {
    Condition { kind: Some(condition::Kind::Not(Box::new(condition))) }
}

/// All of these, without an `all` around one, or within another.
fn all(conditions: Vec<Condition>) -> Condition {
    let flat = conditions.into_iter().flat_map(|condition| match condition.kind {
        Some(condition::Kind::All(inner)) => inner.conditions,
        kind => vec![Condition { kind }],
    });
    one_or(flat.collect(), condition::Kind::All)
}

/// Any of these, likewise.
fn any(conditions: Vec<Condition>) -> Condition {
    let flat = conditions.into_iter().flat_map(|condition| match condition.kind {
        Some(condition::Kind::Any(inner)) => inner.conditions,
        kind => vec![Condition { kind }],
    });
    one_or(flat.collect(), condition::Kind::Any)
}

fn one_or(mut conditions: Vec<Condition>, kind: fn(Conditions) -> condition::Kind) -> Condition {
    match (conditions.pop(), conditions.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            conditions.extend(last);
            Condition { kind: Some(kind(Conditions { conditions })) }
        }
    }
}
