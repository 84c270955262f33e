//! The items of a leaf's list: literals, and objects of one operator.

use super::error::Fault;
use super::json::{Field, Node, Value};
use super::number;
use super::wildcard::{BadShape, Shape, is_too_complex};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use veltrix_proto::v1::{
    Cidrs, Literal, Literals, Null, Range, ValueType, ValueTypes, literal, predicate::Test, range,
};

/// What a list wants of one path: a value that passes one of the checks, or one that is there, or that there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Leaf {
    /// A value must pass one of these.
    pub(super) checks: Vec<Check>,
    /// Any value will do.
    pub(super) present: bool,
    /// No value will do, too.
    pub(super) absent: bool,
}

/// A check of one value.
#[derive(Clone, Debug)]
pub(super) enum Check {
    Is(Operation),
    /// The value is none of these.
    AnythingBut(Vec<Operation>),
}

/// What a predicate says of a value.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) test: Test,
    pub(super) ignore_case: bool,
}

/// Names that no field within an `$or` may have, so that a list of operators is not taken for one.
pub(super) fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 24] = [
        "exactly",
        "equals-ignore-case",
        "prefix",
        "suffix",
        "anything-but",
        "exists",
        "wildcard",
        "numeric",
        "cidr",
        "=",
        "<",
        "<=",
        ">",
        ">=",
        "regex",
        "not-wildcard",
        "not-equals-ignore-case",
        "date-after",
        "date-on-or-after",
        "date-before",
        "date-on-or-before",
        "in-date-range",
        "ip-address-in-range",
        "ip-address-not-in-range",
    ];
    NAMES.contains(&name)
}

impl Leaf {
    /// Reads the list that begins at `at`.
    pub(super) fn read(at: usize, items: &[Node<'_>]) -> Result<Leaf, Fault> {
        if items.is_empty() {
            return Err(Fault::new(
                at,
                "Empty arrays are not allowed",
                "name a value that matches, or leave the field out",
            ));
        }
        let mut list = List { at, leaf: Leaf::default(), literals: Vec::new(), blocks: Vec::new(), shapes: Vec::new() };
        items.iter().try_for_each(|item| list.item(item))?;
        list.finish()
    }
}

/// A list that is being read: what one predicate can say of many items is gathered.
struct List {
    at: usize,
    leaf: Leaf,
    literals: Vec<Literal>,
    /// Of IP addresses.
    blocks: Vec<String>,
    /// Of the `wildcard`s, which are measured together.
    shapes: Vec<Shape>,
}

impl List {
    fn finish(mut self) -> Result<Leaf, Fault> {
        if is_too_complex(&self.shapes) {
            return Err(too_complex(self.at));
        }
        let mut gathered = Vec::new();
        if !self.literals.is_empty() {
            gathered.push(Check::Is(one_of(self.literals, false)));
        }
        if !self.blocks.is_empty() {
            gathered.push(Check::Is(Operation::new(Test::Cidr(Cidrs { blocks: self.blocks }))));
        }
        self.leaf.checks.splice(0..0, gathered);
        if self.leaf.present {
            // Whatever passes a check is there.
            self.leaf.checks.clear();
        }
        Ok(self.leaf)
    }

    fn item(&mut self, item: &Node<'_>) -> Result<(), Fault> {
        let kind = match &item.value {
            Value::Object(fields) => return self.operator(item.at, fields),
            Value::Array(_) => {
                let reason = "Match value must be String, number, true, false, or null";
                return Err(Fault::new(item.at, reason, "lists don't nest: write the values into one"));
            }
            Value::Text(text) => match text.parse::<Ipv6Addr>() {
                Ok(address) => {
                    self.blocks.push(address.to_string());
                    return Ok(());
                }
                Err(_) => literal::Kind::Text(text.as_ref().to_owned()),
            },
            Value::Number(number) => literal::Kind::Number((*number).to_owned()),
            Value::Boolean(value) => literal::Kind::Boolean(*value),
            Value::Null => literal::Kind::Null(Null {}),
        };
        self.literals.push(Literal { kind: Some(kind) });
        Ok(())
    }

