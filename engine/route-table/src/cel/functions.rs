//! Functions: those that a condition has a test for, and what to write for those that it hasn't.

use super::constant::Constant;
use super::error::ReasonKind;
use super::meaning::{Meaning, Place, Root, Truth, Value};
use super::predicates::{any_element, exists, innermost, not, test};
use super::scope::FieldType;
use super::syntax::{Expr, ExprKind};
use super::timestamp::Timestamp;
use std::net::IpAddr;
use std::ops::Range;
use veltrix_proto::v1::{Cidrs, Condition, OnOtherType, Predicate, condition, predicate};

/// `name(...)`.
const FUNCTIONS: [&str; 12] = [
    "has",
    "int",
    "uint",
    "double",
    "timestamp",
    "ip_in",
    "wildcard",
    "equals_ignore_case",
    "starts_with_ignore_case",
    "ends_with_ignore_case",
    "contains_ignore_case",
    "share",
];
/// `field.name(...)`.
const METHODS: [&str; 5] = ["startsWith", "endsWith", "contains", "exists", "all"];

/// What to write for functions that CEL has and conditions haven't.
fn instead(name: &str) -> Option<&'static str> {
    Some(match name {
        "matches" => "write `wildcard(field, 'a*b')`, `.startsWith('a')`, `.endsWith('b')` or `.contains('c')`",
        "size" => "to ask whether a list has an element, write `list.exists(x, true)`; for a text `field != ''`",
        "lowerAscii" | "upperAscii" | "lower" | "upper" | "toLowerCase" | "toUpperCase" => {
            "write `equals_ignore_case(field, 'text')`; letters of all languages count"
        }
        "map" | "filter" => "write `list.exists(x, ...)` with all that shall be true of one element",
        "exists_one" | "existsOne" => "elements can't be counted; write `list.exists(x, ...)` for at least one",
        "duration" | "now" | "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek"
        | "getDayOfYear" | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" => {
            "compare points in time: `timestamp >= timestamp('2026-01-01T00:00:00Z')`"
        }
        "type" => "a comparison says it: one with a text is true of texts only",
        "dyn" => "leave it out: fields of the payload can be of any type",
        "string" | "bytes" | "bool" => "compare the field as it is: texts with texts, true with true",
        "cidr" | "cidrMatch" | "ip" | "isIP" => "write `ip_in(field, '10.0.0.0/8')`",
        "optMap" | "orValue" | "or" | "hasValue" | "optional" => "write `has(field) && ...`",
        "indexOf" | "find" => "write `.contains('text')`",
        "hash" | "percent" | "percentage" | "rand" | "random" | "sample" => {
            "write `share(key, 'new-flow', 0, 1000)` for 10 %, always the same ones"
        }
        "trim" | "replace" | "split" | "substring" | "charAt" | "format" | "join" | "reverse" => {
            "texts are compared as they are; write `wildcard(field, '*text*')` for a part"
        }
        _ => return None,
    })
}

/// A test of a text, whichever way it is asked for.
type TextTest = fn(String) -> predicate::Test;

fn equals(text: String) -> predicate::Test {
    predicate::Test::Equals(Constant::Text(text).literal())
}

