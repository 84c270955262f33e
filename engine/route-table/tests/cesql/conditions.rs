//! CESQL as conditions, as far as they can say it.
//!
//! An attribute is the header `ce_NAME`, which has no type: what CESQL casts is tested as what it is cast to. What is
//! an error to CESQL, a missing attribute or a cast that fails, is absent. A literal that is tested stands in an
//! attribute of the event, so that a condition decides and not the translator; those that it is tested against stand
//! in the condition, cast already.

use crate::syntax::{Comparison, Expr, Literal, Logic};
use veltrix_proto::v1::{
    self, Condition, Conditions, Literals, OnMissing, OnOtherType, Predicate, Range, condition, literal, predicate,
    range,
};

/// A condition, and the attributes that an event must have besides its own: literals of the expression.
pub(crate) struct Translation {
    pub(crate) condition: Condition,
    pub(crate) lifted: Vec<(String, Literal)>,
}

/// # Errors
/// What conditions can't say.
pub(crate) fn translate(expr: &Expr) -> Result<Translation, &'static str> {
    let mut translator = Translator { lifted: Vec::new() };
    let condition = translator.condition(expr)?;
    Ok(Translation { condition, lifted: translator.lifted })
}

/// How CESQL spells a value as a text, as headers have it.
pub(crate) fn spelled(literal: &Literal) -> String {
    match literal {
        Literal::Boolean(value) => value.to_string(),
        Literal::Integer(number) => number.to_string(),
        Literal::Text(text) => text.clone(),
    }
}

struct Translator {
    lifted: Vec<(String, Literal)>,
}

/// What is tested: an attribute, and the literal that was put there. All other attributes are texts to CESQL.
struct Subject {
    header: String,
    literal: Option<Literal>,
}

impl Translator {
    fn condition(&mut self, expr: &Expr) -> Result<Condition, &'static str> {
        Ok(match expr {
            Expr::Not(inner) => not(self.condition(inner)?),
            Expr::Logic(logic, left, right) => {
                let (left, right) = (self.condition(left)?, self.condition(right)?);
                match logic {
                    Logic::And => all([left, right]),
                    Logic::Or => any([left, right]),
                    Logic::Xor => any([all([left.clone(), not(right.clone())]), all([not(left), right])]),
                }
            }
            Expr::Compare(comparison, left, right) => {
                let subject = self.subject(left)?;
                let Expr::Literal(literal) = &**right else { return Err(beyond(right)) };
                subject.compare(*comparison, literal)?
            }
            Expr::Like(left, pattern) => self.subject(left)?.test(predicate::Test::Wildcard(wildcard(pattern)?)),
            Expr::In(left, items) => {
                let subject = self.subject(left)?;
                let literal = |item: &Expr| match item {
                    Expr::Literal(literal) => Ok(literal.clone()),
                    other => Err(beyond(other)),
                };
                subject.is_in(items.iter().map(literal).collect::<Result<_, _>>()?)?
            }
            Expr::Exists(name) => test(Predicate {
                attribute: header(name),
                test: Some(predicate::Test::Exists(true)),
                ..Predicate::default()
            }),
            Expr::Literal(_) | Expr::Attribute(_) => self.subject(expr)?.truth()?,
            Expr::Arithmetic | Expr::Call => return Err(beyond(expr)),
        })
    }

    fn subject(&mut self, expr: &Expr) -> Result<Subject, &'static str> {
        match expr {
            Expr::Attribute(name) => Ok(Subject { header: name.clone(), literal: None }),
            Expr::Literal(literal) => {
                let header = format!("lifted{}", self.lifted.len());
                self.lifted.push((header.clone(), literal.clone()));
                Ok(Subject { header, literal: Some(literal.clone()) })
            }
            other => Err(beyond(other)),
        }
    }
}

/// Why an expression can't be a condition, or can't stand where only a value can.
fn beyond(expr: &Expr) -> &'static str {
    match expr {
        Expr::Arithmetic => "arithmetic",
        Expr::Call => "a function",
        Expr::Literal(_) | Expr::Attribute(_) => "a test against an attribute",
        _ => "a test of a truth",
    }
}

impl Subject {
    /// A test of the attribute as text.
    fn test(&self, test: predicate::Test) -> Condition {
        self.predicate(Predicate { test: Some(test), ..Predicate::default() })
    }

