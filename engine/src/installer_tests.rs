//! What an installer prepares and commits, what it refuses, and what it does when Kafka is away or its disk fails.

use super::*;
use crate::dev::broker::EmbeddedBroker;
use crate::lookups::{Access, View};
use prost::Message as _;
use std::num::NonZeroU16;
use veltrix_proto::v1::{
    Destination, EventTypes, KafkaTopic, Lookup, LookupKey, ReferenceTable, Route, RouteMap, Tenant, destination,
    lookup, lookup_key, reference_table,
};
use veltrix_route_table::compile;

/// An installer whose Kafka has the topics of the embedded map.
struct Rig {
    installer: Installer,
    published: Arc<Published>,
    metrics: Metrics,
    _broker: EmbeddedBroker,
}

impl Rig {
    fn new(last_known_good: Option<LastKnownGood>) -> Rig {
        let table = compile(&RouteMap::decode(crate::EMBEDDED_ROUTES).unwrap()).unwrap();
        let topics: Vec<_> = table.destinations().map(|destination| (destination.topic, NonZeroU16::MIN)).collect();
        let broker = EmbeddedBroker::start(&topics).unwrap();
        let kafka = KafkaSettings::new(broker.bootstrap_servers(), None, &[]).unwrap();
        let (published, metrics) = (Arc::<Published>::default(), Metrics::new().unwrap());
        let installer =
            Installer::new(&kafka, Vec::new(), Arc::clone(&published), last_known_good, metrics.clone()).unwrap();
        Rig { installer, published, metrics, _broker: broker }
    }

    fn prepare(&mut self, version: u64) -> [u8; 32] {
        let map = Bytes::from_static(crate::EMBEDDED_ROUTES);
        let sha256: [u8; 32] = Sha256::digest(&map).into();
        self.installer.prepare(version, &sha256, map).unwrap();
        sha256
    }

    fn in_force(&self) -> Option<u64> {
        self.published.current().map(|current| current.version.get())
    }
}

#[test]
fn a_version_that_is_not_newer_than_the_one_in_force_is_not_committed() {
    let mut rig = Rig::new(None);
    let sha256 = rig.prepare(2);
    rig.installer.commit(2, &sha256).unwrap();
    for version in [2, 1] {
        let sha256 = rig.prepare(version);
        let refused = rig.installer.commit(version, &sha256).unwrap_err();
        assert!(matches!(refused, CommitError::NotNewer { .. }), "{refused}");
        assert_eq!(rig.in_force(), Some(2));
    }
    let sha256 = rig.prepare(3);
    rig.installer.commit(3, &sha256).unwrap();
    assert_eq!(rig.in_force(), Some(3));
}

#[test]
fn how_many_routes_a_compiled_one_stands_for_is_told_of_the_map_in_force() {
    let mut rig = Rig::new(None);
    assert_eq!(rig.metrics.route_aggregation_ratio.get(), 0.0);
    let kafka = KafkaTopic { topic: "board".to_owned(), ..KafkaTopic::default() };
    let route = |id: usize| Route {
        id: id.to_string(),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        to: vec!["board".to_owned()],
        ..Route::default()
    };
    for (version, routes) in [(1, 6), (2, 1)] {
        let map = RouteMap {
            name: "hunt".to_owned(),
            destinations: vec![Destination {
                id: "board".to_owned(),
                kind: Some(destination::Kind::Kafka(kafka.clone())),
            }],
            routes: (0..routes).map(route).collect(),
            ..RouteMap::default()
        };
        let version = RouteMapVersion::from_wire(version).unwrap();
        rig.installer.begin_with(version, &map.encode_to_vec()).unwrap();
        assert_eq!(rig.metrics.route_aggregation_ratio.get(), routes as f64);
    }
    assert!(rig.metrics.render().contains("veltrix_route_aggregation_ratio 1\n"), "{}", rig.metrics.render());
}

#[test]
fn what_was_not_prepared_or_was_aborted_is_not_committed() {
    let mut rig = Rig::new(None);
    let refused = |rig: &mut Rig, version, sha256: &[u8]| {
        let refused = rig.installer.commit(version, sha256).unwrap_err();
        assert!(matches!(refused, CommitError::NotPrepared(named) if named == version), "{refused}");
        assert_eq!(rig.in_force(), None);
    };
    refused(&mut rig, 1, &[0; 32]);
    let sha256 = rig.prepare(1);
    refused(&mut rig, 2, &sha256);
    refused(&mut rig, 1, &[0; 32]);
    rig.installer.abort();
    refused(&mut rig, 1, &sha256);
    rig.prepare(1);
    rig.installer.commit(1, &sha256).unwrap();
    assert_eq!(rig.in_force(), Some(1));
}

