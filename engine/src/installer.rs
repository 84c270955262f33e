//! The engine's side of a route change: prepare, commit, abort. The slow path's only owner of tables that are not in force.
//!
//! *Prepare* checks the bytes, compiles them into memory that came back from the table before the last, and asks Kafka whether every
//! topic is there, and reads the reference tables of lookups; nothing of it touches an event. *Commit* writes the map to disk and publishes the table, waits until no router
//! uses the one before it, and takes that one's memory back. Everything here blocks; it runs on a blocking thread.

use crate::kafka::{Cluster, KafkaSettings};
use crate::last_known_good::{LastKnownGood, StoredMap};
use crate::lookups::{Preparer, Sources, Unusable};
use crate::metrics::Metrics;
use crate::snapshot::{Published, Snapshot};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use veltrix_route_table::{Compiler, Refused, RouteMapVersion, RouteTable};

/// How long Kafka may take to say which topics it has.
const TOPICS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long reference tables may take to be read on top of that. It goes on after that, so that the same map can be tried again.
const LOOKUPS_TIMEOUT: Duration = Duration::from_millis(1_500);
/// The same for a map that was in force before the engine was started anew, which nobody waits for.
const LOOKUPS_AT_START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long routers may take to leave the old table. A router looks for a new one in each of its rounds, also while it waits for
/// deliveries of partitions that it gives up, and a router that stops takes no part any more. So more than a second means that it waits
/// for a broker's answer while partitions change hands, which can take longer than is waited for here.
///
/// The next *prepare* waits behind this one's end: together with its question to Kafka, it has to be done within the time that the
/// control plane gives it.
const ADOPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a map can't be prepared here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error(
        "the {got} bytes that arrived do not have the digest that was announced; they were cut or changed on the way"
    )]
    Digest { got: usize },
    #[error("{0}")]
    Refused(#[source] Refused),
    #[error(
        "destination `{destination}` names topic `{topic}`, which the cluster does not have; create it, or remove the destination"
    )]
    MissingTopic { index: usize, destination: String, topic: String },
    #[error(
        "destination `{destination}` names topic `{topic}`, which this engine reads from (--source): what it delivers there it would route again, for ever; name another topic, or take that source from the engine"
    )]
    Loop { index: usize, destination: String, topic: String },
    #[error("lookup `{}` can't be made: {}", .0.lookup, .0.why)]
    Lookup(Unusable),
    #[error("version 0 can't be prepared: it stands for the map that is compiled into the engine")]
    NoVersion,
    #[error("can't ask Kafka for the topics of the destinations: {0}")]
    Kafka(#[source] rdkafka::error::KafkaError),
    #[error("compiling the map panicked; this is a bug of the engine, which goes on with the map in force")]
    Panic,
}

/// Why a commit was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    #[error("version {0} was not prepared here")]
    NotPrepared(u64),
    #[error(
        "version {offered} is not newer than version {in_force}, which this engine has routed by; versions never go back"
    )]
    NotNewer { offered: RouteMapVersion, in_force: RouteMapVersion },
}

/// What took how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) took: Duration,
    /// False: it is published, but a router still used the table before. See [`Installer::adopted_late`].
    pub(crate) adopted: bool,
}

/// A map that is published, and that a router had not adopted in time.
struct Late {
    version: u64,
    sha256: [u8; 32],
    generation: u64,
    began: Instant,
}

/// A map that all routers have adopted after all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdoptedLate {
    pub(crate) version: u64,
    pub(crate) sha256: [u8; 32],
    pub(crate) took: Duration,
}

struct Prepared {
    version: RouteMapVersion,
    sha256: [u8; 32],
    route_map: Bytes,
    table: RouteTable,
    lookups: Sources,
}

pub(crate) struct Installer {
    compiler: Compiler,
    published: Arc<Published>,
    prepared: Option<Prepared>,
    /// The newest map in force, as long as it is not known that every router has adopted it.
    late: Option<Late>,
    adopt_timeout: Duration,
    /// Tables that were replaced while a router that could not be waited for still used them.
    retired: Vec<Arc<Snapshot>>,
    cluster: Cluster,
    preparer: Preparer,
    /// What the routers read from; no destination may be among them.
    sources: Vec<String>,
    last_known_good: Option<LastKnownGood>,
    /// What was on disk at the start. Events carry its version already, so that nothing below it may come in force.
    found: Option<(RouteMapVersion, [u8; 32])>,
    metrics: Metrics,
}

impl Installer {
    pub(crate) fn new(
        kafka: &KafkaSettings,
        sources: Vec<String>,
        published: Arc<Published>,
        last_known_good: Option<LastKnownGood>,
        metrics: Metrics,
    ) -> Result<Installer, rdkafka::error::KafkaError> {
        let found = last_known_good.as_ref().and_then(LastKnownGood::load).map(|map| (map.version, map.sha256));
        Ok(Installer {
            found,
            compiler: Compiler::new(),
            published,
            prepared: None,
            late: None,
            adopt_timeout: ADOPT_TIMEOUT,
            retired: Vec::new(),
            cluster: Cluster::new(kafka)?,
            preparer: Preparer::new(kafka.clone(), metrics.clone()),
            sources,
            last_known_good,
            metrics,
        })
    }

