//! Why a RouteMap was refused.

use crate::limits::Limit;
use crate::protobuf::BadDescriptors;
use crate::value::cidr::BadBlock;
use crate::value::wildcard::BadPattern;

/// Every reason that a map was refused, not just the first: an operator mends them in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// In the order of reading, kind of thing after kind of thing; never empty, at most [`Refused::REASONS_MAX`].
    pub reasons: Vec<Reason>,
    /// How many more there were. A map of a million routes with one mistake in each gives a readable answer, not a second
    /// million of messages.
    pub omitted: usize,
}

impl Refused {
    /// How many reasons are told in full.
    pub const REASONS_MAX: usize = 200;

    /// With as many of these reasons as are told in full. `omitted`: how many were left out already.
    pub fn of(mut reasons: Vec<Reason>, omitted: usize) -> Refused {
        let omitted = omitted + reasons.len().saturating_sub(Refused::REASONS_MAX);
        reasons.truncate(Refused::REASONS_MAX);
        Refused { reasons, omitted }
    }
}

impl std::error::Error for Refused {}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.reasons.len() + self.omitted;
        write!(f, "the RouteMap is refused for {count} reason{}", if count == 1 { "" } else { "s" })?;
        self.reasons.iter().try_for_each(|reason| write!(f, "; {reason}"))?;
        if self.omitted > 0 {
            write!(f, "; and {} more", self.omitted)?;
        }
        Ok(())
    }
}

/// One reason, and the field that is to blame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// In the words of the RouteMap: `tenants[2].routes[0].when.all.conditions[1].predicate`. Empty for the whole map.
    pub path: String,
    /// The id of the route that the field is of, as [`route_ids`](crate::route_ids) tells it; `None` if it is of none.
    pub route: Option<String>,
    /// What is wrong with it.
    pub fault: Fault,
}

impl Reason {
    /// What is wrong, and with which route: all but the path.
    pub fn message(&self) -> String {
        match &self.route {
            Some(route) => format!("route `{route}`: {}", self.fault),
            None => self.fault.to_string(),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message())
    }
}

