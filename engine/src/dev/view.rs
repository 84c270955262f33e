//! temporary
use crate::audit::LatencyMillis;
use std::time::Duration;
pub struct View;
pub struct ViewState {
    pub rate: u64,
    pub events_in: u64,
    pub per_destination: Vec<(String, u64)>,
    pub unmatched: u64,
    pub dead_letters: u64,
    pub lag: u64,
    pub in_flight: u64,
    pub route_map_version: u64,
    pub updates_applied: u64,
    pub latency: LatencyMillis,
    pub lost: u64,
    pub duplicated: u64,
    pub misrouted: u64,
    pub throttled: Duration,
}
impl View {
    pub const EVERY: Duration = Duration::from_secs(1);
    pub fn new(_: bool) -> View {
        View
    }
    pub fn listening(&mut self, places: &[(&str, String)]) {
        for (n, p) in places {
            eprintln!("{n:>14}  {p}");
        }
    }
    pub fn show(&mut self, s: &ViewState) {
        eprintln!(
            "in {} lag {} flight {} p50 {} p99 {} v{} lost {} dup {}",
            s.events_in, s.lag, s.in_flight, s.latency.p50, s.latency.p99, s.route_map_version, s.lost, s.duplicated
        );
    }
}
