//! Finds what decides a condition: a walk through its tree that evaluates the parts and goes on only into those that count.

use super::show::{Actual, Quotes, Sought, shown_bytes};
use super::{Because, Cause};
use crate::condition::{AnyElement, NodeKind, Over, Truth};
use crate::evaluate::{Buffers, Evaluation, Scope, Work, flatten};
use crate::fields::{FieldIndex, Reading};
use crate::found::{Found, Kind};
use crate::lookups::{AnswerAt, LookupIndex};
use crate::predicate::{Attribute, ElementPlace};
use crate::table::{RouteTable, Written};
use crate::{cel, event_pattern};
use veltrix_proto::v1::{self, AnyElement as AnyElementMessage, any_element, condition};

/// How many tests are told of one route.
const TESTS_TOLD: usize = 32;
/// And how many parts of one `any`, or elements of one array.
const PARTS_TOLD: usize = 8;

/// Finds the causes for one route and one event.
pub(super) struct Causes<'a> {
    table: &'a RouteTable,
    evaluation: &'a Evaluation<'a>,
    written: Written,
    /// How many more tests may be told.
    left: usize,
    /// The paths of the elements around what is looked at, outermost first.
    around: Vec<Vec<String>>,
}

impl<'a> Causes<'a> {
    pub(super) fn new(table: &'a RouteTable, evaluation: &'a Evaluation<'a>, written: Written) -> Self {
        Causes { table, evaluation, written, left: TESTS_TOLD, around: Vec::new() }
    }

