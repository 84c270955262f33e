//! The engine's end of the stream to the control plane.
//!
//! Dials, says what it runs, answers prepare, commit and abort, and reports its health. When the stream ends it dials again, with
//! growing and random pauses, and routing goes on all the while: nothing here is on an event's way.

use crate::installer::{Installer, PrepareError};
use crate::lookups::Unusable;
use crate::metrics::Metrics;
use crate::snapshot::Published;
use crate::status::Status;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use veltrix_control_plane::limits::REQUEST_BYTES;
use veltrix_control_plane::with_sources;
use veltrix_proto::v1::route_updates_client::RouteUpdatesClient;
use veltrix_proto::v1::{
    Abort, Commit, EngineReport, Hello, InForce, Limit, Prepare, Prepared, RefusedField, Rejected, RouteUpdate,
    Welcome, engine_report, route_update,
};
use veltrix_route_table::{RouteMapVersion, limits};

const HEALTH_EVERY: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// Reports that wait to be sent: answers to at most a few updates, and health.
const REPORTS_MAX: usize = 16;

/// What the stream needs of the engine.
#[derive(Clone)]
pub(crate) struct RouteUpdates {
    pub(crate) endpoint: Endpoint,
    pub(crate) engine_id: String,
    pub(crate) installer: Arc<Mutex<Installer>>,
    /// See [`Installer::found`].
    pub(crate) found: Option<(RouteMapVersion, [u8; 32])>,
    pub(crate) published: Arc<Published>,
    pub(crate) metrics: Metrics,
    pub(crate) status: Status,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamEnd {
    #[error("can't connect: {}", with_sources(.0))]
    Connect(#[from] tonic::transport::Error),
    #[error("the control plane ended it: {} ({:?})", .0.message(), .0.code())]
    Status(#[from] tonic::Status),
    #[error("the control plane closed it")]
    Closed,
    #[error("a task of the engine failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl RouteUpdates {
    /// Keeps a stream up until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            let end = tokio::select! {
                end = self.stream() => end,
                () = stop.cancelled() => return,
            };
            self.metrics.control_plane_connected.set(0);
            // A commit may be under way and hold the installer for long; an async worker must not wait for it.
            let installer = Arc::clone(&self.installer);
            let _done = tokio::task::spawn_blocking(move || installer.lock().abort()).await;
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            let wait = jittered(pause);
            if let Err(end) = end {
                tracing::warn!(endpoint = %self.endpoint.uri(), retry_in = ?wait, "no stream to the control plane: {end}");
            }
            pause = (pause * 2).min(PAUSE_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn stream(&self) -> Result<(), StreamEnd> {
        let channel: Channel = self
            .endpoint
            .clone()
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .connect()
            .await?;
        let mut client = RouteUpdatesClient::new(channel).max_decoding_message_size(REQUEST_BYTES);
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let _ = reports.try_send(report(engine_report::Report::Hello(self.hello())));
        let mut updates = client.stream(ReceiverStream::new(receiver)).await?.into_inner();
        let mut health = tokio::time::interval(HEALTH_EVERY);
        loop {
            let answers = tokio::select! {
                update = updates.next() => match update {
                    Some(update) => [self.answer(update?).await?, None],
                    None => return Err(StreamEnd::Closed),
                },
                _ = health.tick() => {
                    [self.late_answer().await?, Some(engine_report::Report::Health(self.status.health()))]
                }
            };
            for answer in answers.into_iter().flatten() {
                if reports.send(report(answer)).await.is_err() {
                    return Err(StreamEnd::Closed);
                }
            }
        }
    }

    fn hello(&self) -> Hello {
        let current = self.published.current();
        let limit = |limit: &&limits::Limit| Limit {
            name: limit.name.to_owned(),
            max: limit.max,
            used: None,
            meaning: limit.meaning.to_owned(),
        };
        Hello {
            engine_id: self.engine_id.clone(),
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            version: current.as_ref().map_or(0, |snapshot| snapshot.version.get()),
            sha256: current.map_or_else(Bytes::new, |snapshot| Bytes::copy_from_slice(&snapshot.sha256)),
            limits: limits::ALL.iter().map(limit).collect(),
            last_known_good_version: self.found.map_or(0, |(version, _)| version.get()),
            last_known_good_sha256: self.found.map_or_else(Bytes::new, |(_, sha256)| Bytes::copy_from_slice(&sha256)),
        }
    }

    async fn answer(&self, update: RouteUpdate) -> Result<Option<engine_report::Report>, StreamEnd> {
        let installer = Arc::clone(&self.installer);
        let blocking = move |update| answer_blocking(&mut installer.lock(), update);
        match update.update {
            None => Ok(None),
            Some(route_update::Update::Welcome(welcome)) => {
                self.welcomed(&welcome);
                Ok(None)
            }
            Some(update) => Ok(tokio::task::spawn_blocking(move || blocking(update)).await?),
        }
    }

    /// The answer to a Commit that went without one, if it can be given now.
    async fn late_answer(&self) -> Result<Option<engine_report::Report>, StreamEnd> {
        let installer = Arc::clone(&self.installer);
        let late = tokio::task::spawn_blocking(move || installer.lock().adopted_late()).await?;
        Ok(late.map(|late| {
            tracing::info!(version = late.version, took = ?late.took, "RouteMap in force, late");
            in_force(late.version, Bytes::copy_from_slice(&late.sha256), late.took)
        }))
    }

    fn welcomed(&self, welcome: &Welcome) {
        self.metrics.control_plane_connected.set(1);
        tracing::info!(endpoint = %self.endpoint.uri(), version_in_force = welcome.version, "connected to the control plane");
        if self.published.current().is_some_and(|current| current.version.get() == welcome.version) {
            self.metrics.route_map_stale.set(0);
        }
    }
}

fn answer_blocking(installer: &mut Installer, update: route_update::Update) -> Option<engine_report::Report> {
    match update {
        route_update::Update::Prepare(Prepare { version, sha256, route_map }) => {
            Some(match installer.prepare(version, &sha256, route_map) {
                Ok(took) => engine_report::Report::Prepared(Prepared { version, sha256, took: took.try_into().ok() }),
                Err(errors) => {
                    let reasons = told(errors);
                    for reason in &reasons {
                        tracing::warn!(version, path = reason.path, "RouteMap refused: {}", reason.message);
                    }
                    engine_report::Report::Rejected(Rejected { version, sha256, reasons })
                }
            })
        }
        route_update::Update::Commit(Commit { version, sha256 }) => match installer.commit(version, &sha256) {
            // Without a report the control plane tells its caller that this engine has not confirmed. See `late_answer`.
            Ok(committed) if !committed.adopted => None,
            Ok(committed) => {
                tracing::info!(version, took = ?committed.took, "RouteMap in force");
                Some(in_force(version, sha256, committed.took))
            }
            Err(error) => {
                tracing::error!(version, "commit refused: {error}");
                let reason = RefusedField { path: String::new(), message: error.to_string() };
                Some(engine_report::Report::Rejected(Rejected { version, sha256, reasons: vec![reason] }))
            }
        },
        route_update::Update::Abort(Abort { version, reason, dry_run, .. }) => {
            match dry_run {
                true => tracing::info!("the dry run of a RouteMap is over; nothing changes"),
                false => tracing::info!(version, reason, "RouteMap aborted"),
            }
            installer.abort();
            None
        }
        route_update::Update::Welcome(_) => None,
    }
}

/// The reasons for a refusal. Topics that are missing can be more than a message has room for.
fn told(errors: Vec<PrepareError>) -> Vec<RefusedField> {
    let more = errors.len().saturating_sub(veltrix_route_table::Refused::REASONS_MAX);
    let mut reasons: Vec<RefusedField> =
        errors.into_iter().take(veltrix_route_table::Refused::REASONS_MAX).flat_map(reasons_of).collect();
    if more > 0 {
        reasons.push(RefusedField { path: String::new(), message: format!("and {more} more") });
    }
    reasons
}

fn reasons_of(error: PrepareError) -> Vec<RefusedField> {
    match error {
        PrepareError::Refused(refused) => {
            let omitted = refused.omitted;
            let reason =
                |reason: veltrix_route_table::Reason| RefusedField { message: reason.message(), path: reason.path };
            let mut reasons: Vec<RefusedField> = refused.reasons.into_iter().map(reason).collect();
            if omitted > 0 {
                reasons.push(RefusedField { path: String::new(), message: format!("and {omitted} more") });
            }
            reasons
        }
        PrepareError::MissingTopic { index, .. } | PrepareError::Loop { index, .. } => {
            vec![RefusedField { path: format!("destinations[{index}].kafka.topic"), message: error.to_string() }]
        }
        PrepareError::Lookup(Unusable { index, .. }) => {
            vec![RefusedField { path: format!("lookups[{index}]"), message: error.to_string() }]
        }
        error => vec![RefusedField { path: String::new(), message: error.to_string() }],
    }
}

fn in_force(version: u64, sha256: Bytes, took: Duration) -> engine_report::Report {
    engine_report::Report::InForce(InForce { version, sha256, took: took.try_into().ok() })
}

fn report(report: engine_report::Report) -> EngineReport {
    EngineReport { report: Some(report) }
}

/// Between half and all of `pause`, so that a fleet does not come back in one moment.
fn jittered(pause: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    let random = RandomState::new().hash_one(Instant::now());
    pause.div_f64(2.0) + pause.div_f64(2.0).mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dev::broker::EmbeddedBroker;
    use crate::kafka::KafkaSettings;
    use prost::Message as _;
    use std::num::NonZeroU16;
    use veltrix_control_plane::Config;
    use veltrix_proto::v1::control_plane_client::ControlPlaneClient;
    use veltrix_proto::v1::engine_outcome::Outcome;
    use veltrix_proto::v1::{self, destination};

    const PATIENCE: Duration = Duration::from_secs(60);

    fn map(event_type: &str) -> Bytes {
        let map = v1::RouteMap {
            name: "test".into(),
            destinations: vec![v1::Destination {
                id: "orders".into(),
                kind: Some(destination::Kind::Kafka(v1::KafkaTopic { topic: "orders".into(), ..Default::default() })),
            }],
            routes: vec![v1::Route {
                id: "route".into(),
                types: Some(v1::EventTypes { exact: vec![event_type.into()], ..Default::default() }),
                to: vec!["orders".into()],
                ..Default::default()
            }],
            ..Default::default()
        };
        map.encode_to_vec().into()
    }

    async fn engine_version(operator: &mut ControlPlaneClient<Channel>) -> Option<u64> {
        let engines = operator.list_engines(v1::ListEnginesRequest {}).await.unwrap().into_inner().engines;
        engines.first().map(|engine| engine.version)
    }

    async fn until_engine_runs(operator: &mut ControlPlaneClient<Channel>, version: u64) {
        let poll = async {
            while engine_version(operator).await != Some(version) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("the engine runs the version");
    }

    #[test]
    fn an_engine_whose_router_adopts_a_map_late_confirms_it_then() {
        let broker = EmbeddedBroker::start(&[("orders", NonZeroU16::MIN)]).unwrap();
        let kafka = KafkaSettings::new(broker.bootstrap_servers(), None, &[]).unwrap();
        let (published, metrics) = (Arc::new(Published::default()), Metrics::new().unwrap());
        let installer = Installer::new(&kafka, Vec::new(), Arc::clone(&published), None, metrics.clone()).unwrap();
        let mut installer = installer.with_adopt_timeout(Duration::from_millis(1));
        installer.begin_with(RouteMapVersion::EMBEDDED, &map("first")).unwrap();
        // It waits for Kafka's answer about its partitions, and looks for no other map meanwhile.
        let mut router = published.reader().unwrap();

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
            let config = Config { commit_timeout: Duration::from_millis(50), ..Config::default() };
            let control_plane = tokio::spawn(veltrix_control_plane::serve(config, listener, std::future::pending()));
            let updates = RouteUpdates {
                endpoint: endpoint.clone(),
                engine_id: "one".into(),
                installer: Arc::new(Mutex::new(installer)),
                found: None,
                published: Arc::clone(&published),
                metrics: metrics.clone(),
                status: Status::new(metrics, 1),
            };
            let stop = CancellationToken::new();
            let stream = tokio::spawn(updates.run(stop.clone()));
            let mut operator = ControlPlaneClient::new(endpoint.connect().await.unwrap());
            until_engine_runs(&mut operator, 0).await;

            let apply = v1::UpdateRouteMapRequest { route_map: map("second"), ..Default::default() };
            let answer = operator.update_route_map(apply.clone()).await.unwrap().into_inner();
            assert_eq!((answer.version, answer.engines[0].outcome()), (1, Outcome::Unconfirmed));
            assert_eq!(engine_version(&mut operator).await, Some(0));
            let (adopted, _) = router.pin();
            assert_eq!(adopted.version.get(), 1);
            until_engine_runs(&mut operator, 1).await;
            let answer = operator.update_route_map(apply).await.unwrap().into_inner();
            assert_eq!((answer.unchanged, answer.engines[0].outcome()), (true, Outcome::InForce));

            stop.cancel();
            stream.await.unwrap();
            control_plane.abort();
        });
    }
}
