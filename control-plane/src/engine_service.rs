//! The gRPC service that engines dial: one stream per engine, on top of [`crate::fleet`].
//!
//! Not here: what an engine is told and when.

use crate::fleet::{Fleet, SessionSerial};
use crate::limits;
use futures::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, Streaming};
use veltrix_proto::v1::{self, engine_report::Report, route_updates_server::RouteUpdates};

/// Serves engines.
pub(crate) struct EngineService {
    pub(crate) fleet: Arc<Fleet>,
}

/// What an engine is told. The task that talks with the engine ends with it.
pub(crate) struct EngineStream {
    updates: mpsc::Receiver<Result<v1::RouteUpdate, Status>>,
    _task: JoinSet<()>,
}

type Sender = mpsc::Sender<Result<v1::RouteUpdate, Status>>;

#[tonic::async_trait]
impl RouteUpdates for EngineService {
    type StreamStream = EngineStream;

    async fn stream(&self, request: Request<Streaming<v1::EngineReport>>) -> Result<Response<EngineStream>, Status> {
        // One at a time: what waits is in the session's mailbox, where it is bounded and can be overtaken by the end.
        let (sender, updates) = mpsc::channel(1);
        let fleet = Arc::clone(&self.fleet);
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(status) = talk(&fleet, request.into_inner(), &sender).await {
                // The engine may be gone.
                sender.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(EngineStream { updates, _task: task }))
    }
}

impl Stream for EngineStream {
    type Item = Result<v1::RouteUpdate, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.updates.poll_recv(context)
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
