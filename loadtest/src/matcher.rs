//! The seam between measuring and what is measured.

use crate::input::Rule;

/// Tells which rules an event satisfies.
pub(crate) trait Matcher {
    /// Fills `out` with the places of these rules among those that it was compiled from, rising.
    fn matches(&mut self, event: &[u8], out: &mut Vec<u32>);

    /// Starts to load what an event that comes soon will need.
    fn prefetch(&self, _event: &[u8]) {}

    /// Takes the newest rules, if they can change. Called between batches of events.
    fn refresh(&mut self) {}
}

/// Makes matchers.
pub(crate) trait Compile {
    type Matcher: Matcher;

    /// Compiles all of `rules` or says which ones it can't take and why.
    fn compile(&mut self, rules: &[Rule]) -> Result<Self::Matcher, Vec<Refusal>>;

    /// Takes back the memory of a matcher that is not used any more.
    fn recycle(&mut self, matcher: Self::Matcher);

    /// What the compiled rules hold in memory, if that is known.
    fn memory_bytes(matcher: &Self::Matcher) -> Option<usize>;
}

/// A rule that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its place among the rules; `None` if the fault is with all of them together.
    pub(crate) rule: Option<usize>,
    pub(crate) reason: String,
}
