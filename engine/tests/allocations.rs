//! Counts what a router thread allocates while events pass through the whole engine, so that what the engine promises stays true.
//!
//! Linux tells which thread is the router's. librdkafka's own memory is not counted: it is C's, and lives as long as a message.
#![cfg(target_os = "linux")]

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::num::{NonZeroU16, NonZeroUsize};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use veltrix_engine::config::Config;
use veltrix_engine::dev::broker::EmbeddedBroker;
use veltrix_engine::kafka::KafkaSettings;
use veltrix_engine::{Engine, StartAt, Status};
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::compile;

struct Counting;

/// The thread that is counted, once the test has found it.
static ROUTER: AtomicI32 = AtomicI32::new(0);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

unsafe extern "C" {
    safe fn gettid() -> i32;
}

fn count() {
    let router = ROUTER.load(Ordering::Relaxed);
    if router == 0 {
        return;
    }
    let thread = THREAD.with(|thread| {
        if thread.get() == 0 {
            thread.set(gettid());
        }
        thread.get()
    });
    if thread == router {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: hands every call on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SOURCE: &str = "game-events";
const DEAD_LETTERS: &str = "dead-letters";
const PARTITIONS: u16 = 8;
const PATIENCE: Duration = Duration::from_secs(120);
/// Events that are under way at once; the embedded broker keeps few bytes.
const AT_ONCE: usize = 2_000;
/// Headers of an event that a router takes without memory of its own.
const HEADERS: usize = 24;

fn config(broker: &EmbeddedBroker) -> Config {
    Config {
        kafka: KafkaSettings::new(broker.bootstrap_servers(), None, &[]).unwrap(),
        sources: vec![SOURCE.to_owned()],
        group: "allocations".to_owned(),
        start_at: StartAt::Earliest,
        dead_letter_topic: DEAD_LETTERS.to_owned(),
        control_plane: None,
        control_plane_wait: Duration::ZERO,
        state_dir: None,
        engine_id: Some("allocations".to_owned()),
        listen: None,
        routers: NonZeroUsize::MIN,
        batch_events_max: NonZeroUsize::new(512).unwrap(),
        in_flight_events_max: NonZeroUsize::new(50_000).unwrap(),
        in_flight_bytes_max: 64 << 20,
        grace: Duration::from_secs(10),
    }
}

fn produce(producer: &BaseProducer, count: usize) {
    let types = ["hunt.clue.found", "hunt.chest.opened", "hunt.hint.bought", "input.player.moved"];
    for number in 0..count {
        let mut headers = OwnedHeaders::new_with_capacity(HEADERS);
        let own = [("ce_type", types[number % types.len()]), ("ce_tenant", "acme"), ("ce_region", "eu-west")];
        for (key, value) in own {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        for number in own.len()..HEADERS {
            headers = headers.insert(Header { key: &format!("x-header-{number}"), value: Some("value") });
        }
        let partition = number as i32 % i32::from(PARTITIONS);
        let record = BaseRecord::to(SOURCE).key("key").payload("{}").headers(headers).partition(partition);
        producer.send(record).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Sends events through the engine, a few at a time, and returns when all are delivered.
fn pass(producer: &BaseProducer, status: &Status, count: usize) {
    let before = status.consumed();
    for passed in (AT_ONCE..=count).step_by(AT_ONCE) {
        produce(producer, AT_ONCE);
        wait_for("events are delivered", || {
            status.consumed() - before == passed as u64 && status.numbers().in_flight == 0
        });
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The system's number of the thread of this name.
fn thread(name: &str) -> i32 {
    let named = |number: &String| {
        std::fs::read_to_string(format!("/proc/self/task/{number}/comm")).is_ok_and(|comm| comm.trim() == name)
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let mut numbers = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
    numbers.find(named).and_then(|number| number.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_allocates_by_the_clock_and_not_by_the_event() {
    let map: RouteMap = prost::Message::decode(veltrix_engine::EMBEDDED_ROUTES).unwrap();
    let table = compile(&map).unwrap();
    let partitions = NonZeroU16::new(PARTITIONS).unwrap();
    let destinations = table.destinations().map(|destination| destination.topic);
    let topics: Vec<_> = destinations.chain([SOURCE, DEAD_LETTERS]).map(|topic| (topic, partitions)).collect();
    let broker = EmbeddedBroker::start(&topics).unwrap();
    let engine = Engine::start(config(&broker)).await.unwrap();
    let (status, stop) = (engine.status(), CancellationToken::new());
    let running = tokio::spawn(engine.run_until(stop.clone()));
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap_servers()).create().unwrap();

    let (events, allocations) = tokio::task::spawn_blocking(move || {
        // What is reused has to grow first.
        pass(&producer, &status, 5 * AT_ONCE);
        ROUTER.store(thread("router-0"), Ordering::Relaxed);
        let before = (status.consumed(), status.numbers());
        pass(&producer, &status, 20 * AT_ONCE);
        let (numbers, count) = (status.numbers(), ALLOCATIONS.load(Ordering::Relaxed));
        assert_eq!(numbers.dead_letters, 0, "dead letters may allocate; there should be none");
        let sent = |deliveries: &std::collections::BTreeMap<String, u64>| deliveries.values().sum::<u64>();
        assert!(sent(&numbers.deliveries) - sent(&before.1.deliveries) > 0, "nothing was delivered");
        (status.consumed() - before.0, count)
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    println!("{allocations} allocations for {events} events");
    // Offsets are stored ten times a second, and the lag is measured: that allocates, however few the events.
    assert!(allocations > 0, "the router keeps its books, so that a count of 0 is a broken counter");
    assert!(allocations * 1_000 < events * 100, "{allocations} allocations for {events} events");
}
