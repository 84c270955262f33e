//! Where the answers of lookups come from: reference tables in memory.
//!
//! Start at [`Preparer::prepare`], which the [`installer`](crate::installer) calls for a table that is to come in force. The sources
//! of a table ([`Sources`]) go with it in its snapshot, and those that the next one declares alike go over to that: what was read
//! is not read again. How routers ask them is in [`router::lookups`](crate::router).
//!
//! A reference table is read and followed by a thread of its own, from the first map that declares it to the last one.

mod file;
mod table;

use crate::stop::Stop;
use file::FileTable;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub(crate) use table::View;
use table::{Edition, Table};
use veltrix_route_table::{Lookup, LookupSource, RouteTable};

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
    table: Arc<Table>,
    /// Ends the thread that follows the table.
    stop: Arc<Stop>,
}

/// What the map says of a source.
#[derive(Debug, PartialEq, Eq)]
enum Declared {
    File(String),
    Unknown,
}

impl Declared {
    fn of(lookup: &Lookup<'_>) -> Declared {
        match lookup.source {
            LookupSource::File(path) => Declared::File(path.to_owned()),
            LookupSource::Topic(_) | LookupSource::Http { .. } => Declared::Unknown,
        }
    }
}

impl Source {
    fn begin(id: &str, declared: Declared) -> Source {
        let source = Source { id: id.to_owned(), declared, table: Table::new(), stop: Arc::default() };
        let (table, stop) = (Arc::clone(&source.table), Arc::clone(&source.stop));
        let follow: Box<dyn FnOnce() + Send> = match &source.declared {
            Declared::File(path) => {
                let file = FileTable::new(id, path, table);
                Box::new(move || file.follow(&stop))
            }
            Declared::Unknown => {
                Box::new(move || table.publish(Edition::Unusable("this engine can't ask it".to_owned())))
            }
        };
        if let Err(error) = std::thread::Builder::new().name("lookup-table".to_owned()).spawn(follow) {
            source.table.publish(Edition::Unusable(format!("no thread can be started to read it: {error}")));
        }
        source
    }

    /// A view of its table, for one router.
    pub(crate) fn view(&self) -> View {
        View::new(&self.table)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.stop(Duration::ZERO);
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
#[derive(Debug, Default)]
pub(crate) struct Preparer {
    /// Those that were prepared last: what takes too long to be read is there when the same map is tried again.
    last: Sources,
}

impl Preparer {
    /// Readies the sources of all lookups of `table`, by `deadline`. Those that `in_force` has already are taken over. Events that need
    /// what can't be used find that it has failed.
    pub(crate) fn prepare(
        &mut self,
        table: &RouteTable,
        in_force: &Sources,
        deadline: Instant,
    ) -> (Sources, Vec<Unusable>) {
        let source_of = |lookup: Lookup<'_>| {
            let declared = Declared::of(&lookup);
            let is_it = |source: &&Arc<Source>| source.id == lookup.id && source.declared == declared;
            // What could not be read shall be tried again.
            let is_usable = |source: &&Arc<Source>| !source.table.is_unusable();
            let known = in_force.iter().chain(self.last.iter()).filter(is_usable).find(is_it);
            known.map_or_else(|| Arc::new(Source::begin(lookup.id, declared)), Arc::clone)
        };
        let sources = Sources(table.lookups().map(source_of).collect());
        let unusable = sources.iter().enumerate().filter_map(|(index, source)| {
            let why = source.table.wait(deadline).err()?;
            Some(Unusable { index, lookup: source.id.clone(), why })
        });
        let unusable = unusable.collect();
        self.last = sources.clone();
        (sources, unusable)
    }
}