#[test]
fn a_map_comes_in_force_though_the_disk_fails_and_the_failure_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let mut rig = Rig::new(Some(LastKnownGood::new(&state)));
    let failures = |rig: &Rig| rig.metrics.last_known_good_failures.get();
    let sha256 = rig.prepare(1);
    rig.installer.commit(1, &sha256).unwrap();
    assert_eq!((rig.in_force(), failures(&rig)), (Some(1), 0));
    // A file in the directory's place fails for everybody, whatever the rights of who runs the test.
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "no directory").unwrap();
    rig.prepare(2);
    rig.installer.commit(2, &sha256).unwrap();
    assert_eq!((rig.in_force(), failures(&rig)), (Some(2), 1));
}

/// Of an engine that reads from `events`, with a Kafka that never answers.
fn without_kafka() -> Installer {
    let kafka = KafkaSettings::new("127.0.0.1:1", None, &[]).unwrap();
    let metrics = Metrics::new().unwrap();
    Installer::new(&kafka, vec!["events".to_owned()], Arc::default(), None, metrics).unwrap()
}

fn map(topics: &[&str]) -> Bytes {
    let destination = |topic: &&str| Destination {
        id: format!("to-{topic}"),
        kind: Some(destination::Kind::Kafka(KafkaTopic { topic: (*topic).to_owned(), ..Default::default() })),
    };
    let destinations: Vec<Destination> = topics.iter().map(destination).collect();
    let route = Route {
        id: "everything".to_owned(),
        types: Some(EventTypes { any: true, ..EventTypes::default() }),
        to: destinations.iter().map(|destination| destination.id.clone()).collect(),
        ..Route::default()
    };
    RouteMap { name: "test".to_owned(), destinations, routes: vec![route], ..RouteMap::default() }
        .encode_to_vec()
        .into()
}

fn prepare(installer: &mut Installer, version: u64, map: &Bytes) -> Result<Duration, Vec<PrepareError>> {
    installer.prepare(version, &Sha256::digest(map), map.clone())
}

fn version(version: u64) -> RouteMapVersion {
    RouteMapVersion::from_wire(version).unwrap()
}

#[test]
fn a_map_without_new_topics_can_be_put_in_force_while_kafka_is_away_and_one_with_a_new_topic_is_refused() {
    let mut installer = without_kafka();
    installer.begin_with(version(1), &map(&["a", "b"])).unwrap();
    for (version, topics) in [(2, ["b", "a"].as_slice()), (3, &["b"])] {
        let map = map(topics);
        prepare(&mut installer, version, &map).unwrap();
        assert!(installer.commit(version, &Sha256::digest(&map)).unwrap().adopted);
    }
    let errors = prepare(&mut installer, 4, &map(&["b", "a"])).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::Kafka(_)]), "{errors:?}");
}

#[test]
fn a_destination_that_is_a_source_is_refused_by_name() {
    let mut installer = without_kafka();
    let errors = prepare(&mut installer, 1, &map(&["a", "events"])).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::Loop { index: 1, .. }]), "{errors:?}");
    let text = errors[0].to_string();
    assert!(text.contains("destination `to-events` names topic `events`, which this engine reads from"), "{text}");
    let on_disk = installer.begin_with(version(1), &map(&["events"])).unwrap_err();
    assert!(matches!(on_disk, PrepareError::Loop { .. }), "{on_disk}");
}

/// A map whose players are looked up in a file.
fn map_with_players(file: &std::path::Path) -> Bytes {
    let mut map = RouteMap::decode(map(&["a"])).unwrap();
    map.lookups.push(Lookup {
        id: "player".to_owned(),
        key: Some(LookupKey { attribute: Some(lookup_key::Attribute::Header("player".to_owned())) }),
        source: Some(lookup::Source::Table(ReferenceTable {
            origin: Some(reference_table::Origin::File(file.display().to_string())),
        })),
        cache: None,
    });
    map.encode_to_vec().into()
}

/// The table of the first lookup.
fn view_of(sources: &Sources) -> View {
    match sources.iter().next().unwrap().access() {
        Access::Memory(view) => view,
        Access::Call(caller) => panic!("{caller:?} is no table"),
    }
}

