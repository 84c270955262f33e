//! The tests of single values: what a compiled predicate does with one text, number or address.
//!
//! All of them run for each event, so none allocates but into buffers that the caller keeps, none can fail, and each is exact. What
//! is compiled is plain data: `Copy` structs whose texts lie in the table's one `String`, and whose lists lie in arrays that a table
//! clears and fills again.
//!
//! Not here, on purpose: where a value comes from, and what it means that there is none. Hidden from the documentation because it is
//! public for the benchmarks only.

pub(crate) mod base64;
pub mod cidr;
pub mod fold;
pub mod number;
pub mod text;
pub mod wildcard;
pub mod wildcard_set;