impl Meaning<'_, '_, '_> {
    pub(super) fn function(&mut self, name: &str, name_span: &Range<usize>, arguments: &[Expr], call: &Expr) -> Value {
        let (text_test, ignore_case): (TextTest, bool) = match name {
            "has" => return self.has(arguments, call),
            "int" | "uint" | "double" => return self.number(name, arguments, call),
            "timestamp" => return self.timestamp(arguments, call),
            "ip_in" => return self.ip_in(arguments, call),
            "share" => return self.share(arguments, call),
            "wildcard" => (predicate::Test::Wildcard, false),
            "equals_ignore_case" => (equals, true),
            "starts_with_ignore_case" => (predicate::Test::Prefix, true),
            "ends_with_ignore_case" => (predicate::Test::Suffix, true),
            "contains_ignore_case" => (predicate::Test::Contains, true),
            _ => return self.unknown_function(name, name_span, &FUNCTIONS, &METHODS),
        };
        let [field, text] = arguments else {
            let help = format!("write `{name}(field, 'text')`");
            return self.refuse(ReasonKind::Syntax, &call.span, format!("`{name}` takes a field and a text"), help);
        };
        if let ExprKind::Text(pattern) = &text.kind
            && name == "wildcard"
            && !escapes_are_whole(pattern)
        {
            let help = r"write `\\*` for a star and `\\\\` for a backslash, or r'\*' and r'\\' in a raw text";
            let message = "a backslash stands before a star or a backslash here";
            return self.refuse(ReasonKind::Syntax, &text.span, message, help);
        }
        self.text_test(field, text, name, text_test, ignore_case)
    }

    pub(super) fn method(
        &mut self,
        receiver: &Expr,
        name: &str,
        name_span: &Range<usize>,
        arguments: &[Expr],
        call: &Expr,
    ) -> Value {
        let text_test: TextTest = match name {
            "exists" | "all" => return self.exists_or_all(receiver, name == "all", arguments, call),
            "startsWith" => predicate::Test::Prefix,
            "endsWith" => predicate::Test::Suffix,
            "contains" => predicate::Test::Contains,
            _ => return self.unknown_function(name, name_span, &METHODS, &FUNCTIONS),
        };
        match arguments {
            [text] => self.text_test(receiver, text, name, text_test, false),
            _ => {
                let help = format!("write `{}.{name}('text')`", self.quoted(receiver));
                self.refuse(ReasonKind::Syntax, &call.span, format!("`{name}` takes one text"), help)
            }
        }
    }

    fn unknown_function(&mut self, name: &str, span: &Range<usize>, right: &[&str], wrong: &[&str]) -> Value {
        let shown = super::error::quoted(name);
        if let Some(help) = instead(name) {
            return self.refuse(ReasonKind::Unsupported, span, format!("conditions have no `{shown}`"), help);
        }
        let help = match self.nearest(name, right.iter().chain(wrong).copied()) {
            Some(known) if METHODS.contains(&known) => format!("write `field.{known}(...)`"),
            Some(known) => format!("write `{known}(...)`"),
            None => {
                format!("known are {} and {}", FUNCTIONS.join(", "), METHODS.map(|name| format!(".{name}")).join(", "))
            }
        };
        self.refuse(ReasonKind::Unknown, span, format!("there is no function `{shown}`"), help)
    }

    fn has(&mut self, arguments: &[Expr], call: &Expr) -> Value {
        let [field] = arguments else {
            return self.refuse(ReasonKind::Syntax, &call.span, "`has` takes one field", "write `has(payload.name)`");
        };
        match self.value(field) {
            Value::Refused => Value::Refused,
            // A bare name is one only where the message's fields have bare names.
            Value::Place(place)
                if !place.names.is_empty() || matches!(field.kind, ExprKind::Select(..) | ExprKind::Index(..)) =>
            {
                match self.attribute(&place, field) {
                    Some(attribute) => Value::Condition(exists(Some(attribute), true)),
                    None => Value::Refused,
                }
            }
            Value::Place(Place { root: Root::Part(_), .. }) => {
                let help = format!("write `has(event.{})`", self.quoted(field));
                self.refuse(ReasonKind::Syntax, &field.span, "`has` asks for a field of something", help)
            }
            _ => {
                let help = "write `has(payload.name)`, `has(headers.name)` or `has(event.tenant)`";
                self.refuse(ReasonKind::Syntax, &field.span, "`has` asks for a field of something", help)
            }
        }
    }

    /// `int(place)`: a text as a number.
    fn number(&mut self, function: &str, arguments: &[Expr], call: &Expr) -> Value {
        let [field] = arguments else {
            let help = format!("write `{function}(headers.name)`");
            return self.refuse(ReasonKind::Syntax, &call.span, format!("`{function}` takes one value"), help);
        };
        let name = self.quoted(field);
        let (kind, message, help) = match self.value(field) {
            Value::Refused => return Value::Refused,
            Value::Place(place) => match &place.kind {
                // What becomes of 5.5 would be another number, and 'whole number' is no test that there is.
                FieldType::Any if function != "double" && !place.names.is_empty() => (
                    ReasonKind::Unsupported,
                    format!("`{function}` would cut fractions off; conditions only compare"),
                    format!("write `double({name})`, or `{name}` if it is a number already"),
                ),
                FieldType::Any | FieldType::String => return Value::Number(place),
                FieldType::Int | FieldType::Uint | FieldType::Double => {
                    (ReasonKind::Type, format!("`{name}` is a number already"), format!("write `{name}`"))
                }
                FieldType::Timestamp => (
                    ReasonKind::Unsupported,
                    "times are no numbers here".to_owned(),
                    format!("write `{name} > timestamp('2026-01-01T00:00:00Z')`"),
                ),
                kind => (
                    ReasonKind::Type,
                    format!("`{name}` is {}, which is no number", super::predicates::what(kind)),
                    format!("leave `{function}` out"),
                ),
            },
            Value::Constant(_) => (
                ReasonKind::Unsupported,
                "conditions convert no values that stand in the text".to_owned(),
                "write the number itself".to_owned(),
            ),
            _ => (
                ReasonKind::Type,
                format!("`{name}` is no text that could be read as a number"),
                format!("write `{function}(headers.name)`"),
            ),
        };
        self.refuse(kind, &call.span, message, help)
    }

    fn timestamp(&mut self, arguments: &[Expr], call: &Expr) -> Value {
        let time = match arguments {
            [Expr { kind: ExprKind::Text(text), .. }] => Timestamp::parse(text),
            [Expr { kind: ExprKind::Whole(seconds), .. }] => Timestamp::from_seconds(*seconds),
            _ => {
                let help = "write `timestamp('2026-01-01T00:00:00Z')`; the time of the record is `timestamp`";
                let message = "`timestamp` takes a time as text, or the seconds since 1970";
                return self.refuse(ReasonKind::Unsupported, &call.span, message, help);
            }
        };
        match time {
            Some(time) => Value::Constant(Constant::Time(time)),
            None => {
                let help = "write `timestamp('2026-01-31T23:59:59.5+01:00')`, of the years 1 to 9999";
                self.refuse(ReasonKind::Type, &call.span, "this is no time", help)
            }
        }
    }

    fn ip_in(&mut self, arguments: &[Expr], call: &Expr) -> Value {
        let [field, blocks @ ..] = arguments else {
            let help = "write `ip_in(payload.ip, '10.0.0.0/8')`";
            return self.refuse(ReasonKind::Syntax, &call.span, "`ip_in` takes a field and blocks of addresses", help);
        };
        let place = self.text_place(field, "ip_in");
        let mut texts = Vec::with_capacity(blocks.len());
        for block in blocks {
            match &block.kind {
                ExprKind::Text(text) if is_block(text) => texts.push(text.clone()),
                _ => {
                    let message = format!("`{}` is no block of addresses", self.quoted(block));
                    let help = "write one as '10.0.0.0/8', '2001:db8::/32' or '192.0.2.1'";
                    self.refuse(ReasonKind::Type, &block.span, message, help);
                }
            }
        }
        if blocks.is_empty() {
            let help = "write `ip_in(payload.ip, '10.0.0.0/8')`";
            self.refuse(ReasonKind::Syntax, &call.span, "no address is in no block", help);
        }
        match place {
            Some(TextPlace::Attribute(attribute)) if texts.len() == blocks.len() && !texts.is_empty() => {
                let cidr = predicate::Test::Cidr(Cidrs { blocks: texts });
                Value::Condition(of(test(Some(attribute), cidr, OnOtherType::Absent)))
            }
            Some(TextPlace::Constant(_)) => self.needs_field(field, "ip_in"),
            _ => Value::Refused,
        }
    }

    fn text_test(&mut self, field: &Expr, text: &Expr, name: &str, build: TextTest, ignore_case: bool) -> Value {
        let place = self.text_place(field, name);
        let span = &text.span;
        let text = match self.value(text) {
            Value::Refused => return Value::Refused,
            Value::Constant(Constant::Text(found)) => found,
            _ => {
                let message = format!("`{name}` compares with a text that stands here");
                return self.refuse(ReasonKind::Type, span, message, "write a text between quotes");
            }
        };
        match place {
            None => Value::Refused,
            Some(TextPlace::Constant(whole)) => match name {
                "startsWith" => Value::Constant(Constant::Bool(whole.starts_with(&text))),
                "endsWith" => Value::Constant(Constant::Bool(whole.ends_with(&text))),
                "contains" => Value::Constant(Constant::Bool(whole.contains(&text))),
                _ => self.needs_field(field, name),
            },
            Some(TextPlace::Attribute(_)) if text.is_empty() && name != "equals_ignore_case" => {
                let (field, message) = (self.quoted(field), format!("`{name}` needs a text that is not empty"));
                let help = format!("write `{field} == ''` for an empty text, or `has({field})` for any value");
                self.refuse(ReasonKind::Unsupported, span, message, help)
            }
            Some(TextPlace::Attribute(attribute)) => {
                let predicate = test(Some(attribute), build(text), OnOtherType::Absent);
                Value::Condition(of(Predicate { ignore_case, ..predicate }))
            }
        }
    }

    fn needs_field(&mut self, field: &Expr, name: &str) -> Value {
        let message = format!("`{name}` tests a field, and this is a text that stands here");
        self.refuse(ReasonKind::Type, &field.span, message, format!("write `{name}(payload.name, ...)`"))
    }

    /// What `function` is asked of; `None` when it was refused.
    fn text_place(&mut self, field: &Expr, function: &str) -> Option<TextPlace> {
        let is = match self.value(field) {
            Value::Refused => return None,
            Value::Constant(Constant::Text(text)) => return Some(TextPlace::Constant(text)),
            Value::Constant(constant) => constant.what(),
            Value::Place(place) => match &place.kind {
                FieldType::Any | FieldType::String => return self.attribute(&place, field).map(TextPlace::Attribute),
                // Headers are a map by themselves; what is meant is one of them.
                _ if place.root == Root::Headers => return self.attribute(&place, field).map(TextPlace::Attribute),
                FieldType::Repeated(_) => "a list",
                kind => super::predicates::what(kind),
            },
            Value::Number(_) => "a number",
            Value::Condition(_) => "a condition",
            Value::List(_) => "a list",
        };
        let name = self.quoted(field);
        let help = match is {
            "a list" => format!("write `'text' in {name}`, or `{name}.exists(x, ...)`"),
            "a number" => format!("compare it: `{name} > 5`"),
            "one of a few names" => format!("write `{name} in [...]` with the names that are meant"),
            _ => format!("`{function}` is about texts"),
        };
        self.refuse(ReasonKind::Type, &field.span, format!("`{name}` is {is}, and `{function}` is about texts"), help);
        None
    }

    /// `list.exists(x, condition)` and `list.all(x, condition)`. All are as there is none that is not, errors included: both
    /// are decided by one element, and else are errors if one is.
    fn exists_or_all(&mut self, list: &Expr, all: bool, arguments: &[Expr], call: &Expr) -> Value {
        let name = if all { "all" } else { "exists" };
        let [Expr { kind: ExprKind::Name { name: variable, outermost: false }, .. }, condition] = arguments else {
            let help = format!("write `{}.{name}(x, x == 'a')`", self.quoted(list));
            return self.refuse(ReasonKind::Syntax, &call.span, format!("`{name}` takes a name and a condition"), help);
        };
        let over = self.list_place(list, name);
        let kind = over.as_ref().map_or(FieldType::Any, |(_, element)| element.clone());
        let truth = self.with_variable(variable, kind, |this| this.truth(condition));
        let (Some((over, _)), Some(truth)) = (over, truth) else { return Value::Refused };
        let condition = match truth {
            // The element that is asked is there.
            Truth::Constant(value) => exists(innermost(), value != all),
            Truth::Condition(condition) if all => not(condition),
            Truth::Condition(condition) => condition,
        };
        let any = any_element(over, condition);
        Value::Condition(if all { not(any) } else { any })
    }

    fn list_place(&mut self, list: &Expr, name: &str) -> Option<(veltrix_proto::v1::any_element::Over, FieldType)> {
        let value = self.value(list);
        let quoted = self.quoted(list);
        let (is, help) = match value {
            Value::Refused => return None,
            Value::Place(place) => {
                let element = match (&place.root, &place.kind) {
                    (Root::Part(_) | Root::Header(_), _) => None,
                    (_, FieldType::Any) => Some(FieldType::Any),
                    (_, FieldType::Repeated(element)) => Some(FieldType::clone(element)),
                    _ => None,
                };
                match (element, &place.kind) {
                    (Some(element), _) => {
                        let attribute = self.attribute(&place, list)?;
                        return Some((self.over(attribute, list)?, element));
                    }
                    (None, FieldType::Map(_)) => {
                        ("a map", format!("keys can't be gone through; write `has({quoted}.key)`"))
                    }
                    (None, kind) => (super::predicates::what(kind), "lists are fields of the payload".to_owned()),
                }
            }
            Value::List(_) => ("a list that stands in the text", "write `payload.field in [...]`".to_owned()),
            _ => ("no list", "lists are fields of the payload".to_owned()),
        };
        self.refuse(
            ReasonKind::Type,
            &list.span,
            format!("`{quoted}` is {is}, and `{name}` is about lists of events"),
            help,
        );
        None
    }
}

enum TextPlace {
    Attribute(predicate::Attribute),
    Constant(String),
}

fn of(predicate: Predicate) -> Condition {
    Condition { kind: Some(condition::Kind::Predicate(predicate)) }
}

/// Whether every backslash stands before a star or another one.
fn escapes_are_whole(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && !matches!(characters.next(), Some('*' | '\\')) {
            return false;
        }
    }
    true
}

/// Whether a text is a block of addresses, or one address.
fn is_block(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| {
        bits.len() <= 3 && bits.chars().all(|c| c.is_ascii_digit()) && bits.parse().is_ok_and(|bits: u32| bits <= most)
    })
}
