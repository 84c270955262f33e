//! The tables of all versions that the engine can be routing by: those that this process pushed, and those of other people, which are
//! asked for at the control plane.

use super::updates::Versions;
use crate::Status;
use crate::audit::Tables;
use std::sync::Arc;
use tokio::runtime::Handle;
use tonic::transport::Channel;
use veltrix_proto::v1::GetRouteMapRequest;
use veltrix_proto::v1::control_plane_client::ControlPlaneClient;
use veltrix_route_table::{Compiler, RouteTable};

/// Finds the table of a version. Blocks while it asks; for a thread of its own.
pub(super) struct FleetTables {
    pushed: Arc<Versions>,
    client: ControlPlaneClient<Channel>,
    status: Status,
    runtime: Handle,
}

impl FleetTables {
    /// `runtime` is where the client's connection lives.
    pub(super) fn new(
        pushed: Arc<Versions>,
        client: ControlPlaneClient<Channel>,
        status: Status,
        runtime: Handle,
    ) -> FleetTables {
        FleetTables { pushed, client, status, runtime }
    }
}

impl Tables for FleetTables {
    fn table(&self, version: u64) -> Option<Arc<RouteTable>> {
        if let Some(table) = self.pushed.table(version) {
            return Some(table);
        }
        let mut client = self.client.clone();
        let asked = self.runtime.block_on(async move { client.get_route_map(GetRouteMapRequest { version }).await });
        let map = asked.ok()?.into_inner().route_map;
        let table = Arc::new(Compiler::new().compile(&map).ok()?);
        self.pushed.add(version, Arc::clone(&table));
        Some(table)
    }

    fn newest(&self) -> u64 {
        self.pushed.newest().max(self.status.numbers().route_map_version)
    }

    fn look_up(&self, lookup: &str, key: &[u8]) -> Option<Vec<u8>> {
        self.pushed.look_up(lookup, key)
    }
}
