//! EventBridge event patterns, read as the conditions that they stand for.
//!
//! A pattern looks like the events that it wants: `{"detail": {"state": ["running", {"prefix": "stop"}]}}`. [`parse`]
//! turns its text into a [`Condition`] about the payload, or refuses it with AWS's reason and the place. What it means
//! is what EventBridge and its open matcher event-ruler (<https://github.com/aws/event-ruler>) make of it:
//!
//! - Fields are "and", the items of a list are "or", `$or` is "or" between objects. `$or` is a field's name if the
//!   pattern is no good otherwise: `{"$or": ["x"]}`.
//! - A value of an event is a leaf: null, a boolean, a number or a text. An array stands for its elements, and theirs;
//!   an object is no value, so that `{"exists": true}` is false of it, and of `[]`.
//! - Fields of one object of the pattern are about one object of the event: under an array, about the same element.
//! - `anything-but` wants a value that is there and is none of those: of several values, one is enough.
//! - Names with dots are nested names, in patterns and in events: `{"a.b": [1]}` is `{"a": {"b": [1]}}`. A path that is
//!   there twice counts with its last list.
//! - Numbers are compared by value, and texts by their bytes. A text that is an IPv6 address is equal to all ways to
//!   write that address.
//!
//! Where Veltrix differs, on purpose:
//!
//! - `exists: false` looks at the whole event. event-ruler looks at the element that fields with smaller names have
//!   chosen before.
//! - Numbers have any size and any number of digits. EventBridge says that it compares numbers up to 5e9 and six
//!   digits.
//! - An object of the event that names a field twice has the first one. event-ruler has both. So does an event that has a path both
//!   as nested names and with dots in them: the nested names count.
//! - Where paths of the pattern part below a name, the event must have a field of that name. So the event
//!   `{"a.b": 1, "a.c": 2}` does not match `{"a": {"b": [1], "c": [2]}}`, though event-ruler takes it.
//! - An IPv4 address in IPv6 form (`::ffff:10.0.0.1`) *is* that IPv4 address, in events and in patterns: it is in `0.0.0.0/0` and not in
//!   `::/0`. `010.0.0.1` is no address.
//! - Text after the pattern's object is refused, and so is an `anything-but` of no operands within an operator.

mod error;
mod json;
mod number;
mod operators;
mod render;
mod terms;
mod tree;
mod wildcard;

pub use error::{PatternError, Rendered};
pub(crate) use json::quoted;
pub(crate) use render::{at_path, leaf};

use error::Fault;
use veltrix_proto::v1::Condition;

/// Bytes of a pattern's text.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// The condition on the payload that a pattern stands for.
///
/// ```
/// use veltrix_route_table::event_pattern::parse;
///
/// assert!(parse(r#"{"state": [{"prefix": "run"}]}"#).is_ok());
///
/// let error = parse(r#"{"state": []}"#).unwrap_err();
/// assert_eq!(error.reason(), "Empty arrays are not allowed");
/// assert_eq!((error.line(), error.column()), (1, 11));
/// ```
pub fn parse(text: &str) -> Result<Condition, PatternError> {
    condition(text).map_err(|fault| fault.at_place(text))
}

fn condition(text: &str) -> Result<Condition, Fault> {
    if text.len() > TEXT_BYTES_MAX {
        let reason = format!("Event pattern is {} bytes long; the limit is {TEXT_BYTES_MAX}", text.len());
        return Err(Fault::new(0, reason, "split it into several routes"));
    }
    let terms = terms::read(&json::read(text)?)?;
    tree::condition(&terms)
}