    #[cfg(test)]
    pub(crate) fn with_adopt_timeout(self, adopt_timeout: Duration) -> Installer {
        Installer { adopt_timeout, ..self }
    }

    /// The last known good map on disk when the engine was started: version and SHA-256.
    pub(crate) fn found(&self) -> Option<(RouteMapVersion, [u8; 32])> {
        self.found
    }

    /// Makes a map ready to be committed; what was prepared before and not committed is dropped.
    pub(crate) fn prepare(
        &mut self,
        version: u64,
        announced: &[u8],
        route_map: Bytes,
    ) -> Result<Duration, Vec<PrepareError>> {
        let began = Instant::now();
        self.abort();
        let result = self.compile_and_check(version, announced, route_map);
        let outcome = if result.is_ok() { "prepared" } else { "rejected" };
        self.metrics.route_map_updates.with_label_values(&[outcome]).inc();
        let took = began.elapsed();
        self.metrics.route_map_seconds.with_label_values(&["prepare"]).observe(took.as_secs_f64());
        result.map(|()| took)
    }

    fn compile_and_check(&mut self, version: u64, announced: &[u8], route_map: Bytes) -> Result<(), Vec<PrepareError>> {
        let version = RouteMapVersion::from_wire(version).ok_or_else(|| vec![PrepareError::NoVersion])?;
        let sha256: [u8; 32] = Sha256::digest(&route_map).into();
        if announced != sha256 {
            return Err(vec![PrepareError::Digest { got: route_map.len() }]);
        }
        // A bug in the compiler must cost this update, not the engine.
        let table = match catch_unwind(AssertUnwindSafe(|| self.compiler.compile(&route_map))) {
            Ok(Ok(table)) => table,
            Ok(Err(refused)) => return Err(vec![PrepareError::Refused(refused)]),
            Err(_) => {
                self.compiler = Compiler::new();
                return Err(vec![PrepareError::Panic]);
            }
        };
        if let Err(errors) = self.check_topics(&table) {
            self.compiler.recycle(table);
            return Err(errors);
        }
        let in_force = self.lookups_in_force();
        let (lookups, unusable) = self.preparer.prepare(&table, &in_force, Instant::now() + LOOKUPS_TIMEOUT);
        if !unusable.is_empty() {
            self.compiler.recycle(table);
            return Err(unusable.into_iter().map(PrepareError::Lookup).collect());
        }
        self.prepared = Some(Prepared { version, sha256, route_map, table, lookups });
        Ok(())
    }

    fn lookups_in_force(&self) -> Sources {
        self.published.current().map(|current| current.lookups.clone()).unwrap_or_default()
    }

