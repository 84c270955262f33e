//! What the engine's own calls into librdkafka save, against those of the rdkafka crate: the reason for the `unsafe` in
//! `src/kafka/native.rs`. `cargo bench -p veltrix-engine --bench kafka_calls`
//!
//! Both ways do the router's work for an event: take the record, read its headers, send it on with those and three more, take the
//! delivery report. Counted are the processor time of the thread that does it (librdkafka's own threads have the same work either way)
//! and its Rust allocations. The broker is librdkafka's mock in the same process; the ways take turns, so that a noisy machine is
//! unfair to both.

use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use rustix::time::{ClockId, clock_gettime};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use veltrix_engine::kafka::native::{Batch, Consumer, Headers, Outgoing, Producer};
use veltrix_engine::kafka::{KafkaSettings, create};

const EVENTS: usize = 40_000;
const ROUNDS: usize = 7;
const HEADERS: [(&str, &str); 5] = [
    ("ce_specversion", "1.0"),
    ("ce_id", "1f3a90c2-00000000002a"),
    ("ce_type", "hunt.clue.found"),
    ("ce_tenant", "hunt-0042"),
    ("ce_region", "eu"),
];
const OWN: [(&str, &str); 3] =
    [("veltrix-route-map-version", "17"), ("veltrix-source", "source/0/123456"), ("veltrix-route", "leaderboard")];

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: hands every call on to the system's allocator; the counter is a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Processor time and allocations per event of this thread.
fn cost(run: impl FnOnce()) -> (f64, f64) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let (time, allocations) = (now(), ALLOCATIONS.with(Cell::get));
    run();
    let allocations = ALLOCATIONS.with(Cell::get) - allocations;
    ((now() - time) / EVENTS as f64, allocations as f64 / EVENTS as f64)
}

#[derive(Default)]
struct CountReports(AtomicU64);

impl ClientContext for CountReports {}

impl ProducerContext for CountReports {
    type DeliveryOpaque = usize;

    fn delivery(&self, _: &DeliveryResult<'_>, opaque: usize) {
        self.0.fetch_add(opaque as u64, Ordering::Relaxed);
    }
}

fn partition() -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("source", 0, Offset::Beginning).expect("a good offset");
    list
}

fn crate_calls(config: &ClientConfig) -> (f64, f64) {
    let consumer: BaseConsumer =
        config.create_with_context(DefaultConsumerContext).expect("settings that librdkafka takes");
    let producer: BaseProducer<CountReports> =
        config.create_with_context(CountReports::default()).expect("settings that librdkafka takes");
    consumer.assign(&partition()).expect("a partition of the mock");
    wait_for_fetch();
    cost(|| {
        let mut taken = 0;
        while taken < EVENTS {
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.expect("a record");
            taken += 1;
            let mut headers = OwnedHeaders::new_with_capacity(HEADERS.len() + OWN.len());
            for header in record.headers().into_iter().flat_map(|headers| headers.iter()) {
                headers = headers.insert(Header { key: header.key, value: header.value });
            }
            for (key, value) in OWN {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let outgoing = BaseRecord::with_opaque_to("destination", 1usize)
                .key(record.key().unwrap_or_default())
                .payload(record.payload().unwrap_or_default())
                .timestamp(record.timestamp().to_millis().unwrap_or_default())
                .headers(headers);
            producer.send(outgoing).expect("room in the queue");
            if taken % 512 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        while producer.context().0.load(Ordering::Relaxed) < EVENTS as u64 {
            producer.poll(Duration::from_millis(10));
        }
    })
}

fn own_calls(config: &ClientConfig) -> (f64, f64) {
    let consumer = Arc::new(Consumer::new(create(config).expect("settings that librdkafka takes")));
    let producer = Arc::new(Producer::new(create(config).expect("settings that librdkafka takes")));
    let topic = producer.topic("destination").expect("a good name");
    let mut batch = Batch::new(Arc::clone(&consumer), 512);
    consumer.assign(&partition()).expect("a partition of the mock");
    wait_for_fetch();
    cost(|| {
        let (mut taken, mut reported) = (0, 0);
        while taken < EVENTS {
            batch.fill(Duration::from_millis(100));
            for record in batch.take(usize::MAX) {
                taken += 1;
                let mut headers = Headers::with_room_for(HEADERS.len() + OWN.len());
                for (name, value) in record.headers() {
                    headers.add(name, value);
                }
                for (name, value) in OWN {
                    headers.add(name, Some(value.as_bytes()));
                }
                let outgoing = Outgoing { key: record.key(), payload: record.payload(), timestamp: record.timestamp() };
                assert!(topic.send(outgoing, headers, 1).is_ok(), "room in the queue");
            }
            producer.poll_reports(Duration::ZERO, |report| reported += report.opaque);
        }
        while reported < EVENTS as u64 {
            producer.poll_reports(Duration::from_millis(10), |report| reported += report.opaque);
        }
    })
}

/// Lets librdkafka's threads fetch ahead, so that both ways find the records there.
fn wait_for_fetch() {
    std::thread::sleep(Duration::from_millis(700));
}

fn fill_source(config: &ClientConfig) {
    let producer: BaseProducer = config.create().expect("settings that librdkafka takes");
    for number in 0..EVENTS {
        let headers = HEADERS
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(*value) }));
        let key = format!("player-{number}");
        let payload = [b'x'; 60];
        let record = BaseRecord::to("source").key(&key).payload(&payload[..]).headers(headers);
        producer.send(record).expect("room in the queue");
    }
    producer.flush(Duration::from_secs(30)).expect("the mock takes them");
}

fn main() {
    let cluster = MockCluster::new(1).expect("a mock broker");
    // The mock keeps 5 MiB a partition; compressed, all events fit.
    for topic in ["source", "destination"] {
        cluster.create_topic(topic, 1, 1).expect("a topic of the mock");
    }
    let settings = KafkaSettings::new(
        cluster.bootstrap_servers(),
        None,
        &["compression.codec=lz4".to_owned(), "consumer.fetch.wait.max.ms=1".to_owned()],
    )
    .expect("good settings");
    let mut config = settings.producer();
    for (key, value) in [("group.id", "bench"), ("auto.offset.reset", "earliest"), ("queued.min.messages", "1000000")] {
        config.set(key, value);
    }
    fill_source(&config);
    let mut best = [(f64::MAX, f64::MAX); 2];
    for _ in 0..ROUNDS {
        for (best, run) in best.iter_mut().zip([crate_calls, own_calls]) {
            let (time, allocations) = run(&config);
            *best = (best.0.min(time), best.1.min(allocations));
        }
    }
    println!("per event, best of {ROUNDS} rounds of {EVENTS} events in turns");
    for (name, (time, allocations)) in ["rdkafka crate", "own calls"].iter().zip(best) {
        println!("{name:>14}: {time:6.0} ns of this thread, {allocations:5.2} Rust allocations");
    }
    println!("{:>14}: {:6.2}", "ratio", best[0].0 / best[1].0);
}
