//! What conditions mean, by the words of `route_map.proto`: an evaluator that is too simple to be wrong, over values that are written
//! like JSON. It shares no code with the table.

use std::cmp::Ordering;
use veltrix_proto::v1::{
    AnyElement, Condition, Field, Literal, OnMissing, OnOtherType, Predicate, Range, RecordPart, ValueType,
    any_element, condition, literal, predicate, range,
};

/// A value of an event. Numbers are kept as they are written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn field(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.iter().find(|(known, _)| known == name).map(|(_, value)| value),
            _ => None,
        }
    }

    fn at(&self, names: &[String]) -> Option<&Json> {
        names.iter().try_fold(self, |value, name| value.field(name))
    }
}

/// An event, as far as conditions see it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) parts: Vec<(RecordPart, Json)>,
    pub(crate) headers: Vec<(String, Json)>,
    pub(crate) payload: Json,
}

/// The truth of a condition; `None` is absent. `elements` are those of the `any_element`s around, the innermost last.
pub(crate) fn truth(condition: &Condition, sample: &Sample, elements: &[&Json]) -> Option<bool> {
    let each = |parts: &[Condition]| parts.iter().map(|part| truth(part, sample, elements)).collect::<Vec<_>>();
    match condition.kind.as_ref().expect("a condition is set") {
        condition::Kind::Predicate(predicate) => holds(predicate, sample, elements),
        condition::Kind::All(parts) => not(any(each(&parts.conditions).into_iter().map(not))),
        condition::Kind::Any(parts) => any(each(&parts.conditions).into_iter()),
        condition::Kind::Not(inner) => not(truth(inner, sample, elements)),
        condition::Kind::AnyElement(any_element) => of_elements(any_element, sample, elements),
        other => panic!("no tree has {other:?}"),
    }
}

fn not(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let truths: Vec<_> = truths.collect();
    if truths.contains(&Some(true)) {
        Some(true)
    } else if truths.contains(&None) {
        None
    } else {
        Some(false)
    }
}

fn of_elements(condition: &AnyElement, sample: &Sample, elements: &[&Json]) -> Option<bool> {
    let value = match condition.over.as_ref().expect("an any_element is over something") {
        any_element::Over::Field(field) => of_field(field, sample),
        any_element::Over::Element(element) => {
            assert!(!element.through_arrays);
            elements[elements.len() - 1 - element.outwards as usize].at(&element.names)
        }
    };
    match value {
        None => on_missing(condition.on_missing()),
        Some(Json::Array(values)) => any(values.iter().map(|value| {
            let elements: Vec<&Json> = elements.iter().copied().chain([value]).collect();
            truth(condition.condition.as_ref().expect("an any_element has a condition"), sample, &elements)
        })),
        Some(_) => on_other_type(condition.on_other_type()),
    }
}

fn of_field<'s>(field: &Field, sample: &'s Sample) -> Option<&'s Json> {
    assert!(!field.through_arrays);
    sample.payload.at(&field.names)
}

fn on_missing(on_missing: OnMissing) -> Option<bool> {
    match on_missing {
        OnMissing::Unspecified | OnMissing::False => Some(false),
        OnMissing::True => Some(true),
        OnMissing::Absent => None,
    }
}

fn on_other_type(on_other_type: OnOtherType) -> Option<bool> {
    match on_other_type {
        OnOtherType::Unspecified | OnOtherType::False => Some(false),
        OnOtherType::True => Some(true),
        OnOtherType::Absent => None,
    }
}

fn holds(predicate: &Predicate, sample: &Sample, elements: &[&Json]) -> Option<bool> {
    let value = match predicate.attribute.as_ref().expect("a predicate has an attribute") {
        predicate::Attribute::Header(name) => {
            sample.headers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
        }
        predicate::Attribute::Part(part) => {
            sample.parts.iter().find(|(known, _)| i32::from(*known) == *part).map(|(_, value)| value)
        }
        predicate::Attribute::Field(field) => of_field(field, sample),
        predicate::Attribute::Element(element) => {
            assert!(!element.through_arrays);
            elements[elements.len() - 1 - element.outwards as usize].at(&element.names)
        }
    };
    let test = predicate.test.as_ref().expect("a predicate has a test");
    let value = match (test, value) {
        (predicate::Test::Exists(expected), value) => return Some(value.is_some() == *expected),
        (_, None) => return on_missing(predicate.on_missing()),
        (_, Some(Json::Text(text))) if predicate.text_as_number && Decimal::of(text).is_some() => {
            &Json::Number(text.clone())
        }
        (_, Some(value)) => value,
    };
    tested(test, value, predicate.ignore_case).or_else(|| on_other_type(predicate.on_other_type()))
}

