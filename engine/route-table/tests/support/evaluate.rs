//! What a condition means, said as simply as it can be: the reference that matchers are compared with.
//!
//! It reads the `Condition` message itself, beside the words of `route_map.proto`, and shares no code with the table.
//! Start at [`evaluate`]. A condition that a compiler must refuse makes it panic, `cel` and `event_pattern` among them:
//! they stand for trees, so a test compiles them first.
//!
//! Where the contract leaves room, this is how it is read:
//! - An empty array under an `any_element` that does not go through arrays is a value without elements: false, not missing.
//! - A payload that is no object has no fields.
//! - An array that goes through no names is a value of the type array; with `through_arrays` there are no such values.
//! - A text that counts as a number (`text_as_number`) is no longer a text: to `types` and to literals it is a number.
//! - A lookup whose answer is not known yet makes a predicate about it say whatever [`Record::guesses`] have, one after the other.
//! - An IPv4 address that is written in IPv6, `::ffff:10.0.0.1`, is the IPv4 address; otherwise one is in no block of the other.

#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

#[path = "json.rs"]
pub(crate) mod json;
#[path = "share.rs"]
mod share;

use json::Json;
use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use veltrix_proto::v1::{
    AnyElement, Condition, Conditions, Element, Field, Literal, LookedUp, LookupKey, OnMissing, OnOtherType, Predicate,
    Range, RecordPart, ValueType, any_element, condition, literal, lookup_key, predicate, range,
};

/// The value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    False,
    True,
    Absent,
}

impl Truth {
    /// `None` if it is absent.
    pub(crate) fn known(self) -> Option<bool> {
        match self {
            Truth::False => Some(false),
            Truth::True => Some(true),
            Truth::Absent => None,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Truth {
        if value { Truth::True } else { Truth::False }
    }
}

/// What a record has at a place that is not the payload.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Given {
    #[default]
    Missing,
    Null,
    Bytes(Vec<u8>),
}

/// Everything that a condition can be about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// `None`: a null header.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) key: Given,
    pub(crate) topic: Given,
    pub(crate) event_type: Given,
    pub(crate) tenant: Given,
    pub(crate) timestamp_ms: Option<i64>,
    /// `None`: no payload, or one that is not JSON. All its fields are missing.
    pub(crate) payload: Option<Json>,
    /// By the lookup's id.
    pub(crate) answers: BTreeMap<String, Answer>,
    pub(crate) guesses: RefCell<Guesses>,
}

/// What was looked up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Found(Json),
    /// There is no key, or nothing under it.
    Missing,
    /// It could not be found out.
    Failed,
    Unknown,
}

/// What predicates about unknown answers shall say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Guesses {
    /// In the order of evaluation; beyond these, false.
    pub(crate) truths: Vec<Truth>,
    /// The lookups that were guessed at so far.
    pub(crate) about: Vec<String>,
}

impl Record {
    /// A record that has nothing but a payload.
    pub(crate) fn of_payload(payload: Json) -> Record {
        Record { payload: Some(payload), ..Record::default() }
    }
}

/// What `condition` says of `record`.
pub(crate) fn evaluate(condition: &Condition, record: &Record) -> Truth {
    Scope { record, elements: Vec::new() }.condition(condition)
}

/// The same of a part that stands within `any_element`s, at these elements, outermost first.
pub(crate) fn evaluate_within(condition: &Condition, record: &Record, elements: &[&Json]) -> Truth {
    Scope { record, elements: elements.to_vec() }.condition(condition)
}

