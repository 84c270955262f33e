//! What events don't carry is looked up, and held against what an audit finds there.

use crate::fleet::{Broker, EngineProcess, Fleet, PATIENCE, embedded, embedded_with};
use crate::records::{Sender, read};
use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use prost::Message as _;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use veltrix_engine::dev::updates::Versions;
use veltrix_proto::v1::{
    Condition, EventTypes, HttpCall, KafkaTopic, Lookup, LookupCache, LookupKey, OnAbsent, RecordPart, ReferenceTable,
    Route, RouteMap, condition, lookup, lookup_key, reference_table,
};
use veltrix_route_table::compile;

/// What is known of a player: nothing of every third one.
pub(crate) fn known_of(key: &[u8]) -> Option<Vec<u8>> {
    let number: u64 = std::str::from_utf8(key).ok()?.strip_prefix("player-")?.parse().ok()?;
    let region = ["eu", "us", "ap"].get(number as usize % 5).copied().unwrap_or("nowhere");
    (!number.is_multiple_of(3))
        .then(|| format!("{{\"region\": \"{region}\", \"level\": {}}}", number % 10).into_bytes())
}

pub(crate) fn of_player(id: &str, source: lookup::Source) -> Lookup {
    let attribute = Some(lookup_key::Attribute::Part(RecordPart::Key.into()));
    Lookup { id: id.to_owned(), key: Some(LookupKey { attribute }), source: Some(source), cache: None }
}

fn file(path: &Path) -> lookup::Source {
    let origin = Some(reference_table::Origin::File(path.display().to_string()));
    lookup::Source::Table(ReferenceTable { origin })
}

/// The fleet's map, with routes that depend on these lookups: one on each, and one on all of them.
pub(crate) fn with_lookups(fleet: &Fleet, lookups: Vec<Lookup>) -> RouteMap {
    let mut map = fleet.map.clone();
    let each = |lookup: &Lookup| format!("lookup.{}.region == 'eu' || lookup.{}.level >= 8", lookup.id, lookup.id);
    let mut conditions: Vec<String> = lookups.iter().map(each).collect();
    conditions
        .push(lookups.iter().map(|lookup| format!("lookup.{}.level < 3", lookup.id)).collect::<Vec<_>>().join(" && "));
    map.lookups = lookups;
    for (number, when) in conditions.into_iter().enumerate() {
        map.routes.push(Route {
            id: format!("looked-up-{number}"),
            types: Some(EventTypes { prefixes: vec!["hunt.".to_owned()], ..EventTypes::default() }),
            when: Some(Condition { kind: Some(condition::Kind::Cel(when)) }),
            to: vec![map.destinations[number % map.destinations.len()].id.clone()],
            ..Route::default()
        });
    }
    map
}

/// A fleet that routes by such a map, and an audit that knows the answers.
pub(crate) async fn fleet_with(broker: Broker, name: &str, partitions: u16, lookups: Vec<Lookup>) -> Arc<Fleet> {
    let mut fleet = Fleet::start(broker, name, partitions).await;
    let map = with_lookups(&fleet, lookups);
    fleet.versions = Arc::new(Versions::with_lookups(|_, key| known_of(key)));
    let version = fleet.push(map.encode_to_vec()).await.unwrap();
    fleet.versions.add(version, Arc::new(compile(&map).unwrap()));
    fleet.map = map;
    Arc::new(fleet)
}

