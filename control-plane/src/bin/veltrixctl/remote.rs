//! Calls of a control plane, and what their errors mean for the one who typed the command.

use crate::print::Failure;
use bytes::Bytes;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use veltrix_control_plane::limits::REQUEST_BYTES;
use veltrix_control_plane::map_id::MapDigest;
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::{self, control_plane_client::ControlPlaneClient};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// So that a control plane whose machine is gone is noticed, also while an update waits for its engines.
const KEEPALIVE: Duration = Duration::from_secs(10);

pub(crate) struct Remote {
    url: String,
    client: ControlPlaneClient<Channel>,
}

/// What `apply` sends.
pub(crate) struct Apply {
    pub(crate) route_map: Bytes,
    pub(crate) expected_version: Option<u64>,
    pub(crate) dry_run: bool,
    pub(crate) note: String,
    pub(crate) minimum_engines: u32,
}

impl Remote {
    pub(crate) async fn connect(url: &str) -> Result<Remote, Failure> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        if !url.starts_with("http://") {
            return Err(Failure::usage(format!(
                "`{url}` can't be called; write it as http://HOST:PORT, there is no TLS yet"
            )));
        }
        let endpoint = Endpoint::from_shared(url.clone());
        let endpoint = endpoint.map_err(|fault| Failure::usage(format!("`{url}` is no URL: {fault}")))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).http2_keep_alive_interval(KEEPALIVE);
        let channel = endpoint.connect().await.map_err(|fault| Failure::Unreachable {
            text: format!("can't reach the control plane at {url}: {}", with_sources(&fault)),
            hint: "is veltrix-control-plane running there? give --control-plane URL, or set VELTRIX_CONTROL_PLANE"
                .into(),
        })?;
        let client = ControlPlaneClient::new(channel).max_decoding_message_size(REQUEST_BYTES);
        Ok(Remote { url, client })
    }

    pub(crate) async fn apply(&mut self, apply: Apply) -> Result<v1::UpdateRouteMapResponse, Failure> {
        let request = v1::UpdateRouteMapRequest {
            sha256: MapDigest::of(&apply.route_map).to_bytes(),
            route_map: apply.route_map,
            expected_version: apply.expected_version,
            dry_run: apply.dry_run,
            note: apply.note,
            minimum_engines: apply.minimum_engines,
        };
        let answer = self.client.update_route_map(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    pub(crate) async fn route_map(&mut self, version: u64) -> Result<Bytes, Failure> {
        let answer = self.client.get_route_map(v1::GetRouteMapRequest { version }).await;
        answer.map(|answer| answer.into_inner().route_map).map_err(|status| self.failure(&status))
    }

    pub(crate) async fn versions(&mut self, limit: u32, before: u64) -> Result<Vec<v1::RouteMapVersion>, Failure> {
        let answer = self.client.list_versions(v1::ListVersionsRequest { limit, before }).await;
        answer.map(|answer| answer.into_inner().versions).map_err(|status| self.failure(&status))
    }

    /// The record of the version in force.
    pub(crate) async fn in_force(&mut self, version: u64) -> Result<Option<v1::RouteMapVersion>, Failure> {
        if version == 0 {
            return Ok(None);
        }
        Ok(self.versions(1, version.saturating_add(1)).await?.into_iter().next())
    }

    pub(crate) async fn engines(&mut self) -> Result<v1::ListEnginesResponse, Failure> {
        let answer = self.client.list_engines(v1::ListEnginesRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    pub(crate) async fn limits(&mut self) -> Result<Vec<v1::Limit>, Failure> {
        let answer = self.client.get_limits(v1::GetLimitsRequest {}).await;
        answer.map(|answer| answer.into_inner().limits).map_err(|status| self.failure(&status))
    }

    fn failure(&self, status: &Status) -> Failure {
        // The details below say all of it.
        let text = status.message().split("; the first:").next().unwrap_or_default().to_owned();
        let details = status.get_error_details();
        let mut reasons = Vec::new();
        for violation in details.bad_request().into_iter().flat_map(|details| &details.field_violations) {
            let field = violation.field.strip_prefix("route_map.").unwrap_or(&violation.field);
            reasons.push(format!("{field}: {}", violation.description));
        }
        for violation in details.precondition_failure().into_iter().flat_map(|details| &details.violations) {
            reasons.push(format!("{}: {}", violation.subject, violation.description));
        }
        reasons.retain(|reason| !reason.ends_with(&text) && !text.ends_with(reason.as_str()));
        let hint = match status.code() {
            Code::Aborted => "`veltrixctl versions` shows what was applied meanwhile",
            Code::FailedPrecondition => {
                "`veltrixctl status` shows the engines; mend the map or the engine, then apply again"
            }
            Code::InvalidArgument => "nothing was stored or sent to an engine; mend the map, then apply again",
            Code::NotFound => "`veltrixctl versions` shows those there are",
            Code::ResourceExhausted => "try again in a moment",
            Code::Unimplemented => "is it a control plane of this release that listens there?",
            Code::Unavailable | Code::Unknown | Code::DeadlineExceeded => {
                let hint =
                    "look at its log; `veltrixctl versions` shows what became of an update once it is back".into();
                let text = format!("the control plane at {}: {text}", self.url);
                return Failure::Unreachable { text, hint };
            }
            _ => "please report it, with the log of the control plane",
        };
        Failure::Refused { text, reasons, hint: Some(hint.into()) }
    }
}