/// The elements that an `any_element` goes over, itself at these elements.
pub(crate) fn elements_of<'a>(any_element: &AnyElement, record: &'a Record, elements: &[&'a Json]) -> Vec<&'a Json> {
    Scope { record, elements: elements.to_vec() }.elements_of(any_element).1
}

/// How many values a predicate finds, at these elements.
pub(crate) fn values_of(predicate: &Predicate, record: &Record, elements: &[&Json]) -> usize {
    let scope = Scope { record, elements: elements.to_vec() };
    scope.attribute(predicate.attribute.as_ref().expect("a predicate has an attribute")).len()
}

/// What a lookup is made by; `None`: there is no key, so that it is not made.
pub(crate) fn key_of(key: &LookupKey, record: &Record) -> Option<Vec<u8>> {
    let attribute = match key.attribute.clone().expect("a key has an attribute") {
        lookup_key::Attribute::Header(name) => predicate::Attribute::Header(name),
        lookup_key::Attribute::Part(part) => predicate::Attribute::Part(part),
        lookup_key::Attribute::Field(field) => predicate::Attribute::Field(field),
    };
    // "An attribute whose text is the key; of a number in the payload the text that it is written as."
    let key = match (Scope { record, elements: Vec::new() }).attribute(&attribute).into_iter().next()? {
        Value::Text(text) => text.into_owned(),
        Value::Number(number) => number.into_owned().into_bytes(),
        _ => return None,
    };
    (key.len() <= 1_024).then_some(key)
}

/// What a placeholder makes of an attribute. "A number of the payload that is whole and has up to 20 digits counts as these digits, behind a
/// `-` if it is negative, however it is written. Anything else, null among it, is no value."
pub(crate) fn text_of(attribute: &predicate::Attribute, record: &Record) -> Option<Vec<u8>> {
    let values = Scope { record, elements: Vec::new() }.attribute(attribute);
    let spelled = share::spelled(values.first()?)?;
    let is_number = matches!(values.first(), Some(Value::Number(_)));
    Some(spelled).filter(|spelled| !is_number || !spelled.contains(&b'e'))
}

/// One value that an attribute has.
#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    Null,
    Boolean(bool),
    Number(Cow<'a, str>),
    Text(Cow<'a, [u8]>),
    Object,
    Array(&'a [Json]),
}

impl<'a> Value<'a> {
    fn of(json: &'a Json) -> Value<'a> {
        match json {
            Json::Null => Value::Null,
            Json::Boolean(value) => Value::Boolean(*value),
            Json::Number(text) => Value::Number(Cow::Borrowed(text)),
            Json::Text(text) => Value::Text(Cow::Borrowed(text.as_bytes())),
            Json::Array(elements) => Value::Array(elements),
            Json::Object(_) => Value::Object,
        }
    }

    fn value_type(&self) -> ValueType {
        match self {
            Value::Null => ValueType::Null,
            Value::Boolean(_) => ValueType::Boolean,
            Value::Number(_) => ValueType::Number,
            Value::Text(_) => ValueType::Text,
            Value::Object => ValueType::Object,
            Value::Array(_) => ValueType::Array,
        }
    }
}

/// A condition's surroundings: the record, and the elements of the `any_element`s around it, outermost first.
struct Scope<'a> {
    record: &'a Record,
    elements: Vec<&'a Json>,
}

impl<'a> Scope<'a> {
    fn condition(&mut self, condition: &Condition) -> Truth {
        match condition.kind.as_ref().expect("a condition has a kind") {
            condition::Kind::Predicate(predicate) => self.predicate(predicate),
            // "False if one is false; else absent if one is absent; else true. At least one condition."
            condition::Kind::All(parts) => match self.each(parts) {
                truths if truths.contains(&Truth::False) => Truth::False,
                truths if truths.contains(&Truth::Absent) => Truth::Absent,
                _ => Truth::True,
            },
            // "True if one is true; else absent if one is absent; else false. At least one condition."
            condition::Kind::Any(parts) => any(self.each(parts)),
            // "Not absent is absent."
            condition::Kind::Not(part) => match self.condition(part) {
                Truth::False => Truth::True,
                Truth::True => Truth::False,
                Truth::Absent => Truth::Absent,
            },
            condition::Kind::AnyElement(any_element) => self.any_element(any_element),
            condition::Kind::Cel(_) | condition::Kind::EventPattern(_) => panic!("texts are compiled before"),
        }
    }

    fn each(&mut self, parts: &Conditions) -> Vec<Truth> {
        assert!(!parts.conditions.is_empty(), "all and any have at least one condition");
        parts.conditions.iter().map(|part| self.condition(part)).collect()
    }

    fn any_element(&mut self, any_element: &AnyElement) -> Truth {
        let (nothing, elements) = self.elements_of(any_element);
        if let Some(truth) = nothing {
            return truth;
        }
        let condition = any_element.condition.as_deref().expect("an any_element has a condition");
        // "True if the condition is true of one element; else absent if it is absent for one; else false."
        let truth_of = |element| {
            self.elements.push(element);
            let truth = self.condition(condition);
            self.elements.pop();
            truth
        };
        any(elements.into_iter().map(truth_of).collect())
    }

    /// What it yields if there is nothing to go over, and what there is to go over.
    fn elements_of(&self, any_element: &AnyElement) -> (Option<Truth>, Vec<&'a Json>) {
        let (values, through) = match any_element.over.as_ref().expect("an any_element is over something") {
            any_element::Over::Field(field) => (self.field(field), field.through_arrays),
            any_element::Over::Element(element) => (self.element(element), element.through_arrays),
        };
        // "What it means when there is no value at all."
        let Some(first) = values.first() else { return (Some(on_missing(any_element.on_missing)), vec![]) };
        // "Not for a `field` that goes through arrays, where a lone value is an element."
        match first {
            _ if through => (None, values),
            Json::Array(elements) => (None, elements.iter().collect()),
            // "What it means when the value is no array, or null."
            _ => (Some(on_other_type(any_element.on_other_type)), vec![]),
        }
    }

    /// "An answer that was not found is missing [...]. One that could not be had is absent to every predicate about it."
    fn without_answer(&self, LookedUp { lookup, .. }: &LookedUp) -> Option<Truth> {
        match self.record.answers.get(lookup).expect("a lookup of the map") {
            Answer::Found(_) | Answer::Missing => None,
            Answer::Failed => Some(Truth::Absent),
            Answer::Unknown => {
                let mut guesses = self.record.guesses.borrow_mut();
                guesses.about.push(lookup.clone());
                Some(guesses.truths.get(guesses.about.len() - 1).copied().unwrap_or(Truth::False))
            }
        }
    }

    fn predicate(&self, predicate: &Predicate) -> Truth {
        if let Some(predicate::Attribute::Lookup(place)) = &predicate.attribute
            && let Some(truth) = self.without_answer(place)
        {
            return truth;
        }
        let values = self.attribute(predicate.attribute.as_ref().expect("a predicate has an attribute"));
        let test = predicate.test.as_ref().expect("a predicate has a test");
        // "True: the attribute is there, even if it is empty or null. False: it is not there."
        if let predicate::Test::Exists(expected) = test {
            return Truth::from(values.is_empty() != *expected);
        }
        if values.is_empty() {
            return on_missing(predicate.on_missing);
        }
        // "The field has several values, and a predicate is true if it is true of one of them."
        any(values.into_iter().map(|value| truth_of_value(predicate, test, value)).collect())
    }

    /// The values that an attribute has; none if it is missing.
    fn attribute(&self, attribute: &predicate::Attribute) -> Vec<Value<'a>> {
        match attribute {
            predicate::Attribute::Header(name) => {
                // "The last header of this name."
                match self.record.headers.iter().rfind(|(header, _)| header == name) {
                    None => vec![],
                    // "One that is there and null is present, but equal to no text."
                    Some((_, None)) => vec![Value::Null],
                    Some((_, Some(bytes))) => vec![Value::Text(Cow::Borrowed(bytes))],
                }
            }
            predicate::Attribute::Part(part) => {
                let given = match RecordPart::try_from(*part).expect("a known part") {
                    RecordPart::Unspecified => panic!("a part is specified"),
                    RecordPart::Key => &self.record.key,
                    RecordPart::Topic => &self.record.topic,
                    RecordPart::EventType => &self.record.event_type,
                    RecordPart::Tenant => &self.record.tenant,
                    RecordPart::Timestamp => {
                        let number = |ms: i64| Value::Number(Cow::Owned(ms.to_string()));
                        return self.record.timestamp_ms.map(number).into_iter().collect();
                    }
                };
                match given {
                    Given::Missing => vec![],
                    Given::Null => vec![Value::Null],
                    Given::Bytes(bytes) => vec![Value::Text(Cow::Borrowed(bytes))],
                }
            }
            predicate::Attribute::Field(field) => self.field(field).into_iter().map(Value::of).collect(),
            predicate::Attribute::Element(element) => self.element(element).into_iter().map(Value::of).collect(),
            predicate::Attribute::Lookup(LookedUp { lookup, names }) => match &self.record.answers[lookup] {
                Answer::Found(answer) => places(answer, names, false, false).into_iter().map(Value::of).collect(),
                _ => vec![],
            },
        }
    }

    fn field(&self, field: &Field) -> Vec<&'a Json> {
        let payload = self.record.payload.as_ref();
        payload.map_or_else(Vec::new, |payload| places(payload, &field.names, field.through_arrays, field.dotted))
    }

    /// "Which one: 0 is the innermost, 1 the next one outwards."
    fn element(&self, element: &Element) -> Vec<&'a Json> {
        let outwards = element.outwards as usize;
        let at = self.elements.len().checked_sub(outwards + 1).expect("an any_element is around");
        match self.elements[at] {
            // "An element that is no object has no places within it."
            Json::Array(_) if !element.names.is_empty() => vec![],
            value => places(value, &element.names, element.through_arrays, element.dotted),
        }
    }
}

