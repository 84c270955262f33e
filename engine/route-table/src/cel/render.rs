//! Conditions in words: CEL where CEL can say it.
//!
//! What it can't say is written with an `@`, which stands in no CEL text, so nobody can take the one for the other: `x == 1 @missing(false)`
//! is false where there is no `x`, `@other_type(true)` speaks of a value of another type, `@each(x)` goes through arrays, `@is(x, text)` asks
//! for a type. `@not_cel` stands after what looks like CEL and is none, such as a header that is compared with a number.

use super::lex::is_selector;
use super::meaning::LOOKUP;
use super::scope::Scope;
use super::timestamp::Timestamp;
use crate::limits;
use veltrix_proto::v1::{
    AnyElement, Condition, Conditions, Element, Field, Literal, LookedUp, OnMissing, OnOtherType, Predicate, Range,
    RecordPart, ValueType, any_element, condition, literal, predicate, range,
};

/// A condition in CEL, or as near to it as can be. What [`parse`](super::parse) has made is read as the same condition again.
pub fn render(condition: &Condition) -> String {
    let text = rendered(condition, Around::default()).text;
    match super::parse(&text, &Scope::record()) {
        Err(refused) if !refused.reasons.iter().any(|reason| text.get(reason.span.start..).is_some_and(is_noted)) => {
            format!("{text} @not_cel")
        }
        _ => text,
    }
}

/// A part of a condition in words, as [`render`] says them. It stands within so many `any_element`s.
pub(crate) fn part(condition: &Condition, within: usize) -> String {
    rendered(condition, Around { variables: within, depth: 0 }).text
}

/// A condition that differs from `condition` only in what it says of values that are missing or of another type: it says what CEL does, so
/// that it can be rendered without notes. Nor does it say whether places go through arrays.
pub(crate) fn plain(condition: &Condition) -> Condition {
    let all = |parts: &Conditions| Conditions { conditions: parts.conditions.iter().map(plain).collect() };
    let kind = condition.kind.as_ref().map(|kind| match kind {
        condition::Kind::All(parts) => condition::Kind::All(all(parts)),
        condition::Kind::Any(parts) => condition::Kind::Any(all(parts)),
        condition::Kind::Not(inner) => condition::Kind::Not(Box::new(plain(inner))),
        condition::Kind::AnyElement(any) => condition::Kind::AnyElement(Box::new(AnyElement {
            over: any.over.clone().map(|over| match over {
                any_element::Over::Field(field) => any_element::Over::Field(Field { through_arrays: false, ..field }),
                any_element::Over::Element(element) => {
                    any_element::Over::Element(Element { through_arrays: false, ..element })
                }
            }),
            condition: any.condition.as_deref().map(|condition| Box::new(plain(condition))),
            on_missing: OnMissing::Absent.into(),
            on_other_type: OnOtherType::Absent.into(),
        })),
        condition::Kind::Predicate(predicate) => {
            let (on_missing, on_other_type) = match &predicate.test {
                Some(predicate::Test::Exists(_)) => (OnMissing::Unspecified, OnOtherType::Unspecified),
                Some(predicate::Test::Types(_)) => (OnMissing::Absent, OnOtherType::Unspecified),
                Some(predicate::Test::Equals(_) | predicate::Test::In(_)) => {
                    (OnMissing::Absent, other_type_of_equality(predicate))
                }
                _ => (OnMissing::Absent, OnOtherType::Absent),
            };
            condition::Kind::Predicate(Predicate {
                attribute: predicate.attribute.clone().map(without_arrays),
                on_missing: on_missing.into(),
                on_other_type: on_other_type.into(),
                ..predicate.clone()
            })
        }
        text => text.clone(),
    });
    Condition { kind }
}

fn without_arrays(attribute: predicate::Attribute) -> predicate::Attribute {
    match attribute {
        predicate::Attribute::Field(field) => predicate::Attribute::Field(Field { through_arrays: false, ..field }),
        predicate::Attribute::Element(place) => {
            predicate::Attribute::Element(Element { through_arrays: false, ..place })
        }
        outside => outside,
    }
}

