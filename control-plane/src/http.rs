//! Plain HTTP: the operators' calls as JSON, health, readiness and metrics.
//!
//! The bodies are the protobuf JSON forms of the gRPC messages, and errors are that of `google.rpc.Status`, so there is one contract.
//! Not here: what the calls do ([`crate::api`]), and the listening ([`crate::serve`]).

use crate::api::Api;
use crate::arriving::{Arriving, BodyFault};
use crate::browsers::{Browsers, Refusal};
use crate::held_body::HeldBody;
use crate::json::Mapping;
use crate::limits;
use crate::map_id::MapId;
use crate::metrics::Metrics;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prost::Message;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::warn;
use veltrix_proto::v1;

const GRPC_UPDATE: &str = "/veltrix.v1.ControlPlane/UpdateRouteMap";
const GRPC_READ: &str = "/veltrix.v1.ControlPlane/GetRouteMap";
const ROUTE_MAP: &str = "/v1/route-map";

/// What the handlers need.
#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) api: Api,
    pub(crate) mapping: Mapping,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) browsers: Browsers,
    pub(crate) arriving: Arriving,
    /// Has as many permits as maps may be read at once.
    pub(crate) map_reads: Arc<Semaphore>,
}

pub(crate) fn router(http: Http) -> axum::Router {
    axum::Router::new()
        .route(ROUTE_MAP, get(route_map).post(update).layer(DefaultBodyLimit::max(limits::JSON_REQUEST_BYTES)))
        .route("/v1/versions", get(versions))
        .route("/v1/engines", get(engines))
        .route("/v1/limits", get(route_map_limits))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(http)
}

/// What nobody serves: gRPC clients are told in their way, others in theirs.
pub(crate) fn not_found(http: &Http, request: &Request) -> Response {
    let path = request.uri().path();
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
        return Status::unimplemented(format!("there is no gRPC method {path}; reflection lists those there are"))
            .into_http();
    }
    let paths = "/v1/route-map, /v1/versions, /v1/engines, /v1/limits, /healthz, /readyz, /metrics";
    http.error(&Status::not_found(format!("there is no {path}; there are {paths}")))
}

/// Lets only so many updates and reads of maps in that all their bytes fit in memory, and nothing that a web page may have sent.
pub(crate) async fn admit(State(http): State<Http>, request: Request, next: Next) -> Response {
    if let Err(refusal) = http.browsers.check(&request, request.uri().path() == ROUTE_MAP) {
        return http.refuse(&refusal);
    }
    match request.uri().path() {
        GRPC_UPDATE => admit_update(&http, true, request, next).await,
        GRPC_READ => admit_read(&http, true, request, next).await,
        ROUTE_MAP if request.method() == Method::POST => admit_update(&http, false, request, next).await,
        ROUTE_MAP => admit_read(&http, false, request, next).await,
        _ => next.run(request).await,
    }
}

/// Until the whole answer was sent.
async fn admit_read(http: &Http, over_grpc: bool, request: Request, next: Next) -> Response {
    let Ok(permit) = Arc::clone(&http.map_reads).try_acquire_owned() else {
        let text = format!(
            "{} RouteMaps are being read, and that is the limit; try again when some of them have arrived",
            limits::MAP_READS
        );
        let retry = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
        let status = Status::with_error_details(Code::ResourceExhausted, text, retry);
        return if over_grpc { status.into_http() } else { http.error(&status) };
    };
    next.run(request).await.map(|body| Body::new(HeldBody::new(body, permit)))
}

/// From when its body is here until it is made.
async fn admit_update(http: &Http, over_grpc: bool, request: Request, next: Next) -> Response {
    let refuse = |status: Status| if over_grpc { status.into_http() } else { http.error(&status) };
    let details = if over_grpc { limits::STATUS_DETAILS_BYTES } else { limits::JSON_DETAILS_BYTES };
    let (head, body) = request.into_parts();
    // What there is no place for need not be received.
    if let Err(error) = http.api.updates.admit() {
        return refuse(error.status(details));
    }
    let limit = if over_grpc { limits::GRPC_BODY_BYTES } else { limits::JSON_REQUEST_BYTES };
    let arrived = match http.arriving.receive(body, limit).await {
        Ok(arrived) => arrived,
        Err(fault) => return refuse(status_of(&fault)),
    };
    let _permit = match http.api.updates.admit() {
        Ok(permit) => permit,
        Err(error) => return refuse(error.status(details)),
    };
    next.run(Request::from_parts(head, arrived.into_body())).await
}

fn status_of(fault: &BodyFault) -> Status {
    let code = match fault {
        BodyFault::TooLarge(_) => Code::OutOfRange,
        BodyFault::NoRoom => Code::ResourceExhausted,
        BodyFault::TooSlow => Code::DeadlineExceeded,
        BodyFault::Broken(_) => Code::InvalidArgument,
    };
    let retry = matches!(fault, BodyFault::NoRoom).then_some(Duration::from_secs(1));
    let details = retry.map_or_else(ErrorDetails::new, |after| ErrorDetails::with_retry_info(Some(after)));
    Status::with_error_details(code, fault.to_string(), details)
}

