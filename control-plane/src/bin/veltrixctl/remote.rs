//! Calls of a control plane, and what their errors mean for the one who typed the command.

use crate::maps::Source;
use crate::print::{Failure, Reason};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use veltrix_control_plane::address;
use veltrix_control_plane::limits::{NOTE_BYTES, REQUEST_BYTES};
use veltrix_control_plane::map_id::MapDigest;
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::{self, control_plane_client::ControlPlaneClient};
use veltrix_route_table::limits::MAP_BYTES;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// So that a control plane whose machine is gone is noticed, also while an update waits for its engines.
const KEEPALIVE: Duration = Duration::from_secs(10);

pub(crate) struct Remote {
    url: String,
    client: ControlPlaneClient<Channel>,
}

/// What `apply` sends.
pub(crate) struct Apply {
    pub(crate) source: Source,
    pub(crate) expected_version: Option<u64>,
    pub(crate) dry_run: bool,
    pub(crate) note: String,
    pub(crate) minimum_engines: u32,
}

impl Remote {
    pub(crate) async fn connect(url: &str) -> Result<Remote, Failure> {
        let endpoint =
            address::endpoint(url).map_err(|refused| Failure::usage(format!("--control-plane: {refused}")))?;
        let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).http2_keep_alive_interval(KEEPALIVE);
        let channel = endpoint.connect().await.map_err(|fault| Failure::Unreachable {
            text: format!("can't reach the control plane at {url}: {}", with_sources(&fault)),
            hint:
                "is veltrix-control-plane running there? give --control-plane HOST:PORT, or set VELTRIX_CONTROL_PLANE"
                    .into(),
        })?;
        let client = ControlPlaneClient::new(channel).max_decoding_message_size(REQUEST_BYTES);
        Ok(Remote { url: url.to_owned(), client })
    }

    pub(crate) async fn apply(&mut self, apply: Apply) -> Result<v1::UpdateRouteMapResponse, Failure> {
        check_sizes(&apply)?;
        let request = v1::UpdateRouteMapRequest {
            // Always: a map that is cut between two fields may be a whole one, and only the digest shows it.
            sha256: MapDigest::of(&apply.source.route_map).to_bytes(),
            route_map: apply.source.route_map.clone(),
            expected_version: apply.expected_version,
            dry_run: apply.dry_run,
            note: apply.note,
            minimum_engines: apply.minimum_engines,
        };
        let answer = self.client.update_route_map(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.refusal(&status, Some(&apply.source)))
    }

    pub(crate) async fn route_map(&mut self, version: u64) -> Result<v1::GetRouteMapResponse, Failure> {
        let answer = self.client.get_route_map(v1::GetRouteMapRequest { version }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    pub(crate) async fn versions(&mut self, limit: u32, before: u64) -> Result<v1::ListVersionsResponse, Failure> {
        let answer = self.client.list_versions(v1::ListVersionsRequest { limit, before }).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    /// The record of the version in force.
    pub(crate) async fn in_force(&mut self, version: u64) -> Result<Option<v1::RouteMapVersion>, Failure> {
        if version == 0 {
            return Ok(None);
        }
        Ok(self.versions(1, version.saturating_add(1)).await?.versions.into_iter().next())
    }

    pub(crate) async fn engines(&mut self) -> Result<v1::ListEnginesResponse, Failure> {
        let answer = self.client.list_engines(v1::ListEnginesRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    pub(crate) async fn limits(&mut self) -> Result<v1::GetLimitsResponse, Failure> {
        let answer = self.client.get_limits(v1::GetLimitsRequest {}).await;
        answer.map(tonic::Response::into_inner).map_err(|status| self.failure(&status))
    }

    fn failure(&self, status: &Status) -> Failure {
        self.refusal(status, None)
    }

    /// `source` is what was refused, if that was a map: the reasons name its files.
    fn refusal(&self, status: &Status, source: Option<&Source>) -> Failure {
        let details = status.get_error_details();
        let mut reasons = Vec::new();
        let mut engines = BTreeSet::new();
        for violation in details.bad_request().into_iter().flat_map(|details| &details.field_violations) {
            let path = match violation.field.strip_prefix("route_map") {
                Some(path) => path.strip_prefix('.').unwrap_or(path),
                None => &violation.field,
            };
            let message = violation.description.clone();
            reasons.push(Reason { path: path.into(), message, ..Reason::default() });
        }
        for violation in details.precondition_failure().into_iter().flat_map(|details| &details.violations) {
            if !violation.r#type.starts_with("ENGINE_") {
                continue;
            }
            engines.insert(violation.subject.clone());
            // An engine's reason is `path: message`, or a message alone, which may have a colon, too.
            let (path, message) = match violation.description.split_once(": ") {
                Some((path, message)) if !path.contains(' ') => (path, message),
                _ => ("", violation.description.as_str()),
            };
            let (engine, path, message) = (violation.subject.clone(), path.to_owned(), message.to_owned());
            reasons.push(Reason { engine, path, message, ..Reason::default() });
        }
        if let Some(source) = source {
            source.locate(&mut reasons);
        }
        engines.remove("");
        // What the reasons say is not said twice.
        let message = status.message();
        let mut text = match engines.len() {
            0 => message.split("; the first:").next().unwrap_or(message).to_owned(),
            1 => "nothing was switched: an engine can't use the map".to_owned(),
            count => format!("nothing was switched: {count} engines can't use the map"),
        };
        if let [only] = reasons.as_slice()
            && let Some(before) = message.strip_suffix(&only.message).filter(|_| engines.is_empty())
        {
            let before = before.strip_suffix(&format!("{}: ", only.path)).unwrap_or(before);
            match before.trim_end_matches([':', ' ']) {
                "" => reasons.clear(),
                before => text = before.to_owned(),
            }
        }
        let violations = details.bad_request().map_or(&[][..], |details| details.field_violations.as_slice());
        let refused_field = violations.first().map(|violation| violation.field.as_str());
        let hint = match status.code() {
            Code::Aborted => "`veltrixctl versions` shows what was applied meanwhile",
            Code::FailedPrecondition => {
                "`veltrixctl status` shows the engines; mend the map or the engine, then apply again"
            }
            Code::InvalidArgument => match refused_field {
                Some("note") => "nothing was stored or sent to an engine; apply again with a shorter --note",
                Some("sha256") => "nothing was stored or sent to an engine; apply again",
                _ => "nothing was stored or sent to an engine; mend the map, then apply again",
            },
            Code::OutOfRange => {
                "nothing was stored or sent to an engine; the control plane takes no request of this size"
            }
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

/// What is too large for any control plane is not sent: it would be refused by its size alone, before anyone could say which part of
/// it is to blame.
fn check_sizes(apply: &Apply) -> Result<(), Failure> {
    let refused = |text: String, hint: &str| {
        Err(Failure::Refused { text, reasons: Vec::new(), hint: Some(format!("nothing was sent; {hint}")) })
    };
    let (bytes, max) = (apply.source.route_map.len() as u64, MAP_BYTES.max);
    if bytes > max {
        return refused(
            format!("the RouteMap has {bytes} bytes; the limit is {max}"),
            "mend the map, then apply again",
        );
    }
    let (bytes, max) = (apply.note.len(), NOTE_BYTES);
    if bytes > max {
        return refused(format!("the note has {bytes} bytes; the limit is {max}"), "apply again with a shorter --note");
    }
    Ok(())
}