/// `None`: the value is of a type that the test is not about.
fn tested(test: &predicate::Test, value: &Json, ignore_case: bool) -> Option<bool> {
    let folded = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
    let about_text = |test: &dyn Fn(&str) -> bool| match value {
        Json::Text(text) => Some(test(&folded(text))),
        _ => None,
    };
    match test {
        predicate::Test::Equals(literal) => equals(value, literal, ignore_case),
        predicate::Test::In(literals) => {
            let equal: Vec<_> = literals.values.iter().map(|literal| equals(value, literal, ignore_case)).collect();
            if equal.contains(&Some(true)) {
                Some(true)
            } else if equal.contains(&Some(false)) {
                Some(false)
            } else {
                None
            }
        }
        predicate::Test::Prefix(text) => about_text(&|value| value.starts_with(&folded(text))),
        predicate::Test::Suffix(text) => about_text(&|value| value.ends_with(&folded(text))),
        predicate::Test::Contains(text) => about_text(&|value| value.contains(&folded(text))),
        predicate::Test::Wildcard(pattern) => about_text(&|value| wildcard(&folded(pattern), value)),
        predicate::Test::Range(bounds) => within(value, bounds),
        predicate::Test::Cidr(cidrs) => about_text(&|value| cidrs.blocks.iter().any(|block| block == value)),
        predicate::Test::Types(types) => Some(types.types().any(|kind| kind == type_of(value))),
        predicate::Test::Exists(_) => panic!("exists has no value to test"),
    }
}

fn type_of(value: &Json) -> ValueType {
    match value {
        Json::Null => ValueType::Null,
        Json::Bool(_) => ValueType::Boolean,
        Json::Number(_) => ValueType::Number,
        Json::Text(_) => ValueType::Text,
        Json::Array(_) => ValueType::Array,
        Json::Object(_) => ValueType::Object,
    }
}

fn equals(value: &Json, literal: &Literal, ignore_case: bool) -> Option<bool> {
    Some(match (value, literal.kind.as_ref().expect("a literal is set")) {
        (Json::Null, literal::Kind::Null(_)) => true,
        (Json::Bool(a), literal::Kind::Boolean(b)) => a == b,
        (Json::Number(a), literal::Kind::Number(b)) => decimal(a).compare(&decimal(b)).is_eq(),
        (Json::Text(a), literal::Kind::Text(b)) if ignore_case => a.to_lowercase() == b.to_lowercase(),
        (Json::Text(a), literal::Kind::Text(b)) => a == b,
        _ => return None,
    })
}

fn within(value: &Json, bounds: &Range) -> Option<bool> {
    let lower = bounds.lower.as_ref().map(|lower| match lower {
        range::Lower::Above(literal) => order(value, literal).map(Ordering::is_gt),
        range::Lower::AtLeast(literal) => order(value, literal).map(Ordering::is_ge),
    });
    let upper = bounds.upper.as_ref().map(|upper| match upper {
        range::Upper::Below(literal) => order(value, literal).map(Ordering::is_lt),
        range::Upper::AtMost(literal) => order(value, literal).map(Ordering::is_le),
    });
    lower.into_iter().chain(upper).try_fold(true, |all, one| Some(all && one?))
}

fn order(value: &Json, literal: &Literal) -> Option<Ordering> {
    match (value, literal.kind.as_ref().expect("a literal is set")) {
        (Json::Number(a), literal::Kind::Number(b)) => Some(decimal(a).compare(&decimal(b))),
        (Json::Text(a), literal::Kind::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        _ => None,
    }
}

/// Tries every way to read the pattern.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).filter_map(|at| text.get(at..)).any(|rest| wildcard(characters.as_str(), rest)),
        Some(first) => {
            let first = if first == '\\' { characters.next().expect("a backslash escapes something") } else { first };
            text.strip_prefix(first).is_some_and(|rest| wildcard(characters.as_str(), rest))
        }
    }
}

/// A number by its digits: `0.digits` times ten to the power of `exponent`.
pub(crate) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

fn decimal(number: &str) -> Decimal {
    Decimal::of(number).unwrap_or_else(|| panic!("{number} is no JSON number"))
}

impl Decimal {
    /// `None` for what is no JSON number.
    pub(crate) fn of(number: &str) -> Option<Decimal> {
        let (negative, rest) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
        let (mantissa, exponent) = rest.split_once(['e', 'E']).map_or((rest, None), |(m, e)| (m, Some(e)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let leading = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || leading || fraction.is_some_and(|fraction| !digits(fraction)) {
            return None;
        }
        let exponent: i64 = match exponent {
            None => 0,
            Some(exponent) => {
                let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                digits(unsigned).then(|| exponent.parse().expect("the exponents of tests are small"))?
            }
        };
        let all: Vec<u8> = whole.bytes().chain(fraction.unwrap_or_default().bytes()).collect();
        let zeros = all.iter().take_while(|digit| **digit == b'0').count();
        let significant: Vec<u8> = all[zeros..].to_vec();
        let end = significant.iter().rposition(|digit| *digit != b'0').map_or(0, |at| at + 1);
        let digits = significant[..end].to_vec();
        let zero = digits.is_empty();
        let exponent = if zero { 0 } else { exponent + whole.len() as i64 - zeros as i64 };
        Some(Decimal { negative: negative && !zero, digits, exponent })
    }

    fn compare(&self, other: &Decimal) -> Ordering {
        let size = |number: &Decimal| (!number.digits.is_empty(), number.exponent, number.digits.clone());
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
        }
    }
}