fn any(truths: Vec<Truth>) -> Truth {
    match truths {
        truths if truths.contains(&Truth::True) => Truth::True,
        truths if truths.contains(&Truth::Absent) => Truth::Absent,
        _ => Truth::False,
    }
}

fn on_missing(on_missing: i32) -> Truth {
    match OnMissing::try_from(on_missing).expect("a known on_missing") {
        OnMissing::Unspecified | OnMissing::False => Truth::False,
        OnMissing::True => Truth::True,
        OnMissing::Absent => Truth::Absent,
    }
}

fn on_other_type(on_other_type: i32) -> Truth {
    match OnOtherType::try_from(on_other_type).expect("a known on_other_type") {
        OnOtherType::Unspecified | OnOtherType::False => Truth::False,
        OnOtherType::True => Truth::True,
        OnOtherType::Absent => Truth::Absent,
    }
}

/// The places that `names` lead to from `value`.
fn places<'a>(value: &'a Json, names: &[String], through_arrays: bool, dotted: bool) -> Vec<&'a Json> {
    assert!(through_arrays || !dotted, "dotted is only with through_arrays");
    match ways(value, names, through_arrays, false) {
        // "Where the field is missing, one name of the payload may be several of these."
        nowhere if dotted && nowhere.is_empty() => ways(value, names, through_arrays, true),
        places => places,
    }
}

