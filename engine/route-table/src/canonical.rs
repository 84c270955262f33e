//! Conditions and types in one form, so that what means the same is the same.
//!
//! CEL, event patterns and messages become one tree; the parts of `all` and `any` have an order, the values of an `in`, too, and none is
//! there twice; numbers, blocks of addresses and texts without case are written in one way. Two conditions that are equal here say the
//! same of every event. Two that are not may still do: this compares, it proves nothing.

use crate::filed::RouteTypes;
use crate::value::cidr::{Block, CidrRanges};
use crate::value::fold;
use crate::value::number::Number;
use crate::value::wildcard::Wildcard;
use crate::{cel, event_pattern};
use prost::Message as _;
use veltrix_proto::v1::{
    AnyElement, Cidrs, Condition, Conditions, Element, EventTypes, Field, Literal, Literals, Predicate, Range,
    ValueTypes, any_element, condition, literal, predicate, range,
};

/// The one form of a condition. A text that can't be read stays what it is.
pub fn canonical(condition: &Condition) -> Condition {
    let kind = match &condition.kind {
        None => None,
        Some(condition::Kind::Cel(text)) => match cel::parse(text, &cel::Scope::record()) {
            Ok(tree) => return canonical(&tree),
            Err(_) => condition.kind.clone(),
        },
        Some(condition::Kind::EventPattern(text)) => match event_pattern::parse(text) {
            Ok(tree) => return canonical(&tree),
            Err(_) => condition.kind.clone(),
        },
        Some(condition::Kind::All(parts)) => return joined(parts, true),
        Some(condition::Kind::Any(parts)) => return joined(parts, false),
        Some(condition::Kind::Not(inner)) => match canonical(inner).kind {
            Some(condition::Kind::Not(inner)) => return *inner,
            Some(condition::Kind::Predicate(Predicate {
                attribute, test: Some(predicate::Test::Exists(is)), ..
            })) => {
                let test = Some(predicate::Test::Exists(!is));
                Some(condition::Kind::Predicate(Predicate { attribute, test, ..Predicate::default() }))
            }
            kind => Some(condition::Kind::Not(Box::new(Condition { kind }))),
        },
        Some(condition::Kind::AnyElement(any)) => Some(condition::Kind::AnyElement(Box::new(AnyElement {
            over: any.over.clone().map(|over| match over {
                any_element::Over::Field(field) => any_element::Over::Field(of_field(field)),
                any_element::Over::Element(element) => any_element::Over::Element(of_element(element)),
            }),
            condition: any.condition.as_deref().map(|condition| Box::new(canonical(condition))),
            on_missing: without_default(any.on_missing),
            on_other_type: without_default(any.on_other_type),
        }))),
        Some(condition::Kind::Predicate(predicate)) => Some(condition::Kind::Predicate(of_predicate(predicate))),
    };
    Condition { kind }
}

/// `all` or `any` of parts, those of one within another as its own, in order and once each.
fn joined(parts: &Conditions, is_all: bool) -> Condition {
    let mut conditions: Vec<Condition> = Vec::new();
    for part in parts.conditions.iter().map(canonical) {
        match part.kind {
            Some(condition::Kind::All(inner)) if is_all => conditions.extend(inner.conditions),
            Some(condition::Kind::Any(inner)) if !is_all => conditions.extend(inner.conditions),
            kind => conditions.push(Condition { kind }),
        }
    }
    conditions.sort_by_cached_key(Condition::encode_to_vec);
    conditions.dedup();
    match (conditions.len(), is_all) {
        (1, _) => conditions.pop().unwrap_or_default(),
        (_, true) => Condition { kind: Some(condition::Kind::All(Conditions { conditions })) },
        (_, false) => Condition { kind: Some(condition::Kind::Any(Conditions { conditions })) },
    }
}

/// `false` is what an enum says of itself when nothing is said.
fn without_default(truth: i32) -> i32 {
    if truth == 1 { 0 } else { truth }
}

fn of_predicate(predicate: &Predicate) -> Predicate {
    let literal = |value: &Literal| of_literal(value, predicate.ignore_case);
    let folded = |text: &String| if predicate.ignore_case { lower(text) } else { text.clone() };
    let test = predicate.test.as_ref().map(|test| match test {
        predicate::Test::Equals(value) => predicate::Test::Equals(literal(value)),
        predicate::Test::In(values) => {
            let mut values: Vec<Literal> = values.values.iter().map(literal).collect();
            values.sort_by_cached_key(Literal::encode_to_vec);
            values.dedup();
            match values.as_slice() {
                [only] => predicate::Test::Equals(only.clone()),
                _ => predicate::Test::In(Literals { values }),
            }
        }
        predicate::Test::Prefix(text) => predicate::Test::Prefix(folded(text)),
        predicate::Test::Suffix(text) => predicate::Test::Suffix(folded(text)),
        predicate::Test::Contains(text) => predicate::Test::Contains(folded(text)),
        predicate::Test::Wildcard(pattern) => {
            let (mut texts, mut needles) = (String::new(), Vec::new());
            let compiled = Wildcard::compile(pattern, predicate.ignore_case, &mut texts, &mut needles);
            predicate::Test::Wildcard(compiled.map_or(pattern.clone(), |shape| shape.pattern(&texts, &needles)))
        }
        predicate::Test::Range(range) => predicate::Test::Range(of_range(range)),
        predicate::Test::Cidr(cidrs) => predicate::Test::Cidr(of_cidrs(cidrs)),
        predicate::Test::Types(types) => {
            let mut types = types.types.clone();
            types.sort_unstable();
            types.dedup();
            predicate::Test::Types(ValueTypes { types })
        }
        predicate::Test::Exists(is) => predicate::Test::Exists(*is),
        predicate::Test::Share(share) => predicate::Test::Share(share.clone()),
    });
    Predicate {
        attribute: predicate.attribute.clone().map(|attribute| match attribute {
            predicate::Attribute::Field(field) => predicate::Attribute::Field(of_field(field)),
            predicate::Attribute::Element(element) => predicate::Attribute::Element(of_element(element)),
            outside => outside,
        }),
        test,
        on_missing: without_default(predicate.on_missing),
        on_other_type: without_default(predicate.on_other_type),
        ..predicate.clone()
    }
}