pub(crate) async fn judge(fleet: &Arc<Fleet>, rate: u64, seconds: u64, engine: &EngineProcess) {
    let (storm, audit) = fleet.start_storm(rate, Duration::from_secs(seconds));
    let stormed = tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    let waiting = Arc::clone(fleet);
    tokio::task::spawn_blocking(move || waiting.wait_until_committed()).await.unwrap();
    let report = tokio::task::spawn_blocking(|| audit.finish(Duration::from_secs(1))).await.unwrap().unwrap();
    assert!(report.is_right() && report.events == stormed.acknowledged, "{report:#?}\n{}", engine.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_where_a_file_on_the_engines_disk_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("players.jsonl");
    let line = |number: u32| {
        let key = format!("player-{number:06}");
        let value = String::from_utf8(known_of(key.as_bytes())?).unwrap();
        Some(format!("{{\"key\": \"{key}\", \"value\": {value}}}\n"))
    };
    std::fs::write(&path, (0..100_000).filter_map(line).collect::<String>()).unwrap();
    let fleet = fleet_with(embedded("file", 2), "file", 2, vec![of_player("player", file(&path))]).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    judge(&fleet, 1_000, 3, &engine).await;
    let counts = engine.metrics("veltrix_lookups_total");
    let of = |result: &str| counts[&format!("{{lookup=\"player\",result=\"{result}\"}}")];
    assert!(of("found") > of("not_found") && of("not_found") > 100.0 && of("failed") == 0.0, "{counts:?}");
    // Half of the events are moves and clicks, which no route looks anything up for.
    let events: f64 = engine.metrics("veltrix_events_consumed_total").values().sum();
    assert!(of("found") + of("not_found") < 0.9 * events, "{counts:?} of {events}");
    assert_eq!(engine.terminate(), Some(0));
}

/// A service that knows players. It answers while its gate is open.
pub(crate) struct Service {
    asked: AtomicU64,
    pub(crate) gate: watch::Sender<bool>,
}

impl Service {
    pub(crate) async fn start() -> (Arc<Service>, String) {
        let service = Arc::new(Service { asked: AtomicU64::new(0), gate: watch::Sender::new(true) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/players/{{key}}", listener.local_addr().unwrap());
        let router = Router::new().route("/players/{key}", get(Service::answer)).with_state(Arc::clone(&service));
        tokio::spawn(axum::serve(listener, router).into_future());
        (service, url)
    }

    async fn answer(State(service): State<Arc<Service>>, UrlPath(key): UrlPath<String>) -> (StatusCode, Vec<u8>) {
        service.asked.fetch_add(1, Ordering::Relaxed);
        let mut gate = service.gate.subscribe();
        gate.wait_for(|is_open| *is_open).await.unwrap();
        match known_of(key.as_bytes()) {
            Some(known) => (StatusCode::OK, known),
            None => (StatusCode::NOT_FOUND, Vec::new()),
        }
    }

    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    async fn wait_until_asked(&self) {
        let before = self.asked();
        while self.asked() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn http(url: &str, timeout_ms: u32) -> lookup::Source {
    lookup::Source::Http(HttpCall { url: url.to_owned(), timeout_ms })
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_calls_and_go_where_the_answers_say() {
    let (service, url) = Service::start().await;
    let cache = LookupCache { entries: 5_000, ttl_ms: 60_000, negative_ttl_ms: 60_000 };
    let mut remembered = of_player("remembered", http(&url, 10_000));
    remembered.cache = Some(cache);
    let lookups = vec![remembered, of_player("fresh", http(&url, 10_000))];
    let fleet = fleet_with(embedded("calls", 2), "calls", 2, lookups).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    judge(&fleet, 1_000, 3, &engine).await;
    let counts = engine.metrics("veltrix_lookups_total");
    let of = |lookup: &str, result: &str| counts[&format!("{{lookup=\"{lookup}\",result=\"{result}\"}}")];
    assert!(of("remembered", "hit") > 0.0 && of("fresh", "hit") == 0.0 && of("fresh", "failed") == 0.0, "{counts:?}");
    let all =
        |lookup: &str| ["hit", "found", "not_found", "failed"].map(|result| of(lookup, result)).iter().sum::<f64>();
    assert!(all("remembered") > 200.0, "{counts:?}");
    // Each call was made for some event, and what several events waited for was called once.
    let calls: f64 = engine.metrics("veltrix_lookup_seconds_count").values().sum();
    assert_eq!(calls, service.asked() as f64);
    assert!(calls <= all("fresh") + all("remembered") - of("remembered", "hit"), "{calls} calls for {counts:?}");
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_need_no_lookup_make_none() {
    let (service, url) = Service::start().await;
    let fleet = fleet_with(embedded("none", 1), "none", 1, vec![of_player("player", http(&url, 10_000))]).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source) = (fleet.bootstrap(), fleet.source());
    let waiting = Arc::clone(&fleet);
    let sending = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        (0..100)
            .for_each(|_| sender.queue(&source, Some(b"player-000001"), b"", &[("ce_type", b"input.player.moved")]));
        sender.flush();
        waiting.wait_until_committed();
    });
    sending.await.unwrap();
    let counts = engine.metrics("veltrix_lookups_total");
    assert!(counts.len() == 4 && counts.values().all(|count| *count == 0.0), "{counts:?}");
    assert_eq!((service.asked(), engine.metrics("veltrix_lookup_seconds_count").values().sum()), (0, 0.0));
    assert_eq!(engine.terminate(), Some(0));
}

/// An engine that is killed while its events wait, and another one that goes on.
async fn killed_while_it_waits(broker: Broker, name: &str, partitions: u16) {
    let (service, url) = Service::start().await;
    let fleet = fleet_with(broker, name, partitions, vec![of_player("player", http(&url, 10_000))]).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (storm, audit) = fleet.start_storm(500, Duration::from_secs(6));
    service.wait_until_asked().await;
    for _ in 0..2 {
        service.gate.send_replace(false);
        service.wait_until_asked().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        // A table can be changed while events wait.
        fleet.push_again().await;
        service.gate.send_replace(true);
        service.wait_until_asked().await;
    }
    service.gate.send_replace(false);
    service.wait_until_asked().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    engine.kill();
    service.gate.send_replace(true);
    let engine = fleet.start_engine(0);
    let stormed = tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    let waiting = Arc::clone(&fleet);
    tokio::task::spawn_blocking(move || waiting.wait_until_committed()).await.unwrap();
    let report = tokio::task::spawn_blocking(|| audit.finish(Duration::from_secs(1))).await.unwrap().unwrap();
    assert!(report.is_right() && report.events == stormed.acknowledged, "{report:#?}\n{}", engine.log());
    assert_eq!(engine.metrics("veltrix_lookups_total")["{lookup=\"player\",result=\"failed\"}"], 0.0);

    // A stop does not wait for answers either, and leaves nothing behind but what was not routed.
    service.gate.send_replace(false);
    let (storm, _audit) = fleet.start_storm(500, Duration::from_secs(1));
    service.wait_until_asked().await;
    tokio::task::spawn_blocking(|| storm.join()).await.unwrap().unwrap();
    let stopping = Instant::now();
    assert_eq!(engine.terminate(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(9));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_while_its_events_wait_loses_none_of_them() {
    killed_while_it_waits(embedded("waits", 2), "waits", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_while_its_events_wait_loses_none_of_them_on_a_real_broker() {
    let Some(broker) = Broker::real("an engine that is killed while its events wait") else { return };
    killed_while_it_waits(broker, "waits-real", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_a_dead_letter_where_the_route_says_so_and_order_is_kept() {
    let (service, url) = Service::start().await;
    service.gate.send_replace(false);
    let mut fleet = Fleet::start(embedded("late", 1), "late", 1).await;
    let mut map = with_lookups(&fleet, vec![of_player("player", http(&url, 300))]);
    let first = map.routes.iter_mut().find(|route| route.id == "looked-up-0").unwrap();
    first.on_absent = OnAbsent::DeadLetter.into();
    fleet.push(map.encode_to_vec()).await.unwrap();
    fleet.map = map;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let (bootstrap, source, prefix) = (fleet.bootstrap(), fleet.source(), fleet.prefix.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        let types = ["hunt.clue.found", "input.player.moved", "hunt.clue.found"];
        for (number, event_type) in types.into_iter().enumerate() {
            let headers: [(&str, &[u8]); 2] = [("ce_type", event_type.as_bytes()), ("ce_sampled", b"true")];
            sender.queue(&source, Some(b"player-000001"), number.to_string().as_bytes(), &headers);
        }
        sender.flush();
        let letters = read(&bootstrap, &format!("{prefix}-dead-letters"), 2);
        (letters, read(&bootstrap, &format!("{prefix}-hunt-analytics"), 3))
    });
    let (letters, delivered) = reading.await.unwrap();
    for letter in letters {
        assert_eq!(letter.headers["veltrix-dead-letter-cause"], "undecided");
        let reason = &letter.headers["veltrix-dead-letter-reason"];
        assert!(reason.contains("lookup `player` has failed: no answer within 300ms"), "{reason}");
    }
    // The second needs nothing and has waited for the first all the same.
    let order: Vec<_> = delivered.iter().map(|arrived| arrived.payload.clone().unwrap()).collect();
    assert_eq!(order, [b"0", b"1", b"2"]);
    assert_eq!(engine.terminate(), Some(0));
}

/// Storms at a fleet whose players are in a compacted topic.
async fn storm_with_a_topic(broker: Broker, name: &'static str, partitions: u16) {
    let players = format!("{name}-{}-players", std::process::id());
    let bootstrap = broker.bootstrap().to_owned();
    if let Broker::Real(_) = broker {
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().unwrap();
        let new = NewTopic::new(&players, 3, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
        admin.create_topics(&[new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    }
    let topic = players.clone();
    let filling = tokio::task::spawn_blocking(move || {
        let sender = Sender::new(&bootstrap);
        for number in 0..10_000 {
            let key = format!("player-{number:06}");
            // What was known before of all of them, and of every third one is not known any more.
            sender.queue_record(&topic, key.as_bytes(), Some(b"{\"region\": \"eu\", \"level\": 9}"));
            sender.queue_record(&topic, key.as_bytes(), known_of(key.as_bytes()).as_deref());
        }
        sender.flush();
    });
    filling.await.unwrap();
    let origin = Some(reference_table::Origin::Kafka(KafkaTopic { topic: players, ..KafkaTopic::default() }));
    let table = lookup::Source::Table(ReferenceTable { origin });
    let fleet = fleet_with(broker, name, partitions, vec![of_player("player", table)]).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    judge(&fleet, 1_000, 3, &engine).await;
    // A map that is pushed again takes the table over.
    fleet.push_again().await;
    assert_eq!(engine.log().matches("reference table read").count(), 1, "{}", engine.log());
    // Nothing is routed before the table is there again.
    engine.kill();
    fleet.wait_for_no_engine().await;
    let engine = fleet.start_engine(0);
    judge(&fleet, 1_001, 2, &engine).await;
    assert_eq!(engine.metrics("veltrix_lookups_total")["{lookup=\"player\",result=\"failed\"}"], 0.0);
    assert_eq!(engine.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_where_a_compacted_topic_says() {
    let players = format!("compact-{}-players", std::process::id());
    let broker = embedded_with("compact", 2, &[&players]);
    storm_with_a_topic(broker, "compact", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_where_a_compacted_topic_of_a_real_broker_says() {
    let Some(broker) = Broker::real("events that go where a compacted topic says") else { return };
    storm_with_a_topic(broker, "compact-real", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_read_anew_when_its_topic_is_another_one_with_as_many_records() {
    let Some(broker) = Broker::real("a table whose topic is created anew") else { return };
    let topic = format!("table-anew-{}-players", std::process::id());
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
    let options = AdminOptions::new();
    let create = async || {
        let new = || NewTopic::new(&topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = admin.create_topics(&[new()], &options).await.unwrap().remove(0) {
            // The old one is not quite gone.
            assert!(error.1 == RDKafkaErrorCode::TopicAlreadyExists && Instant::now() < deadline, "{error:?}");
        }
    };
    let fill = |who: &str| {
        let sender = Sender::new(broker.bootstrap());
        (0..10).for_each(|number| sender.queue_record(&topic, format!("{who}-{number}").as_bytes(), Some(b"{}")));
        sender.flush();
    };
    create().await;
    fill("old");
    let origin = Some(reference_table::Origin::Kafka(KafkaTopic { topic: topic.clone(), ..KafkaTopic::default() }));
    let table = of_player("player", lookup::Source::Table(ReferenceTable { origin }));
    let bootstrap = broker.bootstrap().to_owned();
    let fleet = fleet_with(Broker::Real(bootstrap), "table-anew", 1, vec![table]).await;
    let engine = fleet.start_engine(0);
    fleet.wait_for_engines(1).await;
    let ask_for = |who: &str| {
        let sender = Sender::new(broker.bootstrap());
        for number in 0..10 {
            let key = format!("{who}-{number}");
            sender.queue(&fleet.source(), Some(key.as_bytes()), b"", &[("ce_type", b"hunt.clue.found")]);
        }
        sender.flush();
        fleet.wait_until_committed();
        let counts = engine.metrics("veltrix_lookups_total");
        ["found", "not_found", "failed"].map(|result| counts[&format!("{{lookup=\"player\",result=\"{result}\"}}")])
    };
    assert_eq!(tokio::task::block_in_place(|| ask_for("old")), [10.0, 0.0, 0.0]);
    assert!(admin.delete_topics(&[&topic], &options).await.unwrap().remove(0).is_ok());
    create().await;
    fill("new");
    let deadline = Instant::now() + PATIENCE;
    while engine.log().matches("reference table read").count() < 2 {
        assert!(Instant::now() < deadline, "{}", engine.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tokio::task::block_in_place(|| ask_for("new")), [20.0, 0.0, 0.0], "{}", engine.log());
    assert_eq!(tokio::task::block_in_place(|| ask_for("old")), [20.0, 10.0, 0.0]);
    assert_eq!(engine.terminate(), Some(0));
}