/// The same, whether or not nested names lead somewhere.
pub(crate) fn ways<'a>(value: &'a Json, names: &[String], through_arrays: bool, dotted: bool) -> Vec<&'a Json> {
    match (value, names) {
        // "An array on the way, or at the end, stands for each of its elements, and theirs if they are arrays."
        (Json::Array(elements), _) if through_arrays => {
            elements.iter().flat_map(|element| ways(element, names, through_arrays, dotted)).collect()
        }
        (value, []) => vec![value],
        (Json::Object(_), names) => {
            // "With dots between them; each way that is there adds its values."
            let most = if dotted { names.len() } else { 1 };
            let ways = (1..=most).flat_map(|count| {
                let (joined, rest) = names.split_at(count);
                // "Fields of an object that names one of them twice: the first one counts."
                let field = value.field(&joined.join("."));
                field.map_or_else(Vec::new, |value| ways(value, rest, through_arrays, dotted))
            });
            ways.collect()
        }
        // "Without this an array on the way means that the field is missing."
        _ => vec![],
    }
}

fn truth_of_value(predicate: &Predicate, test: &predicate::Test, value: Value<'_>) -> Truth {
    // "A text that reads as a JSON number counts as that number."
    let value = match value {
        Value::Text(bytes) if predicate.text_as_number && is_number(&bytes) => {
            Value::Number(Cow::Owned(String::from_utf8(bytes.into_owned()).unwrap()))
        }
        value => value,
    };
    let ignore_case = predicate.ignore_case;
    let text_test = |holds: &dyn Fn(&[u8]) -> bool| match &value {
        Value::Text(bytes) => Some(holds(&cased(bytes, ignore_case))),
        _ => None,
    };
    let outcome: Option<bool> = match test {
        predicate::Test::Equals(literal) => equals(&value, std::slice::from_ref(literal), ignore_case),
        predicate::Test::In(literals) => equals(&value, &literals.values, ignore_case),
        predicate::Test::Prefix(prefix) => text_test(&|text| text.starts_with(&cased(prefix.as_bytes(), ignore_case))),
        predicate::Test::Suffix(suffix) => text_test(&|text| text.ends_with(&cased(suffix.as_bytes(), ignore_case))),
        predicate::Test::Contains(part) => {
            let part = cased(part.as_bytes(), ignore_case);
            text_test(&|text| (0..=text.len()).any(|at| text[at..].starts_with(&part)))
        }
        predicate::Test::Wildcard(shape) => {
            let shape = wildcard(&cased(shape.as_bytes(), ignore_case));
            text_test(&|text| has_shape(text, &shape))
        }
        predicate::Test::Range(range) => within(&value, range),
        // "Text that is an IP address, version 4 or 6, of one of these blocks."
        predicate::Test::Cidr(cidrs) => {
            let address = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<IpAddr>().ok();
            let in_one = |address| cidrs.blocks.iter().any(|block| in_block(address, block));
            text_test(&|text| address(text).is_some_and(in_one))
        }
        predicate::Test::Types(types) => {
            let is = |value_type: &i32| {
                let value_type = ValueType::try_from(*value_type).expect("a known type");
                assert_ne!(value_type, ValueType::Unspecified, "a type is specified");
                value.value_type() == value_type
            };
            Some(types.types.iter().any(is))
        }
        // "A text or a number that is in this part of all of them."
        predicate::Test::Share(share) => share::spelled(&value).map(|bytes| share::has(share, &bytes)),
        predicate::Test::Exists(_) => panic!("exists is not about values"),
    };
    // "What it yields when the value is of a type that the test is not about."
    outcome.map_or_else(|| on_other_type(predicate.on_other_type), Truth::from)
}

