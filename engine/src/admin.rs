//! The engine's HTTP side: `/healthz`, `/readyz` with reasons, `/metrics`.

use crate::metrics::Metrics;
use crate::snapshot::Published;
use crate::status::Status;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) metrics: Metrics,
    pub(crate) status: Status,
    pub(crate) published: Arc<Published>,
}

pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// Ready: there is a route table and this engine has partitions. Everything that is not as it should be is named, whether it makes the
/// engine unready or not.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let numbers = admin.status.numbers();
    let mut blocking = Vec::new();
    let mut notes = Vec::new();
    if admin.published.current().is_none() {
        blocking.push("no RouteMap yet: none from the control plane, no last known good one on disk");
    }
    if numbers.partitions == 0 {
        blocking.push("no partitions: not yet in the consumer group, or there are more engines than partitions");
    }
    if !numbers.control_plane_connected {
        notes.push("no stream to the control plane; routing goes on by the RouteMap in force");
    }
    if admin.metrics.route_map_stale.get() == 1 {
        notes.push("routing by the last known good RouteMap, which may be out of date");
    }
    let code = if blocking.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({ "ready": blocking.is_empty(), "reasons": blocking, "notes": notes, "numbers": numbers });
    (code, Json(body))
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render())
}