/// What a predicate is about, in words.
pub(crate) fn place_of(predicate: &Predicate, within: usize) -> String {
    let attribute = predicate.attribute.clone().map(without_arrays);
    place(&Predicate { attribute, ..Predicate::default() }, Around { variables: within, depth: 0 })
}

/// What an `any_element` goes over, in words.
pub(crate) fn over_of(any: &AnyElement, within: usize) -> String {
    let around = Around { variables: within, depth: 0 };
    match &any.over {
        None => "@unset".to_owned(),
        Some(any_element::Over::Field(field)) => field_path(&Field { through_arrays: false, ..field.clone() }),
        Some(any_element::Over::Element(element)) => {
            element_path(&Element { through_arrays: false, ..element.clone() }, around)
        }
    }
}

fn is_noted(text: &str) -> bool {
    text.starts_with('@')
}

/// What stands around a condition.
#[derive(Clone, Copy, Default)]
struct Around {
    variables: usize,
    depth: u64,
}

/// A piece of text, and how tightly its outermost operator binds.
struct Words {
    text: String,
    binds: Binds,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binds {
    Note,
    Or,
    And,
    Comparison,
    Tightly,
}

impl Words {
    fn new(text: impl Into<String>, binds: Binds) -> Self {
        Self { text: text.into(), binds }
    }

    /// The text, in parentheses if it would be torn apart among what binds so tightly.
    fn within(self, least: Binds) -> String {
        if self.binds < least { format!("({})", self.text) } else { self.text }
    }

