//! The engine's HTTP side: `/healthz`, `/readyz` with reasons, `/metrics`.

use crate::metrics::Metrics;
use crate::snapshot::Published;
use crate::status::{Start, Status};
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
    pub(crate) has_control_plane: bool,
}

pub(crate) fn router(admin: Admin) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

/// Ready: there is a route table and this engine has partitions.
async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    let Readiness { blocking, notes } = Readiness::of(&admin);
    let code = if blocking.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let numbers = admin.status.numbers();
    (code, Json(json!({ "ready": blocking.is_empty(), "reasons": blocking, "notes": notes, "numbers": numbers })))
}

/// Everything that is not as it should be.
#[derive(Debug, PartialEq, Eq)]
struct Readiness {
    /// What makes the engine unready.
    blocking: Vec<&'static str>,
    /// What does not.
    notes: Vec<&'static str>,
}

impl Readiness {
    fn of(admin: &Admin) -> Readiness {
        let (mut blocking, mut notes) = (Vec::new(), Vec::new());
        let numbers = admin.status.numbers();
        let (has_map, start) = (admin.published.current().is_some(), admin.status.start());
        if !has_map {
            blocking.push(match start {
                Start::AsksKafka => "no RouteMap yet: Kafka has to answer before one is asked for",
                Start::AsksControlPlane if admin.has_control_plane => {
                    "no RouteMap yet: waiting for the control plane, before the last known good one on disk is taken"
                }
                Start::AsksControlPlane => "no RouteMap yet: reading the last known good one",
                Start::FoundNone => "no RouteMap yet: none from the control plane, no last known good one on disk",
            });
        }
        if numbers.partitions == 0 {
            blocking.push("no partitions: not yet in the consumer group, or there are more engines than partitions");
        }
        if admin.has_control_plane && start != Start::AsksKafka && !numbers.control_plane_connected {
            notes.push(if has_map {
                "no stream to the control plane; routing goes on by the RouteMap in force"
            } else {
                "no stream to the control plane"
            });
        }
        if admin.metrics.route_map_stale.get() == 1 {
            notes.push("routing by the last known good RouteMap, which may be out of date");
        }
        Readiness { blocking, notes }
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookups::Sources;
    use crate::snapshot::Snapshot;
    use veltrix_route_table::{Compiler, RouteMapVersion};

    fn admin(has_control_plane: bool) -> Admin {
        let metrics = Metrics::new().unwrap();
        let status = Status::new(metrics.clone(), 1);
        Admin { metrics, status, published: Arc::default(), has_control_plane }
    }

    #[test]
    fn what_an_engine_without_a_map_says_is_what_it_has_asked_so_far() {
        let admin = admin(true);
        let says = |start| {
            admin.status.set_start(start);
            let Readiness { blocking, notes } = Readiness::of(&admin);
            (blocking[0], notes)
        };
        let (reason, notes) = says(Start::AsksKafka);
        assert!(reason.contains("Kafka has to answer") && notes.is_empty(), "{reason} {notes:?}");
        let (reason, notes) = says(Start::AsksControlPlane);
        assert!(reason.contains("waiting for the control plane"), "{reason}");
        assert_eq!(notes, ["no stream to the control plane"]);
        let (reason, _) = says(Start::FoundNone);
        assert!(reason.contains("none from the control plane"), "{reason}");
    }

    #[test]
    fn an_engine_that_has_no_control_plane_misses_none() {
        for has_control_plane in [true, false] {
            let admin = admin(has_control_plane);
            admin.status.set_start(Start::AsksControlPlane);
            let table = Compiler::new().compile(crate::EMBEDDED_ROUTES).unwrap();
            let version = RouteMapVersion::EMBEDDED;
            admin.published.publish(Snapshot { version, sha256: [0; 32], table, lookups: Sources::default() });
            let Readiness { blocking, notes } = Readiness::of(&admin);
            assert!(blocking.len() == 1 && blocking[0].starts_with("no partitions"), "{blocking:?}");
            assert_eq!(notes.len(), usize::from(has_control_plane), "{notes:?}");
        }
    }
}
