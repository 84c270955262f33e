//! Leaves of a condition as the lists of an event pattern: the opposite of [`parse`](super::parse), for what stands at one path.

use super::json::quoted;
use std::net::Ipv6Addr;
use veltrix_proto::v1::{
    AnyElement, Condition, Literal, Predicate, Range, ValueType, any_element, condition, literal, predicate, range,
};

/// A list of a pattern.
pub(crate) struct LeafText {
    /// From the outermost object.
    pub(crate) path: Vec<String>,
    /// The items between the brackets.
    items: Vec<String>,
}

/// The list that a condition, or a part of one, stands for, if it is one list. `within` is the path of the element that it is about.
pub(crate) fn leaf(condition: &Condition, within: &[String]) -> Option<LeafText> {
    match condition.kind.as_ref()? {
        condition::Kind::Predicate(predicate) => {
            let path = path_of(predicate, within)?;
            Some(LeafText { path, items: items_of(predicate)? })
        }
        condition::Kind::Not(inner) => match inner.kind.as_ref()? {
            condition::Kind::Predicate(predicate) if is_any_value(predicate) => {
                let path = path_of(predicate, within)?;
                Some(LeafText { path, items: vec![r#"{"exists": false}"#.to_owned()] })
            }
            _ => None,
        },
        condition::Kind::Any(parts) => {
            let mut parts = parts.conditions.iter().map(|part| leaf(part, within));
            let mut list = parts.next()??;
            for part in parts {
                let part = part.filter(|part| part.path == list.path)?;
                list.items.extend(part.items);
            }
            Some(list)
        }
        condition::Kind::AnyElement(any) => anything_but(any, within),
        _ => None,
    }
}

impl std::fmt::Display for LeafText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let items = format!("[{}]", self.items.join(", "));
        f.write_str(&at_path(&self.path, &items))
    }
}

/// What stands at a path, with the objects around it.
pub(crate) fn at_path(path: &[String], inner: &str) -> String {
    let around = path.iter().map(|name| format!("{{{}: ", quoted(name)));
    around.collect::<String>() + inner + &"}".repeat(path.len())
}

fn path_of(predicate: &Predicate, within: &[String]) -> Option<Vec<String>> {
    match predicate.attribute.as_ref()? {
        predicate::Attribute::Field(field) if field.through_arrays => Some(field.names.clone()),
        predicate::Attribute::Element(element) if element.outwards == 0 && element.through_arrays => {
            Some([within, &element.names].concat())
        }
        _ => None,
    }
}

fn is_any_value(predicate: &Predicate) -> bool {
    let all = [ValueType::Null, ValueType::Boolean, ValueType::Number, ValueType::Text].map(i32::from);
    matches!(&predicate.test, Some(predicate::Test::Types(types)) if types.types == all)
}

/// A value that is there, and is none of these.
fn anything_but(any: &AnyElement, within: &[String]) -> Option<LeafText> {
    let path = match any.over.as_ref()? {
        any_element::Over::Field(field) if field.through_arrays => field.names.clone(),
        any_element::Over::Element(element) if element.outwards == 0 && element.through_arrays => {
            [within, &element.names].concat()
        }
        _ => return None,
    };
    let condition::Kind::All(parts) = any.condition.as_ref()?.kind.as_ref()? else { return None };
    let (first, unwanted) = parts.conditions.split_first()?;
    let condition::Kind::Predicate(there) = first.kind.as_ref()? else { return None };
    if !is_any_value(there) {
        return None;
    }
    // Each operator has one list, or one value, of its own.
    let (mut operator, mut operands) = (None, Vec::new());
    for part in unwanted {
        let condition::Kind::Not(inner) = part.kind.as_ref()? else { return None };
        let condition::Kind::Predicate(predicate) = inner.kind.as_ref()? else { return None };
        let name = match (predicate.test.as_ref()?, predicate.ignore_case) {
            (predicate::Test::Equals(_) | predicate::Test::In(_), true) => Some("equals-ignore-case"),
            (predicate::Test::Equals(_) | predicate::Test::In(_), false) => None,
            (predicate::Test::Prefix(_), false) => Some("prefix"),
            (predicate::Test::Suffix(_), false) => Some("suffix"),
            (predicate::Test::Wildcard(_), false) => Some("wildcard"),
            _ => return None,
        };
        if *operator.get_or_insert(name) != name {
            return None;
        }
        operands.extend(match predicate.test.as_ref()? {
            predicate::Test::Equals(value) => vec![value_of(value)?],
            predicate::Test::In(values) => values.values.iter().map(value_of).collect::<Option<Vec<_>>>()?,
            predicate::Test::Prefix(text) | predicate::Test::Suffix(text) | predicate::Test::Wildcard(text) => {
                vec![quoted(text)]
            }
            _ => return None,
        });
    }
    let operands = match operands.as_slice() {
        [only] => only.clone(),
        all => format!("[{}]", all.join(", ")),
    };
    let unwanted = match operator? {
        Some(name) => format!("{{\"{name}\": {operands}}}"),
        None => operands,
    };
    Some(LeafText { path, items: vec![format!("{{\"anything-but\": {unwanted}}}")] })
}

/// The items that a predicate stands for.
fn items_of(predicate: &Predicate) -> Option<Vec<String>> {
    if predicate.text_as_number {
        return None;
    }
    let ignoring = |text: &str| format!("{{\"equals-ignore-case\": {}}}", quoted(text));
    let affix = |name: &str, text: &str| match predicate.ignore_case {
        true => format!("{{\"{name}\": {}}}", ignoring(text)),
        false => format!("{{\"{name}\": {}}}", quoted(text)),
    };
    Some(match predicate.test.as_ref()? {
        predicate::Test::Equals(Literal { kind: Some(literal::Kind::Text(text)) }) if predicate.ignore_case => {
            vec![ignoring(text)]
        }
        predicate::Test::Equals(value) => vec![item_of(value)?],
        predicate::Test::In(values) if !predicate.ignore_case => {
            values.values.iter().map(item_of).collect::<Option<Vec<_>>>()?
        }
        predicate::Test::Prefix(text) => vec![affix("prefix", text)],
        predicate::Test::Suffix(text) => vec![affix("suffix", text)],
        predicate::Test::Wildcard(text) if !predicate.ignore_case => {
            vec![format!("{{\"wildcard\": {}}}", quoted(text))]
        }
        predicate::Test::Range(range) => vec![format!("{{\"numeric\": [{}]}}", bounds_of(range)?)],
        predicate::Test::Cidr(cidrs) => cidrs
            .blocks
            .iter()
            .map(|block| match block.strip_suffix("/128") {
                Some(address) => quoted(address),
                None => format!("{{\"cidr\": {}}}", quoted(block)),
            })
            .collect(),
        predicate::Test::Types(_) if is_any_value(predicate) => vec![r#"{"exists": true}"#.to_owned()],
        predicate::Test::Types(types) if types.types == [i32::from(ValueType::Text)] => vec![affix("prefix", "")],
        _ => return None,
    })
}

/// A value as an item of its own, where an address of version 6 would stand for all ways to write it.
fn item_of(value: &Literal) -> Option<String> {
    match value.kind.as_ref()? {
        literal::Kind::Text(text) if text.parse::<Ipv6Addr>().is_ok() => {
            Some(format!("{{\"exactly\": {}}}", quoted(text)))
        }
        _ => value_of(value),
    }
}

fn value_of(value: &Literal) -> Option<String> {
    Some(match value.kind.as_ref()? {
        literal::Kind::Text(text) => quoted(text),
        literal::Kind::Number(number) => number.clone(),
        literal::Kind::Boolean(value) => value.to_string(),
        literal::Kind::Null(_) => "null".to_owned(),
    })
}

fn bounds_of(range: &Range) -> Option<String> {
    let number = |value: &Literal| match value.kind.as_ref()? {
        literal::Kind::Number(number) => Some(number.clone()),
        _ => None,
    };
    let lower = match range.lower.as_ref() {
        None => None,
        Some(range::Lower::Above(value)) => Some(format!("\">\", {}", number(value)?)),
        Some(range::Lower::AtLeast(value)) => Some(format!("\">=\", {}", number(value)?)),
    };
    let upper = match range.upper.as_ref() {
        None => None,
        Some(range::Upper::Below(value)) => Some(format!("\"<\", {}", number(value)?)),
        Some(range::Upper::AtMost(value)) => Some(format!("\"<=\", {}", number(value)?)),
    };
    Some(lower.into_iter().chain(upper).collect::<Vec<_>>().join(", "))
}
