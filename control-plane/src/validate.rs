//! Whether a map can be used at all, and what it holds. The only place here that knows how routes are compiled.

use parking_lot::Mutex;
use veltrix_proto::v1;
use veltrix_route_table::limits::Limit;
use veltrix_route_table::{Compiler, Refused, Usage, limits};

/// Compiles maps to see whether they can be, in memory that it keeps.
pub struct Validator(Mutex<Compiler>);

/// What a map that can be used holds.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    /// What it uses of each limit.
    pub usage: Usage,
    /// Bytes of the compiled table.
    pub table_bytes: u64,
}

impl Default for Validator {
    fn default() -> Self {
        Validator(Mutex::new(Compiler::new()))
    }
}

impl Validator {
    /// Compiles `map` and throws the table away. Takes its time: call it where blocking is allowed.
    pub fn check(&self, map: &[u8]) -> Result<Checked, Refused> {
        let mut compiler = self.0.lock();
        let table = compiler.compile(map)?;
        let checked = Checked { usage: table.usage(), table_bytes: table.memory_bytes() as u64 };
        compiler.recycle(table);
        Ok(checked)
    }
}

impl Checked {
    /// For the wire.
    pub fn size(&self) -> v1::RouteMapSize {
        v1::RouteMapSize {
            bytes: self.usage.bytes,
            sources: self.usage.sources,
            destinations: self.usage.destinations,
            routes: self.usage.routes,
            tenants: self.usage.tenants,
            table_bytes: self.table_bytes,
        }
    }
}

/// Every limit of a RouteMap, with what a map of this usage uses of it.
pub fn limits_used(usage: Option<&Usage>) -> Vec<v1::Limit> {
    let wire = |limit: &Limit| v1::Limit {
        name: limit.name.into(),
        max: limit.max,
        used: usage.and_then(|usage| usage.of(limit)),
        meaning: limit.meaning.into(),
    };
    limits::ALL.into_iter().map(wire).collect()
}