/// One name has no room for a dot.
fn of_field(field: Field) -> Field {
    Field { dotted: field.dotted && field.names.len() > 1, ..field }
}

fn of_element(element: Element) -> Element {
    Element { dotted: element.dotted && element.names.len() > 1, ..element }
}

fn of_literal(value: &Literal, ignore_case: bool) -> Literal {
    let kind = value.kind.as_ref().map(|kind| match kind {
        literal::Kind::Number(number) => {
            let known = Number::parse(number.as_bytes());
            literal::Kind::Number(known.map_or_else(|| number.clone(), |known| known.to_string()))
        }
        literal::Kind::Text(text) if ignore_case => literal::Kind::Text(lower(text)),
        other => other.clone(),
    });
    Literal { kind }
}

fn lower(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    fold::fold_text(text, &mut folded);
    folded
}

fn of_range(range: &Range) -> Range {
    let literal = |value: &Literal| of_literal(value, false);
    Range {
        lower: range.lower.as_ref().map(|lower| match lower {
            range::Lower::Above(value) => range::Lower::Above(literal(value)),
            range::Lower::AtLeast(value) => range::Lower::AtLeast(literal(value)),
        }),
        upper: range.upper.as_ref().map(|upper| match upper {
            range::Upper::Below(value) => range::Upper::Below(literal(value)),
            range::Upper::AtMost(value) => range::Upper::AtMost(literal(value)),
        }),
    }
}

fn of_cidrs(cidrs: &Cidrs) -> Cidrs {
    let mut ranges = CidrRanges::default();
    let blocks: Result<Vec<Block>, _> = cidrs.blocks.iter().map(|block| Block::parse(block)).collect();
    let set = blocks.ok().and_then(|blocks| ranges.add(blocks));
    Cidrs { blocks: set.map_or_else(|| cidrs.blocks.clone(), |set| set.blocks(&ranges)) }
}

/// The types that say something of their own: not those that a prefix covers.
pub(crate) fn types_of(types: &EventTypes) -> RouteTypes {
    if types.any {
        return RouteTypes { any: true, ..RouteTypes::default() };
    }
    let mut prefixes = types.prefixes.clone();
    prefixes.sort_unstable();
    prefixes.dedup_by(|later, kept| later.starts_with(kept.as_str()));
    let mut exact = types.exact.clone();
    exact.sort_unstable();
    exact.dedup();
    exact.retain(|text| !prefixes.iter().any(|prefix| text.starts_with(prefix.as_str())));
    RouteTypes { exact, prefixes, any: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_cel(text: &str) -> Condition {
        canonical(&Condition { kind: Some(condition::Kind::Cel(text.to_owned())) })
    }

    #[test]
    fn what_is_written_otherwise_and_means_the_same_is_equal() {
        for (a, b) in [
            ("payload.a in [1, 'x', 2]", "payload.a in ['x', 2.0, 1e0, 2]"),
            ("payload.a in ['x']", "payload.a == 'x'"),
            (
                "payload.a == 1 && (payload.b == 2 && payload.c == 3)",
                "payload.c == 3 && payload.a == 1 && payload.b == 2",
            ),
            ("payload.a == 1 || payload.b == 2 || payload.a == 1", "payload.b == 2 || payload.a == 1.0"),
            ("!!(payload.a == 1)", "payload.a == 1"),
            ("ip_in(payload.a, '10.0.0.0/9', '10.128.0.0/9')", "ip_in(payload.a, '10.1.2.3/8')"),
            ("equals_ignore_case(payload.a, 'AB')", "equals_ignore_case(payload.a, 'ab')"),
            ("wildcard(payload.a, 'a**')", "wildcard(payload.a, 'a*')"),
        ] {
            assert_eq!(of_cel(a), of_cel(b), "{a} is {b}");
        }
    }

    #[test]
    fn what_means_something_else_is_not_equal() {
        for (a, b) in [
            ("payload.a == 1", "payload.a == '1'"),
            ("payload.a == 1 && payload.b == 2", "payload.a == 1 || payload.b == 2"),
            ("payload.a > 1", "payload.a >= 1"),
            ("payload.a == 'AB'", "payload.a == 'ab'"),
            ("payload.a.b == 1", "payload['a.b'] == 1"),
        ] {
            assert_ne!(of_cel(a), of_cel(b), "{a} is not {b}");
        }
    }

    #[test]
    fn types_that_others_cover_are_left_out() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let types =
            EventTypes { exact: texts(&["b", "a.x", "b", "c"]), prefixes: texts(&["a.", "a.x.", "c."]), any: false };
        let expected = RouteTypes { exact: texts(&["b", "c"]), prefixes: texts(&["a.", "c."]), any: false };
        assert_eq!(types_of(&types), expected);
    }
}
