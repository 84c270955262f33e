//! The gRPC service that engines dial, `veltrix.v1.RouteUpdates`: one stream per engine, on top of [`crate::fleet`].
//!
//! Not here: what an engine is told and when; and how that is written, which is [`crate::update_body`]'s.

use crate::fleet::{Fleet, SessionSerial};
use crate::limits;
use crate::update_body::UpdateBody;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::codec::{Codec as _, CompressionEncoding};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use veltrix_proto::v1::{self, engine_report::Report};

/// The service's full name.
pub(crate) const NAME: &str = "veltrix.v1.RouteUpdates";

const STREAM: &str = "/veltrix.v1.RouteUpdates/Stream";

type Sender = mpsc::Sender<Result<v1::RouteUpdate, Status>>;

pub(crate) fn router(fleet: Arc<Fleet>) -> axum::Router {
    axum::Router::new().route(STREAM, post(stream)).with_state(fleet)
}

async fn stream(State(fleet): State<Arc<Fleet>>, request: Request) -> Response {
    let compression = match compression(request.headers()) {
        Ok(compression) => compression,
        Err(status) => return status.into_http(),
    };
    let decoder = ProstCodec::<v1::RouteUpdate, v1::EngineReport>::default().decoder();
    let reports = Streaming::new_request(decoder, request.into_body(), compression, Some(limits::ENGINE_REPORT_BYTES));
    // One at a time: what waits is in the session's mailbox, where it is bounded and can be overtaken by the end.
    let (sender, updates) = mpsc::channel(1);
    let mut task = JoinSet::new();
    task.spawn(async move {
        if let Err(status) = talk(&fleet, reports, &sender).await {
            // The engine may be gone.
            sender.send(Err(status)).await.ok();
        }
    });
    let mut response = Response::new(Body::new(UpdateBody::new(updates, task)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// How the engine writes its reports.
fn compression(headers: &HeaderMap) -> Result<Option<CompressionEncoding>, Status> {
    match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(None),
        Some(b"gzip") => Ok(Some(CompressionEncoding::Gzip)),
        Some(_) => Err(Status::unimplemented("reports can be compressed with gzip, or not at all")),
    }
}

/// Until the engine hangs up, or is told why it must.
async fn talk(fleet: &Arc<Fleet>, mut reports: Streaming<v1::EngineReport>, sender: &Sender) -> Result<(), Status> {
    let hello = hello(&mut reports).await?;
    let engine_id = hello.engine_id.clone();
    let (serial, mut mailbox) = fleet.join(hello)?;
    let session = Connected { fleet: Arc::clone(fleet), engine_id, serial };
    let mut next = None;
    loop {
        tokio::select! {
            biased;
            status = &mut mailbox.end => {
                return Err(status.unwrap_or_else(|_| Status::unavailable("the control plane is stopping")));
            }
            report = reports.message() => match report? {
                Some(report) => fleet.report(&session.engine_id, serial, report)?,
                None => return Ok(()),
            },
            permit = sender.reserve(), if next.is_some() => match (permit, next.take()) {
                (Ok(permit), Some(update)) => permit.send(Ok(update)),
                _ => return Ok(()),
            },
            update = mailbox.updates.recv(), if next.is_none() => next = update,
        }
    }
}

async fn hello(reports: &mut Streaming<v1::EngineReport>) -> Result<v1::Hello, Status> {
    let first = tokio::time::timeout(limits::HELLO_TIMEOUT, reports.message()).await;
    let first =
        first.map_err(|_| Status::deadline_exceeded(format!("no Hello within {:?}", limits::HELLO_TIMEOUT)))??;
    match first.and_then(|report| report.report) {
        Some(Report::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("the first report of an engine must be Hello, which says who it is")),
    }
}

struct Connected {
    fleet: Arc<Fleet>,
    engine_id: String,
    serial: SessionSerial,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.fleet.leave(&self.engine_id, self.serial);
    }
}
