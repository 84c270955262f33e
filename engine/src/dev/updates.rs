//! Pushes changed RouteMaps at a steady rate, to show that nobody notices.
//!
//! Start at [`push_updates`]. [`Variations`] makes the maps: each is valid and routes otherwise than the one before. [`Versions`]
//! keeps the table of every version for the audit.

use crate::audit::Tables;
use parking_lot::Mutex;
use prost::Message as _;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use veltrix_proto::v1::{
    Condition, EventTypes, Literal, Literals, Route, RouteMap, Tenant, condition, literal, predicate,
};
use veltrix_route_table::{Refused, RouteTable, compile};

/// The tables of the versions that events under way can have been routed by.
#[derive(Default)]
pub struct Versions {
    tables: Mutex<BTreeMap<u64, (Instant, Arc<RouteTable>)>>,
    look_up: Option<LookUp>,
}

/// What a lookup of this id finds under this key.
type LookUp = Box<dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync>;

impl Versions {
    /// A version is forgotten when it is so old, and when so many are newer.
    const KEPT_FOR: Duration = Duration::from_secs(120);
    const KEPT_MIN: usize = 64;

    /// Without any version yet.
    pub fn new() -> Versions {
        Versions::default()
    }

    /// The same, with what their lookups find.
    pub fn with_lookups(look_up: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Versions {
        Versions { look_up: Some(Box::new(look_up)), ..Versions::default() }
    }

    /// Adds a version that engines may be routing by, or soon will.
    pub fn add(&self, version: u64, table: Arc<RouteTable>) {
        let now = Instant::now();
        let mut tables = self.tables.lock();
        tables.insert(version, (now, table));
        while tables.len() > Versions::KEPT_MIN
            && let Some(oldest) = tables.first_entry()
            && now.duration_since(oldest.get().0) > Versions::KEPT_FOR
        {
            oldest.remove();
        }
    }
}

impl Tables for Versions {
    fn table(&self, version: u64) -> Option<Arc<RouteTable>> {
        self.tables.lock().get(&version).map(|(_, table)| Arc::clone(table))
    }

    fn newest(&self) -> u64 {
        self.tables.lock().last_key_value().map_or(0, |(version, _)| *version)
    }

    fn look_up(&self, lookup: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.look_up.as_ref()?(lookup, key)
    }
}

/// An endless series of RouteMaps, each valid if the base is, and each unlike the one before it.
#[derive(Clone, Debug)]
pub struct Variations {
    base: RouteMap,
}

/// Tenants that come and go; those of the storm's events.
const TENANTS: [&str; 4] = ["hunt-lisbon", "hunt-kyoto", "hunt-oslo", "hunt-quito"];
const VALUES: [&[&str]; 4] = [&["eu"], &["us", "ap"], &["eu", "us", "sa"], &["ap"]];

impl Variations {
    /// Of this map.
    pub fn new(base: RouteMap) -> Variations {
        Variations { base }
    }