    fn operator(&mut self, at: usize, fields: &[Field<'_>]) -> Result<(), Fault> {
        let help = "operators are prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, cidr and exists, in small letters";
        let Some((operator, more)) = fields.split_first() else {
            return Err(Fault::new(at, "Match expression name not found", help));
        };
        let node = &operator.node;
        match operator.name.as_ref() {
            "exactly" => self.literals.push(text_literal(text(node, "exact match pattern must be a string")?)),
            name @ ("prefix" | "suffix") => self.push(affix(name, node)?),
            "equals-ignore-case" => {
                let text = text(node, "equals-ignore-case match pattern must be a string")?;
                self.push(one_of(vec![text_literal(text)], true));
            }
            "wildcard" => {
                let text = text(node, "wildcard match pattern must be a string")?;
                self.shapes.push(shape(node.at, text)?);
                self.push(Operation::new(Test::Wildcard(text.to_owned())));
            }
            "anything-but" => self.leaf.checks.push(Check::AnythingBut(anything_but(node)?)),
            "numeric" => match numeric(node)? {
                Numeric::Equal(number) => self.literals.push(number),
                Numeric::Within(range) => self.push(Operation::new(Test::Range(range))),
            },
            // AWS words it like that.
            "cidr" => self.blocks.push(block(node.at, text(node, "prefix match pattern must be a string")?)?),
            "exists" => match node.value {
                Value::Boolean(true) => self.leaf.present = true,
                Value::Boolean(false) => self.leaf.absent = true,
                _ => {
                    let reason = "exists match pattern must be either true or false.";
                    return Err(Fault::new(node.at, reason, "write {\"exists\": true} or {\"exists\": false}"));
                }
            },
            name => return Err(Fault::new(operator.at, format!("Unrecognized match type {name}"), help)),
        }
        let reason = match operator.name.as_ref() {
            "anything-but" | "numeric" => "Too many elements in numeric expression",
            _ => "Only one key allowed in match expression",
        };
        only_one(more, reason)
    }

    fn push(&mut self, operation: Operation) {
        self.leaf.checks.push(Check::Is(operation));
    }
}

impl Operation {
    fn new(test: Test) -> Operation {
        Operation { test, ignore_case: false }
    }
}

fn too_complex(at: usize) -> Fault {
    let reason = "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character";
    Fault::new(at, reason, "give each wildcard a route of its own, or test a prefix or a suffix")
}

fn only_one(more: &[Field<'_>], reason: &str) -> Result<(), Fault> {
    let help = "write two operators as two items of the list: [{\"prefix\": \"a\"}, {\"suffix\": \"z\"}]";
    more.first().map_or(Ok(()), |field| Err(Fault::new(field.at, reason, help)))
}

fn text<'n>(node: &'n Node<'_>, reason: &str) -> Result<&'n str, Fault> {
    match &node.value {
        Value::Text(text) => Ok(text),
        _ => Err(Fault::new(node.at, reason, "write one text in double quotes")),
    }
}

fn text_literal(text: &str) -> Literal {
    Literal { kind: Some(literal::Kind::Text(text.to_owned())) }
}

/// Equal to one of these.
fn one_of(mut values: Vec<Literal>, ignore_case: bool) -> Operation {
    let test = match (values.pop(), values.is_empty()) {
        (Some(only), true) => Test::Equals(only),
        (last, _) => {
            values.extend(last);
            Test::In(Literals { values })
        }
    };
    Operation { test, ignore_case }
}

/// `prefix` and `suffix`, of a text or `{"equals-ignore-case": text}`.
fn affix(name: &str, node: &Node<'_>) -> Result<Operation, Fault> {
    let (letters, ignore_case) = match &node.value {
        Value::Object(fields) => {
            let help = "the one operator within is equals-ignore-case";
            let Some((operator, more)) = fields.split_first() else {
                let reason = if name == "prefix" {
                    "Prefix expression name not found"
                } else {
                    "Suffix expression name not found"
                };
                return Err(Fault::new(node.at, reason, help));
            };
            if operator.name != "equals-ignore-case" {
                let reason = format!("Unsupported {name} pattern: {}", operator.name);
                return Err(Fault::new(operator.at, reason, help));
            }
            let letters = text(&operator.node, "equals-ignore-case match pattern must be a string")?;
            only_one(more, "Only one key allowed in match expression")?;
            (letters, true)
        }
        _ => (text(node, &format!("{name} match pattern must be a string"))?, false),
    };
    Ok(match letters {
        // Every text begins and ends with it.
        "" => Operation::new(Test::Types(ValueTypes { types: vec![ValueType::Text.into()] })),
        letters => Operation { test: affix_test(name, letters), ignore_case },
    })
}

fn affix_test(name: &str, letters: &str) -> Test {
    if name == "prefix" { Test::Prefix(letters.to_owned()) } else { Test::Suffix(letters.to_owned()) }
}

fn shape(at: usize, text: &str) -> Result<Shape, Fault> {
    Shape::read(text).map_err(|(fault, byte)| match fault {
        BadShape::Stars => {
            let reason = format!("Consecutive wildcard characters at pos {}", byte + 1);
            Fault::new(at, reason, "one star is any run of letters; a star itself is \\\\*")
        }
        BadShape::Escape => {
            let reason = format!("Invalid escape character at pos {}", byte + 1);
            Fault::new(
                at,
                reason,
                "a backslash escapes a star or a backslash, and is itself escaped in JSON: \\\\* and \\\\\\\\",
            )
        }
    })
}

/// The values that are not wanted.
fn anything_but(node: &Node<'_>) -> Result<Vec<Operation>, Fault> {
    let Value::Object(fields) = &node.value else { return anything_but_literals(node) };
    let help =
        "anything-but is of a value, a list of values, or one of prefix, suffix, equals-ignore-case and wildcard";
    let Some((operator, more)) = fields.split_first() else {
        return Err(Fault::new(node.at, "Anything-But expression name not found", help));
    };
    let name = operator.name.as_ref();
    let reason = match name {
        "prefix" | "suffix" => "prefix/suffix match pattern must be a string",
        "equals-ignore-case" => {
            "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."
        }
        "wildcard" => "wildcard match pattern must be a string",
        _ => return Err(Fault::new(operator.at, format!("Unsupported anything-but pattern: {name}"), help)),
    };
    let operands = operands(&operator.node)?;
    let texts = operands.iter().map(|operand| text(operand, reason)).collect::<Result<Vec<&str>, Fault>>()?;
    let mut operations = Vec::new();
    for (operand, text) in operands.iter().zip(&texts) {
        match name {
            "equals-ignore-case" => {}
            "wildcard" => {
                if is_too_complex(&[shape(operand.at, text)?]) {
                    return Err(too_complex(operand.at));
                }
                operations.push(Operation::new(Test::Wildcard((*text).to_owned())));
            }
            _ if text.is_empty() => {
                return Err(Fault::new(
                    operand.at,
                    "Null prefix/suffix not allowed",
                    "every text begins and ends with the empty text",
                ));
            }
            name => operations.push(Operation::new(affix_test(name, text))),
        }
    }
    if name == "equals-ignore-case" {
        operations.push(one_of(texts.into_iter().map(text_literal).collect(), true));
    }
    only_one(more, "Too many elements in numeric expression")?;
    Ok(operations)
}

/// One value or a list of values, numbers or texts.
fn anything_but_literals(node: &Node<'_>) -> Result<Vec<Operation>, Fault> {
    let mut literals = Vec::new();
    let (mut texts, mut numbers) = (false, false);
    for operand in operands(node)?.iter() {
        let kind = match &operand.value {
            Value::Text(text) => {
                texts = true;
                literal::Kind::Text(text.as_ref().to_owned())
            }
            Value::Number(number) => {
                numbers = true;
                literal::Kind::Number((*number).to_owned())
            }
            _ => {
                let reason = "Inside anything but list, start|null|boolean is not supported.";
                return Err(Fault::new(operand.at, reason, "the list holds texts only, or numbers only"));
            }
        };
        literals.push(Literal { kind: Some(kind) });
    }
    if texts && numbers {
        let reason = "Inside anything but list, either all values are number or string, mixed type is not supported";
        return Err(Fault::new(node.at, reason, "the list holds texts only, or numbers only"));
    }
    Ok(vec![one_of(literals, false)])
}

/// One operand, or the list of them.
fn operands<'n, 't>(node: &'n Node<'t>) -> Result<Cow<'n, [Node<'t>]>, Fault> {
    match &node.value {
        Value::Array(operands) if operands.is_empty() => {
            let reason =
                "Inside anything but list, either all values are number or string, mixed type is not supported";
            Err(Fault::new(node.at, reason, "name a value that is not wanted"))
        }
        Value::Array(operands) => Ok(Cow::Borrowed(operands)),
        Value::Text(_) | Value::Number(_) => Ok(Cow::Borrowed(std::slice::from_ref(node))),
        _ => {
            let reason = "Value of anything-but must be an array or single string/number value.";
            Err(Fault::new(node.at, reason, "name the texts or numbers that are not wanted"))
        }
    }
}

enum Numeric {
    Equal(Literal),
    Within(Range),
}

fn numeric(node: &Node<'_>) -> Result<Numeric, Fault> {
    let help = "numeric is [\"=\", 5], [\"<\", 5] or [\">\", 0, \"<=\", 5], with =, <, <=, >, >=";
    let Value::Array(items) = &node.value else {
        return Err(Fault::new(node.at, "Value of numeric must be an array.", help));
    };
    let mut items = items.iter();
    let operator = match items.next() {
        Some(Node { value: Value::Text(operator), .. }) => operator.as_ref(),
        other => {
            let reason = format!("Invalid member in numeric match: {}", shown(other));
            return Err(Fault::new(other.map_or(node.at, |other| other.at), reason, help));
        }
    };
    if !matches!(operator, "=" | "<" | "<=" | ">" | ">=") {
        return Err(Fault::new(node.at, format!("Unrecognized numeric range operator: {operator}"), help));
    }
    let name = if operator == "=" { "equals" } else { operator };
    let first = bound(node, name, items.next())?;
    let lower = match operator {
        ">" => range::Lower::Above(literal_of(first)),
        ">=" => range::Lower::AtLeast(literal_of(first)),
        _ => {
            if let Some(more) = items.next() {
                return Err(Fault::new(more.at, "Too many elements in numeric expression", help));
            }
            let upper = match operator {
                "=" => return Ok(Numeric::Equal(literal_of(first))),
                "<" => range::Upper::Below(literal_of(first)),
                _ => range::Upper::AtMost(literal_of(first)),
            };
            return Ok(Numeric::Within(Range { lower: None, upper: Some(upper) }));
        }
    };
    let upper = match items.next() {
        None => None,
        Some(Node { value: Value::Text(operator), at }) => {
            if !matches!(operator.as_ref(), "<" | "<=") {
                let reason = format!("Bad numeric range operator: {operator}");
                return Err(Fault::new(*at, reason, "a range is written from below: [\">\", 0, \"<=\", 5]"));
            }
            let second = bound(node, operator, items.next())?;
            if number::compare(first, second) != Ordering::Less {
                return Err(Fault::new(node.at, "Bottom must be less than top", "no number lies between these bounds"));
            }
            let second = literal_of(second);
            Some(if operator == "<" { range::Upper::Below(second) } else { range::Upper::AtMost(second) })
        }
        Some(other) => {
            let reason = format!("Bad value in numeric range: {}", shown(Some(other)));
            return Err(Fault::new(other.at, reason, help));
        }
    };
    match items.next() {
        Some(more) => Err(Fault::new(more.at, "Too many terms in numeric range expression", help)),
        None => Ok(Numeric::Within(Range { lower: Some(lower), upper })),
    }
}

fn bound<'n>(numeric: &Node<'_>, operator: &str, node: Option<&'n Node<'_>>) -> Result<&'n str, Fault> {
    match node {
        Some(Node { value: Value::Number(number), .. }) => Ok(number),
        other => {
            let reason = format!("Value of {operator} must be numeric");
            Err(Fault::new(other.map_or(numeric.at, |other| other.at), reason, "write a number without quotes"))
        }
    }
}

