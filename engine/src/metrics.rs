//! What the engine counts. One place for every metric: its name, its unit, its meaning.
//!
//! Routers count into local counters and hand them over now and then ([`RouterMetrics::flush`]), so that no event touches a shared
//! cache line.

use crate::dead_letter::Cause;
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// All metrics of an engine, registered.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) events_consumed: IntCounter,
    pub(crate) events_unmatched: IntCounter,
    pub(crate) event_seconds: Histogram,
    pub(crate) deliveries: IntCounterVec,
    pub(crate) deliveries_acknowledged: IntCounter,
    pub(crate) deliveries_sent_alone: IntCounterVec,
    pub(crate) dead_letters: IntCounterVec,
    pub(crate) lookups: IntCounterVec,
    pub(crate) lookup_seconds: HistogramVec,
    pub(crate) lookup_circuit_open: IntGaugeVec,
    pub(crate) events_in_flight: IntGaugeVec,
    pub(crate) partitions: IntGaugeVec,
    pub(crate) lag: IntGaugeVec,
    pub(crate) gaps: IntCounter,
    pub(crate) gap_events: IntCounter,
    pub(crate) created_anew: IntCounter,
    pub(crate) pauses: IntCounter,
    pub(crate) rebalances: IntCounter,
    pub(crate) router_restarts: IntCounter,
    pub(crate) route_map_version: IntGauge,
    pub(crate) route_map_stale: IntGauge,
    pub(crate) route_aggregation_ratio: Gauge,
    pub(crate) route_map_updates: IntCounterVec,
    pub(crate) route_map_seconds: HistogramVec,
    pub(crate) control_plane_connected: IntGauge,
    pub(crate) last_known_good_failures: IntCounter,
}

impl Metrics {
    /// Registers everything with a registry of its own.
    ///
    /// # Errors
    /// Two metrics of one name: a mistake in this file.
    pub(crate) fn new() -> Result<Metrics, prometheus::Error> {
        let registry = Registry::new_custom(Some("veltrix".to_owned()), None)?;
        let make = Make(&registry);
        let buckets = prometheus::exponential_buckets(0.0005, 2.0, 18)?;
        Ok(Metrics {
            events_consumed: make.counter("events_consumed_total", "Events read from the sources")?,
            events_unmatched: make.counter("events_unmatched_total", "Events that no route wanted")?,
            event_seconds: make.histogram(
                "event_seconds",
                "From an event's poll until the last of its deliveries was acknowledged",
                buckets.clone(),
            )?,
            deliveries: make.counters(
                "deliveries_total",
                "Deliveries that were sent, by destination",
                "destination",
            )?,
            deliveries_acknowledged: make.counter(
                "deliveries_acknowledged_total",
                "Deliveries, dead letters included, that the broker has acknowledged",
            )?,
            deliveries_sent_alone: make.counters(
                "deliveries_sent_alone_total",
                "Deliveries that Kafka had refused together with others and that were sent again alone, by topic",
                "topic",
            )?,
            dead_letters: make.counters("dead_letters_total", "Dead letters that were sent, by cause", "cause")?,
            lookups: make.register(IntCounterVec::new(
                Opts::new("lookups_total", "Lookups that events needed, by what came of them"),
                &["lookup", "result"],
            )?)?,
            lookup_seconds: make.histograms(
                "lookup_seconds",
                "Time that a call took whose answer was not in memory",
                buckets.clone(),
                "lookup",
            )?,
            lookup_circuit_open: make.gauges(
                "lookup_circuit_open",
                "1 while the service of a lookup is taken for down, so that the lookup fails without a call",
                "lookup",
            )?,
            events_in_flight: make.gauges(
                "events_in_flight",
                "Events with a delivery under way, or that wait for one before them",
                "router",
            )?,
            partitions: make.gauges("partitions", "Partitions that a router has", "router")?,
            lag: make.gauges(
                "source_lag_events",
                "Events of a router's partitions that are in Kafka and were not read yet, as of the last fetch: none is made while reading is paused",
                "router",
            )?,
            gaps: make.counter("source_gaps_total", "Times that Kafka had deleted events before they were read")?,
            gap_events: make.counter("source_gap_events_total", "Offsets that were skipped because of that")?,
            created_anew: make.counter(
                "source_partitions_created_anew_total",
                "Partitions that were begun again because their topic had been deleted and created anew",
            )?,
            pauses: make.counter("source_pauses_total", "Times that reading was paused until deliveries caught up")?,
            rebalances: make.counter("rebalances_total", "Changes of the partitions of a router")?,
            router_restarts: make
                .counter("router_restarts_total", "Times that a router had to make its clients anew")?,
            route_map_version: make
                .gauge("route_map_version", "Version in force; 0: the map compiled into the binary")?,
            route_map_stale: make.gauge(
                "route_map_stale",
                "1 while the engine routes by the last known good map and has not heard from the control plane",
            )?,
            // Of all tenants together: thousands of them are nothing unusual, and one series for each would be more than all others.
            // `veltrixctl analyze` tells it tenant by tenant.
            route_aggregation_ratio: make.register(Gauge::new(
                "route_aggregation_ratio",
                "Routes of the map in force that are not disabled, divided by those that they are compiled as",
            )?)?,
            route_map_updates: make.counters(
                "route_map_updates_total",
                "RouteMaps that were offered, by what became of them",
                "outcome",
            )?,
            route_map_seconds: make.histograms(
                "route_map_seconds",
                "Time that the steps of an update took",
                buckets,
                "step",
            )?,
            control_plane_connected: make
                .gauge("control_plane_connected", "1 while the stream to the control plane is up")?,
            last_known_good_failures: make.counter(
                "last_known_good_failures_total",
                "Times that a map could not be written to disk; the engine routed by it all the same",
            )?,
            registry,
        })
    }

