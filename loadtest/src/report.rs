//! What a driver says of its work: one JSON object, the same for Veltrix and for its peers (see `peers/README.md`).

use serde::{Deserialize, Serialize};

/// What matching took and gave. Times are in nanoseconds per event, one per pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DriverReport {
    pub(crate) peer: String,
    pub(crate) rules: u64,
    /// Matched in the last pass.
    pub(crate) events: u64,
    pub(crate) load_ms: f64,
    /// By which the process grew, or what the rules hold.
    pub(crate) heap_mb: f64,
    pub(crate) rss_mb: f64,
    pub(crate) ns_per_event: Vec<f64>,
    /// Of the matching thread only.
    pub(crate) cpu_ns_per_event: Vec<f64>,
    pub(crate) matches: u64,
    /// Of the answers. While rules change, peers say zeros; Veltrix says that of the rules which it had at the end.
    pub(crate) hash: String,
    #[serde(default)]
    pub(crate) updates: u64,
    #[serde(default)]
    pub(crate) us_per_update: f64,
    /// Matches that there should have been while rules changed, and those that there were not.
    #[serde(default)]
    pub(crate) expected: u64,
    #[serde(default)]
    pub(crate) lost: u64,
    /// Events that could not be matched at all while rules changed.
    #[serde(default)]
    pub(crate) threw: u64,
}

impl DriverReport {
    /// CPU time of the best pass; infinite without one.
    pub(crate) fn best_ns(&self) -> f64 {
        self.cpu_ns_per_event.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// CPU time of the middle one of the passes after the first, which warms up.
    pub(crate) fn median_ns(&self) -> f64 {
        let warm = self.cpu_ns_per_event.get(1..).filter(|warm| !warm.is_empty());
        let mut passes = warm.unwrap_or(&self.cpu_ns_per_event).to_vec();
        passes.sort_by(f64::total_cmp);
        passes.get(passes.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}