    /// Asks Kafka for the topics that the table in force does not have. Those that it has are delivered to already, and need no
    /// answer: so a map without new ones can be put in force while Kafka is away.
    fn check_topics(&self, table: &RouteTable) -> Result<(), Vec<PrepareError>> {
        let loops: Vec<PrepareError> = self.loops(table).collect();
        if !loops.is_empty() {
            return Err(loops);
        }
        let in_force = self.published.current();
        let known: HashSet<&str> =
            in_force.iter().flat_map(|snapshot| snapshot.table.destinations()).map(|known| known.topic).collect();
        let new = table.destinations().map(|destination| destination.topic).filter(|topic| !known.contains(topic));
        let missing = self.cluster.missing(new, TOPICS_TIMEOUT).map_err(|error| vec![PrepareError::Kafka(error)])?;
        let errors = destinations_of(table, |topic| missing.contains(topic))
            .map(|(index, destination, topic)| PrepareError::MissingTopic { index, destination, topic })
            .collect::<Vec<_>>();
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Destinations that are this engine's sources.
    fn loops(&self, table: &RouteTable) -> impl Iterator<Item = PrepareError> {
        destinations_of(table, |topic| self.sources.iter().any(|source| source == topic))
            .map(|(index, destination, topic)| PrepareError::Loop { index, destination, topic })
    }

    /// The topics among `topics` that the cluster does not have.
    pub(crate) fn missing_topics<'t>(
        &self,
        topics: impl Iterator<Item = &'t str>,
    ) -> Result<BTreeSet<&'t str>, rdkafka::error::KafkaError> {
        self.cluster.missing(topics, TOPICS_TIMEOUT)
    }

    /// Drops what was prepared, if anything was.
    pub(crate) fn abort(&mut self) {
        if let Some(prepared) = self.prepared.take() {
            self.compiler.recycle(prepared.table);
        }
    }

    /// Puts what was prepared in force, and returns when no router uses an older table, or when that takes too long.
    pub(crate) fn commit(&mut self, version: u64, sha256: &[u8]) -> Result<Committed, CommitError> {
        let began = Instant::now();
        let Some(prepared) =
            self.prepared.take_if(|prepared| prepared.version.get() == version && prepared.sha256 == sha256)
        else {
            return Err(CommitError::NotPrepared(version));
        };
        let offered = prepared.version;
        let in_force = self.published.current().map(|current| current.version);
        let goes_back = match (in_force, self.found) {
            (Some(in_force), _) => Some(in_force).filter(|in_force| offered <= *in_force),
            // The very map on disk may come from the control plane as well.
            (None, Some(found)) if found != (offered, prepared.sha256) => {
                Some(found.0).filter(|found| offered <= *found)
            }
            _ => None,
        };
        if let Some(in_force) = goes_back {
            self.compiler.recycle(prepared.table);
            return Err(CommitError::NotNewer { offered, in_force });
        }
        // On disk before it is in force: a restart of this engine must not go back to a version before one that its events carry.
        if let Some(store) = &self.last_known_good {
            let map = StoredMap { version: offered, sha256: prepared.sha256, route_map: prepared.route_map };
            if let Err(error) = store.store(&map) {
                self.metrics.last_known_good_failures.inc();
                tracing::error!(%error, version = %offered, "the RouteMap could not be written to disk; it is in force all the same, \
                    but after a restart without the control plane the engine would begin with an older one");
            }
        }
        let sha256 = prepared.sha256;
        let (generation, adopted) =
            self.publish(Snapshot { version: offered, sha256, table: prepared.table, lookups: prepared.lookups });
        // Also when one before is late: who has adopted this one has left that.
        self.late = (!adopted).then_some(Late { version, sha256, generation, began });
        self.metrics.route_map_updates.with_label_values(&["committed"]).inc();
        self.metrics.route_map_stale.set(0);
        let took = began.elapsed();
        self.metrics.route_map_seconds.with_label_values(&["commit"]).observe(took.as_secs_f64());
        Ok(Committed { took, adopted })
    }

    /// The map whose commit did not see all routers adopt it, once they have; it is told once. To be called every now and then.
    pub(crate) fn adopted_late(&mut self) -> Option<AdoptedLate> {
        let published = &self.published;
        let Late { version, sha256, began, .. } =
            self.late.take_if(|late| published.wait_until_adopted(late.generation, Duration::ZERO))?;
        self.take_back();
        Some(AdoptedLate { version, sha256, took: began.elapsed() })
    }

    /// Puts a map in force that needs no agreement: the last known good one, or the one in the binary. Topics are not asked for: they
    /// were there when the map was committed, and if one is gone, its events become dead letters while the others go on; lookups that
    /// can't be made fail in the same way. The sources can be others than they were then.
    pub(crate) fn begin_with(&mut self, version: RouteMapVersion, route_map: &[u8]) -> Result<(), PrepareError> {
        let sha256 = Sha256::digest(route_map).into();
        let table = self.compiler.compile(route_map).map_err(PrepareError::Refused)?;
        let made_loop = self.loops(&table).next();
        if let Some(error) = made_loop {
            self.compiler.recycle(table);
            return Err(error);
        }
        let in_force = self.lookups_in_force();
        let (lookups, unusable) = self.preparer.prepare(&table, &in_force, Instant::now() + LOOKUPS_AT_START_TIMEOUT);
        for Unusable { lookup, why, .. } in unusable {
            tracing::error!(
                lookup,
                "a lookup of the map can't be made; until it can, events that need it find that it has failed: {why}"
            );
        }
        self.publish(Snapshot { version, sha256, table, lookups });
        Ok(())
    }

    /// Publishes a table. Returns its generation, and whether all routers have adopted it in time.
    fn publish(&mut self, snapshot: Snapshot) -> (u64, bool) {
        let version = snapshot.version;
        let ratio = snapshot.table.aggregation().ratio();
        let (generation, before) = self.published.publish(snapshot);
        self.metrics.route_map_version.set(version.get() as i64);
        self.metrics.route_aggregation_ratio.set(ratio);
        let timeout = self.adopt_timeout;
        let adopted = self.published.wait_until_adopted(generation, timeout);
        if !adopted {
            tracing::warn!(%version, "a router still uses an older table after {timeout:?}; it waits for Kafka's answer about its partitions");
        }
        self.retired.extend(before);
        self.take_back();
        (generation, adopted)
    }

    /// Takes back the memory of replaced tables that nobody uses any more.
    fn take_back(&mut self) {
        for retired in std::mem::take(&mut self.retired) {
            match Arc::try_unwrap(retired) {
                Ok(snapshot) => self.compiler.recycle(snapshot.table),
                Err(still_used) => self.retired.push(still_used),
            }
        }
    }
}

/// Place among those of the map, id and topic of each destination whose topic is such.
fn destinations_of(
    table: &RouteTable,
    is_such: impl Fn(&str) -> bool,
) -> impl Iterator<Item = (usize, String, String)> {
    let such = table.destinations().filter(move |destination| is_such(destination.topic));
    such.map(|destination| (destination.place, destination.id.to_owned(), destination.topic.to_owned()))
}

#[cfg(test)]
#[path = "installer_tests.rs"]
mod tests;