    /// In Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

struct Make<'r>(&'r Registry);

impl Make<'_> {
    fn register<M: prometheus::core::Collector + Clone + 'static>(&self, metric: M) -> Result<M, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.register(IntCounter::new(name, help)?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(Opts::new(name, help), &[label])?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(Opts::new(name, help), &[label])?)
    }

    fn histograms(
        &self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
        label: &str,
    ) -> Result<HistogramVec, prometheus::Error> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &[label])?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram, prometheus::Error> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?)
    }
}

/// What one router counts between two flushes.
pub(crate) struct RouterMetrics {
    pub(crate) shared: Metrics,
    pub(crate) consumed: LocalIntCounter,
    pub(crate) unmatched: LocalIntCounter,
    pub(crate) acknowledged: LocalIntCounter,
    pub(crate) event_seconds: LocalHistogram,
    dead_letters: [LocalIntCounter; Cause::ALL.len()],
    pub(crate) in_flight: IntGauge,
    pub(crate) partitions: IntGauge,
    pub(crate) lag: IntGauge,
}

impl RouterMetrics {
    pub(crate) fn new(shared: &Metrics, router: usize) -> RouterMetrics {
        let label = [router.to_string()];
        RouterMetrics {
            consumed: shared.events_consumed.local(),
            unmatched: shared.events_unmatched.local(),
            acknowledged: shared.deliveries_acknowledged.local(),
            event_seconds: shared.event_seconds.local(),
            dead_letters: Cause::ALL.map(|cause| shared.dead_letters.with_label_values(&[cause.name()]).local()),
            in_flight: shared.events_in_flight.with_label_values(&label),
            partitions: shared.partitions.with_label_values(&label),
            lag: shared.lag.with_label_values(&label),
            shared: shared.clone(),
        }
    }

    /// The counter of dead letters of this cause.
    pub(crate) fn dead_letter(&self, cause: Cause) -> &LocalIntCounter {
        &self.dead_letters[cause as usize]
    }

    /// Hands over what was counted.
    pub(crate) fn flush(&mut self) {
        self.consumed.flush();
        self.unmatched.flush();
        self.acknowledged.flush();
        self.event_seconds.flush();
        self.dead_letters.iter().for_each(LocalIntCounter::flush);
    }
}