#[test]
fn a_lookup_that_can_not_be_made_is_refused_by_name_and_one_of_a_map_on_disk_fails_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("players.jsonl");
    let map = map_with_players(&file);
    let mut installer = without_kafka();
    installer.begin_with(version(1), &map).unwrap();
    let in_force = installer.published.current().unwrap();
    let mut view = view_of(&in_force.lookups);
    assert!(view.get(b"p7").unwrap_err().contains("can't read"));

    let errors = prepare(&mut installer, 2, &map).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::Lookup(Unusable { index: 0, .. })]), "{errors:?}");
    assert!(errors[0].to_string().starts_with("lookup `player` can't be made: can't read"), "{}", errors[0]);

    std::fs::write(&file, "{\"key\": \"p7\", \"value\": 1}").unwrap();
    prepare(&mut installer, 2, &map).unwrap();
    installer.commit(2, &Sha256::digest(&map)).unwrap();
    // The one that was in force sees the file, too, in its own time.
    let patience = Instant::now() + Duration::from_secs(60);
    while view.get(b"p7") != Ok(Some(b"1")) && Instant::now() < patience {
        std::thread::yield_now();
        view.refresh();
    }
    assert_eq!(view.get(b"p7"), Ok(Some(&b"1"[..])));
}

#[test]
fn a_lookup_that_is_declared_as_before_keeps_its_source_and_one_that_is_not_gets_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, value: u32| {
        let file = directory.path().join(name);
        std::fs::write(&file, format!("{{\"key\": \"p7\", \"value\": {value}}}")).unwrap();
        file
    };
    let (one, other) = (file("one", 1), file("other", 2));
    let mut installer = without_kafka();
    let sources = |installer: &Installer| installer.published.current().unwrap().lookups.clone();
    installer.begin_with(version(1), &map_with_players(&one)).unwrap();
    let first = sources(&installer);
    for (version, file, is_kept) in [(2, &one, true), (3, &other, false)] {
        let map = map_with_players(file);
        prepare(&mut installer, version, &map).unwrap();
        installer.commit(version, &Sha256::digest(&map)).unwrap();
        let now = sources(&installer);
        assert_eq!(Arc::ptr_eq(first.iter().next().unwrap(), now.iter().next().unwrap()), is_kept);
        let expected = if is_kept { &b"1"[..] } else { b"2" };
        assert_eq!(view_of(&now).get(b"p7"), Ok(Some(expected)));
    }
}

#[test]
fn each_topic_that_placeholders_stand_for_is_looked_at_and_told_by_its_destinations_place() {
    let mut installer = without_kafka();
    let of_tenants = |map: &Bytes, topic: &str| -> Bytes {
        let mut map = RouteMap::decode(map.clone()).unwrap();
        map.destinations[0].kind =
            Some(destination::Kind::Kafka(KafkaTopic { topic: topic.to_owned(), ..Default::default() }));
        map.tenants = ["x", "ents"].map(|id| Tenant { id: id.to_owned(), ..Tenant::default() }).to_vec();
        map.encode_to_vec().into()
    };
    let errors = prepare(&mut installer, 1, &of_tenants(&map(&["a", "b"]), "ev{tenant}")).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::Loop { index: 0, .. }]), "{errors:?}");
    let text = errors[0].to_string();
    assert!(text.contains("destination `to-a` names topic `events`, which this engine reads from"), "{text}");
    // All of them are asked for, and none once they are in force.
    installer.begin_with(version(1), &of_tenants(&map(&["a", "b"]), "a-{tenant}")).unwrap();
    let errors = prepare(&mut installer, 2, &map(&["b", "a-x", "a-y"])).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::Kafka(_)]), "{errors:?}");
    prepare(&mut installer, 2, &map(&["b", "a-x", "a-ents"])).unwrap();
}

#[test]
fn version_0_is_neither_prepared_nor_committed() {
    let (mut installer, map) = (without_kafka(), map(&["a"]));
    let errors = prepare(&mut installer, 0, &map).unwrap_err();
    assert!(matches!(errors.as_slice(), [PrepareError::NoVersion]), "{errors:?}");
    assert!(matches!(installer.commit(0, &Sha256::digest(&map)), Err(CommitError::NotPrepared(0))));
    assert!(installer.published.current().is_none());
}

#[test]
fn a_prepare_behind_a_slow_commit_is_answered_before_the_control_plane_gives_the_engine_up() {
    let given = veltrix_control_plane::Config::default().prepare_timeout;
    assert!(ADOPT_TIMEOUT + TOPICS_TIMEOUT + LOOKUPS_TIMEOUT < given, "{given:?}");
}
