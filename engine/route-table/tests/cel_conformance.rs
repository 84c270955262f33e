//! The conformance suite of CEL, as far as conditions can say what it says.
//!
//! Its expressions are mostly made of literals, which the parser decides by itself. So each is tried as it stands, and once more for
//! every literal in it, which is put into the payload and read from there: that makes conditions of them. A variable that a test
//! binds is a field of the payload, too. What is taken must have the suite's result; what is refused is counted by its reason.

#[path = "support/evaluate.rs"]
mod evaluate;
#[path = "support/textproto.rs"]
mod textproto;

use evaluate::json::Json;
use evaluate::{Record, evaluate, is_number};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use textproto::Node;
use veltrix_route_table::cel::{FieldType, MessageTypes, ReasonKind, Scope, parse, render};

/// Where a literal of the payload differs from the suite, on purpose: numbers of events are exact decimals, and CEL compares a whole
/// number with a double by making a double of it.
const BY_DECIMALS: [&str; 10] = [
    "gte_dyn_int_big_lossy_double",
    "gte_dyn_small_double_int",
    "int_range",
    "lte_dyn_big_double_int",
    "lte_dyn_int_small_lossy_double",
    "not_gt_dyn_big_double_int",
    "not_gt_dyn_int_small_lossy_double",
    "not_lt_dyn_int_big_lossy_double",
    "not_lt_dyn_small_double_int",
    "uint_range",
];