fn literal_of(number: &str) -> Literal {
    Literal { kind: Some(literal::Kind::Number(number.to_owned())) }
}

/// A value as AWS's messages show it.
fn shown<'n>(node: Option<&'n Node<'_>>) -> Cow<'n, str> {
    match node.map(|node| &node.value) {
        None => "]".into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Boolean(value)) => value.to_string().into(),
        Some(Value::Number(number)) => (*number).into(),
        Some(Value::Text(text)) => text.as_ref().into(),
        Some(Value::Array(_)) => "[".into(),
        Some(Value::Object(_)) => "{".into(),
    }
}

/// The block of addresses that a `cidr` names.
fn block(at: usize, text: &str) -> Result<String, Fault> {
    let help = "write a block as 10.0.0.0/24 or 2001:db8::/32; one address alone is a value without an operator";
    let fault = |reason: String| Fault::new(at, reason, help);
    let Some((address, bits)) = text.split_once('/').filter(|(_, bits)| !bits.is_empty() && !bits.contains('/')) else {
        return Err(fault("Malformed CIDR, one '/' required".into()));
    };
    let Ok(bits) = bits.parse::<i32>() else {
        return Err(fault("Malformed CIDR, mask bits must be an integer".into()));
    };
    if bits < 0 {
        return Err(fault("Malformed CIDR, mask bits must not be negative".into()));
    }
    match ip_address(address) {
        Ok(address @ IpAddr::V4(_)) if bits < 32 => Ok(format!("{address}/{bits}")),
        Ok(address @ IpAddr::V6(_)) if bits < 128 => Ok(format!("{address}/{bits}")),
        Ok(IpAddr::V4(_)) => Err(fault("IPv4 mask bits must be < 32".into())),
        Ok(IpAddr::V6(_)) => Err(fault("IPv6 mask bits must be < 128".into())),
        Err(fault_of_address) => Err(fault(format!("{fault_of_address} IP address: {address}"))),
    }
}

/// An address, or what AWS calls it if it is none.
fn ip_address(text: &str) -> Result<IpAddr, &'static str> {
    let parts: Vec<&str> = text.split('.').collect();
    let looks_like_v4 =
        parts.len() == 4 && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if looks_like_v4 {
        // Zeros before a number change nothing.
        let octets: Vec<u8> = parts.iter().filter_map(|part| part.parse().ok()).collect();
        let octets: [u8; 4] = octets.try_into().map_err(|_| "Invalid")?;
        return Ok(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    let looks_like_v6 = text.contains(':') && text.bytes().all(|byte| byte == b':' || byte.is_ascii_hexdigit());
    if looks_like_v6 { text.parse().map(IpAddr::V6).map_err(|_| "Invalid") } else { Err("Nonstandard") }
}
