//! What events don't carry is looked up, and held against what an audit finds there.

use crate::fleet::{Broker, EngineProcess, Fleet, embedded};
use prost::Message as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use veltrix_engine::dev::updates::Versions;
use veltrix_proto::v1::{
    Condition, EventTypes, Lookup, LookupKey, RecordPart, ReferenceTable, Route, RouteMap, condition, lookup,
    lookup_key, reference_table,
};
use veltrix_route_table::compile;

/// What is known of a player: nothing of every third one.
fn known_of(key: &[u8]) -> Option<Vec<u8>> {
    let number: u64 = std::str::from_utf8(key).ok()?.strip_prefix("player-")?.parse().ok()?;
    let region = ["eu", "us", "ap"].get(number as usize % 5).copied().unwrap_or("nowhere");
    (!number.is_multiple_of(3))
        .then(|| format!("{{\"region\": \"{region}\", \"level\": {}}}", number % 10).into_bytes())
}

fn of_player(id: &str, source: lookup::Source) -> Lookup {
    let attribute = Some(lookup_key::Attribute::Part(RecordPart::Key.into()));
    Lookup { id: id.to_owned(), key: Some(LookupKey { attribute }), source: Some(source), cache: None }
}

fn file(path: &Path) -> lookup::Source {
    let origin = Some(reference_table::Origin::File(path.display().to_string()));
    lookup::Source::Table(ReferenceTable { origin })
}

/// The fleet's map, with routes that depend on these lookups: one on each, and one on all of them.
fn with_lookups(fleet: &Fleet, lookups: Vec<Lookup>) -> RouteMap {
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
async fn fleet_with(broker: Broker, name: &str, partitions: u16, lookups: Vec<Lookup>) -> Arc<Fleet> {
    let mut fleet = Fleet::start(broker, name, partitions).await;
    let map = with_lookups(&fleet, lookups);
    fleet.versions = Arc::new(Versions::with_lookups(|_, key| known_of(key)));
    let version = fleet.push(map.encode_to_vec()).await.unwrap();
    fleet.versions.add(version, Arc::new(compile(&map).unwrap()));
    fleet.map = map;
    Arc::new(fleet)
}

async fn judge(fleet: &Arc<Fleet>, rate: u64, seconds: u64, engine: &EngineProcess) {
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
