//! `share(place, 'salt', from, to)`: a part of all values, in ten-thousandths, as the message `Share` has it.

use super::constant::Constant;
use super::error::ReasonKind;
use super::meaning::{Meaning, Root, Value};
use super::predicates::{test, what};
use super::scope::FieldType;
use super::syntax::Expr;
use crate::limits;
use crate::share::PLACES;
use veltrix_proto::v1::{Condition, OnOtherType, Predicate, Share, condition, predicate};

const EXAMPLE: &str = "write `share(key, 'new-flow', 0, 1000)` for the first 1,000 of 10,000 parts, which is 10 %";

impl Meaning<'_, '_, '_> {
    pub(super) fn share(&mut self, arguments: &[Expr], call: &Expr) -> Value {
        let [field, salt, from, to] = arguments else {
            let message = "`share` takes a field, a salt and the bounds of a part";
            return self.refuse(ReasonKind::Syntax, &call.span, message, EXAMPLE);
        };
        let attribute = self.shared_place(field);
        let salt = self.salt(salt);
        let (lower, upper) = (self.bound(from), self.bound(to));
        let (Some((attribute, text_as_number)), Some(salt), Some(from), Some(upper)) = (attribute, salt, lower, upper)
        else {
            return Value::Refused;
        };
        if from >= upper {
            let message = format!("no value is in a share from {from} to {upper}");
            return self.refuse(ReasonKind::Type, &to.span, message, EXAMPLE);
        }
        let share = predicate::Test::Share(Share { salt, from, to: upper });
        let predicate = test(Some(attribute), share, OnOtherType::Absent);
        let kind = condition::Kind::Predicate(Predicate { text_as_number, ..predicate });
        Value::Condition(Condition { kind: Some(kind) })
    }

    /// What a share is asked of, and whether texts are read as numbers; `None` when it was refused.
    fn shared_place(&mut self, field: &Expr) -> Option<(predicate::Attribute, bool)> {
        let is = match self.value(field) {
            Value::Refused => return None,
            Value::Number(place) => return Some((self.attribute(&place, field)?, true)),
            Value::Place(place) => match &place.kind {
                FieldType::Any | FieldType::String | FieldType::Int | FieldType::Uint | FieldType::Double => {
                    return Some((self.attribute(&place, field)?, false));
                }
                // What is meant is one of them.
                _ if place.root == Root::Headers => return Some((self.attribute(&place, field)?, false)),
                kind => what(kind),
            },
            Value::Constant(constant) => constant.what(),
            Value::Condition(_) => "a condition",
            Value::List(_) => "a list",
        };
        let message = format!("`{}` is {is}, and `share` is about texts and numbers of events", self.quoted(field));
        self.refuse(ReasonKind::Type, &field.span, message, EXAMPLE);
        None
    }

    fn salt(&mut self, salt: &Expr) -> Option<String> {
        let limit = &limits::ID_BYTES;
        let (kind, message) = match self.value(salt) {
            Value::Refused => return None,
            Value::Constant(Constant::Text(text)) if !text.is_empty() => match text.len() as u64 {
                bytes if bytes > limit.max => {
                    let (name, max) = (limit.name, limit.max);
                    (ReasonKind::Limit, format!("a salt of {bytes} bytes is beyond the limit `{name}` of {max}"))
                }
                _ => return Some(text),
            },
            _ => (ReasonKind::Type, "the salt of a share is a text that stands here and is not empty".to_owned()),
        };
        self.refuse(kind, &salt.span, message, EXAMPLE);
        None
    }

    fn bound(&mut self, bound: &Expr) -> Option<u32> {
        match self.value(bound) {
            Value::Refused => return None,
            Value::Constant(Constant::Whole(value)) => {
                if let Some(value) = u32::try_from(value).ok().filter(|value| *value <= PLACES) {
                    return Some(value);
                }
            }
            _ => {}
        }
        let message = format!("a bound of a share is a whole number from 0 to {PLACES}");
        self.refuse(ReasonKind::Type, &bound.span, message, EXAMPLE);
        None
    }
}
