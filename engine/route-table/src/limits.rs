//! Every limit of a RouteMap: its name, its value, what a given map uses of it.
//!
//! A map beyond a limit is refused by the limit's name, and never by running out of something. `veltrixctl limits` prints this
//! list, and each engine tells the control plane its own.
//!
//! They also bound memory, which the bytes of a map alone do not: 256 MiB could hold 45 million types of four letters. Besides its
//! text, a type takes up to 96 bytes of a table and 250 while the table is compiled, a predicate 160 and 310, a value of an `in` 32; a
//! topic that placeholders stand for takes 160 and 280 (`tests/allocations.rs` holds this). Where 12 to 256 texts of one attribute are tested
//! for under one type they are looked up, which takes up to 230 and 420 for such a predicate, 160 and 240 for such a value; of these there are
//! at most 1,048,576. With 4,000,000 types, as
//! many different predicates and 8,000,000 values in one map that is 1.3 GiB, and 2.5 GiB while it is compiled, besides its texts. Who
//! changes such a map holds another such table meanwhile: the one in force. A route for many types is compiled once for each different set of
//! routes that its types have, and takes up to 160 bytes each time, and as many for each node of its condition: `compiled_nodes` bounds that.
//!
//! Where more than 64 routes of one type tell themselves apart by the ends of texts, addresses or intervals that they want, a route with such
//! a condition takes up to 260 and 810, and one whose interval overlaps with a hundred others 570 and 1,200. What stands at several places
//! is kept as often, with the rest of its condition: a table has at most 4,194,304 such copies of routes and tests. Where nothing tells
//! routes apart, each of their tests takes up to 380 more. Where several routes of one type ask something of the elements of one array, what they
//! ask is kept once more for each of them: at most 4,194,304 nodes of conditions in a table.

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
    TOPICS = "topics", 65_536, "topics that the destinations with placeholders of a map stand for";
    ROUTES = "routes", 2_000_000, "routes in a map, those of its tenants included";
    TENANTS = "tenants", 100_000, "tenants in a map";
    TYPES = "types", 4_000_000, "exact event types and prefixes of all routes of a map";
    CONDITION_NODES = "condition_nodes", 4_000_000, "predicates, alls, anys and nots of all conditions of a map";
    VALUES = "values", 8_000_000, "values of the `in`s of a map, those of equal predicates once";
    COMPILED_NODES = "compiled_nodes", 8_000_000, "routes and nodes of their conditions that are compiled: once for each different set of routes that a type has";
    HEADER_NAMES = "header_names", 1_024, "different headers that the conditions of a map ask for";
    FIELDS = "fields", 65_536, "different places of payloads that the conditions of a map ask for";
    LOOKUPS = "lookups", 64, "lookups that a map declares";
    TYPES_PER_ROUTE = "types_per_route", 10_000, "exact event types and prefixes of one route";
    DESTINATIONS_PER_ROUTE = "destinations_per_route", 256, "destinations of one route";
    PRIORITY = "priority", u32::MAX as u64, "priority of a route in its exclusive group";
    SHARE_PLACES = "share_places", crate::share::PLACES as u64, "ten-thousandths that a share reaches up to";
    CONDITION_DEPTH = "condition_depth", 32, "nesting of one route's condition";
    CONDITION_NODES_PER_ROUTE = "condition_nodes_per_route", 4_096, "predicates, alls, anys and nots of one route's condition";
    ELEMENT_DEPTH = "element_depth", 8, "`any_element`s within each other";
    FIELD_NAMES = "field_names", 32, "names that lead to one field";
    DOTTED_NAMES = "dotted_names", 7, "names of a field that may be spelled with dots";
    FIELD_NAME_BYTES = "field_name_bytes", 1_024, "bytes of a field's name";
    VALUES_PER_IN = "values_per_in", 10_000, "values of one `in`, or blocks of one `cidr`";
    LABELS_PER_TENANT = "labels_per_tenant", 64, "labels of one tenant";
    ID_BYTES = "id_bytes", 255, "bytes of an id, a name, a label, a header name or an event type";
    CEL_BYTES = "cel_bytes", 64 << 10, "bytes of a condition that is written as CEL";
    CEL_DEPTH = "cel_depth", 64, "nesting of a condition that is written as CEL";
    DESCRIPTOR_BYTES = "descriptor_bytes", 16 << 20, "bytes of the descriptors of protobuf payloads";
    DESCRIPTOR_MESSAGES = "descriptor_messages", 32_768, "messages, or enums, of the descriptors";
    DESCRIPTOR_FIELDS = "descriptor_fields", 262_144, "fields, or values of enums, of the descriptors";
    DESCRIPTOR_DEPTH = "descriptor_depth", 32, "messages declared within each other";
    MESSAGE_FIELDS = "message_fields", 4_096, "fields of one message";
    PROTOBUF_PLACES = "protobuf_places", 4_000_000, "fields that all conditions of a map look for in all messages that they can be about";
    PAYLOAD_DEPTH = "payload_depth", 1_024, "nesting of a JSON payload that is validated as a whole";
    PLACEHOLDERS = "placeholders", 4, "placeholders of one topic";
    LITERAL_BYTES = "literal_bytes", 4_096, "bytes of a value that a predicate compares with";
    LOOKUP_SOURCE_BYTES = "lookup_source_bytes", 2_048, "bytes of the URL, endpoint or path that a lookup's answers come from";
    LOOKUP_TIMEOUT_MS = "lookup_timeout_ms", 10_000, "milliseconds that an event waits for a call";
    LOOKUP_CACHE_ENTRIES = "lookup_cache_entries", 1_000_000, "answers that one lookup remembers";
    LOOKUP_CACHE_MS = "lookup_cache_ms", 24 * 60 * 60 * 1_000, "milliseconds for which an answer is remembered";
    LOOKUP_KEY_BYTES = "lookup_key_bytes", 1_024, "bytes of a key; under a longer one nothing is looked up";
    LOOKUP_ANSWER_BYTES = "lookup_answer_bytes", 1 << 20, "bytes of an answer; a longer one has failed";
    LOOKUP_TABLE_ENTRIES = "lookup_table_entries", 4_000_000, "entries of one reference table";
    LOOKUP_TABLE_BYTES = "lookup_table_bytes", 1 << 30, "bytes of memory that one reference table takes";
    LOOKUP_CACHE_BYTES = "lookup_cache_bytes", 256 << 20, "bytes of memory that the answers take which one lookup remembers";
    LOOKUP_CALLS = "lookup_calls", 1_024, "keys of one lookup that an engine has calls under way for";
    LOOKUP_KEYS_PER_CALL = "lookup_keys_per_call", 128, "keys of one gRPC call";
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
    /// Of [`TOPICS`].
    pub topics: u64,
    /// Of [`ROUTES`].
    pub routes: u64,
    /// Of [`TENANTS`].
    pub tenants: u64,
    /// Of [`TYPES`].
    pub types: u64,
    /// Of [`CONDITION_NODES`].
    pub condition_nodes: u64,
    /// Of [`VALUES`].
    pub values: u64,
    /// Of [`COMPILED_NODES`].
    pub compiled_nodes: u64,
    /// Of [`HEADER_NAMES`].
    pub header_names: u64,
    /// Of [`LOOKUPS`].
    pub lookups: u64,
}

impl Usage {
    /// What is used of `limit`; `None` for limits on a part of a map, such as one route.
    pub fn of(&self, limit: &Limit) -> Option<u64> {
        [
            (&MAP_BYTES, self.bytes),
            (&SOURCES, self.sources),
            (&DESTINATIONS, self.destinations),
            (&TOPICS, self.topics),
            (&ROUTES, self.routes),
            (&TENANTS, self.tenants),
            (&TYPES, self.types),
            (&CONDITION_NODES, self.condition_nodes),
            (&VALUES, self.values),
            (&COMPILED_NODES, self.compiled_nodes),
            (&HEADER_NAMES, self.header_names),
            (&LOOKUPS, self.lookups),
        ]
        .into_iter()
        .find_map(|(counted, used)| (counted == limit).then_some(used))
    }
}