/// `None`: none of the literals is of the value's type.
fn equals(value: &Value<'_>, literals: &[Literal], ignore_case: bool) -> Option<bool> {
    let one = |literal: &Literal| match (literal.kind.as_ref().expect("a literal has a kind"), value) {
        (literal::Kind::Text(literal), Value::Text(bytes)) => {
            Some(cased(literal.as_bytes(), ignore_case) == cased(bytes, ignore_case))
        }
        (literal::Kind::Number(literal), Value::Number(text)) => {
            Some(Decimal::read(literal).cmp(&Decimal::read(text)).is_eq())
        }
        (literal::Kind::Boolean(literal), Value::Boolean(value)) => Some(literal == value),
        (literal::Kind::Null(_), Value::Null) => Some(true),
        _ => None,
    };
    literals.iter().filter_map(one).reduce(|a, b| a || b)
}

/// `None`: the bounds are not of the value's type.
fn within(value: &Value<'_>, range: &Range) -> Option<bool> {
    let compare = |bound: &Literal| match (bound.kind.as_ref().expect("a literal has a kind"), value) {
        (literal::Kind::Number(bound), Value::Number(text)) => Some(Decimal::read(text).cmp(&Decimal::read(bound))),
        // "A text in the order of its bytes."
        (literal::Kind::Text(bound), Value::Text(bytes)) => Some(bytes.as_ref().cmp(bound.as_bytes())),
        (literal::Kind::Boolean(_) | literal::Kind::Null(_), _) => panic!("bounds are numbers or texts"),
        _ => None,
    };
    assert!(range.lower.is_some() || range.upper.is_some(), "a range has at least one bound");
    let lower = match &range.lower {
        None => true,
        Some(range::Lower::Above(bound)) => compare(bound)?.is_gt(),
        Some(range::Lower::AtLeast(bound)) => compare(bound)?.is_ge(),
    };
    let upper = match &range.upper {
        None => true,
        Some(range::Upper::Below(bound)) => compare(bound)?.is_lt(),
        Some(range::Upper::AtMost(bound)) => compare(bound)?.is_le(),
    };
    Some(lower && upper)
}

