//! Every limit of a RouteMap: its name, its value, what a given map uses of it.
//!
//! A map beyond a limit is refused by the limit's name, and never by running out of something. `veltrixctl limits` prints this
//! list, and each engine tells the control plane its own.

/// A bound on something in a RouteMap.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// As people see it: in `veltrixctl limits`, in refusals and in metrics.
    pub name: &'static str,
    /// The largest value that is allowed.
    pub max: u64,
    /// What is counted.
    pub meaning: &'static str,
}

macro_rules! limits {
    ($($ident:ident = $name:literal, $max:expr, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $ident: Limit = Limit { name: $name, max: $max, meaning: $meaning };
        )*
        /// All of them, those of a whole map first.
        pub static ALL: [&Limit; [$($name),*].len()] = [$(&$ident),*];
    };
}

limits! {
    MAP_BYTES = "map_bytes", 256 << 20, "bytes of a serialized RouteMap";
    SOURCES = "sources", 1_024, "sources in a map";
    DESTINATIONS = "destinations", 16_384, "destinations in a map";
    ROUTES = "routes", 2_000_000, "routes in a map, those of its tenants included";
    TENANTS = "tenants", 100_000, "tenants in a map";
    HEADER_NAMES = "header_names", 1_024, "different headers that the conditions of a map ask for";
    TYPES_PER_ROUTE = "types_per_route", 10_000, "exact event types and prefixes of one route";
    DESTINATIONS_PER_ROUTE = "destinations_per_route", 256, "destinations of one route";
    CONDITION_DEPTH = "condition_depth", 32, "nesting of one route's condition";
    CONDITION_NODES = "condition_nodes", 4_096, "predicates, alls, anys and nots of one route's condition";
    VALUES_PER_IN = "values_per_in", 10_000, "values of one `in`";
    LABELS_PER_TENANT = "labels_per_tenant", 64, "labels of one tenant";
    ID_BYTES = "id_bytes", 255, "bytes of an id, a name, a label, a header name or an event type";
    LITERAL_BYTES = "literal_bytes", 4_096, "bytes of a value that a predicate compares with";
}

/// What one map uses of the limits that are counted over a whole map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of [`MAP_BYTES`].
    pub bytes: u64,
    /// Of [`SOURCES`].
    pub sources: u64,
    /// Of [`DESTINATIONS`].
    pub destinations: u64,
    /// Of [`ROUTES`].
    pub routes: u64,
    /// Of [`TENANTS`].
    pub tenants: u64,
    /// Of [`HEADER_NAMES`].
    pub header_names: u64,
}

impl Usage {
    /// What is used of `limit`; `None` for limits on a part of a map, such as one route.
    pub fn of(&self, limit: &Limit) -> Option<u64> {
        [
            (&MAP_BYTES, self.bytes),
            (&SOURCES, self.sources),
            (&DESTINATIONS, self.destinations),
            (&ROUTES, self.routes),
            (&TENANTS, self.tenants),
            (&HEADER_NAMES, self.header_names),
        ]
        .into_iter()
        .find_map(|(counted, used)| (counted == limit).then_some(used))
    }
}