    /// What decides the condition whose root is the node `root`.
    pub(super) fn of(mut self, root: u32, work: &mut Work<'_>) -> Option<Cause> {
        let Work { readers, buffers, .. } = work;
        let evaluation = self.evaluation;
        let cause = |at, scope: Option<&Scope<'_>>, inner: &mut [Reading], buffers: &mut Buffers| {
            self.cause(at, scope, inner, buffers)
        };
        evaluation.within_payload(root, readers, buffers, cause).flatten()
    }

    /// What makes the condition whose root is the node `root` absent, if it is: the first test that is, or the array of which it can't be said
    /// of an element. Nothing of the condition is put into words but the place, since a list of thousands of values would be long ones.
    pub(super) fn of_absent(self, root: u32, work: &mut Work<'_>) -> Option<String> {
        let Work { readers, buffers, .. } = work;
        let of = |at, scope: Option<&Scope<'_>>, inner: &mut [Reading], buffers: &mut Buffers| {
            let is_absent = self.evaluation.node(at, scope, inner, buffers) == Truth::Absent;
            is_absent.then(|| self.absent(at, scope, inner, buffers)).flatten()
        };
        self.evaluation.within_payload(root, readers, buffers, of).flatten()
    }

    fn absent(
        &self,
        at: u32,
        scope: Option<&Scope<'_>>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Option<String> {
        let conditions = &self.table.conditions;
        let node = conditions.node(at)?;
        match node.kind {
            NodeKind::Not | NodeKind::Payload(_) => self.absent(at + 1, scope, inner, buffers),
            NodeKind::All | NodeKind::Any => {
                let is_absent = |child: &u32| self.evaluation.node(*child, scope, inner, buffers) == Truth::Absent;
                let child = self.table.children(at, node.end).find(is_absent)?;
                self.absent(child, scope, inner, buffers)
            }
            NodeKind::Predicate(index) => {
                let attribute = conditions.predicates.get(index as usize)?.attribute;
                self.because(at, self.place(attribute), scope, buffers).line()
            }
            NodeKind::AnyElement(index) => {
                let any = conditions.any_elements.get(index as usize)?;
                let (place, mut has_elements) = (self.place(attribute_of(any.over)), false);
                self.evaluation.elements(any, scope?, &mut |_, _| has_elements = true);
                match has_elements {
                    true => Some(format!("it can't be said of an element of {place}")),
                    false => Because::Value { place, actual: self.actual(at, scope) }.line(),
                }
            }
        }
    }

    /// What of an event an attribute is, in words.
    fn place(&self, attribute: Attribute) -> String {
        let attribute = Some(self.table.attribute(attribute));
        cel::place_of(&v1::Predicate { attribute, ..v1::Predicate::default() }, 0)
    }

    /// What decides the node at `at`.
    fn cause(
        &mut self,
        at: u32,
        scope: Option<&Scope<'_>>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Option<Cause> {
        let truth = self.evaluation.node(at, scope, inner, buffers);
        let condition = self.table.condition_at(at)?;
        if let Some((words, place)) = self.leaf(&condition) {
            self.left = self.left.saturating_sub(1);
            let because = self.because(at, place, scope, buffers);
            return Some(Cause { words, condition, truth, because });
        }
        let node = self.table.conditions.node(at)?;
        let because = match (node.kind, truth) {
            (NodeKind::Predicate(_) | NodeKind::Payload(_), _) => return None,
            (NodeKind::Not, _) => Because::Opposite(Box::new(self.cause(at + 1, scope, inner, buffers)?)),
            (NodeKind::All, Truth::True) | (NodeKind::Any, Truth::False) => {
                self.parts(at, node.end, scope, inner, buffers)
            }
            (NodeKind::All | NodeKind::Any, _) => {
                // The first part that yields what the whole yields.
                let decides = |child: &u32| is_why(self.evaluation.node(*child, scope, inner, buffers), truth);
                let child = self.table.children(at, node.end).find(decides)?;
                return self.cause(child, scope, inner, buffers);
            }
            (NodeKind::AnyElement(index), _) => {
                let any = self.table.conditions.any_elements.get(index as usize)?;
                let condition::Kind::AnyElement(message) = condition.kind.as_ref()? else { return None };
                self.around.push(self.path_of(message));
                let because = self.elements(at, any, message, truth, scope?, inner, buffers);
                self.around.pop();
                match because {
                    // A pattern does not know an object from an array of one.
                    Because::Elements { mut elements, more: 0, .. }
                        if self.written == Written::EventPattern && elements.len() == 1 =>
                    {
                        return elements.pop().map(|(_, cause)| cause);
                    }
                    because => because,
                }
            }
        };
        Some(Cause { words: self.words(&condition), condition, truth, because })
    }

    /// All parts.
    fn parts(
        &mut self,
        at: u32,
        end: u32,
        scope: Option<&Scope<'_>>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Because {
        let table = self.table;
        let (mut parts, mut more) = (Vec::new(), 0);
        for child in table.children(at, end) {
            match parts.len() < PARTS_TOLD && self.left > 0 {
                true => parts.extend(self.cause(child, scope, inner, buffers)),
                false => more += 1,
            }
        }
        Because::Parts { parts, more }
    }

    /// The first element that decides; each of them, if none is what is wanted.
    #[expect(clippy::too_many_arguments, reason = "the last three are what evaluation needs everywhere")]
    fn elements(
        &mut self,
        at: u32,
        any: &AnyElement,
        message: &AnyElementMessage,
        truth: Truth,
        scope: &Scope<'_>,
        inner: &mut [Reading],
        buffers: &mut Buffers,
    ) -> Because {
        let (mut elements, mut count) = (Vec::new(), 0);
        let evaluation = self.evaluation;
        evaluation.elements(any, scope, &mut |element, bytes| {
            let number = count;
            count += 1;
            let is_enough = if truth == Truth::False { PARTS_TOLD } else { 1 };
            if elements.len() >= is_enough || self.left == 0 {
                return;
            }
            let cause = evaluation.within_element(any, (element, bytes), scope, inner, |scope, inner| {
                let decides = is_why(evaluation.node(at + 1, Some(scope), inner, buffers), truth);
                decides.then(|| self.cause(at + 1, Some(scope), inner, buffers)).flatten()
            });
            elements.extend(cause.flatten().map(|cause| (number, cause)));
        });
        let place = match self.written {
            Written::EventPattern => self.around.last().map(|path| path.join(".")).unwrap_or_default(),
            Written::Tree | Written::Cel => cel::over_of(message, self.around.len() - 1),
        };
        if count == 0 {
            let actual = Actual::of(&self.table.fields, self.quotes(), Sought::default(), |each| {
                self.each_value(attribute_of(any.over), scope, each)
            });
            return Because::Value { place, actual };
        }
        let more = if truth == Truth::False { count - elements.len() } else { 0 };
        Because::Elements { place, elements, more }
    }

    /// The words and the place of a part that is told as a whole, with what the event has there: a test, the opposite of one, or a list
    /// of an event pattern.
    fn leaf(&self, condition: &v1::Condition) -> Option<(String, String)> {
        let within = self.around.last().map(Vec::as_slice).unwrap_or_default();
        if self.written == Written::EventPattern
            && let Some(list) = event_pattern::leaf(condition, within)
        {
            return Some((list.to_string(), list.path.join(".")));
        }
        let tested = match condition.kind.as_ref()? {
            condition::Kind::Not(inner) => inner.kind.as_ref()?,
            kind => kind,
        };
        let condition::Kind::Predicate(predicate) = tested else { return None };
        Some((self.words(condition), cel::place_of(predicate, self.around.len())))
    }

    /// A part in the words of its author.
    fn words(&self, condition: &v1::Condition) -> String {
        match (self.written, condition.kind.as_ref()) {
            (Written::EventPattern, Some(condition::Kind::Any(_))) => r#"{"$or": [...]}"#.to_owned(),
            (Written::EventPattern, Some(condition::Kind::AnyElement(any))) => {
                event_pattern::at_path(&self.path_of(any), "{...}")
            }
            _ => cel::part(&cel::plain(condition), self.around.len()),
        }
    }

    fn quotes(&self) -> Quotes {
        if self.written == Written::EventPattern { Quotes::Json } else { Quotes::Cel }
    }

    /// The path of the elements that an `any_element` goes over.
    fn path_of(&self, any: &AnyElementMessage) -> Vec<String> {
        match &any.over {
            Some(any_element::Over::Field(field)) => field.names.clone(),
            Some(any_element::Over::Element(element)) => {
                let outer = self.around.iter().rev().nth(element.outwards as usize);
                [outer.map(Vec::as_slice).unwrap_or_default(), &element.names].concat()
            }
            None => Vec::new(),
        }
    }

    /// What a part rests on that is told as a whole.
    fn because(&self, at: u32, place: String, scope: Option<&Scope<'_>>, buffers: &mut Buffers) -> Because {
        let conditions = &self.table.conditions;
        let node = conditions.node(at).map(|node| node.kind);
        let attribute = match node {
            Some(NodeKind::Not) => return self.because(at + 1, place, scope, buffers),
            Some(NodeKind::Predicate(index)) => conditions.predicates.get(index as usize),
            _ => None,
        };
        let Some((predicate, Attribute::Lookup(looked_up))) =
            attribute.map(|predicate| (predicate, predicate.attribute))
        else {
            return Because::Value { place, actual: self.actual(at, scope) };
        };
        let lookup = || self.table.lookup_id(looked_up.lookup).to_owned();
        match self.evaluation.answer_at(looked_up, scope, buffers) {
            AnswerAt::Known(None) if buffers.inquiry.is_keyless(looked_up.lookup) => {
                let (key, actual) = self.key_of(looked_up.lookup, scope);
                Because::NoKey { place, lookup: lookup(), key, actual }
            }
            AnswerAt::Known(found) => {
                let answer = self.evaluation.facts.answers.bytes_of(looked_up.lookup);
                let sought = Sought::by(predicate, &conditions.literals);
                let actual = Actual::of(&self.table.fields, self.quotes(), sought, |each| {
                    found.into_iter().for_each(|found| each(found, answer));
                });
                Because::Value { place, actual }
            }
            AnswerAt::Failed => Because::Lookup { place, lookup: lookup(), key: None },
            AnswerAt::Unknown => {
                let key = buffers.inquiry.key_of(looked_up.lookup).map(shown_bytes);
                Because::Lookup { place, lookup: lookup(), key }
            }
        }
    }

    /// Where a lookup's key is, in words, and what the event has there.
    fn key_of(&self, lookup: LookupIndex, scope: Option<&Scope<'_>>) -> (String, Actual) {
        let Some(attribute) = self.evaluation.lookups.key(lookup) else { return Default::default() };
        let actual = match (attribute, scope) {
            (Attribute::Field(_), None) => Actual::default(),
            (Attribute::Field(_), Some(scope)) => {
                let fields = &self.table.fields;
                Actual::of(fields, self.quotes(), Sought::default(), |each| self.each_value(attribute, scope, each))
            }
            (outside, _) => Actual::of_datum(self.quotes(), Sought::default(), self.evaluation.outside(outside)),
        };
        (self.place(attribute), actual)
    }

    /// What the event has at the place of a part that is told as a whole: all that it tests is about one place.
    fn actual(&self, at: u32, scope: Option<&Scope<'_>>) -> Actual {
        let conditions = &self.table.conditions;
        let (attribute, sought) = match conditions.node(at).map(|node| node.kind) {
            Some(NodeKind::Predicate(index)) => match conditions.predicates.get(index as usize) {
                Some(predicate) => (predicate.attribute, Sought::by(predicate, &conditions.literals)),
                None => return Actual::default(),
            },
            Some(NodeKind::AnyElement(index)) => match conditions.any_elements.get(index as usize) {
                Some(any) => (attribute_of(any.over), Sought::default()),
                None => return Actual::default(),
            },
            Some(NodeKind::Not) => return self.actual(at + 1, scope),
            // Of several tests, what one is not about may be what another one is about.
            Some(_) => return Actual { values: self.actual(at + 1, scope).values, ..Actual::default() }.of_any_type(),
            None => return Actual::default(),
        };
        match (attribute, scope) {
            (Attribute::Field(_) | Attribute::Element(_), None) => Actual::default(),
            (Attribute::Field(_) | Attribute::Element(_), Some(scope)) => {
                Actual::of(&self.table.fields, self.quotes(), sought, |each| self.each_value(attribute, scope, each))
            }
            (outside, _) => Actual::of_datum(self.quotes(), sought, self.evaluation.outside(outside)),
        }
    }

    /// The values that the event has at a place of the payload, or of an element.
    fn each_value(&self, attribute: Attribute, scope: &Scope<'_>, each: &mut dyn FnMut(Found, &[u8])) {
        let fields = &self.table.fields;
        match attribute {
            Attribute::Field(field) => {
                let home = scope.payload();
                home.values(fields, field).for_each(|value| each(value, home.bytes));
            }
            Attribute::Element(ElementPlace { outwards, field, through_arrays }) => {
                let Some(home) = scope.outwards(outwards) else { return };
                match (field, home.element) {
                    (FieldIndex::ITSELF, None) => {}
                    (FieldIndex::ITSELF, Some((element, bytes))) if through_arrays && element.kind() == Kind::Array => {
                        flatten(element.of(bytes), 0, &mut |value, bytes| each(value, bytes));
                    }
                    (FieldIndex::ITSELF, Some((element, bytes))) => each(element, bytes),
                    (field, _) => home.values(fields, field).for_each(|value| each(value, home.bytes)),
                }
            }
            _ => {}
        }
    }
}

/// Whether a part yields what the whole yields. Of what waits, it is the lookup that counts.
fn is_why(part: Truth, whole: Truth) -> bool {
    match (part, whole) {
        (Truth::Pending(part), Truth::Pending(whole)) => part.lookup() == whole.lookup(),
        (part, whole) => part == whole,
    }
}

fn attribute_of(over: Over) -> Attribute {
    match over {
        Over::Field(field) => Attribute::Field(field),
        Over::Element(place) => Attribute::Element(place),
    }
}
