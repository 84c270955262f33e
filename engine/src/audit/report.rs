//! What an audit says.

use hdrhistogram::Histogram;
use serde::{Serialize, Serializer};

/// The outcome of an audit. Deliveries are counted one by one: an event that misses two destinations is two lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AuditReport {
    /// Events that were judged: the broker had acknowledged each.
    pub events: u64,
    /// Deliveries that arrived, duplicates included.
    pub delivered: u64,
    /// The same, by topic.
    #[serde(serialize_with = "as_object")]
    pub delivered_by_topic: Vec<(String, u64)>,
    /// Events that rightly arrived nowhere.
    pub unmatched: u64,
    /// Deliveries that did not arrive.
    pub lost: u64,
    /// Deliveries that arrived again.
    pub duplicated: u64,
    /// Deliveries that the table whose version they carry does not ask for, or not by that route.
    pub misrouted: u64,
    /// Events one attempt of which mixed versions.
    pub torn: u64,
    /// Deliveries without a version, or with one that never was in force.
    pub misstamped: u64,
    /// Records of other producers, or of other runs. Nothing is said of them.
    pub foreign: u64,
    /// Records that the broker deleted before the audit could read them. If there are any, `lost` says too much.
    pub unread: u64,
    /// Events with destinations that the audit does not read; it says nothing of these deliveries.
    pub unwatched: u64,
    /// Events that the broker refused. They are no one's duty, and are not in `events`.
    pub refused: u64,
    /// How many different versions the deliveries carried.
    pub versions: u64,
    /// From the time that an event was due to be produced to that of its arrival.
    pub latency_ms: LatencyMillis,
    /// The first faults in words, to know where to look.
    pub examples: Vec<String>,
}

impl AuditReport {
    /// How many faults are told in words.
    pub const EXAMPLES_MAX: usize = 20;

    /// Whether everything arrived, where it should, by one table. Duplicates are allowed: delivery is at least once.
    pub fn is_right(&self) -> bool {
        [self.lost, self.misrouted, self.torn, self.misstamped, self.unread].iter().all(|faults| *faults == 0)
    }
}

fn as_object<S: Serializer>(pairs: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, count)| (name, count)))
}

/// Latencies in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LatencyMillis {
    /// Half of the deliveries took no longer.
    pub p50: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
    /// 999 of 1,000 took no longer.
    pub p999: f64,
    /// None took longer.
    pub max: f64,
}

impl LatencyMillis {
    pub(super) fn of(histogram: &Histogram<u64>) -> LatencyMillis {
        let millis = |micros: u64| (micros as f64 / 10.0).round() / 100.0;
        LatencyMillis {
            p50: millis(histogram.value_at_quantile(0.5)),
            p99: millis(histogram.value_at_quantile(0.99)),
            p999: millis(histogram.value_at_quantile(0.999)),
            max: millis(histogram.max()),
        }
    }
}

/// How an audit stands while events are under way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// As if the run ended now, but for the events that are not judged yet. Its latencies are those of the whole run.
    pub report: AuditReport,
    /// Latencies of the deliveries since the last look.
    pub recent_latency_ms: LatencyMillis,
}
