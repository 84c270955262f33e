//! Comparisons and tests of places: the leaves of a condition, with what a missing value and one of another type mean.
//!
//! CEL has no value for a field that isn't there, and no order of a text and a number: both are errors, and an error is `absent`.

use super::constant::Constant;
use super::error::ReasonKind;
use super::meaning::{Meaning, Place, Root, Value, list_of};
use super::scope::FieldType;
use super::syntax::{Expr, ExprKind, Relation};
use std::ops::Range;
use veltrix_proto::v1::{
    AnyElement, Condition, Element, Field, Literals, LookedUp, OnMissing, OnOtherType, Predicate, Range as Bounds,
    any_element, condition, predicate, range,
};

/// What a field can hold, for messages.
pub(super) fn what(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Any => "of any type",
        FieldType::String => "text",
        FieldType::Int | FieldType::Uint | FieldType::Double => "a number",
        FieldType::Bool => "true or false",
        FieldType::Bytes => "bytes",
        FieldType::Enum(_) => "one of a few names",
        FieldType::Timestamp => "a time",
        FieldType::Message(_) => "a message",
        FieldType::Repeated(_) => "a list",
        FieldType::Map(_) => "a map",
    }
}

/// The opposite; of an opposite, what it was.
pub(super) fn not(condition: Condition) -> Condition {
    match condition.kind {
        Some(condition::Kind::Not(inner)) => *inner,
        // `!has(x)` is one test, too.
        Some(condition::Kind::Predicate(Predicate {
            attribute,
            test: Some(predicate::Test::Exists(expected)),
            ..
        })) => exists(attribute, !expected),
        kind => Condition { kind: Some(condition::Kind::Not(Box::new(Condition { kind }))) },
    }
}

pub(super) fn exists(attribute: Option<predicate::Attribute>, expected: bool) -> Condition {
    let test = Some(predicate::Test::Exists(expected));
    of_predicate(Predicate { attribute, test, ..Predicate::default() })
}

/// The element that a condition within `exists` is about.
pub(super) fn innermost() -> Option<predicate::Attribute> {
    Some(predicate::Attribute::Element(Element::default()))
}

fn of_predicate(predicate: Predicate) -> Condition {
    Condition { kind: Some(condition::Kind::Predicate(predicate)) }
}

/// What equality says of a value of another type: that it is not equal.
const UNEQUAL: OnOtherType = OnOtherType::Unspecified;
const ERROR: OnOtherType = OnOtherType::Absent;

pub(super) fn test(
    attribute: Option<predicate::Attribute>,
    test: predicate::Test,
    on_other_type: OnOtherType,
) -> Predicate {
    Predicate {
        attribute,
        test: Some(test),
        on_missing: OnMissing::Absent.into(),
        on_other_type: on_other_type.into(),
        ..Predicate::default()
    }
}

