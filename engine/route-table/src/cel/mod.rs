//! Conditions as text: a subset of CEL, the Common Expression Language, into the tree that it stands for, and back.
//!
//! Start at [`parse`]; [`render`] is its opposite. The language is that of
//! <https://github.com/google/cel-spec/blob/master/doc/langdef.md>, and an expression that is taken means what it means there. What
//! conditions can't say is refused with the place and with what to write instead, never read as something near it.
//!
//! # Names
//!
//! | in the text | what it is |
//! | --- | --- |
//! | `type`, `tenant`, `topic`, `key` | texts of the record; also `event.type` and so on, as `has(event.tenant)` needs it |
//! | `timestamp` | when the record was made: compared with `timestamp('2026-01-01T00:00:00Z')`, to the nanosecond |
//! | `headers.name`, `headers['a-name']` | a header, which is text; `'a-name' in headers` asks whether it is there |
//! | `payload.a.b`, `payload['a-b']` | a field of the payload, of any type |
//! | `lookup.player.region` | a place in what the map's lookup `player` finds, of any type; `lookup.player` is all of it |
//! | `a.b` | a field of the payload, where the [`Scope`] is a message; its types are checked then |
//! | `x` | the element within `.exists(x, ...)` and `.all(x, ...)`, those around it included |
//!
//! # What can be said
//!
//! `==` `!=` `<` `<=` `>` `>=` of one place with one value, either way round; `in ['a', 1]`; `'a' in payload.list`; `&&` `||` `!` and
//! parentheses; `has(payload.a)`; `.startsWith('a')` `.endsWith('a')` `.contains('a')`; `payload.list.exists(x, ...)` and `.all(x, ...)`;
//! a field that is true or false by itself; all literals but bytes. Comparisons of two literals are decided here; a condition that
//! is the same for every event is refused, as it is a slip or needs no condition.
//!
//! `int(headers.n) > 5` and `double(payload.n) > 5` read a text as a number. Functions that CEL doesn't have:
//! `ip_in(payload.ip, '10.0.0.0/8', ...)`, `wildcard(payload.path, '/a/*')` (`*` is any run of characters, `\*` a star, `\\` a backslash),
//! `equals_ignore_case(payload.a, 'b')`, and so `starts_with_`, `ends_with_` and `contains_ignore_case`; `share(key, 'new-flow', 0, 1000)`
//! is true of 1,000 in 10,000 keys, always the same ones for one salt.
//!
//! # Truth
//!
//! An error of CEL is `absent`: a field that isn't there, `<` of a text and a number, `.startsWith` of a number, `.exists` of what is no
//! list. `==` of different types is false and `!=` true; numbers are compared by their value, whatever their type. `&&`, `||`, `exists`
//! and `all` absorb errors as CEL has it. So `payload.a != 1` is absent, not true, where there is no `a`.
//!
//! # Where it differs from CEL, on purpose
//!
//! - Numbers of events are exact decimals, not IEEE doubles: `payload.n == 9007199254740992.0` is false of 9007199254740993, which CEL
//!   would have rounded, and `1e-400` is not 0. There is no NaN: JSON has none.
//! - `has(payload.a.b)` is false where there is no `payload.a`, or where it is no object; CEL has an error there.
//! - An object of the payload is a message, not a map: `.exists` and `in` are errors on it, while `payload['a-b']` is allowed, also
//!   within `has`. With a message scope, `'key' in map` asks for a key; keys can't be gone through.
//! - `int` and `double` read the texts that are JSON numbers, and those by their decimals: `int(headers.n) > 5` is true of `5.5`, where CEL
//!   has an error, and absent for `+6`, `0x6` and ` 6`. A number that is no text is itself to `double`.
//! - Fields whose types a scope knows are absent when they aren't there, also where a message would have a default value.
//! - An enum's values are compared as texts, their names.