    /// A test of the attribute as number.
    fn number(&self, test: predicate::Test) -> Result<Condition, &'static str> {
        if let Some(Literal::Boolean(_)) = self.literal {
            return Err("a boolean that is cast to an integer");
        }
        Ok(self.predicate(Predicate { test: Some(test), text_as_number: true, ..Predicate::default() }))
    }

    fn predicate(&self, predicate: Predicate) -> Condition {
        test(Predicate {
            attribute: header(&self.header),
            on_missing: OnMissing::Absent.into(),
            on_other_type: OnOtherType::Absent.into(),
            ..predicate
        })
    }

    /// The attribute as boolean: `true` and `false` in any case; other texts can't be cast.
    fn truth(&self) -> Result<Condition, &'static str> {
        if let Some(Literal::Integer(_)) = self.literal {
            return Err("an integer that is cast to a boolean");
        }
        let is = |text: &str| {
            let test = Some(predicate::Test::Equals(of_text(text)));
            self.predicate(Predicate { test, ignore_case: true, ..Predicate::default() })
        };
        // Of another type than any text.
        let neither = self.test(predicate::Test::Equals(of_number(0)));
        Ok(any([is("true"), all([not(is("false")), neither])]))
    }

    /// Only integers have an order.
    fn compare(&self, comparison: Comparison, literal: &Literal) -> Result<Condition, &'static str> {
        let bound = || as_integer(literal).map(of_number);
        let (lower, upper) = match comparison {
            Comparison::Equal => return self.equals(literal),
            Comparison::Above => (Some(range::Lower::Above(bound()?)), None),
            Comparison::AtLeast => (Some(range::Lower::AtLeast(bound()?)), None),
            Comparison::Below => (None, Some(range::Upper::Below(bound()?))),
            Comparison::AtMost => (None, Some(range::Upper::AtMost(bound()?))),
        };
        self.number(predicate::Test::Range(Range { lower, upper }))
    }

    /// It is the literal, on the right, that says which type it is about.
    fn equals(&self, literal: &Literal) -> Result<Condition, &'static str> {
        match literal {
            Literal::Text(text) => Ok(self.test(predicate::Test::Equals(of_text(text)))),
            Literal::Integer(number) => self.number(predicate::Test::Equals(of_number(*number))),
            Literal::Boolean(true) => self.truth(),
            Literal::Boolean(false) => self.truth().map(not),
        }
    }

    /// Here it is the left side that says which type it is about.
    fn is_in(&self, items: Vec<Literal>) -> Result<Condition, &'static str> {
        let set = |values: Vec<v1::Literal>| predicate::Test::In(Literals { values });
        match &self.literal {
            None | Some(Literal::Text(_)) => {
                Ok(self.test(set(items.iter().map(|item| of_text(&spelled(item))).collect())))
            }
            Some(Literal::Integer(_)) => {
                let numbers = items.iter().map(|item| as_integer(item).map(of_number));
                self.number(set(numbers.collect::<Result<_, _>>()?))
            }
            Some(Literal::Boolean(_)) => {
                let truths = items.iter().map(|item| self.equals(&Literal::Boolean(as_boolean(item)?)));
                Ok(any(truths.collect::<Result<Vec<_>, _>>()?))
            }
        }
    }
}

const FAILS: &str = "a literal whose cast fails, always";

fn as_integer(literal: &Literal) -> Result<i64, &'static str> {
    match literal {
        Literal::Integer(number) => Ok(*number),
        Literal::Text(text) => text.parse().map_err(|_| FAILS),
        Literal::Boolean(value) => Ok((*value).into()),
    }
}

fn as_boolean(literal: &Literal) -> Result<bool, &'static str> {
    match literal {
        Literal::Boolean(value) => Ok(*value),
        Literal::Text(text) => text.to_ascii_lowercase().parse().map_err(|_| FAILS),
        Literal::Integer(number) => Ok(*number != 0),
    }
}

/// A shape of LIKE: a backslash makes `%` and `_` themselves, and is itself before all others.
fn wildcard(pattern: &str) -> Result<String, &'static str> {
    let mut shape = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '%' => shape.push('*'),
            '_' => return Err("`_`, any one character"),
            '\\' => match chars.next_if(|next| matches!(next, '%' | '_')) {
                Some(escaped) => shape.push(escaped),
                None => shape.push_str("\\\\"),
            },
            '*' => shape.push_str("\\*"),
            other => shape.push(other),
        }
    }
    Ok(shape)
}

fn header(name: &str) -> Option<predicate::Attribute> {
    Some(predicate::Attribute::Header(format!("ce_{name}")))
}

fn of_text(text: &str) -> v1::Literal {
    v1::Literal { kind: Some(literal::Kind::Text(text.to_owned())) }
}

fn of_number(number: i64) -> v1::Literal {
    v1::Literal { kind: Some(literal::Kind::Number(number.to_string())) }
}

fn test(predicate: Predicate) -> Condition {
    Condition { kind: Some(condition::Kind::Predicate(predicate)) }
}

fn not(inner: Condition) -> Condition {
    Condition { kind: Some(condition::Kind::Not(Box::new(inner))) }
}

fn all(conditions: impl Into<Vec<Condition>>) -> Condition {
    Condition { kind: Some(condition::Kind::All(Conditions { conditions: conditions.into() })) }
}

fn any(conditions: impl Into<Vec<Condition>>) -> Condition {
    Condition { kind: Some(condition::Kind::Any(Conditions { conditions: conditions.into() })) }
}