    fn noted(self, notes: &[String]) -> Self {
        if notes.is_empty() {
            return self;
        }
        Self::new(format!("{} {}", self.within(Binds::Comparison), notes.join(" ")), Binds::Note)
    }
}

fn rendered(condition: &Condition, around: Around) -> Words {
    // No table takes a deeper one, so none is worth the stack that it would need.
    if around.depth > 2 * limits::CONDITION_DEPTH.max {
        return Words::new("@too_deep", Binds::Tightly);
    }
    let around = Around { depth: around.depth + 1, ..around };
    match &condition.kind {
        None => Words::new("@unset", Binds::Tightly),
        Some(condition::Kind::Predicate(predicate)) => of_predicate(predicate, around),
        Some(condition::Kind::All(parts)) => joined(&parts.conditions, " && ", Binds::And, around),
        Some(condition::Kind::Any(parts)) => joined(&parts.conditions, " || ", Binds::Or, around),
        Some(condition::Kind::Not(inner)) => negated(inner, around),
        Some(condition::Kind::AnyElement(any)) => of_elements(any, around, false),
        Some(condition::Kind::Cel(cel)) => match super::parse(cel, &Scope::record()) {
            Ok(condition) => rendered(&condition, around),
            Err(_) => Words::new(format!("@cel({})", text(cel)), Binds::Tightly),
        },
        Some(condition::Kind::EventPattern(pattern)) => {
            Words::new(format!("@event_pattern({})", text(pattern)), Binds::Tightly)
        }
    }
}

fn joined(parts: &[Condition], operator: &str, binds: Binds, around: Around) -> Words {
    // A chain within a chain of its kind keeps its parentheses; it is another tree.
    let least = if binds == Binds::Or { Binds::And } else { Binds::Comparison };
    let words: Vec<_> = parts.iter().map(|part| rendered(part, around).within(least)).collect();
    match words.len() {
        0 => Words::new(if binds == Binds::Or { "@any()" } else { "@all()" }, Binds::Tightly),
        _ => Words::new(words.join(operator), binds),
    }
}

fn negated(inner: &Condition, around: Around) -> Words {
    if let Some(condition::Kind::AnyElement(any)) = &inner.kind
        && let Some(Condition { kind: Some(condition::Kind::Not(of)) }) = any.condition.as_deref()
    {
        return of_elements(&AnyElement { condition: Some(of.clone()), ..AnyElement::clone(any) }, around, true);
    }
    if let Some(condition::Kind::Predicate(predicate)) = &inner.kind
        && let Some(predicate::Test::Equals(literal)) = &predicate.test
        && !predicate.ignore_case
        && notes(predicate, other_type_of_equality(predicate)).is_empty()
    {
        let place = place(predicate, around);
        return Words::new(format!("{place} != {}", value(predicate, literal)), Binds::Comparison);
    }
    let inner = rendered(inner, around);
    // `! a == b` would be `(!a) == b`.
    Words::new(format!("!{}", inner.within(Binds::Tightly)), Binds::Tightly)
}

fn of_elements(any: &AnyElement, around: Around, all: bool) -> Words {
    let over = match &any.over {
        None => "@unset".to_owned(),
        Some(any_element::Over::Field(field)) => field_path(field),
        Some(any_element::Over::Element(element)) => element_path(element, around),
    };
    let mut notes = Vec::new();
    note_missing(any.on_missing, OnMissing::Absent, &mut notes);
    note_other_type(any.on_other_type, OnOtherType::Absent, &mut notes);
    let condition = any.condition.as_deref();
    if let Some(condition::Kind::Predicate(predicate)) = condition.and_then(|condition| condition.kind.as_ref())
        && let Some(predicate::Attribute::Element(Element { outwards: 0, names, through_arrays: false, dotted: false })) =
            &predicate.attribute
        && let (Some(predicate::Test::Equals(literal)), true, false) = (&predicate.test, names.is_empty(), all)
        && !predicate.ignore_case
        && !predicate.text_as_number
        && self::notes(predicate, OnOtherType::False).is_empty()
    {
        return Words::new(format!("{} in {over}", value(predicate, literal)), Binds::Comparison).noted(&notes);
    }
    let condition = condition.map_or("@unset".to_owned(), |condition| {
        rendered(condition, Around { variables: around.variables + 1, ..around }).text
    });
    let function = if all { "all" } else { "exists" };
    let words = format!("{over}.{function}({}, {condition})", variable(around.variables));
    Words::new(words, Binds::Tightly).noted(&notes)
}

/// The name of the variable that `around` others stand around.
fn variable(around: usize) -> String {
    if around == 0 { "x".to_owned() } else { format!("x{}", around + 1) }
}

fn of_predicate(predicate: &Predicate, around: Around) -> Words {
    let place = place(predicate, around);
    let call = |name: &str, text: &str| Words::new(format!("{name}({place}, {})", self::text(text)), Binds::Tightly);
    let method = |name: &str, ignoring: &str, text: &str| match predicate.ignore_case {
        true => call(ignoring, text),
        false => Words::new(format!("{place}.{name}({})", self::text(text)), Binds::Tightly),
    };
    let compared = |sign: &str, literal: &Literal| {
        Words::new(format!("{place} {sign} {}", value(predicate, literal)), Binds::Comparison)
    };
    let mut expected = OnOtherType::Absent;
    let words = match &predicate.test {
        None => Words::new(format!("@unset({place})"), Binds::Tightly),
        Some(predicate::Test::Equals(Literal { kind: Some(literal::Kind::Text(text)) })) if predicate.ignore_case => {
            call("equals_ignore_case", text)
        }
        Some(predicate::Test::Equals(Literal { kind: Some(literal::Kind::Boolean(true)) }))
            if predicate.on_other_type() == OnOtherType::Absent && !predicate.text_as_number =>
        {
            Words::new(place.clone(), Binds::Tightly)
        }
        Some(predicate::Test::Equals(literal)) => {
            expected = other_type_of_equality(predicate);
            compared("==", literal)
        }
        Some(predicate::Test::In(literals)) => {
            expected = other_type_of_equality(predicate);
            let values: Vec<_> = literals.values.iter().map(|literal| value(predicate, literal)).collect();
            Words::new(format!("{place} in [{}]", values.join(", ")), Binds::Comparison)
        }
        Some(predicate::Test::Exists(expected)) => return there(predicate, &place, *expected),
        Some(predicate::Test::Prefix(text)) => method("startsWith", "starts_with_ignore_case", text),
        Some(predicate::Test::Suffix(text)) => method("endsWith", "ends_with_ignore_case", text),
        Some(predicate::Test::Contains(text)) => method("contains", "contains_ignore_case", text),
        Some(predicate::Test::Wildcard(pattern)) => call("wildcard", pattern),
        Some(predicate::Test::Range(range)) => of_range(range, &compared),
        Some(predicate::Test::Cidr(cidrs)) => {
            let blocks: String = cidrs.blocks.iter().map(|block| format!(", {}", self::text(block))).collect();
            Words::new(format!("ip_in({place}{blocks})"), Binds::Tightly)
        }
        Some(predicate::Test::Share(share)) => {
            let salt = text(&share.salt);
            Words::new(format!("share({place}, {salt}, {}, {})", share.from, share.to), Binds::Tightly)
        }
        Some(predicate::Test::Types(types)) => {
            let names: String = types.types().map(|kind| format!(", {}", type_name(kind))).collect();
            expected = OnOtherType::False;
            Words::new(format!("@is({place}{names})"), Binds::Tightly)
        }
    };
    words.noted(&notes(predicate, expected))
}

/// `has(place)` or the opposite; of an element itself, which is always there, what is always true or false.
fn there(predicate: &Predicate, place: &str, expected: bool) -> Words {
    let words = match &predicate.attribute {
        Some(predicate::Attribute::Element(element)) if element.names.is_empty() && !element.through_arrays => {
            Words::new(expected.to_string(), Binds::Tightly)
        }
        Some(predicate::Attribute::Part(_)) => has(&format!("event.{place}"), expected),
        _ => has(place, expected),
    };
    let mut notes = notes(predicate, OnOtherType::False);
    // Neither says anything of `exists`; a table refuses such a predicate.
    notes.retain(|note| note != "@missing(false)" || predicate.on_missing() != OnMissing::Unspecified);
    words.noted(&notes)
}

fn has(place: &str, expected: bool) -> Words {
    Words::new(format!("{}has({place})", if expected { "" } else { "!" }), Binds::Tightly)
}

fn of_range(range: &Range, compared: &impl Fn(&str, &Literal) -> Words) -> Words {
    let lower = range.lower.as_ref().map(|lower| match lower {
        range::Lower::Above(literal) => compared(">", literal),
        range::Lower::AtLeast(literal) => compared(">=", literal),
    });
    let upper = range.upper.as_ref().map(|upper| match upper {
        range::Upper::Below(literal) => compared("<", literal),
        range::Upper::AtMost(literal) => compared("<=", literal),
    });
    match (lower, upper) {
        (Some(lower), Some(upper)) => Words::new(format!("{} && {}", lower.text, upper.text), Binds::And),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => Words::new("@range()", Binds::Tightly),
    }
}

/// What equality says of another type; read as a number, what is none is an error.
fn other_type_of_equality(predicate: &Predicate) -> OnOtherType {
    if predicate.text_as_number { OnOtherType::Absent } else { OnOtherType::False }
}

/// What a predicate says beside its test, as far as CEL means something else. `expected` is what CEL has for another type.
fn notes(predicate: &Predicate, expected: OnOtherType) -> Vec<String> {
    let mut notes = Vec::new();
    note_missing(predicate.on_missing, OnMissing::Absent, &mut notes);
    note_other_type(predicate.on_other_type, expected, &mut notes);
    let functions =
        matches!(
            predicate.test,
            Some(predicate::Test::Prefix(_) | predicate::Test::Suffix(_) | predicate::Test::Contains(_))
        ) || matches!(&predicate.test, Some(predicate::Test::Equals(Literal { kind: Some(literal::Kind::Text(_)) })));
    if predicate.ignore_case && !functions {
        notes.push("@ignore_case".to_owned());
    }
    notes
}

fn note_missing(on_missing: i32, expected: OnMissing, notes: &mut Vec<String>) {
    let means = match OnMissing::try_from(on_missing) {
        Ok(OnMissing::Unspecified) => OnMissing::False,
        Ok(known) => known,
        Err(_) => return notes.push(format!("@missing({on_missing})")),
    };
    if means != expected {
        let value = match means {
            OnMissing::True => "true",
            OnMissing::Absent => "absent",
            OnMissing::Unspecified | OnMissing::False => "false",
        };
        notes.push(format!("@missing({value})"));
    }
}

fn note_other_type(on_other_type: i32, expected: OnOtherType, notes: &mut Vec<String>) {
    let means = match OnOtherType::try_from(on_other_type) {
        Ok(OnOtherType::Unspecified) => OnOtherType::False,
        Ok(known) => known,
        Err(_) => return notes.push(format!("@other_type({on_other_type})")),
    };
    if means != expected {
        let value = match means {
            OnOtherType::True => "true",
            OnOtherType::Absent => "absent",
            OnOtherType::Unspecified | OnOtherType::False => "false",
        };
        notes.push(format!("@other_type({value})"));
    }
}

fn place(predicate: &Predicate, around: Around) -> String {
    let place = match &predicate.attribute {
        None => "@unset".to_owned(),
        Some(predicate::Attribute::Header(name)) => format!("headers{}", selected(name)),
        Some(predicate::Attribute::Part(part)) => match RecordPart::try_from(*part) {
            Ok(RecordPart::EventType) => "type".to_owned(),
            Ok(RecordPart::Tenant) => "tenant".to_owned(),
            Ok(RecordPart::Topic) => "topic".to_owned(),
            Ok(RecordPart::Key) => "key".to_owned(),
            Ok(RecordPart::Timestamp) => "timestamp".to_owned(),
            Ok(RecordPart::Unspecified) | Err(_) => format!("@part({part})"),
        },
        Some(predicate::Attribute::Field(field)) => field_path(field),
        Some(predicate::Attribute::Element(element)) => element_path(element, around),
        Some(predicate::Attribute::Lookup(LookedUp { lookup, names })) => {
            format!("{LOOKUP}{}{}", selected(lookup), path(names))
        }
    };
    if !predicate.text_as_number {
        return place;
    }
    format!("double({place})")
}

fn field_path(field: &Field) -> String {
    through(format!("payload{}", path(&field.names)), field.through_arrays)
}

fn element_path(element: &Element, around: Around) -> String {
    let innermost = around.variables.checked_sub(1);
    let name = innermost
        .and_then(|innermost| innermost.checked_sub(element.outwards as usize))
        .map_or_else(|| format!("@element({})", element.outwards), variable);
    through(format!("{name}{}", path(&element.names)), element.through_arrays)
}

fn through(path: String, arrays: bool) -> String {
    if arrays { format!("@each({path})") } else { path }
}

fn path(names: &[String]) -> String {
    names.iter().map(|name| selected(name)).collect()
}

fn selected(name: &str) -> String {
    if is_selector(name) { format!(".{name}") } else { format!("[{}]", text(name)) }
}

fn value(predicate: &Predicate, literal: &Literal) -> String {
    let time = matches!(predicate.attribute, Some(predicate::Attribute::Part(part)) if part == i32::from(RecordPart::Timestamp));
    match &literal.kind {
        None => "@unset".to_owned(),
        Some(literal::Kind::Null(_)) => "null".to_owned(),
        Some(literal::Kind::Boolean(value)) => value.to_string(),
        Some(literal::Kind::Text(value)) => text(value),
        Some(literal::Kind::Number(value)) => match Timestamp::from_millis(value) {
            Some(moment) if time && !predicate.text_as_number => format!("timestamp('{moment}')"),
            _ => number(value),
        },
    }
}

/// A number as CEL writes it. One that CEL couldn't read is marked.
fn number(written: &str) -> String {
    let digits = written.strip_prefix('-').unwrap_or(written);
    let whole = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let plain = match whole {
        true if written.parse::<i64>().is_ok() => written.to_owned(),
        true if written.parse::<u64>().is_ok() => format!("{written}u"),
        true => format!("{written}.0"),
        false => written.to_owned(),
    };
    let finite = written.parse::<f64>().is_ok_and(f64::is_finite);
    let of_json = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-'))
        && !digits.contains(".e")
        && !digits.contains(".E")
        && !digits.ends_with('.');
    if finite && of_json { plain } else { format!("@number({})", text(written)) }
}

/// A text between quotes.
pub(crate) fn text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\\' | '\'' => quoted.extend(['\\', character]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // These would be invisible, or steer the terminal that shows them.
            _ if character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => quoted.push(character),
        }
    }
    quoted.push('\'');
    quoted
}

fn type_name(kind: ValueType) -> &'static str {
    match kind {
        ValueType::Unspecified => "@unset",
        ValueType::Null => "null",
        ValueType::Boolean => "boolean",
        ValueType::Number => "number",
        ValueType::Text => "text",
        ValueType::Object => "object",
        ValueType::Array => "array",
    }
}
