//! Every metric of the control plane, by name. They are served at `/metrics` and all begin with `veltrix_control_plane_`.

use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use veltrix_proto::v1;

const NAMESPACE: &str = "veltrix_control_plane";

/// From a millisecond to half a minute: what validating, storing, preparing and switching can take.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// The metrics of one control plane, in a registry of their own: several can live in one process.
pub struct Metrics {
    registry: Registry,
    /// By `result`.
    pub(crate) updates: IntCounterVec,
    /// By `phase`.
    pub(crate) update_seconds: HistogramVec,
    pub(crate) updates_waiting: IntGauge,
    pub(crate) engines_connected: IntGauge,
    pub(crate) engines_behind: IntGauge,
    pub(crate) sessions: IntCounter,
    pub(crate) in_force_refused: IntCounter,
    pub(crate) version_in_force: IntGauge,
    pub(crate) store_failures: IntCounter,
    pub(crate) maps_pruned: IntCounter,
    pub(crate) connections: IntGauge,
    /// By `reason`.
    pub(crate) connections_closed: IntCounterVec,
    /// By `limit`.
    pub(crate) limit_used: IntGaugeVec,
    /// By `limit`.
    pub(crate) limit_max: IntGaugeVec,
}

impl Metrics {
    /// Registers them all.
    pub fn new() -> Result<Metrics, prometheus::Error> {
        let all = Registering(Registry::new());
        Ok(Metrics {
            updates: all.counters("updates_total", "Updates of the RouteMap by how they ended", "result")?,
            update_seconds: all.seconds("update_seconds", "How long each phase of an update took", "phase")?,
            updates_waiting: all.gauge("updates_waiting", "Updates that are checked, waiting or under way")?,
            engines_connected: all.gauge("engines_connected", "Engines that are connected")?,
            engines_behind: all
                .gauge("engines_behind", "Connected engines that run another map than the one in force")?,
            sessions: all.counter("engine_sessions_total", "Connections of engines since the start")?,
            in_force_refused: all.counter("in_force_refused_total", "Times that an engine refused the map in force")?,
            version_in_force: all
                .gauge("version_in_force", "The version of the RouteMap in force; 0 if there is none")?,
            store_failures: all.counter("store_failures_total", "Reads and writes of the store that failed")?,
            maps_pruned: all.counter("maps_pruned_total", "Old versions whose bytes were dropped")?,
            connections: all.gauge("connections", "Open connections, those of engines included")?,
            connections_closed: all.counters(
                "connections_closed_total",
                "Connections that were turned away or closed: no_place, made_way, no_request",
                "reason",
            )?,
            limit_used: all.gauges("limit_used", "What the map in force uses of each limit of a RouteMap", "limit")?,
            limit_max: all.gauges("limit_max", "The limits of a RouteMap", "limit")?,
            registry: all.0,
        })
    }

    /// In the Prometheus text format.
    pub(crate) fn text(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    pub(crate) fn observe(&self, times: &v1::UpdateTimes) {
        let phases = [
            ("validate", times.validate),
            ("store", times.store),
            ("prepare", times.prepare),
            ("commit", times.commit),
            ("total", times.total),
        ];
        for (phase, took) in phases {
            let Some(took) = took else { continue };
            let seconds = took.seconds as f64 + f64::from(took.nanos) / 1e9;
            self.update_seconds.with_label_values(&[phase]).observe(seconds);
        }
    }
}

struct Registering(Registry);

impl Registering {
    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.put(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
        self.put(IntCounterVec::new(opts(name, help), &[label])?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.put(IntGauge::with_opts(opts(name, help))?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, prometheus::Error> {
        self.put(IntGaugeVec::new(opts(name, help), &[label])?)
    }

    fn seconds(&self, name: &str, help: &str, label: &str) -> Result<HistogramVec, prometheus::Error> {
        let opts = HistogramOpts::new(name, help).namespace(NAMESPACE).buckets(SECONDS.to_vec());
        self.put(HistogramVec::new(opts, &[label])?)
    }

    fn put<C: prometheus::core::Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(NAMESPACE)
}