async fn update(State(http): State<Http>, body: Bytes) -> Response {
    let request = match http.mapping.from_json("veltrix.v1.UpdateRouteMapRequest", &body) {
        Ok(request) => request,
        Err(fault) => return http.error(&Status::invalid_argument(fault.to_string())),
    };
    drop(body);
    match http.api.update(request).await {
        Ok(answer) => http.json("veltrix.v1.UpdateRouteMapResponse", &answer),
        Err(error) => http.error(&error.status(limits::JSON_DETAILS_BYTES)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteMapQuery {
    #[serde(default)]
    version: u64,
}

async fn route_map(
    State(http): State<Http>,
    query: Result<Query<RouteMapQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(fault) => return http.error(&Status::invalid_argument(fault.body_text())),
    };
    let answer = http.api.route_map(v1::GetRouteMapRequest { version: query.version }).await;
    http.answer("veltrix.v1.GetRouteMapResponse", answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionsQuery {
    #[serde(default)]
    limit: u32,
    #[serde(default)]
    before: u64,
}

async fn versions(
    State(http): State<Http>,
    query: Result<Query<VersionsQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(fault) => return http.error(&Status::invalid_argument(fault.body_text())),
    };
    let request = v1::ListVersionsRequest { limit: query.limit, before: query.before };
    http.answer("veltrix.v1.ListVersionsResponse", http.api.versions(request).await)
}

async fn engines(State(http): State<Http>) -> Response {
    http.json("veltrix.v1.ListEnginesResponse", &http.api.engines())
}

async fn route_map_limits(State(http): State<Http>) -> Response {
    http.json("veltrix.v1.GetLimitsResponse", &http.api.limits())
}

/// Ready means: an update could be made.
async fn readyz(State(http): State<Http>) -> Response {
    let shown = http.api.updates.shown();
    let mut reasons: Vec<String> = shown.store_fault.into_iter().collect();
    if http.api.updates.is_stopping() {
        reasons.push("the control plane is stopping".into());
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "versionInForce": shown.in_force.map_or(0, |record| record.version),
        "engines": http.api.fleet.connected(),
    });
    (status, axum::Json(body)).into_response()
}

async fn metrics(State(http): State<Http>) -> Response {
    let shown = http.api.updates.shown();
    let in_force = http.api.fleet.in_force().map(|map| map.id);
    let engines = http.api.fleet.engines();
    let behind = engines.iter().filter(|engine| MapId::from_wire(engine.version, &engine.sha256) != in_force).count();
    http.metrics.updates_waiting.set(http.api.updates.waiting() as i64);
    http.metrics.engines_connected.set(engines.len() as i64);
    http.metrics.engines_behind.set(behind as i64);
    http.metrics.version_in_force.set(shown.in_force.map_or(0, |record| record.version) as i64);
    for limit in crate::validate::limits_used(shown.usage.as_ref()) {
        http.metrics.limit_max.with_label_values(&[&limit.name]).set(limit.max as i64);
        if let Some(used) = limit.used {
            http.metrics.limit_used.with_label_values(&[&limit.name]).set(used as i64);
        }
    }
    match http.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(fault) => http.error(&Status::internal(fault.to_string())),
    }
}

impl Http {
    fn answer<M: Message>(&self, name: &str, answer: Result<M, Status>) -> Response {
        match answer {
            Ok(answer) => self.json(name, &answer),
            Err(status) => self.error(&status),
        }
    }

    fn json<M: Message>(&self, name: &str, message: &M) -> Response {
        match self.mapping.to_json(name, message) {
            Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response(),
            Err(fault) => self.error(&Status::internal(fault.to_string())),
        }
    }

    fn refuse(&self, refusal: &Refusal) -> Response {
        warn!(refusal = refusal.to_string(), "a request is refused that a web page may have made");
        let code = match refusal {
            Refusal::ContentType { .. } => Code::InvalidArgument,
            _ => Code::PermissionDenied,
        };
        let mut response = self.error(&Status::new(code, refusal.to_string()));
        *response.status_mut() = refusal.status();
        response
    }

    fn error(&self, status: &Status) -> Response {
        let mut error = tonic_types::Status::decode(status.details()).unwrap_or_default();
        error.code = status.code() as i32;
        error.message = status.message().into();
        // Should the details not be expressible, the code and the message still are.
        let json = self
            .mapping
            .to_json("google.rpc.Status", &error)
            .unwrap_or_else(|_| serde_json::json!({ "code": error.code, "message": error.message }).to_string());
        (http_status(status.code()), [(header::CONTENT_TYPE, "application/json")], json + "\n").into_response()
    }
}

/// As the comments of google/rpc/code.proto say, but for OUT_OF_RANGE, which here is a body that is too large. Codes that
/// nothing here answers with count as faults of the control plane.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::OutOfRange => StatusCode::PAYLOAD_TOO_LARGE,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
