//! Where the answers of lookups come from: reference tables in memory, and calls.
//!
//! Start at [`Preparer::prepare`], which the [`installer`](crate::installer) calls for a table that is to come in force. The sources
//! of a table ([`Sources`]) go with it in its snapshot, and those that the next one declares alike go over to that: what was read
//! is not read again, and what was answered stays remembered. How routers ask them is in [`router::lookups`](crate::router).
//!
//! A reference table is read and followed by a thread of its own, from the first map that declares it to the last one; calls are
//! made by one thread for all lookups.

mod answer;
mod calls;
mod circuit;
mod file;
mod grpc;
mod http;
mod network;
mod remembered;
mod table;
mod topic;

use crate::kafka::KafkaSettings;
use crate::metrics::Metrics;
use crate::stop::Stop;
use calls::Transport;
pub(crate) use calls::{Answer, Bell, Call, Caller};
use file::FileTable;
use grpc::Grpc;
use http::Http;
use network::Network;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use table::View;
use table::{Edition, Table};
use topic::TopicTable;
use veltrix_route_table::{Lookup, LookupCache, LookupSource, RouteTable};

/// Between two log lines about the same of one lookup: calls that fail, answers that can't be read.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The sources of a table's lookups, in the order of the table's. A clone is the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Arc<[Arc<Source>]>);

impl Sources {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.0.iter()
    }
}

/// Where the answers of one lookup come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: String,
    declared: Declared,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Following),
    Call(Arc<Caller>),
}

/// What a router asks.
#[derive(Debug)]
pub(crate) enum Access {
    /// The view is the router's own.
    Memory(View),
    Call(Arc<Caller>),
}

/// What the map says of a source.
#[derive(Debug, PartialEq, Eq)]
enum Declared {
    File(String),
    Topic(String),
    Call { to: Target, timeout: Duration, cache: Option<LookupCache> },
}

/// Whom calls go to.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Http { before: String, after: String },
    Grpc { endpoint: String },
}

impl Declared {
    fn of(lookup: &Lookup<'_>) -> Declared {
        let (to, timeout) = match lookup.source {
            LookupSource::File(path) => return Declared::File(path.to_owned()),
            LookupSource::Topic(topic) => return Declared::Topic(topic.to_owned()),
            LookupSource::Http { before, after, timeout } => {
                (Target::Http { before: before.to_owned(), after: after.to_owned() }, timeout)
            }
            LookupSource::Grpc { endpoint, timeout } => (Target::Grpc { endpoint: endpoint.to_owned() }, timeout),
        };
        Declared::Call { to, timeout, cache: lookup.cache }
    }
}

/// A table that a thread reads and follows, as long as this lives.
#[derive(Debug)]
struct Following {
    table: Arc<Table>,
    stop: Arc<Stop>,
}

impl Following {
    fn begin(follow: impl FnOnce(Arc<Table>, &Stop) + Send + 'static) -> Following {
        let following = Following { table: Table::new(), stop: Arc::default() };
        let (table, stop) = (Arc::clone(&following.table), Arc::clone(&following.stop));
        let thread = std::thread::Builder::new().name("lookup-table".to_owned());
        if let Err(error) = thread.spawn(move || follow(table, &stop)) {
            following.table.publish(Edition::Unusable(format!("no thread can be started to read it: {error}")));
        }
        following
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stop.stop(Duration::ZERO);
    }
}

impl Source {
    /// Whether it may yet be asked.
    fn is_usable(&self) -> bool {
        match &self.place {
            Place::Memory(following) => !following.table.is_unusable(),
            Place::Call(_) => true,
        }
    }

    /// Waits until it can be asked.
    fn wait(&self, deadline: Instant) -> Result<(), String> {
        match &self.place {
            Place::Memory(following) => following.table.wait(deadline),
            Place::Call(_) => Ok(()),
        }
    }

    pub(crate) fn access(&self) -> Access {
        match &self.place {
            Place::Memory(following) => Access::Memory(View::new(&following.table)),
            Place::Call(caller) => Access::Call(Arc::clone(caller)),
        }
    }
}

/// A lookup that can't be made.
#[derive(Debug)]
pub(crate) struct Unusable {
    /// Its place in the map.
    pub(crate) index: usize,
    pub(crate) lookup: String,
    pub(crate) why: String,
}

