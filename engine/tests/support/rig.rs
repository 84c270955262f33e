//! Storm, embedded broker and audit around a router that is too simple to be fast, and can be told to be wrong.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use veltrix_engine::audit::{Audit, AuditReport, Reader, ReaderSettings, Tables as _};
use veltrix_engine::dev::broker::{EmbeddedBroker, Tuning};
use veltrix_engine::dev::game::{Game, SOURCE_TOPIC};
use veltrix_engine::dev::storm::{Storm, StormSettings, StormStatus};
use veltrix_engine::dev::updates::Versions;
use veltrix_proto::v1::RouteMap;
use veltrix_route_table::{Deliveries, Event, RouteTable, Value, compile};

pub(crate) const RUN: u32 = 0xd37;

/// What the router does to each delivery, counted from 0.
pub(crate) type Fault = fn(u64, Outgoing) -> Vec<Outgoing>;

/// A record that the router is about to send.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) topic: String,
    pub(crate) version: String,
    pub(crate) route: Option<String>,
}

pub(crate) struct Rig {
    pub(crate) rate: u64,
    pub(crate) duration: Duration,
    pub(crate) tuning: Tuning,
    pub(crate) fault: Fault,
}

pub(crate) struct Outcome {
    pub(crate) report: AuditReport,
    pub(crate) storm: StormStatus,
    pub(crate) consumed: u64,
}

pub(crate) fn embedded_map() -> RouteMap {
    prost::Message::decode(veltrix_engine::EMBEDDED_ROUTES).unwrap()
}

impl Rig {
    /// Routes by each of `maps` in turn, each for the same part of the time.
    pub(crate) fn run(self, maps: &[RouteMap]) -> Outcome {
        let topics: Vec<String> = {
            let table = compile(&maps[0]).unwrap();
            table.destinations().map(|destination| destination.topic.to_owned()).collect()
        };
        let mut all: Vec<(&str, NonZeroU16)> =
            topics.iter().map(|topic| (topic.as_str(), self.tuning.destination_partitions)).collect();
        all.push((SOURCE_TOPIC, self.tuning.source_partitions));
        let broker = EmbeddedBroker::start(&all).unwrap();
        let origin = Instant::now();
        let consumed = Arc::new(AtomicU64::new(0));
        let versions = Arc::new(Versions::new());
        versions.add(1, Arc::new(compile(&maps[0]).unwrap()));

        let read = Arc::clone(&consumed);
        let settings = StormSettings {
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            properties: self.tuning.producer(),
            topic: SOURCE_TOPIC.to_owned(),
            game: Game::new(RUN, 42, self.tuning.source_partitions.get()),
            events_per_second: self.rate,
            duration: Some(self.duration),
            read: Box::new(move || read.load(Ordering::Relaxed)),
            unread_max: self.tuning.unread_events_max,
        };
        let storm = Storm::new(settings, origin).unwrap();
        let audit = Audit::new(storm.workload(), Arc::clone(&versions), topics, None).unwrap();
        let reader = ReaderSettings {
            bootstrap_servers: broker.bootstrap_servers().to_owned(),
            properties: self.tuning.consumer(),
            run: RUN,
            origin,
            from_beginning: true,
        };
        let reader = Reader::start(reader, audit).unwrap();
        let stop = CancellationToken::new();
        let router = Router::new(&broker, &self, Arc::clone(&versions), Arc::clone(&consumed));
        std::thread::scope(|scope| {
            let stop_router = stop.clone();
            let router = scope.spawn(move || router.run(&stop_router));
            let storm = storm.start(stop.clone()).unwrap();
            let began = Instant::now();
            let mut next = 1;
            while !storm.is_over() {
                std::thread::sleep(Duration::from_millis(20));
                let due = began.elapsed().as_secs_f64() / self.duration.as_secs_f64() * maps.len() as f64;
                while next < maps.len().min(due as usize) {
                    next += 1;
                    versions.add(next as u64, Arc::new(compile(&maps[next - 1]).unwrap()));
                }
            }
            let status = storm.join().unwrap();
            while consumed.load(Ordering::Relaxed) < status.acknowledged {
                assert!(!router.is_finished(), "the router broke down");
                std::thread::yield_now();
            }
            stop.cancel();
            router.join().unwrap();
            let report = reader.finish(Duration::from_millis(500)).unwrap();
            Outcome { report, storm: status, consumed: consumed.load(Ordering::Relaxed) }
        })
    }
}