/// "Letters that differ by their case only are the same, by the simple lower case of Unicode." Bytes that are no UTF-8
/// stay.
fn cased(bytes: &[u8], ignore_case: bool) -> Vec<u8> {
    if !ignore_case {
        return bytes.to_vec();
    }
    let mut lower = Vec::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            // U+0130 is the one letter whose full lower case, which Rust gives, is not the simple one.
            let letter = if letter == '\u{130}' { 'i' } else { letter.to_lowercase().next().unwrap() };
            lower.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
        lower.extend_from_slice(chunk.invalid());
    }
    lower
}

/// The bytes of a shape; `None` is any run of bytes.
///
/// "`\*` is a star and `\\` a backslash."
fn wildcard(shape: &[u8]) -> Vec<Option<u8>> {
    let mut parts = Vec::new();
    let mut rest = shape.iter();
    while let Some(&byte) = rest.next() {
        parts.push(match byte {
            b'*' => None,
            b'\\' => Some(*rest.next().filter(|byte| b"*\\".contains(byte)).expect("a backslash escapes something")),
            byte => Some(byte),
        });
    }
    parts
}

fn has_shape(text: &[u8], shape: &[Option<u8>]) -> bool {
    // reached[n]: the text so far is of the shape's first n parts.
    let mut reached = vec![false; shape.len() + 1];
    reached[0] = true;
    let through_stars = |reached: &mut Vec<bool>| {
        for at in 0..shape.len() {
            reached[at + 1] |= reached[at] && shape[at].is_none();
        }
    };
    through_stars(&mut reached);
    for &byte in text {
        let mut next = vec![false; shape.len() + 1];
        for at in 0..shape.len() {
            next[at + 1] |= reached[at] && shape[at] == Some(byte);
            next[at + 1] |= reached[at + 1] && shape[at].is_none();
        }
        through_stars(&mut next);
        reached = next;
    }
    reached[shape.len()]
}

/// Whether `address` is of `block`. "One address alone is a block, too."
fn in_block(address: IpAddr, block: &str) -> bool {
    let (network, bits) = match block.split_once('/') {
        Some((network, bits)) => (network, Some(bits.parse::<u32>().expect("the length of a prefix"))),
        None => (block, None),
    };
    match (address.to_canonical(), network.parse::<IpAddr>().expect("an address").to_canonical()) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let beyond = 32 - bits.unwrap_or(32);
            u32::from(address).checked_shr(beyond) == u32::from(network).checked_shr(beyond)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let beyond = 128 - bits.unwrap_or(128);
            u128::from(address).checked_shr(beyond) == u128::from(network).checked_shr(beyond)
        }
        _ => false,
    }
}

/// Whether `bytes` are a number as JSON writes it.
pub(crate) fn is_number(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        // JSON allows white space around a value; a number has none.
        text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit())
            && matches!(Json::read(text), Ok(Json::Number(_)))
    })
}

/// A number's value: 0.`digits` times ten to the power of `point`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Neither begin nor end with 0; none for zero.
    digits: String,
    /// Exact up to exponents of 10^30 and more, beyond anything that a number's own digits could make up for.
    point: i128,
}

impl Decimal {
    pub(crate) fn read(text: &str) -> Decimal {
        assert!(is_number(text.as_bytes()), "{text:?} is not a number as JSON writes it");
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Decimal { negative: false, digits: String::new(), point: 0 };
        }
        let largest = 10i128.pow(30);
        let limit = if exponent.starts_with('-') { -largest } else { largest };
        let exponent = exponent.parse::<i128>().map_or(limit, |exponent| exponent.clamp(-largest, largest));
        let point = exponent + whole.len() as i128 - (all.len() - digits.len()) as i128;
        Decimal { negative, digits: digits.trim_end_matches('0').to_owned(), point }
    }

    pub(crate) fn cmp(&self, other: &Decimal) -> Ordering {
        let sign = |number: &Decimal| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let size = |number: &Decimal| (number.point, number.digits.clone());
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            1 => size(self).cmp(&size(other)),
            _ => size(other).cmp(&size(self)),
        })
    }
}