/// What can be wrong with a field of a RouteMap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Fault {
    #[error(
        "the RouteMap is empty (0 bytes), and would drop every event; to drop them on purpose, send a map with a route"
    )]
    EmptyMap,
    #[error("must be set")]
    Missing,
    #[error("must be set: give one of {0}")]
    MissingOneOf(&'static str),
    #[error("has no {0}, so that no event could be delivered")]
    Without(&'static str),
    #[error("is not a serialized RouteMap: {0}")]
    Wire(WireFault),
    #[error(
        "field number {number} of {message} is unknown here; a newer engine may know it, this one would route wrongly without it"
    )]
    UnknownField { message: &'static str, number: u32 },
    #[error("is given twice")]
    GivenTwice,
    #[error("{value} is no value that is known here for {name}")]
    UnknownEnum { name: &'static str, value: u64 },
    #[error("{observed} is beyond the limit `{}` of {}: {}", limit.name, limit.max, limit.meaning)]
    OverLimit { limit: &'static Limit, observed: u64 },
    #[error(
        "{observed} is beyond the limit `{}` of {}: {}; {uses} of them are of route `{route}`, more than of any other: make it smaller, or leave some out",
        limit.name, limit.max, limit.meaning
    )]
    OverBudget { limit: &'static Limit, observed: u64, route: String, uses: u64 },
    #[error("`{id}` is taken by another {what}; every {what} of a map has a name of its own")]
    Taken { what: &'static str, id: String },
    #[error("`{id}` is no destination of this map; declare it under `destinations`{}", or_did_you_mean(near))]
    UnknownDestination { id: String, near: Option<String> },
    #[error(
        "`{topic}` can't be the name of a Kafka topic: 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`, and not `.` or `..`"
    )]
    InvalidTopic { topic: String },
    #[error("`{name}` can't be the name of a placeholder: a to z, A to Z, 0 to 9 and `_`, at least one")]
    InvalidPlaceholder { name: String },
    #[error("a brace in `{topic}` belongs to no placeholder; a topic's name has none but those around placeholders")]
    StrayBrace { topic: String },
    #[error("`{{{name}}}` is not declared; say under `placeholders` what it stands for{}", or_did_you_mean(near))]
    UnknownPlaceholder { name: String, near: Option<String> },
    #[error("`{{{name}}}` is not in the topic; remove it, or name it there")]
    UnusedPlaceholder { name: String },
    #[error("a reference table is one topic; remove placeholders and otherwise")]
    TemplateAsTable,
    #[error("a placeholder stands for one value; remove through_arrays")]
    PlaceholderThroughArrays,
    #[error(
        "stands for the tenants that the map names, and it names none; declare one, or list the values that are allowed"
    )]
    NoTenants,
    #[error("has no meaning for a topic without placeholders, which every event has; remove it")]
    OtherwiseWithoutPlaceholders,
    #[error(
        "`{id}` has placeholders itself, so that it could be without a topic, too; name a destination without them"
    )]
    OtherwiseWithPlaceholders { id: String },
    #[error("{text:?} has a control character, which would do harm in logs and on terminals; leave it out")]
    ControlCharacter { text: String },
    #[error("must not be empty; {instead}")]
    EmptyText { instead: &'static str },
    #[error("{part} can't be used here; {instead}")]
    PartNotAllowed { part: &'static str, instead: &'static str },
    #[error("on_missing has no meaning for `exists`, which says itself what a missing attribute is; remove it")]
    OnMissingOfExists,
    #[error("on_other_type has no meaning for `exists` and `types`, which are about values of every type; remove it")]
    OnOtherTypeOfAnyType,
    #[error(
        "on_other_type has no meaning for a field through arrays, of which a value that is no array is an element; remove it"
    )]
    OnOtherTypeThroughArrays,
    #[error("dotted is for fields through arrays; set through_arrays, too, or remove it")]
    DottedWithoutArrays,
    #[error("ignore_case has no meaning for this test, which compares no letters; remove it")]
    WithoutCase,
    #[error("there are not so many `any_element` around this: outwards is {outwards}, and 0 is the innermost")]
    NoSuchElement { outwards: u32 },
    #[error("`{id}` is no lookup of this map; declare it under `lookups`{}", or_did_you_mean(near))]
    UnknownLookup { id: String, near: Option<String> },
    #[error("a key is one value, and a field through arrays may have several; remove through_arrays")]
    KeyThroughArrays,
    #[error("a table is in memory, so that there is nothing to remember; remove the cache")]
    CacheOfTable,
    #[error("ttl_ms and negative_ttl_ms are both 0, so that nothing would be remembered; set one, or remove the cache")]
    CacheOfNothing,
    #[error("`{url}` can't be called: {why}")]
    InvalidUrl { url: String, why: BadUrl },
    #[error("`{text}` is no number as JSON writes them, such as -12.5 or 1e6")]
    NotANumber { text: String },
    #[error(transparent)]
    Wildcard(BadPattern),
    #[error(transparent)]
    Cidr(BadBlock),
    #[error("bounds must be numbers or texts, both of one type")]
    BoundsOfTypes,
    #[error(
        "a default is asked behind all others of its group, so that priority and continues have no meaning for it; remove them"
    )]
    DefaultWithPlace,
    #[error("group `{group}` has a default already, and only one route can be what is left when no other matches")]
    SecondDefault { group: String },
    #[error(
        "no value is in a share from {from} to {to}; `to` must be more than `from`, and a route for nobody can be `disabled`"
    )]
    EmptyShare { from: u64, to: u64 },
    #[error("no value is within these bounds")]
    EmptyRange,
    #[error("can't be the types of messages: {0}")]
    Descriptors(BadDescriptors),
    #[error("`{name}` is no message of the map's `descriptors`{}", did_you_mean(near))]
    UnknownMessage { name: String, near: Option<String> },
    #[error("`{place}` is in no message that this can be about: {}{}", lacking(of, name), did_you_mean(near))]
    UnknownPlace { place: String, name: String, of: String, near: Option<String> },
    #[error("an event has one type and one tenant; remove through_arrays")]
    OriginThroughArrays,
    #[error("there is nothing in the payloads of this source, which says `none`")]
    FieldOfNoPayload,
    #[error("this {language} can't be a condition:\n{error}")]
    Text { language: &'static str, error: String },
}

fn lacking(of: &str, name: &str) -> String {
    if of.is_empty() { format!("`{name}` leads nowhere") } else { format!("`{of}` has no field `{name}`") }
}

fn or_did_you_mean(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!(", or did you mean `{near}`?"))
}

fn did_you_mean(near: &Option<String>) -> String {
    near.as_ref().map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// What can be wrong with the URL or endpoint of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum BadUrl {
    #[error("it must begin with `http://` or `https://`")]
    Scheme,
    #[error("{0:?} can't stand in a URL; write it percent-encoded")]
    Character(char),
    #[error("what stands behind `#` is never sent; leave it out")]
    Fragment,
    #[error("a map is no place for secrets; leave out what stands before `@`")]
    Secret,
    #[error("it names no host, or no port from 0 to 65535")]
    Host,
    #[error("`{{key}}` must stand in its path or query, once, and no other braces")]
    Key,
    #[error("an endpoint is a scheme, a host and a port; leave out what stands behind them")]
    Path,
}

/// How bytes can fail to be protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum WireFault {
    #[error("it is cut off at byte {at}")]
    Truncated { at: usize },
    #[error("byte {at} begins no field")]
    BadTag { at: usize },
    #[error("the number at byte {at} has more than 64 bits")]
    BadVarint { at: usize },
    #[error("field number {number} has wire type {found} instead of {expected}")]
    WrongType { number: u32, found: u8, expected: u8 },
    #[error("field number {number} is not UTF-8 text")]
    NotUtf8 { number: u32 },
}