/// Consumes, routes, produces; commits nothing.
struct Router {
    consumer: BaseConsumer,
    producer: BaseProducer,
    versions: Arc<Versions>,
    consumed: Arc<AtomicU64>,
    fault: Fault,
}

struct Incoming<'m>(&'m BorrowedMessage<'m>);

impl Event for Incoming<'_> {
    fn topic(&self) -> &str {
        self.0.topic()
    }

    fn key(&self) -> Value<'_> {
        self.0.key().map_or(Value::Missing, Value::Bytes)
    }

    fn header(&self, name: &str) -> Value<'_> {
        let found = self.0.headers().into_iter().flat_map(|headers| headers.iter()).filter(|header| header.key == name);
        found.last().map_or(Value::Missing, |header| header.value.map_or(Value::Null, Value::Bytes))
    }
}

impl Router {
    fn new(broker: &EmbeddedBroker, rig: &Rig, versions: Arc<Versions>, consumed: Arc<AtomicU64>) -> Router {
        let with = |properties: Vec<(&'static str, String)>| {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", broker.bootstrap_servers());
            properties.into_iter().for_each(|(name, value)| {
                config.set(name, value);
            });
            config
        };
        let mut config = with(rig.tuning.consumer());
        config.set("group.id", "router").set("auto.offset.reset", "earliest").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[SOURCE_TOPIC]).unwrap();
        let mut config = with(rig.tuning.producer());
        config.set("enable.idempotence", "true").set("queue.buffering.max.messages", "1000000");
        Router { consumer, producer: config.create().unwrap(), versions, consumed, fault: rig.fault }
    }

    fn run(&self, stop: &CancellationToken) {
        let mut deliveries = Deliveries::new();
        let mut nth = 0;
        let mut pinned: Option<(u64, Arc<RouteTable>)> = None;
        while !stop.is_cancelled() {
            let newest = self.versions.newest();
            if pinned.as_ref().is_none_or(|(version, _)| *version != newest) {
                pinned = self.versions.table(newest).map(|table| (newest, table));
            }
            let Some((version, table)) = &pinned else { continue };
            let mut taken = 0;
            let mut wait = Duration::from_millis(1);
            while taken < 256
                && let Some(message) = self.consumer.poll(wait)
            {
                wait = Duration::ZERO;
                taken += 1;
                self.route(&message.unwrap(), *version, table, &mut deliveries, &mut nth);
            }
            self.consumed.fetch_add(taken, Ordering::Relaxed);
            (0..4).for_each(|_| self.producer.poll(Duration::ZERO));
        }
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }

    fn route(
        &self,
        message: &BorrowedMessage<'_>,
        version: u64,
        table: &RouteTable,
        deliveries: &mut Deliveries,
        nth: &mut u64,
    ) {
        table.route(&Incoming(message), deliveries);
        for delivery in deliveries.list() {
            let outgoing = Outgoing {
                topic: table.destination(delivery.destination).unwrap().topic.to_owned(),
                version: version.to_string(),
                route: delivery.route.map(|route| table.route_id(route).to_owned()),
            };
            for outgoing in (self.fault)(*nth, outgoing) {
                self.send(message, &outgoing);
            }
            *nth += 1;
        }
    }

    fn send(&self, message: &BorrowedMessage<'_>, outgoing: &Outgoing) {
        let mut headers = message.headers().map_or_else(OwnedHeaders::new, |headers| headers.detach());
        headers = headers.insert(Header { key: "veltrix-route-map-version", value: Some(&outgoing.version) });
        if let Some(route) = &outgoing.route {
            headers = headers.insert(Header { key: "veltrix-route", value: Some(route) });
        }
        let mut record = BaseRecord::to(&outgoing.topic)
            .key(message.key().unwrap_or_default())
            .payload(message.payload().unwrap_or_default())
            .headers(headers);
        while let Err((_, again)) = self.producer.send(record) {
            record = again;
            self.producer.poll(Duration::from_millis(1));
        }
    }
}