fn suite() -> Option<PathBuf> {
    let shared = std::env::var_os("VELTRIX_SHARED").map(PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let suite = shared.unwrap_or_else(|| root.join("../shared")).join("corpus/conformance/cel_spec_simple");
    if suite.is_dir() {
        return Some(suite);
    }
    assert!(std::env::var_os("CI").is_none(), "the suite is not at {}; VELTRIX_SHARED says where", suite.display());
    // Past the harness, which would keep it to itself.
    std::io::stderr().write_all(format!("skipped: the CEL suite is not at {}\n", suite.display()).as_bytes()).unwrap();
    None
}

/// A value of the suite; `None` for what JSON can't say.
fn json(value: &Node) -> Option<Json> {
    let kind = value.first()?;
    Some(match kind {
        "null_value" => Json::Null,
        "bool_value" => Json::Boolean(value.text(kind)? == "true"),
        "int64_value" | "uint64_value" => Json::Number(value.text(kind)?.to_owned()),
        "double_value" => {
            let number: f64 = value.text(kind)?.parse().ok().filter(|number: &f64| number.is_finite())?;
            Json::Number(format!("{number:?}"))
        }
        "string_value" => Json::Text(value.text(kind)?.to_owned()),
        "list_value" => Json::Array(value.message(kind)?.messages("values").map(json).collect::<Option<_>>()?),
        "map_value" => {
            let entries = value.message(kind)?.messages("entries");
            let entry = |entry: &Node| match json(entry.message("key")?)? {
                Json::Text(key) => Some((key, json(entry.message("value")?)?)),
                _ => None,
            };
            Json::Object(entries.map(entry).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn literal(value: &Json) -> Option<String> {
    Some(match value {
        Json::Null => "null".to_owned(),
        Json::Boolean(value) => value.to_string(),
        Json::Number(number) if number.parse::<i64>().is_err() && number.parse::<u64>().is_ok() => format!("{number}u"),
        Json::Number(number) => number.clone(),
        Json::Text(text) => {
            format!("'{}'", text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect::<String>())
        }
        Json::Array(_) | Json::Object(_) => return None,
    })
}

/// What is known of a name.
fn type_of(value: &Json) -> FieldType {
    match value {
        Json::Array(_) => FieldType::Repeated(Box::new(FieldType::Any)),
        Json::Object(_) => FieldType::Map(Box::new(FieldType::Any)),
        _ => FieldType::Any,
    }
}

/// The literals of an expression: where each stands, and its value. Those within a list or a map stand for themselves, too.
fn literals(expr: &str) -> Vec<(std::ops::Range<usize>, Json)> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut operand = true;
    while let Some(rest) = expr.get(at..).filter(|rest| !rest.is_empty()) {
        let here = rest.chars().next().unwrap();
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if operand && let Some((length, value)) = value_at(rest) {
            if let Some(value) = value {
                found.push((at..at + length, value));
            }
            // What stands within a list or a map is tried by itself, too.
            at += if matches!(here, '[' | '{') { 1 } else { length };
            operand = matches!(here, '[' | '{');
        } else if word > 0 {
            at += word;
            operand = rest.get(..word) == Some("in");
        } else {
            operand = !matches!(here, ')' | ']' | '}') && (operand || !here.is_whitespace());
            at += here.len_utf8();
        }
    }
    found
}

/// The length of the literal that a text begins with, and its value if it is one of JSON.
fn value_at(text: &str) -> Option<(usize, Option<Json>)> {
    let first = text.chars().next()?;
    let word = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    match (first, text.get(..word)?) {
        (_, "true") => Some((4, Some(Json::Boolean(true)))),
        (_, "false") => Some((5, Some(Json::Boolean(false)))),
        (_, "null") => Some((4, Some(Json::Null))),
        ('\'' | '"', _) => {
            let mut escaped = false;
            let end = text.char_indices().skip(1).find(|(_, c)| {
                let end = *c == first && !escaped;
                escaped = *c == '\\' && !escaped;
                end
            })?;
            let inner = text.get(1..end.0)?;
            let plain = !inner.contains('\\') && !inner.is_empty();
            Some((end.0 + 1, plain.then(|| Json::Text(inner.to_owned()))))
        }
        ('0'..='9' | '-' | '.', _) => {
            let end = text.char_indices().skip(1).find(|(at, c)| {
                let exponent = matches!(c, '+' | '-') && text.get(..*at).is_some_and(|text| text.ends_with(['e', 'E']));
                !(c.is_ascii_alphanumeric() || *c == '.' || exponent)
            });
            let number = text.get(..end.map_or(text.len(), |(at, _)| at))?;
            let digits = number.trim_end_matches(['u', 'U']);
            (number != "-")
                .then(|| (number.len(), is_number(digits.as_bytes()).then(|| Json::Number(digits.to_owned()))))
        }
        ('[' | '{', _) => {
            let (mut at, mut values, mut whole) = (1, Vec::new(), true);
            loop {
                at += text.get(at..)?.find(|c: char| !c.is_whitespace() && !matches!(c, ',' | ':'))?;
                let rest = text.get(at..)?;
                if rest.starts_with([']', '}']) {
                    break;
                }
                let (length, value) = value_at(rest)?;
                whole &= value.is_some();
                values.extend(value);
                at += length;
            }
            let value = match first {
                _ if !whole => None,
                '[' => Some(Json::Array(values)),
                _ => {
                    let entry = |pair: &[Json]| match pair {
                        [Json::Text(key), value] => Some((key.clone(), value.clone())),
                        _ => None,
                    };
                    values.chunks(2).map(entry).collect::<Option<_>>().map(Json::Object)
                }
            };
            Some((at + 1, value))
        }
        _ => None,
    }
}

/// What comes of an expression: its truth, or why it is refused.
fn outcome(expr: &str, fields: &[(String, Json)]) -> Result<Option<bool>, String> {
    let mut types = MessageTypes::new();
    let message = types.declare();
    for (name, value) in fields {
        types.field(message, name, type_of(value));
    }
    match parse(expr, &Scope::message(&types, message)) {
        Ok(condition) => {
            let record = Record::of_payload(Json::Object(fields.to_vec()));
            assert_eq!(parse(&render(&condition), &Scope::record()).as_ref(), Ok(&condition), "{expr}");
            Ok(evaluate(&condition, &record).known())
        }
        Err(refused) => {
            let first = &refused.reasons[0];
            let parts = first.message.split('`').enumerate();
            match first.kind {
                ReasonKind::Constant(value) => Ok(Some(value)),
                kind => Err(format!(
                    "{kind:?}: {}",
                    parts.map(|(at, part)| if at % 2 == 1 { "_" } else { part }).collect::<String>()
                )),
            }
        }
    }
}

#[derive(Default)]
struct Tally {
    agree: usize,
    conditions: usize,
    refused: BTreeMap<String, usize>,
    wrong: Vec<String>,
    by_decimals: BTreeSet<String>,
}

fn run(test: &Node, tally: &mut Tally) {
    let name = test.text("name").unwrap();
    let Some(expr) = test.text("expr") else { return tally.count_refused("the expression is no text") };
    let mut fields = Vec::new();
    for binding in test.messages("bindings") {
        let value = binding.message("value").and_then(|value| value.message("value")).and_then(json);
        match (binding.text("key"), value) {
            (Some(key), Some(value)) if !key.contains('.') => fields.push((key.to_owned(), value)),
            _ => return tally.count_refused("a variable is bound to what JSON can't say"),
        }
    }
    let expected = match test.message("value").map(json) {
        None if test.message("eval_error").is_some() => None,
        None => Some(Json::Boolean(true)),
        Some(Some(value)) => Some(value),
        Some(None) => return tally.count_refused("the result is bytes, a type or a message"),
    };
    // A word for the checker of types; it changes no value.
    let expr = expr.replace("dyn(", "(");
    let (expr, expected) = match expected {
        None => (expr, None),
        Some(Json::Boolean(value)) => (expr, Some(value)),
        Some(value) => match literal(&value) {
            Some(literal) => (format!("({expr}) == {literal}"), Some(true)),
            None => return tally.count_refused("the result is a list or a map"),
        },
    };
    let direct = outcome(&expr, &fields);
    let mut taken = Vec::new();
    taken.extend(direct.clone().ok().map(|found| (expr.clone(), found)));
    for (span, value) in literals(&expr) {
        let mut lifted = expr.clone();
        lifted.replace_range(span, "lifted");
        let fields: Vec<_> = fields.iter().cloned().chain([("lifted".to_owned(), value.clone())]).collect();
        if let Ok(found) = outcome(&lifted, &fields) {
            tally.conditions += 1;
            if found != expected && BY_DECIMALS.contains(&name) {
                tally.by_decimals.insert(name.to_owned());
            } else {
                taken.push((format!("{lifted} with {value:?}"), found));
            }
        }
    }
    let wrong = taken.iter().filter(|(_, found)| *found != expected);
    let wrong: Vec<_> = wrong.map(|(expr, found)| format!("{name}: {expr} is {found:?}, not {expected:?}")).collect();
    match (wrong.is_empty(), taken.is_empty(), direct) {
        (false, _, _) => tally.wrong.extend(wrong),
        (true, false, _) => tally.agree += 1,
        (true, true, Err(reason)) => tally.count_refused(&reason),
        (true, true, Ok(_)) => {}
    }
}

impl Tally {
    fn count_refused(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }
}

#[test]
fn what_is_taken_of_the_suite_has_its_result() {
    let Some(suite) = suite() else { return };
    let mut files: Vec<_> = std::fs::read_dir(suite).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "textproto"));
    files.sort();
    assert!(!files.is_empty());
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let (mut agree, mut wrong, mut by_decimals) = (0, Vec::new(), BTreeSet::new());
    println!("{:24} {:>6} {:>8} {:>6}  expressions with a literal in the payload", "file", "agree", "refused", "WRONG");
    for file in files {
        let node = Node::read(&std::fs::read_to_string(&file).unwrap());
        let mut tally = Tally::default();
        for section in node.messages("section") {
            section.messages("test").for_each(|test| run(test, &mut tally));
        }
        let refused: usize = tally.refused.values().sum();
        let file = file.file_name().unwrap().to_string_lossy().into_owned();
        println!("{file:24} {:>6} {refused:>8} {:>6}  {}", tally.agree, tally.wrong.len(), tally.conditions);
        agree += tally.agree;
        by_decimals.extend(tally.by_decimals);
        wrong.extend(tally.wrong.into_iter().map(|wrong| format!("{file}: {wrong}")));
        tally.refused.into_iter().for_each(|(reason, count)| *reasons.entry(reason).or_default() += count);
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons.iter().for_each(|(reason, count)| println!("{count:>5} {reason}"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(by_decimals.iter().eq(BY_DECIMALS.iter()), "{by_decimals:#?}");
    assert!(agree > 450, "only {agree} tests of the suite are taken");
}
