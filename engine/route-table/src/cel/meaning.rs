//! What a tree means: names become places of the event, operators become conditions.

use super::constant::Constant;
use super::error::{ReasonKind, Reasons};
use super::predicates;
use super::scope::{FieldType, Scope, nearest};
use super::syntax::{Expr, ExprKind, Logic, Relation};
use crate::limits;
use std::ops::Range;
use veltrix_proto::v1::{Condition, Conditions, RecordPart, condition};

/// What an expression stands for.
pub(super) enum Value {
    Constant(Constant),
    List(Vec<(Constant, Range<usize>)>),
    Place(Place),
    /// `int(place)` or `double(place)`: its text, read as a number.
    Number(Place),
    Condition(Condition),
    /// A reason why not was given.
    Refused,
}

/// Where an event has a value.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: Root,
    /// The fields to go through from there.
    pub(super) names: Vec<String>,
    pub(super) kind: FieldType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// `event`, which is nothing by itself.
    Event,
    Part(RecordPart),
    /// `headers`, which is nothing by itself.
    Headers,
    Header(String),
    Payload,
    /// `lookup`, which is nothing by itself.
    Lookups,
    /// The answer of a lookup.
    Lookup(String),
    /// An element: how many variables stand around its own.
    Variable(usize),
}

/// The parts of a record, and what they are.
pub(super) const PARTS: [(&str, RecordPart, FieldType); 5] = [
    ("type", RecordPart::EventType, FieldType::String),
    ("tenant", RecordPart::Tenant, FieldType::String),
    ("topic", RecordPart::Topic, FieldType::String),
    ("key", RecordPart::Key, FieldType::String),
    ("timestamp", RecordPart::Timestamp, FieldType::Timestamp),
];

/// What stands before the name of a lookup.
pub(super) const LOOKUP: &str = "lookup";

/// A variable of an `exists` or `all`.
pub(super) struct Variable {
    name: String,
    kind: FieldType,
}

pub(super) struct Meaning<'r, 't, 's> {
    pub(super) reasons: &'r mut Reasons<'t>,
    pub(super) scope: &'s Scope<'s>,
    pub(super) variables: Vec<Variable>,
}

