//! The engine in a few numbers: for the control plane, for `/readyz`, for the live view.

use crate::metrics::Metrics;
use parking_lot::Mutex;
use prometheus::core::Collector as _;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use veltrix_proto::v1::EngineHealth;

/// Reads an engine's counters.
#[derive(Clone, Debug)]
pub struct Status {
    metrics: Metrics,
    routers: usize,
    start: Arc<Mutex<Start>>,
}

/// How far an engine has come that has no RouteMap yet, in the order in which it looks for one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// Kafka has to answer first.
    #[default]
    AsksKafka,
    /// The control plane may still answer; until then nothing is taken from disk.
    AsksControlPlane,
    /// The disk has none either, so that only the control plane can help.
    FoundNone,
}

/// The counters at one moment, since the engine's start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Numbers {
    /// Of the RouteMap in force; 0: the one compiled into the binary.
    pub route_map_version: u64,
    /// Events read from the sources.
    pub consumed: u64,
    /// Events that no route wanted.
    pub unmatched: u64,
    /// Deliveries sent, by destination.
    pub deliveries: BTreeMap<String, u64>,
    /// Deliveries and dead letters that Kafka has acknowledged.
    pub acknowledged: u64,
    /// Dead letters sent.
    pub dead_letters: u64,
    /// Events with a delivery under way.
    pub in_flight: u64,
    /// Events that are in Kafka and were not read.
    pub lag: u64,
    /// Partitions that are being read.
    pub partitions: u64,
    /// RouteMaps put in force since the start.
    pub updates_applied: u64,
    /// Whether the stream to the control plane is up.
    pub control_plane_connected: bool,
}

impl Status {
    pub(crate) fn new(metrics: Metrics, routers: usize) -> Status {
        Status { metrics, routers, start: Arc::default() }
    }

    pub(crate) fn start(&self) -> Start {
        *self.start.lock()
    }

    pub(crate) fn set_start(&self, start: Start) {
        *self.start.lock() = start;
    }

    /// Events read from the sources so far; cheap enough to be asked all the time.
    pub fn consumed(&self) -> u64 {
        self.metrics.events_consumed.get()
    }

    /// The numbers now.
    pub fn numbers(&self) -> Numbers {
        let metrics = &self.metrics;
        let sum = |gauges: &prometheus::IntGaugeVec| -> u64 {
            let value = |router: usize| gauges.with_label_values(&[router.to_string()]).get();
            (0..self.routers).map(|router| u64::try_from(value(router)).unwrap_or(0)).sum()
        };
        Numbers {
            route_map_version: metrics.route_map_version.get() as u64,
            consumed: metrics.events_consumed.get(),
            unmatched: metrics.events_unmatched.get(),
            deliveries: by_label(&metrics.deliveries),
            acknowledged: metrics.deliveries_acknowledged.get(),
            dead_letters: by_label(&metrics.dead_letters).values().sum(),
            in_flight: sum(&metrics.events_in_flight),
            lag: sum(&metrics.lag),
            partitions: sum(&metrics.partitions),
            updates_applied: metrics.route_map_updates.with_label_values(&["committed"]).get(),
            control_plane_connected: metrics.control_plane_connected.get() == 1,
        }
    }

    pub(crate) fn health(&self) -> EngineHealth {
        let numbers = self.numbers();
        EngineHealth {
            events_consumed: numbers.consumed,
            deliveries_acknowledged: numbers.acknowledged,
            dead_lettered: numbers.dead_letters,
            unmatched: numbers.unmatched,
            events_in_flight: numbers.in_flight,
            partitions: numbers.partitions as u32,
        }
    }
}

fn by_label(counters: &prometheus::IntCounterVec) -> BTreeMap<String, u64> {
    let families = counters.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    metrics
        .filter_map(|metric| {
            let label = metric.get_label().first()?.value().to_owned();
            Some((label, metric.get_counter().get_value() as u64))
        })
        .collect()
}
