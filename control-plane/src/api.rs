//! What operators can ask for, and its gRPC face. HTTP ([`crate::http`]) calls the same functions.
//!
//! Not here: how an update is made ([`crate::updates`]).

use crate::fleet::Fleet;
use crate::limits;
use crate::store::StoreError;
use crate::update_error::UpdateError;
use crate::updates::Updates;
use crate::validate::limits_used;
use std::sync::Arc;
use tonic::{Request, Response, Status};
use veltrix_proto::v1::{self, control_plane_server::ControlPlane};
use veltrix_route_table::RouteMapVersion;

const VERSIONS_BY_DEFAULT: u32 = 100;

/// Answers operators.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) updates: Arc<Updates>,
    pub(crate) fleet: Arc<Fleet>,
}

impl Api {
    pub(crate) async fn update(
        &self,
        request: v1::UpdateRouteMapRequest,
    ) -> Result<v1::UpdateRouteMapResponse, UpdateError> {
        self.updates.update(request).await
    }

    pub(crate) async fn route_map(&self, request: v1::GetRouteMapRequest) -> Result<v1::GetRouteMapResponse, Status> {
        let in_force = self.updates.shown().in_force;
        let wanted = RouteMapVersion::from_wire(request.version);
        let in_force_version = in_force.as_ref().and_then(|record| RouteMapVersion::from_wire(record.version));
        let Some(version) = wanted.or(in_force_version) else {
            return Err(Status::not_found("no RouteMap is in force yet; make one with `veltrixctl apply`"));
        };
        let found = self.updates.with_store(move |store| Ok((store.version(version)?, store.map(version)?))).await;
        match found.map_err(store_status)? {
            (None, _) => Err(Status::not_found(format!("there is no version {version}; the newest is in `versions`"))),
            (Some(_), None) => Err(Status::not_found(format!(
                "the bytes of version {version} are no longer kept (see --keep-versions of the control plane)"
            ))),
            (Some(record), Some(route_map)) => Ok(v1::GetRouteMapResponse { version: Some(record), route_map }),
        }
    }

    pub(crate) async fn versions(&self, request: v1::ListVersionsRequest) -> Result<v1::ListVersionsResponse, Status> {
        let limit = match request.limit {
            0 => VERSIONS_BY_DEFAULT,
            limit => limit.min(limits::VERSIONS_PER_PAGE),
        };
        let before = if request.before == 0 { u64::MAX } else { request.before };
        let versions = self.updates.with_store(move |store| store.list(before, limit as usize)).await;
        Ok(v1::ListVersionsResponse { versions: versions.map_err(store_status)? })
    }

    pub(crate) fn engines(&self) -> v1::ListEnginesResponse {
        let in_force = self.fleet.in_force();
        v1::ListEnginesResponse {
            version_in_force: in_force.map_or(0, |map| map.id.version.get()),
            engines: self.fleet.engines(),
        }
    }

    pub(crate) fn limits(&self) -> v1::GetLimitsResponse {
        v1::GetLimitsResponse { limits: limits_used(self.updates.shown().usage.as_ref()) }
    }
}

#[tonic::async_trait]
impl ControlPlane for Api {
    async fn update_route_map(
        &self,
        request: Request<v1::UpdateRouteMapRequest>,
    ) -> Result<Response<v1::UpdateRouteMapResponse>, Status> {
        let answer = self.update(request.into_inner()).await;
        answer.map(Response::new).map_err(|error| error.status(limits::STATUS_DETAILS_BYTES))
    }

    async fn get_route_map(
        &self,
        request: Request<v1::GetRouteMapRequest>,
    ) -> Result<Response<v1::GetRouteMapResponse>, Status> {
        self.route_map(request.into_inner()).await.map(Response::new)
    }

    async fn list_versions(
        &self,
        request: Request<v1::ListVersionsRequest>,
    ) -> Result<Response<v1::ListVersionsResponse>, Status> {
        self.versions(request.into_inner()).await.map(Response::new)
    }

    async fn list_engines(
        &self,
        _request: Request<v1::ListEnginesRequest>,
    ) -> Result<Response<v1::ListEnginesResponse>, Status> {
        Ok(Response::new(self.engines()))
    }

    async fn get_limits(
        &self,
        _request: Request<v1::GetLimitsRequest>,
    ) -> Result<Response<v1::GetLimitsResponse>, Status> {
        Ok(Response::new(self.limits()))
    }
}

fn store_status(error: StoreError) -> Status {
    Status::unavailable(crate::with_sources(&error))
}