impl Meaning<'_, '_, '_> {
    pub(super) fn refuse(
        &mut self,
        kind: ReasonKind,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Value {
        self.reasons.refuse(kind, span, message, help);
        Value::Refused
    }

    /// The known name that was most likely meant; nobody reads it once there are more reasons than are told.
    pub(super) fn nearest<'n>(&self, name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
        if self.reasons.is_full() { None } else { nearest(name, known) }
    }

    pub(super) fn quoted(&self, expr: &Expr) -> String {
        self.reasons.quoted(&expr.span)
    }

    pub(super) fn value(&mut self, expr: &Expr) -> Value {
        self.value_in(expr, expr.span.end)
    }

    /// Of a part of a path that goes on until `end`, as `payload.a` is of `payload.a.b`.
    fn value_in(&mut self, expr: &Expr, end: usize) -> Value {
        match &expr.kind {
            ExprKind::Null => Value::Constant(Constant::Null),
            ExprKind::Bool(value) => Value::Constant(Constant::Bool(*value)),
            ExprKind::Whole(value) => Value::Constant(Constant::Whole(*value)),
            ExprKind::Double(number) => Value::Constant(Constant::Double(number.clone())),
            ExprKind::Text(text) => self.text(text, &expr.span),
            ExprKind::Bytes => {
                let help = "leave the `b` out: values of events are compared with texts";
                self.refuse(ReasonKind::Unsupported, &expr.span, "an event has no bytes to compare with", help)
            }
            ExprKind::Name { name, outermost } => self.name(name, *outermost, &expr.span),
            ExprKind::Select(of, name, span) => match self.value_in(of, end) {
                Value::Refused => Value::Refused,
                Value::Place(place) => self.select(place, name, span, of),
                other => self.without_fields(&other, of),
            },
            ExprKind::Index(of, index) => self.index(of, index, expr.span.end..end),
            ExprKind::Call { receiver: None, name, name_span, arguments } => {
                self.function(name, name_span, arguments, expr)
            }
            ExprKind::Call { receiver: Some(receiver), name, name_span, arguments } => {
                self.method(receiver, name, name_span, arguments, expr)
            }
            ExprKind::List(elements) => self.list(elements),
            ExprKind::Construction => {
                let help = "compare the fields one by one: `payload.a == 1 && payload.b == 2`";
                self.refuse(ReasonKind::Unsupported, &expr.span, "maps and messages can't be compared with", help)
            }
            ExprKind::Not(inner) => match self.truth(inner) {
                Some(Truth::Constant(value)) => Value::Constant(Constant::Bool(!value)),
                Some(Truth::Condition(condition)) => Value::Condition(predicates::not(condition)),
                None => Value::Refused,
            },
            ExprKind::Minus(inner) => self.minus(inner, expr),
            ExprKind::Logic(logic, parts) => self.logic(*logic, parts),
            ExprKind::Relation(relation, left, right) => self.relation(*relation, left, right, expr),
            ExprKind::Arithmetic(..) => self.arithmetic(expr, None),
            ExprKind::Ternary => {
                let help = "write `c && a || !c && b` for `c ? a : b`, or make two routes of it";
                self.refuse(ReasonKind::Unsupported, &expr.span, "a condition chooses between no values", help)
            }
        }
    }

    fn text(&mut self, text: &str, span: &Range<usize>) -> Value {
        let limit = &limits::LITERAL_BYTES;
        if text.len() as u64 > limit.max {
            let message =
                format!("a text of {} bytes is beyond the limit `{}` of {}", text.len(), limit.name, limit.max);
            return self.refuse(ReasonKind::Limit, span, message, "compare with a part of it");
        }
        Value::Constant(Constant::Text(text.to_owned()))
    }

    fn name(&mut self, name: &str, outermost: bool, span: &Range<usize>) -> Value {
        let of = |root, kind| Value::Place(Place { root, names: Vec::new(), kind });
        if !outermost && let Some(at) = self.variables.iter().rposition(|variable| variable.name == name) {
            let kind = self.variables.get(at).map_or(FieldType::Any, |variable| variable.kind.clone());
            return of(Root::Variable(at), kind);
        }
        match name {
            "payload" => return of(Root::Payload, self.scope.of_payload()),
            "headers" => return of(Root::Headers, FieldType::Map(Box::new(FieldType::String))),
            "event" => return of(Root::Event, FieldType::Any),
            _ => {}
        }
        if let Some(kind) = self.scope.root_field(name) {
            return Value::Place(Place { root: Root::Payload, names: vec![name.to_owned()], kind: kind.clone() });
        }
        if let Some((_, part, kind)) = PARTS.into_iter().find(|(known, _, _)| *known == name) {
            return of(Root::Part(part), kind);
        }
        if name == LOOKUP {
            return of(Root::Lookups, FieldType::Any);
        }
        let known = ["payload", "headers", "event", LOOKUP].into_iter().chain(PARTS.map(|(known, _, _)| known));
        let known = known.chain(self.scope.root_names()).chain(self.variables.iter().map(|known| known.name.as_str()));
        let help = match self.nearest(name, known) {
            Some(known) => format!("write `{known}`, or `payload.{name}` for a field of the payload"),
            None => format!("write `payload.{name}` for a field of the payload, `headers.{name}` for a header"),
        };
        self.refuse(ReasonKind::Unknown, span, format!("nothing is called `{name}`"), help)
    }

    pub(super) fn select(&mut self, mut place: Place, name: &str, span: &Range<usize>, of: &Expr) -> Value {
        match (&place.root, place.kind.clone()) {
            (Root::Event, _) => {
                if let Some((_, part, kind)) = PARTS.into_iter().find(|(known, _, _)| *known == name) {
                    return Value::Place(Place { root: Root::Part(part), names: Vec::new(), kind });
                }
                if name == LOOKUP {
                    return Value::Place(Place { root: Root::Lookups, names: Vec::new(), kind: FieldType::Any });
                }
                let known = PARTS.map(|(known, _, _)| known);
                let help = match (self.nearest(name, known), name) {
                    (Some(known), _) => format!("write `event.{known}`"),
                    (None, "payload" | "headers") => format!("write `{name}`"),
                    _ => format!("it has {}; what the payload has is `payload.{name}`", known.join(", ")),
                };
                return self.refuse(ReasonKind::Unknown, span, format!("an event has no `{name}`"), help);
            }
            (Root::Headers, _) => {
                let limit = &limits::ID_BYTES;
                if name.is_empty() || name.len() as u64 > limit.max {
                    let help = format!("write a name of 1 to {} bytes (the limit `{}`)", limit.max, limit.name);
                    return self.refuse(ReasonKind::Limit, span, "no header can have this name", help);
                }
                place = Place { root: Root::Header(name.to_owned()), names: Vec::new(), kind: FieldType::String };
                return Value::Place(place);
            }
            (Root::Lookups, _) => {
                let limit = &limits::ID_BYTES;
                if name.is_empty() || name.len() as u64 > limit.max {
                    let help = format!("write a name of 1 to {} bytes (the limit `{}`)", limit.max, limit.name);
                    return self.refuse(ReasonKind::Limit, span, "no lookup can have this name", help);
                }
                place.root = Root::Lookup(name.to_owned());
                return Value::Place(place);
            }
            (_, FieldType::Any) => {}
            (_, FieldType::Map(values)) => place.kind = *values,
            (_, FieldType::Message(message)) => match self.scope.field(message, name) {
                Some(kind) => place.kind = kind.clone(),
                None => {
                    let help = match self.nearest(name, self.scope.names_of(message)) {
                        Some(known) => format!("write `{known}`"),
                        None => list_of("its fields are", self.scope.names_of(message)),
                    };
                    let message = format!("`{}` has no field `{name}`", self.quoted(of));
                    return self.refuse(ReasonKind::Unknown, span, message, help);
                }
            },
            _ => return self.without_fields(&Value::Place(place), of),
        }
        place.names.push(name.to_owned());
        Value::Place(place)
    }

    fn without_fields(&mut self, value: &Value, of: &Expr) -> Value {
        let what = self.quoted(of);
        let (message, help) = match value {
            Value::Place(Place { kind: FieldType::Repeated(_), .. }) => (
                format!("`{what}` is a list; its elements have the fields"),
                format!("write `{what}.exists(x, ...)` with a condition on `x`"),
            ),
            Value::Place(place) => (
                format!("`{what}` is {} and has no fields", predicates::what(&place.kind)),
                format!("compare `{what}` itself"),
            ),
            _ => (format!("`{what}` has no fields"), "fields are those of `payload` and its objects".to_owned()),
        };
        self.refuse(ReasonKind::Type, &of.span, message, help)
    }

    /// `rest` is what follows it in a path.
    fn index(&mut self, of: &Expr, index: &Expr, rest: Range<usize>) -> Value {
        let place = self.value_in(of, rest.end);
        match (&index.kind, place) {
            (_, Value::Refused) => Value::Refused,
            (ExprKind::Text(name), Value::Place(place)) => self.select(place, name, &index.span, of),
            (ExprKind::Whole(_) | ExprKind::Double(_), Value::Place(_)) => {
                // Another number within what follows would have to be said otherwise, too.
                let rest = Some(self.reasons.quoted(&rest)).filter(|rest| !rest.contains('[')).unwrap_or_default();
                let help = format!("say what the element is like: `{}.exists(x, x{rest} == 'a')`", self.quoted(of));
                self.refuse(ReasonKind::Unsupported, &index.span, "elements can't be picked by their number", help)
            }
            (_, Value::Place(_)) => {
                let help = "write the name of the field as text: `payload['a-b']`";
                self.refuse(ReasonKind::Unsupported, &index.span, "only a text can stand here", help)
            }
            (_, other) => self.without_fields(&other, of),
        }
    }

    fn list(&mut self, elements: &[Expr]) -> Value {
        let limit = &limits::VALUES_PER_IN;
        if let Some(first) = elements.get(limit.max as usize) {
            let message = format!("{} values are beyond the limit `{}` of {}", elements.len(), limit.name, limit.max);
            return self.refuse(ReasonKind::Limit, &first.span, message, "make several lists of it, joined by `||`");
        }
        let mut constants = Vec::with_capacity(elements.len());
        let mut whole = true;
        for element in elements {
            match self.value(element) {
                Value::Constant(constant) => constants.push((constant, element.span.clone())),
                Value::Refused => whole = false,
                _ => {
                    whole = false;
                    let message = format!("`{}` is no value that stands in the text", self.quoted(element));
                    let help = "only texts, numbers, true, false and null can stand in a list";
                    self.refuse(ReasonKind::Unsupported, &element.span, message, help);
                }
            }
        }
        if whole { Value::List(constants) } else { Value::Refused }
    }

    fn minus(&mut self, inner: &Expr, expr: &Expr) -> Value {
        match self.value(inner) {
            Value::Refused => Value::Refused,
            Value::Constant(constant @ (Constant::Whole(_) | Constant::Double(_))) => match constant.negated() {
                Some(negated) => Value::Constant(negated),
                None => {
                    let message = "this number is beyond 64 bits with a sign";
                    self.refuse(ReasonKind::Type, &expr.span, message, "write a fraction after it: `.0`")
                }
            },
            Value::Constant(other) => {
                let message = format!("{} has no sign", other.what());
                self.refuse(ReasonKind::Type, &expr.span, message, "only a number can stand after `-`")
            }
            _ => {
                let help = format!("compare `{}` with the negative number", self.quoted(inner));
                let message = format!("`{}` computes; conditions only compare", self.quoted(expr));
                self.refuse(ReasonKind::Unsupported, &expr.span, message, help)
            }
        }
    }

    /// Refuses a sum and the like. `with` is the relation that it stands on the left of, and what on the right.
    pub(super) fn arithmetic(&mut self, expr: &Expr, with: Option<&Expr>) -> Value {
        let message = format!("`{}` computes; conditions only compare", self.quoted(expr));
        let mut help = "compare the field itself, or have the producer send the result as a field".to_owned();
        if let ExprKind::Arithmetic(sign @ ("+" | "-"), left, right) = &expr.kind {
            let numbers = (&right.kind, with.map(|with| &with.kind));
            match (&left.kind, numbers) {
                (ExprKind::Whole(a), (ExprKind::Whole(b), _)) => {
                    help = format!("write {}", if *sign == "+" { a + b } else { a - b });
                }
                (
                    ExprKind::Name { .. } | ExprKind::Select(..) | ExprKind::Index(..),
                    (ExprKind::Whole(by), Some(ExprKind::Whole(to))),
                ) => {
                    let to = if *sign == "+" { to - by } else { to + by };
                    help = format!("compare `{}` with {to} instead", self.quoted(left));
                }
                _ => {}
            }
        }
        self.refuse(ReasonKind::Unsupported, &expr.span, message, help)
    }

    fn logic(&mut self, logic: Logic, parts: &[Expr]) -> Value {
        let parts: Vec<_> = parts.iter().map(|part| self.truth(part)).collect();
        let Some(parts) = parts.into_iter().collect::<Option<Vec<_>>>() else { return Value::Refused };
        // `false && x` is false even if `x` is an error, and `true && x` is `x`.
        let decides = logic == Logic::Or;
        let mut conditions = Vec::new();
        for part in parts {
            match part {
                Truth::Constant(value) if value == decides => return Value::Constant(Constant::Bool(decides)),
                Truth::Constant(_) => {}
                Truth::Condition(Condition { kind: Some(kind) }) => match (logic, kind) {
                    (Logic::And, condition::Kind::All(inner)) | (Logic::Or, condition::Kind::Any(inner)) => {
                        conditions.extend(inner.conditions);
                    }
                    (_, kind) => conditions.push(Condition { kind: Some(kind) }),
                },
                Truth::Condition(unset) => conditions.push(unset),
            }
        }
        match (conditions.pop(), conditions.is_empty()) {
            (None, _) => Value::Constant(Constant::Bool(!decides)),
            (Some(only), true) => Value::Condition(only),
            (Some(last), false) => {
                conditions.push(last);
                let conditions = Conditions { conditions };
                let kind = match logic {
                    Logic::And => condition::Kind::All(conditions),
                    Logic::Or => condition::Kind::Any(conditions),
                };
                Value::Condition(Condition { kind: Some(kind) })
            }
        }
    }

    /// What an expression means as a condition; `None` when it was refused.
    pub(super) fn truth(&mut self, expr: &Expr) -> Option<Truth> {
        let (what, help) = match self.value(expr) {
            Value::Refused => return None,
            Value::Condition(condition) => return Some(Truth::Condition(condition)),
            Value::Constant(Constant::Bool(value)) => return Some(Truth::Constant(value)),
            Value::Place(place) => match &place.kind {
                FieldType::Any | FieldType::Bool => return self.flag(&place, expr).map(Truth::Condition),
                kind => (predicates::what(kind), format!("compare it: `{} == ...`", self.quoted(expr))),
            },
            Value::Number(_) => ("a number", format!("compare it: `{} == ...`", self.quoted(expr))),
            Value::Constant(constant) => (constant.what(), "compare it with a field".to_owned()),
            Value::List(_) => ("a list", "write `payload.field in [...]`".to_owned()),
        };
        let message = format!("`{}` is {what}, not a condition", self.quoted(expr));
        self.refuse(ReasonKind::Type, &expr.span, message, help);
        None
    }

    /// Runs `within` with a variable more.
    pub(super) fn with_variable<T>(&mut self, name: &str, kind: FieldType, within: impl FnOnce(&mut Self) -> T) -> T {
        self.variables.push(Variable { name: name.to_owned(), kind });
        let result = within(self);
        self.variables.pop();
        result
    }
}

/// What a part of a condition means.
pub(super) enum Truth {
    /// The same for every event.
    Constant(bool),
    Condition(Condition),
}

/// `intro a, b and so on`, with the first few of `names`.
pub(super) fn list_of<'n>(intro: &str, names: impl Iterator<Item = &'n str>) -> String {
    const LISTED: usize = 8;
    let mut names: Vec<&str> = names.take(LISTED + 1).collect();
    let more = if names.len() > LISTED { ", ..." } else { "" };
    names.truncate(LISTED);
    match names.is_empty() {
        true => format!("{intro} none"),
        false => format!("{intro} {}{more}", names.join(", ")),
    }
}

impl Relation {
    /// The same relation, with its sides exchanged.
    pub(super) fn turned(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
        }
    }
}
