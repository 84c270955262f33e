//! Words into a tree, by the grammar of CEL. What the tree may mean is asked later, so that all of CEL can be read and what
//! conditions can't say is refused by what it is, not by its spelling.

use super::error::{ReasonKind, Reasons};
use super::lex::{Lexeme, Token, lexemes};
use crate::limits;
use std::ops::Range;

/// A part of the text that has a value.
#[derive(Debug)]
pub(super) struct Expr {
    pub(super) kind: ExprKind,
    pub(super) span: Range<usize>,
    /// How many expressions stand within each other here; what bounds the recursion of all who read the tree.
    height: u64,
}

#[derive(Debug)]
pub(super) enum ExprKind {
    Null,
    Bool(bool),
    Whole(i128),
    /// As JSON writes it.
    Double(String),
    Text(String),
    Bytes,
    /// `name`, or `.name`, which no variable hides.
    Name {
        name: String,
        outermost: bool,
    },
    /// `a.name`, and where the name stands.
    Select(Box<Expr>, String, Range<usize>),
    Index(Box<Expr>, Box<Expr>),
    Call {
        receiver: Option<Box<Expr>>,
        name: String,
        name_span: Range<usize>,
        arguments: Vec<Expr>,
    },
    List(Vec<Expr>),
    /// A map or a message; nothing in a condition could use either.
    Construction,
    Not(Box<Expr>),
    Minus(Box<Expr>),
    /// Two or more parts that `&&` or `||` joins.
    Logic(Logic, Vec<Expr>),
    Relation(Relation, Box<Expr>, Box<Expr>),
    Arithmetic(&'static str, Box<Expr>, Box<Expr>),
    Ternary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logic {
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Unequal,
    Below,
    AtMost,
    Above,
    AtLeast,
    In,
}

/// The tree of the whole text; `None` when it was refused.
pub(super) fn parse(reasons: &mut Reasons<'_>) -> Option<Expr> {
    let lexemes = lexemes(reasons);
    if !reasons.is_empty() {
        return None;
    }
    let mut parser = Parser { lexemes, at: 0, depth: 0, reasons };
    let expr = parser.expr()?;
    match parser.token() {
        Token::End => Some(expr),
        _ => parser.unexpected("an operator, or the end"),
    }
}

struct Parser<'r, 't> {
    lexemes: Vec<Lexeme>,
    at: usize,
    /// How many calls of `expr` and `unary` stand within each other.
    depth: u64,
    reasons: &'r mut Reasons<'t>,
}

/// The first mistake ends the reading: what follows it would be guesses. So parts are `None` once one was refused.
impl Parser<'_, '_> {
    fn token(&self) -> &Token {
        self.lexemes.get(self.at).map_or(&Token::End, |lexeme| &lexeme.token)
    }

    fn span(&self) -> Range<usize> {
        self.lexemes.get(self.at).or(self.lexemes.last()).map_or(0..0, |lexeme| lexeme.span.clone())
    }

    fn name(&self) -> &str {
        self.reasons.text().get(self.span()).unwrap_or_default()
    }

    /// The lexeme, which is taken.
    fn take(&mut self) -> (Token, Range<usize>) {
        let taken = (self.token().clone(), self.span());
        self.at = (self.at + 1).min(self.lexemes.len());
        taken
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.token(), Token::Sign(found) if *found == sign)
    }

    /// Whether the sign stands before the lexeme.
    fn is_after(&self, sign: &str) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.lexemes.get(at));
        before.is_some_and(|lexeme| matches!(lexeme.token, Token::Sign(found) if found == sign))
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, sign: &str) -> Option<Range<usize>> {
        let span = self.span();
        if self.eat(sign) { Some(span) } else { self.unexpected(&format!("`{sign}`")) }
    }

    fn unexpected<T>(&mut self, expected: &str) -> Option<T> {
        let span = self.span();
        let found = match self.token() {
            Token::End => "the text ends".to_owned(),
            _ => format!("here stands `{}`", self.reasons.quoted(&span)),
        };
        let help = match (self.token(), self.name()) {
            (Token::Name, "and" | "AND") => "write `&&`".to_owned(),
            (Token::Name, "or" | "OR") => "write `||`".to_owned(),
            (Token::Name, "not" | "NOT") => "write `!`, or `!(a in b)`".to_owned(),
            (Token::Name, "like" | "LIKE") => "write `wildcard(field, 'text*')`".to_owned(),
            (Token::Name, "is" | "IS") => "write `==`".to_owned(),
            (Token::Name, "eq" | "ne" | "lt" | "le" | "gt" | "ge") => {
                "write `==`, `!=`, `<`, `<=`, `>` or `>=`".to_owned()
            }
            (Token::Sign("="), _) => "write `==`".to_owned(),
            (Token::Sign(">"), _) if self.is_after("<") => "write `!=` for other than".to_owned(),
            (Token::Sign(sign @ ("<" | ">")), _) if self.is_after(sign) => {
                format!("write `{sign}` to compare; conditions don't shift bits")
            }
            _ => format!("{expected} is needed"),
        };
        self.reasons.refuse(ReasonKind::Syntax, &span, format!("{found} where {expected} is needed"), help);
        None
    }

    fn too_deep<T>(&mut self, span: &Range<usize>) -> Option<T> {
        let limit = &limits::CEL_DEPTH;
        let message = format!("this is nested beyond the limit `{}` of {}", limit.name, limit.max);
        self.reasons.refuse(ReasonKind::Limit, span, message, "take parentheses away, or make several routes of one");
        None
    }

    fn node(&mut self, kind: ExprKind, span: Range<usize>, within: u64) -> Option<Expr> {
        let height = within + 1;
        if height > limits::CEL_DEPTH.max { self.too_deep(&span) } else { Some(Expr { kind, span, height }) }
    }

    /// Runs a part of the grammar that can hold itself.
    fn nested(&mut self, part: fn(&mut Self) -> Option<Expr>) -> Option<Expr> {
        if self.depth == limits::CEL_DEPTH.max {
            let span = self.span();
            return self.too_deep(&span);
        }
        self.depth += 1;
        let expr = part(self);
        self.depth -= 1;
        expr
    }

    fn expr(&mut self) -> Option<Expr> {
        self.nested(|this| {
            let condition = this.binary(1)?;
            if !this.eat("?") {
                return Some(condition);
            }
            let yes = this.binary(1)?;
            this.expect(":")?;
            let no = this.expr()?;
            let within = condition.height.max(yes.height).max(no.height);
            this.node(ExprKind::Ternary, condition.span.start..no.span.end, within)
        })
    }

    /// The operator that stands here, and how tightly it binds.
    fn operator(&self) -> Option<(Operator, u8)> {
        let found = match self.token() {
            Token::Sign(sign) => match *sign {
                "||" => (Operator::Logic(Logic::Or), 1),
                "&&" => (Operator::Logic(Logic::And), 2),
                "==" => (Operator::Relation(Relation::Equal), 3),
                "!=" => (Operator::Relation(Relation::Unequal), 3),
                "<" => (Operator::Relation(Relation::Below), 3),
                "<=" => (Operator::Relation(Relation::AtMost), 3),
                ">" => (Operator::Relation(Relation::Above), 3),
                ">=" => (Operator::Relation(Relation::AtLeast), 3),
                "+" | "-" => (Operator::Arithmetic(sign), 4),
                "*" | "/" | "%" => (Operator::Arithmetic(sign), 5),
                _ => return None,
            },
            Token::Name if self.name() == "in" => (Operator::Relation(Relation::In), 3),
            _ => return None,
        };
        Some(found)
    }

    /// Operands joined by operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Option<Expr> {
        let mut left = self.unary()?;
        while let Some((operator, strength)) = self.operator()
            && strength >= least
        {
            self.at += 1;
            let right = self.binary(strength + 1)?;
            let span = left.span.start..right.span.end;
            let within = left.height.max(right.height);
            let kind = match operator {
                Operator::Logic(logic) => {
                    // A chain of a thousand parts is one node, however long it is.
                    let (mut parts, mut within) = (vec![left, right], within);
                    while self.operator() == Some((operator, strength)) {
                        self.at += 1;
                        let part = self.binary(strength + 1)?;
                        within = within.max(part.height);
                        parts.push(part);
                    }
                    let end = parts.last().map_or(span.end, |part| part.span.end);
                    left = self.node(ExprKind::Logic(logic, parts), span.start..end, within)?;
                    continue;
                }
                Operator::Relation(relation) => ExprKind::Relation(relation, Box::new(left), Box::new(right)),
                Operator::Arithmetic(sign) => ExprKind::Arithmetic(sign, Box::new(left), Box::new(right)),
            };
            left = self.node(kind, span, within)?;
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Expr> {
        let begin = self.span().start;
        if self.eat("!") {
            let operand = self.nested(Self::unary)?;
            let (span, within) = (begin..operand.span.end, operand.height);
            return self.node(ExprKind::Not(Box::new(operand)), span, within);
        }
        if self.eat("-") {
            if let Token::Whole(value, unsigned) = *self.token() {
                return self.whole(begin, -value, unsigned).and_then(|number| self.members(number));
            }
            let operand = self.nested(Self::unary)?;
            let (span, within) = (begin..operand.span.end, operand.height);
            return self.node(ExprKind::Minus(Box::new(operand)), span, within);
        }
        let primary = self.primary()?;
        self.members(primary)
    }

    fn whole(&mut self, begin: usize, value: i128, unsigned: bool) -> Option<Expr> {
        let (_, span) = self.take();
        let span = begin..span.end;
        let in_range = if unsigned { value >= 0 } else { i64::try_from(value).is_ok() };
        if !in_range {
            let (message, help) = match unsigned {
                true => ("a number with `u` has no sign", "leave the `u` or the `-` out"),
                false => ("this number is beyond 64 bits with a sign", "write `u` after it, or a fraction: `.0`"),
            };
            self.reasons.refuse(ReasonKind::Syntax, &span, message, help);
            return None;
        }
        self.node(ExprKind::Whole(value), span, 0)
    }

    /// What stands after a value: `.name`, `.name(...)`, `[...]`, `{...}`.
    fn members(&mut self, mut of: Expr) -> Option<Expr> {
        loop {
            let begin = of.span.start;
            if self.eat(".") {
                let (name, name_span) = self.selector()?;
                if self.is("(") {
                    let (arguments, end) = self.arguments("(", ")")?;
                    let within = arguments.iter().map(|argument| argument.height).max().unwrap_or(0).max(of.height);
                    let receiver = Some(Box::new(of));
                    let kind = ExprKind::Call { receiver, name, name_span, arguments };
                    of = self.node(kind, begin..end, within)?;
                } else {
                    let (span, within) = (begin..name_span.end, of.height);
                    of = self.node(ExprKind::Select(Box::new(of), name, name_span), span, within)?;
                }
            } else if self.eat("[") {
                let index = self.expr()?;
                let end = self.expect("]")?.end;
                let within = of.height.max(index.height);
                of = self.node(ExprKind::Index(Box::new(of), Box::new(index)), begin..end, within)?;
            } else if self.is("{") && matches!(of.kind, ExprKind::Name { .. } | ExprKind::Select(..)) {
                let end = self.construction()?;
                of = self.node(ExprKind::Construction, begin..end, of.height)?;
            } else {
                return Some(of);
            }
        }
    }

    fn selector(&mut self) -> Option<(String, Range<usize>)> {
        let known = match self.token() {
            Token::Quoted(name) => Some(name.clone()),
            Token::Name if !matches!(self.name(), "true" | "false" | "null" | "in") => Some(self.name().to_owned()),
            _ => None,
        };
        match known {
            Some(name) => Some((name, self.take().1)),
            None => self.unexpected("the name of a field"),
        }
    }

    fn primary(&mut self) -> Option<Expr> {
        let span = self.span();
        let kind = match self.token().clone() {
            Token::Whole(value, unsigned) => return self.whole(span.start, value, unsigned),
            Token::Double(number) => ExprKind::Double(number),
            Token::Text(text) => ExprKind::Text(text),
            Token::Bytes => ExprKind::Bytes,
            Token::Name => return self.named(false),
            Token::Sign(".") => {
                self.at += 1;
                return if *self.token() == Token::Name { self.named(true) } else { self.unexpected("a name") };
            }
            Token::Sign("(") => {
                self.at += 1;
                let mut inner = self.expr()?;
                inner.span = span.start..self.expect(")")?.end;
                return Some(inner);
            }
            Token::Sign("[") => {
                let (elements, end) = self.arguments("[", "]")?;
                let within = elements.iter().map(|element| element.height).max().unwrap_or(0);
                return self.node(ExprKind::List(elements), span.start..end, within);
            }
            Token::Sign("{") => {
                let end = self.construction()?;
                return self.node(ExprKind::Construction, span.start..end, 0);
            }
            _ => return self.unexpected("a value"),
        };
        self.at += 1;
        self.node(kind, span, 0)
    }

    fn named(&mut self, outermost: bool) -> Option<Expr> {
        let (name, span) = (self.name().to_owned(), self.span());
        let kind = match name.as_str() {
            "true" | "false" if !outermost => ExprKind::Bool(name == "true"),
            "null" if !outermost => ExprKind::Null,
            "true" | "false" | "null" | "in" => return self.unexpected("a value"),
            "as" | "break" | "const" | "continue" | "else" | "for" | "function" | "if" | "import" | "let" | "loop"
            | "package" | "namespace" | "return" | "var" | "void" | "while" => {
                let help = format!("write a field of the payload as `payload.{name}`");
                self.reasons.refuse(ReasonKind::Syntax, &span, format!("`{name}` is reserved in CEL"), help);
                return None;
            }
            _ => {
                self.at += 1;
                if !self.is("(") {
                    return self.node(ExprKind::Name { name, outermost }, span, 0);
                }
                let (arguments, end) = self.arguments("(", ")")?;
                let within = arguments.iter().map(|argument| argument.height).max().unwrap_or(0);
                let kind = ExprKind::Call { receiver: None, name, name_span: span.clone(), arguments };
                return self.node(kind, span.start..end, within);
            }
        };
        self.at += 1;
        self.node(kind, span, 0)
    }

    /// Expressions between brackets, and where these end. A list may have a comma after its last element.
    fn arguments(&mut self, open: &str, close: &str) -> Option<(Vec<Expr>, usize)> {
        self.expect(open)?;
        let mut arguments = Vec::new();
        while !self.is(close) {
            arguments.push(self.expr()?);
            if !self.eat(",") {
                break;
            }
            if close == ")" && self.is(close) {
                return self.unexpected("an argument");
            }
        }
        let end = self.expect(close)?.end;
        Some((arguments, end))
    }

    /// Steps over `{...}`, whose parts no condition can use, and says where it ends.
    fn construction(&mut self) -> Option<usize> {
        self.expect("{")?;
        while !self.is("}") {
            self.expr()?;
            self.expect(":")?;
            self.expr()?;
            if !self.eat(",") {
                break;
            }
        }
        Some(self.expect("}")?.end)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Logic(Logic),
    Relation(Relation),
    Arithmetic(&'static str),
}