/// Makes sources.
#[derive(Debug)]
pub(crate) struct Preparer {
    kafka: KafkaSettings,
    metrics: Metrics,
    /// Started when the first map asks for calls.
    network: Option<Arc<Network>>,
    /// Those that were prepared last: what takes too long to be read is there when the same map is tried again.
    last: Sources,
}

impl Preparer {
    pub(crate) fn new(kafka: KafkaSettings, metrics: Metrics) -> Preparer {
        Preparer { kafka, metrics, network: None, last: Sources::default() }
    }

    /// Readies the sources of all lookups of `table`, by `deadline`. Those that `in_force` has already are taken over. Events that need
    /// what can't be used find that it has failed.
    pub(crate) fn prepare(
        &mut self,
        table: &RouteTable,
        in_force: &Sources,
        deadline: Instant,
    ) -> (Sources, Vec<Unusable>) {
        let sources = table.lookups().map(|lookup| self.source(&lookup, in_force)).collect();
        let sources = Sources(sources);
        let began = Instant::now();
        let unread: Vec<&str> =
            sources.iter().filter(|source| source.wait(began).is_err()).map(|source| &*source.id).collect();
        if !unread.is_empty() {
            let at_most = deadline.saturating_duration_since(began);
            tracing::info!(
                lookups = unread.join(", "),
                "the map waits for reference tables, for {at_most:.1?} at most"
            );
        }
        let unusable = sources.iter().enumerate().filter_map(|(index, source)| {
            let why = source.wait(deadline).err()?;
            Some(Unusable { index, lookup: source.id.clone(), why })
        });
        let unusable: Vec<Unusable> = unusable.collect();
        if !unread.is_empty() && unusable.is_empty() {
            tracing::info!("all reference tables of the map are read, after {:.1?}", began.elapsed());
        }
        self.last = sources.clone();
        (sources, unusable)
    }

    fn source(&mut self, lookup: &Lookup<'_>, in_force: &Sources) -> Arc<Source> {
        let declared = Declared::of(lookup);
        // What could not be read shall be tried again.
        let is_it = |source: &&Arc<Source>| source.id == lookup.id && source.declared == declared && source.is_usable();
        let known = in_force.iter().chain(self.last.iter()).find(is_it);
        if let Some(known) = known {
            return Arc::clone(known);
        }
        let id = lookup.id.to_owned();
        let place = match &declared {
            Declared::File(path) => {
                let (id, path) = (id.clone(), path.clone());
                Place::Memory(Following::begin(move |table, stop| FileTable::new(id, path, table).follow(stop)))
            }
            Declared::Topic(topic) => {
                let (id, topic, kafka) = (id.clone(), topic.clone(), self.kafka.clone());
                Place::Memory(Following::begin(move |table, stop| {
                    TopicTable::new(id, topic, kafka, table).follow(stop)
                }))
            }
            Declared::Call { to, timeout, cache } => match self.caller(&id, to, *timeout, cache.as_ref()) {
                Ok(caller) => Place::Call(Arc::new(caller)),
                Err(why) => Place::Memory(Following::begin(move |table, _| table.publish(Edition::Unusable(why)))),
            },
        };
        Arc::new(Source { id, declared, place })
    }

    fn caller(
        &mut self,
        id: &str,
        to: &Target,
        timeout: Duration,
        cache: Option<&LookupCache>,
    ) -> Result<Caller, String> {
        let network = self.network().map_err(|error| format!("no calls can be made: {error}"))?;
        let transport = match to {
            Target::Http { before, after } => Transport::Http(Http::new(before, after, Arc::clone(&network))),
            Target::Grpc { endpoint } => {
                let peer = network.peer(endpoint).map_err(|error| format!("`{endpoint}` can't be called: {error}"))?;
                Transport::Grpc(Grpc::new(id, peer))
            }
        };
        Ok(Caller::new(id, transport, timeout, cache, network, &self.metrics))
    }

    fn network(&mut self) -> io::Result<Arc<Network>> {
        if let Some(network) = &self.network {
            return Ok(Arc::clone(network));
        }
        Ok(Arc::clone(self.network.insert(Arc::new(Network::start()?))))
    }
}