impl Meaning<'_, '_, '_> {
    /// The attribute at a place; `None` when it was refused.
    pub(super) fn attribute(&mut self, place: &Place, expr: &Expr) -> Option<predicate::Attribute> {
        let names = place.names.clone();
        let (message, help) = match &place.root {
            Root::Part(part) => return Some(predicate::Attribute::Part((*part).into())),
            Root::Header(name) => return Some(predicate::Attribute::Header(name.clone())),
            Root::Variable(at) => {
                let outwards = u32::try_from(self.variables.len().saturating_sub(at + 1)).unwrap_or(u32::MAX);
                return Some(predicate::Attribute::Element(Element { outwards, names, ..Element::default() }));
            }
            Root::Payload if !names.is_empty() => {
                return Some(predicate::Attribute::Field(Field { names, ..Field::default() }));
            }
            Root::Lookup(lookup) => {
                return Some(predicate::Attribute::Lookup(LookedUp { lookup: lookup.clone(), names }));
            }
            Root::Lookups => ("these are all lookups", "name one of them: `lookup.name`"),
            Root::Payload => ("this is the whole payload", "name a field of it: `payload.name`"),
            Root::Headers => ("these are all headers", "name one of them: `headers.name`"),
            Root::Event => ("this is the whole event", "name a part of it: `event.type`"),
        };
        self.refuse(ReasonKind::Unsupported, &expr.span, message, help);
        None
    }

    /// A place that is true or false by itself.
    pub(super) fn flag(&mut self, place: &Place, expr: &Expr) -> Option<Condition> {
        let attribute = self.attribute(place, expr)?;
        let yes = predicate::Test::Equals(Constant::Bool(true).literal());
        Some(of_predicate(test(Some(attribute), yes, ERROR)))
    }

    pub(super) fn relation(&mut self, relation: Relation, left: &Expr, right: &Expr, expr: &Expr) -> Value {
        let computes = |side: &Expr| matches!(side.kind, ExprKind::Arithmetic(..));
        if computes(left) || computes(right) {
            for (side, other) in [(left, right), (right, left)] {
                match computes(side) {
                    true => self.arithmetic(side, Some(other)),
                    false => self.value(side),
                };
            }
            return Value::Refused;
        }
        let values = (self.value(left), self.value(right));
        if relation == Relation::In {
            return self.membership(values.0, left, values.1, right, expr);
        }
        match values {
            (Value::Refused, _) | (_, Value::Refused) => Value::Refused,
            (Value::Constant(a), Value::Constant(b)) => match a.compare(relation, &b) {
                Some(value) => Value::Constant(Constant::Bool(value)),
                None => self.without_order(relation, &a, &b, expr),
            },
            (Value::Place(place), Value::Constant(constant)) => {
                self.compare((&place, left, false), relation, (&constant, &right.span))
            }
            (Value::Number(place), Value::Constant(constant)) => {
                self.compare((&place, left, true), relation, (&constant, &right.span))
            }
            (Value::Constant(constant), Value::Place(place)) => {
                self.compare((&place, right, false), relation.turned(), (&constant, &left.span))
            }
            (Value::Constant(constant), Value::Number(place)) => {
                self.compare((&place, right, true), relation.turned(), (&constant, &left.span))
            }
            (Value::Condition(condition), Value::Constant(Constant::Bool(value)))
            | (Value::Constant(Constant::Bool(value)), Value::Condition(condition))
                if matches!(relation, Relation::Equal | Relation::Unequal) =>
            {
                let as_it_is = value == (relation == Relation::Equal);
                Value::Condition(if as_it_is { condition } else { not(condition) })
            }
            (a, b) => self.incomparable(&a, &b, expr),
        }
    }

    fn without_order(&mut self, relation: Relation, a: &Constant, b: &Constant, expr: &Expr) -> Value {
        let message = format!("`{}` has no order for {} and {}", relation.sign(), a.what(), b.what());
        self.refuse(ReasonKind::Type, &expr.span, message, "compare numbers with numbers and texts with texts")
    }

    fn incomparable(&mut self, a: &Value, b: &Value, expr: &Expr) -> Value {
        let sides = [a, b];
        let place = |side: &&Value| matches!(side, Value::Place(_) | Value::Number(_));
        let (message, help) = if sides.iter().all(place) {
            (
                "compares two places of an event",
                "compare each with a value, or have the producer send the result as a field",
            )
        } else if sides.iter().any(|side| matches!(side, Value::List(_))) {
            ("compares a list", "write `payload.field in [...]`, or `'a' in payload.list`")
        } else {
            (
                "compares a condition",
                "join conditions with `&&` and `||`: `a && b || !a && !b` says that they are equal",
            )
        };
        let message = format!("`{}` {message}", self.quoted(expr));
        self.refuse(ReasonKind::Unsupported, &expr.span, message, help)
    }

    /// A place, or its text as a number, beside a value that stands in the text.
    fn compare(
        &mut self,
        (place, expr, as_number): (&Place, &Expr, bool),
        relation: Relation,
        (constant, span): (&Constant, &Range<usize>),
    ) -> Value {
        let Some(attribute) = self.attribute(place, expr) else { return Value::Refused };
        let equality = matches!(relation, Relation::Equal | Relation::Unequal);
        if !self.fits(place, expr, as_number, constant, span, equality) {
            return Value::Refused;
        }
        let literal = constant.literal();
        let bounds = match relation {
            Relation::Below => Bounds { upper: Some(range::Upper::Below(literal)), ..Bounds::default() },
            Relation::AtMost => Bounds { upper: Some(range::Upper::AtMost(literal)), ..Bounds::default() },
            Relation::Above => Bounds { lower: Some(range::Lower::Above(literal)), ..Bounds::default() },
            Relation::AtLeast => Bounds { lower: Some(range::Lower::AtLeast(literal)), ..Bounds::default() },
            Relation::Equal | Relation::Unequal | Relation::In => {
                let other = if as_number { ERROR } else { UNEQUAL };
                let equal = test(Some(attribute), predicate::Test::Equals(literal), other);
                let equal = of_predicate(Predicate { text_as_number: as_number, ..equal });
                return Value::Condition(if relation == Relation::Unequal { not(equal) } else { equal });
            }
        };
        let within = test(Some(attribute), predicate::Test::Range(bounds), ERROR);
        Value::Condition(of_predicate(Predicate { text_as_number: as_number, ..within }))
    }

    /// Whether a place and a constant can be compared; refuses them if not.
    fn fits(
        &mut self,
        place: &Place,
        expr: &Expr,
        as_number: bool,
        constant: &Constant,
        span: &Range<usize>,
        equality: bool,
    ) -> bool {
        let number = matches!(constant, Constant::Whole(_) | Constant::Double(_));
        let name = self.quoted(expr);
        let mismatch = match (&place.kind, constant) {
            _ if as_number => (!number).then(|| ("a number", "leave int() or double() out".to_owned())),
            (kind, Constant::Null) if equality => match kind {
                FieldType::Timestamp if !times_of_payload(place) => Some(("a time", "a time is never null".to_owned())),
                _ => None,
            },
            (FieldType::Any, Constant::Time(_)) => {
                Some(("a time as text, whose order is not that of time", TIMES.to_owned()))
            }
            (_, Constant::Bool(_) | Constant::Null) if !equality => {
                let help =
                    if *constant == Constant::Null { "write `== null`" } else { "write `== true` or `== false`" };
                let message = format!("{} has no order in a condition", constant.what());
                self.refuse(ReasonKind::Unsupported, span, message, help);
                return false;
            }
            (FieldType::Any, _)
            | (FieldType::String, Constant::Text(_))
            | (FieldType::Bool, Constant::Bool(_))
            | (FieldType::Timestamp, Constant::Time(_))
                if !times_of_payload(place) =>
            {
                None
            }
            (FieldType::Int | FieldType::Uint | FieldType::Double, _) if number => None,
            (FieldType::Enum(values), Constant::Text(text)) => {
                return self.fits_enum(&name, values, text, span, equality);
            }
            (FieldType::Timestamp, _) if times_of_payload(place) => {
                Some(("a time as text, whose order is not that of time", TIMES.to_owned()))
            }
            (FieldType::Timestamp, _) => {
                Some(("a time", "write `timestamp('2026-01-01T00:00:00Z')` for a point in time".to_owned()))
            }
            (FieldType::Bytes, _) => Some(("bytes", format!("only `has({name})` can be asked"))),
            (FieldType::Message(_), _) => Some(("a message", format!("compare one of its fields: `{name}.field`"))),
            (FieldType::Map(_), _) => Some(("a map", format!("compare one of its values: `{name}['key']`"))),
            (FieldType::Repeated(_), _) => {
                Some(("a list", format!("write `... in {name}`, or `{name}.exists(x, x == ...)`")))
            }
            (FieldType::String, _) if number => {
                Some(("text", format!("write it between quotes, or compare `double({name})`")))
            }
            (kind, _) => Some((what(kind), format!("compare it with {}", what(kind)))),
        };
        let Some((is, help)) = mismatch else { return true };
        let message = match as_number {
            true => format!("`{name}` is a number, and this is {}", constant.what()),
            false => format!("`{name}` is {is}, and this is {}", constant.what()),
        };
        self.refuse(ReasonKind::Type, span, message, help);
        false
    }

    fn fits_enum(&mut self, name: &str, values: &[String], text: &str, span: &Range<usize>, equality: bool) -> bool {
        let known = || values.iter().map(String::as_str);
        if !equality {
            let help = format!("write `{name} in [...]` with the names that are meant");
            self.refuse(ReasonKind::Type, span, format!("the names that `{name}` can be have no order"), help);
            return false;
        }
        if known().any(|value| value == text) {
            return true;
        }
        let help = match self.nearest(text, known()) {
            Some(value) => format!("write '{value}'"),
            None => list_of("it can be", known()),
        };
        let text = super::error::quoted(text);
        self.refuse(ReasonKind::Unknown, span, format!("`{name}` can't be '{text}'"), help);
        false
    }

    fn membership(&mut self, value: Value, left: &Expr, within: Value, right: &Expr, expr: &Expr) -> Value {
        match (value, within) {
            (Value::Refused, _) | (_, Value::Refused) => Value::Refused,
            (Value::Constant(constant), Value::List(values)) => {
                let values: Vec<_> = values.into_iter().map(|(value, _)| value).collect();
                Value::Constant(Constant::Bool(constant.is_one_of(&values)))
            }
            (Value::Place(place), Value::List(values)) => self.one_of((&place, left, false), &values, right),
            (Value::Number(place), Value::List(values)) => self.one_of((&place, left, true), &values, right),
            (Value::Constant(constant), Value::Place(place)) => self.held_by(&constant, left, &place, right),
            (_, Value::Constant(_) | Value::Number(_) | Value::Condition(_)) => {
                let message = format!("`{}` is no list", self.quoted(right));
                self.refuse(ReasonKind::Type, &right.span, message, "write the values in brackets: `in ['a', 'b']`")
            }
            (a, b) => self.incomparable(&a, &b, expr),
        }
    }

    fn one_of(
        &mut self,
        (place, expr, as_number): (&Place, &Expr, bool),
        values: &[(Constant, Range<usize>)],
        list: &Expr,
    ) -> Value {
        let Some(attribute) = self.attribute(place, expr) else { return Value::Refused };
        if values.is_empty() {
            let help = "write the values that are meant, or leave this out";
            return self.refuse(ReasonKind::Unsupported, &list.span, "nothing is in an empty list", help);
        }
        let mut all_fit = true;
        for (value, span) in values {
            all_fit &= self.fits(place, expr, as_number, value, span, true);
        }
        let values = values.iter().map(|(value, _)| value.literal()).collect();
        let other = if as_number { ERROR } else { UNEQUAL };
        let one_of = test(Some(attribute), predicate::Test::In(Literals { values }), other);
        let one_of = of_predicate(Predicate { text_as_number: as_number, ..one_of });
        if all_fit { Value::Condition(one_of) } else { Value::Refused }
    }

    /// `'a' in payload.list`, and `'name' in headers`.
    fn held_by(&mut self, constant: &Constant, expr: &Expr, place: &Place, list: &Expr) -> Value {
        let name = self.quoted(list);
        let element = match (&place.root, &place.kind, constant) {
            (Root::Headers, _, Constant::Text(key)) | (_, FieldType::Map(_), Constant::Text(key)) => {
                return self.key_of(place, key, expr, list);
            }
            (_, FieldType::Any, _) => FieldType::Any,
            (_, FieldType::Repeated(element), _) => FieldType::clone(element),
            (_, FieldType::Map(_), _) => {
                let message = format!("the keys of `{name}` are texts, and this is {}", constant.what());
                return self.refuse(ReasonKind::Type, &expr.span, message, "write a key between quotes");
            }
            (_, kind, _) => {
                let help = match kind {
                    FieldType::String => format!("write `{name}.contains(...)` for a part of a text"),
                    FieldType::Message(_) => format!("write `has({name}.field)` to ask for a field"),
                    _ => format!("write `{name} == ...`"),
                };
                let message = format!("`{name}` is {}, not a list", what(kind));
                return self.refuse(ReasonKind::Type, &list.span, message, help);
            }
        };
        let Some(over) = self.attribute(place, list).and_then(|attribute| self.over(attribute, list)) else {
            return Value::Refused;
        };
        let innermost_place = Place { root: Root::Variable(0), names: Vec::new(), kind: element };
        if !self.fits(&innermost_place, list, false, constant, &expr.span, true) {
            return Value::Refused;
        }
        let equal = test(innermost(), predicate::Test::Equals(constant.literal()), UNEQUAL);
        Value::Condition(any_element(over, of_predicate(equal)))
    }

    fn key_of(&mut self, place: &Place, key: &str, expr: &Expr, map: &Expr) -> Value {
        match self.select(place.clone(), key, &expr.span, map) {
            Value::Place(place) => match self.attribute(&place, map) {
                Some(attribute) => Value::Condition(exists(Some(attribute), true)),
                None => Value::Refused,
            },
            _ => Value::Refused,
        }
    }

    /// What an `exists` goes over; `None` when it was refused.
    pub(super) fn over(&mut self, attribute: predicate::Attribute, list: &Expr) -> Option<any_element::Over> {
        match attribute {
            predicate::Attribute::Field(field) => Some(any_element::Over::Field(field)),
            predicate::Attribute::Element(element) => Some(any_element::Over::Element(element)),
            predicate::Attribute::Header(_) | predicate::Attribute::Part(_) => {
                let message = format!("`{}` is no list", self.quoted(list));
                self.refuse(ReasonKind::Type, &list.span, message, "lists are fields of the payload");
                None
            }
            predicate::Attribute::Lookup(_) => {
                let message = format!("the elements of `{}` can't be gone through", self.quoted(list));
                let help = "only lists of the payload can; have the answer say it as a field: `lookup.name.is_member`";
                self.refuse(ReasonKind::Unsupported, &list.span, message, help);
                None
            }
        }
    }
}

const TIMES: &str = "only `timestamp`, that of the record, is compared with times";

/// Times of payloads are texts; those of records are numbers.
fn times_of_payload(place: &Place) -> bool {
    place.kind == FieldType::Timestamp && !matches!(place.root, Root::Part(_))
}

/// The condition that one element meets `condition`.
pub(super) fn any_element(over: any_element::Over, condition: Condition) -> Condition {
    let any = AnyElement {
        over: Some(over),
        condition: Some(Box::new(condition)),
        on_missing: OnMissing::Absent.into(),
        on_other_type: OnOtherType::Absent.into(),
    };
    Condition { kind: Some(condition::Kind::AnyElement(Box::new(any))) }
}