mod constant;
mod error;
mod functions;
mod lex;
mod meaning;
mod predicates;
mod render;
mod scope;
mod share;
mod syntax;
mod timestamp;

pub use error::{CelError, Reason, ReasonKind};
pub use render::render;
pub(crate) use render::{over_of, part, place_of, plain, text};
pub use scope::nearest;
pub use scope::{FieldType, MessageId, MessageTypes, Scope};

use crate::limits;
use error::Reasons;
use meaning::{Meaning, Truth};
use veltrix_proto::v1::{Condition, condition};

/// The condition that a text stands for.
///
/// ```
/// use veltrix_route_table::cel::{Scope, parse, render};
///
/// let condition = parse("payload.points > 0 && payload.region in ['eu', 'us']", &Scope::record())?;
/// assert_eq!(render(&condition), "payload.points > 0 && payload.region in ['eu', 'us']");
///
/// let refused = parse("payload.points + 1 > 3", &Scope::record()).unwrap_err();
/// assert_eq!(refused.to_string(), "\
/// error: `payload.points + 1` computes; conditions only compare
///  --> 1:1
///   |
/// 1 | payload.points + 1 > 3
///   | ^^^^^^^^^^^^^^^^^^ compare `payload.points` with 2 instead");
/// # Ok::<(), veltrix_route_table::cel::CelError>(())
/// ```
pub fn parse(text: &str, scope: &Scope<'_>) -> Result<Condition, CelError> {
    let mut reasons = Reasons::new(text);
    match meaning_of(text, scope, &mut reasons) {
        Some(condition) if reasons.is_empty() => Ok(condition),
        _ => Err(reasons.into_error()),
    }
}

fn meaning_of(text: &str, scope: &Scope<'_>, reasons: &mut Reasons<'_>) -> Option<Condition> {
    let limit = &limits::CEL_BYTES;
    if text.len() as u64 > limit.max {
        let message = format!("a text of {} bytes is beyond the limit `{}` of {}", text.len(), limit.name, limit.max);
        reasons.refuse(ReasonKind::Limit, &(0..0), message, "make several routes of it");
        return None;
    }
    let expr = syntax::parse(reasons)?;
    let truth = Meaning { reasons, scope, variables: Vec::new() }.truth(&expr);
    // A constant that has reasons beside it need not be one when these are mended.
    if !reasons.is_empty() {
        return None;
    }
    let condition = match truth? {
        Truth::Condition(condition) => condition,
        Truth::Constant(value) => {
            let help = match value {
                true => "leave the condition out",
                false => "no event would meet it; leave the route out",
            };
            let message = format!("this is {value} for every event");
            reasons.refuse(ReasonKind::Constant(value), &expr.span, message, help);
            return None;
        }
    };
    let (depth, nodes) = size(&condition);
    for (limit, found) in [(&limits::CONDITION_DEPTH, depth), (&limits::CONDITION_NODES_PER_ROUTE, nodes)] {
        if found > limit.max {
            let message =
                format!("this makes {found}, beyond the limit `{}` of {}: {}", limit.name, limit.max, limit.meaning);
            reasons.refuse(ReasonKind::Limit, &expr.span, message, "make several routes of it");
        }
    }
    Some(condition)
}

/// How deep a tree is, and how many nodes it has.
fn size(condition: &Condition) -> (u64, u64) {
    let one = std::slice::from_ref;
    let parts: &[Condition] = match &condition.kind {
        Some(condition::Kind::All(parts) | condition::Kind::Any(parts)) => &parts.conditions,
        Some(condition::Kind::Not(inner)) => one(inner),
        Some(condition::Kind::AnyElement(any)) => any.condition.as_deref().map(one).unwrap_or_default(),
        _ => &[],
    };
    let (depth, nodes) =
        parts.iter().map(size).fold((0, 0), |(depth, nodes), (of_part, in_part)| (depth.max(of_part), nodes + in_part));
    (depth + 1, nodes + 1)
}

#[cfg(test)]
mod tests;
