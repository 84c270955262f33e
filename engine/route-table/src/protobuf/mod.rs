//! Payloads that are protobuf messages: what conditions find in them, without JSON in between.
//!
//! A [`Plans`] holds, for each plan of fields and each message that it is asked of, which field numbers lead to the fields. A
//! [`Reader`] walks the bytes of a payload once per plan, goes into the messages on the way to a wanted field, and passes over all
//! others by their length. Nothing is looked for by name while events are routed.
//!
//! Conditions find what they would find in the message's JSON form (<https://protobuf.dev/programming-guides/json/>), with these rules:
//!
//! | in the message | what conditions see |
//! | --- | --- |
//! | a name | the field of this name; if there is none, that of this JSON name |
//! | integers, also of 64 bits | numbers, exact |
//! | `float`, `double` | the shortest decimal that means this number; the texts `NaN`, `Infinity`, `-Infinity` |
//! | an enum's value | its first name as a text; a number if the enum does not have it, whether it is open or closed |
//! | `bytes` | base64 text, with padding |
//! | a field without presence that is not in the bytes | its default: `0`, an empty text, `false`, the name of 0, an empty array or map |
//! | an `optional` field, message or member of a `oneof` that is not in the bytes | missing, and so is what is within it; also where proto2 names a default |
//! | `repeated` | an array |
//! | a map | an object with the keys' texts as names; as an element of `any_element` it has no places |
//! | a group | the message that it is |
//! | `google.protobuf.Int32Value` and the other wrappers | the value that is wrapped |
//! | `Timestamp`, `Duration`, `Struct`, `Any` and the other well-known types | the messages that they are: `at.seconds > 0` |
//!
//! Of a field that is in the bytes several times the last one counts, messages of a field that is not repeated are merged, a later
//! member of a oneof takes the place of an earlier one, repeated numbers may be packed or not, and a field whose wire type is not that
//! of the descriptor is unknown: all as <https://protobuf.dev/programming-guides/encoding/> has it. So a message is always walked to its
//! end.
//!
//! A message that is no protobuf from some byte on ends there. What was found in it before counts; fields that were not, are missing
//! and have no default, so that bytes which are something else altogether do not look like a message of zeros. Messages around it
//! are not affected, as long as their lengths are right. [`check()`](check::check) is for those who want to know.

pub(crate) mod check;
mod descriptors;
pub(crate) mod framing;
mod plans;
mod walk;
mod wire;

pub use descriptors::BadDescriptors;
pub(crate) use descriptors::{Descriptors, MessageId, Resolved};
pub(crate) use plans::Plans;
pub(crate) use walk::Reader;
