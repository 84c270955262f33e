//! Values that stand in the text, and what CEL makes of two of them.
//!
//! Numbers of a text are compared with each other as CEL does: a double is the nearest IEEE double, and so is what is compared
//! with it. Numbers of events are compared by their decimals, see [`super`].

use super::syntax::Relation;
use super::timestamp::Timestamp;
use std::cmp::Ordering;
use veltrix_proto::v1::{Literal, Null, literal};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Null,
    Bool(bool),
    Whole(i128),
    /// As JSON writes it.
    Double(String),
    Text(String),
    Time(Timestamp),
}

impl Constant {
    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Whole(_) | Self::Double(_) => "a number",
            Self::Text(_) => "text",
            Self::Time(_) => "a time",
        }
    }

    pub(super) fn literal(&self) -> Literal {
        let kind = match self {
            Self::Null => literal::Kind::Null(Null {}),
            Self::Bool(value) => literal::Kind::Boolean(*value),
            Self::Whole(value) => literal::Kind::Number(value.to_string()),
            Self::Double(number) => literal::Kind::Number(number.clone()),
            Self::Text(text) => literal::Kind::Text(text.clone()),
            Self::Time(time) => literal::Kind::Number(time.millis()),
        };
        Literal { kind: Some(kind) }
    }

    /// `None` where there is no such negative number, or no number.
    pub(super) fn negated(&self) -> Option<Self> {
        match self {
            Self::Whole(value) => i64::try_from(-value).is_ok().then_some(Self::Whole(-value)),
            Self::Double(number) => Some(Self::Double(match number.strip_prefix('-') {
                Some(positive) => positive.to_owned(),
                None => format!("-{number}"),
            })),
            _ => None,
        }
    }

    fn double(&self) -> Option<f64> {
        match self {
            Self::Whole(value) => Some(*value as f64),
            Self::Double(number) => number.parse().ok(),
            _ => None,
        }
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Double(_), _) | (_, Self::Double(_)) => {
                matches!((self.double(), other.double()), (Some(a), Some(b)) if a == b)
            }
            _ => self == other,
        }
    }

    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Whole(a), Self::Whole(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(b)),
            _ => self.double()?.partial_cmp(&other.double()?),
        }
    }

    /// What the comparison yields; `None` where it is an error.
    pub(super) fn compare(&self, relation: Relation, other: &Self) -> Option<bool> {
        Some(match relation {
            Relation::Equal => self.equals(other),
            Relation::Unequal => !self.equals(other),
            Relation::Below => self.order(other)?.is_lt(),
            Relation::AtMost => self.order(other)?.is_le(),
            Relation::Above => self.order(other)?.is_gt(),
            Relation::AtLeast => self.order(other)?.is_ge(),
            Relation::In => return None,
        })
    }

    pub(super) fn is_one_of(&self, others: &[Self]) -> bool {
        others.iter().any(|other| self.equals(other))
    }
}