    /// Map `number` of the series: always the same one. One route gains or loses a destination, another one from map to map; every
    /// second map a tenant comes or goes; every third the values of the first `in` condition change.
    pub fn map(&self, number: u64) -> RouteMap {
        let mut map = self.base.clone();
        let destinations: Vec<String> = map.destinations.iter().map(|destination| destination.id.clone()).collect();
        if let (Some(route), Some(destination)) = (pick_mut(&mut map.routes, number), {
            let rounds = number / self.base.routes.len().max(1) as u64;
            destinations.get((rounds % destinations.len().max(1) as u64) as usize)
        }) {
            toggle(&mut route.to, destination, &destinations);
        }
        if let (1, Some(destination)) = (number / 2 % 2, destinations.last()) {
            let id = TENANTS[(number / 4 % TENANTS.len() as u64) as usize];
            if map.tenants.iter().all(|tenant| tenant.id != id) {
                map.tenants.push(visitor(id, destination));
            }
        }
        if number / 3 % 2 == 1 {
            let values = VALUES[(number / 6 % VALUES.len() as u64) as usize];
            let _ = map.routes.iter_mut().filter_map(|route| route.when.as_mut()).any(|when| set_values(when, values));
        }
        map
    }
}

fn pick_mut<T>(things: &mut [T], number: u64) -> Option<&mut T> {
    let count = things.len().max(1) as u64;
    things.get_mut((number % count) as usize)
}

/// Removes `destination` from the list or adds it; a list of one gets another one instead of none.
fn toggle(to: &mut Vec<String>, destination: &String, all: &[String]) {
    match to.iter().position(|listed| listed == destination) {
        Some(at) if to.len() > 1 => {
            to.remove(at);
        }
        Some(_) => to.extend(all.iter().find(|other| *other != destination).cloned()),
        None => to.push(destination.clone()),
    }
}

fn visitor(id: &str, destination: &str) -> Tenant {
    let route = Route {
        id: format!("visitor-{id}"),
        types: Some(EventTypes { prefixes: vec!["hunt.".to_owned()], ..EventTypes::default() }),
        to: vec![destination.to_owned()],
        ..Route::default()
    };
    Tenant { id: id.to_owned(), routes: vec![route], ..Tenant::default() }
}

/// Sets the values of the first `in` of a condition, if it has one.
fn set_values(condition: &mut Condition, values: &[&str]) -> bool {
    match &mut condition.kind {
        Some(condition::Kind::Predicate(predicate)) => match &mut predicate.test {
            Some(predicate::Test::In(Literals { values: listed })) => {
                let literal = |text: &&str| Literal { kind: Some(literal::Kind::Text((*text).to_owned())) };
                *listed = values.iter().map(literal).collect();
                true
            }
            _ => false,
        },
        Some(condition::Kind::All(parts) | condition::Kind::Any(parts)) => {
            parts.conditions.iter_mut().any(|part| set_values(part, values))
        }
        Some(condition::Kind::Not(part)) => set_values(part, values),
        Some(condition::Kind::AnyElement(any)) => any.condition.as_mut().is_some_and(|part| set_values(part, values)),
        Some(condition::Kind::Cel(_) | condition::Kind::EventPattern(_)) | None => false,
    }
}

/// What became of the updates so far.
#[derive(Debug, Default)]
pub struct UpdateCounts {
    applied: AtomicU64,
    skipped: AtomicU64,
    failed: AtomicU64,
}

impl UpdateCounts {
    /// Updates that were answered with a version.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// Updates that were due while an earlier one was not answered yet, and were left out.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Updates that were refused.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Pushes variations of `base`, `per_second` of them, until `stop` is cancelled.
///
/// `push` gets a serialized RouteMap and yields the version that it became. A refusal is counted and logged, and the next map is
/// pushed when it is due.
///
/// # Errors
/// The base does not compile.
pub async fn push_updates<P, F, E>(
    base: RouteMap,
    per_second: NonZeroU32,
    versions: Arc<Versions>,
    counts: Arc<UpdateCounts>,
    stop: CancellationToken,
    mut push: P,
) -> Result<(), Refused>
where
    P: FnMut(Vec<u8>) -> F,
    F: Future<Output = Result<u64, E>>,
    E: Display,
{
    let variations = Variations::new(base);
    let began = Instant::now();
    let mut number: u64 = 0;
    loop {
        let due = began + Duration::from_secs(1).mul_f64(number as f64 / f64::from(per_second.get()));
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let map = variations.map(number);
        let table = Arc::new(compile(&map)?);
        // Not cut short by `stop`: a version that came to be must be known to the audit.
        match push(map.encode_to_vec()).await {
            Ok(version) => {
                versions.add(version, table);
                counts.applied.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                counts.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "a pushed RouteMap was refused");
            }
        }
        let due_by_now = (began.elapsed().as_secs_f64() * f64::from(per_second.get())) as u64;
        counts.skipped.fetch_add(due_by_now.saturating_sub(number + 1), Ordering::Relaxed);
        number = due_by_now.max(number + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> RouteMap {
        RouteMap::decode(crate::EMBEDDED_ROUTES).unwrap()
    }

    #[test]
    fn every_map_is_valid_and_unlike_the_one_before() {
        let variations = Variations::new(base());
        let mut before = base();
        for number in 0..500 {
            let map = variations.map(number);
            compile(&map).unwrap_or_else(|refused| panic!("map {number}: {refused}"));
            assert_ne!((&map.routes, &map.tenants), (&before.routes, &before.tenants), "map {number}");
            before = map;
        }
        assert_eq!(variations.map(77), variations.map(77));
    }

    #[test]
    fn destinations_regions_and_tenants_all_change() {
        let variations = Variations::new(base());
        let maps: Vec<RouteMap> = (0..48).map(|number| variations.map(number)).collect();
        let tenants = |map: &RouteMap| map.tenants.len();
        assert!(maps.iter().any(|map| tenants(map) != tenants(&maps[0])));
        let conditions = |map: &RouteMap| map.routes.iter().map(|route| route.when.clone()).collect::<Vec<_>>();
        assert!(maps.iter().any(|map| conditions(map) != conditions(&maps[0])));
        let targets = |map: &RouteMap| map.routes.iter().map(|route| route.to.clone()).collect::<Vec<_>>();
        assert!(maps.windows(2).all(|two| targets(&two[0]) != targets(&two[1])));
    }

    #[tokio::test]
    async fn updates_that_are_due_while_one_is_not_answered_are_skipped_and_counted() {
        let (versions, counts, stop) =
            (Arc::new(Versions::new()), Arc::new(UpdateCounts::default()), CancellationToken::new());
        let mut version = 0;
        let push = |_: Vec<u8>| {
            version += 1;
            let stop = stop.clone();
            async move {
                match version {
                    // Longer than two updates are apart, on the clock that counts.
                    2 => {
                        let began = Instant::now();
                        while began.elapsed() < Duration::from_millis(35) {
                            std::hint::spin_loop();
                        }
                    }
                    3 => return Err("refused"),
                    5 => stop.cancel(),
                    _ => {}
                }
                Ok(version)
            }
        };
        let per_second = NonZeroU32::new(100).unwrap();
        push_updates(base(), per_second, Arc::clone(&versions), Arc::clone(&counts), stop.clone(), push).await.unwrap();
        assert_eq!((counts.applied(), counts.failed()), (4, 1));
        assert!(counts.skipped() >= 2, "{}", counts.skipped());
        assert_eq!(versions.newest(), 5);
        assert!(versions.table(2).is_some() && versions.table(3).is_none());
    }

    #[test]
    fn young_versions_are_kept_however_many() {
        let (versions, table) = (Versions::new(), Arc::new(compile(&base()).unwrap()));
        (1..=1_000).for_each(|version| versions.add(version, Arc::clone(&table)));
        assert!(versions.table(1).is_some());
        assert_eq!(versions.newest(), 1_000);
    }
}
